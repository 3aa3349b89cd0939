"""Facts in, a plan out.

`make` is a pure function: equal facts and requests give equal plans, byte for byte. Facts are gathered by
`pipeline.observe`, effects are had by the rest of the pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import semver

from dsci.model import version
from dsci.model.claims import Released, TagFormat
from dsci.model.event import Trigger
from dsci.model.facts import Facts, Found, Request
from dsci.model.family import Family, TargetId
from dsci.model.following import refs_of
from dsci.model.gitnames import TagNames
from dsci.model.oci import ANY
from dsci.model.plan import Plan, PlannedRef, PlannedRelease, PlannedTarget
from dsci.model.releases import answer, begin, decisions_of, finish, left_behind
from dsci.model.verdicts import Action, verdicts_of


def make(family: Family, facts: Facts, request: Request) -> Plan:
    """Decide. Raises ConflictError when a version that would come next is taken off this branch."""
    chosen = family.chosen(request.select, together=request.release)
    if request.release and request.event.trigger is Trigger.TAG:
        chosen &= _answering(family, facts)
    actions, reasons = verdicts_of(family, facts, request)
    decisions = decisions_of(family, facts, request) if request.release else {}
    form = TagFormat.of_images(facts.settings.versioning, family.images.values())
    standing = TagNames(facts.tag_names)
    releases: list[PlannedRelease] = []
    superseded: list[str] = []
    unreleased: dict[str, str] = {}
    for pending in facts.unconverged if request.release else ():
        releases.append(finish(family, facts, pending))
    for group, decision in decisions.items():
        members = family.groups[group]
        if chosen.isdisjoint(member.name for member in members):
            continue
        mine = (facts.dirty.get(target) for member in members for target in member.targets)
        changed = next(filter(None, mine), None)
        if decision.version is None:
            unreleased[group] = decision.reason
        elif changed:
            unreleased[group] = f"uncommitted change: {changed}"
        elif _overtaken(facts, group, decision.version, decision.base):
            superseded.append(group)
        elif facts.asked is not None:
            releases.append(answer(family, facts, decision, facts.asked, notes=request.notes))
        else:
            releases.append(begin(family, facts, decision, form, standing, notes=request.notes))
    for release in releases:
        for name in release.members:
            for target in family.images[name].targets if name in family.images else ():
                if actions[target] is Action.REUSE:
                    actions[target] = Action.RETAG
                    reasons[target] = f"{release.image} {release.version}: {release.reason}"
    needed = _needed(family, chosen, superseded)
    told = [text for decision in decisions.values() for text in decision.warnings]
    told += filter(None, (left_behind(family, facts.claims[group]) for group in decisions))
    newest = (version.stable(facts.claims[group]) for group in decisions)
    told += (f"{claim.group} {claim.version} is {claim.held}" for claim in newest if claim and claim.held)
    if request.event.trigger is Trigger.TAG and form.read(request.event.tag) is None:
        told.append(f"the Git tag {request.event.tag} is no release of an image here: nothing is made of it")
    return Plan(
        commit=facts.commit,
        when=facts.when,
        targets=tuple(
            _target(family, facts, target, actions[target], reasons[target])
            for target in family.order
            if target in needed
        ),
        releases=tuple(releases),
        refs=_refs(family, facts, request, actions, chosen & {target.image for target in needed}),
        superseded=tuple(superseded),
        unreleased=unreleased,
        warnings=tuple(dict.fromkeys((*family.warnings, *facts.doubts, *facts.warnings, *told))),
    )


def _answering(family: Family, facts: Facts) -> frozenset[str]:
    """The images of the version that a tag asks for, and what they stand on; none where it was made by dsci."""
    images = family.groups[facts.asked.group] if facts.asked else ()
    roots = [target for image in images for target in image.targets]
    return frozenset(image.name for image in images) | {target.image for target in family.ancestors(roots)}


def _overtaken(facts: Facts, group: str, version: semver.Version, base: Released | None) -> bool:
    """Whether a later commit holds a release of the group above its base; a prerelease overtakes prereleases alone."""
    return any(
        claim.tag.commit in facts.descendants
        and (version.prerelease or not claim.version.prerelease)
        and (base is None or claim.version > base.version)
        for claim in facts.claims[group]
    )


def _needed(family: Family, chosen: frozenset[str], superseded: Sequence[str]) -> frozenset[TargetId]:
    """The targets to speak of: for what a later commit has released already, nothing is done any more (rule 20)."""
    images = family.images
    roots = [
        target for target in family.nodes if target.image in chosen and images[target.image].group not in superseded
    ]
    return frozenset(roots) | family.ancestors(roots)


def _refs(
    family: Family, facts: Facts, request: Request, actions: Mapping[TargetId, Action], chosen: frozenset[str]
) -> tuple[PlannedRef, ...]:
    """The names that follow this run and do not stand yet. What is built anew has not been looked at."""
    if not request.release:
        return ()
    wanted = refs_of(family, commit=facts.commit, when=facts.when, event=request.event, claims=facts.claims)
    return tuple(
        ref
        for ref in wanted
        if ref.image in chosen
        and not any(target in facts.dirty for target in family.images[ref.image].targets)
        and (
            ref.image not in facts.placed
            or any(actions[target] is Action.BUILD for target in family.images[ref.image].targets)
        )
    )


def _target(family: Family, facts: Facts, target: TargetId, action: Action, reason: str) -> PlannedTarget:
    node, found = family.nodes[target], facts.found.get(target, Found())
    pinned = facts.pins[target]
    pins = {base.name: pinned.get((str(base.reference), ANY)) or pinned.get(base.key) for base in node.bases}
    return PlannedTarget(
        id=str(target),
        image=target.image,
        platform=str(target.platform),
        key=facts.keys[target],
        source_key=facts.sources.full[target],
        action=str(action),
        reason=reason,
        parent=str(node.parent) if node.parent else None,
        needs=tuple(map(str, node.needs)),
        wave=family.waves[target],
        suites=tuple(suite.name for suite in family.suites(target)),
        suites_digest=facts.suites[target],
        bases={name: str(digest) for name, digest in pins.items() if digest is not None},
        pins={f"{name} {platform}": str(digest) for (name, platform), digest in sorted(pinned.items())},
        repository=str(family.images[target.image].repository),
        digest=str(found.image) if found.image and action is not Action.BUILD else None,
        dirty=target in facts.dirty,
    )
