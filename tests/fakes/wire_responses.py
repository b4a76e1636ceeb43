"""POST /v1/responses on 127.0.0.1, as OpenAI has it."""

from __future__ import annotations

import json

from juggernaut.adapters.llm.script import Heard, Turn
from tests.fakes.wire_openai import WireOpenAI
from tests.fakes.wire_server import Body, Fault, demand, halves


class WireResponses(WireOpenAI):
    """Checks requests as the Responses API does, and answers from a script."""

    path = "/responses"
    says_done = False

    def heard(self, body: Body) -> Heard:
        """Check the body and give what a script is matched against."""
        demand(isinstance(body.get("model"), str), "you must provide a model parameter")
        demand(isinstance(body.get("max_output_tokens"), int), "no limit was sent")
        demand(body.get("store") is False, "the conversation would be kept")
        demand("messages" not in body and "stream_options" not in body, "unknown parameter")
        items = body.get("input") or []
        demand(items, "input: too short")
        owed: set[str] = set()
        for item in items:
            kind = item.get("type", "message")
            if kind == "function_call":
                json.loads(item["arguments"])
                owed.add(item["call_id"])
            elif kind == "function_call_output":
                demand(item["call_id"] in owed, "No tool call found for function call output")
                owed.discard(item["call_id"])
            else:
                demand(item["role"] == "assistant" or not owed, "No tool output found")
        demand(not owed, "No tool output found for function call")
        names = {tool["name"] for tool in body.get("tools", [])}
        choice = body.get("tool_choice")
        demand(choice is None or choice["name"] in names, "tool_choice: no such tool")
        texts = [item.get("content") or item.get("output") or "" for item in items]
        users = [item["content"] for item in items if item.get("role") == "user"]
        demand(users, "input: none is a user's")
        spoken = [_speaks(item) for item in items]
        before = [False, *spoken]
        return Heard(
            opening=f"{body.get('instructions', '')}\n{users[0]}",
            everything="\n".join([body.get("instructions", ""), *texts]),
            turn=sum(now and not last for now, last in zip(spoken, before, strict=False)),
        )

    def reply(self, body: Body, turn: Turn) -> Body:
        """Give a whole response."""
        output: list[Body] = [{"type": "reasoning", "id": "rs_FAKE", "summary": []}]
        if turn.text or not turn.calls:
            content = [{"type": "output_text", "text": turn.text, "annotations": []}]
            output.append({"type": "message", "role": "assistant", "content": content})
        for number, call in enumerate(turn.calls):
            output.append(
                {
                    "type": "function_call",
                    "call_id": f"call_{len(body['input'])}_{number}",
                    "name": call.name,
                    "arguments": json.dumps(call.arguments),
                }
            )
        return {
            "id": "resp_FAKE",
            "object": "response",
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "model": body["model"],
            "output": output,
            "usage": {
                "input_tokens": 1_500,
                "input_tokens_details": {"cached_tokens": 500},
                "output_tokens": 100,
                "total_tokens": 1_600,
            },
        }

    def pieces(self, reply: Body, body: Body) -> list[Body]:
        """Give a response as a stream."""
        begun = {**reply, "status": "in_progress", "output": [], "usage": None}
        texts = [
            {"type": "response.output_text.delta", "delta": half}
            for item in reply["output"]
            for part in item.get("content", [])
            for half in halves(part.get("text", ""))
        ]
        ends = "response.incomplete" if reply["incomplete_details"] else "response.completed"
        return [
            {"type": "response.created", "response": begun},
            *texts,
            {"type": ends, "response": reply},
        ]

    def spoil(self, reply: Body, fault: Fault) -> None:
        """Break a response in place."""
        if fault is Fault.NO_STOP:
            reply["status"] = None
        if fault is Fault.STRANGE_STOP:
            reply["status"] = "unknowable"
        if fault is Fault.REFUSAL:
            content = [{"type": "refusal", "refusal": "I will not"}]
            reply["output"] = [{"type": "message", "content": content}]
        if fault is Fault.CUT_AT_LIMIT:
            reply |= {
                "status": "incomplete",
                "incomplete_details": {"reason": "max_output_tokens"},
            }
        if fault is Fault.NO_USAGE:
            del reply["usage"]
        if fault is Fault.WRONG_MODEL:
            reply["model"] = "gpt-5.4"
        if fault is Fault.BAD_ARGUMENTS:
            reply["output"].append(
                {"type": "function_call", "call_id": "c", "name": "read", "arguments": '{"a'}
            )

    def stream_error(self) -> Body:
        """Give the event by which a stream breaks off."""
        error = {"code": "server_error", "message": "overloaded"}
        return {"type": "response.failed", "response": {"status": "failed", "error": error}}


def _speaks(item: Body) -> bool:
    """Say whether an item is the assistant's."""
    return item.get("role") == "assistant" or item.get("type") == "function_call"
