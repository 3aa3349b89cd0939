"""QEMU for one foreign processor, registered with the kernel for the time of a test, and a program to run with it.

What is registered is the machine's, not a container's: everybody on it can run such programs meanwhile. So it is a
processor that no other test counts on (32-bit ARM), and exactly this entry is taken out again. Nothing is installed:
QEMU and the programs come out of Debian's packages.

Source: https://docs.kernel.org/admin-guide/binfmt-misc.html
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_KERNEL = Path("/proc/sys/fs/binfmt_misc")
_MAGIC = r"\x7f\x45\x4c\x46\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


def unpacked(package: str, architecture: str, folder: Path) -> Path:
    """A folder with what a package of Debian's has in it; apt's own state is left alone."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        pytest.skip(f"{package} is taken from Debian, and there is no apt-get here")
    place = folder / f"{package}-{architecture}"
    for part in ("state/lists/partial", "cache/archives/partial", "files"):
        (place / part).mkdir(parents=True)
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",
        "Dir::State": place / "state",
        "Dir::State::status": os.devnull,
        "Dir::Cache": place / "cache",
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items())]
    # Not every source has every architecture; what matters is whether the package comes.
    subprocess.run([*apt, "update"], check=False, capture_output=True)
    got = subprocess.run([*apt, "download", package], cwd=place, check=False, capture_output=True, text=True)
    found = list(place.glob("*.deb"))
    if not found:
        pytest.skip(f"{package} for {architecture} cannot be had: {got.stderr[-300:]}")
    subprocess.run(["dpkg", "--extract", str(found[0]), str(place / "files")], check=True, capture_output=True)
    return place / "files"


@contextlib.contextmanager
def arm_runs(qemu: Path) -> Iterator[None]:
    """Have 32-bit ARM programs run by this QEMU, in containers too: the kernel keeps the file that it was given."""
    name = f"dsci-test-{os.getpid()}"
    try:
        (_KERNEL / "register").write_text(f":{name}:M::{_MAGIC}:{_MASK}:{qemu}:FC")
    except OSError as error:
        pytest.skip(f"no emulator can be registered with this kernel: {error.strerror}")
    try:
        yield
    finally:
        (_KERNEL / name).write_text("-1")
