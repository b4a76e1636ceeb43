"""The built-in code agent: a model, a work tree and seven tools. Start at loop.py."""
