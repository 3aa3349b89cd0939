"""What registries hold: images and receipts by key, and which claimed releases they do not show yet.

A refusal counts as absence only once the right to push was proven (rule 22).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from dsci.errors import AuthError, DsciError, RegistryError
from dsci.model import keys, releases
from dsci.model.claims import Released
from dsci.model.event import Event, Trigger
from dsci.model.facts import Found, Pending
from dsci.model.family import Family, Image, TargetId
from dsci.model.marks import Marks
from dsci.model.numbers import precedence
from dsci.model.oci import Digest, OciError
from dsci.model.plan import PlannedRef
from dsci.model.reference import Repository
from dsci.pipeline.snapshot import Snapshot
from dsci.pipeline.standing import stands
from dsci.pipeline.world import World
from dsci.ports import Registry

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from dsci.model.receipt import Receipt

_LOOKUPS = 8

T = TypeVar("T")


def found_of(
    world: World, now: Snapshot, known: Mapping[TargetId, str | None], suites: Mapping[TargetId, str]
) -> Mapping[TargetId, Found]:
    """What stands under every key, asked side by side."""
    registry = world.registry
    targets = [target for target in now.family.order if known[target] is not None and target not in now.dirty]
    if registry is None:
        return {target: Found(unknown="offline") for target in now.family.order}

    def look(target: TargetId) -> Found:
        key = known[target]
        assert key is not None
        repository = now.family.images[target.image].repository
        try:
            return proven(world, repository, lambda: look_up(registry, repository, key, suites[target]))
        except RegistryError as error:
            if not world.lenient:
                raise
            return Found(unknown=error.message)

    with _pool() as pool:
        answers = dict(zip(targets, pool.map(look, targets), strict=True))
    return {target: answers.get(target, Found()) for target in now.family.order}


def proven(world: World, repository: Repository, read: Callable[[], T]) -> T:
    """Read from a repository; where that is refused, prove the right to push to it and read again (rule 22).

    Many registries answer 401 or 403 for a repository that does not exist yet: only who may push knows that it is so.
    """
    try:
        return read()
    except AuthError:
        if world.lenient or world.registry is None:
            raise
        world.registry.check_push(repository)
        return read()


def look_up(registry: Registry, repository: Repository, key: str, suites: str) -> Found:
    """The image of a key and its receipt: two requests when all is well.

    A receipt says which image it is about; the key's own tag counts only where there is none.
    """
    tested = read_receipt(registry, repository, key, suites)
    built = None
    if tested is None and suites != keys.NO_SUITES:
        built = read_receipt(registry, repository, key, keys.NO_SUITES)
    known = tested or built
    name = repository.at(Digest.parse(known.image)) if known else repository.tag(keys.key_tag(key))
    image = registry.resolve(name)
    return Found(image=image.digest, tested=tested, built=built) if image else Found()


def read_receipt(registry: Registry, repository: Repository, key: str, suites: str) -> Receipt | None:
    """The receipt of (key, suites), or None where there is none, or something else stands in its place."""
    from dsci.model.receipt import from_manifest

    found = registry.manifest(repository.tag(keys.receipt_tag(key, suites)))
    if found is None:
        return None
    try:
        receipt = from_manifest(found[1])
    except OciError:
        return None  # Whatever stands under the tag, it is no receipt: the target is built or tested again.
    return receipt if receipt.key == key and receipt.suites == suites else None


def unconverged_of(
    world: World,
    assembled: Family,
    claims: Mapping[str, Sequence[Released]],
    marks: Marks,
    warnings: list[str],
    event: Event,
) -> tuple[Pending, ...]:
    """Claims that some registry does not show, oldest first; looked for from the newest claim backwards.

    So it is from the newest one of HEAD's own history, which another line may have overtaken, and those whose tags
    marks have moved are looked at, however old they are. Of all others it is seen whether their tags are there at all:
    a release may have been claimed, and cut off, after a newer one. A run that is about a tag looks at that one alone,
    and one that is about a request from a fork at none.
    """
    if world.registry is None or event.foreign:
        return ()

    def look(group: str) -> list[Pending]:
        pending: list[Pending] = []
        marked = releases.marked(assembled, group, claims[group], marks.mentioned(group))
        settled = settled_here = False
        listed = _Listed(world)
        for claim in claims[group]:
            about = event.trigger is not Trigger.TAG or event.tag in (claim.tag.name, claim.claimed_by.name)
            if not claim.by_dsci or not about:
                continue
            near = not settled or (claim.tag.merged and not settled_here) or str(claim.version) in marked
            missing = missing_tags(world, assembled, claim, claims[group]) if near else listed.absent(assembled, claim)
            if missing:
                pending.append(Pending(claim=claim, missing=missing))
            elif near and not claim.held:
                settled, settled_here = True, settled_here or claim.tag.merged
        return pending

    found: list[Pending] = []
    unknown: dict[str, list[str]] = {}
    with _pool() as pool:
        for group, answer in zip(claims, pool.map(_softly(look, world.lenient), claims), strict=True):
            if isinstance(answer, DsciError):
                unknown.setdefault(answer.message, []).append(group)
            else:
                found += answer
    for message, of in unknown.items():
        warnings.append(f"whether the tags of {', '.join(of)} are in place is unknown: {message}")
    return tuple(sorted(found, key=lambda pending: precedence(pending.claim.version)))


def _softly(look: Callable[[str], list[Pending]], lenient: bool) -> Callable[[str], list[Pending] | DsciError]:
    def run(group: str) -> list[Pending] | DsciError:
        try:
            return look(group)
        except RegistryError as error:
            if not lenient:
                raise
            return error

    return run


def missing_tags(world: World, assembled: Family, claim: Released, claims: Sequence[Released]) -> tuple[str, ...]:
    """The references that should name a claimed release's index and do not."""
    registry = world.registry
    assert registry is not None
    missing: list[str] = []
    for member, digest in _claimed(assembled, claim):
        for repository in member.repositories:
            for tag in releases.release_tags(member, claim, claims):
                reference = repository.tag(tag.name)
                present = proven(world, repository, partial(registry.resolve, reference))
                if present is None or present.digest != digest:
                    missing.append(str(reference))
    return tuple(missing)


class _Listed:
    """Which tags there are, each repository asked once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[Repository, frozenset[str]] = {}

    def absent(self, assembled: Family, claim: Released) -> tuple[str, ...]:
        """The tags of a release that never move and are not there, though its index is; that of an old one may not be.

        What names they stand for is not asked.
        """
        return tuple(
            str(repository.tag(tag.name))
            for member, digest in _claimed(assembled, claim)
            if keys.index_tag(digest) in self._tags(member.repository)
            for repository in member.repositories
            for tag in releases.release_tags(member, claim, (claim,))
            if not tag.moving and tag.name not in self._tags(repository)
        )

    def _tags(self, repository: Repository) -> frozenset[str]:
        registry = self._world.registry
        assert registry is not None
        if repository not in self._known:
            self._known[repository] = frozenset(proven(self._world, repository, partial(registry.tags, repository)))
        return self._known[repository]


def _claimed(assembled: Family, claim: Released) -> list[tuple[Image, Digest]]:
    """The images that a release is of, and the digest of each."""
    digests = ((member, claim.digests.get(member.name)) for member in assembled.groups[claim.group])
    return [(member, digest) for member, digest in digests if digest is not None]


def placed_of(
    world: World, assembled: Family, refs: Sequence[PlannedRef], found: Mapping[TargetId, Found]
) -> frozenset[str]:
    """The images whose names that follow this run stand for what is found of them, in every repository."""
    if world.registry is None:
        return frozenset()
    registry = world.registry

    def look(ref: PlannedRef) -> bool:
        image = assembled.images[ref.image]
        images = {target: one for target in image.targets if (one := found[target].image) is not None}
        try:
            return proven(world, image.repository, lambda: stands(registry, image, ref, images))
        except RegistryError:
            if not world.lenient:
                raise
            return False

    with _pool() as pool:
        return frozenset(ref.image for ref, there in zip(refs, pool.map(look, refs), strict=True) if there)


def _pool() -> ThreadPoolExecutor:
    """Threads to ask in; whoever asks no registry does not load what they need."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(_LOOKUPS)
