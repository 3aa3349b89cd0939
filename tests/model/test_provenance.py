"""Provenance: what in-toto's own library takes, the same bytes each time, and no secret in it."""

from __future__ import annotations

import json

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance as ProvenanceMessage
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
from msgspec.structs import replace
from packageurl import PackageURL

from dsci.model.oci import OCI_INDEX, OCI_MANIFEST, Descriptor, Digest, Platform
from dsci.model.provenance import BUILD_TYPE, LOCAL, Made, Part, disagreement, predicate, statement
from dsci.model.purl import image_purl, purl
from dsci.model.receipt import BaseUsed, Receipt
from dsci.model.reference import Reference, Repository
from dsci.model.secretname import looks_secret

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
REPOSITORY = Repository.parse("ghcr.io/acme/ml")
PARENT = Digest.of(b"python")


def part(platform: Platform) -> Part:
    manifest = Descriptor.of(OCI_MANIFEST, str(platform).encode(), platform)
    receipt = Receipt(
        target=f"ml@{platform}",
        key="ab" * 32,
        source_key="cd" * 32,
        image=str(manifest.digest),
        parents={f"python@{platform}": str(PARENT), f"gone@{platform}": str(Digest.of(b"gone"))},
        bases=(BaseUsed(name="docker.io/library/debian:12", platform=str(platform), digest=str(Digest.of(b"d"))),),
        inputs={"argument API_TOKEN": "CANARY"},
        epoch=1_700_000_000,
        engine="BuildKit 0.13",
    )
    parents = {f"python@{platform}": Repository.parse("ghcr.io/acme/python")}
    return Part(platform=platform, manifest=manifest, receipt=receipt, parents=parents)


MADE = Made(
    image="ml",
    version="1.2.3",
    git_tag="ml-v1.2.3",
    repository=REPOSITORY,
    index=Descriptor.of(OCI_INDEX, b"index"),
    parts=(part(AMD64), part(ARM64)),
    source="https://github.com/acme/stack",
    commit="12" * 20,
    dockerfile="images/ml/Dockerfile",
    context="images/ml",
    stage="runtime",
    args={"PYTHON": "3.12", "API_TOKEN": "CANARY", "INDEX": "https://me:CANARY@pypi.example/simple"},
    secrets=("pip",),
    reproducible=True,
    builder="https://github.com/actions/runner/github-hosted",
    dsci="1.0",
)


def test_it_is_what_in_totos_own_library_takes() -> None:
    message = json_format.Parse(statement(MADE), StatementMessage())
    Statement.copy_from_pb(message).validate()
    found = json_format.Parse(predicate(statement(MADE)), ProvenanceMessage())
    assert message.predicate_type == "https://slsa.dev/provenance/v1"
    assert found.build_definition.build_type == BUILD_TYPE
    assert found.run_details.builder.id == MADE.builder
    subjects = [dict(subject.digest)["sha256"] for subject in message.subject]
    assert subjects == [each.digest.hex for each in (MADE.index, *(part.manifest for part in MADE.parts))]
    uris = [item.uri for item in found.build_definition.resolved_dependencies]
    assert uris[0] == "git+https://github.com/acme/stack@refs/tags/ml-v1.2.3"
    assert "pkg:docker/debian@12?platform=linux/arm64" in uris
    assert f"pkg:docker/ghcr.io/acme/python?digest={PARENT}&platform=linux/amd64" in uris
    assert "urn:dsci:target:gone@linux/amd64" in uris
    commit = dict(found.build_definition.resolved_dependencies[0].digest)
    assert commit == {"gitCommit": MADE.commit}


def test_equal_releases_give_equal_bytes() -> None:
    other = replace(MADE, args=dict(reversed(MADE.args.items())))
    assert statement(other) == statement(MADE)


def test_no_secret_is_in_it_and_what_was_left_out_is_said() -> None:
    text = statement(MADE)
    assert b"CANARY" not in text
    external = json.loads(text)["predicate"]["buildDefinition"]["externalParameters"]
    assert external["args"] == {"PYTHON": "3.12"}
    assert external["argsWithheld"] == ["API_TOKEN", "INDEX"]
    assert external["secrets"] == ["pip"]


def test_a_plain_image_of_a_clone_without_a_remote() -> None:
    plain = replace(MADE, source=None, stage=None, args={}, secrets=(), builder=LOCAL)
    definition = json.loads(statement(plain))["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["source"] == {"digest": {"gitCommit": MADE.commit}}
    assert not {"target", "args", "argsWithheld", "secrets"} & set(definition["externalParameters"])
    json_format.Parse(predicate(statement(plain)), ProvenanceMessage())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITHUB_TOKEN", "x"),
        ("db_password", "x"),
        ("APIKEY", "x"),
        ("URL", "https://user:pw@host/x"),
        ("URL", "https://host/x?sig=abc"),
        ("X", "ghp_0123456789abcdef"),
        ("X", "AKIA0123456789ABCDEF"),
        ("X", "-----BEGIN RSA PRIVATE KEY-----"),
        ("X", "eyJhbGciOiJIUzI1NiJ9.e30.x"),
    ],
)
def test_what_looks_like_a_secret(name: str, value: str) -> None:
    assert looks_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PYTHON", "3.12"), ("TOKEN", ""), ("KEYBOARD", "us"), ("URL", "https://host/x?v=1"), ("PATHS", "/a")],
)
def test_what_does_not(name: str, value: str) -> None:
    assert not looks_secret(name, value)


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        (purl("pypi", "Typing_Extensions", "4.1"), ("pypi", None, "typing-extensions", "4.1", {})),
        (
            purl("deb", "libstdc++6", "1:12.2.0-14+b1", namespace="Debian", qualifiers={"arch": "amd64", "x": ""}),
            ("deb", "debian", "libstdc++6", "1:12.2.0-14+b1", {"arch": "amd64"}),
        ),
        (purl("cran", "data.table", "1.14~2"), ("cran", None, "data.table", "1.14~2", {})),
        (purl("conda", "a b", namespace=""), ("conda", None, "a b", None, {})),
        (
            image_purl(Reference.parse("quay.io/jupyter/base:x"), ARM64),
            ("docker", "quay.io/jupyter", "base", "x", {"platform": "linux/arm64"}),
        ),
        (image_purl(Reference.parse("debian")), ("docker", None, "debian", None, {})),
        (image_purl(Reference.parse("acme/x:1")), ("docker", "acme", "x", "1", {})),
        (image_purl(Reference.parse("localhost:5000/x:1")), ("docker", "localhost:5000", "x", "1", {})),
    ],
)
def test_package_urls_are_read_back_by_the_reference_library(written: str, parts: tuple[object, ...]) -> None:
    found = PackageURL.from_string(written)
    assert (found.type, found.namespace, found.name, found.version, found.qualifiers) == parts


def test_a_statement_is_held_against_the_release_and_its_commit() -> None:
    text, index, commit = statement(MADE), MADE.index.digest, MADE.commit
    assert disagreement(text, index, commit) == ""
    assert disagreement(text, Digest.of(b"another"), commit) == "it is about another image"
    assert disagreement(text, index, "34" * 20) == "it names the commit 121212121212"
    value = json.loads(text)
    value["predicate"]["buildDefinition"]["resolvedDependencies"] = []
    assert disagreement(json.dumps(value).encode(), index, commit) == "it names no commit"
    for junk in (b"junk", b"[]", b"{}", b'{"subject":[1]}', b"[" * 100_000):
        assert disagreement(junk, index, commit) == "it cannot be read"
