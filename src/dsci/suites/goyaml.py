"""YAML and JSON as Go programs read them into typed fields: yaml.v2's idea of numbers and truth, merged keys,
encoding/json's blindness for case.

Where what is written is no value of the wanted type the file is refused, as it is there; unknown and duplicate keys are
mistakes in YAML and none in JSON. Which fields there are is the caller's to say.

Source: https://github.com/go-yaml/yaml/blob/v2.4.0/decode.go, https://pkg.go.dev/encoding/json#Unmarshal
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml
from msgspec import inspect

from dsci.errors import ConfigError
from dsci.model.yamlfile import Reader, called, is_null

_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>[0-9]+))"
)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BASES = {"hex": 16, "bin": 2, "oct": 8, "dec": 10}
_LARGEST = 2**63 - 1


class GoReader(Reader):
    """Nodes as yaml.v2 decodes them: nothing written is the zero of every type, and any scalar is a text."""

    @classmethod
    def compose(cls, text: str) -> yaml.Node | None:
        """The first of the documents in a text; the others are not looked at."""
        loader = yaml.SafeLoader(text)
        try:
            return loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()

    def read(self, node: yaml.Node, kind: inspect.Type, path: tuple[str, ...]) -> Any:
        """A list of nothing is an empty one."""
        if isinstance(kind, inspect.VarTupleType) and is_null(node):
            return []
        return super().read(node, kind, path)

    def pairs(self, node: yaml.Node, path: tuple[str, ...]) -> Iterator[tuple[str, yaml.Node]]:
        """With what `<<` merges in."""
        if isinstance(node, yaml.MappingNode):
            try:
                node = yaml.MappingNode(node.tag, _merged(node), node.start_mark, node.end_mark)
            except _UnmergeableError as error:
                self.complain(error.node, path, "<< merges mappings, and this is none")
                return iter(())
        return super().pairs(node, path)

    def scalar(self, node: yaml.Node, kind: inspect.Type, path: tuple[str, ...]) -> Any:
        """Numbers and truth values by YAML 1.1, where they are not quoted."""
        if not isinstance(node, yaml.ScalarNode):
            return super().scalar(node, kind, path)
        text, plain = str(node.value), node.style is None or node.tag in _NUMBERS
        match kind:
            case inspect.StrType() if is_null(node):
                return ""
            case inspect.StrType():
                return _bytes(text) if node.tag == _BINARY else text
            case inspect.BoolType() if plain and text in _TRUE | _FALSE:
                return text in _TRUE
            case inspect.BoolType() if is_null(node):
                return False
            case inspect.IntType() if is_null(node):
                return 0
            case inspect.IntType() if plain and (number := _number(text)) is not None:
                return number
        return self.complain(node, path, f"expected {called(kind)}")


_BINARY = "tag:yaml.org,2002:binary"
_NUMBERS = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})


def _bytes(text: str) -> str:
    """What a scalar in base64 stands for; what is no base64 stays as it is, and is found wrong by what it says."""
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except ValueError:
        return text


class _UnmergeableError(Exception):
    """What is to be merged is no mapping."""

    def __init__(self, node: yaml.Node) -> None:
        super().__init__()
        self.node = node


def _merged(node: yaml.MappingNode) -> list[tuple[yaml.Node, yaml.Node]]:
    """The pairs of a mapping. What is merged replaces what stands before it, and is replaced by what stands behind."""
    found: list[tuple[yaml.Node, yaml.Node]] = []
    merged: set[str] = set()
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value == "<<" and key.style is None:
            others = list(reversed(value.value)) if isinstance(value, yaml.SequenceNode) else [value]
            for other in others:
                if not isinstance(other, yaml.MappingNode):
                    raise _UnmergeableError(other)
                pairs = _merged(other)
                names = {str(inner.value) for inner, _ in pairs if isinstance(inner, yaml.ScalarNode)}
                found = [*(pair for pair in found if pair[0].value not in names), *pairs]
                merged |= names
            continue
        if isinstance(key, yaml.ScalarNode) and key.value in merged:
            merged.discard(key.value)
            found = [pair for pair in found if pair[0].value != key.value]
        found.append((key, value))
    return found


def _number(text: str) -> int | None:
    """The whole number that a plain scalar is, or what is left of a broken one; None for what is no number."""
    text = text.replace("_", "")
    if found := _INTEGER.fullmatch(text):
        name, digits = next((name, found[name]) for name in _BASES if found[name] is not None)
        number = int(digits, _BASES[name]) * (-1 if found["sign"] == "-" else 1)
    elif _FLOAT.fullmatch(text) and abs(float(text)) <= _LARGEST:
        number = int(float(text))
    else:
        return None
    return number if -_LARGEST <= number <= _LARGEST else None


def from_json(text: str, form: type[msgspec.Struct], *, file: str) -> dict[str, Any]:
    """A JSON object as encoding/json decodes it into `form`, as far as names go: keys of any case, those that are not
    known dropped, and the zero of a type for null.

    Raises ConfigError for what is no JSON object.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{file}: not a JSON object")
    found = _decoded(value, inspect.type_info(form))
    assert isinstance(found, dict)
    return found


def _decoded(value: object, kind: inspect.Type) -> object:
    match kind:
        case inspect.StructType(fields=fields) if value is None or isinstance(value, dict):
            known = {field.encode_name.lower(): field for field in fields}
            named = ((known.get(key.lower()), item) for key, item in (value or {}).items())
            return {field.encode_name: _decoded(item, field.type) for field, item in named if field is not None}
        case inspect.VarTupleType(item_type=item_type) if value is None or isinstance(value, list):
            return [_decoded(item, item_type) for item in value or ()]
        case inspect.UnionType(types=types) if value is not None:
            return _decoded(value, next(each for each in types if not isinstance(each, inspect.NoneType)))
    zeros: dict[type[inspect.Type], object] = {inspect.StrType: "", inspect.IntType: 0, inspect.BoolType: False}
    return zeros.get(type(kind)) if value is None else value


class JsonKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Where the keys of a JSON object stand, by their paths with names as the wanted form has them."""

    lines: dict[tuple[str, ...], int] = msgspec.field(default_factory=dict)
    unknown: list[tuple[str, ...]] = msgspec.field(default_factory=list)
    """Keys that the form has not: encoding/json passes them over."""
    repeated: list[tuple[str, ...]] = msgspec.field(default_factory=list)
    """Keys that are given again."""


def json_keys(text: str, form: type[msgspec.Struct]) -> JsonKeys:
    """The keys of a JSON object beside those of `form`; none of a text that YAML, which tells lines, cannot read."""
    found = JsonKeys()
    try:
        # Tabs are no blanks in YAML, and are nothing else in JSON.
        root = yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError):
        return found
    if root is not None:
        _note_keys(found, root, inspect.type_info(form), ())
    return found


def _note_keys(found: JsonKeys, node: yaml.Node, kind: inspect.Type, path: tuple[str, ...]) -> None:
    found.lines.setdefault(path, node.start_mark.line + 1)
    match kind:
        case inspect.StructType(fields=fields) if isinstance(node, yaml.MappingNode):
            known = {field.encode_name.lower(): field for field in fields}
            for key, item in node.value:
                field = known.get(str(key.value).lower())
                here = (*path, field.encode_name if field else str(key.value))
                if here in found.lines:  # The later one counts, with all that is in it.
                    found.repeated.append(here)
                    for inner in [each for each in found.lines if each[: len(here)] == here]:
                        del found.lines[inner]
                found.lines[here] = key.start_mark.line + 1
                if field is None:
                    found.unknown.append(here)
                else:
                    _note_keys(found, item, field.type, here)
        case inspect.VarTupleType(item_type=item_type) if isinstance(node, yaml.SequenceNode):
            for n, item in enumerate(node.value):
                _note_keys(found, item, item_type, (*path, str(n)))
        case inspect.UnionType(types=types):
            for each in types:
                if not isinstance(each, inspect.NoneType):
                    _note_keys(found, node, each, path)
