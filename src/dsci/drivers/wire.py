"""One authorized request to a registry, and what its answer's headers say.

Between `transport`, which knows HTTP, and `registry` and `uploads`, which know the distribution specification: here a
request gets the registry's address and our Authorization, and after a 401 a renewed one. Statuses are not judged here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Mapping

from dsci.drivers.routes import origin
from dsci.drivers.tokens import Authorizer, Scopes, login
from dsci.drivers.transport import Answer, Body, Transport
from dsci.errors import RegistryError
from dsci.model.oci import Digest, OciError
from dsci.model.reference import Repository


class Wire:
    """Sends requests about repositories. Safe for threads."""

    def __init__(self, transport: Transport, authorizer: Authorizer) -> None:
        self.transport = transport
        self._authorizer = authorizer
        self._lock = threading.Lock()
        self.writes = 0

    def url(self, repository: Repository, tail: str) -> str:
        """A URL below the repository's name."""
        return f"{self._authorizer.base(repository)}/v2/{repository.path}/{tail}"

    def request(
        self,
        method: str,
        url: str,
        repository: Repository,
        scopes: Scopes,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> Answer:
        """One exchange, authorized; after a 401 from the registry itself, once more with a renewed token.

        Others use that one too, so it may be used up before it gets there: then again, with one of our own.
        """
        home = self._authorizer.base(repository)
        header = self._authorizer.header(repository, scopes)
        response = self._exchange(method, url, home, header, headers, body)
        for another in (self._authorizer.renew, self._authorizer.own):
            if response.status != 401 or origin(response.url) != origin(home):
                break
            renewed = another(repository, scopes, response.headers.get("WWW-Authenticate", ""), header)
            if renewed is None:
                break
            self.transport.done(response)
            header = renewed
            response = self._exchange(method, url, home, header, headers, body)
        return response

    def _exchange(
        self,
        method: str,
        url: str,
        home: str,
        authorization: str | None,
        headers: Mapping[str, str] | None,
        body: Body | None,
    ) -> Answer:
        if method not in ("GET", "HEAD"):
            with self._lock:
                self.writes += 1
        return self.transport.exchange(method, url, home=home, authorization=authorization, headers=headers, body=body)

    def failure(
        self, response: Answer, repository: Repository, *, hint: str = "", restart: Collection[str] = ()
    ) -> RegistryError:
        """The error a response is; a refusal says who we were and how to become somebody else."""
        denied = response.status in (401, 403)
        who = self._authorizer.who(repository) if denied else ""
        hint = login(repository) if denied else hint
        return self.transport.failure(response, who=who, hint=hint, restart=restart)

    def following(self, response: Answer) -> str:
        """Where an upload goes on. Source: distribution-spec, "Pushing a blob in chunks"."""
        self.transport.done(response)
        return self.transport.routes.follow(response.url, response.headers.get("Location"), "Location")


def media_type(response: Answer) -> str:
    """The Content-Type without its parameters."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def said_digest(response: Answer) -> Digest | None:
    """The Docker-Content-Digest, where there is a legal one."""
    try:
        return Digest.parse(response.headers.get("Docker-Content-Digest", "").strip())
    except OciError:
        return None


def length(response: Answer) -> int | None:
    """The Content-Length, where there is one."""
    text = response.headers.get("Content-Length", "").strip()
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


PORTAL = "is this a registry? A proxy's login page or a web server may have answered in its place"
DAMAGED = "something between here and the registry alters content, or the registry is damaged: do not use it"
