"""The end of a failed check's log.

GitHub answers with an address at another host that is good for a minute. Our token is not sent
there, and no further redirect is followed.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from juggernaut.adapters.forges.github.client import Client
from juggernaut.adapters.forges.github.failures import GONE, NOT_FOUND
from juggernaut.adapters.forges.github.names import Place, Repo
from juggernaut.adapters.forges.github.viewing import RUN
from juggernaut.domain.errors import ForgeUnauthorized, ForgeUnreachable
from juggernaut.domain.limits import EXCERPT_CHARS, FORGE_LOG_BYTES, FORGE_READ_SECONDS, KIB
from juggernaut.domain.pulls import Check
from juggernaut.domain.redact import clean

ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
STAMPS: Final = re.compile(r"^\ufeff?\d{4}-\d\d-\d\dT[\d:.]+Z ", re.MULTILINE)
KEPT_BYTES: Final = 64 * KIB
OK: Final = 200


async def read_log(client: Client, place: Place, repo: Repo, check: Check) -> str:
    """Give the end of a log; where there is none (any more), what the check said of itself."""
    if not check.key.startswith(RUN):
        return check.text[-EXCERPT_CHARS:]
    path = f"{repo.path}/actions/jobs/{check.key.removeprefix(RUN)}/logs"
    try:
        location = await client.location(repo, path, absent=(NOT_FOUND, GONE))
    except ForgeUnauthorized:  # a token without the right to read Actions still sees the check
        location = ""
    log = await _download(place, location) if location else ""
    return log or check.text[-EXCERPT_CHARS:]


async def _download(place: Place, address: str) -> str:
    """Read a log without any credential, at most so much, and keep its end."""
    from httpx2 import AsyncClient, HTTPError

    parts = urlsplit(address)
    if parts.scheme != "https" and parts.netloc != urlsplit(place.api).netloc:
        return ""
    kept, size = b"", 0
    try:
        async with (
            AsyncClient(timeout=FORGE_READ_SECONDS, follow_redirects=False) as http,
            http.stream("GET", address) as answer,
        ):
            if answer.status_code != OK:
                return ""
            async for chunk in answer.aiter_bytes():
                kept = (kept + chunk)[-KEPT_BYTES:]
                size += len(chunk)
                if size > FORGE_LOG_BYTES:
                    break
    except HTTPError as error:
        raise ForgeUnreachable(f"a check's log was not read: {type(error).__name__}") from None
    text = STAMPS.sub("", ESCAPES.sub("", kept.decode("utf-8", "replace")))
    return clean(text).strip()[-EXCERPT_CHARS:]
