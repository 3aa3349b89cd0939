"""Commits, and what their messages say about a version.

A message is read by Conventional Commits 1.0.0 where it is written so, and by what Git and the forges write where they
write it: reverts, merges, squashed branches, fixups. Anything else says nothing by itself. What a change is worth to an
image, beside the others since its last release, is `weigh`'s to say.

Source: https://www.conventionalcommits.org/en/v1.0.0/#specification
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum

import msgspec
from msgspec.structs import replace

from dsci.model.text import plain

_HEADER = re.compile(
    r"\A(?P<type>[A-Za-z][A-Za-z0-9_-]*)(?:\((?P<scope>[^()\r\n]*)\))?(?P<bang>!)?: +(?P<summary>\S.*)\Z"
)
#: `Token: value`, or `Token #value`, which makes no change breaking (item 12).
_FOOTER = re.compile(
    r"\A(?:(?P<token>BREAKING CHANGE|[A-Za-z0-9][A-Za-z0-9-]*): +|[A-Za-z0-9][A-Za-z0-9-]* #)(?P<value>\S.*)\Z"
)
_RELEASE_AS = re.compile(r"\A(?:(?P<image>[^@\s]+)@)?v?(?P<version>\S+)\Z")
_SKIP = re.compile(r"\[(?:skip release|release skip)\]", re.IGNORECASE)
#: What `git revert` writes; a revert of a revert is `Revert "Revert …"`, or `Reapply` since Git 2.43.
_QUOTED = re.compile(r'\A(?P<verb>Revert|Reapply) "(?P<inner>.*)"\Z')
_REVERTS = re.compile(r"\bThis reverts commit ([0-9a-f]{7,64})\b")
_SHA = re.compile(r"\b[0-9a-f]{7,64}\b")
#: What Git, GitHub, GitLab and Bitbucket call a merge; the forges put the title of the request below it.
_MERGE = re.compile(r"\AMerge (?:pull request|branch|branches|remote-tracking branch|tag|commit)\b|\AMerged in ")
#: What `git commit --fixup` and `--squash` write, and `git rebase --autosquash` takes away.
_FIXUP = re.compile(r"\A(?:fixup|squash|amend)! ")
#: A line of a squashed branch, as GitHub and Bitbucket write it: the subject of one of its commits.
_BULLET = re.compile(r"\A\* +(?P<subject>\S.*)\Z")
_TIGHT = re.compile(r"\A[A-Za-z][A-Za-z0-9_-]*(?:\([^()\r\n]*\))?!?:\S")
_BREAKING = re.compile(r"breaking[ -]change", re.IGNORECASE)
#: A ticket, a gitmoji or anything else that is put before a header: `ABC-1: `, `[ABC-1] `, `✨ `, `:sparkles: `.
_PREFIX = re.compile(r"\A(?:\[?#?[A-Za-z]*-?[0-9]+\]?:?|:[a-z0-9_+-]+:|[^\w\s\[]+)\s+")
_LINE_LIMIT = 2000


class Bump(IntEnum):
    """How far a version moves."""

    NONE = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3

    def __str__(self) -> str:
        return self.name.lower()


#: The last date that RFC 3339 can write, in seconds since the epoch: years have four digits.
LAST_DATE = 253_402_300_799

#: What each type of commit is worth; every other type is worth nothing by itself.
TYPES: Mapping[str, Bump] = {
    "feat": Bump.MINOR,
    "fix": Bump.PATCH,
    "perf": Bump.PATCH,
    "revert": Bump.PATCH,
}


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How messages are read."""

    types: Mapping[str, Bump] = msgspec.field(default_factory=lambda: TYPES)
    """What each type is worth, in lower case."""
    prefix: re.Pattern[str] | None = None
    """What is taken from the start of a subject before it is read."""
    squash: bool = True
    """Whether the lines of a squashed branch count like the commits that they were."""


DEFAULT_RULES = Rules()


class Commit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A commit as Git tells it, with the paths that it changed against its first parent.

    There are tens of thousands of them: a kind of value that is made fast and that no garbage collector visits.
    """

    sha: str
    parents: tuple[str, ...]
    when: int
    """Committer date, seconds since the epoch."""
    message: str
    paths: tuple[str, ...]
    author: str = ""
    """The name of who wrote it, as `.mailmap` has it."""

    @property
    def subject(self) -> str:
        """The first line of the message, harmless to show."""
        return plain(self.message.lstrip().partition("\n")[0]).strip()


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a message says was done."""

    type: str
    """Lower case."""
    scope: str
    summary: str
    breaking: bool
    bump: Bump


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit's message says."""

    statements: tuple[Statement, ...]
    """Of its subject, then of the commits that were squashed into it; empty where nothing is conventional."""
    summary: str
    """The subject without its prefix, type and scope."""
    skip: bool
    release_as: tuple[tuple[str | None, str], ...]
    """Versions asked for by `Release-As:` footers, each for one image or (None) for every image it touches."""
    reverts: tuple[str, ...]
    """The commits that it says it takes back, perhaps abbreviated."""
    merge: bool
    """Whether it is a merge without a title of its own: what it brought counts by the commits that it brought."""
    fixup: bool
    """Whether it was meant to be squashed into another commit."""
    warnings: tuple[str, ...]
    """What its author may have meant and did not say."""
    commit: Commit

    @property
    def type(self) -> str:
        """The type of its subject; empty where that is not conventional."""
        return self.statements[0].type if self.statements else ""

    @property
    def scope(self) -> str:
        """The scope of its subject, if it has one."""
        return self.statements[0].scope if self.statements else ""

    @property
    def conventional(self) -> bool:
        """Whether it is written so that its worth can be read; what Git wrote by itself need not be."""
        return bool(self.statements) or self.merge

    @property
    def breaking(self) -> bool:
        """Whether it breaks what was there before."""
        return any(statement.breaking for statement in self.statements)

    @property
    def bump(self) -> Bump:
        """What the message alone is worth."""
        return max((statement.bump for statement in self.statements), default=Bump.NONE)


def speaks(commit: Commit) -> bool:
    """Whether its message may speak of other commits, or of an image that it does not touch."""
    text = commit.message.lower()
    return "revert" in text or "reapply" in text or "release-as" in text


def reader(rules: Rules) -> Callable[[Commit], Change]:
    """`read` by these rules, for many readers of one history: each commit is read once."""
    known: dict[str, Change] = {}

    def change(commit: Commit) -> Change:
        if commit.sha not in known:
            known[commit.sha] = read(commit, rules)
        return known[commit.sha]

    return change


def read(commit: Commit, rules: Rules = DEFAULT_RULES) -> Change:
    """Read a commit's message; every message can be read."""
    lines = [line[:_LINE_LIMIT] for line in _lines(commit.message)]
    subject = _title(lines)
    if rules.prefix is not None:
        taken = rules.prefix.match(subject)
        subject = subject[taken.end() :].lstrip() if taken else subject
    footers = _footers(lines)
    breaking = any(token in ("BREAKING CHANGE", "BREAKING-CHANGE") for token, _ in footers)
    first, reverts = _first(subject, footers, rules, breaking, "\n".join(lines[1:]))
    squashed = [_statement(match, rules) for match in _bullets(lines)] if rules.squash and len(lines) > 1 else []
    if first is None and squashed:
        # The subject of a squashed branch need not be conventional, what was squashed is.
        first, squashed = squashed[0], squashed[1:]
        first = replace(first, breaking=True, bump=Bump.MAJOR) if breaking else first
    asked = [match for token, value in footers if token.lower() == "release-as" and (match := _RELEASE_AS.match(value))]
    statements = (*([first] if first else []), *squashed)
    return Change(
        statements=statements,
        summary=first.summary if first else subject,
        skip=_SKIP.search(commit.message) is not None,
        release_as=tuple((match["image"], match["version"]) for match in asked),
        reverts=reverts,
        merge=len(commit.parents) > 1 and not statements,
        fixup=_FIXUP.match(subject) is not None,
        warnings=tuple(_warnings(subject, lines[1:], statements, rules)),
        commit=commit,
    )


def _lines(message: str) -> list[str]:
    return plain(message.replace("\r\n", "\n").replace("\r", "\n")).strip().split("\n")


def _title(lines: list[str]) -> str:
    """The subject; of a merge that a forge made, the title of the request, which stands below it."""
    subject = lines[0].strip()
    if _MERGE.match(subject):
        below = next((line.strip() for line in lines[1:] if line.strip()), "")
        return below if _HEADER.match(below) else subject
    return subject


def _first(
    subject: str, footers: list[tuple[str, str]], rules: Rules, breaking: bool, body: str
) -> tuple[Statement | None, tuple[str, ...]]:
    """What the subject says, and which commits it takes back."""
    quoted = _QUOTED.match(subject)
    if quoted is not None:
        inner, back = subject, False
        while match := _QUOTED.match(inner):
            inner, back = match["inner"], back != (match["verb"] == "Revert")
        header = _HEADER.match(inner)
        if header is None or back:
            worth = Bump.MAJOR if breaking else rules.types.get("revert", Bump.NONE)
            said = Statement(type="revert", scope="", summary=inner, breaking=breaking, bump=worth)
            return said, tuple(_REVERTS.findall(body))
        return _statement(header, rules, breaking), tuple(_REVERTS.findall(body))
    header = _HEADER.match(subject)
    if header is None:
        return None, ()
    reverts: list[str] = []
    if header["type"].lower() == "revert":
        reverts = _REVERTS.findall(body)
        reverts += [sha for token, value in footers if token.lower() in ("ref", "refs") for sha in _SHA.findall(value)]
    return _statement(header, rules, breaking), tuple(dict.fromkeys(reverts))


def _statement(header: re.Match[str], rules: Rules, breaking: bool = False) -> Statement:
    kind = header["type"].lower()
    breaking = breaking or bool(header["bang"])
    return Statement(
        type=kind,
        scope=(header["scope"] or "").strip(),
        summary=header["summary"].strip(),
        breaking=breaking,
        bump=Bump.MAJOR if breaking else rules.types.get(kind, Bump.NONE),
    )


def _bullets(lines: list[str]) -> Iterator[re.Match[str]]:
    """The conventional subjects of the commits that were squashed into this one."""
    for line in lines[1:]:
        bullet = _BULLET.match(line)
        header = _HEADER.match(bullet["subject"]) if bullet else None
        if header is not None:
            yield header


def _warnings(subject: str, body: list[str], statements: tuple[Statement, ...], rules: Rules) -> Iterator[str]:
    """What looks like one thing and says another, with the way to say it."""
    header = _HEADER.match(subject)
    if header is None and _TIGHT.match(subject) and subject.partition(":")[0].lower().rstrip("!") in rules.types:
        yield "a space is missing behind the colon of its type (Conventional Commits, item 1)"
    hidden = _HEADER.match(_PREFIX.sub("", subject, count=1)) if _PREFIX.match(subject) else None
    if hidden is not None and hidden["type"].lower() in rules.types:
        yield "its type stands behind a prefix: versioning.subject_prefix takes such a prefix off"
    if any(statement.breaking for statement in statements):
        return
    for line in body:
        if _BREAKING.search(line):
            yield (
                "it speaks of a breaking change where none is counted: give its subject a type, and write the footer"
                " `BREAKING CHANGE: what breaks` in capitals and with a colon, below an empty line"
            )
            return


def _footers(lines: list[str]) -> list[tuple[str, str]]:
    """The tokens and values of every paragraph whose first line is a footer; a footer's value may go on below it."""
    found: list[tuple[str, str]] = []
    for block in "\n".join(lines[1:]).split("\n\n"):
        rows = [_FOOTER.match(row.strip()) for row in block.strip().split("\n")]
        if rows[0]:
            found += [(match["token"] or "", match["value"].strip()) for match in rows if match]
    return found
