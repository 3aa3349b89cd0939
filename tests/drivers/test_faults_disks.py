"""Faults F22 and F23: disks that are full, at the registry and here: real ones, though small and in memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from faultlab import Lab, laboratory, noise
from images import MemoryImage
from tests.faults import FOREVER, refusal
from tests.realregistry import RealRegistry

from dsci.drivers.fetched import Fetched
from dsci.drivers.layout import LayoutRegistry
from dsci.drivers.registry import HttpRegistry
from dsci.errors import BuilderError, RegistryError
from dsci.model.reference import EMBEDDED, Repository
from dsci.pipeline.transfer import RegistrySource, copy_image


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of this size."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts file systems")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A registry's, of 8 MB."""
    with small_disk(tmp_path / "disk", 8) as disk:
        yield disk


@pytest.fixture
def cramped(disk: Path) -> Iterator[Lab]:
    """A lab whose registry is on that disk."""
    registry = RealRegistry(disk)
    try:
        with laboratory(registry.address, 1) as lab:
            yield lab
    finally:
        registry.stop()


def fill(disk: Path) -> Path:
    """Leave no room; gives the file that takes it."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return disk / "filler"


def test_f22_a_registry_without_room_for_a_layer(cramped: Lab) -> None:
    cramped.new = MemoryImage(b"small", noise(12 << 20, 1))
    result = cramped.run()
    assert isinstance(result.error, RegistryError) and result.error.temporary
    assert f"the registry at {cramped.host} cannot store more, it has no space left" in result.text
    assert result.client.clock.slept == [] or len(result.client.clock.slept) <= 2, "it is not filled again and again"
    cramped.check(result, rerun=False)


def test_f22_a_registry_without_room_for_anything(cramped: Lab, disk: Path) -> None:
    """Blobs are there, and the manifest does not fit; when there is room, the same release comes to its end."""
    cramped.past.push_image(cramped.new, Repository(cramped.direct, "acme/other"), "1")
    filler = fill(disk)
    result = cramped.run()
    assert isinstance(result.error, RegistryError) and "cannot store more" in result.text
    filler.unlink()
    cramped.check(result)


def test_f22_a_registry_that_does_not_say_why(lab: Lab) -> None:
    """As some do whose disk is full: any 500, for ever, for the same blob."""
    blob = lab.new.layers[1].digest
    rule = lab.proxy.rule("PUT", f"/blobs/uploads/.*{blob.hex}", refusal(500, "UNKNOWN", "unknown error"), last=FOREVER)
    result = lab.run()
    assert isinstance(result.error, RegistryError) and rule.fired == 5
    assert f"cannot store {blob.short}" in result.text and "quota" in result.text
    lab.check(result, budget=60)


def test_f23_no_room_for_an_image_of_the_embedded_registry(tmp_path: Path, lab: Lab) -> None:
    """A copy from a registry to this disk: nothing half-written, no name, and room again afterwards."""
    lab.new = MemoryImage(b"small", noise(5 << 20, 1))
    lab.past.push_image(lab.new, lab.behind, "2.0")
    here = Repository(EMBEDDED, "acme/here")
    with small_disk(tmp_path / "here", 4) as disk:
        layout = LayoutRegistry(disk)
        layout.push_image(lab.old, here, "latest")
        before = os.statvfs(disk).f_bfree
        result = lab.run(lambda client: copy_image(client, lab.repository.tag("2.0"), layout, here, "latest"))
        assert isinstance(result.error, RegistryError) and str(disk) in result.text
        assert "space" in result.text or "room" in result.text
        found = layout.resolve(here.tag("latest"))
        assert found is not None and found.digest == lab.old.descriptor.digest
        assert os.statvfs(disk).f_bfree >= before - 16, "what was begun is gone again"
        layout.push_image(MemoryImage(b"fits"), here, "fits")
    lab.check(result)


def test_f23_no_room_for_layers_to_look_at(tmp_path: Path, lab: Lab) -> None:
    lab.new = MemoryImage(noise(5 << 20, 1))
    lab.past.push_image(lab.new, lab.behind, "2.0")
    with small_disk(tmp_path / "disk", 2) as disk, contextlib.closing(HttpRegistry()) as registry:
        source = Fetched(RegistrySource(registry, lab.behind, lab.new.descriptor.digest), disk)
        with pytest.raises(BuilderError, match="No space left on device") as caught:
            source.open(lab.new.layers[0])
        assert "make room there" in caught.value.hint and caught.value.exit_code == 4
        assert list(disk.iterdir()) == []


def test_f23_no_room_for_an_export(tmp_path: Path) -> None:
    here = Repository(EMBEDDED, "acme/here")
    layout = LayoutRegistry(tmp_path / "state")
    image = MemoryImage(noise(3 << 20, 1))
    layout.push_image(image, here, "1.0")
    with small_disk(tmp_path / "disk", 1) as disk:
        with pytest.raises((RegistryError, BuilderError)) as caught:
            layout.export(here.tag("1.0"), disk / "image.tar")
        assert str(disk) in caught.value.message and caught.value.hint
        assert list(disk.iterdir()) == []
