"""The conformance suite of the Sandbox port, at every level that this machine has."""

import asyncio
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from juggernaut.adapters.sandboxes.bare import BareSandbox
from juggernaut.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from juggernaut.adapters.sandboxes.landlock import LandlockSandbox, unavailable
from juggernaut.domain import limits
from juggernaut.domain.exchange import CommandResult
from juggernaut.ports import Sandbox

CANARY = "FAKE-canary-of-the-daemon"
LONG = 300.0
# A process that says its pid (of this machine or of its namespace) by a file, then waits.
STRAGGLER = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "setsid" in sys.argv:
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
open("ready", "w").close()
time.sleep(300)
"""


@pytest.fixture(params=["bare", "landlock", "bubblewrap"])
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Sandbox:
    """Give each kind of sandbox, with a scratch folder of its own."""
    if request.param == "bare":
        return BareSandbox(tmp_path / "scratch")
    if request.param == "landlock":
        if (reason := unavailable()) is not None:
            pytest.skip(reason)
        return LandlockSandbox(tmp_path / "scratch")
    program = shutil.which("bwrap")
    if program is None:
        pytest.skip("needs bubblewrap (apt-get install bubblewrap)")
    return BubblewrapSandbox(program, tmp_path / "scratch")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give an empty work tree."""
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


def living_in(folder: Path) -> list[str]:
    """Name the processes whose working directory is below a folder; zombies have none."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                where = (entry / "cwd").readlink()
            except OSError:
                continue
            if where.is_relative_to(folder):
                found.append(f"{entry.name} {(entry / 'cmdline').read_bytes()!r}")
    return found


async def appears(path: Path) -> None:
    """Wait until a file is there."""
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        await asyncio.sleep(0.01)


async def python(sandbox: Sandbox, tree: Path, code: str, *words: str) -> CommandResult:
    """Run a short program."""
    return await sandbox.run(["python", "-c", code, *words], tree, timeout_seconds=LONG)


async def test_a_command_runs_in_its_folder_and_may_write_there(
    sandbox: Sandbox, tree: Path
) -> None:
    """The result has what was asked for, the exit code, the output in order and the time."""
    argv = ["sh", "-c", "pwd; echo two >&2; echo three; echo new > made; exit 3"]
    result = await sandbox.run(argv, tree, timeout_seconds=LONG)
    assert (result.argv, result.exit_code) == (tuple(argv), 3)
    assert result.output == f"{tree}\ntwo\nthree\n"
    assert (tree / "made").read_text() == "new\n"
    assert 0 < result.seconds < 10
    assert not result.timed_out
    assert not result.truncated


async def test_the_environment_is_built(
    sandbox: Sandbox, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable of the daemon gets in, and HOME is a new and empty folder each time."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", CANARY)
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    result = await sandbox.run(["env"], tree, timeout_seconds=LONG)
    given = dict(line.split("=", 1) for line in result.output.splitlines())
    assert given.pop("PWD", str(tree)) == str(tree)
    assert set(given) == {
        *("PATH", "HOME", "TMPDIR", "LANG", "PYTHONDONTWRITEBYTECODE"),
        *("GIT_CONFIG_NOSYSTEM", "GIT_TERMINAL_PROMPT"),
    }
    assert CANARY not in result.output
    code = "import os; h = os.environ['HOME']; print(os.listdir(h)); open(h + '/x', 'w'); print(h)"
    first, second = [(await python(sandbox, tree, code)).output.split() for _ in range(2)]
    assert first[0] == second[0] == "[]"
    assert first[1] != second[1]
    assert not Path(first[1]).exists()


async def test_python_is_this_interpreter(sandbox: Sandbox, tree: Path) -> None:
    """`python` finds the daemon's own interpreter with its packages."""
    result = await python(sandbox, tree, "import sys, pytest; print(sys.prefix)")
    assert result.output == f"{sys.prefix}\n"


async def test_standard_input_is_empty(sandbox: Sandbox, tree: Path) -> None:
    """A command that reads does not wait for a person."""
    result = await sandbox.run(["cat"], tree, timeout_seconds=LONG)
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize(
    "argv",
    [
        [],
        [""],
        ["no-such-program-anywhere"],
        ["./plain.txt"],
        ["./no-shebang"],
        ["./missing/program"],
        ["."],
        ["echo", "a\0b"],
        ["echo\0", "x"],
        ["echo", "\ud800"],
        ["echo", "x" * 3_000_000],
    ],
    ids=lambda argv: ascii(argv)[:30],
)
async def test_what_cannot_start_ends_with_127(
    sandbox: Sandbox, tree: Path, argv: Sequence[str]
) -> None:
    """Not found, not executable, no program at all: a result with a reason, not an exception."""
    (tree / "plain.txt").write_text("not a program")
    (tree / "no-shebang").write_bytes(b"\x00\x01\x02")
    (tree / "no-shebang").chmod(0o755)
    result = await sandbox.run(argv, tree, timeout_seconds=LONG)
    assert result.exit_code == 127
    assert len(result.output) > 10


async def test_a_folder_that_is_gone_is_a_reason(sandbox: Sandbox, tree: Path) -> None:
    """A missing cwd is named."""
    result = await sandbox.run(["true"], tree / "gone", timeout_seconds=LONG)
    assert result.exit_code == 127
    assert "gone" in result.output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE])
async def test_death_by_signal_is_128_and_more(
    sandbox: Sandbox, tree: Path, number: signal.Signals
) -> None:
    """As a shell says it; SIGPIPE kills, though Python ignores it."""
    result = await sandbox.run(["sh", "-c", f"kill -{number.value} $$"], tree, timeout_seconds=LONG)
    assert result.exit_code == 128 + number


async def test_a_flood_of_output_is_bounded(sandbox: Sandbox, tree: Path) -> None:
    """100 MB: the command ends by itself, head and tail are kept, the gap is marked."""
    code = """
import sys
print("first line")
for _ in range(1600):
    sys.stdout.write("x" * 65536)
print("\\nlast line")
"""
    result = await python(sandbox, tree, code)
    assert (result.exit_code, result.truncated) == (0, True)
    assert result.output.startswith("first line\n")
    assert result.output.endswith("\nlast line\n")
    assert "bytes of output left out" in result.output
    assert len(result.output) < limits.COMMAND_OUTPUT_BYTES + 200


async def test_output_that_is_not_text_is_shown_as_well_as_possible(
    sandbox: Sandbox, tree: Path
) -> None:
    """Broken UTF-8 does not break the result."""
    result = await sandbox.run(["printf", r"a\377b"], tree, timeout_seconds=LONG)
    assert result.output == "a\ufffdb"


async def test_a_timeout_kills_those_who_ignore_it(sandbox: Sandbox, tree: Path) -> None:
    """A grandchild that ignores SIGTERM is dead when run returns."""
    argv = ["sh", "-c", f"python -c '{STRAGGLER}' & wait"]
    result = await sandbox.run(argv, tree, timeout_seconds=2.5)
    assert (tree / "ready").exists()
    assert result.timed_out
    assert result.exit_code in {124, 137, 143}
    assert result.seconds < 2.5 + limits.KILL_GRACE_SECONDS + 3
    assert living_in(tree) == []


async def test_a_timeout_is_never_a_success(sandbox: Sandbox, tree: Path) -> None:
    """A command that exits 0 when it is told to stop did not pass."""
    argv = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"]
    result = await sandbox.run(argv, tree, timeout_seconds=0.5)
    assert result.timed_out
    assert result.exit_code != 0


@pytest.mark.parametrize("how", ["group", "setsid"])
async def test_a_straggler_dies_with_its_command(sandbox: Sandbox, tree: Path, how: str) -> None:
    """One left in the background, and one that left group and session, holding the pipe open."""
    wait = "while [ ! -e ready ]; do sleep 0.01; done"
    argv = ["sh", "-c", f"python -c '{STRAGGLER}' {how} & {wait}; echo done"]
    result = await sandbox.run(argv, tree, timeout_seconds=15)
    assert (result.exit_code, result.output) == (0, "done\n")
    assert living_in(tree) == []


@pytest.mark.parametrize("how", ["group", "setsid"])
async def test_cancellation_leaves_nobody(sandbox: Sandbox, tree: Path, how: str) -> None:
    """When the cancelled call returns, the whole family is dead, even if cancelled twice."""
    argv = ["sh", "-c", f"python -c '{STRAGGLER}' {how} & sleep 300"]
    task = asyncio.create_task(sandbox.run(argv, tree, timeout_seconds=LONG))
    await appears(tree / "ready")
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert living_in(tree) == []


async def test_a_command_that_signals_its_group_hurts_only_itself(
    sandbox: Sandbox, tree: Path
) -> None:
    """`kill 0` is an ordinary end by signal."""
    result = await sandbox.run(["sh", "-c", "kill -9 0"], tree, timeout_seconds=LONG)
    assert result.exit_code == 137


async def test_the_limits_are_set(sandbox: Sandbox, tree: Path) -> None:
    """Memory, file size and core files are bounded inside."""
    code = """
import resource as r
for kind in (r.RLIMIT_AS, r.RLIMIT_FSIZE, r.RLIMIT_CORE):
    print(*r.getrlimit(kind))
try:
    bytearray(5 * 1024 ** 3)
except MemoryError:
    print("refused")
"""
    result = await python(sandbox, tree, code)
    memory, size = limits.COMMAND_MEMORY_BYTES, limits.COMMAND_FILE_BYTES
    assert result.output == f"{memory} {memory}\n{size} {size}\n0 0\nrefused\n"


async def test_no_new_privileges(sandbox: Sandbox, tree: Path) -> None:
    """A setuid program gives nothing."""
    result = await sandbox.run(
        ["grep", "NoNewPrivs", "/proc/self/status"], tree, timeout_seconds=LONG
    )
    assert result.output.split() == ["NoNewPrivs:", "1"]


async def test_many_at_once_do_not_mix(sandbox: Sandbox, tree: Path) -> None:
    """Each result has its own output."""
    results = await asyncio.gather(
        *(sandbox.run(["echo", str(n)], tree, timeout_seconds=LONG) for n in range(8))
    )
    assert [result.output for result in results] == [f"{n}\n" for n in range(8)]


async def test_nothing_is_left_open(sandbox: Sandbox, tree: Path) -> None:
    """Descriptors and scratch folders do not pile up."""
    await sandbox.run(["true"], tree, timeout_seconds=LONG)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for argv in (["true"], ["no-such-program"], ["sleep", "9"]):
        await sandbox.run(argv, tree, timeout_seconds=0.3)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert list((tree.parent / "scratch").iterdir()) == []
