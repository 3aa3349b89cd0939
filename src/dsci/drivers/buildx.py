"""BuildKit, through `docker buildx build`: one order in, one image or one failure out.

The context is a tar on stdin, so no stale file can slip in; every name in the Dockerfile is pinned from outside and no
Dockerfile is ever changed. With the containerd image store the result is an OCI layout exported once, whose digests
are the ones that are tested and published; with the classic store it is what `docker save` gives, for which dsci
writes the manifest (rule 12 of the semantics). What to build, and where it goes, is decided elsewhere.

BuildKit tells its story as JSON: one object a line since 0.14, spread over lines before; plain text is mixed in when it
fails. Source: https://github.com/docker/buildx/blob/master/docs/reference/buildx_build.md#progress
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import gzip
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO

from dsci.drivers import buildcache, process
from dsci.drivers.buildcache import field as _field
from dsci.drivers.ocitar import OciTar
from dsci.drivers.runs import Run
from dsci.errors import BuilderError
from dsci.model.oci import (
    MANIFEST_TYPES,
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Manifest,
    OciError,
)
from dsci.ports import BuildFailure, BuildOrder, ImageSource, Progress

#: Named contexts need buildx 0.8; `type=oci` with a name and `--progress=rawjson` need 0.12.
OLDEST = (0, 12)

_TAIL = 30
_KEPT_TEXT = 200
_LEVEL = 5
_SECRET_LIMIT = 64 * 1024
#: Shorter values are not hidden: stars for every `1` would hide the log instead.
_SHORTEST = 6
#: After this many builds whose cache was out of order, a run leaves caches alone: each of them waits for it.
_GIVE_UP = 3
#: How long a builder may take to tell BuildKit that it is to stop.
_PATIENCE = 10.0
#: Steps that BuildKit takes for itself, not for the Dockerfile.
_HOUSEKEEPING = ("[internal]", "[context ", "copy /context")
#: What gRPC and HTTP say when the other side is no longer there.
_GONE = re.compile(r"\bUnavailable\b|error reading from server|unexpected EOF|connection (?:reset|refused)")
#: runc lost a step's process before it began: the machine's doing, and the next try starts it.
#: Source: https://github.com/opencontainers/runc/blob/main/libcontainer/process_linux.go
_NOT_STARTED = re.compile(r"unable to start container process: .*(?:waiting for init preliminary setup|init-p: )")
_AT_LINE = re.compile(r"\A(?P<file>\S.*):(?P<line>\d+)\Z")
_INSTALL = "install the buildx plugin: https://github.com/docker/buildx#installing"
_START = "start Docker, or point DOCKER_HOST or `docker context use` at a running engine"


class Buildx:
    """The buildx of the docker command on PATH, building in the engine that the docker command uses."""

    def __init__(
        self, environment: Mapping[str, str], run: Run, *, warn: Callable[[str], None] = lambda text: None
    ) -> None:
        """`warn` is told what is wrong with build caches; nothing fails for it."""
        # SOURCE_DATE_EPOCH of the environment would silently enter the image; so would a foreign builder.
        # Labels that buildx takes from Git by itself are facts of a commit, not of the content.
        dropped = {"SOURCE_DATE_EPOCH", "BUILDX_BUILDER", "BUILDKIT_PROGRESS", "BUILDX_BAKE_ENTITLEMENTS_FS"}
        dropped |= {"BUILDX_GIT_LABELS", "BUILDX_GIT_INFO"}
        self._environment = {name: value for name, value in environment.items() if name not in dropped}
        self._environment["BUILDX_METADATA_PROVENANCE"] = "disabled"
        self._run = run
        self._warn = warn
        self._troubles = 0
        self._checked = False
        self._count = 0
        self._running: dict[subprocess.Popen[bytes], str] = {}
        self._stopped = False
        self._lock = threading.Lock()

    def check(self) -> str:
        """The version of buildx. Raises BuilderError when it is missing or too old."""
        ended = process.run(
            ["docker", "buildx", "version"],
            timeout=30,
            env=self._environment,
            hint="install Docker: https://docs.docker.com/engine/install/",
        )
        match = re.search(rb"v?(\d+)\.(\d+)\.\d+", ended.stdout)
        if ended.returncode != 0 or match is None:
            raise BuilderError("docker has no buildx: dsci builds with BuildKit", hint=_INSTALL)
        version = (int(match[1]), int(match[2]))
        if version < OLDEST:
            raise BuilderError(
                f"buildx {match[0].decode()} is too old; dsci needs {OLDEST[0]}.{OLDEST[1]} or newer", hint=_INSTALL
            )
        self._checked = True
        return match[0].decode()

    @contextlib.contextmanager
    def build(
        self, order: BuildOrder, context: Callable[[BinaryIO], None], progress: Progress
    ) -> Iterator[ImageSource | BuildFailure]:
        """Build, load the image into the engine if it is wanted there, and give it as a source to publish from."""
        if not self._checked:
            self.check()
        with self._lock:
            self._count += 1
            folder = self._run.scratch / f"build-{self._count}"
        folder.mkdir()
        try:
            failure = self._solve_with_cache(order, context, progress, folder)
            if failure is not None and _NOT_STARTED.search(failure.message) and not self._stopped:
                progress("runc could not start the step: trying it once more")
                failure = self._solve_with_cache(order, context, progress, folder)
            if failure is not None:
                yield failure
            elif order.classic:
                yield self._saved(order, folder)
            elif not order.layout:
                yield Kept(_told(folder / "metadata.json"), partial(self._save, order, folder))
            else:
                tar = folder / "image.tar"
                if order.load:
                    with self._run.images:
                        self._docker("load", "--quiet", "--input", str(tar))
                yield OciTar(tar)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def cancel(self, subject: str | None = None) -> None:
        """End builds that go on, all or those of a target: the docker command tells BuildKit, which stops the steps."""
        with self._lock:
            self._stopped = self._stopped or subject is None
            for builder, builds in self._running.items():
                if subject in (None, builds):
                    _signal(builder, signal.SIGTERM)

    # ------------------------------------------------------------------------------------------------- solving

    def _solve_with_cache(
        self, order: BuildOrder, context: Callable[[BinaryIO], None], progress: Progress, folder: Path
    ) -> BuildFailure | None:
        """Build with the cache; where anything but a step's own exit code was in the way, once more without it.

        BuildKit fetches what it found in a cache when it needs it, so a cache may fail in the middle of a build.
        """
        if order.cache is None or self._troubles >= _GIVE_UP:
            return self._solve(order, context, progress, folder)
        failure: BuildFailure | BuilderError | None
        try:
            with buildcache.opened(order.cache, self._run) as cache:
                failure = self._solve(order, context, progress, folder, cache.flags)
                if failure is None:
                    cache.keep()
                    return None
        except BuilderError as error:
            failure = error
        hung = isinstance(failure, BuildFailure) and failure.hung and buildcache.STEP.match(failure.step)
        if self._stopped or hung or buildcache.STEP_FAILED.search(failure.message):
            if isinstance(failure, BuilderError):
                raise failure
            return failure
        again = self._solve(order, context, progress, folder)
        if again is None or again.message != failure.message:
            self._trouble(f"{order.subject}: {failure.message}")
        return again

    def _trouble(self, text: str) -> None:
        """Warn of a cache that is out of order; a run that has seen it some times leaves caches alone."""
        with self._lock:
            self._troubles += 1
            count = self._troubles
        if count <= _GIVE_UP:
            rest = "; this run leaves caches alone from here on" if count == _GIVE_UP else ""
            self._warn(f"the build cache is out of order, the build goes on without it: {text}{rest}")

    def _solve(
        self,
        order: BuildOrder,
        context: Callable[[BinaryIO], None],
        progress: Progress,
        folder: Path,
        cache: Sequence[str] = (),
    ) -> BuildFailure | None:
        argv = ["docker", "buildx", "build", *self._flags(order, folder), *cache, "-"]
        hidden = self._hidden(order)
        if isinstance(hidden, BuildFailure):
            return hidden
        story = _Story(order, progress, hidden)
        builder = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )
        assert builder.stdin is not None and builder.stderr is not None
        with self._lock:
            self._running[builder] = order.subject
            if self._stopped:
                _signal(builder, signal.SIGTERM)
        watch = _Watch(builder, order.inactivity, story.note_silence)
        fed: list[BaseException] = []
        feeder = threading.Thread(target=_feed, args=(context, builder.stdin, fed), daemon=True)
        feeder.start()
        try:
            for line in builder.stderr:
                watch.heard()
                story.hear(line.decode(errors="replace").rstrip("\n"))
            code = builder.wait()
        finally:
            watch.close()
            _end(builder)
            with self._lock:
                del self._running[builder]
            feeder.join()
            builder.stderr.close()
        if fed:
            raise fed[0]
        if watch.hung:
            return story.hung()
        if code != 0:
            return story.failure()
        if story.cache_troubles:
            self._trouble(f"{order.subject}: {'; '.join(story.cache_troubles)}")
        return None

    def _flags(self, order: BuildOrder, folder: Path) -> list[str]:
        name = str(order.local_name)
        wanted = ["type=image", f"name={name}", "oci-mediatypes=true"]
        if order.classic:
            wanted = ["type=docker", f"name={name}"]
        elif order.layout:
            wanted = ["type=oci", _field(f"dest={folder / 'image.tar'}"), f"name={name}"]
            # Taken by no other kind of output of the docker driver: https://github.com/moby/buildkit/issues/4230
            wanted += ["rewrite-timestamp=true"] if order.reproducible else []
        context = self._environment.get("DOCKER_CONTEXT", "") if not self._environment.get("DOCKER_HOST") else ""
        flags = [
            f"--builder={context or self._current_context()}",
            f"--file={order.dockerfile}",
            f"--platform={order.platform}",
            f"--network={order.network}",
            "--progress=rawjson",
            "--provenance=false",
            "--sbom=false",
            f"--output={','.join(wanted)}",
            f"--metadata-file={folder / 'metadata.json'}",
            f"--build-arg=SOURCE_DATE_EPOCH={order.epoch}",
        ]
        flags += [f"--target={order.stage}"] if order.stage else []
        flags += ["--no-cache"] if order.fresh else []
        flags += [f"--build-arg={name}={value}" for name, value in sorted(order.args.items())]
        flags += [f"--label={name}={value}" for name, value in sorted(order.labels.items())]
        flags += [f"--build-context={pin.name}={pin.source}" for pin in order.pins]
        for secret in order.secrets:
            source = _field(f"env={secret.env}" if secret.env else f"src={secret.file}")
            flags.append(f"--secret={_field(f'id={secret.id}')},{source}")
        return flags

    def _hidden(self, order: BuildOrder) -> list[str] | BuildFailure:
        """The values that must never be shown, longest first; a failure where one is not to be had."""
        values: list[str] = []
        for secret in order.secrets:
            if secret.env is not None:
                value = self._environment.get(secret.env)
                if value is None:
                    return BuildFailure(
                        message=f"the secret {secret.id!r} is taken from ${secret.env}, which is not set"
                    )
            else:
                try:
                    value = Path(secret.file or "").read_text(errors="replace")[:_SECRET_LIMIT]
                except OSError as error:
                    said = error.strerror or "unreadable"
                    return BuildFailure(message=f"the secret {secret.id!r} is taken from {secret.file}: {said}")
            values += [line.strip() for line in value.splitlines()]
        return sorted({value for value in values if len(value) >= _SHORTEST}, key=len, reverse=True)

    def _current_context(self) -> str:
        """The builder that lives in the engine itself: it is named like the docker context."""
        if self._environment.get("DOCKER_HOST"):
            return "default"
        ended = process.run(["docker", "context", "show"], timeout=30, env=self._environment)
        return ended.stdout.decode(errors="replace").strip() or "default"

    # ------------------------------------------------------------------------------------------- classic store

    def _saved(self, order: BuildOrder, folder: Path) -> ImageSource:
        """What `docker save` gives, under a manifest that dsci writes once: that digest is published."""
        tar = self._save(order, folder)
        try:
            return SavedImage(tar, folder)
        except OSError as error:
            raise BuilderError(f"{order.subject}: the image cannot be kept in {folder}: {error.strerror}") from None

    def _save(self, order: BuildOrder, folder: Path) -> Path:
        """The image as a tar, as the engine gives it."""
        tar = folder / "saved.tar"
        self._docker("save", "--output", str(tar), str(order.local_name))
        return tar

    def _docker(self, *arguments: str) -> None:
        ended = process.run(["docker", *arguments], timeout=3600, env=self._environment)
        if ended.returncode != 0:
            said = ended.stderr.decode(errors="replace").strip()
            raise BuilderError(
                f"docker {arguments[0]} failed: {said[-800:]}", hint="see the room left: docker system df"
            )


class Kept:
    """An image in the containerd image store as an `ImageSource`: it is saved from there when its bytes are wanted."""

    def __init__(self, descriptor: Descriptor, save: Callable[[], Path]) -> None:
        self.descriptor = descriptor
        self._save = save

    @cached_property
    def _tar(self) -> OciTar:
        tar = OciTar(self._save())
        if tar.descriptor.digest != self.descriptor.digest:
            raise BuilderError(
                f"the engine saved {tar.descriptor.digest} where {self.descriptor.digest} was built",
                hint="what ships must be what was built: see the engine's log, then try again",
            )
        return tar

    @property
    def manifest(self) -> bytes:
        """The manifest's bytes."""
        return self._tar.manifest

    def open(self, blob: Descriptor) -> BinaryIO:
        """A layer, or the config."""
        return self._tar.open(blob)


def _told(path: Path) -> Descriptor:
    """The descriptor of what was built, as BuildKit tells it. Raises BuilderError where it does not.

    Source: https://github.com/docker/buildx/blob/master/docs/reference/buildx_build.md#metadata-file
    """
    try:
        descriptor = Descriptor.from_json(json.loads(path.read_bytes())["containerimage.descriptor"])
    except (OSError, ValueError, LookupError, TypeError, OciError):
        raise BuilderError("BuildKit does not tell what it built", hint=_INSTALL) from None
    if descriptor.media_type not in MANIFEST_TYPES:
        raise BuilderError(f"BuildKit built a {descriptor.media_type}, where one image was asked for", hint=_INSTALL)
    return replace(descriptor, annotations={})


class _Watch:
    """Ends a docker command from which nothing is heard: BuildKit's own clients wait for ever for one that is gone.

    Source: https://github.com/moby/buildkit/issues/2894
    """

    def __init__(self, builder: subprocess.Popen[bytes], limit: float, tell: Callable[[], None]) -> None:
        """`limit` is in seconds; `tell` is called before the end."""
        self._builder = builder
        self._limit = limit
        self._tell = tell
        self._last = time.monotonic()
        self._over = threading.Event()
        self.hung = False
        """Whether it was ended."""
        threading.Thread(target=self._look, daemon=True).start()

    def heard(self) -> None:
        """It said something."""
        self._last = time.monotonic()

    def close(self) -> None:
        """It is watched no more."""
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(max(0.0, self._last + self._limit - time.monotonic())):
            if time.monotonic() - self._last >= self._limit:
                self.hung = True
                self._tell()
                _signal(self._builder, signal.SIGTERM)
                if not self._over.wait(_PATIENCE):
                    _signal(self._builder, signal.SIGKILL)
                return


class SavedImage:
    """An image of the classic store as an `ImageSource`: config as it was saved, layers compressed here.

    The same layer always compresses to the same bytes (no time, no name in the gzip header), so that a child's copy of
    its parent's layers has the parent's digests and is not sent again.
    """

    def __init__(self, tar: Path, folder: Path) -> None:
        with tarfile.open(tar) as archive:
            described = archive.extractfile("manifest.json")
            assert described is not None
            (entry,) = json.load(described)
            saved = archive.extractfile(entry["Config"])
            assert saved is not None
            self._config = saved.read()
            config = Descriptor.of(OCI_CONFIG, self._config)
            self._files: dict[Digest, Path] = {}
            layers: list[Descriptor] = []
            for n, name in enumerate(entry["Layers"]):
                layer = archive.extractfile(name)
                assert layer is not None
                layers.append(self._compress(layer, folder / f"layer-{n}"))
        self.manifest = Manifest(config=config, layers=tuple(layers)).to_bytes()
        self.descriptor = Descriptor.of(OCI_MANIFEST, self.manifest)

    def _compress(self, layer: Any, path: Path) -> Descriptor:
        with (
            path.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=_LEVEL) as out,
        ):
            shutil.copyfileobj(layer, out, 1 << 20)
        with path.open("rb") as written:
            import hashlib

            digest = Digest("sha256", hashlib.file_digest(written, "sha256").hexdigest())
        self._files[digest] = path
        return Descriptor(media_type=OCI_LAYER_GZIP, digest=digest, size=path.stat().st_size)

    def open(self, blob: Descriptor) -> BinaryIO:
        """A layer, or the config."""
        if blob.digest in self._files:
            return self._files[blob.digest].open("rb")
        return io.BytesIO(self._config)


def _end(builder: subprocess.Popen[bytes]) -> None:
    """See that the docker command and its plugin are gone: asked first, so that BuildKit is told, then killed."""
    if builder.poll() is not None:
        return
    _signal(builder, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        builder.wait(_PATIENCE)
    # The plugin is a child of the docker command, in its session: it must not outlive it and hold our pipes.
    _signal(builder, signal.SIGKILL)
    builder.wait()


def _signal(builder: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a docker command and everything it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(builder.pid, number)


def _feed(context: Callable[[BinaryIO], None], stdin: Any, errors: list[BaseException]) -> None:
    """Write the context to BuildKit. That it stopped reading is its failure to tell, not ours."""
    try:
        with contextlib.suppress(BrokenPipeError), stdin:
            context(stdin)
    except BaseException as error:  # noqa: BLE001  (it is raised again in the thread that waits for the build)
        errors.append(error)


class _Story:
    """What BuildKit tells: steps as they begin, and on failure the step, its last lines and its Dockerfile line."""

    def __init__(self, order: BuildOrder, progress: Progress, hidden: Sequence[str] = ()) -> None:
        """`hidden` are the values of secrets: a step that prints one shows stars."""
        self._order = order
        self._place = order.cache.place if order.cache else ""
        self._progress = progress
        self._hidden = hidden
        self._pending: list[str] = []
        self._names: dict[str, str] = {}
        self._going: dict[str, str] = {}
        self._silent: tuple[str, str] | None = None
        self._logs: dict[str, list[str]] = {}
        self._failed: list[tuple[str, str]] = []
        self._text: list[str] = []
        self.cache_troubles: list[str] = []
        """What went wrong with a cache that BuildKit did without."""

    def hear(self, line: str) -> None:
        """One line of stderr: a whole object, a part of one, or text."""
        if self._pending or line == "{":
            self._pending.append(line)
            if line == "}":
                whole, self._pending = "\n".join(self._pending), []
                self._message(whole)
        elif line.startswith("{") and line.endswith("}"):
            self._message(line)
        elif line.strip():
            self._text = [*self._text[-_KEPT_TEXT:], line]

    def _message(self, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            self._text.append(text[:1000])
            return
        for vertex in message.get("vertexes") or ():
            digest, name = vertex.get("digest", ""), str(vertex.get("name", ""))
            self._going.pop(digest, None)
            if vertex.get("started") and not vertex.get("completed"):
                self._going[digest] = name
            if digest not in self._names and not name.startswith(_HOUSEKEEPING) and vertex.get("started"):
                self._names[digest] = name
                self._progress(self._hide(f"CACHED {name}" if vertex.get("cached") else name))
            error = vertex.get("error")
            if error and name.startswith(buildcache.STEPS):
                if not str(error).endswith(f"{self._place}: not found"):  # the first build has nothing to find
                    self.cache_troubles.append(self._hide(str(error)))
            elif error and "context canceled" not in error:
                self._failed.append((digest, str(error)))
                self._names.setdefault(digest, name)
        for log in message.get("logs") or ():
            with contextlib.suppress(binascii.Error, ValueError):
                text = base64.b64decode(log.get("data", "")).decode(errors="replace")
                kept = self._logs.setdefault(log.get("vertex", ""), [])
                kept += text.rstrip("\n").split("\n")
                del kept[:-_TAIL]

    def _hide(self, text: str) -> str:
        for value in self._hidden:
            text = text.replace(value, "***")
        return text

    def note_silence(self) -> None:
        """It is ended now because it says nothing: which step was going on? Its end will be told as any other's."""
        going = dict(self._going)
        own = {digest: name for digest, name in going.items() if not name.startswith(_HOUSEKEEPING)}
        self._silent = next(reversed((own or going).items()), None)

    def hung(self) -> BuildFailure:
        """That it said nothing, and at which step. Raises BuilderError where no step was going on."""
        silence = f"BuildKit said nothing for {self._order.inactivity:g} s"
        if self._silent is None:
            raise BuilderError(
                f"{self._order.subject}: {silence}, and no step was going on, so the build was ended",
                hint="see the engine's log; builder.inactivity in dsci.yaml says how long to wait",
            )
        digest, name = self._silent
        return BuildFailure(
            message=f"{silence} (builder.inactivity), so the build was ended",
            hung=True,
            step=self._hide(name),
            tail=tuple(self._hide(line) for line in self._logs.get(digest, ())[-_TAIL:]),
        )

    def failure(self) -> BuildFailure:
        """Why it stopped. Raises BuilderError when it was not the Dockerfile's doing."""
        errors = [line for line in self._text if line.startswith("ERROR: ")]
        said = self._hide((errors[-1] if errors else "\n".join(self._text[-5:])).removeprefix("ERROR: "))
        if "no space left on device" in said:
            raise BuilderError(f"{self._order.subject}: the disk is full: {said}", hint="see `docker system df`")
        if not self._failed and _GONE.search(said):
            raise BuilderError(f"{self._order.subject}: the Docker Engine went away: {said}", hint=_START)
        if "failed to solve" not in said and not self._failed:
            if "Cannot connect to the Docker daemon" in said or "error during connect" in said:
                raise BuilderError("cannot reach the Docker Engine", hint=_START)
            raise BuilderError(f"{self._order.subject}: buildx failed: {said or 'it said nothing'}", hint=_INSTALL)
        digest, error = self._failed[-1] if self._failed else ("", "")
        # Other lines end in a number too, such as an address with a port.
        name = self._order.dockerfile.rpartition("/")[2]
        found = [match for line in self._text if (match := _AT_LINE.match(line))]
        lines = [int(match["line"]) for match in found if match["file"].rpartition("/")[2] == name]
        return BuildFailure(
            message=said.removeprefix("failed to solve: ").strip() or self._hide(error),
            step=self._hide(self._names.get(digest, "")),
            line=lines[-1] if lines else None,
            tail=tuple(self._hide(line) for line in self._logs.get(digest, ())[-_TAIL:]),
        )
