"""A container as tests on this machine ask it: commands in it, its log, its ports; everything waits with a deadline.

What it is a container of, and who removes it, is not known here.
"""

from __future__ import annotations

import re
import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dsci.drivers import engineexec
from dsci.drivers.engineclient import talking
from dsci.drivers.enginecontainer import EngineContainer

if TYPE_CHECKING:
    from docker.models.containers import Container as DockerContainer

#: How long is waited where nothing is said, in seconds, and how long between two looks.
PATIENCE, LOOK = 60.0, 0.2
#: The most that is kept of each stream of a command, in bytes.
_OUTPUT = 1 << 20


class Result(NamedTuple):
    """What a command in a container came to."""

    exit_code: int | None
    """None where it was not started, or was killed for its time."""
    stdout: str
    stderr: str
    reason: str = ""
    """Why there is no exit code."""


class Running:
    """A container that tests ask something of. Everything that waits raises AssertionError when its time is over."""

    def __init__(self, host: str) -> None:
        self._host = host

    @property
    def running(self) -> DockerContainer:
        """The container itself, as docker-py has it."""
        raise NotImplementedError

    @property
    def _looked_at(self) -> EngineContainer:
        return EngineContainer(self.running, threading.Event(), self._host)

    def exec(
        self,
        command: str | Sequence[str],
        *,
        user: str = "",
        workdir: str = "",
        environment: Mapping[str, str] | None = None,
        timeout: float = PATIENCE,
    ) -> Result:
        """Run a command in it, at most `timeout` seconds; then the whole container is killed.

        Text is split into words as a shell does; no shell runs it.
        """
        argv = shlex.split(command) if isinstance(command, str) else list(command)
        ran = engineexec.execute(
            self.running, argv, environment or {}, timeout, _OUTPUT, user=user, workdir=workdir or None
        )
        stdout, stderr = ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace")
        return Result(ran.exit_code, stdout, stderr, ran.reason)

    def exec_cmd(self, cmd: str, print_output: bool = True, **kwargs: Any) -> str:
        """Run a command that has to succeed; gives what it printed, both streams, without white space at its end."""
        result = self.exec(cmd, **kwargs)
        output = (result.stdout + result.stderr).rstrip()
        if print_output:
            print(output)  # noqa: T201  (pytest shows it with the test that fails)
        assert result.exit_code == 0, f"{cmd!r} ended with {result.exit_code}: {result.reason or output}"
        return output

    def get_logs(self) -> str:
        """What it printed so far, both streams in one, as far as the engine keeps it."""
        with talking():
            return bytes(self.running.logs()).decode(errors="replace")

    def health(self) -> str:
        """What its health check says: starting, healthy, unhealthy; "" where it has none."""
        return self._looked_at.state().health

    def url(self, port: int, path: str = "/", *, scheme: str = "http", timeout: float = PATIENCE) -> str:
        """The address of one of its ports as it is reached from here, once something listens there."""
        place = self._wait(lambda: self._looked_at.address(port), f"something listens at port {port}", timeout)
        host = f"[{place[0]}]" if ":" in place[0] else place[0]
        return f"{scheme}://{host}:{place[1]}/{path.lstrip('/')}"

    def wait_for(self, *, log: str = "", port: int = 0, healthy: bool = False, timeout: float = PATIENCE) -> None:
        """Wait until its log has a line that matches a regular expression, a port is open, its health check is good."""
        deadline = time.monotonic() + timeout
        if log:
            self._wait(lambda: re.search(log, self.get_logs(), re.MULTILINE), f"its log has {log!r}", timeout)
        if port:
            self.url(port, timeout=deadline - time.monotonic())
        if healthy:
            self._wait(lambda: self.health() == "healthy", "it is healthy", deadline - time.monotonic())

    def _wait(self, look: Callable[[], Any], what: str, timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        while True:
            ended = not self._looked_at.state().running
            if found := look():
                return found
            assert not ended, f"the container ended before {what}"
            assert time.monotonic() < deadline, f"{timeout:.0f} s passed before {what}"
            time.sleep(LOOK)

    @staticmethod
    def get_errors(logs: str) -> list[str]:
        """The lines that begin with ERROR."""
        return _beginning(logs, "ERROR")

    @staticmethod
    def get_warnings(logs: str) -> list[str]:
        """The lines that begin with WARNING."""
        return _beginning(logs, "WARNING")


def _beginning(logs: str, word: str) -> list[str]:
    return [line for line in logs.splitlines() if line.startswith(word)]
