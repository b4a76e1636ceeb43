"""Doors of the process: off unless configured, and bound to this machine unless told otherwise."""
