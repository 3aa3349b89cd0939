"""What is installed in an image, as the package managers in it have written it down: an inventory.

Each kind of package has a file, or one file each, whose form is read here; nothing is run and nothing is asked of a
network. A layer gives what such files in it say and what it hides of the layers below; `combined` puts layers on top of
each other. The files may be anybody's: what cannot be read is passed over, what is too large is said to be unread.

Sources: https://www.debian.org/doc/debian-policy/ch-controlfields.html (dpkg),
https://wiki.alpinelinux.org/wiki/Apk_spec (apk), https://packaging.python.org/specifications/core-metadata/ (Python),
https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html (conda),
https://cran.r-project.org/doc/manuals/r-release/R-exts.html#The-DESCRIPTION-file (R),
https://www.freedesktop.org/software/systemd/man/latest/os-release.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from dsci.model.purl import purl

#: The most that one such file may have, in bytes: conda lists every file of a package, dpkg every package.
FILE_LIMIT = 64 << 20
_NAME = re.compile(r"[^\s\x00-\x1f\x7f]{1,200}")
_SOURCE = re.compile(r"\A(?P<name>\S+)(?:\s+\((?P<version>[^()\s]+)\))?\Z")
_FIELD_LIMIT = 500


class System(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution that an image is of."""

    id: str
    version: str = ""
    name: str = ""


class Package(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """An installed package."""

    kind: str
    """`apk`, `bioconductor`, `conda`, `cran`, `deb` or `pypi`."""
    name: str
    version: str
    architecture: str = ""
    source: str = ""
    """What it was built of, where that has another name or version: `NAME` or `NAME@VERSION`."""
    license: str = ""
    """As its maintainers wrote it."""
    supplier: str = ""
    build: str = ""
    channel: str = ""
    paths: tuple[str, ...] = ()
    """The files that tell of it, from the root."""

    def purl(self, system: System | None) -> str:
        """Its package URL; `system` is the distribution that it is of."""
        distribution = system.id if system else ""
        release = "-".join(part for part in (distribution, system.version if system else "") if part)
        match self.kind:
            case "deb" | "apk":
                namespace = distribution or {"deb": "debian", "apk": "alpine"}[self.kind]
                qualifiers = {"arch": self.architecture, "distro": release, "upstream": self.source}
                return purl(self.kind, self.name, self.version, namespace=namespace, qualifiers=qualifiers)
            case "conda":
                qualifiers = {"build": self.build, "channel": self.channel, "subdir": self.architecture}
                return purl("conda", self.name, self.version, qualifiers=qualifiers)
            case "bioconductor":
                return purl("generic", self.name, self.version, namespace="bioconductor")
            case _:
                return purl(self.kind, self.name, self.version)


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """What one layer says of packages."""

    packages: Mapping[str, tuple[Package, ...]] = msgspec.field(default_factory=dict)
    """What each file says, by its path from the root without a slash before it."""
    systems: Mapping[str, System] = msgspec.field(default_factory=dict)
    hides: frozenset[str] = frozenset()
    """Paths below which nothing of lower layers is seen any more."""
    unread: tuple[str, ...] = ()
    """Files that tell of packages and were not read."""


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What is installed in an image."""

    packages: tuple[Package, ...] = ()
    system: System | None = None
    unread: tuple[str, ...] = ()
    """Files that tell of more packages: too large, or in a form that is not known here (rpm)."""


_Reader = Callable[[str], Iterable[Package]]


def reader(path: str) -> _Reader | None:
    """What reads the packages in a file of this path; None for a file that tells of none."""
    name = path.rpartition("/")[2]
    if path == "var/lib/dpkg/status" or (path.startswith("var/lib/dpkg/status.d/") and not name.endswith(".md5sums")):
        return dpkg
    if path in ("lib/apk/db/installed", "usr/lib/apk/db/installed"):
        return apk
    if re.search(r"(\A|/)conda-meta/[^/]+\.json\Z", path):
        return conda
    if re.search(r"/[^/]+\.dist-info/METADATA\Z|/[^/]+\.egg-info(/PKG-INFO)?\Z", path):
        return None if "/pkgs/" in path else python
    if re.search(r"/[^/]+/DESCRIPTION\Z", path):
        return None if "/pkgs/" in path else r
    return None


def is_system(path: str) -> bool:
    """Whether a file says which distribution it is."""
    return path in ("etc/os-release", "usr/lib/os-release")


def is_foreign(path: str) -> bool:
    """Whether a file tells of packages in a form that is not read here: rpm's databases."""
    return bool(re.search(r"(\A|/)(usr/lib/sysimage|var/lib)/rpm/(rpmdb\.sqlite|Packages(\.db)?)\Z", path))


def combined(layers: Sequence[Layer]) -> Inventory:
    """The inventory of an image whose layers these are, the lowest one first."""
    packages: dict[str, tuple[Package, ...]] = {}
    systems: dict[str, System] = {}
    unread: set[str] = set()
    for layer in layers:
        packages = {path: found for path, found in packages.items() if not _hidden(path, layer.hides)}
        systems = {path: found for path, found in systems.items() if not _hidden(path, layer.hides)}
        unread = {path for path in unread if not _hidden(path, layer.hides)} - set(layer.packages)
        packages |= layer.packages
        systems |= layer.systems
        unread |= set(layer.unread)
    merged: dict[Package, set[str]] = {}
    for path, found in packages.items():
        for package in found:
            merged.setdefault(package, set()).add(f"/{path}")
    whole = (msgspec.structs.replace(package, paths=tuple(sorted(paths))) for package, paths in merged.items())
    return Inventory(
        packages=tuple(sorted(whole)),
        system=systems.get("etc/os-release") or systems.get("usr/lib/os-release"),
        unread=tuple(f"/{path}" for path in sorted(unread)),
    )


def _hidden(path: str, hides: frozenset[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:count]) in hides for count in range(len(parts) + 1))


def system(text: str) -> System | None:
    """What an os-release file says; None where it has no id."""
    values: dict[str, str] = {}
    for line in text.splitlines()[:200]:
        key, equals, value = line.partition("=")
        if equals:
            values[key.strip()] = value.strip().strip("\"'")[:_FIELD_LIMIT]
    id = values.get("ID", "").lower()
    if not _NAME.fullmatch(id):
        return None
    return System(id=id, version=values.get("VERSION_ID", ""), name=values.get("PRETTY_NAME", ""))


def dpkg(text: str) -> Iterator[Package]:
    """The packages of dpkg's status file, or of one of its parts in an image without dpkg."""
    for fields in _paragraphs(text):
        if not fields.get("Status", "ok installed").endswith(" installed"):
            continue
        version = fields.get("Version", "")
        source = _SOURCE.match(fields.get("Source", ""))
        yield from _package(
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
        yield from _package(
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
    yield from _package(
        "pypi",
        fields.get("Name", ""),
        fields.get("Version", ""),
        license=fields.get("License-Expression", "") or fields.get("License", ""),
        supplier=fields.get("Author", "") or fields.get("Author-email", ""),
    )


def conda(text: str) -> Iterator[Package]:
    """The package of one of conda's records."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return
    if isinstance(value, dict):
        known = {key: item for key, item in value.items() if isinstance(item, str)}
        channel = known.get("channel", "").rstrip("/")
        architecture = known.get("subdir", "")
        channel = channel.removesuffix(f"/{architecture}").rpartition("/")[2] if architecture else channel
        yield from _package(
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
        yield from _package(
            "bioconductor" if "biocViews" in fields else "cran",
            fields.get("Package", ""),
            fields.get("Version", ""),
            license=fields.get("License", ""),
            supplier=fields.get("Maintainer", ""),
        )


def _package(kind: str, name: str, version: str, **more: str) -> Iterator[Package]:
    """A package, if it has a name and a version that can be ones."""
    if _NAME.fullmatch(name) and _NAME.fullmatch(version):
        fields: dict[str, Any] = {key: _line(text) for key, text in more.items()}
        yield Package(kind=kind, name=name, version=version, **fields)


def _line(text: str) -> str:
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
