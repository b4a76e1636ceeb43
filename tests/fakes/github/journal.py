"""Every request that came in, and what was wrong with it or with its answer."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

WAIT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: status 0 when its reply never left; `counted` when it cost quota."""

    method: str
    path: str
    query: str
    kind: str
    status: int
    counted: bool
    git: bool


@dataclass(slots=True)
class Journal:
    """What happened, in order of the answers; safe for the server's threads."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    news: threading.Condition = field(
        default_factory=lambda: threading.Condition(threading.RLock())
    )

    def note(self, entry: Entry, problems: list[str]) -> None:
        """Keep one request."""
        with self.news:
            self.entries.append(entry)
            self.problems += problems
            self.news.notify_all()

    def complain(self, problem: str) -> None:
        """Keep something that went wrong in the double itself."""
        with self.news:
            self.problems.append(problem)

    def of(self, method: str = "*", path: str = "*") -> list[Entry]:
        """Give the requests whose method and path match; `*` in a path spans slashes."""
        with self.news:
            return [
                one
                for one in self.entries
                if fnmatchcase(one.method, method) and fnmatchcase(one.path, path)
            ]

    @property
    def rest_calls(self) -> int:
        """Count the requests to the API, whether they cost quota or not."""
        return len([one for one in self.of() if not one.git])

    @property
    def counted(self) -> int:
        """Count the requests that cost quota."""
        return len([one for one in self.of() if one.counted])

    def wait_for(self, method: str, path: str, number: int = 1) -> None:
        """Block until so many such requests were answered; TimeoutError after ten seconds."""
        with self.news:
            if not self.news.wait_for(lambda: len(self.of(method, path)) >= number, WAIT_SECONDS):
                raise TimeoutError(f"no {method} {path} came in")

    def clear(self) -> None:
        """Forget the requests, to count from here; problems stay."""
        with self.news:
            self.entries.clear()
