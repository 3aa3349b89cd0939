"""Two runs that build and test the same at once: each writes under the same tags, and both go on."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from tests.drivers.images import MemoryImage
from tests.drivers.scripted import Answer, ScriptedRegistry, Seen

from dsci.drivers.keychain import Keychain
from dsci.drivers.registry import HttpRegistry
from dsci.errors import ConflictError
from dsci.model import keys
from dsci.model.builders import Builders
from dsci.model.family import TargetId
from dsci.model.oci import OCI_MANIFEST, Platform
from dsci.model.receipt import Receipt, to_artifact
from dsci.model.reference import Repository
from dsci.pipeline import build as building
from dsci.pipeline.stock import read_receipt

KEY = "k" * 64
TARGET = TargetId("app", Platform("linux", "amd64"))
OURS, THEIRS = MemoryImage(b"ours"), MemoryImage(b"theirs")


def receipt(image: MemoryImage, **changes: Any) -> Receipt:
    """A receipt of an image under the key."""
    made = Receipt(target=str(TARGET), key=KEY, source_key="s" * 64, image=str(image.descriptor.digest))
    return replace(made, **changes)


class Race:
    """Our run with a registry in which others may be faster."""

    def __init__(self, server: ScriptedRegistry, keychain: Keychain) -> None:
        self.server = server
        self.repository = Repository(server.host, "acme/app")
        self.registry = HttpRegistry(keychain=keychain)
        image = SimpleNamespace(repository=self.repository)
        self.shop: Any = SimpleNamespace(
            now=SimpleNamespace(family=SimpleNamespace(images={"app": image})),
            registry=self.registry,
            engine=SimpleNamespace(mode="classic"),
            builders=Builders(),
            console=SimpleNamespace(step=lambda *_: None, warn=lambda text: None),
            keys={TARGET: KEY},
            nonce="0" * 16,
        )

    def others(self, tag: str, manifest: bytes) -> None:
        """Right after we write this tag, and before we look, somebody else does."""

        def act(seen: Seen) -> Answer:
            answer = self.server.act(seen)
            self.server.manifests["acme/app", tag] = (OCI_MANIFEST, manifest)
            return answer

        self.server.rule("PUT", f"/manifests/{tag}$", act)

    def others_receipt(self, record: Receipt, image: MemoryImage) -> None:
        artifact = to_artifact(record, image.descriptor)
        self.others(keys.receipt_tag(KEY, record.suites), artifact.manifest)


@pytest.fixture
def race(tmp_path: Any) -> Iterator[Race]:
    with ScriptedRegistry() as server:
        yield Race(server, Keychain(tmp_path))


def test_a_receipt_of_another_run_serves_as_well(race: Race) -> None:
    theirs = receipt(OURS, suites="x", engine="another one")
    race.others_receipt(theirs, OURS)
    building.write_receipt(race.shop, TARGET, OURS.descriptor, receipt(OURS, suites="x"))
    assert read_receipt(race.registry, race.repository, KEY, "x") == theirs


@pytest.mark.parametrize("other", [receipt(THEIRS), receipt(OURS, parents={"base@linux/amd64": "sha256:" + "0" * 64})])
def test_a_receipt_of_something_else_does_not(race: Race, other: Receipt) -> None:
    race.others_receipt(other, THEIRS if other.image == str(THEIRS.descriptor.digest) else OURS)
    with pytest.raises(ConflictError, match="right after we wrote"):
        building.write_receipt(race.shop, TARGET, OURS.descriptor, receipt(OURS))


def test_the_image_of_who_was_faster_by_a_moment_is_used(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "receipt", lambda shop, target, image, *_: replace(receipt(OURS), image=str(image)))
    race.registry.push_image(THEIRS, race.repository, "theirs")
    race.others(keys.key_tag(KEY), THEIRS.manifest)
    order: Any = SimpleNamespace(epoch=0, labels={}, reproducible=False)
    kept = building._keep(race.shop, TARGET, OURS, {}, order)
    assert kept.adopted and kept.descriptor.digest == THEIRS.descriptor.digest
