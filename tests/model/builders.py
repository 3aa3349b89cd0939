"""Families, keys and facts without Git, without a registry and without a disk: texts by path go in, values come out.

`look` reads files as `pipeline.observe` reads a commit; `Shot.facts` lays beside them what a test wants to be true. By
default everything was built, tested and released as 1.0.0, and nothing has happened since.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import semver
from msgspec.structs import replace

from dsci.model import commits, config, discover, edges, inputs, keys
from dsci.model.claims import Released, Tag, TagFormat
from dsci.model.commits import Change, Commit
from dsci.model.facts import Facts, Found, Request
from dsci.model.family import Family, TargetId, group_members
from dsci.model.inputs import ContextFile, Inputs
from dsci.model.keys import Pins, SourceKeys
from dsci.model.location import Location
from dsci.model.oci import Digest, Platform
from dsci.model.plan import Plan
from dsci.model.planning import make
from dsci.model.receipt import BaseUsed, Receipt
from dsci.model.settings import Settings
from dsci.model.tree import EXECUTABLE, FILE, Tree, TreeEntry

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
HEAD = "f" * 40
WHEN = 1_700_000_000

#: A family as people have them: base ← python ← ml, base ← r. A path that ends in `!` is executable.
STACK: Mapping[str, str] = {
    "images/base/Dockerfile": "FROM debian:12\nCOPY tools /usr/bin/\n",
    "images/base/tools!": "echo base\n",
    "images/base/suites/structure.yaml": "schemaVersion: 2.0.0\n",
    "images/python/Dockerfile": "FROM base\nARG PY=3.12\nRUN install $PY\nCOPY requirements.txt /\n",
    "images/python/requirements.txt": "pip\n",
    "images/python/suites/test_python.py": "def test_python(): ...\n",
    "images/ml/Dockerfile": "FROM python\nCOPY requirements.txt /\n",
    "images/ml/.dockerignore": "*.md\n",
    "images/ml/README.md": "# ml\n",
    "images/ml/requirements.txt": "numpy\n",
    "images/r/Dockerfile": "FROM base\nRUN install r\n",
}


def oid(text: str) -> str:
    """An object id for a text: equal for equal texts."""
    return hashlib.sha1(text.encode()).hexdigest()


def tree(files: Mapping[str, str]) -> Tree:
    """A Git tree of these texts; a path that ends in `!` is executable."""
    return Tree(
        {
            path.removesuffix("!"): TreeEntry(EXECUTABLE if path.endswith("!") else FILE, oid(text))
            for path, text in files.items()
        }
    )


def target(text: str) -> TargetId:
    """`ml` is ml@linux/amd64."""
    return TargetId.parse(text if "@" in text else f"{text}@linux/amd64")


class Shot(msgspec.Struct, frozen=True, kw_only=True):
    """A commit, read."""

    settings: Settings
    tree: Tree
    family: Family
    inputs: Mapping[TargetId, Inputs]
    files: Mapping[TargetId, tuple[ContextFile, ...]]
    sources: SourceKeys

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(group_members(self.family.images.values()))

    @property
    def pins(self) -> Pins:
        """Every base pinned to a digest made of its name."""
        return {
            target: {base.key: Digest.of(str(base.key).encode()) for base in node.bases}
            | ({(str(node.syntax), target.platform): Digest.of(b"frontend")} if node.syntax else {})
            for target, node in self.family.nodes.items()
        }

    def keys(self, pins: Pins | None = None, **more: Any) -> Mapping[TargetId, str | None]:
        return keys.keys(self.family, self.sources, self.pins if pins is None else pins, **more)

    @property
    def suites(self) -> Mapping[TargetId, str]:
        return {target: keys.suites_digest(self.family.suites(target), self.tree) for target in self.family.nodes}

    def claims(self, versions: Mapping[str, Sequence[Released | str]] | Sequence[str]) -> dict[str, Any]:
        """The claims of every group: as given, or for each group these versions."""
        given = versions if isinstance(versions, Mapping) else dict.fromkeys(self.groups, versions)
        form = TagFormat.of(self.settings.versioning, self.groups)
        return {
            group: tuple(
                item if isinstance(item, Released) else released(group, item, form=form)
                for item in given.get(group, ())
            )
            for group in self.groups
        }

    def stocked(self, pins: Pins | None = None, **more: Any) -> dict[TargetId, Found]:
        """The registry after a run that went well."""
        pins = self.pins if pins is None else pins
        images = {target: image_digest(key) for target, key in self.keys(pins, **more).items() if key is not None}
        found: dict[TargetId, Found] = {}
        for target, image in images.items():
            node = self.family.nodes[target]
            receipt = Receipt(
                target=str(target),
                key=str(self.keys(pins, **more)[target]),
                source_key=self.sources.full[target],
                image=str(image),
                parents={str(need): str(images[need]) for need in node.needs},
                bases=tuple(
                    BaseUsed(name=base.key[0], platform=str(base.platform), digest=str(pins[target][base.key]))
                    for base in node.bases
                ),
                suites=self.suites[target],
            )
            found[target] = Found(image=image, tested=receipt)
        return found

    def facts(self, **given: Any) -> Facts:
        """Facts of a repository where nothing is left to do, except for what the test says."""
        nothing: dict[str, tuple[Change, ...]] = dict.fromkeys(self.groups, ())
        pins = given.get("pins", self.pins)
        values: dict[str, Any] = {
            "commit": HEAD,
            "when": WHEN,
            "settings": self.settings,
            "sources": self.sources,
            "own_changes": {},
            "keys": self.keys(pins),
            "suites": self.suites,
            "pins": pins,
            "found": self.stocked(pins),
            "claims": self.claims(["1.0.0"]),
            "since": nothing,
            "touched": nothing,
        }
        for name in ("since", "touched"):
            given[name] = nothing | given.get(name, {})
        given["since"] = {group: given["since"][group] or given["touched"][group] for group in self.groups}
        return Facts(**values | given)

    def plan(self, request: Request | None = None, **given: Any) -> Plan:
        return make(self.family, self.facts(**given), request or Request())


def look(files: Mapping[str, str], *, project: str = "stack", platform: Platform = AMD64) -> Shot:
    """Read files as a commit is read: settings from dsci.yaml among them."""
    given = tree(files)
    texts = {path.removesuffix("!"): text for path, text in files.items()}
    settings, location = Settings(), Location(config.FILE_NAME, {})
    if config.FILE_NAME in texts:
        settings, location = config.parse(texts[config.FILE_NAME])
    images = discover.discover(settings, location, given, project=project, platform=platform)
    assembled = edges.assemble(
        images,
        {image.dockerfile: texts[image.dockerfile] for image in images.values()},
        configured=bool(settings.registries),
        build_platform=platform,
    )
    filters: dict[TargetId, Inputs] = {}
    for target, node in assembled.nodes.items():
        image = images[target.image]
        ignore_file = inputs.ignore_file_of(image, given)
        filters[target] = Inputs.of(image, node.recipe, ignore_file, texts[ignore_file] if ignore_file else "")
    contexts = {target: filters[target].files(given) for target in assembled.nodes}
    own = {
        target: keys.own_key(
            images[target.image], target, node.recipe, contexts[target], given[images[target.image].dockerfile].oid
        )
        for target, node in assembled.nodes.items()
    }
    return Shot(
        settings=settings,
        tree=given,
        family=assembled,
        inputs=filters,
        files=contexts,
        sources=keys.source_keys(assembled, own),
    )


def image_digest(key: str) -> Digest:
    """The image that building a key gives."""
    return Digest.of(f"image of {key}".encode())


def commit(
    message: str, *, sha: str = "", paths: Iterable[str] = (), parents: Iterable[str] = (), author: str = ""
) -> Commit:
    return Commit(
        sha=sha or oid(message),
        parents=tuple(parents),
        when=WHEN,
        message=message,
        paths=tuple(paths),
        author=author,
    )


def change(message: str, *, sha: str = "", author: str = "") -> Change:
    """What a commit with this message says."""
    return commits.read(commit(message, sha=sha, author=author))


def git_tag(name: str, *, at: str = "", message: str = "", merged: bool = True) -> Tag:
    return Tag(name=name, oid=oid(f"tag {name}"), commit=at or oid(name), message=message, merged=merged)


def released(
    group: str, version: str, *, form: TagFormat | None = None, at: str = "", merged: bool = True, by_dsci: bool = True
) -> Released:
    """A claim, with a digest when dsci is to have made it."""
    parsed = semver.Version.parse(version)
    name = (form or TagFormat("{image}-v{version}", [group])).render(group, parsed)
    return Released(
        group=group,
        version=parsed,
        tag=git_tag(name, at=at, merged=merged),
        digests={group: Digest.of(name.encode())} if by_dsci else {},
    )


def without(files: Mapping[str, str], *paths: str) -> dict[str, str]:
    return {path: text for path, text in files.items() if path not in paths}


def changed_receipt(found: Mapping[TargetId, Found], name: str, **values: Any) -> dict[TargetId, Found]:
    """The same registry, but for one receipt."""
    of = target(name)
    receipt = found[of].tested
    assert receipt is not None
    return {**found, of: replace(found[of], tested=msgspec.structs.replace(receipt, **values))}
