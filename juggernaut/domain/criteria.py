"""Verdicts: one per acceptance criterion, from how its check ended and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from juggernaut.domain.digest import text_digest
from juggernaut.domain.exchange import CommandResult
from juggernaut.domain.limits import EXCERPT_CHARS, OWNER_CHARS
from juggernaut.domain.model import Criterion, CriterionVerdict, Json, TaskId, Verdict
from juggernaut.domain.redact import scrub, shorten

SHOWN_PARTS: Final = 20
SHOWN_PART_CHARS: Final = 400


def passed(result: CommandResult) -> bool:
    """Say whether a check succeeded: it ended in time, with exit code 0."""
    return result.exit_code == 0 and not result.timed_out


def run_facts(result: CommandResult) -> dict[str, object]:
    """Give the facts of one command: what ran, how it ended, a digest and an excerpt."""
    return {
        "command": [shorten(part, SHOWN_PART_CHARS) for part in result.argv[:SHOWN_PARTS]],
        "exit_code": result.exit_code,
        "timed_out": result.timed_out,
        "seconds": round(result.seconds, 2),
        "output_digest": text_digest(result.output),
        "excerpt": scrub(result.output, limit=EXCERPT_CHARS),
    }


def judge(
    criterion: Criterion,
    head: CommandResult | None,
    base: CommandResult | None = None,
    problem: str = "",
) -> CriterionVerdict:
    """Judge one criterion by its check at the head; without a check nobody can tell.

    `problem` says why a check that ended well proves nothing.
    """
    if criterion.check is None or head is None:
        return CriterionVerdict(criterion.number, Verdict.UNKNOWN, {"why": "it has no check"})
    facts = run_facts(head)
    if base is not None:
        facts["met_at_base"] = passed(base)
        facts["exit_code_at_base"] = base.exit_code
    if problem:
        facts["problem"] = problem
    verdict = Verdict.MET if passed(head) and not problem else Verdict.UNMET
    return CriterionVerdict(criterion.number, verdict, facts)


def who_accepts(task: TaskId, number: int, text: str) -> str:
    """Give the next step for a criterion without a check, as SQL that accepts what was read.

    A text that does not fit is left out: half a statement helps nobody.
    """
    said = "'" + text.replace("'", "''") + "'"
    steps = (
        f"a person: SELECT accept_criterion('{task}', {number}, 'note'{more})"
        for more in (f", {said}", "")
    )
    return next(step for step in steps if len(step) <= OWNER_CHARS)


def accepted_numbers(payload: Json) -> frozenset[int]:
    """Give the numbers of the criteria that a person accepted, as the database reports them."""
    given = payload.get("accepted_criteria")
    if not isinstance(given, list | tuple):
        return frozenset()
    return frozenset(n for n in given if isinstance(n, int) and not isinstance(n, bool))


def first_unknown(
    verdicts: Iterable[CriterionVerdict], accepted: frozenset[int]
) -> CriterionVerdict | None:
    """Give the first verdict that a person has to give, if there is one."""
    for verdict in verdicts:
        if verdict.verdict is Verdict.UNKNOWN and verdict.number not in accepted:
            return verdict
    return None


def explain_unmet(criteria: Sequence[Criterion], verdicts: Iterable[CriterionVerdict]) -> str:
    """Describe the unmet criteria with the end of their output; empty when there is none."""
    texts = {criterion.number: criterion.text for criterion in criteria}
    found = [
        f"criterion {verdict.number} ({texts.get(verdict.number, '')[:200]}) is unmet:"
        f" {_end(verdict.facts)}\n{verdict.facts.get('excerpt', '')}"
        for verdict in verdicts
        if verdict.verdict is Verdict.UNMET
    ]
    return "\n".join(found)


def _end(facts: Json) -> str:
    """Say how a check ended, or why its end proves nothing."""
    return str(facts.get("problem") or f"exit code {facts.get('exit_code')}")
