"""What commands that only look have in common: one observation, shown and never acted upon."""

from __future__ import annotations

import click
import msgspec
from msgspec.structs import replace

from dsci.cli.wiring import Session
from dsci.model import planning
from dsci.model.event import Trigger
from dsci.model.facts import Facts
from dsci.model.family import Image
from dsci.model.members import check_names
from dsci.model.plan import Plan
from dsci.pipeline import observe as observing
from dsci.pipeline.snapshot import Snapshot

offline = click.option("--offline", is_flag=True, help="Ask neither registries nor the engine nor the Git remote.")


def observe(session: Session, names: tuple[str, ...] = (), *, versions: bool = False) -> tuple[Snapshot, Facts, Plan]:
    """What there is and what would be done.

    For `versions` a request counts as the branch that it goes to, and no release says what it brings.
    """
    request = session.request(select=frozenset(names), notes=not versions)
    if versions and request.event.trigger is Trigger.PULL_REQUEST:
        request = replace(request, event=replace(request.event, trigger=Trigger.BRANCH))
    now, facts = observing.observe(session.world, request)
    check_names(names, now.family)
    return now, facts, planning.make(now.family, facts, request)


def groups_of(now: Snapshot, names: tuple[str, ...]) -> dict[str, tuple[Image, ...]]:
    """The release groups that these images (all, when none is named) belong to, and their members."""
    chosen = check_names(names, now.family)
    return {
        group: members
        for group, members in now.family.groups.items()
        if not names or any(member.name in chosen for member in members)
    }


def tell_doubts(session: Session, facts: Facts) -> None:
    """Tell what could not be asked about versions; what could not be asked of registries is not in these answers."""
    for text in facts.doubts:
        session.console.warn(text)


def print_json(value: object) -> None:
    click.echo(inert(msgspec.json.format(msgspec.json.encode(value), indent=2)))


def inert(document: bytes) -> str:
    """JSON that says the same, and has nothing in it that GitHub's runner obeys wherever it stands in a line."""
    return document.decode().replace("##[", "#\\u0023[")
