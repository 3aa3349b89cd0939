"""Commands that do work: `release`, `build`, `test`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from dsci.cli import render
from dsci.cli import share as sharing
from dsci.cli.console import complain
from dsci.cli.options import as_json, check_names, event, images, registry
from dsci.cli.wiring import Session
from dsci.errors import ConfigError, DsciError
from dsci.model import lock as locking
from dsci.model import planning
from dsci.model.oci import ANY
from dsci.model.reference import EMBEDDED
from dsci.model.report import Outcome, Report, Status, Verdict, to_junit, to_markdown
from dsci.pipeline import observe as observing
from dsci.pipeline import release as releasing
from dsci.pipeline import work as working
from dsci.pipeline.snapshot import Snapshot, snapshot


@click.command()
@registry
@as_json
@event
@click.option("--keep", is_flag=True, help="Leave the images that were built in the engine.")
@click.option("--report", "folder", metavar="DIR", help="Write report.json, report.md and junit.xml there.")
@click.pass_context
def release(
    context: click.Context, /, registries: tuple[str, ...], json: bool, keep: bool, folder: str | None, **about: Any
) -> None:
    """Build, test, claim and publish whatever HEAD changes.

    Versions are claimed by pushing annotated Git tags; every run first finishes what an earlier one claimed. Running
    it again is always safe, and does nothing when there is nothing to do.
    """
    with Session.of(context, registries=registries, **about) as session:
        errors: list[DsciError] = []
        report = releasing.release(
            session.world,
            session.hands,
            session.request(),
            keep=keep,
            announce=session.announce,
            trouble=errors.append,
        )
        _finish(session, report, errors, json=json, folder=folder)


@click.command(short_help="Build images for this machine, as the work tree has them.")
@images
@registry
@as_json
@sharing.options
@click.option("--keep/--no-keep", default=None, help="Leave the images in the engine (the default without --plan).")
@click.option("--force", is_flag=True, help="Build even what is there already.")
@click.option("--report", "folder", metavar="DIR", help="Write report.json, report.md and junit.xml there.")
@click.pass_context
def build(context: click.Context, /, names: tuple[str, ...], **options: Any) -> None:
    """Build images and what they stand on, as the work tree has them; nothing is released.

    Images with uncommitted changes are built for this machine alone: they never leave the engine.

    With --plan and --only, targets of a plan that was made elsewhere are built as HEAD has them, on the bases that it
    names and on what other machines pushed, and are pushed under their keys: `dsci release` finds them there.
    """
    _begin(context, names, tests=False, rerun=False, **options)


@click.command(short_help="Run the suites of images, building what is not built yet.")
@images
@registry
@as_json
@sharing.options
@click.option("--keep/--no-keep", default=False, help="Leave the images in the engine.")
@click.option("--rerun", is_flag=True, help="Run suites that passed already on this very image.")
@click.option("--report", "folder", metavar="DIR", help="Write report.json, report.md and junit.xml there.")
@click.pass_context
def test(context: click.Context, /, names: tuple[str, ...], **options: Any) -> None:
    """Run the suites of images, their ancestors' included; what is not built yet is built first."""
    _begin(context, names, tests=True, force=False, **options)


def _begin(
    context: click.Context,
    names: tuple[str, ...],
    *,
    only: tuple[str, ...],
    plan_file: Path | None,
    keep: bool | None,
    **options: Any,
) -> None:
    """Work on what this machine has, or on a share of a plan."""
    if not sharing.asked(names, only, plan_file, force=options["force"]):
        _local(context, names, keep=keep is not False, **options)
        return
    assert plan_file is not None
    with Session.of(context, registries=options["registries"]) as session:
        report, errors = sharing.work(
            session, only, plan_file, keep=bool(keep), tests=options["tests"], rerun=options["rerun"]
        )
        _finish(session, report, errors, json=options["json"], folder=options["folder"])


def _local(
    context: click.Context,
    names: tuple[str, ...],
    *,
    registries: tuple[str, ...],
    json: bool,
    keep: bool,
    force: bool,
    tests: bool,
    rerun: bool,
    folder: str | None,
) -> None:
    began = time.monotonic()
    with Session.of(context, registries=registries, lenient=True) as session:
        overlay = session.git.dirty()
        now, facts = observing.observe(session.world, overlay=overlay, history=False)
        check_names(names, now.family)
        request = session.request(release=False, select=frozenset(names), force=force, rerun=rerun)
        plan = planning.make(now.family, facts, request)
        for text in plan.warnings:
            session.console.warn(text)
        if plan.has_work:
            session.announce(plan)
        chosen = frozenset(names or now.family.images)
        bring = chosen if keep else frozenset()
        private = working.private_targets(session.hands, now, facts, plan)
        work = working.work_on(
            session.world,
            session.hands,
            now,
            facts,
            plan,
            keep=keep,
            tests=tests,
            bring=bring,
            private=private,
        )
        shop = working.workshop(session.world, session.hands, now, facts)
        local = [f"{target} is in the engine as {shop.kept_name(target)}" for target in work.images] if keep else []
        report = Report(
            plan=plan,
            outcomes=tuple(work.outcomes),
            suites=tuple(work.suites),
            seconds=round(time.monotonic() - began, 3),
            notes=(
                *(text for text in local if text.partition("@")[0] in chosen),
                *(_untested(now, chosen) if tests else ()),
            ),
        )
        _finish(session, report, work.errors, json=json, folder=folder)


def _untested(now: Snapshot, names: Iterable[str]) -> tuple[str, ...]:
    """A note about images that no suite speaks of: nothing tested is not the same as passed."""
    bare = [name for name in sorted(names) if not any(map(now.family.suites, now.family.images[name].targets))]
    return (f"no suite tests {', '.join(bare)}: put one into suites/ beside the Dockerfile",) if bare else ()


def _finish(session: Session, report: Report, errors: Sequence[DsciError], *, json: bool, folder: str | None) -> None:
    """Write the report, print the result, and exit as the errors say, or 1 if anything else failed.

    A report that nobody asked for and that cannot be written is no reason to fail: what was done is done.
    """
    unwritten: DsciError | None = None
    if report.plan.has_work or folder:
        place = _place(session, report, folder)
        try:
            _write(place, report)
            session.console.say(f"report: {place / 'report.md'}")
        except DsciError as error:
            unwritten = error
            if not folder:
                session.console.warn(error.message)
    click.echo(report.to_json().decode() if json else render.report(report))
    if report.failed:
        first = errors[0] if errors else DsciError(_failures(report), hint=_REPAIR)
        complain(first.message, first.hint or first.next_step)
        sys.exit(first.exit_code)
    if unwritten is not None and folder:
        raise unwritten


_SHOWN = 5
_REPAIR = "mend it and run the same command again: what has passed is not done again"


def _first_words(report: Report, item: Outcome) -> str:
    """What a failure says first: of a test, its first check that failed and why."""
    for suite in report.suites:
        for check in suite.checks:
            if item.stage == "test" and suite.target == item.subject and check.verdict is Verdict.FAILED:
                why = check.detail.strip().partition("\n")[0]
                return f"{suite.suite}: {why}" if check.name == suite.suite else f"{suite.suite}: {check.name}: {why}"
    return item.detail.strip().partition("\n")[0]


def _failures(report: Report) -> str:
    """What failed, a line each; the rest of their story stands above."""
    failed = [item for item in report.outcomes if item.status is Status.FAILED]
    lines = [f"{item.subject}: {item.stage} failed: {_first_words(report, item)}" for item in failed]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    held = ["nothing is released"] if report.plan.releases and not report.released else []
    return "\n".join([*lines[:_SHOWN], *more, *held])


def _place(session: Session, report: Report, folder: str | None) -> Path:
    if folder:
        return Path(folder)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    root = session.git.root_commit()[:12]
    return session.state / "reports" / root / f"{stamp}-{report.plan.commit[:7]}"


def _write(place: Path, report: Report) -> None:
    files = {
        "report.json": report.to_json() + b"\n",
        "report.md": to_markdown(report).encode(),
        "junit.xml": to_junit(report.suites),
    }
    try:
        place.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (place / name).write_bytes(content)
    except OSError as error:
        raise DsciError(
            f"the report could not be written to {place}: {error.strerror}", hint="name another folder with --report"
        ) from None


@click.command(short_help="Pin base images in dsci.lock, and show what moved.")
@registry
@click.option("--update", is_flag=True, help="Move bases that are locked already to what they are now.")
@click.pass_context
def lock(context: click.Context, registries: tuple[str, ...], update: bool) -> None:
    """Pin every external base image in dsci.lock, and show what moved.

    Without the file a base stays what the last release was built on; with it, what the file says. Commit it.
    """
    with Session.of(context, registries=registries) as session:
        now = snapshot(session.source, session.git.head().commit, overlay=session.git.dirty())
        wanted = {
            (str(reference), platform): reference
            for node in now.family.nodes.values()
            for reference, platform in node.external
        }
        bases = {key: now.locked[key] for key in wanted if key in now.locked and not update}
        # An index and the platforms in it are moved together or not at all.
        loose = {name for name, platform in wanted.keys() - bases.keys() if (name, ANY) in wanted}
        bases = {key: digest for key, digest in bases.items() if key[0] not in loose}
        for name, platform in sorted(wanted.keys() - bases.keys(), key=lambda key: (key[0], key[1] != ANY, key[1])):
            reference, index = wanted[name, platform], bases.get((name, ANY))
            found = session.resolve(reference.repository.at(index) if index else reference, platform)
            if found is None:
                raise ConfigError(f"{name} does not exist for {platform}", hint="check the FROM line, or log in")
            bases[name, platform] = found
        path = Path(session.git.head().root) / locking.FILE_NAME
        _replace(path, locking.render(bases).encode())
        for name, platform in sorted(bases.keys() | now.locked.keys()):
            old, new = now.locked.get((name, platform)), bases.get((name, platform))
            if old != new:
                click.echo(f"{name} {platform}  {old.short if old else '–'} → {new.short if new else '–'}")
        click.echo(f"{path.name}: {len(bases)} base{'' if len(bases) == 1 else 's'}")


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DsciError(f"{path} could not be written: {error.strerror}", hint="see the disk and its rights") from None


@click.command(short_help="Write a released image to a file, for `docker load`.")
@click.argument("image")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_context
def export(context: click.Context, image: str, file: Path) -> None:
    """Write a released IMAGE[:TAG] of the embedded registry to FILE, for `docker load`."""
    name, _, tag = image.partition(":")
    with Session.of(context) as session:
        now = snapshot(session.source, session.git.head().commit)
        check_names((name,), now.family)
        reference = now.family.images[name].repository.tag(tag or "latest")
        if reference.repository.registry != EMBEDDED:
            raise ConfigError(f"{reference} is in a registry", hint=f"docker pull {reference}")
        session.registry.embedded.export(reference, file)
        click.echo(f"{reference} → {file}")
