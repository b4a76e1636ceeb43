"""The honest weakest level: own session, built environment, limits, and nothing that hides files.

Where the daemon is root, each work tree has an account of its own, and its commands run as that:
they write nothing but the tree, and reach no process but their own. What every account may read
they read, and they have the network. Where another account could not work here (see `look`), or
the daemon is not root, commands have the daemon's own account, and `told` says so.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from juggernaut.adapters.sandboxes import account, handover, process
from juggernaut.domain import limits
from juggernaut.domain.exchange import CommandResult

TRY_SECONDS: Final = 20.0
TRY: Final = 'cd "$HOME" && : >tried && git --version && exec "$0" -I -c "import json"'
OTHER: Final = "each work tree's commands have an account of their own"
SAME: Final = "commands have the account of this process"
UNKNOWN: Final = "nothing else was tried yet"
ERROR_CHARS: Final = 300
LOG: Final = logging.getLogger(__name__)


class BareSandbox:
    """Runs commands as plain child processes."""

    def __init__(self, scratch: Path, place: Path | None = None) -> None:
        """Use `scratch` for the private HOME of each command; trees lie beside it.

        `place` is the folder that must be open to all for that, if not the one above.
        """
        self._scratch = scratch
        self._named = _plain(scratch).parent
        self._base = self._named.resolve()
        self._place = place or self._base.parent
        self._looked = asyncio.Lock()
        self._handing = asyncio.Lock()
        self._why: str | None = UNKNOWN
        self._known = False
        self._busy: Counter[int] = Counter()

    @property
    def level(self) -> str:
        """Give the strength."""
        return "bare"

    @property
    def told(self) -> str:
        """Say as whom commands run, and why it is the daemon's account where it is; see `look`."""
        return OTHER if self._why is None else f"{SAME}: {self._why}"

    async def look(self) -> None:
        """Find out, once, whether another account could work here: by trying it."""
        async with self._looked:
            if not self._known:
                self._why = account.lacks() or account.closed(self._place) or await self._try()
                self._known = True
                if self._why is not None and os.geteuid() == 0:
                    LOG.warning("sandbox bare: %s", self.told)

    async def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        *,
        timeout_seconds: float,
        writable: Sequence[Path] = (),
        memory_bytes: int = limits.COMMAND_MEMORY_BYTES,
    ) -> CommandResult:
        """Run argv; only what lies beside `scratch` is given to another account, with it a tree."""
        reason = process.refusal(argv, cwd)
        if reason is not None:
            return process.not_started(argv, reason)
        await self.look()
        words = tuple(argv)
        async with process.fresh_home(self._scratch) as home:
            try:
                number = await self._enter(cwd, (home, *writable))
            except OSError as error:
                return process.not_started(argv, f"cannot hand the work tree over: {error}")
            try:
                command = process.Command(
                    *(words, words, cwd, timeout_seconds, True),
                    memory_bytes=memory_bytes,
                    account=number,
                )
                return await process.run(command, home)
            finally:
                await self._leave(number)

    async def _enter(self, cwd: Path, places: Sequence[Path]) -> int | None:
        """Hand the tree and the other places over; gives their account, None where it is ours."""
        if self._why is not None:
            return None
        here = self._below(cwd)
        if not here.is_relative_to(self._base):
            LOG.warning("sandbox bare: %s: the folder %s is not below %s", SAME, here, self._base)
            return None
        given = [place for place in map(self._below, places) if place.is_relative_to(self._base)]
        # The tree as the daemon knows it: a folder in it may be a link by now.
        around = [place for place in given if here.is_relative_to(place)]
        tree = min(around, key=lambda place: len(place.parts), default=here)
        async with self._handing:
            number = await asyncio.to_thread(self._hand_over, (tree, *given))
            self._busy[number] += 1
        return number

    def _hand_over(self, places: Sequence[Path]) -> int:
        """Give the places to the account of the first; one that it works in now has waited."""
        number = handover.account_of(places[0])
        for place in dict.fromkeys(places):
            if not (self._busy[number] and place.lstat().st_uid == number):
                handover.hand_over(place, self._base, number)
        return number

    async def _leave(self, number: int | None) -> None:
        """Kill what the account has left when its last command ends."""
        if number is None:
            return
        self._busy[number] -= 1
        await asyncio.shield(self._end(number))

    async def _end(self, number: int) -> None:
        """Kill all of an idle account, before another command of its tree begins."""
        async with self._handing:
            if not self._busy[number]:
                await account.end_all(number)
                del self._busy[number]

    def _below(self, path: Path) -> Path:
        """Give a path as it is below our base, by the base's real name; not so the links in it."""
        plain = _plain(path)
        if plain.is_relative_to(self._named):
            return self._base / plain.relative_to(self._named)
        return plain

    async def _try(self) -> str | None:
        """Run Python and git as another account; say what kept it from that."""
        words = ("/bin/sh", "-c", TRY, sys.executable)
        number = account.draw()
        async with process.fresh_home(self._scratch) as home:
            try:
                await asyncio.to_thread(handover.hand_over, home, self._base, number)
            except OSError as error:
                return f"files below {self._base} cannot be given to another account: {error}"
            command = process.Command(words, words, home, TRY_SECONDS, True, account=number)
            result = await process.run(command, home)
        if result.exit_code == 0:
            return None
        said = " ".join(result.output.split())[-ERROR_CHARS:]
        return f"another account cannot use {sys.executable}, git or {self._scratch}: {said}"


def _plain(path: Path) -> Path:
    """Give the absolute path without dots; links in it are not resolved."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow them
