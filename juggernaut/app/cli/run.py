"""`juggernaut run`: the workers of one process, until a signal ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from juggernaut.app.cli.output import EXIT_INTERRUPTED, ConfigOption, DsnOption, run_async
from juggernaut.domain import limits
from juggernaut.domain.errors import DatabaseUnreachable

if TYPE_CHECKING:
    from juggernaut.app.setting_sources import Loaded
    from juggernaut.runtime.process import Process

T = TypeVar("T")

TypeOption = Annotated[
    str | None,
    typer.Option(
        "--type", help="Role, comma list of roles, or all; overrides WORKER_TYPE.", metavar="ROLES"
    ),
]


RecordOption = Annotated[
    str | None,
    typer.Option(
        "--record", help="Folder for cassettes; overrides JUGGERNAUT_RECORD.", metavar="DIR"
    ),
]


def run(
    worker_type: TypeOption = None,
    once: Annotated[
        bool, typer.Option("--once", help="Do what is there and end, as a cron service does.")
    ] = False,
    record: RecordOption = None,
    dsn: DsnOption = None,
    config: ConfigOption = None,
) -> None:
    """Run workers. SIGTERM: no new claims, running attempts finish or are given back, exit 0.

    Example: `WORKER_TYPE=executor juggernaut run`
    """
    flags = {"worker_type": worker_type, "database_url": dsn, "record": record}
    raise typer.Exit(run_async(work(flags, once, config)))


async def work(flags: Mapping[str, object], once: bool, config: str | None) -> int:
    """Read the settings and run; gives the exit code."""
    from juggernaut.adapters.clock import SystemClock
    from juggernaut.app.logs import configure_logs
    from juggernaut.app.opaque import forget_variables, make_opaque
    from juggernaut.app.secret_files import known_values
    from juggernaut.app.setting_sources import SECRETS, load_settings, variable
    from juggernaut.domain.secret_forms import remembered
    from juggernaut.runtime.process import Process

    loaded = load_settings(flags, config)
    make_opaque()
    forget_variables(variable(name) for name in SECRETS)
    configure_logs(loaded.settings.log_level, loaded.settings.log_format)
    process = Process(SystemClock())
    with process.signals(), remembered(known_values(loaded.settings)):
        try:
            await serve(loaded, process, once)
        except asyncio.CancelledError:
            if not process.hurried:
                raise
            return EXIT_INTERRUPTED
    return 0


async def serve(loaded: Loaded, process: Process, once: bool) -> None:
    """Connect and run workers. Raises FatalLoss, and whatever makes a start senseless."""
    from juggernaut.app.wiring import build

    async with AsyncExitStack() as stack:
        runtime = await patiently(
            process,
            lambda: stack.enter_async_context(build(loaded, process, once=once)),
            seconds=0.0 if once else limits.RESTART_WINDOW_SECONDS,
        )
        if runtime is not None:
            await process.run(runtime.workers, runtime.helpers)


async def patiently(
    process: Process, start: Callable[[], Awaitable[T]], *, seconds: float
) -> T | None:
    """Start; while the database gives no answer, again for so long. None when stopped."""
    import structlog

    from juggernaut.runtime.pause import backoff, pause

    log = structlog.get_logger(__name__)
    began = process.clock.monotonic()
    failures = 0
    while not process.stopping.is_set():
        try:
            return await start()
        except DatabaseUnreachable as error:
            if process.clock.monotonic() - began >= seconds:
                raise
            failures += 1
            if failures == 1:
                log.warning("database unreachable", error=str(error), retry_seconds=seconds)
        await pause(process.clock, backoff(failures), process.stopping)
    return None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)
