"""Scripted histories, written into real Git repositories object by object, and what dsci makes of them.

A history is a list of steps; the same steps give the same commits, to the byte, on every machine. Commits are written
as loose objects by this module (no process per commit), so that a hundred histories take seconds; everything that
reads them is real.
"""

from __future__ import annotations

import hashlib
import subprocess
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dsci.drivers.git import GitRepository
from dsci.model.event import Event
from dsci.model.facts import Request
from dsci.model.oci import Platform
from dsci.model.plan import Plan
from dsci.model.planning import make
from dsci.pipeline.observe import observe
from dsci.pipeline.snapshot import Source
from dsci.pipeline.world import World

BEGAN = 1_700_000_000
AMD64 = Platform("linux", "amd64")

#: One image at the root.
ONE = {"Dockerfile": "FROM scratch\nCOPY . /\n", "x": "begin", ".dockerignore": "*.md\nREADME*\n"}
#: base ← ml, and ml-gpu beside them, whose name begins like another's.
FAMILY = {
    "images/base/Dockerfile": "FROM scratch\nCOPY . /\n",
    "images/base/x": "begin",
    "images/ml/Dockerfile": "FROM base\nCOPY . /\n",
    "images/ml/x": "begin",
    "images/ml/.dockerignore": "*.md\n",
    "images/ml-gpu/Dockerfile": "FROM scratch\nCOPY . /\n",
    "images/ml-gpu/x": "begin",
}


@dataclass(frozen=True)
class Step:
    """Something that happens to a repository."""

    kind: str
    text: str = ""
    files: tuple[str, ...] = ()
    label: str = ""
    write: Mapping[str, str | None] = field(default_factory=dict)


def commit(message: str, *files: str, label: str = "", write: Mapping[str, str | None] | None = None) -> Step:
    """A commit that changes these files (`x` when none is named), or writes them; `{a}` is the commit labelled `a`."""
    return Step("commit", message, files or (() if write is not None else ("x",)), label, write or {})


def empty(message: str) -> Step:
    """A commit that changes nothing."""
    return Step("commit", message)


def tag(*names: str) -> Step:
    """Git tags at HEAD."""
    return Step("tag", files=names)


def branch(name: str) -> Step:
    """A new branch from HEAD, checked out."""
    return Step("branch", name)


def switch(name: str) -> Step:
    """Another branch, checked out."""
    return Step("switch", name)


def merge(name: str, message: str = "", label: str = "") -> Step:
    """A branch, merged into this one; files that both changed are the other branch's."""
    return Step("merge", message or f"Merge branch '{name}'", (name,), label)


def revert(label: str, message: str = "", as_: str = "") -> Step:
    """What `git revert` makes of a commit: the files as they were before it."""
    return Step("revert", message, (label,), as_)


@dataclass
class Player:
    """Writes a history down."""

    folder: Path
    branches: dict[str, str] = field(default_factory=dict)
    trees: dict[str, dict[str, str]] = field(default_factory=dict)
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    now: str = "main"
    count: int = 0

    def play(self, start: Mapping[str, str], steps: Sequence[Step]) -> None:
        """Write a whole history; the work tree and the index stay empty but for what HEAD says."""
        subprocess.run(["git", "init", "-q", "-b", "main", str(self.folder)], check=True)
        if start:
            self._commit("chore: begin", dict(start), ())
        for step in steps:
            self._step(step)
        self.settle()
        subprocess.run(["git", "-C", str(self.folder), "reset", "-q", "--hard"], check=True)

    def settle(self) -> None:
        """Let Git see where the branches are."""
        for name, sha in self.branches.items():
            self._ref(f"heads/{name}", sha)
        (self.folder / ".git" / "HEAD").write_text(f"ref: refs/heads/{self.now}\n")

    def _step(self, step: Step) -> None:
        here = self.branches.get(self.now)
        files = dict(self.trees[here]) if here else {}
        message = step.text.format(**self.labels, **{f"{name}7": sha[:7] for name, sha in self.labels.items()})
        match step.kind:
            case "commit":
                for path in step.files:
                    files[path] = f"{self.count}"
                for path, content in step.write.items():
                    if content is None:
                        del files[path]
                    else:
                        files[path] = content
                self._commit(message, files, (here,) if here else (), step.label)
            case "tag":
                assert here is not None
                for name in step.files:
                    self._ref(f"tags/{name}", here)
            case "branch":
                assert here is not None
                self.branches[step.text] = here
                self.now = step.text
            case "switch":
                assert step.text in self.branches
                self.now = step.text
            case "merge":
                assert here is not None
                other = self.branches[step.files[0]]
                base = self.trees[self._fork(here, other)]
                theirs = self.trees[other]
                for path in {*base, *theirs}:
                    if base.get(path) != theirs.get(path):
                        if path in theirs:
                            files[path] = theirs[path]
                        else:
                            files.pop(path, None)
                self._commit(message, files, (here, other), step.label)
            case "revert":
                sha = self.labels[step.files[0]]
                before = self.trees[self.parents[sha][0]]
                for path in {*before, *self.trees[sha]}:
                    if before.get(path) != self.trees[sha].get(path):
                        if path in before:
                            files[path] = before[path]
                        else:
                            files.pop(path, None)
                subject = self.messages[sha].partition("\n")[0]
                reversing = ""
                if len(self.parents[sha]) > 1:
                    reversing = f", reversing\nchanges made to {self.parents[sha][0]}"
                written = message or f'Revert "{subject}"\n\nThis reverts commit {sha}{reversing}.'
                self._commit(written, files, (here,) if here else (), step.label)
            case other_kind:
                raise AssertionError(other_kind)

    def _fork(self, one: str, other: str) -> str:
        reached: set[str] = set()
        todo = [one]
        while todo:
            sha = todo.pop()
            if sha not in reached:
                reached.add(sha)
                todo += self.parents[sha]
        todo = [other]
        while todo:
            sha = todo.pop(0)
            if sha in reached:
                return sha
            todo += self.parents[sha]
        raise AssertionError("no common commit")

    def _commit(self, message: str, files: dict[str, str], parents: tuple[str | None, ...], label: str = "") -> None:
        who = f"A <a@example.org> {BEGAN + 60 * self.count} +0000"
        self.count += 1
        known = tuple(parent for parent in parents if parent)
        lines = [f"tree {self._tree(files)}", *(f"parent {parent}" for parent in known), f"author {who}"]
        lines += [f"committer {who}", "", message]
        sha = self._write("commit", "\n".join(lines).encode())
        self.trees[sha], self.parents[sha], self.messages[sha] = files, known, message
        self.branches[self.now] = sha
        if label:
            self.labels[label] = sha

    def _tree(self, files: Mapping[str, str]) -> str:
        entries: dict[bytes, tuple[str, str]] = {}
        folders: dict[str, dict[str, str]] = {}
        for path, content in files.items():
            first, slash, rest = path.partition("/")
            if slash:
                folders.setdefault(first, {})[rest] = content
            else:
                entries[first.encode()] = ("100644", self._write("blob", content.encode()))
        for name, below in folders.items():
            entries[name.encode() + b"/"] = ("40000", self._tree(below))
        content = b"".join(
            mode.encode() + b" " + name.rstrip(b"/") + b"\0" + bytes.fromhex(sha)
            for name, (mode, sha) in sorted(entries.items())
        )
        return self._write("tree", content)

    def _write(self, kind: str, content: bytes) -> str:
        whole = f"{kind} {len(content)}\0".encode() + content
        sha = hashlib.sha1(whole).hexdigest()
        path = self.folder / ".git" / "objects" / sha[:2] / sha[2:]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(zlib.compress(whole, 1))
        return sha

    def _ref(self, name: str, sha: str) -> None:
        path = self.folder / ".git" / "refs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sha + "\n")


def plan_of(
    folder: Path, event: Event | None = None, project: str = "ml", select: frozenset[str] = frozenset()
) -> Plan:
    """What dsci would release here (of the images of `select` and what they stand on, where it names any), offline."""
    git = GitRepository(folder)
    try:
        request = Request(event=event or Event(), select=select)
        source = Source(git=git, project=project, platform=AMD64, branch=request.event.branch)
        now, facts = observe(World(source=source, registry=None, resolve=None, lenient=True), request)
        return make(now.family, facts, request)
    finally:
        git.close()
