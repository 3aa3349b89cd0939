"""A line to the BuildKit inside an engine, the one that buildx uses: the frontend is asked, and nothing is built.

On that line (`tests.lentbuildkit`) a build is opened in which questions can be put to the frontend for Dockerfiles; it
answers with the graph of steps that it would have BuildKit take. At the end the build is cancelled, as Ctrl-C would
cancel it.

Sources: https://github.com/moby/buildkit/blob/v0.13.1/api/services/control/control.proto (`Solve`),
https://github.com/moby/buildkit/blob/v0.13.1/frontend/gateway/pb/gateway.proto (`Ping`, `Solve`)
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from tests.lentbuildkit import LentBuildKit
from tests.oracle.wire import Message, encode
from tests.realengine import docker

_BRIDGE = "/moby.buildkit.v1.frontend.LLBBridge"
_LIMIT = 120.0


class Refused(Exception):
    """The frontend says no."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.line = line
        """The line of the Dockerfile, where it names one."""


@dataclass(frozen=True, slots=True)
class Solved:
    """The frontend's answer."""

    definition: Message
    """`pb.Definition`: the graph; empty where there is nothing to do."""
    metadata: Mapping[str, bytes]


class Bridge:
    """One build that stays open for questions."""

    def __init__(self, folder: Path, endpoint: str | None = None) -> None:
        """`folder` takes a socket, so that its path has to be short; `endpoint` is another engine than the tests'."""
        self._line = LentBuildKit(folder / "grpc", endpoint or _endpoint())
        options = {
            "grpc.default_authority": "localhost",
            "grpc.max_receive_message_length": -1,
            "grpc.max_metadata_size": 1 << 20,
        }
        self._channel = grpc.insecure_channel(self._line.address, options=list(options.items()))
        self.gone = False
        """Whether the engine has ended, or hung up."""
        self._id = secrets.token_hex(16)
        self._build = self._channel.unary_unary("/moby.buildkit.v1.Control/Solve").future(encode((1, self._id)))
        self._wait()

    def close(self) -> None:
        """Cancel the build and hang up."""
        self._build.cancel()
        self._channel.close()
        self._line.close()

    def solve(self, options: Mapping[str, str], inputs: Mapping[str, bytes]) -> Solved:
        """Ask the frontend for Dockerfiles, with options as `--opt` has them. Raises Refused."""
        assert not self.gone, "the engine is gone"
        asked = encode(
            (2, "dockerfile.v0"),
            *((3, encode((1, name), (2, value))) for name, value in options.items()),
            (5, 1),
            (6, 1),
            *((13, encode((1, name), (2, definition))) for name, definition in inputs.items()),
        )
        try:
            result = Message(self._call("Solve", asked)).message(3)
        except grpc.RpcError as error:
            self.gone = error.code() == grpc.StatusCode.UNAVAILABLE
            assert not self.gone, f"the engine is gone: {error.details()}"
            assert error.code() != grpc.StatusCode.DEADLINE_EXCEEDED, f"no answer in {_LIMIT} seconds"
            raise _refused(error) from None
        metadata = {entry.text(1): (entry.all(2) or [b""])[0] for entry in result.messages(10)}
        return Solved(result.message(3).message(2), metadata)

    def _call(self, method: str, asked: bytes) -> bytes:
        call = self._channel.unary_unary(f"{_BRIDGE}/{method}")
        answer: bytes = call(asked, timeout=_LIMIT, metadata=[("buildkit-controlapi-buildid", self._id)])
        return answer

    def _wait(self) -> None:
        """Until the build is open."""
        end = time.monotonic() + _LIMIT
        while True:
            try:
                self._call("Ping", b"")
                return
            except grpc.RpcError:
                assert not self._build.done(), self._build.exception()
                assert time.monotonic() < end, "BuildKit opens no build"
            time.sleep(0.02)


def _endpoint() -> str:
    """Where the docker command finds its engine."""
    endpoint = os.environ.get("DOCKER_HOST") or docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    plain = endpoint.startswith("tcp://") and not os.environ.get("DOCKER_TLS_VERIFY")
    if not plain and not endpoint.startswith("unix://"):
        pytest.skip(f"the way to the engine is neither a socket nor plain TCP: {endpoint}")
    return endpoint


def _refused(error: grpc.RpcError) -> Refused:
    """The error with its line, which BuildKit puts into the details (`errdefs.Source`)."""
    status = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    for detail in Message(status).messages(3):
        if "errdefs.Source" in detail.text(1):
            ranges = json.loads(detail.all(2)[0]).get("ranges") or [{}]
            return Refused(error.details(), ranges[0].get("start", {}).get("line"))
    return Refused(error.details(), None)
