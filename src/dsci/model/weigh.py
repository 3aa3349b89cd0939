"""What the commits since a release are worth together: which count, which do not, and why.

A commit is weighed by its message (`commits`) and by the others: what was taken back before anybody got it counts for
nothing, what a merge brought counts once. What is made of it is `version`'s to say.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from dsci.model.commits import Bump, Change, Commit


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that touches an image, and what it is worth to its next version."""

    change: Change
    bump: Bump
    why: str
    noted: bool
    """Whether a release note speaks of it."""


def weigh(
    since: Sequence[Change], touched: Sequence[Change], known: Mapping[str, Commit] | None = None
) -> tuple[Weighed, ...]:
    """Weigh the changes that touch an image, newest first, among all that happened since its last release.

    `since` need hold only what may speak of another commit; then `known` holds every commit since that release.
    """
    taken = taken_back(since, known)
    return tuple(_weighed(change, taken) for change in touched)


def _weighed(change: Change, taken: Mapping[str, str]) -> Weighed:
    def weighed(bump: Bump, why: str, *, noted: bool = True) -> Weighed:
        return Weighed(change=change, bump=bump, why=why, noted=noted)

    if why := taken.get(change.commit.sha):
        return weighed(Bump.NONE, why, noted=False)
    if change.merge:
        return weighed(Bump.NONE, "a merge: what it brought counts by its own commits", noted=False)
    if change.fixup:
        return weighed(Bump.NONE, "a fixup that was not squashed: its content counts, its message does not")
    if not change.statements:
        return weighed(Bump.NONE, "not conventional: its content counts, its message does not")
    best = max(change.statements, key=lambda statement: statement.bump)
    if best.bump is Bump.NONE:
        return weighed(Bump.NONE, f"{best.type} asks for no release by itself")
    if change.reverts and best.type == "revert":
        return weighed(best.bump, f"takes back {change.reverts[0][:7]}, which is released")
    squashed = "" if best is change.statements[0] else ", squashed into it"
    return weighed(best.bump, f"breaking {best.type}{squashed}" if best.breaking else f"{best.type}{squashed}")


def taken_back(since: Sequence[Change], known: Mapping[str, Commit] | None = None) -> Mapping[str, str]:
    """Commits that cancel each other, by sha, with the reason: reverts of what is not released, and what they revert.

    `since` is newest first, so that a revert of a revert is met before what it brings back.
    """
    asking = [change for change in since if change.reverts]
    if not asking:
        return {}
    known = {change.commit.sha: change.commit for change in since} if known is None else known
    shas = sorted(known)
    taken: dict[str, str] = {}
    for change in asking:
        if change.commit.sha in taken:
            continue
        gone = [sha for sha in (_find(text, shas) for text in change.reverts) if sha is not None]
        if len(gone) < len(change.reverts) or change.commit.sha in gone:
            continue  # Something of it is released already: that needs a release of its own.
        short = change.commit.sha[:7]
        taken[change.commit.sha] = f"takes back {', '.join(sha[:7] for sha in gone)}, which was not released yet"
        for sha in gone:
            for each in (sha, *_brought(known[sha], known)):
                taken.setdefault(each, f"taken back by {short} before it was released")
    return taken


def _find(text: str, shas: Sequence[str]) -> str | None:
    """The one commit that an abbreviated id means."""
    place = bisect_left(shas, text)
    found = [sha for sha in shas[place : place + 2] if sha.startswith(text)]
    return found[0] if len(found) == 1 else None


def _brought(commit: Commit, known: Mapping[str, Commit]) -> frozenset[str]:
    """What a merge brought: the commits that its other parents can reach and its first cannot."""
    if len(commit.parents) < 2:
        return frozenset()
    return _reachable(commit.parents[1:], known) - _reachable(commit.parents[:1], known)


def _reachable(starts: Iterable[str], known: Mapping[str, Commit]) -> frozenset[str]:
    seen: set[str] = set()
    todo = [sha for sha in starts if sha in known]
    while todo:
        sha = todo.pop()
        if sha not in seen:
            seen.add(sha)
            todo += [parent for parent in known[sha].parents if parent in known]
    return frozenset(seen)


class Holders:
    """Which of some starts can reach each commit, themselves included; commits may come in any order.

    Where every child comes before its parents, as in most logs, all is known when the last one comes.
    """

    def __init__(self, starts: Sequence[str]) -> None:
        self._commits: dict[str, Commit] = {}
        self._bits: dict[str, int] = {}
        self._coming: dict[str, int] = {}
        """What the children of a commit that has not come yet hand down to it."""
        self._late = False
        for n, start in enumerate(starts):
            self._coming[start] = self._coming.get(start, 0) | 1 << n

    def add(self, commit: Commit) -> None:
        """Take the next commit."""
        self._commits[commit.sha] = commit
        bits = self._bits[commit.sha] = self._coming.pop(commit.sha, 0)
        for parent in commit.parents if bits else ():
            if parent not in self._bits:
                self._coming[parent] = self._coming.get(parent, 0) | bits
            elif bits & ~self._bits[parent]:
                self._late = True

    def all(self) -> Mapping[str, int]:
        """By commit: bit n stands for `starts[n]`."""
        if self._late:
            self._hand_down()
        return self._bits

    def _hand_down(self) -> None:
        """Once more from the children on, each commit when all of its children are done."""
        self._late = False
        children = dict.fromkeys(self._commits, 0)
        for commit in self._commits.values():
            for parent in commit.parents:
                if parent in children:
                    children[parent] += 1
        todo = [sha for sha, count in children.items() if count == 0]
        while todo:
            sha = todo.pop()
            for parent in self._commits[sha].parents:
                if parent in children:
                    self._bits[parent] |= self._bits[sha]
                    children[parent] -= 1
                    if children[parent] == 0:
                        todo.append(parent)


def held(starts: Sequence[str], commits: Iterable[Commit]) -> Mapping[str, int]:
    """The same for commits that are there already."""
    holders = Holders(starts)
    for commit in commits:
        holders.add(commit)
    return holders.all()
