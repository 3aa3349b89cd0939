"""Notebooks run by kernels of real images: which cells run, every way they end, and who the image's user may be."""

from __future__ import annotations

import functools
import json
import re
from xml.etree import ElementTree

import pytest
from tests import realengine
from tests.suites.conftest import JUPYTER, Subjects, details, only, run_suite, verdicts

from dsci.drivers.engine import DockerEngine
from dsci.drivers.runs import LABEL, Run
from dsci.model import junit
from dsci.model.reference import Reference
from dsci.model.report import Verdict

pytestmark = pytest.mark.engine

PASS, FAIL = Verdict.PASSED, Verdict.FAILED
report = functools.partial(run_suite, "notebooks")


def notebook(*cells: str | tuple[str, str], **metadata: object) -> str:
    """A notebook of code cells; one with a tag is (source, tag)."""
    pairs = [(cell, "") if isinstance(cell, str) else cell for cell in cells]
    made = [
        {"cell_type": "code", "source": source.splitlines(keepends=True), "metadata": {"tags": [tag] if tag else []}}
        for source, tag in pairs
    ]
    text = {"cell_type": "markdown", "source": "# Words", "metadata": {}}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": [text, *made]})


def test_which_cells_run_and_which_errors_count(subject: Subjects, jupyter: Reference) -> None:
    files = {
        "good.ipynb": notebook("x = 1", "assert x == 1", ""),
        "sub/folder.ipynb": notebook("import helper; open('made', 'w').write(open('data.txt').read()); helper.check()"),
        "sub/helper.py": "import os\ndef check(): assert os.getcwd() == '/dsci/suite/sub' and os.path.exists('made')\n",
        "sub/data.txt": "x",
        "raises.ipynb": notebook(("1 / 0", "raises-exception"), ("1", "raises-exception"), "2"),
        "skips.ipynb": notebook("x = 1", ("x = 1 / 0", "skip-execution"), "assert x == 1"),
        "allows.ipynb": notebook("1 / 0", "x = 1", execution={"allow_errors": True}),
        "named.ipynb": notebook("1", kernelspec={"name": "python3", "display_name": "Python"}),
        "raises-too-late.ipynb": notebook(("1 / 0", "raises-exception"), "1 / 0"),
        "not-run.ipynb": notebook(("1", "skip-execution")),
        "words.ipynb": notebook(),
        ".ipynb_checkpoints/good-checkpoint.ipynb": notebook("1 / 0"),
    }
    found = report(subject, jupyter, files)
    assert verdicts(found) == {
        "allows.ipynb": PASS,
        "good.ipynb": PASS,
        "named.ipynb": PASS,
        "not-run.ipynb": FAIL,
        "raises-too-late.ipynb": FAIL,
        "raises.ipynb": PASS,
        "skips.ipynb": PASS,
        "sub/folder.ipynb": PASS,
        "words.ipynb": FAIL,
    }, details(found)
    assert details(found)["not-run.ipynb"].startswith("no cell was run")
    assert details(found)["words.ipynb"].startswith("no cell was run")
    assert details(found)["raises-too-late.ipynb"].startswith("cell 3 of 3: ZeroDivisionError: division by zero")


BAD = "def f():\n    raise KeyError('no such key')\nprint('before')\nf()"
FAILURES = {
    "error.ipynb": (notebook("x = 1", BAD), r"cell 3 of 3: KeyError: 'no such key'\n\n    def f\(\):\n"),
    "syntax.ipynb": (notebook("def (:"), r"cell 2 of 2: SyntaxError"),
    "kernel.ipynb": (notebook("1", kernelspec={"name": "julia-1.11"}), r"no kernel 'julia-1.11'; it has: python3$"),
    "old.ipynb": (json.dumps({"nbformat": 3, "worksheets": []}), r"in nbformat 3.*jupyter nbconvert"),
    "broken.ipynb": ("{", r"this is no notebook: "),
    "list.ipynb": ("[]", r"in nbformat None"),
    "cells.ipynb": (json.dumps({"nbformat": 4, "cells": {}}), r"no list of cells"),
    "limit.ipynb": (notebook("1", execution={"timeout": "soon"}), r"is 'soon', not a number of seconds"),
    "exit.ipynb": (
        notebook("import os\nprint('bye', flush=True)\nos._exit(3)"),
        r"the kernel died with exit code 3\n",
    ),
    "killed.ipynb": (notebook("import os; os.kill(os.getpid(), 9)"), r"the kernel died by SIGKILL, as when memory"),
    "asks.ipynb": (notebook("name = input('who? ')"), r"cell 2 of 2: StdinNotImplementedError"),
    "late.ipynb": (
        notebook("import time\nprint('begun', flush=True)\ntime.sleep(99)", execution={"timeout": 0.5}),
        r"(?s)cell 2 of 2: still running after 0.5 s, its execution.timeout.*printed:\nbegun",
    ),
}


def test_every_way_to_fail_says_which_and_why(subject: Subjects, jupyter: Reference) -> None:
    found = report(subject, jupyter, {name: text for name, (text, _) in FAILURES.items()})
    told = details(found)
    assert set(verdicts(found).values()) == {FAIL} and set(told) == set(FAILURES)
    for name, (_, pattern) in FAILURES.items():
        assert re.search(pattern, told[name]), f"{name}: {told[name]}"
        assert "run_notebook.py" not in told[name], told[name]
    assert "in f()" in told["error.ipynb"] and "printed:\nbefore" in told["error.ipynb"]
    assert "bye" in told["exit.ipynb"]


@pytest.mark.slow
def test_what_does_not_end(subject: Subjects, jupyter: Reference, run: Run, engine: DockerEngine) -> None:
    """A cell has the time of a check or what the notebook says, all of them that of the suite."""
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    files = {"endless.ipynb": notebook(deaf, "while True: pass", execution={"timeout": 99})}
    cell = report(subject, jupyter, files, timeout=2)
    assert only(cell).detail.startswith(
        "cell 3 of 3: still running when the check's 2s were over, so it was killed: raise suites.check_timeout\n\n"
    )
    whole = report(subject, jupyter, files, suite=8)
    assert only(whole).detail.startswith(
        "cell 3 of 3: still running when the suite's 8s were over, so it was killed: raise suites.timeout\n\n"
    )
    assert cell.seconds < 20 and whole.seconds < 20
    engine.collect(wait=True)
    assert realengine.containers(f"{LABEL}={run.id}") == set() == realengine.volumes(f"{LABEL}={run.id}")


def test_a_kernel_that_wants_too_much_memory(subject: Subjects, jupyter: Reference) -> None:
    found = report(subject, jupyter, {"a.ipynb": notebook("x = b'x' * 10**9")}, memory=256 * 1024 * 1024)
    assert only(found).detail.startswith("cell 2 of 2: the kernel died by SIGKILL, as when memory runs out")


def test_hostile_output(subject: Subjects, jupyter: Reference) -> None:
    nasty = r"'\x1b[31mred\x1b[0m \x00\x07 ]]> <&> \ufffe ::stop-commands::x'"
    files = {
        "nasty.ipynb": notebook(f"print({nasty})\nraise ValueError({nasty})"),
        "surrogate.ipynb": notebook(r"raise ValueError('\ud800')"),
        "floods.ipynb": notebook("for n in range(3000): print('x' * 1000)", "raise ValueError('y' * 100_000)"),
    }
    found = report(subject, jupyter, files)
    assert set(verdicts(found).values()) == {FAIL}
    assert details(found)["nasty.ipynb"].startswith("cell 2 of 2: ValueError: red  ]]> <&>  ::stop-commands::x\n")
    for check in found.checks:
        assert len(check.detail) < 20_000
        assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in check.detail)
    assert len(list(ElementTree.fromstring(junit.document([found])).iter("failure"))) == 3


def test_a_user_without_a_home(subject: Subjects, jupyter: Reference) -> None:
    text = notebook("import os; assert os.getuid() == 4321", "open('made', 'w').close(); os.remove('good.ipynb')")
    with realengine.image(f"{JUPYTER}ENV HOME=/nowhere\nUSER 4321:4321\n") as image:
        found = report(subject, image, {"good.ipynb": text})
    assert found.problem == "", details(found)


def test_images_that_lack_what_it_takes(subject: Subjects, bare: Reference, python: Reference) -> None:
    files = {"good.ipynb": notebook("1")}
    assert only(report(subject, bare, files)).detail.startswith("the image has no Python")
    found = only(report(subject, python, files)).detail
    assert found.startswith("the image cannot run notebooks: its /usr/bin/python3 (Python 3.")
    assert "has no jupyter_client" in found and "Traceback" not in found


#: A kernel of another language, and of all that is Jupyter no more than what drives it.
OTHER_KERNEL = """
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends r-cran-irkernel python3-jupyter-client \\
 && rm -rf /var/lib/apt/lists/*
"""


@pytest.mark.slow
def test_a_kernel_of_another_language(subject: Subjects) -> None:
    cells = {
        "good.ipynb": ("x <- 1", ("stop('as it must')", "raises-exception"), "stopifnot(x == 1)"),
        "bad.ipynb": ("print('before'); stop('a reason')",),
        "asks.ipynb": ("readline('who? ')",),
    }
    files = {name: notebook(*sources, kernelspec={"name": "ir"}) for name, sources in cells.items()}
    with realengine.image(OTHER_KERNEL) as image:
        found = report(subject, image, files)
    assert verdicts(found) == {"asks.ipynb": FAIL, "bad.ipynb": FAIL, "good.ipynb": PASS}, details(found)
    assert details(found)["asks.ipynb"].startswith("cell 2 of 2: it asks for input, and nobody is there")
    assert "a reason" in details(found)["bad.ipynb"] and 'printed:\n[1] "before"' in details(found)["bad.ipynb"]
    assert found.seconds < 30
