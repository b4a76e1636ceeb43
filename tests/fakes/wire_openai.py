"""POST /v1/chat/completions on 127.0.0.1, as OpenAI and compatible servers have it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from juggernaut.adapters.llm.script import Heard, Turn
from tests.fakes.wire_server import Body, Fault, Refused, WireServer, demand, halves

REASONING = frozenset({"gpt-6.1-sol", "gpt-6-luna"})


class WireOpenAI(WireServer):
    """Checks requests as Chat Completions does, and answers from a script."""

    path = "/chat/completions"
    base_path = "/v1"
    says_done = True

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Refuse a request without the right key."""
        if headers.get("authorization") != f"Bearer {self.key}":
            raise Refused(401, "Incorrect API key provided")

    def heard(self, body: Body) -> Heard:
        """Check the body and give what a script is matched against."""
        demand(isinstance(body.get("model"), str), "you must provide a model parameter")
        if body["model"] in REASONING:
            _check_reasoning(body)
        demand("max_tokens" in body or "max_completion_tokens" in body, "no limit was sent")
        messages = body.get("messages") or []
        demand(messages, "messages: too short")
        _check_tools(messages)
        tools = {tool["function"]["name"] for tool in body.get("tools", [])}
        choice = body.get("tool_choice")
        demand(choice is None or choice["function"]["name"] in tools, "tool_choice: no such tool")
        system = "".join(item["content"] for item in messages if item["role"] == "system")
        users = [item["content"] for item in messages if item["role"] == "user"]
        demand(users, "messages: none is a user's")
        return Heard(
            opening=f"{system}\n{users[0]}",
            everything="\n".join(item.get("content") or "" for item in messages),
            turn=sum(item["role"] == "assistant" for item in messages),
        )

    def reply(self, body: Body, turn: Turn) -> Body:
        """Give a whole completion."""
        message: Body = {"role": "assistant", "content": turn.text or None, "refusal": None}
        if turn.calls:
            message["tool_calls"] = [
                {
                    "id": f"call_{len(body['messages'])}_{number}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
                }
                for number, call in enumerate(turn.calls)
            ]
        # A forced call ends with "stop" at OpenAI.
        ends = "tool_calls" if turn.calls and "tool_choice" not in body else "stop"
        return {
            "id": "chatcmpl-FAKE",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": ends, "logprobs": None}],
            "usage": {
                "prompt_tokens": 1_500,
                "completion_tokens": 100,
                "total_tokens": 1_600,
                "prompt_tokens_details": {"cached_tokens": 500},
            },
        }

    def spoil(self, reply: Body, fault: Fault) -> None:
        """Break a completion in place."""
        choice = reply["choices"][0]
        if fault is Fault.NO_STOP:
            choice["finish_reason"] = None
        if fault is Fault.STRANGE_STOP:
            choice["finish_reason"] = "error"
        if fault is Fault.REFUSAL:
            choice["finish_reason"] = "content_filter"
        if fault is Fault.CUT_AT_LIMIT:
            choice["finish_reason"] = "length"
        if fault is Fault.NO_USAGE:
            del reply["usage"]
        if fault is Fault.WRONG_MODEL:
            reply["model"] = "gpt-5.4"
        if fault is Fault.BAD_ARGUMENTS:
            function = {"name": "read", "arguments": '{"path": "a.p'}
            choice["finish_reason"] = "tool_calls"
            choice["message"]["tool_calls"] = [
                {"id": "call_bad", "type": "function", "function": function}
            ]

    def pieces(self, reply: Body, body: Body) -> list[Body]:
        """Give a completion as a stream; its count comes last, for whoever asked for it."""
        choice = reply["choices"][0]
        message, model = choice["message"], reply["model"]
        deltas: list[Body] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": half} for half in halves(message.get("content") or "")]
        for index, call in enumerate(message.get("tool_calls", [])):
            first, second = halves(call["function"]["arguments"])
            begun = {"name": call["function"]["name"], "arguments": first}
            deltas.append({"tool_calls": [{**call, "index": index, "function": begun}]})
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": second}}]})
        pieces = [
            {"model": model, "choices": [{"delta": one, "finish_reason": None}]} for one in deltas
        ]
        ends = {"delta": {}, "finish_reason": choice["finish_reason"]}
        pieces.append({"model": model, "choices": [ends]})
        if reply.get("usage") and body.get("stream_options", {}).get("include_usage"):
            pieces.append({"model": model, "choices": [], "usage": reply["usage"]})
        return pieces

    def stream_error(self) -> Body:
        """Give the event by which a stream breaks off."""
        return {"error": {"code": 502, "message": "overloaded"}, "choices": []}

    def error(self, status: int, message: str) -> Body:
        """Give an error as OpenAI words it."""
        return {"error": {"message": message, "type": "FAKE_error", "param": None, "code": None}}


def _check_reasoning(body: Body) -> None:
    """Refuse what OpenAI's reasoning models refuse, in its own words."""
    demand(
        "max_tokens" not in body,
        "Unsupported parameter: 'max_tokens' is not supported with this model. "
        "Use 'max_completion_tokens' instead.",
    )
    demand(
        "tools" not in body or body.get("reasoning_effort") == "none",
        f"Function tools with reasoning_effort are not supported for {body['model']} in "
        "/v1/chat/completions. To use function tools, use /v1/responses or set reasoning_effort "
        "to 'none'.",
    )


def _check_tools(messages: list[Body]) -> None:
    """Refuse tool calls that are not answered at once, and answers that nobody asked for."""
    owed: set[str] = set()
    for item in messages:
        if item["role"] == "tool":
            demand(item["tool_call_id"] in owed, "messages: a tool message without its call")
            owed.discard(item["tool_call_id"])
            continue
        demand(not owed, "messages: tool_calls must be followed by tool messages")
        owed = {call["id"] for call in item.get("tool_calls", [])}
    demand(not owed, "messages: tool_calls must be followed by tool messages")
