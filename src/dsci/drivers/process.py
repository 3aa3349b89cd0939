"""The one door to other programs: an argument list goes in, bytes and an exit code come out.

There is no shell here and no string is split into words. A program that runs too long is ended together with whatever
it started. What its output means is for the caller to say, and so is whether any of it may be shown.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from dsci.errors import BuilderError, DsciError

_CHUNK = 1 << 18


class Completed(msgspec.Struct, frozen=True, kw_only=True):
    """A program that ended by itself. Its output stays out of the repr: it may hold a secret."""

    returncode: int
    stdout: bytes
    stderr: bytes

    def __repr__(self) -> str:
        return f"Completed(returncode={self.returncode})"


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    kind: type[DsciError] = BuilderError,
    hint: str = "",
) -> Completed:
    """Run a program to its end. Raises `kind` when it is not there, may not be run or outlives `timeout` seconds.

    `env` replaces the whole environment; None inherits it. Without `stdin` the program reads an empty one.
    """
    process = _start(argv, stdin is not None, subprocess.PIPE, env, cwd, kind, hint)
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        _end(process)
        raise kind(f"{argv[0]} did not finish within {timeout:g} s and was ended", hint=hint) from None
    except BaseException:
        _end(process)
        raise
    return Completed(returncode=process.returncode, stdout=stdout, stderr=stderr)


def records(
    argv: Sequence[str],
    mark: bytes,
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    kind: type[DsciError] = BuilderError,
    hint: str = "",
) -> Iterator[bytes]:
    """What a program prints behind each `mark`, piece by piece while it still runs. Raises `kind` as `run` does.

    A program that fails raises `kind` too, with the end of what it said, after the last whole piece.
    """
    late = threading.Event()
    with tempfile.TemporaryFile() as said:
        process = _start(argv, False, said.fileno(), env, cwd, kind, hint)

        def end_it() -> None:
            late.set()
            _kill(process)

        watchdog = threading.Timer(timeout, end_it)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield from _split(process, mark)
            process.wait()
        except BaseException:
            _end(process)
            raise
        finally:
            watchdog.cancel()
        if late.is_set():
            raise kind(f"{argv[0]} did not finish within {timeout:g} s and was ended", hint=hint)
        if process.returncode:
            said.seek(0)
            raise kind(f"{argv[0]} failed: {said.read().decode(errors='replace').strip()[-1000:]}", hint=hint)


def _split(process: subprocess.Popen[bytes], mark: bytes) -> Iterator[bytes]:
    """The pieces of a program's output; what stands before the first mark is none."""
    assert process.stdout is not None
    rest, first = bytearray(), True
    with process.stdout as out:
        while chunk := out.read1(_CHUNK):  # type: ignore[attr-defined]
            behind = max(0, len(rest) - len(mark) + 1)
            rest += chunk
            if rest.find(mark, behind) < 0:
                continue
            *pieces, last = bytes(rest).split(mark)
            rest = bytearray(last)
            for piece in pieces:
                if not first:
                    yield piece
                first = False
    if not first:
        yield bytes(rest)


def _start(
    argv: Sequence[str],
    talks: bool,
    stderr: int,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    kind: type[DsciError],
    hint: str,
) -> subprocess.Popen[bytes]:
    """Start a program, in a session of its own."""
    name = argv[0]
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    except FileNotFoundError:
        if cwd is not None and not cwd.is_dir():
            raise kind(f"cannot run {name} in {cwd}: there is no such folder") from None
        raise kind(f"{name} is not on PATH", hint=hint or f"install {name}, or put its folder on PATH") from None
    except OSError as error:
        raise kind(f"cannot run {name}: {error.strerror}", hint=hint) from None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and its children. A grandchild that holds the pipes open must not hold us too."""
    _kill(process)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()
