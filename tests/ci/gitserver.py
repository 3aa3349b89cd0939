"""A Git remote over HTTP, as GitLab is one: who pushes has to name a token."""

from __future__ import annotations

import base64
import os
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from tests.serving import body_of


def git_server(remote: Path, path: str, token: str) -> ThreadingHTTPServer:
    """A server with one repository, at this path; it has yet to be started."""
    handler = type("Handler", (_Handler,), {"remote": remote, "path_of": f"/{path}.git", "token": token})
    return ThreadingHTTPServer(("127.0.0.1", 0), handler)


class _Handler(BaseHTTPRequestHandler):
    remote: Path
    path_of: str
    token: str

    def handle_one(self) -> None:
        wanted = "Basic " + base64.b64encode(f"oauth2:{self.token}".encode()).decode()
        asked = urlsplit(self.path)
        rest = asked.path.removeprefix(self.path_of)
        if rest == asked.path or self.headers.get("Authorization") != wanted:
            self.send_response(404 if rest == asked.path else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.remote.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{self.remote.name}{rest}",
            "QUERY_STRING": asked.query,
            "REQUEST_METHOD": self.command,
            "REMOTE_USER": "oauth2",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        ended = subprocess.run(
            ["git", "http-backend"], input=body_of(self), env=environment, capture_output=True, check=True
        )
        head, _, body = ended.stdout.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(lines.pop("Status", "200 OK").split()[0]))
        for name, text in {**lines, "Content-Length": str(len(body))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = handle_one

    def log_message(self, *_: object) -> None:
        pass
