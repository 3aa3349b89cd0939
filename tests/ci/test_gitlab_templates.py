"""The GitLab templates as texts: each is what GitLab's schema takes, what README.md says, and what its sisters say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dsci.cisetup.starters import GITLAB_ENTRY
from tests.ci.gitlabrun import COMPONENTS, HOST, OPTIONS, PROJECT, TEMPLATES, VERSION, begin, program
from tests.e2e.conftest import Project, empty, nothing_kept, real_registry, tiny  # noqa: F401

#: The linters are set up beside the engine.
pytestmark = pytest.mark.engine

EXAMPLES = TEMPLATES.parents[1] / "examples" / "gitlab"
NAMES = ("build", "pipeline", "plan", "release", "request")
_INPUT = re.compile(r"\$\[\[ inputs\.([a-z-]+) \]\]")


def documents(name: str) -> tuple[dict[str, Any], str]:
    """The inputs of a template, and the text of its jobs."""
    head, _, body = (TEMPLATES / f"{name}.yml").read_text().partition("\n---\n")
    return yaml.safe_load(head)["spec"]["inputs"], body


def jobs(name: str, **given: Any) -> dict[str, Any]:
    """The jobs of a template with these inputs, which stay lists where nothing else stands beside them."""
    inputs, body = documents(name)
    values = {key: given.get(key.replace("-", "_"), each.get("default", "acme/dsci")) for key, each in inputs.items()}

    def put(node: Any) -> Any:
        match node:
            case dict():
                return {put(key): put(value) for key, value in node.items()}
            case list():
                return [put(value) for value in node]
            case str():
                whole = _INPUT.fullmatch(node)
                return values[whole[1]] if whole else _INPUT.sub(lambda found: str(values[found[1]]), node)
        return node

    return put(yaml.safe_load(body))


def check(path: Path) -> subprocess.CompletedProcess[str]:
    """Hold a file to GitLab's own schema."""
    words = ["check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", str(path)]
    return subprocess.run([program(words[0]), *words[1:]], capture_output=True, text=True, check=False)


def test_all_templates_are_looked_at() -> None:
    assert sorted(path.name for path in TEMPLATES.iterdir()) == [f"{name}.yml" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_both_documents_are_what_gitlab_takes(name: str, tmp_path: Path) -> None:
    head, body = tmp_path / "head.yml", tmp_path / "body.yml"
    head.write_text((TEMPLATES / f"{name}.yml").read_text().partition("\n---\n")[0])
    body.write_text(yaml.safe_dump(jobs(name)))
    for path in (head, body):
        ended = check(path)
        assert ended.returncode == 0, ended.stdout
    # The schema can say no.
    body.write_text(yaml.safe_dump(jobs(name) | {"wrong": {"script": "x", "retry": {"max": 7}}}))
    assert check(body).returncode == 1


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_typed_described_and_used(name: str) -> None:
    inputs, body = documents(name)
    assert set(_INPUT.findall(body)) == set(inputs), "an input that is used nowhere is taken without a word"
    for key, each in inputs.items():
        assert each["description"].endswith("."), key
        default = each.get("default")
        assert isinstance(default, list) == (each.get("type") == "array"), key
        assert "options" not in each or default in each["options"], key
    assert [key for key, each in inputs.items() if "default" not in each] == ["image"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_reaches_a_script_by_interpolation_and_nothing_is_global(name: str) -> None:
    _, body = documents(name)
    content = yaml.safe_load(body)
    for job, each in content.items():
        assert "$[[ inputs.job-prefix ]]" in job, "a job of every template bears the prefix; there are no globals"
        for part in ("before_script", "script", "after_script"):
            assert "$[[" not in json.dumps(each.get(part, "")), (job, part)
    assert "gitlab.com" not in body and not re.search(r"https?://", body), "the server is the one that it runs on"


def test_the_parts_of_the_pipeline_are_those_of_the_other_templates() -> None:
    """No template can include another, wherever it is included from: so what they share is written twice, and equal."""
    whole = jobs("pipeline", timeout="1 hour")
    parts: dict[str, Any] = {}
    for name in ("plan", "build", "request", "release"):
        parts |= jobs(name)
    assert {job: each for job, each in whole.items() if job != "dsci-child"} == parts


def test_a_release_is_not_cancelled_and_never_runs_beside_another() -> None:
    found = jobs("release")
    release = found["dsci-release"]
    assert release["interruptible"] is False
    assert release["resource_group"] == "dsci-release"
    assert release["environment"] == {"name": "release"}
    for each in [*found.values(), *jobs("plan").values()]:
        if "retry" in each:
            assert each["retry"]["when"] == ["runner_system_failure", "stuck_or_timeout_failure"]
    assert all(jobs("build")[f".dsci-engine-{engine}"]["variables"]["GIT_DEPTH"] == "0" for engine in engines())
    assert jobs("plan")["dsci-plan"]["variables"]["GIT_DEPTH"] == "0"


def engines() -> list[str]:
    """The engines that can be chosen."""
    inputs, _ = documents("build")
    return inputs["engine"]["options"]


def test_readme_documents_every_input_and_no_other() -> None:
    text = (TEMPLATES.parent / "README.md").read_text()
    section = text.partition("## Inputs")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \| (?:`([^`]*)`|([^|]*)) \| ([^|]*) \|", section, re.MULTILINE)
    documented = {name: (default or other.strip(), where) for name, default, other, where in rows}
    declared: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        for key, each in documents(name)[0].items():
            declared.setdefault(key, {})[name] = each
    assert documented.keys() == declared.keys()
    for key, places in declared.items():
        default, where = documented[key]
        if where == "all":
            assert set(places) == set(NAMES), key
        elif where.startswith("all but"):
            assert set(places) == set(NAMES) - set(re.findall("`([a-z]+)`", where)), key
        else:
            assert set(places) == set(re.findall("`([a-z]+)`", where)), key
        assert len({json.dumps(each, sort_keys=True) for each in places.values()}) == 1, f"{key} differs"
        said = next(iter(places.values())).get("default")
        if isinstance(said, str):
            assert default == (said or "empty"), key
    for engine in engines():
        assert f"| `{engine}` |" in text


def test_the_component_tests_itself_at_its_own_commit(tmp_path: Path) -> None:
    root = TEMPLATES.parent
    text = (root / ".gitlab-ci.yml").read_text()
    assert "/pipeline@$CI_COMMIT_SHA" in text
    inputs = yaml.safe_load(text)["include"][0]["inputs"]
    assert inputs.keys() <= documents("pipeline")[0].keys(), "gitlab-ci-local takes unknown inputs; GitLab does not"
    assert (root / "LICENSE.md").read_text() == (root.parent / "LICENSE").read_text()
    assert check(root / ".gitlab-ci.yml").returncode == 0


@pytest.mark.parametrize("name", [".gitlab-ci.yml", "child.gitlab-ci.yml", "dsci-child.yml"])
def test_examples_are_what_gitlab_takes_and_give_inputs_that_are_there(name: str) -> None:
    path = EXAMPLES / name
    assert check(path).returncode == 0
    for each in yaml.safe_load(path.read_text())["include"]:
        if "component" in each:
            template = re.fullmatch(r"\$CI_SERVER_FQDN/acme/dsci-ci/([a-z]+)@1\.0\.0", each["component"])
            assert template
            inputs = documents(template[1])[0]
            assert each["inputs"].keys() <= inputs.keys(), "gitlab-ci-local takes unknown inputs; GitLab does not"
            assert {key for key, one in inputs.items() if "default" not in one} <= each["inputs"].keys()


def test_all_examples_are_looked_at() -> None:
    assert sorted(path.name for path in EXAMPLES.iterdir()) == [
        ".gitlab-ci.yml",
        "child.gitlab-ci.yml",
        "dsci-child.yml",
    ]


def preview(project: Project, folder: Path, *options: str) -> dict[str, Any]:
    """What gitlab-ci-local makes of the project's files."""
    includes = folder / "state/includes" / HOST / COMPONENTS / VERSION / "templates"
    if not includes.exists():
        shutil.copytree(TEMPLATES, includes)
        project.git("remote", "set-url", "origin", f"https://{HOST}/{PROJECT}.git")
    ended = subprocess.run(
        [program("gitlab-ci-local"), *OPTIONS, "--state-dir", "../state", "--preview", *options],
        cwd=project.folder,
        env=project.env() | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    (folder / "preview.yml").write_text(ended.stdout)
    checked = check(folder / "preview.yml")
    assert checked.returncode == 0, checked.stdout
    return yaml.safe_load(ended.stdout)


def test_a_whole_project_is_what_gitlab_takes(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    begin(tiny)
    included = tiny.folder / ".gitlab/dsci.yml"
    assert yaml.safe_load(included.read_text())["include"][0]["inputs"].keys() <= documents("pipeline")[0].keys()
    for path in (included, tiny.folder / ".gitlab-ci.yml", tiny.folder / ".gitlab/dsci-jobs.yml"):
        assert check(path).returncode == 0, path
    included.write_text(included.read_text().replace("engine: socket", "engine: dind"))
    found = preview(tiny, tmp_path)
    ml = found["dsci-ml-linux-amd64"]
    assert ml["needs"][0]["job"] == "dsci-plan" and ml["needs"][1]["job"] == "dsci-base-linux-amd64"
    assert [each["name"] for each in ml["services"]] == ["docker:29-dind"]
    assert ml["variables"]["DOCKER_HOST"] == "tcp://docker:2376" and ml["variables"]["DOCKER_TLS_VERIFY"] == "1"
    assert ml["variables"]["DSCI_ONLY"] == "ml@linux/amd64"
    included.write_text(included.read_text().replace("engine: dind", "engine: buildkit-rootless"))
    services = preview(tiny, tmp_path)["dsci-ml-linux-amd64"]["services"]
    assert [each["alias"] for each in services] == ["docker", "buildkit"]
    # An engine that is none is refused, and so is a prefix that would name no job.
    for wrong in ("engine: buildah", "engine: socket\n      job-prefix: 'a b'"):
        included.write_text(included.read_text().replace("engine: buildkit-rootless", wrong))
        with pytest.raises(AssertionError):
            preview(tiny, tmp_path)
        included.write_text(included.read_text().replace(wrong, "engine: buildkit-rootless"))


TARGETS = {"dsci-plan", "dsci-base-linux-amd64", "dsci-ml-linux-amd64"}
REQUEST = {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_MERGE_REQUEST_PROJECT_ID": "1"}
#: What sets a pipeline off, and which jobs there are then. "": a variable that is not there.
EVENTS: dict[str, tuple[dict[str, str], set[str]]] = {
    "push of the default branch": ({}, TARGETS | {"dsci-release"}),
    "push of another branch": ({"CI_COMMIT_BRANCH": "feature"}, TARGETS),
    "schedule": ({"CI_PIPELINE_SOURCE": "schedule"}, TARGETS | {"dsci-release"}),
    "button": ({"CI_PIPELINE_SOURCE": "web"}, TARGETS | {"dsci-release"}),
    "tag": ({"CI_COMMIT_TAG": "v1.0.0", "CI_COMMIT_BRANCH": ""}, {"dsci-release"}),
    "merge request": (REQUEST | {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1", "CI_COMMIT_BRANCH": ""}, TARGETS),
    "merge request of a fork": (
        REQUEST | {"CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "2", "CI_COMMIT_BRANCH": ""},
        {"dsci-request"},
    ),
}


def test_who_asks_to_merge_the_default_branch_somewhere_does_not_end_its_releases() -> None:
    """GitLab takes the first rule that fits; gitlab-ci-local lists jobs without a look at `workflow`.

    Source: https://gitlab.com/gitlab-org/gitlab/-/issues/471048
    """
    example = (EXAMPLES / ".gitlab-ci.yml").read_text()
    assert GITLAB_ENTRY.partition("# A branch")[2] in example, "both have the same rules"
    first, *others = yaml.safe_load(GITLAB_ENTRY)["workflow"]["rules"]
    assert first == {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"}
    assert [rule["when"] for rule in others] == ["never", "always"] and "$CI_OPEN_MERGE_REQUESTS" in others[0]["if"]


def test_every_event_has_its_jobs(tiny: Project, tmp_path: Path) -> None:  # noqa: F811
    begin(tiny)
    preview(tiny, tmp_path)
    for name, (variables, wanted) in EVENTS.items():
        words = [word for key, value in variables.items() if value for word in ("--variable", f"{key}={value}")]
        gone = [word for key, value in variables.items() if not value for word in ("--unset-variable", key)]
        command = [program("gitlab-ci-local"), *OPTIONS, "--state-dir", "../state", "--list-csv", *words, *gone]
        ended = subprocess.run(
            [*command, "--ignore-predefined-vars", ",".join(variables)],
            cwd=tiny.folder,
            env=tiny.env() | {"NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert {line.split(";")[0] for line in ended.stdout.splitlines()[1:]} == wanted, f"{name}\n{ended.stdout}"
