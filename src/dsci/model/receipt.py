"""Receipts: what was built from what, and which suites it passed (rule 10 of the semantics).

A receipt is a small OCI artifact in the image's own repository, found with one GET under a tag derived from (key,
suites, runner), with the image as its `subject`. There are no receipts of failures: that a receipt exists is the
verdict. Whoever reads one from a registry must treat it as foreign text; `from_manifest` does.

Source of the artifact's shape: https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md#guidelines-for-artifact-usage
"""

from __future__ import annotations

import base64

import msgspec

from dsci.model.artifact import Artifact, artifact
from dsci.model.oci import Descriptor, Digest, OciError, load_manifest

ARTIFACT_TYPE = "application/vnd.dsci.receipt.v1+json"


class SuiteResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one suite found in one image: numbers of tests, and seconds."""

    name: str
    passed: int
    skipped: int = 0
    seconds: float = 0.0


class BaseUsed(msgspec.Struct, frozen=True, kw_only=True):
    """An external base as it was built on."""

    name: str
    platform: str
    digest: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one target."""

    schema: int = 1
    target: str
    key: str
    source_key: str
    image: str
    """The platform manifest's digest."""
    parents: dict[str, str] = {}
    """The siblings it was built on: target to platform manifest digest."""
    bases: tuple[BaseUsed, ...] = ()
    inputs: dict[str, str] = {}
    """Names of what went in (`dockerfile`, `files`, `args` …) and the hash of each, for `why`."""
    suites: str = ""
    results: tuple[SuiteResult, ...] = ()
    epoch: int = 0
    """SOURCE_DATE_EPOCH of the build, in seconds."""
    store: str = ""
    """The engine's image store that built it: `containerd` (builders elsewhere, too) or `classic`."""
    engine: str = ""
    """The engine or the builder that built it, with its version: another BuildKit may write other bytes."""


#: Made once, on import: receipts are read in threads, and msgspec does not bear two that meet a type first.
_DECODER = msgspec.json.Decoder(Receipt)


def to_artifact(receipt: Receipt, subject: Descriptor) -> Artifact:
    """The artifact of a receipt. Its content is embedded, so that reading it takes one request."""
    return artifact(subject, ARTIFACT_TYPE, msgspec.json.encode(receipt, order="deterministic"), embedded=True)


def from_manifest(manifest: bytes) -> Receipt:
    """Read a receipt back. Raises OciError where it is not one, or not true to its own digest."""
    value = load_manifest(manifest)
    layers = value.get("layers")
    if value.get("artifactType") != ARTIFACT_TYPE or not isinstance(layers, list) or len(layers) != 1:
        raise OciError("this artifact is no dsci receipt")
    layer = layers[0]
    try:
        content = base64.b64decode(layer["data"], validate=True)
        receipt = _DECODER.decode(content)
        image = Digest.parse(receipt.image)
        subject = value["subject"]["digest"]
    except (KeyError, TypeError, ValueError, RecursionError, msgspec.DecodeError) as error:
        raise OciError(f"a dsci receipt that cannot be read: {error}") from None
    if Digest.of(content) != Descriptor.from_json(layer).digest or subject != str(image):
        raise OciError("a dsci receipt that is not true to its digests")
    return receipt
