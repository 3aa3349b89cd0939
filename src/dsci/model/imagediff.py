"""How two images of one platform differ in what is in them: packages, languages, Jupyter, the base, and in size.

Packages are `packagediff`'s. Nothing here says what the difference comes from, or whether it is a good one; how it is
told is said in `imagediffnotes`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from dsci.model import packagediff
from dsci.model.changelog import Release
from dsci.model.inventory import Base, Inventory
from dsci.model.packagediff import Difference


class Moved(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A language, a kernel or an extension that is not the same."""

    what: str
    """`language`, `kernel` or `extension`."""
    name: str
    before: tuple[str, ...] = ()
    """Its versions; of a kernel, what it calls itself. None for one that is not there."""
    after: tuple[str, ...] = ()


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How large an image is, in bytes."""

    compressed: int
    unpacked: int


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """How what is in two images differs."""

    packages: Difference
    moved: tuple[Moved, ...] = ()
    base_before: Base | None = None
    base_after: Base | None = None
    size_before: Size
    size_after: Size


class PlatformDifference(msgspec.Struct, frozen=True, kw_only=True):
    """How two images differ for one platform."""

    platform: str
    before: str = ""
    """The digest of its manifest; "" where the image is not there for it."""
    after: str = ""
    contents: Contents | None = None
    """None where they are the same, or only one of them is there."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the images."""

    image: str
    version: str
    reference: str
    digest: str
    git_tag: str
    commit: str


class ImageDifference(msgspec.Struct, frozen=True, kw_only=True):
    """How two releases differ."""

    before: Side
    after: Side
    platforms: tuple[PlatformDifference, ...]
    releases: tuple[Release, ...] = ()
    """The releases after the one and up to the other, newest first, with the commits that each of them brought."""

    def __bool__(self) -> bool:
        """Whether any platform has another image."""
        return any(each.before != each.after for each in self.platforms)


def contents(before: Inventory, after: Inventory) -> Contents:
    """How what is in two images differs, seen from `before`."""
    return Contents(
        packages=packagediff.difference(before, after),
        moved=tuple(
            sorted(
                (
                    *_moved("language", _languages(before), _languages(after)),
                    *_moved("kernel", _kernels(before), _kernels(after)),
                    *_moved("extension", _extensions(before), _extensions(after)),
                )
            )
        ),
        base_before=before.base,
        base_after=after.base,
        size_before=Size(compressed=before.compressed, unpacked=before.unpacked),
        size_after=Size(compressed=after.compressed, unpacked=after.unpacked),
    )


Named = dict[str, tuple[str, ...]]


def _languages(inventory: Inventory) -> Named:
    return _named((each.name, each.version) for each in inventory.languages)


def _kernels(inventory: Inventory) -> Named:
    return _named((each.name, each.display_name or each.language or each.name) for each in inventory.kernels)


def _extensions(inventory: Inventory) -> Named:
    return _named((each.name, each.version or "of no version") for each in inventory.extensions)


def _named(pairs: Iterable[tuple[str, str]]) -> Named:
    found: dict[str, set[str]] = {}
    for name, version in pairs:
        found.setdefault(name, set()).add(version)
    return {name: tuple(sorted(versions)) for name, versions in found.items()}


def _moved(what: str, before: Named, after: Named) -> list[Moved]:
    return [
        Moved(what=what, name=name, before=before.get(name, ()), after=after.get(name, ()))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
