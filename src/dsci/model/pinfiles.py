"""Which files of an image pin its dependencies, and what they pin together.

`is_pin_file` tells by its path whether a file is worth reading; `read` takes all of one image's at one revision. Each
format has its reader (`pinfiles_requirements`, `_python`, `_conda`, `_r`, `_dockerfile`); which of them is believed is
`pinfiles_shelf`'s. No file is trusted: what cannot be read is a problem that is told, never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import partial
from posixpath import basename, dirname

from dsci.model import pinfiles_conda as conda
from dsci.model import pinfiles_dockerfile as dockerfiles
from dsci.model import pinfiles_python as python
from dsci.model import pinfiles_r as r
from dsci.model import pinfiles_requirements as requirements
from dsci.model.pinfiles_dockerfile import Target
from dsci.model.pinfiles_shelf import Shelf
from dsci.model.pins import Pins

__all__ = ["Target", "is_pin_file", "read"]

#: Base names, in lower case, by what they hold; the first that matches counts.
_KINDS: tuple[tuple[str, str], ...] = (
    ("pyproject.toml", "pyproject"),
    ("uv.lock", "uv"),
    ("poetry.lock", "poetry"),
    ("pylock.toml", "pylock"),
    ("pylock.*.toml", "pylock"),
    ("pipfile", "pipfile"),
    ("pipfile.lock", "pipfile.lock"),
    (".python-version", "python-version"),
    ("renv.lock", "renv"),
    ("description", "description"),
    *((f"*conda-lock.{end}", "conda-lock") for end in ("yml", "yaml")),
    ("conda*.lock", "list"),
    ("*.env.out", "list"),
    ("*explicit*.txt", "list"),
    ("spec-file*.txt", "list"),
    ("*.env.in", "specs"),
    *((f"{name}.{end}", "environment") for end in ("yml", "yaml") for name in ("*environment*", "env", "conda")),
    *((f"{name}.{end}", "requirements") for end in ("txt", "in") for name in ("requirements*", "*requirements")),
    *((f"{name}.{end}", "constraints") for end in ("txt", "in") for name in ("constraints*", "*constraints")),
)


def is_pin_file(path: str) -> bool:
    """Whether a file of this name, or in a folder named `requirements`, may pin something."""
    return _kind(path) != ""


def read(files: Mapping[str, str], *, dockerfile: str = "", target: Target | None = None) -> Pins:
    """Read what one image's files, texts by path, pin directly; `dockerfile` is the path of its Dockerfile among them.

    Of a dependency that several files name, a lock is believed before a wish, a wish before a base image, and that
    before a bound such as `requires-python`; equals that differ are joined by ` | `. Without a target the Dockerfile's
    last stage is meant, with its own defaults.
    """
    shelf = Shelf(files)
    kinds: dict[str, list[str]] = {}
    for path in sorted(files):
        kind = _kind(path) if path != dockerfile else "dockerfile"
        if kind == "requirements" and conda.is_list(shelf.text(path)):
            kind = "list"
        kinds.setdefault(kind, []).append(path)
    environments = kinds.get("environment", [])
    readers: Mapping[str, Callable[[Shelf, str], None]] = {
        "pyproject": python.pyproject,
        "uv": python.uv_lock,
        "poetry": python.poetry_lock,
        "pylock": python.pylock,
        "pipfile": python.pipfile,
        "pipfile.lock": python.pipfile_lock,
        "python-version": python.python_version,
        "renv": r.renv_lock,
        "description": r.description,
        "conda-lock": partial(conda.conda_lock, environments=environments),
        "list": partial(conda.listed, environments=environments),
        "specs": conda.specs,
        "environment": conda.environment,
        "dockerfile": partial(dockerfiles.read, target=target or Target()),
    }
    requirements.read(shelf, kinds.get("requirements", []))
    for kind, reader in readers.items():
        for path in kinds.get(kind, []):
            reader(shelf, path)
    return shelf.pins()


def _kind(path: str) -> str:
    """What a file of this path holds; empty where nothing that matters."""
    name = basename(path).lower()
    if basename(dirname(path)).lower() == "requirements" and name.endswith((".txt", ".in")):
        return "constraints" if name.startswith("constraints") else "requirements"
    return next((kind for pattern, kind in _KINDS if fnmatchcase(name, pattern)), "")
