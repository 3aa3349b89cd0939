"""`dsci lock`: external bases, pinned in a file that is reviewed like any other."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dsci.cli.options import registry
from dsci.cli.wiring import Session
from dsci.errors import ConfigError, DsciError
from dsci.model import lock as locking
from dsci.model.oci import ANY
from dsci.pipeline.snapshot import snapshot


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
