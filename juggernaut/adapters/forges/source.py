"""Where a repository is: a folder on this machine, or an address that asks for a credential."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from juggernaut.adapters.forges.git import ON_DISK, RECEIVE_PACK, Access, Git
from juggernaut.adapters.forges.process import Ended
from juggernaut.domain.errors import ForgeError, ForgeUnauthorized, InvalidInput
from juggernaut.domain.limits import DIFF_BYTES

KEY_CHARS: Final = 24
DUBIOUS: Final = "dubious ownership"


class Source(Protocol):
    """The other end of fetch and push."""

    @property
    def address(self) -> str:
        """Give what git is told: a path, or a URL without any secret in it."""
        ...

    @property
    def push_options(self) -> tuple[str, ...]:
        """Give what a push needs besides."""
        ...

    async def access(self) -> Access:
        """Give how a command may reach it now."""
        ...

    def explain(self, error: ForgeError) -> ForgeError | InvalidInput:
        """Say what a failure of git means here."""
        ...

    def renew(self) -> bool:
        """Throw the credential away that was refused; False when there is no other one."""
        ...


@dataclass(frozen=True, slots=True)
class Folder:
    """A repository on this machine. Its other end starts without our settings, so they are said."""

    path: Path

    @property
    def address(self) -> str:
        """Give the path."""
        return str(self.path)

    @property
    def push_options(self) -> tuple[str, ...]:
        """Give the receiving program with the settings that keep its hooks off."""
        return (f"--receive-pack={RECEIVE_PACK}",)

    async def access(self) -> Access:
        """Open the local transport alone."""
        return ON_DISK

    def explain(self, error: ForgeError) -> ForgeError | InvalidInput:
        """Say whose folder it is, when that is why git does not read it."""
        said = str(error)
        if DUBIOUS in said or "safe.directory" in said:
            return InvalidInput(
                f"repository {self.path} belongs to another user: run Juggernaut as its owner"
            )
        return error

    def renew(self) -> bool:
        """Say that there is nothing to renew."""
        return False


async def talk(
    git: Git,
    source: Source,
    *argv: str,
    git_dir: Path | None = None,
    ok: Collection[int] = (0,),
    max_bytes: int = DIFF_BYTES,
) -> Ended:
    """Run a command that speaks with a source; a refused credential is renewed once.

    A refused command did nothing at the other end, so a push may be repeated then too.
    """
    renewed = False
    while True:
        try:
            return await git.run(
                *argv, git_dir=git_dir, ok=ok, max_bytes=max_bytes, access=await source.access()
            )
        except ForgeError as error:
            meaning = source.explain(error)
            if not isinstance(meaning, ForgeUnauthorized) or renewed or not source.renew():
                raise meaning from None
            renewed = True


def key_of(source: Source) -> str:
    """Give the short name under which the copies of a repository are kept."""
    name = source.address.encode("utf-8", "surrogateescape")
    return hashlib.sha256(name).hexdigest()[:KEY_CHARS]
