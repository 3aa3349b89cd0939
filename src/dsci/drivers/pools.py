"""Connections that serve one request after the other, straight or through a proxy, with the certificates that count.

One request is sent and its answer's head is read here; whether, where and with what it is sent is `transport`'s to say.
"""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from http.client import HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import certifi
import urllib3

from dsci.errors import RegistryError

if TYPE_CHECKING:
    from dsci.drivers.routes import Network

#: Seconds to connect (and to have a chunk taken); seconds of silence from a server, and for all of an answer's head.
CONNECT_TIMEOUT, READ_TIMEOUT = 15.0, 60.0
#: How many hosts are remembered, and how many connections to each.
_HOSTS, _CONNECTIONS = 32, 32


class Pools:
    """Connections to any number of hosts. Safe for threads."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], urllib3.PoolManager] = {}

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: Iterator[bytes] | None
    ) -> urllib3.BaseHTTPResponse:
        """Send one request; gives whatever status comes back, its body unread.

        Raises urllib3's errors, those below them (OSError, HTTPException), ValueError for what is no URL or header, and
        RegistryError where nobody can be trusted.
        """
        return self._pool(url).urlopen(
            method,
            url,
            headers=headers,
            body=body,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
        )

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            pools, self._known = list(self._known.values()), {}
        for pool in pools:
            pool.clear()

    def _pool(self, url: str) -> urllib3.PoolManager:
        scheme, proxy = urlsplit(url).scheme, self._network.proxy(url) or ""
        with self._lock:
            if (scheme, proxy) not in self._known:
                self._known[scheme, proxy] = self._made(scheme, proxy)
            return self._known[scheme, proxy]

    def _made(self, scheme: str, proxy: str) -> urllib3.PoolManager:
        manager = self._manager(scheme, proxy)
        manager.pool_classes_by_scheme = {
            name: _with_deadlines(kind) for name, kind in manager.pool_classes_by_scheme.items()
        }
        return manager

    def _manager(self, scheme: str, proxy: str) -> urllib3.PoolManager:
        context = self._certificates if scheme == "https" or proxy.startswith("https:") else None
        if not proxy:
            return urllib3.PoolManager(_HOSTS, maxsize=_CONNECTIONS, ssl_context=context)
        if proxy.startswith("socks"):
            from urllib3.contrib.socks import SOCKSProxyManager

            return SOCKSProxyManager(proxy, num_pools=_HOSTS, maxsize=_CONNECTIONS, ssl_context=context)
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        parts = urlsplit(proxy)
        told = urllib3.HTTPHeaderDict()
        if parts.username:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            told = urllib3.HTTPHeaderDict(urllib3.make_headers(proxy_basic_auth=user))
        return urllib3.ProxyManager(
            proxy,
            num_pools=_HOSTS,
            maxsize=_CONNECTIONS,
            proxy_headers=told,
            ssl_context=context,
            proxy_ssl_context=context,
        )

    @cached_property
    def _certificates(self) -> ssl.SSLContext:
        """Whom TLS trusts, read once: the bundle that the environment names, or Mozilla's. Raises RegistryError."""
        bundle = self._network.ca_bundle or certifi.where()
        folder = Path(bundle).is_dir()
        try:
            return ssl.create_default_context(cafile=None if folder else bundle, capath=bundle if folder else None)
        except OSError as error:
            raise RegistryError(
                f"the CA bundle {bundle} cannot be read: {error.strerror or 'it holds no certificate'}",
                hint="REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE or SSL_CERT_DIR names it: mend it, or unset it",
            ) from None


def _with_deadlines(kind: type[urllib3.HTTPConnectionPool]) -> type[urllib3.HTTPConnectionPool]:
    """The same kind of pool, whose answers' heads must come to an end."""
    connection = type(kind.ConnectionCls.__name__, (kind.ConnectionCls,), {"response_class": _Response})
    return type(kind.__name__, (kind,), {"ConnectionCls": connection})


class _Response(HTTPResponse):
    """An answer whose head is there within the time that a server may be silent, however steadily it trickles."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._bounded = _Bounded(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._bounded)

    def begin(self) -> None:
        """Read the head. Raises TimeoutError."""
        with self._bounded:
            super().begin()


class _Bounded(io.RawIOBase):
    """What a socket receives; between entering and leaving, all of it within the socket's own timeout."""

    def __init__(self, below: io.RawIOBase, sock: socket.socket) -> None:
        self._below, self._sock = below, sock
        self._timeout, self._until = sock.gettimeout(), 0.0

    def __enter__(self) -> _Bounded:
        self._until = time.monotonic() + (self._timeout or READ_TIMEOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self._until = 0.0
        self._sock.settimeout(self._timeout)

    def readable(self) -> bool:
        """It is only for reading."""
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        """See `io.RawIOBase`. Raises TimeoutError."""
        if self._until:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the head of an answer did not end in time")
            self._sock.settimeout(left)
        return self._below.readinto(buffer)

    def close(self) -> None:
        """With what is below it."""
        self._below.close()
        super().close()
