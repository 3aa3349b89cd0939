"""The one door to other programs: an argument list goes in, bytes and an exit code come out.

There is no shell here and no string is split into words. A program that runs too long is ended together with whatever
it started. What its output means is for the caller to say, and so is whether any of it may be shown.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from dsci.errors import BuilderError, DsciError

_CHUNK = 1 << 18
#: What a pipe is asked to hold, in bytes, so that a program need not wait while nobody reads: as much as Linux gives
#: to everybody (/proc/sys/fs/pipe-max-size). Other systems give what they give.
_PIPE = 1 << 20
#: How long a program in the foreground may take to end when it is asked to, in seconds.
_PATIENCE = 2.0
#: How much is kept of what a program says beside its output, in bytes.
_SAID = 1 << 16


class Completed(NamedTuple):
    """A program that ended by itself. Its output stays out of the repr: it may hold a secret."""

    returncode: int
    stdout: bytes
    stderr: bytes

    def __repr__(self) -> str:
        return f"Completed(returncode={self.returncode})"


class Begun:
    """A program that runs while something else is done."""

    def __init__(self, argv: Sequence[str], process: subprocess.Popen[bytes], kind: type[DsciError], hint: str) -> None:
        self._name, self._process, self._kind, self._hint = argv[0], process, kind, hint
        self._ended: Completed | None = None

    def end(self, *, timeout: float, stdin: bytes | None = None) -> Completed:
        """What it gave, once it has ended; as often as it is asked. Raises as `run` does."""
        if self._ended is not None:
            return self._ended
        try:
            stdout, stderr = self._process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            self.stop()
            raise self._late(timeout) from None
        except BaseException:
            self.stop()
            raise
        self._ended = Completed(returncode=self._process.returncode, stdout=stdout, stderr=stderr)
        return self._ended

    def records(self, mark: bytes, *, timeout: float) -> Iterator[bytes]:
        """What it prints behind each `mark`, piece by piece while it still runs. Raises as `run` does.

        A program that fails raises too, with the end of what it said, after the last whole piece.
        """
        said = bytearray()
        try:
            yield from _split(_read(self._process, said, time.monotonic() + timeout), mark)
        except TimeoutError:
            self.stop()
            raise self._late(timeout) from None
        except BaseException:
            self.stop()
            raise
        _close(self._process)
        if self._process.returncode:
            text = said.decode(errors="replace").strip()[-1000:]
            raise self._kind(f"{self._name} failed: {text}", hint=self._hint)

    def tail(self, limit: int, *, timeout: float) -> tuple[int | None, bytes, bytes]:
        """Its exit code, and the ends of its output and of what it said beside: `limit` bytes, and 64 KiB.

        There is no exit code where it was ended after `timeout` seconds.
        """
        kept, said = bytearray(), bytearray()
        try:
            for chunk in _read(self._process, said, time.monotonic() + timeout):
                kept += chunk
                del kept[:-limit]
        except TimeoutError:
            self.stop()
            return None, bytes(kept), bytes(said)
        except BaseException:
            self.stop()
            raise
        _close(self._process)
        return self._process.returncode, bytes(kept), bytes(said)

    def kill(self) -> None:
        """Kill it and its children, from wherever; whoever waits for it sees it ended."""
        _kill(self._process)

    def _late(self, timeout: float) -> DsciError:
        return self._kind(f"{self._name} did not finish within {timeout:g} s and was ended", hint=self._hint)

    def stop(self) -> None:
        """End it and its children, if it has not ended: nobody wants to know any more."""
        if self._process.returncode is None:
            end(self._process)


class Dialogue:
    """A program that is asked and answers, as often as one likes. What it says beside is heard by nobody."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        kind: type[DsciError] = BuilderError,
        hint: str = "",
    ) -> None:
        """Start it. Raises `kind`."""
        self._process = _start(argv, True, subprocess.DEVNULL, env, cwd, kind, hint)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._ask, self.answers = self._process.stdin, self._process.stdout

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ask(self, question: bytes) -> None:
        """Tell it something. One that has ended hears nothing, and gives no answer."""
        with contextlib.suppress(BrokenPipeError):
            self._ask.write(question)
            self._ask.flush()

    def stop(self) -> None:
        """End it."""
        if self._process.returncode is None:
            end(self._process)


def begin(
    argv: Sequence[str],
    *,
    talks: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    kind: type[DsciError] = BuilderError,
    hint: str = "",
) -> Begun:
    """Start a program; whether it `talks` is whether it will be given something to read. Raises `kind`."""
    return Begun(argv, _start(argv, talks, subprocess.PIPE, env, cwd, kind, hint), kind, hint)


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    kind: type[DsciError] = BuilderError,
    hint: str = "",
) -> Completed:
    """Run a program to its end. Raises `kind` when it is not there, may not be run or outlives `timeout` seconds.

    `env` replaces the whole environment; None inherits it. Without `stdin` the program reads an empty one.
    """
    begun = begin(argv, talks=stdin is not None, env=env, cwd=cwd, kind=kind, hint=hint)
    return begun.end(timeout=timeout, stdin=stdin)


def foreground(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    kind: type[DsciError] = BuilderError,
    hint: str = "",
) -> int:
    """Run a program in this terminal, with its input and output, as long as it likes; gives its exit code.

    What a person sends from the keyboard goes to it and is not heard here; it ends when this process is ended. Raises
    `kind` when it is not there or may not be run.
    """
    told: list[int] = []
    # Handlers of ours, and nothing ignored or blocked: that the program would inherit. Whoever ends us while it is
    # being started is heard once it is known whom to end.
    typed = signal.signal(signal.SIGINT, lambda *_: None)
    ended = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        process = subprocess.Popen(list(argv), env=None if env is None else dict(env))
        try:
            signal.signal(signal.SIGTERM, ended)
            if told:
                signal.raise_signal(signal.SIGTERM)
            return process.wait()
        except BaseException:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise
    except FileNotFoundError:
        raise kind(f"{argv[0]} is not on PATH", hint=hint) from None
    except OSError as error:
        raise kind(f"cannot run {argv[0]}: {error.strerror}", hint=hint) from None
    finally:
        signal.signal(signal.SIGTERM, ended)
        signal.signal(signal.SIGINT, typed)


def _read(process: subprocess.Popen[bytes], said: bytearray, deadline: float) -> Iterator[bytes]:
    """A program's output as it comes; `said` keeps the end of what it says beside. Raises TimeoutError."""
    assert process.stdout is not None and process.stderr is not None
    out, beside = process.stdout.fileno(), process.stderr.fileno()
    os.set_blocking(beside, False)
    with selectors.DefaultSelector() as waiting:
        for pipe in (out, beside):
            waiting.register(pipe, selectors.EVENT_READ)
        while out in waiting.get_map():
            ready = waiting.select(deadline - time.monotonic())
            if not ready:
                raise TimeoutError
            for pipe in sorted(key.fd for key, _ in ready):
                chunk = os.read(pipe, _CHUNK)
                if not chunk:
                    waiting.unregister(pipe)
                elif pipe == out:
                    yield chunk
                else:
                    said += chunk
                    del said[:-_SAID]
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    # Whatever it started may hold the pipe open still: what is there is all that is waited for.
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(beside, _CHUNK):
            said += chunk
            del said[:-_SAID]


def _split(chunks: Iterator[bytes], mark: bytes) -> Iterator[bytes]:
    """The pieces of an output; what stands before the first mark is none."""
    rest, first = bytearray(), True
    for chunk in chunks:
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
    cwd: str | os.PathLike[str] | None,
    kind: type[DsciError],
    hint: str,
) -> subprocess.Popen[bytes]:
    """Start a program, in a session of its own."""
    name = argv[0]
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    except FileNotFoundError:
        from pathlib import Path

        if cwd is not None and not Path(cwd).is_dir():
            raise kind(f"cannot run {name} in {cwd}: there is no such folder") from None
        raise kind(f"{name} is not on PATH", hint=hint or f"install {name}, or put its folder on PATH") from None
    except OSError as error:
        raise kind(f"cannot run {name}: {error.strerror}", hint=hint) from None
    if process.stdout is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE)
    return process


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def end(process: subprocess.Popen[bytes]) -> None:
    """End the program and its children. A grandchild that holds the pipes open must not hold us too."""
    _kill(process)
    _close(process)
    process.wait()


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
