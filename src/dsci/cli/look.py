"""Commands that only look: `plan`, `tags`, `version`, `why`, `schema`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import click
import msgspec

from dsci.cli import render
from dsci.cli.console import harmless
from dsci.cli.options import as_json, check_names, event, from_here, images, registry
from dsci.cli.wiring import Session
from dsci.errors import DsciError
from dsci.model import config, planning
from dsci.model.commits import Bump, Commit
from dsci.model.event import Trigger
from dsci.model.facts import Facts
from dsci.model.family import Image, group_members
from dsci.model.pins import Moved
from dsci.model.plan import Plan, PlannedTarget
from dsci.model.releases import release_tags
from dsci.model.text import clean
from dsci.model.version import stable
from dsci.model.weigh import weigh
from dsci.pipeline import observe as observing
from dsci.pipeline.compare import ChangedFile, Comparison, affected, compare
from dsci.pipeline.snapshot import Snapshot

_HAS_WORK = 10

offline = click.option("--offline", is_flag=True, help="Ask neither registries nor the engine nor the Git remote.")


class _TagRow(msgspec.Struct, kw_only=True):
    """An image in the answer of `dsci tags`."""

    image: str
    repository: str
    version: str | None
    tags: list[str]
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


class _FileRow(msgspec.Struct, kw_only=True):
    """A file in the answer of `dsci why`."""

    path: str
    how: str
    commit: str | None
    subject: str


class _AgainstRow(msgspec.Struct, kw_only=True):
    """What differs from a Git tag, in the answer of `dsci why`."""

    tag: str
    commit: str
    same: bool
    files: list[_FileRow]
    suites: list[_FileRow]
    settings: bool
    above: dict[str, list[_FileRow]]
    bases: list[dict[str, str | None]]


class _WhyRow(msgspec.Struct, kw_only=True):
    """A target in the answer of `dsci why`."""

    id: str
    action: str
    reason: str
    key: str | None
    source_key: str
    stands_on: list[PlannedTarget]
    bases: dict[str, str]
    suites: tuple[str, ...]
    release: str | None
    release_reason: str
    against: _AgainstRow | None


def _observe(session: Session, names: tuple[str, ...] = (), *, versions: bool = False) -> tuple[Snapshot, Facts, Plan]:
    """What there is and what would be done. For `versions` a request counts as the branch that it goes to."""
    request = session.request(select=frozenset(names))
    if versions and request.event.trigger is Trigger.PULL_REQUEST:
        request = replace(request, event=replace(request.event, trigger=Trigger.BRANCH))
    now, facts = observing.observe(session.world, request)
    check_names(names, now.family)
    return now, facts, planning.make(now.family, facts, request)


def _groups(now: Snapshot, names: tuple[str, ...]) -> dict[str, tuple[Image, ...]]:
    """The release groups that these images (all, when none is named) belong to, and their members."""
    groups = group_members(now.family.images.values())
    return {
        group: members
        for group, members in groups.items()
        if not names or any(member.name in names for member in members)
    }


def _warn(session: Session, facts: Facts) -> None:
    """Tell what could not be asked about versions; what could not be asked of registries is not in these answers."""
    for text in facts.doubts:
        session.console.warn(text)


def _print(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


@click.command()
@images
@registry
@as_json
@offline
@event
@click.option("--since", metavar="REF", default="", help="Only images that changed since HEAD left this branch or tag.")
@click.option("--exit-code", is_flag=True, help=f"Exit {_HAS_WORK} when there is work to do.")
@click.pass_context
def plan(
    context: click.Context,
    /,
    names: tuple[str, ...],
    registries: tuple[str, ...],
    json: bool,
    offline: bool,
    since: str,
    exit_code: bool,
    **about: Any,
) -> None:
    """Show what `release` would do, and why; nothing is changed.

    Registries that do not answer, and bases that cannot be resolved, are "unknown" here and never an error.
    """
    with Session.of(context, registries=registries, offline=offline, alone=offline, lenient=True, **about) as session:
        now, _, value = _observe(session, names)
        if since:
            fork = session.git.fork(since)
            value = value.only_affected(fork, affected(session.source, now, fork))
        for text in value.warnings:
            session.console.warn(text)
        if touched := observing.uncommitted(session.git, now):
            session.console.warn(f"uncommitted changes in {', '.join(touched)} are not part of this plan")
        click.echo(value.to_json().decode() if json else render.plan(value))
        if exit_code and value.has_work:
            sys.exit(_HAS_WORK)


@click.command(short_help="Show the tags that images have, and those to come.")
@images
@registry
@as_json
@from_here
@event
@click.pass_context
def tags(
    context: click.Context, /, names: tuple[str, ...], registries: tuple[str, ...], json: bool, **about: Any
) -> None:
    """Show the tags that each image's newest release has, and those the next one will get."""
    with Session.of(context, registries=registries, offline=True, lenient=True, **about) as session:
        now, facts, value = _observe(session, names, versions=True)
        _warn(session, facts)
        coming = {item.image: item for item in value.releases}
        rows = []
        for group, members in _groups(now, names).items():
            claim = next((claim for claim in facts.claims[group] if claim.tag.merged), None)
            following = coming.get(group)
            for member in members:
                present = release_tags(member, claim, facts.claims[group]) if claim else ()
                rows.append(
                    _TagRow(
                        image=member.name,
                        repository=str(member.repository),
                        version=str(claim.version) if claim else None,
                        tags=[tag.name for tag in present],
                        next_version=following.version if following else None,
                        next_tags=list(following.tags) if following else [],
                        run_tags=[tag for ref in value.refs if ref.image == member.name for tag in ref.tags],
                    )
                )
        if json:
            _print(rows)
            return
        lines: list[tuple[str, str, str]] = []
        for row in rows:
            lines.append((row.image, row.version or "–", " ".join(row.tags) or "no release yet"))
            if row.next_version:
                lines.append(("", f"→ {row.next_version}", " ".join(row.next_tags)))
            if row.run_tags:
                lines.append(("", "this run", " ".join(row.run_tags)))
        click.echo(render.table(lines, indent=""))


@click.command(short_help="Show the versions of images, and those to come.")
@images
@as_json
@from_here
@event
@click.option("--next", "show", flag_value="next", help="Print only the version that comes next.")
@click.option("--current", "show", flag_value="current", help="Print only the version that is released.")
@click.option("--explain", is_flag=True, help="Show where each version started, and what every commit is worth.")
@click.option("--strict", is_flag=True, help="Fail if a commit since the last release is not conventional.")
@click.pass_context
def version(
    context: click.Context,
    /,
    names: tuple[str, ...],
    json: bool,
    show: str | None,
    explain: bool,
    strict: bool,
    **about: Any,
) -> None:
    """Show each image's released version, and the one its history asks for next."""
    with Session.of(context, offline=True, lenient=True, **about) as session:
        now, facts, value = _observe(session, names, versions=True)
        _warn(session, facts)
        coming = {item.image: item for item in value.releases}
        rows = []
        for group in _groups(now, names):
            claim = next((claim for claim in facts.claims[group] if claim.tag.merged), None)
            following = coming.get(group)
            mine = {change.commit.sha for change in facts.touched[group]}
            current = str(claim.version) if claim else None
            base = stable(facts.claims[group]) or claim
            rows.append(
                _VersionRow(
                    image=group,
                    current=current,
                    next=following.version if following else current,
                    bump=following.bump if following else "none",
                    reason=following.reason if following else value.unreleased.get(group, "superseded"),
                    since=base.tag.name if base else None,
                    commits=[
                        _commit(item.change.commit, item.bump, item.why)
                        for item in weigh(facts.since[group], facts.touched[group], facts.commits[group])
                    ],
                    dependencies=[_move(move) for move in facts.moved.get(group, ())],
                    others=[
                        _commit(commit, Bump.NONE, "touches none of its inputs")
                        for commit in (facts.commits[group].values() if json or explain else ())
                        if commit.sha not in mine
                    ],
                )
            )
        if json:
            _print(rows)
        elif show:
            for row in rows:
                number = row.next if show == "next" else row.current
                click.echo(number or "" if len(rows) == 1 else f"{row.image} {number or '–'}")
        else:
            lines: list[tuple[str, str, str]] = []
            for row in rows:
                step = f"{row.current or '–'} → {row.next}" if row.next != row.current else str(row.next)
                if not explain:
                    lines.append((row.image, step, row.reason))
                else:
                    click.echo(render.table([(row.image, step, row.reason)], indent=""))
                    click.echo(f"  from {row.since or 'the beginning of history'}")
                    counted = [(item.sha[:7], item.bump, clean(item.subject, 72), item.why) for item in row.commits]
                    moves = [("", item.bump, item.name, item.why) for item in row.dependencies]
                    others = [(item.sha[:7], "–", clean(item.subject, 72), item.why) for item in row.others]
                    if counted or moves or others:
                        click.echo(render.table([*counted, *moves, *others]))
            if lines:
                click.echo(render.table(lines, indent=""))
        if strict:
            _refuse_unconventional(facts, _groups(now, names))


def _move(move: Moved) -> _MoveRow:
    return _MoveRow(
        name=move.name, ecosystem=move.ecosystem, old=move.old, new=move.new, bump=str(move.bump), why=move.why
    )


def _commit(commit: Commit, bump: Bump, why: str) -> _CommitRow:
    return _CommitRow(sha=commit.sha, subject=commit.subject, bump=str(bump), why=why)


def _refuse_unconventional(facts: Facts, groups: Iterable[str]) -> None:
    """Raises DsciError that lists, once each, the commits whose worth cannot be read."""
    found = {
        change.commit.sha: change for group in groups for change in facts.touched[group] if not change.conventional
    }
    if found:
        listed = "\n".join(f"  {sha[:7]} {harmless(clean(change.commit.subject, 90))}" for sha, change in found.items())
        raise DsciError(
            f"{len(found)} commit{'s are' if len(found) > 1 else ' is'} not conventional:\n{listed}",
            hint="write TYPE: SUMMARY, such as `fix: close the file` (conventionalcommits.org);"
            " versioning.subject_prefix takes ticket numbers off",
        )


@click.command()
@click.argument("image")
@registry
@as_json
@offline
@event
@click.option(
    "--against", metavar="TAG", default="", help="The Git tag to compare with; the last release's by default."
)
@click.pass_context
def why(
    context: click.Context,
    /,
    image: str,
    registries: tuple[str, ...],
    json: bool,
    offline: bool,
    against: str,
    **about: Any,
) -> None:
    """Explain what would be done to an IMAGE, what it is made of, and what changed since its last release."""
    with Session.of(context, registries=registries, offline=offline, alone=offline, lenient=True, **about) as session:
        now, facts, value = _observe(session, (image,))
        _warn(session, facts)
        group = now.family.images[image].group
        release = next((item for item in value.releases if item.image == group), None)
        above = {str(need) for need in now.family.ancestors(now.family.images[image].targets)}
        released = any(claim.tag.merged for claim in facts.claims[group])
        found = compare(session.source, now, facts, image, against) if against or released else None
        rows = [
            _WhyRow(
                id=item.id,
                action=item.action,
                reason=item.reason,
                key=item.key,
                source_key=item.source_key,
                stands_on=[other for other in value.targets if other.id in above],
                bases=item.bases,
                suites=item.suites,
                release=release.version if release else None,
                release_reason=release.reason if release else value.unreleased.get(group, ""),
                against=_against(found) if found else None,
            )
            for item in value.targets
            if item.image == image
        ]
        if json:
            _print(rows)
            return
        for row in rows:
            click.echo(f"{row.id}: {row.action}, because {row.reason}")
            details = [("key", row.key or "not known"), ("source key", row.source_key)]
            details += [("stands on", f"{need.id}: {need.action}, {need.reason}") for need in row.stands_on]
            details += [("base", f"{name} at {digest}") for name, digest in row.bases.items()]
            details.append(("suites", ", ".join(row.suites) or "none"))
            details.append(("release", f"{row.release or 'no new version'}: {row.release_reason}"))
            click.echo(render.table(details))
        if found:
            click.echo(render.comparison(found))


def _against(found: Comparison) -> _AgainstRow:
    def rows(files: Iterable[ChangedFile]) -> list[_FileRow]:
        return [
            _FileRow(
                path=file.path,
                how=file.how,
                commit=file.commit.sha if file.commit else None,
                subject=file.commit.subject if file.commit else "",
            )
            for file in files
        ]

    return _AgainstRow(
        tag=found.tag,
        commit=found.commit,
        same=found.same,
        files=rows(found.own.files),
        suites=rows(found.own.suites),
        settings=found.own.settings,
        above={each.image: rows(each.files) for each in found.above},
        bases=[
            {
                "name": name,
                "platform": str(platform),
                "old": str(old) if old else None,
                "new": str(new) if new else None,
            }
            for name, platform, old, new in found.bases
        ],
    )


@click.command()
def schema() -> None:
    """Print the JSON Schema of dsci.yaml."""
    _print(config.schema())
