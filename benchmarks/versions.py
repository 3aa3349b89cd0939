"""How long the next version of every image takes, beside one pass of `git log` and beside other tools for one image.

    python benchmarks/versions.py [--commits N] [--tags N] [--images N] [--peers FOLDER] [--rounds N]

Everything is measured side by side in one run, cold in the sense that every round is a new process and dsci keeps
nothing on disk. Ratios of medians are what counts: machines are noisy.
"""

from __future__ import annotations

import argparse
import os
import shutil
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


#: Runs dsci in this process and tells the most memory that it held itself; what Git holds is Git's.
_PEAK = (
    "import atexit, sys; from dsci.cli import main;"
    "atexit.register(lambda: print(*(line for line in open('/proc/self/status') if 'VmHWM' in line), file=sys.stderr));"
    "main()"
)


def peak(folder: Path) -> float:
    """The most memory that `dsci version` holds, its children left out, in MiB."""
    argv = [sys.executable, "-c", _PEAK, "version"]
    ended = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)
    return int(ended.stderr.split("VmHWM:")[1].split()[0]) / 1024


def peers(programs: Path, scratch: Path, image: str) -> dict[str, list[str]]:
    """Commands that ask for the next version of one image."""
    cliff, semantic = scratch / f"{image}-cliff.toml", scratch / f"{image}-semantic.toml"
    cliff.write_text(
        f'[git]\nconventional_commits = true\nfilter_unconventional = true\ntag_pattern = "^{image}-v[0-9]"\n'
        f'[bump]\ninitial_tag = "{image}-v0.1.0"\n'
    )
    semantic.write_text(
        f'[semantic_release]\nallow_zero_version = true\ntag_format = "{image}-v{{version}}"\n'
        'commit_parser = "conventional-monorepo"\n[semantic_release.commit_parser_options]\n'
        f'path_filters = ["images/{image}"]\n[semantic_release.branches.any]\nmatch = ".*"\n'
        '[semantic_release.remote]\ntype = "github"\nurl = "https://example.org/a/b.git"\n'
    )
    scope = ["--include-path", f"images/{image}/**"]
    return {
        "git-cliff, 1 image": [str(programs / "git-cliff"), "--config", str(cliff), "--bumped-version", *scope],
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
            image = f"image-{options.images - 1:03}"
            commands = {"git log --name-only, all of history": _LOG, "dsci version, all images": dsci}
            commands["dsci version, 1 image"] = [*dsci, image]
            commands["dsci start-up"] = [sys.executable, "-m", "dsci", "schema"]
            if options.peers:
                commands |= peers(options.peers.resolve(), scratch, image)
            print(f"\n{what}")
            medians: dict[str, float] = {}
            slow: set[str] = set()
            times: dict[str, list[float]] = {title: [] for title in commands}
            for _ in range(options.rounds):
                for title, argv in commands.items():
                    if title in slow:
                        continue
                    shutil.rmtree(
                        folder / ".git" / "git-cliff-core", ignore_errors=True
                    )  # what git-cliff keeps on disk
                    seconds = timed(argv, folder, options.limit)
                    if seconds is None or seconds > 20:
                        slow.add(title)
                    if seconds is not None:
                        times[title].append(seconds)
            for title, found in times.items():
                medians[title] = statistics.median(found) if found else float("inf")
                print(f"  {title:40} {medians[title]:8.3f} s  {'(once)' if title in slow else ''}")
            log, start = medians["git log --name-only, all of history"], medians["dsci start-up"]
            ours, one = medians["dsci version, all images"], medians["dsci version, 1 image"]
            print(f"  (dsci - start-up) / git log: {(ours - start) / log:.2f}; peak memory {peak(folder):.0f} MiB")
            for title, seconds in medians.items():
                if "1 image" in title and "dsci" not in title:
                    print(f"  {title}: {seconds / one:.1f} times as long as dsci")


if __name__ == "__main__":
    main()
