"""Pushes images into a layout until it is killed: the victim of test_layout's crash test."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

from images import MemoryImage

from dsci.drivers.layout import LayoutRegistry
from dsci.model.reference import Repository

if __name__ == "__main__":
    registry = LayoutRegistry(Path(sys.argv[1]))
    repository = Repository("dsci.local", "acme/loop")
    print("pushing", flush=True)
    for number in itertools.count():
        registry.push_image(MemoryImage(os.urandom(200_000), b"shared"), repository, f"t{sys.argv[2]}-{number}")
