"""Learn: a learning is composed from the facts of the work, never from a model's words.

Work that taught nothing leaves none: a sentence that would fit every task helps no later one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from juggernaut.domain.limits import EXCERPT_CHARS, TITLE_CHARS
from juggernaut.domain.model import CriterionVerdict, Learning, Task
from juggernaut.domain.redact import shorten
from juggernaut.lifecycle.draft import Landed
from juggernaut.lifecycle.gather import Source
from juggernaut.lifecycle.verify import Verification

_SHORT_SHA = 10
_NAMED_FILES = 8
_IMPACT_FIRST_TRY = 0.4
_IMPACT_TURNED_RED_GREEN = 0.6
_IMPACT_AFTER_FAILURE = 0.8


def from_change(task: Task, landed: Landed, report: Verification) -> Learning:
    """Say which files a task changed, what that turned from unmet to met, and what failed first."""
    draft = landed.draft
    turned = [item for item in report.verdicts if item.facts.get("met_at_base") is False]
    files = _named(draft.files)
    lines = [
        f"Task: {task.title}",
        f"Changed {files} (+{draft.added} -{draft.removed}) from {draft.base[:_SHORT_SHA]}"
        f" to {draft.head[:_SHORT_SHA]}.",
    ]
    lines += [_turned(item) for item in turned]
    if report.tests is not None:
        counts = report.tests.counts
        command = " ".join(report.tests.result.argv)
        lines.append(f"{command}: {counts.passed} passed, {counts.failed} failed.")
    lines.append(f"The agent {_agent(draft.agent)}.")
    if task.error_message:
        lines.append(f"Before that an attempt failed: {shorten(task.error_message, 600)}")
    tags = [task.task_type, *_areas(draft.files)]
    return Learning(
        category="pitfall" if task.error_message else "technique",
        title=shorten(f"{files}: {task.title}", TITLE_CHARS),
        description=shorten("\n".join(lines), EXCERPT_CHARS * 2),
        impact=_impact(task, bool(turned)),
        tags=tuple(dict.fromkeys(tags)),
    )


def from_sources(task: Task, sources: Sequence[Source]) -> Learning:
    """Say where in a repository the answer to a question was found."""
    places = ", ".join(f"{item.path}:{item.line}" for item in sources[:_NAMED_FILES])
    return Learning(
        category="knowledge",
        title=shorten(f"Where to read: {task.title}", TITLE_CHARS),
        description=f"At {sources[0].sha[:_SHORT_SHA]} these places speak of it: {places}.",
        impact=_IMPACT_FIRST_TRY,
        tags=("research", *_areas([item.path for item in sources])),
    )


def _impact(task: Task, turned: bool) -> float:
    """Weigh a learning: what failed before teaches most."""
    if task.error_message:
        return _IMPACT_AFTER_FAILURE
    return _IMPACT_TURNED_RED_GREEN if turned else _IMPACT_FIRST_TRY


def _turned(verdict: CriterionVerdict) -> str:
    """Say how a check ended before and after."""
    command = verdict.facts.get("command")
    shown = " ".join(str(part) for part in command) if isinstance(command, list) else "the check"
    before = verdict.facts.get("exit_code_at_base")
    return f"{shown}: exit code {before} before, {verdict.facts.get('exit_code')} after."


def _agent(facts: Mapping[str, object]) -> str:
    """Say how much work the agent had."""
    if "turns" not in facts:
        return f"was {facts.get('name')}, outside this program"
    return f"{facts.get('name')} took {facts.get('turns')} turns, {facts.get('tool_uses')} tools"


def _named(files: Sequence[str]) -> str:
    """Name some files."""
    shown = ", ".join(files[:_NAMED_FILES])
    more = len(files) - _NAMED_FILES
    return f"{shown} and {more} more" if more > 0 else shown


def _areas(files: Sequence[str]) -> list[str]:
    """Give the top folders and suffixes of some files, as tags."""
    paths = [PurePosixPath(name) for name in files[:_NAMED_FILES]]
    found = [path.parts[0] for path in paths if len(path.parts) > 1]
    found += [path.suffix.lstrip(".") for path in paths if path.suffix]
    return list(dict.fromkeys(found))
