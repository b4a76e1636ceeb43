"""A run that names a PostgreSQL has that one: else a green run on 15 could be one on 18."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from juggernaut.app.local_postgres.binaries import candidate_folders
from tests.fixtures_postgres import Database


async def test_the_server_is_the_one_that_was_asked_for(database: Database) -> None:
    """Its major is that of the programs in JUGGERNAUT_TEST_PG_BIN, or of the first found."""
    if os.environ.get("JUGGERNAUT_TEST_DSN"):
        pytest.skip("needs a server that the tests start themselves")
    asked = os.environ.get("JUGGERNAUT_TEST_PG_BIN") or next(candidate_folders())
    said = subprocess.run(
        [Path(asked) / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    major = re.search(r"\(PostgreSQL\) (\d+)", said)
    connection = await database.connect()
    assert major is not None, said
    assert connection.get_server_version().major == int(major[1])
