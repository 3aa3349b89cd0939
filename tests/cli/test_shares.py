"""`dsci matrix`, and `build` and `test` with a share of a plan, as people and pipelines call them; no engine is asked.

What "another machine has built" is written into the embedded registry as its job would have, so that a command which
finds it has nothing to do.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tests.scratchfamily import Family, make_family

from dsci.errors import ConfigError

CONFIG = 2


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    return make_family(tmp_path, monkeypatch)


# ------------------------------------------------------------------------------------------------------- matrix


def test_waves_of_a_plan_made_here(family: Family) -> None:
    answer = family.done("matrix")
    assert [[job["only"] for job in wave] for wave in answer.json] == [[["base@linux/amd64"]], [["ml@linux/amd64"]]]
    assert answer.json[1][0]["needs"] == [answer.json[0][0]["name"]]
    assert "is in no registry" in answer.stderr
    assert [len(wave) for wave in family.done("matrix", "base").json] == [1]
    assert [len(wave) for wave in family.done("matrix", "--max-waves", "1").json] == [1]
    there = family.done("matrix", "--registry", "localhost:1/acme", "--offline")
    assert len(there.json) == 2 and "is in no registry" not in there.stderr


def test_waves_of_a_plan_from_a_file(family: Family) -> None:
    plan = family.plan()
    assert family.done("matrix", "--plan", str(plan)).stdout == family.done("matrix").stdout
    family.build(plan, "base")
    assert len(family.done("matrix", "--plan", str(plan)).json) == 2, "the plan is taken as it is"
    assert [job["image"] for job in family.done("matrix").json[0]] == ["ml"], "what is there needs no job"


def test_a_matrix_for_github(family: Family, tmp_path: Path) -> None:
    file = tmp_path / "output"
    file.write_text("before=1\n")
    answer = family.done("matrix", "--format", "github", "--output", env={"GITHUB_OUTPUT": str(file)})
    assert (answer.json["has-work"], answer.json["waves"]) == (True, 2)
    assert [len(answer.json[f"wave-{number}"]["include"]) for number in range(8)] == [1, 1, 0, 0, 0, 0, 0, 0]
    first, *lines = file.read_text().splitlines()
    assert first == "before=1", "outputs of earlier steps stay"
    assert lines[0].startswith("has-work<<dsci_") and lines[1:3] == ["true", lines[0].partition("<<")[2]]
    assert (
        json.loads(lines[lines.index(next(line for line in lines if line.startswith("wave-1<<"))) + 1])
        == (answer.json["wave-1"])
    )
    silent = family.done("matrix", "--format", "github", env={"GITHUB_OUTPUT": str(file)})
    assert silent.stdout == answer.stdout and file.read_text().splitlines() == [first, *lines]


def test_outputs_need_a_file(family: Family, tmp_path: Path) -> None:
    assert "GITHUB_OUTPUT names no file" in family.ask("matrix", "--format", "github", "--output").error.message  # type: ignore[union-attr]
    env = {"GITHUB_OUTPUT": str(tmp_path / "none" / "output")}
    error = family.ask("matrix", "--format", "github", "--output", env=env).error
    assert error is not None and "could not be written: No such file or directory" in error.message


def test_a_matrix_for_gitlab(family: Family) -> None:
    answer = family.done("matrix", "--format", "gitlab", env={"CI_JOB_NAME": "dsci: plan"})
    child = yaml.safe_load(answer.stdout)
    assert child["ml-linux-amd64"]["needs"] == [
        {"pipeline": "$PARENT_PIPELINE_ID", "job": "dsci: plan"},
        "base-linux-amd64",
    ]
    plan = family.plan()
    named = family.done("matrix", "--format", "gitlab", "--plan", str(plan), "--plan-job", "p", "--registry", "r.io/a")
    job = yaml.safe_load(named.stdout)["base-linux-amd64"]
    assert job["needs"][0]["job"] == "p"
    (command,) = job["script"]
    assert command.startswith(f"dsci test --only base@linux/amd64 --plan {plan} --registry r.io/a --report ")


def test_nothing_to_do_is_no_job_for_github_and_one_for_gitlab(family: Family) -> None:
    plan = family.plan()
    family.build(plan, "base")
    family.build(plan, "ml")
    assert family.done("matrix").json == []
    assert family.done("matrix", "--format", "github").json["has-work"] is False
    assert "nothing-to-do" in yaml.safe_load(family.done("matrix", "--format", "gitlab").stdout)


def test_a_matrix_of_what_cannot_be(family: Family) -> None:
    plan = str(family.plan())
    assert "exclude each other" in family.misused("matrix", "base", "--plan", plan)
    assert "--output is for --format github" in family.misused("matrix", "--output")
    assert "not in the range" in family.misused("matrix", "--max-waves", "0")
    assert family.refused("matrix", "bas").message.startswith("there is no image 'bas'")


# -------------------------------------------------------------------------------------------------------- share


def test_what_another_machine_built_is_not_built_again(family: Family) -> None:
    plan = family.plan()
    family.build(plan, "base")
    family.build(plan, "ml")
    for verb in ("build", "test"):
        answer = family.done(verb, "--only", "ml@linux/amd64", "--plan", str(plan))
        assert answer.stdout == "Nothing to do: every image stands as it should.\n"
    folded = family.done("build", "--only", "base@linux/amd64 ml@linux/amd64", "--plan", str(plan), "--json").json
    assert [item["id"] for item in folded["plan"]["targets"]] == ["base@linux/amd64", "ml@linux/amd64"]
    assert folded["outcomes"] == []


def test_uncommitted_work_is_told_and_no_part_of_it(family: Family) -> None:
    plan = family.plan()
    family.build(plan, "base")
    family.repo.write({"images/base/x": "1"})
    answer = family.done("build", "--only", "base@linux/amd64", "--plan", str(plan))
    assert "uncommitted changes in base are not part of this plan" in answer.stderr


def test_a_parent_that_is_not_there(family: Family) -> None:
    error = family.refused("build", "--only", "ml@linux/amd64", "--plan", str(family.plan()))
    assert error.message.startswith("base@linux/amd64 is needed and not in dsci.local/family/base")
    assert "--only base@linux/amd64" in error.hint


def test_a_plan_of_another_commit(family: Family) -> None:
    plan = family.plan()
    family.repo.commit("docs: say more", {"README.md": "x"})
    error = family.refused("test", "--only", "base@linux/amd64", "--plan", str(plan))
    assert isinstance(error, ConfigError) and "HEAD is" in error.message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"Plan for 0123", "is no plan: "),
        (b"{}", "is no plan: "),
        (b'{"schema": 99}', "is a plan of schema 99"),
        (b" " * ((64 << 20) + 1), "larger than 64 MiB"),
        (None, "could not be read: No such file or directory"),
    ],
)
def test_a_file_that_is_no_plan(family: Family, tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "given.json"
    if content is not None:
        path.write_bytes(content)
    for command in (("build", "--only", "base@linux/amd64"), ("matrix",)):
        error = family.refused(*command, "--plan", str(path))
        assert error.exit_code == CONFIG and says in error.message and str(path) in error.message


def test_a_target_that_is_none(family: Family) -> None:
    plan = str(family.plan())
    assert "'ml' is no target" in family.refused("build", "--only", "ml", "--plan", plan).message
    assert (
        "'and' is no target" in family.refused("build", "--only", "ml@linux/amd64 and 3 more", "--plan", plan).message
    )
    assert "has no target x@linux/amd64" in family.refused("build", "--only", "x@linux/amd64", "--plan", plan).message


def test_options_that_do_not_go_together(family: Family) -> None:
    plan = str(family.plan())
    for verb in ("build", "test"):
        assert "go together" in family.misused(verb, "--only", "ml@linux/amd64")
        assert "go together" in family.misused(verb, "--plan", plan)
        assert "exclude each other" in family.misused(verb, "ml", "--only", "ml@linux/amd64", "--plan", plan)
    assert "exclude each other" in family.misused("build", "--force", "--only", "ml@linux/amd64", "--plan", plan)
