"""One call to a forge's API: JSON goes out, and an answer comes back whole, bounded and believed in nothing.

`transport` carries it, with its timeouts, proxies and certificates, and without a requests.Session for the reasons
given there. The token goes to the API's own origin and nowhere else: a redirect inside it is followed with method and
body kept, any other is refused by name, a way down to plain HTTP among them. What an answer means for a release page
is `forge`'s to say; here it is known what every forge's statuses have in common.

Sources: https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api (redirects, what to
do about a rate limit), https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api,
https://docs.gitlab.com/api/rest/troubleshooting/ (status codes),
https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/ (429 with Retry-After).
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

from dsci.drivers.forgeplace import Token
from dsci.drivers.pace import RETRY_AFTER_LIMIT, Clock, retry_after
from dsci.drivers.routes import Network, origin, redact
from dsci.drivers.transport import (
    REDIRECT_LIMIT,
    Answer,
    Body,
    HttpError,
    Transport,
    is_trouble,
)
from dsci.errors import AuthError, ForgeError, RegistryError

#: Bytes of an answer that are read; a release's page is smaller.
ANSWER_LIMIT = 8 * 1024 * 1024
#: Seconds to wait for a rate limit that names no time: GitHub asks for at least a minute.
_MINUTE = 60.0
_LATER = "run `dsci release` again later: what is claimed stays claimed, and only what is missing is written"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer, read to its end."""

    request: str
    """Method and URL, as messages name them."""
    origin: str
    status: int
    value: object
    """What the JSON in it says; None where it is none."""
    text: str
    """The forge's own message, fit to be shown."""
    trouble: bool
    """Whether this is no answer to the question but a server out of order or overloaded."""
    pause: float | None
    """Seconds that the forge asks to wait."""

    def member(self, *names: str) -> object:
        """What stands at this path of the JSON; None where there is nothing."""
        value = self.value
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value


class Api:
    """Asks one forge, in one user's name. Safe for threads."""

    def __init__(
        self,
        base: str,
        token: Token,
        *,
        rights: str,
        headers: Mapping[str, str],
        network: Network,
        attempts: int = 5,
        clock: Clock = time,
        trace: Callable[[str], None] | None = None,
        waits: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`rights` is the hint of a refusal: what the token must be allowed."""
        self._base = base
        self._rights = rights
        self._source = token.source
        self._headers = {**headers, token.header: token.value}
        self._transport = Transport(network=network, attempts=attempts, clock=clock, trace=trace, waits=waits)
        self._transport.hide(token.secret)

    def close(self) -> None:
        """Close every idle connection."""
        self._transport.close()

    def call(self, method: str, path: str, payload: Mapping[str, object] | None = None) -> Said:
        """Send one request to a path below the API, or to a URL of its origin. No status is an error here."""
        url = path if "://" in path else f"{self._base}{path}"
        headers, body = self._headers, None
        if payload is not None:
            headers = {**headers, "Content-Type": "application/json"}
            body = Body.of(json.dumps(payload).encode())
        for _ in range(REDIRECT_LIMIT + 1):
            response = self._transport.exchange(method, url, home=url, headers=headers, body=body, redirects=False)
            if response.status not in (301, 302, 307, 308):
                return self._read(response)
            self._transport.done(response)
            url = redirected(f"{method} {redact(url)}", url, response.headers.get("Location", ""))
        raise HttpError(f"{method} {redact(url)}: more than {REDIRECT_LIMIT} redirects")

    def _read(self, response: Answer) -> Said:
        name = self._transport.name(response)
        content = self._transport.read(response, ANSWER_LIMIT)
        value, text = None, ""
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(content)
            text = _message(value)
        return Said(
            request=name,
            origin=origin(response.url),
            status=response.status,
            value=value,
            text=self._transport.scrub(text).strip(),
            trouble=is_trouble(response),
            pause=_pause(response.headers),
        )

    # ------------------------------------------------------------------------------------------------- failures

    def failure(self, said: Said, *, hint: str = "", temporary: bool = False, limited: bool = False) -> RegistryError:
        """The error that an answer is: AuthError for a refusal of our token, HttpError for everything else.

        `limited` tells of a rate limit that the status does not show.
        """
        message = f"{said.request}: {said.status} {said.text}".rstrip()
        limited = limited or said.status == 429
        if said.status == 403:
            # GitHub's answer to too many requests looks like one to the wrong token, but for these.
            limited = limited or said.pause is not None or "rate limit" in said.text.lower()
        if limited or said.trouble:
            pause = _MINUTE if said.pause is None and limited else said.pause
            if pause is not None and pause > RETRY_AFTER_LIMIT:
                message += f" (it wants to be left alone for {pause:.0f} s)"
                return HttpError(message, hint=_LATER, temporary=True, status=said.status, again=False)
            return HttpError(message, hint=_LATER, temporary=True, status=said.status, origin=said.origin, delay=pause)
        if said.status in (401, 403):
            return AuthError(f"{message}, as the holder of {self._source}", hint=self._rights)
        if said.status == 404:
            return AuthError(
                f"{message}: the project is not there, or the holder of {self._source} may not see it",
                hint=self._rights,
            )
        if said.status == 405:  # GitLab follows a moved project for reading only
            hint = "if the project was moved or renamed, give the remote (or the job's variables) its new path"
        return HttpError(message, hint=hint, status=said.status, temporary=temporary)

    def malformed(self, said: Said) -> HttpError:
        """The error of an answer that is not what its status says."""
        return HttpError(
            f"{said.request}: {said.status}, but the answer is none of the API's",
            hint="is this the API's address? A proxy's login page or a web server may have answered in its place",
            status=said.status,
        )

    def trying(self, unit: Callable[[], T]) -> T:
        """Do a whole unit of work, again after temporary failures. Raises AuthError or ForgeError."""
        try:
            return self._transport.retrying(unit)
        except AuthError:
            raise
        except RegistryError as error:
            host = urlsplit(self._base).netloc
            hint = error.hint
            if hint and getattr(error, "status", None) is None and not isinstance(error, _Redirect):
                # What comes from below speaks of registries.
                hint = f"is {host} reachable from here? See HTTPS_PROXY, NO_PROXY and REQUESTS_CA_BUNDLE"
            raise ForgeError(error.message, hint=hint, temporary=error.temporary) from None


class _Redirect(HttpError):
    """A redirect that is not followed."""


def redirected(request: str, url: str, location: str) -> str:
    """Where a redirect leads. Raises HttpError when that is not the origin that the token is for."""
    try:
        target = urljoin(url, location).partition("#")[0]
        same, shown = origin(target) == origin(url) and urlsplit(target).username is None, redact(target)
    except ValueError:
        same, shown = False, "what is no URL"
    if not location or not same:
        raise _Redirect(
            f"{request}: redirects to {shown if location else 'nowhere'}; the token is not for that place",
            hint="if the forge has moved, give the remote (or the job's variables) its new address",
        )
    return target


def _pause(headers: Mapping[str, str]) -> float | None:
    """The seconds that a server asks to wait: Retry-After, or GitHub's x-ratelimit-reset once nothing is left."""
    asked = retry_after(headers.get("Retry-After"), headers.get("Date"), math.inf)
    reset = headers.get("X-RateLimit-Reset", "").strip()
    if asked is None and headers.get("X-RateLimit-Remaining", "").strip() == "0" and re.fullmatch("[0-9]{1,12}", reset):
        return max(float(reset) - time.time(), 0.0) + 1.0
    return asked


def _message(value: object) -> str:
    """What an error answer says: GitHub's `message` with its `errors`, GitLab's `message` or `error`."""
    if not isinstance(value, dict):
        return ""
    texts = [value.get(name) for name in ("message", "error", "error_description")]
    errors = value.get("errors")
    for item in errors[:5] if isinstance(errors, list) else []:
        texts += [item.get(name) for name in ("message", "field", "code")] if isinstance(item, dict) else [item]
    return ": ".join(text if isinstance(text, str) else json.dumps(text) for text in texts if text)
