"""What `juggernaut doctor` asks GitHub: which promises hold for the repository, and why not."""

from __future__ import annotations

from typing import Final

from juggernaut.adapters.forges.github.facts import INFO
from juggernaut.adapters.forges.github.names import looks_remote
from juggernaut.app.doctor import Finding
from juggernaut.app.github import HOW, GitHub, opened
from juggernaut.app.settings import Settings
from juggernaut.domain.errors import JuggernautError
from juggernaut.domain.pulls import Promises

CHECK: Final = "github"


async def check_github(settings: Settings, *, offline: bool) -> list[Finding]:
    """Ask for the default repository; a refusal of GitHub is a finding too."""
    repo = settings.default_repo
    named = repo if repo is not None and looks_remote(repo) else None
    try:
        with opened(settings) as github:
            if github is None:
                return [_unconfigured(named)]
            if offline:
                return [Finding(CHECK, "ok", "configured, not asked: --offline")]
            if named is None:
                remedy = "set GITHUB_REPO to have one looked at"
                return [Finding(CHECK, "ok", "configured; no default repository there", remedy)]
            return await _ask(github, github.name(named))
    except JuggernautError as error:
        return [Finding(CHECK, "fail", str(error))]


def _unconfigured(named: str | None) -> Finding:
    """Judge a process without a credential."""
    if named is None:
        return Finding(CHECK, "ok", "not configured: repositories are paths on this machine")
    return Finding(CHECK, "fail", f"{named} is at GitHub, and there is no credential", HOW)


async def _ask(github: GitHub, repo: str) -> list[Finding]:
    """Ask what the settings of a repository allow to promise."""
    found = await github.forge.promises(repo)
    check = f"{CHECK} {repo}"
    findings = [Finding(check, "ok", summary(found))]
    for note in found.notes:
        findings.append(Finding(check, "ok" if note.startswith(INFO) else "warn", note))
    return findings


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
