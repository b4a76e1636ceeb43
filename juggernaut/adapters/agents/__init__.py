"""Code agents that are programs of other people: Claude Code, OpenCode, Codex. Start at cli.py."""
