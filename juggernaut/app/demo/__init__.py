"""The demo: one goal, from words to a merged commit, on this machine alone."""
