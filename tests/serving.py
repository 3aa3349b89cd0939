"""Servers of the tests: each in a thread of its own for as long as it is wanted, and what requests brought them."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def body_of(request: BaseHTTPRequestHandler) -> bytes | None:
    """What was sent with a request; None where nothing was."""
    if request.headers.get("Transfer-Encoding", "").lower() == "chunked":
        content = b""
        while size := int(request.rfile.readline().split(b";")[0], 16):
            content += request.rfile.read(size)
            request.rfile.readline()
        request.rfile.readline()
        return content
    size = int(request.headers.get("Content-Length") or 0)
    return request.rfile.read(size) if size or request.command in ("POST", "PUT", "PATCH") else None
