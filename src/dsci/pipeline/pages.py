"""Release pages on a forge, for people: one for each claimed version, written after everything else stands.

A page says what the changelog says. It is no record and no lock: a forge that does not answer fails its own outcome,
and the next run about the same commit, or `dsci changelog --publish`, writes what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from dsci.errors import DsciError
from dsci.model import notes
from dsci.model.changelog import Release
from dsci.model.links import Links
from dsci.model.numbers import precedence
from dsci.model.report import Outcome, Status
from dsci.model.text import clean
from dsci.pipeline import history
from dsci.pipeline.history import History
from dsci.pipeline.world import World
from dsci.ports import Console, Forge, ForgeRelease


def write(world: World, forge: Forge, tags: Collection[str], console: Console) -> tuple[list[Outcome], list[DsciError]]:
    """Have a page for each of these Git tags; gives how that ended, and what went wrong."""
    found = history.read(world)
    wanted = [each for each in found.releases if each.tag in tags]
    return publish(forge, found, wanted, Links.of(world.source.git.head().origin), console)


def publish(
    forge: Forge, found: History, releases: Iterable[Release], links: Links, console: Console
) -> tuple[list[Outcome], list[DsciError]]:
    """Have a page for each of these releases, oldest first. The first error ends it: the rest would say the same."""
    groups = {each.image for each in found.releases}
    numbers = found.now.settings.versioning.numbers()
    stable = [each for each in found.releases if each.stable]
    newest = max(stable, key=lambda each: precedence(numbers.parse(each.version)), default=None)
    outcomes: list[Outcome] = []
    for release in reversed(list(releases)):
        began = time.monotonic()
        name = notes.label(release, named=len(groups) > 1)
        page = ForgeRelease(
            tag=release.tag,
            name=name,
            notes=notes.release_notes(release, links),
            prerelease=not release.stable,
            # Of several images none is the newest: the mark would jump from one to the other.
            latest=len(groups) == 1 and release == newest,
        )
        try:
            written = forge.publish(page)
        except DsciError as error:
            detail = clean(error.message)
            outcomes.append(Outcome(subject=name, stage="page", status=Status.FAILED, detail=detail))
            console.end(name, "page", "failed", time.monotonic() - began, detail)
            return outcomes, [error]
        if written:
            console.end(name, "page", "ok", time.monotonic() - began)
            outcomes.append(
                Outcome(subject=name, stage="page", status=Status.OK, seconds=round(time.monotonic() - began, 3))
            )
    return outcomes, []
