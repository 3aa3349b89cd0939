"""Receipts: they come back as they were written, and foreign bytes are no receipt."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.model.artifact import EMPTY
from dsci.model.oci import OCI_EMPTY, OCI_MANIFEST, Descriptor, Digest, OciError, Platform, canonical_json
from dsci.model.receipt import ARTIFACT_TYPE, BaseUsed, Receipt, SuiteResult, from_manifest, to_artifact

IMAGE = Descriptor.of(OCI_MANIFEST, b"image", Platform("linux", "amd64"))
RECEIPT = Receipt(
    target="ml@linux/amd64",
    key="ab" * 32,
    source_key="cd" * 32,
    image=str(IMAGE.digest),
    parents={"python@linux/amd64": str(Digest.of(b"python"))},
    bases=(BaseUsed(name="docker.io/library/debian:12", platform="linux/amd64", digest=str(Digest.of(b"debian"))),),
    inputs={"files": "12"},
    suites="ef" * 32,
    results=(SuiteResult(name="ml/pytest", passed=3, skipped=1, seconds=0.5),),
    epoch=1_700_000_000,
    store="containerd",
)


def test_a_receipt_comes_back() -> None:
    assert from_manifest(to_artifact(RECEIPT, IMAGE).manifest) == RECEIPT


_text = st.text(max_size=10)
_receipts = st.builds(
    Receipt,
    target=_text,
    key=_text,
    source_key=_text,
    image=st.just(str(IMAGE.digest)),
    parents=st.dictionaries(_text, _text, max_size=3),
    bases=st.lists(st.builds(BaseUsed, name=_text, platform=_text, digest=_text), max_size=2).map(tuple),
    inputs=st.dictionaries(_text, _text, max_size=3),
    suites=_text,
    results=st.lists(
        st.builds(
            SuiteResult,
            name=_text,
            passed=st.integers(0, 99),
            skipped=st.integers(0, 99),
            seconds=st.floats(0, 1e6, allow_nan=False),
        ),
        max_size=2,
    ).map(tuple),
    epoch=st.integers(0, 2**40),
    store=_text,
)


@given(_receipts)
@hypothesis(max_examples=examples(50))
def test_every_receipt_comes_back(receipt: Receipt) -> None:
    assert from_manifest(to_artifact(receipt, IMAGE).manifest) == receipt


def test_equal_receipts_are_equal_bytes() -> None:
    one = msgspec.structs.replace(RECEIPT, inputs={"a": "1", "b": "2"})
    two = msgspec.structs.replace(RECEIPT, inputs={"b": "2", "a": "1"})
    assert to_artifact(one, IMAGE) == to_artifact(two, IMAGE)


def test_the_artifact_is_an_image_manifest_with_its_content_inside() -> None:
    artifact = to_artifact(RECEIPT, IMAGE)
    value = json.loads(artifact.manifest)
    assert (value["mediaType"], value["artifactType"]) == (OCI_MANIFEST, ARTIFACT_TYPE)
    assert value["subject"] == {"mediaType": OCI_MANIFEST, "digest": str(IMAGE.digest), "size": 5}
    assert [media_type for media_type, _ in artifact.blobs] == [OCI_EMPTY, ARTIFACT_TYPE]
    (layer,) = value["layers"]
    for described, (media_type, content) in zip((value["config"], layer), artifact.blobs, strict=True):
        assert Descriptor.from_json(described) == Descriptor.of(media_type, content)
        assert base64.b64decode(described["data"]) == content
    assert artifact.blobs[0][1] == EMPTY == b"{}"
    assert json.loads(artifact.blobs[1][1])["schema"] == 1


def forged(content: bytes | None = None, **values: Any) -> bytes:
    """The artifact with other values, its digests put right again when its content is another one."""
    value = json.loads(to_artifact(RECEIPT, IMAGE).manifest)
    if content is not None:
        described = Descriptor.of(ARTIFACT_TYPE, content).to_json()
        value["layers"] = [described | {"data": base64.b64encode(content).decode()}]
    return canonical_json(value | values)


def other(**values: Any) -> bytes:
    return msgspec.json.encode(json.loads(msgspec.json.encode(RECEIPT)) | values)


def without(name: str) -> bytes:
    value = json.loads(msgspec.json.encode(RECEIPT))
    del value[name]
    return msgspec.json.encode(value)


LAYER = json.loads(to_artifact(RECEIPT, IMAGE).manifest)["layers"][0]


def test_forging_changes_nothing_by_itself() -> None:
    assert from_manifest(forged()) == RECEIPT
    assert from_manifest(forged(other(later="field"))) == RECEIPT


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{}", id="no manifest"),
        pytest.param(forged(artifactType="application/x"), id="another artifact"),
        pytest.param(forged(layers=[]), id="no layer"),
        pytest.param(forged(layers=[LAYER, LAYER]), id="two layers"),
        pytest.param(forged(layers={}), id="layers as an object"),
        pytest.param(forged(layers=[None]), id="no descriptor"),
        pytest.param(forged(layers=["data"]), id="a text for a layer"),
        pytest.param(forged(layers=[{**LAYER, "data": 1}]), id="data as a number"),
        pytest.param(forged(layers=[{**LAYER, "data": "!!"}]), id="no base64"),
        pytest.param(forged(layers=[{**LAYER, "data": "é"}]), id="no ASCII"),
        pytest.param(forged(layers=[{k: v for k, v in LAYER.items() if k != "data"}]), id="no data"),
        pytest.param(forged(layers=[{**LAYER, "digest": str(Digest.of(b"x"))}]), id="another digest"),
        pytest.param(forged(layers=[{**LAYER, "digest": "x"}]), id="no digest"),
        pytest.param(forged(layers=[{**LAYER, "size": -1}]), id="no size"),
        pytest.param(forged(b"[]"), id="a list"),
        pytest.param(forged(b"\xff"), id="no text"),
        pytest.param(forged(b'{"target": "\xff"}'), id="no text inside"),
        pytest.param(forged(b'{"x":' + b"[" * 200_000), id="nested too deeply"),
        pytest.param(forged(without("key")), id="a field is missing"),
        pytest.param(forged(other(epoch="now")), id="a field of the wrong type"),
        pytest.param(forged(other(image="x")), id="no image"),
        pytest.param(forged(other(image=str(Digest.of(b"x")))), id="another image than its subject"),
        pytest.param(forged(subject=None), id="no subject"),
        pytest.param(forged(subject=[]), id="subject as a list"),
        pytest.param(forged(subject={}), id="a subject without digest"),
        pytest.param(forged(subject={"digest": str(Digest.of(b"x"))}), id="another subject"),
    ],
)
def test_no_receipt(manifest: bytes) -> None:
    with pytest.raises(OciError):
        from_manifest(manifest)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.binary(max_size=80)
    | st.fixed_dictionaries(
        {},
        optional={
            "layers": _json | st.lists(st.just(LAYER) | _json, max_size=2),
            "subject": _json,
            "config": _json,
            "artifactType": _json,
            "schemaVersion": _json,
        },
    ).map(lambda values: forged(**values))
    | st.dictionaries(st.sampled_from(Receipt.__struct_fields__), _json).map(lambda values: forged(other(**values)))
)
@hypothesis(max_examples=examples(150))
def test_foreign_bytes_raise_nothing_but_oci_errors(manifest: bytes) -> None:
    try:
        receipt = from_manifest(manifest)
    except OciError:
        return
    assert from_manifest(to_artifact(receipt, IMAGE).manifest) == receipt
