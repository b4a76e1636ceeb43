"""What `juggernaut doctor` asks GitHub: which promises hold for each repository, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from juggernaut.adapters.forges.github.facts import INFO
from juggernaut.adapters.forges.github.names import looks_remote
from juggernaut.app.doctor import Finding
from juggernaut.app.github import HOW, GitHub, opened
from juggernaut.app.settings import Settings
from juggernaut.domain.errors import InvalidInput, JuggernautError
from juggernaut.domain.limits import DOCTOR_DAYS, DOCTOR_REPOSITORIES
from juggernaut.domain.pulls import Promises
from juggernaut.lifecycle.unfetched import SAYING, unfetched_of

CHECK: Final = "github"


async def check_github(
    settings: Settings, *, offline: bool, repos: Sequence[str] = ()
) -> list[Finding]:
    """Ask for the default repository and those of `repos`; a refusal of GitHub is a finding too."""
    named = [repo for repo in (settings.default_repo, *repos) if repo and looks_remote(repo)]
    try:
        with opened(settings) as github:
            if github is None:
                return [_unconfigured(named)]
            if offline:
                return [Finding(CHECK, "ok", "configured, not asked: --offline")]
            if not named:
                remedy = "set GITHUB_REPO to have one looked at"
                return [Finding(CHECK, "ok", "configured; no repository there is known", remedy)]
            return [found for repo in _each(github, named) for found in await _ask(github, repo)]
    except JuggernautError as error:
        return [Finding(CHECK, "fail", str(error))]


async def repositories(settings: Settings) -> list[str]:
    """Give the repositories of open and recent tasks; none when the database does not tell.

    The login of the workers may read them too: it asks where no operator's address is known.
    """
    from juggernaut.adapters.postgres.board import open_board

    try:
        known = settings.database_url is not None
        dsn = settings.operator_dsn() if known else settings.worker_dsn()
        async with open_board(dsn) as board:
            rows = await board.rows("list_repositories", DOCTOR_DAYS, DOCTOR_REPOSITORIES)
    except JuggernautError:
        return []  # what is wrong with the database is a finding of its own
    return [str(row["repo"]) for row in rows]


def _unconfigured(named: Sequence[str]) -> Finding:
    """Judge a process without a credential."""
    if not named:
        return Finding(CHECK, "ok", "not configured: repositories are paths on this machine")
    return Finding(CHECK, "fail", f"{named[0]} is at GitHub, and there is no credential", HOW)


def _each(github: GitHub, named: Sequence[str]) -> list[str]:
    """Give each repository once, however tasks name it; what is no name stays as it is."""
    found: dict[str, str] = {}
    for repo in named:
        try:
            name = github.name(repo)
        except InvalidInput:
            name = repo
        found.setdefault(name.lower(), name)
    return list(found.values())[:DOCTOR_REPOSITORIES]


async def _ask(github: GitHub, repo: str) -> list[Finding]:
    """Ask what the settings of a repository allow to promise, and what a work tree will lack."""
    check = f"{CHECK} {repo}"
    try:
        found = await github.forge.promises(repo)
        lacks = unfetched_of(*[await github.forge.file(repo, name) for name in SAYING])
    except JuggernautError as error:
        return [Finding(check, "fail", str(error))]
    findings = [Finding(check, "ok", summary(found))]
    for note in found.notes:
        findings.append(Finding(check, "ok" if note.startswith(INFO) else "warn", note))
    remedy = "tasks that need them are not for this swarm; tests must do without"
    return [*findings, *(Finding(check, "warn", line, remedy) for line in lacks)]


def summary(promises: Promises) -> str:
    """Say in one line what holds."""
    required = ", ".join(promises.required_checks) or "none"
    parts = (
        f"{promises.merge_method} merges",
        "one pull request per task by row lock",
        *([] if promises.row_lock else ["and by GitHub itself after a merge"]),
        "protected" if promises.protected else "not protected",
        f"required checks: {required}",
        *(["merge queue"] if promises.merge_queue else []),
    )
    return "; ".join(parts)
