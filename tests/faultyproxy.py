"""A proxy before a registry, through which everything streams, and in which anything can go wrong.

Rules (`faults`) say what happens to which requests; a gate may ask for tokens first. Every request is kept with its
headers and the bytes that went each way. A request in absolute form (`GET http://name/…`, as to an HTTP proxy) is
passed on like any other, so a registry can have whatever name a test wants.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.faults import FOREVER, Action, HangUpError, Pass, Pieces, Reply, ResetError, Rule, Seen
from tests.serving import pieces_of, serving

_CHUNK = 64 * 1024
#: Of one connection only, or set anew.
_HOP = frozenset({"connection", "host", "transfer-encoding", "content-length", "expect", "proxy-connection"})


class FaultyProxy:
    """Does what the first rule that matches says, and passes on everything else."""

    def __init__(self, address: str, target: str, *, gate: Callable[[Seen, bytes], Reply | None] | None = None) -> None:
        """`target` is host and port, or a socket file, such as an engine's.

        `gate` may answer a request that no rule matched, in the registry's stead; it is shown small bodies.
        """
        self.target, self.gate = target, gate
        self.rules: list[Rule] = []
        self.seen: list[Seen] = []
        self.faults: list[str] = []
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.numbers = itertools.count(1)
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server((address, 0), handler)
        self.host = f"{address}:{self._server.server_port}"

    def rule(self, method: str, path: str, action: Action, first: int = 1, last: int = 1) -> Rule:
        """One more; earlier ones win."""
        with self.lock:
            self.rules.append(Rule(method, path, action, first, last))
            return self.rules[-1]

    def fail(self, method: str, path: str, status: int) -> None:
        """From now on, and nothing else."""
        self.calm()
        self.rule(method, path, Reply(status), last=FOREVER)

    def calm(self) -> None:
        """Nothing fails from now on."""
        with self.lock:
            self.rules.clear()
            self.faults.clear()

    def requests(self, method: str = ".*", path: str = "") -> list[Seen]:
        """Those that came so far, oldest first."""
        rule = Rule(method, path, Pass(), last=FOREVER)
        return [seen for seen in list(self.seen) if rule.matches(seen)]

    def wrong(self, seen: Seen) -> Action | None:
        """What is to happen to a request, if not the usual; it is kept."""
        with self.lock:
            self.seen.append(seen)
            matching = [rule for rule in self.rules if rule.matches(seen)]
            if not matching:
                return None
            self.faults.append(f"{seen.method} {seen.path}")
            return matching[0].action

    @contextlib.contextmanager
    def serving(self) -> Iterator[FaultyProxy]:
        with serving(self._server):
            try:
                yield self
            finally:
                self.ended.set()


class _Socket(http.client.HTTPConnection):
    """To a server at a socket file."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Connections that break are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultyProxy
    seen: Seen
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    #: A client that tries TLS first must see that this is HTTP.
    default_request_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self._number = next(self.proxy.numbers)
        there = self.proxy.target
        self._upstream = _Socket(there) if there.startswith("/") else http.client.HTTPConnection(there, timeout=120)

    def finish(self) -> None:
        self._upstream.close()
        super().finish()

    def handle_one(self) -> None:
        path = self.path
        if path.startswith("http://"):
            path = "/" + path.removeprefix("http://").partition("/")[2]
        headers = dict(self.headers.items())
        self._body = pieces_of(self)
        self.seen = Seen(self.command, path, headers, int(self.headers.get("Content-Length") or 0), self._number)
        try:
            action = self.proxy.wrong(self.seen)
            if action is None and self.proxy.gate is not None:
                small = b"".join(self._incoming()) if self.command == "POST" and self.seen.size < _CHUNK else b""
                if small:
                    self._body = iter((small,))
                action = self.proxy.gate(self.seen, small)
            (action or Pass()).act(self)
        except ResetError:
            self._reset()
        except (HangUpError, OSError, http.client.HTTPException):
            self.close_connection = True
            self._upstream.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_one

    # ------------------------------------------------------------------------------------------ what actions can do

    def reply(self, status: int, headers: Mapping[str, str], body: bytes | Iterable[bytes], *, read: bool) -> None:
        if read:
            for _ in self._incoming():
                pass
        elif self._body is not None:
            self.close_connection = True
        told = dict(headers)
        if isinstance(body, bytes) and "Content-Length" not in told:
            told["Content-Length"] = str(len(body))
        self._answer(status, told, iter((body,) if isinstance(body, bytes) else body))
        if not read:
            self._linger()

    def forward(
        self,
        *,
        up: Callable[[Pieces], Pieces] = lambda pieces: pieces,
        head: Callable[[int, dict[str, str]], int] = lambda status, headers: status,
        down: Callable[[Pieces], Pieces] = lambda pieces: pieces,
    ) -> None:
        upstream = self._upstream
        upstream.putrequest(self.command, self.seen.path, skip_host=True, skip_accept_encoding=True)
        for name, text in self.seen.headers.items():
            if name.lower() not in _HOP:
                upstream.putheader(name, text)
        upstream.putheader("Host", self.headers.get("Host", self.proxy.host))
        chunked = self._body is not None and "Content-Length" not in self.headers
        if chunked:
            upstream.putheader("Transfer-Encoding", "chunked")
        elif self._body is not None:
            upstream.putheader("Content-Length", str(self.seen.size))
        upstream.endheaders()
        for piece in up(self._incoming()):
            upstream.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            upstream.send(b"0\r\n\r\n")
        answer = upstream.getresponse()
        hop = ("transfer-encoding", "connection")
        headers = {name: text for name, text in answer.getheaders() if name.lower() not in hop}
        try:
            status = head(answer.status, headers)
        except HangUpError:
            while answer.read1(_CHUNK):  # who serves it must not notice
                pass
            raise
        self._answer(status, headers, down(iter(lambda: answer.read1(_CHUNK), b"")))
        answer.close()

    def trickle(self, piece: bytes, pause: float) -> None:
        self.close_connection = True
        for byte in piece:
            self.connection.sendall(bytes([byte]))
            if self.proxy.ended.wait(pause):
                return

    def silence(self) -> None:
        self.close_connection = True
        while not self.proxy.ended.is_set():
            if select.select([self.connection], [], [], 0.05)[0] and not self.connection.recv(_CHUNK):
                return

    # --------------------------------------------------------------------------------------------------------- below

    def _incoming(self) -> Pieces:
        for piece in self._body or ():
            self.seen.up += len(piece)
            yield piece

    def _answer(self, status: int, headers: Mapping[str, str], pieces: Pieces) -> None:
        self.seen.status = status
        self.send_response_only(status)
        sized = any(name.lower() == "content-length" for name in headers)
        bodiless = self.command == "HEAD" or status in (204, 304) or status < 200
        for name, text in headers.items():
            self.send_header(name, text)
        if not sized and not bodiless:
            self.send_header("Transfer-Encoding", "chunked")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if bodiless:
            return
        for piece in pieces:
            if piece:
                self.wfile.write(piece if sized else b"%x\r\n%s\r\n" % (len(piece), piece))
                self.seen.down += len(piece)
        if not sized:
            self.wfile.write(b"0\r\n\r\n")

    def _linger(self) -> None:
        """As servers do that answered before all had come: no more is sent, and what comes is dropped for a while."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            until = time.monotonic() + 0.5
            while (left := until - time.monotonic()) > 0 and select.select([self.connection], [], [], left)[0]:
                if not self.connection.recv(_CHUNK):
                    return

    def _reset(self) -> None:
        self.close_connection = True
        self._upstream.close()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.wfile.close()
        self.connection.close()

    def log_message(self, *_: Any) -> None:
        pass
