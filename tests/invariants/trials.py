"""How often a promise is tried: few times by default, the published number when asked for.

JUGGERNAUT_TRIALS=full runs the numbers that the docs may quote; every test's docstring has both.
"""

from __future__ import annotations

import os

FULL = os.environ.get("JUGGERNAUT_TRIALS") == "full"
TRIAL_TIMEOUT_SECONDS = 3_600 if FULL else 60


def trials(default: int, full: int) -> int:
    """Give the number of trials of this run."""
    return full if FULL else default
