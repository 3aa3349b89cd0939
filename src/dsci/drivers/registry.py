"""A remote registry, spoken to as the OCI distribution specification has it.

Each method is one unit of work: HEAD first, so that what is there is not sent again and a lost acknowledgement turns
into "it is there"; then the write; then a second look. The whole unit is what is tried again after a temporary failure,
never a piece of it. 404 is a value; 401 and 403 on a read are "absent" only after this run proved that it may push
there (registries hide what does not exist); anything else that is no answer is an error that names verb, URL and the
server's code. What a server says is believed only as far as the digest goes.

The way down: `uploads` brings blobs, `referrers` lists what is attached, `wire` authorizes a request, `tokens` and
`keychain` know who we are, `transport` speaks HTTP, `routes` says where it may go.

Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md, section names in the methods.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Collection, Iterator
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import count
from typing import TypeVar

from dsci.drivers.pace import Clock
from dsci.drivers.referrers import NEXT, Referrers
from dsci.drivers.routes import Network, origin
from dsci.drivers.tokens import Authorizer, KeyHolder, pull, push, remove
from dsci.drivers.transport import Answer, Body, HttpError, Transport, is_trouble
from dsci.drivers.uploads import Uploads
from dsci.drivers.verify import verified
from dsci.drivers.wire import DAMAGED, PORTAL, Wire, length, media_type, said_digest
from dsci.errors import AuthError, ConfigError, ConflictError, DsciError, RegistryError, UnsupportedError
from dsci.model.artifact import as_referrer, subject_of
from dsci.model.oci import (
    INDEX_TYPES,
    MANIFEST_LIMIT,
    MANIFEST_TYPES,
    OCI_INDEX,
    Descriptor,
    Digest,
    Manifest,
    OciError,
    load_manifest,
)
from dsci.model.reference import Reference, Repository, check_tag
from dsci.ports import ImageSource

#: The largest blob that `blob` reads into memory.
BLOB_LIMIT = 8 * 1024 * 1024
_PAGE_LIMIT = 8 * 1024 * 1024
_PAGES = 10_000
_TYPES = MANIFEST_TYPES | INDEX_TYPES
_ACCEPT = {"Accept": ", ".join(sorted(_TYPES))}
#: How registries refuse to move an immutable tag, there being no rule. 403 may also mean what it says.
_IMMUTABLE = frozenset({400, 403, 409, 412})

_HOW_ELSE = (
    "allow it there (docker-registry: storage.delete.enabled), or delete by the registry's own interface: packages on "
    "GitHub, tags on Docker Hub; `dsci gc --dry-run --json` names what may go"
)
_TAGS_ELSE = (
    "its content is needed under another name and must stay: delete the tag by the registry's own interface, or say "
    "under `retention: keep:` in dsci.yaml that it stays (docker-registry deletes tags since 3.0)"
)

T = TypeVar("T")


class HttpRegistry:
    """Every registry there is, behind one object: each reference names its own. Safe for threads."""

    def __init__(
        self,
        *,
        keychain: KeyHolder | None = None,
        network: Network | None = None,
        insecure: Collection[str] = (),
        attempts: int = 5,
        clock: Clock = time,
        trace: Callable[[str], None] | None = None,
        waits: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`insecure` names hosts (or host:port) that speak plain HTTP, as this machine itself does.

        A unit of work is tried `attempts` times; `trace` is told every exchange, redacted, and `waits` every pause
        that a person would notice.
        """
        self._transport = Transport(
            network=network or Network(), insecure=insecure, attempts=attempts, clock=clock, trace=trace, waits=waits
        )
        self._wire = Wire(self._transport, Authorizer(self._transport, keychain, clock))
        self._uploads = Uploads(self._wire)
        self._lock = threading.Lock()
        self._proven: set[Repository] = set()
        self._enlisted: set[tuple[Repository, Digest]] = set()
        """Artifacts of which a registry said that it lists them."""
        self._referrers = Referrers(
            self._wire,
            read=self._read,
            write=self._write,
            proven=self._proven.__contains__,
            clock=clock,
        )

    @property
    def writes(self) -> int:
        """POST, PATCH, PUT and DELETE requests sent to registries so far, failed ones included."""
        return self._wire.writes

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    # ------------------------------------------------------------------------------------------------------- reading

    def resolve(self, reference: Reference) -> Descriptor | None:
        """The manifest or index this tag or digest names now ("Checking if content exists in the registry")."""
        return self._reading(reference.repository, lambda: self._head(reference))

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes] | None:
        """The same with its bytes, verified ("Pulling manifests")."""
        return self._reading(reference.repository, lambda: self._get(reference))

    def blob(self, repository: Repository, blob: Descriptor) -> bytes:
        """A small blob, verified ("Pulling blobs")."""
        if blob.size > BLOB_LIMIT:
            raise RegistryError(f"{repository}@{blob.digest} has {blob.size} bytes, over the limit of {BLOB_LIMIT}")

        def read() -> bytes:
            with self._open(repository, blob) as pieces:
                return b"".join(pieces)

        return self._transport.retrying(read)

    @contextlib.contextmanager
    def open_blob(self, repository: Repository, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        """A blob as a verified stream. Opening it is tried again; a stream that breaks is the caller's to restart."""
        with contextlib.ExitStack() as stack:
            yield self._transport.retrying(lambda: stack.enter_context(self._open(repository, blob)))

    def lacks(self, repository: Repository, blob: Descriptor) -> bool:
        """Whether a blob is surely not there ("Checking if content exists in the registry")."""
        return self._uploads.lacks(repository, blob)

    def referrers(self, repository: Repository, subject: Digest) -> tuple[Descriptor, ...]:
        """What is attached to an image ("Listing Referrers"). Raises RegistryError where that cannot be known."""
        return self._referrers.of(repository, subject)

    def tags(self, repository: Repository) -> tuple[str, ...]:
        """Every legal tag, over all pages ("Listing tags")."""
        found: set[str] = set()
        asked: set[str] = set()
        url: str | None = self._wire.url(repository, "tags/list?n=1000")
        while url is not None:
            if url in asked or len(asked) == _PAGES:
                raise RegistryError(f"{repository}: the list of tags does not end", hint="tell the registry's operator")
            asked.add(url)
            names, url = self._reading(repository, partial(self._page, repository, url)) or ((), None)
            found.update(names)
        return tuple(sorted(found))

    def _page(self, repository: Repository, url: str) -> tuple[list[str], str | None] | None:
        response = self._wire.request("GET", url, repository, (pull(repository),))
        if response.status == 404:
            self._transport.done(response)
            return None
        if response.status != 200:
            raise self._wire.failure(response, repository)
        where, link = self._transport.name(response), NEXT.search(response.headers.get("Link", ""))
        try:
            names = [str(name) for name in json.loads(self._transport.read(response, _PAGE_LIMIT)).get("tags") or []]
        except (ValueError, AttributeError, TypeError, RecursionError):
            raise RegistryError(f"{where}: that is no list of tags", hint=PORTAL) from None
        following = self._transport.routes.follow(response.url, link[1], "next page") if link else None
        if following is not None and origin(following) != origin(url):
            raise RegistryError(f"{where}: the next page is on another host", hint="tell the registry's operator")
        return [name for name in names if _is_tag(name)], following

    def _head(self, reference: Reference) -> Descriptor | None:
        response = self._ask("HEAD", reference)
        if response.status == 401 or (is_trouble(response) and response.status != 501):
            raise self._wire.failure(response, reference.repository)
        self._transport.done(response)
        if response.status == 404:
            return None
        if response.status == 200:
            found = _described(response)
            if found is not None and reference.digest in (None, found.digest):
                return found
        # No HEAD here (405, 501, some refuse it with 403), or not with what we need, or with a lie: the bytes decide.
        whole = self._get(reference)
        return whole[0] if whole else None

    def _get(self, reference: Reference) -> tuple[Descriptor, bytes] | None:
        response = self._ask("GET", reference)
        if response.status == 404:
            self._transport.done(response)
            return None
        if response.status != 200:
            raise self._wire.failure(response, reference.repository)
        where, kind = self._transport.name(response), media_type(response)
        if kind not in _TYPES:
            self._transport.done(response)
            raise RegistryError(f"{where}: {self._transport.scrub(kind) or 'nothing'} is no manifest", hint=PORTAL)
        content = self._transport.read(response, MANIFEST_LIMIT)
        digest = reference.digest or said_digest(response) or Digest.of(content)
        if hashlib.new(digest.algorithm, content).hexdigest() != digest.hex:
            raise RegistryError(f"{where}: {len(content)} bytes that are not {digest}", hint=DAMAGED)
        try:
            inner = load_manifest(content).get("mediaType")
        except OciError as error:
            raise RegistryError(f"{where}: {error.message}", hint=error.hint or DAMAGED) from None
        if inner not in (None, kind):  # CVE-2021-41190
            raise RegistryError(f"{where}: sent as {kind}, but calls itself something else", hint=DAMAGED)
        return Descriptor(media_type=kind, digest=digest, size=len(content)), content

    def _ask(self, method: str, reference: Reference) -> Answer:
        repository = reference.repository
        url = self._wire.url(repository, f"manifests/{reference.digest or reference.tag or 'latest'}")
        return self._wire.request(method, url, repository, (pull(repository),), headers=_ACCEPT)

    @contextlib.contextmanager
    def _open(self, repository: Repository, blob: Descriptor) -> Iterator[Iterator[bytes]]:
        url = self._wire.url(repository, f"blobs/{blob.digest}")
        response = self._wire.request("GET", url, repository, (pull(repository),))
        with contextlib.closing(response):
            where = self._transport.name(response)
            if response.status == 404:
                raise RegistryError(f"{where}: there is no such blob in {repository}", hint="push its image again")
            if response.status != 200:
                raise self._wire.failure(response, repository)
            yield verified(self._transport.stream(response), blob, where, remote=True)

    def _reading(self, repository: Repository, unit: Callable[[], T | None]) -> T | None:
        try:
            return self._transport.retrying(unit)
        except AuthError:
            if repository in self._proven:
                return None
            raise

    # ------------------------------------------------------------------------------------------------------- writing

    def push_image(self, source: ImageSource, repository: Repository, tag: str | None = None) -> Descriptor:
        """Upload missing blobs, some at a time, then the manifest ("Pushing blobs", "Pushing manifests")."""
        what, manifest = f"{repository}@{source.descriptor.digest}", source.descriptor
        if Digest.of(source.manifest) != manifest.digest:
            raise RegistryError(f"{what}: the manifest's bytes are not what its digest says", hint="build it again")
        try:
            parsed = Manifest.from_bytes(source.manifest)
        except OciError as error:
            raise RegistryError(f"{what}: {error.message}", hint=error.hint) from None
        reference = repository.tag(tag) if tag else repository.at(manifest.digest)
        if self._transport.retrying(lambda: self._names(reference, manifest)):
            return manifest
        blobs = {blob.digest: blob for blob in (*parsed.layers, parsed.config)}
        for again in (True, False):
            self._uploads.send_all(source, repository, blobs.values())
            try:
                return self.push_manifest(repository, source.manifest, manifest.media_type, tag)
            except HttpError as error:
                if not again or "MANIFEST_BLOB_UNKNOWN" not in error.codes:
                    raise
                self._uploads.forget(repository, blobs)  # the registry lost a blob that we saw there: look again, once
        raise AssertionError("unreachable")

    def push_manifest(
        self, repository: Repository, content: bytes, media_type: str, tag: str | None = None, *, look: bool = True
    ) -> Descriptor:
        """Write these bytes under `tag` or by digest, unless they are there, and look again ("Pushing manifests").

        Without `look` the first try does not look before it writes: the caller has.
        """
        manifest = Descriptor.of(media_type, content)
        reference = repository.tag(tag) if tag else repository.at(manifest.digest)
        if len(content) > MANIFEST_LIMIT:
            raise RegistryError(
                f"{reference}: a manifest of {len(content)} bytes is over the limit of {MANIFEST_LIMIT}",
                hint="shorten its annotations, or give the index fewer manifests",
            )
        try:
            load_manifest(content)
        except OciError as error:
            raise RegistryError(f"{reference}: {error.message}", hint=error.hint) from None
        tries = count()
        self._transport.retrying(lambda: self._put(reference, manifest, content, look=next(tries) > 0 or look))
        return manifest

    def attach(self, repository: Repository, content: bytes, tag: str | None = None) -> Descriptor:
        """Write an artifact, and have it listed with what it is about ("Pushing Manifests with Subject")."""
        found, subject = as_referrer(content), subject_of(content)
        if subject is None:
            raise OciError(f"{repository}@{found.digest} is about no image")
        self.push_manifest(repository, content, found.media_type, tag)
        if (repository, found.digest) not in self._enlisted:
            self._referrers.enlist(repository, subject, found)
        return found

    def _read(self, reference: Reference) -> tuple[Descriptor, bytes] | None:
        try:
            return self._get(reference)
        except AuthError:
            if reference.repository in self._proven:
                return None
            raise

    def _write(self, reference: Reference, content: bytes) -> None:
        self._put(reference, Descriptor.of(OCI_INDEX, content), content, look=False)

    def push_blob(self, repository: Repository, content: bytes, media_type: str) -> Descriptor:
        """Upload a small blob ("Pushing blobs")."""
        blob = Descriptor.of(media_type, content)
        self._uploads.send(repository, blob, Body.of(content))
        return blob

    def mount(self, source: Repository, blob: Descriptor, repository: Repository) -> bool:
        """Have a blob of another repository without sending it ("Mounting a blob from another repository")."""
        return source.registry == repository.registry and self._uploads.mount(source, blob, repository)

    def check_push(self, repository: Repository) -> None:
        """Start an upload and take it back. Raises AuthError when that is not allowed."""
        if repository not in self._proven:
            location = self._transport.retrying(lambda: self._uploads.start(repository))
            with self._lock:
                self._proven.add(repository)
            self._uploads.cancel(location, repository)

    # ------------------------------------------------------------------------------------------------------ removing

    def written(self, reference: Reference) -> int | None:
        """What Last-Modified says of a manifest, which registries need not send (RFC 9110, section 8.8.2)."""

        def read() -> int | None:
            response = self._ask("HEAD", reference)
            if is_trouble(response) or response.status in (401, 403):
                raise self._wire.failure(response, reference.repository)
            self._transport.done(response)
            text = response.headers.get("Last-Modified", "") if response.status == 200 else ""
            try:
                return int(parsedate_to_datetime(text).timestamp())
            except ValueError:
                return None

        return self._reading(reference.repository, read)

    def delete(self, repository: Repository, digest: Digest) -> bool:
        """Remove a manifest by its digest, so with all its tags ("Deleting manifests")."""
        return self._transport.retrying(lambda: self._delete(repository, digest))

    def untag(self, repository: Repository, tag: str) -> bool:
        """Remove a tag alone ("Deleting tags"), which since 1.1.0 of the specification is a registry's to do or not."""
        return self._transport.retrying(lambda: self._delete(repository, tag))

    def _delete(self, repository: Repository, what: Digest | str) -> bool:
        url = self._wire.url(repository, f"manifests/{what}")
        response = self._wire.request("DELETE", url, repository, (remove(repository),))
        if response.status in (200, 202, 204, 404):
            self._transport.done(response)
            return response.status != 404
        failure = self._wire.failure(response, repository)
        codes = failure.codes if isinstance(failure, HttpError) else frozenset()
        # Those that know no deletion of tags may take the tag for a digest that is none.
        if (
            response.status in (405, 501)
            or "UNSUPPORTED" in codes
            or (isinstance(what, str) and response.status == 400)
        ):
            things, hint = ("manifests", _HOW_ELSE) if isinstance(what, Digest) else ("tags alone", _TAGS_ELSE)
            raise UnsupportedError(f"{repository}: the registry deletes no {things}: {failure.message}", hint=hint)
        raise failure

    def sweep(self, repository: Repository) -> int:  # noqa: ARG002  (its garbage collection is the registry's own)
        """Nothing: a registry collects the blobs that no manifest needs by itself, or when its operator says so."""
        return 0

    def _names(self, reference: Reference, manifest: Descriptor) -> bool:
        """Whether the registry already names this manifest so; False where it will not say."""
        try:
            found = self._head(reference)
        except AuthError:
            return False
        return found is not None and found.digest == manifest.digest

    def _put(self, reference: Reference, manifest: Descriptor, content: bytes, *, look: bool) -> None:
        if look and self._names(reference, manifest):
            return
        repository = reference.repository
        url = self._wire.url(repository, f"manifests/{reference.tag or reference.digest}")
        headers = {"Content-Type": manifest.media_type}
        response = self._wire.request(
            "PUT", url, repository, (push(repository),), headers=headers, body=Body.of(content)
        )
        where, said = self._transport.name(response), said_digest(response)
        if response.status not in (200, 201, 202, 204):
            if refusal := self._refused(response, reference, manifest):
                raise refusal
            return
        self._transport.done(response)
        with self._lock:
            self._proven.add(repository)
            if response.headers.get("OCI-Subject"):
                self._enlisted.add((repository, manifest.digest))
        if said is not None and said.algorithm == manifest.digest.algorithm and said != manifest.digest:
            raise RegistryError(f"{where}: we sent {manifest.digest}, the registry stored {said}", hint=DAMAGED)
        found = self._head(reference)
        if found is None:
            raise HttpError(f"{where}: accepted, but {reference} is not there", hint="run again later", temporary=True)
        if found.digest != manifest.digest:
            raise ConflictError(
                f"{reference} names {found.digest} right after we wrote {manifest.digest}",
                hint="somebody else writes this tag at the same time: run again, one release at a time",
            )

    def _refused(self, response: Answer, reference: Reference, manifest: Descriptor) -> DsciError | None:
        """The error of a refused PUT: a tag that may not move is a conflict, not a lack of rights.

        None where the tag names this manifest already: somebody else wrote the same since we looked.
        """
        failure = self._wire.failure(response, reference.repository)
        allowed = response.status != 403 or reference.repository in self._proven
        if reference.tag is not None and allowed and response.status in _IMMUTABLE:
            with contextlib.suppress(RegistryError):
                found = self._head(reference)
                if found is not None and found.digest == manifest.digest:
                    return None
                if found is not None:
                    return ConflictError(
                        f"{reference} names {found.digest} and may not name {manifest.digest}: {failure.message}",
                        hint="the tag is immutable in that registry: release a new version",
                    )
        return failure


def _described(response: Answer) -> Descriptor | None:
    """The descriptor that a HEAD's headers make up, if they do."""
    kind, digest, size = media_type(response), said_digest(response), length(response)
    if kind not in _TYPES or digest is None or not size:
        return None
    return Descriptor(media_type=kind, digest=digest, size=size)


def _is_tag(text: str) -> bool:
    try:
        return bool(check_tag(text))
    except ConfigError:
        return False
