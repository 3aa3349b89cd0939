"""Looking after what dsci leaves in registries: read all of it, ask Git whose it is, remove what is nobody's.

Reading costs one request a tag, some at a time. Git is asked for the digests and keys that its tags and the ledger
name, and what its branches are made of; where this clone lacks some of that, nothing is judged.

A run may take up what is being removed. So tags are looked at once more right before; after removing, everything is
looked at again, Git's tags included, and what is named by then is put back from the bytes that were kept. A release,
for its part, looks for every image of its index after it has named them and before it claims (`publish.stand`):
whichever of the two comes second sees the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from dsci.errors import ConfigError, DsciError, HistoryError, RegistryError, UnsupportedError
from dsci.model import caches, stored, upkeep
from dsci.model.config import FILE_NAME
from dsci.model.family import Family
from dsci.model.followed import Names, names_of
from dsci.model.ledger import BRANCH
from dsci.model.oci import Descriptor, Digest, OciError, Platform
from dsci.model.receipt import ARTIFACT_TYPE as RECEIPT_TYPE
from dsci.model.reference import Repository
from dsci.model.stored import Item, Kind
from dsci.model.upkeep import Owners, Verdict
from dsci.pipeline.snapshot import snapshot
from dsci.pipeline.world import World
from dsci.ports import Git, Registry

#: How many tags are read at once.
_LOOKUPS = 8


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """One repository, and everything in it."""

    repository: Repository
    items: tuple[Item, ...] = ()
    problem: DsciError | None = None
    """Why it could not be read; then nothing of it is judged."""


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """What Git says, apart from branches."""

    named: Mapping[str, str]
    tips: Mapping[str, str]
    """Live branches: name to commit."""


class Tip(msgspec.Struct, frozen=True, kw_only=True):
    """What a live branch is made of."""

    name: str
    commit: str
    family: Family
    sources: Mapping[str, str]
    """Source keys, and the target of each."""
    repositories: frozenset[Repository]
    """Where its images and their build caches are."""


def git_names(world: World, *, fetch: bool) -> Ledger:
    """Everything that tags and ledgers name, and the live branches. Raises HistoryError where this clone lacks some."""
    git = world.source.git
    if git.remote() is not None:
        here, there = git.tag_refs(), git.remote_tags()
        lacking = sorted(name for name in there if name not in here)
        if lacking and not fetch:
            raise HistoryError(
                f"this clone lacks {len(lacking)} tags that {git.remote()} has, and any of them may name an image",
                hint=f"git fetch --tags {git.remote()} (or let dsci do it: --fetch)",
            )
        git.fetch_tags(lacking)
        if fetch:
            git.fetch_branches()
    tips = dict(git.branches())
    named: dict[str, str] = {}
    for name in [name for name in tips if name.rpartition("/")[2] == BRANCH]:
        tree = git.tree(tips.pop(name))
        for path, entry in tree.items():
            text = git.blob(entry.oid).decode(errors="replace")
            named |= dict.fromkeys(stored.names_in(text), f"ledger {path}")
    for tag in git.tags():
        named |= dict.fromkeys(stored.names_in(tag.message), f"Git tag {tag.name}")
    return Ledger(named=named, tips={**tips, "HEAD": git.head().commit})


def read_tips(world: World, tips: Mapping[str, str]) -> tuple[tuple[Tip, ...], tuple[str, ...]]:
    """What these branches are made of, each commit read once, and the branches that cannot be read.

    A branch without a Dockerfile (a site, a record) has no images, and that is no problem.
    """
    found: dict[str, Tip] = {}
    unread: list[str] = []
    for name, commit in tips.items():
        if commit in found:
            continue
        try:
            now = snapshot(world.source, commit)
        except ConfigError:
            paths = world.source.git.tree(commit)
            if any(path == FILE_NAME or path.lower().rpartition("/")[2] == "dockerfile" for path in paths):
                unread.append(f"the branch {name}")
            continue
        family = now.family.images.values()
        found[commit] = Tip(
            name=name,
            commit=commit,
            family=now.family,
            sources={key: str(target) for target, key in now.sources.full.items()},
            repositories=frozenset(each for image in family for each in image.repositories)
            | caches.repositories(now.settings),
        )
    return tuple(found.values()), tuple(unread)


def owners(
    world: World, ledger: Ledger, tips: Sequence[Tip], unread: tuple[str, ...], shelves: Sequence[Shelf]
) -> Owners:
    """Who may name things in these repositories.

    Where an image has no platforms of its own it has its builder's: branches are read as every machine would that has
    left a receipt.
    """
    sources: dict[str, str] = {}
    others = [replace(world.source, platform=each) for each in _platforms(shelves) - {world.source.platform}]
    for tip in tips:
        elsewhere = [snapshot(source, tip.commit).sources.full for source in others]
        read = [tip.sources, *({key: str(target) for target, key in full.items()} for full in elsewhere)]
        for key, target in (pair for each in read for pair in each.items()):
            sources.setdefault(key, f"{tip.name} ({target})")
    images = frozenset(image for tip in tips for image in tip.family.images)
    return Owners(named=ledger.named, sources=sources, images=images, unread=unread)


def names(world: World, ledger: Ledger, tips: Sequence[Tip], now: int) -> Mapping[Repository, Names]:
    """The names that follow branches and requests, repository by repository; `now` is in seconds."""
    git = world.source.git
    remote = f"{git.remote() or 'origin'}/"
    branches: dict[str, set[str]] = {}
    for name, commit in ledger.tips.items():
        if name != "HEAD":
            branches.setdefault(commit, set()).update((name, name.removeprefix(remote)))
    found: dict[Repository, Names] = {}
    main = git.head().default_branch or world.source.branch
    for tip in tips:
        here = sorted(branches.get(tip.commit, ()))
        for repository, those in names_of(tip.family, here, commit=tip.commit, default_branch=main, now=now).items():
            found[repository] = found.get(repository, Names()) | those
    return found


def _platforms(shelves: Iterable[Shelf]) -> frozenset[Platform]:
    found: set[Platform] = set()
    for target in {item.target for shelf in shelves for item in shelf.items if item.target}:
        with suppress(OciError):  # somebody else's receipt: it is judged by its keys
            found.add(Platform.parse(target.partition("@")[2]))
    return frozenset(found)


def survey(registry: Registry, repository: Repository, now: int) -> Shelf:
    """Read everything that has a tag in a repository, and what that names. A repository is read whole or not at all."""
    try:
        return _survey(registry, repository, now)
    except (RegistryError, OciError) as error:
        return Shelf(repository=repository, problem=RegistryError(f"{repository}: {error.message}", hint=error.hint))


def _survey(registry: Registry, repository: Repository, now: int) -> Shelf:
    with ThreadPoolExecutor(_LOOKUPS) as pool:
        tags = [repository.tag(tag) for tag in registry.tags(repository)]
        read: dict[Digest, tuple[Descriptor, bytes]] = {}
        named: dict[Digest, list[str]] = {}
        for reference, found in zip(tags, pool.map(registry.manifest, tags), strict=True):
            if found is not None:  # else somebody removed it meanwhile
                read[found[0].digest] = found
                named.setdefault(found[0].digest, []).append(str(reference.tag))
        items = {digest: stored.read_item(*of, named[digest], now) for digest, of in read.items()}
        absent: set[Digest] = set()
        while below := sorted({each for item in items.values() for each in item.below} - items.keys() - absent):
            absent |= set(below)
            for found in pool.map(registry.manifest, [repository.at(digest) for digest in below]):
                if found is not None:
                    items[found[0].digest] = stored.read_item(*found, (), now)
        undated = [item for item in items.values() if item.written is None and item.tags and item.dated]
        times = pool.map(registry.written, [repository.at(item.digest) for item in undated])
        items |= {item.digest: replace(item, written=when) for item, when in zip(undated, times, strict=True)}
    return Shelf(repository=repository, items=tuple(items.values()))


def dated(shelves: Iterable[Shelf]) -> tuple[Shelf, ...]:
    """The same, each thing with the date that it has in any of them: copies are made when the first one is written."""
    shelves = tuple(shelves)
    known = {item.digest: item.written for shelf in shelves for item in shelf.items if item.written is not None}
    return tuple(
        replace(shelf, items=tuple(replace(item, written=known.get(item.digest)) for item in shelf.items))
        for shelf in shelves
    )


def spare_attached(registry: Registry, shelf: Shelf, verdicts: Sequence[Verdict]) -> tuple[Shelf, tuple[Verdict, ...]]:
    """The same where what may go is asked for what is attached to it: a signature or a statement keeps it.

    What is attached need not have a tag. dsci's own receipts keep nothing. Where a registry cannot tell, nothing of the
    repository is judged.
    """
    going = [each.item.digest for each in verdicts if not each.keep and each.item.kind is not Kind.RECEIPT]

    def others(digest: Digest) -> str:
        types = {item.artifact_type for item in registry.referrers(shelf.repository, digest)} - {RECEIPT_TYPE}
        return f"attached to it: {min(types) or 'something'}" if types else ""

    try:
        with ThreadPoolExecutor(_LOOKUPS) as pool:
            found = dict(zip(going, pool.map(others, going), strict=True))
    except RegistryError as error:
        problem = RegistryError(f"{shelf.repository}: {error.message}", hint=error.hint)
        return Shelf(repository=shelf.repository, problem=problem), ()
    return shelf, upkeep.spare(verdicts, {digest: who for digest, who in found.items() if who})


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one repository."""

    repository: Repository
    removed: tuple[Digest, ...] = ()
    untagged: tuple[str, ...] = ()
    """Tags that went alone."""
    spared: tuple[str, ...] = ()
    """Tags that were given to something before it was removed; it stayed."""
    restored: tuple[Digest, ...] = ()
    """What somebody took up while it was removed, put back."""
    swept: int = 0
    """Bytes that were given back at once."""
    problem: DsciError | None = None


def prune(world: World, registry: Registry, repository: Repository, verdicts: Sequence[Verdict], *, now: int) -> Pruned:
    """Remove what is not to be kept, and put back what somebody took up meanwhile."""
    removed: dict[Digest, tuple[Item, bytes]] = {}
    untagged: list[str] = []
    problem: DsciError | None = None
    restored: list[Digest] = []
    given: Mapping[Digest, str] = {}
    swept = 0
    try:
        given = _named_meanwhile(registry, repository, verdicts)
        verdicts = upkeep.spare(verdicts, {digest: f"tag {tag}" for digest, tag in given.items()})
        for item in sorted((each.item for each in verdicts if not each.keep), key=_order):
            found = registry.manifest(repository.at(item.digest))
            if found is not None and registry.delete(repository, item.digest):
                removed[item.digest] = item, found[1]
        for each in verdicts:
            for tag in each.untag:
                untagged += _untag(registry, repository, each.item, tag)
    except RegistryError as error:
        problem = error
    try:
        if removed:
            wanted, doubt = _wanted(world, registry, repository, removed, now)
            problem = problem or doubt
            for digest in _put_back(registry, repository, [removed[digest] for digest in wanted]):
                restored.append(digest)
            swept = 0 if doubt else registry.sweep(repository)
    except DsciError as error:
        problem = error
    return Pruned(
        repository=repository,
        removed=tuple(digest for digest in removed if digest not in restored),
        untagged=tuple(untagged),
        spared=tuple(sorted(given.values())),
        restored=tuple(restored),
        swept=swept,
        problem=problem,
    )


def _named_meanwhile(registry: Registry, repository: Repository, verdicts: Sequence[Verdict]) -> Mapping[Digest, str]:
    """What is to go and has a tag now that it had not when it was judged: deleting it would take that tag too.

    All tags are listed again; of those that were known, the ones that are not dsci's own may have moved.
    """
    known = {tag: each.item.digest for each in verdicts for tag in each.item.tags}
    movable = {tag for each in verdicts for tag in each.item.named}
    going = {each.item.digest for each in verdicts if not each.keep}
    if not going:
        return {}
    tags = [tag for tag in registry.tags(repository) if tag not in known or tag in movable]
    with ThreadPoolExecutor(_LOOKUPS) as pool:
        found = pool.map(registry.resolve, [repository.tag(tag) for tag in tags])
        pairs = [(tag, item.digest) for tag, item in zip(tags, found, strict=True) if item is not None]
    return {digest: tag for tag, digest in pairs if digest in going and known.get(tag) != digest}


def _untag(registry: Registry, repository: Repository, item: Item, tag: str) -> tuple[str, ...]:
    """Take a tag away from something that stays, if it still names it; gives it, if that was done.

    A registry may take it for an order to delete the whole manifest: it is looked whether that is still there, and
    put back with all its other tags where it is not.
    """
    found = registry.manifest(repository.tag(tag))
    if found is None or found[0].digest != item.digest or not registry.untag(repository, tag):
        return ()
    others = [other for other in item.tags if other != tag]
    lost = [other for other in others if registry.resolve(repository.tag(other)) is None]
    for other in lost:
        registry.push_manifest(repository, found[1], item.media_type, other)
    if lost or registry.resolve(repository.at(item.digest)) is None:
        if not lost:
            registry.push_manifest(repository, found[1], item.media_type)
        raise UnsupportedError(
            f"{repository}: the registry took {tag} for all of {item.digest.short}, which was put back",
            hint="say under `retention: keep:` in dsci.yaml that such tags stay, and delete them by its own interface",
        )
    if registry.resolve(repository.tag(tag)) is not None:
        raise RegistryError(f"{repository}:{tag} is still there after it was deleted", hint="run dsci gc again")
    return (tag,)


def _order(item: Item) -> tuple[int, Digest]:
    """What names others goes before them: a run that looks in between finds less, and nothing that leads nowhere."""
    return (Kind.TAGGED, Kind.RELEASE, Kind.RECEIPT, Kind.IMAGE, Kind.CACHE).index(item.kind), item.digest


def _wanted(
    world: World, registry: Registry, repository: Repository, removed: Mapping[Digest, tuple[Item, bytes]], now: int
) -> tuple[tuple[Digest, ...], DsciError | None]:
    """What is named now of what was removed; all of it where that cannot be told, and why not."""
    after = survey(registry, repository, now)
    if after.problem is not None:
        return tuple(removed), after.problem
    try:
        claimed = _claimed_now(world.source.git)
    except DsciError as error:
        return tuple(removed), error
    wanted = {*stored.needed(after.items), *(Digest("sha256", name) for name in claimed)}
    back: list[Digest] = []
    while more := [digest for digest in removed if digest in wanted and digest not in back]:
        back += more
        wanted |= stored.needed(removed[digest][0] for digest in more)
    there = {item.digest for item in after.items}.union(back)
    back += [digest for digest, (item, _) in removed.items() if item.about in there and digest not in back]
    return tuple(back), None


def _put_back(registry: Registry, repository: Repository, things: Iterable[tuple[Item, bytes]]) -> Iterator[Digest]:
    """Write manifests again under those of their names that are free, what is named before what names it."""
    for item, content in sorted(things, key=lambda thing: _order(thing[0]), reverse=True):
        free = [tag for tag in item.tags if registry.resolve(repository.tag(tag)) is None]
        for tag in free or (None,):
            registry.push_manifest(repository, content, item.media_type, tag)
        yield item.digest


def _claimed_now(git: Git) -> frozenset[str]:
    """What Git's tags name, those included that came to the remote while this run went on."""
    if git.remote() is not None:
        git.fetch_tags(sorted(git.remote_tags().keys() - git.tag_refs().keys()))
    return frozenset(name for tag in git.tags() for name in stored.names_in(tag.message))
