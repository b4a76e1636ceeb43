"""A fork: a task that goes along the recorded first steps of another one, and then its own way.

Only the database's `fork_task` writes the payload that says so; a trigger holds that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from juggernaut.domain.cassette import Run
from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.model import Task

KEY: Final = "fork"


@dataclass(frozen=True, slots=True)
class Fork:
    """Which task, and from which step on with which model (None: whoever is configured).

    `digest`: the sha256 of the cassette's file, None when nobody gave it.
    """

    origin: str
    from_step: int
    cassette: str
    digest: str | None
    model: str | None


def read_fork(task: Task) -> Fork | None:
    """Read the fork of a task, if it is one; raises InvalidInput for one that is not readable."""
    told = task.payload.get(KEY)
    if told is None:
        return None
    step = told.get("from_step") if isinstance(told, Mapping) else None
    if not isinstance(told, Mapping) or not isinstance(step, int):
        raise InvalidInput(f"task {task.id}: its payload has a fork that fork_task did not write")
    digest, model = told.get("digest"), told.get("model")
    return Fork(
        origin=str(told.get("of")),
        from_step=step,
        cassette=str(told.get("cassette")),
        digest=None if digest is None else str(digest),
        model=None if model is None else str(model),
    )


def check_fork(run: Run, from_step: int) -> None:
    """Refuse a step that is not there, or one behind a reply that is not whole.

    Raises InvalidInput that says from which steps on a fork can begin.
    """
    before = [item for item in run.exchanges if item.step < from_step]
    first = run.exchanges[0].step if run.exchanges else 1
    last = run.exchanges[-1].step + 1 if run.exchanges else 1
    if not first <= from_step <= last:
        raise InvalidInput(f"there is no step {from_step}: give {first} to {last}")
    for item in before:
        if item.altered or item.reply is None:
            why = "a secret was taken out of it" if item.altered else "it ended with an error"
            raise InvalidInput(
                f"step {item.step} cannot be done again ({why}): give --from-step {item.step}"
                " or less"
            )
