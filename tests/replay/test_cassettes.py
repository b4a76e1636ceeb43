"""Every run in tests/cassettes is played again and is the same; most of them were failures once.

A cassette begins in the files of the folder that its `repo` names. After a change of the loop or of
a tool that is meant: JUGGERNAUT_WRITE_CASSETTES=1 python -m pytest tests/replay/test_cassettes.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from juggernaut.adapters.cassettes.folder import load
from juggernaut.app.cli import build
from juggernaut.app.replay import replay
from juggernaut.domain.limits import KIB
from tests.adapters.forges.repos import Origin, make_origin
from tests.replay.again import write_again

CASSETTES = Path(__file__).resolve().parents[1] / "cassettes"
MOST_BYTES = 64 * KIB
FILES = sorted(CASSETTES.glob("*.jsonl"))


def origin_of(file: Path, folder: Path) -> Origin:
    """Make the repository of a cassette from the files beside it."""
    root = CASSETTES / str(load(file).cassette.repo)
    files = [path for path in root.rglob("*") if path.is_file()]
    return make_origin(folder, {str(path.relative_to(root)): path.read_text() for path in files})


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
async def test_it_is_the_same_today(file: Path, tmp_path: Path) -> None:
    """The same requests, results and end, step by step."""
    origin = origin_of(file, tmp_path)
    if os.environ.get("JUGGERNAUT_WRITE_CASSETTES"):
        await write_again(file, origin.name, origin.head("main"))
    found = await replay(file, origin.name, origin.head("main"), ())
    assert "diff" not in found.row(), found.row()
    assert found.whole
    assert file.stat().st_size < MOST_BYTES


def test_the_command_says_it_by_its_exit_code(tmp_path: Path) -> None:
    """0 the same, 1 with step and difference, 2 for a file that cannot be played."""
    (file,) = CASSETTES.glob("claims_success.jsonl")
    origin = origin_of(file, tmp_path)
    edited = tmp_path / "edited.jsonl"
    edited.write_text(file.read_text().replace('"turns":2', '"turns":3'))
    given = ["--repo", str(origin.bare), "--base", origin.head("main")]
    ended = {
        path.name: CliRunner().invoke(build(), ["task", "replay", str(path), *given])
        for path in (file, edited, tmp_path / "none.jsonl")
    }
    assert [result.exit_code for result in ended.values()] == [0, 1, 2]
    told = ended["edited.jsonl"].stdout
    assert "verdict: diverged" in told
    assert "what: the end" in told
    assert "-turns: 3" in told
    assert "cannot be read: No such file" in ended["none.jsonl"].stderr


def test_there_are_cassettes() -> None:
    """An empty folder would prove nothing; one of them ends in a failure."""
    ends = [load(file).cassette.runs[-1].end or {} for file in FILES]
    assert {end["finished"] for end in ends} == {True, False}
