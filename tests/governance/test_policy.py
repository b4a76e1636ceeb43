"""The policy as data: applied by an operator, versioned, and tried on the past before that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from juggernaut.app.wiring import load_policy
from juggernaut.domain.errors import ConfigError
from juggernaut.domain.risk import read_policy
from tests.app.commands import Ran, good, run
from tests.fixtures_postgres import Database, Login
from tests.roles.bench import CRITERIA, PYTHON, Bench
from tests.tidy.reading import REPO

SHIPPED = REPO / "config/policy.yaml"
RAW: dict[str, object] = yaml.safe_load(SHIPPED.read_text())
MORE = {"low": 0, "medium": 1, "high": 2, "critical": 3}


def changed(folder: Path, **keys: object) -> str:
    """Write a policy file with some keys changed."""
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump({**RAW, **keys}))
    return str(path)


def floors(**types: str) -> Mapping[str, object]:
    """Give the shipped floors with some changed."""
    given = RAW["floors"]
    assert isinstance(given, dict)
    return {**given, **types}


def test_the_shipped_policy_is_what_the_migrations_set(database: Database) -> None:
    """Before and after it is applied, the same holds."""
    before = good(database, "policy", "show")
    after = good(database, "policy", "apply", str(SHIPPED))
    assert (before["number"], after["number"]) == (None, 1)
    assert (before["approvers"], before["floors"]) == (after["approvers"], after["floors"])
    assert after["approvers"] == RAW["approvers"]


def test_applying_changes_the_rows_and_is_an_event(database: Database, tmp_path: Path) -> None:
    """Each application has a number, and what it changed is in the audit chain."""
    good(database, "policy", "apply", str(SHIPPED))
    path = changed(tmp_path, approvers=MORE, floors=floors(research="medium"))
    after = good(database, "policy", "apply", path)
    assert (after["number"], after["approvers"]) == (2, MORE)
    assert after["floors"]["research"] == "medium"
    kinds = [item["kind"] for item in good(database, "audit", "list")]
    assert kinds[0] == "policy.applied"
    assert {"risks.update", "task_types.update"} <= set(kinds)


def test_migrate_applies_it_once(database: Database, tmp_path: Path) -> None:
    """A later migrate does not undo what an operator decided."""
    assert run(database, "migrate").code == 0
    assert good(database, "policy", "show")["number"] == 1
    good(database, "policy", "apply", changed(tmp_path, approvers=MORE))
    assert run(database, "migrate").code == 0
    shown = good(database, "policy", "show")
    assert (shown["number"], shown["approvers"]) == (2, MORE)


@pytest.mark.parametrize("kind", ["worker_login", "approver_login", "reader_login"])
def test_only_an_operator_applies(
    database: Database, kind: str, request: pytest.FixtureRequest
) -> None:
    """Not a worker, nor who decides, nor who looks."""
    login: Login = request.getfixturevalue(kind)
    ran = run(database, "policy", "apply", str(SHIPPED), login=login)
    assert ran.code == 1
    assert good(database, "policy", "show")["number"] is None


WRONG = (
    ({"approvers": {"low": 0, "medium": 0, "high": 1}}, "critical"),
    ({"approvers": {"low": 0, "medium": 0, "high": 2, "critical": 1}}, "fewer"),
    ({"approvers": {"low": 0, "medium": 0, "high": 1, "critical": -2}}, "at least 0"),
    ({"floors": {"code": "none"}}, "floors.code"),
    ({"network": {}}, "allow"),
    ({"network": {"allow": ["pypi.org:443"], "deny": []}}, "deny"),
    *(
        ({"network": {"allow": [entry]}}, re.escape(f"network.allow: {entry!r} "))
        for entry in (
            *("pypi.org", "pypi.org:0", "pypi.org:65536", "pypi.org:https", "PyPI.org:443", ":443"),
            *("*:443", "*.org:443", "a.*.org:443", "localhost:443", "https://pypi.org:443"),
            *("pypi.org.:443", "0x7f.1:443", "2130706433:443", "::1:443", "[pypi.org]:443"),
        )
    ),
)


@pytest.mark.parametrize(("keys", "words"), WRONG)
def test_a_wrong_policy_is_refused(keys: dict[str, object], words: str) -> None:
    """The key is named."""
    with pytest.raises(ConfigError, match=words):
        read_policy({**RAW, **keys})


@pytest.mark.parametrize("verb", ["apply", "try"])
def test_the_given_file_is_named(database: Database, tmp_path: Path, verb: str) -> None:
    """Not the shipped one, whatever it is called."""
    bad = tmp_path / "bad2.yaml"
    bad.write_text(yaml.safe_dump({**RAW, "floors": floors(code="none")}))
    ran = run(database, "policy", verb, str(bad))
    assert ran.code == 2
    assert f"{bad}: floors.code" in ran.err
    assert "policy.yaml" not in ran.err


def test_workers_name_the_file_too(tmp_path: Path) -> None:
    """What keeps them from starting is told with its path."""
    path = changed(tmp_path, floors=floors(code="none"))
    with pytest.raises(ConfigError, match=rf"^{re.escape(path)}: floors\.code"):
        load_policy(Path(path))


def test_a_floor_of_an_unknown_type_is_refused(database: Database, tmp_path: Path) -> None:
    """The database knows its types; nothing of the file is applied."""
    path = changed(tmp_path, approvers=MORE, floors=floors(cooking="high"))
    ran = run(database, "policy", "apply", path)
    assert ran.code == 1
    assert "cooking" in ran.err
    assert good(database, "policy", "show")["approvers"] == RAW["approvers"]


async def command(database: Database, *argv: str) -> Ran:
    """Run a command beside this event loop."""
    return await asyncio.to_thread(run, database, *argv)


async def test_a_dry_run_says_what_would_have_been(
    bench: Bench, database: Database, tmp_path: Path
) -> None:
    """Risk and approvals before and after, for each task with a plan; nothing changes."""
    code = await bench.add_task("code", acceptance_criteria=CRITERIA)
    assert await bench.work("executor") == "completed"
    argv = '["' + PYTHON + '", "-c", "print(1)"]'
    plain = await bench.add_task(
        "command", title="Print", description="1", payload='{"command": ' + argv + "}"
    )
    assert await bench.work("executor") == "completed"
    same = await command(database, "policy", "try", str(SHIPPED), "--json")
    assert [row["changed"] for row in same.json()] == [False, False]
    words = [{"name": "slugs", "risk": "critical", "match": ["slug"]}]
    path = changed(tmp_path, words=words, approvers=MORE, floors=floors(command="low"))
    rows = {row["task_id"]: row for row in (await command(database, *try_words(path))).json()}
    one, two = rows[str(code)], rows[str(plain)]
    assert (one["risk_before"], one["risk_after"]) == ("medium", "critical")
    assert (one["approvals_before"], one["approvals_after"]) == (0, 3)
    assert any("slug" in line for line in one["factors"])
    assert (two["risk_before"], two["risk_after"]) == ("medium", "low")
    assert (two["approvals_before"], two["approvals_after"]) == (0, 0)
    assert (await command(database, "policy", "show", "--json")).json()["number"] is None


def try_words(path: str) -> tuple[str, ...]:
    """Give the words of a dry run."""
    return ("policy", "try", path, "--last", "10", "--json")
