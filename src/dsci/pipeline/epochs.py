"""SOURCE_DATE_EPOCH of targets: the date of the last commit that touched what a target is made of.

Whoever builds a key first chooses it; its receipt says which one it was, and whoever builds that key again takes the
same (rule 9 of the semantics). It is part of no key. A child is never older than what it stands on.

Source: https://reproducible-builds.org/specs/source-date-epoch/
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from dsci.model import version
from dsci.model.commits import Commit
from dsci.model.facts import Facts
from dsci.model.family import TargetId
from dsci.model.inputs import Watch
from dsci.pipeline.snapshot import Snapshot
from dsci.ports import Git


def epochs_of(git: Git, now: Snapshot, facts: Facts, wanted: Iterable[TargetId]) -> Mapping[TargetId, int]:
    """The epochs, in seconds, of these targets and of all that they stand on; history is read where none is recorded.

    HEAD's date where no commit is known to have touched a target: uncommitted work, a clone that was cut off.
    """
    chosen = set(wanted)
    chosen |= now.family.ancestors(chosen)
    recorded = {
        target: receipt.epoch
        for target in chosen
        if (receipt := facts.found[target].tested or facts.found[target].built) is not None
    }
    own = _own_dates(git, now, facts, chosen - recorded.keys())
    found: dict[TargetId, int] = {}
    for target in now.family.order:
        if target in chosen:
            above = [found[need] for need in now.family.nodes[target].needs]
            found[target] = max(recorded.get(target, own.get(target, facts.when)), *above, 0)
    return found


def _own_dates(git: Git, now: Snapshot, facts: Facts, wanted: Collection[TargetId]) -> Mapping[TargetId, int]:
    """The dates of the last commits that touched these targets themselves, as far as there is one.

    What changed since an image's last release has been read for the plan. All of history is read only for a target that
    nothing has touched since then, and that nobody has recorded.
    """
    read: dict[str, set[TargetId]] = {}
    for target in wanted:
        group = now.family.images[target.image].group
        if group in facts.commits:
            base = version.stable(facts.claims[group])
            read.setdefault(base.tag.commit if base else "", set()).add(target)
    found: dict[TargetId, int] = {}
    for targets in read.values():
        group = now.family.images[next(iter(targets)).image].group
        found |= _dates(facts.commits[group].values(), now, targets)
    # Of what was never released, all of history has been read.
    left = set(wanted) - found.keys() - read.get("", set())
    return found | _dates(git.log(()), now, left) if left else found


def _dates(log: Iterable[Commit], now: Snapshot, wanted: Collection[TargetId]) -> dict[TargetId, int]:
    """The date of the first commit, newest first, that touches each of these targets."""
    watch = Watch((target, now.inputs[target]) for target in wanted)
    found: dict[TargetId, int] = {}
    for commit in log:
        for target in watch.touched_by(commit.paths):
            found.setdefault(target, commit.when)
        if len(found) == len(wanted):
            break
    return found
