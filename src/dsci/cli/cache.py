"""`dsci cache`: what dsci keeps in registries and on this machine, whose it is, and what may go."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from dsci.cli.asking import print_json
from dsci.cli.console import complain_of
from dsci.cli.options import as_json, fetch, registry
from dsci.cli.wiring import Session
from dsci.drivers import buildcache
from dsci.model import upkeep as judging
from dsci.model.config import seconds
from dsci.model.text import clean
from dsci.model.upkeep import Verdict
from dsci.pipeline import upkeep
from dsci.pipeline.upkeep import Pruned, Shelf

_DAY = 86400


def _seconds(text: str) -> int:
    """An age in seconds. Raises BadParameter."""
    if match := re.fullmatch(r"([0-9]{1,6})d", text):
        return int(match[1]) * _DAY
    try:
        return 0 if text == "0" else int(seconds(text))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no age, such as 7d, 12h or 30m") from None


older_than = click.option(
    "--older-than",
    metavar="AGE",
    type=_seconds,
    default="7d",
    show_default=True,
    help="What nobody names may go when it is older than this; no shorter than the longest run.",
)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What was found, repository by repository."""

    shelves: tuple[tuple[Shelf, tuple[Verdict, ...]], ...]
    folders: tuple[tuple[buildcache.Folder, tuple[bool, str, str]], ...]
    """Local build caches: whether each stays, whose it is, and why."""
    now: int


@click.group(short_help="Show what dsci keeps in registries, and remove what nobody needs.")
def cache() -> None:
    """Look after what dsci keeps beside the public tags: keyed images, receipts, indexes, build caches."""


@cache.command("ls", short_help="Show sizes, ages and owners.")
@registry
@fetch
@older_than
@as_json
@click.pass_context
def ls(context: click.Context, registries: tuple[str, ...], fetch: bool, older_than: int, json: bool) -> None:
    """Show what is kept, how large and how old it is, whose it is, and what `dsci cache prune` would remove.

    Sizes include what is shared with other images. Ages are those of the runs that wrote it, not of content.
    """
    with Session.of(context, registries=registries, fetch=fetch) as session:
        seen = _look(session, older_than, fetch=fetch)
        if json:
            print_json(_document(seen))
        else:
            click.echo(_table(seen, everything=True))
        complain_of([shelf.problem for shelf, _ in seen.shelves if shelf.problem is not None])


@cache.command("prune", short_help="Remove what nobody names any more.")
@registry
@fetch
@older_than
@click.option("--yes", is_flag=True, help="Remove it; without this it is only shown.")
@as_json
@click.pass_context
def prune(
    context: click.Context, registries: tuple[str, ...], fetch: bool, older_than: int, yes: bool, json: bool
) -> None:
    """Show what nobody names any more, and with --yes remove it.

    Kept is whatever a tag that is not dsci's names, or an index, a Git tag, the ledger or a branch; what is younger
    than --older-than; and what cannot be told.
    """
    with Session.of(context, registries=registries, fetch=fetch) as session:
        seen = _look(session, older_than, fetch=fetch)
        done = _remove(session, seen) if yes else ()
        if json:
            print_json(_document(seen, done))
        else:
            click.echo(_table(seen, everything=False))
            for line in _summary(seen, done) if yes else _proposal(seen):
                click.echo(line)
        problems = [shelf.problem for shelf, _ in seen.shelves] + [each.problem for each in done]
        complain_of([each for each in problems if each is not None])


def _look(session: Session, older_than: int, *, fetch: bool) -> _Seen:
    world, now = session.world, session.event.now
    ledger = upkeep.git_names(world, fetch=fetch)
    tips, unread = upkeep.read_tips(world, ledger.tips)
    if session.git.remote() is None:
        session.console.warn("there is no Git remote: what other clones' branches name is not known here")
    for name in unread:
        session.console.warn(f"{name} cannot be read as dsci reads it now: nothing that may be its own is touched")
    places = sorted(frozenset().union(*(tip.repositories for tip in tips)), key=str)
    shelves = [upkeep.survey(session.registry, place, now) for place in places]
    owners = upkeep.owners(world, ledger, tips, unread, shelves)
    return _Seen(
        shelves=tuple((shelf, judging.judge(shelf.items, owners, now=now, older_than=older_than)) for shelf in shelves),
        folders=tuple(
            (found, judging.judge_cache(found.name, found.written, owners, now=now, older_than=older_than))
            for found in buildcache.folders(session.caches)
        ),
        now=now,
    )


def _remove(session: Session, seen: _Seen) -> tuple[Pruned, ...]:
    done = []
    for shelf, verdicts in seen.shelves:
        if any(not each.keep for each in verdicts):
            session.console.say(f"removing from {shelf.repository}")
            done.append(upkeep.prune(session.world, session.registry, shelf.repository, verdicts, now=seen.now))
    for folder, (keep, _, _) in seen.folders:
        if not keep:
            folder.remove()
    return tuple(done)


# -------------------------------------------------------------------------------------------------------- showing


def _table(seen: _Seen, *, everything: bool) -> str:
    rows: list[tuple[str, ...]] = []
    for shelf, verdicts in seen.shelves:
        for each in verdicts:
            if everything or not each.keep:
                item = each.item
                name = f"{shelf.repository}:{item.tags[0]}" if item.tags else str(shelf.repository.at(item.digest))
                more = f" +{len(item.tags) - 1}" if len(item.tags) > 1 else ""
                age = _age(seen.now, item.written) if item.kind in judging.DATED else "–"
                rows.append((item.kind, f"{name}{more}", size(item.size), age, _whose(each)))
    for folder, (keep, owner, reason) in seen.folders:
        if everything or not keep:
            whose = owner or (f"nobody; {reason}" if keep else "nobody: may go")
            rows.append(("folder", str(folder.path), size(folder.size), _age(seen.now, folder.written), whose))
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
    return f"nobody; {each.reason}" if each.keep else f"nobody: may go{f' ({each.reason})' if each.reason else ''}"


def _proposal(seen: _Seen) -> list[str]:
    count, room = _counted(seen)
    return [f"{count} of them may go, {size(room)}; nothing was removed: --yes removes them"] if count else []


def _counted(seen: _Seen) -> tuple[int, int]:
    gone = [each for _, verdicts in seen.shelves for each in verdicts if not each.keep]
    folders = [folder for folder, (keep, _, _) in seen.folders if not keep]
    room = sum(judging.freed(verdicts) for _, verdicts in seen.shelves) + sum(folder.size for folder in folders)
    return len(gone) + len(folders), room


def _summary(seen: _Seen, done: Sequence[Pruned]) -> list[str]:
    removed = sum(len(each.removed) for each in done) + sum(not keep for _, (keep, _, _) in seen.folders)
    swept = sum(each.swept for each in done)
    count, _ = _counted(seen)
    lines = (
        [f"removed {removed} of {count}" + (f"; {size(swept)} swept here at once" if swept else "")] if count else []
    )
    return lines + [
        f"put back {each.repository}@{digest}: it is named now, or that could not be told"
        for each in done
        for digest in each.restored
    ]


def size(count: int) -> str:
    """Bytes as a person reads them."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def _age(now: int, written: int | None) -> str:
    if written is None:
        return "unknown"
    passed = max(0, now - written)
    return (
        f"{passed // _DAY} d" if passed >= _DAY else f"{passed // 3600} h" if passed >= 3600 else f"{passed // 60} min"
    )


def _document(seen: _Seen, done: Sequence[Pruned] = ()) -> dict[str, Any]:
    """The JSON document that docs/cache.md describes."""
    count, room = _counted(seen)
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
        "restored": [str(each.repository.at(digest)) for each in done for digest in each.restored],
    }
