"""Names of images in registries: `Repository` and `Reference`.

Text is parsed once, at the edge; after that a repository gives its references by `.tag()` and `.at()`, and nobody puts
a colon into a string by hand. Short names mean what Docker means by them (`debian` is `docker.io/library/debian`).
What a registry holds under a name is not known here.

Sources: https://github.com/distribution/reference/blob/main/reference.go (grammar and normalisation),
https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests (tag grammar).
"""

from __future__ import annotations

import re

import msgspec

from dsci.errors import ConfigError
from dsci.model.oci import Digest, OciError

DOCKER_HUB = "docker.io"
#: The registry name of images that were never given one: they live in dsci's own OCI layouts on this machine.
EMBEDDED = "dsci.local"

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"\A{_COMPONENT}(?:/{_COMPONENT})*\Z")
_DOMAIN_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"\A(?:{_DOMAIN_LABEL}(?:\.{_DOMAIN_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?\Z")
_TAG = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_NAME_LIMIT = 255


class Repository(msgspec.Struct, frozen=True, order=True):
    """A repository in a registry, such as `ghcr.io/acme/python`."""

    registry: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Read a repository name; a tag or digest behind it is an error (ConfigError)."""
        reference = Reference.parse(text)
        if reference.tag or reference.digest:
            raise ConfigError(f"{text!r} names a tag or digest where a repository is wanted")
        return reference.repository

    def tag(self, tag: str) -> Reference:
        """The reference of this tag here; ConfigError where the tag is not legal."""
        return Reference(self, check_tag(tag))

    def at(self, digest: Digest) -> Reference:
        """The reference of this content here."""
        return Reference(self, None, digest)

    @property
    def familiar(self) -> str:
        """The name as people write it: Docker Hub's prefixes left out."""
        if self.registry != DOCKER_HUB:
            return str(self)
        return self.path.removeprefix("library/") if self.path.count("/") == 1 else self.path

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}"


class Reference(msgspec.Struct, frozen=True):
    """A repository with a tag, a digest, both or neither."""

    repository: Repository
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference as Docker does. Raises ConfigError that says which part is not legal."""
        rest, _, digest_text = text.partition("@")
        digest: Digest | None = None
        if digest_text or "@" in text:
            try:
                digest = Digest.parse(digest_text)
            except OciError as error:
                raise ConfigError(f"in {text[:200]!r}: {error.message}", hint=error.hint) from None
        tag: str | None = None
        head, colon, tail = rest.rpartition(":")
        if colon and "/" not in tail:
            try:
                rest, tag = head, check_tag(tail)
            except ConfigError as error:
                raise ConfigError(f"in {text[:200]!r}: {error.message}", hint=error.hint) from None
        registry, slash, path = rest.partition("/")
        if not slash or not _is_domain(registry):
            registry, path = DOCKER_HUB, rest
        if registry in ("index.docker.io", "registry-1.docker.io"):
            registry = DOCKER_HUB
        if registry == DOCKER_HUB and "/" not in path:
            path = f"library/{path}"
        if not _DOMAIN.match(registry):
            raise ConfigError(f"{registry[:100]!r} in {text[:200]!r} is not a registry host")
        if not _PATH.match(path) or len(registry) + 1 + len(path) > _NAME_LIMIT:
            raise ConfigError(
                f"{text[:200]!r} is not a legal image reference",
                hint="repository names are lower-case letters and digits with single . _ - between them, 255 at most",
            )
        return cls(Repository(registry, path), tag, digest)

    @property
    def familiar(self) -> str:
        """The reference as people write it."""
        return f"{self.repository.familiar}{self._suffix}"

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return f"{self.repository}{self._suffix}"


def check_tag(tag: str) -> str:
    """Return the tag if it is legal, else raise ConfigError."""
    if not _TAG.match(tag):
        raise ConfigError(
            f"{tag[:150]!r} is not a legal image tag",
            hint="a tag has 1 to 128 letters, digits, _ . - and starts with a letter, a digit or _",
        )
    return tag


def _is_domain(text: str) -> bool:
    return "." in text or ":" in text or text == "localhost" or text != text.lower()
