"""Talking: a comment is written once, and found again by a mark that the page does not show."""

from __future__ import annotations

import re
from typing import Final

from juggernaut.adapters.forges.github.client import Client
from juggernaut.adapters.forges.github.looking import Looking
from juggernaut.adapters.forges.github.names import Repo
from juggernaut.adapters.forges.github.reading import number, text
from juggernaut.adapters.forges.github.viewing import ISSUE, LINE, MARK, author_of
from juggernaut.adapters.forges.messages import clean_comment
from juggernaut.domain.digest import text_digest
from juggernaut.domain.errors import ForgeUnreachable

PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}")


class Talking:
    """Writes comments."""

    def __init__(self, client: Client, looking: Looking) -> None:
        """Keep what answers."""
        self._client = client
        self._looking = looking

    async def say(self, repo: Repo, pull: int, key: str, said: str, reply_to: str) -> str:
        """Write a comment unless one with this key is there; gives its id."""
        thread = reply_to.removeprefix(LINE) if reply_to.startswith(LINE) else ""
        listed = f"{repo.path}/{'pulls' if thread else 'issues'}/{pull}/comments"
        kind = LINE if thread else ISSUE
        found = await self._find(repo, listed, key)
        if found is not None:
            return f"{kind}{found}"
        path = f"{listed}/{thread}/replies" if thread else listed
        body = {"body": f"{clean_comment(said)}\n\n{_mark(key)}"}
        try:
            reply = await self._client.write(repo, "POST", path, body)
        except ForgeUnreachable:
            found = await self._find(repo, listed, key)
            if found is None:
                raise
            return f"{kind}{found}"
        return f"{kind}{number(reply.data, 'id')}"

    async def _find(self, repo: Repo, listed: str, key: str) -> int | None:
        """Find our comment with this key; the mark in somebody else's text is none of ours."""
        own = await self._looking.login(repo)
        mark = _mark(key)
        for item in await self._client.pages(repo, listed):
            if mark in text(item, "body") and (not own or author_of(item) == own):
                return number(item, "id")
        return None


def _mark(key: str) -> str:
    """Give the hidden mark of a key; one with signs of its own is replaced by its digest."""
    plain = key if PLAIN_KEY.fullmatch(key) and "--" not in key else text_digest(key)
    return f"{MARK}{plain} -->"
