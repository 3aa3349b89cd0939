"""What holds for every history: versions only grow, the order of unrelated commits says nothing, a rerun is quiet."""

from __future__ import annotations

import tempfile
from pathlib import Path

import semver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from player import FAMILY, Player, Step, branch, commit, empty, merge, plan_of, revert, switch

from dsci.model.event import Event

_MESSAGES = st.sampled_from(
    ["fix: a", "feat: a", "feat!: a", "docs: a", "wip", "chore: a\n\n* feat: b", "perf: a [skip release]", "FIX: a"]
)
_FILES = st.sampled_from(["images/base/x", "images/ml/x", "images/ml/y", "images/ml-gpu/x", "README.md"])
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), _MESSAGES, _FILES),
        st.tuples(st.just("merge"), _MESSAGES, _FILES),
        st.tuples(st.just("revert"), st.just(""), st.just("")),
        st.tuples(st.just("empty"), _MESSAGES, st.just("")),
        st.tuples(st.just("release"), st.just(""), st.just("")),
        st.tuples(st.just("release"), st.just(""), st.just("")),
    ),
    min_size=2,
    max_size=9,
)


def _played(what: str, message: str, path: str, number: int, player: Player) -> list[Step]:
    match what:
        case "commit":
            return [commit(message, path, label=f"c{number}")]
        case "merge":
            name = f"topic-{number}"
            return [branch(name), commit(message, path), switch("main"), merge(name, label=f"c{number}")]
        case "revert" if player.labels:
            return [revert(next(reversed(player.labels)))]
        case "empty":
            return [empty(message)]
    return []


@given(_steps, st.sampled_from(["patch", "same", "none"]), st.sampled_from(["independent", "lockstep"]))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_versions_only_grow_along_first_parents(steps: list[tuple[str, str, str]], propagate: str, mode: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        player = Player(folder)
        player.play({**FAMILY, "dsci.yaml": f"versioning: {{propagate: {propagate}, mode: {mode}}}"}, [])
        released: dict[str, semver.Version] = {}
        for number, (what, message, path) in enumerate(steps):
            for step in _played(what, message, path, number, player):
                player._step(step)
            player.settle()
            plan = plan_of(folder, project="family")
            for item in plan.releases:
                coming = semver.Version.parse(item.version)
                assert item.image not in released or coming > released[item.image]
            if what != "release":
                continue
            for item in plan.releases:
                player._ref(f"tags/{item.git_tag}", item.commit)
                released[item.image] = semver.Version.parse(item.version)
            assert plan_of(folder, project="family").releases == (), "a rerun after the tags releases nothing"


_CHANGES = ("fix: a", "feat(x): b", "docs: c", "wip", "perf!: d\n\nBREAKING CHANGE: e", "Fix: f\n\nRefs #1")


@given(st.permutations(range(len(_CHANGES))), st.integers(1, len(_CHANGES)))
@settings(max_examples=15, deadline=None)
def test_the_order_of_unrelated_commits_says_nothing(order: list[int], count: int) -> None:
    """The same changes to different files, in two orders, ask for the same versions of the same images."""
    found = []
    for chosen in (sorted(order[:count]), order[:count]):
        with tempfile.TemporaryDirectory() as name:
            player = Player(Path(name))
            places = [f"images/{'ml' if n % 2 else 'base'}/file-{n}" for n in range(len(_CHANGES))]
            player.play(FAMILY, [])
            for image in ("base", "ml", "ml-gpu"):
                player._ref(f"tags/{image}-v1.2.3", player.branches["main"])
            for n in chosen:
                player._step(commit(_CHANGES[n], places[n]))
            player.settle()
            plan = plan_of(Path(name), Event(), "family")
            found.append({item.image: item.version for item in plan.releases})
    assert found[0] == found[1]
