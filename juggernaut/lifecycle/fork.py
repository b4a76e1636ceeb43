"""Fork: the first attempt of a forked task goes along a cassette, then its own way.

Tools are really used, in a tree of the recorded base. Model replies come from the cassette and
cost nothing, as long as every request and every result is the recorded one; from the chosen step,
or from the first difference, the model is asked. A later attempt starts over as any task does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from juggernaut.domain.agents import AgentEvent
from juggernaut.domain.cassette import Run
from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.exchange import AgentRequest, ModelReply, ModelRequest
from juggernaut.domain.follow import Follower, said_in
from juggernaut.domain.forks import Fork, check_fork, read_fork
from juggernaut.domain.model import Sha
from juggernaut.lifecycle import record
from juggernaut.lifecycle.attempt import Attempt
from juggernaut.lifecycle.draft import branch_of
from juggernaut.ports import Asker, Workspace

OWNER = "an operator: give this worker the folder with the cassette in JUGGERNAUT_RECORD"
DIVERGED = "fork_diverged"


@dataclass(slots=True)
class Following:
    """The Asker of a forked attempt's first run."""

    attempt: Attempt
    fork: Fork
    run: Run
    ask: Asker
    follower: Follower | None = None
    live: bool = False

    async def open(self) -> Workspace:
        """Open a tree at the recorded base; InvalidInput when the repository lost that commit."""
        base, repo = Sha(self.run.base), self.attempt.repo
        workspaces, branch = self.attempt.services.workspaces, branch_of(self.attempt.task)
        try:
            tree = await workspaces.resume(repo, branch, base, self.attempt.name, base)
        except InvalidInput as error:
            raise InvalidInput(
                f"the fork of {self.fork.origin} begins at {base}, and {repo} does not have it"
                f" any more ({error}): add the task again instead"
            ) from error
        secrets = self.attempt.services.settings.secrets
        self.follower = Follower(self.run, str(tree.path), secrets)
        return tree

    def request(self, asked: AgentRequest) -> AgentRequest:
        """Give what the recorded run was told, for this tree and the model that will go on."""
        models, name = self.attempt.services.models, self.fork.model
        context = asked.context_tokens
        if models is not None and name is not None:
            context = models.named(name)[0].terms.context_tokens
        return replace(
            asked,
            prompt=self.run.prompt,
            system=self.run.system,
            test_argv=self.run.test_argv,
            context_tokens=context,
        )

    def hear(self, event: AgentEvent) -> None:
        """Compare what a tool gave."""
        if self.follower is not None and not self.live:
            self.follower.hear(event)

    def facts(self) -> dict[str, object]:
        """Give what the evidence says of it."""
        followed = self.follower.followed if self.follower else 0
        told = {"of": self.fork.origin, "steps": followed, "cassette": self.fork.cassette}
        return {"fork": {**told, "model": self.fork.model}}

    async def __call__(self, request: ModelRequest) -> ModelReply:
        """Answer from the cassette up to the chosen step, then ask."""
        reply = None if self.live else await self._recorded(request)
        return await self.ask(request) if reply is None else reply

    async def _recorded(self, request: ModelRequest) -> ModelReply | None:
        """Give the recorded reply; None from the chosen step or the first difference on."""
        follower = self.follower
        due = self.run.exchanges[follower.followed :] if follower else []
        if follower is None or not due or due[0].step >= self.fork.from_step:
            self.live = True
            return None
        exchange = follower.next(request)
        if exchange is None or exchange.reply is None:
            self.live = True
            differs = follower.divergence
            said = f"the model is asked from here: {differs.told() if differs else 'no record'}"
            await self.attempt.log(DIVERGED, said, level="warning")
            return None
        reply = said_in(exchange.reply, follower.tree)
        await record.answered(self.attempt, request, reply, replayed=True)
        return reply


async def begin(attempt: Attempt, ask: Asker) -> Following | None:
    """Read the cassette of a forked task for its first attempt; None for every other one.

    Blocks the task when this worker does not have the cassette.
    """
    fork = read_fork(attempt.task)
    if fork is None or attempt.task.attempts > 1:
        return None
    cassettes = attempt.services.cassettes
    if cassettes is None:
        await attempt.block(f"the fork of {fork.origin} needs {fork.cassette}", OWNER)
    try:
        cassette = await cassettes.read(fork.cassette, fork.digest)
    except InvalidInput as error:
        await attempt.block(f"the fork of {fork.origin}: {error}", OWNER)
    if cassette.task != fork.origin or not cassette.runs:
        raise InvalidInput(
            f"cassette {fork.cassette} has no run of the code agent for task {fork.origin}"
        )
    run = cassette.runs[0]
    check_fork(run, fork.from_step)
    return Following(attempt, fork, run, ask)
