"""A real registry for the drivers' tests: Debian's docker-registry on a loopback port, ended by its own pid."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from faultlab import Lab, laboratory

_NUMBERS = itertools.count(1)

CONFIG = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {storage}}}
  delete: {{enabled: true}}
  cache: {{blobdescriptor: inmemory}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@pytest.fixture(scope="session")
def docker_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`127.0.0.1:PORT` of a fresh, empty registry. It is required: without it most of what we promise is untested."""
    program = os.environ.get("DSCI_TEST_REGISTRY_BIN") or shutil.which("docker-registry")
    if not program:
        pytest.fail("docker-registry is not on PATH: run the tests with scripts/test, which installs it")
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "config.yml"
    config.write_text(CONFIG.format(storage=folder / "storage", port=port))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _wait(process, port, folder / "log")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(200):
        try:
            with opener.open(f"http://127.0.0.1:{port}/v2/", timeout=1):
                return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    pytest.fail(f"docker-registry did not start: {log.read_text()[-2000:]}")


@pytest.fixture
def lab(docker_registry: str, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A repository that no other test uses, behind a proxy that makes trouble."""
    with laboratory(docker_registry, next(_NUMBERS), **getattr(request, "param", {})) as made:
        yield made
