"""How long the next version of every image takes, beside one pass of `git log` and beside other tools for one image.

    python benchmarks/versions.py [--commits N] [--tags N] [--images N] [--peers FOLDER] [--rounds N]

Everything is measured side by side in one run, cold in the sense that every round is a new process and dsci keeps
nothing on disk. Ratios of medians are what counts: machines are noisy.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from history import generate

_LOG = ["git", "log", "-z", "--format=%H%x00%P%x00%ct%x00%B%x00", "--name-only", "--no-renames", "HEAD"]


def timed(argv: Sequence[str], folder: Path, limit: float) -> float | None:
    """Seconds that a command takes; None when it takes longer than `limit`."""
    began = time.monotonic()
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "TERM": "dumb"}
    try:
        subprocess.run(
            argv,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return time.monotonic() - began


def peak(argv: Sequence[str], folder: Path) -> float:
    """The most memory that a command (without its children) holds, in MiB."""
    code = (
        "import resource, subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL);"
        "_, _, usage = __import__('os').wait4(p.pid, 0); print(usage.ru_maxrss)"
    )
    ended = subprocess.run([sys.executable, "-c", code, *argv], cwd=folder, capture_output=True, text=True, check=True)
    return int(ended.stdout) / 1024


def peers(programs: Path, scratch: Path) -> dict[str, list[str]]:
    """Commands that ask for the next version of one image."""
    cliff, semantic = scratch / "cliff.toml", scratch / "semantic.toml"
    cliff.write_text(
        '[git]\nconventional_commits = true\nfilter_unconventional = true\ntag_pattern = "^image-001-v[0-9]"\n'
    )
    semantic.write_text(
        '[semantic_release]\nallow_zero_version = true\ntag_format = "image-001-v{version}"\n'
        'commit_parser = "conventional-monorepo"\n[semantic_release.commit_parser_options]\n'
        'path_filters = ["images/image-001"]\n[semantic_release.branches.any]\nmatch = ".*"\n'
        '[semantic_release.remote]\ntype = "github"\nurl = "https://example.org/a/b.git"\n'
    )
    return {
        "git-cliff, 1 image": [
            str(programs / "git-cliff"),
            "--config",
            str(cliff),
            "--bumped-version",
            "--include-path",
            "images/image-001/**",
        ],
        "python-semantic-release, 1 image": [
            str(programs / "semantic-release"),
            "-c",
            str(semantic),
            "--noop",
            "version",
            "--print",
        ],
    }


def main() -> None:
    """Generate, measure, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--commits", type=int, default=5000)
    parser.add_argument("--tags", type=int, default=1000)
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds that another tool may take")
    parser.add_argument("--peers", type=Path, help="a folder that holds git-cliff and semantic-release")
    options = parser.parse_args()
    dsci = [sys.executable, "-m", "dsci", "version"]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        print(f"{options.commits} commits, {options.tags} tags, {options.images} images; medians of {options.rounds}")
        for what, released in (
            ("one image never released: all of history counts", False),
            ("all released lately", True),
        ):
            folder = scratch / f"released-{released}"
            generate(folder, commits=options.commits, tags=options.tags, images=options.images, released=released)
            commands = {"git log --name-only, all of history": _LOG, "dsci version, all images": dsci}
            commands["dsci start-up"] = [sys.executable, "-m", "dsci", "schema"]
            if options.peers:
                commands |= peers(options.peers.resolve(), scratch)
            print(f"\n{what}")
            medians: dict[str, float] = {}
            slow: set[str] = set()
            times: dict[str, list[float]] = {title: [] for title in commands}
            for _ in range(options.rounds):
                for title, argv in commands.items():
                    if title in slow:
                        continue
                    seconds = timed(argv, folder, options.limit)
                    if seconds is None or seconds > 20:
                        slow.add(title)
                    if seconds is not None:
                        times[title].append(seconds)
            for title, found in times.items():
                medians[title] = statistics.median(found) if found else float("inf")
                print(f"  {title:40} {medians[title]:8.3f} s  {'(once)' if title in slow else ''}")
            log, start = medians["git log --name-only, all of history"], medians["dsci start-up"]
            ours = medians["dsci version, all images"]
            print(
                f"  (dsci - start-up) / git log: {(ours - start) / log:.2f}; peak memory {peak(dsci, folder):.0f} MiB"
            )
            for title, seconds in medians.items():
                if "1 image" in title:
                    print(f"  {title}: {seconds / ours:.1f} times as long as dsci for all images")


if __name__ == "__main__":
    main()
