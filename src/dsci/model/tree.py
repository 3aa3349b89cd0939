"""A Git tree as a value: paths, each with a mode and an object id. Nothing here reads Git."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

import msgspec

FILE = "100644"
EXECUTABLE = "100755"
SYMLINK = "120000"
SUBMODULE = "160000"
FOLDER = "40000"


class TreeEntry(msgspec.Struct, frozen=True, order=True):
    """One entry of a Git tree: its mode and its object id (a commit id for a submodule)."""

    mode: str
    oid: str


class Tree(Mapping[str, TreeEntry]):
    """Every file of a tree by its path from the root, `/` between the parts; folders are not listed."""

    def __init__(self, entries: Mapping[str, TreeEntry]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, path: str) -> TreeEntry:
        return self._entries[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._entries)

    def under(self, place: str) -> list[str]:
        """The paths below a folder (`""` is the root), or the file itself, sorted; without a look at any other."""
        if not place:
            return self._sorted
        first = bisect_left(self._sorted, f"{place}/")
        last = bisect_left(self._sorted, f"{place}{_AFTER_SLASH}")
        return [*([place] if place in self._entries else []), *self._sorted[first:last]]

    def expect(self, folders: Iterable[str], *, whole: bool = False) -> None:
        """Say that these folders, or the whole of them, will be asked for: a tree that reads them does it at once.

        No answer is another one for it.
        """

    def folders(self, place: str) -> list[str]:
        """The names of the folders that lie directly in a folder (`""` is the root), sorted."""
        prefix = f"{place}/" if place else ""
        return sorted({rest.partition("/")[0] for path in self.under(place) if "/" in (rest := path[len(prefix) :])})


_AFTER_SLASH = chr(ord("/") + 1)


def below(folder: str, path: str) -> str | None:
    """The path as seen from the folder (`""` is the root), or None when it does not lie below it."""
    if not folder:
        return path
    return path[len(folder) + 1 :] if path.startswith(f"{folder}/") else None
