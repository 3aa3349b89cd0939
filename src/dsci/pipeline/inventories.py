"""What is installed in images, read straight from their layers: no container is made, and nothing is unpacked to disk.

Each layer is read once from front to back, however many images have it, and only what its package files say is kept.
What those files mean is said in `model.inventory`.
"""

from __future__ import annotations

import posixpath
import threading

from dsci.model import inventory, layertar
from dsci.model.inventory import Inventory, Layer, Package, System
from dsci.model.layertar import LayerError
from dsci.model.oci import Descriptor, Digest, Manifest
from dsci.pipeline.contents import unpacked
from dsci.ports import ImageSource

#: What is kept of one layer: packages, and paths that hide others.
_KEPT = 1_000_000
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


class Inventories:
    """The inventories of images. Layers are remembered; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Digest, Layer] = {}
        self._turns: dict[Digest, threading.Lock] = {}

    def of(self, source: ImageSource) -> Inventory:
        """What is installed in an image. Raises LayerError and OciError for what cannot be read."""
        layers = Manifest.from_bytes(source.manifest).layers
        return inventory.combined([self._layer(source, layer) for layer in layers])

    def _layer(self, source: ImageSource, blob: Descriptor) -> Layer:
        with self._lock:
            turn = self._turns.setdefault(blob.digest, threading.Lock())
        with turn:
            if blob.digest not in self._known:
                self._known[blob.digest] = read(source, blob)
            return self._known[blob.digest]


def read(source: ImageSource, blob: Descriptor) -> Layer:
    """What one layer says. Raises LayerError."""
    packages: dict[str, tuple[Package, ...]] = {}
    systems: dict[str, System] = {}
    hides: set[str] = set()
    unread: list[str] = []
    links: dict[str, str] = {}
    count = 0
    with unpacked(source, blob) as tar:
        for path, entry, content in layertar.members(tar):
            path = _clean(path)
            folder, _, name = path.rpartition("/")
            if name == _OPAQUE:
                hides.add(folder)
            elif name.startswith(_WHITEOUT):
                hides.add(f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/"))
            elif entry.kind == "symbolic link":
                hides.add(path)
            elif entry.kind == "hard link" and (inventory.reader(path) or inventory.is_system(path)):
                links[path] = _clean(entry.link)
            elif entry.kind == "file" and inventory.is_foreign(path):
                unread.append(path)
            elif entry.kind == "file" and (inventory.reader(path) or inventory.is_system(path)):
                if entry.size > inventory.FILE_LIMIT:
                    unread.append(path)
                    continue
                text = b"".join(content).decode(errors="replace")
                if (reader := inventory.reader(path)) is not None:
                    packages[path] = tuple(reader(text))
                    count += len(packages[path])
                elif (system := inventory.system(text)) is not None:
                    systems[path] = system
            if count + len(hides) + len(links) > _KEPT:
                raise LayerError("a layer tells of more packages than can be looked at")
    for path, other in links.items():
        if other in packages:
            packages[path] = packages[other]
        if other in systems:
            systems[path] = systems[other]
    return Layer(packages=packages, systems=systems, hides=frozenset(hides), unread=tuple(unread))


def _clean(path: str) -> str:
    """A path from the root without a slash before it, and without bytes that are no text."""
    text = path.encode(errors="surrogateescape").decode(errors="replace")
    return posixpath.normpath("/" + text.lstrip("/")).lstrip("/")
