"""The engine that the tests run against, by the docker command: images to play with, and looks at what is left."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from dsci.drivers.runs import LABEL
from dsci.model.oci import Platform
from dsci.model.reference import Reference

#: What `platform=` is on the machine that runs the tests.
NATIVE = Platform.parse(f"linux/{os.uname().machine}")

Content = str | bytes | tarfile.TarInfo


class Script(str):
    """Text that goes into a tar with mode 755."""


def docker(*arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> str:
    """Run the docker command; a failing one fails the test."""
    ended = subprocess.run(
        ["docker", *arguments], input=stdin, capture_output=True, check=False, env={**os.environ, **(environment or {})}
    )
    assert ended.returncode == 0, f"docker {arguments}: {ended.stderr.decode(errors='replace')}"
    return ended.stdout.decode(errors="replace").strip()


def context(dockerfile: str, files: Mapping[str, Content] | None = None) -> Callable[[BinaryIO], None]:
    """Writes a build context as a tar; a TarInfo stands for a folder, a link or an odd mode."""

    def write(stream: BinaryIO) -> None:
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            _fill(archive, {"Dockerfile": dockerfile, **(files or {})})

    return write


def _fill(archive: tarfile.TarFile, files: Mapping[str, Content]) -> None:
    for name, content in files.items():
        if isinstance(content, tarfile.TarInfo):
            content.name = name
            archive.addfile(content)
            continue
        data = content.encode() if isinstance(content, str) else content
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), 0o755 if isinstance(content, Script) else 0o644
        archive.addfile(info, io.BytesIO(data))


def build(dockerfile: str, files: Mapping[str, Content] | None = None) -> Reference:
    """Build an image under a name of its own."""
    name = Reference.parse(f"dsci-test.local/{secrets.token_hex(6)}:x")
    tar = io.BytesIO()
    context(dockerfile, files)(tar)
    docker("buildx", "build", "--quiet", "--provenance=false", "--tag", str(name), "--load", "-", stdin=tar.getvalue())
    return name


@contextlib.contextmanager
def image(dockerfile: str, files: Mapping[str, Content] | None = None) -> Iterator[Reference]:
    """An image for a while."""
    name = build(dockerfile, files)
    try:
        yield name
    finally:
        docker("image", "rm", "--force", str(name))


def containers(label: str) -> set[str]:
    """The ids of the containers with this label, running or not."""
    return set(docker("ps", "--all", "--no-trunc", "--quiet", "--filter", f"label={label}").split())


def volumes(label: str) -> set[str]:
    """The names of the volumes with this label."""
    return set(docker("volume", "ls", "--quiet", "--filter", f"label={label}").split())


def networks(label: str) -> set[str]:
    """The ids of the networks with this label."""
    return set(docker("network", "ls", "--quiet", "--filter", f"label={label}").split())


def of_runs() -> set[str]:
    """Containers and volumes that runs of dsci made, anybody's."""
    return containers(LABEL) | volumes(LABEL)


def gone(left: set[str]) -> None:
    """Of these containers and volumes none stays: other runs of dsci on this engine are given the time to end."""
    for _ in range(100):
        left &= of_runs()
        if not left:
            return
        time.sleep(0.2)
    raise AssertionError(f"left in the engine: {left}")


def tar_of(files: Mapping[str, Content]) -> bytes:
    """A tar in memory."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        _fill(archive, files)
    return content.getvalue()


def folder(mode: int = 0o755) -> tarfile.TarInfo:
    """A folder for a tar."""
    info = tarfile.TarInfo()
    info.type, info.mode = tarfile.DIRTYPE, mode
    return info


def processes(text: str) -> list[str]:
    """The command lines of living processes that name this text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if text in line and path.parent.name != str(os.getpid()):
                found.append(line)
    return found
