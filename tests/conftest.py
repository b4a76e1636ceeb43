"""What every test can ask for."""

import signal

from tests.fixtures_postgres import (
    approver_login,
    database,
    empty_database,
    pg_data_dir,
    postgres_server,
    reader_login,
    template_database,
    worker_login,
)

__all__ = [
    "approver_login",
    "database",
    "empty_database",
    "pg_data_dir",
    "postgres_server",
    "reader_login",
    "template_database",
    "worker_login",
]

# A shell starts its background jobs with SIGINT ignored, and every child inherits that: a test
# that sends Ctrl-C would then wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
