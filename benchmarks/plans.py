"""How long a plan takes without an engine, by the number of images and of commits; and the bare start of dsci.

    python benchmarks/plans.py [--rounds N] [--images N...] [--commits N...]

The engine's address leads nowhere: a plan that asked for it would fail.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from history import generate
from measure import environment, peak, rounds

_PLAN = ["-m", "dsci", "plan", "--offline"]


def main() -> None:
    """Generate, measure, print tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--commits", type=int, nargs="*", default=[500, 5000, 50000])
    options = parser.parse_args()
    nowhere = environment(DOCKER_HOST="unix:///nowhere/docker.sock")
    with tempfile.TemporaryDirectory() as name:
        shapes = [(images, 5000) for images in options.images] + [(100, commits) for commits in options.commits]
        print(f"dsci plan --offline, cold; medians of {options.rounds}\n")
        print("    images   commits   wall s   cpu s     MiB")
        for images, commits in dict.fromkeys(shapes):
            folder = Path(name) / f"{images}-{commits}"
            generate(folder, commits=commits, tags=max(images, commits // 5), images=images)
            found = rounds({"plan": ([sys.executable, *_PLAN], folder)}, options.rounds, env=nowhere)["plan"]
            memory = peak(_PLAN[2:], folder, nowhere)
            print(f"  {images:8} {commits:9} {found.median:8.2f} {found.work:7.2f} {memory:7.0f}", flush=True)
        bare = {
            "python -c pass": ([sys.executable, "-c", "pass"], Path(name)),
            "dsci --version": ([sys.executable, "-m", "dsci", "--version"], Path(name)),
        }
        starts = rounds(bare, 4 * options.rounds)
        print()
        for title, series in starts.items():
            print(f"  {title:16} {series.median * 1000:6.0f} ms")
        python, dsci = (series.median * 1000 for series in starts.values())
        print(f"  dsci --version: {dsci / python:.1f} × bare Python; {dsci - 2 * python:+.0f} ms beside twice that")


if __name__ == "__main__":
    main()
