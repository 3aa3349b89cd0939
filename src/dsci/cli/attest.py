"""`dsci attest`: what is attached to a released image, and one of these things on stdout."""

from __future__ import annotations

from typing import Literal

import click

from dsci.cli import render
from dsci.cli.asking import print_json
from dsci.cli.options import as_json, named_tag, registry
from dsci.cli.wiring import Session
from dsci.model.oci import Platform
from dsci.pipeline import attached, released
from dsci.pipeline.snapshot import snapshot


@click.command(short_help="Show what is attached to a released image: provenance, packages, signatures.")
@click.argument("image", metavar="IMAGE[:TAG]")
@registry
@as_json
@click.option("--provenance", is_flag=True, help="Print what it was built of: an in-toto statement, SLSA v1.")
@click.option("--sbom", type=click.Choice(["spdx", "cyclonedx"]), help="Print the list of its packages in this form.")
@click.option("--platform", metavar="OS/ARCH", help="The platform whose list of packages is printed.")
@click.pass_context
def attest(
    context: click.Context,
    /,
    image: str,
    registries: tuple[str, ...],
    json: bool,
    provenance: bool,
    sbom: str | None,
    platform: str | None,
) -> None:
    """Show what is attached to a released IMAGE[:TAG] (`latest` by default), or print one of these things.

    The image is not pulled. Provenance is held against the Git tag that claims the release; that it is attached proves
    nothing of who attached it, `cosign verify-attestation` does. In place of a tag the name of a variant will do.
    """
    if provenance and sbom:
        raise click.UsageError("--provenance and --sbom exclude each other.")
    with Session.of(context, registries=registries) as session:
        now = snapshot(session.source, session.git.head().commit)
        release = released.find(session.git, session.registry, now, *named_tag(image, now.family))
        if provenance or sbom:
            what: Literal["provenance", "spdx", "cyclonedx"]
            what = "spdx" if sbom == "spdx" else "cyclonedx" if sbom else "provenance"
            wanted = Platform.parse(platform) if platform else None
            content, notes = attached.exported(session.registry, release, what, wanted)
            for note in notes:
                session.console.warn(note)
            click.echo(content)
            return
        found = attached.attachments(session.registry, release)
        if json:
            print_json(found)
            return
        click.echo(f"{found.reference} is {found.digest}, claimed by {found.git_tag} at {found.commit[:12]}")
        rows = [
            (
                item.kind,
                item.platform or "all platforms",
                item.digest,
                f"not of this release: {item.note}" if item.note else "",
            )
            for item in found.attached
        ]
        click.echo(render.table(rows) or "  nothing is attached to it")
