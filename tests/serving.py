"""Servers of the tests: each in a thread of its own for as long as it is wanted, and what requests brought them."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

_PIECE = 64 * 1024


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
    pieces = pieces_of(request)
    return None if pieces is None else b"".join(pieces)


def pieces_of(request: BaseHTTPRequestHandler) -> Iterator[bytes] | None:
    """The same as it comes. Raises ConnectionError where it ends too early."""
    if request.headers.get("Transfer-Encoding", "").lower() == "chunked":
        return _chunks(request)
    size = int(request.headers.get("Content-Length") or 0)
    return _sized(request, size) if size or request.command in ("POST", "PUT", "PATCH") else None


def _sized(request: BaseHTTPRequestHandler, left: int) -> Iterator[bytes]:
    while left:
        piece = request.rfile.read1(min(left, _PIECE))
        if not piece:
            raise ConnectionError
        left -= len(piece)
        yield piece


def _chunks(request: BaseHTTPRequestHandler) -> Iterator[bytes]:
    while size := int(request.rfile.readline().split(b";")[0], 16):
        yield from _sized(request, size)
        request.rfile.readline()
    request.rfile.readline()
