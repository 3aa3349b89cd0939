"""A program in the terminal of dsci itself: who hears what is typed, and what is left when dsci is ended."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from dsci.drivers import process
from dsci.errors import BuilderError

#: As dsci is: a first signal ends it like an exception.
CALLER = """\
import signal, sys
from dsci.drivers import process

def stop(number, frame):
    sys.exit(100 + number)

signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
sys.exit(process.foreground(["sh", "-c", sys.argv[1]]))
"""


def test_what_is_typed_is_the_program_s() -> None:
    """Ctrl-C reaches both; the program says how it ends."""
    script = "trap 'echo caught; exit 8' INT; echo begun; while :; do sleep 0.1; done"
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", CALLER, script])
    try:
        seen = b""
        while b"begun" not in seen:
            seen += os.read(terminal, 1024)
        os.write(terminal, b"\x03")
        while b"caught" not in seen:
            seen += os.read(terminal, 1024)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 8
    finally:
        os.close(terminal)


def test_a_program_that_does_not_heed_goes_with_its_caller() -> None:
    script = "trap '' TERM; echo $$; while :; do sleep 0.1; done"
    caller = subprocess.Popen([sys.executable, "-c", CALLER, script], stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    own = int(caller.stdout.readline())
    began = time.monotonic()
    caller.send_signal(signal.SIGTERM)
    assert caller.wait(30) == 100 + signal.SIGTERM
    assert time.monotonic() - began < 20
    with pytest.raises(ProcessLookupError):
        os.kill(own, 0)


def test_who_is_ended_while_it_is_being_started_takes_it_along() -> None:
    """The program ends its caller itself, with the first thing that it does."""
    script = "trap '' TERM; kill -TERM $PPID; echo $$; while :; do sleep 0.1; done"
    for _ in range(2):
        caller = subprocess.Popen([sys.executable, "-c", CALLER, script], stdout=subprocess.PIPE, text=True)
        assert caller.stdout is not None
        own = int(caller.stdout.readline())
        assert caller.wait(30) == 100 + signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            os.kill(own, 0)


def test_its_exit_code_is_given_and_what_is_not_there_is_named() -> None:
    heard = signal.getsignal(signal.SIGINT)
    assert process.foreground(["sh", "-c", "exit 7"]) == 7
    assert process.foreground(["sh", "-c", 'test "$X" = y'], env={**os.environ, "X": "y"}) == 0
    with pytest.raises(BuilderError, match="no-such-program is not on PATH"):
        process.foreground(["no-such-program"])
    with pytest.raises(BuilderError, match="cannot run /: Permission denied"):
        process.foreground(["/"])
    # Signals are heard again afterwards.
    assert signal.getsignal(signal.SIGINT) is heard
