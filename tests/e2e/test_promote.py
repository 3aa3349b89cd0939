"""`dsci promote` on a real registry and a real remote; no engine is asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.claiming import claim
from tests.e2e.conftest import Project


@pytest.fixture
def candidate(tiny: Project) -> Project:
    """`ml` 1.0.0, and 1.1.0-rc.1 and -rc.2 on a branch of their own."""
    tiny.push("chore: a channel", {"dsci.yaml": "versioning:\n  prereleases: {next: rc}\n"})
    claim(tiny, "base 1.0.0", "ml 1.0.0")
    tiny.git("switch", "--quiet", "--create", "next")
    for number in (1, 2):
        tiny.commit(f"feat: {number}", {"images/ml/model.txt": str(number)})
        claim(tiny, f"ml 1.1.0-rc.{number}")
    return tiny


def children(project: Project, tag: str) -> list[str]:
    assert project.registry is not None
    return [each["digest"] for each in project.registry.manifest(f"{project.prefix}/ml", tag)["manifests"]]


def test_what_was_tested_is_what_becomes_stable(candidate: Project, tmp_path: Path) -> None:
    shown = candidate.dsci("promote", "ml", "1.1.0-rc.2", "--dry-run").stdout
    assert "1.1.0-rc.2 → 1.1.0" in shown and "ml-v1.1.0" in shown and "nothing was changed" in shown
    assert "ml-v1.1.0" not in candidate.tags() and candidate.digest("ml", "1.1.0") is None
    done = candidate.dsci("promote", "ml", "v1.1.0-rc.2", "--json").json
    assert done["claimed"] and done["version"] == "1.1.0"
    assert children(candidate, "1.1.0") == children(candidate, "1.1.0-rc.2") != children(candidate, "1.1.0-rc.1")
    assert {candidate.digest("ml", tag) for tag in ("1.1.0", "1.1", "1", "latest")} == {done["digests"]["ml"]}
    annotations = candidate.registry.manifest(f"{candidate.prefix}/ml", "1.1.0")["annotations"]  # type: ignore[union-attr]
    assert annotations["org.opencontainers.image.version"] == "1.1.0"
    ours, theirs = (candidate.git("rev-list", "-1", f"ml-v{version}") for version in ("1.1.0", "1.1.0-rc.2"))
    assert ours == theirs, "it stands on the prerelease's own commit"
    assert "1.1.0" in candidate.dsci_alone("ledger", "ml").stdout
    # Again it writes nothing, also from another machine.
    other = candidate.elsewhere(tmp_path / "other")
    again = other.dsci("promote", "ml", "1.1.0-rc.2", "--json").json
    assert not again["claimed"] and not any(each["changed"] for each in again["publications"])
    assert candidate.dsci("verify", "--tags").code == 0


def test_two_who_promote_at_once_make_one_release(candidate: Project, tmp_path: Path) -> None:
    others = [candidate, candidate.elsewhere(tmp_path / "one"), candidate.elsewhere(tmp_path / "two")]
    running = [each.start("promote", "ml", "1.1.0-rc.2") for each in others]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert candidate.digest("ml", "1.1.0") == candidate.digest("ml", "latest")


def test_who_was_cut_off_after_the_claim_is_finished(candidate: Project) -> None:
    hook = Path(str(candidate.remote)) / "hooks" / "post-receive"
    hook.write_text("#!/bin/sh\nwhile read old new ref; do case $ref in refs/tags/*) kill -9 $DSCI_PID;; esac; done\n")
    hook.chmod(0o755)
    running = subprocess.Popen(
        ["sh", "-c", 'DSCI_PID=$$ exec "$@"', "sh", *candidate.argv("promote", "ml", "1.1.0-rc.2")],
        cwd=candidate.folder,
        env=candidate.env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert running.wait(120) == -9
    hook.unlink()
    assert "ml-v1.1.0" in candidate.tags() and candidate.digest("ml", "1.1.0") is None
    candidate.dsci("promote", "ml", "1.1.0-rc.2")
    assert children(candidate, "latest") == children(candidate, "1.1.0-rc.2")


@pytest.mark.parametrize(
    ("version", "code", "said"),
    [
        ("1.0.0", 2, "1.0.0 is no prerelease"),
        ("1.1.0-rc.9", 2, "is not released by dsci"),
    ],
)
def test_what_cannot_be_promoted(candidate: Project, version: str, code: int, said: str) -> None:
    before = candidate.tags()
    assert said in candidate.dsci("promote", "ml", version, code=code).stderr
    assert candidate.tags() == before


def test_a_version_that_was_released_otherwise_is_a_conflict(candidate: Project) -> None:
    candidate.dsci("promote", "ml", "1.1.0-rc.1")
    said = candidate.dsci("promote", "ml", "1.1.0-rc.2", code=6).stderr
    assert "ml 1.1.0 is released already, by ml-v1.1.0" in said
    candidate.dsci("yank", "ml", "1.1.0-rc.2", "--why", "leaks")
    assert "passed over: yanked: leaks" in candidate.dsci("promote", "ml", "1.1.0-rc.2", code=2).stderr
