"""Faults F9, F10 and F25–F28: a registry, or something before it, that says what is not so."""

from __future__ import annotations

import json

import pytest
from faultlab import LAYER, USUAL, Lab, some
from tests.faults import FOREVER, Flip, Reply, Rewrite, Truncate, page
from tests.faultyproxy import FaultyProxy

from dsci.drivers.registry import HttpRegistry
from dsci.errors import ConflictError, DsciError, RegistryError
from dsci.model.oci import OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Digest, Manifest, canonical_json

OTHER = str(Digest.of(b"something else"))


def test_f9_a_201_for_bytes_that_nobody_kept(lab: Lab) -> None:
    blob = lab.new.layers[1].digest
    rule = lab.proxy.rule(
        "PUT", f"/blobs/uploads/.*{blob.hex}", Reply(201, {"Docker-Content-Digest": str(blob)}), last=FOREVER
    )
    result = lab.run()
    assert isinstance(result.error, RegistryError) and rule.fired == 5
    assert f"accepted {blob}, but does not have it" in result.text
    lab.check(result, budget=USUAL + 20)


def test_f9_a_registry_that_keeps_half_of_it(lab: Lab) -> None:
    blob = lab.new.layers[1].digest
    lab.proxy.rule("HEAD", f"/blobs/{blob}", Rewrite({"Content-Length": str(LAYER // 2)}), last=FOREVER)
    result = lab.run()
    assert isinstance(result.error, RegistryError) and not result.error.temporary
    assert f"keeps {LAYER // 2} of its {LAYER} bytes" in result.text
    lab.check(result)


def test_f10_a_put_that_is_answered_with_another_digest(lab: Lab) -> None:
    lab.proxy.rule("PUT", "/manifests/dsci-unique", Rewrite({"Docker-Content-Digest": OTHER}), last=FOREVER)
    result = lab.run()
    assert isinstance(result.error, RegistryError) and f"the registry stored {OTHER}" in result.text
    lab.check(result)


def test_f10_a_head_that_is_answered_with_another_digest(lab: Lab) -> None:
    lab.proxy.rule("HEAD", "/manifests/dsci-unique", Rewrite({"Docker-Content-Digest": OTHER}), last=FOREVER)
    result = lab.run()
    assert isinstance(result.error, ConflictError | RegistryError)
    assert OTHER in result.text and str(lab.new.descriptor.digest) in result.text
    lab.check(result)


def test_f10_a_head_by_digest_with_another_digest_is_not_believed(lab: Lab) -> None:
    old = lab.old.descriptor
    rule = lab.proxy.rule("HEAD", "/manifests/sha256", Rewrite({"Docker-Content-Digest": OTHER}), last=FOREVER)
    result = lab.run(lambda client: _is(client.resolve(lab.repository.at(old.digest)), old.digest))
    assert result.error is None and rule.fired == 1 and lab.proxy.requests("GET", "/manifests/sha256")
    lab.check(result, rerun=False)


@pytest.mark.parametrize("action", some([Flip(down=20), Truncate(100)], 1))
def test_f10_a_manifest_that_is_altered_on_its_way(lab: Lab, action: Flip | Truncate) -> None:
    lab.proxy.rule("GET", "/manifests/", action, last=FOREVER)
    result = lab.run(lambda client: client.manifest(lab.repository.at(lab.old.descriptor.digest)))
    assert isinstance(result.error, RegistryError) and "GET" in result.text
    lab.check(result, rerun=False)


def test_f10_a_blob_that_is_altered_on_its_way(lab: Lab) -> None:
    lab.past.push_image(lab.new, lab.behind, "dsci-unique")
    blob, got = lab.new.layers[1], bytearray()
    lab.proxy.rule("GET", f"/blobs/{blob.digest}", Flip(down=LAYER - 1), last=FOREVER)

    def read(client: HttpRegistry) -> None:
        with client.open_blob(lab.repository, blob) as pieces:
            for piece in pieces:
                got.extend(piece)

    result = lab.run(read)
    assert isinstance(result.error, RegistryError) and not result.error.temporary
    assert "other bytes" in result.text and len(got) < LAYER, "its end is never given to anybody"
    lab.check(result)


@pytest.mark.parametrize("method", some(["HEAD", "GET", "HEAD|GET"], 1))
def test_f25_a_login_page_for_a_manifest(lab: Lab, method: str) -> None:
    lab.proxy.rule(method, "/manifests/(latest|absent)", page(), last=FOREVER)
    for tag in ("latest", "absent"):
        result = lab.run(lambda client: client.manifest(lab.repository.tag(tag)))  # noqa: B023
        if "GET" in method:
            assert isinstance(result.error, RegistryError) and "is this a registry?" in result.text
        else:
            assert result.error is None
        found = lab.run(lambda client: _is(client.resolve(lab.repository.tag("absent")), None))
        assert (found.error is None) == (method != "HEAD|GET"), "a page that answers is no manifest that exists"
    lab.check(result, rerun=False)


def test_f25_a_login_page_for_everything(lab: Lab) -> None:
    lab.proxy.rule(".*", ".*", page(), last=FOREVER)
    result = lab.run()
    assert isinstance(result.error, RegistryError) and "is this a registry?" in result.text
    lab.check(result)


def test_f25_a_login_page_in_the_middle(lab: Lab) -> None:
    lab.proxy.rule("HEAD", "/blobs/", page(), last=FOREVER)
    result = lab.run()
    assert result.error is None, "a page is no blob that is there: it is sent"
    lab.check(result)


BOTH = {
    "schemaVersion": 2,
    "mediaType": OCI_MANIFEST,
    "config": {"mediaType": "x", "digest": OTHER, "size": 3},
    "layers": [],
    "manifests": [],
}


@pytest.mark.parametrize(
    ("kind", "content"),
    some(
        [
            (OCI_MANIFEST, BOTH),
            (OCI_INDEX, BOTH | {"mediaType": OCI_INDEX}),
            (OCI_INDEX, {name: BOTH[name] for name in BOTH if name != "manifests"}),
            ("application/json", {name: BOTH[name] for name in BOTH if name != "manifests"}),
        ],
        2,
    ),
)
def test_f26_a_manifest_that_is_two_things(lab: Lab, kind: str, content: dict[str, object]) -> None:
    body = canonical_json(content)
    headers = {"Content-Type": kind, "Docker-Content-Digest": str(Digest.of(body))}
    lab.proxy.rule("GET", "/manifests/odd", Reply(200, headers, body), last=FOREVER)
    result = lab.run(lambda client: client.manifest(lab.repository.tag("odd")))
    assert isinstance(result.error, RegistryError) and not result.error.temporary
    lab.check(result, rerun=False)


BAD = [
    "../../../etc/passwd",
    "md5:d41d8cd98f00b204e9800998ecf8427e",
    f"sha256:{'a' * 63}",
    f"sha256:{'A' * 64}",
    "",
    "sha256:",
]


@pytest.mark.parametrize("text", some(BAD, 2))
def test_f27_what_is_no_digest(lab: Lab, text: str) -> None:
    """Named by a manifest: refused before anything is asked for. In a header: as if it were not there."""
    with pytest.raises(DsciError):
        Digest.parse(text)
    content = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "x", "digest": text, "size": 3},
            "layers": [{"mediaType": OCI_LAYER_GZIP, "digest": text, "size": 3}],
        }
    )
    headers = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": str(Digest.of(content))}
    lab.proxy.rule("GET", "/manifests/odd", Reply(200, headers, content), last=FOREVER)
    lab.proxy.rule("HEAD", "/manifests/latest", Rewrite({"Docker-Content-Digest": text}), last=FOREVER)

    def read(client: HttpRegistry) -> None:
        found = client.manifest(lab.repository.tag("odd"))
        assert found is not None
        Manifest.from_bytes(found[1])

    result = lab.run(read)
    assert isinstance(result.error, DsciError)
    assert not [seen for seen in lab.proxy.seen if "blobs" in seen.path], "nothing is asked for by such a name"
    found = lab.run(lambda client: _is(client.resolve(lab.repository.tag("latest")), lab.old.descriptor.digest))
    assert found.error is None
    lab.check(found, rerun=False)


def test_f28_urls_of_a_foreign_layer_are_asked_for_nothing(lab: Lab) -> None:
    """CVE-2020-15157: a host that a manifest names must not get credentials; here it is not even asked."""
    with FaultyProxy("127.0.0.1", lab.direct).serving() as canary:
        layer = {
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "digest": str(Digest.of(b"foreign")),
            "size": 7,
            "urls": [f"http://{canary.host}/layer"],
        }
        config = json.loads(lab.old.manifest)["config"]
        content = canonical_json({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]})
        foreign = Descriptor.of(OCI_MANIFEST, content)
        headers = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": str(foreign.digest)}
        lab.proxy.rule("GET", "/manifests/odd", Reply(200, headers, content), last=FOREVER)

        def read(client: HttpRegistry) -> None:
            found = client.manifest(lab.repository.tag("odd"))
            assert found is not None
            client.blob(lab.repository, Manifest.from_bytes(found[1]).layers[0])

        result = lab.run(read)
        assert isinstance(result.error, RegistryError) and str(Digest.of(b"foreign")) in result.text
        assert canary.seen == []
    lab.check(result, rerun=False)


def _is(found: Descriptor | None, digest: Digest | None) -> None:
    assert (found.digest if found else None) == digest
