"""What a released tag is, and what it was built of.

The Git tag is what is trusted: it names the commit, the index's digest, the keys and the bases. What the registry has
is held against it. The receipt, which whoever may push could have written, adds the epoch and the parents. Everything
that is needed to build a release again is found here, or the reason why it cannot be; nothing is built.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from dsci.errors import ConfigError, ConflictError, RegistryError
from dsci.model import claims as claiming
from dsci.model import keys, members
from dsci.model.claims import Released, TagFormat
from dsci.model.family import Image, TargetId
from dsci.model.oci import INDEX_TYPES, Descriptor, Digest, Index, Platform
from dsci.model.receipt import Receipt
from dsci.model.reference import Repository
from dsci.model.releases import release_tags
from dsci.pipeline import marks
from dsci.pipeline.receipts import inputs_record
from dsci.pipeline.snapshot import Snapshot
from dsci.pipeline.stock import read_receipt
from dsci.pipeline.world import Hands, World
from dsci.ports import Git, Registry

_TELL = "`dsci changelog IMAGE` shows what is released; `git fetch --tags` brings what others released"


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A released image: what claims it, and where its content is."""

    image: Image
    claim: Released
    reference: str
    digest: Digest
    index: Index


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """One platform of a release, and everything that is needed to build it again."""

    target: TargetId
    released: Descriptor
    receipt: Receipt
    pins: Mapping[tuple[str, Platform], Digest]
    parents: Mapping[TargetId, Descriptor]
    notes: tuple[str, ...]
    """What may make a difference and is nobody's fault."""


def find(git: Git, registry: Registry, now: Snapshot, name: str, tag: str) -> Release:
    """The claim that a tag of an image belongs to, proven against what the registry has under it.

    `now` is HEAD's snapshot, which says where the image is published. Raises ConfigError for what was not released,
    ConflictError for a tag that names something else than was released, RegistryError for one that is gone.
    """
    image = members.by_tag(now.family.variants[name], tag) or now.family.images[name]
    form = TagFormat.of_images(now.settings.versioning, now.family.images.values())
    said, _ = marks.read(git, now.settings, form)
    claims = said.on(claiming.released(git.tags(), form, now.family.groups))[image.group]
    reference = image.repository.tag(tag)
    owner, moving = _owner(image, claims, tag)
    found = registry.manifest(reference)
    if found is None:
        if owner is None:
            raise ConfigError(f"{reference} is no release of {image.name}", hint=_TELL)
        raise RegistryError(
            f"{owner.tag.name} claims {_claimed(image, owner)}, and {reference} is not there",
            hint="`dsci release` puts back the tags of what is claimed, where its content is still in the registry",
        )
    digest = found[0].digest
    claim = owner or next((each for each in claims if _claimed(image, each) == digest), None)
    if claim is None:
        raise ConfigError(f"{reference} names {digest}, and no Git tag here claims that", hint=_TELL)
    if _claimed(image, claim) != digest:
        raise ConflictError(
            f"{reference} names {digest}, but {claim.tag.name} claims {_claimed(image, claim)}",
            hint="`dsci release` moves it to where it belongs"
            if moving
            else "somebody wrote this tag outside dsci: do not use what it names now",
        )
    if found[0].media_type not in INDEX_TYPES:
        raise RegistryError(f"{reference} is no image index", hint="dsci publishes nothing else: see who wrote it")
    return Release(image=image, claim=claim, reference=str(reference), digest=digest, index=Index.from_bytes(found[1]))


def _owner(image: Image, claims: Sequence[Released], tag: str) -> tuple[Released | None, bool]:
    """The release that a tag should name, and whether the tag is one that moves."""
    for claim in claims:
        for planned in release_tags(image, claim, claims) if _claimed(image, claim) else ():
            if planned.name == tag:
                return claim, planned.moving
    return None, False


def _claimed(image: Image, claim: Released) -> Digest | None:
    """The index that a release claims of an image, under whatever name the image had."""
    return claim.of((image.name, *image.previous_names))


def recipes(
    world: World, hands: Hands, then: Snapshot, release: Release, platforms: Collection[Platform]
) -> tuple[Recipe, ...]:
    """How to build a release again, on these platforms or all; `then` is the snapshot of its commit.

    Raises ConfigError for what was not built to be reproducible, RegistryError for what is gone from a registry, and
    ConflictError where the Git tag and the receipt disagree.
    """
    names = (release.image.name, *release.image.previous_names)
    targets = [TargetId.parse(text) for text in sorted(release.claim.keys)]
    own = [target for target in targets if target.image in names]
    wanted = [target for target in own if not platforms or target.platform in platforms]
    if not wanted:
        known = ", ".join(str(target.platform) for target in own) or "none"
        raise ConfigError(f"{release.reference} was not released for this platform", hint=f"it has {known}")
    return tuple(_recipe(world, hands, then, release, target) for target in wanted)


def _recipe(world: World, hands: Hands, then: Snapshot, release: Release, target: TargetId) -> Recipe:
    registry, repository = hands.registry, release.image.repository
    if target not in then.family.nodes:
        raise ConfigError(
            f"{release.claim.tag.name} claims {target}, and its commit has no such target",
            hint="give the same --registry as for the release; an older dsci may have read the commit otherwise",
        )
    node, image = then.family.nodes[target], then.family.images[target.image]
    if node.problem:
        raise ConfigError(node.problem)
    released = release.index.select(target.platform)
    if released is None:
        raise RegistryError(f"{release.reference} has no image for {target.platform}", hint="release it again")
    receipt = _receipt(registry, repository, then, target, release.claim.keys[str(target)], released.digest)
    if not image.reproducible:
        classic = ", by an engine with the classic image store" if receipt.store == "classic" else ""
        raise ConfigError(
            f"{release.reference} was built without `reproducible: true`{classic}: its layers hold times of the build, "
            "and no build gives them again",
            hint="set `reproducible: true` in dsci.yaml, release a new version, and verify that one",
        )
    return Recipe(
        target=target,
        released=released,
        receipt=receipt,
        pins=_pins(world, then, release.claim, target, receipt),
        parents={need: _parent(registry, then, receipt, need) for need in node.needs},
        notes=_notes(then, target, receipt),
    )


def _receipt(
    registry: Registry, repository: Repository, then: Snapshot, target: TargetId, key: str, image: Digest
) -> Receipt:
    """The receipt of the build of this very image."""
    suites = keys.suites_digest(then.family.suites(target), then.tree)
    for each in dict.fromkeys((keys.NO_SUITES, suites)):
        receipt = read_receipt(registry, repository, key, each)
        if receipt is not None and receipt.image == str(image):
            return receipt
    raise RegistryError(
        f"{repository} has no receipt of {target} at {image}: what it was built of is not known any more",
        hint="a clean-up of the registry may have removed the tags that begin with dsci-: keep them",
    )


def _pins(
    world: World, then: Snapshot, claim: Released, target: TargetId, receipt: Receipt
) -> Mapping[tuple[str, Platform], Digest]:
    """The bases as they were, each known to be there still. The Git tag's word counts, the receipt has to agree."""
    recorded = {(base.name, Platform.parse(base.platform)): Digest.parse(base.digest) for base in receipt.bases}
    pins: dict[tuple[str, Platform], Digest] = {}
    for reference, platform in then.family.nodes[target].external:
        key = (str(reference), platform)
        digest = claim.bases.get(key, recorded.get(key))
        if digest is None:
            raise RegistryError(
                f"{target}: neither {claim.tag.name} nor its receipt says what {reference.familiar} was",
                hint="an older dsci may have read the Dockerfile otherwise; release a new version",
            )
        if recorded.get(key, digest) != digest:
            raise ConflictError(
                f"{target}: {claim.tag.name} claims {reference.familiar} at {digest}, its receipt {recorded[key]}",
                hint="somebody wrote this receipt outside dsci: do not trust this repository",
            )
        if world.resolve is not None and world.resolve(reference.repository.at(digest), platform) is None:
            raise RegistryError(
                f"{target}: its base {reference.familiar} at {digest} is gone from its registry",
                hint="copy bases that you release on to a registry of your own, where nobody removes them",
            )
        pins[key] = digest
    return pins


def _parent(registry: Registry, then: Snapshot, receipt: Receipt, need: TargetId) -> Descriptor:
    """A sibling as it was built on."""
    told = receipt.parents.get(str(need))
    if told is None:
        raise RegistryError(
            f"the receipt of {receipt.target} does not say which {need} it stands on",
            hint="an older dsci may have read the Dockerfile otherwise; release a new version",
        )
    repository = then.family.images[need.image].repository
    found = registry.resolve(repository.at(Digest.parse(told)))
    if found is None:
        raise RegistryError(
            f"{receipt.target} stands on {need} at {told}, which is gone from {repository}",
            hint="a clean-up of the registry may have removed it: keep the tags that begin with dsci-",
        )
    return found


def _notes(then: Snapshot, target: TargetId, receipt: Receipt) -> tuple[str, ...]:
    """What may make a difference and is nobody's fault; what surely does is a ConfigError."""
    record = inputs_record(then, target)
    made = {name: oid for name, oid in receipt.inputs.items() if name.startswith("generated ")}
    here = {name: oid for name, oid in record.items() if name.startswith("generated ")}
    if made != here:
        names = ", ".join(name.removeprefix("generated ") for name in sorted({**made, **here}))
        raise ConfigError(
            f"{target} was built with generated files that Git does not hold: {names[:300]}",
            hint="check its commit out, make them again as for the release, and verify there",
        )
    notes: list[str] = []
    if receipt.source_key != then.sources.full[target]:
        notes.append("this dsci reads the commit's sources otherwise than the one that released it")
    return tuple(notes)
