"""Checks of dsci's own suites that look at an image without running anything, and what checks are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from dsci.model import quantities
from dsci.model.text import line
from dsci.ports import Files
from dsci.suites.finding import Finding, matched
from dsci.suites.nativeform import File, Health, Http, Image, Log, Metadata, Port, Restart, Run, Shipped, Stop, each
from dsci.suites.subject import Subject

#: How much of a file is looked at, in bytes.
_CONTENT_LIMIT = 16 * 1024 * 1024
_KINDS = {"file": "file", "directory": "directory", "link": "symlink"}


def named(check: msgspec.Struct) -> str:
    """What a check is called: by its name, else by what it looks at; behind the service that it looks at."""
    service = getattr(check, "service", "")
    return (f"{service}: " if service else "") + str(getattr(check, "name", "") or title(check))


def looked(subject: Subject, check: msgspec.Struct) -> Finding:
    """What a check comes to that looks at the image alone."""
    match check:
        case File():
            problems: Iterator[str] = file(subject.still.files(), check)
        case Image():
            problems = metadata(subject.config, check.image)
        case _:
            raise TypeError(check)  # the form has no other that is checked at rest
    return Finding(name=named(check), problems=tuple(problems))


def title(check: msgspec.Struct) -> str:
    """What a check without a name is called."""
    match check:
        case Run(run=words):
            return line(words if isinstance(words, str) else " ".join(words), 100)
        case File(file=path, exists=exists):
            return f"file {path}" if exists else f"no file {path}"
        case Image():
            return "image"
        case Http(http=path, method=method, port=port):
            return f"{method} {':' + str(port) if port else ''}{path}"
        case Port(port=number, open=is_open):
            return f"port {number} is {'open' if is_open else 'closed'}"
        case Log():
            return "log"
        case Health(health=wanted):
            return f"health: {wanted}"
        case Stop():
            return "stop"
        case Restart():
            return "restart"
        case Shipped(check=kind):
            return kind
    raise TypeError(check)  # the form has no other


def file(files: Files, check: File) -> Iterator[str]:
    """What is wrong with a path."""
    entry = files.stat(check.file)
    if entry is None:
        if check.exists:
            yield f"{check.file} is not there"
        return
    if not check.exists:
        yield f"{check.file} is there, and should not be"
        return
    if check.type and entry.kind != _KINDS[check.type]:
        yield f"{check.file} is a {entry.kind}, expected a {check.type}"
    if check.mode and entry.mode != int(check.mode, 8):
        yield f"{check.file} has mode {entry.mode:04o}, expected {int(check.mode, 8):04o}"
    for name, wanted, found in (("user", check.uid, entry.uid), ("group", check.gid, entry.gid)):
        if wanted is not None and wanted != found:
            yield f"{check.file} belongs to {name} {found}, expected {wanted}"
    if check.link is not None and (entry.kind != "symlink" or entry.link != check.link):
        yield f"{check.file} {f'leads to {entry.link}' if entry.link else 'is no link'}, expected {check.link}"
    if check.max_size and entry.size > quantities.size(check.max_size):
        yield f"{check.file} has {entry.size} bytes, expected at most {check.max_size}"
    if check.contains or check.lacks:
        content = files.read(check.file, _CONTENT_LIMIT + 1)
        if content is None:
            yield f"{check.file} is no file that can be read"
        elif len(content) > _CONTENT_LIMIT:
            yield f"{check.file} is larger than the {_CONTENT_LIMIT} bytes that are looked at"
        else:
            yield from matched(check.file, content.decode(errors="replace"), each(check.contains), each(check.lacks))


def metadata(config: Mapping[str, Any], wanted: Metadata) -> Iterator[str]:
    """What is wrong with an image's config, as the engine gives it."""
    environment = dict(str(item).split("=", 1) for item in config.get("Env") or () if "=" in str(item))
    for kind, named, found in (
        ("variable", wanted.env, environment),
        ("label", wanted.labels, config.get("Labels") or {}),
    ):
        for key, value in named.items():
            if value != found.get(key):
                said = f"is {found[key]!r}" if key in found else "is not set"
                yield f"{kind} {key} {said}, expected {'none' if value is None else repr(value)}"
    for field, words in (("Entrypoint", wanted.entrypoint), ("Cmd", wanted.cmd)):
        if words is not None and words != tuple(config.get(field) or ()):
            yield f"{field.lower()} is {list(config.get(field) or ())}, expected {list(words)}"
    for field, text in (("User", wanted.user), ("WorkingDir", wanted.workdir), ("StopSignal", wanted.stop_signal)):
        if text is not None and text != (config.get(field) or ""):
            yield f"{field.lower()} is {config.get(field) or ''!r}, expected {text!r}"
    exposed = {str(port) for port in config.get("ExposedPorts") or ()}
    for port in wanted.ports:
        if (port if "/" in port else f"{port}/tcp") not in exposed:
            yield f"port {port} is not exposed"
    for path in wanted.volumes:
        if path not in (config.get("Volumes") or {}):
            yield f"volume {path} is not declared"
    has = ((config.get("Healthcheck") or {}).get("Test") or ["NONE"])[0] != "NONE"
    if wanted.healthcheck is not None and wanted.healthcheck != has:
        yield "the image has a health check" if has else "the image has no health check"
