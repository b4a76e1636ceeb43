"""Writes a cassette again: the recorded replies, and what loop and tools make of them now."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

from juggernaut.adapters.cassettes.folder import CassetteFolder, load
from juggernaut.adapters.forges.workspace import GitWorkspaces
from juggernaut.adapters.sandboxes.probe import best_sandbox
from juggernaut.app.replay import open_tree, request_of
from juggernaut.coder.loop import BuiltinAgent
from juggernaut.domain.cassette import Cassette, Run
from juggernaut.domain.exchange import ModelReply, ModelRequest
from juggernaut.domain.follow import said_in
from juggernaut.domain.model import Claim, Lease, Priority, Risk, Task, TaskId
from juggernaut.domain.states import TaskStatus
from juggernaut.lifecycle.recording import Recording


class Again:
    """An Asker that gives recorded replies in order, whatever it is asked."""

    def __init__(self, run: Run, tree: str, recording: Recording) -> None:
        """Begin with the first reply."""
        self._replies: Iterator[ModelReply] = iter(
            [said_in(item.reply, tree) for item in run.exchanges if item.reply]
        )
        self._recording = recording

    async def __call__(self, request: ModelRequest) -> ModelReply:
        """Give the next reply, and record it."""
        reply = next(self._replies)
        await self._recording.answered(request, reply, False)
        return reply


async def write_again(file: Path, repo: str, base: str) -> None:
    """Put a new record of the same replies in the place of a cassette."""
    cassette = load(file).cassette
    with tempfile.TemporaryDirectory() as name:
        claim = claim_of(cassette)
        folder = Path(name)
        recording = Recording(
            CassetteFolder(folder), claim, cassette.repo, (), str(cassette.facts["sandbox"])
        )
        sandbox = await best_sandbox(folder / "scratch", ())
        trees = GitWorkspaces(folder / "trees")
        for run in cassette.runs:
            tree = await open_tree(trees, repo, run, base)
            request = request_of(run, str(tree.path))
            await recording.begin(run.agent, request, run.base, None, False)
            asker = Again(run, str(tree.path), recording)
            result = await BuiltinAgent().execute(request, asker, sandbox, recording.hear)
            await recording.end(result)
            await tree.close()
        file.write_bytes((folder / f"{claim.task.id}-1.jsonl").read_bytes())


def claim_of(cassette: Cassette) -> Claim:
    """Make a claim of the recorded task."""
    task = Task(
        id=TaskId(UUID(cassette.task)),
        title="recorded",
        description="",
        task_type=cassette.task_type,
        priority=Priority.MEDIUM,
        risk=Risk.LOW,
        status=TaskStatus.IN_PROGRESS,
        criteria=(),
        repo=cassette.repo,
        attempts=1,
    )
    return Claim(task, Lease(task.id, 1, uuid4(), 0.0))
