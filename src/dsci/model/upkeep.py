"""Whose the things are that dsci keeps in registries, and what may go.

dsci leaves images under their keys, receipts, indexes of releases and build caches beside the public tags. Here it is
decided which of them somebody still names: a tag that is not dsci's, an index, a Git tag, the ledger, a branch. What
nobody names may go once it is old enough; what cannot be told is kept. Nothing is read or removed here.

A manifest is removed with every tag that names it (distribution-spec, "Deleting manifests"), so it is manifests that
are judged, never tags.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import assert_never

import msgspec

from dsci.model import caches
from dsci.model.oci import INDEX_TYPES, Descriptor, Digest, Index, Manifest, OciError, load_manifest
from dsci.model.receipt import from_manifest

_KEYED = re.compile(r"\Adsci-(?P<key>[0-9a-f]{40})(?:-(?P<nonce>[0-9a-f]{16}))?\Z")
_RECEIPT = re.compile(r"\Adsci-(?P<key>[0-9a-f]{40})\.[0-9a-f]{16}\Z")
_RELEASE = re.compile(r"\Adsci-release-[0-9a-f]{40}\Z")
#: Tags by which signatures and lists of referrers name what they are about.
#: Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#referrers-tag-schema
_ABOUT = re.compile(r"\A(?P<algorithm>sha256|sha512)-(?P<hex>[0-9a-f]{64,128})(?:\.[a-z]+)?\Z")
_NAMED = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_KEY_LENGTH = 40
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
    """Under a tag that is not dsci's own: public, a signature, somebody else's."""


#: What may go when it is old: a receipt goes with its image, and what is not ours never does.
DATED = frozenset({Kind.IMAGE, Kind.RELEASE, Kind.CACHE})


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
    def size(self) -> int:
        """Bytes, those that it shares with others included."""
        return sum(self.blobs.values())


class Owners(msgspec.Struct, frozen=True, kw_only=True):
    """Who may name things: what Git says, ledger and branches included."""

    named: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Digests and keys (64 hex digits) that a Git tag or the ledger has, and which one."""
    sources: Mapping[str, str] = msgspec.field(default_factory=dict)
    """The source keys of live branches, and the branch and target of each."""
    images: frozenset[str] = frozenset()
    """The names of the images that live branches have."""
    unread: tuple[str, ...] = ()
    """Branches that cannot be read: whatever only they may have is kept."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a manifest stays, and why."""

    item: Item
    keep: bool
    owner: str
    """Who names it; empty where nobody does."""
    reason: str


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
    below |= {Digest(match["algorithm"], match["hex"]) for tag in tags if (match := _ABOUT.match(tag))}
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
    nonces = (match["nonce"] for tag in tags if (match := _KEYED.match(tag)) and match["nonce"])
    return [time for nonce in nonces if _BEGINNING < (time := int(nonce[:8], 16)) <= now]


def _made(dates: Iterable[str]) -> list[int]:
    """When the steps of a cache were made, as BuildKit wrote it: the cache may have been written later."""
    times: list[int] = []
    for text in dates:
        with contextlib.suppress(ValueError, OverflowError):
            times.append(int(datetime.fromisoformat(re.sub(r"\.\d+", "", text)).timestamp()))
    return times


def judge(items: Iterable[Item], owners: Owners, *, now: int, older_than: int) -> tuple[Verdict, ...]:
    """What becomes of everything in one repository; `older_than` and `now` are in seconds. Sorted by kind and tags."""
    items = sorted(items, key=lambda item: (item.kind, item.tags, item.digest))
    sources: dict[Digest, set[str]] = {}
    for item in items:
        if item.about is not None:
            sources.setdefault(item.about, set()).add(item.source_key)
    keys = {name[:_KEY_LENGTH]: who for name, who in owners.named.items()}
    found: dict[Digest, Verdict] = {}
    for item in items:
        if item.kind is not Kind.RECEIPT:
            owner = _owner(item, owners, keys, sources.get(item.digest, set()))
            young = "" if owner else _young(item, owners, now=now, older_than=older_than)
            found[item.digest] = Verdict(item=item, keep=bool(owner or young), owner=owner, reason=owner or young)
    _keep_below(found)
    for item in items:
        if item.about is not None:
            found[item.digest] = _of_its_image(item, found.get(item.about))
    return tuple(found[item.digest] for item in items)


def _owner(item: Item, owners: Owners, keys: Mapping[str, str], sources: Iterable[str]) -> str:
    """Who names a manifest; empty where nobody does."""
    by_digest = owners.named.get(item.digest.hex, "")
    match item.kind:
        case Kind.TAGGED:
            return by_digest or f"tag {next((tag for tag in item.tags if _kind_of(tag) is Kind.TAGGED), item.tags[0])}"
        case Kind.CACHE:
            return _cache_owner(item, owners)
        case Kind.RELEASE | Kind.RECEIPT:
            return by_digest
        case Kind.IMAGE:
            by_key = next((keys[key] for key in sorted(item.keys) if key in keys), "")
            live = next((owners.sources[each] for each in sorted(sources) if each in owners.sources), "")
            return by_digest or by_key or live
        case _:
            assert_never(item.kind)


def _young(item: Item, owners: Owners, *, now: int, older_than: int) -> str:
    """Why a manifest that nobody names stays all the same; empty where it may go."""
    if item.kind is Kind.RELEASE:
        owners = Owners()  # what a release was is said by Git's tags, not by branches
    return _age(item.written, owners, now=now, older_than=older_than)


def _age(written: int | None, owners: Owners, *, now: int, older_than: int) -> str:
    if owners.unread:
        return f"perhaps of {owners.unread[0]}, which cannot be read"
    if written is None:
        return "its age is unknown"
    return "" if now - written > older_than else "it is young"


def _keep_below(found: dict[Digest, Verdict]) -> None:
    """What something that stays names stays, however deep; what only an index that goes names goes with it."""
    todo = [each for each in found.values() if each.keep]
    while todo:
        above = todo.pop()
        for digest in above.item.below & found.keys():
            below = found[digest]
            if not below.owner:
                name = f"named by {above.owner or next(iter(above.item.tags), above.item.digest.short)}"
                found[digest] = Verdict(item=below.item, keep=True, owner=name, reason=name)
                todo.append(found[digest])
    leaving = {digest for each in found.values() if not each.keep for digest in each.item.below}
    for digest, each in found.items():
        if digest in leaving and not each.owner and not each.item.tags:
            found[digest] = Verdict(item=each.item, keep=False, owner="", reason="")


def _of_its_image(item: Item, image: Verdict | None) -> Verdict:
    """A receipt is of use as long as its image is there, and keeps nothing itself."""
    if image is None:
        return Verdict(item=item, keep=False, owner="", reason="its image is gone")
    return Verdict(
        item=item, keep=image.keep, owner=image.owner, reason="its image stays" if image.keep else "its image goes"
    )


def _cache_owner(item: Item, owners: Owners) -> str:
    """The live image whose cache it is; names are compared generously, since every machine has platforms of its own."""
    owners_of = (_named_so(tag.removeprefix(caches.TAG_PREFIX), owners) for tag in item.tags)
    return next((owner for owner in owners_of if owner), "")


def _named_so(name: str, owners: Owners) -> str:
    return next((f"the image {image}" for image in sorted(owners.images) if name.startswith(f"{image}-")), "")


def judge_cache(name: str, written: int, owners: Owners, *, now: int, older_than: int) -> tuple[bool, str, str]:
    """The same of a folder with the cache of a target: whether it stays, whose it is, and why."""
    owner = _named_so(name, owners)
    reason = owner or _age(written, owners, now=now, older_than=older_than)
    return bool(reason), owner, reason


def freed(verdicts: Iterable[Verdict]) -> int:
    """The bytes that only what goes needs."""
    verdicts = list(verdicts)
    kept = {digest for each in verdicts if each.keep for digest in each.item.blobs}
    gone = {digest: size for each in verdicts if not each.keep for digest, size in each.item.blobs.items()}
    return sum(size for digest, size in gone.items() if digest not in kept)


def needed(items: Iterable[Item]) -> frozenset[Digest]:
    """Every manifest that something names: an index its images, a receipt the image that it is about."""
    return frozenset(digest for item in items for digest in item.below)
