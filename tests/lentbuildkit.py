"""The BuildKit inside an engine, lent to whoever dials a socket or a port: what buildx calls a `remote` builder.

An engine lends its connection to BuildKit where it is asked for an upgrade (`POST /grpc`).

Source: https://github.com/moby/moby/blob/v26.1.5/api/server/router/grpc/grpc.go
"""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

_UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


class LentBuildKit:
    """A socket, or a free port of an address, behind which an engine's BuildKit is until it is closed.

    The path of a socket has to be short.
    """

    def __init__(self, where: Path | str, endpoint: str) -> None:
        self.path = where if isinstance(where, Path) else None
        self._engine = urlsplit(endpoint)
        self._open: list[socket.socket] = []
        if isinstance(where, Path):
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(where))
            self.address = f"unix://{where}"
        else:
            self._listener = socket.create_server((where, 0))
            self.address = f"tcp://{where}:{self._listener.getsockname()[1]}"
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Hang up, in the middle of whatever is going on; nobody is let in any more."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        """Give every connection that comes in one to BuildKit."""
        while True:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            theirs = self._dial()
            self._open += [ours, theirs]
            for source, target in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()

    def _dial(self) -> socket.socket:
        if self._engine.scheme == "unix":
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(self._engine.path)
        else:
            connection = socket.create_connection((self._engine.hostname, self._engine.port))
        connection.sendall(_UPGRADE)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            byte = connection.recv(1)
            assert byte, f"the engine hung up: {answer!r}"
            answer += byte
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return connection


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Carry everything over, until one side hangs up."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # One side is gone without a word (it may have left something unread): the other has to hear of it.
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
