"""Work on what this machine has: images as the work tree has them, and what they stand on. Nothing is released."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import msgspec

from dsci.cli.manner import Manner
from dsci.cli.wiring import Session
from dsci.errors import DsciError
from dsci.model.facts import Facts
from dsci.model.family import TargetId
from dsci.model.members import check_names
from dsci.model.plan import Plan
from dsci.model.report import Report
from dsci.pipeline import observe as observing
from dsci.pipeline import release as releasing
from dsci.pipeline import whole
from dsci.pipeline import work as working
from dsci.pipeline.compare import affected
from dsci.pipeline.snapshot import Snapshot


class Local(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to do for some images here."""

    now: Snapshot
    facts: Facts
    plan: Plan
    chosen: frozenset[str]
    """The images that were named, or all."""
    began: float


def look(
    session: Session, names: tuple[str, ...], *, since: str = "", force: bool = False, rerun: bool = False
) -> Local:
    """See what has to be done for these images, or for all; `since` leaves out what has not changed since then.

    Raises ConfigError for a name that is none, HistoryError where there is no such commit.
    """
    began = time.monotonic()
    now, facts = observing.observe(session.world, overlay=session.git.dirty(), history=False)
    chosen = check_names(names, now.family) or frozenset(now.family.images)
    select = frozenset(names)
    if since:
        fork = session.git.fork(since)
        select = chosen = chosen & affected(session.source, now, fork)
    request = session.request(release=False, select=select, force=force, rerun=rerun)
    facts, plan = whole.plan(session.world, now.family, facts, request)
    if since and not chosen:
        plan = plan.only_affected(fork, chosen)  # To select none would mean all.
    return Local(now=now, facts=facts, plan=plan, chosen=chosen, began=began)


def narrowed(local: Local, target: TargetId) -> Local:
    """The same for one target alone, and what it stands on."""
    wanted = {str(each) for each in (target, *local.now.family.ancestors([target]))}
    targets = tuple(item for item in local.plan.targets if item.id in wanted)
    return msgspec.structs.replace(local, plan=msgspec.structs.replace(local.plan, targets=targets))


def work(session: Session, local: Local, wanted: Manner, *, tests: bool) -> tuple[Report, Sequence[DsciError]]:
    """Build what is not built, and with `tests` run its suites; gives also what failed through no fault of theirs."""
    now, facts, plan, chosen = local.now, local.facts, local.plan, local.chosen
    for text in plan.warnings:
        session.console.warn(text)
    if plan.has_work:
        session.announce(plan)
    how = wanted.how(session, keep=wanted.keep is not False)
    shop = working.prepare(session.world, session.hands, now, facts, plan, how=how, tests=tests)
    if session.event.foreign:
        session.console.say(releasing.FOREIGN)
        private = working.all_work(plan)
    else:
        private = working.private_targets(session.hands, now, facts, plan)
    done = working.work_on(
        session.world,
        session.hands,
        shop,
        facts,
        plan,
        how=how,
        tests=tests,
        bring=chosen if how.keep else frozenset(),
        private=private,
    )
    kept = [f"{target} is in the engine as {shop.kept_name(target)}" for target in done.images] if how.keep else []
    report = Report(
        plan=plan,
        outcomes=tuple(done.outcomes),
        suites=tuple(done.suites),
        seconds=round(time.monotonic() - local.began, 3),
        notes=(
            *(text for text in kept if text.partition("@")[0] in chosen),
            *(_untested(now, chosen) if tests else ()),
        ),
    )
    return report, done.errors


def _untested(now: Snapshot, names: Iterable[str]) -> tuple[str, ...]:
    """A note about images that no suite speaks of: nothing tested is not the same as passed."""
    bare = [name for name in sorted(names) if not any(map(now.family.suites, now.family.images[name].targets))]
    return (f"no suite tests {', '.join(bare)}: put one into suites/ beside the Dockerfile",) if bare else ()
