"""Images that the engine itself sends, from the real engine to real registries."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import realengine
from tests.realregistry import RealRegistry

from dsci.drivers.engine import DockerEngine
from dsci.drivers.enginetransfer import login
from dsci.drivers.keychain import Credentials, Keychain
from dsci.drivers.runs import Run
from dsci.model.oci import Digest
from dsci.model.reference import Reference, Repository

pytestmark = pytest.mark.engine

#: `alice` and `sesame`, in bcrypt, which is all that the registry takes.
_USERS = "alice:$2b$05$aaaaaaaaaaaaaaaaaaaaaOFnFX973iHdYVMuvTBSsVpqxjoVL1V5a\n"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path / "state")
    yield run
    run.close()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RealRegistry]:
    started = RealRegistry(tmp_path / "registry")
    yield started
    started.stop()


@pytest.fixture
def image() -> Iterator[Reference]:
    with realengine.image("FROM scratch\nCOPY x /x\n", {"x": os.urandom(8).hex()}) as name:
        yield name


def keychain(folder: Path, host: str, user: str, password: str) -> Keychain:
    folder.mkdir()
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    return Keychain(folder)


def there(engine: DockerEngine, *names: Reference) -> list[Reference]:
    """Those of these names that the engine has."""
    return [name for name in names if engine.image_id(name) is not None]


def test_what_is_sent_has_the_engines_digest(run: Run, registry: RealRegistry, image: Reference) -> None:
    engine = DockerEngine(os.environ, run)
    if engine.mode == "classic":
        pytest.skip("on the classic store the registry names another digest: dsci does not send this way there")
    place = Repository.parse(f"{registry.address}/acme/x")
    sent = place.tag(f"dsci-k-{run.nonce}")
    assert engine.push(image, sent) == ""
    digest = registry.digest("acme/x", f"dsci-k-{run.nonce}")
    assert digest is not None and engine.image_id(image) == digest
    assert there(engine, sent, place.at(Digest.parse(digest))) == [], "the names of the transfer are gone"
    # A second repository gets the layers from the first one.
    assert engine.push(image, Reference.parse(f"{registry.address}/acme/y:1")) == ""
    assert registry.digest("acme/y", "1") == digest


def test_credentials_are_shown_and_a_refusal_is_told(run: Run, tmp_path: Path, image: Reference) -> None:
    (tmp_path / "users").write_text(_USERS)
    registry = RealRegistry(
        tmp_path / "locked", extra=f"auth: {{htpasswd: {{realm: r, path: {tmp_path / 'users'}}}}}\n"
    )
    place = Reference.parse(f"{registry.address}/acme/x:1")
    try:
        for n, (user, password, well) in enumerate((("alice", "wrong", False), ("alice", "sesame", True))):
            engine = DockerEngine(os.environ, run, keychain(tmp_path / str(n), registry.address, user, password))
            why = engine.push(image, place)
            assert (why == "") is well and "sesame" not in why and "wrong" not in why
            assert there(engine, place) == []
        assert DockerEngine(os.environ, run).push(image, place) != "", "a stranger may not push"
    finally:
        registry.stop()
    assert DockerEngine(os.environ, run).push(image, place) != "", "nobody is there"
    assert there(DockerEngine(os.environ, run), place) == []


def test_what_is_not_there_is_told(run: Run, registry: RealRegistry, image: Reference) -> None:
    engine = DockerEngine(os.environ, run)
    nothing, sent = (Reference.parse(f"{host}/none:1") for host in ("dsci.local", registry.address))
    assert engine.push(nothing, sent) != ""
    assert there(engine, nothing, sent) == []


def test_a_run_that_is_stopped_waits_for_nobody(run: Run, registry: RealRegistry, image: Reference) -> None:
    engine = DockerEngine(os.environ, run)
    engine.version()
    engine.cancel()
    sent = Reference.parse(f"{registry.address}/acme/x:1")
    assert engine.push(image, sent) == "this run was stopped"
    assert there(engine, sent) == []


def test_the_names_of_a_dead_runs_transfers_are_swept(run: Run, image: Reference, tmp_path: Path) -> None:
    program = (
        "import sys, os; from pathlib import Path; from dsci.drivers.runs import Run;"
        "print(Run(Path(sys.argv[1])).nonce, flush=True); os.kill(os.getpid(), 9)"
    )
    argv = ["python", "-c", program, str(tmp_path / "state")]
    nonce = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
    left = Reference.parse(f"127.0.0.1:1/acme/x:dsci-0123-{nonce}")
    engine = DockerEngine(os.environ, run)
    engine.tag(image, left)
    engine.sweep()
    assert there(engine, left) == []


def test_logins_by_kind() -> None:
    hub, other = Reference.parse("acme/x:1"), Reference.parse("ghcr.io/acme/x:1")
    assert login(other, None) == {}
    assert login(hub, Credentials(username="a", password="b")) == {
        "serveraddress": "https://index.docker.io/v1/",
        "username": "a",
        "password": "b",
    }
    assert login(other, Credentials(identity_token="t"))["identitytoken"] == "t"
    assert login(other, Credentials(registry_token="t")) == {"serveraddress": "ghcr.io", "registrytoken": "t"}
