"""Cassettes on disk."""
