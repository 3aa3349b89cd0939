"""Faults F5–F8 and F19–F21: connections that break, answers that are lost, servers too slow to wait for, and TLS."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from faultlab import LAYER, USUAL, Lab, noise, some
from images import MemoryImage
from tests.faults import FOREVER, Chance, Flip, Loris, Lost, Reset, Silent, Slow, Truncate, refusal
from tests.serving import serving

from dsci.drivers import pools, transport
from dsci.drivers.routes import Network
from dsci.errors import RegistryError


def bodies(lab: Lab) -> list[int]:
    """How much of the large layer each upload of it brought to the proxy."""
    return [seen.up for seen in lab.proxy.requests("PUT", "/blobs/uploads/") if seen.size == LAYER]


@pytest.mark.parametrize("sent", some([0, 1, LAYER // 2, LAYER], 2))
def test_f5_a_reset_in_the_middle_of_an_upload(lab: Lab, sent: int) -> None:
    digest = lab.new.layers[1].digest.hex
    rule = lab.proxy.rule("PUT", f"/blobs/uploads/.*{digest}", Reset(up=sent))
    result = lab.run()
    assert result.error is None and rule.fired == 1
    if sent < LAYER or len(bodies(lab)) > 1:  # of all that had arrived, the registry may have made a blob
        assert len(bodies(lab)) == 2 and bodies(lab)[1] == LAYER, "anew, from its first byte"
    looked = lab.proxy.requests("HEAD", f"/blobs/sha256:{digest}")
    assert len(looked) >= 2, "it looks before it sends again"
    lab.check(result, budget=USUAL + 4)


PATHS = ["/v2/$", "^/token", "/blobs/uploads/", "/manifests/2.0", "/blobs/sha256", "/latest"]


@pytest.mark.parametrize("path", some(PATHS, 2))
def test_f5_a_reset_before_any_answer(lab: Lab, path: str) -> None:
    rule = lab.proxy.rule("GET|HEAD|POST|PUT", path, Chance(share=1.0))
    result = lab.run()
    assert result.error is None and rule.fired == 1
    lab.check(result, budget=USUAL + 5)


def test_f5_some_of_everything_is_reset(lab: Lab) -> None:
    """Ten images, one after the other; a request in twenty breaks, somewhere."""
    chance = Chance(share=0.05, seed=5)
    lab.proxy.rule(".*", ".*", chance, last=FOREVER)
    for number in range(10):
        lab.new = MemoryImage(noise(LAYER, number))
        result = lab.run(lambda client: client.push_image(lab.new, lab.repository, f"n{number}"))  # noqa: B023
        assert result.error is None, result.said
        assert not lab.past.lacks(lab.behind, lab.new.layers[0])
    assert chance.resets >= 4
    lab.check(result, budget=100)


def test_f6_the_answer_to_a_blob_is_lost(lab: Lab) -> None:
    rule = lab.proxy.rule("PUT", f"/blobs/uploads/.*{lab.new.layers[1].digest.hex}", Lost())
    result = lab.run()
    assert result.error is None and rule.fired == 1
    assert bodies(lab) == [LAYER], "it is there: no second body"
    lab.check(result)


@pytest.mark.parametrize("tag", some(["dsci-unique", "2.0", "latest"], 1))
def test_f7_the_answer_to_a_tag_is_lost(lab: Lab, tag: str) -> None:
    rule = lab.proxy.rule("PUT", f"/manifests/{tag}", Lost())
    result = lab.run()
    assert result.error is None and rule.fired == 1
    assert len(lab.proxy.requests("PUT", f"/manifests/{tag}")) == 1, "it is there: no second write"
    lab.check(result)


def test_f8_the_answer_that_opens_an_upload_is_lost(lab: Lab) -> None:
    rule = lab.proxy.rule("POST", "/blobs/uploads/", Lost())
    result = lab.run()
    assert result.error is None and rule.fired == 1
    assert bodies(lab) == [LAYER]
    lab.check(result, budget=USUAL + 3)


@pytest.mark.parametrize(
    ("status", "code"),
    some(
        [
            (416, "RANGE_INVALID"),
            (404, "BLOB_UPLOAD_UNKNOWN"),
            (404, "NAME_UNKNOWN"),
            (400, "DIGEST_INVALID"),
            (400, "BLOB_UPLOAD_INVALID"),
            (400, "SIZE_INVALID"),
        ],
        3,
    ),
)
def test_f19_an_upload_that_must_begin_anew(lab: Lab, status: int, code: str) -> None:
    rule = lab.proxy.rule("PUT", f"/blobs/uploads/.*{lab.new.layers[1].digest.hex}", refusal(status, code))
    result = lab.run()
    assert result.error is None and rule.fired == 1
    assert bodies(lab) == [LAYER, LAYER]
    lab.check(result, budget=USUAL + 4)


def test_f19_a_digest_that_is_always_wrong_ends(lab: Lab) -> None:
    """The bytes are altered on their way, by something that will do so for ever."""
    rule = lab.proxy.rule("PUT", f"/blobs/uploads/.*{lab.new.layers[1].digest.hex}", Flip(up=77), last=FOREVER)
    result = lab.run()
    assert isinstance(result.error, RegistryError) and "DIGEST_INVALID" in result.text and rule.fired == 5
    lab.check(result, budget=USUAL + 20)


# ----------------------------------------------------------------------------------------------------------- F20: time


@pytest.fixture
def impatient(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Clients whose every limit is a second, as the real ones are a minute; until it is undone."""
    for module, limit in (
        (pools, "CONNECT_TIMEOUT"),
        (pools, "READ_TIMEOUT"),
        (transport, "ANSWER_DEADLINE"),
        (transport, "STALL"),
    ):
        monkeypatch.setattr(module, limit, 1.0)
    return monkeypatch


@pytest.mark.parametrize(
    ("action", "method"), some([(act, method) for method in ("HEAD", "PUT") for act in (Silent(), Loris(0.02))], 2)
)
def test_f20_a_server_that_never_says_a_word(
    lab: Lab, impatient: pytest.MonkeyPatch, action: Silent | Loris, method: str
) -> None:
    rule = lab.proxy.rule(method, "/manifests/2.0", action, last=FOREVER)
    began = time.monotonic()
    result = lab.run(client=lab.client(attempts=2))
    assert time.monotonic() - began < 10
    assert isinstance(result.error, RegistryError) and rule.fired in (2, 3)
    assert f"{method} http://{lab.host}/v2/{lab.path}/manifests/2.0: no answer in time" in result.text
    impatient.undo()
    lab.check(result)


def test_f20_a_server_that_takes_a_byte_a_second(lab: Lab, impatient: pytest.MonkeyPatch) -> None:
    """The buffers between fill up, and then nothing is taken any more."""
    rule = lab.proxy.rule("PUT", f"/blobs/uploads/.*{lab.new.layers[1].digest.hex}", Slow(up=100), last=FOREVER)
    lab.new = MemoryImage(noise(24 << 20, 1))
    rule.path = f"/blobs/uploads/.*{lab.new.layers[0].digest.hex}"
    began = time.monotonic()
    result = lab.run(client=lab.client(attempts=2))
    assert time.monotonic() - began < 15
    assert isinstance(result.error, RegistryError) and rule.fired == 2
    assert "PUT" in result.text and "no answer in time" in result.text
    impatient.undo()
    lab.check(result)


def test_f20_a_server_that_gives_a_byte_at_a_time(lab: Lab, impatient: pytest.MonkeyPatch) -> None:
    lab.past.push_image(lab.new, lab.behind, "2.0")
    lab.proxy.rule("GET", f"/blobs/sha256:{lab.new.layers[0].digest.hex}", Slow(down=200), last=FOREVER)
    lab.proxy.rule("GET", "/manifests/2.0", Slow(down=20), last=FOREVER)

    def layer(client: object) -> None:
        with client.open_blob(lab.repository, lab.new.layers[0]) as pieces:  # type: ignore[attr-defined]
            for _ in pieces:
                pass

    for work in (layer, lambda client: client.manifest(lab.repository.tag("2.0"))):
        began = time.monotonic()
        result = lab.run(work, lab.client(attempts=2))
        assert time.monotonic() - began < 10
        assert isinstance(result.error, RegistryError) and result.error.temporary
        assert "GET" in result.text and ("too slow" in result.text or "took over" in result.text), result.text
    impatient.undo()
    lab.check(result)


def test_f20_a_download_that_is_cut_gives_no_end(lab: Lab) -> None:
    lab.past.push_image(lab.new, lab.behind, "2.0")
    blob = lab.new.layers[1]
    for action in (Truncate(LAYER // 2), Reset(down=LAYER // 2)):
        lab.proxy.calm()
        lab.proxy.rule("GET", f"/blobs/{blob.digest}", action)
        got = bytearray()

        def read(client: object, got: bytearray = got) -> None:
            with client.open_blob(lab.repository, blob) as pieces:  # type: ignore[attr-defined]
                for piece in pieces:
                    got.extend(piece)

        result = lab.run(read)
        assert isinstance(result.error, RegistryError) and result.error.temporary
        assert len(got) < LAYER
        lab.check(result)


# ------------------------------------------------------------------------------------------------------------ F21: TLS


def _certificate(folder: Path, name: str, *life: str) -> ssl.SSLContext:
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    (folder / "index.txt").write_text("")
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=c\n[c]\ndatabase={folder}/index.txt\nnew_certs_dir={folder}\nrand_serial=yes\n"
        f"policy=p\ndefault_md=sha256\nx509_extensions=e\n[p]\ncommonName=supplied\n"
        f"[e]\nsubjectAltName=DNS:{name}\n"
    )
    request = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    request += ["-subj", f"/CN={name}", "-keyout", str(key), "-out", str(folder / "request")]
    sign = ["ca", "-batch", "-selfsign", "-config", str(folder / "ca.cnf"), "-in", str(folder / "request")]
    sign += ["-keyfile", str(key), "-out", str(cert), "-notext", *life]
    for argv in (request, sign):
        subprocess.run(["openssl", *argv], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    return tls


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    asked = 0

    def get_request(self) -> tuple[socket.socket, object]:
        self.asked += 1
        return super().get_request()

    def handle_error(self, *_: object) -> None:
        """Handshakes fail here."""


@pytest.fixture(params=["stranger", "expired", "other-host"])
def tls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[_Quiet, str, Path]]:
    """A server of TLS that is not to be trusted, why, and the certificates that are."""
    why = str(request.param)
    past = ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"]
    name = "elsewhere.example" if why == "other-host" else "localhost"
    context = _certificate(tmp_path, name, *(past if why == "expired" else ["-days", "2"]))
    known = tmp_path / f"{name}.pem"
    server = _Quiet(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    if why == "stranger":
        (tmp_path / "other").mkdir()
        _certificate(tmp_path / "other", "localhost", "-days", "2")
        known = tmp_path / "other/localhost.pem"
    with serving(server):
        yield server, why, known


def test_f21_tls_that_is_not_to_be_trusted(lab: Lab, tls: tuple[_Quiet, str, Path]) -> None:
    server, why, known = tls
    lab.host = f"localhost:{server.server_port}"
    client = lab.client(network=Network(ca_bundle=str(known)))
    client._transport.routes.base = lambda registry: f"https://{registry}"  # type: ignore[method-assign]
    result = lab.run(client=client)
    assert isinstance(result.error, RegistryError) and not result.error.temporary
    assert f"TLS with {lab.host} failed" in result.text and "REQUESTS_CA_BUNDLE" in result.text
    said = {"stranger": "self.signed|unable to get", "expired": "expired", "other-host": "mismatch|not valid"}[why]
    assert re.search(said, result.text, re.IGNORECASE), result.text
    assert server.asked == 1 and client.clock.slept == [], "never again, and never without"
    lab.host = lab.proxy.host
    lab.check(result)


def test_f21_a_name_that_does_not_resolve(lab: Lab) -> None:
    lab.host = "no-such-registry.invalid:443"
    result = lab.run()
    assert isinstance(result.error, RegistryError) and "no-such-registry.invalid:443 does not resolve" in result.text
    lab.host = lab.proxy.host
    lab.check(result)


def test_f21_nobody_there(lab: Lab) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        lab.host = f"127.0.0.1:{nobody.getsockname()[1]}"
        result = lab.run()
    assert isinstance(result.error, RegistryError) and "refuses connections" in result.text
    assert result.client.clock.slept == [], "it never answered: it is not waited for"
    lab.host = lab.proxy.host
    lab.check(result)
