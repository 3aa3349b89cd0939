"""What GitHub's runner and GitLab's log are told while commands run; no engine."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.ci.reports import failing
from tests.githubrunner import obeyed, outputs
from tests.hostile import HOSTILE
from tests.scratchfamily import Family, make_family

from dsci.cli import runner
from dsci.cli.runnerconsole import GitHubConsole, GitLabConsole
from dsci.cli.wiring import Session

LONG = "\n".join(f"line {number}" for number in range(40))


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    return make_family(tmp_path, monkeypatch)


# ------------------------------------------------------------------------------------------------------- console


def test_nothing_of_the_story_is_obeyed_and_ours_is() -> None:
    stream = io.StringIO()
    console = GitHubConsole(stream)
    for text in HOSTILE:
        console.say(text)
        console.say(f"{text}\n{text}\n{LONG}")
        console.warn(text)
        console.step("ml", text)
        console.end("ml", "test", "failed", 1.0, text)
    console.commands(["::notice::ours"])
    console.say("::error::theirs")
    console.close()
    ours = ["group", "endgroup"] * len(HOSTILE) + ["notice"]
    assert [name for name, _ in obeyed(stream.getvalue())] == ours
    # Whatever the state of the runner is, no line of theirs is a command.
    theirs = [line for line in stream.getvalue().split("\n") if not line.startswith("::stop-commands::")]
    assert [name for line in theirs for name, _ in obeyed(line)] == ours


def test_either_of_both_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what looks like a command is not broken up, it stands where the runner obeys none."""
    monkeypatch.setattr("dsci.cli.runnerconsole.harmless", lambda text: text)
    stream = io.StringIO()
    console = GitHubConsole(stream)
    for text in HOSTILE:
        console.say(text)
        console.say(f"head\n{text}\n{LONG}")
    console.close()
    assert {name for name, _ in obeyed(stream.getvalue())} == {"group", "endgroup"}


def test_words_that_stop_commands_cannot_be_guessed() -> None:
    stream = io.StringIO()
    for _ in range(2):
        console = GitHubConsole(stream)
        console.say("one")
        console.commands(["::notice::x"])
        console.say("two")
        console.close()
    words = [line.rpartition("::")[2] for line in stream.getvalue().split("\n") if "stop-commands" in line]
    assert len(set(words)) == len(words) == 4 and all(len(word) == 32 for word in words)


def test_what_is_long_is_folded_and_its_group_is_closed() -> None:
    stream = io.StringIO()
    console = GitHubConsole(stream)
    console.end("ml", "test", "failed", 1.0, f"::group::x\n{LONG}")
    console.say("and then")
    console.close()
    assert obeyed(stream.getvalue()) == [("group", "✗ test ml failed after 1.0 s"), ("endgroup", "")]
    text = stream.getvalue()
    assert text.index("::endgroup::") > text.index("line 39") and text.index("and then") > text.index("::endgroup::")


class Breaks(io.StringIO):
    """A stream that fails in the middle of a story, and only there."""

    def write(self, text: str) -> int:
        if "line 39" in text:
            raise OSError("no space")
        return super().write(text)


def test_a_group_is_closed_when_its_story_cannot_be_told() -> None:
    stream = Breaks()
    console = GitHubConsole(stream)
    with pytest.raises(OSError, match="no space"):
        console.say(f"head\n{LONG}")
    console.close()
    assert obeyed(stream.getvalue()) == [("group", "head"), ("endgroup", "")]


def test_after_the_end_each_line_gives_the_commands_back() -> None:
    stream = io.StringIO()
    console = GitHubConsole(stream)
    console.close()
    console.say("::error::late")
    assert obeyed(stream.getvalue() + "::notice::the next command of the step") == [
        ("notice", "the next command of the step")
    ]


def test_a_secret_is_told_to_the_runner_alone(tmp_path: Path) -> None:
    stream = io.StringIO()
    console = GitHubConsole(stream)
    console.say("before")
    console.hide("s3cr3t-word", "me")
    console.hide("short")
    console.close()
    masks = [text for name, text in obeyed(stream.getvalue()) if name == "add-mask"]
    assert masks[0] == "s3cr3t-word" and len(masks) == 3
    with (tmp_path / "log").open("w+") as file:
        kept = GitHubConsole(file)
        kept.hide("s3cr3t-word")
        kept.close()
        file.seek(0)
        assert file.read() == "", "a log on disk is nobody's to mask"


def test_gitlabs_sections_are_closed_and_each_has_a_name_of_its_own() -> None:
    stream = io.StringIO()
    console = GitLabConsole(stream, clock=lambda: 5.5)
    for text in (*HOSTILE, LONG, LONG):
        console.end("ml", "test", "failed", 1.0, f"{text}\n{LONG}")
    console.say("short")
    marks = [line for line in stream.getvalue().replace("\r", "\n").split("\n") if "\x1b[0Ksection_" in line]
    names = [mark.rpartition(":")[2].partition("[")[0] for mark in marks]
    assert names[::2] == names[1::2] and len(set(names)) == len(HOSTILE) + 2
    assert all("section_start:5:" in mark for mark in marks[::2]) and all("section_end:5:" in m for m in marks[1::2])
    assert stream.getvalue().endswith("short\n")


# ------------------------------------------------------------------------------------------------------- secrets


def test_variables_that_say_that_they_are_secrets(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text("{}")
    environment = {
        "DSCI_REGISTRY_TOKEN_GHCR_IO": "t0ken-of-it",
        "GITHUB_TOKEN": "ghs_token",
        "COSIGN_PASSWORD": "open sesame",
        "NO_PASSWORD": "true",
        "EMPTY_TOKEN": "",
        "GOOGLE_APPLICATION_CREDENTIALS": str(key),
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/not/there",
        "ACTIONS_ID_TOKEN_REQUEST_URL": "https://example.org",
        "HOME": "/root",
    }
    assert list(runner.secrets_of(environment)) == ["t0ken-of-it", "ghs_token", "open sesame"]


# ------------------------------------------------------------------------------------------------ files of a step


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A step of GitHub's, with the folder of its files."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    return tmp_path


def told(step: Path, **more: str) -> str:
    """What a session prints when it tells of a report."""
    context = click.Context(click.Command("x"), obj={"folder": ".", "debug": False})
    with Session.of(context) as session:
        runner.tell(session, failing("one", "two"), title="dsci test", outputs={"failed": "true", **more})
    return (step / "output").read_text() if (step / "output").exists() else ""


def test_a_step_has_outputs_a_summary_and_annotations(step: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outputs(told(step, report="a\nfailed=false")) == {"failed": "true", "report": "a\nfailed=false"}
    assert (step / "summary").read_text().startswith("## dsci test: failed\n")
    errors = [text for name, text in obeyed(capsys.readouterr().err) if name == "error"]
    assert errors == ["why", "why"]


def test_a_second_command_of_the_step_adds_to_what_is_there(step: Path) -> None:
    told(step)
    (step / "summary").write_text("x" * 890_000)
    told(step, report="/second")
    assert outputs((step / "output").read_text()) == {"failed": "true", "report": "/second"}
    size = (step / "summary").stat().st_size
    assert 890_000 < size <= 900_000


def test_a_summary_that_is_full_is_told(step: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (step / "summary").write_text("x" * 950_000)
    told(step)
    assert (step / "summary").stat().st_size == 950_000
    assert "the job's summary has no room left" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"])
def test_a_file_that_cannot_be_written_is_told_and_is_no_failure(
    step: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(step / "none" / "file"))
    told(step)
    assert "could not be written: No such file or directory" in capsys.readouterr().err
    monkeypatch.delenv(name)
    told(step)
    assert f"{name} names no file" in capsys.readouterr().err


def test_elsewhere_nothing_is_written(
    step: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert told(step) == "" and not (step / "summary").exists()
    assert capsys.readouterr() == ("", "")


# ------------------------------------------------------------------------------------------------------- commands


def run(family: Family, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command as a step runs it."""
    return subprocess.run(
        [sys.executable, "-m", "dsci", *arguments],
        cwd=family.repo.folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_build_that_has_nothing_to_do_says_so(family: Family, step: Path) -> None:
    plan = family.plan()
    family.build(plan, "base")
    ended = run(family, "build", "--only", "base@linux/amd64", "--plan", str(plan))
    assert ended.returncode == 0, ended.stderr
    found = outputs((step / "output").read_text())
    assert found["failed"] == "false" and (Path(found["report"]) / "report.json").is_file()
    assert list(json.loads(found["digests"])) == ["base@linux/amd64"]
    assert (step / "summary").read_text().startswith("## dsci build: done\n")
    assert [name for name, _ in obeyed(ended.stderr) if name != "add-mask"] == []


def test_a_plan_is_in_the_summary_of_its_job(family: Family, step: Path) -> None:
    ended = run(family, "matrix", "--offline", "--format", "github", "--output", GITHUB_REF="refs/heads/main")
    assert ended.returncode == 0, ended.stderr
    assert outputs((step / "output").read_text())["has-work"] == "true"
    text = (step / "summary").read_text()
    assert text.startswith("## dsci plan\n\nCommit `") and "| `ml@linux/amd64` | build | " in text
    assert "### Releases" in text


def test_a_command_that_cannot_begin_has_failed(family: Family, step: Path) -> None:
    family.repo.commit("fix: broken", {"dsci.yaml": "platforms: [linux/amd64]\nimages: 7\n"})
    ended = run(family, "release", GITHUB_REF="refs/heads/main")
    assert ended.returncode == 2
    assert outputs((step / "output").read_text()) == {"failed": "true"}
    (message,) = [text for name, text in obeyed(ended.stderr) if name == "error"]
    assert message.startswith("dsci.yaml:2")
    assert "::error file=dsci.yaml,line=2,title=dsci::" in ended.stderr


def test_credentials_are_masked_before_anything_is_said(family: Family, step: Path) -> None:
    ended = run(family, "plan", "--offline", GITHUB_REF="refs/heads/main", DSCI_REGISTRY_TOKEN_GHCR_IO="s3cr3t-word")
    assert ended.returncode == 0, ended.stderr
    first = ended.stderr.split("\n")[0]
    assert first == "::add-mask::s3cr3t-word" and "s3cr3t-word" not in ended.stdout


def test_credentials_in_files_and_of_helpers_are_masked(family: Family, step: Path) -> None:
    """As they are read, with the form that basic authentication sends."""
    config = step / "docker"
    config.mkdir()
    helper = step / "bin" / "docker-credential-test"
    helper.parent.mkdir()
    helper.write_text('#!/bin/sh\necho \'{"Username": "me", "Secret": "of-a-h3lper"}\'\n')
    helper.chmod(0o755)
    kept = base64.b64encode(b"alice:of-a-f1le").decode()
    settings = {"auths": {"a.example": {"auth": kept}}, "credHelpers": {"b.example": "test"}}
    (config / "config.json").write_text(json.dumps(settings))
    token = step / "token"
    token.write_text("of-an-0ption\n")
    path = f"{helper.parent}{os.pathsep}{os.environ['PATH']}"
    given = {"DOCKER_CONFIG": str(config), "PATH": path, "DSCI_REGISTRY_USER": "bob"}
    option = ("--registry", "c.example", "--registry-token-file", str(token))
    ended = run(family, "login", "a.example/x", "b.example/x", "c.example/x", *option, **given)
    assert ended.returncode == 0, ended.stderr
    masks = {text for name, text in obeyed(ended.stderr) if name == "add-mask"}
    for user, secret in (("alice", "of-a-f1le"), ("me", "of-a-h3lper"), ("bob", "of-an-0ption")):
        plain = base64.b64encode(secret.encode()).decode()
        assert {secret, plain, base64.b64encode(f"{user}:{secret}".encode()).decode()} <= masks
    assert not any(secret in ended.stdout for secret in ("of-a-f1le", "of-a-h3lper", "of-an-0ption"))
    elsewhere = run(family, "login", "a.example/x", **given, GITHUB_ACTIONS="")
    assert "of-a-f1le" not in elsewhere.stderr, "nobody but the runner is told"


def test_why_an_event_is_out_of_the_ordinary_is_in_the_log(family: Family, step: Path) -> None:
    payload = step / "event.json"
    payload.write_text(json.dumps({"before": "0" * 40, "repository": {"default_branch": "main"}}))
    push = {"GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_PATH": str(payload)}
    for command in ("plan", "matrix"):
        ended = run(family, command, "--offline", **push)
        assert ended.stderr.count("main is new, nothing stood there before") == 1, ended.stderr
    payload.write_text("{")
    assert "is new" not in run(family, "plan", "--offline", **push).stderr
    ended = run(family, "plan", "--offline", **push | {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_BASE_REF": "main"})
    assert "counts as one from another repository" in ended.stderr


def test_json_on_stdout_holds_no_command(family: Family) -> None:
    """`##[…` is obeyed wherever it stands in a line: in JSON it is spelled otherwise, and says the same."""
    family.repo.commit("feat: ##[set-output name=failed]false", {"images/ml/x": "1"})
    ended = run(family, "plan", "--offline", "--json")
    assert ended.returncode == 0, ended.stderr
    (release,) = [item for item in json.loads(ended.stdout)["releases"] if item["image"] == "ml"]
    assert release["changes"][0].startswith("feat: ##[set-output name=failed]false")
    assert obeyed(ended.stdout) == []
