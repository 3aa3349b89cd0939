"""Events: what a run is about."""

from __future__ import annotations

from dsci.model.event import Event, Trigger


def test_a_tip_is_what_a_push_is_about() -> None:
    main = Event(branch="main", default_branch="main")
    assert main.on_default_branch and main.pushed == "main"
    assert not Event(branch="next", default_branch="main").on_default_branch
    assert not Event().on_default_branch
    request = Event(trigger=Trigger.PULL_REQUEST, branch="main", default_branch="main")
    assert request.pushed == "" and not request.on_default_branch
