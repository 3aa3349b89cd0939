"""The builders that buildx knows: what they are, and whether they can be reached.

They are asked through the docker command, which keeps them; a builder that sleeps (a container that is stopped, a pod
that is not there yet) is woken up, as a build would do. What they can do is for a build to show.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping

from dsci.drivers import process
from dsci.errors import BuilderError
from dsci.model import builders
from dsci.model.builders import Builder
from dsci.model.text import line, nearest

#: A pod that has to be scheduled, and its image pulled, takes minutes.
_WAKING = 300
_ASKING = 60
_SHOWN = 300


class KnownBuilders:
    """What `docker buildx inspect` tells, asked once for each builder. Safe for threads."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._known: dict[str, Builder] = {}
        self._own = ""
        self._lock = threading.Lock()

    @property
    def own(self) -> str:
        """The builder that lives in the engine itself: it is named like the docker context."""
        with self._lock:
            if not self._own:
                self._own = self._current_context()
            return self._own

    def about(self, name: str) -> Builder:
        """A builder whose nodes all run. Raises BuilderError where there is none of that name, or one is not there."""
        with self._lock:
            if name not in self._known:
                self._known[name] = self._reached(name)
            return self._known[name]

    def _reached(self, name: str) -> Builder:
        found = self._inspect(name)
        if not all(node.running for node in found.nodes) or not found.nodes:
            with contextlib.suppress(BuilderError):
                found = self._inspect(name, "--bootstrap")
        for node in found.nodes:
            if not node.running or not node.platforms:
                why = node.problem or ("it says nothing of its platforms" if node.running else "it does not answer")
                raise BuilderError(
                    f"the builder {name} ({found.driver} driver) cannot be reached: {node.name or name}: {why}",
                    hint=f"see `docker buildx inspect --bootstrap {name}`; nothing was begun",
                )
        if not found.nodes:
            raise BuilderError(f"the builder {name} has no nodes", hint=f"see `docker buildx inspect {name}`")
        return found

    def _inspect(self, name: str, *flags: str) -> Builder:
        timeout = _WAKING if flags else _ASKING
        ended = process.run(
            ["docker", "buildx", "inspect", *flags, "--", name],
            timeout=timeout,
            env=self._environment,
            hint=f"the builder {name} does not answer: see `docker buildx inspect --bootstrap {name}`",
        )
        if ended.returncode == 0:
            return builders.read(ended.stdout.decode(errors="replace"), name)
        said = line(ended.stderr.decode(errors="replace").replace("ERROR: ", ""), _SHOWN)
        names = self._names()
        if name not in names and not flags:
            known = ", ".join(names) or "none"
            raise BuilderError(
                f"there is no builder {name!r}{nearest(name, names)}",
                hint=f"`docker buildx create --name {name} …` makes one; those here are {known}",
            )
        raise BuilderError(f"the builder {name} cannot be asked: {said}", hint=f"see `docker buildx inspect {name}`")

    def _names(self) -> tuple[str, ...]:
        """The builders there are: every version of buildx lists them with their nodes indented below them."""
        ended = process.run(["docker", "buildx", "ls"], timeout=_ASKING, env=self._environment)
        rows = ended.stdout.decode(errors="replace").splitlines()[1:]
        return tuple(sorted({line(row.split()[0].rstrip("*"), 128) for row in rows if row.strip() and row[0] != " "}))

    def _current_context(self) -> str:
        if self._environment.get("DOCKER_HOST"):
            return "default"
        if context := self._environment.get("DOCKER_CONTEXT"):
            return context
        ended = process.run(["docker", "context", "show"], timeout=30, env=self._environment)
        return ended.stdout.decode(errors="replace").strip() or "default"
