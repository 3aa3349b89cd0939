"""A repository's story told in memory: commits, releases, moved bases, cut cables; and the plan that it leads to.

Git and the registry are dictionaries here, everything between them is dsci's own: facts come from `pipeline.observe`.
A release does what the pipeline would have done (images and receipts under their keys, claims as Git tags with
trailers, tags in the registry) without building anything: an image's digest is made of its key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import yaml

from dsci.model import claims, keys
from dsci.model.claims import Tag
from dsci.model.commits import Commit
from dsci.model.facts import Facts, Request
from dsci.model.members import own_tags
from dsci.model.oci import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor, Digest, Manifest, Platform
from dsci.model.plan import Plan
from dsci.model.planning import make
from dsci.model.receipt import BaseUsed, Receipt, to_artifact
from dsci.model.reference import Reference, Repository
from dsci.model.tree import EXECUTABLE, FILE, Tree, TreeEntry
from dsci.pipeline.observe import observe
from dsci.pipeline.snapshot import Snapshot, Source
from dsci.pipeline.world import World
from dsci.ports import Head

AMD64 = Platform("linux", "amd64")
_BEGAN = 1_700_000_000
_DAY = 86_400
_MANIFEST = Manifest(config=Descriptor.of(OCI_CONFIG, b"{}"), layers=()).to_bytes()


def _sha(*parts: object) -> str:
    return hashlib.sha1("\0".join(map(str, parts)).encode()).hexdigest()


@dataclass
class MemoryGit:
    """History as dictionaries. A path that ends in `!` is executable."""

    trees: dict[str, Tree] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    history: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    named: dict[str, tuple[str, str]] = field(default_factory=dict)
    branch: str = "main"
    lying_about: dict[str, str | None] = field(default_factory=dict)
    """The work tree, where it differs from HEAD."""

    def write(self, message: str, files: Mapping[str, str | None]) -> str:
        """Commit changed files (None: deleted) to the current branch."""
        parent = self.branches.get(self.branch)
        tree = dict(self.trees[parent]) if parent else {}
        before = dict(tree)
        for name, text in files.items():
            path = name.removesuffix("!")
            if text is None:
                del tree[path]
                continue
            tree[path] = TreeEntry(EXECUTABLE if name.endswith("!") else FILE, _sha("blob", text))
            self.blobs[tree[path].oid] = text.encode()
        changed = tuple(sorted(path for path in {**before, **tree} if before.get(path) != tree.get(path)))
        when = _BEGAN + _DAY * len(self.history)
        sha = _sha(parent, message, when, sorted(tree.items()))
        parents = (parent,) if parent else ()
        self.history[sha] = Commit(sha=sha, parents=parents, when=when, message=message, paths=changed)
        self.trees[sha] = Tree(tree)
        self.branches[self.branch] = sha
        return sha

    def reachable(self, start: str) -> frozenset[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            sha = todo.pop()
            if sha not in seen:
                seen.add(sha)
                todo += self.history[sha].parents
        return frozenset(seen)

    # What dsci asks.

    def head(self) -> Head:
        commit = self.branches[self.branch]
        return Head(commit=commit, when=self.history[commit].when, branch=self.branch, root="/nowhere", origin=None)

    def is_shallow(self) -> bool:
        return False

    def remote(self) -> str | None:
        return None

    def ledger(self, *, fetch: bool = False) -> tuple[str | None, bool]:
        return None, False

    def tag_refs(self) -> dict[str, str]:
        return {tag.name: tag.oid for tag in self.tags()}

    def tree(self, commit: str) -> Tree:
        return self.trees[commit]

    def blob(self, oid: str) -> bytes:
        return self.blobs[oid]

    def contents(self, oids: Sequence[str]) -> tuple[bytes, ...]:
        return tuple(self.blobs[oid] for oid in oids)

    def dirty(self) -> dict[str, TreeEntry | None]:
        return {
            path: None if text is None else TreeEntry(FILE, _sha("blob", text))
            for path, text in self.lying_about.items()
        }

    def worktree_blob(self, path: str) -> bytes:
        return str(self.lying_about[path]).encode()

    def tags(self) -> tuple[Tag, ...]:
        merged = self.reachable(self.head().commit)
        return tuple(
            Tag(name=name, oid=_sha(name, message), commit=commit, message=message, merged=commit in merged)
            for name, (commit, message) in sorted(self.named.items())
        )

    def commits(self, since: Sequence[str]) -> tuple[Commit, ...]:
        reached = [self.reachable(commit) for commit in since]
        hidden = frozenset.intersection(*reached) if reached else frozenset()
        wanted = self.reachable(self.head().commit) - hidden
        return tuple(sorted((self.history[sha] for sha in wanted), key=lambda commit: commit.when, reverse=True))

    def log(self, since: Sequence[str]) -> Iterator[Commit]:
        return iter(self.commits(since))

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        return ancestor in self.reachable(descendant)


@dataclass
class MemoryRegistry:
    """References and what they name. Nothing immutable is ever written twice."""

    names: dict[str, tuple[Descriptor, bytes]] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    """The repositories that have lost their blobs."""

    def put(self, reference: Reference, content: bytes, media_type: str, *, moving: bool = False) -> Digest:
        descriptor = Descriptor.of(media_type, content)
        known = self.names.get(str(reference))
        assert moving or known is None or known[0] == descriptor, f"{reference} would be overwritten"
        self.names[str(reference)] = descriptor, content
        self.names[str(reference.repository.at(descriptor.digest))] = descriptor, content
        return descriptor.digest

    # What dsci asks.

    def resolve(self, reference: Reference) -> Descriptor | None:
        found = self.names.get(str(reference))
        return found[0] if found else None

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes] | None:
        found = self.names.get(str(reference))
        # An image is named by the digest of a line about its key, and has this one manifest.
        return (found[0], _MANIFEST) if found and found[1].startswith(b"image of ") else found

    def lacks(self, repository: Repository, blob: Descriptor) -> bool:
        return f"{repository}" in self.damaged

    def tags(self, repository: Repository) -> tuple[str, ...]:
        prefix = f"{repository}:"
        return tuple(sorted(name.removeprefix(prefix) for name in self.names if name.startswith(prefix)))


@dataclass
class Story:
    """A repository, its registry, and the world of bases around them."""

    git: MemoryGit = field(default_factory=MemoryGit)
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    moved: dict[str, int] = field(default_factory=dict)
    project: str = "stack"

    def resolve(self, reference: Reference, platform: Platform) -> Digest | None:
        """What a base is now; it becomes another image each time it moves."""
        if reference.repository.path.endswith("/missing"):
            return None
        return Digest.of(f"{reference} {platform} {self.moved.get(reference.familiar, 0)}".encode())

    def observe(
        self, *, offline: bool = False, dirty: Mapping[str, str | None] | None = None
    ) -> tuple[Snapshot, Facts]:
        world = World(
            source=Source(git=self.git, project=self.project, platform=AMD64),  # type: ignore[arg-type]
            registry=None if offline else self.registry,  # type: ignore[arg-type]
            resolve=None if offline else self.resolve,
            lenient=True,
        )
        self.git.lying_about = dict(dirty or {})
        return observe(world, overlay=self.git.dirty())

    def plan(self, request: Request | None = None, **given: Any) -> Plan:
        now, facts = self.observe(**given)
        return make(now.family, facts, request or Request())

    def release(self, request: Request | None = None, *, cut: bool = False) -> Plan:
        """Carry a plan out; `cut` short after its claims, so that no tag is written."""
        now, facts = self.observe()
        plan = make(now.family, facts, request or Request())
        images: dict[str, Digest] = {}
        for item in plan.targets:
            images[item.id] = self._build(now, facts, item.id, images)
        for release in plan.releases:
            self._release(now, facts, release, images, cut=cut)
        return plan

    def _build(self, now: Snapshot, facts: Facts, name: str, images: Mapping[str, Digest]) -> Digest:
        target = next(target for target in now.family.order if str(target) == name)
        node, repository = now.family.nodes[target], now.family.images[target.image].repository
        key = facts.keys[target]
        assert key is not None, f"{name} cannot be built: {facts.unpinned}"
        image = self.registry.put(repository.tag(keys.key_tag(key)), f"image of {key}".encode(), OCI_MANIFEST)
        receipt = Receipt(
            target=name,
            key=key,
            source_key=facts.sources.full[target],
            image=str(image),
            parents={str(need): str(images[str(need)]) for need in node.needs},
            bases=tuple(
                BaseUsed(name=base.key[0], platform=str(base.platform), digest=str(facts.pins[target][base.key]))
                for base in node.bases
            ),
        )
        subject = Descriptor.of(OCI_MANIFEST, f"image of {key}".encode())
        for suites in (keys.NO_SUITES, facts.suites[target]):
            artifact = to_artifact(msgspec.structs.replace(receipt, suites=suites), subject)
            tag = repository.tag(keys.receipt_tag(key, suites))
            if self.registry.resolve(tag) is None:  # It may have been another variant's key before.
                self.registry.put(tag, artifact.manifest, OCI_MANIFEST)
        return image

    def _release(self, now: Snapshot, facts: Facts, release: Any, images: Mapping[str, Digest], *, cut: bool) -> None:
        members = [now.family.images[name] for name in release.members]
        contents: dict[str, bytes] = {}
        if release.claimed:
            claim = next(claim for claim in facts.claims[release.image] if claim.tag.name == release.git_tag)
            for member in members:
                digest = claim.digests[member.name]
                contents[member.name] = self.registry.names[str(member.repository.at(digest))][1]
        else:
            digests: dict[str, Digest] = {}
            known: dict[str, str] = {}
            bases: dict[tuple[str, Platform], Digest] = {}
            for member in members:
                own = [str(images.get(str(target))) for target in member.targets]
                content = f"index of {member.name} {release.version}: {own}".encode()
                unique = member.repository.tag(keys.index_tag(Digest.of(content)))
                contents[member.name] = content
                digests[member.name] = self.registry.put(unique, content, OCI_INDEX)
                known |= {str(target): str(facts.keys[target]) for target in member.targets}
                bases |= {key: pin for target in member.targets for key, pin in facts.pins[target].items()}
            trailers = claims.claim_trailers(digests, known, bases, group=release.image)
            notes = "\n".join(f"- {subject}" for subject in release.changes)
            assert release.git_tag not in self.git.named
            self.git.named[release.git_tag] = (
                release.commit,
                f"{release.image} {release.version}\n\n{notes}\n\n{trailers}\n",
            )
        for member in () if cut else members:
            for repository in member.repositories:
                for tag in own_tags(release.tags, member, members):
                    content = contents[member.name]
                    self.registry.put(repository.tag(tag), content, OCI_INDEX, moving=tag in release.moving)

    def tell(self, step: Mapping[str, Any]) -> None:
        """One step of a case: its first key says what happens."""
        match next(iter(step.items())):
            case ("commit", str(message)):
                self.git.write(message, step.get("files") or {})
            case ("release", how):
                self.release(cut=how == "cut")
            case ("branch", str(name)):
                self.git.branches[name] = self.git.head().commit
                self.git.branch = name
            case ("checkout", str(name)):
                assert name in self.git.branches
                self.git.branch = name
            case ("tag", str(name)):
                self.git.named[name] = (self.git.head().commit, "")
            case ("move", str(base)):
                self.moved[base] = self.moved.get(base, 0) + 1
            case ("lose", str(image)):
                lost = [name for name in self.registry.names if f"/{image}:dsci-" in name or f"/{image}@" in name]
                assert lost
                for name in lost:
                    del self.registry.names[name]
            case other:
                raise AssertionError(f"no such step: {other}")


def told(text: str) -> tuple[Story, dict[str, Any]]:
    """The story of a case, told to its end, and what `plan` is to be asked."""
    case = yaml.safe_load(text)
    story = Story(project=case.get("project", "stack"))
    for step in case["story"]:
        story.tell(step)
    asked = case.get("plan") or {}
    request = Request(**{**asked.get("request", {}), "select": frozenset(asked.get("request", {}).get("select", ()))})
    return story, {"request": request, "offline": asked.get("offline", False), "dirty": asked.get("dirty")}
