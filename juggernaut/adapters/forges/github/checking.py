"""Checks of ours: check runs where an App writes, commit statuses where a token does.

Only an App may write check runs. Both count the same for a branch's protection.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from juggernaut.adapters.forges.github.client import Client
from juggernaut.adapters.forges.github.failures import NOT_FOUND, UNPROCESSABLE, Refused
from juggernaut.adapters.forges.github.looking import Looking
from juggernaut.adapters.forges.github.names import Repo
from juggernaut.adapters.forges.github.reading import text
from juggernaut.adapters.forges.messages import clean_title
from juggernaut.domain.errors import ForgeError
from juggernaut.domain.limits import FORGE_CHECK_CHARS, FORGE_REMEMBERED
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import CheckState

REQUIRED_CHECK: Final = "juggernaut/verify"
NAME_CHARS: Final = 100


class Checking:
    """Writes checks, and reads the one that a merge needs."""

    def __init__(self, client: Client, looking: Looking) -> None:
        """Know of no check yet."""
        self._client = client
        self._looking = looking
        self._posted: OrderedDict[tuple[Repo, Sha], bool] = OrderedDict()

    async def post(self, repo: Repo, sha: Sha, name: str, passed: bool, said: str) -> None:
        """Write the result of a check. A repeat adds a newer one, and the newest counts."""
        clean = clean_title(name)[:NAME_CHARS]
        self._posted.pop((repo, sha), None)
        if self._client.tokens.app:
            path, body = f"{repo.path}/check-runs", _run(sha, clean, passed, said)
        else:
            path, body = f"{repo.path}/statuses/{sha}", _status(clean, passed, said)
        try:
            reply = await self._client.write(repo, "POST", path, body)
        except Refused as refusal:
            if "No commit found" in refusal.reasons:
                raise ForgeError(f"commit {sha} is not in {repo}: push it first") from None
            raise
        self._looking.learn(text(reply.data, "creator", "login"))
        if clean == REQUIRED_CHECK:
            self._posted[repo, sha] = passed
            if len(self._posted) > FORGE_REMEMBERED:
                self._posted.popitem(last=False)

    async def wrong(self, repo: Repo, sha: Sha) -> str | None:
        """Say why our check forbids a merge of this commit; None when it passed there.

        What this process wrote it remembers; another process's word is read at GitHub.
        """
        passed = self._posted.get((repo, sha))
        if passed is None:
            try:
                checks = await self._looking.checks(repo, sha, ())
            except Refused as refusal:
                if refusal.status not in (NOT_FOUND, UNPROCESSABLE):
                    raise
                checks = ()  # GitHub does not know the commit
            found = [check.state for check in checks if check.name == REQUIRED_CHECK]
            if not found:
                return f"check {REQUIRED_CHECK} is missing at {sha}"
            passed = all(state is CheckState.PASSED for state in found)
        return None if passed else f"check {REQUIRED_CHECK} is red at {sha}"


def _run(sha: Sha, name: str, passed: bool, said: str) -> dict[str, object]:
    """Give the check run that a result becomes."""
    title = "Verified" if passed else "Not verified"
    return {
        "name": name,
        "head_sha": sha,
        "status": "completed",
        "conclusion": "success" if passed else "failure",
        "output": {"title": title, "summary": said or title},
    }


def _status(name: str, passed: bool, said: str) -> dict[str, object]:
    """Give the commit status that a result becomes; it has room for one line."""
    line = " ".join(said.split())[:FORGE_CHECK_CHARS]
    return {"context": name, "state": "success" if passed else "failure", "description": line}
