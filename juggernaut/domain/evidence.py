"""What each task type owes before it may be called completed.

The database holds the same table and refuses what falls short; here the program finds out
before it asks, and names what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from juggernaut.domain.digest import canonical
from juggernaut.domain.limits import EVIDENCE_BYTES
from juggernaut.domain.model import Evidence

OWED: Final[Mapping[str, tuple[str, ...]]] = {
    "code": ("pull_number", "pull_url", "head_sha", "base_sha", "merged_sha", "files", "tests"),
    "documentation": ("location", "merged_sha"),
    "test": ("command", "exit_code", "passed", "failed", "sha"),
    "verification": ("checks", "sha"),
    "command": ("command", "exit_code", "output_digest"),
    "research": ("sources", "report_id"),
    "report": ("report_id", "metrics_digest"),
    "planning": ("task_ids",),
    "strategy": ("recommendation_ids", "metrics_digest"),
}
_SHA: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_MAY_BE_EMPTY: Final = frozenset({"recommendation_ids"})


def shortcomings(evidence: Evidence) -> tuple[str, ...]:
    """Name everything that keeps evidence from proving its kind of task."""
    facts = evidence.facts
    if evidence.kind not in OWED:
        return () if facts else (f"{evidence.kind} evidence has no facts",)
    found = [f"{key} is missing" for key in OWED[evidence.kind] if facts.get(key) is None]
    for key, value in facts.items():
        if key == "sha" or key.endswith("_sha"):
            if not isinstance(value, str) or not _SHA.fullmatch(value):
                found.append(f"{key} is not a commit: {str(value)[:80]!r}")
        elif isinstance(value, list | tuple) and not value and key not in _MAY_BE_EMPTY:
            found.append(f"{key} is empty")
    size = len(canonical(facts))
    if size > EVIDENCE_BYTES:
        found.append(f"it has {size} bytes, at most {EVIDENCE_BYTES} are kept")
    return tuple(found)
