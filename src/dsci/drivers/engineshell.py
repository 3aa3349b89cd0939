"""Commands one after another in one shell that goes on in a container, which spares each the start of a process by the
engine.

The shell gives each command the environment that the engine gave it, an empty input, and nothing else of its own.
What a shell shows otherwise than the engine would (a command that is not there, one that a signal ended) is not told:
there is no exit code then, and the command is to be run the engine's way. How long one may take, and what becomes of
the container where one takes too long, is the same as there.

Source of the frames: https://docs.docker.com/reference/api/engine/version/v1.45/#tag/Container/operation/ContainerAttach
"""

from __future__ import annotations

import contextlib
import secrets
import shlex
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dsci.drivers.engineclient import quietly, talking
from dsci.drivers.engineexec import CUT, Tail
from dsci.model import limits
from dsci.ports import Limit, Ran

if TYPE_CHECKING:
    from docker.models.containers import Container as DockerContainer

#: Exit codes from here on a shell uses for what it has to say itself: 126, 127, and 128 with a signal's number.
#: Source: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_08_02
_ITS_OWN = 126
_FRAME = struct.Struct(">BxxxI")
#: Prints what the engine gave the shell as its environment, if commands can be given the same.
_ENVIRONMENT = "command -v env >/dev/null && cat /proc/$$/environ"
#: Seconds that the shell may take to come up.
_PATIENCE = 20.0


class ShellGoneError(Exception):
    """The shell cannot be used (any more)."""


class Shell:
    """A shell in a container. Raises ShellGoneError where the container has none that serves."""

    def __init__(self, container: DockerContainer) -> None:
        self._container = container
        self._nonce = secrets.token_hex(16)
        self._buffer = b""
        api = container.client.api  # type: ignore[union-attr]
        with talking():
            made = api.exec_create(str(container.id), ["sh"], stdin=True)["Id"]
            self._socket = _plain(api.exec_start(made, socket=True))
        printed, _, told = self._ask(_ENVIRONMENT, _PATIENCE, 1 << 20)
        code, self._processes = told or (1, 0)
        self._environment = [each for each in printed.text().decode(errors="surrogateescape").split("\0") if each]
        self.quiet = True
        """Whether nothing runs in the container but what ran when the shell was made."""
        if code:
            self.close()
            raise ShellGoneError

    def close(self) -> None:
        """End the shell."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def run(self, argv: Sequence[str], environment: Mapping[str, str], timeout: float, limit: int) -> Ran:
        """Run a command and keep `limit` bytes of each stream.

        A command that takes too long takes its container with it; there is no exit code then, nor where the shell
        cannot tell what the engine would say.
        """
        began = time.monotonic()
        variables = [*self._environment, *(f"{name}={value}" for name, value in environment.items())]
        try:
            line = f"( exec env -i {shlex.join([*variables, *argv])} ) </dev/null"
            stdout, stderr, told = self._ask(line, timeout, limit)
        except ShellGoneError:
            self.quiet = False
            return _ran(began, Tail(0), Tail(0), None, "it ended the shell that it ran in")
        if told is None:
            self.close()  # The engine waits ten seconds for somebody to read what it still prints.
            quietly(self._container.kill)
            return _ran(began, stdout, stderr, None, limits.overdue(timeout), limit="time")
        code, processes = told
        self.quiet = processes == self._processes
        if code >= _ITS_OWN:
            return _ran(began, stdout, stderr, None, f"the shell that it ran in says {code}")
        return _ran(began, stdout, stderr, code, "")

    def _ask(self, line: str, timeout: float, limit: int) -> tuple[Tail, Tail, tuple[int, int] | None]:
        """Have the shell run a line; gives both streams' ends, its exit code and how many processes there are then.

        The last two are None where the time was over. Raises ShellGoneError.
        """
        count = "code=$?; set -- /proc/[0-9]*"
        end = f"printf '\\n%s %d %d\\n' {self._nonce} $code $#; printf '\\n%s 0 0\\n' {self._nonce} >&2\n"
        deadline = time.monotonic() + timeout
        stdout, stderr = streams = _Stream(self._nonce, limit), _Stream(self._nonce, limit)
        try:
            self._socket.settimeout(timeout)
            self._socket.sendall(f"{line}; {count}; {end}".encode(errors="surrogateescape"))
            while not (stdout.told and stderr.told):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self._socket.settimeout(left)
                kind, content = self._frame()
                if kind in (1, 2):
                    streams[kind - 1].add(content)
        except TimeoutError:
            stdout.end()
            stderr.end()
            return stdout.tail, stderr.tail, None
        except OSError:
            raise ShellGoneError from None
        return stdout.tail, stderr.tail, stdout.told

    def _frame(self) -> tuple[int, bytes]:
        kind, size = _FRAME.unpack(self._read(_FRAME.size))
        return kind, self._read(size)

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            more = self._socket.recv(65536)
            if not more:
                raise ShellGoneError
            self._buffer += more
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found


def _ran(began: float, stdout: Tail, stderr: Tail, code: int | None, reason: str, limit: Limit = "") -> Ran:
    texts = stdout.text(), stderr.text()
    return Ran(
        exit_code=code,
        stdout=texts[0],
        stderr=texts[1],
        seconds=time.monotonic() - began,
        reason=reason or (CUT if stdout.cut or stderr.cut else ""),
        limit=limit,
    )


class _Stream:
    """One of a command's streams, up to the mark behind it."""

    def __init__(self, nonce: str, limit: int) -> None:
        self._mark = f"\n{nonce}".encode()
        self._rest = b""
        self.tail = Tail(limit)
        self.told: tuple[int, int] | None = None
        """What the mark says, once it is there."""

    def add(self, content: bytes) -> None:
        self._rest += content
        before, mark, after = self._rest.partition(self._mark)
        if mark and after.endswith(b"\n"):
            self.tail.add(before)
            code, count = after.split()
            self.told = int(code), int(count)
        elif not mark and len(self._rest) > len(self._mark):
            # All but what may be the beginning of the mark.
            cut = len(self._rest) - len(self._mark)
            self.tail.add(self._rest[:cut])
            self._rest = self._rest[cut:]

    def end(self) -> None:
        """No more comes: what might have begun the mark is the command's own."""
        if self.told is None:
            self.tail.add(self._rest)
            self._rest = b""


def _plain(made: object) -> socket.socket:
    """The socket below what docker-py gives. Raises ShellGoneError where there is none, as through SSH."""
    found = getattr(made, "_sock", made)
    if not isinstance(found, socket.socket):
        raise ShellGoneError
    return found
