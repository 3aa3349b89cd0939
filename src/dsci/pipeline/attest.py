"""What is attached to releases before they are claimed, so before any name that people use stands for them.

Each thing is an artifact about the index or about one platform's image, in the primary repository, attached by digest
and read back (rule 18 of the semantics). Whatever goes wrong here is an error: nothing is claimed then, and no name
moves. All of it can be repeated; what is attached already is not written again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from dsci import __version__
from dsci.errors import RegistryError
from dsci.model import keys, provenance, sbom
from dsci.model.artifact import Artifact, artifact
from dsci.model.family import Image, TargetId
from dsci.model.oci import OCI_INDEX, Descriptor, Digest, Index
from dsci.model.provenance import Made, Part
from dsci.model.reference import Repository
from dsci.model.sbom import Described
from dsci.model.settings import AttestSettings
from dsci.pipeline.inventories import Inventories
from dsci.pipeline.snapshot import Snapshot
from dsci.pipeline.stock import read_receipt
from dsci.pipeline.transfer import RegistrySource
from dsci.pipeline.world import Hands
from dsci.ports import Registry, Signer

#: How many releases are attested at once.
_AT_ONCE = 8


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """What releases were made of: a commit, and the keys of its targets."""

    at: Snapshot
    keys: Mapping[TargetId, str | None]
    suites: Mapping[TargetId, str]
    """The hash of what the suites of each target run."""
    source: str | None
    """The address of the source code."""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A release whose index stands."""

    image: Image
    version: str
    git_tag: str
    """The tag that is to claim it."""
    commit: str
    index: Index

    @property
    def descriptor(self) -> Descriptor:
        """Its index."""
        return Descriptor.of(OCI_INDEX, self.index.to_bytes())


def attest(hands: Hands, settings: AttestSettings, basis: Basis, releases: Sequence[Release]) -> None:
    """Attach to releases what the settings ask for, and see that it is there. Raises RegistryError."""
    if not settings.wanted or not releases:
        return
    inventories, signer = Inventories(), _signer(hands, settings)

    def one(release: Release) -> None:
        parts = tuple(_part(hands.registry, basis, release, target) for target in release.image.targets)
        wanted = [_provenance(hands, basis, release, parts)] if settings.provenance else []
        if settings.sbom:
            wanted += [each for part in parts for each in _sboms(hands, inventories, release, part, settings)]
        _attach(hands.registry, wanted)
        if signer is not None:
            repository = release.image.repository
            signer.sign(repository, release.descriptor.digest)
            for each in wanted:
                signer.attest(repository, each.subject, each.predicate_type, each.predicate)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(one, releases))
    what = ["provenance"] * settings.provenance + ["lists of packages"] * bool(settings.sbom)
    what += ["a signature"] * (signer is not None)
    hands.console.say(f"attached {', '.join(what)} to {len(releases)} image{'s' if len(releases) > 1 else ''}")


def check(hands: Hands, settings: AttestSettings, repositories: Sequence[Repository]) -> None:
    """Prove, before any work, that what is to be listed and signed can be. Raises ConfigError."""
    if settings.sbom and settings.sbom_by == "syft":
        hands.lister.check()
    signer = _signer(hands, settings)
    if signer is not None:
        signer.check(repositories)


def _signer(hands: Hands, settings: AttestSettings) -> Signer | None:
    return hands.signer(settings) if settings.sign != "none" else None


class _Attached(msgspec.Struct, frozen=True, kw_only=True):
    repository: Repository
    subject: Digest
    artifact: Artifact
    predicate_type: str
    predicate: bytes
    """What is signed as a statement about the subject."""


def _attach(registry: Registry, wanted: Iterable[_Attached]) -> None:
    """Attach these, then look whether they are listed; what another writer lost in between is attached again."""
    missing = list(wanted)
    for _ in range(2):
        for each in missing:
            for media_type, content in each.artifact.blobs:
                registry.push_blob(each.repository, content, media_type)
            registry.attach(each.repository, each.artifact.manifest)
        missing = [each for each in missing if not _listed(registry, each)]
        if not missing:
            return
    raise RegistryError(
        f"{missing[0].repository} does not list what was attached to {missing[0].subject}",
        hint="other releases may write the same list: run dsci release again",
        temporary=True,
    )


def _listed(registry: Registry, each: _Attached) -> bool:
    digest = Digest.of(each.artifact.manifest)
    found = registry.referrers(each.repository, each.subject)
    return any(item.digest == digest for item in found)


def _provenance(hands: Hands, basis: Basis, release: Release, parts: Sequence[Part]) -> _Attached:
    image, index = release.image, release.descriptor
    args = {name for target in image.targets for name in basis.at.family.nodes[target].recipe.args}
    content = provenance.statement(
        Made(
            image=image.name,
            version=release.version,
            git_tag=release.git_tag,
            repository=image.repository,
            index=index,
            parts=tuple(parts),
            source=basis.source,
            commit=release.commit,
            dockerfile=image.dockerfile,
            context=image.context,
            stage=image.stage,
            args={name: image.args[name] for name in sorted(args) if name in image.args},
            secrets=[secret.id for secret in image.secrets],
            reproducible=image.reproducible,
            builder=hands.place or provenance.LOCAL,
            dsci=__version__,
        )
    )
    return _attached(
        repository=image.repository,
        subject=index,
        kind=provenance.MEDIA_TYPE,
        content=content,
        predicate_type=provenance.PREDICATE_TYPE,
        predicate=provenance.predicate(content),
    )


def _sboms(
    hands: Hands, inventories: Inventories, release: Release, part: Part, settings: AttestSettings
) -> Iterator[_Attached]:
    """The lists of packages of one platform, read from its layers in the primary registry."""
    repository, digest = release.image.repository, part.manifest.digest
    source = RegistrySource(hands.registry, repository, digest)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(part.receipt.epoch))
    for form in dict.fromkeys(settings.sbom):
        if settings.sbom_by == "syft":
            content = sbom.settled(form, hands.lister.packages(source, form, str(repository)), created)
        else:
            described = Described(
                repository=repository,
                digest=digest,
                platform=part.platform,
                inventory=inventories.of(source),
                created=created,
                dsci=__version__,
            )
            content = sbom.document(form, described)
        yield _attached(
            repository=repository,
            subject=part.manifest,
            kind=sbom.MEDIA_TYPES[form],
            content=content,
            predicate_type=sbom.PREDICATE_TYPES[form],
            predicate=content,
        )


def _attached(
    *,
    repository: Repository,
    subject: Descriptor,
    kind: str,
    content: bytes,
    predicate_type: str,
    predicate: bytes,
) -> _Attached:
    return _Attached(
        repository=repository,
        subject=subject.digest,
        artifact=artifact(subject, kind, content, annotations={provenance.PREDICATE: predicate_type}),
        predicate_type=predicate_type,
        predicate=predicate,
    )


def _part(registry: Registry, basis: Basis, release: Release, target: TargetId) -> Part:
    """A platform's image and the receipt that says what it was built of. Raises RegistryError where one is gone."""
    repository, key = release.image.repository, basis.keys[target]
    manifest = release.index.select(target.platform)
    assert manifest is not None and key is not None
    for suites in (basis.suites[target], keys.NO_SUITES):
        receipt = read_receipt(registry, repository, key, suites)
        if receipt is not None and receipt.image == str(manifest.digest):
            needs = basis.at.family.nodes[target].needs
            parents = {str(need): basis.at.family.images[need.image].repository for need in needs}
            return Part(platform=target.platform, manifest=manifest, receipt=receipt, parents=parents)
    raise RegistryError(
        f"{repository} has no receipt of {target} at {manifest.digest}: what it was built of is not known",
        hint="a clean-up may have removed it: run dsci release again, which builds what is missing",
        temporary=True,
    )
