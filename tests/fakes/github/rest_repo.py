"""REST: accounts, quota, repositories, branches and their rules, files."""

from __future__ import annotations

import base64

from tests.fakes.github.answers import Answer, Json, Refused, not_found
from tests.fakes.github.bare import Bare
from tests.fakes.github.routes import Call, on
from tests.fakes.github.rules import follow
from tests.fakes.github.state import Protection, Repo

REPO = "/repos/{owner}/{repo}"
BRANCH = f"{REPO}/branches/{{branch}}"
ADMINS_TOO = "everyone"


@on("GET", "/user")
def get_user(call: Call) -> Answer:
    """Say whose token this is; an installation is nobody."""
    login = call.caller.login
    if call.caller.kind == "installation":
        raise Refused(403, "Resource not accessible by integration")
    return Answer(200, call.render.account(call.state.person(login)))


@on("GET", "/rate_limit")
def get_rate_limit(call: Call) -> Answer:
    """Say what is left; asking costs nothing."""
    state = call.state
    rate = {
        "limit": state.limit,
        "used": state.used,
        "remaining": max(state.limit - state.used, 0),
        "reset": int(state.now().timestamp()) + 3600,
    }
    return Answer(200, {"rate": rate, "resources": {"core": rate, "search": rate}})


@on("GET", REPO, "metadata:read")
def get_repo(call: Call) -> Answer:
    """Read a repository and its settings."""
    repo = call.repo()
    return Answer(200, call.render.full_repo(repo, repo.role(call.caller.login)))


@on("GET", BRANCH, "contents:read")
def get_branch(call: Call) -> Answer:
    """Read a branch, with the short form of its protection that everybody sees."""
    repo, name = call.repo(), call.params["branch"]
    sha = repo.bare.refs().get(f"refs/heads/{name}")
    if sha is None:
        raise Refused(404, "Branch not found")
    url = f"{call.render.repo_url(repo)}/branches/{name}"
    rules = repo.protections.get(name)
    return Answer(
        200,
        {
            "name": name,
            "commit": call.render.commit(repo, sha),
            "_links": {
                "self": url,
                "html": f"{call.render.web}/{repo.full_name}/tree/{name}",
            },
            "protected": rules is not None,
            "protection": _short(rules),
            "protection_url": f"{url}/protection",
        },
    )


def _short(rules: Protection | None) -> Json:
    """Write the summary of a branch's protection; rulesets do not show in it."""
    classic = rules if rules and not rules.ruleset else None
    names = list(classic.checks) if classic else []
    level = ADMINS_TOO if names else "off"
    checks = [{"context": name, "app_id": None} for name in names]
    return {
        "enabled": classic is not None,
        "required_status_checks": {"enforcement_level": level, "contexts": names, "checks": checks},
    }


@on("GET", f"{BRANCH}/protection", "administration:read")
def get_protection(call: Call) -> Answer:
    """Read classic protection; only administrators may."""
    repo, name = call.repo(), call.params["branch"]
    rules = repo.protections.get(name)
    if rules is None or rules.ruleset:
        raise Refused(404, "Branch not protected")
    url = f"{call.render.repo_url(repo)}/branches/{name}/protection"
    body: Json = {"url": url, "enforce_admins": {"url": f"{url}/enforce_admins", "enabled": True}}
    if rules.checks:
        body["required_status_checks"] = {
            "url": f"{url}/required_status_checks",
            "contexts_url": f"{url}/required_status_checks/contexts",
            "strict": rules.strict,
            "contexts": list(rules.checks),
            "checks": [{"context": one, "app_id": None} for one in rules.checks],
        }
    if rules.approvals:
        body["required_pull_request_reviews"] = {
            "url": f"{url}/required_pull_request_reviews",
            "dismiss_stale_reviews": rules.dismiss_stale,
            "require_code_owner_reviews": False,
            "required_approving_review_count": rules.approvals,
        }
    return Answer(200, body)


@on("GET", f"{REPO}/rules/branches/{{branch}}", "metadata:read")
def get_rules(call: Call) -> Answer:
    """Read the rules that rulesets set for a branch; classic protection is not among them."""
    repo = call.repo()
    rules = repo.protections.get(call.params["branch"])
    source = {"ruleset_id": 1, "ruleset_source": repo.full_name,
              "ruleset_source_type": "Repository"}  # fmt: skip
    found = _rules(rules) if rules and rules.ruleset else []
    return call.page([{**rule, **source} for rule in found])


def _rules(rules: Protection) -> list[Json]:
    """Write a branch's rules one by one."""
    found: list[Json] = []
    if rules.checks:
        parameters = {
            "strict_required_status_checks_policy": rules.strict,
            "required_status_checks": [{"context": name} for name in rules.checks],
        }
        found.append({"type": "required_status_checks", "parameters": parameters})
    if rules.approvals:
        switches = ("require_code_owner_review", "require_last_push_approval",
                    "required_review_thread_resolution")  # fmt: skip
        parameters = {
            "required_approving_review_count": rules.approvals,
            "dismiss_stale_reviews_on_push": rules.dismiss_stale,
            **dict.fromkeys(switches, False),
        }
        found.append({"type": "pull_request", "parameters": parameters})
    if rules.merge_queue:
        parameters = {
            "check_response_timeout_minutes": 60,
            "grouping_strategy": "ALLGREEN",
            "max_entries_to_build": 5,
            "max_entries_to_merge": 5,
            "merge_method": "SQUASH",
            "min_entries_to_merge": 1,
            "min_entries_to_merge_wait_minutes": 5,
        }
        found.append({"type": "merge_queue", "parameters": parameters})
    return found


@on("GET", f"{REPO}/contents/{{path}}", "contents:read")
def get_contents(call: Call) -> Answer:
    """Read a file or a folder at a commit."""
    repo, path = call.repo(), call.params["path"].strip("/")
    sha = repo.bare.resolve(call.query.get("ref", f"refs/heads/{repo.default_branch}"))
    found = _entry(repo.bare, sha, path) if sha else None
    if sha is None or found is None:
        raise not_found()
    kind, blob = found
    if kind == "tree":
        return Answer(200, [_file(call, repo, name, one, sha)
                            for name, one in _folder(repo.bare, sha, path)])  # fmt: skip
    raw = repo.bare.run("cat-file", "blob", blob)
    content = base64.encodebytes(raw).decode()
    whole = _file(call, repo, path, blob, sha)
    return Answer(200, {**whole, "size": len(raw), "encoding": "base64", "content": content})


@on("PUT", f"{REPO}/contents/{{path}}", "contents:write")
def put_contents(call: Call) -> Answer:
    """Write one file as a commit; an existing one needs the id that it has now."""
    repo, path = call.repo(), call.params["path"]
    branch = str(call.body.get("branch", repo.default_branch))
    head = repo.bare.refs().get(f"refs/heads/{branch}")
    if head is None:
        raise Refused(404, f"Branch {branch} not found")
    known = _entry(repo.bare, head, path)
    given = call.body.get("sha")
    if known and given is None:
        raise Refused(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
    if known and given != known[1]:
        raise Refused(409, f"{path} does not match {given}")
    text = base64.b64decode(str(call.require("content"))).decode()
    sha = repo.bare.write(
        branch, {path: text}, head, str(call.require("message")), call.caller.login
    )
    follow(call.state, repo)
    found = _entry(repo.bare, sha, path)
    commit = call.render.git_commit(repo, sha)
    blob = found[1] if found else ""
    return Answer(
        200 if known else 201,
        {"content": {**_file(call, repo, path, blob, sha), "size": len(text)}, "commit": commit},
    )


def _entry(bare: Bare, commit: str, path: str) -> tuple[str, str] | None:
    """Give kind and id of what a path names at a commit."""
    line = bare.text("ls-tree", commit, "--", path)
    return (line.split()[1], line.split()[2]) if line else None


def _folder(bare: Bare, commit: str, path: str) -> list[tuple[str, str]]:
    """Give the files of a folder with their ids."""
    lines = bare.text("ls-tree", commit, "--", f"{path}/").splitlines()
    parts = [line.split(None, 3) for line in lines]
    return [(name, sha) for _mode, kind, sha, name in parts if kind == "blob"]


def _file(call: Call, repo: Repo, path: str, blob: str, commit: str) -> Json:
    """Write what every form of a file has in common."""
    url = f"{call.render.repo_url(repo)}/contents/{path}?ref={commit}"
    git = f"{call.render.repo_url(repo)}/git/blobs/{blob}"
    html = f"{call.render.web}/{repo.full_name}/blob/{commit}/{path}"
    return {
        "type": "file",
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": blob,
        "size": 0,
        "url": url,
        "html_url": html,
        "git_url": git,
        "download_url": html.replace("/blob/", "/raw/"),
        "_links": {"self": url, "git": git, "html": html},
    }
