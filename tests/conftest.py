"""What every test can ask for."""

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
