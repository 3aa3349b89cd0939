"""dsci beside container-structure-test on one file of a hundred tests: fifty commands, fifty files.

    python benchmarks/suites.py --oracle PROGRAM [--rounds N]

Both run it in the same image of the same engine. What a command costs beside `docker exec` of the same command in a
container that goes on is told too, and the same file without its commands.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from measure import environment, rounds

_COUNT = 50
_IMAGE = "FROM debian:bookworm-slim\nRUN " + " && ".join(f"echo {n} > /file-{n}" for n in range(_COUNT)) + "\n"


def _file(commands: int, files: int) -> str:
    """The tests, as JSON, which is YAML."""
    return json.dumps(
        {
            "schemaVersion": "2.0.0",
            "commandTests": [
                {"name": f"c{n}", "command": "cat", "args": [f"/file-{n}"], "expectedOutput": [f"^{n}$|^{n}\\n"]}
                for n in range(commands)
            ],
            "fileExistenceTests": [
                {"name": f"e{n}", "path": f"/file-{n}", "permissions": "-rw-r--r--"} for n in range(files // 2)
            ],
            "fileContentTests": [
                {"name": f"f{n}", "path": f"/file-{n}", "expectedContents": [f"{n}"]} for n in range(files - files // 2)
            ],
        }
    )


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--oracle", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    image = f"bench-suites-{uuid.uuid4().hex[:8]}:x"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Dockerfile").write_text(_IMAGE)
        for title, commands, files in (("whole", _COUNT, _COUNT), ("files", 0, _COUNT), ("none", 0, 1)):
            (folder / f"{title}.yaml").write_text(_file(commands, files))
        env = environment(XDG_STATE_HOME=str(folder / "state"))
        subprocess.run(["docker", "build", "-q", "-t", image, name], check=True, capture_output=True, env=env)
        made = ["docker", "run", "-d", image, "sleep", "infinity"]
        container = subprocess.run(made, check=True, capture_output=True, text=True, env=env).stdout.strip()
        try:
            ours = [sys.executable, "-m", "dsci", "test", "--image", image, "--config"]
            each = f"for n in $(seq 0 {_COUNT - 1}); do docker exec {container} cat /file-$n; done"
            found = rounds(
                {
                    "dsci test, 50 commands, 50 files": ([*ours, "whole.yaml"], folder),
                    "container-structure-test": (
                        [options.oracle, "test", "--image", image, "--config", "whole.yaml"],
                        folder,
                    ),
                    "dsci test, 50 files": ([*ours, "files.yaml"], folder),
                    "dsci test, 1 file": ([*ours, "none.yaml"], folder),
                    "docker exec, 50 times": (["sh", "-c", each], folder),
                },
                options.rounds,
                env=env,
                slow=60,
            )
        finally:
            subprocess.run(["docker", "rm", "-f", container], check=True, capture_output=True, env=env)
            subprocess.run(["docker", "rmi", "-f", image], check=True, capture_output=True, env=env)
    print(f"One file of 100 tests; medians of {options.rounds}\n")
    for title, series in found.items():
        once = "  (once)" if len(series.wall) == 1 else ""
        print(f"  {title:36} {series.median:8.2f} s  {series.work:6.2f} CPU-s of the client{once}")
    whole, theirs, files, one, execs = (series.median for series in found.values())
    print(f"\n  dsci takes 1/{theirs / whole:.0f} of the time")
    print(f"  a command: {(whole - files) / _COUNT * 1000:.0f} ms; docker exec: {execs / _COUNT * 1000:.0f} ms")
    print(f"  a file: {(files - one) / (_COUNT - 1) * 1000:.1f} ms")


if __name__ == "__main__":
    main()
