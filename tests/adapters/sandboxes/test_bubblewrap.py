import shutil
import socket
import sys
from pathlib import Path

import pytest

from juggernaut.adapters.sandboxes.bare import BareSandbox
from juggernaut.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from juggernaut.adapters.sandboxes.probe import best_sandbox

SECRET = "FAKE-secret-in-a-file"
LONG = 60.0

pytestmark = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="needs bubblewrap (apt-get install bubblewrap)"
)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Give a folder with a work tree, a second folder, and a data folder with a secret."""
    for name in ("tree", "other", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "data" / "secret").write_text(SECRET)
    return tmp_path


def walled(machine: Path, *hidden: Path) -> BubblewrapSandbox:
    """Give a sandbox that hides some paths."""
    return BubblewrapSandbox(shutil.which("bwrap") or "", machine / "scratch", hidden)


@pytest.mark.parametrize("where", ["/", "/etc", "/usr", "/var", "/proc/sys/kernel"])
async def test_the_machine_is_read_only(machine: Path, where: str) -> None:
    """A write outside fails and leaves nothing."""
    target = Path(where) / "juggernaut-wrote-here"
    result = await walled(machine).run(
        ["sh", "-c", f"echo x > {target}"], machine / "tree", timeout_seconds=LONG
    )
    assert result.exit_code != 0
    assert not target.exists()


async def test_tmp_is_private(machine: Path) -> None:
    """The command has a /tmp; what it writes there is not on the machine."""
    name = f"/tmp/{machine.name}-private"
    result = await walled(machine).run(
        ["sh", "-c", f"echo x > {name} && cat {name}"], machine / "tree", timeout_seconds=LONG
    )
    assert (result.exit_code, result.output) == (0, "x\n")
    assert not Path(name).exists()


async def test_only_what_is_listed_is_writable(machine: Path) -> None:
    """Another folder opens by being listed, and only then."""
    box, other = walled(machine), machine / "other"
    argv = ["sh", "-c", f"echo x > {other}/made"]
    assert (await box.run(argv, machine / "tree", timeout_seconds=LONG)).exit_code != 0
    result = await box.run(argv, machine / "tree", timeout_seconds=LONG, writable=[other])
    assert result.exit_code == 0
    assert (other / "made").exists()


async def test_a_writable_path_that_is_missing_is_named(machine: Path) -> None:
    """No exception, no half-built sandbox."""
    result = await walled(machine).run(
        ["true"], machine / "tree", timeout_seconds=LONG, writable=[machine / "gone"]
    )
    assert result.exit_code == 127
    assert "gone" in result.output


async def test_hidden_paths_are_empty(machine: Path) -> None:
    """A hidden folder and a hidden file show nothing, even to who walks around a link."""
    (machine / "tree" / "link").symlink_to(machine / "data")
    key = Path(machine / "other" / "key")
    key.write_text(SECRET)
    argv = ["sh", "-c", f"cat {machine}/data/secret link/secret {key}; ls -A {machine}/data"]
    box = walled(machine, machine / "data", key, machine / "not-there")
    result = await box.run(argv, machine / "tree", timeout_seconds=LONG)
    assert SECRET not in result.output
    plain = await BareSandbox(machine / "s").run(argv, machine / "tree", timeout_seconds=LONG)
    assert SECRET in plain.output  # the canary is real


async def test_a_work_tree_in_a_hidden_folder_opens_alone(machine: Path) -> None:
    """The data folder is hidden, the work tree below it is not."""
    work = machine / "data" / "work"
    work.mkdir()
    result = await walled(machine, machine / "data").run(
        ["sh", "-c", "echo x > made; ls -A .."], work, timeout_seconds=LONG
    )
    assert (result.exit_code, result.output) == (0, "work\n")
    assert (work / "made").exists()


async def test_the_interpreter_is_there_though_its_folder_is_hidden(machine: Path) -> None:
    """Hiding the folder above the virtual environment keeps `python` and its packages."""
    above = Path(sys.prefix).parent
    result = await walled(machine, above, Path.home()).run(
        ["python", "-c", "import pytest, ssl; print('ok')"], machine / "tree", timeout_seconds=LONG
    )
    assert result.output == "ok\n"


async def test_there_is_no_network_and_no_socket_of_the_machine(machine: Path) -> None:
    """Neither TCP to the machine, nor an abstract socket, nor one in /tmp or /run."""
    abstract = f"\0{machine.name}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(abstract)
        unix.listen()
        code = f"""
import socket
for family, address in ((socket.AF_INET, ("127.0.0.1", {tcp.getsockname()[1]})),
                        (socket.AF_UNIX, {abstract!r})):
    try:
        socket.socket(family).connect(address)
        print("connected")
    except OSError as error:
        print(type(error).__name__)
"""
        result = await walled(machine).run(
            ["python", "-c", code], machine / "tree", timeout_seconds=LONG
        )
    assert result.output.split() == ["ConnectionRefusedError", "ConnectionRefusedError"]


async def test_other_processes_are_out_of_sight(machine: Path) -> None:
    """The daemon's environment cannot be read through /proc."""
    result = await walled(machine).run(
        ["sh", "-c", "cat /proc/[0-9]*/environ | tr '\\0' '\\n'; grep CapEff /proc/self/status"],
        machine / "tree",
        timeout_seconds=LONG,
    )
    assert "PYTEST" not in result.output
    assert result.output.rstrip().endswith("0000000000000000")


async def test_the_probe_finds_it(machine: Path) -> None:
    """On a machine where bwrap works, it is taken."""
    assert (await best_sandbox(machine / "scratch", [machine / "data"])).level == "bubblewrap"


async def test_the_probe_does_not_believe_a_name(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bwrap that fails, or that lets everything through, is not a sandbox."""
    for script in ("exit 1", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"'):
        fake = machine / "other" / "bwrap"
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", str(fake.parent), prepend=":")
        assert (await best_sandbox(machine / "scratch", [])).level != "bubblewrap"
        assert not list(Path("/").glob(".juggernaut-probe-*"))
