"""What the pipeline asks of the outside world, as Protocols.

Drivers implement these, fakes imitate them, the command line hands them over; nobody else knows a client library. A
method that can find nothing says so with None or an empty value; a method that cannot find out raises. "Absent" and
"unreachable" are never the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, Protocol

import msgspec

from dsci.model.bundle import Seen
from dsci.model.claims import Tag
from dsci.model.commits import Commit
from dsci.model.limits import Left
from dsci.model.oci import Descriptor, Digest, Platform
from dsci.model.reference import Reference, Repository
from dsci.model.tree import Tree, TreeEntry

if TYPE_CHECKING:
    from dsci.model.builders import Builder as BuilderAbout
    from dsci.model.caches import Cache
    from dsci.model.room import Room
    from dsci.model.sbom import Form
    from dsci.model.scan import Scanned

# ---------------------------------------------------------------------------------------------------------- registry


class ImageSource(Protocol):
    """One image manifest somewhere local, with every blob it names, ready to be published."""

    @property
    def descriptor(self) -> Descriptor:
        """The manifest's own descriptor."""

    @property
    def manifest(self) -> bytes:
        """The manifest's bytes, exactly as they are published."""

    def open(self, blob: Descriptor) -> BinaryIO:
        """The content of a blob that the manifest names, from its first byte."""


class Registry(Protocol):
    """Repositories of images and artifacts: a remote registry, or OCI layouts on this machine.

    404 is a value (None); everything else that is not an answer raises RegistryError.
    """

    def resolve(self, reference: Reference) -> Descriptor | None:
        """The manifest or index this tag or digest names now, or None when there is none."""

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes] | None:
        """The same, with its bytes, verified against the digest; None when there is none."""

    def blob(self, repository: Repository, blob: Descriptor) -> bytes:
        """A small blob (a config, a receipt), verified. Raises RegistryError when it is absent or over 8 MiB."""

    def open_blob(self, repository: Repository, blob: Descriptor) -> AbstractContextManager[Iterator[bytes]]:
        """A blob as a stream of chunks; the last chunk is given only after size and digest were verified."""

    def lacks(self, repository: Repository, blob: Descriptor) -> bool:
        """Whether this blob is surely not there: a registry that will not say lacks nothing."""

    def push_image(self, source: ImageSource, repository: Repository, tag: str | None = None) -> Descriptor:
        """Upload the blobs that are missing, then the manifest, under `tag` or by digest only."""

    def push_manifest(
        self, repository: Repository, content: bytes, media_type: str, tag: str | None = None, *, look: bool = True
    ) -> Descriptor:
        """Write these bytes under `tag`, or by digest only, and confirm that the registry names them so.

        Without `look` the caller has just seen that it does not.
        """

    def push_blob(self, repository: Repository, content: bytes, media_type: str) -> Descriptor:
        """Upload a small blob held in memory, unless it is there."""

    def mount(self, source: Repository, blob: Descriptor, repository: Repository) -> bool:
        """Have a blob of another repository of this registry without sending it; False when the registry will not."""

    def attach(self, repository: Repository, content: bytes, tag: str | None = None) -> Descriptor:
        """Write an artifact's manifest, and have it listed with what it is about.

        Its blobs are there already; it stands by its digest, and under `tag` where there is one. Raises OciError where
        it is about nothing.
        """

    def referrers(self, repository: Repository, subject: Digest) -> tuple[Descriptor, ...]:
        """What is attached to an image or an index: each artifact with its type. "Cannot tell" is a RegistryError."""

    def tags(self, repository: Repository) -> tuple[str, ...]:
        """Every tag of the repository, sorted; empty when the repository does not exist."""

    def check_push(self, repository: Repository) -> None:
        """Prove the right to push here, leaving nothing behind. Raises AuthError when it is not given."""

    def written(self, reference: Reference) -> int | None:
        """When a manifest was written, in seconds, where the registry tells; None where it does not, or has none."""

    def delete(self, repository: Repository, digest: Digest) -> bool:
        """Remove a manifest and every tag that names it; False when there is none. Its blobs stay until `sweep`.

        Raises UnsupportedError where the registry does not do this.
        """

    def untag(self, repository: Repository, tag: str) -> bool:
        """Take a tag away and nothing else; False when there is none. What it named stays, by its digest.

        Raises UnsupportedError where the registry does not do this.
        """

    def sweep(self, repository: Repository) -> int:
        """Remove blobs that no manifest of the repository needs; gives their bytes. Remote registries do that alone: 0.

        What a push at the same time may count on is let alone, and goes another time.
        """


class Lister(Protocol):
    """A program that lists the packages in images."""

    def check(self) -> None:
        """Raises ConfigError where there is none."""

    def packages(self, source: ImageSource, form: Form, name: str) -> bytes:
        """The list of an image's packages, under this name. Raises RegistryError."""


class Scanner(Protocol):
    """Looks for known vulnerabilities in an image."""

    def check(self) -> None:
        """Raises ConfigError where it cannot look at all."""

    def scan(self, source: ImageSource) -> Scanned:
        """What is known of an image, or why that could not be told. Raises RegistryError where it cannot be read."""


class Signer(Protocol):
    """Signs images and statements about them: by digest, so nobody can move what is signed meanwhile."""

    def check(self, repositories: Sequence[Repository]) -> None:
        """Prove, before any work, that it can sign there. Raises ConfigError."""

    def sign(self, repository: Repository, digest: Digest) -> None:
        """Have an image signed, unless it is, and prove it. Raises RegistryError."""

    def attest(self, repository: Repository, digest: Digest, predicate_type: str, predicate: bytes) -> None:
        """Have a statement about an image signed and attached, unless it is, and prove it. Raises RegistryError."""


# ----------------------------------------------------------------------------------------------------------- builder


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """What a name in a Dockerfile stands for in this build: `--build-context name=source`."""

    name: str
    source: str
    """An image that the builder finds itself, or one that it is handed (`Handed.place`)."""


class BuildSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret of a build: its id, and the environment variable or the file that has its value.

    The value goes from there to BuildKit and nowhere else; the pipeline never holds it.
    """

    id: str
    env: str | None = None
    file: str | None = None


#: How long a build may say nothing where nobody says how long, in seconds.
INACTIVITY = 900.0


class BuildOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a builder needs to build one target, decided beforehand."""

    subject: str
    """The target's id, for messages."""
    dockerfile: str
    """The Dockerfile's path inside the tar."""
    dockerfile_shown: str
    """The Dockerfile's path in the repository, for messages."""
    stage: str | None
    platform: Platform
    args: Mapping[str, str] = msgspec.field(default_factory=dict)
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    pins: tuple[Pin, ...] = ()
    secrets: tuple[BuildSecret, ...] = ()
    local_name: Reference
    """The name the image gets in the engine."""
    epoch: int
    """SOURCE_DATE_EPOCH in seconds."""
    classic: bool = False
    """Whether the engine keeps the classic image store, which exports no OCI layouts."""
    layout: bool = False
    """Whether the image is wanted as an OCI layout as well; else its bytes stay in the engine until they are asked for.
    """
    network: str = "default"
    reproducible: bool = False
    """Whether no file of a new layer is to be younger than `epoch`; only layouts can be had so."""
    fresh: bool = False
    """Whether every step is run, whatever the builder remembers."""
    load: bool = True
    """Whether an image that is wanted as a layout is wanted in the engine too."""
    cache: Cache | None = None
    """Where steps of earlier builds are found, and those of this one kept. A build never fails for its sake."""
    inactivity: float = INACTIVITY
    """Seconds without a word from BuildKit after which the build is ended."""
    builder: str | None = None
    """The builder that is asked, by the name that buildx has for it; None is the engine's own."""
    on: tuple[Reference, ...] = ()
    """The local names of the images that it stands on."""


class BuildFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why BuildKit stopped: the step, its last lines, and where it stands in the Dockerfile."""

    message: str
    step: str = ""
    hung: bool = False
    """Whether it was ended because it said nothing."""
    line: int | None = None
    tail: tuple[str, ...] = ()


Progress = Callable[[str], None]


class Builder(Protocol):
    """BuildKit, behind whatever drives it."""

    def build(
        self, order: BuildOrder, context: Callable[[BinaryIO], None], progress: Progress
    ) -> AbstractContextManager[ImageSource | BuildFailure]:
        """Build with the tar that `context` writes; the source is valid inside the `with` block.

        Unless `order.load` says no, the image is then also in the engine under `order.local_name`; what a builder
        elsewhere makes is not, and lies in `Handed` under that name until it is removed there. Raises BuilderError
        when BuildKit itself is not to be had, and when it hangs while no step is going on; a failing Dockerfile is a
        `BuildFailure`, and so is a step that says nothing for `order.inactivity` seconds.
        """

    def saved(self, name: Reference, *, classic: bool) -> AbstractContextManager[ImageSource]:
        """A local image of the engine as a source, valid inside the `with` block; `classic` is the engine's store."""

    def cancel(self, subject: str | None = None) -> None:
        """End every build that is going on or will be, or those of one target that are going on; they fail."""


class KnownBuilders(Protocol):
    """The builders that buildx knows."""

    @property
    def own(self) -> str:
        """The name that buildx has for the engine's own builder."""

    def about(self, name: str) -> BuilderAbout:
        """A builder, all of whose nodes can be reached. Raises BuilderError where there is none, or they cannot."""


class Handed(Protocol):
    """Images that lie at hand for builders that do not see the engine's, by their local names."""

    def image(self, name: Reference) -> ImageSource | None:
        """The image that lies there under this name."""

    def place(self, name: Reference) -> str:
        """The same, as `Pin.source` has it. Raises BuilderError where there is none."""

    def take(self, name: Reference, source: ImageSource) -> None:
        """Have an image there under this name, in place of another one."""

    def remove(self, name: Reference) -> None:
        """Remove it, if it is there."""


# ------------------------------------------------------------------------------------------------------------ engine


#: What a container may take too much of.
Limit = Literal["", "time", "processes", "memory", "disk"]


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What a container did: exit code (None when it had to be killed), output kept apart, seconds."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    seconds: float
    reason: str = ""
    """Why there is no exit code, why the container could not start, or what else is to be known of how it ended."""
    limit: Limit = ""
    """The limit that ended it; with `memory` something in it was killed, and it may have gone on."""
    seen: Seen | None = None
    """What the engine says of the container after it, where somebody asked."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How a container goes."""

    running: bool
    exit_code: int | None
    """None while it runs, and before it was started."""
    out_of_memory: bool
    """Whether the kernel killed something in it for want of memory."""
    health: Literal["", "starting", "healthy", "unhealthy"]
    """What its health check says; "" where it has none."""
    said: tuple[str, ...] = ()
    """What its last health checks printed, oldest first."""
    killed: str = ""
    """Why it was killed, where that was for one of its bounds."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP request to a container."""

    port: int
    path: str
    """With its query."""
    method: str = "GET"
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes = b""
    tls: bool = False
    """Whether it is https. Whose certificate it is is not asked."""
    follow: bool = False
    """Whether redirects are followed, as long as they stay with the container."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a container answered."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes
    whole: bool
    """Whether this is all of the body."""


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A path in an image, as the first header of its tar stream tells it."""

    kind: Literal["file", "directory", "symlink", "other"]
    mode: int
    """Permission bits with setuid, setgid and sticky."""
    uid: int
    gid: int
    size: int
    link: str = ""


class Files(Protocol):
    """What an image holds."""

    def stat(self, path: str) -> FileEntry | None:
        """What stands at this path, links not followed, or None."""

    def read(self, path: str, limit: int) -> bytes | None:
        """A regular file's first `limit` bytes, links followed; None when there is none."""

    def folders(self, path: str) -> tuple[str, ...] | None:
        """The names of the folders in a folder, links to folders left out; None when there is none."""

    def everything(self) -> Iterable[tuple[str, FileEntry]]:
        """Every path, from the root and without links on the way to it, and what stands there."""


class Container(Files, Protocol):
    """A container of the image under test: created, perhaps never started, always removed."""

    @property
    def id(self) -> str:
        """What the engine calls it."""

    def run(self, timeout: float, output_limit: int) -> Ran:
        """Start it and wait, at most `timeout` seconds and as long as its bounds allow; then kill it."""

    def copy_out(self, path: str) -> bytes | None:
        """A file's content after the run."""

    def start(self) -> str:
        """Start it and leave it running; gives why it does not run, or ""."""

    def again(self) -> None:
        """End everything that runs in it, and start it anew: what is in its file system stays."""

    def execute(
        self, argv: Sequence[str], environment: Mapping[str, str], timeout: float, output_limit: int, *, user: str = ""
    ) -> Ran:
        """Run a command in it while it runs, at most `timeout` seconds; after that the whole container is killed.

        As the image's user, if nobody is named.
        """

    def quickly(self, argv: Sequence[str], environment: Mapping[str, str], timeout: float, output_limit: int) -> Ran:
        """The same, perhaps by a shell that goes on in it: that is quicker by the start of a process by the engine.

        What has no exit code then may have one when it is run otherwise.
        """

    def end(self) -> None:
        """Kill what runs in it."""

    def stop(self, timeout: float) -> None:
        """Ask it to stop, by the signal that its image names, and kill it `timeout` seconds later."""

    def state(self) -> State:
        """How it goes."""

    def first_process(self) -> str:
        """The command line of what runs as its process 1; "" where nothing does."""

    def seen(self) -> Seen:
        """All that the engine says of it, for whoever looks into a failure."""

    def logs(self, limit: int) -> tuple[bytes, bytes]:
        """The last `limit` bytes that it wrote to stdout and to stderr so far."""

    def address(self, port: int) -> tuple[str, int] | None:
        """Host and port at which one of `Special.ports` is reached from here; None while it listens nowhere."""

    def ask(self, question: Question, timeout: float, limit: int) -> Answer | str:
        """Ask it something, for at most `timeout` seconds, and take `limit` bytes of the body; a text says why there is
        no answer."""

    def settled(self) -> bool:
        """Whether it takes no more room than when it was started, and runs nothing beside its own process: a quick
        look."""

    def untouched(self) -> bool:
        """Whether nothing that ran in it left anything behind: no change in its file system, no process, nothing in
        its shared memory."""


class Special(msgspec.Struct, frozen=True, kw_only=True):
    """What a container is given beside what its image says."""

    user: str = ""
    terminal: bool = False
    privileged: bool = False
    capabilities: tuple[str, ...] = ()
    binds: tuple[str, ...] = ()
    """Folders of the engine's machine: `SOURCE:TARGET[:OPTIONS]`."""
    watched: bool = True
    """Whether the image's own health check runs in it."""
    groups: tuple[str, ...] = ()
    """Further groups of its user, by name or number."""
    network: Literal["", "none"] = ""
    """The engine's usual one, or none at all but its own loopback."""
    read_only: bool = False
    """Whether nothing can be written but to volumes and `memory`."""
    memory: tuple[str, ...] = ()
    """Folders that lie in memory (tmpfs)."""
    restricted: bool = False
    """Whether it has no capabilities, and can gain no privileges."""
    gpus: bool = False
    """Whether it has all GPUs of the engine's machine; it cannot be started where there is none."""
    ports: tuple[int, ...] = ()
    """TCP ports that can be reached from here (`Container.address`)."""
    stdin: bool = False
    """Whether it reads what a person writes."""
    folder: str = ""
    """The working directory, an absolute path; "" leaves it as the image has it."""


NOTHING_SPECIAL = Special()


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a container may take of the engine's machine, and for how long; 0 is no bound."""

    left: Callable[[], Left] = lambda: Left(seconds=math.inf)
    """The time that it still has, asked again and again."""
    processes: int = 0
    """Processes and threads."""
    memory: int = 0
    """Bytes."""
    disk: int = 0
    """Bytes beside its image: its own file system and its volumes."""
    raising: str = "raise {}"
    """How a bound is raised: a sentence in which `{}` stands for the setting."""


UNBOUNDED = Bounds()


class EnginePlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where an engine keeps what it has."""

    root: str
    """Its data root, a path on its own machine."""
    memory: int | None
    """All the memory of its machine, in bytes."""
    near: bool
    """Whether it is spoken to through a socket in the file system, and so may be on this machine."""


#: An image of the engine: by a name, or as a person writes it down for it (`debian:12`, an id).
LocalImage = Reference | str


class Engine(Protocol):
    """The Docker Engine: where images are run to be tested."""

    def version(self) -> str:
        """The engine's version and image store, for messages."""

    def mirrors(self) -> tuple[str, ...]:
        """Base URLs of the mirrors of Docker Hub that the engine asks first."""

    @property
    def mode(self) -> Literal["containerd", "classic"]:
        """Which image store the engine keeps: it decides when an image's digest is known (rule 12)."""

    def check_reproducible(self) -> None:
        """Raises BuilderError where this engine cannot build the same bytes twice, and says why."""

    def platform(self) -> Platform:
        """The platform that the engine runs natively."""

    def place(self) -> EnginePlace:
        """Where it keeps its data."""

    def image_size(self, name: Reference) -> int:
        """The bytes that a local image takes in the engine with all its layers; 0 when it is not there."""

    def image_id(self, name: LocalImage) -> str | None:
        """The engine's id of a local image (manifest digest or config digest, by store), or None."""

    def config(self, name: LocalImage) -> Mapping[str, object]:
        """The image's config object as the engine gives it (`Env`, `Entrypoint`, `Labels` …)."""

    def load(self, source: ImageSource, name: Reference) -> None:
        """Bring an image into the engine under this name."""

    def pull(self, name: Reference, platform: Platform | None) -> None:
        """Have the engine fetch an image from its registry. Raises BuilderError."""

    def push(self, name: Reference, to: Reference) -> str:
        """Have the engine itself send a local image to a registry, what is not there already; "" or why it could not.

        On the containerd image store the registry then names what the engine names; on the classic one it need not.
        """

    def tag(self, name: Reference, new: Reference) -> None:
        """Give an image one more name."""

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
    ) -> AbstractContextManager[Container]:
        """Create a container, labelled as this run's. `volume` mounts a fresh volume at a path, filled from a tar.

        Both are removed after the `with` block, by `collect` at the latest. While it runs it is looked at, and killed
        when it took more than it may.
        """

    def remove_image(self, name: Reference) -> None:
        """Remove this name from the engine, if it is there."""

    def discard(self, name: Reference) -> None:
        """Have this name removed before long, together with others; what cannot be removed is warned of."""

    def collect(self, *, wait: bool) -> None:
        """Remove now what is to go; with `wait` it is gone when this returns, as far as it can be."""

    def cancel(self) -> None:
        """End every container of this run; what waits for one sees it killed."""

    def sweep(self) -> int:
        """Remove what dead runs of dsci on this machine left behind; gives the number of things removed."""


# --------------------------------------------------------------------------------------------------------- this side


class HostFile(NamedTuple):
    """A file for a program on this machine."""

    content: bytes
    executable: bool = False


class Composed(msgspec.Struct, frozen=True, kw_only=True):
    """What Docker Compose made of a compose file: every short form written out, variables replaced."""

    model: Mapping[str, Any]
    folder: str
    """Where the files lay that it was made with; they are gone."""


class Services(Protocol):
    """The services of a compose file, each in one container or more."""

    @property
    def file(self) -> str:
        """The path of the compose file that they are run by, which names their project too."""

    def up(self, timeout: float) -> str:
        """Create and start what does not run, and wait until it is healthy; gives why it is not, or "".

        A service may end only where another one waits for its success. Raises BuilderError where the engine lost the
        image.
        """

    def names(self) -> tuple[str, ...]:
        """The services that have a container, whether it runs or not."""

    def killed(self) -> tuple[str, ...]:
        """What is said of each container that wrote more than it may, and was killed for it."""

    def service(self, name: str) -> Container:
        """The first container of a service as it is now; a new `up` may bring another one.

        Raises ConfigError where it has none.
        """


class HostSession(Protocol):
    """A pytest on this machine, in the folder of its suite."""

    def run(self, timeout: float, output_limit: int) -> Ran:
        """Run it to its end, at most `timeout` seconds; then kill it, with what it started."""

    def read(self, path: str, limit: int) -> bytes | None:
        """A file's first `limit` bytes, by its path from the suite's folder; None when there is none."""

    def killed(self) -> tuple[str, ...]:
        """What is said of each of its containers that wrote more than it may, and was killed for it."""

    def end(self) -> None:
        """Kill it."""


#: What of this machine's environment programs here are given in any case: how they find the engine and each other.
REACHES = frozenset(
    (
        *("DOCKER_API_VERSION", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_HOST"),
        *("DOCKER_TLS_VERIFY", "HOME", "PATH", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR"),
    )
)


class HostSide(Protocol):
    """What runs on this machine, beside the engine, for suites: pytest and Docker Compose."""

    def composed(
        self, files: Mapping[str, HostFile], file: str, variables: Mapping[str, str], *, open: bool
    ) -> Composed:
        """Have Docker Compose read one of these files; `open` to this machine's whole environment, or to `REACHES`.

        Nothing is started. Raises ConfigError for what is wrong with the file, BuilderError where there is no Docker
        Compose that is new enough.
        """

    def services(
        self,
        composed: Composed,
        files: Mapping[str, HostFile],
        *,
        image: LocalImage,
        platform: Platform,
        bounds: Bounds,
    ) -> AbstractContextManager[Services]:
        """Services to bring up; one that says nothing of its processes and memory has those of `bounds`, none may
        write more.

        In the end all is removed, volumes too, by the next run's `sweep` at the latest."""

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
    ) -> AbstractContextManager[HostSession]:
        """A pytest for these files, with the fixtures of `dsci.fixtures` and one more plugin: a module and its source.

        It leaves `../junit.xml`, and sees nothing of this machine's environment but `REACHES`, unless
        "host-environment" is in `allow`. Its containers have the processes and the memory of `bounds` where nothing
        else is said of them, write no more, and are gone in the end.
        """

    def cancel(self) -> None:
        """End what is going on; nothing begins any more."""


# ----------------------------------------------------------------------------------------------------------- machine


class Machine(Protocol):
    """This machine: what room it has."""

    def room(self, engine: EnginePlace) -> Room:
        """What is free now where builds write to and what memory is left to them, as far as it can be seen here."""


# --------------------------------------------------------------------------------------------------------------- git


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where the repository stands."""

    commit: str
    when: int
    branch: str | None
    default_branch: str | None = None
    """The remote's main branch, where the clone knows it."""
    root: str
    """The path of the work tree (or of the bare repository)."""
    origin: str | None
    """The URL of the remote, without credentials."""


class TagObject(msgspec.Struct, frozen=True, kw_only=True):
    """A deterministic annotated tag to be made: same fields, same object id."""

    name: str
    commit: str
    when: int
    message: str


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """How a claim ended: `won` all, or the names somebody else holds (with their object ids).

    A claim that was won has a `detail` only where its record could not be written.
    """

    won: bool
    taken: Mapping[str, str] = msgspec.field(default_factory=dict)
    detail: str = ""


class Git(Protocol):
    """The repository: read in a few passes, written only by a claim."""

    def head(self) -> Head:
        """Where HEAD is. Raises HistoryError: no repository, no commits, not trusted."""

    def is_shallow(self) -> bool:
        """Whether history is cut off."""

    def boundary(self) -> frozenset[str]:
        """The commits whose parents a shallow clone does not know; empty where history is whole."""

    def graph(self, tips: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Every commit that these can reach here and its parents, children first."""

    def tree(self, commit: str) -> Tree:
        """Every path of the commit's tree, files only."""

    def blob(self, oid: str) -> bytes:
        """A blob's content."""

    def contents(self, oids: Sequence[str]) -> tuple[bytes, ...]:
        """The contents of several blobs, in their order."""

    def dirty(self) -> Mapping[str, TreeEntry | None]:
        """Paths whose work tree differs from HEAD, untracked ones included; None for a deleted path.

        The object ids are those the content would have; nothing is written to the object store.
        """

    def hash_files(self, folder: str) -> Mapping[str, TreeEntry]:
        """Every file at or below a path of the work tree, whether Git knows it or not."""

    def worktree_blob(self, path: str) -> bytes:
        """The content of a dirty path (the target text for a link)."""

    def tags(self) -> tuple[Tag, ...]:
        """Every tag with the commit it names."""

    def branches(self) -> Mapping[str, str]:
        """Every branch, here and on the remote (`origin/main`), which is asked: name to commit.

        Raises HistoryError where the remote has commits that this clone lacks.
        """

    def fetch_branches(self) -> None:
        """Bring every branch of the remote."""

    def tag_refs(self) -> Mapping[str, str]:
        """All tags, whatever they name: name to object id, unpeeled. Raises HistoryError for one that is damaged."""

    def commits(self, since: Sequence[str]) -> tuple[Commit, ...]:
        """History from HEAD, newest first, without what every one of `since` can reach (all of it when empty)."""

    def log(self, since: Sequence[str]) -> Iterator[Commit]:
        """The same, commit by commit: Git has begun when this returns, and writes while they are read."""

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether one commit can reach the other."""

    def fork(self, name: str) -> str:
        """The newest commit that HEAD shares with a branch, tag or commit. Raises HistoryError where there is none."""

    def remote(self) -> str | None:
        """The name of the remote that claims are pushed to, or None."""

    def remote_tags(self) -> Mapping[str, str]:
        """The remote's tags: name to object id, unpeeled."""

    def ask_remote(self, seconds: float) -> Mapping[str, str]:
        """The same, if the remote answers within `seconds` and without a question to a person."""

    def ledger(self, *, fetch: bool = False) -> tuple[str | None, bool]:
        """The commit at which the ledger can be read here, or None, and whether the remote has a later one.

        Unless `fetch` brings it, the remote is taken at its last word on its tags.
        """

    def fetch_history(self) -> None:
        """Bring, into a shallow clone, the history that it was cut off from; no new tags."""

    def fetch_tags(self, names: Sequence[str]) -> None:
        """Bring these tags, and no others, from the remote."""

    def check_push(self, name: str) -> None:
        """Prove the right to push a tag, changing nothing. Raises HistoryError when the remote refuses."""

    def make_tag(self, tag: TagObject) -> str:
        """Write the tag object, without naming it; gives its id."""

    def claim(self, tags: Mapping[str, str], record: Mapping[str, bytes] | None = None) -> Claimed:
        """Create all these tags (name to object id) or none: on the remote if there is one, then here.

        `record` (path to content) is appended to the ledger's branch with them; it never decides who won.
        """


# ------------------------------------------------------------------------------------------------------------- forge


class ForgeRelease(msgspec.Struct, frozen=True, kw_only=True):
    """The page that a forge shows for a claimed version."""

    tag: str
    """The Git tag. It is pushed already: a page never makes one."""
    name: str
    notes: str
    """Markdown. What is longer than the forge takes is cut, and says so."""
    prerelease: bool
    latest: bool
    """Whether the forge may show this release as the newest one."""


class Forge(Protocol):
    """GitHub or GitLab: where people read about releases."""

    def publish(self, release: ForgeRelease) -> bool:
        """See to it that there is this one page for the tag: created, corrected or left as it is.

        Gives whether something was written. Raises AuthError when the token may not, ForgeError otherwise.
        """


# ----------------------------------------------------------------------------------------------------------- console


class Console(Protocol):
    """The story on stderr, told while it happens. Results go elsewhere."""

    def say(self, text: str) -> None:
        """A line of the story."""

    def warn(self, text: str) -> None:
        """Something the user should know, though work goes on."""

    def begin(self, subject: str, stage: str) -> None:
        """A target's stage begins."""

    def step(self, subject: str, text: str) -> None:
        """What a target is doing now."""

    def end(self, subject: str, stage: str, status: str, seconds: float, detail: str = "") -> None:
        """A target's stage ended."""
