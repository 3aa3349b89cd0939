"""Provenance: what a release was built of and by whom, as SLSA v1 in an in-toto statement.

Made of what the Git tag claims and what the receipts say, so the same for the same release, whoever makes it: no clock,
no run number. Values of build arguments that look like secrets are left out, as are the values of secrets, which dsci
never knows. What is asked of whoever reads it, and what `BUILD_TYPE` means: docs/attestations.md.

Sources: https://slsa.dev/spec/v1.0/provenance,
https://github.com/in-toto/attestation/blob/main/spec/v1/{statement,resource_descriptor}.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dsci.model.oci import Descriptor, Digest, Platform, canonical_json
from dsci.model.purl import image_purl
from dsci.model.receipt import Receipt
from dsci.model.reference import Reference, Repository
from dsci.model.secretname import looks_secret

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
#: The annotation of an artifact that says what kind of statement it is.
#: Source: https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md
PREDICATE = "in-toto.io/predicate-type"
#: The media type of an in-toto statement that nobody has signed.
MEDIA_TYPE = "application/vnd.in-toto+json"
BUILD_TYPE = "urn:dsci:release:v1"
#: Who builds where no CI system says that it does.
LOCAL = "urn:dsci:builder:local"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One platform of a release."""

    platform: Platform
    manifest: Descriptor
    receipt: Receipt
    parents: Mapping[str, Repository] = msgspec.field(default_factory=dict)
    """Where the siblings are that it was built on, by their targets."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What was released."""

    image: str
    version: str
    git_tag: str
    repository: Repository
    index: Descriptor
    parts: tuple[Part, ...]
    source: str | None
    """The address of the source code; None where the clone has no remote."""
    commit: str
    dockerfile: str
    context: str
    stage: str | None
    args: Mapping[str, str]
    """The build arguments that reach it."""
    secrets: Sequence[str]
    """The ids of the secrets that it was given."""
    reproducible: bool
    builder: str
    """Who built it: an address that stands for a CI system's machines, or `LOCAL`."""
    dsci: str
    """dsci's version."""


def statement(made: Made) -> bytes:
    """The statement: its subjects are the index and the manifests of all platforms."""
    name = str(made.repository)
    subjects = [made.index.digest, *(part.manifest.digest for part in made.parts)]
    arguments = {name: text for name, text in sorted(made.args.items()) if not looks_secret(name, text)}
    withheld = sorted(set(made.args) - set(arguments))
    external: dict[str, Any] = {
        "source": _git(made),
        "image": made.image,
        "version": made.version,
        "dockerfile": made.dockerfile,
        "context": made.context,
        "platforms": [str(part.platform) for part in made.parts],
    }
    external |= {"target": made.stage} if made.stage else {}
    external |= {"args": arguments} if arguments else {}
    external |= {"argsWithheld": withheld} if withheld else {}
    external |= {"secrets": sorted(made.secrets)} if made.secrets else {}
    value = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": _digest(digest)} for digest in dict.fromkeys(subjects)],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": external,
                "internalParameters": {
                    "reproducible": made.reproducible,
                    "targets": [_target(part) for part in made.parts],
                },
                "resolvedDependencies": _dependencies(made),
            },
            "runDetails": {"builder": {"id": made.builder, "version": {"dsci": made.dsci}}},
        },
    }
    return canonical_json(value)


def predicate(statement: bytes) -> bytes:
    """A statement's predicate alone, for programs that make the statement themselves."""
    value: dict[str, Any] = msgspec.json.decode(statement)
    return canonical_json(value["predicate"])


def disagreement(statement: bytes, index: Digest, commit: str) -> str:
    """Why a statement is not about this release of this commit, or "". Anybody who may push could have attached it."""
    try:
        value: dict[str, Any] = msgspec.json.decode(statement)
        subjects = [item["digest"].get(index.algorithm) for item in value["subject"]]
        sources = value["predicate"]["buildDefinition"]["resolvedDependencies"]
        commits = [item["digest"]["gitCommit"] for item in sources if "gitCommit" in item.get("digest", ())]
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError, AttributeError):
        return "it cannot be read"
    if index.hex not in subjects:
        return "it is about another image"
    if not commits:
        return "it names no commit"
    return "" if commits == [commit] else f"it names the commit {str(commits[0])[:12]}"


def _git(made: Made) -> dict[str, Any]:
    found: dict[str, Any] = {"digest": {"gitCommit": made.commit}}
    return {"uri": f"git+{made.source}@refs/tags/{made.git_tag}", **found} if made.source else found


def _target(part: Part) -> dict[str, Any]:
    """What decides the bytes of one platform beside its sources."""
    receipt = part.receipt
    return {
        "platform": str(part.platform),
        "key": receipt.key,
        "sourceKey": receipt.source_key,
        "sourceDateEpoch": receipt.epoch,
        "builder": receipt.engine,
    }


def _dependencies(made: Made) -> list[dict[str, Any]]:
    """The commit, the bases and the parents, each once."""
    found: dict[str, dict[str, Any]] = {}
    for part in made.parts:
        for base in part.receipt.bases:
            uri = image_purl(Reference.parse(base.name), Platform.parse(base.platform))
            found[f"{uri} {base.digest}"] = {"uri": uri, "digest": _digest(Digest.parse(base.digest)), "name": "base"}
        for target, digest in part.receipt.parents.items():
            repository = part.parents.get(target)
            at = Digest.parse(digest)
            uri = image_purl(repository.at(at), part.platform) if repository else f"urn:dsci:target:{target}"
            found[f"{uri} {digest}"] = {"uri": uri, "digest": _digest(at), "name": f"parent {target}"}
    return [{"name": "source", **_git(made)}, *(found[name] for name in sorted(found))]


def _digest(digest: Digest) -> dict[str, str]:
    return {digest.algorithm: digest.hex}
