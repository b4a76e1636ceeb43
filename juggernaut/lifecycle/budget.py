"""Budget: every model call is reserved at its highest price before it leaves, settled after.

A call that died half-way keeps its reservation: nobody knows what it cost. Only digests of
prompts reach the ledger, and secrets are taken out of what goes to the provider.
"""

from __future__ import annotations

from dataclasses import astuple, replace
from decimal import Decimal
from uuid import UUID

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from juggernaut.domain.digest import digest_of
from juggernaut.domain.errors import BudgetExhausted, ModelError, ModelGarbled, ModelUnavailable
from juggernaut.domain.exchange import Message, ModelReply, ModelRequest, ToolCall
from juggernaut.domain.forks import read_fork
from juggernaut.domain.limits import (
    CONTEXT_CHARS,
    LANDING_CHARS,
    LANDING_TOKENS,
    LOG_MESSAGE_CHARS,
    MODEL_TRIES,
)
from juggernaut.domain.model import Digest
from juggernaut.domain.purse import Landing, Most, Reservation
from juggernaut.domain.redact import mask_known
from juggernaut.domain.tokens import most_tokens
from juggernaut.lifecycle import record
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.failover import Line, line_for
from juggernaut.ports import Choice, LanguageModel, Models

NO_MODEL = "no model is configured: set ANTHROPIC_API_KEY, OPENAI_API_KEY or OPENROUTER_API_KEY"
NO_MODEL_OWNER = "an operator: set a model key and restart the worker"


class Purser:
    """The Asker of one attempt: its calls are budgeted, scrubbed and recorded."""

    def __init__(self, attempt: Attempt) -> None:
        """Serve one attempt."""
        self._attempt = attempt

    async def models(self) -> Models:
        """Give the models; blocks the task when none is configured."""
        models = self._attempt.services.models
        if models is None:
            await self._attempt.block(NO_MODEL, NO_MODEL_OWNER)
        return models

    async def __call__(self, request: ModelRequest) -> ModelReply:
        """Ask, and record what came; raises as `_answered` does."""
        try:
            reply = await self._answered(request)
        except (ModelError, BudgetExhausted) as error:
            await record.failed(self._attempt, request, error)
            raise
        await record.answered(self._attempt, request, reply)
        return reply

    async def _answered(self, request: ModelRequest) -> ModelReply:
        """Ask until there is a reply, each try with a reservation of its own.

        At most MODEL_TRIES requests to all models of the purpose together, to none sooner than it
        wishes; after a garbled reply one more. Raises ModelsBusy when nobody can answer now, and
        BudgetExhausted besides the model's errors.
        """
        services = self._attempt.services
        models, fork = await self.models(), read_fork(self._attempt.task)
        named = fork.model if fork else None
        choices = models.named(named) if named else models.for_purpose(request.purpose)
        line = line_for(choices, request, services.breakers, services.clock)
        again = AsyncRetrying(
            sleep=services.clock.sleep,
            stop=stop_after_attempt(MODEL_TRIES),
            wait=line.pause_seconds,
            retry=retry_if_exception(line.may_ask_again),
            before_sleep=self._say_unavailable,
            reraise=True,
        )
        try:
            reply: ModelReply = await again(self._turn, line, self._scrubbed(request))
        except ModelError as error:
            last = line.end(error)
        else:
            return reply
        raise last

    async def _turn(self, line: Line, request: ModelRequest) -> ModelReply:
        """Make one try at whoever may be asked: reserve, ask, settle."""
        choice = await self._allowed(line, request)
        try:
            return await self._once(line, choice, request)
        except ModelError as error:
            line.failed(choice, error)
            raise

    async def _allowed(self, line: Line, request: ModelRequest) -> Choice:
        """Give the first one that may be asked and has room in the rates that the fleet shares."""
        while True:
            choice = line.pick()
            terms, store = choice.terms, self._attempt.services.store
            if not (terms.requests_per_minute or terms.tokens_per_minute):
                return choice
            wait = await store.take_rate(choice.model.name, terms, most_tokens(request))
            if not wait:
                return choice
            line.full(choice, wait)

    async def _say_unavailable(self, state: RetryCallState) -> None:
        """Log why there is a pause."""
        error = state.outcome.exception() if state.outcome else None
        await self._attempt.log("model_unavailable", str(error), level="warning")

    async def _once(self, line: Line, choice: Choice, request: ModelRequest) -> ModelReply:
        """Reserve, ask, settle."""
        store, clock = self._attempt.services.store, self._attempt.services.clock
        model = choice.model
        most = most_of(model, request)
        call = await self._reserve(model, request, most)
        asked = clock.monotonic()
        line.begin(choice)
        try:
            reply = await model.complete(request)
        except ModelError as error:
            cost = most if _maybe_billed(error) else Most(Decimal(0), 0)
            await self._failed(call, cost, error)
            await self._give_back(choice, most.tokens - cost.tokens)
            raise
        line.worked(choice)
        usage = reply.usage
        # A provider that counts nothing is taken to have used all.
        used = sum(astuple(usage)) or most.tokens
        facts = {
            "model": reply.model,
            "stop": reply.stop.value,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_read_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "tokens": used,
            "seconds": round(clock.monotonic() - asked, 3),
        }
        await store.settle(call, reply.cost_usd, facts)
        await self._give_back(choice, most.tokens - used)
        return self._received(reply)

    async def _give_back(self, choice: Choice, unused: int) -> None:
        """Give the fleet back what a call took from the rate of tokens and did not use."""
        if choice.terms.tokens_per_minute and unused > 0:
            store = self._attempt.services.store
            await store.give_rate(choice.model.name, choice.terms, unused)

    async def _reserve(self, model: LanguageModel, request: ModelRequest, most: Most) -> UUID:
        """Reserve from the purses, or open what was set aside for the landing turn."""
        store, lease = self._attempt.services.store, self._attempt.lease
        keeps = request.landing in {Landing.KEPT, Landing.KEPT_BARE}
        kept = landing_of(model, request) if keeps else None
        call = Reservation(model.name, request.purpose, request_digest(request), most, kept)
        if request.landing is Landing.TURN:
            return await store.open_landing(lease, call)
        return await store.reserve(lease, call)

    async def _failed(self, call: UUID, cost: Most, error: Exception) -> None:
        """Settle a call that gave no reply."""
        text = self._attempt.scrub(str(error), LOG_MESSAGE_CHARS)
        facts = {"error": type(error).__name__, "message": text, "tokens": cost.tokens}
        await self._attempt.services.store.settle(call, cost.usd, facts)

    def _received(self, reply: ModelReply) -> ModelReply:
        """Take the secrets of this process out of a reply: it may become a file or a command."""
        known = self._attempt.services.settings.secrets

        def without(call: ToolCall) -> ToolCall:
            """Mask them in what a tool is called with."""
            arguments = mask_known(call.arguments, known)
            return replace(call, arguments=arguments if isinstance(arguments, dict) else {})

        calls = tuple(without(call) for call in reply.tool_calls)
        return replace(reply, text=str(mask_known(reply.text, known)), tool_calls=calls)

    def _scrubbed(self, request: ModelRequest) -> ModelRequest:
        """Take secrets out of every text of a request."""

        def clean(message: Message) -> Message:
            """Scrub one turn."""
            results = tuple(
                replace(result, text=self._attempt.scrub(result.text, CONTEXT_CHARS))
                for result in message.tool_results
            )
            text = self._attempt.scrub(message.text, CONTEXT_CHARS)
            return replace(message, text=text, tool_results=results)

        return replace(
            request,
            system=self._attempt.scrub(request.system, CONTEXT_CHARS),
            messages=tuple(clean(message) for message in request.messages),
        )


def most_of(model: LanguageModel, request: ModelRequest) -> Most:
    """Give the most that a call may cost; raises UnknownPrice."""
    return Most(model.max_price(request), most_tokens(request))


def landing_of(model: LanguageModel, request: ModelRequest) -> Most:
    """Give the most that the landing turn after this request may cost."""
    full = Message("user", "x" * LANDING_CHARS)
    if request.landing is Landing.KEPT_BARE:
        request = replace(request, system="", tools=(), force_tool=None)
    return most_of(model, replace(request, messages=(full,), max_tokens=LANDING_TOKENS))


def _maybe_billed(error: ModelError) -> bool:
    """Say whether a call without a usable reply may have cost something: then it cost the most."""
    return isinstance(error, ModelGarbled) or (
        isinstance(error, ModelUnavailable) and error.maybe_billed
    )


def request_digest(request: ModelRequest) -> Digest:
    """Give the digest of what a model is asked; tool arguments count by their text."""
    turns = [
        [
            message.role,
            message.text,
            [[call.name, repr(call.arguments)] for call in message.tool_calls],
            [result.text for result in message.tool_results],
        ]
        for message in request.messages
    ]
    tools = [tool.name for tool in request.tools]
    return digest_of(
        {"system": request.system, "turns": turns, "tools": tools, "force": request.force_tool}
    )
