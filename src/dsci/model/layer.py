"""A layer's entries with what is in them, compared.

Contents are hashed as they pass. Two sequences are compared by fingerprints, so that of a layer no more is kept than
the names in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import msgspec
from msgspec.structs import replace

from dsci.model.layertar import Entry, Read, members


def entries(read: Read, keep: Callable[[str, bytes], None] | None = None) -> Iterator[tuple[str, Entry]]:
    """Every entry of a tar with its path, in its order; a path that comes again has its number behind it.

    `keep` is given the beginnings of files' contents, piece by piece. Raises LayerError.
    """
    seen: dict[str, int] = {}
    for path, entry, pieces in members(read):
        count = seen[path] = seen.get(path, 0) + 1
        name = path if count == 1 else f"{path} ({count})"
        if entry.kind != "file":
            yield name, entry
            continue
        content = hashlib.sha256()
        for piece in pieces:
            content.update(piece)
            if keep is not None:
                keep(name, piece)
        yield name, replace(entry, content=content.digest())


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """How two layers differ, by path."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    order: bool = False
    """Whether what both have comes in another order."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Everything that differs."""
        return (*self.added, *self.removed, *self.changed)


def compare(old: Iterable[tuple[str, Entry]], new: Iterable[tuple[str, Entry]]) -> Comparison:
    """Compare two sequences of entries, holding no more than the first one's names and fingerprints."""
    before = {path: entry.fingerprint() for path, entry in old}
    added: list[str] = []
    changed: list[str] = []
    left = set(before)
    order = hashlib.sha256()
    for path, entry in new:
        known = before.get(path)
        if known is None:
            added.append(path)
            continue
        left.discard(path)
        order.update(path.encode(errors="surrogateescape") + b"\0")
        if known != entry.fingerprint():
            changed.append(path)
    wanted = hashlib.sha256()
    for path in before:
        if path not in left:
            wanted.update(path.encode(errors="surrogateescape") + b"\0")
    return Comparison(
        added=tuple(sorted(added)),
        removed=tuple(sorted(left)),
        changed=tuple(sorted(changed)),
        order=order.digest() != wanted.digest(),
    )


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """An entry, and the beginning of its content."""

    entry: Entry
    head: bytes = b""


def sample(read: Read, paths: Collection[str], limit: int) -> Mapping[str, Sample]:
    """These paths of a tar, with the first `limit` bytes of each file among them."""
    heads: dict[str, bytes] = {}

    def keep(path: str, piece: bytes) -> None:
        if path in paths and len(heads.get(path, b"")) < limit:
            heads[path] = (heads.get(path, b"") + piece)[:limit]

    return {
        path: Sample(entry=entry, head=heads.get(path, b"")) for path, entry in entries(read, keep) if path in paths
    }
