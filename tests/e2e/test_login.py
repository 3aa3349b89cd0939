"""`dsci login`, and credentials that Docker does not find itself, through the real command and real registries."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted import ScriptedRegistry
from tests.e2e.conftest import Ended, Project, make_project, outcomes, released
from tests.privatebase import push_base
from tests.realregistry import RealRegistry

from dsci.drivers.tokenvariables import spelled

#: `alice` and `sesame`, in bcrypt, which is all that the registry takes.
USERS = "alice:$2b$05$aaaaaaaaaaaaaaaaaaaaaOFnFX973iHdYVMuvTBSsVpqxjoVL1V5a\n"
USER, PASSWORD = "alice", "sesame"


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """A registry that lets nobody in but alice."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "users").write_text(USERS)
    registry = RealRegistry(folder / "registry", extra=f"auth: {{htpasswd: {{realm: r, path: {folder / 'users'}}}}}\n")
    yield registry
    registry.stop()


@pytest.fixture
def private(tmp_path: Path, locked: RealRegistry, request: pytest.FixtureRequest) -> Project:
    """Two images, to be released to the locked registry; the user has a home and a Docker folder of their own."""
    project = make_project(tmp_path, locked, request.node.name)
    for name in ("home", "docker"):
        (tmp_path / name).mkdir()
    project.environment |= {
        "HOME": str(tmp_path / "home"),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "XDG_RUNTIME_DIR": str(tmp_path / "home"),
    }
    project.push(
        "feat: two images",
        {
            "images/base/Dockerfile": "FROM debian:bookworm-slim\nCOPY note /etc/note\n",
            "images/base/note": f"{request.node.name}\n",
            "images/ml/Dockerfile": "FROM base\nCOPY model.txt /opt/model.txt\n",
            "images/ml/model.txt": "v1\n",
        },
    )
    return project


def keep(project: Project, registry: str, user: str = USER, password: str = PASSWORD) -> None:
    """What `docker login` writes."""
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    config = {"auths": {registry: {"auth": auth}}}
    Path(project.environment["DOCKER_CONFIG"], "config.json").write_text(json.dumps(config))


def fed(project: Project, text: str, *arguments: str, code: int = 0) -> Ended:
    """Run a dsci command with this on its stdin."""
    argv = project.argv(*arguments)
    ended = subprocess.run(
        argv, cwd=project.folder, env=project.env(), input=text, capture_output=True, text=True, check=False, timeout=60
    )
    found = Ended(ended.returncode, ended.stdout, ended.stderr, argv)
    assert found.code == code, str(found)
    return found


def answered(registry: RealRegistry, method: str, prefix: str, status: int) -> int:
    """How many requests about uploads to repositories with this prefix got this status."""
    return len(
        re.findall(rf'"{method} /v2/{prefix}/\w+/blobs/uploads/\S* HTTP/1.1" {status} ', registry._log.read_text())
    )


def test_all_that_a_release_needs(private: Project) -> None:
    """Wherever the credentials come from: it is said, and proven, in seconds; nothing is left in the registry."""
    assert private.registry is not None
    host = private.registry.address
    end = tokened(host)
    ways: list[tuple[str, dict[str, str], tuple[str, ...], str]] = [
        (f"{USER} ($DSCI_REGISTRY_PASSWORD)", {"DSCI_REGISTRY_USER": USER, "DSCI_REGISTRY_PASSWORD": PASSWORD}, (), ""),
        (
            f"{USER} ($DSCI_REGISTRY_TOKEN_{end})",
            {f"DSCI_REGISTRY_USER_{end}": USER, f"DSCI_REGISTRY_TOKEN_{end}": PASSWORD},
            (),
            "",
        ),
        (f"{USER} (--registry-token-file)", {"DSCI_REGISTRY_USER": USER}, ("--registry-token-file", "-"), PASSWORD),
    ]
    before = dict(private.environment)
    began = time.monotonic()
    for who, given, options, stdin in ways:
        private.environment = {**before, **given}
        ended = fed(private, stdin, "login", "--check", *options)
        rows = [line.split() for line in ended.stdout.splitlines()]
        names = [f"{host}/{private.prefix}/{name}" for name in ("base", "ml")]
        assert [row[0] for row in rows] == ["REPOSITORY", *names, "Git"], str(ended)
        assert ended.stdout.count(who) == 2 and ended.stdout.count("yes") == 5, str(ended)
        assert PASSWORD not in ended.stdout + ended.stderr
    assert time.monotonic() - began < 60
    private.environment = before
    keep(private, host)
    document = private.dsci("login", "--check", "--json").json
    assert {(row["user"], row["source"], row["pull"], row["push"]) for row in document["repositories"]} == {
        (USER, private.environment["DOCKER_CONFIG"] + "/config.json", True, True)
    }
    assert [(row["what"], row["may"]) for row in document["others"]] == [("Git tags to origin", True)]
    begun = answered(private.registry, "POST", private.prefix, 202)
    assert begun == answered(private.registry, "DELETE", private.prefix, 204) == 8
    assert private.tags() == set()
    assert not list((private.registry._folder / "storage").rglob(f"repositories/{private.prefix}/*/_manifests"))


def tokened(host: str) -> str:
    return host.upper().replace(".", "_").replace(":", "_")


def test_what_is_refused(private: Project) -> None:
    """Each refusal names repository, who we were and where that was found, and what to do; the exit code is its own."""
    assert private.registry is not None
    host = private.registry.address
    ended = private.dsci("login", "--check", code=5)
    assert "as nobody: no credentials were found" in ended.stderr and f"docker login {host}" in ended.stderr
    assert f"in CI set DSCI_REGISTRY_TOKEN_{tokened(host)}" in ended.stderr
    keep(private, host, password="wrong-one")
    ended = private.dsci("login", "--check", "--json", code=5)
    for row in ended.json["repositories"]:
        assert (row["pull"], row["push"]) == (False, False)
        assert "401" in row["problem"] and f"as {USER} (credentials from " in row["problem"] and row["hint"]
    assert "wrong-one" not in ended.stdout + ended.stderr
    assert "error" not in ended.json["repositories"][0]
    # A helper that is not there.
    text = json.dumps({"credsStore": "not-there"})
    Path(private.environment["DOCKER_CONFIG"], "config.json").write_text(text)
    ended = private.dsci("login", "--check", code=5)
    assert "docker-credential-not-there is not on PATH" in ended.stderr
    # Git refuses, the registry does not.
    keep(private, host)
    private.git("remote", "set-url", "--push", "origin", str(private.folder / "nowhere.git"))
    ended = private.dsci("login", "--check", code=3)
    assert "may not push release tags to origin" in ended.stderr and "contents: write" in ended.stderr
    assert ended.stdout.count("yes") == 4 and "no" in ended.stdout.splitlines()[-1], str(ended)


def test_pulling_is_not_pushing(private: Project) -> None:
    with ScriptedRegistry(tokens=True) as server:
        server.denied = {f"repository:acme/{name}:push" for name in ("base", "ml", "other")}
        keep(private, server.host)
        where = ("--registry", f"{server.host}/acme")
        private.registry = None
        rows = private.dsci("login", "--check", "--json", *where, code=5).json["repositories"]
        assert [(row["pull"], row["push"]) for row in rows] == [(True, False), (True, False)]
        assert all("denied" in row["problem"] or "401" in row["problem"] for row in rows)
        server.denied = {"repository:acme/base:push"}
        assert "no" in private.dsci("login", "--check", "base", *where, code=5).stdout
        chosen = private.dsci("login", "--check", "--json", "ml", f"{server.host}/acme/other", *where).json
        names = [row["repository"].rpartition("/")[2] for row in chosen["repositories"]]
        assert names == ["ml", "other"] and [row["images"] for row in chosen["repositories"]] == [["ml"], []]
        for name in (server.host, f"{server.host}/acme"):
            found = private.dsci("login", "--json", name, *where).json["repositories"]
            assert len(found) == 2 and all(row["push"] is None for row in found)
        ended = private.dsci("login", "mll", *where, code=2)
        assert "did you mean 'ml'?" in ended.stderr
        assert len(server.requests("DELETE", "/blobs/uploads/")) == server.uploads


def test_without_check_nobody_is_asked(private: Project) -> None:
    assert private.registry is not None
    address, keep_running = private.registry.address, private.registry
    keep(private, address)
    writes = keep_running.writes()
    ended = private.dsci("login")
    assert f"{USER} ({private.environment['DOCKER_CONFIG']}/config.json)" in ended.stdout
    assert "dsci keeps no credentials" in ended.stderr and "docker login" in ended.stderr
    assert keep_running.writes() == writes
    private.environment["DSCI_REGISTRY_TOKEN"] = "t"
    private.registry = None
    ended = private.dsci("login", "--registry", "a.example/x", "--registry", "b.example/x", code=2)
    assert "which of a.example, b.example is it for?" in ended.stderr
    for name, says in (("none", "No such file"), ("docker", "Is a directory")):
        place = str(private.folder.parent / name)
        ended = private.dsci("login", "--registry", "a.example/x", "--registry-token-file", place, code=2)
        assert f"--registry-token-file: cannot read {place}: {says}" in ended.stderr


def test_plain_http_only_to_whom_the_environment_names(private: Project) -> None:
    """What dsci.yaml names is spoken to by TLS, which a plain registry does not answer."""
    with ScriptedRegistry(basic=f"{USER}:{PASSWORD}") as server:
        private.environment |= {"http_proxy": f"http://{server.host}", "https_proxy": "http://127.0.0.1:9"}
        private.environment |= {"no_proxy": "", "NO_PROXY": ""}
        keep(private, "reg.test")
        private.registry = None
        private.commit("chore: a registry", {"dsci.yaml": "registries: [reg.test/acme]\n"})
        private.dsci("login", "--check", code=5)
        assert server.seen == [], "nothing goes there without TLS, least of all a password"
        private.environment["DSCI_INSECURE_REGISTRIES"] = "other.test, reg.test"
        assert private.dsci("login", "--check").stdout.count("yes") == 5
        assert {seen.headers["Host"] for seen in server.requests("POST", "/uploads/")} == {"reg.test"}


@pytest.mark.engine
@pytest.mark.parametrize(
    "way",
    ["variables", pytest.param("token file", marks=pytest.mark.slow), pytest.param("podman", marks=pytest.mark.slow)],
)
def test_builds_and_pushes_see_the_same(private: Project, tmp_path: Path, way: str) -> None:
    """A base in a locked registry, and a release to it: BuildKit's client, the engine and dsci itself are let in."""
    assert private.registry is not None
    base = f"{private.registry.address}/{push_base(private.registry.address, USER, PASSWORD)}"
    private.push("feat: a private base", {"images/base/Dockerfile": f"FROM {base}\nCOPY note /etc/note\n"})
    options: tuple[str, ...] = ()
    refused = private.dsci("release", "--json", code=5)
    assert "no credentials were found" in refused.stderr
    match way:
        case "variables":
            private.environment |= {"DSCI_REGISTRY_USER": USER, "DSCI_REGISTRY_PASSWORD": PASSWORD}
        case "token file":
            (tmp_path / "token").write_text(PASSWORD)
            private.environment["DSCI_REGISTRY_USER"] = USER
            options = ("--registry-token-file", str(tmp_path / "token"))
        case _:
            (tmp_path / "home" / "containers").mkdir()
            entry: Any = {"auths": {private.registry.address: {"username": USER, "password": PASSWORD}}}
            (tmp_path / "home" / "containers" / "auth.json").write_text(json.dumps(entry))
    ended = private.dsci("release", "--json", *options)
    assert released(ended) == {"base": "0.1.0", "ml": "0.1.0"} and outcomes(ended)["ml build"] == "ok"
    assert PASSWORD not in ended.stdout + ended.stderr
    again = private.dsci("release", "--json", *options)
    assert again.json["released"] == []


COMPOSED = """\
    services:
      app:
        image: ${DSCI_IMAGE}
        command: sleep 60
      aside:
        image: %s
        command: sleep 60
    """


@pytest.mark.engine
@pytest.mark.parametrize("where", ["a Dockerfile", "a suite"])
def test_for_a_request_from_a_fork_we_are_nobody(private: Project, real_registry: RealRegistry, where: str) -> None:
    """What is pulled with this machine's credentials, a stranger could read: in a build, or in a service."""
    assert private.registry is not None
    base = f"{private.registry.address}/{push_base(private.registry.address, USER, PASSWORD)}"
    keep(private, private.registry.address)
    known = {"USER": USER, "PASSWORD": PASSWORD}
    private.environment |= {f"DSCI_REGISTRY_{kind}_{spelled(private.registry.address)}": v for kind, v in known.items()}
    private.environment["DOCKER_AUTH_CONFIG"] = Path(private.environment["DOCKER_CONFIG"], "config.json").read_text()
    if where == "a Dockerfile":
        files = {"images/base/Dockerfile": f"FROM {base}\nCOPY note /etc/note\n"}
    else:
        files = {"images/base/suites/services/compose.yaml": COMPOSED % base}
    private.push("feat: it stands on what is private", files)
    # It is published elsewhere, so that only what it stands on is private.
    here = replace(private, registry=real_registry, environment={**private.environment})
    here.in_request_of_a_fork()
    refused = here.dsci("test", "base", code=1)
    assert private.registry.address in refused.stderr and PASSWORD not in refused.stderr
    assert re.search("no credentials|unauthorized|authentication required|no basic auth", refused.stderr), str(refused)
    # A request of our own is let in.
    payload = {"pull_request": {"head": {"repo": {"id": 1}}, "base": {"repo": {"id": 1}}}}
    Path(here.environment["GITHUB_EVENT_PATH"]).write_text(json.dumps(payload))
    if where == "a Dockerfile":
        here.dsci("test", "base")


@pytest.mark.engine
@pytest.mark.slow
def test_cosign_is_let_in_too(private: Project, tmp_path: Path) -> None:
    """It asks as the docker command does, and there is nothing that docker would find."""
    assert private.registry is not None
    made = ["cosign", "generate-key-pair", "--output-key-prefix", "release"]
    environment = {**private.env(), "COSIGN_PASSWORD": "x"}
    subprocess.run(made, cwd=tmp_path, env=environment, check=True, capture_output=True)
    private.push("feat: signed", {"dsci.yaml": "attest: {sign: auto}\n"})
    private.environment |= {"COSIGN_KEY": str(tmp_path / "release.key"), "COSIGN_PASSWORD": "x"}
    private.environment |= {"DSCI_REGISTRY_USER": USER, "DSCI_REGISTRY_PASSWORD": PASSWORD}
    ended = private.dsci("release", "--json")
    assert released(ended) == {"base": "0.1.0", "ml": "0.1.0"} and "a signature to 2 images" in ended.stderr
