"""A proxy before a registry that answers some requests itself, with an error: a registry that breaks in the middle."""

from __future__ import annotations

import contextlib
import http.client
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.serving import body_of, serving


class FaultyProxy:
    """Answers with `status` what matches `method` and `path`, and passes on everything else."""

    def __init__(self, address: str, target: str) -> None:
        self.target = target
        self.method, self.path, self.status = "", "", 500
        self.faults: list[str] = []
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer((address, 0), handler)
        self._server.daemon_threads = True
        self.host = f"{address}:{self._server.server_port}"

    def fail(self, method: str, path: str, status: int) -> None:
        """From now on."""
        self.method, self.path, self.status = method, path, status
        self.faults.clear()

    @contextlib.contextmanager
    def serving(self) -> Iterator[FaultyProxy]:
        with serving(self._server):
            yield self


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultyProxy
    protocol_version = "HTTP/1.1"
    #: A client that tries TLS first must see that this is HTTP.
    default_request_version = "HTTP/1.1"

    def handle_one(self) -> None:
        body = body_of(self)
        proxy = self.proxy
        if proxy.method == self.command and re.search(proxy.path, self.path):
            proxy.faults.append(f"{self.command} {self.path}")
            self._answer(proxy.status, [], b"")
            return
        connection = http.client.HTTPConnection(proxy.target, timeout=60)
        dropped = ("transfer-encoding", "content-length", "host")
        headers = {name: text for name, text in self.headers.items() if name.lower() not in dropped}
        headers["Host"] = self.proxy.host
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            kept = [pair for pair in answer.getheaders() if pair[0].lower() not in ("transfer-encoding", "connection")]
            self._answer(answer.status, kept, content)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, text in headers:
            self.send_header(name, text)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_one

    def log_message(self, *_: object) -> None:
        pass
