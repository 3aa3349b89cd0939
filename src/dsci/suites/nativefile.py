"""A suite of dsci's own, read from YAML: strictly, and every mistake is told with its line before anything runs.

A YAML file with a `schemaVersion` is container-structure-test's, and none of this.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import yaml
from msgspec import inspect

from dsci.errors import ConfigError
from dsci.model import yamlfile
from dsci.model.location import Location
from dsci.model.text import nearest
from dsci.suites.nativefaults import faults
from dsci.suites.nativeform import NativeFile

HINT = "the form is in docs/suites.md; regular expressions are RE2's: https://github.com/google/re2/wiki/Syntax"


class _Reader(yamlfile.Reader):
    """A check is of the kind that one of its keys names."""

    def read(self, node: yaml.Node, kind: inspect.Type, path: tuple[str, ...]) -> Any:
        if isinstance(kind, inspect.UnionType) and all(isinstance(each, inspect.StructType) for each in kind.types):
            return self._check(node, [each for each in kind.types if isinstance(each, inspect.StructType)], path)
        return super().read(node, kind, path)

    def _check(self, node: yaml.Node, kinds: list[inspect.StructType], path: tuple[str, ...]) -> Any:
        given = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        named = {str(each.tag): each for each in kinds}
        # `port` says where, in a check that says what it asks there.
        found = [
            key for key in dict.fromkeys(map(str, given)) if key in named and (key, "http" in given) != ("port", True)
        ]
        if len(found) == 1:
            return {**(super().read(node, named[found[0]], path) or {}), "kind": found[0]}
        if found:
            return self.complain(node, path, f"one check cannot be of {' and '.join(found)}: make a check of each")
        near = next((said for word in map(str, given) if (said := nearest(word, named))), "")
        return self.complain(node, path, f"a check names what it looks at by one of {', '.join(named)}{near}")


def is_native(text: str) -> bool:
    """Whether a YAML file is a suite of dsci's own; one that is no YAML at all is nobody's."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError):
        return False
    keys = [key.value for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
    return "checks" in keys and "schemaVersion" not in keys


def parse(text: str, *, file: str) -> NativeFile:
    """Read a file. Raises ConfigError with every mistake, each at its line."""
    return located(text, file=file)[0]


def located(text: str, *, file: str, services: Collection[str] | None = None) -> tuple[NativeFile, Location]:
    """The same, and where all of it stands.

    With `services` each check looks at one of them, and how they run is said elsewhere.
    """
    found, location = yamlfile.load(text, NativeFile, file=file, hint=HINT, reader=_Reader)
    if problems := list(faults(found, location, services)):
        raise ConfigError("\n".join(problems), hint=HINT)
    return found, location
