"""What a suite of dsci's own says: a short YAML file, each check named by what it looks at.

A file is read strictly, and every mistake is told with its line before anything runs. What a check comes to is
`native`'s to know. A YAML file with a `schemaVersion` is container-structure-test's, and none of this.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

import msgspec
import yaml
from msgspec import inspect

from dsci.errors import ConfigError
from dsci.model import config, foreign, yamlfile
from dsci.model.location import Location
from dsci.model.text import nearest

HINT = "the form is in docs/suites.md; regular expressions are RE2's: https://github.com/google/re2/wiki/Syntax"
#: One text, or several.
Texts = str | tuple[str, ...]
Preset = Literal["openshift", "read-only", "offline"]


class _Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Strict, as everything that people write."""


class _Check(_Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every check may say."""

    name: str = ""
    skip: str = ""
    """Why it is not run. There is no skip without a reason."""
    retries: int = 0
    """How often it is run again after a failure. One that passes then is reported as flaky."""
    service: str = ""
    """Which service it looks at, in a suite of services."""


class Run(_Check, frozen=True, kw_only=True, tag="run"):
    """A command: a text is for the image's `sh`, a list is run as it is."""

    run: Texts
    exit: int = 0
    stdout: Texts = ()
    stdout_lacks: Texts = ()
    stderr: Texts = ()
    stderr_lacks: Texts = ()
    env: dict[str, str] = {}
    user: str = ""
    entrypoint: bool = False
    """Whether it is given to the image's entrypoint, as by `docker run`."""
    timeout: str = ""


class File(_Check, frozen=True, kw_only=True, tag="file"):
    """A path in the image."""

    file: str
    exists: bool = True
    type: Literal["", "file", "directory", "link"] = ""
    mode: str = ""
    """Octal, as chmod has it: `0755`."""
    uid: int | None = None
    gid: int | None = None
    link: str | None = None
    """Where a link leads, as it is written."""
    contains: Texts = ()
    lacks: Texts = ()
    max_size: str = ""


class Metadata(_Struct, frozen=True, kw_only=True):
    """What the image's config says. What is not named is not looked at; a value of null must not be there."""

    env: dict[str, str | None] = {}
    labels: dict[str, str | None] = {}
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    user: str | None = None
    workdir: str | None = None
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str | None = None
    healthcheck: bool | None = None


class Image(_Check, frozen=True, kw_only=True, tag="image"):
    """The image's config."""

    image: Metadata


class Http(_Check, frozen=True, kw_only=True, tag="http"):
    """A request to the started image, from outside."""

    http: str
    """The path, with its query."""
    port: int | None = None
    tls: bool = False
    """Whether it is https; whose certificate it is is not asked."""
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    send: str = ""
    """The request's body."""
    request_headers: dict[str, str] = {}
    status: int | tuple[int, ...] = 200
    headers: dict[str, str | None] = {}
    """Expressions that the answer's headers must match; null for one that must not be there."""
    body: Texts = ()
    body_lacks: Texts = ()
    follow: bool = False
    within: str = ""
    """How long it may take until the answer is as it should be; without it one answer is judged."""


class Port(_Check, frozen=True, kw_only=True, tag="port"):
    """Whether the started image can be reached at a TCP port."""

    port: int
    open: bool = True
    within: str = ""


class Log(_Check, frozen=True, kw_only=True, tag="log"):
    """What the started image has printed so far, both streams, without the colours of a terminal."""

    log: Texts = ()
    lacks: Texts = ()
    within: str = ""


class Health(_Check, frozen=True, kw_only=True, tag="health"):
    """What the started image's health check says."""

    health: Literal["healthy", "unhealthy"]
    within: str = ""


class Stop(_Check, frozen=True, kw_only=True, tag="stop"):
    """The started image is asked to stop, and must do so in time. Nothing can be checked behind it but its log."""

    stop: str
    """How long it may take."""
    exit: int | tuple[int, ...] = 0


class Restart(_Check, frozen=True, kw_only=True, tag="restart"):
    """What runs is asked to stop, and started again: what is on its disks stays."""

    restart: str
    """How long it may take to stop; then it is killed."""


class Shipped(_Check, frozen=True, kw_only=True, tag="check", rename={"excepting": "except"}):
    """A check that comes with dsci (`shipped`)."""

    check: Literal[
        "imports", "kernels", "libraries", "non-root", "no-secrets", "no-caches", "size", "init", "clean-log"
    ]
    only: tuple[str, ...] = ()
    """What is looked at: packages, kernels; all that there are, if nothing is named."""
    excepting: tuple[str, ...] = ()
    """What is not: packages, or expressions for paths and lines."""
    names: dict[str, str] = {}
    """By what packages are imported, where that cannot be told of their files."""
    grow: str = "10%"
    """How much larger than the last release the image may be."""
    max: str = ""
    """How large it may be, compressed."""
    timeout: str = ""


Check = Run | File | Image | Http | Port | Log | Health | Stop | Restart | Shipped


class Until(_Struct, frozen=True, kw_only=True):
    """When a started image is ready. All of it must hold."""

    log: Texts = ()
    port: int | None = None
    http: str | None = None
    health: Literal["", "healthy"] = ""
    file: str = ""


class Start(_Struct, frozen=True, kw_only=True):
    """The image is started as `docker run` would, and goes on while all checks look at it."""

    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    env: dict[str, str] = {}
    port: int | None = None
    """The port of every check that names none."""
    until: Until = Until()
    within: str = "60s"


class NativeFile(_Struct, frozen=True, kw_only=True):
    """The whole file."""

    presets: tuple[Preset, ...] = ()
    gpu: Literal["", "optional", "required"] = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    network: Literal["", "none"] = ""
    read_only: bool = False
    tmpfs: tuple[str, ...] = ()
    env: dict[str, str] = {}
    start: Start | None = None
    checks: tuple[Check, ...]


#: See `structurefile._SEEN`: types are looked at while no other thread does.
_SEEN = msgspec.json.Decoder(NativeFile)
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
    if problems := [*_problems(found, location, services), *_of_services(found, location, services)]:
        raise ConfigError("\n".join(problems), hint=HINT)
    return found, location


def each(texts: Texts) -> tuple[str, ...]:
    """One text as several."""
    return (texts,) if isinstance(texts, str) else texts


def _problems(found: NativeFile, location: Location, services: Collection[str] | None) -> Iterator[str]:
    """What is wrong with a file that can be read."""
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
    own = {field: getattr(check, field) for field in _Check.__struct_fields__}
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
                config.seconds(given)
            except ValueError:
                yield f"{at}: {given!r} is no duration, such as 90s, 10m or 1h"
        elif field.name in ("max_size", "max") and given:
            try:
                config.size(given)
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


def ports(found: NativeFile, exposed: Mapping[str, Any]) -> tuple[int, ...]:
    """The TCP ports at which the started image is looked at; those of checks that name none among them."""
    start = found.start or Start()
    own = {check.port for check in found.checks if isinstance(check, Http | Port) and check.port is not None}
    own |= {port for port in (start.until.port, default_port(found, exposed)) if port is not None}
    return tuple(sorted(own))


def default_port(found: NativeFile, exposed: Mapping[str, Any]) -> int | None:
    """The port of checks that name none: the suite's own, else the only one, or the lowest, that the image exposes."""
    start = found.start or Start()
    if start.port is not None:
        return start.port
    numbers = [int(port.partition("/")[0]) for port in exposed if re.fullmatch(r"[0-9]{1,5}(/tcp)?", port)]
    return min(numbers, default=None)
