"""Every history of `histories`, in a real repository: the next version of each image, its reason, and a rerun."""

from __future__ import annotations

from pathlib import Path

import pytest
from histories import ALL, History
from player import Player, plan_of, tag

from dsci.errors import ConflictError
from dsci.model.event import Event
from dsci.model.plan import Plan


def write(history: History, folder: Path) -> Player:
    """The history as a repository in `folder`."""
    start = {**history.start, **({"dsci.yaml": history.settings} if history.settings else {})}
    tagged: list[str] = []
    if history.tagged is not None:
        names = sorted({path.split("/")[1] for path in start if path.startswith("images/")})
        tagged = [f"{name}-v{history.tagged}" for name in names] or [f"v{history.tagged}"]
    player = Player(folder)
    player.play(start, [tag(*tagged), *history.steps])
    return player


def versions(plan: Plan) -> dict[str, str]:
    return {item.image: item.version for item in plan.releases}


def test_there_are_enough_and_their_names_differ() -> None:
    assert len(ALL) >= 90
    assert len({history.name for history in ALL}) == len(ALL)


@pytest.mark.parametrize("history", ALL, ids=lambda history: history.name.replace(" ", "-"))
def test_history(history: History, tmp_path: Path) -> None:
    player = write(history, tmp_path)
    if history.refuses:
        with pytest.raises(ConflictError) as caught:
            plan_of(tmp_path, history.event)
        assert history.refuses in caught.value.message and caught.value.hint
        return
    project = "ml" if "Dockerfile" in history.start else "family"
    plan = plan_of(tmp_path, history.event, project)
    found = versions(plan)
    expected = history.expect if isinstance(history.expect, dict) else {"ml": history.expect}
    assert {name: found.get(name) for name in expected} == expected
    for item in plan.releases:
        if item.image in expected and history.tags:
            assert set(item.tags) - {f"sha-{plan.commit[:12]}"} == set(history.tags.split())
    # A run that is about one tag has nothing to say of the other images.
    reasons = {item.image: item.reason for item in plan.releases} | dict(plan.unreleased)
    assert history.says in reasons.get(next(iter(expected)), "")
    told = [text for text in plan.warnings if "is not resolved" not in text]
    assert any(history.warns in text for text in told) if history.warns else not told
    # Of one image alone the answer is the same, though less of history is read.
    for name in {item.image for item in plan.targets}:
        alone = plan_of(tmp_path, history.event, project, frozenset({name}))
        assert [item for item in alone.releases if name in item.members] == [
            item for item in plan.releases if name in item.members
        ]
        assert alone.unreleased.get(name) == plan.unreleased.get(name)
    # What was released is released: after the tags nothing comes next, and nobody's version is asked for twice.
    for item in plan.releases:
        player._ref(f"tags/{item.git_tag}", item.commit)
    if plan.releases and (history.event is None or not history.event.tag):
        assert versions(plan_of(tmp_path, Event(now=history.event.now if history.event else 0), project)) == {}
