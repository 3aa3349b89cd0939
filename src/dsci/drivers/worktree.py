"""What lies in a work tree, as the entries that it would have if it were committed now.

Nothing is written to the object store, and no file is changed. What differs from HEAD is asked of Git, which knows
what is ignored; links are read and never followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from dsci.drivers.gitprogram import Program
from dsci.errors import ConfigError
from dsci.model.tree import EXECUTABLE, FILE, SYMLINK, Tree, TreeEntry

_STATUS = ("status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=all")


class WorkTree:
    """The work tree of a repository."""

    def __init__(self, program: Program, root: str) -> None:
        self._program = program
        self._root = Path(root)

    def changes(self, head: Tree) -> Mapping[str, TreeEntry | None]:
        """Paths that differ from this tree of HEAD, untracked ones included; None for a path that is gone."""
        paths: list[str] = []
        for record in self._program.run(*_STATUS).stdout.split(b"\0")[:-1]:
            kind, _, rest = record.partition(b" ")
            fields = {b"1": 7, b"u": 9}.get(kind, 0)
            paths.append(rest.split(b" ", fields)[-1].decode("utf-8", errors="surrogateescape"))
        # What lies behind a linked folder is not at this path for Git: the path is gone.
        entries = self._entries(path for path in paths if not self._behind_link(path))
        return {path: entries.get(path) for path in sorted(set(paths)) if entries.get(path) != head.get(path)}

    def below(self, folder: str) -> Mapping[str, TreeEntry]:
        """Every file at or below a path, whether Git knows it or not, but for Git's own. Raises ConfigError for a path
        that leads out, also by a link.
        """
        outside = folder.startswith("/") or ".." in PurePosixPath(folder).parts
        if outside or _is_gits(folder) or self._behind_link(folder):
            raise ConfigError(f"{folder} is not in the repository", hint="name a path from the repository's root")
        start = self._root / folder
        if start.is_file() or start.is_symlink():
            return self._entries([folder])
        paths = (path for path in sorted(start.rglob("*")) if path.is_symlink() or not path.is_dir())
        names = (str(path.relative_to(self._root)) for path in paths)
        return self._entries([name for name in names if not _is_gits(name)])

    def content(self, path: str) -> bytes:
        """The content of a file; the target of a link."""
        full = self._root / path
        return os.fsencode(full.readlink()) if full.is_symlink() else full.read_bytes()

    def _entries(self, paths: Iterable[str]) -> dict[str, TreeEntry]:
        """The entries of these paths; those that are no files are left out."""
        found: dict[str, TreeEntry] = {}
        modes: dict[str, str] = {}
        for path in paths:
            full = self._root / path
            try:
                mode = full.lstat().st_mode
            except (FileNotFoundError, NotADirectoryError):
                continue
            if stat.S_ISLNK(mode):
                target = os.fsencode(full.readlink())
                found[path] = TreeEntry(SYMLINK, self._program.text("hash-object", "--stdin", stdin=target))
            elif stat.S_ISREG(mode):
                modes[path] = EXECUTABLE if mode & stat.S_IXUSR else FILE
        lines = b"".join(_quoted(path) + b"\n" for path in modes)
        hashing = ("hash-object", "--stdin-paths")
        oids = self._program.text(*hashing, stdin=lines, cwd=self._root).split() if modes else []
        return found | {path: TreeEntry(mode, oid) for (path, mode), oid in zip(modes.items(), oids, strict=True)}

    def _behind_link(self, path: str) -> bool:
        return any((self._root / folder).is_symlink() for folder in list(PurePosixPath(path).parents)[:-1])


def _is_gits(path: str) -> bool:
    """Whether it is a part of a repository itself: its settings may hold the token of a CI job."""
    return ".git" in (part.lower() for part in PurePosixPath(path).parts)


def _quoted(path: str) -> bytes:
    """A path as a line that Git reads back whatever is in it."""
    raw = os.fsencode(path)
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
