"""The prefix of a long run is read from the provider's cache, over the real SDKs and real tools."""

from __future__ import annotations

import json
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from juggernaut.adapters.llm.openai import OpenAIModel
from juggernaut.adapters.llm.prices import Ceilings
from juggernaut.adapters.llm.script import Turn
from juggernaut.adapters.llm.wire_model import Endpoint
from juggernaut.adapters.sandboxes.bare import BareSandbox
from juggernaut.coder.loop import BuiltinAgent
from juggernaut.domain.exchange import AgentRequest, AgentResult, ModelReply, ModelRequest
from juggernaut.ports import LanguageModel
from tests.fakes.model_requests import ask as one_question
from tests.fakes.model_requests import wire_model
from tests.fakes.wire_cache import Answer, CachingAnthropic, CachingOpenAI, plain, turn
from tests.fakes.wire_server import KEY, WireServer

ROOT = Path(__file__).parents[2]
SYSTEM = (ROOT / "config" / "prompts" / "coder.md").read_text()
GOAL = "Rename step_7 to paces."
CRITERION = "each part has paces, and the old name warns."
PLAN = "My plan: rename part by part, keep the old name as an alias."
SHARE = 0.95
FEW_TURNS_SHARE = 0.7
LINES = "".join(f"def step_{n}(x: int) -> int:\n    return x + {n}\n\n\n" for n in range(300))


class Counted:
    """Asks a model, and adds up what the provider says it read, wrote and took in."""

    def __init__(self, model: LanguageModel) -> None:
        """Wrap a model."""
        self._model = model
        self.sums: Counter[str] = Counter()

    async def __call__(self, request: ModelRequest) -> ModelReply:
        """Ask."""
        reply = await self._model.complete(request)
        usage = reply.usage
        self.sums.update(
            read=usage.cache_read_tokens, fresh=usage.input_tokens, written=usage.cache_write_tokens
        )
        return reply

    @property
    def share(self) -> float:
        """Give the share of all input tokens that came from the cache."""
        return self.sums["read"] / self.sums.total()


def plant(folder: Path, files: int = 30) -> Path:
    """Make a project of some size."""
    tree = folder / "tree"
    (tree / "src").mkdir(parents=True)
    for number in range(files):
        (tree / "src" / f"part_{number}.py").write_text(LINES)
    return tree


def working(number: int) -> Turn:
    """Give what a model asks for in its turn: looking, changing, testing, many calls at once."""
    path = f"src/part_{number % 30}.py"
    if number % 20 == 7:
        many = [("read", {"path": path, "start": 1 + 5 * n, "lines": 5}) for n in range(14)]
        return turn("I compare several places.", *many)
    if number % 6 == 1:
        return turn("", ("search", {"pattern": f"step_{number}\\b", "path": path}))
    if number % 6 == 3:
        argv = [sys.executable, "-c", f"print('ran {number}\\n' * 40)"]
        return turn("I run it.", ("run", {"argv": argv}))
    if number % 6 == 5:
        new = f"def step_{number}(x: int) -> int:\n    return {number} + x\n"
        return turn("", ("write", {"path": f"src/new_{number}.py", "content": new * 10}))
    return turn(f"Now {path}.", ("read", {"path": path, "start": 1 + number, "lines": 60}))


async def run(
    tree: Path, server: WireServer, provider: str, turns: int, context_tokens: int | None = None
) -> tuple[Counted, AgentResult]:
    """Let the built-in agent work against a server."""
    ask = Counted(wire_model(provider, server.url))
    request = AgentRequest(
        f"{GOAL}\n\nThe criteria: {CRITERION}\n",
        SYSTEM,
        str(tree),
        ("python", "-m", "pytest"),
        turns,
        60.0,
        context_tokens=context_tokens,
    )
    result = await BuiltinAgent().execute(request, ask, BareSandbox(tree.parent / "scratch"))
    return ask, result


def ends_at(last: int, answer: Answer) -> Answer:
    """Let a model finish after so many turns."""
    done = turn("", ("finish", {"summary": "renamed"}))
    return lambda number: answer(number) if number < last - 1 else done


@pytest.mark.parametrize("kind", [CachingAnthropic, CachingOpenAI])
async def test_sixty_turns_are_read_from_the_cache(
    tmp_path: Path, kind: type[CachingAnthropic | CachingOpenAI]
) -> None:
    """At least 95 % of all input tokens, and what was sent once is sent again byte for byte."""
    tree = plant(tmp_path)
    provider = "anthropic" if kind is CachingAnthropic else "openai"
    async with kind(ends_at(60, working)) as server:
        ask, result = await run(tree, server, provider, 61)
        seen = [json.dumps(plain(one.body["messages"])) for one in server.requests]
    sys.stdout.write(f"{provider}: 60 turns, {dict(ask.sums)}, share {ask.share:.4f}\n")
    assert (result.finished, result.turns) == (True, 60)
    assert ask.share >= SHARE
    assert all(new.startswith(old[:-1]) for old, new in zip(seen, seen[1:], strict=False))


@pytest.mark.parametrize("name", ["anthropic/claude-x", "openai/gpt-x"])
async def test_a_conversation_through_openrouter_is_cached(tmp_path: Path, name: str) -> None:
    """Claude has to be asked for it, by a field that others do not get."""
    tree = plant(tmp_path, files=3)
    async with CachingOpenAI(ends_at(12, lambda number: working(number * 2))) as server:
        at = Endpoint("openrouter", name, KEY, server.url, Ceilings(Decimal(1), Decimal(1)))
        ask = Counted(OpenAIModel(at))
        request = AgentRequest(GOAL, SYSTEM, str(tree), None, 13, 30.0)
        await BuiltinAgent().execute(request, ask, BareSandbox(tmp_path / "scratch"))
        await OpenAIModel(at).complete(one_question("Which?", force_tool="read"))
    assert ask.share >= FEW_TURNS_SHARE
    asked = ["cache_control" in seen.body for seen in server.requests]
    assert asked == [name.startswith("anthropic/")] * 12 + [False]


def renaming(number: int) -> Turn:
    """Give a turn of a long rename: each part is read and edited, sometimes a test is run."""
    part, step = divmod(number, 3)
    path = f"src/part_{part}.py"
    if number == 0:
        return turn(PLAN, ("read", {"path": path, "lines": 50}))
    if number % 60 == 50:
        code = "print('a line\\n' * 50); print('FAILED test_paces'); raise SystemExit(1)"
        return turn("", ("run", {"argv": [sys.executable, "-c", code]}))
    if step == 0:
        return turn("", ("read", {"path": path, "lines": 50}))
    if step == 1:
        edit: dict[str, object] = {"path": path, "old": "def step_7(", "new": "def paces("}
        return turn(f"In part {part} nobody needs the alias.", ("edit", edit))
    return turn("", ("read", {"path": path, "start": 20 + part, "lines": 50}))


async def test_three_hundred_turns_in_a_small_window(tmp_path: Path) -> None:
    """Never over it; goal, criteria, plan, decisions, changes and open files are always there."""
    tree = plant(tmp_path, files=101)
    window = 64_000
    async with CachingAnthropic(ends_at(300, renaming)) as server:
        ask, result = await run(tree, server, "anthropic", 301, window)
        bodies = [one.body for one in server.requests]
    texts = [json.dumps(plain(body["messages"])) for body in bodies]
    rewritten = [n for n in range(1, 300) if not texts[n].startswith(texts[n - 1][:-1])]
    sys.stdout.write(
        f"300 turns, window {window}, largest request {server.largest} tokens, compacted"
        f" {len(rewritten)} times, {dict(ask.sums)}, share {ask.share:.4f}\n"
    )
    assert (result.finished, result.turns) == (True, 300)
    assert server.largest + max(body["max_tokens"] for body in bodies) <= window
    assert 3 <= len(rewritten) <= 20
    assert ask.share >= 0.85
    for number in range(rewritten[0], 300):
        assert all(kept in texts[number] for kept in (GOAL, CRITERION, PLAN))
        assert number < 52 or "FAILED test_paces" in texts[number]
        assert f"src/part_{(number - 1) // 3}.py" in texts[number]
    for number in rewritten:
        record, part = bodies[number]["messages"][2]["content"][0]["text"], (number - 1) // 3
        assert all(f"src/part_{done}.py: 1 times" in record for done in range(part - 12, part))
        assert sum(f"In part {done} nobody" in record for done in range(part - 9, part)) >= 8
        assert f"src/part_{part - 1}.py from line" in record
