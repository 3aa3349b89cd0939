"""The nouns of the OCI image specification, parsed once and strictly.

Digests, platforms, descriptors and indexes as values. Bytes go in, values come out, and what a registry or an engine
said is never trusted further than its digest. No request is made here; `reference` holds the names.

Sources: https://github.com/opencontainers/image-spec/blob/v1.1.0/{descriptor,image-index,manifest}.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from dsci.errors import DsciError
from dsci.model.hashing import sha256

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
#: The annotation that says which commit an index was made of.
REVISION = "org.opencontainers.image.revision"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

#: Distribution refuses larger manifests, and so do we, before reading them into memory.
MANIFEST_LIMIT = 4 * 1024 * 1024

_DIGEST = re.compile(r"\A(sha256):([0-9a-f]{64})\Z|\A(sha512):([0-9a-f]{128})\Z")
_PLATFORM_PART = re.compile(r"\A[a-z0-9][a-z0-9._-]{0,63}\Z")
#: The names that Go has for systems and processors.
_SYSTEMS = frozenset(
    {
        *("aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl"),
        *("netbsd", "openbsd", "plan9", "solaris", "windows", "zos"),
    }
)
_PROCESSORS = frozenset(
    {
        *("386", "amd64", "amd64p32", "arm", "arm64", "arm64be", "armbe", "loong64", "mips", "mips64", "mips64le"),
        *("mips64p32", "mips64p32le", "mipsle", "ppc", "ppc64", "ppc64le", "riscv", "riscv64", "s390", "s390x"),
        *("sparc", "sparc64", "wasm"),
    }
)
_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
    "i386": "386",
}


class OciError(DsciError):
    """Bytes or text that are not what the OCI specification says they must be."""

    exit_code = 5


class Digest(msgspec.Struct, frozen=True, order=True):
    """A content digest such as `sha256:…`; only algorithms that the specification registers."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `algorithm:hex`. Raises OciError for anything else: digests end up in paths and URLs."""
        match = _DIGEST.match(text)
        if match is None:
            raise OciError(f"{text[:100]!r} is not a digest", hint="a digest is sha256: and 64 lower-case hex digits")
        return cls(match[1] or match[3], match[2] or match[4])

    @classmethod
    def of(cls, content: bytes) -> Digest:
        """The sha256 digest of these bytes."""
        return cls("sha256", sha256(content))

    @property
    def short(self) -> str:
        """The first twelve hex digits, for people."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


class Platform(msgspec.Struct, frozen=True, order=True):
    """An operating system and a processor, spelled in the one way that compares equal."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `os/arch[/variant]` and normalise it as containerd does: `linux/arm64/v8` is `linux/arm64`.

        Source: https://github.com/containerd/platforms/blob/main/database.go
        """
        parts = text.strip().lower().split("/")
        if not 2 <= len(parts) <= 3 or not all(_PLATFORM_PART.match(part) for part in parts):
            raise OciError(f"{text[:100]!r} is not a platform", hint="write os/architecture, such as linux/amd64")
        os, architecture = parts[0], parts[1]
        variant = parts[2] if len(parts) == 3 else ""
        if architecture == "armel":
            variant = variant or "v6"
        architecture = _ARCHITECTURES.get(architecture, architecture)
        if (architecture, variant) in {("arm64", "v8"), ("arm64", "8"), ("amd64", "v1")}:
            variant = ""
        if architecture == "arm":
            variant = f"v{variant}" if variant.isdigit() else variant or "v7"
        return cls(os, architecture, variant)

    @classmethod
    def complete(cls, text: str, native: Platform) -> Platform:
        """Read a platform as `parse` does, or the name of a system or a processor alone: the rest is the native one's.

        Source: https://github.com/containerd/platforms/blob/main/platforms.go (`Parse`)
        """
        name = text.strip().lower()
        if "/" in name:
            return cls.parse(name)
        name = "darwin" if name == "macos" else name
        if name in _SYSTEMS:
            return cls.parse(f"{name}/{native.architecture}")
        platform = cls.parse(f"{native.os}/{name}")
        if platform.architecture not in _PROCESSORS:
            raise OciError(f"{text[:100]!r} is no system and no processor", hint="write os/architecture: linux/amd64")
        return platform

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Platform:
        """Read the `platform` object of a descriptor."""
        parts = [str(value.get(name) or "") for name in ("os", "architecture", "variant")]
        return cls.parse("/".join(parts if parts[2] else parts[:2]))

    def to_json(self) -> dict[str, str]:
        """The `platform` object of a descriptor."""
        value = {"architecture": self.architecture, "os": self.os}
        return value | {"variant": self.variant} if self.variant else value

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


#: In pins, where a digest is that of an index and so of every platform in it.
ANY = Platform("any", "any")


class Descriptor(msgspec.Struct, frozen=True, kw_only=True):
    """A pointer to content: what it is, its digest, its size in bytes."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    artifact_type: str = ""
    """What kind of artifact it is, where it is one."""

    @classmethod
    def of(cls, media_type: str, content: bytes, platform: Platform | None = None) -> Descriptor:
        """The descriptor of these bytes."""
        return cls(media_type=media_type, digest=Digest.of(content), size=len(content), platform=platform)

    @classmethod
    def from_json(cls, value: Any) -> Descriptor:
        """Read a descriptor object. Raises OciError where the specification's required fields are missing or odd."""
        if not isinstance(value, Mapping):
            raise OciError("a descriptor must be an object")
        media_type, size = value.get("mediaType"), value.get("size")
        if not isinstance(media_type, str) or not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise OciError("a descriptor needs a mediaType and a size of zero or more")
        platform = value.get("platform")
        annotations = value.get("annotations") or {}
        if not isinstance(annotations, Mapping) or not (platform is None or isinstance(platform, Mapping)):
            raise OciError("a descriptor's annotations and platform must be objects")
        known = platform is not None and platform.get("os") not in (None, "unknown")
        artifact_type = value.get("artifactType") or ""
        if not isinstance(artifact_type, str):
            raise OciError("a descriptor's artifactType must be text")
        return cls(
            media_type=media_type,
            digest=Digest.parse(str(value.get("digest", ""))),
            size=size,
            platform=Platform.from_json(platform) if known and platform is not None else None,
            annotations={str(key): str(text) for key, text in annotations.items()},
            artifact_type=artifact_type,
        )

    def to_json(self) -> dict[str, Any]:
        """The descriptor as the specification writes it."""
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.platform is not None:
            value["platform"] = self.platform.to_json()
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        if self.annotations:
            value["annotations"] = dict(sorted(self.annotations.items()))
        return value


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """An image index: one manifest per platform, and the facts of a release as annotations."""

    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The index as bytes that are the same for the same value, whoever writes them."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [descriptor.to_json() for descriptor in self.manifests],
        }
        if self.annotations:
            value["annotations"] = dict(sorted(self.annotations.items()))
        return canonical_json(value)

    @classmethod
    def from_bytes(cls, content: bytes) -> Index:
        """Read an OCI index or a Docker manifest list."""
        value = load_manifest(content)
        if not isinstance(value.get("manifests"), list):
            raise OciError("an image index needs a list of manifests")
        annotations = value.get("annotations") or {}
        if not isinstance(annotations, dict):
            raise OciError("an index's annotations must be an object")
        return cls(
            manifests=tuple(Descriptor.from_json(item) for item in value["manifests"]),
            annotations={str(key): str(text) for key, text in annotations.items()},
        )

    def select(self, platform: Platform) -> Descriptor | None:
        """The manifest for this platform, or None."""
        return next((item for item in self.manifests if item.platform == platform), None)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """An image manifest: a config and its layers, base layer first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Read an OCI image manifest or a Docker one (schema 2)."""
        value = load_manifest(content)
        if not isinstance(value.get("layers"), list):
            raise OciError("an image manifest needs a list of layers")
        annotations = value.get("annotations") or {}
        if not isinstance(annotations, dict):
            raise OciError("a manifest's annotations must be an object")
        return cls(
            config=Descriptor.from_json(value.get("config")),
            layers=tuple(Descriptor.from_json(item) for item in value["layers"]),
            annotations={str(key): str(text) for key, text in annotations.items()},
        )

    def to_bytes(self) -> bytes:
        """The manifest as bytes that are the same for the same value."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": self.config.to_json(),
            "layers": [layer.to_json() for layer in self.layers],
        }
        if self.annotations:
            value["annotations"] = dict(sorted(self.annotations.items()))
        return canonical_json(value)


def load_manifest(content: bytes) -> dict[str, Any]:
    """Decode a manifest or an index, refusing one that could be read as both (CVE-2021-41190)."""
    if len(content) > MANIFEST_LIMIT:
        raise OciError(f"a manifest of {len(content)} bytes is over the limit of {MANIFEST_LIMIT}")
    import json

    try:
        value = json.loads(content)
        canonical_json(value)  # Half a surrogate pair can be read from JSON, but never be written again.
    except (ValueError, RecursionError) as error:
        raise OciError(f"a manifest that is not JSON: {error}") from None
    if not isinstance(value, dict) or value.get("schemaVersion") != 2:
        raise OciError("a manifest must be an object with schemaVersion 2")
    if "manifests" in value and ("layers" in value or "config" in value):
        raise OciError("a manifest that is an index and an image at once", hint="do not trust this registry")
    return value


def canonical_json(value: Any) -> bytes:
    """JSON with no spare byte; keys stay in the order given, so the writer decides it once."""
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
