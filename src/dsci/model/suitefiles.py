"""Which files of a folder of suites make which suite, by their names and places. What they say is not read here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dsci.model.family import Suite
from dsci.model.limits import Limits
from dsci.model.tree import Tree
from dsci.model.tree import below as inside

#: What a suite is made of, for people.
HINT = (
    "a suite is a .yaml file, test_*.py, *.ipynb, test_*.R, test_*.sh or *.bats, or a folder with a compose.yaml, "
    "committed to Git"
)
#: The folder whose test modules run on the machine that dsci runs on.
_HOST = "host"
#: Source: https://github.com/compose-spec/compose-spec/blob/main/03-compose-file.md
_COMPOSE = re.compile(r"(?:docker-)?compose\.ya?ml\Z")
_MODULE = re.compile(r"(?:test_.*|.*_test)\.py\Z")
#: What is run in one container for each kind, by the names of the files that are tests.
_INSIDE = {
    "pytest": _MODULE,
    "notebooks": re.compile(r".+\.ipynb\Z"),
    "r": re.compile(r"(?:test[-_.].*|.*[-_.]test)\.[Rr]\Z"),
    "shell": re.compile(r"(?:(?:test[-_.].*|.*[-_.]test)\.sh|.+\.bats)\Z"),
}


def below(owner: str, root: str, tree: Tree, allow: Sequence[str], limits: Limits) -> list[Suite]:
    """The suites below a folder, or the one that a file is.

    Each YAML file is one, and each folder with a compose file; of each other kind all files are one. Whatever else lies
    there is theirs to use.
    """
    files = tree.under(root)
    composed = {_folder(path) for path in files if is_compose(path)}
    services = sorted(composed - {"", root})
    rest = [path for path in files if not any(path.startswith(f"{service}/") for service in services)]
    checks = [path for path in rest if path.endswith((".yaml", ".yml")) and path.count("/") <= root.count("/") + 1]
    rest = [path for path in rest if path not in checks]
    host = [path for path in rest if path.startswith(f"{root}/{_HOST}/")]
    rest = [path for path in rest if path not in host]

    def suite(name: str, kind: str, path: str, own: Sequence[str]) -> Suite:
        return Suite(
            name=f"{owner}/{name}",
            kind=kind,
            owner=owner,
            path=path,
            files=tuple(own),
            limits=limits,
            allow=tuple(allow),
        )

    suites = [suite(_name(path).rpartition(".")[0], "structure", path, (path,)) for path in checks]
    for kind, named in _INSIDE.items():
        if found := [path for path in rest if named.match(_name(path)) and not _hidden(root, path)]:
            # A file that is named itself stands alone; in a folder everything may need everything.
            suites.append(suite(kind, kind, _folder(root) if root in found else root, rest))
    if any(map(is_module, host)):
        suites.append(suite("host", "host", f"{root}/{_HOST}", host))
    return [*suites, *(suite(_name(service), "service", service, tree.under(service)) for service in services)]


def tests(suite: Suite) -> tuple[str, ...]:
    """The files of a suite that are tests themselves, where it is one that runs in a single container."""
    named = _INSIDE[suite.kind]
    return tuple(path for path in suite.files if named.match(_name(path)) and not _hidden(suite.path, path))


def _hidden(root: str, path: str) -> bool:
    """Whether a file lies in a folder of some tool's own (`.ipynb_checkpoints`), below a folder."""
    return any(part.startswith(".") for part in (inside(root, path) or "").split("/")[:-1])


def is_module(path: str) -> bool:
    """Whether pytest takes a file for a module of tests by its name."""
    return bool(_MODULE.match(_name(path)))


def is_compose(path: str) -> bool:
    """Whether Docker Compose takes a file by its name."""
    return bool(_COMPOSE.match(_name(path)))


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
