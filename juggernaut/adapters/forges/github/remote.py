"""Git over HTTPS: the token goes with a single command, to a single host, and nowhere else.

It travels in the environment of git as a header for addresses of that host. Redirects are off, so
no answer can send it to another one. Argv, remote addresses, configuration files and messages never
hold it, and the sandbox never sees this process.
"""

from __future__ import annotations

import base64
import re
from typing import Final

from juggernaut.adapters.forges.git import Access
from juggernaut.adapters.forges.github.names import Place, Repo
from juggernaut.adapters.forges.github.tokens import Tokens
from juggernaut.domain.errors import (
    ForgeBusy,
    ForgeError,
    ForgeUnauthorized,
    ForgeUnreachable,
    InvalidInput,
)
from juggernaut.domain.limits import (
    FORGE_BUSY_SECONDS,
    GIT_FETCH_BYTES,
    GIT_REMOTE_SECONDS,
    GIT_SLOW_SECONDS,
    KIB,
)
from juggernaut.domain.redact import Secret

USER: Final = "x-access-token"
REFUSED: Final = re.compile(
    r"could not read (?:Username|Password)|Authentication failed|returned error: (?:401|403)"
    r"|Permission to \S+ denied"
)
ABSENT: Final = re.compile(r"[Rr]epository .*not found|returned error: 404|/' not found")
BUSY: Final = re.compile(r"returned error: 429")
MOVED: Final = re.compile(r"redirect")
LOST: Final = re.compile(
    r"Could not resolve|Failed to connect|Couldn't connect|Connection (?:reset|refused|timed out)"
    r"|timed out|too slow|was stopped after|early EOF|unexpected disconnect|hung up|RPC failed"
    r"|returned error: 5\d\d|Empty reply|SSL|unable to access"
)
UNPACKED: Final = re.compile(r"invalid index-pack|(?:index-pack|unpack-objects) (?:died|failed)")


class GitHubSource:
    """A repository at one GitHub, as fetch and push reach it."""

    def __init__(self, place: Place, repo: Repo, tokens: Tokens) -> None:
        """Name it; the token is asked for at each command."""
        self._place = place
        self._repo = repo
        self._tokens = tokens
        self._last: Secret | None = None

    @property
    def address(self) -> str:
        """Give its URL, without a login in it."""
        return f"{self._place.web}/{self._repo}.git"

    @property
    def push_options(self) -> tuple[str, ...]:
        """Give nothing: the other end runs by its own settings."""
        return ()

    async def access(self) -> Access:
        """Open one transport, with a token that is good for a while."""
        token = self._last = await self._tokens.of(self._repo)
        pair = base64.b64encode(f"{USER}:{token.reveal()}".encode()).decode()
        return Access(
            protocols=self._place.web.partition(":")[0],
            settings={
                f"http.{self._place.web}/.extraHeader": f"Authorization: Basic {pair}",
                "http.followRedirects": "false",
                "http.lowSpeedLimit": str(KIB),
                "http.lowSpeedTime": str(GIT_SLOW_SECONDS),
            },
            timeout_seconds=GIT_REMOTE_SECONDS,
            file_bytes=GIT_FETCH_BYTES,
        )

    def explain(self, error: ForgeError) -> ForgeError | InvalidInput:
        """Say what a failure of git means at a forge behind a network."""
        said = str(error)
        meaning: ForgeError | InvalidInput = error
        if ABSENT.search(said):
            meaning = InvalidInput(
                f"repository {self._repo} is not at {self._place.web}, or the token may not see it"
            )
        elif REFUSED.search(said):
            meaning = ForgeUnauthorized(
                f"{self._place.web} refused the token for {self._repo}: it is wrong, expired or"
                f" without the right to push ({said})"
            )
        elif BUSY.search(said):
            meaning = ForgeBusy(said, retry_after_seconds=FORGE_BUSY_SECONDS)
        elif MOVED.search(said):
            meaning = InvalidInput(f"repository {self._repo} was moved: use its new name ({said})")
        elif UNPACKED.search(said):
            meaning = InvalidInput(
                f"what repository {self._repo} sent could not be kept: it is damaged, or one file"
                f" of it has more than {GIT_FETCH_BYTES} bytes ({said})"
            )
        elif LOST.search(said):
            meaning = ForgeUnreachable(said)
        return meaning

    def renew(self) -> bool:
        """Throw the refused token away."""
        return self._last is not None and self._tokens.forget(self._repo, self._last)
