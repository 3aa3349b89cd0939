"""BuildKit, through `docker buildx build`: one order in, one image or one failure out.

A builder is the engine's own, or one elsewhere that sees nothing of the engine: that one is handed what the image
stands on as OCI layouts, and hands the image back as one. The context is a tar on stdin, so no stale file can slip in;
every name in the Dockerfile is pinned from outside and no Dockerfile is ever changed. In the engine's containerd image
store the image stays, or it is exported once as an OCI layout; its digest is the one that is tested and published. With
the classic store it is what `docker save` gives, for which dsci writes the manifest (rule 12 of the semantics). What
BuildKit says is heard by `buildstory`, what came of it is `builtimage`'s and `handed`'s; what to build, by whom, and
where it goes, is decided elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from dsci.drivers import buildcache, process
from dsci.drivers.buildcache import field as _field
from dsci.drivers.builders import KnownBuilders
from dsci.drivers.buildstory import INSTALL, Story
from dsci.drivers.builtimage import Kept, SavedImage, told
from dsci.drivers.handed import Handed
from dsci.drivers.ocitar import OciTar
from dsci.drivers.runs import Run
from dsci.errors import BuilderError
from dsci.model.reference import Reference
from dsci.ports import BuildFailure, BuildOrder, ImageSource, Progress

#: Named contexts need buildx 0.8; `type=oci` with a name and `--progress=rawjson` need 0.12.
OLDEST = (0, 12)

_SECRET_LIMIT = 64 * 1024
#: Shorter values are not hidden: stars for every `1` would hide the log instead.
_SHORTEST = 6
#: After this many builds whose cache was out of order, a run leaves caches alone: each of them waits for it.
_GIVE_UP = 3
#: How long a builder may take to tell BuildKit that it is to stop.
_PATIENCE = 10.0
#: What the next try does not meet again: runc lost a step's process before it began, or the engine collected its
#: garbage between two layers of the image that was being unpacked, and the lower one with it.
#: Sources: https://github.com/opencontainers/runc/blob/main/libcontainer/process_linux.go,
#: https://github.com/containerd/containerd/blob/main/pkg/rootfs/apply.go
_NOT_STARTED = re.compile(r"unable to start container process: .*(?:waiting for init preliminary setup|init-p: )")
_LOST = re.compile(r"failed to prepare extraction snapshot .*: parent snapshot \S+ does not exist")
_PASSING = (
    (_NOT_STARTED, "runc could not start the step"),
    (_LOST, "the engine lost a layer while it unpacked the image"),
)


class Buildx:
    """The buildx of the docker command on PATH, building in the engine that the docker command uses, or elsewhere."""

    def __init__(
        self,
        environment: Mapping[str, str],
        run: Run,
        *,
        warn: Callable[[str], None] = lambda text: None,
        trusted: bool = True,
    ) -> None:
        """`warn` is told what is wrong with build caches; nothing fails for it. Who is not `trusted` gets no secret."""
        # SOURCE_DATE_EPOCH of the environment would silently enter the image; so would a foreign builder.
        # Labels that buildx takes from Git by itself are facts of a commit, not of the content.
        dropped = {"SOURCE_DATE_EPOCH", "BUILDX_BUILDER", "BUILDKIT_PROGRESS", "BUILDX_BAKE_ENTITLEMENTS_FS"}
        dropped |= {"BUILDX_GIT_LABELS", "BUILDX_GIT_INFO"}
        self._environment = {name: value for name, value in environment.items() if name not in dropped}
        self._environment["BUILDX_METADATA_PROVENANCE"] = "disabled"
        self._run = run
        self.builders = KnownBuilders(self._environment)
        self.handed = Handed(run)
        self._warn = warn
        self._trusted = trusted
        self._troubles = 0
        self._checked = False
        self._buildx = ["docker", "buildx"]
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
            raise BuilderError("docker has no buildx: dsci builds with BuildKit", hint=INSTALL)
        version = (int(match[1]), int(match[2]))
        if version < OLDEST:
            raise BuilderError(
                f"buildx {match[0].decode()} is too old; dsci needs {OLDEST[0]}.{OLDEST[1]} or newer", hint=INSTALL
            )
        self._buildx = self._plugin() or self._buildx
        self._checked = True
        return match[0].decode()

    def _plugin(self) -> list[str]:
        """Buildx as a command of its own, where docker tells the path: docker itself takes as long to start as buildx.

        Source: https://github.com/docker/buildx/blob/master/README.md#manual-download (it is also run by itself)
        """
        with contextlib.suppress(BuilderError, ValueError, LookupError, TypeError):
            ended = process.run(
                ["docker", "info", "--format", "{{json .ClientInfo.Plugins}}"], timeout=10, env=self._environment
            )
            for plugin in json.loads(ended.stdout):
                if plugin["Name"] == "buildx" and os.access(path := str(plugin["Path"]), os.X_OK):
                    return [path]
        return []

    @contextlib.contextmanager
    def build(
        self, order: BuildOrder, context: Callable[[BinaryIO], None], progress: Progress
    ) -> Iterator[ImageSource | BuildFailure]:
        """Build, load the image into the engine if it is wanted there, and give it as a source to publish from."""
        if not self._checked:
            self.check()
        if order.reproducible and order.fresh and (ahead := order.epoch - time.time()) > 0:
            raise BuilderError(
                f"{order.subject}: its last commit is dated {ahead:.0f} s from now by this machine's clock: "
                "BuildKit sets back only what is younger than the commit, so the image would not be reproducible",
                hint="set the clock here, or that of whoever committed right and commit again, or wait until then",
            )
        with self._folder() as folder:
            failure = self._solve_with_cache(order, context, progress, folder)
            if failure is not None and self._passes(failure.message, progress):
                failure = self._solve_with_cache(order, context, progress, folder)
            if failure is not None:
                yield failure
            elif order.builder is not None:
                yield self.handed.settle(order.local_name, told(folder / "metadata.json"))
            elif order.classic:
                yield self._saved(order.local_name, folder)
            elif not order.layout:
                yield Kept(told(folder / "metadata.json"), partial(self._save, order.local_name, folder))
            else:
                tar = folder / "image.tar"
                if order.load:
                    self._load(tar, progress)
                yield OciTar(tar)

    @contextlib.contextmanager
    def saved(self, name: Reference, *, classic: bool) -> Iterator[ImageSource]:
        """A local image of the engine as a source."""
        with self._folder() as folder:
            yield self._saved(name, folder) if classic else OciTar(self._save(name, folder))

    def _load(self, tar: Path, progress: Progress) -> None:
        """Bring an image into the engine, which unpacks it there."""
        load = partial(self._docker, "load", "--quiet", "--input", str(tar))
        with self._run.images:
            try:
                load()
            except BuilderError as error:
                if not self._passes(str(error), progress):
                    raise
                load()

    def _passes(self, message: str, progress: Progress) -> bool:
        """Whether what went wrong is to be tried once more, which is said."""
        why = next((said for shape, said in _PASSING if shape.search(message)), "")
        if not why or self._stopped:
            return False
        progress(f"{why}: trying it once more")
        return True

    def cancel(self, subject: str | None = None) -> None:
        """End builds that go on, all or those of a target: the docker command tells BuildKit, which stops the steps."""
        with self._lock:
            self._stopped = self._stopped or subject is None
            for builder, builds in self._running.items():
                if subject in (None, builds):
                    _signal(builder, signal.SIGTERM)

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        """A folder of its own for one build."""
        with self._lock:
            self._count += 1
            folder = self._run.scratch.absolute() / f"build-{self._count}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

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
        buildx, name = self._command(order)
        argv = [*buildx, "build", f"--builder={name}", *self._flags(order, folder), *cache, "-"]
        hidden = self._hidden(order)
        if isinstance(hidden, BuildFailure):
            return hidden
        story = Story(order, progress, hidden)
        builder = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self._environment,
            cwd=self.handed.root if order.builder is not None else None,
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

    def _command(self, order: BuildOrder) -> tuple[list[str], str]:
        """The buildx command and its name for who builds. A docker context's builder is only had through docker's."""
        if order.builder is None:
            return self._buildx, self.builders.own
        if self.builders.about(order.builder).driver == "docker":
            return ["docker", "--context", order.builder, "buildx"], order.builder
        return self._buildx, order.builder

    def _output(self, order: BuildOrder, folder: Path) -> str:
        """What is made of the image, and where it is put."""
        name = f"name={order.local_name}"
        # Taken by no other kind of output of the docker driver: https://github.com/moby/buildkit/issues/4230
        times = ["rewrite-timestamp=true"] if order.reproducible else []
        if order.builder is not None:
            place = self.handed.begin(order.local_name, self.handed.folders(order.on))
            return ",".join(["type=oci", "tar=false", _field(f"dest={place}"), name, *times])
        if order.classic:
            return f"type=docker,{name}"
        if order.layout:
            return ",".join(["type=oci", _field(f"dest={folder / 'image.tar'}"), name, *times])
        return f"type=image,{name},oci-mediatypes=true"

    def _flags(self, order: BuildOrder, folder: Path) -> list[str]:
        flags = [
            f"--file={order.dockerfile}",
            f"--platform={order.platform}",
            f"--network={order.network}",
            "--progress=rawjson",
            "--provenance=false",
            "--sbom=false",
            f"--output={self._output(order, folder)}",
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
            if not self._trusted:
                # Which variable or file it is, a stranger's own dsci.yaml says.
                return BuildFailure(message=f"the secret {secret.id!r} is not for a request from another repository")
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

    # ------------------------------------------------------------------------------------------- classic store

    def _saved(self, name: Reference, folder: Path) -> ImageSource:
        """What `docker save` gives, under a manifest that dsci writes once: that digest is published."""
        tar = self._save(name, folder)
        try:
            return SavedImage(tar, folder)
        except OSError as error:
            raise BuilderError(f"{name}: the image cannot be kept in {folder}: {error.strerror}") from None

    def _save(self, name: Reference, folder: Path) -> Path:
        """The image as a tar, as the engine gives it."""
        tar = folder / "saved.tar"
        self._docker("save", "--output", str(tar), str(name))
        return tar

    def _docker(self, *arguments: str) -> None:
        ended = process.run(["docker", *arguments], timeout=3600, env=self._environment)
        if ended.returncode != 0:
            said = ended.stderr.decode(errors="replace").strip()
            raise BuilderError(
                f"docker {arguments[0]} failed: {said[-800:]}", hint="see the room left: docker system df"
            )


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
