"""Why a file of an image is not the same after a rebuild, and what is done about it.

A guess from a file's path, from what of it differs and from the beginnings of both contents; None where there is no
good one. What differs is found by `difference`.

Sources: https://reproducible-builds.org/docs/, https://docs.python.org/3/library/py_compile.html (hash-based .pyc),
https://wiki.debian.org/ReproducibleBuilds/Howto, https://github.com/shadow-maint/shadow/blob/master/lib/gettime.c
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

import msgspec


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A likely cause, in a word, in a sentence, and how it is mended."""

    name: str
    why: str
    fix: str


_DECLARE = "declare `ARG SOURCE_DATE_EPOCH` in the stage, above the step"

PYC = Cause(
    name="pyc",
    why="Python's bytecode records when its source was written",
    fix=f"{_DECLARE}: Python then writes bytecode that records a hash; or `pip install --no-compile`",
)
PYC_PATH = Cause(
    name="pyc",
    why="Python's bytecode was compiled in a folder with a random name, or from another source",
    fix="compile where the files stay (`pip --target` does not), or leave bytecode out: PYTHONDONTWRITEBYTECODE=1",
)
PACKAGES = Cause(
    name="packages",
    why="other packages, or other versions of them, were installed than at the time of the release",
    fix="pin versions with hashes (`pip --require-hashes`, lock files); take apt's packages from snapshot.debian.org",
)
TIMES = Cause(
    name="time",
    why="the time of the build is written into it",
    fix=f"{_DECLARE}, and write that time (`date --date=@$SOURCE_DATE_EPOCH`), or none",
)
ORDER = Cause(
    name="order",
    why="the same items in another order: a folder, a set or parallel work was not sorted",
    fix="sort them (`sort`, `LC_ALL=C`, `PYTHONHASHSEED=0`), or delete the file in the same step",
)
TEMPORARY = Cause(
    name="temporary names",
    why="it holds the name of a temporary folder",
    fix="build in a folder with a name of its own, or delete the file in the same step",
)
RANDOM = Cause(
    name="random",
    why="it holds a random id",
    fix="delete it in the same step, and let it be made when a container starts; seed what draws random numbers",
)
GZIP = Cause(
    name="gzip time",
    why="gzip wrote the time of the build into the file's header",
    fix="compress with `gzip --no-name`",
)
ZIP = Cause(
    name="zip time",
    why="an archive records when its members were written",
    fix=f"{_DECLARE}, touch the members to that time before packing, or unpack it",
)
ARCHIVE = Cause(
    name="archive time",
    why="a static library records times and owners",
    fix="make it with `ar D` (deterministic), or delete what only a compiler needs",
)
COMPILED = Cause(
    name="compiler",
    why="a compiler put a path, a time or a random number into it",
    fix=f"{_DECLARE}; compile with -ffile-prefix-map and -frandom-seed, or install a built package",
)
DATABASE = Cause(
    name="database",
    why="a database records times, and in which order it was filled",
    fix="make it when a container starts, or delete it in the same step",
)
OWNERS = Cause(
    name="owner",
    why="a user or group got another number",
    fix="give numbers: `useradd --uid`, `groupadd --gid`, `COPY --chown=1000:100`",
)
MODES = Cause(
    name="mode",
    why="the step left other permissions",
    fix="set them in the step: `umask 022`, `chmod`, `COPY --chmod`",
)
FILE_TIMES = Cause(
    name="file time",
    why="the step itself set a time that lies before SOURCE_DATE_EPOCH, and another one each time",
    fix="touch the file in the same step; times that lie after it are set back by dsci",
)
LABELS = Cause(
    name="xattrs",
    why="the builder's machine labels files (SELinux, capabilities)",
    fix="build on a machine with the same security modules, or set them in the step (`setcap`)",
)


def _cause(name: str, why: str, fix: str) -> Cause:
    return Cause(name=name, why=why, fix=fix)


def _delete(what: str) -> str:
    return f"delete it in the step that wrote it: `rm -rf {what}`"


#: By path, the first that fits. What is told by contents only is not here.
_PATHS: tuple[tuple[re.Pattern[str], Cause], ...] = tuple(
    (re.compile(pattern), cause)
    for pattern, cause in (
        (
            r"var/log/(apt(/|\Z)|dpkg\.log|alternatives\.log|bootstrap\.log|fontconfig\.log|faillog|lastlog)",
            _cause(
                "apt and dpkg logs",
                "the package manager logs when it did what",
                _delete("/var/log/apt /var/log/dpkg.log /var/log/alternatives.log"),
            ),
        ),
        (
            r"var/log/(yum|dnf|hawkey|zypp|apk)",
            _cause("package logs", "the package manager logs when it did what", _delete("/var/log/*")),
        ),
        (
            r"var/cache/ldconfig(/|\Z)",
            _cause(
                "ldconfig cache",
                "ldconfig's cache records inode numbers and times",
                _delete("/var/cache/ldconfig/aux-cache"),
            ),
        ),
        (
            r"var/(cache/apt|lib/apt/lists)(/|\Z)",
            _cause(
                "apt cache",
                "apt's lists and caches are as new as the last `apt-get update`",
                "`apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin` in the same step",
            ),
        ),
        (
            r"var/cache/debconf/|var/lib/dpkg/.*-old\Z|var/cache/man(/|\Z)|usr/share/info/dir",
            _cause(
                "package caches",
                "copies and indexes that packages leave behind",
                _delete("/var/cache/debconf/*-old /var/lib/dpkg/*-old /var/cache/man"),
            ),
        ),
        (r"var/lib/dpkg/(status|available|info/)|lib/apk/db/|var/lib/rpm/|.*\.dist-info(/METADATA|/?\Z)", PACKAGES),
        (
            r"(.*/)?conda-meta/history\Z",
            _cause(
                "conda history",
                "conda logs when it installed what, in any order",
                "delete conda-meta/history in the step that installs (`: > $CONDA_PREFIX/conda-meta/history`)",
            ),
        ),
        (
            r"(.*/)?(pkgs/(cache|urls)|\.mamba|\.conda)(/|\Z|\.)",
            _cause("conda cache", "conda's caches hold times and URLs", "`conda clean --all --yes` in the same step"),
        ),
        (r"(.*/)?conda-meta/[^/]+\.json\Z", PACKAGES),
        (
            r".*\.dist-info/(RECORD|direct_url\.json|INSTALLER|REQUESTED|uv_cache\.json)\Z",
            _cause(
                "installer records",
                "pip notes hashes of what it compiled, and from which (temporary) folder it installed",
                f"{_DECLARE}; install wheels, not folders; with uv, UV_NO_INSTALLER_METADATA=1",
            ),
        ),
        (
            r"(.*/)?(fontconfig|\.fontconfig|fontlist-v[^/]*\.json|matplotlib)(/|\Z)",
            _cause(
                "font cache",
                "font caches record times of folders, under names made of random ids",
                _delete("/var/cache/fontconfig ~/.cache"),
            ),
        ),
        (
            r"(.*/)?(R|library|site-library)/.*(DESCRIPTION|\.rds|\.rdb|\.rdx)\Z",
            _cause(
                "R packages",
                "R writes `Built:` with the time of the build, and paths, into what it installs",
                "`R CMD INSTALL --built-timestamp=…` (INSTALL_opts in install.packages), or binary packages",
            ),
        ),
        (
            r"etc/machine-id\Z|var/lib/dbus/machine-id\Z|var/lib/systemd/random-seed\Z|etc/ssh/ssh_host_"
            r"|etc/ssl/(private/|certs/ssl-cert-snakeoil)",
            _cause(
                "machine identity",
                "an id or key that was drawn when a package was installed",
                "empty or delete it in the same step: every container of the image would share it",
            ),
        ),
        (
            r"etc/g?shadow-?\Z",
            _cause(
                "password dates",
                "a user's password is dated with the day of the build",
                f"{_DECLARE}: useradd and chpasswd take the day from it",
            ),
        ),
        (
            r"(.*/)?(\.cache|\.npm|_cacache|\.nv|\.julia/logs|\.ipython|\.gnupg|__pycache__\.tmp)(/|\Z)",
            _cause("caches", "a cache that a tool left behind", _delete("~/.cache") + ", or use `--mount=type=cache`"),
        ),
        (
            r"etc/ssl/certs/java/|(.*/)?cacerts\Z|.*\.(jks|p12)\Z",
            _cause("key store", "a key store records when each certificate was added", "make it in a later start"),
        ),
        (
            r"(var/)?tmp(/|\Z)|run(/|\Z)",
            _cause("leftovers", "a temporary file that was left behind", _delete("/tmp/*")),
        ),
    )
)
_PYC = re.compile(r"(.*/)?__pycache__(/.*)?\Z|.*\.pyc\Z")
_MODELS = re.compile(r".*\.(pkl|pickle|joblib|pt|pth|npy|npz|h5|onnx|safetensors|ckpt)\Z")
_SEED = _cause(
    "random seed",
    "what was trained or drawn in the build comes out differently each time",
    "seed every generator (`random_state=0`, PYTHONHASHSEED=0) and use one thread, or copy a trained file in",
)

_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*"
_MONTH = rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_CLOCK = rb"\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[AP]M\b)?(?: ?(?:Z\b|[+-]\d\d:?\d\d|[A-Z]{3,4}\b))?"
_TIME = re.compile(
    rb"|".join(
        (
            rb"\d{4}-\d\d-\d\d(?:[T _]?" + _CLOCK + rb")?",
            rb"(?:" + _DAY + rb",? +)?(?:\d\d? +)?" + _MONTH + rb" +\d{1,4},?(?: +\d{4})?(?: +" + _CLOCK + rb")?"
            rb"(?: +\d{4})?",
            rb"\d{4}/\d\d/\d\d",
            _CLOCK,
            rb"\b20\d{6}(?:T?\d{4,6})?\b",
            rb"\b1[5-9]\d{8}(?:\.\d+|\d{3}|\d{6}|\d{9})?\b",
        )
    )
)
_TEMP = re.compile(rb"/tmp/[\w.+-]+|\b(?:pip|uv|conda|npm)-[\w.]*-[\w-]{6,}|\btmp[a-z0-9_]{8}\b")
_IDS = re.compile(rb"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b|\b[0-9a-fA-F]{16,}\b")
_ITEMS = re.compile(rb"[\s,;\[\]{}()]+")

#: By what both contents begin with.
_MAGIC: tuple[tuple[bytes, Callable[[bytes, bytes], Cause | None]], ...] = (
    (b"\x1f\x8b", lambda old, new: GZIP if old[4:8] != new[4:8] else None),
    (b"PK\x03\x04", lambda old, new: ZIP if old[10:14] != new[10:14] else None),
    (b"!<arch>\n", lambda old, new: ARCHIVE),
    (b"\x7fELF", lambda old, new: COMPILED),
    (b"SQLite format 3\0", lambda old, new: DATABASE),
)
_LIKE: tuple[tuple[re.Pattern[bytes], Cause], ...] = ((_TIME, TIMES), (_TEMP, TEMPORARY), (_IDS, RANDOM))
_FIELDS = (
    ("owner", OWNERS),
    ("names", OWNERS),
    ("mode", MODES),
    ("xattrs", LABELS),
    ("mtime", FILE_TIMES),
)


def cause_of(path: str, fields: Collection[str], old: bytes | None, new: bytes | None) -> Cause | None:
    """The likely cause of a difference: `fields` of the entry, and the beginnings of both contents.

    A content is None where the path is not there, or is no file; a file that is on one side only has no fields.
    """
    if fields and "content" not in fields:
        return next((cause for name, cause in _FIELDS if name in fields), None)
    if _PYC.match(path):
        # https://docs.python.org/3/library/importlib.html: four bytes of magic, then flags; 0 is a recorded time.
        recorded = fields and old and new and (old[4:8] == bytes(4) or new[4:8] == bytes(4))
        return PYC_PATH if fields and not recorded else PYC
    known = next((cause for pattern, cause in _PATHS if pattern.match(path)), None)
    if known is not None or not old or not new:
        return known
    told = _by_content(old, new)
    return told or (_SEED if _MODELS.match(path) else None)


def _by_content(old: bytes, new: bytes) -> Cause | None:
    for magic, judge in _MAGIC:
        if old.startswith(magic) and new.startswith(magic):
            return judge(old, new)
    if old == new:
        return None  # They differ further on than was looked.
    for pattern, cause in _LIKE:
        if pattern.sub(b"", old) == pattern.sub(b"", new):
            return cause
    return ORDER if sorted(_ITEMS.split(old)) == sorted(_ITEMS.split(new)) else None
