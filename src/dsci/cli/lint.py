"""`dsci lint`: what is wrong with suite files, and where container-structure-test and dsci read them differently.

Nothing is run and nothing changed; neither an engine nor a registry is asked.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable

import click
import msgspec

from dsci.cli import dropin
from dsci.cli.asking import print_json
from dsci.cli.console import harmless
from dsci.cli.options import as_json, images
from dsci.cli.wiring import Session
from dsci.errors import ConfigError
from dsci.model.members import check_names
from dsci.model.text import line, whole
from dsci.pipeline.snapshot import snapshot
from dsci.pipeline.test import read
from dsci.suites import nativefile, service, structurelint
from dsci.suites.structurekinds import KINDS
from dsci.suites.structurelint import Note


class _Row(msgspec.Struct, kw_only=True):
    """A note in the answer of `dsci lint --json`."""

    place: str
    kind: str
    wrong: bool
    says: str
    container_structure_test: str
    dsci: str
    instead: str


class _File(msgspec.Struct, kw_only=True):
    """A file in the answer of `dsci lint --json`."""

    file: str
    notes: list[_Row]


@click.command(short_help="Look through suite files without running them.")
@images
@click.option(
    "-c", "--config", "configs", metavar="FILE", multiple=True, help="Look at this file alone, in no repository."
)
@click.option("--strict", is_flag=True, help="Let every note count as a mistake.")
@as_json
@click.pass_context
def lint(context: click.Context, /, names: tuple[str, ...], configs: tuple[str, ...], strict: bool, json: bool) -> None:
    """Tell what is wrong with the suites of images, and where container-structure-test would come to something else.

    Suites that are inherited are looked at too, as the work tree has them. With --config (which may be repeated)
    container-structure-test's files are looked at wherever they are.
    """
    if configs and names:
        raise click.UsageError("images of this repository and --config exclude each other.")
    if configs:
        found = _linted(configs, dropin.text_of)
    else:
        with Session.of(context) as session:
            found = _of_family(session, names)
    if json:
        print_json([_File(file=whole(file), notes=[_row(note) for note in notes]) for file, notes in found.items()])
    else:
        click.echo(harmless(_shown(found)))
    told = [note for notes in found.values() for note in notes]
    if any(strict or KINDS[note.kind].wrong for note in told):
        sys.exit(ConfigError.exit_code)


def _of_family(session: Session, names: tuple[str, ...]) -> dict[str, list[Note]]:
    """What there is to say about the suites that these images, or all of them, must pass."""
    git = session.git
    now = snapshot(session.source, git.head().commit, overlay=git.dirty())
    chosen = check_names(names, now.family) or frozenset(now.family.images)
    suites = [suite for target in now.family.order if target.image in chosen for suite in now.family.suites(target)]

    def text_of(path: str) -> str:
        return read(git, now, path).decode(errors="replace")

    found = _linted(dict.fromkeys(suite.path for suite in suites if suite.kind == "structure"), text_of)
    for path, files in {suite.path: suite.files for suite in suites if suite.kind == "service"}.items():
        named = [file for file in files if re.fullmatch(rf"{re.escape(path)}/[^/]+\.ya?ml", file)]
        for file, lines in service.look_through({file: text_of(file) for file in named}).items():
            found[file] = [structurelint.unreadable(line, file=file) for line in lines]
    return found


def _linted(files: Iterable[str], text_of: Callable[[str], str]) -> dict[str, list[Note]]:
    found: dict[str, list[Note]] = {}
    for file in files:
        try:
            found[file] = _notes(text_of(file), file)
        except ConfigError as error:
            found[file] = [structurelint.unreadable(line, file=file) for line in error.message.splitlines()]
    return found


def _notes(text: str, file: str) -> list[Note]:
    """What there is to say about a file. Raises ConfigError for a suite of dsci's own in which something is wrong."""
    if nativefile.is_native(text):
        nativefile.parse(text, file=file)
        return []
    return structurelint.lint(text, file=file)


def _row(note: Note) -> _Row:
    kind = KINDS[note.kind]
    return _Row(
        place=whole(note.place),
        kind=note.kind,
        wrong=kind.wrong,
        says=whole(note.says),
        container_structure_test=kind.theirs,
        dsci=kind.ours,
        instead=kind.cure,
    )


def _rank(note: Note) -> str:
    return "wrong" if KINDS[note.kind].wrong else "note"


#: How many characters of a note are shown: a pattern may be long.
_WIDTH = 400


def _shown(found: dict[str, list[Note]]) -> str:
    """A line for each note, then what its kind means, once for all of them, and a count."""
    told = [note for notes in found.values() for note in notes]
    lines = [line(f"{note.place}: {_rank(note)}: {note.kind}: {note.says}", _WIDTH) for note in told]
    for name in dict.fromkeys(note.kind for note in told):
        kind = KINDS[name]
        lines += ["", name, f"  container-structure-test {kind.theirs}", f"  dsci {kind.ours}", f"  → {kind.cure}"]
    wrong = sum(KINDS[note.kind].wrong for note in told)
    counts = f"{len(found)} {'file' if len(found) == 1 else 'files'}: {wrong} wrong, {len(told) - wrong} to note"
    return "\n".join([*lines, *([""] if lines else []), counts])
