"""What a builder elsewhere is made to show before any work, with builders that cannot do one thing or another.

Builders that can are seen in `tests/e2e/test_builders.py`; BuildKits that are too old for something are not to be had.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest
from tests.drivers.images import MemoryImage

from dsci.drivers.handed import Handed
from dsci.drivers.runs import Run
from dsci.errors import BuilderError
from dsci.model.builders import Builder, Builders, Node
from dsci.model.family import TargetId
from dsci.model.oci import Platform
from dsci.pipeline import able
from dsci.ports import BuildFailure, BuildOrder, ImageSource

AMD64 = Platform.parse("linux/amd64")
TARGET = TargetId("ml", AMD64)


class Playing:
    """A builder that ends as it is told to, and keeps what it was asked for."""

    def __init__(self, ends: BuildFailure | int) -> None:
        """A failure, or the time that it gives the file in its layer."""
        self.ends = ends
        self.orders: list[BuildOrder] = []

    @contextlib.contextmanager
    def build(
        self, order: BuildOrder, context: Callable[[BinaryIO], None], progress: Callable[[str], None]
    ) -> Iterator[ImageSource | BuildFailure]:
        self.orders.append(order)
        if isinstance(self.ends, BuildFailure):
            yield self.ends
            return
        tar = io.BytesIO()
        context(tar)
        with tarfile.open(fileobj=io.BytesIO(tar.getvalue())) as archive:
            assert archive.getnames() == ["Dockerfile", "proof"]
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            info = tarfile.TarInfo("proof")
            info.mtime = self.ends
            archive.addfile(info)
        yield MemoryImage(gzip.compress(layer.getvalue()))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path / "state")
    yield run
    run.close()


def check(run: Run, ends: BuildFailure | int, *, reproducible: bool = False, network: str = "default") -> BuildOrder:
    """Have one target checked that is to be built elsewhere; gives the order of the proof."""
    builder, handed = Playing(ends), Handed(run)
    node = Node(name="far0", running=True, platforms=(AMD64,))
    far = Builder(name="far", driver="remote", nodes=(node,))
    recipe = SimpleNamespace(runs=(AMD64,), knows_builder=False)
    image = SimpleNamespace(reproducible=reproducible)
    family = SimpleNamespace(nodes={TARGET: SimpleNamespace(recipe=recipe)}, images={"ml": image})
    shop: Any = SimpleNamespace(
        now=SimpleNamespace(family=family),
        builders=Builders(every="far"),
        known=SimpleNamespace(about=lambda name: far),
        builder=builder,
        handed=handed,
        console=SimpleNamespace(say=lambda text: None),
        network=network,
        inactivity=900.0,
        nonce=run.nonce,
    )
    try:
        able.check(shop, [TARGET], [], AMD64)
    finally:
        assert [path for path in run.scratch.rglob("*") if path.is_file()] == [], "the proof leaves nothing"
    return builder.orders[0]


def test_the_proof_is_built_as_the_images_will_be(run: Run) -> None:
    order = check(run, 1_000_000_000, reproducible=True, network="host")
    assert (order.builder, order.platform, order.network, order.reproducible) == ("far", AMD64, "host", True)
    assert order.inactivity <= 120 and order.pins[0].source.startswith("oci-layout://") and len(order.on) == 1


def test_times_that_are_left_as_they_are(run: Run) -> None:
    check(run, 1_100_000_000)
    with pytest.raises(BuilderError) as caught:
        check(run, 1_100_000_000, reproducible=True)
    assert (
        caught.value.message == "reproducible: the builder far (remote driver) leaves the times in layers as they are"
    )
    assert "BuildKit 0.13" in caught.value.hint


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ('exporter "oci" could not be found', "classic image store"),
        ("OCI exporter is not supported for the docker driver", "classic image store"),
        ("granting entitlement network.host is not allowed by build daemon configuration", "--buildkitd-flags"),
        ("something else", "nothing was begun"),
    ],
)
def test_what_a_builder_cannot_do_is_told_with_what_helps(run: Run, said: str, advice: str) -> None:
    with pytest.raises(BuilderError) as caught:
        check(run, BuildFailure(message=said))
    assert f"the builder far (remote driver) cannot build for dsci: {said}" in caught.value.message
    assert advice in caught.value.hint
