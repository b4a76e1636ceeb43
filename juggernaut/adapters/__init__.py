"""The outside world behind the ports; folders in here never import each other."""
