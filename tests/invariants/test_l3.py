"""L3: a fence only grows, a terminal state never changes, and no law is ever broken.

Random moves by every login, by plain SQL and by function, judged after each move.
Default: 120 examples of 5 to 30 moves. Full: 5,000 examples.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from juggernaut.domain.errors import LawRefused
from juggernaut.domain.states import TaskStatus
from tests.fixtures_postgres import Database, Login
from tests.invariants.daemon_calls import WRITES, statement
from tests.invariants.mutants import Mutant
from tests.invariants.scene import LONG_AGO, Connection, Scene, open_scene
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials
from tests.store.swarm import command_completion

EXAMPLES = trials(120, 5_000)
TASKS = 3
FINAL = ("completed", "rejected", "cancelled")
WHO = ("worker", "rival", "approver", "reader", "operator")
STATES = st.sampled_from([state.value for state in TaskStatus])
SEEN = {state.value for state in TaskStatus} - {"waiting", "awaiting_merge"}
SAYS = st.sampled_from(["Done", "12 tests passed at the commit that was merged, none failed", ""])
RAW = st.tuples(
    st.sampled_from(
        [
            "status = $2",
            "status = $2, assigned_worker = 'raw'",
            "status = $2, completion_evidence = $3, completed_at = now()",
            "status = $2, error_message = $3",
            "status = $2, approved_by = $3",
            "status = $2, requires_approval = false, approval_reason = $3",
            "status = $2, fence = fence - 1",
            "fence = fence - 1",
            "fence = 0",
            "evidence_id = NULL, title = $3",
        ]
    ),
    STATES,
    SAYS,
)
PEOPLE = st.sampled_from(
    ["approve_task($1)", "reject_task($1, 'no')", "cancel_task($1, 'no')", "retry_task($1)"]
)
DAEMON = st.sampled_from(sorted(WRITES) + ["complete_v1", "fail_v1"] * 3)
DUTIES = st.sampled_from(["claim", "claim", "claim", "expire", "sweep", "due", "raw claim"])
Move = tuple[str, str, int, object]
CLAIM: Move = ("duty", "worker", 0, "claim")


def ended(*names: str) -> list[Move]:
    """Claim and call these functions on the newest lease."""
    return [CLAIM, *(("daemon", "worker", 0, name) for name in names)]


# Where random moves begin, so that they meet every state; most of them would never get there.
OPENINGS: tuple[list[Move], ...] = (
    [],
    [CLAIM, CLAIM, CLAIM],
    ended("complete_v1"),
    ended("pass_gate_v1"),
    [*ended("pass_gate_v1"), ("people", "approver", 0, "approve_task($1)"), CLAIM],
    [*ended("pass_gate_v1"), ("people", "approver", 0, "reject_task($1, 'no')")],
    ended("fail_v1") * 2 * TASKS,
    ended("block_v1"),
    ended("complete_v1", "complete_v1"),
    [("duty", "worker", 0, "raw claim"), ("people", "approver", 0, "cancel_task($1, 'no')")],
)
MORE = st.lists(
    st.one_of(
        st.tuples(st.just("raw"), st.sampled_from(WHO), st.integers(0, TASKS - 1), RAW),
        st.tuples(st.just("people"), st.sampled_from(WHO), st.integers(0, TASKS - 1), PEOPLE),
        st.tuples(
            st.just("daemon"),
            st.sampled_from(("worker", "worker", *WHO[:2])),
            st.integers(0, TASKS - 1),
            DAEMON,
        ),
        st.tuples(st.just("duty"), st.just("worker"), st.integers(0, TASKS - 1), DUTIES),
    ),
    min_size=5,
    max_size=30,
)
MOVES = st.builds(list.__add__, st.sampled_from(OPENINGS), MORE)


@dataclass(slots=True)
class Game:
    """One example: its tasks, who plays, and the last secret of every task."""

    scene: Scene
    hands: dict[str, Connection]
    tasks: list[UUID] = field(default_factory=list)
    leases: dict[UUID, tuple[int, UUID]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    async def begin(self) -> None:
        """Clear what other examples left to claim, and add tasks of each risk."""
        await self.scene.operator.execute(
            "UPDATE governance_tasks SET status = 'cancelled'"
            " WHERE status NOT IN ('completed', 'failed', 'rejected', 'cancelled')"
        )
        self.leases.clear()
        self.tasks = [
            await self.scene.swarm.add(risk_level=risk, max_attempts=2)
            for risk in ("low", "high", "critical")
        ]

    async def play(self, kind: str, who: str, number: int, what: object) -> None:
        """Make one move; a refusal is an answer like any other."""
        task, hand = self.tasks[number], self.hands[who]
        try:
            if kind == "raw":
                await self._raw(hand, task, what)
            elif kind == "people":
                await hand.execute(f"SELECT {what}", task)
            elif kind == "daemon":
                task = list(self.leases or [task])[-1]
                fence, secret = self.leases.get(task, (1, uuid4()))
                await hand.execute(statement(str(what), WRITES[str(what)]), task, fence, secret)
            else:
                await self._duty(str(what), task)
        except asyncpg.PostgresError as error:
            assert error.sqlstate is not None

    async def _raw(self, hand: Connection, task: UUID, what: object) -> None:
        """Type an UPDATE."""
        assert isinstance(what, tuple)
        sets, state, text = what
        values = [task, *([state] if "$2" in sets else []), *([text] if "$3" in sets else [])]
        sets = sets if "$2" in sets else sets.replace("$3", "$2")
        await hand.execute(f"UPDATE governance_tasks SET {sets} WHERE id = $1", *values)

    async def _duty(self, what: str, task: UUID) -> None:
        """Claim, or let time pass."""
        scene = self.scene
        if what == "claim":
            for claim in await scene.swarm.store.claim(await scene.swarm.worker(), 1):
                self.leases.pop(claim.lease.task_id, None)
                self.leases[claim.lease.task_id] = (claim.lease.fence, claim.lease.secret)
        elif what == "raw claim":
            await scene.raw_claim(self.hands["worker"], task, "raw")
        elif what == "expire":
            await scene.expire()
        elif what == "sweep":
            await scene.swarm.store.sweep()
        else:
            await scene.operator.execute(
                f"UPDATE governance_tasks SET run_after = {LONG_AGO} WHERE status = 'pending'"
                " AND run_after IS NOT NULL"
            )

    async def look(self) -> dict[UUID, asyncpg.Record]:
        """Read the rows."""
        rows = await self.scene.operator.fetch(
            "SELECT id, fence, status, attempts, max_attempts FROM governance_tasks"
            " WHERE id = ANY ($1::uuid[])",
            self.tasks,
        )
        return {row["id"]: row for row in rows}


def judge(move: object, before: asyncpg.Record, after: asyncpg.Record) -> None:
    """Compare a row with itself before a move."""
    assert after["fence"] >= before["fence"], f"{move}: the fence went back"
    if before["status"] in FINAL:
        assert after["status"] == before["status"], f"{move}: left {before['status']}"
        assert after["fence"] == before["fence"], f"{move}: a fence of a finished task moved"
    if before["status"] == "failed":
        assert after["status"] in ("failed", "pending"), f"{move}: failed became something else"
    assert after["attempts"] <= after["max_attempts"], f"{move}: too many attempts"


async def play_all(game: Game, moves: list[Move]) -> None:
    """Play one example and judge every move."""
    await game.begin()
    before = await game.look()
    for move in moves:
        await game.play(*move)
        after = await game.look()
        game.seen |= {row["status"] for row in after.values()}
        for task, row in before.items():
            judge(move, row, after[task])
        before = after
    assert await game.scene.violations() == [], f"after {moves}"


async def check_gate_at_the_end(scene: Scene) -> None:
    """A holder that never asked at the gate cannot complete what needs an approval."""
    claim = await scene.claimed(risk_level="critical")
    with contextlib.suppress(LawRefused):
        await scene.swarm.store.complete(claim.lease, command_completion())
    assert await scene.violations() == []
    assert await scene.swarm.status(claim.task.id) == "in_progress"


async def ready_game(scene: Scene) -> Game:
    """Connect everybody."""
    hands = {
        name: await scene.database.connect(login)
        for name, login in (
            *(("worker", scene.worker), ("rival", scene.rival)),
            *(("approver", scene.approver), ("reader", scene.reader), ("operator", None)),
        )
    }
    await scene.raw_worker(hands["worker"], "raw")
    return Game(scene, hands)


async def check_typed_moves(scene: Scene) -> None:
    """The moves that a hole would let through first, by everybody and on every end."""
    game = await ready_game(scene)
    cancel: Move = ("people", "approver", 0, "cancel_task($1, 'no')")
    moves: list[Move] = [("duty", "worker", 0, "claim"), cancel]
    for who in WHO:
        for state in TaskStatus:
            moves.append(("raw", who, 0, ("status = $2", state.value, "")))
        moves.append(("raw", who, 0, ("fence = fence - 1", "pending", "")))
        moves.append(("raw", who, 0, ("fence = 0", "pending", "")))
    await play_all(game, moves)


def check_random_moves(
    database: Database, worker: Login, examples: int, mutant: Mutant | None = None
) -> None:
    """Let Hypothesis look for a move that breaks the law."""
    with asyncio.Runner() as runner:
        opened = open_scene(database, worker)
        scene = runner.run(opened.__aenter__())
        try:
            game = runner.run(ready_game(scene))
            broken: list[AssertionError] = []
            if mutant:
                runner.run(mutant.apply(scene.operator))

            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(moves=MOVES)
            def play(moves: list[Move]) -> None:
                """Play one example; the first broken promise is kept, the database has it now."""
                if broken:
                    return
                try:
                    runner.run(play_all(game, moves))
                except AssertionError as error:
                    broken.append(error)

            play()
            if broken:
                raise broken[0]
            assert game.seen >= SEEN, f"the moves never reached {SEEN - game.seen}"
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def test_typed_moves(scene: Scene) -> None:
    """Every state from a terminal one, and smaller fences, by five logins."""
    await check_typed_moves(scene)


async def test_no_end_without_the_gate(scene: Scene) -> None:
    """What the random game finds most often, as one story."""
    await check_gate_at_the_end(scene)


@pytest.mark.timeout(TRIAL_TIMEOUT_SECONDS)
def test_random_moves(database: Database, worker_login: Login) -> None:
    """Random moves by all logins break nothing."""
    check_random_moves(database, worker_login, EXAMPLES)
