"""The tests of the lifecycle work at the same bench as those of the roles."""

from tests.roles.conftest import bench

__all__ = ["bench"]
