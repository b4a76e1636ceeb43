"""Named fault points: a no-op call, unless a test armed one through JUGGERNAUT_FAULT.

The value is `point:how` or `point:how:n`, where `how` is kill, stop (SIGSTOP) or error, and the
fault strikes when the point is reached for the n-th time.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Final

from juggernaut.domain.errors import AttemptError, ConfigError

POINTS: Final = (
    "claim.got",
    "plan.recorded",
    "effect.intended",
    "push.done",
    "verify.done",
    "pull.done",
    "merge.done",
    "complete.sent",
    "complete.acked",
)
VARIABLE: Final = "JUGGERNAUT_FAULT"
_SIGNALS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
_HOWS: Final = (*_SIGNALS, "error")


@dataclass(slots=True)
class _Fault:
    """An armed point and how often it is still passed before it strikes."""

    point: str
    how: str
    left: int


_armed: list[_Fault] = []


def arm(spec: str | None) -> None:
    """Arm the fault that a spec names, or none; raises ConfigError for a wrong spec."""
    _armed.clear()
    if not spec:
        return
    point, _, rest = spec.partition(":")
    how, _, count = rest.partition(":")
    if point not in POINTS or how not in _HOWS or not (count or "1").isdigit():
        raise ConfigError(
            f"{VARIABLE}={spec!r}: write point:how[:n], point one of {', '.join(POINTS)},"
            f" how one of {', '.join(_HOWS)}"
        )
    _armed.append(_Fault(point, how, int(count or "1")))


def reach(point: str) -> None:
    """Pass a fault point; strikes if it is armed and its count is up."""
    for fault in _armed:
        if fault.point != point:
            continue
        fault.left -= 1
        if fault.left == 0:
            _strike(fault)


def _strike(fault: _Fault) -> None:
    """Do what the fault says to this process."""
    if fault.how == "error":
        raise AttemptError(f"the fault point {fault.point} was armed")
    os.kill(os.getpid(), _SIGNALS[fault.how])


arm(os.environ.get(VARIABLE))
