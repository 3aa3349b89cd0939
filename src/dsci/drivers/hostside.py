"""What runs on this machine for suites: pytest, in a process of dsci's own Python, and Docker Compose.

Each program gets a folder of its own with the files as they were handed over, and no more of this machine's environment
than it needs. What it makes in the engine carries the run's label and is removed with the folder; what a run that was
killed left there is swept by the next one. Which suites may run here is not decided here.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import shutil
import sys
import tarfile
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import dsci
from dsci.drivers import compose, enginereach, hostsession
from dsci.drivers.compose import ComposeServices
from dsci.drivers.engineclient import connect, quietly, talking
from dsci.drivers.enginewatch import Watch
from dsci.drivers.hostsession import PytestSession, Session
from dsci.drivers.process import Begun
from dsci.drivers.runs import LABEL, Run
from dsci.errors import BuilderError, ConfigError
from dsci.model import composerun
from dsci.model.composerun import Footing
from dsci.model.oci import Platform
from dsci.ports import REACHES, Bounds, Composed, HostFile, LocalImage, Services
from dsci.tars import TarWriter

if TYPE_CHECKING:
    import docker

#: Where the volume with the suite's files is mounted while it is filled.
_FILLED = "/dsci"


class HostSide:
    """This machine's side of suites. Implements `ports.HostSide`; safe for threads."""

    def __init__(self, environment: Mapping[str, str], run: Run) -> None:
        self._environment = environment
        self._run = run
        self._numbers = itertools.count(1)
        self._going: set[Begun] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._connected: docker.DockerClient | None = None
        self._checked = False

    @property
    def _client(self) -> docker.DockerClient:
        with self._lock:
            if self._connected is None:
                self._connected, _ = connect(self._environment)
            return self._connected

    def composed(
        self, files: Mapping[str, HostFile], file: str, variables: Mapping[str, str], *, open: bool
    ) -> Composed:
        """See `ports.HostSide`."""
        if not self._checked:
            compose.check(self._environment)
            self._checked = True
        given = self._environment if open else compose.environment(self._environment)
        with self._folder() as place:
            folder = _laid(place / "suite", files)
            try:
                model = compose.model(folder / file, variables, given)
            except ConfigError as error:
                error.message = error.message.replace(f"{folder}/", "")
                raise
            return Composed(model=model, folder=str(folder))

    @contextlib.contextmanager
    def services(
        self,
        composed: Composed,
        files: Mapping[str, HostFile],
        *,
        image: LocalImage,
        platform: Platform,
        bounds: Bounds,
    ) -> Iterator[ComposeServices]:
        """See `ports.HostSide`."""
        with self._folder() as place:
            # What is on the same machine at the same time has other names: each run has a nonce, each folder a number.
            labels = self._labels(place)
            footing = Footing(
                project=f"dsci-{self._run.nonce}-{place.name.rpartition('-')[2]}",
                labels=labels,
                image=str(image),
                platform=str(platform),
                bound=enginereach.bound(enginereach.machine(self._environment)),
                folder=composed.folder,
                processes=bounds.processes,
                memory=bounds.memory,
            )
            file = place / "compose.json"
            file.write_bytes(msgspec.json.encode(composerun.shaped(composed.model, footing)))
            mounted = composerun.mounted(composed.model, composed.folder)
            with (
                self._volume(composerun.volume(footing), files, mounted, image, platform),
                self._watching(labels, bounds) as killed,
            ):
                services = ComposeServices(
                    file, self._environment, going=self._while_going, stopped=self._stopped, killed=killed
                )
                try:
                    yield services
                finally:
                    if services.down(volumes=True, grace=0):
                        self._run.left_behind = True

    @contextlib.contextmanager
    def _volume(
        self, name: str, files: Mapping[str, HostFile], folders: Collection[str], image: LocalImage, platform: Platform
    ) -> Iterator[None]:
        """A volume with the suite's files, and with folders where something is mounted that is not there."""
        from docker.types import Mount

        labels = {LABEL: self._run.id}
        with talking():
            volume = self._client.volumes.create(name=name, labels=labels)
        try:
            with talking(), self._run.images:
                # Through a container that is never started: there is no other way into a volume.
                holder = self._client.containers.create(
                    str(image),
                    entrypoint=[""],
                    command=["/dsci-never-started"],
                    platform=str(platform),
                    labels=labels,
                    mounts=[Mount(_FILLED, name, type="volume", no_copy=True)],
                )
            try:
                with talking():
                    holder.put_archive(_FILLED, _tar(files, folders))
            finally:
                self._take_away(partial(holder.remove, force=True, v=True))
            yield
        finally:
            self._take_away(partial(volume.remove, force=True))

    @contextlib.contextmanager
    def pytest(
        self,
        files: Mapping[str, HostFile],
        plugin: tuple[str, bytes],
        *,
        image: LocalImage,
        platform: Platform,
        allow: Collection[str],
        allowing: str,
        services: Services | None,
        bounds: Bounds,
    ) -> Iterator[PytestSession]:
        """See `ports.HostSide`."""
        with self._folder() as place:
            folder = _laid(place / "suite", files)
            # pytest looks for settings upwards from the suite: what this machine has there is not meant for it.
            (place / "pytest.ini").write_text("[pytest]\n")
            _laid(place / "plugin", {f"{plugin[0]}.py": HostFile(plugin[1])})
            labels = self._labels(place)
            session = Session(
                image=str(image),
                platform=str(platform),
                labels=labels,
                allow=tuple(sorted(allow)),
                allowing=allowing,
                services=services.file if services is not None else "",
                processes=bounds.processes,
                memory=bounds.memory,
                parent=os.getpid(),
            )
            (place / "session.json").write_bytes(msgspec.json.encode(session))
            argv = [
                *(sys.executable, "-m", "pytest", "-p", "dsci.pytest_plugin", f"--dsci-session={place}/session.json"),
                *(f"--rootdir={folder}", "-p", "no:cacheprovider", "-q", "-rs", "--color=no", "-p", plugin[0]),
                *("-o", "junit_family=xunit2", f"--junitxml={place}/junit.xml", str(folder)),
            ]
            environment = self._surroundings(place, open="host-environment" in allow)
            try:
                with self._watching(labels, bounds) as killed:
                    yield PytestSession(argv, environment, folder, self._while_going, killed)
            finally:
                self._remove_containers(labels)

    def _labels(self, place: Path) -> dict[str, str]:
        """What everything in the engine is labelled with that goes with a folder here."""
        return {LABEL: self._run.id, hostsession.LABEL: f"{self._run.nonce}-{place.name}"}

    def _watching(self, labels: Mapping[str, str], bounds: Bounds) -> contextlib.AbstractContextManager[Sequence[str]]:
        """Look at what containers with these labels write: whoever starts them says the rest of what they may take."""
        if not bounds.disk:
            return contextlib.nullcontext(())
        written = Bounds(disk=bounds.disk, raising=bounds.raising)
        return Watch(lambda: self._client, f"{hostsession.LABEL}={labels[hostsession.LABEL]}", written).looking()

    def _surroundings(self, place: Path, *, open: bool) -> dict[str, str]:
        """The environment of a session: folders of its own, and how the engine is found."""
        for name in ("home", "tmp"):
            (place / name).mkdir()
        given = self._environment
        found = {name: value for name, value in given.items() if open or name in REACHES}
        docker = Path(given.get("HOME") or Path.home()) / ".docker"
        path = [
            str(Path(dsci.__file__).parent.parent),
            str(place / "plugin"),
            *filter(None, [given.get("PYTHONPATH") if open else ""]),
        ]
        return {
            # Said in any case, since HOME is another one there.
            "DOCKER_CONFIG": str(docker),
            **({"DOCKER_CERT_PATH": str(docker)} if given.get("DOCKER_TLS_VERIFY") else {}),
            "LANG": "C.UTF-8",
            **found,
            "HOME": str(place / "home"),
            "TMPDIR": str(place / "tmp"),
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def cancel(self) -> None:
        """See `ports.HostSide`."""
        with self._lock:
            self._stopped.set()
            for begun in self._going:
                begun.kill()

    @contextlib.contextmanager
    def _while_going(self, begun: Begun) -> Iterator[None]:
        """Whatever is begun here is ended by `cancel`."""
        with self._lock:
            self._going.add(begun)
            if self._stopped.is_set():
                begun.kill()
        try:
            yield
        finally:
            with self._lock:
                self._going.discard(begun)

    def _remove_containers(self, labels: Mapping[str, str]) -> None:
        """Remove what a session left, however it ended."""
        try:
            with talking():
                wanted = [f"{name}={value}" for name, value in labels.items()]
                for container in self._client.containers.list(all=True, filters={"label": wanted}, ignore_removed=True):
                    self._take_away(partial(container.remove, force=True, v=True))
        except BuilderError:
            self._run.left_behind = True
            raise

    def _take_away(self, removal: partial[None]) -> None:
        if not quietly(removal):
            self._run.left_behind = True

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        place = self._run.scratch / f"host-{next(self._numbers)}"
        place.mkdir()
        try:
            yield place.resolve()
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _laid(folder: Path, files: Mapping[str, HostFile]) -> Path:
    """The files, in this new folder."""
    folder.mkdir()
    for name, file in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        if file.executable:
            path.chmod(0o755)
    return folder


def _tar(files: Mapping[str, HostFile], folders: Collection[str]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        writer = TarWriter(archive)
        for name, file in sorted(files.items()):
            writer.file(name, file.content, 0o755 if file.executable else 0o644)
        for name in sorted(folders):
            if name not in files:
                writer.folder(name)
    return content.getvalue()
