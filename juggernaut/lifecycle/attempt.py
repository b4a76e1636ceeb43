"""What one attempt has in its hands: the services of the process, a task, the lease on it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from juggernaut.domain.breaker import Breakers
from juggernaut.domain.errors import ConfigError, InvalidInput, LeaseLost, Parked
from juggernaut.domain.frame import NONCE_CHARS, frame
from juggernaut.domain.limits import LOG_MESSAGE_CHARS, TEXT_CHARS
from juggernaut.domain.model import Json, Lease, LogEntry, Task
from juggernaut.domain.pull_rules import PullRules
from juggernaut.domain.redact import Secret, scrub, scrub_json
from juggernaut.domain.risk import Policy
from juggernaut.domain.template import render
from juggernaut.lifecycle.recording import Recording
from juggernaut.ports import (
    Cassettes,
    Clock,
    CodeAgent,
    Forge,
    Gateway,
    Models,
    Sandbox,
    Store,
    Workspaces,
)


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """What an operator configured for the work: repository, how it is tested, pull requests."""

    repo: str | None = None
    test_argv: tuple[str, ...] | None = None
    secrets: tuple[Secret, ...] = ()
    pulls: PullRules = PullRules()
    allow_bare: bool = False  # tasks of high risk too where no sandbox holds


@dataclass(frozen=True, slots=True)
class Services:
    """The ports of this process, policy and prompts; `running` names its attempts."""

    store: Store
    models: Models | None
    agent: CodeAgent
    forge: Forge
    workspaces: Workspaces
    sandbox: Sandbox
    clock: Clock
    policy: Policy
    prompts: Mapping[str, str]
    settings: WorkSettings = WorkSettings()
    running: set[str] = field(default_factory=set)
    breakers: Breakers = field(default_factory=Breakers)
    cassettes: Cassettes | None = None
    gateway: Gateway | None = None


def unheard() -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a task; `hand_in` says that its work is done, and only the last write is left."""

    services: Services
    task: Task
    lease: Lease
    recording: Recording | None = None
    hand_in: Callable[[], None] = unheard

    @property
    def name(self) -> str:
        """Give the name of this attempt's work trees."""
        return f"{self.task.id}-{self.lease.fence}"

    @property
    def repo(self) -> str:
        """Give the repository of the task; raises InvalidInput when there is none."""
        repo = self.task.repo or self.services.settings.repo
        if repo is None:
            raise InvalidInput(
                f"task {self.task.id} names no repository and none is configured:"
                " set governance_tasks.repo or JUGGERNAUT_REPO"
            )
        return repo

    def scrub(self, text: str, limit: int = TEXT_CHARS) -> str:
        """Take the secrets of this process out of a text, and bound it."""
        return scrub(text, self.services.settings.secrets, limit)

    def framed(self, text: str, label: str, limit: int = TEXT_CHARS) -> str:
        """Put a text of untrusted origin into its frame."""
        return frame(self.scrub(text, limit), label, secrets.token_hex(NONCE_CHARS))

    def prompt(self, name: str, values: Mapping[str, str]) -> str:
        """Fill one of the configured prompts; raises ConfigError when it is not there."""
        template = self.services.prompts.get(name)
        if template is None:
            raise ConfigError(f"the prompt {name}.md is missing: restore it in config/prompts")
        return render(name, template, values)

    async def log(
        self,
        action: str,
        message: str,
        *,
        level: str = "info",
        metadata: Json | None = None,
        error: Json | None = None,
    ) -> None:
        """Append a scrubbed line to execution_logs; raises LeaseLost when it did not land."""
        known = self.services.settings.secrets
        facts = scrub_json(metadata or {}, known, LOG_MESSAGE_CHARS)
        wrong = scrub_json(error, known, LOG_MESSAGE_CHARS) if error is not None else None
        entry = LogEntry(
            action=action,
            message=self.scrub(message, LOG_MESSAGE_CHARS),
            level=level,
            metadata=facts if isinstance(facts, dict) else {},
            error=wrong if isinstance(wrong, dict) else None,
        )
        self.holds(await self.services.store.log(self.lease, entry))

    def holds(self, landed: bool) -> None:
        """Raise LeaseLost when a fenced write did not land."""
        if not landed:
            raise LeaseLost(f"task {self.task.id} is not held by this attempt any more")

    async def check_held(self) -> None:
        """Raise LeaseLost unless the lease is good at this moment."""
        self.holds(await self.services.store.still_held(self.lease))

    async def block(self, reason: str, owner: str) -> NoReturn:
        """Park the task as blocked, with the person who has the next step."""
        reason = self.scrub(reason, LOG_MESSAGE_CHARS)
        self.holds(await self.services.store.block(self.lease, reason, owner))
        raise Parked(reason)
