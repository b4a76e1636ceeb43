"""Mutants of the purse: the guards of B1 to B4 taken out, one at a time."""

from __future__ import annotations

from tests.invariants.mutants import Mutant

NO_NET = (
    "ALTER TABLE budgets DROP CONSTRAINT never_overdrawn, DROP CONSTRAINT never_overdrawn_tokens;"
)
CHECK_THEN_ADD = """
CREATE OR REPLACE FUNCTION juggernaut.lock_purses(p_scopes text[]) RETURNS text[]
LANGUAGE sql SECURITY DEFINER AS $$
  SELECT coalesce(array_agg(scope ORDER BY scope), '{}') FROM public.budgets
   WHERE scope = ANY (p_scopes) $$;
CREATE OR REPLACE FUNCTION juggernaut.set_aside(p_scopes text[], p_usd numeric, p_tokens bigint)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF EXISTS (SELECT FROM public.budgets WHERE scope = ANY (p_scopes)
              AND spent_usd + reserved_usd + p_usd > cap_usd) THEN
    PERFORM juggernaut.refuse('JG002', 'purse goal: full');
  END IF;
  PERFORM pg_sleep(0.02);
  UPDATE public.budgets SET reserved_usd = reserved_usd + p_usd,
         reserved_tokens = reserved_tokens + p_tokens
   WHERE scope = ANY (ARRAY(SELECT unnest(p_scopes) ORDER BY 1));
END $$;
"""

TEN = (
    Mutant("check, then add", statement=NO_NET + CHECK_THEN_ADD),
    Mutant("no condition", "set_aside", r" AND spent_usd \+ reserved_usd.*?cap_tokens\)\n", "\n"),
    Mutant("goals have no purse", "purses_of", r"UNION SELECT 'goal:'.*?NOT NULL", ""),
)
LINEAGE = (
    Mutant("no line of parents", "purses_of", r"l\.height < 20", "false"),
    Mutant("tokens are not counted", "set_aside", r"coalesce\(p_tokens, 0\)", "0"),
)
ORDER = (
    Mutant(
        "locks in any order",
        "lock_purses",
        r"ORDER BY b\.scope FOR UPDATE",
        "ORDER BY random() FOR UPDATE",
    ),
    Mutant("settled twice as dear", "settle", r"spent_usd \+ v_usd", "spent_usd + 2 * v_usd"),
    Mutant(
        "a reservation is not given back",
        "settle",
        r"SET reserved_usd = greatest\(reserved_usd - c\.reserved_usd, 0\),",
        "SET",
    ),
)
CRASH = (
    Mutant(
        "freed by guess", "sweep_v1", r"settle\((\w+)\.id, \w+\.reserved_usd", r"settle(\1.id, 0"
    ),
    Mutant(
        "freed when the attempt ends",
        "free_landing",
        r"RETURN NULL;",
        "PERFORM juggernaut.settle(m.id, 0, '{}', 'settled') FROM juggernaut.model_calls m"
        " WHERE m.task_id = NEW.task_id AND m.state = 'reserved'; RETURN NULL;",
    ),
    Mutant("settled again", "settle", r"AND state = 'reserved' FOR UPDATE", "FOR UPDATE"),
)
ADVERSARY = (
    Mutant(
        "calls are free",
        "settle",
        r"spent_usd = least.*?c\.reserved_usd, 0\)\)",
        "spent_usd = spent_usd",
    ),
    Mutant(
        "no condition and no net",
        statement=NO_NET
        + """
CREATE OR REPLACE FUNCTION juggernaut.set_aside(p_scopes text[], p_usd numeric, p_tokens bigint)
RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
  UPDATE public.budgets SET reserved_usd = reserved_usd + p_usd,
         reserved_tokens = reserved_tokens + p_tokens WHERE scope = ANY (p_scopes) $$;
""",
    ),
)
