"""Describe: the text of a pull request, from what the database and the verifier know."""

from __future__ import annotations

from dataclasses import replace

from juggernaut.domain.plans import checks_of
from juggernaut.domain.pull_body import PullFacts, pull_body
from juggernaut.domain.pull_rules import labels_for
from juggernaut.domain.risk import Assessment, assess_diff
from juggernaut.lifecycle import gate
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.draft import Draft
from juggernaut.lifecycle.verify import Verification


async def assess(attempt: Attempt, draft: Draft, report: Verification) -> Assessment:
    """Give the risk of a verified draft, with the factors of its plan first."""
    plan = await gate.compose(attempt)
    policy = attempt.services.policy
    checks = checks_of(attempt.task, attempt.services.settings.test_argv)
    found = assess_diff(plan.risk, policy, draft.files, draft.judged, checks, report.doubts)
    return replace(found, factors=tuple(dict.fromkeys([*plan.factors, *found.factors])))


async def labels_of(attempt: Attempt, draft: Draft, report: Verification) -> tuple[str, ...]:
    """Give the labels that its pull request gets."""
    assessed = await assess(attempt, draft, report)
    return labels_for(attempt.services.settings.pulls, assessed.risk)


async def describe_pull(attempt: Attempt, draft: Draft, report: Verification) -> str:
    """Write what a pull request says of itself; nothing in it is a model's word."""
    services, task = attempt.services, attempt.task
    assessed = await assess(attempt, draft, report)
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
        factors=assessed.factors,
        agent=draft.agent,
        cost=await services.store.spent(task),
        trailers=services.settings.pulls.trailers,
    )
    return attempt.scrub(pull_body(facts))
