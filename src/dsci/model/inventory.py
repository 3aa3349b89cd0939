"""What is in an image as its own files say it: packages, languages, Jupyter's kernels and extensions, sizes of layers.

The values alone: which files tell of what is said in `inventoryfiles`, how layers hide what is below them in
`layering`. Documents are made of them in `sbom` and `inventorydocument`.
"""

from __future__ import annotations

import msgspec

from dsci.model.purl import purl


class System(msgspec.Struct, frozen=True, kw_only=True):
    """The distribution that an image is of."""

    id: str
    version: str = ""
    name: str = ""


class Package(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """An installed package."""

    kind: str
    """`apk`, `bioconductor`, `conda`, `cran`, `deb`, `pypi` or `rpm`."""
    name: str
    version: str
    """As its package manager writes it; that of rpm is `[EPOCH:]VERSION-RELEASE`."""
    architecture: str = ""
    source: str = ""
    """What it was built of. `NAME` or `NAME@VERSION` of the source package, where that differs; rpm's file of sources;
    the address that a Python package was installed from, where that was no index, `(editable)` after it if it is so."""
    license: str = ""
    """As its maintainers wrote it."""
    supplier: str = ""
    build: str = ""
    channel: str = ""
    installer: str = ""
    """What installed a Python package, where it says so: `pip`, `uv`, `conda` …"""
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
            case "rpm":
                epoch, _, version = self.version.rpartition(":")
                qualifiers = {
                    "arch": self.architecture,
                    "distro": release,
                    "epoch": epoch,
                    "upstream": self.source,
                }
                return purl("rpm", self.name, version, namespace=distribution, qualifiers=qualifiers)
            case "conda":
                qualifiers = {"build": self.build, "channel": self.channel, "subdir": self.architecture}
                return purl("conda", self.name, self.version, qualifiers=qualifiers)
            case "npm":
                scope, _, name = self.name.rpartition("/")
                return purl("npm", name, self.version, namespace=scope)
            case "bioconductor":
                return purl("generic", self.name, self.version, namespace="bioconductor")
            case _:
                return purl(self.kind, self.name, self.version)


class Language(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A language's runtime, or another one that programs are made for: CUDA."""

    name: str
    """`cuda`, `cudnn`, `java`, `julia`, `node`, `python` or `r`."""
    version: str
    paths: tuple[str, ...] = ()
    """The files that tell of it, from the root."""


class Kernel(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A kernel of Jupyter's."""

    name: str
    """What `jupyter kernelspec list` calls it."""
    display_name: str = ""
    language: str = ""
    paths: tuple[str, ...] = ()


class Extension(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """An extension of JupyterLab's that comes prebuilt."""

    name: str
    version: str = ""
    paths: tuple[str, ...] = ()


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says of a package that another file in its folder tells of."""

    installer: str = ""
    source: str = ""


Fact = System | Package | Language | Kernel | Extension | Note


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """What one layer says."""

    facts: dict[str, tuple[Fact, ...]] = msgspec.field(default_factory=dict)
    """What each file says, by its path from the root without a slash before it; nothing for one that says nothing."""
    hides: frozenset[str] = frozenset()
    """Paths below which nothing of lower layers is seen any more."""
    unread: tuple[str, ...] = ()
    """Files that tell of packages and were not read."""
    size: int = 0
    """The bytes of all files in it."""


class LayerSize(msgspec.Struct, frozen=True, kw_only=True):
    """How large a layer is."""

    digest: str
    compressed: int
    """In bytes, as it is pushed and pulled."""
    unpacked: int
    """The bytes of all files in it, those that a higher layer hides as well."""
    step: str = ""
    """What made it, as the image's history says it."""


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """What an image says that it was built on."""

    name: str
    digest: str = ""


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What is in an image."""

    packages: tuple[Package, ...] = ()
    system: System | None = None
    unread: tuple[str, ...] = ()
    """Files that tell of more packages: too large, damaged, or in a form that is not known here."""
    languages: tuple[Language, ...] = ()
    kernels: tuple[Kernel, ...] = ()
    extensions: tuple[Extension, ...] = ()
    layers: tuple[LayerSize, ...] = ()
    """The lowest one first."""
    base: Base | None = None
    """By its labels."""

    @property
    def compressed(self) -> int:
        """The bytes of all layers, as they are pushed and pulled."""
        return sum(layer.compressed for layer in self.layers)

    @property
    def unpacked(self) -> int:
        """The bytes of all files of all layers."""
        return sum(layer.unpacked for layer in self.layers)
