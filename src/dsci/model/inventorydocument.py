"""Inventories as a document for programs: `dsci inventory --json` (docs/inventory.md).

A field is there whether or not something is known of it; a new one may come with any version, another meaning only with
another number of `schema`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from dsci.model.inventory import Inventory, Package

SCHEMA = 1


def document(
    *, reference: str, digest: str, git_tag: str, commit: str, platforms: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """An image, and what is in it for each platform."""
    return {
        "schema": SCHEMA,
        "reference": reference,
        "digest": digest,
        "git_tag": git_tag or None,
        "commit": commit or None,
        "platforms": list(platforms),
    }


def platform(name: str, digest: str, inventory: Inventory, packages: Sequence[Package]) -> Mapping[str, Any]:
    """What is in an image for one platform; of its packages, these."""
    system = inventory.system
    return {
        "platform": name,
        "digest": digest,
        "system": {"id": system.id, "version": system.version, "name": system.name} if system else None,
        "base": {"name": inventory.base.name, "digest": inventory.base.digest} if inventory.base else None,
        "languages": [
            {"name": each.name, "version": each.version, "paths": list(each.paths)} for each in inventory.languages
        ],
        "packages": [
            {
                "kind": each.kind,
                "name": each.name,
                "version": each.version,
                "architecture": each.architecture,
                "build": each.build,
                "channel": each.channel,
                "source": each.source,
                "installer": each.installer,
                "license": each.license,
                "supplier": each.supplier,
                "purl": each.purl(system),
                "paths": list(each.paths),
            }
            for each in packages
        ],
        "kernels": [
            {
                "name": each.name,
                "display_name": each.display_name,
                "language": each.language,
                "paths": list(each.paths),
            }
            for each in inventory.kernels
        ],
        "extensions": [
            {"name": each.name, "version": each.version, "paths": list(each.paths)} for each in inventory.extensions
        ],
        "size": {"compressed": inventory.compressed, "unpacked": inventory.unpacked},
        "layers": [
            {"digest": each.digest, "compressed": each.compressed, "unpacked": each.unpacked, "step": each.step}
            for each in inventory.layers
        ],
        "unread": list(inventory.unread),
    }


def selected(inventory: Inventory, names: Collection[str], kinds: Collection[str]) -> tuple[Package, ...]:
    """The packages of these kinds, all where none is named, whose names match one of these patterns, likewise.

    `*`, `?` and `[…]` are as in a shell; names are compared as indexes of Python packages compare them, without regard
    to small and capital letters and to which of `-`, `_` and `.` stands in them.
    """
    patterns = [_plain(name) for name in names]
    return tuple(
        package
        for package in inventory.packages
        if (not kinds or package.kind in kinds)
        and (not patterns or any(fnmatchcase(_plain(package.name), pattern) for pattern in patterns))
    )


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
