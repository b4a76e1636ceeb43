"""Git over HTTP: work trees from a forge behind a network, and a token that shows nowhere."""

from __future__ import annotations

import asyncio
import base64
import logging
import shutil
from pathlib import Path

import pytest

from juggernaut.adapters.forges.git import Access, Git
from juggernaut.adapters.forges.github.names import Place
from juggernaut.adapters.forges.github.remote import GitHubSource
from juggernaut.adapters.forges.github.tokens import GivenToken
from juggernaut.adapters.forges.source import talk
from juggernaut.domain.errors import (
    ForgeBusy,
    ForgeError,
    ForgeUnauthorized,
    ForgeUnreachable,
    HeadMoved,
    InvalidInput,
)
from juggernaut.domain.pulls import Change
from juggernaut.domain.redact import Secret
from juggernaut.ports import Workspace
from tests.adapters.github.conftest import BRANCH, REPO, Bench
from tests.fakes.github.answers import Answer
from tests.fakes.github.faults import Fault

PATIENCE_SECONDS = 10.0


async def changed(bench: Bench, attempt: str = "attempt-1") -> tuple[Workspace, Change]:
    """A work tree with one commit in it."""
    space = await bench.spaces.open(REPO, BRANCH, attempt)
    (space.path / "app.py").write_text(f"by {attempt}\n")
    change = await space.commit("Change app")
    assert change is not None
    return space, change


def source_of(bench: Bench, given: str = "FAKE-wrong") -> GitHubSource:
    """The repository, reached with some token."""
    return GitHubSource(bench.place, bench.place.repo(REPO), GivenToken(Secret(given)))


async def test_from_the_checkout_to_the_push(bench: Bench) -> None:
    """A fresh tree at the default branch, a push by comparison, a checkout of exactly that."""
    space, change = await changed(bench)
    await space.push(change, None)
    assert await bench.forge.branch_head(REPO, BRANCH) == change.head
    await space.push(change, None)  # a repeat is what was asked for
    again = await bench.spaces.checkout(REPO, change.head, "attempt-2")
    assert (again.path / "app.py").read_text() == "by attempt-1\n"
    assert (await again.landed()).base == change.base

    other, later = await changed(bench, "attempt-3")
    with pytest.raises(HeadMoved, match="another attempt pushed"):
        await other.push(later, None)
    await other.push(later, change.head)
    assert await bench.forge.branch_head(REPO, BRANCH) == later.head
    mirrors = list((bench.spaces._mirrors).glob("*.git"))
    assert len(mirrors) == 1


async def test_a_lost_answer_to_a_push(bench: Bench) -> None:
    """The branch is asked; what git's HTTP library repeats by itself meets the comparison."""
    space, change = await changed(bench)
    bench.double.faults.lose_reply("POST", "*/git-receive-pack")
    await space.push(change, None)
    assert await bench.forge.branch_head(REPO, BRANCH) == change.head

    other, later = await changed(bench, "attempt-2")
    bench.double.faults.lose_request("POST", "*/git-receive-pack", times=9)
    with pytest.raises(ForgeUnreachable):
        await other.push(later, change.head)
    assert await bench.forge.branch_head(REPO, BRANCH) == change.head


def watched(bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program in git's place that writes down every argv; gives the file.

    Once a file `die` is beside it, a push ends as if the connection was cut, after its effect.
    """
    shelf, real = folder / "watched", shutil.which("git")
    shelf.mkdir()
    (shelf / "git").write_text(
        f"""#!/bin/sh
echo "$@" >> {shelf}/argv
case "$*" in *push*) if [ -e {shelf}/die ]; then
  {real} "$@"; echo "fatal: unable to access: Connection reset" >&2; exit 128
fi;; esac
exec {real} "$@"
"""
    )
    (shelf / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{shelf}:/usr/bin:/bin")
    monkeypatch.setattr(bench.spaces, "_git", Git())
    return shelf / "argv"


async def test_a_push_whose_end_is_not_known(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git itself gave up: the branch says that the push got there."""
    argv = watched(bench, tmp_path, monkeypatch)
    space, change = await changed(bench)
    argv.with_name("die").touch()
    await space.push(change, None)
    assert await bench.forge.branch_head(REPO, BRANCH) == change.head


async def test_the_token_shows_nowhere(
    bench: Bench,
    token: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not in any argv while git speaks, not in a file it leaves, not in a log, not in an error."""
    caplog.set_level(logging.DEBUG)
    canaries = [token, base64.b64encode(f"x-access-token:{token}".encode()).decode()]
    canaries.append(base64.b64encode(token.encode()).decode().rstrip("="))
    argv = watched(bench, tmp_path, monkeypatch)
    held = bench.double.faults.hold("GET", "*/info/refs")
    work = asyncio.create_task(changed(bench))
    seen = await until_git_speaks()
    held.set()
    space, change = await work
    await space.push(change, None)
    await bench.verified("feature/task-2")
    bench.double.revoke(token)
    with pytest.raises(ForgeUnauthorized) as git_error:
        await bench.spaces.checkout(REPO, None, "attempt-9")
    with pytest.raises(ForgeUnauthorized) as rest_error:
        await bench.forge.find_pull(REPO, BRANCH)

    files = [path for path in (tmp_path / "root").rglob("*") if path.is_file()]
    texts = {
        "argv of git": argv.read_text(),
        "argv of its children": seen,
        "log": caplog.text,
        "git error": repr(git_error.value) + repr(git_error.getrepr(chain=True)),
        "rest error": repr(rest_error.value) + repr(rest_error.getrepr(chain=True)),
        "access": repr(await source_of(bench, token).access()),
        **{str(path): path.read_bytes().decode("latin-1") for path in files},
    }
    assert "remote-http" in seen
    assert {"ls-remote", "fetch", "push"} <= set(argv.read_text().split())
    assert any(path.name == "config" for path in files)
    found = [name for name, text in texts.items() if any(word in text for word in canaries)]
    assert found == []


async def until_git_speaks() -> str:
    """Wait until git's child for HTTP runs, and give every argv on this machine."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            lines = []
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    lines.append(path.read_bytes().replace(b"\0", b" ").decode("latin-1"))
                except OSError:
                    continue
            seen = "\n".join(lines)
            if "remote-http" in seen:
                return seen
            await asyncio.sleep(0.01)


async def test_a_redirect_is_not_followed(bench: Bench) -> None:
    """No answer can send the token to another host."""
    elsewhere = Answer(302, headers={"Location": f"{bench.double.url}/octo/other.git/info/refs"})
    bench.double.create("octo/other")
    bench.double.faults.add("GET", f"/{REPO}.git/info/refs", Fault(instead=elsewhere))
    with pytest.raises(ForgeError):
        await bench.spaces.checkout(REPO, None, "attempt-1")
    assert bench.count("GET", "/octo/other.git*") == 0


async def test_only_the_one_transport_is_open(bench: Bench, tmp_path: Path) -> None:
    """A remote command reads no local path, and a local one reaches no network."""
    access = await source_of(bench).access()
    git = Git()
    with pytest.raises(ForgeError, match="transport 'file' not allowed"):
        await git.run("ls-remote", f"file://{tmp_path}", access=access)
    with pytest.raises(ForgeError, match="transport 'http' not allowed"):
        await git.run("ls-remote", f"{bench.double.url}/{REPO}.git")
    public = GitHubSource(Place.of(), Place.of().repo(REPO), GivenToken(Secret("FAKE")))
    assert (await public.access()).protocols == "https"


async def test_what_is_not_there(bench: Bench, token: str) -> None:
    """A repository and a commit that nobody has are named."""
    with pytest.raises(InvalidInput, match="octo/none is not at"):
        await bench.spaces.checkout("octo/none", None, "attempt-1")
    absent = "ab" * 20
    with pytest.raises(InvalidInput, match=f"no commit {absent}"):
        await bench.spaces.checkout(REPO, absent, "attempt-1")  # type: ignore[arg-type]


async def test_a_pack_without_end(bench: Bench, token: str, tmp_path: Path) -> None:
    """A fetch stops at its bound, with the reason."""
    noise = "".join(f"{number * 7919:x}\n" for number in range(60_000))
    bench.double.human.push(REPO, "main", {"big.txt": noise})
    git = Git()
    await git.run("init", "-q", "--bare", str(tmp_path / "mirror"))

    class Narrow(GitHubSource):
        """A source whose fetches may write less."""

        async def access(self) -> Access:
            """Open it, for small files."""
            opened = await super().access()
            return Access(opened.protocols, opened.settings, opened.timeout_seconds, 4_096)

    source = Narrow(bench.place, bench.place.repo(REPO), GivenToken(Secret(token)))
    with pytest.raises(InvalidInput, match="more than .* bytes"):
        await talk(git, source, "fetch", "-q", source.address, "main", git_dir=tmp_path / "mirror")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("fatal: Authentication failed for 'x'", ForgeUnauthorized),
        ("The requested URL returned error: 403", ForgeUnauthorized),
        ("The requested URL returned error: 429", ForgeBusy),
        ("fatal: unable to access 'x': Could not resolve host: y", ForgeUnreachable),
        ("The requested URL returned error: 502", ForgeUnreachable),
        ("git fetch was stopped after 600 seconds", ForgeUnreachable),
        ("fatal: unable to update url base from redirection", InvalidInput),
        ("fatal: repository 'x' not found", InvalidInput),
        ("something else", ForgeError),
    ],
)
def test_each_failure_of_git_has_its_error(bench: Bench, said: str, kind: type) -> None:
    """So that the lifecycle waits, repeats, or asks a person."""
    assert type(source_of(bench).explain(ForgeError(said))) is kind
