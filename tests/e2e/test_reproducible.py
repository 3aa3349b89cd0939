"""Reproducible mode and `dsci verify`: equal bytes from another clone, and every kind of proof that fails."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Ended, Project, released
from tests.realregistry import RealRegistry
from tests.secondengine import second_engine
from tests.shiftedclock import runc_ahead

pytestmark = pytest.mark.engine

EXAMPLE = Path(__file__).parents[2] / "examples" / "stack"
#: A shell and little more: BuildKit before 0.14 packs the layers of bases anew too, and Debian's takes its time.
SMALL = """\
FROM debian:bookworm-slim AS tools
RUN for tool in sh cat chmod date grep mkdir tail touch tr; do \\
      cp -L --parents $(command -v $tool) $(ldd $(command -v $tool) | grep -o '/[^ ]*') /mnt; \\
    done && mkdir /mnt/srv /mnt/opt && ln -s usr/bin /mnt/bin
FROM scratch
COPY --from=tools /mnt/ /
"""
#: A parent that another is built on, and files of every age.
FAMILY = {
    "images/base/Dockerfile": """\
FROM $SHELL
RUN mkdir /srv/data && echo base > /srv/data/base && touch -d 2001-01-01 /srv/data/old
""",
    "images/ml/Dockerfile": "FROM base\nCOPY model.txt /opt/\nRUN cat /opt/model.txt > /srv/data/model\n",
    "images/ml/model.txt": "v1\n",
    "dsci.yaml": "reproducible: true\n",
}
AT = {"GIT_AUTHOR_DATE": "2026-02-03T04:05:06Z", "GIT_COMMITTER_DATE": "2026-02-03T04:05:06Z"}
EPOCH = 1_770_091_506


@pytest.fixture(scope="module")
def shell(real_registry: RealRegistry) -> Iterator[str]:
    """An image of a shell and little more, in the registry: what is reproducible would make it anew for each test."""
    name = f"{real_registry.address}/reproducible/shell:1"
    push = ["docker", "buildx", "build", "--provenance=false", f"--tag={name}", "--push", "-"]
    subprocess.run(push, input=SMALL.encode(), capture_output=True, check=True)
    yield name
    subprocess.run(["docker", "rmi", "--force", name], capture_output=True, check=True)


@pytest.fixture
def family(empty: Project, shell: str) -> Project:
    """Two reproducible images, committed on a day of their own."""
    empty.environment |= AT
    empty.push("feat: two images", {name: text.replace("$SHELL", shell) for name, text in FAMILY.items()})
    return empty


def layers(ended: Ended) -> list[dict[str, Any]]:
    """The layers that differ on the one platform."""
    (target,) = ended.json["targets"]
    found: list[dict[str, Any]] = target["layers"]
    return found


def files(layer: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
    """What is told of each file."""
    return {file["path"]: (file["how"], " ".join(file["fields"]), file["cause"]) for file in layer["files"]}


def test_a_release_is_verified_from_another_clone(family: Project, tmp_path: Path) -> None:
    assert released(family.release()) == {"base": "0.1.0", "ml": "0.1.0"}
    other = family.elsewhere(tmp_path / "other")
    status = other.git("status", "--porcelain", "--ignored")
    for name, tag in (("base", ":0.1.0"), ("ml", ":latest")):
        ended = other.dsci("verify", f"{name}{tag}", "--json")
        (target,) = ended.json["targets"]
        assert target["status"] == "equal" and target["released"] == target["rebuilt"] and target["layers"] == []
        assert target["epoch"] == EPOCH and ended.json["git_tag"] == f"{name}-v0.1.0" and ended.json["schema"] == 1
        assert set(target["parents"]) == ({"base@linux/amd64"} if name == "ml" else set())
    assert other.git("status", "--porcelain", "--ignored") == status and not other.in_engine()

    # HEAD may be elsewhere: what is built is what the Git tag names.
    changed = {"images/ml/model.txt": "v2\n", "images/base/Dockerfile": "FROM nothing\n"}
    other.commit("feat!: another world", changed)
    assert "equal, sha256:" in other.dsci("verify", "ml:0.1.0").stdout


@pytest.mark.slow
def test_a_variant_is_verified_by_its_own_tags(family: Project) -> None:
    variants = "variants: {axes: {accelerator: [cpu, gpu]}, default: {accelerator: cpu}}"
    dockerfile = "ARG ACCELERATOR\nFROM base\nARG ACCELERATOR\nRUN echo $ACCELERATOR > /srv/data/accelerator\n"
    settings = f"reproducible: true\nimages: {{ml: {{{variants}}}}}\n"
    family.commit("feat: two of it", {"dsci.yaml": settings, "images/ml/Dockerfile": dockerfile})
    family.release()
    digests = {}
    for name, target in (("ml", "ml"), ("ml:0.1.0", "ml"), ("ml:gpu", "ml:gpu"), ("ml:0.1.0-gpu", "ml:gpu")):
        (found,) = family.dsci("verify", name, "--json").json["targets"]
        assert (found["target"], found["status"]) == (f"{target}@linux/amd64", "equal")
        assert digests.setdefault(target, found["released"]) == found["released"]
    assert digests["ml"] != digests["ml:gpu"]


def test_layers_carry_no_time_but_the_last_commits(family: Project) -> None:
    family.release()
    assert family.registry is not None
    base, ml = (_manifest(family, name) for name in ("base", "ml"))
    below = [layer["digest"] for layer in base["layers"]]
    assert [layer["digest"] for layer in ml["layers"]][: len(below)] == below, "a child has its parent's very layers"
    config = family.registry.blob(f"{family.prefix}/ml", ml["config"]["digest"])
    assert config["created"] == "2026-02-03T04:05:06Z"
    times = _times(family, "base", base["layers"][-1]["digest"])
    assert times["srv/data/base"] == EPOCH and times["srv/data/old"] < EPOCH

    # A commit that touches no input changes no epoch: what is built again without any cache is the same.
    family.environment.clear()
    family.commit("docs: a word", {"README.md": "# Words\n"})
    ended = family.dsci("build", "--no-cache", "--no-keep")
    assert "✓ build   ml" in ended.stderr and "not reproducible" not in ended.stderr
    alone = replace(family, registry=None, state=family.state / "other")
    ended = alone.dsci("build", "base", "--no-cache", "--no-keep", "--json")
    assert ended.json["outcomes"][0]["digest"] == _index(family, "base")["manifests"][0]["digest"]


def test_without_a_registry_it_is_proven_too(family: Project) -> None:
    alone = replace(family, registry=None)
    assert released(alone.release()) == {"base": "0.1.0", "ml": "0.1.0"}
    assert "equal, sha256:" in alone.dsci("verify", "ml").stdout


def test_what_the_engine_remembers_from_before_the_commit_is_not_used(family: Project) -> None:
    """Built as uncommitted work, and only then committed: every step has run before the commit's date."""
    family.environment.clear()
    dockerfile = f"{FAMILY['images/ml/Dockerfile']}RUN mkdir /srv/more\nWORKDIR /srv/work\n"
    (family.folder / "images/ml/Dockerfile").write_text(f"{dockerfile}RUN date +%N > /srv/stamp\n")
    first, second = (family.dsci("build", "ml", "--no-keep", "--json").json for _ in range(2))
    assert [item["status"] for item in first["outcomes"]] == ["ok", "ok"]
    assert first["outcomes"][1]["digest"] == second["outcomes"][0]["digest"], "uncommitted work goes on from its steps"
    time.sleep(1)
    family.commit("feat(ml): more", {"images/ml/Dockerfile": dockerfile})
    assert released(family.release()) == {"base": "0.1.0", "ml": "0.1.0"}
    (target,) = family.dsci("verify", "ml", "--json").json["targets"]
    assert target["status"] == "equal", target["layers"]


@pytest.mark.parametrize(
    ("step", "what"),
    [
        ("COPY <<EOF /srv/settings\nx\nEOF", "a here-document"),
        ("ADD https://example.org/acme/tools.git#v1 /opt/tools", "a Git repository"),
    ],
)
def test_files_whose_times_buildkit_remembers_are_refused(family: Project, step: str, what: str) -> None:
    family.commit("feat(ml): more", {"images/ml/Dockerfile": f"FROM base\n{step}\n"})
    for command in ("build", "release"):
        ended = family.dsci(command, code=2)
        assert f"images/ml/Dockerfile:2: ml is to be reproducible, and takes {what} here" in ended.stderr
        assert "[1/" not in ended.stderr
    family.commit("ci: not this one", {"dsci.yaml": "reproducible: true\nimages: {ml: {reproducible: false}}\n"})
    assert "takes" not in family.dsci("plan").stderr


def test_a_commit_of_tomorrow_is_refused(family: Project) -> None:
    tomorrow = f"@{int(time.time()) + 86_400} +0000"
    family.environment |= {"GIT_AUTHOR_DATE": tomorrow, "GIT_COMMITTER_DATE": tomorrow}
    family.commit("feat(ml): more", {"images/ml/model.txt": "v2\n"})
    ended = family.dsci("build", code=4)
    assert "its last commit is dated 86" in ended.stderr and "s from now" in ended.stderr
    assert "✓ build   base" in ended.stderr and "set the clock" in ended.stderr


@pytest.mark.slow
def test_what_is_not_reproducible_is_named(family: Project, shell: str, tmp_path: Path) -> None:
    """Files, layers and causes, of an image that does everything wrong."""
    dockerfile = f"""FROM {shell}
RUN date > /srv/stamp
RUN mkdir -p /var/log/apt /opt/__pycache__ && date > /var/log/apt/history.log
RUN printf '\\247\\r\\r\\n\\0\\0\\0\\0' > /opt/__pycache__/a.pyc && date +%N >> /opt/__pycache__/a.pyc
RUN echo steady > /srv/steady
RUN mkdir /srv/a-$(cat /proc/sys/kernel/random/uuid) && chmod 6$(date +%N | tail -c 3 | tr 89 01) /srv/steady
"""
    family.commit("feat: an image of its time", {"images/ml/Dockerfile": dockerfile})
    family.release()
    ended = family.elsewhere(tmp_path / "other").dsci("verify", "ml:0.1.0", "--json", code=1)
    (target,) = ended.json["targets"]
    assert target["status"] == "different" and target["released"] != target["rebuilt"] and target["config"] == []
    first, second, third, last = layers(ended)
    assert first["step"] == "RUN date > /srv/stamp" and first["number"] == 2
    assert files(first) == {"srv/stamp": ("changed", "content", "time")}
    assert files(second) == {"var/log/apt/history.log": ("changed", "content", "apt and dpkg logs")}
    assert files(third) == {"opt/__pycache__/a.pyc": ("changed", "content", "pyc")}
    assert "ARG SOURCE_DATE_EPOCH" in third["causes"][0]["fix"]
    assert last["number"] == 6 and {how for how, _, _ in files(last).values()} >= {"added", "removed"}
    assert "is not what was released" in ended.stderr

    text = family.elsewhere(tmp_path / "third").dsci("verify", "ml:0.1.0", code=1).stdout
    assert "layer 2  RUN date > /srv/stamp" in text and "srv/stamp" in text and "apt and dpkg logs" in text
    assert not family.in_engine()


def test_two_builds_of_one_key_that_differ_are_told(family: Project, shell: str) -> None:
    family.commit("feat: a stamp", {"images/base/Dockerfile": f"FROM {shell}\nRUN date +%N > /srv/stamp\n"})
    family.dsci("build", "base")
    assert "base@linux/amd64: this build came to" in family.dsci("build", "base", "--no-cache").stderr


def test_a_tag_that_was_moved_by_hand_is_seen(family: Project, tmp_path: Path) -> None:
    family.release()
    assert family.registry is not None
    where = f"{family.prefix}/ml"
    other = family.elsewhere(tmp_path / "other")
    family.commit("feat(ml): more", {"images/ml/model.txt": "v2\n"})
    family.release()
    # The new content under the old version: nobody's digest is wrong, only the name.
    family.registry.put(where, "0.1.0", family.registry.manifest(where, "0.2.0"))
    ended = other.dsci("verify", "ml:0.1.0", code=6)
    assert "ml-v0.1.0 claims sha256:" in ended.stderr and "do not use what it names now" in ended.stderr
    # Under a name that is nobody's, what no release claims is no release.
    index = family.registry.manifest(where, "0.2.0") | {"annotations": {"forged": "yes"}}
    family.registry.put(where, "mine", index)
    assert "no Git tag here claims that" in other.dsci("verify", "ml:mine", code=2).stderr
    family.registry.put(where, "latest", index)
    assert "names sha256:" in other.dsci("verify", "ml:latest", code=6).stderr


def test_what_cannot_be_proven_is_told_with_its_reason(family: Project, tmp_path: Path) -> None:
    family.release()
    assert family.registry is not None
    where = f"{family.prefix}/ml"
    assert "no release of ml" in family.dsci("verify", "ml:9.9.9", code=2).stderr
    assert "there is no image 'mll'" in family.dsci("verify", "mll:0.1.0", code=2).stderr
    assert "it has linux/amd64" in family.dsci("verify", "ml:0.1.0", "--platform", "linux/s390x", code=2).stderr
    for tag in family.registry.tags(where, public=False):
        if tag.startswith("dsci-") and "." in tag:
            family.registry.delete_tag(where, tag)
    assert "has no receipt of ml@linux/amd64" in family.dsci("verify", "ml:0.1.0", code=5).stderr
    family.registry.delete_tag(where, "0.1.0", named=False)
    assert "is not there" in family.dsci("verify", "ml:0.1.0", code=5).stderr

    # A parent that a clean-up took.
    family.commit("feat(ml): more", {"images/ml/model.txt": "v2\n"})
    family.release()
    base = f"{family.prefix}/base"
    family.registry.delete(base, _index(family, "base")["manifests"][0]["digest"])
    ended = family.dsci("verify", "ml:0.2.0", code=5)
    assert "stands on base@linux/amd64 at sha256:" in ended.stderr and "is gone" in ended.stderr


def test_a_base_that_is_gone_is_told(family: Project, real_registry: RealRegistry) -> None:
    where = f"{family.prefix}/elsewhere"
    name = f"{real_registry.address}/{where}:1"
    push = ["docker", "buildx", "build", "--provenance=false", f"--tag={name}", "--push", "-"]
    subprocess.run(push, input=SMALL.encode(), capture_output=True, check=True)
    family.commit("feat: on another base", {"images/base/Dockerfile": f"FROM {name}\nRUN mkdir /srv/data\n"})
    family.release()
    (target,) = family.dsci("verify", "base", "--json").json["targets"]
    assert target["status"] == "equal"
    assert [(base["name"], base["platform"]) for base in target["bases"]] == [(name, "linux/amd64")]
    subprocess.run(["docker", "rmi", "--force", name], capture_output=True, check=True)
    real_registry.delete(where, target["bases"][0]["digest"])
    ended = family.dsci("verify", "base", code=5)
    assert f"its base {name} at {target['bases'][0]['digest']} is gone from its registry" in ended.stderr


def test_what_was_not_built_to_be_reproducible_is_told(family: Project) -> None:
    family.commit("ci: not reproducible", {"dsci.yaml": ""})
    family.release()
    ended = family.dsci("verify", "ml:0.1.0", code=2)
    assert "without `reproducible: true`" in ended.stderr and "release a new version" in ended.stderr
    # Turned on, it is another key and no version: the released tag is what it was.
    family.commit("ci: reproducible", {"dsci.yaml": "images: {base: {reproducible: true}}\n"})
    assert family.actions() == {"base": "build", "ml": "build"}
    assert released(family.release()) == {} and family.actions() == {"base": "reuse", "ml": "reuse"}


def test_what_fails_to_build_again_is_no_difference(family: Project, tmp_path: Path) -> None:
    family.commit(
        "feat(ml): with a secret",
        {
            "images/ml/Dockerfile": "FROM base\nRUN --mount=type=secret,id=token grep -q value /run/secrets/token\n",
            "dsci.yaml": "reproducible: true\nimages: {ml: {secrets: [{id: token, env: TOKEN}]}}\n",
        },
    )
    family.environment["TOKEN"] = "a value that nobody sees"
    family.release()
    assert "equal" in family.dsci("verify", "ml").stdout
    family.environment["TOKEN"] = "another one, just as secret"
    ended = family.dsci("verify", "ml", "--json", code=1)
    (target,) = ended.json["targets"]
    assert target["status"] == "failed" and target["rebuilt"] is None and "Dockerfile:2" in target["notes"][0]
    assert "could not be built again" in ended.stderr and "just as secret" not in ended.stdout + ended.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="a second engine needs root")
def test_the_classic_store_is_refused_before_any_work(family: Project) -> None:
    with second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=False) as endpoint:
        there = {"DOCKER_HOST": endpoint}
        family.environment |= there
        for command in ("build", "release"):
            ended = family.dsci(command, code=4)
            assert "classic image store" in ended.stderr and "containerd-snapshotter" in ended.stderr
            assert "[1/" not in ended.stderr
        assert family.tags() == set() and family.registry is not None
        assert family.registry.tags(f"{family.prefix}/base", public=False) == set()
        del family.environment["DOCKER_HOST"]
        family.release()
        family.environment |= there
        assert "classic image store" in family.dsci("verify", "base", code=4).stderr


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="a second engine needs root")
def test_the_example_family_is_the_same_on_another_day(
    tmp_path: Path, real_registry: RealRegistry, request: pytest.FixtureRequest
) -> None:
    """Two builds without cache: other folder, other umask, other engine, and for every step another day."""
    found: list[dict[str, str]] = []
    for name, umask in (("here", 0o022), ("far/away/from/there", 0o077)):
        before = os.umask(umask)
        try:
            project = Project(folder=tmp_path / name / "stack", state=tmp_path / name / "state")
            shutil.copytree(EXAMPLE, project.folder)
            project.environment |= AT
            project.git("init", "--quiet", "--initial-branch=main")
            project.commit("feat: a family", {"dsci.yaml": _reproducible_example()})
            if not found:
                found.append(_built(project))
                continue
            programs = runc_ahead(tmp_path / "bin", "+30h")
            hub = os.environ["DSCI_TEST_HUB"]
            with second_engine(hub, containerd_store=True, programs=programs, online=True) as endpoint:
                project.environment["DOCKER_HOST"] = endpoint
                assert _day(endpoint) != time.strftime("%F", time.gmtime()), "the clock of its steps is another day's"
                found.append(_built(project))
        finally:
            os.umask(before)
    assert found[0] == found[1] and set(found[0]) == {"base", "python", "jupyter", "ml", "ml:gpu", "r"}


@pytest.mark.slow
def test_every_release_of_the_example_family_is_proven(empty: Project) -> None:
    shutil.copytree(EXAMPLE, empty.folder, dirs_exist_ok=True)
    empty.push("feat: a family", {"dsci.yaml": _reproducible_example()})
    assert set(released(empty.release())) == {"base", "python", "jupyter", "ml", "r"}
    for name in ("base", "python:0.1.0", "jupyter:latest", "ml", "ml:gpu", "r"):
        (found,) = empty.dsci("verify", name, "--json").json["targets"]
        assert found["status"] == "equal" and found["released"] == found["rebuilt"], name


def _reproducible_example() -> str:
    return f"reproducible: true\n{(EXAMPLE / 'dsci.yaml').read_text()}"


def _index(project: Project, name: str) -> dict[str, Any]:
    assert project.registry is not None
    found: dict[str, Any] = project.registry.manifest(f"{project.prefix}/{name}", "0.1.0")
    return found


def _manifest(project: Project, name: str) -> dict[str, Any]:
    assert project.registry is not None
    digest = _index(project, name)["manifests"][0]["digest"]
    found: dict[str, Any] = project.registry.manifest(f"{project.prefix}/{name}", digest)
    return found


def _times(project: Project, name: str, digest: str) -> dict[str, int]:
    """The times of a layer's files."""
    assert project.registry is not None
    content = project.registry.content(f"{project.prefix}/{name}", digest)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as layer:
        return {member.name: int(member.mtime) for member in layer}


def _day(endpoint: str) -> str:
    """The date that a step sees there."""
    dockerfile = b"FROM debian:bookworm-slim\nRUN echo today is $(date -u +%F)\n"
    argv = ["docker", "--host", endpoint, "buildx", "build", "--progress=plain", "--no-cache", "-"]
    told = subprocess.run(argv, input=dockerfile, capture_output=True, check=True).stderr.decode()
    return re.findall(r"\d today is (\S+)", told)[-1]


def _built(project: Project) -> dict[str, str]:
    ended = project.dsci("build", "--no-cache", "--no-keep", "--json")
    return {item["subject"].partition("@")[0]: item["digest"] for item in ended.json["outcomes"]}
