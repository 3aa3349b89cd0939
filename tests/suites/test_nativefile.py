"""The form of dsci's own suites: what is read, and what is refused with its line."""

from __future__ import annotations

import pytest

from dsci.errors import ConfigError
from dsci.suites import nativefile, nativeform
from dsci.suites.nativeform import File, Http, Image, Log, Metadata, Port, Run, Start

FILE = "suites/ml/s.yaml"


def test_every_kind_of_check_is_told_by_its_key() -> None:
    text = """
env: {A: b}
start: {port: 80, until: {log: ready, http: /health}, within: 2m}
checks:
  - run: echo $HOME
  - {run: [python3, -V], exit: 2, stdout: [a, b], retries: 1}
  - {file: /etc/os-release, contains: Debian, mode: "0644"}
  - image: {env: {A: null, B: "1.10"}, healthcheck: false}
  - {http: /x, port: 81, status: [200, 204], headers: {X: null}}
  - {port: 82, open: false}
  - {log: up, lacks: [ERROR], name: nothing wrong}
  - {health: healthy, skip: none yet}
  - {stop: 5s, exit: [0, 143]}
"""
    found = nativefile.parse(text, file=FILE)
    assert found.start is not None
    assert found.start.within == "2m"
    assert found.checks[:7] == (
        Run(run="echo $HOME"),
        Run(run=("python3", "-V"), exit=2, stdout=("a", "b"), retries=1),
        File(file="/etc/os-release", contains="Debian", mode="0644"),
        Image(image=Metadata(env={"A": None, "B": "1.10"}, healthcheck=False)),
        Http(http="/x", port=81, status=(200, 204), headers={"X": None}),
        Port(port=82, open=False),
        Log(log="up", lacks=("ERROR",), name="nothing wrong"),
    )
    assert [each.__struct_config__.tag for each in found.checks[7:]] == ["health", "stop"]


def test_numbers_and_truth_stay_the_texts_that_were_written() -> None:
    found = nativefile.parse("checks: [{run: x, env: {A: 1.10, B: yes, C: 0123}}]", file=FILE)
    assert found.checks == (Run(run="x", env={"A": "1.10", "B": "yes", "C": "0123"}),)


STARTED = "start: {}\nchecks:\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("checks: []", "s.yaml:1: checks: there is none"),
        (
            "checks:\n- {rum: x}",
            "s.yaml:2: checks.0: a check names what it looks at by one of run, file, image, http, ",
        ),
        ("checks:\n- {rum: x}", "(did you mean 'run'?)"),
        (
            "checks:\n- {run: x, file: /y}",
            "s.yaml:2: checks.0: one check cannot be of run and file: make a check of each",
        ),
        ("checks:\n- run: x\n  stdot: y", "s.yaml:3: checks.0: unknown key 'stdot' (did you mean 'stdout'?)"),
        ("checks:\n- run: x\n- run: y\n  exit: z", "s.yaml:4: checks.1.exit: expected a whole number"),
        ("checks:\n- run: x\n  kind: run", "s.yaml:3: checks.0: unknown key 'kind'"),
        ("checks:\n- run: x\n  run: y", "s.yaml:3: checks.0: duplicate key 'run', first given in line 2"),
        ("checks:\n- run: x\n  stdout: (", "s.yaml:3: checks.0.stdout: '(' is no regular expression: missing )"),
        ("checks:\n- run: x\n  stdout: ['(?=a)']", "is no regular expression"),
        ("checks:\n- run: x\n  timeout: 3", "s.yaml:3: checks.0.timeout: '3' is no duration, such as 90s, 10m or 1h"),
        ("checks:\n- run: x\n  retries: -1", "checks.0.retries: -1 is no number of times"),
        ("checks:\n- file: /x\n  mode: rwx", "checks.0.mode: 'rwx' is no mode, such as 0755"),
        ("checks:\n- file: /x\n  max_size: big", "checks.0.max_size: 'big' is no size, such as 500MB"),
        ("checks:\n- {file: /x, exists: false, uid: 0}", "of a path that must not be there nothing more can be asked"),
        ("checks:\n- http: /", "s.yaml:2: checks.0: http looks at the image while it runs: say how it is started"),
        ("checks:\n- stop: 3s", "stop looks at the image while it runs"),
        ("checks:\n- restart: 3s", "restart looks at the image while it runs"),
        (STARTED + "- restart: soon", "s.yaml:3: checks.0.restart: 'soon' is no duration"),
        ("checks:\n- {run: x, service: a}", "s.yaml:2: checks.0.service: there are no services"),
        (STARTED + "- http: x", "s.yaml:3: checks.0.http: 'x' is no path: it begins with /"),
        (STARTED + "- {http: /, headers: {A: '['}}", "checks.0.headers.A: '[' is no regular expression"),
        (STARTED + "- port: 70000", "checks.0.port: 70000 is no port"),
        (STARTED + "- {run: x, entrypoint: true}", "the entrypoint has run already, at the start"),
        (STARTED + "- stop: 1s\n- run: x", "s.yaml:4: checks.1: it is stopped by then: only its log can be looked at"),
        (
            "network: none\n" + STARTED + "- port: 80",
            "without a network nothing reaches it from outside: ask from inside",
        ),
        ("presets: [offline]\n" + STARTED + "- http: /", "without a network nothing reaches it from outside"),
        ("presets: [open]\nchecks: [{run: x}]", "presets.0: expected one of offline, openshift, read-only"),
        ("start: {within: soon}\nchecks: [{run: x}]", "s.yaml:1: start.within: 'soon' is no duration"),
        ("start: {until: {log: '*'}}\nchecks: [{run: x}]", "start.until.log: '*' is no regular expression"),
        ("checks: x", "s.yaml:1: checks: expected a list"),
        ("checks: [x]", "s.yaml:1: checks.0: a check names what it looks at by one of"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        nativefile.parse(text, file=FILE)
    assert said in error.value.message


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        nativefile.parse("checks:\n- {run: x, stdout: (}\n- {file: /x, mode: x}\n- http: /\n", file=FILE)
    assert [line.split(": ")[0] for line in error.value.message.splitlines()] == [f"{FILE}:{n}" for n in (2, 3, 4)]


@pytest.mark.parametrize(
    ("text", "native"),
    [
        ("checks: []", True),
        ("start: {}\nchecks:\n", True),
        ('schemaVersion: "2.0.0"\nchecks: []', False),
        ("commandTests: []", False),
        ("", False),
        ("[]", False),
        ("checks: [", False),
        ("? [a]\n: b\nchecks: []", True),
    ],
)
def test_which_files_are_suites_of_our_own(text: str, native: bool) -> None:
    assert nativefile.is_native(text) is native


@pytest.mark.parametrize(
    ("exposed", "start", "port", "all_of_them"),
    [
        ({}, "{}", None, (81,)),
        ({"8888/tcp": {}}, "{}", 8888, (81, 8888)),
        ({"9000/tcp": {}, "80": {}, "53/udp": {}}, "{}", 80, (80, 81)),
        ({"9000/tcp": {}}, "{port: 7}", 7, (7, 81)),
        ({}, "{until: {port: 82}}", None, (81, 82)),
    ],
)
def test_the_port_of_checks_that_name_none(
    exposed: dict[str, object], start: str, port: int | None, all_of_them: tuple[int, ...]
) -> None:
    found = nativefile.parse(f"start: {start}\nchecks: [{{http: /}}, {{port: 81}}]", file=FILE)
    assert isinstance(found.start, Start)
    assert nativeform.default_port(found, exposed) == port
    assert nativeform.ports(found, exposed) == all_of_them
