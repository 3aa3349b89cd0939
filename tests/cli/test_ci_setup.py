"""`dsci ci generate` and `dsci ci init`: what is written, when it is not, and that equal families have equal bytes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from tests.e2e.conftest import Project

from dsci.cisetup import written
from dsci.cisetup.written import State

SHA = "0123456789abcdef0123456789abcdef01234567"
ACTIONS = f"acme/dsci@{SHA}"
COMPONENT = "gitlab.example.org/acme/dsci-ci@1.0.0"
JOBS = ".gitlab/dsci-jobs.yml"


@pytest.fixture
def family(tmp_path: Path) -> Project:
    """A repository with three images for two platforms, and no remote."""
    return make(tmp_path / "family", tmp_path / "state")


def make(folder: Path, state: Path) -> Project:
    """Such a repository."""
    folder.mkdir()
    project = Project(folder=folder, state=state)
    project.git("init", "--quiet", "--initial-branch=main")
    project.commit(
        "feat: images",
        {
            "images/base/Dockerfile": "FROM debian:bookworm-slim\n",
            "images/ml/Dockerfile": "FROM base\nARG ACCELERATOR\nCOPY --from=r /etc/r /etc/r\n",
            "images/r/Dockerfile": "FROM base\n",
            "dsci.yaml": "platforms: [linux/amd64, linux/arm64]\nregistries: [registry.example.org/acme]\n",
        },
    )
    return project


def gitlab_jobs(project: Project) -> dict:
    """The jobs of the generated file."""
    content = yaml.safe_load((project.folder / JOBS).read_text())
    return {name: job for name, job in content.items() if not name.startswith(".")}


def test_each_target_has_a_job_that_waits_for_all_that_it_needs(family: Project) -> None:
    family.dsci("ci", "generate", "gitlab")
    jobs = gitlab_jobs(family)
    assert {name: job["variables"]["DSCI_ONLY"] for name, job in jobs.items()} == {
        f"dsci-{name}-linux-{arch}": f"{name}@linux/{arch}"
        for name in ("base", "ml", "r")
        for arch in ("amd64", "arm64")
    }
    ml = jobs["dsci-ml-linux-arm64"]
    assert ml["extends"] == ".dsci-linux-arm64" and ml["variables"] == {"DSCI_ONLY": "ml@linux/arm64"}
    assert ml["needs"] == [
        "dsci-plan",
        {"job": "dsci-base-linux-arm64", "artifacts": False},
        {"job": "dsci-r-linux-arm64", "artifacts": False},
    ]
    places = list(jobs)
    for name, job in jobs.items():
        assert all(places.index(need["job"]) < places.index(name) for need in job["needs"][1:])


def test_variants_have_jobs_and_no_two_jobs_a_name(family: Project) -> None:
    files = {"dsci.yaml": "images: {ml: {variants: {axes: {accelerator: [cpu, gpu]}}}}\n"}
    family.commit("feat: variants", files | {"images/ml-gpu/Dockerfile": "FROM ml:gpu\n"})
    family.dsci("ci", "generate", "gitlab")
    jobs = gitlab_jobs(family)
    found = {job["variables"]["DSCI_ONLY"]: name for name, job in jobs.items()}
    assert set(found) == {f"{name}@linux/amd64" for name in ("base", "r", "ml", "ml:gpu", "ml-gpu")}
    assert found["ml:gpu@linux/amd64"] == "dsci-ml-gpu-linux-amd64"
    assert found["ml-gpu@linux/amd64"] == "dsci-ml-gpu-linux-amd64-2"
    assert jobs["dsci-ml-gpu-linux-amd64-2"]["needs"][1]["job"] == "dsci-ml-gpu-linux-amd64"


def test_a_registry_says_which_names_are_siblings(family: Project) -> None:
    """Two prefixes name siblings here: without being told the registry, neither is the family's."""
    family.commit(
        "feat: names in full",
        {
            "dsci.yaml": "platforms: [linux/amd64]\n",
            "images/r/Dockerfile": "FROM registry.example.org/acme/base\n",
            "images/ml/Dockerfile": "FROM quay.io/other/r\n",
        },
    )
    family.dsci("ci", "generate", "gitlab")
    assert gitlab_jobs(family)["dsci-r-linux-amd64"]["needs"] == ["dsci-plan"]
    family.dsci("ci", "generate", "gitlab", "--registry", "registry.example.org/acme")
    assert gitlab_jobs(family)["dsci-r-linux-amd64"]["needs"][1]["job"] == "dsci-base-linux-amd64"
    assert (family.folder / JOBS).read_text().startswith("# Written by `dsci ci generate gitlab --registry registry")


def test_equal_families_have_equal_bytes(tmp_path: Path, family: Project) -> None:
    twin = make(tmp_path / "twin", tmp_path / "other")
    for project in (family, twin):
        project.dsci("ci", "generate", "gitlab")
        project.dsci("ci", "generate", "github", "--uses", ACTIONS)
    for name in (JOBS, ".github/workflows/dsci-jobs.yml"):
        assert (family.folder / name).read_bytes() == (twin.folder / name).read_bytes()
    before = (family.folder / JOBS).read_bytes()
    family.commit("docs: words", {"README.md": "words\n", "images/r/note": "not an edge\n"})
    family.dsci("ci", "generate", "gitlab", "--check")
    family.dsci("ci", "generate", "gitlab")
    assert (family.folder / JOBS).read_bytes() == before


def test_check_shows_what_differs_and_writes_nothing(family: Project) -> None:
    missing = family.dsci("ci", "generate", "gitlab", "--check", code=1)
    assert "+dsci-base-linux-amd64:" in missing.stdout and not (family.folder / JOBS).exists()
    family.dsci("ci", "generate", "gitlab")
    assert "up to date" in family.dsci("ci", "generate", "gitlab", "--check").stdout
    # The work tree counts: the graph is committed with the change that calls for it.
    family.write({"images/python/Dockerfile": "FROM r\n"})
    family.git("add", "--all")
    before = (family.folder / JOBS).read_bytes()
    behind = family.dsci("ci", "generate", "gitlab", "--check", code=1)
    assert "+dsci-python-linux-amd64:" in behind.stdout
    assert "run `dsci ci generate gitlab`" in behind.stderr
    assert (family.folder / JOBS).read_bytes() == before
    family.dsci("ci", "generate", "gitlab")
    family.dsci("ci", "generate", "gitlab", "--check")


def test_a_file_that_somebody_changed_is_not_written_over(family: Project) -> None:
    family.dsci("ci", "generate", "gitlab")
    path = family.folder / JOBS
    ours = path.read_text()
    for text, why in ((ours + "mine: {script: [x]}\n", "was changed"), ("mine: {script: [x]}\n", "did not write it")):
        path.write_text(text)
        ended = family.dsci("ci", "generate", "gitlab", code=6)
        assert why in ended.stderr and "--force" in ended.stderr
        assert path.read_text() == text
        assert "-mine: {script: [x]}" in family.dsci("ci", "generate", "gitlab", "--check", code=1).stdout
    family.dsci("ci", "generate", "gitlab", "--force")
    assert path.read_text() == ours
    path.write_bytes(ours.replace("\n", "\r\n").encode())
    family.dsci("ci", "generate", "gitlab", "--check")


def test_options_are_in_the_file_and_in_what_to_run(family: Project) -> None:
    where = str(family.folder / "jobs.yml")
    options = ("--job-prefix", "images", "--output", where)
    family.dsci("ci", "generate", "gitlab", *options)
    text = Path(where).read_text()
    assert text.startswith(f"# Written by `dsci ci generate gitlab --job-prefix images --output {where}`; sha256:")
    assert "\nimages-ml-linux-amd64:" in text and "extends: .images-target" in text
    assert family.dsci("ci", "generate", "gitlab", "--output", "-").stdout.startswith(
        "# Written by `dsci ci generate gitlab`"
    )
    for wrong in ("A", "a b", "x;y", ""):
        assert "begins no name" in family.dsci("ci", "generate", "gitlab", "--job-prefix", wrong, code=2).stderr


def test_platforms_are_those_of_the_runners_and_not_of_who_generates(family: Project) -> None:
    family.commit("chore: no platforms", {"dsci.yaml": "registries: [registry.example.org/acme]\n"})
    family.dsci("ci", "generate", "gitlab")
    assert "dsci-ml-linux-amd64" in gitlab_jobs(family)
    family.dsci("ci", "generate", "gitlab", "--platform", "linux/arm64")
    assert "dsci-ml-linux-arm64" in gitlab_jobs(family) and "dsci-ml-linux-amd64" not in gitlab_jobs(family)


def test_a_workflow_has_a_job_for_each_target(family: Project) -> None:
    family.dsci("ci", "generate", "github", "--uses", ACTIONS)
    text = (family.folder / ".github/workflows/dsci-jobs.yml").read_text()
    content = yaml.safe_load(text)
    assert content["permissions"] == {}
    jobs = content["jobs"]
    assert set(jobs) == {"plan", "release"} | {
        f"dsci-{name}-linux-{arch}" for name in ("base", "ml", "r") for arch in ("amd64", "arm64")
    }
    assert all("timeout-minutes" in job and "permissions" in job for job in jobs.values())
    assert jobs["dsci-ml-linux-arm64"]["needs"] == ["plan", "dsci-base-linux-arm64", "dsci-r-linux-arm64"]
    assert set(jobs["release"]["needs"]) == set(jobs) - {"release"}
    assert jobs["release"]["concurrency"]["cancel-in-progress"] is False
    for used in re.findall(r"uses: (\S+)", text):
        assert re.search(r"@[0-9a-f]{40}\Z", used) or used == "./.github/workflows/dsci-jobs.yml", used
    for step in (step for job in jobs.values() for step in job["steps"]):
        assert "run" not in step, "whatever a shell does is in the actions"


@pytest.mark.parametrize("uses", ["", "acme/dsci@v1", f"acme/dsci@{SHA}\n", f"a/b/c@{SHA}"])
def test_actions_are_named_by_commit_alone(family: Project, uses: str) -> None:
    for command in ("generate", "init"):
        ended = family.dsci("ci", command, "github", "--uses", uses, code=2)
        assert "40 digits" in ended.stderr
    assert not (family.folder / ".github").exists()


def test_init_begins_a_project_and_changes_nothing_when_it_is_run_again(family: Project) -> None:
    first = family.dsci("ci", "init", "gitlab", "--uses", COMPONENT, "--image", "acme/dsci@sha256:0")
    names = [".gitlab-ci.yml", ".gitlab/dsci.yml", JOBS]
    before = {name: (family.folder / name).read_text() for name in names}
    assert all(f"{name} is written" in first.stdout for name in names)
    assert "DSCI_PUSH_TOKEN" in first.stdout and "Job token permissions" in first.stdout
    assert "has no remote" in first.stderr
    include = yaml.safe_load(before[".gitlab/dsci.yml"])["include"]
    assert include[0]["component"] == "gitlab.example.org/acme/dsci-ci/pipeline@1.0.0"
    assert include[0]["inputs"] == {"image": "acme/dsci@sha256:0", "registry": ""}, "dsci.yaml names registries"
    again = family.dsci("ci", "init", "gitlab", "--uses", COMPONENT, "--image", "acme/dsci@sha256:0")
    assert all(f"{name} is up to date" in again.stdout for name in names)
    assert {name: (family.folder / name).read_text() for name in names} == before
    family.dsci("ci", "generate", "gitlab", "--check")
    moved = family.dsci("ci", "init", "gitlab", "--uses", COMPONENT.replace("1.0.0", "2.0.0"), "--image", "x")
    assert (
        ".gitlab/dsci.yml is written anew" in moved.stdout
        and "pipeline@2.0.0" in (family.folder / names[1]).read_text()
    )


def test_init_leaves_alone_what_is_somebodys(family: Project) -> None:
    family.commit("ci: mine", {".gitlab-ci.yml": "mine: {script: [make]}\n"})
    options = ("ci", "init", "gitlab", "--uses", "./ci-templates", "--image", "acme/dsci")
    ended = family.dsci(*options)
    assert "`- local: /.gitlab/dsci.yml`" in ended.stderr
    assert (family.folder / ".gitlab-ci.yml").read_text() == "mine: {script: [make]}\n"
    assert 'local: "/ci-templates/templates/pipeline.yml"' in (family.folder / ".gitlab/dsci.yml").read_text()
    path, other = family.folder / ".gitlab/dsci.yml", family.folder / JOBS
    path.write_text(path.read_text() + "# mine\n")
    other.unlink()
    assert ".gitlab/dsci.yml was changed" in family.dsci(*options, code=6).stderr
    assert path.read_text().endswith("# mine\n") and not other.exists(), "all of it or nothing"
    family.dsci(*options, "--force")
    assert "# mine" not in path.read_text() and other.exists()
    assert (family.folder / ".gitlab-ci.yml").read_text() == "mine: {script: [make]}\n", "that is never dsci's"


def test_init_on_github_calls_the_reusable_workflows(family: Project) -> None:
    family.commit("chore: no registry", {"dsci.yaml": "platforms: [linux/amd64]\n"})
    family.git("remote", "add", "origin", "https://github.com/Acme/images.git")
    family.git("update-ref", "refs/remotes/origin/trunk", "HEAD")
    family.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    ended = family.dsci("ci", "init", "github", "--uses", ACTIONS)
    caller = yaml.safe_load((family.folder / ".github/workflows/dsci.yml").read_text())
    assert caller["jobs"]["images"]["uses"] == f"acme/dsci/.github/workflows/dsci-pipeline.yml@{SHA}"
    assert caller["jobs"]["images"]["with"] == {"registry": "ghcr.io/acme"}, "in lower case, as registries want it"
    assert caller["permissions"] == {} and caller["jobs"]["images"]["permissions"]["contents"] == "write"
    request = yaml.safe_load((family.folder / ".github/workflows/dsci-pr.yml").read_text())
    assert request["jobs"]["images"]["permissions"] == {"contents": "read"}
    assert "secrets" not in request["jobs"]["images"]
    assert 'branches: ["trunk"]' in (family.folder / ".github/workflows/dsci.yml").read_text()
    assert "contents: write" in ended.stdout and ended.stderr == ""
    assert (
        "does not look like gitlab's" in family.dsci("ci", "init", "gitlab", "--uses", COMPONENT, "--image", "x").stderr
    )


def test_init_on_github_assumes_nothing_without_a_word(family: Project) -> None:
    """Neither the default branch, nor that somebody on ghcr.io is who has that name on another server."""
    family.commit("chore: no registry", {"dsci.yaml": "platforms: [linux/amd64]\n"})
    family.git("remote", "add", "origin", "https://ghe.example.org/Acme/images.git")
    ended = family.dsci("ci", "init", "github", "--uses", ACTIONS)
    caller = yaml.safe_load((family.folder / ".github/workflows/dsci.yml").read_text())
    assert "with" not in caller["jobs"]["images"] and "no registry is known" in ended.stderr
    assert "which branch is the default one is not known here" in ended.stderr


@pytest.mark.parametrize("uses", ["", "../x", "a/b/c", f"{COMPONENT}\n", "./x\n  y: z"])
def test_templates_are_named_by_an_address_or_a_folder(family: Project, uses: str) -> None:
    ended = family.dsci("ci", "init", "gitlab", "--uses", uses, "--image", "x", code=2)
    assert "--uses" in ended.stderr
    assert not (family.folder / ".gitlab").exists()


def test_a_text_knows_whose_it_is() -> None:
    text = written.signed("dsci ci generate gitlab", "a: 1\n")
    assert written.state(None, text) is State.MISSING
    assert written.state(text, text) is State.CURRENT
    assert written.state(text, written.signed("dsci ci generate gitlab --registry x", "a: 1\n")) is State.CURRENT
    assert written.state("a: 1\n", text) is State.FOREIGN
    assert written.state(written.signed("dsci ci generate gitlab", "a: 0\n"), text) is State.OUTDATED
    assert written.state(text.replace("a: 1", "a: 2"), text) is State.EDITED
    assert written.state(text.replace("# Written", "# written"), text) is State.FOREIGN
    assert written.state("", text) is State.FOREIGN
