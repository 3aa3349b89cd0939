"""How a rebuilt image differs from the released one: fields of the config, layers, files, each with a likely cause.

Configs are compared as JSON, layers by the comparisons that `layer` makes; this puts them together in words and as a
document. Values of the environment are never shown: `docker inspect` is for whoever may see them.

Source: https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from dsci.model.causes import Cause, cause_of
from dsci.model.layer import Comparison, Sample
from dsci.model.oci import OciError
from dsci.model.text import line

#: How many files of a layer are told one by one.
FILES = 200

_WIDTH = 200
_STEP = 80
_SHELL = re.compile(r" (?:-[a-z]+ )*-[a-z]*c ")
_CREATED = Cause(
    name="time",
    why="the image says when it was made",
    fix="build with SOURCE_DATE_EPOCH, as dsci does: was the released image built by something else?",
)
_SETTINGS = Cause(
    name="setting",
    why="the builder, a build argument or a label says something else than at the time of the release",
    fix="give the same --registry as for the release, and compare `docker inspect` of both",
)


class FileDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A path of a layer that is not the same."""

    path: str
    how: str
    """`added`, `removed` or `changed`, seen from the released image."""
    fields: tuple[str, ...] = ()
    """What of it differs: `content`, `mode`, `mtime`, `owner`, `link`, `xattrs` …"""
    cause: str = ""


class CauseNote(msgspec.Struct, frozen=True, kw_only=True):
    """A likely cause, and how it is mended."""

    name: str
    why: str
    fix: str
    files: int
    """How many of the files that are told have it."""


class LayerDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A layer that is not the same."""

    number: int
    """Counted from 1, the lowest layer."""
    step: str
    """The Dockerfile step that made it, as the config's history has it."""
    files: tuple[FileDifference, ...] = ()
    total: int = 0
    """How many files differ; the first of them are told one by one."""
    order: bool = False
    """Whether the same entries stand in another order."""
    note: str = ""
    """What there is to say where no file tells it."""
    causes: tuple[CauseNote, ...] = ()


class ConfigDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the config that is not the same."""

    field: str
    cause: str
    why: str
    fix: str


def layer_difference(
    number: int, step: str, found: Comparison, old: Mapping[str, Sample], new: Mapping[str, Sample]
) -> LayerDifference:
    """What differs of one layer; `old` and `new` hold samples of the first FILES paths of the comparison."""
    how = {**dict.fromkeys(found.added, "added"), **dict.fromkeys(found.removed, "removed")}
    files: list[FileDifference] = []
    causes: dict[Cause, int] = {}
    for path in sorted(found.paths)[:FILES]:
        before, after = old.get(path), new.get(path)
        fields = before.entry.differs_in(after.entry) if before and after else ()
        cause = cause_of(path, fields, _head(before), _head(after))
        if cause is not None:
            causes[cause] = causes.get(cause, 0) + 1
        files.append(
            FileDifference(
                path=line(path, _WIDTH),
                how=how.get(path, "changed"),
                fields=fields,
                cause=cause.name if cause else "",
            )
        )
    note = "" if files or found.order else "the same entries: only how the tar writes them, or compresses them, differs"
    return LayerDifference(
        number=number,
        step=step,
        files=tuple(files),
        total=len(found.paths),
        order=found.order,
        note=note,
        causes=tuple(
            CauseNote(name=cause.name, why=cause.why, fix=cause.fix, files=count)
            for cause, count in sorted(causes.items(), key=lambda item: -item[1])
        ),
    )


def _head(sample: Sample | None) -> bytes | None:
    return sample.head if sample and sample.entry.kind == "file" else None


def config_differences(old: bytes, new: bytes) -> tuple[ConfigDifference, ...]:
    """The fields of two configs that differ, but for the layers' digests. Raises OciError for what is no config."""
    before, after = dict(_fields("", _config(old))), dict(_fields("", _config(new)))
    names = sorted(name for name in {**before, **after} if before.get(name) != after.get(name))
    return tuple(_told(name) for name in names)


def _told(name: str) -> ConfigDifference:
    cause = _CREATED if name.rpartition(".")[2] == "created" else _SETTINGS
    return ConfigDifference(field=line(name, _WIDTH), cause=cause.name, why=cause.why, fix=cause.fix)


def _fields(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The leaves of a config by dotted names; variables of the environment and labels by their own names."""
    if prefix == "rootfs.diff_ids":
        return
    if prefix == "config.Env" and isinstance(value, list):
        for text in value:
            name, _, content = str(text).partition("=")
            yield f"{prefix}.{name}", content
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _fields(f"{prefix}.{key}" if prefix else str(key), inner)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for n, inner in enumerate(value):
            yield from _fields(f"{prefix}.{n}", inner)
    else:
        yield prefix, value


def steps(config: bytes) -> Sequence[str]:
    """The Dockerfile step of each layer, lowest first, as far as the config's history tells. Raises OciError."""
    history = _config(config).get("history")
    rows = [row for row in history if isinstance(row, dict)] if isinstance(history, list) else []
    return [_step(str(row.get("created_by", ""))) for row in rows if not row.get("empty_layer")]


def _step(text: str) -> str:
    """A step for people: without the build arguments, whose values are nobody's business, and the shell."""
    text = text.removesuffix(" # buildkit")
    if text.startswith("RUN "):
        command = _SHELL.split(text, maxsplit=1)
        text = f"RUN {command[1]}" if len(command) == 2 else text if not text.startswith("RUN |") else "RUN"
    return line(text, _STEP)


def _config(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise OciError(f"an image's config that is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise OciError("an image's config must be an object")
    return value
