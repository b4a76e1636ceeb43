"""Bare as root: each tree's commands have an account of their own, and tricks gain nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from juggernaut.adapters.sandboxes import account, handover, probe
from juggernaut.adapters.sandboxes.bare import OTHER, SAME, BareSandbox
from juggernaut.app.doctor import check_sandbox
from juggernaut.domain.exchange import CommandResult
from tests.adapters.sandboxes.other_account import living, open_place, open_python, owner

MANY_FILES = 10_000
# Looks like a daemon: it has a secret in its environment, and belongs to root.
DAEMON = "import sys; print(flush=True); sys.stdin.read()"
WHOAMI = """
import os
held = [line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")]
print(os.getresuid(), os.getresgid(), os.getgroups(), {int(powers, 16) for powers in held})
"""
REACH = """
import os, signal, sys
for word in sys.argv[1:]:
    kind, _, rest = word.partition("=")
    try:
        if kind == "read": open(rest, "rb").read()
        elif kind == "write": open(rest, "ab").close()
        elif kind == "list": os.listdir(rest)
        elif kind == "link": os.link(rest, "second")
        elif kind == "kill": os.kill(int(rest), signal.SIGTERM)
        print(kind, "REACHED", rest)
    except OSError as error:
        print(kind, "refused", error.errno)
"""


@dataclass
class Scene:
    """A folder of the daemon's with a tree, and the sandbox beside it."""

    place: Path
    box: BareSandbox

    def tree(self, name: str = "tree") -> Path:
        """Make a tree of root's, two private folders deep, as work trees lie."""
        above = self.place / "trees" / name
        above.parent.mkdir(mode=0o700, exist_ok=True)
        above.mkdir(mode=0o700)
        (above / "tree").mkdir()
        return above / "tree"

    async def sh(self, tree: Path, code: str, *words: str) -> CommandResult:
        """Run shell code in a tree."""
        return await self.box.run(["sh", "-c", code, "sh", *words], tree, timeout_seconds=60)

    async def python(self, tree: Path, code: str, *words: object) -> list[str]:
        """Run Python in a tree; gives the lines of its output."""
        argv = [sys.executable, "-I", "-S", "-c", code, *map(str, words)]
        return (await self.box.run(argv, tree, timeout_seconds=60)).output.splitlines()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Give a scene where another account can work."""
    monkeypatch.setattr(sys, "executable", open_python())
    with open_place() as place:
        yield Scene(place, BareSandbox(place / "scratch"))


async def test_each_tree_has_an_account_that_keeps_it(scene: Scene) -> None:
    """No group, no power; the same for the same tree, another one for the tree beside it."""
    one, two = scene.tree("one"), scene.tree("two")
    groups = os.getgroups()
    os.setgroups([1])
    try:
        said = [await scene.python(tree, WHOAMI) for tree in (one, one, two)]
    finally:
        os.setgroups(groups)
    first, second = owner(one), owner(two)
    assert scene.box.told == OTHER
    ids = f"({first}, {first}, {first})"
    assert said[0] == said[1] == [f"{ids} {ids} [] {{0}}"]
    assert first != second
    assert account.is_drawn(first)
    assert account.is_drawn(second)
    assert await scene.python(two, REACH, f"list={one}", f"list={scene.place / 'trees'}") == [
        "list refused 13",
        "list refused 13",
    ]


async def test_it_reaches_nothing_of_root(scene: Scene) -> None:
    """Neither a file that only root reads nor the environment of a process, nor its life."""
    tree, secret, plain = scene.tree(), scene.place / "secret", scene.place / "plain"
    for path in (secret, plain):
        path.write_text("of root")
    secret.chmod(0o600)
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", DAEMON], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        asked = [f"read=/proc/{daemon.pid}/environ", f"kill={daemon.pid}", f"read={secret}"]
        asked += [f"write={plain}", f"link={secret}", f"write={scene.place / 'new'}"]
        said = await scene.python(tree, REACH, *asked)
        assert daemon.poll() is None
        daemon.communicate()
    assert [line.split()[1] for line in said] == ["refused"] * len(asked)
    assert daemon.returncode == 0
    # It may read what everybody may.
    assert (await scene.python(tree, REACH, f"read={plain}"))[0].startswith("read REACHED")


async def test_the_daemon_reads_and_commits_what_was_written(scene: Scene) -> None:
    """Closed files too; and the command writes what the daemon wrote between two commands."""
    tree, control = scene.tree(), scene.place / "control"
    code = "mkdir d && echo one >d/one && chmod 0 d/one && echo said >/dev/stderr"
    assert (await scene.sh(tree, code)).output == "said\n"
    (tree / "d" / "two").write_text("two\n")
    (tree / "d" / "e").mkdir()
    assert (await scene.sh(tree, "echo more >>d/two; echo three >d/e/three")).exit_code == 0
    git = ["git", f"--git-dir={control}", f"--work-tree={tree}", "-c", "core.bare=false"]
    who = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
    for words in (["init", "-q"], ["add", "--all"], ["commit", "-qm", "work"]):
        subprocess.run([*git, *who, *words], check=True, cwd=tree)
    shown = subprocess.run(
        [*git, "ls-files"], check=True, cwd=tree, capture_output=True, text=True
    ).stdout
    assert shown.split() == ["d/e/three", "d/one", "d/two"]
    assert (tree / "d" / "two").read_text() == "two\nmore\n"


async def test_tricks_at_the_hand_over_gain_nothing(scene: Scene) -> None:
    """A link is not followed, a second name is not given, and a tree that is a link is refused."""
    tree, outside = scene.tree(), scene.place / "outside"
    outside.mkdir(mode=0o700)
    (outside / "kept").write_text("of root")
    await scene.sh(tree, "ln -s $1 folder; ln -s $1/kept file; mkdir sub", str(outside))
    # As where the kernel lets anybody link anything (fs.protected_hardlinks=0).
    (tree / "second").hardlink_to(outside / "kept")
    (tree / "stranger").touch()
    os.chown(tree / "stranger", 1, 1)
    await scene.sh(tree, ":")
    assert [owner(path) for path in (outside, outside / "kept", tree / "second")] == [0, 0, 0]
    assert owner(tree / "stranger") == 1
    assert owner(tree / "sub") == owner(tree)
    # A folder of the tree as the working directory, which is a link by now.
    where = tree / "folder"
    refused = await scene.box.run(["pwd"], where, timeout_seconds=60)
    assert (refused.exit_code, owner(outside)) == (127, 0)
    assert "cannot hand the work tree over" in refused.output
    for writable in ([tree], []):
        below = await scene.box.run(
            ["touch", "new"], tree / "sub", timeout_seconds=60, writable=writable
        )
        assert below.exit_code == 0
        assert owner(tree / "sub" / "new") == owner(tree)
    (outside / "deep").mkdir()
    deep = await scene.box.run(["pwd"], where / "deep", timeout_seconds=60)
    assert (deep.exit_code, owner(outside / "deep")) == (127, 0)
    led = await scene.box.run(["touch", "new"], where, timeout_seconds=60, writable=[tree])
    assert (led.exit_code, "Permission denied" in led.output) == (127, True)
    assert sorted(path.name for path in outside.iterdir()) == ["deep", "kept"]


def test_what_is_looked_at_is_what_is_given(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that becomes a link to root's right after it was looked at, and one that goes."""
    tree, kept = scene.tree(), scene.place / "kept"
    for path in (kept, tree / "swapped", tree / "gone"):
        path.touch()
    real, seen = os.open, []

    def late(path: str | Path, flags: int, *, dir_fd: int | None = None) -> int:
        """Open after somebody else was quicker."""
        if path in {"swapped", "gone"}:
            seen.append(path)
            (tree / path).unlink()
        if path == "swapped":
            (tree / path).symlink_to(kept)
        return real(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", late)
    handover.hand_over(tree, scene.place, handover.account_of(tree))
    assert sorted(seen) == ["gone", "swapped"]
    assert owner(kept) == 0


async def test_nobody_of_the_account_is_left(scene: Scene) -> None:
    """Not by leaving the session, and not when the last of two commands of a tree ends."""
    tree = scene.tree()
    sleeper = "setsid sh -c 'sleep 300' & : >\"$1\"; wait"
    slow = asyncio.create_task(scene.sh(tree, sleeper, "up"))
    deadline = time.monotonic() + 15
    while not (tree / "up").exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    (tree / "late").touch()
    assert (await scene.sh(tree, "kill -9 $PPID 2>/dev/null || echo held")).output == "held\n"
    number = owner(tree)
    # What is in a tree is not looked at while a command of the account could play tricks there.
    assert owner(tree / "late") == 0
    assert not slow.done()
    assert living(number)
    # One that no launcher knows of dies with the account.
    stray = subprocess.Popen(["sleep", "300"], user=number, group=number, extra_groups=[])
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert stray.wait(15) == -9
    assert living(number) == []
    await scene.sh(tree, ":")
    assert owner(tree / "late") == number


async def test_only_a_drawn_account_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one mistake that would end the machine is refused; nothing is started here."""
    monkeypatch.setattr(asyncio, "create_subprocess_exec", None)
    for number in (0, 1, 1000, account.FIRST - 1, account.FIRST + account.COUNT):
        with pytest.raises(ValueError, match="not one of a work tree"):
            await account.end_all(number)
    assert all(account.is_drawn(account.draw()) for _ in range(1000))


async def test_where_tools_are_closed_it_says_so(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A closed folder above the trees, or a Python in root's home: root's account, and why."""
    locked = scene.place / "locked"
    (locked / "own" / "tree").mkdir(parents=True)
    locked.chmod(0o700)
    hidden = locked / "python"
    hidden.symlink_to(sys.executable)
    cases = [(locked / "own", sys.executable, f"the folder {locked} is closed")]
    cases += [(scene.place, str(hidden), f"cannot use {hidden}")]
    (scene.place / "tree").mkdir()
    for place, python, why in cases:
        monkeypatch.setattr(sys, "executable", python)
        box = BareSandbox(place / "scratch")
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            result = await box.run(["id", "-u"], place / "tree", timeout_seconds=60)
        assert result.output == "0\n"
        assert owner(place / "tree") == 0
        assert box.told.startswith(f"{SAME}: ")
        assert why in box.told
        assert why in caplog.text


@pytest.mark.parametrize("open_to_all", [True, False])
async def test_doctor_says_as_whom_commands_run(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, open_to_all: bool
) -> None:
    """Where the worker's own folder lies decides, not that of doctor's trial."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(probe, "unavailable", lambda: "not on this machine")
    data = scene.place / "data"
    data.mkdir(mode=0o711 if open_to_all else 0o700)
    finding, level = await check_sandbox(data)
    said = OTHER if open_to_all else f"{SAME}: the folder {data} is closed"
    assert (finding.level, level) == ("warn", "bare")
    assert said in finding.detail
    assert ("signal the worker" in finding.detail) != open_to_all


async def test_a_folder_elsewhere_is_not_given_away(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Only what lies beside the scratch folder is; the log says that another place was used."""
    with open_place() as elsewhere:
        result = await scene.box.run(["id", "-u"], elsewhere, timeout_seconds=60)
        assert (result.output, owner(elsewhere)) == ("0\n", 0)
        assert f"the folder {elsewhere} is not below" in caplog.text
        given = await scene.box.run(
            ["id", "-u"], scene.tree(), timeout_seconds=60, writable=[elsewhere]
        )
        assert (given.exit_code, owner(elsewhere)) == (0, 0)


def test_ten_thousand_files_are_handed_over_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time nothing is given; sockets are, pipes and modes are left as they are."""
    tree = scene.tree()
    for number in range(MANY_FILES // 100):
        folder = tree / f"d{number}"
        folder.mkdir()
        for name in range(99):
            (folder / f"f{name}").touch()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tree / "door"))
    os.mkfifo(tree / "pipe")
    (tree / "d0" / "f0").chmod(0o640)
    number = handover.account_of(tree)
    handover.hand_over(tree, scene.place, number)
    assert {owner(path) for path in tree.rglob("*") if path.name != "pipe"} == {number}
    assert owner(tree / "pipe") == 0
    assert stat.S_IMODE((tree / "d0" / "f0").stat().st_mode) == 0o640
    (tree / "pipe").unlink()
    monkeypatch.setattr(os, "chown", None)
    handover.hand_over(tree, scene.place, number)


async def test_without_root_it_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary account has nobody else to be."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    box = BareSandbox(tmp_path / "scratch")
    await box.look()
    assert box.told == f"{SAME}: this process is not root"


def test_a_root_without_its_powers_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers take powers and numbers away; what is missing is named."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    powers, whole = sum(1 << bit for bit in account.POWERS.values()), "0 0 4294967295"
    cases = [(powers, whole, None), (powers, "0 100000 65536", "from 1879048192 on")]
    cases += [
        (powers & ~(1 << bit), whole, f"without CAP_{name}") for name, bit in account.POWERS.items()
    ]
    for held, mapped, said in cases:
        (tmp_path / "status").write_text(f"CapPrm:\t0\nCapEff:\t{held:016x}\nCapBnd:\t0\n")
        (tmp_path / "uid_map").write_text(f"{mapped}\n")
        told = account.lacks(tmp_path)
        assert (told is None) == (said is None)
        assert said is None or (told is not None and told.endswith(said))
