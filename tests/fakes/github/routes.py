"""Which function answers which request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlencode

from tests.fakes.github.access import Caller
from tests.fakes.github.answers import Answer, Json, Refused, not_found
from tests.fakes.github.render_pulls import PullRender
from tests.fakes.github.state import PullRecord, Repo, State

PER_PAGE = 30
MAX_PER_PAGE = 100
# Parts of a path that may hold slashes.
DEEP = frozenset({"ref", "path", "branch", "basehead"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request, with all that its function needs."""

    state: State
    caller: Caller
    render: PullRender
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: Json
    needs: str = ""

    def repo(self) -> Repo:
        """Give the repository of the path, if the caller may do here what the route does."""
        repo = self.state.repo(f"{self.params['owner']}/{self.params['repo']}")
        if repo is None:
            raise not_found()
        self.caller.check(repo, self.needs)
        return repo

    def pull(self, repo: Repo) -> PullRecord:
        """Give the pull request of the path."""
        number = self.params.get("pull_number") or self.params.get("issue_number") or ""
        pull = repo.pulls.get(int(number)) if number.isdigit() else None
        if pull is None:
            raise not_found()
        return pull

    def require(self, name: str) -> Any:
        """Give a field of the body that has to be there."""
        if self.body.get(name) in (None, ""):
            raise Refused(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')
        return self.body[name]

    def page(self, items: list[Any], key: str = "") -> Answer:
        """Give one page of a list, with links to the others; `key` wraps it with its length."""
        size = min(max(_number(self.query.get("per_page"), PER_PAGE), 1), MAX_PER_PAGE)
        last = max((len(items) + size - 1) // size, 1)
        at = max(_number(self.query.get("page"), 1), 1)
        part = items[(at - 1) * size : at * size]
        targets = {"prev": at - 1, "next": at + 1, "last": last, "first": 1}
        if at >= last:
            targets = {"prev": at - 1, "first": 1}
        if at == 1:
            targets = {rel: page for rel, page in targets.items() if rel in {"next", "last"}}
        links = [f'<{self._address(page)}>; rel="{rel}"' for rel, page in targets.items()]
        headers = {"Link": ", ".join(links)} if links else {}
        body = {"total_count": len(items), key: part} if key else part
        return Answer(200, body, headers)

    def _address(self, page: int) -> str:
        """Give this request's address with another page."""
        query = urlencode({**self.query, "page": str(page)})
        return f"{self.render.base}{self.path}?{query}"


Handler = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path with gaps; `needs` is the permission, `contents:read` for instance."""

    method: str
    template: str
    needs: str
    handler: Handler
    pattern: re.Pattern[str]

    @property
    def name(self) -> str:
        """Give the name that the operation has in GitHub's description."""
        return f"{self.method} {self.template}"


@dataclass(slots=True)
class Router:
    """All routes; the one with the most fixed words wins."""

    routes: list[Route] = field(default_factory=list)

    def on(self, method: str, template: str, needs: str = "") -> Callable[[Handler], Handler]:
        """Let a function answer a kind of request."""

        def register(handler: Handler) -> Handler:
            """Keep the function."""
            self.routes.append(Route(method, template, needs, handler, _pattern(template)))
            self.routes.sort(key=lambda one: -len(re.sub(r"\{\w+\}", "", one.template)))
            return handler

        return register

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Give the route of a request and what stands in its gaps."""
        for route in self.routes:
            found = route.pattern.fullmatch(path) if route.method == method else None
            if found:
                return route, {key: unquote(value) for key, value in found.groupdict().items()}
        return None


def _pattern(template: str) -> re.Pattern[str]:
    """Turn a path with gaps into an expression."""
    parts = re.split(r"\{(\w+)\}", template)
    text = ""
    for place, part in enumerate(parts):
        if place % 2 == 0:
            text += re.escape(part)
        else:
            text += f"(?P<{part}>.+)" if part in DEEP else f"(?P<{part}>[^/]+)"
    return re.compile(text)


def _number(text: str | None, otherwise: int) -> int:
    """Read a number out of a query."""
    return int(text) if text and text.isdigit() else otherwise


ROUTER = Router()
on = ROUTER.on
