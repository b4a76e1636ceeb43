"""A program as a code agent: a puppet that speaks like Claude Code, real processes and sockets."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from juggernaut.adapters.agents.claude_code import ClaudeCode
from juggernaut.adapters.agents.cli import CliAgent
from juggernaut.adapters.agents.codex import Codex
from juggernaut.adapters.agents.opencode import OpenCode
from juggernaut.adapters.agents.registry import Registry
from juggernaut.adapters.sandboxes.bare import BareSandbox
from juggernaut.adapters.sandboxes.bubblewrap import BubblewrapSandbox
from juggernaut.app.agents import agent_version, choose_agent, registry
from juggernaut.app.settings import Settings
from juggernaut.domain.agents import AgentEvent, EventKind
from juggernaut.domain.errors import (
    BudgetExhausted,
    ConfigError,
    ModelRefused,
    ModelUnavailable,
)
from juggernaut.domain.exchange import AgentRequest, AgentResult, CommandResult
from juggernaut.ports import Sandbox
from tests.adapters.agents.program import NOTE, Model, Turn, puppet_program

WRITE: Turn = ("I write.", [("write", {"path": "x", "content": "made"})])
FINISH: Turn = ("", [("finish", {"summary": "x is made"})])
CANARY = "FAKE-canary-" + "0123456789"


class Bench:
    """An agent, a tree, and what it told."""

    def __init__(self, folder: Path) -> None:
        """Make the tree."""
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.scratch = folder / "agents"
        self.agent = CliAgent(ClaudeCode(), self.scratch, str(puppet_program(folder)))
        self.sandbox: Sandbox = BareSandbox(folder / "s")
        self.told: list[AgentEvent] = []
        self.model = Model([])
        self.note: str | BaseException = NOTE

    async def run(self, *turns: Turn | BaseException, **more: Any) -> AgentResult:
        """Let the agent work by a script."""
        self.model = Model(turns)
        self.model.note = self.note
        given = {"prompt": "Make x.", "system": "Rules.", "worktree": str(self.tree), **more}
        return await self.agent.execute(
            AgentRequest(**given), self.model, self.sandbox, self.told.append
        )

    def ends(self) -> int:
        """Count the ends that were told."""
        return [event.kind for event in self.told].count(EventKind.ENDED)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Make a bench."""
    return Bench(tmp_path)


async def test_the_input_is_whole_and_not_in_sight(bench: Bench) -> None:
    """A prompt that no argument could hold; neither it nor the key stands in a command line."""
    look = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; done 2>/dev/null; env"
    long = "x" * 300_000
    got = await bench.run(
        ("", [("run", {"argv": ["sh", "-c", look]})]),
        FINISH,
        prompt=f"Make x. {CANARY} {long}",
        test_argv=("python", "-m", "pytest"),
    )
    assert got.finished
    first = bench.model.requests[0].messages[0].text
    assert first.startswith("Rules.\n\nMake x.")
    assert long in first
    assert first.endswith('["python", "-m", "pytest"]')
    seen = bench.model.requests[1].messages[-1].tool_results[0].text
    assert CANARY not in seen
    lines, _, environment = seen.rpartition("\nHOME=")
    key = environment.partition("ANTHROPIC_API_KEY=")[2].partition("\n")[0]
    if key:
        assert key not in lines


async def test_the_environment_is_built(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the daemon's gets in but PATH; HOME and TMPDIR are the run's own."""
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", CANARY)
    monkeypatch.setenv("GITHUB_TOKEN", CANARY)
    await bench.run(("", [("run", {"argv": ["env"]})]), FINISH)
    seen = bench.model.requests[1].messages[-1].tool_results[0].text
    names = {line.partition("=")[0]: line.partition("=")[2] for line in seen.splitlines()}
    assert CANARY not in seen
    assert {"PATH", "HOME", "TMPDIR", "LANG", "ANTHROPIC_BASE_URL"} <= set(names)
    assert "GIT_TERMINAL_PROMPT" not in names, "that is the sandbox's own"
    assert names["ANTHROPIC_BASE_URL"].startswith("http://127.0.0.1:")
    home = Path(names["HOME"])
    assert home.is_relative_to(bench.scratch)
    assert stat.S_IMODE(home.stat().st_mode) & 0o077 == 0


async def test_walls_leave_one_way_out(bench: Bench) -> None:
    """In bubblewrap there is no network at all, and the model is reached all the same."""
    program = shutil.which("bwrap")
    if program is None:
        pytest.skip("needs bwrap")
    bench.sandbox = BubblewrapSandbox(program, bench.scratch)
    # What lies below /tmp is not seen inside; the program lies in the tree, as it must not.
    inside = bench.tree / "claude"
    shutil.copy(puppet_program(bench.tree.parent), inside)
    bench.agent = CliAgent(ClaudeCode(), bench.scratch, str(inside))
    look = ("", [("run", {"argv": ["sh", "-c", "cat /proc/net/dev | grep -c :; id -un"]})])
    got = await bench.run(look, WRITE, FINISH)
    assert got.finished, got.reason
    assert bench.model.requests[1].messages[-1].tool_results[0].text.startswith("1\n")
    assert (bench.tree / "x").read_text() == "made"
    assert got.notes == ()


async def test_weak_walls_are_said(bench: Bench) -> None:
    """The result says that there were none; a level without sockets is refused."""
    got = await bench.run(WRITE, FINISH)
    assert "sandbox level is bare" in got.notes[0]

    class Landlock:
        """A sandbox that has no sockets."""

        level = "landlock"

        async def run(self, argv: Sequence[str], cwd: Path, **more: Any) -> CommandResult:
            """Run nothing."""
            raise AssertionError(argv, cwd, more)

    bench.sandbox = Landlock()
    with pytest.raises(ConfigError, match="install bubblewrap"):
        await bench.run(WRITE, FINISH)


async def test_it_goes_on_where_it_was(bench: Bench) -> None:
    """The session's name comes back, and HOME is kept as long as the tree is there."""
    keep = ("", [("run", {"argv": ["sh", "-c", "echo kept >> $HOME/note; cat $HOME/note"]})])
    first = await bench.run(keep, FINISH)
    assert first.session == "session-1"
    again = await bench.run(keep, FINISH, session="session-7")
    assert again.session == "session-7"
    assert bench.model.requests[1].messages[-1].tool_results[0].text == "kept\nkept\n"
    homes = list(bench.scratch.iterdir())
    assert len(homes) == 1
    assert {path.name for path in homes[0].iterdir()} == {"home", "worktree"}
    bench.tree.rename(bench.tree.parent / "gone")
    bench.tree = bench.tree.parent / "other"
    bench.tree.mkdir()
    await bench.run(WRITE, FINISH)
    assert not homes[0].exists()


async def test_what_an_agent_puts_in_its_place_is_not_followed(bench: Bench) -> None:
    """A HOME full of links: the next run neither writes through them nor stumbles."""
    victim = bench.tree.parent / "victim"
    victim.write_text("whole")
    code = f"cd $HOME/..; ln -s {victim} spec.json; ln -s {victim} said.txt; ln -s / doors"
    await bench.run(("", [("run", {"argv": ["sh", "-c", code]})]), FINISH)
    assert (await bench.run(WRITE, FINISH)).finished
    assert victim.read_text() == "whole"


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        ([WRITE, ("", [("exit", {"code": 0})])], "gave 0 results instead of one, exit code 0"),
        ([WRITE, ("", [("exit", {"code": 3})])], "gave 0 results instead of one, exit code 3"),
        ([WRITE, ("", [("print", {"lines": '{"type":"result"}\n'})]), FINISH], "gave 2 results"),
        ([FINISH], "claimed success"),
    ],
)
async def test_its_end_is_judged(bench: Bench, turns: list[Turn], told: str) -> None:
    """No result, too many, no work."""
    got = await bench.run(*turns)
    assert not got.finished
    assert told in got.reason
    assert bench.ends() == 1


async def test_a_very_long_line_is_read(bench: Bench) -> None:
    """Two megabytes, and the result after it."""
    line = json.dumps({"type": "assistant", "message": {"content": [{"type": "x" * 2 * 2**20}]}})
    got = await bench.run(WRITE, ("", [("print", {"lines": line + "\n"})]), FINISH)
    assert got.finished


async def test_turns_run_out(bench: Bench) -> None:
    """The endpoint ends a run whatever the program thinks of turns, and lands once."""
    got = await bench.run(WRITE, max_turns=3)
    assert (got.finished, got.reason, got.turns) == (False, "out of turns after 3", 3)
    assert got.handoff == NOTE
    assert len(bench.model.requests) == 4


async def test_time_runs_out(bench: Bench) -> None:
    """The program is dead, and its work is handed off."""
    got = await bench.run(WRITE, ("", [("hang", {})]), timeout_seconds=2.0)
    assert got.reason == "out of time after 2 s"
    assert got.handoff == NOTE
    assert bench.ends() == 1


async def test_the_purse_ends_a_run(bench: Bench) -> None:
    """After the first turn it is a bound; before it, the caller's to handle."""
    empty = BudgetExhausted("purse day cannot pay")
    got = await bench.run(WRITE, empty)
    assert (got.finished, got.purse) == (False, "purse day cannot pay")
    assert got.handoff == NOTE
    with pytest.raises(BudgetExhausted, match="purse day"):
        await bench.run(empty)


@pytest.mark.parametrize("error", [ModelRefused("no such key"), ModelUnavailable("overloaded")])
async def test_the_models_errors_are_raised(bench: Bench, error: Exception) -> None:
    """They are the lifecycle's to handle, as those of the built-in agent; each run ends once."""
    with pytest.raises(type(error), match=str(error)):
        await bench.run(WRITE, error)
    assert (bench.ends(), bench.model.landings) == (1, 0)


async def test_cancelling_kills_a_group_that_fled(bench: Bench) -> None:
    """A child in a session of its own is dead too, when the cancelled run returns."""
    code = "setsid sh -c 'echo $$ > pid; exec sleep 300' & wait"
    task = asyncio.create_task(bench.run(("", [("run", {"argv": ["sh", "-c", code]})])))
    pid = bench.tree / "pid"
    async with asyncio.timeout(15):
        while not pid.exists() or not pid.read_text().strip():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not Path("/proc", pid.read_text().strip()).exists()
    assert (bench.ends(), bench.model.landings) == (1, 0)


async def test_a_killed_program_is_no_success(bench: Bench) -> None:
    """SIGTERM from outside, in the middle of a run."""
    kill = ("", [("run", {"argv": ["sh", "-c", f"kill -{int(signal.SIGTERM)} $PPID"]})])
    got = await bench.run(WRITE, kill, FINISH)
    assert not got.finished
    assert "exit code 143" in got.reason
    assert bench.model.landings == 0


def test_the_first_registered_is_the_default() -> None:
    """And an unknown name is told the known ones."""
    agents = registry(Settings(), Path("unused"))
    assert agents.names == ("builtin", "claude-code", "opencode", "codex")
    assert agents.make().name == "builtin"
    assert agents.make("codex").name == "codex"
    with pytest.raises(ConfigError, match="'gpt'.*builtin, claude-code, opencode, codex"):
        agents.make("gpt")
    with pytest.raises(ConfigError, match="twice"):
        agents.register("codex", lambda: CliAgent(Codex(), Path("unused")))
    with pytest.raises(ConfigError, match="no code agent"):
        Registry().make()


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """At the start and by doctor, before any task is claimed."""
    missing = Settings(agent="opencode", agent_path=tmp_path / "nothing")
    for look in (lambda: choose_agent(missing, tmp_path), lambda: agent_version(missing)):
        with pytest.raises(ConfigError, match="opencode.*JUGGERNAUT_AGENT_PATH"):
            look()
    assert CliAgent(OpenCode(), tmp_path).capabilities.permissions


@pytest.mark.parametrize(("body", "told"), [("echo 9.9", "9.9"), ("echo broken >&2; exit 3", None)])
def test_doctor_asks_the_program(tmp_path: Path, body: str, told: str | None) -> None:
    """Its version with its path, or what is wrong with it."""
    program = tmp_path / "codex"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    settings = Settings(agent="codex", agent_path=program)
    if told is None:
        with pytest.raises(ConfigError, match="ended with 3: broken"):
            agent_version(settings)
    else:
        assert agent_version(settings) == f"codex: {told} ({program})"
    assert agent_version(Settings()) == "builtin"
    assert os.access(program, os.X_OK)
