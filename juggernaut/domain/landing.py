"""The landing turn of any agent: one last small call at a bound, for a note and nothing else.

It was paid for in advance, so that work that has to stop leaves a note and not a heap. It is
never larger than what was set aside for it, whatever the work was about.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from juggernaut.domain import limits
from juggernaut.domain.exchange import Message, ModelRequest
from juggernaut.domain.fit import fitting, newest
from juggernaut.domain.frame import frame
from juggernaut.domain.purse import Landing

STOP: Final = (
    "You have to stop now: {reason}. Nothing can be changed or run any more; what is in the work"
    " tree is kept on the task's branch. {how} a note for whoever goes"
    " on: what is done, what is left, what is in the way, and the next step. Never say that"
    " something works if you did not see it."
)
ROOM_CHARS: Final = limits.LANDING_CHARS // 3
TRAIL_CHARS: Final = 300  # of one call, and of one result


def landing_call(
    reason: str, how: str, asked: str, trail: Iterable[str], nonces: tuple[str, str]
) -> ModelRequest:
    """Ask for the note: `how` says in which form, `trail` what was done, the newest last."""
    done = fitting("\n".join(newest(trail, ROOM_CHARS)), ROOM_CHARS)
    parts = [
        STOP.format(reason=reason, how=how),
        frame(fitting(asked, ROOM_CHARS), "what was asked for", nonces[0]),
        frame(done, "the newest calls and results", nonces[1]),
    ]
    return ModelRequest(
        purpose="code",
        system="",
        messages=(Message("user", "\n\n".join(parts)),),
        max_tokens=limits.LANDING_TOKENS,
        timeout_seconds=limits.LANDING_SECONDS,
        landing=Landing.TURN,
    )
