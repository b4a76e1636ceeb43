"""The text of a pull request: what and why, proof, risk and cost. Written from facts only.

Text of others (title, description, criteria, paths) stands in code spans and indented blocks, with
everything broken that a forge would act on: it can ping nobody, close nothing, and forge no
trailer of a commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from juggernaut.domain.limits import PULL_BODY_CHARS, PULL_TEXT_CHARS, TITLE_CHARS
from juggernaut.domain.model import CriterionVerdict, Json, Risk, Task
from juggernaut.domain.pull_rules import inert, trailer_block
from juggernaut.domain.redact import shorten

FILES_SHOWN: Final = 100
_NOT_TESTED: Final = "No test command is configured; only the criteria were checked."


@dataclass(frozen=True, slots=True)
class PullFacts:
    """All that a pull request says about itself."""

    task: Task
    files: tuple[str, ...]
    added: int
    removed: int
    verified_sha: str
    sandbox: str
    tests: Json | None  # the facts of the test run
    verdicts: tuple[CriterionVerdict, ...]
    risk: Risk
    factors: tuple[str, ...]
    agent: Json
    cost: Json  # {"usd", "tokens", "calls"} of the task so far
    trailers: tuple[str, ...] = ()


def pull_body(facts: PullFacts) -> str:
    """Write the text; its last paragraph are the trailers of the commit."""
    task = facts.task
    parts = [
        *_what(task),
        *_section("Changes", _changes(facts)),
        *_section("Acceptance criteria", _criteria(facts)),
        *_section("How it was tested", _tested(facts)),
        *_section("Risk", _risk(facts)),
        *_section("Cost", [_cost(facts.cost, task)]),
    ]
    ending = trailer_block(task, facts.trailers)
    room = PULL_BODY_CHARS - len(ending) - len("\n\n")
    text = shorten("\n".join(parts).strip(), room)
    return f"{text}\n\n{ending}"


def span(text: str) -> str:
    """Give a text of others as one line of code, which no forge reads as markup."""
    line = shorten(" ".join(inert(text).replace("`", "'").split()), TITLE_CHARS)
    return f"`{' '.join(line.split())}`"


def block(text: str) -> list[str]:
    """Give a text of others as an indented block."""
    shown = shorten(inert(text).strip(), PULL_TEXT_CHARS)
    return [f"    {line}".rstrip() for line in shown.splitlines()]


def _section(name: str, lines: Iterable[str]) -> list[str]:
    """Give a heading with its lines; nothing without lines."""
    found = list(lines)
    return ["", f"## {name}", "", *found] if found else []


def _what(task: Task) -> Iterator[str]:
    """Say what the change is for."""
    yield f"{task.task_type} task: {span(task.title)}"
    if task.description.strip():
        yield from ("", "## Why", "", "As the task says:", "", *block(task.description))


def _changes(facts: PullFacts) -> Iterator[str]:
    """List what was changed."""
    yield f"{len(facts.files)} files, {facts.added} lines added, {facts.removed} removed"
    yield from (f"- {span(path)}" for path in facts.files[:FILES_SHOWN])
    if len(facts.files) > FILES_SHOWN:
        yield f"- and {len(facts.files) - FILES_SHOWN} more"


def _criteria(facts: PullFacts) -> Iterator[str]:
    """Give each criterion with its verdict."""
    texts = {item.number: item for item in facts.task.criteria}
    for verdict in facts.verdicts:
        item = texts[verdict.number]
        proof = (
            f", proved by {span(' '.join(item.check))}" if item.check else ", judged by a person"
        )
        yield f"- **{verdict.verdict.value}**: {span(item.text)}{proof}"


def _tested(facts: PullFacts) -> Iterator[str]:
    """Say what ran, where, and what it counted."""
    yield f"In a fresh checkout of {facts.verified_sha}, sandbox: {facts.sandbox}."
    if facts.tests is None:
        yield _NOT_TESTED
    else:
        argv = facts.tests.get("command")
        words = " ".join(map(str, argv)) if isinstance(argv, list | tuple) else str(argv)
        yield f"- {span(words)}: exit code {facts.tests.get('exit_code')}"
        yield (
            f"- tests: {facts.tests.get('passed')} passed, {facts.tests.get('failed')} failed"
            f" (counted by {facts.tests.get('counted')})"
        )
    yield from _linted(facts.agent.get("quality"))


def _linted(found: object) -> Iterator[str]:
    """Say what the linter had to say."""
    if not isinstance(found, Mapping) or found.get("state") == "off":
        return
    if found.get("state") != "checked":
        why = found.get("why")
        yield f"- linter: {found.get('state')}" + (f", {span(str(why))}" if why else "")
        return
    yield f"- linter: {found.get('count', 0)} findings on changed lines of {found['files']} files"
    yield from (f"  - rules: {span(rules)}" for rules in _texts(found.get("rules")))
    yield from (f"  - {span(line)}" for line in _texts(found.get("left")))
    if found.get("silenced"):
        yield f"  - lines of the change that silence it: {found['silenced']}"


def _texts(value: object) -> Iterator[str]:
    """Give the items of a list as texts; nothing of what is none."""
    yield from map(str, value if isinstance(value, list | tuple) else ())


def _risk(facts: PullFacts) -> Iterator[str]:
    """Give the risk, and what made it so."""
    yield f"**{facts.risk.value}**"
    yield from (f"- {span(factor)}" for factor in facts.factors)


def _cost(cost: Json, task: Task) -> str:
    """Say what the task cost so far."""
    return (
        f"{cost.get('usd')} US dollars, {cost.get('tokens')} tokens in {cost.get('calls')}"
        f" model calls; attempt {task.attempts} of at most {task.max_attempts}"
    )
