"""How a registry is shown who we are: the challenge it poses, and the tokens that answer it.

A registry is pinged once. It wants nothing, or Basic, or a Bearer token from the service it names: then a token is
fetched per set of scopes, kept until it runs out or is refused, and fetched again. Wider needs (to push, to mount from
elsewhere) are wider sets, so a refused wide one spoils no narrow one. Credentials go to the registry (Basic) or to its
token service (Bearer), and nowhere else. What a lasting refusal means is for `registry` to say.

Sources: https://distribution.github.io/distribution/spec/auth/token/, …/spec/auth/oauth/ (identity tokens),
https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1 (challenges).
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlencode

from dsci.drivers import tokenvariables
from dsci.drivers.keychain import Credentials
from dsci.drivers.pace import Clock
from dsci.drivers.transport import Body, HttpError, Transport, is_trouble
from dsci.errors import AuthError
from dsci.model.reference import DOCKER_HUB, Repository

Scopes = tuple[str, ...]

#: A token is renewed this long before it runs out: a request started with it must still arrive in time.
_MARGIN = 5.0
_SCHEME = re.compile(r"(?:\A|,\s*)(Basic|Bearer)(?=\s|,|\Z)", re.IGNORECASE)
_PARAMETER = re.compile(r'([a-zA-Z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SAFE_TOKEN = re.compile(r"\A[!-~]{1,60000}\Z")


class KeyHolder(Protocol):
    """Whoever knows the user's credentials; `Keychain` does."""

    def credentials(self, repository: Repository, *, fresh: bool = False) -> Credentials | None:
        """What to show this repository's registry."""


def pull(repository: Repository) -> str:
    """The scope of reading a repository."""
    return f"repository:{repository.path}:pull"


def push(repository: Repository) -> str:
    """The scope of reading and writing it."""
    return f"repository:{repository.path}:pull,push"


def remove(repository: Repository) -> str:
    """The scope of removing from it. Source: https://distribution.github.io/distribution/spec/auth/scope/"""
    return f"repository:{repository.path}:delete,pull"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry wants to see: `basic` or `bearer` (with realm, service, scope), or `none`."""

    scheme: str = "none"
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, header: str) -> Challenge:
        """The best challenge in a WWW-Authenticate header: Bearer before Basic, `none` where there is neither."""
        starts = [*_SCHEME.finditer(header)]
        ends = [*(match.start() for match in starts), len(header)][1:]
        found: dict[str, dict[str, str]] = {}
        for match, end in zip(starts, ends, strict=True):
            values = {
                name.lower(): re.sub(r"\\(.)", r"\1", quoted) or bare
                for name, quoted, bare in _PARAMETER.findall(header[match.end() : end])
            }
            found.setdefault(match[1].lower(), values)
        for scheme in ("bearer", "basic"):
            if scheme in found and (scheme == "basic" or "realm" in found["bearer"]):
                return cls(scheme, found[scheme])
        return cls()


@dataclass(slots=True)
class _Grant:
    """A set of scopes, and the token we hold for it now."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: str = field(default="", repr=False)
    until: float = 0.0
    handed: int = 0
    """To how many requests this token was given."""
    refused: tuple[Credentials | None, AuthError] | None = None
    """Whom the token service has turned away: nobody is shown to it twice, since accounts get locked by that."""


class Authorizer:
    """Gives Authorization headers, fetching what they need. Safe for threads: a token is fetched by one of them."""

    def __init__(self, transport: Transport, keys: KeyHolder | None, clock: Clock = time) -> None:
        self._transport = transport
        self._keys = keys
        self._clock = clock
        self._lock = threading.Lock()
        self._pings: dict[str, threading.Lock] = {}
        self._challenges: dict[str, Challenge] = {}
        self._grants: dict[tuple[str, str, Scopes], _Grant] = {}

    def base(self, repository: Repository) -> str:
        """The origin at which a repository's registry is spoken to."""
        registry = "registry-1.docker.io" if repository.registry == DOCKER_HUB else repository.registry
        return self._transport.routes.base(registry)

    def who(self, repository: Repository) -> str:
        """Who we are to this registry, for messages."""
        known = self._credentials(repository)
        if known is None:
            return "nobody: no credentials were found"
        return f"{known.username or 'the holder of a token'} (credentials from {known.source})"

    def header(self, repository: Repository, scopes: Scopes) -> str | None:
        """The Authorization to send with a request, or None where the registry asks for none."""
        return self._answer(repository, scopes, self._challenge(repository))

    def renew(self, repository: Repository, scopes: Scopes, posed: str, stale: str | None) -> str | None:
        """Another Authorization after the registry answered 401 to `stale`; None when there is nothing new to say."""
        challenge = Challenge.parse(posed)
        if challenge.scheme == "none":
            return None
        with self._lock:
            lasting = {name: text for name, text in challenge.parameters.items() if name != "scope"}
            self._challenges[self.base(repository)] = Challenge(challenge.scheme, lasting)
        if stale is not None:
            self._credentials(repository, fresh=True)
        header = self._answer(repository, scopes, challenge, stale)
        return None if header == stale else header

    def own(self, repository: Repository, scopes: Scopes, posed: str, stale: str | None) -> str | None:
        """A token for one request alone, after a renewed one was refused that others used too; else None."""
        challenge, known = Challenge.parse(posed), self._credentials(repository)
        if challenge.scheme != "bearer" or (known is not None and known.registry_token):
            return None
        grant = self._grant(repository, scopes)
        with grant.lock:
            if f"Bearer {grant.token}" == stale and grant.handed == 1:
                return None
        return f"Bearer {self._fetch(repository, scopes, challenge, known)[0]}"

    def _grant(self, repository: Repository, scopes: Scopes) -> _Grant:
        with self._lock:
            return self._grants.setdefault((self.base(repository), repository.path, scopes), _Grant())

    def _credentials(self, repository: Repository, *, fresh: bool = False) -> Credentials | None:
        if self._keys is None:
            return None
        found = self._keys.credentials(repository, fresh=fresh)
        if found is not None:
            self._transport.hide(*found.secrets)
        return found

    def _challenge(self, repository: Repository) -> Challenge:
        base = self.base(repository)
        with self._lock:
            lock = self._pings.setdefault(base, threading.Lock())
        with lock:
            known = self._challenges.get(base)
            if known is None:
                response = self._transport.exchange("GET", f"{base}/v2/", home=base)
                if is_trouble(response):
                    raise self._transport.failure(response)
                posed = response.headers.get("WWW-Authenticate", "") if response.status == 401 else ""
                self._transport.done(response)
                known = self._challenges.setdefault(base, Challenge.parse(posed))
        return known

    def _answer(
        self, repository: Repository, scopes: Scopes, challenge: Challenge, stale: str | None = None
    ) -> str | None:
        if challenge.scheme == "none":
            return None
        known = self._credentials(repository)
        if challenge.scheme == "basic":
            return None if known is None or not known.username else self._basic(known)
        if known is not None and known.registry_token:
            return f"Bearer {known.registry_token}"
        grant = self._grant(repository, scopes)
        with grant.lock:
            if not grant.token or f"Bearer {grant.token}" == stale or self._clock.monotonic() > grant.until:
                if grant.refused is not None and grant.refused[0] == known:
                    raise AuthError(grant.refused[1].message, hint=grant.refused[1].hint)
                try:
                    grant.token, life = self._fetch(repository, scopes, challenge, known)
                except AuthError as error:
                    grant.refused = known, error
                    raise
                grant.handed = 0
                grant.until = self._clock.monotonic() + max(life - _MARGIN, life / 2)
            grant.handed += 1
            return f"Bearer {grant.token}"

    def _basic(self, known: Credentials) -> str:
        encoded = base64.b64encode(f"{known.username}:{known.password}".encode()).decode()
        self._transport.hide(encoded)
        return f"Basic {encoded}"

    def _fetch(
        self, repository: Repository, scopes: Scopes, challenge: Challenge, known: Credentials | None
    ) -> tuple[str, float]:
        """A token for these scopes, and the seconds it lives."""
        base = self.base(repository)
        realm = self._transport.routes.follow(f"{base}/v2/", challenge.parameters["realm"], "token service")
        asked = (*scopes, *_missing(challenge.parameters.get("scope", ""), scopes))
        service = [("service", text) for text in [challenge.parameters.get("service")] if text]
        response = None
        if known is not None and known.identity_token:
            form = [
                ("grant_type", "refresh_token"),
                *service,
                ("client_id", "dsci"),
                ("scope", " ".join(asked)),
                ("refresh_token", known.identity_token),
            ]
            response = self._transport.exchange(
                "POST",
                realm,
                home=realm,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=Body.of(urlencode(form).encode()),
                redirects=False,
            )
            if response.status in (404, 405):  # a service from before OAuth2
                self._transport.done(response)
                response = None
        if response is None:
            query = urlencode([*service, *(("scope", scope) for scope in asked)])
            basic = self._basic(known) if known is not None and known.username else None
            url = f"{realm}{'&' if '?' in realm else '?'}{query}"
            response = self._transport.exchange("GET", url, home=realm, authorization=basic, redirects=False)
        if response.status != 200:
            raise self._transport.failure(
                response, who=self.who(repository), hint=login(repository) if response.status in (401, 403) else ""
            )
        where = self._transport.name(response)
        try:
            answer = json.loads(self._transport.read(response))
            token = answer.get("token") or answer.get("access_token")
            life = answer.get("expires_in") or 60
        except (ValueError, AttributeError, RecursionError):
            token = life = None
        if not isinstance(token, str) or not _SAFE_TOKEN.match(token) or not isinstance(life, int | float):
            raise HttpError(
                f"{where}: the token service of {repository.registry} answered without a token",
                hint=f"is that what {repository.registry} uses, or has something on the way answered in its place?",
            )
        self._transport.hide(token)
        return token, min(max(float(life), 1.0), 86400.0)


def _missing(posed: str, scopes: Scopes) -> Scopes:
    """The scopes a challenge names beyond ours: the registry knows best what it wants."""
    have = {(scope.rpartition(":")[0], action) for scope in scopes for action in scope.rpartition(":")[2].split(",")}
    return tuple(
        scope
        for scope in posed.split()
        if not {(scope.rpartition(":")[0], action) for action in scope.rpartition(":")[2].split(",")} <= have
    )


def login(repository: Repository) -> str:
    """What to do about a refusal."""
    name = "" if repository.registry == DOCKER_HUB else f" {repository.registry}"
    variable = f"DSCI_REGISTRY_TOKEN_{tokenvariables.spelled(repository.registry)}"
    return f"docker login{name}, with an account or token that may use {repository.familiar}; in CI set {variable}"
