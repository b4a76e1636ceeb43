"""GitHub by the settings: who is spoken to with what, and what doctor and `up` say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from juggernaut.adapters.forges.by_repo import ForgeByRepo
from juggernaut.adapters.forges.github.tokens import AppTokens, GivenToken
from juggernaut.adapters.forges.local import LocalForge
from juggernaut.app import doctor_github
from juggernaut.app.doctor_github import check_github, repositories
from juggernaut.app.github import github_name, opened
from juggernaut.app.secret_files import known_values
from juggernaut.app.settings import Settings
from juggernaut.app.wiring import default_repository
from juggernaut.domain.errors import ConfigError, InvalidInput
from juggernaut.domain.pulls import Check, CheckState
from juggernaut.domain.redact import Secret, scrub
from tests.app.cli_process import call
from tests.fakes.github.double import GitHubDouble
from tests.fixtures_postgres import Database, Login
from tests.ports.forge_bench import BRANCH

SETTLING_LOOKS = 3
NO_CHECK = Check("ci", CheckState.FAILED, False)
APP = {
    "GITHUB_APP_ID": "4711",
    "GITHUB_APP_PRIVATE_KEY": "FAKE\\nkey",
    "GITHUB_APP_INSTALLATION_ID": "7",
}


def settings(**values: object) -> Settings:
    """Give settings without anything of this machine's environment."""
    return Settings.model_validate(values)


def test_who_the_daemon_is_at_github() -> None:
    """A token, an App, or nobody; a key in one line gets its line ends back."""
    with opened(settings()) as nobody:
        assert nobody is None
    with opened(settings(GITHUB_TOKEN="FAKE-token")) as given:
        assert given is not None
        assert isinstance(given.tokens, GivenToken)
        assert given.place.api == "https://api.github.com"
        assert given.source("/srv/app.git") is None
    with opened(settings(**APP)) as app:
        assert app is not None
        assert isinstance(app.tokens, AppTokens)
        assert app.tokens._key.private_key.reveal() == "FAKE\nkey"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({**APP, "GITHUB_TOKEN": "FAKE-token"}, "both set"),
        ({"GITHUB_APP_ID": "4711"}, "only in part"),
        ({"GITHUB_TOKEN": "FAKE-token", "GITHUB_API_URL": "http://example.com"}, "not https"),
    ],
)
def test_half_a_credential_is_refused(values: dict[str, object], said: str) -> None:
    """In one line, without a secret in it."""
    with pytest.raises(ConfigError, match=said) as caught, opened(settings(**values)):
        pass
    assert "FAKE" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_its_secrets_are_scrubbed() -> None:
    """The token and the key are known to every exit."""
    values = known_values(settings(GITHUB_TOKEN="FAKE-canary-token"))
    secrets = [Secret(value) for value in values]
    assert "FAKE-canary" not in scrub("push with FAKE-canary-token failed", secrets)


async def test_the_default_repository(tmp_path: Path) -> None:
    """A name needs a credential; JUGGERNAUT_REPO goes before GITHUB_REPO."""
    local = LocalForge(None, tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"GITHUB_REPO: octo/app is at GitHub: set GITHUB_TOKEN"):
        await default_repository(local, None, settings(GITHUB_REPO="octo/app"))
    both = settings(
        GITHUB_TOKEN="FAKE-token", GITHUB_REPO="octo/app", JUGGERNAUT_REPO="octo/other.git"
    )
    with opened(both) as github:
        assert await default_repository(local, github, both) == "octo/other"
    with pytest.raises(ConfigError, match="is no folder here"):
        github_name("octo/app", settings())


async def test_one_process_knows_both_forges(github_double: GitHubDouble, tmp_path: Path) -> None:
    """A path goes to the local forge, a name to GitHub."""
    github_double.create("octo/app")
    token, url = github_double.token(), github_double.url
    with opened(settings(GITHUB_TOKEN=token, GITHUB_API_URL=url)) as github:
        assert github is not None
        local = LocalForge(None, tmp_path)  # type: ignore[arg-type]
        forge = ForgeByRepo(local, github.forge, lambda repo: not repo.startswith("/"))
        assert forge.name == "github"
        assert await forge.branch_head("octo/app", None) is not None
        github_double.human.push("octo/app", BRANCH, {"app.py": "x\n"})
        pull = await forge.open_pull("octo/app", BRANCH, "T", "B", draft=True)
        assert pull.draft
        assert (await forge.mark_ready("octo/app", 1)).state == "open"
        view = await forge.look("octo/app", 1)
        assert view is not None
        for _ in range(SETTLING_LOOKS):  # whether it merges is computed after the first look
            again = await forge.look("octo/app", 1, view.stamp)
            view = again or view
            if again is None:
                break
        assert await forge.look("octo/app", 1, view.stamp) is None
        assert await forge.find_pull("octo/app", BRANCH) is not None
        await forge.post_check("octo/app", pull.head_sha, "ci", False, "1 failed")
        assert await forge.check_log("octo/app", NO_CHECK) == ""
        assert await forge.say("octo/app", 1, "k", "Hi") == await forge.say("octo/app", 1, "k", "x")
        assert (await forge.close_pull("octo/app", 1, "no")).state == "closed"
        assert await forge.delete_branch("octo/app", BRANCH, pull.head_sha)
        assert (await forge.promises("octo/app")).merge_method == "squash"
        with pytest.raises(InvalidInput, match="is not there"):
            await forge.branch_head(str(tmp_path / "none"), None)


async def test_doctor_asks_which_promises_hold(github_double: GitHubDouble) -> None:
    """One line of what holds, one warning for each weakness, a failure for a refused token."""
    github_double.create("octo/app")
    token = github_double.token()
    values = {"GITHUB_TOKEN": token, "GITHUB_API_URL": github_double.url}
    weak = settings(**values, GITHUB_REPO="octo/app")
    findings = await check_github(weak, offline=False)
    assert not any("not fetched" in finding.detail for finding in findings)
    assert findings[0].level == "ok"
    assert findings[0].detail.startswith("squash merges; one pull request per task by row lock")
    warned = [finding.detail for finding in findings if finding.level == "warn"]
    assert any("branch main is not protected" in detail for detail in warned)
    assert not any(detail.startswith("note") for detail in warned)

    asked = github_double.journal.rest_calls
    offline = await check_github(weak, offline=True)
    assert [finding.detail for finding in offline] == ["configured, not asked: --offline"]
    assert github_double.journal.rest_calls == asked

    github_double.revoke(token)
    refused = await check_github(weak, offline=False)
    assert [(finding.check, finding.level) for finding in refused] == [("github octo/app", "fail")]
    nobody = await check_github(settings(GITHUB_REPO="octo/app"), offline=False)
    assert (nobody[0].level, "set GITHUB_TOKEN" in nobody[0].remedy) == ("fail", True)
    assert (await check_github(settings(), offline=False))[0].level == "ok"
    assert (await check_github(settings(**values), offline=False))[0].level == "ok"


async def test_doctor_asks_for_the_repository_of_each_task(
    github_double: GitHubDouble, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of open and recent ones, each once; a bad one hides no other; what is not fetched is said."""
    modules = '[submodule "lib"]\n\tpath = vendor/lib\n\turl = https://example.org/lib\n'
    for name in ("octo/app", "octo/big"):
        github_double.create(name)
    files = {".gitmodules": modules, ".gitattributes": "*.bin filter=lfs -text\n"}
    github_double.human.push("octo/big", "main", files)
    operator = await database.connect()
    big = f"{github_double.url}/Octo/big.git"
    for repo in ("octo/app", big, "octo/gone", "octo/big", "octo/old", "/srv/app.git"):
        await operator.execute(
            "INSERT INTO governance_tasks (title, task_type, repo) VALUES ('t', 'command', $1)",
            repo,
        )
    await operator.execute("UPDATE governance_tasks SET status = 'cancelled' WHERE repo ~ 'old$'")
    token, url = github_double.token(), github_double.url
    known = settings(GITHUB_TOKEN=token, GITHUB_API_URL=url, DATABASE_URL=database.url)
    assert "octo/old" in await repositories(known)
    monkeypatch.setattr(doctor_github, "DOCTOR_DAYS", 0)
    repos = await repositories(known)
    assert sorted(repos) == sorted(["octo/app", big, "octo/gone", "octo/big", "/srv/app.git"])
    findings = await check_github(known, offline=False, repos=repos)
    levels = {finding.check.casefold(): finding.level for finding in findings[::-1]}
    assert levels == {"github octo/app": "ok", "github octo/big": "ok", "github octo/gone": "fail"}
    told = [finding.detail for finding in findings if "not fetched" in finding.detail]
    assert len(told) == 2
    assert "vendor/lib" in told[0]
    assert "*.bin" in told[1]
    assert await repositories(settings()) == []


async def test_doctor_knows_the_repositories_by_the_workers_login(
    database: Database, worker_login: Login
) -> None:
    """Where no operator's address is known, as it should be beside the workers."""
    operator = await database.connect()
    await operator.execute(
        "INSERT INTO governance_tasks (title, task_type, repo) VALUES ('t', 'command', 'octo/app')"
    )
    url = database.url_for(worker_login.name, worker_login.password)
    assert await repositories(settings(WORKER_DATABASE_URL=url)) == ["octo/app"]


async def test_doctor_as_a_command(tmp_path: Path) -> None:
    """Its answer has a row for GitHub, and the secret is in none."""
    secret = tmp_path / "token"
    secret.write_text("FAKE-canary-token\n")
    ended = await call(tmp_path, "doctor", "--offline", "--json", GITHUB_TOKEN_FILE=str(secret))
    rows = {str(row["check"]): row for row in ended.rows()}
    assert "--offline" in str(rows["github"]["detail"])
    assert "FAKE-canary" not in ended.out + ended.err


def test_secrets_do_not_show_themselves() -> None:
    """Not in a repr of the parts either."""
    shown = repr(settings(GITHUB_TOKEN="FAKE-canary-token")) + repr(
        GivenToken(Secret("FAKE-canary"))
    )
    assert "FAKE-canary" not in shown
