"""Puts a worker process together: the only place that names concrete adapters."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from juggernaut import __version__
from juggernaut.adapters.cassettes.folder import CassetteFolder
from juggernaut.adapters.clock import SystemClock
from juggernaut.adapters.forges.by_repo import ForgeByRepo
from juggernaut.adapters.forges.git import Git
from juggernaut.adapters.forges.github.names import looks_remote
from juggernaut.adapters.forges.local import LocalForge
from juggernaut.adapters.forges.workspace import GitWorkspaces
from juggernaut.adapters.gateway.sandbox import ProxyGateway
from juggernaut.adapters.llm.choice import ModelsByPurpose, OneModel
from juggernaut.adapters.llm.factory import ModelSpec, build_adapter, load_models_config
from juggernaut.adapters.llm.models_config import Account
from juggernaut.adapters.llm.yaml_file import Section, read_yaml
from juggernaut.adapters.postgres.listen import Listener
from juggernaut.adapters.postgres.pool import open_pool
from juggernaut.adapters.postgres.store import PgStore
from juggernaut.adapters.postgres.store_pulls import PgPulls
from juggernaut.adapters.sandboxes.probe import account_told, best_sandbox
from juggernaut.app.agents import choose_agent
from juggernaut.app.doors import doors
from juggernaut.app.github import HOW, GitHub, opened
from juggernaut.app.logins import check_shared_login, check_worker_login
from juggernaut.app.migrate import check_schema
from juggernaut.app.resources import read_prompts
from juggernaut.app.role_files import load_role
from juggernaut.app.secret_files import LiveSettings, known_values
from juggernaut.app.setting_sources import Loaded, secret_files
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
from juggernaut.runtime.hands import Attempt
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
    settings, live = loaded.settings, LiveSettings(loaded.settings, loaded.files)
    roles = [load_role(path) for path in loaded.roles().values()]
    drop_to = WORKER_ROLE if settings.shared_login else None
    await check_schema(settings.worker_dsn(), loaded.resources.migrations)
    if settings.shared_login:
        await check_shared_login(settings.worker_dsn())
    # A pooler passes no role on, so a shared login goes past it.
    pooled = settings.pooled and not settings.shared_login
    data = make_folder(settings.data_dir)
    async with AsyncExitStack() as stack:
        own = stack.enter_context(own_folder(data / TREES))
        pool = await stack.enter_async_context(
            open_pool(live.worker_dsn, size=1 + settings.pool_size, role=drop_to, pooled=pooled)
        )
        await check_worker_login(pool)
        pulse_pool = await stack.enter_async_context(
            open_pool(live.worker_dsn, size=1, role=drop_to, pooled=pooled)
        )
        github = stack.enter_context(opened(settings, live.now))
        store = PgStore(pool, pooled=pooled)
        services = await assemble(loaded, live, data, own, store, PgPulls(pool), github)
        pulse = PgStore(pulse_pool)
        workers = tuple(
            make_worker(role, settings, services, pulse, process, len(roles), once)
            for role in roles
        )
        listener = Listener(live.listen_dsn, process.hint, role=drop_to)
        if once:
            yield Runtime(workers, ())
            return
        open_doors = stack.enter_context(doors(PgStore(pool), live.now))
        yield Runtime(workers, (Child("listen", listener.run), *open_doors))


async def assemble(
    loaded: Loaded,
    live: LiveSettings,
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
    record = settings.record_folder()
    # Made before the sandbox, which hides what is there.
    tapes = CassetteFolder(record, settings.record_keep) if record else None
    # The sockets and keys of one command are nothing for the others that run beside it.
    agents, gates = make_folder(own / "agents"), make_folder(own / "doors")
    hidden = [*hidden_places(), agents, gates, *([record] if record else [])]
    return Services(
        store=store,
        models=build_models(loaded, live.now),
        agent=choose_agent(settings, agents),
        forge=ForgeByRepo(local, github.forge, looks_remote) if github else local,
        workspaces=GitWorkspaces(own, git, remotes=github.source if github else None),
        sandbox=await best_sandbox(own / "scratch", hidden),
        clock=SystemClock(),
        policy=load_policy(config / "policy.yaml"),
        prompts=read_prompts(config / "prompts"),
        settings=WorkSettings(
            repo,
            settings.test_command,
            tuple(Secret(value) for value in known_values(settings)),
            settings.pulls.rules(config),
            allow_bare=settings.allow_bare,
        ),
        cassettes=tapes,
        gateway=ProxyGateway(gates),
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
        meta={
            **{"version": __version__, "host": socket.gethostname(), "pid": os.getpid()},
            "metadata": {
                "sandbox": services.sandbox.level,
                "account": account_told(services.sandbox),
            },
        },
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

        async def attempt(claim: Claim, hand_in: Callable[[], None]) -> str:
            """Do one claim."""
            return await run_attempt(services, role, claim, stopping, hand_in)

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


def build_models(loaded: Loaded, now: Callable[[], Settings]) -> Models | None:
    """Build the models that the settings choose; None when there is no key.

    `now` gives the settings with the keys of the moment. A call is a single request: the lifecycle
    repeats it, each try with its own reservation.
    """
    choice = loaded.settings.model_choice()
    if choice is None:
        return None
    if choice.script is not None:
        return OneModel(build_adapter(ModelSpec("scripted", "scripted", script=choice.script)))
    config = load_models_config(loaded.resources.config / "models.yaml")
    settings = loaded.settings
    accounts = {
        name: Account(key.get_secret_value(), settings.model_address(name), key_of(name, now))
        for name in config.providers
        if (key := settings.model_key(name)) is not None
    }
    provider = config.first_added() if choice.provider == ADDED else choice.provider
    return ModelsByPurpose(config, provider, accounts, override=choice.model)


def key_of(provider: str, now: Callable[[], Settings]) -> Callable[[], str]:
    """Give what tells the key of a provider at the moment."""

    def key() -> str:
        """Tell it."""
        found = now().model_key(provider)
        return found.get_secret_value() if found else ""

    return key


def load_policy(path: Path) -> Policy:
    """Read the policy."""
    return read_policy(Section(read_yaml(path), str(path)).values, str(path))


def hidden_places() -> list[Path]:
    """Give the files of secrets that a command in the sandbox must not read."""
    try:
        home = Path.home()
    except RuntimeError:
        return secret_files()
    return [*secret_files(), *(home / name for name in PRIVATE_IN_HOME)]
