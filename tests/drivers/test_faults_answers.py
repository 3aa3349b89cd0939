"""Faults F1–F4, F24 and F29: a registry that answers, but not what was hoped for."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest
from faultlab import LAYER, USUAL, Lab, some
from tests.faults import FOREVER, Delay, Reply, Throttle, refusal

from dsci.errors import AuthError, ConflictError, RegistryError
from dsci.model.oci import OCI_MANIFEST

#: Every kind of request that a push makes.
REQUESTS = [
    ("HEAD", "/manifests/dsci-unique"),
    ("HEAD", "/blobs/sha256"),
    ("POST", "/blobs/uploads/"),
    ("PUT", "/blobs/uploads/"),
    ("PUT", "/manifests/dsci-unique"),
    ("PUT", "/manifests/latest"),
    ("HEAD", "/manifests/latest"),
    ("GET", "/v2/$"),
    ("GET", "^/token"),
]


@pytest.mark.parametrize(
    ("method", "path", "status"), some([(*each, status) for status in (500, 502, 503, 504) for each in REQUESTS], 6)
)
def test_f1_a_server_error_once(lab: Lab, method: str, path: str, status: int) -> None:
    rule = lab.proxy.rule(method, path, Reply(status))
    result = lab.run()
    assert result.error is None and rule.fired == 1
    assert 0.8 <= result.seconds < 10, "one pause"
    bodies = [seen.up for seen in lab.proxy.requests("PUT", "/blobs/uploads/") if seen.up == LAYER]
    again = path == "/blobs/uploads/" and method == "PUT"
    assert len(bodies) in ((1, 2) if again else (1,)), "nothing is sent twice that arrived once"
    lab.check(result, budget=USUAL + 4)


@pytest.mark.parametrize(("method", "path"), some(REQUESTS, 3))
def test_f2_server_errors_for_ever(lab: Lab, method: str, path: str) -> None:
    rule = lab.proxy.rule(method, path, refusal(503, "UNAVAILABLE", "storage is away"), last=FOREVER)
    result = lab.run()
    assert isinstance(result.error, RegistryError) and result.error.temporary
    assert f"{method} http://{lab.host}/" in result.text and "503" in result.text
    assert "503 UNAVAILABLE" in result.text or method == "HEAD", "there is no body in the answer to a HEAD"
    assert "tried 5 times" in result.text and rule.fired <= 3 * 5
    lab.check(result, budget=USUAL + 40)


WAITS: list[tuple[str | None, float, float]] = [
    ("2", 2, 3),
    ("date", 2, 9),
    ("0", 0, 0.9),
    ("0.5", 0.7, 1.5),
    ("35µs", 0.7, 1.5),
    ("35.852us", 0.7, 1.5),
    ("-1", 0.7, 1.5),
    ("99999", 119, 123),
    ("9" * 400, 0.7, 1.5),
    ("Thu, 99 Foo 2026", 0.7, 1.5),
    ("\x01", 0.7, 1.5),
    ("", 0.7, 1.5),
    (None, 0.7, 1.5),
]


@pytest.mark.parametrize(
    ("said", "low", "high", "method", "path"),
    some([(*wait, *at) for at in (("POST", "/blobs/uploads/"), ("PUT", "/manifests/2.0")) for wait in WAITS], 6),
)
def test_f3_too_many_requests(lab: Lab, said: str | None, low: float, high: float, method: str, path: str) -> None:
    said = formatdate(time.time() + 6, usegmt=True) if said == "date" else said
    headers = {} if said is None else {"Retry-After": said}
    lab.proxy.rule(method, path, Reply(429, headers))
    result = lab.run()
    assert result.error is None
    pauses = result.client.clock.slept
    assert low <= sum(pauses) < (high + 2) * (4 if method == "POST" else 1), pauses
    assert max(pauses, default=0) <= 133, "the longest there is, and some spread"
    lab.check(result, budget=USUAL + 4, seconds=600, rerun=said in ("2", "99999"))


def test_f4_all_workers_slow_down_when_one_is_told_to(lab: Lab) -> None:
    """Eight workers at a registry that takes 20 requests a second: each gets through, and few are turned away."""
    client = lab.client(really=True)
    client.resolve(lab.repository.tag("1.0"))
    throttle = Throttle(20, {"Retry-After": "1"})
    lab.proxy.rule(".*", "/manifests/", throttle, last=FOREVER)
    first = len(lab.proxy.seen)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: client.resolve(lab.repository.tag("1.0")), range(60)))
    assert {each.digest for each in found if each} == {lab.old.descriptor.digest} and None not in found
    seen = lab.proxy.seen[first:]
    told = next(each.at for each in seen if each.status == 429)
    late = [each for each in seen if told + 0.2 < each.at < told + 0.95]
    assert len(late) < 8, "nobody asks while one of us was told to wait, but those who had begun to"
    assert throttle.refused <= 24, throttle.refused
    rates = [sum(1 for each in seen if at <= each.at < at + 1) for at in (told + 1, told + 2)]
    assert max(rates) <= 40
    client.close()


@pytest.mark.parametrize("status", some([403, 405, 501, 400], 2))
def test_f24_no_head(lab: Lab, status: int) -> None:
    lab.proxy.rule("HEAD", ".*", Reply(status), last=FOREVER)
    result = lab.run()
    assert result.error is None, result.said
    lab.check(result, budget=USUAL + 12)


@pytest.mark.parametrize(
    ("status", "ours"), some([(status, ours) for ours in (True, False) for status in (400, 403, 409, 412)], 3)
)
def test_f29_an_immutable_tag(lab: Lab, status: int, ours: bool) -> None:
    """Refused though it is what we wanted, since somebody wrote it between our look and our PUT; or really refused."""
    if ours:
        lab.past.push_image(lab.new, lab.behind, "2.0")
        lab.proxy.rule("HEAD", "/manifests/2.0", refusal(404, "MANIFEST_UNKNOWN"), last=2)
        tag = "2.0"
    else:
        tag = "1.0"
    rule = lab.proxy.rule("PUT", f"/manifests/{tag}", refusal(status, "TAG_INVALID", "is immutable"), last=FOREVER)

    def work(client: object) -> None:
        client.check_push(lab.repository)  # type: ignore[attr-defined]
        client.push_image(lab.new, lab.repository, tag)  # type: ignore[attr-defined]

    result = lab.run(work)
    assert rule.fired == 1, "a refusal is final"
    if ours:
        assert result.error is None
    else:
        assert isinstance(result.error, ConflictError) and result.error.exit_code == 6
        assert str(lab.old.descriptor.digest) in result.text and "immutable" in result.text
    lab.check(result)


def test_f29_without_rights_a_refusal_is_a_lack_of_rights(lab: Lab) -> None:
    lab.proxy.rule("PUT", "/manifests/1.0", refusal(403, "DENIED"), last=FOREVER)
    result = lab.run(lambda client: client.push_manifest(lab.repository, lab.old.manifest + b" ", OCI_MANIFEST, "1.0"))
    assert isinstance(result.error, AuthError)
    lab.check(result, rerun=False)


def test_f3_a_slow_answer_is_waited_for(lab: Lab) -> None:
    lab.proxy.rule("PUT", "/manifests/", Delay(1.0))
    result = lab.run()
    assert result.error is None and result.client.clock.slept == []
    lab.check(result)
