"""The states of a task and the moves between them, as data.

    waiting          -> pending | blocked | failed (a task that it needs has failed)
    pending          -> in_progress | waiting | waiting_approval | blocked | failed
    in_progress      -> completed | failed | blocked | waiting_approval | awaiting_merge
                        | pending (retry, released, expired)
    waiting_approval -> pending (approved) | rejected
    awaiting_merge   -> in_progress | pending | completed | failed | blocked
    blocked          -> pending | waiting | failed
    failed           -> pending (a person retries)
    any open state   -> cancelled

The database holds the same table in juggernaut.transitions; a test compares the two.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class TaskStatus(StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    WAITING = "waiting"
    WAITING_APPROVAL = "waiting_approval"
    IN_PROGRESS = "in_progress"
    AWAITING_MERGE = "awaiting_merge"
    BLOCKED = "blocked"
    COMPLETED = "completed"
    FAILED = "failed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


TERMINAL: Final = frozenset(
    {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.REJECTED, TaskStatus.CANCELLED}
)

_S = TaskStatus
TRANSITIONS: Final[frozenset[tuple[TaskStatus, TaskStatus]]] = frozenset(
    {
        (_S.WAITING, _S.PENDING),
        (_S.WAITING, _S.BLOCKED),
        (_S.WAITING, _S.FAILED),
        (_S.PENDING, _S.WAITING),
        (_S.PENDING, _S.IN_PROGRESS),
        (_S.PENDING, _S.WAITING_APPROVAL),
        (_S.PENDING, _S.BLOCKED),
        (_S.PENDING, _S.FAILED),
        (_S.IN_PROGRESS, _S.PENDING),
        (_S.IN_PROGRESS, _S.WAITING_APPROVAL),
        (_S.IN_PROGRESS, _S.AWAITING_MERGE),
        (_S.IN_PROGRESS, _S.BLOCKED),
        (_S.IN_PROGRESS, _S.COMPLETED),
        (_S.IN_PROGRESS, _S.FAILED),
        (_S.WAITING_APPROVAL, _S.PENDING),
        (_S.WAITING_APPROVAL, _S.REJECTED),
        (_S.AWAITING_MERGE, _S.IN_PROGRESS),
        (_S.AWAITING_MERGE, _S.PENDING),
        (_S.AWAITING_MERGE, _S.COMPLETED),
        (_S.AWAITING_MERGE, _S.FAILED),
        (_S.AWAITING_MERGE, _S.BLOCKED),
        (_S.BLOCKED, _S.PENDING),
        (_S.BLOCKED, _S.WAITING),
        (_S.BLOCKED, _S.FAILED),
        (_S.FAILED, _S.PENDING),
        *((state, _S.CANCELLED) for state in TaskStatus if state not in TERMINAL),
    }
)
