"""E4: evidence, verdicts, decisions, plans, events, logs, reports and learnings are append-only.

5 logins x every table with the trigger (8 or more) x UPDATE and DELETE, the operator also as a
replica, on tables with rows. Default and full are the same: the table is exhaustive.
"""

from __future__ import annotations

from juggernaut.domain.model import Learning, LogEntry
from tests.invariants.scene import Connection, Scene, refusal
from tests.store.swarm import GATE, command_completion, plan

RECORD = {
    *("juggernaut.evidence", "juggernaut.verdicts", "juggernaut.events", "juggernaut.seals"),
    *("juggernaut.plans", "execution_logs", "reports", "learnings"),
}
RECORD_TABLES = """
    SELECT c.oid::regclass::text AS name, min(a.attname::text) AS first
      FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND a.attidentity = ''
       AND NOT a.attisdropped AND (g.tgattr::text = '' OR a.attnum = ANY (g.tgattr))
     WHERE g.tgname = 'append_only' AND c.relkind IN ('r', 'p') GROUP BY c.oid
"""
WITHOUT_WRITES = ("public.approvals", "juggernaut.attempts", "juggernaut.effects")


async def fill(scene: Scene) -> None:
    """Let something be in every table."""
    store, swarm = scene.swarm.store, scene.swarm
    await swarm.add(acceptance_criteria="it works", risk_level="high")
    session = await swarm.worker()
    (claim,) = await store.claim(session, 1)
    await store.pass_gate(claim.lease, GATE, plan())
    approver = await scene.database.connect(scene.approver)
    await approver.execute("SELECT approve_task($1)", claim.task.id)
    (claim,) = await store.claim(session, 1)
    await store.pass_gate(claim.lease, GATE, plan())
    await store.log(claim.lease, LogEntry("a", "b"))
    await store.save_report(claim.lease, "t", "b", {})
    await store.intend(claim.lease, "push", "k", {})
    learning = Learning("insight", "t", "d", 0.5, ())
    assert await store.complete(claim.lease, command_completion(1, learning=learning))
    await scene.operator.execute("SELECT juggernaut.seal_audit()")


async def record(scene: Scene) -> dict[str, str]:
    """Give the tables of the record, each with an assignment that changes nothing."""
    rows = await scene.operator.fetch(RECORD_TABLES)
    found = {row["name"]: f"{row['first']} = {row['first']}" for row in rows}
    assert set(found) >= RECORD, f"no longer append-only: {RECORD - set(found)}"
    return found


async def filled(scene: Scene, name: str) -> bool:
    """Say whether a table has rows; the ones that are always named have to."""
    n: int = await scene.operator.fetchval(f"SELECT count(*) FROM {name}")
    assert n or name not in RECORD, f"{name} is empty"
    return n > 0


async def check_append_only(scene: Scene) -> None:
    """No login changes or deletes a row of the record."""
    await fill(scene)
    logins = (scene.worker, scene.rival, scene.approver, scene.reader)
    hands: list[tuple[str, Connection]] = [("operator", scene.operator)]
    hands += [(login.group, await scene.database.connect(login)) for login in logins]
    for name, change in (await record(scene)).items():
        if not await filled(scene, name):
            continue
        for who, hand in hands:
            for statement in (f"UPDATE {name} SET {change}", f"DELETE FROM {name}"):
                why = await refusal(hand, statement)
                assert why is not None, f"{who} may: {statement}"
                if who == "operator":
                    assert "append-only" in why, f"{statement}: {why}"
    for name in WITHOUT_WRITES:
        for who, hand in hands[1:]:
            for statement in (
                f"DELETE FROM {name}",
                f"TRUNCATE {name}",
                f"TRUNCATE {name} CASCADE",
            ):
                assert await refusal(hand, statement) is not None, f"{who} may: {statement}"


async def check_replica(scene: Scene) -> None:
    """The triggers fire under session_replication_role = replica too, on partitions as well."""
    await fill(scene)
    await scene.operator.execute("SET session_replication_role = replica")
    for name, change in (await record(scene)).items():
        if not await filled(scene, name):
            continue
        for statement in (f"UPDATE {name} SET {change}", f"DELETE FROM {name}"):
            assert await refusal(scene.operator, statement) is not None, f"replica: {statement}"
    await scene.operator.execute("RESET session_replication_role")


async def check_truncate(scene: Scene) -> None:
    """Nobody empties a table of the record at once."""
    await fill(scene)
    for name in RECORD:
        why = await refusal(scene.operator, f"TRUNCATE {name} CASCADE")
        assert "append-only" in (why or ""), f"the operator may empty {name}: {why}"


async def test_the_record_is_append_only(scene: Scene) -> None:
    """Every login, every table."""
    await check_append_only(scene)


async def test_also_as_a_replica(scene: Scene) -> None:
    """ENABLE ALWAYS, for a table and for its partitions."""
    await check_replica(scene)


async def test_truncate_is_refused(scene: Scene) -> None:
    """The owner is trusted; an accident of his is not."""
    await check_truncate(scene)
