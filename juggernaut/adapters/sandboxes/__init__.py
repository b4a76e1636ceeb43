"""Sandboxes: where commands of untrusted origin run, from bare to bubblewrap."""
