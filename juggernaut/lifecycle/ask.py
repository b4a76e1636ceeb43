"""Ask: a model answers in an agreed form, or the call failed.

The answer is the argument of one forced tool call. It is checked against its schema and by the
caller's own check; a wrong one is shown to the model once, with what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from juggernaut.domain.digest import plain
from juggernaut.domain.errors import InvalidInput, ModelGarbled
from juggernaut.domain.exchange import Message, ModelReply, ModelRequest, ToolResult, ToolSpec
from juggernaut.domain.limits import STRUCTURED_TRIES
from juggernaut.domain.model import Json
from juggernaut.domain.schema import check_schema
from juggernaut.ports import Asker

ANSWER_TOOL = "answer"

_T = TypeVar("_T")


async def ask_structured(
    ask: Asker,
    *,
    purpose: str,
    system: str,
    prompt: str,
    schema: Json,
    read: Callable[[Json], _T],
) -> _T:
    """Ask for one answer; `read` turns it into a value or raises InvalidInput.

    Raises ModelGarbled when the second answer is wrong too.
    """
    tool = ToolSpec(ANSWER_TOOL, "Give your answer. Call this tool exactly once.", schema)
    turns = [Message("user", prompt)]
    wrong = ""
    for _ in range(STRUCTURED_TRIES):
        request = ModelRequest(purpose, system, tuple(turns), (tool,), ANSWER_TOOL)
        reply = await ask(request)
        try:
            return _read(reply, schema, read)
        except InvalidInput as error:
            wrong = str(error)
            turns += _correction(reply, wrong)
    raise ModelGarbled(f"the answer for {purpose} is not in the agreed form: {wrong}")


def _read(reply: ModelReply, schema: Json, read: Callable[[Json], _T]) -> _T:
    """Check a reply and read it."""
    calls = [call for call in reply.tool_calls if call.name == ANSWER_TOOL]
    if len(calls) != 1:
        raise InvalidInput(f"call the tool {ANSWER_TOOL} exactly once, not {len(calls)} times")
    answer = calls[0].arguments
    plain(answer)
    check_schema(answer, schema)
    return read(answer)


def _correction(reply: ModelReply, wrong: str) -> list[Message]:
    """Show a model its reply and what is wrong with it."""
    text = f"Refused: {wrong}. Give the whole answer again, corrected."
    results = tuple(ToolResult(call.id, text, is_error=True) for call in reply.tool_calls)
    said = Message("assistant", reply.text or ("" if results else "(nothing)"), reply.tool_calls)
    return [said, Message("user", "" if results else text, tool_results=results)]
