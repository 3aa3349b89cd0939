"""What the files of an image pin together, at one revision.

Each format has its reader (`pinfiles_requirements`, `_python`, `_conda`, `_r`, `_dockerfile`); which of them is
believed is `pinfiles_shelf`'s. No file is trusted: what cannot be read is a problem that is told, never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from dsci.model import pinfiles_conda as conda
from dsci.model import pinfiles_dockerfile as dockerfiles
from dsci.model import pinfiles_python as python
from dsci.model import pinfiles_r as r
from dsci.model import pinfiles_requirements as requirements
from dsci.model.pinfiles import kind_of
from dsci.model.pinfiles_dockerfile import Target
from dsci.model.pinfiles_shelf import Shelf
from dsci.model.pins import Pins

__all__ = ["Target", "read"]


def read(files: Mapping[str, str], *, dockerfile: str = "", target: Target | None = None) -> Pins:
    """Read what one image's files, texts by path, pin directly; `dockerfile` is the path of its Dockerfile among them.

    Of a dependency that several files name, a lock is believed before a wish, a wish before a base image, and that
    before a bound such as `requires-python`; equals that differ are joined by ` | `. Without a target the Dockerfile's
    last stage is meant, with its own defaults.
    """
    shelf = Shelf(files)
    kinds: dict[str, list[str]] = {}
    for path in sorted(files):
        kind = kind_of(path) if path != dockerfile else "dockerfile"
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
