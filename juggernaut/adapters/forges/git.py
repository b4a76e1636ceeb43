"""Real git as argv lists, in an environment that is built and never inherited.

Nothing of a user's or a machine's git configuration is read, no hook runs, no prompt waits, and
no transport is open but the local one, or the one that a command is given. Settings in the
environment stand above those of any repository.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from juggernaut.adapters.forges.process import Ended, run_bounded
from juggernaut.domain.errors import ConfigError, ForgeError, InvalidInput
from juggernaut.domain.limits import DIFF_BYTES
from juggernaut.domain.model import Sha

OLDEST_GIT: Final = (2, 38)  # the first with merge-tree --write-tree
REMEDY: Final = "install git 2.38 or newer"
GIT_SECONDS: Final = 120.0
ERROR_CHARS: Final = 400

SETTINGS: Final = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.excludesFile": "/dev/null",
    "core.attributesFile": "/dev/null",
    "core.autocrlf": "false",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "init.defaultBranch": "main",
    "maintenance.auto": "false",
    "push.recurseSubmodules": "no",
    "submodule.recurse": "false",
}

# Git starts the other end of a local transport without the settings above, so they are said again.
RECEIVE_PACK: Final = (
    "git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c receive.autoGC=false"
    " -c gc.auto=0 -c maintenance.auto=false -c receive.fsckObjects=true receive-pack"
)

SHA: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
BRANCH: Final = re.compile(r"(?!.*(?:\.\.|//|/\.|\.lock(?:/|$)|[./]$))[A-Za-z0-9][A-Za-z0-9._/-]*")
BRANCH_CHARS: Final = 200
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Access:
    """How one command may reach the other end: transports, and settings that may hold a token.

    They travel in the environment of that command alone, so no argv, file or address shows them.
    """

    protocols: str = "file"
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: float = GIT_SECONDS
    file_bytes: int | None = None  # the most that one file of the command may grow to


ON_DISK: Final = Access()


class OutputTooLong(ForgeError):
    """Git wrote more than the caller is ready to read."""


class Git:
    """A runner of git commands under one identity."""

    def __init__(
        self, author_name: str = "Juggernaut", author_email: str = "juggernaut@localhost"
    ) -> None:
        """Build the environment once; the identity is what stands in every commit."""
        self._env = _environment(author_name, author_email)
        self._checked = False

    async def ready(self) -> None:
        """Ask git for its version, once. Raises ConfigError when it is missing or too old."""
        if self._checked:
            return
        said = (await self.run("version")).out.decode("utf-8", "replace").strip()
        numbers = re.search(r"(\d+)\.(\d+)", said)
        if not numbers or (int(numbers[1]), int(numbers[2])) < OLDEST_GIT:
            raise ConfigError(f"git is too old ({said[:ERROR_CHARS]}): {REMEDY}")
        self._checked = True

    async def run(
        self,
        *argv: str,
        git_dir: Path | None = None,
        work_tree: Path | None = None,
        stdin: bytes = b"",
        ok: Collection[int] = (0,),
        max_bytes: int = DIFF_BYTES,
        access: Access = ON_DISK,
    ) -> Ended:
        """Run one git command; argv[0] is the subcommand.

        Raises ForgeError for an exit code outside `ok`, OutputTooLong beyond `max_bytes`.
        """
        where = [f"--git-dir={git_dir}"] if git_dir else []
        if work_tree:
            where += ["-c", "core.bare=false", f"--work-tree={work_tree}"]
        try:
            ended = await run_bounded(
                ["git", *where, *argv],
                env=_opened(self._env, access),
                cwd=work_tree or git_dir or Path("/"),
                stdin=stdin,
                timeout_seconds=access.timeout_seconds,
                max_bytes=max_bytes,
                file_bytes=access.file_bytes,
            )
        except TimeoutError:
            raise ForgeError(
                f"git {argv[0]} was stopped after {access.timeout_seconds:.0f} seconds"
            ) from None
        except OSError as error:
            if shutil.which("git", path=self._env["PATH"]) is None:
                raise ConfigError(f"git is not on PATH: {REMEDY}") from None
            raise ForgeError(f"git {argv[0]} could not start: {error}") from None
        if ended.too_long:
            raise OutputTooLong(f"git {argv[0]} wrote more than {max_bytes} bytes")
        if ended.code not in ok:
            raise ForgeError(f"git {argv[0]} ended with {ended.code}: {last_line(ended.err)}")
        return ended

    async def text(
        self, *argv: str, git_dir: Path, work_tree: Path | None = None, stdin: bytes = b""
    ) -> str:
        """Run one git command and give its output without the last newline."""
        ended = await self.run(*argv, git_dir=git_dir, work_tree=work_tree, stdin=stdin)
        return ended.out.decode("utf-8", "replace").strip()


def last_line(text: str) -> str:
    """Give the last line of an error output that says something, made harmless and short."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return CONTROL.sub(" ", lines[-1])[:ERROR_CHARS] if lines else "no message"


def one_line(text: str) -> str:
    """Give the end of an error output in one line, made harmless and short."""
    return CONTROL.sub(" ", " ".join(text.split()))[-ERROR_CHARS:] or "no message"


def checked_sha(value: str) -> Sha:
    """Let only a full commit id in, so that no option or revision syntax reaches git."""
    if not SHA.fullmatch(value):
        raise InvalidInput(f"{value[:80]!r} is not a full commit id: give 40 or 64 hex digits")
    return Sha(value)


def checked_branch(value: str) -> str:
    """Let only a plain branch name in."""
    if len(value) > BRANCH_CHARS or not BRANCH.fullmatch(value):
        raise InvalidInput(
            f"{value[:80]!r} is not a branch name:"
            f" use up to {BRANCH_CHARS} letters, digits, dots, dashes and slashes"
        )
    return value


def _environment(author_name: str, author_email: str) -> dict[str, str]:
    """Build the whole environment of git; only PATH comes from outside."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "false",
        "GIT_EDITOR": "false",
        "GIT_PAGER": "cat",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_AUTHOR_NAME": author_name,
        "GIT_AUTHOR_EMAIL": author_email,
        "GIT_COMMITTER_NAME": author_name,
        "GIT_COMMITTER_EMAIL": author_email,
    }


def _opened(env: Mapping[str, str], access: Access) -> dict[str, str]:
    """Give the environment of one command, with its transports and all settings."""
    settings = {**SETTINGS, **access.settings}
    opened = {
        **env,
        "GIT_ALLOW_PROTOCOL": access.protocols,
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for number, (key, value) in enumerate(settings.items()):
        opened[f"GIT_CONFIG_KEY_{number}"] = key
        opened[f"GIT_CONFIG_VALUE_{number}"] = value
    return opened
