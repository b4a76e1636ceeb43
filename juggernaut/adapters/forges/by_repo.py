"""One forge for all repositories of a process: a path goes to the local one, a name elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Check, Promises, Pull, PullView
from juggernaut.ports import Forge


class ForgeByRepo:
    """Passes each question on; implements the port Forge."""

    def __init__(self, local: Forge, remote: Forge, is_remote: Callable[[str], bool]) -> None:
        """Keep both."""
        self._local = local
        self._remote = remote
        self._is_remote = is_remote

    @property
    def name(self) -> str:
        """Give the kind of the remote one: that is what was configured."""
        return self._remote.name

    def _of(self, repo: str) -> Forge:
        """Choose by the form of the repository's name."""
        return self._remote if self._is_remote(repo) else self._local

    async def branch_head(self, repo: str, branch: str | None) -> Sha | None:
        """Pass it on."""
        return await self._of(repo).branch_head(repo, branch)

    async def find_pull(self, repo: str, head_branch: str) -> Pull | None:
        """Pass it on."""
        return await self._of(repo).find_pull(repo, head_branch)

    async def open_pull(
        self,
        repo: str,
        head_branch: str,
        title: str,
        body: str,
        *,
        draft: bool = False,
        labels: Sequence[str] = (),
    ) -> Pull:
        """Pass it on."""
        forge = self._of(repo)
        return await forge.open_pull(repo, head_branch, title, body, draft=draft, labels=labels)

    async def post_check(self, repo: str, sha: Sha, name: str, passed: bool, text: str) -> None:
        """Pass it on."""
        await self._of(repo).post_check(repo, sha, name, passed, text)

    async def merge(self, repo: str, number: int, expected: Sha, title: str, body: str) -> Pull:
        """Pass it on."""
        return await self._of(repo).merge(repo, number, expected, title, body)

    async def look(self, repo: str, number: int, seen: str = "") -> PullView | None:
        """Pass it on."""
        return await self._of(repo).look(repo, number, seen)

    async def check_log(self, repo: str, check: Check) -> str:
        """Pass it on."""
        return await self._of(repo).check_log(repo, check)

    async def say(self, repo: str, number: int, key: str, text: str, reply_to: str = "") -> str:
        """Pass it on."""
        return await self._of(repo).say(repo, number, key, text, reply_to)

    async def mark_ready(self, repo: str, number: int) -> Pull:
        """Pass it on."""
        return await self._of(repo).mark_ready(repo, number)

    async def close_pull(self, repo: str, number: int, reason: str) -> Pull:
        """Pass it on."""
        return await self._of(repo).close_pull(repo, number, reason)

    async def delete_branch(self, repo: str, branch: str, expected: Sha) -> bool:
        """Pass it on."""
        return await self._of(repo).delete_branch(repo, branch, expected)

    async def promises(self, repo: str) -> Promises:
        """Pass it on."""
        return await self._of(repo).promises(repo)
