"""The Docker Engine, through docker-py: where images are run to be tested.

The endpoint is the one that the docker command would use (DOCKER_HOST, then DOCKER_CONTEXT, then the current context).
Whatever is created carries this run's label and is removed by its own id; `sweep` removes what runs that died left
behind, told from living ones by the lock that each run holds. Files go in through a labelled volume, never by a bind
mount, so remote engines work; what comes out is bounded. How suites are judged is not known here.

Source of the archive behaviour: https://docs.docker.com/reference/api/engine/version/v1.45/#tag/Container/operation/PutContainerArchive
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dsci.drivers.enginediscards import Discards
from dsci.drivers.enginetransfer import Transfer
from dsci.drivers.keychain import Keychain
from dsci.drivers.runs import LABEL, Run
from dsci.errors import BuilderError, DsciError
from dsci.model.oci import Manifest, Platform
from dsci.model.reference import Reference
from dsci.ports import EnginePlace, FileEntry, ImageSource, Ran
from dsci.streams import reader

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container as DockerContainer

#: The oldest engine whose BuildKit takes named contexts (Docker Engine 23.0, BuildKit 0.10).
OLDEST = (23, 0)

#: The first engine whose BuildKit (0.13) has `rewrite-timestamp`.
_FIRST_REWRITING = 26
_CALL_TIMEOUT = 300
#: The version that the first question is asked in; the engine's own is used from then on.
_FIRST_API = "1.42"
_LINK_LIMIT = 16
#: How often the list of images is asked for while others remove some.
_LISTINGS = 5
#: The engine keeps two files of this size: at least one is left of whatever was printed, however much it was.
_LOG_BYTES = 8 * 1024 * 1024
#: What a line costs in such a file beside its text, and the most that goes into one line.
_LOG_LINE, _LOG_PIECE = 60, 16 * 1024
#: How the engine says that a path leads nowhere, other than by a 404.
_NOWHERE = ("not a directory", "too many links", "too many levels of", "cannot be empty", "file name too long")
_KEYS = ("ca", "cert", "key")
_DEFAULT_SOCKET = "unix:///var/run/docker.sock"
#: The names that a run gives: local ones, and those of the moment in which the engine pushes.
_RUN_TAG = re.compile(r"\A.+:dsci-.*-([0-9a-f]{16})\Z")


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

    @property
    def _client(self) -> docker.DockerClient:
        with self._connecting:
            if self._connected is None:
                self._connected, self._info = self._connect()
            return self._connected

    def _connect(self) -> tuple[docker.DockerClient, Mapping[str, Any]]:
        url, tls, where = self._endpoint()
        with _talking(where):
            # The version is negotiated at once, so an engine that does not answer is found out here.
            try:
                spoken = str(_client(url, tls, _FIRST_API).version(api_version=False)["ApiVersion"])
                client = _client(url, tls, spoken)
                info = dict(client.info())
            except (ValueError, LookupError, TypeError):
                raise BuilderError(f"what answers at {where} is no Docker Engine", hint=_START) from None
        server = str(info.get("ServerVersion", ""))
        numbers = tuple(int(part) for part in server.split(".")[:2] if part.isdigit())
        if len(numbers) == 2 and numbers < OLDEST:
            raise BuilderError(
                f"the Docker Engine at {where} is {server}; dsci needs {OLDEST[0]}.{OLDEST[1]} or newer",
                hint="older engines cannot pin the images that a Dockerfile names: update Docker",
            )
        return client, info

    def _endpoint(self) -> tuple[str, Any, str]:
        """URL, TLS settings and a name for messages, in the docker command's own order.

        docker-py's own ContextAPI finds no context where there is no config.json.
        Source: https://docs.docker.com/engine/manage-resources/contexts/#use-a-different-context
        """
        from docker.utils import kwargs_from_env

        if host := self._environment.get("DOCKER_HOST"):
            with _talking(host):
                arguments = kwargs_from_env(environment=dict(self._environment))
            return host, arguments.get("tls", False), host
        home = Path(self._environment.get("HOME") or Path.home())
        settings = Path(self._environment.get("DOCKER_CONFIG") or home / ".docker")
        name = self._environment.get("DOCKER_CONTEXT") or _current_context(settings)
        if name == "default":
            return _DEFAULT_SOCKET, False, _DEFAULT_SOCKET
        with _talking(f"the docker context {name!r}"):
            url, tls = _context(settings / "contexts", name)
        return url, tls, url

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
        url, _, _ = self._endpoint()
        near = url.startswith(("unix://", "/"))
        return EnginePlace(root=str(self._info.get("DockerRootDir") or ""), memory=memory or None, near=near)

    def mirrors(self) -> tuple[str, ...]:
        """Base URLs of the mirrors of Docker Hub that the engine asks first."""
        _ = self._client
        return tuple((self._info.get("RegistryConfig") or {}).get("Mirrors") or ())

    # -------------------------------------------------------------------------------------------------- images

    def image_id(self, name: Reference) -> str | None:
        """The engine's id of a local image, or None."""
        from docker.errors import ImageNotFound, NotFound

        with _talking():
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
            with _talking():
                size = sum(int(image.get("Size") or 0) for image in self._client.api.images(name=str(name)))
        if name.tag is not None and name.tag.endswith(self._run.nonce):
            self._sizes[name] = size
        return size

    def config(self, name: Reference) -> Mapping[str, object]:
        """The image's config object: Env, Entrypoint, Cmd, Labels, User …"""
        with _talking():
            return dict(self._client.api.inspect_image(str(name)).get("Config") or {})

    def load(self, source: ImageSource, name: Reference) -> None:
        """Bring an image in under this name, blob by blob. Raises BuilderError where the engine refuses it."""
        with _talking(), self._run.images:
            for line in self._client.api.load_image(_loadable(source, name)):
                if isinstance(line, dict) and (line.get("error") or line.get("errorDetail")):
                    raise BuilderError(f"the engine could not load {name}: {line.get('error')}", hint=_DISK)
        if self.image_id(name) is None:
            raise BuilderError(f"the engine loaded {name} but does not show it", hint="try again; see the engine's log")

    def push(self, name: Reference, to: Reference) -> str:
        """See `ports.Engine`."""
        who = self._keychain.credentials(to.repository) if self._keychain is not None else None
        try:
            with _talking():
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
            with _talking(), contextlib.suppress(ImageNotFound, NotFound):
                self._client.api.remove_image(str(name), force=True)
        except BuilderError:
            self._run.left_behind = True
            raise

    def tag(self, name: Reference, new: Reference) -> None:
        """Give an image one more name."""
        with _talking():
            self._client.api.tag(str(name), str(new.repository), new.tag)

    # ---------------------------------------------------------------------------------------------- containers

    @contextlib.contextmanager
    def container(
        self,
        name: Reference,
        *,
        platform: Platform,
        entrypoint: Sequence[str] | None = None,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        volume: tuple[str, bytes] | None = None,
        network: bool = True,
    ) -> Iterator[EngineContainer]:
        """Create a container of this run; it and its volume are removed after the end, whatever happened.

        That takes the engine longer than a check in the container, so it waits for others where all went well.
        """
        from docker.types import LogConfig, Mount

        labels = {LABEL: self._run.id}
        made: list[Callable[[], object]] = []
        try:
            with _talking():
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
                    user=user,
                    labels=labels,
                    mounts=mounts,
                    platform=str(platform),
                    network_mode=None if network else "none",
                    log_config=LogConfig(type="json-file", config={"max-size": str(_LOG_BYTES), "max-file": "2"}),
                )
                with self._run.images:
                    container = create()
                made.append(partial(container.remove, force=True, v=True))
                if volume is not None:
                    container.put_archive(volume[0], volume[1])
            yield EngineContainer(container, self._stopped)
        except BaseException:
            self._take_away(made[::-1])  # at once: it may be running still
            raise
        self._discards.first(partial(self._take_away, made[::-1]))

    def _take_away(self, removals: Sequence[Callable[[], object]]) -> None:
        for removal in removals:
            if not _quietly(removal):
                self._run.left_behind = True

    def cancel(self) -> None:
        """Kill this run's containers, and those that are just being started; whoever created them removes them."""
        self._stopped.set()
        if self._connected is None:
            return
        with _talking():
            label = f"{LABEL}={self._run.id}"
            for container in self._client.containers.list(filters={"label": label}, ignore_removed=True):
                _quietly(container.kill)

    def sweep(self) -> int:
        """Remove containers, volumes and image names of runs on this machine that are dead; gives how many."""
        if not self._run.any_dead():
            return 0  # The engine takes a second to list its images, where it has many.
        done: list[int] = []
        with _talking():
            containers = self._client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
            for container in containers:
                if self._run.is_dead(container.labels.get(LABEL, "")):
                    done.append(_quietly(lambda container=container: container.remove(force=True, v=True)))
            for volume in self._client.volumes.list(filters={"label": LABEL}):
                if self._run.is_dead((volume.attrs.get("Labels") or {}).get(LABEL, "")):
                    done.append(_quietly(lambda volume=volume: volume.remove(force=True)))
            images = self._images()
            done += [] if images is not None else [0]
            for image in images or ():
                for tag in image.get("RepoTags") or ():
                    match = _RUN_TAG.match(tag)
                    if match and self._run.is_dead_nonce(match[1]):
                        done.append(_quietly(lambda tag=tag: self._client.api.remove_image(tag)))
        if all(done):
            self._run.forget_dead()
        return sum(done)

    def _images(self) -> Sequence[Mapping[str, Any]] | None:
        """Every image; None where there is no list to be had, since others keep removing what is on it.

        The containerd image store measures each image for it, and one that goes meanwhile is an error.
        """
        from docker.errors import APIError

        for _ in range(_LISTINGS):
            try:
                found: Sequence[Mapping[str, Any]] = self._client.api.images()
                return found
            except APIError as error:
                if "not found" not in str(error.explanation):
                    raise
        return None


def _major(version: str) -> int:
    """The first number of an engine's version; 0 where it has none, as a build of its developers."""
    found = re.match(r"[0-9]{1,4}(?=\.)", version)
    return int(found[0]) if found else 0


class EngineContainer:
    """A container of the image under test. Implements `ports.Container`."""

    def __init__(self, container: DockerContainer, stopped: threading.Event) -> None:
        self._container = container
        self._stopped = stopped

    def stat(self, path: str) -> FileEntry | None:
        """The first header of the path's tar stream; the rest is never read, however large the folder."""
        member = self._first(path)
        if member is None:
            return None
        kind: Literal["file", "directory", "symlink", "other"] = "other"
        if member.isdir():
            kind = "directory"
        elif member.issym():
            kind = "symlink"
        elif member.isreg() or member.islnk():
            kind = "file"
        return FileEntry(
            kind=kind, mode=member.mode & 0o7777, uid=member.uid, gid=member.gid, size=member.size, link=member.linkname
        )

    def _first(self, path: str) -> tarfile.TarInfo | None:
        with self._archive(path) as (archive, _):
            return archive.next() if archive is not None else None

    def read(self, path: str, limit: int) -> bytes | None:
        """A regular file's first `limit` bytes, links followed."""
        for _ in range(_LINK_LIMIT):
            with self._archive(path) as (archive, end):
                member = archive.next() if archive is not None else None
                if archive is None or member is None:
                    return None
                if member.isreg():
                    stream = archive.extractfile(member)
                    return stream.read(limit) if stream is not None else None
                if not member.issym() or end == path:
                    return None
                path = end
        return None

    @contextlib.contextmanager
    def _archive(self, path: str) -> Iterator[tuple[tarfile.TarFile | None, str]]:
        """The path's tar, and where a link leads in the end: the engine alone knows, folders may be links too."""
        from docker.errors import APIError, NotFound

        with _talking(), contextlib.ExitStack() as closing:
            try:
                stream, told = self._container.get_archive(path)
            except NotFound:
                yield None, ""
                return
            except APIError as error:
                if not any(text in str(error.explanation) for text in _NOWHERE):
                    raise
                yield None, ""
                return
            chunks = closing.enter_context(reader(stream))
            archive = closing.enter_context(tarfile.open(fileobj=chunks, mode="r|"))
            yield archive, str((told or {}).get("linkTarget") or "")

    def run(self, timeout: float, output_limit: int) -> Ran:
        """Start it and wait; kill it when `timeout` seconds are over. A container that cannot start says why."""
        import requests
        from docker.errors import APIError

        began = time.monotonic()
        code: int | None = None
        reason = ""
        with _talking():
            try:
                self._container.start()
            except APIError as error:
                said = str(error.explanation or error)
                return Ran(exit_code=None, stdout=b"", stderr=b"", seconds=time.monotonic() - began, reason=said)
            if self._stopped.is_set():
                _quietly(self._container.kill)
            waiting = time.monotonic()
            try:
                code = int(self._container.wait(timeout=timeout)["StatusCode"])
            except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError):
                if time.monotonic() - waiting < timeout:
                    raise
                reason = f"still running after {timeout:g} s, so it was killed"
                _quietly(self._container.kill)
            seconds = time.monotonic() - began
            stdout = self._container.logs(stdout=True, stderr=False)
            stderr = self._container.logs(stdout=False, stderr=True)
        if _logged(stdout) + _logged(stderr) > _LOG_BYTES or max(len(stdout), len(stderr)) > output_limit:
            reason = reason or _CUT
        return Ran(
            exit_code=code,
            stdout=stdout[-output_limit:],
            stderr=stderr[-output_limit:],
            seconds=seconds,
            reason=reason,
        )

    def copy_out(self, path: str) -> bytes | None:
        """A file's content after the run, up to 64 MiB."""
        return self.read(path, 64 * 1024 * 1024)


_CUT = "it printed more than is kept: only the end of its output can be looked at"
_START = "start Docker, or point DOCKER_HOST or `docker context use` at a running engine"
_DISK = "see that the engine's disk has room: `docker system df`"


def _client(url: str, tls: Any, version: str) -> docker.DockerClient:
    """A client that contacts nobody yet."""
    import docker
    from requests.utils import get_environ_proxies

    client = docker.DockerClient(base_url=url, tls=tls, timeout=_CALL_TIMEOUT, version=version)
    if tls:
        # Or REQUESTS_CA_BUNDLE would replace the engine's own authority (https://github.com/psf/requests/issues/3829).
        client.api.trust_env = False
        client.api.proxies = get_environ_proxies(client.api.base_url)
    return client


def _current_context(settings: Path) -> str:
    """The context that `docker context use` chose. A file that cannot be read chooses none, as for docker itself."""
    try:
        chosen = json.loads((settings / "config.json").read_bytes())["currentContext"]
    except (OSError, ValueError, LookupError, TypeError):
        return "default"
    return str(chosen or "default")


def _context(folder: Path, name: str) -> tuple[str, Any]:
    """The URL and the TLS settings of a context. Source: https://github.com/docker/cli/tree/master/cli/context/store"""
    from docker.tls import TLSConfig

    place = hashlib.sha256(name.encode()).hexdigest()
    try:
        endpoint = json.loads((folder / "meta" / place / "meta.json").read_bytes())["Endpoints"]["docker"]
        url, verify = str(endpoint["Host"]), not endpoint.get("SkipTLSVerify", False)
    except FileNotFoundError:
        raise BuilderError(
            f"there is no docker context {name!r}", hint="`docker context ls` names those there are"
        ) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise BuilderError(
            f"the docker context {name!r} cannot be read", hint="see `docker context inspect`, or make it anew"
        ) from None
    keys = folder / "tls" / place / "docker"
    if not keys.is_dir():
        return url, False
    ca, cert, key = (str(keys / f"{part}.pem") if (keys / f"{part}.pem").exists() else None for part in _KEYS)
    return url, TLSConfig(client_cert=(cert, key) if cert and key else None, ca_cert=ca, verify=verify)


@contextlib.contextmanager
def _talking(where: str = "") -> Iterator[None]:
    """Translate what docker-py and its transport raise into BuilderError."""
    import requests
    from docker.errors import APIError, DockerException

    try:
        yield
    except DsciError:
        raise
    except APIError as error:
        said = str(error.explanation or error)
        raise BuilderError(
            f"the Docker Engine answered: {said[:500]}",
            hint=_DISK if "no space" in said else "see the engine's log",
            temporary=("snapshot" in said and "does not exist" in said) or "no such image" in said.lower(),
        ) from None
    except (DockerException, requests.exceptions.RequestException, OSError) as error:
        why = _innermost(error)
        denied = why == os.strerror(errno.EACCES)
        at = f" at {where}" if where else ""
        raise BuilderError(
            f"{'no permission to use' if denied else 'cannot reach'} the Docker Engine{at}: {why}",
            hint="add yourself to the docker group, or use rootless Docker" if denied else _START,
        ) from error


def _innermost(error: BaseException) -> str:
    """What the operating system said, however deep the clients wrapped it; else what the outermost one said."""
    wrapped: list[BaseException] = [error]
    for item in wrapped:
        if isinstance(item, OSError) and item.strerror:
            return str(item.strerror)
        inner = (*item.args, getattr(item, "reason", None), item.__cause__)
        wrapped += [other for other in inner if isinstance(other, BaseException) and other not in wrapped]
    return str(error)[:300]


def _logged(output: bytes) -> int:
    """About what this output took in the engine's log."""
    return len(output) + _LOG_LINE * (output.count(b"\n") + len(output) // _LOG_PIECE)


def _quietly(remove: Any) -> int:
    """Remove something; gives 1 when it is gone and 0 when it is not. Only clean-up is ever quiet."""
    import requests
    from docker.errors import DockerException, NotFound

    try:
        remove()
    except NotFound:
        return 1
    except (DockerException, requests.exceptions.RequestException):
        return 0
    return 1


def _loadable(source: ImageSource, name: Reference) -> Iterator[bytes]:
    """A tar that `docker load` takes on both image stores: an OCI layout with a `manifest.json` beside it."""
    manifest = Manifest.from_bytes(source.manifest)
    descriptor = source.descriptor
    annotations = {
        "io.containerd.image.name": str(name),
        "org.opencontainers.image.ref.name": name.tag or "latest",
    }
    index = {
        "schemaVersion": 2,
        "manifests": [descriptor.to_json() | {"annotations": annotations}],
    }
    legacy = [
        {
            "Config": _blob(manifest.config.digest.hex),
            "RepoTags": [str(name)],
            "Layers": [_blob(layer.digest.hex) for layer in manifest.layers],
        }
    ]
    yield from _member("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
    yield from _member("index.json", json.dumps(index).encode())
    yield from _member("manifest.json", json.dumps(legacy).encode())
    yield from _member(_blob(descriptor.digest.hex), source.manifest)
    sent = {descriptor.digest}
    for blob in (manifest.config, *manifest.layers):
        if blob.digest in sent:
            continue
        sent.add(blob.digest)
        info = tarfile.TarInfo(_blob(blob.digest.hex))
        info.size = blob.size
        yield info.tobuf()
        with source.open(blob) as stream:
            while chunk := stream.read(1 << 20):
                yield chunk
        yield b"\0" * (-blob.size % 512)
    yield b"\0" * 1024


def _blob(hex_digest: str) -> str:
    return str(Path("blobs") / "sha256" / hex_digest)


def _member(name: str, content: bytes) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    yield info.tobuf() + content + b"\0" * (-len(content) % 512)
