"""Whose the things are that dsci keeps in registries, and what may go.

What somebody still names stays: a tag that is not dsci's, an index, a Git tag, the ledger, a branch. What nobody names
may go once it is old enough; what cannot be told is kept. What there is was read by `stored`, ages are `retention`'s;
nothing is read or removed here.

A manifest is removed with every tag that names it (distribution-spec, "Deleting manifests"), so it is manifests that
are judged. A tag alone is judged where it follows a run: it may be old, and its manifest needed under another name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import assert_never

import msgspec

from dsci.model import caches
from dsci.model.followed import Names
from dsci.model.oci import Digest
from dsci.model.retention import Ages, Rule
from dsci.model.stored import Item, Kind

_KEY_LENGTH = 40


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
    untag: tuple[str, ...] = ()
    """Of a manifest that stays: tags that follow what is gone, and go."""


def judge(
    items: Iterable[Item],
    owners: Owners,
    *,
    ages: Ages,
    now: int,
    names: Names = Names(),  # noqa: B008  (it is frozen)
) -> tuple[Verdict, ...]:
    """What becomes of everything in one repository; `now` is in seconds, and `names` are those that follow runs there.

    Sorted by kind and tags.
    """
    items = sorted(items, key=lambda item: (item.kind, item.tags, item.digest))
    court = _Court(items, owners, ages=ages, now=now, names=names)
    found = {item.digest: court.verdict(item) for item in items if item.kind is not Kind.RECEIPT}
    return _settled(items, found)


def spare(verdicts: Iterable[Verdict], named: Mapping[Digest, str]) -> tuple[Verdict, ...]:
    """The same verdicts where more is known of who names something: what it is, and by whom."""
    verdicts = tuple(verdicts)
    found = {each.item.digest: each for each in verdicts if each.item.kind is not Kind.RECEIPT}
    for digest, who in named.items():
        found[digest] = Verdict(item=found[digest].item, keep=True, owner=who, reason=who)
    return _settled([each.item for each in verdicts], found)


def _settled(items: Collection[Item], found: dict[Digest, Verdict]) -> tuple[Verdict, ...]:
    """Verdicts on all of these: what is needed stays with what needs it, and receipts share their image's lot."""
    _keep_below(found)
    for item in items:
        if item.about is not None:
            found[item.digest] = _of_its_image(item, found.get(item.about))
    return tuple(found[item.digest] for item in items)


class _Court:
    """Judges the manifests of one repository, each by itself."""

    def __init__(self, items: Iterable[Item], owners: Owners, *, ages: Ages, now: int, names: Names) -> None:
        self._owners, self._ages, self._now, self._names = owners, ages, now, names
        self._keys = {name[:_KEY_LENGTH]: who for name, who in owners.named.items()}
        self._sources: dict[Digest, set[str]] = {}
        self._indexed: list[int] = []
        for item in items:
            if item.about is not None:
                self._sources.setdefault(item.about, set()).add(item.source_key)
            if item.written is not None and (item.kind is Kind.RELEASE or item.followed):
                self._indexed.append(item.written)

    def verdict(self, item: Item) -> Verdict:
        """Whether it stays, and why, as far as nothing else needs it."""
        by_digest = self._owners.named.get(item.digest.hex, "")
        match item.kind:
            case Kind.TAGGED:
                return self._named(item, by_digest)
            case Kind.CACHE:
                return self._aged(item, _cache_owner(item, self._owners), Rule.CACHES, item.written)
            case Kind.RELEASE:
                return self._aged(item, by_digest, Rule.INDEXES, self._succeeded(item.written))
            case Kind.RECEIPT | Kind.IMAGE:
                by_key = next((self._keys[key] for key in sorted(item.keys) if key in self._keys), "")
                sources, live = self._sources.get(item.digest, ()), self._owners.sources
                owner = by_digest or by_key or next((live[each] for each in sorted(sources) if each in live), "")
                return self._aged(item, owner, Rule.KEYED, item.written)
            case _:
                assert_never(item.kind)

    def _aged(self, item: Item, owner: str, rule: Rule, written: int | None) -> Verdict:
        reason = owner or self._stays(rule, written)
        return Verdict(item=item, keep=bool(reason), owner=owner, reason=reason or self._ages.told(rule))

    def _stays(self, rule: Rule, written: int | None) -> str:
        """Why something that nobody names stays all the same."""
        if (
            self._owners.unread and rule is not Rule.INDEXES
        ):  # what a release was is said by Git's tags, not by branches
            return f"perhaps of {self._owners.unread[0]}, which cannot be read"
        return self._ages.stays(rule, written, self._now)

    def _succeeded(self, written: int | None) -> int | None:
        """When the next index of the repository was written: until then a name that moves may have stood for this one.

        Whoever pinned it then has as long as the age says. Of the newest one nothing of the kind is known.
        """
        return min((time for time in self._indexed if written is not None and time > written), default=written)

    def _named(self, item: Item, by_digest: str) -> Verdict:
        """What has tags that are not dsci's: they may follow runs, and then they may go, with it or without it."""
        lots = {tag: self._lot(item, tag, by_digest) for tag in item.named or item.tags}
        owner = by_digest or next((owner for owner, _, _ in lots.values() if owner), "")
        going = {tag: reason for tag, (_, stays, reason) in lots.items() if not stays}
        stays = next((stays for _, stays, _ in lots.values() if stays), "")
        if owner:
            return Verdict(item=item, keep=True, owner=owner, reason=owner, untag=tuple(going))
        return Verdict(item=item, keep=bool(stays), owner="", reason=stays or next(iter(going.values())))

    def _lot(self, item: Item, tag: str, by_digest: str) -> tuple[str, str, str]:
        """Of one tag: whose it is, why it stays (empty where it may go), and why it goes.

        The name of a commit that was released is that release's.
        """
        rule = self._names.rule(tag) if item.followed and not self._ages.spared(tag) else None
        if rule is None:
            return (who := f"tag {tag}"), who, ""
        if live := self._names.live.get(tag, "") or (by_digest if rule is Rule.COMMITS else ""):
            return live, live, ""
        return "", self._stays(rule, item.written), self._ages.told(rule)


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
            found[digest] = Verdict(item=each.item, keep=False, owner="", reason="what names it goes")


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


def judge_cache(name: str, written: int, owners: Owners, *, ages: Ages, now: int) -> tuple[bool, str, str]:
    """The same of a folder with the cache of a target: whether it stays, whose it is, and why."""
    owner = _named_so(name, owners)
    unread = f"perhaps of {owners.unread[0]}, which cannot be read" if owners.unread else ""
    reason = owner or unread or ages.stays(Rule.CACHES, written, now)
    return bool(reason), owner, reason or ages.told(Rule.CACHES)


def freed(verdicts: Iterable[Verdict]) -> int:
    """The bytes that only what goes needs."""
    verdicts = list(verdicts)
    kept = {digest for each in verdicts if each.keep for digest in each.item.blobs}
    gone = {digest: size for each in verdicts if not each.keep for digest, size in each.item.blobs.items()}
    return sum(size for digest, size in gone.items() if digest not in kept)
