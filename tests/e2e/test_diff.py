"""`dsci diff` of releases that were made one after the other: packages, sizes, bases, and the commits between them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.e2e.conftest import Project, released

pytestmark = pytest.mark.engine

SITE = "/opt/venv/lib/python3.12/site-packages"
BASE = "FROM debian:bookworm-slim\nCOPY site {site}\n{more}COPY note /etc/note\n"
METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n"


def test_what_a_release_brought_is_told(tiny: Project) -> None:
    """One release against the one before it, two that are named, and two that are the same image."""
    files = {f"images/base/site/{name}.dist-info/METADATA": METADATA.format(name, "1.9") for name in ("one", "two")}
    tiny.push("feat: packages", {"images/base/Dockerfile": BASE.format(site=SITE, more=""), **files})
    assert released(tiny.release()) == {"base": "0.1.0", "ml": "0.1.0"}
    assert "no release of ml before 0.1.0" in tiny.dsci("diff", "ml", code=2).stderr
    (tiny.folder / "images/base/site/two.dist-info/METADATA").unlink()
    more = "RUN dpkg --remove --force-all sysvinit-utils\n"
    tiny.push(
        "fix: newer packages",
        {
            "images/base/Dockerfile": BASE.format(site=SITE, more=more),
            "images/base/site/one.dist-info/METADATA": METADATA.format("one", "1.10"),
            "images/base/site/three.dist-info/METADATA": METADATA.format("three", "3"),
        },
    )
    assert released(tiny.release()) == {"base": "0.1.1", "ml": "0.1.1"}

    value = tiny.dsci("diff", "base", "--json").json
    assert (value["before"]["version"], value["after"]["version"], value["differs"]) == ("0.1.0", "0.1.1", True)
    (platform,) = value["platforms"]
    packages = platform["contents"]["packages"]["packages"]
    hows = {f"{kind} {how}": items for kind, found in packages.items() for how, items in found.items()}
    assert {name: [item["name"] for item in items] for name, items in hows.items() if items} == {
        "deb removed": ["sysvinit-utils"],
        "pypi upgraded": ["one"],
        "pypi removed": ["two"],
        "pypi added": ["three"],
    }
    assert [release["tag"] for release in value["releases"]] == ["base-v0.1.1"]
    assert [entry["summary"] for entry in value["releases"][0]["entries"]] == ["newer packages"]
    size = platform["contents"]["size"]
    inventories = [tiny.dsci("inventory", f"base:{each}", "--json").json for each in ("0.1.0", "0.1.1")]
    assert [each["platforms"][0]["size"] for each in inventories] == [size["before"], size["after"]]

    # What `ml` stands on is another image now, and that is told by its label.
    base = tiny.dsci("diff", "ml:0.1.0", "ml:0.1.1", "--json").json["platforms"][0]["contents"]["base"]
    assert base["before"]["name"] == base["after"]["name"]
    assert [base[side]["digest"] for side in ("before", "after")] == [platform["before"], platform["after"]]

    shown = tiny.dsci("diff", "base:0.1.0", "base").stdout
    assert shown.startswith("base 0.1.0 → 0.1.1\n") and "claimed by base-v0.1.0" in shown
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "pypi one upgraded, minor 1.9 → 1.10" in lines and "deb sysvinit-utils removed" in " ".join(lines)
    assert any(line.startswith("newer packages ") for line in lines)
    back = tiny.dsci("diff", "base:0.1.1", "base:0.1.0").stdout
    assert "downgraded, minor" in back and "Commits" not in back
    assert "| one | 1.9 | 1.10 | upgraded, minor |" in tiny.dsci("diff", "base", "--markdown").stdout

    tiny.dsci("diff", "base", "--exit-code", code=1)
    same = tiny.dsci("diff", "base:0.1.1", "base:latest", "--exit-code")
    assert "the same image" in same.stdout
    assert tiny.dsci("diff", "base", "ml", "--json").json["releases"] == []
    tiny.dsci("diff", "base", "ml", "base", code=2)

    # A clone without the commits between them compares all the same, and says what it cannot tell.
    shallow = replace(tiny, folder=tiny.folder.parent / "shallow")
    tiny.git("clone", "--quiet", "--depth", "1", f"file://{tiny.remote}", str(shallow.folder))
    shallow.git("fetch", "--quiet", "--depth", "1", "origin", "refs/tags/*:refs/tags/*")
    ended = shallow.dsci("diff", "base:0.1.0", "base")
    assert "pypi" in ended.stdout and "Commits" not in ended.stdout
    assert "which commits lie between them is not known here" in ended.stderr
