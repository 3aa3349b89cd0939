"""A canary in every place where secrets lie: after all that dsci does, well or badly, it sings nowhere else.

What is searched: all that commands print (with --debug, which shows tracebacks and every request), reports in all
forms, every blob of the registry (layers unpacked, configs, histories, receipts, attestations), every Git object here
and on the remote (claims, ledger), dsci's state folder, and the arguments of every process of this machine meanwhile.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.e2e.conftest import TINY, Ended, Project, make_project, released
from tests.privatebase import push_base
from tests.realregistry import RealRegistry
from tests.serving import body_of, serving

pytestmark = pytest.mark.engine

_HOP = frozenset({"transfer-encoding", "content-length", "connection", "host"})
CANARY = "c4n4ry-7f3a9b1e"
PASSWORD = f"{CANARY}-config"
#: `alice` and the password, in bcrypt.
USERS = "alice:$2b$05$aaaaaaaaaaaaaaaaaaaaaOJPBq7cHHDPSxsGwPdIbde3im95bJILe\n"
SECRETS = """\
attest: {provenance: true, sbom: [spdx, cyclonedx]}
images:
  ml:
    secrets:
      - {id: token, env: PIP_TOKEN}
      - {id: pem, file: %s}
"""
USE = "RUN --mount=type=secret,id=token --mount=type=secret,id=pem cat /run/secrets/* | wc -c > /opt/length\n"


def needles() -> list[bytes]:
    """The canary as it is, and wherever it may stand within something in base64."""
    shifted = (base64.b64encode(b"x" * n + CANARY.encode())[4:-4] for n in range(3))
    return [CANARY.encode(), base64.b64encode(f"alice:{PASSWORD}".encode())[:-4], *shifted]


def sings(content: bytes) -> bool:
    return any(needle in content for needle in needles())


class GitServer:
    """A Git remote over HTTP that lets in only who has the password, and the token in the URL's query."""

    def __init__(self, folder: Path) -> None:
        handler = type("Handler", (_GitHandler,), {"folder": folder})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://ci:{CANARY}-git@127.0.0.1:{self._server.server_port}/origin.git?job_token={CANARY}-query"

    @contextlib.contextmanager
    def serving(self) -> Iterator[GitServer]:
        with serving(self._server):
            yield self


class _GitHandler(BaseHTTPRequestHandler):
    folder: Path

    def handle_one(self) -> None:
        wanted = "Basic " + base64.b64encode(f"ci:{CANARY}-git".encode()).decode()
        # Git puts what it asks for behind the whole URL, its query included.
        asked = re.fullmatch(rf"/origin\.git\?job_token={CANARY}-query(/[^&]*)(?:&(.*))?", self.path)
        if asked is None or self.headers.get("Authorization") != wanted:
            self.send_response(404 if asked is None else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.folder.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{self.folder.name}{asked[1]}",
            "QUERY_STRING": asked[2] or "",
            "REQUEST_METHOD": self.command,
            "REMOTE_USER": "ci",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        ended = subprocess.run(
            ["git", "http-backend"], input=body_of(self), env=environment, capture_output=True, check=True
        )
        head, _, body = ended.stdout.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(lines.pop("Status", "200 OK").split()[0]))
        for name, text in {**lines, "Content-Length": str(len(body))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = handle_one

    def log_message(self, *_: object) -> None:
        pass


class SignedStorage:
    """A registry that sends whoever wants a blob to a storage host, with a signature, and the host is not there."""

    def __init__(self, target: str) -> None:
        handler = type("Handler", (_SignedHandler,), {"target": target})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def serving(self) -> Iterator[SignedStorage]:
        with serving(self._server):
            yield self


class _SignedHandler(BaseHTTPRequestHandler):
    target: str
    protocol_version = "HTTP/1.1"
    #: A client that tries TLS first must see that this is HTTP.
    default_request_version = "HTTP/1.1"

    def handle_one(self) -> None:
        body = body_of(self)
        if self.command == "GET" and "/blobs/sha256:" in self.path:
            place = f"http://127.0.0.1:9/store?X-Amz-Credential={CANARY}-id&X-Amz-Signature={CANARY}-signature"
            self._answer(307, {"Location": place}, b"")
            return
        connection = http.client.HTTPConnection(self.target, timeout=60)
        with contextlib.closing(connection):
            headers = {name: text for name, text in self.headers.items() if name.lower() not in _HOP}
            connection.request(self.command, self.path, body, headers | {"Host": self.headers["Host"]})
            answer = connection.getresponse()
            content = answer.read()
            kept = {name: text for name, text in answer.getheaders() if name.lower() not in _HOP}
            length = answer.headers.get("Content-Length", str(len(content)))
            self._answer(answer.status, {**kept, "Content-Length": length}, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, text in {"Content-Length": "0", **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_one

    def log_message(self, *_: object) -> None:
        pass


class Ears:
    """Listens to the arguments of all processes. That of the remote's URL is Git's own: it tells its helpers so."""

    def __init__(self) -> None:
        self.heard: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> Ears:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _listen(self) -> None:
        while not self._over.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    words = path.read_bytes()
                    if sings(re.sub(rf"{CANARY}-(?:git|query)".encode(), b"", words)):
                        self.heard.add(words)


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    folder = tmp_path_factory.mktemp("aviary")
    (folder / "users").write_text(USERS)
    registry = RealRegistry(folder / "registry", extra=f"auth: {{htpasswd: {{realm: r, path: {folder / 'users'}}}}}\n")
    yield registry
    registry.stop()


@pytest.fixture
def aviary(tmp_path: Path, locked: RealRegistry, request: pytest.FixtureRequest) -> Iterator[Project]:
    """Two images, and a canary in each place where a machine keeps secrets."""
    project = make_project(tmp_path, locked, request.node.name)
    (tmp_path / "pem").write_text(f"{CANARY}-file\n")
    files = {f"images/{name}/Dockerfile": text for name, text in TINY.items()}
    files["images/ml/Dockerfile"] += USE
    files |= {"images/base/note": f"{request.node.name}\n", "images/ml/model.txt": "v1\n"}
    files["dsci.yaml"] = SECRETS % (tmp_path / "pem")
    files["images/ml/suites/structure.yaml"] = (
        'schemaVersion: "2.0.0"\nfileExistenceTests: [{name: length, path: /opt/length, shouldExist: true}]\n'
    )
    project.push("feat: two images", files)
    home, docker, programs = (tmp_path / name for name in ("home", "docker", "bin"))
    for folder in (home, docker, programs):
        folder.mkdir()
    (home / ".netrc").write_text(f"machine 127.0.0.1 login me password {CANARY}-netrc\n")
    (home / ".netrc").chmod(0o600)
    keep(project, docker)
    helper(programs, f"""echo '{{"Username":"alice","Secret":"{PASSWORD}"}}'""")
    project.environment |= {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "DOCKER_CONFIG": str(docker),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PIP_TOKEN": f"{CANARY}-build",
        "SOME_TOKEN": f"{CANARY}-environment",
        "DSCI_REGISTRY_TOKEN_GHCR_IO": f"{CANARY}-variable",
    }
    assert project.remote is not None
    project.git("-C", str(project.remote), "config", "http.receivepack", "true")
    with GitServer(project.remote).serving() as server:
        project.git("remote", "set-url", "origin", server.url)
        yield project


def keep(project: Project, docker: Path, address: str = "", **more: object) -> None:
    """A config.json with passwords, and with a helper for the registry that is released to."""
    assert project.registry is not None
    auth = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
    config = {
        "auths": {"other.example": {"auth": auth}, **({address: {"auth": auth}} if address else {})},
        "credHelpers": {project.registry.address: "canary"},
        "HttpHeaders": {"X-Canary": f"{CANARY}-header"},
        **more,
    }
    (docker / "config.json").write_text(json.dumps(config))


def helper(programs: Path, script: str) -> None:
    program = programs / "docker-credential-canary"
    program.write_text(f"#!/bin/sh\necho {CANARY}-stderr >&2\n{script}\n")
    program.chmod(0o755)


def unpacked(content: bytes) -> bytes:
    """What was compressed, as far as it is there: of an upload that was cut off only a part is."""
    found = b""
    while content[:2] == b"\x1f\x8b":
        member = zlib.decompressobj(31)
        found += member.decompress(content)
        content = member.unused_data
    return found + content


def stored(project: Project) -> Iterator[tuple[str, bytes]]:
    """Everything that dsci wrote anywhere, with its place."""
    assert project.registry is not None and project.remote is not None
    for path in (project.registry._folder / "storage").rglob("data"):
        content = path.read_bytes()
        yield str(path), unpacked(content)
    for folder in (project.folder, project.remote):
        objects = subprocess.run(
            ["git", "cat-file", "--batch-all-objects", "--batch"], cwd=folder, capture_output=True, check=True
        )
        yield f"{folder}: objects", objects.stdout
        refs = subprocess.run(["git", "for-each-ref"], cwd=folder, capture_output=True, check=True)
        yield f"{folder}: refs", refs.stdout
    for path in project.state.rglob("*"):
        yield str(path), os.fsencode(path.name)
        if path.is_file():
            yield str(path), path.read_bytes()


def is_silent(project: Project, *ended: Ended, reports: Iterable[Path] = ()) -> None:
    """Hold everything that was printed and written to it."""
    for each in ended:
        for text in (each.stdout, each.stderr):
            assert not sings(text.encode()), f"{each.command}: " + next(
                line for line in text.splitlines() if sings(line.encode())
            )
    files = [path for folder in reports for path in folder.rglob("*") if path.is_file()]
    found = [*stored(project), *((str(path), path.read_bytes()) for path in files)]
    assert len(found) > 10
    assert [place for place, content in found if sings(content)] == []


def run(project: Project, *arguments: str, code: int = 0) -> Ended:
    """Run a command as whoever looks for a mistake does; a traceback is what --debug is for."""
    process = project.start("--debug", *arguments)
    stdout, stderr = process.communicate(timeout=project.patience)
    ended = Ended(process.returncode, stdout, stderr, project.argv("--debug", *arguments))
    assert (ended.code == code) or ("Traceback" in stderr and ended.code == 1), str(ended)
    return ended


def forms(folder: Path) -> list[str]:
    """Options for a report in every form."""
    folder.mkdir()
    ends = {"json": "json", "markdown": "md", "junit": "xml", "tap": "tap"}
    return [word for form, end in ends.items() for word in ("--report", f"{form}={folder / f'report.{end}'}")]


def test_what_is_searched_would_be_found() -> None:
    """The canary is heard in plain text, in URLs and in base64 at every offset."""
    assert sings(f"x{PASSWORD}y".encode()) and not sings(b"c4n4ry")
    for before in ("", "a", "ab", "abc", "alice:"):
        assert sings(base64.b64encode(f"{before}{CANARY}-and-more".encode()))
        assert sings(base64.urlsafe_b64encode(f'{{"a":"{before}{CANARY}-and-more"}}'.encode()))


def test_no_secret_leaves_its_place(aviary: Project, tmp_path: Path) -> None:
    """A release that goes well: everything is used, nothing is shown or kept."""
    with Ears() as ears:
        ended = run(aviary, "release", "--json", *forms(tmp_path / "reports"))
        assert released(ended) == {"base": "0.1.0", "ml": "0.1.0"}, str(ended)
        checked = run(aviary, "login", "--check", "--json")
    is_silent(aviary, ended, checked, reports=[tmp_path / "reports"])
    assert ears.heard == set(), "in the arguments of a process"
    assert aviary.tags() == {"base-v0.1.0", "ml-v0.1.0"}
    registry = aviary.registry
    assert registry is not None
    blobs = list((registry._folder / "storage").rglob(f"repositories/{aviary.prefix}/ml/_manifests/tags/0.1.0"))
    assert blobs, "the release is there"


@pytest.mark.slow
def test_no_secret_is_told_by_whoever_only_looks(aviary: Project) -> None:
    aviary.release()
    asked = (
        ("plan", "--json"),
        ("why", "ml"),
        ("tags", "--json"),
        ("test", "ml", "--rerun"),
        ("cache", "ls", "--json"),
    )
    told = [run(aviary, *command) for command in (*asked, ("verify", "--tags"))]
    registry, aviary.registry = aviary.registry, None
    told += [run(aviary, *command) for command in (("changelog", "--json"), ("ledger", "--json"), ("version",))]
    aviary.registry = registry
    is_silent(aviary, *told)


@pytest.mark.slow
def test_no_secret_is_told_when_things_go_wrong(aviary: Project, tmp_path: Path) -> None:
    docker, programs = Path(aviary.environment["DOCKER_CONFIG"]), tmp_path / "bin"
    failed: list[Ended] = []

    def fails(*arguments: str, code: int, says: str) -> None:
        for ended in (aviary.dsci(*arguments, code=code), run(aviary, *arguments, code=code)):
            assert says in ended.stderr, str(ended)
            failed.append(ended)

    good = aviary.environment.copy()
    # A step that prints its secrets, and a suite that fails.
    loud = TINY["ml"] + USE.replace("cat /run/secrets/* | wc -c > /opt/length", "cat /run/secrets/*; exit 3")
    aviary.push("feat: loud", {"images/ml/Dockerfile": loud})
    fails("release", *forms(tmp_path / "loud"), code=1, says="***")
    aviary.push("feat: no length", {"images/ml/Dockerfile": TINY["ml"]})
    fails("release", *forms(tmp_path / "short"), code=1, says="length")
    aviary.push("fix: length again", {"images/ml/Dockerfile": TINY["ml"] + USE})
    # Who is not let in, and whose helper fails.
    helper(programs, f"""echo '{{"Username":"alice","Secret":"{CANARY}-wrong"}}'""")
    fails("release", code=5, says="as alice (credentials from docker-credential-canary")
    fails("login", "--check", code=5, says="401")
    for script in (
        f"echo {CANARY}-junk; exit 3",
        f"echo {CANARY}-junk",
        f"""echo '{{"Username": "{CANARY}", "x": 1}}'""",
    ):
        helper(programs, script)
        fails("login", "--check", code=5, says="docker-credential-canary")
    (docker / "config.json").write_text(f'{{"auths": {{"{CANARY}": ')
    fails("release", code=2, says="config.json is not JSON")
    keep(aviary, docker)
    helper(programs, f"""echo '{{"Username":"alice","Secret":"{PASSWORD}"}}'""")
    # Tokens of nobody's, and one that is given twice.
    aviary.environment = {**good, "DSCI_REGISTRY_TOKEN": f"{CANARY}-plain", "DSCI_REGISTRY_PASSWORD": f"{CANARY}-other"}
    fails("login", "--check", code=2, says="both set")
    aviary.environment = {**good, "DSCI_REGISTRY_TOKEN": f"{CANARY}-plain"}
    fails("login", "--check", code=2, says="whose is it?")
    (tmp_path / "token").write_text(f"{CANARY}-one {CANARY}-two")
    aviary.environment = good
    fails("login", "--check", "--registry-token-file", str(tmp_path / "token"), code=2, says="holds no token")
    # An argument that is a secret is refused by its name, before it is anywhere. It is never committed.
    settings = (aviary.folder / "dsci.yaml").read_text()
    (aviary.folder / "dsci.yaml").write_text(f"{settings}    args: {{API_TOKEN: {CANARY}-argument}}\n")
    fails("build", code=2, says="images.ml.args.API_TOKEN: a secret must not be an argument")
    (aviary.folder / "dsci.yaml").write_text(settings)
    # A remote that is not there.
    here = aviary.git("remote", "get-url", "origin")
    aviary.git("remote", "set-url", "origin", f"http://ci:{CANARY}-git@127.0.0.1:9/x.git?private_token={CANARY}-query")
    fails("release", code=3, says="127.0.0.1")
    aviary.git("remote", "set-url", "origin", here)
    is_silent(aviary, *failed, reports=[tmp_path / "loud", tmp_path / "short"])


@pytest.mark.slow
def test_no_signature_of_a_storage_host_is_told(aviary: Project, tmp_path: Path) -> None:
    """A registry sends dsci, the engine and BuildKit to a URL that is signed, and it leads nowhere."""
    real = aviary.registry
    assert real is not None
    with SignedStorage(real.address).serving() as proxy:
        keep(
            aviary,
            Path(aviary.environment["DOCKER_CONFIG"]),
            credHelpers={proxy.host: "canary", real.address: "canary"},
        )
        aviary.registry = None
        # dsci itself, which copies from one registry to the other.
        where = ("--registry", f"{proxy.host}/{aviary.prefix}", "--registry", f"{real.address}/{aviary.prefix}-copy")
        copied = run(aviary, "release", *where, code=5)
        # BuildKit, which wants a base.
        base = f"{proxy.host}/{push_base(real.address, 'alice', PASSWORD)}"
        files = {"images/r/Dockerfile": f"FROM {base}\nCOPY model.txt /opt/\n", "images/r/model.txt": f"{tmp_path}\n"}
        aviary.push("feat: elsewhere", files)
        built = aviary.dsci("build", "r", "--no-keep", *where[:2], code=1)
        for ended in (copied, built):
            assert "X-Amz-Signature=REDACTED" in ended.stderr, str(ended)
        aviary.registry = real
        is_silent(aviary, copied, built)


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_no_secret(aviary: Project) -> None:
    """In the middle of a build, with BuildKit's client lent what it needs."""
    aviary.push("feat: slow", {"images/ml/Dockerfile": TINY["ml"] + USE + "RUN sleep 60\n"})
    process = aviary.start("build", "--no-keep")
    try:
        for _ in range(600):
            if list(aviary.state.rglob("docker-credential-dsci")) and list(aviary.state.rglob("build-2")):
                break
            time.sleep(0.1)
        else:
            pytest.fail("no build was begun")
        time.sleep(1)
    finally:
        process.send_signal(signal.SIGKILL)
        stdout, stderr = process.communicate()
    left = [path for path in aviary.state.rglob("*") if path.is_file()]
    assert [path.name for path in left if path.name == "docker-credential-dsci"], "what was lent lies there still"
    is_silent(aviary, Ended(process.returncode, stdout, stderr, []))
    aviary.dsci("build", "base", "--no-keep")
    assert not list(aviary.state.rglob("docker-credential-dsci")), "the next run sweeps it"
