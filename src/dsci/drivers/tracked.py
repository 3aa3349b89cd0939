"""Containers of the image under test as tests on this machine hold them: started, and removed in the end.

The names and arguments are those of docker-py and of the class of this name in jupyter/docker-stacks' own tests, so
that suites written for it need no other words; what goes beyond them waits with a deadline and keeps streams apart.
Containers are labelled as their session's, and asked for no more of the machine than is allowed.

Source: https://docker-py.readthedocs.io/en/stable/containers.html,
https://github.com/jupyter/docker-stacks/blob/main/tests/utils/tracked_container.py
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dsci.drivers import enginereach
from dsci.drivers.engineclient import quietly, talking
from dsci.drivers.enginecontainer import LOG_BYTES
from dsci.drivers.hostsession import Session
from dsci.drivers.running import LOOK, Running
from dsci.errors import BuilderError, ConfigError

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container as DockerContainer

#: Arguments of docker-py that reach the machine, and what has to be allowed for them.
_REACHING = {
    "cap_add": "capabilities",
    "cgroup_parent": "privileged",
    "device_cgroup_rules": "privileged",
    "devices": "privileged",
    "mounts": "bind-mounts",
    "oom_kill_disable": "privileged",
    "privileged": "privileged",
    "runtime": "privileged",
    "security_opt": "privileged",
    "volumes": "bind-mounts",
    "volumes_from": "bind-mounts",
}
#: The same where they share something of the machine's.
_SHARED = ("cgroupns", "ipc_mode", "network_mode", "pid_mode", "userns_mode", "uts_mode")


class TrackedContainer(Running):
    """The container of one test, made of the image under test when it is run; `options` are those of every run."""

    def __init__(self, client: docker.DockerClient, session: Session, host: str, **options: Any) -> None:
        super().__init__(host)
        self.client = client
        self._session = session
        self._options = options
        self._made: list[DockerContainer] = []

    @property
    def running(self) -> DockerContainer:
        """The container that was run last. Raises ConfigError before that."""
        if not self._made:
            raise ConfigError("the container was not started", hint="start it: container.run_detached()")
        return self._made[-1]

    def run_detached(self, **kwargs: Any) -> DockerContainer:
        """Start a container of the image with arguments of docker-py's `containers.run`, and leave it running.

        Ports without a number of their own (`{"8888/tcp": None}`, or a list of ports) get a free one. Raises
        ConfigError for what reaches the machine and is not allowed.
        """
        given = {**self._options, **kwargs}
        self._refuse(given)
        for name in ("detach", "remove", "auto_remove", "stream", "stdout", "stderr"):
            given.pop(name, None)
        if given.get("ports"):
            given["ports"] = _published(given["ports"], enginereach.bound(self._host))
        labels = given.pop("labels", None) or {}
        labels = dict.fromkeys(labels, "") if not isinstance(labels, Mapping) else labels
        if self._session.platform:
            given.setdefault("platform", self._session.platform)
        given.setdefault("pids_limit", self._session.processes or None)
        if self._session.memory and not given.get("mem_limit"):
            given |= {"mem_limit": self._session.memory, "memswap_limit": self._session.memory}
        given.setdefault("log_config", {"type": "json-file", "config": {"max-size": str(LOG_BYTES), "max-file": "2"}})
        with talking():
            made = self.client.containers.create(
                self._session.image, labels={**labels, **self._session.labels}, **given
            )
            self._made.append(made)
            made.start()
        return made

    def run_and_wait(
        self,
        timeout: float,
        no_warnings: bool = True,
        no_errors: bool = True,
        no_failure: bool = True,
        **kwargs: Any,
    ) -> str:
        """Run a container to its end, at most `timeout` seconds, and give what it printed.

        It has to print no line that begins with WARNING or ERROR, and to end with 0; or, where one of these is False,
        to do the opposite.
        """
        self.run_detached(**kwargs)
        looked_at, deadline = self._looked_at, time.monotonic() + timeout
        while (state := looked_at.state()).running:
            if time.monotonic() > deadline:
                looked_at.end()
                raise AssertionError(f"the container is still running after {timeout:g} s, so it was killed")
            time.sleep(LOOK)
        logs = self.get_logs()
        assert no_warnings == (not self.get_warnings(logs)), self.get_warnings(logs)
        assert no_errors == (not self.get_errors(logs)), self.get_errors(logs)
        assert no_failure == (state.exit_code == 0), f"the container ended with exit code {state.exit_code}"
        return logs

    def started(self) -> TrackedContainer:
        """Itself, started as the image says unless it is running. Raises AssertionError where it ends at once."""
        if not self._made:
            self.run_detached(tty=True, stdin_open=True)
            ended = "start one that goes on: container.run_detached(command=[…])"
            assert self._looked_at.state().running, f"the image's own command ended at once; {ended}"
        return self

    def remove(self) -> None:
        """Remove whatever was started here, with its anonymous volumes."""
        while self._made:
            made = self._made.pop()
            if not quietly(lambda made=made: made.remove(force=True, v=True)):
                raise BuilderError(f"the container {made.name} cannot be removed", hint="see the engine's log")

    def logs(self) -> dict[str, str]:
        """What each container printed so far."""
        told = {}
        for made in self._made:
            with talking():
                told[str(made.name)] = bytes(made.logs()).decode(errors="replace")
        return told

    def _refuse(self, given: Mapping[str, Any]) -> None:
        asked = {
            name: allowance for name, allowance in _REACHING.items() if given.get(name) and not _inside(name, given)
        }
        asked |= {name: "privileged" for name in _SHARED if _reaches(given.get(name))}
        refused = {name: allowance for name, allowance in asked.items() if allowance not in self._session.allow}
        if refused:
            raise ConfigError(
                f"{', '.join(sorted(refused))} would reach the engine's machine, and is not allowed",
                hint=self._session.allowing.format(", ".join(sorted(set(refused.values())))),
            )


def _inside(name: str, given: Mapping[str, Any]) -> bool:
    """Whether what is said stays in the container after all."""
    match name:
        case "mounts":
            return all(mount.get("Type") != "bind" for mount in given[name])
        case "security_opt":
            return all(str(each).startswith("no-new-privileges") for each in given[name])
    return False


def _reaches(mode: Any) -> bool:
    return bool(mode) and (str(mode) == "host" or str(mode).startswith("container:"))


def _published(ports: Mapping[Any, Any] | Iterable[Any], bound: str) -> dict[Any, Any]:
    """Ports as docker-py has them, published where nobody else on the network meets them."""
    if not isinstance(ports, Mapping):
        ports = dict.fromkeys(ports)
    return {
        port: (bound, number or 0) if not isinstance(number, tuple | list) else number for port, number in ports.items()
    }
