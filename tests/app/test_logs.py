"""Log lines are what hosts expect, and hold no secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from juggernaut.app.logs import configure_logs


@pytest.fixture(autouse=True)
def put_logging_back() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    """Parse what was written, one object a line."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_have_message_and_level() -> None:
    """Both our own and the standard library's records; warning is called warn."""
    stream = io.StringIO()
    configure_logs("info", "auto", stream)
    structlog.get_logger("x").warning("hello\nworld", number=1)
    logging.getLogger("y").error("number %d", 2)
    structlog.get_logger("x").debug("too quiet")
    first, second = lines(stream)
    assert (first["message"], first["level"], first["number"]) == ("hello\nworld", "warn", 1)
    assert (second["message"], second["level"]) == ("number 2", "error")
    assert str(first["time"]).endswith("Z")


def test_secrets_are_scrubbed_at_any_depth() -> None:
    """Also in tracebacks and in the standard library's records."""
    stream = io.StringIO()
    configure_logs("info", "json", stream)
    url = "postgresql://op:FAKEpassword@db/swarm"
    structlog.get_logger("x").info("at " + url, deep={"list": [url]})
    logging.getLogger("y").warning("at %s", url)
    try:
        raise ValueError(url)
    except ValueError:
        logging.getLogger("y").exception("broke")
    assert "FAKEpassword" not in stream.getvalue()
    assert len(lines(stream)) == 3


def test_a_console_gets_readable_lines() -> None:
    """No JSON for people."""
    stream = io.StringIO()
    configure_logs("info", "console", stream)
    structlog.get_logger("x").info("hello", number=1)
    assert "hello" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
