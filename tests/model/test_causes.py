"""Likely causes: a table of what people leave in layers, and what is said of it."""

from __future__ import annotations

import gzip
import struct

import pytest

from dsci.model import causes
from dsci.model.causes import cause_of

CONTENT = ("content",)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("var/log/apt/history.log", "apt and dpkg logs"),
        ("var/log/apt", "apt and dpkg logs"),
        ("var/log/dpkg.log", "apt and dpkg logs"),
        ("var/log/dnf.log", "package logs"),
        ("var/cache/ldconfig/aux-cache", "ldconfig cache"),
        ("var/cache/apt/pkgcache.bin", "apt cache"),
        ("var/lib/apt/lists/deb.debian.org_Release", "apt cache"),
        ("var/cache/debconf/config.dat-old", "package caches"),
        ("var/lib/dpkg/status-old", "package caches"),
        ("var/lib/dpkg/status", "packages"),
        ("var/lib/dpkg/info/curl.list", "packages"),
        ("opt/venv/lib/python3.11/site-packages/numpy-2.0.dist-info/METADATA", "packages"),
        ("opt/venv/lib/python3.11/site-packages/numpy-2.0.dist-info", "packages"),
        ("opt/conda/conda-meta/history", "conda history"),
        ("opt/conda/conda-meta/numpy-2.0-py311_0.json", "packages"),
        ("opt/conda/pkgs/cache/09cdf8bf.json", "conda cache"),
        ("opt/conda/pkgs/urls.txt", "conda cache"),
        ("usr/lib/python3/dist-packages/x-1.dist-info/RECORD", "installer records"),
        ("x-1.dist-info/direct_url.json", "installer records"),
        ("var/cache/fontconfig/abc-le64.cache-8", "font cache"),
        ("root/.cache/matplotlib/fontlist-v390.json", "font cache"),
        ("usr/local/lib/R/site-library/dplyr/DESCRIPTION", "R packages"),
        ("usr/lib/R/library/base/Meta/package.rds", "R packages"),
        ("etc/machine-id", "machine identity"),
        ("etc/ssh/ssh_host_rsa_key", "machine identity"),
        ("etc/shadow", "password dates"),
        ("etc/gshadow-", "password dates"),
        ("root/.cache/pip/http/0/1", "caches"),
        ("home/a/.npm/_logs/x.log", "caches"),
        ("etc/ssl/certs/java/cacerts", "key store"),
        ("tmp/pip-install/x", "leftovers"),
        ("run/lock/x", "leftovers"),
    ],
)
def test_paths_that_tell(path: str, name: str) -> None:
    for fields, old, new in ((CONTENT, b"1", b"2"), ((), None, b"2"), ((), b"1", None)):
        found = cause_of(path, fields, old, new)
        assert found is not None and found.name == name and found.why and found.fix


@pytest.mark.parametrize("path", ["srv/app.txt", "var/logs/x", "opt/library", "etc/shadowsocks", "usr/tmpfiles/a"])
def test_paths_that_tell_nothing(path: str) -> None:
    assert cause_of(path, CONTENT, b"one", b"two") is None
    assert cause_of(path, (), None, b"two") is None and cause_of(path, (), b"one", None) is None


def pyc(flags: int, rest: bytes) -> bytes:
    """The beginning of a .pyc file of Python 3.11."""
    return b"\xa7\r\r\n" + struct.pack("<I", flags) + rest


def test_bytecode() -> None:
    path = "usr/lib/x/__pycache__/a.cpython-311.pyc"
    assert cause_of(path, CONTENT, pyc(0, b"time1"), pyc(0, b"time2")) is causes.PYC
    assert cause_of(path, CONTENT, pyc(3, b"hash1"), pyc(3, b"hash2")) is causes.PYC_PATH
    assert cause_of(path, CONTENT, pyc(0, b"time1"), pyc(3, b"hash2")) is causes.PYC
    assert cause_of(path, CONTENT, pyc(3, b"hash1"), pyc(0, b"time2")) is causes.PYC
    assert cause_of(path, CONTENT, b"", b"") is causes.PYC_PATH
    assert cause_of(path, (), None, pyc(0, b"")) is causes.PYC
    assert cause_of("usr/lib/x/__pycache__", (), None, None) is causes.PYC
    assert cause_of(path, ("mode",), b"", b"") is causes.MODES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Fri Nov 27 04:06:24 UTC 2026\n", b"Sat Nov 28 14:16:04 UTC 2026\n"),
        (b"Fri Nov 27 04:06:24 AM UTC 2026\n", b"Sat Nov  8 14:16:04 PM UTC 2026\n"),
        (b"built 2026-11-27T04:06:24Z", b"built 2026-11-28T04:06:24.123+01:00"),
        (b"built 2026-11-27", b"built 2026-11-28"),
        (b'{"when": 1795752384}', b'{"when": 1795752385.25}'),
        (b"Fri, 27 Nov 2026 04:06:24 GMT", b"Sat, 28 Nov 2026 05:06:24 GMT"),
        (b"at 20261127T0406", b"at 20261128T0506"),
        (b"took until 04:06:24", b"took until 14:06"),
    ],
)
def test_texts_that_differ_in_a_time(old: bytes, new: bytes) -> None:
    assert cause_of("srv/stamp", CONTENT, old, new) is causes.TIMES


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        (b"from /tmp/pip-req-build-abc123/x", b"from /tmp/pip-req-build-zzz999/x", causes.TEMPORARY),
        (b"prefix tmpa1b2c3d4 end", b"prefix tmpzzzzzzzz end", causes.TEMPORARY),
        (b"id 123e4567-e89b-12d3-a456-426614174000", b"id 00000000-e89b-12d3-a456-426614174fff", causes.RANDOM),
        (b"key 0123456789abcdef", b"key fedcba9876543210ff", causes.RANDOM),
        (b"b\na\nc\n", b"a\nb\nc\n", causes.ORDER),
        (b'["b", "a"]', b'["a", "b"]', causes.ORDER),
        (b"!<arch>\nx", b"!<arch>\ny", causes.ARCHIVE),
        (b"\x7fELFa", b"\x7fELFb", causes.COMPILED),
        (b"SQLite format 3\0a", b"SQLite format 3\0b", causes.DATABASE),
        (b"PK\x03\x04......1234x", b"PK\x03\x04......1235x", causes.ZIP),
        (b"PK\x03\x04......1234x", b"PK\x03\x04......1234y", None),
        (gzip.compress(b"x", mtime=1), gzip.compress(b"x", mtime=2), causes.GZIP),
        (gzip.compress(b"x", mtime=1), gzip.compress(b"y", mtime=1), None),
        (b"same beginning", b"same beginning", None),
        (b"alpha", b"beta", None),
        (b"", b"beta", None),
    ],
)
def test_contents_that_tell(old: bytes, new: bytes, cause: causes.Cause | None) -> None:
    assert cause_of("srv/data", CONTENT, old, new) is cause


def test_models_are_trained_without_a_seed() -> None:
    found = cause_of("srv/model.joblib", CONTENT, b"\x80\x04a", b"\x80\x04b")
    assert found is not None and found.name == "random seed"


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        (("owner",), causes.OWNERS),
        (("names",), causes.OWNERS),
        (("mode", "mtime"), causes.MODES),
        (("xattrs",), causes.LABELS),
        (("mtime",), causes.FILE_TIMES),
        (("link",), None),
    ],
)
def test_what_differs_beside_the_content(fields: tuple[str, ...], cause: causes.Cause | None) -> None:
    assert cause_of("var/log/apt/history.log", fields, b"x", b"x") is cause
