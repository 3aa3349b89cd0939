"""Receipts: what a target was built of, attached to its image, with no verdict until suites have passed."""

from __future__ import annotations

from collections.abc import Mapping

from dsci.errors import ConflictError
from dsci.model import keys
from dsci.model.family import TargetId
from dsci.model.oci import OCI_MANIFEST, Descriptor, Digest
from dsci.model.receipt import BaseUsed, Receipt, to_artifact
from dsci.model.secretname import looks_secret
from dsci.pipeline.snapshot import Snapshot
from dsci.pipeline.stock import read_receipt
from dsci.pipeline.workshop import Workshop

#: What stands in a receipt for a build argument that looks like a secret: everybody who may pull can read it.
_WITHHELD = "withheld"


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


def ground(record: Receipt) -> object:
    """What makes two receipts of one key say the same: the image, and what it stands on."""
    return record.image, record.parents, record.bases


def inputs_record(now: Snapshot, target: TargetId) -> dict[str, str]:
    """The names of a target's inputs and their ids, for `why`: files, arguments, settings."""
    image, node = now.family.images[target.image], now.family.nodes[target]
    record = {f"file {file.source}": f"{file.entry.mode} {file.entry.oid}" for file in now.files[target]}
    record |= {f"generated {file.path}": file.entry.oid for file in now.generated[target]}
    record[f"dockerfile {image.dockerfile}"] = now.tree[image.dockerfile].oid
    for name in node.recipe.args:
        if name in image.args:
            value = image.args[name]
            record[f"argument {name}"] = _WITHHELD if looks_secret(name, value) else value
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
        if theirs is None or ground(theirs) != ground(record):
            raise
