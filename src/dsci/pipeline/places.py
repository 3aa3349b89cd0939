"""Places that releases are promoted to: registries that show only what somebody has chosen for them.

`promote:` in dsci.yaml names them. A release is there once its index is, under its unique tag; which releases a place
has is therefore read from the place itself, and nothing is recorded. Its immutable tags are those of its releases, and
its floating tags go by version order among them alone: `latest` in production is the newest release that was promoted
to production, and is not passed over. Content is copied, never built (rule 18 of the semantics).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from dsci.errors import ConfigError, DsciError
from dsci.model import marks as marks_model
from dsci.model.claims import Released
from dsci.model.family import Image
from dsci.model.keys import index_tag
from dsci.model.members import check_names
from dsci.model.oci import Digest
from dsci.model.reference import Repository
from dsci.model.report import Publication
from dsci.model.settings import Settings
from dsci.model.text import nearest
from dsci.pipeline import publish
from dsci.pipeline.claim import refreshed
from dsci.pipeline.naming import Name, Way, names_of
from dsci.pipeline.publish import Converged
from dsci.pipeline.snapshot import Snapshot, snapshot
from dsci.pipeline.world import Hands, World
from dsci.ports import Registry

_AT_ONCE = 8


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    image: str
    version: str
    place: str
    digests: dict[str, str]
    """Each image's index."""
    publications: tuple[Publication, ...] = ()
    """The names that the place has; none where nothing was to be changed."""
    tags: tuple[str, ...] = ()
    """The tags that name this release there."""


def promote(world: World, hands: Hands, name: str, version: str, place: str, *, dry_run: bool) -> Copied:
    """Have a release in a place, under the tags that it should have there.

    Raises ConfigError for a place or a release that there is not, and RegistryError where either registry fails.
    """
    now = snapshot(world.source, world.source.git.head().commit)
    prefixes = _prefixes(now.settings, place)
    claims = refreshed(world, now)
    group = now.family.images[min(check_names([name], now.family))].group
    claim = marks_model.claimed(group, claims[group], version)
    if claim.held:
        raise ConfigError(f"{group} {claim.version} is passed over: {claim.held}", hint="promote another one")
    images = [image for image in now.family.groups[group] if _digest(image, claim) is not None]
    if not images:
        raise ConfigError(f"{claim.tag.name} claims no image that there is here", hint="check out its commit")
    there = [(image, _repository(prefix, image)) for prefix in prefixes for image in images]
    names: list[Name] = []
    for image, repository in there:
        shown = {each.tag.name for each in _promoted(hands.registry, image, repository, claims[group])}
        chosen = [each for each in claims[group] if each is claim or each.tag.name in shown]
        names += [each for each in names_of(image, repository, chosen) if each.moving or each.claim is claim]
    copied = Copied(
        image=group,
        version=str(claim.version),
        place=place,
        digests={image.name: str(_digest(image, claim)) for image in images},
        tags=tuple(dict.fromkeys(str(each.reference.tag) for each in names if each.claim is claim)),
    )
    if dry_run:
        return copied
    for _, repository in there:
        hands.registry.check_push(repository)
    return msgspec.structs.replace(copied, publications=_show(hands, names))


def settle(hands: Hands, now: Snapshot, claims: Mapping[str, Sequence[Released]]) -> Converged:
    """Let the floating tags of every place be where the claims, and what was said of them, let them be.

    A place that cannot be asked or written holds up no other.
    """
    published: list[Publication] = []
    failed: dict[str, DsciError] = {}
    for place, prefixes in now.settings.promote.items():
        try:
            names = expected(hands.registry, now, claims, prefixes)
            published += _show(hands, [name for name in names if name.moving])
        except DsciError as error:
            failed[place] = error
    return Converged(publications=tuple(published), failed=failed)


def expected(
    registry: Registry,
    now: Snapshot,
    claims: Mapping[str, Sequence[Released]],
    prefixes: Sequence[str],
) -> list[Name]:
    """Every tag that places of these prefixes should show."""
    wanted = [
        (image, _repository(prefix, image), claims[group])
        for prefix in dict.fromkeys(prefixes)
        for group in sorted(now.family.released_groups)
        for image in now.family.groups[group]
    ]

    def look(image: Image, repository: Repository, known: Sequence[Released]) -> list[Name]:
        return list(names_of(image, repository, _promoted(registry, image, repository, known)))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [name for found in pool.map(lambda each: look(*each), wanted) for name in found]


def _prefixes(settings: Settings, place: str) -> tuple[str, ...]:
    found = settings.promote.get(place)
    if found is None:
        known = sorted(settings.promote)
        raise ConfigError(
            f"dsci.yaml has no place {place!r} under `promote:`{nearest(place, known)}",
            hint=f"known there are {', '.join(known)}" if known else "promote: {production: [ghcr.io/acme-production]}",
        )
    return found


def _repository(prefix: str, image: Image) -> Repository:
    return Repository.parse(f"{prefix}/{image.declared}")


def _digest(image: Image, claim: Released) -> Digest | None:
    return claim.of((image.name, *image.previous_names))


def _promoted(registry: Registry, image: Image, repository: Repository, claims: Sequence[Released]) -> list[Released]:
    """The releases that a repository of a place has, newest first."""
    tags = frozenset(registry.tags(repository))
    return [claim for claim in claims if (digest := _digest(image, claim)) and index_tag(digest) in tags]


def _show(hands: Hands, names: Sequence[Name]) -> tuple[Publication, ...]:
    """Write these names where they are not right already. Raises what went wrong."""
    published: list[Publication] = []
    for registry in sorted({name.reference.repository.registry for name in names}):
        way = Way(hands.registry, [name for name in names if name.reference.repository.registry == registry])
        way.tell(hands.console)
        if way.error is not None:
            raise way.error
        published += way.publications
    for error in publish.read_back(hands.registry, published).values():
        raise error
    return tuple(published)
