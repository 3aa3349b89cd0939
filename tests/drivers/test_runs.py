"""Runs of dsci on one machine: locks that live as long as their process, and folders that dead runs leave behind."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dsci.drivers.runs import Run

CHILD = """\
import os, sys, time
from pathlib import Path
from dsci.drivers.runs import Run
run = Run(Path(sys.argv[1]))
(run.scratch / "half-done").write_text("x")
if len(sys.argv) > 2:
    # What a run starts must not keep its lock alive.
    import subprocess
    subprocess.Popen(["sleep", sys.argv[2]], stdout=subprocess.DEVNULL)
print(run.id, flush=True)
time.sleep(600)
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def mine(state: Path) -> Iterator[Run]:
    run = Run(state)
    yield run
    run.close()


def test_a_run_that_leaves_something_behind_keeps_its_lock(state: Path) -> None:
    """A later run must be able to tell that it is dead, or what it left would stay for ever."""
    clean, untidy = Run(state), Run(state)
    untidy.left_behind = True
    clean.close()
    untidy.close()
    later = Run(state)
    assert later.is_dead(untidy.id) and not later.is_dead(clean.id)
    later.forget_dead()
    assert not later.is_dead(untidy.id)
    later.close()


def start(state: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(state), *arguments], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert child.stdout is not None
    return child, child.stdout.readline().strip()


def kill(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


def test_a_run_has_an_id_a_private_folder_and_a_lock(mine: Run, state: Path) -> None:
    assert re.fullmatch(r"[a-z0-9-]+\.[0-9a-f]{16}", mine.id)
    assert mine.nonce == mine.id.rpartition(".")[2]
    assert mine.scratch.is_dir() and mine.scratch.stat().st_mode & 0o777 == 0o700
    with (state / "runs" / f"{mine.id}.lock").open("rb") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_end_of_a_run_leaves_nothing(state: Path) -> None:
    run = Run(state)
    (run.scratch / "deep").mkdir()
    (run.scratch / "deep" / "file").write_text("x")
    run.close()
    assert list((state / "runs").iterdir()) == []


def test_a_living_run_is_not_dead(mine: Run, state: Path) -> None:
    child, other = start(state)
    try:
        assert not mine.is_dead(other) and not mine.is_dead_nonce(other.rpartition(".")[2])
        mine.sweep()
        mine.forget_dead()
        assert (state / "runs" / other / "half-done").exists()
        assert (state / "runs" / f"{other}.lock").exists()
    finally:
        kill(child)


def test_a_run_that_was_killed_is_dead_and_swept(mine: Run, state: Path) -> None:
    child, other = start(state)
    kill(child)
    assert mine.is_dead(other) and mine.is_dead_nonce(other.rpartition(".")[2])
    mine.sweep()
    assert not (state / "runs" / other).exists()
    # The lock stays until the engine was swept too: it is what says that the run is dead.
    assert mine.is_dead(other)
    mine.forget_dead()
    assert not mine.is_dead(other)
    assert sorted(path.name for path in (state / "runs").iterdir()) == sorted([mine.id, f"{mine.id}.lock"])


def test_a_program_that_a_run_started_does_not_keep_it_alive(mine: Run, state: Path) -> None:
    child, other = start(state, "30")
    try:
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert mine.is_dead(other)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        assert child.stdout is not None
        child.stdout.close()


@pytest.mark.parametrize(
    "stranger",
    [
        "",
        "elsewhere.0123456789abcdef",
        "no-hex.zzzzzzzzzzzzzzzz",
        "../../etc/passwd",
        "{host}.0123456789abcdef",
        "{host}.0123456789abcdef/../x",
        "{host}.0123456789ABCDEF",
        "{host}.0123456789abcdef\n",
    ],
)
def test_ids_of_other_machines_and_no_ids_are_never_judged(mine: Run, state: Path, stranger: str) -> None:
    host = mine.id.rpartition(".")[0]
    stranger = stranger.format(host=host)
    (state / "runs" / "elsewhere.0123456789abcdef.lock").touch()
    assert not mine.is_dead(stranger)


def test_a_run_does_not_judge_itself(mine: Run) -> None:
    assert not mine.is_dead(mine.id)


def test_runs_that_begin_while_others_sweep_keep_their_locks(state: Path) -> None:
    """A sweeper may take the lock file of a run that is just beginning: that run must notice."""
    stop = threading.Event()
    sweeper = Run(state)

    def sweep() -> None:
        while not stop.is_set():
            sweeper.sweep()
            sweeper.forget_dead()

    def live(_: int) -> bool:
        run = Run(state)
        kept = (state / "runs" / f"{run.id}.lock").exists() and run.scratch.is_dir()
        run.close()
        return kept

    threads = [threading.Thread(target=sweep) for _ in range(2)]
    for thread in threads:
        thread.start()
    with ThreadPoolExecutor(4) as pool:
        kept = list(pool.map(live, range(200)))
    stop.set()
    for thread in threads:
        thread.join()
    sweeper.close()
    assert all(kept)
