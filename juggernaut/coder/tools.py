"""The seven tools: what a model is told of them, and how a call becomes a result.

Nothing that a model sends raises out of here: a wrong name or argument is a result that says so.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from juggernaut.coder import arguments, bounds
from juggernaut.coder.editing import NoMatch, replace_once, write_file
from juggernaut.coder.looking import list_folder, read_lines, search
from juggernaut.coder.paths import WorkTree, parse
from juggernaut.coder.seen import Seen
from juggernaut.domain import limits, redact
from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.exchange import ToolCall, ToolSpec
from juggernaut.domain.frame import NONCE_CHARS, frame
from juggernaut.domain.model import Json
from juggernaut.ports import Sandbox

FINISH: Final = "finish"
NOT_STARTED: Final = 127


def _spec(name: str, description: str, required: int, **properties: Json) -> ToolSpec:
    """Describe a tool; its first so many properties are required."""
    schema: Json = {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties)[:required],
        "additionalProperties": False,
    }
    return ToolSpec(name, description, schema)


_TEXT: Final[Json] = {"type": "string"}
_COUNT: Final[Json] = {"type": "integer", "minimum": 1}
_WORDS: Final[Json] = {"type": "array", "items": _TEXT, "minItems": 1}

SPECS: Final = (
    _spec("list", "List a folder; depth 2 unless told.", 0, path=_TEXT, depth=_COUNT),
    _spec(
        "search",
        "Find lines by regular expression. glob limits file names, for instance *.py.",
        1,
        pattern=_TEXT,
        path=_TEXT,
        glob=_TEXT,
    ),
    _spec(
        "read",
        f"Read numbered lines of a file, at most {limits.READ_LINES} at once.",
        1,
        path=_TEXT,
        start=_COUNT,
        lines=_COUNT,
    ),
    _spec(
        "edit",
        "Replace text in a file that you have read. old: exact, without line numbers, there once.",
        3,
        path=_TEXT,
        old=_TEXT,
        new=_TEXT,
    ),
    _spec(
        "write",
        "Create a file, or replace all of one that you have read.",
        2,
        path=_TEXT,
        content=_TEXT,
    ),
    _spec(
        "run",
        "Run a program in the work tree: a list of words, no shell. Output is cut in the middle.",
        1,
        argv=_WORDS,
        timeout_seconds=_COUNT,
    ),
    _spec(FINISH, "End the work: say what changed and what proves it.", 1, summary=_TEXT),
)


@dataclass(frozen=True, slots=True)
class Used:
    """What a call gave: `plain` is its text, the same whenever the same thing happened."""

    plain: str
    is_error: bool
    source: str | None = None
    lines: str = ""  # of a file, that explain an error

    def shown(self) -> str:
        """Give the text for the model; what comes from the work tree is framed."""
        if self.source is not None:
            return frame(self.plain, self.source, secrets.token_hex(NONCE_CHARS))
        if self.lines:
            return f"{self.plain}\n{frame(self.lines, 'the file', secrets.token_hex(NONCE_CHARS))}"
        return self.plain


class Toolbox:
    """The tools of one execution, bound to a work tree and a sandbox."""

    def __init__(self, tree: WorkTree, sandbox: Sandbox) -> None:
        """Bind; nothing is touched yet."""
        self._tree = tree
        self._seen = Seen()
        self._sandbox = sandbox
        self._tools: dict[str, Callable[[Json], Awaitable[Used]]] = {
            "list": self._list,
            "search": self._search,
            "read": self._read,
            "edit": self._edit,
            "write": self._write,
            "run": self._run,
            FINISH: self._finish,
        }

    async def use(self, call: ToolCall) -> Used:
        """Do what a call asks, or say why not."""
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(spec.name for spec in SPECS)
            return Used(f"there is no tool {call.name[:60]!r}; the tools are {known}", True)
        spec = next(spec for spec in SPECS if spec.name == call.name)
        properties = spec.schema["properties"]
        try:
            arguments.only(call.arguments, properties if isinstance(properties, dict) else ())
            return await tool(call.arguments)
        except InvalidInput as error:
            lines = error.lines if isinstance(error, NoMatch) else ""
            said = redact.shorten(bounds.clean(str(error)), limits.EXCERPT_CHARS)
            return Used(said, True, lines=lines)
        except OSError as error:
            return Used(f"the file system refused: {error.strerror or error}", True)

    async def _list(self, given: Json) -> Used:
        """List a folder."""
        path = arguments.text(given, "path", limits.TOOL_PATH_CHARS, ".")
        depth = arguments.number(given, "depth", 2, limits.LIST_DEPTH)
        found = await asyncio.to_thread(list_folder, self._tree, parse(path), depth)
        return Used(bounds.whole(found), False, f"list {path}")

    async def _search(self, given: Json) -> Used:
        """Search for a pattern."""
        pattern = arguments.text(given, "pattern", limits.SEARCH_PATTERN_CHARS)
        if not pattern:
            raise InvalidInput("pattern is empty; give something to look for")
        path = arguments.text(given, "path", limits.TOOL_PATH_CHARS, ".")
        glob = arguments.text(given, "glob", limits.TOOL_PATH_CHARS, "*")
        found = await search(self._tree, self._sandbox, pattern, parse(path), glob)
        return Used(found, False, f"search in {path}")

    async def _read(self, given: Json) -> Used:
        """Read lines."""
        path = arguments.text(given, "path", limits.TOOL_PATH_CHARS)
        start = arguments.number(given, "start", 1, limits.EDIT_FILE_BYTES)
        count = arguments.number(given, "lines", limits.READ_LINES, limits.READ_LINES)
        found = await asyncio.to_thread(
            read_lines, self._tree, self._seen, parse(path), start, count
        )
        return Used(found, False, f"file {path}")

    async def _edit(self, given: Json) -> Used:
        """Replace once."""
        path = arguments.text(given, "path", limits.TOOL_PATH_CHARS)
        old = arguments.text(given, "old", limits.EDIT_FILE_BYTES)
        new = arguments.text(given, "new", limits.EDIT_FILE_BYTES)
        done = await asyncio.to_thread(replace_once, self._tree, self._seen, parse(path), old, new)
        return Used(done, False)

    async def _write(self, given: Json) -> Used:
        """Write a file."""
        path = arguments.text(given, "path", limits.TOOL_PATH_CHARS)
        content = arguments.text(given, "content", limits.EDIT_FILE_BYTES)
        done = await asyncio.to_thread(write_file, self._tree, self._seen, parse(path), content)
        return Used(done, False)

    async def _run(self, given: Json) -> Used:
        """Run a command; one that fails is an answer, one that cannot start is an error."""
        argv = arguments.words(given, "argv", limits.TEXT_CHARS)
        most = int(limits.COMMAND_SECONDS)
        seconds = arguments.number(given, "timeout_seconds", int(limits.TOOL_RUN_SECONDS), most)
        result = await self._sandbox.run(argv, self._tree.root, timeout_seconds=float(seconds))
        head = f"exit code {result.exit_code}"
        if result.timed_out:
            head += f", stopped after {seconds} s"
        output = redact.scrub(bounds.clean(result.output), limit=limits.TOOL_OUTPUT_CHARS)
        source = f"command {' '.join(argv)}"
        text = f"{head}\n{output.rstrip() or '[no output]'}"
        return Used(text, result.exit_code == NOT_STARTED, source)

    async def _finish(self, given: Json) -> Used:
        """Take the summary; whether the work may end is decided by the loop."""
        summary = arguments.text(given, "summary", limits.TEXT_CHARS).strip()
        if not summary:
            raise InvalidInput("summary is empty; say what changed and what proves it")
        return Used(redact.scrub(summary, limit=limits.EXCERPT_CHARS), False)
