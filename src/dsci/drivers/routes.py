"""Where requests may go: proxies and certificates, plain HTTP or TLS, and whom a server may send us to.

A registry's answers name other places: a storage host for a blob, the next piece of an upload, a token service. They
are followed, but never from one host to another's private address (a registry on the internet must not steer us round a
company's network), and never from TLS to plain HTTP. Nothing is sent from here; `transport` does that.

Sources: https://github.com/google/go-containerregistry/tree/main/pkg/v1/remote/transport (redaction, SSRF rules),
https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config (what Docker's own clients make of the proxy variables).
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

from dsci.errors import RegistryError

_SHOWN_QUERY = frozenset({"scope", "service", "mount", "from", "digest", "n", "last"})
UNPRINTABLE = re.compile(r"[^ -~]+")
_URL = re.compile(r"\bhttps?://[^\s\"'<>\\]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The way out of here: a CA bundle (file or folder; None is certifi's), and proxies."""

    ca_bundle: str | None = None
    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Network:
        """The variables that curl, pip and requests understand; the lower-case spelling wins."""

        def value(*names: str) -> str | None:
            return next((environment[name] for name in names if environment.get(name)), None)

        everything = value("all_proxy", "ALL_PROXY")
        exceptions = re.split(r"[,\s]+", value("no_proxy", "NO_PROXY") or "")
        return cls(
            ca_bundle=value("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
            http_proxy=value("http_proxy") or everything,  # HTTP_PROXY can be set by a CGI client: httpoxy.org
            https_proxy=value("https_proxy", "HTTPS_PROXY") or everything,
            no_proxy=tuple(item.lower() for item in exceptions if item),
        )

    def proxy(self, url: str) -> str | None:
        """The proxy for this URL. Like Go's, loopback addresses never go through one."""
        parts = urlsplit(url)
        proxy = self.https_proxy if parts.scheme == "https" else self.http_proxy
        if not proxy or _is_loopback(parts.hostname or "") or self._excepted(parts):
            return None
        return proxy

    def _excepted(self, parts: SplitResult) -> bool:
        host, address = parts.hostname or "", _address(parts.hostname or "")
        for item in self.no_proxy:
            name, _, port = item.rpartition(":") if item.count(":") == 1 else (item, "", "")
            if port and port != str(parts.port or {"https": 443, "http": 80}[parts.scheme]):
                continue
            with contextlib.suppress(ValueError):
                if address is not None and address in ipaddress.ip_network(name, strict=False):
                    return True
            name = name.lstrip("*").lstrip(".")
            if item == "*" or (name and (host == name or host.endswith(f".{name}"))):
                return True
        return False


class Routes:
    """The rules about hosts, for hosts that the user declared `insecure` (plain HTTP) and all others."""

    def __init__(self, insecure: Collection[str] = ()) -> None:
        self._insecure = frozenset(host.lower() for host in insecure)

    def base(self, registry: str) -> str:
        """The origin of a registry: HTTPS, but plain HTTP for this machine and for hosts named insecure."""
        return f"{'http' if self._is_plain(registry) else 'https'}://{registry}"

    def _is_plain(self, netloc: str) -> bool:
        return _is_loopback(urlsplit(f"//{netloc}").hostname or "") or self._is_insecure(netloc)

    def _is_insecure(self, netloc: str) -> bool:
        return netloc.lower() in self._insecure or (urlsplit(f"//{netloc}").hostname or "") in self._insecure

    def follow(self, url: str, location: str | None, what: str) -> str:
        """Where a Location, a Link or a realm that came from `url` leads. Raises RegistryError where we may not go."""
        target = urljoin(url, location or "").partition("#")[0]
        problem = self._problem(urlsplit(url).hostname or "", target) if location else "is missing"
        if problem:
            shown = f" {redact(target)}" if location else ""
            raise RegistryError(
                f"{redact(url)}: the {what}{shown} {problem}",
                hint="tell a registry behind a TLS proxy its public URL; trust a storage host by naming it in "
                "DSCI_INSECURE_REGISTRIES",
            )
        return target

    def _problem(self, host: str, target: str) -> str:
        try:
            parts = urlsplit(target)
            name, _ = parts.hostname or "", parts.port
        except ValueError:
            return "is no URL"
        if parts.scheme not in ("http", "https") or not name or parts.username is not None:
            return "is no URL that registries may use"
        if name != host and _is_private(name) and not (_is_loopback(name) and _is_loopback(host)):
            if not self._is_insecure(parts.netloc):
                return "leads from another host to a private address"
        elif parts.scheme == "http" and not self._is_plain(parts.netloc):
            return "would go on without TLS"
        return ""


@lru_cache(1024)
def origin(url: str) -> str:
    """Scheme, host and port of a URL, spelled in the one way that compares equal."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or {'https': 443, 'http': 80}.get(parts.scheme, 0)}"


def redact(url: str) -> str:
    """A URL fit for messages: without user, password and any query value that may be a signature."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{url.partition(':')[0]}://…"
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([(key, text if key in _SHOWN_QUERY else "REDACTED") for key, text in pairs], safe=":/,")
    netloc, path = parts.netloc.rpartition("@")[2], quote(parts.path, safe="/:@%~+,=")
    return UNPRINTABLE.sub("", urlunsplit((parts.scheme, netloc, path, query, "")))[:300]


def redacted(text: str) -> str:
    """What another program says, with every URL in it made fit for messages: a storage host's may be signed."""
    return _URL.sub(lambda match: redact(match[0]) if "?" in match[0] or "@" in match[0] else match[0], text)


@lru_cache(1024)
def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address a host name *is*, also where it is written as 127.1 or 2130706433."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, UnicodeError):
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or host.endswith(".localhost") or (address is not None and address.is_loopback)


def _is_private(host: str) -> bool:
    address = _address(host)
    return _is_loopback(host) or (address is not None and not address.is_global)
