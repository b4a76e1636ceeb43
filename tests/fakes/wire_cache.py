"""Providers on 127.0.0.1 that keep a prefix cache, with the rules that the real ones publish.

Anthropic: a request is tools, then system, then messages, in blocks. Only a block with
`cache_control` is written, at most four of them, if it ends a long enough prefix. A request finds
what was written at a mark or at most 19 blocks before it. OpenAI: without marks, what two requests
have in common from their start, in steps of 128 tokens from 1,024 up.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from juggernaut.adapters.llm.script import Heard, ScriptedCall, Turn
from tests.fakes.wire_anthropic import WireAnthropic
from tests.fakes.wire_openai import WireOpenAI
from tests.fakes.wire_server import Body, WireServer, demand

MOST_MARKS = 4
LOOKBACK_BLOCKS = 20
LEAST_TOKENS = 1_024
STEP_TOKENS = 128
# As byte-pair encodings cut a text before they merge: no token of theirs crosses such a border.
TOKEN = re.compile(r"[^\r\n\w]?[^\W\d_]{1,7}|\d{1,3}| ?[^\s\w]{1,4}|_|\s*\n|\s+|.")

Answer = Callable[[int], Turn]


def turn(text: str, *calls: tuple[str, dict[str, object]]) -> Turn:
    """Make an answer."""
    return Turn(text, tuple(ScriptedCall(name, given) for name, given in calls), {})


def plain(value: object) -> object:
    """Give a part of a request without its marks: they are no part of what is cached."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key != "cache_control"}
    return [plain(item) for item in value] if isinstance(value, list) else value


@lru_cache(maxsize=1_024)
def tokens(text: str) -> list[str]:
    """Cut a JSON text in tokens, about as many as a real tokenizer gives for what it stands for."""
    return TOKEN.findall(text.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"'))


class _Answers(WireServer):
    """Answers by the number of the request, because a compacted conversation has lost turns."""

    def __init__(self, answer: Answer) -> None:
        """Take what answers the first request, the second, and so on."""
        super().__init__()
        self._answer = answer

    def turn(self, heard: Heard) -> Turn:
        """Give the answer that is next."""
        return self._answer(len(self.requests) - 1)


class CachingAnthropic(_Answers, WireAnthropic):
    """The Messages API with its prompt cache."""

    def __init__(self, answer: Answer, least_tokens: int = LEAST_TOKENS) -> None:
        """Begin with an empty cache; `least_tokens` differs from model to model."""
        super().__init__(answer)
        self._least = least_tokens
        self.largest = 0
        self._written: set[str] = set()

    def reply(self, body: Body, turn: Turn) -> Body:
        """Give a message with an id of its own for each call, and the true counts."""
        found = super().reply(body, turn)
        for number, block in enumerate(part for part in found["content"] if "id" in part):
            block["id"] = f"toolu_{len(self.requests)}_{number}"
        found["usage"] = {**self._usage(body), "output_tokens": 100}
        return found

    def _usage(self, body: Body) -> Body:
        """Read from the cache, write to it, and count both."""
        ends: list[int] = []
        digests: list[str] = []
        marks: list[int] = []
        digest, count = hashlib.sha256(), 0
        for place, (text, marked) in enumerate(_blocks(body)):
            digest.update(text.encode() + b"\0")
            count += len(tokens(text))
            digests.append(digest.hexdigest())
            ends.append(count)
            marks += [place] if marked else []
        self.largest = max(self.largest, count)
        demand(len(marks) <= MOST_MARKS, f"A maximum of 4 blocks with cache_control: {len(marks)}")
        hits = (
            ends[place]
            for mark in marks
            for place in range(mark, max(mark - LOOKBACK_BLOCKS, -1), -1)
            if digests[place] in self._written
        )
        read = max(hits, default=0)
        kept = [mark for mark in marks if ends[mark] >= self._least]
        self._written |= {digests[mark] for mark in kept}
        last = max(read, ends[kept[-1]] if kept else 0)
        return {
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": last - read,
            "input_tokens": count - last,
        }


def _blocks(body: Body) -> Iterator[tuple[str, bool]]:
    """Yield the blocks of a request in the order of the cache, and whether each is marked."""
    parts: list[Body] = [*body.get("tools", []), *body.get("system", [])]
    # What forces a tool is part of what the messages are cached under.
    forced = str(body.get("tool_choice", ""))
    for part in parts:
        yield json.dumps(plain(part)), "cache_control" in part
    for message in body["messages"]:
        for part in message["content"]:
            yield f"{forced}{message['role']} {json.dumps(plain(part))}", "cache_control" in part


class CachingOpenAI(_Answers, WireOpenAI):
    """Chat Completions with automatic prefix caching."""

    def __init__(self, answer: Answer) -> None:
        """Begin with an empty cache."""
        super().__init__(answer)
        self._written: set[str] = set()

    def reply(self, body: Body, turn: Turn) -> Body:
        """Give a completion with an id of its own for each call, and the true counts."""
        found = super().reply(body, turn)
        message = found["choices"][0]["message"]
        for number, call in enumerate(message.get("tool_calls", [])):
            call["id"] = f"call_{len(self.requests)}_{number}"
        whole = [
            word
            for part in [*body.get("tools", []), *body["messages"]]
            for word in tokens(json.dumps(part))
        ]
        steps = list(_steps(whole))
        if body["model"].startswith("anthropic/") and "cache_control" not in body:
            steps = []  # OpenRouter asks Claude to cache only what it is asked to cache
        read = max((end for end, digest in steps if digest in self._written), default=0)
        wrote = max((end for end, _ in steps), default=read) - read
        self._written |= {digest for _, digest in steps}
        found["usage"] = {
            "prompt_tokens": len(whole),
            "completion_tokens": 100,
            "total_tokens": len(whole) + 100,
            "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": wrote},
        }
        return found


def _steps(words: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the prefixes that may be cached: their length and digest."""
    digest = hashlib.sha256()
    for end in range(STEP_TOKENS, len(words) + 1, STEP_TOKENS):
        digest.update("\0".join(words[end - STEP_TOKENS : end]).encode())
        if end >= LEAST_TOKENS:
            yield end, digest.hexdigest()
