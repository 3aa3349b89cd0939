"""What BuildKit tells while it builds, heard line by line: its steps as they begin, and why it stopped.

It tells its story as JSON: one object a line since 0.14, spread over lines before; plain text is mixed in when it
fails. Source: https://github.com/docker/buildx/blob/master/docs/reference/buildx_build.md#progress
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
from collections.abc import Sequence

from dsci.drivers import buildcache
from dsci.drivers.routes import redacted
from dsci.errors import BuilderError
from dsci.ports import BuildFailure, BuildOrder, Progress

INSTALL = "install the buildx plugin: https://github.com/docker/buildx#installing"
START_DOCKER = "start Docker, or point DOCKER_HOST or `docker context use` at a running engine"

_ENGINE = ("the Docker Engine", START_DOCKER)
_TAIL = 30
_KEPT_TEXT = 200
#: Steps that BuildKit takes for itself, not for the Dockerfile.
_HOUSEKEEPING = ("[internal]", "[context ", "copy /context")
#: What gRPC and HTTP say when the other side is no longer there.
_GONE = re.compile(r"\bUnavailable\b|error reading from server|unexpected EOF|connection (?:reset|refused)")
_AT_LINE = re.compile(r"\A(?P<file>\S.*):(?P<line>\d+)\Z")


class Story:
    """What BuildKit tells: steps as they begin, and on failure the step, its last lines and its Dockerfile line."""

    def __init__(self, order: BuildOrder, progress: Progress, hidden: Sequence[str] = ()) -> None:
        """`hidden` are the values of secrets: a step that prints one shows stars."""
        self._order = order
        self._place = order.cache.place if order.cache else ""
        self._progress = progress
        self._hidden = hidden
        self._pending: list[str] = []
        self._names: dict[str, str] = {}
        self._going: dict[str, str] = {}
        self._silent: tuple[str, str] | None = None
        self._logs: dict[str, list[str]] = {}
        self._failed: list[tuple[str, str]] = []
        self._text: list[str] = []
        self.cache_troubles: list[str] = []
        """What went wrong with a cache that BuildKit did without."""

    def hear(self, line: str) -> None:
        """One line of stderr: a whole object, a part of one, or text."""
        if self._pending or line == "{":
            self._pending.append(line)
            if line == "}":
                whole, self._pending = "\n".join(self._pending), []
                self._message(whole)
        elif line.startswith("{") and line.endswith("}"):
            self._message(line)
        elif line.strip():
            self._text = [*self._text[-_KEPT_TEXT:], line]

    def _message(self, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            self._text.append(text[:1000])
            return
        for vertex in message.get("vertexes") or ():
            digest, name = vertex.get("digest", ""), str(vertex.get("name", ""))
            self._going.pop(digest, None)
            if vertex.get("started") and not vertex.get("completed"):
                self._going[digest] = name
            if digest not in self._names and not name.startswith(_HOUSEKEEPING) and vertex.get("started"):
                self._names[digest] = name
                self._progress(self._hide(f"CACHED {name}" if vertex.get("cached") else name))
            error = vertex.get("error")
            if error and name.startswith(buildcache.STEPS):
                if not str(error).endswith(f"{self._place}: not found"):  # the first build has nothing to find
                    self.cache_troubles.append(self._hide(str(error)))
            elif error and "context canceled" not in error:
                self._failed.append((digest, str(error)))
                self._names.setdefault(digest, name)
        for log in message.get("logs") or ():
            with contextlib.suppress(binascii.Error, ValueError):
                text = base64.b64decode(log.get("data", "")).decode(errors="replace")
                kept = self._logs.setdefault(log.get("vertex", ""), [])
                kept += text.rstrip("\n").split("\n")
                del kept[:-_TAIL]

    def _hide(self, text: str) -> str:
        for value in self._hidden:
            text = text.replace(value, "***")
        return redacted(text)

    def note_silence(self) -> None:
        """It is ended now because it says nothing: which step was going on? Its end will be told as any other's."""
        going = dict(self._going)
        own = {digest: name for digest, name in going.items() if not name.startswith(_HOUSEKEEPING)}
        self._silent = next(reversed((own or going).items()), None)

    def hung(self) -> BuildFailure:
        """That it said nothing, and at which step. Raises BuilderError where no step was going on."""
        who = f"BuildKit (builder {self._order.builder})" if self._order.builder else "BuildKit"
        silence = f"{who} said nothing for {self._order.inactivity:g} s"
        if self._silent is None:
            raise BuilderError(
                f"{self._order.subject}: {silence}, and no step was going on, so the build was ended",
                hint="see the engine's log; builder.inactivity in dsci.yaml says how long to wait",
            )
        digest, name = self._silent
        return BuildFailure(
            message=f"{silence} (builder.inactivity), so the build was ended",
            hung=True,
            step=self._hide(name),
            tail=tuple(self._hide(line) for line in self._logs.get(digest, ())[-_TAIL:]),
        )

    def failure(self) -> BuildFailure:
        """Why it stopped. Raises BuilderError when it was not the Dockerfile's doing."""
        errors = [line for line in self._text if line.startswith("ERROR: ")]
        said = self._hide((errors[-1] if errors else "\n".join(self._text[-5:])).removeprefix("ERROR: "))
        if "no space left on device" in said:
            raise BuilderError(f"{self._order.subject}: the disk is full: {said}", hint="see `docker system df`")
        name = self._order.builder
        who, advice = (f"the builder {name}", f"see `docker buildx inspect {name}`") if name else _ENGINE
        if not self._failed and _GONE.search(said):
            raise BuilderError(f"{self._order.subject}: {who} went away: {said}", hint=advice)
        if "failed to solve" not in said and not self._failed:
            if name is not None:
                raise BuilderError(f"{self._order.subject}: {who} failed: {said or 'it said nothing'}", hint=advice)
            if "Cannot connect to the Docker daemon" in said or "error during connect" in said:
                raise BuilderError("cannot reach the Docker Engine", hint=START_DOCKER)
            raise BuilderError(f"{self._order.subject}: buildx failed: {said or 'it said nothing'}", hint=INSTALL)
        digest, error = self._failed[-1] if self._failed else ("", "")
        # Other lines end in a number too, such as an address with a port.
        file = self._order.dockerfile.rpartition("/")[2]
        found = [match for line in self._text if (match := _AT_LINE.match(line))]
        lines = [int(match["line"]) for match in found if match["file"].rpartition("/")[2] == file]
        return BuildFailure(
            message=said.removeprefix("failed to solve: ").strip() or self._hide(error),
            step=self._hide(self._names.get(digest, "")),
            line=lines[-1] if lines else None,
            tail=tuple(self._hide(line) for line in self._logs.get(digest, ())[-_TAIL:]),
        )
