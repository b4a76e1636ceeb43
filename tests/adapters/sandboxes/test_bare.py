import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from juggernaut.adapters.sandboxes import launch, process
from juggernaut.adapters.sandboxes.bare import BareSandbox
from juggernaut.domain import limits

# Runs a command under the daemon's own code, in a process that the test can kill.
DAEMON = """
import asyncio, sys
from pathlib import Path
from juggernaut.adapters.sandboxes.bare import BareSandbox
tree = Path(sys.argv[1])
code = "sleep 300 & setsid sleep 300 & echo $$ > started; wait"
asyncio.run(BareSandbox(tree / "s").run(["sh", "-c", code], tree, timeout_seconds=300))
"""


def below(folder: Path) -> list[str]:
    """Name the processes that work below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").readlink().is_relative_to(folder):
                    found.append(entry.name)
            except OSError:
                continue
    return found


async def until_empty(folder: Path) -> None:
    """Wait until nobody works below a folder."""
    deadline = time.monotonic() + 10
    while below(folder):
        assert time.monotonic() < deadline, f"still alive: {below(folder)}"
        await asyncio.sleep(0.01)


async def test_kill_minus_nine_of_the_daemon_ends_its_commands(tmp_path: Path) -> None:
    """The kernel tells the launcher, which takes everyone along, setsid or not."""
    root = Path(process.__file__).parents[3]
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(tmp_path)], env={"PYTHONPATH": str(root)}
    )
    deadline = time.monotonic() + 15
    while len(below(tmp_path)) < 3:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait()
    await until_empty(tmp_path)


async def test_a_command_that_kills_its_launcher_does_not_outlive_it(tmp_path: Path) -> None:
    """The launcher's death takes the command; who left its session is found by its HOME."""
    code = "setsid sleep 300 & sleep 0.2; kill -9 $PPID; sleep 300"
    sandbox = BareSandbox(tmp_path / "scratch")
    result = await sandbox.run(["sh", "-c", code], tmp_path, timeout_seconds=60)
    assert result.exit_code == 137
    assert not result.timed_out
    await until_empty(tmp_path)


async def test_a_stopped_launcher_still_obeys(tmp_path: Path) -> None:
    """A command that stops its launcher does not gain a second."""
    sandbox = BareSandbox(tmp_path / "scratch")
    result = await sandbox.run(
        ["sh", "-c", "kill -STOP $PPID; sleep 300"], tmp_path, timeout_seconds=0.5
    )
    assert result.timed_out
    assert result.exit_code == 143
    assert result.seconds < 5
    assert below(tmp_path) == []


async def test_the_grace_is_given(tmp_path: Path) -> None:
    """A command may tidy up after SIGTERM, as long as the grace lasts."""
    code = "trap 'echo tidied; exit 1' TERM; echo up; while :; do sleep 0.05; done"
    sandbox = BareSandbox(tmp_path / "scratch")
    result = await sandbox.run(["sh", "-c", code], tmp_path, timeout_seconds=1.0)
    assert (result.exit_code, result.timed_out) == (1, True)
    assert result.output.startswith("up\n")
    assert result.output.endswith("tidied\n")


async def test_after_the_grace_comes_sigkill(tmp_path: Path) -> None:
    """One that ignores SIGTERM itself is killed."""
    code = "trap '' TERM; while :; do sleep 0.05; done"
    sandbox = BareSandbox(tmp_path / "scratch")
    result = await sandbox.run(["sh", "-c", code], tmp_path, timeout_seconds=1.0)
    assert result.exit_code == 137
    assert 1.0 + limits.KILL_GRACE_SECONDS <= result.seconds < limits.KILL_GRACE_SECONDS + 5


async def test_a_locked_home_is_removed(tmp_path: Path) -> None:
    """A command cannot leave a folder behind by taking its permissions away."""
    sandbox = BareSandbox(tmp_path / "scratch")
    code = "mkdir -p $HOME/a/b && chmod 0 $HOME/a/b $HOME/a $HOME"
    await sandbox.run(["sh", "-c", code], tmp_path, timeout_seconds=60)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_descendants_are_found_whatever_their_name() -> None:
    """A program name with brackets and spaces does not confuse the reading of /proc."""
    code = """
import time
open("/proc/self/comm", "w").write(") R 1 (x")
print(1, flush=True)
time.sleep(300)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read(1)
        try:
            assert child.pid in launch.descendants(os.getpid())
        finally:
            child.kill()
