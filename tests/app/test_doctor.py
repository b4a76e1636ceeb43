"""What doctor finds, on this machine and on a real server."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from juggernaut.adapters.forges.git import REMEDY
from juggernaut.app.doctor import check_git, judge_grants, judge_login, judge_server
from juggernaut.app.doctor_network import check_agent_level, check_network
from juggernaut.app.logins import ServerFacts
from juggernaut.app.setting_sources import load_settings
from juggernaut.app.settings import Settings
from tests.app.cli_process import call
from tests.fixtures_postgres import Database, Login, fresh_login

UNPOOLED = "DATABASE_UNPOOLED_URL"


def facts(**changed: object) -> ServerFacts:
    """Give the facts of a good worker login."""
    values: dict[str, object] = {
        "version_num": 180000,
        "login": "w",
        "superuser": False,
        "owner": False,
        "worker": True,
        "approver": False,
        "may_drop": True,
        "clock_gap": 0.1,
        "room": 97,
        "grants": {"executor": ("code",)},
    }
    return ServerFacts(**{**values, **changed})  # type: ignore[arg-type]


def levels(findings: object) -> list[str]:
    """Give the levels of findings."""
    return [finding.level for finding in findings]  # type: ignore[attr-defined]


def test_versions_and_clocks() -> None:
    """15 to 18, and clocks that agree."""
    assert levels(judge_server(facts())) == ["ok", "ok"]
    assert levels(judge_server(facts(version_num=140005))) == ["fail", "ok"]
    assert levels(judge_server(facts(version_num=190000))) == ["fail", "ok"]
    assert levels(judge_server(facts(clock_gap=-60.0))) == ["ok", "warn"]


def test_a_login_with_more_power_than_work_needs() -> None:
    """Shared is a warning; owner, superuser or approver as the workers' own login fails."""
    assert levels(judge_login(facts(), shared=False)) == ["ok"]
    (shared,) = judge_login(facts(superuser=True), shared=True)
    assert shared.level == "warn"
    for words in ("SHARED LOGIN", "rights back", "w approves no critical task", "shared_login_"):
        assert words in shared.detail
    for power in ("superuser", "owner", "approver"):
        assert levels(judge_login(facts(**{power: True}), shared=False)) == ["fail"]
    assert levels(judge_login(facts(worker=False), shared=False)) == ["fail"]


def test_the_mode_has_a_name() -> None:
    """Protected is said, and that another login's address beside it takes the protection away."""
    for shared in (False, True):
        (kept,) = judge_login(facts(), shared=shared)
        assert (kept.level, kept.detail.split()[0]) == ("ok", "protected:")
        assert "the database holds the line" in kept.detail
    (beside,) = judge_login(facts(), shared=False, beside=("DATABASE_URL",))
    assert (beside.level, beside.detail.split()[0]) == ("warn", "protected:")
    assert "DATABASE_URL of another login" in beside.detail
    assert "WORKER_DATABASE_URL alone" in beside.remedy


def test_a_shared_login_that_cannot_drop_fails() -> None:
    """With the two ways out."""
    (refused,) = judge_login(facts(worker=False, may_drop=False), shared=True)
    assert refused.level == "fail"
    assert "may not take the role juggernaut_worker" in refused.detail
    assert "a superuser's address" in refused.remedy
    assert "WORKER_DATABASE_URL" in refused.remedy


@pytest.mark.parametrize(
    ("operator", "unpooled", "beside"),
    [
        (None, None, ()),
        ("postgresql://op:x@h/d", None, ("DATABASE_URL",)),
        ("postgresql://h/d?user=op", "postgresql://op@h/d", ("DATABASE_URL", UNPOOLED)),
        ("postgresql://wk:x@elsewhere/d", "postgresql://h/d?user=wk", ()),
    ],
)
def test_whose_addresses_stand_beside_the_workers(
    operator: str | None, unpooled: str | None, beside: tuple[str, ...]
) -> None:
    """Counted by the login, wherever it stands in the address."""
    given = {"DATABASE_URL": operator, UNPOOLED: unpooled}
    settings = Settings.model_validate(given)
    assert settings.beside_worker() == ()
    own = {"WORKER_DATABASE_URL": "postgresql://wk:y@h/d"}
    assert Settings.model_validate({**given, **own}).beside_worker() == beside


def test_grants_of_the_roles_here() -> None:
    """A role without any is a warning with a remedy."""
    assert judge_grants(facts(), ["executor"]).level == "ok"
    finding = judge_grants(facts(), ["auditor"])
    assert finding.level == "warn"
    assert "juggernaut grant" in finding.remedy


@pytest.mark.parametrize(
    ("said", "level"), [("git version 2.37.9", "fail"), ("git version 2.38.0", "ok")]
)
def test_the_git_that_the_work_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, level: str
) -> None:
    """Doctor asks for the version that the forges ask for."""
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = check_git()
    assert (finding.level, finding.remedy) == (level, "" if level == "ok" else REMEDY)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"JUGGERNAUT_MODEL": "openai/gpt-5"}, "OPENAI_API_KEY is not set"),
        ({"JUGGERNAUT_MODEL": "nonsense/x"}, "nonsense"),
        ({"JUGGERNAUT_MODEL_KEY": "FAKE-key"}, "models.yaml"),
        ({"JUGGERNAUT_SCRIPT": "/nope"}, "/nope"),
    ],
)
async def test_a_model_that_cannot_be_built_is_a_finding(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    """Doctor says what `run` would end with."""
    ended = await call(tmp_path, "doctor", "--offline", "--json", **settings)
    failed = [row for row in ended.rows() if row["level"] == "fail"]
    assert [row["check"] for row in failed] == ["model"]
    assert words in str(failed[0]["detail"])
    assert ended.code == 1


@pytest.mark.parametrize(
    ("entries", "level", "judged", "words"),
    [
        ([], "bubblewrap", "ok", "reach nothing"),
        ([], "landlock", "ok", "reach nothing"),
        ([], "bare", "warn", "the whole network"),
        (["pypi.org:443"], "bubblewrap", "ok", "reach pypi.org:443"),
        (["pypi.org:443"], "landlock", "warn", "allows pypi.org:443"),
        (["pypi.org:443"], "bare", "warn", "the whole network"),
    ],
)
def test_what_the_sandbox_reaches(
    tmp_path: Path, entries: list[str], level: str, judged: str, words: str
) -> None:
    """By the policy, and by what the level can hold or give."""
    loaded = load_settings({}, None)
    shutil.copytree(loaded.resources.config, tmp_path / "config")
    policy = tmp_path / "config" / "policy.yaml"
    raw = yaml.safe_load(policy.read_text())
    policy.write_text(yaml.safe_dump({**raw, "network": {"allow": entries}}))
    resources = replace(loaded.resources, config=tmp_path / "config")
    finding = check_network(replace(loaded, resources=resources), level)
    assert (finding.level, finding.remedy != "") == (judged, judged == "warn")
    assert words in finding.detail


@pytest.mark.parametrize("agent", [None, "claude-code"])
def test_an_agent_that_needs_sockets(agent: str | None) -> None:
    """A program cannot reach its model where there are none; the built-in one needs none."""
    loaded = load_settings({"agent": agent} if agent else {}, None)
    levels = [check_agent_level(loaded, level).level for level in ("bubblewrap", "landlock")]
    assert levels == ["ok", "warn" if agent else "ok"]


async def test_offline_needs_nothing_but_this_machine(tmp_path: Path) -> None:
    """Exit code 0 on a complete checkout, with one row a check."""
    ended = await call(tmp_path, "doctor", "--offline", "--json")
    rows = {str(row["check"]): row for row in ended.rows()}
    assert {"python", "git", "settings", "migrations", "roles", "model", "sandbox"} <= set(rows)
    assert {"network", "agent sandbox"} <= set(rows)
    assert [row for row in rows.values() if row["level"] == "fail"] == []
    assert ended.code == 0


async def test_a_broken_setting_is_a_finding(tmp_path: Path) -> None:
    """Doctor goes on as far as it can and exits 1."""
    ended = await call(tmp_path, "doctor", "--json", WORKER_TYPE="exekutor")
    failed = [row for row in ended.rows() if row["level"] == "fail"]
    assert [row["check"] for row in failed] == ["settings"]
    assert ended.code == 1


async def test_a_server_with_one_shared_login(database: Database, tmp_path: Path) -> None:
    """A superuser's DATABASE_URL is told as SHARED LOGIN, and is no failure."""
    ended = await call(tmp_path, "doctor", "--json", DATABASE_URL=database.url)
    rows = {str(row["check"]): row for row in ended.rows()}
    assert rows["worker login"]["level"] == "warn"
    assert "SHARED LOGIN" in str(rows["worker login"]["detail"])
    assert rows["schema"]["level"] == "ok"
    assert rows["grants"]["level"] == "ok"
    assert ended.code == 0


async def test_a_server_with_a_worker_login(
    database: Database, worker_login: Login, tmp_path: Path
) -> None:
    """Everything is well; with the operator's address beside it, that is a warning."""
    url = database.url_for(worker_login.name, worker_login.password)
    mine = {"WORKER_DATABASE_URL": url}
    for more, level in (({}, "ok"), ({"DATABASE_URL": database.url}, "warn")):
        ended = await call(tmp_path, "doctor", "--json", **mine, **more)
        rows = {str(row["check"]): row for row in ended.rows()}
        assert rows["worker login"]["level"] == level
        assert f"protected: the worker login {worker_login.name}" in str(rows["worker login"])
        assert rows["schema"]["level"] == "ok"
        assert ended.code == 0


@pytest.mark.parametrize("kind", ["reader", "approver", "plain"])
async def test_a_shared_login_without_the_role(
    database: Database, tmp_path: Path, kind: str
) -> None:
    """Doctor fails and `run` ends with 2, and both say what helps."""
    async with fresh_login(database, f"juggernaut_{kind}") as login:
        url = database.url_for(login.name, login.password)
        checked = await call(tmp_path, "doctor", "--json", "--dsn", url)
        ended = await call(tmp_path, "run", "--once", "--dsn", url)
    rows = {str(row["check"]): row for row in checked.rows()}
    assert (checked.code, rows["worker login"]["level"]) == (1, "fail")
    told = f"the login {login.name} may not take the role juggernaut_worker"
    assert told in str(rows["worker login"]["detail"])
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended.err
    assert told in ended.err
    assert "juggernaut login create worker NAME" in ended.err


async def test_a_worker_login_as_the_only_address(
    database: Database, worker_login: Login, tmp_path: Path
) -> None:
    """It has no other rights to take back, so it is no shared login; and it works."""
    url = database.url_for(worker_login.name, worker_login.password)
    ended = await call(tmp_path, "doctor", "--json", DATABASE_URL=url)
    rows = {str(row["check"]): row for row in ended.rows()}
    assert rows["worker login"]["level"] == "ok"
    assert "protected: DATABASE_URL is the worker login" in str(rows["worker login"]["detail"])
    ended = await call(tmp_path, "run", "--once", DATABASE_URL=url, WORKER_TYPE="watchdog")
    assert ended.code == 0, ended.err


async def test_a_server_without_the_schema(empty_database: Database, tmp_path: Path) -> None:
    """The remedy is told."""
    ended = await call(tmp_path, "doctor", "--json", DATABASE_URL=empty_database.url)
    rows = {str(row["check"]): row for row in ended.rows()}
    assert rows["schema"]["level"] == "fail"
    assert "SHARED LOGIN" in str(rows["worker login"]["detail"])
    assert "juggernaut migrate" in str(rows["schema"]["detail"])
    assert ended.code == 1
