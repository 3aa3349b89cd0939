"""`dsci promote`: a prerelease becomes the stable version that it was on the way to, without a build.

The version is claimed on the prerelease's own commit, with its keys, over the very manifests that were tested: only the
index is written anew, as it says which version it is. The claim is pushed like that of any release, so that of two who
promote at once one claims, and whoever is cut off after it is finished by the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from dsci.errors import ConfigError, ConflictError, DsciError, RegistryError
from dsci.model import claims as claiming
from dsci.model import keys
from dsci.model import marks as marks_model
from dsci.model.claims import Released, Tag
from dsci.model.family import Image, TargetId
from dsci.model.members import check_names
from dsci.model.oci import Digest, Index, OciError
from dsci.model.releases import release_tags
from dsci.model.report import Publication
from dsci.pipeline import attest, destinations, publish
from dsci.pipeline.claim import form_of, push, refreshed, source_of, synchronise
from dsci.pipeline.snapshot import Snapshot, snapshot
from dsci.pipeline.world import Hands, World
from dsci.ports import TagObject

_CREATED = "org.opencontainers.image.created"


class Promoted(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    image: str
    source: str
    """The prerelease."""
    version: str
    git_tag: str
    digests: dict[str, str]
    """Each image's index."""
    tags: tuple[str, ...]
    """Those that it has, or would have, in every repository."""
    claimed: bool
    """Whether it was claimed now."""
    publications: tuple[Publication, ...] = ()


def promote(
    world: World,
    hands: Hands,
    name: str,
    version: str,
    *,
    dry_run: bool,
    trouble: Callable[[DsciError], None] = lambda error: None,
) -> Promoted:
    """Claim the stable version that a prerelease is on the way to, and publish it.

    A registry that is only copied to and is down holds up no other: `trouble` is told of it, and a later run makes up
    for it.
    Raises ConfigError for what is no prerelease that can be promoted, ConflictError where the version is taken by other
    content, RegistryError where the prerelease's content is gone.
    """
    if dry_run:
        now = snapshot(world.source, world.source.git.head().commit)
    else:
        now, _, _ = synchronise(world, hands)
    claims = refreshed(world, now)
    group = now.family.images[min(check_names([name], now.family))].group
    source = marks_model.claimed(group, claims[group], version)
    if not source.version.prerelease:
        raise ConfigError(
            f"{group} {source.version} is no prerelease: it is released as it is",
            hint="promote a version such as 1.4.0-rc.2 (docs/versioning.md: prereleases)",
        )
    if source.held:
        raise ConfigError(f"{group} {source.version} is passed over: {source.held}", hint="promote another one")
    target = source.version.finalize_version()
    git_tag = form_of(now).render(group, target)
    indexes = _indexes(hands, now, source, version=str(target))
    known = next((claim for claim in claims[group] if claim.version == target), None)
    digests = {image.name: Digest.of(index.to_bytes()) for image, index in indexes}
    if known is not None and known.digests != digests:
        raise ConflictError(
            f"{group} {target} is released already, by {known.tag.name} at {known.tag.commit[:7]}, with other content",
            hint="the next release takes the next number: merge the prerelease's branch",
        )
    claim = known or _claim(world, source, git_tag, digests, _when(indexes), named=not dry_run)
    tags = (tag.name for image, _ in indexes for tag in release_tags(image, claim, (claim, *claims[group])))
    done = Promoted(
        image=group,
        source=str(source.version),
        version=str(target),
        git_tag=git_tag,
        digests={image: str(digest) for image, digest in digests.items()},
        tags=tuple(dict.fromkeys(tags)),
        claimed=known is None and not dry_run,
    )
    if dry_run:
        return done
    lost = destinations.silent(hands.registry, now.family)
    now = replace(now, family=now.family.without(lost))
    indexes = [(now.family.images[image.name], index) for image, index in indexes]
    for repository in sorted({each for image, _ in indexes for each in image.repositories}, key=str):
        hands.registry.check_push(repository)
    attest.check(hands, now.settings.attest, [image.repository for image, _ in indexes])
    publish.stand_all(hands.registry, indexes)
    if now.settings.attest.wanted:
        _attest(world, hands, now, claim, indexes)
    if known is None:
        claimed = push(world, hands, now, [claim])
        if not claimed.won:
            raise ConflictError(
                f"{', '.join(sorted(claimed.taken))} was claimed by another run at this moment",
                hint="run it again: it says whether that was the same content",
            )
        hands.console.say(f"claimed {git_tag}: {source.version} is {target} now")
    shown = destinations.show(world, hands, now, [claim], refreshed(world, now))
    for error in {**lost, **shown.failed}.values():
        trouble(error)
    return replace(done, publications=shown.publications)


def _attest(world: World, hands: Hands, now: Snapshot, claim: Released, indexes: Sequence[tuple[Image, Index]]) -> None:
    """Attach to the stable version what was attached to its prerelease: that was about another index."""
    then = snapshot(world.source, claim.tag.commit)
    releases: list[attest.Release] = []
    for image, index in indexes:
        names = [each for each in (image.name, *image.previous_names) if each in then.family.images]
        if not names:
            raise ConfigError(f"{claim.tag.commit[:7]} has no image {image.name}", hint="release a new version")
        releases.append(
            attest.Release(
                image=replace(then.family.images[names[0]], repositories=image.repositories),
                version=str(claim.version),
                git_tag=claim.tag.name,
                commit=claim.tag.commit,
                index=index,
            )
        )
    basis = attest.Basis(
        at=then,
        keys={TargetId.parse(target): key for target, key in claim.keys.items()},
        suites={target: keys.suites_digest(then.family.suites(target), then.tree) for target in then.family.nodes},
        source=source_of(world),
    )
    attest.attest(hands, now.settings.attest, basis, releases)


def _indexes(hands: Hands, now: Snapshot, source: Released, *, version: str) -> list[tuple[Image, Index]]:
    """The indexes of a prerelease, with the stable version's name on them."""
    found: list[tuple[Image, Index]] = []
    for image in now.family.groups[source.group]:
        digest = source.of((image.name, *image.previous_names))
        if digest is None:
            continue
        reference = image.repository.at(digest)
        content = hands.registry.manifest(reference)
        if content is None:
            raise RegistryError(
                f"{source.tag.name} claims {reference}, which is gone", hint="restore it, or release a new prerelease"
            )
        try:
            index = Index.from_bytes(content[1])
        except OciError as error:
            raise RegistryError(f"{reference} is no index that can be read: {error.message}") from None
        names = publish.version_annotations(image, version)
        found.append((image, replace(index, annotations={**index.annotations, **names})))
    if not found:
        raise ConfigError(f"{source.tag.name} claims no image that there is here", hint="check out its commit")
    return found


def _claim(
    world: World, source: Released, git_tag: str, digests: Mapping[str, Digest], when: int, *, named: bool
) -> Released:
    """The stable version's claim; its tag object is written where it is to be `named`."""
    target = source.version.finalize_version()
    trailers = claiming.claim_trailers(digests, source.keys, source.bases, group=source.group, moved=source.moved)
    message = f"{source.group} {target}\n\nPromoted from {source.version}, the same images.\n\n{trailers}"
    written = TagObject(name=git_tag, commit=source.tag.commit, when=when, message=message)
    oid = world.source.git.make_tag(written) if named else ""
    tag = Tag(name=git_tag, oid=oid, commit=source.tag.commit, message=message, merged=source.tag.merged)
    return replace(source, version=target, tag=tag, digests=digests, beside=None, held="")


def _when(indexes: Sequence[tuple[Image, Index]]) -> int:
    """The date of the prerelease's commit, as its index says; in seconds since the epoch."""
    for _, index in indexes:
        written = index.annotations.get(_CREATED, "")
        try:
            return int(datetime.strptime(written, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
    raise RegistryError("the prerelease's index does not say when its commit was made", hint="release it again")
