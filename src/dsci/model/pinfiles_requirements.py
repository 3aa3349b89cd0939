"""Pins in pip's requirements files, written by hand or compiled by pip-compile or uv.

A compiled file lists everything that is installed; direct is what the `.in` file beside it names, else what its `# via`
comments trace back to anything but another entry. Of a file without either, every entry is direct.

Sources: https://pip.pypa.io/en/stable/reference/requirements-file-format/,
https://pip-tools.readthedocs.io/en/stable/cli/pip-compile/ (annotations)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from dsci.model.pinfiles_shelf import Rank, Shelf, bounds
from dsci.model.pins import normalised

_COMMENT = re.compile(r"(?:^|(?<=\s))#")
_OPTION = re.compile(r"-(?:-(requirement|constraint|editable)|([rce]))(?:\s*=\s*|\s*)(\S.*)")
#: Options of one entry, such as its hashes.
_TRAILING = re.compile(r"\s--[a-z]")
_EGG = re.compile(r"[#&]egg=([A-Za-z0-9][A-Za-z0-9._-]*)")
_VIA = re.compile(r"#?\s*via\b\s*")


class _File(msgspec.Struct):
    """What one file says."""

    entries: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """Names, normalised, and versions."""
    via: dict[str, set[str]] = msgspec.field(default_factory=dict)
    """What asks for each entry that has such a comment."""
    included: list[str] = msgspec.field(default_factory=list)
    constraints: list[str] = msgspec.field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """The names of the entries."""
        return {name for name, _ in self.entries}

    @property
    def direct(self) -> set[str]:
        """The entries that something else than another entry asks for."""
        names = self.names
        if not self.via:
            return names
        # Before pip-tools 5.4 an entry that was asked for by the `.in` file had no comment at all.
        asked = {name for name in names if name not in self.via or self.via[name] - names}
        return asked or names


def read(shelf: Shelf, paths: Iterable[str]) -> None:
    """Read the requirements files at these paths, and those among the files that they include."""
    files: dict[str, _File] = {}
    todo = sorted(paths)
    while todo:
        path = todo.pop()
        if path not in files and path in shelf.files:
            files[path] = _parse(shelf, path)
            todo += files[path].included
    limits = {
        name: version
        for path in sorted({constraint for file in files.values() for constraint in file.constraints})
        if path in shelf.files
        for name, version in (files.get(path) or _parse(shelf, path)).entries
    }
    for path, file in files.items():
        stem, _, kind = path.rpartition(".")
        if kind == "in" and f"{stem}.txt" in files:
            continue
        source = f"{stem}.in"
        compiled = kind == "txt" and source in files
        direct = _named(source, files) & file.names if compiled else file.direct
        rank = Rank.LOCK if compiled or file.via else Rank.WISH
        for name, version in file.entries:
            if name in direct or not direct:
                shelf.add(rank, "python", name, version or limits.get(name, ""), path)


def requirement(text: str) -> tuple[str, str] | None:
    """The normalised name and the version of one requirement; None where the text has no name to it."""
    text = _TRAILING.split(text, maxsplit=1)[0].strip()
    if egg := _EGG.search(text):
        return normalised("python", egg[1]), _of_url(text)
    try:
        found = Requirement(text)
    except (InvalidRequirement, RecursionError):
        return None
    return normalised("python", found.name), _of_url(found.url) if found.url else bounds(str(found.specifier))


def _named(path: str, files: Mapping[str, _File]) -> set[str]:
    """What a `.in` file and those that it includes name; of a compiled one among these, what its own `.in` names."""
    names: set[str] = set()
    seen: set[str] = set()
    todo = [path]
    while todo:
        stem, _, kind = (path := todo.pop()).rpartition(".")
        if kind == "txt" and f"{stem}.in" in files:
            path = f"{stem}.in"
        if path in files and path not in seen:
            seen.add(path)
            names |= files[path].direct
            todo += files[path].included
    return names


def _parse(shelf: Shelf, path: str) -> _File:
    """Read one file, line by line."""
    file = _File()
    last, tells = "", False
    for line in _logical(shelf.text(path)):
        text, comment = line, ""
        if found := _COMMENT.search(line):
            text, comment = line[: found.start()], line[found.end() :]
        text = text.strip()
        if not text:
            tells = bool(last and comment) and _note(file, last, comment, tells)
            continue
        last, tells = "", False
        if option := _OPTION.match(text):
            kind = (option[1] or option[2])[0]
            if kind == "e":
                text = option[3]
            else:
                (file.included if kind == "r" else file.constraints).append(shelf.beside(path, option[3].strip()))
                continue
        if (entry := requirement(text)) is not None:
            file.entries.append(entry)
            last = entry[0]
            tells = _note(file, last, comment, False)
    return file


def _note(file: _File, name: str, comment: str, tells: bool) -> bool:
    """Take in a comment below or behind an entry; whether it, and so those below it, tell what asks for the entry."""
    begins = _VIA.match(comment.strip())
    if begins is None and not tells:
        return False
    rest = comment.strip()[begins.end() if begins else 0 :]
    asking = file.via.setdefault(name, set())
    for each in rest.split(","):
        # A constraint asks for nothing.
        if each.strip() and not each.strip().startswith(("-c ", "--constraint")):
            asking.add(normalised("python", each.strip()))
    return True


def _logical(text: str) -> Iterator[str]:
    """Lines, with those that a backslash continues joined; comments are never continued."""
    parts: list[str] = []
    for line in text.removeprefix("\ufeff").splitlines():
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            parts.append(line[:-1])
            continue
        if parts and line.lstrip().startswith("#"):
            yield "".join(parts)
            parts = []
        yield "".join((*parts, line))
        parts = []
    if parts:
        yield "".join(parts)


def _of_url(url: str) -> str:
    """The version that a URL names: what it checks out, or what its wheel's name says; else nothing."""
    path = url.partition("#")[0].partition("://")[2].partition("/")[2]
    if "@" in path:
        return path.rpartition("@")[2]
    try:
        return str(parse_wheel_filename(path.rpartition("/")[2])[1])
    except InvalidWheelFilename:
        return ""
