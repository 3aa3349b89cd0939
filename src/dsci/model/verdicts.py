"""What each target needs, and why: build, test or reuse (rules 1 to 4 of the semantics).

A target is judged after its parents. Whether its release moves tags is `planning`'s to add.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from dsci.model.facts import Facts, Found, Request
from dsci.model.family import Family, TargetId


class Action(IntEnum):
    """What a target needs, cheapest first; the dearest wins."""

    REUSE = 0
    RETAG = 1
    TEST = 2
    BUILD = 3

    def __str__(self) -> str:
        return self.name.lower()


def verdicts_of(family: Family, facts: Facts, request: Request) -> tuple[dict[TargetId, Action], dict[TargetId, str]]:
    actions: dict[TargetId, Action] = {}
    reasons: dict[TargetId, str] = {}
    for target in family.order:
        actions[target], reasons[target] = _verdict(family, facts, target, actions, request)
    return actions, reasons


def _verdict(
    family: Family, facts: Facts, target: TargetId, actions: Mapping[TargetId, Action], request: Request
) -> tuple[Action, str]:
    """Build, test or reuse one target, and the first reason in the order that a person would look for one."""
    node, found = family.nodes[target], facts.found.get(target, Found())
    rebuilt = next((need for need in node.needs if actions[need] is Action.BUILD), None)
    if node.problem:
        return Action.BUILD, node.problem
    if path := facts.dirty.get(target):
        return Action.BUILD, f"uncommitted change: {path}"
    if request.force:
        return Action.BUILD, "forced"
    if found.image is None or rebuilt is not None:
        return Action.BUILD, _why_build(facts, target, found, rebuilt)
    receipt = found.tested or found.built
    if receipt is None:
        return Action.BUILD, "built without a receipt"
    for need in node.needs:
        image = facts.found[need].image
        if receipt.parents.get(str(need)) != str(image):
            return Action.BUILD, f"parent {need.image} was rebuilt"
    used = {(base.name, base.platform): base.digest for base in receipt.bases}
    for base in node.bases:
        if used.get((str(base.reference), str(base.platform))) != str(facts.pins[target].get(base.key)):
            return Action.BUILD, f"base {base.name} moved"
    if receipt.image != str(found.image):
        return Action.BUILD, "its receipt names another image"
    if found.tested is None:
        return Action.TEST, "suites changed" if facts.claims.get(family.images[target.image].group) else "not tested"
    if request.rerun:
        return Action.TEST, "asked for again"
    return Action.REUSE, "unchanged"


def _why_build(facts: Facts, target: TargetId, found: Found, rebuilt: TargetId | None) -> str:
    if change := facts.own_changes.get(target):
        return change
    if rebuilt is not None:
        return f"parent {rebuilt.image} is built"
    if why := facts.unpinned.get(target):
        return why
    if found.lost:
        return found.lost
    if found.unknown:
        return f"unknown: {found.unknown}"
    return "never built"
