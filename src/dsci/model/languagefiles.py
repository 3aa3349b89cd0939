"""Which languages are in an image, by what files and packages say; nothing is run, and no name is taken for a proof.

A package manager's word is taken for what it installed; else there are files that each language brings: C headers with
its version, Java's `release`, a virtual environment's `pyvenv.cfg`. CUDA and cuDNN are told like languages, because
programs are made for them in the same way.

Sources: https://docs.python.org/3/library/venv.html (pyvenv.cfg), https://docs.python.org/3/c-api/apiabiversion.html
(patchlevel.h), https://nodejs.org/api/n-api.html (node_version.h), https://openjdk.org/jeps/223 (release),
https://docs.nvidia.com/deeplearning/cudnn/ (cudnn_version.h), https://docs.nvidia.com/cuda/ (version.json),
https://docs.julialang.org/en/v1/manual/embedding/ (julia_version.h)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from dsci.model.inventory import Language, Package
from dsci.model.packagefiles import json_object

_VERSION = re.compile(r"\d{1,9}(?:\.\d{1,9}){0,4}(?:(?:a|b|rc|-alpha|-beta|-rc)\.?\d{1,9})?")
_DEFINE = re.compile(r"""^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+"?([\w.+-]+)""", re.MULTILINE)
#: Packages that are a language, by kind; the names of all others begin with none of these.
_PACKAGES: Mapping[str, tuple[tuple[re.Pattern[str], str], ...]] = {
    "deb": (
        (re.compile(r"python\d\.\d+-minimal"), "python"),
        (re.compile("nodejs"), "node"),
        (re.compile("julia"), "julia"),
        (re.compile(r"cuda-cudart-\d+-\d+"), "cuda"),
        (re.compile(r"libcudnn\d+(-cuda-\d+)?"), "cudnn"),
    ),
    "rpm": (
        (re.compile(r"python3(\.\d+)?"), "python"),
        (re.compile("nodejs"), "node"),
        (re.compile(r"cuda-cudart-\d+-\d+"), "cuda"),
        (re.compile(r"libcudnn\d+(-cuda-\d+)?"), "cudnn"),
    ),
    "apk": ((re.compile("python3"), "python"), (re.compile("nodejs(-current)?"), "node")),
    "conda": (
        (re.compile("python"), "python"),
        (re.compile("r-base"), "r"),
        (re.compile("julia"), "julia"),
        (re.compile("nodejs"), "node"),
        (re.compile("cuda-cudart|cudatoolkit"), "cuda"),
        (re.compile("cudnn"), "cudnn"),
    ),
    "pypi": (
        (re.compile(r"nvidia[-_]cuda[-_]runtime([-_]cu\d+)?"), "cuda"),
        (re.compile(r"nvidia[-_]cudnn[-_]cu\d+"), "cudnn"),
    ),
}


def of_packages(packages: Iterable[Package]) -> Iterator[Language]:
    """The languages that packages bring."""
    for package in packages:
        for pattern, name in _PACKAGES.get(package.kind, ()):
            if pattern.fullmatch(package.name):
                # Before a release candidate Debian writes a tilde; an epoch is nothing of the language's own.
                yield from _language(name, package.version.rpartition(":")[2].replace("~", ""), package.paths)
        if package.kind == "cran" and package.name == "base" and package.license.startswith("Part of R "):
            yield from _language("r", package.version, package.paths)


def settled(languages: Iterable[Language]) -> tuple[Language, ...]:
    """Each language and version once; one that is told less exactly than another (`3.12`, `3.12.4`) is left out."""
    found: dict[tuple[str, str], set[str]] = {}
    for each in languages:
        found.setdefault((each.name, each.version), set()).update(each.paths)
    return tuple(
        Language(name=name, version=version, paths=tuple(sorted(paths)))
        for (name, version), paths in sorted(found.items())
        if not any(name == other and more.startswith(f"{version}.") for other, more in found)
    )


def pyvenv(_: str, text: str) -> Iterator[Language]:
    """The Python of a virtual environment."""
    values = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in text.splitlines()[:100])}
    said = values.get("version") or values.get("version_info", "")
    yield from _language("python", said)


def python_library(path: str, _: str) -> Iterator[Language]:
    """A Python, by where its library is: as exactly as that says."""
    yield from _language("python", path.split("/")[-2].removeprefix("python"))


def python_header(_: str, text: str) -> Iterator[Language]:
    """A Python, by `patchlevel.h`."""
    yield from _language("python", _defined(text).get("PY_VERSION", ""))


def julia_header(_: str, text: str) -> Iterator[Language]:
    """A Julia, by `julia_version.h`."""
    yield from _language("julia", _defined(text).get("JULIA_VERSION_STRING", ""))


def node_header(_: str, text: str) -> Iterator[Language]:
    """A Node.js, by `node_version.h`."""
    yield from _language("node", _numbers(text, "NODE_MAJOR_VERSION", "NODE_MINOR_VERSION", "NODE_PATCH_VERSION"))


def cudnn_header(_: str, text: str) -> Iterator[Language]:
    """cuDNN, by `cudnn_version.h`."""
    yield from _language("cudnn", _numbers(text, "CUDNN_MAJOR", "CUDNN_MINOR", "CUDNN_PATCHLEVEL"))


def java_release(_: str, text: str) -> Iterator[Language]:
    """A Java, by its `release`."""
    said = re.search(r'^JAVA_VERSION="?([^"\n]{1,100})', text, re.MULTILINE)
    yield from _language("java", said[1] if said else "")


def cuda_json(_: str, text: str) -> Iterator[Language]:
    """A CUDA toolkit, by `version.json`."""
    cuda = json_object(text).get("cuda")
    yield from _language("cuda", str(cuda.get("version", "")) if isinstance(cuda, dict) else "")


def cuda_text(_: str, text: str) -> Iterator[Language]:
    """A CUDA toolkit before 11.1, by `version.txt`."""
    said = re.match(r"CUDA Version ([\d.]+)", text)
    yield from _language("cuda", said[1] if said else "")


def _language(name: str, version: str, paths: tuple[str, ...] = ()) -> Iterator[Language]:
    known = _VERSION.match(version)
    if known:
        # Java 8 and before: `1.8.0_392`.
        yield Language(name=name, version=version if name == "java" and len(version) < 50 else known[0], paths=paths)


def _defined(text: str) -> Mapping[str, str]:
    """The constants of a C header."""
    return dict(_DEFINE.findall(text))


def _numbers(text: str, *names: str) -> str:
    """A version of which each part is a constant; "" unless all are there."""
    defined = _defined(text)
    return ".".join(defined[name] for name in names) if all(name in defined for name in names) else ""
