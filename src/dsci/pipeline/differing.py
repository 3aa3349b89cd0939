"""Two releases held against each other: which they are, what is in them for each platform, and what lies between them.

Layers are streamed from the registry, those that both have once; what the releases brought is read from Git.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsci.errors import ConfigError, RegistryError
from dsci.model import claims as claiming
from dsci.model import imagediff
from dsci.model.changelog import Release as Notes
from dsci.model.claims import TagFormat
from dsci.model.imagediff import PlatformDifference, Side
from dsci.model.numbers import precedence
from dsci.model.oci import INDEX_TYPES, Index, Platform
from dsci.pipeline import history, marks, stocktaking
from dsci.pipeline.inventories import Inventories
from dsci.pipeline.released import Release
from dsci.pipeline.snapshot import Snapshot
from dsci.pipeline.world import World
from dsci.ports import Git, Registry


def before(git: Git, registry: Registry, now: Snapshot, release: Release) -> Release:
    """The release before one: the next lower version that dsci has claimed of this image and that is not passed over.

    Of a stable one it is a stable one. Raises ConfigError where there is none, RegistryError where it is gone.
    """
    image, version = release.image, release.claim.version
    form = TagFormat.of_images(now.settings.versioning, now.family.images.values())
    said, _ = marks.read(git, now.settings, form)
    claims = said.on(claiming.released(git.tags(), form, now.family.groups))[image.group]
    names = (image.name, *image.previous_names)
    for claim in claims:
        older = precedence(claim.version) < precedence(version)
        digest = claim.of(names)
        if not older or digest is None or claim.held or (claim.version.prerelease and not version.prerelease):
            continue
        found = registry.manifest(image.repository.at(digest))
        if found is None or found[0].media_type not in INDEX_TYPES:
            raise RegistryError(
                f"{claim.tag.name} claims {image.repository.at(digest)}, which is not there",
                hint="name another release to compare with: `dsci ledger` shows all of them",
            )
        return Release(
            image=image,
            claim=claim,
            reference=str(image.repository.at(digest)),
            digest=digest,
            index=Index.from_bytes(found[1]),
        )
    raise ConfigError(
        f"there is no release of {image.name} before {version}", hint="name two releases: dsci diff IMAGE:OLD IMAGE:NEW"
    )


def side(release: Release) -> Side:
    """What a release is called, and where it is."""
    return Side(
        image=release.image.name,
        version=str(release.claim.version),
        reference=release.reference,
        digest=str(release.digest),
        git_tag=release.claim.tag.name,
        commit=release.claim.tag.commit,
    )


def platforms(
    registry: Registry, old: Release, new: Release, wanted: Sequence[Platform]
) -> tuple[PlatformDifference, ...]:
    """How two releases differ for these platforms; only what is not the same image is read.

    Raises LayerError, OciError and RegistryError for what cannot be read.
    """
    inventories = Inventories()
    before, after = stocktaking.of_release(old), stocktaking.of_release(new)

    def differences() -> Iterator[PlatformDifference]:
        for platform in wanted:
            one, other = before.platforms.get(platform), after.platforms.get(platform)
            contents = None
            if one and other and one != other:
                found = [stocktaking.taken(registry, each, platform, inventories) for each in (before, after)]
                contents = imagediff.contents(*(each.inventory for each in found))
            yield PlatformDifference(
                platform=str(platform), before=str(one or ""), after=str(other or ""), contents=contents
            )

    return tuple(differences())


def between(world: World, old: Release, new: Release) -> tuple[Notes, ...]:
    """The releases after one and up to another of the same image, newest first, and what each of them brought.

    Prereleases on the way are no part of it: what they brought, the stable one after them brings. Raises HistoryError
    on a clone that lacks some of them.
    """
    if old.image.group != new.image.group or precedence(old.claim.version) >= precedence(new.claim.version):
        return ()
    lower, upper = precedence(old.claim.version), precedence(new.claim.version)
    found = history.read(world)
    numbers = found.now.settings.versioning.numbers()
    return tuple(
        release
        for release in found.releases
        if release.image == new.image.group
        and lower < precedence(numbers.parse(release.version)) <= upper
        and (release.stable or release.version == str(new.claim.version))
    )
