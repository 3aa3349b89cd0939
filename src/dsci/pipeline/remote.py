"""What a clone lacks of what versions are made from: release tags that its remote has, history that was cut off.

Nothing is brought that nobody asked for. What is lacking and could change an answer is an error that names the command
which brings it; with `--fetch` it is brought, and that is told. A remote that does not answer leaves a doubt, and that
is told as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

import msgspec

from dsci.errors import ConflictError, HistoryError
from dsci.model import cut, version
from dsci.model.claims import Named, Released, TagFormat, released
from dsci.model.text import clean
from dsci.ports import Git

#: How long a command that only looks waits for the remote, in seconds.
PATIENCE = 10.0
_SHOWN = 5

Claims = Mapping[str, tuple[Released, ...]]


class Remote(Enum):
    """What may be asked of the remote."""

    OFFLINE = "nothing: the clone alone answers"
    ASK = "which release tags it has"
    FETCH = "the same, and what this clone lacks"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the remote says."""

    tags: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Its tags: name to object id, unpeeled."""
    warnings: tuple[str, ...] = ()
    """Why that may not be all."""


def ask(git: Git, how: Remote) -> Told:
    """The remote's tags. What cannot be asked is a warning; with FETCH it raises HistoryError."""
    remote = git.remote()
    if remote is None:
        return Told()
    if how is Remote.OFFLINE:
        return Told(warnings=(f"offline: whether {remote} has more releases than this clone is not known",))
    try:
        return Told(tags=git.ask_remote(PATIENCE))
    except HistoryError as error:
        if how is Remote.FETCH:
            raise
        said = " ".join(clean(error.message, 400).split())
        return Told(warnings=(f"whether {remote} has more releases than this clone is not known: {said}",))


def claims(
    git: Git,
    form: TagFormat,
    groups: Sequence[str],
    here: Mapping[str, str],
    theirs: Mapping[str, str],
    *,
    fetch: bool,
    say: Callable[[str], None],
) -> Claims:
    """The claimed versions of every group, where they and the history below them are all that is needed.

    `here` and `theirs` are this clone's and the remote's tags, name to object id. Raises HistoryError where something
    is lacking that could change an answer, and ConflictError for a tag that the remote has otherwise.
    """
    known = released(git.tags(), form, groups)
    check_moved(git, form, here, theirs, known)
    lacking = _lacking(form, here, theirs, known)
    if lacking and not fetch:
        raise HistoryError(
            f"this clone lacks {_counted(len(lacking), 'release tag')} that {git.remote()} has: {_listed(lacking)}",
            hint=_bring(git)
            if git.is_shallow()
            else f"git fetch --tags {git.remote()} (or let dsci do it: --fetch; --offline does without them)",
        )
    if lacking:
        say(f"fetching {_counted(len(lacking), 'release tag')} from {git.remote()}: {_listed(lacking)}")
        git.fetch_tags(lacking)
        known = released(git.tags(), form, groups)
    if not git.is_shallow():
        return known
    wanted = frozenset(form.groups)
    why = _doubt(git, known, wanted)
    if why and fetch and git.remote():
        _fetch_history(git, say)
        known = released(git.tags(), form, groups)
        why = _doubt(git, known, wanted)
    if why:
        raise HistoryError(f"this clone is shallow: {why}, and versions come from history", hint=_bring(git))
    return known


def whole(git: Git, how: Remote, say: Callable[[str], None]) -> None:
    """Have all of history. Raises HistoryError in a shallow clone, unless it may be fetched."""
    if not git.is_shallow():
        return
    if how is not Remote.FETCH or git.remote() is None:
        raise HistoryError("this clone is shallow: its older releases are cut off", hint=_bring(git))
    _fetch_history(git, say)


def _fetch_history(git: Git, say: Callable[[str], None]) -> None:
    say(f"fetching the history that this shallow clone was cut off from, from {git.remote()}")
    git.fetch_history()


def check_moved(git: Git, form: TagFormat, here: Mapping[str, str], theirs: Mapping[str, str], known: Claims) -> None:
    """Raises ConflictError for a release tag that counts and is another one on the remote."""
    bases = _bases(known)
    for name, oid in sorted(here.items()):
        other = theirs.get(name, oid)
        if other != oid and _counts(form.read(name), bases, equal=True):
            raise ConflictError(
                f"the tag {clean(name, 200)} is {oid[:12]} here and {other[:12]} on {git.remote()}",
                hint=f"the remote's tag is the claim: git tag -d {clean(name, 200)} && git fetch --tags {git.remote()}",
            )


def _lacking(form: TagFormat, here: Mapping[str, str], theirs: Mapping[str, str], known: Claims) -> list[str]:
    """The remote's release tags that are not here and could change an answer, oldest version first."""
    bases = _bases(known)
    named = ((form.read(name), name) for name in theirs.keys() - here.keys())
    lacking = [(what.order, name) for what, name in named if what and _counts(what, bases)]
    return [name for _, name in sorted(lacking)]


def _bases(known: Claims) -> Mapping[str, Released | None]:
    """What each group's next version is counted from."""
    return {group: version.stable(found) for group, found in known.items()}


def _counts(named: Named | None, bases: Mapping[str, Released | None], *, equal: bool = False) -> bool:
    """Whether a tag names a release above the one that its group's next version is counted from.

    Those below it decide nothing: neither the next version, nor where a float goes. A tag whose name does not say its
    image may be of one that has no release yet.
    """
    if named is None:
        return False
    if not named.group:
        return None in bases.values()
    base = bases[named.group]
    if base is None or named.version > base.version:
        return True
    return (equal or named.beside) and named.version == base.version


def _doubt(git: Git, known: Claims, deciding: frozenset[str]) -> str:
    """Why this shallow clone does not hold what is needed, or "" when it surely does."""
    questions: list[cut.Question] = []
    for group, found in known.items():
        if not found and group not in deciding:
            continue
        base = version.stable(found)
        rivals = [claim for claim in found if not claim.tag.merged and (base is None or claim.version > base.version)]
        questions.append(
            cut.Question(
                group=group,
                base=base.tag.commit if base else "",
                rivals=tuple(claim.tag.commit for claim in rivals),
            )
        )
    head = git.head().commit
    graph = git.graph([head, *sorted({rival for question in questions for rival in question.rivals})])
    return cut.doubt(graph, head, git.boundary(), questions)


def _bring(git: Git) -> str:
    """How a shallow clone becomes a whole one."""
    remote = git.remote()
    if remote is None:
        return "clone it again with its whole history: there is no remote to fetch it from"
    return (
        f"git fetch --unshallow --tags {remote} (or let dsci do it: --fetch); in CI, `fetch-depth: 0` for GitHub's"
        " checkout, GIT_DEPTH: 0 in GitLab"
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    """Some names, newest first."""
    shown = [clean(name, 200) for name in reversed(names)][:_SHOWN]
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*shown, *more])
