"""A recorded coder run on the bench, and what a test does to its cassette."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from juggernaut.adapters.cassettes.folder import CassetteFolder
from juggernaut.app.replay import Replayed, replay
from juggernaut.coder.loop import BuiltinAgent
from juggernaut.domain.exchange import ModelReply, StopReason, ToolCall, Usage
from juggernaut.domain.model import Json
from tests.fakes.puppets import PuppetModel
from tests.roles.bench import CRITERIA, PYTHON, Bench

Calls = Sequence[tuple[str, Json]]

OLD, NEW = 'replace(" ", "_")', 'replace(" ", "-")'
# Two in one turn, a failing call, a run with durations in its output, an edit, the end.
LOOK: Calls = (("list", {}), ("read", {"path": "slug.py"}))
WRONG: Calls = (("edit", {"path": "slug.py", "old": "no such text", "new": "x"}),)
TEST: Calls = (("run", {"argv": [PYTHON, "-m", "unittest", "-q"]}),)
EDIT: Calls = (("edit", {"path": "slug.py", "old": OLD, "new": NEW}),)
FINISH: Calls = (("finish", {"summary": "slug joins with dashes; the test passes"}),)
TURNS = (LOOK, WRONG, TEST, EDIT, FINISH)


def turn(number: int, calls: Calls) -> ModelReply:
    """Make the reply of one turn."""
    made = tuple(
        ToolCall(f"call_{number}_{place}", name, given) for place, (name, given) in enumerate(calls)
    )
    usage = Usage(input_tokens=10, output_tokens=5)
    return ModelReply("", made, StopReason.TOOL, usage, "puppet/one", Decimal("0.002"))


def model_of(*turns: Calls) -> PuppetModel:
    """Make a model that plays turns."""
    return PuppetModel({"code": [turn(number, calls) for number, calls in enumerate(turns, 1)]})


@dataclass(frozen=True, slots=True)
class Taped:
    """A task that was worked on, and its cassette."""

    task: UUID
    file: Path
    folder: Path

    def lines(self) -> list[dict[str, object]]:
        """Give the lines of the cassette."""
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def kinds(self) -> list[str]:
        """Give the kinds of the lines."""
        return [str(line["kind"]) for line in self.lines()]

    def raw(self) -> list[str]:
        """Give the lines as they are."""
        return self.file.read_text().splitlines(keepends=True)

    def changed(self, lines: Sequence[str]) -> Path:
        """Write a cassette of other lines beside this one."""
        copy = self.folder / "copy.jsonl"
        copy.write_text("".join(lines))
        return copy


async def record(
    bench: Bench, folder: Path, *turns: Calls, word: str = "completed", **columns: object
) -> Taped:
    """Do a code task with these turns while it is recorded."""
    bench.use(agent=BuiltinAgent(), models=model_of(*(turns or TURNS)))
    bench.services = replace(bench.services, cassettes=CassetteFolder(folder))
    task = await bench.add_task("code", acceptance_criteria=CRITERIA, **columns)
    assert await bench.work("executor") == word, (await bench.task(task))["error_message"]
    return Taped(task, folder / f"{task}-1.jsonl", folder)


async def played(bench: Bench, file: Path) -> Replayed:
    """Replay a cassette in the repository of the bench."""
    return await replay(file, bench.origin.name, None, ())
