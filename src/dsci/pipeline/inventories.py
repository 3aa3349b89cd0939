"""What is in images, read straight from their layers: no container is made, and nothing is unpacked to disk.

Each layer is read once from front to back, however many images have it, and only what files that tell of packages and
languages say is kept. Which files those are is said in `model.inventoryfiles`.
"""

from __future__ import annotations

import posixpath
import threading

import msgspec

from dsci.model import difference, inventoryfiles, layering, layertar
from dsci.model.inventory import Fact, Inventory, Layer, LayerSize
from dsci.model.layertar import LayerError
from dsci.model.oci import Descriptor, Digest, Manifest
from dsci.pipeline.contents import config_of, unpacked
from dsci.ports import ImageSource

#: What is kept of one layer: what files say, and paths that hide others.
_KEPT = 1_000_000
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


class Inventories:
    """The inventories of images. Layers are remembered; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Digest, Layer] = {}
        self._turns: dict[Digest, threading.Lock] = {}

    def of(self, source: ImageSource) -> Inventory:
        """What is in an image. Raises LayerError and OciError for what cannot be read."""
        manifest = Manifest.from_bytes(source.manifest)
        layers = [self._layer(source, layer) for layer in manifest.layers]
        told = config_of(source, manifest)
        steps = difference.steps(told)
        if len(steps) != len(layers):
            steps = [""] * len(layers)  # The history tells of other layers: of which, nobody can say.
        return msgspec.structs.replace(
            layering.combined(layers),
            base=layering.base(told),
            layers=tuple(
                LayerSize(digest=str(blob.digest), compressed=blob.size, unpacked=layer.size, step=step)
                for blob, layer, step in zip(manifest.layers, layers, steps, strict=True)
            ),
        )

    def _layer(self, source: ImageSource, blob: Descriptor) -> Layer:
        with self._lock:
            turn = self._turns.setdefault(blob.digest, threading.Lock())
        with turn:
            if blob.digest not in self._known:
                self._known[blob.digest] = read(source, blob)
            return self._known[blob.digest]


def read(source: ImageSource, blob: Descriptor) -> Layer:
    """What one layer says. Raises LayerError."""
    facts: dict[str, tuple[Fact, ...]] = {}
    cached: dict[str, tuple[Fact, ...]] = {}
    hides: set[str] = set()
    unread: list[str] = []
    links: dict[str, str] = {}
    count = size = 0
    with unpacked(source, blob) as tar:
        for path, entry, content in layertar.members(tar):
            path = _clean(path)
            size += entry.size
            folder, _, name = path.rpartition("/")
            if name == _OPAQUE:
                hides.add(folder)
            elif name.startswith(_WHITEOUT):
                hides.add(f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/"))
            elif entry.kind == "symbolic link":
                hides.add(path)
            elif (tells := inventoryfiles.source(path)) is None:
                continue
            elif entry.kind == "hard link":
                if not tells.cached:
                    links[path] = _clean(entry.link)
            elif entry.kind == "file":
                found = tells.read(path, b"".join(content)) if entry.size <= tells.limit else None
                if found is not None:
                    (cached if tells.cached else facts)[path] = found
                    count += len(found)
                elif tells.of_packages and not tells.cached:
                    unread.append(path)
            if count + len(hides) + len(links) > _KEPT:
                raise LayerError("a layer tells of more packages than can be looked at")
    known = {**cached, **facts}
    facts |= {path: known[other] for path, other in links.items() if other in known}
    unread += [path for path, other in links.items() if other in unread]
    return Layer(facts=facts, hides=frozenset(hides), unread=tuple(unread), size=size)


def _clean(path: str) -> str:
    """A path from the root without a slash before it, and without bytes that are no text."""
    text = path.encode(errors="surrogateescape").decode(errors="replace")
    return posixpath.normpath("/" + text.lstrip("/")).lstrip("/")
