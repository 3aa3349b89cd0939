"""What BuildKit is asked for: one image, each name in its Dockerfile pinned to what the plan's key was made of."""

from __future__ import annotations

from collections.abc import Mapping

from dsci.model.family import TargetId
from dsci.model.layering import BASE_DIGEST, BASE_NAME
from dsci.model.oci import ANY, Digest
from dsci.model.reference import EMBEDDED
from dsci.model.settings import SecretSettings
from dsci.pipeline.context import DOCKERFILE
from dsci.pipeline.workshop import Workshop
from dsci.ports import BuildOrder, BuildSecret, Pin


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
        dockerfile=inside or DOCKERFILE,
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
        fresh=shop.forgets(target),
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
        return {BASE_NAME: str(parent), BASE_DIGEST: str(digests[node.parent])}
    if node.lineage is None:
        return {}
    labels = {BASE_NAME: str(node.lineage.reference)}
    if node.lineage.key in own:
        labels[BASE_DIGEST] = str(own[node.lineage.key])
    return labels


def _secret(shop: Workshop, given: SecretSettings) -> BuildSecret:
    """A secret as the settings have it; a relative file is looked for from the repository's root."""
    file = given.file
    if file is not None and not file.startswith("/"):
        file = f"{shop.git.head().root}/{file}"
    return BuildSecret(id=given.id, env=given.env, file=file)
