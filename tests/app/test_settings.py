"""Where settings come from, which one wins, and how a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from juggernaut.app.setting_sources import Loaded, load_settings
from juggernaut.app.setting_types import mask_dsn, masked
from juggernaut.app.settings import Settings
from juggernaut.domain.errors import ConfigError

DSN = "postgresql://op:FAKE-password@db.example:5432/swarm"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take every setting of the real environment away, and one role stands for all."""
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)
        monkeypatch.delenv(f"{field.alias}_FILE", raising=False)
    monkeypatch.delenv("JUGGERNAUT_CONFIG", raising=False)
    roles = tmp_path / "extra"
    roles.mkdir()
    (roles / "auditor.py").write_text("")
    monkeypatch.setenv("JUGGERNAUT_ROLES_DIR", str(roles))


def fault(**flags: object) -> str:
    """Load settings that are wrong and give the message."""
    with pytest.raises(ConfigError) as caught:
        load_settings(flags)
    message = str(caught.value)
    assert "\n" not in message
    return message


def source_of(loaded: Loaded, name: str) -> str:
    """Give where a setting came from."""
    rows = {str(row["setting"]): row for row in loaded.explain()}
    return str(rows[name]["source"])


def test_flags_beat_environment_beats_file_beats_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each layer wins over the one before, and explain says which."""
    file = tmp_path / "mine.yaml"
    file.write_text("pool_size: 7\nlog_level: debug\ndrain_seconds: 3\n")
    monkeypatch.setenv("JUGGERNAUT_CONFIG", str(file))
    monkeypatch.setenv("LOG_LEVEL", "warning")
    monkeypatch.setenv("JUGGERNAUT_DRAIN_SECONDS", "4")
    loaded = load_settings({"drain_seconds": 5.0, "worker_id": None})
    settings = loaded.settings
    assert (settings.pool_size, settings.log_level, settings.drain_seconds) == (7, "warning", 5.0)
    assert source_of(loaded, "pool_size") == f"file {file}"
    assert source_of(loaded, "log_level") == "environment LOG_LEVEL"
    assert source_of(loaded, "drain_seconds") == "flag"
    assert source_of(loaded, "worker_id") == "default"


def test_an_own_file_changes_single_slots(tmp_path: Path) -> None:
    """Mappings are laid over key by key."""
    file = tmp_path / "mine.yaml"
    file.write_text("slots: {auditor: 9}\n")
    settings = load_settings({}, file).settings
    assert settings.slots_of("auditor") == 9
    assert settings.slots_of("executor") == 4
    assert settings.slots_of("nobody") == 1


def test_a_text_changes_single_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is laid over key by key as well, and so is a text in a file."""
    file = tmp_path / "mine.yaml"
    file.write_text("slots: analyst=3\n")
    monkeypatch.setenv("JUGGERNAUT_SLOTS", "executor=8, auditor=2")
    settings = load_settings({}, file).settings
    assert [settings.slots_of(name) for name in ("orchestrator", "executor", "auditor")] == [
        *(2, 8, 2)
    ]
    assert settings.slots_of("analyst") == 3


def test_a_home_folder_is_meant_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but a shell knows it otherwise; a home that is not known is refused."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("JUGGERNAUT_ROLES_DIR")
    (tmp_path / "roles").mkdir()
    file = tmp_path / "mine.yaml"
    names = ("data_dir", "script", "roles_dir", "agent_path", "record")
    file.write_text("".join(f"{name}: ~/{name.removesuffix('_dir')}\n" for name in names))
    settings = load_settings({}, file).settings
    for name in names:
        assert getattr(settings, name) == tmp_path / name.removesuffix("_dir")
    file.write_text("data_dir: ~nobody-of-this-name/x\n")
    with pytest.raises(ConfigError, match=f"data_dir .from file {file}.*cannot be expanded"):
        load_settings({}, file)


def test_a_secret_can_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NAME_FILE names it; the line end is not part of it; both at once are refused."""
    file = tmp_path / "key"
    file.write_text("FAKE-key\n")
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", str(file))
    key = load_settings().settings.anthropic_api_key
    assert key is not None
    assert key.get_secret_value() == "FAKE-key"
    monkeypatch.setenv("ANTHROPIC_API_KEY", "FAKE-other")
    assert "ANTHROPIC_API_KEY_FILE" in fault()
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    file.unlink()
    assert str(file) in fault()


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither explain nor repr nor an error shows one."""
    monkeypatch.setenv("DATABASE_URL", DSN)
    monkeypatch.setenv("OPENAI_API_KEY", "FAKE-key")
    loaded = load_settings()
    shown = repr(list(loaded.explain())) + repr(loaded)
    assert "FAKE" not in shown
    assert "postgresql://op:***@db.example:5432/swarm" in shown
    monkeypatch.setenv("DATABASE_URL", "mysql://op:FAKE-password@db/swarm")
    assert "FAKE" not in fault()
    assert mask_dsn("postgresql://h/d?user=a&password=FAKE") == (
        "postgresql://h/d?user=a&password=***"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:FAKE@host/v1?region=eu", "https://u:***@host/v1?region=eu"),
        ("https://u:FA/KE@host", "https://u:***@host"),
        ("https://FAKE-token@host/v1", "https://***@host/v1"),
        ("--proxy=http://u:FAKE@host", "--proxy=http://u:***@host"),
        ("ssh://git@host/repo", "ssh://git@host/repo"),
        ("git@host:a/b", "git@host:a/b"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
    ],
)
def test_a_password_in_any_address_is_masked(text: str, shown: str) -> None:
    """Also one that stands inside of another text."""
    assert masked(text) == shown


def test_explain_and_errors_show_no_password_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Web addresses, repositories and commands may hold one."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://u:FAKE@host")
    monkeypatch.setenv("JUGGERNAUT_REPO", "https://u:FAKE@host/app")
    monkeypatch.setenv("JUGGERNAUT_TEST_COMMAND", "try http://u:FAKE@host")
    told = repr(list(load_settings().explain()))
    assert "FAKE" not in told
    assert told.count("u:***@host") == 3
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "ftp://u:FAKE@host")
    assert "FAKE" not in fault()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("WORKER_TYPE", "exekutor", ("WORKER_TYPE", "'exekutor'", "auditor", "all")),
        ("WORKER_TYPE", " , ", ("WORKER_TYPE", "names nothing")),
        ("WORKER_ID", "bad id", ("WORKER_ID", "'bad id'")),
        ("DATABASE_URL", "localhost:5432", ("DATABASE_URL", "postgresql://")),
        ("DATABASE_URL", "postgresql://h:notaport/d", ("DATABASE_URL", "port")),
        ("LOG_LEVEL", "loud", ("LOG_LEVEL", "'loud'", "warning")),
        ("JUGGERNAUT_MODEL", "gpt", ("JUGGERNAUT_MODEL", "'gpt'")),
        ("JUGGERNAUT_SLOTS", "auditor", ("JUGGERNAUT_SLOTS", "executor=4")),
        ("JUGGERNAUT_SLOTS", "auditor=0", ("JUGGERNAUT_SLOTS", "1 to")),
        ("JUGGERNAUT_SLOTS", "ghost=2", ("JUGGERNAUT_SLOTS", "'ghost'")),
        ("JUGGERNAUT_POOL_SIZE", "many", ("JUGGERNAUT_POOL_SIZE", "'many'", "environment")),
        ("JUGGERNAUT_TEST_COMMAND", "pytest 'x", ("JUGGERNAUT_TEST_COMMAND", "words")),
        ("ANTHROPIC_BASE_URL", "ftp://x", ("ANTHROPIC_BASE_URL", "'ftp://x'")),
        ("JUGGERNAUT_ROLES_DIR", "/nowhere/at/all", ("/nowhere/at/all", "roles_dir")),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(
    variable: str, value: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable, the value and what would be right."""
    monkeypatch.setenv(variable, value)
    message = fault()
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("worker_tpye: all", ("worker_tpye", "did you mean 'worker_type'")),
        ("- a list", ("setting: value",)),
        ("a: [b", ("YAML",)),
        ("slots: &a {executor: 1}\nworker_id: *a", ("aliases",)),
        ("slots: " + "[" * 40 + "]" * 40, ("nested",)),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(
    text: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    """The file, the key and the nearest known key."""
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings({}, file)
    for word in (str(file), *words):
        assert word in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """--config of nothing is a configuration error."""
    with pytest.raises(ConfigError, match="absent"):
        load_settings({}, tmp_path / "absent.yaml")


def test_the_model_is_chosen_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script, else the named model, else the first key."""
    assert load_settings().settings.model_choice() is None
    monkeypatch.setenv("OPENROUTER_API_KEY", "FAKE-r")
    monkeypatch.setenv("OPENAI_API_KEY", "FAKE-o")
    choice = load_settings().settings.model_choice()
    assert choice is not None
    assert (choice.provider, choice.model) == ("openai", None)
    monkeypatch.setenv("JUGGERNAUT_MODEL", "openrouter/maker/model-1")
    choice = load_settings().settings.model_choice()
    assert choice is not None
    assert (choice.provider, choice.model) == ("openrouter", "maker/model-1")
    monkeypatch.setenv("JUGGERNAUT_SCRIPT", "/tmp/turns.yaml")
    choice = load_settings().settings.model_choice()
    assert choice is not None
    assert (choice.provider, choice.script) == ("scripted", Path("/tmp/turns.yaml"))


def test_databases_for_each_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers prefer their own login; LISTEN and migrations go past a pooler."""
    assert "DATABASE_URL" in str(fault_of_missing())
    monkeypatch.setenv("DATABASE_URL", DSN)
    shared = load_settings().settings
    assert shared.shared_login
    assert not shared.pooled
    assert shared.worker_dsn() == shared.listen_dsn() == shared.migration_dsn() == DSN
    monkeypatch.setenv("WORKER_DATABASE_URL", "postgresql://w:FAKE@pool/swarm")
    monkeypatch.setenv("DATABASE_UNPOOLED_URL", "postgresql://op:FAKE@direct/swarm")
    own = load_settings().settings
    assert not own.shared_login
    assert own.pooled
    assert "pool/" in own.worker_dsn()
    assert "direct/" in own.listen_dsn()
    assert "direct/" in own.migration_dsn()


def fault_of_missing() -> ConfigError:
    """Ask for a database that is not configured."""
    with pytest.raises(ConfigError) as caught:
        load_settings().settings.operator_dsn()
    return caught.value


def test_listening_uses_the_workers_login_at_the_direct_address() -> None:
    """Behind a pooler LISTEN goes past it, but never with the operator's login."""
    settings = load_settings(
        {
            "database_url": "postgresql://op:FAKE1@pool:6543/db",
            "worker_database_url": "postgresql://w:FAKE2@pool:6543/db",
            "database_unpooled_url": "postgresql://op:FAKE1@direct:5432/db",
        },
        None,
    ).settings
    assert settings.listen_dsn() == "postgresql://w:FAKE2@direct:5432/db"


def test_what_config_shows_can_be_pasted_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each value into a settings file gives the same settings; nothing looks like Python."""
    monkeypatch.setenv("JUGGERNAUT_TEST_COMMAND", "sh -c 'make a && make b'")
    monkeypatch.setenv("JUGGERNAUT_PULLS", "labels=one|risk: {risk},quality=report")
    monkeypatch.setenv("WORKER_TYPE", "executor,analyst")
    monkeypatch.setenv("JUGGERNAUT_ALLOW_BARE", "true")
    loaded = load_settings()
    told = {str(row["setting"]): str(row["value"]) for row in loaded.explain()}
    assert "quality: report" in told["pulls"]
    assert "labels: [one, 'risk: {risk}']" in told["pulls"]
    assert (told["allow_bare"], told["test_command"]) == ("true", "sh -c 'make a && make b'")
    for sign in ("None", "True", "<", "('"):
        assert [name for name, value in told.items() if sign in value] == []
    for name in ("WORKER_TYPE", "JUGGERNAUT_TEST_COMMAND", "JUGGERNAUT_PULLS"):
        monkeypatch.delenv(name)
    monkeypatch.delenv("JUGGERNAUT_ALLOW_BARE")
    path = tmp_path / "pasted.yaml"
    path.write_text("".join(f"{name}: {value}\n" for name, value in told.items() if value))
    assert load_settings(config=path).settings == loaded.settings
