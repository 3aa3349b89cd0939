"""`dsci gc` by the real command: shown first, never without a yes, exactly what was shown, nothing that is needed."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.e2e.conftest import Project
from tests.pipeline.stocked import DAY, Stock

from dsci.drivers.registry import HttpRegistry
from dsci.model.reference import Repository

pytestmark = pytest.mark.engine

RULES = "tags: ['{version}', latest, '{branch}', 'type=ref,event=pr']\n"
MAIN = {"GITLAB_CI": "true", "CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main"}
REQUEST = {
    "GITLAB_CI": "true",
    "CI_MERGE_REQUEST_IID": "7",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    "CI_DEFAULT_BRANCH": "main",
}


@pytest.fixture
def old(empty: Project) -> Iterator[Project]:
    """A family whose repository has what runs left in it two months ago, and a release of then."""
    empty.push("feat: one image", {"images/ml/Dockerfile": "FROM debian:bookworm-slim\n", "dsci.yaml": RULES})
    assert empty.registry is not None
    client = HttpRegistry()
    stock = Stock(client, Repository(empty.registry.address, f"{empty.prefix}/ml"))
    images = [stock.push(name, f"{number:02x}" * 32) for number, name in enumerate(("a", "b", "c", "d"), 16)]
    release = stock.followed("0.1.0", "latest", of=[images[0]], number="1")
    empty.git("tag", "-a", "-m", f"ml 0.1.0\n\nDsci-Digest: {release}", "ml-v0.1.0")
    empty.git("push", "--quiet", "origin", "ml-v0.1.0")
    for number, tag in enumerate(("main", "wip", "pr-7"), 1):
        stock.followed(tag, of=[images[number]], number=tag, age=20 * DAY if tag == "pr-7" else 60 * DAY)
    yield empty
    client.close()


def kept(project: Project) -> set[str]:
    assert project.registry is not None
    return project.registry.tags(f"{project.prefix}/ml", public=False)


def test_what_is_shown_is_what_goes_and_only_with_a_yes(old: Project) -> None:
    before = kept(old)
    shown = old.dsci("gc", "--dry-run")
    lines = {line.split()[1].rpartition("/")[2].partition(" ")[0]: line for line in shown.stdout.splitlines()[1:-1]}
    assert "20 d  nobody: may go (requests: older than 14d)" in lines["ml:pr-7"]
    assert "60 d  nobody: may go (branches: older than 30d)" in lines["ml:wip"]
    assert len(lines) == 6 and "6 of them may go" in shown.stdout and "nothing was removed" in shown.stdout
    # Settings say otherwise, or are wrong; a flag says otherwise.
    old.push("chore: ages", {"dsci.yaml": RULES + "retention:\n  requests: 2 weeks\n"})
    assert "dsci.yaml:3: retention.requests: '2 weeks' is no age" in old.dsci("gc", "--dry-run", code=2).stderr
    old.push("chore: ages", {"dsci.yaml": RULES + "retention:\n  requests: never\n  keep: ['w*']\n"})
    everything = old.dsci("cache", "ls").stdout
    assert "retention.requests is never" in everything and "tag wip" in everything
    assert "there is nothing to remove" in old.dsci("gc", "--dry-run").stdout
    old.push("chore: ages", {"dsci.yaml": RULES})
    assert "there is nothing to remove" in old.dsci("gc", "--dry-run", "--older-than", "90d").stdout
    # Nobody can be asked, or may.
    for command in ((), ("--json",), ("--yes", "--dry-run")):
        assert "--yes" in old.dsci("gc", *command, code=2).stderr
    assert ask(old, "n\n") == 0 and kept(old) == before
    old.in_request_of_a_fork()
    assert "removes nothing" in old.dsci("gc", "--yes", code=2).stderr and kept(old) == before
    old.environment.clear()
    going = document(old.dsci("gc", "--dry-run", "--json").json)
    done = old.dsci("gc", "--yes", "--json").json
    assert set(done["removed"]) == going and len(going) == 6 and done["restored"] == [] and done["untagged"] == []
    assert old.images("ml") == {"main", "0.1.0", "latest"}
    assert old.dsci("gc", "--yes").stdout.strip() == "there is nothing to remove"


def document(shown: dict) -> set[str]:
    """The references of what a document says may go."""
    return {
        f"{place['repository']}@{item['digest']}"
        for place in shown["repositories"]
        for item in place["items"]
        if not item["keep"]
    }


def test_a_person_is_asked(old: Project) -> None:
    assert ask(old, "y\n") == 0 and old.images("ml") == {"main", "0.1.0", "latest"}


def ask(project: Project, answer: str) -> int:
    """Run `dsci gc` at a terminal, and answer; gives the exit code."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        project.argv("gc"),
        cwd=project.folder,
        env=project.env(),
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(master, answer.encode())
    stdout, stderr = process.communicate(timeout=60)
    os.close(master)
    os.close(slave)
    assert ":pr-7" in stdout and "[y/N]" in stderr, stderr
    return process.returncode


@pytest.mark.slow
@pytest.mark.parametrize("where", ["docker-registry", "here"])
def test_what_real_runs_leave(tiny: Project, where: str) -> None:
    """A release, a request that was closed and a branch that is gone; then nothing has to be built again."""
    registry = tiny.registry
    tiny.registry = registry if where == "docker-registry" else None
    tiny.push("chore: names that follow", {"dsci.yaml": RULES})
    tiny.environment = dict(MAIN)
    tiny.release()
    for branch, environment in (("wip", MAIN | {"CI_COMMIT_BRANCH": "wip"}), ("request", REQUEST)):
        tiny.git("switch", "--quiet", "-c", branch, "main")
        tiny.commit(f"feat: {branch} [skip release]", {"images/ml/model.txt": f"{branch}\n"})
        tiny.environment = dict(environment)
        tiny.release()
        tiny.git("switch", "--quiet", "main")
    tiny.environment = dict(MAIN)
    assert "there is nothing to remove" in tiny.dsci("gc", "--dry-run").stdout, "all of it is young"
    time.sleep(1.1)
    live = tiny.dsci("gc", "--dry-run", "--older-than", "0").stdout
    assert ":wip" not in live and ":pr-7" in live
    for branch in ("wip", "request"):
        tiny.git("branch", "--quiet", "-D", branch)
    done = tiny.dsci("gc", "--yes", "--older-than", "0").stdout
    assert ":wip" in done and "branches: older than 0d" in done and "requests: older than 0d" in done
    if where == "docker-registry":
        assert registry is not None
        assert tiny.images("ml") == tiny.images("base") == {"main", "0.1.0", "latest"}
        writes = registry.writes()
        assert tiny.release().json["outcomes"] == [] and registry.writes() == writes
    assert set(tiny.actions().values()) == {"reuse"}
    assert tiny.dsci("gc", "--yes", "--older-than", "0").stdout.strip() == "there is nothing to remove"
    tiny.registry = registry
