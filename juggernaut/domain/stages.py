"""Where the time of a task went: stages, cut out of the times that the database keeps.

An attempt is cut at what it recorded: its plan, each effect, its end. What lies between attempts
is waiting, named by how the attempt before it ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from juggernaut.domain.model import Json

FIRST_WAIT: Final = "waits for a worker"
# What a recorded moment ends, by kind and by whether it is the intention or the confirmation.
_INTENDED: Final[Mapping[str, str]] = {"push": "write", "handoff": "write", "check": "verify"}
_CONFIRMED: Final[Mapping[str, str]] = {
    "push": "push",
    "handoff": "push",
    "check": "check",
    "pull": "pull request",
    "merge": "merge",
}
_GATES: Final[Mapping[str, str]] = {"plan": "plan", "diff": "diff gate"}
# What a task does after an attempt that ended so, until the next one starts.
_WAITS: Final[Mapping[str, str]] = {
    "parked": "waits for approval",
    "blocked": "blocked",
    "awaiting_merge": "waits for the merge",
    "retry": "pause before the next try",
    "expired": "waits for a new worker",
}
_ENDED: Final = frozenset({"completed", "failed", "rejected", "cancelled"})


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of a task's life; `attempt` is None between attempts, `ended` None if it lasts."""

    name: str
    attempt: int | None
    started: datetime
    ended: datetime | None

    def row(self, now: datetime) -> dict[str, object]:
        """Give the stage as a row; what lasts counts until `now`."""
        return {
            "stage": self.name,
            "attempt": self.attempt,
            "started_at": self.started,
            "seconds": round(((self.ended or now) - self.started).total_seconds(), 1),
            "lasts": self.ended is None,
        }


def stages_of(
    task: Json, attempts: Sequence[Json], plans: Iterable[Json], effects: Iterable[Json]
) -> tuple[Stage, ...]:
    """Cut a task's life into stages, from the rows of the database."""
    moments = sorted([*_planned(plans), *_effected(effects)])
    found: list[Stage] = []
    waits, since = FIRST_WAIT, _time(task.get("created_at"))
    for number, attempt in enumerate(attempts, start=1):
        started, ended = _time(attempt.get("started_at")), _time(attempt.get("ended_at"))
        if since is not None and started is not None:
            found.append(Stage(waits, None, since, started))
        if started is not None:
            found += _inside(number, started, ended, moments)
        waits, since = _WAITS.get(str(attempt.get("ended_as")), FIRST_WAIT), ended
    if since is not None and task.get("status") not in _ENDED:
        found.append(Stage(waits, None, since, None))
    return tuple(found)


def totals(stages: Iterable[Mapping[str, object]]) -> dict[str, float]:
    """Add the seconds of the rows of stages by name."""
    found: dict[str, float] = {}
    for row in stages:
        seconds = row["seconds"]
        if isinstance(seconds, int | float):
            found[str(row["stage"])] = round(found.get(str(row["stage"]), 0.0) + seconds, 1)
    return found


def _inside(
    number: int, started: datetime, ended: datetime | None, moments: Sequence[tuple[datetime, str]]
) -> Iterator[Stage]:
    """Yield the stages of one attempt."""
    since, last = started, "work"
    for at, name in moments:
        if at <= since or (ended is not None and at > ended):
            continue
        yield Stage(name, number, since, at)
        since, last = at, "work" if name == "plan" else "finish"
    if ended is None or ended > since:
        yield Stage(last, number, since, ended)


def _planned(plans: Iterable[Json]) -> Iterator[tuple[datetime, str]]:
    """Yield when a gate was reached."""
    for plan in plans:
        at = _time(plan.get("recorded_at"))
        if at is not None:
            yield at, _GATES.get(str(plan.get("gate")), "gate")


def _effected(effects: Iterable[Json]) -> Iterator[tuple[datetime, str]]:
    """Yield when an effect began and when it was confirmed, as far as that ends a stage."""
    for effect in effects:
        kind = str(effect.get("kind"))
        for column, names in (("intended_at", _INTENDED), ("confirmed_at", _CONFIRMED)):
            at = _time(effect.get(column))
            if at is not None and kind in names:
                yield at, names[kind]


def _time(value: object) -> datetime | None:
    """Let only a moment through."""
    return value if isinstance(value, datetime) else None
