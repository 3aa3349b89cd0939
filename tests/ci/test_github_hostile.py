"""Names and texts of strangers on their way through an action: they stay text, whatever a shell would make of them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.ci.githubrun import OURS, PIN, ROOT, Hub
from tests.e2e.conftest import TINY, make_project
from tests.hostile import HOSTILE
from tests.realregistry import RealRegistry

#: Each would leave this file behind if anything ran it.
FILE = "OWNED"


def can_be_handed_on(name: str) -> bool:
    """Whether a variable can hold it, and act does not take it for an expression, which GitHub never does."""
    return bool(name.strip()) and "\0" not in name and "${{" not in name


NAMES = [name for name in HOSTILE if can_be_handed_on(name)]
LEGAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
#: The random words with which dsci takes the runner's commands away and gives them back.
TOKEN = re.compile(r"[0-9a-f]{32}")
COMMANDS = ("set-output", "add-path", "add-mask", "group", "endgroup", "stop-commands", "error", "summary")
OWN_ERROR = re.compile(r"::error (file=[^,]+,line=[0-9]+,)?title=dsci::")
OUTPUTS = {"plan", "has-work", "waves", *(f"wave-{number}" for number in range(8))}


@pytest.fixture
def hub(tmp_path: Path, registry: RealRegistry, request: pytest.FixtureRequest) -> Hub:
    """GitHub with the tiny family, whose images are tagged by branches and by requests too."""
    project = make_project(tmp_path, registry, request.node.originalname)
    files = {f"images/{name}/Dockerfile": text for name, text in TINY.items()}
    files |= {"images/base/note": "a note\n", "images/ml/model.txt": "v1\n"}
    files["dsci.yaml"] = 'tags: ["{version}", "{branch}", "pr-{pr}"]\n'
    project.push("feat: two images", files)
    # As a CI system checks out: the branch is what the event says.
    project.git("checkout", "--quiet", "--detach")
    return Hub(project, tmp_path / "hub")


def plans(hub: Hub, cases: Mapping[str, Mapping[str, str]], key: str, *, planned: bool = True) -> dict[str, dict]:
    """The plan of each case, made by the action where a variable of the step, or an input, is what the case says.

    Nothing was run and nothing forged in any of them, nor in those that have no plan.
    """
    registry = hub.project.registry
    assert registry is not None
    rows = [{"name": name, **values} for name, values in cases.items()]
    given = {"registry": f"{registry.address}/{hub.project.prefix}"}
    if key != "reference":
        given[key] = f"${{{{ matrix.{key} }}}}"
    steps = [
        {"uses": "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1", "with": {"fetch-depth": 0}},
        {"uses": f"{OURS}/actions/setup@{PIN}", "with": {"install-from": "installed", "engine": "false"}},
        {
            "id": "plan",
            "uses": f"{OURS}/actions/plan@{PIN}",
            "with": given,
            "env": {"HUB_REF": "${{ matrix.reference }}"},
        },
        {
            "uses": "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a",
            "with": {"name": "plan-${{ matrix.name }}", "path": "${{ steps.plan.outputs.plan }}"},
        },
    ]
    job = {
        "strategy": {"fail-fast": False, "matrix": "${{ fromJSON(github.event.cases) }}"},
        "runs-on": "ubuntu-24.04",
        "steps": steps,
    }
    hub.calls(json.dumps({"on": "push", "jobs": {"plan": job}}))
    ran = hub.push(cases=json.dumps({"include": rows}, ensure_ascii=False))
    assert {name.removeprefix("plan ") for name in ran.jobs} == set(cases), str(ran)
    found = {}
    for name in cases:
        outputs = ran.outputs("plan", name)
        assert set(outputs) <= OUTPUTS, name
        if ran.jobs[f"plan {name}"] == "success":
            assert set(outputs) == OUTPUTS
            found[name] = json.loads((ran.artifacts / f"plan-{name}" / "plan.json").read_text())
            work = [item["id"] for item in found[name]["targets"] if item["action"] in ("build", "test")]
            matrices = [json.loads(outputs[f"wave-{number}"])["include"] for number in range(8)]
            assert [target for jobs in matrices for job in jobs for target in job["only"]] == work
            assert outputs["has-work"] == str(bool(work)).lower() and outputs["waves"] == str(len(work))
    assert not list(hub.place.parent.rglob(f"*{FILE}*")), "a file appeared"
    for event in ran.events:
        # What act took for a command is dsci's own, and no stranger's.
        command, text = event.get("command"), event.get("arg", "")
        assert command in (None, *COMMANDS) or TOKEN.fullmatch(command), str(event)
        assert command != "stop-commands" or TOKEN.fullmatch(text), str(event)
        assert command != "error" or OWN_ERROR.match(event["raw"]), str(event)
    assert not planned or set(found) == set(cases), str(ran)
    return found


def tags_of(plan: dict) -> tuple[str, ...]:
    """The tags that the plan would move for what the run is about."""
    return tuple(sorted({tag for item in plan["refs"] for tag in item["tags"]}))


def check(hub: Hub, names: list[str]) -> None:
    cases = {f"n{number}": {"reference": f"refs/heads/{name}"} for number, name in enumerate(names)}
    found = plans(hub, cases, "reference")
    tags = {name: tags_of(plan) for name, plan in found.items()}
    for name, (tag,) in tags.items():
        assert LEGAL.fullmatch(tag), (name, tag)
    assert len(set(tags.values())) == len(names), "no two branches share a tag"


@pytest.mark.engine
def test_a_few_names_of_branches_stay_names(hub: Hub) -> None:
    check(hub, ['x"; touch OWNED; #', "failed=false\nreport=/etc", "x\r\n::error::y"])


@pytest.mark.engine
def test_a_name_that_is_written_into_a_script_would_be_found_out(hub: Hub, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for part in ("actions", ".github"):
        shutil.copytree(ROOT / part, source / part)
    action = source / "actions/plan/action.yml"
    text = action.read_text()
    assert "run: |\n" in text
    action.write_text(text.replace("run: |\n", "run: |\n        : ${{ inputs.since }}\n"))
    careless = Hub(hub.project, tmp_path / "careless", source=source)
    with pytest.raises(AssertionError, match="a file appeared"):
        plans(careless, {"one": {"since": f"; touch {FILE}"}}, "since", planned=False)


@pytest.mark.engine
@pytest.mark.slow
def test_names_of_branches_stay_names(hub: Hub) -> None:
    check(hub, NAMES)


@pytest.mark.engine
@pytest.mark.slow
def test_names_of_git_tags_stay_names(hub: Hub) -> None:
    plans(hub, {f"n{number}": {"reference": f"refs/tags/{name}"} for number, name in enumerate(NAMES)}, "reference")


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("key", ["since", "registry", "working-directory"])
def test_inputs_stay_arguments(hub: Hub, key: str) -> None:
    """What is no branch, registry or folder is refused; nothing of it is run or believed."""
    assert plans(hub, {f"n{number}": {key: name} for number, name in enumerate(NAMES)}, key, planned=False) == {}


@pytest.mark.engine
@pytest.mark.slow
def test_messages_of_commits_stay_texts(hub: Hub) -> None:
    project = hub.project
    for number, text in enumerate(NAMES):
        project.write({"images/base/note": f"{number}\n"})
        project.git("add", "--all")
        project.git("commit", "--quiet", "--cleanup=verbatim", "--message", f"fix: {text}\n\n{text}\n\nX: {text}")
    plan = plans(hub, {"one": {}}, "reference")["one"]
    (base,) = (item for item in plan["releases"] if item["image"] == "base")
    assert len(base["changes"]) == len(NAMES) + 1


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ['x"; touch OWNED; #', "$(touch OWNED)", "failed=false\nreport=/etc", "--upload-pack=touch OWNED"]
)
def test_what_a_request_says_of_itself_is_not_listened_to(hub: Hub, name: str) -> None:
    hub.project.git("checkout", "--quiet", "-B", "theirs")
    hub.project.commit(f"docs: {name}", {"README.md": "# Images\n"})
    hub.example("pr.yml")
    ran = hub.request(title=name, body=name)
    assert ran.jobs == {"plan": "success"}, str(ran)
    assert set(ran.outputs("plan")) == OUTPUTS and ran.outputs("plan")["has-work"] == "false"
    assert not list(hub.place.parent.rglob(f"*{FILE}*"))
