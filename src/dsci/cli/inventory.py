"""`dsci inventory`: what is in an image of a registry, without a pull."""

from __future__ import annotations

import os
import posixpath
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from dsci.cli import render
from dsci.cli.asking import print_json
from dsci.cli.options import as_json, named_tag, registry
from dsci.cli.wiring import Session
from dsci.model import inventorydocument
from dsci.model.inventory import Package
from dsci.model.oci import Platform
from dsci.model.quantities import amount
from dsci.model.reference import EMBEDDED, Reference
from dsci.pipeline import released, stocktaking
from dsci.pipeline.snapshot import snapshot
from dsci.pipeline.stocktaking import Image, Taken

if TYPE_CHECKING:
    from dsci.ports import Registry

KINDS = ("apk", "bioconductor", "conda", "cran", "deb", "pypi", "rpm")


@click.command(short_help="Show what is in a released image: packages, languages, sizes, without a pull.")
@click.argument("words", metavar="IMAGE[:TAG] [NAME]...", nargs=-1)
@click.option("--image", "other", metavar="REFERENCE", help="Any image of any registry, in place of IMAGE[:TAG].")
@click.option(
    "--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only packages of this kind. May be repeated."
)
@click.option(
    "--platform",
    metavar="OS/ARCH",
    default="",
    help="The platform, or `all`. By default this machine's, or the only one.",
)
@registry
@as_json
@click.pass_context
def inventory(
    context: click.Context,
    /,
    words: tuple[str, ...],
    other: str | None,
    kinds: tuple[str, ...],
    platform: str,
    registries: tuple[str, ...],
    json: bool,
) -> None:
    """Show what is in a released IMAGE[:TAG] (`latest` by default): its system, languages, packages and layers.

    All is read from the image's layers in the registry; it is not pulled, and no container is made. The tag is held
    against the Git tag that claims the release. NAME is the name of a package, or a pattern such as 'numpy*': only
    these are shown then, and the exit code is 1 where there is none. In place of a tag the name of a variant will do.
    """
    if not words and other is None:
        raise click.UsageError("name an image, such as `ml` or `ml:1.2.3`, or any other by --image.")
    with Session.of(context, registries=registries) as session:
        native = Platform.parse(f"linux/{os.uname().machine or 'amd64'}")
        image, where = _image(session, words[0] if other is None else "", other or "")
        names = words[1:] if other is None else words
        platforms = stocktaking.chosen(image, platform, native)
        taken = stocktaking.take(where, image, platforms)
    chosen = [inventorydocument.selected(each.inventory, names, kinds) for each in taken]
    if json:
        told = [
            inventorydocument.platform(str(each.platform), str(each.digest), each.inventory, packages)
            for each, packages in zip(taken, chosen, strict=True)
        ]
        print_json(
            inventorydocument.document(
                reference=image.reference,
                digest=str(image.digest),
                git_tag=image.git_tag,
                commit=image.commit,
                platforms=told,
            )
        )
    else:
        click.echo(_text(image, taken, chosen, whole=not (names or kinds)))
    if (names or kinds) and not any(chosen):
        sys.exit(1)


def _image(session: Session, text: str, other: str) -> tuple[Image, Registry]:
    """The image that is meant, and where it stands. Raises ConfigError, ConflictError and RegistryError."""
    if other:
        reference = Reference.parse(other)
        # The registry on this machine belongs to a repository; all others are asked from anywhere.
        where = session.registry if reference.repository.registry == EMBEDDED else session.http
        return stocktaking.named(where, reference), where
    now = snapshot(session.source, session.git.head().commit)
    release = released.find(session.git, session.registry, now, *named_tag(text, now.family))
    return stocktaking.of_release(release), session.registry


def _text(image: Image, taken: Sequence[Taken], chosen: Sequence[Sequence[Package]], *, whole: bool) -> str:
    claimed = f", claimed by {image.git_tag} at {image.commit[:12]}" if image.git_tag else ""
    lines = [f"{image.reference} is {image.digest}{claimed}"]
    left = sorted(set(image.platforms) - {each.platform for each in taken})
    if left:
        lines.append(f"It is there for {', '.join(map(str, left))}, too: see --platform.")
    for each, packages in zip(taken, chosen, strict=True):
        lines += ["", f"{each.platform} {each.digest}"]
        if whole:
            lines += ["", render.table(_summary(each)), "", "Layers", "", render.table(_layers(each)), "", "Packages"]
        rows = [(item.kind, item.name, item.version, _origin(item), _places(item)) for item in packages]
        lines += ["", render.table(rows) or ("  none" if whole else "  no such package")]
    return "\n".join(lines)


def _summary(taken: Taken) -> Iterator[tuple[str, str]]:
    found = taken.inventory
    system = found.system
    yield "system", (system.name or f"{system.id} {system.version}".strip()) if system else "not told"
    if found.base:
        yield "base", "@".join(part for part in (found.base.name, found.base.digest) if part)
    for each in found.languages:
        yield each.name, f"{each.version}  {' '.join(each.paths)}"
    for kernel in found.kernels:
        yield "kernel", f"{kernel.name}  {kernel.display_name or kernel.language}"
    for extension in found.extensions:
        yield "lab extension", f"{extension.name} {extension.version}"
    counts = Counter(package.kind for package in found.packages)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    yield "packages", f"{len(found.packages)}: {told}" if counts else "none"
    yield "size", f"{amount(found.compressed)} compressed, {amount(found.unpacked)} unpacked"
    for path in found.unread:
        yield "not read", path


def _layers(taken: Taken) -> Iterator[tuple[str, ...]]:
    yield "COMPRESSED", "UNPACKED", "MADE BY"
    for each in taken.inventory.layers:
        yield amount(each.compressed), amount(each.unpacked), each.step or "not told"


def _origin(package: Package) -> str:
    """What is out of the ordinary about where a package came from."""
    return " ".join(
        part for part in (package.channel, package.build, package.source if package.kind == "pypi" else "") if part
    )


def _places(package: Package) -> str:
    """The libraries that a package lies in, where there can be several."""
    libraries = package.kind in ("bioconductor", "cran", "pypi")
    return " ".join(sorted({posixpath.dirname(posixpath.dirname(path)) for path in package.paths})) if libraries else ""
