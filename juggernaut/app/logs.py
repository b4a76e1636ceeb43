"""Logging: one JSON object a line with `message` and `level`, or readable lines on a terminal.

Everything passes the scrubber, standard-library records too. Lines go to standard output: hosts
such as Railway take standard error for errors.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

from juggernaut.domain import limits
from juggernaut.domain.redact import scrub

LEVELS: Final = {"warning": "warn", "critical": "error"}
QUIET: Final = ("asyncio", "httpx2", "httpcore2", "anthropic", "openai")

EventDict = MutableMapping[str, Any]


def configure_logs(level: str, form: str, stream: TextIO | None = None) -> None:
    """Set up logging for this process; `form` is json, console or auto."""
    out = stream or sys.stdout
    as_json = form == "json" or (form == "auto" and not out.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        scrub_event,
    ]
    renderer: list[structlog.types.Processor] = (
        [as_hosts_expect, structlog.processors.JSONRenderer(ensure_ascii=False, default=str)]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=out.isatty())]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                scrub_event,
                *renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def scrub_event(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Scrub and bound every text of an event, at any depth."""
    return {key: scrubbed(value) for key, value in event.items()}


def scrubbed(value: object) -> object:
    """Give a value without secrets; texts are bounded."""
    if isinstance(value, str):
        return scrub(value)[: limits.LOG_MESSAGE_CHARS]
    if isinstance(value, dict):
        return {key: scrubbed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(item) for item in value]
    return value


def as_hosts_expect(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Name the text `message`, and use the levels debug, info, warn and error."""
    event["message"] = event.pop("event", "")
    level = str(event.get("level", "info"))
    event["level"] = LEVELS.get(level, level)
    return event
