"""`dsci test --image`: container-structure-test's options, in no repository."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests import realengine
from tests.githubrunner import obeyed

from dsci.model.reference import Reference

GOOD = 'schemaVersion: "2.0.0"\nfileExistenceTests: [{name: etc, path: /etc}]\n'
#: Seconds that nobody else on this machine sleeps.
_LONG = 900_000 + os.getpid()
BAD = 'schemaVersion: "2.0.0"\ncommandTests: [{name: no, command: "false"}]\n'


@pytest.fixture(scope="module")
def image() -> Iterator[Reference]:
    with realengine.image("FROM debian:bookworm-slim\nLABEL of=dropin\n") as name:
        yield name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yml").write_text(BAD)
    return tmp_path


def dsci(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    return subprocess.run(
        [sys.executable, "-m", "dsci", "test", *arguments],
        cwd=folder,
        env=given | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.engine
def test_text_is_for_people(image: Reference, folder: Path) -> None:
    ended = dsci(folder, "-i", str(image), "-c", "good.yaml", "-c", "bad.yml")
    assert ended.returncode == 1 and ended.stderr == ""
    lines = ended.stdout.split("\n")
    assert "====== Test file: good.yaml ======" in lines and "====== Test file: bad.yml ======" in lines
    assert lines[lines.index("=== RUN: File Existence Test: etc") + 1] == "--- PASS"
    assert lines[lines.index("=== RUN: Command Test: no") + 1] == "--- FAIL"
    told = [line for line in lines[-8:] if line and not line.startswith("Duration:")]
    assert told == ["=" * 27, "Passes:      1", "Failures:    1", "Total tests: 2", "FAIL"]
    assert "\x1b" not in ended.stdout


@pytest.mark.engine
def test_forms_and_places(image: Reference, folder: Path) -> None:
    told = json.loads(dsci(folder, "-i", str(image), "-c", "good.yaml", "--json").stdout)
    assert told["Results"][0]["Name"] == "File Existence Test: etc"
    ended = dsci(folder, "-i", str(image), "-c", "good.yaml", "-o", "junit", "--junit-suite-name", "mine")
    assert [suite.get("name") for suite in ElementTree.fromstring(ended.stdout).iter("testsuite")] == ["mine"]
    ended = dsci(folder, "-i", str(image), "-c", "bad.yml", "--test-report", "report")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert json.loads((folder / "report").read_text())["Fail"] == 1
    ended = dsci(folder, "-i", str(image), "-c", "bad.yml", "-q")
    assert (ended.returncode, ended.stdout) == (1, "")
    ended = dsci(folder, "-i", str(image), "-c", "good.yaml", "--test-report", "no/such/folder")
    assert ended.returncode == 2 and "no/such/folder cannot be written" in ended.stderr


@pytest.mark.engine
@pytest.mark.parametrize("form", ["text", "json", "junit"])
def test_in_a_job_on_github_nothing_that_a_container_prints_is_obeyed(
    image: Reference, folder: Path, form: str
) -> None:
    lines = ("::error::theirs", "  ::warning::theirs", "x ##[set-output name=a]b", "##[error]theirs")
    test = {"name": "##[error]a", "command": "printf", "args": ["%s\n", *lines], "expectedOutput": ["nothing of it"]}
    (folder / "loud.json").write_text(json.dumps({"schemaVersion": "2.0.0", "commandTests": [test]}))
    ended = dsci(folder, "-i", str(image), "-c", "loud.json", "-o", form, GITHUB_ACTIONS="true")
    assert ended.returncode == 1, ended
    assert obeyed(ended.stdout) == [] and "theirs" in ended.stdout
    if form == "json":
        assert "\n".join(lines) in json.loads(ended.stdout)["Results"][0]["Stdout"]
    if form == "junit":
        assert "\n".join(lines) in (ElementTree.fromstring(ended.stdout.encode()).findtext(".//system-out") or "")


OWN = """\
checks:
- {file: /etc/os-release, contains: bookworm}
- {run: echo out, stdout: out}
- {check: no-secrets}
- {run: "false", skip: not here}
- {file: /nowhere}
"""


@pytest.mark.engine
@pytest.mark.parametrize("driver", ["docker", "tar"])
def test_suites_of_our_own(image: Reference, folder: Path, driver: str) -> None:
    (folder / "own.yaml").write_text(OWN)
    ended = dsci(folder, "-i", str(image), "-c", "own.yaml", "-d", driver, "-o", "json")
    assert ended.returncode == 1
    found = {each["Name"]: (each["Pass"], each.get("Errors")) for each in json.loads(ended.stdout)["Results"]}
    nothing = "nothing is run in an image that is looked at through its layers: use --driver docker"
    assert found == {
        "file /etc/os-release": (True, None),
        "echo out": (True, None) if driver == "docker" else (False, [nothing]),
        "no-secrets": (True, None),
        "false (skipped: not here)": (True, None),
        "file /nowhere": (False, ["/nowhere is not there"]),
    }


@pytest.mark.engine
def test_a_file_of_nothing_but_skipped_checks_is_no_success(image: Reference, folder: Path) -> None:
    (folder / "own.yaml").write_text("checks: [{run: x, skip: why not}]\n")
    assert dsci(folder, "-i", str(image), "-c", "own.yaml").returncode == 1
    assert dsci(folder, "-i", str(image), "-c", "own.yaml", "-c", "good.yaml").returncode == 0


@pytest.mark.engine
def test_no_test_is_no_success(image: Reference, folder: Path) -> None:
    (folder / "empty.yaml").write_text('schemaVersion: "2.0.0"\n')
    ended = dsci(folder, "-i", str(image), "-c", "empty.yaml")
    assert ended.returncode == 1 and "No tests run!" in ended.stdout


@pytest.mark.engine
def test_an_image_by_its_id_and_one_that_is_not_there(image: Reference, folder: Path) -> None:
    found = realengine.docker("inspect", "--format", "{{.Id}}", str(image))
    for name in (found, found.removeprefix("sha256:")[:12]):
        assert dsci(folder, "-i", name, "-c", "good.yaml").returncode == 0
    ended = dsci(folder, "-i", "no.such.place/image:x", "-c", "good.yaml")
    assert ended.returncode not in (0, 1) and "the engine has no image no.such.place/image:x" in ended.stderr
    ended = dsci(folder, "-i", "localhost:1/image:x", "-c", "good.yaml", "--pull")
    assert ended.returncode not in (0, 1) and "could not pull localhost:1/image:x" in ended.stderr


@pytest.mark.engine
def test_what_reaches_this_machine_has_to_be_allowed(image: Reference, folder: Path) -> None:
    text = f'{BAD.replace("false", "true")}containerRunOptions: {{privileged: true, bindMounts: ["/:/host"]}}\n'
    (folder / "host.yaml").write_text(text)
    ended = dsci(folder, "-i", str(image), "-c", "host.yaml", "-o", "json")
    (result,) = json.loads(ended.stdout)["Results"]
    assert ended.returncode == 1 and "privileged, bindMounts would reach this machine" in result["Errors"][0]
    ended = dsci(folder, "-i", str(image), "-c", "host.yaml", "--allow", "privileged", "--allow", "bind-mounts")
    assert ended.returncode == 0


@contextlib.contextmanager
def sleeping(image: Reference, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A command of whose tests one sleeps for long, and the label of its containers."""
    (folder / "slow.yaml").write_text(
        f'schemaVersion: "2.0.0"\ncommandTests: [{{name: s, command: sleep, args: ["{_LONG}"]}}]\n'
    )
    running = subprocess.Popen(
        [sys.executable, "-m", "dsci", "test", "-i", str(image), "-c", "slow.yaml"],
        cwd=folder,
        env={**os.environ, "XDG_STATE_HOME": str(folder / "state")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores Ctrl-C and hands that on; here there is somebody at the keyboard.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not _runs(f"sleep {_LONG}"):
        time.sleep(0.1)
    (lock,) = (folder / "state" / "dsci" / "runs").glob("*.lock")
    yield running, f"dev.dsci.run={lock.stem}"
    assert running.poll() is not None


@pytest.mark.engine
def test_an_interruption_ends_what_goes_on(image: Reference, folder: Path) -> None:
    with sleeping(image, folder) as (running, label):
        assert realengine.containers(label)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 130 and "interrupted" in said
    assert not _runs(f"sleep {_LONG}") and realengine.containers(label) == set()


@pytest.mark.engine
def test_what_was_killed_is_swept_by_the_next_one(image: Reference, folder: Path) -> None:
    with sleeping(image, folder) as (running, label):
        running.kill()
        running.communicate()
    assert realengine.containers(label)
    assert dsci(folder, "-i", str(image), "-c", "good.yaml").returncode == 0
    assert realengine.containers(label) == set() and not _runs(f"sleep {_LONG}")


@pytest.mark.engine
def test_limits(image: Reference, folder: Path) -> None:
    script = "while :; do head -c 20000000 /dev/zero >> /x; sleep 0.1; done"
    rows = f"[{{name: fills, command: sh, args: [-c, '{script}']}}, {{name: s, command: sleep, args: ['987']}}]"
    (folder / "greedy.yaml").write_text(f'schemaVersion: "2.0.0"\ncommandTests: {rows}\n')
    (folder / "late.yaml").write_text(BAD.replace("no,", "late,"))
    limits = ("check_timeout=1h", "total_timeout=6s", "disk=50MB", "processes=100")
    ended = dsci(
        folder,
        *("-i", str(image), "-c", "greedy.yaml", "-c", "late.yaml", "-o", "json"),
        *(word for limit in limits for word in ("--limit", limit)),
    )
    fills, sleeps, late = (result["Errors"][0] for result in json.loads(ended.stdout)["Results"])
    assert fills == "it wrote more than 50 MB beside its image, so it was killed: for more, say --limit disk=..."
    over = "the run's 6s were over"
    assert sleeps.startswith(f"still running when {over}") and late.startswith(f"it did not run, since {over}")
    assert late.endswith("for more, say --limit total_timeout=...")


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        ("disk", "--limit: disk: '' is no size: such as 500MB, 1.5GB or 2GiB; 0 switches it off"),
        ("memory=1MB", "--limit: memory: 1MB is less than the engine takes: give it 6MiB or more, or 0"),
        ("timeout=5", "--limit: timeout: '5' is no duration: such as 90s, 10m or 1h"),
        ("processes=many", "--limit: Expected `int`, got `str` - at `$.processes`"),
        ("processes=-1", "--limit: processes: -1 is no number of processes: 0 switches it off"),
        ("speed=1", "--limit: there is no 'speed': there are check_timeout, timeout, total_timeout, processes, memory"),
    ],
)
def test_limits_that_are_none(folder: Path, limit: str, why: str) -> None:
    ended = dsci(folder, "-i", "x", "-c", "good.yaml", "--limit", limit)
    assert ended.returncode == 2 and why in " ".join(ended.stderr.split())


def _runs(command: str) -> bool:
    """Whether a process with these words runs on this machine."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if place.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip() == command:
                return True
    return False


@pytest.mark.engine
def test_the_image_of_a_layout(image: Reference, folder: Path) -> None:
    name = f"dsci-test.local/layout-{os.getpid()}:x"
    layout = folder / "layout"
    layout.mkdir()
    (folder / "saved.tar").write_bytes(b"")
    realengine.docker("save", "--output", str(folder / "saved.tar"), str(image))
    subprocess.run(["tar", "-xf", str(folder / "saved.tar"), "-C", str(layout)], check=True)
    if not (layout / "index.json").exists():
        pytest.skip("this engine saves no OCI layouts")
    asked = ("--image-from-oci-layout", "layout", "--ignore-ref-annotation", "-c", "good.yaml")
    try:
        assert dsci(folder, *asked, "--default-image-tag", name).returncode == 0
    finally:
        realengine.docker("rmi", name)
    ended = dsci(folder, *asked)
    assert ended.returncode == 2 and "--default-image-tag" in ended.stderr
    (layout / "index.json").write_text("{}")
    assert "layout" in dsci(folder, *asked).stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-i", "x"), "name at least one file of tests with --config"),
        (("-c", "good.yaml"), "name the image with --image"),
        (("-i", "x", "--image-from-oci-layout", "y", "-c", "z"), "exclude each other"),
        (("--image-from-oci-layout", "y", "-c", "z", "--pull"), "exclude each other"),
        (("-i", "x", "-c", "z", "-d", "host"), "no tests on the machine itself"),
        (("ml", "-i", "x", "-c", "z"), "images of this repository and --image exclude each other"),
    ],
)
def test_options_that_make_no_sense(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    ended = dsci(folder, *arguments)
    assert ended.returncode == 2 and says in ended.stderr and ended.stdout == ""
