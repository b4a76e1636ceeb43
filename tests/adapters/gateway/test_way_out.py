"""Commands in a real bubblewrap reach what the policy allows, and nothing else."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from juggernaut.adapters.gateway.sandbox import ProxyGateway
from juggernaut.adapters.sandboxes.bare import BareSandbox
from juggernaut.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from juggernaut.adapters.sandboxes.landlock import LandlockSandbox
from juggernaut.domain.errors import LeaseLost
from juggernaut.domain.network import Allowed, Contact, read_network
from juggernaut.ports import Sandbox
from tests.adapters.gateway.tls_server import HOST, WHEEL, Index, serving

LONG = 60.0
# Asks the proxy by hand, one request an argument, and prints the first line of each answer.
ASK = """
import os, socket, sys, urllib.parse
way = urllib.parse.urlsplit(os.environ["https_proxy"])
for head in sys.argv[1:]:
    head = head.replace("PORT", str(way.port)) + "\\r\\n\\r\\n"
    with socket.create_connection((way.hostname, way.port)) as stream:
        stream.sendall(head.encode())
        print(stream.makefile("rb").readline().decode().strip())
"""
DIRECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"

needs_bwrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="needs bubblewrap (apt-get install bubblewrap)"
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Serve a package index."""
    with serving(tmp_path_factory.mktemp("index")) as found:
        yield found


class Scene:
    """A tree, a sandbox with a way out, and what was told of it."""

    def __init__(self, folder: Path) -> None:
        """Make the tree."""
        self.folder = folder
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.doors = folder / ("doors-with-a-name-" * 8)  # longer than the name of a socket may be
        self.doors.mkdir()
        program = shutil.which("bwrap") or ""
        self.inner = BubblewrapSandbox(program, folder / "scratch", [self.doors])
        self.told: list[Contact] = []

    async def tell(self, contact: Contact) -> None:
        """Keep what is told."""
        self.told.append(contact)

    def allowing(self, *entries: str) -> Sandbox:
        """Give the sandbox that a policy makes."""
        allowed = read_network({"allow": list(entries)})
        return ProxyGateway(self.doors).through(self.inner, allowed, self.tell)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Make a scene."""
    return Scene(tmp_path)


@needs_bwrap
async def test_pip_installs_from_an_allowed_index_and_nothing_else_is_reached(
    scene: Scene, index: Index
) -> None:
    """A real pip, real TLS, real walls; each connection is told, and no socket is left."""
    shutil.copy(index.certificate, scene.tree / "index.pem")
    argv = [
        *("python", "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"),
        *("--index-url", f"https://{index.entry}/simple", "--cert", "index.pem", "tiny-thing"),
    ]
    sandbox = scene.allowing(index.entry)
    result = await sandbox.run(argv, scene.tree, timeout_seconds=LONG)
    assert result.exit_code == 0, result.output
    assert result.argv == tuple(argv)
    assert (scene.tree / WHEEL).is_file()
    assert {(one.host, one.port, one.refused) for one in scene.told} == {(HOST, index.port, "")}
    assert min(min(one.sent, one.received) for one in scene.told) > 0
    assert list(scene.doors.iterdir()) == []
    assert sandbox.level == "bubblewrap"
    direct = ["python", "-c", DIRECT, HOST, str(index.port)]
    assert (await sandbox.run(direct, scene.tree, timeout_seconds=LONG)).exit_code == 1


@needs_bwrap
async def test_without_an_entry_there_is_neither_variable_nor_socket(scene: Scene) -> None:
    """An empty policy is the sandbox as it was."""
    sandbox = scene.allowing()
    result = await sandbox.run(["env"], scene.tree, timeout_seconds=LONG)
    assert "proxy" not in result.output.lower()
    assert list(scene.doors.iterdir()) == []
    bare, landlock = BareSandbox(scene.folder / "s"), LandlockSandbox(scene.folder / "s")
    entries = (Allowed("pypi.org", 443),)
    for other in (bare, landlock):
        assert ProxyGateway(scene.doors).through(other, entries, scene.tell) is other


@needs_bwrap
async def test_what_is_not_allowed_is_refused_with_a_reason(scene: Scene, index: Index) -> None:
    """Another host or port, no credential or a wrong one, and plain HTTP."""
    argv = [
        *("python", "-c", ASK),
        f"CONNECT {index.entry} HTTP/1.1\r\nHost: x",
        f"CONNECT {index.entry} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic eDp5",
        f"GET http://{index.entry}/simple/ HTTP/1.1\r\nHost: x",
        "HELLO",
    ]
    result = await scene.allowing(index.entry).run(argv, scene.tree, timeout_seconds=LONG)
    statuses = [line.split()[1] for line in result.output.splitlines()]
    assert statuses == ["407", "407", "405", "400"], result.output
    assert "only CONNECT leads out" in result.output
    assert [one.host for one in scene.told] == [HOST, HOST, "-", "-"]
    assert all(one.refused for one in scene.told)
    scene.told.clear()
    open_it = "import urllib.request; urllib.request.urlopen('https://evil.example/', timeout=9)"
    result = await scene.allowing(index.entry).run(
        ["python", "-c", open_it], scene.tree, timeout_seconds=LONG
    )
    assert "403 not in network.allow of config/policy.yaml" in result.output
    assert [one.told() for one in scene.told] == [
        "evil.example:443 refused: not in network.allow of config/policy.yaml"
    ]


@needs_bwrap
async def test_it_is_the_same_sandbox_otherwise(scene: Scene) -> None:
    """Output, exit codes, signals, time limits, own servers, and programs that are not there."""
    sandbox = scene.allowing("pypi.org:443")

    async def run(*argv: str, seconds: float = LONG) -> tuple[int, str]:
        """Run a command."""
        result = await sandbox.run(argv, scene.tree, timeout_seconds=seconds)
        return result.exit_code, result.output

    assert await run("sh", "-c", "echo one; echo two >&2; cat; pwd; exit 3") == (
        3,
        f"one\ntwo\n{scene.tree}\n",
    )
    assert (await run("sh", "-c", "kill -9 $$"))[0] == 137
    assert await run("sh", "-c", f"ls {scene.doors}/*") == (0, "proxy.sock\n")
    code, said = await run("no-such-program")
    assert (code, "cannot start 'no-such-program'" in said) == (127, True)
    assert (await run())[0] == 127
    assert await run("echo", "@PORT@ @MODEL@") == (0, "@PORT@ @MODEL@\n")
    assert (await run("true", "a\0b"))[0] == 127
    result = await sandbox.run(["sleep", "300"], scene.tree, timeout_seconds=0.5)
    assert result.timed_out
    own = (
        "import http.server, threading, urllib.request as r;"
        "s = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler);"
        "threading.Thread(target=s.serve_forever, daemon=True).start();"
        "print(r.urlopen(f'http://127.0.0.1:{s.server_port}/').status)"
    )
    assert (await run("python", "-c", own))[1].splitlines()[-1] == "200"
    assert scene.told == []


@needs_bwrap
async def test_no_line_no_connection(scene: Scene, index: Index) -> None:
    """An attempt that cannot write its log any more reaches nothing, and ends."""
    allowed = read_network({"allow": [index.entry]})

    async def lost(contact: Contact) -> None:
        """Refuse a line."""
        raise LeaseLost("gone")

    sandbox = ProxyGateway(scene.doors).through(scene.inner, allowed, lost)
    code = f"""
import ssl, urllib.request, http.client
for _ in range(2):
    try:
        urllib.request.urlopen("https://{index.entry}/", context=ssl._create_unverified_context())
        print("reached")
    except OSError as error:
        print(error)
"""
    with pytest.raises(LeaseLost):
        await sandbox.run(["python", "-c", code], scene.tree, timeout_seconds=LONG)
    assert list(scene.doors.iterdir()) == []


@needs_bwrap
async def test_a_cancelled_command_leaves_no_socket(scene: Scene, index: Index) -> None:
    """What was open is cut, told and gone."""
    code = """
import os, socket, sys, time, urllib.parse, base64
way = urllib.parse.urlsplit(os.environ["https_proxy"])
word = base64.b64encode(f"{way.username}:{way.password}".encode()).decode()
stream = socket.create_connection((way.hostname, way.port))
head = f"CONNECT {sys.argv[1]} HTTP/1.1\\r\\nHost: x\\r\\nProxy-Authorization: Basic {word}"
stream.sendall(head.encode() + b"\\r\\n\\r\\n")
stream.recv(10)
open("connected", "w").close()
time.sleep(300)
"""
    argv = ["python", "-c", code, index.entry]
    work = asyncio.create_task(
        scene.allowing(index.entry).run(argv, scene.tree, timeout_seconds=LONG)
    )
    deadline = time.monotonic() + 15
    while not (scene.tree / "connected").exists():
        assert time.monotonic() < deadline, "it did not connect"
        await asyncio.sleep(0.02)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert [(one.host, one.refused) for one in scene.told] == [(HOST, "")]
    assert list(scene.doors.iterdir()) == []
