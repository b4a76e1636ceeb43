"""What a refusal of GitHub means, as an error of the tree."""

from __future__ import annotations

import time
from typing import Final

from juggernaut.adapters.forges.github.reading import field, items, text
from juggernaut.adapters.forges.github.wire import Reply
from juggernaut.domain.errors import (
    ForgeBusy,
    ForgeError,
    ForgeUnauthorized,
    ForgeUnreachable,
    InvalidInput,
)
from juggernaut.domain.limits import FORGE_BUSY_CAP_SECONDS, FORGE_BUSY_SECONDS

UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
CONFLICT: Final = 409
GONE: Final = 410
UNPROCESSABLE: Final = 422
TOO_MANY: Final = 429
SERVER_ERROR: Final = 500
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
SAID_CHARS: Final = 300


class Refused(ForgeError):
    """GitHub refused what was asked for; who asked may know more of it."""

    def __init__(self, message: str, status: int, reasons: str) -> None:
        """Keep status and reasons."""
        super().__init__(message)
        self.status = status
        self.reasons = reasons


def failure(verb: str, path: str, reply: Reply) -> ForgeError | InvalidInput:
    """Give the error of an answer of 300 and more."""
    status, said = reply.status, reasons_of(reply)
    what = f"GitHub answered {verb} {path} with {status} ({said[:SAID_CHARS]})"
    if status in (FORBIDDEN, TOO_MANY):
        wait = wait_of(reply)
        if wait is not None:
            return ForgeBusy(f"{what}: asked to wait {wait:.0f} s", retry_after_seconds=wait)
        return ForgeUnauthorized(f"{what}: give the token or the App the right to do this")
    if status == UNAUTHORIZED:
        return ForgeUnauthorized(
            f"{what}: the token is wrong, expired or revoked; set another one and start again"
        )
    if status >= SERVER_ERROR:
        return ForgeUnreachable(what)
    if status in REDIRECTS:
        return InvalidInput(f"{what}: the repository was moved, name it by its new name")
    return Refused(what, status, said)


def wait_of(reply: Reply) -> float | None:
    """Give the seconds that a rate limit asks to wait, None when the answer is not of one.

    The secondary limit says retry-after, the primary one has nothing remaining until its reset;
    a text about a limit without either means a minute, and more each time.
    """
    headers = reply.headers
    said = text(reply.data, "message").lower()
    wait: float | None = None
    if headers.get("retry-after", "").isdigit():
        wait = float(headers["retry-after"])
    elif headers.get("x-ratelimit-remaining") == "0":
        reset = headers.get("x-ratelimit-reset", "")
        wait = float(reset) - time.time() if reset.isdigit() else FORGE_BUSY_SECONDS
    elif reply.status == TOO_MANY or "rate limit" in said or "abuse" in said:
        wait = FORGE_BUSY_SECONDS
    return None if wait is None else min(max(wait, 1.0), FORGE_BUSY_CAP_SECONDS)


def reasons_of(reply: Reply) -> str:
    """Give everything that an answer says of why."""
    said = [text(reply.data, "message")]
    for error in items(reply.data, "errors"):
        if isinstance(error, str):
            said.append(error)
        else:
            parts = (text(error, key) for key in ("field", "code", "message"))
            said.append(" ".join(part for part in parts if part))
    if isinstance(field(reply.data, "errors"), str):
        said.append(text(reply.data, "errors"))
    return "; ".join(part for part in said if part) or "no reason given"
