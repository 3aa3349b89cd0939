"""`dsci lock`: external bases, pinned in a file that is reviewed like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from dsci.cli.asking import print_json
from dsci.cli.options import as_json, registry
from dsci.cli.wiring import Session
from dsci.drivers.files import write_whole
from dsci.errors import DsciError
from dsci.model import lock as locking
from dsci.pipeline.locking import Moved, lacking, locked
from dsci.pipeline.snapshot import snapshot


class _MovedRow(msgspec.Struct, kw_only=True):
    """A base in the answer of `dsci lock`."""

    name: str
    platform: str
    old: str | None
    new: str | None
    rebuilds: tuple[str, ...]


@click.command(short_help="Pin base images in dsci.lock, and show what moved.")
@click.argument("names", metavar="[BASE|IMAGE]...", nargs=-1)
@registry
@as_json
@click.option("--update", is_flag=True, help="Move bases (those that are named, or all) to what they are now.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where the file would change.")
@click.pass_context
def lock(
    context: click.Context, names: tuple[str, ...], registries: tuple[str, ...], json: bool, update: bool, check: bool
) -> None:
    """Pin every external base image in dsci.lock, and show what moved and which images are built again for it.

    Without the file a base stays what the last release was built on; with it, what the file says. Commit it. No base
    moves but with --update: all of them, or those that are named (`debian:bookworm-slim`, `debian`, or an image that
    stands on it). --check asks no registry unless --update does.
    """
    if names and not update:
        raise click.UsageError("names go with --update: without it no base that is pinned moves.")
    with Session.of(context, registries=registries) as session:
        now = snapshot(session.source, session.git.head().commit, overlay=session.git.dirty())
        path = Path(session.git.head().root) / locking.FILE_NAME
        if check and not update:
            _refuse(lacking(now))
            click.echo(f"{path.name} pins every base")
            return
        found = locked(session.world, now, update=update, names=names)
        if not check:
            _write(path, locking.render(found.bases).encode())
        if json:
            print_json([_row(each) for each in found.moved])
        else:
            for each in found.moved:
                click.echo(_line(each))
            click.echo(f"{path.name}: {len(found.bases)} base{'' if len(found.bases) == 1 else 's'}")
        if check:
            _refuse([f"{each.name} {each.platform} has moved" for each in found.moved])


def _row(each: Moved) -> _MovedRow:
    return _MovedRow(
        name=each.name,
        platform=str(each.platform),
        old=str(each.old) if each.old else None,
        new=str(each.new) if each.new else None,
        rebuilds=each.rebuilds,
    )


def _line(each: Moved) -> str:
    old, new = (digest.short if digest else "–" for digest in (each.old, each.new))
    rebuilds = f"  rebuilds {', '.join(each.rebuilds)}" if each.rebuilds else ""
    return f"{each.name} {each.platform}  {old} → {new}{rebuilds}"


def _refuse(problems: Sequence[str]) -> None:
    """Raises DsciError where there are any."""
    if problems:
        raise DsciError(
            f"{locking.FILE_NAME} would change:\n" + "\n".join(f"  {text}" for text in problems),
            hint="run `dsci lock` (with --update where bases are to move), and commit the file",
        )


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, [content], path.parent)
    except OSError as error:
        raise DsciError(f"{path} could not be written: {error.strerror}", hint="see the disk and its rights") from None
