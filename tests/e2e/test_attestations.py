"""What is attached to releases: there before they are claimed, right, and the same for everybody."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Project, released
from tests.faultyproxy import FaultyProxy
from tests.realregistry import RealRegistry

pytestmark = pytest.mark.engine

PREDICATE = "in-toto.io/predicate-type"
SLSA = "https://slsa.dev/provenance/v1"


def referrers(project: Project, name: str, digest: str) -> list[dict[str, Any]]:
    """What the list says that clients keep in a registry that keeps none."""
    assert project.registry is not None
    tag = digest.replace(":", "-")
    repository = f"{project.prefix}/{name}"
    if project.registry.digest(repository, tag) is None:
        return []
    return project.registry.manifest(repository, tag)["manifests"]


def content(registry: RealRegistry, repository: str, digest: str) -> Any:
    """The one layer of an artifact."""
    layer = registry.manifest(repository, digest)["layers"][0]
    return json.loads(registry.content(repository, layer["digest"]))


def test_provenance_stands_before_the_claim_and_a_rerun_writes_nothing(tiny: Project) -> None:
    registry = tiny.registry
    assert registry is not None
    tiny.push("feat: say what it is made of", {"dsci.yaml": "attest:\n  provenance: true\n"})
    commit = tiny.git("rev-parse", "HEAD")
    ended = tiny.release()
    assert set(released(ended)) == {"base", "ml"}
    assert "attached provenance to 2 images" in ended.stderr
    for name in ("base", "ml"):
        repository = f"{tiny.prefix}/{name}"
        digest = tiny.digest(name, "latest")
        assert digest is not None
        (listed,) = referrers(tiny, name, digest)
        assert listed["annotations"] == {PREDICATE: SLSA}
        statement = content(registry, repository, listed["digest"])
        children = [item["digest"] for item in registry.manifest(repository, digest)["manifests"]]
        assert [f"sha256:{item['digest']['sha256']}" for item in statement["subject"]] == [digest, *children]
        definition = statement["predicate"]["buildDefinition"]
        assert definition["resolvedDependencies"][0]["digest"] == {"gitCommit": commit}
        uris = " ".join(item["uri"] for item in definition["resolvedDependencies"][1:])
        assert ("pkg:docker/debian@bookworm-slim" in uris) == (name == "base")
        assert (f"/{tiny.prefix}/base?digest=" in uris) == (name == "ml")
    before = registry.writes()
    tiny.release()
    assert registry.writes() == before

    # What it is, is shown without a pull, and one of the things printed; what is not of this release is told.
    printed = tiny.dsci("attest", "ml", "--provenance").json
    assert printed == content(registry, f"{tiny.prefix}/ml", listed["digest"])
    forged = json.loads(json.dumps(statement).replace(commit, "12" * 20)) | {"forged": True}
    layer = json.dumps(forged).encode()
    manifest = registry.manifest(f"{tiny.prefix}/ml", listed["digest"])
    blob = registry.put_blob(f"{tiny.prefix}/ml", layer)
    manifest["layers"] = [{"mediaType": manifest["layers"][0]["mediaType"], "digest": blob, "size": len(layer)}]
    fake = registry.put(f"{tiny.prefix}/ml", "fake", manifest)
    size = len(json.dumps(manifest))
    index = registry.manifest(f"{tiny.prefix}/ml", digest.replace(":", "-"))
    index["manifests"].insert(0, {**listed, "digest": fake, "size": size})
    registry.put(f"{tiny.prefix}/ml", digest.replace(":", "-"), index)
    shown = tiny.dsci("attest", "ml:latest", "--json").json
    assert {item["digest"]: item["note"] for item in shown["attached"] if item["kind"] == "provenance"} == {
        listed["digest"]: "",
        fake: "it names the commit 121212121212",
    }
    assert tiny.dsci("attest", "ml", "--provenance").json == printed
    assert "not of this release" in tiny.dsci("attest", "ml").stdout
    assert "no sbom spdx" in tiny.dsci("attest", "ml", "--sbom", "spdx", code=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize("status", [403, 429])
def test_a_release_that_cannot_be_attested_is_not_claimed(tiny: Project, status: int) -> None:
    """The list of what is attached cannot be written, or not now (F34): no name moves, and the next run does it all."""
    registry = tiny.registry
    assert registry is not None
    tiny.push("feat: attested", {"dsci.yaml": "attest:\n  provenance: true\n"})
    proxy = FaultyProxy("127.0.0.1", registry.address)
    with proxy.serving():
        proxy.fail("PUT", "/manifests/sha256-", status)
        behind = replace(tiny, registry=None)
        where = ("--registry", f"{proxy.host}/{tiny.prefix}")
        behind.dsci("release", "--json", *where, code=5)
        assert proxy.faults
        assert tiny.tags() == set()
        assert tiny.images("base") == tiny.images("ml") == set()
        proxy.fail("PUT", "nothing", 500)
        ended = behind.dsci("release", "--json", *where)
    assert set(released(ended)) == {"base", "ml"}
    for name in ("base", "ml"):
        digest = tiny.digest(name, "latest")
        assert digest is not None
        assert [item["annotations"] for item in referrers(tiny, name, digest)] == [{PREDICATE: SLSA}]


def test_the_list_of_packages_is_what_the_image_says_itself(tiny: Project) -> None:
    """dpkg is asked in a container what dsci has read from layers; what a later layer removes is not listed."""
    registry = tiny.registry
    assert registry is not None
    site = "/opt/venv/lib/python3.12/site-packages"
    dockerfile = f"FROM debian:bookworm-slim\nCOPY site {site}\nRUN rm -r {site}/two-2.dist-info\nCOPY note /etc/note\n"
    files = {"dsci.yaml": "attest:\n  sbom: [spdx, cyclonedx]\n", "images/base/Dockerfile": dockerfile}
    for name, version in (("one", 1), ("two", 2)):
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n"
        files[f"images/base/site/{name}-{version}.dist-info/METADATA"] = metadata
    tiny.push("feat: list what is in it", files)
    ended = tiny.release()
    assert "attached lists of packages to 2 images" in ended.stderr
    asked = subprocess.run(
        ["docker", "run", "--rm", "debian:bookworm-slim", "dpkg-query", "-W", "-f", "${Package}=${Version}\n"],
        capture_output=True,
        text=True,
        check=True,
    )
    installed = set(asked.stdout.split())
    assert len(installed) > 50
    lists = {}
    for name in ("base", "ml"):
        index = registry.manifest(f"{tiny.prefix}/{name}", "latest")
        manifest = index["manifests"][0]["digest"]
        found = {item["artifactType"]: item["digest"] for item in referrers(tiny, name, manifest)}
        assert set(found) == {"application/spdx+json", "application/vnd.cyclonedx+json"}
        spdx = content(registry, f"{tiny.prefix}/{name}", found["application/spdx+json"])
        lists[name] = {f"{item['name']}={item['versionInfo']}" for item in spdx["packages"][1:]}
        cyclonedx = content(registry, f"{tiny.prefix}/{name}", found["application/vnd.cyclonedx+json"])
        libraries = [item for item in cyclonedx["components"] if item["type"] == "library"]
        assert {f"{item['name']}={item['version']}" for item in libraries} == lists[name]
        when = int(tiny.git("log", "-1", "--format=%ct"))
        assert tiny.dsci("attest", name, "--sbom", "spdx").json == spdx
        assert spdx["creationInfo"]["created"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
    assert lists["base"] == lists["ml"] == installed | {"one=1"}


@pytest.mark.slow
def test_a_signed_release_in_two_registries_is_verified_by_cosign(tiny: Project, tmp_path: Path) -> None:
    """Signature and signed statements stand for index and platforms, and go along to the other registry."""
    registry, password = tiny.registry, "CANARY-of-the-key"
    assert registry is not None
    subprocess.run(
        ["cosign", "generate-key-pair", "--output-key-prefix", "release"],
        cwd=tmp_path,
        env={**os.environ, "COSIGN_PASSWORD": password},
        check=True,
        capture_output=True,
    )
    tiny.push("feat: signed", {"dsci.yaml": "attest: {provenance: true, sbom: [spdx], sign: auto}\n"})
    elsewhere = ("--registry", f"{registry.address}/{tiny.prefix}-elsewhere")
    # Without a key it is said before anything is built.
    ended = tiny.dsci("release", "--json", *elsewhere, code=2)
    assert "there is no key" in ended.stderr
    tiny.environment |= {"COSIGN_KEY": str(tmp_path / "release.key"), "COSIGN_PASSWORD": "wrong"}
    assert "does not open" in tiny.dsci("release", "--json", *elsewhere, code=2).stderr
    assert tiny.tags() == set() and registry.tags(f"{tiny.prefix}/ml", public=False) == set()

    tiny.environment["COSIGN_PASSWORD"] = password
    ended = tiny.dsci("release", "--json", *elsewhere)
    assert "attached provenance, lists of packages, a signature to 2 images" in ended.stderr
    assert password not in ended.stderr + ended.stdout
    for prefix in (tiny.prefix, f"{tiny.prefix}-elsewhere"):
        repository = f"{prefix}/ml"
        digest = registry.digest(repository, "latest")
        platform = registry.manifest(repository, "latest")["manifests"][0]["digest"]
        at = f"{registry.address}/{repository}@"
        key = ("--key", str(tmp_path / "release.pub"), "--insecure-ignore-tlog")
        for command in (
            ("verify", *key, f"{at}{digest}"),
            ("verify-attestation", *key, "--type", "slsaprovenance1", f"{at}{digest}"),
            ("verify-attestation", *key, "--type", "spdxjson", f"{at}{platform}"),
        ):
            verified = subprocess.run(["cosign", *command], capture_output=True, text=True, check=False)
            assert verified.returncode == 0, verified.stderr
        assert subprocess.run(["cosign", "verify", *key, f"{at}{platform}"], capture_output=True).returncode != 0
    before = registry.writes()
    tiny.dsci("release", "--json", *elsewhere)
    assert registry.writes() == before


@pytest.mark.slow
def test_a_promoted_prerelease_has_its_own_provenance(tiny: Project) -> None:
    registry = tiny.registry
    assert registry is not None
    tiny.push("feat: a channel", {"dsci.yaml": "versioning: {prereleases: {next: rc}}\nattest: {provenance: true}\n"})
    tiny.git("switch", "--quiet", "--create", "next")
    tiny.git("push", "--quiet", "origin", "next")
    candidate = released(tiny.release())["ml"]
    assert "rc" in candidate
    stable = tiny.dsci("promote", "ml", candidate, "--json").json["version"]
    digest = tiny.digest("ml", stable)
    assert digest is not None and digest != tiny.digest("ml", candidate)
    (listed,) = referrers(tiny, "ml", digest)
    statement = content(registry, f"{tiny.prefix}/ml", listed["digest"])
    parameters = statement["predicate"]["buildDefinition"]["externalParameters"]
    assert parameters["version"] == stable and parameters["source"]["digest"]["gitCommit"] == tiny.git(
        "rev-parse", "HEAD"
    )
    assert tiny.dsci("attest", f"ml:{stable}", "--provenance").json == statement


@pytest.mark.slow
def test_on_this_machine_alone(tiny: Project) -> None:
    """The embedded registry lists what is attached, too; it cannot be signed there, and that is said first."""
    alone = replace(tiny, registry=None)
    alone.push("feat: attested", {"dsci.yaml": "attest: {provenance: true, sbom: [cyclonedx]}\n"})
    alone.release()
    shown = alone.dsci("attest", "ml", "--json").json
    assert [item["kind"] for item in shown["attached"]].count("provenance") == 1
    assert {item["kind"] for item in shown["attached"] if item["platform"]} >= {"receipt", "sbom cyclonedx"}
    statement = alone.dsci("attest", "ml", "--provenance").json
    assert statement["subject"][0]["digest"]["sha256"] == shown["digest"].removeprefix("sha256:")
    assert alone.dsci("attest", "ml", "--sbom", "cyclonedx").json["bomFormat"] == "CycloneDX"
    alone.push("fix: signed", {"dsci.yaml": "attest: {sign: keyless}\n", "images/ml/model.txt": "v2\n"})
    assert "on this machine alone" in alone.dsci("release", code=2).stderr


@pytest.mark.slow
def test_syft_lists_packages_where_it_is_asked_to(tiny: Project) -> None:
    tiny.push("feat: listed", {"dsci.yaml": "attest: {sbom: [spdx], sbom_by: syft}\n"})
    tiny.release()
    found = tiny.dsci("attest", "ml", "--sbom", "spdx").json
    assert any(creator.startswith("Tool: syft-") for creator in found["creationInfo"]["creators"])
    assert {"adduser", "libc6"} <= {item["name"] for item in found["packages"]}
    when = int(tiny.git("log", "-1", "--format=%ct"))
    assert found["creationInfo"]["created"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
    assert str(tiny.state) not in json.dumps(found)


@pytest.mark.slow
def test_no_build_argument_that_looks_like_a_secret_is_told(tiny: Project) -> None:
    """BuildKit writes it into the image's history, which nobody can take back; dsci writes it nowhere else."""
    registry = tiny.registry
    assert registry is not None
    settings = "attest: {provenance: true, sbom: [spdx]}\n"
    settings += "images: {ml: {args: {INDEX: 'https://me:CANARY@host/x', MODEL: small}}}\n"
    dockerfile = "FROM base\nARG INDEX MODEL\nCOPY model.txt /opt/model.txt\n"
    tiny.push("feat: attested", {"dsci.yaml": settings, "images/ml/Dockerfile": dockerfile})
    ended = tiny.release()
    assert "CANARY" not in ended.stderr + ended.stdout
    repository, receipts = f"{tiny.prefix}/ml", 0
    for tag in registry.tags(repository, public=False):
        manifest = registry.manifest(repository, tag)
        receipts += "receipt" in manifest.get("artifactType", "")
        listed = manifest["manifests"] if tag.startswith("sha256-") else []
        if manifest.get("artifactType"):
            listed.append({"digest": registry.digest(repository, tag)})
        for item in listed:
            assert "CANARY" not in json.dumps(found := content(registry, repository, item["digest"]))
            assert "withheld" in json.dumps(found).lower() or "spdxVersion" in found
    assert receipts
