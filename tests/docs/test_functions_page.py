"""docs/functions.md names every function of the database, and where its present body is."""

from __future__ import annotations

import os

from tests.docs.functions_page import PAGE, places, written
from tests.fixtures_postgres import Database


def test_the_page_is_what_the_migrations_say() -> None:
    """Or it is written anew, when asked for."""
    if os.environ.get("JUGGERNAUT_WRITE_FUNCTIONS"):
        PAGE.write_text(written(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == written()


async def test_the_page_names_what_the_database_has(database: Database) -> None:
    """No function is missing, and none is named that is gone."""
    connection = await database.connect()
    rows = await connection.fetch(
        "SELECT DISTINCT n.nspname || '.' || p.proname AS name FROM pg_proc p"
        " JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('juggernaut', 'public')"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
    )
    assert {row["name"] for row in rows} == set(places())
