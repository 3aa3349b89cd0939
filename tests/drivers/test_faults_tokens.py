"""Faults F14–F18, F38 and F39: tokens that run out, rights that are not enough, helpers and clocks that are wrong."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from faultlab import LAYER, PASSWORD, USER, USUAL, Keys, Lab, noise, some
from images import MemoryImage
from tests.faults import FOREVER, Reply, redirect, refusal

from dsci.drivers.keychain import Credentials, Keychain
from dsci.drivers.registry import HttpRegistry
from dsci.errors import AuthError, RegistryError
from dsci.model.reference import Repository

expiring = pytest.mark.parametrize("lab", [{"uses": 3}, {"uses": 1}], indirect=True, ids=["three", "one"])


@expiring
def test_f14_a_token_that_serves_three_requests(lab: Lab) -> None:
    """Four blobs travel at the same time with one token: a request that is refused asks for a new one, and goes on."""
    lab.new = MemoryImage(*(noise(50_000, n) for n in range(6)))
    result = lab.run()
    assert result.error is None, result.said
    assert lab.gate.issued >= 8 and lab.gate.issued <= lab.gate.refused + 2, "at most one token for each refusal"
    lab.check(result, budget=6 * USUAL)


@pytest.mark.parametrize("read", [True, False])
def test_f14_a_token_that_runs_out_while_a_body_travels(lab: Lab, read: bool) -> None:
    """401 to a large PUT, after its body or (as many servers do) before: the body is sent anew, from its first byte."""
    lab.new = MemoryImage(noise(12 << 20, 3))
    answer = refusal(401, "UNAUTHORIZED", WWW_Authenticate=f'Bearer realm="http://{lab.host}/token",service="gate"')
    rule = lab.proxy.rule(
        "PUT", f"/blobs/uploads/.*{lab.new.layers[0].digest.hex}", Reply(401, answer.headers, answer.body, read=read)
    )
    result = lab.run()
    assert result.error is None and rule.fired == 1, result.said
    assert [seen.up for seen in lab.proxy.requests("PUT", "/blobs/uploads/")].count(12 << 20) == (2 if read else 1)
    assert lab.gate.issued <= 4
    lab.check(result, budget=USUAL + 4)


@pytest.mark.parametrize(("status", "code"), [(401, "UNAUTHORIZED"), (403, "DENIED")])
def test_f15_a_refusal_for_ever(lab: Lab, status: int, code: str) -> None:
    posed = {"WWW_Authenticate": f'Bearer realm="http://{lab.host}/token",service="gate"'} if status == 401 else {}
    rule = lab.proxy.rule("POST", "/blobs/uploads/", refusal(status, code, **posed), last=FOREVER)
    result = lab.run(lambda client: client.check_push(lab.repository))
    assert isinstance(result.error, AuthError) and result.error.exit_code == 5
    assert rule.fired == (2 if status == 401 else 1) and result.client.clock.slept == []
    assert f"{status} {code}" in result.text and f"as {USER} (credentials from config.json)" in result.text
    assert "docker login" in result.text and lab.path in result.text
    lab.check(result)


def test_f15_a_wrong_password(lab: Lab) -> None:
    wrong = Keys(Credentials(username=USER, password="WRONGCANARY", source="config.json"))
    result = lab.run(client=lab.client(keychain=wrong))
    assert isinstance(result.error, AuthError) and "WRONGCANARY" not in result.said and "/token" in result.text
    assert len(lab.proxy.requests("GET", "^/token")) == 2, "once for reading, once for writing: accounts get locked"
    lab.check(result)


@pytest.mark.parametrize("allowed", [True, False])
def test_f16_a_mount_needs_more_rights(lab: Lab, allowed: bool) -> None:
    lab.past.push_image(lab.new, Repository(lab.direct, f"{lab.path}/base"), "1")
    if not allowed:
        lab.gate.never = frozenset({f"repository:{lab.path}/base:pull"})
    base = Repository(lab.host, f"{lab.path}/base")

    def work(client: HttpRegistry) -> None:
        assert client.mount(base, lab.new.layers[1], lab.repository) is allowed
        lab.publish(client)

    result = lab.run(work)
    assert result.error is None, result.said
    sent = [seen.up for seen in lab.proxy.requests("PUT", f"/v2/{lab.path}/blobs/uploads/") if seen.up == LAYER]
    assert sent == ([] if allowed else [LAYER])
    lab.gate.never = frozenset()
    lab.check(result, budget=USUAL + 8)


@pytest.mark.parametrize("status", some([202, 400, 404, 405, 500], 2))
def test_f17_a_mount_that_is_answered_otherwise(lab: Lab, status: int) -> None:
    """After a push to one repository the same layer goes to another: mounted, or else sent."""
    base = Repository(lab.host, f"{lab.path}/base")
    answer = Reply(status) if status != 202 else None
    if answer is not None:
        rule = lab.proxy.rule("POST", "mount=", answer, last=FOREVER)
    else:  # the registry opens an upload, as those do that know of no mounts
        rule = lab.proxy.rule("POST", "mount=", _Forgetful(), last=FOREVER)

    def work(client: HttpRegistry) -> None:
        client.push_image(lab.new, base, "1")
        lab.publish(client)

    result = lab.run(work)
    assert result.error is None and rule.fired >= 1, result.said
    sent = [seen.up for seen in lab.proxy.requests("PUT", f"/v2/{lab.path}/blobs/uploads/") if seen.up == LAYER]
    assert sent == [LAYER]
    lab.check(result, budget=3 * USUAL)


class _Forgetful:
    """Passes a mount on as a plain POST."""

    def act(self, exchange: object) -> None:
        exchange.seen.path = exchange.seen.path.partition("?")[0]  # type: ignore[attr-defined]
        exchange.forward()  # type: ignore[attr-defined]


def _trickle() -> Iterable[bytes]:
    for _ in range(4000):
        time.sleep(0.05)
        yield b"x"


def _gigabyte() -> Iterable[bytes]:
    return itertools.repeat(b"x" * 65536, 16384)


@pytest.mark.parametrize(
    ("action", "said"),
    some(
        [
            (Reply(500), "500"),
            (
                Reply(200, {"Content-Type": "application/json", "Content-Length": str(1 << 30)}, _gigabyte),
                "over the limit",
            ),
            (Reply(200, {}, b'{"access":"nothing"}'), "without a token"),
            (Reply(200, {}, b"<html>"), "without a token"),
            (Reply(200, {}, json.dumps({"token": "a\r\nX-Evil: 1"}).encode()), "without a token"),
            (Reply(200, {}, json.dumps({"token": "x", "expires_in": "soon"}).encode()), "without a token"),
            (redirect("http://127.0.0.1:1/elsewhere"), "307"),
        ],
        3,
    ),
    ids=["500", "1GB", "no-token", "html", "newline", "life", "redirect"],
)
def test_f18_a_token_service_that_is_out_of_order(lab: Lab, action: Reply, said: str) -> None:
    lab.proxy.rule("GET", "^/token", action, last=FOREVER)
    began = time.monotonic()
    result = lab.run()
    assert time.monotonic() - began < 10
    assert isinstance(result.error, RegistryError) and said in result.text and "/token" in result.text
    assert sum(seen.down for seen in lab.proxy.requests("GET", "^/token")) < 32 << 20, "it is not read to its end"
    lab.check(result, budget=USUAL + 20)


def test_f18_a_token_that_trickles(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsci.drivers import transport

    monkeypatch.setattr(transport, "ANSWER_DEADLINE", 1.0)
    body = {"Content-Length": "4000"}
    lab.proxy.rule("GET", "^/token", Reply(200, body, _trickle), last=FOREVER)
    began = time.monotonic()
    result = lab.run(client=lab.client(attempts=2))
    assert time.monotonic() - began < 10
    assert isinstance(result.error, RegistryError) and "/token" in result.text and "took over" in result.text
    monkeypatch.undo()
    lab.check(result)


@pytest.mark.parametrize(
    "realm",
    some(["http://evil.example/token", "http://169.254.169.254/token", "https://127.0.0.1/token", "ftp://x/y"], 3),
)
def test_f18_a_realm_that_the_password_must_not_go_to(lab: Lab, realm: str) -> None:
    from dsci.drivers.routes import Network

    lab.network, lab.host = Network(http_proxy=lab.proxy.host), "registry.example"
    lab.gate.realm = realm
    result = lab.run()
    assert isinstance(result.error, RegistryError)
    assert [seen for seen in lab.proxy.seen if seen.authorization.startswith("Basic")] == []
    lab.gate.realm = ""
    lab.check(result)


# ----------------------------------------------------------------------------------------------------- F38: helpers


@pytest.fixture
def keychain(tmp_path: Path, lab: Lab) -> Callable[[str], Keychain]:
    """Credentials out of a helper that is this shell script."""

    def make(script: str) -> Keychain:
        programs = tmp_path / "bin"
        programs.mkdir(exist_ok=True)
        if script:
            program = programs / "docker-credential-odd"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
        (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {lab.host: "odd"}}))
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        return Keychain(tmp_path, environment=environment, deadline=0.3)

    return make


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("", "docker-credential-odd is not on PATH"),
        ("echo PASSWORDCANARY; echo PASSWORDCANARY >&2; exit 1", "failed with exit code 1"),
        ("echo junk PASSWORDCANARY", "did not answer as a credential helper does"),
        ("echo PASSWORDCANARY; sleep 60", "docker-credential-odd"),
    ],
    ids=["missing", "exit-1", "junk", "hangs"],
)
def test_f38_a_helper_that_does_not_help(lab: Lab, keychain: Callable[[str], Keychain], script: str, said: str) -> None:
    began = time.monotonic()
    result = lab.run(client=lab.client(keychain=keychain(script)))
    assert time.monotonic() - began < 5
    assert isinstance(result.error, AuthError) and said in result.text and "config.json" in result.text
    assert lab.proxy.requests("PUT|POST") == []
    lab.check(result)


@pytest.mark.parametrize("user", [USER, "<token>"])
def test_f38_a_helper_that_helps(lab: Lab, keychain: Callable[[str], Keychain], user: str) -> None:
    answer = json.dumps({"ServerURL": lab.host, "Username": user, "Secret": PASSWORD})
    result = lab.run(client=lab.client(keychain=keychain(f"cat >/dev/null; echo '{answer}'")))
    assert result.error is None, result.said
    asked = {seen.method for seen in lab.proxy.requests(path="^/token")}
    assert asked == ({"POST"} if user == "<token>" else {"GET"}), "an identity token is exchanged"
    lab.check(result)


# ------------------------------------------------------------------------------------------------------- F39: clocks


@pytest.mark.parametrize(
    "says",
    some(
        [
            {"issued_at": "2001-01-01T00:00:00Z", "expires_in": 60},
            {"issued_at": "2099-01-01T00:00:00Z", "expires_in": 60},
            {"issued_at": "yesterday"},
            {"expires_in": 0},
            {"expires_in": -5},
            {"expires_in": 1e300},
        ],
        4,
    ),
)
def test_f39_a_token_service_with_another_time(lab: Lab, says: dict[str, object]) -> None:
    """A life is counted from when the token came, on a clock that only goes forward; nobody's date matters."""
    lab.gate.says = says
    result = lab.run()
    assert result.error is None, result.said
    assert lab.gate.issued <= 3
    lab.check(result)


def test_f39_a_date_to_wait_for_is_measured_by_the_servers_own_clock(lab: Lab) -> None:
    headers = {"Date": "Mon, 01 Jan 2001 00:00:00 GMT", "Retry-After": "Mon, 01 Jan 2001 00:00:07 GMT"}
    lab.proxy.rule("HEAD", "/manifests/2.0", Reply(503, headers))
    result = lab.run()
    assert result.error is None and 7 <= sum(result.client.clock.slept) < 9
    lab.check(result)
