"""Annotations, groups, masks and stopped commands, as GitHub's runner reads them, whatever containers print."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis

from dsci.ci.annotation import of_checks
from dsci.ci.commands import command, error, group, masks, resume, stop
from dsci.model.report import SuiteReport
from tests.githubrunner import obeyed
from tests.hostile import HOSTILE
from tests.model.sampling import examples
from tests.reportsamples import ALL, FAILED, REPORTS, check, suite


def test_annotations() -> None:
    assert list(of_checks([suite(*ALL), suite(name="ml/structure")])) == [
        "::error file=a/b%2Cc.py,line=7,title=ml@linux/amd64 ml/pytest%3A bad"
        "::first <&> line%0Asecond%0Areplay: dsci shell --replay out/1",
        "::error title=ml@linux/amd64 ml/structure%3A ml/structure::no test ran",
        "::warning title=ml@linux/amd64 ml/pytest%3A now and then::passed at attempt 3%0Atimed out",
    ]


def test_an_annotation_says_something_and_names_a_line_only_of_a_file() -> None:
    found = list(of_checks([suite(check("x", FAILED, line=3), check("y", FAILED, " 100%", file="f"))]))
    assert [text.rpartition("::")[2] for text in found] == ["failed", "100%25"]
    assert found[0].startswith("::error title=") and found[1].startswith("::error file=f,title=")


def test_of_many_annotations_github_shows_ten() -> None:
    def made(count: int) -> list[str]:
        return list(of_checks([suite(*(check(f"{n}", FAILED, "x") for n in range(count)))]))

    assert len(made(10)) == 10 and "more" not in made(10)[-1]
    assert len(made(25)) == 10 and made(25)[-1] == "::error title=dsci::and 16 more: see the report"


@given(REPORTS)
@hypothesis(max_examples=examples(120), deadline=None)
def test_no_output_becomes_a_command_to_github(reports: list[SuiteReport]) -> None:
    for text in of_checks(reports):
        head, _, rest = text.removeprefix("::").partition(" ")
        properties, _, message = rest.partition("::")
        assert head in ("error", "warning")
        # The runner takes a line for a command, and reads a property up to the next comma.
        assert not re.search("[\r\n\x0b\x0c\x85]", text)
        names = [item.partition("=")[0] for item in properties.split(",")]
        assert names in (["title"], ["file", "title"], ["file", "line", "title"])
        assert len(unquote(message)) < 3_000


@pytest.mark.parametrize("text", ["::add-mask::x", "x\n::stop-commands::y", "%0A::error::z", "\r::warning::q"])
def test_a_command_in_an_output_stays_a_text(text: str) -> None:
    (made,) = of_checks([suite(check(text, FAILED, text))])
    assert made.count("\n") == 0 and made.startswith("::error title=")


# ------------------------------------------------------------------------------------------------------ commands


def test_the_reader_of_logs_can_tell() -> None:
    assert obeyed("::error::a%0Ab\n  ::group::c\nx ##[warning]d\nx ::error::no\n::nothing::e") == [
        ("error", "a\nb"),
        ("group", "c"),
        ("warning", "d"),
    ]
    assert obeyed("::stop-commands::t\n::error::a\n::u::\n##[error]b\n::t::\n::notice::c") == [("notice", "c")]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_command_is_one_command_whatever_is_in_it(text: str) -> None:
    made = command("error", text, file=text, line=3, title=text)
    assert len(made.splitlines()) <= 1 + sum(made.count(mark) for mark in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
    assert "\n" not in made and "\r" not in made
    assert obeyed(made) == [("error", text)]
    properties = made.removeprefix("::error ").partition("::")[0]
    names = [item.partition("=")[0] for item in properties.split(",")]
    assert names == (["file", "line", "title"] if text else ["line"])


@pytest.mark.parametrize("title", HOSTILE)
def test_a_group_has_a_title_of_one_line(title: str) -> None:
    lines = group(title, "body").split("\n")
    assert len(lines) == 3 and lines[1:] == ["body", "::endgroup::"] and lines[0].startswith("::group::")


def test_what_is_between_stop_and_resume_is_not_obeyed() -> None:
    log = "\n".join([stop("w0rd"), *HOSTILE, "::w0rdy::", "::error::x", resume("w0rd"), "::notice::y"])
    assert obeyed(log) == [("notice", "y")]


def masked(secret: str, **more: str) -> set[str]:
    return {text for name, text in obeyed("\n".join(masks(secret, **more))) if name == "add-mask"}


def test_a_secret_is_masked_in_every_form_that_it_is_sent_in() -> None:
    secret = "s3cr%t/word+"
    assert masked(secret, user="me") == {
        secret,
        "s3cr%25t%2Fword%2B",
        base64.b64encode(secret.encode()).decode(),
        base64.b64encode(f"me:{secret}".encode()).decode(),
    }
    assert masked(secret) == masked(secret, user="me") - {base64.b64encode(f"me:{secret}".encode()).decode()}


@pytest.mark.parametrize("secret", ["", "x", "main", "true", "1234567", "       "])
def test_what_is_short_is_not_masked(secret: str) -> None:
    """The runner would take it out of every line: a log without `main` says nothing."""
    assert masked(secret, user="somebody") == set()


def test_of_a_key_of_several_lines_each_long_one_is_masked() -> None:
    key = '{\n  "type": "service_account",\n  "key": "abcdefghijklm"\n}\n'
    found = masked(key, user="_json_key")
    assert {'"type": "service_account",', '"key": "abcdefghijklm"'} <= found
    assert not found & {"{", "}", ""} and all("\n" not in text for text in found)
    assert base64.b64encode(f"_json_key:{key}".encode()).decode() in found


@pytest.mark.parametrize(
    ("message", "place"),
    [
        ("dsci.yaml:3: images.ml: no such image", ("dsci.yaml", "3")),
        ("images/ml/Dockerfile:12: a stage is named twice", ("images/ml/Dockerfile", "12")),
        ("dsci.yaml: no", None),
        ("127.0.0.1:5000/acme/ml: 403", None),
        ("/etc/passwd:3: x", None),
        ("in dsci.yaml:3: x", None),
        ("-x:3: y", None),
        ("", None),
    ],
)
def test_why_dsci_stopped_stands_at_the_file_that_it_names(message: str, place: tuple[str, str] | None) -> None:
    made = error(message, "mend it")
    where = f"file={place[0]},line={place[1]}," if place else ""
    assert made == f"::error {where}title=dsci::{message}{'%0A' if message else ''}mend it"
