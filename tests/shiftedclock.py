"""Another day for the steps of a build: a runc that hands every process a clock that is ahead.

No clock of the machine is touched. The engine is given a `runc` of ours, found first on its PATH, that adds libfaketime
to each container on its way to the real one. What a step asks of the C library about the time is then another day's:
`date`, apt, dpkg, useradd, Python, pip, R. What the kernel writes on its own (times of files) is the machine's.

Source: https://github.com/wolfcw/libfaketime
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

#: The library comes from the distribution of the images that it is put into: it must suit their C library.
_DOCKERFILE = b"""\
FROM debian:bookworm-slim AS debian
RUN apt-get update && apt-get install --yes --no-install-recommends libfaketime
RUN cp /usr/lib/*/faketime/libfaketimeMT.so.1 /faketime.so
FROM scratch
COPY --from=debian /faketime.so /
"""
_RUNC = """\
#!/usr/bin/env python3
import json, os, sys
arguments = sys.argv[1:]
if "create" in arguments or "run" in arguments:
    path = os.path.join(arguments[arguments.index("--bundle") + 1], "config.json")
    with open(path) as file:
        config = json.load(file)
    config["mounts"].append(
        {{"destination": "/dev/faketime.so", "type": "bind", "source": {library!r}, "options": ["bind", "ro"]}}
    )
    config["process"]["env"] += ["LD_PRELOAD=/dev/faketime.so", "FAKETIME={ahead}", "NO_FAKE_STAT=1"]
    config["process"]["env"] += ["FAKETIME_DONT_FAKE_MONOTONIC=1"]
    with open(path, "w") as file:
        json.dump(config, file)
os.execv({runc!r}, ["runc", *arguments])
"""


def runc_ahead(folder: Path, ahead: str) -> Path:
    """A folder for PATH with a runc whose containers are ahead, by `+30h` or the like."""
    runc = shutil.which("runc")
    assert runc, "runc is not on PATH, where dockerd would find it"
    output = f"--output=type=local,dest={folder}"
    subprocess.run(["docker", "buildx", "build", output, "-"], input=_DOCKERFILE, capture_output=True, check=True)
    path = folder / "runc"
    path.write_text(_RUNC.format(library=f"{folder}/faketime.so", ahead=ahead, runc=runc))
    path.chmod(0o755)
    return folder
