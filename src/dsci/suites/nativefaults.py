"""What may be wrong with a suite of dsci's own that can be read, each with its line."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

import msgspec

from dsci.model import foreign, quantities
from dsci.model.location import Location
from dsci.model.text import nearest
from dsci.suites.nativeform import (
    AnyCheck,
    File,
    Health,
    Http,
    Image,
    Log,
    NativeFile,
    Port,
    Restart,
    Run,
    Shipped,
    Stop,
    each,
)

_STARTED = (Http, Port, Log, Health, Stop, Restart)
#: What each shipped check takes beside what every check does.
_OPTIONS = {
    "imports": {"only", "excepting", "names", "timeout"},
    "kernels": {"only", "timeout"},
    "libraries": {"excepting", "timeout"},
    "non-root": set[str](),
    "no-secrets": {"excepting"},
    "no-caches": {"excepting"},
    "size": {"grow", "max"},
    "init": {"only"},
    "clean-log": {"excepting"},
}
_ANY_OPTION = set().union(*_OPTIONS.values())
_WHILE_RUNNING = ("init", "clean-log")
_BY_PATTERN = ("libraries", "no-secrets", "no-caches", "clean-log")
_PATTERNS = ("stdout", "stdout_lacks", "stderr", "stderr_lacks", "contains", "lacks", "body", "body_lacks", "log")
_TIMES = ("timeout", "within", "stop", "restart")


def faults(found: NativeFile, location: Location, services: Collection[str] | None) -> Iterator[str]:
    """Everything, by its lines; `services` are those that its checks look at, None where they look at the image."""
    yield from _of_services(found, location, services)
    if not found.checks:
        yield f"{location.at('checks')}: checks: there is none"
    if found.start is not None:
        yield from _of_fields(found.start, ("start",), location)
        yield from _of_fields(found.start.until, ("start", "until"), location)
    reached = found.network != "none" and "offline" not in found.presets
    for n, check in enumerate(found.checks):
        path = ("checks", str(n))
        where = f"{location.at(*path)}: checks.{n}"
        yield from _of_fields(check, path, location)
        if check.retries < 0:
            yield f"{where}.retries: {check.retries} is no number of times"
        if isinstance(check, Shipped):
            yield from _of_shipped(check, path, location)
        runs = isinstance(check, _STARTED) or (isinstance(check, Shipped) and check.check in _WHILE_RUNNING)
        if runs and found.start is None and services is None:
            kind = check.check if isinstance(check, Shipped) else check.__struct_config__.tag
            yield f"{where}: {kind} looks at the image while it runs: say how it is started, if only by `start: {{}}`"
        if isinstance(check, Http | Port) and not reached:
            yield f"{where}: without a network nothing reaches it from outside: ask from inside, by run"
        if isinstance(check, File) and check.mode and not re.fullmatch(r"[0-7]{3,4}", check.mode):
            yield f"{where}.mode: {check.mode!r} is no mode, such as 0755"
        if isinstance(check, File) and not check.exists and check != _absent(check):
            yield f"{where}: of a path that must not be there nothing more can be asked"
        if isinstance(check, Run) and found.start is not None and check.entrypoint:
            yield f"{where}.entrypoint: the entrypoint has run already, at the start"
        if isinstance(check, Http) and not check.http.startswith("/"):
            yield f"{where}.http: {check.http!r} is no path: it begins with /"
    stops = [n for n, check in enumerate(found.checks) if isinstance(check, Stop)]
    if not stops or services is not None:
        return
    for n, check in enumerate(found.checks[stops[0] + 1 :], stops[0] + 1):
        if not isinstance(check, Log | Image) and not (isinstance(check, Shipped) and check.check not in ("init",)):
            yield f"{location.at('checks', str(n))}: checks.{n}: it is stopped by then: only its log can be looked at"


def _of_services(found: NativeFile, location: Location, services: Collection[str] | None) -> Iterator[str]:
    """What is said of services where there are none, and what is not where there are some."""
    for n, check in enumerate(found.checks):
        where = f"{location.at('checks', str(n))}: checks.{n}"
        if services is None:
            if check.service:
                yield f"{where}.service: there are no services: put the file beside their compose.yaml"
        elif isinstance(check, Image) or (isinstance(check, Shipped) and check.check not in _WHILE_RUNNING):
            yield f"{where}: it looks at the image alone: write it in a suite of its own"
        elif check.service not in services:
            yield f"{where}.service: name one of {', '.join(sorted(services))}{nearest(check.service, services)}"
    if services is not None and found != NativeFile(checks=found.checks):
        yield f"{location.at()}: how services run is said in their compose file: here are only checks"


def _of_shipped(check: Shipped, path: tuple[str, ...], location: Location) -> Iterator[str]:
    """Options that the check does not take, and such as say nothing."""
    where = f"{location.at(*path)}: {'.'.join(path)}"
    silent = Shipped(check=check.check)
    for field in msgspec.structs.fields(check):
        other = field.name in _ANY_OPTION - _OPTIONS[check.check]
        if other and getattr(check, field.name) != getattr(silent, field.name):
            yield f"{where}.{field.encode_name}: {check.check} takes no such option"
    if not re.fullmatch(r"[0-9]{1,4}%", check.grow):
        yield f"{where}.grow: {check.grow!r} is no part of a size, such as 10%"
    for n, pattern in enumerate(check.excepting if check.check in _BY_PATTERN else ()):
        if why := _no_pattern(pattern):
            yield f"{where}.except.{n}: {pattern!r} is no regular expression: {why}"


def _absent(check: File) -> File:
    """The check that asks of a path no more than that it is not there."""
    own = {field: getattr(check, field) for field in AnyCheck.__struct_fields__}
    return File(file=check.file, exists=False, **own)


def _of_fields(value: msgspec.Struct, path: tuple[str, ...], location: Location) -> Iterator[str]:
    """Expressions and times that are none."""
    for field in msgspec.structs.fields(value):
        given, where = getattr(value, field.name), (*path, field.encode_name)
        at = f"{location.at(*where)}: {'.'.join(where)}"
        if field.name in _PATTERNS:
            for pattern in each(given):
                if why := _no_pattern(pattern):
                    yield f"{at}: {pattern!r} is no regular expression: {why}"
        elif field.name == "headers":
            for name, pattern in given.items():
                if pattern is not None and (why := _no_pattern(pattern)):
                    yield f"{at}.{name}: {pattern!r} is no regular expression: {why}"
        elif field.name in _TIMES and given:
            try:
                quantities.seconds(given)
            except ValueError:
                yield f"{at}: {given!r} is no duration, such as 90s, 10m or 1h"
        elif field.name in ("max_size", "max") and given:
            try:
                quantities.size(given)
            except ValueError:
                yield f"{at}: {given!r} is no size, such as 500MB, 1.5GB or 2GiB"
        elif field.name == "port" and given is not None and not 0 < given < 65536:
            yield f"{at}: {given} is no port"


def _no_pattern(pattern: str) -> str:
    try:
        foreign.compiled(pattern)
    except foreign.IllegalPattern as error:
        return str(error)
    return ""
