"""What goes wrong, by rule: which request, and what happens to it instead of, before or after."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from tests.fakes.github.answers import DOCS, Answer

RESET_SECONDS = 60
RETRY_AFTER_SECONDS = 30
EVERY_TIME = 1_000_000


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request.

    before   runs first: a person pushes, closes, merges in that moment
    hold     an event to wait for, before anything else happens
    instead  the answer without the effect
    after    the answer in place of the real one, when the effect is there
    drop     no answer at all, and the connection is cut: with `effect` after it, else before
    """

    before: Callable[[], object] | None = None
    hold: threading.Event | None = None
    hold_seconds: float | None = None
    instead: Answer | None = None
    after: Answer | None = None
    drop: bool = False
    effect: bool = True


@dataclass(slots=True)
class Rule:
    """A fault for the nth request that matches, and the `times - 1` after it."""

    method: str
    path: str
    fault: Fault
    nth: int
    times: int
    seen: int = 0

    def takes(self, method: str, path: str) -> bool:
        """Count a request that matches and say whether it is one of those."""
        if not (fnmatchcase(method, self.method) and fnmatchcase(path, self.path)):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


@dataclass(slots=True)
class Faults:
    """The list of rules; `*` in a path spans slashes, and the API prefix is not part of it."""

    now: Callable[[], float]
    rules: list[Rule] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, method: str, path: str, fault: Fault, *, nth: int = 1, times: int = 1) -> None:
        """Add a rule."""
        with self.lock:
            self.rules.append(Rule(method, path, fault, nth, times))

    def clear(self) -> None:
        """Let everything go well again."""
        with self.lock:
            self.rules.clear()

    def take(self, method: str, path: str) -> list[Fault]:
        """Give what happens to a request."""
        with self.lock:
            return [rule.fault for rule in self.rules if rule.takes(method, path)]

    def refuse(
        self,
        method: str,
        path: str,
        status: int,
        message: str = "Server Error",
        *,
        headers: Mapping[str, str] | None = None,
        nth: int = 1,
        times: int = 1,
    ) -> None:
        """Answer with an error before any effect."""
        answer = _error(status, message, headers)
        self.add(method, path, Fault(instead=answer), nth=nth, times=times)

    def unauthorized(self, method: str = "*", path: str = "*", *, times: int = EVERY_TIME) -> None:
        """Say that the token is not valid any more."""
        self.refuse(method, path, 401, "Bad credentials", times=times)

    def primary_limit(
        self,
        method: str = "*",
        path: str = "*",
        *,
        reset_seconds: int = RESET_SECONDS,
        status: int = 403,
        times: int = 1,
    ) -> None:
        """Say that the hour's quota is used up."""
        headers = {
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(int(self.now()) + reset_seconds),
        }
        text = "API rate limit exceeded for user ID 1."
        self.refuse(method, path, status, text, headers=headers, times=times)

    def secondary_limit(
        self,
        method: str = "*",
        path: str = "*",
        *,
        retry_after: int = RETRY_AFTER_SECONDS,
        status: int = 403,
        times: int = 1,
    ) -> None:
        """Say that too much was asked at a time."""
        text = "You have exceeded a secondary rate limit. Please wait a few minutes."
        headers = {"Retry-After": str(retry_after)}
        self.refuse(method, path, status, text, headers=headers, times=times)

    def lose_reply(self, method: str, path: str, *, nth: int = 1, times: int = 1) -> None:
        """Let the effect happen and cut the connection before the answer."""
        self.add(method, path, Fault(drop=True), nth=nth, times=times)

    def lose_request(self, method: str, path: str, *, nth: int = 1, times: int = 1) -> None:
        """Cut the connection before anything happened."""
        self.add(method, path, Fault(drop=True, effect=False), nth=nth, times=times)

    def fail_after(
        self, method: str, path: str, *, status: int = 502, nth: int = 1, times: int = 1
    ) -> None:
        """Let the effect happen and answer with a server error."""
        answer = _error(status, "Server Error", None)
        self.add(method, path, Fault(after=answer), nth=nth, times=times)

    def before(
        self, method: str, path: str, act: Callable[[], object], *, nth: int = 1, times: int = 1
    ) -> None:
        """Do something in the moment in which a request comes in."""
        self.add(method, path, Fault(before=act), nth=nth, times=times)

    def hold(self, method: str, path: str, *, nth: int = 1) -> threading.Event:
        """Keep a request waiting until the event that is given back is set."""
        event = threading.Event()
        self.add(method, path, Fault(hold=event), nth=nth)
        return event

    def delay(self, method: str, path: str, seconds: float, *, times: int = EVERY_TIME) -> None:
        """Answer later."""
        self.add(method, path, Fault(hold=self.closing, hold_seconds=seconds), times=times)

    def release(self) -> None:
        """Let every held request go: the server is closing."""
        self.closing.set()
        with self.lock:
            for rule in self.rules:
                if rule.fault.hold is not None:
                    rule.fault.hold.set()


def _error(status: int, message: str, headers: Mapping[str, str] | None) -> Answer:
    """Write an error as GitHub does."""
    body = {"message": message, "documentation_url": DOCS, "status": str(status)}
    return Answer(status, body, dict(headers or {}))
