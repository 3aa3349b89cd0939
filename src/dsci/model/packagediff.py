"""How the packages of two images differ: added, removed, upgraded, downgraded, rebuilt, per kind of package.

One name can be there several times: in the environments of two Pythons, for two architectures, in several versions.
What stands at the same place is held against each other; each package of either image is told of once, or is the same.
What this looks like is `packagenotes`' to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

import msgspec

from dsci.model import packageorder
from dsci.model.inventory import Inventory, Package, System
from dsci.model.packageorder import Reach
from dsci.model.packagepairs import Found, Pair, content, home, pairs, place, places

_SEPARATORS = re.compile(r"[-_.]+")
_POINT = re.compile(r"[0-9]+\.[0-9]+")


class How(StrEnum):
    """What became of a package."""

    ADDED = "added"
    REMOVED = "removed"
    UPGRADED = "upgraded"
    DOWNGRADED = "downgraded"
    REBUILT = "rebuilt"
    """The same version to its tool, of another build, architecture or channel, or spelled otherwise."""


class Side(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A package as one of the images has it."""

    version: str
    build: str = ""
    channel: str = ""
    architectures: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    """The environments or libraries that it stands in; none for packages of the system."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a package, wherever the same became of it."""

    kind: str
    name: str
    how: How
    before: Side | None = None
    after: Side | None = None
    reach: Reach | None = None
    """How far an upgrade or a downgrade goes."""
    several: bool = False
    """Whether one of the images has the name more than once, so that architectures or places tell which it is."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How the packages of two images differ."""

    changes: tuple[Change, ...] = ()
    """By kind and name."""
    before: System | None = None
    """The distribution, with its point release where a package tells it."""
    after: System | None = None
    unread_before: tuple[str, ...] = ()
    """Files of the image before that tell of packages and could not be read: what is in them may differ as well."""
    unread_after: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all files that tell of packages were read."""
        return not self.unread_before and not self.unread_after

    @property
    def moved(self) -> bool:
        """Whether the distribution is another one."""
        return _release(self.before) != _release(self.after)

    def __bool__(self) -> bool:
        """Whether anything is known to differ."""
        return bool(self.changes) or self.moved

    def count(self, how: How, kind: str | None = None) -> int:
        """How many changes are of this sort, of one kind of package or of all."""
        return sum(change.how is how and kind in (None, change.kind) for change in self.changes)


_NOTHING = Side(version="")


def normal(kind: str, name: str) -> str:
    """A name as its tool looks it up. Source: https://packaging.python.org/specifications/name-normalization/"""
    if kind == "pypi":
        return _SEPARATORS.sub("-", name).lower()
    return name.lower() if kind == "conda" else name


def difference(before: Inventory, after: Inventory) -> Difference:
    """How the packages of an image differ from those of another one, seen from `before`."""
    old, new = _by_name(before), _by_name(after)
    changes: list[Change] = []
    for name in sorted(old.keys() | new.keys()):
        one, other = old.get(name, []), new.get(name, [])
        if one != other:
            changes += _changes(one, other)
    return Difference(
        changes=tuple(changes),
        before=_system(before),
        after=_system(after),
        unread_before=tuple(sorted(set(before.unread))),
        unread_after=tuple(sorted(set(after.unread))),
    )


def _by_name(inventory: Inventory) -> dict[tuple[str, str], list[Package]]:
    """Packages by kind and name, without the Python side of what conda installed: conda's record tells of it."""
    found: dict[tuple[str, str], list[Package]] = {}
    for package in inventory.packages:
        found.setdefault((package.kind, normal(package.kind, package.name)), []).append(package)
    for (kind, name), owners in list(found.items()):
        theirs = ("pypi", normal("pypi", name))
        if kind == "conda" and theirs in found:
            left = [rest for package in found.pop(theirs) for rest in _beside(package, owners)]
            found |= {theirs: left} if left else {}
    return found


def _beside(package: Package, owners: Iterable[Package]) -> Iterator[Package]:
    """A Python package where packages of conda have not put it."""
    ours = (owner for owner in owners if packageorder.compare("pypi", owner.version, package.version) == 0)
    homes = {where for owner in ours for where in places(owner)}
    paths = tuple(path for path in package.paths if home(place("pypi", path)) not in homes)
    if paths or not package.paths:
        yield package if paths == package.paths else msgspec.structs.replace(package, paths=paths)


def _changes(before: Iterable[Package], after: Iterable[Package]) -> list[Change]:
    """What became of the packages of one name."""
    old, new = _found(before), _found(after)
    several = len(old) > 1 or len(new) > 1
    joined: dict[object, list[Pair]] = {}
    for one, other in pairs(old, new):
        was, now = content(one), content(other)
        if was != now:
            # What became of it in the same way elsewhere, or for another architecture, is the same change.
            swapped = was and now and was[0] != now[0]
            joined.setdefault((was, now) if swapped else (was[1:], now[1:]), []).append((one, other))
    changes = [_change(same, several) for same in joined.values()]
    return sorted(changes, key=lambda change: (change.before or _NOTHING, change.after or _NOTHING))


def _found(packages: Iterable[Package]) -> Sequence[Found]:
    """Packages place by place; two records of one thing at one place are one package."""
    every = (Found(where, package) for package in sorted(packages) for where in places(package))
    return list({(found.place, content(found)): found for found in every}.values())


def _change(same: Sequence[Pair], several: bool) -> Change:
    """What became of packages in the same way."""
    before = [one for one, _ in same if one is not None]
    after = [other for _, other in same if other is not None]
    package = (after or before)[0].package
    how, reach = How.ADDED if after else How.REMOVED, None
    if before and after:
        old, new = before[0].package.version, after[0].package.version
        direction = packageorder.compare(package.kind, old, new)
        how = (How.UPGRADED, How.REBUILT, How.DOWNGRADED)[direction + 1]
        reach = packageorder.reach(package.kind, old, new) if direction else None
    return Change(
        kind=package.kind,
        name=package.name,
        how=how,
        before=_side(before),
        after=_side(after),
        reach=reach,
        several=several,
    )


def _side(found: Sequence[Found]) -> Side | None:
    if not found:
        return None
    package = found[0].package
    return Side(
        version=package.version,
        build=package.build,
        channel=package.channel,
        architectures=tuple(sorted({item.package.architecture for item in found} - {""})),
        places=tuple(sorted({item.place for item in found} - {""})),
    )


def _system(inventory: Inventory) -> System | None:
    """The distribution; Debian's point release is the version of the package that has its /etc/debian_version."""
    system = inventory.system
    if system is None or system.id != "debian":
        return system
    for package in inventory.packages:
        point = _POINT.match(package.version) if (package.kind, package.name) == ("deb", "base-files") else None
        if point and point[0].startswith(f"{system.version}."):
            return msgspec.structs.replace(system, version=point[0])
    return system


def _release(system: System | None) -> tuple[str, str] | None:
    return (system.id, system.version) if system else None
