"""What builders elsewhere are handed: whole layouts, what is common on the disk once, and nothing left."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from images import MemoryImage

from dsci.drivers.handed import Handed
from dsci.drivers.runs import Run
from dsci.errors import BuilderError, RegistryError
from dsci.model.oci import Descriptor, Digest
from dsci.model.reference import Reference


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    # buildx would take neither of these in the path of a layout.
    run = Run(tmp_path / "state:with@odd name")
    yield run
    run.close()


def name(text: str) -> Reference:
    return Reference.parse(f"dsci.local/test/{text}:dsci-1")


def blobs(run: Run) -> dict[str, int]:
    """The files that hold blobs, by what they are called, and on how many names each lies."""
    found = (run.scratch / "handed").glob("*/blobs/*/*")
    return {path.name: path.stat().st_nlink for path in found}


def test_an_image_is_taken_whole_and_named_by_its_digest(run: Run) -> None:
    handed, image = Handed(run), MemoryImage(b"one", b"two")
    handed.take(name("a"), image)
    laid = handed.image(name("a"))
    assert laid is not None and laid.descriptor == image.descriptor and laid.manifest == image.manifest
    for layer in image.layers:
        with laid.open(layer) as stream:
            assert stream.read() == image.blobs[layer.digest]
    where = handed.place(name("a")).removeprefix("oci-layout://")
    folder, _, digest = where.partition("@")
    assert digest == str(image.descriptor.digest) and ":" not in folder, "the path is a relative one"
    assert json.loads((handed.root / folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    handed.remove(name("a"))
    handed.remove(name("a"))
    assert blobs(run) == {} and handed.image(name("a")) is None
    with pytest.raises(BuilderError, match="not at hand"):
        handed.place(name("a"))


def test_what_two_images_share_is_read_and_kept_once(run: Run) -> None:
    handed = Handed(run)
    parent, child = MemoryImage(b"one", b"two"), MemoryImage(b"one", b"two", b"three")
    handed.take(name("parent"), parent)
    handed.take(name("child"), child)
    assert set(child.opened) == {child.layers[2].digest}, "the config is the same, too"
    links = blobs(run)
    assert links[child.layers[0].digest.hex] == 2 and links[child.layers[2].digest.hex] == 1
    # Each goes alone, and the other is whole.
    handed.remove(name("parent"))
    laid = handed.image(name("child"))
    assert laid is not None
    for layer in child.layers:
        laid.open(layer).close()


def test_another_image_of_the_same_name_takes_its_place(run: Run) -> None:
    handed = Handed(run)
    handed.take(name("a"), MemoryImage(b"old"))
    new = MemoryImage(b"new")
    handed.take(name("a"), new)
    assert handed.image(name("a")).descriptor == new.descriptor  # type: ignore[union-attr]
    assert Digest.of(b"old").hex not in blobs(run)
    opened = len(new.opened)
    handed.take(name("a"), new)
    assert len(new.opened) == opened, "what is there is not taken again"


def test_threads_that_want_one_image_fetch_it_once(run: Run) -> None:
    handed, image = Handed(run), MemoryImage(b"x" * 1_000_000)
    threads = [threading.Thread(target=handed.take, args=(name("a"), image)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert image.opened.count(image.layers[0].digest) == 1 and handed.image(name("a")) is not None


def test_other_bytes_than_announced_are_no_image(run: Run) -> None:
    handed, image = Handed(run), MemoryImage(b"one")
    image.blobs[image.layers[0].digest] = b"two"
    with pytest.raises(RegistryError, match="other bytes"):
        handed.take(name("a"), image)
    assert handed.image(name("a")) is None and blobs(run) == {}


def test_what_a_builder_wrote_is_checked_and_what_it_does_not_name_goes(run: Run) -> None:
    handed, parent, child = Handed(run), MemoryImage(b"one", b"unused"), MemoryImage(b"one", b"two")
    handed.take(name("parent"), parent)
    folder = handed.begin(name("child"), handed.folders([name("parent"), name("unknown")]))
    assert (folder / "blobs/sha256" / child.layers[0].digest.hex).exists(), "it need not be sent again"
    with pytest.raises(BuilderError, match="does not give it"):
        handed.settle(name("child"), child.descriptor)
    (folder / "blobs/sha256" / child.descriptor.digest.hex).write_bytes(child.manifest)
    with pytest.raises(BuilderError):
        handed.settle(name("child"), child.descriptor)
    assert handed.image(name("child")) is None
    (folder / "blobs/sha256" / child.layers[1].digest.hex).write_bytes(b"tw")
    with pytest.raises(BuilderError, match="has not the 3 bytes"):
        handed.settle(name("child"), child.descriptor)
    (folder / "blobs/sha256" / child.layers[1].digest.hex).write_bytes(b"two")
    handed.settle(name("child"), child.descriptor)
    left = {path.name for path in (folder / "blobs/sha256").iterdir()}
    wanted = (child.descriptor, child.config, *child.layers)
    assert left == {blob.digest.hex for blob in wanted}
    # The bytes of the manifest are what they are called.
    (folder / "blobs/sha256" / child.descriptor.digest.hex).write_bytes(b"{}" + child.manifest[2:])
    with pytest.raises(RegistryError):
        handed.settle(name("child"), child.descriptor)


def test_a_full_disk_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    handed = Handed(run)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BuilderError, match="No space left on device") as caught:
        handed.take(name("a"), MemoryImage(b"one"))
    assert "XDG_STATE_HOME" in caught.value.hint


def test_a_blob_by_another_digest(run: Run) -> None:
    """SHA-512 is legal, too."""
    handed, image = Handed(run), MemoryImage(b"one")
    layer = Descriptor(
        media_type=image.layers[0].media_type, digest=Digest("sha512", hashlib.sha512(b"one").hexdigest()), size=3
    )
    image.blobs[layer.digest] = b"one"
    image.manifest = image.manifest.replace(str(image.layers[0].digest).encode(), str(layer.digest).encode())
    image.descriptor = Descriptor.of(image.descriptor.media_type, image.manifest)
    handed.take(name("a"), image)
    laid = handed.image(name("a"))
    assert laid is not None and laid.open(layer).read() == b"one"
