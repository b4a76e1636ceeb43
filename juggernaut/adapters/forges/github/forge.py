"""GitHub: the port Forge over REST, and GraphQL where REST has nothing.

A change goes out once. When its answer is lost, the effect is looked up once; what cannot be
found then is ForgeUnreachable, and the next attempt looks again before it repeats anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from juggernaut.adapters.forges.git import Git, checked_branch, checked_sha
from juggernaut.adapters.forges.github.checking import Checking
from juggernaut.adapters.forges.github.checklogs import read_log
from juggernaut.adapters.forges.github.client import Client
from juggernaut.adapters.forges.github.deleting import delete_at
from juggernaut.adapters.forges.github.facts import Facts
from juggernaut.adapters.forges.github.failures import (
    CONFLICT,
    NOT_FOUND,
    Refused,
)
from juggernaut.adapters.forges.github.looking import Looking
from juggernaut.adapters.forges.github.merging import Merging
from juggernaut.adapters.forges.github.names import Place, Repo
from juggernaut.adapters.forges.github.reading import items, text
from juggernaut.adapters.forges.github.remote import GitHubSource
from juggernaut.adapters.forges.github.talking import Talking
from juggernaut.adapters.forges.github.viewing import pull_of
from juggernaut.adapters.forges.messages import clean_body, clean_title
from juggernaut.adapters.forges.repository import read_heads
from juggernaut.domain.errors import (
    ForgeError,
    ForgeUnreachable,
    InvalidInput,
    NothingToMerge,
)
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Check, Mergeable, Promises, Pull, PullView

NEWEST_PULLS: Final = 10
READY: Final = (
    "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id})"
    " { pullRequest { isDraft } } }"
)


class GitHubForge:
    """Pull requests at one GitHub; implements the port Forge."""

    def __init__(self, place: Place, client: Client, merge_method: str = "squash") -> None:
        """Put the parts together; nothing is asked yet."""
        self._place = place
        self._client = client
        self._git = Git()
        self._facts = Facts(client, merge_method)
        self._looking = Looking(client, self._facts)
        self._talking = Talking(client, self._looking)
        self._checking = Checking(client, self._looking)
        self._merging = Merging(client, self._facts, self._looking, self._checking)

    @property
    def name(self) -> str:
        """Give the kind of this forge."""
        return "github"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def branch_head(self, repo: str, branch: str | None) -> Sha | None:
        """Give the head of a branch (None: the default branch), or None if it is not there."""
        where = self._place.repo(repo)
        if branch is None:
            default = (await self._facts.settings(where)).default_branch
            return await self._head(where, checked_branch(default))
        # Where a branch changes all the time git is asked: that costs no quota.
        source = GitHubSource(self._place, where, self._client.tokens)
        try:
            return (await read_heads(self._git, source, checked_branch(branch))).branch_sha
        except InvalidInput:
            return await self._head(where, branch)  # REST says what is not there

    async def find_pull(self, repo: str, head_branch: str) -> Pull | None:
        """Give the newest pull request of a branch, whatever its state."""
        return await self._find(self._place.repo(repo), checked_branch(head_branch))

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
        """Open a pull request; an open one of that branch is given back instead."""
        where = self._place.repo(repo)
        base = (await self._facts.settings(where)).default_branch
        if checked_branch(head_branch) == base:
            raise InvalidInput(f"branch {head_branch} is the default branch: open from another one")
        found = await self._find(where, head_branch)
        if found is not None and found.state == "open":
            return found
        merged = found.head_sha if found is not None and found.state == "merged" else None
        if merged is not None and await self._head(where, head_branch) == merged:
            # After a squash GitHub would open a second pull request of the same commits.
            raise NothingToMerge(f"a pull request merged {merged} of {head_branch} already")
        asked = {
            "title": clean_title(title),
            "body": clean_body(body),
            "head": head_branch,
            "base": base,
            "draft": draft,
        }
        try:
            pull = await self._open(where, head_branch, asked)
        except Refused as refusal:
            if not (draft and "draft" in refusal.reasons.lower()):
                raise
            pull = await self._open(where, head_branch, {**asked, "draft": False})
        return await self._labelled(where, pull, labels) if labels else pull

    async def post_check(self, repo: str, sha: Sha, name: str, passed: bool, text: str) -> None:
        """Record the result of a named check at a commit; a repeat replaces it."""
        where = self._place.repo(repo)
        await self._checking.post(where, checked_sha(sha), name, passed, clean_body(text))

    async def merge(self, repo: str, number: int, expected: Sha, title: str, body: str) -> Pull:
        """Merge if the head is `expected` and the required checks passed there."""
        where = self._place.repo(repo)
        return await self._merging.merge(where, number, checked_sha(expected), title, body)

    async def look(self, repo: str, number: int, seen: str = "") -> PullView | None:
        """Read a pull request; None when nothing changed since the view of this stamp."""
        view = await self._looking.look(self._place.repo(repo), number)
        return None if view.stamp == seen else view

    async def check_log(self, repo: str, check: Check) -> str:
        """Give the end of a failed check's log; empty if there is none."""
        return await read_log(self._client, self._place, self._place.repo(repo), check)

    async def say(self, repo: str, number: int, key: str, text: str, reply_to: str = "") -> str:
        """Write a comment once: a repeat with the same key gives the id of the first."""
        return await self._talking.say(self._place.repo(repo), number, key, text, reply_to)

    async def mark_ready(self, repo: str, number: int) -> Pull:
        """Take a pull request out of draft; one that is ready is given back as it is."""
        where = self._place.repo(repo)
        last = self._looking.last(where, number)
        data = last if pull_of(last).draft else await self._looking.raw(where, number)
        pull = pull_of(data)
        if not pull.draft or pull.state != "open":
            return pull
        try:
            await self._client.graphql(where, READY, {"id": text(data, "node_id")})
        except ForgeError:
            now = await self._looking.pull(where, number)
            if now.draft and now.state == "open":
                raise
            return now
        self._looking.forget(where, number)
        return replace(pull, draft=False, mergeable=Mergeable.UNKNOWN)

    async def close_pull(self, repo: str, number: int, reason: str) -> Pull:
        """Close a pull request without a merge, saying why; a repeat does nothing."""
        where = self._place.repo(repo)
        pull = await self._looking.pull(where, number)
        if pull.state != "open":
            return pull
        await self._talking.say(where, number, f"close:{number}", reason, "")
        path = f"{where.path}/pulls/{number}"
        try:
            await self._client.write(where, "PATCH", path, {"state": "closed"})
        except ForgeUnreachable:
            if (await self._looking.pull(where, number)).state == "open":
                raise
        return await self._looking.pull(where, number)

    async def delete_branch(self, repo: str, branch: str, expected: Sha) -> bool:
        """Delete a branch that is at `expected`; False when it is elsewhere or gone."""
        where = self._place.repo(repo)
        if await self._head(where, checked_branch(branch)) != checked_sha(expected):
            return False
        source = GitHubSource(self._place, where, self._client.tokens)
        try:
            refused = await delete_at(self._git, source, branch, expected)
        except ForgeUnreachable:
            if await self._head(where, branch) is not None:
                raise
            return True
        # An answer that was lost on its way looks like a refusal; the branch tells.
        now = await self._head(where, branch) if refused else None
        if now == expected:
            raise ForgeError(f"branch {branch} of {repo} was not deleted: {refused}")
        return now is None

    async def promises(self, repo: str) -> Promises:
        """Ask what the repository's settings allow to promise."""
        return await self._facts.promises(self._place.repo(repo))

    async def _labelled(self, repo: Repo, pull: Pull, labels: Sequence[str]) -> Pull:
        """Put labels on; GitHub makes those that it does not know. They are worth no failure."""
        path = f"{repo.path}/issues/{pull.number}/labels"
        try:
            reply = await self._client.write(repo, "POST", path, {"labels": list(labels)})
        except ForgeError:
            return pull
        names = tuple(text(label, "name") for label in items({"": reply.data}, ""))
        return replace(pull, labels=names)

    async def file(self, repo: str, path: str) -> str:
        """Give a small text file at the default branch; empty when it is not there."""
        return await self._facts.file(self._place.repo(repo), path)

    async def _head(self, repo: Repo, branch: str) -> Sha | None:
        """Read where a branch is; an empty repository has none."""
        path = f"{repo.path}/git/ref/heads/{quote(branch)}"
        try:
            reply = await self._client.get(repo, path, absent=NOT_FOUND)
        except Refused as refusal:
            if refusal.status != CONFLICT:
                raise
            return None
        if reply.status == NOT_FOUND:
            await self._facts.settings(repo)  # says so when it is the repository that is not there
            return None
        return checked_sha(text(reply.data, "object", "sha"))

    async def _find(self, repo: Repo, branch: str) -> Pull | None:
        """Find the newest pull request of a branch of this very repository.

        While one that this process knows is open it is the only open one, and to ask for it alone
        costs no quota when it did not change. In a list GitHub filters nothing without the owner,
        so the answer is filtered again.
        """
        known = self._looking.known(repo, branch)
        if known is not None:
            pull = await self._looking.pull(repo, known)
            if pull.state == "open":
                return replace(pull, mergeable=Mergeable.UNKNOWN)
        asked = {
            "head": f"{repo.owner}:{branch}",
            "state": "all",
            "sort": "created",
            "direction": "desc",
            "per_page": NEWEST_PULLS,
        }
        reply = await self._client.get(repo, f"{repo.path}/pulls", asked)
        for item in items({"": reply.data}, ""):
            owner = text(item, "head", "user", "login") or repo.owner
            if text(item, "head", "ref") == branch and owner.lower() == repo.owner.lower():
                pull = pull_of(item)
                # A list does not say who ended it.
                return pull if pull.state == "open" else await self._looking.pull(repo, pull.number)
        return None

    async def _open(self, repo: Repo, branch: str, asked: dict[str, object]) -> Pull:
        """Open once; after a lost answer, or where there is one already, look for it."""
        try:
            reply = await self._client.write(repo, "POST", f"{repo.path}/pulls", asked)
        except ForgeUnreachable:
            found = await self._find(repo, branch)
            if found is None or found.state != "open":
                raise
            return found
        except Refused as refusal:
            found = await self._find(repo, branch) if "already exists" in refusal.reasons else None
            if found is not None and found.state == "open":
                return found
            raise _not_opened(refusal, repo, branch, str(asked["base"])) from None
        self._looking.remember(repo, reply.data)
        return pull_of(reply.data)


def _not_opened(refusal: Refused, repo: Repo, branch: str, base: str) -> ForgeError:
    """Say what a refused pull request means."""
    reasons = refusal.reasons.lower()
    if "no commits between" in reasons:
        return NothingToMerge(f"there are no commits between {base} and {branch} of {repo}")
    if "head invalid" in reasons:
        return ForgeError(f"branch {branch} is not in {repo}: push it first")
    return refusal
