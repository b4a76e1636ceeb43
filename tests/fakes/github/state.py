"""What GitHub remembers: people, tokens, repositories, pull requests, checks, remarks."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.fakes.github.bare import Bare

BOT = "juggernaut-bot"
ROLES = ("read", "write", "admin")
FIRST_ID = 1001


@dataclass(slots=True)
class Person:
    """An account; a Bot is the face of an App."""

    id: int
    login: str
    kind: str = "User"


@dataclass(slots=True)
class Token:
    """A credential: classic, fine or installation; None for repositories means all."""

    text: str
    kind: str
    login: str
    repositories: frozenset[str] | None = None
    permissions: dict[str, str] | None = None
    scopes: str = "repo"
    expires_at: datetime | None = None
    revoked: bool = False


@dataclass(slots=True)
class Protection:
    """The rules of a branch, as classic protection or as a ruleset."""

    checks: tuple[str, ...] = ()
    strict: bool = False
    approvals: int = 0
    dismiss_stale: bool = False
    merge_queue: bool = False
    ruleset: bool = False


@dataclass(slots=True)
class CheckRun:
    """A check run at a commit; one of Actions has a job with the same id."""

    id: int
    sha: str
    name: str
    status: str
    conclusion: str | None
    app: str
    run_id: int
    started_at: datetime
    completed_at: datetime | None = None
    output: dict[str, str | None] = field(default_factory=dict)
    details_url: str | None = None
    external_id: str | None = None
    log: str | None = None


@dataclass(slots=True)
class CommitStatus:
    """A commit status; the newest of a context counts."""

    id: int
    sha: str
    context: str
    state: str
    description: str | None
    target_url: str | None
    creator: str
    at: datetime


@dataclass(slots=True)
class ReviewRecord:
    """A review of a pull request at one commit."""

    id: int
    login: str
    state: str
    body: str
    sha: str
    at: datetime


@dataclass(slots=True)
class Remark:
    """A comment: on the conversation, or on a line when `path` is set."""

    id: int
    login: str
    body: str
    at: datetime
    path: str | None = None
    line: int | None = None
    sha: str = ""
    reply_to: int | None = None
    review: int | None = None


@dataclass(slots=True)
class Judgement:
    """What the background job found for a head and a base; `reads` until it is done."""

    head: str
    base: str
    reads: int
    done: bool = False
    clean: bool = False
    test_merge: str | None = None


@dataclass(slots=True)
class PullRecord:
    """A pull request between two branches of one repository."""

    id: int
    number: int
    title: str
    body: str | None
    head_ref: str
    base_ref: str
    head_sha: str
    base_sha: str
    login: str
    created_at: datetime
    updated_at: datetime
    draft: bool = False
    state: str = "open"
    closed_at: datetime | None = None
    closed_by: str | None = None
    merged_at: datetime | None = None
    merged_by: str | None = None
    merged_sha: str | None = None
    judgement: Judgement | None = None
    base_seen: str = ""
    auto_merge: str | None = None
    auto_merge_by: str = ""
    queued: bool = False
    labels: list[str] = field(default_factory=list)
    reviews: list[ReviewRecord] = field(default_factory=list)
    comments: list[Remark] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    @property
    def node_id(self) -> str:
        """Give the id by which GraphQL knows it."""
        return f"PR_{self.id}"


@dataclass(slots=True)
class Repo:
    """A repository and its settings."""

    id: int
    owner: str
    name: str
    bare: Bare
    created_at: datetime
    default_branch: str = "main"
    private: bool = True
    allow_squash_merge: bool = True
    allow_merge_commit: bool = True
    allow_rebase_merge: bool = True
    allow_auto_merge: bool = False
    delete_branch_on_merge: bool = False
    drafts: bool = True
    slow_mergeability: int = 1
    next_number: int = 1
    roles: dict[str, str] = field(default_factory=dict)
    protections: dict[str, Protection] = field(default_factory=dict)
    pulls: dict[int, PullRecord] = field(default_factory=dict)
    checks: list[CheckRun] = field(default_factory=list)
    statuses: list[CommitStatus] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """Give owner/name."""
        return f"{self.owner}/{self.name}"

    def role(self, login: str) -> str:
        """Give what a person may do here; writing is the default."""
        return self.roles.get(login, "write")


@dataclass(slots=True)
class App:
    """A GitHub App and its one installation; without a key its tokens are not checked."""

    id: int
    slug: str
    installation_id: int
    public_key: str
    permissions: dict[str, str]

    @property
    def login(self) -> str:
        """Give the account that acts for it."""
        return f"{self.slug}[bot]"


@dataclass(slots=True)
class State:
    """Everything, behind one lock."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    people: dict[str, Person] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    repos: dict[str, Repo] = field(default_factory=dict)
    app: App | None = None
    limit: int = 5000
    used: int = 0
    shift: timedelta = timedelta(0)
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(FIRST_ID))

    def now(self) -> datetime:
        """Give the time at GitHub, in whole seconds as everywhere there."""
        return (datetime.now(UTC) + self.shift).replace(microsecond=0)

    def next_id(self) -> int:
        """Give a number that nothing else has."""
        return next(self.ids)

    def person(self, login: str) -> Person:
        """Give an account; it comes into being when it is first named."""
        if login not in self.people:
            kind = "Bot" if login.endswith("[bot]") else "User"
            self.people[login] = Person(self.next_id(), login, kind)
        return self.people[login]

    def repo(self, full_name: str) -> Repo | None:
        """Find a repository; GitHub does not tell upper from lower case in names."""
        return self.repos.get(full_name.lower())

    def pull_by_node(self, node_id: str) -> tuple[Repo, PullRecord] | None:
        """Find a pull request by its GraphQL id."""
        for repo in self.repos.values():
            for pull in repo.pulls.values():
                if pull.node_id == node_id:
                    return repo, pull
        return None
