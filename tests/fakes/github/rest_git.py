"""REST: refs, commits, trees and blobs, as git has them, and comparisons."""

from __future__ import annotations

import base64
import re

from tests.fakes.github.answers import Answer, Json, Refused, invalid, not_found
from tests.fakes.github.bare import GitFailed
from tests.fakes.github.routes import Call, on
from tests.fakes.github.rules import follow
from tests.fakes.github.state import Repo

GIT = "/repos/{owner}/{repo}/git"
ZEROS = "0" * 40
SHA = re.compile(r"[0-9a-f]{40}")


@on("GET", f"{GIT}/ref/{{ref}}", "contents:read")
def get_ref(call: Call) -> Answer:
    """Read one ref by its whole name."""
    repo, name = call.repo(), f"refs/{call.params['ref']}"
    follow(call.state, repo)
    sha = repo.bare.refs().get(name)
    if sha is None:
        raise not_found()
    return Answer(200, call.render.ref(repo, name, sha))


@on("GET", f"{GIT}/matching-refs/{{ref}}", "contents:read")
def matching_refs(call: Call) -> Answer:
    """List the refs whose name starts so."""
    repo, start = call.repo(), f"refs/{call.params['ref']}"
    refs = repo.bare.refs().items()
    found = [call.render.ref(repo, name, sha) for name, sha in refs if name.startswith(start)]
    return call.page(found)


@on("POST", f"{GIT}/refs", "contents:write")
def create_ref(call: Call) -> Answer:
    """Create a ref; one that exists is refused."""
    repo, name, sha = call.repo(), str(call.require("ref")), str(call.require("sha"))
    if not name.startswith("refs/") or name.count("/") < 2:
        raise Refused(422, "Reference name must start with 'refs/'.")
    _check_name(repo, name)
    if not SHA.fullmatch(sha) or not repo.bare.has(sha):
        raise Refused(422, "Object does not exist")
    if not repo.bare.move(name, sha, ZEROS):
        raise Refused(422, "Reference already exists")
    follow(call.state, repo)
    return Answer(201, call.render.ref(repo, name, sha))


@on("PATCH", f"{GIT}/refs/{{ref}}", "contents:write")
def update_ref(call: Call) -> Answer:
    """Move a ref; backwards only by force."""
    repo, name = call.repo(), f"refs/{call.params['ref']}"
    sha = str(call.require("sha"))
    _check_name(repo, name)
    old = repo.bare.refs().get(name)
    if old is None:
        raise Refused(422, "Reference does not exist")
    if not repo.bare.has(sha):
        raise Refused(422, "Object does not exist")
    if not call.body.get("force") and not repo.bare.contains(sha, old):
        raise Refused(422, "Update is not a fast forward")
    if not repo.bare.move(name, sha, old):
        raise Refused(409, "Reference cannot be updated")
    follow(call.state, repo)
    return Answer(200, call.render.ref(repo, name, sha))


@on("DELETE", f"{GIT}/refs/{{ref}}", "contents:write")
def delete_ref(call: Call) -> Answer:
    """Remove a ref; an open pull request of a removed branch is closed."""
    repo, name = call.repo(), f"refs/{call.params['ref']}"
    _check_name(repo, name)
    if name not in repo.bare.refs():
        raise Refused(422, "Reference does not exist")
    repo.bare.delete(name)
    follow(call.state, repo)
    return Answer(204)


def _check_name(repo: Repo, name: str) -> None:
    """Refuse writes to protected branches, and below refs/pull, which is the server's."""
    if name.startswith("refs/pull/") or repo.bare.ended("check-ref-format", name).returncode:
        raise invalid("Reference", "ref")
    if name.removeprefix("refs/heads/") in repo.protections:
        raise Refused(422, "Repository rule violations found\n\nCannot update this protected ref.")


@on("GET", f"{GIT}/commits/{{commit_sha}}", "contents:read")
def get_commit(call: Call) -> Answer:
    """Read a commit."""
    repo, sha = call.repo(), call.params["commit_sha"]
    if not SHA.fullmatch(sha) or not repo.bare.has(sha):
        raise not_found()
    return Answer(200, call.render.git_commit(repo, sha))


@on("POST", f"{GIT}/commits", "contents:write")
def create_commit(call: Call) -> Answer:
    """Write a commit on an existing tree."""
    repo, tree = call.repo(), str(call.require("tree"))
    parents = [str(one) for one in call.body.get("parents", [])]
    if not SHA.fullmatch(tree) or not repo.bare.has(tree, "tree"):
        raise Refused(422, "Tree SHA does not exist")
    if not all(SHA.fullmatch(one) and repo.bare.has(one) for one in parents):
        raise Refused(422, "Parent SHA does not exist or is not a commit object")
    author = call.body.get("author") or {"name": call.caller.login}
    sha = repo.bare.commit(tree, parents, str(call.require("message")), str(author["name"]))
    return Answer(201, call.render.git_commit(repo, sha))


@on("GET", f"{GIT}/trees/{{tree_sha}}", "contents:read")
def get_tree(call: Call) -> Answer:
    """Read a tree, or everything below it."""
    repo, sha = call.repo(), call.params["tree_sha"]
    deep = bool(call.query.get("recursive"))
    try:
        return Answer(200, _tree(call, repo, sha, deep=deep))
    except GitFailed:
        raise not_found() from None


@on("POST", f"{GIT}/trees", "contents:write")
def create_tree(call: Call) -> Answer:
    """Write a tree: entries on top of a base tree; a null id removes one."""
    repo, base = call.repo(), call.body.get("base_tree")
    index = repo.bare.path / f"index-{call.state.next_id()}"
    env = {"GIT_INDEX_FILE": str(index)}
    lines = []
    for entry in call.require("tree"):
        sha = entry.get("sha")
        if "content" in entry:
            data = str(entry["content"]).encode()
            sha = repo.bare.run("hash-object", "-w", "--stdin", data=data).decode().strip()
        mode = "0" if sha is None else entry["mode"]
        lines.append(f"{mode} {sha or ZEROS}\t{entry['path']}\n")
    try:
        repo.bare.run("read-tree", base or "--empty", env=env)
        repo.bare.run("update-index", "--index-info", data="".join(lines).encode(), env=env)
        made = repo.bare.run("write-tree", env=env).decode().strip()
    except GitFailed as error:
        raise Refused(422, f"GitRPC::BadObjectState: {error}") from None
    finally:
        index.unlink(missing_ok=True)
    return Answer(201, _tree(call, repo, made, deep=False))


def _tree(call: Call, repo: Repo, sha: str, *, deep: bool) -> Json:
    """Write a tree."""
    url = f"{call.render.repo_url(repo)}/git"
    whole = repo.bare.text("rev-parse", "--verify", f"{sha}^{{tree}}")
    flags = ["-r", "-t"] if deep else []
    entries = []
    for line in repo.bare.text("ls-tree", "-l", *flags, whole).splitlines():
        meta, path = line.split("\t", 1)
        mode, kind, one, size = meta.split()
        entry: Json = {"path": path, "mode": mode, "type": kind, "sha": one,
                       "url": f"{url}/{kind}s/{one}"}  # fmt: skip
        entries.append({**entry, "size": int(size)} if size.isdigit() else entry)
    return {"sha": whole, "url": f"{url}/trees/{whole}", "tree": entries, "truncated": False}


@on("GET", f"{GIT}/blobs/{{file_sha}}", "contents:read")
def get_blob(call: Call) -> Answer:
    """Read a blob."""
    repo, sha = call.repo(), call.params["file_sha"]
    if not SHA.fullmatch(sha) or not repo.bare.has(sha, "blob"):
        raise not_found()
    raw = repo.bare.run("cat-file", "blob", sha)
    body = {
        "sha": sha,
        "node_id": f"B_{sha}",
        "size": len(raw),
        "url": f"{call.render.repo_url(repo)}/git/blobs/{sha}",
        "content": base64.encodebytes(raw).decode(),
        "encoding": "base64",
    }
    return Answer(200, body)


@on("POST", f"{GIT}/blobs", "contents:write")
def create_blob(call: Call) -> Answer:
    """Write a blob."""
    repo, text = call.repo(), str(call.body.get("content", ""))
    raw = base64.b64decode(text) if call.body.get("encoding") == "base64" else text.encode()
    sha = repo.bare.run("hash-object", "-w", "--stdin", data=raw).decode().strip()
    return Answer(201, {"sha": sha, "url": f"{call.render.repo_url(repo)}/git/blobs/{sha}"})


@on("GET", "/repos/{owner}/{repo}/commits/{ref}", "contents:read")
def get_shown_commit(call: Call) -> Answer:
    """Read a commit by id, branch or tag, with its files."""
    repo, name = call.repo(), call.params["ref"]
    sha = repo.bare.resolve(name)
    if sha is None:
        raise Refused(422, f"No commit found for SHA: {name}")
    body = call.render.commit(repo, sha)
    parents = [one["sha"] for one in body["parents"]]
    files = call.render.files(repo, parents[0], sha) if parents else []
    return Answer(200, {**body, "files": files})


@on("GET", "/repos/{owner}/{repo}/compare/{basehead}", "contents:read")
def compare(call: Call) -> Answer:
    """Compare two commits: how far they are apart, and what differs since they parted."""
    repo, span = call.repo(), call.params["basehead"]
    left, dots, right = span.partition("...")
    ends = [repo.bare.resolve(name.rpartition(":")[2]) for name in (left, right)]
    base, head = ends
    parted = repo.bare.merge_base(base, head) if dots and base and head else None
    if base is None or head is None or parted is None:
        raise not_found()
    behind, ahead = repo.bare.counts(base, head)
    words = {(True, True): "diverged", (True, False): "behind", (False, True): "ahead"}
    url, web = call.render.repo_url(repo), f"{call.render.web}/{repo.full_name}/compare/{span}"
    commits = [call.render.commit(repo, sha) for sha in repo.bare.between(base, head)]
    body = {
        "url": f"{url}/compare/{span}",
        "html_url": web,
        "permalink_url": web,
        "diff_url": f"{web}.diff",
        "patch_url": f"{web}.patch",
        "base_commit": call.render.commit(repo, base),
        "merge_base_commit": call.render.commit(repo, parted),
        "status": words.get((behind > 0, ahead > 0), "identical"),
        "ahead_by": ahead,
        "behind_by": behind,
        "total_commits": ahead,
        "commits": commits,
        "files": call.render.files(repo, parted, head),
    }
    return Answer(200, body)
