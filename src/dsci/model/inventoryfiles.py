"""Which files of an image tell what is in it, and what reads each of them.

A file is known by its path alone, looked up by its name first: a layer may have a million. Readers take the path and
the content, and give what the file says, or None where it cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from dsci.model import jupyterfiles, languagefiles, packagefiles, rpmdatabase
from dsci.model.inventory import Fact

Read = Callable[[str, bytes], tuple[Fact, ...] | None]

#: The most that one such file may have, in bytes: conda lists every file of a package, dpkg and rpm every package.
LIMIT, RPM_LIMIT, SMALL_LIMIT = 64 << 20, 256 << 20, 1 << 20


class Source(NamedTuple):
    """A file that tells what is in an image."""

    read: Read
    limit: int = SMALL_LIMIT
    """The most bytes that are read."""
    of_packages: bool = True
    """Whether it tells of packages, so that it has to be said where it was not read."""
    cached: bool = False
    """Whether it lies in conda's store of unpacked packages: it counts only where a hard link leads to it."""


def source(path: str) -> Source | None:
    """What reads the file of this path, from the root without a slash before it; None for one that tells nothing."""
    name = path.rpartition("/")[2]
    for pattern, found in _BY_NAME.get(name, ()):
        if pattern.search(path):
            return _placed(path, found)
    if name.endswith(".json"):
        return _CONDA if _CONDA_RECORD.search(path) else None
    if name.endswith(".egg-info"):
        return _placed(path, _PYTHON) if "/" in path else None
    if path.startswith("var/lib/dpkg/status.d/"):
        return None if name.endswith(".md5sums") else _DPKG
    return None


def _placed(path: str, found: Source) -> Source:
    return found._replace(cached=True) if "/pkgs/" in path else found


def _text(read: Callable[[str], Iterable[Fact]], limit: int = LIMIT) -> Source:
    return Source(lambda _, content: tuple(read(content.decode(errors="replace"))), limit)


def _small(read: Callable[[str, str], Iterable[Fact]]) -> Source:
    return Source(lambda path, content: tuple(read(path, content.decode(errors="replace"))), of_packages=False)


_DPKG, _APK, _R = (_text(read) for read in (packagefiles.dpkg, packagefiles.apk, packagefiles.r))
_PYTHON, _CONDA = _text(packagefiles.python), _text(packagefiles.conda)
_SYSTEM = _text(packagefiles.system, SMALL_LIMIT)
_RPM = Source(lambda _, content: rpmdatabase.packages(content), RPM_LIMIT)
#: rpm's older databases (Berkeley DB, ndb); and changes to the newer one that were never written to it, if there are.
_UNKNOWN = Source(lambda _, content: None if content else (), 1)
_CONDA_RECORD = re.compile(r"(\A|/)conda-meta/[^/]+\.json\Z")
_RPM_FOLDER = re.compile(r"(\A|/)(usr/lib/sysimage|var/lib)/rpm/[^/]+\Z")
_ANY = re.compile("")


def _at(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern + r"\Z")


_BY_NAME: dict[str, tuple[tuple[re.Pattern[str], Source], ...]] = {
    "os-release": ((_at(r"\A(etc|usr/lib)/os-release"), _SYSTEM),),
    "status": ((_at(r"\Avar/lib/dpkg/status"), _DPKG),),
    "installed": ((_at(r"\A(usr/)?lib/apk/db/installed"), _APK),),
    "rpmdb.sqlite": ((_RPM_FOLDER, _RPM),),
    **dict.fromkeys(("rpmdb.sqlite-wal", "Packages", "Packages.db"), ((_RPM_FOLDER, _UNKNOWN),)),
    "METADATA": ((_at(r"/[^/]+\.dist-info/METADATA"), _PYTHON),),
    "INSTALLER": ((_at(r"/[^/]+\.dist-info/INSTALLER"), _text(packagefiles.installer, SMALL_LIMIT)),),
    "direct_url.json": ((_at(r"/[^/]+\.dist-info/direct_url\.json"), _text(packagefiles.direct_url, SMALL_LIMIT)),),
    "PKG-INFO": ((_at(r"/[^/]+\.egg-info/PKG-INFO"), _PYTHON),),
    "DESCRIPTION": ((_at(r"/[^/]+/DESCRIPTION"), _R),),
    "kernel.json": ((_at(r"(\A|/)share/jupyter/kernels/[^/]+/kernel\.json"), _small(jupyterfiles.kernel)),),
    "package.json": (
        (_at(r"(\A|/)share/jupyter/labextensions/(@[^/]+/)?[^/@]+/package\.json"), _small(jupyterfiles.extension)),
    ),
    "pyvenv.cfg": ((_ANY, _small(languagefiles.pyvenv)),),
    # A distribution's own Python is its package manager's to tell: its library and headers come without it, too.
    "os.py": ((_at(r"(\A|/)(?<!\Ausr/)lib/python\d\.\d+/os\.py"), _small(languagefiles.python_library)),),
    "patchlevel.h": (
        (_at(r"(\A|/)(?<!\Ausr/)include/python\d\.\d+\w*/patchlevel\.h"), _small(languagefiles.python_header)),
    ),
    "julia_version.h": ((_at(r"(\A|/)include/julia/julia_version\.h"), _small(languagefiles.julia_header)),),
    "node_version.h": ((_at(r"(\A|/)(?<!\Ausr/)include/node/node_version\.h"), _small(languagefiles.node_header)),),
    "cudnn_version.h": ((_at(r"(\A|/)include/(.+/)?cudnn_version\.h"), _small(languagefiles.cudnn_header)),),
    "release": ((_ANY, _small(languagefiles.java_release)),),
    "version.json": ((_at(r"(\A|/)cuda[^/]*/version\.json"), _small(languagefiles.cuda_json)),),
    "version.txt": ((_at(r"(\A|/)cuda[^/]*/version\.txt"), _small(languagefiles.cuda_text)),),
}
