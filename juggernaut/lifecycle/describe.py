"""Describe: the text of a pull request, from what the database and the verifier know."""

from __future__ import annotations

from juggernaut.domain.plans import checks_of
from juggernaut.domain.pull_body import PullFacts, pull_body
from juggernaut.domain.risk import assess_diff
from juggernaut.lifecycle import gate
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.draft import Draft
from juggernaut.lifecycle.verify import Verification


async def describe_pull(attempt: Attempt, draft: Draft, report: Verification) -> str:
    """Write what a pull request says of itself; nothing in it is a model's word."""
    services, task = attempt.services, attempt.task
    plan = await gate.compose(attempt)
    assessed = assess_diff(plan.risk, services.policy, draft.files, draft.diff, checks_of(task))
    facts = PullFacts(
        task=task,
        files=draft.files,
        added=draft.added,
        removed=draft.removed,
        verified_sha=report.sha,
        sandbox=services.sandbox.level,
        tests=report.tests.facts() if report.tests else None,
        verdicts=report.verdicts,
        risk=assessed.risk,
        factors=tuple(dict.fromkeys([*plan.factors, *assessed.factors])),
        agent=draft.agent,
        cost=await services.store.spent(task),
        trailers=services.settings.pulls.trailers,
    )
    return attempt.scrub(pull_body(facts))
