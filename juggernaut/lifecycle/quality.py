"""Quality: a linter looks at what the code agent wrote, before anything is pushed.

Only lines that the change added or rewrote are judged. The repository's own ruff configuration
wins, as it was before the change; a repository that has none gets the shipped rules. What is found
goes back to the agent, a few times. Nothing is claimed of files that are not Python.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from juggernaut.domain.errors import AgentFailed, TooBig
from juggernaut.domain.exchange import AgentRequest, CommandResult
from juggernaut.domain.limits import (
    EXCERPT_CHARS,
    LINT_SECONDS,
    QUALITY_ROUNDS,
    QUALITY_SECONDS,
    QUALITY_TURNS,
    TITLE_CHARS,
)
from juggernaut.domain.pull_rules import PullRules, Quality, too_big
from juggernaut.domain.pulls import Change
from juggernaut.domain.quality import (
    Finding,
    changed_lines,
    on_changed,
    python_files,
    read_findings,
    told,
)
from juggernaut.domain.redact import shorten
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.lint_rules import by_config, is_file, other_linter, rules_tree
from juggernaut.ports import Workspace

Redo = Callable[[AgentRequest], Awaitable[Change]]

CHECKED: Final = "checked"
NOT_RUN: Final = "not run"
OURS: Final = "juggernaut's rules (the repository has no ruff configuration)"
NOT_INSTALLED: Final = "ruff is not installed: `pip install ruff` beside juggernaut"
OTHER_LINTER: Final = (
    "the repository configures {name} and not ruff, and that linter is not run here:"
    " make it a part of the test command or of a criterion"
)
LEFT_SHOWN: Final = 10
_RUN: Final = ("check", "--no-cache", "--output-format", "json-lines", "--force-exclude")
_FOUND: Final = 1  # ruff's exit code when it has findings; 0 when it has none


@dataclass(frozen=True, slots=True)
class Report:
    """What one look of the linter gave: `facts` for the evidence, `findings` to be mended."""

    findings: tuple[Finding, ...]
    facts: dict[str, object]


async def settle(
    attempt: Attempt, workspace: Workspace, change: Change, request: AgentRequest, redo: Redo
) -> tuple[Change, dict[str, object]]:
    """Have findings mended; gives the change that stays, and the facts of what was looked at.

    `redo` lets the agent go on in the same tree, and commits again. Raises TooBig; AgentFailed
    for findings that are left where the rules enforce quality.
    """
    rules = attempt.services.settings.pulls
    _check_size(change, rules)
    report = await inspect(attempt, workspace, change)
    rounds = 0
    while report.findings and rounds < QUALITY_ROUNDS:
        rounds += 1
        count = len(report.findings)
        await attempt.log(
            "quality_round",
            f"{count} findings of the linter go back to the agent:\n{told(report.findings)}",
            metadata={"round": rounds, "findings": count},
        )
        asked = _again(attempt, request, report.findings)
        try:
            change = await redo(asked)
        except AgentFailed as error:
            if rules.quality is Quality.ENFORCE:
                raise AgentFailed(f"quality: {error}") from error
            report.facts["note"] = f"the agent could not mend them: {error}"
            break
        report = await inspect(attempt, workspace, change)
    facts = {**report.facts, "rounds": rounds}
    _check_size(change, rules)
    if report.findings and rules.quality is Quality.ENFORCE:
        left = told(report.findings)
        raise AgentFailed(f"quality: {len(report.findings)} findings are left:\n{left}")
    if facts["state"] in {CHECKED, NOT_RUN}:
        level = "info" if facts["state"] == CHECKED else "warning"
        await attempt.log("quality", _said(facts), level=level, metadata=facts)
    return change, facts


async def inspect(attempt: Attempt, workspace: Workspace, change: Change) -> Report:
    """Run the linter over the Python files of a change."""
    settings = attempt.services.settings.pulls
    files = [path for path in python_files(change.files) if is_file(workspace.path / path)]
    facts: dict[str, object] = {"state": CHECKED, "files": len(files), "left": []}
    if settings.quality is Quality.OFF:
        return Report((), {**facts, "state": "off", "files": 0})
    if not files:
        return Report((), {**facts, "state": "nothing to check"})
    if settings.linter.argv is None:
        return Report((), {**facts, "state": NOT_RUN, "why": NOT_INSTALLED})
    async with rules_tree(attempt, workspace, change) as rules:
        groups = await asyncio.to_thread(by_config, rules, files)
        other = await asyncio.to_thread(other_linter, rules)
        if other and None in groups:
            facts["why"] = OTHER_LINTER.format(name=other)
            del groups[None]
        if not groups:
            return Report((), {**facts, "state": NOT_RUN})
        return await _lint(attempt, workspace, change, rules, groups, facts)


async def _lint(
    attempt: Attempt,
    workspace: Workspace,
    change: Change,
    rules: Path,
    groups: Mapping[PurePosixPath | None, Sequence[str]],
    facts: dict[str, object],
) -> Report:
    """Run ruff once for each configuration, in the sandbox, and keep what is new."""
    found: list[Finding] = []
    for config, files in groups.items():
        result = await _ruff(attempt, workspace, rules, config, files)
        if result.exit_code not in {0, _FOUND} or result.timed_out or result.truncated:
            said = shorten(attempt.scrub(result.output).strip(), EXCERPT_CHARS)
            why = f"ruff ended with {result.exit_code}: {said}"
            return Report((), {**facts, "state": NOT_RUN, "why": why})
        found += read_findings(result.output, str(workspace.path))
    changed = changed_lines(change.diff, change.files)
    left = on_changed(found, changed)
    used = [OURS if config is None else str(config) for config in groups]
    lines = [attempt.scrub(item.told(), TITLE_CHARS) for item in left[:LEFT_SHOWN]]
    facts |= {"rules": used, "left": lines, "count": len(left), "silenced": changed.silenced}
    return Report(left, facts)


async def _ruff(
    attempt: Attempt,
    workspace: Workspace,
    rules: Path,
    config: PurePosixPath | None,
    files: Sequence[str],
) -> CommandResult:
    """Run ruff over files that share a configuration; its patterns count from its folder."""
    linter = attempt.services.settings.pulls.linter
    folder = config.parent if config else PurePosixPath()
    argv = [*(linter.argv or ()), *_RUN]
    if config is None:
        argv += ["--isolated", "--ignore-noqa"]
        argv += [word for pair in linter.rules for word in ("--config", pair)]
    else:
        argv += ["--config", str(rules / config)]
    names = [str(PurePosixPath(path).relative_to(folder)) for path in files]
    # A tree below /tmp is seen inside a sandbox only if it is named.
    seen = [rules] if rules != workspace.path else []
    return await attempt.services.sandbox.run(
        [*argv, "--", *names],
        workspace.path / folder,
        timeout_seconds=LINT_SECONDS,
        writable=[workspace.path, *seen],
    )


def _check_size(change: Change, rules: PullRules) -> None:
    """Raise TooBig for a change that nobody could review."""
    wrong = too_big(change, rules)
    if wrong is not None:
        raise TooBig(wrong)


def _again(attempt: Attempt, request: AgentRequest, findings: Sequence[Finding]) -> AgentRequest:
    """Ask the agent to mend findings; it is shown the first request again."""
    shown = attempt.framed(told(findings), "findings of the linter")
    text = attempt.prompt("quality", {"findings": shown})
    return replace(
        request,
        prompt=f"{request.prompt}\n\n{text}",
        max_turns=min(request.max_turns, QUALITY_TURNS),
        timeout_seconds=min(request.timeout_seconds, QUALITY_SECONDS),
    )


def _said(facts: Mapping[str, object]) -> str:
    """Say in one line what the linter did."""
    if facts["state"] == CHECKED:
        return f"ruff looked at {facts['files']} files: {facts.get('count', 0)} findings left"
    return f"ruff was not run: {facts.get('why', facts['state'])}"
