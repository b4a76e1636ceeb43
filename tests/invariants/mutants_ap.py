"""Mutants of the approvals (A) and powers (P): each takes one guard out of the test's database."""

from __future__ import annotations

from typing import Final

from tests.invariants.mutants import Mutant

# What acting() was before: a role that a login takes on is its own person.
_ROLE_IS_A_PERSON: Final = """
CREATE OR REPLACE FUNCTION juggernaut.acting() RETURNS text LANGUAGE sql STABLE
SET search_path = juggernaut, pg_temp AS $$
  SELECT CASE WHEN coalesce(current_setting('role', true), 'none') IN ('none', '')
              THEN session_user::text ELSE current_setting('role', true) END $$
"""


def _without(trigger: str, table: str) -> Mutant:
    """Drop a trigger."""
    return Mutant(f"no {trigger}", statement=f"DROP TRIGGER {trigger} ON {table}")


MUTANTS: Final[dict[str, tuple[Mutant, ...]]] = {
    "a1": (
        Mutant("the lowest risk wins", "higher_risk", "CASE.*END", "least(a, b)"),
        Mutant("no floor", statement="UPDATE juggernaut.task_types SET risk_floor = 'low'"),
    ),
    "a2": (
        Mutant(
            "any digest",
            "pass_gate_v1",
            r"AND a\.digest = p_digest\s+(AND a\.status.*?)\(t, p_gate, p_digest\)",
            r"\1(t, p_gate)",
        ),
        _without("guard_plan", "juggernaut.plans"),
        _without("guard_effect", "juggernaut.effects"),
        Mutant(
            "raw: any bytes",
            "raw_claim",
            r"AND CASE WHEN jsonb_typeof\(a\.body\) = 'object' THEN a\.body - 'reason' END"
            r" = juggernaut\.raw_body\(old\)",
            "",
        ),
    ),
    "a3": (
        Mutant(
            "anybody decides",
            "decide",
            r"NOT IN \('approver', 'operator'\)",
            "IN ('nobody')",
        ),
        Mutant("a role is a person", statement=_ROLE_IS_A_PERSON),
        _without("guard_words", "public.governance_tasks"),
    ),
    "a4": (
        Mutant("the proposer decides", "decide", r"IF t\.created_by IN .*? THEN", "IF false THEN"),
        Mutant(
            "an editor decides",
            "decide",
            r"IF EXISTS \(SELECT FROM juggernaut\.editors.*? THEN",
            "IF false THEN",
        ),
        Mutant("one is enough", "decide", r"have < a\.need", "have < 1"),
        Mutant("a shared login decides", "decide", r"IF a\.requested_session = who", "IF false"),
    ),
    "a5": (
        Mutant(
            "the gate opens at any age",
            "pass_gate_v1",
            r"AND juggernaut\.approved\(t, p_gate, p_digest\) ",
            "",
            _without("guard_plan", "juggernaut.plans").statement,
        ),
        Mutant("old decisions count", "good_decisions", r"AND d\.asked_at = a\.requested_at ", ""),
        Mutant(
            "raw: any age", "raw_claim", r"(v_since timestamptz) :=[^;]*;", r"\1 := '-infinity';"
        ),
        Mutant("raw: any risk", "raw_claim", r"AND a\.need >= juggernaut\.approvers_of\(old\)", ""),
        _without("guard_words_end", "public.governance_tasks"),
    ),
    "a6": (
        Mutant(
            "no cancelling of running work",
            statement="DELETE FROM juggernaut.transitions"
            " WHERE (old_status, new_status) = ('in_progress', 'cancelled')",
        ),
        Mutant(
            "no rejecting",
            statement="DELETE FROM juggernaut.transitions"
            " WHERE (old_status, new_status) = ('waiting_approval', 'rejected')",
        ),
    ),
    "a7": (
        Mutant("text as it comes", "shown", r"SELECT regexp_replace.*'g'\)", "SELECT p"),
        _without("guard_plan", "juggernaut.plans"),
        _without("guard_approval", "public.approvals"),
    ),
    "p1": (
        Mutant("a purse to write", statement="GRANT UPDATE ON budgets TO juggernaut_worker"),
        Mutant(
            "functions for all",
            statement="ALTER DEFAULT PRIVILEGES FOR ROLE juggernaut_owner"
            " GRANT EXECUTE ON FUNCTIONS TO PUBLIC",
        ),
    ),
    "p2": (
        _without("guard_session", "juggernaut.sessions"),
        Mutant(
            "any type",
            "raw_worker",
            r"IF NOT EXISTS \(SELECT FROM juggernaut\.grants.*? THEN",
            "IF false THEN",
        ),
    ),
    "p3": (_without("guard_lineage", "public.governance_tasks"),),
    "p3 taint": (
        _without("guard_taint", "public.governance_tasks"),
        _without("guard_taint_stays", "public.goals"),
        _without("guard_words_end", "public.governance_tasks"),
        Mutant("the gate sees no taint", "pass_gate_v1", r"t\.tainted AND", "false AND"),
        Mutant("approvers see no taint", "approvers_of", r"t\.tainted AND", "false AND"),
    ),
    "p4": (
        Mutant(
            "no search_path",
            statement="ALTER FUNCTION juggernaut.decide(uuid, text, text) RESET search_path",
        ),
        Mutant(
            "pg_temp comes first",
            statement="ALTER FUNCTION juggernaut.held(uuid, bigint, uuid)"
            " SET search_path = juggernaut",
        ),
        Mutant("all may create", statement="GRANT CREATE ON SCHEMA public TO PUBLIC"),
    ),
    "p6": (
        Mutant(
            "nobody ends them",
            "end_old_transactions",
            r"IF pg_terminate_backend\(old\.pid\)",
            "IF false",
        ),
        Mutant(
            "a duty is an advisory lock",
            statement="CREATE OR REPLACE FUNCTION juggernaut.alone(p_duty text) RETURNS boolean"
            " LANGUAGE sql SET search_path = juggernaut, pg_temp AS $$"
            " SELECT pg_try_advisory_xact_lock(hashtextextended('juggernaut.' || p_duty, 0)) $$;"
            " GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO PUBLIC",
        ),
        _without("bounded_insert", "public.execution_logs"),
    ),
    "p7": (
        Mutant("any words", "lacking", r"\nBEGIN\n", "\nBEGIN\n RETURN NULL;\n"),
        Mutant(
            "any holder", "raw_finish", r"IF old\.lease_hash IS NOT NULL.*? THEN", "IF false THEN"
        ),
        Mutant(
            "no approval needed", "raw_claim", r"IF juggernaut\.approvers_of\(old\) > 0", "IF false"
        ),
        _without("guard_words", "public.governance_tasks"),
    ),
}
