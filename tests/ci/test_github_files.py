"""The actions and workflows as files: what GitHub's schemas and the linters say, and that files and pages say the same.

Each program and each look is shown a file that is wrong, once: what never says no holds nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ci.githubrun import PIN, PROGRAM, ROOT

ACTIONS = sorted(ROOT.glob("actions/*/action.yml"))
WORKFLOWS = sorted(ROOT.glob(".github/workflows/dsci-*.yml"))
EXAMPLES = sorted(ROOT.glob("examples/github/*.yml"))
BARE = {"PATH": "/usr/bin:/bin"}
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
ROW = re.compile(r"^\| `([\w-]+)` \| (.*) \|$", re.MULTILINE)


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A linter's answer."""
    program = Path(os.environ["DSCI_TEST_CI"]) / "bin" / name
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def on(workflow: Mapping[Any, Any]) -> Any:
    """What sets a workflow off: YAML 1.1 reads its key as a truth."""
    return workflow.get("on", workflow.get(True))


def broken(tmp_path: Path, source: Path, old: str, new: str) -> Path:
    """A copy of a file, at the same place in another repository, with this one thing wrong."""
    text = source.read_text()
    assert old in text
    copy = tmp_path / source.relative_to(ROOT)
    copy.parent.mkdir(parents=True)
    copy.write_text(text.replace(old, new, 1))
    return copy


def steps(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every step of an action or of a workflow."""
    for part in (document.get("runs", {}), *document.get("jobs", {}).values()):
        yield from part.get("steps", ())


def used(document: Mapping[str, Any]) -> set[str]:
    """Everything that is used: actions by steps, workflows by jobs."""
    called = {job["uses"] for job in document.get("jobs", {}).values() if "uses" in job}
    return called | {step["uses"] for step in steps(document) if "uses" in step}


def loose(document: Mapping[str, Any]) -> set[str]:
    """What is used at a place that can move."""
    return {name for name in used(document) if not (name.startswith("$/actions/") or PINNED.fullmatch(name))}


def interpolated(document: Mapping[str, Any]) -> list[str]:
    """Scripts that something is written into before a shell reads them."""
    return [step["run"] for step in steps(document) if "${{" in step.get("run", "")]


def test_everything_is_here() -> None:
    assert [path.parent.name for path in ACTIONS] == ["build", "plan", "release", "report", "setup"]
    assert [path.name for path in WORKFLOWS] == ["dsci-pipeline.yml", "dsci-pr.yml"]
    assert [path.name for path in EXAMPLES] == ["ci.yml", "pr.yml"]


def test_zizmor_finds_nothing(tmp_path: Path) -> None:
    files = [*ACTIONS, *WORKFLOWS, *EXAMPLES]
    ended = tool("zizmor", "--offline", "--no-progress", *files)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr.count("completed ") == len(files), "each of them was looked at"
    bad = broken(tmp_path, ACTIONS[0], "run: |\n", "run: |\n        echo ${{ inputs.only }}\n")
    assert "template-injection" in (ended := tool("zizmor", "--offline", "--no-progress", bad)).stdout
    assert ended.returncode != 0


def test_actionlint_finds_nothing(tmp_path: Path) -> None:
    ended = tool("actionlint", *WORKFLOWS, *EXAMPLES)
    assert ended.returncode == 0, ended.stdout
    bad = broken(tmp_path, WORKFLOWS[0], "needs.plan.outputs.wave-3", "needs.wave-0.outputs.wave-3")
    ended = tool("actionlint", bad)
    assert ended.returncode != 0 and "wave-0" in ended.stdout


@pytest.mark.parametrize(
    ("schema", "files", "old", "new"),
    [
        ("vendor.github-workflows", [*WORKFLOWS, *EXAMPLES], "permissions: {}", "permissions: {contents: all}"),
        ("vendor.github-actions", ACTIONS, "using: composite", "using: compost"),
        ("custom.github-workflows-require-timeout", WORKFLOWS, "    timeout-minutes: 30\n", ""),
    ],
)
def test_github_would_read_them(schema: str, files: list[Path], old: str, new: str, tmp_path: Path) -> None:
    ended = tool("check-jsonschema", "--builtin-schema", schema, *files)
    assert ended.returncode == 0, ended.stdout
    assert tool("check-jsonschema", "--builtin-schema", schema, broken(tmp_path, files[0], old, new)).returncode != 0


@pytest.mark.parametrize("path", [*ACTIONS, *WORKFLOWS, *EXAMPLES], ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_used_is_pinned_and_nothing_is_written_into_a_script(path: Path) -> None:
    document = read(path)
    assert list(steps(document)) or used(document)
    assert loose(document) == set()
    assert interpolated(document) == []
    for step in steps(document):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"] == {"fetch-depth": 0, "persist-credentials": False}


def test_the_looks_say_no(tmp_path: Path) -> None:
    moving = broken(tmp_path / "a", WORKFLOWS[0], "@3d3c42e5aac5ba805825da76410c181273ba90b1", "@v7")
    assert loose(read(moving)) == {"actions/checkout@v7"}
    callers = broken(tmp_path / "b", WORKFLOWS[0], "uses: $/actions/plan", "uses: ./actions/plan")
    assert loose(read(callers)) == {"./actions/plan"}, "which would be the caller's"
    written = broken(tmp_path / "c", ACTIONS[0], "case $DSCI_TEST in", "case ${{ inputs.test }} in")
    assert len(interpolated(read(written))) == 1


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_jobs_may_do_what_is_said_and_end_in_time(path: Path) -> None:
    document = read(path)
    assert document["permissions"] == {}
    for name, job in document["jobs"].items():
        assert "timeout-minutes" in job and "permissions" in job, name
        for right, value in job["permissions"].items():
            assert f"{right}: {value} #" in path.read_text(), f"nobody says why {name} may do that"


def test_what_published_names_may_hold_is_no_secret() -> None:
    """GitHub hands on no output of a job that holds a secret's text: with a user as secret, `tags` would be empty.

    Source: https://docs.github.com/en/actions/how-tos/write-workflows/choose-what-workflows-do/pass-job-outputs
    """
    call = on(read(WORKFLOWS[0]))["workflow_call"]
    assert not [name for name in call["secrets"] if not re.search(r"token|password|key|auth-config", name)]
    assert "registry-user" in call["inputs"]


def test_an_empty_matrix_is_never_run() -> None:
    jobs = read(WORKFLOWS[0])["jobs"]
    waves = {name: job for name, job in jobs.items() if "strategy" in job}
    assert list(waves) == [f"wave-{number}" for number in range(8)]
    for number, (name, job) in enumerate(waves.items()):
        assert f"fromJSON(needs.plan.outputs.waves) > {number} }}}}" in job["if"]
        assert job["strategy"]["matrix"] == f"${{{{ fromJSON(needs.plan.outputs.{name}) }}}}"
        assert job["strategy"]["fail-fast"] is False
        assert job["needs"] == (["plan", f"wave-{number - 1}"] if number else ["plan"])
        assert job["steps"] == waves["wave-0"]["steps"]
    assert jobs["release"]["needs"] == ["plan", *waves] and jobs["report"]["needs"] == ["plan", *waves, "release"]


def test_a_publish_is_never_cancelled_and_tells_calls_and_branches_apart() -> None:
    concurrency = read(WORKFLOWS[0])["jobs"]["release"]["concurrency"]
    assert concurrency["cancel-in-progress"] is False
    assert "needs.plan.outputs.artifacts" in concurrency["group"] and "github.ref" in concurrency["group"]


def test_requests_get_no_secret_no_token_and_no_right_to_write() -> None:
    text = WORKFLOWS[1].read_text()
    document = read(WORKFLOWS[1])
    code = "\n".join(line.partition("#")[0] for line in text.splitlines())
    assert "secrets" not in code and "github.token" not in code and "GITHUB_TOKEN" not in code
    assert "secrets" not in on(document)["workflow_call"]
    assert all(job["permissions"] == {"contents": "read"} for job in document["jobs"].values())
    caller = read(EXAMPLES[1])
    assert on(caller) == "pull_request", "never pull_request_target"
    assert "secrets" not in caller["jobs"]["images"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_call_what_is_there_and_grant_what_it_asks_for(path: Path) -> None:
    (job,) = read(path)["jobs"].values()
    called, _, pin = job["uses"].removeprefix("acme/dsci/").partition("@")
    assert pin == PIN
    workflow = read(ROOT / called)
    assert set(job["with"]) <= set(on(workflow)["workflow_call"]["inputs"])
    order = {"none": 0, "read": 1, "write": 2}
    for inner in workflow["jobs"].values():
        for right, value in inner["permissions"].items():
            # GitHub starts no run where a called job asks for more than its caller has.
            assert order[job["permissions"].get(right, "none")] >= order[value], right


def rows(text: str, heading: str) -> dict[str, str]:
    """The rows of the table below a heading: what is in the first column, and the rest."""
    section = text.partition(f"{heading}\n")[2]
    return dict(ROW.findall(re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)[0]))


@pytest.mark.parametrize("path", ACTIONS, ids=lambda path: path.parent.name)
def test_every_input_and_output_is_on_its_page_and_the_reverse(path: Path) -> None:
    document, page = read(path), path.with_name("README.md").read_text()
    inputs = rows(page, "## Inputs")
    assert list(inputs) == list(document["inputs"]) and list(rows(page, "## Outputs")) == list(document["outputs"])
    for name, value in document["inputs"].items():
        default = "required" if value.get("required") else f"`{value['default']}`" if value["default"] else ""
        assert inputs[name].partition(" | ")[0].strip() == default, name
    scripts = path.read_text() + "".join(other.read_text() for other in path.parent.glob("*.sh"))
    for name in document["inputs"]:
        assert f"${{{{ inputs.{name} }}}}" in scripts, f"{name} is read nowhere"
    index = (ROOT / "actions/README.md").read_text()
    assert f"({path.parent.name}/README.md)" in index


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_input_of_the_workflows_is_in_the_docs_and_the_reverse(path: Path) -> None:
    call = on(read(path))["workflow_call"]
    page = (ROOT / "docs/github-actions.md").read_text()
    assert list(rows(page, f"### Inputs of `{path.name}`")) == list(call["inputs"])
    assert list(rows(page, f"### Secrets of `{path.name}`")) == list(call.get("secrets", {}))
    assert list(rows(page, f"### Outputs of `{path.name}`")) == list(call.get("outputs", {}))
    text = path.read_text()
    for name in call["inputs"]:
        assert f"inputs.{name} " in text or f"inputs.{name})" in text, f"{name} is read nowhere"
    for name in call.get("secrets", {}):
        assert f"secrets.{name} " in text, f"{name} is read nowhere"


def test_the_setup_script_is_clean_shell(tmp_path: Path) -> None:
    script = ROOT / "actions/setup/install.sh"
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def setup(tmp_path: Path, **given: str) -> subprocess.CompletedProcess[str]:
    """What the script of `setup` comes to."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_PATH": str(tmp_path / "path"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "DSCI_ACTION": str(ROOT / "actions/setup"),
        "DSCI_INSTALL_FROM": "path",
        "DSCI_WHEEL": "",
        "DSCI_PYTHON": "python3",
        "DSCI_ENGINE": "false",
        **{name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith("_CERT_FILE")},
        **given,
    }
    script = ROOT / "actions/setup/install.sh"
    return subprocess.run(["bash", script], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"DSCI_INSTALL_FROM": "pypi"}, "install-from is path, wheel or installed, and not 'pypi'"),
        ({"DSCI_INSTALL_FROM": "x\n::error::forged"}, "not 'x%0A::error::forged'"),
        ({"DSCI_INSTALL_FROM": "wheel", "DSCI_WHEEL": "none.whl"}, "names no wheel that is there: 'none.whl'"),
        ({"DSCI_PYTHON": "no-such-python"}, "no-such-python is no Python 3.11 or newer"),
        ({"DSCI_INSTALL_FROM": "installed", "PATH": "/usr/bin:/bin"}, "there is no dsci on PATH"),
        ({"DSCI_INSTALL_FROM": "installed", "DSCI_ENGINE": "yes"}, "engine is true or false, and not 'yes'"),
        (
            {"DSCI_INSTALL_FROM": "installed", "DSCI_ENGINE": "true", "DOCKER_HOST": "unix:///nowhere.sock"},
            "no Docker Engine answers",
        ),
    ],
)
def test_setup_says_what_is_missing(given: dict[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/dsci").write_text("#!/bin/sh\necho dsci 1\n")
    (tmp_path / "bin/dsci").chmod(0o755)
    ended = setup(tmp_path, **{"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", **given})
    assert ended.returncode == 1
    (error,) = [line for line in ended.stdout.splitlines() if line.startswith("::")]
    assert error.startswith("::error title=dsci could not be set up::") and said in error


@pytest.mark.slow
def test_setup_installs_this_repository_and_puts_nothing_else_on_path(tmp_path: Path) -> None:
    source = tmp_path / "dsci"
    source.mkdir()
    for part in ("actions", *PROGRAM):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, source / part)
    ended = setup(tmp_path, DSCI_ACTION=str(source / "actions/setup"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (folder,) = (tmp_path / "path").read_text().splitlines()
    assert [path.name for path in Path(folder).iterdir()] == ["dsci"]
    outputs = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
    assert outputs == {"dsci-version": ended.stdout.splitlines()[-1], "dsci-path": f"{folder}/dsci"}
    ended = subprocess.run([outputs["dsci-path"], "schema"], capture_output=True, text=True, check=True, env=BARE)
    assert json.loads(ended.stdout)
    # A wheel is installed as well.
    wheels = ["python3", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path / "wheels"]
    subprocess.run([*wheels, source], check=True)
    (wheel,) = (tmp_path / "wheels").iterdir()
    (tmp_path / "output").unlink()
    ended = setup(tmp_path, DSCI_INSTALL_FROM="wheel", DSCI_WHEEL=str(wheel.relative_to(tmp_path)))
    assert ended.returncode == 0 and "dsci-path=" in (tmp_path / "output").read_text(), ended.stdout + ended.stderr
