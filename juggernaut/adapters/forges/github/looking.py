"""Looking: everything that can move a pull request, in as few requests as it takes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict, replace
from typing import Final

from juggernaut.adapters.forges.github.client import Client
from juggernaut.adapters.forges.github.facts import Facts
from juggernaut.adapters.forges.github.failures import NOT_FOUND
from juggernaut.adapters.forges.github.names import Repo
from juggernaut.adapters.forges.github.reading import field, flag, number, text
from juggernaut.adapters.forges.github.viewing import (
    ISSUE,
    LINE,
    checks_of,
    comments_of,
    pull_of,
    reviews_of,
)
from juggernaut.domain.digest import digest_of
from juggernaut.domain.errors import ForgeError, ForgeUnauthorized
from juggernaut.domain.limits import FORGE_REMEMBERED
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Check, Comment, Pull, PullView

QUEUE_QUERY: Final = "query($id: ID!) { node(id: $id) { ... on PullRequest { isInMergeQueue } } }"


class Looking:
    """Reads pull requests."""

    def __init__(self, client: Client, facts: Facts) -> None:
        """Keep what answers."""
        self._client = client
        self._facts = facts
        self._given_login: str | None = None
        self._seen: OrderedDict[tuple[Repo, int], object] = OrderedDict()

    async def raw(self, repo: Repo, pull: int) -> object:
        """Give a pull request as GitHub has it."""
        reply = await self._client.get(repo, f"{repo.path}/pulls/{pull}", absent=NOT_FOUND)
        if reply.status == NOT_FOUND:
            raise ForgeError(f"there is no pull {pull} in {repo}")
        self.remember(repo, reply.data)
        return reply.data

    def remember(self, repo: Repo, data: object) -> None:
        """Keep a pull request as GitHub had it last, of the last ones only."""
        key = (repo, number(data, "number"))
        self._seen[key] = data
        self._seen.move_to_end(key)
        if len(self._seen) > FORGE_REMEMBERED:
            self._seen.popitem(last=False)

    def forget(self, repo: Repo, pull: int) -> None:
        """Drop a pull request that we have just changed."""
        self._seen.pop((repo, pull), None)

    def last(self, repo: Repo, pull: int) -> object:
        """Give a pull request as it was seen last; None when this process never saw it."""
        return self._seen.get((repo, pull))

    def known(self, repo: Repo, branch: str) -> int | None:
        """Give the number of the newest pull request of a branch that this process saw."""
        found = [key[1] for key, data in self._seen.items() if _is_of(key[0], data, repo, branch)]
        return max(found, default=None)

    async def pull(self, repo: Repo, pull: int) -> Pull:
        """Give a pull request; of a closed one also who closed it."""
        return await self._ended(repo, pull_of(await self.raw(repo, pull)))

    async def look(self, repo: Repo, pull: int) -> PullView:
        """Read all of it. Lists that are empty by the pull request's own word are not asked."""
        data = await self.raw(repo, pull)
        shown = await self._ended(repo, pull_of(data))
        own = await self.login(repo)
        rules = await self._facts.rules(repo, shown.base_branch)
        reviews, remarks = reviews_of(
            await self._client.pages(repo, f"{repo.path}/pulls/{pull}/reviews"), own
        )
        comments = [*remarks, *await self._comments(repo, data, own)]
        view = PullView(
            pull=shown,
            checks=await self.checks(repo, shown.head_sha, rules.required_checks),
            reviews=reviews,
            comments=tuple(sorted(comments, key=lambda comment: (comment.at, comment.id))),
            stamp="",
            in_queue=await self._in_queue(repo, data, rules.merge_queue),
            by_queue=rules.merge_queue,
        )
        return replace(view, stamp=stamp_of(view))

    async def checks(self, repo: Repo, sha: Sha, required: tuple[str, ...]) -> tuple[Check, ...]:
        """Give the newest checks and statuses of a commit."""
        commit = f"{repo.path}/commits/{sha}"
        runs = await self._client.pages(repo, f"{commit}/check-runs", under="check_runs")
        statuses = await self._client.pages(repo, f"{commit}/status", under="statuses")
        return checks_of(runs, statuses, required)

    def learn(self, login: str) -> None:
        """Take the login that GitHub put on something that we wrote: that saves asking."""
        self._given_login = self._given_login or login or None

    async def login(self, repo: Repo) -> str:
        """Give the login under which we write; the API tells it of a token once."""
        if self._client.tokens.app:
            return await self._client.tokens.login()
        if self._given_login is None:
            reply = await self._client.get(repo, "/user")
            self._given_login = text(reply.data, "login")
        return self._given_login

    async def _comments(self, repo: Repo, data: object, own: str) -> list[Comment]:
        """Give what others wrote below the pull request and at its lines."""
        found: list[Comment] = []
        count = number(data, "number")
        if number(data, "comments"):
            listed = await self._client.pages(repo, f"{repo.path}/issues/{count}/comments")
            found += comments_of(listed, ISSUE, own)
        if number(data, "review_comments"):
            listed = await self._client.pages(repo, f"{repo.path}/pulls/{count}/comments")
            found += comments_of(listed, LINE, own)
        return found

    async def _ended(self, repo: Repo, pull: Pull) -> Pull:
        """Add who closed a pull request: only its issue tells."""
        if pull.state != "closed":
            return pull
        path = f"{repo.path}/issues/{pull.number}"
        try:
            reply = await self._client.get(repo, path, absent=NOT_FOUND)
        except ForgeUnauthorized:  # a token that may not read issues: the name stays unknown
            return pull
        return replace(pull, ended_by=text(reply.data, "closed_by", "login"))

    async def _in_queue(self, repo: Repo, data: object, queue: bool) -> bool:
        """Say whether GitHub itself is going to merge it."""
        if field(data, "auto_merge") is not None:
            return True
        if not queue or text(data, "state") != "open":
            return False
        told = await self._client.graphql(repo, QUEUE_QUERY, {"id": text(data, "node_id")})
        return flag(told, "node", "isInMergeQueue") is True


def _is_of(place: Repo, data: object, repo: Repo, branch: str) -> bool:
    """Say whether a pull request is one of a branch of this very repository."""
    owner = text(data, "head", "user", "login").lower()
    return place == repo and text(data, "head", "ref") == branch and owner == repo.owner.lower()


def stamp_of(view: PullView) -> str:
    """Give the digest of everything in a view."""
    return digest_of(_plain(asdict(replace(view, stamp=""))))


def _plain(value: object) -> object:
    """Turn times and other values into what a digest takes."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int) else str(value)
