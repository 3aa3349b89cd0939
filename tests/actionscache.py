"""GitHub's cache service in its first version, as far as BuildKit uses it: entries are reserved, sent and committed.

Keys are found whole or by their beginning, the newest first; every request must carry the token. Nothing is evicted.
Source: https://github.com/actions/toolkit/blob/@actions/cache@3.2.4/packages/cache/src/internal/cacheHttpClient.ts
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.serving import body_of, serving

API = "/_apis/artifactcache/"


def token(permission: int = 3) -> str:
    """A token as a runner has it: a JWT that names what may be read and written, signed by nobody."""
    rights = json.dumps([{"Scope": "refs/heads/main", "Permission": permission}])
    parts = ({"alg": "none"}, {"exp": 4102444800, "nbf": 1700000000, "ac": rights})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


class ActionsCache:
    """The service; `entries` are what was committed, by key and version."""

    def __init__(self, address: str) -> None:
        self.token = token()
        self.entries: dict[tuple[str, str], bytes] = {}
        self.reserved: dict[int, tuple[str, str, bytearray]] = {}
        self.requests: list[str] = []
        self.refused = 0
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"service": self})
        self._server = ThreadingHTTPServer((address, 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://{address}:{self._server.server_port}/"

    @property
    def environment(self) -> dict[str, str]:
        return {"ACTIONS_CACHE_URL": self.url, "ACTIONS_RUNTIME_TOKEN": self.token}

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.entries]

    @contextlib.contextmanager
    def serving(self) -> Iterator[ActionsCache]:
        with serving(self._server):
            yield self


class _Handler(BaseHTTPRequestHandler):
    service: ActionsCache
    protocol_version = "HTTP/1.1"

    def handle_one(self) -> None:
        body = body_of(self) or b""
        parts = urlsplit(self.path)
        with self.service.lock:
            self.service.requests.append(f"{self.command} {self.path}")
            if parts.path.startswith("/archive/"):
                self._archive(int(parts.path.rpartition("/")[2]))
            elif self.headers.get("Authorization") != f"Bearer {self.service.token}":
                self.service.refused += 1
                self._answer(401, {"message": "who are you?"})
            else:
                self._api(parts.path.removeprefix(API), parse_qs(parts.query), body)

    def _api(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        entries, reserved = self.service.entries, self.service.reserved
        if (self.command, path) == ("GET", "cache"):
            version = query["version"][0]
            for wanted in query["keys"][0].split(","):
                for number, (key, of) in reversed(list(enumerate(entries))):
                    if of == version and key.startswith(wanted):
                        place = f"{self.service.url}archive/{number}"
                        self._answer(200, {"cacheKey": key, "scope": "refs/heads/main", "archiveLocation": place})
                        return
            self._answer(204)
        elif (self.command, path) == ("POST", "caches"):
            asked = json.loads(body)
            if (asked["key"], asked["version"]) in entries:
                kind = "ArtifactCacheItemAlreadyExistsException"
                self._answer(409, {"message": "there is one", "typeName": kind, "typeKey": kind})
                return
            number = len(reserved) + 1
            reserved[number] = (asked["key"], asked["version"], bytearray())
            self._answer(201, {"cacheId": number})
        elif match := re.fullmatch(r"caches/(\d+)", path):
            key, version, content = reserved[int(match[1])]
            if self.command == "PATCH":
                start = int(re.match(r"bytes (\d+)-", self.headers["Content-Range"])[1])  # type: ignore[index]
                content.extend(bytes(max(0, start + len(body) - len(content))))
                content[start : start + len(body)] = body
            else:
                assert json.loads(body)["size"] == len(content)
                entries[key, version] = bytes(content)
            self._answer(204)
        else:
            self._answer(404, {"message": "no such thing"})

    def _archive(self, number: int) -> None:
        content = list(self.service.entries.values())[number]
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if match is None:
            self._send(200, content, {})
            return
        start, end = int(match[1]), int(match[2] or len(content) - 1)
        self._send(206, content[start : end + 1], {"Content-Range": f"bytes {start}-{end}/{len(content)}"})

    def _answer(self, status: int, value: object = None) -> None:
        self._send(status, b"" if value is None else json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, text in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PATCH = handle_one

    def log_message(self, *_: object) -> None:
        pass
