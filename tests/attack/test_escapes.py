"""What each level of sandbox stops: tried, and written into docs/security.md.

After a change that is meant:
JUGGERNAUT_WRITE_ESCAPES=1 python -m pytest tests/attack/test_escapes.py
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from juggernaut.adapters.sandboxes import seccomp, walls
from juggernaut.adapters.sandboxes.bare import OTHER, BareSandbox
from juggernaut.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from juggernaut.adapters.sandboxes.landlock import LandlockSandbox, unavailable
from juggernaut.adapters.sandboxes.selfcheck import TOLD, Tried, bait_in, examine
from juggernaut.ports import Sandbox
from tests.adapters.sandboxes.other_account import open_place, open_python
from tests.invariants.trials import trials

LEVELS = ("bubblewrap", "landlock", "bare")
AS_ROOT = "bare, as root"
PAGE = Path(__file__).parents[2] / "docs" / "security.md"
TABLE = re.compile(r"(?<=<!-- escapes -->\n).*?(?=<!-- end of escapes -->)", re.DOTALL)
RACES = trials(500, 10_000)
LONG = 120.0
MET = 20
# One process swaps a folder of the tree for a link that leads out, the other writes into it, until
# it has met the link often enough to have been a danger.
RACE = """
import os, sys
out, rounds, least = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.mkdir("real"); os.symlink("real", "d")
if os.fork() == 0:
    while True:
        for target in (out, "real"):
            os.symlink(target, "new"); os.replace("new", "d")
tried = refused = 0
while tried < rounds or refused < least:
    tried += 1
    try:
        os.close(os.open(f"d/f{tried % 100}", os.O_CREAT | os.O_WRONLY))
    except OSError:
        refused += 1
print("tried", tried, "refused", refused)
"""
KEPT = """
import ctypes, resource, sys
from juggernaut.app.opaque import make_opaque
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
if sys.argv[1] == "opaque":
    make_opaque()
soft = resource.getrlimit(resource.RLIMIT_CORE)[0]
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), soft == hard)
"""


def sandbox_of(level: str, folder: Path, hidden: Path) -> Sandbox:
    """Give a sandbox of a level, or skip with the reason why there is none."""
    scratch = folder / "scratch"
    if level == "bare":
        return BareSandbox(scratch)
    if level == "landlock":
        if (reason := unavailable()) is not None:
            pytest.skip(reason)
        return LandlockSandbox(scratch, [hidden])
    program = shutil.which("bwrap")
    if program is None:
        pytest.skip("needs bubblewrap (apt-get install bubblewrap)")
    return BubblewrapSandbox(program, scratch, [hidden])


def cells(found: tuple[Tried, ...]) -> list[str]:
    """Draw one column."""
    return ["stopped" if one.stopped else "OPEN" for one in found]


def drawn() -> dict[str, list[str]]:
    """Give the columns as they stand in the document."""
    told = TABLE.search(PAGE.read_text(encoding="utf-8"))
    assert told is not None
    rows = [re.split(r" *\| *", line)[1:-1] for line in told.group().splitlines()]
    return {name: list(column) for name, *column in zip(rows[0], *rows[2:], strict=True)}


def table(columns: dict[str, list[str]]) -> str:
    """Draw all of it, as it stands in the document."""
    names = (*LEVELS, AS_ROOT)
    lines = [f"| attack | {' | '.join(names)} |", f"|{'---|' * (len(names) + 1)}"]
    for number, told in enumerate(TOLD.values()):
        lines.append(f"| {told} | {' | '.join(columns[name][number] for name in names)} |")
    return "\n".join(lines) + "\n"


def same_as_drawn(found: dict[str, tuple[Tried, ...]]) -> None:
    """Compare columns with the document, or write them there; other columns stay."""
    measured = {name: cells(one) for name, one in found.items()}
    page = PAGE.read_text(encoding="utf-8")
    if os.environ.get("JUGGERNAUT_WRITE_ESCAPES") == "1":
        unknown = {AS_ROOT: ["OPEN"] * len(TOLD)}
        text = table({**unknown, **drawn(), **measured})
        PAGE.write_text(TABLE.sub(lambda _: text, page), encoding="utf-8")
        return
    told = TABLE.search(page)
    assert told is not None
    assert told.group() == table({**drawn(), **measured})


async def test_the_table_is_what_happens(tmp_path: Path) -> None:
    """Every attack at every level; the document says the same.

    Nobody else may enter pytest's folders, so bare keeps this account here, root or not.
    """
    if walls.version() < walls.SCOPE_SINCE:
        pytest.skip("needs Linux 6.12 or newer, with Landlock 6: the table is about that")
    bait = bait_in(tmp_path)
    found = {level: await examine(sandbox_of(level, tmp_path, bait), bait) for level in LEVELS}
    same_as_drawn(found)
    assert [one.told for one in found["landlock"] if not one.stopped] == []


async def test_an_account_of_its_own_stops_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same attacks where root gives the tree's commands another account."""
    monkeypatch.setattr(sys, "executable", open_python())
    with open_place() as place:
        bait = bait_in(place)
        box = BareSandbox(place / "scratch")
        found = await examine(box, bait)
        assert box.told == OTHER
    same_as_drawn({AS_ROOT: found})


@pytest.mark.parametrize("level", ["bubblewrap", "landlock"])
async def test_a_swapped_link_never_leads_out(tmp_path: Path, level: str) -> None:
    """500 writes against a folder that is swapped for a link all the time; 10 000 in full."""
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    tree.mkdir()
    outside.mkdir()
    box = sandbox_of(level, tmp_path, bait_in(tmp_path))
    argv = ["python", "-c", RACE, str(outside), str(RACES), str(MET)]
    result = await box.run(argv, tree, timeout_seconds=LONG)
    assert result.output.startswith("tried "), result.output
    assert list(outside.iterdir()) == []


async def test_without_its_filter_the_level_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The self-check sees a missing wall: sockets and the daemon's memory come into reach."""
    bait = bait_in(tmp_path)
    box = sandbox_of("landlock", tmp_path, bait)
    monkeypatch.setattr(seccomp, "DENIED", {})
    through = {one.attack for one in await examine(box, bait) if not one.stopped}
    assert {"named_socket"} <= through


def test_the_daemon_is_opaque() -> None:
    """What `juggernaut run` does first closes its /proc files, and leaves no core behind."""
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("needs a process that may leave a core (ulimit -Hc)")
    for word, kept in (("opaque", "0 False"), ("plain", "1 True")):
        ended = subprocess.run(
            [sys.executable, "-c", KEPT, word],
            capture_output=True,
            text=True,
            check=True,
            cwd=PAGE.parents[1],
        )
        assert ended.stdout.strip() == kept
