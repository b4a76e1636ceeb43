"""Attacks are made at the bench of the roles."""

from tests.roles.conftest import bench

__all__ = ["bench"]
