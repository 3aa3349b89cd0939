"""What the ledger says, for whoever asks: every release that is recorded, with the marks that stand on it.

Nothing but the branch is read, so that a clone without tags can answer. What registries show is `audit`'s to compare.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from dsci.model import ledger
from dsci.model.claims import TagFormat
from dsci.model.config import Settings
from dsci.model.ledger import Entry
from dsci.model.marks import Mark
from dsci.model.numbers import precedence
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
    held: Mapping[tuple[str, str], str] = {}
    tree = git.tree(commit) if commit else {}
    paths = tree.under(ledger.FOLDER) if commit else []
    texts = git.contents([tree[path].oid for path in paths])
    entries = [ledger.parse(path, text) for path, text in zip(paths, texts, strict=True)]
    known = [
        msgspec.structs.replace(entry, image=owner)
        for entry in entries
        if (owner := form.owner(entry.image)) in groups and owner is not None
    ]
    held = said.over
    numbers = settings.versioning.numbers()
    known.sort(key=lambda entry: precedence(numbers.parse(entry.version)), reverse=True)
    known.sort(key=lambda entry: entry.image)
    return Recorded(
        commit=commit,
        releases=tuple(
            Record(release=entry, held=held.get((entry.image, entry.version), "")) for entry in known
        ),
        marks=tuple(sorted((mark for mark in said.known.values() if mark.image in groups), key=lambda each: each.when)),
        warnings=(warning,) if warning else (),
    )
