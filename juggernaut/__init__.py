"""Juggernaut: a swarm of autonomous workers governed by its PostgreSQL database."""

__version__ = "0.1.0"
