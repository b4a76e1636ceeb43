"""Claim: a worker takes tasks that its role handles and is granted, each with a lease on it.

The claim itself is one statement in the database. What is here refuses an answer that breaks
the contract, before anybody acts on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from juggernaut.domain.errors import InvariantBroken
from juggernaut.domain.model import Claim, Session
from juggernaut.ports import Queue


async def claim(queue: Queue, session: Session, slots: int) -> Sequence[Claim]:
    """Claim up to `slots` tasks; raises InvariantBroken for a task that it has no code for."""
    if slots < 1:
        return ()
    claims = await queue.claim(session, slots)
    if len(claims) > slots:
        raise InvariantBroken(f"{len(claims)} tasks were claimed for {slots} slots")
    for found in claims:
        if found.lease.task_id != found.task.id:
            raise InvariantBroken(f"the lease of task {found.task.id} names another task")
        if found.task.task_type not in session.handles:
            raise InvariantBroken(
                f"task {found.task.id} is of type {found.task.task_type}, which"
                f" {session.worker_type} does not handle"
            )
    return claims
