"""Suites on this machine with an engine that is elsewhere: it sees no file from here, and ports are not on loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import realengine
from tests.realengine import NATIVE, containers, networks, volumes
from tests.secondengine import second_engine
from tests.suites.conftest import BARE

from dsci.drivers.engine import DockerEngine
from dsci.drivers.hostside import HostSide
from dsci.drivers.runs import LABEL, Run
from dsci.model.family import Suite
from dsci.model.report import Verdict
from dsci.suites import run as suites
from dsci.suites.subject import Still, Subject

pytestmark = [pytest.mark.engine, pytest.mark.slow]

#: A server, in what even the smallest Debian has.
SERVER = r"""
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die;
while (my $client = $server->accept) {
    while (<$client>) { last if /^\r?$/ }
    open my $file, "<", "/srv/word"; my $word = <$file>; chomp $word;
    print $client "HTTP/1.1 200 OK\r\nContent-Length: " . length($word) . "\r\nConnection: close\r\n\r\n$word";
    close $client;
}
"""
COMPOSE = """\
services:
  web:
    image: ${DSCI_IMAGE}
    command: [perl, /server.pl]
    init: true
    ports: ["8080:8080"]
    volumes: ["./server.pl:/server.pl:ro", "./srv:/srv"]
"""
TESTS = """\
def test_service(service, http):
    web = service("web")
    assert http.get(web.url(8080)).text == "from the suite"
    assert "127.0.0.1" not in web.url(8080)

def test_container(container):
    container.run_detached(command=["perl", "-MIO::Socket::INET", "-e", SERVER], ports=[9000])
    assert "127.0.0.1" not in container.url(9000)

SERVER = "my $s = IO::Socket::INET->new(LocalPort => 9000, Listen => 5); while (1) { sleep 1 }"
"""
CHECKS = "checks: [{http: /, service: web, body: ^from the suite, within: 20s}]\n"


@pytest.fixture(params=[False, True], ids=["classic", "containerd"])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """From here on, the engine is another machine's."""
    with second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=request.param, remote=True) as endpoint:
        monkeypatch.setenv("DOCKER_HOST", endpoint.remote)
        yield


@pytest.mark.usefixtures("elsewhere")
def test_services_of_an_engine_elsewhere(tmp_path: Path) -> None:
    files = {"compose.yaml": COMPOSE, "server.pl": SERVER, "srv/word": "from the suite\n", "checks.yaml": CHECKS}
    files["test_web.py"] = TESTS
    run = Run(tmp_path / "state")
    engine = DockerEngine(os.environ, run)
    suite = Suite(name="x/s", kind="service", owner="x", path="s", files=tuple(f"s/{each}" for each in files))
    with realengine.image(BARE) as image, Still(engine, image, NATIVE) as still:
        subject = Subject(
            engine=engine,
            image=image,
            platform=NATIVE,
            still=still,
            read=lambda path: files[path.removeprefix("s/")].encode(),
            executable=lambda path: False,
            allow=frozenset({"host-tests"}),
            host_side=HostSide(os.environ, run),
        )
        report = suites.run(suite, subject, target="x@linux/amd64")
        engine.collect(wait=True)
        left = [look(f"{LABEL}={run.id}") for look in (containers, networks, volumes)]
    run.close()
    assert [(check.name, check.verdict) for check in report.checks] == [
        ("services come up", Verdict.PASSED),
        ("web: GET /", Verdict.PASSED),
        ("test_web::test_service", Verdict.PASSED),
        ("test_web::test_container", Verdict.PASSED),
    ], report.checks
    assert left == [set(), set(), set()]
