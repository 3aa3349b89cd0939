"""The worst day: everything a user, a machine or a server can get wrong, through the real command.

Each refusal is held to the same promises: the exit code of its kind, one paragraph that says what happened and where,
a last line that says what to do, no traceback, and nothing half-written anywhere.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import TINY, Ended, Project, outcomes, released
from tests.realengine import docker, gone, of_runs
from tests.realregistry import RealRegistry
from tests.serving import serving

pytestmark = pytest.mark.engine

FAILED, CONFIG, HISTORY, BUILDER, REGISTRY, CONFLICT = 1, 2, 3, 4, 5, 6
NOTHING: dict[str, str] = {}


# ------------------------------------------------------------------------------------------------ what is promised


def complaint(ended: Ended) -> str:
    """What dsci said when it refused: one paragraph and, as the last line of all, what to do."""
    lines = ended.stderr.rstrip("\n").split("\n")
    starts = [n for n, line in enumerate(lines) if line.startswith("dsci: ")]
    assert len(starts) == 1, f"not one complaint but {len(starts)}\n{ended}"
    *message, advice = lines[starts[0] :]
    assert advice.startswith("  → ") and len(advice) > len("  → run it"), f"the last line is no advice\n{ended}"
    assert message and all(line.strip() for line in message), f"not one paragraph\n{ended}"
    assert not re.search(r"Traceback|Error\(|<class|\bNone\b|0x[0-9a-f]{8}", "\n".join(lines)), str(ended)
    assert "\x1b" not in ended.stderr + ended.stdout, str(ended)
    return "\n".join([*message, advice])


def _traces(project: Project) -> dict[str, Any]:
    """Everything that a refused run must leave as it was."""
    found: dict[str, Any] = {"images in the engine": project.in_engine()}
    if (project.folder / ".git").exists():
        found["tags here"] = project.git("for-each-ref", "refs/tags")
        found["work tree"] = project.git("status", "--porcelain", "--ignored", "--untracked-files=all")
        found["index"] = project.git("ls-files", "--stage")
    if project.remote is not None and project.remote.exists():
        found["refs of the remote"] = project.git("-C", str(project.remote), "for-each-ref")
    if project.registry is not None and project.registry._process is not None:
        found["public tags"] = {name: project.images(name) for name in ("base", "ml")}
    runs = project.state / "dsci" / "runs"
    found["scratch"] = sorted(path.name for path in runs.iterdir()) if runs.is_dir() else []
    return found


def refused(project: Project, *arguments: str, code: int, says: tuple[str, ...] = ()) -> Ended:
    """Run a command that must refuse; hold it to its code, its words, and to leaving no trace."""
    before, runs = _traces(project), of_runs()
    ended = project.dsci(*arguments, code=code)
    text = complaint(ended)
    for words in says:
        assert words in text, f"{words!r} is not said\n{ended}"
    assert _traces(project) == before, f"something was left behind\n{ended}"
    gone(of_runs() - runs)
    return ended


def released_in_the_end(project: Project, **versions: str) -> Ended:
    """The cause is gone: the same command does what was asked for."""
    ended = project.release()
    assert released(ended) == versions
    assert project.tags() == {f"{name}-v{version}" for name, version in versions.items()}
    return ended


# ------------------------------------------------------------------------------------------------ Git


def test_no_git_repository(tmp_path: Path) -> None:
    project = Project(folder=tmp_path / "folder", state=tmp_path / "state")
    project.folder.mkdir()
    project.write({f"images/{name}/Dockerfile": text for name, text in TINY.items()})
    for command in ("release", "plan", "build", "test", "version", "tags", "lock"):
        refused(project, command, code=HISTORY, says=("is not in a Git repository", "git init"))
    assert list(project.folder.iterdir()) == [project.folder / "images"]


def test_no_commits(tmp_path: Path) -> None:
    project = Project(folder=tmp_path / "folder", state=tmp_path / "state")
    project.folder.mkdir()
    project.git("init", "--quiet")
    project.write({"Dockerfile": "FROM debian:bookworm-slim\n"})
    for command in ("release", "plan", "build", "version"):
        refused(project, command, code=HISTORY, says=("no commits", "commit"))


def test_shallow_clone(tiny: Project, tmp_path: Path) -> None:
    """What needs history is refused and says the CI setting; what needs none works."""
    tiny.push("fix: more", {"images/ml/model.txt": "v2\n"})
    shallow = Project(
        folder=tmp_path / "shallow", state=tiny.state, registry=tiny.registry, remote=tiny.remote, prefix=tiny.prefix
    )
    url = f"file://{tiny.remote}"
    subprocess.run(["git", "clone", "-q", "--depth=1", url, str(shallow.folder)], check=True, env=tiny.env())
    for command in ("release", "plan", "tags"):
        refused(shallow, command, code=HISTORY, says=("shallow", "fetch-depth: 0", "GIT_DEPTH: 0"))
    shallow.registry = None
    refused(shallow, "version", code=HISTORY, says=("shallow", "fetch-depth: 0"))
    assert shallow.git("rev-parse", "--is-shallow-repository") == "true", "dsci deepened the clone"
    shallow.registry = tiny.registry
    assert outcomes(shallow.dsci("build", "base", "--json", "--no-keep")) == {"base build": "ok"}


def test_detached_head(tiny: Project) -> None:
    tiny.git("checkout", "--quiet", "--detach")
    released_in_the_end(tiny, base="0.1.0", ml="0.1.0")


@pytest.mark.parametrize("branch", ["$(touch${IFS}pwned)", "-rf", "a;b'c\"d", "ünï→côde", "HEAD"])
def test_hostile_branch_name(tiny: Project, branch: str) -> None:
    """A branch's name is data: never an option, never a word of a shell."""
    tiny.git("update-ref", f"refs/heads/{branch}", "HEAD")
    tiny.git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
    ended = tiny.dsci("plan", "--offline", "--json")
    assert {item["image"] for item in ended.json["releases"]} == {"base", "ml"}
    tiny.registry = None
    assert tiny.dsci("version", "--next", "base").stdout == "0.1.0\n"
    assert not list(tiny.folder.rglob("pwned")) and tiny.git("status", "--porcelain") == ""


def test_tag_made_by_hand_elsewhere(tiny: Project) -> None:
    """The version that comes next stands on a commit outside this history: a named conflict, before any build."""
    tiny.git("checkout", "--quiet", "-b", "aside")
    tiny.commit("feat: aside", {"images/ml/model.txt": "aside\n"})
    tiny.git("tag", "ml-v0.1.0")
    tiny.git("push", "--quiet", "origin", "ml-v0.1.0")
    tiny.git("checkout", "--quiet", "main")
    tiny.commit("feat: here", {"images/ml/model.txt": "here\n"})
    for command in ("release", "plan"):
        ended = refused(tiny, command, code=CONFLICT, says=("ml-v0.1.0", "not part of this history", "Release-As: ml@"))
        assert "build" not in ended.stderr


def test_tag_made_by_hand_here(tiny: Project) -> None:
    """A plain tag on HEAD counts as the version it names: nothing is claimed again, no digest is made up."""
    tiny.git("tag", "ml-v0.3.0")
    tiny.git("tag", "--annotate", "--message", f"by hand\n\nDsci-Digest: sha256:{'0' * 63}", "base-v0.2.0")
    tiny.git("push", "--quiet", "--tags", "origin")
    ended = tiny.release()
    assert ended.json["released"] == [] and ended.json["publications"] == []
    assert tiny.images("ml") == tiny.images("base") == set()
    rows = {row["image"]: row["current"] for row in tiny.dsci("plan", "--json").json["releases"]}
    assert rows == {}


def test_remote_without_the_right_to_push(tiny: Project) -> None:
    """A remote that cannot be written is found before anything is built."""
    assert tiny.remote is not None
    tiny.git("remote", "set-url", "--push", "origin", str(tiny.remote.with_name("nowhere.git")))
    ended = refused(tiny, "release", code=HISTORY, says=("may not push release tags to origin", "contents: write"))
    assert "· build" not in ended.stderr
    tiny.git("remote", "set-url", "--push", "origin", str(tiny.remote))
    tiny.dsci("plan", "--offline")


def _hook(project: Project) -> Callable[[], None]:
    assert project.remote is not None
    hook = project.remote / "hooks" / "pre-receive"
    hook.write_text(
        "#!/bin/sh\nwhile read old new ref; do case $ref in refs/tags/*)\n"
        "echo 'tags are protected' >&2; exit 1;; esac; done\n"
    )
    hook.chmod(0o755)
    return hook.unlink


def _read_only(project: Project) -> Callable[[], None]:
    assert project.remote is not None
    remote = str(project.remote)
    subprocess.run(["mount", "--bind", remote, remote], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", remote], check=True)
    return lambda: subprocess.run(["umount", remote], check=True) and None


@pytest.mark.parametrize("refuse", [_hook, _read_only], ids=["pre-receive hook", "read-only directory"])
def test_remote_that_refuses_tags(tiny: Project, refuse: Callable[[Project], Callable[[], None]]) -> None:
    """What no preflight can see (a dry push runs no hook): the claim fails, and nothing is public; then it goes on."""
    if refuse is _read_only and os.geteuid() != 0:
        pytest.skip("a read-only mount needs root")
    allow = refuse(tiny)
    try:
        refused(tiny, "release", code=HISTORY, says=("origin",))
    finally:
        allow()
    ended = tiny.release()
    assert released(ended) == {"base": "0.1.0", "ml": "0.1.0"}
    assert not [key for key in outcomes(ended) if key.endswith("build")], "what had been built was built again"


# ------------------------------------------------------------------------------------------------ the engine


def test_no_docker(tiny: Project, tmp_path: Path) -> None:
    tiny.environment["DOCKER_HOST"] = f"unix://{tmp_path}/none.sock"
    for command in ("release", "build", "test", "lock"):
        if command != "lock":
            refused(tiny, command, code=BUILDER, says=("none.sock", "start Docker"))
    # Looking needs no engine.
    assert {target["action"] for target in tiny.dsci("plan", "--json").json["targets"]} == {"build"}


@contextmanager
def _engine(folder: Path, version: str) -> Iterator[str]:
    """Something on a socket that answers like a Docker Engine of this version."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers: dict[str, Any] = {
                "_ping": "OK",
                "version": {"Version": version, "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux"},
                "info": {"ServerVersion": version, "OSType": "linux", "Architecture": "x86_64", "DriverStatus": []},
            }
            answer = answers.get(self.path.rpartition("/")[2])
            body = json.dumps(answer).encode()
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Api-Version", "1.41")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET

        def address_string(self) -> str:
            return "socket"

        def log_message(self, *_: object) -> None:
            pass

    path = folder / "engine.sock"
    with serving(socketserver.ThreadingUnixStreamServer(str(path), Handler)):
        yield f"unix://{path}"


def test_docker_too_old(tiny: Project, tmp_path: Path) -> None:
    with _engine(tmp_path, "20.10.24") as host:
        tiny.environment["DOCKER_HOST"] = host
        for command in ("release", "build"):
            refused(tiny, command, code=BUILDER, says=("20.10.24", "23.0", "update Docker"))


def _programs(folder: Path, **scripts: str) -> str:
    """A PATH with git and these scripts, and nothing else."""
    folder.mkdir()
    for name in ("git", "sh"):
        (folder / name).symlink_to(shutil.which(name) or name)
    for name, text in scripts.items():
        (folder / name).write_text(f"#!{sys.executable}\n{text}")
        (folder / name).chmod(0o755)
    return str(folder)


def test_docker_command_missing(tiny: Project, tmp_path: Path) -> None:
    tiny.environment["PATH"] = _programs(tmp_path / "bin")
    for command in ("release", "build"):
        ended = refused(tiny, command, code=BUILDER, says=("docker is not on PATH", "install Docker"))
        assert "· build" not in ended.stderr
    tiny.dsci("plan")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("sys.exit(\"docker: 'buildx' is not a docker command.\\nSee 'docker --help'\")", "docker has no buildx"),
        ("print('github.com/docker/buildx v0.9.1 ed00243')", "0.9.1 is too old"),
    ],
    ids=["missing", "too old"],
)
def test_buildx_missing(tiny: Project, tmp_path: Path, answer: str, says: str) -> None:
    real = shutil.which("docker")
    script = (
        f"import os, sys\nif sys.argv[1] == 'buildx':\n    {answer}\n    sys.exit()\nos.execv({real!r}, sys.argv)\n"
    )
    tiny.environment["PATH"] = _programs(tmp_path / "bin", docker=script)
    for command in ("release", "build"):
        ended = refused(tiny, command, code=BUILDER, says=(says, "install the buildx plugin"))
        assert "· build" not in ended.stderr, "the first image was begun before buildx was looked for"


@contextmanager
def _relay(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """A socket that leads to the real engine, and what cuts it off."""
    real = os.environ["DOCKER_HOST"].removeprefix("unix://")
    open_now: list[socket.socket] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as engine:
                engine.connect(real)
                open_now.extend([self.request, engine])
                back = threading.Thread(target=_pour, args=(engine, self.request))
                back.start()
                _pour(self.request, engine)
                back.join()

    path = folder / "relay.sock"
    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def cut() -> None:
            path.unlink(missing_ok=True)
            server.shutdown()
            for end in open_now:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        yield f"unix://{path}", cut
        cut()


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def test_engine_that_dies_in_the_middle(tiny: Project, tmp_path: Path) -> None:
    """The run ends with the engine's error and its report; the next one does what is missing."""
    if not os.environ.get("DOCKER_HOST", "").startswith("unix://"):
        pytest.skip("the engine is not reached through DOCKER_HOST=unix://")
    tiny.commit("feat: slow", {"images/ml/Dockerfile": TINY["ml"] + "RUN sleep 2\n"})
    with _relay(tmp_path) as (host, cut):
        tiny.environment["DOCKER_HOST"] = host
        process = tiny.start("release")
        assert process.stderr is not None
        for line in process.stderr:
            if "RUN sleep 2" in line:
                cut()
                break
        rest = process.stderr.read()
        stdout, _ = process.communicate(timeout=120)
    ended = Ended(process.returncode, stdout, rest, list(process.args))  # type: ignore[arg-type]
    assert ended.code == BUILDER and "Failed: ml@" in ended.stdout, str(ended)
    assert "ml@" in complaint(ended), str(ended)
    assert tiny.tags() == set() and tiny.images("base") == set()
    del tiny.environment["DOCKER_HOST"]
    again = released_in_the_end(tiny, base="0.1.0", ml="0.1.0")
    assert outcomes(again) == {"ml build": "ok"}
    # A name that could not be taken out of an engine that is gone was warned of.
    for name in _traces(tiny)["images in the engine"]:
        assert f"warning: {name} may be left in the engine" in ended.stderr
        docker("rmi", "--force", name)


# ------------------------------------------------------------------------------------------------ registries


@contextmanager
def _server(status: int, headers: dict[str, str] | None = None, body: bytes = b"{}") -> Iterator[str]:
    """A registry that answers everything alike."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"127.0.0.1:{server.server_address[1]}"


def _elsewhere(project: Project, address: str) -> list[str]:
    project.registry = None
    return ["--registry", f"{address}/{project.prefix}"]


def _unknown(project: Project, where: list[str]) -> None:
    """A plan says what it could not find out, and is no error."""
    ended = project.dsci("plan", *where)
    assert "unknown: " in ended.stdout and where[1].partition("/")[0] in ended.stdout


def test_registry_that_is_not_there(tiny: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    where = _elsewhere(tiny, address)
    ended = refused(tiny, "release", *where, code=REGISTRY, says=(address, "refuses connections", "running at"))
    assert "· build" not in ended.stderr
    _unknown(tiny, where)
    # Building for this machine needs none.
    assert outcomes(tiny.dsci("build", "base", "--json", "--no-keep", *where)) == {"base build": "ok"}


@pytest.mark.parametrize("status", [401, 403, 500], ids=str)
def test_registry_that_answers_with(tiny: Project, status: int) -> None:
    answer = {401: b'{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}', 403: b"<html>\x1b[31mno</html>"}
    headers = {"WWW-Authenticate": 'Basic realm="r"'} if status == 401 else {"Retry-After": "0"}
    with _server(status, headers, answer.get(status, b"oops")) as address:
        where = _elsewhere(tiny, address)
        advice = "docker login" if status in (401, 403) else "again"
        refused(tiny, "release", *where, code=REGISTRY, says=(address, str(status), advice))
        _unknown(tiny, where)


def test_registry_with_a_password(tiny: Project, tmp_path: Path) -> None:
    """None, a wrong one, the right one."""
    users = tmp_path / "users"
    users.write_text("ann:$2b$05$abcdefghijklmnopqrstuu8xaCxxL82bnl.UY74PMksDxIJShppPC\n")  # "right"
    registry = RealRegistry(tmp_path / "locked", extra=f"auth: {{htpasswd: {{realm: r, path: {users}}}}}\n")
    keys = tmp_path / "docker"
    keys.mkdir()
    tiny.environment["DOCKER_CONFIG"] = str(keys)
    try:
        where = _elsewhere(tiny, registry.address)
        config = keys / "config.json"
        config.write_text("{}")
        refused(
            tiny, "release", *where, code=REGISTRY, says=(registry.address, "401", f"docker login {registry.address}")
        )
        import base64

        def login(password: str) -> None:
            auth = base64.b64encode(f"ann:{password}".encode()).decode()
            config.write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))

        login("wr0ng-passw0rd")
        ended = refused(tiny, "release", *where, code=REGISTRY, says=(registry.address, "401", "docker login"))
        assert "wr0ng" not in ended.stderr and base64.b64encode(b"ann:wr0ng-passw0rd").decode() not in ended.stderr
        login("right")
        assert released(tiny.dsci("release", "--json", *where)) == {"base": "0.1.0", "ml": "0.1.0"}
    finally:
        registry.stop()


@pytest.mark.slow
def test_registry_that_dies_in_the_middle(tiny: Project, tmp_path: Path) -> None:
    """The run ends with the registry's error; the next one builds only what is missing."""
    images = _traces(tiny)["images in the engine"]
    tiny.registry = RealRegistry(tmp_path / "mortal")
    tiny.push("feat: slow", {"images/ml/Dockerfile": TINY["ml"] + "RUN sleep 2\n"})
    try:
        process = tiny.start("release")
        assert process.stderr is not None
        for line in process.stderr:
            if "RUN sleep 2" in line:
                tiny.registry.stop()
                break
        rest = process.stderr.read()
        stdout, _ = process.communicate(timeout=120)
        ended = Ended(process.returncode, stdout, rest, process.args)  # type: ignore[arg-type]
        assert ended.code == REGISTRY, str(ended)
        assert tiny.registry.address in complaint(ended)
        assert tiny.tags() == set() and _traces(tiny)["images in the engine"] == images
        tiny.registry.start()
        assert tiny.images("base") == tiny.images("ml") == set()
        again = released_in_the_end(tiny, base="0.1.0", ml="0.1.0")
        assert outcomes(again) == {"ml build": "ok"}
    finally:
        tiny.registry.stop()


# ------------------------------------------------------------------------------------------------ disks


@contextmanager
def _full_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of this size."""
    if os.geteuid() != 0:
        pytest.skip("a file system of its own needs root")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "dsci-test", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_disk_full_here(tiny: Project, tmp_path: Path) -> None:
    """The state folder has no room for an image."""
    with _full_disk(tmp_path / "disk", "1m") as disk:
        tiny.state = disk
        refused(tiny, "release", code=BUILDER, says=(str(disk), "1.0 MB are free", "free room"))
        tiny.state = tmp_path / "state"


def test_state_folder_that_cannot_be_written(tiny: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    tiny.state = tmp_path / "file"
    refused(tiny, "build", "base", code=BUILDER, says=(str(tmp_path / "file"), "XDG_STATE_HOME"))


def test_embedded_registry_on_a_full_disk(tiny: Project, tmp_path: Path) -> None:
    tiny.registry = None
    tiny.commit("chore: whatever is free", {"dsci.yaml": "builder: {min_free_disk: 0}\n"})
    with _full_disk(tmp_path / "disk", "40m") as disk:
        tiny.state = disk
        ended = tiny.dsci("release", code=REGISTRY)
        assert "room" in complaint(ended) and str(disk) in ended.stderr
        assert tiny.tags() == set()


@pytest.mark.slow
def test_registry_on_a_full_disk(tiny: Project, tmp_path: Path) -> None:
    with _full_disk(tmp_path / "disk", "2m") as disk:
        registry = tiny.registry = RealRegistry(disk)
        try:
            refused(tiny, "release", code=REGISTRY, says=(registry.address, "500"))
        finally:
            registry.stop()


# ------------------------------------------------------------------------------------------------ settings and files


def _bad(name: str, files: dict[str, str], *says: str) -> Any:
    return pytest.param(files, says, id=name)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        _bad(
            "one image name twice",
            {"images/ML/Dockerfile": TINY["ml"]},
            "two images are named 'ml'",
            "images/ML/Dockerfile and images/ml/Dockerfile",
        ),
        _bad(
            "duplicate key",
            {"dsci.yaml": "images:\n  ml: {}\n  base: {}\n  ml: {}\n"},
            "dsci.yaml:4: images: duplicate key 'ml', first given in line 2",
        ),
        _bad(
            "unknown key",
            {"dsci.yaml": "images:\n  ml:\n    platfroms: [linux/amd64]\n"},
            "dsci.yaml:3: images.ml: unknown key 'platfroms'",
            "did you mean 'platforms'?",
            "dsci schema",
        ),
        _bad(
            "wrong types, all at once",
            {"dsci.yaml": "gate: familly\nbuilder:\n  jobs: many\nregistries: ghcr.io/acme\n"},
            "dsci.yaml:1: gate: expected one of family, lineage (did you mean 'family'?)",
            "dsci.yaml:3: builder.jobs: expected a whole number",
            "dsci.yaml:4: registries: expected a list",
        ),
        _bad("not YAML", {"dsci.yaml": "images: [\nml: }\n"}, "dsci.yaml:2: not valid YAML"),
        _bad(
            "illegal image name",
            {"images/My Image/Dockerfile": TINY["ml"]},
            "images/My Image/Dockerfile: 'my image' cannot name an image",
            "lower-case",
        ),
        _bad(
            "illegal name in the settings",
            {"dsci.yaml": "images:\n  Ünï:\n    dockerfile: images/ml/Dockerfile\n"},
            "dsci.yaml:2: images.Ünï",
            "lower-case",
        ),
        _bad(
            "illegal repository",
            {"dsci.yaml": "images:\n  ml:\n    repository: GHCR.io/ACME/Ml\n"},
            "dsci.yaml:3: images.ml.repository",
            "not a legal image reference",
        ),
        _bad(
            "missing Dockerfile",
            {"dsci.yaml": "images:\n  ml:\n    dockerfile: images/ml/Dokerfile\n"},
            "dsci.yaml:3: images.ml",
            "there is no images/ml/Dokerfile in Git (did you mean 'images/ml/Dockerfile'?)",
        ),
        _bad(
            "unknown need",
            {"dsci.yaml": "images:\n  ml:\n    needs: [bse]\n"},
            "images.ml.needs: there is no image 'bse' (did you mean 'base'?)",
        ),
        _bad(
            "cycle",
            {"images/base/Dockerfile": "FROM ml\n"},
            "in a circle: ",
            "base@linux/",
            "ml@linux/",
            "external",
        ),
        _bad(
            "a stage named like its base",
            {"images/ml/Dockerfile": "FROM base AS base\nRUN true\n"},
            "images/ml/Dockerfile:1: a stage is named 'base' like the image it stands on",
            "another name",
        ),
        _bad(
            "unknown platform",
            {"dsci.yaml": "platforms: [linux/amd64, plan9]\n"},
            "dsci.yaml:1: platforms",
            "plan9",
        ),
        _bad(
            "a secret from nowhere",
            {"dsci.yaml": "images:\n  ml:\n    secrets:\n      - id: token\n"},
            "dsci.yaml:4: images.ml.secrets.0: give one of env and file",
        ),
        _bad(
            "one repository for two",
            {"dsci.yaml": "images:\n  ml: {repository: ghcr.io/a/b}\n  base: {repository: ghcr.io/a/b}\n"},
            "base and ml would both be published as ghcr.io/a/b",
        ),
        _bad(
            "one Git tag for two",
            {"dsci.yaml": "versioning:\n  tag: v{version}\n"},
            "versioning.tag",
            "{image}",
        ),
    ],
)
def test_bad_settings(tiny: Project, files: dict[str, str], says: tuple[str, ...]) -> None:
    """Every mistake is found before anything is asked or built, at its line, and looking finds it too."""
    tiny.commit("feat: a mistake", files)
    tiny.registry = None
    tiny.environment["DOCKER_HOST"] = "unix:///nowhere.sock"
    for command in ("plan", "release"):
        refused_quietly(tiny, command, says)


def refused_quietly(project: Project, command: str, says: tuple[str, ...]) -> Ended:
    """A refusal that nobody was asked about: neither an engine nor a registry is there."""
    before = project.git("for-each-ref"), project.git("status", "--porcelain", "--ignored")
    ended = project.dsci(command, code=CONFIG)
    text = complaint(ended)
    for words in says:
        assert words in text, f"{words!r} is not said\n{ended}"
    assert (project.git("for-each-ref"), project.git("status", "--porcelain", "--ignored")) == before
    return ended


@pytest.mark.parametrize(
    ("files", "says"),
    [
        _bad(
            "empty variable",
            {"images/ml/Dockerfile": "ARG PARENT\n\nFROM $PARENT\n"},
            "images/ml/Dockerfile:3: FROM $PARENT is '', for PARENT has no value",
            "under args in dsci.yaml",
        ),
        _bad(
            "illegal reference",
            {"images/ml/Dockerfile": "FROM base\nCOPY --from=Not/A/Ref /a /b\n"},
            "images/ml/Dockerfile:2: 'Not/A/Ref' is not a legal image reference",
        ),
        _bad("unknown stage", {"dsci.yaml": "images:\n  ml:\n    target: prod\n"}, "prod", "images/ml/Dockerfile"),
        _bad("no FROM", {"images/ml/Dockerfile": "RUN true\n"}, "images/ml/Dockerfile:1: "),
        _bad("empty", {"images/ml/Dockerfile": ""}, "images/ml/Dockerfile"),
        _bad("not text", {"images/ml/Dockerfile": "\x00\x01\x02"}, "images/ml/Dockerfile"),
    ],
)
def test_dockerfile_that_cannot_be_read(tiny: Project, files: dict[str, str], says: tuple[str, ...]) -> None:
    """A plan tells what is wrong with it, and plans the rest."""
    tiny.commit("feat: a mistake", files)
    planned = tiny.dsci("plan")
    for words in says:
        assert words in planned.stdout, f"{words!r} is not said\n{planned}"
    assert re.search("base@.* build +never built", planned.stdout)


def test_dockerfile_that_cannot_be_read_fails_alone(tiny: Project) -> None:
    """Its image fails, and says why; what does not stand on it is finished; nothing is released."""
    tiny.commit("feat: a mistake", {"images/ml/Dockerfile": "FROM base\nFETCH it\n"})
    ended = refused(tiny, "release", code=FAILED, says=("ml@linux/", "images/ml/Dockerfile:2: ", "FETCH"))
    assert "✓ build   base@" in ended.stderr


def test_no_images(tiny: Project) -> None:
    tiny.git("rm", "-rq", "images")
    tiny.commit("feat!: nothing", {"README.md": "nothing\n", "docs/Containerfile": "FROM scratch\n"})
    for command in ("release", "plan", "build"):
        refused(tiny, command, code=CONFIG, says=("no images found", "images/<name>/Dockerfile", "commit a Dockerfile"))


def test_base_that_does_not_exist(tiny: Project) -> None:
    assert tiny.registry is not None
    base = f"{tiny.registry.address}/nobody/nothing:1.0"
    tiny.commit("feat: nowhere", {"images/ml/Dockerfile": f"ARG TAG=1.0\nFROM {base.replace('1.0', '$TAG')}\n"})
    """It fails its own image, by its line; what does not stand on it is built all the same."""
    says = (f"images/ml/Dockerfile:2: base {base} does not exist", "log in if the image is private")
    ended = refused(tiny, "release", code=FAILED, says=says)
    assert "base@" in ended.stderr and "nothing is released" in ended.stderr
    refused(tiny, "build", "ml", "--no-keep", code=FAILED, says=(f"images/ml/Dockerfile:2: {base}: ",))
    ended = tiny.dsci("plan")
    assert f"{base} does not exist" in ended.stderr and f"{base} does not exist" in ended.stdout


def test_submodule_in_the_context(tiny: Project, tmp_path: Path) -> None:
    """Refused by name; out of the context it is nobody's business."""
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", str(other)], check=True, env=tiny.env())
    subprocess.run(["git", "-C", str(other), "commit", "-qm", "x", "--allow-empty"], check=True, env=tiny.env())
    add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "images/ml/vendor"]
    tiny.git(*add)
    tiny.commit("feat: a submodule")
    ended = refused(tiny, "release", code=FAILED, says=("ml@linux/", "images/ml/vendor is a submodule"))
    assert ".dockerignore" in ended.stderr
    tiny.commit("fix: leave it out", {"images/ml/.dockerignore": "vendor\n"})
    assert outcomes(tiny.dsci("build", "ml", "--json", "--no-keep")) == {"ml build": "ok"}


def test_lfs_pointer_in_the_context(tiny: Project) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"
    tiny.commit("feat: weights", {"images/ml/model.bin": pointer, ".gitattributes": "*.bin filter=lfs -text\n"})
    ended = refused(tiny, "release", code=FAILED, says=("ml@linux/", "images/ml/model.bin is a Git LFS pointer"))
    assert ".dockerignore" in ended.stderr


NAMES = [
    "new\nline",
    " lead and trail ",
    "-rf",
    "--help",
    "ünï→côdé",
    "tab\there",
    "q\"uo'te",
    "$(id)",
    "*",
    "back\\slash",
]


def test_strange_file_names(tiny: Project) -> None:
    """Names are bytes: each arrives in the image as it is in Git."""
    files = {f"images/ml/files/{name}": f"{n}\n" for n, name in enumerate(NAMES)}
    tiny.commit("feat: names", files | {"images/ml/Dockerfile": "FROM base\nCOPY files /opt/files\n"})
    ended = released_in_the_end(tiny, base="0.1.0", ml="0.1.0")
    assert outcomes(ended)["ml build"] == "ok"
    tiny.commit("fix: one", {"images/ml/files/new\nline": "changed\n"})
    ended = tiny.dsci("plan")
    assert "0.1.0 → 0.1.1" in ended.stdout and "images/ml/files/new line changed" in ended.stdout
    assert tiny.registry is not None
    index = tiny.registry.manifest(f"{tiny.prefix}/ml", "0.1.0")
    manifest = tiny.registry.manifest(f"{tiny.prefix}/ml", index["manifests"][0]["digest"])
    assert _members(tiny, manifest["layers"][-1]["digest"]) >= {f"opt/files/{name}" for name in NAMES}


def _members(project: Project, layer: str) -> set[str]:
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(_blob(project, "ml", layer))) as archive:
        return set(archive.getnames())


def _blob(project: Project, name: str, digest: str) -> bytes:
    import urllib.request

    assert project.registry is not None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{project.registry.address}/v2/{project.prefix}/{name}/blobs/{digest}") as answer:
        return answer.read()


def test_file_name_that_is_no_text(tiny: Project) -> None:
    """A Latin-1 name from an old machine: no plan could name it, so it is refused, and can be left out."""
    path = os.fsencode(tiny.folder / "images/ml") + b"/caf\xe9"
    with open(path, "wb") as file:
        file.write(b"x\n")
    tiny.commit("feat: a coffee", {"images/ml/Dockerfile": "FROM base\nCOPY . /opt/\n"})
    for command in ("release", "plan", "build"):
        refused(tiny, command, code=CONFIG, says=(r"images/ml/caf\xe9", "not UTF-8", ".dockerignore"))
    tiny.commit("fix: no coffee", {"images/ml/.dockerignore": "caf*\n"})
    assert outcomes(tiny.dsci("build", "--json", "--no-keep")) == {"base build": "ok", "ml build": "ok"}


# ------------------------------------------------------------------------------------------------ foreign text


def test_hostile_commit_messages(tiny: Project) -> None:
    """Trailers of dsci's own in a commit, escape sequences, workflow commands: read as text, shown as text."""
    evil = f"sha256:{'e' * 64}"
    subject = "feat: \x1b[31mred\x1b]0;title\x07 ::error::pwned\x9b2J"
    body = f"\n\nDsci-Digest: {evil}\nDsci-Key: {'e' * 64} ml@linux/amd64\nDsci-Digest: {evil} base\n"
    tiny.commit(f"{subject}{body}", {"images/ml/model.txt": "v2\n"})
    tiny.commit(f"Dsci-Digest: {evil}\n\nDsci-Digest: {evil}", {"images/ml/model.txt": "v3\n"})
    tiny.git("tag", "ml-v9.9.9-lightweight", "HEAD")
    tiny.registry, registry = None, tiny.registry
    shown = [tiny.dsci("version", "--explain"), tiny.dsci("plan", "--offline"), tiny.dsci("version", "--json")]
    tiny.registry = registry
    shown += [tiny.dsci("release")]
    for ended in shown:
        _harmless(ended)
    for name in ("base", "ml"):
        message = tiny.git("cat-file", "tag", f"{name}-v0.1.0" if name == "base" else "ml-v9.9.9", check=False)
        message = message or tiny.git("cat-file", "tag", "ml-v0.1.0")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", message), f"{message!r}"
    # What dsci reads back from its own tag is what it claimed, and nothing else.
    assert tiny.release().json["publications"] == []
    for name in ("base", "ml"):
        assert evil not in {tiny.digest(name, tag) for tag in tiny.images(name)}


def _harmless(ended: Ended) -> None:
    for text in (ended.stdout, ended.stderr):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text), repr(text)
        commands = [line for line in text.split("\n") if line.lstrip().startswith("::") or "##[" in line]
        assert not commands, f"a CI runner would obey: {commands}"


def test_hostile_build_output(tiny: Project) -> None:
    """What a step prints is shown, as text: no escape sequence, no command to the CI runner."""
    say = r"printf '\033[2J\033]0;x\007::error::pwned\n  ::add-mask::dsci\n##[error]old\n\r::warning::cr\nplain\n'"
    step = f"RUN {say} && exit 3"
    tiny.commit("feat: loud", {"images/ml/Dockerfile": f"FROM base\nLABEL a=::error::label\n{step}\n"})
    ended = tiny.dsci("release", code=FAILED)
    _harmless(ended)
    assert "pwned" in ended.stderr and "plain" in ended.stderr and "images/ml/Dockerfile:3" in ended.stderr
    assert "→" in ended.stderr.rstrip("\n").split("\n")[-1]
    assert tiny.tags() == set() and tiny.images("base") == set()
    reports = [path for path in (tiny.state / "dsci" / "reports").rglob("*") if path.is_file()]
    assert {path.name for path in reports} == {"report.json", "report.md", "report.tap", "junit.xml"}
    assert not any(b"\x1b" in path.read_bytes() for path in reports)


def test_hostile_test_output(tiny: Project) -> None:
    """The same for a suite."""
    tiny.commit(
        "feat: loud",
        {
            "images/ml/Dockerfile": "FROM base\nCOPY --chmod=755 loud /bin/loud\n",
            "images/ml/loud": "#!/bin/sh\nprintf '\\033[2J::error::pwned\\n::set-output name=a::b\\n'\nexit 1\n",
            "images/ml/suites/structure.yaml": """\
                schemaVersion: "2.0.0"
                commandTests:
                  - name: "::error::named"
                    command: loud
                """,
        },
    )
    ended = tiny.dsci("release", code=FAILED)
    _harmless(ended)
    assert "pwned" in ended.stderr and "named" in ended.stderr
    assert tiny.tags() == set()


def test_a_secret_stays_secret(tiny: Project, tmp_path: Path) -> None:
    """A build's secret is in no log, layer, history, label, receipt, report, plan or Git object."""
    secret = "s3cr3t-0f-the-t0ken-9b1c"
    tiny.environment["PIP_TOKEN"] = secret
    settings = """\
        images:
          ml:
            secrets:
              - id: token
                env: PIP_TOKEN
        """
    use = "RUN --mount=type=secret,id=token test $(wc -c < /run/secrets/token) -eq 24 && echo used\n"
    tiny.commit("feat: private", {"dsci.yaml": settings, "images/ml/Dockerfile": TINY["ml"] + use})
    folder = tmp_path / "report"
    ended = tiny.dsci("release", "--report", str(folder))
    again = tiny.dsci("plan", "--json")
    texts = [ended.stdout, ended.stderr, again.stdout, *(path.read_text() for path in folder.iterdir())]
    assert not any(secret in text for text in texts)
    stored = _everywhere(tiny)
    assert len(stored) > 10 and not any(secret.encode() in content for content in stored)
    # It is part of no key: another token builds nothing.
    tiny.environment["PIP_TOKEN"] = "another-t0ken-of-24-chars"
    assert set(tiny.actions().values()) == {"reuse"}


def _everywhere(project: Project) -> list[bytes]:
    """Every blob of the registry (layers unpacked), every Git object, every file of the state folder."""
    import gzip

    assert project.registry is not None
    blobs = [path.read_bytes() for path in project.registry._folder.rglob("data") if path.is_file()]
    found = [gzip.decompress(blob) if blob[:2] == b"\x1f\x8b" else blob for blob in blobs]
    objects = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"], cwd=project.folder, capture_output=True, check=True
    )
    files = [path.read_bytes() for path in project.state.rglob("*") if path.is_file()]
    return [*found, objects.stdout, *files]


def test_a_secret_that_a_step_prints(tiny: Project) -> None:
    """A careless Dockerfile shows its token and fails: the log and the report show stars."""
    secret = "s3cr3t-0f-the-t0ken-9b1c"
    tiny.environment["PIP_TOKEN"] = secret
    settings = "images:\n  ml:\n    secrets:\n      - id: token\n        env: PIP_TOKEN\n"
    use = "RUN --mount=type=secret,id=token cat /run/secrets/token && exit 3\n"
    tiny.commit("feat: private", {"dsci.yaml": settings, "images/ml/Dockerfile": TINY["ml"] + use})
    ended = tiny.dsci("build", "--json", "--no-keep", code=FAILED)
    texts = [ended.stdout, ended.stderr]
    texts += [path.read_text() for path in (tiny.state / "dsci" / "reports").rglob("*") if path.is_file()]
    assert not any(secret in text for text in texts)


@pytest.mark.parametrize(
    "source",
    [
        "env: NO_SUCH_TOKEN",
        "file: no/such/file",
    ],
)
def test_a_secret_that_is_not_there(tiny: Project, source: str) -> None:
    """What is required is missed, at its line; an image that was built without it is never released."""
    settings = f"images:\n  ml:\n    secrets:\n      - id: token\n        {source}\n"
    use = "RUN --mount=type=secret,id=token,required=true true\n"
    files = {"images/ml/Dockerfile": TINY["ml"] + use}
    tiny.commit("feat: private", files | {"dsci.yaml": settings})
    ended = tiny.dsci("build", "--no-keep", code=FAILED)
    text = complaint(ended)
    assert "the secret 'token' is taken from" in text and source.partition(": ")[2] in text
    assert "install" not in text
