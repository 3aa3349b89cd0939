"""Artifacts: made the same by everybody, read as foreign text, listed without losing what others wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dsci.model.artifact import EMPTY, artifact, as_referrer, referrers_in, referrers_tag, subject_of, with_referrer
from dsci.model.oci import OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, Descriptor, Digest, OciError, canonical_json

IMAGE = Descriptor.of(OCI_MANIFEST, b"image")
SBOM = artifact(IMAGE, "application/spdx+json", b'{"a":1}', annotations={"b": "2", "a": "1"})


def changed(content: bytes, **fields: Any) -> bytes:
    return canonical_json(json.loads(content) | fields)


def test_an_artifact_says_what_it_is_and_what_it_is_about() -> None:
    value = json.loads(SBOM.manifest)
    assert value["artifactType"] == value["layers"][0]["mediaType"] == "application/spdx+json"
    assert value["config"] == Descriptor.of(OCI_EMPTY, EMPTY).to_json() | {"data": "e30="}
    assert "data" not in value["layers"][0]
    assert list(value["annotations"]) == ["a", "b"]
    assert SBOM.blobs == ((OCI_EMPTY, EMPTY), ("application/spdx+json", b'{"a":1}'))
    assert subject_of(SBOM.manifest) == IMAGE.digest
    other = artifact(IMAGE, "application/x", b"{}", media_type="application/y", embedded=True)
    assert json.loads(other.manifest)["layers"][0] | {"size": 2} == {
        "mediaType": "application/y",
        "digest": str(Digest.of(b"{}")),
        "size": 2,
        "data": "e30=",
    }


def test_a_referrer_is_listed_with_its_type_and_its_annotations() -> None:
    found = as_referrer(SBOM.manifest)
    assert (found.digest, found.size, found.media_type) == (Digest.of(SBOM.manifest), len(SBOM.manifest), OCI_MANIFEST)
    assert (found.artifact_type, found.annotations) == ("application/spdx+json", {"a": "1", "b": "2"})
    without = json.loads(SBOM.manifest)
    del without["artifactType"]
    assert as_referrer(canonical_json(without)).artifact_type == OCI_EMPTY
    assert as_referrer(changed(SBOM.manifest, artifactType=None, config=1)).artifact_type == ""
    assert Descriptor.from_json(found.to_json()) == found


@pytest.mark.parametrize("fields", [{"artifactType": 7}, {"annotations": [1]}])
def test_a_referrer_that_cannot_be_listed(fields: dict[str, Any]) -> None:
    with pytest.raises(OciError, match="artifact's type"):
        as_referrer(changed(SBOM.manifest, **fields))


def test_what_has_no_subject_and_what_has_a_strange_one() -> None:
    plain = json.loads(SBOM.manifest)
    del plain["subject"]
    assert subject_of(canonical_json(plain)) is None
    with pytest.raises(OciError):
        subject_of(changed(SBOM.manifest, subject={"digest": "sha256:../../etc"}))


def test_the_tag_of_a_list_is_made_of_the_digest() -> None:
    assert referrers_tag(IMAGE.digest) == f"sha256-{IMAGE.digest.hex}"
    assert referrers_tag(Digest("sha512", "ab" * 64)) == "sha512-" + "ab" * 32


def test_a_list_grows_and_keeps_what_others_wrote() -> None:
    one, two = as_referrer(SBOM.manifest), as_referrer(artifact(IMAGE, "application/x", b"2").manifest)
    first = with_referrer(None, one)
    assert first is not None and with_referrer(first, one) is None
    theirs = json.loads(first)
    theirs["manifests"][0]["urls"] = ["https://example.org/kept"]
    theirs["annotations"] = {"kept": "too"}
    both = with_referrer(canonical_json(theirs), two)
    assert both is not None
    value = json.loads(both)
    assert {item.digest for item in referrers_in(both)} == {one.digest, two.digest}
    assert value["annotations"] == {"kept": "too"} and value["mediaType"] == OCI_INDEX
    assert ["https://example.org/kept"] in [item.get("urls") for item in value["manifests"]]
    other_way = with_referrer(with_referrer(None, two), one)
    assert other_way == with_referrer(first, two)


@pytest.mark.parametrize("content", [SBOM.manifest, b"{}", b'{"schemaVersion":2,"manifests":[{"digest":"x"}]}'])
def test_what_is_no_list(content: bytes) -> None:
    with pytest.raises(OciError):
        with_referrer(content, as_referrer(SBOM.manifest))


def test_a_descriptor_whose_artifact_type_is_no_text() -> None:
    with pytest.raises(OciError, match="artifactType"):
        Descriptor.from_json(IMAGE.to_json() | {"artifactType": 1})
