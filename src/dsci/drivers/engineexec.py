"""Commands in a container that goes on: started once, asked many times, and looked at in between.

What a command prints is bounded, as is its time: there is no other way to end one than to kill its container. Whether
a container may be used again is told by the engine's own difference and counts, not by what a command says of itself.
What a command was to do is not known here.

Source: https://docs.docker.com/reference/api/engine/version/v1.45/#tag/Exec
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dsci.drivers.engineclient import quietly, talking
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
) -> Ran:
    """Run a command beside what runs in a container, at most `timeout` seconds, and keep `limit` bytes of each stream.

    A command that takes too long takes its container with it; there is no exit code then, nor where it did not start.
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
            made = api.exec_create(str(container.id), list(argv), environment=dict(environment), user=user)["Id"]
            clock = threading.Timer(timeout, end)
            clock.start()
            try:
                stdout, stderr, cut = _kept(api.exec_start(made, stream=True, demux=True), limit)
            finally:
                clock.cancel()
            code = api.exec_inspect(made)["ExitCode"]
        except APIError as error:
            reason = str(error.explanation or error)
    if late.is_set():
        code, reason = None, overdue(timeout)
    elif code and stdout.startswith(_NOT_STARTED):
        code, reason = None, stdout.decode(errors="replace").strip()
    return Ran(
        exit_code=code,
        stdout=stdout,
        stderr=stderr,
        seconds=time.monotonic() - began,
        reason=reason or (CUT if cut else ""),
    )


def overdue(timeout: float) -> str:
    """What is said of a command that was killed for its time."""
    return f"still running after {timeout:g} s, so it was killed"


def room(container: DockerContainer) -> int:
    """The bytes that a container takes beside its image: every folder in which something changed is one of them."""
    with talking():
        found = container.client.api.containers(all=True, size=True, filters={"id": container.id})  # type: ignore[union-attr]
    return int(found[0].get("SizeRw") or 0) if found else -1


def processes(container: DockerContainer) -> int:
    """How many run in it."""
    with talking():
        found = container.client.api.stats(str(container.id), stream=False, one_shot=True)  # type: ignore[union-attr]
    return int((found.get("pids_stats") or {}).get("current") or 0)


def untouched(container: DockerContainer) -> bool:
    """Whether the engine finds no difference to the image, and nothing lies in what it does not compare."""
    with talking():
        if container.client.api.diff(str(container.id)):  # type: ignore[union-attr]
            return False
    listed = execute(container, ["ls", "-A", *_UNSEEN], {}, _QUICK, 4096)
    return listed.exit_code == 0 and listed.stdout.split() == [f"{folder}:".encode() for folder in _UNSEEN]


#: Memory that looks like files, and how long it may take to look there, in seconds.
_UNSEEN, _QUICK = ("/dev/mqueue", "/dev/shm"), 30.0


def _kept(chunks: Iterator[tuple[bytes | None, bytes | None]], limit: int) -> tuple[bytes, bytes, bool]:
    """The ends of both streams, and whether anything was left out."""
    ends = (_End(limit), _End(limit))
    for pair in chunks:
        for end, chunk in zip(ends, pair, strict=True):
            if chunk:
                end.add(chunk)
    return ends[0].text(), ends[1].text(), any(end.cut for end in ends)


class _End:
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
