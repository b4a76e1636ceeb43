"""Reads a cassette line by line. The last line may be cut off: its writer may have been killed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from juggernaut.domain.cassette import (
    VERSION,
    Cassette,
    Exchange,
    Run,
    ToolUse,
    read_error,
    read_reply,
    undelta,
)
from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.model import Json

SHOWN_CHARS: Final = 60


@dataclass(slots=True)
class _Reading:
    """What was read so far."""

    header: Json | None = None
    runs: list[Run] = field(default_factory=list)
    asks: list[Exchange] = field(default_factory=list)
    last: Exchange | None = None
    inside: bool = False
    cut: bool = False


def read_cassette(lines: Iterable[str]) -> Cassette:
    """Read a cassette; raises InvalidInput that names the line and what is wrong with it.

    `lines` come with their line ends. A last line without one is not read.
    """
    reading = _Reading()
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            reading.cut = True
            break
        try:
            _take(reading, json.loads(line))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise InvalidInput(f"line {number}: not a line of a cassette: {said}") from None
    if reading.header is None:
        raise InvalidInput("line 1: a cassette begins with its header; this file has none")
    repo = reading.header.get("repo")
    return Cassette(
        task=str(reading.header["task"]),
        task_type=str(reading.header["type"]),
        repo=None if repo is None else str(repo),
        facts=reading.header,
        runs=tuple(reading.runs),
        asks=tuple(reading.asks),
        whole=not reading.cut and not reading.inside,
    )


def _take(reading: _Reading, told: object) -> None:
    """Take one line."""
    if not isinstance(told, dict):
        raise TypeError("it holds no JSON object")
    kind = told["kind"]
    if reading.header is None:
        reading.header = _header(told)
        return
    take = _KINDS.get(kind) if isinstance(kind, str) else None
    if take is None:
        raise ValueError(f"unknown kind {str(kind)[:SHOWN_CHARS]!r}")
    take(reading, told)


def _header(told: Json) -> Json:
    """Read the first line."""
    if told["kind"] != "cassette":
        raise ValueError("a cassette begins with its header")
    if told["version"] != VERSION:
        raise ValueError(f"version {told['version']!r} is not {VERSION}: record it again")
    return {**told, "task": str(told["task"]), "type": str(told["type"])}


def _take_run(reading: _Reading, told: Json) -> None:
    """Take the begin of a run."""
    reading.runs.append(_run(told))
    reading.inside, reading.last = True, None


def _take_tool(reading: _Reading, told: Json) -> None:
    """Take one use of a tool."""
    if reading.last is None:
        raise ValueError("a tool was used before a model asked for it")
    use = ToolUse(str(told["name"]), str(told["result"]), bool(told["is_error"]))
    reading.last.tools.append(use)


def _take_end(reading: _Reading, told: Json) -> None:
    """Take the end of a run."""
    if not reading.inside:
        raise ValueError("a run ended that had not begun")
    reading.runs[-1] = replace(reading.runs[-1], end=told)
    reading.inside, reading.last = False, None


def _take_cut(reading: _Reading, told: Json) -> None:
    """Take the mark that the rest was not recorded."""
    reading.cut = True


def _take_model(reading: _Reading, told: Json) -> None:
    """Take one model call, as a part of the run that is open."""
    request, reply, error = told["request"], told.get("reply"), told.get("error")
    if not isinstance(request, dict) or (reply is None) == (error is None):
        raise TypeError("a model call needs the object `request`, and `reply` or `error`")
    if not isinstance(reply or error, dict):
        raise TypeError("`reply` and `error` are objects")
    reading.last = Exchange(
        step=int(told["step"]) if isinstance(told["step"], int) else 0,
        digest=str(told["digest"]),
        request=undelta(reading.last.request if reading.last else None, request),
        reply=read_reply(reply) if isinstance(reply, dict) else None,
        error=read_error(error) if isinstance(error, dict) else None,
        altered=bool(told.get("altered")),
    )
    (reading.runs[-1].exchanges if reading.inside else reading.asks).append(reading.last)


def _run(told: Json) -> Run:
    """Read how a run began."""
    argv, change, turns = told["test_argv"], told["change"], told["max_turns"]
    seconds, context = told["timeout_seconds"], told["context_tokens"]
    if not isinstance(turns, int) or not isinstance(seconds, int | float):
        raise TypeError("`max_turns` and `timeout_seconds` are numbers")
    if context is not None and not isinstance(context, int):
        raise TypeError("`context_tokens` is a number, or null")
    if argv is not None and not isinstance(argv, list):
        raise TypeError("`test_argv` is a list of texts, or null")
    return Run(
        agent=str(told["agent"]),
        base=str(told["base"]),
        change=None if change is None else str(change),
        same_tree=bool(told["same_tree"]),
        prompt=str(told["prompt"]),
        system=str(told["system"]),
        test_argv=None if argv is None else tuple(str(word) for word in argv),
        max_turns=turns,
        timeout_seconds=float(seconds),
        context_tokens=context,
    )


_KINDS: Final[Mapping[str, Callable[[_Reading, Json], None]]] = {
    "run": _take_run,
    "model": _take_model,
    "tool": _take_tool,
    "end": _take_end,
    "cut": _take_cut,
}
