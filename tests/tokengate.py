"""A token service, and a registry's door that wants its tokens: before a real registry, as a gate of `FaultyProxy`.

Tokens can be made to serve so many requests only, or to say anything about their lives.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.faults import Reply, Seen, refusal


@dataclass(slots=True)
class TokenGate:
    """Gives tokens at `/token` to whoever shows `user` and `password`, and asks for them everywhere below `/v2/`."""

    user: str
    password: str
    uses: int = 1 << 30
    """How many requests a token serves."""
    says: dict[str, Any] = field(default_factory=lambda: {"expires_in": 300})
    """What is told beside the token."""
    never: frozenset[str] = frozenset()
    """Scopes that nobody gets, such as `repository:acme/a:push`."""
    issued: int = 0
    refused: int = 0
    realm: str = ""
    _left: dict[str, tuple[int, frozenset[str]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no output may show."""
        return (self.password, base64.b64encode(f"{self.user}:{self.password}".encode()).decode(), "TOKENCANARY")

    def __call__(self, seen: Seen, body: bytes) -> Reply | None:
        url = urlsplit(seen.path)
        with self._lock:
            if url.path == "/token":
                return self._token(seen, parse_qs(body.decode() if seen.method == "POST" else url.query))
            need = _needs(seen.method, url.path, parse_qs(url.query))
            token = seen.authorization.removeprefix("Bearer ")
            left, given = self._left.get(token, (0, frozenset()))
            if left > 0 and need <= given:
                self._left[token] = (left - 1, given)
                return None
            self.refused += 1
        realm = self.realm or f"http://{seen.headers['Host']}/token"
        scope = f',scope="{" ".join(sorted(need))}"' if need else ""
        answer = refusal(401, "UNAUTHORIZED", WWW_Authenticate=f'Bearer realm="{realm}",service="gate"{scope}')
        return Reply(401, answer.headers, answer.body, read=seen.size < 1 << 20)

    def _token(self, seen: Seen, asked: dict[str, list[str]]) -> Reply:
        shown = f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"
        if seen.authorization != shown and asked.get("refresh_token") != [self.password]:
            return refusal(401, "UNAUTHORIZED", WWW_Authenticate='Basic realm="gate"')
        given = {
            f"{scope.rpartition(':')[0]}:{action}"
            for text in asked.get("scope", [])
            for scope in text.split()
            for action in scope.rpartition(":")[2].split(",")
        }
        self.issued += 1
        token = f"TOKENCANARY{self.issued}"
        self._left[token] = (self.uses, frozenset(given - self.never))
        content = json.dumps({"token": token, **self.says}).encode()
        return Reply(200, {"Content-Type": "application/json"}, content)


def _needs(method: str, path: str, query: dict[str, list[str]]) -> frozenset[str]:
    match = re.match(r"/v2/(.+?)/(?:blobs|manifests|tags)/", path)
    if not match:
        return frozenset()
    action = "delete" if method == "DELETE" and "/manifests/" in path else "push"
    action = "pull" if method in ("GET", "HEAD") else action
    mounted = {f"repository:{source}:pull" for source in query.get("from", [])}
    return frozenset({f"repository:{match[1]}:{action}"} | mounted)
