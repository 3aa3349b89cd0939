"""container-structure-test files against real images: every field passing and failing.

The verdicts in these tables are those of the real container-structure-test 1.19.1 on the same image, found by running
both side by side, except where a test says that we differ on purpose.
"""

from __future__ import annotations

import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests import realengine
from tests.realengine import NATIVE
from tests.suites.conftest import Subjects

from dsci.drivers.engine import DockerEngine
from dsci.drivers.runs import LABEL, Run
from dsci.errors import BuilderError, ConfigError
from dsci.model.family import Suite
from dsci.model.reference import Reference
from dsci.model.report import Check, Verdict
from dsci.suites import run as suites
from dsci.suites import structure, structurefile
from dsci.suites.expansion import expand
from dsci.suites.subject import Still, Subject

PASS, FAIL = Verdict.PASSED, Verdict.FAILED


def suite(path: str = "images/x/suites/s.yaml") -> Suite:
    return Suite(name="x/s", kind="structure", owner="x", path=path, files=(path,))


def document(**blocks: str) -> str:
    """A file of the schema out of its blocks."""
    body = "".join(f"{key}:\n{textwrap.indent(textwrap.dedent(text), '  ')}\n" for key, text in blocks.items())
    return f'schemaVersion: "2.0.0"\n{body}'


def checked(subject: Subjects, image: Reference, text: str, *, timeout: float = 60) -> dict[str, Check]:
    """Run a file; gives its checks by the test's own name."""
    found = list(structure.run(subject(image, timeout=timeout), *structurefile.located(text, file="s.yaml")))
    assert len({check.name for check in found}) == len(found)
    return {check.name.partition(": ")[2] or check.name: check for check in found}


def judge(found: dict[str, Check], wanted: list[tuple[str, str, Verdict]]) -> None:
    """Compare all verdicts at once."""
    assert {name: check.verdict for name, check in found.items()} == {name: verdict for name, _, verdict in wanted}


# ------------------------------------------------------------------------------------------------------- commands

GLOBALS = r"""
- {key: GLOBAL, value: "g-$GREETING"}
- {key: PATH, value: "/opt/bin:$PATH"}
- {key: NUMBER, value: 1.10}
- {key: AFFIRMED, value: yes}
- {key: OCTAL, value: 0123}
- {key: DAY, value: 2024-01-02}
- {key: CHAIN, value: "[$GLOBAL]"}
"""

COMMANDS: list[tuple[str, str, Verdict]] = [
    ("plain", r"""command: echo, args: [hi], expectedOutput: ["^hi\n$"]""", PASS),
    ("dollar is the very end", r"""command: echo, args: [hi], expectedOutput: ["hi$"]""", FAIL),
    ("dollar of a line", r"""command: echo, args: [hi], expectedOutput: ["(?m)hi$"]""", PASS),
    ("not anchored", r"""command: echo, args: [hide], expectedOutput: ["id"]""", PASS),
    ("one of two expected is missing", r"""command: echo, args: [hi], expectedOutput: ["hi", "ho"]""", FAIL),
    ("global with the image's", r"""command: printenv, args: [GLOBAL], expectedOutput: ["^g-hello world\n$"]""", PASS),
    ("global path", r"""command: printenv, args: [PATH], expectedOutput: ["^/opt/bin:/usr/local/sbin"]""", PASS),
    ("globals do not chain", r"""command: printenv, args: [CHAIN], expectedOutput: ["^\\[\\]\n$"]""", PASS),
    ("number as written", r"""command: printenv, args: [NUMBER], expectedOutput: ["^1\\.10\n$"]""", PASS),
    ("truth as written", r"""command: printenv, args: [AFFIRMED], expectedOutput: ["^yes\n$"]""", PASS),
    ("octal as written", r"""command: printenv, args: [OCTAL], expectedOutput: ["^0123\n$"]""", PASS),
    ("date as written", r"""command: printenv, args: [DAY], expectedOutput: ["^2024-01-02\n$"]""", PASS),
    (
        "own over global",
        r"""command: printenv, args: [GLOBAL], envVars: [{key: GLOBAL, value: mine}], expectedOutput: ["^mine\n"]""",
        PASS,
    ),
    (
        "own is not expanded",
        r"""command: printenv, args: [X], envVars: [{key: X, value: "${GREETING}"}], expectedOutput: ["^\\$.GREET"]""",
        PASS,
    ),
    ("argument with a global", r"""command: echo, args: ["$GLOBAL"], expectedOutput: ["^g-hello world\n"]""", PASS),
    (
        "argument with the image's",
        r"""command: echo, args: ["${GREETING}!"], expectedOutput: ["^hello world!"]""",
        PASS,
    ),
    (
        "argument without its own",
        r"""command: echo, args: ["[$X]"], envVars: [{key: X, value: own}], expectedOutput: ["^\\[\\]\n"]""",
        PASS,
    ),
    ("command is expanded too", r"""command: $EMPTY/bin/echo, args: [x], expectedOutput: ["x"]""", PASS),
    ("shell's own", r"""command: sh, args: [-c, "echo $(id -u)"], expectedOutput: ["^1234\n"]""", PASS),
    ("positional ones vanish", r"""command: echo, args: ["[$1$$$?$@$*$#$!]"], expectedOutput: ["^\\[\\]\n"]""", PASS),
    ("never closed", r"""command: echo, args: ["[${X"], expectedOutput: ["^\\[X\n"]""", PASS),
    ("last dollar", r"""command: echo, args: ["x$"], expectedOutput: ["^x\\$\n"]""", PASS),
    ("exit code", r"""command: sh, args: [-c, "exit 3"], exitCode: 3""", PASS),
    ("other exit code", r"""command: sh, args: [-c, "exit 3"]""", FAIL),
    ("unexpected success", r"""command: "true", exitCode: 1""", FAIL),
    ("not there", r"""command: nope""", FAIL),
    ("not there, whatever is expected", r"""command: nope, exitCode: 127""", FAIL),
    ("no shell splits it", r"""command: "echo hi", expectedOutput: ["hi"]""", FAIL),
    (
        "outputs apart",
        r"""command: sh, args: [-c, "echo e >&2; echo o"], expectedError: ["^e\n$"], expectedOutput: ["^o\n$"]""",
        PASS,
    ),
    ("error expected in vain", r"""command: echo, args: [e], expectedError: ["e"]""", FAIL),
    ("excluded on stderr", r"""command: sh, args: [-c, "echo e >&2; echo o"], excludedError: ["e"]""", FAIL),
    ("excluded on stdout", r"""command: sh, args: [-c, "echo e >&2; echo o"], excludedOutput: ["x", "o"]""", FAIL),
    (
        "excluded on the other one",
        r"""command: sh, args: [-c, "echo e >&2; echo o"], excludedOutput: ["e"], excludedError: ["o"]""",
        PASS,
    ),
    (
        "user and folder of the image",
        r"""command: sh, args: [-c, "id -u; pwd"], expectedOutput: ["^1234\n/t\n$"]""",
        PASS,
    ),
    ("no entrypoint", r"""command: echo, args: [cmd], excludedOutput: ["ENTRY"]""", PASS),
    (
        "letters of any script",
        r"""command: echo, args: ["é"], expectedOutput: ["^\\pL\n$"], excludedOutput: ["\\w"]""",
        PASS,
    ),
    ("quoted", r"""command: echo, args: ["a.b"], expectedOutput: ["^\\Qa.b\\E\n\\z", "^[[:alpha:]]\\."]""", PASS),
    (
        "dot and lines",
        r"""command: printf, args: ["a\nb"], expectedOutput: ["(?s)a.b"], excludedOutput: ["a.b"]""",
        PASS,
    ),
    ("nothing", r"""command: "true", expectedOutput: ["^$", ""]""", PASS),
    ("empty word", r"""command: echo, args: ["", x], expectedOutput: ["^ x\n$"]""", PASS),
    (
        "words as written",
        r"""command: echo, args: [0x10, 1_000, 1e3, true], expectedOutput: ["^0x10 1_000 1e3 true"]""",
        PASS,
    ),
]


@pytest.mark.engine
def test_commands(subject: Subjects, plain: Reference) -> None:
    rows = "".join(f"- {{name: {name!r}, {text}}}\n" for name, text, _ in COMMANDS).replace('name: "', 'name: "')
    found = checked(subject, plain, document(globalEnvVars=GLOBALS, commandTests=rows))
    judge(found, COMMANDS)
    # A failure says what happened, with the output; a success says nothing.
    assert "exit code 3, expected 0" in found["other exit code"].detail
    assert "executable file not found" in found["not there"].detail
    assert "stderr matches the excluded 'e'" in found["excluded on stderr"].detail
    assert "stdout does not match 'hi$'" in found["dollar is the very end"].detail
    assert "stdout:\nhi\n" in found["dollar is the very end"].story
    assert found["plain"].detail == "" and found["plain"].seconds > 0


@pytest.mark.engine
def test_every_command_has_a_container_of_its_own(subject: Subjects, plain: Reference) -> None:
    rows = """\
    - {name: write, command: sh, args: [-c, "echo x > /tmp/left"]}
    - {name: look, command: cat, args: [/tmp/left], exitCode: 1}
    """
    assert {check.verdict for check in checked(subject, plain, document(commandTests=rows)).values()} == {PASS}


@pytest.mark.engine
def test_a_command_that_does_not_end(subject: Subjects, plain: Reference) -> None:
    """container-structure-test would wait for ever."""
    rows = """\
    - {name: endless, command: sh, args: [-c, "echo begun; trap '' TERM; while :; do sleep 1; done"]}
    - {name: after, command: "true"}
    """
    found = checked(subject, plain, document(commandTests=rows), timeout=2)
    assert (found["endless"].verdict, found["after"].verdict) == (FAIL, PASS)
    assert "the check's 2s were over" in found["endless"].detail and "begun" in found["endless"].story


@pytest.mark.engine
def test_what_was_not_looked_at_is_not_excluded(subject: Subjects, plain: Reference) -> None:
    """Only the end of a flood is kept: the excluded word may have stood before it."""
    flood = 'sh, args: [-c, "echo ERROR; seq 200000; echo end"]'
    rows = f"""\
    - {{name: excluded, command: {flood}, excludedOutput: ["ERROR"]}}
    - {{name: expected end, command: {flood}, expectedOutput: ["end\\n$"]}}
    - {{name: expected beginning, command: {flood}, expectedOutput: ["^ERROR"]}}
    """
    found = checked(subject, plain, document(commandTests=rows))
    assert {name: check.verdict for name, check in found.items()} == {
        "excluded": FAIL,
        "expected end": PASS,
        "expected beginning": FAIL,
    }
    assert "more than is kept" in found["excluded"].detail and "more than is kept" in found["expected beginning"].detail


@pytest.mark.engine
def test_hostile_output_in_a_detail(subject: Subjects, plain: Reference) -> None:
    script = r"printf '\033[31mred\033[0m \000\001\377 ]]> <b> ::set-output name=x::y\n'; seq 5000; exit 1"
    found = checked(subject, plain, document(commandTests=f"- {{name: x, command: sh, args: [-c, {script!r}]}}"))
    detail = found["x"].story
    assert "red" in detail and len(detail) < 12_000
    assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in detail)


# ---------------------------------------------------------------------------------------------------------- files

EXISTENCE: list[tuple[str, str, Verdict]] = [
    ("file", "path: /t/c/x", PASS),
    ("absent", "path: /t/none", FAIL),
    ("absent as wanted", "path: /t/none, shouldExist: false", PASS),
    ("absent, the rest is not asked", 'path: /t/none, shouldExist: false, permissions: "-rw-r--r--", uid: 5', PASS),
    ("present against the wish", "path: /t/c/x, shouldExist: false", FAIL),
    ("below a file", "path: /t/c/x/y, shouldExist: false", PASS),
    ("folder", 'path: /t/c, permissions: "drwxr-xr-x"', PASS),
    ("folder with a slash", 'path: /t/c/, permissions: "drwxr-xr-x"', PASS),
    ("mode", 'path: /t/c/x, permissions: "-rw-r--r--"', PASS),
    ("other mode", 'path: /t/c/x, permissions: "-rwxr--r--"', FAIL),
    ("setuid", 'path: /t/setuid, permissions: "urwxr-xr-x"', PASS),
    ("setuid as ls writes it", 'path: /t/setuid, permissions: "-rwsr-xr-x"', FAIL),
    ("sticky", 'path: /t/sticky, permissions: "dtrwxrwxrwx"', PASS),
    ("setgid and owners", 'path: /t/owned, permissions: "grwxr-x---", uid: 12, gid: 34', PASS),
    ("no mode", 'path: /t/empty, permissions: "----------"', PASS),
    ("link", 'path: /t/abs, permissions: "Lrwxrwxrwx"', PASS),
    ("dangling link", "path: /t/dangling", PASS),
    ("link to itself", "path: /t/self", FAIL),
    ("through a link", "path: /t/folder-link/x", PASS),
    ("other user", "path: /t/owned, uid: 0", FAIL),
    ("other group", "path: /t/owned, gid: 0", FAIL),
    ("root's", "path: /t/c/x, uid: 0, gid: 0", PASS),
    ("any user", "path: /t/owned, uid: -1, gid: -1", PASS),
    ("by owner", "path: /t/owned, isExecutableBy: owner", PASS),
    ("by group", "path: /t/owned, isExecutableBy: group", PASS),
    ("by others", "path: /t/owned, isExecutableBy: other", FAIL),
    ("by anybody", "path: /t/owned, isExecutableBy: any", PASS),
    ("by nobody", "path: /t/c/x, isExecutableBy: any", FAIL),
    ("expanded", "path: $HOMEDIR/x", PASS),
    ("expanded from a global", 'path: "${PLACE}/x"', PASS),
    ("relative to the root", "path: t/c/x", PASS),
    ("not relative to the working folder", "path: c/x", FAIL),
    ("dots", "path: /t/c/../c/x", PASS),
    ("root", "path: /", PASS),
    ("of no container", "path: /proc/version, shouldExist: false", PASS),
]


@pytest.mark.engine
def test_file_existence(subject: Subjects, plain: Reference) -> None:
    rows = "".join(f"- {{name: {name!r}, {text}}}\n" for name, text, _ in EXISTENCE)
    text = document(globalEnvVars="- {key: PLACE, value: $HOMEDIR}", fileExistenceTests=rows)
    found = checked(subject, plain, text)
    judge(found, EXISTENCE)
    assert found["other mode"].detail == "/t/c/x has permissions -rw-r--r--, expected -rwxr--r--"
    assert found["other user"].detail == "/t/owned belongs to user 12, expected 0"
    assert found["other group"].detail == "/t/owned belongs to group 34, expected 0"
    assert found["by others"].detail == "/t/owned is not executable by other"
    assert found["absent"].detail == "/t/none is not there"
    assert found["present against the wish"].detail == "/t/c/x is there, and should not be"


CONTENTS: list[tuple[str, str, Verdict]] = [
    ("whole", r'path: /t/c/x, expectedContents: ["^hello\n$"]', PASS),
    ("other", "path: /t/c/x, expectedContents: [hello, bye]", FAIL),
    ("without", "path: /t/c/x, excludedContents: [bye]", PASS),
    ("with the excluded", "path: /t/c/x, excludedContents: [bye, ell]", FAIL),
    ("absolute link", "path: /t/abs, expectedContents: [hello]", PASS),
    ("through a linked folder", "path: /t/folder-link/x, expectedContents: [hello]", PASS),
    ("dangling link", 'path: /t/dangling, expectedContents: [".*"]', FAIL),
    ("missing", 'path: /t/none, excludedContents: ["x"]', FAIL),
    ("missing, nothing asked", "path: /t/none", FAIL),
    ("folder", 'path: /t/c, expectedContents: [".*"]', FAIL),
    ("empty", 'path: /t/empty, expectedContents: ["^$"]', PASS),
    ("whole text, not lines", 'path: /t/lines, expectedContents: ["^b$"]', FAIL),
    ("lines when asked", 'path: /t/lines, expectedContents: ["(?m)^b$", "last$"]', PASS),
    ("no encoding", 'path: /t/latin, expectedContents: ["^caf.\\n$"]', PASS),
    ("not expanded", 'path: "/t/$HOMEDIR", expectedContents: [dollar]', PASS),
]


@pytest.mark.engine
def test_file_contents(subject: Subjects, plain: Reference) -> None:
    rows = "".join(f"- {{name: {name!r}, {text}}}\n" for name, text, _ in CONTENTS)
    found = checked(subject, plain, document(fileContentTests=rows))
    judge(found, CONTENTS)
    assert found["other"].detail == "/t/c/x does not match 'bye'"
    assert found["with the excluded"].detail == "/t/c/x matches the excluded 'ell'"
    assert found["missing"].detail == "/t/none is not there, or is no file"


@pytest.mark.engine
def test_contents_where_we_differ_on_purpose(subject: Subjects, plain: Reference) -> None:
    """container-structure-test looks for the text of a relative link at the root, and reads files of any size."""
    rows = """\
    - {name: relative, path: /t/c/rel, expectedContents: [hello]}
    - {name: chain, path: /t/a/chain, expectedContents: [hello]}
    - {name: large, path: /t/large, excludedContents: [x]}
    """
    found = checked(subject, plain, document(fileContentTests=rows))
    assert {name: check.verdict for name, check in found.items()} == {"relative": PASS, "chain": PASS, "large": FAIL}
    assert "larger than" in found["large"].detail


# ------------------------------------------------------------------------------------------------------- metadata

METADATA: list[tuple[str, Verdict]] = [
    ("envVars: [{key: GREETING, value: hello world}, {key: EQ, value: a=b=c}]", PASS),
    ("envVars: [{key: GREETING, value: hello}]", FAIL),
    ("envVars: [{key: NUM, value: 1.10}]", PASS),
    ('envVars: [{key: NUM, value: "1.1"}]', FAIL),
    ("envVars: [{key: GREETING, value: ^hel, isRegex: true}]", PASS),
    ("envVars: [{key: GREETING, value: ^hello$, isRegex: true}]", FAIL),
    ('envVars: [{key: EMPTY, value: ""}]', PASS),
    ("envVars: [{key: EMPTY}]", PASS),
    ('envVars: [{key: NOPE, value: ""}]', FAIL),
    ("unboundEnvVars: [{key: NOPE}, {key: GREET}]", PASS),
    ("unboundEnvVars: [{key: NOPE}, {key: GREETING}]", FAIL),
    ("unboundEnvVars: [{key: EMPTY}]", FAIL),
    ('labels: [{key: version, value: 1.10}, {key: empty, value: ""}]', PASS),
    ("labels: [{key: multi, value: a.b$, isRegex: true}]", PASS),
    ("labels: [{key: plain, value: X}]", FAIL),
    ('labels: [{key: nope, value: ""}]', FAIL),
    ("entrypoint: [/entry.sh, entry]", PASS),
    ("entrypoint: [/entry.sh]", FAIL),
    ("entrypoint: []", FAIL),
    ('cmd: [cmd, "x y"]', PASS),
    ("cmd: [cmd, x, y]", FAIL),
    ("cmd: []", FAIL),
    ('exposedPorts: ["8080", 53, 443]', PASS),
    ('exposedPorts: ["8081"]', FAIL),
    ('unexposedPorts: ["22", "80"]', PASS),
    ('unexposedPorts: ["22", "8080"]', FAIL),
    ("volumes: [/data, /t/vol]", PASS),
    ("volumes: [/data, /nope]", FAIL),
    ("volumes: [/data/]", FAIL),
    ("unmountedVolumes: [/t]", PASS),
    ("unmountedVolumes: [/data]", FAIL),
    ("workdir: /t", PASS),
    ("workdir: /t/", FAIL),
    ('user: "1234:5678"', PASS),
    ('user: "1234"', FAIL),
    ("user: root", FAIL),
]


@pytest.mark.engine
@pytest.mark.parametrize(("text", "verdict"), METADATA)
def test_metadata(subject: Subjects, plain: Reference, text: str, verdict: Verdict) -> None:
    found = checked(subject, plain, document(metadataTest=text))
    assert found["Metadata Test"].verdict is verdict, found["Metadata Test"].detail
    assert bool(found["Metadata Test"].detail) is (verdict is FAIL)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("entrypoint: []", PASS),
        ("entrypoint: [x]", FAIL),
        ('cmd: [/bin/sh, -c, "ls -la"]', PASS),
        ("cmd: []", FAIL),
        ("labels: [{key: x, value: y}]", FAIL),
        ('exposedPorts: ["80"]', FAIL),
        ('unexposedPorts: ["80"]', PASS),
        ("volumes: [/x]", FAIL),
        ("unmountedVolumes: [/x]", PASS),
        ("envVars: [{key: PATH, value: ^/usr/local/sbin, isRegex: true}]", PASS),
    ],
)
def test_metadata_of_an_image_that_says_nothing(
    subject: Subjects, bare: Reference, text: str, verdict: Verdict
) -> None:
    assert checked(subject, bare, document(metadataTest=text))["Metadata Test"].verdict is verdict


@pytest.mark.engine
def test_metadata_where_we_differ_on_purpose(subject: Subjects, plain: Reference, bare: Reference) -> None:
    """container-structure-test takes an empty text for "not asked", so that nobody can ask for no user."""
    for field in ("workdir", "user"):
        assert checked(subject, plain, document(metadataTest=f'{field}: ""'))["Metadata Test"].verdict is FAIL
        assert checked(subject, bare, document(metadataTest=f'{field}: ""'))["Metadata Test"].verdict is PASS


@pytest.mark.engine
def test_ports_may_be_asked_for_with_their_protocol(subject: Subjects, plain: Reference) -> None:
    """container-structure-test compares numbers alone, with whatever is asked for."""
    for ports, verdict in (("53/udp", PASS), ("53", PASS), ("53/tcp", FAIL), ("8080/tcp", PASS)):
        text = document(metadataTest=f'exposedPorts: ["{ports}"]')
        assert checked(subject, plain, text)["Metadata Test"].verdict is verdict


@pytest.mark.engine
def test_all_problems_of_the_metadata_are_told(subject: Subjects, plain: Reference) -> None:
    text = "workdir: /x\nuser: y\nentrypoint: []\nvolumes: [/z]\nenvVars: [{key: GREETING, value: hi}]"
    detail = checked(subject, plain, document(metadataTest=text))["Metadata Test"].detail
    assert detail.split("\n") == [
        "variable GREETING is 'hello world', expected 'hi'",
        "entrypoint is ['/entry.sh', 'entry'], expected []",
        "volume /z is not declared",
        "workingdir is '/t', expected '/x'",
        "user is '1234:5678', expected 'y'",
    ]


# ------------------------------------------------------------------------------------------------- the whole file


@pytest.mark.engine
def test_order_and_names_are_container_structure_tests_own(subject: Subjects, plain: Reference) -> None:
    text = document(
        metadataTest="workdir: /t",
        fileExistenceTests="- {name: c, path: /t}",
        fileContentTests="- {name: b, path: /t/c/x}",
        commandTests='- {name: a, command: "true"}',
    )
    report = suites.run(suite(), subject(plain, {"images/x/suites/s.yaml": text}), target="x@linux/amd64")
    assert [check.name for check in report.checks] == [
        "Command Test: a",
        "File Content Test: b",
        "File Existence Test: c",
        "Metadata Test",
    ]
    assert (report.problem, report.target, report.suite) == ("", "x@linux/amd64", "x/s")


@pytest.mark.engine
@pytest.mark.parametrize("text", ["", "metadataTest: {}\n", "commandTests: []\n"])
def test_a_file_that_tests_nothing_is_a_failure(subject: Subjects, bare: Reference, text: str) -> None:
    content = f'schemaVersion: "2.0.0"\n{text}'
    report = suites.run(suite("s.yaml"), subject(bare, {"s.yaml": content}), target="x@linux/amd64")
    assert report.problem == "no test ran"


def test_a_file_that_cannot_be_read_is_a_failed_check(subject: Subjects) -> None:
    image = Reference.parse("no.such.image/x:y")
    text = 'schemaVersion: "2.0.0"\ncommandTest: []\n'
    report = suites.run(suite("s.yaml"), subject(image, {"s.yaml": text}), target="x@linux/amd64")
    (check,) = report.checks
    assert check.verdict is FAIL and check.detail.startswith("s.yaml:2: unknown key 'commandTest'")


@pytest.mark.engine
def test_an_image_that_is_gone_is_nobodys_verdict(subject: Subjects) -> None:
    text = document(commandTests='- {name: a, command: "true"}')
    image = Reference.parse("dsci.local/no/such:image")
    with pytest.raises(BuilderError):
        suites.run(suite("s.yaml"), subject(image, {"s.yaml": text}), target="x@linux/amd64")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (
            'commandTests:\n- {name: a, command: "true"}\n- {name: "", command: x}\n',
            "s.yaml:4: commandTests.1.name is empty",
        ),
        ('commandTests:\n- name: a\n  command: ""\n', "s.yaml:4: commandTests.0.command is empty"),
        ('fileExistenceTests: [{name: a, path: ""}]\n', "s.yaml:2: fileExistenceTests.0.path is empty"),
        ('fileContentTests: [{name: a, path: ""}]\n', "s.yaml:2: fileContentTests.0.path is empty"),
        (
            "fileExistenceTests:\n- {name: a, path: /x,\n   isExecutableBy: everyone}\n",
            "s.yaml:4: fileExistenceTests.0.isExecutableBy: expected one of owner, group, other, any",
        ),
        ("fileExistenceTests: [{name: a, path: /x, uid: root}]\n", "s.yaml:2: fileExistenceTests.0.uid"),
        ("commandTests: [{name: a, command: x, exitCode: one}]\n", "s.yaml:2: commandTests.0.exitCode"),
        (
            "commandTests:\n- name: a\n  command: x\n  teardown: [[]]\n",
            "s.yaml:5: commandTests.0.teardown has an empty",
        ),
        ("commandTests:\n- name: a\n  command: x\n  envVars: [{key: A}]\n", "s.yaml:5: commandTests.0.envVars has an"),
        ('metadataTest:\n  exposedPorts: [""]\n', "s.yaml:3: metadataTest.exposedPorts has an empty one"),
        ('metadataTest:\n  envVars:\n  - {key: a, value: "(", isRegex: true}\n', "s.yaml:4: '('"),
        ('metadataTest:\n  labels:\n  - {key: a, value: "[", isRegex: true}\n', "s.yaml:4: '['"),
        ('commandTests: [{name: a, command: x, excludedError: ["(?=x)"]}]\n', "s.yaml:2: '(?=x)'"),
        ('fileContentTests: [{name: a, path: /x, expectedContents: ["*"]}]\n', "s.yaml:2: '*'"),
        ("metadataTest: {unboundEnvVars: [NOPE]}\n", "s.yaml:2: metadataTest.unboundEnvVars.0"),
        ("metadataTest: {entrypoint: /x}\n", "s.yaml:2: metadataTest.entrypoint: expected a list"),
        ("licenseTests: [{debian: 1}]\n", "s.yaml:2: licenseTests.0.debian: expected true or false"),
        ("containerRunOptions: {bindMount: ['/:/host']}\n", "s.yaml:2: containerRunOptions: unknown key 'bindMount'"),
        ("commandTests: {name: a}\n", "s.yaml:2: commandTests: expected a list"),
        ("commandTests: [\n", "s.yaml:"),
        ("a: &a [*a]\n", "s.yaml:"),
    ],
)
def test_mistakes_are_told_with_their_line(text: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        structurefile.parse(f'schemaVersion: "2.0.0"\n{text}', file="s.yaml")
    assert caught.value.message.startswith(where)


def test_a_pattern_that_means_nothing_is_only_a_pattern_where_it_is_one() -> None:
    text = 'schemaVersion: "2.0.0"\nmetadataTest: {labels: [{key: a, value: "("}]}\n'
    assert structurefile.parse(text, file="s.yaml").metadata_test is not None


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("", ""),
        ("$", "$"),
        ("a$", "a$"),
        ("$A", "1"),
        ("$A$B", "12"),
        ("${A}B", "1B"),
        ("$AB", ""),
        ("$A-B", "1-B"),
        ("$A_", ""),
        ("$(A)", "$(A)"),
        ("$ A", "$ A"),
        ("$.A", "$.A"),
        ("${}A", "A"),
        ("${", ""),
        ("${A", "A"),
        ("${{A}}", "}"),
        ("${A:-x}", ""),
        ("$$A", "A"),
        ("$1A", "A"),
        ("${1}A", "A"),
        ("$*$#$@$!$?$-$0", ""),
        ("${A\n}", ""),
        ("$Aé", "1é"),
        ("$é", "$é"),
        ("$EMPTY|", "|"),
    ],
)
def test_os_expand(text: str, expanded: str) -> None:
    """Source: https://pkg.go.dev/os#Expand (the table was checked against Go's own rules, character by character)."""
    assert expand(text, {"A": "1", "B": "2", "EMPTY": ""}) == expanded


@pytest.mark.engine
def test_nothing_is_left_behind(subject: Subjects, plain: Reference, engine: DockerEngine, run: Run) -> None:
    made = subject(plain)
    text = document(commandTests="- {name: a, command: nope}", fileExistenceTests="- {name: b, path: /t}")
    with made.still:
        list(structure.run(made, *structurefile.located(text, file="s.yaml")))
    engine.collect(wait=True)
    label = f"{LABEL}={run.id}"
    assert realengine.containers(label) == set() == realengine.volumes(label)


@pytest.mark.engine
def test_suites_side_by_side_look_at_one_container(plain: Reference, engine: DockerEngine, run: Run) -> None:
    text = document(fileExistenceTests="- {name: b, path: /t}", fileContentTests="- {name: c, path: /t/lines}")
    tests = structurefile.located(text, file="s.yaml")
    label = f"{LABEL}={run.id}"
    with Still(engine, plain, NATIVE) as still, ThreadPoolExecutor(4) as pool:
        made = [
            Subject(
                engine=engine,
                image=plain,
                platform=NATIVE,
                still=still,
                read=str.encode,
                executable=lambda _: False,
            )
            for _ in range(4)
        ]
        found = list(pool.map(lambda each: list(structure.run(each, *tests)), made))
        assert len(realengine.containers(label)) == 1
    assert [[check.verdict for check in checks] for checks in found] == [[Verdict.PASSED] * 2] * 4
    engine.collect(wait=True)
    assert realengine.containers(label) == set()
