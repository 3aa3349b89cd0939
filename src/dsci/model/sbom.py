"""An inventory as a bill of materials: SPDX 2.3 and CycloneDX 1.6, both as JSON.

The same bytes for the same image: packages are sorted, the time is that of the image's commit, and ids are made of
content. What dsci does not know is not asserted; what could not be read is said.

Sources: https://spdx.github.io/spdx-spec/v2.3/, https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal
from uuid import UUID

import msgspec

from dsci.model.hashing import sha256
from dsci.model.inventory import Inventory, Package, System
from dsci.model.oci import Digest, OciError, Platform, canonical_json
from dsci.model.purl import purl
from dsci.model.reference import Repository

Form = Literal["spdx", "cyclonedx"]
#: The media type of each form, and the predicate type by which in-toto statements name it.
MEDIA_TYPES = {"spdx": "application/spdx+json", "cyclonedx": "application/vnd.cyclonedx+json"}
PREDICATE_TYPES = {"spdx": "https://spdx.dev/Document", "cyclonedx": "https://cyclonedx.org/bom"}

_NOTHING = "NOASSERTION"


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """The image of one platform, and what is in it."""

    repository: Repository
    digest: Digest
    """Of the platform's manifest."""
    platform: Platform
    inventory: Inventory
    created: str
    """When its commit was made: `2026-01-31T12:00:00Z`."""
    dsci: str
    """dsci's version."""

    @property
    def purl(self) -> str:
        """The image's package URL."""
        name = self.repository.path.rpartition("/")[2]
        qualifiers = {"arch": self.platform.architecture, "repository_url": str(self.repository)}
        return purl("oci", name, str(self.digest), qualifiers=qualifiers)


def document(form: Form, described: Described) -> bytes:
    """The bill of materials in this form."""
    return canonical_json(_spdx(described) if form == "spdx" else _cyclonedx(described))


def settled(form: Form, document: bytes, created: str) -> bytes:
    """Another program's document with the time of the image's commit, and an id that is made of its content.

    Raises OciError for what is no such document.
    """
    try:
        value = msgspec.json.decode(document, type=dict[str, Any])
        where, id = ("creationInfo", "documentNamespace") if form == "spdx" else ("metadata", "serialNumber")
        value[where]["created" if form == "spdx" else "timestamp"] = created
        value[id] = ""
        return canonical_json(value | {id: _urn(value)})
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError, UnicodeEncodeError):
        raise OciError(f"that is no list of packages in the form {form}") from None


def _spdx(described: Described) -> dict[str, Any]:
    inventory = described.inventory
    image = {
        "SPDXID": "SPDXRef-Image",
        "name": str(described.repository),
        "versionInfo": str(described.digest),
        "primaryPackagePurpose": "CONTAINER",
        "downloadLocation": _NOTHING,
        "filesAnalyzed": False,
        "supplier": _NOTHING,
        "licenseConcluded": _NOTHING,
        "licenseDeclared": _NOTHING,
        "copyrightText": _NOTHING,
        "checksums": [{"algorithm": described.digest.algorithm.upper(), "checksumValue": described.digest.hex}],
        "externalRefs": [_purl_reference(described.purl)],
    }
    packages = [_spdx_package(purl, package) for purl, package in _by_purl(inventory)]
    value: dict[str, Any] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{described.repository}@{described.digest}",
        "documentNamespace": "",
        "creationInfo": {"created": described.created, "creators": [f"Tool: dsci-{described.dsci}"]},
        "packages": [image, *packages],
        "relationships": [
            _relationship("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image"),
            *(_relationship("SPDXRef-Image", "CONTAINS", each["SPDXID"]) for each in packages),
        ],
    }
    if inventory.unread:
        value["comment"] = f"Not read: {', '.join(inventory.unread)}"
    return value | {"documentNamespace": _urn(value)}


def _spdx_package(purl: str, package: Package) -> dict[str, Any]:
    known = _expression(package.license)
    return {
        "SPDXID": f"SPDXRef-{package.kind}-{sha256(purl.encode())[:24]}",
        "name": package.name,
        **({"versionInfo": package.version} if package.version else {}),
        "downloadLocation": _NOTHING,
        "filesAnalyzed": False,
        "supplier": f"Organization: {package.supplier}" if package.supplier else _NOTHING,
        "licenseConcluded": _NOTHING,
        "licenseDeclared": known or _NOTHING,
        **({"licenseComments": f"declared as: {package.license}"} if package.license and not known else {}),
        "copyrightText": _NOTHING,
        "sourceInfo": f"found in {', '.join(package.paths)}{_origin(package)}",
        "externalRefs": [_purl_reference(purl)],
    }


def _origin(package: Package) -> str:
    """Where a Python package came from, where that was no index: its package URL does not say so."""
    return f"; installed from {package.source}" if package.kind == "pypi" and package.source else ""


def _purl_reference(purl: str) -> dict[str, str]:
    return {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}


def _relationship(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def _cyclonedx(described: Described) -> dict[str, Any]:
    inventory = described.inventory
    image = {
        "type": "container",
        "bom-ref": described.purl,
        "name": str(described.repository),
        "version": str(described.digest),
        "purl": described.purl,
    }
    components = [_component(purl, package) for purl, package in _by_purl(inventory)]
    tool = {"type": "application", "name": "dsci", "version": described.dsci}
    value: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "",
        "version": 1,
        "metadata": {"timestamp": described.created, "tools": {"components": [tool]}, "component": image},
        "components": [*_operating_system(inventory.system), *components],
        "compositions": [
            {"aggregate": "incomplete" if inventory.unread else "unknown", "assemblies": [described.purl]}
        ],
    }
    if inventory.unread:
        value["metadata"]["properties"] = [{"name": "dsci:unread", "value": path} for path in inventory.unread]
    return value | {"serialNumber": _urn(value)}


def _operating_system(system: System | None) -> Iterator[dict[str, Any]]:
    if system is not None:
        named = {"version": system.version} if system.version else {}
        described = {"description": system.name} if system.name else {}
        yield {
            "type": "operating-system",
            "bom-ref": f"os:{system.id}@{system.version}",
            "name": system.id,
            **named,
            **described,
        }


def _component(purl: str, package: Package) -> dict[str, Any]:
    known = _expression(package.license)
    licenses = [{"expression": known}] if known else [{"license": {"name": package.license}}] if package.license else []
    return {
        "type": "platform" if package.kind == "generic" else "library",
        "bom-ref": purl,
        "name": package.name,
        **({"version": package.version} if package.version else {}),
        "purl": purl,
        **({"supplier": {"name": package.supplier}} if package.supplier else {}),
        **({"licenses": licenses} if licenses else {}),
        "properties": [
            *({"name": "dsci:path", "value": path} for path in package.paths),
            *([{"name": "dsci:source", "value": package.source}] if _origin(package) else []),
        ],
    }


def _by_purl(inventory: Inventory) -> list[tuple[str, Package]]:
    """Each package once: what has one package URL is one, wherever it lies."""
    found: dict[str, Package] = {}
    for package in (*inventory.packages, *_beside(inventory)):
        purl = package.purl(inventory.system)
        before = found.get(purl)
        paths = tuple(sorted({*package.paths, *(before.paths if before else ())}))
        found[purl] = msgspec.structs.replace(before or package, paths=paths)
    return sorted(found.items())


def _beside(inventory: Inventory) -> Iterator[Package]:
    """What no package manager tells of: languages that came another way, and JupyterLab's extensions, npm packages."""
    told = {path for package in inventory.packages for path in package.paths}
    for language in inventory.languages:
        if told.isdisjoint(language.paths):
            yield Package(kind="generic", name=language.name, version=language.version, paths=language.paths)
    for extension in inventory.extensions:
        yield Package(kind="npm", name=extension.name, version=extension.version, paths=extension.paths)


def _expression(text: str) -> str:
    """A licence as SPDX writes it; "" where it is none that SPDX knows."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    try:
        return str(canonicalize_license_expression(text)) if text else ""
    except InvalidLicenseExpression:
        return ""


def _urn(value: object) -> str:
    """An id that is the same for the same content."""
    return UUID(hex=sha256(canonical_json(value))[:32], version=5).urn
