"""Names in registries: what must stand before a claim, and what follows from it.

`stand` puts a release's index under a unique tag of the primary registry; nobody sees it yet. `converge` makes every
registry show a claimed release: copies, then immutable tags, then (after all of them) the floating ones, forward only.
Everything here can be repeated: what is right already is not written again (rules 15 and 18 of the semantics).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
from msgspec.structs import replace

from dsci.errors import ConflictError, RegistryError
from dsci.model.claims import Released
from dsci.model.family import Family, Image, TargetId
from dsci.model.keys import index_tag
from dsci.model.oci import OCI_INDEX, REVISION, Descriptor, Digest, Index
from dsci.model.plan import PlannedRelease
from dsci.model.reference import Reference, Repository
from dsci.model.releases import release_tags
from dsci.model.report import Publication
from dsci.pipeline.transfer import copy_attached, copy_image
from dsci.ports import Console, Registry

_ANNOTATION = "org.opencontainers.image."
_SETTLE = 3
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


def stand(registry: Registry, image: Image, index: Index) -> Digest:
    """Put an index into the primary registry under a tag that only its content decides; gives its digest.

    Only then it is looked whether all of its images are there: `dsci cache prune` removes first and looks for indexes
    afterwards, so that one of the two sees the other. Raises RegistryError where one is gone.
    """
    content = index.to_bytes()
    digest = Digest.of(content)
    reference = image.repository.tag(index_tag(digest))
    if registry.resolve(reference) is None:
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


class _Name(msgspec.Struct, frozen=True, kw_only=True):
    """A public name that a claimed release should have."""

    claim: Released
    reference: Reference
    digest: Digest
    primary: Repository
    moving: bool


def converge(
    registry: Registry,
    family: Family,
    claims: Sequence[Released],
    everything: Mapping[str, Sequence[Released]],
    console: Console,
) -> tuple[Publication, ...]:
    """Make every registry show these claims; `everything` holds all claims of each group, for the floats.

    Raises ConflictError when an immutable tag names other content already; nothing is ever overwritten.
    """
    names = [name for claim in claims for name in _names(family, claim, everything[claim.group])]
    published: list[Publication] = []
    written: dict[tuple[bool, Repository, Digest], list[str]] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        copies = dict.fromkeys((name.primary, name.reference.repository, name.digest) for name in names)
        list(pool.map(lambda each: copy(registry, *each), copies))
        fixed, moving = ([name for name in names if name.moving is moves] for moves in (False, True))
        contents = _Contents(registry)
        changes = [*pool.map(lambda name: _fix(registry, contents, name), fixed)]
        # Not one of these before all of those stand.
        changes += pool.map(lambda name: _move(registry, contents, name), moving)
    for name, changed in zip((*fixed, *moving), changes, strict=True):
        if changed:
            written.setdefault((name.moving, name.reference.repository, name.digest), []).append(
                str(name.reference.tag)
            )
        published.append(
            Publication(
                image=name.claim.group,
                version=str(name.claim.version),
                reference=str(name.reference),
                digest=str(name.digest),
                changed=changed,
            )
        )
    for (_, repository, digest), tags in written.items():
        console.say(f"tagged {repository}: {' '.join(tags)} → {digest.short}")
    return tuple(published)


def _names(family: Family, claim: Released, claims: Sequence[Released]) -> list[_Name]:
    names: list[_Name] = []
    for member in family.groups[claim.group]:
        digest = claim.digests.get(member.name)
        if digest is None:
            continue
        names += [
            _Name(
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


def copy(registry: Registry, primary: Repository, repository: Repository, digest: Digest) -> None:
    """Have an index's content in a repository that is not the primary one, under its unique tag.

    What is attached to it comes along, and before any name that people use.
    """
    if repository == primary:
        return
    unique = index_tag(digest)
    if registry.resolve(repository.tag(unique)) is None:
        copy_image(registry, primary.at(digest), registry, repository, unique)
    copy_attached(registry, primary, digest, registry, repository)


def _fix(registry: Registry, contents: _Contents, name: _Name) -> bool:
    """Write an immutable tag, unless it is there. Other content under it is a conflict, never overwritten."""
    present = registry.resolve(name.reference)
    if present is not None:
        if present.digest == name.digest:
            return False
        raise ConflictError(
            f"{name.reference} names {present.digest} already, but {name.claim.tag.name} claims {name.digest}",
            hint="somebody wrote this tag outside dsci: delete it in the registry, then run dsci release again",
        )
    contents.put(name)
    return True


def _move(registry: Registry, contents: _Contents, name: _Name) -> bool:
    """Point a floating tag at its release, and see that it stays there."""

    def done() -> Digest | None:
        present = registry.resolve(name.reference)
        return name.digest if present is not None and present.digest == name.digest else None

    return settle(done, lambda: contents.put(name))[1]


def settle(done: Callable[[], Digest | None], put: Callable[[], Digest]) -> tuple[Digest, bool]:
    """Write a name that moves: `done` gives what it stands for and may, or None where it is to be put.

    Gives what it stands for then, and whether that was written now. Where somebody else writes it in the same moment
    it is looked at again, and after a few times `put`'s ConflictError is raised.
    """
    for left in reversed(range(_SETTLE)):
        if (stands := done()) is not None:
            return stands, False
        try:
            return put(), True
        except ConflictError:
            if not left:
                raise
    raise AssertionError("unreachable")


class _Contents:
    """What names are put on: each index is read once, and written by whoever looked at the name. Safe for threads."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[Reference, tuple[Descriptor, bytes]] = {}

    def put(self, name: _Name) -> Digest:
        """Let a name stand for its release. Raises RegistryError where the release is not in that repository."""
        repository = name.reference.repository
        index = repository.at(name.digest)
        found = self._known.get(index) or self._registry.manifest(index)
        if found is None:
            raise RegistryError(
                f"{name.claim.tag.name} claims {name.digest}, which {repository} does not have",
                hint="a clean-up of the registry may have removed it: restore it, or release a new version",
            )
        self._known[index] = found
        self._registry.push_manifest(repository, found[1], found[0].media_type, name.reference.tag, look=False)
        return name.digest


def read_back(registry: Registry, published: Sequence[Publication]) -> None:
    """Ask the registries once more for every name. Raises RegistryError for one that is not as it was written."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda item: registry.resolve(Reference.parse(item.reference)), published)
        for item, present in zip(published, found, strict=True):
            if present is None or str(present.digest) != item.digest:
                raise RegistryError(
                    f"{item.reference} is {present.digest if present else 'gone'}, expected {item.digest}",
                    hint="run dsci release again: it finishes what is claimed",
                    temporary=True,
                )
