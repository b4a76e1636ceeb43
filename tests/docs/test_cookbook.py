"""Every statement of the cookbook runs, in order, as the login that stands beside it."""

from __future__ import annotations

from typing import TypeAlias

import asyncpg

from tests.docs.blocks import REPO, Recipe, masked, recipes
from tests.docs.scenery import scenery
from tests.fixtures_postgres import Database, Login
from tests.store.swarm import open_swarm

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
COOKBOOK = recipes((REPO / "docs" / "sql-cookbook.md").read_text(encoding="utf-8"))
MORE = ("audit_verify", "send_back", "limit_login", "request_approval", "trusted => false")
LOGINS = {"reader", "plain", "worker", "approver", "operator"}
# What people look at; each has to occur in the cookbook.
VIEWS = {
    *("pending_approvals", "task_board", "worker_board", "why_idle", "goal_progress", "spend"),
    *("open_alerts", "proof", "law_violations", "schedules", "controls", "recommendations"),
}


async def judged(connection: Connection, recipe: Recipe, statement: str) -> str:
    """Run a statement and say how it differs from what the cookbook prints; empty if it does not.

    A refusal is compared word for word, ids apart; else the column names, the command tag, and
    whether there was a row at all.
    """
    try:
        prepared = await connection.prepare(statement)
        rows = await prepared.fetch()
    except asyncpg.PostgresError as error:
        expected = recipe.printed.removeprefix("ERROR:").strip() if recipe.refused else ""
        same = masked(str(error)) == masked(expected)
        return "" if same else f"refused: {error}"
    if recipe.refused:
        return "it was not refused"
    if recipe.tag is not None:
        tag = prepared.get_statusmsg()
        return "" if tag == recipe.tag else f"{tag}, not {recipe.tag}"
    names = [attribute.name for attribute in prepared.get_attributes()]
    if names != recipe.columns:
        return f"the columns are {names}, not {recipe.columns}"
    return "" if bool(rows) == recipe.has_rows else f"{len(rows)} rows came"


async def test_every_statement_does_what_the_cookbook_says(
    database: Database,
    plain_login: Login,
    worker_login: Login,
    approver_login: Login,
    reader_login: Login,
) -> None:
    """As the login that it names."""
    logins = {
        **{"worker": worker_login, "plain": plain_login},
        **{"approver": approver_login, "reader": reader_login},
    }
    connections = {name: await database.connect(login) for name, login in logins.items()}
    connections["operator"] = await database.connect()
    wrong = []
    async with open_swarm(database, worker_login) as swarm:
        made = scenery(swarm)
        await made.furnish()
        await swarm.store.detect()
        for recipe in COOKBOOK:
            values = {name: await made.value_of(name) for name in recipe.names}
            difference = await judged(
                connections[recipe.login], recipe, recipe.filled(values.__getitem__)
            )
            wrong += [f"{recipe.statement}\n-> {difference}"] if difference else []
    assert "\n\n".join(wrong) == ""


async def test_a_wrong_recipe_is_found(database: Database, reader_login: Login) -> None:
    """Another column, a row that does not come, a refusal that is not one, and one that is."""
    reader = await database.connect(reader_login)
    ask = "SELECT law FROM law_violations"
    printed = " law\n-----"
    assert not await judged(reader, Recipe("reader", False, ask, printed), ask)
    sinners = [
        Recipe("reader", False, ask, " rule\n------"),
        Recipe("reader", False, ask, f"{printed}\n a row"),
        Recipe("reader", True, ask, "ERROR:  never"),
        Recipe("reader", False, "SELECT add_goal('x')", " add_goal\n----------\n 1"),
        Recipe("reader", True, "SELECT add_goal('x')", "ERROR:  something else"),
    ]
    for recipe in sinners:
        assert await judged(reader, recipe, recipe.statement), recipe


def test_the_cookbook_covers_what_people_do() -> None:
    """Each function and each view for people occurs in a statement."""
    text = "\n".join(recipe.statement for recipe in COOKBOOK)
    people = (REPO / "migrations" / "0007_people.sql").read_text(encoding="utf-8")
    functions = [
        line.removeprefix("CREATE FUNCTION public.").partition("(")[0]
        for line in people.splitlines()
        if line.startswith("CREATE FUNCTION public.")
    ]
    assert len(functions) > 10
    assert [name for name in [*functions, *VIEWS, *MORE] if name not in text] == []
    assert {recipe.login for recipe in COOKBOOK} == LOGINS
