"""A real registry on a loopback port: Debian's docker-registry, started with its own storage, ended by its own pid."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

CONFIG = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: false}}}}
storage:
  filesystem: {{rootdirectory: "{storage}"}}
  delete: {{enabled: {delete}}}
  cache: {{blobdescriptor: inmemory}}
http: {{addr: "127.0.0.1:{port}"}}
"""

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_TYPES = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.v2",
        "docker.distribution.manifest.list.v2",
    )
)


class RealRegistry:
    """One registry process. It picks its port itself, so that nobody else can take it."""

    def __init__(self, folder: Path, *, extra: str = "", delete: bool = True) -> None:
        program = os.environ.get("DSCI_TEST_REGISTRY_BIN") or shutil.which("docker-registry")
        if not program:
            raise AssertionError("docker-registry is not on PATH: run the tests with scripts/test, which installs it")
        folder.mkdir(parents=True, exist_ok=True)
        self._program, self._folder = program, folder
        self._extra = extra
        self._delete = str(delete).lower()
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""
        self.start()

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    @property
    def storage(self) -> Path:
        """Where it keeps what it is given."""
        return self._folder / "storage"

    def start(self) -> None:
        """Start it, at the port of last time if there was one."""
        config = self._folder / "config.yml"
        port = self.address.rpartition(":")[2] or "0"
        config.write_text(CONFIG.format(storage=self.storage, port=port, delete=self._delete) + self._extra)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [self._program, "serve", str(config)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
            )
        for _ in range(400):
            found = re.search(r"listening on (127\.0\.0\.1:\d+)", self._log.read_text(errors="replace"))
            if found:
                self.address = found[1]
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.025)
        raise AssertionError(f"docker-registry did not start: {self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End the process; the storage stays."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def writes(self) -> int:
        """How many requests that change something it has answered since it was started."""
        return len(re.findall(r'"(?:PUT|POST|PATCH|DELETE) /v2/', self._log.read_text(errors="replace")))

    def tags(self, repository: str, *, public: bool = True) -> set[str]:
        """The tags of a repository; those that dsci keeps for itself, and lists of referrers, only if asked for."""
        try:
            with _OPENER.open(f"http://{self.address}/v2/{repository}/tags/list", timeout=10) as answer:
                tags = set(json.load(answer)["tags"] or ())
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return set()
            raise
        return {tag for tag in tags if not (public and tag.startswith(("dsci-", "sha256-")))}

    def manifest(self, repository: str, reference: str) -> dict:
        """A manifest or an index."""
        request = urllib.request.Request(
            f"http://{self.address}/v2/{repository}/manifests/{reference}", headers={"Accept": _TYPES}
        )
        with _OPENER.open(request, timeout=10) as answer:
            return json.load(answer)

    def digest(self, repository: str, reference: str) -> str | None:
        """What a tag names now."""
        request = urllib.request.Request(
            f"http://{self.address}/v2/{repository}/manifests/{reference}", headers={"Accept": _TYPES}, method="HEAD"
        )
        try:
            with _OPENER.open(request, timeout=10) as answer:
                return answer.headers["Docker-Content-Digest"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def blob(self, repository: str, digest: str) -> dict:
        """A blob that is JSON, such as a config."""
        with _OPENER.open(f"http://{self.address}/v2/{repository}/blobs/{digest}", timeout=10) as answer:
            return json.load(answer)

    def content(self, repository: str, digest: str) -> bytes:
        """A blob's bytes, such as a layer."""
        with _OPENER.open(f"http://{self.address}/v2/{repository}/blobs/{digest}", timeout=30) as answer:
            return answer.read()

    def put(self, repository: str, reference: str, manifest: dict) -> str:
        """Write a manifest or an index under a name, as anybody could; gives its digest."""
        return self._send("PUT", repository, reference, json.dumps(manifest).encode(), manifest["mediaType"])

    def retag(self, repository: str, reference: str, tag: str) -> None:
        """Let a tag name what another name does, byte for byte, as anybody could."""
        request = urllib.request.Request(
            f"http://{self.address}/v2/{repository}/manifests/{reference}", headers={"Accept": _TYPES}
        )
        with _OPENER.open(request, timeout=10) as answer:
            content, kind = answer.read(), answer.headers["Content-Type"]
        self._send("PUT", repository, tag, content, kind)

    def delete(self, repository: str, digest: str) -> None:
        """Take a manifest away, with every tag that names it."""
        self._send("DELETE", repository, digest)

    def _send(self, method: str, repository: str, reference: str, content: bytes | None = None, kind: str = "") -> str:
        url = f"http://{self.address}/v2/{repository}/manifests/{reference}"
        headers = {"Content-Type": kind} if kind else {}
        request = urllib.request.Request(url, content, headers, method=method)
        with _OPENER.open(request, timeout=10) as answer:
            return answer.headers.get("Docker-Content-Digest", "")

    def delete_tag(self, repository: str, tag: str, *, named: bool = True) -> None:
        """Take a tag away, as a clean-up would, and (unless not `named`) whatever it names."""
        folder = self._folder / "storage/docker/registry/v2/repositories" / repository / "_manifests"
        link = folder / "tags" / tag / "current" / "link"
        digest = link.read_text().partition(":")[2]
        shutil.rmtree(folder / "tags" / tag)
        if named:
            shutil.rmtree(folder / "revisions" / "sha256" / digest, ignore_errors=True)

    def delete_blob(self, repository: str, digest: str) -> None:
        """Lose a blob of a repository, and nothing that names it."""
        layers = self._folder / "storage/docker/registry/v2/repositories" / repository / "_layers"
        shutil.rmtree(layers / "sha256" / digest.partition(":")[2])
        self.collect()

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether a blob can be had."""
        request = urllib.request.Request(f"http://{self.address}/v2/{repository}/blobs/{digest}", method="HEAD")
        try:
            with _OPENER.open(request, timeout=10) as answer:
                return answer.status == 200
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise

    def put_blob(self, repository: str, content: bytes) -> str:
        """Upload a small blob; gives its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        start = urllib.request.Request(f"http://{self.address}/v2/{repository}/blobs/uploads/", method="POST")
        with _OPENER.open(start, timeout=10) as answer:
            place = answer.headers["Location"]
        end = urllib.request.Request(f"{place}&digest={digest}", data=content, method="PUT")
        end.add_header("Content-Type", "application/octet-stream")
        with _OPENER.open(end, timeout=10):
            return digest

    def collect(self) -> None:
        """Forget what is kept in memory, by a new start."""
        self.stop()
        self.start()
