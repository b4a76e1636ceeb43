"""Assembles the parts into programs: settings, wiring and the command line."""
