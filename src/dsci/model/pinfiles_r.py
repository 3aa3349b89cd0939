"""Pins in the files of R projects: renv.lock and DESCRIPTION.

A lock holds everything that is installed; direct is what the DESCRIPTION beside it depends on or imports, else what no
other package in it requires.

Sources: https://rstudio.github.io/renv/reference/lockfiles.html,
https://cran.r-project.org/doc/manuals/r-release/R-exts.html#Package-Dependencies
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from dsci.model.pinfiles_shelf import Rank, Shelf, bounds, tops

_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9@_-]*):(.*)")
_DEPENDENCY = re.compile(r"([A-Za-z][A-Za-z0-9.]*)\s*(?:\(([^()]*)\))?")


class _R(Struct, frozen=True, rename="pascal"):
    version: str = ""


class _Package(Struct, frozen=True, rename="pascal"):
    version: str = ""
    requirements: list[str] | str = []
    """Names, in locks of the first form."""
    depends: list[str] | str = []
    """Names, perhaps with versions, in locks of the second; as a list or as in a DESCRIPTION."""
    imports: list[str] | str = []

    @property
    def needs(self) -> Iterator[str]:
        for value in (self.requirements, self.depends, self.imports):
            for text in (value if isinstance(value, str) else ",".join(value)).split(","):
                if (found := _DEPENDENCY.fullmatch(text.strip())) is not None:
                    yield found[1]


class _Lock(Struct, frozen=True, rename="pascal"):
    r: _R = _R()
    packages: dict[str, _Package] = {}


def renv_lock(shelf: Shelf, path: str) -> None:
    """Read an renv.lock; the version of R is the one of `r`."""
    lock = shelf.json(path, _Lock)
    if lock is None:
        return
    beside = shelf.beside(path, "DESCRIPTION")
    direct = {name for name, _ in _described(shelf.text(beside))} if beside in shelf.files else set()
    if not direct & lock.packages.keys():
        direct = set(tops({name: list(each.needs) for name, each in lock.packages.items()}))
    for name, package in lock.packages.items():
        if name in direct:
            shelf.add(Rank.LOCK, "r", name, package.version, path)
    if lock.r.version:
        shelf.add(Rank.LOCK, "r", "r", lock.r.version, path)


def description(shelf: Shelf, path: str) -> None:
    """Read a DESCRIPTION: what it depends on and imports."""
    for name, version in _described(shelf.text(path)):
        if name == "R":
            shelf.add(Rank.BOUND, "r", "r", version, path)
        else:
            shelf.add(Rank.WISH, "r", name, version, path)


def _described(text: str) -> Iterator[tuple[str, str]]:
    """The names and versions in the fields that matter; a line that begins with a space goes on with its field."""
    parts: list[str] = []
    wanted = False
    for line in text.splitlines():
        if line[:1] not in (" ", "\t"):
            found = _FIELD.match(line)
            wanted = found is not None and found[1] in ("Depends", "Imports")
            line = found[2] if found else ""
            parts.append(",")
        if wanted:
            parts.append(line)
    for item in " ".join(parts).split(","):
        if (each := _DEPENDENCY.fullmatch(item.strip())) is not None:
            yield each[1], bounds(each[2] or "")
