"""The model endpoint of one run: the agent speaks its provider's format, the purse decides.

Nothing is forwarded. Each call becomes a ModelRequest and goes through the attempt's own asker,
which reserves, asks, settles and records; its reply is written back in the agent's format. So no
provider's key is near the agent, and any configured model serves any agent. What the asker raises
is final: it has tried again already. The agent gets an error that it does not repeat. Each call
keeps money for the landing turn.
"""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import h11

from juggernaut.adapters.agents import wire
from juggernaut.adapters.agents.http1 import Answer, Asked, Broken, Wire, json_answer
from juggernaut.domain import limits
from juggernaut.domain.errors import (
    BudgetExhausted,
    InvalidInput,
    ModelError,
    ModelRefused,
    ModelUnavailable,
)
from juggernaut.domain.exchange import Message, ModelRequest
from juggernaut.domain.purse import Landing
from juggernaut.domain.tokens import estimated_tokens
from juggernaut.ports import Asker

COUNT: Final = "/count_tokens"
BEARER: Final = "Bearer "
OK: Final = 200
BAD_REQUEST: Final = 400
UNAUTHORIZED: Final = 401
REFUSED: Final = 403
NOT_FOUND: Final = 404
BROKEN: Final = 502
OVERLOADED: Final = 529
ENOUGH: Final = "no more model calls in this run: {why}"


class Endpoint:
    """Serves one run; afterwards it says what was asked and why there were no more calls."""

    def __init__(self, form: wire.Format, ask: Asker, key: str, max_turns: int) -> None:
        """Serve one format to whoever has the key, for so many turns."""
        self._form = form
        self._ask = ask
        self._key = key.encode()
        self._max_turns = max_turns
        self._begun = 0
        self._side_calls = 0
        self._serving: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[Answer]] = set()
        self.notes = wire.Notes()
        self.turns = 0
        self.heard: tuple[Message, ...] = ()  # the newest of its conversation
        self.failure: BudgetExhausted | ModelError | None = None
        self.bound: str | None = None
        self.stopped = asyncio.Event()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        http = Wire(h11.SERVER, reader, writer)
        try:
            while (asked := await http.asked()) is not None:
                if not await http.answer(asked.method, await self._answered(asked)):
                    break
        except (Broken, OSError):
            return  # whoever spoke is gone, or speaks something else
        finally:
            http.close()

    async def close(self) -> None:
        """Let calls that are under way end, for a while: what they cost is then known."""
        if self._asking:
            await asyncio.wait(self._asking, timeout=limits.AGENT_END_SECONDS)
        for task in (*self._asking, *self._serving):
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving, timeout=limits.AGENT_END_SECONDS)

    async def _answered(self, asked: Asked) -> Answer:
        """Answer one request, also when its connection ends meanwhile."""
        task = asyncio.create_task(self._answer(asked))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return await asyncio.shield(task)

    async def _answer(self, asked: Asked) -> Answer:
        """Answer one request."""
        if asked.method == "HEAD":
            return Answer(OK, ())
        if not self._has_key(asked.headers):
            return self._error(UNAUTHORIZED, "this is not the key of this run")
        path = urlsplit(asked.path).path
        counts = path == self._form.path + COUNT
        if asked.method != "POST" or not (counts or path == self._form.path):
            return self._error(NOT_FOUND, f"there is only POST {self._form.path} here")
        try:
            call = self._form.read(wire.read_body(asked.body), self.notes)
            if not call.request.messages:
                raise InvalidInput("the request has no message")
        except InvalidInput as error:
            return self._error(BAD_REQUEST, str(error))
        if counts:
            return json_answer(OK, {"input_tokens": estimated_tokens(call.request)})
        return await self._asked(call)

    def _has_key(self, headers: dict[str, str]) -> bool:
        """Say whether a request has the run's key, in either of the two usual headers."""
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix(BEARER)
        return hmac.compare_digest(given.encode(), self._key)

    async def _asked(self, call: wire.Call) -> Answer:
        """Ask the purse and the model, unless this run may not any more."""
        if call.request.tools:
            self.heard = call.request.messages
        if self.failure is None and self.bound is None:
            self.bound = self._counted(call.request)
        if self.failure is not None or self.bound is not None:
            self.stopped.set()
            return self._error(REFUSED, ENOUGH.format(why=self.failure or self.bound))
        try:
            reply = await self._ask(replace(call.request, landing=Landing.KEPT_BARE))
        except (BudgetExhausted, ModelError) as error:
            return self._failed(error)
        if call.request.tools:
            self.turns += 1
            said = Message("assistant", reply.text, reply.tool_calls)
            self.heard = (*call.request.messages, said)
        return wire.answer(self._form, reply, call)

    def _failed(self, error: BudgetExhausted | ModelError) -> Answer:
        """Keep the first error: calls may run side by side."""
        self.failure = self.failure or error
        self.stopped.set()
        return self._error(_status(error), str(error))

    def _counted(self, request: ModelRequest) -> str | None:
        """Count a call; says which bound it would pass. Only calls with tools are turns."""
        if request.tools:
            self._begun += 1
            return f"out of turns after {self.turns}" if self._begun > self._max_turns else None
        self._side_calls += 1
        most = limits.AGENT_SIDE_CALLS
        return f"made {most} calls without tools" if self._side_calls > most else None

    def _error(self, status: int, text: str) -> Answer:
        """Give an error in the agent's format."""
        return json_answer(status, self._form.error(status, text))


def _status(error: BudgetExhausted | ModelError) -> int:
    """Give the status that says what an agent has to know: whether repeating could help."""
    if isinstance(error, BudgetExhausted):
        return REFUSED
    if isinstance(error, ModelRefused):
        return UNAUTHORIZED
    return OVERLOADED if isinstance(error, ModelUnavailable) else BROKEN
