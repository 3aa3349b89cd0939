"""A Git tree as a value: paths, each with a mode and an object id. Nothing here reads Git."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FILE = "100644"
EXECUTABLE = "100755"
SYMLINK = "120000"
SUBMODULE = "160000"


@dataclass(frozen=True, slots=True, order=True)
class TreeEntry:
    """One entry of a Git tree: its mode and its object id (a commit id for a submodule)."""

    mode: str
    oid: str


#: Every file of a tree by its path from the root, `/` between the parts; folders are not listed.
Tree = Mapping[str, TreeEntry]


def below(folder: str, path: str) -> str | None:
    """The path as seen from the folder (`""` is the root), or None when it does not lie below it."""
    if not folder:
        return path
    return path[len(folder) + 1 :] if path.startswith(f"{folder}/") else None
