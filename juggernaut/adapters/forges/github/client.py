"""The client: requests with the right token, paced, counted once, and asked conditionally.

Writes of a process go one after the other with a pause between them, as GitHub asks. When it says
"too many", nothing more is sent until the time that it named: whoever goes on asking is shut out
for longer. A read is repeated once; a write never is, because nobody knows whether it happened.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from juggernaut.adapters.forges.github.failures import UNAUTHORIZED, failure
from juggernaut.adapters.forges.github.names import Repo
from juggernaut.adapters.forges.github.reading import field, items, text
from juggernaut.adapters.forges.github.tokens import Tokens
from juggernaut.adapters.forges.github.wire import Credential, Reply, Wire
from juggernaut.domain.errors import ForgeBusy, ForgeError, ForgeUnauthorized, ForgeUnreachable
from juggernaut.domain.limits import (
    FORGE_PAGE_ITEMS,
    FORGE_PAGES,
    FORGE_REMEMBERED,
    FORGE_WRITE_PAUSE_SECONDS,
)

NOT_MODIFIED: Final = 304
REDIRECTED: Final = 300
FOUND: Final = 302

Params = Mapping[str, object]


class Client:
    """What the forge asks GitHub with; errors are those of the tree."""

    def __init__(
        self, wire: Wire, tokens: Tokens, *, write_pause_seconds: float = FORGE_WRITE_PAUSE_SECONDS
    ) -> None:
        """Remember nothing yet."""
        self._wire = wire
        self._tokens = tokens
        self._pause = write_pause_seconds
        self._writing = asyncio.Lock()
        self._next_write = 0.0
        self._closed_until = 0.0
        self._tagged: OrderedDict[str, tuple[str, Reply]] = OrderedDict()

    @property
    def tokens(self) -> Tokens:
        """Give where the tokens come from."""
        return self._tokens

    async def get(
        self, repo: Repo, path: str, params: Params | None = None, *, absent: int | None = None
    ) -> Reply:
        """Read; an answer that did not change costs no quota.

        An answer with status `absent` is given back, every other refusal is raised.
        """
        key = f"{repo} {path} {sorted((params or {}).items())}"
        etag, kept = self._tagged.get(key, ("", None))
        headers = {"If-None-Match": etag} if etag else {}
        try:
            reply = await self._send(repo, "GET", path, params=params, headers=headers)
        except ForgeUnreachable:
            reply = await self._send(repo, "GET", path, params=params, headers=headers)
        if reply.status == NOT_MODIFIED and kept is not None:
            return kept
        if reply.status == absent:
            return reply
        self._check("GET", path, reply)
        self._remember(key, reply)
        return reply

    async def pages(
        self, repo: Repo, path: str, params: Params | None = None, *, under: str = ""
    ) -> list[object]:
        """Read a list page by page, up to a bound; `under` names the list in an object."""
        found: list[object] = []
        for page in range(1, FORGE_PAGES + 1):
            asked = {**(params or {}), "per_page": FORGE_PAGE_ITEMS, "page": page}
            reply = await self.get(repo, path, asked)
            found += items(reply.data, under) if under else items({"": reply.data}, "")
            if 'rel="next"' not in reply.headers.get("link", ""):
                break
        return found

    async def location(self, repo: Repo, path: str, absent: tuple[int, ...]) -> str:
        """Ask for the address of something that lies elsewhere; empty when it is not there."""
        reply = await self._send(repo, "GET", path)
        if reply.status == FOUND:
            return reply.headers.get("location", "")
        if reply.status not in absent:
            self._check("GET", path, reply)
        return ""

    async def write(self, repo: Repo, verb: str, path: str, body: object = None) -> Reply:
        """Change something, once. ForgeUnreachable: it may have happened, look it up."""
        async with self._writing:
            await asyncio.sleep(max(0.0, self._next_write - time.monotonic()))
            try:
                reply = await self._send(repo, verb, path, body=body)
            finally:
                self._next_write = time.monotonic() + self._pause
        self._check(verb, path, reply)
        return reply

    async def graphql(self, repo: Repo, query: str, variables: Mapping[str, object]) -> object:
        """Ask what only GraphQL offers; gives its data."""
        body = {"query": query, "variables": dict(variables)}
        reply = await self.write(repo, "POST", "/graphql", body)
        errors = items(reply.data, "errors")
        if errors:
            said = "; ".join(text(error, "message") for error in errors)
            kinds = {text(error, "type") for error in errors}
            kind = ForgeUnauthorized if "FORBIDDEN" in kinds else ForgeError
            raise kind(f"GitHub refused a GraphQL request for {repo}: {said}")
        return field(reply.data, "data")

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    async def _send(
        self,
        repo: Repo,
        verb: str,
        path: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Reply:
        """Send with a good token; one that was refused meanwhile is renewed once.

        A refused request was not carried out, so this repeat is safe for writes too.
        """
        for _ in range(2):
            left = self._closed_until - time.monotonic()
            if left > 0:
                raise ForgeBusy(
                    f"GitHub asked to wait; {left:.0f} s of it are left", retry_after_seconds=left
                )
            token = await self._tokens.of(repo)
            reply = await self._wire.send(
                Credential(token), verb, path, params=params, headers=headers, body=body
            )
            if reply.status != UNAUTHORIZED or not self._tokens.forget(repo, token):
                break
        return reply

    def _check(self, verb: str, path: str, reply: Reply) -> None:
        """Raise what a refusal means; a rate limit closes the door for everybody here."""
        if reply.status < REDIRECTED:
            return
        error = failure(verb, path, reply)
        if isinstance(error, ForgeBusy):
            self._closed_until = time.monotonic() + error.retry_after_seconds
        raise error

    def _remember(self, key: str, reply: Reply) -> None:
        """Keep an answer with its tag, the last ones only."""
        etag = reply.headers.get("etag")
        if etag:
            self._tagged[key] = (etag, reply)
            self._tagged.move_to_end(key)
            if len(self._tagged) > FORGE_REMEMBERED:
                self._tagged.popitem(last=False)
