"""Services brought up by the real Docker Compose: verdicts, what survives, what is refused, nothing left behind."""

from __future__ import annotations

import os
import re
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.realengine import containers, docker, networks, volumes
from tests.suites.conftest import Subjects

from dsci.drivers.engine import DockerEngine
from dsci.drivers.hostside import HostSide
from dsci.drivers.runs import LABEL, Run
from dsci.errors import BuilderError
from dsci.model.family import Suite
from dsci.model.reference import Reference
from dsci.model.report import Check, Verdict
from dsci.suites import run as suites

pytestmark = pytest.mark.engine

PASS, FAIL, SKIP = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED
FOLDER = "images/x/suites/db"
UP = "services come up"
#: A service that stays.
STAYS = "services: {a: {image: '${DSCI_IMAGE}', init: true, command: [sleep, '600']}}\n"
Runs = Callable[..., dict[str, Check]]


@pytest.fixture
def checks(subject: Subjects, host_side: HostSide) -> Runs:
    """Runs files as a service suite; gives its checks by the names of their tests."""

    def run(image: Reference, files: dict[str, str | bytes], **more: Any) -> dict[str, Check]:
        placed = {
            f"{FOLDER}/{name}": textwrap.dedent(text) if isinstance(text, str) else text for name, text in files.items()
        }
        suite = Suite(name="x/db", kind="service", owner="x", path=FOLDER, files=tuple(sorted(placed)))
        tested = subject(image, placed, **{"allow": ["host-tests"], "host_side": host_side, **more})
        report = suites.run(suite, tested, target="x@linux/amd64")
        return {check.name.rpartition("::")[2]: check for check in report.checks}

    return run


@pytest.fixture
def nothing_left(run: Run) -> Callable[[], bool]:
    """Whether the engine has nothing of this run any more."""

    def look() -> bool:
        label = f"{LABEL}={run.id}"
        return not (containers(label) or volumes(label) or networks(label))

    return look


def verdicts(found: dict[str, Check]) -> dict[str, Verdict]:
    return {name: check.verdict for name, check in found.items()}


def test_data_on_a_named_volume_survives_a_restart_and_the_containers_and_goes_in_the_end(
    checks: Runs, python: Reference, nothing_left: Callable[[], bool]
) -> None:
    found = checks(
        python,
        {
            "compose.yaml": """
            services:
              web:
                image: ${DSCI_IMAGE}
                command: [python3, -m, http.server, "8080", --directory, /data]
                init: true
                environment: {WORD: "${WORD:-of the file}", PRICE: "5$$"}
                volumes: [data:/data]
                ports: ["8080:8080"]
                depends_on: {prepare: {condition: service_completed_successfully}}
                healthcheck: {test: [CMD, test, -d, /data], interval: 1s}
              prepare: {image: "${DSCI_IMAGE}", command: [sh, -c, "echo prepared > /data/first"], volumes: [data:/data]}
            volumes: {data: {}}
            """,
            "test_data.py": """
            def test_written_by_a_job(service, http):
                assert http.get(service("web").url(8080, "first")).text == "prepared\\n"

            def test_environment(service):
                assert service("web").exec_cmd("sh -c 'echo $WORD $PRICE'") == "of the file 5$"

            def test_survives_a_restart(service, http):
                web = service("web")
                web.exec_cmd("sh -c 'echo kept > /data/x; echo lost > /tmp/x'")
                before = web.running.id
                web.restart()
                assert web.running.id == before
                assert http.get(web.url(8080, "x")).text == "kept\\n"

            def test_survives_being_killed(service, http):
                web = service("web")
                web.kill()
                assert web.running.attrs["State"]["Running"] is False
                web.start()
                assert http.get(web.url(8080, "x")).text == "kept\\n"

            def test_survives_its_containers(compose, http):
                web = compose.service("web")
                before = web.running.id
                compose.down()
                compose.up()
                assert web.running.id != before
                assert web.exec("test -e /tmp/x").exit_code == 1
                assert http.get(web.url(8080, "x")).text == "kept\\n"

            def test_logs(compose):
                assert '"GET /x HTTP/1.1" 200' in compose.logs()["web"]

            def test_health(service):
                service("web").wait_for(healthy=True, log="GET /x")
                assert service("web").health() == "healthy"
            """,
        },
    )
    assert set(verdicts(found).values()) == {PASS}, found
    assert len(found) == 8 and found[UP].seconds > 0
    assert nothing_left()


def test_files_of_the_suite_are_mounted_wherever_the_engine_is(
    checks: Runs, bare: Reference, nothing_left: Callable[[], bool]
) -> None:
    """Folders and single files, read-only and not, an empty folder, a file as config and as secret; binary content."""
    found = checks(
        bare,
        {
            "compose.yaml": """
            services:
              a: &a
                image: ${DSCI_IMAGE}
                command: [sleep, "600"]
                init: true
                env_file: settings.env
                volumes:
                  - ./conf/app.conf:/etc/app.conf:ro
                  - ./conf:/etc/all
                  - ./made:/made
                  - .:/everything:ro
                configs: [written, {source: filed, target: /etc/filed}]
                secrets: [password]
              b: {<<: *a, container_name: other}
            configs:
              written: {content: "costs $$5\\n"}
              filed: {file: conf/app.conf}
            secrets: {password: {file: ./conf/password}}
            """,
            "settings.env": "FROM_FILE=yes\n",
            "conf/app.conf": "setting = 1\n",
            "conf/password": b"\xff\x00",
            "conf/hook.sh": "#!/bin/sh\necho hooked\n",
            "test_mounts.py": """
            def test_contents(service):
                a = service("a")
                assert a.exec_cmd("cat /etc/app.conf /etc/filed /written") == "setting = 1\\nsetting = 1\\ncosts $5"
                assert a.exec_cmd("od -An -tx1 /run/secrets/password").split() == ["ff", "00"]
                assert a.exec_cmd("sh -c 'echo $FROM_FILE'") == "yes"
                assert a.exec_cmd("ls /etc/all /everything").split() == [
                    "/etc/all:", "app.conf", "hook.sh", "password",
                    "/everything:", "compose.yaml", "conf", "made", "settings.env", "test_mounts.py",
                ]

            def test_rights(service):
                a = service("a")
                assert a.exec_cmd("/etc/all/hook.sh") == "hooked"
                assert a.exec("sh -c 'echo x > /etc/app.conf'").exit_code
                assert a.exec("sh -c 'echo x > /everything/x'").exit_code

            def test_both_see_what_is_written(service):
                service("a").exec_cmd("sh -c 'echo shared > /made/x'")
                assert service("b").exec_cmd("cat /made/x") == "shared"
                assert service("a").exec_cmd("getent hosts other").endswith("other")
            """,
        },
        executable=f"{FOLDER}/conf/hook.sh",
    )
    assert set(verdicts(found).values()) == {PASS}, found
    assert nothing_left()


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ("command: [sh, -c, 'echo last words; exit 3']", ["exited (3)", "a: ended with exit code 3", "last words"]),
        ("command: [sh, -c, 'echo done']", ["exited (0)", "done"]),
        (
            "command: [sleep, '600'], healthcheck: {test: [CMD-SHELL, echo sick; false], interval: 0.2s, retries: 1}",
            ["is unhealthy", "a: running, unhealthy", "sick"],
        ),
        ("command: [/no/such]", ["exited (127)", "exec /no/such failed"]),
    ],
)
def test_services_that_do_not_come_up_fail_with_their_logs(
    checks: Runs, bare: Reference, nothing_left: Callable[[], bool], service: str, why: list[str]
) -> None:
    text = f"services: {{a: {{image: '${{DSCI_IMAGE}}', init: true, {service}}}}}\n"
    found = checks(bare, {"compose.yaml": text, "test_x.py": "def test_x(): pass\n"})
    assert verdicts(found) == {UP: FAIL}
    assert all(part in found[UP].detail for part in why), found[UP].detail
    assert nothing_left()


@pytest.mark.slow
def test_services_that_are_not_up_in_time(checks: Runs, bare: Reference, nothing_left: Callable[[], bool]) -> None:
    sick = "{test: [CMD, 'false'], interval: 1s, start_period: 600s}"
    found = checks(bare, {"compose.yaml": STAYS.replace("init:", f"healthcheck: {sick}, init:")}, timeout=6)
    assert verdicts(found) == {UP: FAIL} and "a: running, starting" in found[UP].detail, found
    assert nothing_left()


def test_services_without_tests_need_no_python_here(
    checks: Runs, bare: Reference, nothing_left: Callable[[], bool]
) -> None:
    found = checks(bare, {"compose.yaml": STAYS}, allow=[])
    assert verdicts(found) == {UP: PASS} and nothing_left()


def test_containers_and_services_take_what_a_suite_may_where_they_say_nothing(checks: Runs, bare: Reference) -> None:
    compose = STAYS.replace(
        "}}\n", "}, b: {image: '${DSCI_IMAGE}', init: true, command: [sleep, '9'], pids_limit: 7}}\n"
    )
    test = """
    def taken(container):
        container.running.reload()
        return [container.running.attrs["HostConfig"][key] for key in ("PidsLimit", "Memory", "MemorySwap")]

    def test_x(service, container):
        assert taken(service("a")) == [50, 2**26, 2**26]
        assert taken(service("b")) == [7, 2**26, 2**26]
        container.run_detached(command=["true"])
        assert taken(container) == [50, 2**26, 2**26]
        container.run_detached(command=["true"], pids_limit=7, mem_limit="32m", memswap_limit="32m")
        assert taken(container) == [7, 2**25, 2**25]
    """
    found = checks(bare, {"compose.yaml": compose, "test_x.py": test}, processes=50, memory=2**26)
    assert verdicts(found) == {UP: PASS, "test_x": PASS}, found


def test_what_writes_too_much_is_killed_and_fails_the_suite(
    checks: Runs, bare: Reference, nothing_left: Callable[[], bool]
) -> None:
    test = """
    import time

    def filled(it):
        it.exec(["sh", "-c", "head -c 60000000 /dev/zero > /x"])
        for _ in range(200):
            it.running.reload()
            if it.running.status == "exited":
                return True
            time.sleep(0.1)

    def test_service(service):
        assert filled(service("a"))

    def test_container(container):
        container.run_detached(command=["sleep", "600"])
        assert filled(container)
    """
    found = checks(bare, {"compose.yaml": STAYS, "test_x.py": test}, disk=20_000_000)
    limits = {f"limits of {whose}": FAIL for whose in ("containers", "services")}
    assert verdicts(found) == {UP: PASS, "test_service": PASS, "test_container": PASS, **limits}, found
    for name in limits:
        assert re.search("it wrote more than 20 MB beside its image.* raise suites.disk", found[name].detail)
    assert nothing_left()


@pytest.mark.slow
def test_a_test_that_fails_shows_the_services_logs_and_late_ones_as_well(
    checks: Runs, bare: Reference, nothing_left: Callable[[], bool]
) -> None:
    compose = STAYS.replace("[sleep, '600']", "[sh, -c, 'echo on a; sleep 600']")
    found = checks(bare, {"compose.yaml": compose, "test_x.py": "def test_x(service): assert service is None\n"})
    assert verdicts(found) == {UP: PASS, "test_x": FAIL}
    assert "log of a" in found["test_x"].detail and "on a" in found["test_x"].detail
    late = checks(
        bare, {"compose.yaml": compose, "test_x.py": "import time\ndef test_x(): time.sleep(60)\n"}, timeout=5
    )
    assert verdicts(late) == {UP: PASS, "test_x": FAIL}
    assert "the check's 5s were over" in late["test_x"].detail and "--- a: running\non a" in late["test_x"].detail
    assert nothing_left()


@pytest.mark.parametrize(
    ("files", "allow", "why"),
    [
        (
            {"compose.yaml": STAYS.replace("init:", "privileged: true, volumes: ['/etc:/e', './x:/x'], init:")},
            [],
            [
                f"{FOLDER}/compose.yaml:1: services.a.privileged: privileged would reach this machine",
                "services.a.volumes.0: /etc of the engine's machine would reach this machine",
                "allow bind-mounts, privileged",
            ],
        ),
        ({"compose.yaml": STAYS.replace("init:", "build: ., init:")}, ["privileged"], ["a build is not taken"]),
        ({"compose.yaml": STAYS.replace("600", "$HOST_WORD")}, [], ["the variable HOST_WORD of this machine"]),
        ({"compose.yaml": STAYS.replace("600", "${HOME:-1}")}, [], ["the variable HOME of this machine"]),
        ({"compose.yaml": STAYS.replace("init:", "env_file: ../x.env, init:")}, [], ["the file ../x.env is not taken"]),
        ({"compose.yaml": "services: {a: {image: other}}\n"}, [], ["no service runs the image under test"]),
        (
            {"compose.yaml": "services: {a: {imag: other}}\n"},
            [],
            ["compose.yaml: Docker Compose does not", "imag"],
        ),
        ({"compose.yaml": "services: [\n"}, [], ["compose.yaml:2: not valid YAML"]),
        (
            {"compose.yaml": STAYS, "compose.yml": STAYS},
            [],
            ["compose.yaml, compose.yml: a suite has one"],
        ),
        ({"compose.yaml": STAYS, "test_x.py": "def test_x(): pass\n"}, ["privileged"], ["would run on this machine"]),
    ],
)
def test_what_would_reach_this_machine_is_refused_before_anything_starts(
    checks: Runs, bare: Reference, files: dict[str, str | bytes], allow: list[str], why: list[str]
) -> None:
    found = checks(bare, files, allow=allow)
    assert verdicts(found) == {"x/db": FAIL}
    assert all(part in found["x/db"].detail for part in why), found["x/db"].detail


def test_what_is_allowed_is_given(
    checks: Runs, bare: Reference, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "word").write_text("from here\n")
    monkeypatch.setenv("HOST_WORD", "of the host")
    found = checks(
        bare,
        {
            "compose.yaml": STAYS.replace(
                "init:", f"privileged: true, volumes: ['{tmp_path}:/here'], environment: [HOST_WORD], init:"
            ),
            "test_x.py": """
            def test_x(service):
                a = service("a")
                assert a.exec_cmd("cat /here/word") == "from here"
                assert a.exec_cmd("sh -c 'echo $HOST_WORD'") == "of the host"
                assert a.exec("mount -t tmpfs none /mnt").exit_code == 0
            """,
        },
        allow=["host-tests", "privileged", "bind-mounts", "host-environment"],
        host_side=HostSide(dict(os.environ), run),
    )
    assert verdicts(found) == {UP: PASS, "test_x": PASS}, found


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 1", "has no Docker Compose"),
        ("echo 2.11.2", "Docker Compose is 2.11.2, which is too old"),
        ("echo Docker Compose version dev", "has no Docker Compose"),
    ],
)
def test_no_docker_compose_that_is_new_enough(
    checks: Runs, bare: Reference, run: Run, tmp_path: Path, script: str, why: str
) -> None:
    fake = tmp_path / "bin" / "docker"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    side = HostSide({**os.environ, "PATH": str(fake.parent)}, run)
    with pytest.raises(BuilderError, match=why) as raised:
        checks(bare, {"compose.yaml": STAYS}, host_side=side)
    assert "docker-compose-plugin" in raised.value.hint


def test_services_are_taken_down_when_their_run_is_ended(
    checks: Runs, bare: Reference, run: Run, engine: DockerEngine, host_side: HostSide, nothing_left: Callable[[], bool]
) -> None:
    sick = "{test: [CMD, 'false'], interval: 1s, start_period: 600s}"
    files: dict[str, str | bytes] = {"compose.yaml": STAYS.replace("init:", f"healthcheck: {sick}, init:")}
    ended: list[dict[str, Check]] = []
    thread = threading.Thread(target=lambda: ended.append(checks(bare, files)))
    thread.start()
    deadline = time.monotonic() + 30
    while not docker("ps", "--quiet", "--filter", f"label={LABEL}={run.id}") and time.monotonic() < deadline:
        time.sleep(0.1)
    engine.cancel()
    host_side.cancel()
    thread.join(20)
    assert not thread.is_alive() and verdicts(ended[0]) == {UP: FAIL}
    assert nothing_left()


def test_checks_of_services_need_no_python_here(
    checks: Runs, python: Reference, nothing_left: Callable[[], bool]
) -> None:
    found = checks(
        python,
        {
            "compose.yaml": """
            services:
              web:
                image: ${DSCI_IMAGE}
                command: [sh, -c, "echo begins; exec python3 -m http.server 8080 --directory /data"]
                init: true
                volumes: [data:/data]
                ports: ["8080"]
                healthcheck: {test: [CMD, test, -d, /data], interval: 1s}
              other: {image: "${DSCI_IMAGE}", init: true, command: [sleep, "600"], volumes: [data:/data]}
            volumes: {data: {}}
            """,
            "checks.yaml": """
            checks:
              - {run: echo kept > /data/x; echo lost > /tmp/x, service: other}
              - {http: /x, service: web, body: ^kept, within: 20s}
              - {restart: 10s, service: web}
              - {http: /x, service: web, body: ^kept, within: 20s, name: survives a restart}
              - {log: "(?s)begins.*begins", service: web, within: 10s}
              - {health: healthy, service: web, within: 20s}
              - {port: 8080, service: web}
              - {port: 8081, service: web, open: false}
              - {file: /tmp/x, service: other, contains: lost}
              - {run: "false", service: web}
              - {stop: 10s, service: other, exit: [0, 143]}
              - {run: "true", service: other, name: is stopped}
              - {http: /, service: other, skip: not today}
            """,
        },
        allow=[],
    )
    wanted = {
        UP: PASS,
        "other: echo kept > /data/x; echo lost > /tmp/x": PASS,
        "web: GET /x": PASS,
        "web: restart": PASS,
        "web: survives a restart": PASS,
        "web: log": PASS,
        "web: health: healthy": PASS,
        "web: port 8080 is open": PASS,
        "web: port 8081 is closed": PASS,
        "other: file /tmp/x": PASS,
        "web: false": FAIL,
        "other: stop": PASS,
        "other: is stopped": FAIL,
        "other: GET /": SKIP,
    }
    assert verdicts(found) == wanted, found
    assert "has ended with exit code" in found["other: is stopped"].detail
    failed = found["web: false"]
    assert failed.bundle is not None and failed.bundle.exit_code == 1 and failed.bundle.launch is None
    assert (failed.file, failed.line) == (f"{FOLDER}/checks.yaml", 12)
    assert nothing_left()


def test_mistakes_of_checks_are_found_before_anything_starts(
    checks: Runs, bare: Reference, host_side: HostSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(HostSide, "services")
    text = "checks:\n- {run: x, service: b}\n- {run: x}\n- {image: {user: x}, service: a}\nstart: {}\n"
    found = checks(bare, {"compose.yaml": STAYS, "checks.yaml": text}, allow=[])
    assert found["x/db"].detail.splitlines()[:4] == [
        f"{FOLDER}/checks.yaml:2: checks.0.service: name one of a",
        f"{FOLDER}/checks.yaml:3: checks.1.service: name one of a",
        f"{FOLDER}/checks.yaml:4: checks.2: it looks at the image alone: write it in a suite of its own",
        f"{FOLDER}/checks.yaml:1: how services run is said in their compose file: here are only checks",
    ]
