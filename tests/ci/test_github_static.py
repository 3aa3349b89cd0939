"""The workflow that `dsci ci generate github` writes, run by act as the user's own workflow calls it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.ci.githubrun import OURS, PIN, ROOT, Hub
from tests.ci.gitlabrun import program
from tests.e2e.conftest import NOTED, Project, empty, nothing_kept, real_registry, tiny  # noqa: F401

pytestmark = pytest.mark.engine

PLACE = ".github/workflows/dsci-jobs.yml"


@pytest.fixture
def hub(tiny: Project, tmp_path: Path) -> Hub:  # noqa: F811
    """GitHub with the tiny family, its graph generated and called."""
    tiny.dsci_alone("ci", "generate", "github", "--uses", f"{OURS}@{PIN}")
    hub = Hub(tiny, tmp_path / "hub")
    assert tiny.registry is not None
    hub.calls(
        "on: push\njobs:\n  images:\n    permissions: {contents: write, packages: write}\n"
        f"    uses: ./{PLACE}\n    with:\n      registry: {tiny.registry.address}/{tiny.prefix}\n"
        "      install-from: installed\n      cache: none\n"
    )
    return hub


def lint(*paths: Path) -> None:
    """Hold workflows to what GitHub takes, and to what is safe."""
    for words in (
        ["actionlint"],
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
        ["zizmor", "--offline", "--no-progress"],
    ):
        command = [program(words[0]), *words[1:], *map(str, paths)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_what_init_writes_calls_workflows_that_are_there(hub: Hub) -> None:
    project = hub.project
    project.dsci("ci", "init", "github", "--uses", f"{OURS}@{PIN}")
    paths = [project.folder / ".github/workflows" / name for name in ("dsci.yml", "dsci-pr.yml")]
    lint(*paths)
    for path in paths:
        (job,) = yaml.safe_load(path.read_text())["jobs"].values()
        called = re.fullmatch(rf"{OURS}/(\.github/workflows/[a-z-]+\.yml)@{PIN}", job["uses"])
        assert called, job["uses"]
        workflow = yaml.load((ROOT / called[1]).read_text(), yaml.BaseLoader)
        assert job["with"].keys() <= workflow["on"]["workflow_call"]["inputs"].keys()
        # A workflow that is called has no right that its caller does not give it.
        given = job["permissions"]
        for wanted in (each.get("permissions") or {} for each in workflow["jobs"].values()):
            assert {name for name, right in wanted.items() if right == "write"} <= {
                name for name, right in given.items() if right == "write"
            }


def test_linters_have_nothing_to_say_and_every_input_is_there(hub: Hub) -> None:
    path = hub.project.folder / PLACE
    lint(path)
    schema = ["check-jsonschema", "--builtin-schema", "custom.github-workflows-require-timeout", str(path)]
    ended = subprocess.run([program(schema[0]), *schema[1:]], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    steps = [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]
    ours = [step for step in steps if step["uses"].startswith(f"{OURS}/actions/")]
    assert len(ours) >= 4
    for step in ours:
        name = re.fullmatch(rf"{OURS}/(actions/[a-z]+)@{PIN}", step["uses"])
        assert name, step["uses"]
        inputs = yaml.safe_load((ROOT / name[1] / "action.yml").read_text())["inputs"]
        assert step.get("with", {}).keys() <= inputs.keys(), "an input that is none is taken without a word"
    # What is pinned is what the workflows of this repository pin.
    pinned = set(re.findall(r"uses: (actions/\S+ # \S+)", path.read_text()))
    assert pinned and all(
        any(each in text.read_text() for text in (ROOT / ".github/workflows").iterdir()) for each in pinned
    )


@pytest.mark.slow
def test_jobs_of_what_has_nothing_to_do_are_passed_over(hub: Hub) -> None:
    project = hub.project
    project.push("test: the note", {"images/base/suites/base.yaml": NOTED.replace("/etc/note", "/etc/nothing")})
    failed = hub.push()
    assert failed.code != 0
    assert failed.jobs == {"plan": "success", "dsci-base-linux-amd64": "failure"}, str(failed)
    assert project.tags() == set() and project.everything() == {}
    project.push("fix: the suite", {"images/base/suites/base.yaml": NOTED})
    first = hub.push()
    assert list(first.jobs) == ["plan", "dsci-base-linux-amd64", "dsci-ml-linux-amd64", "release"], str(first)
    assert set(first.jobs.values()) == {"success"} and first.code == 0
    assert project.tags() == {"base-v0.1.0", "ml-v0.1.0"}
    project.push("fix: another model", {"images/ml/model.txt": "v2\n"})
    leaf = hub.push()
    assert leaf.jobs == dict.fromkeys(("plan", "dsci-ml-linux-amd64", "release"), "success"), str(leaf)
    assert project.tags() == {"base-v0.1.0", "ml-v0.1.0", "ml-v0.1.1"}
    before = project.everything()
    project.push("docs: more", {"README.md": "# Images\n"})
    nothing = hub.push()
    assert nothing.jobs == {"plan": "success", "release": "success"}, str(nothing)
    assert project.everything() == before
