"""Every promise has a mutant, and every mutant turns its checker red: no oracle is blind.

A mutant is the law (or the program) with one guard taken out, on a database of its own; the
checker is the very function that the test of the promise calls. Default and full are the same.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from juggernaut.adapters.forges.local import LocalForge
from juggernaut.adapters.forges.merging import Bare
from juggernaut.domain import counts, reports, risk
from juggernaut.domain.model import Risk, Sha
from juggernaut.domain.pulls import Pull
from juggernaut.lifecycle import harness, keep, verify
from tests.fixtures_postgres import Database, Login
from tests.invariants import test_e1 as e1
from tests.invariants import test_e2 as e2
from tests.invariants import test_e3 as e3
from tests.invariants import test_e4 as e4
from tests.invariants import test_e5 as e5
from tests.invariants import test_e6 as e6
from tests.invariants import test_e7 as e7
from tests.invariants import test_l1 as l1
from tests.invariants import test_l2 as l2
from tests.invariants import test_l3 as l3
from tests.invariants import test_l4 as l4
from tests.invariants import test_l5 as l5
from tests.invariants import test_l6 as l6
from tests.invariants import test_l7 as l7
from tests.invariants import test_l8 as l8
from tests.invariants.mutants import Mutant
from tests.invariants.scene import Scene
from tests.roles.bench import Bench

Checker = Callable[[Scene], Awaitable[None]]

NO_FENCE = Mutant("no fence compare", "held", r"t\.fence <> p_fence", "false")
NO_SECRET = Mutant(
    "no secret compare",
    "held",
    r"t\.lease_hash IS DISTINCT FROM juggernaut\.hash\(p_secret\)",
    "false",
)
NO_LOGIN = Mutant("no login compare", "held", r"t\.lease_login <> juggernaut\.acting\(\)", "false")
NO_SESSION = Mutant(
    "no session check",
    "held",
    r"OR NOT EXISTS \(SELECT FROM juggernaut\.sessions.*?\) THEN",
    "THEN",
)
NO_EXPIRY = Mutant("sessions never end", "held", r"AND s\.expires_at > clock_timestamp\(\)", "")
NO_CLOSE = Mutant(
    "closed sessions hold", "held", r"AND s\.closed_at IS NULL|s\.closed_at IS NULL AND", ""
)
NO_UNTIL = Mutant("leases never end", "held", r"t\.lease_until <= clock_timestamp\(\)", "false")
STANDING = Mutant("now() for clock_timestamp()", "held", r"clock_timestamp\(\)", "now()")
TWO_AT_ONCE = Mutant("claims lock nothing", "claim_v1", r"FOR UPDATE( OF t)? SKIP LOCKED", "")
NO_END = Mutant(
    "an expiry ends nothing", "sweep_v1", r"PERFORM juggernaut\.end_attempt\([^;]*;", ""
)
ONE_MORE = Mutant("claims take one more", "claim_v1", r"LIMIT p_slots", "LIMIT p_slots + 1")
FENCE_BACK = Mutant("fences shrink", "guard_update", r"OR NEW\.fence < OLD\.fence", "")
NOT_FINAL = Mutant(
    "nothing is final",
    "guard_update",
    r"OLD\.status IN \('completed', 'rejected', 'cancelled'\)",
    "false",
    "INSERT INTO juggernaut.transitions VALUES ('cancelled', 'pending')",
)
NO_GUARD = Mutant("the guard sleeps", statement="ALTER TABLE governance_tasks DISABLE TRIGGER USER")
RETRY = Mutant("retries without end", "fail_v1", r"t\.attempts < t\.max_attempts", "true")
SWEEP = Mutant("expiries without end", "sweep_v1", r"g\.attempts < g\.max_attempts", "true")
NO_PAUSE = Mutant(
    "an expired task does not wait",
    "sweep_v1",
    r"clock_timestamp\(\) \+ juggernaut\.pause_after\(g\.attempts\)",
    "clock_timestamp()",
)
AT_ONCE = Mutant(
    "a retry does not wait",
    "fail_v1",
    r"clock_timestamp\(\) \+ make_interval\([^)]*\)",
    "clock_timestamp()",
)
FIRST_AGAIN = Mutant("a crasher keeps its place", "place", r"NOT was_ready OR", "")
PLAIN = Mutant(
    "secrets are kept as they are",
    "hash",
    r"(?:pg_catalog\.)?sha256\(([\w.]+\(.*?'UTF8'(?:::\w+)?\))\)",
    r"\1",
)
NO_CHECK = Mutant(
    "no evidence CHECK",
    statement="ALTER TABLE governance_tasks DROP CONSTRAINT completed_has_evidence",
)
NO_KEY = Mutant(
    "any evidence will do",
    statement="ALTER TABLE governance_tasks DROP CONSTRAINT evidence_is_of_this_attempt",
)
NO_FACTS = Mutant(
    "no contract",
    "missing_facts",
    r"coalesce\(array_agg\(f ORDER BY f\), '\{\}'\)",
    "'{}'::text[]",
)
MUTABLE = Mutant(
    "evidence can change", statement="ALTER TABLE juggernaut.evidence DISABLE TRIGGER append_only"
)
ORIGIN_ONLY = Mutant(
    "a replica may change it",
    statement="ALTER TABLE juggernaut.evidence ENABLE TRIGGER append_only",
)


def losing(how: str) -> Checker:
    """Check one way of losing a lease."""

    async def check(scene: Scene) -> None:
        """Check it."""
        await l2.check_lost(scene, how, log=False)

    return check


def seeded(checker: Callable[[Scene, Any], Awaitable[None]], value: Any) -> Checker:
    """Give a checker its parameter."""

    async def check(scene: Scene) -> None:
        """Check it."""
        await checker(scene, value)

    return check


async def starve(scene: Scene) -> None:
    """Check that a released task goes to the end of the queue."""
    await l6.check_nobody_starves(scene, "released")


async def many_seeds(scene: Scene) -> None:
    """Check attempts of several seeds, so that both ways of failing occur."""
    for seed in range(6):
        await l6.check_attempts(scene, seed)


RED: tuple[tuple[str, Mutant, Checker], ...] = (
    ("L1", TWO_AT_ONCE, l1.check_two_at_once),
    ("L1", NO_END, seeded(l1.check_history, 1)),
    ("L1", ONE_MORE, l1.check_forced_plans),
    ("L2", NO_FENCE, l2.check_mismatch),
    ("L2", NO_SECRET, l2.check_mismatch),
    ("L2", NO_LOGIN, l2.check_mismatch),
    ("L2", NO_SESSION, losing("expired")),
    ("L2", NO_EXPIRY, losing("expired")),
    ("L2", NO_CLOSE, losing("closed")),
    ("L2", NO_UNTIL, losing("lease_over")),
    ("L3", FENCE_BACK, l3.check_typed_moves),
    ("L3", NOT_FINAL, l3.check_typed_moves),
    ("L3", NO_GUARD, l3.check_typed_moves),
    ("L4", STANDING, l4.check_functions),
    ("L4", STANDING, l4.check_long_transaction),
    ("L6", RETRY, many_seeds),
    ("L6", SWEEP, many_seeds),
    ("L6", AT_ONCE, many_seeds),
    ("L6", NO_PAUSE, many_seeds),
    ("L6", FIRST_AGAIN, starve),
    ("L7", NO_SECRET, l7.check_impostor),
    ("L7", PLAIN, l7.check_hashed),
    ("E1", NO_CHECK, e1.check_constraints_alone),
    ("E1", NO_KEY, e1.check_constraints_alone),
    ("E2", NO_FACTS, seeded(e2.check_contract, "test")),
    ("E2", NO_FACTS, seeded(e2.check_contract, "code")),
    ("E4", MUTABLE, e4.check_append_only),
    ("E4", ORIGIN_ONLY, e4.check_replica),
)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("mutant", "checker"),
    [pytest.param(m, c, id=f"{name}: {m.name} {n}") for n, (name, m, c) in enumerate(RED)],
)
async def test_a_database_mutant_is_seen(scene: Scene, mutant: Mutant, checker: Checker) -> None:
    """The checker is red without the guard."""
    await mutant.apply(scene.operator)
    with pytest.raises(AssertionError):
        await checker(scene)


async def test_l8_without_the_secret(
    database: Database, worker_login: Login, postgres_server: str
) -> None:
    """After a failover only the secret tells the two holders apart."""
    with pytest.raises(AssertionError, match="a lease of the lost past"):
        await l8.check_failover(database, worker_login, postgres_server, NO_SECRET)


def test_l3_random_moves_find_a_shrinking_fence(database: Database, worker_login: Login) -> None:
    """The random game finds what the typed one does."""
    with pytest.raises(AssertionError, match="the fence went back"):
        l3.check_random_moves(database, worker_login, 200, FENCE_BACK)


async def test_l5_without_the_watch(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks whether the lease still holds."""
    monkeypatch.setattr(keep, "LEASE_CHECK_SECONDS", 60.0)
    monkeypatch.setattr(l5, "GONE_SECONDS", 3.0)
    with pytest.raises(AssertionError, match="outlived the lease"):
        await l5.check_children_die(bench, tmp_path, 0)


BELIEVED = counts.Counts(1, 0, "the exit code alone")
BELIEFS: dict[str, Callable[..., object]] = {
    "count_report": lambda result, report: BELIEVED,
    "compare": lambda found, *_: found,
    "read_report": lambda raw, key: reports.read_report(_signed(raw, key), key),
}


def _signed(raw: bytes, key: str) -> bytes:
    """Sign whatever is there."""
    body = raw.partition(b"\n")[2]
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest().encode() + b"\n" + body


@pytest.mark.parametrize(
    ("beliefs", "forgery"),
    [
        (("count_report", "compare"), ("unittest", e3.LEAVES)),
        (("read_report", "compare"), ("unittest", e3.WRITES)),
        (("compare",), ("pytest", e3.SKIPS)),
    ],
)
async def test_e3_counts_that_believe(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    beliefs: tuple[str, ...],
    forgery: tuple[str, str],
) -> None:
    """No report is needed, or no signature, or no test of the base: each lets a forgery pass."""
    for name in beliefs:
        monkeypatch.setattr(verify if name == "compare" else harness, name, BELIEFS[name])
    with pytest.raises(AssertionError, match="the forgery was merged"):
        await e3.check_forged(bench, *forgery)


async def test_e5_a_forge_that_expects_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merge takes whatever the branch has now."""
    real = LocalForge._try_merge

    async def anything(*_: object) -> None:
        """Refuse nothing."""

    async def current(
        forge: LocalForge, bare: Bare, row: Any, head: Sha, title: str, body: str
    ) -> Pull | Sha | None:
        """Merge the branch as it is."""
        return await real(forge, bare, row, await bare.head(row.head_branch) or head, title, body)

    monkeypatch.setattr(LocalForge, "_check_mergeable", anything)
    monkeypatch.setattr(LocalForge, "_try_merge", current)
    with pytest.raises(AssertionError, match="an unverified commit was merged"):
        await e5.check_race(bench)


HALVES: dict[str, tuple[Mutant, ...]] = {
    "the learning": (
        Mutant("late", "complete_v1", r"p_learning IS NOT NULL", "false"),
        Mutant(
            "late",
            "complete_batch_v1",
            r"WHERE jsonb_typeof\(i\.learning\)",
            "WHERE false AND jsonb_typeof(i.learning)",
        ),
    ),
    "the attempt's end": (
        Mutant("late", "complete_v1", r"PERFORM juggernaut\.end_attempt\([^;]*;", ""),
        Mutant("late", "complete_batch_v1", r"a\.ended_as IS NULL", "false"),
    ),
}


@pytest.mark.parametrize("part", sorted(HALVES))
async def test_e6_a_completion_in_two_halves(scene: Scene, tmp_path: Path, part: str) -> None:
    """A part of the completion is left for later, and the process dies before that."""
    for mutant in HALVES[part]:
        name = f"juggernaut.{mutant.function}"
        if await scene.operator.fetchval("SELECT to_regproc($1)", name):
            await mutant.apply(scene.operator)
    with pytest.raises(AssertionError, match="half a completion"):
        await e6.check_kill(scene, tmp_path / "run", "code", "complete.acked")


def test_e7_rules_that_see_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the path floors a pipeline is as harmless as a text."""
    monkeypatch.setattr(risk, "_path_floors", lambda paths, policy: [])
    with pytest.raises(AssertionError):
        e7.check_floor(".github/workflows/ci.yml", Risk.HIGH)


async def test_e7_a_run_that_sees_no_path(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the path floors the real run merges what it should have shown to a person."""
    monkeypatch.setattr(risk, "_path_floors", lambda paths, policy: [])
    with pytest.raises(AssertionError, match="the attempt ended as completed"):
        await e7.check_parked(bench, "Jenkinsfile")
