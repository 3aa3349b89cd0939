"""A registry in memory that misbehaves on request, with a token service beside it.

It keeps every request with its headers, so that tests can say what was sent where. `Rule`s match a method, a path and
the how-manyeth such request, and answer in the registry's stead, before or after it acted.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dsci.model.oci import OCI_INDEX, Digest


class FastClock:
    """A clock that notes how long it should sleep, and is there at once."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return time.monotonic() + sum(self.slept)

    def sleep(self, seconds: float, /) -> None:
        self.slept.append(seconds)


def action(seen: Seen) -> str:
    """What a request needs the right to."""
    if seen.method in ("GET", "HEAD"):
        return "pull"
    return "delete" if seen.method == "DELETE" and "/manifests/" in seen.path else "push"


@dataclass
class Seen:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def authorization(self) -> str:
        return self.headers.get("Authorization", "")


@dataclass
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Rule:
    """Answer so to requests `first`…`last` (counted from 1) that match."""

    method: str
    path: str
    answer: Callable[[Seen], Answer | None] | Answer | str
    """An answer, what makes one (None: carry on), or `drop` (close the connection) or `lost` (act, then close it)."""
    first: int = 1
    last: int = 1
    count: int = 0

    def matches(self, seen: Seen) -> bool:
        if self.method != seen.method or not re.search(self.path, seen.path):
            return False
        self.count += 1
        return self.first <= self.count <= self.last


class ScriptedRegistry:
    """Start with `with`; `host` is its name. `tokens` makes it ask for bearer tokens, `basic` for user and password."""

    def __init__(self, *, tokens: bool = False, basic: str = "", realm: str = "", referrers: bool = False) -> None:
        self.rules: list[Rule] = []
        self.seen: list[Seen] = []
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads = self.issued = 0
        self.tokens, self.basic, self.realm = tokens, basic, realm
        self.lists_referrers = referrers
        self.valid: dict[str, set[str]] = {}
        self.denied: set[str] = set()
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"registry": self})
        self.server = _Server(("127.0.0.1", 0), handler)
        self.host = f"127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> ScriptedRegistry:
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.server.hang_up()

    @property
    def connections(self) -> int:
        """How many there were so far."""
        return len(self.server.accepted)

    def rule(self, method: str, path: str, answer: Any, first: int = 1, last: int = 1) -> Rule:
        self.rules.append(Rule(method, path, answer, first, last))
        return self.rules[-1]

    def requests(self, method: str, path: str = "") -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and re.search(path, seen.path)]

    # ------------------------------------------------------------------------------------------- the registry itself

    def answer(self, seen: Seen) -> Answer | str:
        with self.lock:
            self.seen.append(seen)
            rule = next([rule for rule in self.rules if rule.matches(seen)].__iter__(), None)
            if rule is not None:
                if rule.answer == "lost":
                    self.act(seen)
                    return "drop"
                if isinstance(rule.answer, str | Answer):
                    return rule.answer
                made = rule.answer(seen)
                if made is not None:
                    return made
            return self.act(seen)

    def act(self, seen: Seen) -> Answer:
        if seen.path == "/token":
            return self.token(seen)
        refusal = self.refuse(seen)
        if refusal is not None:
            return refusal
        if seen.path == "/v2/":
            return Answer(200)
        match = re.fullmatch(
            r"/v2/(.+)/(blobs|manifests|tags|referrers)/(.+)", seen.path.replace("/blobs/uploads/", "/blobs/uploads:")
        )
        if not match:
            return error(404, "NAME_UNKNOWN")
        name, kind, rest = match.groups()
        act: Callable[[Seen, str, str], Answer] = getattr(self, f"act_{kind}")
        return act(seen, name, rest)

    def act_blobs(self, seen: Seen, name: str, rest: str) -> Answer:
        if rest.startswith("uploads:"):
            return self.act_uploads(seen, name, rest)
        content = self.blobs.get((name, rest))
        if content is None:
            return error(404, "BLOB_UNKNOWN")
        return Answer(200, {"Content-Type": "application/octet-stream", "Docker-Content-Digest": rest}, content)

    def act_uploads(self, seen: Seen, name: str, rest: str) -> Answer:
        if seen.method == "POST":
            mount, origin = seen.query.get("mount", [""])[0], seen.query.get("from", [""])[0]
            if (origin, mount) in self.blobs:
                self.blobs[name, mount] = self.blobs[origin, mount]
                return Answer(201, {"Location": f"/v2/{name}/blobs/{mount}"})
            self.uploads += 1
            return Answer(202, {"Location": f"/v2/{name}/blobs/uploads/u{self.uploads}?_state=SECRETSTATE"})
        if seen.method == "DELETE":
            return Answer(204)
        digest = seen.query["digest"][0]
        if str(Digest.of(seen.body)) != digest:
            return error(400, "DIGEST_INVALID")
        self.blobs[name, digest] = seen.body
        return Answer(201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})

    def act_manifests(self, seen: Seen, name: str, rest: str) -> Answer:
        if seen.method == "PUT":
            digest = str(Digest.of(seen.body))
            self.manifests[name, rest] = self.manifests[name, digest] = (seen.headers["Content-Type"], seen.body)
            subject = json.loads(seen.body).get("subject") if self.lists_referrers else None
            told = {"OCI-Subject": subject["digest"]} if subject else {}
            return Answer(201, {"Docker-Content-Digest": digest, **told})
        if (name, rest) not in self.manifests:
            return error(404, "MANIFEST_UNKNOWN")
        if seen.method == "DELETE":
            if not rest.startswith("sha256:"):
                return error(405, "UNSUPPORTED")
            gone = [key for key, (_, content) in self.manifests.items() if str(Digest.of(content)) == rest]
            for key in gone:
                if key[0] == name:
                    del self.manifests[key]
            return Answer(202)
        kind, content = self.manifests[name, rest]
        return Answer(200, {"Content-Type": kind, "Docker-Content-Digest": str(Digest.of(content))}, content)

    def act_referrers(self, seen: Seen, name: str, rest: str) -> Answer:
        if not self.lists_referrers:
            return Answer(404, {"Content-Type": "text/plain"}, b"404 page not found\n")
        found = []
        for (repository, digest), (kind, content) in sorted(self.manifests.items()):
            value = json.loads(content)
            if repository == name and ":" in digest and (value.get("subject") or {}).get("digest") == rest:
                about = {key: value[key] for key in ("artifactType", "annotations") if key in value}
                found.append({"mediaType": kind, "digest": digest, "size": len(content), **about})
        after = int(seen.query.get("after", ["0"])[0])
        more = after + 2 < len(found)
        link = {"Link": f'</v2/{name}/referrers/{rest}?after={after + 2}>; rel="next"'} if more else {}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found[after : after + 2]}
        return Answer(200, {"Content-Type": OCI_INDEX, **link}, json.dumps(index).encode())

    def act_tags(self, seen: Seen, name: str, rest: str) -> Answer:
        tags = sorted(tag for repository, tag in self.manifests if repository == name and ":" not in tag)
        after = seen.query.get("last", [""])[0]
        page = [tag for tag in tags if tag > after][:2]
        more = page and page[-1] != tags[-1]
        link = {"Link": f'</v2/{name}/tags/list?last={page[-1]}&n=2>; rel="next"'} if more else {}
        return Answer(
            200, {"Content-Type": "application/json", **link}, json.dumps({"name": name, "tags": page}).encode()
        )

    # ----------------------------------------------------------------------------------------------------- who may

    def refuse(self, seen: Seen) -> Answer | None:
        if self.basic:
            if seen.authorization == "Basic " + base64.b64encode(self.basic.encode()).decode():
                return None
            return Answer(401, {"WWW-Authenticate": 'Basic realm="here"'})
        if not self.tokens:
            return None
        held = self.valid.get(seen.authorization.removeprefix("Bearer "))
        match = re.match(r"/v2/(.+)/(?:blobs|manifests|tags|referrers)/", seen.path)
        need = {f"repository:{match[1]}:{action(seen)}"} if match else set()
        if "mount" in seen.query:
            need.add(f"repository:{seen.query['from'][0]}:pull")
        if held is not None and need <= held:
            return None
        realm = self.realm or f"http://{self.host}/token"
        posed = f'Bearer realm="{realm}",service="scripted"' + (f',scope="{" ".join(sorted(need))}"' if need else "")
        return Answer(401, {"WWW-Authenticate": posed}, error(401, "UNAUTHORIZED").body)

    def token(self, seen: Seen) -> Answer:
        form = parse_qs(seen.body.decode()) if seen.method == "POST" else seen.query
        asked = " ".join(form.get("scope", [])).split()
        given = {
            f"{scope.rpartition(':')[0]}:{action}" for scope in asked for action in scope.rpartition(":")[2].split(",")
        } - self.denied
        self.issued += 1
        token = f"TOKEN-{self.issued}-CANARY"
        self.valid[token] = given
        return Answer(
            200, {"Content-Type": "application/json"}, json.dumps({"token": token, "expires_in": 300}).encode()
        )


def error(status: int, code: str, message: str = "no") -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Answer(status, {"Content-Type": "application/json"}, body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        self.accepted: list[socket.socket] = []
        super().__init__(*arguments)

    def get_request(self) -> tuple[socket.socket, Any]:
        found = super().get_request()
        self.accepted.append(found[0])
        return found

    def hang_up(self) -> None:
        """End what connections there are."""
        for connection in self.accepted:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    registry: ScriptedRegistry
    protocol_version = "HTTP/1.1"

    def handle_one(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = Seen(self.command, parts.path, parse_qs(parts.query, keep_blank_values=True), dict(self.headers), body)
        answer = self.registry.answer(seen)
        if isinstance(answer, str):
            self.close_connection = True
            return
        self.send_response(answer.status)
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

    def log_message(self, *_: object) -> None:
        pass
