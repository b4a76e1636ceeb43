"""A database with something to decide, to retry and to prove, made as a swarm makes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from juggernaut.domain.model import Claim, Learning, Risk
from tests.store.swarm import GATE, Swarm, command_completion, plan

LEARNING = Learning("technique", "tools: Print it", "It prints.", 0.5)


@dataclass(slots=True)
class Scenery:
    """Makes what a variable of the cookbook stands for; each is made once and then remembered."""

    swarm: Swarm
    _made: dict[str, object]

    async def value_of(self, name: str) -> object:
        """Give the value of a variable, made the first time it is asked for."""
        makers: dict[str, Callable[[], Awaitable[object]]] = {
            "goal": self._goal,
            "open_task": lambda: self._later("report"),
            "bot_task": lambda: self.swarm.add(task_type="test", assigned_worker="my-bot"),
            "risky_task": lambda: self.swarm.add(task_type="test", risk_level="high"),
            "failed_task": self._failed,
            "blocked_task": self._blocked,
            "waiting_task": self._waiting,
            "second_waiting_task": self._waiting,
            "third_waiting_task": self._waiting,
            "fourth_waiting_task": self._waiting,
            "digest": self._digest,
            "done_task": self._done,
            "recommendation": lambda: self._recommendation("goal"),
            "other_recommendation": lambda: self._recommendation("risk"),
        }
        if name not in self._made:
            self._made[name] = await makers[name]()
        return self._made[name]

    async def furnish(self) -> None:
        """Make everything that a list of the cookbook shows."""
        for count in ("", "second_", "third_", "fourth_"):
            await self.value_of(f"{count}waiting_task")
        await self.value_of("digest")
        for name in ("open_task", "failed_task", "blocked_task", "done_task", "bot_task", "goal"):
            await self.value_of(name)
        for name in ("recommendation", "other_recommendation"):
            await self.value_of(name)
        claim = await self._claimed("report", "analyst")
        await self.swarm.store.save_report(claim.lease, "Report", "Nothing went wrong.", {})

    async def _claimed(self, task_type: str, role: str, **columns: object) -> Claim:
        """Add a task and claim it."""
        task = await self.swarm.add(task_type=task_type, **columns)
        claim = await self.swarm.claim_one(await self.swarm.worker(f"{role}-1", role))
        assert claim.task.id == task
        return claim

    async def _later(self, task_type: str) -> UUID:
        """Add a task that nobody claims yet."""
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        return await self.swarm.add(task_type=task_type, run_after=tomorrow)

    async def _goal(self) -> object:
        """Add a goal as the operator."""
        return await self.swarm.operator.fetchval("SELECT add_goal('a goal', budget_usd => 1)")

    async def _waiting(self) -> UUID:
        """Park a task at its plan gate."""
        claim = await self._claimed("command", "executor", risk_level="high")
        decision = await self.swarm.store.pass_gate(claim.lease, GATE, plan(risk=Risk.HIGH))
        assert decision is not None
        assert not decision.go
        return claim.task.id

    async def _digest(self) -> object:
        """Give the digest that waits on the second waiting task."""
        query = "SELECT digest FROM pending_approvals WHERE task_id = $1"
        return await self.swarm.operator.fetchval(query, self._made["second_waiting_task"])

    async def _failed(self) -> UUID:
        """Let a task fail for good."""
        claim = await self._claimed("command", "executor")
        end = await self.swarm.store.fail(claim.lease, "command_failed", "no", retry_after=None)
        assert end == "failed"
        return claim.task.id

    async def _blocked(self) -> UUID:
        """Block a task on a criterion that has no check."""
        claim = await self._claimed("command", "executor", acceptance_criteria="- it is friendly")
        assert await self.swarm.store.block(claim.lease, "criterion 1 has no check", "a person")
        return claim.task.id

    async def _done(self) -> UUID:
        """Complete a task with one effect, one verdict and one learning."""
        claim = await self._claimed("command", "executor", acceptance_criteria="- it prints")
        effect = await self.swarm.store.intend(claim.lease, "push", "a branch", {})
        assert effect is not None
        assert await self.swarm.store.confirm(claim.lease, effect.id, {"sha": "0" * 40})
        completion = command_completion(1, learning=LEARNING)
        assert await self.swarm.store.complete(claim.lease, completion)
        await self._log()
        return claim.task.id

    async def _log(self) -> None:
        """Write one line of the log, as the operator."""
        query = "INSERT INTO execution_logs (action, message) VALUES ('note', 'one line')"
        await self.swarm.operator.execute(query)

    async def _recommendation(self, kind: str) -> int:
        """Store one proposal of a strategist."""
        claim = await self._claimed("strategy", "strategist")
        row = {"kind": kind, "title": f"a {kind}", "rationale": "because of m1", "facts": {}}
        (number,) = await self.swarm.store.save_recommendations(claim.lease, [row])
        return number


def scenery(swarm: Swarm) -> Scenery:
    """Begin with nothing made."""
    return Scenery(swarm, {})
