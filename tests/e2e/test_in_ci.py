"""dsci in jobs of GitHub and GitLab: what it makes of their events, and what runners make of what it prints."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import TINY, Project, outcomes, released
from tests.githubrunner import obeyed, outputs

pytestmark = pytest.mark.engine

#: What a container or a build may print: commands to GitHub's runner, old and new, and to Azure's.
LINES = (
    "::error::theirs",
    "  ::warning file=a,line=1::theirs",
    "::set-output name=failed::false",
    "x ##[set-output name=failed]false",
    "##[error]theirs",
    "##vso[task.setvariable variable=failed]false",
    "::add-mask::e",
    "::stop-commands::theirs",
    "::theirs::",
    "::endgroup::",
)
LOUD = f"printf '%s\\n' {shlex.join(LINES)}"
SUITE = json.dumps(
    {
        "schemaVersion": "2.0.0",
        "commandTests": [
            {"name": "::error::a name ##[error]", "command": "printf", "args": ["%s\n", *LINES], "exitCode": 3},
            {"name": "on stderr", "command": "sh", "args": ["-c", f"{LOUD} >&2; exit 1"]},
        ],
    }
)
BREAKS = f"FROM debian:bookworm-slim\nRUN {LOUD} && exit 1\n"
WORKFLOW = """\
on: push
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - id: dsci
        continue-on-error: true
        shell: bash
        run: |
          code=0
          (cd "$FOLDER" && $COMMAND) || code=$?
          cp "$GITHUB_STEP_SUMMARY" "$PLACE/summary.md"
          echo "::notice::$code"
      - shell: bash
        env:
          OUTPUTS: ${{ toJSON(steps.dsci.outputs) }}
        run: printf '%s' "$OUTPUTS" > "$PLACE/outputs.json"
"""


def acted(project: Project, place: Path, *arguments: str) -> list[dict[str, Any]]:
    """What act, a runner of GitHub's workflows, says of a step that calls dsci, event by event."""
    place.mkdir()
    workflow = place / ".github" / "workflows" / "test.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text(WORKFLOW)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(place)], check=True)
    project_git = {name: value for name, value in project.env().items() if name.startswith("GIT_")}
    commit = ["git", "-C", str(place), "commit", "--quiet", "--allow-empty", "--message", "x"]
    subprocess.run(commit, check=True, env={**os.environ, **project_git})
    kept = ("PATH", "PYTHONPATH", "DOCKER_HOST", "BUILDX_CONFIG", "XDG_STATE_HOME", "GIT_CONFIG_GLOBAL")
    given = {name: value for name, value in project.env().items() if name in kept}
    given |= {"FOLDER": str(project.folder), "PLACE": str(place), "COMMAND": shlex.join(project.argv(*arguments))}
    command = [f"{os.environ['DSCI_TEST_CI']}/bin/act", "push", "--json", "--no-cache-server"]
    command += ["-P", "ubuntu-latest=-self-hosted", *(f"--env={name}={value}" for name, value in given.items())]
    ended = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert events[-1]["jobResult"] == "success", ended.stdout
    return [event for event in events if event.get("stepID") == ["dsci"]]


def test_no_runner_obeys_what_a_suite_or_a_build_prints(tiny: Project) -> None:
    tiny.push("test: loud", {"images/base/suites/a.yaml": SUITE, "images/ml/Dockerfile": BREAKS})
    place = tiny.folder.parent / "act"
    events = acted(tiny, place, "release")
    commands = [event for event in events if "command" in event]
    said = [(event["command"], event.get("arg", ""), event.get("kvPairs") or {}) for event in commands]
    # Words that stop commands, and give them back, are ours and nobody could guess them.
    words = [arg for command, arg, _ in said if command == "stop-commands"]
    assert len(set(words)) == len(words) and all(len(word) == 32 for word in words)
    rest = [(command, arg, given) for command, arg, given in said if command not in ("stop-commands", *words)]
    # act tells in the same way of what is set by files.
    of_files = {"ignored", "set-output", "summary"}
    assert {command for command, _, _ in rest} - of_files == {"group", "endgroup", "error", "notice"}
    assert [arg for command, arg, _ in rest if command == "notice"] == ["1"], "after dsci, commands are obeyed again"
    # (act reads properties up to the last `::` of the line, GitHub's runner up to the first.)
    errors = [str(event["raw"]) for event in commands if event["command"] == "error"]
    assert [text.partition(",title")[0] for text in errors] == [
        "::error file=images/base/suites/a.yaml,line=1",
        "::error file=images/base/suites/a.yaml,line=1",
        "::error file=images/ml/Dockerfile,line=2",
    ]
    assert not any(arg.strip() in ("theirs", "e") for _, arg, _ in rest)
    # It was printed, or nothing would be shown by this.
    text = "".join(str(event["msg"]) for event in events)
    assert text.count("task.setvariable") >= 3 and "theirs" in text
    found = json.loads((place / "outputs.json").read_text())
    assert found["failed"] == "true" and found["released"] == "false"
    assert found.keys() == {"failed", "report", "digests", "released", "versions", "tags"}
    assert list(json.loads(found["digests"])) == []
    assert (Path(found["report"]) / "report.json").is_file()
    summary = (place / "summary.md").read_text()
    assert summary.startswith("## dsci release: failed\n") and "`ml@linux/amd64`: build failed" in summary


def step(project: Project, **more: str) -> dict[str, str]:
    """The environment of a step of GitHub's, with files of its own."""
    place = project.folder.parent
    for name in ("output", "summary"):
        (place / name).unlink(missing_ok=True)
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SHA": "f" * 40,
        "GITHUB_OUTPUT": str(place / "output"),
        "GITHUB_STEP_SUMMARY": str(place / "summary"),
        **more,
    }


def set_by(project: Project) -> dict[str, str]:
    """The outputs that the step has now."""
    return outputs((project.folder.parent / "output").read_text())


def test_a_queue_a_push_and_the_tags_that_it_made(tiny: Project) -> None:
    queue = f"refs/heads/gh-readonly-queue/main/pr-7-{'a' * 40}"
    tiny.environment = step(tiny, GITHUB_EVENT_NAME="merge_group", GITHUB_REF=queue)
    tried = tiny.release()
    assert set(outcomes(tried).values()) == {"ok"} and released(tried) == {}
    assert "a merge queue tries this out for main: nothing is released and no name follows it" in tried.stderr
    assert tiny.tags() == set() and tiny.images("ml") == tiny.images("base") == set()
    assert set_by(tiny)["released"] == "false"
    # What was tried out is merged: nothing of it is done again.
    tiny.environment = step(tiny, GITHUB_EVENT_NAME="push", GITHUB_REF="refs/heads/main")
    pushed = tiny.release()
    assert outcomes(pushed) == {} and released(pushed) == {"base": "0.1.0", "ml": "0.1.0"}
    found = set_by(tiny)
    assert (found["failed"], found["released"]) == ("false", "true")
    assert json.loads(found["versions"]) == {"base": "0.1.0", "ml": "0.1.0"}
    assert tiny.registry is not None
    ml = f"{tiny.registry.address}/{tiny.prefix}/ml"
    assert json.loads(found["digests"])[ml] == tiny.digest("ml", "0.1.0")
    assert {f"{ml}:0.1.0", f"{ml}:latest"} <= set(found["tags"].split("\n"))
    # The tags that it pushed set off runs of their own, which find nothing to do.
    tags, names = tiny.tags(), tiny.everything()
    writes = tiny.registry.writes()
    for environment in (
        step(tiny, GITHUB_EVENT_NAME="push", GITHUB_REF="refs/tags/ml-v0.1.0"),
        {"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "push", "CI_COMMIT_TAG": "base-v0.1.0"},
    ):
        tiny.environment = environment
        assert tiny.dsci("matrix").json == []
        again = tiny.release()
        assert (again.json["released"], again.json["outcomes"], again.json["publications"]) == ([], [], [])
    assert (tiny.tags(), tiny.everything(), tiny.registry.writes()) == (tags, names, writes)


def test_what_is_built_is_what_is_checked_out(tiny: Project) -> None:
    """On a request that is the merge, whatever GITHUB_SHA says: on `pull_request_target` it is the base's commit."""
    tiny.push("chore: names", {"dsci.yaml": "tags: ['{version}', 'type=ref,event=pr']\n"})
    tiny.git("switch", "--quiet", "-c", "feature")
    tiny.commit("feat: a model", {"images/ml/model.txt": "v2\n"})
    tiny.git("switch", "--quiet", "--detach", "main")
    tiny.git("merge", "--quiet", "--no-ff", "--message", "Merge feature into main", "feature")
    payload = tiny.folder.parent / "event.json"
    repository = {"repo": {"id": 1}}
    payload.write_text(json.dumps({"number": 7, "pull_request": {"head": repository, "base": repository}}))
    tiny.environment = step(
        tiny,
        GITHUB_EVENT_NAME="pull_request",
        GITHUB_REF="refs/pull/7/merge",
        GITHUB_BASE_REF="main",
        GITHUB_EVENT_PATH=str(payload),
    )
    assert released(tiny.release()) == {} and tiny.images("ml") == {"pr-7"}
    assert tiny.registry is not None
    index = tiny.registry.manifest(f"{tiny.prefix}/ml", "pr-7")
    assert index["annotations"]["org.opencontainers.image.revision"] == tiny.git("rev-parse", "HEAD")


def test_a_job_that_is_cancelled_gives_the_runner_its_commands_back(tiny: Project) -> None:
    tiny.push("feat: slow", {"images/base/Dockerfile": TINY["base"] + "RUN echo it-runs && sleep 60\n"})
    tiny.environment = step(tiny, GITHUB_REF="refs/heads/main")
    process = tiny.start("release")
    assert process.stderr is not None
    told = ""
    began = time.monotonic()
    while "build   base" not in told:
        assert time.monotonic() - began < 60, told
        told += process.stderr.readline()
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 143, told + rest
    log = told + rest
    assert "::stop-commands::" in log
    names = [name for name, _ in obeyed(log + "::notice::and on")]
    assert names.count("group") == names.count("endgroup") and names[-1] == "notice"


def test_gitlabs_log_has_sections_and_no_commands(tiny: Project) -> None:
    tiny.push("test: loud", {"images/base/suites/a.yaml": SUITE})
    tiny.environment = {"GITLAB_CI": "true", "CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main"}
    place = tiny.folder.parent
    ended = tiny.dsci(
        *("test", "base", "--report", f"codequality={place}/quality.json", "--report", f"dotenv={place}/dsci.env"),
        code=1,
    )
    marks = [text for text in ended.stderr.replace("\r", "\n").split("\n") if "\x1b[0Ksection_" in text]
    starts = [mark.rpartition(":")[2].partition("[")[0] for mark in marks if "section_start" in mark]
    ends = [mark.rpartition(":")[2] for mark in marks if "section_end" in mark]
    assert starts and starts == ends and len(set(starts)) == len(starts)
    assert obeyed(ended.stderr) == []
    quality = json.loads((place / "quality.json").read_text())
    assert {entry["location"]["path"] for entry in quality} == {"images/base/suites/a.yaml"}
    assert (place / "dsci.env").read_text().startswith("DSCI_FAILED=true\nDSCI_RELEASED=false\nDSCI_COMMIT=")
    refused = tiny.dsci("test", "base", "--report", f"container-scanning={place}/x.json", code=2)
    assert "only `dsci release` scans" in refused.stderr
