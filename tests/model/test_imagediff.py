"""How two releases differ: what is told of platforms, bases, languages and sizes, and what hostile names become."""

from __future__ import annotations

import json
from typing import Any

import pytest
from markdown_it import MarkdownIt
from msgspec.structs import replace

from dsci.model import imagediffnotes
from dsci.model.changelog import Entry, Kind, Release
from dsci.model.imagediff import ImageDifference, Moved, PlatformDifference, Side, contents
from dsci.model.imagediffnotes import document, markdown, rows, said, title
from dsci.model.inventory import Base, Extension, Inventory, Kernel, Language, LayerSize, Package, System
from dsci.model.links import Links
from dsci.model.quantities import amount

HOSTILE = "<img src=x> | [x](https://example.org) @team\n# heading"
LINKS = Links.of("https://github.com/acme/stack.git", "")


def deb(name: str, version: str, **more: Any) -> Package:
    return Package(kind="deb", name=name, version=version, **more)


OLD = Inventory(
    packages=(deb("libc6", "2.36-9"), deb("gone", "1"), deb("same", "1", architecture="amd64", build="a")),
    system=System(id="debian", version="12", name="Debian 12"),
    languages=(Language(name="python", version="3.11.2"), Language(name="python", version="3.12.1")),
    kernels=(Kernel(name="python3", display_name="Python 3"), Kernel(name="ir", language="R")),
    extensions=(Extension(name="lab", version="1.0"), Extension(name="bare")),
    layers=(LayerSize(digest="sha256:1", compressed=1000, unpacked=3000),),
    base=Base(name="docker.io/library/debian:12", digest="sha256:a"),
)
NEW = Inventory(
    packages=(deb("libc6", "2.36-10"), deb("new", "2"), deb("same", "1", architecture="amd64", build="b")),
    system=System(id="debian", version="13", name="Debian 13"),
    languages=(Language(name="python", version="3.12.4"), Language(name="r", version="4.5.1")),
    kernels=(Kernel(name="python3", display_name="Python 3"), Kernel(name="julia")),
    extensions=(Extension(name="lab", version="1.1"),),
    layers=(LayerSize(digest="sha256:2", compressed=1500, unpacked=3000),),
    base=Base(name="docker.io/library/debian:12", digest="sha256:b"),
)
FOUND = contents(OLD, NEW)
BEFORE = Side(image="ml", version="1.4.0", reference="r:1.4.0", digest="sha256:o", git_tag="ml-v1.4.0", commit="12ab")
AFTER = Side(image="ml", version="1.5.2", reference="r:1.5.2", digest="sha256:n", git_tag="ml-v1.5.2", commit="34cd")
RELEASES = (
    Release(
        image="ml",
        version="1.5.2",
        tag="ml-v1.5.2",
        since="ml-v1.4.0",
        commit="34cd",
        when=0,
        entries=(Entry(kind=Kind.FEATURE, type="feat", summary=HOSTILE.replace("\n", " "), commits=("34cd" * 10,)),),
    ),
)
PLATFORMS = (
    PlatformDifference(platform="linux/amd64", before="sha256:1", after="sha256:2", contents=FOUND),
    PlatformDifference(platform="linux/arm64", before="sha256:3", after="sha256:3"),
    PlatformDifference(platform="linux/s390x", after="sha256:4"),
    PlatformDifference(platform="linux/ppc64le", before="sha256:5"),
)
WHOLE = ImageDifference(before=BEFORE, after=AFTER, platforms=PLATFORMS, releases=RELEASES)


def test_what_is_not_the_same() -> None:
    assert FOUND.moved == (
        Moved(what="extension", name="bare", before=("of no version",)),
        Moved(what="extension", name="lab", before=("1.0",), after=("1.1",)),
        Moved(what="kernel", name="ir", before=("R",)),
        Moved(what="kernel", name="julia", after=("julia",)),
        Moved(what="language", name="python", before=("3.11.2", "3.12.1"), after=("3.12.4",)),
        Moved(what="language", name="r", after=("4.5.1",)),
    )
    assert dict(imagediffnotes.facts(FOUND)) == {
        "base": "docker.io/library/debian:12@sha256:a → docker.io/library/debian:12@sha256:b",
        "extension bare": "of no version → nothing",
        "extension lab": "1.0 → 1.1",
        "kernel ir": "R → nothing",
        "kernel julia": "nothing → julia",
        "python": "3.11.2, 3.12.1 → 3.12.4",
        "r": "nothing → 4.5.1",
        "size": "1.0 kB → 1.5 kB (+50.0 %) compressed",
        "unpacked": "3.0 kB, as before",
        "packages": "1 upgraded, 1 added, 1 removed, 1 rebuilt; Debian 12 → 13",
    }
    assert sorted(rows(FOUND)) == [
        ("deb", "gone", "removed", "1"),
        ("deb", "libc6", "upgraded", "2.36-9 → 2.36-10"),
        ("deb", "new", "added", "2"),
        ("deb", "same", "rebuilt", "1 a amd64 → 1 b amd64"),
    ]
    (row,) = rows(contents(Inventory(packages=(deb("x", "1.9"),)), Inventory(packages=(deb("x", "1.10"),))))
    assert row == ("deb", "x", "upgraded, minor", "1.9 → 1.10")


def test_nothing_differs_in_the_same() -> None:
    same = contents(OLD, OLD)
    assert not same.moved and not same.packages and list(rows(same)) == []
    assert [name for name, _ in imagediffnotes.facts(same)] == ["size", "unpacked", "packages"]
    empty = contents(Inventory(), replace(OLD, base=None))
    assert dict(imagediffnotes.facts(empty))["size"] == "0 B → 1.0 kB (+1.0 kB) compressed"
    assert dict(imagediffnotes.facts(contents(Inventory(), OLD)))["base"].startswith("not told → ")


def test_which_of_several_packages_of_a_name() -> None:
    def two(version: str) -> Inventory:
        return Inventory(packages=tuple(deb("x", version, architecture=each) for each in ("amd64", "i386")))

    one = two("1")
    other = replace(one, packages=(one.packages[0], deb("x", "2", architecture="i386")))
    assert [row[1] for row in rows(contents(one, other))] == ["x (i386)"]
    with_none = Inventory(packages=(deb("x", "1"), deb("x", "2")))
    assert all(row[1] == "x" for row in rows(contents(with_none, Inventory(packages=(deb("x", "3"), deb("x", "4"))))))


def test_whether_two_releases_differ() -> None:
    assert WHOLE
    assert not replace(WHOLE, platforms=PLATFORMS[1:2])
    assert replace(WHOLE, platforms=PLATFORMS[2:3])
    assert [said(each) for each in PLATFORMS] == [
        "",
        "the same image",
        "only the second one is there for it",
        "only the first one is there for it",
    ]
    assert title(WHOLE) == "ml 1.4.0 → 1.5.2"
    assert title(replace(WHOLE, after=replace(AFTER, image="ml:cuda12"))) == "ml 1.4.0 → ml:cuda12 1.5.2"


def test_markdown() -> None:
    text = markdown(WHOLE, LINKS)
    assert text.startswith("## ml 1.4.0 → 1.5.2\n\n### linux/amd64\n\n- base: ")
    assert "\n### linux/arm64\n\nThe same image.\n" in text
    assert "1 upgraded, 1 added, 1 removed, 1 rebuilt; Debian 12 → 13\n\n**deb**" in text
    assert "\n### Commits\n\n#### 1.5.2 (1970-01-01)\n\n##### " in text
    assert "Commits" not in markdown(replace(WHOLE, releases=()), LINKS)
    both = (*RELEASES, replace(RELEASES[0], image="base", tag="base-v1.0.0", version="1.0.0"))
    assert "#### base 1.0.0 (" in markdown(replace(WHOLE, releases=both), LINKS)


def test_hostile_names_are_text() -> None:
    hostile = Inventory(
        packages=(deb("x", HOSTILE),),
        languages=(Language(name=HOSTILE, version=HOSTILE),),
        kernels=(Kernel(name=HOSTILE, display_name=HOSTILE),),
        base=Base(name=HOSTILE, digest=HOSTILE),
        system=System(id="x", version="1", name=HOSTILE),
    )
    platform = replace(PLATFORMS[0], contents=contents(Inventory(), hostile))
    text = markdown(replace(WHOLE, platforms=(platform,)), LINKS)
    tokens = MarkdownIt("commonmark").enable(["table"]).parse(text)
    inner = [child for token in tokens for child in token.children or ()]
    kinds = {token.type for token in (*tokens, *inner)}
    assert not kinds & {"html_block", "html_inline", "image"}
    addresses = {child.attrs["href"] for child in inner if child.type == "link_open"}
    assert all(str(address).startswith("https://github.com/acme/stack/") for address in addresses)
    titles = [tokens[n + 1].content for n, token in enumerate(tokens) if token.type == "heading_open"]
    assert len(titles) == 5, titles


def test_the_document() -> None:
    value = document(WHOLE, LINKS)
    assert json.loads(json.dumps(value)) == value
    assert (value["schema"], value["differs"], value["before"]["git_tag"]) == (1, True, "ml-v1.4.0")
    first, same, new, gone = value["platforms"]
    assert (same["contents"], new["before"], gone["after"]) == (None, None, None)
    told = first["contents"]
    assert told["base"]["after"] == {"name": "docker.io/library/debian:12", "digest": "sha256:b"}
    assert told["size"] == {
        "before": {"compressed": 1000, "unpacked": 3000},
        "after": {"compressed": 1500, "unpacked": 3000},
    }
    assert told["moved"][1] == {"what": "extension", "name": "lab", "before": ["1.0"], "after": ["1.1"]}
    assert told["packages"]["counts"]["upgraded"] == 1
    assert [release["tag"] for release in value["releases"]] == ["ml-v1.5.2"]
    bare = replace(PLATFORMS[0], contents=contents(replace(OLD, base=None), NEW))
    told = document(replace(WHOLE, platforms=(bare,)), LINKS)["platforms"][0]["contents"]
    assert told["base"]["before"] is None


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (70_123_456, "70.1 MB"), (10**10, "10.0 GB"), (10**13, "10.0 TB")],
)
def test_sizes_as_people_read_them(count: int, text: str) -> None:
    assert amount(count) == text
