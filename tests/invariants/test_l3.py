"""L3: a fence only grows, a terminal state never changes, and no law is ever broken.

A state machine of Hypothesis on the real database: random moves by every login, legal and not,
by plain SQL and by function, judged after each. Default: 40 runs of up to 20 moves after an
opening. Full: 5,000 runs, in 20 databases, because every run leaves its tasks behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from juggernaut.domain.errors import LawRefused
from juggernaut.domain.model import TaskId
from juggernaut.domain.states import TaskStatus
from tests.fixtures_postgres import Database, Login
from tests.invariants.daemon_calls import WRITES, statement
from tests.invariants.mutants import Mutant
from tests.invariants.scene import LONG_AGO, Connection, Scene, open_scene
from tests.invariants.trials import TRIAL_TIMEOUT_SECONDS, trials
from tests.store.swarm import command_completion

GAMES = trials(1, 20)
EXAMPLES = trials(40, 250)
STEPS = 20
LOW, HIGH, CRITICAL, CODE, AFTER = range(5)
TASKS = 5
FINAL = ("completed", "rejected", "cancelled")
WHO = ("worker", "rival", "approver", "reader", "operator")
STATES = st.sampled_from([state.value for state in TaskStatus])
SEEN = {state.value for state in TaskStatus}
MERGED = "Merged https://example.org/o/r/pull/7 after all twelve tests passed"
SAYS = st.sampled_from(["Done", "12 tests passed at the commit, none failed", MERGED, ""])
COMPLETES = "status = $2, completion_evidence = $3, completed_at = now()"
BREAKS = "SELECT * FROM law_violations WHERE task_id IS NULL OR task_id = ANY ($1::uuid[])"
RAW = st.tuples(
    st.sampled_from(
        [
            "status = $2",
            "status = $2, assigned_worker = 'raw'",
            COMPLETES,
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
DUTIES = st.sampled_from(
    [*["claim"] * 3, "expire", "sweep", "due", *["raw claim"] * 2, "merged", "no merge"]
)
Move = tuple[str, str, int, object]
CLAIM: Move = ("duty", "worker", 0, "claim")


def ended(*names: str) -> list[Move]:
    """Claim and call these functions on the newest lease."""
    return [CLAIM, *(("daemon", "worker", 0, name) for name in names)]


# A plain-SQL worker says that it merged something.
REPORTED: list[Move] = [
    ("duty", "worker", CODE, "raw claim"),
    ("raw", "worker", CODE, (COMPLETES, "completed", MERGED)),
]
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
    REPORTED,
    [*REPORTED, ("duty", "worker", CODE, "merged"), CLAIM],
    [("people", "approver", LOW, "cancel_task($1, 'no')")],
)
PLACES = st.integers(0, TASKS - 1)


@dataclass(slots=True)
class Game:
    """One example: its tasks, who plays, and the last secret of every task."""

    scene: Scene
    hands: dict[str, Connection]
    tasks: list[UUID] = field(default_factory=list)
    leases: dict[UUID, tuple[int, UUID]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    before: dict[UUID, asyncpg.Record] = field(default_factory=dict)
    legal: set[tuple[str, str]] = field(default_factory=set)

    async def begin(self) -> None:
        """Clear what other examples left to claim, and add tasks of each risk.

        The first one goes first: five tasks added within a millisecond are claimed in any order.
        """
        await self.scene.operator.execute(
            "UPDATE governance_tasks SET status = 'cancelled'"
            " WHERE status NOT IN ('completed', 'failed', 'rejected', 'cancelled')"
        )
        self.leases.clear()
        add = self.scene.swarm.add
        self.tasks = [await add(priority="critical", max_attempts=2)]
        for risk in ("high", "critical"):
            self.tasks.append(await add(risk_level=risk, max_attempts=2))
        self.tasks.append(await add(task_type="code", max_attempts=2))
        self.tasks.append(await add(depends_on=[self.tasks[LOW]]))
        self.before = await self.look()
        self.seen |= {row["status"] for row in self.before.values()}

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
        elif what in ("merged", "no merge"):
            fence = self.before[task]["fence"]
            state = "merged" if what == "merged" else "none"
            await scene.swarm.store.confirm_merge(TaskId(task), fence, state, "nothing")
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

    async def judge(self, move: object) -> None:
        """Compare every row with itself before a move, and look for what must not be."""
        after = await self.look()
        self.seen |= {row["status"] for row in after.values()}
        for task, row in self.before.items():
            judge(move, row, after[task], self.legal)
        self.before = after
        broken = await self.scene.operator.fetch(BREAKS, self.tasks)
        assert broken == [], f"after {move}: {broken}"


def judge(
    move: object, before: asyncpg.Record, after: asyncpg.Record, legal: set[tuple[str, str]]
) -> None:
    """Compare a row with itself before a move."""
    assert after["fence"] >= before["fence"], f"{move}: the fence went back"
    if before["status"] in FINAL:
        assert after["status"] == before["status"], f"{move}: left {before['status']}"
        assert after["fence"] == before["fence"], f"{move}: a fence of a finished task moved"
    # Who comes back to the queue may find that it still needs another task.
    now = "pending" if after["status"] == "waiting" else after["status"]
    moved = (before["status"], now)
    same = after["status"] == before["status"]
    assert same or moved in legal or (*moved[:1], after["status"]) in legal, f"{move}: {moved}"
    assert after["attempts"] <= after["max_attempts"], f"{move}: too many attempts"


async def play_all(game: Game, moves: list[Move]) -> None:
    """Play one example and judge every move."""
    await game.begin()
    for move in moves:
        await game.play(*move)
        await game.judge(move)


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
    rows = await scene.operator.fetch("SELECT old_status, new_status FROM juggernaut.transitions")
    return Game(scene, hands, legal={(row[0], row[1]) for row in rows})


async def check_typed_moves(scene: Scene) -> None:
    """The moves that a hole would let through first, by everybody and on every end."""
    game = await ready_game(scene)
    cancel: Move = ("people", "approver", 0, "cancel_task($1, 'no')")
    back: list[Move] = [
        ("raw", who, 0, (shrunk, "pending", ""))
        for who in WHO
        for shrunk in ("fence = fence - 1", "fence = 0")
    ]
    # A final row is not written at all, so a fence is also shrunk while the task is open.
    moves: list[Move] = [*ended("release_v1"), *back, CLAIM, cancel, *back]
    for who in WHO:
        for state in TaskStatus:
            moves.append(("raw", who, 0, ("status = $2", state.value, "")))
    await play_all(game, moves)


def machine_of(game: Game, runner: asyncio.Runner) -> type[RuleBasedStateMachine]:
    """Give the machine that plays on this database; what it broke once stays broken."""

    class Moves(RuleBasedStateMachine):
        """One run: an opening, then whatever anybody may try."""

        last: object = "the opening"

        def make(self, *move: Move) -> None:
            """Make moves, and remember the last one."""
            for self.last in move:
                runner.run(game.play(*self.last))
                runner.run(game.judge(self.last))

        @initialize(opening=st.sampled_from(OPENINGS))
        def begin(self, opening: list[Move]) -> None:
            """Add the tasks and play an opening."""
            runner.run(game.begin())
            self.make(*opening)

        @rule(who=st.sampled_from(WHO), place=PLACES, what=RAW)
        def typed(self, who: str, place: int, what: object) -> None:
            """Type an UPDATE, as anybody."""
            self.make(("raw", who, place, what))

        @rule(who=st.sampled_from(WHO), place=PLACES, what=PEOPLE)
        def decided(self, who: str, place: int, what: str) -> None:
            """Call a function of people, as anybody."""
            self.make(("people", who, place, what))

        @rule(who=st.sampled_from(("worker", "worker", *WHO[:2])), place=PLACES, what=DAEMON)
        def written(self, who: str, place: int, what: str) -> None:
            """Call a function of the daemon, with the newest lease."""
            self.make(("daemon", who, place, what))

        @rule(place=PLACES, what=DUTIES)
        def done(self, place: int, what: str) -> None:
            """Claim, let time pass, ask the forge."""
            self.make(("duty", "worker", place, what))

        @invariant()
        def nothing_is_broken(self) -> None:
            """Look once more at rest: a refused move leaves nothing behind either."""
            if game.before:
                runner.run(game.judge(self.last))

    return Moves


def check_random_moves(
    database: Database,
    worker: Login,
    examples: int,
    mutant: Mutant | None = None,
    number: int = 0,
) -> None:
    """Let Hypothesis look for a move that breaks the law; each number is a game of its own."""
    with asyncio.Runner() as runner:
        opened = open_scene(database, worker)
        scene = runner.run(opened.__aenter__())
        try:
            game = runner.run(ready_game(scene))
            if mutant:
                runner.run(mutant.apply(scene.operator))
            for opening in OPENINGS:
                runner.run(play_all(game, opening))
            machine = seed(number)(machine_of(game, runner))
            machine.TestCase.settings = settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            run_state_machine_as_test(machine, settings=machine.TestCase.settings)
            assert runner.run(scene.violations()) == []
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
@pytest.mark.parametrize("number", range(GAMES))
def test_random_moves(database: Database, worker_login: Login, number: int) -> None:
    """Random moves by all logins break nothing."""
    check_random_moves(database, worker_login, EXAMPLES, number=number)
