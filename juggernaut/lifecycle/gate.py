"""Gate: an intention is recorded and decided on before it is carried out."""

from __future__ import annotations

from collections.abc import Sequence

from juggernaut.domain import faults
from juggernaut.domain.errors import LeaseLost, Parked
from juggernaut.domain.model import Gate, Plan, Risk, risk_rank
from juggernaut.domain.plans import checks_of, diff_plan_of, plan_of
from juggernaut.domain.risk import assess_diff
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.draft import Draft, branch_of

_CHANGES_CODE = ("code", "documentation")
_BARE = "bare"
_BARE_OWNER = "operator"


async def compose(attempt: Attempt) -> Plan:
    """Compose the plan of the task from its row; nothing is recorded."""
    task, services = attempt.task, attempt.services
    return plan_of(
        task,
        task.repo or services.settings.repo,
        branch_of(task) if task.task_type in _CHANGES_CODE else None,
        services.policy,
        await services.store.risk_floors(),
    )


async def pass_plan(attempt: Attempt) -> Plan:
    """Record the plan of the task; raises Parked while it waits for people.

    High risk without a sandbox is blocked before anybody is asked to approve it.
    """
    plan = await compose(attempt)
    await _refuse_bare(attempt, plan.risk)
    await _pass(attempt, Gate.PLAN, plan)
    faults.reach("plan.recorded")
    return plan


async def pass_diff(attempt: Attempt, draft: Draft, doubts: Sequence[str]) -> bool:
    """Let the exact diff be decided on, where it needs that; raises Parked while it waits.

    It needs it for a critical task, and where the diff by itself is high: because of protected
    paths, of tests that it weakens, or of `doubts`, which the tests of the base have against it.
    True says that people approved exactly these bytes.
    """
    task, policy = attempt.task, attempt.services.policy
    planned = (await compose(attempt)).risk
    tests = attempt.services.settings.test_argv
    checks = checks_of(task, tests)
    itself = assess_diff(Risk.LOW, policy, draft.files, draft.judged, checks, doubts).risk
    if planned is not Risk.CRITICAL and risk_rank(itself) < risk_rank(Risk.HIGH):
        return False
    found = diff_plan_of(
        task,
        planned,
        policy,
        head=draft.head,
        base=draft.base,
        files=draft.files,
        diff=draft.diff,
        judged=draft.judged,
        doubts=doubts,
        tests=tests,
    )
    await _pass(attempt, Gate.DIFF, found)
    return True


async def _refuse_bare(attempt: Attempt, risk: Risk) -> None:
    """Block what is high or critical where commands would have the run of the machine."""
    services = attempt.services
    if risk_rank(risk) < risk_rank(Risk.HIGH) or services.settings.allow_bare:
        return
    if services.sandbox.level == _BARE:
        await attempt.block(
            f"the risk is {risk.value} and the sandbox level is {_BARE}: have `juggernaut doctor`"
            " say what is missing, or set JUGGERNAUT_ALLOW_BARE=true; then retry the task",
            _BARE_OWNER,
        )


async def _pass(attempt: Attempt, gate: Gate, plan: Plan) -> None:
    """Ask the database; go on, or raise Parked or LeaseLost."""
    decision = await attempt.services.store.pass_gate(attempt.lease, gate, plan)
    if decision is None:
        raise LeaseLost(f"task {attempt.task.id} is not held by this attempt any more")
    if not decision.go:
        raise Parked(decision.reason)
