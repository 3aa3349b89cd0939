"""Layers put on top of each other: what each file says that is still seen, and the inventory that this makes.

Source: https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#whiteouts
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from dsci.model import languagefiles
from dsci.model.inventory import Base, Extension, Fact, Inventory, Kernel, Language, Layer, Note, Package, System
from dsci.model.packagefiles import json_object, one_line

T = TypeVar("T", Package, Language, Kernel, Extension)

#: Labels by which an image says what it was built on.
BASE_NAME, BASE_DIGEST = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"


def combined(layers: Sequence[Layer]) -> Inventory:
    """The inventory of an image whose layers these are, the lowest one first; without their sizes."""
    facts: dict[str, tuple[Fact, ...]] = {}
    unread: set[str] = set()
    for layer in layers:
        if layer.hides:
            facts = {path: found for path, found in facts.items() if not _hidden(path, layer.hides)}
            unread = {path for path in unread if not _hidden(path, layer.hides)}
        for path in layer.unread:
            facts.pop(path, None)
        facts |= layer.facts
        unread = (unread - set(layer.facts)) | set(layer.unread)
    packages = _merged(_noted(facts), Package)
    systems = [facts.get(path, ()) for path in ("etc/os-release", "usr/lib/os-release")]
    return Inventory(
        packages=packages,
        system=next((each for found in systems for each in found if isinstance(each, System)), None),
        unread=tuple(f"/{path}" for path in sorted(unread)),
        languages=languagefiles.settled((*_merged(facts, Language), *languagefiles.of_packages(packages))),
        kernels=_merged(facts, Kernel),
        extensions=_merged(facts, Extension),
    )


def base(config: bytes) -> Base | None:
    """What an image's config says that it was built on.

    Source: https://github.com/opencontainers/image-spec/blob/v1.1.0/annotations.md#pre-defined-annotation-keys
    """
    inner = json_object(config).get("config")
    labels = inner.get("Labels") if isinstance(inner, dict) else None
    if not isinstance(labels, dict) or not isinstance(labels.get(BASE_NAME), str):
        return None
    return Base(name=one_line(labels[BASE_NAME]), digest=one_line(str(labels.get(BASE_DIGEST, ""))))


def _hidden(path: str, hides: frozenset[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:count]) in hides for count in range(len(parts) + 1))


def _noted(facts: Mapping[str, tuple[Fact, ...]]) -> Mapping[str, tuple[Fact, ...]]:
    """The same, each Python package with what the files beside it say of it."""
    notes: dict[str, list[Note]] = {}
    for path, found in facts.items():
        notes.setdefault(path.rpartition("/")[0], []).extend(each for each in found if isinstance(each, Note))
    return {path: tuple(_with(each, notes[path.rpartition("/")[0]]) for each in found) for path, found in facts.items()}


def _with(fact: Fact, notes: Sequence[Note]) -> Fact:
    if not isinstance(fact, Package) or not notes:
        return fact
    installer = next((note.installer for note in notes if note.installer), "")
    return msgspec.structs.replace(
        fact, installer=installer, source=next((note.source for note in notes if note.source), fact.source)
    )


def _merged(facts: Mapping[str, tuple[Fact, ...]], kind: type[T]) -> tuple[T, ...]:
    """Everything of a kind once, with all the files that tell of it."""
    merged: dict[T, set[str]] = {}
    for path, found in facts.items():
        for each in found:
            if isinstance(each, kind):
                merged.setdefault(each, set()).add(f"/{path}")
    whole = [msgspec.structs.replace(each, paths=tuple(sorted(paths))) for each, paths in merged.items()]
    return tuple(sorted(whole))
