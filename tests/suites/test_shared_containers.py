"""Commands that share containers: nobody sees what another left, nothing is believed that a container cannot show, and
nothing outlives its time."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from tests import realengine
from tests.suites.conftest import Subjects

from dsci.drivers.engine import DockerEngine
from dsci.drivers.engineexec import CUT
from dsci.drivers.runs import LABEL, Run
from dsci.model.reference import Reference
from dsci.ports import Ran, Special
from dsci.suites import commands
from dsci.suites.commands import Job
from dsci.suites.subject import Subject

pytestmark = pytest.mark.engine


class Counting:
    """An engine that counts the containers that are made."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.made = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def container(self, *given: Any, **more: Any) -> Any:
        self.made += 1
        return self._engine.container(*given, **more)


def counted(subject: Subject) -> tuple[Subject, Counting]:
    engine = Counting(subject.engine)
    return replace(subject, engine=engine), engine  # type: ignore[arg-type]


def job(script: str, *, code: int | None = 0, steps: tuple[tuple[str, ...], ...] = (), **environment: str) -> Job:
    """A shell script that passes when it ends with this code."""
    return Job(
        argv=("sh", "-c", script), environment=environment, passes=lambda ran: ran.exit_code == code, steps=steps
    )


@pytest.fixture
def one_at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(commands, "_AT_ONCE", 1)
    yield


def test_what_leaves_nothing_behind_shares(subject: Subjects, bare: Reference) -> None:
    """What a busy engine lost of the output did not pass, and is run again by itself."""
    made, engine = counted(subject(bare))
    wanted = [
        Job(
            argv=("sh", "-c", f"echo {n} $A; cat /etc/os-release"),
            environment={"A": "x"},
            passes=lambda ran, n=n: ran.stdout.startswith(f"{n} x\n".encode()),  # type: ignore[misc]
        )
        for n in range(20)
    ]
    found = commands.run(made, wanted)
    assert all(each.passes(ran[-1]) for each, ran in zip(wanted, found, strict=True))
    assert engine.made <= 8


#: What one command may leave, and how another would see it. Each passes by itself, the first one and the second.
LEFT = [
    ("echo x > /left", "test ! -e /left"),
    ("touch /tmp/left", "test ! -e /tmp/left"),
    ("rm /etc/issue", "test -e /etc/issue"),
    ("chmod 700 /srv", "test $(stat -c %a /srv) = 755"),
    ("echo x > /dev/shm/left", "test ! -e /dev/shm/left"),
    ("sleep 300 >/dev/null 2>&1 &", "! grep -qs slee[p].300 /proc/[0-9]*/cmdline"),
    ("ln -s /etc /root/left", "test ! -e /root/left"),
    ("cp /bin/true /bin/ls", "ls / | grep etc"),
]


@pytest.mark.parametrize("seed", [1, 2, pytest.param(None, marks=pytest.mark.slow)])
def test_no_order_changes_a_verdict(subject: Subjects, bare: Reference, seed: int | None) -> None:
    order = random.Random(seed)
    for _ in range(1 if seed else 10):
        scripts = [script for pair in LEFT for script in pair]
        order.shuffle(scripts)
        found = commands.run(subject(bare), [job(script) for script in scripts])
        failed = [script for script, ran in zip(scripts, found, strict=True) if ran[-1].exit_code != 0]
        assert failed == [], scripts


#: What a command can see of where and how it runs.
AROUND = r"""
env | sort; id; pwd; umask; ulimit -a; tty; ls -l /proc/self/fd | sed 's/.* \([0-9]* -> \)/\1/; s/[0-9]\{2,\}/N/g'
grep -E '^(Umask|Sig(Blk|Ign|Cgt)|Cap|Seccomp|NoNewPrivs|Groups)' /proc/self/status
cat /proc/self/oom_score_adj /proc/self/cgroup /proc/self/attr/current 2>&1; wc -c </dev/stdin
"""


def test_a_shell_that_goes_on_shows_a_command_what_the_engine_shows_it(subject: Subjects, plain: Reference) -> None:
    made = subject(plain)
    words = ["sh", "-c", AROUND]
    with made.container(entrypoint=[""], command=["sleep", "infinity"], special=Special(watched=False)) as container:
        assert container.start() == ""
        given: dict[str, str] = {"A": "b c", "GREETING": "'own'\n", "EMPTY": ""}
        slow = container.execute(words, given, 30, 1 << 20)
        for _ in range(2):
            quick = container.quickly(words, given, 30, 1 << 20)
            assert quick.stdout.decode().splitlines() == slow.stdout.decode().splitlines()
            assert (quick.exit_code, quick.stderr) == (slow.exit_code, slow.stderr)
        assert b"GREETING='own'\n" in quick.stdout and container.settled()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no-such-program"], "the shell that it ran in says 127"),
        (["/etc/passwd"], "the shell that it ran in says 126"),
        (["sh", "-c", "kill -9 $$"], "the shell that it ran in says 137"),
        (["sh", "-c", "kill -9 $PPID; sleep 5"], "it ended the shell that it ran in"),
    ],
)
def test_what_a_shell_does_not_tell_as_the_engine_does_has_no_exit_code(
    subject: Subjects, bare: Reference, words: list[str], said: str
) -> None:
    with subject(bare).container(entrypoint=[""], command=["sleep", "infinity"]) as container:
        assert container.start() == ""
        ran = container.quickly(words, {}, 30, 1 << 20)
        assert (ran.exit_code, ran.reason) == (None, said)
        assert container.settled() is ("ended" not in said)


def test_bytes_and_streams_come_through_a_shell_as_they_are(subject: Subjects, bare: Reference) -> None:
    with subject(bare).container(entrypoint=[""], command=["sleep", "infinity"]) as container:
        assert container.start() == ""
        script = "printf 'a\\0\\377\\n\\n'; printf 'no end' >&2; cat; exit 3"
        for _ in range(3):
            ran = container.quickly(["sh", "-c", script], {}, 30, 1 << 20)
            assert (ran.exit_code, ran.stdout, ran.stderr) == (3, b"a\0\xff\n\n", b"no end")
        assert container.quickly(["printf", "%s|", "a b", "", "$x", "'", "ä\n"], {}, 30, 99).stdout == (
            "a b||$x|'|ä\n|".encode()
        )
        assert container.quickly(["sh", "-c", "seq 100000"], {}, 30, 1000).reason == CUT


@pytest.mark.usefixtures("one_at_once")
def test_a_container_that_was_touched_in_the_end_tells_nothing(subject: Subjects, bare: Reference) -> None:
    """Nothing shows at once what lies in shared memory; so what passed only because it was there is run again."""
    made, engine = counted(subject(bare))
    found = commands.run(made, [job("touch /dev/shm/left"), job("test -e /dev/shm/left"), job("true")])
    assert [ran[-1].exit_code for ran in found] == [0, 1, 0]
    assert engine.made == 4  # the shared one, and one for each that was not believed


@pytest.mark.usefixtures("one_at_once")
def test_what_fails_in_a_shared_container_is_run_again_by_itself(subject: Subjects, bare: Reference) -> None:
    made, engine = counted(subject(bare))
    found = commands.run(made, [job("test $$ = 1"), job("true")])
    assert [ran[-1].exit_code for ran in found] == [0, 0]
    assert engine.made == 2


def test_an_image_that_keeps_nothing_running(subject: Subjects) -> None:
    text = "FROM debian:bookworm-slim\nRUN rm /bin/sleep /usr/bin/tail\n"
    with realengine.image(text) as image:
        found = commands.run(subject(image), [job("echo a"), job("echo b"), job("true", steps=(("true",),))])
    assert [ran[-1].stdout for ran in found[:2]] == [b"a\n", b"b\n"]
    assert found[2][-1].exit_code is None and "keeps a container running" in found[2][-1].reason


@pytest.mark.usefixtures("one_at_once")
def test_an_image_with_volumes_shares_nothing(subject: Subjects, plain: Reference) -> None:
    """The engine does not compare what lies in a volume."""
    made, engine = counted(subject(plain))
    commands.run(made, [job("true"), job("true")])
    assert engine.made == 2


@pytest.mark.usefixtures("one_at_once")
def test_special_containers_are_nobody_elses(subject: Subjects, bare: Reference) -> None:
    made, engine = counted(subject(bare))
    found = commands.run(made, [job("id -u"), job("id -u")], Special(user="123"))
    assert [ran[-1].stdout for ran in found] == [b"123\n", b"123\n"] and engine.made == 2


def test_steps_come_first_and_their_processes_go(subject: Subjects, bare: Reference) -> None:
    steps = (("sh", "-c", "echo $A > /set; sleep 300 &"), ("sh", "-c", "echo two >> /set; exit 7"))
    wanted = Job(
        argv=("sh", "-c", "cat /set; echo $A; set -- /proc/[0-9]*; echo $#"),
        environment={"A": "own"},
        passes=lambda ran: True,
        steps=steps,
        around={"A": "around"},
    )
    (ran,) = commands.run(subject(bare), [wanted])
    assert [each.exit_code for each in ran] == [0, 7, 0]
    # The idle process and the shell.
    assert ran[-1].stdout == b"around\ntwo\nown\n2\n"


@pytest.mark.usefixtures("one_at_once")
@pytest.mark.parametrize(
    "script", ["sleep 300", "trap '' TERM; while :; do sleep 1; done", "yes", "(sleep 300 &) ; sleep 300"]
)
def test_what_does_not_end_is_ended(
    subject: Subjects, bare: Reference, run: Run, engine: DockerEngine, script: str
) -> None:
    began = time.monotonic()
    late, after = commands.run(subject(bare, timeout=2), [job(script), job("echo after")])
    assert late[-1].exit_code is None and late[-1].limit == "time"
    assert (
        late[-1].reason == "still running when the check's 2s were over, so it was killed: raise suites.check_timeout"
    )
    assert after[-1].stdout == b"after\n"
    assert len(late[-1].stdout) <= commands.OUTPUT_LIMIT
    assert time.monotonic() - began < 30
    engine.collect(wait=True)
    assert realengine.containers(f"{LABEL}={run.id}") == set()


@pytest.mark.usefixtures("one_at_once")
def test_only_the_end_of_much_output_is_kept(subject: Subjects, bare: Reference) -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' a; echo end; echo err >&2"
    (ran,) = commands.run(subject(bare), [job(script)])
    assert ran[-1].exit_code == 0 and ran[-1].stdout.endswith(b"aend\n") and ran[-1].stderr == b"err\n"
    assert len(ran[-1].stdout) == commands.OUTPUT_LIMIT and "more than is kept" in ran[-1].reason


@pytest.mark.usefixtures("one_at_once")
def test_what_cannot_be_started_says_so(subject: Subjects, bare: Reference) -> None:
    wanted = Job(argv=("no-such-program",), environment={}, passes=lambda ran: ran.exit_code == 127)
    (ran,) = commands.run(subject(bare), [wanted])
    assert ran[-1].exit_code is None and "no-such-program" in ran[-1].reason


def test_bytes_come_as_they_are(subject: Subjects, bare: Reference) -> None:
    def passes(ran: Ran) -> bool:
        return ran.exit_code == 0

    wanted = Job(argv=("printf", r"caf\351\n\001"), environment={}, passes=passes)
    (ran,) = commands.run(subject(bare), [wanted])
    assert ran[-1].stdout == b"caf\xe9\n\x01"
