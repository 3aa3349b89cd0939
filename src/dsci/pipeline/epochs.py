"""SOURCE_DATE_EPOCH of targets: the date of the last commit that touched what a target is made of.

Whoever builds a key first chooses it; its receipt says which one it was, and whoever builds that key again takes the
same (rule 9 of the semantics). It is part of no key. A child is never older than what it stands on.

Source: https://reproducible-builds.org/specs/source-date-epoch/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
    unknown = chosen - recorded.keys()
    watch = Watch((target, now.inputs[target]) for target in unknown)
    own: dict[TargetId, int] = {}
    for commit in git.commits(()) if unknown else ():
        for target in watch.touched_by(commit.paths):
            own.setdefault(target, commit.when)
        if len(own) == len(unknown):
            break
    found: dict[TargetId, int] = {}
    for target in now.family.order:
        if target in chosen:
            above = [found[need] for need in now.family.nodes[target].needs]
            found[target] = max(recorded.get(target, own.get(target, facts.when)), *above, 0)
    return found
