"""Names in registries: what must stand before a claim, and what follows from it.

`stand` puts a release's index under a unique tag of the primary registry; nobody sees it yet. `converge` makes every
registry show a claimed release: copies, then immutable tags, then (after all of them) the floating ones, forward only.
Each registry goes that way by itself, so that one which is down holds up no other. Everything here can be repeated:
what is right already is not written again (rules 15 and 18 of the semantics).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
from msgspec.structs import replace

from dsci.errors import ConflictError, DsciError, RegistryError
from dsci.model.claims import Released
from dsci.model.family import Family, Image, TargetId
from dsci.model.keys import dated_index_tag, index_tag
from dsci.model.oci import OCI_INDEX, REVISION, Descriptor, Digest, Index
from dsci.model.plan import PlannedRelease
from dsci.model.reference import Reference
from dsci.model.releases import release_tags
from dsci.model.report import Publication
from dsci.pipeline.naming import Name, Way, taken
from dsci.ports import Console, Registry

_ANNOTATION = "org.opencontainers.image."
#: How many names are looked at and written at once.
_AT_ONCE = 8


def release_index(
    image: Image,
    release: PlannedRelease,
    images: Mapping[TargetId, Descriptor],
    *,
    when: int,
    source: str | None,
    base: Mapping[str, str],
) -> Index:
    """The index of a release: one manifest per declared platform, and the release's facts as annotations (rule 9).

    `when` is the commit's date in seconds: equal content at one commit gives equal bytes, whoever writes them. `base`
    is what all of its platforms stand on, as annotations.
    """
    facts = version_annotations(image, release.version)
    return index_of(image, images, facts, commit=release.commit, when=when, source=source, base=base)


def version_annotations(image: Image, version: str) -> dict[str, str]:
    """What the index of a release says of its version."""
    return {
        f"{_ANNOTATION}version": version,
        f"{_ANNOTATION}ref.name": f"{image.group}-{version}{image.suffix}",
    }


def index_of(
    image: Image,
    images: Mapping[TargetId, Descriptor],
    facts: Mapping[str, str],
    *,
    commit: str,
    when: int,
    source: str | None,
    base: Mapping[str, str],
) -> Index:
    """An index over the manifests of an image's platforms, with what is known of it as annotations."""
    missing = [str(target.platform) for target in image.targets if target not in images]
    if missing:
        raise RegistryError(f"{image.name}: no image for {', '.join(missing)}")
    annotations = {
        f"{_ANNOTATION}title": image.name,
        **({f"{_ANNOTATION}source": source} if source else {}),
        **image.labels,
        **base,
        REVISION: commit,
        f"{_ANNOTATION}created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when)),
        **facts,
    }
    manifests = tuple(replace(images[target], platform=target.platform, annotations={}) for target in image.targets)
    return Index(manifests=manifests, annotations=annotations)


def stand(registry: Registry, image: Image, index: Index, nonce: str = "") -> Digest:
    """Put an index into the primary registry under a tag that only its content decides; gives its digest.

    Where no release will name it, a run's `nonce` dates it by one more tag, so that `dsci gc` knows its age.

    Only then it is looked whether all of its images are there: `dsci gc` removes first and looks for indexes
    afterwards, so that one of the two sees the other. Raises RegistryError where one is gone.
    """
    content = index.to_bytes()
    digest = Digest.of(content)
    reference = image.repository.tag(index_tag(digest))
    if registry.resolve(reference) is None:
        if nonce:
            registry.push_manifest(image.repository, content, OCI_INDEX, dated_index_tag(digest, nonce), look=False)
        registry.push_manifest(image.repository, content, OCI_INDEX, reference.tag, look=False)
    for each in index.manifests:
        if registry.resolve(image.repository.at(each.digest)) is None:
            raise RegistryError(
                f"{image.repository} has lost {each.digest} ({each.platform}) since it was built",
                hint="a clean-up removed it: run dsci release again, which builds what is missing",
                temporary=True,
            )
    return digest


def stand_all(registry: Registry, indexes: Sequence[tuple[Image, Index]]) -> Mapping[str, Digest]:
    """The same for many images side by side; gives the digests by the images' names."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        digests = pool.map(lambda each: stand(registry, *each), indexes)
        return {image.name: digest for (image, _), digest in zip(indexes, digests, strict=True)}


class Converged(msgspec.Struct, frozen=True, kw_only=True):
    """What registries show of claimed releases now."""

    publications: tuple[Publication, ...] = ()
    failed: Mapping[str, DsciError] = msgspec.field(default_factory=dict)
    """The registries that do not show all of it, and why."""

    def whole(self) -> tuple[Publication, ...]:
        """The publications. Raises what went wrong where a registry does not show all of it."""
        for error in self.failed.values():
            raise error
        return self.publications


def converge(
    registry: Registry,
    family: Family,
    claims: Sequence[Released],
    everything: Mapping[str, Sequence[Released]],
    console: Console,
) -> Converged:
    """Make every registry show these claims; `everything` holds all claims of each group, for the floats.

    What goes wrong in one registry ends the way of that one alone: a RegistryError where it is out of order, a
    ConflictError where an immutable tag names other content already, or somebody else moves a floating one; nothing
    that is immutable is ever overwritten.
    """
    names: dict[str, list[Name]] = {}
    for name in (name for claim in claims for name in _names(family, claim, everything[claim.group])):
        names.setdefault(name.reference.repository.registry, []).append(name)
    with ThreadPoolExecutor(max(len(names), 1)) as pool:
        ways = list(pool.map(lambda each: Way(registry, each), names.values()))
    for way in ways:
        way.tell(console)
    failed = {place: way.error for place, way in zip(names, ways, strict=True) if way.error is not None}
    return Converged(publications=tuple(item for way in ways for item in way.publications), failed=failed)


def check_free(
    registry: Registry, family: Family, claims: Sequence[Released], everything: Mapping[str, Sequence[Released]]
) -> None:
    """See that no immutable tag of a release names other content, before it is claimed.

    Raises ConflictError for one that does. A registry that is only copied to and does not answer is not waited for:
    `converge` tells of it.
    """
    names = [name for claim in claims for name in _names(family, claim, (claim, *everything[claim.group]))]

    def look(name: Name) -> ConflictError | None:
        try:
            present = registry.resolve(name.reference)
        except RegistryError:
            if name.reference.repository == name.primary:
                raise
            return None
        return None if present is None or present.digest == name.digest else taken(name, present.digest)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for conflict in pool.map(look, [name for name in names if not name.moving]):
            if conflict is not None:
                raise conflict


def _names(family: Family, claim: Released, claims: Sequence[Released]) -> list[Name]:
    names: list[Name] = []
    for member in family.groups[claim.group]:
        digest = claim.digests.get(member.name)
        if digest is None:
            continue
        names += [
            Name(
                claim=claim,
                reference=repository.tag(tag.name),
                digest=digest,
                primary=member.repository,
                moving=tag.moving,
            )
            for repository in member.repositories
            for tag in release_tags(member, claim, claims)
        ]
    return names


def read_back(registry: Registry, published: Sequence[Publication]) -> Mapping[str, DsciError]:
    """Ask the registries once more for every name; gives those that do not show what was written, and why.

    The error is a ConflictError where somebody moved a name or took it away.
    """

    def look(item: Publication) -> DsciError | None:
        try:
            present = registry.resolve(Reference.parse(item.reference))
        except RegistryError as error:
            return error
        if present is not None and str(present.digest) == item.digest:
            return None
        return ConflictError(
            f"{item.reference} is {present.digest if present else 'gone'} right after it was {item.digest}",
            hint="somebody else writes this tag: run dsci release again, it finishes what is claimed",
        )

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = zip(published, pool.map(look, published), strict=True)
        wrong = [(Reference.parse(item.reference), error) for item, error in found if error is not None]
    return {name.repository.registry: error for name, error in reversed(wrong)}
