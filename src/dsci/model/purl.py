"""Package URLs: one name for a package, wherever it comes from.

Only written, never read. What a type asks of its names (lower case, hyphens for underscores) is done here.

Source: https://github.com/package-url/purl-spec (PURL-SPECIFICATION.rst, types/*.json)
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from dsci.model.oci import Platform
from dsci.model.reference import DOCKER_HUB, Reference

_LOWER = frozenset({"apk", "deb", "docker", "pypi"})
_SAFE = ".-_~:"


def purl(
    kind: str, name: str, version: str = "", *, namespace: str = "", qualifiers: Mapping[str, str] | None = None
) -> str:
    """`pkg:TYPE/NAMESPACE/NAME@VERSION?QUALIFIERS`, each part encoded; qualifiers without a value are left out."""
    if kind in _LOWER:
        name, namespace = name.lower(), namespace.lower()
    if kind == "pypi":
        name = name.replace("_", "-")
    segments = [_encoded(part) for part in (*namespace.split("/"), name) if part]
    given = sorted((key, text) for key, text in (qualifiers or {}).items() if text)
    query = "&".join(f"{key}={quote(text, safe=_SAFE + '/')}" for key, text in given)
    at = f"@{_encoded(version)}" if version else ""
    return f"pkg:{kind}/{'/'.join(segments)}{at}" + (f"?{query}" if query else "")


def image_purl(reference: Reference, platform: Platform | None = None) -> str:
    """The package URL of a container image, as BuildKit writes it: its tag as the version, and its registry.

    Source: https://github.com/moby/buildkit/blob/master/util/purl/image.go
    """
    repository = reference.repository
    namespace, _, name = repository.path.rpartition("/")
    hub = repository.registry == DOCKER_HUB
    prefix = "" if hub else f"{repository.registry}/"
    return purl(
        "docker",
        name,
        reference.tag or "",
        namespace=f"{prefix}{'' if hub and namespace == 'library' else namespace}",
        qualifiers={
            "digest": str(reference.digest) if reference.digest and not reference.tag else "",
            "platform": str(platform or ""),
        },
    )


def _encoded(text: str) -> str:
    return quote(text, safe=_SAFE)
