"""Buildx on the real engine: what enters an image, what does not, and how failures and interruptions end."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from tests import realengine
from tests.drivers.repository import Repo
from tests.realengine import NATIVE, Script, context, docker, tar_of

from dsci.drivers.buildstory import Story
from dsci.drivers.buildx import Buildx
from dsci.drivers.builtimage import SavedImage
from dsci.drivers.engine import DockerEngine
from dsci.drivers.runs import Run
from dsci.errors import BuilderError, ConfigError
from dsci.model.caches import Cache
from dsci.model.oci import OCI_CONFIG, OCI_LAYER_GZIP, Descriptor, Digest, Manifest
from dsci.model.reference import Reference
from dsci.ports import BuildFailure, BuildOrder, BuildSecret, ImageSource, Pin

engine_needed = pytest.mark.engine

SECRET = "canary-7f3a-do-not-keep"
BASE = "FROM debian:bookworm-slim\n"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    # What stands in lists that are parted by commas, and in shells, must survive them.
    run = Run(tmp_path / 'state, with "odd" name')
    yield run
    run.close()


@pytest.fixture
def engine(run: Run) -> Iterator[DockerEngine]:
    engine = DockerEngine(os.environ, run)
    yield engine
    engine.collect(wait=True)


@pytest.fixture
def builder(run: Run) -> Buildx:
    return Buildx(os.environ, run)


@pytest.fixture
def order(run: Run, engine: DockerEngine) -> Iterator[Callable[..., BuildOrder]]:
    """Makes orders; the names they give in the engine are removed at the end."""
    made: list[Reference] = []

    def make(**given: Any) -> BuildOrder:
        name = Reference.parse(f"dsci.local/test/built:dsci-{len(made)}-{run.nonce}")
        made.append(name)
        usual: dict[str, Any] = {
            "subject": "app@linux/amd64",
            "dockerfile": "Dockerfile",
            "dockerfile_shown": "images/app/Dockerfile",
            "stage": None,
            "platform": NATIVE,
            "local_name": name,
            "epoch": 1_700_000_000,
            "classic": engine.mode == "classic",
        }
        return BuildOrder(**(usual | given))

    yield make
    for name in made:
        engine.remove_image(name)


def silent(_: str) -> None: ...


class Built:
    """Everything of a built image, read before its folder goes."""

    def __init__(self, source: ImageSource) -> None:
        self.digest = source.descriptor.digest
        self.descriptor = source.descriptor
        manifest = Manifest.from_bytes(source.manifest)
        with source.open(manifest.config) as stream:
            self.raw_config = stream.read()
        self.config = json.loads(self.raw_config)
        with source.open(manifest.layers[-1]) as stream:
            self.top = gzip.decompress(stream.read())
        self.layers = manifest.layers
        self.manifest = source.manifest

    def file(self, path: str) -> tarfile.TarInfo:
        """The header of a file of the top layer."""
        with tarfile.open(fileobj=io.BytesIO(self.top)) as archive:
            return archive.getmember(path)

    def content(self, path: str) -> str:
        """A file of the top layer."""
        with tarfile.open(fileobj=io.BytesIO(self.top)) as archive:
            stream = archive.extractfile(path)
            assert stream is not None
            return stream.read().decode()


def build(builder: Buildx, order: BuildOrder, dockerfile: str, files: dict[str, Any] | None = None) -> Built:
    with builder.build(order, context(dockerfile, files), silent) as result:
        assert not isinstance(result, BuildFailure), result
        return Built(result)


def fail(builder: Buildx, order: BuildOrder, dockerfile: str, files: dict[str, Any] | None = None) -> BuildFailure:
    with builder.build(order, context(dockerfile, files), silent) as result:
        assert isinstance(result, BuildFailure), "it was built"
        return result


Orders = Callable[..., BuildOrder]


# ----------------------------------------------------------------------------------------------- what is built


@engine_needed
def test_a_build_from_a_tar(builder: Buildx, engine: DockerEngine, order: Orders, run: Run) -> None:
    wanted = order(
        args={"WHO": "größe, with \"quotes\" and = and 'x'", "EMPTY": "", "UNUSED": "x"},
        labels={"org.opencontainers.image.base.name": "debian", "note": "a, b=c\nd"},
    )
    told: list[str] = []
    dockerfile = BASE + 'ARG WHO\nARG EMPTY=set\nCOPY tool data /opt/\nRUN printf "%s|%s" "$WHO" "$EMPTY" > /opt/args\n'
    files = {"tool": Script("#!/bin/sh\n"), "data": "d"}
    with builder.build(wanted, context(dockerfile, files), told.append) as result:
        assert not isinstance(result, BuildFailure), result
        built = Built(result)
        expected = built.digest if engine.mode == "containerd" else Digest.of(built.raw_config)
        assert engine.image_id(wanted.local_name) == str(expected), "what was built is what the engine has"
    assert built.content("opt/args") == "größe, with \"quotes\" and = and 'x'|"
    assert built.config["config"]["Labels"] == dict(wanted.labels)
    assert any("RUN printf" in step for step in told) and not any("[internal]" in step for step in told)
    assert list(run.scratch.iterdir()) == [], "scratch folders are left"


@engine_needed
def test_modes_owners_and_times_of_the_tar_come_through(builder: Buildx, order: Orders) -> None:
    old = tarfile.TarInfo()
    old.type, old.linkname, old.mtime = tarfile.SYMTYPE, "tool", 1_600_000_000
    built = build(builder, order(), BASE + "COPY . /\n", {"tool": Script("x"), "data": "d", "link": old})
    assert (built.file("tool").mode, built.file("data").mode) == (0o755, 0o644)
    assert built.file("link").issym() and built.file("link").linkname == "tool"
    assert {built.file(name).uid for name in ("tool", "data", "link")} == {0}


@engine_needed
def test_a_stage_and_another_dockerfile(builder: Buildx, order: Orders) -> None:
    text = BASE.strip() + " AS one\nCOPY a /a\nFROM one AS two\nRUN exit 1\n"
    built = build(builder, order(stage="one", dockerfile="sub dir/My.Dockerfile"), "", {
        "sub dir/My.Dockerfile": text, "a": "1",
    })  # fmt: skip
    assert built.content("a") == "1"


@engine_needed
def test_pins_by_local_tag_replace_the_name_in_the_dockerfile(
    builder: Buildx, order: Orders, engine: DockerEngine
) -> None:
    parent = order()
    first = build(builder, parent, BASE + "RUN echo pinned > /who\n")
    names = ("python", "no.such.registry.invalid/acme/python:1.2")
    for name in names:
        child = order(pins=(Pin(name=name, source=f"docker-image://{parent.local_name}"),))
        built = build(builder, child, f"FROM {name}\nRUN cp /who /copied\n")
        assert built.content("copied") == "pinned\n"
        assert built.layers[:-1] == first.layers, "the child stands on the very layers of its parent"
    copies = order(pins=(Pin(name="acme/tools:9", source=f"docker-image://{parent.local_name}"),))
    assert build(builder, copies, BASE + "COPY --from=acme/tools:9 /who /from\n").content("from") == "pinned\n"
    mounts = order(pins=(Pin(name="acme/tools:9", source=f"docker-image://{parent.local_name}"),))
    text = BASE + "RUN --mount=type=bind,from=acme/tools:9,target=/m cp /m/who /mounted\n"
    assert build(builder, mounts, text).content("mounted") == "pinned\n"


@engine_needed
def test_a_pin_that_moved_is_seen(builder: Buildx, order: Orders) -> None:
    parent, child = order(), order
    for text in ("one", "two"):
        build(builder, parent, BASE + f"RUN echo {text} > /who\n")
        pinned = child(pins=(Pin(name="acme/base", source=f"docker-image://{parent.local_name}"),))
        assert build(builder, pinned, "FROM acme/base\nRUN cp /who /copied\n").content("copied") == f"{text}\n"


@engine_needed
def test_the_same_order_gives_the_same_digest_whatever_the_environment_says(
    run: Run, order: Orders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, files = BASE + "COPY a /a\nRUN echo x > /b\n", {"a": "1"}
    first = build(Buildx(os.environ, run), order(), text, files)
    Repo(tmp_path / "repo").commit("what buildx would write into labels", {"a": "1"})
    monkeypatch.chdir(tmp_path / "repo")
    noisy = {
        **os.environ,
        "SOURCE_DATE_EPOCH": "1234567890",
        "BUILDX_GIT_LABELS": "full",
        "BUILDX_GIT_INFO": "true",
        "BUILDX_BUILDER": "no-such-builder",
        "BUILDKIT_PROGRESS": "plain",
        "BUILDX_NO_DEFAULT_ATTESTATIONS": "0",
    }
    second = build(Buildx(noisy, run), order(), text, files)
    assert (second.digest, second.raw_config) == (first.digest, first.raw_config)
    assert first.config["created"].startswith("2023-11-14T22:13:20"), "the order's epoch, not the environment's"
    other = build(Buildx(os.environ, run), order(epoch=1_600_000_000), text, files)
    assert other.config["created"].startswith("2020-09-13T12:26:40") and other.digest != first.digest


@engine_needed
def test_times_are_set_back_and_nothing_is_remembered_where_it_is_asked(
    builder: Buildx, order: Orders, engine: DockerEngine
) -> None:
    text = BASE + "RUN echo text > /new && touch -d 2001-01-01 /old\n"
    usual = build(builder, order(), text)
    assert usual.file("new").mtime > 1_700_000_000
    if engine.mode == "classic":
        return
    orders = [order(layout=True, reproducible=True, fresh=True, load=False) for _ in range(2)]
    first, second = (build(builder, each, text) for each in orders)
    assert first.file("new").mtime == 1_700_000_000 and first.file("old").mtime == usual.file("old").mtime < 1e9
    assert first.digest == second.digest != usual.digest
    assert [engine.image_id(each.local_name) for each in orders] == [None, None], "loaded where nobody wants it"
    random = BASE + "RUN cat /proc/sys/kernel/random/uuid > /id\n"
    one, other, third = (build(builder, order(fresh=fresh), random).content("id") for fresh in (False, False, True))
    assert one == other != third


@engine_needed
def test_the_image_says_nothing_of_names_and_attestations(builder: Buildx, order: Orders) -> None:
    one, two = (build(builder, order(), BASE + "COPY a /a\n", {"a": "1"}) for _ in range(2))
    assert one.digest == two.digest, "the local name is not in the image"
    assert one.descriptor.media_type.endswith("manifest.v1+json") and one.descriptor.platform in (NATIVE, None)
    assert not one.config["config"].get("Labels")


@engine_needed
@pytest.mark.parametrize("kind", ["env", "file"])
def test_a_secret_is_used_and_kept_nowhere(run: Run, order: Orders, tmp_path: Path, kind: str) -> None:
    (tmp_path / "token").write_text(SECRET)
    source = {"env": "MY_TOKEN"} if kind == "env" else {"file": f"{tmp_path}/token"}
    text = BASE + (
        "RUN --mount=type=secret,id=tok test -s /run/secrets/tok && sha256sum < /run/secrets/tok > /used\n"
        "RUN --mount=type=secret,id=tok,required=true,target=/root/t cmp /root/t /root/t && ls /root > /names\n"
    )
    told: list[str] = []
    builder = Buildx({**os.environ, "MY_TOKEN": SECRET}, run)
    wanted = order(secrets=(BuildSecret(id="tok", **source),))
    with builder.build(wanted, context(text), told.append) as result:
        assert not isinstance(result, BuildFailure), result
        manifest = Manifest.from_bytes(result.manifest)
        everything = [result.manifest, "\n".join(told).encode()]
        for blob in (manifest.config, *manifest.layers):
            with result.open(blob) as stream:
                content = stream.read()
            everything.append(gzip.decompress(content) if blob in manifest.layers else content)
    everything.append(docker("history", "--no-trunc", str(wanted.local_name)).encode())
    everything.append(docker("inspect", str(wanted.local_name)).encode())
    assert not any(SECRET.encode() in content for content in everything)
    used = hashlib.sha256(SECRET.encode()).hexdigest().encode()
    assert any(used in content for content in everything), "the step did not see the secret, so this shows nothing"


@pytest.mark.parametrize("source", [{"env": "NO_SUCH_VARIABLE"}, {"file": "/no/such/file"}], ids=["env", "file"])
def test_a_secret_that_is_not_there_is_named(builder: Buildx, order: Orders, source: dict[str, str]) -> None:
    missing = order(secrets=(BuildSecret(id="tok", **source),))
    failure = fail(builder, missing, BASE + "RUN --mount=type=secret,id=tok true\n")
    assert "'tok'" in failure.message and next(iter(source.values())) in failure.message


@engine_needed
def test_a_secret_that_a_step_prints_is_shown_as_stars(run: Run, order: Orders) -> None:
    told: list[str] = []
    builder = Buildx({**os.environ, "MY_TOKEN": SECRET}, run)
    text = BASE + "RUN --mount=type=secret,id=tok cat /run/secrets/tok; echo; exit 3\n"
    with builder.build(order(secrets=(BuildSecret(id="tok", env="MY_TOKEN"),)), context(text), told.append) as result:
        assert isinstance(result, BuildFailure)
    assert "***" in result.tail and SECRET not in f"{result}{told}"


# -------------------------------------------------------------------------------------------------- failures


@engine_needed
def test_a_run_that_fails(builder: Buildx, order: Orders, run: Run) -> None:
    step = "RUN seq 100 && sleep 0.5 && \\\n    echo 'ERROR: what a pity:99' >&2 && sleep 0.2 && \\\n    exit 7\n"
    text = BASE + "ENV A=1\n\nRUN true\n" + step
    failure = fail(builder, order(), text)
    assert failure.line == 5, "the line where the step begins"
    assert "exit code: 7" in failure.message and "failed to solve" not in failure.message
    assert failure.step.startswith("[3/3] RUN seq 100")
    assert len(failure.tail) == 30 and {"100", "99", "ERROR: what a pity:99"} <= set(failure.tail)
    assert list(run.scratch.iterdir()) == []


@engine_needed
def test_output_without_a_last_newline_and_in_no_encoding(builder: Buildx, order: Orders) -> None:
    failure = fail(builder, order(), BASE + r"""RUN printf 'caf\351 \033[31mred\nlast'; exit 1""")
    assert failure.tail[-1] == "last" and "red" in failure.tail[0]


@engine_needed
def test_a_copy_whose_source_is_missing(builder: Buildx, order: Orders) -> None:
    failure = fail(builder, order(), BASE + "\nCOPY a /a\nCOPY missing.txt /x\n", {"a": "1"})
    assert failure.line == 4 and '"/missing.txt": not found' in failure.message
    assert "COPY missing.txt /x" in failure.step and failure.tail == ()


@engine_needed
@pytest.mark.parametrize(
    ("dockerfile", "line", "words"),
    [
        (BASE + "\n\nFOO bar\n", 4, "unknown instruction: FOO"),
        ("", None, "cannot be empty"),
        ("FROM 127.0.0.1:1/x/y:1\nRUN true\n", 1, "127.0.0.1:1"),
        (BASE + "RUN <<EOF\nset -e\necho {\nfalse\nEOF\n", 2, "exit code: 1"),
        (BASE + "RUN --mount=type=bind,from=none.invalid/x,target=/x true\n", None, "none.invalid"),
        ("FROM nosuchstage-x.invalid/a AS b\nFROM b\n", 1, "nosuchstage-x.invalid"),
    ],
)
def test_other_failures(builder: Buildx, order: Orders, dockerfile: str, line: int | None, words: str) -> None:
    failure = fail(builder, order(), dockerfile)
    assert words in failure.message
    assert failure.line == line or (line is None and failure.line in (None, 2))


@engine_needed
def test_a_failure_in_a_dockerfile_of_another_name(builder: Buildx, order: Orders) -> None:
    path = "docker files/a:7.Dockerfile"
    failure = fail(builder, order(dockerfile=path), "", {path: BASE + "\nRUN exit 9\n"})
    assert failure.line == 3


@engine_needed
def test_the_first_of_several_failures_is_told(builder: Buildx, order: Orders) -> None:
    text = BASE.strip() + " AS a\nRUN sleep 30; exit 1\n" + BASE.strip() + " AS b\nRUN echo here; exit 2\n"
    failure = fail(builder, order(), text + BASE + "COPY --from=a /x /x\nCOPY --from=b /y /y\n")
    assert "exit code: 2" in failure.message and failure.tail == ("here",) and failure.line == 4


@engine_needed
def test_an_unknown_stage_is_a_failure(builder: Buildx, order: Orders) -> None:
    failure = fail(builder, order(stage="none"), BASE)
    assert "none" in failure.message


_LOST = (
    'process "/bin/sh -c true" did not complete successfully: runc run failed: unable to start container process: '
    "waiting for init preliminary setup: read init-p: connection reset by peer"
)


_UNPACKED = (
    'failed to prepare extraction snapshot "extract-900605640-Goq1 sha256:aa3acfbd": parent snapshot sha256:b098e352 '
    "does not exist: not found"
)


@engine_needed
@pytest.mark.parametrize(
    ("said", "times", "calls", "built"),
    [
        pytest.param(_LOST, 1, 2, True, id="once"),
        pytest.param(_UNPACKED, 1, 2, True, id="a layer was lost"),
        pytest.param(_LOST, 2, 2, False, id="twice"),
        pytest.param(
            'process "/bin/sh -c x" did not complete successfully: exit code: 1', 1, 1, False, id="an exit code"
        ),
    ],
)
def test_what_the_next_try_does_not_meet_again_is_tried_once_more(
    run: Run, order: Orders, tmp_path: Path, said: str, times: int, calls: int, built: bool
) -> None:
    """The docker command in front of the real one fails the first builds as BuildKit then does."""
    count, real = tmp_path / "calls", shutil.which("docker")
    count.touch()
    vertex = {"digest": "sha256:1", "name": "[2/2] RUN true", "started": "2026-01-01T00:00:00Z", "error": said}
    script = f"""
if [ "$1 $2" = "buildx build" ]; then
  echo call >>'{count}'
  if [ "$(wc -l <'{count}')" -le {times} ]; then
    cat >/dev/null
    printf "%s\\n" '{json.dumps({"vertexes": [vertex]})}' >&2
    echo 'ERROR: failed to solve: {said}' >&2
    exit 1
  fi
fi
exec '{real}' "$@"
"""
    builder = Buildx(fake_docker(tmp_path / "bin", script), run)
    heard: list[str] = []
    with builder.build(order(), context(BASE + "RUN echo here >/there\n"), heard.append) as result:
        assert isinstance(result, BuildFailure) is not built
        if isinstance(result, BuildFailure):
            assert said in result.message
        else:
            assert Built(result).content("there") == "here\n"
    assert count.read_text() == "call\n" * calls
    assert any(text.endswith(": trying it once more") for text in heard) is (calls == 2)


@engine_needed
@pytest.mark.parametrize(
    ("said", "times", "calls"),
    [
        pytest.param(_UNPACKED, 1, 2, id="a layer that was collected while it was unpacked"),
        pytest.param(_UNPACKED, 9, 2, id="collected each time"),
        pytest.param("no space left on device", 1, 1, id="a full disk"),
    ],
)
def test_an_image_that_the_engine_half_unpacked_is_loaded_once_more(
    run: Run, engine: DockerEngine, order: Orders, tmp_path: Path, said: str, times: int, calls: int
) -> None:
    """The docker command in front of the real one fails the first loads as the containerd image store then does."""
    if engine.mode == "classic":
        pytest.skip("the classic image store builds into itself: nothing is loaded")
    count, real = tmp_path / "calls", shutil.which("docker")
    count.touch()
    script = f"""
if [ "$1" = load ]; then
  echo call >>'{count}'
  if [ "$(wc -l <'{count}')" -le {times} ]; then
    echo 'failed to unpack loaded image: {said}' >&2
    exit 1
  fi
fi
exec '{real}' "$@"
"""
    builder = Buildx(fake_docker(tmp_path / "bin", script), run)
    heard: list[str] = []
    wanted = order(layout=True, load=True)
    if times < calls:
        with builder.build(wanted, context(BASE + "RUN echo here >/there\n"), heard.append) as result:
            assert not isinstance(result, BuildFailure)
            assert Built(result).content("there") == "here\n"
        assert engine.image_id(wanted.local_name)
    else:
        with pytest.raises(BuilderError, match=said[:20]), builder.build(wanted, context(BASE), heard.append):
            pass
    assert count.read_text() == "call\n" * calls
    assert any(text.endswith(": trying it once more") for text in heard) is (calls == 2)


def test_no_engine_is_no_failure_of_the_dockerfile(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    wanted = BuildOrder(
        subject="app@linux/amd64",
        dockerfile="Dockerfile",
        dockerfile_shown="Dockerfile",
        stage=None,
        platform=NATIVE,
        local_name=Reference.parse("dsci.local/test/x:y"),
        epoch=1,
    )
    with pytest.raises(BuilderError, match=r"Docker (Engine|daemon)") as caught:
        fail(Buildx(environment, run), wanted, BASE)
    assert caught.value.hint
    assert list(run.scratch.iterdir()) == []


# ---------------------------------------------------------------------------------------- docker and its plugin


def test_buildx_is_run_by_itself_where_docker_tells_its_path(run: Run, tmp_path: Path, order: Orders) -> None:
    plugin = tmp_path / "docker-buildx"
    plugin.write_text("#!/bin/sh\necho 'ERROR: this is the plugin' >&2; exit 1\n")
    told = json.dumps([{"Name": "compose", "Path": "/x"}, {"Name": "buildx", "Path": str(plugin)}])
    script = f"case $1 in info) echo '{told}';; *) echo v0.13.1;; esac"
    environment = fake_docker(tmp_path / "bin", "")
    (tmp_path / "bin/docker").write_text(f"#!/bin/sh\n{script}\n")
    for executable in (False, True):
        plugin.chmod(0o755 if executable else 0o644)
        builder = Buildx(environment, run)
        assert builder.check() == "v0.13.1"
        assert builder._buildx == ([str(plugin)] if executable else ["docker", "buildx"])
    with (
        pytest.raises(BuilderError, match="this is the plugin"),
        builder.build(order(), context("FROM scratch\n"), print),
    ):
        pass


def fake_docker(folder: Path, script: str) -> dict[str, str]:
    """An environment whose docker is this script, and tells of no plugin that could be run in its place."""
    folder.mkdir(exist_ok=True)
    (folder / "docker").write_text(f'#!/bin/sh\n[ "$1" != info ] || exit 0\n{script}\n')
    (folder / "docker").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:/usr/bin:/bin"}


def test_docker_is_not_installed(run: Run) -> None:
    with pytest.raises(BuilderError, match="docker is not on PATH") as caught:
        Buildx({**os.environ, "PATH": "/nonexistent"}, run).check()
    assert "docs.docker.com" in caught.value.hint


def test_buildx_is_missing(run: Run, tmp_path: Path) -> None:
    script = "echo \"docker: 'buildx' is not a docker command.\" >&2; exit 1"
    with pytest.raises(BuilderError, match="no buildx") as caught:
        Buildx(fake_docker(tmp_path / "bin", script), run).check()
    assert "buildx" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("github.com/docker/buildx v0.11.2 9872040b6626", None),
        ("github.com/docker/buildx 0.9.1 x", None),
        ("github.com/docker/buildx v0.12.0 x", "v0.12.0"),
        ("github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3", "0.13.1"),
        ("github.com/docker/buildx v0.36.1 x", "v0.36.1"),
        ("github.com/docker/buildx v1.0.0 x", "v1.0.0"),
    ],
)
def test_the_age_of_buildx(run: Run, tmp_path: Path, text: str, version: str | None) -> None:
    builder = Buildx(fake_docker(tmp_path / "bin", f"echo '{text}'"), run)
    if version is not None:
        assert builder.check() == version
        return
    with pytest.raises(BuilderError, match=r"too old; dsci needs 0\.12"):
        builder.check()


@engine_needed
def test_the_real_buildx_is_new_enough(builder: Buildx) -> None:
    assert builder.check()


# ------------------------------------------------------------------------------------------------- interruptions


def quiet(run: Run) -> None:
    """Wait until no program is left that was started for this run."""
    for _ in range(100):
        if not realengine.processes(run.id):
            return
        time.sleep(0.05)
    raise AssertionError(f"left: {realengine.processes(run.id)}")


@engine_needed
@pytest.mark.parametrize("written", [0, 3_000_000])
def test_an_input_that_cannot_be_sent_stops_the_build(builder: Buildx, order: Orders, run: Run, written: int) -> None:
    """A tar that was cut off must never become an image."""

    def write(stream: BinaryIO) -> None:
        stream.write(tar_of({"Dockerfile": BASE + "RUN true\n"})[:1024] + bytes(written))
        raise ConfigError("data.bin is a Git LFS pointer", hint="fetch it")

    with pytest.raises(ConfigError, match="LFS pointer"), builder.build(order(), write, silent):
        raise AssertionError("it went on")
    quiet(run)
    assert list(run.scratch.iterdir()) == []


@engine_needed
def test_a_builder_that_stops_reading_is_its_own_failure(builder: Buildx, order: Orders) -> None:
    """The Dockerfile is wrong and the context is large: the pipe breaks, and the Dockerfile is what is told."""

    def write(stream: BinaryIO) -> None:
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            for name, size in (("Dockerfile", 0), ("big", 50_000_000)):
                info = tarfile.TarInfo(name)
                info.size = size
                archive.addfile(info, io.BytesIO(bytes(size)))

    with builder.build(order(), write, silent) as result:
        assert isinstance(result, BuildFailure) and "empty" in result.message


@engine_needed
def test_an_error_while_it_builds_ends_the_docker_command(builder: Buildx, order: Orders, run: Run) -> None:
    def interrupt(step: str) -> None:
        if "sleep 300" in step:
            raise KeyboardInterrupt

    began = time.monotonic()
    text = BASE + f"RUN sleep 300 # {run.nonce}\n"
    with pytest.raises(KeyboardInterrupt), builder.build(order(), context(text), interrupt):
        pass
    assert time.monotonic() - began < 30
    quiet(run)
    assert list(run.scratch.iterdir()) == []


@engine_needed
def test_cancel_ends_every_build_that_goes_on_and_those_that_come(builder: Buildx, order: Orders, run: Run) -> None:
    begun = threading.Event()
    ends: list[object] = []

    def one(wanted: BuildOrder) -> None:
        text = BASE + f"RUN sleep 300 # {run.nonce} {wanted.local_name.tag}\n"
        try:
            with builder.build(wanted, context(text), lambda step: begun.set() if "sleep" in step else None) as result:
                ends.append(result)
        except BuilderError as error:
            ends.append(error)

    threads = [threading.Thread(target=one, args=(order(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    time.sleep(1)
    began = time.monotonic()
    builder.cancel()
    for thread in threads:
        thread.join(30)
    one(order())
    assert time.monotonic() - began < 30 and len(ends) == 3
    assert all(isinstance(end, (BuildFailure, BuilderError)) for end in ends)
    quiet(run)


@engine_needed
def test_cancel_ends_the_builds_of_one_target_alone(builder: Buildx, order: Orders, run: Run) -> None:
    begun = threading.Event()
    ends: list[object] = []

    def one(text: str) -> None:
        try:
            with builder.build(order(), context(text), lambda step: begun.set() if "sleep" in step else None) as result:
                ends.append(result)
        except BuilderError as error:
            ends.append(error)

    thread = threading.Thread(target=one, args=(BASE + f"RUN sleep 300 # {run.nonce}\n",))
    thread.start()
    assert begun.wait(60)
    builder.cancel("other@linux/amd64")
    thread.join(2)
    assert thread.is_alive(), "it was another target"
    began = time.monotonic()
    builder.cancel("app@linux/amd64")
    thread.join(30)
    assert time.monotonic() - began < 20
    assert len(ends) == 1 and isinstance(ends[0], (BuildFailure, BuilderError))
    quiet(run)
    build(builder, order(), BASE + "RUN true\n")


# -------------------------------------------------------------------------------------------------------- silence


def in_steps(text: str) -> list[str]:
    """The processes that the engine runs for steps with this text in them, dsci's own and docker's left out."""
    return [line for line in realengine.processes(text) if "docker" not in line and "pytest" not in line]


@engine_needed
def test_a_step_that_says_nothing_any_more_is_ended(builder: Buildx, order: Orders, run: Run) -> None:
    """And nothing of it runs on in the engine."""
    text = BASE + f"RUN true\nRUN echo begins; echo and hangs; sleep 1000 && : {run.nonce}\n"
    began = time.monotonic()
    failure = fail(builder, order(inactivity=2.0), text)
    assert 2 < time.monotonic() - began < 60
    assert failure.message == "BuildKit said nothing for 2 s (builder.inactivity), so the build was ended"
    assert failure.step.startswith("[3/3] RUN echo begins") and failure.tail == ("begins", "and hangs")
    for _ in range(100):
        if not in_steps(run.nonce):
            break
        time.sleep(0.1)
    assert in_steps(run.nonce) == [], "the step runs on"
    quiet(run)
    assert list(run.scratch.iterdir()) == []


@engine_needed
def test_a_step_that_hangs_is_no_caches_doing(builder: Buildx, order: Orders, run: Run, tmp_path: Path) -> None:
    """It is not run once more without the cache."""
    text = BASE + f"RUN echo begins; sleep 1000 && : {run.nonce}\n"
    cache = Cache(type="local", place=str(tmp_path / "cache"), read=True, write=True, every=False)
    steps: list[str] = []
    with builder.build(order(inactivity=2.0, cache=cache), context(text), steps.append) as failure:
        assert isinstance(failure, BuildFailure) and failure.hung
    assert sum("RUN echo begins" in step for step in steps) == 1
    quiet(run)


@engine_needed
def test_a_step_that_says_something_now_and_then_is_left_alone(builder: Buildx, order: Orders, run: Run) -> None:
    text = BASE + f"RUN for n in 1 2 3 4 5 6 7; do sleep 1; echo $n; done; : {run.nonce}\n"
    began = time.monotonic()
    build(builder, order(inactivity=4.0), text)
    assert time.monotonic() - began > 7, "it took longer than it may say nothing"


def test_an_engine_that_hangs_is_no_dockerfiles_doing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A docker command that neither speaks nor ends when it is asked to, as when its engine is gone."""
    monkeypatch.setattr("dsci.drivers.buildx._PATIENCE", 0.5)
    script = f"""case "$*" in *version*) echo v0.13.1; exit;; esac
trap '' TERM
echo '{{"vertexes":[{{"digest":"d","name":"[1/1] RUN x","started":"now","completed":"now"}}]}}' >&2
sleep 300 & wait; wait; : {run.id}"""
    builder = Buildx(fake_docker(tmp_path / "bin", script), run)
    wanted = BuildOrder(
        subject="x@linux/amd64",
        dockerfile="Dockerfile",
        dockerfile_shown="Dockerfile",
        stage=None,
        platform=NATIVE,
        local_name=Reference.parse("dsci.local/test/x:y"),
        epoch=1,
        inactivity=0.5,
    )
    with pytest.raises(BuilderError, match=r"^x@linux/amd64: BuildKit said nothing for 0\.5 s, and no step") as caught:
        fail(builder, wanted, BASE)
    assert "builder.inactivity" in caught.value.hint
    quiet(run)


CHILD = """\
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from dsci.drivers.buildx import Buildx
from dsci.drivers.engine import DockerEngine
from dsci.drivers.runs import Run
from dsci.model.reference import Reference
from dsci.ports import BuildOrder
from tests.realengine import NATIVE, context
def stop(*_):
    raise SystemExit(143)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, signal.default_int_handler)  # A job in the background is started deaf to it.
run = Run(Path(sys.argv[1]))
print(run.id, flush=True)
order = BuildOrder(subject="x@linux/amd64", dockerfile="Dockerfile", dockerfile_shown="Dockerfile", stage=None,
                   platform=NATIVE, local_name=Reference.parse("dsci.local/test/x:y"), epoch=1,
                   classic=DockerEngine(os.environ, run).mode == "classic", args={"SO_THAT_IT_CAN_BE_FOUND": run.id})
text = f"FROM debian:bookworm-slim\\nRUN sleep 300 # {run.nonce}\\n"
tell = lambda step: print("begun", flush=True) if "sleep 300" in step else None
with Buildx(os.environ, run).build(order, context(text), tell):
    pass
"""


@engine_needed
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_dsci_ends_the_docker_command(tmp_path: Path, number: signal.Signals) -> None:
    root = str(Path(__file__).parents[2])
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "state"), "x", root],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    name = child.stdout.readline().strip()
    assert child.stdout.readline().strip() == "begun"
    assert realengine.processes(name)
    child.send_signal(number)
    assert child.wait(30) in (143, -signal.SIGINT, 1)
    child.stdout.close()
    for _ in range(100):
        if not realengine.processes(name):
            break
        time.sleep(0.05)
    assert realengine.processes(name) == []
    assert not (tmp_path / "state" / "runs" / name / "build-1").exists()


def test_a_docker_command_that_will_not_end_is_killed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its plugin with it, which would hold the pipes open."""
    monkeypatch.setattr("dsci.drivers.buildx._PATIENCE", 0.5)
    script = f"""case "$*" in *version*) echo v0.13.1; exit;; esac
trap '' TERM
sh -c "trap '' TERM; sleep 300; : {run.id}" &
echo '{{"vertexes":[{{"digest":"d","name":"[1/1] RUN x","started":"now"}}]}}' >&2
wait; wait; wait"""
    builder = Buildx(fake_docker(tmp_path / "bin", script), run)

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    wanted = BuildOrder(
        subject="x",
        dockerfile="Dockerfile",
        dockerfile_shown="Dockerfile",
        stage=None,
        platform=NATIVE,
        local_name=Reference.parse("dsci.local/test/x:y"),
        epoch=1,
    )
    with pytest.raises(KeyboardInterrupt), builder.build(wanted, context(BASE, {"big": bytes(1_000_000)}), interrupt):
        pass
    quiet(run)


# ---------------------------------------------------------------------------------------------- BuildKit's story


def story(order_file: str = "Dockerfile") -> tuple[Story, list[str]]:
    told: list[str] = []
    order = BuildOrder(
        subject="app@linux/amd64",
        dockerfile=order_file,
        dockerfile_shown="images/app/Dockerfile",
        stage=None,
        platform=NATIVE,
        local_name=Reference.parse("dsci.local/test/x:y"),
        epoch=1,
    )
    return Story(order, told.append), told


def log(text: str, vertex: str = "v2") -> dict[str, Any]:
    return {"vertex": vertex, "stream": 1, "data": base64.b64encode(text.encode()).decode(), "timestamp": "now"}


MESSAGES: list[dict[str, Any]] = [
    {"vertexes": [{"digest": "v0", "name": "[internal] load build definition from Dockerfile", "started": "now"}]},
    {"vertexes": [{"digest": "v1", "name": "[1/2] FROM debian", "started": "now", "completed": "now", "cached": True}]},
    {"vertexes": [{"digest": "v2", "name": "[2/2] RUN x", "inputs": ["v1"]}]},
    {"vertexes": [{"digest": "v2", "name": "[2/2] RUN x", "started": "now"}]},
    {"statuses": [{"id": "x", "vertex": "v2", "current": 1}], "logs": [log("one\ntwo\n"), log("{\n}\n"), log("three")]},
    {"vertexes": [{"digest": "v3", "name": "[other] RUN y", "started": "now", "error": "x: context canceled"}]},
    {"vertexes": [{"digest": "v2", "name": "[2/2] RUN x", "started": "now", "error": "exit code: 3"}]},
    {"logs": [log("later", "v9"), {"vertex": "v2", "data": "x"}, {}], "warnings": [{"vertex": "v1"}]},
    {"vertexes": None, "logs": None},
    {},
]
ENDING = """\
Dockerfile:12
--------------------
  10 |     ENV x=1
  12 | >>> RUN x
--------------------
ERROR: failed to solve: process "/bin/sh -c x" did not complete successfully: exit code: 3"""


@pytest.mark.parametrize("shape", ["one line", "pretty", "pretty with tabs", "both"])
def test_both_shapes_of_the_story(shape: str) -> None:
    listener, told = story()
    for n, message in enumerate(MESSAGES):
        one_line = shape == "one line" or (shape == "both" and n % 2)
        indent: Any = None if one_line else "\t" if "tabs" in shape else 2
        for line in json.dumps(message, indent=indent).split("\n"):
            listener.hear(line)
    for line in ENDING.split("\n"):
        listener.hear(line)
    assert told == ["CACHED [1/2] FROM debian", "[2/2] RUN x", "[other] RUN y"]
    assert listener.failure() == BuildFailure(
        message='process "/bin/sh -c x" did not complete successfully: exit code: 3',
        step="[2/2] RUN x",
        line=12,
        tail=("one", "two", "{", "}", "three"),
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Dockerfile:3\nERROR: failed to solve: x", 3),
        ("sub/Dockerfile:3\nERROR: failed to solve: x", 3),
        ("ERROR: failed to solve: dial tcp 10.0.0.1:443", None),
        ("Dockerfile:3\nERROR: failed to solve: lookup registry on 10.0.0.1:53", 3),
        ("WARNING: no proxy at localhost:3128\nERROR: failed to solve: x", None),
        ("Dockerfile:x\nERROR: failed to solve: x", None),
    ],
)
def test_only_the_dockerfile_gives_the_line(text: str, line: int | None) -> None:
    listener, _ = story()
    for part in text.split("\n"):
        listener.hear(part)
    assert listener.failure().line == line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ERROR: failed to solve: write /x: no space left on device", "disk is full"),
        ("ERROR: Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "cannot reach"),
        ("error during connect: this error may indicate that the docker daemon is not running", "cannot reach"),
        ('ERROR: no builder "x" found', "no builder"),
        ("unknown flag: --provenance", "unknown flag"),
        ("", "it said nothing"),
    ],
)
def test_what_is_not_the_dockerfiles_doing(text: str, words: str) -> None:
    listener, _ = story()
    for line in text.split("\n"):
        listener.hear(line)
    with pytest.raises(BuilderError, match=words) as caught:
        listener.failure()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("going", "named"),
    [
        ([("a", "[1/2] RUN x", ""), ("b", "[2/2] RUN y", "")], "[2/2] RUN y"),
        ([("a", "[1/2] RUN x", ""), ("b", "[2/2] RUN y", "now")], "[1/2] RUN x"),
        ([("a", "[1/2] RUN x", ""), ("b", "[internal] load build context", "")], "[1/2] RUN x"),
        ([("b", "[internal] load metadata for docker.io/library/debian:12", "")], "[internal] load metadata for"),
    ],
)
def test_the_step_that_went_on_last_is_the_one_that_hung(going: list[tuple[str, str, str]], named: str) -> None:
    listener, _ = story()
    for digest, name, completed in going:
        listener.hear(json.dumps({"vertexes": [{"digest": digest, "name": name, "started": "now"}]}))
        if completed:
            ended = {"digest": digest, "name": name, "started": "now", "completed": completed}
            listener.hear(json.dumps({"vertexes": [ended]}))
    listener.hear(json.dumps({"logs": [log("last words", going[0][0])]}))
    listener.note_silence()
    for digest, name, _ in going:
        error = {"digest": digest, "name": name, "started": "now", "completed": "now", "error": "context canceled"}
        listener.hear(json.dumps({"vertexes": [error]}))
    failure = listener.hung()
    assert failure.step.startswith(named)
    assert failure.tail == (("last words",) if going[0][1].startswith(named) else ())


def test_a_story_without_end_is_bounded() -> None:
    listener, _ = story()
    for n in range(50_000):
        listener.hear(f"text {n}")
        listener.hear(json.dumps({"logs": [log(f"line {n}\n" * 3)]}))
    listener.hear("{not json}")
    listener.hear("ERROR: failed to solve: x")
    assert len(listener._text) < 1000 and len(listener._logs["v2"]) <= 30
    assert listener.failure().message == "x"


# ------------------------------------------------------------------------------------- the classic image store


def saved(path: Path, layers: list[bytes], config: bytes) -> Path:
    """What `docker save` writes on the classic store."""
    files: dict[str, Any] = {"config.json": config}
    files |= {f"{n}/layer.tar": layer for n, layer in enumerate(layers)}
    entry = {"Config": "config.json", "RepoTags": ["x:y"], "Layers": [f"{n}/layer.tar" for n in range(len(layers))]}
    path.write_bytes(tar_of(files | {"manifest.json": json.dumps([entry])}))
    return path


def test_a_saved_image_keeps_its_config_and_gives_the_same_layers_every_time(tmp_path: Path) -> None:
    layers = [tar_of({"a": "1" * 10_000}), tar_of({"b": "2"}), tar_of({"a": "1" * 10_000})]
    config = b'{"architecture":"amd64", "os":"linux"}'
    images = []
    for n in range(2):
        folder = tmp_path / str(n)
        folder.mkdir()
        images.append(SavedImage(saved(folder / "saved.tar", layers, config), folder))
        time.sleep(1.1 if n == 0 else 0)
    one, two = images
    assert one.manifest == two.manifest and one.descriptor.digest == Digest.of(one.manifest)
    manifest = Manifest.from_bytes(one.manifest)
    assert manifest.config == Descriptor.of(OCI_CONFIG, config)
    assert manifest.layers[0] == manifest.layers[2]
    for wanted, layer in zip(layers, manifest.layers, strict=True):
        with one.open(layer) as stream:
            content = stream.read()
        assert layer == Descriptor.of(OCI_LAYER_GZIP, content) and gzip.decompress(content) == wanted
    with one.open(manifest.config) as stream:
        assert stream.read() == config
