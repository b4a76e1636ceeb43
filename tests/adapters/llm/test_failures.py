from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from juggernaut.adapters.llm.failures import (
    from_status,
    retry_after_seconds,
    scrub,
    translate,
)
from juggernaut.domain import limits
from juggernaut.domain.errors import ModelRefused, ModelUnavailable

KEY = "FAKE-key-1234"


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_what_passes_is_unavailable(status: int) -> None:
    """Waiting helps."""
    error = from_status(status, "later", name="a/b", retry_after=2.0, secret=KEY)
    assert type(error) is ModelUnavailable
    assert error.retry_after_seconds == 2.0
    assert str(error) == f"a/b is not available ({status}: later)"


@pytest.mark.parametrize("status", [301, 307, 400, 401, 402, 403, 404, 405, 413, 422, 451])
def test_what_stays_is_refused(status: int) -> None:
    """Waiting does not help; the message names the remedy."""
    error = from_status(status, f"no {KEY}", name="a/b", retry_after=None, secret=KEY)
    assert type(error) is ModelRefused
    assert KEY not in str(error)
    assert "; " in str(error)


def test_a_message_is_one_short_line_without_the_key() -> None:
    """Whatever a provider sends as its message."""
    assert scrub(f"a\n\x1b[31m {KEY}\u2028b", KEY) == "a [31m [key] b"
    assert len(scrub("x" * 10_000, KEY)) <= limits.MODEL_ERROR_CHARS + 3
    assert scrub("x", None) == "x"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("7", 7.0), ("0", 0.0), ("1.5", 1.5), ("-1", None), ("nan", None), ("inf", None), ("x", None)],
)
def test_retry_after_in_seconds(value: str, expected: float | None) -> None:
    """What is senseless counts as absent."""
    assert retry_after_seconds({"retry-after": value}) == expected
    assert retry_after_seconds({}) is None


def test_retry_after_as_a_date() -> None:
    """RFC 9110 allows a date; one that has passed counts as absent."""
    soon = datetime.now(UTC) + timedelta(seconds=100)
    seconds = retry_after_seconds({"retry-after": format_datetime(soon, usegmt=True)})
    assert seconds is not None
    assert 90 < seconds <= 100
    past = format_datetime(soon - timedelta(days=1), usegmt=True)
    assert retry_after_seconds({"retry-after": past}) is None


def test_what_may_have_been_billed_says_so() -> None:
    """A server that was never reached billed nothing; one that hung up may have."""

    class ConnectError(Exception):
        """What the HTTP library raises when nobody answers."""

    def cost(error: Exception) -> bool:
        """Translate, and read the flag."""
        found = translate(error, name="x/y", seconds=1, secret=None)
        assert isinstance(found, ModelUnavailable)
        return found.maybe_billed

    assert not cost(ConnectError("refused"))
    assert cost(OSError("peer closed connection"))
    assert cost(TimeoutError())
