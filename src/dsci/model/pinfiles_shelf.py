"""The files of one image while pins are read from them: opened once, bounded, with what was found and what failed.

Every reader of pins takes from this shelf and puts back what it found; which of several files is believed about a
dependency is decided here, once. What a file of each kind means is known in the readers.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from enum import IntEnum
from posixpath import dirname, join, normpath
from typing import TypeVar

import msgspec

from dsci.model.pins import Key, Pin, Pins, Problem
from dsci.model.pins_worth import JOIN, numbers
from dsci.model.text import plain

T = TypeVar("T")

#: Characters; larger files are not read.
SIZE_LIMIT = 8 * 1024 * 1024

_LENGTH_LIMIT = 200
_NAME = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_.+-]*")
_SPACES = re.compile(r"\s+")
#: tomllib needs quadratic time for a key of many parts; nobody writes one.
_DOTTED = re.compile(r"""(?:(?:(?<![\w-])[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){40}""")

#: The languages by the names of their packages and images, so that each is one dependency.
_LANGUAGES: Mapping[Key, str] = {
    ("conda", "python"): "python",
    ("base", "python"): "python",
    ("apt", "python3"): "python",
    ("apk", "python3"): "python",
    ("conda", "r-base"): "r",
    ("base", "r-base"): "r",
    ("base", "r-ver"): "r",
    ("apt", "r-base"): "r",
    ("apt", "r-base-core"): "r",
    ("apk", "r"): "r",
}


class Rank(IntEnum):
    """Which of several files is believed: the lowest that names a version."""

    LOCK = 0
    """It says what is installed."""
    WISH = 1
    """It says what shall be installed."""
    BASE = 2
    """It is there before anything is installed."""
    BOUND = 3
    """It says what would do (`requires-python`)."""


class Shelf(msgspec.Struct):
    """The files of one image by path."""

    files: Mapping[str, str]
    problems: dict[str, str] = msgspec.field(default_factory=dict)
    found: dict[Key, list[tuple[Rank, Pin]]] = msgspec.field(default_factory=dict)

    def text(self, path: str) -> str:
        """The text of a file; nothing, and a problem, where it is too large."""
        text = self.files[path]
        if len(text) > SIZE_LIMIT:
            self.problem(path, f"more than {SIZE_LIMIT} characters")
            return ""
        return text

    def toml(self, path: str, kind: type[T]) -> T | None:
        """A TOML file as this kind of struct; None, and a problem, where it is none."""
        text = self.text(path)
        if _DOTTED.search(text):
            self.problem(path, "keys of more than 40 parts")
            return None
        try:
            return msgspec.convert(tomllib.loads(text), kind)
        except (ValueError, RecursionError) as error:
            self.problem(path, f"not valid: {error}")
            return None

    def json(self, path: str, kind: type[T]) -> T | None:
        """A JSON file as this kind of struct; None, and a problem, where it is none."""
        try:
            return msgspec.json.decode(self.text(path) or "null", type=kind)
        except (ValueError, RecursionError) as error:
            self.problem(path, f"not valid: {error}")
            return None

    def problem(self, path: str, why: str) -> None:
        """Note that a file cannot be read; the first reason counts."""
        self.problems.setdefault(path, plain(why)[:_LENGTH_LIMIT])

    def beside(self, path: str, name: str) -> str:
        """The path of a name that a file in this folder uses."""
        return normpath(join(dirname(path), name))

    def add(self, rank: Rank, ecosystem: str, name: str, version: str, path: str, *, loose: bool = False) -> None:
        """Note what a file says about a dependency; what no package can be called is passed over."""
        version = _SPACES.sub(" ", plain(version)).strip()
        if len(name) > _LENGTH_LIMIT or len(version) > _LENGTH_LIMIT or not _NAME.fullmatch(name):
            return
        pin = Pin(name=name, ecosystem=ecosystem, version=version, source=path, loose=loose and not version)
        language = _LANGUAGES.get(pin.key)
        if language is not None:
            pin = Pin(name=language, ecosystem=language, version=version, source=path, loose=pin.loose)
        self.found.setdefault(pin.key, []).append((rank, pin))

    def pins(self) -> Pins:
        """Everything that was found, each dependency once."""
        return Pins(
            pins={key: _believed(self.found[key]) for key in sorted(self.found)},
            problems=tuple(Problem(path=path, why=why) for path, why in sorted(self.problems.items())),
        )


def _believed(found: Iterable[tuple[Rank, Pin]]) -> Pin:
    """What the best of the files say, all of them where they do not agree."""
    ranked = sorted(found, key=lambda item: (item[1].version == "", item[0], item[1].source, item[1].name))
    (silent, best), first = (ranked[0][1].version == "", ranked[0][0]), ranked[0][1]
    if silent:
        loose = all(pin.loose for _, pin in ranked)
        return next(pin for _, pin in ranked if pin.loose == loose)
    versions = {pin.version for rank, pin in ranked if rank == best and pin.version}
    ordered = sorted(versions, key=lambda version: (numbers(version, first.ecosystem) or (-1, ()), version))
    return Pin(name=first.name, ecosystem=first.ecosystem, version=JOIN.join(ordered), source=first.source)


def tops(needs: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """The names that no other one needs; all of them where each is needed by one."""
    needed = {need for name, others in needs.items() for need in others if need != name}
    return frozenset(needs.keys() - needed or needs)


def bounds(text: str) -> str:
    """A version or a range in one spelling: an exact one bare, lower bounds before the others, no spaces."""
    clauses = [_SPACES.sub("", clause) for clause in text.strip().strip("()").split(",")]
    clauses = sorted({clause for clause in clauses if clause.strip("*=")}, key=lambda c: (c[0] in "<!", c))
    if len(clauses) == 1 and (exact := re.fullmatch(r"={0,3}([^<>=!~^|]+)", clauses[0])):
        return exact[1].removesuffix("*").removesuffix(".")
    return ",".join(clauses)
