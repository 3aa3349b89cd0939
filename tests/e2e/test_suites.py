"""Suites in a repository: container-structure-test files with every field, and what of this machine they may reach."""

from __future__ import annotations

import pytest
from tests.e2e.conftest import Project

pytestmark = pytest.mark.engine

#: Steps, variables of the file and of the test, the older schema, licences.
EVERYTHING = """\
schemaVersion: "2.0.0"
globalEnvVars: [{key: G, value: "g-$PATH"}]
commandTests:
- {name: steps, setup: [[sh, -c, "echo $A > /set"]], envVars: [{key: A, value: own}],
   command: cat, args: [/set], expectedOutput: ["^own"]}
- {name: variables, command: env, expectedOutput: ["G=g-/usr"]}
- {name: clean, command: test, args: ["!", -e, /set]}
fileExistenceTests: [{name: note, path: /note, shouldExist: false}]
licenseTests: [{files: [/etc/debian_version]}]
metadataTest: {unboundEnvVars: [{key: NOBODY}]}
"""
OLD = 'schemaVersion: "1.0.0"\ncommandTests: [{name: list, command: [echo, a], expectedOutput: [a]}]\n'
FAILING_STEP = """\
schemaVersion: "2.0.0"
commandTests: [{name: broken, setup: [[sh, -c, "exit 4"]], command: "true"}]
"""
REACHING = """\
schemaVersion: "2.0.0"
containerRunOptions: {privileged: true, envVars: [DSCI_TEST_WORD]}
commandTests:
- {name: host, command: env, expectedOutput: [DSCI_TEST_WORD=from here]}
- {name: mount, command: mount, args: [-t, tmpfs, none, /mnt]}
"""


def test_every_field_of_container_structure_test(tiny: Project) -> None:
    tiny.write({"images/base/suites/all.yaml": EVERYTHING, "images/base/suites/old.yaml": OLD})
    suites = tiny.dsci("test", "base", "--json").json["suites"]
    found = {suite["suite"]: [check["name"] for check in suite["checks"]] for suite in suites}
    assert found["base/all"] == [
        *("Command Test: steps", "Command Test: variables", "Command Test: clean", "File Existence Test: note"),
        *("License Test", "Metadata Test"),
    ]
    assert found["base/old"] == ["Command Test: list"]


def test_a_step_that_fails_fails_its_test(tiny: Project) -> None:
    """container-structure-test asks no step how it ended."""
    tiny.write({"images/base/suites/steps.yaml": FAILING_STEP})
    ended = tiny.dsci("test", "base", code=1)
    assert "Command Test: broken: setup 1: exit code 4" in ended.stderr


def test_what_reaches_this_machine_is_allowed_in_dsci_yaml_and_never_for_a_fork(tiny: Project) -> None:
    tiny.environment["DSCI_TEST_WORD"] = "from here"
    tiny.write({"images/base/suites/reaching.yaml": REACHING})
    ended = tiny.dsci("test", "base", code=1)
    assert "privileged, envVars or envFile would reach this machine, and is not allowed" in ended.stderr
    tiny.write({"dsci.yaml": "suites: {allow: [privileged, host-environment]}\n"})
    tiny.dsci("test", "base")
    tiny.in_request_of_a_fork()
    ended = tiny.dsci("test", "base", "--rerun", code=1)
    assert "would reach this machine" in ended.stderr and "a request from another repository" in ended.stderr


NATIVE = """\
    start: {command: [sh, -c, 'echo ready; sleep 60'], until: {log: ready}}
    checks:
      - {run: cat /etc/note, stdout: a note}
      - {file: /etc/note, mode: "0644"}
      - {check: size, grow: 1%}
      - {run: exit 1, skip: not today}
    """
LARGE = "FROM debian:bookworm-slim\nCOPY note /etc/note\nRUN head -c 5000000 /dev/urandom > /large\n"


def test_a_suite_of_our_own_is_inherited_reported_and_kept(tiny: Project) -> None:
    tiny.push("feat: a suite", {"images/base/suites/own.yaml": NATIVE})
    first = tiny.release().json
    suites = {suite["target"].partition("@")[0]: suite for suite in first["suites"]}
    assert suites.keys() == {"base", "ml"}
    names = ["start", "cat /etc/note", "file /etc/note", "size", "exit 1"]
    for suite in suites.values():
        assert suite["suite"] == "base/own"
        assert [check["name"] for check in suite["checks"]] == names
        assert [check["verdict"] for check in suite["checks"]] == ["passed"] * 4 + ["skipped"]
    assert tiny.release().json["suites"] == []
    # What grew by too much since the release is told in numbers, and released by nobody.
    tiny.push("feat: large", {"images/base/Dockerfile": LARGE})
    said = tiny.release(code=1).stderr
    assert "% more than the" in said and "of 0.1.0; 1% is allowed" in said
    assert "base-v0.2.0" not in tiny.tags()


def test_a_mistake_in_a_suite_of_our_own_is_told_with_its_line(tiny: Project) -> None:
    tiny.commit("feat: a suite", {"images/base/suites/own.yaml": "checks:\n- run: echo\n  exti: 1\n"})
    said = tiny.dsci("test", "base", code=1).stderr
    assert "images/base/suites/own.yaml:3: checks.0: unknown key 'exti' (did you mean 'exit'?)" in said


SKIPPING = "echo no GPU on this machine\nexit 77\n"


def test_shell_scripts_are_a_suite_that_descendants_inherit(tiny: Project) -> None:
    scripts = {"test_note.sh": ". ./lib.sh\nexpect 'a note' /etc/note\n", "test_gpu.sh": SKIPPING}
    scripts |= {"lib.sh": 'expect() { test "$(cat "$2")" = "$1"; }\n', ".attic/test_old.sh": "false\n"}
    tiny.push("test: shell scripts", {f"images/base/suites/{name}": text for name, text in scripts.items()})
    suites = tiny.dsci("test", "--json").json["suites"]
    found = {suite["target"].partition("@")[0]: suite for suite in suites}
    assert set(found) == {"base", "ml"}
    for suite in found.values():
        assert suite["suite"] == "base/shell"
        assert {check["name"]: (check["verdict"], check["detail"]) for check in suite["checks"]} == {
            "test_gpu.sh": ("skipped", "no GPU on this machine"),
            "test_note.sh": ("passed", ""),
        }

    tiny.write({"images/ml/suites/test_model.sh": "expect() { echo 'v1 it is not' >&2; exit 3; }\nexpect\n"})
    ended = tiny.dsci("test", code=1)
    assert "ml/shell: test_model.sh: it ended with exit code 3" in ended.stderr


def test_a_suite_of_a_kind_that_the_image_cannot_run_fails_by_name(tiny: Project) -> None:
    tiny.write({"images/base/suites/tour.ipynb": '{"nbformat": 4, "cells": []}', "images/base/suites/test-a.R": "1\n"})
    suites = tiny.dsci("test", "base", "--json", code=1).json["suites"]
    assert {check["name"]: check["detail"] for suite in suites for check in suite["checks"]} == {
        "tour.ipynb": "the image has no Python, which is to drive the notebook's kernel",
        "test-a.R": "the image has no R: Rscript is not on its PATH",
    }
