"""Versions of packages in the order that their own tools give them, and how far a move from one to another goes.

Each kind of package has a key by which versions sort; what its tool calls equal has equal keys. A tool orders only what
it takes for a version; other texts have an order here too, below all versions where the tool knows no such thing.
No number is too long: digits are compared as text.

Sources: https://manpages.debian.org/bookworm/dpkg-dev/deb-version.7.en.html (deb),
https://rpm-software-management.github.io/rpm/manual/dependencies.html (rpm),
https://wiki.alpinelinux.org/wiki/Package_policies (apk), https://packaging.python.org/specifications/version-specifiers/
(pypi), https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/pkg-specs.html (conda),
https://stat.ethz.ch/R-manual/R-devel/library/base/html/numeric_version.html (cran, bioconductor)
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import zip_longest
from typing import Any

_EPOCH = re.compile(r"(?P<epoch>[0-9]*):")
_DPKG = re.compile(r"([^0-9]*)([0-9]*)")
_RPM = re.compile(r"~|\^|[a-zA-Z]+|[0-9]+")
_APK = re.compile(
    r"(?P<first>[0-9]+)(?P<more>(?:\.[0-9]+)*)(?P<letter>[a-z]?)"
    r"(?P<suffixes>(?:_(?:alpha|beta|pre|rc|cvs|svn|git|hg|p)(?![a-z])[0-9]*)*)(?:~(?P<hash>[0-9a-f]+))?"
    r"(?:-r(?P<revision>[0-9]+))?"
)
_APK_SUFFIXES = ("alpha", "beta", "pre", "rc", "", "cvs", "svn", "git", "hg", "p")
_CONDA = re.compile(r"[*.+!_0-9a-z]+")
_CONDA_PARTS = re.compile(r"[0-9]+|[*]+|[^0-9*]+")
_R = re.compile(r"[0-9]+(?:[.-][0-9]+)*")
_LEADING = re.compile(r"\A[^0-9]*(?=[0-9])")
_WORDS = re.compile(r"~|[0-9]+|[^\W\d_]+")
#: Words of versions that come before the one that they announce.
_BEFORE = {
    **dict.fromkeys(("dev", "snapshot", "nightly"), 0),
    **dict.fromkeys(("a", "alpha"), 1),
    **dict.fromkeys(("b", "beta"), 2),
    **dict.fromkeys(("m", "milestone"), 3),
    **dict.fromkeys(("c", "rc", "cr", "pre", "preview"), 4),
}
_RELEASE = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_NEW_NUMBERS = re.compile(r"\A[0-9]+(?=[:!])")

Key = tuple[Any, ...]


class Reach(StrEnum):
    """The first thing that differs between two versions: of the release's numbers, or beside them."""

    EPOCH = "epoch"
    """The numbers were begun anew, and say nothing about how far it goes."""
    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"
    """The third number, or one behind it."""
    OTHER = "other"
    """The numbers are the same: a revision of the distribution, a prerelease, a local version, letters."""


def compare(kind: str, a: str, b: str) -> int:
    """-1, 0 or 1: whether version `a` of a package of this kind is older than, the same as or newer than `b`."""
    if a == b:
        return 0
    order = key(kind)
    one, other = order(a), order(b)
    return (one > other) - (one < other)


def key(kind: str) -> Callable[[str], Key]:
    """What sorts the versions of packages of this kind; of a kind that is not known, by numbers and words."""
    return _KEYS.get(kind, _any)


def reach(kind: str, a: str, b: str) -> Reach:
    """How far it is from one version to another, whichever is the newer one."""
    (epoch, one), (other_epoch, other) = _release(kind, a), _release(kind, b)
    if epoch != other_epoch:
        return Reach.EPOCH
    place = next((n for n, (x, y) in enumerate(zip_longest(one, other, fillvalue=_ZERO)) if x != y), None)
    if place is None:
        return Reach.OTHER
    return (Reach.MAJOR, Reach.MINOR, Reach.PATCH)[min(place, 2)]


def _release(kind: str, version: str) -> tuple[Key, list[Key]]:
    """The epoch of a version, and the numbers of its release."""
    epoch = _NEW_NUMBERS.match(version)
    rest = version[epoch.end() + 1 :] if epoch else version
    found = _R.match(rest) if kind in ("cran", "bioconductor") else _RELEASE.search(rest)
    return _number(epoch[0] if epoch else ""), [_number(part) for part in re.split("[.-]", found[0])] if found else []


def _number(digits: str) -> Key:
    """A number of any length: the longer one is the larger one, but for zeros before it."""
    digits = digits.lstrip("0")
    return (len(digits), digits)


_ZERO = _number("0")


def _deb(version: str) -> Key:
    """As `dpkg --compare-versions` has it: epoch, upstream version, revision."""
    found = _EPOCH.match(version)
    epoch, rest = (found["epoch"], version[found.end() :]) if found and found["epoch"] else ("", version)
    upstream, dash, revision = rest.rpartition("-")
    return (_number(epoch), *map(_dpkg, (upstream, revision) if dash else (rest, "")))


def _dpkg(part: str) -> Key:
    """Texts and numbers in turn. `~` is less than the end, letters are less than other signs, nothing is zero."""
    pairs: list[Key] = []
    for text, digits in _DPKG.findall(part or "0")[:-1]:
        pairs += [(*map(_dpkg_sign, text), 0), _number(digits)]
    return (*pairs, (0,))


def _dpkg_sign(sign: str) -> int:
    if sign == "~":
        return -1
    return ord(sign) if sign.isascii() and sign.isalpha() else ord(sign) + 256


def _rpm(version: str) -> Key:
    """As `rpm.vercmp` has it: epoch, version, and the release if there is one."""
    found = _EPOCH.match(version)
    rest = version[found.end() :] if found else version
    upstream, dash, release = rest.rpartition("-")
    parts = (_rpmvercmp(upstream), (1, _rpmvercmp(release))) if dash else (_rpmvercmp(rest), (0,))
    return (_number(found["epoch"] if found else ""), *parts)


def _rpmvercmp(part: str) -> Key:
    """Words and numbers, whatever parts them: `~`, the end, `^`, words, numbers, in this order."""
    tokens: list[Key] = []
    for token in _RPM.findall(part):
        if token in "~^":
            tokens.append((0,) if token == "~" else (2,))
        else:
            tokens.append((4, *_number(token)) if token.isdigit() else (3, token))
    return (*tokens, (1,))


def _apk(version: str) -> Key:
    """As `apk version --test` of apk-tools 3 has it.

    At each place: suffixes of prereleases, what apk knows not, the end, revisions, hashes, numbers of suffixes, other
    suffixes, letters, numbers.
    """
    found = _APK.match(version)
    if found is None:
        return ((1, *_any(version)),)
    tokens: list[Key] = [(8, *_number(found["first"]))]
    # A number with a zero before it is compared as text, as if it stood behind the point.
    tokens += [(8, 0, part) if part[0] == "0" else (8, *_number(part)) for part in found["more"].split(".")[1:]]
    tokens += [(7, letter) for letter in found["letter"]]
    for suffix in found["suffixes"].split("_")[1:]:
        name = suffix.rstrip("0123456789")
        place = _APK_SUFFIXES.index(name)
        tokens.append((0 if place < _APK_SUFFIXES.index("") else 6, place))
        tokens += [(5, *_number(suffix.removeprefix(name)))] if name != suffix else []
    tokens += [(4, found["hash"])] if found["hash"] else []
    tokens += [(3, *_number(found["revision"]))] if found["revision"] else []
    rest = version[found.end() :]
    return (*tokens, (1, *_any(rest)) if rest else (2,))


def _pypi(version: str) -> Key:
    """As PEP 440 has it; what is no version of it is less than all that are."""
    # Imported where it is wanted: most calls compare nothing.
    from packaging.version import Version

    try:
        return (1, Version(version))
    except ValueError:
        return (0, _any(version))


def _conda(version: str) -> Key:
    """As conda's VersionOrder has it; what is no version to it is less than all that are."""
    text = version.strip().lower()
    if not _CONDA.fullmatch(text) and "_" not in text:
        text = text.replace("-", "_")
    epoch, mark, rest = text.rpartition("!")
    main, plus, local = rest.partition("+")
    if not _CONDA.fullmatch(text) or not main or (mark and not epoch.isdigit()):
        return (0, _any(version))
    # An underscore at the end is part of the last component: the next version may have a letter there.
    last = main.endswith("_")
    components = main.removesuffix("_").replace("_", ".").split(".")
    components[-1] += "_" if last else ""
    locals = local.replace("_", ".").split(".") if plus else []
    if "" in components or "" in locals or "+" in local:
        return (0, _any(version))
    parsed = [[_number(epoch)]], [_conda_part(part) for part in components], [_conda_part(part) for part in locals]
    return (1, _PADDED(parsed))


def _conda_part(component: str) -> list[Key]:
    """Numbers and words in turn, a number first: words are less than numbers, `post` is more than all of them."""
    found = [] if component[0].isdigit() else [(1, *_ZERO)]
    for part in _CONDA_PARTS.findall(component):
        if part.isdigit():
            found.append((1, *_number(part)))
        else:
            found.append((2,) if part == "post" else (0, "DEV" if part == "dev" else part))
    return found


def _padded(a: Sequence[Sequence[Sequence[Key]]], b: Sequence[Sequence[Sequence[Key]]]) -> int:
    """Epochs, versions, local versions, each by components; what one has not is zero."""
    for one, other in zip(a, b, strict=True):
        for x, y in zip_longest(one, other, fillvalue=()):
            for part, counterpart in zip_longest(x, y, fillvalue=(1, *_ZERO)):
                if part != counterpart:
                    return 1 if part > counterpart else -1
    return 0


_PADDED = functools.cmp_to_key(_padded)


def _r(version: str) -> Key:
    """As R's `package_version` has it: numbers, zeros at the end being nothing; other texts are less than all."""
    if not _R.fullmatch(version):
        return (0, _any(version))
    numbers = [_number(part) for part in re.split("[.-]", version)]
    while numbers and numbers[-1] == _ZERO:
        numbers.pop()
    return (1, *numbers)


def _any(version: str) -> Key:
    """By numbers and words: `~` and words of prereleases are less than the end, words are less than numbers.

    Letters before the first number do not count. No two texts are the same.
    """
    tokens: list[Key] = []
    for token in _WORDS.findall(_LEADING.sub("", version)):
        if token[0] in "0123456789":
            tokens.append((4, *_number(token)))
        elif token == "~":
            tokens.append((0,))
        else:
            word = token.lower()
            tokens.append((1, _BEFORE[word]) if word in _BEFORE else (3, word))
    return ((*tokens, (2,)), version)


_KEYS: dict[str, Callable[[str], Key]] = {
    "apk": _apk,
    "bioconductor": _r,
    "conda": _conda,
    "cran": _r,
    "deb": _deb,
    "pypi": _pypi,
    "rpm": _rpm,
}
