"""The files of an image straight from its layers: no container is made, and nothing is unpacked to disk.

The headers of all layers become one tree in memory, as a container would see it: what a layer whites out is gone,
links lead where they lead below the image's root and nowhere else. Contents stay in the layers until they are asked
for. Names, links and headers may be anybody's: a path never leaves the tree, and a tree that is too large is a
LayerError. A container has a few files more, which the engine puts there (`/etc/hosts`, `/dev/null`).

Source: https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md
"""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Literal

import msgspec

from dsci.drivers.verify import chunks, verified
from dsci.errors import BuilderError
from dsci.model import layertar
from dsci.model.layertar import Entry, LayerError
from dsci.model.oci import Descriptor, Manifest
from dsci.ports import FileEntry, ImageSource
from dsci.streams import reader
from dsci.unpacking import Mark, Tar, unpacked

#: What a whole image may have: entries of all its layers, and bytes of links on the way to them.
_ENTRIES, _LINK_BYTES = 3_000_000, 256 << 20
#: Linux has the same bounds: https://man7.org/linux/man-pages/man7/path_resolution.7.html
_LINKS, _PATH = 40, 4096
_CONFIG_LIMIT = 8 << 20
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
#: How far marks in a layer are apart at first, and how many there may be.
_STEP, _MARKS = 1 << 20, 512
_Kind = Literal["file", "directory", "symlink", "other"]
_KINDS: Mapping[str, _Kind] = {"file": "file", "folder": "directory", "symbolic link": "symlink"}
#: A folder that no layer tells of, only of what is in it.
_FOLDER = FileEntry(kind="directory", mode=0o755, uid=0, gid=0, size=0)


class _Config(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What tests ask of a config. Source: https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md"""

    env: list[str] | None = None
    labels: dict[str, str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    exposed_ports: dict[str, Any] | None = None
    volumes: dict[str, Any] | None = None
    working_dir: str | None = None
    user: str | None = None


class _Image(msgspec.Struct, frozen=True, kw_only=True):
    config: _Config | None = None


class LayerFiles:
    """An image's config and files. Implements `ports.Files` and `suites.subject.Look`; not for several threads at once.

    A path is read as Go's `filepath.Clean` has it (`a/../b` is `b`, whatever `a` is), and from the root. Layers are
    read when the first file is asked for; then, and later, LayerError is raised for what is wrong with them.
    """

    def __init__(self, source: ImageSource) -> None:
        """Raises OciError for a manifest that is none."""
        self._source = source
        self._manifest = Manifest.from_bytes(source.manifest)

    def config(self) -> Mapping[str, Any]:
        """The image's config object (`Env`, `Entrypoint`, `Labels` …). Raises BuilderError."""
        return self._config

    def files(self) -> LayerFiles:
        """Itself."""
        return self

    @cached_property
    def _config(self) -> Mapping[str, Any]:
        blob = self._manifest.config
        if blob.size > _CONFIG_LIMIT:
            raise BuilderError(f"the image's config of {blob.size} bytes is too large", hint=_HINT)
        with self._source.open(blob) as stream:
            content = b"".join(verified(chunks(stream), blob, "the image"))
        try:
            found: dict[str, Any] = msgspec.to_builtins(msgspec.json.decode(content, type=_Image).config or _Config())
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise BuilderError(f"the image's config cannot be read: {error}", hint=_HINT) from None
        return found

    def stat(self, path: str) -> FileEntry | None:
        """What stands at this path, links in it followed, but not at its end."""
        node = self._tree.find(_clean(path), follow=False)
        return node.entry if node else None

    def read(self, path: str, limit: int) -> bytes | None:
        """A regular file's first `limit` bytes, links followed; None when there is none."""
        node = self._tree.find(_clean(path))
        if node is None or node.entry.kind != "file":
            return None
        return self._layers[node.layer].read(node.at, min(limit, node.entry.size))

    def folders(self, path: str) -> tuple[str, ...] | None:
        """The names of the folders in a folder, links to folders left out; None when there is none."""
        node = self._tree.find(_clean(path))
        if node is None or node.children is None:
            return None
        return tuple(sorted(name for name, child in node.children.items() if child.children is not None))

    def everything(self) -> Sequence[tuple[str, FileEntry]]:
        """Every path and what stands there."""
        return tuple(self._tree.walk())

    @cached_property
    def _layers(self) -> list[_Layer]:
        return [_Layer(self._source, blob) for blob in self._manifest.layers]

    @cached_property
    def _tree(self) -> _Tree:
        tree = _Tree()
        for number, layer in enumerate(self._layers):
            try:
                tree.add(number, layer.members())
            except LayerError as error:
                error.message = f"layer {number + 1} of {len(self._layers)}: {error.message}"
                raise
        return tree


class _Node:
    """A path of the image, and where a file's content is: in which layer, from where on. Hard links share one node."""

    __slots__ = ("at", "children", "entry", "layer")

    def __init__(self, entry: FileEntry, layer: int = 0, at: int = 0) -> None:
        self.entry, self.layer, self.at = entry, layer, at
        self.children: dict[str, _Node] | None = {} if entry.kind == "directory" else None


class _Tree:
    """What the layers add up to, one after another."""

    def __init__(self) -> None:
        self._root = _Node(_FOLDER)
        self._count = self._followed = 0

    def find(self, path: str, *, follow: bool = True, make: bool = False) -> _Node | None:
        """What stands at a path, below the root wherever links lead; None where that is nothing, or in circles.

        With `make` it is a folder, and made where there is none, also in the place of something else.
        """
        todo, way, links = path.split("/")[::-1], [self._root], 0
        while todo:
            name = todo.pop()
            here = way[-1].children
            if here is None:
                return None
            if name == "..":
                way = way[:-1] or way
            elif name not in ("", "."):
                node = here.get(name)
                if make and (node is None or node.entry.kind in ("file", "other")):
                    self._enter()
                    node = here[name] = _Node(_FOLDER)
                if node is None:
                    return None
                if node.entry.kind != "symlink" or not (follow or todo):
                    way.append(node)
                    continue
                links += 1
                self._followed += len(node.entry.link)
                if self._followed > _LINK_BYTES:
                    raise LayerError("the image's links lead through each other")
                if links > _LINKS or len(node.entry.link) > _PATH:
                    return None
                way = way[:1] if node.entry.link.startswith("/") else way
                todo += node.entry.link.split("/")[::-1]
        return way[-1]

    def walk(self) -> Iterator[tuple[str, FileEntry]]:
        """Every path and what stands there."""
        todo = [("", self._root)]
        while todo:
            path, node = todo.pop()
            yield path or "/", node.entry
            todo += [(f"{path}/{name}", child) for name, child in (node.children or {}).items()]

    def add(self, number: int, members: Iterator[tuple[str, Entry, int]]) -> None:
        """Put a layer on top. What it whites out is below it, wherever it says so. Raises LayerError."""
        hidden: list[tuple[str, str]] = []
        added: list[tuple[str, _Node | str]] = []
        for path, entry, at in members:
            self._enter()
            folder, name = posixpath.split(_clean(path))
            if name.startswith(_WHITEOUT):
                hidden.append((folder, name))
            elif entry.kind == "hard link":
                added.append((path, entry.link))
            else:
                added.append((path, _Node(_file_entry(entry), number, at)))
        for folder, name in hidden:
            node = self.find(folder)
            if node is not None and node.children is not None:
                if name == _OPAQUE:
                    node.children = {}
                else:
                    node.children.pop(name.removeprefix(_WHITEOUT), None)
        for path, what in added:
            self._put(*posixpath.split(_clean(path)), what)

    def _put(self, folder: str, name: str, what: _Node | str) -> None:
        """Put what a layer has at a path there: something, or another name of something."""
        parent = self.find(folder, make=True)
        if parent is None or parent.children is None:
            raise LayerError(f"{folder[:200]!r} in a layer leads in circles")
        if isinstance(what, str):
            linked = self.find(_clean(what), follow=False)
            if linked is None or linked.children is not None:
                raise LayerError(f"{name[:200]!r} in a layer is a link to no file")
            what = linked
        same = parent.children.get(name) if name else self._root
        if same is not None and same.children is not None and what.children is not None:
            same.entry = what.entry
        elif name:
            parent.children[name] = what

    def _enter(self) -> None:
        self._count += 1
        if self._count > _ENTRIES:
            raise LayerError(f"the image's layers have more than {_ENTRIES} entries")


class _Layer:
    """One layer: read once from front to back, then wherever a file is."""

    def __init__(self, source: ImageSource, blob: Descriptor) -> None:
        self._open, self._blob = partial(source.open, blob), blob
        self._marks: list[Mark] = []
        self._step = _STEP

    def members(self) -> Iterator[tuple[str, Entry, int]]:
        """Each member's path and entry, and where its content begins; at the end the layer's digest is proven."""
        with self._open() as raw, reader(verified(chunks(raw), self._blob, "the image")) as blob:
            tar = unpacked(blob)
            self._marks.append(tar.mark())
            for path, entry, _ in layertar.members(tar):
                self._mark(tar)
                yield path, entry, tar.at
            for _ in chunks(blob):
                pass

    def _mark(self, tar: Tar) -> None:
        if tar.at - self._marks[-1].at >= self._step:
            self._marks.append(tar.mark())
        if len(self._marks) > _MARKS:
            del self._marks[1::2]
            self._step *= 2

    def read(self, at: int, size: int) -> bytes:
        """So many bytes of the tar from there on. Raises LayerError."""
        last = max(bisect_right(self._marks, at, key=lambda mark: mark.at) - 1, 0)
        with self._open() as blob:
            tar = self._marks[last].resume(blob)
            for _ in layertar.pieces(tar, at - tar.at):
                pass
            return b"".join(layertar.pieces(tar, size))


def _file_entry(entry: Entry) -> FileEntry:
    kind: _Kind = _KINDS.get(entry.kind, "other")
    return FileEntry(
        kind=kind,
        mode=0o777 if kind == "symlink" else entry.mode,
        uid=entry.owner[0],
        gid=entry.owner[1],
        size=entry.size,
        link=entry.link,
    )


def _clean(path: str) -> str:
    """A path from the root, without `.`, `..` or a slash too many."""
    return posixpath.normpath("/" + path.lstrip("/"))


_HINT = "build the image again"
