"""Fixtures for tests on this machine: the image under test, containers of it, HTTP to them, and services.

`pytest_plugin` brings them in. Whatever a test starts is removed after it; a test that fails shows what its containers
printed. A session that dsci started belongs to that run, and ends with it; one that a person started is a run itself.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from dsci.drivers import enginereach, enginesweep, runs
from dsci.drivers.compose import ComposeServices
from dsci.drivers.composed import Compose, Service
from dsci.drivers.engineclient import connect, talking
from dsci.drivers.hostsession import Session
from dsci.drivers.running import Result, Running
from dsci.drivers.runs import LABEL, Run
from dsci.drivers.tracked import TrackedContainer
from dsci.errors import DsciError
from dsci.model.text import clean

__all__ = ["Compose", "Http", "Image", "Result", "Running", "Service", "TrackedContainer"]

_ALLOWING = "allow it where you trust the tests: --dsci-allow {}"
#: How much of a log is shown with a test that fails, in characters.
_SHOWN = 4000
#: Answers of a server that is still coming up behind a proxy.
_NOT_YET = (502, 503, 504)
_SESSION = pytest.StashKey[Session]()
_RUN = pytest.StashKey[Run]()


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """The image under test."""

    reference: str
    """Its name in the engine."""
    id: str
    """What the engine tells it from others by: a digest."""
    config: Mapping[str, Any]
    """Its config object, as the engine gives it (`Env`, `Entrypoint`, `Labels` …)."""

    def __str__(self) -> str:
        return self.reference


class Http(requests.Session):
    """Requests that wait until a server answers, at most `deadline` seconds; proxies of this machine are not asked.

    What is no question (POST and the like) is sent again only while nobody takes the connection.
    """

    def __init__(self, deadline: float = 30.0) -> None:
        super().__init__()
        self.deadline = deadline
        self.trust_env = False

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """See `requests.Session.request`; a single attempt may take 10 seconds where nothing else is said."""
        kwargs.setdefault("timeout", 10)
        asks = str(method).upper() in ("GET", "HEAD", "OPTIONS")
        end = time.monotonic() + self.deadline
        while True:
            try:
                response = super().request(method, url, *args, **kwargs)
            except (requests.ConnectionError, requests.Timeout) as error:
                if time.monotonic() > end or not (asks or isinstance(error, requests.ConnectTimeout)):
                    raise
            else:
                if response.status_code not in _NOT_YET or not asks or time.monotonic() > end:
                    return response
            time.sleep(0.2)


# ----------------------------------------------------------------------------------------------------------- fixtures


@pytest.fixture(scope="session")
def _client() -> Any:
    return connect(os.environ)[0]


@pytest.fixture(scope="session")
def _host() -> str:
    return enginereach.machine(os.environ)


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest, _client: Any) -> Image:
    """The image under test."""
    session = request.config.stash[_SESSION]
    with talking():
        told = _client.api.inspect_image(session.image)
    return Image(reference=session.image, id=str(told["Id"]), config=told.get("Config") or {})


@pytest.fixture
def container(request: pytest.FixtureRequest, _client: Any, _host: str) -> Iterator[TrackedContainer]:
    """A container of the image, started by `run_detached` or `run_and_wait`, and removed after the test."""
    tracked = TrackedContainer(_client, request.config.stash[_SESSION], _host)
    yield tracked
    tracked.remove()


@pytest.fixture(name="exec")
def execute(container: TrackedContainer) -> Callable[..., Result]:
    """Runs a command in `container`, which is started as the image says unless it is running."""

    def run(command: str | Sequence[str], **how: Any) -> Result:
        return container.started().exec(command, **how)

    return run


@pytest.fixture
def http() -> Iterator[Http]:
    """Requests that wait until a server answers; `container.url(PORT)` says where."""
    with Http() as session:
        yield session


@pytest.fixture(scope="session")
def compose(request: pytest.FixtureRequest, _host: str) -> Compose:
    """The services of the suite's compose file, which are up."""
    file = request.config.stash[_SESSION].services
    if not file:
        pytest.fail("there are no services: put the test into a folder with a compose.yaml", pytrace=False)
    return Compose(ComposeServices(Path(file), os.environ), _host)


@pytest.fixture(scope="session")
def service(compose: Compose) -> Callable[[str], Service]:
    """Gives a service of the suite's compose file by its name."""
    return compose.service


# -------------------------------------------------------------------------------------------------------------- hooks


def pytest_configure(config: pytest.Config) -> None:
    """Read how dsci started this session, or begin a run of its own."""
    if file := config.getoption("--dsci-session"):
        session = msgspec.json.decode(Path(file).read_bytes(), type=Session)
        if not hasattr(config, "workerinput"):  # pytest-xdist's workers end with the process that they work for
            threading.Thread(target=_end_with, args=(session.parent,), daemon=True).start()
    else:
        run = config.stash[_RUN] = Run(runs.state(os.environ))
        run.sweep()
        if run.any_dead():
            enginesweep.sweep(connect(os.environ)[0], run)
        session = Session(
            image=config.getoption("--dsci-image"),
            labels={LABEL: run.id},
            allow=tuple(config.getoption("--dsci-allow")),
            allowing=_ALLOWING,
        )
    config.stash[_SESSION] = session


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the run, if it is this session's own."""
    if run := config.stash.get(_RUN, None):
        run.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a test that fails what its containers printed, and what to do about an error of dsci's own."""
    report = yield
    add = getattr(report.longrepr, "addsection", None)
    if not report.failed or add is None:
        return report
    if call.excinfo is not None and isinstance(call.excinfo.value, DsciError) and call.excinfo.value.hint:
        add("what to do", call.excinfo.value.hint, "-")
    for held in getattr(item, "funcargs", {}).values():
        if isinstance(held, TrackedContainer | Compose):
            for name, log in held.logs().items():
                add(f"log of {name}", clean(log, _SHOWN), "-")
    return report


def _end_with(parent: int) -> None:
    """End this process once the run that it belongs to is gone: nobody would end it, nor read what it finds."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(3)
