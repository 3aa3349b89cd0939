"""pytest on this machine, against real containers: fixtures, verdicts, what the tests see, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import realengine
from tests.realengine import containers, processes
from tests.suites.conftest import Subjects

from dsci.drivers.hostside import HostSide
from dsci.drivers.runs import LABEL, Run
from dsci.model.family import Suite
from dsci.model.reference import Reference
from dsci.model.report import Check, Verdict
from dsci.suites import run as suites

pytestmark = pytest.mark.engine

PASS, FAIL, SKIP = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED
FOLDER = "images/x/suites/host"
#: An image as those of jupyter/docker-stacks are: tini, a start script that warns, a server with a health check.
SERVER = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3 tini
COPY start.sh /usr/local/bin/start.sh
ENV GREETING=hello
ENTRYPOINT ["tini", "--", "start.sh"]
CMD ["python3", "-m", "http.server", "8888"]
HEALTHCHECK --interval=1s --retries=30 CMD python3 -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8888')"
"""
START = """#!/bin/sh
[ -z "$NB_USER" ] || echo "WARNING: the user is $NB_USER"
echo "Executing: $*"
exec "$@"
"""
STARTS = "def test_x(container):\n    container.run_detached(command=['sleep', '600'])\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Reference]:
    with realengine.image(SERVER, {"start.sh": realengine.Script(START)}) as name:
        yield name


Runs = Callable[..., dict[str, Check]]


@pytest.fixture
def checks(subject: Subjects, host_side: HostSide) -> Runs:
    """Runs files as a suite on this machine; gives its checks by the names of their tests."""

    def run(image: Reference, files: dict[str, str], **more: Any) -> dict[str, Check]:
        placed = {f"{FOLDER}/{name}": textwrap.dedent(text) for name, text in files.items()}
        suite = Suite(name="x/host", kind="host", owner="x", path=FOLDER, files=tuple(sorted(placed)))
        tested = subject(image, placed, **{"allow": ["host-tests"], "host_side": host_side, **more})
        report = suites.run(suite, tested, target="x@linux/amd64")
        return {check.name.rpartition("::")[2]: check for check in report.checks}

    return run


def verdicts(found: dict[str, Check]) -> dict[str, Verdict]:
    return {name: check.verdict for name, check in found.items()}


def test_every_fixture_of_the_plugin(checks: Runs, server: Reference, run: Run) -> None:
    found = checks(
        server,
        {
            "test_all.py": """
            import os, pytest

            def test_image(image):
                assert image.id.startswith("sha256:") and "GREETING=hello" in image.config["Env"]
                assert str(image) == image.reference

            def test_exec_starts_the_image_as_it_is(exec, container):
                ended = exec(["sh", "-c", "echo out; echo err >&2; exit 3"])
                assert (ended.exit_code, ended.stdout, ended.stderr) == (3, "out\\n", "err\\n")
                assert exec("cat /proc/1/comm").stdout == "tini\\n"
                where = exec("sh -c 'echo $A; pwd; id -u'", environment={"A": "a b"}, workdir="/usr", user="7")
                assert where.stdout == "a b\\n/usr\\n7\\n"
                assert exec("/no/such").exit_code is None or exec("/no/such").exit_code == 127

            def test_http(container, http):
                container.run_detached(ports=[8888])
                answer = http.get(container.url(8888, "/etc/hostname"))
                assert answer.status_code == 200

            def test_waiting(container):
                container.run_detached(ports={"8888/tcp": None})
                container.wait_for(log="^Executing: python3", port=8888, healthy=True, timeout=30)
                assert container.health() == "healthy"
                with pytest.raises(AssertionError, match="passed before its log has 'never'"):
                    container.wait_for(log="never", timeout=0.5)

            def test_one_that_ends_is_not_waited_for(container):
                container.run_detached(command=["false"])
                with pytest.raises(AssertionError, match="ended before something listens"):
                    container.url(8888)

            def test_surroundings():
                assert "DSCI_TEST_SECRET" not in os.environ
                assert os.environ["HOME"] != "/root" and os.environ["TMPDIR"].endswith("/tmp")

            def test_there_are_no_services(request):
                with pytest.raises(pytest.fail.Exception, match="compose.yaml"):
                    request.getfixturevalue("compose")
            """
        },
    )
    assert set(verdicts(found).values()) == {PASS}, found
    assert len(found) == 7
    assert not containers(f"{LABEL}={run.id}")


def test_a_suite_of_docker_stacks_style_needs_only_another_conftest(checks: Runs, server: Reference) -> None:
    """Its tests' own words: TrackedContainer's methods with docker-py's arguments, `http_client`, a free port."""
    found = checks(
        server,
        {
            "conftest.py": """
            import pytest

            @pytest.fixture
            def http_client(http):
                return http
            """,
            "tests/utils/__init__.py": "",
            "tests/utils/find_free_port.py": """
            import socket

            def find_free_port():
                with socket.socket() as s:
                    s.bind(("127.0.0.1", 0))
                    return s.getsockname()[1]
            """,
            "tests/test_start_container.py": """
            import pytest, requests
            from tests.utils.find_free_port import find_free_port
            from dsci.fixtures import TrackedContainer

            @pytest.mark.parametrize("env,expected", [(None, []), (["NB_USER=j"], ["WARNING: the user is j"])])
            def test_start(container: TrackedContainer, http_client: requests.Session, env, expected):
                host_port = find_free_port()
                running_container = container.run_detached(
                    tty=True, environment=env, ports={"8888/tcp": host_port}
                )
                response = http_client.get(f"http://localhost:{host_port}")
                assert response.status_code == 200
                logs = running_container.logs().decode()
                assert "Executing: python3" in logs
                assert TrackedContainer.get_warnings(logs) == expected

            def test_user(container: TrackedContainer):
                logs = container.run_and_wait(
                    timeout=30, tty=True, user="1010", group_add=["users"], command=["id"], working_dir="/home"
                )
                assert "uid=1010 gid=0(root) groups=0(root),100(users)" in logs

            def test_opposites(container: TrackedContainer):
                container.run_and_wait(
                    timeout=30, no_warnings=False, no_failure=False, environment=["NB_USER=j"], command=["false"]
                )

            def test_exec(container: TrackedContainer):
                container.run_detached(command=["bash", "-c", "sleep infinity"])
                assert container.exec_cmd('stat -c "%U %G" /home/', workdir="/") == "root root"
                assert container.running.exec_run("ps -p 1 -o comm=").exit_code in (0, 126, 127)
            """,
        },
    )
    assert verdicts(found) == dict.fromkeys(
        ["test_start[None-expected0]", "test_start[env1-expected1]", "test_user", "test_opposites", "test_exec"], PASS
    ), found


def test_what_fails_says_why_and_shows_the_container(checks: Runs, server: Reference) -> None:
    found = checks(
        server,
        {
            "test_failing.py": """
            import pytest

            def test_log_is_shown(container):
                container.run_and_wait(timeout=20, command=["sh", "-c", "echo the last words; exit 4"])

            def test_late(container):
                container.run_and_wait(timeout=0.5, command=["sleep", "60"])

            def test_privileged(container):
                container.run_detached(privileged=True, volumes=["/:/host"], network_mode="host")

            @pytest.mark.skip(reason="no such machine")
            def test_skipped(): pass
            """
        },
    )
    assert verdicts(found) == {
        "test_log_is_shown": FAIL,
        "test_late": FAIL,
        "test_privileged": FAIL,
        "test_skipped": SKIP,
    }
    assert "exit code 4" in found["test_log_is_shown"].detail and "the last words" in found["test_log_is_shown"].detail
    assert "still running after 0.5 s" in found["test_late"].detail
    refused = found["test_privileged"].detail
    assert "network_mode, privileged, volumes would reach the engine's machine" in refused
    assert "allow bind-mounts, privileged" in refused
    assert found["test_skipped"].detail.endswith("no such machine")


def test_python_of_a_suite_does_not_run_here_unless_it_is_allowed(
    checks: Runs, bare: Reference, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    found = checks(bare, {"test_x.py": f"open({str(made)!r}, 'w')\ndef test_x(): pass\n"}, allow=["privileged"])
    (check,) = found.values()
    assert check.verdict is FAIL and f"{FOLDER}: its Python tests would run on this machine" in check.detail
    assert "allow host-tests" in check.detail and not made.exists()


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"test_x.py": "def nothing(): pass\n"}, "no test ran"),
        ({"test_x.py": "import no_such_module\n"}, "No module named 'no_such_module'"),
        ({"test_x.py": "import os\ndef test_x(): os._exit(0)\n"}, "pytest left no record of its tests"),
        ({"test_x.py": "import os\ndef test_x(): os.kill(os.getpid(), 9)\n"}, "pytest ended with exit code -9"),
        ({"pytest.ini": "[pytest]\naddopts = --bogus\n", "test_x.py": "def test_x(): pass\n"}, "--bogus"),
    ],
)
def test_no_suite_passes_that_did_not_test(checks: Runs, bare: Reference, files: dict[str, str], why: str) -> None:
    found = checks(bare, files)
    assert [check.verdict for check in found.values()] == [FAIL]
    assert why in next(iter(found.values())).detail


@pytest.mark.slow
def test_tests_run_side_by_side_where_the_suite_says_so(checks: Runs, bare: Reference) -> None:
    pytest.importorskip("xdist")
    test = """
    import os, pytest, time

    @pytest.mark.parametrize("n", [1, 2, 3, 4])
    def test_x(container, n):
        assert os.environ["PYTEST_XDIST_WORKER"]
        time.sleep(1.5)  # in which a worker would be ended
        assert container.run_and_wait(timeout=20, command=["echo", str(n)]) == f"{n}\\n"
    """
    found = checks(bare, {"pytest.ini": "[pytest]\naddopts = -n 2\n", "test_x.py": test})
    assert verdicts(found) == {f"test_x[{n}]": PASS for n in (1, 2, 3, 4)}, found


def test_the_whole_environment_only_where_it_is_allowed(
    checks: Runs, bare: Reference, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSCI_TEST_SECRET", "s3cret")
    test = {"test_x.py": "import os\ndef test_x(): assert os.environ.get('DSCI_TEST_SECRET') == 's3cret'\n"}
    side = HostSide(dict(os.environ), run)
    assert verdicts(checks(bare, test, host_side=side)) == {"test_x": FAIL}
    assert verdicts(checks(bare, test, host_side=side, allow=["host-tests", "host-environment"])) == {"test_x": PASS}


@pytest.mark.parametrize(
    ("limit", "whose", "setting"), [("timeout", "check", "check_timeout"), ("suite", "suite", "timeout")]
)
def test_a_session_that_takes_too_long_is_ended_with_its_containers(
    checks: Runs, bare: Reference, run: Run, tmp_path: Path, limit: str, whose: str, setting: str
) -> None:
    mark = f"dsci-{tmp_path.name}"
    found = checks(
        bare,
        {
            "test_late.py": f"""
            import subprocess, time

            def test_first(): pass

            def test_endless(container):
                container.run_detached(command=["sleep", "600"])
                subprocess.Popen(["sh", "-c", "sleep 600 # {mark}"])
                time.sleep(600)

            def test_never(): pass
            """
        },
        **{limit: 4},
    )
    assert verdicts(found) == {"test_first": PASS, "test_endless": FAIL, "test_never": FAIL}
    late = f"still running when the {whose}'s 4s were over, so it was killed: raise suites.{setting}"
    assert late in found["test_endless"].detail and "it did not run" in found["test_never"].detail
    assert not containers(f"{LABEL}={run.id}") and not processes(mark)


def test_a_session_is_ended_when_its_run_is(checks: Runs, bare: Reference, run: Run, host_side: HostSide) -> None:
    ended: list[dict[str, Check]] = []
    files = {"test_late.py": f"import time\n{STARTS}    time.sleep(600)\n"}
    thread = threading.Thread(target=lambda: ended.append(checks(bare, files)))
    thread.start()
    deadline = time.monotonic() + 30
    while not containers(f"{LABEL}={run.id}") and time.monotonic() < deadline:
        time.sleep(0.1)
    host_side.cancel()
    thread.join(20)
    assert not thread.is_alive() and "exit code -9" in ended[0]["x/host"].detail
    assert not containers(f"{LABEL}={run.id}")


@pytest.fixture
def by_hand(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """pytest as a person calls it, in a folder with one test."""

    def call(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "suite").mkdir(exist_ok=True)
        (tmp_path / "suite" / "test_x.py").write_text(textwrap.dedent(text))
        command = [sys.executable, "-m", "pytest", "-p", "dsci.pytest_plugin", "-p", "no:cacheprovider", *arguments]
        environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
        return subprocess.run(
            command, cwd=tmp_path / "suite", env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    return call


def test_the_plugin_outside_dsci(
    by_hand: Callable[..., subprocess.CompletedProcess[str]], bare: Reference, tmp_path: Path
) -> None:
    test = """
    def test_x(exec, image, container):
        container.run_detached(command=["sleep", "60"])
        assert exec("cat /etc/debian_version").exit_code == 0
        container.run_detached(command=["true"], privileged=True, labels={"dsci-test": "NAME"})
    """.replace("NAME", tmp_path.parent.name)
    refused = by_hand(test, "--dsci-image", str(bare))
    assert refused.returncode == 1 and "--dsci-allow privileged" in refused.stdout, refused.stdout
    allowed = by_hand(test, "--dsci-image", str(bare), "--dsci-allow", "privileged")
    assert allowed.returncode == 0, allowed.stdout
    assert list((tmp_path / "state/dsci/runs").iterdir()) == []
    assert not containers(f"dsci-test={tmp_path.parent.name}")


def test_without_an_image_the_plugin_hides_nobodys_fixtures(
    by_hand: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    ended = by_hand("def test_x(container): pass\n")
    assert ended.returncode == 1 and "fixture 'container' not found" in ended.stdout


@pytest.mark.slow
def test_what_a_killed_session_left_is_swept_by_the_next(
    by_hand: Callable[..., subprocess.CompletedProcess[str]], bare: Reference, tmp_path: Path
) -> None:
    label = f"dsci-test={tmp_path.parent.name}"
    test = f"""
    import os
    def test_x(container):
        container.run_detached(command=["sleep", "600"], labels=dict(["{label}".split("=")]))
        os.kill(os.getpid(), 9)
    """
    assert by_hand(test, "--dsci-image", str(bare)).returncode == -9
    assert containers(label)
    by_hand("def test_x(image): pass\n", "--dsci-image", str(bare))
    assert not containers(label)
