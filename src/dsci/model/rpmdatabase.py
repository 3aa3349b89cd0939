"""rpm's database in SQLite, read in memory out of the bytes of its file; none of its SQL is run.

The file may be anybody's: SQLite is given a bounded number of steps, takes nothing from the schema that could run, and
a file that it cannot read gives None. The headers in it are read by `rpmheader`.

Sources: https://rpm-software-management.github.io/rpm/manual/devel_documentation.html (the table Packages),
https://www.sqlite.org/fileformat.html#the_database_header, https://www.sqlite.org/security.html
"""

from __future__ import annotations

import sqlite3

from dsci.model import rpmheader
from dsci.model.inventory import Package

_MAGIC = b"SQLite format 3\0"
#: How often SQLite asks whether to go on, in steps of its machine, and how often it may.
_STEPS, _ASKED = 10_000, 5_000
#: The most packages that are read, and bytes of one header.
_PACKAGES, _HEADER = 100_000, 32 << 20


def packages(content: bytes) -> tuple[Package, ...] | None:
    """The packages in a database; None for what is none, or is damaged."""
    if not content.startswith(_MAGIC) or len(content) < 100:
        return None
    # Such a database says that changes to it lie in a file beside it ("write-ahead"), which memory has no place for.
    # What matters of that file is said by whoever found it; here the database is read as it stands.
    content = content[:18] + b"\1\1" + content[20:]
    connection = sqlite3.connect(":memory:")
    left = [_ASKED]

    def enough() -> int:
        left[0] -= 1
        return left[0] < 0

    try:
        connection.deserialize(content)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _HEADER)
        connection.set_progress_handler(enough, _STEPS)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        kinds = connection.execute("SELECT type, sql FROM sqlite_schema WHERE name = 'Packages'").fetchall()
        if len(kinds) != 1 or kinds[0][0] != "table" or "VIRTUAL" in str(kinds[0][1]).upper():
            return None
        rows = connection.execute("SELECT blob FROM Packages LIMIT ?", (_PACKAGES + 1,))
        found: list[Package] = []
        for count, (header,) in enumerate(rows):
            if count == _PACKAGES or not isinstance(header, bytes):
                return None
            found += rpmheader.packages(header)
        return tuple(found)
    except (sqlite3.Error, UnicodeError, AttributeError):  # SQLite can be built without what reads from memory
        return None
    finally:
        connection.close()
