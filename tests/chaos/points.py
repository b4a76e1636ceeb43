"""Where an attempt is hit between its claim and its learning, and how."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

WAYS = ("kill", "stop", "cut", "lose")
MEANING = {
    "kill": "kill -9",
    "stop": "stopped past its lease, then continued",
    "cut": "its links to the database are cut",
    "lose": "a reply of the forge is lost",
}


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of an attempt.

    fault    the fault point of the program where the process stands still, and which time
    request  or the request that the forge has in its hands at that moment: method and path
    replies  whether a request to the forge belongs to it or follows, whose reply can get lost
    """

    name: str
    fault: str = ""
    request: tuple[str, str] = ("", "")
    replies: bool = True


# `effect.intended` is passed once per effect: push, check, pull request, merge.
POINTS = (
    Point("claim.got", "claim.got:stop"),
    Point("plan.recorded", "plan.recorded:stop"),
    Point("push.intended", "effect.intended:stop:1"),
    Point("push.sent", request=("POST", "/octo/{repo}.git/git-receive-pack")),
    Point("push.done", "push.done:stop"),
    Point("verify.done", "verify.done:stop"),
    Point("check.intended", "effect.intended:stop:2"),
    Point("check.sent", request=("POST", "/repos/octo/{repo}/statuses/*")),
    Point("pull.intended", "effect.intended:stop:3"),
    Point("pull.sent", request=("POST", "/repos/octo/{repo}/pulls")),
    Point("pull.done", "pull.done:stop"),
    Point("merge.intended", "effect.intended:stop:4"),
    Point("merge.sent", request=("PUT", "/repos/octo/{repo}/pulls/*/merge")),
    Point("merge.done", "merge.done:stop", replies=False),
    Point("complete.sent", "complete.sent:stop", replies=False),
    Point("complete.acked", "complete.acked:stop", replies=False),
)
Cell = tuple[Point, str]
CELLS: tuple[Cell, ...] = tuple(
    (point, way) for point, way in product(POINTS, WAYS) if point.replies or way != "lose"
)


def named(*names: str) -> tuple[Cell, ...]:
    """Give the cells of names such as `merge.sent/kill`."""
    wanted = set(names)
    found = tuple((point, way) for point, way in CELLS if f"{point.name}/{way}" in wanted)
    assert len(found) == len(wanted), f"no such cell among {sorted(wanted)}"
    return found
