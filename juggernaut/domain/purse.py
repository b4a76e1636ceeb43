"""What a call means to the purse."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Most:
    """The most that a call may cost, in US dollars and in tokens."""

    usd: Decimal
    tokens: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is set aside for a call, and once an attempt for its landing turn."""

    model: str
    purpose: str
    digest: str
    most: Most
    landing: Most | None = None


class Landing(StrEnum):
    """What a call has to do with its attempt's landing turn: keeps money for it, or is it.

    bare: for a landing turn without the rules and tools of the call, which may be long.
    """

    NONE = "none"
    KEPT = "kept"
    KEPT_BARE = "kept bare"
    TURN = "turn"
