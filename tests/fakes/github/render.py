"""People, repositories and commits in GitHub's form; every address is the double's own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from tests.fakes.github.answers import Json
from tests.fakes.github.bare import Bare
from tests.fakes.github.state import App, Person, Repo, State

USER_PLACES = ("followers", "orgs", "repos", "received_events", "subscriptions")
REPO_PLACES = {
    "archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}", "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}", "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}", "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}", "contributors_url": "/contributors",
    "deployments_url": "/deployments", "downloads_url": "/downloads", "events_url": "/events",
    "forks_url": "/forks", "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}", "git_tags_url": "/git/tags{/sha}", "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}", "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}", "labels_url": "/labels{/name}",
    "languages_url": "/languages", "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}", "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers", "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers", "subscription_url": "/subscription", "tags_url": "/tags",
    "teams_url": "/teams", "trees_url": "/git/trees{/sha}",
}  # fmt: skip
EMPTY_PERSON_FIELDS = ("bio", "blog", "company", "email", "hireable", "location", "name")


def stamp(at: datetime | None) -> str | None:
    """Write a time as GitHub does."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


@dataclass(frozen=True, slots=True)
class Render:
    """The hand that writes answers; `base` is host, port and API prefix as the client used it."""

    state: State
    base: str
    web: str

    def user(self, login: str) -> Json:
        """Write a person."""
        person = self.state.person(login)
        url = f"{self.base}/users/{quote(person.login)}"
        slug = person.login.removesuffix("[bot]")
        page = slug if person.kind == "User" else f"apps/{slug}"
        return {
            "login": person.login,
            "id": person.id,
            "node_id": f"U_{person.id}",
            "avatar_url": f"{self.web}/avatars/{person.id}",
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self.web}/{page}",
            "following_url": f"{url}/following{{/other_user}}",
            "gists_url": f"{url}/gists{{/gist_id}}",
            "starred_url": f"{url}/starred{{/owner}}{{/repo}}",
            "events_url": f"{url}/events{{/privacy}}",
            "organizations_url": f"{url}/orgs",
            **{f"{place}_url": f"{url}/{place}" for place in USER_PLACES if place != "orgs"},
            "type": person.kind,
            "site_admin": False,
        }

    def maybe_user(self, login: str | None) -> Json | None:
        """Write a person, or nobody."""
        return self.user(login) if login else None

    def account(self, person: Person) -> Json:
        """Write the person whom a token belongs to."""
        return {
            **self.user(person.login),
            **dict.fromkeys(EMPTY_PERSON_FIELDS),
            "public_gists": 0,
            "public_repos": 0,
            "followers": 0,
            "following": 0,
            "created_at": stamp(self.state.now()),
            "updated_at": stamp(self.state.now()),
        }

    def repo_url(self, repo: Repo) -> str:
        """Give the address of a repository."""
        return f"{self.base}/repos/{repo.full_name}"

    def minimal(self, repo: Repo) -> Json:
        """Write the shortest form of a repository."""
        url = self.repo_url(repo)
        return {
            "id": repo.id,
            "node_id": f"R_{repo.id}",
            "name": repo.name,
            "full_name": repo.full_name,
            "owner": self.user(repo.owner),
            "private": repo.private,
            "html_url": f"{self.web}/{repo.full_name}",
            "description": None,
            "fork": False,
            "url": url,
            **{name: url + place for name, place in REPO_PLACES.items()},
        }

    def repo(self, repo: Repo) -> Json:
        """Write a repository as it stands in a pull request."""
        html = f"{self.web}/{repo.full_name}"
        counts = ("size", "forks", "forks_count", "open_issues", "open_issues_count", "watchers",
                  "watchers_count", "stargazers_count")  # fmt: skip
        has = ("has_downloads", "has_issues", "has_projects", "has_wiki")
        return {
            **self.minimal(repo),
            **dict.fromkeys(counts, 0),
            **dict.fromkeys(has, True),
            **dict.fromkeys(("archived", "disabled", "has_pages"), False),
            **dict.fromkeys(("homepage", "language", "license", "mirror_url")),
            "clone_url": f"{html}.git",
            "git_url": f"git:{html.removeprefix('http:')}.git",
            "ssh_url": f"git@127.0.0.1:{repo.full_name}.git",
            "svn_url": html,
            "default_branch": repo.default_branch,
            "created_at": stamp(repo.created_at),
            "updated_at": stamp(repo.created_at),
            "pushed_at": stamp(repo.created_at),
        }

    def full_repo(self, repo: Repo, role: str) -> Json:
        """Write a repository with its settings; who may not write sees no merge settings."""
        whole = {
            **self.repo(repo),
            "has_discussions": False,
            "network_count": 0,
            "subscribers_count": 0,
            "visibility": "private" if repo.private else "public",
            "permissions": {
                "admin": role == "admin",
                "maintain": role == "admin",
                "push": role != "read",
                "triage": role != "read",
                "pull": True,
            },
        }
        if role != "read":
            whole |= {
                "allow_squash_merge": repo.allow_squash_merge,
                "allow_merge_commit": repo.allow_merge_commit,
                "allow_rebase_merge": repo.allow_rebase_merge,
                "allow_auto_merge": repo.allow_auto_merge,
                "allow_update_branch": True,
                "delete_branch_on_merge": repo.delete_branch_on_merge,
            }
        return whole

    def ref(self, repo: Repo, name: str, sha: str) -> Json:
        """Write a ref."""
        url = self.repo_url(repo)
        return {
            "ref": name,
            "node_id": f"REF_{repo.id}_{name}",
            "url": f"{url}/git/{name}",
            "object": {"sha": sha, "type": "commit", "url": f"{url}/git/commits/{sha}"},
        }

    def git_commit(self, repo: Repo, sha: str) -> Json:
        """Write a commit as git has it."""
        info = repo.bare.read_commit(sha)
        url = f"{self.repo_url(repo)}/git"
        html = f"{self.web}/{repo.full_name}/commit"
        who = {"name": info.author, "email": info.email, "date": info.date}
        return {
            "sha": sha,
            "node_id": f"C_{sha}",
            "url": f"{url}/commits/{sha}",
            "html_url": f"{html}/{sha}",
            "author": who,
            "committer": who,
            "message": info.message,
            "tree": {"sha": info.tree, "url": f"{url}/trees/{info.tree}"},
            "parents": [
                {"sha": one, "url": f"{url}/commits/{one}", "html_url": f"{html}/{one}"}
                for one in info.parents
            ],
            "verification": {
                "verified": False, "reason": "unsigned", "signature": None, "payload": None,
                "verified_at": None,
            },
        }  # fmt: skip

    def commit(self, repo: Repo, sha: str) -> Json:
        """Write a commit as GitHub shows it."""
        git = self.git_commit(repo, sha)
        url = f"{self.repo_url(repo)}/commits"
        inner = {key: git[key] for key in ("author", "committer", "message", "tree")}
        return {
            "sha": sha,
            "node_id": git["node_id"],
            "url": f"{url}/{sha}",
            "html_url": git["html_url"],
            "comments_url": f"{url}/{sha}/comments",
            "commit": {**inner, "url": git["url"], "comment_count": 0,
                       "verification": git["verification"]},
            "author": None,
            "committer": None,
            "parents": [dict(one, url=f"{url}/{one['sha']}") for one in git["parents"]],
        }  # fmt: skip

    def files(self, repo: Repo, base: str, head: str) -> list[Json]:
        """Write the files that differ between two commits."""
        words = {"A": "added", "D": "removed", "M": "modified"}
        url, html = self.repo_url(repo), f"{self.web}/{repo.full_name}"
        return [
            {
                "sha": _blob(repo.bare, head, path),
                "filename": path,
                "status": words.get(letter, "changed"),
                "additions": added,
                "deletions": removed,
                "changes": added + removed,
                "blob_url": f"{html}/blob/{head}/{path}",
                "raw_url": f"{html}/raw/{head}/{path}",
                "contents_url": f"{url}/contents/{path}?ref={head}",
            }
            for path, added, removed, letter in repo.bare.changes(f"{base}..{head}")
        ]

    def app(self, app: App) -> Json:
        """Write an App."""
        now = stamp(self.state.now())
        return {
            "id": app.id,
            "slug": app.slug,
            "client_id": f"fake-client-{app.id}",
            "node_id": f"A_{app.id}",
            "owner": self.user("octo"),
            "name": app.slug,
            "description": None,
            "external_url": self.web,
            "html_url": f"{self.web}/apps/{app.slug}",
            "created_at": now,
            "updated_at": now,
            "permissions": app.permissions,
            "events": [],
        }


def _blob(bare: Bare, commit: str, path: str) -> str | None:
    """Give the id of a file at a commit, or None."""
    done: Any = bare.ended("rev-parse", "--verify", "--quiet", f"{commit}:{path}")
    return done.stdout.decode().strip() if done.returncode == 0 else None
