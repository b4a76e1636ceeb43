"""One place where whatever goes wrong on the wire becomes an error of our own tree.

The SDKs leak three kinds of exception: their own, those of the HTTP library under them and
those of the JSON parser. All are translated here, and none is kept as a cause: a chained
exception would carry headers, and with them the key, into a log.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from juggernaut.domain import limits
from juggernaut.domain.errors import ModelError, ModelGarbled, ModelRefused, ModelUnavailable
from juggernaut.domain.model import Json

_PASSING: Final = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
_SERVER_ERRORS: Final = range(500, 600)
_REDIRECTS: Final = range(300, 400)
# What an error without a status of its own counts as.
UPSTREAM_FAILED: Final = int(HTTPStatus.BAD_GATEWAY)
_REMEDIES: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "check the API key",
    HTTPStatus.PAYMENT_REQUIRED: "check the account's credit",
    HTTPStatus.FORBIDDEN: "check what the API key may do",
    HTTPStatus.NOT_FOUND: "check the model's name and the base URL",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the request is too large for this model",
}


def scrub(text: str, secret: str | None) -> str:
    """Make a provider's text fit for a message: no key, one line, bounded."""
    if secret:
        text = text.replace(secret, "[key]")
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if len(line) > limits.MODEL_ERROR_CHARS:
        return line[: limits.MODEL_ERROR_CHARS] + "..."
    return line


def refuse_error(reply: Json, name: str, secret: str | None) -> None:
    """Raise what is reported inside a reply of status 200, or by the last event of a stream.

    `begun` in the reply: the stream had begun, so it may have been charged for.
    """
    error = reply.get("error")
    if not isinstance(error, Mapping):
        return
    status = error.get("code")
    raise from_status(
        status if isinstance(status, int) else UPSTREAM_FAILED,
        provider_message(error),
        name=name,
        retry_after=None,
        secret=secret,
        maybe_billed=bool(reply.get("begun")),
    )


def from_status(
    status: int,
    detail: str,
    *,
    name: str,
    retry_after: float | None,
    secret: str | None,
    maybe_billed: bool = False,
) -> ModelError:
    """Translate an HTTP status; `name` is provider/model."""
    said = scrub(detail, secret) or "no message"
    if status in _PASSING or status in _SERVER_ERRORS:
        return ModelUnavailable(
            f"{name} is not available ({status}: {said})",
            retry_after_seconds=retry_after,
            maybe_billed=maybe_billed,
        )
    if status in _REDIRECTS:
        remedy = "the base URL redirects, and a key is never sent on; set the final URL"
    else:
        remedy = _REMEDIES.get(status, "the request itself must change")
    return ModelRefused(f"{name} refused the request ({status}: {said}); {remedy}")


def translate(error: Exception, *, name: str, seconds: float, secret: str | None) -> ModelError:
    """Translate what an SDK, its HTTP library or a parser raised; `seconds` was the limit."""
    if isinstance(error, ModelError):
        return error
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and response is not None:
        wait = retry_after_seconds(response.headers)
        detail = provider_message(getattr(error, "body", None)) or f"{type(error).__name__}"
        return from_status(status, detail, name=name, retry_after=wait, secret=secret)
    # The SDKs say "Connection error."; what is under it says why.
    root = error.__cause__ or error
    arrived = "Connect" not in type(root).__name__  # ConnectError, ConnectTimeout: never there
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return ModelUnavailable(
            f"{name} gave no full reply within {seconds:g} s", maybe_billed=arrived
        )
    reason = scrub(f"{type(root).__name__}: {root}", secret)
    if isinstance(error, ValueError):
        return ModelGarbled(f"{name} sent what cannot be read ({reason})")
    return ModelUnavailable(
        f"{name} could not be reached or hung up ({reason})", maybe_billed=arrived
    )


def provider_message(body: object) -> str:
    """Find the provider's own words in an error body, whichever of the usual forms it has."""
    if isinstance(body, Mapping):
        inner = body.get("error")
        if isinstance(inner, Mapping):
            return provider_message(inner)
        message = body.get("message") or inner
        # OpenRouter says only "Provider returned error" and has the provider's words apart.
        metadata = body.get("metadata")
        raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
        return " ".join(part for part in (message, raw) if isinstance(part, str))
    return body if isinstance(body, str) else ""


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After (RFC 9110: seconds or a date); None when absent or senseless."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        seconds = _until(value)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _until(date: str) -> float:
    """Give the seconds until an HTTP date, or NaN when it is none."""
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime.now(UTC)).total_seconds()
