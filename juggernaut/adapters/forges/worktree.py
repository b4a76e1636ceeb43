"""The commands on one work tree, all under a control directory that lies outside it.

folder/control   a bare git directory: own index, own objects, borrows from the mirror
folder/tree      what the agent sees and changes; a `.git` in there is never read
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from juggernaut.adapters.forges import diffcheck
from juggernaut.adapters.forges.git import Git, OutputTooLong
from juggernaut.adapters.forges.mirror import Mirror, init_bare
from juggernaut.domain.errors import ForgeError, InvalidInput
from juggernaut.domain.limits import DIFF_BYTES, MIB
from juggernaut.domain.model import Sha
from juggernaut.domain.pulls import Change

JUNK: Final = "__pycache__/\n*.pyc\n.pytest_cache/\n"
LIST_BYTES: Final = 1 * MIB
LINK_BYTES: Final = 4096
TREE_LIST_BYTES: Final = 64 * MIB


@dataclass(frozen=True, slots=True)
class Worktree:
    """A tree, its control directory and the commit that it started from."""

    git: Git
    control: Path
    tree: Path
    base: Sha

    async def populate(self, mirror: Mirror, change: Sha | None = None) -> None:
        """Write the files of `base` into the empty tree, with a change merged into them."""
        await init_bare(self.git, self.control, self.base)
        await asyncio.to_thread(self._borrow, mirror)
        await self._check_base()
        await self._do("read-tree", (await self._merged(change))[0] if change else self.base)
        await self._do("checkout-index", "--all", "--force", "--index", "--quiet")

    async def conflicts(self, change: Sha) -> tuple[str, ...]:
        """Give the files in which a change and base do not go together."""
        return (await self._merged(change))[1]

    async def _merged(self, change: Sha) -> tuple[str, tuple[str, ...]]:
        """Merge a change into base in memory; gives the tree, and the files with marks in it."""
        ended = await self.git.run(
            "merge-tree",
            "--write-tree",
            "--no-messages",
            "--name-only",
            "-z",
            self.base,
            change,
            git_dir=self.control,
            ok=(0, 1),
        )
        tree, *names = (diffcheck.readable(part) for part in ended.out.split(b"\0") if part)
        return tree, tuple(sorted(set(names)))

    async def stage(self) -> str | None:
        """Stage all that changed and give its tree; None when it is the tree of base.

        Raises InvalidInput naming the path that a change may not hold.
        """
        if not await asyncio.to_thread(self._is_there):
            raise InvalidInput(f"the work tree {self.tree} is gone: nothing can be committed")
        await self._check_candidates()
        try:
            await self._do("add", "--all", "--", ".")
        except ForgeError as error:
            raise InvalidInput(f"the work tree cannot be committed: {error}") from error
        tree = await self._ask("write-tree")
        if tree == await self._ask("rev-parse", f"{self.base}^{{tree}}"):
            return None
        await self._check_tree(tree)
        return tree

    async def record(self, tree: str, message: str) -> Change:
        """Commit a staged tree on top of base, whatever was committed before, and measure it."""
        head = Sha(
            await self.git.text(
                "commit-tree",
                tree,
                "-p",
                self.base,
                "-F",
                "-",
                git_dir=self.control,
                stdin=message.encode(),
            )
        )
        return await self._measured(head)

    async def landed(self) -> Change:
        """Measure the commit of this tree against its first parent; a root commit has none."""
        head = self.base
        try:
            parent = Sha(await self._ask("rev-parse", "--verify", "--quiet", f"{head}^1"))
        except ForgeError as error:
            raise InvalidInput(f"commit {head} has no parent: it changes nothing") from error
        return await replace(self, base=parent)._measured(head)

    async def _check_base(self) -> None:
        """Refuse a repository that is larger than a work tree may be, before a file is written."""
        try:
            listed = await self.git.run(
                "ls-tree",
                "-r",
                "-l",
                "-z",
                self.base,
                git_dir=self.control,
                max_bytes=TREE_LIST_BYTES,
            )
        except OutputTooLong:
            raise InvalidInput(f"commit {self.base[:12]} has too many files to work on") from None
        rows = listed.out.split(b"\0")[:-1]
        # mode, kind, id and size stand before the tab; a submodule has "-" for its size.
        sizes = [row.partition(b"\t")[0].split()[-1] for row in rows]
        diffcheck.check_tree(len(rows), sum(int(size) for size in sizes if size.isdigit()))

    def _borrow(self, mirror: Mirror) -> None:
        """Point the control directory at the mirror's objects, and name the junk."""
        info = self.control / "objects" / "info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "alternates").write_text(f"{mirror.git_dir / 'objects'}\n", encoding="utf-8")
        exclude = self.control / "info" / "exclude"
        exclude.parent.mkdir(exist_ok=True)
        exclude.write_text(JUNK, encoding="utf-8")
        self.tree.mkdir()

    def _is_there(self) -> bool:
        """Say whether the tree is still a real folder and not a link to another one."""
        return self.tree.is_dir() and not self.tree.is_symlink()

    async def _check_candidates(self) -> None:
        """Look at what would be staged before git reads any of it: names, kinds and sizes."""
        try:
            listed = await self._do(
                "ls-files",
                "-z",
                "--others",
                "--modified",
                "--deleted",
                "--exclude-standard",
                max_bytes=LIST_BYTES,
            )
        except OutputTooLong:
            raise InvalidInput(
                "the change touches too many files: list build results in .gitignore"
            ) from None
        names = set(listed.split(b"\0")[:-1])
        diffcheck.check_count(len(names))
        await asyncio.to_thread(self._check_files, sorted(names))

    def _check_files(self, names: list[bytes]) -> None:
        """Refuse repositories in the tree, devices, pipes, and files that are too big."""
        for name in names:
            path = diffcheck.readable(name)
            diffcheck.check_path(path.rstrip("/"))
            try:
                found = os.lstat(self.tree / path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if stat.S_ISDIR(found.st_mode) and path.endswith("/"):
                raise InvalidInput(
                    f"path {path} is a repository of its own: remove its .git folder"
                )
            if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
                if not stat.S_ISDIR(found.st_mode):
                    raise InvalidInput(f"path {path} is neither a file nor a link: remove it")
            else:
                diffcheck.check_size(path, found.st_size)

    async def _check_tree(self, tree: str) -> None:
        """Judge what was staged by git's own record, file by file."""
        raw = await self._bounded("diff-tree", "-r", "--raw", "-z", "--no-renames", self.base, tree)
        entries = diffcheck.parse_raw(raw)
        diffcheck.check_count(len(entries))
        for entry in entries:
            diffcheck.check_entry(entry)
        files = diffcheck.files_of(entries)
        asked = "".join(f"{entry.blob}\n" for entry in files)
        sizes = await self.git.text(
            "cat-file",
            "--batch-check=%(objectsize)",
            git_dir=self.control,
            stdin=asked.encode(),
        )
        for entry, size in zip(files, sizes.split(), strict=True):
            diffcheck.check_size(entry.path, int(size))
        for entry in diffcheck.links_of(entries):
            target = await self._bounded("cat-file", "blob", entry.blob, max_bytes=LINK_BYTES)
            diffcheck.check_link(entry.path, diffcheck.readable(target))

    async def _measured(self, head: Sha) -> Change:
        """Measure a commit against base: its paths by git's list, whatever their content is."""
        raw = await self._bounded("diff-tree", "-r", "--raw", "-z", "--no-renames", self.base, head)
        entries = diffcheck.parse_raw(raw)
        added, removed, binary = await self._numstat(head)
        pictures = binary & diffcheck.pictures_of(entries)
        unread = tuple(sorted(binary - pictures))
        return Change(
            head=head,
            base=self.base,
            diff=await self._diff(head, pictures, unread),
            files=tuple(entry.path for entry in entries),
            added=added,
            removed=removed,
            before=tuple(entry.path for entry in entries if entry.old_mode != diffcheck.GONE),
            unread=unread,
        )

    async def _numstat(self, head: Sha) -> tuple[int, int, frozenset[str]]:
        """Count lines, and name the binary files: these count none."""
        raw = await self._bounded(
            "diff-tree", "-r", "--numstat", "-z", "--no-renames", self.base, head
        )
        binary, added, removed = set[str](), 0, 0
        for record in raw.split(b"\0")[:-1]:
            plus, minus, name = record.split(b"\t", 2)
            if not plus.isdigit():
                binary.add(diffcheck.readable(name))
                continue
            added += int(plus)
            removed += int(minus)
        return added, removed, frozenset(binary)

    async def _diff(self, head: Sha, pictures: Collection[str], unread: Iterable[str]) -> str:
        """Give the text of the change, whole; too long is refused, never cut.

        There is no work tree in this command, and all is text to it, so that neither a
        .gitattributes nor a NUL of the change can hide a hunk from the reader. Only pictures, and
        what holds hardly any text, stay binary: whole blob ids bind them too.
        """
        plain = set(pictures)
        for path in unread:
            if not await self._mostly_text(head, path):
                plain.add(path)
        if not plain:
            return diffcheck.readable_text(await self._patch(head, "--text"))
        rest = [f":(exclude,literal){path}" for path in sorted(plain)]
        only = [f":(literal){path}" for path in sorted(plain)]
        text = await self._patch(head, "--text", paths=rest)
        return diffcheck.readable_text(text + await self._patch(head, paths=only))

    async def _mostly_text(self, head: Sha, path: str) -> bool:
        """Say whether a binary file can be read all the same, and is short enough for that."""
        try:
            raw = await self._patch(head, "--text", paths=[f":(literal){path}"])
        except InvalidInput:
            return False
        return diffcheck.is_mostly_text(raw)

    async def _patch(self, head: Sha, *options: str, paths: Sequence[str] = ()) -> bytes:
        """Give git's own patch of these paths, of all if there are none."""
        return await self._bounded(
            "diff-tree",
            "-r",
            "-p",
            "--full-index",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--no-color",
            *options,
            self.base,
            head,
            *(("--", *paths) if paths else ()),
        )

    async def _bounded(self, *argv: str, max_bytes: int = DIFF_BYTES) -> bytes:
        """Read about the change with the control directory alone; too much is refused."""
        try:
            ended = await self.git.run(*argv, git_dir=self.control, max_bytes=max_bytes)
        except OutputTooLong:
            raise InvalidInput(
                f"the change is too long ({argv[0]} gives more than {max_bytes} bytes):"
                " split the task"
            ) from None
        return ended.out

    async def _do(self, *argv: str, max_bytes: int = DIFF_BYTES) -> bytes:
        """Run a command over the work tree."""
        ended = await self.git.run(
            *argv, git_dir=self.control, work_tree=self.tree, max_bytes=max_bytes
        )
        return ended.out

    async def _ask(self, *argv: str) -> str:
        """Ask the control directory for one word."""
        return await self.git.text(*argv, git_dir=self.control)
