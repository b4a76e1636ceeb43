"""What is recorded of one attempt: exchanges become lines of its cassette, scrubbed and bounded."""

from __future__ import annotations

from juggernaut import __version__
from juggernaut.domain.agents import AgentEvent, EventKind
from juggernaut.domain.cassette import VERSION, delta, reply_facts, request_facts
from juggernaut.domain.digest import canonical, digest_of
from juggernaut.domain.errors import JuggernautError
from juggernaut.domain.exchange import AgentRequest, AgentResult, ModelReply, ModelRequest
from juggernaut.domain.follow import end_facts, told_result
from juggernaut.domain.limits import CONTEXT_CHARS, TAPE_BYTES, TAPE_TEXT_CHARS
from juggernaut.domain.model import Claim, Json
from juggernaut.domain.redact import Secret, scrub_json
from juggernaut.domain.steady import off_tree
from juggernaut.ports import Cassettes


class Recording:
    """The cassette of one attempt while it is written.

    What tools gave is kept until the next line, because events come without waiting for anybody.
    """

    def __init__(
        self,
        cassettes: Cassettes,
        claim: Claim,
        repo: str | None,
        secrets: tuple[Secret, ...],
        sandbox: str,
    ) -> None:
        """Take what the header says; nothing is written before the first exchange."""
        task = claim.task
        self._cassettes = cassettes
        self._name = f"{task.id}-{claim.lease.fence}.jsonl"
        self._secrets = secrets
        self._tree = ""
        self._step = 0
        self._last: Json | None = None
        self._bytes = 0
        self._waiting: list[Json] = [
            {
                "kind": "cassette",
                "version": VERSION,
                "task": str(task.id),
                "type": task.task_type,
                "attempt": task.attempts,
                "repo": task.repo or repo,
                "sandbox": sandbox,
                "written_by": f"juggernaut {__version__}",
            }
        ]
        self.stopped = False

    async def begin(
        self, agent: str, request: AgentRequest, base: str, change: str | None, same_tree: bool
    ) -> None:
        """Write that the code agent begins, and what it was told."""
        self._tree = request.worktree
        self._last = None
        told: dict[str, object] = {
            "prompt": request.prompt,
            "system": request.system,
            "test_argv": None if request.test_argv is None else list(request.test_argv),
        }
        await self._write(
            {
                "kind": "run",
                "agent": agent,
                "base": base,
                "change": change,
                "same_tree": same_tree,
                "max_turns": request.max_turns,
                "timeout_seconds": request.timeout_seconds,
                "context_tokens": request.context_tokens,
                **self._scrubbed(off_tree(told, self._tree)),
            }
        )

    async def answered(self, request: ModelRequest, reply: ModelReply, replayed: bool) -> None:
        """Write a model call that was answered."""
        told = reply_facts(reply, self._tree)
        kept = self._scrubbed(told)
        marks = {"altered": kept != told, "replayed": replayed}
        await self._call(request, {"reply": kept, **marks})

    async def failed(self, request: ModelRequest, error: JuggernautError) -> None:
        """Write a model call that ended with an error."""
        said = self._scrubbed({"code": error.code, "message": str(error)})
        await self._call(request, {"error": said})

    def hear(self, event: AgentEvent) -> None:
        """Take what a tool gave."""
        if event.kind is not EventKind.RESULT or event.facts is None:
            return
        used = {"name": event.text, "arguments": off_tree(event.facts["arguments"], self._tree)}
        result = told_result(str(event.facts["plain"]), self._tree, self._secrets)
        line = {"kind": "tool", "step": self._step, **self._scrubbed(used), "result": result}
        self._waiting.append({**line, "is_error": not event.ok})

    async def end(self, result: AgentResult) -> None:
        """Write how the code agent ended."""
        await self._write({"kind": "end", **self._scrubbed(end_facts(result))})
        self._tree, self._last = "", None

    async def _call(self, request: ModelRequest, outcome: Json) -> None:
        """Write one model call, with what is new in its request."""
        self._step += 1
        asked = request_facts(request, self._tree, self._secrets, CONTEXT_CHARS)
        line = {"kind": "model", "step": self._step, "digest": digest_of(asked)}
        await self._write({**line, "request": delta(self._last, asked), **outcome})
        self._last = asked

    async def _write(self, line: Json) -> None:
        """Write what waits and one line more, until the bound is reached."""
        lines, self._waiting = [*self._waiting, line], []
        for each in lines:
            raw = canonical(each) + b"\n"
            if self.stopped:
                return
            if self._bytes + len(raw) > TAPE_BYTES:
                raw, self.stopped = canonical({"kind": "cut"}) + b"\n", True
            await self._cassettes.append(self._name, raw)
            self._bytes += len(raw)

    def _scrubbed(self, told: object) -> dict[str, object]:
        """Take the secrets out of an object."""
        found = scrub_json(told, self._secrets, TAPE_TEXT_CHARS)
        return found if isinstance(found, dict) else {}
