"""Images for programs that look at them: as a folder, so that they need no registry and are given no way into one.

Source: https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from dsci.drivers.verify import chunks, verified
from dsci.model.oci import Descriptor, Index, Manifest
from dsci.ports import ImageSource

#: What of this machine's environment such programs see …
_SEEN = re.compile(
    r"(?i)\A(PATH|HOME|LANG|TMPDIR|XDG_CACHE_HOME|SSL_CERT_(FILE|DIR)|(HTTPS?|NO|ALL)_PROXY|(TRIVY|GRYPE|SYFT)_\w+)\Z"
)
#: … and what of that they do not, since it is for registries.
_UNSEEN = re.compile(r"(?i)PASSWORD|USERNAME|TOKEN|AUTH")
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


def seen(environment: Mapping[str, str], nowhere: Path) -> Mapping[str, str]:
    """The environment for such a program; `nowhere` is where docker's credentials are not."""
    kept = {name: text for name, text in environment.items() if _SEEN.match(name) and not _UNSEEN.search(name)}
    return {**kept, "DOCKER_CONFIG": str(nowhere)}


@contextmanager
def laid_out(source: ImageSource, scratch: Path) -> Iterator[Path]:
    """A folder below `scratch` that is an OCI layout of this image, and is gone afterwards.

    Raises RegistryError and OciError for an image that cannot be read.
    """
    folder = Path(mkdtemp(dir=scratch, prefix="image-"))
    try:
        _lay(source, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lay(source: ImageSource, folder: Path) -> None:
    manifest, own, place = Manifest.from_bytes(source.manifest), source.descriptor, folder / "blobs"
    for blob in {item.digest: item for item in (manifest.config, *manifest.layers)}.values():
        path = place / blob.digest.algorithm / blob.digest.hex
        path.parent.mkdir(parents=True, exist_ok=True)
        with source.open(blob) as stream, path.open("wb") as file:
            for piece in verified(chunks(stream), blob, "the image"):
                file.write(piece)
    path = place / own.digest.algorithm / own.digest.hex
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(source.manifest)
    named = Descriptor(media_type=own.media_type, digest=own.digest, size=own.size)
    (folder / "index.json").write_bytes(Index(manifests=(named,)).to_bytes())
    (folder / "oci-layout").write_bytes(_LAYOUT)
