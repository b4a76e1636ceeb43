"""The wire: one request in a thread, by PyGithub's requester, without its waiting and repeating.

PyGithub by default repeats a POST whose answer was lost, and sleeps for minutes in its thread.
Both are decided above: here a request goes out once, and its answer is given back whatever it
says. Its objects are not used, because they load what is missing with requests that nobody counts.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from juggernaut import __version__
from juggernaut.domain.errors import ForgeError, ForgeUnreachable
from juggernaut.domain.limits import FORGE_CALL_SECONDS, FORGE_READ_SECONDS, FORGE_THREADS
from juggernaut.domain.redact import Secret

if TYPE_CHECKING:
    from github.Requester import Requester

API_VERSION: Final = "2022-11-28"
KEPT_CONNECTIONS: Final = 8
ERROR_CHARS: Final = 300
BAD_REQUEST: Final = 400


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: `data` is its JSON, None when there is none."""

    status: int
    headers: Mapping[str, str]
    data: object


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request proves itself with; `signed` is a token that an App signed itself."""

    secret: Secret
    signed: bool = False


class Wire:
    """Requests to one API address, a bounded number at a time."""

    def __init__(
        self,
        api: str,
        *,
        read_seconds: int = FORGE_READ_SECONDS,
        call_seconds: float = FORGE_CALL_SECONDS,
    ) -> None:
        """Prepare; nothing is sent yet."""
        self._api = api
        self._read_seconds = read_seconds
        self._call_seconds = call_seconds
        self._threads = ThreadPoolExecutor(FORGE_THREADS, thread_name_prefix="github")
        self._requesters: OrderedDict[str, Requester] = OrderedDict()

    async def send(
        self,
        credential: Credential,
        verb: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Reply:
        """Send once. Raises ForgeUnreachable when no whole answer came back."""
        requester = self._requester(credential)
        target = requester.graphql_url if path == "/graphql" else path

        def call() -> tuple[int, dict[str, str], str]:
            """Send in a thread; PyGithub fills the mappings that it is given."""
            return requester.requestJson(
                verb, target, dict(params or {}), dict(headers or {}), body
            )

        try:
            async with asyncio.timeout(self._call_seconds):
                status, answered, text = await asyncio.get_running_loop().run_in_executor(
                    self._threads, _guarded(call, verb, path)
                )
        except TimeoutError:
            raise ForgeUnreachable(
                f"GitHub gave no answer to {verb} {path} in {self._call_seconds:g} s"
            ) from None
        return Reply(status, answered, _read(text, status, verb, path))

    def close(self) -> None:
        """Close all connections; a request that is under way ends by its own timeout."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for requester in self._requesters.values():
            requester.close()
        self._requesters.clear()

    def _requester(self, credential: Credential) -> Requester:
        """Give the connection of a credential, made anew when it is a new one."""
        key = credential.secret.reveal()
        found = self._requesters.get(key)
        if found is None:
            found = self._requesters[key] = _connect(self._api, credential, self._read_seconds)
            if len(self._requesters) > KEPT_CONNECTIONS:
                self._requesters.popitem(last=False)[1].close()
        self._requesters.move_to_end(key)
        return found


def _connect(api: str, credential: Credential, read_seconds: int) -> Requester:
    """Make a connection that repeats nothing and waits for nothing."""
    from github import Auth, Github

    # At the level debug PyGithub logs whole answers, and a new token is in one of them.
    logging.getLogger("github").setLevel(logging.WARNING)
    token = credential.secret.reveal()
    return Github(
        auth=Auth.AppAuthToken(token) if credential.signed else Auth.Token(token),
        base_url=api,
        timeout=read_seconds,
        user_agent=f"juggernaut/{__version__}",
        retry=None,
        seconds_between_requests=None,
        seconds_between_writes=None,
        pool_size=FORGE_THREADS,
        api_version=API_VERSION,
    ).requester


def _guarded(
    call: Callable[[], tuple[int, dict[str, str], str]], verb: str, path: str
) -> Callable[[], tuple[int, dict[str, str], str]]:
    """Let nothing out of a call but the errors of the tree."""
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    def guarded() -> tuple[int, dict[str, str], str]:
        """Call."""
        try:
            return call()
        except (RequestException, HTTPError, OSError) as error:
            kind = type(error).__name__
            raise ForgeUnreachable(f"GitHub gave no answer to {verb} {path}: {kind}") from None
        except (RuntimeError, AssertionError) as error:
            raise ForgeError(
                f"GitHub sent {verb} {path} elsewhere ({str(error)[:ERROR_CHARS]}):"
                " check GITHUB_API_URL and the repository's name"
            ) from None

    return guarded


def _read(text: str, status: int, verb: str, path: str) -> object:
    """Read the JSON of an answer; what is none is an answer of something in between."""
    if not text.strip():
        return None
    try:
        found: object = json.loads(text)
    except ValueError:
        if status >= BAD_REQUEST:
            return None
        raise ForgeUnreachable(
            f"{verb} {path} was answered with {status} and no JSON: is it GitHub's API?"
        ) from None
    return found
