"""Connections that serve one request after the other, straight or through a proxy, with the certificates that count.

One request is sent and its answer's head is read here; whether, where and with what it is sent is `transport`'s to say.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import certifi
import urllib3

from dsci.errors import RegistryError

if TYPE_CHECKING:
    from dsci.drivers.routes import Network

#: Seconds to connect (and to have a chunk taken), and seconds of silence from a server.
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
