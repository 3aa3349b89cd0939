"""`dsci plan` and `dsci why`: what would be done, and the reasons."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import click
import msgspec

from dsci.cli import render
from dsci.cli.asking import inert, observe, offline, print_json, tell_doubts
from dsci.cli.options import as_json, event, images, registry
from dsci.cli.wiring import Session
from dsci.model.plan import PlannedTarget
from dsci.model.version import newest
from dsci.pipeline import observe as observing
from dsci.pipeline.compare import ChangedFile, Comparison, affected, compare

_HAS_WORK = 10


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
        now, _, value = observe(session, names)
        if since:
            fork = session.git.fork(since)
            value = value.only_affected(fork, affected(session.source, now, fork))
        for text in value.warnings:
            session.console.warn(text)
        if touched := observing.uncommitted(session.git, now):
            session.console.warn(f"uncommitted changes in {', '.join(touched)} are not part of this plan")
        click.echo(inert(value.to_json()) if json else render.plan(value))
        if exit_code and value.has_work:
            sys.exit(_HAS_WORK)


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
        now, facts, value = observe(session, (image,))
        tell_doubts(session, facts)
        image = image if image in now.family.images else min(now.family.named(image))
        group = now.family.images[image].group
        release = next((item for item in value.releases if item.image == group), None)
        above = {str(need) for need in now.family.ancestors(now.family.images[image].targets)}
        found = compare(session.source, now, facts, image, against) if against or newest(facts.claims[group]) else None
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
            print_json(rows)
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
