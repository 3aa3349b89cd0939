"""Versions that are shared, that are dates, or that somebody asks for by a tag of their own: all the way."""

from __future__ import annotations

import pytest
from tests.e2e.conftest import Project

pytestmark = pytest.mark.engine

NOW = "2026-02-28T23:30:00Z"


def test_lockstep_releases_the_family_as_one(tiny: Project) -> None:
    tiny.commit("chore: one version for all", {"dsci.yaml": "versioning: {mode: lockstep}\n"})
    first = tiny.release().json
    assert first["released"] == ["v0.1.0"]
    (release,) = first["plan"]["releases"]
    assert release["members"] == ["base", "ml"]
    tiny.commit("feat: a better model", {"images/ml/model.txt": "v2\n"})
    before = tiny.digest("base", "0.1.0")
    second = tiny.release().json
    assert second["released"] == ["v0.2.0"]
    assert [item["action"] for item in second["plan"]["targets"]] == ["retag", "build"]
    for name in ("base", "ml"):
        assert {"0.2.0", "0.1.0", "0.2", "0.1", "0", "latest"} <= tiny.images(name)
        assert tiny.digest(name, "latest") == tiny.digest(name, "0.2.0") != tiny.digest(name, "0.1.0")
    # What did not change is what it was: a new index over the same manifests.
    assert tiny.registry is not None
    old, new = (tiny.registry.manifest(f"{tiny.prefix}/base", tag)["manifests"] for tag in ("0.1.0", "0.2.0"))
    assert old == new and tiny.digest("base", "0.1.0") == before
    assert tiny.tags() == {"v0.1.0", "v0.2.0"}
    assert tiny.release().json["outcomes"] == []
    shown = {row["image"]: row["version"] for row in tiny.dsci("tags", "--json").json}
    assert shown == {"base": "0.2.0", "ml": "0.2.0"}


def test_versions_that_are_dates(tiny: Project) -> None:
    tiny.commit("chore: dates", {"dsci.yaml": "versioning: {scheme: calver, calver: YYYY.0M.0D}\n"})
    assert tiny.dsci("release", "--json", "--now", NOW).json["released"] == ["base-v2026.02.28", "ml-v2026.02.28"]
    assert {"2026.02.28", "2026.02", "2026", "latest"} <= tiny.images("ml")
    tiny.commit("fix: the model", {"images/ml/model.txt": "v2\n"})
    assert tiny.dsci("release", "--json", "--now", NOW).json["released"] == ["ml-v2026.02.28.1"]
    assert tiny.digest("ml", "2026.02") == tiny.digest("ml", "2026.02.28.1") != tiny.digest("ml", "2026.02.28")
    assert tiny.dsci("release", "--json", "--now", "2026-05-01").json["released"] == []
    # The same request gives the same plan, whenever it is made.
    tiny.commit("fix: the model again", {"images/ml/model.txt": "v3\n"})
    asked = ("plan", "--json", "--now", "2026-03-01")
    assert tiny.dsci(*asked).stdout == tiny.dsci(*asked).stdout
    assert [item["version"] for item in tiny.dsci(*asked).json["releases"]] == ["2026.03.01"]


def test_a_tag_made_by_hand_is_released_as_it_says(tiny: Project) -> None:
    tiny.release()
    tiny.commit("fix: the model", {"images/ml/model.txt": "v2\n"})
    tiny.git("tag", "ml-v3.0.0")
    tiny.git("push", "--quiet", "origin", "main", "ml-v3.0.0")
    # To a run about the branch the version is taken; the run about the tag makes it.
    assert tiny.dsci("release", "--json", "--ref", "refs/heads/main").json["released"] == []
    assert "3.0.0" not in tiny.images("ml")
    tiny.environment = {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/tags/ml-v3.0.0"}
    ended = tiny.release().json
    assert ended["released"] == ["ml-v3.0.0"]
    assert {"3.0.0", "3.0", "3", "latest"} <= tiny.images("ml")
    assert {"ml-v3.0.0", "ml-v3.0.0.dsci"} <= tiny.tags()
    message = tiny.git("cat-file", "tag", "ml-v3.0.0.dsci")
    assert f"Dsci-Digest: {tiny.digest('ml', '3.0.0')}" in message.split("\n")
    # Once more, about either tag: it is dsci's now, and whole.
    for name in ("ml-v3.0.0", "ml-v3.0.0.dsci"):
        tiny.environment["GITHUB_REF"] = f"refs/tags/{name}"
        again = tiny.release().json
        assert again["released"] == [] and again["outcomes"] == []
    tiny.environment = {}
    assert tiny.release().json["released"] == []
    tiny.commit("fix: the model again", {"images/ml/model.txt": "v3\n"})
    assert tiny.release().json["released"] == ["ml-v3.0.1"]


def test_a_tag_made_by_dsci_starts_no_second_release(tiny: Project) -> None:
    """Its run only finishes what is not in place yet."""
    tiny.release()
    assert tiny.registry is not None
    tiny.commit("feat: something new", {"images/ml/model.txt": "v2\n"})
    tiny.git("switch", "--quiet", "--detach", "ml-v0.1.0")
    tiny.registry.delete_tag(f"{tiny.prefix}/ml", "latest", named=False)
    ended = tiny.dsci("release", "--json", "--ref", "refs/tags/ml-v0.1.0").json
    assert ended["released"] == ["ml-v0.1.0"] and ended["outcomes"] == []
    assert tiny.digest("ml", "latest") == tiny.digest("ml", "0.1.0")
    assert tiny.tags() == {"base-v0.1.0", "ml-v0.1.0"}


def test_a_request_releases_nothing(tiny: Project) -> None:
    tiny.environment = {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_BASE_REF": "main"}
    ended = tiny.release().json
    assert ended["released"] == [] and tiny.tags() == set()
    assert [item["status"] for item in ended["outcomes"]] == ["ok", "ok"]
    assert "a request releases nothing" in ended["plan"]["unreleased"]["ml"]
