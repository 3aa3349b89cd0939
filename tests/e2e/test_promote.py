"""`dsci promote` on a real registry and a real remote; no engine is asked."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.claiming import claim
from tests.e2e.conftest import Project
from tests.faultyproxy import FaultyProxy
from tests.realregistry import RealRegistry


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


PLACE = "promote: {{production: ['{}']}}\n"


def test_a_release_is_copied_to_the_places_that_are_chosen_for_it(tiny: Project, real_registry: RealRegistry) -> None:
    production = f"{real_registry.address}/{tiny.prefix}-production"
    tiny.push("chore: a place", {"dsci.yaml": PLACE.format(production)})
    claim(tiny, "base 1.0.0", "ml 1.0.0")
    for version in ("1.1.0", "1.2.0"):
        tiny.push(f"feat: {version}", {"images/ml/model.txt": version})
        claim(tiny, f"ml {version}")
    there = replace(tiny, prefix=f"{tiny.prefix}-production")
    shown = tiny.dsci("promote", "ml", "1.1.0", "--to", "production", "--dry-run").stdout
    assert "1.1 1 latest" in shown and "nothing was changed" in shown and there.images("ml") == set()
    tiny.dsci("promote", "ml", "1.1.0", "--to", "production")
    sha = {
        tag
        for tag in tiny.images("ml")
        if tag.startswith("sha-") and tiny.digest("ml", tag) == tiny.digest("ml", "1.1.0")
    }
    assert there.images("ml") == {"1.1.0", "1.1", "1", "latest"} | sha
    assert {there.digest("ml", tag) for tag in there.images("ml")} == {tiny.digest("ml", "1.1.0")}
    # An older release moves nothing that a newer one has; nothing is written twice.
    tiny.dsci("promote", "ml", "1.0.0", "--to", "production")
    assert there.digest("ml", "latest") == tiny.digest("ml", "1.1.0") and there.digest("ml", "1.0") == tiny.digest(
        "ml", "1.0.0"
    )
    writes = real_registry.writes()
    assert "everything stood already" in tiny.dsci("promote", "ml", "1.1.0", "--to", "production").stdout
    assert real_registry.writes() - writes <= 2, "only the right to push is proven"
    # What is said of releases counts there, too.
    tiny.dsci("promote", "ml", "1.2.0", "--to", "production")
    assert there.digest("ml", "latest") == tiny.digest("ml", "1.2.0")
    tiny.dsci("yank", "ml", "1.2.0", "--why", "it lies")
    assert there.digest("ml", "latest") == there.digest("ml", "1") == tiny.digest("ml", "1.1.0")
    assert "passed over: yanked" in tiny.dsci("promote", "ml", "1.2.0", "--to", "production", code=2).stderr
    real_registry.retag(f"{there.prefix}/ml", "1.0.0", "latest")
    said = tiny.dsci("verify", "--tags", code=1).stdout.splitlines()
    assert any(line.split()[:2] == ["moved", f"{production}/ml:latest"] for line in said)


def test_places_that_there_are_not(candidate: Project) -> None:
    assert "promote: {production:" in candidate.dsci("promote", "ml", "1.0.0", "--to", "production", code=2).stderr
    candidate.commit("chore: a place", {"dsci.yaml": PLACE.format("127.0.0.1:9/x")})
    said = candidate.dsci("promote", "ml", "1.0.0", "--to", "produktion", code=2).stderr
    assert "did you mean 'production'" in said
    assert candidate.dsci("promote", "ml", "1.0.0", "--to", "production", code=5).stderr


def test_who_is_cut_off_while_a_release_is_copied_is_finished_by_the_same_command(
    tiny: Project, real_registry: RealRegistry
) -> None:
    tiny.push("chore: a place", {"dsci.yaml": PLACE.format(f"{real_registry.address}/{tiny.prefix}-production")})
    claim(tiny, "ml 1.0.0")
    there = replace(tiny, prefix=f"{tiny.prefix}-production")
    proxy = FaultyProxy("127.0.0.1", real_registry.address)
    with proxy.serving():
        tiny.write({"dsci.yaml": PLACE.format(f"{proxy.host}/{tiny.prefix}-production")})
        tiny.commit("chore: through a proxy")
        proxy.fail("PUT", "/manifests/1$", 403)
        assert tiny.dsci("promote", "ml", "1.0.0", "--to", "production", code=5).stderr
        assert "1.0.0" in there.images("ml") and "1" not in there.images("ml")
        proxy.fail("PUT", "/nothing$", 403)
        tiny.dsci("promote", "ml", "1.0.0", "--to", "production")
    assert {"1.0.0", "1", "latest"} <= there.images("ml")
