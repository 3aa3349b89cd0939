"""Which package of one image stands for which of another, where both have packages of one name: by place, then version.

Packages of the system have no place. Those of languages stand in environments or libraries, which an image can have
many of; each pair is two packages that a person would hold against each other. Nothing is left out or paired twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from dsci.model import packageorder
from dsci.model.inventory import Package

#: Kinds that have one list for the whole image: where the list lies says nothing.
_WHOLE = frozenset({"apk", "deb", "rpm"})
_NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_SITE = re.compile(r"(?P<home>.*)/lib/python[0-9.]+t?/site-packages")


class Found(msgspec.Struct, frozen=True, order=True):
    """A package at one place."""

    place: str
    package: Package


Pair = tuple[Found | None, Found | None]


def places(package: Package) -> set[str]:
    """Where a package stands: the folder that one environment or library has for all of its packages."""
    if package.kind in _WHOLE or not package.paths:
        return {""}
    return {place(package.kind, path) for path in package.paths}


def place(kind: str, path: str) -> str:
    """The environment or library that a file which tells of a package belongs to."""
    folder = path.rpartition("/")[0]
    if kind in ("bioconductor", "conda", "cran") or folder.endswith((".dist-info", ".egg-info")):
        return folder.rpartition("/")[0]
    return folder


def home(place: str) -> str | None:
    """The environment whose Python looks for packages at this place."""
    found = _SITE.fullmatch(place)
    return found["home"] if found else None


def content(found: Found | None) -> tuple[str, ...]:
    """What makes a package another one, its architecture first; nothing for none."""
    if found is None:
        return ()
    package = found.package
    return (package.architecture, package.version, package.build, package.channel)


def pairs(before: Iterable[Found], after: Iterable[Found]) -> Iterator[Pair]:
    """What stands for what: by the place, else by the version, else in the order of versions; the rest for nothing."""
    old, new = sorted(before), sorted(after)
    if len(old) == len(new) == 1:  # as nearly always: they stand for each other by the last rule at the latest
        yield old[0], new[0]
        return
    for rule in _RULES if old and new else ():
        theirs = _sorted_out(new, rule)
        taken: tuple[set[Found], set[Found]] = (set(), set())
        for key, ours in _sorted_out(old, rule).items():
            for one, other in _matched(ours, theirs.get(key, [])):
                taken[0].add(one)
                taken[1].add(other)
                yield one, other
        old = [found for found in old if found not in taken[0]]
        new = [found for found in new if found not in taken[1]]
    yield from ((found, None) for found in old)
    yield from ((None, found) for found in new)


def _sorted_out(found: Iterable[Found], rule: Callable[[Found], object]) -> dict[object, list[Found]]:
    result: dict[object, list[Found]] = {}
    for item in found:
        result.setdefault(rule(item), []).append(item)
    return result


def _matched(ours: list[Found], theirs: list[Found]) -> Iterator[tuple[Found, Found]]:
    """Pairs out of two lists: equal packages first, then the newest of both, as long as there are two."""
    same = _sorted_out(theirs, content)
    left: list[Found] = []
    for one in ours:
        if same.get(content(one)):
            yield one, same[content(one)].pop(0)
        else:
            left.append(one)
    others = [other for group in same.values() for other in group]
    yield from zip(sorted(left, key=_age, reverse=True), sorted(others, key=_age, reverse=True), strict=False)


def _age(found: Found) -> Any:
    return packageorder.key(found.package.kind)(found.package.version)


def _general(found: Found) -> str:
    """The place without the numbers in it: the next Python has its packages in another folder."""
    return _NUMBERS.sub("#", found.place)


#: What two packages must have in common to stand for each other, the best first.
_RULES: tuple[Callable[[Found], object], ...] = (
    lambda found: (found.place, found.package.architecture),
    lambda found: (_general(found), found.package.architecture),
    _general,
    lambda found: (found.package.version, found.package.architecture),
    lambda found: found.package.version,
    lambda found: found.package.architecture,
    lambda found: None,
)
