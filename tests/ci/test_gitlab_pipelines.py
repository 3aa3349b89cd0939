"""The GitLab templates end to end: real pipelines of gitlab-ci-local, the real engine, the real registry."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.ci.gitlabrun import PROJECT, TEMPLATES, GitLab, begin
from tests.e2e.conftest import DOCKERFILES, NOTED, Project, empty, layers, nothing_kept, real_registry, small, tiny  # noqa: F401
from tests.gitserver import git_over_http
from tests.hostile import HOSTILE
from tests.lentbuildkit import LentBuildKit
from tests.secondengine import second_engine

pytestmark = pytest.mark.engine

NO_SUCH_FILE = NOTED.replace("/etc/note", "/etc/nothing")

#: What a merge request of another project sets.
FORK = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_MERGE_REQUEST_IID": "7",
    "CI_MERGE_REQUEST_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    "CI_COMMIT_REF_NAME": "feature",
}
OWN = FORK | {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1"}
#: gitlab-ci-local knows the branch of a merge request's pipeline; GitLab does not.
NO_BRANCH = ("--unset-variable", "CI_COMMIT_BRANCH")


def test_a_first_release_and_then_only_what_changes(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    begin(tiny, files={"images/base/suites/base.yaml": NOTED})
    gitlab = GitLab(tiny, tmp_path / "gitlab")
    first = gitlab.run()
    assert first.green, str(first)
    assert first.began == ["dsci-plan", "dsci-base-linux-amd64", "dsci-ml-linux-amd64", "dsci-release"], str(first)
    assert first.work() == [
        "dsci-base-linux-amd64: base build ok",
        "dsci-base-linux-amd64: base test ok",
        "dsci-ml-linux-amd64: ml build ok",
        "dsci-ml-linux-amd64: ml test ok",
    ], "the release builds and tests nothing"
    assert "<testcase" in first.artifact("dsci-base-linux-amd64", "dsci-report/junit.xml").read_text()
    told = dict(
        line.split("=", 1) for line in first.artifact("dsci-release", "dsci-report/dsci.env").read_text().split()
    )
    assert told["DSCI_RELEASED"] == "true" and told["DSCI_VERSIONS"] == "base=0.1.0,ml=0.1.0"
    assert json.loads(first.artifact("dsci-release", "dsci-report/gl-code-quality-report.json").read_text()) == []
    assert tiny.tags() == {"base-v0.1.0", "ml-v0.1.0"}
    assert tiny.images("base") >= {"0.1.0", "latest"} and tiny.images("ml") >= {"0.1.0", "latest"}
    before = tiny.everything()
    tiny.push("fix: another model", {"images/ml/model.txt": "v2\n"})
    second = gitlab.run()
    assert second.green, str(second)
    assert second.work() == ["dsci-ml-linux-amd64: ml build ok", "dsci-ml-linux-amd64: ml test ok"]
    assert "Nothing to do" in second.text, "the job of base ends at once"
    assert tiny.tags() == {"base-v0.1.0", "ml-v0.1.0", "ml-v0.1.1"}
    after = tiny.everything()
    assert after["ml:latest"] != before["ml:latest"]
    assert {name: digest for name, digest in after.items() if name.startswith("base:")} == {
        name: digest for name, digest in before.items() if name.startswith("base:")
    }


@pytest.mark.slow
def test_a_change_of_the_base_builds_all_and_one_of_the_docs_nothing(small: Project, tmp_path: Path) -> None:  # noqa: F811
    begin(small)
    gitlab = GitLab(small, tmp_path / "gitlab")
    assert gitlab.run().green
    small.push(
        "feat: base",
        {"images/base/Dockerfile": DOCKERFILES["base"].replace("echo base", "echo 2")},
    )
    all_of_it = gitlab.run()
    assert all_of_it.green, str(all_of_it)
    order = [name.removeprefix("dsci-").removesuffix("-linux-amd64") for name in all_of_it.began]
    assert order[:2] == ["plan", "base"] and order[-1] == "release"
    assert order.index("python") < order.index("jupyter") < order.index("ml")
    built = [line for line in all_of_it.work() if line.endswith("build ok")]
    assert {line.split()[1] for line in built} == {"base", "python", "jupyter", "ml", "r"} and len(built) == 5
    assert all(line.startswith(f"dsci-{line.split()[1]}-") for line in built), "each is built in its own job"
    assert len(small.tags()) == 10
    before = small.everything()
    small.push("docs: more", {"README.md": "# The family\n"})
    nothing = gitlab.run()
    assert nothing.green, str(nothing)
    assert len(nothing.jobs) == 7, "every job is there"
    assert nothing.work() == []
    assert small.everything() == before and len(small.tags()) == 10


@pytest.mark.slow
def test_a_suite_that_fails_fails_the_pipeline_and_nothing_is_published(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    begin(tiny, files={"images/base/suites/base.yaml": NO_SUCH_FILE})
    gitlab = GitLab(tiny, tmp_path / "gitlab")
    ended = gitlab.run()
    assert ended.jobs == {"dsci-plan": "pass", "dsci-base-linux-amd64": "fail"}, str(ended)
    assert "<failure" in ended.artifact("dsci-base-linux-amd64", "dsci-report/junit.xml").read_text()
    quality = ended.artifact("dsci-base-linux-amd64", "dsci-report/gl-code-quality-report.json").read_text()
    (wrong,) = json.loads(quality)
    assert wrong["location"]["path"] == "images/base/suites/base.yaml" and "/etc/nothing" in wrong["description"]
    assert tiny.tags() == set() and tiny.everything() == {}
    tiny.push("fix: the suite", {"images/base/suites/base.yaml": NOTED})
    mended = gitlab.run()
    assert mended.green, str(mended)
    assert "dsci-base-linux-amd64: base build ok" not in mended.work(), "what was built is found again"
    assert tiny.tags() == {"base-v0.1.0", "ml-v0.1.0"}


@pytest.mark.slow
def test_a_child_pipeline_has_jobs_for_what_is_to_be_done_alone(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    begin(tiny, graph="child", files={"images/base/suites/base.yaml": NO_SUCH_FILE})
    gitlab = GitLab(tiny, tmp_path / "gitlab")
    failed = gitlab.run()
    # GitLab stops here, by `strategy: depend`. gitlab-ci-local takes every child for a success: the release has to find
    # out for itself.
    assert failed.jobs == {
        "dsci-plan": "pass",
        "base-linux-amd64": "fail",
        "dsci-child": "pass",
        "dsci-release": "fail",
    }, str(failed)
    assert "/etc/nothing is not there" in failed.text
    assert tiny.tags() == set() and tiny.everything() == {}
    tiny.push("fix: the suite", {"images/base/suites/base.yaml": NOTED})
    mended = gitlab.run()
    assert mended.green, str(mended)
    assert mended.began == ["dsci-plan", "base-linux-amd64", "ml-linux-amd64", "dsci-release"]
    assert [call.split()[0] for call in mended.calls("base-linux-amd64")] == ["test"]
    assert not [line for line in mended.work() if line.startswith("dsci-release")], "it builds and tests nothing"
    assert tiny.tags() == {"base-v0.1.0", "ml-v0.1.0"}
    tiny.push("fix: another model", {"images/ml/model.txt": "v2\n"})
    leaf = gitlab.run()
    assert leaf.green and leaf.began == ["dsci-plan", "ml-linux-amd64", "dsci-release"], str(leaf)
    assert tiny.tags() == {"base-v0.1.0", "ml-v0.1.0", "ml-v0.1.1"}
    before = tiny.everything()
    tiny.push("docs: more", {"README.md": "# A family\n"})
    nothing = gitlab.run()
    assert nothing.green and nothing.began == ["dsci-plan", "nothing-to-do", "dsci-release"], str(nothing)
    assert tiny.everything() == before


@pytest.mark.slow
def test_a_request_of_another_project_is_tested_and_leaves_no_trace(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    begin(tiny, files={"images/base/suites/base.yaml": NOTED})
    gitlab = GitLab(tiny, tmp_path / "gitlab")
    assert tiny.registry is not None
    tiny.git("checkout", "--quiet", "-b", "feature")
    tiny.commit("feat: another model", {"images/ml/model.txt": "theirs\n"})
    tiny.git("push", "--quiet", "origin", "feature")
    writes = tiny.registry.writes()
    secrets = {"CI_REGISTRY_USER": "someone", "CI_REGISTRY_PASSWORD": "hunter-2", "CI_JOB_TOKEN": "glcbt-1"}
    secrets |= {"DSCI_REGISTRY_USER": "someone", "DSCI_REGISTRY_TOKEN": "hunter-3", "DSCI_PUSH_TOKEN": "glpat-1"}
    theirs = gitlab.run(*NO_BRANCH, branch="feature", variables=FORK | secrets)
    assert theirs.green and theirs.began == ["dsci-request"], str(theirs)
    assert theirs.work() == [f"dsci-request: {each} ok" for each in ("base build", "base test", "ml build", "ml test")]
    assert tiny.registry.writes() == writes and tiny.tags() == set()
    assert not secrets.keys() & theirs.environment("dsci-request").keys(), "there is nobody to log in as"
    # Where GitLab says what the request is compared with, what it does not change is only built where it is needed.
    tiny.commit("docs: theirs", {"README.md": "theirs\n"})
    tiny.git("push", "--quiet", "origin", "feature")
    base = {"CI_MERGE_REQUEST_DIFF_BASE_SHA": tiny.git("rev-parse", "HEAD~1")}
    docs = gitlab.run(*NO_BRANCH, branch="feature", variables=FORK | base)
    assert docs.green and docs.began == ["dsci-request"] and docs.work() == [], str(docs)
    # A request of the project's own is trusted: what it builds is there for the release that comes after it.
    ours = gitlab.run(*NO_BRANCH, branch="feature", variables=OWN)
    assert ours.green and ours.began == ["dsci-plan", "dsci-base-linux-amd64", "dsci-ml-linux-amd64"], str(ours)
    assert tiny.registry.writes() > writes
    assert tiny.tags() == set() and tiny.everything() == {}


@pytest.mark.slow
def test_a_suite_of_another_project_that_fails_is_seen(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    begin(tiny, files={"images/base/suites/base.yaml": NO_SUCH_FILE})
    ended = GitLab(tiny, tmp_path / "gitlab").run(*NO_BRANCH, variables=FORK)
    assert ended.jobs == {"dsci-request": "fail"}, str(ended)
    assert "<failure" in ended.artifact("dsci-request", "dsci-report/junit.xml").read_text()


#: Names that a variable can hold.
NAMES = [name for name in HOSTILE if name.strip() and "\0" not in name and name.isprintable() | name.isascii()]
MESSAGE = (
    "feat: \"; touch OWNED; # $(touch OWNED) `touch OWNED` '; touch OWNED; '\n\nBREAKING: $(touch OWNED)\n%0A::error::x"
)


def told(name: str) -> dict[str, str]:
    """The variables of a branch that is called so, and of a commit that says so."""
    branch = ("CI_COMMIT_BRANCH", "CI_COMMIT_REF_NAME", "CI_DEFAULT_BRANCH")
    return {**dict.fromkeys(branch, name), "CI_COMMIT_TITLE": name, "CI_COMMIT_MESSAGE": MESSAGE}


@pytest.mark.slow
def test_names_and_messages_are_never_run(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    begin(tiny, files={"dsci.yaml": 'tags: ["{version}", "{branch}"]\n'})
    gitlab = GitLab(tiny, tmp_path / "gitlab")
    tiny.commit(MESSAGE, {"images/ml/model.txt": "v2\n"})
    tiny.git("push", "--quiet", "origin", "main")
    for number, name in enumerate(NAMES, 1):
        # The branch is checked out nowhere: its name comes by the variables alone. All jobs see the first of them.
        ended = gitlab.run(*(["dsci-release"] if number > 1 else []), detached=True, variables=told(name))
        assert ended.green and ended.began[-1] == "dsci-release", str(ended)
        assert ended.environment("dsci-release")["CI_COMMIT_BRANCH"] == name, "it was there"
        assert not list(tmp_path.rglob("*OWNED*"))
        tags = tiny.images("ml") - {"0.1.0"}
        assert len(tags) == number, f"each branch has a tag of its own: {name!r} {sorted(tags)}"
    assert tiny.tags() == {"base-v0.1.0", "ml-v0.1.0"}


@pytest.mark.slow
def test_a_template_that_runs_a_name_would_be_found_out(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    begin(tiny)
    careless = tmp_path / "careless"
    shutil.copytree(TEMPLATES, careless)
    text = (careless / "pipeline.yml").read_text()
    assert "    - dsci plan" in text
    (careless / "pipeline.yml").write_text(
        text.replace("    - dsci plan", '    - eval "echo $CI_COMMIT_BRANCH"\n    - dsci plan', 1)
    )
    GitLab(tiny, tmp_path / "gitlab").run("dsci-plan", variables=told("$(touch OWNED)"), templates=careless)
    assert list(tmp_path.rglob("*OWNED*"))


@pytest.mark.slow
def test_a_version_tagged_by_hand_is_released_by_one_job(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    begin(tiny)
    tiny.git("tag", "--annotate", "--message", "by hand", "ml-v2.0.0")
    tiny.git("push", "--quiet", "origin", "ml-v2.0.0")
    ended = GitLab(tiny, tmp_path / "gitlab").run(
        *NO_BRANCH, variables={"CI_COMMIT_TAG": "ml-v2.0.0", "CI_COMMIT_REF_NAME": "ml-v2.0.0"}
    )
    assert ended.green and ended.began == ["dsci-release"], str(ended)
    assert "2.0.0" in tiny.images("ml")


@pytest.mark.slow
def test_where_gitlab_is_not_named_nothing_is_released_from_a_request(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    """gitlab-ci-local says GITLAB_CI=false: what set the pipeline off is told by the other variables alone."""
    begin(tiny)
    ended = GitLab(tiny, tmp_path / "gitlab").run(*NO_BRANCH, variables=FORK | {"GITLAB_CI": "false"})
    assert ended.green and ended.began == ["dsci-request"], str(ended)
    assert "a request from another repository" in ended.text
    assert tiny.tags() == set()


@pytest.mark.slow
def test_a_buildkit_elsewhere_builds_and_the_engine_tests(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    """What `engine: buildkit-rootless` comes to: a remote builder. Here it is another engine's BuildKit."""
    begin(tiny, files={"images/base/suites/base.yaml": NOTED})
    gitlab = GitLab(tiny, tmp_path / "gitlab")
    name = f"dsci-test-{os.getpid()}"
    with (
        second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=True) as endpoint,
        contextlib.closing(LentBuildKit("127.0.0.1", endpoint)) as lent,
    ):
        try:
            ended = gitlab.run(variables={"DSCI_BUILDKIT": lent.address, "DSCI_BUILDER": name})
        finally:
            subprocess.run(["docker", "buildx", "rm", name], capture_output=True, check=False)
    assert ended.green, str(ended)
    assert f"DSCI_BUILDER={name}" in "\n".join(f"{k}={v}" for k, v in ended.environment("dsci-release").items())
    assert len(ended.work()) == 4 and tiny.tags() == {"base-v0.1.0", "ml-v0.1.0"}


@pytest.mark.slow
def test_another_machine_builds_on_what_the_first_pushed(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    begin(tiny)
    with second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=True) as endpoint:
        gitlab = GitLab(tiny, tmp_path / "gitlab", {"dsci-ml-linux-amd64": endpoint})
        ended = gitlab.run()
    assert ended.green, str(ended)
    assert ended.work() == ["dsci-base-linux-amd64: base build ok", "dsci-ml-linux-amd64: ml build ok"]
    below, above = layers(tiny, "base", "0.1.0"), layers(tiny, "ml", "0.1.0")
    assert above[: len(below)] == below and len(above) > len(below), "it stands on the very image of the first machine"


#: The default engine is a service, which no image can be had for here: the job's variables lead to this machine's.
HERE = """
.dsci-engine-dind:
  services: []
  variables:
    DOCKER_HOST: {host}
    DOCKER_TLS_VERIFY: ""
    DOCKER_CERT_PATH: ""
"""


@pytest.mark.slow
def test_the_component_project_tests_itself(empty: Project, tmp_path: Path) -> None:  # noqa: F811
    root = TEMPLATES.parent
    files = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}
    files[".gitlab-ci.yml"] += HERE.format(host=os.environ["DOCKER_HOST"])
    empty.push("feat: components", files)
    empty.dsci_alone("ci", "generate", "gitlab", "--check", "--output", "self-test/jobs.yml")
    ended = GitLab(empty, tmp_path / "gitlab").run(variables={"DSCI_IMAGE": "acme/dsci"})
    assert ended.green and ended.began == ["dsci-plan", "dsci-hello-linux-amd64"], str(ended)
    assert ended.work() == ["dsci-hello-linux-amd64: hello build ok", "dsci-hello-linux-amd64: hello test ok"]
    assert empty.tags() == set() and empty.images("hello") == set(), "nothing is released"


@pytest.mark.slow
def test_a_project_may_have_the_templates_itself(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    tiny.write({f"ci-templates/templates/{path.name}": path.read_text() for path in TEMPLATES.iterdir()})
    begin(tiny, uses="./ci-templates")
    assert 'local: "/ci-templates/templates/pipeline.yml"' in (tiny.folder / ".gitlab/dsci.yml").read_text()
    ended = GitLab(tiny, tmp_path / "gitlab").run()
    assert ended.green and len(ended.jobs) == 4, str(ended)
    assert tiny.tags() == {"base-v0.1.0", "ml-v0.1.0"}


TOKEN = "glpat-a-token-that-may-push"


@pytest.mark.slow
def test_a_push_token_pushes_and_is_written_nowhere(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    begin(tiny)
    gitlab = GitLab(tiny, tmp_path / "gitlab")
    assert tiny.remote is not None
    # A repository is where its project's path says.
    shutil.copytree(tiny.remote, tmp_path / "server" / f"{PROJECT}.git")
    with git_over_http(tmp_path / "server" / "x", user="oauth2", password=TOKEN) as here:
        address = {"CI_SERVER_URL": here, "CI_PROJECT_URL": f"{here}/{PROJECT}"}
        for token, may in (("glpat-another-token", False), (TOKEN, True)):
            ended = gitlab.run(variables=address | {"DSCI_PUSH_TOKEN": token})
            assert ended.jobs["dsci-release"] == ("pass" if may else "fail"), str(ended)
            pushed = tiny.git("ls-remote", "--tags", "--refs", str(tmp_path / "server" / f"{PROJECT}.git"))
            assert {line.rpartition("/")[2] for line in pushed.splitlines()} == (
                {"base-v0.1.0", "ml-v0.1.0"} if may else set()
            )
            assert bool(tiny.images("ml")) == may
            assert token not in ended.text
            kept = [path for path in ended.state.rglob("*") if path.is_file() and "scripts" not in path.parts]
            assert any(path.name == "config" and here in path.read_text() for path in kept), "the clone was looked at"
            found = [path for path in kept if token.encode() in path.read_bytes()]
            assert not found, "in no file that a job leaves"


@pytest.mark.slow
def test_a_report_of_scans_is_there_if_it_is_asked_for(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    """dsci has to be told to scan as well: what was not scanned must not look clean."""
    begin(tiny, inputs="      container-scanning: report\n")
    ended = GitLab(tiny, tmp_path / "gitlab").run()
    assert ended.jobs["dsci-release"] == "fail", str(ended)
    assert "container-scanning" in ended.text and "scan" in ended.text
