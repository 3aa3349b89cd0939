"""Pins in conda's files: environments, their locks, and lists of what is installed.

Direct is what an environment file names, or a list of specs such as `cpu.env.in`. Its lock, a `conda-lock.yml` or a
list of package URLs, tells the versions; where nothing beside a lock names them, direct is what no other package needs,
and of a list every entry.

Sources: https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html (environments and
explicit lists), https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/pkg-search.html (specs),
https://conda.github.io/conda-lock/output/ (locks)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from posixpath import dirname
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from dsci.model.pinfiles_requirements import requirement
from dsci.model.pinfiles_shelf import Rank, Shelf, bounds, tops
from dsci.model.pins import Key, normalised

_DEPTH_LIMIT = 20
#: Nearly everything needs them, and nobody has them for that reason alone.
_LANGUAGES = (("conda", "python"), ("conda", "r-base"))
#: What PyYAML has for a file as large as a lock: libyaml, wherever it is built with it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_SPEC = re.compile(r"(?:[^\s\[\]=<>!~]*::)?([A-Za-z0-9_][A-Za-z0-9_.-]*)\s*(.*)")
_BRACKET = re.compile(r"""\bversion\s*=\s*(?:'([^']*)'|"([^"]*)"|([^\s,\]]+))""")
_PACKAGE = re.compile(r"\S*/([^/\s]+)-([^-/\s]+)-[^-/\s]+\.(?:conda|tar\.bz2)(?:#\S*)?")
_EXPORTED = re.compile(r"([A-Za-z0-9_.-]+)=([^=\s]+)=([^=\s]+)")
_LIST = re.compile(r"^(?:@EXPLICIT\s*|# \$ conda create --name <env> --file <this file>\s*)$", re.MULTILINE)


class _LockMetadata(Struct, frozen=True):
    sources: list[str] = []


class _LockPackage(Struct, frozen=True):
    name: str
    version: str
    manager: str = "conda"
    platform: str = ""
    dependencies: dict[str, Any] = {}

    @property
    def key(self) -> Key:
        ecosystem = "python" if self.manager == "pip" else "conda"
        return ecosystem, normalised(ecosystem, self.name)


class _Lock(Struct, frozen=True):
    package: list[_LockPackage] = []
    metadata: _LockMetadata = _LockMetadata()


def environment(shelf: Shelf, path: str) -> None:
    """Read an environment file; a file of that name which is something else has nothing to say."""
    for ecosystem, name, version in _environment(shelf, path):
        shelf.add(Rank.WISH, ecosystem, name, version, path)


def conda_lock(shelf: Shelf, path: str, environments: Iterable[str]) -> None:
    """Read a conda-lock.yml. Its platforms rarely differ in versions; Linux on x86-64 speaks for those that do."""
    try:
        lock = msgspec.convert(_yaml(shelf, path), _Lock)
    except msgspec.ValidationError as error:
        shelf.problem(path, f"not valid: {error}")
        return
    sources = [shelf.beside(path, source) for source in lock.metadata.sources]
    named = [source for source in sources if source in shelf.files] or _beside(path, environments)
    direct = {
        (ecosystem, normalised(ecosystem, name)) for file in named for ecosystem, name, _ in _environment(shelf, file)
    }
    first: dict[Key, _LockPackage] = {}
    for package in sorted(lock.package, key=lambda each: (each.platform != "linux-64", each.platform)):
        first.setdefault(package.key, package)
    if not direct:
        needs = {key[1]: [normalised(key[0], need) for need in each.dependencies] for key, each in first.items()}
        wanted = tops(needs)
        direct = {key for key in first if key[1] in wanted or key in _LANGUAGES}
    for key, package in first.items():
        if key in direct:
            shelf.add(Rank.LOCK, key[0], package.name, package.version, path)


def is_list(text: str) -> bool:
    """Whether a text lists packages as `conda list --explicit` or `--export` does, whatever its file is called."""
    return _LIST.search(text) is not None


def listed(shelf: Shelf, path: str, environments: Iterable[str]) -> None:
    """Read a list of installed packages: URLs, or `name=version=build`."""
    specs = f"{path.removesuffix('.out')}.in"
    named: set[str] = set()
    if path.endswith(".env.out") and specs in shelf.files:
        named = {name.lower() for name, _ in _specs(shelf, specs)}
    for file in [] if named else _beside(path, environments):
        named |= {name.lower() for _, name, _ in _environment(shelf, file)}
    for line in shelf.text(path).splitlines():
        if found := _PACKAGE.fullmatch(line.strip()):
            name, version, ecosystem = found[1], found[2], "conda"
        elif found := _EXPORTED.fullmatch(line.strip()):
            name, version, ecosystem = found[1], found[2], "python" if found[3].startswith("pypi") else "conda"
        else:
            continue
        if not named or name.lower() in named:
            shelf.add(Rank.LOCK, ecosystem, name, version, path)


def specs(shelf: Shelf, path: str) -> None:
    """Read a list of specs."""
    for name, version in _specs(shelf, path):
        shelf.add(Rank.WISH, "conda", name, version, path)


def spec(text: str) -> tuple[str, str] | None:
    """The name and the version in a spec such as `conda-forge::numpy=1.26=*_0`, `numpy >=1,<2` or a package's URL."""
    if found := _PACKAGE.fullmatch(text.strip()):
        return found[1], found[2]
    found = _SPEC.fullmatch(text.strip())
    if found is None:
        return None
    name, rest = found[1], found[2]
    head, bracket, inside = rest.partition("[")
    if bracket and (version := _BRACKET.search(inside)):
        return name, bounds(version[1] or version[2] or version[3] or "")
    head = head.strip()
    if head.startswith("=") and not head.startswith("=="):
        head = head[1:].strip().partition("=")[0]
    elif head[:1] not in tuple("=<>!~"):
        head = head.partition(" ")[0]
    return name, bounds(head)


def _specs(shelf: Shelf, path: str) -> Iterator[tuple[str, str]]:
    for line in shelf.text(path).splitlines():
        if (found := spec(line.partition("#")[0])) is not None:
            yield found


def _environment(shelf: Shelf, path: str) -> Iterator[tuple[str, str, str]]:
    """Ecosystem, name and version of everything that an environment file names."""
    read = _yaml(shelf, path)
    dependencies = read.get("dependencies") if isinstance(read, dict) else None
    for item in dependencies if isinstance(dependencies, list) else []:
        if isinstance(item, str) and (found := spec(item)) is not None:
            yield "conda", *found
        pip = item.get("pip") if isinstance(item, dict) else None
        for line in pip if isinstance(pip, list) else []:
            if isinstance(line, str) and (found := requirement(line.partition(" #")[0])) is not None:
                yield "python", *found


def _beside(path: str, environments: Iterable[str]) -> list[str]:
    """The environment files in the folder of this file."""
    return [each for each in environments if dirname(each) == dirname(path)]


def _yaml(shelf: Shelf, path: str) -> Any:
    """A YAML file as lists, mappings and the text of its scalars; None, and a problem, where it is none.

    It is built from events, without recursion, tags, merge keys or aliases: a small file cannot stand for a huge one.
    """
    root: list[Any] = []
    stack: list[tuple[Any, list[str]]] = [(root, [])]
    why = ""
    try:
        for event in yaml.parse(shelf.text(path), Loader=_LOADER):
            match event:
                case yaml.AliasEvent():
                    why = "YAML aliases are not followed here"
                case yaml.ScalarEvent(value=value):
                    _put(stack[-1], value)
                case yaml.CollectionStartEvent():
                    new: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
                    if len(stack) > _DEPTH_LIMIT or not _put(stack[-1], new):
                        why = "nested too deeply, or a key that is no plain word"
                    stack.append((new, []))
                case yaml.CollectionEndEvent():
                    stack.pop()
            if why:
                break
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        why = f"not valid YAML: {error}"
    if why:
        shelf.problem(path, why)
    return root[0] if root and not why else None


def _put(place: tuple[Any, list[str]], value: Any) -> bool:
    """Put a value into a list, or into a mapping as a key and then as what stands under it; False for a bad key."""
    container, keys = place
    if isinstance(container, list):
        container.append(value)
    elif keys:
        container[keys.pop()] = value
    elif isinstance(value, str):
        keys.append(value)
    else:
        return False
    return True
