"""Names that follow what a run is about: its branch, its request, its schedule (`tags.ref_tags`).

They are given whether or not a version is released, and only to images that can be published now. Whether such a name
moves is Git's ancestry and the registry's to say, when it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsci.model.claims import Released
from dsci.model.event import Event
from dsci.model.family import Family
from dsci.model.plan import PlannedRef
from dsci.model.tagname import suffixed
from dsci.model.tags import Other, Subject, ref_tags


def refs_of(
    family: Family,
    *,
    commit: str,
    when: int,
    event: Event,
    claims: Mapping[str, Sequence[Released]],
) -> tuple[PlannedRef, ...]:
    """The names that a run about this commit gives to each image that is ever released, by image.

    None come of a request from a fork, and none of a merge on trial.
    """
    found: list[PlannedRef] = []
    if event.foreign or event.queued:
        return ()
    for group, members in family.groups.items():
        releases = [Other(claim.version, claim.tag.name) for claim in claims[group]]
        here = next((claim for claim in claims[group] if claim.tag.commit == commit), None)
        subject = Subject(
            sha=commit,
            when=when,
            version=here.version if here else None,
            git_tag=here.tag.name if here else "",
            event=event,
        )
        for image in members if group in family.released_groups else ():
            tags = ref_tags(image.tag_rules, subject, releases=releases, suffixes=[member.suffix for member in members])
            if tags:
                found.append(
                    PlannedRef(
                        image=image.name,
                        tags=tuple(suffixed(tag.name, image.suffix) for tag in tags),
                        moving=tuple(suffixed(tag.name, image.suffix) for tag in tags if tag.moving),
                        commit=commit,
                        destinations=tuple(map(str, image.repositories)),
                    )
                )
    return tuple(found)
