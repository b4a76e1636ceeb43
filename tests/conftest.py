"""What every test can ask for."""

import signal

import pytest
from hypothesis import settings

from tests.fakes.github.fixture import github_double
from tests.fixtures_postgres import (
    approver_login,
    database,
    empty_database,
    pg_data_dir,
    plain_login,
    postgres_server,
    reader_login,
    template_database,
    worker_login,
)
from tests.invariants.trials import FULL

__all__ = [
    "approver_login",
    "database",
    "empty_database",
    "github_double",
    "pg_data_dir",
    "plain_login",
    "postgres_server",
    "reader_login",
    "template_database",
    "worker_login",
]

# A slow machine fails no property, and the same commit is judged by the same examples each time;
# a release looks for new ones.
settings.register_profile("usual", deadline=None, database=None, derandomize=True)
settings.register_profile("release", deadline=None, database=None, max_examples=2_000)
settings.load_profile("release" if FULL else "usual")

# A shell starts its background jobs with SIGINT ignored, and every child inherits that: a test
# that sends Ctrl-C would then wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the slow tests begin first, in their random order: none is left over for the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
