"""pytest and all that it needs, as files that the Python of any image can import from 3.8 on.

They are pure Python and come with dsci, as wheels in `kit/`: what runs is the same whatever dsci itself is installed
with, so a verdict is a matter of the image, the suite and the version of dsci alone.
"""

from __future__ import annotations

import zipfile
from functools import cache
from pathlib import Path

WHEELS = Path(__file__).parent / "kit"


@cache
def files() -> dict[str, bytes]:
    """The files that Python, or a plugin that looks for others, reads, by their paths below a folder of `sys.path`."""
    found: dict[str, bytes] = {}
    for wheel in sorted(WHEELS.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            found |= {name: archive.read(name) for name in archive.namelist() if _matters(name)}
    return found


def _matters(path: str) -> bool:
    return path.endswith((".py", ".dist-info/METADATA", ".dist-info/entry_points.txt"))
