"""Names that follow a branch, a request or a schedule: they move with the content, forward only, without a release."""

from __future__ import annotations

import pytest
from tests.e2e.conftest import Project

pytestmark = pytest.mark.engine

RULES = "tags: ['{version}', latest, '{branch}', 'type=edge', 'type=ref,event=pr', 'type=schedule', 'type=sha']\n"
MAIN = {"GITLAB_CI": "true", "CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main"}


@pytest.fixture
def following(tiny: Project) -> Project:
    tiny.commit("chore: names that follow", {"dsci.yaml": RULES})
    tiny.environment = dict(MAIN)
    return tiny


def revision(project: Project, tag: str, image: str = "ml") -> str:
    assert project.registry is not None
    index = project.registry.manifest(f"{project.prefix}/{image}", tag)
    return str(index["annotations"]["org.opencontainers.image.revision"])


def test_a_branch_is_followed_with_and_without_releases(following: Project) -> None:
    first = following.git("rev-parse", "HEAD")
    ended = following.release().json
    assert set(ended["released"]) == {"base-v0.1.0", "ml-v0.1.0"}
    assert {"0.1.0", "latest", "main", "edge", f"sha-{first[:7]}"} == following.images("ml")
    assert len({following.digest("ml", tag) for tag in following.images("ml")}) == 1, "all of them are the release"
    # Documentation changes no content, so nothing moves and nothing is written.
    assert following.registry is not None
    following.commit("docs: say more", {"README.md": "x"})
    again = following.release().json
    assert again["released"] == [] and again["outcomes"] == []
    written = [item["reference"].rpartition(":")[2] for item in again["publications"] if item["changed"]]
    assert set(written) == {f"sha-{following.git('rev-parse', 'HEAD')[:7]}"}
    assert revision(following, "main") == first
    writes = following.registry.writes()
    assert following.release().json["publications"] == [] and following.registry.writes() == writes
    # What is put off is not released; its branch shows it all the same.
    skipped = following.commit("feat: a model [skip release]", {"images/ml/model.txt": "v2\n"})
    assert following.release().json["released"] == []
    assert revision(following, "main") == revision(following, "edge") == skipped
    assert following.digest("ml", "latest") == following.digest("ml", "0.1.0") != following.digest("ml", "main")
    assert revision(following, "main", "base") == first


def test_an_older_commit_takes_nothing_back(following: Project) -> None:
    following.release()
    old = following.commit("feat: one [skip release]", {"images/ml/model.txt": "v2\n"})
    new = following.commit("feat: two [skip release]", {"images/ml/model.txt": "v3\n"})
    following.release()
    assert revision(following, "main") == new
    following.git("switch", "--quiet", "--detach", old)
    ended = following.release()
    assert revision(following, "main") == revision(following, "edge") == new and "a later commit" in ended.stderr
    assert revision(following, f"sha-{old[:7]}") == old
    following.git("switch", "--quiet", "main")
    # A branch that was forced to another history is followed to where it is.
    following.git("reset", "--quiet", "--hard", "HEAD^")
    other = following.commit("feat: three [skip release]", {"images/ml/model.txt": "v4\n"})
    following.release()
    assert revision(following, "main") == other


def test_a_request_a_schedule_and_another_branch(following: Project) -> None:
    following.release()
    following.git("switch", "--quiet", "-c", "feature/ünïcode")
    following.commit("feat: a model", {"images/ml/model.txt": "v2\n"})
    following.environment = {
        "GITLAB_CI": "true",
        "CI_MERGE_REQUEST_IID": "7",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_DEFAULT_BRANCH": "main",
    }
    before = following.images("ml")
    ended = following.release().json
    assert ended["released"] == [] and following.tags() == {"base-v0.1.0", "ml-v0.1.0"}
    sha = f"sha-{following.git('rev-parse', 'HEAD')[:7]}"
    assert following.images("ml") - before == {"pr-7", sha}
    assert following.digest("ml", "pr-7") == following.digest("ml", sha) != following.digest("ml", "edge")
    following.environment = {**MAIN, "CI_PIPELINE_SOURCE": "schedule"}
    following.git("switch", "--quiet", "main")
    following.release()
    assert following.digest("ml", "nightly") == following.digest("ml", "0.1.0")
    rows = following.dsci("tags", "--json").json
    assert {"main", "edge", "nightly"} <= set(rows[1]["run_tags"])


def test_a_failing_suite_moves_no_name(following: Project) -> None:
    following.release()
    names = {tag: following.digest("ml", tag) for tag in following.images("ml")}
    suite = 'schemaVersion: "2.0.0"\nfileExistenceTests:\n  - {name: none, path: /nowhere}\n'
    following.commit("feat: broken [skip release]", {"images/ml/model.txt": "v2\n", "images/ml/suites/a.yaml": suite})
    following.release(code=1)
    assert {tag: following.digest("ml", tag) for tag in following.images("ml")} == names


def test_two_registries_show_the_same(following: Project, tmp_path: object) -> None:
    assert following.registry is not None
    here, there = (f"{following.registry.address}/{following.prefix}/{name}" for name in ("a", "b"))
    following.commit("chore: two", {"dsci.yaml": RULES + f"registries: [{here}, {there}]\n"})
    address, prefix = following.registry.address, following.prefix
    registry, following.registry = following.registry, None
    following.commit("feat: a model [skip release]", {"images/ml/model.txt": "v2\n"})
    following.dsci("release", "--json")
    following.registry = registry
    digests = {registry.digest(f"{prefix}/{name}/ml", "main") for name in ("a", "b")}
    assert len(digests) == 1 and None not in digests and address
