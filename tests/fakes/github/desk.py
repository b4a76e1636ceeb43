"""One request from the door to its answer: faults, credentials, quota, route, contract."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes.github import (
    graphql,
    rest_apps,
    rest_checks,
    rest_git,
    rest_pulls,
    rest_repo,
    rest_talk,
)
from tests.fakes.github.access import Caller, caller
from tests.fakes.github.answers import Answer, Refused
from tests.fakes.github.faults import Fault, Faults
from tests.fakes.github.git_http import GIT_PATH, serve_git
from tests.fakes.github.journal import Entry, Journal
from tests.fakes.github.openapi import answer_problems, extract, request_problems
from tests.fakes.github.render_pulls import PullRender
from tests.fakes.github.routes import ROUTER, Call
from tests.fakes.github.state import State

# Importing these modules is what fills the router.
SERVED = (graphql, rest_apps, rest_checks, rest_git, rest_pulls, rest_repo, rest_talk)
ENTERPRISE = "/api/v3"
ENTERPRISE_GRAPH = "/api/graphql"
FREE = ("/rate_limit", "/_logs/")
HOUR_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came in; names of headers are in small letters."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    data: bytes


@dataclass(frozen=True, slots=True)
class Desk:
    """Where requests are dealt with; `web` is the double's own address."""

    state: State
    journal: Journal
    faults: Faults
    web: str

    def handle(self, incoming: Incoming) -> Answer | None:
        """Answer a request; None cuts the connection."""
        prefix, path = _split(incoming.path)
        git = bool(GIT_PATH.fullmatch(incoming.path))
        faults = self.faults.take(incoming.method, path)
        for fault in faults:
            self._before(fault)
        early = [fault for fault in faults if fault.instead or (fault.drop and not fault.effect)]
        problems: list[str] = []
        kind = "none"
        if early:
            answer = early[0].instead
        else:
            answer, kind, problems = self._answer(incoming, prefix, path, git=git)
            answer = self._after(answer, faults)
        if answer is not None and not git:
            answer = self._counted(incoming, path, answer)
        counted = answer is not None and "X-RateLimit-Used" in answer.headers and not git
        entry = Entry(
            incoming.method,
            path,
            incoming.query,
            kind,
            answer.status if answer else 0,
            counted and not _free(path, answer),
            git,
        )
        self.journal.note(entry, problems)
        return answer

    def _before(self, fault: Fault) -> None:
        """Wait and act before a request is dealt with."""
        if fault.hold is not None:
            fault.hold.wait(fault.hold_seconds)
        if fault.before is not None:
            fault.before()

    def _after(self, answer: Answer, faults: list[Fault]) -> Answer | None:
        """Let a finished answer go wrong."""
        if any(fault.drop for fault in faults):
            return None
        spoiled = [fault.after for fault in faults if fault.after]
        return spoiled[0] if spoiled else answer

    def _answer(
        self, incoming: Incoming, prefix: str, path: str, *, git: bool
    ) -> tuple[Answer, str, list[str]]:
        """Give the real answer, the kind of credential, and what is against the contract."""
        known = Caller()
        try:
            with self.state.lock:
                known = caller(self.state, incoming.headers.get("authorization"))
            if git:
                raw = serve_git(
                    self.state, known, incoming.method, incoming.path, incoming.query,
                    incoming.headers, incoming.data,
                )  # fmt: skip
                return raw, known.kind, []
            if self.state.used >= self.state.limit and not path.startswith(FREE):
                raise Refused(403, "API rate limit exceeded for user ID 1.")
            answer, problems = self._routed(incoming, prefix, path, known)
            return answer, known.kind, problems
        except Refused as refused:
            return refused.answer(), known.kind, []

    def _routed(
        self, incoming: Incoming, prefix: str, path: str, known: Caller
    ) -> tuple[Answer, list[str]]:
        """Find the function of a request, call it, and hold both sides to the contract."""
        found = ROUTER.find(incoming.method, path)
        if found is None:
            problem = f"the double does not know {incoming.method} {path}"
            return Refused(404, "Not Found").answer(), [problem]
        route, params = found
        try:
            body = json.loads(incoming.data) if incoming.data else None
        except ValueError:
            return Refused(400, "Problems parsing JSON").answer(), [f"{path}: body is no JSON"]
        query = dict(parse_qsl(incoming.query, keep_blank_values=True))
        described = route.name in extract()["operations"]
        problems = request_problems(route.name, query, body) if described else []
        with self.state.lock:
            call = Call(
                self.state,
                known,
                PullRender(self.state, f"{self.web}{prefix}", self.web),
                path,
                params,
                query,
                _fields(body),
                route.needs,
            )
            try:
                answer = route.handler(call)
            except Refused as refused:
                answer = refused.answer()
        if described:
            problems += answer_problems(route.name, answer.status, answer.body)
        return self._tagged(incoming, known, answer), problems

    def _tagged(self, incoming: Incoming, known: Caller, answer: Answer) -> Answer:
        """Give an answer its tag, or say that the client has it already."""
        headers = dict(answer.headers)
        if known.token and known.token.kind == "classic":
            headers["X-OAuth-Scopes"] = known.token.scopes
        if incoming.method == "GET" and answer.status == 200 and answer.raw is None:
            digest = hashlib.sha256(json.dumps(answer.body, sort_keys=True).encode()).hexdigest()
            headers["ETag"] = f'W/"{digest}"'
            if incoming.headers.get("if-none-match") == headers["ETag"]:
                return Answer(304, None, headers)
        return replace(answer, headers=headers)

    def _counted(self, incoming: Incoming, path: str, answer: Answer) -> Answer:
        """Count a request against the hour, and say in the headers what is left."""
        with self.state.lock:
            if not _free(path, answer):
                self.state.used += 1
            left = max(self.state.limit - self.state.used, 0)
            headers = {
                "X-RateLimit-Limit": str(self.state.limit),
                "X-RateLimit-Remaining": str(left),
                "X-RateLimit-Used": str(self.state.used),
                "X-RateLimit-Reset": str(int(self.state.now().timestamp()) + HOUR_SECONDS),
                "X-RateLimit-Resource": "core",
                "X-GitHub-Request-Id": f"FAKE:{len(self.journal.entries)}",
            }
        return replace(answer, headers={**headers, **answer.headers})


def _free(path: str, answer: Answer | None) -> bool:
    """Say whether a request costs nothing: unchanged, unauthorized, or about the quota."""
    return answer is None or answer.status in {304, 401} or path.startswith(FREE)


def _split(path: str) -> tuple[str, str]:
    """Take the prefix of GitHub Enterprise off."""
    if path == ENTERPRISE_GRAPH:
        return ENTERPRISE, "/graphql"
    if path.startswith(f"{ENTERPRISE}/"):
        return ENTERPRISE, path.removeprefix(ENTERPRISE)
    return "", path


def _fields(body: Any) -> dict[str, Any]:
    """Give a body as fields; a bare list is one of labels, the only one that GitHub takes."""
    if isinstance(body, dict):
        return body
    return {"labels": body} if isinstance(body, list) else {}
