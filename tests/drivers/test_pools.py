"""Connections: kept, trusted or refused, and what a proxy is told."""

from __future__ import annotations

import base64
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dsci.drivers.routes import Network
from dsci.drivers.transport import HttpError, Transport
from dsci.errors import RegistryError


class _Server(ThreadingHTTPServer):
    """Answers everything with its own path, and notes what it was asked, on which connection, and by whom."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, int, str]] = []
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        told = self.headers.get("Proxy-Authorization", "")
        self.server.seen.append((self.path, self.client_address[1], told))
        content = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[[ssl.SSLContext | None], _Server]]:
    """Starts servers, and stops them in the end."""
    servers: list[_Server] = []

    def start(tls: ssl.SSLContext | None = None) -> _Server:
        servers.append(_Server(tls))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate of `localhost`, signed by itself, and TLS with it."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    request += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(request, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    return cert, tls


def get(transport: Transport, url: str) -> bytes:
    return transport.read(transport.exchange("GET", url, home=url))


def test_one_connection_serves_one_request_after_the_other(serve: Callable[[], _Server]) -> None:
    server, transport = serve(), Transport(network=Network())
    for path in ("/a", "/b", "/c"):
        assert get(transport, f"http://127.0.0.1:{server.port}{path}") == path.encode()
    assert len({port for _, port, _ in server.seen}) == 1
    transport.close()
    assert get(transport, f"http://127.0.0.1:{server.port}/d") == b"/d"
    assert len({port for _, port, _ in server.seen}) == 2


def test_tls_is_trusted_by_the_bundle_and_by_nobody_else(
    serve: Callable[[ssl.SSLContext], _Server], identity: tuple[Path, ssl.SSLContext], tmp_path: Path
) -> None:
    cert, tls = identity
    server = serve(tls)
    url = f"https://localhost:{server.port}/x"
    assert get(Transport(network=Network(ca_bundle=str(cert))), url) == b"/x"
    folder = tmp_path / "authorities"
    folder.mkdir()
    ended = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", cert], check=True, capture_output=True)
    (folder / f"{ended.stdout.decode().strip()}.0").write_bytes(cert.read_bytes())
    assert get(Transport(network=Network(ca_bundle=str(folder))), url) == b"/x"
    with pytest.raises(HttpError, match=r"TLS with localhost:[0-9]+ failed: self.signed certificate") as refused:
        get(Transport(network=Network()), url)
    assert "REQUESTS_CA_BUNDLE" in refused.value.hint and not refused.value.temporary
    with pytest.raises(HttpError, match=r"TLS with 127.0.0.1:[0-9]+ failed: .*127.0.0.1"):
        get(Transport(network=Network(ca_bundle=str(cert))), url.replace("localhost", "127.0.0.1"))


def test_a_bundle_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate\n")
    for name, why in (("gone.pem", "No such file"), ("ca.pem", "certificate")):
        with pytest.raises(RegistryError, match=f"{name} cannot be read: .*{why}") as refused:
            get(Transport(network=Network(ca_bundle=str(tmp_path / name))), "https://localhost:1/")
        assert "REQUESTS_CA_BUNDLE" in refused.value.hint and not refused.value.temporary


@pytest.mark.parametrize("spelled", ["http://me:p%40ss@127.0.0.1:{port}", "me:p%40ss@127.0.0.1:{port}"])
def test_a_proxy_is_told_who_we_are_and_nobody_else_is(serve: Callable[[], _Server], spelled: str) -> None:
    server = serve()
    transport = Transport(network=Network(http_proxy=spelled.format(port=server.port)))
    assert get(transport, "http://registry.test/v2/") == b"http://registry.test/v2/"
    assert server.seen[-1][2] == "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert get(transport, f"http://127.0.0.1:{server.port}/v2/") == b"/v2/"
    assert server.seen[-1][2] == ""


def test_a_header_that_could_begin_another_is_refused(serve: Callable[[], _Server]) -> None:
    server = serve()
    url = f"http://127.0.0.1:{server.port}/x"
    with pytest.raises(HttpError, match="not a URL that can be asked"):
        Transport(network=Network()).exchange("GET", url, home=url, headers={"Accept": "a\r\nX-Other: b"})
    assert server.seen == []
