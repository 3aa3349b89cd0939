"""Build caches by the real command: what another machine goes on from, and who may write."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from tests.e2e.conftest import Project, layers, outcomes, released
from tests.secondengine import Endpoint, relay, second_engine

pytestmark = pytest.mark.engine

RANDOM = "FROM debian:bookworm-slim\nRUN head -c 16 /dev/urandom | od -An -tx1 > /etc/random\nCOPY note /etc/note\n"
STEP = "CACHED [1/3] RUN"


@pytest.fixture(scope="module")
def forgetful() -> Iterator[Endpoint]:
    with second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=True) as endpoint:
        yield endpoint


def forget(project: Project) -> None:
    """Make the project's own engine a machine that has never built anything."""
    assert "DOCKER_HOST" in project.environment, "nobody else's"
    for words in (("system", "prune", "--all", "--force"), ("builder", "prune", "--all", "--force")):
        subprocess.run(["docker", *words], check=True, capture_output=True, env=project.env())


def caches(project: Project, name: str) -> set[str]:
    assert project.registry is not None
    tags = project.registry.tags(f"{project.prefix}/{name}", public=False)
    return {tag for tag in tags if tag.startswith("dsci-cache-")}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["registry", "local"])
def test_a_machine_that_never_built_goes_on_from_the_steps_of_another(
    tiny: Project, forgetful: Endpoint, how: str
) -> None:
    assert tiny.registry is not None
    tiny.environment["DOCKER_HOST"] = str(forgetful)
    with relay(forgetful.gateway, tiny.registry.address) as there:
        settings = {"registry": f"cache: {{type: registry, repository: {there}/{tiny.prefix}/steps}}\n"}
        tiny.push(
            "feat: a step whose outcome is never the same",
            {"images/base/Dockerfile": RANDOM, "dsci.yaml": settings.get(how, f"cache: {how}\n")},
        )
        first = tiny.release()
        assert f"cache: {how}: as asked for" in first.stderr and STEP not in first.stderr
        forget(tiny)
        tiny.commit("fix(base): another note", {"images/base/note": "another\n"})
        second = tiny.release()
    assert released(second) == {"base": "0.1.1", "ml": "0.1.1"}
    assert f"base@linux/amd64  {STEP}" in second.stderr, second.stderr
    one, two = layers(tiny, "base", "0.1.0"), layers(tiny, "base", "0.1.1")
    assert one[:2] == two[:2] and one[2] != two[2], "the very layer that the random text is in"
    # What needs no build touches no cache.
    forget(tiny)
    before = tiny.registry.writes()
    third = tiny.release()
    assert outcomes(third) == {} and "cache" not in third.stderr and tiny.registry.writes() == before
    if how == "local":
        folder = tiny.state / "dsci" / "cache" / tiny.git("rev-list", "--max-parents=0", "HEAD")[:12]
        assert {path.name for path in folder.iterdir()} == {"base-linux-amd64", "ml-linux-amd64"}
        assert tiny.git("status", "--porcelain") == ""


def test_who_may_write(tiny: Project) -> None:
    tiny.environment["GITHUB_ACTIONS"] = "true"
    tiny.environment["GITHUB_REF"] = "refs/pull/7/merge"
    request = tiny.dsci("build", "--cache", "registry")
    assert "what a request brings is kept for nobody" in request.stderr and caches(tiny, "base") == set()
    tiny.environment["GITHUB_REF"] = "refs/heads/main"
    tiny.write({"images/base/note": "uncommitted\n"})
    dirty = tiny.dsci("build", "--cache", "registry")
    assert "uncommitted work" in dirty.stderr and caches(tiny, "base") == set()
    tiny.commit("fix: a note")
    tiny.dsci("build", "--cache", "registry")
    assert caches(tiny, "base") == {"dsci-cache-base-linux-amd64"}
    assert caches(tiny, "ml") == {"dsci-cache-ml-linux-amd64"}


def test_auto_and_the_keys(tiny: Project) -> None:
    without = tiny.dsci("plan", "--json").json
    tiny.commit("chore: caches", {"dsci.yaml": "cache: auto\n"})
    with_cache = tiny.dsci("plan", "--json").json
    assert [item["key"] for item in with_cache["targets"]] == [item["key"] for item in without["targets"]]
    ended = tiny.dsci("build")
    assert "cache: registry: a registry is configured" in ended.stderr and caches(tiny, "ml")
    off = tiny.dsci("build", "--force", "--cache", "none")
    assert "cache" not in off.stderr


@pytest.mark.slow
def test_an_engine_that_cannot_write_caches_says_so_and_builds(tiny: Project) -> None:
    with second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=False) as classic:
        tiny.environment["DOCKER_HOST"] = str(classic)
        ended = tiny.dsci("build", "--cache", "local")
        told = [line for line in ended.stderr.splitlines() if line.startswith("cache: ")]
        assert len(told) == 2 and "classic image store writes no caches" in told[1], told
        assert set(outcomes(tiny.dsci("build", "--force", "--json", "--cache", "auto")).values()) == {"ok"}


def test_a_token_without_a_service_fails_nothing_and_is_never_shown(tiny: Project) -> None:
    token = "canary-token-9f2c"
    tiny.environment |= {"ACTIONS_RUNTIME_TOKEN": token, "ACTIONS_CACHE_URL": "http://127.0.0.1:9/"}
    ended = tiny.dsci("--debug", "build", "--cache", "auto")
    assert "cache: gha: GitHub's cache service is here" in ended.stderr
    assert "the build cache is out of order" in ended.stderr and token not in ended.stderr + ended.stdout


def test_a_cache_folder_in_the_work_tree_is_refused(tiny: Project) -> None:
    tiny.environment["DSCI_CACHE_DIR"] = str(tiny.folder / ".cache")
    assert "inside the repository" in tiny.dsci("build", "--cache", "local", code=2).stderr
