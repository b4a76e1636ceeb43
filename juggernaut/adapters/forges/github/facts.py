"""What a repository's settings say, asked rarely and kept for some minutes."""

from __future__ import annotations

import time
from base64 import b64decode
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from juggernaut.adapters.forges.github.client import Client
from juggernaut.adapters.forges.github.failures import NOT_FOUND
from juggernaut.adapters.forges.github.names import Repo
from juggernaut.adapters.forges.github.reading import field, flag, items, text
from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.limits import FORGE_SETTINGS_SECONDS
from juggernaut.domain.pulls import Promises

METHODS: Final = {
    "squash": "allow_squash_merge",
    "merge": "allow_merge_commit",
    "rebase": "allow_rebase_merge",
}
INFO: Final = "note: "  # begins what is as it should be; every other note asks for a change
NARROW_SCOPES: Final = frozenset({"repo", "public_repo", "repo:status", ""})


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a repository, and what they say of the token that read them."""

    default_branch: str
    methods: tuple[str, ...]
    deletes_branches: bool
    archived: bool
    may_push: bool
    administers: bool
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What protection and rule sets ask of a branch."""

    protected: bool
    required_checks: tuple[str, ...]
    merge_queue: bool


class Facts:
    """Settings and rules of repositories."""

    def __init__(
        self, client: Client, merge_method: str, keep_seconds: float = FORGE_SETTINGS_SECONDS
    ) -> None:
        """Know nothing yet; `merge_method` is the wish of whoever runs this."""
        self._client = client
        self._wish = merge_method
        self._keep_seconds = keep_seconds
        self._settings: dict[Repo, tuple[float, Settings]] = {}
        self._rules: dict[tuple[Repo, str], tuple[float, Rules]] = {}

    async def settings(self, repo: Repo) -> Settings:
        """Give the settings. Raises InvalidInput when the repository cannot be seen."""
        kept = self._settings.get(repo)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        reply = await self._client.get(repo, repo.path, absent=NOT_FOUND)
        if reply.status == NOT_FOUND:
            raise InvalidInput(
                f"repository {repo} is not at GitHub, or the token may not see it:"
                " check the name, and give the token or the App access"
            )
        data = reply.data
        scopes = reply.headers.get("x-oauth-scopes", "")
        read = Settings(
            default_branch=text(data, "default_branch"),
            methods=tuple(name for name, key in METHODS.items() if flag(data, key) is not False),
            deletes_branches=flag(data, "delete_branch_on_merge") is True,
            archived=flag(data, "archived") is True,
            may_push=flag(data, "permissions", "push") is not False,
            administers=flag(data, "permissions", "admin") is True,
            scopes=tuple(scope.strip() for scope in scopes.split(",")),
        )
        self._settings[repo] = (time.monotonic() + self._keep_seconds, read)
        return read

    async def rules(self, repo: Repo, branch: str) -> Rules:
        """Give the rules of a branch, from its protection and from rule sets."""
        kept = self._rules.get((repo, branch))
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        name = quote(branch, safe="")
        shown = await self._client.get(repo, f"{repo.path}/branches/{name}", absent=NOT_FOUND)
        # A server without rule sets knows no such address.
        active = await self._client.get(
            repo, f"{repo.path}/rules/branches/{name}", absent=NOT_FOUND
        )
        rules = [] if active.status == NOT_FOUND else items({"": active.data}, "")
        checks = _protection_checks(shown.data) | _rule_checks(rules)
        read = Rules(
            protected=flag(shown.data, "protected") is True or bool(rules),
            required_checks=tuple(sorted(checks)),
            merge_queue=any(text(rule, "type") == "merge_queue" for rule in rules),
        )
        self._rules[repo, branch] = (time.monotonic() + self._keep_seconds, read)
        return read

    async def file(self, repo: Repo, path: str) -> str:
        """Give a small text file at the default branch; empty for what is not there or no text."""
        where = f"{repo.path}/contents/{quote(path)}"
        reply = await self._client.get(repo, where, absent=NOT_FOUND)
        content = field(reply.data, "content")
        if reply.status == NOT_FOUND or not isinstance(content, str):
            return ""
        try:
            return b64decode(content).decode("utf-8", "replace")
        except ValueError:
            return ""

    async def method(self, repo: Repo) -> str:
        """Give the way of merging: the wished one, else the first that is allowed."""
        allowed = (await self.settings(repo)).methods
        return self._wish if self._wish in allowed or not allowed else allowed[0]

    async def promises(self, repo: Repo) -> Promises:
        """Say what can be promised, and note what a person may want to change."""
        settings = await self.settings(repo)
        rules = await self.rules(repo, settings.default_branch)
        method = await self.method(repo)
        return Promises(
            merge_method=method,
            row_lock=method != "merge",
            protected=rules.protected,
            deletes_branches=settings.deletes_branches,
            merge_queue=rules.merge_queue,
            required_checks=rules.required_checks,
            notes=tuple(self._notes(settings, rules, method)),
        )

    def _notes(self, settings: Settings, rules: Rules, method: str) -> list[str]:
        """Put what is weaker than it could be into words, with the remedy."""
        branch = settings.default_branch
        app = self._client.tokens.app
        wide = sorted(set(settings.scopes) - NARROW_SCOPES)
        unrequired = "juggernaut/verify" not in rules.required_checks
        said = (
            (
                method != "merge",
                f"{INFO}{method} merges: a second pull request of a task is kept out by the task's"
                " row lock, not by GitHub; merge commits promise more",
            ),
            (method != self._wish, f"{self._wish} merges are switched off: {method} is used"),
            (
                settings.deletes_branches,
                "head branches are deleted after a merge: switch that off, a late attempt could"
                " open a second pull request",
            ),
            (
                not rules.protected,
                f"branch {branch} is not protected: whoever may push can go round the checks",
            ),
            (
                rules.protected and unrequired,
                "the check juggernaut/verify is not required: protect the branch with it",
            ),
            (settings.archived, "the repository is archived: nothing can be pushed"),
            (not settings.may_push, "the token may not push"),
            (
                settings.administers,
                "the token may administer, so it could take the protection away: use a narrower"
                " one",
            ),
            (bool(wide), f"the token has scopes that are not needed: {', '.join(wide)}"),
            (
                not app,
                f"{INFO}a given token: its verdicts are commit statuses, it lives until it is"
                " revoked, and comments of its own login are not read; an App has none of that",
            ),
            (
                app,
                f"{INFO}an App: its verdicts are check runs; a token is for this repository alone"
                " and for an hour",
            ),
        )
        return [note for holds, note in said if holds]


def _protection_checks(branch: object) -> set[str]:
    """Give the checks that a branch's protection requires."""
    required = field(branch, "protection", "required_status_checks")
    names = {str(name) for name in items(required, "contexts")}
    return names | {text(check, "context") for check in items(required, "checks")}


def _rule_checks(rules: list[object]) -> set[str]:
    """Give the checks that rule sets require."""
    return {
        text(check, "context")
        for rule in rules
        if text(rule, "type") == "required_status_checks"
        for check in items(rule, "parameters", "required_status_checks")
    }
