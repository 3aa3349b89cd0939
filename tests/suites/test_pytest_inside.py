"""pytest inside real images: verdicts, the image's own packages, and nothing left in the image."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
from tests import realengine
from tests.realengine import NATIVE, docker
from tests.suites.conftest import FOLDER, PYTHON, Subjects, only, run_suite, suite

from dsci.drivers.engine import DockerEngine
from dsci.drivers.runs import LABEL, Run
from dsci.model import junit
from dsci.model.reference import Reference
from dsci.model.report import SuiteReport, Verdict
from dsci.ports import Container
from dsci.suites import run as suites
from dsci.suites.clock import Total
from dsci.suites.subject import Still, Subject

pytestmark = pytest.mark.engine
SLOW = pytest.mark.slow

PASS, FAIL, SKIP = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED
#: A package of the image that pytest needs as well, in another version; and settings that are not the suite's.
CROWDED = (
    PYTHON
    + """
RUN d=/usr/lib/python3/dist-packages && mkdir -p $d/packaging $d/mine \
 && echo '__version__ = "the image"' > $d/packaging/__init__.py \
 && echo 'VALUE = 42' > $d/mine/__init__.py \
 && printf '[pytest]\\naddopts = --no-such-option\\npython_files = nothing\\n' > /pytest.ini && touch /conftest.py \
 && mkdir -p /dsci/suite && echo 'raise SystemExit("planted")' > /dsci/suite/conftest.py
ENV PYTHONPATH=/somewhere/else PYTHONDONTWRITEBYTECODE=
WORKDIR /usr/lib/python3/dist-packages
USER 4321
"""
)
OWN_PYTEST = PYTHON.replace("recommends python3", "recommends python3 python3-pytest")
#: As in images that only know `python`; and whose Python cannot take the kit.
NAMED_PYTHON = PYTHON + "RUN mv /usr/bin/python3 /usr/bin/python\n"
HOSTILE_PLUGGY = PYTHON + "RUN echo 'raise RuntimeError(\"too old\")' > /usr/lib/python3/dist-packages/pluggy.py\n"


report = functools.partial(run_suite, "pytest")


def verdicts(found: SuiteReport) -> dict[str, Verdict]:
    return {check.name.rpartition("::")[2]: check.verdict for check in found.checks}


def test_every_way_a_test_can_end(subject: Subjects, python: Reference, run: Run, engine: DockerEngine) -> None:
    text = """
import pytest

def test_good(): pass
def test_bad(): assert 1 + 1 == 3, "arithmetic"
def test_raises(): raise ValueError("a value")
@pytest.mark.parametrize("n", [1, 2])
def test_each(n): assert n == 1
@pytest.mark.skip(reason="not here")
def test_skipped(): assert False
def test_skips(): pytest.skip("after a look")
@pytest.mark.xfail(reason="issue 7")
def test_expected(): assert False
@pytest.mark.xfail
def test_expected_for_no_reason(): assert False
@pytest.mark.xfail(reason="issue 8")
def test_mended(): pass
@pytest.mark.xfail(strict=True)
def test_unexpected(): pass
@pytest.fixture
def broken(): raise OSError("no fixture")
def test_setup(broken): pass
@pytest.fixture
def untidy():
    yield
    raise OSError("no teardown")
def test_teardown(untidy): pass
class TestClass:
    def test_in_class(self): assert "x" in "y"
"""
    found = report(subject, python, {"test_all.py": text, "sub/deep_test.py": "def test_below(): pass\n"})
    assert verdicts(found) == {
        "test_good": PASS,
        "test_bad": FAIL,
        "test_raises": FAIL,
        "test_each[1]": PASS,
        "test_each[2]": FAIL,
        "test_skipped": SKIP,
        "test_skips": SKIP,
        "test_expected": SKIP,
        "test_expected_for_no_reason": SKIP,
        "test_mended": PASS,
        "test_unexpected": FAIL,
        "test_setup": FAIL,
        "test_teardown": FAIL,
        "test_in_class": FAIL,
        "test_below": PASS,
    }
    details = {check.name.rpartition("::")[2]: check.detail for check in found.checks}
    assert "assert (1 + 1) == 3" in details["test_bad"] and "arithmetic" in details["test_bad"]
    assert 'raise ValueError("a value")' in details["test_raises"]
    assert "no fixture" in details["test_setup"] and "no teardown" in details["test_teardown"]
    assert details["test_skipped"] == "not here" and details["test_skips"] == "after a look"
    assert details["test_expected"] == "failed, as it is expected to: issue 7"
    assert details["test_expected_for_no_reason"] == "failed, as it is expected to"
    assert details["test_mended"] == "passes, though it is expected to fail: issue 8"
    assert details["test_good"] == ""
    assert found.problem.startswith("test_all::test_") and "more" in found.problem
    engine.collect(wait=True)
    assert realengine.containers(f"{LABEL}={run.id}") == set() == realengine.volumes(f"{LABEL}={run.id}")


def test_all_good(subject: Subjects, python: Reference) -> None:
    found = report(subject, python, {"test_a.py": "def test_one(): pass\ndef test_two(): pass\n"})
    assert found.problem == "" and found.count(PASS) == 2
    assert {check.name for check in found.checks} == {"test_a::test_one", "test_a::test_two"}


@pytest.mark.parametrize(
    ("text", "problem", "words"),
    [
        ("", "x/pytest", "no test ran"),
        ("def helper(): pass\n", "x/pytest", "no test ran"),
        ("import pytest\n@pytest.mark.skip(reason='why')\ndef test_x(): pass\n", "every test was skipped", "why"),
        ("import pytest\n@pytest.mark.skip\ndef test_x(): pass\n", "test_a::test_x", "does not say why"),
        ("import pytest\ndef test_x(): pytest.skip()\n", "test_a::test_x", "does not say why"),
        ("import pytest\npytest.skip('not here', allow_module_level=True)\n", "x/pytest", "no test ran"),
        ("import no_such_module\n", "test_a", "No module named 'no_such_module'"),
        ("def test_x(:\n", "test_a", "SyntaxError"),
        ("raise SystemExit(0)\n", "", "SystemExit"),
        ("def test_x(no_such_fixture): pass\n", "test_a::test_x", "no_such_fixture"),
        ("import os\ndef test_x(): os._exit(0)\n", "x/pytest", "no record"),
        ("import os\ndef test_x(): os.kill(1, 9); os.kill(os.getpid(), 15); os._exit(3)\n", "x/pytest", "exit code"),
        ("import os\ndef test_x(): pass\ndef pytest_x(): pass\nos._exit(5)\n", "x/pytest", "no test ran"),
    ],
)
def test_what_is_no_success(subject: Subjects, python: Reference, text: str, problem: str, words: str) -> None:
    found = report(subject, python, {"test_a.py": text})
    assert found.problem, "it passed"
    assert found.problem.startswith(problem)
    assert words in "\n".join(check.detail for check in found.checks)


def test_a_broken_conftest(subject: Subjects, python: Reference) -> None:
    found = report(subject, python, {"test_a.py": "def test_x(): pass\n", "conftest.py": "raise OSError('conf')\n"})
    assert only(found).verdict is FAIL and "conf" in only(found).detail and "exit code 4" in only(found).detail


def test_the_suites_own_settings_and_data_count(subject: Subjects, python: Reference) -> None:
    files = {
        "pytest.ini": "[pytest]\npython_functions = check_*\n",
        "conftest.py": "import pytest\n@pytest.fixture\ndef answer(): return 42\n",
        "data/table.csv": "a,b\n",
        "tool.sh": "#!/bin/sh\necho tool\n",
        "test_a.py": """
import subprocess
from pathlib import Path
HERE = Path(__file__).parent
def check_answer(answer): assert answer == 42
def check_data(): assert (HERE / "data/table.csv").read_text() == "a,b\\n"
def check_tool(): assert subprocess.check_output([HERE / "tool.sh"]) == b"tool\\n"
def check_mode(): assert (HERE / "data/table.csv").stat().st_mode & 0o777 == 0o644
def test_not_collected(): assert False
""",
    }
    found = report(subject, python, files, executable="tool.sh")
    assert found.problem == "" and found.count(PASS) == 4


def test_two_modules_of_one_name(subject: Subjects, python: Reference) -> None:
    files = {"a/test_same.py": "def test_x(): pass\n", "b/test_same.py": "def test_x(): assert False\n"}
    found = report(subject, python, files)
    assert {check.name: check.verdict for check in found.checks} == {
        "a.test_same::test_x": PASS,
        "b.test_same::test_x": FAIL,
    }


def test_an_image_without_python_fails_by_name(
    subject: Subjects, bare: Reference, run: Run, engine: DockerEngine
) -> None:
    found = report(subject, bare, {"test_a.py": "def test_x(): pass\n"})
    assert only(found).verdict is FAIL and found.problem == "x/pytest"
    assert only(found).detail.startswith("the image has no Python, so pytest cannot run inside it")
    engine.collect(wait=True)
    assert realengine.containers(f"{LABEL}={run.id}") == set() == realengine.volumes(f"{LABEL}={run.id}")


def test_an_image_that_calls_it_python(subject: Subjects) -> None:
    with realengine.image(NAMED_PYTHON) as image:
        found = report(subject, image, {"test_a.py": "def test_x(): pass\n"})
    assert found.problem == "" and found.count(PASS) == 1


def test_a_python_that_cannot_take_pytest_fails_by_name(subject: Subjects) -> None:
    with realengine.image(HOSTILE_PLUGGY) as image:
        found = report(subject, image, {"test_a.py": "def test_x(): pass\n"})
    assert "pytest cannot run in this image's Python 3." in only(found).detail
    assert "RuntimeError: too old" in only(found).detail and "Traceback" not in only(found).detail


class Watching(DockerEngine):
    """An engine that looks at what a container changed before it is removed."""

    changes: tuple[str, ...] = ()

    @contextlib.contextmanager
    def container(self, *arguments: Any, **more: Any) -> Iterator[Container]:  # type: ignore[override]
        with super().container(*arguments, **more) as container:
            yield container
            self.changes += tuple(docker("diff", str(container._container.id)).split("\n"))


LOOK = """
import os, sys
from pathlib import Path
import packaging, mine

def test_package_of_the_image_is_the_one_that_is_tested():
    assert packaging.__version__ == "the image" and mine.VALUE == 42
    assert packaging.__file__.startswith("/usr/lib/python3/dist-packages/")
def test_kit_stands_last():
    assert sys.path[-1] == "/dsci/kit" and "/dsci" not in sys.path
def test_user():
    assert os.getuid() == 4321
def test_folder_of_the_image():
    assert os.getcwd() == "/usr/lib/python3/dist-packages"
def test_nothing_planted():
    assert sorted(os.listdir("/dsci/suite")) == ["test_look.py"]
def test_variables_of_the_image():
    assert os.environ["PYTHONPATH"] == "/somewhere/else"
def test_no_bytecode():
    assert sys.dont_write_bytecode
    assert not any(path.name == "__pycache__" for path in Path("/dsci").rglob("*"))
"""


def test_an_image_with_a_will_of_its_own(run: Run) -> None:
    """Its packages come first, its settings do not reach the suite, its user is kept, and nothing is installed."""
    with realengine.image(CROWDED) as image:
        engine = Watching(os.environ, run)
        files = {f"{FOLDER}/test_look.py": LOOK.encode()}
        before = engine.image_id(image)
        subject = Subject(
            engine=engine,
            image=image,
            platform=NATIVE,
            still=Still(engine, image, NATIVE),
            read=files.__getitem__,
            executable=lambda _: False,
        )
        found = suites.run(suite("pytest", files), subject, target="x@linux/amd64")
        assert engine.image_id(image) == before
    assert found.problem == "" and found.count(PASS) == 7, [check.detail for check in found.checks]
    assert set(engine.changes) <= {"", "C /dsci", "A /dsci"}, "something was written into the container"


#: An older Python, as in images that are kept alive for long.
OLDER = """
FROM debian:bookworm-slim
RUN sed -n '1s/bookworm/bullseye/p' /etc/apt/sources.list > /etc/apt/sources.list.d/older.list \\
 && apt-get -o Acquire::Check-Valid-Until=false update \\
 && apt-get install -y --no-install-recommends python3.9-minimal libpython3.9-stdlib \\
 && ln -s python3.9 /usr/bin/python3 && rm -rf /var/lib/apt/lists/*
"""
#: A plugin for another pytest than the one that is lent, and settings for it.
PLUGIN = (
    PYTHON
    + r"""
RUN d=/usr/lib/python3/dist-packages && mkdir $d/broken-1.dist-info \
 && echo 'raise RuntimeError("not for this pytest")' > $d/broken.py \
 && printf 'Metadata-Version: 2.1\nName: broken\nVersion: 1\n' > $d/broken-1.dist-info/METADATA \
 && printf '[pytest11]\nbroken = broken\n' > $d/broken-1.dist-info/entry_points.txt
ENV PYTEST_ADDOPTS=--no-such-option PYTEST_PLUGINS=nothing_here
"""
)


@pytest.mark.slow
def test_an_older_python(subject: Subjects) -> None:
    text = """
import sys
import pytest
def test_version(): assert sys.version_info[:2] == (3, 9)
def test_rewritten():
    with pytest.raises(AssertionError, match=r"assert 1 == 2"):
        n = 1
        assert n == 2
def test_fixtures(tmp_path, capsys, monkeypatch): print("x"); assert capsys.readouterr().out == "x\\n"
@pytest.mark.xfail(reason="issue 7")
def test_mended(): pass
"""
    files = {"test_a.py": text, "pyproject.toml": "[tool.pytest.ini_options]\npython_functions = 'test_*'\n"}
    with realengine.image(OLDER) as image:
        found = report(subject, image, files)
    assert found.problem == "" and found.count(PASS) == 4, [check.detail for check in found.checks]


def test_plugins_and_settings_that_the_image_has_for_another_pytest(subject: Subjects) -> None:
    text = "import os\ndef test_x(): assert not [name for name in os.environ if name.startswith('PYTEST_D')]\n"
    with realengine.image(PLUGIN) as image:
        found = report(subject, image, {"test_a.py": text})
    assert found.problem == "", [check.detail for check in found.checks]


@pytest.mark.slow
def test_the_images_own_pytest_is_used(subject: Subjects) -> None:
    text = "import pytest\ndef test_x(): assert pytest.__file__.startswith('/usr/lib/python3/dist-packages')\n"
    with realengine.image(OWN_PYTEST) as image:
        found = report(subject, image, {"test_a.py": text})
    assert found.problem == "", [check.detail for check in found.checks]


def test_hostile_output_gives_well_formed_junit(subject: Subjects, python: Reference) -> None:
    text = r"""
import os, sys
import pytest
NASTY = "\x1b[31mred\x1b[0m \x00\x01\x08\x0b\x1f\ufffe\uffff ]]> <&> \" ' \u2028 \ud800 ::stop-commands::x"
def test_prints():
    os.write(1, b"\xff\xfe invalid \x1b]0;title\x07 section_start:0:x\r\x1b[0K\n")
    os.write(2, b"\x80\n")
    print(NASTY.encode("utf-8", "replace").decode())
    assert False, NASTY
@pytest.mark.parametrize("value", ["]]>", "<b>", "\x1b[1m", "\x00", "größe", "\n", "x" * 2000])
def test_named(value): assert not value
def test_floods(): print("x" * 5_000_000)
"""
    found = report(subject, python, {"test_a.py": text})
    assert found.count(FAIL) == 8 and found.count(PASS) == 1
    assert any("red" in check.detail for check in found.checks)
    for check in found.checks:
        assert len(check.detail) < 20_000
        assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in check.detail)
    root = ElementTree.fromstring(junit.document([found]))
    assert len(list(root.iter("testcase"))) == 9 and len(list(root.iter("failure"))) == 8


def test_a_junit_file_that_is_no_xml_is_no_success(subject: Subjects, python: Reference) -> None:
    text = """
import atexit, pytest
def test_x(): pass
def pytest_unconfigure(): pass
atexit.register(lambda: open("/dsci/out/junit.xml", "w").write("<testsuites><testcase"))
"""
    found = report(subject, python, {"test_a.py": text})
    assert only(found).verdict is FAIL and "no record" in only(found).detail


IGNORING = """
import signal, time, pytest
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def test_first(): print("begun")
def test_bad(): assert 1 == 2
@pytest.mark.skip(reason="why not")
def test_skipped(): pass
@pytest.mark.skip
def test_silent(): pass
@pytest.mark.xfail(reason="not yet")
def test_later(): assert False
def test_endless(): time.sleep(600)
class TestLater:
    @pytest.mark.parametrize("a", ["x::y", "b/c.py"])
    def test_last(self, a): pass
"""
ALL = ["test_a::test_first", "test_a::test_bad", "test_a::test_skipped", "test_a::test_silent", "test_a::test_later"]
LAST = ["test_a.TestLater::test_last[x::y]", "test_a.TestLater::test_last[b/c.py]"]


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        pytest.param({"timeout": 2}, "check's 2s were over, so it was killed: raise suites.check_timeout", id="check"),
        pytest.param(
            {"suite": 8}, "suite's 8s were over, so it was killed: raise suites.timeout", id="suite", marks=SLOW
        ),
        pytest.param({"total": Total(8)}, "run's 8s were over, so it was killed: raise suites.total_timeout", id="run"),
    ],
)
def test_a_test_that_does_not_end(
    subject: Subjects, python: Reference, run: Run, engine: DockerEngine, limits: dict[str, Any], why: str
) -> None:
    """What ran before keeps its verdict; what it kept from running has failed too, by its own name."""
    found = report(subject, python, {"test_a.py": IGNORING}, **limits)
    ended = {check.name: check.verdict for check in found.checks}
    before = dict(zip(ALL, [PASS, FAIL, SKIP, SKIP, SKIP], strict=True))
    assert ended == {**before, "test_a::test_endless": FAIL, **dict.fromkeys(LAST, FAIL)}
    said = {check.name: check.detail for check in found.checks}
    assert "assert 1 == 2" in said["test_a::test_bad"] and [said[name] for name in ALL[2:]] == [
        "why not",
        "",
        "expected to fail: not yet",
    ]
    assert said["test_a::test_endless"].startswith(f"still running when the {why}")
    assert said[LAST[0]] == f"it did not run, since pytest was ended before: still running when the {why}"
    assert found.seconds < 30
    engine.collect(wait=True)
    assert realengine.containers(f"{LABEL}={run.id}") == set() == realengine.volumes(f"{LABEL}={run.id}")


def test_tests_for_which_there_is_no_time_fail_by_their_files(subject: Subjects, python: Reference) -> None:
    files = {"test_a.py": "def test_x(): pass\n", "test_b.py": "def test_x(): pass\n", "helper.py": ""}
    found = report(subject, python, files, suite=0)
    assert verdicts(found) == {f"{FOLDER}/test_a.py": FAIL, f"{FOLDER}/test_b.py": FAIL}
    assert {check.detail for check in found.checks} == {
        "it did not run, since the suite's 0s were over: raise suites.timeout"
    }


def test_a_pytest_that_is_killed_before_it_knows_its_tests(subject: Subjects, python: Reference) -> None:
    found = report(
        subject, python, {"test_a.py": "import time\nprint('begun', flush=True)\ntime.sleep(600)\n"}, suite=3
    )
    assert only(found).verdict is FAIL and "the suite's 3s were over" in only(found).detail


def test_a_journal_that_is_forged_breaks_nothing(subject: Subjects, python: Reference) -> None:
    text = """
import time
def test_endless():
    with open("/dsci/out/journal", "ab") as journal:
        journal.write(b'\\xff\\n{"what": "odd", "test": "x"}\\n[]\\n{"what": "begun", "test": "\\\\u001b[1m[x"}\\n')
    open("/dsci/out/now", "w").write("{" * 5000)
    time.sleep(600)
"""
    found = report(subject, python, {"test_a.py": text}, suite=3)
    assert verdicts(found) == {"test_endless": FAIL, "[x": FAIL}


def test_a_suite_that_is_one_file(subject: Subjects, python: Reference) -> None:
    files = {"checks/test_only.py": "def test_x(): pass\n"}
    found = suites.run(suite("pytest", files, folder="checks"), subject(python, files), target="x@linux/amd64")
    assert verdicts(found) == {"test_x": PASS}
