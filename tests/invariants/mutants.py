"""Mutants: the law with one guard taken out. Each has to turn the checker of its promise red."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.invariants.scene import Connection


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of the database: a function rewritten by pattern, a statement, or both."""

    name: str
    function: str = ""
    pattern: str = ""
    instead: str = ""
    statement: str = ""

    async def apply(self, operator: Connection) -> None:
        """Take the guard out; fails when there is nothing of that form to take out."""
        if self.statement:
            await operator.execute(self.statement)
        if not self.function:
            return
        rows = await operator.fetch(
            "SELECT pg_get_functiondef(oid) AS text FROM pg_proc"
            " WHERE pronamespace = 'juggernaut'::regnamespace AND proname = $1",
            self.function,
        )
        assert rows, f"mutant {self.name}: there is no function {self.function}"
        for row in rows:
            text, found = re.subn(self.pattern, self.instead, row["text"], flags=re.DOTALL)
            assert found, f"mutant {self.name}: {self.function} has nothing like {self.pattern}"
            await operator.execute(text)
