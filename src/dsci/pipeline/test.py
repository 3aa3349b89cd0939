"""Testing one target: the inherited suites, inside the very image that ships.

The image is brought into the engine by digest if it is not there, from where a builder elsewhere left it or from its
registry, and its identity is checked before anything runs in it. When every suite passed, a receipt says so for ever; a
failure leaves none, so the next run tests again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from dsci.errors import BuilderError, ConfigError
from dsci.model.family import Suite, TargetId
from dsci.model.keys import NO_SUITES
from dsci.model.oci import Descriptor, Digest, Manifest, Platform
from dsci.model.receipt import Receipt, SuiteResult
from dsci.model.report import SuiteReport, Verdict
from dsci.model.tree import EXECUTABLE, FILE
from dsci.pipeline import sizes
from dsci.pipeline.receipts import receipt, write_receipt
from dsci.pipeline.snapshot import Snapshot
from dsci.pipeline.stock import read_receipt
from dsci.pipeline.transfer import RegistrySource
from dsci.pipeline.workshop import Workshop
from dsci.ports import Git, ImageSource, LocalImage
from dsci.suites import run as suite_runner
from dsci.suites.clock import Clock
from dsci.suites.subject import Look, Still, Subject, bounds

#: How often a lost image is loaded anew for one suite.
_RELOADS = 2
#: Suites of one target that run side by side; each check has a container of its own.
_AT_ONCE = 3
_ALLOWING = "allow it where you trust the file: `suites: {{allow: [{}]}}` in dsci.yaml"
_RAISING = "for more, set suites.{} in dsci.yaml"
_NOTHING = "nothing is allowed in a request from another repository"


def ensure_local(shop: Workshop, target: TargetId, image: Descriptor) -> None:
    """Have a target's image in the engine, and be sure that it is this one. Raises BuilderError when it is not."""
    name = shop.local_name(target)
    source = at_hand(shop, target, image)
    if shop.engine.image_id(name) in _identities(shop, target, image, source):
        return
    shop.console.step(str(target), f"load {image.digest.short} into the engine")
    # Not fetched by the engine itself: it skips the blob of a layer whose files it has from elsewhere, and no child can
    # be made of the image then.
    try:
        shop.engine.load(source or in_registry(shop, target, image), name)
    except BuilderError as error:
        if not error.temporary:
            raise
        # A layer that it stands on went while it was loaded. It comes back with a new name only.
        shop.engine.remove_image(name)
        shop.engine.load(source or in_registry(shop, target, image), name)
    found = shop.engine.image_id(name)
    if found not in _identities(shop, target, image, source):
        raise BuilderError(
            f"{target}: the engine shows {found} where {image.digest} was loaded",
            hint="what is tested must be what ships: see the engine's log, then try again",
        )


def at_hand(shop: Workshop, target: TargetId, image: Descriptor) -> ImageSource | None:
    """A target's image as a builder elsewhere left it, if it is this one: another run's may be used in its place."""
    laid = shop.handed.image(shop.local_name(target))
    return laid if laid is not None and laid.descriptor.digest == image.digest else None


def in_registry(shop: Workshop, target: TargetId, image: Descriptor) -> ImageSource:
    """A target's image as it is in its repository."""
    return RegistrySource(shop.registry, shop.now.family.images[target.image].repository, image.digest)


def _identities(shop: Workshop, target: TargetId, image: Descriptor, laid: ImageSource | None) -> tuple[str, ...]:
    """The id the engine gives this image: the manifest's digest, or on the classic store the config's (rule 12)."""
    if shop.engine.mode == "containerd":
        return (str(image.digest),)
    if laid is not None:
        return (str(Manifest.from_bytes(laid.manifest).config.digest),)
    repository = shop.now.family.images[target.image].repository
    found = shop.registry.manifest(repository.at(image.digest))
    return (str(Manifest.from_bytes(found[1]).config.digest),) if found else ()


def test(
    shop: Workshop, target: TargetId, image: Descriptor, digests: Mapping[TargetId, Digest]
) -> tuple[SuiteReport, ...]:
    """Run every suite of a target, and attach the receipt when all of them passed."""
    loaded = _Loaded(shop, target, image)
    still = Still(shop.engine, shop.local_name(target), target.platform)

    def subject(suite: Suite) -> Subject:
        return replace(
            subject_of(shop, suite, target.platform, shop.local_name(target), still, digest=str(image.digest)),
            sizes=lambda: (
                sizes.size((at_hand(shop, target, image) or in_registry(shop, target, image)).manifest),
                sizes.released(shop, target),
            ),
            host_side=shop.host_side,
        )

    def one(suite: Suite) -> SuiteReport:
        shop.console.step(str(target), f"suite {suite.name}")
        return loaded.use(lambda: suite_runner.run(suite, subject(suite), target=str(target)))

    with still, ThreadPoolExecutor(_AT_ONCE) as pool:
        reports = tuple(pool.map(one, shop.now.family.suites(target)))
    private = target in shop.private or any(
        path in shop.now.changed for suite in shop.now.family.suites(target) for path in suite.files
    )
    if not private and shop.suites[target] != NO_SUITES and not any(report.problem for report in reports):
        results = tuple(
            SuiteResult(
                name=report.suite,
                passed=report.count(Verdict.PASSED),
                skipped=report.count(Verdict.SKIPPED),
                seconds=round(report.seconds, 3),
            )
            for report in reports
        )
        record = _built(shop, target, image, digests)
        write_receipt(shop, target, image, replace(record, suites=shop.suites[target], results=results))
    return reports


def subject_of(
    shop: Workshop, suite: Suite, platform: Platform, image: LocalImage, still: Look, *, digest: str
) -> Subject:
    """An image of the engine as a suite of the family sees it."""
    return Subject(
        engine=shop.engine,
        image=image,
        platform=platform,
        still=still,
        clock=Clock(suite.limits, shop.time),
        bounds=bounds(suite.limits, _RAISING),
        read=lambda path: read(shop.git, shop.now, path),
        executable=lambda path: shop.now.tree[path].mode == EXECUTABLE,
        allow=frozenset(suite.allow if shop.host is not None else ()),
        allowing=_ALLOWING if shop.host is not None else _NOTHING,
        host=shop.host or {},
        digest=digest,
    )


def _built(shop: Workshop, target: TargetId, image: Descriptor, digests: Mapping[TargetId, Digest]) -> Receipt:
    """The receipt of the image's build; one made of what is known now, if it was lost."""
    repository, key = shop.now.family.images[target.image].repository, shop.keys[target]
    assert key is not None
    found = read_receipt(shop.registry, repository, key, NO_SUITES)
    if found is not None and found.image == str(image.digest):
        return found
    return receipt(shop, target, image.digest, digests, shop.epochs[target])


class _Loaded:
    """A target's image in the engine, for suites side by side; loaded anew where its layers are lost.

    The containerd image store may lose them to the clean-up of another run. They come back only with a new name, and
    while one suite sees to that, the others find no image at all: whoever finds it lost waits, and goes on with what is
    there then.
    """

    def __init__(self, shop: Workshop, target: TargetId, image: Descriptor) -> None:
        self._shop, self._target, self._image = shop, target, image
        self._lock = threading.Lock()
        self._count = 0

    def use(self, suite: Callable[[], SuiteReport]) -> SuiteReport:
        """Run a suite, again from a fresh load where that may help. Raises BuilderError where it did not."""
        for _ in range(_RELOADS):
            seen = self._count
            try:
                return suite()
            except BuilderError as error:
                if not error.temporary or not self._at_hand():
                    raise
            self._again(seen)
        return suite()

    def _at_hand(self) -> bool:
        """Whether there is somewhere to load it from: what never left the engine is lost for good."""
        shop, target = self._shop, self._target
        return target not in shop.private or at_hand(shop, target, self._image) is not None

    def _again(self, seen: int) -> None:
        with self._lock:
            if self._count == seen:
                self._shop.engine.remove_image(self._shop.local_name(self._target))
                ensure_local(self._shop, self._target, self._image)
                self._count += 1


def read(git: Git, now: Snapshot, path: str) -> bytes:
    """A suite's file. Raises ConfigError for a link: a change of what it leads to would go unnoticed."""
    if now.tree[path].mode not in (FILE, EXECUTABLE):
        raise ConfigError(f"{path} is a link or a submodule, and a suite takes files only", hint="put the file there")
    return git.worktree_blob(path) if path in now.changed else git.blob(now.tree[path].oid)
