"""What containers take while they run, looked at from outside, and the end of those that take too much.

The engine itself keeps a container to its processes and its memory. It bounds no disk, a container that has as many
processes as it may goes on failing at whatever it does, and nobody may be waiting when its time is over. So the
containers of a run are looked at about once a second, whoever waits for them; one that passed a bound is killed, which
no signal handler hinders. Looking never takes more than a quarter of the time.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dsci.drivers.engineclient import quietly, talking
from dsci.errors import BuilderError
from dsci.model import limits
from dsci.ports import Bounds, Limit

if TYPE_CHECKING:
    import docker

#: Seconds between two looks, and how many times as long as one look nobody looks.
PAUSE, _REST = 1.0, 3
#: What of its processes is nearly all of them, how often they are counted then, and the seconds in between.
_NEARLY, _GLANCES, _BLINK = 0.8, 5, 0.05


class Watched:
    """A container and its bounds, and which of them it passed."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.limit: Limit = ""
        self.reason = ""


class Watch:
    """The containers of a run that are looked at. Safe for threads; one of its own goes on while there are any."""

    def __init__(self, client: Callable[[], docker.DockerClient], label: str, others: Bounds | None = None) -> None:
        """`label` is what all of them carry; `others` are the bounds of those that somebody else began, if any."""
        self._client = client
        self._label = label
        self._changed = threading.Condition()
        self._watched: dict[str, Watched] = {}
        self._others = others
        self._told: list[str] = []
        self._going: threading.Thread | None = None

    def begin(self, container: str, bounds: Bounds) -> Watched:
        """Look at a container from now on, by its id, while it runs."""
        watched = Watched(bounds)
        with self._changed:
            self._watched[container] = watched
            self._go()
        return watched

    @contextlib.contextmanager
    def looking(self) -> Iterator[Sequence[str]]:
        """Look at whatever others begin; gives what each is called that was killed, and why, as it happens."""
        told: list[str] = []
        with self._changed:
            self._told = told
            self._go()
        try:
            yield told
        finally:
            with self._changed:
                self._others = None
                self._watched.clear()
                self._changed.notify_all()

    def _go(self) -> None:
        if self._going is None:
            self._going = threading.Thread(target=self._work, name="watch", daemon=True)
            self._going.start()

    def end(self, container: str) -> None:
        """Look at it no more."""
        with self._changed:
            self._watched.pop(container, None)
            self._changed.notify_all()

    def _work(self) -> None:
        pause = PAUSE
        while self._waited(pause):
            began = time.monotonic()
            # An engine that does not answer is told by whoever waits for the container; the next look may find it.
            with contextlib.suppress(BuilderError):
                self._look()
            pause = max(PAUSE, _REST * (time.monotonic() - began))

    def _waited(self, pause: float) -> bool:
        """Wait that long; where nothing is left to look at, this thread is over."""
        due = time.monotonic() + pause
        with self._changed:
            while (self._watched or self._others) and (left := due - time.monotonic()) > 0:
                self._changed.wait(left)
            goes_on = bool(self._watched or self._others)
            if not goes_on:
                self._going = None
            return goes_on

    def _look(self) -> None:
        client = self._client().api
        with talking():
            running = client.containers(size=True, filters={"label": self._label})
        with self._changed:
            if self._others is not None:
                for each in running:
                    self._watched.setdefault(each["Id"], Watched(self._others))
            found = [(each, self._watched[each["Id"]]) for each in running if each["Id"] in self._watched]
        for each, watched in found:
            self._judge(client, each, watched, int(each.get("SizeRw") or 0))
        apart = [(each, watched) for each, watched in found if watched.bounds.disk and any(_volumes(each))]
        sizes = _sizes(client) if apart else {}
        for each, watched in apart:
            more = sum(sizes.get(name, 0) for name in _volumes(each))
            self._judge(client, each, watched, int(each.get("SizeRw") or 0) + more)

    def _judge(self, client: docker.APIClient, container: Mapping[str, Any], watched: Watched, wrote: int) -> None:
        """Kill a container that passed one of its bounds, again if it runs still."""
        name = str(container["Id"])
        if not watched.limit:
            watched.limit, watched.reason = _passed(client, name, watched.bounds, wrote)
            if watched.limit:
                self._told.append(f"{container['Names'][0].lstrip('/')}: {watched.reason}")
        if watched.limit:
            quietly(lambda: client.kill(name))


def _passed(client: docker.APIClient, container: str, bounds: Bounds, wrote: int) -> tuple[Limit, str]:
    """Which bound a container passed that wrote so many bytes, and what is said of it."""
    if 0 < bounds.disk < wrote:
        return "disk", limits.too_much_disk(bounds.disk, bounds.raising)
    if (left := bounds.left()).seconds <= 0:
        return "time", left.late(bounds.raising)
    if bounds.processes and _has_all(client, container, bounds.processes):
        return "processes", limits.too_many_processes(bounds.processes, bounds.raising)
    return "", ""


def _has_all(client: docker.APIClient, container: str, allowed: int) -> bool:
    """Whether a container has as many processes as it may. Where it has nearly that many, some come and go."""
    for _ in range(_GLANCES):
        found = processes(client, container)
        if found >= allowed:
            return True
        if found < allowed * _NEARLY:
            return False
        time.sleep(_BLINK)
    return False


def _volumes(container: Mapping[str, Any]) -> Iterable[str]:
    """The names of a container's volumes."""
    return (mount["Name"] for mount in container.get("Mounts") or () if mount.get("Type") == "volume")


def _sizes(client: Any) -> Mapping[str, int]:
    """The bytes that each volume of the engine takes, by name; the engine tells them all or none.

    Source: https://docs.docker.com/reference/api/engine/version/v1.45/#tag/System/operation/SystemDataUsage
    """
    with talking():
        answer = client.get(client._url("/system/df"), params={"type": "volume"})  # docker-py's df asks for everything
        answer.raise_for_status()
    return {
        str(volume["Name"]): int((volume.get("UsageData") or {}).get("Size") or 0)
        for volume in answer.json().get("Volumes") or ()
    }


def processes(client: docker.APIClient, container: str) -> int:
    """How many processes and threads run in a container."""
    with talking():
        found = client.stats(container, stream=False, one_shot=True)
    return int((found.get("pids_stats") or {}).get("current") or 0)
