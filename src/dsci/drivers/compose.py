"""Docker Compose: it reads a compose file, and runs the services of one that was made for a run.

The docker command is asked for what only Docker Compose knows; a service's container is the engine's and is looked at
as any other. What a compose file may say is not known here.

Source: https://docs.docker.com/reference/cli/docker/compose/
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsci.drivers import enginereach, process
from dsci.drivers.engineclient import connect, lost, talking
from dsci.drivers.enginecontainer import EngineContainer
from dsci.drivers.process import Begun
from dsci.errors import BuilderError, ConfigError
from dsci.ports import REACHES

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container as DockerContainer

#: The oldest Docker Compose that was seen to do what is asked of it here; files within a volume are what is newest.
OLDEST = (2, 26)
_INSTALL = f"install the Docker Compose plugin {OLDEST[0]}.{OLDEST[1]} or newer (docker-compose-plugin)"
#: Seconds for what starts nothing, and for what ends things.
_QUICK, _ENDING = 60, 120
#: How much of what Docker Compose says is kept, in bytes, and the seconds that it may take beyond what it was given.
_SAID, _GRACE = 4000, 15
_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_NUMBER = "com.docker.compose.container-number"


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What of an environment the docker command needs."""
    return {name: value for name, value in given.items() if name in REACHES}


def check(given: Mapping[str, str]) -> None:
    """Raises BuilderError where there is no Docker Compose that is new enough."""
    argv = ["docker", "compose", "version", "--short"]
    ended = process.run(argv, timeout=_QUICK, env=environment(given), hint=_INSTALL)
    said = ended.stdout.decode(errors="replace").strip()
    numbers = re.match(r"v?([0-9]{1,4})\.([0-9]{1,4})", said)
    if ended.returncode or numbers is None:
        raise BuilderError("the docker command has no Docker Compose, which runs service suites", hint=_INSTALL)
    if (int(numbers[1]), int(numbers[2])) < OLDEST:
        raise BuilderError(f"Docker Compose is {said}, which is too old for service suites", hint=_INSTALL)


def model(file: Path, variables: Mapping[str, str], given: Mapping[str, str]) -> dict[str, Any]:
    """What Docker Compose makes of a file. Raises ConfigError with what it says where it makes nothing of it."""
    argv = ["docker", "compose", "--file", str(file), "config", "--format", "json"]
    ended = process.run(argv, timeout=_QUICK, env={**given, **variables}, cwd=file.parent)
    if ended.returncode:
        said = ended.stderr.decode(errors="replace").strip()[-2000:]
        raise ConfigError(f"Docker Compose does not take it: {said}", hint="see `docker compose config`")
    return dict(json.loads(ended.stdout))


class ComposeServices:
    """The services of a compose file that names its project. Implements `ports.Services`."""

    def __init__(
        self,
        file: Path,
        given: Mapping[str, str],
        *,
        going: Callable[[Begun], contextlib.AbstractContextManager[None]] = lambda begun: contextlib.nullcontext(),
        stopped: threading.Event | None = None,
        killed: Sequence[str] = (),
    ) -> None:
        """`given` is this machine's environment. `going` holds what is waited for, so that it can be ended.

        `killed` grows with what is said of containers that took too much.
        """
        self.file = str(file)
        self.project = str(json.loads(file.read_bytes())["name"])
        self._environment = given
        self._going = going
        self._stopped = stopped or threading.Event()
        self._killed = killed
        self._connected: docker.DockerClient | None = None

    def up(self, timeout: float) -> str:
        """See `ports.Services`."""
        seconds = max(1, math.ceil(timeout))
        how = ["--detach", "--wait", "--wait-timeout", str(seconds), "--no-build", "--quiet-pull"]
        begun = process.begin(self._argv("up", *how), env=environment(self._environment), hint=_INSTALL)
        with self._going(begun):
            # What is not up in time may still be about to be fetched: Docker Compose's own clock begins after that.
            code, output, said = begun.tail(_SAID, timeout=timeout + _GRACE)
        text = (output + said).decode(errors="replace").strip()
        if code == 0:
            return ""
        if code is None:
            return f"not up after {timeout:.0f} s\n{text}".strip()
        if lost(text):
            raise BuilderError(f"the services cannot be started: {text}", temporary=True)
        return text or f"docker compose up ended with exit code {code}"

    def down(self, *, volumes: bool = False, grace: int = 10) -> str:
        """Remove containers and networks, with `volumes` these too; gives why that did not go well, or "".

        `grace` is the seconds that a container may take to stop by itself.
        """
        how = ["--remove-orphans", "--timeout", str(grace), *(["--volumes"] if volumes else [])]
        try:
            ended = process.run(
                self._argv("down", *how), timeout=_ENDING + grace, env=environment(self._environment), hint=_INSTALL
            )
        except BuilderError as error:
            return error.message
        return "" if ended.returncode == 0 else ended.stderr.decode(errors="replace").strip()[-_SAID:]

    def names(self) -> tuple[str, ...]:
        """See `ports.Services`."""
        return tuple(sorted({str(container.labels.get(_SERVICE)) for container in self._containers()}))

    def killed(self) -> tuple[str, ...]:
        """See `ports.Services`."""
        return tuple(self._killed)

    def service(self, name: str) -> EngineContainer:
        """See `ports.Services`."""
        return EngineContainer(self.container(name), self._stopped, enginereach.machine(self._environment))

    def container(self, name: str) -> DockerContainer:
        """The same, as the engine's client has it. Raises ConfigError."""
        found = self._containers(name)
        if not found:
            there = ", ".join(self.names()) or "none"
            raise ConfigError(f"the service {name} has no container", hint=f"services that have one: {there}")
        return min(found, key=lambda container: int(container.labels.get(_NUMBER) or 0))

    def _containers(self, name: str = "") -> list[DockerContainer]:
        if self._connected is None:
            self._connected, _ = connect(self._environment)
        labels = [f"{_PROJECT}={self.project}", *([f"{_SERVICE}={name}"] if name else [])]
        with talking():
            return list(self._connected.containers.list(all=True, filters={"label": labels}, ignore_removed=True))

    def _argv(self, *command: str) -> list[str]:
        return ["docker", "compose", "--progress", "quiet", "--ansi", "never", "--file", self.file, *command]
