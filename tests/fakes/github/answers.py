"""What a request gets back: an answer, or a refusal in GitHub's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DOCS = "https://docs.github.com/rest"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; `raw` stands instead of JSON for logs and git."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None


class Refused(Exception):
    """GitHub refuses a request; the answer says why."""

    def __init__(self, status: int, message: str, errors: list[Any] | None = None) -> None:
        """Keep what goes out."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors

    def answer(self) -> Answer:
        """Give the refusal in the form of an answer."""
        body: Json = {
            "message": self.message,
            "documentation_url": DOCS,
            "status": str(self.status),
        }
        if self.errors is not None:
            body["errors"] = self.errors
        return Answer(self.status, body)


def not_found() -> Refused:
    """Refuse what is not there, or may not be seen."""
    return Refused(404, "Not Found")


def invalid(resource: str, field_name: str, code: str = "invalid") -> Refused:
    """Refuse one field of a request."""
    return Refused(
        422,
        "Validation Failed",
        [{"resource": resource, "field": field_name, "code": code}],
    )


def custom(resource: str, message: str) -> Refused:
    """Refuse a request by a rule of its own, which only its message names."""
    return Refused(
        422, "Validation Failed", [{"resource": resource, "code": "custom", "message": message}]
    )
