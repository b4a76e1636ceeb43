"""A role: its handlers by task type, and its duties."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from juggernaut.domain.errors import (
    InvalidInput,
)
from juggernaut.domain.model import (
    Completion,
)
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.role.context import RoleContext
from juggernaut.role.duty import Duty

Handler = Callable[[RoleContext], Awaitable[Completion]]


@dataclass(frozen=True, slots=True)
class Role:
    """A kind of worker: what it does for each type of task, and what it does by itself."""

    name: str
    instructions: str
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    duties: tuple[Duty, ...] = ()

    @property
    def task_types(self) -> tuple[str, ...]:
        """Give the task types that this role knows how to do."""
        return tuple(self.handlers)

    async def perform(self, attempt: Attempt) -> Completion:
        """Do one task; raises InvalidInput for a type that the role does not know."""
        handler = self.handlers.get(attempt.task.task_type)
        if handler is None:
            raise InvalidInput(
                f"the role {self.name} has no handler for {attempt.task.task_type}:"
                f" SELECT revoke_capability('{self.name}', '{attempt.task.task_type}')"
            )
        return await handler(RoleContext(attempt, self.instructions))
