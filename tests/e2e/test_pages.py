"""Release pages on a forge, written by a real release: once, again by the next run, and by the changelog."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from forges import GitHubServer, GitLabServer, ScriptedForge, said
from tests.e2e.conftest import Project
from tests.githubrunner import without_masks

pytestmark = pytest.mark.engine

SECRET = "canary-of-a-token"
FIRST = {"base-v0.1.0", "ml-v0.1.0"}


@pytest.fixture(params=["github", "gitlab"])
def forge(request: pytest.FixtureRequest, tiny: Project) -> Iterator[ScriptedForge]:
    tiny.commit("chore: pages", {"dsci.yaml": "forge: auto\n"})
    server = GitHubServer if request.param == "github" else GitLabServer
    with server("acme/images", *FIRST, "ml-v0.1.1", secret=SECRET) as made:
        assert isinstance(made, ScriptedForge)
        tiny.environment = (
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_REF": "refs/heads/main",
                "GITHUB_API_URL": made.api,
                "GITHUB_REPOSITORY": "acme/images",
                "GITHUB_SERVER_URL": f"http://{made.host}",
                "GITHUB_TOKEN": SECRET,
            }
            if request.param == "github"
            else {
                "GITLAB_CI": "true",
                "CI_COMMIT_BRANCH": "main",
                "CI_API_V4_URL": made.api,
                "CI_PROJECT_PATH": "acme/images",
                "CI_JOB_TOKEN": SECRET,
            }
        )
        yield made


def shown(server: ScriptedForge) -> dict[str, str]:
    return {page["tag_name"]: page.get("body") or page.get("description") or "" for page in server.pages.values()}


def test_a_release_has_its_pages_and_a_rerun_writes_none(forge: ScriptedForge, tiny: Project) -> None:
    ended = tiny.release()
    assert shown(forge).keys() == FIRST and "two images" in shown(forge)["ml-v0.1.0"]
    assert [item["stage"] for item in ended.json["outcomes"]].count("page") == 2
    assert SECRET not in ended.stdout + without_masks(ended.stderr)
    count = len(forge.written)
    assert [item["stage"] for item in tiny.release().json["outcomes"]] == [] and len(forge.written) == count
    tiny.commit("docs: nothing", {"README.md": "x"})
    looks = len(forge.seen)
    tiny.release()
    assert len(forge.seen) == looks, "a run about a commit that released nothing asks no forge"
    tiny.commit("fix: the model", {"images/ml/model.txt": "v2\n"})
    tiny.release()
    assert shown(forge).keys() == {*FIRST, "ml-v0.1.1"} and "the model" in shown(forge)["ml-v0.1.1"]


def test_a_forge_that_fails_costs_a_page_and_nothing_else(forge: ScriptedForge, tiny: Project) -> None:
    forge.rule("POST", "/releases", said(403, {"message": "no"}), 1, 99)
    ended = tiny.release(code=5)
    assert tiny.tags() == FIRST and {"0.1.0", "latest"} <= tiny.images("ml")
    assert [item["status"] for item in ended.json["outcomes"] if item["stage"] == "page"] == ["failed"]
    assert not forge.pages
    forge.rules.clear()
    assert [item["stage"] for item in tiny.release().json["outcomes"]] == ["page", "page"]
    assert shown(forge).keys() == FIRST


def test_the_changelog_writes_pages_that_lack(forge: ScriptedForge, tiny: Project) -> None:
    tiny.release()
    forge.pages.clear()
    tiny.registry = None  # the changelog knows no --registry
    assert tiny.dsci("changelog", "ml", "--publish").stdout == "1 of 1 pages written\n"
    assert tiny.dsci("changelog", "--publish").stdout == "1 of 2 pages written\n"
    assert tiny.dsci("changelog", "--publish").stdout == "0 of 2 pages written\n"
    del tiny.environment["GITHUB_TOKEN" if forge.kind == "github" else "CI_JOB_TOKEN"]
    ended = tiny.dsci("changelog", "--publish", "--forge", forge.kind, code=5)
    assert "token" in ended.stderr


def test_a_forge_that_is_named_and_cannot_be_had_is_told_before_anything_is_built(tiny: Project) -> None:
    tiny.commit("chore: pages", {"dsci.yaml": "forge: github\n"})
    ended = tiny.release(code=2)
    assert "neither the remote's address nor the CI system says where the project is" in ended.stderr
    assert tiny.tags() == set() and tiny.images("ml") == set()
    tiny.environment = {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/heads/main", "GITHUB_REPOSITORY": "a/b"}
    tiny.environment["GITHUB_API_URL"] = "http://127.0.0.1:9"
    assert "token" in tiny.release(code=5).stderr and tiny.tags() == set()
