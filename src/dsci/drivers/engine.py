"""The Docker Engine: its images, and the containers in which they are tested.

Whatever is created carries this run's label and is removed by its own id; `sweep` removes what runs that died left
behind, told from living ones by the lock that each run holds. Files go in through a labelled volume, never by a bind
mount, so remote engines work; what comes out is bounded. How suites are judged is not known here.

Source of the archive behaviour: https://docs.docker.com/reference/api/engine/version/v1.45/#tag/Container/operation/PutContainerArchive
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from dsci.drivers import enginereach, enginesweep
from dsci.drivers.engineclient import DISK, connect, endpoint, lost, quietly, talking
from dsci.drivers.enginecontainer import LOG_BYTES, EngineContainer
from dsci.drivers.enginediscards import Discards
from dsci.drivers.engineload import loadable
from dsci.drivers.enginetransfer import Transfer, login
from dsci.drivers.enginewatch import Watch
from dsci.drivers.keychain import Keychain
from dsci.drivers.runs import LABEL, Run
from dsci.errors import BuilderError
from dsci.model.oci import Platform
from dsci.model.reference import Reference
from dsci.ports import NOTHING_SPECIAL, UNBOUNDED, Bounds, EnginePlace, ImageSource, LocalImage, Special

if TYPE_CHECKING:
    import docker

_PULL = "check the name, and that `docker pull` of it works"
#: The first engine whose BuildKit (0.13) has `rewrite-timestamp`.
_FIRST_REWRITING = 26
#: What a folder in memory holds where the container's memory has no bound, in bytes.
_IN_MEMORY = 1024**3


class DockerEngine:
    """One engine, asked lazily: nothing is contacted before it is needed. Implements `ports.Engine`."""

    def __init__(
        self,
        environment: Mapping[str, str],
        run: Run,
        keychain: Keychain | None = None,
        *,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`keychain` has what the engine shows to registries; without one it is a stranger to all of them.

        `warn` is told what could not be taken out of the engine.
        """
        self._environment = environment
        self._run = run
        self._keychain = keychain
        self._connected: docker.DockerClient | None = None
        self._connecting = threading.Lock()
        self._stopped = threading.Event()
        self._info: Mapping[str, Any] = {}
        self._sizes: dict[Reference, int] = {}
        self._discards = Discards(
            self._remove,
            lambda name, error: warn(f"{name} may be left in the engine: {error.message}"),
            run.images,
        )
        self._watch = Watch(lambda: self._client, f"{LABEL}={run.id}")

    @property
    def _client(self) -> docker.DockerClient:
        with self._connecting:
            if self._connected is None:
                self._connected, self._info = connect(self._environment)
            return self._connected

    def version(self) -> str:
        """The engine's version and image store."""
        _ = self._client
        return f"Docker Engine {self._info.get('ServerVersion')}, {self.mode} image store"

    @property
    def mode(self) -> Literal["containerd", "classic"]:
        """Which image store the engine keeps."""
        _ = self._client
        status = dict(pair for pair in self._info.get("DriverStatus") or () if len(pair) == 2)
        return "containerd" if status.get("driver-type", "").startswith("io.containerd.snapshotter") else "classic"

    def check_reproducible(self) -> None:
        """See that BuildKit here can set back the times in layers. Raises BuilderError with the reason.

        Debian's engine does not tell its BuildKit's version; Engine 26.0 was the first with 0.13, which brought it.
        Source: https://github.com/moby/buildkit/releases/tag/v0.13.0, https://docs.docker.com/engine/release-notes/26.0/
        """
        _ = self._client
        if self.mode == "classic":
            raise BuilderError(
                "reproducible: this engine keeps the classic image store, which exports no OCI layouts: BuildKit can "
                "set back the times in layers only there",
                hint='turn on the containerd image store ("features": {"containerd-snapshotter": true} in the '
                "engine's daemon.json), or take `reproducible` out of dsci.yaml",
            )
        server = str(self._info.get("ServerVersion", ""))
        if 0 < _major(server) < _FIRST_REWRITING:
            raise BuilderError(
                f"reproducible: Docker Engine {server} leaves the times in layers as they are",
                hint=f"update Docker to {_FIRST_REWRITING}.0 or newer, or take `reproducible` out of dsci.yaml",
            )

    def platform(self) -> Platform:
        """The platform that the engine runs natively."""
        _ = self._client
        return Platform.parse(f"{self._info.get('OSType', 'linux')}/{self._info.get('Architecture', 'amd64')}")

    def place(self) -> EnginePlace:
        """Where the engine keeps its data."""
        _ = self._client
        memory = int(self._info.get("MemTotal") or 0)
        url, _, _ = endpoint(self._environment)
        near = url.startswith(("unix://", "/"))
        return EnginePlace(root=str(self._info.get("DockerRootDir") or ""), memory=memory or None, near=near)

    @property
    def _host(self) -> str:
        return enginereach.machine(self._environment)

    def mirrors(self) -> tuple[str, ...]:
        """Base URLs of the mirrors of Docker Hub that the engine asks first."""
        _ = self._client
        return tuple((self._info.get("RegistryConfig") or {}).get("Mirrors") or ())

    # -------------------------------------------------------------------------------------------------- images

    def image_id(self, name: LocalImage) -> str | None:
        """The engine's id of a local image, or None."""
        from docker.errors import ImageNotFound, NotFound

        with talking():
            try:
                return str(self._client.api.inspect_image(str(name))["Id"])
            except (ImageNotFound, NotFound):
                return None

    def image_size(self, name: Reference) -> int:
        """What the image takes: content and unpacked layers. (An inspection tells only one of them, by store.)

        The engine measures for every such answer, so what it said of a name of this run is remembered.
        """
        size = self._sizes.get(name, 0)
        if not size:
            with talking():
                size = sum(int(image.get("Size") or 0) for image in self._client.api.images(name=str(name)))
        if name.tag is not None and name.tag.endswith(self._run.nonce):
            self._sizes[name] = size
        return size

    def config(self, name: LocalImage) -> Mapping[str, object]:
        """The image's config object: Env, Entrypoint, Cmd, Labels, User …"""
        with talking():
            return dict(self._client.api.inspect_image(str(name)).get("Config") or {})

    def load(self, source: ImageSource, name: Reference) -> None:
        """Bring an image in under this name, blob by blob. Raises BuilderError where the engine refuses it."""
        with talking(), self._run.images:
            for line in self._client.api.load_image(loadable(source, name)):
                if isinstance(line, dict) and (line.get("error") or line.get("errorDetail")):
                    said = str(line.get("error"))
                    raise BuilderError(f"the engine could not load {name}: {said}", hint=DISK, temporary=lost(said))
        if self.image_id(name) is None:
            raise BuilderError(f"the engine loaded {name} but does not show it", hint="try again; see the engine's log")

    def save(self, name: LocalImage, file: BinaryIO) -> None:
        """Write an image into a file, as the tar that `docker save` gives. Raises BuilderError."""
        with talking():
            for chunk in self._client.api.get_image(str(name)):
                file.write(chunk)

    def pull(self, name: Reference, platform: Platform | None) -> None:
        """See `ports.Engine`."""
        from docker.errors import APIError

        who = self._keychain.credentials(name.repository) if self._keychain is not None else None
        wanted = str(platform) if platform else None
        with talking():
            try:
                told = self._client.api.pull(
                    str(name.repository),
                    tag=str(name.digest or name.tag or "latest"),
                    stream=True,
                    decode=True,
                    platform=wanted,
                    auth_config=login(name, who),
                )
                said = [str(line["error"]) for line in told if "error" in line]
            except APIError as error:
                said = [str(error.explanation or error)]
        if said:
            raise BuilderError(f"the engine could not pull {name}: {said[-1]}", hint=_PULL)

    def push(self, name: Reference, to: Reference) -> str:
        """See `ports.Engine`."""
        who = self._keychain.credentials(to.repository) if self._keychain is not None else None
        try:
            with talking():
                # The image keeps its other name meanwhile: nothing is collected, and nobody has to be alone.
                transfer = Transfer(client=self._client.api, remove=self._remove, stopped=self._stopped)
                return transfer.push(name, to, who)
        except BuilderError as error:
            return error.message

    def remove_image(self, name: Reference) -> None:
        """Remove this name, if it is there; layers that other images use stay."""
        with self._run.images:
            self._remove(name)

    def discard(self, name: Reference) -> None:
        """See `ports.Engine`."""
        self._discards.add(name)

    def collect(self, *, wait: bool) -> None:
        """See `ports.Engine`."""
        self._discards.hurry(wait=wait)

    def _remove(self, name: Reference) -> None:
        from docker.errors import ImageNotFound, NotFound

        try:
            with talking(), contextlib.suppress(ImageNotFound, NotFound):
                self._client.api.remove_image(str(name), force=True)
        except BuilderError:
            self._run.left_behind = True
            raise

    def tag(self, name: Reference, new: Reference) -> None:
        """Give an image one more name."""
        with talking():
            self._client.api.tag(str(name), str(new.repository), new.tag)

    # ---------------------------------------------------------------------------------------------- containers

    @contextlib.contextmanager
    def container(
        self,
        name: LocalImage,
        *,
        platform: Platform,
        entrypoint: Sequence[str] | None = None,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        volume: tuple[str, bytes] | None = None,
        special: Special = NOTHING_SPECIAL,
        bounds: Bounds = UNBOUNDED,
    ) -> Iterator[EngineContainer]:
        """Create a container of this run; it and its volume are removed after the end, whatever happened.

        That takes the engine longer than a check in the container, so it waits for others where all went well. What
        passed a bound goes at once: it may hold much of the disk.
        """
        from docker.types import DeviceRequest, LogConfig, Mount

        labels = {LABEL: self._run.id}
        made: list[Callable[[], object]] = []
        try:
            with talking():
                if self._stopped.is_set():
                    raise BuilderError("this run was stopped")
                mounts = []
                if volume is not None:
                    created = self._client.volumes.create(labels=labels)
                    made.append(partial(created.remove, force=True))
                    # Not even what the image has at this path may mix with what is put there.
                    mounts.append(Mount(volume[0], created.name, type="volume", no_copy=True))
                create = partial(
                    self._client.containers.create,
                    str(name),
                    command=list(command) if command is not None else None,
                    entrypoint=list(entrypoint) if entrypoint is not None else None,
                    environment=dict(environment or {}),
                    user=special.user or None,
                    tty=special.terminal,
                    stdin_open=special.stdin,
                    privileged=special.privileged,
                    cap_add=list(special.capabilities),
                    cap_drop=["ALL"] if special.restricted else None,
                    security_opt=["no-new-privileges"] if special.restricted else None,
                    device_requests=[DeviceRequest(count=-1, capabilities=[["gpu"]])] if special.gpus else None,
                    volumes=list(special.binds),
                    healthcheck=None if special.watched else {"test": ["NONE"]},
                    labels=labels,
                    mounts=mounts,
                    platform=str(platform),
                    network_mode=special.network or None,
                    group_add=list(special.groups),
                    read_only=special.read_only,
                    tmpfs=dict.fromkeys(special.memory, f"mode=1777,size={bounds.memory or _IN_MEMORY}"),
                    pids_limit=bounds.processes or None,
                    mem_limit=bounds.memory or None,
                    memswap_limit=bounds.memory or None,
                    working_dir=special.folder or None,
                    ports={f"{port}/tcp": (enginereach.bound(self._host), 0) for port in special.ports},
                    log_config=LogConfig(type="json-file", config={"max-size": str(LOG_BYTES), "max-file": "2"}),
                )
                with self._run.images:
                    container = create()
                made.append(partial(container.remove, force=True, v=True))
                if volume is not None:
                    container.put_archive(volume[0], volume[1])
            watched = self._watch.begin(str(container.id), bounds)
            try:
                yield EngineContainer(container, self._stopped, self._host, watched)
            finally:
                self._watch.end(str(container.id))
        except BaseException:
            self._take_away(made[::-1])  # at once: it may be running still
            raise
        take_away = partial(self._take_away, made[::-1])
        if watched.limit:
            take_away()
        else:
            self._discards.first(take_away)

    def _take_away(self, removals: Sequence[Callable[[], object]]) -> None:
        for removal in removals:
            if not quietly(removal):
                self._run.left_behind = True

    def cancel(self) -> None:
        """Kill this run's containers, and those that are just being started; whoever created them removes them."""
        self._stopped.set()
        if self._connected is None:
            return
        with talking():
            label = f"{LABEL}={self._run.id}"
            for container in self._client.containers.list(filters={"label": label}, ignore_removed=True):
                quietly(container.kill)

    def sweep(self) -> int:
        """Remove containers, volumes and image names of runs on this machine that are dead; gives how many."""
        if not self._run.any_dead():
            return 0  # The engine takes a second to list its images, where it has many.
        return enginesweep.sweep(self._client, self._run)


def _major(version: str) -> int:
    """The first number of an engine's version; 0 where it has none, as a build of its developers."""
    found = re.match(r"[0-9]{1,4}(?=\.)", version)
    return int(found[0]) if found else 0
