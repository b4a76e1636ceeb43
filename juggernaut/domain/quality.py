"""What a linter found, narrowed to the lines that a change added or rewrote."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from juggernaut.domain.diffs import unquoted
from juggernaut.domain.limits import QUALITY_FINDINGS, QUALITY_HINT_CHARS, TITLE_CHARS

SYNTAX: Final = "syntax"
# A ruff configuration, the first of a folder wins: a name, and the table that makes it one.
LINTER_FILES: Final = (".ruff.toml", "ruff.toml", "pyproject.toml")
_SUFFIXES: Final = (".py", ".pyi")
_SILENCED: Final = re.compile(r"#\s*(?:(?:ruff|flake8)\s*:\s*)?noqa\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One complaint of the linter, about the lines from `line` to `last_line` of a file."""

    path: str
    line: int
    last_line: int
    code: str
    message: str
    hint: str = ""

    def told(self) -> str:
        """Give the finding as one line, with what the linter would write instead."""
        said = f"{self.path}:{self.line}: {self.code} {self.message}"
        return f"{said}\n    suggested: {self.hint}" if self.hint else said


@dataclass(slots=True)
class Changed:
    """The lines that a change wrote: by path; a path in `new` is the change's own altogether."""

    lines: dict[str, frozenset[int]] = field(default_factory=dict)
    new: set[str] = field(default_factory=set)
    silenced: int = 0  # comments that switch a linter off, on lines of the change

    def holds(self, finding: Finding) -> bool:
        """Say whether a finding touches what the change wrote."""
        if finding.path in self.new:
            return True
        written = self.lines.get(finding.path, frozenset())
        return any(line in written for line in range(finding.line, finding.last_line + 1))


def python_files(paths: Iterable[str]) -> tuple[str, ...]:
    """Give the paths that hold Python."""
    return tuple(path for path in paths if path.endswith(_SUFFIXES))


def changed_lines(diff: str, files: Collection[str]) -> Changed:
    """Read which lines of a diff are new; a diff that cannot be read makes all of them new."""
    try:
        patch = PatchSet.from_string(diff)
    except UnidiffParseError:
        return Changed(new=set(files))
    found = Changed()
    for file in patch:
        quoted = file.path.startswith('"')
        path = unquoted(file.path).removeprefix("b/") if quoted else file.path
        if file.is_added_file:
            found.new.add(path)
        added = [line for hunk in file for line in hunk if line.is_added]
        found.lines[path] = frozenset(line.target_line_no or 0 for line in added)
        found.silenced += sum(bool(_SILENCED.search(line.value)) for line in added)
    return found


def read_findings(output: str, root: str) -> tuple[Finding, ...]:
    """Read ruff's json-lines; other lines (warnings, a cut in the middle) are passed over."""
    return tuple(_findings(output, root.rstrip("/") + "/"))


def on_changed(findings: Iterable[Finding], changed: Changed) -> tuple[Finding, ...]:
    """Keep the findings on lines that the change wrote."""
    return tuple(finding for finding in findings if changed.holds(finding))


def told(findings: Collection[Finding]) -> str:
    """List findings for the one who has to mend them; very many are counted."""
    shown = [finding.told() for finding in list(findings)[:QUALITY_FINDINGS]]
    more = len(findings) - len(shown)
    return "\n".join([*shown, *([f"... and {more} more"] if more > 0 else [])])


def _findings(output: str, root: str) -> Iterator[Finding]:
    """Yield what is a finding among the lines of an output."""
    for line in output.splitlines():
        if not line.startswith("{"):
            continue
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "filename" in found:
            yield _finding(found, root)


def _finding(found: Mapping[str, object], root: str) -> Finding:
    """Read one finding; what it lacks is empty."""
    line = _row(found.get("location"), 1)
    return Finding(
        path=str(found["filename"]).removeprefix(root),
        line=line,
        last_line=max(line, _last_row(found.get("end_location"), line)),
        code=str(found.get("code") or SYNTAX),
        message=" ".join(str(found.get("message", "")).split())[:TITLE_CHARS],
        hint=_hint(found.get("fix")),
    )


def _row(place: object, default: int) -> int:
    """Give the row of a place."""
    row = place.get("row") if isinstance(place, Mapping) else None
    return row if isinstance(row, int) else default


def _last_row(place: object, line: int) -> int:
    """Give the last row of which a range has a part; it ends before its end column."""
    row = _row(place, line)
    column = place.get("column") if isinstance(place, Mapping) else None
    return row - 1 if column == 1 and row > line else row


def _hint(fix: object) -> str:
    """Give what the linter would write, if it is one short edit."""
    edits = fix.get("edits") if isinstance(fix, Mapping) else None
    if not isinstance(edits, list) or len(edits) != 1 or not isinstance(edits[0], Mapping):
        return ""
    return str(edits[0].get("content", "")).strip()[:QUALITY_HINT_CHARS]
