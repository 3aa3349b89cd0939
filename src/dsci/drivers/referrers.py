"""What refers to an image in a remote registry: signatures, provenance, package lists and whatever else is attached.

Registries with the referrers API list artifacts by their `subject` themselves. For the others the list is an image
index under a tag made of the image's digest, and whoever attaches something has to keep it: read, add, write. Nothing
in the protocol makes that one step. So whoever has written looks again, and again after longer than its own writing
took: a writer that had read the list before and wrote its own on top is seen, and what it lost is added again, also
what others had added. What is left to chance is a writer that stands still between its two requests for longer than
all others look; `pipeline.attest` reads back what was attached before anything is released.
A refusal or a throttled answer is an error, never an empty list.

Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers,
"Pushing Manifests with Subject" and "Referrers Tag Schema"
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from dsci.drivers.pace import Clock
from dsci.drivers.routes import origin
from dsci.drivers.tokens import pull
from dsci.drivers.wire import PORTAL, Wire, media_type
from dsci.errors import AuthError, ConflictError, RegistryError
from dsci.model.artifact import referrers_in, referrers_tag, with_referrer
from dsci.model.oci import MANIFEST_LIMIT, OCI_INDEX, Descriptor, Digest, OciError
from dsci.model.reference import Reference, Repository

NEXT = re.compile(r'<([^>]*)>[^,]*;\s*rel="?next"?', re.IGNORECASE)
#: How registries without the API answer for it. Source: go-containerregistry, pkg/v1/remote/referrers.go
_UNKNOWN = frozenset({400, 404, 405, 406, 501})
#: What has read the list before us is taken to write within this many seconds, or within twice what we took ourselves.
_WINDOW = 0.1
_LOOKS, _ROUNDS = 3, 60
_PAGES = 1000

Read = Callable[[Reference], tuple[Descriptor, bytes] | None]
Write = Callable[[Reference, bytes], object]


class Referrers:
    """Lists of what is attached to images. Safe for threads.

    `read` and `write` are for manifests by name and try once; `proven` tells where this run has shown that it may push.
    """

    def __init__(
        self, wire: Wire, *, read: Read, write: Write, proven: Callable[[Repository], bool], clock: Clock
    ) -> None:
        self._wire, self._read, self._write, self._proven, self._clock = wire, read, write, proven, clock
        self._lock = threading.Lock()
        self._turns: dict[tuple[Repository, Digest], threading.Lock] = {}
        self._seen: dict[tuple[Repository, Digest], dict[Digest, Descriptor]] = {}
        """What was in the lists that this process has written to."""
        self._without: set[str] = set()
        """Registries that do not know the API."""

    def of(self, repository: Repository, subject: Digest) -> tuple[Descriptor, ...]:
        """Everything that refers to an image. Raises RegistryError where that cannot be known."""
        found = self._asked(repository, subject)
        return self._kept(repository, subject) if found is None else found

    def enlist(self, repository: Repository, subject: Digest, referrer: Descriptor) -> None:
        """Have an artifact listed that stands there, and of which the registry has not said that it lists it itself.

        Raises ConflictError where others write the list all the time.
        """
        found = self._asked(repository, subject)
        if found is not None:
            if all(item.digest != referrer.digest for item in found):
                raise RegistryError(
                    f"{repository} has {referrer.digest}, but does not list it with what is attached to {subject}",
                    hint="run again later: some registries take a while",
                    temporary=True,
                )
            return
        with self._lock:
            turn = self._turns.setdefault((repository, subject), threading.Lock())
        with turn:
            self._add(repository, subject, referrer)

    def _add(self, repository: Repository, subject: Digest, referrer: Descriptor) -> None:
        """Have the list of a registry that keeps none hold this, and what this process has seen in it before."""
        seen = self._seen.setdefault((repository, subject), {})
        seen[referrer.digest] = referrer
        ours, stood, longest = False, 0, _WINDOW
        for _ in range(_ROUNDS):
            began = self._clock.monotonic()
            # Reading and writing are tried again together: to try the writing alone would write what was read long ago.
            wrote = self._wire.transport.retrying(partial(self._step, repository, subject, seen))
            longest = max(longest, self._clock.monotonic() - began)
            ours, stood = ours or wrote, 0 if wrote else stood + 1
            if stood and (not ours or stood == _LOOKS):
                return
            self._clock.sleep(longest * random.uniform(1, 2) if stood else 0)
        raise ConflictError(
            f"the list of what is attached to {subject} in {repository} is written by others all the time",
            hint="run again, with fewer writers at a time",
        )

    def _step(self, repository: Repository, subject: Digest, seen: dict[Digest, Descriptor]) -> bool:
        """Read the list, and write it with what it lacks; gives whether that was so."""
        reference = repository.tag(referrers_tag(subject))
        found = self._read(reference)
        content = found[1] if found else None
        try:
            lacking = set(seen) - {item.digest for item in referrers_in(content)} if content else set(seen)
            for digest in sorted(lacking):
                content = with_referrer(content, seen[digest]) or content
            seen |= {item.digest: item for item in referrers_in(content)} if content else {}
        except OciError as error:
            raise ConflictError(
                f"{reference} should list what is attached to {subject}, and is something else: {error.message}",
                hint="somebody wrote this tag for another purpose: delete it in the registry, then run again",
            ) from None
        if lacking and content is not None:
            with suppress(ConflictError):  # somebody else wrote at the same moment: the next look tells
                self._write(reference, content)
        return bool(lacking)

    def _kept(self, repository: Repository, subject: Digest) -> tuple[Descriptor, ...]:
        """What the list says that clients keep."""
        reference = repository.tag(referrers_tag(subject))
        found = self._wire.transport.retrying(partial(self._read, reference))
        try:
            return referrers_in(found[1]) if found else ()
        except OciError as error:
            raise RegistryError(f"{reference} is no list of referrers: {error.message}", hint=error.hint) from None

    def _asked(self, repository: Repository, subject: Digest) -> tuple[Descriptor, ...] | None:
        """What the registry lists itself; None where it knows no such list."""
        if repository.registry in self._without:
            return None
        found: dict[Digest, Descriptor] = {}
        asked: set[str] = set()
        url: str | None = self._wire.url(repository, f"referrers/{subject}")
        while url is not None:
            if url in asked or len(asked) == _PAGES:
                raise RegistryError(f"{repository}: the list of referrers does not end", hint="tell its operator")
            asked.add(url)
            try:
                page = self._wire.transport.retrying(partial(self._page, repository, url))
            except AuthError:
                if not self._proven(repository):
                    raise
                return None
            if page is None:
                return None
            found |= {item.digest: item for item in page[0]}
            url = page[1]
        return tuple(found.values())

    def _page(self, repository: Repository, url: str) -> tuple[tuple[Descriptor, ...], str | None] | None:
        transport = self._wire.transport
        response = self._wire.request("GET", url, repository, (pull(repository),), headers={"Accept": OCI_INDEX})
        if response.status in _UNKNOWN:
            failure = self._wire.failure(response, repository)
            if response.status == 404 and not getattr(failure, "codes", ()):  # there is no such route
                self._without.add(repository.registry)
            return None
        if response.status != 200:
            raise self._wire.failure(response, repository)
        where, link = transport.name(response), NEXT.search(response.headers.get("Link", ""))
        if media_type(response) != OCI_INDEX:  # a page for people
            transport.done(response)
            return None
        try:
            items = referrers_in(transport.read(response, MANIFEST_LIMIT))
        except OciError as error:
            raise RegistryError(f"{where}: that is no list of referrers: {error.message}", hint=PORTAL) from None
        following = transport.routes.follow(response.url, link[1], "next page") if link else None
        if following is not None and origin(following) != origin(url):
            raise RegistryError(f"{where}: the next page is on another host", hint="tell the registry's operator")
        return items, following
