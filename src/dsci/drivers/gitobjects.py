"""Git's objects, asked of one `git cat-file --batch` that stays open: blobs, and the trees of commits.

A commit's tree is read folder by folder, each when it is wanted: of a thousand commits that each changed one image of a
thousand, a thousand folders are read, not a million. Which commit, and why, is for others to know.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dsci.drivers import cures
from dsci.drivers.gitprogram import Program
from dsci.errors import HistoryError
from dsci.model.commits import LAST_DATE
from dsci.model.tree import EXECUTABLE, FILE, FOLDER, Tree, TreeEntry

_ANSWER = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64}) ([a-z]+) ([0-9]+)\n")
#: What stands behind the last `>` is the date.
#: Source: `split_ident_line` of https://github.com/git/git/blob/master/ident.c
_COMMITTED = re.compile(rb"^committer .*>[ \t]*([0-9]+)", re.MULTILINE)
#: An entry of a tree, by the length of an object id in bytes (SHA-1, SHA-256).
#: Source: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects#_tree_objects
_ENTRY = {n: re.compile(rb"([0-7]{5,6}) ([^\0/]+)\0(.{%d})" % n, re.DOTALL) for n in (20, 32)}
#: Folders of more entries differ in most commits: only so many of them are kept, those that were asked for last.
_SMALL, _LARGE_KEPT = 100, 16
#: How deep folders may lie in each other; Git itself stops at 2048 (core.maxTreeDepth).
_DEPTH = 250
_OWNER_RUNS = 0o100
#: How many bytes of names Git is told at once: what the smallest pipe holds while Git waits for us to read.
_TOLD = 4096


class Objects:
    """The objects of one repository."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._lock = threading.Lock()
        self._known: dict[str, Folder] = {}
        self._large: OrderedDict[str, Folder] = OrderedDict()

    def blob(self, oid: str) -> bytes:
        """A blob's content. Raises HistoryError when Git does not have it."""
        return self.blobs([oid])[0]

    def blobs(self, oids: Sequence[str]) -> list[bytes]:
        """The contents of blobs, asked all at once. Raises HistoryError when Git does not have one of them."""
        found: list[bytes] = []
        for oid, (_, kind, content) in zip(oids, self._ask(oids), strict=True):
            if kind != "blob":
                raise HistoryError(f"Git does not have the content of {oid}", hint=cures.partial(self._program.origin))
            found.append(content)
        return found

    def commit(self, name: str) -> tuple[str, int] | None:
        """A commit's object id and its committer's date (see `date`); None where there is no such commit."""
        ((oid, kind, content),) = self._ask([name])
        if kind != "commit":
            return None
        written = _COMMITTED.search(content.partition(b"\n\n")[0])
        return oid, date(written[1]) if written else 0

    def tree(self, commit: str) -> CommitTree:
        """A commit's tree. Raises HistoryError when Git does not have it."""
        root = self.folder(f"{commit}^{{tree}}")
        if root is None:
            raise HistoryError(
                f"Git does not have the list of files of {commit}", hint=cures.partial(self._program.origin)
            )
        return CommitTree(self, commit, root)

    def folder(self, name: str) -> Folder | None:
        """One folder by its object id, or by another name that Git knows; None where there is none.

        Raises HistoryError for one that is damaged.
        """
        return self.folders([name])[0]

    def folders(self, names: Sequence[str]) -> list[Folder | None]:
        """The same for several, asked all at once."""
        found = {name: self._known.get(name) or self._large.get(name) for name in names}
        unknown = [name for name, folder in found.items() if folder is None]
        for name, (oid, kind, content) in zip(unknown, self._ask(unknown) if unknown else (), strict=True):
            if kind == "tree":
                found[name] = self._known.get(oid) or self._keep(name, oid, Folder(content, len(oid) // 2))
        return [found[name] for name in names]

    def _keep(self, name: str, oid: str, folder: Folder) -> Folder:
        if folder.small:
            self._known[oid] = folder
        else:
            self._large[name] = folder
            if len(self._large) > _LARGE_KEPT:
                self._large.popitem(last=False)
        return folder

    def below(self, oid: str, path: str) -> Folder:
        """A folder that another one lists. Raises HistoryError when Git does not have it."""
        folder = self.folder(oid)
        if folder is None:
            raise HistoryError(
                f"Git does not have the list of files below the folder {path}", hint=cures.partial(self._program.origin)
            )
        return folder

    def _ask(self, names: Sequence[str]) -> list[tuple[str, str, bytes]]:
        """The id, kind and content of objects; three times nothing where there is none.

        Git is told several names before its first answer is read: each would be waited for otherwise.
        """
        answers: list[tuple[str, str, bytes]] = []
        lines = [name.encode(errors="surrogateescape") + b"\n" for name in names]
        with self._lock:
            while len(answers) < len(lines):
                first = last = len(answers)
                size = 0
                while last < len(lines) and (last == first or size + len(lines[last]) <= _TOLD):
                    size += len(lines[last])
                    last += 1
                answers += self._answers(lines[first:last])
        return answers

    def _answers(self, lines: Sequence[bytes]) -> Iterator[tuple[str, str, bytes]]:
        reader = self._program.objects()
        reader.ask(b"".join(lines))
        for _ in lines:
            answer = _ANSWER.fullmatch(reader.answers.readline())
            if answer is None:
                yield "", "", b""
                continue
            # Whatever it is, it is read to its end: the next answer begins behind it.
            size = int(answer[3])
            content = reader.answers.read(size)
            reader.answers.read(1)
            yield (answer[1].decode(), answer[2].decode(), content) if len(content) == size else ("", "", b"")


class Folder:
    """What one folder lists."""

    __slots__ = ("_named", "entries")

    def __init__(self, content: bytes, width: int) -> None:
        """`width` is the length of an object id in bytes. Raises HistoryError for what is no list of files."""
        self.entries: list[tuple[bytes, bytes, bytes]] = _ENTRY[width].findall(content)
        """Mode, name and object id of each, as Git stores them."""
        read = sum([len(mode) + len(name) for mode, name, _ in self.entries])
        if read + len(self.entries) * (width + 2) != len(content):
            raise HistoryError("a tree in this repository is damaged", hint="see `git fsck`")
        self._named: dict[str, TreeEntry] | None = None

    @property
    def small(self) -> bool:
        """Whether many commits will have it as it is."""
        return len(self.entries) <= _SMALL

    @property
    def named(self) -> Mapping[str, TreeEntry]:
        """The entries by their names, folders among them."""
        if self._named is None:
            self._named = {_path(name): TreeEntry(_mode(mode), oid.hex()) for mode, name, oid in self.entries}
        return self._named

    def below(self, place: str) -> dict[str, str]:
        """The folders in it: their paths, where its own is `place`, and their object ids."""
        prefix = f"{place}/" if place else ""
        return {prefix + _path(name): oid.hex() for mode, name, oid in self.entries if mode == b"40000"}

    @property
    def folders(self) -> list[str]:
        """The names of the folders in it."""
        return [_path(name) for mode, name, _ in self.entries if mode == b"40000"]


class CommitTree(Tree):
    """Every file of a commit, each folder read when it is asked for."""

    def __init__(self, objects: Objects, commit: str, root: Folder) -> None:
        super().__init__({})
        self._objects = objects
        self._commit = commit
        self._opened: dict[str, Folder | None] = {"": root}

    def __getitem__(self, path: str) -> TreeEntry:
        above, _, name = path.rpartition("/")
        folder = self._open(above)
        entry = folder.named.get(name) if folder is not None else None
        if entry is None or entry.mode == FOLDER:
            raise KeyError(path)
        return entry

    def __iter__(self) -> Iterator[str]:
        return iter(self.under(""))

    def __len__(self) -> int:
        return len(self.under(""))

    def under(self, place: str) -> list[str]:
        """See `Tree.under`."""
        folder = self._open(place)
        if folder is None:
            return [place] if place in self else []
        return sorted(self._walk(folder, f"{place}/" if place else ""))

    def expect(self, folders: Iterable[str], *, whole: bool = False) -> None:
        """See `Tree.expect`: folders are read level by level, each level at once."""
        level: dict[str, str] = {}
        for place in folders:
            if place not in self._opened and "\n" not in place and self._may_have(place):
                level[place] = f"{self._commit}:{place}"
            elif whole and (known := self._opened.get(place)) is not None:
                level |= known.below(place)
        for _ in range(_DEPTH):
            if not level:
                break
            found = self._objects.folders(list(level.values()))
            opened = dict(zip(level, found, strict=True))
            level = {}
            for place, folder in opened.items():
                if folder is not None:
                    self._keep(place, folder)
                    level |= folder.below(place) if whole else {}

    def folders(self, place: str) -> list[str]:
        """See `Tree.folders`."""
        folder = self._open(place)
        return sorted(folder.folders) if folder is not None else []

    def _walk(self, folder: Folder, prefix: str, depth: int = 0) -> Iterator[str]:
        if depth > _DEPTH:
            raise HistoryError("a tree in this repository is endlessly deep", hint="see `git fsck`")
        for name, entry in folder.named.items():
            path = prefix + name
            if entry.mode != FOLDER:
                yield path
                continue
            below = self._objects.below(entry.oid, path)
            self._keep(path, below)
            yield from self._walk(below, f"{path}/", depth + 1)

    def _open(self, place: str) -> Folder | None:
        """A folder of the tree; None where there is none."""
        if place in self._opened:
            return self._opened[place]
        found = self._find(place)
        self._keep(place, found)
        return found

    def _keep(self, place: str, folder: Folder | None) -> None:
        """Small folders are shared with other commits; large ones would be this one's alone, and fill the memory."""
        if folder is None or folder.small:
            self._opened[place] = folder

    def _may_have(self, place: str) -> bool:
        """Whether the nearest folder above a place that is open has what leads to it."""
        above, _, name = place.rpartition("/")
        while above not in self._opened:
            above, _, name = above.rpartition("/")
        folder = self._opened[above]
        entry = folder.named.get(name) if folder is not None else None
        return entry is not None and entry.mode == FOLDER

    def _find(self, place: str) -> Folder | None:
        if not self._may_have(place):
            return None
        above, _, name = place.rpartition("/")
        if above not in self._opened and "\n" not in place:
            # Git finds it by its path in one step, and reads the large folders above it faster than we do.
            return self._objects.folder(f"{self._commit}:{place}")
        parent = self._open(above)
        entry = parent.named.get(name) if parent is not None else None
        return self._objects.below(entry.oid, place) if entry is not None and entry.mode == FOLDER else None


def _mode(raw: bytes) -> str:
    """A file's mode as Git lists it: of the bits that old trees hold, the owner's right to run it is what counts."""
    if raw.startswith(b"100"):
        return EXECUTABLE if int(raw, 8) & _OWNER_RUNS else FILE
    return raw.decode("ascii")


def _path(raw: bytes) -> str:
    return raw.decode("utf-8", errors="surrogateescape")


def date(text: str | bytes) -> int:
    """A commit's date in seconds since the epoch; 0 for what lies before 1970, after 9999, or is no date at all."""
    known = text.isascii() and text.isdigit() and len(text) <= len(str(LAST_DATE)) and int(text) <= LAST_DATE
    return int(text) if known else 0
