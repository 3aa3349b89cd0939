"""Commands in a container that goes on: started once, asked many times, and looked at in between.

What a command prints is bounded, as is its time: there is no other way to end one than to kill its container. Whether
a container may be used again is told by the engine's own difference and counts, not by what a command says of itself.
What a command was to do is not known here.

Source: https://docs.docker.com/reference/api/engine/version/v1.45/#tag/Exec
"""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dsci.drivers import enginewatch
from dsci.drivers.engineclient import quietly, talking
from dsci.model import limits
from dsci.ports import Ran

if TYPE_CHECKING:
    from docker.models.containers import Container as DockerContainer

CUT = "it printed more than is kept: only the end of its output can be looked at"
#: What a runtime says, on the command's own output, of a command that it cannot start.
_NOT_STARTED = b"OCI runtime exec failed: "


def execute(
    container: DockerContainer,
    argv: Sequence[str],
    environment: Mapping[str, str],
    timeout: float,
    limit: int,
    *,
    user: str = "",
    workdir: str | None = None,
) -> Ran:
    """Run a command beside what runs in a container, at most `timeout` seconds, and keep `limit` bytes of each stream.

    It runs as the container's own user in its own folder unless another is named. A command that takes too long takes
    its container with it; there is no exit code then, nor where it did not start.
    """
    from docker.errors import APIError

    began = time.monotonic()
    late = threading.Event()
    stdout = stderr = b""
    cut = False
    code: int | None = None
    reason = ""

    def end() -> None:
        late.set()
        quietly(container.kill)

    api = container.client.api  # type: ignore[union-attr]
    with talking():
        try:
            made = api.exec_create(
                str(container.id), list(argv), environment=dict(environment), user=user, workdir=workdir
            )["Id"]
            clock = threading.Timer(timeout, end)
            clock.start()
            try:
                stdout, stderr, cut = kept(api.exec_start(made, stream=True, demux=True), limit)
            finally:
                clock.cancel()
                clock.join()  # What was killed is not running any more then.
            code = api.exec_inspect(made)["ExitCode"]
        except APIError as error:
            reason = str(error.explanation or error)
    if late.is_set():
        code, reason = None, limits.overdue(timeout)
    elif code and stdout.startswith(_NOT_STARTED):
        code, reason = None, stdout.decode(errors="replace").strip()
    return Ran(
        exit_code=code,
        stdout=stdout,
        stderr=stderr,
        seconds=time.monotonic() - began,
        reason=reason or (CUT if cut else ""),
        limit="time" if late.is_set() else "",
    )


def room(container: DockerContainer) -> int:
    """The bytes that a container takes beside its image: every folder in which something changed is one of them."""
    api: Any = container.client.api  # type: ignore[union-attr]
    with talking():
        answer = api.get(api._url("/containers/{0}/json", container.id), params={"size": 1})
        api._raise_for_status(answer)
        return int(answer.json().get("SizeRw") or 0)


def processes(container: DockerContainer) -> int:
    """How many run in it."""
    return enginewatch.processes(container.client.api, str(container.id))  # type: ignore[union-attr]


def alone(container: DockerContainer) -> bool:
    """Whether its own process is the only one that runs in it, perhaps after a moment: a shell takes one to end."""
    deadline = time.monotonic() + _MOMENT
    while processes(container) != 1:
        if time.monotonic() > deadline:
            return False
        time.sleep(_MOMENT / 100)
    return True


#: Seconds.
_MOMENT = 1.0


def untouched(container: DockerContainer) -> bool:
    """Whether the engine finds no difference to the image, and nothing lies in what it does not compare."""
    with talking():
        if container.client.api.diff(str(container.id)):  # type: ignore[union-attr]
            return False
    listed = execute(container, ["ls", "-A", *_UNSEEN], {}, _QUICK, 4096)
    return listed.exit_code == 0 and listed.stdout.split() == [f"{folder}:".encode() for folder in _UNSEEN]


#: Memory that looks like files, and how long it may take to look there, in seconds.
_UNSEEN, _QUICK = ("/dev/mqueue", "/dev/shm"), 30.0


def logged(container: DockerContainer) -> Iterator[tuple[bytes, bytes]]:
    """What a container printed, in pieces of stdout and stderr; what a terminal shows is all stdout.

    Source: https://docs.docker.com/reference/api/engine/version/v1.45/#tag/Container/operation/ContainerAttach
    """
    api: Any = container.client.api  # type: ignore[union-attr]
    answer = api.get(api._url("/containers/{0}/logs", container.id), params={"stdout": 1, "stderr": 1}, stream=True)
    with answer:
        api._raise_for_status(answer)
        pieces = answer.iter_content(_PIECE)
        yield from ((piece, b"") for piece in pieces) if container.attrs["Config"]["Tty"] else _apart(pieces)


#: How much of a log is taken at once, and the head of each part of it: whose it is, and its length.
_PIECE, _HEAD, _STDERR = 64 * 1024, struct.Struct(">BxxxL"), 2


def _apart(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Both streams, out of the one in which they come."""
    held = b""
    for piece in pieces:
        held += piece
        parts: tuple[list[bytes], list[bytes]] = ([], [])
        at = 0
        while len(held) >= at + _HEAD.size:
            stream, size = _HEAD.unpack_from(held, at)
            end = at + _HEAD.size + size
            if len(held) < end:
                break
            parts[stream == _STDERR].append(held[at + _HEAD.size : end])
            at = end
        held = held[at:]
        yield b"".join(parts[0]), b"".join(parts[1])


def kept(chunks: Iterable[tuple[bytes | None, bytes | None]], limit: int) -> tuple[bytes, bytes, bool]:
    """The ends of both streams, and whether anything was left out."""
    ends = (Tail(limit), Tail(limit))
    for pair in chunks:
        for end, chunk in zip(ends, pair, strict=True):
            if chunk:
                end.add(chunk)
    return ends[0].text(), ends[1].text(), any(end.cut for end in ends)


class Tail:
    """The last bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self.cut = False

    def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        while self._size - len(self._chunks[0]) >= self._limit:
            self._size -= len(self._chunks.popleft())
            self.cut = True

    def text(self) -> bytes:
        whole = b"".join(self._chunks)
        self.cut = self.cut or len(whole) > self._limit
        return whole[-self._limit :]
