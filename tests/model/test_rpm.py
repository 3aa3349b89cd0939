"""rpm's database: a real one is read as rpm reads it, and what is none, or is made to harm, gives nothing.

`rpm/rpmdb.sqlite.gz` was written by rpm 4.18, which installed four packages that its rpmbuild had made; `packages.txt`
is what `rpm -qa` said of it.
"""

from __future__ import annotations

import gzip
import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.model import rpmdatabase, rpmheader
from dsci.model.inventory import Layer, System
from dsci.model.inventoryfiles import source
from dsci.model.layering import combined

HERE = Path(__file__).parent / "rpm"
REAL = gzip.decompress((HERE / "rpmdb.sqlite.gz").read_bytes())
PATH = "usr/lib/sysimage/rpm/rpmdb.sqlite"
STRING, INT32, I18N = 6, 4, 9
NAME, VERSION, RELEASE, EPOCH, SOURCE, LICENSE = 1000, 1001, 1002, 1003, 1044, 1014


def header(*fields: tuple[int, int, bytes]) -> bytes:
    """A header of these tags, types and values, as the format says it."""
    data, entries = b"", b""
    for tag, kind, value in fields:
        entries += struct.pack(">IIII", tag, kind, len(data), 1)
        data += value
    return struct.pack(">II", len(fields), len(data)) + entries + data


def bash(*more: tuple[int, int, bytes]) -> bytes:
    return header((NAME, STRING, b"bash\0"), (VERSION, STRING, b"5.2\0"), (RELEASE, STRING, b"3.fc40\0"), *more)


def database(*statements: str, rows: Sequence[object] = ()) -> bytes:
    connection = sqlite3.connect(":memory:")
    for statement in statements:
        connection.execute(statement)
    for row in rows:
        connection.execute("INSERT INTO Packages (blob) VALUES (?)", (row,))
    connection.commit()
    return connection.serialize()


TABLE = "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)"


def test_a_real_database_says_what_rpm_says() -> None:
    found = rpmdatabase.packages(REAL)
    assert found is not None
    lines = set()
    for each in found:
        epoch, _, version = each.version.rpartition(":")
        vendor = each.supplier or "(none)"
        lines.add("|".join((each.name, epoch or "0", version, each.architecture, each.source, each.license, vendor)))
    assert lines == set((HERE / "packages.txt").read_text().splitlines())
    assert len(found) == 4


def test_it_is_read_where_rpm_keeps_it() -> None:
    for path in (PATH, "var/lib/rpm/rpmdb.sqlite"):
        read = source(path)
        assert read is not None and read.of_packages
        found = read.read(path, REAL)
        assert found is not None
        packages = combined([Layer(facts={path: found})]).packages
        assert [each.name for each in packages] == ["glibc-minimal", "glibc-minimal-langpack-de", "one", "two"]
        assert packages[0].paths == (f"/{path}",)


def test_package_urls() -> None:
    (found,) = rpmheader.packages(bash((EPOCH, INT32, b"\0\0\0\2"), (SOURCE, STRING, b"bash-5.2-3.fc40.src.rpm\0")))
    assert found.version == "2:5.2-3.fc40"
    assert found.purl(System(id="fedora", version="40")) == (
        "pkg:rpm/fedora/bash@5.2-3.fc40?distro=fedora-40&epoch=2&upstream=bash-5.2-3.fc40.src.rpm"
    )


@pytest.mark.parametrize(
    ("content", "version"),
    [
        (bash(), "5.2-3.fc40"),
        (bash((EPOCH, INT32, b"\0\0\0\0")), "5.2-3.fc40"),
        (bash((EPOCH, INT32, b"\0\0")), "5.2-3.fc40"),
        (bash((EPOCH, STRING, b"\0")), ":5.2-3.fc40"),
        (bash((VERSION, STRING, b"6\0")), "5.2-3.fc40"),
        (bash((LICENSE, 7, b"no text\0")), "5.2-3.fc40"),
        (bash((SOURCE, STRING, b"(none)\0")), "5.2-3.fc40"),
    ],
)
def test_odd_headers(content: bytes, version: str) -> None:
    (found,) = rpmheader.packages(content)
    assert (found.version.removeprefix(":"), found.source, found.license) == (version.removeprefix(":"), "", "")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        b"\0" * 8,
        struct.pack(">II", 1, 0),
        struct.pack(">II", 0x10000, 0) + b"\0" * (16 * 0x10000),
        struct.pack(">II", 0, 1),
        header((NAME, STRING, b"bash\0"), (VERSION, STRING, b"5\0")),
        header((NAME, STRING, b"gpg-pubkey\0"), (VERSION, STRING, b"1\0"), (RELEASE, STRING, b"1\0")),
        header((NAME, STRING, b"two words\0"), (VERSION, STRING, b"1\0"), (RELEASE, STRING, b"1\0")),
        struct.pack(">II", 1, 4) + struct.pack(">IIII", NAME, STRING, 0xFFFFFFFF, 1) + b"bash",
        struct.pack(">II", 1, 4) + struct.pack(">IIII", NAME, STRING, 0, 0) + b"bash",
    ],
)
def test_headers_that_are_none(content: bytes) -> None:
    assert not list(rpmheader.packages(content))


@hypothesis(max_examples=examples(100))
@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_bytes_make_a_header_fail(content: bytes, cut: int) -> None:
    for each in (content, bash()[:cut] + content):
        list(rpmheader.packages(each))


def test_an_empty_database_has_no_packages() -> None:
    assert rpmdatabase.packages(database(TABLE)) == ()
    assert [each.name for each in rpmdatabase.packages(database(TABLE, rows=[bash(), b"junk"])) or ()] == ["bash"]


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x05\x16\x00 Berkeley",
        b"SQLite format 3\0",
        b"SQLite format 3\0" + b"\xff" * 5000,
        REAL[:5000],
        database("CREATE TABLE Packages (blob)", "CREATE TABLE x (y)", "DROP TABLE Packages", TABLE, rows=["no bytes"]),
        database("CREATE TABLE Other (blob)", "CREATE TABLE Packages_ (x)"),
        database("CREATE TABLE p (blob)", f"CREATE VIEW Packages AS {ENDLESS} SELECT x AS blob FROM n", rows=()),
        database("CREATE VIRTUAL TABLE Packages USING fts5(blob)"),
    ],
)
def test_databases_that_are_none(content: bytes) -> None:
    assert rpmdatabase.packages(content) is None


def test_reading_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database in which more is to be done than in any honest one, and one with more packages."""
    many = database(TABLE, rows=[bash()] * 2000)
    assert len(rpmdatabase.packages(many) or ()) == 2000
    monkeypatch.setattr(rpmdatabase, "_STEPS", 10)
    monkeypatch.setattr(rpmdatabase, "_ASKED", 10)
    assert rpmdatabase.packages(many) is None
    monkeypatch.undo()
    monkeypatch.setattr(rpmdatabase, "_PACKAGES", 1999)
    assert rpmdatabase.packages(many) is None


@hypothesis(max_examples=examples(60))
@given(st.lists(st.tuples(st.integers(0, len(REAL) - 1), st.integers(0, 255)), min_size=1, max_size=40))
def test_no_damage_makes_reading_fail(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(REAL)
    for place, value in changes:
        damaged[place] = value
    rpmdatabase.packages(bytes(damaged))
