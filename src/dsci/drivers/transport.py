"""HTTP as it must be spoken to registries: one exchange at a time, and a whole unit of work tried again.

No requests.Session is used, on purpose: it would read ~/.netrc over our Authorization, follow redirects with it and
keep cookies. Only urllib3 below it is (`pools`), whose connections are safe for threads. Credentials never leave the
origin they are for; bodies are streamed and can be sent again; answers are bounded in size and time; an exception shows
neither a query value nor a secret. Where a request may go at all is `routes`' to decide, how soon `pace`'s, how a token
is got `tokens`', and what a status means to a registry `registry`'s.

Sources: https://www.rfc-editor.org/rfc/rfc9110#section-15.4 (redirects);
https://github.com/google/go-containerregistry/blob/main/pkg/v1/remote/options.go (which failures are temporary).
"""

from __future__ import annotations

import contextlib
import errno
import json
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import TypeVar
from urllib.parse import urlsplit

from urllib3 import BaseHTTPResponse, HTTPHeaderDict
from urllib3.exceptions import HTTPError as Urllib3Error
from urllib3.exceptions import SSLError as Urllib3SSLError
from urllib3.exceptions import TimeoutError as Urllib3Timeout

from dsci.drivers.pace import Clock, Pace, retry_after
from dsci.drivers.pools import Pools
from dsci.drivers.routes import UNPRINTABLE, Network, Routes, origin, redact
from dsci.drivers.verify import CHUNK
from dsci.errors import AuthError, RegistryError

#: Seconds within which a small answer must be complete, however steadily it trickles.
ANSWER_DEADLINE = 60.0
#: An error or a token is smaller than this, or it is not read.
ANSWER_LIMIT = 64 * 1024
#: Within so many seconds of waiting for a body this many bytes a second must have come.
STALL, SLOWEST = 60.0, 1024
REDIRECT_LIMIT = 5

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TEMPORARY_STATUSES = frozenset({408, 429, 499, 500, 502, 503, 504, 522})
_NO_SPACE = "no space left"
_TEMPORARY_CODES = frozenset({"TOOMANYREQUESTS", "UNKNOWN", "UNAVAILABLE", "BLOB_UPLOAD_INVALID"})

T = TypeVar("T")


class HttpError(RegistryError):
    """A registry's refusal or a broken exchange, with what a caller may want to decide by."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        temporary: bool = False,
        status: int | None = None,
        codes: frozenset[str] = frozenset(),
        origin: str = "",
        delay: float | None = None,
        again: bool = True,
    ) -> None:
        super().__init__(message, hint=hint, temporary=temporary)
        self.status = status
        self.codes = codes
        self.origin = origin
        self.delay = delay
        self.again = again
        """Whether trying again at once makes sense; False once that was done."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request body that can be sent again: its size, and how to start it from its first byte."""

    size: int
    open: Callable[[], Iterator[bytes]]

    @classmethod
    def of(cls, content: bytes) -> Body:
        """A body held in memory."""
        return cls(len(content), lambda: iter((content,) if content else ()))


class Answer:
    """What a server answers: a status and headers; the body is read when it is wanted."""

    __slots__ = ("_raw", "headers", "method", "reason", "status", "url")

    def __init__(self, method: str, url: str, raw: BaseHTTPResponse) -> None:
        self.method, self.url, self._raw = method, url, raw
        self.status: int = raw.status
        self.reason: str = raw.reason or ""
        self.headers: HTTPHeaderDict = raw.headers

    @property
    def left(self) -> int | None:
        """How many bytes of the body are not read yet; None where that is not known."""
        return self._raw.length_remaining

    def read(self, size: int) -> bytes:
        """Some of the body, as it is on the wire; nothing at its end."""
        return self._raw.read1(size, decode_content=False)

    def close(self) -> None:
        """Whatever is left of it is not wanted."""
        self._raw.close()
        self._raw.release_conn()


#: A pause before another try that is longer than this is told, in seconds.
_TOLD = 3.0


class Transport:
    """Carries out exchanges, and waits where servers ask for it. Safe for threads."""

    def __init__(
        self,
        *,
        network: Network,
        insecure: Collection[str] = (),
        attempts: int = 5,
        clock: Clock = time,
        trace: Callable[[str], None] | None = None,
        waits: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._waits = waits
        self.routes = Routes(insecure)
        self._attempts = attempts
        self._clock = clock
        self._trace = trace
        self._pools = Pools(network)
        self._lock = threading.Lock()
        self._pace = Pace(clock)
        self._answered: set[str] = set()
        self._secrets: set[str] = set()

    def close(self) -> None:
        """Close every idle connection."""
        self._pools.close()

    def hide(self, *secrets: str) -> None:
        """Never show these texts, whoever echoes them."""
        with self._lock:
            self._secrets.update(secret for secret in secrets if secret)

    def scrub(self, text: str) -> str:
        """A server's text made fit to be shown: printable, short, without secrets."""
        with self._lock:
            secrets = sorted(self._secrets, key=len, reverse=True)
        for secret in secrets:
            text = text.replace(secret, "***")
        return UNPRINTABLE.sub(" ", text)[:200]

    # ----------------------------------------------------------------------------------------------- one exchange

    def exchange(
        self,
        method: str,
        url: str,
        *,
        home: str,
        authorization: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        redirects: bool = True,
    ) -> Answer:
        """Send one request and give whatever status comes back, its body unread. Only `home` sees the authorization.

        Redirects are followed (with the body only where the method stays). Raises HttpError where there is no answer.
        """
        for _ in range(REDIRECT_LIMIT + 1):
            signed = authorization if origin(url) == origin(home) else None
            response = self._send(method, url, signed, headers or {}, body)
            if not redirects or response.status not in _REDIRECTS:
                return response
            keeps = method in ("GET", "HEAD") or response.status in (307, 308)
            if not keeps or not response.headers.get("Location"):
                return response
            self.done(response)
            url = self.routes.follow(url, response.headers["Location"], "redirect")
        raise HttpError(f"{method} {redact(url)}: more than {REDIRECT_LIMIT} redirects")

    def _send(
        self, method: str, url: str, authorization: str | None, headers: Mapping[str, str], body: Body | None
    ) -> Answer:
        sent = {"Accept-Encoding": "identity", "User-Agent": "dsci", **headers}
        if authorization:
            sent["Authorization"] = authorization
        if body is not None:
            sent["Content-Length"] = str(body.size)
        self._pace.wait(origin(url))
        began = self._clock.monotonic()
        with contextlib.ExitStack() as stack:
            pieces = None
            if body is not None and body.size:
                pieces = body.open()
                stack.callback(getattr(pieces, "close", lambda: None))
            try:
                answer = Answer(method, url, self._pools.send(method, url, sent, pieces))
            except (Urllib3Error, HTTPException, OSError, ValueError) as error:
                raise self._broken(method, url, error) from None
        with self._lock:
            self._answered.add(origin(url))
        if answer.status != 429:
            self._pace.answered(origin(url))
        if self._trace is not None:
            self._trace(f"{method} {redact(url)} {answer.status} {self._clock.monotonic() - began:.3f}s")
        return answer

    # -------------------------------------------------------------------------------------------------- answers

    def read(self, response: Answer, limit: int = ANSWER_LIMIT) -> bytes:
        """The whole of a small answer; the connection is free again afterwards."""
        deadline = self._clock.monotonic() + ANSWER_DEADLINE
        content = bytearray()
        with contextlib.closing(response):
            for piece in self.stream(response):
                content += piece
                if len(content) > limit:
                    raise HttpError(f"{self.name(response)}: an answer over the limit of {limit} bytes")
                if self._clock.monotonic() > deadline:
                    raise HttpError(
                        f"{self.name(response)}: the answer took over {ANSWER_DEADLINE:g} s", temporary=True
                    )
        return bytes(content)

    def done(self, response: Answer) -> None:
        """Be done with an answer: its connection serves the next request, where little is left to be read of it."""
        if response.left is None or response.left > ANSWER_LIMIT:
            response.close()
            return
        with contextlib.suppress(RegistryError):
            self.read(response)

    def stream(self, response: Answer) -> Iterator[bytes]:
        """The answer's body as it arrives, as it is on the wire. Time that whoever takes it takes does not count."""
        waited, came = 0.0, 0
        try:
            while True:
                began = self._clock.monotonic()
                piece = response.read(CHUNK)
                if not piece:
                    return
                waited, came = waited + self._clock.monotonic() - began, came + len(piece)
                if waited > STALL:
                    if came < waited * SLOWEST:
                        raise HttpError(
                            f"{self.name(response)}: {came} bytes in {waited:.0f} s are too slow to go on",
                            hint=f"is {urlsplit(response.url).netloc} overloaded, or the way there?",
                            temporary=True,
                        )
                    waited, came = 0.0, 0
                yield piece
        except (Urllib3Error, HTTPException, OSError) as error:
            raise self._broken(response.method, response.url, error) from None

    def name(self, response: Answer) -> str:
        """A response's request, as messages name it."""
        return f"{response.method} {redact(response.url)}"

    def failure(
        self, response: Answer, *, who: str = "", hint: str = "", restart: Collection[str] = ()
    ) -> RegistryError:
        """The error a status is; the answer is read for the server's own code. `restart` are codes worth a new try."""
        status = response.status
        codes, said = self._server_says(response)
        message = f"{self.name(response)}: {status} {' '.join(sorted(codes)) or response.reason or ''}".rstrip()
        if said:
            message += f" ({said})"
        host = urlsplit(response.url).netloc
        if status in (401, 403):
            return AuthError(
                f"{message}, as {who or 'nobody'}",
                hint=hint or f"docker login {host}, with an account or token that may do this",
            )
        temporary = (
            status in _TEMPORARY_STATUSES
            or (bool(codes) and codes <= _TEMPORARY_CODES)
            or any(code in codes or code == str(status) for code in restart)
        )
        full = status == 507 or (status >= 500 and _NO_SPACE in said.lower())
        if full:
            hint = f"the registry at {host} cannot store more, it has no space left: free some, then run again"
        elif temporary:
            hint = hint or f"the registry at {host} is overloaded or out of order: run again later"
        return HttpError(
            message,
            hint=hint,
            temporary=temporary,
            status=status,
            codes=codes,
            origin=origin(response.url),
            delay=retry_after(response.headers.get("Retry-After"), response.headers.get("Date")),
            again=not full,
        )

    def _server_says(self, response: Answer) -> tuple[frozenset[str], str]:
        """The codes and the first message of an error answer, if it has the specification's form."""
        try:
            errors = json.loads(self.read(response))["errors"]
            codes = [str(error["code"]) for error in errors]
            said = _NO_SPACE if _is_full(errors) else str(errors[0].get("message") or "")
        except (RegistryError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            return frozenset(), ""
        return frozenset(code for code in codes if re.fullmatch(r"[A-Z_]{1,64}", code)), self.scrub(said)

    def _broken(self, method: str, url: str, error: BaseException) -> HttpError:
        """What went wrong below HTTP. The library's own text is never shown: it holds whole URLs."""
        host = urlsplit(url).netloc.rpartition("@")[2]
        where, causes = f"{method} {redact(url)}", list(_causes(error))
        kinds = tuple(type(cause) for cause in causes)

        def any_of(*types: type[BaseException]) -> bool:
            return any(issubclass(kind, types) for kind in kinds)

        for cause in causes:
            if isinstance(cause, ssl.SSLError):
                why = (
                    getattr(cause, "verify_message", "")
                    or (cause.reason or "handshake failed").replace("_", " ").lower()
                )
                return HttpError(
                    f"{where}: TLS with {host} failed: {why}",
                    hint=f"add its CA to REQUESTS_CA_BUNDLE; if it speaks plain HTTP: DSCI_INSECURE_REGISTRIES={host}",
                )
            if isinstance(cause, socket.gaierror):
                return HttpError(
                    f"{where}: the name {host} does not resolve",
                    hint="check the registry's name and this machine's DNS and proxy settings",
                    temporary=True,
                    again=cause.errno == socket.EAI_AGAIN,
                )
        if any_of(Urllib3SSLError):
            return HttpError(
                f"{where}: TLS with {host} failed",
                hint=f"add its CA to REQUESTS_CA_BUNDLE; if it speaks plain HTTP: DSCI_INSECURE_REGISTRIES={host}",
            )
        if any_of(ConnectionRefusedError):
            with self._lock:
                known = origin(url) in self._answered
            return HttpError(
                f"{where}: {host} refuses connections",
                hint=f"is the registry running at {host}?",
                temporary=True,
                again=known,
            )
        if any_of(Urllib3Timeout, TimeoutError):
            return HttpError(f"{where}: no answer in time", hint=f"is {host} reachable from here?", temporary=True)
        if any_of(ValueError):
            return HttpError(f"{where}: not a URL that can be asked")
        return HttpError(
            f"{where}: the connection broke ({kinds[-1].__name__})",
            hint=f"is {host} reachable from here?",
            temporary=True,
        )

    # ---------------------------------------------------------------------------------------------------- retries

    def retrying(self, unit: Callable[[], T]) -> T:
        """Do a whole unit of work, again after a temporary failure, with growing pauses or those the server asked for.

        There is no retry below this one, so tries do not multiply.
        """
        for attempt in range(1, self._attempts):
            try:
                return unit()
            except RegistryError as error:
                if not error.temporary or not getattr(error, "again", True):
                    raise
                backoff = 2.0 ** (attempt - 1) * random.uniform(0.8, 1.2)
                delay = error.delay if isinstance(error, HttpError) else None
                pause = backoff if delay is None else delay
                if attempt > 1 or pause > _TOLD:
                    # One hiccup is nobody's concern; a program that stands still is.
                    self._waits(f"{error.message}: trying again in {pause:.0f} s ({attempt} of {self._attempts} tries)")
                if isinstance(error, HttpError) and (error.status == 429 or delay is not None):
                    self._pace.throttled(error.origin, pause)
                else:
                    self._clock.sleep(backoff)
        try:
            return unit()
        except RegistryError as error:
            if not error.temporary or not getattr(error, "again", True):
                raise
            raise HttpError(
                f"{error.message} (tried {self._attempts} times)",
                hint=error.hint,
                temporary=True,
                status=getattr(error, "status", None),
                codes=getattr(error, "codes", frozenset()),
                again=False,
            ) from None


def _is_full(errors: list[dict[str, object]]) -> bool:
    """Whether a registry's errors tell of a full disk, in words or (docker-registry's drivers) by its number."""
    told = json.dumps(errors).lower()
    return _NO_SPACE in told or f'"err": {errno.ENOSPC}' in told or f'"err": {errno.EDQUOT}' in told


def is_trouble(response: Answer) -> bool:
    """Whether this is no answer to the question but a server out of order."""
    return response.status >= 500 or response.status in _TEMPORARY_STATUSES


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and everything it wraps, outermost first: libraries hide the cause in various places."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(seen) < 20:
        item = waiting.pop(0)
        if isinstance(item, BaseException) and item not in seen:
            seen.append(item)
            yield item
            waiting += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
