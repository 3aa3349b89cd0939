"""What an image is made of, as two keys (rule 1 of the semantics).

`source_key` comes from Git alone: files after `.dockerignore` with their modes, the Dockerfile, the stage, the build
arguments that reach it, the platform, the parents' source keys. It decides whether there is something to release.
`key` adds what Git does not know: the bases' platform manifest digests, the frontend's pin, the refresh epoch, the
output options. It decides whether there is something to build. No commit id, no clock and no secret enters either.

The layout of what is hashed is versioned (`SCHEMA`), and golden vectors in the tests hold it still: an upgrade of dsci
that changed it by accident would rebuild the world.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from dsci.model.dockerfile import Recipe
from dsci.model.family import Family, Image, Suite, TargetId
from dsci.model.hashing import sha256
from dsci.model.inputs import ContextFile
from dsci.model.oci import Digest, Platform
from dsci.model.tree import Tree

SCHEMA = "dsci-key-1"

#: What counts as the same runner of suites: verdicts of another one are not taken over.
RUNNER = "2"

#: No suites at all: the receipt under this digest says only that an image was built, and of what.
NO_SUITES = ""

_TAG_LENGTH = 40

#: What each target's external bases are pinned to: platform manifest digests by reference and platform.
Pins = Mapping[TargetId, Mapping[tuple[str, Platform], Digest]]


class SourceKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that Git alone gives."""

    own: Mapping[TargetId, str]
    """The part that is the target's own: its files and settings, without its parents."""
    full: Mapping[TargetId, str]
    """`source_key`: its own part and its parents'."""


def own_key(image: Image, target: TargetId, recipe: Recipe, files: Sequence[ContextFile], dockerfile_oid: str) -> str:
    """The hash of what belongs to this target alone."""
    args = {name: image.args[name] for name in recipe.args if name in image.args}
    return _hash(
        {
            "files": [[file.path, file.entry.mode, file.entry.oid] for file in files],
            "dockerfile": dockerfile_oid,
            "stage": image.stage,
            "args": dict(sorted(args.items())),
            "platform": str(target.platform),
            "inputs": sorted([given.path, given.as_] for given in image.inputs),
            "secrets": sorted(secret.id for secret in image.secrets),
            # Not there where there are none: images without labels keep the keys they had before there were any.
            **({"labels": dict(sorted(image.labels.items()))} if image.labels else {}),
        }
    )


def source_keys(family: Family, own: Mapping[TargetId, str]) -> SourceKeys:
    """Chain the targets' own parts through their parents."""
    full: dict[TargetId, str] = {}
    for target in family.order:
        needs = [[str(need), full[need]] for need in family.nodes[target].needs]
        full[target] = _hash({"own": own[target], "needs": needs})
    return SourceKeys(own=own, full=full)


def keys(
    family: Family,
    sources: SourceKeys,
    pins: Pins,
    *,
    generated: Mapping[TargetId, Sequence[ContextFile]] | None = None,
    epoch: str = "",
) -> Mapping[TargetId, str | None]:
    """The content keys; None where a base's digest is not known, or the Dockerfile cannot be read.

    Pins are platform manifest digests, never index digests: an index changes with every attestation, what is built
    from it does not.
    """
    found: dict[TargetId, str | None] = {}
    for target in family.order:
        node = family.nodes[target]
        own = pins.get(target, {})
        bases = [[base.name, str(base.platform), own.get(base.key)] for base in node.bases]
        syntax = own.get((str(node.syntax), target.platform)) if node.syntax else None
        needs = [[str(need), found[need]] for need in node.needs]
        unknown = any(base[2] is None for base in bases) or any(need[1] is None for need in needs)
        if unknown or node.problem or (node.syntax is not None and syntax is None):
            found[target] = None
            continue
        found[target] = _hash(
            {
                "source": sources.full[target],
                "bases": [[name, platform, str(digest)] for name, platform, digest in bases],
                "frontend": str(syntax) if syntax else "builtin",
                "needs": needs,
                "epoch": epoch,
                "generated": [
                    [file.path, file.entry.mode, file.entry.oid] for file in (generated or {}).get(target, ())
                ],
                "output": _output(family.images[target.image]),
            }
        )
    return found


def _output(image: Image) -> str:
    """What BuildKit is asked to write, as far as that decides the bytes."""
    return "oci,rewrite-timestamp" if image.reproducible else "oci"


def suites_digest(suites: Iterable[Suite], tree: Tree) -> str:
    """The hash of everything that the suites of a target run; NO_SUITES when there are none."""
    parts = [
        [suite.name, suite.kind, [[path, tree[path].mode, tree[path].oid] for path in suite.files]] for suite in suites
    ]
    return _hash({"suites": parts}) if parts else NO_SUITES


def key_tag(key: str) -> str:
    """The tag under which a key's image stands, once and for ever."""
    return f"dsci-{key[:_TAG_LENGTH]}"


def receipt_tag(key: str, suites: str) -> str:
    """The tag of the receipt of (key, suites, runner)."""
    return f"dsci-{key[:_TAG_LENGTH]}.{_hash({'suites': suites, 'runner': RUNNER})[:16]}"


def index_tag(digest: Digest) -> str:
    """The unique tag that keeps a release's index from being collected before its public tags stand."""
    return f"dsci-release-{digest.hex[:_TAG_LENGTH]}"


def dated_index_tag(digest: Digest, nonce: str) -> str:
    """Beside it, of an index that only names of a run stand for: the run's nonce says how old they are."""
    return f"{index_tag(digest)}-{nonce}"


def _hash(value: Mapping[str, Any]) -> str:
    # JSON with no spare byte, its keys in the order given.
    return sha256(msgspec.json.encode({"schema": SCHEMA, **value}))
