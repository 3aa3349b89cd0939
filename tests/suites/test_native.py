"""dsci's own suites against real images: every check passing and failing, and what is seen of an image that runs."""

from __future__ import annotations

import re

import pytest
from tests.suites.conftest import Subjects

from dsci.errors import ConfigError
from dsci.model.reference import Reference
from dsci.model.report import Check, Verdict
from dsci.suites import native, nativefile

pytestmark = pytest.mark.engine
PASS, FAIL, SKIP = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED


def checked(subject: Subjects, image: Reference, text: str, *, timeout: float = 60) -> list[Check]:
    suite = nativefile.parse(text, file="suites/x/s.yaml")
    return list(native.run(subject(image, timeout=timeout), suite, path="suites/x/s.yaml"))


def judge(found: list[Check], wanted: list[tuple[str, Verdict, str]]) -> None:
    """Compare names, verdicts and a word of each detail, all at once."""
    assert [(check.name, check.verdict) for check in found] == [(name, verdict) for name, verdict, _ in wanted], found
    for check, (name, _, said) in zip(found, wanted, strict=True):
        assert re.search(said, check.story), (name, check.story)


# ----------------------------------------------------------------------------------------------------- while at rest


def test_commands(subject: Subjects, plain: Reference) -> None:
    text = r"""
env: {AROUND: here}
checks:
  - run: echo $GREETING $AROUND | awk '{print $2, $3}'
    stdout: ^world here\n\z
  - {run: [echo, $GREETING], stdout: '^\$GREETING', name: a list is no shell}
  - {run: "exit 3", exit: 3}
  - {run: "echo out; echo err >&2", stdout: [o, u], stderr: err, stdout_lacks: err, stderr_lacks: out}
  - {run: id -u, stdout: ^1234\n}
  - {run: id -u, user: "0:0", stdout: ^0\n, name: as root}
  - {run: [more], entrypoint: true, stdout: ^ENTRY entry more\n}
  - {run: echo $OWN, env: {OWN: 1.10}, stdout: ^1\.10\n}
  - {run: "true", exit: 1}
  - {run: echo x; false, stdout: y}
  - {run: [no-such-program]}
  - {run: echo secret, stdout_lacks: secret}
  - {run: sleep 60, timeout: 1s}
  - {run: "false", skip: not today}
"""
    judge(
        checked(subject, plain, text),
        [
            ("echo $GREETING $AROUND | awk '{print $2, $3}'", PASS, ""),
            ("a list is no shell", PASS, ""),
            ("exit 3", PASS, ""),
            ("echo out; echo err >&2", PASS, ""),
            ("id -u", PASS, ""),
            ("as root", PASS, ""),
            ("more", PASS, ""),
            ("echo $OWN", PASS, ""),
            ("true", FAIL, "exit code 0, expected 1"),
            ("echo x; false", FAIL, r"(?s)exit code 1, expected 0\nstdout does not match 'y'.*stdout:\nx\n"),
            ("no-such-program", FAIL, "no-such-program"),
            ("echo secret", FAIL, "stdout matches the excluded 'secret'"),
            ("sleep 60", FAIL, "still running after 1 s, so it was killed"),
            ("false", SKIP, "not today"),
        ],
    )


def test_no_command_sees_what_another_left(subject: Subjects, bare: Reference) -> None:
    text = "checks:\n" + "".join(f"- {{run: 'test ! -e /left && touch /left', name: c{n}}}\n" for n in range(6))
    assert [check.verdict for check in checked(subject, bare, text)] == [PASS] * 6


def test_what_fails_is_run_again_as_often_as_it_says(subject: Subjects, bare: Reference) -> None:
    # It passes with a chance of one in two; twenty tries in a row fail once in a million.
    text = """
checks:
  - {run: test $(($(od -An -N1 -tu1 /dev/urandom) % 2)) = 0, retries: 20}
  - {run: "false", retries: 1}
"""
    found = checked(subject, bare, text)
    assert [check.verdict for check in found] == [PASS, FAIL]


def test_files(subject: Subjects, plain: Reference) -> None:
    text = r"""
checks:
  - {file: /t/c/x, type: file, mode: "0644", uid: 0, gid: 0, contains: ^hello\n, lacks: [bye], max_size: 1kB}
  - {file: /t/setuid, mode: "4755"}
  - {file: /t/sticky, type: directory, mode: "1777"}
  - {file: /t/owned, mode: "2750", uid: 12, gid: 34}
  - {file: /t/rel, exists: false}
  - {file: /t/c/rel, type: link, link: x, contains: hello}
  - {file: /nowhere}
  - {file: /t/c/x, exists: false}
  - {file: /t/c/x, type: directory, name: kind}
  - {file: /t/c/x, mode: 600, name: mode}
  - {file: /t/c/x, uid: 1, gid: 2, name: owner}
  - {file: /t/c/x, link: y, name: link}
  - {file: /t/c/x, contains: [hello, bye], lacks: hello, name: content}
  - {file: /t/c, contains: x, name: a folder}
  - {file: /t/large, contains: x, name: too large to look at}
  - {file: /t/large, max_size: 1MB, name: size}
"""
    judge(
        checked(subject, plain, text),
        [
            ("file /t/c/x", PASS, ""),
            ("file /t/setuid", PASS, ""),
            ("file /t/sticky", PASS, ""),
            ("file /t/owned", PASS, ""),
            ("no file /t/rel", PASS, ""),
            ("file /t/c/rel", PASS, ""),
            ("file /nowhere", FAIL, "/nowhere is not there"),
            ("no file /t/c/x", FAIL, "/t/c/x is there, and should not be"),
            ("kind", FAIL, "is a file, expected a directory"),
            ("mode", FAIL, "has mode 0644, expected 0600"),
            ("owner", FAIL, "(?s)belongs to user 0, expected 1.*belongs to group 0, expected 2"),
            ("link", FAIL, "is no link, expected y"),
            ("content", FAIL, "(?s)does not match 'bye'.*matches the excluded 'hello'"),
            ("a folder", FAIL, "is no file that can be read"),
            ("too large to look at", FAIL, "is larger than the 16777216 bytes"),
            ("size", FAIL, "has 17000000 bytes, expected at most 1MB"),
        ],
    )


def test_metadata(subject: Subjects, plain: Reference) -> None:
    text = r"""
checks:
  - image:
      env: {GREETING: hello world, NUM: 1.10, EMPTY: "", HOME: null}
      labels: {version: 1.10, nobody: null}
      entrypoint: [/entry.sh, entry]
      cmd: [cmd, x y]
      user: "1234:5678"
      workdir: /t
      ports: ["8080", 53/udp]
      volumes: [/data]
      healthcheck: false
  - name: wrong
    image:
      env: {GREETING: bye, HOME: /root, NUM: null}
      entrypoint: []
      cmd: [x]
      user: root
      ports: ["53"]
      volumes: [/t]
      stop_signal: SIGINT
      healthcheck: true
"""
    passed, failed = checked(subject, plain, text)
    assert (passed.name, passed.verdict, passed.detail) == ("image", PASS, "")
    assert failed.detail.splitlines() == [
        "variable GREETING is 'hello world', expected 'bye'",
        "variable HOME is not set, expected '/root'",
        "variable NUM is '1.10', expected none",
        "entrypoint is ['/entry.sh', 'entry'], expected []",
        "cmd is ['cmd', 'x y'], expected ['x']",
        "user is '1234:5678', expected 'root'",
        "stopsignal is '', expected 'SIGINT'",
        "port 53 is not exposed",
        "volume /t is not declared",
        "the image has no health check",
    ]


def test_presets(subject: Subjects, bare: Reference) -> None:
    text = r"""
presets: [openshift, read-only, offline]
tmpfs: [/scratch]
checks:
  - {run: id -u, stdout: "^[0-9]{10}\n"}
  - {run: id -g, stdout: ^0\n}
  - {run: "grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status", stdout: ["0{16}", "NoNewPrivs:\\s1"]}
  - {run: "touch /etc/x", exit: 1, stderr: Read-only}
  - {run: "touch /tmp/x /run/x /scratch/x"}
  - {run: "ls /sys/class/net", stdout: ^lo\n\z}
"""
    found = checked(subject, bare, text)
    assert [(check.name, check.detail) for check in found if check.verdict is not PASS] == []
    ids = {
        checked(subject, bare, "presets: [openshift]\nchecks: [{run: id -u, stdout: x}]")[0].detail for _ in range(2)
    }
    assert len(ids) == 1, "a verdict must not change with the user's number"


def test_a_gpu_that_is_not_there(subject: Subjects, bare: Reference) -> None:
    (skipped,) = checked(subject, bare, "gpu: optional\nchecks: [{run: nvidia-smi}]")
    assert (skipped.verdict, skipped.detail.split(":")[0]) == (SKIP, "no GPU")
    with pytest.raises(ConfigError, match=r"a GPU is required: .*device driver"):
        checked(subject, bare, "gpu: required\nchecks: [{run: nvidia-smi}]")


# ---------------------------------------------------------------------------------------------------- while it runs


def test_a_server(subject: Subjects, server: Reference) -> None:
    text = r"""
start:
  env: {EXTRA: "1"}
  until: {log: serving as, port: 8888, http: /, health: healthy, file: /tmp/ready}
checks:
  - {http: /, headers: {content-type: ^text/plain, X-None: null}, body: ^hello\z, body_lacks: bye}
  - {http: /said, request_headers: {X-Said: "a b"}, body: ^a b\z}
  - {http: /, method: POST, send: abc, status: 201, body: ^cba\z}
  - {http: /on, status: 302, headers: {location: ^/\z}}
  - {http: /on, follow: true, body: hello, name: followed}
  - {http: /once, within: 20s}
  - {port: 8888}
  - {port: 8889, open: false}
  - {log: serving as 0:0\n, lacks: [ERROR, \x1b]}
  - {health: healthy}
  - {run: 'tr "\0" " " </proc/1/cmdline; echo $EXTRA', stdout: ^python3 /serve.py --plain 1\n}
  - {run: id -u, user: "12", stdout: ^12\n, name: as somebody}
  - {file: /tmp/ready}
  - {image: {ports: ["8888"]}}
  - {stop: 10s, exit: 3}
  - {log: serving, name: log after the end}
"""
    found = checked(subject, server, text)
    assert [(check.name, check.detail) for check in found if check.verdict is not PASS] == []
    assert [check.name for check in found][:3] == ["start", "GET /", "GET /said"]
    assert len(found) == 17


def test_a_server_that_is_not_what_it_should_be(subject: Subjects, server: Reference) -> None:
    text = r"""
start: {until: {http: /}}
checks:
  - {http: /broken}
  - {http: /, status: [201, 204], headers: {X-None: a, content-type: json, Server: null}, body: bye, body_lacks: hello}
  - {http: /away, follow: true}
  - {http: /round, follow: true}
  - {http: /large, body: x}
  - {http: /broken, within: 1s, name: late}
  - {http: /, tls: true, name: no tls}
  - {http: /, port: 1, name: nowhere}
  - {port: 8889}
  - {port: 8888, open: false}
  - {log: [trouble], lacks: [serving]}
  - {health: unhealthy}
  - {run: exit 1}
  - {run: sleep 60, timeout: 1s}
  - {run: "true", name: too late}
"""
    judge(
        checked(subject, server, text),
        [
            ("start", PASS, ""),
            ("GET /broken", FAIL, r"status 500, expected 200\nit printed:\nserving as"),
            (
                "GET /",
                FAIL,
                r"(?s)status 200, expected 201 or 204.*no header X-None.*header content-type does not match 'json'"
                r".*header Server is .*, expected none.*body does not match 'bye'.*body matches the excluded 'hello'",
            ),
            ("GET /away", FAIL, "it leads elsewhere: http://169.254.169.254/latest"),
            ("GET /round", FAIL, "it leads on more than 10 times"),
            ("GET /large", FAIL, "the body is larger than the 1048576 bytes"),
            ("late", FAIL, "status 500, expected 200\nstill so after 1 s"),
            ("no tls", FAIL, "no answer: "),
            ("nowhere", FAIL, "nothing can be reached at port 1"),
            ("port 8889 is open", FAIL, "nothing can be reached at port 8889"),
            ("port 8888 is closed", FAIL, "port 8888 can be reached"),
            ("log", FAIL, "(?s)log does not match 'trouble'.*log matches the excluded 'serving'"),
            ("health: unhealthy", FAIL, "health is (starting|healthy), expected unhealthy"),
            ("exit 1", FAIL, "exit code 1, expected 0"),
            ("sleep 60", FAIL, "still running after 1 s, so it was killed"),
            ("too late", FAIL, "the container has ended with exit code 137"),
        ],
    )


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("{command: [--broken], until: {port: 8888}}", r"(?s)ended with exit code 1\n.*no such model: large"),
        ("{until: {log: never said}, within: 1s}", "(?s)log does not match 'never said'\nstill so after 1 s.*serving"),
        ("{until: {file: /nowhere, health: healthy}, within: 1s}", "(?s)/nowhere is not there.*still so after 1 s"),
        ("{entrypoint: [/no/such], until: {port: 1}}", "/no/such"),
    ],
)
def test_an_image_that_does_not_get_ready(subject: Subjects, server: Reference, start: str, said: str) -> None:
    found = checked(subject, server, f"start: {start}\nchecks: [{{run: 'true'}}, {{http: /}}]")
    judge(found, [("start", FAIL, said), ("true", SKIP, "it was not ready"), ("GET /", SKIP, "it was not ready")])


def test_one_that_does_not_obey_is_killed(subject: Subjects, server: Reference) -> None:
    text = "start: {command: [--deaf], until: {http: /}}\nchecks: [{stop: 1s, exit: [0, 3]}]"
    judge(
        checked(subject, server, text),
        [
            ("start", PASS, ""),
            ("stop", FAIL, "exit code 137, expected 0 or 3: it was still running after 1 s and was killed"),
        ],
    )


def test_an_image_that_does_its_work_and_ends(subject: Subjects, plain: Reference) -> None:
    text = "start: {until: {log: ENTRY entry cmd x y}}\nchecks: [{log: ENTRY}, {stop: 1s}]"
    assert [check.verdict for check in checked(subject, plain, text)] == [PASS, PASS, PASS]


def test_a_started_image_without_a_network(subject: Subjects, server: Reference) -> None:
    inside = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8888/').read().decode())"
    text = f"""
presets: [offline]
start: {{until: {{health: healthy}}}}
checks: [{{run: [python3, -c, "{inside}"], stdout: hello}}]
"""
    assert [(check.verdict, check.detail) for check in checked(subject, server, text)] == [(PASS, "")] * 2


def test_a_restart_keeps_what_was_written(subject: Subjects, bare: Reference) -> None:
    text = """
start: {command: [sh, -c, "echo begins; sleep 600"]}
checks:
  - run: touch /left
  - {log: "(?s)begins.*begins", name: begun twice}
  - restart: 1s
  - file: /left
  - {log: "(?s)begins.*begins", within: 10s}
"""
    judge(
        checked(subject, bare, text),
        [
            ("start", PASS, ""),
            ("touch /left", PASS, ""),
            ("begun twice", FAIL, "does not match"),
            ("restart", PASS, ""),
            ("file /left", PASS, ""),
            ("log", PASS, ""),
        ],
    )
