"""Getting blobs into a repository, each once, and without sending what the registry can have otherwise.

The unit is the whole upload: HEAD, a mount from a repository where this run has seen the blob, else POST and PUT, then
HEAD again. A broken upload is not resumed: the next try finds the blob there (the acknowledgement was lost) or begins
anew. Manifests are `registry`'s.

Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-blobs
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

from dsci.drivers.tokens import pull, push
from dsci.drivers.transport import Body, HttpError, is_trouble
from dsci.drivers.verify import chunks, verified
from dsci.drivers.wire import DAMAGED, Wire, length, media_type
from dsci.errors import AuthError, RegistryError
from dsci.model.oci import Descriptor, Digest
from dsci.model.reference import Repository
from dsci.ports import ImageSource

#: Blobs of one image that travel at the same time; as many as skopeo sends.
_JOBS = 6
#: Answers to a PUT after which the upload must begin anew, though other requests would take them for final.
_RESTART = (
    "BLOB_UPLOAD_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "DIGEST_INVALID",
    "SIZE_INVALID",
    "RANGE_INVALID",
    "404",
    "416",
)


class Uploads:
    """Knows which blobs are where in this run. Safe for threads: of several that want a blob, one sends it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._retrying = wire.transport.retrying
        self._lock = threading.Lock()
        self._turns: dict[tuple[Repository, Digest], threading.Lock] = {}
        self._present: set[tuple[Repository, Digest]] = set()
        self._homes: dict[tuple[str, Digest], Repository] = {}

    def send_all(self, source: ImageSource, repository: Repository, blobs: Collection[Descriptor]) -> None:
        """Upload an image's blobs, some at a time. After a failure the others stop at their next chunk."""
        stop = threading.Event()

        def send(blob: Descriptor) -> None:
            self.send(repository, blob, Body(blob.size, lambda: _content(source, blob, stop)))

        with ThreadPoolExecutor(max_workers=_JOBS, thread_name_prefix="dsci-push") as pool:
            sent = [pool.submit(send, blob) for blob in blobs]
            try:
                for future in sent:
                    future.result()
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def send(self, repository: Repository, blob: Descriptor, body: Body) -> None:
        """Upload a blob, unless it is there."""
        with self._lock:
            turn = self._turns.setdefault((repository, blob.digest), threading.Lock())
        with turn:
            if (repository, blob.digest) not in self._present:
                self._retrying(lambda: self._upload(repository, blob, body))
                self._note(repository, blob)

    def mount(self, source: Repository, blob: Descriptor, repository: Repository) -> bool:
        """Have a blob that another repository of the same registry holds; False when the registry will not."""
        if self._retrying(lambda: self._has(repository, blob)):
            return True
        try:
            location = self._mount(source, blob, repository)
        except RegistryError:
            return False
        if location is not None:
            self.cancel(location, repository)
            return False
        self._note(repository, blob)
        return True

    def lacks(self, repository: Repository, blob: Descriptor) -> bool:
        """Whether the registry says that a blob is not there, or not in its full size."""
        if (repository, blob.digest) in self._present:
            return False
        try:
            status, size = self._retrying(lambda: self._look(repository, blob, pull(repository)))
        except AuthError:
            return False
        return status == 404 or (status == 200 and size not in (None, blob.size))

    def forget(self, repository: Repository, blobs: Collection[Digest]) -> None:
        """Look again before believing that these blobs are there."""
        with self._lock:
            self._present.difference_update((repository, digest) for digest in blobs)

    def start(self, repository: Repository) -> str:
        """Open an upload; gives where it goes on."""
        response = self._wire.request(
            "POST", self._wire.url(repository, "blobs/uploads/"), repository, (push(repository),)
        )
        if response.status == 202:
            return self._wire.following(response)
        hint = f"create {repository} in its registry first, or check its name" if response.status == 404 else ""
        raise self._wire.failure(response, repository, hint=hint)

    def cancel(self, location: str, repository: Repository) -> None:
        """Take an upload back. Registries purge what is left over, so a refusal does not matter."""
        with contextlib.suppress(RegistryError):
            self._wire.transport.done(self._wire.request("DELETE", location, repository, (push(repository),)))

    def _upload(self, repository: Repository, blob: Descriptor, body: Body) -> None:
        if self._has(repository, blob):
            return
        location: str | None = None
        home = self._homes.get((repository.registry, blob.digest))
        if home is not None and home != repository:
            with contextlib.suppress(RegistryError):  # no rights there, not supported, out of order: send it
                location = self._mount(home, blob, repository)
                if location is None:
                    return
        location = location or self.start(repository)
        url = f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': str(blob.digest)})}"
        headers = {"Content-Type": "application/octet-stream"}
        response = self._wire.request("PUT", url, repository, (push(repository),), headers=headers, body=body)
        if response.status not in (201, 204):
            hint = ""
            if response.status >= 500:
                hint = f"if {repository.registry} cannot store {blob.digest.short}: is its disk or a quota full?"
            raise self._wire.failure(response, repository, hint=hint, restart=_RESTART)
        self._wire.transport.done(response)
        self._confirm(repository, blob)

    def _mount(self, source: Repository, blob: Descriptor, repository: Repository) -> str | None:
        """None when the blob was mounted, else where the upload goes on that the registry opened instead."""
        query = urlencode({"mount": str(blob.digest), "from": source.path})
        scopes = (push(repository), pull(source))  # push first: some token services look at the first only
        url = self._wire.url(repository, f"blobs/uploads/?{query}")
        response = self._wire.request("POST", url, repository, scopes)
        if response.status == 202:
            return self._wire.following(response)
        if response.status != 201:
            raise self._wire.failure(response, repository)
        self._wire.transport.done(response)
        self._confirm(repository, blob)
        return None

    def _has(self, repository: Repository, blob: Descriptor) -> bool:
        """Whether the blob is there in its full size; False where the registry will not say (403, 405, a web page)."""
        try:
            status, size = self._look(repository, blob, push(repository))
        except AuthError:
            return False
        return status == 200 and size in (None, blob.size)

    def _confirm(self, repository: Repository, blob: Descriptor) -> None:
        """Look again after an upload: some registries say 201 to anything."""
        what = f"{repository}: the registry accepted {blob.digest}"
        status, size = self._look(repository, blob, push(repository))
        if status == 404:
            raise HttpError(f"{what}, but does not have it", hint="run again later", temporary=True)
        if status == 200 and size not in (None, blob.size):
            raise RegistryError(f"{what}, but keeps {size} of its {blob.size} bytes", hint=DAMAGED)

    def _look(self, repository: Repository, blob: Descriptor, scope: str) -> tuple[int, int | None]:
        url = self._wire.url(repository, f"blobs/{blob.digest}")
        response = self._wire.request("HEAD", url, repository, (scope,))
        if is_trouble(response) and response.status != 501:  # which says no more than 405
            raise self._wire.failure(response, repository)
        self._wire.transport.done(response)
        if media_type(response) in ("text/html", "application/xhtml+xml"):  # a login page that answers everything
            return 406, None
        return response.status, length(response)

    def _note(self, repository: Repository, blob: Descriptor) -> None:
        with self._lock:
            self._present.add((repository, blob.digest))
            self._homes.setdefault((repository.registry, blob.digest), repository)


def _content(source: ImageSource, blob: Descriptor, stop: threading.Event) -> Iterator[bytes]:
    """A blob's verified bytes out of a source; what cannot be read is an error of the source, not of the network."""
    try:
        stream = source.open(blob)
    except OSError as error:
        raise RegistryError(f"cannot read {blob.digest} of the image to push: {error.strerror}") from None
    with stream:
        for piece in verified(chunks(stream), blob, "the image to push"):
            if stop.is_set():
                raise RegistryError(f"the upload of {blob.digest} was stopped because another one failed")
            yield piece
