"""One image in several makes, all the way: real Git, real engine, real registry (rule 7)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.e2e.conftest import Project, make_project, outcomes
from tests.realregistry import RealRegistry

pytestmark = pytest.mark.engine

#: ml for two Pythons, and once for CUDA; app like it by the accelerator; trainer on the CUDA one alone.
SETTINGS = """\
images:
  ml:
    variants:
      axes: {python: ["3.12", "3.11"], accelerator: [cpu, cuda12]}
      args: {PYTHON_VERSION: "{python}"}
      exclude: [{python: "3.11", accelerator: cuda12}]
      overrides:
        - when: {accelerator: cuda12}
          suites: [tests/cuda.yaml]
  app:
    variants: {axes: {accelerator: [cpu, cuda12]}}
"""
MORE = SETTINGS.replace('      exclude: [{python: "3.11", accelerator: cuda12}]\n', "")
FILES = {
    "dsci.yaml": SETTINGS,
    "images/ml/Dockerfile": "FROM debian:bookworm-slim\nARG PYTHON_VERSION ACCELERATOR\n"
    'RUN echo "$PYTHON_VERSION on $ACCELERATOR" > /etc/ml\n',
    "images/ml/suites/ml.yaml": 'schemaVersion: "2.0.0"\nfileExistenceTests: [{name: ml, path: /etc/ml}]\n',
    "tests/cuda.yaml": 'schemaVersion: "2.0.0"\n'
    'fileContentTests: [{name: cuda, path: /etc/ml, expectedContents: ["3.12 on cuda12"]}]\n',
    "images/app/Dockerfile": "FROM ml\nCOPY app /etc/app\n",
    "images/app/app": "one\n",
    "images/app/suites/app.yaml": 'schemaVersion: "2.0.0"\n'
    'fileContentTests: [{name: stands, path: /etc/ml, expectedContents: ["3.12 on (cpu|cuda12)"]}]\n',
    "images/trainer/Dockerfile": "FROM ml:cuda12\nCOPY train /etc/train\n",
    "images/trainer/train": "one\n",
}
FLOATS = ("0.1.0", "0.1", "0", "latest")


@pytest.fixture
def varied(empty: Project) -> Project:
    """The family above, committed and pushed."""
    empty.push("feat: variants", FILES)
    return empty


def index(project: Project, name: str, tag: str) -> dict:
    assert project.registry is not None
    return project.registry.manifest(f"{project.prefix}/{name}", tag)


def layers(project: Project, name: str, tag: str) -> list[str]:
    assert project.registry is not None
    (child,) = index(project, name, tag)["manifests"]
    manifest = project.registry.manifest(f"{project.prefix}/{name}", child["digest"])
    return [layer["digest"] for layer in manifest["layers"]]


def test_variants_are_built_tested_and_released_as_one_version(varied: Project) -> None:
    sha = varied.git("rev-parse", "--short=12", "HEAD")
    ended = varied.release()
    assert ended.json["released"] == ["ml-v0.1.0", "app-v0.1.0", "trainer-v0.1.0"]
    assert varied.tags() == {"ml-v0.1.0", "app-v0.1.0", "trainer-v0.1.0"}, "one Git tag for all variants of an image"
    assert set(outcomes(ended)) == {
        f"{name} {stage}"
        for name in ("ml", "ml:cuda12", "ml:python3.11", "app", "app:cuda12", "trainer")
        for stage in ("build", "test")
    }
    assert {(suite["target"], suite["suite"]) for suite in ended.json["suites"] if "trainer" in suite["target"]} == {
        ("trainer@linux/amd64", "ml/ml"),
        ("trainer@linux/amd64", "ml/cuda"),
    }, "suites are inherited from the variant that an image stands on"
    endings = {"ml": ("", "-cuda12", "-python3.11"), "app": ("", "-cuda12"), "trainer": ("",)}
    for name, all_of in endings.items():
        assert varied.images(name) == {f"{tag}{end}" for tag in (*FLOATS, f"sha-{sha}") for end in all_of}
        assert len({varied.digest(name, f"latest{end}") for end in all_of}) == len(all_of)
        message = varied.git("cat-file", "tag", f"{name}-v0.1.0").split("\n")
        for end in all_of:
            digest = varied.digest(name, f"0.1.0{end}")
            assert {varied.digest(name, f"{tag}{end}") for tag in FLOATS} == {digest}
            assert f"Dsci-Digest: {digest}{f' {name}:{end[1:]}' if end else ''}" in message
    # Each child stands on its own variant of the parent.
    for name, tag, parent in (
        ("app", "latest", "latest"),
        ("app", "latest-cuda12", "latest-cuda12"),
        ("trainer", "latest", "latest-cuda12"),
    ):
        assert layers(varied, name, tag)[:-1] == layers(varied, "ml", parent)
    said = index(varied, "ml", "latest-cuda12")["annotations"]
    name = "org.opencontainers.image."
    assert (said[f"{name}title"], said[f"{name}version"]) == ("ml:cuda12", "0.1.0")
    assert said[f"{name}ref.name"] == "ml-0.1.0-cuda12"

    assert varied.registry is not None
    writes = varied.registry.writes()
    again = varied.release()
    assert again.json["outcomes"] == [] and again.json["publications"] == [] and varied.registry.writes() == writes

    # A tag that was lost is put back, by what the Git tag says of that variant.
    wanted = varied.digest("ml", "latest-cuda12")
    varied.registry.delete_tag(f"{varied.prefix}/ml", "latest-cuda12", named=False)
    assert varied.release().json["released"] == ["ml-v0.1.0"] and varied.digest("ml", "latest-cuda12") == wanted


def test_every_command_speaks_of_variants(varied: Project) -> None:
    text = " ".join(varied.dsci("plan").stdout.split())
    sha = varied.git("rev-parse", "--short=12", "HEAD")
    assert "├─ app:cuda12@linux/amd64 build" in text and "ml 0.1.0 (first) first release" in text
    assert f"ml:cuda12 0.1.0-cuda12 sha-{sha}-cuda12 0.1-cuda12 0-cuda12 latest-cuda12 git ml-v0.1.0" in text
    varied.release()
    rows = {row["image"]: row for row in varied.dsci("tags", "--json").json}
    assert set(rows["ml:cuda12"]["tags"]) >= {"0.1.0-cuda12", "latest-cuda12"} and "latest" in rows["ml"]["tags"]
    assert {row["image"] for row in varied.dsci("tags", "--json", "ml").json} == {"ml", "ml:cuda12", "ml:python3.11"}
    registry, varied.registry = varied.registry, None
    assert [row["image"] for row in varied.dsci("version", "--json", "ml:cuda12").json] == ["ml"]
    assert varied.dsci("version", "--current", "ml").stdout == "0.1.0\n"
    assert "0.1.0" in varied.dsci("changelog", "ml:cuda12").stdout
    varied.registry = registry

    varied.commit("fix(app): two", {"images/app/app": "two\n"})
    (why,) = varied.dsci("why", "--json", "app:cuda12").json
    assert (why["id"], why["action"], why["release"]) == ("app:cuda12@linux/amd64", "build", "0.1.1")
    assert [file["path"] for file in why["against"]["files"]] == ["images/app/app"]
    assert [need["id"] for need in why["stands_on"]] == ["ml:cuda12@linux/amd64"]
    assert varied.dsci("why", "--json", "app:cpu").json[0]["id"] == "app@linux/amd64"
    (wave,) = varied.dsci("matrix", "app").json
    assert {job["name"]: job["only"] for job in wave} == {
        "app-linux-amd64": ["app@linux/amd64"],
        "app-cuda12-linux-amd64": ["app:cuda12@linux/amd64"],
    }
    ended = varied.dsci("plan", "--json", "ml:cuda13", code=2)
    assert "there is no image 'ml:cuda13' (did you mean 'ml:cuda12'?)" in ended.stderr
    # One of them alone, for this machine; of a changed work tree too.
    varied.write({"images/app/app": "three\n"})
    built = varied.dsci("build", "--json", "app:cuda12")
    assert set(outcomes(built)) == {"app:cuda12 build"}
    (note,) = built.json["notes"]
    assert note.endswith("/app:dev-cuda12")
    subprocess.run(["docker", "image", "rm", note.split()[-1]], check=True, capture_output=True, env=os.environ)


@pytest.mark.slow
def test_a_variant_that_is_added_is_all_that_is_built(varied: Project) -> None:
    varied.release()
    before = {end: index(varied, "ml", f"latest{end}")["manifests"] for end in ("", "-cuda12", "-python3.11")}
    text = FILES["tests/cuda.yaml"].replace("3.12", "3.1[12]")
    varied.commit("feat(ml): CUDA for 3.11", {"dsci.yaml": MORE, "tests/cuda.yaml": text})
    ended = varied.release()
    assert ended.json["released"] == ["ml-v0.1.1"], "what stands on the others is not touched"
    assert {key for key in outcomes(ended) if key.endswith("build")} == {"ml:python3.11-cuda12 build"}
    for end, manifests in before.items():
        assert index(varied, "ml", f"0.1.1{end}")["manifests"] == manifests, "the same image, with its next version"
    assert varied.digest("ml", "latest-python3.11-cuda12") == varied.digest("ml", "0.1.1-python3.11-cuda12")
    assert varied.digest("app", "latest") == varied.digest("app", "0.1.0")

    # Another default: the names without a suffix follow with the next version, and nothing is built for it.
    cuda = index(varied, "ml", "latest-cuda12")["manifests"]
    stays = varied.digest("ml", "latest-cuda12")
    changed = MORE.replace("      args", "      default: {accelerator: cuda12}\n      args")
    changed = changed.replace("axes: {accelerator: [cpu, cuda12]}", "axes: {accelerator: [cuda12, cpu]}")
    varied.commit("feat!: CUDA by default", {"dsci.yaml": changed})
    assert varied.digest("ml", "latest") != stays
    ended = varied.release()
    assert "ml:cuda12, ml:python3.11-cuda12: no variant any more; the tags *-cuda12" in ended.stderr
    assert "ml-v0.1.2" in ended.json["released"] and not [key for key in outcomes(ended) if key.startswith("ml")]
    assert index(varied, "ml", "latest")["manifests"] == cuda and varied.digest("ml", "latest-cuda12") == stays
    assert index(varied, "ml", "latest-cpu")["manifests"] == before[""]
    assert varied.release().json["publications"] == []


def test_a_variant_that_fails_holds_its_image_and_what_stands_on_it(varied: Project) -> None:
    files = {
        "dsci.yaml": SETTINGS + "  lone: {}\ngate: lineage\n",
        "images/lone/Dockerfile": "FROM debian:bookworm-slim\nCOPY x /etc/x\n",
        "images/lone/x": "x\n",
        "tests/cuda.yaml": FILES["tests/cuda.yaml"].replace("cuda12", "cuda11"),
    }
    varied.commit("test: what is not so", files)
    ended = varied.release(code=1)
    told = outcomes(ended)
    assert told["ml:cuda12 test"] == "failed" and told["ml:python3.11 test"] == told["app test"] == "ok"
    assert "blocked" in [status for key, status in told.items() if key.startswith("app:cuda12 ")]
    assert told["ml 0.1.0 release"] == told["app 0.1.0 release"] == told["trainer 0.1.0 release"] == "blocked"
    assert ended.json["released"] == ["lone-v0.1.0"] and varied.images("ml") == set()
    varied.commit("test: what is so", {"tests/cuda.yaml": FILES["tests/cuda.yaml"]})
    ended = varied.release()
    assert set(ended.json["released"]) == {"ml-v0.1.0", "app-v0.1.0", "trainer-v0.1.0"}
    assert not [key for key in outcomes(ended) if key.startswith("ml") and key.endswith("build")]


@pytest.mark.slow
def test_two_machines_claim_the_variants_of_one_commit_at_once(varied: Project) -> None:
    place = varied.state.parent
    other = Project(
        folder=place / "other",
        state=place / "other-state",
        registry=varied.registry,
        remote=varied.remote,
        prefix=varied.prefix,
    )
    varied.git("clone", "--quiet", str(varied.remote), str(other.folder))
    processes = [project.start("release") for project in (varied, other)]
    ended = [process.communicate(timeout=600) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(err for _, err in ended)
    varied.git("fetch", "--quiet", "--tags", "origin")
    message = varied.git("cat-file", "tag", "ml-v0.1.0").split("\n")
    for end in ("cuda12", "python3.11"):
        assert f"Dsci-Digest: {varied.digest('ml', f'0.1.0-{end}')} ml:{end}" in message
        assert varied.digest("ml", f"latest-{end}") == varied.digest("ml", f"0.1.0-{end}")


@pytest.mark.slow
def test_variants_are_shared_among_machines_like_images(varied: Project) -> None:
    plan = varied.state.parent / "plan.json"
    plan.write_text(varied.dsci("plan", "--json").stdout)
    waves = varied.dsci("matrix", "--plan", str(plan)).json
    jobs = [job["only"][0] for wave in waves for job in wave]
    assert len(jobs) == 6 and "ml:cuda12@linux/amd64" in jobs and len({job["name"] for w in waves for job in w}) == 6
    for target in ("ml:cuda12@linux/amd64", "trainer@linux/amd64"):
        ended = varied.dsci("test", "--json", "--only", target, "--plan", str(plan))
        assert set(outcomes(ended)) == {f"{target.partition('@')[0]} {stage}" for stage in ("build", "test")}
    ended = varied.release()
    assert not {key.rpartition(" ")[0] for key in outcomes(ended)} & {"ml:cuda12", "trainer"}
    assert len(ended.json["released"]) == 3


@pytest.mark.slow
def test_a_variant_of_the_embedded_registry_becomes_a_file(varied: Project) -> None:
    varied.registry = None
    varied.release()
    file = varied.state.parent / "ml.tar"
    ended = varied.dsci("export", "ml:cuda12", str(file))
    assert ended.stdout.startswith("dsci.local/") and "/ml:latest-cuda12 → " in ended.stdout and file.stat().st_size
    assert "/ml:latest → " in varied.dsci("export", "ml:cpu", str(file)).stdout
    assert "/ml:0.1.0-cuda12 → " in varied.dsci("export", "ml:0.1.0-cuda12", str(file)).stdout


def test_a_repository_of_one_image_gets_variants(tmp_path: Path, real_registry: RealRegistry) -> None:
    """What was released before there were variants is the default's, and is not built again."""
    project = make_project(tmp_path, real_registry, "one-image-gets-variants")
    files = {"Dockerfile": "FROM debian:bookworm-slim\nARG GPU=none\nRUN echo $GPU > /etc/gpu\n"}
    project.commit("feat: begin", {**files, "dsci.yaml": "images: {ml: {context: ., args: {GPU: none}}}\n"})
    project.release()
    assert project.tags() == {"v0.1.0"}
    before = index(project, "ml", "latest")["manifests"]
    settings = "images: {ml: {context: ., variants: {axes: {gpu: [none, cuda12]}}}}\n"
    project.commit("feat: a variant", {"dsci.yaml": settings})
    ended = project.release()
    assert ended.json["released"] == ["v0.1.1"] and set(outcomes(ended)) >= {"ml:cuda12 build"}
    assert "ml build" not in outcomes(ended) and index(project, "ml", "0.1.1")["manifests"] == before
    assert project.images("ml") >= {"0.1.1", "latest", "0.1.1-cuda12", "latest-cuda12"}
