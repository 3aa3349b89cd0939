"""The services of a compose file as tests on this machine hold them: asked as any container, stopped and started.

How they are brought up at first, and that they go in the end, is `hostside`'s to see to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsci.drivers.compose import ComposeServices
from dsci.drivers.running import PATIENCE, Running

if TYPE_CHECKING:
    from docker.models.containers import Container as DockerContainer


class Service(Running):
    """A service of a compose file, whatever container it has just now."""

    def __init__(self, services: ComposeServices, name: str, host: str) -> None:
        super().__init__(host)
        self._services = services
        self.name = name

    @property
    def running(self) -> DockerContainer:
        """Its container. Raises ConfigError where it has none."""
        return self._services.container(self.name)

    def stop(self, timeout: float = 10) -> None:
        """Ask it to stop, by the signal that it names, and kill it `timeout` seconds later."""
        self._looked_at.stop(timeout)

    def start(self) -> None:
        """Start it again. Raises AssertionError where it does not go on."""
        why = self._looked_at.start()
        assert not why, f"{self.name}: {why}"

    def restart(self, timeout: float = 10) -> None:
        """Stop it and start it again: what is in its volumes, and in its file system, stays."""
        self.stop(timeout)
        self.start()

    def kill(self) -> None:
        """Kill it, as a failing machine would."""
        self._looked_at.end()


class Compose:
    """The services that a suite is about, all together."""

    def __init__(self, services: ComposeServices, host: str) -> None:
        self._services = services
        self._host = host

    def service(self, name: str) -> Service:
        """One of them."""
        return Service(self._services, name, self._host)

    def up(self, timeout: float = PATIENCE) -> None:
        """Create and start what does not run, and wait until it is healthy. Raises AssertionError where it is not."""
        why = self._services.up(timeout)
        assert not why, why

    def down(self) -> None:
        """Stop and remove all containers; volumes stay."""
        why = self._services.down()
        assert not why, why

    def logs(self) -> dict[str, str]:
        """What each of them printed so far, by their names."""
        return {name: self.service(name).get_logs() for name in self._services.names()}
