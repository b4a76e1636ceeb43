"""Every kind of login by every schema, relation, column, sequence and function, as a snapshot.

A change of any power changes matrix.txt, so it is seen in review. After a change that is meant:
JUGGERNAUT_WRITE_MATRIX=1 python -m pytest tests/privileges/test_matrix.py
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Final

from tests.fixtures_postgres import Database
from tests.invariants.scene import Connection

SNAPSHOT: Final = Path(__file__).with_name("matrix.txt")
KINDS: Final = "('worker'), ('plain'), ('approver'), ('reader'), ('public')"
WHO: Final = "CASE k.kind WHEN 'public' THEN 'public' ELSE 'juggernaut_' || k.kind END"
# MAINTAIN came with PostgreSQL 17; nobody here holds it, and the table is the same on all.
TABLE_POWERS: Final = "'SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'"
MATRIX: Final = f"""
WITH k AS (SELECT kind, {WHO} AS who FROM (VALUES {KINDS}) AS k (kind)),
c AS (
  SELECT c.oid, format('%s.%s', n.nspname, c.relname) AS name, c.relkind
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname IN ('public', 'juggernaut') AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')),
held AS (
  SELECT k.kind, 'database' AS what, 'this' AS name, p.power FROM k,
         unnest(ARRAY['CREATE', 'TEMPORARY']) AS p (power)
   WHERE has_database_privilege(k.who, current_database(), p.power)
  UNION ALL
  SELECT k.kind, 'schema', n.nspname, p.power FROM k, pg_namespace n,
         unnest(ARRAY['USAGE', 'CREATE']) AS p (power)
   WHERE n.nspname IN ('public', 'juggernaut') AND has_schema_privilege(k.who, n.oid, p.power)
  UNION ALL
  SELECT k.kind, CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END, c.name, p.power
    FROM k, c, unnest(ARRAY[{TABLE_POWERS}]) AS p (power)
   WHERE c.relkind <> 'S' AND has_table_privilege(k.who, c.oid, p.power)
  UNION ALL
  SELECT k.kind, 'sequence', c.name, p.power FROM k, c,
         unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) AS p (power)
   WHERE CASE c.relkind WHEN 'S' THEN has_sequence_privilege(k.who, c.oid, p.power) END
  UNION ALL
  SELECT k.kind, 'columns', c.name, format('%s (%s)', p.power,
         string_agg(a.attname, ', ' ORDER BY a.attname))
    FROM k, c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p (power)
   WHERE c.relkind <> 'S' AND has_column_privilege(k.who, c.oid, a.attnum, p.power)
     AND NOT has_table_privilege(k.who, c.oid, p.power)
   GROUP BY k.kind, c.name, p.power
  UNION ALL
  SELECT k.kind, 'function', f.oid::regprocedure::text, 'EXECUTE' FROM k, pg_proc f
   WHERE f.pronamespace IN ('public'::regnamespace, 'juggernaut'::regnamespace)
     AND has_function_privilege(k.who, f.oid, 'EXECUTE')
  UNION ALL
  SELECT k.kind, 'built-in', f.proname, 'EXECUTE' FROM k, pg_proc f
   WHERE f.pronamespace = 'pg_catalog'::regnamespace
     AND f.proname <> 'pg_read_file_old' -- gone with 16; refuses by itself
     AND (f.proname ~ '^(lo_|pg_(try_)?advisory_|pg_read_|pg_ls_|pg_stat_file)'
          OR f.proname IN ('loread', 'lowrite', 'pg_terminate_backend', 'pg_cancel_backend',
                           'pg_logical_emit_message', 'pg_reload_conf', 'pg_notify'))
     AND has_function_privilege(k.who, f.oid, 'EXECUTE'))
SELECT DISTINCT format('%s | %s %s | %s', kind, what, name,
                       string_agg(DISTINCT power, ', ' ORDER BY power)) AS line
  FROM held GROUP BY kind, what, name
"""


async def matrix(operator: Connection) -> list[str]:
    """Give the powers of this database, one line for each holder and thing."""
    await operator.execute("SET search_path = pg_catalog")
    rows = await operator.fetch(MATRIX)
    await operator.execute("RESET search_path")
    lines = {re.sub(r"execution_logs_\d{6}", "execution_logs_MONTH", row["line"]) for row in rows}
    return sorted(lines)


def difference(told: list[str], found: list[str]) -> list[str]:
    """Say what is granted more (+) or less (-) than the snapshot tells."""
    lines = difflib.unified_diff(told, found, "snapshot", "database", n=0, lineterm="")
    return [line for line in lines if not line.startswith("@@")]


async def test_the_powers_are_the_snapshot(database: Database) -> None:
    """Not one more, not one less."""
    found = await matrix(await database.connect())
    if os.environ.get("JUGGERNAUT_WRITE_MATRIX") == "1":
        SNAPSHOT.write_text("\n".join(found) + "\n", encoding="utf-8")
    told = SNAPSHOT.read_text(encoding="utf-8").splitlines()
    wrong = difference(told, found)
    assert not wrong, "powers differ (JUGGERNAUT_WRITE_MATRIX=1 writes them):\n" + "\n".join(wrong)


async def test_one_more_power_is_seen(database: Database) -> None:
    """The snapshot catches a grant on a column, a table, a function and to everybody."""
    operator = await database.connect()
    before = await matrix(operator)
    for grant in (
        "UPDATE (risk_level) ON governance_tasks TO juggernaut_worker",
        "INSERT ON approvals TO juggernaut_worker",
        "EXECUTE ON FUNCTION juggernaut.decide(uuid, text, text) TO juggernaut_worker",
        "SELECT ON juggernaut.sessions TO PUBLIC",
    ):
        transaction = operator.transaction()
        await transaction.start()
        await operator.execute(f"GRANT {grant}")
        assert difference(before, await matrix(operator)), grant
        await transaction.rollback()
