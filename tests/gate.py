"""A gate before a registry and a Git remote: every write to either asks a judge before it acts, and after it.

Writes are POST, PATCH, PUT and DELETE requests (of dsci, and of an engine that pushes for it) and `git push`. A judge
may hold a write, kill whoever made it, or look at the world meanwhile. Nothing is streamed, and no fault is made up
here: that is what `faultyproxy` is for.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.serving import body_of, serving

WRITES = ("POST", "PATCH", "PUT", "DELETE")
_HOOK = """\
#!{python} -IS
import os, socket, sys
refs = [line.split()[2] for line in sys.stdin]
with socket.socket(socket.AF_UNIX) as gate:
    gate.connect({place!r})
    gate.sendall((" ".join([{name!r}, str(os.getppid()), *refs]) + "\\n").encode())
    sys.exit(not gate.recv(1))
"""


@dataclass(frozen=True)
class Write:
    """A write to the registry or to the Git remote."""

    what: str
    """`PUT /v2/acme/ml/manifests/1.0`, or `push refs/tags/ml-v1.0.0 …`."""
    run: int | None
    """The process that makes it, where that is one of the gate's `runs`."""

    @property
    def name(self) -> str:
        """The last part of what is written: a tag, a digest."""
        return self.what.partition("?")[0].rpartition("/")[2]

    @property
    def public(self) -> bool:
        """Whether it writes a name that people use."""
        return "/manifests/" in self.what and not self.name.startswith(("dsci-", "sha256:"))


class Gate:
    """Passes on what is asked of it; `judge` is told of each write before it acts and after it."""

    def __init__(self, target: str, remote: Path | None, place: Path) -> None:
        """`target` is the registry's address, `remote` the bare repository, `place` a new folder of the gate's own."""
        self.target = target
        self.runs: set[int] = set()
        self.seen: list[Write] = []
        self.judge: Callable[[Write, bool], None] = lambda write, acted: None
        self._lock = threading.Lock()
        self._taken: set[int] = set()
        self.passing = 0
        """How many requests are on their way now."""
        handler = type("Handler", (_Handler,), {"gate": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who is killed hangs up
        self.address = f"127.0.0.1:{self._server.server_port}"
        place.mkdir(parents=True, exist_ok=True)
        self._place = place / "gate"
        self._hooks = socket.socket(socket.AF_UNIX)
        self._hooks.bind(str(self._place))
        self._hooks.listen(16)
        if remote is not None:
            self.watch(remote)

    def watch(self, remote: Path) -> None:
        """Let pushes to this bare repository ask too."""
        for name in ("pre-receive", "post-receive"):
            hook = remote / "hooks" / name
            hook.parent.mkdir(exist_ok=True)
            hook.write_text(_HOOK.format(python=sys.executable, place=str(self._place), name=name))
            hook.chmod(0o755)

    @contextlib.contextmanager
    def serving(self) -> Iterator[Gate]:
        """Pass on for as long as it is wanted."""
        threading.Thread(target=self._listen, daemon=True).start()
        with serving(self._server):
            try:
                yield self
            finally:
                self._hooks.close()
                self._place.unlink()

    def open(self) -> None:
        """From here on nobody is judged, and counting begins anew."""
        self.judge = lambda write, acted: None
        self.seen.clear()
        self.runs.clear()

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """A request is on its way."""
        with self._lock:
            self.passing += 1
        try:
            yield
        finally:
            with self._lock:
                self.passing -= 1

    def rest(self) -> None:
        """Wait until nothing is on its way: whoever was killed may have had more than one write there."""
        for _ in range(500):
            if not self.passing:
                return
            time.sleep(0.02)
        raise AssertionError(f"{self.passing} requests do not end")

    def kill_at(
        self, count: int, *, acted: bool, kill: int = signal.SIGKILL, only: str = "", whole: bool = False
    ) -> None:
        """Kill all runs that are known at the `count`th write that has `only` in its name, before or after it acts.

        With `whole` its name ends so.
        """
        met = [0]

        def judge(write: Write, after: bool) -> None:
            with self._lock:
                named = write.what.endswith(only) if whole else only in write.what
                met[0] += named and after == acted
                if met[0] != count:
                    return
                met[0] += 1  # once
            for run in tuple(self.runs):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(run, kill) if kill == signal.SIGKILL else os.kill(run, kill)
            if kill == signal.SIGKILL:
                raise ConnectionAbortedError

        self.judge = judge

    def ask(self, write: Write, *, acted: bool) -> None:
        """Ask the judge, who raises ConnectionAbortedError where whoever writes gets no answer."""
        if not acted:
            with self._lock:
                self.seen.append(write)
        self.judge(write, acted)

    def _listen(self) -> None:
        while True:
            try:
                hook = self._hooks.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._push, args=(hook,), daemon=True).start()

    def _push(self, hook: socket.socket) -> None:
        with hook, contextlib.suppress(ConnectionAbortedError, BrokenPipeError, ConnectionResetError):
            name, process, *refs = hook.makefile().readline().split()
            receiver = int(process)
            write = Write(f"push {' '.join(refs)}", begun_by(receiver, self.runs))
            if name == "post-receive":
                self._taken.add(receiver)
                self.ask(write, acted=True)
                hook.sendall(b"\n")
                return
            self.ask(write, acted=False)
            hook.sendall(b"\n")
            while _lives(receiver):
                time.sleep(0.01)
            if receiver not in self._taken:  # who was faster has the names: there is no hook for what is refused
                self.ask(write, acted=True)


class _Handler(BaseHTTPRequestHandler):
    gate: Gate
    protocol_version = "HTTP/1.1"
    #: A client that tries TLS first must see that this is HTTP.
    default_request_version = "HTTP/1.1"

    def handle_one(self) -> None:
        body = body_of(self)
        with self.gate.counting():
            self._judged(body)

    def _judged(self, body: bytes | None) -> None:
        write = Write(f"{self.command} {self.path}", owner(self.client_address[1], self.gate.runs))
        writes = self.command in WRITES
        try:
            if writes:
                self.gate.ask(write, acted=False)
            status, headers, content = self._pass_on(body)
            if writes:
                self.gate.ask(write, acted=True)
        except ConnectionAbortedError:
            self.close_connection = True
            return
        self.send_response(status)
        for name, text in headers:
            self.send_header(name, text)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_one

    def _pass_on(self, body: bytes | None) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.gate.target, timeout=60)
        dropped = ("transfer-encoding", "content-length", "host", "connection")
        headers = {name: text for name, text in self.headers.items() if name.lower() not in dropped}
        headers["Host"] = self.gate.address
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        kept = [pair for pair in answer.getheaders() if pair[0].lower() not in ("transfer-encoding", "connection")]
        return answer.status, kept, content

    def log_message(self, *_: object) -> None:
        pass


def owner(port: int, runs: set[int]) -> int | None:
    """The run whose process holds the local end of a connection from this port; each run is its process's own group."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            wanted = f"socket:[{fields[9]}]"
            for run in tuple(runs):
                with contextlib.suppress(OSError):
                    for each in Path(f"/proc/{run}/fd").iterdir():
                        with contextlib.suppress(OSError):
                            if str(each.readlink()) == wanted:
                                return run
    return None


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def begun_by(process: int, runs: set[int]) -> int | None:
    """The run that a process descends from."""
    while process > 1:
        if process in runs:
            return process
        try:
            process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return None
    return None


class Kept:
    """Folders as they were at one moment, to be had again."""

    def __init__(self, place: Path, *folders: Path) -> None:
        self._pairs = [(folder, place / str(number)) for number, folder in enumerate(folders)]
        for folder, copy in self._pairs:
            shutil.copytree(folder, copy, symlinks=True)

    def restore(self) -> None:
        """Have them again."""
        for folder, copy in self._pairs:
            shutil.rmtree(folder)
            shutil.copytree(copy, folder, symlinks=True)


def claimed(message: str) -> list[str]:
    """The digests that a version tag's message claims."""
    return [line.partition(": ")[2] for line in message.splitlines() if line.startswith("Dsci-Digest: ")]
