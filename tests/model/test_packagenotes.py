"""What is told of how packages differ: one line, Markdown that hostile names cannot break out of, JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from sampling import examples

from dsci.model.inventory import Inventory, Package, System
from dsci.model.oci import canonical_json
from dsci.model.packagediff import Difference, difference
from dsci.model.packagenotes import document, markdown, summary

_PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
DEBIAN = System(id="debian", version="12", name="Debian GNU/Linux 12 (bookworm)")
ALPINE = System(id="alpine", version="3.19.1", name="Alpine Linux v3.19")
RHEL = System(id="rhel", version="9.3", name="Red Hat Enterprise Linux 9.3 (Plow)")
SITE = "/opt/venv/lib/python3.11/site-packages"


def deb(name: str, version: str, architecture: str = "amd64") -> Package:
    return Package(kind="deb", name=name, version=version, architecture=architecture)


def pypi(name: str, version: str, site: str = SITE) -> Package:
    return Package(kind="pypi", name=name, version=version, paths=(f"{site}/{name}-{version}.dist-info/METADATA",))


def between(before: list[Package], after: list[Package], **more: Any) -> Difference:
    return difference(
        Inventory(packages=tuple(before), system=DEBIAN), Inventory(packages=tuple(after), system=DEBIAN, **more)
    )


BEFORE = [
    deb("base-files", "12.4"),
    deb("gone", "1"),
    deb("libc6", "2.36-9"),
    deb("libc6", "2.36-9", "i386"),
    pypi("numpy", "1.26.4"),
]
BEFORE += [pypi("pandas", "2.1"), pypi("rich", "13.7"), pypi("six", "1.16"), pypi("old", "2")]
AFTER = [
    deb("base-files", "12.5"),
    deb("libc6", "2.36-10"),
    deb("libc6", "2.36-10", "i386"),
    deb("new|er", "1"),
    pypi("numpy", "2.0"),
]
AFTER += [pypi("Pandas", "2.2"), pypi("rich", "13.8.1"), pypi("six", "1.16.0"), pypi("old", "1")]

MARKDOWN = """\
5 upgraded, 1 downgraded, 1 added, 1 removed, 1 rebuilt; Debian 12.4 → 12.5

**deb**: 2 upgraded, 1 added, 1 removed

| package | before | after | |
|---|---|---|---|
| gone | 1 |  | removed |
| base-files | 12.4 | 12.5 | upgraded, minor |
| libc6 (amd64, i386) | 2.36-9 | 2.36-10 | upgraded |
| new\\|er |  | 1 | added |

**pypi**: 3 upgraded, 1 downgraded, 1 rebuilt

| package | before | after | |
|---|---|---|---|
| Pandas | 2.1 | 2.2 | upgraded, minor |
| old | 2 | 1 | downgraded, major |
| numpy | 1.26.4 | 2.0 | upgraded, major |
| rich | 13.7 | 13.8.1 | upgraded, minor |

and 1 more: 1 rebuilt
"""


def test_what_release_notes_say() -> None:
    assert markdown(between(BEFORE, AFTER), direct={"PANDAS"}, limit=4) == MARKDOWN


def test_direct_dependencies_come_first_and_are_all_told() -> None:
    found = between([pypi(f"p{n}", "1") for n in range(9)], [pypi(f"p{n}", "2") for n in range(9)])
    rows = markdown(found, direct={"p7", "P.3", "p8", "p5", "none"}, limit=2).splitlines()
    assert [row.split()[1] for row in rows if row.startswith("| p")] == ["package", "p5", "p7", "p8"]
    assert rows[-1] == "and 6 more: 6 upgraded"
    assert "more" not in markdown(found, limit=9)


def test_what_was_rebuilt_shows_its_builds() -> None:
    one = Package(kind="conda", name="x", version="1", build="h1_0", channel="main", architecture="noarch")
    other = Package(kind="conda", name="x", version="1", build="h2_1", channel="conda-forge", architecture="linux-64")
    text = markdown(between([one], [other]))
    assert "| x | 1 h1_0 main noarch | 1 h2_1 conda-forge linux-64 | rebuilt |" in text


def test_several_of_one_name_are_told_apart() -> None:
    places = [f"/e{n}/lib/python3.11/site-packages" for n in range(12)]
    found = between([pypi("x", "1", place) for place in places], [pypi("x", "2", place) for place in places])
    (row,) = [row for row in markdown(found).splitlines() if row.startswith("| x")]
    assert row.endswith("/e7/lib/python3.11/site-packages and 2 more) | 1 | 2 | upgraded, major |")
    bare = Package(kind="pypi", name="x", version="1")
    assert "| x | 1 |  | removed |" in markdown(between([bare, pypi("x", "2")], [pypi("x", "2")]))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (DEBIAN, DEBIAN, ""),
        (DEBIAN, System(id="ubuntu", version="24.04", name="Ubuntu 24.04.1 LTS"), "; Debian 12 → Ubuntu 24.04"),
        (ALPINE, System(id="alpine", version="3.20.0"), "; Alpine Linux 3.19.1 → alpine 3.20.0"),
        (None, DEBIAN, "; no known distribution → Debian 12"),
        (System(id="arch"), System(id="arch", version="1"), "; arch → arch 1"),
        (RHEL, msgspec.structs.replace(RHEL, version="9.4"), "; Red Hat Enterprise Linux 9.3 → 9.4"),
        (System(id="\u202ea\x1b[1m", version="\n1"), DEBIAN, "; a 1 → Debian 12"),
    ],
)
def test_the_distribution(before: System | None, after: System | None, words: str) -> None:
    found = difference(Inventory(system=before), Inventory(system=after))
    assert summary(found) == f"no package changed{words}"


def test_what_could_not_be_read_is_named() -> None:
    one = between([], [], unread=("/var/lib/rpm/Packages",))
    assert summary(one) == "no package changed; incomplete, 1 file could not be read"
    assert "Not read in the image after, so more may differ: /var/lib/rpm/Packages\n" in markdown(one)
    many = difference(Inventory(unread=tuple(f"/{n:02}|" for n in range(12))), Inventory())
    assert summary(many).endswith("incomplete, 12 files could not be read")
    assert markdown(many).endswith("/08\\|, /09\\| and 2 more\n")
    assert document(many)["unread"] == {"before": [f"/{n:02}|" for n in range(12)], "after": []}
    assert document(many)["complete"] is False


def test_the_document() -> None:
    found = document(between([deb("base-files", "12.4"), pypi("x", "1")], [deb("base-files", "12.5"), deb("y", "1")]))
    assert found == {
        "schema": 1,
        "summary": "1 upgraded, 1 added, 1 removed; Debian 12.4 → 12.5",
        "complete": True,
        "unread": {"before": [], "after": []},
        "system": {
            "moved": True,
            "before": {"id": "debian", "version": "12.4", "name": "Debian GNU/Linux 12 (bookworm)"},
            "after": {"id": "debian", "version": "12.5", "name": "Debian GNU/Linux 12 (bookworm)"},
        },
        "counts": {"upgraded": 1, "downgraded": 0, "added": 1, "removed": 1, "rebuilt": 0},
        "packages": {
            "deb": {
                "upgraded": [
                    {
                        "name": "base-files",
                        "before": {
                            "version": "12.4",
                            "build": "",
                            "channel": "",
                            "architectures": ["amd64"],
                            "places": [],
                        },
                        "after": {
                            "version": "12.5",
                            "build": "",
                            "channel": "",
                            "architectures": ["amd64"],
                            "places": [],
                        },
                        "reach": "minor",
                    }
                ],
                "downgraded": [],
                "added": [
                    {
                        "name": "y",
                        "before": None,
                        "after": {"version": "1", "build": "", "channel": "", "architectures": ["amd64"], "places": []},
                        "reach": None,
                    }
                ],
                "removed": [],
                "rebuilt": [],
            },
            "pypi": {
                "upgraded": [],
                "downgraded": [],
                "added": [],
                "removed": [
                    {
                        "name": "x",
                        "before": {"version": "1", "build": "", "channel": "", "architectures": [], "places": [SITE]},
                        "after": None,
                        "reach": None,
                    }
                ],
                "rebuilt": [],
            },
        },
    }
    nothing = document(difference(Inventory(), Inventory()))
    assert nothing["packages"] == {} and nothing["system"] == {"moved": False, "before": None, "after": None}


SIGNS = "| ` `` \\ @me http://x <!-- <b> * _ a |` `a|b` ~ #1 {{ \u202e \ud800 $"
HOSTILE = st.one_of(
    st.lists(st.sampled_from(SIGNS.split(" ")), min_size=1, max_size=7).map("".join), st.text(min_size=1, max_size=12)
)


@given(st.lists(st.tuples(HOSTILE, HOSTILE, HOSTILE), min_size=1, max_size=4), HOSTILE)
@hypothesis(max_examples=examples(400), deadline=None)
def test_names_and_versions_are_text_and_nothing_else(rows: list[tuple[str, str, str]], file: str) -> None:
    after = [
        Package(kind="pypi", name=name, version=version, paths=(f"/{place}/x/y",)) for name, version, place in rows
    ]
    found = between([], after, unread=(file,))
    blocks = _PARSER.parse(markdown(found))
    assert [token.type for token in blocks if token.level == 0 and token.nesting >= 0] == [
        "paragraph_open", "paragraph_open", "table_open", "paragraph_open"
    ]  # fmt: skip
    assert len([token for token in blocks if token.type == "td_open"]) == 4 * len(found.changes)
    kinds = {child.type for token in blocks for child in token.children or []}
    assert kinds <= {"text", "text_special", "code_inline", "strong_open", "strong_close"}, kinds
    bold = [child for token in blocks for child in token.children or [] if child.type == "strong_open"]
    assert len(bold) == 1
    parsed = json.loads(canonical_json(document(found)))
    assert len(parsed["packages"]["pypi"]["added"]) == len(found.changes)
