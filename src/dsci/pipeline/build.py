"""Building one target: from Git objects to an image that stands under its key.

The context is written as a tar straight from Git; every sibling and base the Dockerfile names is pinned to the content
that the plan's key was computed from. The result is pushed under a tag of this run and then, if nobody was faster,
under its key: the first writer wins and everybody uses what stands there (rule 11). A builder elsewhere
is handed the siblings as layouts. Dirty targets never leave this machine. Suites and releases are other modules' work.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Mapping
from typing import BinaryIO

import msgspec

from dsci.errors import ConfigError, ConflictError, RegistryError
from dsci.later import Later
from dsci.model import keys
from dsci.model.builders import Builders
from dsci.model.caches import Cache
from dsci.model.config import SecretSettings
from dsci.model.family import TargetId
from dsci.model.inputs import ContextFile
from dsci.model.oci import ANY, OCI_MANIFEST, Descriptor, Digest, Manifest, Platform
from dsci.model.receipt import BaseUsed, Receipt, to_artifact
from dsci.model.reference import EMBEDDED, Reference, Repository
from dsci.model.room import Took
from dsci.model.text import clean
from dsci.model.tree import EXECUTABLE, SUBMODULE, SYMLINK
from dsci.pipeline.snapshot import Snapshot
from dsci.pipeline.stock import read_receipt
from dsci.pipeline.whole import gone
from dsci.ports import (
    INACTIVITY,
    Builder,
    BuildFailure,
    BuildOrder,
    BuildSecret,
    Console,
    Engine,
    Git,
    Handed,
    ImageSource,
    KnownBuilders,
    Pin,
    Registry,
)

_LFS = b"version https://git-lfs.github.com/spec/"
_LFS_LIMIT = 1024
_DOCKERFILE = ".dsci.Dockerfile"
_BASE_NAME = "org.opencontainers.image.base.name"
_BASE_DIGEST = "org.opencontainers.image.base.digest"


class Workshop(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that work on targets needs: the snapshot it is done for and whom to ask."""

    now: Snapshot
    pins: keys.Pins
    keys: Mapping[TargetId, str | None]
    suites: Mapping[TargetId, str]
    git: Git
    engine: Engine
    builder: Builder
    handed: Handed
    known: KnownBuilders
    registry: Registry
    console: Console
    unpinned: Mapping[TargetId, str]
    """Why a target has no key: a base of it does not exist, or could not be asked for."""
    epochs: Mapping[TargetId, int] = msgspec.field(default_factory=dict)
    """SOURCE_DATE_EPOCH of each target that is built, in seconds."""
    fresh: bool = False
    """Whether what is built is built without what BuildKit remembers of earlier builds."""
    network: str = "default"
    builders: Builders = Builders()
    """Who builds for which platform, where it is not the engine itself."""
    caches: Mapping[TargetId, Cache] = msgspec.field(default_factory=dict)
    """Where the steps of builds are kept, for those targets that have such a place."""
    inactivity: float = INACTIVITY
    """How long a build may say nothing, in seconds."""
    private: frozenset[TargetId] = frozenset()
    """Targets that never leave this machine: uncommitted work, what may not be pushed, and all that stands on them."""
    nonce: str
    """What tells this run's names in the engine and the registry from those of another run at the same time."""

    def local_name(self, target: TargetId) -> Reference:
        """The name a target's image has in the engine: unique for its content and this run, never a public one."""
        content = self.keys[target] or self.now.sources.full[target]
        state = "private-" if target in self.private else ""
        return self._local(target).tag(f"dsci-{state}{content[:32]}-{self.nonce}")

    def made_by(self, platform: Platform) -> str:
        """What builds for a platform, for receipts and messages."""
        builder = self.builders.of(platform)
        return str(self.known.about(builder)) if builder else self.engine.version()

    def kept_name(self, target: TargetId) -> Reference:
        """The name under which an image stays in the engine, for whoever asked to have it."""
        image = self.now.family.images[target.image]
        arch = "" if len(image.platforms) == 1 else f"-{str(target.platform).replace('/', '-')}"
        return self._local(target).tag(f"dev{arch}{image.suffix}")

    def _local(self, target: TargetId) -> Repository:
        return Repository(EMBEDDED, self.now.family.images[target.image].repository.path)


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """A target's image: the platform manifest that was built, tested and shipped as one digest."""

    descriptor: Descriptor
    adopted: bool = False
    """Whether another run had built the same key first, and its image is used."""
    took: Took | None = None
    """What it took of the disk."""


def build(shop: Workshop, target: TargetId, digests: Mapping[TargetId, Digest]) -> Built | BuildFailure:
    """Build a target whose parents' images its builder sees, and put it under its key unless it is private.

    Raises BuilderError, RegistryError and ConfigError (an input that cannot be sent); a failing Dockerfile is a value.
    """
    order = order_of(shop, target, digests)
    console = shop.console

    def context(stream: BinaryIO) -> None:
        write_context(shop, target, order.dockerfile, stream)

    with shop.builder.build(order, context, lambda text: console.step(str(target), text)) as result:
        if isinstance(result, BuildFailure):
            return result
        with Later(_took, shop, target, order, result) as took:
            kept = Built(descriptor=result.descriptor)
            if target not in shop.private:
                kept = _keep(shop, target, result, digests, order)
            return msgspec.structs.replace(kept, took=took.result())


def _took(shop: Workshop, target: TargetId, order: BuildOrder, image: ImageSource) -> Took:
    """What the engine has of a new image beside its parent's, and the size of what was exported, if anything was."""
    parent = shop.now.family.nodes[target].parent
    if order.builder is not None:
        beneath = shop.handed.image(shop.local_name(parent)) if parent is not None else None
        layers = Manifest.from_bytes(image.manifest).layers
        shared = Manifest.from_bytes(beneath.manifest).layers if beneath is not None else ()
        there = {layer.digest for layer in shared}
        return Took(engine=0, scratch=sum(layer.size for layer in layers if layer.digest not in there))
    whole = shop.engine.image_size(shop.local_name(target))
    below = shop.engine.image_size(shop.local_name(parent)) if parent is not None else 0
    own = max(0, whole - below)
    if not order.layout and not order.classic:
        return Took(engine=own, scratch=0)
    exported = sum(layer.size for layer in Manifest.from_bytes(image.manifest).layers)
    # The classic store's images are exported twice: as `docker save` gives them, and compressed.
    return Took(engine=own, scratch=exported + (whole if order.classic else 0))


def order_of(shop: Workshop, target: TargetId, digests: Mapping[TargetId, Digest]) -> BuildOrder:
    """What BuildKit is asked for; `digests` are those of the siblings that the target needs."""
    node, image = shop.now.family.nodes[target], shop.now.family.images[target.image]
    inside = shop.now.inputs[target].in_context(image.dockerfile)
    builder = shop.builders.of(target.platform)
    pins = [Pin(name=name, source=_sibling(shop, sibling, builder)) for name, sibling in node.siblings.items()]
    own = shop.pins[target]
    for name, base in {base.name: base for base in node.bases if base.reference.digest is None}.items():
        pinned = own.get((str(base.reference), ANY if base.reference in node.shared else base.platform))
        if pinned is not None:
            pins.append(Pin(name=name, source=f"docker-image://{base.reference.repository.at(pinned)}"))
    args = dict(image.args)
    if node.syntax is not None and (pin := own.get((str(node.syntax), target.platform))) is not None:
        args["BUILDKIT_SYNTAX"] = str(node.syntax.repository.at(pin))
    return BuildOrder(
        subject=str(target),
        dockerfile=inside or _DOCKERFILE,
        dockerfile_shown=image.dockerfile,
        stage=image.stage,
        platform=target.platform,
        args=args,
        labels={**image.labels, **base_of(shop, target, digests)},
        pins=tuple(sorted(pins, key=lambda pin: pin.name)),
        secrets=tuple(_secret(shop, secret) for secret in image.secrets),
        local_name=shop.local_name(target),
        epoch=shop.epochs[target],
        builder=builder,
        on=tuple(shop.local_name(need) for need in node.needs),
        classic=builder is None and shop.engine.mode == "classic",
        layout=image.reproducible or image.repository.registry == EMBEDDED,
        network=shop.network,
        reproducible=image.reproducible,
        fresh=shop.fresh,
        cache=shop.caches.get(target),
        inactivity=shop.inactivity,
    )


def _sibling(shop: Workshop, sibling: TargetId, builder: str | None) -> str:
    """A sibling's image as its builder finds it: in the engine, or among what a builder elsewhere is handed."""
    name = shop.local_name(sibling)
    return f"docker-image://{name}" if builder is None else shop.handed.place(name)


def base_of(shop: Workshop, target: TargetId, digests: Mapping[TargetId, Digest]) -> dict[str, str]:
    """What a target's final stage stands on, as OCI labels: a sibling as it was built, or a pinned base."""
    node, own = shop.now.family.nodes[target], shop.pins[target]
    if node.parent is not None:
        parent = shop.now.family.images[node.parent.image].repository
        return {_BASE_NAME: str(parent), _BASE_DIGEST: str(digests[node.parent])}
    if node.lineage is None:
        return {}
    labels = {_BASE_NAME: str(node.lineage.reference)}
    if node.lineage.key in own:
        labels[_BASE_DIGEST] = str(own[node.lineage.key])
    return labels


def _secret(shop: Workshop, given: SecretSettings) -> BuildSecret:
    """A secret as the settings have it; a relative file is looked for from the repository's root."""
    file = given.file
    if file is not None and not file.startswith("/"):
        file = f"{shop.git.head().root}/{file}"
    return BuildSecret(id=given.id, env=given.env, file=file)


def _keep(
    shop: Workshop, target: TargetId, source: ImageSource, digests: Mapping[TargetId, Digest], order: BuildOrder
) -> Built:
    """Push under this run's own tag, then under the key if it is free; what the key names then is the image."""
    repository = shop.now.family.images[target.image].repository
    key = shop.keys[target]
    assert key is not None
    keyed = repository.tag(keys.key_tag(key))
    shop.console.step(str(target), f"push {source.descriptor.digest.short}")
    manifest = _send(shop, target, source, repository.tag(f"{keyed.tag}-{shop.nonce}"))
    present = shop.registry.resolve(keyed)
    if present is None:
        try:
            present = shop.registry.push_manifest(
                repository, manifest, source.descriptor.media_type, keyed.tag, look=False
            )
        except ConflictError:  # another run was faster by a moment
            present = shop.registry.resolve(keyed)
    if present is None:
        raise RegistryError(
            f"{keyed} was written and is not there", hint="the registry loses writes: see its log", temporary=True
        )
    mine = receipt(shop, target, present.digest, digests, order.epoch)
    if present.digest == source.descriptor.digest:
        write_receipt(shop, target, present, mine)
        return Built(descriptor=present)
    theirs = read_receipt(shop.registry, repository, key, keys.NO_SUITES)
    whole = not gone(shop.registry, repository, present.digest)
    if whole and theirs is not None and _ground(theirs) == _ground(mine):
        if order.reproducible and order.epoch == theirs.epoch:
            shop.console.warn(
                f"{target}: this build came to {source.descriptor.digest}, the one before it to {present.digest}: "
                "it is not reproducible, and `dsci verify` on a release of it says why"
            )
        return Built(descriptor=present, adopted=True)
    if whole and theirs is None and _base_digest(shop, repository, present) == order.labels.get(_BASE_DIGEST):
        # Its builder died before it could write the receipt; it stands on what ours stands on.
        write_receipt(shop, target, present, mine)
        return Built(descriptor=present, adopted=True)
    # The key's image has lost blobs, or stands on a parent that is gone: ours replaces it from here on, under its own
    # digest. The key's tag stays what it was, since nothing keyed is ever overwritten.
    own = source.descriptor
    write_receipt(shop, target, own, msgspec.structs.replace(mine, image=str(own.digest)))
    return Built(descriptor=own)


def _send(shop: Workshop, target: TargetId, source: ImageSource, to: Reference) -> bytes:
    """Push an image under this run's own tag; gives its manifest.

    The engine sends what the registry lacks straight from its store. Where it cannot, or the registry then names
    something else, dsci sends all of it; and what a builder elsewhere made.
    """
    elsewhere = shop.builders.of(target.platform) is not None
    if shop.engine.mode == "containerd" and to.repository.registry != EMBEDDED and not elsewhere:
        why = shop.engine.push(shop.local_name(target), to)
        sent = shop.registry.manifest(to) if not why else None
        if sent is not None and sent[0].digest == source.descriptor.digest:
            return sent[1]
        shop.console.step(str(target), f"push {source.descriptor.digest.short} (not by the engine: {clean(why, 200)})")
    shop.registry.push_image(source, to.repository, to.tag)
    return source.manifest


def _base_digest(shop: Workshop, repository: Repository, image: Descriptor) -> str | None:
    """What an image says it stands on."""
    found = shop.registry.manifest(repository.at(image.digest))
    if found is None:
        return None
    config = shop.registry.blob(repository, Manifest.from_bytes(found[1]).config)
    value = json.loads(config)
    labels = (value.get("config") or {}).get("Labels") or {}
    found_label = labels.get(_BASE_DIGEST)
    return str(found_label) if found_label is not None else None


def receipt(shop: Workshop, target: TargetId, image: Digest, digests: Mapping[TargetId, Digest], epoch: int) -> Receipt:
    """What a target was built of, with no verdict yet."""
    node, key = shop.now.family.nodes[target], shop.keys[target]
    assert key is not None
    own = shop.pins[target]
    return Receipt(
        target=str(target),
        key=key,
        source_key=shop.now.sources.full[target],
        image=str(image),
        parents={str(need): str(digests[need]) for need in node.needs},
        bases=tuple(
            BaseUsed(name=str(base.reference), platform=str(base.platform), digest=str(own[base.key]))
            for base in node.bases
        ),
        inputs=inputs_record(shop.now, target),
        epoch=epoch,
        store="containerd" if shop.builders.of(target.platform) else shop.engine.mode,
        engine=shop.made_by(target.platform),
    )


def _ground(record: Receipt) -> object:
    """What makes two receipts of one key say the same: the image, and what it stands on."""
    return record.image, record.parents, record.bases


def inputs_record(now: Snapshot, target: TargetId) -> dict[str, str]:
    """The names of a target's inputs and their ids, for `why`: files, arguments, settings."""
    image, node = now.family.images[target.image], now.family.nodes[target]
    record = {f"file {file.source}": f"{file.entry.mode} {file.entry.oid}" for file in now.files[target]}
    record |= {f"generated {file.path}": file.entry.oid for file in now.generated[target]}
    record[f"dockerfile {image.dockerfile}"] = now.tree[image.dockerfile].oid
    record |= {f"argument {name}": image.args[name] for name in node.recipe.args if name in image.args}
    return record | ({"stage": image.stage} if image.stage else {})


def write_receipt(shop: Workshop, target: TargetId, subject: Descriptor, record: Receipt) -> None:
    """Attach a receipt to an image, under the tag where it is looked for."""
    repository = shop.now.family.images[target.image].repository
    artifact = to_artifact(record, subject)
    for media_type, content in artifact.blobs:
        shop.registry.push_blob(repository, content, media_type)
    tag = keys.receipt_tag(record.key, record.suites)
    try:
        shop.registry.push_manifest(repository, artifact.manifest, OCI_MANIFEST, tag)
    except ConflictError:
        # Another run writes its own at this very moment. Of the same image on the same ground, either will do.
        theirs = read_receipt(shop.registry, repository, record.key, record.suites)
        if theirs is None or _ground(theirs) != _ground(record):
            raise


# ---------------------------------------------------------------------------------------------------- context


def write_context(shop: Workshop, target: TargetId, dockerfile: str, stream: BinaryIO) -> None:
    """The build context as a tar: Git objects, fixed owners and times, modes 755 and 644 whatever the umask was.

    Raises ConfigError for what Git does not hold the content of: submodules and LFS pointers.
    """
    image, epoch = shop.now.family.images[target.image], shop.epochs[target]
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        folders: set[str] = set()
        for file in shop.now.files[target]:
            _add(archive, file.path, _content(shop, file), file.entry.mode, epoch, folders)
        for file in shop.now.generated[target]:
            _add(archive, file.path, _content(shop, file, generated=True), file.entry.mode, epoch, folders)
        if dockerfile == _DOCKERFILE:
            # The ignore file hides the Dockerfile, or it lies outside the context: BuildKit reads it from the tar.
            entry = shop.now.tree[image.dockerfile]
            hidden = ContextFile(path=dockerfile, source=image.dockerfile, entry=entry)
            _add(archive, dockerfile, _content(shop, hidden), entry.mode, epoch, folders)


def _content(shop: Workshop, file: ContextFile, *, generated: bool = False) -> bytes:
    if file.entry.mode == SUBMODULE:
        raise ConfigError(
            f"{file.source} is a submodule: its files are not in this repository's objects",
            hint="name it in .dockerignore, or copy what the image needs into the repository",
        )
    from_work_tree = generated or file.source in shop.now.changed
    content = shop.git.worktree_blob(file.source) if from_work_tree else shop.git.blob(file.entry.oid)
    if len(content) < _LFS_LIMIT and content.startswith(_LFS):
        raise ConfigError(
            f"{file.source} is a Git LFS pointer: the file itself is not in Git",
            hint="name it in .dockerignore, or have the Dockerfile fetch the file",
        )
    return content


def _add(archive: tarfile.TarFile, path: str, content: bytes, mode: str, epoch: int, folders: set[str]) -> None:
    parts = path.split("/")[:-1]
    for end in range(1, len(parts) + 1):
        folder = "/".join(parts[:end])
        if folder not in folders:
            folders.add(folder)
            info = tarfile.TarInfo(folder)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, epoch
            archive.addfile(info)
    info = tarfile.TarInfo(path)
    info.mtime = epoch
    if mode == SYMLINK:
        info.type, info.mode = tarfile.SYMTYPE, 0o777
        info.linkname = content.decode("utf-8", errors="surrogateescape")
        archive.addfile(info)
        return
    info.size, info.mode = len(content), 0o755 if mode == EXECUTABLE else 0o644
    archive.addfile(info, io.BytesIO(content))


def failure_text(order_dockerfile: str, failure: BuildFailure) -> str:
    """A failed build as a person wants to read it: what, where, and the step's last lines."""
    where = f"{order_dockerfile}:{failure.line}: " if failure.line else f"{order_dockerfile}: "
    message = re.sub(r"failed to compute cache key: failed to calculate checksum of ref \S+ ", "", failure.message)
    lines = [f"{where}{message}"]
    if failure.step:
        lines.append(f"in {failure.step}")
    return "\n".join([*lines, *(f"  | {line}" for line in failure.tail)])
