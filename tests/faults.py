"""What can go wrong between a client and a registry: actions that `faultyproxy` takes in place of passing a request on.

Each action is a value with an `act`, which is given the exchange: the request as it came, and the ways to answer it, to
pass it on (all of it or less, changed, slowly), or to break its connection. A `Rule` says for which requests.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote

FOREVER = 1 << 30
Pieces = Iterator[bytes]


class ResetError(Exception):
    """The connection is to end with a RST, here and now."""


class HangUpError(Exception):
    """The connection is to end without another byte, in good order."""


@dataclass(slots=True)
class Seen:
    """A request: what it was, who asked, and how much went each way."""

    method: str
    path: str
    headers: Mapping[str, str]
    size: int
    """Bytes of body that were announced; 0 where none were."""
    connection: int = 0
    up: int = 0
    down: int = 0
    status: int = 0
    at: float = field(default_factory=time.monotonic)

    @property
    def authorization(self) -> str:
        return self.headers.get("Authorization", "")


class Exchange(Protocol):
    """One request at the proxy."""

    seen: Seen

    def reply(self, status: int, headers: Mapping[str, str], body: bytes | Iterable[bytes], *, read: bool) -> None:
        """Answer in the registry's stead; `read` its body first, as servers do that answer when all has come."""

    def forward(
        self,
        *,
        up: Callable[[Pieces], Pieces] = ...,
        head: Callable[[int, dict[str, str]], int] = ...,
        down: Callable[[Pieces], Pieces] = ...,
    ) -> None:
        """Pass it on: its body through `up`, the answer's head through `head`, the answer's body through `down`."""

    def trickle(self, piece: bytes, pause: float) -> None:
        """Send these bytes to the client one by one."""

    def silence(self) -> None:
        """Say nothing until the client has gone."""


class Action(Protocol):
    def act(self, exchange: Exchange) -> None: ...


@dataclass(slots=True)
class Rule:
    """Take `action` for the requests `first`…`last` (counted from 1) whose method and path match."""

    method: str
    path: str
    action: Action
    first: int = 1
    last: int = 1
    count: int = 0

    def matches(self, seen: Seen) -> bool:
        if not re.fullmatch(self.method, seen.method) or not re.search(self.path, seen.path):
            return False
        self.count += 1
        return self.first <= self.count <= self.last

    @property
    def fired(self) -> int:
        """How often it was taken."""
        return max(0, min(self.count, self.last) - self.first + 1)


# ------------------------------------------------------------------------------------------------------------- actions


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the proxy's own. Redirects, refusals and login pages are replies."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Callable[[], Iterable[bytes]] = b""
    read: bool = True
    """Whether the request's body is read first."""

    def act(self, exchange: Exchange) -> None:
        body = self.body if isinstance(self.body, bytes) else self.body()
        exchange.reply(self.status, self.headers, body, read=self.read)


def refusal(status: int, code: str, message: str = "no", **headers: str) -> Reply:
    """An error as registries write it."""
    body = f'{{"errors":[{{"code":"{code}","message":"{message}"}}]}}'.encode()
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(status, {"Content-Type": "application/json", **named}, body)


def page(status: int = 200) -> Reply:
    """What a captive portal says to everything."""
    return Reply(status, {"Content-Type": "text/html; charset=utf-8"}, b"<html><h1>Welcome to Hotel WiFi</h1></html>")


def redirect(to: str, status: int = 307) -> Reply:
    return Reply(status, {"Location": to})


@dataclass(frozen=True, slots=True)
class Pass:
    """Nothing is wrong."""

    def act(self, exchange: Exchange) -> None:
        exchange.forward()


@dataclass(frozen=True, slots=True)
class Delay:
    seconds: float

    def act(self, exchange: Exchange) -> None:
        time.sleep(self.seconds)
        exchange.forward()


@dataclass(frozen=True, slots=True)
class Reset:
    """RST after so many bytes of the request's body, or of the answer's."""

    up: int | None = None
    down: int | None = None

    def act(self, exchange: Exchange) -> None:
        exchange.forward(up=_until(self.up, ResetError), down=_until(self.down, ResetError))


@dataclass(frozen=True, slots=True)
class Truncate:
    """The answer ends after so many bytes, though it announced them all."""

    down: int

    def act(self, exchange: Exchange) -> None:
        exchange.forward(down=_until(self.down, HangUpError))


@dataclass(frozen=True, slots=True)
class Flip:
    """One byte is another one, in the request's body or in the answer's."""

    up: int | None = None
    down: int | None = None

    def act(self, exchange: Exchange) -> None:
        exchange.forward(up=_flipped(self.up), down=_flipped(self.down))


@dataclass(frozen=True, slots=True)
class Lost:
    """The registry does it, and its answer never arrives."""

    def act(self, exchange: Exchange) -> None:
        def lose(status: int, headers: dict[str, str]) -> int:
            exchange.seen.status = status
            raise HangUpError

        exchange.forward(head=lose)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The registry's answer with other headers (None takes one away), another status or another body."""

    headers: Mapping[str, str | None] = field(default_factory=dict)
    status: int | None = None
    change: Callable[[dict[str, str]], None] = lambda headers: None
    body: Callable[[Pieces], Pieces] = lambda pieces: pieces

    def act(self, exchange: Exchange) -> None:
        def head(status: int, headers: dict[str, str]) -> int:
            self.change(headers)
            for name, text in self.headers.items():
                for known in [each for each in headers if each.lower() == name.lower()]:
                    del headers[known]
                if text is not None:
                    headers[name] = text
            return self.status or status

        exchange.forward(head=head, down=self.body)


@dataclass(frozen=True, slots=True)
class Slow:
    """So many bytes a second, either way."""

    up: float | None = None
    down: float | None = None

    def act(self, exchange: Exchange) -> None:
        exchange.forward(up=_paced(self.up), down=_paced(self.down))


@dataclass(frozen=True, slots=True)
class Loris:
    """Headers that never come to an end: one byte a `pause`."""

    pause: float

    def act(self, exchange: Exchange) -> None:
        exchange.trickle(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(90)), self.pause)


@dataclass(frozen=True, slots=True)
class Silent:
    """The request is taken, and nothing is ever said."""

    def act(self, exchange: Exchange) -> None:
        exchange.silence()


@dataclass(slots=True)
class Throttle:
    """No more than `rate` requests a second; the others are told to come again."""

    rate: int
    headers: Mapping[str, str] = field(default_factory=dict)
    refused: int = 0
    _window: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def act(self, exchange: Exchange) -> None:
        with self._lock:
            now = time.monotonic()
            self._window = [at for at in self._window if now - at < 1]
            full = len(self._window) >= self.rate
            if full:
                self.refused += 1
            else:
                self._window.append(now)
        (Reply(429, self.headers) if full else Pass()).act(exchange)


@dataclass(slots=True)
class Chance:
    """RST at a random place of `share` of all requests, and with `per_mib` in every MiB that they carry.

    What happens to the n-th request of a kind for one blob or name depends on the seed alone, whatever comes between.
    """

    share: float = 0.0
    per_mib: float = 0.0
    seed: int = 0
    resets: int = 0
    _count: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def act(self, exchange: Exchange) -> None:
        seen = exchange.seen
        path = unquote(seen.path)
        named = re.search(r"digest=\S+", path) or re.search("/(?:blobs|manifests)/[^/?]+|[^/?]*$", path)
        kind = f"{self.seed} {seen.method} {named[0] if named else ''}"
        with self._lock:
            self._count[kind] = self._count.get(kind, 0) + 1
            dice = random.Random(f"{kind} {self._count[kind]}")
            place = dice.randrange(seen.size + 1) if dice.random() < self.share else None
            if self.per_mib:
                far = int(dice.expovariate(self.per_mib) * (1 << 20))
                place = far if far < seen.size and (place is None or far < place) else place
            self.resets += place is not None
            acts = dice.random() < 0.5
        if place is None:
            exchange.forward()
        elif seen.size:
            exchange.forward(up=_until(place, ResetError))
        elif acts:
            exchange.forward(head=_lost)
        else:
            raise ResetError


def _lost(status: int, headers: dict[str, str]) -> int:
    raise ResetError


def _same(pieces: Pieces) -> Pieces:
    return pieces


def _until(limit: int | None, end: type[Exception]) -> Callable[[Pieces], Pieces]:
    def cut(pieces: Pieces) -> Pieces:
        left = limit or 0
        if left == 0:
            raise end
        for piece in pieces:
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                raise end

    return _same if limit is None else cut


def _flipped(place: int | None) -> Callable[[Pieces], Pieces]:
    def flip(pieces: Pieces) -> Pieces:
        left = place or 0
        for piece in pieces:
            if 0 <= left < len(piece):
                piece = piece[:left] + bytes([piece[left] ^ 1]) + piece[left + 1 :]
            left -= len(piece)
            yield piece

    return _same if place is None else flip


def _paced(rate: float | None) -> Callable[[Pieces], Pieces]:
    def pace(pieces: Pieces) -> Pieces:
        assert rate is not None
        some = max(1, int(rate / 10))
        for piece in pieces:
            for start in range(0, len(piece), some):
                yield piece[start : start + some]
                time.sleep(some / rate)

    return _same if rate is None else pace
