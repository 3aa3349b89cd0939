"""Bills of materials: taken by the validators of SPDX and CycloneDX, and the same bytes for the same image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from msgspec.structs import replace
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from dsci.model.inventory import Extension, Inventory, Language, Package, System
from dsci.model.oci import Digest, OciError, Platform
from dsci.model.reference import Repository
from dsci.model.sbom import Described, Form, document, settled

PACKAGES = (
    Package(kind="cran", name="data.table", version="1.15.0", license="MPL-2.0 | file LICENSE", paths=("/r",)),
    Package(kind="deb", name="libc6", version="2.36-9", architecture="amd64", source="glibc", paths=("/d",)),
    Package(
        kind="pypi", name="NumPy", version="1.26.4", license="bsd-3-clause", supplier="T (O) <t@x.org>", paths=("/p",)
    ),
    Package(kind="pypi", name="numpy", version="1.26.4", paths=("/q",)),
)
IMAGE = Described(
    repository=Repository.parse("ghcr.io/acme/ml"),
    digest=Digest.of(b"manifest"),
    platform=Platform("linux", "amd64"),
    inventory=Inventory(packages=PACKAGES, system=System(id="debian", version="12", name="Debian 12")),
    created="2026-01-31T12:00:00Z",
    dsci="1.0",
)
PARTIAL = replace(IMAGE, inventory=Inventory(system=System(id="fedora"), unread=("/var/lib/rpm/rpmdb.sqlite",)))
EMPTY = replace(IMAGE, inventory=Inventory())


@pytest.mark.parametrize("image", [IMAGE, PARTIAL, EMPTY])
def test_spdx_is_valid(image: Described, tmp_path: Path) -> None:
    file = tmp_path / "image.spdx.json"
    file.write_bytes(document("spdx", image))
    found = parse_file(str(file))
    assert validate_full_spdx_document(found, "SPDX-2.3") == []
    assert found.creation_info.name == f"ghcr.io/acme/ml@{image.digest}"


@pytest.mark.parametrize("image", [IMAGE, PARTIAL, EMPTY])
def test_cyclonedx_is_valid(image: Described) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document("cyclonedx", image).decode()) is None


def test_a_licence_that_spdx_does_not_know_is_told_as_it_was_written() -> None:
    spdx = {each["name"]: each for each in json.loads(document("spdx", IMAGE))["packages"]}
    assert spdx["NumPy"]["licenseDeclared"] == "BSD-3-Clause" and "licenseComments" not in spdx["NumPy"]
    assert spdx["data.table"]["licenseDeclared"] == "NOASSERTION"
    assert spdx["data.table"]["licenseComments"] == "declared as: MPL-2.0 | file LICENSE"
    cyclonedx = {each["name"]: each for each in json.loads(document("cyclonedx", IMAGE))["components"]}
    assert cyclonedx["NumPy"]["licenses"] == [{"expression": "BSD-3-Clause"}]
    assert cyclonedx["data.table"]["licenses"] == [{"license": {"name": "MPL-2.0 | file LICENSE"}}]
    assert "licenses" not in cyclonedx["libc6"]


def test_what_has_one_package_url_is_one_package() -> None:
    (numpy,) = [each for each in json.loads(document("cyclonedx", IMAGE))["components"] if each["name"] == "NumPy"]
    assert [each["value"] for each in numpy["properties"]] == ["/p", "/q"]
    assert sum("numpy" in each["name"].lower() for each in json.loads(document("spdx", IMAGE))["packages"]) == 1


@pytest.mark.parametrize("form", ["spdx", "cyclonedx"])
def test_equal_images_give_equal_bytes_and_others_another_id(form: Form) -> None:
    name = "documentNamespace" if form == "spdx" else "serialNumber"
    assert document(form, IMAGE) == document(form, IMAGE)
    ids = {json.loads(document(form, image))[name] for image in (IMAGE, PARTIAL, EMPTY)}
    assert len(ids) == 3 and all(id.startswith("urn:uuid:") for id in ids)


def test_what_was_not_read_is_said() -> None:
    assert json.loads(document("spdx", PARTIAL))["comment"] == "Not read: /var/lib/rpm/rpmdb.sqlite"
    value = json.loads(document("cyclonedx", PARTIAL))
    assert value["metadata"]["properties"] == [{"name": "dsci:unread", "value": "/var/lib/rpm/rpmdb.sqlite"}]
    assert value["compositions"][0]["aggregate"] == "incomplete"


@pytest.mark.parametrize("form", ["spdx", "cyclonedx"])
def test_another_programs_document_is_settled(form: Form) -> None:
    theirs = json.loads(document(form, IMAGE))
    for text in ("2001-01-01T00:00:00Z", "2002-02-02T00:00:00Z"):
        theirs["creationInfo" if form == "spdx" else "metadata"]["created" if form == "spdx" else "timestamp"] = text
        theirs["documentNamespace" if form == "spdx" else "serialNumber"] = text
        assert settled(form, json.dumps(theirs).encode(), IMAGE.created) == document(form, IMAGE)
    for junk in (b"", b"[]", b"{}", b'{"metadata": 1, "creationInfo": 1}'):
        with pytest.raises(OciError, match="no list of packages"):
            settled(form, junk, IMAGE.created)


def test_what_no_package_manager_tells_of() -> None:
    """A language that came without a package is told; one that a package brought is told once, as that package."""
    python = Package(kind="conda", name="python", version="3.12.4", paths=("/conda-meta/python.json",))
    mine = Package(kind="pypi", name="mine", version="1", source="file:///src (editable)", paths=("/m",))
    image = replace(
        IMAGE,
        inventory=Inventory(
            packages=(python, mine),
            languages=(
                Language(name="julia", version="1.10.0", paths=("/opt/julia/include/julia/julia_version.h",)),
                Language(name="python", version="3.12.4", paths=("/conda-meta/python.json", "/v/pyvenv.cfg")),
            ),
            extensions=(Extension(name="@j/lab", version="5.0", paths=("/e",)), Extension(name="bare", paths=("/b",))),
        ),
    )
    components = {each["purl"]: each for each in json.loads(document("cyclonedx", image))["components"]}
    assert set(components) == {
        "pkg:conda/python@3.12.4",
        "pkg:pypi/mine@1",
        "pkg:generic/julia@1.10.0",
        "pkg:npm/%40j/lab@5.0",
        "pkg:npm/bare",
    }
    assert {name: each["type"] for name, each in components.items() if each["type"] != "library"} == {
        "pkg:generic/julia@1.10.0": "platform"
    }
    assert components["pkg:pypi/mine@1"]["properties"][1] == {
        "name": "dsci:source",
        "value": "file:///src (editable)",
    }
    spdx = {each["name"]: each for each in json.loads(document("spdx", image))["packages"]}
    assert spdx["mine"]["sourceInfo"] == "found in /m; installed from file:///src (editable)"
    assert "versionInfo" not in spdx["bare"]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document("cyclonedx", image).decode()) is None
