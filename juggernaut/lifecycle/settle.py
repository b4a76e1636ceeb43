"""Settle: the forge is asked about merges that plain-SQL workers reported.

A word is no proof: what the forge shows only brings the task back to the queue, and the attempt
that follows verifies what was merged. Nobody waits for it in the meantime.
"""

from __future__ import annotations

from uuid import UUID

from juggernaut.domain.errors import ForgeError, InvalidInput
from juggernaut.domain.model import Json, TaskId
from juggernaut.domain.pulls import branch_name
from juggernaut.lifecycle.attempt import Services


async def confirm_merges(services: Services) -> Json:
    """Ask the forge for every reported merge; gives counts per answer."""
    counts = {"asked": 0, "found": 0, "blocked": 0, "unanswered": 0}
    for row in await services.store.awaiting_merge():
        task = TaskId(UUID(str(row["id"])))
        counts["asked"] += 1
        try:
            state, shown = await _look(services, task, row.get("repo"))
        except ForgeError:
            # A forge that is away has said nothing: it is asked again the next time.
            counts["unanswered"] += 1
            continue
        status = await services.store.confirm_merge(task, int(str(row["fence"])), state, shown)
        counts["found"] += status == "pending"
        counts["blocked"] += status == "blocked"
    return counts


async def _look(services: Services, task: TaskId, repo: object) -> tuple[str, str]:
    """Give the state of the task's pull request, and what to tell a person of it."""
    branch = branch_name(task)
    place = str(repo) if repo else services.settings.repo
    if not place:
        return "none", "the task names no repository and none is configured"
    try:
        pull = await services.forge.find_pull(place, branch)
    except InvalidInput as error:
        return "none", f"the forge cannot be asked: {error}"
    if pull is None:
        return "none", f"{place} has no pull request of branch {branch}"
    return pull.state, f"pull request #{pull.number} of branch {branch} is {pull.state}"
