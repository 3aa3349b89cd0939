"""YAML read strictly into typed values, with every complaint at its line.

The text is composed into nodes, never constructed by YAML's own rules: a scalar stays the text that was written
(`1.10` is not 1.1) and becomes a number or a truth value only where the wanted type says so. Unknown keys, duplicate
keys and wrong types are collected, each with file, line, key path and the nearest valid spelling. What the settings
mean is `config`'s to know.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import inspect

from dsci.errors import ConfigError
from dsci.model.location import Location
from dsci.model.text import nearest

T = TypeVar("T")

_SIZE_LIMIT = 1024 * 1024
_DEPTH_LIMIT = 40
_NODE_LIMIT = 200_000
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def load(text: str, kind: type[T], *, file: str, hint: str, reader: type[Reader] | None = None) -> tuple[T, Location]:
    """Read YAML into `kind` (a msgspec Struct). Raises ConfigError that lists every mistake at once.

    `hint` says where the file's form is written down; `reader` reads scalars and merged keys in its own way.
    """
    node = root(text, file=file, reader=reader)
    walk = (reader or Reader)(file)
    form = _form(kind)  # type: ignore[arg-type]  # types are hashable; mypy does not see it of a variable one
    value = walk.read(node, form, ()) if node is not None else {}
    if walk.problems:
        raise ConfigError("\n".join(walk.problems), hint=hint)
    try:
        return msgspec.convert(value, kind), Location(file, walk.lines)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{file}: {error}", hint=hint) from None


def root(text: str, *, file: str, reader: type[Reader] | None = None) -> yaml.Node | None:
    """The nodes of the one document in a text; None for an empty one. Raises ConfigError."""
    if len(text) > _SIZE_LIMIT:
        raise ConfigError(f"{file}: {len(text)} characters are more than the {_SIZE_LIMIT} that dsci reads")
    try:
        return (reader or Reader).compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{file}:{line}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        # PyYAML lets the errors of chr() and int() through where an escape or a directive names absurd numbers.
        raise ConfigError(f"{file}: not valid YAML: {error}") from None


@lru_cache
def _form(kind: Hashable) -> inspect.Type:
    """What msgspec knows of a type: looked at once, for many files of the same form."""
    return inspect.type_info(kind)


class Reader:
    """One walk over the nodes beside the wanted types; problems are gathered, lines remembered."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[str] = []
        self.lines: dict[tuple[str, ...], int] = {}
        self.visited = 0

    @classmethod
    def compose(cls, text: str) -> yaml.Node | None:
        """The one document in a text. Raises yaml.YAMLError."""
        return yaml.compose(text, Loader=yaml.SafeLoader)

    def read(self, node: yaml.Node, kind: inspect.Type, path: tuple[str, ...]) -> Any:
        """The node as builtin values that fit `kind`; None and a problem where it does not."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        self.visited += 1
        if len(path) > _DEPTH_LIMIT or self.visited > _NODE_LIMIT:
            # Aliases let a small file stand for a huge one (https://en.wikipedia.org/wiki/Billion_laughs_attack).
            raise ConfigError(f"{self.file}:{node.start_mark.line + 1}: nested too deeply, or too much of it")
        match kind:
            case inspect.UnionType(types=types):
                return self._union(node, types, path)
            case inspect.StructType(fields=fields):
                return self._struct(node, {field.encode_name: field.type for field in fields}, path)
            case inspect.DictType(value_type=value_type):
                return self._mapping(node, value_type, path)
            case inspect.VarTupleType(item_type=item_type):
                if not isinstance(node, yaml.SequenceNode):
                    return self.complain(node, path, "expected a list")
                return [self.read(item, item_type, (*path, str(n))) for n, item in enumerate(node.value)]
            case inspect.LiteralType(values=values):
                return self._choice(node, [str(value) for value in values], path)
        return self.scalar(node, kind, path)

    def _union(self, node: yaml.Node, types: tuple[inspect.Type, ...], path: tuple[str, ...]) -> Any:
        if is_null(node) and any(isinstance(kind, inspect.NoneType) for kind in types):
            return None
        wanted = [kind for kind in types if not isinstance(kind, inspect.NoneType)]
        if len(wanted) == 1:
            return self.read(node, wanted[0], path)
        shapes: dict[type, tuple[type, ...]] = {
            yaml.MappingNode: (inspect.StructType, inspect.DictType),
            yaml.SequenceNode: (inspect.VarTupleType,),
            yaml.ScalarNode: (inspect.StrType, inspect.BoolType, inspect.IntType, inspect.LiteralType),
        }
        for kind in wanted:
            if isinstance(kind, shapes[type(node)]):
                return self.read(node, kind, path)
        return self.complain(node, path, f"expected {' or '.join(called(kind) for kind in wanted)}")

    def _struct(self, node: yaml.Node, fields: dict[str, inspect.Type], path: tuple[str, ...]) -> Any:
        value: dict[str, Any] = {}
        for key, item in self.pairs(node, path):
            if key in fields:
                value[key] = self.read(item, fields[key], (*path, key))
            else:
                self.complain(item, path, f"unknown key {key!r}{nearest(key, fields)}")
        return value

    def _mapping(self, node: yaml.Node, kind: inspect.Type, path: tuple[str, ...]) -> Any:
        return {key: self.read(item, kind, (*path, key)) for key, item in self.pairs(node, path)}

    def pairs(self, node: yaml.Node, path: tuple[str, ...]) -> Iterator[tuple[str, yaml.Node]]:
        """The keys of a mapping and what stands beside them."""
        if is_null(node):
            return
        if not isinstance(node, yaml.MappingNode):
            self.complain(node, path, "expected keys and values")
            return
        seen: dict[str, int] = {}
        for key_node, item in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.complain(key_node, path, "a key must be a plain word")
                continue
            key, line = key_node.value, key_node.start_mark.line + 1
            if key in seen:
                self.complain(key_node, path, f"duplicate key {key!r}, first given in line {seen[key]}")
                continue
            seen[key] = line
            self.lines[(*path, key)] = line
            yield key, item

    def _choice(self, node: yaml.Node, values: list[str], path: tuple[str, ...]) -> Any:
        if isinstance(node, yaml.ScalarNode) and node.value in values:
            return node.value
        given = node.value if isinstance(node, yaml.ScalarNode) else ""
        return self.complain(node, path, f"expected one of {', '.join(values)}{nearest(given, values)}")

    def scalar(self, node: yaml.Node, kind: inspect.Type, path: tuple[str, ...]) -> Any:
        """A scalar as the wanted type, or a complaint."""
        if isinstance(node, yaml.ScalarNode):
            text: str = node.value
            match kind:
                case inspect.StrType() if not is_null(node) and not _SURROGATE.search(text):
                    return text
                case inspect.BoolType() if text in _TRUTHS:
                    return _TRUTHS[text]
                case inspect.IntType() if _INTEGER.fullmatch(text):
                    return int(text)
        return self.complain(node, path, f"expected {called(kind)}")

    def complain(self, node: yaml.Node, path: tuple[str, ...], text: str) -> None:
        """Note a problem at a node."""
        where = ".".join(path)
        self.problems.append(f"{self.file}:{node.start_mark.line + 1}: {where + ': ' if where else ''}{text}")


def is_null(node: yaml.Node) -> bool:
    """Whether a node says nothing."""
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULLS


def called(kind: inspect.Type) -> str:
    """What a wanted type is called in a complaint."""
    match kind:
        case inspect.StrType():
            return "text"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case inspect.VarTupleType():
            return "a list"
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
    return "keys and values"
