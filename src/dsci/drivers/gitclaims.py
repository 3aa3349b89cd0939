"""Claims: the tags of a release, named all at once or not at all, on the remote first and then here.

The push is the one compare-and-swap there is: of two runs that claim a name, one has its tags taken and the other is
told by whom. What the ledger records rides along and never decides who won. What is read meanwhile is asked of the
repository, as anybody would ask it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from secrets import randbelow

from dsci.drivers.gitledger import IDENTITY, Ledger
from dsci.drivers.gitprogram import Program, checked
from dsci.errors import HistoryError
from dsci.model.ledger import BRANCH, REF
from dsci.ports import Claimed, Git, TagObject

_PUSH = ("--porcelain", "--no-follow-tags", "--no-recurse-submodules")
#: How often a record is appended anew because another run was faster.
_TRIES = 12


class Claims:
    """What is claimed in one repository."""

    def __init__(self, git: Git, program: Program) -> None:
        self._git = git
        self._program = program
        self.ledger = Ledger(git, program)

    def check_push(self, name: str) -> None:
        """Prove the right to push to the remote by a push that is not carried out."""
        remote = self._git.remote()
        if remote is None:
            return
        ref = f"{self._git.head().commit}:refs/tags/{name}"
        said = self._program.try_network("push", "--dry-run", *_PUSH, "--", remote, ref)
        if said and "already exists" not in said:
            raise HistoryError(
                f"this run may not push release tags to {remote}: {said}",
                hint="give it the right: `contents: write` on GitHub, a token with write_repository on GitLab",
            )

    def make_tag(self, tag: TagObject) -> str:
        """Write an annotated tag object with a fixed identity and date, without naming it; gives its id."""
        message = tag.message.replace("\0", "").replace("\r\n", "\n").strip()
        content = (
            f"object {checked(tag.commit)}\ntype commit\ntag {tag.name}\n"
            f"tagger {IDENTITY} {tag.when} +0000\n\n{message}\n"
        )
        return self._program.text("mktag", stdin=content.encode(errors="surrogateescape"))

    def claim(self, tags: Mapping[str, str], record: Mapping[str, bytes]) -> Claimed:
        """Create all these tags or none: on the remote if there is one (an atomic push), then here.

        The same push or transaction appends `record` (path to content) to the branch `dsci-ledger`, where what is
        recorded already stays as it is. The tags alone decide who won.
        """
        if not tags and not record:
            return Claimed(won=True)
        remote = self._git.remote()
        if remote is None:
            return self._claim_here(tags, record)
        refused = self._push(remote, tags, record)
        if refused:
            # What counts is what stands there: another run may have pushed the very same objects meanwhile, or
            # the answer to our own push was lost.
            theirs = self._git.remote_tags()
            taken = {name: theirs[name] for name, oid in tags.items() if theirs.get(name, oid) != oid}
            if taken:
                return Claimed(won=False, taken=taken, detail=refused)
            if any(name not in theirs for name in tags):
                raise HistoryError(
                    f"pushing the release tags to {remote} failed: {refused}",
                    hint="the push needs the right to create tags"
                    + (f" and to push the branch {BRANCH} (or write `ledger: none`)" if record else "")
                    + ": contents: write, or a push token",
                )
            missing = self.ledger.missing(self.ledger.fetch(remote), record) if record else {}
            refused = f"{BRANCH} on {remote} was not written: {refused}" if missing else ""
        self._name_here(tags)
        return Claimed(won=True, detail=refused)

    def _push(self, remote: str, tags: Mapping[str, str], record: Mapping[str, bytes]) -> str:
        """Push the tags and what is to be recorded; "" when all stands, else what was said.

        Another run that recorded its own claim meanwhile is no loser's fault: its record is fetched and appended to.
        """
        refs = [f"{oid}:refs/tags/{name}" for name, oid in sorted(tags.items())]
        said = ""
        for attempt in range(_TRIES):
            before = self.ledger.fetch(remote) if record else None
            after = self.ledger.append(before or self.ledger.here(), record) if record else None
            branch = [f"{after}:{REF}"] if after != before else []
            if not refs and not branch:
                return ""
            said = self._push_refs(remote, [*refs, *branch])
            if not said or not branch or self.ledger.at(remote) in (before, after):
                break
            time.sleep(randbelow(100 * (attempt + 1)) / 1000)
        return said

    def _push_refs(self, remote: str, refs: Sequence[str]) -> str:
        """Push atomically, or one by one where the server cannot; "" when all stand, else what was said."""
        said = self._program.try_network("push", "--atomic", *_PUSH, "--", remote, *refs)
        if "does not support --atomic" in said:
            failures = [self._program.try_network("push", *_PUSH, "--", remote, ref) for ref in refs]
            said = "\n".join(failure for failure in failures if failure)
        return said

    def _claim_here(self, tags: Mapping[str, str], record: Mapping[str, bytes]) -> Claimed:
        """Claim in this repository: one transaction for the tags and the ledger."""
        for _ in range(_TRIES):
            before = self.ledger.here()
            after = self.ledger.append(before, record) if record else before
            said = self._name_here(tags, (before, after))
            present = self._present()
            taken = {name: present[name] for name, oid in tags.items() if present.get(name, oid) != oid}
            if taken:
                return Claimed(won=False, taken=taken, detail=said or "the tags stand here already")
            if not said:
                return Claimed(won=True)
            if self.ledger.here() == before:
                break
        raise HistoryError(f"Git could not create the release tags: {said}", hint="see `git fsck`")

    def _name_here(self, tags: Mapping[str, str], ledger: tuple[str | None, str | None] = (None, None)) -> str:
        """Name the tags, and move the ledger's branch, in one transaction; "" or what Git said against it.

        A tag that stands here with other content is left alone, and then nothing is named.
        """
        present = self._present()
        lines = [f"create refs/tags/{name}\0{oid}\0" for name, oid in sorted(tags.items()) if present.get(name) != oid]
        before, after = ledger
        if after is not None and after != before:
            lines.append(f"update {REF}\0{after}\0{before or '0' * len(after)}\0")
        if not lines:
            return ""
        ended = self._program.run("update-ref", "-z", "--stdin", stdin="".join(lines).encode(), check=False)
        return ended.stderr.decode(errors="replace").strip() or "refused" if ended.returncode else ""

    def _present(self) -> Mapping[str, str]:
        """The tags that stand here: name to object id."""
        return {tag.name: tag.oid for tag in self._git.tags()}
