"""The form of a suite of dsci's own: which checks there are, and what each may ask.

How a file is read is for `nativefile` to say, what may be wrong with one for `nativefaults`, what a check comes to for
`native`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

#: One text, or several.
Texts = str | tuple[str, ...]
Preset = Literal["openshift", "read-only", "offline"]


class _Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Strict, as everything that people write."""


class AnyCheck(_Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every check may say."""

    name: str = ""
    skip: str = ""
    """Why it is not run. There is no skip without a reason."""
    retries: int = 0
    """How often it is run again after a failure. One that passes then is reported as flaky."""
    service: str = ""
    """Which service it looks at, in a suite of services."""


class Run(AnyCheck, frozen=True, kw_only=True, tag="run"):
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


class File(AnyCheck, frozen=True, kw_only=True, tag="file"):
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


class Image(AnyCheck, frozen=True, kw_only=True, tag="image"):
    """The image's config."""

    image: Metadata


class Http(AnyCheck, frozen=True, kw_only=True, tag="http"):
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


class Port(AnyCheck, frozen=True, kw_only=True, tag="port"):
    """Whether the started image can be reached at a TCP port."""

    port: int
    open: bool = True
    within: str = ""


class Log(AnyCheck, frozen=True, kw_only=True, tag="log"):
    """What the started image has printed so far, both streams, without the colours of a terminal."""

    log: Texts = ()
    lacks: Texts = ()
    within: str = ""


class Health(AnyCheck, frozen=True, kw_only=True, tag="health"):
    """What the started image's health check says."""

    health: Literal["healthy", "unhealthy"]
    within: str = ""


class Stop(AnyCheck, frozen=True, kw_only=True, tag="stop"):
    """The started image is asked to stop, and must do so in time. Nothing can be checked behind it but its log."""

    stop: str
    """How long it may take."""
    exit: int | tuple[int, ...] = 0


class Restart(AnyCheck, frozen=True, kw_only=True, tag="restart"):
    """What runs is asked to stop, and started again: what is on its disks stays."""

    restart: str
    """How long it may take to stop; then it is killed."""


class Shipped(AnyCheck, frozen=True, kw_only=True, tag="check", rename={"excepting": "except"}):
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


def each(texts: Texts) -> tuple[str, ...]:
    """One text as several."""
    return (texts,) if isinstance(texts, str) else texts


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


#: See `structurefile._SEEN`: types are looked at while no other thread does.
_SEEN = msgspec.json.Decoder(NativeFile)
