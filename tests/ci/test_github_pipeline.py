"""The workflows as users' repositories call them: which jobs ran, and what registry and Git remote hold then."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ci.githubrun import OURS, PIN, PROGRAM, ROOT, Hub, Ran
from tests.e2e.conftest import DOCKERFILES, NOTED, TINY, make_project, push_small
from tests.faultyproxy import FaultyProxy
from tests.gitserver import git_over_http
from tests.realregistry import RealRegistry
from tests.secondengine import second_engine
from tests.tokengate import TokenGate

pytestmark = pytest.mark.engine

FAILING = NOTED.replace("/etc/note", "/etc/nothing")
SECRET = "registry0123456789abcdefghijklm"
#: A job of the caller's that reads what the workflow gives.
AFTER = """\
  after:
    needs: images
    runs-on: ubuntu-24.04
    steps:
      - id: seen
        env:
          SAID: ${{ toJSON(needs.images.outputs) }}
        run: echo "said=$(tr -d '\\n' <<<"$SAID")" >>"$GITHUB_OUTPUT"
"""
CANARY = "canary0123456789abcdefghijklmnop"


@pytest.fixture
def hub(tmp_path: Path, registry: RealRegistry, request: pytest.FixtureRequest) -> Hub:
    """GitHub with the tiny family, committed and pushed."""
    project = make_project(tmp_path, registry, request.node.name)
    files = {f"images/{name}/Dockerfile": text for name, text in TINY.items()}
    files |= {"images/base/note": f"{project.prefix}\n", "images/ml/model.txt": "v1\n"}
    files["images/base/suites/base.yaml"] = NOTED
    project.push("feat: two images", files)
    return Hub(project, tmp_path / "hub")


@pytest.fixture
def stack(tmp_path: Path, registry: RealRegistry, request: pytest.FixtureRequest) -> Hub:
    """GitHub with the small family, committed and pushed."""
    project = make_project(tmp_path, registry, request.node.name)
    push_small(project, {"images/ml/model.txt": f"{project.prefix}\n"})
    return Hub(project, tmp_path / "hub")


def waves(*jobs: str) -> dict[str, str]:
    """What a pipeline comes to that has these jobs, each `0 base`, and in which all goes well."""
    middle = [f"wave-{job}-linux-amd64" for job in jobs]
    return dict.fromkeys(["plan", *middle, "release", "report"], "success")


def done(report: Any) -> dict[str, str]:
    """How each stage of each image ended, in a report."""
    return {f"{item['subject'].partition('@')[0]} {item['stage']}": item["status"] for item in report["outcomes"]}


def in_order(ran: Ran, *names: str) -> bool:
    """Whether these jobs ended one after the other."""
    ended = list(ran.jobs)
    places = [ended.index(name) for name in names]
    return places == sorted(places)


def test_a_push_is_planned_built_tested_and_released_and_a_docs_commit_does_nothing(hub: Hub) -> None:
    hub.example("ci.yml")
    hub.calls((hub.project.folder / ".github/workflows/ci.yml").read_text() + AFTER)
    ran = hub.push()
    assert ran.jobs == {**waves("0 base", "1 ml"), "after": "success"}, str(ran)
    assert in_order(ran, "plan", "wave-0 base-linux-amd64", "wave-1 ml-linux-amd64", "release", "report")
    assert ran.code == 0
    project = hub.project
    assert project.registry is not None and project.tags() == {"base-v0.1.0", "ml-v0.1.0"}
    for name in TINY:
        assert project.images(name) >= {"0.1.0", "0.1", "0", "latest"}
        assert project.digest(name, "latest") == project.digest(name, "0.1.0")
    # Each job built and tested its own, and the release nothing.
    assert {job: set(done(report)) for job, report in ran.reports().items()} == {
        "base-linux-amd64": {"base build", "base test"},
        "ml-linux-amd64": {"ml build", "ml test"},
        "release": set(),
    }
    # Outputs of the step, and of the whole workflow as its caller sees them.
    outputs, seen = ran.outputs("release"), json.loads(ran.outputs("seen")["said"])
    assert outputs["released"] == seen["released"] == "true" and outputs["failed"] == "false"
    assert json.loads(outputs["versions"]) == json.loads(seen["versions"]) == dict.fromkeys(TINY, "0.1.0")
    where = f"{project.registry.address}/{project.prefix}"
    assert json.loads(outputs["digests"]) == {f"{where}/{name}": project.digest(name, "0.1.0") for name in TINY}
    assert {f"{where}/{name}:latest" for name in TINY} <= set(outputs["tags"].split("\n"))
    assert ran.summary("plan").startswith("## dsci plan\n") and ": 2 to build.\n" in ran.summary("plan")
    assert "| `ml@linux/amd64` | build |" in ran.summary("wave-1 ml-linux-amd64")
    assert f"| `{where}/base:latest` |" in ran.summary("release") and f"| `{where}/base:latest` |" in ran.summary(
        "report"
    )
    before = {name: (project.images(name), project.digest(name, "latest")) for name in TINY}

    project.push("docs: how it works", {"README.md": "# Images\n"})
    hub.example("ci.yml")
    ran = hub.push()
    assert ran.jobs == waves(), str(ran)
    assert ran.code == 0 and ran.outputs("release")["released"] == "false"
    assert {name: (project.images(name), project.digest(name, "latest")) for name in TINY} == before
    assert project.tags() == {"base-v0.1.0", "ml-v0.1.0"}


def test_a_suite_that_fails_fails_the_pipeline_and_nothing_is_published(hub: Hub) -> None:
    hub.project.push("test: what is not there", {"images/base/suites/base.yaml": FAILING})
    hub.example("ci.yml")
    ran = hub.push()
    # What stands on base does its own, and its suites are base's too; it is the release that does not begin.
    assert ran.jobs.pop("wave-1 ml-linux-amd64") == "failure"
    assert ran.jobs == {"plan": "success", "wave-0 base-linux-amd64": "failure", "report": "success"}, str(ran)
    assert ran.code != 0
    assert hub.project.tags() == set()
    assert {name: hub.project.images(name) for name in TINY} == {"base": set(), "ml": set()}
    assert ran.outputs("report")["failed"] == "true"
    assert ran.summary("report").startswith("## dsci: failed\n") and "/etc/nothing" in ran.summary("report")


def test_a_job_that_act_would_pass_over_is_found_out(hub: Hub) -> None:
    hub.example("ci.yml", runner="windows-2025")
    with pytest.raises(AssertionError, match="a runner is not known"):
        hub.push()


def test_a_platform_has_the_runner_that_is_named_for_it(hub: Hub) -> None:
    """The very expression; act reads `runs-on` of one row for all, so it stands in a step here."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/dsci-pipeline.yml").read_text())
    runs_on = {job["runs-on"] for name, job in workflow["jobs"].items() if name.startswith("wave-")}
    assert len(runs_on) == 1
    expression = runs_on.pop().replace("inputs.runners", "github.event.runners").replace("inputs.runner", "'else'")
    platforms = ["linux/amd64", "linux/arm64", "linux/s390x"]
    job = {
        "strategy": {"matrix": {"include": [{"name": str(n), "platform": each} for n, each in enumerate(platforms)]}},
        "runs-on": "ubuntu-24.04",
        "steps": [{"id": "label", "run": 'echo "is=$IS" >>"$GITHUB_OUTPUT"', "env": {"IS": expression}}],
    }
    hub.calls(json.dumps({"on": "push", "jobs": {"one": job}}))
    default = workflow[True]["workflow_call"]["inputs"]["runners"]["default"]
    ran = hub.push(runners=default)
    labels = [ran.outputs("label", str(n)).get("is") for n in range(len(platforms))]
    assert labels == ["ubuntu-24.04", "ubuntu-24.04-arm", "else"], str(ran)


@pytest.mark.slow
def test_a_family_and_what_its_commits_change(stack: Hub) -> None:
    stack.example("ci.yml")
    project = stack.project
    ran = stack.push()
    assert ran.jobs == waves("0 base", "1 python", "1 r", "2 jupyter", "3 ml"), str(ran)
    assert in_order(ran, *(f"wave-{job}-linux-amd64" for job in ("0 base", "1 python", "2 jupyter", "3 ml")), "release")
    assert project.tags() == {f"{name}-v0.1.0" for name in DOCKERFILES}

    project.push("fix: another model", {"images/ml/model.txt": "v2\n"})
    before = {name: project.digest(name, "latest") for name in DOCKERFILES}
    ran = stack.push()
    assert ran.jobs == waves("0 ml"), "a leaf alone"
    after = {name: project.digest(name, "latest") for name in DOCKERFILES}
    assert {name for name in after if after[name] != before[name]} == {"ml"}
    assert "0.1.1" in project.images("ml")

    other = DOCKERFILES["base"].replace("echo base", "echo root")
    project.push("fix: another family", {"images/base/Dockerfile": other})
    ran = stack.push()
    assert ran.jobs == waves("0 base", "1 python", "1 r", "2 jupyter", "3 ml"), str(ran)
    assert in_order(ran, *(f"wave-{job}-linux-amd64" for job in ("0 base", "1 python", "2 jupyter", "3 ml")), "release")
    assert all("0.1.2" in project.images(name) or "0.1.1" in project.images(name) for name in DOCKERFILES)


@pytest.mark.slow
def test_a_request_of_a_fork_is_built_and_tested_and_leaves_nothing_anywhere(hub: Hub, registry: RealRegistry) -> None:
    project = hub.project
    project.push("feat: caches", {"dsci.yaml": "cache: registry\n"})
    project.git("checkout", "--quiet", "-b", "theirs")
    project.commit("fix: another model", {"images/ml/model.txt": "theirs\n"})
    hub.secrets = {"GITHUB_TOKEN": CANARY, "REGISTRY_TOKEN": CANARY}
    with FaultyProxy("127.0.0.1", registry.address).serving() as proxy:
        hub.project = replace(project, registry=_At(proxy.host))
        hub.example("pr.yml")
        writes = registry.writes()
        ran = hub.request()
        assert ran.jobs == {"plan": "success", "test": "success"}, str(ran)
        (report,) = ran.reports().values()
        assert done(report) == {f"{name} {stage}": "ok" for name in TINY for stage in ("build", "test")}
        assert proxy.requests(), "the registry was asked"
        assert not [seen for seen in proxy.requests() if seen.authorization or seen.method not in ("GET", "HEAD")]
        assert registry.writes() == writes
        assert not any(registry.tags(f"{project.prefix}/{name}", public=False) for name in TINY)
        assert project.tags() == set() and CANARY not in ran.log
        # The one who counts sees writes where there are some: a request of the repository's own hands on what it built.
        assert hub.request(fork=False).jobs == {"plan": "success", "test": "success"}
        assert registry.writes() > writes
    # A request that changes no image has no second job.
    hub.project = project
    project.git("checkout", "--quiet", "-b", "docs", "main")
    project.commit("docs: more", {"README.md": "# Images\n"})
    hub.example("pr.yml")
    assert hub.request().jobs == {"plan": "success"}


def test_what_waits_in_a_merge_queue_is_compared_with_what_it_is_merged_into(hub: Hub) -> None:
    project = hub.project
    base = project.git("rev-parse", "HEAD")
    project.git("checkout", "--quiet", "-b", "gh-readonly-queue/main/pr-7-0123456789")
    project.commit("docs: more", {"README.md": "# Images\n"})
    hub.example("pr.yml")
    text = (project.folder / ".github/workflows/pr.yml").read_text()
    hub.calls(text.replace("on: pull_request\n", "on: merge_group\n"), "pr.yml")

    def queued(base: str) -> Ran:
        told = {"base_ref": "refs/heads/main", "base_sha": base}
        payload = {"ref": "refs/heads/gh-readonly-queue/main/pr-7-0123456789", "merge_group": told}
        return hub.run("merge_group", "pr.yml", payload)

    ran = queued(base)
    assert ran.jobs == {"plan": "success"}, str(ran)
    assert ran.outputs("plan")["has-work"] == "false"
    assert queued("0" * 39 + "1").jobs == {"plan": "failure"}, "it is what is asked for"


def test_where_no_job_has_left_a_report_the_report_says_so(hub: Hub) -> None:
    """A release that could not be set up, after no waves: nothing is downloaded, and the folder is not there."""
    hub.calls(
        "on: push\njobs:\n  report:\n    runs-on: ubuntu-24.04\n    steps:\n"
        f"      - id: report\n        uses: {OURS}/actions/report@{PIN}\n"
        "        with:\n          reports: ${{ runner.temp }}/dsci-reports\n"
    )
    ran = hub.push()
    assert ran.jobs == {"report": "success"}, str(ran)
    assert "no job has left one" in ran.log and ran.outputs("report")["failed"] == "false"


def test_two_calls_in_one_run_keep_their_artifacts_apart(hub: Hub) -> None:
    hub.project.git("checkout", "--quiet", "-b", "docs")
    hub.project.commit("docs: more", {"README.md": "# Images\n"})
    hub.example("pr.yml")
    text = (hub.project.folder / ".github/workflows/pr.yml").read_text()
    head, _, job = text.partition("  images:\n")
    hub.calls(f"{head}  images:\n{job}  others:\n{job}      timeout-minutes: 60\n", "pr.yml")
    ran = hub.request()
    names = [
        event["arg"]
        for event in ran.events
        if event.get("command") == "set-output" and event["name"] == "artifacts" and event["stepID"] == ["names"]
    ]
    assert len(names) == 2 and names[0] != names[1], str(ran)
    assert all(re.fullmatch(r"dsci-[0-9a-f]{12}", name) for name in names)


@pytest.mark.slow
def test_a_pinned_workflow_installs_the_dsci_that_it_is_a_part_of(hub: Hub, tmp_path: Path) -> None:
    project = hub.project
    project.git("checkout", "--quiet", "-b", "docs")
    project.commit("docs: more", {"README.md": "# Images\n"})
    whole = Hub(project, tmp_path / "whole", parts=("actions", ".github", *PROGRAM))
    whole.environment = {"PYTHONPATH": ""}
    whole.example("pr.yml", **{"install-from": "path"})
    ran = whole.request()
    assert ran.jobs == {"plan": "success"}, str(ran)
    (program,) = {e["arg"] for e in ran.events if e.get("command") == "set-output" and e["name"] == "dsci-path"}
    assert re.fullmatch(r".*/tmp/dsci-\w{8}/bin/dsci", program), "in a folder of its own below RUNNER_TEMP"


class _At:
    """A registry as it is reached by another way."""

    def __init__(self, address: str) -> None:
        self.address = address


@pytest.mark.slow
def test_another_machine_builds_on_what_the_first_pushed(hub: Hub) -> None:
    hub.example("ci.yml")
    with second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=True) as endpoint:
        hub.machines = {"wave-1": endpoint}
        ran = hub.push()
    assert ran.jobs == waves("0 base", "1 ml"), str(ran)
    project = hub.project
    assert project.tags() == {"base-v0.1.0", "ml-v0.1.0"}
    layers = {}
    for name in TINY:
        assert project.registry is not None
        index = project.registry.manifest(f"{project.prefix}/{name}", "0.1.0")
        manifest = project.registry.manifest(f"{project.prefix}/{name}", index["manifests"][0]["digest"])
        layers[name] = [layer["digest"] for layer in manifest["layers"]]
    assert layers["ml"][: len(layers["base"])] == layers["base"], "it stands on the very image of the first machine"


@pytest.mark.slow
def test_secrets_reach_those_whom_they_are_for_and_nobody_else(hub: Hub, registry: RealRegistry) -> None:
    project = hub.project
    assert project.remote is not None
    gate = TokenGate("ci", SECRET)
    with (
        git_over_http(project.remote, user="x-access-token", password=CANARY) as address,
        FaultyProxy("127.0.0.1", registry.address, gate=gate).serving() as proxy,
    ):
        project.git("remote", "set-url", "origin", f"{address}/origin.git")
        hub.project = replace(project, registry=_At(proxy.host))
        hub.example("ci.yml", "registry-token", **{"registry-user": "ci"})
        hub.environment = {"GITHUB_SERVER_URL": address}
        refused = hub.push()
        assert refused.jobs == {"plan": "failure"}, str(refused)
        assert "Authentication failed" in refused.log or "could not read Username" in refused.log
        hub.secrets = {"GITHUB_TOKEN": CANARY}
        refused = hub.push()
        late = {"wave-1 ml-linux-amd64": "failure", "report": "success"}
        assert refused.jobs == {"plan": "success", "wave-0 base-linux-amd64": "failure", **late}, str(refused)
        hub.secrets |= {"registry_token": SECRET}
        ran = hub.push()
    assert ran.jobs == waves("0 base", "1 ml"), str(ran)
    listed = project.git("ls-remote", "--tags", "--refs", str(project.remote))
    assert {line.rpartition("/")[2] for line in listed.splitlines()} == {"base-v0.1.0", "ml-v0.1.0"}
    assert project.images("ml") >= {"0.1.0", "latest"}
    for secret in (CANARY, *gate.secrets):
        assert secret not in ran.log
        kept = [
            path
            for path in hub.place.parent.rglob("*")
            if path.is_file() and secret in path.read_text(errors="replace")
        ]
        assert kept == [], "it is in no file"
