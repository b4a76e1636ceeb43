"""The migration runner against a real server."""

import asyncio
import re
from pathlib import Path

import pytest

from juggernaut.app.database_url import describe
from juggernaut.app.migrate import check_schema, load_migrations, migrate
from juggernaut.domain.errors import ConfigError, DatabaseUnreachable, JuggernautError, SchemaDrift
from tests.fixtures_postgres import MIGRATIONS, Database, Login

FIRST = """
CREATE TABLE public.jobs (
    id int PRIMARY KEY,
    title text NOT NULL DEFAULT 'none',
    state text NOT NULL CONSTRAINT jobs_state_known CHECK (state IN ('open', 'done'))
);
CREATE INDEX jobs_by_state ON public.jobs (state);
CREATE TABLE public.logs (at date NOT NULL, line text) PARTITION BY RANGE (at);
CREATE INDEX logs_by_line ON public.logs (line);
CREATE FUNCTION juggernaut.guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'done' AND NEW.title = '' THEN
        RAISE EXCEPTION 'no evidence; nothing is done';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER guard BEFORE UPDATE ON public.jobs
    FOR EACH ROW EXECUTE FUNCTION juggernaut.guard();
CREATE VIEW public.board AS SELECT id, state FROM public.jobs;
ALTER TABLE public.jobs ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON public.jobs USING (true);
"""
SECOND = "ALTER TABLE public.jobs ADD COLUMN urgency smallint NOT NULL DEFAULT 3;\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two migrations that use every kind of object."""
    (tmp_path / "0001_jobs.sql").write_text(FIRST)
    (tmp_path / "0002_urgency.sql").write_text(SECOND)
    return tmp_path


async def test_applies_in_order_and_twice_is_a_no_op(
    empty_database: Database, folder: Path
) -> None:
    """The second run finds everything there, and the check is content."""
    first = await migrate(empty_database.url, folder)
    assert first.applied == ("0001_jobs.sql", "0002_urgency.sql")
    assert (first.already, first.version) == (0, 2)
    second = await migrate(empty_database.url, folder)
    assert (second.applied, second.already, second.version) == ((), 2, 2)
    await check_schema(empty_database.url, folder)
    await check_schema(await empty_database.connect(), folder)


async def test_later_files_are_added_to_an_older_database(
    empty_database: Database, folder: Path
) -> None:
    """A database that is behind is told so, and catches up."""
    later = folder / "0002_urgency.sql"
    text = later.read_text()
    later.unlink()
    await migrate(empty_database.url, folder)
    later.write_text(text)
    with pytest.raises(SchemaDrift, match="database is at 1, this program needs 2.*migrate"):
        await check_schema(empty_database.url, folder)
    report = await migrate(empty_database.url, folder)
    assert (report.applied, report.already) == (("0002_urgency.sql",), 1)
    await check_schema(empty_database.url, folder)


async def test_five_at_once_apply_each_file_once(empty_database: Database, folder: Path) -> None:
    """Five services may run it in the same second."""
    reports = await asyncio.gather(*(migrate(empty_database.url, folder) for _ in range(5)))
    assert sorted(len(report.applied) for report in reports) == [0, 0, 0, 0, 2]
    assert {report.version for report in reports} == {2}


async def test_a_folder_without_files_makes_only_the_ledger(
    empty_database: Database, tmp_path: Path
) -> None:
    """Version 0 is a state like any other."""
    assert (await migrate(empty_database.url, tmp_path)).version == 0
    await check_schema(empty_database.url, tmp_path)


async def test_a_failing_file_leaves_nothing_and_names_its_line(
    empty_database: Database, folder: Path
) -> None:
    """The files before it stay, the rest of it is gone, and the next run can go on."""
    bad = folder / "0003_bad.sql"
    bad.write_text("CREATE TABLE public.half (id int);\n\nSELEC 1;\n")
    with pytest.raises(ConfigError, match=r"0003_bad\.sql failed at line 3: .*SELEC.*42601"):
        await migrate(empty_database.url, folder)
    connection = await empty_database.connect()
    assert await connection.fetchval("SELECT to_regclass('public.half') IS NULL")
    assert await connection.fetchval("SELECT max(version) FROM juggernaut.migrations") == 2
    bad.write_text("CREATE TABLE public.half (id int);")
    assert (await migrate(empty_database.url, folder)).version == 3


async def test_a_lost_connection_is_an_outage(empty_database: Database, folder: Path) -> None:
    """A server that goes away is not a bad migration, and leaves nothing half done."""
    (folder / "0003_cut.sql").write_text("SELECT pg_terminate_backend(pg_backend_pid());")
    with pytest.raises(DatabaseUnreachable, match="lost the connection to 127.0.0.1"):
        await migrate(empty_database.url, folder)
    (folder / "0003_cut.sql").unlink()
    assert (await migrate(empty_database.url, folder)).already == 2


async def test_a_file_may_create_as_another_role(empty_database: Database, folder: Path) -> None:
    """The ledger is written as whoever runs the migration, and the next file starts as that."""
    role = "SET ROLE pg_monitor;"
    (folder / "0003_role.sql").write_text(role)
    (folder / "0004_role.sql").write_text(f"CREATE TABLE mine (id int); {role}")
    assert (await migrate(empty_database.url, folder)).version == 4
    await check_schema(empty_database.url, folder)


async def test_a_file_that_commits_is_refused(empty_database: Database, folder: Path) -> None:
    """Otherwise half a migration could stay behind without a trace."""
    (folder / "0003_commit.sql").write_text("CREATE TABLE t (id int); COMMIT; BEGIN;")
    with pytest.raises(ConfigError, match=r"0003_commit\.sql ends its transaction itself"):
        await migrate(empty_database.url, folder)


async def test_settings_of_one_file_do_not_reach_the_next(
    empty_database: Database, folder: Path
) -> None:
    """Unqualified names mean public, whatever the file before has set."""
    (folder / "0003_path.sql").write_text("SET search_path = juggernaut;")
    (folder / "0004_table.sql").write_text("CREATE TABLE here (id int);")
    await migrate(empty_database.url, folder)
    connection = await empty_database.connect()
    assert await connection.fetchval("SELECT to_regclass('public.here') IS NOT NULL")
    await check_schema(empty_database.url, folder)


async def test_line_ends_do_not_change_a_checksum(empty_database: Database, folder: Path) -> None:
    """A checkout on Windows is the same migration."""
    await migrate(empty_database.url, folder)
    file = folder / "0001_jobs.sql"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    await check_schema(empty_database.url, folder)


async def test_an_edited_file_is_named(empty_database: Database, folder: Path) -> None:
    """History is not rewritten."""
    await migrate(empty_database.url, folder)
    (folder / "0001_jobs.sql").write_text(FIRST + "-- harmless\n")
    for refused in (check_schema, migrate):
        with pytest.raises(SchemaDrift, match=r"0001_jobs\.sql differs"):
            await refused(empty_database.url, folder)


async def test_a_newer_database_is_refused(empty_database: Database, folder: Path) -> None:
    """An old program does not touch a schema that it does not know."""
    await migrate(empty_database.url, folder)
    (folder / "0002_urgency.sql").unlink()
    for refused in (check_schema, migrate):
        with pytest.raises(SchemaDrift, match="at 2, newer than this program, which knows 1"):
            await refused(empty_database.url, folder)


async def test_a_database_without_schema_is_told_to_migrate(
    empty_database: Database, folder: Path
) -> None:
    """The remedy is in the message."""
    with pytest.raises(SchemaDrift, match="no Juggernaut schema: run `juggernaut migrate`"):
        await check_schema(empty_database.url, folder)


async def test_the_repository_migrates_and_every_login_may_check(
    database: Database, worker_login: Login, approver_login: Login, reader_login: Login
) -> None:
    """The template that all tests use is what the files make, seen from each role."""
    report = await migrate(database.url, MIGRATIONS)
    assert report.applied == ()
    for login in (None, worker_login, approver_login, reader_login):
        await check_schema(await database.connect(login), MIGRATIONS)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("DROP TABLE jobs CASCADE", "table public.jobs is missing"),
        ("ALTER TABLE jobs DROP COLUMN title", "column public.jobs.title is missing"),
        ("ALTER TABLE jobs ADD COLUMN x int", "column public.jobs.x was added"),
        ("ALTER TABLE logs ALTER line TYPE varchar", "column public.logs.line was changed"),
        ("ALTER TABLE jobs ALTER title DROP DEFAULT", "column public.jobs.title was changed"),
        ("ALTER TABLE jobs ALTER title DROP NOT NULL", "column public.jobs.title was changed"),
        (
            "ALTER TABLE jobs DROP CONSTRAINT jobs_state_known",
            "constraint jobs_state_known on public.jobs is missing",
        ),
        ("ALTER TABLE jobs ADD CHECK (id < 9)", "constraint jobs_id_check on public.jobs was add"),
        ("DROP INDEX jobs_by_state", "index jobs_by_state on public.jobs is missing"),
        ("DROP INDEX logs_by_line", "index logs_by_line on public.logs is missing"),
        ("DROP TRIGGER guard ON jobs", "trigger guard on public.jobs is missing"),
        ("ALTER TABLE jobs DISABLE TRIGGER guard", "trigger guard on public.jobs was changed"),
        (
            "CREATE TRIGGER other BEFORE INSERT ON jobs EXECUTE FUNCTION juggernaut.guard()",
            "trigger other on public.jobs was added",
        ),
        (
            "CREATE OR REPLACE FUNCTION juggernaut.guard() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RETURN NEW; END $$",
            "function juggernaut.guard() was changed",
        ),
        ("ALTER FUNCTION juggernaut.guard SECURITY DEFINER", "function juggernaut.guard() was ch"),
        (
            "ALTER FUNCTION juggernaut.guard RENAME TO sentry",
            "function juggernaut.guard() is missing",
        ),
        ("DROP VIEW board", "view public.board is missing"),
        ("CREATE OR REPLACE VIEW board AS SELECT 1 AS id, state FROM jobs", "view public.board"),
        ("ALTER TABLE jobs DISABLE ROW LEVEL SECURITY", "table public.jobs was changed"),
        ("DROP POLICY everybody ON jobs", "policy everybody on public.jobs is missing"),
    ],
)
async def test_each_kind_of_drift_is_named(
    empty_database: Database, folder: Path, change: str, named: str
) -> None:
    """Both the check and the next migration refuse it, by name."""
    await migrate(empty_database.url, folder)
    connection = await empty_database.connect()
    await connection.execute(change)
    for refused in (check_schema, migrate):
        with pytest.raises(SchemaDrift, match=re.escape(named)):
            await refused(empty_database.url, folder)


async def test_a_missing_table_hides_its_parts_and_the_list_is_short(
    empty_database: Database, folder: Path
) -> None:
    """Five differences are named, the rest are counted."""
    await migrate(empty_database.url, folder)
    connection = await empty_database.connect()
    await connection.execute("DROP TABLE jobs CASCADE")
    with pytest.raises(SchemaDrift) as one:
        await check_schema(empty_database.url, folder)
    assert "column" not in str(one.value)
    await connection.execute("DROP TABLE logs CASCADE; DROP FUNCTION juggernaut.guard")
    await connection.execute("CREATE TABLE jobs (id bigint, a int, b int, c int, d int)")
    with pytest.raises(SchemaDrift, match=r"and \d+ more"):
        await check_schema(empty_database.url, folder)


async def test_what_appears_at_run_time_is_no_drift(empty_database: Database, folder: Path) -> None:
    """Partitions, an operator's own table, index and view, and an extension are all welcome."""
    await migrate(empty_database.url, folder)
    connection = await empty_database.connect()
    await connection.execute(
        """
        CREATE TABLE logs_2026 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
        CREATE INDEX ON jobs (title);
        CREATE TABLE mine (id int);
        CREATE VIEW my_view AS SELECT 1 AS one;
        """
    )
    if await connection.fetchval("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"):
        await connection.execute("CREATE EXTENSION pg_trgm")
    await check_schema(empty_database.url, folder)
    await check_schema(connection, folder)


async def test_the_check_leaves_the_callers_session_alone(
    empty_database: Database, folder: Path
) -> None:
    """Neither search_path nor an open transaction is disturbed."""
    await migrate(empty_database.url, folder)
    connection = await empty_database.connect()
    async with connection.transaction():
        await connection.execute("SET LOCAL search_path = juggernaut, public")
        await check_schema(connection, folder)
        assert await connection.fetchval("SHOW search_path") == "juggernaut, public"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["0001_a.sql", "0003_c.sql"], "0003_c.sql leaves a gap: 0002 is missing"),
        (["0002_b.sql"], "0002_b.sql leaves a gap: 0001 is missing"),
        (["0001_a.sql", "0001_b.sql"], "0001_b.sql has a number that is taken (0001_a.sql)"),
        (["0000_zero.sql"], "0000_zero.sql: numbers start at 0001"),
        (["1_a.sql"], "1_a.sql is not named"),
        (["0001-a.sql"], "0001-a.sql is not named"),
        (["0001_A.sql"], "0001_A.sql is not named"),
        (["0001_a.SQL"], "0001_a.SQL is not named"),
    ],
)
def test_bad_file_names_are_named(tmp_path: Path, files: list[str], message: str) -> None:
    """A file that would silently be left out, or run in the wrong order, stops everything."""
    for name in files:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_migrations(tmp_path)


def test_bad_contents_are_named(tmp_path: Path) -> None:
    """Empty files and files in another encoding are refused; other files are nobody's business."""
    file = tmp_path / "0001_a.sql"
    file.write_text(" \n")
    with pytest.raises(ConfigError, match="0001_a.sql is empty"):
        load_migrations(tmp_path)
    file.write_bytes(b"SELECT '\xff';")
    with pytest.raises(ConfigError, match="0001_a.sql is not UTF-8"):
        load_migrations(tmp_path)
    file.write_text("SELECT 1;")
    (tmp_path / "README.md").write_text("about")
    assert [migration.version for migration in load_migrations(tmp_path)] == [1]
    with pytest.raises(ConfigError, match="nowhere does not exist"):
        load_migrations(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("dsn", "kind", "message"),
    [
        ("postgresql://u:hunter2@127.0.0.1:1/x", DatabaseUnreachable, "127.0.0.1:1/x"),
        ("postgresql://u:hunter2@no.such.invalid/x", DatabaseUnreachable, "no.such.invalid:5432"),
        ("mysql://u:hunter2@h/x", ConfigError, "not valid"),
        ("u:hunter2@h/x", ConfigError, "not valid"),
        ("postgresql://u:hunter2@h:port/x", ConfigError, "not valid"),
        ("postgresql://u:hun/ter2@127.0.0.1:1/x", JuggernautError, "the given address"),
        ("", ConfigError, "empty"),
    ],
)
async def test_a_bad_address_is_one_clear_line(
    tmp_path: Path, dsn: str, kind: type[JuggernautError], message: str
) -> None:
    """The host and port are named, the password never is."""
    for attempt in (migrate(dsn, tmp_path), check_schema(dsn, tmp_path)):
        with pytest.raises(kind, match=re.escape(message)) as caught:
            await attempt
        assert "\n" not in str(caught.value)
        assert "ter2" not in str(caught.value)


async def test_refused_logins_and_missing_databases(empty_database: Database) -> None:
    """Wrong passwords and names are configuration, not an outage."""
    wrong = empty_database.url_for("juggernaut", "hunter2")
    with pytest.raises(ConfigError, match="refused the login") as caught:
        await migrate(wrong, Path(__file__).parent)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="does not exist: create it"):
        await migrate(empty_database.url + "_not_here", Path(__file__).parent)


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("postgresql://u:p@db.example:6432/swarm", "db.example:6432/swarm"),
        ("postgresql://u:p@/swarm?host=db.example&port=6", "db.example:6/swarm"),
        ("postgresql://u:p@[::1]/swarm", "::1:5432/swarm"),
        ("postgresql://u:p?q@h/swarm", "the given address"),
    ],
)
def test_an_address_is_told_without_its_password(dsn: str, said: str) -> None:
    """What cannot be told apart safely is not told at all."""
    assert describe(dsn) == said
