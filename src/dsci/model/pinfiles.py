"""Which files of an image pin its dependencies: told by their paths alone. What they pin is `pinfiles_read`'s."""

from __future__ import annotations

from posixpath import basename, dirname

#: Base names, in lower case, by what they hold; the first that matches counts. All that a `*` stands for ends before
#: the last point.
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
    return next((kind for parts, kind in _BY_ENDING.get(_ending(name), ()) if _fits(name, parts)), "")


def _ending(name: str) -> str:
    return name.rpartition(".")[2]


_BY_ENDING: dict[str, list[tuple[list[str], str]]] = {}
for _pattern, _kind in _KINDS:
    _BY_ENDING.setdefault(_ending(_pattern), []).append((_pattern.split("*"), _kind))


def _fits(name: str, parts: list[str]) -> bool:
    """Whether a name is what it has to be; or has these parts, one between the first and the last at most."""
    if len(parts) == 1:
        return name == parts[0]
    first, *middle, last = parts
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    inner = name[len(first) : len(name) - len(last)]
    return all(part in inner for part in middle)
