"""EXECUTOR: code, documentation, test, verification and command tasks.

The order for a change: plan gate, draft, verification at the exact commit, check, pull request,
diff gate, merge. What an earlier attempt already has at the forge is taken up again.
"""

from __future__ import annotations

import json

from juggernaut.role import (
    CommandFailed,
    Completion,
    CriteriaUnmet,
    Draft,
    Duty,
    DutyContext,
    Evidence,
    GoOn,
    InvalidInput,
    Json,
    Landed,
    Move,
    PullConflict,
    Role,
    RoleContext,
    Step,
    Verification,
    learn,
    passed,
    read_argv,
    read_checks,
    run_facts,
)

NO_PROOF = (
    "nothing can prove this task: it has no acceptance criterion, and no test command is configured"
)
NO_PROOF_OWNER = "a person: set acceptance_criteria on the task, or configure a test command"
MOST_FILES = 100


async def code(ctx: RoleContext) -> Completion:
    """Change code, and end with a merged pull request."""
    if not ctx.task.criteria and not ctx.test_argv:
        await ctx.plan()
        await ctx.block(NO_PROOF, NO_PROOF_OWNER)
    landed, report = await _change(ctx, documents_only=False)
    draft, tests = landed.draft, report.tests
    facts: dict[str, object] = {
        "pull_number": landed.pull.number,
        "pull_url": landed.pull.url,
        "head_sha": draft.head,
        "base_sha": draft.base,
        "merged_sha": landed.merged,
        "verified_sha": report.sha,
        "files": list(draft.files[:MOST_FILES]),
        "added": draft.added,
        "removed": draft.removed,
        "tests": tests.facts() if tests else {"note": "no test command is configured"},
        "agent": dict(draft.agent),
        "sandbox": ctx.sandbox_level,
    }
    return _merged(ctx, Evidence("code", facts), landed, report)


async def documentation(ctx: RoleContext) -> Completion:
    """Write documents, and end with a merged pull request."""
    landed, report = await _change(ctx, documents_only=True)
    draft = landed.draft
    facts: dict[str, object] = {
        "location": draft.files[0],
        "merged_sha": landed.merged,
        "pull_number": landed.pull.number,
        "pull_url": landed.pull.url,
        "head_sha": draft.head,
        "base_sha": draft.base,
        "files": list(draft.files[:MOST_FILES]),
        "sandbox": ctx.sandbox_level,
    }
    return _merged(ctx, Evidence("documentation", facts), landed, report)


async def test(ctx: RoleContext) -> Completion:
    """Run the test suite at the head of the default branch, and count."""
    await ctx.plan()
    argv = ctx.test_argv
    if argv is None:
        raise InvalidInput(
            'no test command is known: set payload {"test": [...]} or configure a test command'
        )
    async with ctx.checkout() as tree:
        run = await tree.test(argv)
        report = await ctx.judge(tree, run)
    if not report.good:
        raise CriteriaUnmet(report.problem)
    await ctx.ask_for_unknown(report.verdicts)
    facts = {**run.facts(), "sha": report.sha, "sandbox": ctx.sandbox_level}
    return Completion(
        evidence=Evidence("test", facts),
        verdicts=report.verdicts,
        summary=f"{' '.join(argv)} at {report.sha}: {run.counts.passed} passed, 0 failed",
    )


async def verification(ctx: RoleContext) -> Completion:
    """Run named checks, and every criterion's check, at the head of the default branch."""
    await ctx.plan()
    named = read_checks(ctx.task.payload)
    judged = [(item.text, item.check) for item in ctx.task.criteria if item.check]
    if not named and not judged:
        raise InvalidInput('a verification task needs payload "checks", or criteria with a check')
    async with ctx.checkout() as tree:
        results = [(name, await tree.run(argv)) for name, argv in named]
        report = await ctx.judge(tree)
    wrong = [name for name, result in results if not passed(result)]
    if wrong or not report.good:
        lines = [f"the check {name!r} failed" for name in wrong]
        raise CriteriaUnmet("\n".join([*lines, report.problem]).strip())
    await ctx.ask_for_unknown(report.verdicts)
    checks: list[Json] = [
        # Every one passed, so the digest of its output says enough.
        {"name": name, **run_facts(result), "excerpt": ""}
        for name, result in results
    ]
    checks += [
        {"name": item.text, "criterion": item.number, "exit_code": verdict.facts["exit_code"]}
        for item, verdict in zip(ctx.task.criteria, report.verdicts, strict=True)
        if item.check
    ]
    facts = {"checks": checks, "sha": report.sha, "sandbox": ctx.sandbox_level}
    return Completion(
        evidence=Evidence("verification", facts),
        verdicts=report.verdicts,
        summary=f"{len(checks)} checks passed at {report.sha}",
    )


async def command(ctx: RoleContext) -> Completion:
    """Run one command in a fresh checkout; it has to end with exit code 0."""
    await ctx.plan()
    argv = read_argv(ctx.task.payload.get("command"), '"command"')
    if argv is None:
        raise InvalidInput('a command task needs payload {"command": [...]}')
    async with ctx.checkout() as tree:
        result = await tree.run(argv)
        report = await ctx.judge(tree)
    facts = {**run_facts(result), "sha": report.sha, "sandbox": ctx.sandbox_level}
    if not passed(result):
        raise CommandFailed(
            f"{' '.join(argv)} ended with exit code {result.exit_code}:\n{facts['excerpt']}"
        )
    if not report.good:
        raise CriteriaUnmet(report.problem)
    await ctx.ask_for_unknown(report.verdicts)
    return Completion(
        evidence=Evidence("command", facts),
        verdicts=report.verdicts,
        summary=f"{' '.join(argv)} ended with exit code 0 at {report.sha}",
    )


async def _change(ctx: RoleContext, *, documents_only: bool) -> tuple[Landed, Verification]:
    """Bring a change of the repository to its merge, verified.

    A draft of an earlier attempt is mended where the forge says what is wrong with it. Otherwise
    it gets one chance; when it fails, a new one is written. Whoever approved the exact diff of a
    draft has approved more than its plan.
    """
    found = await ctx.found_draft()
    if isinstance(found, Landed):
        return await _measure(ctx, found, tests=not documents_only)
    step = await ctx.look_first(found) if found else None
    mending = step is not None and step.mends
    approved = found is not None and not mending and await ctx.pass_diff(found)
    if not approved:
        await ctx.plan()
    if found is not None:
        try:
            return await _land(ctx, found, step if mending else None, documents_only)
        except (CriteriaUnmet, PullConflict) as error:
            await ctx.log("draft_dropped", f"the earlier draft {found.head} is of no use: {error}")
            if approved:
                await ctx.plan()
            trouble = str(error)
    else:
        await ctx.begin_files()
        trouble = ctx.task.error_message or ""
    return await _land(ctx, await _write(ctx, documents_only, trouble), None, documents_only)


async def _measure(ctx: RoleContext, found: Landed, *, tests: bool) -> tuple[Landed, Verification]:
    """Verify what was merged already.

    A merge that a plain-SQL worker reported passes the gates now: people decide on it afterwards
    where they were not asked.
    """
    if found.reported:
        await ctx.plan()
        await ctx.pass_diff(found.draft)
    report = await ctx.verify(found.merged, found.draft.base, tests=tests)
    if not report.good:
        raise CriteriaUnmet(f"the change was merged already, but: {report.problem}")
    if found.reported and report.doubts:
        await ctx.pass_diff(found.draft, report)
    await ctx.ask_for_unknown(report.verdicts)
    return found, report


async def _write(
    ctx: RoleContext, documents_only: bool, trouble: str, after: GoOn | None = None
) -> Draft:
    """Let the code agent write a draft, or go on from the one in `after`."""
    task = ctx.task
    lines = []
    for item in task.criteria:
        check = f" (check: {json.dumps(item.check)})" if item.check else ""
        lines.append(f"{item.number}. {item.text}{check}")
    criteria = "\n".join(lines)
    values = {
        "task": ctx.framed(f"{task.title}\n\n{task.description}", "task"),
        "criteria": ctx.framed(criteria or "none", "acceptance criteria"),
        "trouble": ctx.framed(trouble, "the attempt before") if trouble else "",
        "learnings": await ctx.recall(),
    }
    if documents_only:
        path = str(task.payload.get("path") or "where such documents are in this repository")
        values |= {"path": ctx.framed(path, "task"), "documents": ", ".join(ctx.documents)}
        return await ctx.write_draft("documentation", values, documents_only=True, after=after)
    values["test_command"] = json.dumps(ctx.test_argv) if ctx.test_argv else "none is configured"
    return await ctx.write_draft("code", values, documents_only=False, after=after)


async def _land(
    ctx: RoleContext, draft: Draft, step: Step | None, documents_only: bool
) -> tuple[Landed, Verification]:
    """Verify a draft, propose it, mend what the forge shows, and merge it when its turn comes.

    `step`: what is to be mended first. Every new head is verified again before it goes on.
    """
    tests = not documents_only
    mended = replayed = False
    while True:
        if step is not None:
            draft, mended, replayed = await _mend(ctx, draft, step, documents_only), True, False
        if replayed:
            report = await ctx.verify_replayed(draft, tests=tests)
        else:
            report = await ctx.verify(draft.head, draft.base, tests=tests)
        await ctx.post_check(draft, report)
        if not report.good and not (mended or replayed):
            raise CriteriaUnmet(report.problem)
        if not report.good:
            step = await ctx.sent_back(report.problem)
            continue
        body = await ctx.describe_pull(draft, report)
        pull = await ctx.open_pull(draft, report, body)
        await ctx.ask_for_unknown(report.verdicts)
        step = await ctx.go_on(draft, pull)
        if step.mends:
            continue
        turn = await _turn(ctx, draft, report, step, documents_only)
        if isinstance(turn, Draft) and turn.head == draft.head:
            return await ctx.merge(draft, pull, body), report
        step = turn if isinstance(turn, Step) else None
        draft, replayed = (turn, True) if isinstance(turn, Draft) else (draft, False)


async def _turn(
    ctx: RoleContext, draft: Draft, report: Verification, step: Step, documents_only: bool
) -> Draft | Step:
    """Take the turn to merge: this draft, the one on the newest base, or what to mend first."""
    if step.move is Move.MERGE:
        await ctx.pass_diff(draft, report)
    behind = step.move is not Move.MERGE
    turn = await ctx.take_turn(draft, documents_only=documents_only, behind=behind)
    if turn.conflicts:
        files = ", ".join(turn.conflicts[:MOST_FILES])
        return Step(Move.UPDATE, f"The base changed too; these files hold conflict marks: {files}")
    if step.move is Move.EJECTED and turn.draft.head == draft.head:
        return Step(Move.CHECKS, step.reason)
    if behind and turn.draft.head == draft.head:
        raise PullConflict(f"{step.reason}, but its base is the newest one: {draft.base}")
    return turn.draft


async def _mend(ctx: RoleContext, draft: Draft, step: Step, documents_only: bool) -> Draft:
    """Let the code agent go on from a draft, with what is wrong with it, and answer people."""
    await ctx.plan()
    trouble = await ctx.trouble(step)
    # A conflict is mended on the newest base, everything else where the change stands.
    after = GoOn(draft, None if step.move is Move.UPDATE else draft.base)
    newer = await _write(ctx, documents_only, trouble, after)
    await ctx.answer(step, draft, newer)
    return newer


def _merged(
    ctx: RoleContext, evidence: Evidence, landed: Landed, report: Verification
) -> Completion:
    """Say what was merged, with what proves it and what it taught."""
    pull, draft = landed.pull, landed.draft
    lines = [f"Merged PR #{pull.number}: {pull.url} as {landed.merged}"]
    lines += [f"- changed {path}" for path in draft.files[:10]]
    if report.tests is not None:
        counts = report.tests.counts
        lines.append(f"- tests: {counts.passed} passed, {counts.failed} failed at {report.sha}")
    return Completion(
        evidence=evidence,
        verdicts=report.verdicts,
        summary="\n".join(lines),
        learning=learn.from_change(ctx.task, landed, report),
    )


async def clear_trees(duty: DutyContext) -> Json:
    """Remove work trees that a killed attempt left behind."""
    return await duty.clear_trees()


async def follow_pulls(duty: DutyContext) -> Json:
    """Look at pull requests that wait at the forge."""
    return await duty.follow_pulls()


async def confirm_merges(duty: DutyContext) -> Json:
    """Ask the forge about merges that plain-SQL workers reported."""
    return await duty.confirm_merges()


ROLE = Role(
    name="executor",
    instructions=(
        "You are EXECUTOR, a careful programmer. You change what the task asks for and nothing"
        " else. You say that something works only after you saw it work."
    ),
    handlers={
        "code": code,
        "test": test,
        "verification": verification,
        "documentation": documentation,
        "command": command,
    },
    duties=(
        Duty("trees", "detect_seconds", clear_trees),
        Duty("pulls", "pulls_seconds", follow_pulls),
        Duty("merges", "detect_seconds", confirm_merges),
    ),
)
