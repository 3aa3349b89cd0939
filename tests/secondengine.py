"""A second Docker Engine, as if on another host: in a network namespace of its own, ended with everything it made.

Two engines in one namespace fight over docker0, so this one lives behind a veth pair. It sees Docker Hub through a
small relay to the hub that the tests use. Root on Linux is needed, as for any engine.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import serving

_COUNT = iter(range(1, 60))
#: Several runs of the tests may have engines at the same time: each engine has a small network of its own.
_NETWORK = f"10.{64 + os.getpid() // 251 % 128}.{os.getpid() % 251}"


class Endpoint(str):
    """A DOCKER_HOST; `gateway` is this machine's address as the engine sees it.

    `remote` is the same engine as machines elsewhere reach it, if it is to be reached so.
    """

    gateway: str
    remote: str


class _Relay(socketserver.BaseRequestHandler):
    target: tuple[str, int]

    def handle(self) -> None:
        """Copy bytes both ways until one side is done."""
        with socket.create_connection(self.target, timeout=60) as there:
            back = threading.Thread(target=self._copy, args=(there, self.request), daemon=True)
            back.start()
            self._copy(self.request, there)
            back.join(60)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relay(address: str, target: str) -> Iterator[str]:
    """Listen on an address and pass everything to `target`; gives host:port."""
    host, _, port = target.rpartition(":")
    handler = type("Handler", (_Relay,), {"target": (host, int(port))})
    server = socketserver.ThreadingTCPServer((address, 0), handler)
    server.daemon_threads = True
    with serving(server):
        yield f"{address}:{server.server_address[1]}"


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


def _rule(what: str, table: str, chain: str, *match: str) -> None:
    subprocess.run(["iptables", "-t", table, what, chain, *match], check=True, capture_output=True)


@contextlib.contextmanager
def second_engine(
    hub: str, *, containerd_store: bool, programs: Path | None = None, online: bool = False, remote: bool = False
) -> Iterator[Endpoint]:
    """The DOCKER_HOST of a fresh engine with the wanted image store, whose Docker Hub is `hub`.

    It finds the programs of a folder before all others; with `online` its builds reach what this machine reaches, with
    `remote` it listens in its network too. Who is not root skips the test.
    """
    if os.geteuid() != 0:
        pytest.skip("a second engine needs root")
    number = next(_COUNT)
    name = f"dsci{os.getpid() % 10000}n{number}"
    here, there = f"{_NETWORK}.{4 * number + 1}", f"{_NETWORK}.{4 * number + 2}"
    folder = Path(tempfile.mkdtemp(prefix="dsci2-", dir="/tmp"))
    with contextlib.ExitStack() as closing:
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        _ip("netns", "add", name)
        closing.callback(_ip, "netns", "delete", name, check=False)
        _ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        closing.callback(_ip, "link", "delete", f"{name}a", check=False)
        _ip("address", "add", f"{here}/30", "dev", f"{name}a")
        _ip("link", "set", f"{name}a", "up")
        _ip("-n", name, "address", "add", f"{there}/30", "dev", f"{name}b")
        for link in (f"{name}b", "lo"):
            _ip("-n", name, "link", "set", link, "up")
        if online:
            _ip("-n", name, "route", "add", "default", "via", here)
            for rule in (
                ("nat", "POSTROUTING", "-s", f"{there}/32", "-j", "MASQUERADE"),
                ("filter", "FORWARD", "-i", f"{name}a", "-j", "ACCEPT"),
                ("filter", "FORWARD", "-o", f"{name}a", "-j", "ACCEPT"),
            ):
                _rule("-I", *rule)
                closing.callback(_rule, "-D", *rule)
        mirror = closing.enter_context(relay(here, hub))
        config = {
            "features": {"containerd-snapshotter": containerd_store},
            "registry-mirrors": [f"http://{mirror}"],
            "insecure-registries": [mirror, f"{here}/32"],
            "shutdown-timeout": 5,
        }
        (folder / "daemon.json").write_text(json.dumps(config))
        endpoint = Endpoint(f"unix://{folder}/docker.sock")
        endpoint.gateway, endpoint.remote = here, f"tcp://{there}:2375"
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen(
                [
                    "nsenter",
                    f"--net=/run/netns/{name}",
                    "dockerd",
                    f"--config-file={folder}/daemon.json",
                    f"--data-root={folder}/data",
                    f"--exec-root={folder}/exec",
                    f"--pidfile={folder}/pid",
                    f"--host={endpoint}",
                    *([f"--host={endpoint.remote}", "--tls=false"] if remote else []),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"} if programs else None,
            )
        closing.callback(_end, daemon, folder)
        environment = {**os.environ, "DOCKER_HOST": endpoint}
        for _ in range(300):
            asked = subprocess.run(["docker", "info"], capture_output=True, env=environment, check=False)
            if asked.returncode == 0:
                break
            assert daemon.poll() is None, (folder / "log").read_text()[-3000:]
            time.sleep(0.1)
        else:
            raise AssertionError((folder / "log").read_text()[-3000:])
        yield endpoint


def _end(daemon: subprocess.Popen[bytes], folder: Path) -> None:
    daemon.terminate()
    try:
        daemon.wait(30)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        mount = line.split()[1]
        if mount.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
