"""Merging: exactly the expected head, once."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from juggernaut.adapters.forges.github.checking import Checking
from juggernaut.adapters.forges.github.client import Client
from juggernaut.adapters.forges.github.facts import Facts
from juggernaut.adapters.forges.github.failures import Refused
from juggernaut.adapters.forges.github.looking import Looking
from juggernaut.adapters.forges.github.names import Repo
from juggernaut.adapters.forges.github.reading import text
from juggernaut.adapters.forges.github.viewing import pull_of
from juggernaut.adapters.forges.messages import merge_message
from juggernaut.domain.errors import (
    ForgeBusy,
    ForgeError,
    ForgeUnauthorized,
    ForgeUnreachable,
    HeadMoved,
    NotQueued,
    PullClosed,
    PullConflict,
)
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Mergeable, Pull

ENQUEUE: Final = (
    "mutation($id: ID!, $head: GitObjectID!) { enqueuePullRequest(input:"
    " {pullRequestId: $id, expectedHeadOid: $head}) { mergeQueueEntry { position } } }"
)


class Merging:
    """Merges pull requests."""

    def __init__(self, client: Client, facts: Facts, looking: Looking, checking: Checking) -> None:
        """Keep what answers."""
        self._client = client
        self._facts = facts
        self._looking = looking
        self._checking = checking

    async def merge(self, repo: Repo, number: int, expected: Sha, title: str, body: str) -> Pull:
        """Merge, or put into the merge queue where there is one: then the pull is still open.

        GitHub compares the head with `expected` and refuses what protection forbids. Whatever it
        answers, the pull request itself says what happened.
        """
        wrong = await self._checking.wrong(repo, expected)
        if wrong is not None:
            return _merged_or(await self._looking.pull(repo, number), expected, ForgeError(wrong))
        base = (await self._facts.settings(repo)).default_branch
        if (await self._facts.rules(repo, base)).merge_queue:
            return await self._enqueue(repo, number, expected)
        method = await self._facts.method(repo)
        first, _, rest = merge_message(title, body, number, expected).partition("\n\n")
        asked = {
            "sha": expected,
            "merge_method": method,
            "commit_title": first,
            "commit_message": rest,
        }
        try:
            reply = await self._client.write(
                repo, "PUT", f"{repo.path}/pulls/{number}/merge", asked
            )
        except (ForgeUnreachable, Refused) as error:
            return _merged_or(await self._looking.pull(repo, number), expected, error)
        last = pull_of(self._looking.last(repo, number))
        sha = text(reply.data, "sha")
        if last.head_sha != expected or not sha:
            return await self._looking.pull(repo, number)
        return replace(
            last,
            state="merged",
            merged_sha=Sha(sha),
            draft=False,
            mergeable=Mergeable.UNKNOWN,
            ended_by=await self._looking.login(repo),
        )

    async def _enqueue(self, repo: Repo, number: int, expected: Sha) -> Pull:
        """Put the pull request into GitHub's merge queue, which merges it when its turn comes."""
        data = await self._looking.raw(repo, number)
        pull = pull_of(data)
        if pull.state != "open" or pull.head_sha != expected:
            return _merged_or(pull, expected, ForgeError(f"pull {number} is {pull.state}"))
        try:
            await self._client.graphql(
                repo, ENQUEUE, {"id": text(data, "node_id"), "head": expected}
            )
        except (ForgeBusy, ForgeUnauthorized, ForgeUnreachable):
            raise
        except ForgeError as error:
            raise NotQueued(str(error)) from None
        return pull


def _merged_or(pull: Pull, expected: Sha, error: ForgeError) -> Pull:
    """Give the pull request if it was merged at the expected head, else raise what it means."""
    number = pull.number
    if pull.state == "merged" and pull.head_sha == expected:
        return pull
    if pull.state == "closed":
        raise PullClosed(f"pull {number} was closed by {pull.ended_by or 'somebody'}") from None
    if pull.head_sha != expected:
        raise HeadMoved(
            f"pull {number} is {pull.state} at {pull.head_sha}, not at {expected}: verify it again"
        ) from None
    said = error.reasons.lower() if isinstance(error, Refused) else ""
    if "merge queue" in said:  # one of classic protection, which rule sets do not show
        raise NotQueued(str(error)) from None
    if pull.mergeable is Mergeable.CONFLICT or "conflict" in said or "not mergeable" in said:
        raise PullConflict(f"pull {number} does not apply to {pull.base_branch}: {error}") from None
    raise error
