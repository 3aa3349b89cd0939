"""Pins in the files of Python projects: pyproject.toml, Pipfile, and the locks of uv, Poetry, pip and Pipenv.

A lock holds everything that is installed; direct is what the project it locks names: its dependencies and its extras,
but no group for development, for those are not what an image is made of. A lock whose project is not at hand is
asked which packages no other one needs.

Sources: https://packaging.python.org/en/latest/specifications/pyproject-toml/ and
https://packaging.python.org/en/latest/specifications/pylock-toml/, https://python-poetry.org/docs/dependency-specification/,
https://docs.astral.sh/uv/concepts/projects/layout/#the-lockfile, https://pipenv.pypa.io/en/latest/pipfile.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from dsci.model.pinfiles_requirements import requirement
from dsci.model.pinfiles_shelf import Rank, Shelf, bounds, tops
from dsci.model.pins import normalised


class _Project(Struct, frozen=True, rename="kebab"):
    dependencies: list[str] = []
    optional_dependencies: dict[str, list[str]] = {}
    requires_python: str = ""


class _Poetry(Struct, frozen=True):
    dependencies: dict[str, Any] = {}


class _Tools(Struct, frozen=True):
    poetry: _Poetry = _Poetry()


class _Pyproject(Struct, frozen=True):
    project: _Project = _Project()
    tool: _Tools = _Tools()


class _Named(Struct, frozen=True):
    name: str


class _UvPackage(Struct, frozen=True, rename="kebab"):
    name: str
    version: str = ""
    source: dict[str, Any] = {}
    dependencies: list[_Named] = []
    optional_dependencies: dict[str, list[_Named]] = {}

    @property
    def needs(self) -> Iterator[str]:
        for group in (self.dependencies, *self.optional_dependencies.values()):
            yield from (_python(each.name) for each in group)


class _UvLock(Struct, frozen=True, rename="kebab"):
    package: list[_UvPackage] = []
    requires_python: str = ""


class _PoetryPackage(Struct, frozen=True):
    name: str
    version: str = ""
    dependencies: dict[str, Any] = {}
    groups: tuple[str, ...] = ("main",)
    category: str = "main"


class _PoetryMetadata(Struct, frozen=True, rename="kebab"):
    python_versions: str = ""


class _PoetryLock(Struct, frozen=True):
    package: list[_PoetryPackage] = []
    metadata: _PoetryMetadata = _PoetryMetadata()


class _PylockPackage(Struct, frozen=True):
    name: str
    version: str = ""
    dependencies: list[_Named] = []


class _Pylock(Struct, frozen=True, rename="kebab"):
    packages: list[_PylockPackage] = []
    requires_python: str = ""


class _Pipfile(Struct, frozen=True):
    packages: dict[str, Any] = {}
    requires: dict[str, str] = {}


class _PipfileMeta(Struct, frozen=True):
    requires: dict[str, str] = {}


class _PipfileLock(Struct, frozen=True, rename={"meta": "_meta"}):
    meta: _PipfileMeta = _PipfileMeta()
    default: dict[str, Any] = {}


def pyproject(shelf: Shelf, path: str) -> None:
    """Read a pyproject.toml: what PEP 621 or Poetry calls dependencies, extras among them, and `requires-python`."""
    read = shelf.toml(path, _Pyproject)
    if read is None:
        return
    for name, version in _named(read):
        if name == "python":
            shelf.add(Rank.BOUND, "python", "python", version, path)
        else:
            shelf.add(Rank.WISH, "python", name, version, path)
    _bound(shelf, read.project.requires_python, path)


def python_version(shelf: Shelf, path: str) -> None:
    """Read a `.python-version`: its first line that is not a comment."""
    lines = (line.strip() for line in shelf.text(path).splitlines())
    version = next((line for line in lines if line and not line.startswith("#")), "")
    if version:
        shelf.add(Rank.WISH, "python", "python", version.removeprefix("cpython-").removeprefix("python-"), path)


def uv_lock(shelf: Shelf, path: str) -> None:
    """Read a uv.lock: direct is what the packages of the workspace itself need."""
    lock = shelf.toml(path, _UvLock)
    if lock is None:
        return
    own = {_python(each.name): each for each in lock.package if {"editable", "virtual"} & each.source.keys()}
    needs: dict[str, set[str]] = defaultdict(set)
    for package in lock.package:
        needs[_python(package.name)].update(package.needs)
    direct = {need for package in own.values() for need in package.needs} if own else tops(needs)
    _locked(shelf, path, ((each.name, each.version) for each in lock.package), direct - own.keys())
    _bound(shelf, lock.requires_python, path)


def poetry_lock(shelf: Shelf, path: str) -> None:
    """Read a poetry.lock beside its pyproject.toml."""
    lock = shelf.toml(path, _PoetryLock)
    if lock is None:
        return
    main = [each for each in lock.package if "main" in each.groups and each.category == "main"]
    direct = _project_names(shelf, path)
    if direct is None:
        direct = tops({_python(each.name): [_python(name) for name in each.dependencies] for each in main})
    _locked(shelf, path, ((each.name, each.version) for each in main), direct)
    _bound(shelf, lock.metadata.python_versions, path)


def pylock(shelf: Shelf, path: str) -> None:
    """Read a pylock.toml or pylock.NAME.toml beside the pyproject.toml that it locks."""
    lock = shelf.toml(path, _Pylock)
    if lock is None:
        return
    direct = _project_names(shelf, path)
    if direct is None:
        needs: dict[str, set[str]] = defaultdict(set)
        for each in lock.packages:
            needs[_python(each.name)].update(_python(need.name) for need in each.dependencies)
        direct = tops(needs)
    _locked(shelf, path, ((each.name, each.version) for each in lock.packages), direct)
    _bound(shelf, lock.requires_python, path)


def pipfile(shelf: Shelf, path: str) -> None:
    """Read a Pipfile."""
    read = shelf.toml(path, _Pipfile)
    if read is None:
        return
    for name, wanted in read.packages.items():
        shelf.add(Rank.WISH, "python", name, _version(wanted), path)
    _required(shelf, read.requires, path)


def pipfile_lock(shelf: Shelf, path: str) -> None:
    """Read a Pipfile.lock beside its Pipfile; without that, all of its default packages are direct."""
    lock = shelf.json(path, _PipfileLock)
    if lock is None:
        return
    beside = shelf.beside(path, "Pipfile")
    read = shelf.toml(beside, _Pipfile) if beside in shelf.files else None
    direct = map(_python, lock.default if read is None else read.packages)
    _locked(shelf, path, ((name, _version(wanted)) for name, wanted in lock.default.items()), frozenset(direct))
    _required(shelf, lock.meta.requires, path)


def _python(name: str) -> str:
    return normalised("python", name)


def _named(read: _Pyproject) -> Iterator[tuple[str, str]]:
    """The names and versions that a project asks for."""
    for text in (
        *read.project.dependencies,
        *(one for extra in read.project.optional_dependencies.values() for one in extra),
    ):
        if (found := requirement(text)) is not None:
            yield found
    for name, wanted in read.tool.poetry.dependencies.items():
        for one in wanted if isinstance(wanted, list) else [wanted]:
            yield _python(name), _version(one)


def _project_names(shelf: Shelf, path: str) -> frozenset[str] | None:
    """What the pyproject.toml beside a lock names; None where there is none that can be read, or it names nothing."""
    beside = shelf.beside(path, "pyproject.toml")
    read = shelf.toml(beside, _Pyproject) if beside in shelf.files else None
    return frozenset(name for name, _ in _named(read)) or None if read is not None else None


def _version(wanted: object) -> str:
    """The version in an entry of Poetry's or Pipenv's: a text, or a table that has one or says what to check out."""
    if isinstance(wanted, dict):
        values = (wanted.get(key) for key in ("version", "tag", "rev", "ref"))
        wanted = next((value for value in values if isinstance(value, str)), "")
    return bounds(wanted) if isinstance(wanted, str) else ""


def _locked(shelf: Shelf, path: str, packages: Iterable[tuple[str, str]], direct: frozenset[str] | set[str]) -> None:
    for name, version in packages:
        if _python(name) in direct:
            shelf.add(Rank.LOCK, "python", name, bounds(version), path)


def _bound(shelf: Shelf, version: str, path: str) -> None:
    """Note which versions of Python would do."""
    if version:
        shelf.add(Rank.BOUND, "python", "python", bounds(version), path)


def _required(shelf: Shelf, requires: dict[str, str], path: str) -> None:
    """Pipenv's `[requires]`."""
    _bound(shelf, requires.get("python_full_version") or requires.get("python_version") or "", path)
