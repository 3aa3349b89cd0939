"""What may begin and what begins first: by examples, and by playing runs of generated families to their ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsci.model.graphs import closure
from dsci.model.schedule import UNKNOWN, Schedule, Stage, Step, ways


def build(target: str) -> Step[str]:
    return Step(target, Stage.BUILD)


def suites(target: str) -> Step[str]:
    return Step(target, Stage.TEST)


FAMILY: Mapping[str, list[str]] = {"base": [], "python": ["base"], "ml": ["python"], "r": ["base", "elsewhere"]}


# ------------------------------------------------------------------------------------------------- the longest way


def test_the_longest_way_counts_and_not_the_number_of_children() -> None:
    needs = {"base": [], "python": ["base"], "ml": ["python"], "r": ["base"], "lone": [], "tool": ["elsewhere"]}
    seconds = {"base": 5.0, "python": 10.0, "ml": 100.0, "r": 3.0, "lone": 40.0, "tool": -1.0}
    found = ways(needs, seconds)
    assert found == {"base": 115.0, "python": 110.0, "ml": 100.0, "r": 3.0, "lone": 40.0, "tool": 0.0}


def test_what_was_never_measured_counts_alike() -> None:
    assert ways({"a": [], "b": ["a"], "c": []}, {}) == {"a": 2 * UNKNOWN, "b": UNKNOWN, "c": UNKNOWN}


def test_a_circle() -> None:
    with pytest.raises(CycleError):
        ways({"a": ["b"], "b": ["a"]}, {})
    with pytest.raises(CycleError):
        Schedule({"a": ["b"], "b": ["a"]}, {})


@given(st.lists(st.tuples(st.floats(0, 1000), st.sets(st.integers(0, 9), max_size=3)), max_size=10))
def test_nothing_is_more_urgent_than_what_it_waits_for(items: list[tuple[float, set[int]]]) -> None:
    needs = {n: [need for need in given if need < n] for n, (_, given) in enumerate(items)}
    found = ways(needs, {n: took for n, (took, _) in enumerate(items)})
    for n, given_ in needs.items():
        assert all(found[need] >= found[n] for need in given_)
        assert found[n] >= items[n][0]


# --------------------------------------------------------------------------------------------------- by examples


def test_children_are_built_while_the_suites_of_their_parent_run() -> None:
    schedule = Schedule(FAMILY, {})
    assert schedule.begin(9) == (build("base"),)
    assert schedule.begin(9) == ()
    schedule.done(build("base"))
    assert schedule.begin(9) == (suites("base"), build("python"), build("r"))
    schedule.done(build("python"))
    assert schedule.begin(9) == (build("ml"),), "and so on; it is not tested before its parent has passed"
    assert not schedule.sure("python") and schedule.sure("base")
    schedule.done(suites("base"))
    assert schedule.begin(9) == (suites("python"),) and schedule.sure("python") and not schedule.sure("ml")


def test_without_speculation_they_wait() -> None:
    schedule = Schedule(FAMILY, {}, speculate=False)
    for expected in ("base", "python", "ml"):
        assert schedule.begin(9)[0] == build(expected)
        schedule.done(build(expected))
        assert schedule.begin(9)[0] == suites(expected)
        schedule.done(suites(expected))
    assert schedule.left == ("r",) and schedule.running == (build("r"),)


def test_a_suite_goes_before_what_is_built_on_what_it_tests() -> None:
    """However long that takes: with one hand nothing is ever built on speculation."""
    seconds = {suites("base"): 0.0, build("python"): 1000.0, build("ml"): 1000.0, build("lone"): 1500.0}
    schedule = Schedule({**FAMILY, "lone": []}, seconds)
    order = []
    while begun := schedule.begin(1):
        order += begun
        schedule.done(*begun)
    assert [step.target for step in order if step.stage is Stage.BUILD] == ["base", "python", "lone", "ml", "r"]
    assert order.index(suites("base")) < order.index(build("python"))
    assert order.index(suites("python")) < order.index(build("ml"))


def test_what_is_built_does_not_pile_up_untested() -> None:
    """A leaf's suites are never urgent: by urgency alone the images of a large family would wait until the end."""
    schedule = Schedule({f"leaf-{n}": [] for n in range(20)}, {})
    untested: set[str] = set()
    while schedule.left:
        untested -= {step.target for step in schedule.begin(3) if step.stage is Stage.TEST}
        first = schedule.running[0]
        schedule.done(first)
        untested |= {first.target} if first.stage is Stage.BUILD else set()
        assert len(untested) < 2 * 3


def test_a_failed_suite_blocks_what_was_built_on_it_and_what_is_being_built() -> None:
    schedule = Schedule({**FAMILY, "lone": []}, {})
    schedule.begin(9)
    schedule.done(build("base"))
    assert set(schedule.begin(9)) == {suites("base"), build("python"), build("r")}
    schedule.done(build("python"))
    assert schedule.begin(9) == (build("ml"),)
    assert schedule.fail(suites("base")) == ("ml", "python", "r")
    assert set(schedule.running) == {build("lone"), build("ml"), build("r")}, "they have to be told"
    schedule.done(build("ml"))
    assert schedule.fail(build("r")) == (), "it was blocked already"
    assert schedule.begin(9) == ()
    schedule.done(build("lone"))
    assert schedule.begin(9) == (suites("lone"),)
    assert schedule.left == ("lone",)


def test_after_a_stop_nothing_begins() -> None:
    schedule = Schedule(FAMILY, {})
    schedule.begin(9)
    schedule.stop()
    schedule.done(build("base"))
    assert schedule.begin(9) == ()
    assert schedule.left == ("base", "ml", "python", "r")


def test_what_does_not_fit_lets_others_go_first() -> None:
    schedule = Schedule({"big": [], "small": [], "tiny": []}, {build("big"): 900.0, suites("small"): 5.0})
    fits = {"small"}
    assert schedule.begin(9, fits.__contains__) == (build("small"),)
    schedule.done(build("small"))
    assert schedule.begin(9, fits.__contains__) == (suites("small"),), "a test needs no room"
    assert schedule.begin(9, fits.__contains__) == ()
    schedule.done(suites("small"))
    assert schedule.begin(9, fits.__contains__) == (build("big"),), "waiting for nothing would be for ever"
    assert schedule.begin(9, fits.__contains__) == ()
    fits.add("tiny")
    assert schedule.begin(9, fits.__contains__) == (build("tiny"),)


# ---------------------------------------------------------------------------------------------- played to the end


@dataclass
class Game:
    """A family, how its steps end, and in which order."""

    needs: dict[int, list[int]]
    seconds: dict[Step[int], float]
    bad: set[Step[int]]
    hands: int
    speculate: bool
    tight: set[int]
    begun: list[Step[int]] = field(default_factory=list)
    passed: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    blocked: set[int] = field(default_factory=set)

    def play(self) -> Game:
        """Run it, each step ending when its time has come, and hold every moment to the rules."""
        schedule = Schedule(self.needs, self.seconds, speculate=self.speculate)
        below: dict[int, list[int]] = {n: [m for m in self.needs if n in self.needs[m]] for n in self.needs}
        clock, ends, built = 0.0, dict[Step[int], float](), set[int]()
        while True:
            idle = not ends
            begun = schedule.begin(self.hands, lambda target: target not in self.tight)
            for step in begun:
                assert step not in self.begun and step.target not in self.blocked | self.failed
                above = set(self.needs[step.target])
                if step.stage is Stage.TEST:
                    assert step.target in built and above <= self.passed
                else:
                    assert above <= (built if self.speculate else self.passed)
                    assert step.target not in self.tight or idle, "there was no room"
                    self._suites_first(step.target, built, [*self.begun, *begun])
                ends[step] = clock + self.seconds.get(step, UNKNOWN)
            self.begun += begun
            assert len(ends) <= self.hands and set(schedule.running) == ends.keys()
            if not ends:
                break
            step = min(ends, key=lambda step: (ends[step], step.target, step.stage))
            clock = ends.pop(step)
            if step in self.bad:
                now = set(schedule.fail(step))
                under = closure([step.target], below)
                assert now == under - self.blocked - self.failed
                if step.target not in self.blocked:
                    self.failed.add(step.target)
                self.blocked |= now
            else:
                schedule.done(step)
                if step.target not in self.blocked:
                    (built if step.stage is Stage.BUILD else self.passed).add(step.target)
            assert all(schedule.sure(n) == self.passed.issuperset(self.needs[n]) for n in self.needs)
        assert schedule.left == (), "something was forgotten"
        return self

    def _suites_first(self, target: int, built: set[int], begun: list[Step[int]]) -> None:
        """What is built on speculation takes no hand that a suite above it could have had."""
        for other in closure([target], self.needs):
            if other in built and self.passed.issuperset(self.needs[other]):
                assert Step(other, Stage.TEST) in begun


@st.composite
def games(draw: st.DrawFn) -> Game:
    count = draw(st.integers(1, 9))
    needs = {n: sorted(draw(st.sets(st.integers(0, n - 1), max_size=3))) if n else [] for n in range(count)}
    steps = [Step(n, stage) for n in range(count) for stage in Stage]
    known = draw(st.sets(st.sampled_from(steps)))
    return Game(
        needs=needs,
        seconds={step: draw(st.sampled_from([0.0, 1.0, 5.0, 30.0, 400.0])) for step in steps if step in known},
        bad=draw(st.sets(st.sampled_from(steps), max_size=2)),
        hands=draw(st.integers(1, 4)),
        speculate=draw(st.booleans()),
        tight=draw(st.sets(st.sampled_from(range(count)), max_size=2)),
    )


@given(games())
def test_a_run_keeps_to_the_rules_to_its_end(game: Game) -> None:
    game.play()
    below: dict[int, list[int]] = {n: [m for m in game.needs if n in game.needs[m]] for n in game.needs}
    under = closure(game.failed, below)
    assert game.blocked == under - game.failed
    assert {*game.passed, *game.failed, *game.blocked} == game.needs.keys(), "nothing is lost"
    assert not game.passed & under, "a failure blocks all that stands on it, and nothing else"
    assert game.passed == game.needs.keys() - under - game.failed


@given(games())
def test_the_same_run_takes_the_same_way(game: Game) -> None:
    again = Game(game.needs, game.seconds, game.bad, game.hands, game.speculate, game.tight)
    shuffled = Game(dict(reversed(game.needs.items())), game.seconds, game.bad, game.hands, game.speculate, game.tight)
    assert game.play().begun == again.play().begun == shuffled.play().begun


@given(games())
def test_speculation_changes_no_verdict(game: Game) -> None:
    """Where a target fails by itself, it does so with or without; what passes is the same."""
    other = Game(game.needs, game.seconds, game.bad, game.hands, not game.speculate, game.tight)
    assert game.play().passed == other.play().passed
