"""What suites may find, one of everything and anything at all, for the tests of documents; and what Jenkins reads."""

from __future__ import annotations

from pathlib import Path

import xmlschema
from hypothesis import strategies as st

from dsci.model.bundle import Bundle
from dsci.model.report import Check, SuiteReport, Verdict

PASSED, FAILED, SKIPPED = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED
JENKINS = xmlschema.XMLSchema(Path(__file__).parent / "model" / "junit.xsd")
TARGET = "ml@linux/amd64"


def suite(*checks: Check, name: str = "ml/pytest", seconds: float = 1.5) -> SuiteReport:
    return SuiteReport(target=TARGET, suite=name, checks=checks, seconds=seconds)


def check(name: str, verdict: Verdict = PASSED, detail: str = "", **more: object) -> Check:
    return Check(name=name, verdict=verdict, detail=detail, **more)  # type: ignore[arg-type]


BUNDLE = Bundle(
    argv=("sh", "-c", "x"),
    exit_code=3,
    stdout="out <&>\n",
    stderr="err ]]>",
    image="sha256:12",
    replay="dsci shell --replay out/1",
)
#: One of everything.
ALL = (
    check("good", seconds=0.25),
    check("bad", FAILED, "\n  first <&> line\nsecond", bundle=BUNDLE, file="a/b,c.py", line=7),
    check("left out", SKIPPED, "no GPU # here"),
    check("now and then", PASSED, "timed out", attempts=3),
)
#: What may come out of a container.
FOREIGN = st.text(max_size=30) | st.text(
    "<>&\"'\x1b[]!-\x00\n\r\t\ud800\udfff\ufffe\uffff\u2028\x85{}#\\%:, ", max_size=30
)
BUNDLES = st.none() | st.builds(
    Bundle,
    argv=st.lists(FOREIGN, max_size=2).map(tuple),
    exit_code=st.none() | st.integers(-1, 255),
    reason=FOREIGN,
    stdout=FOREIGN,
    stderr=FOREIGN,
    image=FOREIGN,
    replay=FOREIGN,
    alone=st.booleans(),
)
CHECKS = st.builds(
    Check,
    name=FOREIGN,
    verdict=st.sampled_from(Verdict),
    detail=FOREIGN,
    seconds=st.floats(0, 1e6),
    attempts=st.integers(1, 3),
    file=FOREIGN,
    line=st.none() | st.integers(1, 9),
    bundle=BUNDLES,
)
REPORTS = st.lists(
    st.builds(
        SuiteReport,
        target=FOREIGN,
        suite=FOREIGN,
        seconds=st.floats(0, 1e6),
        checks=st.lists(CHECKS, max_size=3).map(tuple),
    ),
    max_size=3,
)
