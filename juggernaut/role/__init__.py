"""The public face for role files: all that a file in roles/ imports.

A role is one file that ends in `ROLE = Role(...)`: its handlers and its duties. What its workers
may do is granted by an operator and held by the database, the gates and the sandbox.
"""

from __future__ import annotations

from juggernaut.domain.counts import Counts
from juggernaut.domain.criteria import passed, run_facts
from juggernaut.domain.digest import digest_of
from juggernaut.domain.errors import CommandFailed, CriteriaUnmet, InvalidInput, PullConflict
from juggernaut.domain.model import (
    Completion,
    CriterionVerdict,
    Evidence,
    Goal,
    Json,
    Learning,
    ProposedTask,
    Sha,
    Task,
)
from juggernaut.domain.plans import read_argv, read_checks
from juggernaut.domain.pull_steps import Move, Step
from juggernaut.domain.pulls import Pull
from juggernaut.domain.tables import Row, check_citations, markdown, rows_of
from juggernaut.lifecycle import learn
from juggernaut.lifecycle.decompose import plan_schema, read_plan
from juggernaut.lifecycle.draft import Draft, GoOn, Landed
from juggernaut.lifecycle.gather import Source, Tree
from juggernaut.lifecycle.harness import TestRun
from juggernaut.lifecycle.verify import Verification
from juggernaut.role.context import RoleContext
from juggernaut.role.definition import Role
from juggernaut.role.duty import Duty, DutyContext

__all__ = [
    "CommandFailed",
    "Completion",
    "Counts",
    "CriteriaUnmet",
    "CriterionVerdict",
    "Draft",
    "Duty",
    "DutyContext",
    "Evidence",
    "GoOn",
    "Goal",
    "InvalidInput",
    "Json",
    "Landed",
    "Learning",
    "Move",
    "ProposedTask",
    "Pull",
    "PullConflict",
    "Role",
    "RoleContext",
    "Row",
    "Sha",
    "Source",
    "Step",
    "Task",
    "TestRun",
    "Tree",
    "Verification",
    "check_citations",
    "digest_of",
    "learn",
    "markdown",
    "passed",
    "plan_schema",
    "read_argv",
    "read_checks",
    "read_plan",
    "rows_of",
    "run_facts",
]
