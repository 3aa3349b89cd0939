"""What is attached to a released image, and one of these things read: nothing is pulled, and nothing written.

That something is attached says nothing of who attached it. Provenance is held against the Git tag that claims the
release; whether a signature is anybody's is for cosign to prove.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from dsci.errors import ConfigError, RegistryError
from dsci.model import provenance, receipt, sbom
from dsci.model.artifact import referrers_tag
from dsci.model.oci import Descriptor, Digest, Manifest, OciError, Platform
from dsci.model.reference import Repository
from dsci.model.sbom import Form
from dsci.pipeline.released import Release
from dsci.ports import Registry

#: The largest statement that is read, in bytes: a list of all packages of a large image has some megabytes.
LIMIT = 256 << 20
#: Source: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#tag-based-discovery
_BY_TAG = {".sig": "signature", ".att": "signed statements"}


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is attached to an image."""

    kind: str
    """`provenance`, `sbom spdx`, `sbom cyclonedx`, `receipt`, `signature`, `signed statements`, or its own type."""
    digest: str
    """Of the artifact."""
    subject: str
    """Of what it is attached to."""
    platform: str = ""
    """The platform of that; "" for the index."""
    note: str = ""


class Attachments(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is attached to a release."""

    reference: str
    digest: str
    git_tag: str
    commit: str
    attached: tuple[Attached, ...]


def attachments(registry: Registry, release: Release) -> Attachments:
    """What is attached to a released index and its platforms. Raises RegistryError where that cannot be known."""
    return Attachments(
        reference=release.reference,
        digest=str(release.digest),
        git_tag=release.claim.tag.name,
        commit=release.claim.tag.commit,
        attached=tuple(item for subject in _subjects(release) for item in _of(registry, release, *subject)),
    )


def exported(
    registry: Registry, release: Release, what: Literal["provenance"] | Form, platform: Platform | None
) -> tuple[bytes, tuple[str, ...]]:
    """One statement's bytes, and what is to be known of it.

    Provenance that is not of this release is passed over. Raises ConfigError where there is none, or where a platform
    has to be named.
    """
    kind = what if what == "provenance" else f"sbom {what}"
    found = [item for item in attachments(registry, release).attached if item.kind == kind]
    if what != "provenance":
        platforms = sorted({item.platform for item in found})
        if platform is None and len(platforms) > 1:
            raise ConfigError(
                f"{release.reference} has a list for each of {', '.join(platforms)}", hint="choose one by --platform"
            )
        found = [item for item in found if platform is None or item.platform == str(platform)]
    good = [item for item in found if not item.note]
    if not good:
        why = f": {found[0].note}" if found else ""
        raise ConfigError(
            f"{release.reference} has no {kind} attached{why}",
            hint="`dsci attest IMAGE:TAG` shows what is; `attest:` in dsci.yaml says what the next release gets",
        )
    notes = [f"there are {len(good)} of them; this is {good[0].digest}"] if len(good) > 1 else []
    return _content(registry, release.image.repository, Digest.parse(good[0].digest)), tuple(notes)


def _subjects(release: Release) -> Iterator[tuple[Digest, str]]:
    yield release.digest, ""
    for item in release.index.manifests:
        if item.platform is not None:
            yield item.digest, str(item.platform)


def _of(registry: Registry, release: Release, subject: Digest, platform: str) -> Iterator[Attached]:
    repository = release.image.repository
    for item in sorted(registry.referrers(repository, subject), key=lambda item: (item.artifact_type, item.digest)):
        kind = _kind(item)
        note = ""
        if kind == "provenance":
            note = provenance.disagreement(
                _content(registry, repository, item.digest), release.digest, release.claim.tag.commit
            )
        yield Attached(kind=kind, digest=str(item.digest), subject=str(subject), platform=platform, note=note)
    for end, kind in _BY_TAG.items():
        found = registry.resolve(repository.tag(f"{referrers_tag(subject)}{end}"))
        if found is not None:
            yield Attached(kind=kind, digest=str(found.digest), subject=str(subject), platform=platform)


def _kind(item: Descriptor) -> str:
    if (
        item.artifact_type == provenance.MEDIA_TYPE
        and item.annotations.get(provenance.PREDICATE) == provenance.PREDICATE_TYPE
    ):
        return "provenance"
    if item.artifact_type == receipt.ARTIFACT_TYPE:
        return "receipt"
    forms = {media_type: form for form, media_type in sbom.MEDIA_TYPES.items()}
    form = forms.get(item.artifact_type)
    return f"sbom {form}" if form else item.artifact_type or "of no type"


def _content(registry: Registry, repository: Repository, digest: Digest) -> bytes:
    """The one content of an artifact."""
    found = registry.manifest(repository.at(digest))
    if found is None:
        raise RegistryError(f"{repository} lists {digest} and has it no longer", hint="a clean-up may have removed it")
    try:
        layers: Sequence[Descriptor] = Manifest.from_bytes(found[1]).layers
    except OciError as error:
        raise RegistryError(f"{repository}@{digest}: {error.message}", hint=error.hint) from None
    if len(layers) != 1 or layers[0].size > LIMIT:
        raise RegistryError(f"{repository}@{digest} is no statement that can be read", hint="see what attached it")
    with registry.open_blob(repository, layers[0]) as pieces:
        return b"".join(pieces)
