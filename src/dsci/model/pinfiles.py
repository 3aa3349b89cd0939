"""Which files of an image pin its dependencies: told by their paths alone. What they pin is `pinfiles_read`'s."""

from __future__ import annotations

from fnmatch import fnmatchcase
from posixpath import basename, dirname

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
    return kind_of(path) != ""


def kind_of(path: str) -> str:
    """What a file of this path holds; empty where nothing that matters."""
    name = basename(path).lower()
    if basename(dirname(path)).lower() == "requirements" and name.endswith((".txt", ".in")):
        return "constraints" if name.startswith("constraints") else "requirements"
    return next((kind for pattern, kind in _KINDS if fnmatchcase(name, pattern)), "")
