"""The repository, through the `git` program: read in a few passes over whole sets, written only by a claim.

Everything that Git tells is foreign text: paths may hold any byte but NUL, names may look like options, messages may
look like anything. Answers are therefore split at NULs, arguments are lists, and object ids are checked before use.
Nothing is fetched or deepened except what the caller asks for by name, and no work tree is ever changed.
"""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dsci.drivers import cures, githead, githistory, gitprogram
from dsci.drivers.gitobjects import Objects
from dsci.drivers.gitprogram import FETCH, Program, checked
from dsci.drivers.process import Completed
from dsci.errors import ConflictError, HistoryError
from dsci.model.claims import Tag
from dsci.model.commits import Commit
from dsci.model.ledger import BRANCH, REF
from dsci.model.tree import Tree, TreeEntry
from dsci.ports import Claimed, Head, TagObject

if TYPE_CHECKING:
    from dsci.drivers.gitclaims import Claims
    from dsci.drivers.worktree import WorkTree

_HISTORY_TIMEOUT = 3600
#: The remote's tags, and where its ledger stands. Kinds are named, or the server would list all that it has.
_KINDS, _WANTED = ("ls-remote", "--tags", "--heads", "--refs", "--"), ("refs/tags/*", REF)


class GitRepository:
    """One repository, found from a folder upwards. Implements `ports.Git`."""

    def __init__(self, folder: str | os.PathLike[str], *, program: Program | None = None) -> None:
        """`program` is that of this folder, where some questions were begun already."""
        self._program = program or Program(folder)
        self._run, self._text = self._program.run, self._program.text
        self._head: Head | None = None
        self._bare = False
        self._shallow: bool | None = None
        self._objects = Objects(self._program)
        self._lock = threading.Lock()
        self._trees: dict[str, Tree] = {}
        self._told: str | None = None
        """Where the remote said last that its ledger stands: "" where it has none, None before it was asked."""

    # ------------------------------------------------------------------------------------------------- reading

    def head(self) -> Head:
        """Where HEAD is. Raises HistoryError with the cure when there is no repository or no commit to stand on."""
        if self._head is None:
            found = githead.read(self._program, self._objects)
            self._head, self._bare, self._shallow = found.head, found.bare, found.shallow
        return self._head

    def is_shallow(self) -> bool:
        """Whether history is cut off."""
        if self._shallow is None:
            self._shallow = self._text("rev-parse", "--is-shallow-repository") == "true"
        return self._shallow

    def boundary(self) -> frozenset[str]:
        """The commits whose parents a shallow clone does not know; empty where history is whole."""
        if not self.is_shallow():
            return frozenset()
        path = self._program.path / self._text("rev-parse", "--git-path", "shallow")
        return frozenset(map(checked, path.read_text(encoding="ascii", errors="replace").split()))

    def graph(self, tips: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Every commit that these can reach here and its parents, children first."""
        lines = "".join(f"{checked(tip)}\n" for tip in tips).encode()
        rows = (
            line.split()
            for line in self._text("rev-list", "--parents", "--topo-order", "--stdin", stdin=lines).split("\n")
        )
        return {row[0]: tuple(row[1:]) for row in rows}

    def branches(self) -> Mapping[str, str]:
        """Every branch, here and on the remote (`origin/main`), as it says itself and not as this clone remembers."""
        remote = self.remote()
        listed = _listed(self._text("for-each-ref", "refs/heads", "--format=%(objectname)%09%(refname)"))
        here = {name.removeprefix("refs/heads/"): oid for name, oid in listed.items()}
        if remote is None:
            return here
        listed = _listed(self._program.network("ls-remote", "--heads", "--refs", "--", remote))
        there = {f"{remote}/{name.removeprefix('refs/heads/')}": oid for name, oid in listed.items()}
        wanted = "".join(f"{checked(oid)}\n" for oid in there.values()).encode()
        said = self._text("cat-file", "--batch-check", stdin=wanted).split("\n") if there else []
        absent = sorted(name for name, line in zip(there, said, strict=True) if line.endswith(" missing"))
        if absent:
            shown = ", ".join(absent[:5]) + (" …" if len(absent) > 5 else "")
            raise HistoryError(
                f"this clone lacks commits of {len(absent)} of the branches of {remote}: {shown}",
                hint=f"git fetch {remote} '+refs/heads/*:refs/remotes/{remote}/*' (or let dsci do it: --fetch)",
            )
        return {**here, **there}

    def fetch_branches(self) -> None:
        """Bring every branch of the remote to where this clone remembers them."""
        remote = self.remote()
        if remote is not None:
            refs = f"+refs/heads/*:refs/remotes/{remote}/*"
            self._program.network(*FETCH, "--", remote, refs, timeout=_HISTORY_TIMEOUT)

    def tag_refs(self) -> Mapping[str, str]:
        """All tags, whatever they name: name to object id, unpeeled. Raises HistoryError for one that is damaged."""
        told = self._program.peek(*gitprogram.TAGS)
        # Whoever asks for names alone needs none of the objects that they name.
        listed = told if told is not None and told.returncode == 0 else self._run(*gitprogram.TAG_REFS)
        broken = cures.broken_tag(listed.stderr.decode(errors="surrogateescape"))
        if broken:
            path = (self._program.path / self._text("rev-parse", "--git-path", broken)).absolute()
            raise HistoryError(
                f"the Git tag {broken.removeprefix('refs/tags/')} is damaged: Git passes over it",
                hint=f"rm {shlex.quote(str(path))}{cures.again(self._program.origin)}",
            )
        if listed is told:
            fields = _tag_fields(listed)
            return dict(zip(fields[0:-1:6], fields[1::6], strict=True))
        return _listed(listed.stdout.decode(errors="surrogateescape"))

    def tree(self, commit: str) -> Tree:
        """The commit's tree, its folders read as they are asked for. Raises HistoryError when Git does not have it."""
        with self._lock:
            if commit not in self._trees:
                self._trees[commit] = self._objects.tree(checked(commit))
            return self._trees[commit]

    def blob(self, oid: str) -> bytes:
        """A blob's content. Raises HistoryError when Git does not have it."""
        return self._objects.blob(checked(oid))

    def contents(self, oids: Sequence[str]) -> tuple[bytes, ...]:
        """The contents of several blobs, asked all at once. Raises HistoryError when Git does not have one of them."""
        return tuple(self._objects.blobs([checked(oid) for oid in oids]))

    def close(self) -> None:
        """End the reader of objects, and what was begun and never asked for."""
        self._program.close()

    def dirty(self) -> Mapping[str, TreeEntry | None]:
        """Paths whose work tree differs from HEAD, untracked ones included; None for a path that is gone."""
        head = self.head()
        return {} if self._bare else self._work_tree.changes(self.tree(head.commit))

    def hash_files(self, folder: str) -> Mapping[str, TreeEntry]:
        """Every file at or below a path of the work tree, whether Git knows it or not."""
        return self._work_tree.below(folder)

    def worktree_blob(self, path: str) -> bytes:
        """The content of a path of the work tree; the target of a link."""
        return self._work_tree.content(path)

    @property
    def _work_tree(self) -> WorkTree:
        from dsci.drivers.worktree import WorkTree

        return WorkTree(self._program, self.head().root)

    def tags(self) -> tuple[Tag, ...]:
        """Every tag that names a commit, with its own message when it is annotated."""
        self._program.begin(gitprogram.MERGED_TAGS)
        fields = _tag_fields(self._run(*gitprogram.TAGS))
        merged = self._run(*gitprogram.MERGED_TAGS).stdout.decode(errors="surrogateescape")
        reachable = set(merged.split("\n"))
        tags: list[Tag] = []
        for n in range(0, len(fields) - 1, 6):
            name, oid, kind, peeled, peeled_kind, message = fields[n : n + 6]
            if kind == "commit":
                tags.append(Tag(name=name, oid=oid, commit=oid, message="", merged=name in reachable))
                continue
            if peeled_kind == "tag":
                # A tag of a tag: Git before 2.45 shows only what it names directly.
                end = self._run("rev-parse", "--verify", "--quiet", f"{oid}^{{commit}}", check=False)
                peeled, peeled_kind = end.stdout.decode().strip(), "commit" if end.returncode == 0 else ""
            if peeled_kind == "commit":
                tags.append(Tag(name=name, oid=oid, commit=peeled, message=message, merged=name in reachable))
        return tuple(tags)

    def commits(self, since: Sequence[str]) -> tuple[Commit, ...]:
        """History from HEAD, newest first, without what every one of `since` can reach; all of it when empty."""
        return tuple(self.log(since))

    def log(self, since: Sequence[str]) -> Iterator[Commit]:
        """The same, commit by commit: Git has begun when this returns, and writes while they are read."""
        return githistory.log(self._program, self._objects, since)

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether one commit can reach the other."""
        ended = self._run("merge-base", "--is-ancestor", checked(ancestor), checked(descendant), check=False)
        if ended.returncode not in (0, 1):
            said = ended.stderr.decode(errors="replace").strip()
            raise HistoryError(
                f"Git cannot tell whether {ancestor[:12]} leads to {descendant[:12]}: {said[-500:]}",
                hint="a commit is missing here: `git fetch --tags`, or clone again",
            )
        return ended.returncode == 0

    def fork(self, name: str) -> str:
        """The newest commit that HEAD shares with a branch, tag or commit. Raises HistoryError where there is none."""
        shown = name[:200]
        found = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", check=False)
        if found.returncode != 0:
            raise HistoryError(
                f"Git knows no commit {shown!r} here",
                hint="fetch it first; in CI, `fetch-depth: 0` for GitHub's checkout, GIT_DEPTH: 0 in GitLab",
            )
        base = self._run("merge-base", "HEAD", checked(found.stdout.decode().strip()), check=False)
        if base.returncode != 0:
            raise HistoryError(
                f"HEAD and {shown} share no commit here",
                hint="if this clone is shallow, fetch its history: git fetch --unshallow",
            )
        return base.stdout.decode().strip()

    def person(self) -> str:
        """What whoever works here is called by Git; "" where nothing says it."""
        return self._run("var", "GIT_AUTHOR_IDENT", check=False).stdout.decode(errors="replace").partition(" <")[0]

    def root_commit(self) -> str:
        """The oldest first-parent commit: what tells one repository from another on this machine."""
        return self._text("rev-list", "--max-parents=0", "--first-parent", "HEAD").split("\n")[-1]

    # ---------------------------------------------------------------------------------------------- the remote

    def remote(self) -> str | None:
        """The name of the remote that claims are pushed to: the branch's own, `origin`, or the only one."""
        self.head()
        return self._program.origin

    def remote_tags(self) -> Mapping[str, str]:
        """The remote's tags: name to object id, unpeeled. Raises HistoryError when it cannot be reached."""
        remote = self.remote()
        if remote is None:
            return {}
        return self._heard(self._program.network(*_KINDS, remote, *_WANTED))

    def ask_remote(self, seconds: float) -> Mapping[str, str]:
        """The same, if the remote answers within `seconds` and without a question to a person."""
        remote = self.remote()
        if remote is None:
            return {}
        ended = self._run(*_KINDS, remote, *_WANTED, check=False, timeout=seconds)
        if ended.returncode != 0:
            raise self._program.refused("ls-remote", ended.stderr.decode(errors="replace"))
        return self._heard(ended.stdout.decode(errors="surrogateescape"))

    def _heard(self, said: str) -> dict[str, str]:
        """What the remote lists, apart: where its ledger stands is kept for `ledger`, its tags are given."""
        lines = said.split("\n")
        self._told = next((line.partition("\t")[0] for line in lines if line.endswith(f"\t{REF}")), "")
        return _listed("\n".join(line for line in lines if "\trefs/tags/" in line))

    def ledger(self, *, fetch: bool = False) -> tuple[str | None, bool]:
        """See `ports.Git`."""
        remote = self.remote()
        if remote is None:
            return self._named(REF), False
        if fetch and self._told is None:
            self.remote_tags()
        known = self._named(f"refs/remotes/{remote}/{BRANCH}") or self._named(REF)
        if not self._told or self._told == known:
            return known, False
        there = self._named(self._told)
        if there is None and fetch:
            there = self._told = self._claims.ledger.fetch(remote)
        return there or known, there is None

    def _named(self, name: str) -> str | None:
        found = self._objects.commit(name)
        return found[0] if found else None

    def fetch_history(self) -> None:
        """Bring, into a shallow clone, the history that it was cut off from; no new tags."""
        remote = self.remote()
        if remote is not None and self.is_shallow():
            self._shallow = None
            self._program.network(*FETCH, "--unshallow", "--", remote, timeout=_HISTORY_TIMEOUT)

    def fetch_tags(self, names: Sequence[str]) -> None:
        """Bring these tags, and no others. Raises ConflictError where one stands here with other content."""
        remote = self.remote()
        if remote is None or not names:
            return
        present = {tag.name: tag.oid for tag in self.tags()}
        theirs = self.remote_tags()
        for name in names:
            if name in present and name in theirs and present[name] != theirs[name]:
                raise ConflictError(
                    f"the tag {name} is {present[name][:12]} here and {theirs[name][:12]} on {remote}",
                    hint=f"the remote's tag is the claim: git tag -d {name}, then run dsci again",
                )
        refs = [f"refs/tags/{name}:refs/tags/{name}" for name in names]
        self._program.network(*FETCH, "--", remote, *refs)

    # ------------------------------------------------------------------------------------------------- writing

    def check_push(self, name: str) -> None:
        """See `ports.Git`."""
        self._claims.check_push(name)

    def make_tag(self, tag: TagObject) -> str:
        """See `ports.Git`."""
        return self._claims.make_tag(tag)

    def claim(self, tags: Mapping[str, str], record: Mapping[str, bytes] | None = None) -> Claimed:
        """See `ports.Git`."""
        return self._claims.claim(tags, record or {})

    @property
    def _claims(self) -> Claims:
        from dsci.drivers.gitclaims import Claims

        return Claims(self, self._program)


def _tag_fields(listed: Completed) -> list[str]:
    """The six fields of each tag, one after the other, and the rest behind them."""
    fields = listed.stdout.decode(errors="surrogateescape").split("\0")
    fields[0::6] = [name.removeprefix("\n") for name in fields[0::6]]
    return fields


def _listed(out: str) -> dict[str, str]:
    """What `git ls-remote --tags` and the like list: names and object ids."""
    rows = (line.split("\t", 1) for line in out.split("\n") if "\t" in line)
    return {name.removeprefix("refs/tags/"): oid for oid, name in rows}
