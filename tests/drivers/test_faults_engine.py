"""Fault F37: the engine's own push, where the registry refuses it, and where its story breaks off."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faultlab import PASSWORD, USER, Keys, Lab
from tests import realengine
from tests.faults import FOREVER, Action, Lost, Pieces, Reset, Rewrite, Silent, Truncate, refusal
from tests.faultyproxy import FaultyProxy

from dsci.drivers import engineclient
from dsci.drivers.engine import DockerEngine
from dsci.drivers.keychain import Credentials
from dsci.drivers.runs import Run
from dsci.model.reference import Reference

pytestmark = pytest.mark.engine

TAG = "dsci-by-engine"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path / "state")
    yield run
    run.close()


@pytest.fixture
def image() -> Iterator[Reference]:
    """One that was never pushed: its blobs cannot be mounted from elsewhere."""
    with realengine.image("FROM scratch\nCOPY x /x\n", {"x": os.urandom(8).hex()}) as name:
        yield name


@pytest.fixture
def api() -> Iterator[FaultyProxy]:
    """The engine's own interface, in which things go wrong too."""
    host = os.environ["DOCKER_HOST"]
    if not host.startswith("unix://"):
        pytest.skip("the engine is not at a socket file")
    with FaultyProxy("127.0.0.1", host.removeprefix("unix://")).serving() as proxy:
        yield proxy


def engine(api: FaultyProxy, run: Run) -> DockerEngine:
    me = Keys(Credentials(username=USER, password=PASSWORD, source="config.json"))
    return DockerEngine({**os.environ, "DOCKER_HOST": f"tcp://{api.host}"}, run, me)  # type: ignore[arg-type]


def without_digest(pieces: Pieces) -> Pieces:
    """A story whose last line is missing, though it ends in good order."""
    for piece in pieces:
        yield b"".join(
            line for line in piece.splitlines(keepends=True) if b"digest:" not in line and b"aux" not in line
        )


def pushed(lab: Lab, api: FaultyProxy, run: Run, image: Reference) -> str:
    """What the engine's push ends in; whatever that is, what must hold then does."""
    there, began = engine(api, run), time.monotonic()
    if there.mode == "classic":
        pytest.skip("on the classic store dsci does not send this way")
    to = lab.repository.tag(TAG)
    why = there.push(image, to)
    assert time.monotonic() - began < 30
    assert not any(secret in why for secret in lab.gate.secrets) and ("_state=" not in why or "REDACTED" in why)
    assert realengine.docker("image", "ls", "--quiet", str(to)) == "", "the name of the transfer is gone"
    found, digest = lab.past.resolve(lab.behind.tag(TAG)), there.image_id(image)
    assert found is None or str(found.digest) == digest, "what was planned, or nothing"
    assert why or found is not None, "never well without the image"
    lab.check(lab.run(lambda client: client.resolve(lab.repository.tag("latest"))), rerun=False)
    return why


def again(lab: Lab, api: FaultyProxy, run: Run, image: Reference) -> None:
    """Without the fault, the same push arrives."""
    api.calm()
    lab.proxy.calm()
    assert pushed(lab, api, run, image) == ""


@pytest.mark.parametrize(
    ("method", "path", "action", "said"),
    [
        ("PUT", "/manifests/", refusal(500, "UNKNOWN"), "500"),
        pytest.param("PUT", "/blobs/uploads/", refusal(403, "DENIED"), "403", marks=pytest.mark.slow),
        pytest.param("POST", "/blobs/uploads/", refusal(403, "DENIED", "no rights"), "403", marks=pytest.mark.slow),
        pytest.param("GET", "^/token", refusal(401, "UNAUTHORIZED"), "401", marks=pytest.mark.slow),
        pytest.param("PUT", "/blobs/uploads/", Reset(up=0), "", marks=pytest.mark.slow),
    ],
)
def test_f37_a_registry_that_refuses_the_engine(
    lab: Lab, api: FaultyProxy, run: Run, image: Reference, method: str, path: str, action: Action, said: str
) -> None:
    """The engine answers 200 and tells of the error at the end of its story."""
    lab.proxy.rule(method, path, action, last=FOREVER)
    why = pushed(lab, api, run, image)
    assert why and said in why
    assert lab.past.resolve(lab.behind.tag(TAG)) is None
    again(lab, api, run, image)


@pytest.mark.parametrize(
    "action",
    [
        pytest.param(Truncate(60), id="cut"),
        pytest.param(Rewrite(body=without_digest), id="no digest"),
        pytest.param(Reset(down=60), id="restarts", marks=pytest.mark.slow),
        pytest.param(Lost(), id="lost", marks=pytest.mark.slow),
    ],
)
def test_f37_a_story_that_breaks_off(lab: Lab, api: FaultyProxy, run: Run, image: Reference, action: Action) -> None:
    rule = api.rule("POST", "/images/.*/push", action)
    why = pushed(lab, api, run, image)
    assert why and rule.fired == 1, "not taken for a success"
    again(lab, api, run, image)


def test_f37_an_engine_that_says_nothing(
    lab: Lab, api: FaultyProxy, run: Run, image: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when its registry never answers: it is listened to for as long as any call may be silent, and no longer."""
    monkeypatch.setattr(engineclient, "_CALL_TIMEOUT", 3)
    rule = api.rule("POST", "/images/.*/push", Silent())
    assert "timed out" in pushed(lab, api, run, image) and rule.fired == 1
    again(lab, api, run, image)


def test_f37_what_arrived_is_not_sent_again(lab: Lab, api: FaultyProxy, run: Run, image: Reference) -> None:
    """The push went well and nobody heard of it: what dsci sends then finds everything there."""
    api.rule("POST", "/images/.*/push", Lost())
    assert pushed(lab, api, run, image) != ""
    found = lab.past.manifest(lab.behind.tag(TAG))
    assert found is not None
    client = lab.client()
    client.push_manifest(lab.repository, found[1], found[0].media_type, TAG)
    assert client.writes == 0
