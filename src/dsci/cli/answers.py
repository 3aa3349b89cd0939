"""What `dsci version` and `dsci tags` answer: one observation, as rows, as text or as JSON.

It is imported when Git is asked already; what the commands take is `version`'s to say.
"""

from __future__ import annotations

from collections.abc import Iterable

import click
import msgspec

from dsci.cli import render
from dsci.cli.asking import groups_of, observe, print_json, tell_doubts
from dsci.cli.console import harmless
from dsci.cli.wiring import Session
from dsci.errors import DsciError
from dsci.model.commits import Bump, Commit
from dsci.model.facts import Facts
from dsci.model.members import own_tags
from dsci.model.pins import Moved
from dsci.model.plan import Plan
from dsci.model.releases import floats, release_tags
from dsci.model.text import clean
from dsci.model.version import newest, stable
from dsci.model.weigh import weigh
from dsci.pipeline.snapshot import Snapshot


class _TagRow(msgspec.Struct, kw_only=True):
    """An image in the answer of `dsci tags`."""

    image: str
    repository: str
    version: str | None
    tags: list[str]
    held: str
    """Why the release is passed over; empty where it is not."""
    floats: dict[str, str]
    """Each tag that moves, and the version that has it."""
    next_version: str | None
    next_tags: list[str]
    run_tags: list[str]
    """Those that follow this run (its branch, its request, its schedule), whether or not a version is released."""


class _CommitRow(msgspec.Struct, kw_only=True):
    """A commit in the answer of `dsci version`."""

    sha: str
    subject: str
    bump: str
    why: str


class _MoveRow(msgspec.Struct, kw_only=True):
    """A direct dependency in the answer of `dsci version`."""

    name: str
    ecosystem: str
    old: str | None
    new: str | None
    bump: str
    why: str


class _VersionRow(msgspec.Struct, kw_only=True):
    """An image in the answer of `dsci version`."""

    image: str
    current: str | None
    next: str | None
    bump: str
    reason: str
    since: str | None
    commits: list[_CommitRow]
    """Those that touch its inputs, newest first, and what each is worth."""
    dependencies: list[_MoveRow]
    """Its direct dependencies that moved, the most important first."""
    others: list[_CommitRow]
    """Those that do not: they are worth nothing here."""


def tags(session: Session, names: tuple[str, ...], *, json: bool) -> None:
    """Show the tags that each image's newest release has, and those the next one will get."""
    now, facts, value = observe(session, names, versions=True)
    tell_doubts(session, facts)
    coming = {item.image: item for item in value.releases}
    rows = []
    for group, members in groups_of(now, names).items():
        claim = newest(facts.claims[group])
        following = coming.get(group)
        for member in members:
            present = release_tags(member, claim, facts.claims[group]) if claim else ()
            rows.append(
                _TagRow(
                    image=member.name,
                    repository=str(member.repository),
                    version=str(claim.version) if claim else None,
                    tags=[tag.name for tag in present],
                    held=claim.held if claim else "",
                    floats={tag: str(each.version) for tag, each in floats(member, facts.claims[group]).items()},
                    next_version=following.version if following else None,
                    next_tags=list(own_tags(following.tags, member, members)) if following else [],
                    run_tags=[tag for ref in value.refs if ref.image == member.name for tag in ref.tags],
                )
            )
    if json:
        print_json(rows)
        return
    lines: list[tuple[str, str, str]] = []
    for row in rows:
        lines.append((row.image, row.version or "–", " ".join(row.tags) or "no release yet"))
        if row.held:
            lines.append(("", "", row.held))
            lines += [("", version, " ".join(tags)) for version, tags in _instead(row).items()]
        if row.next_version:
            lines.append(("", f"→ {row.next_version}", " ".join(row.next_tags)))
        if row.run_tags:
            lines.append(("", "this run", " ".join(row.run_tags)))
    click.echo(render.table(lines, indent=""))


def _instead(row: _TagRow) -> dict[str, list[str]]:
    """The versions that have the tags which move while the newest release is passed over."""
    found: dict[str, list[str]] = {}
    for tag, version in row.floats.items():
        found.setdefault(version, []).append(tag)
    return found


def versions(
    session: Session, names: tuple[str, ...], *, json: bool, show: str | None, explain: bool, strict: bool
) -> None:
    """Show each image's released version, and the one its history asks for next.

    Raises DsciError where `strict` and a commit is not conventional.
    """
    now, facts, value = observe(session, names, versions=True)
    tell_doubts(session, facts)
    coming = {item.image: item for item in value.releases}
    rows = []
    for group in groups_of(now, names):
        claim = newest(facts.claims[group])
        following = coming.get(group)
        touched, read = facts.touched.get(group, ()), facts.commits.get(group, {})
        mine = {change.commit.sha for change in touched}
        current = str(claim.version) if claim else None
        base = stable(facts.claims[group]) or claim
        rows.append(
            _VersionRow(
                image=group,
                current=current,
                next=following.version if following else current,
                bump=following.bump if following else "none",
                reason=following.reason if following else _why_not(now, value, group),
                since=base.tag.name if base else None,
                commits=[
                    _commit(item.change.commit, item.bump, item.why)
                    for item in weigh(facts.since.get(group, ()), touched, read)
                ],
                dependencies=[_move(move) for move in facts.moved.get(group, ())],
                others=[
                    _commit(commit, Bump.NONE, "touches none of its inputs")
                    for commit in (read.values() if json or explain else ())
                    if commit.sha not in mine
                ],
            )
        )
    if json:
        print_json(rows)
    elif show:
        for row in rows:
            number = row.next if show == "next" else row.current
            click.echo(number or "" if len(rows) == 1 else f"{row.image} {number or '–'}")
    else:
        lines: list[tuple[str, str, str]] = []
        for row in rows:
            step = f"{row.current or '–'} → {row.next}" if row.next != row.current else row.next or "–"
            if not explain:
                lines.append((row.image, step, row.reason))
            else:
                click.echo(render.table([(row.image, step, row.reason)], indent=""))
                if row.image in now.family.released_groups:
                    click.echo(f"  from {row.since or 'the beginning of history'}")
                counted = [(item.sha[:7], item.bump, clean(item.subject, 72), item.why) for item in row.commits]
                moves = [("", item.bump, item.name, item.why) for item in row.dependencies]
                others = [(item.sha[:7], "–", clean(item.subject, 72), item.why) for item in row.others]
                if counted or moves or others:
                    click.echo(render.table([*counted, *moves, *others]))
        if lines:
            click.echo(render.table(lines, indent=""))
    if strict:
        _refuse_unconventional(facts, groups_of(now, names))


def _why_not(now: Snapshot, value: Plan, group: str) -> str:
    """Why nothing of a group is to be released."""
    if group not in now.family.released_groups:
        return "never released (release: false)"
    return value.unreleased.get(group, "superseded")


def _move(move: Moved) -> _MoveRow:
    return _MoveRow(
        name=move.name, ecosystem=move.ecosystem, old=move.old, new=move.new, bump=str(move.bump), why=move.why
    )


def _commit(commit: Commit, bump: Bump, why: str) -> _CommitRow:
    return _CommitRow(sha=commit.sha, subject=commit.subject, bump=str(bump), why=why)


def _refuse_unconventional(facts: Facts, groups: Iterable[str]) -> None:
    """Raises DsciError that lists, once each, the commits whose worth cannot be read."""
    found = {
        change.commit.sha: change
        for group in groups
        for change in facts.touched.get(group, ())
        if not change.conventional
    }
    if found:
        listed = "\n".join(f"  {sha[:7]} {harmless(clean(change.commit.subject, 90))}" for sha, change in found.items())
        raise DsciError(
            f"{len(found)} commit{'s are' if len(found) > 1 else ' is'} not conventional:\n{listed}",
            hint="write TYPE: SUMMARY, such as `fix: close the file` (conventionalcommits.org);"
            " versioning.subject_prefix takes ticket numbers off",
        )
