"""The ports of language models and of code agents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from juggernaut.domain.agents import Capabilities, Tell, silent
from juggernaut.domain.exchange import (
    AgentRequest,
    AgentResult,
    ModelReply,
    ModelRequest,
    Terms,
)
from juggernaut.ports.world import Sandbox


class LanguageModel(Protocol):
    """One model behind one provider; a call is one request, without retries of its own."""

    @property
    def name(self) -> str:
        """Give provider/model, as it stands in the ledger."""
        ...

    def max_price(self, request: ModelRequest) -> Decimal:
        """Give an upper bound of the price in US dollars; raises UnknownPrice."""
        ...

    async def complete(self, request: ModelRequest) -> ModelReply:
        """Ask. Raises ModelUnavailable, ModelRefused or ModelGarbled."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """A model that may answer, and on which terms."""

    model: LanguageModel
    terms: Terms = Terms()


class Models(Protocol):
    """The models of this process."""

    def for_purpose(self, purpose: str) -> Sequence[Choice]:
        """Give who may answer for a purpose (plan, code, report, ...): best first, at least one."""
        ...

    def named(self, name: str) -> Sequence[Choice]:
        """Give the model that a person named: an alias or provider/model. Raises InvalidInput."""
        ...


class Asker(Protocol):
    """A budgeted model call, as the lifecycle hands it to a code agent."""

    async def __call__(self, request: ModelRequest) -> ModelReply:
        """Reserve, ask, settle; raises BudgetExhausted besides the model's errors."""
        ...


class CodeAgent(Protocol):
    """What turns a prompt and a work tree into a change of that tree."""

    @property
    def name(self) -> str:
        """Give the name that stands in evidence and logs."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """Give what it can do besides changing a tree."""
        ...

    async def execute(
        self, request: AgentRequest, ask: Asker, sandbox: Sandbox, tell: Tell = silent
    ) -> AgentResult:
        """Work until finished or at a bound; `tell` gets events, and exactly one end.

        Cancelling the call cancels the agent: no process is left behind.
        """
        ...
