"""What git says about a repository, read by the demo and by `up`: a fact, not somebody's word."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from juggernaut.domain.errors import ConfigError

COMMAND_SECONDS: Final = 60.0
TAIL_CHARS: Final = 2_000
RAN: Final = re.compile(r"^Ran (\d+) tests? in", re.MULTILINE)
BROKEN: Final = re.compile(r"\b(?:failures|errors)=(\d+)")


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended; standard output and standard error together."""

    code: int
    output: str


@dataclass(frozen=True, slots=True)
class TestRun:
    """What a run of a unittest suite said; `green` is its exit code, not its text."""

    green: bool
    ran: int
    broken: int
    output: str

    # pytest collects classes by this name; this one is no test.
    __test__ = False


async def finish(
    argv: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Finished:
    """Run a command to its end; it is killed after a minute or when the caller is cancelled."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=dict(os.environ if env is None else env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except FileNotFoundError:
        raise ConfigError(f"the program {argv[0]!r} is not on PATH: install it") from None
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        return Finished(-1, f"{argv[0]} ran longer than {COMMAND_SECONDS:.0f} s")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Finished(process.returncode or 0, output.decode("utf-8", "replace"))


async def git(*argv: str, cwd: Path) -> Finished:
    """Run git without the configuration of this machine."""
    quiet = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }
    # A repository of another user is only read here, and hooks stay off.
    safe = ("-c", "safe.directory=*", "-c", f"core.hooksPath={os.devnull}")
    return await finish(["git", *safe, *argv], cwd, quiet)


async def must(*argv: str, cwd: Path) -> str:
    """Run git and give its output; ConfigError with git's own words when it fails."""
    done = await git(*argv, cwd=cwd)
    if done.code != 0:
        said = " ".join(done.output.split())[-TAIL_CHARS:]
        raise ConfigError(f"git {' '.join(argv[:2])} failed in {cwd}: {said}")
    return done.output.strip()


async def run_suite(repository: Path, sha: str, folder: Path, argv: Sequence[str]) -> TestRun:
    """Clone a repository afresh at one commit, run its unittest suite there, and count."""
    await must("clone", "--quiet", "--no-local", str(repository), str(folder), cwd=repository)
    await must("checkout", "--quiet", "--detach", sha, cwd=folder)
    done = await finish(argv, folder)
    ran = RAN.search(done.output)
    return TestRun(
        done.code == 0,
        int(ran[1]) if ran else 0,
        sum(int(number) for number in BROKEN.findall(done.output)),
        done.output[-TAIL_CHARS:],
    )
