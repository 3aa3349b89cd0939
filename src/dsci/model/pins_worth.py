"""How far a dependency's version moved, for the version of the image that holds it.

Versions of every ecosystem are read alike: an epoch, then numbers, then what belongs to the same release (pre- and
post-releases, local and build parts, the revision of a package in a distribution). The first number that differs
decides. What is no such version says nothing but that it changed, and that is a patch.

Sources: https://packaging.python.org/en/latest/specifications/version-specifiers/,
https://www.debian.org/doc/debian-policy/ch-controlfields.html#version, https://semver.org/#spec-item-4
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Literal

from dsci.model.commits import Bump

Rule = Literal["semver", "strict", "calver", "major", "minor", "patch", "none"]

JOIN = " | "
"""Between the versions of one dependency in several files, the lowest first."""

#: Languages whose second number breaks what was installed for the one before: its packages are built or installed
#: for that number alone. Node's ABI follows its first number, and Go and Rust keep their promise: they are not here.
STRICT = frozenset({"julia", "lua", "perl", "php", "python", "r", "ruby"})

_NUMBERS = re.compile(r"\s*(?:([0-9]{1,9})[:!])?[vV]?([0-9]+(?:\.[0-9]+)*)")
_BOUND = re.compile(r"(?:^|[,|\s])(?:>=?|~=?|={1,3}|\^)\s*([^,|\s]+)")
#: What a commit looks like where a version might stand: digits of it are no numbers.
_COMMIT = re.compile(r"(?=[0-9]*[a-f])[0-9a-f]{7,64}")
_YEARS = range(1990, 2101)


def worth(old: str, new: str, *, ecosystem: str, name: str, rule: Rule | None = None) -> tuple[Bump, str]:
    """What a move between two different versions is worth, and why. The same both ways, up and down."""
    match rule:
        case "none":
            return Bump.NONE, "a rule says that it does not count"
        case "major" | "minor" | "patch":
            return Bump[rule.upper()], f"counts as a {rule} move by rule"
    if not old or not new:
        return Bump.PATCH, "pinned now" if new else "no longer pinned"
    olds, news = old.split(JOIN), new.split(JOIN)
    pairs = list(zip(olds, news, strict=True)) if len(olds) == len(news) else [(olds[-1], news[-1])]
    moves = [_worth(a, b, ecosystem, name, rule) for a, b in pairs if a != b]
    return max(moves, key=lambda move: move[0], default=(Bump.PATCH, "the highest of them did not move"))


def numbers(version: str, ecosystem: str) -> tuple[int, tuple[int, ...]] | None:
    """The epoch and the numbers that a version, or the lower bound of a range, begins with; None where it has none."""
    found = _NUMBERS.match(_lower(version.replace("-", ".") if ecosystem == "r" else version))
    if found is None or _COMMIT.fullmatch(version):
        return None
    return int(found[1] or 0), tuple(int(number) for number in found[2].split("."))


def _worth(old: str, new: str, ecosystem: str, name: str, rule: Rule | None) -> tuple[Bump, str]:
    a, b = numbers(old, ecosystem), numbers(new, ecosystem)
    if a is None or b is None:
        return Bump.PATCH, "no numbers to compare"
    if rule == "calver" or (rule is None and _is_dated(a[1]) and _is_dated(b[1])):
        return Bump.PATCH, "dated versions count as a patch"
    if _allows(old, new) or _allows(new, old):
        return Bump.PATCH, "one is within the other"
    language = ecosystem in ("python", "r") and name == ecosystem
    if language or ecosystem in ("base", "conda", "apk"):
        # 3 is any 3.x there, and 3.12 one of them: that says more, and moves nothing.
        length = min(len(a[1]), len(b[1]))
        a, b = (a[0], a[1][:length]), (b[0], b[1][:length])
    place = next((n for n, (x, y) in enumerate(zip_longest(a[1], b[1], fillvalue=0)) if x != y), None)
    if place is None:
        return Bump.PATCH, "the same release"
    down = ", down" if b < a else ""
    strict = language or (name in STRICT and ecosystem in ("base", "conda"))
    if place < 2 and (rule == "strict" or (rule is None and strict)):
        return Bump.MAJOR, f"breaks what is installed for it{down}"
    bump = (Bump.MAJOR, Bump.MINOR)[place] if place < 2 else Bump.PATCH
    return bump, f"a {bump} move{down}"


def _lower(version: str) -> str:
    """The version itself, or the first lower bound of a range."""
    if _NUMBERS.match(version):
        return version
    bound = _BOUND.search(version)
    return bound[1] if bound else ""


def _is_dated(release: tuple[int, ...]) -> bool:
    """Whether a version begins with a year, or is a day such as 20240923."""
    return release[0] in _YEARS or (release[0] // 10_000 in _YEARS and release[0] >= 19_900_000)


def _allows(bounds: str, version: str) -> bool:
    """Whether a range holds a version, so that to pin it there moves nothing."""
    # Imported where it is wanted: most calls compare no range.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion, Version

    if _NUMBERS.match(bounds):
        return False
    try:
        return SpecifierSet(bounds).contains(Version(version), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False
