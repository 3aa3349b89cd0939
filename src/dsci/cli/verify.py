"""`dsci verify`: a released image is built again and compared, or the tags of all with what is claimed."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from dsci.cli import render
from dsci.cli.asking import print_json
from dsci.cli.console import complain, harmless
from dsci.cli.options import as_json, builder, builders_of, named_tag, registry
from dsci.cli.wiring import Session
from dsci.model.difference import LayerDifference
from dsci.model.members import check_names
from dsci.model.oci import Platform
from dsci.model.verification import Verification, Verified
from dsci.pipeline import audit as auditing
from dsci.pipeline import places
from dsci.pipeline import verify as verifying
from dsci.pipeline.audit import Finding
from dsci.pipeline.claim import refreshed
from dsci.pipeline.snapshot import snapshot

_SHOWN = 10


@click.command(short_help="Prove a released image by building it again, or the tags of all.")
@click.argument("names", metavar="IMAGE[:TAG]", nargs=-1)
@click.option("--tags", is_flag=True, help="Compare the tags of all images, or of those named, with what is claimed.")
@registry
@as_json
@builder
@click.option("--platform", "platforms", metavar="OS/ARCH", multiple=True, help="Only this platform. May be repeated.")
@click.pass_context
def verify(
    context: click.Context,
    /,
    names: tuple[str, ...],
    tags: bool,
    registries: tuple[str, ...],
    json: bool,
    builders: tuple[str, ...],
    platforms: tuple[str, ...],
) -> None:
    """Build a released IMAGE[:TAG] (`latest` by default) again, and prove that it is what its sources give.

    The commit that its Git tag names is built without cache, on the bases and parents that its receipt records; the
    work tree is not touched and nothing is pushed. Equal digests exit 0. Where they differ, the files that do are
    named, layer by layer, with the likely cause and what is done about it, and the exit code is 1. It takes a release
    that was built with `reproducible: true`. In place of a tag the name of a variant will do, as for `dsci export`.

    With --tags nothing is built: every tag that a release should have is looked up in every registry. Those that moved
    or are missing are named, with exit code 1; so are those that no release asks for, which is no failure.
    """
    if not tags and len(names) != 1:
        raise click.UsageError("name one IMAGE[:TAG] to build again, or say --tags.")
    if tags and (builders or platforms):
        raise click.UsageError("--tags builds nothing: it takes neither --builder nor --platform.")
    wanted = frozenset(map(Platform.parse, platforms))
    with Session.of(context, registries=registries) as session:
        if tags:
            _audit(session, names, json=json)
            return
        now = snapshot(session.source, session.git.head().commit)
        name, tag = named_tag(names[0], now.family)
        found = verifying.verify(session.world, session.hands, now, name, tag, wanted, builders_of(builders))
        if json:
            print_json(found)
        else:
            click.echo(harmless("\n".join(_lines(found))))
        if not found.equal:
            bad = [item for item in found.targets if item.status != "equal"]
            complain(f"{found.reference} is not proven: {', '.join(map(_verdict, bad))}", _hint(bad))
            sys.exit(1)


def _audit(session: Session, names: tuple[str, ...], *, json: bool) -> None:
    now = snapshot(session.source, session.git.head().commit)
    chosen = check_names(names, now.family)
    groups = ({now.family.images[name].group for name in chosen} or set(now.family.groups)) & now.family.released_groups
    claims = refreshed(session.world, now)
    prefixes = [prefix for each in now.settings.promote.values() for prefix in each]
    promoted = places.expected(session.registry, now, claims, prefixes)
    found = auditing.audit(session.registry, now.family, claims, groups, promoted)
    if json:
        print_json(found)
    else:
        if found.findings:
            click.echo(render.table((each.state, each.reference, _said(each)) for each in found.findings))
        where = "1 repository" if len(found.repositories) == 1 else f"{len(found.repositories)} repositories"
        click.echo(f"{found.tags} tags of {found.releases} releases in {where} compared")
    if not found.true:
        wrong = [each for each in found.findings if each.state in ("moved", "missing")]
        fixed = [each for each in wrong if each.state == "moved" and not each.moving]
        complain(
            f"{len(wrong)} tags are not what is claimed, the first of them {wrong[0].reference}",
            f"{fixed[0].reference} never moves, and somebody wrote it outside dsci: do not use what it names now"
            if fixed
            else "`dsci release` puts them where they belong",
        )
        sys.exit(1)


def _said(each: Finding) -> str:
    """What is wrong with a tag."""
    if each.state == "unknown":
        return "no release asks for it"
    if each.state == "held":
        return f"stays at {each.version}, which is {each.why}"
    what = f"should be {each.image} {each.version}"
    return f"{what}, and is {each.named or each.found[:19]}" if each.found else f"{what}, and is not there"


def _verdict(item: Verified) -> str:
    return f"{item.target} {'could not be built again' if item.status == 'failed' else 'is not what was released'}"


def _hint(bad: list[Verified]) -> str:
    if all(item.status == "failed" for item in bad):
        return "what the Dockerfile fetches may be gone: pin it to an archive, or copy it into the repository"
    return "mend what is named above, release a new version, and verify that one (docs/reproducible.md)"


def _lines(found: Verification) -> Iterator[str]:
    yield f"{found.reference} is {found.image} {found.version}, claimed by {found.git_tag} at {found.commit[:12]}"
    for item in found.targets:
        yield ""
        if item.status == "equal":
            yield f"{item.target}: equal, {item.released}"
        else:
            yield f"{item.target}: {item.status}"
            rows = [("released", item.released), ("rebuilt", item.rebuilt or "not")]
            yield render.table(rows)
        yield from (f"  note: {text}" for text in item.notes)
        for field in item.config:
            yield f"  config {field.field} differs: {field.why}"
            yield f"    → {field.fix}"
        for layer in item.layers:
            yield from _layer(layer)


def _layer(layer: LayerDifference) -> Iterator[str]:
    yield f"  layer {layer.number}  {layer.step}"
    shown = layer.files[:_SHOWN]
    if shown:
        yield render.table(
            ((file.how, file.path, ", ".join(file.fields), file.cause or "no known cause") for file in shown),
            indent="    ",
        )
    if layer.total > len(shown):
        yield f"    … and {layer.total - len(shown)} more files (--json tells up to {len(layer.files)})"
    if layer.order:
        yield "    the same entries in another order"
    if layer.note:
        yield f"    {layer.note}"
    for cause in layer.causes:
        yield f"    {cause.name}: {cause.why}"
        yield f"      → {cause.fix}"
