"""kill -9 before and after every single remote write of a release, and what else may happen to one in the middle.

Faults F31 to F33 and F40. After each: names that people use are as they were or as planned, never missing; what is
immutable never changes; the next run finishes what was claimed.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Project, released
from tests.e2e.gated import CHANGE, IMAGES, Gated, Moment, gated
from tests.gate import Write

pytestmark = pytest.mark.engine

_FLOATING = ("latest", "1", "1.0", "1.1")


class Story:
    """A family that was released once and is to be released again, and how that goes when nobody is killed."""

    def __init__(self, project: Gated, place: Path) -> None:
        self.project = project
        project.release()
        project.check_finished()
        self.old = project.public()
        project.push("feat(base): another note", CHANGE)
        self.before = Moment(project, place / "before")
        project.gate.open()
        ended = project.release()
        project.check_finished()
        self.versions = released(ended)
        self.writes = tuple(write.what for write in project.gate.seen)
        self.planned = project.public()

    def check_between(self) -> None:
        """What must hold at any moment: no name is missing, none is anything but old or as planned."""
        names = self.project.public()
        assert names.keys() >= self.old.keys(), f"missing: {self.old.keys() - names.keys()}"
        for name, digest in names.items():
            if name.rpartition(":")[2] in _FLOATING:
                claims = set(self.project.claims().values())
                assert digest == self.old.get(name) or digest in claims, f"{name} is neither old nor claimed"
            elif name in self.old:
                assert digest == self.old[name], f"{name} was overwritten"
            else:
                assert digest in self.project.claims().values(), f"{name} stands and is not claimed"

    def check_end(self) -> None:
        """The planned state, whatever happened on the way."""
        self.project.check_finished()
        assert self.project.public().keys() == self.planned.keys()
        assert {name: self.project.public()[name] for name in self.old if name.rpartition(":")[2] not in _FLOATING} == {
            name: digest for name, digest in self.old.items() if name.rpartition(":")[2] not in _FLOATING
        }

    def killed_at(self, count: int, *, acted: bool) -> bool:
        """Release once more from the start, killed at a write; then again. Whether it was killed."""
        self.before.restore()
        self.project.gate.kill_at(count, acted=acted)
        ended = self.project.end(self.project.start("release", "--json"))
        assert ended.code in (0, -signal.SIGKILL), str(ended)
        self.project.gate.rest()
        self.project.gate.open()
        self.check_between()
        self.project.release()
        self.check_end()
        return ended.code != 0


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    place = tmp_path_factory.mktemp("crash")
    with gated(place, "crash") as project:
        yield Story(project, place)


def _points(story: Story) -> list[tuple[int, bool]]:
    return [(count, acted) for count in range(1, len(story.writes) + 1) for acted in (False, True)]


def test_a_finished_release_is_run_again_without_any_write(story: Story) -> None:
    """No POST, PATCH, PUT or DELETE, and no push: nothing is written where nothing is to be done."""
    story.before.restore()
    story.project.release()
    story.project.gate.open()
    ended = story.project.release()
    assert story.project.gate.seen == [], ended
    assert ended.json["publications"] == [] and ended.json["released"] == []
    story.check_end()


def test_killed_at_a_sample_of_writes(story: Story) -> None:
    """F31: around the claim, which is the point of no return, and at writes that a seed picks."""
    claim = next(number for number, what in enumerate(story.writes, 1) if what.startswith("push"))
    points = [(claim, False), (claim, True), *random.Random(31).sample(_points(story), 2)]
    assert sum(story.killed_at(count, acted=acted) for count, acted in points) >= 2


_PARTS = 8


@pytest.mark.slow
@pytest.mark.parametrize("part", range(_PARTS))
def test_killed_before_and_after_every_single_write(story: Story, part: int) -> None:
    """F31, all of it, in the order of the writes."""
    points, killed = _points(story), 0
    mine = points[len(points) * part // _PARTS : len(points) * (part + 1) // _PARTS]
    for count, acted in mine:
        try:
            killed += story.killed_at(count, acted=acted)
        except Exception as error:
            where = story.writes[count - 1]
            raise AssertionError(f"killed {'after' if acted else 'before'} write {count}, {where}: {error}") from error
    assert killed > len(mine) / 2, f"{killed} of {len(mine)} runs were killed"


@pytest.mark.parametrize(
    "at",
    [
        "push ",
        pytest.param("/blobs/uploads/", marks=pytest.mark.slow),
        pytest.param("/manifests/latest", marks=pytest.mark.slow),
    ],
)
def test_terminated_in_the_middle(story: Story, at: str) -> None:
    """F32: a cancelled CI job. It ends as one that was told to, leaves nothing behind, and is made up for."""
    story.before.restore()
    story.project.gate.kill_at(2 if "uploads" in at else 1, acted=False, kill=signal.SIGTERM, only=at)
    ended = story.project.end(story.project.start("release"))
    assert ended.code == 143, str(ended)
    story.project.gate.open()
    story.check_between()
    runs = story.project.state / "dsci" / "runs"
    assert not runs.exists() or list(runs.iterdir()) == []
    assert set(story.project.remote.glob("**/*.lock")) == set()  # type: ignore[union-attr]
    story.project.release()
    story.check_end()


def _once(project: Gated, at: str, meddle: object) -> None:
    """Have `meddle` done before the first write that has `at` in its name."""
    waiting = [meddle]

    def judge(write: Write, acted: bool) -> None:
        if at in write.what and not acted and waiting:
            waiting.pop()()  # type: ignore[operator]

    project.gate.judge = judge


@pytest.mark.slow
def test_an_index_whose_image_was_lost_is_not_released(story: Story) -> None:
    """F33: the image of a platform goes between its build and the claim: nothing is claimed, and it is named."""
    story.before.restore()
    project = story.project
    registry = project.registry
    assert registry is not None

    def lose() -> None:
        for tag in registry.tags(f"{project.prefix}/ml", public=False):
            manifest = registry.manifest(f"{project.prefix}/ml", tag)
            if tag.startswith("dsci-") and "config" in manifest and "subject" not in manifest:
                digest = registry.digest(f"{project.prefix}/ml", tag)
                if digest is not None and digest not in str(old):
                    registry.delete(f"{project.prefix}/ml", digest)

    old = [registry.manifest(f"{project.prefix}/ml", tag) for tag in project.images("ml")]
    _once(project, "/ml/manifests/dsci-release-", lose)
    ended = project.end(project.start("release"))
    assert ended.code == 5 and "linux/amd64" in ended.stderr and "  → " in ended.stderr, str(ended)
    assert project.public() == story.old and len(project.claims()) == len(IMAGES)
    project.gate.open()
    project.release()
    story.check_end()


@pytest.mark.slow
def test_a_platform_that_is_not_built_holds_back_its_release(empty: Project) -> None:
    """F33: no index without one of its platforms, though the other one is built."""
    files = {"dsci.yaml": "images: {two: {platforms: [linux/amd64, linux/arm64]}}\n"}
    files |= {"images/two/Dockerfile": "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n"}
    empty.push("feat: two platforms, one of them missing", files | {"images/two/amd64": "amd64\n"})
    ended = empty.release(code=1)
    results = {item["subject"]: item["status"] for item in ended.json["outcomes"]}
    assert results["two@linux/amd64"] == "ok" and results["two@linux/arm64"] == "failed", str(ended)
    assert "two@linux/arm64" in ended.stderr and empty.tags() == set() and empty.images("two") == set()
    empty.push("fix(two): both", {"images/two/arm64": "arm64\n"})
    assert empty.release().json["released"] == ["v0.1.0"] and empty.tags() == {"v0.1.0"}
    index = empty.registry.manifest(f"{empty.prefix}/two", "0.1.0")  # type: ignore[union-attr]
    assert {each["platform"]["architecture"] for each in index["manifests"]} == {"amd64", "arm64"}


def test_a_version_that_somebody_writes_before_the_claim(story: Story) -> None:
    """F40: the name of the coming release is given away by hand: a conflict, and nothing is claimed."""
    story.before.restore()
    project, version = story.project, story.versions["ml"]
    registry = project.registry
    assert registry is not None
    put, foreign = list[str](), registry.manifest(f"{project.prefix}/ml", "1.0.0")
    _once(project, "dsci-release-", lambda: put.append(registry.put(f"{project.prefix}/ml", version, foreign)))
    ended = project.end(project.start("release"))
    assert ended.code == 6 and f"ml:{version}" in ended.stderr and "outside dsci" in ended.stderr, str(ended)
    assert project.public() == story.old | {f"ml:{version}": put[0]}
    assert len(project.claims()) == len(IMAGES), "a version was claimed that cannot stand"


@pytest.mark.slow
def test_a_version_that_somebody_writes_after_the_claim(story: Story) -> None:
    """F40: the same a moment later: the version is claimed, so it is told, and the name is not overwritten."""
    story.before.restore()
    project, version = story.project, story.versions["ml"]
    registry = project.registry
    assert registry is not None
    put, foreign = list[str](), registry.manifest(f"{project.prefix}/ml", "1.0.0")
    _once(project, "push ", lambda: put.append(registry.put(f"{project.prefix}/ml", version, foreign)))
    ended = project.end(project.start("release"))
    assert ended.code == 6 and f"ml:{version}" in ended.stderr and "outside dsci" in ended.stderr, str(ended)
    names = project.public()
    assert names[f"ml:{version}"] == put[0]
    assert all(names[name] == story.old[name] for name in story.old), "a floating tag moved before all versions stand"
    registry.delete_tag(f"{project.prefix}/ml", version, named=False)
    project.release()
    story.check_end()


@pytest.mark.slow
@pytest.mark.parametrize("gone", [False, True], ids=["moved", "deleted"])
def test_a_floating_tag_that_somebody_touches_in_the_middle(story: Story, gone: bool) -> None:
    """F40: it is told, and put right, as the next run would."""
    story.before.restore()
    project = story.project
    registry = project.registry
    assert registry is not None
    written: list[str] = []

    def judge(write: Write, acted: bool) -> None:
        if not acted or not write.what.endswith("/manifests/latest"):
            return
        written.append(write.what.split("/")[-3])
        if len(written) == 3:
            time.sleep(0.5)  # until the one before has been looked at by who wrote it
            victim = f"{project.prefix}/{written[1]}"
            if gone:
                registry.delete_tag(victim, "latest", named=False)
            else:
                registry.put(victim, "latest", registry.manifest(victim, "1.0.0"))

    project.gate.judge = judge
    ended = project.end(project.start("release"))
    assert ended.code == 0, str(ended)
    assert f"{project.prefix}/{written[1]}:latest is {'gone' if gone else 'sha256:'}" in ended.stderr, str(ended)
    project.gate.open()
    story.check_end()
