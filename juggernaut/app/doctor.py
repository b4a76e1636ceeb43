"""What `juggernaut doctor` looks at: each check gives ok, warn or fail, and a remedy."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from juggernaut.domain.errors import ConfigError, JuggernautError

if TYPE_CHECKING:
    from juggernaut.app.logins import ServerFacts
    from juggernaut.app.setting_sources import Loaded

PYTHON_LEAST: Final = (3, 11)
POSTGRES_LEAST: Final = 15
POSTGRES_MOST: Final = 18
VERSION_FACTOR: Final = 10_000
CLOCK_GAP_SECONDS: Final = 5.0
NAMED_LOGINS: Final = 10
GIT_SECONDS: Final = 10.0

HOLDS: Final = "the database holds the line"
BESIDE_REMEDY: Final = (
    "give worker services WORKER_DATABASE_URL alone; an operator's own shell may have both"
)

T = TypeVar("T")
Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    check: str
    level: Level
    detail: str
    remedy: str = ""

    def row(self) -> dict[str, object]:
        """Give it as a row."""
        return asdict(self)


async def offline(load: Callable[[], Loaded]) -> tuple[list[Finding], Loaded | None]:
    """Check this machine and the settings; nothing is asked over a network."""
    from juggernaut.app.doctor_network import check_agent_level, check_network

    findings = [check_python(), check_git()]
    try:
        loaded = load()
    except JuggernautError as error:
        return [*findings, Finding("settings", "fail", str(error))], None
    findings.append(Finding("settings", "ok", f"resources in {loaded.resources.config.parent}"))
    findings += [guarded(name, check, loaded) for name, check in OFFLINE]
    sandbox, level = await check_sandbox(loaded.settings.data_dir)
    findings.append(sandbox)
    for name, at_level in (("network", check_network), ("agent sandbox", check_agent_level)):
        findings.append(guarded(name, partial(at_level, level=level), loaded))
    return findings, loaded


def guarded(name: str, check: Callable[[Loaded], Finding], loaded: Loaded) -> Finding:
    """Run a check; an error that has a name is its finding."""
    try:
        return check(loaded)
    except (JuggernautError, OSError) as error:
        return Finding(name, "fail", str(error))


def check_python() -> Finding:
    """Say whether this Python is new enough."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    good = sys.version_info[:2] >= PYTHON_LEAST
    return Finding("python", "ok" if good else "fail", version, "" if good else "use Python 3.11+")


def check_git() -> Finding:
    """Say whether git is there and new enough."""
    from juggernaut.adapters.forges.git import OLDEST_GIT, REMEDY

    program = shutil.which("git")
    if program is None:
        return Finding("git", "fail", "not on PATH", REMEDY)
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("git", "fail", str(error), REMEDY)
    text = answer.stdout.strip()
    numbers = [part for part in text.split() if part[:1].isdigit()]
    pair = tuple(int(part) for part in numbers[0].split(".")[:2]) if numbers else (0, 0)
    good = answer.returncode == 0 and pair >= OLDEST_GIT
    return Finding("git", "ok" if good else "fail", text[:80], "" if good else REMEDY)


def check_migrations(loaded: Loaded) -> Finding:
    """Say whether the migrations can be read."""
    from juggernaut.app.migration_files import load_migrations

    found = load_migrations(loaded.resources.migrations)
    return Finding("migrations", "ok", f"{len(found)} files")


def check_roles(loaded: Loaded) -> Finding:
    """Say whether every role file loads."""
    from juggernaut.app.role_files import load_role

    names = [load_role(path).name for path in loaded.all_roles().values()]
    if not names:
        return Finding("roles", "fail", "no role file found", "install again, or set roles_dir")
    return Finding("roles", "ok", ", ".join(names))


def check_models(loaded: Loaded) -> Finding:
    """Say which model would be used, built as `run` builds it; raises ConfigError as that does."""
    from juggernaut.adapters.llm.factory import load_models_config
    from juggernaut.app.wiring import build_models

    load_models_config(loaded.resources.config / "models.yaml")
    build_models(loaded, lambda: loaded.settings)
    choice = loaded.settings.model_choice()
    if choice is None:
        return Finding(
            "model",
            "warn",
            "no model key is set: only tasks without a model can be done",
            "set ANTHROPIC_API_KEY, OPENAI_API_KEY or OPENROUTER_API_KEY",
        )
    detail = "/".join(filter(None, (choice.provider, choice.model or "")))
    return Finding("model", "ok", f"scripted: {choice.script}" if choice.script else detail)


def check_agent(loaded: Loaded) -> Finding:
    """Say which code agent would be used, and whether its program answers."""
    from juggernaut.app.agents import agent_version

    return Finding("code agent", "ok", agent_version(loaded.settings))


def check_overhead(loaded: Loaded) -> Finding:
    """Say how many tokens each request of the built-in agent has before the task's first word."""
    from juggernaut.app.resources import read_prompts
    from juggernaut.app.role_files import load_role
    from juggernaut.coder.overhead import overhead_tokens
    from juggernaut.domain.limits import OVERHEAD_TOKENS
    from juggernaut.role.context import DATA_RULE

    prompt = read_prompts(loaded.resources.config / "prompts").get("coder", "")
    roles = [load_role(path).instructions for path in loaded.all_roles().values()]
    tokens = overhead_tokens(f"{prompt}\n\n{max(roles, key=len, default='')}\n\n{DATA_RULE}")
    detail = f"builtin: at most about {tokens} tokens of system prompt and tools in each request"
    if tokens < OVERHEAD_TOKENS:
        return Finding("agent overhead", "ok", detail)
    remedy = f"keep it below {OVERHEAD_TOKENS}: shorten config/prompts/coder.md"
    return Finding("agent overhead", "warn", detail, remedy)


def check_local_postgres(loaded: Loaded) -> Finding:
    """Say whether demo and up could start a PostgreSQL of their own."""
    from juggernaut.app.local_postgres.binaries import candidate_folders

    found = next(iter(candidate_folders()), None)
    if found is not None:
        return Finding("embedded postgresql", "ok", str(found))
    remedy = "for demo and up: pip install 'juggernaut-swarm[local]'"
    return Finding("embedded postgresql", "warn", "no programs found", remedy)


async def check_sandbox(data: Path) -> tuple[Finding, str]:
    """Say how strong the sandbox for commands is, and which attacks it does not stop."""
    from juggernaut.adapters.sandboxes.landlock import unavailable
    from juggernaut.adapters.sandboxes.probe import account_told, best_sandbox
    from juggernaut.adapters.sandboxes.selfcheck import bait_in, examine

    with tempfile.TemporaryDirectory(prefix="juggernaut-doctor-") as folder:
        bait = bait_in(Path(folder))
        sandbox = await best_sandbox(Path(folder, "scratch"), (bait,), data)
        tried = await examine(sandbox, bait)
    through = [one.told for one in tried if not one.stopped]
    detail = f"{sandbox.level}: stops {len(tried) - len(through)} of {len(tried)} attacks"
    if not through:
        return Finding("sandbox", "ok", detail), sandbox.level
    detail += f"; open: {', '.join(through)}"
    if (told := account_told(sandbox)) is not None:
        detail += f"; {told}"
    why = f" ({unavailable() or 'landlock works'})" if sandbox.level == "bare" else ""
    remedy = f"install bubblewrap, and let it make user namespaces{why}"
    return Finding("sandbox", "warn", detail, remedy), sandbox.level


OFFLINE: Final[tuple[tuple[str, Callable[[Loaded], Finding]], ...]] = (
    ("migrations", check_migrations),
    ("roles", check_roles),
    ("model", check_models),
    ("code agent", check_agent),
    ("agent overhead", check_overhead),
    ("embedded postgresql", check_local_postgres),
)


async def online(loaded: Loaded) -> list[Finding]:
    """Check the database: reachable, right version, right schema, right logins."""
    from juggernaut.app.logins import list_logins, server_facts
    from juggernaut.app.migrate import check_schema

    settings = loaded.settings
    try:
        dsn = settings.worker_dsn()
    except ConfigError as error:
        return [Finding("database", "fail", str(error), "or look at this machine only: --offline")]
    worker = await named("database", server_facts(dsn))
    if isinstance(worker, Finding):
        return [worker]
    beside = settings.beside_worker()
    login = judge_login(worker, shared=settings.shared_login, beside=beside)
    findings = [*judge_server(worker), *login]
    folder = loaded.resources.migrations
    drift = await named("schema", check_schema(dsn, folder))
    findings.append(drift or Finding("schema", "ok", "as the migrations make it"))
    findings.append(judge_grants(worker, list(loaded.roles())))
    logins = await named("login bounds", list_logins(dsn))
    findings += [logins] if isinstance(logins, Finding) else judge_bounds(logins, worker.room)
    return findings


async def named(check: str, work: Awaitable[T]) -> T | Finding:
    """Do the work; an error that has a name is a finding."""
    try:
        return await work
    except (JuggernautError, OSError) as error:
        return Finding(check, "fail", str(error))


def judge_server(facts: ServerFacts) -> Iterator[Finding]:
    """Judge version and clock."""
    major = facts.version_num // VERSION_FACTOR
    supported = POSTGRES_LEAST <= major <= POSTGRES_MOST
    yield Finding(
        "database",
        "ok" if supported else "fail",
        f"PostgreSQL {major}, login {facts.login}",
        "" if supported else f"use PostgreSQL {POSTGRES_LEAST} to {POSTGRES_MOST}",
    )
    close = abs(facts.clock_gap) <= CLOCK_GAP_SECONDS
    yield Finding(
        "clock",
        "ok" if close else "warn",
        f"{facts.clock_gap:+.1f} s between the server and this machine",
        "" if close else "set the time of both by NTP",
    )


def judge_login(
    facts: ServerFacts, *, shared: bool, beside: Sequence[str] = ()
) -> Iterator[Finding]:
    """Judge what the workers' login could do besides work; names the mode.

    `beside`: the variables that hold another login's address.
    """
    yield Finding("worker login", *(_shared(facts) if shared else _own(facts, beside)))


def _shared(facts: ServerFacts) -> tuple[Level, str, str]:
    """Judge DATABASE_URL as the login of the workers."""
    from juggernaut.app.logins import SHARED_REMEDY, WORKER_REMEDY, no_worker_role

    if not facts.may_drop:
        return "fail", f"{no_worker_role(facts)}; `juggernaut run` cannot work", SHARED_REMEDY
    if facts.worker and not (facts.superuser or facts.owner or facts.approver):
        # Nothing to drop from: what is there is a worker's.
        told = f"protected: DATABASE_URL is the worker login {facts.login}; {HOLDS}"
        return "ok", told, "call it WORKER_DATABASE_URL"
    told = (
        f"SHARED LOGIN: workers use {facts.login} and drop to juggernaut_worker. It costs: the"
        f" process can take the operator's rights back, and {facts.login} approves no critical"
        " task (threshold shared_login_critical)"
    )
    return "warn", told, WORKER_REMEDY


def _own(facts: ServerFacts, beside: Sequence[str]) -> tuple[Level, str, str]:
    """Judge WORKER_DATABASE_URL."""
    from juggernaut.app.logins import WORKER_REMEDY

    if facts.superuser or facts.owner or facts.approver:
        power = "a superuser" if facts.superuser else "an owner" if facts.owner else "an approver"
        return "fail", f"{facts.login} is {power} too", WORKER_REMEDY
    if not facts.worker:
        return "fail", f"{facts.login} is no juggernaut_worker", WORKER_REMEDY
    mode = f"protected: the worker login {facts.login}"
    if not beside:
        return "ok", f"{mode}; {HOLDS}", ""
    told = (
        f"{mode}; but {' and '.join(beside)} of another login stands beside it here, and a worker"
        " that knows it has those rights too"
    )
    return "warn", told, BESIDE_REMEDY


def judge_grants(facts: ServerFacts, roles: list[str]) -> Finding:
    """Say what the roles of this process may do."""
    have = {role: facts.grants.get(role, ()) for role in roles}
    detail = "; ".join(f"{role}: {', '.join(types) or 'nothing'}" for role, types in have.items())
    if any(have.values()):
        return Finding("grants", "ok", detail)
    remedy = "juggernaut grant ROLE TASK_TYPE, if they should claim tasks"
    return Finding("grants", "warn", detail or "none visible", remedy)


def judge_bounds(logins: Sequence[Mapping[str, object]], room: int) -> Iterator[Finding]:
    """Name the logins that may take all connections, or fill the disk with temporary files.

    room: how many connections all logins together may have.
    """
    for what, unbounded, remedy in (
        (
            f"connections (below the server's {room})",
            [
                str(row["name"])
                for row in logins
                if not isinstance(most := row["most"], int) or most >= room
            ],
            "as operator: ALTER ROLE name CONNECTION LIMIT 20; the server: max_connections",
        ),
        (
            "temporary files",
            [
                str(row["name"])
                for row in logins
                if row["kind"] != "worker" and not row["bounded_files"]
            ],
            "as superuser: ALTER ROLE name SET temp_file_limit = '1GB'",
        ),
    ):
        if unbounded:
            some = ", ".join(unbounded[:NAMED_LOGINS])
            more = len(unbounded) - NAMED_LOGINS
            told = f"no bound for the {what} of {some}{f' and {more} more' if more > 0 else ''}"
            yield Finding("login bounds", "warn", told, remedy)
