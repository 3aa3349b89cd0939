"""Whether whoever is to build or to test something can, asked before any work.

Programs are run where a Dockerfile says RUN and where a suite does; a machine runs those of its own platform, and of
others with QEMU. What builders run is asked of them. The rest of what a builder elsewhere has to do (take an image as a
layout, give one back, set back times, use the network of its host) it is made to show, in a build of one small file:
versions tell less than that, and some distributions tell none.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from typing import BinaryIO

import msgspec

from dsci.errors import BuilderError, ConfigError
from dsci.model.builders import Builder, Builders, listed, missing, settled
from dsci.model.family import TargetId
from dsci.model.oci import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Digest, Manifest, Platform
from dsci.model.reference import EMBEDDED, Reference, Repository
from dsci.pipeline import test as testing
from dsci.pipeline.snapshot import Snapshot
from dsci.pipeline.workshop import Workshop
from dsci.pipeline.world import Hands
from dsci.ports import BuildFailure, BuildOrder, Pin
from dsci.suites.run import executes
from dsci.tars import TarWriter

_SHOWN = 3
_PATIENCE = 120.0
#: The times of the proof: its file is younger than what layers are to be set back to.
_EPOCH, _LATER = 1_000_000_000, 1_100_000_000


def chosen(hands: Hands, now: Snapshot, said: Builders | None) -> Builders:
    """Who builds for which platform: as the caller said, else as the settings do. The engine's own has no name."""
    given = settled(now.settings.builder.name) if said is None else said
    family = {platform for image in now.family.images.values() for platform in image.platforms}
    for platform in sorted(given.by_platform.keys() - family):
        hands.console.warn(f"the builder {given.by_platform[platform]} has nothing to do: no image has {platform}")
    return given.without(hands.builders.own) if given.names else given


def check(shop: Workshop, builds: Iterable[TargetId], tested: Iterable[TargetId], here: Platform) -> None:
    """See that all that is to be built can be built, and what is to be tested can be tested.

    `here` is what the plan takes BUILDPLATFORM for. Raises BuilderError, or ConfigError for a Dockerfile that a builder
    would read otherwise, with what can be done about it.
    """
    builds, tested = sorted(builds), sorted(tested)
    elsewhere = _Group.of(shop, builds)
    # First what costs nothing to ask; a proof takes a second.
    for group in elsewhere:
        group.check(shop, here)
    own = [target for target in builds if shop.builders.of(target.platform) is None]
    _check_engine(shop, own, tested)
    for group in elsewhere:
        shop.console.say(f"{', '.join(map(str, group.platforms))}: built by {group.builder}")
        for platform in group.platforms:
            _prove(shop, group, platform)


def check_times(shop: Workshop, builds: Iterable[TargetId]) -> None:
    """See that no reproducible image takes files whose times BuildKit remembers from builds before. Raises ConfigError.

    `verify` does without: a release may be reproducible by luck, and it says so or not.
    """
    for target in sorted(builds):
        image = shop.now.family.images[target.image]
        for step in shop.now.family.nodes[target].recipe.undated if image.reproducible else ():
            raise ConfigError(
                f"{image.dockerfile}:{step.line}: {target.image} is to be reproducible, and takes {step.what} here: "
                "its files have the time at which this BuildKit first saw it",
                hint="take files of the build context, or have RUN write them (RUN cat > FILE <<EOF) or fetch them",
            )


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    """What one builder elsewhere is to build."""

    name: str
    builder: Builder
    targets: Sequence[TargetId]

    @classmethod
    def of(cls, shop: Workshop, targets: Iterable[TargetId]) -> list[_Group]:
        found: dict[str, list[TargetId]] = {}
        for target in targets:
            if (name := shop.builders.of(target.platform)) is not None:
                found.setdefault(name, []).append(target)
        return [cls(name=name, builder=shop.known.about(name), targets=found[name]) for name in sorted(found)]

    @property
    def platforms(self) -> Sequence[Platform]:
        return sorted({target.platform for target in self.targets})

    def check(self, shop: Workshop, here: Platform) -> None:
        """See that it runs the steps of its Dockerfiles, and reads them as the plan does."""
        _refuse_steps(shop, self.targets, self.builder.platforms, str(self.builder))
        for target in self.targets:
            native = self.builder.native(target.platform)
            if native not in (None, here) and shop.now.family.nodes[target].recipe.knows_builder:
                raise ConfigError(
                    f"{target}: its Dockerfile names the platform that builds ($BUILDPLATFORM); for the plan that is "
                    f"{here}, for the {self.builder} it would be {native}",
                    hint="name $TARGETPLATFORM or a platform there, or plan and build on machines of one kind",
                )


def _check_engine(shop: Workshop, builds: Sequence[TargetId], tested: Sequence[TargetId]) -> None:
    """See that the engine builds what is its own to build, and runs the suites of everything."""
    if any(shop.now.family.images[target.image].reproducible for target in builds):
        shop.engine.check_reproducible()
    running = [target for target in tested if _runs_suites(shop, target)]
    steps = {platform for target in builds for platform in shop.now.family.nodes[target].recipe.runs}
    wanted = steps | {target.platform for target in running}
    if not wanted or wanted == {shop.engine.platform()}:
        return
    able = shop.known.about(shop.known.own).platforms
    _refuse_steps(shop, builds, able, "this Docker Engine")
    bad = [target for target in running if missing([target.platform], able)]
    if bad:
        first = bad[0].platform
        raise BuilderError(
            f"{_names(bad)}: suites run something in the image, and this Docker Engine cannot run {first} "
            f"(it runs {listed(able)}): what is not tested is not released",
            hint=f"{_qemu(first)}; or test it on such a machine: dsci test --only {bad[0]} --plan plan.json "
            "(docs/fan-out.md)",
        )


def _runs_suites(shop: Workshop, target: TargetId) -> bool:
    return any(
        executes(suite, lambda path: testing.read(shop.git, shop.now, path)) for suite in shop.now.family.suites(target)
    )


def _refuse_steps(shop: Workshop, targets: Iterable[TargetId], able: frozenset[Platform], who: str) -> None:
    """Raise BuilderError where steps cannot be run. What triggers of a base (ONBUILD) run is not seen here."""
    bad = [target for target in targets if missing(shop.now.family.nodes[target].recipe.runs, able)]
    if bad:
        first = missing(shop.now.family.nodes[bad[0]].recipe.runs, able)[0]
        raise BuilderError(
            f"{_names(bad)}: the Dockerfile runs steps on {first}, and {who} cannot (it runs {listed(able)})",
            hint=f"{_qemu(first)}; or name a builder that has it: --builder {first}=NAME; or build it on such a "
            f"machine: dsci build --only {bad[0]} --plan plan.json (docs/fan-out.md)",
        )


def _names(targets: Sequence[TargetId]) -> str:
    more = f" and {len(targets) - _SHOWN} more" if len(targets) > _SHOWN else ""
    return ", ".join(map(str, targets[:_SHOWN])) + more


def _qemu(platform: Platform) -> str:
    return f"install QEMU there: docker run --privileged --rm tonistiigi/binfmt --install {platform.architecture}"


# ------------------------------------------------------------------------------------------------------ the proof


def _prove(shop: Workshop, group: _Group, platform: Platform) -> None:
    """Have a builder build one file on an image that it is handed. Raises BuilderError with what it cannot do."""
    name, parent = (Repository(EMBEDDED, part).tag(f"dsci-proof-{shop.nonce}") for part in ("proof", "proof/parent"))
    reproducible = any(shop.now.family.images[target.image].reproducible for target in group.targets)
    try:
        shop.handed.take(parent, _Small(platform))
        order = _order(shop, group.name, platform, name, parent, reproducible=reproducible)
        with shop.builder.build(order, _context, lambda text: None) as built:
            if isinstance(built, BuildFailure):
                raise BuilderError(
                    f"the {group.builder} cannot build for dsci: {built.message}", hint=_advice(built.message)
                )
            if reproducible and _youngest(built.open(Manifest.from_bytes(built.manifest).layers[-1])) > _EPOCH:
                raise BuilderError(
                    f"reproducible: the {group.builder} leaves the times in layers as they are",
                    hint="it takes BuildKit 0.13 or newer; or take `reproducible` out of dsci.yaml",
                )
    finally:
        shop.handed.remove(name)
        shop.handed.remove(parent)


def _order(
    shop: Workshop, builder: str, platform: Platform, name: Reference, parent: Reference, *, reproducible: bool
) -> BuildOrder:
    return BuildOrder(
        subject=f"builder {builder}",
        dockerfile="Dockerfile",
        dockerfile_shown="Dockerfile",
        stage=None,
        platform=platform,
        pins=(Pin(name="parent", source=shop.handed.place(parent)),),
        local_name=name,
        epoch=_EPOCH,
        network=shop.network,
        reproducible=reproducible,
        inactivity=min(shop.inactivity, _PATIENCE),
        builder=builder,
        on=(parent,),
    )


def _advice(said: str) -> str:
    if 'exporter "oci"' in said or "oci-layout" in said or "OCI exporter" in said:
        return "it is an engine with the classic image store: turn on its containerd image store, or name another one"
    if "network.host" in said:
        return "make it with --buildkitd-flags '--allow-insecure-entitlement network.host', or change builder.network"
    return "see `docker buildx inspect`; nothing was begun"


def _context(stream: BinaryIO) -> None:
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        tar = TarWriter(archive, when=_LATER)
        tar.file("Dockerfile", b"FROM parent\nCOPY proof /proof\n")
        tar.file("proof", b"dsci\n")


def _youngest(layer: BinaryIO) -> float:
    with layer, tarfile.open(fileobj=layer, mode="r|*") as archive:
        return max((info.mtime for info in archive if info.isfile()), default=0.0)


class _Small:
    """An image of one small file, as an `ImageSource`."""

    def __init__(self, platform: Platform) -> None:
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            TarWriter(archive, when=_LATER).file("parent", b"dsci\n")
        layer = gzip.compress(tar.getvalue(), mtime=0)
        contents = f"sha256:{hashlib.sha256(tar.getvalue()).hexdigest()}"
        config = json.dumps(platform.to_json() | {"rootfs": {"type": "layers", "diff_ids": [contents]}}).encode()
        blobs = (Descriptor.of(OCI_CONFIG, config), Descriptor.of(OCI_LAYER_GZIP, layer))
        self._blobs: dict[Digest, bytes] = dict(zip((blob.digest for blob in blobs), (config, layer), strict=True))
        self.manifest = Manifest(config=blobs[0], layers=blobs[1:]).to_bytes()
        self.descriptor = Descriptor.of(OCI_MANIFEST, self.manifest)

    def open(self, blob: Descriptor) -> BinaryIO:
        return io.BytesIO(self._blobs[blob.digest])
