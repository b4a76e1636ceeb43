"""Replay: the code agent runs again, in a fresh work tree, with a cassette instead of a model.

Its loop, its tools and the sandbox are the real ones. Nothing is asked of a network. It ends where
something first differs from what was recorded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from juggernaut.adapters.cassettes.folder import load
from juggernaut.adapters.forges.workspace import GitWorkspaces
from juggernaut.adapters.sandboxes.probe import best_sandbox
from juggernaut.coder.loop import BuiltinAgent
from juggernaut.domain.cassette import Cassette, Run
from juggernaut.domain.errors import AttemptError, ConfigError, ForgeError, InvalidInput
from juggernaut.domain.exchange import AgentRequest, ModelReply, ModelRequest
from juggernaut.domain.follow import Divergence, Follower, said_in
from juggernaut.domain.model import Sha
from juggernaut.ports import Sandbox, Workspace

ATTEMPT = "replay"


class RecordEnds(AttemptError):
    """The cassette has no more to say: something differs, or the record stops here."""

    code = "record_ends"


@dataclass(slots=True)
class Player:
    """The Asker of a replay: it answers from the cassette, or ends the run."""

    follower: Follower
    raised: list[Exception] = field(default_factory=list)

    async def __call__(self, request: ModelRequest) -> ModelReply:
        """Give the recorded reply, or raise the recorded error."""
        exchange = self.follower.next(request)
        if exchange is None:
            raise RecordEnds("the cassette has no reply to this request")
        if exchange.error is not None:
            self.raised.append(exchange.error)
            raise exchange.error
        if exchange.reply is None:
            raise RecordEnds("the cassette has no reply to this request")
        return said_in(exchange.reply, self.follower.tree)


@dataclass(frozen=True, slots=True)
class Replayed:
    """How a replay ended. `whole`: the cassette has an end, and was followed to it."""

    runs: int
    steps: int
    whole: bool
    sandbox: str
    divergence: Divergence | None = None

    def row(self) -> dict[str, object]:
        """Give it as a record for people and programs."""
        told: dict[str, object] = {
            "verdict": "diverged" if self.divergence else "same",
            "runs": self.runs,
            "steps": self.steps,
            "whole": self.whole,
            "sandbox": self.sandbox,
        }
        if self.divergence is not None:
            found = self.divergence
            told |= {"step": found.step, "what": found.what, "diff": found.diff()}
        return told


async def replay(file: Path, repo: str, base: str | None, hidden: Sequence[Path]) -> Replayed:
    """Play a cassette in a fresh tree of `repo`; `base` is another commit than the recorded one.

    Raises ConfigError for a file that cannot be played, or a repository without its commits.
    """
    try:
        cassette = load(file).cassette
        check(cassette)
    except InvalidInput as error:
        raise ConfigError(str(error)) from None
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="juggernaut-replay-")))
        sandbox = await best_sandbox(folder / "scratch", hidden)
        trees = GitWorkspaces(folder / "trees")
        tree: Workspace | None = None
        steps = 0
        for number, run in enumerate(cassette.runs, start=1):
            if tree is None or not run.same_tree:
                tree = await open_tree(trees, repo, run, base)
                stack.push_async_callback(tree.close)
            follower = Follower(run, str(tree.path))
            await play(run, follower, sandbox)
            steps += follower.followed
            if follower.divergence is not None:
                return Replayed(number, steps, False, sandbox.level, follower.divergence)
        return Replayed(len(cassette.runs), steps, cassette.whole, sandbox.level)


def check(cassette: Cassette) -> None:
    """Refuse what cannot be played; raises InvalidInput."""
    if not cassette.runs:
        raise InvalidInput(
            f"the cassette of {cassette.task} has no run of the code agent, and only that is played"
        )
    other = next((run.agent for run in cassette.runs if run.agent != BuiltinAgent().name), None)
    if other is not None:
        raise InvalidInput(
            f"the cassette of {cassette.task} was written with the agent {other}: only the tools of"
            f" {BuiltinAgent().name} can be played"
        )


async def open_tree(trees: GitWorkspaces, repo: str, run: Run, base: str | None) -> Workspace:
    """Open the tree that a run began in; raises ConfigError."""
    sha = Sha(base or run.base)
    try:
        if run.change is None:
            return await trees.checkout(repo, sha, ATTEMPT)
        return await trees.resume(repo, f"feature/{ATTEMPT}", Sha(run.change), ATTEMPT, sha)
    except (InvalidInput, ForgeError) as error:
        raise ConfigError(
            f"{error}; --repo names the repository that was recorded, --base another commit of it"
        ) from None


async def play(run: Run, follower: Follower, sandbox: Sandbox) -> None:
    """Let the agent work on what was recorded, up to the end or the first difference."""
    player, request = Player(follower), request_of(run, follower.tree)
    try:
        result = await BuiltinAgent().execute(request, player, sandbox, follower.hear)
    except AttemptError as error:
        if not isinstance(error, RecordEnds) and error not in player.raised:
            raise
        return
    follower.ended(result)


def request_of(run: Run, tree: str) -> AgentRequest:
    """Give what a recorded run was told, for this tree."""
    return AgentRequest(
        prompt=run.prompt,
        system=run.system,
        worktree=tree,
        test_argv=run.test_argv,
        max_turns=run.max_turns,
        timeout_seconds=run.timeout_seconds,
        context_tokens=run.context_tokens,
    )
