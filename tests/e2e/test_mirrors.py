"""Several registries, one digest: one that is down fails alone, the others complete, a later run makes up for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.e2e.conftest import Ended, Project, outcomes, released
from tests.e2e.gated import FILES, IMAGES, Gated, gated
from tests.gate import Gate, Write
from tests.realregistry import RealRegistry
from tests.serving import serving

pytestmark = pytest.mark.engine


class Two:
    """A family behind a gate that is released to a second registry as well, which has a gate of its own."""

    def __init__(self, project: Gated, mirror: RealRegistry, gate: Gate) -> None:
        self.mirror, self.gate = mirror, gate
        self.place = gate.address
        self.project = replace(project, mirrors=(f"{gate.address}/{project.prefix}",))

    def shown(self) -> dict[str, str | None]:
        """The public tags of the second registry and what they name."""
        prefix = self.project.prefix
        return {
            f"{name}:{tag}": self.mirror.digest(f"{prefix}/{name}", tag)
            for name in IMAGES
            for tag in sorted(self.mirror.tags(f"{prefix}/{name}"))
        }

    def check_failed_alone(self, ended: Ended) -> None:
        """The release stands where it could, and the other registry is an outcome of its own."""
        assert ended.code == 5, str(ended)
        assert outcomes(ended)[f"{self.place} publish"] == "failed" and self.place in ended.stderr, str(ended)
        assert [item["subject"] for item in ended.json["outcomes"] if item["status"] != "ok"] == [self.place]
        self.project.check_finished()

    def check_equal(self) -> None:
        """Both show the same, all of it."""
        self.project.check_finished()
        assert self.shown() == self.project.public() != {}


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    mirror = RealRegistry(tmp_path / "mirror")
    try:
        with gated(tmp_path, "two", FILES) as project, Gate(mirror.address, None, tmp_path / "m").serving() as gate:
            yield Two(project, mirror, gate)
    finally:
        mirror.stop()


def test_a_registry_that_refuses_connections(two: Two) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        down = f"127.0.0.1:{closed.getsockname()[1]}"
        there = two.project.mirrors
        two.project.mirrors, place = (f"{down}/{two.project.prefix}",), two.place
        two.place = down
        ended = two.project.release(code=5)
        two.check_failed_alone(ended)
        assert released(ended) == dict.fromkeys(IMAGES, "1.0.0")
        # As long as it is down every run says so, and does nothing else.
        two.project.gate.open()
        again = two.project.release(code=5)
        assert again.json["publications"] == [] and two.project.gate.seen == [], str(again)
    two.project.mirrors, two.place = there, place
    ended = two.project.release()
    two.check_equal()
    assert {item["reference"].partition("/")[0] for item in ended.json["publications"] if item["changed"]} == {place}
    two.project.gate.open()
    two.gate.open()
    two.project.release()
    assert two.project.gate.seen == two.gate.seen == []


class _Broken(BaseHTTPRequestHandler):
    def answer(self) -> None:
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("how", ["500 for ever", "TLS"])
def test_a_registry_that_is_out_of_order(two: Two, how: str) -> None:
    """HTTP where HTTPS is wanted fails as any wrong certificate does; neither is asked over and over."""
    host = "127.0.0.1"
    if how == "TLS":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it says which address this machine has
            host = probe.getsockname()[0]
        assert not host.startswith("127."), "this machine has no address but the loopback's"
    server = ThreadingHTTPServer((host, 0), _Broken)
    with serving(server):
        two.place = f"{host}:{server.server_port}"
        two.project.mirrors = (f"{two.place}/{two.project.prefix}",)
        two.check_failed_alone(two.project.release(code=5))


@pytest.mark.slow
def test_a_registry_that_breaks_after_the_claim(two: Two) -> None:
    """Its floating tags stay where they are until all its versions stand; those of the others do not wait for it."""
    project = two.project
    project.release()
    two.check_equal()
    old = two.shown()
    project.push("feat(base): another note", {"images/base/note": "new\n"})

    def judge(write: Write, acted: bool) -> None:
        if write.public and "/python/" in write.what and not acted:
            raise ConnectionAbortedError

    two.gate.judge = judge
    two.check_failed_alone(project.release(code=5))
    now = two.shown()
    assert {name: now.get(name) for name in old} == old, "a name of before was moved"
    assert "python:1.0.1" not in now
    two.gate.open()
    project.release()
    two.check_equal()


@pytest.mark.slow
def test_a_registry_that_missed_several_releases(two: Two) -> None:
    """All of them are made up for, floating tags at the newest."""
    project: Project = two.project
    project.release()
    two.mirror.stop()
    for number in (2, 3):
        project.push("fix(ml): again", {"images/ml/model.txt": f"v{number}\n"})
        project.release(code=5)
    two.mirror.start()
    project.release()
    two.check_equal()
    assert "ml:1.0.1" in two.shown() and "ml:1.0.2" in two.shown()


@pytest.mark.slow
def test_the_primary_registry_is_down(two: Two) -> None:
    """Nothing can stand without it: nothing is claimed, whatever the other one says."""
    registry = two.project.registry
    assert registry is not None
    registry.stop()
    try:
        ended = two.project.dsci("release", code=5)
        assert two.project.gate.address in ended.stderr
        assert two.project.claims() == {} and two.shown() == {}
    finally:
        registry.start()
