"""Shell scripts and bats files in real images: what runs them, every way they end, and a bats that is lent."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import realengine
from tests.suites.conftest import BARE, Subjects, details, only, run_suite, verdicts

from dsci.drivers.engine import DockerEngine
from dsci.drivers.runs import LABEL, Run
from dsci.model.reference import Reference
from dsci.model.report import Verdict
from dsci.suites import tap

PASS, FAIL, SKIP = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED
report = functools.partial(run_suite, "shell")

SCRIPTS = {
    "test_good.sh": ("test -n no-shebang\n", PASS, r"^$"),
    "test_bash.sh": ("#!/bin/bash -e\n[[ a == a ]]\nfalse\ntrue\n", FAIL, r"it ended with exit code 1"),
    "test_env.sh": ("#!/usr/bin/env -S bash -u\necho $nothing\n", FAIL, r"nothing: unbound variable"),
    "test_words.sh": ("#! /bin/sh  -eu \ntrue\n", PASS, r"^$"),
    "sub/folder_test.sh": (". ./lib.sh\ntouch made\ntest -e made -a $WORD = word\n", PASS, r"^$"),
    "test_skip.sh": ("echo first\necho no gpu here\nexit 77\n", SKIP, r"^no gpu here$"),
    "test_skip_silently.sh": ("exit 77\n", FAIL, r"does not say why"),
    "test_zsh.sh": ("#!/bin/zsh\n", FAIL, r"^the image has no /bin/zsh, which is to run it$"),
    "test_fish.sh": ("#!fish\n", FAIL, r"^the image has no fish, which is to run it$"),
    "test_both.sh": ("echo out; echo err >&2; exit 3", FAIL, r"(?s)exit code 3\n.*out.*err"),
}


@pytest.mark.engine
def test_every_way_a_script_can_end(subject: Subjects, bare: Reference) -> None:
    files = {name: text for name, (text, _, _) in SCRIPTS.items()} | {"sub/lib.sh": "WORD=word\n"}
    found = report(subject, bare, files)
    assert verdicts(found) == {name: verdict for name, (_, verdict, _) in SCRIPTS.items()}, details(found)
    for name, (_, _, pattern) in SCRIPTS.items():
        assert re.search(pattern, details(found)[name]), details(found)[name]
    failed = {check.name: check.bundle for check in found.checks if check.bundle is not None}
    assert set(failed) == {"test_bash.sh", "test_env.sh", "test_both.sh", "test_skip_silently.sh"}
    bundle = failed["test_bash.sh"]
    assert bundle.argv == ("/bin/bash", "-e", "/dsci/suite/test_bash.sh") and bundle.exit_code == 1
    assert bundle.launch is not None and bundle.launch.volume
    assert bundle.launch.special == {"folder": "/dsci/suite"}


@pytest.mark.engine
def test_no_script_sees_what_another_left(subject: Subjects, bare: Reference) -> None:
    text = "test ! -e /tmp/left -a ! -e left && touch /tmp/left left\n"
    found = report(subject, bare, {"test_a.sh": text, "test_b.sh": text})
    assert found.count(PASS) == 2, details(found)


@pytest.mark.engine
def test_a_user_who_is_nobody(subject: Subjects) -> None:
    files = {"test_a.sh": 'test "$(id -u)" = 4321 && touch made && rm helper && ./tool', "helper": "x"}
    files["tool"] = "#!/bin/sh\ntrue\n"
    with realengine.image(f"{BARE}USER 4321:4321\n") as image:
        found = report(subject, image, files, executable="tool")
    assert found.problem == "", details(found)


@pytest.mark.engine
def test_what_does_not_end_or_prints_without_end(
    subject: Subjects, bare: Reference, run: Run, engine: DockerEngine
) -> None:
    files = {
        "test_hangs.sh": "trap '' TERM\necho begun\nsleep 600\n",
        "test_floods.sh": "printf '\\033[31m\\001\\377'; yes xxxxxxxxxxxxxxxxxxxxxxxxxxx | head -c 20000000; exit 1\n",
    }
    found = report(subject, bare, files, timeout=4)
    assert details(found)["test_hangs.sh"] == (
        "still running when the check's 4s were over, so it was killed: raise suites.check_timeout\nbegun"
    )
    assert verdicts(found)["test_floods.sh"] is FAIL and len(details(found)["test_floods.sh"]) < 20_000
    assert found.seconds < 30
    engine.collect(wait=True)
    assert realengine.containers(f"{LABEL}={run.id}") == set() == realengine.volumes(f"{LABEL}={run.id}")


@pytest.mark.engine
def test_files_for_which_there_is_no_time_fail_by_name(subject: Subjects, bare: Reference) -> None:
    found = report(subject, bare, {"test_a.sh": "true\n", "sub/test_b.sh": "true\n"}, suite=0)
    assert set(verdicts(found)) == {"test_a.sh", "sub/test_b.sh"}
    assert set(details(found).values()) == {"it did not run, since the suite's 0s were over: raise suites.timeout"}


@pytest.mark.engine
def test_a_script_that_wants_too_much_memory(subject: Subjects, bare: Reference) -> None:
    text = "echo begun\ntail /dev/zero\nexit 3\n"
    found = report(subject, bare, {"test_a.sh": text}, memory=32 * 1024 * 1024)
    assert only(found).verdict is FAIL and "more than 34 MB of memory was wanted" in only(found).detail
    assert "it ended with exit code 3" in only(found).detail and "begun" in only(found).detail


BATS = r"""
setup() { load helper; }
@test "good" { [ "$WORD" = word ]; }
@test "bad <&> one" { echo out; run false; [ "$status" -eq 0 ]; }
@test "skips" { skip "no gpu here"; }
@test "skips silently" { skip; }
@test "odd # name in 3ms" { echo "# aside" >&3; touch made; }
@test "hostile" { printf '\033[31mred\001\377\n'; false; }
"""
WAYS = {
    "good": PASS,
    "bad <&> one": FAIL,
    "skips": SKIP,
    "skips silently": FAIL,
    "odd # name in 3ms": PASS,
    "hostile": FAIL,
}
EXPECTED = {f"all.bats::{name}": verdict for name, verdict in WAYS.items()}
HELPER = {"helper.bash": "WORD=word\n"}


@pytest.mark.engine
def test_bats_of_the_image(subject: Subjects, bats: Reference, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    files = {
        "all.bats": BATS,
        "none.bats": "helper() { true; }\n",
        "syntax.bats": '@test "x" { true; \n',
        "broken.bats": 'setup_file() { false; }\n@test "x" { true; }\n',
        "killed.bats": '@test "x" { kill -9 $$; }\n@test "y" { true; }\n',
        "forged.bats": '@test "x" { echo "ok 2 never ran" >&3; }\n',
        **HELPER,
    }
    files["endless.bats"] = '@test "a" { true; }\n@test "endless" { sleep 600; }\n'
    found = report(subject, bats, files, timeout=6)
    told = details(found)
    assert {name: verdict for name, verdict in verdicts(found).items() if name in EXPECTED} == EXPECTED, told
    assert '[ "$status" -eq 0 ]; }\' failed\nout' in told["all.bats::bad <&> one"]
    assert told["all.bats::skips"] == "no gpu here" and "does not say why" in told["all.bats::skips silently"]
    assert "red" in told["all.bats::hostile"] and "\x1b" not in told["all.bats::hostile"]
    assert verdicts(found)["endless.bats::a"] is PASS
    assert told["endless.bats"].startswith("still running when the check's 6s were over, so it was killed")
    assert told["none.bats"].startswith("no test ran")
    assert "syntax error" in told["syntax.bats::setup_file failed"]
    assert "setup_file" in told["broken.bats::setup_file failed"]
    assert verdicts(found)["killed.bats::y"] is PASS and "Executed 1 instead of expected 2" in told["killed.bats"]
    assert "Executed 2 instead of expected 1" in told["forged.bats"]


@pytest.fixture(scope="session")
def lent(tmp_path_factory: pytest.TempPathFactory, bats: Reference) -> Iterator[Path]:
    """The folder of a bats of this machine: Debian's, out of its package."""
    place = tmp_path_factory.mktemp("bats")
    container = realengine.docker("create", str(bats))
    for part in ("bin/bats", "libexec/bats-core", "lib/bats-core"):
        (place / "usr" / part).parent.mkdir(parents=True, exist_ok=True)
        realengine.docker("cp", f"{container}:/usr/{part}", str(place / "usr" / part))
    realengine.docker("rm", container)
    (place / "bin").mkdir()
    (place / "bin" / "bats").symlink_to("../usr/bin/bats")
    yield place / "bin"
    shutil.rmtree(place)


@pytest.mark.engine
def test_a_bats_that_the_image_is_lent(
    subject: Subjects, bare: Reference, lent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(lent), prepend=":")
    found = report(subject, bare, {"all.bats": BATS, **HELPER})
    assert verdicts(found) == EXPECTED, details(found)
    with realengine.image("FROM scratch\nCOPY x /x\nCMD x\n", {"x": ""}) as image:
        found = report(subject, image, {"all.bats": BATS, "test_a.sh": "true\n", **HELPER})
    assert details(found)["all.bats"] == "the image has neither bats nor bash, which this machine's bats needs"
    assert details(found)["test_a.sh"] == "the image has no sh, which is to run it"


@pytest.mark.slow
@pytest.mark.engine
def test_the_bats_that_npm_installs(
    subject: Subjects, bare: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["npm", "install", "--silent", "--prefix", tmp_path, "bats"], check=True)
    monkeypatch.setenv("PATH", str(tmp_path / "node_modules" / "bats" / "bin"), prepend=":")
    found = report(subject, bare, {"all.bats": BATS, **HELPER})
    assert verdicts(found) == EXPECTED, details(found)


@pytest.mark.engine
def test_no_bats_anywhere(subject: Subjects, bare: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert only(report(subject, bare, {"all.bats": BATS})).detail.startswith("neither the image nor this machine has")


@pytest.mark.parametrize(
    ("printed", "names", "whole"),
    [
        ("1..2\nok 1 a in 3ms\nok 2 b # in 4 ms\n", [("a", PASS), ("b", PASS)], True),
        ("1..1\nnot ok 1 a # in 4 ms # timeout after 1 s\n# why\n", [("a", FAIL)], True),
        ("1..1\nok 1 a # skip why\n", [("a", SKIP)], True),
        ("1..1\nok 1 a # skip\n", [("a", FAIL)], True),
        ("1..2\nok 1 a\n", [("a", PASS)], False),
        ("1..2\nok 2 a\nok 1 b\n", [("a", PASS), ("b", PASS)], False),
        ("ok 1 a\n", [("a", PASS)], False),
        ("1..1\n1..1\nok 1 a\n", [("a", PASS)], False),
        ("1..0\n", [], True),
        ("", [], False),
        ("\x1b[1m1..1\nok 1 \x00a\n", [("a", PASS)], True),
    ],
)
def test_what_tap_says(printed: str, names: list[tuple[str, Verdict]], whole: bool) -> None:
    found, told = tap.checks(printed.encode())
    assert [(check.name, check.verdict) for check in found] == names and told is whole
