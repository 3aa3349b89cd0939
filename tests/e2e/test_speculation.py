"""Images that are built while the suites of what they stand on still run: what is gained, and what a failure leaves."""

from __future__ import annotations

import subprocess
import time

import pytest
from tests import realengine
from tests.e2e.conftest import TINY, Ended, Project, outcomes, released

pytestmark = pytest.mark.engine


def suite(script: str) -> str:
    """A suite of one command."""
    return f'schemaVersion: "2.0.0"\ncommandTests:\n  - {{name: slow, command: sh, args: ["-c", "{script}"]}}\n'


def left(project: Project) -> set[str]:
    """The images of this project in the engine."""
    command = ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", f"dsci.local/{project.prefix}/*"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def targets(ended: Ended) -> list[dict[str, str]]:
    """The outcomes of targets, without those of releases."""
    return [item for item in ended.json["outcomes"] if "@" in item["subject"]]


def at(ended: Ended, text: str) -> int:
    """Where this is told."""
    assert text in ended.stderr, str(ended)
    return ended.stderr.index(text)


#: For as long as `ml` takes to be built, and nothing where `ml` inherits the suite.
WHILE_ML_IS_BUILT = "test -e /opt/model.txt || sleep 10"
ML_BUILDS, ML_BUILT, BASE_PASSED = "· build   ml@", "✓ build   ml@", "✓ test    base@"


def test_a_child_is_built_while_its_parent_is_tested_and_tested_after_it(tiny: Project) -> None:
    tiny.commit("test: slow", {"images/base/suites/slow.yaml": suite(WHILE_ML_IS_BUILT)})
    ended = tiny.release()
    assert at(ended, ML_BUILT) < at(ended, BASE_PASSED) < at(ended, "· test    ml@")
    assert "what it stands on is still being tested" in ended.stderr
    assert outcomes(ended) == dict.fromkeys(("base build", "base test", "ml build", "ml test"), "ok")
    assert released(ended) == {"base": "0.1.0", "ml": "0.1.0"}
    assert left(tiny) == set()


@pytest.mark.parametrize("how", ["option", "setting"])
def test_it_waits_where_nothing_is_to_be_built_on_speculation(tiny: Project, how: str) -> None:
    settings = {"dsci.yaml": "builder: {speculate: false}\n"} if how == "setting" else {}
    tiny.commit("test: slow", {"images/base/suites/slow.yaml": suite("test -e /opt/model.txt || sleep 4"), **settings})
    ended = tiny.dsci("test", "--json", *(["--no-speculate"] if how == "option" else []))
    assert at(ended, BASE_PASSED) < at(ended, ML_BUILDS)
    assert set(outcomes(ended).values()) == {"ok"}


def test_with_one_hand_a_suite_goes_first(tiny: Project) -> None:
    tiny.commit("test: slow", {"images/base/suites/slow.yaml": suite("sleep 1")})
    ended = tiny.dsci("test", "--json", "--jobs", "1")
    assert at(ended, BASE_PASSED) < at(ended, ML_BUILDS)


@pytest.mark.slow
def test_what_was_built_on_a_failed_image_is_dropped_and_counts_for_nothing(tiny: Project) -> None:
    """It stays under its key, which says what it is made of and no more: what is mended decides what is used again."""
    tiny.commit("test: bad", {"images/base/suites/bad.yaml": suite(f"{WHILE_ML_IS_BUILT}; exit 7")})
    ended = tiny.dsci("release", "--json", "--keep", code=1)
    assert at(ended, ML_BUILT) < at(ended, "✗ test    base@")
    told = [(item["subject"], item["stage"], item["status"], item["detail"]) for item in targets(ended)]
    assert [item[:3] for item in told] == [
        ("base@linux/amd64", "build", "ok"),
        ("base@linux/amd64", "test", "failed"),
        ("ml@linux/amd64", "build", "blocked"),
    ]
    assert told[2][3] == "base@linux/amd64 failed: what was built on it meanwhile is dropped"
    assert tiny.tags() == set() and tiny.images("ml") == set()
    assert left(tiny) == {f"dsci.local/{tiny.prefix}/base:dev"}, "what is dropped is not kept"
    assert tiny.actions() == {"base": "test", "ml": "test"}
    again = tiny.release(code=1)
    assert [item["status"] for item in targets(again)] == ["failed", "blocked"], "as often as one tries"

    tiny.commit("test: mended", {"images/base/suites/bad.yaml": suite("exit 0")})
    ended = tiny.release()
    assert outcomes(ended) == {"base test": "ok", "ml test": "ok"}, "nothing is built again: the suite was wrong"
    assert released(ended) == {"base": "0.1.0", "ml": "0.1.0"}
    subprocess.run(["docker", "image", "rm", f"dsci.local/{tiny.prefix}/base:dev"], check=True, capture_output=True)


@pytest.mark.slow
def test_where_the_image_itself_is_mended_what_was_built_on_it_is_built_again(tiny: Project) -> None:
    tiny.commit("test: bad", {"images/base/suites/bad.yaml": suite("sleep 5; test -e /etc/mended")})
    first = tiny.release(code=1)
    assert outcomes(first)["ml build"] == "blocked" and ML_BUILDS in first.stderr
    tiny.commit("fix: mended", {"images/base/Dockerfile": TINY["base"] + "RUN touch /etc/mended\n"})
    assert outcomes(tiny.release()) == dict.fromkeys(("base build", "base test", "ml build", "ml test"), "ok")


@pytest.mark.slow
def test_a_build_on_an_image_that_fails_is_broken_off(tiny: Project) -> None:
    mark = f"mark-{tiny.prefix}-{time.time_ns()}"
    slow = {"images/ml/Dockerfile": TINY["ml"] + f"RUN sleep 300; : {mark}\n"}
    tiny.commit("test: bad", {"images/base/suites/bad.yaml": suite("sleep 5; exit 7"), **slow})
    began = time.monotonic()
    ended = tiny.release(code=1)
    assert time.monotonic() - began < 120, "it was waited for"
    (blocked,) = [item for item in targets(ended) if item["status"] == "blocked"]
    assert blocked["detail"] == "base@linux/amd64 failed while it was being built"
    assert "base: test failed" in ended.stderr.replace("@linux/amd64", "") and "buildx" not in ended.stderr
    for _ in range(100):
        if not realengine.processes(mark):
            break
        time.sleep(0.1)
    assert realengine.processes(mark) == [] and left(tiny) == set()


@pytest.mark.slow
def test_a_gate_of_lineages_holds_back_what_was_built_on_a_failure(tiny: Project) -> None:
    lone = {"images/lone/Dockerfile": "FROM debian:bookworm-slim\nCOPY it /it\n", "images/lone/it": "1"}
    bad = {"images/base/suites/bad.yaml": suite(f"{WHILE_ML_IS_BUILT}; exit 7"), "dsci.yaml": "gate: lineage\n"}
    tiny.commit("feat: lone", {**lone, **bad})
    ended = tiny.dsci("release", "--json", "--jobs", "3", code=1)
    assert ML_BUILT in ended.stderr
    assert released(ended) == {"lone": "0.1.0"}
    assert {name for name, status in outcomes(ended).items() if status == "blocked"} >= {"ml build"}
