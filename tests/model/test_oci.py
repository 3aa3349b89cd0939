"""Digests, platforms, descriptors, indexes, manifests: what is read, what is refused, and that it comes back equal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.model import oci
from dsci.model.oci import Descriptor, Digest, Index, Manifest, OciError, Platform

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


# ------------------------------------------------------------------------------------------------------- digests


def test_a_digest_of_known_bytes() -> None:
    digest = Digest.of(b"")
    assert str(digest) == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest.short == "e3b0c44298fc"


@pytest.mark.parametrize("algorithm,length", [("sha256", 64), ("sha512", 128)])
def test_registered_algorithms(algorithm: str, length: int) -> None:
    text = f"{algorithm}:{'a' * length}"
    assert Digest.parse(text) == Digest(algorithm, "a" * length)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(HEX, id="no algorithm"),
        pytest.param(f"sha256:{HEX[:-1]}", id="too short"),
        pytest.param(f"sha256:{HEX}0", id="too long"),
        pytest.param(f"sha512:{HEX}", id="length of another algorithm"),
        pytest.param(f"sha256:{HEX.upper()}", id="upper case"),
        pytest.param(f"md5:{HEX[:32]}", id="unregistered algorithm"),
        pytest.param(f"sha256:{HEX}\n", id="newline behind it"),
        pytest.param(f" sha256:{HEX}", id="space before it"),
        pytest.param(f"sha256:../../{HEX[:58]}", id="a path"),
    ],
)
def test_no_digest(text: str) -> None:
    with pytest.raises(OciError, match="is not a digest") as caught:
        Digest.parse(text)
    assert "sha256:" in caught.value.hint
    assert caught.value.exit_code == 5


@given(st.binary(max_size=40))
@hypothesis(max_examples=examples(50))
def test_digests_come_back(content: bytes) -> None:
    assert Digest.parse(str(Digest.of(content))) == Digest.of(content)


# ----------------------------------------------------------------------------------------------------- platforms


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        (" Linux/AMD64\n", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/arm/v5", "linux/arm/v5"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armhf/v6", "linux/arm/v6"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/armel/v5", "linux/arm/v5"),
        ("linux/i386", "linux/386"),
        ("linux/riscv64", "linux/riscv64"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_platforms_are_spelled_in_one_way(text: str, normal: str) -> None:
    assert str(Platform.parse(text)) == normal


@pytest.mark.parametrize(
    "text", ["", "linux", "linux/", "/amd64", "linux//v8", "linux/amd64/v1/x", "linux/am d64", "linux/-x", "linux/é"]
)
def test_no_platform(text: str) -> None:
    with pytest.raises(OciError, match="is not a platform"):
        Platform.parse(text)


_platforms = st.builds(
    lambda os, arch, variant: Platform.parse("/".join(filter(None, (os, arch, variant)))),
    st.sampled_from(["linux", "windows", "freebsd"]),
    st.sampled_from(["amd64", "x86_64", "arm64", "aarch64", "arm", "armhf", "armel", "i386", "s390x"])
    | st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,8}\Z"),
    st.sampled_from(["", "v1", "v6", "v7", "v8", "8", "6"]) | st.from_regex(r"\A[a-z0-9][a-z0-9]{0,4}\Z"),
)


@given(_platforms)
@hypothesis(max_examples=examples(50))
def test_platforms_come_back(platform: Platform) -> None:
    assert Platform.parse(str(platform)) == platform
    assert Platform.from_json(platform.to_json()) == platform


def test_the_platform_of_a_descriptor() -> None:
    assert Platform("linux", "arm", "v7").to_json() == {"architecture": "arm", "os": "linux", "variant": "v7"}
    assert Platform("linux", "amd64").to_json() == {"architecture": "amd64", "os": "linux"}
    read = Platform.from_json({"os": "linux", "architecture": "arm64", "variant": "v8", "os.version": "1"})
    assert read == Platform("linux", "arm64")


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"os": "linux"},
        {"architecture": "amd64"},
        {"os": "linux", "variant": "v8"},
        {"os": "linux/amd64"},
        {"os": "linux", "architecture": None},
        {"os": ["linux"], "architecture": "amd64"},
    ],
    ids=str,
)
def test_the_platform_of_a_descriptor_needs_both_parts(value: dict[str, Any]) -> None:
    with pytest.raises(OciError):
        Platform.from_json(value)


# --------------------------------------------------------------------------------------------------- descriptors


def described(**values: Any) -> dict[str, Any]:
    return {"mediaType": oci.OCI_MANIFEST, "digest": DIGEST, "size": 7} | values


def test_a_descriptor_of_bytes() -> None:
    descriptor = Descriptor.of("text/plain", b"hello", Platform("linux", "amd64"))
    assert descriptor.size == 5
    assert descriptor.digest == Digest.of(b"hello")
    assert Descriptor.from_json(descriptor.to_json()) == descriptor
    assert Descriptor.from_json(described(size=0)).size == 0


def test_a_descriptor_is_written_as_the_specification_has_it() -> None:
    value = described(platform={"os": "linux", "architecture": "amd64"}, annotations={"b": "2", "a": "1"})
    written = Descriptor.from_json(value).to_json()
    assert written == value
    assert list(written["annotations"]) == ["a", "b"]
    assert Descriptor.from_json(described()).to_json() == described()


@pytest.mark.parametrize("platform", [None, {"os": "unknown", "architecture": "unknown"}, {}], ids=str)
def test_attestations_have_no_platform(platform: dict[str, str] | None) -> None:
    assert Descriptor.from_json(described(platform=platform)).platform is None


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="null"),
        pytest.param([described()], id="list"),
        pytest.param({"digest": DIGEST, "size": 7}, id="no media type"),
        pytest.param(described(mediaType=1), id="media type of the wrong type"),
        pytest.param({"mediaType": "x", "digest": DIGEST}, id="no size"),
        pytest.param(described(size=-1), id="negative size"),
        pytest.param(described(size="7"), id="size as text"),
        pytest.param(described(size=True), id="size as truth"),
        pytest.param({"mediaType": "x", "size": 7}, id="no digest"),
        pytest.param(described(digest="sha256:x"), id="broken digest"),
        pytest.param(described(annotations=["a"]), id="annotations as a list"),
        pytest.param(described(platform="linux/amd64"), id="platform as text"),
        pytest.param(described(platform={"os": "linux"}), id="half a platform"),
    ],
)
def test_no_descriptor(value: Any) -> None:
    with pytest.raises(OciError):
        Descriptor.from_json(value)


# --------------------------------------------------------------------------------------------- indexes, manifests

AMD, ARM = (Descriptor.of(oci.OCI_MANIFEST, text, Platform("linux", arch)) for text, arch in
            ((b"1", "amd64"), (b"2", "arm64")))  # fmt: skip


def test_an_index_gives_the_manifest_of_a_platform() -> None:
    index = Index(manifests=(AMD, ARM))
    assert index.select(Platform("linux", "arm64")) == ARM
    assert index.select(Platform("linux", "arm", "v7")) is None


def test_equal_indexes_are_equal_bytes() -> None:
    one = Index(manifests=(AMD, ARM), annotations={"a": "1", "b": "ü"})
    two = Index(manifests=(AMD, ARM), annotations={"b": "ü", "a": "1"})
    assert one.to_bytes() == two.to_bytes()
    assert Index.from_bytes(one.to_bytes()) == one
    assert "annotations" not in json.loads(Index(manifests=(AMD,)).to_bytes())


def test_a_docker_list_is_an_index() -> None:
    content = {"schemaVersion": 2, "mediaType": oci.DOCKER_LIST, "manifests": [AMD.to_json()]}
    assert Index.from_bytes(json.dumps(content).encode()).manifests == (AMD,)


def test_manifests_come_back() -> None:
    config, layer = Descriptor.of(oci.OCI_CONFIG, b"{}"), Descriptor.of(oci.OCI_LAYER_GZIP, b"layer")
    for notes in ({}, {"b": "2", "a": "1"}):
        manifest = Manifest(config=config, layers=(layer,), annotations=notes)
        assert Manifest.from_bytes(manifest.to_bytes()) == manifest
        assert json.loads(manifest.to_bytes())["mediaType"] == oci.OCI_MANIFEST
        assert b" " not in manifest.to_bytes()


_CONFIG = Descriptor.of(oci.OCI_CONFIG, b"{}").to_json()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        pytest.param(Index, {"manifests": {}}, id="index: manifests as an object"),
        pytest.param(Index, {"layers": []}, id="index: a manifest"),
        pytest.param(Index, {"manifests": [None]}, id="index: no descriptor"),
        pytest.param(Index, {"manifests": [], "annotations": ["a"]}, id="index: annotations as a list"),
        pytest.param(Manifest, {"layers": None, "config": _CONFIG}, id="manifest: no layers"),
        pytest.param(Manifest, {"layers": []}, id="manifest: no config"),
        pytest.param(Manifest, {"manifests": []}, id="manifest: an index"),
        pytest.param(Manifest, {"layers": [1], "config": _CONFIG}, id="manifest: no descriptor"),
        pytest.param(Manifest, {"layers": [], "config": _CONFIG, "annotations": [1]}, id="manifest: annotations"),
        pytest.param(Index, {"manifests": [], "layers": []}, id="both at once: layers"),
        pytest.param(Index, {"manifests": [], "config": _CONFIG}, id="both at once: config"),
    ],
)
def test_neither_index_nor_manifest(kind: type[Index] | type[Manifest], value: dict[str, Any]) -> None:
    with pytest.raises(OciError):
        kind.from_bytes(json.dumps({"schemaVersion": 2, **value}).encode())


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[]", id="list"),
        pytest.param(b"{}", id="no schemaVersion"),
        pytest.param(b'{"schemaVersion": 1}', id="schema 1"),
        pytest.param(b'{"schemaVersion": 2, "annotations": {"a": "\\ud800"}}', id="half a surrogate pair"),
        pytest.param(b"[" * 200_000, id="nested too deeply"),
        pytest.param(b'{"a":' * 200_000, id="nested objects"),
        pytest.param(b'{"schemaVersion": ' + b"2" * 5000 + b"}", id="absurd number"),
        pytest.param(b" " * (oci.MANIFEST_LIMIT + 1), id="too large"),
    ],
)
def test_no_manifest_at_all(content: bytes) -> None:
    with pytest.raises(OciError, match="manifest"):
        oci.load_manifest(content)


def test_a_manifest_of_the_largest_size_is_read() -> None:
    assert oci.MANIFEST_LIMIT == 4 * 1024 * 1024
    text = b'{"schemaVersion": 2}'
    assert oci.load_manifest(text + b" " * (oci.MANIFEST_LIMIT - len(text))) == {"schemaVersion": 2}


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(DIGEST),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_foreign = st.fixed_dictionaries(
    {"schemaVersion": st.just(2)},
    optional={
        "manifests": _json | st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(described(), _json))),
        "layers": _json,
        "config": _json,
        "annotations": _json,
    },
)


@given(st.binary(max_size=60) | _foreign.map(lambda value: json.dumps(value).encode()))
@hypothesis(max_examples=examples(50))
def test_foreign_bytes_raise_nothing_but_oci_errors(content: bytes) -> None:
    for kind in (Index, Manifest):
        try:
            value = kind.from_bytes(content)
        except OciError:
            continue
        assert kind.from_bytes(value.to_bytes()) == value


def test_canonical_json_keeps_the_order_and_wastes_nothing() -> None:
    assert oci.canonical_json({"b": [1, {"a": "ü"}], "a": None}) == '{"b":[1,{"a":"ü"}],"a":null}'.encode()
