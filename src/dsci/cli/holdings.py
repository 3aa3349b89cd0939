"""What dsci keeps in registries and on this machine: looked at and judged, shown as a table or as JSON.

`dsci cache ls` shows all of it, `dsci gc` what may go. Nothing is removed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from dsci.cli.wiring import Session
from dsci.drivers import buildcache
from dsci.model import retention
from dsci.model import upkeep as judging
from dsci.model.followed import Names
from dsci.model.quantities import amount
from dsci.model.reference import Reference, Repository
from dsci.model.retention import Ages
from dsci.model.text import clean
from dsci.model.upkeep import Verdict
from dsci.pipeline import upkeep
from dsci.pipeline.snapshot import snapshot
from dsci.pipeline.upkeep import Pruned, Shelf

_DAY = 86400


def _age_given(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:  # noqa: ARG001
    """An age in seconds. Raises BadParameter."""
    try:
        limit = 0 if text == "0" else None if text is None else retention.seconds(text)
    except ValueError:
        limit = None
    if text is not None and limit is None:
        raise click.BadParameter(f"{text!r} is no age, such as 7d, 12h or 30m")
    return limit


older_than = click.option(
    "--older-than",
    metavar="AGE",
    callback=_age_given,
    help="One age instead of those of `retention:` in dsci.yaml that are not `never`; no shorter than the longest run.",
)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was found, repository by repository."""

    shelves: tuple[tuple[Shelf, tuple[Verdict, ...]], ...]
    folders: tuple[tuple[buildcache.Folder, tuple[bool, str, str]], ...]
    """Local build caches: whether each stays, whose it is, and why."""
    now: int

    @property
    def untagged(self) -> tuple[Reference, ...]:
        """Tags that may go while what they name stays."""
        return tuple(
            shelf.repository.tag(tag) for shelf, verdicts in self.shelves for each in verdicts for tag in each.untag
        )


def look(session: Session, older_than: int | None, *, fetch: bool) -> Seen:
    """Read everything and judge it by the settings of HEAD. Raises ConfigError, HistoryError."""
    world, now = session.world, session.event.now
    settings = snapshot(world.source, session.git.head().commit).settings.retention
    ages = Ages.of(settings, older_than)
    ledger = upkeep.git_names(world, fetch=fetch)
    tips, unread = upkeep.read_tips(world, ledger.tips)
    if session.git.remote() is None:
        session.console.warn("there is no Git remote: what other clones' branches name is not known here")
    for name in unread:
        session.console.warn(f"{name} cannot be read as dsci reads it now: nothing that may be its own is touched")
    places: list[Repository] = sorted(frozenset().union(*(tip.repositories for tip in tips)), key=str)
    shelves = upkeep.dated(upkeep.survey(session.registry, place, now) for place in places)
    owners = upkeep.owners(world, ledger, tips, unread, shelves)
    names = upkeep.names(world, ledger, tips, now)

    def judge(shelf: Shelf) -> tuple[Shelf, tuple[Verdict, ...]]:
        found = judging.judge(shelf.items, owners, ages=ages, now=now, names=names.get(shelf.repository, Names()))
        return upkeep.spare_attached(session.registry, shelf, found)

    return Seen(
        shelves=tuple(judge(shelf) for shelf in shelves),
        folders=tuple(
            (found, judging.judge_cache(found.name, found.written, owners, ages=ages, now=now))
            for found in buildcache.folders(session.caches)
        ),
        now=now,
    )


def table(seen: Seen, *, everything: bool) -> str:
    """All of it, or what may go, a line each."""
    rows: list[tuple[str, ...]] = []
    for shelf, verdicts in seen.shelves:
        for each in verdicts:
            item = each.item
            age = _age(seen.now, item.written) if item.dated else "–"
            if everything or not each.keep:
                shown = (*item.named, *item.tags)
                name = f"{shelf.repository}:{shown[0]}" if shown else str(shelf.repository.at(item.digest))
                more = f" +{len(item.tags) - 1}" if len(item.tags) > 1 else ""
                rows.append((item.kind, f"{name}{more}", amount(item.size), age, _whose(each)))
            for tag in each.untag:
                whose = f"nobody: may go alone ({each.owner} needs its content)"
                rows.append(("tag", str(shelf.repository.tag(tag)), "–", age, whose))
    for folder, (keep, owner, reason) in seen.folders:
        if everything or not keep:
            whose = owner or f"nobody{';' if keep else ': may go'} {reason if keep else f'({reason})'}"
            rows.append(("folder", str(folder.path), amount(folder.size), _age(seen.now, folder.written), whose))
    if not rows:
        return "there is nothing here" if everything else "there is nothing to remove"
    rows.insert(0, ("KIND", "WHAT", "SIZE", "AGE", "OWNER"))
    widths = [max(len(row[n]) for row in rows) for n in range(4)]
    return "\n".join(
        "  ".join(
            [f"{row[n]:>{widths[n]}}" if n in (2, 3) else f"{row[n]:<{widths[n]}}" for n in range(4)] + [clean(row[4])]
        )
        for row in rows
    )


def _whose(each: Verdict) -> str:
    if each.owner:
        return each.owner
    return f"nobody; {each.reason}" if each.keep else f"nobody: may go ({each.reason})"


def counted(seen: Seen) -> tuple[int, int]:
    """How many things may go, tags that go alone among them, and the bytes that only they need."""
    gone = [each for _, verdicts in seen.shelves for each in verdicts if not each.keep]
    folders = [folder for folder, (keep, _, _) in seen.folders if not keep]
    room = sum(judging.freed(verdicts) for _, verdicts in seen.shelves) + sum(folder.size for folder in folders)
    return len(gone) + len(folders) + len(seen.untagged), room


def _age(now: int, written: int | None) -> str:
    if written is None:
        return "unknown"
    passed = max(0, now - written)
    return (
        f"{passed // _DAY} d" if passed >= _DAY else f"{passed // 3600} h" if passed >= 3600 else f"{passed // 60} min"
    )


def document(seen: Seen, done: Sequence[Pruned] = ()) -> dict[str, Any]:
    """The JSON document that docs/retention.md describes."""
    count, room = counted(seen)
    return {
        "schema": 1,
        "now": seen.now,
        "repositories": [
            {
                "repository": str(shelf.repository),
                "problem": shelf.problem.message if shelf.problem else None,
                "items": [
                    {
                        "kind": str(each.item.kind),
                        "digest": str(each.item.digest),
                        "tags": list(each.item.tags),
                        "size": each.item.size,
                        "written": each.item.written,
                        "target": each.item.target or None,
                        "owner": each.owner or None,
                        "keep": each.keep,
                        "reason": each.reason,
                        "untag": list(each.untag),
                    }
                    for each in verdicts
                ],
            }
            for shelf, verdicts in seen.shelves
        ],
        "folders": [
            {
                "path": str(folder.path),
                "size": folder.size,
                "written": folder.written,
                "owner": owner or None,
                "keep": keep,
                "reason": reason,
            }
            for folder, (keep, owner, reason) in seen.folders
        ],
        "may_go": {"count": count, "bytes": room},
        "removed": [str(each.repository.at(digest)) for each in done for digest in each.removed],
        "untagged": [str(each.repository.tag(tag)) for each in done for tag in each.untagged],
        "restored": [str(each.repository.at(digest)) for each in done for digest in each.restored],
    }
