"""A cassette: what one attempt asked models and did with tools, one JSON object a line.

    {"kind": "cassette", "version": 1, "task": ID, "type": ..., "repo": ..., "written_by": ...}
    {"kind": "run", "base": SHA, "prompt": ..., "system": ..., ...}      the code agent begins
    {"kind": "model", "step": 1, "digest": ..., "request": ..., "reply": ...}   or "error"
    {"kind": "tool", "step": 1, "name": ..., "arguments": ..., "result": ...}
    {"kind": "end", "reason": ...}                                       the code agent ended
    {"kind": "cut"}                                                      the bound was reached

Steps count the model calls of the attempt. Of a request a line holds what the one before did not:
`keep` says how many messages are the same. Requests and results are written without what differs
in each run by its nature (`steady`). All is scrubbed before it gets here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Final

from juggernaut.domain.errors import (
    BudgetExhausted,
    JuggernautError,
    ModelError,
    ModelGarbled,
    ModelRefused,
    ModelUnavailable,
    UnknownPrice,
)
from juggernaut.domain.exchange import (
    ModelReply,
    ModelRequest,
    StopReason,
    ToolCall,
    Usage,
)
from juggernaut.domain.model import Json
from juggernaut.domain.redact import Secret, scrub_json
from juggernaut.domain.steady import off_tree, steady

VERSION: Final = 1
# A fork names one, and it is looked for in the folder of cassettes and nowhere else.
NAME: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9]{1,18}\.jsonl")
_ERRORS: Final[Mapping[str, type[JuggernautError]]] = {
    kind.code: kind
    for kind in (
        *(BudgetExhausted, ModelError, ModelGarbled, ModelRefused, ModelUnavailable, UnknownPrice),
    )
}


@dataclass(frozen=True, slots=True)
class ToolUse:
    """One call of a tool, and what it gave."""

    name: str
    result: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class Exchange:
    """One model call: the request as it is compared, and the reply or the error that came.

    `altered`: a secret, or a character that is not stored, was taken out of the reply.
    """

    step: int
    digest: str
    request: Json
    reply: ModelReply | None
    error: JuggernautError | None
    altered: bool
    tools: list[ToolUse] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the code agent: where it began, what it was told, and how it went.

    `change`: the draft that it went on from; `same_tree`: it went on in the tree of the run before.
    `end`: how it ended, None when that was never written.
    """

    agent: str
    base: str
    change: str | None
    same_tree: bool
    prompt: str
    system: str
    test_argv: tuple[str, ...] | None
    max_turns: int
    timeout_seconds: float
    context_tokens: int | None
    exchanges: list[Exchange] = field(default_factory=list)
    end: Json | None = None


@dataclass(frozen=True, slots=True)
class Cassette:
    """A whole file. `asks` are model calls outside of a run; `whole`: nothing is missing."""

    task: str
    task_type: str
    repo: str | None
    facts: Json
    runs: tuple[Run, ...]
    asks: tuple[Exchange, ...]
    whole: bool


def request_facts(
    request: ModelRequest, tree: str, secrets: tuple[Secret, ...], limit: int
) -> dict[str, object]:
    """Give a request as it is written and compared; a tool counts by its name."""
    told = {
        "purpose": request.purpose,
        "system": request.system,
        "tools": [tool.name for tool in request.tools],
        "force": request.force_tool,
        "messages": [
            {
                "role": message.role,
                "text": message.text,
                "calls": [call_facts(call) for call in message.tool_calls],
                "results": [
                    {"call": result.call_id, "text": result.text, "is_error": result.is_error}
                    for result in message.tool_results
                ],
            }
            for message in request.messages
        ],
    }
    found = scrub_json(_steady(told, tree), secrets, limit)
    return found if isinstance(found, dict) else {}


def reply_facts(reply: ModelReply, tree: str) -> dict[str, object]:
    """Give a reply as it is written before it is scrubbed: exact, without the tree's place."""
    told = {
        "text": reply.text,
        "calls": [call_facts(call) for call in reply.tool_calls],
        "stop": reply.stop.value,
        "usage": asdict(reply.usage),
        "model": reply.model,
        "cost_usd": str(reply.cost_usd),
    }
    found = off_tree(told, tree)
    return found if isinstance(found, dict) else {}


def call_facts(call: ToolCall) -> dict[str, object]:
    """Give a tool call as it is written."""
    return {"id": call.id, "name": call.name, "arguments": dict(call.arguments)}


def read_reply(told: Json) -> ModelReply:
    """Read a reply back; raises KeyError, TypeError or ValueError for what is none."""
    calls, usage = told["calls"], told["usage"]
    if not isinstance(calls, list) or not isinstance(usage, dict):
        raise TypeError("a reply needs the list `calls` and the object `usage`")
    return ModelReply(
        text=str(told["text"]),
        tool_calls=tuple(
            ToolCall(str(call["id"]), str(call["name"]), dict(call["arguments"])) for call in calls
        ),
        stop=StopReason(str(told["stop"])),
        usage=Usage(**{name: int(value) for name, value in usage.items()}),
        model=str(told["model"]),
        cost_usd=Decimal(str(told["cost_usd"])),
    )


def read_error(told: Json) -> JuggernautError:
    """Make the error that a call ended with; one that is not known is a ModelError."""
    return _ERRORS.get(str(told["code"]), ModelError)(str(told["message"]))


def delta(before: Json | None, now: Json) -> dict[str, object]:
    """Give what is new in a request."""
    if before is None:
        return {**now, "keep": 0}
    old, new = _messages(before), _messages(now)
    keep = next((n for n, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), -1)
    keep = min(len(old), len(new)) if keep < 0 else keep
    changed = {name: value for name, value in now.items() if value != before.get(name)}
    return {**changed, "keep": keep, "messages": new[keep:]}


def undelta(before: Json | None, told: Json) -> dict[str, object]:
    """Put a request together again; raises KeyError, TypeError or ValueError."""
    keep = int(str(told["keep"]))
    old = _messages(before or {"messages": []})
    if not 0 <= keep <= len(old):
        raise ValueError(f"`keep` is {keep}, and the request before has {len(old)} messages")
    new = {name: value for name, value in told.items() if name != "keep"}
    return {**(before or {}), **new, "messages": [*old[:keep], *_messages(told)]}


def _messages(told: Json) -> list[object]:
    """Give the messages of a request."""
    found = told["messages"]
    if not isinstance(found, list):
        raise TypeError("the messages of a request are a list")
    return found


def _steady(value: object, tree: str) -> object:
    """Make every text of a JSON value comparable."""
    if isinstance(value, str):
        return steady(value, tree)
    if isinstance(value, Mapping):
        return {str(key): _steady(item, tree) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_steady(item, tree) for item in value]
    return value
