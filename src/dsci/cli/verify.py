"""`dsci verify`: a released image is built again and compared with what was published."""

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
from dsci.model.oci import Platform
from dsci.model.verification import Verification, Verified
from dsci.pipeline import verify as verifying
from dsci.pipeline.snapshot import snapshot

_SHOWN = 10


@click.command(short_help="Build a released image again, and prove that it is the same.")
@click.argument("image", metavar="IMAGE[:TAG]")
@registry
@as_json
@builder
@click.option("--platform", "platforms", metavar="OS/ARCH", multiple=True, help="Only this platform. May be repeated.")
@click.pass_context
def verify(
    context: click.Context,
    /,
    image: str,
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
    """
    wanted = frozenset(map(Platform.parse, platforms))
    with Session.of(context, registries=registries) as session:
        now = snapshot(session.source, session.git.head().commit)
        name, tag = named_tag(image, now.family)
        found = verifying.verify(session.world, session.hands, now, name, tag, wanted, builders_of(builders))
        if json:
            print_json(found)
        else:
            click.echo(harmless("\n".join(_lines(found))))
        if not found.equal:
            bad = [item for item in found.targets if item.status != "equal"]
            complain(f"{found.reference} is not proven: {', '.join(map(_verdict, bad))}", _hint(bad))
            sys.exit(1)


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
