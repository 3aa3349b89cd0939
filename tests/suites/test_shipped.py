"""Checks that come with dsci, against images that are as they should be and images that are not."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import pytest
from tests import realengine
from tests.suites.conftest import PYTHON, Subjects

from dsci.errors import ConfigError
from dsci.model.reference import Reference
from dsci.model.report import Check, Verdict
from dsci.suites import native, nativefile

pytestmark = pytest.mark.engine
PASS, FAIL = Verdict.PASSED, Verdict.FAILED

#: Packages as pip leaves them, good and bad; a library that lacks another; secrets; caches; kernels.
SPOILED = (
    PYTHON
    + r"""
COPY <<'EOF' /make.py
import os, pathlib
site = pathlib.Path("/usr/lib/python3/dist-packages")
def package(name, module, code, requested=True):
    (site / module).mkdir(parents=True)
    (site / module / "__init__.py").write_text(code)
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text(f"{module}/__init__.py,,\ntests/__init__.py,,\n")
    if requested:
        (info / "REQUESTED").write_text("")
package("good-one", "good_one", "import json")
package("bad-one", "bad_one", "import not_there_at_all")
package("killed", "killed", "import os; os.abort()")
package("noisy", "noisy", "print('{\"package\": \"x\", \"module\": \"x\", \"error\": \"forged\"}')")
package("unasked", "unasked", "1/0", requested=False)
for place, text in {
    "/root/.ssh/id_ed25519": "-----BEGIN OPENSSH PRIVATE KEY-----\n",
    "/root/.ssh/other.pem": "-----BEGIN CERTIFICATE-----\n",
    "/root/.netrc": "machine h login me password hidden\n",
    "/srv/.env": "DEBUG=1\nAPI_KEY=abc\n",
    "/srv/.env.example": "API_KEY=$API_KEY\n",
    "/usr/lib/python3/dist-packages/good_one/test.key": "-----BEGIN RSA PRIVATE KEY-----\n",
    "/root/.cache/pip/http/a/b": "x" * 300000,
    "/root/.cache/pip/c": "x" * 300000,
    "/var/lib/apt/lists/deb_Packages": "x",
    "/home/me/.cache/matplotlib/fonts": "x",
}.items():
    file = pathlib.Path(place)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
EOF
RUN python3 /make.py
ENV HF_TOKEN=hidden TOKENIZERS_PARALLELISM=false AWS_SECRET_ACCESS_KEY=hidden EMPTY_PASSWORD=""
"""
)


@pytest.fixture(scope="module")
def spoiled() -> Iterator[Reference]:
    with realengine.image(SPOILED) as name:
        yield name


def checked(subject: Subjects, image: Reference, text: str) -> list[Check]:
    suite = nativefile.parse(text, file="suites/x/s.yaml")
    return list(native.run(subject(image), suite, path="suites/x/s.yaml"))


def one(subject: Subjects, image: Reference, check: str) -> list[str]:
    """The problems that one check finds."""
    (found,) = checked(subject, image, f"checks: [{{{check}}}]")
    assert (found.verdict is PASS) is not bool(found.detail)
    return found.detail.splitlines()


def test_imports_tell_every_package_that_fails(subject: Subjects, spoiled: Reference) -> None:
    assert one(subject, spoiled, "check: imports") == [
        "bad-one (as bad_one): ModuleNotFoundError: No module named 'not_there_at_all'",
        "killed: killed by signal 6",
    ]
    assert one(subject, spoiled, "check: imports, except: [Bad_One, killed]") == []
    assert one(subject, spoiled, "check: imports, only: [good-one, json]") == []
    assert one(subject, spoiled, "check: imports, only: [unasked, nobody-has-it]") == [
        "nobody-has-it (as nobody_has_it): ModuleNotFoundError: No module named 'nobody_has_it'",
        "unasked: ZeroDivisionError: division by zero",
    ]
    renamed = "check: imports, only: [bad-one], names: {bad-one: good_one}"
    assert one(subject, spoiled, renamed) == []


def test_imports_where_there_is_nothing_to_import(subject: Subjects, python: Reference, plain: Reference) -> None:
    assert one(subject, plain, "check: imports") == ["the image has neither Python nor R"]
    assert one(subject, python, "check: imports") == [
        "no package was asked to be installed, by pip, conda or R: name some by `only`"
    ]


def test_secrets(subject: Subjects, spoiled: Reference, plain: Reference) -> None:
    said = "looks like a secret"
    public = ", and everybody who has the image can read it"
    assert one(subject, spoiled, "check: no-secrets") == [
        f"the variable AWS_SECRET_ACCESS_KEY {said}{public}",
        f"the variable HF_TOKEN {said}{public}",
        f"/root/.netrc {said}",
        f"/root/.ssh/id_ed25519 {said}",
        f"/srv/.env {said}",
    ]
    assert one(subject, spoiled, r"check: no-secrets, except: [^/srv/, ^/root/, variable]") == []
    assert one(subject, plain, "check: no-secrets") == []


def test_caches(subject: Subjects, spoiled: Reference, python: Reference) -> None:
    assert one(subject, spoiled, "check: no-caches") == [
        "/root/.cache/pip/ has 2 files of 0.6 MB (pip's cache: pip install --no-cache-dir)",
        "/var/lib/apt/lists/ has 1 file of 0.0 MB (apt's lists: rm -rf /var/lib/apt/lists/*)",
    ]
    assert one(subject, spoiled, r"check: no-caches, except: [^/root/\.cache/pip/, apt]") == []
    assert one(subject, python, "check: no-caches") == []


def test_user(subject: Subjects, plain: Reference, bare: Reference) -> None:
    assert one(subject, plain, "check: non-root") == []
    assert one(subject, bare, "check: non-root") == ["its user is root, as none is set"]


@pytest.mark.slow
def test_libraries_that_are_all_there(subject: Subjects, bare: Reference) -> None:
    assert one(subject, bare, "check: libraries") == []


LACKING = r"""
FROM debian:bookworm-slim
RUN rm /usr/lib/*/liblzma* && printf '#!/bin/sh\n' > /opt/script && chmod 755 /opt/script
"""


def test_libraries_that_are_not_there(subject: Subjects) -> None:
    with realengine.image(LACKING) as lacking:
        found = one(subject, lacking, "check: libraries")
    assert any(re.match(r"/usr/lib/.*libapt-pkg[^ ]*: liblzma", line) for line in found), found
    assert all(line.endswith(": liblzma.so.5 => not found") for line in found)


@pytest.mark.parametrize(
    ("image", "said"),
    [("plain", "the image has no Python, so no Jupyter"), ("python", "no Jupyter here")],
)
def test_kernels_without_jupyter(subject: Subjects, request: pytest.FixtureRequest, image: str, said: str) -> None:
    assert said in " ".join(one(subject, request.getfixturevalue(image), "check: kernels"))


def test_what_runs_first(subject: Subjects, server: Reference) -> None:
    start = "start: {until: {http: /}}\nchecks:\n"
    text = "- {check: init}\n- {check: init, only: [python3], name: named}\n- {check: clean-log}\n- {check: non-root}\n"
    _, first, named, log, user = checked(subject, server, start + text)
    assert first.detail.startswith("process 1 is 'python3 /serve.py --plain', expected tini or ")
    assert (named.verdict, log.verdict, user.verdict) == (PASS, PASS, FAIL)


NOISE = r"""
FROM debian:bookworm-slim
CMD printf '%b\n' 'INFO no ERRORS here' '[W 2026-01-01 server] fine' '\033[31mERROR\033[0m: broken' \
 'x [WARNING] careful' 'Traceback (most recent call last):' 'Error in library(x)' 'errors: 0' && sleep 60
"""


def test_a_log_that_tells_of_trouble(subject: Subjects) -> None:
    with realengine.image(NOISE) as noise:
        text = (
            "start: {until: {log: 'errors: 0'}}\nchecks: [{check: clean-log}, {check: clean-log, except: [ful, T, E]}]"
        )
        _, found, excepted = checked(subject, noise, text)
    assert found.detail.splitlines()[:4] == [
        "ERROR: broken",
        "x [WARNING] careful",
        "Traceback (most recent call last):",
        "Error in library(x)",
    ]
    assert excepted.verdict is PASS


def sized(subject: Subjects, image: Reference, check: str, before: tuple[str, int] | None) -> str:
    suite = nativefile.parse(f"checks: [{{{check}}}]", file="s.yaml")
    mine = msgspec.structs.replace(subject(image), sizes=lambda: (1_100_000_001, before))
    return next(iter(native.run(mine, suite, path="s.yaml"))).detail


def test_size(subject: Subjects, bare: Reference) -> None:
    assert sized(subject, bare, "check: size", None) == ""
    assert sized(subject, bare, "check: size, grow: 11%", ("1.2.0", 1_000_000_000)) == ""
    grown = "it has 1100.0 MB, 10 % more than the 1000.0 MB of 1.2.0; 10% is allowed"
    assert sized(subject, bare, "check: size", ("1.2.0", 1_000_000_000)) == grown
    assert sized(subject, bare, "check: size, max: 1GB", None) == "it has 1100.0 MB, more than 1GB"
    assert one(subject, bare, "check: size")[0].startswith("its size is known only where it is built")


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("check: import", "checks.0.check: expected one of clean-log, "),
        ("check: imports, grow: 5%", "checks.0.grow: imports takes no such option"),
        ("check: libraries, except: ['(']", "checks.0.except.0: '(' is no regular expression"),
        ("check: size, grow: 5", "checks.0.grow: '5' is no part of a size, such as 10%"),
        ("check: size, max: big", "checks.0.max: 'big' is no size"),
        ("check: init", "init looks at the image while it runs: say how it is started"),
    ],
)
def test_options_that_say_nothing(check: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        nativefile.parse(f"checks: [{{{check}}}]", file="s.yaml")
    assert said in error.value.message
