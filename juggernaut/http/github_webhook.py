"""What GitHub sends by itself is a hint, and nothing else: this pull request is looked at now.

Nothing of a delivery is believed. A forged, repeated or late one makes the duty ask GitHub once
more, which costs no quota where nothing changed; a lost one costs a little time.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from juggernaut.domain.errors import DatabaseUnreachable
from juggernaut.domain.limits import WEBHOOK_BYTES, WEBHOOK_PULLS

Hurry = Callable[[str, int], Awaitable[bool]]

PATH: Final = "/webhooks/github"
EVENTS: Final = frozenset(
    {"check_run", "check_suite", "issue_comment", "pull_request", "pull_request_review"}
    | {"pull_request_review_comment", "pull_request_review_thread"}
)
NAME: Final = r"^[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}$"

Number = Annotated[int, Field(ge=1, le=2**53)]


class Numbered(BaseModel):
    """Something with the number of a pull request."""

    number: Number


class Checked(BaseModel):
    """A check, with the pull requests whose head it is at."""

    pull_requests: list[Numbered] = Field(default=[], max_length=WEBHOOK_PULLS)


class Repository(BaseModel):
    """Where it happened."""

    full_name: str = Field(pattern=NAME)


class Delivery(BaseModel):
    """The part of a delivery that is read; everything else in it is passed over."""

    repository: Repository
    pull_request: Numbered | None = None
    issue: Numbered | None = None
    check_run: Checked | None = None
    check_suite: Checked | None = None

    def numbers(self) -> set[int]:
        """Give the numbers of the pull requests that it is about."""
        alone = [item.number for item in (self.pull_request, self.issue) if item]
        checked = [item for item in (self.check_run, self.check_suite) if item]
        return {*alone, *(pull.number for item in checked for pull in item.pull_requests)}


def github_door(secret: Callable[[], str], hurry: Hurry) -> FastAPI:
    """Give the door: `secret` tells the one of the moment, `hurry` has a pull request looked at."""
    door = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @door.post(PATH)
    async def deliver(request: Request) -> JSONResponse:
        """Take a delivery."""
        body = await _read(request)
        if body is None:
            return _answer(413, f"more than {WEBHOOK_BYTES} bytes")
        if not signed(secret(), body, request.headers.get("x-hub-signature-256", "")):
            return _answer(401, "the signature is missing or wrong: both sides need one secret")
        if request.headers.get("x-github-event") not in EVENTS:
            return _answer(202, "nothing to do")
        try:
            found = Delivery.model_validate_json(body)
        except ValidationError:
            return _answer(400, "not the form of a delivery")
        try:
            for number in sorted(found.numbers()):
                await hurry(found.repository.full_name, number)
        except DatabaseUnreachable:
            return _answer(503, "the database gave no answer")
        return _answer(202, "thank you")

    return door


def signed(secret: str, body: bytes, signature: str) -> bool:
    """Say whether a body was signed with the secret, in the same time whatever is wrong."""
    right = f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
    return bool(secret) and hmac.compare_digest(right.encode(), signature.encode())


async def _read(request: Request) -> bytes | None:
    """Read the body; None for one that is too large, which is not read to its end."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > WEBHOOK_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def _answer(status: int, said: str) -> JSONResponse:
    """Answer in one line."""
    return JSONResponse({"said": said}, status)
