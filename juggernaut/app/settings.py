"""The settings of a process: what there is. How they are read: `setting_sources`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from juggernaut.app.pull_settings import Pulls, PullSettings
from juggernaut.app.resources import default_data_dir
from juggernaut.app.setting_types import Dsn, Names, Place, Slots, Words, login_of
from juggernaut.domain import limits
from juggernaut.domain.errors import ConfigError

ALL_ROLES: Final = "all"
SLOTS_DEFAULT: Final = 1
KEY_ORDER: Final = ("anthropic", "openai", "openrouter")
ADDED: Final = "added"  # whichever provider models.yaml adds
WebAddress = Annotated[str, Field(pattern=r"^https?://[^\s/]")]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model to use: a script, or a provider with (perhaps) a model of it."""

    provider: str
    model: str | None
    key: SecretStr | None = None
    base_url: str | None = None
    script: Path | None = None


class Settings(BaseModel):
    """Every setting; the alias is its name in the environment."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True
    )

    database_url: Dsn | None = Field(None, alias="DATABASE_URL")
    worker_database_url: Dsn | None = Field(None, alias="WORKER_DATABASE_URL")
    database_unpooled_url: Dsn | None = Field(None, alias="DATABASE_UNPOOLED_URL")
    worker_type: Names = Field((ALL_ROLES,), alias="WORKER_TYPE")
    worker_id: str | None = Field(
        None, alias="WORKER_ID", pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$"
    )
    anthropic_api_key: SecretStr | None = Field(None, alias="ANTHROPIC_API_KEY")
    anthropic_base_url: WebAddress | None = Field(None, alias="ANTHROPIC_BASE_URL")
    openai_api_key: SecretStr | None = Field(None, alias="OPENAI_API_KEY")
    openai_base_url: WebAddress | None = Field(None, alias="OPENAI_BASE_URL")
    openrouter_api_key: SecretStr | None = Field(None, alias="OPENROUTER_API_KEY")
    added_model_key: SecretStr | None = Field(None, alias="JUGGERNAUT_MODEL_KEY")
    model: str | None = Field(None, alias="JUGGERNAUT_MODEL", pattern=r"^[a-z0-9_-]+/\S+$")
    script: Place | None = Field(None, alias="JUGGERNAUT_SCRIPT")
    record: Place | None = Field(None, alias="JUGGERNAUT_RECORD")
    record_keep: int = Field(limits.TAPES, alias="JUGGERNAUT_RECORD_KEEP", ge=0, le=1_000_000)
    agent: str | None = Field(None, alias="JUGGERNAUT_AGENT")
    agent_path: Place | None = Field(None, alias="JUGGERNAUT_AGENT_PATH")
    repo: str | None = Field(None, alias="JUGGERNAUT_REPO")
    test_command: Words | None = Field(None, alias="JUGGERNAUT_TEST_COMMAND")
    pulls: Pulls = Field(default_factory=PullSettings, alias="JUGGERNAUT_PULLS")
    github_repo: str | None = Field(None, alias="GITHUB_REPO", pattern=r"^[\w.-]+/[\w.-]+$")
    github_api_url: WebAddress | None = Field(None, alias="GITHUB_API_URL")
    github_token: SecretStr | None = Field(None, alias="GITHUB_TOKEN")
    github_app_id: str | None = Field(None, alias="GITHUB_APP_ID", pattern=r"^\w+$")
    github_app_private_key: SecretStr | None = Field(None, alias="GITHUB_APP_PRIVATE_KEY")
    github_app_installation_id: int | None = Field(None, alias="GITHUB_APP_INSTALLATION_ID", ge=1)
    github_webhook_secret: SecretStr | None = Field(
        None, alias="GITHUB_WEBHOOK_SECRET", min_length=16
    )
    port: int | None = Field(None, alias="PORT", ge=0, le=65_535)
    bind: str = Field("127.0.0.1", alias="JUGGERNAUT_BIND", min_length=1)
    data_dir: Place = Field(default_factory=default_data_dir, alias="JUGGERNAUT_DATA_DIR")
    roles_dir: Place | None = Field(None, alias="JUGGERNAUT_ROLES_DIR")
    allow_bare: bool = Field(False, alias="JUGGERNAUT_ALLOW_BARE")
    slots: Slots = Field(default_factory=dict, alias="JUGGERNAUT_SLOTS")
    drain_seconds: float = Field(
        limits.DRAIN_SECONDS, alias="JUGGERNAUT_DRAIN_SECONDS", ge=0, le=3_600
    )
    pool_size: int = Field(5, alias="JUGGERNAUT_POOL_SIZE", ge=2, le=100)
    log_format: Literal["auto", "json", "console"] = Field("auto", alias="LOG_FORMAT")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", alias="LOG_LEVEL")

    def record_folder(self) -> Path | None:
        """Give the folder for cassettes, if there is to be one."""
        return self.record.absolute() if self.record else None

    def operator_dsn(self) -> str:
        """Give the operator's database, or raise ConfigError."""
        if self.database_url is None:
            raise ConfigError(
                "DATABASE_URL is not set: set it or give --dsn"
                " (`juggernaut demo` and `juggernaut up` bring their own database)"
            )
        return self.database_url.get_secret_value()

    def migration_dsn(self) -> str:
        """Give the operator's database past any pooler."""
        if self.database_unpooled_url is not None:
            return self.database_unpooled_url.get_secret_value()
        return self.operator_dsn()

    def worker_dsn(self) -> str:
        """Give the database for workers: their own login, else the operator's past any pooler."""
        if self.worker_database_url is not None:
            return self.worker_database_url.get_secret_value()
        return self.migration_dsn()

    def listen_dsn(self) -> str:
        """Give the database for LISTEN, which no transaction pooler passes on.

        It is the direct address, with the login of the workers where they have their own.
        """
        if self.database_unpooled_url is None:
            return self.worker_dsn()
        direct = self.database_unpooled_url.get_secret_value()
        if self.worker_database_url is None:
            return direct
        login, at, _ = urlsplit(self.worker_database_url.get_secret_value()).netloc.rpartition("@")
        place = urlsplit(direct)
        host = place.netloc.rpartition("@")[2]
        return place._replace(netloc=f"{login}{at}{host}").geturl()

    @property
    def shared_login(self) -> bool:
        """Say whether workers use the operator's login (and drop to the worker role)."""
        return self.worker_database_url is None

    def beside_worker(self) -> tuple[str, ...]:
        """Name the variables whose address has another login than the workers' own."""
        if self.worker_database_url is None:
            return ()
        own = login_of(self.worker_database_url)
        others = {
            "DATABASE_URL": self.database_url,
            "DATABASE_UNPOOLED_URL": self.database_unpooled_url,
        }
        return tuple(name for name, url in others.items() if url and login_of(url) != own)

    @property
    def pooled(self) -> bool:
        """Say whether a transaction pooler stands before the database."""
        direct = self.database_unpooled_url
        return direct is not None and direct != self.database_url

    @property
    def default_repo(self) -> str | None:
        """Give the repository of tasks that name none."""
        return self.repo or self.github_repo

    def slots_of(self, role: str) -> int:
        """Give how many tasks a worker of a role runs at once."""
        return self.slots.get(role, SLOTS_DEFAULT)

    def model_choice(self) -> ModelChoice | None:
        """Choose: the script, the named model, the first provider that has a key; else None."""
        if self.script is not None:
            return ModelChoice("scripted", None, script=self.script)
        if self.model is not None:
            provider, _, model = self.model.partition("/")
            return self._provider(provider, model)
        for provider in (*KEY_ORDER, ADDED):
            if self.model_key(provider) is not None:
                return self._provider(provider, None)
        return None

    def model_address(self, provider: str) -> str | None:
        """Give the address of a provider, if it is set here."""
        address = {"anthropic": self.anthropic_base_url, "openai": self.openai_base_url}
        return address.get(provider)

    def model_key(self, provider: str) -> SecretStr | None:
        """Give the key of a provider; the ones that models.yaml adds have one for all."""
        return {
            "anthropic": self.anthropic_api_key,
            "openai": self.openai_api_key,
            "openrouter": self.openrouter_api_key,
        }.get(provider, self.added_model_key)

    def _provider(self, provider: str, model: str | None) -> ModelChoice:
        """Put a provider together with its key and address."""
        return ModelChoice(provider, model, self.model_key(provider), self.model_address(provider))
