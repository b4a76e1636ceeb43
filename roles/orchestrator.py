"""ORCHESTRATOR: a goal becomes tasks; goals are followed to their end; schedules fire."""

from __future__ import annotations

import json

from juggernaut.role import (
    Completion,
    Duty,
    DutyContext,
    Evidence,
    Json,
    Role,
    RoleContext,
    plan_schema,
    read_plan,
)

CHECK_EXAMPLE = '["python", "-m", "pytest", "-q", "tests/test_slug.py"]'


async def planning(ctx: RoleContext) -> Completion:
    """Ask for a plan, check it, and let the database create its tasks."""
    await ctx.plan()
    goal = await ctx.goal()
    title = goal.title if goal else ctx.task.title
    description = goal.description if goal else ctx.task.description
    story = await ctx.goal_story() if ctx.task.payload.get("replan") else {}
    values = {
        "goal": ctx.framed(f"{title}\n\n{description}", "goal"),
        "story": ctx.framed(json.dumps(story, default=str), "earlier tasks") if story else "",
        "files": ctx.framed("\n".join(await _files(ctx)), "file names"),
        "learnings": await ctx.recall(),
        "task_types": ", ".join(ctx.plannable_types),
        "check_example": CHECK_EXAMPLE,
        "test_command": json.dumps(ctx.test_argv) if ctx.test_argv else "none is configured",
    }
    schema = plan_schema(ctx.plannable_types)
    tasks = await ctx.ask_structured("plan", "planner", values, schema, read_plan)
    ids = await ctx.propose_tasks(tasks)
    listed = "\n".join(f"- {task.title} ({task.task_type})" for task in tasks)
    return Completion(
        evidence=Evidence("planning", {"task_ids": [str(task_id) for task_id in ids]}),
        verdicts=await ctx.judge_by_people(),
        summary=f"Planned {len(ids)} tasks for: {title}\n{listed}",
    )


async def _files(ctx: RoleContext) -> tuple[str, ...]:
    """List the files of the repository, if the goal is about one."""
    if not ctx.has_repo:
        return ()
    async with ctx.checkout() as tree:
        return await tree.files()


async def follow_goals(duty: DutyContext) -> Json:
    """Close finished goals, and ask for one new plan where a task failed for good."""
    return await duty.follow_goals()


async def schedules(duty: DutyContext) -> Json:
    """Create the tasks of schedules that are due."""
    return await duty.fire_schedules()


ROLE = Role(
    name="orchestrator",
    instructions=(
        "You are ORCHESTRATOR. You turn a goal into the fewest tasks that reach it, each with"
        " criteria that a command can prove. You never do the work yourself."
    ),
    handlers={"planning": planning},
    duties=(
        Duty("goals", "goals_seconds", follow_goals),
        Duty("schedules", "schedules_seconds", schedules),
    ),
)
