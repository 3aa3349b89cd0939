"""The manifests of ci-templates/kubernetes: valid by the API's schemas, and the work of their pod done for real.

There is no cluster here. The pod's container is run as the manifest says by a Docker Engine, which knows images,
commands, users, mounts, capabilities and environments as a kubelet does; schedules, probes and limits are for the
schemas alone to judge. The engine of the sidecar is the one that the tests have.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import TINY, Project, make_project
from tests.realengine import docker
from tests.realregistry import RealRegistry

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "ci-templates" / "kubernetes"
MANIFESTS = sorted(FOLDER.glob("*.yaml"))
USER = "65532"


def validated(path: Path) -> subprocess.CompletedProcess[str]:
    """What the validator says of a file. Source of its schemas: https://github.com/kubernetes/kubernetes/tree/master/api"""
    tool = Path(os.environ["DSCI_TEST_CI"]) / "bin" / "kubernetes-validate"
    return subprocess.run([tool, "--strict", path], capture_output=True, text=True, check=False)


def documents() -> dict[str, dict[str, Any]]:
    """Every resource, by its kind."""
    return {each["kind"]: each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text())}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_every_resource_is_what_the_api_takes(path: Path) -> None:
    ended = validated(path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(re.findall("passed for resource", ended.stdout + ended.stderr)) == len(
        list(yaml.safe_load_all(path.read_text()))
    )


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("concurrencyPolicy: Forbid", "concurrencyPolicy: [Forbid]"),
        ("backoffLimit: 1", "backoffLimits: 1"),
        ("{name: work, mountPath: /work}", "{name: work}"),
        ("failureThreshold: 60", "failureThreshold: many"),
    ],
)
def test_the_validator_can_say_no(tmp_path: Path, right: str, wrong: str) -> None:
    text = (FOLDER / "cronjob.yaml").read_text()
    assert right in text
    broken = tmp_path / "cronjob.yaml"
    broken.write_text(text.replace(right, wrong))
    assert validated(broken).returncode == 1


def test_what_belongs_together_has_the_same_names() -> None:
    found = documents()
    pod = found["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    account = found["ServiceAccount"]["metadata"]["name"]
    assert pod["serviceAccountName"] == account == found["RoleBinding"]["subjects"][0]["name"]
    assert found["RoleBinding"]["roleRef"]["name"] == found["Role"]["metadata"]["name"]
    volumes = {each["name"] for each in pod["volumes"]}
    containers = [*pod["initContainers"], *pod["containers"]]
    assert {mount["name"] for each in containers for mount in each["volumeMounts"]} == volumes
    # Two runs never overlap, one that hangs ends, and what was cut off is tried again.
    assert found["CronJob"]["spec"]["concurrencyPolicy"] == "Forbid"
    assert found["CronJob"]["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] > 0
    # The socket is for dsci's user, who is the one of its image.
    assert f"--group={USER}" in pod["initContainers"][0]["args"] and pod["securityContext"]["fsGroup"] == int(USER)
    assert (FOLDER / "Dockerfile").read_text().rstrip().endswith(f"USER {USER}:{USER}")


def test_every_setting_is_documented() -> None:
    told = (FOLDER / "README.md").read_text()
    for name in documents()["ConfigMap"]["data"]:
        assert f"`{name}`" in told
    for path in [*MANIFESTS, FOLDER / "Dockerfile"]:
        assert f"`{path.name}`" in told


@pytest.fixture
def image(tmp_path: Path) -> Iterator[str]:
    """The image of the Dockerfile, of this repository; Docker's programs are those of this machine."""
    client = tmp_path / "client" / "usr" / "local"
    plugins = client / "libexec" / "docker" / "cli-plugins"
    (client / "bin").mkdir(parents=True)
    plugins.mkdir(parents=True)
    shutil.copy(Path(str(shutil.which("docker"))).resolve(), client / "bin" / "docker")
    about = docker("info", "--format", '{{range .ClientInfo.Plugins}}{{if eq .Name "buildx"}}{{.Path}}{{end}}{{end}}')
    shutil.copy(about.strip(), plugins / "docker-buildx")
    name = "dsci.local/test/kubernetes:1"
    docker(
        "build",
        "--quiet",
        f"--tag={name}",
        f"--file={FOLDER / 'Dockerfile'}",
        f"--build-context=docker:28-cli={tmp_path / 'client'}",
        str(ROOT),
    )
    yield name
    docker("image", "rm", "--force", name)


@pytest.fixture
def family(tmp_path: Path, registry: RealRegistry, request: pytest.FixtureRequest) -> Project:
    """The tiny family, pushed, with a tag for schedules."""
    project = make_project(tmp_path, registry, request.node.name)
    files = {f"images/{name}/Dockerfile": text for name, text in TINY.items()}
    files |= {"images/base/note": f"{project.prefix}\n", "images/ml/model.txt": "v1\n"}
    files["dsci.yaml"] = f"""\
        registries: [{registry.address}/{project.prefix}]
        tags: ["{{version}}", latest, "type=schedule"]
        """
    project.push("feat: two images", files)
    return project


def pod_run(image: str, work: Path, settings: dict[str, str], *more: str) -> subprocess.CompletedProcess[str]:
    """The pod's own container, as a kubelet would run it; the sidecar's socket is that of the tests' engine."""
    pod = documents()["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    endpoint = os.environ["DOCKER_HOST"].removeprefix("unix://")
    # Whoever may use the socket: in the pod it is dsci's own group, here the one of this machine's engine.
    group = str(Path(endpoint).stat().st_gid)
    assert stat.S_IMODE(Path(endpoint).stat().st_mode) & stat.S_IWGRP
    argv = ["docker", "run", "--rm", "--network=host", f"--group-add={group}", "--init"]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] and security["capabilities"] == {"drop": ["ALL"]}
    argv += ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    for mount in container["volumeMounts"]:
        if mount["name"] == "socket":
            argv.append(f"--volume={endpoint}:{mount['mountPath']}/docker.sock")
            continue
        place = work / mount["name"] / mount.get("subPath", "")
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o777)
        # The remote belongs to whoever runs the tests. (`GIT_CONFIG_*` does not reach the other side of a clone.)
        (place / ".gitconfig").write_text("[safe]\n  directory = *\n")
        argv.append(f"--volume={place}:{mount['mountPath']}")
    environment = {item["name"]: item["value"] for item in container["env"]}
    environment |= documents()["ConfigMap"]["data"] | settings
    argv += [f"--env={name}={value}" for name, value in environment.items()]
    entry, *rest = container["command"]
    argv += [*more, f"--entrypoint={entry}", image, *rest, *container["args"]]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("https://github.com/acme/images.git", True),
        ("https://github.com/acme/images.git/info/lfs", True),
        ("http://github.com/acme/images.git", False),
        ("https://github.com:8443/acme/images.git", False),
        ("https://github.com.example.org/acme/images.git", False),
        ("https://example.org/https://github.com/acme", False),
    ],
)
def test_the_token_is_shown_to_the_familys_server_alone(asked: str, answered: bool) -> None:
    """Where a redirect, a submodule or `.lfsconfig` leads is not for whoever wrote it to say."""
    (helper,) = re.findall(r"credential\.helper \\\n +'(.*)'$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    ended = subprocess.run(
        ["git", "-c", "credential.helper=", "-c", f"credential.helper={helper}", "credential", "fill"],
        input=f"url={asked}\n\n",
        env={
            "PATH": os.environ["PATH"],
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            "DSCI_REPOSITORY": "https://github.com/acme/images.git",
            "DSCI_GIT_TOKEN": "canary",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("username=x-access-token\npassword=canary\n" in ended.stdout) is answered, ended.stderr
    assert ("canary" in ended.stdout) is answered


@pytest.mark.engine
@pytest.mark.slow
def test_the_pod_releases_a_family(image: str, family: Project, tmp_path: Path) -> None:
    remote = family.remote
    assert remote is not None
    shared = [f"--volume={remote}:/remote.git"]
    subprocess.run(["chmod", "-R", "a+rwX", str(remote)], check=True)
    settings = {"DSCI_REPOSITORY": "file:///remote.git"}
    ended = pod_run(image, tmp_path / "first", settings, *shared)
    assert ended.returncode == 0, ended.stderr
    assert family.tags() == {"base-v0.1.0", "ml-v0.1.0"}
    assert family.images("ml") == family.images("base") == {"0.1.0", "latest", "nightly"}
    assert family.digest("ml", "nightly") == family.digest("ml", "0.1.0")
    # The next night nothing is to be done, and a pod knows nothing of the last one but what stands elsewhere.
    before = {name: family.digest(name, "latest") for name in TINY}
    again = pod_run(image, tmp_path / "second", settings, *shared)
    assert again.returncode == 0 and "to build" not in again.stderr, again.stderr
    assert {name: family.digest(name, "latest") for name in TINY} == before
    # A branch that there is not ends the job, and says so.
    wrong = pod_run(image, tmp_path / "third", settings | {"DSCI_BRANCH": "$(touch /work/x)"}, *shared)
    assert wrong.returncode != 0 and "Remote branch $(touch /work/x) not found" in wrong.stderr
    assert not (tmp_path / "third" / "work" / "x").exists()
