"""`dsci gc`: what nobody needs any more, shown and then removed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from dsci.cli import holdings
from dsci.cli.asking import print_json
from dsci.cli.console import complain_of
from dsci.cli.holdings import Seen
from dsci.cli.options import as_json, fetch, registry
from dsci.cli.wiring import Session
from dsci.errors import ConfigError
from dsci.model.quantities import amount
from dsci.pipeline import upkeep
from dsci.pipeline.upkeep import Pruned


@click.command("gc", short_help="Remove what nobody needs any more.")
@registry
@fetch
@holdings.older_than
@click.option("--dry-run", is_flag=True, help="Only show what would be removed, why, and how old it is.")
@click.option("--yes", is_flag=True, help="Remove it without a question.")
@as_json
@click.pass_context
def gc(
    context: click.Context,
    registries: tuple[str, ...],
    fetch: bool,
    older_than: int | None,
    dry_run: bool,
    yes: bool,
    json: bool,
) -> None:
    """Remove what nobody needs any more and what is older than `retention:` in dsci.yaml says.

    It is shown first, and a person at a terminal is asked. Where nobody can be asked, --yes is needed. Kept is whatever
    a tag that stays names, or an index, a Git tag, the ledger or a branch; and what cannot be told.
    """
    if dry_run and yes:
        raise click.UsageError("--dry-run and --yes are one too many: the first removes nothing")
    if not dry_run and not yes and (json or not sys.stdin.isatty()):
        raise click.UsageError("nobody can be asked here: --dry-run shows what would be removed, --yes removes it")
    with Session.of(context, registries=registries, fetch=fetch) as session:
        if session.event.foreign and not dry_run:
            raise ConfigError(
                "a request from another repository removes nothing: its settings are not to be trusted",
                hint="run dsci gc on a branch, on a schedule for example; --dry-run shows what would go",
            )
        seen = holdings.look(session, older_than, fetch=fetch)
        if not json:
            click.echo(holdings.table(seen, everything=False))
        count, room = holdings.counted(seen)
        asked = bool(count) and not dry_run and not yes
        agreed = yes or (asked and click.confirm(f"remove {count} of them, {amount(room)}?", err=True))
        done = _remove(session, seen) if agreed else ()
        if json:
            print_json(holdings.document(seen, done))
        else:
            for line in _summary(seen, done) if agreed else _proposal(seen):
                click.echo(line)
        problems = [shelf.problem for shelf, _ in seen.shelves] + [each.problem for each in done]
        complain_of([each for each in problems if each is not None])


def _remove(session: Session, seen: Seen) -> tuple[Pruned, ...]:
    done = []
    for shelf, verdicts in seen.shelves:
        if any(not each.keep or each.untag for each in verdicts):
            session.console.say(f"removing from {shelf.repository}")
            done.append(upkeep.prune(session.world, session.registry, shelf.repository, verdicts, now=seen.now))
    for folder, (keep, _, _) in seen.folders:
        if not keep:
            folder.remove()
    return tuple(done)


def _proposal(seen: Seen) -> list[str]:
    count, room = holdings.counted(seen)
    return [f"{count} of them may go, {amount(room)}; nothing was removed"] if count else []


def _summary(seen: Seen, done: Sequence[Pruned]) -> list[str]:
    removed = sum(len(each.removed) + len(each.untagged) for each in done)
    removed += sum(not keep for _, (keep, _, _) in seen.folders)
    swept = sum(each.swept for each in done)
    count, _ = holdings.counted(seen)
    more = f"; {amount(swept)} swept here at once" if swept else ""
    lines = [f"removed {removed} of {count}{more}"] if count else []
    lines += [
        f"{each.repository}:{tag} was written meanwhile: what it names stays" for each in done for tag in each.spared
    ]
    return lines + [
        f"put back {each.repository}@{digest}: it is named now, or that could not be told"
        for each in done
        for digest in each.restored
    ]
