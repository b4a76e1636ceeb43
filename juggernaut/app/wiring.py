"""Puts a worker process together: the only place that names concrete adapters."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from juggernaut import __version__
from juggernaut.adapters.clock import SystemClock
from juggernaut.adapters.forges.by_repo import ForgeByRepo
from juggernaut.adapters.forges.git import Git
from juggernaut.adapters.forges.github.names import looks_remote
from juggernaut.adapters.forges.local import LocalForge
from juggernaut.adapters.forges.workspace import GitWorkspaces
from juggernaut.adapters.llm.choice import ModelsByPurpose, OneModel
from juggernaut.adapters.llm.factory import ModelSpec, build_adapter, load_models_config
from juggernaut.adapters.llm.models_config import Account
from juggernaut.adapters.llm.yaml_file import Section, read_yaml
from juggernaut.adapters.postgres.listen import Listener
from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.adapters.postgres.store import PgStore
from juggernaut.adapters.postgres.store_pulls import PgPulls
from juggernaut.adapters.sandboxes.probe import best_sandbox
from juggernaut.app.agents import choose_agent
from juggernaut.app.github import HOW, GitHub, opened
from juggernaut.app.migrate import check_schema
from juggernaut.app.opaque import make_opaque
from juggernaut.app.resources import read_prompts
from juggernaut.app.role_files import load_role
from juggernaut.app.setting_sources import SECRETS, Loaded, secret_files
from juggernaut.app.settings import ADDED, Settings
from juggernaut.app.work_folder import make_folder, own_folder
from juggernaut.domain.errors import ConfigError, InvalidInput
from juggernaut.domain.model import Claim, Json, Session, WorkerId
from juggernaut.domain.redact import Secret
from juggernaut.domain.risk import Policy, read_policy
from juggernaut.lifecycle.attempt import Services, WorkSettings
from juggernaut.lifecycle.execute import run_attempt
from juggernaut.ports import Fleet, Models
from juggernaut.role import Duty, DutyContext, Role
from juggernaut.runtime.loop import Attempt
from juggernaut.runtime.process import Process
from juggernaut.runtime.supervisor import Child
from juggernaut.runtime.worker import TimedDuty, Worker

WORKER_ROLE: Final = "juggernaut_worker"
TREES: Final = "trees"  # the forge takes no repository below this
PRIVATE_IN_HOME: Final = (
    *(".ssh", ".netrc", ".pgpass", ".git-credentials", ".aws", ".azure", ".kube", ".docker"),
    *(".gnupg", ".config/gcloud", ".config/gh", ".npmrc", ".pypirc"),
    *(".claude", ".claude.json", ".codex", ".config/opencode", ".local/share/opencode"),
)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a process runs: workers, and helpers that end with them."""

    workers: tuple[Worker, ...]
    helpers: tuple[Child, ...]


@asynccontextmanager
async def build(loaded: Loaded, process: Process, *, once: bool = False) -> AsyncIterator[Runtime]:
    """Connect and assemble; everything is closed when the block ends.

    Raises ConfigError, SchemaDrift or DatabaseUnreachable before any worker registers.
    """
    make_opaque()
    settings = loaded.settings
    roles = [load_role(path) for path in loaded.roles().values()]
    dsn = settings.worker_dsn()
    drop_to = WORKER_ROLE if settings.shared_login else None
    await check_schema(dsn, loaded.resources.migrations)
    # A pooler passes no role on, so a shared login goes past it.
    pooled = settings.pooled and not settings.shared_login
    data = make_folder(settings.data_dir)
    async with AsyncExitStack() as stack:
        own = stack.enter_context(own_folder(data / TREES))
        pool = await stack.enter_async_context(
            open_pool(dsn, size=settings.pool_size, role=drop_to, pooled=pooled)
        )
        pulse_pool = await stack.enter_async_context(
            open_pool(dsn, size=1, role=drop_to, pooled=pooled)
        )
        github = stack.enter_context(opened(settings))
        services = await assemble(loaded, data, own, PgStore(pool), PgPulls(pool), github)
        pulse = PgStore(pulse_pool)
        workers = tuple(
            make_worker(role, settings, services, pulse, process, len(roles), once)
            for role in roles
        )
        listener = Listener(settings.listen_dsn(), process.hint, role=drop_to)
        yield Runtime(workers, () if once else (Child("listen", listener.run),))


async def assemble(
    loaded: Loaded,
    data: Path,
    own: Path,
    store: PgStore,
    pulls: PgPulls,
    github: GitHub | None,
) -> Services:
    """Put the services together: `data` is shared by all processes, `own` is this one's."""
    settings, config = loaded.settings, loaded.resources.config
    git = Git(settings.pulls.author_name, settings.pulls.author_email)
    local = LocalForge(pulls, data, git)
    repo = await default_repository(local, github, settings)
    return Services(
        store=store,
        models=build_models(loaded),
        agent=choose_agent(settings, own / "agents"),
        forge=ForgeByRepo(local, github.forge, looks_remote) if github else local,
        workspaces=GitWorkspaces(own, git, remotes=github.source if github else None),
        sandbox=await best_sandbox(own / "scratch", hidden_places()),
        clock=SystemClock(),
        policy=load_policy(config / "policy.yaml"),
        prompts=read_prompts(config / "prompts"),
        settings=WorkSettings(
            repo,
            settings.test_command,
            known_secrets(settings),
            settings.pulls.rules(config),
            allow_bare=settings.allow_bare,
        ),
    )


async def default_repository(
    local: LocalForge, github: GitHub | None, settings: Settings
) -> str | None:
    """Give the repository of tasks that name none; raises ConfigError when it is not usable."""
    repo = settings.default_repo
    if not repo:
        return None
    name = "JUGGERNAUT_REPO" if settings.repo else "GITHUB_REPO"
    try:
        if not looks_remote(repo):
            return await local.adopt(repo)
        if github is None:
            raise ConfigError(f"{name}: {repo} is at GitHub: {HOW}")
        return github.name(repo)
    except InvalidInput as error:
        raise ConfigError(f"{name}: {error}") from None


def make_worker(
    role: Role,
    settings: Settings,
    services: Services,
    pulse: Fleet,
    process: Process,
    siblings: int,
    once: bool,
) -> Worker:
    """Make the worker of a role."""
    return Worker(
        worker_id=worker_id(settings.worker_id, role.name, siblings),
        worker_type=role.name,
        store=services.store,
        pulse=pulse,
        clock=services.clock,
        make_attempt=attempts_of(services, role, process.stopping.is_set),
        stopping=process.stopping,
        slots=settings.slots_of(role.name),
        handles=role.task_types,
        meta={"version": __version__, "host": socket.gethostname(), "pid": os.getpid()},
        duties=duties_of(services, role),
        drain_seconds=settings.drain_seconds,
        once=once,
    )


def attempts_of(
    services: Services, role: Role, stopping: Callable[[], bool]
) -> Callable[[Session], Attempt]:
    """Give what makes the attempts of a session."""

    def of_session(session: Session) -> Attempt:
        """Give what does one claim."""

        async def attempt(claim: Claim) -> str:
            """Do one claim."""
            return await run_attempt(services, role, claim, stopping)

        return attempt

    return of_session


def duties_of(
    services: Services, role: Role
) -> Callable[[Mapping[str, float]], Sequence[TimedDuty]]:
    """Give what makes the duties of a role, once the thresholds are known."""
    context = DutyContext(services)

    def bound(duty: Duty) -> Callable[[], Awaitable[Json]]:
        """Give a duty its context."""
        return lambda: duty.run(context)

    def of_thresholds(thresholds: Mapping[str, float]) -> Sequence[TimedDuty]:
        """Give each duty its interval."""
        return [
            TimedDuty(duty.name, duty.every_seconds(thresholds), bound(duty))
            for duty in role.duties
        ]

    return of_thresholds


def worker_id(setting: str | None, role: str, siblings: int) -> WorkerId:
    """Give the id: the setting (with the role where there are several), else role-host-pid."""
    if setting is None:
        return WorkerId(f"{role}-{socket.gethostname()}-{os.getpid()}")
    return WorkerId(setting if siblings == 1 else f"{setting}-{role}")


def build_models(loaded: Loaded) -> Models | None:
    """Build the models that the settings choose; None when there is no key.

    A call is a single request: the lifecycle repeats it, each try with its own reservation.
    """
    choice = loaded.settings.model_choice()
    if choice is None:
        return None
    if choice.script is not None:
        return OneModel(build_adapter(ModelSpec("scripted", "scripted", script=choice.script)))
    config = load_models_config(loaded.resources.config / "models.yaml")
    settings = loaded.settings
    accounts = {
        name: Account(key.get_secret_value(), settings.model_address(name))
        for name in config.providers
        if (key := settings.model_key(name)) is not None
    }
    provider = config.first_added() if choice.provider == ADDED else choice.provider
    return ModelsByPurpose(config, provider, accounts, override=choice.model)


def load_policy(path: Path) -> Policy:
    """Read the policy."""
    return read_policy(Section(read_yaml(path), str(path)).values)


def hidden_places() -> list[Path]:
    """Give the files of secrets that a command in the sandbox must not read."""
    try:
        home = Path.home()
    except RuntimeError:
        return secret_files()
    return [*secret_files(), *(home / name for name in PRIVATE_IN_HOME)]


def known_secrets(settings: Settings) -> tuple[Secret, ...]:
    """Give the secrets of this process, so that they are scrubbed wherever they turn up."""
    found: list[Secret] = []
    for name in sorted(SECRETS):
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            text = value.get_secret_value()
            password = urlsplit(text).password if "://" in text else None
            found += [Secret(text), *([Secret(unquote(password))] if password else [])]
    return tuple(found)
