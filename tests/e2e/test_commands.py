"""Every command as people and pipelines call it: what it prints, what it exits with, what it leaves behind."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.conftest import NOTED, TINY, Ended, Project, make_project, outcomes, released
from tests.realengine import gone, of_runs
from tests.realregistry import RealRegistry

pytestmark = pytest.mark.engine

HAS_WORK = 10


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, real_registry: RealRegistry) -> Project:
    """The tiny family with a suite, released once and then changed; nobody changes it any more."""
    project = make_project(tmp_path_factory.mktemp("done"), real_registry, "commands-of-a-released-family")
    files = {f"images/{name}/Dockerfile": text for name, text in TINY.items()}
    files |= {"images/base/note": "a note\n", "images/ml/model.txt": "v1\n", "images/base/suites/base.yaml": NOTED}
    project.push("feat: two images", files)
    project.release()
    project.commit("docs: say more", {"README.md": "more\n"})
    project.commit("feat(ml): a better model", {"images/ml/model.txt": "v2\n"})
    project.commit("chore: note the chore", {"images/ml/chore.txt": "done\n"})
    return project


def dsci(project: Project, *arguments: str, code: int = 0) -> Ended:
    """A command that takes no --registry."""
    bare = Project(folder=project.folder, state=project.state, environment=project.environment)
    return bare.dsci(*arguments, code=code)


# ------------------------------------------------------------------------------------------------ plan


TARGET = {
    "id": str,
    "image": str,
    "platform": str,
    "key": (str, type(None)),
    "source_key": str,
    "action": str,
    "reason": str,
    "parent": (str, type(None)),
    "needs": list,
    "wave": int,
}
RELEASE = {"image": str, "version": str, "bump": str, "git_tag": str, "tags": list}


def _keeps_the_contract(plan: Mapping[str, Any]) -> None:
    assert plan["schema"] == 1
    for wanted, rows in ((TARGET, plan["targets"]), (RELEASE, plan["releases"])):
        for row in rows:
            for key, kind in wanted.items():
                assert isinstance(row[key], kind), f"{key}: {row[key]!r}"
    for target in plan["targets"]:
        assert target["id"] == f"{target['image']}@{target['platform']}"
        assert target["action"] in ("build", "test", "retag", "reuse")
        assert target["wave"] == 1 + max(
            (other["wave"] for other in plan["targets"] if other["id"] in target["needs"]), default=-1
        )


def test_plan_is_a_document(done: Project) -> None:
    """The JSON that others build on, and the same twice."""
    first = done.dsci("plan", "--json")
    assert first.stdout == done.dsci("plan", "--json").stdout and first.stderr == ""
    plan = first.json
    _keeps_the_contract(plan)
    base, ml = plan["targets"]
    assert (base["action"], base["reason"], base["wave"], base["needs"]) == ("reuse", "unchanged", 0, [])
    assert (ml["action"], ml["parent"], ml["needs"], ml["wave"]) == ("build", base["id"], [base["id"]], 1)
    assert ml["reason"] == "images/ml/chore.txt changed and 1 more"
    (release,) = plan["releases"]
    sha = done.git("rev-parse", "--short=12", "HEAD")
    assert release["image"] == "ml" and release["version"] == "0.2.0" and release["bump"] == "minor"
    assert release["git_tag"] == "ml-v0.2.0"
    assert set(release["tags"]) == {"0.2.0", "0.2", "0", "latest", f"sha-{sha}"}


def test_plan_is_a_review(done: Project) -> None:
    """The same for a person: each image with its verdict and reason, each release with its step and tags."""
    ended = done.dsci("plan")
    lines = [line.split() for line in ended.stdout.split("\n")]
    assert ["base@linux/amd64", "reuse", "unchanged"] in lines or os.uname().machine != "x86_64"
    text = re.sub(" +", " ", ended.stdout)
    assert "ml 0.1.0 → 0.2.0 (minor) feat(ml): a better model" in text
    assert "git ml-v0.2.0" in text and "1 to build, 1 to reuse; 1 to release" in text
    assert done.dsci("plan", "ml").stdout == ended.stdout, "what it stands on belongs to it"
    alone = done.dsci("plan", "base", "--json").json
    assert [target["image"] for target in alone["targets"]] == ["base"] and alone["releases"] == []


def test_what_is_not_committed_is_not_released(tiny: Project) -> None:
    """A release that does nothing about a change of mine tells me why."""
    tiny.dsci("release")
    tiny.write({"images/ml/model.txt": "v2\n", "images/ml/new.txt": "new\n", "notes.txt": "mine\n"})
    for command, what in (("plan", "plan"), ("release", "release")):
        ended = tiny.dsci(command)
        assert f"warning: uncommitted changes in ml are not part of this {what}" in ended.stderr
        assert "Nothing to do" in ended.stdout
    assert {target["image"]: target["dirty"] for target in tiny.dsci("plan", "--json").json["targets"]} == {
        "base": False,
        "ml": False,
    }


def test_plan_tells_whether_there_is_work(done: Project, tiny: Project) -> None:
    assert done.dsci("plan", "--exit-code", code=HAS_WORK).stdout == done.dsci("plan").stdout
    assert done.dsci("plan", "base", "--exit-code").stdout.endswith("Nothing to do.\n")
    tiny.dsci("plan", "--exit-code", "--json", code=HAS_WORK)


LAYOUTS = {
    "images folder": {f"images/{name}/Dockerfile": text for name, text in TINY.items()},
    "folder per image": {f"{name}/Dockerfile": text for name, text in TINY.items()},
    "one Dockerfile": {"Dockerfile": "FROM python:3.12-slim\nCOPY . /srv\n"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_plan_offline(tmp_path: Path, layout: str) -> None:
    """No engine, no registry, no network at all: all layouts can be planned, equal bytes twice."""
    project = Project(folder=tmp_path / "My Analysis", state=tmp_path / "state")
    project.folder.mkdir()
    project.git("init", "--quiet", "--initial-branch=main")
    project.commit("first", LAYOUTS[layout])
    project.environment = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock", "PATH": str(_only(tmp_path / "bin", "git"))}
    unplugged = [shutil.which("unshare") or "unshare", "--map-root-user", "--net"]
    plans = []
    for flags in (["--json"], ["--json", "--offline"], ["--json", "--offline"]):
        argv = [*unplugged, *project.argv("plan", *flags)]
        ended = subprocess.run(argv, cwd=project.folder, env=project.env(), capture_output=True, text=True, check=False)
        assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended.stderr
        plans.append(ended.stdout)
    assert plans[1] == plans[2]
    for text in plans:
        plan = json.loads(text)
        _keeps_the_contract(plan)
        names = ["base", "ml"] if layout != "one Dockerfile" else ["my-analysis"]
        assert [target["image"] for target in plan["targets"]] == names
        assert {target["action"] for target in plan["targets"]} == {"build"}
        tags = ["base-v0.1.0", "ml-v0.1.0"] if layout != "one Dockerfile" else ["v0.1.0"]
        assert [release["git_tag"] for release in plan["releases"]] == tags
    assert not [path for path in (tmp_path / "state").rglob("*") if path.is_file()], "looking has written something"
    assert project.git("status", "--porcelain") == ""


def _only(folder: Path, *programs: str) -> Path:
    folder.mkdir()
    for name in programs:
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


def test_plan_into_a_closed_pipe(done: Project) -> None:
    """`dsci plan | head -1`: no traceback, no complaint of Python's at exit."""
    command = f"{' '.join(done.argv('plan', '--json'))} | head -1"
    ended = subprocess.run(
        ["bash", "-c", command], cwd=done.folder, env=done.env(), capture_output=True, text=True, check=False
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("{\n", "", 0)
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        done.argv("plan", "--json"), cwd=done.folder, env=done.env(), stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    _, stderr = process.communicate(timeout=60)
    assert stderr == "" and process.returncode == 128 + signal.SIGPIPE


# ------------------------------------------------------------------------------------------------ version, tags, why


def test_version(done: Project) -> None:
    assert dsci(done, "version", "--next", "ml").stdout == "0.2.0\n"
    assert dsci(done, "version", "--current", "ml").stdout == "0.1.0\n"
    assert dsci(done, "version", "--next").stdout == "base 0.1.0\nml 0.2.0\n"
    assert dsci(done, "version", "--current").stdout == "base 0.1.0\nml 0.1.0\n"
    table = [line.split(maxsplit=1) for line in dsci(done, "version").stdout.splitlines()]
    assert [name for name, _ in table] == ["base", "ml"] and table[1][1].startswith("0.1.0 → 0.2.0 ")


def test_version_explains_itself(done: Project) -> None:
    """Where the count began, each commit that counts and what it is worth, and how many do not."""
    text = dsci(done, "version", "--explain", "ml").stdout
    sha = done.git("rev-parse", "--short=7", "HEAD~1")
    assert "from ml-v0.1.0" in text and re.search(rf"{sha} +minor +feat\(ml\): a better model +feat", text)
    assert re.search("none +chore: note the chore +chore asks for no release by itself", text)
    assert text.count("touches none of its inputs") == 1
    (row,) = dsci(done, "version", "--json", "ml").json
    assert {key: row[key] for key in ("image", "current", "next", "bump", "since")} == {
        "image": "ml",
        "current": "0.1.0",
        "next": "0.2.0",
        "bump": "minor",
        "since": "ml-v0.1.0",
    }
    assert [(commit["bump"], commit["why"].split()[0]) for commit in row["commits"]] == [
        ("none", "chore"),
        ("minor", "feat"),
    ]
    assert [commit["why"] for commit in row["others"]] == ["touches none of its inputs"]


def test_the_branch_decides(tiny: Project) -> None:
    """A channel by its branch, told by the clone, by a CI system, or by the caller; never guessed."""
    tiny.commit("feat: channels", {"dsci.yaml": "versioning: {prereleases: {next: rc}}\n"})
    names = ("GITHUB_REF", "GITHUB_BASE_REF", "CI_COMMIT_BRANCH", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")

    def coming(*options: str, **environment: str) -> set[str]:
        tiny.environment.update(dict.fromkeys(names, "") | environment)
        return {row["next"] for row in dsci(tiny, "version", "--json", *options).json}

    assert coming() == {"0.1.0"} and coming("--branch", "next") == {"0.1.0-rc.1"}
    tiny.git("checkout", "-q", "-b", "next")
    assert coming(GITHUB_REF="refs/heads/main") == {"0.1.0-rc.1"}
    tiny.git("checkout", "-q", "--detach")
    assert coming(GITHUB_REF="refs/heads/next") == coming(CI_COMMIT_BRANCH="next") == {"0.1.0-rc.1"}
    assert coming(GITHUB_REF="refs/pull/7/merge", GITHUB_BASE_REF="main") == {"0.1.0"}
    assert coming(CI_MERGE_REQUEST_TARGET_BRANCH_NAME="next") == {"0.1.0-rc.1"}
    tiny.environment.update(dict.fromkeys(names, ""))
    assert "--branch NAME" in tiny.dsci("release", code=3).stderr


def test_version_strict(tiny: Project) -> None:
    """Every commit that counts by its content alone is named once, whatever number of images it touches."""
    tiny.commit("Add things to both", {"images/base/a": "1", "images/ml/a": "1"})
    ended = dsci(tiny, "version", "--strict", code=1)
    assert "0.1.0" in ended.stdout and ended.stderr.count("Add things to both") == 1
    assert "not conventional" in ended.stderr and "TYPE: SUMMARY" in ended.stderr
    dsci(tiny, "version")


def test_tags(done: Project) -> None:
    base, ml = done.dsci("tags", "--json").json
    assert base["version"] == "0.1.0" and {"0.1.0", "0.1", "0", "latest"} <= set(base["tags"])
    assert base["next_version"] is None and base["next_tags"] == []
    assert ml["next_version"] == "0.2.0" and "latest" in ml["next_tags"]
    assert set(ml["tags"]) == done.images("ml"), "what is said to stand in the registry does not"
    assert ml["repository"] == f"{done.registry.address}/{done.prefix}/ml"  # type: ignore[union-attr]
    text = done.dsci("tags", "ml").stdout
    assert "0.1.0" in text and "→ 0.2.0" in text and "base" not in text.split()


def test_why(done: Project) -> None:
    (row,) = done.dsci("why", "ml", "--json").json
    assert row["action"] == "build" and row["release"] == "0.2.0"
    assert [need["image"] for need in row["stands_on"]] == ["base"] and row["suites"] == ["base/base"]
    text = done.dsci("why", "ml").stdout
    assert "build, because images/ml/chore.txt changed" in text and "base/base" in text
    text = done.dsci("why", "base").stdout
    assert "reuse, because unchanged" in text and "debian:bookworm-slim at sha256:" in text


# ------------------------------------------------------------------------------------------------ schema


def _fits(schema: Mapping[str, Any], value: object) -> bool:
    """Whether a value fits, by jsonschema where it is installed, else by the few words that our schema uses."""
    if importlib.util.find_spec("jsonschema"):
        import jsonschema

        return bool(jsonschema.Draft202012Validator(schema).is_valid(value))
    return _fits_here(schema, value, schema)


_KINDS = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}


def _fits_here(schema: Mapping[str, Any], value: object, root: Mapping[str, Any]) -> bool:
    known = {"$ref", "anyOf", "enum", "type", "properties", "required", "additionalProperties", "items", "default"}
    known |= {"$schema", "$defs", "title", "description", "$id"}
    assert schema.keys() <= known, f"this check does not know {schema.keys() - known}"
    if "$ref" in schema:
        return _fits_here(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root)
    if "anyOf" in schema and not any(_fits_here(one, value, root) for one in schema["anyOf"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, _KINDS[kind]) or (kind == "integer" and isinstance(value, bool))):
        return False
    if isinstance(value, list):
        return all(_fits_here(schema.get("items", {}), item, root) for item in value)
    if isinstance(value, dict):
        own = schema.get("properties", {})
        rest = schema.get("additionalProperties", {})
        return set(schema.get("required", ())) <= value.keys() and all(
            _fits_here(own[key], item, root) if key in own else bool(rest) and _fits_here(rest, item, root)
            for key, item in value.items()
        )
    return True


GOOD = """
registries: [ghcr.io/acme]
platforms: [linux/amd64, linux/arm64]
versioning: {initial: 1.0.0-rc.1, propagate: none, tag: "{image}/v{version}"}
images:
  ml:
    needs: [base]
    args: {PYTHON: "3.12"}
    secrets: [{id: token, env: TOKEN}]
    inputs: [{path: dist/, as: dist}]
builder: {jobs: 4}
gate: lineage
"""
BAD = ["regestries: [x]", "registries: x", "images: {ml: {needs: base}}", "builder: {jobs: many}", "gate: none"]


def test_schema(tmp_path: Path) -> None:
    """An editor's and dsci's own opinion of a file are the same."""
    project = Project(folder=tmp_path / "repository", state=tmp_path / "state")
    project.folder.mkdir()
    schema = project.dsci("schema").json
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert _fits(schema, yaml.safe_load(GOOD)) and _fits(schema, {})
    for text in BAD:
        assert not _fits(schema, yaml.safe_load(text)), text
    project.git("init", "--quiet")
    files = {f"images/{name}/Dockerfile": text for name, text in TINY.items()} | {"dist/wheel": "x"}
    project.commit("good", files | {"dsci.yaml": GOOD})
    project.dsci("plan", "--offline")
    for text in BAD:
        project.commit("bad", {"dsci.yaml": text})
        project.dsci("plan", "--offline", code=2)


# ------------------------------------------------------------------------------------------------ build, test


def test_build_and_test(tiny: Project) -> None:
    """One image with what it stands on; suites run once, and again only when asked to."""
    tiny.commit("test: a suite", {"images/base/suites/base.yaml": NOTED})
    ended = tiny.dsci("build", "base", "--json")
    assert outcomes(ended) == {"base build": "ok"} and ended.json["released"] == []
    local = f"dsci.local/{tiny.prefix}/base:dev"
    shown = subprocess.run(["docker", "run", "--rm", local, "cat", "/etc/note"], capture_output=True, text=True)
    subprocess.run(["docker", "rmi", "--force", local], capture_output=True, check=True)
    assert shown.stdout == "a note\n", "the image that was built is not in the engine under the name that was told"
    assert local in " ".join(ended.json["notes"])

    assert outcomes(tiny.dsci("test", "ml", "--json")) == {"base test": "ok", "ml build": "ok", "ml test": "ok"}
    assert outcomes(tiny.dsci("test", "ml", "--json")) == {}
    again = outcomes(tiny.dsci("test", "ml", "--rerun", "--json"))
    assert again["ml test"] == "ok" and not [key for key in again if key.endswith("build")]
    assert tiny.images("ml") == set() and tiny.tags() == set(), "a test has released something"
    forced = tiny.dsci("build", "ml", "--force", "--no-keep", "--json")
    assert outcomes(forced) == {"base build": "ok", "ml build": "ok"}


def test_test_without_suites_says_so(tiny: Project) -> None:
    """Zero tests run is not "passed"."""
    ended = tiny.dsci("test", "base")
    assert "no suite" in ended.stdout + ended.stderr, str(ended)


def test_a_failing_test_fails_the_command(tiny: Project) -> None:
    tiny.commit("test: a suite", {"images/base/suites/base.yaml": NOTED.replace("/etc/note", "/etc/nothing")})
    folder = tiny.state / "here"
    ended = tiny.dsci("test", "--report", str(folder), code=1)
    assert "/etc/nothing" in ended.stderr and "Held back: ml@" in ended.stdout
    *_, said, advice = ended.stderr.rstrip("\n").split("\n")
    assert re.fullmatch("dsci: base@[^:]*: test failed: base/base: .*note: .*/etc/nothing.*", said), str(ended)
    assert advice.startswith("  → ")
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.md", "junit.xml", "report.tap"}
    assert json.loads((folder / "report.json").read_text())["outcomes"]
    assert "/etc/nothing" in (folder / "junit.xml").read_text()


def test_a_report_that_cannot_be_written_undoes_nothing(tiny: Project) -> None:
    """A release that is out is out: the report that was asked for is missed, the result is told all the same."""
    (tiny.folder.parent / "file").write_text("")
    ended = tiny.dsci("release", "--json", "--report", str(tiny.folder.parent / "file" / "below"), code=1)
    assert released(ended) == {"base": "0.1.0", "ml": "0.1.0"} and tiny.tags() == {"base-v0.1.0", "ml-v0.1.0"}
    assert "the report could not be written" in ended.stderr and "  → " in ended.stderr


# ------------------------------------------------------------------------------------------------ the command line


def test_slips_of_the_fingers(done: Project) -> None:
    """What is not known is refused with exit 2 and the nearest word that is."""
    for arguments, near in [
        (["relase"], "'release'"),
        (["plan", "--jsn"], "--json"),
        (["plan", "--ofline"], "--offline"),
        (["plan", "bse"], "'base'"),
        (["build", "mll"], "'ml'"),
        (["why", "mll"], "'ml'"),
        (["version", "bas"], "'base'"),
        (["export", "mll", "x.tar"], "'ml'"),
    ]:
        ended = dsci(done, *arguments, code=2)
        assert near in ended.stderr and re.search("did you mean", ended.stderr, re.IGNORECASE), str(ended)
        assert ended.stdout == ""
    assert "the images here are base, ml" in done.dsci("plan", "zebra", code=2).stderr
    dsci(done, "why", code=2)
    dsci(done, "plan", "--registry", "UPPER/CASE", code=2)


def test_version_of_dsci_itself(done: Project) -> None:
    assert re.fullmatch(r"dsci \d+\.\d+\.\d+\S*\n", dsci(done, "--version").stdout)


def test_from_elsewhere(done: Project, tmp_path: Path) -> None:
    """`-C DIR` is `cd DIR`, and any folder of the repository will do."""
    here = done.dsci("plan", "--json").stdout
    for folder in (done.folder, done.folder / "images" / "ml"):
        where = ["--registry", f"{done.registry.address}/{done.prefix}"]  # type: ignore[union-attr]
        argv = [sys.executable, "-m", "dsci", "-C", str(folder), "plan", "--json", *where]
        ended = subprocess.run(argv, cwd=tmp_path, env=done.env(), capture_output=True, text=True, check=False)
        assert ended.returncode == 0 and ended.stdout == here, ended.stderr
    assert "there is no folder" in dsci(done, "-C", str(tmp_path / "nowhere"), "plan", code=3).stderr


def test_debug_keeps_the_exit_code_and_shows_requests(done: Project) -> None:
    where = ["--registry", f"{done.registry.address}/{done.prefix}"]  # type: ignore[union-attr]
    ended = dsci(done, "--debug", "plan", "--json", *where)
    assert "GET http" in ended.stderr or "HEAD http" in ended.stderr
    _keeps_the_contract(ended.json)


# ------------------------------------------------------------------------------------------------ Ctrl-C


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("at", ["build", "test", "speculation"])
def test_interrupted(tiny: Project, at: str, times: int) -> None:
    """Ctrl-C reaches the whole group; dsci ends soon, says how to go on, and leaves nothing; the next run does it."""
    slow = {
        "build": {"images/ml/Dockerfile": TINY["ml"] + "RUN sleep 60\n"},
        "test": {
            "images/ml/suites/slow.yaml": 'schemaVersion: "2.0.0"\ncommandTests:\n'
            "  - {name: slow, command: sleep, args: ['60']}\n"
        },
    }
    # One image is tested while another is built on it.
    slow["speculation"] = slow["build"] | {"images/base/suites/slow.yaml": slow["test"]["images/ml/suites/slow.yaml"]}
    tiny.commit("feat: slow", slow[at])
    before, images = of_runs(), tiny.in_engine()
    process = subprocess.Popen(
        tiny.argv("release"),
        cwd=tiny.folder,
        env=tiny.env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background job ignores Ctrl-C and hands that on; here there is somebody at the keyboard.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    wanted = {"build": ["RUN sleep 60"], "test": ["suite ml/slow"]}
    wanted["speculation"] = ["RUN sleep 60", "suite base/slow"]
    missing, told = wanted[at], ""
    while missing and (line := process.stderr.readline()):
        missing, told = [text for text in missing if text not in line], told + line
    if at != "build":
        time.sleep(1)
    began = time.monotonic()
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.3)
    stdout, stderr = process.communicate(timeout=60)
    ended = Ended(process.returncode, stdout, told + stderr, list(process.args))  # type: ignore[arg-type]
    assert ended.code == 130 and time.monotonic() - began < 20, str(ended)
    assert "Traceback" not in stderr and "Exception ignored" not in stderr, str(ended)
    assert stderr.endswith("dsci: interrupted\n  → run the same command again: it goes on where this one stopped\n")
    assert tiny.in_engine() == images and list((tiny.state / "dsci" / "runs").iterdir()) == []
    gone(of_runs() - before)
    assert tiny.tags() == set() and tiny.images("base") == tiny.images("ml") == set()
    assert tiny.git("status", "--porcelain") == ""

    tiny.commit("fix: fast", {"images/ml/Dockerfile": TINY["ml"]})
    tiny.git("rm", "-rq", "--ignore-unmatch", "images/ml/suites", "images/base/suites")
    tiny.commit("fix: no slow suite")
    again = tiny.release()
    assert released(again) == {"base": "0.1.0", "ml": "0.1.0"}
    assert "base build" not in outcomes(again), "what had passed was done again"
