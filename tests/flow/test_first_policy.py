"""`up` and `demo` apply the shipped policy to a new database, as `migrate` does."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from juggernaut.adapters.postgres.board import Row, open_board
from juggernaut.app import local_postgres
from juggernaut.app.demo.sample import script_text, write_sample
from tests.app.cli_process import start
from tests.tidy.reading import REPO

SHIPPED = REPO / "config/policy.yaml"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the server's own user can get to."""
    folder = Path(tempfile.mkdtemp(prefix="juggernaut-flow-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@asynccontextmanager
async def begun(place: Path, *argv: str) -> AsyncIterator[str]:
    """Run a command until it says that the schema is there; gives all lines so far."""
    process = await start(place, *argv, "--dir", str(place / "state"), TMPDIR=str(place))
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        said = ""
        # The demo with --json tells its story on standard error.
        source = process.stderr if "--json" in argv else process.stdout
        while "schema at" not in said:
            line = await source.readline()
            assert line, said + (await process.stderr.read()).decode()
            said += line.decode()
        yield said
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.communicate()


async def policy_of(place: Path, database: str, path: Path | None = None) -> Row:
    """Show which policy a database holds, having applied one by hand if there is a path."""
    from juggernaut.app.policy import apply

    server = await local_postgres.start(place / "state" / "postgres", database=database)
    assert not server.started_here
    async with open_board(server.url(database)) as board:
        if path:
            await apply(board, path)
        return await board.only("show_policy")


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_up_applies_it_once(place: Path) -> None:
    """A new database has number 1; what an operator applied is not undone by the next `up`."""
    await write_sample(place / "checkout")
    (place / "script.yaml").write_text(script_text(), encoding="utf-8")
    argv = ("up", "--repo", str(place / "checkout"), "--script", str(place / "script.yaml"))
    raw = yaml.safe_load(SHIPPED.read_text())
    own = place / "own.yaml"
    own.write_text(yaml.safe_dump({**raw, "approvers": {**raw["approvers"], "critical": 3}}))
    async with begun(place, *argv):
        first = await policy_of(place, "juggernaut")
        assert (first["number"], first["approvers"]) == (1, raw["approvers"])
        await policy_of(place, "juggernaut", own)
    async with begun(place, *argv):
        second = await policy_of(place, "juggernaut")
    assert second["number"] == 2
    assert second["approvers"] == {**raw["approvers"], "critical": 3}


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_the_demo_applies_it(place: Path) -> None:
    """Its database shows the version of the shipped file."""
    async with begun(place, "demo", "--json") as said:
        database = said.partition("; database ")[2].split()[0]
        shown = await policy_of(place, database)
    assert shown["number"] == 1
