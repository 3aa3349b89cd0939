"""`dsci shell`: in the image that stands for the commit, and in the container of a check that failed."""

from __future__ import annotations

import errno
import json
import os
import pty
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.e2e.conftest import Ended, Project
from tests.githubrunner import obeyed
from tests.realengine import docker

from dsci.drivers.runs import LABEL

pytestmark = pytest.mark.engine

#: One that needs a user, a variable of the file and one of the host; and one with steps before it.
SUITE = """\
schemaVersion: "2.0.0"
globalEnvVars: [{key: MINE, value: "m-$PATH"}]
containerRunOptions: {user: "1234", envVars: [DSCI_TEST_WORD]}
commandTests:
- {name: bad one, command: sh, args: [-c, "id -u; env | grep -e MINE -e WORD | sort; echo wrong >&2; exit 3"]}
"""
STEPS = """\
schemaVersion: "2.0.0"
commandTests:
- {name: steps, setup: [[sh, -c, "echo $A > /set"]], envVars: [{key: A, value: "a b"}],
   command: sh, args: [-c, 'cat /set /proc/1/comm; env | grep ^A=; exit 4']}
"""
STARTED = """\
env: {AROUND: here}
start: {command: [sh, -c, "sleep 1; touch /ready; sleep 60"], until: {file: /ready}, within: 20s}
checks:
- {run: "cat /ready && echo $AROUND $OWN; id -u; exit 5", env: {OWN: mine}, user: "1234", name: beside}
"""
ALLOWED = "suites: {allow: [host-environment]}\n"


def replayed(project: Project, command: str, *more: str, code: int) -> Ended:
    """Run the command that a report names, as a person would."""
    words = shlex.split(command)
    assert words[0] == "dsci"
    argv = [sys.executable, "-m", *words, *more]
    ended = subprocess.run(
        argv, cwd=project.folder, env=project.env(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    found = Ended(ended.returncode, ended.stdout, ended.stderr, argv)
    assert found.code == code, str(found)
    assert "Traceback" not in found.stderr
    return found


def shell(project: Project, *words: str) -> list[str]:
    """`dsci shell`, with its options before what is to be run."""
    return project.argv("shell")[:4] + project.argv()[3:] + list(words)


def ran(project: Project, *words: str, stdin: str = "", code: int = 0) -> Ended:
    """What came of it outside a terminal."""
    argv = shell(project, *words)
    ended = subprocess.run(
        argv, cwd=project.folder, env=project.env(), input=stdin, capture_output=True, text=True, check=False
    )
    found = Ended(ended.returncode, ended.stdout, ended.stderr, argv)
    assert found.code == code, str(found)
    return found


def bundles(folder: Path) -> dict[str, dict[str, object]]:
    """The checks that failed, by name, as the report has them."""
    report = json.loads((folder / "report.json").read_text())
    return {
        check["name"]: check["bundle"] for suite in report["suites"] for check in suite["checks"] if check["bundle"]
    }


def leftovers(project: Project) -> list[str]:
    """What dead or living runs of this project have in the engine; all of its runs have ended."""
    locks = [path.stem for path in (project.state / "dsci" / "runs").glob("*.lock")]
    return [item for run in locks for item in docker("ps", "-aq", "--filter", f"label={LABEL}={run}").split()]


def test_a_script_that_failed_is_run_again_in_its_folder(tiny: Project) -> None:
    text = "#!/bin/bash\n. ./lib.sh\ntouch made\nsay $PWD\nexit 4\n"
    scripts = {"sub/test_bad.sh": text, "sub/lib.sh": "say() { echo $1; }\n"}
    tiny.commit("test: it fails", {f"images/base/suites/{name}": text for name, text in scripts.items()})
    tiny.dsci("test", "base", "--report", "out", code=1)
    bad = bundles(tiny.folder / "out")["sub/test_bad.sh"]
    assert replayed(tiny, str(bad["replay"]), code=4).stdout == "/dsci/suite/sub\n" == bad["stdout"]


@pytest.mark.slow
def test_a_check_that_failed_is_run_again_as_it_was(tiny: Project) -> None:
    tiny.environment["DSCI_TEST_WORD"] = "a word of the host"
    tiny.commit(
        "test: they fail",
        {
            "dsci.yaml": ALLOWED,
            "images/base/suites/a.yaml": SUITE,
            "images/base/suites/steps.yaml": STEPS,
            "images/base/suites/started.yaml": STARTED,
            "images/base/suites/deep/test_it.sh": "pwd; cat words; exit 3\n",
            "images/base/suites/deep/words": "a word\n",
        },
    )
    folder = tiny.folder / "out"
    ended = tiny.dsci("test", "base", "--report", "out", code=1)
    found = bundles(folder)
    assert set(found) == {"Command Test: bad one", "Command Test: steps", "beside", "deep/test_it.sh"}
    everything = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert "a word of the host" not in everything + ended.stdout + ended.stderr

    bad = found["Command Test: bad one"]
    command = str(bad["replay"])
    assert f"to run Command Test: bad one again: {command}" in ended.stderr
    again = replayed(tiny, command, code=3)
    path = [line for line in again.stdout.split("\n") if line.startswith("MINE=")]
    assert again.stdout == f"1234\nDSCI_TEST_WORD=a word of the host\n{path[0]}\n" and path[0].startswith("MINE=m-/")
    assert again.stdout.replace("a word of the host", "***") == bad["stdout"]
    assert again.stderr.endswith("wrong\n")

    # Steps come first, and what ran before is gone.
    steps = found["Command Test: steps"]
    assert replayed(tiny, str(steps["replay"]), code=4).stdout == steps["stdout"] == "a b\nsleep\nA=a b\n"
    # Another command in its place.
    other = replayed(tiny, str(steps["replay"]), "--", "sh", "-c", "cat /set; exit 9", code=9)
    assert other.stdout == "a b\n"
    assert replayed(tiny, command, "--", "id", "-u", code=0).stdout == "1234\n"
    # Beside what runs in a container that is started as it was.
    beside = found["beside"]
    assert replayed(tiny, str(beside["replay"]), code=5).stdout == beside["stdout"] == "here mine\n1234\n"
    # With the suite's files, in their folder.
    script = found["deep/test_it.sh"]
    assert replayed(tiny, str(script["replay"]), code=3).stdout == script["stdout"] == "/dsci/suite/deep\na word\n"
    # What it was given of the host is taken from the host once more, and only where that is allowed.
    del tiny.environment["DSCI_TEST_WORD"]
    assert "DSCI_TEST_WORD is not set here" in replayed(tiny, command, code=2).stderr
    tiny.write({"dsci.yaml": "{}\n"})
    assert "host-environment, which would reach this machine" in replayed(tiny, command, code=2).stderr
    assert leftovers(tiny) == []


@pytest.mark.slow
def test_a_suite_s_files_are_there_and_the_tested_image_is_the_one(tiny: Project) -> None:
    python = "RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*\n"
    module = "def test_it():\n    assert open('/etc/note').read() == 'something else'\n"
    tiny.commit(
        "test: pytest",
        {
            "images/base/Dockerfile": f"FROM debian:bookworm-slim\n{python}COPY note /etc/note\n",
            "images/base/suites/test_it.py": module,
            "images/base/suites/data/words": "a word\n",
        },
    )
    tiny.dsci("test", "base", "--report", "out", code=1)
    (bundle,) = bundles(tiny.folder / "out").values()
    again = replayed(tiny, str(bundle["replay"]), code=1)
    assert "AssertionError" in again.stdout and "1 failed" in again.stdout
    told = ran(tiny, "base", "--", "cat", "/dsci/suite/data/words", "/etc/note")
    assert told.stdout == "a word\na note\n" and "/dsci/suite has the files of base/pytest" in told.stderr
    # A commit later the image is another one, and what failed is still run in its own.
    tiny.commit("fix: a note", {"images/base/note": "another note\n"})
    there = replayed(tiny, str(bundle["replay"]), "--", "cat", "/etc/note", code=0)
    assert there.stdout == "a note\n", str(there)
    # The work tree as it is: built first.
    tiny.write({"images/base/note": "not committed\n"})
    assert ran(tiny, "base", "--", "cat", "/etc/note").stdout == "not committed\n"


def test_a_shell_outside_a_terminal_reads_what_it_is_given(tiny: Project) -> None:
    script = "test -t 0 || echo no terminal; echo $0; cat /etc/note; exit 5\n"
    assert ran(tiny, "base", stdin=script, code=5).stdout == "no terminal\n/bin/bash\na note\n"
    assert leftovers(tiny) == []


def test_a_shell_in_a_terminal(tiny: Project) -> None:
    tiny.dsci("build", "base")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tiny.folder)
        argv = shell(tiny, "base")
        os.execve(argv[0], argv, {**tiny.env(), "TERM": "dumb"})
    try:
        read(terminal, "# ")
        os.write(terminal, b"test -t 0 && echo a-$((40 + 2))-terminal\n")
        read(terminal, "a-42-terminal\r\n")
        # Ctrl-C is the shell's own, and ends nothing here.
        os.write(terminal, b"sleep 100\n")
        time.sleep(1)
        os.write(terminal, b"\x03")
        os.write(terminal, b"cat /etc/note; exit 6\n")
        read(terminal, "a note\r\n")
        read(terminal, None)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 6
    finally:
        os.close(terminal)
    assert leftovers(tiny) == []


@pytest.mark.slow
def test_a_variant_is_an_image_of_its_own(tiny: Project) -> None:
    tiny.commit(
        "feat: variants",
        {
            "dsci.yaml": "images: {base: {variants: {axes: {gpu: [none, cuda12]}}}}\n",
            "images/base/Dockerfile": 'FROM debian:bookworm-slim\nARG GPU\nRUN echo "with $GPU" > /etc/gpu\n',
        },
    )
    assert ran(tiny, "base", "--", "cat", "/etc/gpu").stdout == "with none\n"
    told = ran(tiny, "base:cuda12", "--", "cat", "/etc/gpu")
    assert told.stdout == "with cuda12\n" and "build   base@" not in told.stderr


@pytest.mark.slow
def test_a_shell_that_is_ended_leaves_nothing(tiny: Project) -> None:
    """SIGTERM, which process 1 of a container does not heed; and kill -9, after which the next call clears up."""
    ended = running(tiny)
    ended.send_signal(signal.SIGTERM)
    ended.communicate(timeout=60)
    assert ended.returncode == 143
    assert leftovers(tiny) == [] and list((tiny.state / "dsci" / "runs").glob("*.lock")) == []
    killed = running(tiny)
    killed.kill()
    assert len(leftovers(tiny)) == 1
    assert ran(tiny, "base", "--", "cat", "/etc/note").stdout == "a note\n"
    assert leftovers(tiny) == []
    killed.communicate(timeout=60)  # The docker command saw its container go.


def running(project: Project) -> subprocess.Popen[str]:
    """A command that goes on in an image."""
    argv = shell(project, "base", "--", "sh", "-c", "echo begun; sleep 600")
    process = subprocess.Popen(
        argv,
        cwd=project.folder,
        env=project.env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def read(terminal: int, wanted: str | None, patience: float = 60) -> str:
    """What a terminal shows until these words came, or until nobody writes to it any more."""
    seen = ""
    end = time.monotonic() + patience
    while wanted is None or wanted not in seen:
        assert select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0], seen
        try:
            chunk = os.read(terminal, 4096)
        except OSError as error:
            if error.errno == errno.EIO and wanted is None:
                return seen
            raise
        if not chunk:
            assert wanted is None, seen
            return seen
        seen += chunk.decode(errors="replace")
    return seen


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("shell",), "name an IMAGE"),
        (("shell", "bsae"), "did you mean 'base'"),
        (("shell", "base", "--suite", "base/x"), "its suites are none"),
        (("shell", "base", "--platform", "linux/s390x"), "base is not for linux/s390x"),
        (("shell", "--replay", "nowhere"), "nowhere/bundle.json could not be read"),
        (("shell", "--replay", "x", "--suite", "y"), "--replay knows"),
    ],
)
def test_what_is_wrong_is_told(tiny: Project, arguments: tuple[str, ...], said: str) -> None:
    assert said in tiny.dsci(*arguments, code=2).stderr


def test_documents_of_a_run(tiny: Project) -> None:
    """In a job on GitHub: annotations at the lines of the file, and stdout stays what it is."""
    suite = 'schemaVersion: "2.0.0"\nfileExistenceTests:\n- {name: a, path: /etc}\n- {name: b, path: /no}\n'
    suite += "commandTests: [{name: c, command: cat, args: [/etc/note, /no]}]\n"
    tiny.commit("test: a suite", {"images/base/suites/a.yaml": suite})
    tiny.environment |= {"GITHUB_ACTIONS": "true"}
    ended = tiny.dsci("test", "base", "--json", "--report", "junit=x.xml", "--report", "tap=x.tap", code=1)
    assert "::error file=images/base/suites/a.yaml,line=4,title=base@linux/" in ended.stderr
    command, _, absent = ended.json["suites"][0]["checks"]
    assert (command["line"], absent["line"]) == (5, 4)
    assert 'failures="2"' in (tiny.folder / "x.xml").read_text()
    assert (tiny.folder / "x.tap").read_text().startswith("TAP version 13\n1..3\nnot ok 1 - base@linux/")
    again = replayed(tiny, command["bundle"]["replay"], code=1)
    assert again.stdout == command["bundle"]["stdout"] == "a note\n"
    # What the container prints stands where the runner obeys nothing, and is not touched.
    begins, ends = again.stderr.index("::stop-commands::"), again.stderr.rindex("::\n")
    assert command["bundle"]["stderr"] and begins < again.stderr.index(command["bundle"]["stderr"]) < ends
    assert obeyed(again.stderr) == []
