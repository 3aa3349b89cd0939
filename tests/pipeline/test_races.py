"""Two that do the same at once: runs that write under the same tags, suites that find their image lost. All go on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from tests.drivers.images import MemoryImage
from tests.drivers.scripted import Answer, ScriptedRegistry, Seen

from dsci.drivers.keychain import Keychain
from dsci.drivers.registry import HttpRegistry
from dsci.errors import BuilderError, ConflictError
from dsci.model import keys
from dsci.model.builders import Builders
from dsci.model.family import TargetId
from dsci.model.oci import OCI_MANIFEST, Platform
from dsci.model.receipt import Receipt, to_artifact
from dsci.model.reference import Repository
from dsci.model.report import SuiteReport
from dsci.pipeline import build as building
from dsci.pipeline import receipts
from dsci.pipeline import test as testing
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
        self.registry.push_image(OURS, self.repository, "1")
        image = SimpleNamespace(repository=self.repository)
        self.shop: Any = SimpleNamespace(
            now=SimpleNamespace(
                family=SimpleNamespace(images={"app": image}, nodes={TARGET: SimpleNamespace(parent=None)})
            ),
            registry=self.registry,
            engine=SimpleNamespace(mode="classic"),
            builders=Builders(),
            console=SimpleNamespace(step=lambda *_: None, warn=lambda text: None),
            keys={TARGET: KEY},
            nonce="0" * 16,
            handed=SimpleNamespace(image=lambda name: None),
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
    receipts.write_receipt(race.shop, TARGET, OURS.descriptor, receipt(OURS, suites="x"))
    assert read_receipt(race.registry, race.repository, KEY, "x") == theirs


@pytest.mark.parametrize("other", [receipt(THEIRS), receipt(OURS, parents={"base@linux/amd64": "sha256:" + "0" * 64})])
def test_a_receipt_of_something_else_does_not(race: Race, other: Receipt) -> None:
    race.others_receipt(other, THEIRS if other.image == str(THEIRS.descriptor.digest) else OURS)
    with pytest.raises(ConflictError, match="right after we wrote"):
        receipts.write_receipt(race.shop, TARGET, OURS.descriptor, receipt(OURS))


def test_the_image_of_who_was_faster_by_a_moment_is_used(race: Race, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "receipt", lambda shop, target, image, *_: replace(receipt(OURS), image=str(image)))
    race.registry.push_image(THEIRS, race.repository, "theirs")
    race.others(keys.key_tag(KEY), THEIRS.manifest)
    order: Any = SimpleNamespace(epoch=0, labels={}, reproducible=False)
    kept = building._keep(race.shop, TARGET, OURS, {}, order)
    assert kept.adopted and kept.descriptor.digest == THEIRS.descriptor.digest


class Forgetful:
    """An engine that loses an image's layers, and gets them back only with a new load. Loading takes it a while."""

    mode = "containerd"

    def __init__(self, *, times: int = 1) -> None:
        self.there, self.whole, self.times = True, False, times
        self.loads = 0

    def use(self) -> None:
        """What a suite does with the image."""
        if not self.there:
            raise BuilderError("No such image", temporary=True)
        if not self.whole:
            raise BuilderError("snapshot does not exist", temporary=True)

    def image_id(self, name: object) -> str | None:
        return str(OURS.descriptor.digest) if self.there else None

    def remove_image(self, name: object) -> None:
        self.there = False

    def load(self, source: object, name: object) -> None:
        time.sleep(0.05)
        self.loads += 1
        self.there, self.whole = True, self.loads >= self.times


@pytest.mark.parametrize("private", [False, True])
def test_suites_side_by_side_load_a_lost_image_once(race: Race, private: bool) -> None:
    engine = race.shop.engine = Forgetful()
    race.shop.local_name = str
    race.shop.private = {TARGET} if private else set()
    loaded = testing._Loaded(race.shop, TARGET, OURS.descriptor)
    together = threading.Barrier(3)

    def suite(late: float) -> SuiteReport:
        tries: list[int] = []

        def run() -> SuiteReport:
            tries.append(1)
            if len(tries) == 1:
                together.wait(5)
                time.sleep(late)
            engine.use()
            return SuiteReport(target=str(TARGET), suite="s", checks=())

        return loaded.use(run)

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(suite, late) for late in (0, 0.02, 0.03)]  # the later ones find it in mid-load
    if private:
        assert all(isinstance(one.exception(), BuilderError) for one in running) and engine.loads == 0
    else:
        assert all(one.result() for one in running) and engine.loads == 1


def test_an_image_that_stays_lost_is_told(race: Race) -> None:
    engine = race.shop.engine = Forgetful(times=9)
    race.shop.local_name, race.shop.private = str, set()
    with pytest.raises(BuilderError, match="snapshot"):
        testing._Loaded(race.shop, TARGET, OURS.descriptor).use(lambda: engine.use())  # type: ignore[arg-type,func-returns-value]
    assert engine.loads == 2


class Losing(Forgetful):
    """An engine that loses a layer while an image is loaded that stands on it, or refuses the image."""

    def __init__(self, *errors: BuilderError) -> None:
        super().__init__()
        self.there, self.errors, self.removed = False, list(errors), 0

    def remove_image(self, name: object) -> None:
        super().remove_image(name)
        self.removed += 1

    def load(self, source: object, name: object) -> None:
        super().load(source, name)
        if self.errors:
            raise self.errors.pop(0)


LOST, FULL = BuilderError("parent snapshot x does not exist", temporary=True), BuilderError("no space left on device")


@pytest.mark.parametrize(
    ("errors", "loads", "said"), [((LOST,), 2, ""), ((LOST, LOST), 2, "snapshot"), ((FULL,), 1, "no space")]
)
def test_an_image_whose_layers_go_while_it_is_loaded_is_loaded_again(
    race: Race, errors: tuple[BuilderError, ...], loads: int, said: str
) -> None:
    engine = race.shop.engine = Losing(*errors)
    race.shop.local_name, race.shop.private = str, set()
    race.registry.push_image(OURS, race.repository, "ours")
    with pytest.raises(BuilderError, match=said) if said else contextlib.nullcontext():
        testing.ensure_local(race.shop, TARGET, OURS.descriptor)
    assert (engine.loads, engine.removed) == (loads, loads - 1)
