"""What a run makes of its steps when they end in a certain order: what is told, what counts, what is taken out.

The steps are played here, because no real build ends exactly when a test wants it to; the same is seen on a real
engine in `tests/e2e/test_speculation.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from dsci.errors import BuilderError
from dsci.model.builders import Builders
from dsci.model.family import TargetId
from dsci.model.oci import OCI_MANIFEST, Descriptor, Digest, Platform
from dsci.model.report import Check, Outcome, SuiteReport, Verdict
from dsci.pipeline import steps
from dsci.pipeline import test as testing
from dsci.pipeline.build import Built
from dsci.pipeline.run import Runner, Work
from dsci.pipeline.steps import Steps
from dsci.ports import BuildFailure

PATIENCE = 20


def target(name: str) -> TargetId:
    return TargetId(name, Platform("linux", "amd64"))


def descriptor(name: str) -> Descriptor:
    return Descriptor(media_type=OCI_MANIFEST, digest=Digest.of(name.encode()), size=1)


@dataclass
class Stage:
    """A family by its needs, and how its steps end: `bad` ones fail, and a step waits for what `after` says."""

    needs: Mapping[str, tuple[str, ...]]
    bad: frozenset[str] = frozenset()
    after: Mapping[str, str] = field(default_factory=dict)
    actions: Mapping[str, str] = field(default_factory=dict)
    events: dict[str, threading.Event] = field(default_factory=dict)
    engine: set[str] = field(default_factory=set)
    handed: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)

    def event(self, name: str) -> threading.Event:
        return self.events.setdefault(name, threading.Event())

    def step(self, name: str) -> bool:
        """Play a step such as `build ml`: begin, wait for another one's event, end; whether it went well."""
        self.event(f"begun {name}").set()
        if name in self.after:
            assert self.event(self.after[name]).wait(PATIENCE), f"{name} waited for {self.after[name]}"
        return name not in self.bad

    def run(self, monkeypatch: pytest.MonkeyPatch, jobs: int = 9, **options: Any) -> Work:
        """Carry the plan out."""

        def build(shop: Any, of: TargetId, digests: Mapping[TargetId, Digest]) -> Built | BuildFailure:
            assert {target(need) for need in self.needs[of.image]} <= digests.keys()
            self.engine.add(of.image)
            self.handed.add(of.image)
            good = self.step(f"build {of.image}")
            return Built(descriptor=descriptor(of.image)) if good else BuildFailure(message="no")

        def test(shop: Any, of: TargetId, image: Descriptor, digests: object) -> tuple[SuiteReport, ...]:
            verdict = Verdict.PASSED if self.step(f"test {of.image}") else Verdict.FAILED
            return (SuiteReport(target=str(of), suite="s", checks=(Check(name="c", verdict=verdict),)),)

        def end(subject: str, stage: str, status: str, seconds: float, detail: str = "") -> None:
            self.told.append(f"{stage} {subject.partition('@')[0]} {status}")
            self.event(f"{status} {stage} {subject.partition('@')[0]}").set()

        def remove(name: str) -> None:
            self.engine.discard(name)
            self.event(f"gone {name}").set()

        def cancel(subject: str | None = None) -> None:
            for name in self.needs:
                if subject in (None, str(target(name))):
                    self.event(f"cancelled {name}").set()

        monkeypatch.setattr(steps.building, "build", build)
        monkeypatch.setattr(testing, "test", test)
        monkeypatch.setattr(testing, "ensure_local", lambda shop, of, image: self.engine.add(of.image))
        needs = {target(name): tuple(map(target, of)) for name, of in self.needs.items()}
        image = SimpleNamespace(dockerfile="Dockerfile", repository=SimpleNamespace(at=str))
        family = SimpleNamespace(
            nodes={of: SimpleNamespace(needs=above, problem="") for of, above in needs.items()},
            images=dict.fromkeys(self.needs, image),
            suites=lambda of: ("suite",),
        )
        shop: Any = SimpleNamespace(
            now=SimpleNamespace(family=family),
            private=frozenset(),
            unpinned={},
            builder=SimpleNamespace(cancel=cancel),
            builders=Builders(),
            handed=SimpleNamespace(image=lambda name: None, remove=self.handed.discard),
            engine=SimpleNamespace(
                cancel=lambda: None,
                discard=remove,
                collect=lambda wait: None,
                tag=lambda name, new: self.kept.add(name),
            ),
            registry=SimpleNamespace(resolve=lambda name: None),
            console=SimpleNamespace(begin=lambda *_: None, end=end, warn=self.told.append),
            host_side=None,
            local_name=lambda of: of.image,
            kept_name=lambda of: of.image,
        )
        plan: Any = SimpleNamespace(
            targets=[
                SimpleNamespace(
                    id=str(target(name)),
                    action=self.actions.get(name, "build"),
                    digest=str(Digest.of(name.encode())),
                )
                for name in self.needs
            ]
        )
        rooms: Any = SimpleNamespace(fits=lambda *_: True, refusal=lambda _: None, explain=lambda _: "")
        work = Runner(shop, plan, rooms, jobs=jobs, seconds={}, **options).run()
        assert self.engine == set(), "something is left in the engine"
        assert self.handed == set(), "something is left at hand for builders elsewhere"
        return work


FAMILY = {"base": (), "ml": ("base",), "deep": ("ml",), "lone": ()}


def short(outcomes: list[Outcome]) -> dict[str, str]:
    told = {f"{item.stage} {item.subject.partition('@')[0]}": str(item.status) for item in outcomes}
    assert len(told) == len(outcomes), "something is told twice"
    return told


def detail(work: Work, name: str) -> str:
    return next(item.detail for item in reversed(work.outcomes) if item.subject == str(target(name)))


def test_builds_on_speculation_count_when_all_that_they_stand_on_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Stage(FAMILY, after={"test base": "ok build deep"})
    work = play.run(monkeypatch)
    assert set(short(work.outcomes).values()) == {"ok"} and len(work.outcomes) == 8
    subjects = [f"{item.stage} {item.subject.partition('@')[0]}" for item in work.outcomes]
    assert subjects.index("test base") < subjects.index("build ml") < subjects.index("test ml")
    assert subjects.index("test ml") < subjects.index("build deep")
    assert play.told.index("build deep ok") < play.told.index("test base ok"), "it is told as it happens"
    assert work.images.keys() == set(map(target, FAMILY))


def test_a_failed_suite_drops_what_was_built_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Stage(FAMILY, bad=frozenset({"test base"}), after={"test base": "ok build deep"})
    work = play.run(monkeypatch, keep=True)
    assert short(work.outcomes) == {
        "build base": "ok",
        "test base": "failed",
        "build ml": "blocked",
        "build deep": "blocked",
        "build lone": "ok",
        "test lone": "ok",
    }
    assert detail(work, "deep") == "base@linux/amd64 failed: what was built on it meanwhile is dropped"
    assert work.images.keys() == {target("base"), target("lone")} and play.kept == {"base", "lone"}
    assert work.bad == {target(name) for name in ("base", "ml", "deep")}


def test_a_failed_suite_breaks_off_what_is_being_built(monkeypatch: pytest.MonkeyPatch) -> None:
    after = {"test base": "begun build deep", "build deep": "cancelled deep"}
    play = Stage(FAMILY, bad=frozenset({"test base", "build deep"}), after=after)
    work = play.run(monkeypatch)
    assert short(work.outcomes)["build deep"] == "blocked", "that its build ended badly was our doing"
    assert detail(work, "deep") == "base@linux/amd64 failed while it was being built"
    assert work.errors == []


def test_a_build_that_ends_well_after_all_is_dropped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    after = {"test base": "begun build ml", "build ml": "cancelled ml"}
    work = Stage(FAMILY, bad=frozenset({"test base"}), after=after).run(monkeypatch)
    assert short(work.outcomes)["build ml"] == short(work.outcomes)["build deep"] == "blocked"
    assert target("ml") not in work.images


def test_a_build_that_fails_by_itself_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Stage(FAMILY, bad=frozenset({"test base", "build ml"}), after={"test base": "failed build ml"})
    assert short(play.run(monkeypatch).outcomes)["build ml"] == "failed"


def test_without_speculation_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Stage(FAMILY, bad=frozenset({"test base"}))
    work = play.run(monkeypatch, speculate=False)
    assert "begun build ml" not in play.events and detail(work, "ml") == "base@linux/amd64 failed"


def test_fail_fast_tells_what_is_sure_and_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """`lone` fails while `base` is tested and `ml` is built; `base` passes all the same, so `ml` is whole."""
    after = {"build lone": "ok build ml", "test base": "failed build lone", "build deep": "failed build lone"}
    play = Stage(FAMILY, bad=frozenset({"build lone"}), after=after)
    work = play.run(monkeypatch, fail_fast=True)
    assert short(work.outcomes) == {
        "build base": "ok",
        "build lone": "failed",
        "test base": "ok",
        "build ml": "ok",
        "test ml": "blocked",
        "build deep": "blocked",
    }
    assert detail(work, "ml") == detail(work, "deep") == "lone@linux/amd64 failed, and nothing begins after a failure"
    assert work.images.keys() == {target("base")}, "what was not tested is none of the good ones"


def test_fail_fast_leaves_no_build_on_what_fails_later(monkeypatch: pytest.MonkeyPatch) -> None:
    after = {"build lone": "ok build ml", "test base": "failed build lone"}
    play = Stage(FAMILY, bad=frozenset({"build lone", "test base"}), after=after)
    told = short(play.run(monkeypatch, fail_fast=True).outcomes)
    assert told == {
        "build base": "ok",
        "build lone": "failed",
        "test base": "failed",
        "build ml": "blocked",
        "build deep": "blocked",
    }


@pytest.mark.parametrize(
    ("bad", "speculate"), [([], True), (["test base"], True), (["test base"], False), (["build base"], True)]
)
def test_an_image_goes_after_its_last_use(monkeypatch: pytest.MonkeyPatch, bad: list[str], speculate: bool) -> None:
    """`lone` ends only when those that nobody wants any more are out of the engine."""
    for name in ("base", "ml") if not bad else ("base",):
        play = Stage(FAMILY, bad=frozenset(bad), after={"test lone": f"gone {name}"})
        assert short(play.run(monkeypatch, speculate=speculate).outcomes)["test lone"] == "ok"


def test_what_is_there_already_is_blocked_like_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    actions = {"base": "test", "ml": "reuse", "deep": "retag"}
    work = Stage(FAMILY, bad=frozenset({"test base"}), actions=actions).run(monkeypatch)
    assert short(work.outcomes) == {
        "test base": "failed",
        "build ml": "blocked",
        "build deep": "blocked",
        "build lone": "ok",
        "test lone": "ok",
    }
    assert target("ml") not in work.images


def test_an_interruption_ends_what_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Stage(FAMILY, after={"build base": "cancelled base", "build lone": "cancelled lone"})

    def interrupt(*_: object, **__: object) -> None:
        assert play.event("begun build base").wait(PATIENCE)
        raise KeyboardInterrupt

    monkeypatch.setattr("dsci.pipeline.run.wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        play.run(monkeypatch)
    assert play.event("cancelled base").is_set() and play.engine == set()


def test_an_error_of_one_target_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Stage(FAMILY)
    real = Steps._build

    def build(self: Steps, of: TargetId, images: Mapping[TargetId, Descriptor]) -> Any:
        if of == target("ml"):
            raise BuilderError("the engine fell over", hint="lift it up")
        return real(self, of, images)

    monkeypatch.setattr(Steps, "_build", build)
    work = play.run(monkeypatch)
    assert [error.message for error in work.errors] == ["ml@linux/amd64: the engine fell over"]
    assert detail(work, "ml") == "the engine fell over\nlift it up" and detail(work, "deep") == "ml@linux/amd64 failed"
    assert short(work.outcomes)["test lone"] == "ok"
