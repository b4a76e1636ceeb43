import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from juggernaut.adapters.sandboxes.bare import BareSandbox
from juggernaut.coder.loop import BuiltinAgent
from juggernaut.domain import limits
from juggernaut.domain.errors import ModelGarbled, ModelUnavailable
from juggernaut.domain.exchange import (
    AgentRequest,
    AgentResult,
    ModelReply,
    ModelRequest,
    StopReason,
    ToolCall,
    Usage,
)
from juggernaut.domain.purse import Landing

Step = ModelReply | BaseException | Callable[[ModelRequest], ModelReply]


def says(text: str = "", *calls: ToolCall, stop: StopReason | None = None) -> ModelReply:
    """Make a scripted reply."""
    end = StopReason.TOOL if calls else StopReason.END
    return ModelReply(text, calls, stop or end, Usage(), "scripted/turns", Decimal(0))


def call(name: str, ident: str = "c1", **arguments: object) -> ToolCall:
    """Make a tool call."""
    return ToolCall(ident, name, arguments)


class Script:
    """A scripted model: gives its turns in order, and checks that each request is valid."""

    def __init__(self, *steps: Step) -> None:
        """Take the turns; the last one is repeated for ever."""
        self._steps = steps
        self.requests: list[ModelRequest] = []

    async def __call__(self, request: ModelRequest) -> ModelReply:
        """Give the next turn."""
        assert_valid(request)
        self.requests.append(request)
        step = self._steps[min(len(self.requests), len(self._steps)) - 1]
        if isinstance(step, BaseException):
            raise step
        return step if isinstance(step, ModelReply) else step(request)

    def heard(self) -> str:
        """Give the last thing that the model was shown."""
        last = self.requests[-1].messages[-1]
        return "\n".join([last.text, *(result.text for result in last.tool_results)])


def assert_valid(request: ModelRequest) -> None:
    """Roles alternate from user to user, nothing is empty, each call has exactly one result."""
    messages = request.messages
    assert [m.role for m in messages] == [
        "assistant" if place % 2 else "user" for place in range(len(messages))
    ]
    assert len(messages) % 2 == 1
    for old, new in zip(messages, messages[1:], strict=False):
        if old.role == "assistant":
            assert [c.id for c in old.tool_calls] == [r.call_id for r in new.tool_results]
    assert all(m.text.strip() or m.tool_calls or m.tool_results for m in messages)


class Bench:
    """A project with a bug, and the agent on it."""

    def __init__(self, folder: Path) -> None:
        """Write the project."""
        self.tree = folder / "tree"
        self.tree.mkdir()
        (self.tree / "calc.py").write_text("def add(a, b):\n    return a - b\n")
        (self.tree / "check.py").write_text("import calc\nassert calc.add(2, 2) == 4\n")
        self.request = AgentRequest(
            prompt="Fix add.", system="You are scripted.", worktree=str(self.tree)
        )
        self.sandbox = BareSandbox(folder / "scratch")

    async def work(self, script: Script, **changes: int | float) -> AgentResult:
        """Run the agent to its end."""
        values = {**{"max_turns": 12, "timeout_seconds": 15.0}, **changes}
        request = replace(
            self.request,
            max_turns=int(values["max_turns"]),
            timeout_seconds=float(values["timeout_seconds"]),
        )
        return await BuiltinAgent().execute(request, script, self.sandbox)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Give a fresh bench."""
    return Bench(tmp_path)


async def test_a_bug_is_found_fixed_and_proved(bench: Bench) -> None:
    """The whole way: look, see the test fail, edit, see it pass, finish."""
    script = Script(
        says("Let me look.", call("search", "a", pattern="def add"), call("list", "b")),
        says("", call("run", argv=["python", "check.py"])),
        says(
            "",
            call("read", "d", path="calc.py"),
            call("edit", path="calc.py", old="a - b", new="a + b"),
        ),
        says("", call("run", argv=["python", "check.py"])),
        says("Done.", call("finish", summary="add adds; check.py passes")),
    )
    result = await bench.work(script)
    assert result == AgentResult(True, "add adds; check.py passes", 5, 6, "finished")
    shown = [m.tool_results for m in script.requests[-1].messages if m.tool_results]
    assert "calc.py:1" in shown[0][0].text
    assert "AssertionError" in shown[1][0].text
    assert "exit code 0" in shown[3][0].text
    assert [spec.name for spec in script.requests[0].tools][-1] == "finish"
    assert script.requests[0].system == "You are scripted."


async def test_the_test_command_is_told(bench: Bench) -> None:
    """What the caller knows about tests stands in the first message."""
    bench.request = replace(bench.request, test_argv=("python", "-m", "pytest"))
    script = Script(says("", call("list")), says("", call("finish", summary="x")))
    await bench.work(script)
    assert '["python", "-m", "pytest"]' in script.requests[0].messages[0].text


FINISH = says("", call("finish", summary="all done"))
LOOK = says("", call("read", path="calc.py"))
CUT = says("very long", call("write", path="x", content="half"), stop=StopReason.LENGTH)


@pytest.mark.parametrize(
    ("steps", "finished", "reason", "turns"),
    [
        ([FINISH], False, "claimed success without using a tool", 1),
        ([says("", call("read", path="gone")), FINISH], False, "claimed success", 2),
        ([says("It is done.")], False, "claimed success without using a tool", 2),
        ([LOOK, says("It is done.")], False, "stopped without finishing", 3),
        ([says("")], False, "claimed success without using a tool", 2),
        ([says("Hm."), LOOK, says("Hm."), LOOK, FINISH], True, "finished", 5),
        ([CUT], False, "replies are too long", 2),
        ([CUT, LOOK, CUT, FINISH], True, "finished", 4),
        ([LOOK], False, "repeats itself", 4),
        ([says("", call("read", path="gone"))], False, "repeats itself", 4),
        ([LOOK, LOOK, LOOK, says("", call("list")), FINISH], True, "finished", 5),
        (
            [LOOK, LOOK, LOOK, says("", call("list")), LOOK, LOOK, LOOK],
            False,
            "repeats itself",
            7,
        ),
        ([LOOK, says("", call("list"))] * 4, False, "repeats itself", 7),
        ([LOOK, says("", call("list")), says("", call("run", argv=["true"]))] * 4, False, "re", 10),
    ],
)
async def test_every_end_has_its_reason(
    bench: Bench, steps: list[Step], finished: bool, reason: str, turns: int
) -> None:
    """What the model says never counts; what it did does."""
    result = await bench.work(Script(*steps))
    assert (result.finished, result.turns) == (finished, turns)
    assert result.reason.startswith(reason)
    assert not (bench.tree / "x").exists()


async def test_turns_run_out(bench: Bench) -> None:
    """A model that always does something new is stopped, and told before."""
    numbers = iter(range(1_000))
    script = Script(lambda _: says("", call("write", path=f"f{next(numbers)}", content="x")))
    result = await bench.work(script, max_turns=5)
    assert (result.finished, result.turns, result.tool_uses) == (False, 5, 5)
    assert result.reason == "out of turns after 5"
    assert "Turns left: 1." in script.requests[-2].messages[-1].text
    assert "You have to stop now: out of turns after 5." in script.heard()
    assert result.handoff == "The model left no note"


async def test_time_runs_out_while_the_model_thinks(bench: Bench) -> None:
    """A model that does not answer is left, and asked once more for a note only."""
    hang = asyncio.Event()
    turns = iter([says("", call("list"))])

    async def ask(request: ModelRequest) -> ModelReply:
        """Answer once, then never."""
        assert_valid(request)
        if request.landing is Landing.TURN:
            return says("I listed the files.")
        for reply in turns:
            return reply
        await hang.wait()
        return FINISH

    request = replace(bench.request, timeout_seconds=0.5)
    result = await BuiltinAgent().execute(request, ask, bench.sandbox)
    assert (result.finished, result.turns, result.tool_uses) == (False, 1, 1)
    assert result.reason == "out of time after 0.5 s"
    assert result.handoff == "I listed the files."


async def test_time_runs_out_while_a_command_runs(bench: Bench) -> None:
    """The command is dead when the agent returns."""
    script = Script(says("", call("run", argv=["sh", "-c", "echo $$ > pid; exec sleep 300"])))
    result = await bench.work(script, timeout_seconds=2.0)
    assert result.reason.startswith("out of time")
    assert not Path("/proc", (bench.tree / "pid").read_text().strip()).exists()


@pytest.mark.parametrize("error", [ModelUnavailable("overloaded"), TimeoutError("inner")])
async def test_errors_of_the_model_are_raised(bench: Bench, error: BaseException) -> None:
    """They are the caller's to judge, also a time-out that is not the agent's own."""
    with pytest.raises(type(error), match=str(error)):
        await bench.work(Script(LOOK, error))


@pytest.mark.parametrize("ids", [("", "b"), ("a", "a")])
async def test_calls_that_cannot_be_answered_are_garbled(
    bench: Bench, ids: tuple[str, str]
) -> None:
    """Without ids of their own, results could not be paired."""
    with pytest.raises(ModelGarbled, match="ids"):
        await bench.work(Script(says("", *(call("list", ident) for ident in ids))))


async def test_finish_waits_for_the_other_calls_of_its_turn(bench: Bench) -> None:
    """A model that finishes before it saw its edit fail is shown the failure."""
    bad = call("edit", "a", path="calc.py", old="not there", new="x")
    script = Script(LOOK, says("", bad, call("finish", "b", summary="fixed")), FINISH)
    result = await bench.work(script)
    assert (result.finished, result.turns) == (True, 3)
    assert "not finished: another call of this turn failed" in script.heard()


async def test_too_many_calls_in_a_turn_are_not_done(bench: Bench) -> None:
    """Each still gets a result."""
    many = [
        call("write", str(n), path=f"f{n}", content="x")
        for n in range(limits.TOOL_CALLS_PER_TURN + 2)
    ]
    script = Script(says("", *many), FINISH)
    result = await bench.work(script)
    assert result.tool_uses == limits.TOOL_CALLS_PER_TURN
    assert script.heard().count("not done: at most") == 2


async def test_a_repeat_is_seen_though_the_time_differs(bench: Bench) -> None:
    """The same failing test run is the same, whatever its duration."""
    code = "import time; print(f'1 failed in {time.perf_counter():.6f}s')"
    script = Script(says("", call("run", argv=["python", "-c", code])))
    assert (await bench.work(script)).reason == "repeats itself"


async def test_nonsense_calls_never_raise(bench: Bench) -> None:
    """Wrong names and arguments are results; the model can still finish."""
    nonsense = [
        call("sudo", "1", argv=["x"]),
        call("read", "2", path=["x"]),
        call("run", "3", argv="ls", sh=True),
        call("finish", "4", done=True),
    ]
    script = Script(says("", *nonsense), LOOK, FINISH)
    result = await bench.work(script)
    assert result.finished
    assert all(r.is_error for r in script.requests[1].messages[-1].tool_results)


async def test_one_turn_cannot_fill_the_window(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its results share half of it; the last ones are cut to their first and last lines."""
    monkeypatch.setattr(limits, "CONTEXT_CHARS", 40_000)
    (bench.tree / "big").write_text("0123456789\u4e2d\n" * 40_000)
    many = [call("read", str(n), path="big", start=1 + n) for n in range(16)]
    script = Script(says("", *many), FINISH)
    assert (await bench.work(script)).finished
    results = script.requests[1].messages[-1].tool_results
    assert sum(len(json.dumps(result.text)) for result in results) < 20_000 + 16 * 700
    assert len(results[0].text) > 6_000
    assert "characters cut]" in results[-1].text
    assert results[-1].text.startswith("<<<data")


async def test_a_long_talk_is_compacted_and_stays_valid(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a small window the newest results are whole and the request is always valid."""
    monkeypatch.setattr(limits, "CONTEXT_CHARS", 20_000)
    for number in range(10):
        (bench.tree / f"f{number}").write_text(f"{number} " * 2_500)
    steps: list[Step] = [
        says("", call("read", path=f"f{n}"), call("search", "s", pattern="^zz", path=f"f{n}"))
        for n in range(10)
    ]
    steps += [says("", call("run", argv=["cat", f"f{n}"])) for n in range(10)]
    script = Script(*steps, FINISH)
    result = await bench.work(script, max_turns=30)
    assert (result.finished, result.turns) == (True, 21)
    sizes = [
        sum(len(r.text) for m in request.messages for r in m.tool_results)
        for request in script.requests
    ]
    assert max(sizes) < 25_000
    assert script.requests[-1].messages[0].text.startswith("Fix add.")
