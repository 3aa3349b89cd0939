"""Names that follow what a run is about, and when a plan wants them."""

from __future__ import annotations

from typing import Any

from builders import HEAD, STACK, image_digest, look, released, target

from dsci.model.event import Event, Trigger
from dsci.model.facts import Found, Request
from dsci.model.plan import Plan

RULES = "tags: ['{version}', latest, '{branch}', 'type=edge', 'type=ref,event=pr', 'build-{sha}-{branch}']"
SHOT = look({**STACK, "dsci.yaml": f"{RULES}\nimages: {{r: {{tags: ['{{version}}']}}, base: {{release: false}}}}"})
MAIN = Event(branch="main", default_branch="main")


def plan(event: Event = MAIN, **facts: Any) -> Plan:
    return SHOT.plan(Request(event=event), **facts)


def refs(event: Event = MAIN, **facts: Any) -> dict[str, tuple[str, ...]]:
    return {ref.image: ref.tags for ref in plan(event, **facts).refs}


def test_a_push_of_a_branch() -> None:
    assert refs() == dict.fromkeys(("ml", "python"), (f"build-{HEAD[:12]}-main", "main", "edge"))
    item = plan().refs[0]
    assert item.moving == ("main", "edge") and item.commit == HEAD and len(item.destinations) == 1
    assert plan().has_work and not plan().releases
    assert refs(Event(branch="next", default_branch="main"))["ml"] == (f"build-{HEAD[:12]}-next", "next")
    assert refs(Event()) == {}


def test_a_request_and_a_tag() -> None:
    request = Event(trigger=Trigger.PULL_REQUEST, branch="main", default_branch="main", number="7")
    assert refs(request) == dict.fromkeys(("ml", "python"), ("pr-7",))
    assert refs(Event(trigger=Trigger.TAG, tag="ml-v1.0.0", branch="main", default_branch="main")) == {}


def test_a_request_from_a_fork_names_nothing() -> None:
    request = Event(trigger=Trigger.PULL_REQUEST, branch="main", default_branch="main", number="7", foreign=True)
    assert refs(request) == {}
    assert refs(Event(branch="main", default_branch="main", foreign=True)) == {}, "whatever it says of itself"


def test_no_name_follows_a_merge_on_trial() -> None:
    request = Event(trigger=Trigger.PULL_REQUEST, branch="main", default_branch="main", number="7", queued=True)
    assert refs(request) == {}


def test_what_stands_already_is_no_work() -> None:
    assert refs(placed=frozenset({"ml", "python"})) == {} and not plan(placed=frozenset({"ml", "python"})).has_work
    assert refs(placed=frozenset({"ml"})).keys() == {"python"}
    # What is built anew has not been looked at.
    stocked = SHOT.stocked()
    lost = {**stocked, target("ml"): Found()}
    assert refs(placed=frozenset({"ml", "python"}), found=lost).keys() == {"ml"}
    assert image_digest(str(SHOT.keys()[target("ml")])) == stocked[target("ml")].image


def test_nothing_follows_uncommitted_work_or_a_build() -> None:
    assert refs(dirty={target("ml"): "x"}).keys() == {"python"}
    assert SHOT.plan(Request(event=MAIN, release=False)).refs == ()
    assert {ref.image for ref in SHOT.plan(Request(event=MAIN, select=frozenset({"python"}))).refs} == {"python"}


def test_no_branch_takes_the_name_of_a_release() -> None:
    claims = {**SHOT.claims(["1.0.0"]), "ml": (released("ml", "1.0.0", at=HEAD),)}
    for branch in ("1.0.0", "latest", "pr-7"):
        (_, name, _), event = refs(Event(branch=branch, default_branch=branch), claims=claims)["ml"], branch
        assert name != event and event in name


def test_each_variant_has_names_of_its_own() -> None:
    yaml = """\
tags: ["type=ref,event=branch", "type=ref,event=pr", "type=edge,branch=main"]
images: {ml: {variants: {axes: {gpu: [none, cuda12]}}}}
"""
    shot = look({"dsci.yaml": yaml, "images/ml/Dockerfile": "FROM debian:12\nARG GPU\n"})

    def names(**about: Any) -> dict[str, tuple[str, ...]]:
        plan = shot.plan(Request(event=Event(default_branch="main", **about)))
        return {ref.image: ref.tags for ref in plan.refs}

    assert names(branch="main") == {"ml": ("edge", "main"), "ml:cuda12": ("edge-cuda12", "main-cuda12")}
    assert names(trigger=Trigger.PULL_REQUEST, branch="main", number="7")["ml:cuda12"] == ("pr-7-cuda12",)
    # A branch that is called like another's variant takes no name of it; a long one stays legal and its own.
    (name,) = names(branch="main-cuda12")["ml"]
    assert name != "main-cuda12" and name.startswith("main-cuda12-")
    long = names(branch="x" * 126)
    assert long["ml"] == ("x" * 126,) and len(long["ml:cuda12"][0]) == 128 and long["ml:cuda12"][0].endswith("-cuda12")
