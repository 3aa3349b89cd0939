"""The one door to other programs: an argument list goes in, bytes and an exit code come out.

There is no shell here and no string is split into words. A program that runs too long is ended together with whatever
it started. What its output means is for the caller to say, and so is whether any of it may be shown.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dsci.errors import BuilderError, DsciError


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A program that ended by itself. Its output stays out of the repr: it may hold a secret."""

    returncode: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)


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
    name = argv[0]
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
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
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        _end(process)
        raise kind(f"{name} did not finish within {timeout:g} s and was ended", hint=hint) from None
    except BaseException:
        _end(process)
        raise
    return Completed(returncode=process.returncode, stdout=stdout, stderr=stderr)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and its children. A grandchild that holds the pipes open must not hold us too."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait()
