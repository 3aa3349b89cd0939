"""A registry with something in it, a proxy that makes trouble before it, and what must hold whatever the trouble was.

`publish` does what a release does at the level of the client: an image under a name of its own, then a version tag, and
then `latest`, which stood for an older image before. `Lab.check` looks at the registry past the proxy, and at all that
was said.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from images import MemoryImage
from scripted import FastClock
from tests.faultyproxy import FaultyProxy
from tests.tokengate import TokenGate

from dsci.drivers.keychain import Credentials
from dsci.drivers.registry import HttpRegistry
from dsci.drivers.routes import Network
from dsci.errors import DsciError
from dsci.model.oci import Manifest
from dsci.model.reference import Repository

USER, PASSWORD = "robot", "PASSWORDCANARY"
#: Bytes of the larger layer.
LAYER = 1 << 20
#: Requests of one release without any fault: each blob HEAD, POST, PUT, HEAD; each tag HEAD, PUT, HEAD; tokens.
USUAL = 30


def some(cases: Sequence[object], count: int) -> list[object]:
    """All cases, of which a sample of this size is not slow."""
    kept = random.Random(len(cases)).sample(range(len(cases)), count)
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=() if at in kept else pytest.mark.slow)
        for at, case in enumerate(cases)
    ]


def noise(size: int, seed: int) -> bytes:
    """Bytes that nobody has elsewhere."""
    return random.Random(seed).randbytes(size)


class Keys:
    """A keychain of one entry."""

    def __init__(self, credentials: Credentials | None) -> None:
        self.known = credentials

    def credentials(self, repository: Repository, *, fresh: bool = False) -> Credentials | None:
        return self.known


class Client(HttpRegistry):
    """The real client, which does not really pause, and remembers everything it told."""

    def __init__(self, *, really: bool = False, **options: object) -> None:
        """`really` pauses as it should."""
        self.clock = FastClock()
        self.told: list[str] = []
        clock = time if really else self.clock
        super().__init__(clock=clock, trace=self.told.append, waits=self.told.append, **options)  # type: ignore[arg-type]


@dataclass
class Result:
    """How it ended: what was raised, everything said, how long it took in the client's own time, requests sent."""

    error: DsciError | None
    said: str
    seconds: float
    requests: int
    client: Client

    @property
    def text(self) -> str:
        """The error as a person sees it; empty when all went well."""
        return "" if self.error is None else f"{self.error.message}\n{self.error.hint}"


@dataclass
class Lab:
    """One repository in a real registry, reached through a proxy that wants tokens."""

    direct: str
    proxy: FaultyProxy
    gate: TokenGate
    path: str
    host: str = ""
    old: MemoryImage = field(default_factory=lambda: MemoryImage(b"what stood there before"))
    new: MemoryImage = field(default_factory=MemoryImage)
    clients: list[HttpRegistry] = field(default_factory=list)
    network: Network = field(default_factory=Network)

    @classmethod
    def build(cls, registry: str, proxy: FaultyProxy, gate: TokenGate, number: int) -> Lab:
        lab = cls(registry, proxy, gate, f"acme/lab{number}", proxy.host)
        lab.new = MemoryImage(noise(2000, number), noise(LAYER, -number))
        there = lab.past
        there.push_image(lab.old, lab.behind, "1.0")
        there.push_image(lab.old, lab.behind, "latest")
        return lab

    @property
    def repository(self) -> Repository:
        """As the client knows it."""
        return Repository(self.host, self.path)

    @property
    def behind(self) -> Repository:
        """The same, past the proxy."""
        return Repository(self.direct, self.path)

    @property
    def past(self) -> HttpRegistry:
        """A client that has no trouble, and remembers nothing."""
        self.clients.append(HttpRegistry())
        return self.clients[-1]

    def client(self, **options: object) -> Client:
        me = Keys(Credentials(username=USER, password=PASSWORD, source="config.json"))
        made = Client(**{"keychain": me, "insecure": [self.host], "network": self.network} | options)  # type: ignore[arg-type]
        self.clients.append(made)
        return made

    def publish(self, client: HttpRegistry) -> None:
        """What a release writes, in its order."""
        for tag in ("dsci-unique", "2.0", "latest"):
            client.push_image(self.new, self.repository, tag)

    def run(self, work: Callable[[HttpRegistry], object] | None = None, client: Client | None = None) -> Result:
        """Publish (or do this `work`) through the trouble there is."""
        client = client or self.client()
        before, began, error, traced = len(self.proxy.seen), time.monotonic() + sum(client.clock.slept), None, ""
        try:
            (work or self.publish)(client)
        except DsciError as raised:
            error, traced = raised, "".join(traceback.format_exception(raised))
        seconds = time.monotonic() + sum(client.clock.slept) - began
        said = "\n".join([*client.told, traced, repr(error), getattr(error, "hint", "")])
        return Result(error, said, seconds, len(self.proxy.seen) - before, client)

    def check(self, result: Result, *, budget: int = USUAL, seconds: float = 60.0, rerun: bool = True) -> None:
        """The invariants of every fault; `budget` are requests, `seconds` those that the client believes in."""
        past, new = self.past, self.new.descriptor.digest
        if result.error is not None:
            assert result.error.exit_code in (5, 6) and (result.error.hint or result.error.next_step), (
                "a kind of failure, and a next step"
            )
        named = {tag: past.resolve(self.behind.tag(tag)) for tag in ("1.0", "2.0", "latest")}
        latest, version = named["latest"], named["2.0"]
        assert latest is not None and latest.digest in (self.old.descriptor.digest, new), "old or new"
        assert version is None or version.digest == new, "the version is what was planned, or not there"
        assert named["1.0"] is not None and named["1.0"].digest == self.old.descriptor.digest, "never moved"
        assert latest.digest != new or version is not None, "floating tags come last"
        for tag, found in named.items():
            if found is not None:
                self.whole(past, tag)
        for secret in (*self.gate.secrets, "SIGCANARY"):
            assert secret not in result.said
        assert result.seconds < seconds and result.requests <= budget, (result.seconds, result.requests)
        if rerun:
            self.proxy.calm()
            again = self.run()
            assert again.error is None, again.said
            assert {past.resolve(self.behind.tag(tag)).digest for tag in ("2.0", "latest")} == {new}  # type: ignore[union-attr]
            self.whole(past, "latest")
            after = self.run()
            assert after.client.writes == 0, "there is nothing left to write"

    def whole(self, past: HttpRegistry, tag: str) -> None:
        """Every byte below a tag is there, and is what it says."""
        found = past.manifest(self.behind.tag(tag))
        assert found is not None
        manifest = Manifest.from_bytes(found[1])
        for blob in (manifest.config, *manifest.layers):
            hasher = hashlib.sha256()
            with past.open_blob(self.behind, blob) as pieces:
                for piece in pieces:
                    hasher.update(piece)
            assert hasher.hexdigest() == blob.digest.hex


@contextlib.contextmanager
def laboratory(registry: str, number: int, **options: object) -> Iterator[Lab]:
    """A lab with a proxy and a gate of its own; `options` are the gate's."""
    gate = TokenGate(USER, PASSWORD, **options)  # type: ignore[arg-type]
    with FaultyProxy("127.0.0.1", registry, gate=gate).serving() as proxy:
        lab = Lab.build(registry, proxy, gate, number)
        try:
            yield lab
        finally:
            for client in lab.clients:
                client.close()
