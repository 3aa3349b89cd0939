"""Suites on this machine in a repository: pytest with fixtures, services, who may, and what a killed run leaves."""

from __future__ import annotations

import signal
import time

import pytest
from tests.e2e.conftest import Project
from tests.realengine import containers, networks, processes, volumes

pytestmark = pytest.mark.engine

HOST = """\
def test_note(container, exec):
    container.run_detached(command=["sleep", "60"])
    assert exec("cat /etc/note").stdout == "a note\\n"
"""
COMPOSE = """\
services:
  a:
    image: ${DSCI_IMAGE}
    init: true
    command: [sleep, "600"]
    volumes: [data:/data, ./words:/words:ro]
    labels: {dsci-test: NAME}
volumes: {data: {labels: {dsci-test: NAME}}}
networks: {default: {labels: {dsci-test: NAME}}}
"""
SERVICE = """\
def test_survives(compose):
    a = compose.service("a")
    assert a.exec_cmd("cat /words/one /etc/note") == "first\\na note"
    a.exec_cmd("sh -c 'echo kept > /data/x'")
    compose.down()
    compose.up()
    assert a.exec_cmd("cat /data/x") == "kept"
"""


def suites(name: str) -> dict[str, str]:
    folder = "images/base/suites"
    return {
        f"{folder}/host/test_note.py": HOST,
        f"{folder}/pair/compose.yaml": COMPOSE.replace("NAME", name),
        f"{folder}/pair/words/one": "first\n",
        f"{folder}/pair/test_pair.py": SERVICE,
    }


def left(name: str) -> set[str]:
    """What the engine still has of a test's services."""
    return {each for look in (containers, networks, volumes) for each in look(f"dsci-test={name}")}


def test_suites_run_on_this_machine_where_dsci_yaml_says_so_and_never_for_a_fork(tiny: Project) -> None:
    tiny.write(suites(tiny.prefix))
    ended = tiny.dsci("test", "base", code=1)
    assert "its Python tests would run on this machine" in ended.stderr
    assert "`suites: {allow: [host-tests]}` in dsci.yaml" in ended.stderr
    tiny.write({"dsci.yaml": "suites: {allow: [host-tests]}\n"})
    found = {
        suite["suite"]: {check["name"]: check["verdict"] for check in suite["checks"]}
        for suite in tiny.dsci("test", "ml", "--json").json["suites"]
        if suite["target"].startswith("ml@")
    }
    assert found == {
        "base/host": {"test_note::test_note": "passed"},
        "base/pair": {"services come up": "passed", "test_pair::test_survives": "passed"},
    }
    assert not left(tiny.prefix)
    tiny.write({"images/base/suites/pair/checks.yaml": "checks: [{run: 'false', service: a}]\n"})
    assert "to run a: false again: dsci test base\n" in tiny.dsci("test", "base", code=1).stderr
    tiny.in_request_of_a_fork()
    ended = tiny.dsci("test", "base", "--rerun", code=1)
    assert "nothing is allowed in a request from another repository" in ended.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_run_that_is_cut_off_leaves_nothing_for_long(tiny: Project, how: signal.Signals) -> None:
    name = tiny.prefix
    endless = f"import time\ndef test_x(): time.sleep(600)  # {name}\n"
    tiny.write({**suites(name), "images/base/suites/pair/test_pair.py": endless})
    tiny.write({"dsci.yaml": "suites: {allow: [host-tests]}\n"})
    process = tiny.start("test", "base")
    deadline = time.monotonic() + 120
    while not processes(f"{tiny.state}/dsci/runs") and time.monotonic() < deadline:
        time.sleep(0.2)
    while not containers(f"dsci-test={name}") and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(2)
    process.send_signal(how)
    process.communicate(timeout=60)
    if how is signal.SIGKILL:
        assert len(left(name)) == 3
        tiny.write({"images/base/suites/pair/test_pair.py": SERVICE})
        tiny.dsci("test", "base")
    gone = time.monotonic() + 10
    while processes(f"{tiny.state}/dsci/runs") and time.monotonic() < gone:
        time.sleep(0.2)
    assert not processes(f"{tiny.state}/dsci/runs") and not left(name)
