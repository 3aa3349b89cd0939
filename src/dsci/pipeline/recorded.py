"""What the ledger says, for whoever asks: every release that is recorded, with the marks that stand on it.

Nothing but the branch is read, so that a clone without tags can answer. What registries show is `audit`'s to compare.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import semver

from dsci.model import ledger
from dsci.model.claims import TagFormat
from dsci.model.ledger import Entry
from dsci.model.marks import Mark
from dsci.model.numbers import Precedence, precedence
from dsci.model.settings import Settings
from dsci.model.tree import Tree
from dsci.pipeline import marks
from dsci.ports import Git


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A release of the ledger."""

    release: Entry
    held: str
    """Why it is passed over; empty where it is not."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger says."""

    commit: str | None
    """The ledger's own; None where nothing was ever recorded."""
    releases: tuple[Record, ...]
    """By image, newest version first."""
    marks: tuple[Mark, ...]
    """Every one there ever was, oldest first."""
    warnings: tuple[str, ...] = ()


def read(git: Git, settings: Settings, form: TagFormat, *, groups: Collection[str], fetch: bool) -> Recorded:
    """The releases and marks of these groups, as they are called now.

    Raises HistoryError for a file that cannot be read, and where the remote's ledger cannot be fetched.
    """
    said, warning = marks.read(git, settings, form, fetch=fetch)
    commit, _ = git.ledger()
    tree = git.tree(commit) if commit else Tree({})
    paths = tree.under(ledger.FOLDER)
    texts = git.contents([tree[path].oid for path in paths])
    entries = [ledger.parse(path, text) for path, text in zip(paths, texts, strict=True)]
    known = [
        msgspec.structs.replace(entry, image=owner)
        for entry in entries
        if (owner := form.owner(entry.image)) in groups and owner is not None
    ]
    over, numbers = said.over, settings.versioning.numbers()
    known.sort(key=lambda entry: _place(numbers, entry.version), reverse=True)
    known.sort(key=lambda entry: entry.image)
    return Recorded(
        commit=commit,
        releases=tuple(Record(release=entry, held=over.get((entry.image, entry.version), "")) for entry in known),
        marks=tuple(sorted((mark for mark in said.known.values() if mark.image in groups), key=lambda each: each.when)),
        warnings=(warning,) if warning else (),
    )


def _place(numbers: type[semver.Version], version: str) -> tuple[bool, Precedence | str]:
    """Where a version stands among others; one that is written as no version is here any more comes last."""
    try:
        return True, precedence(numbers.parse(version))
    except ValueError:
        return False, version
