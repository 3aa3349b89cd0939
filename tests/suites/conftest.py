"""Images to run suites in, built once a session; subjects that look at them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests import realengine
from tests.realengine import NATIVE

from dsci.drivers.engine import DockerEngine
from dsci.drivers.hostside import HostSide
from dsci.drivers.runs import Run
from dsci.model.family import Suite
from dsci.model.limits import Limits
from dsci.model.reference import Reference
from dsci.model.report import Check, SuiteReport, Verdict
from dsci.suites import run as suites
from dsci.suites.clock import Clock, Total
from dsci.suites.subject import Still, Subject, bounds

PLAIN = r"""
FROM debian:bookworm-slim
RUN mkdir -p /t/a /t/c/d && echo hello > /t/c/x && ln -s ../x /t/c/d/up && ln -s ../c/d /t/a/deep \
 && ln -s deep/up /t/a/chain && ln -s x /t/c/rel && ln -s /t/c/x /t/abs && ln -s self /t/self \
 && ln -s /no/where /t/dangling && ln -s /t/c /t/folder-link && mkfifo /t/pipe \
 && cp /bin/true /t/setuid && chmod 4755 /t/setuid && mkdir /t/sticky && chmod 1777 /t/sticky \
 && cp /bin/true /t/owned && chown 12:34 /t/owned && chmod 2750 /t/owned && : > /t/empty && chmod 000 /t/empty \
 && printf 'a\nb\nlast' > /t/lines && printf 'caf\351\n' > /t/latin && echo dollar > '/t/$HOMEDIR' \
 && head -c 17000000 /dev/zero > /t/large \
 && printf '#!/bin/sh\necho ENTRY "$@"\n' > /entry.sh && chmod +x /entry.sh
ENV GREETING="hello world" EMPTY="" NUM=1.10 HOMEDIR=/t/c EQ=a=b=c
LABEL version=1.10 plain=x multi="a b" empty=""
WORKDIR /t
USER 1234:5678
EXPOSE 8080 53/udp 443/tcp
VOLUME ["/data", "/t/vol"]
ENTRYPOINT ["/entry.sh", "entry"]
CMD ["cmd", "x y"]
"""
#: Nothing but what a base image has.
BARE = "FROM debian:bookworm-slim\nCMD ls -la\n"
PYTHON = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*
"""
#: The least that runs a notebook.
JUPYTER = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/*
RUN python3 -m pip install --no-cache-dir --break-system-packages ipykernel
"""
BATS = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends bats && rm -rf /var/lib/apt/lists/*
"""
R = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends r-base-core && rm -rf /var/lib/apt/lists/*
"""
TESTTHAT = R.replace("r-base-core", "r-cran-testthat")
#: A server: it says so in its log, obeys SIGTERM, becomes healthy, and prints what it is asked.
SERVER = (
    PYTHON
    + r"""
COPY <<'EOF' /serve.py
import http.server, os, signal, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, headers, body = 200, {"Content-Type": "text/plain"}, b"hello"
        if self.path == "/away":
            status, headers = 302, {"Location": "http://169.254.169.254/latest"}
        elif self.path == "/on":
            status, headers = 302, {"Location": "/"}
        elif self.path == "/round":
            status, headers = 302, {"Location": "/round"}
        elif self.path == "/broken":
            status = 500
        elif self.path == "/large":
            body = b"x" * (2 << 20)
        elif self.path == "/once":
            Handler.once = getattr(Handler, "once", 0) + 1
            status = 200 if Handler.once > 2 else 503
        elif self.path == "/said":
            body = self.headers.get("X-Said", "").encode()
        self.answer(status, headers, body)

    def do_POST(self):
        self.answer(201, {}, self.rfile.read(int(self.headers["Content-Length"]))[::-1])

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

signal.signal(signal.SIGTERM, signal.SIG_IGN if "--deaf" in sys.argv else lambda *_: sys.exit(3))
if "--broken" in sys.argv:
    sys.exit("no such model: [31mlarge[0m")
print("[32mserving as %d:%d[0m" % (os.getuid(), os.getgid()), flush=True)
time.sleep(0.3)
open("/tmp/ready", "w").close()
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
EOF
ENV PORT=8888
EXPOSE 8888 53/udp
HEALTHCHECK --interval=1s --start-interval=200ms --start-period=10s --retries=1 \
  CMD test -e /tmp/ready && echo fine || { echo not yet; exit 1; }
ENTRYPOINT ["python3", "/serve.py"]
CMD ["--plain"]
"""
)


@pytest.fixture(scope="session")
def server() -> Iterator[Reference]:
    with realengine.image(SERVER) as name:
        yield name


@pytest.fixture(scope="session")
def plain() -> Iterator[Reference]:
    with realengine.image(PLAIN) as name:
        yield name


@pytest.fixture(scope="session")
def bare() -> Iterator[Reference]:
    with realengine.image(BARE) as name:
        yield name


@pytest.fixture(scope="session")
def python() -> Iterator[Reference]:
    with realengine.image(PYTHON) as name:
        yield name


@pytest.fixture(scope="session")
def jupyter() -> Iterator[Reference]:
    with realengine.image(JUPYTER) as name:
        yield name


@pytest.fixture(scope="session")
def bats() -> Iterator[Reference]:
    with realengine.image(BATS) as name:
        yield name


@pytest.fixture(scope="session")
def r() -> Iterator[Reference]:
    with realengine.image(R) as name:
        yield name


@pytest.fixture(scope="session")
def testthat() -> Iterator[Reference]:
    with realengine.image(TESTTHAT) as name:
        yield name


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path / "state")
    yield run
    run.close()


@pytest.fixture
def engine(run: Run) -> Iterator[DockerEngine]:
    engine = DockerEngine(os.environ, run)
    yield engine
    engine.collect(wait=True)


@pytest.fixture
def host_side(run: Run) -> HostSide:
    return HostSide(os.environ, run)


Subjects = Callable[..., Subject]


@pytest.fixture
def subject(engine: DockerEngine) -> Iterator[Subjects]:
    """Makes a subject of an image and a suite's files."""
    closing = ExitStack()

    def make(
        image: Reference,
        files: Mapping[str, str | bytes] | None = None,
        *,
        timeout: float = 60,
        suite: float = 600,
        total: Total | None = None,
        processes: int = 0,
        memory: int = 0,
        disk: int = 0,
        executable: str = "",
        allow: Collection[str] = (),
        host_side: HostSide | None = None,
    ) -> Subject:
        contents = {path: text.encode() if isinstance(text, str) else text for path, text in (files or {}).items()}
        limits = Limits(check=timeout, suite=suite, processes=processes, memory=memory, disk=disk)
        return Subject(
            engine=engine,
            image=image,
            platform=NATIVE,
            still=closing.enter_context(Still(engine, image, NATIVE)),
            clock=Clock(limits, total or Total()),
            bounds=bounds(limits, "raise suites.{}"),
            read=contents.__getitem__,
            executable=lambda path: path == executable,
            allow=frozenset(allow),
            allowing="allow {}",
            host_side=host_side,
        )

    with closing:
        yield make


#: Where the suites of tests lie.
FOLDER = "images/x/suites"


def suite(kind: str, files: Mapping[str, object], *, folder: str = FOLDER) -> Suite:
    """A suite of these files, by their paths from the repository's root."""
    return Suite(name=f"x/{kind}", kind=kind, owner="x", path=folder, files=tuple(sorted(files)))


def run_suite(
    kind: str, subject: Subjects, image: Reference, files: Mapping[str, str | bytes], **more: Any
) -> SuiteReport:
    """Run these files (paths below the suite's folder) in an image."""
    placed = {f"{FOLDER}/{name}": text for name, text in files.items()}
    if "executable" in more:
        more["executable"] = f"{FOLDER}/{more['executable']}"
    return suites.run(suite(kind, placed), subject(image, placed, **more), target="x@linux/amd64")


def verdicts(found: SuiteReport) -> dict[str, Verdict]:
    return {check.name: check.verdict for check in found.checks}


def details(found: SuiteReport) -> dict[str, str]:
    return {check.name: check.detail for check in found.checks}


def only(found: SuiteReport) -> Check:
    (check,) = found.checks
    return check
