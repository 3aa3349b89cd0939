"""What comes after releases: `dsci rollback`, `unhold`, `yank`, `ledger` and `verify --tags`.

The real commands on a real registry and a real remote; no engine is asked.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.claiming import AMD64, claim
from tests.e2e.conftest import Project

from dsci.drivers.git import GitRepository
from dsci.drivers.registry import HttpRegistry
from dsci.pipeline import destinations
from dsci.pipeline.claim import refreshed
from dsci.pipeline.snapshot import Source, snapshot
from dsci.pipeline.world import World


@pytest.fixture
def stack(tiny: Project) -> Project:
    """`base` 1.0.0, and `ml` in five versions on as many commits."""
    claim(tiny, "base 1.0.0", "ml 1.0.0")
    for version in ("1.0.1", "1.1.0", "2.0.0"):
        tiny.push(f"feat: {version}", {"images/ml/model.txt": version})
        claim(tiny, f"ml {version}")
    return tiny


def floats(project: Project, name: str = "ml") -> dict[str, str]:
    """Each tag that moves, and the version that it names."""
    versions = {project.digest(name, tag): tag for tag in project.images(name) if tag.count(".") == 2}
    moving = [tag for tag in project.images(name) if tag.count(".") < 2 and not tag.startswith("sha-")]
    return {tag: versions[project.digest(name, tag)] for tag in sorted(moving)}


def fixed(project: Project, name: str = "ml") -> dict[str, str | None]:
    """Each tag that never moves, and its digest."""
    return {tag: project.digest(name, tag) for tag in project.images(name) if tag.count(".") == 2}


BEFORE = {"1": "1.1.0", "1.0": "1.0.1", "1.1": "1.1.0", "2": "2.0.0", "2.0": "2.0.0", "latest": "2.0.0"}
BACK = {**BEFORE, "1": "1.0.1", "latest": "1.0.1"}


def test_back_and_forth_again(stack: Project) -> None:
    assert floats(stack) == BEFORE
    never = fixed(stack)
    told = stack.dsci("rollback", "ml", "1.0.1", "--why", "it eats\nmemory", "--json").json
    assert {(move["tag"], move["before"], move["after"]) for move in told["moved"]} == {
        ("1", "1.1.0", "1.0.1"),
        ("latest", "2.0.0", "1.0.1"),
        ("1.1", "1.1.0", None),
        ("2", "2.0.0", None),
        ("2.0", "2.0.0", None),
    }
    assert floats(stack) == BACK
    assert fixed(stack) == never
    (mark,) = [path for path in ledger(stack) if path.startswith("marks/ml/")]
    said = json.loads(stack.git("show", f"origin/dsci-ledger:{mark}"))
    assert (said["kind"], said["version"], said["why"]) == ("hold", "1.0.1", "it eats memory")
    assert said["passes"] == ["2.0.0", "1.1.0"]

    # Every run obeys it, and a second one writes nothing.
    writes = stack.registry.writes()  # type: ignore[union-attr]
    again = stack.dsci("rollback", "ml", "1.0.1", "--json").json
    assert again["marks"] == [] and not any(each["changed"] for each in again["publications"])
    assert stack.registry.writes() - writes <= 2, "only the right to push is proven"  # type: ignore[union-attr]
    assert "held back for 1.0.1: it eats memory" in stack.dsci("tags", "ml").stdout

    # A newer release takes its tags; what is held back stays so.
    stack.push("feat: 2.1.0", {"images/ml/model.txt": "2.1.0"})
    claim(stack, "ml 2.1.0", cut=True)
    assert stack.dsci("unhold", "ml", "--dry-run").stdout.count("→") == 1
    stack.dsci("unhold", "ml")
    assert floats(stack) == {**BEFORE, "2": "2.1.0", "2.1": "2.1.0", "latest": "2.1.0"}
    assert fixed(stack).items() >= never.items()


def ledger(project: Project) -> list[str]:
    """The files of the ledger on the remote."""
    project.git("fetch", "--quiet", "origin")
    return project.git("ls-tree", "-r", "--name-only", "origin/dsci-ledger").split()


def test_yanked_for_good(stack: Project) -> None:
    stack.dsci("yank", "ml", "1.1.0", "--why", "wrong weights")
    assert floats(stack) == {**BEFORE, "1": "1.0.1"}, "`1.1` has nowhere to go"
    stack.dsci("yank", "ml", "v2.0.0", "--why", "licence")
    assert floats(stack) == {**BEFORE, "1": "1.0.1", "latest": "1.0.1"}
    refused = stack.dsci("rollback", "ml", "1.1.0", code=2).stderr
    assert "passed over itself (yanked: wrong weights)" in refused
    stack.dsci("unhold", "ml")
    assert floats(stack)["latest"] == "1.0.1", "a hold is lifted, a yank is not"
    stack.dsci("yank", "ml", "2.0.0", "--undo", "--why", "licence granted")
    assert floats(stack) == {**BEFORE, "1": "1.0.1"}
    assert "it is not yanked" in stack.dsci("yank", "ml", "2.0.0", "--undo", "--why", "x").stdout


def test_a_run_that_was_cut_off_is_finished_by_a_plan_of_any_clone(stack: Project, tmp_path: Path) -> None:
    # The mark is pushed, and then the registry goes away.
    assert stack.registry is not None
    address, stack.registry.address = stack.registry.address, "127.0.0.1:9"
    stack.dsci("rollback", "ml", "1.0.0", code=5)
    assert "marks/" not in "".join(ledger(stack)), "the right to push is proven first"
    stack.registry.address = address
    hook = Path(str(stack.remote)) / "hooks" / "post-receive"
    hook.write_text(f"#!/bin/sh\nmv '{stack.registry._folder}/storage' '{stack.registry._folder}/away'\n")
    hook.chmod(0o755)
    stack.dsci("rollback", "ml", "1.0.0", code=5)
    hook.unlink()
    shutil.rmtree(stack.registry._folder / "storage", ignore_errors=True)
    (stack.registry._folder / "away").rename(stack.registry._folder / "storage")
    stack.registry.collect()
    assert floats(stack) == BEFORE
    other = stack.elsewhere(tmp_path / "elsewhere")
    plan = other.dsci("plan", "--json").json
    assert [(item["image"], item["version"], item["claimed"]) for item in plan["releases"]] == [("ml", "1.0.0", True)]
    assert plan["releases"][0]["moving"] == ["1.0", "1", "latest"]
    other.dsci("rollback", "ml", "1.0.0")
    assert floats(stack)["latest"] == "1.0.0"


def test_the_whole_family_goes_back_together(stack: Project) -> None:
    stack.push("feat: base", {"images/base/note": "another\n"})
    claim(stack, "base 1.1.0", "ml 2.1.0")
    told = stack.dsci("rollback", "ml", "1.1.0", "--family", "--json").json
    assert {mark["image"]: mark["version"] for mark in told["marks"]} == {"ml": "1.1.0", "base": "1.0.0"}
    assert floats(stack, "base")["latest"] == "1.0.0" and floats(stack)["latest"] == "1.1.0"
    stack.dsci("unhold", "--family")
    assert floats(stack, "base")["latest"] == "1.1.0" and floats(stack)["latest"] == "2.1.0"
    told = stack.dsci("yank", "base", "1.1.0", "--family", "--why", "CVE", "--json").json
    assert {f"{mark['image']} {mark['version']}" for mark in told["marks"]} == {"base 1.1.0", "ml 2.1.0"}
    assert floats(stack, "base")["latest"] == "1.0.0" and floats(stack)["latest"] == "2.0.0"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rollback", "ml", "9.9.9"), "ml 9.9.9 is not released by dsci"),
        (("rollback", "mll", "1.0.0"), "there is no image 'mll' (did you mean 'ml'?)"),
        (("yank", "ml", "$(touch x)", "--why", "x"), "is not released by dsci"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(stack: Project, arguments: tuple[str, ...], said: str) -> None:
    before = ledger(stack)
    assert said in stack.dsci(*arguments, code=2).stderr
    assert ledger(stack) == before and floats(stack) == BEFORE


def test_without_a_ledger_nothing_goes_back(tiny: Project) -> None:
    tiny.push("chore: no ledger", {"dsci.yaml": "ledger: none\n"})
    claim(tiny, "base 1.0.0")
    assert "dsci.yaml says `ledger: none`" in tiny.dsci("rollback", "base", "1.0.0", code=2).stderr


def test_a_mark_that_cannot_be_read_stops_every_run_by_name(stack: Project) -> None:
    stack.dsci("rollback", "ml", "1.0.1")
    stack.git("fetch", "--quiet", "origin", "dsci-ledger:dsci-ledger")
    stack.git("switch", "--quiet", "dsci-ledger")
    (path,) = (stack.folder / "marks/ml").iterdir()
    path.write_text("{")
    stack.commit("fix: by hand")
    stack.git("push", "--quiet", "origin", "dsci-ledger")
    stack.git("switch", "--quiet", "main")
    said = stack.dsci("plan", code=3).stderr
    assert f"marks/ml/{path.name} on the branch dsci-ledger is no mark" in said


def test_the_ledger_says_what_was_released_and_what_was_said_of_it(stack: Project, tmp_path: Path) -> None:
    stack.dsci("rollback", "ml", "1.1.0", "--why", "too slow")
    stack.dsci("unhold", "ml")
    stack.dsci("yank", "ml", "2.0.0", "--why", "broken")
    alone = stack.elsewhere(tmp_path / "alone")
    alone.git("tag", "--delete", *alone.git("tag").split())
    text = alone.dsci_alone("ledger", "ml", "--marks").stdout
    rows = [line.split()[1] for line in text.split("\n\n")[0].splitlines()]
    assert rows == ["2.0.0", "1.1.0", "1.0.1", "1.0.0"]
    assert "yanked: broken" in text.splitlines()[0]
    said = text.split("\n\n")[1]
    assert "ml is held at 1.1.0, over 2.0.0 (too slow)" in said and "1 mark lifted" in said and "  A  " in said
    found = alone.dsci_alone("ledger", "--json").json
    assert [(item["release"]["image"], item["release"]["version"]) for item in found["releases"]][:2] == [
        ("base", "1.0.0"),
        ("ml", "2.0.0"),
    ]
    assert found["releases"][1]["held"] == "yanked: broken"
    alone.git("update-ref", "-d", "refs/remotes/origin/dsci-ledger")
    assert "--fetch asks the remote" in alone.dsci_alone("ledger").stdout
    assert "2.0.0" in alone.dsci_alone("ledger", "--fetch").stdout


def test_tags_are_held_against_what_is_claimed(stack: Project) -> None:
    assert stack.registry is not None
    assert stack.dsci("verify", "--tags").stdout == "19 tags of 5 releases in 2 repositories compared\n"
    repository = f"{stack.prefix}/ml"
    stack.registry.retag(repository, "1.0.0", "latest")
    stack.registry.retag(repository, "1.0.0", "by-hand")
    stack.registry.delete_tag(repository, "1.1", named=False)
    ended = stack.dsci("verify", "--tags", "ml", code=1)
    told = {line.split()[1].rpartition(":")[2]: line for line in ended.stdout.splitlines() if line.startswith("  ")}
    assert told.keys() == {"latest", "1.1", "by-hand"}
    assert "moved" in told["latest"] and "should be ml 2.0.0, and is 1.0.0" in told["latest"]
    assert "missing" in told["1.1"] and "unknown" in told["by-hand"]
    assert "`dsci release` puts them where they belong" in ended.stderr
    stack.dsci("yank", "ml", "2.0.0", "--why", "broken")
    held = [each for each in stack.dsci("verify", "--tags", "--json").json["findings"] if each["state"] == "held"]
    assert {each["reference"].rpartition(":")[2]: each["why"] for each in held} == dict.fromkeys(
        ("2", "2.0"), "yanked: broken"
    )
    stack.dsci("yank", "ml", "2.0.0", "--why", "mended", "--undo")
    # A tag that never moves is another matter.
    stack.registry.retag(repository, "1.0.0", "1.0.1")
    assert "1.0.1 never moves" in stack.dsci("verify", "--tags", code=1).stderr
    stack.registry.retag(repository, stack_digest(stack, "1.0.1"), "1.0.1")
    stack.dsci("unhold", "ml")
    assert floats(stack)["latest"] == "2.0.0", "any of these commands finishes what is not in place"
    assert stack.dsci("verify", "--tags", "--json").json["findings"][0]["state"] == "unknown"


def stack_digest(project: Project, version: str) -> str:
    """What the Git tag of a version claims."""
    message = project.git("tag", "--list", f"ml-v{version}", "--format=%(contents)")
    return next(line.split()[1] for line in message.splitlines() if line.startswith("Dsci-Digest:"))


def test_a_registry_that_is_down_holds_up_no_other(stack: Project) -> None:
    assert stack.registry is not None
    both = ["--registry", f"{stack.registry.address}/{stack.prefix}", "--registry", "127.0.0.1:9/copies"]
    ended = stack.dsci_alone("rollback", "ml", "1.1.0", "--json", *both, code=5)
    assert floats(stack)["latest"] == "1.1.0" and ended.json["failed"].keys() == {"127.0.0.1:9"}
    assert "127.0.0.1:9" in ended.stderr
    stack.dsci_alone("unhold", "ml", *both, code=5)
    assert floats(stack) == BEFORE


def test_a_release_that_is_under_way_sees_what_was_held_meanwhile(stack: Project) -> None:
    stack.push("feat: 2.1.0", {"images/ml/model.txt": "2.1.0"})
    claim(stack, "ml 2.1.0", cut=True)
    git, registry = GitRepository(stack.folder), HttpRegistry()
    assert stack.registry is not None
    prefix = f"{stack.registry.address}/{stack.prefix}"
    source = Source(git=git, project="family", platform=AMD64, registries=(prefix,), branch="main")
    world = World(source=source, registry=registry, resolve=None, lenient=False)

    class Slow:
        """The registry, at which somebody rolls back between a look at `latest` and the PUT that follows it."""

        def __getattr__(self, name: str) -> Any:
            return getattr(registry, name)

        def push_manifest(self, *given: Any, **more: Any) -> Any:
            if given[3] == "latest" and not told:
                told.append(stack.dsci("rollback", "ml", "1.1.0", "--why", "the last ones are bad").stdout)
                assert stack.digest("ml", "latest") == stack.digest("ml", "1.1.0")
            return registry.push_manifest(*given, **more)

    told: list[str] = []
    hands: Any = SimpleNamespace(registry=Slow(), console=SimpleNamespace(say=lambda _: None, warn=lambda _: None))
    try:
        now = snapshot(source, git.head().commit)
        observed = refreshed(world, now)
        newest = next(each for each in observed["ml"] if str(each.version) == "2.1.0")
        destinations.show(world, hands, now, [newest], observed).whole()
    finally:
        registry.close()
        git.close()
    assert told and stack.digest("ml", "2.1.0")
    assert floats(stack)["latest"] == "1.1.0", "nothing passes over a hold, whoever wrote last"


@pytest.mark.engine
def test_releases_obey_what_is_held_and_the_next_one_takes_its_tags(tiny: Project) -> None:
    tiny.release()
    tiny.push("fix: the model", {"images/ml/model.txt": "v2\n"})
    tiny.release()
    assert tiny.digest("ml", "latest") == tiny.digest("ml", "0.1.1")
    tiny.dsci("rollback", "ml", "0.1.0", "--why", "it lies")
    ended = tiny.dsci("release", "--json")
    assert ended.json["released"] == [] and "ml 0.1.1 is held back for 0.1.0: it lies" in ended.stderr
    assert tiny.digest("ml", "latest") == tiny.digest("ml", "0.1.0")
    # Somebody moves the tag forward by hand: the next run takes it back.
    assert tiny.registry is not None
    tiny.registry.retag(f"{tiny.prefix}/ml", "0.1.1", "latest")
    tiny.release()
    assert tiny.digest("ml", "latest") == tiny.digest("ml", "0.1.0")
    tiny.push("fix: the truth", {"images/ml/model.txt": "v3\n"})
    assert tiny.release().json["released"] == ["ml-v0.1.2"]
    assert tiny.digest("ml", "latest") == tiny.digest("ml", "0.1.2") == tiny.digest("ml", "0.1")
