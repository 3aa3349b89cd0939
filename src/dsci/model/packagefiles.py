"""Packages as package managers write them down in an image's files; read as text that may be anybody's.

What cannot be a package is passed over. rpm's database is read by `rpmdatabase`; which file is whose is said in
`inventoryfiles`.

Sources: https://www.debian.org/doc/debian-policy/ch-controlfields.html (dpkg),
https://wiki.alpinelinux.org/wiki/Apk_spec (apk), https://packaging.python.org/specifications/core-metadata/ (Python),
https://packaging.python.org/specifications/recording-installed-packages/ (INSTALLER),
https://packaging.python.org/specifications/direct-url-data-structure/ (direct_url.json),
https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html (conda),
https://cran.r-project.org/doc/manuals/r-release/R-exts.html#The-DESCRIPTION-file (R),
https://www.freedesktop.org/software/systemd/man/latest/os-release.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from dsci.model.inventory import Note, Package, System

_NAME = re.compile(r"[^\s\x00-\x1f\x7f]{1,200}")
_SOURCE = re.compile(r"\A(?P<name>\S+)(?:\s+\((?P<version>[^()\s]+)\))?\Z")
#: Who asks for something of a server: names and passwords have no place in a list. Variables stand for them.
_USER = re.compile(r"//[^/@\s]*@")
_FIELD_LIMIT = 500


def system(text: str) -> Iterator[System]:
    """What an os-release file says; nothing where it has no id."""
    values: dict[str, str] = {}
    for line in text.splitlines()[:200]:
        key, equals, value = line.partition("=")
        if equals:
            values[key.strip()] = value.strip().strip("\"'")[:_FIELD_LIMIT]
    id = values.get("ID", "").lower()
    if _NAME.fullmatch(id):
        yield System(id=id, version=values.get("VERSION_ID", ""), name=values.get("PRETTY_NAME", ""))


def dpkg(text: str) -> Iterator[Package]:
    """The packages of dpkg's status file, or of one of its parts in an image without dpkg."""
    for fields in _paragraphs(text):
        if not fields.get("Status", "ok installed").endswith(" installed"):
            continue
        version = fields.get("Version", "")
        source = _SOURCE.match(fields.get("Source", ""))
        yield from package(
            "deb",
            fields.get("Package", ""),
            version,
            architecture=fields.get("Architecture", ""),
            source=_at(source["name"], source["version"]) if source else "",
            supplier=fields.get("Maintainer", ""),
        )


def apk(text: str) -> Iterator[Package]:
    """The packages of apk's list."""
    for block in text.split("\n\n"):
        fields = {line[0]: line[2:].strip() for line in block.splitlines() if line[1:2] == ":" and line[0] != "F"}
        name, origin = fields.get("P", ""), fields.get("o", "")
        yield from package(
            "apk",
            name,
            fields.get("V", ""),
            architecture=fields.get("A", ""),
            source=origin if origin != name else "",
            license=fields.get("L", ""),
            supplier=fields.get("m", ""),
        )


def python(text: str) -> Iterator[Package]:
    """The package of a METADATA or PKG-INFO file."""
    fields = _headers(text)
    yield from package(
        "pypi",
        fields.get("Name", ""),
        fields.get("Version", ""),
        license=fields.get("License-Expression", "") or fields.get("License", ""),
        supplier=fields.get("Author", "") or fields.get("Author-email", ""),
    )


def installer(text: str) -> Iterator[Note]:
    """What installed a Python package."""
    yield Note(installer=one_line(text))


def direct_url(text: str) -> Iterator[Note]:
    """Where a Python package was installed from, if that was no index; without the names of users in it."""
    value = json_object(text)
    url = value.get("url")
    if isinstance(url, str):
        vcs, folder = value.get("vcs_info"), value.get("dir_info")
        if isinstance(vcs, dict):
            url = f"{vcs.get('vcs', 'vcs')}+{url}@{vcs.get('commit_id', '')}".removesuffix("@")
        editable = isinstance(folder, dict) and folder.get("editable") is True
        yield Note(source=one_line(_USER.sub("//", url)) + (" (editable)" if editable else ""))


def conda(text: str) -> Iterator[Package]:
    """The package of one of conda's records."""
    value = json_object(text)
    if value:
        known = {key: item for key, item in value.items() if isinstance(item, str)}
        channel = known.get("channel", "").rstrip("/")
        architecture = known.get("subdir", "")
        channel = channel.removesuffix(f"/{architecture}").rpartition("/")[2] if architecture else channel
        yield from package(
            "conda",
            known.get("name", ""),
            known.get("version", ""),
            architecture=architecture,
            license=known.get("license", ""),
            build=known.get("build", ""),
            channel=channel,
        )


def r(text: str) -> Iterator[Package]:
    """The package of an R library's DESCRIPTION file; one of sources that were never installed is none."""
    fields = _headers(text)
    if "Built" in fields or fields.get("License", "").startswith("Part of R "):
        yield from package(
            "bioconductor" if "biocViews" in fields else "cran",
            fields.get("Package", ""),
            fields.get("Version", ""),
            license=fields.get("License", ""),
            supplier=fields.get("Maintainer", ""),
        )


def json_object(text: str | bytes) -> dict[str, Any]:
    """The object that a JSON document is; an empty one for anything else."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def package(kind: str, name: str, version: str, **more: str) -> Iterator[Package]:
    """A package, if it has a name and a version that can be ones."""
    if _NAME.fullmatch(name) and _NAME.fullmatch(version):
        fields: dict[str, Any] = {key: one_line(text) for key, text in more.items()}
        yield Package(kind=kind, name=name, version=version, **fields)


def one_line(text: str) -> str:
    """The first line of a field, without what no document may hold, and not endless."""
    first = text.strip().partition("\n")[0][:_FIELD_LIMIT]
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "", first)


def _at(name: str, version: str | None) -> str:
    return f"{name}@{version}" if version else name


def _paragraphs(text: str) -> Iterator[Mapping[str, str]]:
    """The paragraphs of a control file."""
    for block in re.split(r"\n[ \t]*\n", text):
        yield _headers(block)


def _headers(text: str) -> Mapping[str, str]:
    """`Name: value` lines up to the first empty one; the first of a name counts, lines that go on are left out."""
    fields: dict[str, str] = {}
    for line in text.lstrip("\n").splitlines():
        if not line.strip():
            break
        name, colon, value = line.partition(":")
        if colon and name and not name[0].isspace():
            fields.setdefault(name, value.strip())
    return fields
