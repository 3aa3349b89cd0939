"""Branches, tags, requests and commits with names that others choose, all the way through `plan` and `matrix`.

No file appears, no output is forged, tags are legal, and two branches do not get one tag.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.githubrunner import obeyed, outputs
from tests.hostile import HOSTILE
from tests.scratchfamily import Family, make_family

from dsci.errors import ConfigError
from dsci.model.reference import check_tag

NOW = ("--offline", "--now", "2026-11-28T00:00:00Z")
#: What Git lets anybody call a branch, beside what it allows of the above.
BRANCHES = (
    *('x";touch${IFS}OWNED;#', "x';touch;'", "$(touch${IFS}OWNED)", "`touch`", "x|tee", "x&&y", "x;y", "x>y", "x<y"),
    *(
        "%0A%0D",
        "--upload-pack=x",
        "-x",
        "##(x",
        "::x".replace(":", "%3A"),
        "{{x}}",
        "${{x}}",
        "x=y",
        "failed<<EOF",
        "<b>",
    ),
    *(
        "a/b",
        "a-b",
        "a_b",
        "a.b",
        "a--b",
        "A/b",
        "a/b-",
        "é" * 60,
        "e" * 60,
        "n" * 200,
        "n" * 201,
        "main-",
        "latest",
        "1.2.3",
    ),
)
RULES = 'platforms: [linux/amd64]\ntags: ["{version}", "{branch}", "type=ref,event=pr", "type=ref,event=tag"]\n'


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    made = make_family(tmp_path, monkeypatch)
    made.repo.commit("feat: names", {"dsci.yaml": RULES})
    return made


def names(family: Family, *arguments: str, **environment: str) -> set[str]:
    """The names that follow a run and those of its releases, all of them legal."""
    before = {path.name for path in family.repo.folder.iterdir()}
    answer = family.ask("plan", "--json", *NOW, *arguments, env=environment)
    assert {path.name for path in family.repo.folder.iterdir()} == before, "something was run"
    if answer.error is not None:
        assert isinstance(answer.error, ConfigError), answer.error
        return set()
    assert answer.code == 0 and obeyed(answer.stdout) == [] and obeyed(answer.stderr) == []
    value = answer.json
    tags = {tag for ref in value["refs"] for tag in ref["tags"]}
    tags |= {tag for release in value["releases"] for tag in release["tags"]}
    return {check_tag(tag) for tag in tags}


def allowed(branch: str) -> bool:
    """Whether Git has a branch of this name."""
    try:
        asked = ["git", "check-ref-format", f"refs/heads/{branch}"]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0
    except ValueError:  # no argument at all, whatever it is for
        return False


def test_tags_of_branches_are_legal_and_distinct(family: Family) -> None:
    """Of branches that Git would let anybody push."""
    plain = names(family, "--ref", "refs/heads/main") - {"main"}
    of: dict[str, set[str]] = {}
    for number, text in enumerate(HOSTILE):
        for branch in (text, f"x/{text}/{number}"):
            if allowed(branch):
                of[branch] = names(family, "--ref", f"refs/heads/{branch}") - plain
    for branch in BRANCHES:
        assert allowed(branch), branch
        of[branch] = names(family, "--ref", f"refs/heads/{branch}") - plain
    assert len(of) > 40 and all(len(tags) == 1 for tags in of.values()), of
    together = [min(tags) for tags in of.values()]
    assert len(set(together)) == len(together)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_environments_say_is_text(family: Family, text: str) -> None:
    word = text.replace("\0", "").encode(errors="ignore").decode()
    github = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(family.state / "output")}
    names(family, "--ref", f"refs/tags/{word}")
    names(family, "--branch", word)
    names(family, **github, GITHUB_REF=f"refs/heads/{word}", GITHUB_BASE_REF=word, GITHUB_EVENT_NAME="pull_request")
    names(family, GITLAB_CI="true", CI_COMMIT_BRANCH=word, CI_DEFAULT_BRANCH=word, CI_PIPELINE_SOURCE="push")
    names(family, GITLAB_CI="true", CI_COMMIT_TAG=word)
    names(family, GITLAB_CI="true", CI_MERGE_REQUEST_IID=word, CI_MERGE_REQUEST_TARGET_BRANCH_NAME=word)


def test_what_commits_say_is_text(family: Family) -> None:
    """In the plan, and in the outputs and the child pipeline that are made of it."""
    for number, text in enumerate(HOSTILE):
        word = text.replace("\0", "").encode(errors="ignore").decode()
        family.repo.commit(f"feat: {word}\n\n{word}\n", {"images/ml/x": str(number)})
    assert {"0.1.0", "main"} <= names(family, "--ref", "refs/heads/main")
    file = family.state / "output"
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(file), "GITHUB_REF": "refs/heads/main"}
    answer = family.done("matrix", *NOW, "--format", "github", "--output", env=environment)
    assert outputs(file.read_text()).keys() == {"has-work", "waves", *(f"wave-{number}" for number in range(8))}
    assert obeyed(answer.stdout) == [] and json.loads(answer.stdout)["waves"] == 2
    script = family.done("matrix", *NOW, "--format", "gitlab").stdout
    assert not any(word in script for word in ("OWNED", "::error", "upload-pack"))
