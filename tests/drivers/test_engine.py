"""DockerEngine: where it looks for an engine, and what it promises about the real one."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import signal
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from msgspec.structs import replace
from tests import realengine
from tests.realengine import NATIVE, Script, docker, folder, tar_of
from tests.serving import serving

from dsci.drivers.engine import DockerEngine
from dsci.drivers.engineclient import endpoint
from dsci.drivers.runs import LABEL, Run
from dsci.errors import BuilderError, RegistryError
from dsci.model.oci import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Digest, Manifest
from dsci.model.reference import Reference
from dsci.ports import Container, FileEntry, Question, Ran, Special

engine_needed = pytest.mark.engine

DOCKERFILE = r"""
FROM debian:bookworm-slim
RUN mkdir -p /t/a/b /t/c/d && echo hello > /t/c/x && ln -s ../x /t/c/d/up && ln -s ../c/d /t/a/deep \
 && ln -s deep/up /t/a/chain && ln -s /t/a/chain /t/long && ln -s /t/loop2 /t/loop1 && ln -s /t/loop1 /t/loop2 \
 && ln -s self /t/self && ln -s /no/where /t/dangling && ln -s /t/c /t/folder-link && mkfifo /t/pipe \
 && ln /t/c/x /t/hard && ln -s ../../../../../../etc/passwd /t/escape && ln -s /etc/passwd /t/absolute \
 && cp /bin/true /t/setuid && chmod 4755 /t/setuid && mkdir /t/sticky && chmod 1777 /t/sticky \
 && cp /bin/true /t/owned && chown 12:34 /t/owned && chmod 2750 /t/owned && : > /t/empty && chmod 000 /t/empty \
 && printf 'x%.0s' $(seq 5000) > "/t/größe -x" && mkdir -p /dsci/suite && echo evil > /dsci/suite/conftest.py
ENV GREETING="hello world"
LABEL a.b="c d"
WORKDIR /t
USER 1234:5678
ENTRYPOINT ["/bin/echo", "entry"]
CMD ["cmd"]
"""


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


@pytest.fixture(scope="module")
def image() -> Iterator[Reference]:
    with realengine.image(DOCKERFILE) as name:
        yield name


@pytest.fixture(scope="module")
def files(image: Reference, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """One container, never started, for everything that only looks."""
    run = Run(tmp_path_factory.mktemp("state"))
    engine = DockerEngine(os.environ, run)
    with engine.container(image, platform=NATIVE, entrypoint=[""], command=["x"]) as container:
        yield container
    engine.collect(wait=True)
    run.close()


# ------------------------------------------------------------------------------------------------ where it looks


class ScriptedEngine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An engine of any age: it answers /version and /info, and remembers that it was asked."""

    daemon_threads = True

    def __init__(self, path: Path, version: object = "26.1.5", *, body: bytes | None = None, **info: Any) -> None:
        self.asked: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked.append(self.path)
                facts = {"ApiVersion": "1.41", "Version": version, "ServerVersion": version, **info}
                content = body if body is not None else json.dumps(facts).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def address_string(self) -> str:
                return "unix"

            def log_message(self, *_: object) -> None: ...

        super().__init__(str(path), Handler)
        self.url = f"unix://{path}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Callable[..., ScriptedEngine]]:
    made: list[ScriptedEngine] = []

    def start(*arguments: Any, **keywords: Any) -> ScriptedEngine:
        made.append(ScriptedEngine(tmp_path / f"engine-{len(made)}.sock", *arguments, **keywords))
        return made[-1]

    yield start
    for server in made:
        server.shutdown()
        server.server_close()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty DOCKER_CONFIG, and nothing in the environment that names an engine."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "docker-config"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


def context(name: str, url: str) -> None:
    """Made by the docker command itself."""
    docker("context", "create", name, "--docker", f"host={url}")


def test_docker_host_wins(
    run: Run, settings: Path, scripted: Callable[..., ScriptedEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    named, current, host = scripted("24.0.1"), scripted("24.0.2"), scripted("24.0.3")
    context("named", named.url)
    context("current", current.url)
    assert DockerEngine({"DOCKER_HOST": host.url}, run).version().startswith("Docker Engine 24.0.3")
    docker("context", "use", "current")
    assert DockerEngine(os.environ, run).version().startswith("Docker Engine 24.0.2")
    assert DockerEngine(os.environ | {"DOCKER_CONTEXT": "named"}, run).version().startswith("Docker Engine 24.0.1")
    both = {"DOCKER_CONTEXT": "named", "DOCKER_HOST": host.url}
    assert DockerEngine(both, run).version().startswith("Docker Engine 24.0.3")
    # The docker command sees it the same way.
    for environment, url in (({}, current.url), ({"DOCKER_CONTEXT": "named"}, named.url), (both, host.url)):
        shown = docker("context", "ls", "--format", "{{.Current}} {{.DockerEndpoint}}", environment=environment)
        assert f"true {url}" in shown.split("\n")


def test_without_any_setting_it_is_the_default_socket(settings: Path) -> None:
    for environment in ({}, {"DOCKER_HOST": "", "DOCKER_CONTEXT": ""}, {"DOCKER_CONTEXT": "default"}):
        assert endpoint(os.environ | environment)[0] == "unix:///var/run/docker.sock"


def test_a_context_is_found_without_any_settings_file(
    run: Run, settings: Path, scripted: Callable[..., ScriptedEngine], tmp_path: Path
) -> None:
    server = scripted("24.0.1")
    context("named", server.url)
    (settings / "config.json").unlink(missing_ok=True)
    environment = {"DOCKER_CONTEXT": "named", "DOCKER_CONFIG": str(settings)}
    assert DockerEngine(environment, run).version().startswith("Docker Engine 24.0.1")
    # The docker command's own place, where nothing says otherwise.
    settings.rename(tmp_path / ".docker")
    environment = {"DOCKER_CONTEXT": "named", "HOME": str(tmp_path)}
    assert DockerEngine(environment, run).version().startswith("Docker Engine 24.0.1")


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(paths[1]), "-out"]
    subprocess.run([*request, str(paths[0]), *subject], check=True, capture_output=True)
    return paths


@pytest.fixture
def encrypted(certificate: tuple[Path, Path]) -> Iterator[str]:
    """An engine behind TLS that lets in only who has the certificate; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = b'{"ApiVersion": "1.45", "ServerVersion": "26.9.9"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    tls.load_verify_locations(certificate[0])
    tls.verify_mode = ssl.CERT_REQUIRED
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield f"tcp://127.0.0.1:{server.server_address[1]}"


def test_an_engine_behind_tls(
    run: Run,
    settings: Path,
    certificate: tuple[Path, Path],
    encrypted: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    cert, key = certificate
    docker("context", "create", "tls", "--docker", f"host={encrypted},ca={cert},cert={cert},key={key}")
    assert "26.9.9" in DockerEngine(os.environ | {"DOCKER_CONTEXT": "tls"}, run).version()
    docker("context", "create", "keyless", "--docker", f"host={encrypted},ca={cert}")
    docker("context", "create", "plain", "--docker", f"host={encrypted}")
    for name in ("keyless", "plain"):
        with pytest.raises(BuilderError, match=re.escape(f"cannot reach the Docker Engine at {encrypted}")):
            DockerEngine(os.environ | {"DOCKER_CONTEXT": name}, run).version()
    # An authority that is meant for other hosts does not replace the engine's.
    monkeypatch.setenv(
        "REQUESTS_CA_BUNDLE", ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    )
    assert "26.9.9" in DockerEngine(os.environ | {"DOCKER_CONTEXT": "tls"}, run).version()
    # And by the older variables.
    (tmp_path / "ca.pem").write_bytes(cert.read_bytes())
    environment = os.environ | {"DOCKER_HOST": encrypted, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    assert "26.9.9" in DockerEngine(environment, run).version()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"currentContext": null}', '{"currentContext": ""}'])
def test_a_settings_file_that_chooses_nothing(settings: Path, content: str) -> None:
    (settings / "config.json").write_text(content)
    assert endpoint(os.environ)[0] == "unix:///var/run/docker.sock"


def test_a_context_that_does_not_exist_is_named(run: Run, settings: Path) -> None:
    with pytest.raises(BuilderError, match="there is no docker context 'gone'") as caught:
        DockerEngine(os.environ | {"DOCKER_CONTEXT": "gone"}, run).version()
    assert "docker context ls" in caught.value.hint
    (settings / "config.json").write_text('{"currentContext": "left-over"}')
    with pytest.raises(BuilderError, match="there is no docker context 'left-over'"):
        DockerEngine(os.environ, run).version()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"Name": "x"}', '{"Name":"x","Metadata":{},"Endpoints":5}'])
def test_a_damaged_context_is_an_error_with_its_name(run: Run, settings: Path, content: str) -> None:
    context("broken", "unix:///x.sock")
    (meta,) = settings.glob("contexts/meta/*/meta.json")
    meta.write_text(content)
    with pytest.raises(BuilderError, match="'broken' cannot be read"):
        DockerEngine(os.environ | {"DOCKER_CONTEXT": "broken"}, run).version()


def test_nothing_is_contacted_before_it_is_needed(run: Run, scripted: Callable[..., ScriptedEngine]) -> None:
    server = scripted()
    engine = DockerEngine({"DOCKER_HOST": server.url}, run)
    engine.cancel()
    assert server.asked == []
    engine.version()
    assert server.asked


def test_threads_that_ask_at_once_share_one_connection(run: Run, scripted: Callable[..., ScriptedEngine]) -> None:
    server = scripted(DriverStatus=[["driver-type", "io.containerd.snapshotter.v1"]])
    engine = DockerEngine({"DOCKER_HOST": server.url}, run)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: engine.mode, range(32))) == {"containerd"}
    assert sum(path.endswith("/info") for path in server.asked) == 1


# ------------------------------------------------------------------------------------------ engines that cannot be


def test_no_engine_there(run: Run, tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/none.sock"
    with pytest.raises(BuilderError) as caught:
        DockerEngine({"DOCKER_HOST": url}, run).version()
    assert caught.value.message == f"cannot reach the Docker Engine at {url}: No such file or directory"
    assert "start Docker" in caught.value.hint and "DOCKER_HOST" in caught.value.hint and caught.value.exit_code == 4


def test_nobody_listens(run: Run) -> None:
    with pytest.raises(BuilderError, match=r"tcp://127\.0\.0\.1:1: Connection refused"):
        DockerEngine({"DOCKER_HOST": "tcp://127.0.0.1:1"}, run).version()


@pytest.mark.parametrize("url", ["tcp://", "nonsense", "unix:/", "ftp://x:1"])
def test_addresses_that_are_none(run: Run, url: str) -> None:
    with pytest.raises(BuilderError, match=f"at {url}") as caught:
        DockerEngine({"DOCKER_HOST": url}, run).version()
    assert "DOCKER_HOST" in caught.value.hint


def test_missing_certificates_are_named(run: Run, tmp_path: Path) -> None:
    environment = {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    with pytest.raises(BuilderError, match=r"(?i)tls|cert"):
        DockerEngine(environment, run).version()


def test_ssh_says_what_it_needs(run: Run) -> None:
    if "paramiko" in sys.modules or _installed("paramiko"):
        pytest.skip("paramiko is installed here, so ssh:// would be tried")
    with pytest.raises(BuilderError, match="paramiko"):
        DockerEngine({"DOCKER_HOST": "ssh://somebody@host.invalid"}, run).version()


def _installed(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_no_permission(run: Run) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = ScriptedEngine(Path(folder) / "docker.sock")
        try:
            Path(folder, "docker.sock").chmod(0o600)
            assert DockerEngine({"DOCKER_HOST": server.url}, run).version()
            os.seteuid(65534)
            try:
                with pytest.raises(BuilderError) as caught:
                    DockerEngine({"DOCKER_HOST": server.url}, run).version()
            finally:
                os.seteuid(0)
        finally:
            server.shutdown()
            server.server_close()
    assert caught.value.message == f"no permission to use the Docker Engine at {server.url}: Permission denied"
    assert "docker group" in caught.value.hint and "rootless" in caught.value.hint


@pytest.mark.parametrize("version", ["20.10.24+dfsg1", "19.03.15", "22.06.0-beta.0", "1.13.1"])
def test_an_engine_that_is_too_old(run: Run, scripted: Callable[..., ScriptedEngine], version: str) -> None:
    server = scripted(version)
    with pytest.raises(BuilderError) as caught:
        DockerEngine({"DOCKER_HOST": server.url}, run).version()
    assert f"is {version}; dsci needs 23.0 or newer" in caught.value.message and server.url in caught.value.message
    assert "update Docker" in caught.value.hint


CONTAINERD = {"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}


@pytest.mark.parametrize(
    ("version", "facts", "said"),
    [
        ("26.1.5+dfsg1", {}, "classic image store"),
        ("25.0.6", CONTAINERD, "Docker Engine 25.0.6 leaves the times"),
        ("23.0.0", CONTAINERD, "Docker Engine 23.0.0 leaves the times"),
        ("26.0.0", CONTAINERD, ""),
        ("29.1.0-rc.1", CONTAINERD, ""),
        ("dev", CONTAINERD, ""),
        ("", CONTAINERD, ""),
    ],
)
def test_whether_an_engine_can_build_the_same_bytes_twice(
    run: Run, scripted: Callable[..., ScriptedEngine], version: str, facts: dict[str, Any], said: str
) -> None:
    engine = DockerEngine({"DOCKER_HOST": scripted(version, **facts).url}, run)
    if not said:
        engine.check_reproducible()
        return
    with pytest.raises(BuilderError) as caught:
        engine.check_reproducible()
    assert said in caught.value.message and "take `reproducible` out of dsci.yaml" in caught.value.hint


@pytest.mark.parametrize("version", ["23.0.0", "26.1.5+dfsg1", "29.0.0-rc.1", "dev", "", None])
def test_an_engine_that_is_new_enough_or_cannot_be_told(
    run: Run, scripted: Callable[..., ScriptedEngine], version: str | None
) -> None:
    assert DockerEngine({"DOCKER_HOST": scripted(version).url}, run).mode == "classic"


@pytest.mark.parametrize("body", [b"<html>captive portal</html>", b"{}", b"[]", b"", b"null"])
def test_something_that_is_no_engine(run: Run, scripted: Callable[..., ScriptedEngine], body: bytes) -> None:
    with pytest.raises(BuilderError, match="is no Docker Engine"):
        DockerEngine({"DOCKER_HOST": scripted(body=body).url}, run).version()


def test_the_image_store_is_read_from_the_engine(run: Run, scripted: Callable[..., ScriptedEngine]) -> None:
    for status, mode in (
        ([["driver-type", "io.containerd.snapshotter.v1"]], "containerd"),
        ([["Backing Filesystem", "extfs"], ["Supports d_type", "true"]], "classic"),
        ([], "classic"),
        (None, "classic"),
    ):
        assert DockerEngine({"DOCKER_HOST": scripted(DriverStatus=status).url}, run).mode == mode


def test_platform_and_mirrors(run: Run, scripted: Callable[..., ScriptedEngine]) -> None:
    server = scripted(OSType="linux", Architecture="aarch64", RegistryConfig={"Mirrors": ["http://m:1/"]})
    engine = DockerEngine({"DOCKER_HOST": server.url}, run)
    assert (str(engine.platform()), engine.mirrors()) == ("linux/arm64", ("http://m:1/",))
    bare = DockerEngine({"DOCKER_HOST": scripted(RegistryConfig=None).url}, run)
    assert bare.mirrors() == ()


# ------------------------------------------------------------------------------------------------- the real one


class TinyImage:
    """A one-layer image in memory, with nothing in it but what it is given."""

    def __init__(self, files: dict[str, realengine.Content], config: dict[str, Any] | None = None) -> None:
        plain = tar_of(files)
        self.layer = gzip.compress(plain, mtime=0)
        self.raw_config = json.dumps(
            {
                **NATIVE.to_json(),
                "config": config or {},
                "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(plain))]},
                "history": [{"created_by": "test"}],
            }
        ).encode()
        config_blob = Descriptor.of(OCI_CONFIG, self.raw_config)
        layer = Descriptor.of(OCI_LAYER_GZIP, self.layer)
        self.contents = {config_blob.digest: self.raw_config, layer.digest: self.layer}
        self.config_digest = config_blob.digest
        self.manifest = Manifest(config=config_blob, layers=(layer,)).to_bytes()
        self.descriptor = Descriptor.of(OCI_MANIFEST, self.manifest, NATIVE)

    def open(self, blob: Descriptor) -> BinaryIO:
        return io.BytesIO(self.contents[blob.digest])


@engine_needed
def test_the_real_engine_tells_about_itself(engine: DockerEngine) -> None:
    assert engine.version().startswith("Docker Engine ") and engine.mode in engine.version()
    assert engine.platform() == NATIVE
    assert all(mirror.startswith("http") for mirror in engine.mirrors())


@engine_needed
def test_what_is_loaded_has_the_digest_that_was_built(engine: DockerEngine, run: Run) -> None:
    name = Reference.parse(f"dsci.local/test/tiny:dsci-x-{run.nonce}")
    source = TinyImage({"hello": "hi\n", "etc": folder()}, {"Env": ["A=1"], "Labels": {"x": "y"}})
    assert engine.image_id(name) is None
    try:
        engine.load(source, name)
        expected = source.descriptor.digest if engine.mode == "containerd" else source.config_digest
        assert engine.image_id(name) == str(expected)
        assert engine.config(name)["Env"] == ["A=1"] and engine.config(name)["Labels"] == {"x": "y"}
        engine.load(source, name)
        assert engine.image_id(name) == str(expected), "loading again changes nothing"
        with engine.container(name, platform=NATIVE, command=["/none"]) as container:
            assert container.read("/hello", 100) == b"hi\n"

        second = Reference.parse(f"dsci.local/test/tiny-kept:dev-{run.nonce}")
        engine.tag(name, second)
        engine.remove_image(name)
        assert engine.image_id(name) is None and engine.image_id(second) == str(expected)
        engine.remove_image(second)
    finally:
        engine.remove_image(name)
    assert engine.image_id(name) is None
    engine.remove_image(name)


@engine_needed
def test_what_is_discarded_goes_together(engine: DockerEngine, run: Run) -> None:
    names = [Reference.parse(f"dsci.local/test/tiny-{n}:dsci-x-{run.nonce}") for n in range(3)]
    try:
        for n, name in enumerate(names):
            engine.load(TinyImage({"hello": f"{n} {run.nonce}\n"}), name)
            engine.discard(name)
        engine.discard(Reference.parse(f"dsci.local/test/never-there:dsci-x-{run.nonce}"))
        assert [engine.image_id(name) is not None for name in names] == [True] * 3, "it takes its time"
        engine.collect(wait=True)
        assert [engine.image_id(name) for name in names] == [None] * 3
    finally:
        for name in names:
            engine.remove_image(name)


def test_what_cannot_be_discarded_is_warned_of_and_the_run_stays_known(tmp_path: Path, run: Run) -> None:
    told: list[str] = []
    gone = DockerEngine({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}, run, warn=told.append)
    gone.discard(Reference.parse("dsci.local/test/x:dsci-x"))
    assert told == []
    gone.collect(wait=True)
    assert len(told) == 1 and told[0].startswith("dsci.local/test/x:dsci-x may be left in the engine: cannot reach")
    assert run.left_behind


@engine_needed
def test_a_layer_that_is_not_what_it_says_is_refused(engine: DockerEngine, run: Run) -> None:
    name = Reference.parse(f"dsci.local/test/bad:dsci-x-{run.nonce}")
    source = TinyImage({"hello": "hi\n"})
    layer = Manifest.from_bytes(source.manifest).layers[0]
    source.contents[layer.digest] = bytes(reversed(source.contents[layer.digest]))
    with pytest.raises(BuilderError):
        engine.load(source, name)
    engine.remove_image(name)


@engine_needed
def test_a_registry_that_fails_while_loading_is_told_as_such(engine: DockerEngine, run: Run) -> None:
    class Failing(TinyImage):
        def open(self, blob: Descriptor) -> BinaryIO:
            raise RegistryError("the registry is gone", temporary=True)

    with pytest.raises(RegistryError, match="the registry is gone"):
        engine.load(Failing({"x": "1"}), Reference.parse(f"dsci.local/test/failing:dsci-x-{run.nonce}"))


@engine_needed
def test_an_image_that_is_not_there(engine: DockerEngine, run: Run) -> None:
    name = Reference.parse("dsci.local/test/nothing:x")
    for call in (lambda: engine.config(name), lambda: engine.tag(name, name), lambda: _enter(engine, name)):
        with pytest.raises(BuilderError, match=r"(?i)no such image"):
            call()
    engine.collect(wait=True)
    assert realengine.containers(f"{LABEL}={run.id}") == set()


def _enter(engine: DockerEngine, name: Reference) -> None:
    with engine.container(name, platform=NATIVE, volume=("/v", tar_of({}))):
        pass


@engine_needed
def test_config_as_the_image_has_it(engine: DockerEngine, image: Reference) -> None:
    config = engine.config(image)
    assert "GREETING=hello world" in config["Env"]  # type: ignore[operator]
    assert config["Labels"] == {"a.b": "c d"}
    assert (config["WorkingDir"], config["User"]) == ("/t", "1234:5678")
    assert (config["Entrypoint"], config["Cmd"]) == (["/bin/echo", "entry"], ["cmd"])


# ---------------------------------------------------------------------------------------------------------- files


def entry(kind: Any, mode: int, *, uid: int = 0, gid: int = 0, size: int = 0, link: str = "") -> FileEntry:
    return FileEntry(kind=kind, mode=mode, uid=uid, gid=gid, size=size, link=link)


@engine_needed
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/t/c/x", entry("file", 0o644, size=6)),
        ("/t/hard", entry("file", 0o644, size=6)),
        ("t/c/x", entry("file", 0o644, size=6)),
        ("/t/c/../c/./x", entry("file", 0o644, size=6)),
        ("/t/größe -x", entry("file", 0o644, size=5000)),
        ("/t/empty", entry("file", 0o000)),
        ("/t/c", entry("directory", 0o755)),
        ("/t/c/", entry("directory", 0o755)),
        ("/t/sticky", entry("directory", 0o1777)),
        ("/t/owned", "owned"),
        ("/t/setuid", "setuid"),
        ("/t/pipe", entry("other", 0o644)),
        ("/t/dangling", entry("symlink", 0o777, link="/no/where")),
        ("/t/a/deep", entry("symlink", 0o777, link="../c/d")),
        ("/t/a/deep/up", entry("symlink", 0o777, link="../x")),
        ("/t/folder-link", entry("symlink", 0o777, link="/t/c")),
        ("/t/folder-link/x", entry("file", 0o644, size=6)),
        ("/t/nothing", None),
        ("/t/nothing/below", None),
        ("/t/c/x/below", None),
        ("/t/loop1/below", None),
        ("/" + "x" * 300, None),
        ("", None),
    ],
)
def test_stat(files: Container, path: str, found: FileEntry | str | None) -> None:
    told = files.stat(path)
    if isinstance(found, str):
        assert told is not None and told.kind == "file" and told.size > 1000
        assert (oct(told.mode), told.uid, told.gid) == {
            "owned": ("0o2750", 12, 34),
            "setuid": ("0o4755", 0, 0),
        }[found]
    else:
        assert told == found


@engine_needed
@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/t/c/x", b"hello\n"),
        ("/t/hard", b"hello\n"),
        ("/t/folder-link/x", b"hello\n"),
        # Each step of these stands behind a linked folder: reading the links as text leads astray.
        ("/t/a/deep/up", b"hello\n"),
        ("/t/a/chain", b"hello\n"),
        ("/t/long", b"hello\n"),
        ("/t/empty", b""),
        ("/t/c", None),
        ("/t/folder-link", None),
        ("/t/dangling", None),
        ("/t/loop1", None),
        ("/t/self", None),
        ("/t/pipe", None),
        ("/t/nothing", None),
        ("/t/c/x/below", None),
        ("", None),
    ],
)
def test_read(files: Container, path: str, content: bytes | None) -> None:
    assert files.read(path, 100) == content
    assert files.copy_out(path) == content


@engine_needed
def test_a_link_does_not_lead_out_of_the_image(files: Container) -> None:
    inside = files.read("/etc/passwd", 10_000)
    assert inside and files.read("/t/escape", 10_000) == inside == files.read("/t/absolute", 10_000)


@engine_needed
def test_only_as_much_is_read_as_was_asked_for(files: Container) -> None:
    assert files.read("/t/größe -x", 10) == b"x" * 10
    assert files.read("/t/größe -x", 10_000) == b"x" * 5000


@engine_needed
def test_looking_at_a_folder_does_not_read_it(files: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    """container-structure-test reads ten gigabytes to say whether `/` is there."""
    client = files._container  # type: ignore[attr-defined]
    ask, seen = client.get_archive, []

    def counting(path: str) -> tuple[Iterator[bytes], Any]:
        stream, told = ask(path)

        def counted() -> Iterator[bytes]:
            with contextlib.closing(stream):
                for chunk in stream:
                    seen.append(len(chunk))
                    yield chunk

        return counted(), told

    monkeypatch.setattr(client, "get_archive", counting)
    for path in ("/", "/usr", "/usr/lib"):
        assert files.stat(path) is not None and files.read(path, 100) is None
    assert len(seen) == 6 and sum(seen) < 16 * 1024 * 1024


# -------------------------------------------------------------------------------------------------------- running


def ran(
    engine: DockerEngine, image: Reference, *command: str, timeout: float = 30, limit: int = 4096, **more: Any
) -> Ran:
    more = {"entrypoint": [""]} | more
    more["special"] = replace(more.get("special") or Special(), user=more.pop("user", "0"))
    with engine.container(image, platform=NATIVE, command=command, **more) as container:
        return container.run(timeout, limit)


@engine_needed
def test_exit_code_and_outputs_apart(engine: DockerEngine, run: Run, image: Reference) -> None:
    found = ran(engine, image, "sh", "-c", r"echo out; echo err >&2; printf '\377\000\033[31m'; exit 3")
    # The engine's log is text: what is no UTF-8 comes as U+FFFD.
    assert (found.exit_code, found.stdout, found.stderr) == (3, "out\n\ufffd\0\x1b[31m".encode(), b"err\n")
    assert 0 < found.seconds < 30 and found.reason == ""
    engine.collect(wait=True)
    assert realengine.containers(f"{LABEL}={run.id}") == set()


@engine_needed
def test_entrypoint_command_user_and_folder_of_the_image(engine: DockerEngine, image: Reference) -> None:
    with engine.container(image, platform=NATIVE) as container:
        assert container.run(30, 100).stdout == b"entry cmd\n"
    with engine.container(image, platform=NATIVE, command=["a", "b c"]) as container:
        assert container.run(30, 100).stdout == b"entry a b c\n"
    assert ran(engine, image, "sh", "-c", "id -u; pwd", user="").stdout == b"1234\n/t\n"
    assert ran(engine, image, "id", "-u", user="4321").stdout == b"4321\n"


@engine_needed
def test_environment(engine: DockerEngine, image: Reference) -> None:
    more = {"NEW": "x=y z\n$HOME 'q' größe", "EMPTY": "", "GREETING": "bye"}
    found = ran(engine, image, "env", "-0", environment=more).stdout.decode().split("\0")
    assert {f"{name}={value}" for name, value in more.items()} <= set(found)


@engine_needed
@pytest.mark.parametrize(
    ("command", "reason"),
    [("no-such-program", "not found"), ("/etc/passwd", "permission denied"), ("/t", "is a directory")],
)
def test_a_command_that_cannot_start_says_why(
    engine: DockerEngine, run: Run, image: Reference, command: str, reason: str
) -> None:
    found = ran(engine, image, command)
    assert found.exit_code is None and reason in found.reason and found.stdout == b"" == found.stderr
    engine.collect(wait=True)
    assert realengine.containers(f"{LABEL}={run.id}") == set()


@engine_needed
def test_a_user_that_is_not_there(engine: DockerEngine, image: Reference) -> None:
    found = ran(engine, image, "id", user="ghost")
    assert found.exit_code is None and "ghost" in found.reason


@engine_needed
def test_what_ignores_sigterm_is_killed_in_time(engine: DockerEngine, run: Run, image: Reference) -> None:
    began = time.monotonic()
    found = ran(engine, image, "sh", "-c", "trap '' TERM INT; echo started; while :; do sleep 1; done", timeout=2)
    assert time.monotonic() - began < 15
    assert found.exit_code is None and found.reason == "still running after 2 s, so it was killed"
    assert found.stdout == b"started\n"
    engine.collect(wait=True)
    assert realengine.containers(f"{LABEL}={run.id}") == set()


@engine_needed
def test_what_is_left_in_the_background_does_not_hold_the_run(engine: DockerEngine, image: Reference) -> None:
    began = time.monotonic()
    assert ran(engine, image, "sh", "-c", "echo hi; sleep 600 &").stdout == b"hi\n"
    assert time.monotonic() - began < 15


@engine_needed
def test_output_is_bounded_and_a_cut_is_told(engine: DockerEngine, image: Reference) -> None:
    found = ran(engine, image, "sh", "-c", "echo first >&2; seq 2000; exit 0", limit=1000)
    assert found.exit_code == 0 and len(found.stdout) == 1000 and found.stdout.endswith(b"\n2000\n")
    assert "more than is kept" in found.reason
    # A flood, far over what the engine's log may hold: 28 MB in 200 000 lines.
    found = ran(engine, image, "sh", "-c", "echo first >&2; seq -f '%080.0f' 200000; echo end", limit=1 << 20)
    assert found.exit_code == 0 and len(found.stdout) == 1 << 20 and found.stdout.endswith(b"0200000\nend\n")
    assert "more than is kept" in found.reason
    # Few bytes in very many lines: the log turned over although what is left of it is small.
    found = ran(engine, image, "sh", "-c", "yes '' | head -n 300000", limit=1 << 20)
    assert found.exit_code == 0 and len(found.stdout) < 300_000
    assert "more than is kept" in found.reason


@engine_needed
def test_an_endless_flood_ends_at_the_timeout(engine: DockerEngine, image: Reference) -> None:
    found = ran(engine, image, "yes", timeout=1, limit=1 << 20)
    assert found.exit_code is None and "killed" in found.reason
    assert 0 < len(found.stdout) <= 1 << 20


@engine_needed
def test_an_engine_that_goes_away_is_no_timeout(
    engine: DockerEngine, image: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests

    def cut(*_: object, **__: object) -> None:
        raise requests.exceptions.ConnectionError("Remote end closed connection")

    with engine.container(image, platform=NATIVE, entrypoint=[""], command=["sleep", "60"]) as container:
        monkeypatch.setattr(container._container, "wait", cut)
        with pytest.raises(BuilderError, match="cannot reach the Docker Engine"):
            container.run(60, 100)


@engine_needed
def test_without_a_network(engine: DockerEngine, image: Reference) -> None:
    found = ran(engine, image, "sh", "-c", "ls /sys/class/net", special=Special(network="none"))
    assert found.stdout.split() == [b"lo"]


@engine_needed
def test_what_was_written_is_read_after_the_run(engine: DockerEngine, image: Reference) -> None:
    command = ["sh", "-c", "echo result > /tmp/out; ln -s out /tmp/link; head -c 3000000 /dev/zero > /tmp/big"]
    with engine.container(image, platform=NATIVE, entrypoint=[""], command=command) as container:
        assert container.run(30, 100).exit_code == 0
        assert container.copy_out("/tmp/out") == b"result\n" == container.copy_out("/tmp/link")
        assert container.copy_out("/tmp/big") == bytes(3_000_000)
        assert container.copy_out("/tmp/none") is None


# --------------------------------------------------------------------------------------------------------- volume


@engine_needed
def test_a_volume_that_anybody_may_read_and_write_where_it_says(
    engine: DockerEngine, run: Run, image: Reference
) -> None:
    content = tar_of({"in.txt": "given\n", "out": folder(0o1777), "tool": Script("#!/bin/sh\necho tool\n")})
    script = "cat /dsci/in.txt; /dsci/tool; ls /dsci; echo mine > /dsci/out/x; (echo > /dsci/y) 2>/dev/null || echo ro"
    with engine.container(
        image, platform=NATIVE, entrypoint=[""], command=["sh", "-c", script], volume=("/dsci", content)
    ) as container:
        found = container.run(30, 1000)
        # The image's own /dsci/suite is hidden, not mixed in.
        assert found.stdout == b"given\ntool\nin.txt\nout\ntool\nro\n", found
        assert container.copy_out("/dsci/out/x") == b"mine\n"
        stat = container.stat("/dsci/out/x")
        assert stat is not None and (stat.uid, stat.gid) == (1234, 5678)
        assert len(realengine.volumes(f"{LABEL}={run.id}")) == 1
    engine.collect(wait=True)
    assert realengine.volumes(f"{LABEL}={run.id}") == set()
    assert docker("run", "--rm", "--entrypoint", "cat", str(image), "/dsci/suite/conftest.py") == "evil"


@engine_needed
def test_whatever_happens_in_it_nothing_is_left(engine: DockerEngine, run: Run, image: Reference) -> None:
    for error in (FileNotFoundError("the suite's own"), KeyboardInterrupt(), ZeroDivisionError()):
        with (
            pytest.raises(type(error)),
            engine.container(image, platform=NATIVE, command=["x"], volume=("/v", tar_of({"a": "1"}))),
        ):
            raise error
        engine.collect(wait=True)
        assert realengine.containers(f"{LABEL}={run.id}") == set() == realengine.volumes(f"{LABEL}={run.id}")


@engine_needed
def test_a_volume_that_cannot_be_filled_leaves_nothing(engine: DockerEngine, run: Run, image: Reference) -> None:
    volume = ("/v", b"this is no tar" * 100)
    with pytest.raises(BuilderError), engine.container(image, platform=NATIVE, command=["x"], volume=volume):
        pass
    engine.collect(wait=True)
    assert realengine.containers(f"{LABEL}={run.id}") == set() == realengine.volumes(f"{LABEL}={run.id}")


@engine_needed
def test_what_vanished_meanwhile_is_no_error(engine: DockerEngine, run: Run, image: Reference) -> None:
    with engine.container(image, platform=NATIVE, command=["x"], volume=("/v", tar_of({"a": "1"}))):
        for container in realengine.containers(f"{LABEL}={run.id}"):
            docker("rm", "--force", container)
        for volume in realengine.volumes(f"{LABEL}={run.id}"):
            docker("volume", "rm", volume)


# -------------------------------------------------------------------------------------------------- stop and sweep


@engine_needed
def test_cancel_kills_what_runs_and_what_is_about_to(engine: DockerEngine, image: Reference) -> None:
    began = time.monotonic()
    with engine.container(image, platform=NATIVE, entrypoint=[""], command=["sleep", "600"]) as late:
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(ran, engine, image, "sleep", "600", timeout=300)
            time.sleep(3)
            engine.cancel()
            assert future.result(30).exit_code == 137
        assert late.run(300, 100).exit_code == 137, "created before, started after"
    with pytest.raises(BuilderError, match="stopped"):
        ran(engine, image, "true")
    assert time.monotonic() - began < 40


CHILD = """\
import os, sys, time
from pathlib import Path
from dsci.drivers.engine import DockerEngine
from dsci.drivers.runs import Run
from dsci.model.oci import Platform
from dsci.model.reference import Reference
run = Run(Path(sys.argv[1]))
image = Reference.parse(sys.argv[2])
engine = DockerEngine(os.environ, run)
engine.tag(image, Reference.parse(f"dsci.local/swept/x:dsci-0123-{run.nonce}"))
content = b"\\0" * 1024
options = {"platform": Platform.parse(sys.argv[3]), "entrypoint": [""], "volume": ("/v", content)}
with engine.container(image, command=["sleep", "600"], **options) as one:
    with engine.container(image, command=["sleep", "600"], **options) as two:
        import threading
        threading.Thread(target=one.run, args=(600, 100), daemon=True).start()
        time.sleep(1)
        print(run.id, flush=True)
        time.sleep(600)
"""


def start_child(state: Path, image: Reference) -> tuple[subprocess.Popen[str], str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(state), str(image), str(NATIVE)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    return child, child.stdout.readline().strip()


@engine_needed
def test_sweep_takes_what_the_dead_left_and_nothing_else(
    engine: DockerEngine, run: Run, image: Reference, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    foreign = {
        "another machine": f"{LABEL}=elsewhere.0123456789abcdef",
        "another state folder": f"{LABEL}={run.id.rpartition('.')[0]}.0123456789abcdef",
        "not dsci's": f"{LABEL}=whatever",
    }
    (state / "runs" / "elsewhere.0123456789abcdef.lock").touch()
    made: list[str] = []
    children: list[subprocess.Popen[str]] = []
    names: list[Reference] = []
    try:
        for label in foreign.values():
            made.append(docker("create", "--label", label, str(image)))
        volume = docker("volume", "create", "--label", foreign["another state folder"])
        for _ in range(2):
            child, _ = start_child(state, image)
            children.append(child)
        dead, living = (_run_of(child, state) for child in children)
        names = [Reference.parse(f"dsci.local/swept/x:dsci-0123-{one.rpartition('.')[2]}") for one in (dead, living)]
        other = Reference.parse("dsci.local/swept/x:dev")
        engine.tag(image, other)
        names.append(other)
        children[0].send_signal(signal.SIGKILL)
        children[0].wait()
        assert len(realengine.containers(f"{LABEL}={dead}")) == 2 == len(realengine.volumes(f"{LABEL}={dead}"))

        assert engine.sweep() == 5, "two containers, two volumes, one name"

        assert realengine.containers(f"{LABEL}={dead}") == set() == realengine.volumes(f"{LABEL}={dead}")
        assert engine.image_id(names[0]) is None
        assert len(realengine.containers(f"{LABEL}={living}")) == 2 == len(realengine.volumes(f"{LABEL}={living}"))
        assert engine.image_id(names[1]) is not None and engine.image_id(other) is not None
        assert set(made) <= realengine.containers(LABEL) and volume in realengine.volumes(LABEL)
        assert engine.image_id(image) is not None
        assert engine.sweep() == 0
        # Now its lock is gone as well: nothing of it is left to be told from anything.
        assert not (state / "runs" / f"{dead}.lock").exists() and (state / "runs" / f"{living}.lock").exists()
    finally:
        for child in children:
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()
        engine.sweep()
        for name in names:
            engine.remove_image(name)
        docker("rm", "--force", *made)
        docker("volume", "rm", "--force", volume)


SERVICES = """\
name: dsci-test-{nonce}
services:
  a:
    image: {image}
    entrypoint: [sh, -c, "trap '' TERM; while :; do sleep 1; done"]
    volumes: [kept:/kept, /forgotten]
    labels: &labels {{dev.dsci.run: {run}}}
networks: {{default: {{labels: *labels}}}}
volumes: {{kept: {{labels: *labels}}}}
"""


@engine_needed
def test_sweep_takes_services_with_their_networks_and_volumes(
    engine: DockerEngine, image: Reference, tmp_path: Path
) -> None:
    """What Docker Compose brought up for a run that was killed, and left alone what it made for others."""
    file = tmp_path / "compose.yaml"
    places = [Run(tmp_path / "state"), Run(tmp_path / "state")]
    try:
        for run in places:
            file.write_text(SERVICES.format(nonce=run.nonce, image=image, run=run.id))
            docker("compose", "--file", str(file), "up", "--detach")
        dead, living = places
        (container,) = realengine.containers(f"{LABEL}={dead.id}")
        volumes = set(docker("inspect", "--format", "{{range .Mounts}}{{.Name}} {{end}}", container).split())
        dead.left_behind = True
        dead.close()
        assert engine.sweep() == 3, "a container, a network and a volume with a name"
        names = {kind: docker(kind, "ls", "--quiet", "--filter", f"label={LABEL}={dead.id}") for kind in KINDS}
        assert names == dict.fromkeys(KINDS, "")
        assert len(volumes) == 2, "that without a name is not labelled"
        assert not volumes & set(docker("volume", "ls", "--quiet").split())
        assert all(docker(kind, "ls", "--quiet", "--filter", f"label={LABEL}={living.id}") for kind in KINDS)
    finally:
        docker("compose", "--file", str(file), "down", "--volumes", "--timeout", "0")
        living.close()


KINDS = ("container", "network", "volume")


@engine_needed
def test_what_is_started_while_a_run_is_stopped_does_not_go_on(engine: DockerEngine, image: Reference) -> None:
    with engine.container(image, platform=NATIVE, entrypoint=[""], command=["sleep", "600"]) as container:
        engine.cancel()
        assert container.start() == "it ended at once"
        container.again()
        assert not container.state().running


@engine_needed
def test_images_that_go_while_they_are_listed_stop_nobody(
    engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from docker.errors import APIError

    def die() -> None:
        dead = Run(tmp_path / "state")
        dead.left_behind = True
        dead.close()

    said = ["failed to calculate size of image x: content digest sha256:0: not found"] * 2
    list_images = engine._client.api.images

    def images() -> object:
        if said:
            raise APIError("500", explanation=said.pop())
        return list_images()

    monkeypatch.setattr(engine._client.api, "images", images)
    engine.sweep()
    assert said, "where nobody died nothing is listed: it takes the engine long"
    die()
    engine.sweep()
    assert not said
    die()
    said += ["content digest sha256:0: not found"] * 100
    engine.sweep()
    assert said, "it gives up, and leaves the rest to the next run"
    said[:] = ["disk on fire"]
    with pytest.raises(BuilderError, match="disk on fire"):
        engine.sweep()


def _run_of(child: subprocess.Popen[str], state: Path) -> str:
    """The id of the run whose lock this process holds."""
    for descriptor in Path(f"/proc/{child.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = descriptor.readlink()
            if target.parent == state / "runs" and target.suffix == ".lock":
                return target.stem
    raise AssertionError("the child holds no lock")


@engine_needed
def test_what_could_not_be_removed_is_still_known_to_be_dead(
    engine: DockerEngine, run: Run, image: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, dead = start_child(tmp_path / "state", image)
    child.kill()
    child.wait()
    assert child.stdout is not None
    child.stdout.close()
    name = Reference.parse(f"dsci.local/swept/x:dsci-0123-{dead.rpartition('.')[2]}")
    from docker.errors import APIError
    from docker.models.containers import Container as DockerContainer

    def busy(*_: object, **__: object) -> None:
        raise APIError("removal is in progress")

    with monkeypatch.context() as patch:
        patch.setattr(DockerContainer, "remove", busy)
        engine.sweep()
    assert run.is_dead(dead), "its lock was dropped though its containers are left"
    engine.sweep()
    assert realengine.containers(f"{LABEL}={dead}") == set() and engine.image_id(name) is None


@engine_needed
def test_everything_that_an_image_holds(engine: DockerEngine, image: Reference) -> None:
    with engine.container(image, platform=NATIVE) as container:
        found = dict(container.everything())
    assert (found["/t/c/x"].kind, found["/t/c/x"].size, found["/t/c/d/up"].link) == ("file", 6, "../x")
    assert found["/t/owned"].mode == 0o2750 and (found["/t/owned"].uid, found["/t/owned"].gid) == (12, 34)
    assert "/t/folder-link/x" not in found and found["/t/pipe"].kind == "other"
    assert len(found) > 1000


SERVING = ["sh", "-c", "echo one; echo two >&2; trap 'exit 7' TERM; while :; do sleep 0.05; done"]


@engine_needed
def test_how_a_container_goes_and_what_it_said(engine: DockerEngine, image: Reference) -> None:
    special = Special(ports=(8080,))
    with engine.container(image, platform=NATIVE, entrypoint=[""], command=SERVING, special=special) as container:
        assert (container.state().running, container.state().exit_code, container.first_process()) == (False, None, "")
        assert container.start() == ""
        state = container.state()
        assert (state.running, state.exit_code, state.health, state.out_of_memory) == (True, None, "", False)
        assert container.first_process().startswith("sh -c echo one; ")
        assert container.address(8080) is None, "the engine's proxy takes connections for nobody"
        answer = container.ask(Question(port=8080, path="/"), 5, 100)
        assert answer == "nothing can be reached at port 8080"
        container.stop(10)
        assert (container.state().running, container.state().exit_code) == (False, 7)
        assert container.logs(100) == (b"one\n", b"two\n") and container.logs(2) == (b"e\n", b"o\n")
