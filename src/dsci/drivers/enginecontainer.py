"""A container of the image under test: what it holds, and what a run of it says.

What comes out is bounded, in bytes and in seconds. How it was made and when it goes is `engine`'s to say.
"""

from __future__ import annotations

import contextlib
import math
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, cast

from msgspec.structs import replace

from dsci.drivers import asking, engineexec, enginereach
from dsci.drivers.engineclient import quietly, talking
from dsci.drivers.engineexec import CUT
from dsci.drivers.engineshell import Shell, ShellGoneError
from dsci.drivers.enginewatch import Watched
from dsci.errors import BuilderError
from dsci.model import limits
from dsci.model.bundle import Probe, Seen, without_values
from dsci.model.limits import Left
from dsci.model.text import clean
from dsci.ports import UNBOUNDED, Answer, FileEntry, Question, Ran, State
from dsci.streams import reader

if TYPE_CHECKING:
    from docker.models.containers import Container as DockerContainer

#: The engine keeps two files of this size: at least one is left of whatever was printed, however much it was.
LOG_BYTES = 8 * 1024 * 1024
#: What a line costs in such a file beside its text, and the most that goes into one line.
_LOG_LINE, _LOG_PIECE = 60, 16 * 1024
_LINK_LIMIT = 16
#: The exit code of what SIGKILL ended, and the seconds in which the engine hears that the kernel sent it.
_KILLED, _LATER = 137, 2.0
#: How much is kept of what a health check printed, in characters. The engine keeps 4096 bytes.
_SAID = 4096
_HEALTH: tuple[Literal["starting", "healthy", "unhealthy"], ...] = ("starting", "healthy", "unhealthy")
#: How the engine says that a path leads nowhere, other than by a 404.
_NOWHERE = ("not a directory", "too many links", "too many levels of", "cannot be empty", "file name too long")


class EngineContainer:
    """A container of the image under test. Implements `ports.Container`."""

    def __init__(
        self, container: DockerContainer, stopped: threading.Event, host: str, watched: Watched | None = None
    ) -> None:
        self._container = container
        self._stopped = stopped
        self._host = host
        self._watched = watched or Watched(UNBOUNDED)
        self._room = -1
        self._tried = False
        self._made: Shell | None = None
        self._starved = False
        """Whether it is known to have wanted for memory."""

    @property
    def id(self) -> str:
        """See `ports.Container`."""
        return str(self._container.id)

    def stat(self, path: str) -> FileEntry | None:
        """The first header of the path's tar stream; the rest is never read, however large the folder."""
        member = self._first(path)
        return _entry(member) if member is not None else None

    def everything(self) -> Iterator[tuple[str, FileEntry]]:
        """See `ports.Files`."""
        with talking(), contextlib.ExitStack() as closing:
            stream = cast("Iterator[bytes]", self._container.export())  # the stubs say that it gives texts
            chunks = closing.enter_context(reader(stream))
            archive = closing.enter_context(tarfile.open(fileobj=chunks, mode="r|"))
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would keep all that it has seen
                yield f"/{member.name.strip('/')}", _entry(member)

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

    def folders(self, path: str) -> tuple[str, ...] | None:
        """See `ports.Container`."""
        with self._archive(path) as (archive, _):
            if archive is None:
                return None
            names = [member.name.strip("/").split("/") for member in archive if member.isdir()]
        return tuple(parts[1] for parts in names if len(parts) == 2)

    @contextlib.contextmanager
    def _archive(self, path: str) -> Iterator[tuple[tarfile.TarFile | None, str]]:
        """The path's tar, and where a link leads in the end: the engine alone knows, folders may be links too."""
        from docker.errors import APIError, NotFound

        with talking(), contextlib.ExitStack() as closing:
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
        """See `ports.Container`. A container that cannot start says why."""
        import requests
        from docker.errors import APIError

        if unrun := self._unrun():
            return unrun
        left = self._watched.bounds.left()
        seconds = min(timeout, left.seconds)
        began = time.monotonic()
        code: int | None = None
        overdue = False
        with talking():
            try:
                self._container.start()
            except APIError as error:
                said = str(error.explanation or error)
                return Ran(exit_code=None, stdout=b"", stderr=b"", seconds=time.monotonic() - began, reason=said)
            if self._stopped.is_set():
                quietly(self._container.kill)
            waiting = time.monotonic()
            try:
                code = int(self._container.wait(timeout=seconds)["StatusCode"])
            except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError):
                if time.monotonic() - waiting < seconds:
                    raise
                overdue = True
                quietly(self._container.kill)
        took = time.monotonic() - began
        stdout, stderr, cut = self._printed(output_limit)
        ran = Ran(
            exit_code=code,
            stdout=stdout,
            stderr=stderr,
            seconds=took,
            reason=limits.overdue(seconds) if overdue else CUT if cut else "",
            limit="time" if overdue else "",
        )
        return self._bounded(ran, timeout, left)

    def _unrun(self) -> Ran | None:
        """What is said in place of running anything, where a bound was passed already."""
        bounds = self._watched.bounds
        left = bounds.left()
        if self._watched.limit:
            limit, reason = self._watched.limit, self._watched.reason
        elif left.seconds <= 0:
            limit, reason = "time", left.unbegun(bounds.raising)
        else:
            return None
        return Ran(exit_code=None, stdout=b"", stderr=b"", seconds=0.0, reason=reason, limit=limit)

    def _bounded(self, ran: Ran, timeout: float, left: Left) -> Ran:
        """What was run, with the bound that ended it, if one did. `left` is what was left when it began."""
        bounds, watched = self._watched.bounds, self._watched
        if watched.limit:
            return replace(ran, exit_code=None, reason=watched.reason, limit=watched.limit)
        if ran.limit == "time" and left.seconds <= timeout and left.budget:
            return replace(ran, reason=left.late(bounds.raising))
        if ran.exit_code and not self._starved and self._wanted_memory(killed=ran.exit_code == _KILLED):
            self._starved = True
            reason = "\n".join(filter(None, (limits.out_of_memory(bounds.memory, bounds.raising), ran.reason)))
            return replace(ran, reason=reason, limit="memory")
        return ran

    def _wanted_memory(self, *, killed: bool) -> bool:
        """Whether the kernel killed something in it for that; the engine may hear of it later than of the end."""
        deadline = time.monotonic() + (_LATER if killed else 0.0)
        while not (found := self.state().out_of_memory) and time.monotonic() < deadline:
            time.sleep(_LATER / 20)
        return found

    def _printed(self, limit: int) -> tuple[bytes, bytes, bool]:
        """The ends of what it printed, and whether anything is lost; hardly more than that is ever held."""
        logged = 0

        def counted() -> Iterator[tuple[bytes, bytes]]:
            nonlocal logged
            for pair in engineexec.logged(self._container):
                logged += sum(map(_logged, pair))
                yield pair

        with talking():
            stdout, stderr, cut = engineexec.kept(counted(), limit)
        return stdout, stderr, cut or logged > LOG_BYTES

    def start(self) -> str:
        """Start it and leave it; gives why it could not be started, or did not last, or ""."""
        from docker.errors import APIError

        if unrun := self._unrun():
            return unrun.reason
        with talking():
            try:
                self._container.start()
            except APIError as error:
                return str(error.explanation or error)
            if self._stopped.is_set():
                self.end()
            self._container.reload()
        if self._container.status != "running":
            return "it ended at once"
        self._room = engineexec.room(self._container)
        return ""

    def again(self) -> None:
        """End everything that runs in it, and start it anew: what is in its file system stays."""
        with talking():
            self._container.restart(timeout=0)
        if self._stopped.is_set():
            self.end()

    def execute(
        self, argv: Sequence[str], environment: Mapping[str, str], timeout: float, output_limit: int, *, user: str = ""
    ) -> Ran:
        """See `ports.Container`."""
        if unrun := self._unrun():
            return unrun
        left = self._watched.bounds.left()
        seconds = min(timeout, left.seconds)
        ran = engineexec.execute(self._container, argv, environment, seconds, output_limit, user=user)
        return self._bounded(ran, timeout, left)

    def quickly(self, argv: Sequence[str], environment: Mapping[str, str], timeout: float, output_limit: int) -> Ran:
        """See `ports.Container`."""
        if unrun := self._unrun():
            return unrun
        shell = self._shell()
        # What `env` would take for a variable, and what no argument can hold.
        if shell is None or "=" in argv[0] or any("\0" in word for word in (*argv, *environment.values())):
            return self.execute(argv, environment, timeout, output_limit)
        left = self._watched.bounds.left()
        ran = shell.run(argv, environment, min(timeout, left.seconds), output_limit)
        return self._bounded(ran, timeout, left)

    def _shell(self) -> Shell | None:
        """The shell that goes on in it, made when it is first wanted; None where it has none."""
        if not self._tried:
            self._tried = True
            with contextlib.suppress(ShellGoneError, BuilderError):
                self._made = Shell(self._container)
        return self._made

    def end(self) -> None:
        """Kill what runs in it."""
        if self._made is not None:
            self._made.close()
        quietly(self._container.kill)

    def stop(self, timeout: float) -> None:
        """See `ports.Container`."""
        with talking():
            self._container.stop(timeout=math.ceil(timeout))

    def state(self) -> State:
        """See `ports.Container`."""
        with talking():
            self._container.reload()
        told = self._container.attrs["State"]
        health = told.get("Health") or {}
        status = health.get("Status")
        return State(
            running=bool(told.get("Running")),
            exit_code=int(told["ExitCode"]) if told.get("Status") == "exited" else None,
            out_of_memory=bool(told.get("OOMKilled")),
            health=next((known for known in _HEALTH if known == status), ""),
            said=tuple(str(each.get("Output") or "") for each in health.get("Log") or ()),
            killed=self._watched.reason,
        )

    def first_process(self) -> str:
        """See `ports.Container`."""
        with talking():
            self._container.reload()
            if self._container.status != "running":
                return ""
            told = self._container.top(ps_args="-eo pid,args")
        first = str(self._container.attrs["State"]["Pid"])
        return next((" ".join(row[1:]) for row in told.get("Processes") or () if row[0] == first), "")

    def seen(self) -> Seen:
        """See `ports.Container`."""
        with talking():
            self._container.reload()
        told = self._container.attrs["State"]
        health = told.get("Health") or {}
        return Seen(
            out_of_memory=bool(told.get("OOMKilled")),
            health=next((known for known in _HEALTH if known == health.get("Status")), ""),
            probes=tuple(
                Probe(exit_code=int(each.get("ExitCode") or 0), output=clean(str(each.get("Output") or ""), _SAID))
                for each in health.get("Log") or ()
            ),
            inspect=without_values(self._container.attrs),
        )

    def logs(self, limit: int) -> tuple[bytes, bytes]:
        """See `ports.Container`."""
        return self._printed(limit)[:2]

    def address(self, port: int) -> tuple[str, int] | None:
        """See `ports.Container`."""
        with talking():
            self._container.reload()
        return enginereach.address(self._container.attrs.get("NetworkSettings") or {}, port, self._host)

    def ask(self, question: Question, timeout: float, limit: int) -> Answer | str:
        """See `ports.Container`."""
        address = self.address(question.port)
        if address is None:
            return f"nothing can be reached at port {question.port}"
        return asking.ask(question, address, timeout, limit)

    def settled(self) -> bool:
        """See `ports.Container`."""
        alone = engineexec.processes(self._container) == 1 if self._made is None else self._made.quiet
        return alone and engineexec.room(self._container) == self._room

    def untouched(self) -> bool:
        """See `ports.Container`."""
        if self._made is not None:
            self._made.close()
        return engineexec.alone(self._container) and engineexec.untouched(self._container)

    def copy_out(self, path: str) -> bytes | None:
        """A file's content after the run, up to 64 MiB."""
        return self.read(path, 64 * 1024 * 1024)


def _entry(member: tarfile.TarInfo) -> FileEntry:
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


def _logged(output: bytes) -> int:
    """About what this output took in the engine's log."""
    return len(output) + _LOG_LINE * (output.count(b"\n") + len(output) // _LOG_PIECE)
