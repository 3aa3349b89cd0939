"""Artifacts: small things in an image's repository that say which image they are about.

An artifact is a manifest with a `subject`, found by whoever asks a registry what refers to that image. Here one is
made, read and listed as a referrer; who puts it where is for the drivers. Whatever comes from a registry is foreign:
what cannot be read is an OciError.

Sources: https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md#guidelines-for-artifact-usage,
https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers and #referrers-tag-schema
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from dsci.model.oci import (
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    OciError,
    canonical_json,
    load_manifest,
)

EMPTY = b"{}"
#: The longest a tag may be that names an image's referrers: 32 of the algorithm, 64 of the rest.
_ALGORITHM, _ENCODED = 32, 64
#: Such a tag, or one of cosign's, which end in what they hold (`.sig`, `.att`).
_ABOUT = re.compile(r"\A(?P<algorithm>sha256|sha512)-(?P<hex>[0-9a-f]{64,128})(?:\.[a-z]+)?\Z")


class Artifact(msgspec.Struct, frozen=True):
    """An artifact as the blobs and the manifest to be written."""

    manifest: bytes
    blobs: tuple[tuple[str, bytes], ...]
    """Media types and contents that must stand before the manifest."""


def artifact(
    subject: Descriptor,
    artifact_type: str,
    content: bytes,
    *,
    media_type: str = "",
    annotations: Mapping[str, str] | None = None,
    embedded: bool = False,
) -> Artifact:
    """An artifact about an image, of one content; `embedded`: which the manifest holds, too, to be read in one request.

    The same for the same values, whoever makes it. The content's media type is the artifact's, unless it is given.
    """
    media_type = media_type or artifact_type
    layer, config = Descriptor.of(media_type, content).to_json(), Descriptor.of(OCI_EMPTY, EMPTY).to_json()
    value: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": config | {"data": base64.b64encode(EMPTY).decode()},
        "layers": [layer | {"data": base64.b64encode(content).decode()} if embedded else layer],
        "subject": {"mediaType": subject.media_type, "digest": str(subject.digest), "size": subject.size},
    }
    if annotations:
        value["annotations"] = dict(sorted(annotations.items()))
    return Artifact(canonical_json(value), ((OCI_EMPTY, EMPTY), (media_type, content)))


def subject_of(content: bytes) -> Digest | None:
    """The image that a manifest or an index is about; None where it is about none. Raises OciError."""
    subject = load_manifest(content).get("subject")
    return None if subject is None else Descriptor.from_json(subject).digest


def as_referrer(content: bytes, media_type: str = OCI_MANIFEST) -> Descriptor:
    """An artifact as a list of referrers has it: its type, and its own annotations. Raises OciError."""
    value = load_manifest(content)
    config = value.get("config")
    kind = value.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else "")
    annotations = value.get("annotations") or {}
    if not isinstance(kind, str | None) or not isinstance(annotations, dict):
        raise OciError("an artifact's type must be text, and its annotations an object")
    return Descriptor(
        media_type=media_type,
        digest=Digest.of(content),
        size=len(content),
        artifact_type=kind or "",
        annotations={str(key): str(text) for key, text in annotations.items()},
    )


def about(tag: str) -> Digest | None:
    """What a tag that holds attachments is about; None for any other tag."""
    match = _ABOUT.match(tag)
    return Digest(match["algorithm"], match["hex"]) if match else None


def referrers_tag(subject: Digest) -> str:
    """The tag under which an image's referrers are listed where the registry does not list them itself."""
    return f"{subject.algorithm[:_ALGORITHM]}-{subject.hex[:_ENCODED]}"


def referrers_in(content: bytes) -> tuple[Descriptor, ...]:
    """What a list of referrers lists. Raises OciError for one that is no index."""
    found = load_manifest(content).get("manifests")
    if not isinstance(found, list):
        raise OciError("a list of referrers must be an image index")
    return tuple(Descriptor.from_json(item) for item in found)


def with_referrer(content: bytes | None, referrer: Descriptor) -> bytes | None:
    """A list of referrers with one more; None where that is in it. What others wrote there stays as it is.

    Raises OciError for a list that is none.
    """
    if content is None:
        value: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    else:
        if any(item.digest == referrer.digest for item in referrers_in(content)):
            return None
        value = load_manifest(content)
    # In an order that is the same for the same set, whoever came first: two writers then write the same bytes.
    value["manifests"] = sorted([*value["manifests"], referrer.to_json()], key=lambda item: str(item["digest"]))
    return canonical_json(value)
