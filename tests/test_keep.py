"""scripts/lib/keep, which starts the tests' engine again when it died by itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

KEEP = Path(__file__).parents[1] / "scripts" / "lib" / "keep"


def test_a_program_that_died_is_started_again_until_it_dies_too_soon(tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    # The first life lasts long enough, the second does not.
    program = f'echo life >>{lives}; [ "$(wc -l <{lives})" -gt 1 ] || sleep 1.1; exit 7'
    ended = subprocess.run([KEEP, "1", "sh", "-c", program], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 7
    assert lives.read_text() == "life\nlife\n"
    assert [line.split(" after ")[0] for line in ended.stderr.splitlines()] == ["keep: sh died with 7"] * 2


def test_sigterm_that_comes_while_the_program_is_started_is_handed_on(tmp_path: Path) -> None:
    """The program tells its keeper to end, with the first thing that it does: often before the keeper knows its pid."""
    for _ in range(20):
        program = "kill -TERM $PPID; trap 'exit 3' TERM; while :; do sleep 0.05; done"
        ended = subprocess.run([KEEP, "0", "sh", "-c", program], stderr=subprocess.DEVNULL, check=False, timeout=30)
        assert ended.returncode in (3, 143)


def test_sigterm_ends_the_program_its_own_way_and_it_is_not_started_again(tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    program = f"trap 'sleep 0.3; echo gone; exit 3' TERM; echo life >>{lives}; echo up; while :; do sleep 0.05; done"
    keeper = subprocess.Popen(
        [KEEP, "0", "sh", "-c", program], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert keeper.stdout is not None and keeper.stdout.readline() == "up\n"
        keeper.send_signal(signal.SIGTERM)
        assert keeper.communicate(timeout=30)[0] == "gone\n"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(keeper.pid, signal.SIGKILL)
    assert keeper.returncode == 3
    assert lives.read_text() == "life\n"
