"""What stands in a repository beside the public tags, read from its tags and its bytes.

dsci leaves images under their keys, receipts, indexes and build caches. Each manifest is read here together with every
tag that names it: what it is, what it needs, and when it was written. Whose it is and whether it may go is `upkeep`'s
to say.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from dsci.model import caches
from dsci.model.artifact import about
from dsci.model.keys import index_tag
from dsci.model.oci import INDEX_TYPES, Descriptor, Digest, Index, Manifest, OciError, load_manifest
from dsci.model.receipt import from_manifest

_KEYED = re.compile(r"\Adsci-(?P<key>[0-9a-f]{40})(?:-(?P<nonce>[0-9a-f]{16}))?\Z")
_RECEIPT = re.compile(r"\Adsci-(?P<key>[0-9a-f]{40})\.[0-9a-f]{16}\Z")
_RELEASE = re.compile(r"\Adsci-release-[0-9a-f]{40}(?:-(?P<nonce>[0-9a-f]{16}))?\Z")
_NAMED = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_CREATED = "buildkit/createdat"
#: What a time in a nonce can be: dsci is younger than the one, and no run began in the future.
_BEGINNING = 1_750_000_000


class Kind(StrEnum):
    """What a manifest is."""

    IMAGE = "image"
    RECEIPT = "receipt"
    RELEASE = "release"
    CACHE = "cache"
    TAGGED = "tagged"
    """Under a tag that is not dsci's own: public, of a run, a signature, somebody else's."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One manifest of a repository, with every tag that names it."""

    digest: Digest
    media_type: str
    tags: tuple[str, ...]
    kind: Kind
    blobs: Mapping[Digest, int]
    """What it needs, itself included, and the bytes of each."""
    below: frozenset[Digest] = frozenset()
    """The manifests that it names: an index's images, what a signature is about."""
    about: Digest | None = None
    """Of a receipt: the image that it is about …"""
    source_key: str = ""
    """… the source key of that …"""
    target: str = ""
    """… and its target."""
    keys: frozenset[str] = frozenset()
    """The first 40 digits of the content keys that its tags have."""
    written: int | None = None
    """When it was written at the earliest possible reading of it, in seconds; None where nothing tells."""

    @property
    def named(self) -> tuple[str, ...]:
        """Those of its tags that are not dsci's own."""
        return tuple(tag for tag in self.tags if _kind_of(tag) is Kind.TAGGED)

    @property
    def followed(self) -> bool:
        """Whether dsci wrote it, an index under its unique tag, and it has tags that are not dsci's own beside that."""
        own = {_kind_of(tag) for tag in self.tags} - {Kind.TAGGED}
        unique = self.media_type in INDEX_TYPES and index_tag(self.digest) in self.tags
        return unique and own == {Kind.RELEASE} and self.kind is Kind.TAGGED

    @property
    def dated(self) -> bool:
        """Whether its age decides: a receipt goes with its image, and what is not ours never does."""
        return self.kind in (Kind.IMAGE, Kind.RELEASE, Kind.CACHE) or self.followed

    @property
    def size(self) -> int:
        """Bytes, those that it shares with others included."""
        return sum(self.blobs.values())


def names_in(text: str) -> frozenset[str]:
    """Every digest and key that a text names, whatever else it says."""
    return frozenset(_NAMED.findall(text))


def read_item(found: Descriptor, content: bytes, tags: Iterable[str], now: int) -> Item:
    """What a manifest is, by its tags and its bytes; `now` is in seconds. Raises OciError where it cannot be read."""
    tags = tuple(sorted(tags))
    value = load_manifest(content)
    below, blobs = set[Digest](), {found.digest: len(content)}
    annotations: list[str] = []
    if found.media_type in INDEX_TYPES:
        below |= {each.digest for each in Index.from_bytes(content).manifests}
    else:
        manifest = Manifest.from_bytes(content)
        for blob in (manifest.config, *manifest.layers):
            blobs[blob.digest] = blob.size
            annotations.append(blob.annotations.get(_CREATED, ""))
    subject = value.get("subject")
    if isinstance(subject, dict):
        below.add(Digest.parse(str(subject.get("digest", ""))))
    kind = _kind(tags)
    receipt = None
    if kind is Kind.RECEIPT:
        try:
            receipt = from_manifest(content)
        except OciError:
            kind = Kind.TAGGED  # something else stands under the tag: it is not ours to judge
    below |= {digest for tag in tags if (digest := about(tag)) is not None}
    matches = [match for tag in tags if (match := _KEYED.match(tag) or _RECEIPT.match(tag))]
    times = _made(annotations) if kind is Kind.CACHE else _begun(tags, now)
    return Item(
        digest=found.digest,
        media_type=found.media_type,
        tags=tags,
        kind=kind,
        blobs=blobs,
        below=frozenset(below),
        about=Digest.parse(receipt.image) if receipt else None,
        source_key=receipt.source_key if receipt else "",
        target=receipt.target if receipt else "",
        keys=frozenset(match["key"] for match in matches),
        written=max(times, default=None),
    )


def _kind(tags: tuple[str, ...]) -> Kind:
    """What all of its tags say; one that is not ours decides. Without any it is an image that an index names."""
    found = {_kind_of(tag) for tag in tags} or {Kind.IMAGE}
    return found.pop() if len(found) == 1 else Kind.TAGGED


def _kind_of(tag: str) -> Kind:
    if _KEYED.match(tag):
        return Kind.IMAGE
    if _RECEIPT.match(tag):
        return Kind.RECEIPT
    if _RELEASE.match(tag):
        return Kind.RELEASE
    return Kind.CACHE if tag.startswith(caches.TAG_PREFIX) else Kind.TAGGED


def _begun(tags: Iterable[str], now: int) -> list[int]:
    """When the runs began that pushed it: their nonces say so (`runs.Run`)."""
    matches = (_KEYED.match(tag) or _RELEASE.match(tag) for tag in tags)
    nonces = (match["nonce"] for match in matches if match and match["nonce"])
    return [time for nonce in nonces if _BEGINNING < (time := int(nonce[:8], 16)) <= now]


def _made(dates: Iterable[str]) -> list[int]:
    """When the steps of a cache were made, as BuildKit wrote it: the cache may have been written later."""
    times: list[int] = []
    for text in dates:
        with contextlib.suppress(ValueError, OverflowError):
            times.append(int(datetime.fromisoformat(re.sub(r"\.\d+", "", text)).timestamp()))
    return times


def needed(items: Iterable[Item]) -> frozenset[Digest]:
    """Every manifest that something names: an index its images, a receipt the image that it is about."""
    return frozenset(digest for item in items for digest in item.below)
