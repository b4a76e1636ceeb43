"""Git's own smart HTTP server, `git http-backend`, behind the double's door."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.fakes.github.access import Caller
from tests.fakes.github.answers import Answer, Refused
from tests.fakes.github.bare import ENV
from tests.fakes.github.rules import follow
from tests.fakes.github.state import Repo, State

GIT_PATH = re.compile(
    r"/(?P<owner>[^/]+)/(?P<name>[^/]+?)(?:\.git)?/(?P<rest>info/refs|git-upload-pack|git-receive-pack)"
)
PROTECTED = "protected-refs"
# Only who comes over HTTP is held to the rules; a person of a test writes to the folder.
HOOK = f"""#!/bin/sh
[ -z "$REMOTE_USER" ] && exit 0
grep -qxF "$1" "$GIT_DIR/{PROTECTED}" || exit 0
echo "error: GH006: Protected branch update failed for $1." >&2
exit 1
"""
ASK = {"WWW-Authenticate": 'Basic realm="GitHub"'}


def serve_git(
    state: State,
    caller: Caller,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    data: bytes,
) -> Answer:
    """Answer one request of a git client."""
    found = GIT_PATH.fullmatch(path)
    if found is None:
        return _plain(404, "not found")
    if caller.token is None:
        return Answer(401, None, {**ASK, "Content-Type": "text/plain"}, b"Authentication required")
    repo = state.repo(f"{found['owner']}/{found['name']}")
    if repo is None:
        return _plain(404, "Repository not found.")
    writes = "git-receive-pack" in (found["rest"] + query)
    try:
        caller.check(repo, "contents:write" if writes else "contents:read")
    except Refused as refused:
        return _plain(refused.status, refused.message)
    with state.lock:
        follow(state, repo)
    env = {**ENV, **_environment(repo, found["rest"], method, query, headers, caller, len(data))}
    done = subprocess.run(
        ["git", "http-backend"], input=data, capture_output=True, check=False, env=env
    )
    with state.lock:
        follow(state, repo)
    return _answer(done.stdout)


def _environment(
    repo: Repo,
    rest: str,
    method: str,
    query: str,
    headers: Mapping[str, str],
    caller: Caller,
    length: int,
) -> dict[str, str]:
    """Say to git what a web server says to a program."""
    env = {
        "GIT_PROJECT_ROOT": str(repo.bare.path.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{repo.bare.path.name}/{rest}",
        "REQUEST_METHOD": method,
        "QUERY_STRING": query,
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(length),
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_USER": caller.login,
    }
    if "content-encoding" in headers:
        env["HTTP_CONTENT_ENCODING"] = headers["content-encoding"]
    if "git-protocol" in headers:
        env["GIT_PROTOCOL"] = headers["git-protocol"]
    return env


def _answer(out: bytes) -> Answer:
    """Take what git wrote apart into status, headers and body."""
    head, _, body = out.partition(b"\r\n\r\n")
    lines = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
    headers = {name: value for name, value in lines}
    status = int(headers.pop("Status", "200").split()[0])
    return Answer(status, None, headers, body)


def _plain(status: int, text: str) -> Answer:
    """Refuse in a form that git shows to its user."""
    return Answer(status, None, {"Content-Type": "text/plain"}, text.encode())


def guard(path: Path, branches: list[str]) -> None:
    """Keep pushes over HTTP away from branches."""
    names = "".join(f"refs/heads/{name}\n" for name in branches)
    (path / PROTECTED).write_text(names, encoding="utf-8")
    hook = path / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(HOOK, encoding="utf-8")
    hook.chmod(0o755)
