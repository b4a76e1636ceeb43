"""The double as tests use it: `with GitHubDouble(folder) as github: github.create("octo/app")`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fakes.github.bare import Bare
from tests.fakes.github.desk import ENTERPRISE, Desk
from tests.fakes.github.faults import Faults
from tests.fakes.github.human import Human
from tests.fakes.github.journal import Journal
from tests.fakes.github.server import Server
from tests.fakes.github.state import BOT, App, Repo, State, Token

APP_ID = 4711
APP_PERMISSIONS = {
    "metadata": "read",
    "contents": "write",
    "pull_requests": "write",
    "issues": "read",
    "checks": "write",
    "statuses": "write",
    "actions": "read",
}
FIRST_FILES = {"app.py": "one\ntwo\nthree\n", "README": "hello\n"}


class GitHubDouble:
    """A GitHub on 127.0.0.1 with real repositories below a folder.

    state    everything it remembers; repositories' settings are plain attributes there
    journal  every request, its cost, and `problems`: what broke GitHub's description
    faults   what shall go wrong
    human    what people do meanwhile
    """

    def __init__(self, folder: Path) -> None:
        """Bind a port; serving begins with the `with` statement."""
        self._folder = folder
        self._server = Server()
        self.state = State()
        self.journal = Journal()
        self.faults = Faults(lambda: self.state.now().timestamp())
        self.human = Human(self.state)
        self._server.desk = Desk(self.state, self.journal, self.faults, self._server.url)

    def __enter__(self) -> Self:
        """Start to serve."""
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let held requests go and stop."""
        self.faults.release()
        self._server.stop()

    @property
    def url(self) -> str:
        """Give the address of the API without a prefix, as of api.github.com."""
        return self._server.url

    @property
    def enterprise_url(self) -> str:
        """Give the address of the API as GitHub Enterprise has it."""
        return f"{self._server.url}{ENTERPRISE}"

    def git_url(self, name: str) -> str:
        """Give the address that git clones from; credentials are not in it."""
        return f"{self._server.url}/{name}.git"

    def create(self, name: str, files: Mapping[str, str | None] | None = None) -> Repo:
        """Make a repository with one commit on main."""
        bare = Bare.create(self._folder / f"{name}.git")
        bare.write("main", FIRST_FILES if files is None else files, None, "First commit")
        return self.host(name, bare.path)

    def host(self, name: str, path: Path) -> Repo:
        """Serve a bare repository that exists already."""
        owner, _, short = name.partition("/")
        bare = Bare(path)
        bare.serve()
        with self.state.lock:
            self.state.person(owner)
            repo = Repo(self.state.next_id(), owner, short, bare, self.state.now())
            self.state.repos[name.lower()] = repo
        return repo

    def token(
        self,
        login: str = BOT,
        *,
        kind: str = "classic",
        repositories: tuple[str, ...] | None = None,
        permissions: dict[str, str] | None = None,
        scopes: str = "repo",
    ) -> str:
        """Give a new token; one of kind `fine` has permissions, `classic` has scopes."""
        with self.state.lock:
            reach = None if repositories is None else frozenset(n.lower() for n in repositories)
            text = f"fake-{kind}-token-{self.state.next_id()}"
            self.state.person(login)
            self.state.tokens[text] = Token(text, kind, login, reach, permissions, scopes)
            return text

    def revoke(self, token: str) -> None:
        """Make a token invalid from now on."""
        with self.state.lock:
            self.state.tokens[token] = replace(self.state.tokens[token], revoked=True)

    def register_app(
        self,
        public_key: str,
        *,
        permissions: dict[str, str] | None = None,
        slug: str = "juggernaut",
    ) -> App:
        """Register an App by its public key (PEM) and install it on every repository."""
        with self.state.lock:
            app = App(
                APP_ID, slug, self.state.next_id(), public_key, permissions or APP_PERMISSIONS
            )
            self.state.person(app.login)
            self.state.app = app
            return app

    def turn(self, seconds: float) -> None:
        """Move GitHub's clock forward, so that tokens expire."""
        with self.state.lock:
            self.state.shift += timedelta(seconds=seconds)
