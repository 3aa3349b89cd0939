"""Building one target: from Git objects to an image that stands under its key.

What BuildKit is asked for is `order`'s to say, and what it is sent `context`'s. The result is pushed under a tag of
this run and then, if nobody was faster, under its key: the first writer wins and everybody uses what stands there
(rule 11). Dirty targets never leave this machine. Suites and releases are other modules' work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import BinaryIO

import msgspec

from dsci.errors import ConflictError, RegistryError
from dsci.later import Later
from dsci.model import keys
from dsci.model.family import TargetId
from dsci.model.layering import BASE_DIGEST
from dsci.model.oci import Descriptor, Digest, Manifest
from dsci.model.reference import EMBEDDED, Reference, Repository
from dsci.model.room import Took
from dsci.model.text import clean
from dsci.pipeline.context import write_context
from dsci.pipeline.order import order_of
from dsci.pipeline.receipts import ground, receipt, write_receipt
from dsci.pipeline.stock import read_receipt
from dsci.pipeline.transfer import share
from dsci.pipeline.whole import gone
from dsci.pipeline.workshop import Workshop
from dsci.ports import (
    BuildFailure,
    BuildOrder,
    ImageSource,
)


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


def _keep(
    shop: Workshop, target: TargetId, source: ImageSource, digests: Mapping[TargetId, Digest], order: BuildOrder
) -> Built:
    """Push under this run's own tag, then under the key if it is free; what the key names then is the image."""
    repository = shop.now.family.images[target.image].repository
    key = shop.keys[target]
    assert key is not None
    keyed = repository.tag(keys.key_tag(key))
    shop.console.step(str(target), f"push {source.descriptor.digest.short}")
    manifest = _send(shop, target, source, digests, repository.tag(f"{keyed.tag}-{shop.nonce}"))
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
    if whole and theirs is not None and ground(theirs) == ground(mine):
        if order.reproducible and order.epoch == theirs.epoch:
            shop.console.warn(
                f"{target}: this build came to {source.descriptor.digest}, the one before it to {present.digest}: "
                "it is not reproducible, and `dsci verify` on a release of it says why"
            )
        return Built(descriptor=present, adopted=True)
    if whole and theirs is None and _base_digest(shop, repository, present) == order.labels.get(BASE_DIGEST):
        # Its builder died before it could write the receipt; it stands on what ours stands on.
        write_receipt(shop, target, present, mine)
        return Built(descriptor=present, adopted=True)
    # The key's image has lost blobs, or stands on a parent that is gone: ours replaces it from here on, under its own
    # digest. The key's tag stays what it was, since nothing keyed is ever overwritten.
    own = source.descriptor
    write_receipt(shop, target, own, msgspec.structs.replace(mine, image=str(own.digest)))
    return Built(descriptor=own)


def _send(
    shop: Workshop, target: TargetId, source: ImageSource, digests: Mapping[TargetId, Digest], to: Reference
) -> bytes:
    """Push an image under this run's own tag; gives its manifest.

    The engine sends what the registry lacks straight from its store. Where it cannot, or the registry then names
    something else, dsci sends what its parent, whose digest is among `digests`, does not have; and what a builder
    elsewhere made.
    """
    elsewhere = shop.builders.of(target.platform) is not None
    if shop.engine.mode == "containerd" and to.repository.registry != EMBEDDED and not elsewhere:
        why = shop.engine.push(shop.local_name(target), to)
        sent = shop.registry.manifest(to) if not why else None
        if sent is not None and sent[0].digest == source.descriptor.digest:
            return sent[1]
        shop.console.step(str(target), f"push {source.descriptor.digest.short} (not by the engine: {clean(why, 200)})")
    parent = shop.now.family.nodes[target].parent
    if parent is not None and parent in digests:
        above = shop.now.family.images[parent.image].repository.at(digests[parent])
        share(shop.registry, above, source.manifest, to.repository)
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
    found_label = labels.get(BASE_DIGEST)
    return str(found_label) if found_label is not None else None


def failure_text(order_dockerfile: str, failure: BuildFailure) -> str:
    """A failed build as a person wants to read it: what, where, and the step's last lines."""
    where = f"{order_dockerfile}:{failure.line}: " if failure.line else f"{order_dockerfile}: "
    message = re.sub(r"failed to compute cache key: failed to calculate checksum of ref \S+ ", "", failure.message)
    lines = [f"{where}{message}"]
    if failure.step:
        lines.append(f"in {failure.step}")
    return "\n".join([*lines, *(f"  | {line}" for line in failure.tail)])
