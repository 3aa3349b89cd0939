"""Releases that race, interleaved at every write as a seed says (fault F30).

One content under each version, which never changes; `latest` is the newest; both runs end well, and a run after them
finds nothing to do.
"""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Ended
from tests.e2e.gated import FILES, Gated, Moment, gated
from tests.gate import Kept, Write
from tests.turns import Turns

pytestmark = pytest.mark.engine

_IMMUTABLE = {"1.0.0", "1.0.1", "1.0.2", "2.0.0"}


class Race:
    """A family that is released once, and commits that two clones release at once; their images are built."""

    def __init__(self, project: Gated, place: Path) -> None:
        self.project = project
        project.release()
        self.other = project.elsewhere(place / "other")
        assert isinstance(self.other, Gated)
        self.older = project.commit("fix(ml): older", {"images/ml/model.txt": "v2\n"})
        self.newer = project.commit("fix(ml): newer", {"images/ml/model.txt": "v3\n"})
        project.git("checkout", "--quiet", "-b", "aside", self.older)
        self.breaking = project.commit("feat(ml)!: another model", {"images/ml/model.txt": "v4\n"})
        project.git("push", "--quiet", "origin", "main", "aside")
        self.other.git("fetch", "--quiet", "origin")
        for commit in (self.older, self.newer, self.breaking):
            self._build(commit)
        self._moment = Moment(project, place / "before")
        self._second = Kept(place / "second", self.other.folder)

    def _build(self, commit: str) -> None:
        """Have what a commit changes built, so that releases of it are writes and little else."""
        project = self.project
        project.git("checkout", "--quiet", "--detach", commit)
        plan = project.folder.parent / f"{commit}.json"
        plan.write_text(project.dsci("plan", "--json").stdout)
        project.dsci("build", "--plan", str(plan), "--only", "ml@linux/amd64")

    def restore(self) -> None:
        """Go back to the first release."""
        self._moment.restore()
        self._second.restore()

    def run(self, first: str, second: str, seed: int) -> tuple[Ended, Ended, Turns]:
        """Release two commits at once, their writes interleaved by a seed."""
        self.restore()
        gate, turns = self.project.gate, Turns(seed)
        seen: dict[str, str | None] = {}
        changed: list[str] = []

        def judge(write: Write, acted: bool) -> None:
            if acted and write.public and write.name in _IMMUTABLE:
                image = write.what.split("/")[-3]
                digest = self.project.digest(image, write.name)
                if seen.setdefault(f"{image}:{write.name}", digest) != digest:
                    changed.append(f"{image}:{write.name}")
            turns.judge(write, acted)

        both = (self.project, self.other)
        for project, commit in zip(both, (first, second), strict=True):
            project.git("checkout", "--quiet", "--detach", commit)
        gate.judge = judge
        begun = [project.start("release") for project in both]
        turns.begin(*(process.pid for process in begun))
        ended: dict[int, Ended] = {}

        def wait(number: int) -> None:
            try:
                ended[number] = both[number].end(begun[number])  # type: ignore[attr-defined]
            finally:
                turns.end(begun[number].pid)

        waiting = [threading.Thread(target=wait, args=(number,)) for number in (0, 1)]
        for each in waiting:
            each.start()
        for each in waiting:
            each.join()
        gate.open()
        assert ended.keys() == {0, 1}, f"seed {seed}: a run did not end: {turns.order}"
        assert changed == [], f"seed {seed}: {changed} changed"
        return ended[0], ended[1], turns

    def check(self, kind: str, seed: int) -> None:
        """One race of a kind, and what must come of it."""
        first, second = {
            "same commit": (self.newer, self.newer),
            "newer and older": (self.newer, self.older),
            "two versions": (self.breaking, self.newer),
        }[kind]
        one, two, turns = self.run(first, second, seed)
        story = f"{kind}, seed {seed}: {turns.order}\n{one}\n{two}"
        assert (one.code, two.code) == (0, 0), story
        assert {number for number, _ in turns.order} == {0, 1}, "only one of them wrote"
        try:
            self.project.check_finished()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{story}") from error
        claims = self.project.claims()
        made = {name for name in claims if not name.endswith(":1.0.0")}
        if kind == "two versions":
            assert made == {"ml:2.0.0", "ml:1.0.1"}, story
        elif kind == "same commit":
            assert made == {"ml:1.0.1"}, story
        else:  # who came first has the version; the older commit is superseded, or the newer one comes next
            assert made in ({"ml:1.0.1"}, {"ml:1.0.1", "ml:1.0.2"}), story
        again = self.project.end(self.project.start("release"))
        assert again.code == 0 and self.project.gate.seen == [], f"{again}\n{self.project.gate.seen}\n{story}"


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Race]:
    place = tmp_path_factory.mktemp("race")
    files = {name: text for name, text in FILES.items() if "suites" not in name}
    with gated(place, "race", files) as project:
        yield Race(project, place)


@pytest.mark.parametrize(
    ("at", "elsewhere"),
    [("push ", True), pytest.param("/manifests/1", False, marks=pytest.mark.slow)],
    ids=["at the claim", "at its floating tags"],
)
def test_an_older_line_is_finished_though_a_newer_release_stands(race: Race, at: str, elsewhere: bool) -> None:
    """1.0.1 is claimed after 2.0.0, and cut off: by a run of any commit where its tags are not there at all, and by
    one of its own line else.
    """
    race.restore()
    project = race.project
    project.git("checkout", "--quiet", "--detach", race.breaking)
    project.release()
    project.check_finished()
    project.git("checkout", "--quiet", "--detach", race.newer)
    project.gate.kill_at(1, acted=at == "push ", only=at, whole=at != "push ")
    assert project.end(project.start("release")).code == -signal.SIGKILL
    project.gate.open()
    assert "ml:1.0.1" in project.claims() and project.public()["ml:1"] != project.claims()["ml:1.0.1"]
    if elsewhere:
        project.git("checkout", "--quiet", "--detach", race.breaking)
    assert project.release().json["released"] == ["ml-v1.0.1"]
    project.check_finished()
    assert project.public()["ml:latest"] == project.claims()["ml:2.0.0"]


KINDS = ("same commit", "newer and older", "two versions")
_SEEDS = [(KINDS[number % 3], random.Random(30 + number).randrange(10**6)) for number in range(50)]
#: Where claims are not looked at again, the last one leaves `latest` at the older version.
_SAMPLE = [*_SEEDS[:2], ("two versions", 575347)]


@pytest.mark.parametrize(("kind", "seed"), _SAMPLE)
def test_a_race(race: Race, kind: str, seed: int) -> None:
    race.check(kind, seed)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed"), [each for each in _SEEDS if each not in _SAMPLE])
def test_many_races(race: Race, kind: str, seed: int) -> None:
    race.check(kind, seed)
