"""The pitfalls of content keys that show with a real engine and a real registry only.

Each has its number in `docs/pitfalls.md`, which says where the tests of the others are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import TINY, Project, outcomes, released
from tests.realengine import NATIVE, docker, tar_of

pytestmark = pytest.mark.engine

ML = f"ml@{NATIVE}"
SECRET = "s3cr3t-0f-the-t0ken-9b1c"


def target(project: Project, image: str) -> dict[str, Any]:
    """What a plan says of an image's only target."""
    (found,) = (each for each in project.dsci("plan", "--json").json["targets"] if each["image"] == image)
    return found


def manifest(project: Project, image: str, digest: str) -> dict[str, Any]:
    """The manifest of an image."""
    assert project.registry is not None
    return project.registry.manifest(f"{project.prefix}/{image}", digest)


def config(project: Project, image: str, digest: str) -> dict[str, Any]:
    """The config of an image."""
    assert project.registry is not None
    return project.registry.blob(f"{project.prefix}/{image}", manifest(project, image, digest)["config"]["digest"])


def layers(project: Project, image: str, digest: str) -> list[str]:
    """The digests of an image's layers."""
    return [layer["digest"] for layer in manifest(project, image, digest)["layers"]]


def another_machine_was_faster(project: Project, image: str) -> tuple[str, str]:
    """Put other bytes of the same inputs under an image's key, without their receipt; gives the tag and the digest."""
    assert project.registry is not None
    mine, repository = target(project, image), f"{project.prefix}/{image}"
    keyed = f"dsci-{mine['key'][:40]}"
    content = json.dumps({**config(project, image, mine["digest"]), "author": "another machine"}).encode()
    theirs = manifest(project, image, mine["digest"])
    blob = {"digest": project.registry.put_blob(repository, content), "size": len(content)}
    for tag in project.registry.tags(repository, public=False):
        if tag.startswith(keyed):
            project.registry.delete_tag(repository, tag, named=False)
    digest = project.registry.put(repository, keyed, {**theirs, "config": {**theirs["config"], **blob}})
    assert digest != mine["digest"]
    return keyed, digest


def push_base(project: Project, name: str, note: str, *, provenance: bool = False) -> str:
    """Build an image outside dsci and push it; gives the digest that its tag names then."""
    context = tar_of({"Dockerfile": "FROM debian:bookworm-slim\nCOPY note /etc/outside\n", "note": note})
    options = [f"--provenance={str(provenance).lower()}", "--build-arg=SOURCE_DATE_EPOCH=1700000000", "--push"]
    docker("buildx", "build", "--quiet", *options, f"--tag={name}", "-", stdin=context)
    repository, _, tag = name.partition("/")[2].rpartition(":")
    assert project.registry is not None
    digest = project.registry.digest(repository, tag)
    assert digest is not None
    return digest


def test_2_what_a_link_leads_to_outside_the_context_is_never_taken(tiny: Project) -> None:
    """BuildKit follows a link inside the context; ours holds no more than what is in the key."""
    (tiny.folder / "images/ml/out").symlink_to("../../outside.txt")
    linked = {"outside.txt": "not an input\n", "images/ml/Dockerfile": "FROM base\nCOPY out /opt/out\n"}
    tiny.commit("feat(ml): a link", linked)
    ended = tiny.dsci("release", "--json", code=1)
    assert outcomes(ended)["ml build"] == "failed" and "images/ml/Dockerfile:2: " in ended.stderr
    tiny.commit("fix(ml): the link itself", {"images/ml/Dockerfile": "FROM base\nCOPY . /opt/\n"})
    assert released(tiny.release()) == {"base": "0.1.0", "ml": "0.1.0"}
    tiny.commit("docs: what it leads to", {"outside.txt": "changed\n"})
    assert tiny.actions() == {"base": "reuse", "ml": "reuse"}


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore"])
def test_2_a_link_in_the_place_of_a_file_that_dsci_reads_is_refused_by_name(tiny: Project, name: str) -> None:
    """What it leads to could change, and no key would show it."""
    path = tiny.folder / "images/ml" / name
    path.unlink(missing_ok=True)
    path.symlink_to("../../shared")
    tiny.commit("feat(ml): share it", {"shared": TINY["ml"]})
    refused = tiny.dsci("plan", code=2)
    assert f"images/ml/{name} is a link" in refused.stderr and "images.NAME.dockerfile" in refused.stderr


def test_7_an_index_that_changes_around_the_same_image_moves_nothing(tiny: Project) -> None:
    """Provenance gives an index another digest with every build. Keys are made of what is inside it."""
    assert tiny.registry is not None
    name = f"{tiny.registry.address}/{tiny.prefix}/outside:1"
    first = push_base(tiny, name, "one\n", provenance=True)
    inside = manifest(tiny, "outside", first)["manifests"][0]["digest"]
    tiny.commit("feat: an outer base", {"images/base/Dockerfile": f"FROM {name}\nCOPY note /etc/note\n"})
    tiny.release()
    before = target(tiny, "base")
    again = push_base(tiny, name, "one\n", provenance=True)
    assert again != first and manifest(tiny, "outside", again)["manifests"][0]["digest"] == inside
    tiny.dsci("lock")
    lock = (tiny.folder / "dsci.lock").read_text()
    assert inside in lock and first not in lock and again not in lock
    tiny.commit("chore: lock")
    assert target(tiny, "base")["key"] == before["key"] and set(tiny.actions().values()) == {"reuse"}
    # Another image under the same tag moves it.
    push_base(tiny, name, "two\n", provenance=True)
    tiny.dsci("lock", "--update")
    tiny.commit("chore: lock")
    assert target(tiny, "base")["key"] != before["key"] and tiny.actions() == {"base": "build", "ml": "build"}


def test_8_a_parent_that_changed_its_labels_alone_costs_its_children_no_layer(tiny: Project) -> None:
    """Children say on what they stand, so they are built again; every layer comes from BuildKit's cache."""
    tiny.release()
    old = target(tiny, "ml")["digest"]
    tiny.commit("fix(base): a label", {"images/base/Dockerfile": f'{TINY["base"]}LABEL colour="blue"\n'})
    ended = tiny.release()
    assert outcomes(ended) == {"base build": "ok", "ml build": "ok"}
    new, base = target(tiny, "ml")["digest"], target(tiny, "base")["digest"]
    assert new != old
    assert layers(tiny, "ml", new) == layers(tiny, "ml", old)
    labels = config(tiny, "ml", new)["config"]["Labels"]
    assert labels["colour"] == "blue" and labels["org.opencontainers.image.base.digest"] == base


def test_9_a_base_that_moves_while_it_is_built_upon_is_one_base(tiny: Project) -> None:
    """Resolved once: every image of a run stands on the same one, and its label says which."""
    assert tiny.registry is not None
    name = f"{tiny.registry.address}/{tiny.prefix}/outside:1"
    first = push_base(tiny, name, "one\n")
    files = {
        "dsci.yaml": "images: {ml: {needs: [base]}}\n",
        "images/base/Dockerfile": f"FROM {name}\nRUN sleep 4\n",
        "images/ml/Dockerfile": f"FROM {name}\nCOPY model.txt /opt/\n",
    }
    tiny.commit("feat: two on one", files)
    process = tiny.start("release", "--json", "--jobs", "1")
    assert process.stderr is not None
    while "RUN sleep 4" not in (line := process.stderr.readline()):
        assert line, "it ended before it began to build"
    assert push_base(tiny, name, "two\n") != first
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert {item["status"] for item in json.loads(stdout)["outcomes"]} == {"ok"}
    wanted = layers(tiny, "outside", first)
    for image in ("base", "ml"):
        digest = target(tiny, image)["digest"]
        assert config(tiny, image, digest)["config"]["Labels"]["org.opencontainers.image.base.digest"] == first
        assert layers(tiny, image, digest)[: len(wanted)] == wanted


def test_13_an_image_that_lost_a_layer_is_built_again_when_it_is_needed(tiny: Project) -> None:
    """The registry keeps the manifest and has lost a blob, which shows in no manifest."""
    assert tiny.registry is not None
    tiny.release()
    repository, old = f"{tiny.prefix}/base", target(tiny, "base")
    layer = layers(tiny, "base", old["digest"])[-1]
    tiny.registry.delete_blob(repository, layer)
    assert not tiny.registry.has_blob(repository, layer) and tiny.digest("base", old["digest"]) == old["digest"]
    tiny.commit("fix(ml): next", {"images/ml/model.txt": "v2\n"})
    ended = tiny.release()
    assert outcomes(ended) == {"base build": "ok", "ml build": "ok"} and released(ended) == {"ml": "0.1.1"}
    reasons = {each["image"]: each["reason"] for each in ended.json["plan"]["targets"]}
    assert "has lost 1 of" in reasons["base"]
    # The same bytes came out: what was released before is whole again, too.
    assert target(tiny, "base")["digest"] == old["digest"] and tiny.registry.has_blob(repository, layer)
    assert set(tiny.actions().values()) == {"reuse"}


def test_13_where_other_bytes_come_out_the_broken_image_is_replaced_and_its_tag_stays(tiny: Project) -> None:
    assert tiny.registry is not None
    tiny.release()
    keyed, broken = another_machine_was_faster(tiny, "base")
    tiny.release()
    assert target(tiny, "base")["digest"] == broken
    repository = f"{tiny.prefix}/base"
    tiny.registry.delete_blob(repository, manifest(tiny, "base", broken)["config"]["digest"])
    tiny.commit("fix(ml): next", {"images/ml/model.txt": "v2\n"})
    ended = tiny.release()
    assert outcomes(ended) == {"base build": "ok", "ml build": "ok"} and released(ended) == {"ml": "0.1.1"}
    assert tiny.digest("base", keyed) == broken, "a keyed tag never moves"
    new = target(tiny, "base")["digest"]
    assert new != broken
    base = config(tiny, "ml", target(tiny, "ml")["digest"])["config"]["Labels"]["org.opencontainers.image.base.digest"]
    assert base == new and set(tiny.actions().values()) == {"reuse"}


def test_13_a_lost_layer_is_built_again_for_a_changed_suite_too(tiny: Project) -> None:
    assert tiny.registry is not None
    suite = 'schemaVersion: "2.0.0"\nfileExistenceTests: [{name: note, path: /etc/note}]\n'
    tiny.commit("test(base): a suite", {"images/base/suites/s.yaml": suite})
    tiny.release()
    tiny.registry.delete_blob(f"{tiny.prefix}/base", layers(tiny, "base", target(tiny, "base")["digest"])[-1])
    tiny.commit("test(base): another", {"images/base/suites/s.yaml": suite.replace("name: note", "name: a note")})
    assert tiny.actions() == {"base": "test", "ml": "test"}
    assert outcomes(tiny.release()) == {
        "base build": "ok",
        "base test": "ok",
        "ml build": "ok",
        "ml test": "ok",
    }


def test_14_who_writes_a_key_first_has_written_it(tiny: Project) -> None:
    """Another machine was faster, with other bytes of the same inputs: they are used, and never overwritten."""
    assert tiny.registry is not None
    tiny.release()
    keyed, other = another_machine_was_faster(tiny, "ml")
    ended = tiny.release()
    (built,) = (item for item in ended.json["outcomes"] if item["subject"] == ML)
    assert (built["stage"], built["status"], built["digest"]) == ("build", "ok", other)
    assert built["detail"] == "an image of this key was there already, and is used"
    assert tiny.digest("ml", keyed) == other and tiny.actions() == {"base": "reuse", "ml": "reuse"}


@pytest.fixture
def fork(tiny: Project) -> Project:
    """A pull request from a fork, in a job that could push: a changed suite and a changed image."""
    suite = 'schemaVersion: "2.0.0"\nfileExistenceTests: [{name: note, path: /etc/note}]\n'
    rules = "tags: ['{version}', latest, 'type=ref,event=pr']\n"
    tiny.commit("feat: a suite", {"images/base/suites/s.yaml": suite, "dsci.yaml": rules})
    tiny.release()
    tiny.in_request_of_a_fork()
    changed = {"images/base/suites/s.yaml": suite.replace("name: note", "name: a note"), "images/ml/model.txt": "v2\n"}
    tiny.commit("feat(ml): a stranger's", changed)
    return tiny


@pytest.mark.parametrize("command", ["release", "test", "build"])
def test_16_a_request_from_a_fork_is_built_and_tested_and_leaves_no_trace(fork: Project, command: str) -> None:
    """Not under a key, not under a name, not in Git: what strangers build is nobody else's to find."""
    assert fork.registry is not None
    before, names, tags = fork.registry.writes(), fork.everything(), fork.tags()
    ended = fork.dsci(command, "--json", *(() if command == "release" else ("--no-keep",)))
    tested = {} if command == "build" else {"base test": "ok", "ml test": "ok"}
    assert outcomes(ended) == {"ml build": "ok"} | tested
    assert "a request from another repository" in ended.stderr
    assert fork.registry.writes() == before and fork.everything() == names and fork.tags() == tags
    assert fork.actions()["ml"] == "build", "the next run has to do it itself"


@pytest.mark.parametrize("source", ["env: THE_TOKEN", pytest.param("file: {file}", marks=pytest.mark.slow)])
def test_16_a_fork_gets_no_secret_of_the_machine_into_its_build(fork: Project, tmp_path: Path, source: str) -> None:
    """Its own dsci.yaml says which variable or file is wanted, and its own Dockerfile what becomes of it."""
    (tmp_path / "token").write_text(SECRET)
    fork.environment["THE_TOKEN"] = SECRET
    settings = f"images:\n  ml:\n    secrets: [{{id: token, {source}}}]\n".replace("{file}", str(tmp_path / "token"))
    theft = "RUN --mount=type=secret,id=token cat /run/secrets/token > /stolen && test -s /stolen\n"
    fork.commit("feat: harmless", {"dsci.yaml": settings, "images/ml/Dockerfile": TINY["ml"] + theft})
    ended = fork.dsci("test", "--json", code=1)
    assert outcomes(ended)["ml build"] == "failed"
    assert "the secret 'token' is not for a request from another repository" in ended.stderr
    fork.environment = {name: value for name, value in fork.environment.items() if not name.startswith("GITHUB_")}
    assert outcomes(fork.dsci("test", "--json"))["ml build"] == "ok", "whom the machine belongs to has it"


def test_16_a_fork_cannot_pass_for_a_branch(fork: Project, tmp_path: Path) -> None:
    assert fork.registry is not None
    before = fork.registry.writes()
    fork.dsci("release", "--json", "--trigger", "branch", "--ref", "refs/heads/main")
    assert fork.registry.writes() == before
    plan = tmp_path / "plan.json"
    plan.write_text(fork.dsci("plan", "--json").stdout)
    refused = fork.dsci("build", "--only", ML, "--plan", str(plan), code=2)
    assert "a request from another repository pushes nothing" in refused.stderr and "dsci test" in refused.stderr
    assert fork.registry.writes() == before
