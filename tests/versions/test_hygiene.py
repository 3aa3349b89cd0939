"""Clones in every state: the right version comes, or a refusal with the command that mends it, and that command does.

Everything is real Git. An origin has released 1.2.3 of one image, and a feature stands above it, so that 1.3.0 comes
next. Each test looks at a clone of it through dsci's own command line.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.drivers.repository import CLEAN, Repo

from dsci.cli import cli
from dsci.errors import DsciError

HISTORY, CONFLICT = 3, 6
DOCKERFILE = "FROM scratch\nCOPY . /\n"
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")


@dataclass(frozen=True)
class Answer:
    """What a command came to."""

    code: int
    stdout: str
    stderr: str
    message: str = ""
    hint: str = ""


def ask(folder: Path, *arguments: str) -> Answer:
    """Run a dsci command in this process."""
    result = CliRunner().invoke(cli, ["-C", str(folder), *arguments], prog_name="dsci")
    error = result.exception
    if isinstance(error, DsciError):
        return Answer(error.exit_code, result.stdout, result.stderr, error.message, error.hint)
    assert error is None or isinstance(error, SystemExit), result.exc_info
    return Answer(result.exit_code, result.stdout, result.stderr)


def following(folder: Path, *arguments: str) -> str:
    """The next version, from the two commands that tell it, which must agree."""
    answer = ask(folder, "version", "--json", *arguments)
    assert answer.code == 0, answer
    rows = json.loads(answer.stdout)
    planned = ask(folder, "plan", "--json", *arguments)
    assert planned.code == 0, planned
    releases = json.loads(planned.stdout)["releases"]
    assert [item["version"] for item in releases] == [row["next"] for row in rows if row["next"] != row["current"]]
    assert len(rows) == 1, rows
    return str(rows[0]["next"])


def refused(folder: Path, *says: str, code: int = HISTORY, arguments: tuple[str, ...] = ()) -> str:
    """See every command that tells versions refuse in the same way; gives the hint."""
    answers = [ask(folder, *command, *arguments) for command in (("version",), ("plan",), ("tags",))]
    for answer in answers:
        assert answer.code == code, answer
        assert answer.stdout == "", answer
        for words in says:
            assert words in answer.message, answer
    assert len({answer.hint for answer in answers}) == 1
    return answers[0].hint


def obey(folder: Path, command: str, env: Mapping[str, str] | None = None) -> None:
    """Run what a hint says, as somebody would who copies it."""
    ended = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        check=False,
    )
    assert ended.returncode == 0, f"{command}: {ended.stderr}"


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("GITHUB_", "CI_"))]:
        monkeypatch.delenv(name)
    for name, value in CLEAN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def origin(tmp_path: Path) -> Repo:
    """Released as 1.2.2 and 1.2.3, with a fix and a feature above them; nothing here asks a registry."""
    repo = Repo(tmp_path / "origin")
    repo.commit("feat: begin", {"Dockerfile": DOCKERFILE, "x": "1"}, when=1_700_000_000)
    repo.git("tag", "-a", "-m", "first", "v1.2.2")
    repo.commit("fix: a", {"x": "2"}, when=1_700_000_060)
    repo.git("tag", "v1.2.3")
    repo.commit("fix: b", {"x": "3"}, when=1_700_000_120)
    repo.commit("feat: c", {"x": "4"}, when=1_700_000_180)
    repo.config(uploadpack__allowFilter="true", uploadpack__allowAnySHA1InWant="true")
    return repo


@pytest.fixture
def clone(origin: Repo, tmp_path: Path) -> Repo:
    """A whole clone."""
    return Repo.clone(origin, tmp_path / "clone")


@contextlib.contextmanager
def gone(repo: Repo) -> Iterator[None]:
    """The repository cannot be reached for a while."""
    aside = repo.folder.with_name("aside")
    repo.folder.rename(aside)
    yield
    aside.rename(repo.folder)


def state(repo: Repo) -> tuple[str, str, str]:
    """What must stay as it is when dsci only looks: refs, settings, and how deep the clone is."""
    return (
        repo.git("for-each-ref"),
        repo.git("config", "--local", "--list"),
        repo.git("rev-list", "--all", "--count"),
    )


def test_a_whole_clone(clone: Repo) -> None:
    assert following(clone.folder) == "1.3.0"
    assert ask(clone.folder, "version").stderr == ""


# ----------------------------------------------------------------------------------------------------- shallow


def test_a_shallow_clone_that_does_not_reach_the_release(origin: Repo, tmp_path: Path) -> None:
    shallow = Repo.clone(origin, tmp_path / "shallow", "--depth=1")
    assert shallow.refs() == {}
    before = state(shallow)
    hint = refused(shallow.folder, "lacks 2 release tags that origin has: v1.2.3, v1.2.2")
    assert "fetch-depth: 0" in hint and "GIT_DEPTH: 0" in hint
    assert state(shallow) == before, "something was fetched"
    obey(shallow.folder, hint.partition(" (")[0])
    assert following(shallow.folder) == "1.3.0"


@pytest.mark.parametrize("depth", [1, 2])
def test_a_shallow_clone_with_tags(origin: Repo, tmp_path: Path, depth: int) -> None:
    """The tags are there, and HEAD is not seen to stand on them."""
    shallow = Repo.clone(origin, tmp_path / "shallow", f"--depth={depth}")
    shallow.git("fetch", "--quiet", "--depth=1", "--tags")
    assert set(shallow.refs()) == {"v1.2.2", "v1.2.3"}
    before = state(shallow)
    hint = refused(shallow.folder, "this clone is shallow: it shows no release of")
    assert state(shallow) == before
    obey(shallow.folder, hint.partition(" (")[0])
    assert following(shallow.folder) == "1.3.0"


def test_a_shallow_clone_that_holds_what_is_needed(origin: Repo, tmp_path: Path) -> None:
    shallow = Repo.clone(origin, tmp_path / "shallow", "--depth=3")
    assert shallow.git("rev-parse", "--is-shallow-repository") == "true"
    assert set(shallow.refs()) == {"v1.2.3"}, "the older release is not here, and decides nothing"
    before = state(shallow)
    assert following(shallow.folder) == "1.3.0"
    assert ask(shallow.folder, "version").stderr == ""
    assert state(shallow) == before


def test_a_released_commit_alone(origin: Repo, tmp_path: Path) -> None:
    """What a CI system checks out for a tag: one commit, and it is the release."""
    shallow = Repo.clone(origin, tmp_path / "shallow", "--depth=1", "--branch=v1.2.3")
    assert following(shallow.folder) == "1.2.3"


def test_a_shallow_clone_that_misses_a_branch_of_what_is_new(origin: Repo, tmp_path: Path) -> None:
    """The release is near, and what was merged since began before it: a breaking change is cut off."""
    origin.git("checkout", "--quiet", "-b", "side", "v1.2.2")
    origin.commit("feat!: all new", {"y": "1"})
    for n in range(4):
        origin.commit(f"docs: {n}", {"y": f"{n + 2}"})
    origin.git("checkout", "--quiet", "main")
    origin.git("merge", "--quiet", "--no-edit", "side")
    shallow = Repo.clone(origin, tmp_path / "shallow", "--depth=4")
    assert shallow.git("tag", "--merged", "HEAD") == "v1.2.3"
    assert "all new" not in shallow.git("log")
    hint = refused(shallow.folder, "this clone is shallow: it is cut off within what", "changed since its last release")
    assert ask(shallow.folder, "version", "--next", "--fetch").stdout == "2.0.0\n"
    assert "--unshallow" in hint


def test_fetch_deepens_and_says_so(origin: Repo, tmp_path: Path) -> None:
    shallow = Repo.clone(origin, tmp_path / "shallow", "--depth=1")
    shallow.git("fetch", "--quiet", "--depth=1", "--tags")
    answer = ask(shallow.folder, "version", "--next", "--fetch")
    assert answer.stdout == "1.3.0\n", answer
    assert "fetching the history that this shallow clone was cut off from, from origin" in answer.stderr
    assert shallow.git("rev-parse", "--is-shallow-repository") == "false"
    assert ask(shallow.folder, "version", "--next", "--fetch").stderr == "", "the second time there is nothing to fetch"


def test_fetch_brings_tags_and_history(origin: Repo, tmp_path: Path) -> None:
    shallow = Repo.clone(origin, tmp_path / "shallow", "--depth=1", "--no-tags")
    origin.git("tag", "other-tool")
    answer = ask(shallow.folder, "plan", "--fetch")
    assert answer.code == 0 and "1.3.0" in answer.stdout
    assert "fetching 2 release tags from origin: v1.2.3, v1.2.2" in answer.stderr
    assert set(shallow.refs()) == {"v1.2.2", "v1.2.3"}, "tags of other tools are nobody's business"
    assert following(shallow.folder) == "1.3.0"


def test_a_shallow_clone_of_a_shallow_repository(origin: Repo, tmp_path: Path) -> None:
    """The remote has no more history itself: --fetch says so and does not go on guessing."""
    middle = Repo.clone(origin, tmp_path / "middle", "--depth=2", "--no-tags")
    shallow = Repo.clone(middle, tmp_path / "shallow", "--depth=1")
    answer = ask(shallow.folder, "version", "--fetch")
    assert (answer.code, answer.stdout) == (HISTORY, "")
    assert "shallow" in answer.message


def test_a_shallow_clone_without_a_remote(origin: Repo, tmp_path: Path) -> None:
    shallow = Repo.clone(origin, tmp_path / "shallow", "--depth=1")
    shallow.git("remote", "remove", "origin")
    hint = refused(shallow.folder, "this clone is shallow")
    assert hint.startswith("clone it again")
    assert ask(shallow.folder, "version", "--fetch").code == HISTORY


def test_a_shallow_clone_offline(origin: Repo, tmp_path: Path) -> None:
    shallow = Repo.clone(origin, tmp_path / "shallow", "--depth=1")
    refused(shallow.folder, "this clone is shallow", arguments=("--offline",))


def test_a_release_is_refused_in_the_same_way(origin: Repo, tmp_path: Path) -> None:
    """Before anything is built. It brings release tags by itself, as it always has; history only if it is asked to."""
    shallow = Repo.clone(origin, tmp_path / "shallow", "--depth=1")
    answer = ask(shallow.folder, "release")
    assert answer.code == HISTORY and "this clone is shallow" in answer.message and "--fetch" in answer.hint
    assert shallow.git("rev-parse", "--is-shallow-repository") == "true"
    origin.git("tag", "V1.3.0", "v1.2.3")
    answer = ask(shallow.folder, "release", "--fetch")
    assert answer.code == CONFLICT and "V1.3.0" in answer.message, "a tag that only the remote has bars it too"
    assert "fetching the history" in answer.stderr
    origin.git("tag", "--force", "v1.2.3", "v1.2.2^{commit}")
    answer = ask(shallow.folder, "release", "--fetch")
    assert answer.code == CONFLICT and "the tag v1.2.3 is" in answer.message


def test_building_needs_no_history(origin: Repo, tmp_path: Path) -> None:
    """`why` does; what builds is told by the tree alone, so a shallow clone is never deepened for it."""
    shallow = Repo.clone(origin, tmp_path / "shallow", "--depth=1")
    assert ask(shallow.folder, "why", "origin").code == HISTORY
    assert "--fetch" not in ask(shallow.folder, "build", "--help").stdout


# ------------------------------------------------------------------------------------------------ missing tags


@pytest.mark.parametrize("flags", [("--no-tags",), ("--single-branch", "--no-tags")])
def test_a_clone_without_tags(origin: Repo, tmp_path: Path, flags: tuple[str, ...]) -> None:
    clone = Repo.clone(origin, tmp_path / "clone", *flags)
    before = state(clone)
    hint = refused(clone.folder, "this clone lacks 2 release tags that origin has: v1.2.3, v1.2.2")
    assert state(clone) == before
    assert hint.startswith("git fetch --tags origin (")
    obey(clone.folder, hint.partition(" (")[0])
    assert following(clone.folder) == "1.3.0"


def test_fetch_brings_the_missing_tags(origin: Repo, tmp_path: Path) -> None:
    clone = Repo.clone(origin, tmp_path / "clone", "--no-tags")
    clone.git("tag", "mine")
    clone.config(fetch__prune="true", fetch__pruneTags="true")
    answer = ask(clone.folder, "version", "--next", "--fetch")
    assert answer.stdout == "1.3.0\n" and "fetching 2 release tags from origin" in answer.stderr
    assert set(clone.refs()) == {"v1.2.2", "v1.2.3", "mine"}, "what is here only was pruned"


def test_offline_answers_from_the_clone_and_says_so(origin: Repo, tmp_path: Path) -> None:
    clone = Repo.clone(origin, tmp_path / "clone", "--no-tags")
    for command in ("version", "plan", "tags"):
        answer = ask(clone.folder, command, "--offline")
        assert answer.code == 0 and "0.1.0" in answer.stdout
        assert "offline: whether origin has more releases than this clone is not known" in answer.stderr
    assert ask(clone.folder, "version", "--offline", "--fetch").code == 2


def test_one_release_is_missing(origin: Repo, clone: Repo) -> None:
    """Somebody released while we worked."""
    origin.git("tag", "v1.3.0")
    hint = refused(clone.folder, "lacks 1 release tag that origin has: v1.3.0")
    obey(clone.folder, hint.partition(" (")[0])
    assert following(clone.folder) == "1.3.0"
    assert ask(clone.folder, "version", "--current").stdout == "1.3.0\n"


def test_the_next_version_is_taken_on_another_branch_of_the_remote(origin: Repo, clone: Repo) -> None:
    origin.git("checkout", "--quiet", "-b", "other", "v1.2.3")
    taken = origin.commit("feat: elsewhere", {"x": "9"})
    origin.git("tag", "v1.3.0")
    refused(clone.folder, "lacks 1 release tag that origin has: v1.3.0")
    hint = refused(
        clone.folder, "1.3.0 comes next", f"v1.3.0 already stands on {taken[:7]}", code=CONFLICT, arguments=("--fetch",)
    )
    assert "Release-As" in hint
    clone.git("merge", "--quiet", "--strategy=ours", "--no-edit", taken)
    assert following(clone.folder) == "1.4.0", "the feature here is new to that release"


def test_an_old_release_is_missing(origin: Repo, clone: Repo) -> None:
    """It decides nothing: versions follow the highest."""
    origin.git("tag", "v1.0.0", "v1.2.2^{commit}")
    assert following(clone.folder) == "1.3.0"


def test_a_tag_was_moved(origin: Repo, clone: Repo) -> None:
    origin.git("tag", "--force", "v1.2.3", "HEAD")
    hint = refused(clone.folder, "the tag v1.2.3 is", "on origin", code=CONFLICT)
    obey(clone.folder, hint.partition(": ")[2])
    assert ask(clone.folder, "version", "--next").stdout == "1.2.3\n"


def test_the_remote_is_gone(origin: Repo, clone: Repo) -> None:
    with gone(origin):
        for command in ("version", "plan", "tags", "why"):
            answer = ask(clone.folder, command, *(["origin"] if command == "why" else []))
            assert answer.code == 0, answer
            assert "1.3.0" in answer.stdout
            assert "whether origin has more releases than this clone is not known" in answer.stderr
        answer = ask(clone.folder, "version", "--fetch")
        assert answer.code == HISTORY and "git remote -v" in answer.hint
    assert following(clone.folder, "--fetch") == "1.3.0"


def test_a_remote_that_does_not_answer(clone: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for, but not for long."""
    monkeypatch.setattr("dsci.pipeline.remote.PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        clone.git("remote", "set-url", "origin", f"http://127.0.0.1:{silent.getsockname()[1]}/x.git")
        began = time.monotonic()
        answer = ask(clone.folder, "version", "--next")
        assert time.monotonic() - began < 8
    assert answer.stdout == "1.3.0\n"
    assert "did not finish within 1 s" in answer.stderr


def test_a_password_is_not_shown(clone: Repo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    clone.git("remote", "set-url", "origin", f"http://ada:s3cr@t@127.0.0.1:{port}/x.git")
    for arguments in ((), ("--fetch",)):
        answer = ask(clone.folder, "version", *arguments)
        assert "s3cr" not in str(answer) and "127.0.0.1" in str(answer)


def test_a_remote_that_would_run_a_program_is_not_asked(clone: Repo, tmp_path: Path) -> None:
    clone.git("remote", "set-url", "origin", f"ext::sh -c touch% {tmp_path}/ran")
    answer = ask(clone.folder, "version", "--next")
    assert answer.stdout == "1.3.0\n" and "not allowed" in answer.stderr
    assert not (tmp_path / "ran").exists()


# ---------------------------------------------------------------------------------------------- partial clones


@pytest.mark.parametrize("filtered", ["blob:none", "tree:0"])
def test_a_partial_clone(origin: Repo, tmp_path: Path, filtered: str) -> None:
    clone = Repo.clone(origin, tmp_path / "clone", f"--filter={filtered}", "--no-checkout")
    assert clone.git("rev-list", "--objects", "--all", "--missing=print").count("?") > 0, "it is not partial"
    assert following(clone.folder) == "1.3.0"


@pytest.mark.parametrize("filtered", ["blob:none", "tree:0"])
def test_a_partial_clone_whose_remote_is_gone(origin: Repo, tmp_path: Path, filtered: str) -> None:
    clone = Repo.clone(origin, tmp_path / "clone", f"--filter={filtered}", "--no-checkout")
    with gone(origin):
        hint = refused(clone.folder)
        assert "see that origin answers" in hint
    obey(clone.folder, hint.split("`")[1])
    with gone(origin):
        assert following(clone.folder) == "1.3.0"


# -------------------------------------------------------------------------------------- history told otherwise


def test_grafts_are_not_believed(clone: Repo) -> None:
    head = clone.git("rev-parse", "HEAD")
    (clone.folder / ".git" / "info").mkdir(exist_ok=True)
    (clone.folder / ".git" / "info" / "grafts").write_text(f"{head}\n")
    assert clone.git("log", "--format=%s") == "feat: c", "Git believes it"
    assert following(clone.folder) == "1.3.0"


@pytest.mark.parametrize("fetched", [False, True])
def test_replaced_commits_are_not_believed(origin: Repo, clone: Repo, fetched: bool) -> None:
    """A commit that is shown as breaking and without parents."""
    where = origin if fetched else clone
    head = where.git("rev-parse", "HEAD")
    content = where.git("cat-file", "commit", "HEAD").replace("feat: c", "feat!: c")
    content = "\n".join(line for line in content.split("\n") if not line.startswith("parent "))
    other = where.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=content.encode())
    where.git("replace", head, other)
    if fetched:
        clone.git("fetch", "--quiet", "origin", "+refs/replace/*:refs/replace/*")
    assert clone.git("log", "--format=%s") == "feat!: c", "Git believes it"
    assert following(clone.folder) == "1.3.0"


def test_a_replaced_release(clone: Repo) -> None:
    clone.git("replace", "v1.2.3^{commit}", "v1.2.2^{commit}")
    assert following(clone.folder) == "1.3.0"


# ------------------------------------------------------------------------------------------------- places


def test_detached_head(clone: Repo) -> None:
    clone.git("checkout", "--quiet", "--detach")
    assert following(clone.folder) == "1.3.0"
    clone.git("checkout", "--quiet", "--detach", "HEAD^")
    assert following(clone.folder) == "1.2.4"


@pytest.mark.parametrize(
    "variables",
    [
        {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_BASE_REF": "next", "GITHUB_HEAD_REF": "topic"},
        {"GITHUB_REF": "refs/heads/next"},
        {"CI_COMMIT_BRANCH": "next"},
        {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "next", "CI_COMMIT_REF_NAME": "topic"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_detached_at_the_merge_of_a_request(
    origin: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]
) -> None:
    """As GitHub and GitLab check it out: the merge of the request into its branch, which the job's variables tell."""
    origin.commit(
        "chore: channels", {"dsci.yaml": "versioning:\n  prereleases: {next: rc}\n", ".dockerignore": "dsci.yaml"}
    )
    origin.git("checkout", "--quiet", "-b", "topic")
    origin.commit("feat!: a topic", {"x": "topic"})
    origin.git("checkout", "--quiet", "--detach", "main")
    origin.git("merge", "--quiet", "--no-ff", "-m", "Merge 1 into 2", "topic")
    origin.git("update-ref", "refs/pull/7/merge", "HEAD")
    origin.git("checkout", "--quiet", "main")
    clone = Repo.clone(origin, tmp_path / "clone")
    clone.git("fetch", "--quiet", "origin", "refs/pull/7/merge")
    clone.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
    hint = refused(clone.folder, "HEAD is detached")
    assert "--branch NAME" in hint
    assert following(clone.folder, "--branch", "next") == "2.0.0-rc.1"
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # The version is the one that comes when the request is merged; a run about the request itself releases nothing.
    answer = ask(clone.folder, "version", "--next")
    assert (answer.code, answer.stdout.strip()) == (0, "2.0.0-rc.1"), answer
    plan = json.loads(ask(clone.folder, "plan", "--json").stdout)
    released = [item["version"] for item in plan["releases"]]
    assert released == ["2.0.0-rc.1"] or "a request releases nothing (feat!" in plan["unreleased"]["origin"]


def test_a_linked_worktree(clone: Repo, tmp_path: Path) -> None:
    clone.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"), "HEAD^")
    assert following(tmp_path / "linked") == "1.2.4"
    assert following(clone.folder) == "1.3.0"


def test_a_linked_worktree_of_a_shallow_clone(origin: Repo, tmp_path: Path) -> None:
    shallow = Repo.clone(origin, tmp_path / "shallow", "--depth=3")
    shallow.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"), "HEAD")
    assert following(tmp_path / "linked") == "1.3.0"


def test_a_submodule_is_a_repository_of_its_own(origin: Repo, tmp_path: Path) -> None:
    outer = Repo(tmp_path / "outer")
    outer.commit("feat: outer", {"README": "x"})
    outer.git("tag", "v9.0.0")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{origin.folder}", "inner")
    outer.commit("feat: inner")
    assert (outer.folder / "inner" / ".git").is_file()
    assert following(outer.folder / "inner") == "1.3.0"


def test_a_submodule_in_a_context(origin: Repo, tmp_path: Path) -> None:
    """Another commit of it is another content."""
    library = Repo(tmp_path / "library")
    library.commit("feat: library", {"y": "1"})
    origin.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{library.folder}", "vendor")
    origin.commit("feat: vendor")
    origin.git("tag", "v1.3.0")
    moved = library.commit("feat!: y", {"y": "2"})
    clone = Repo.clone(origin, tmp_path / "clone")
    assert ask(clone.folder, "version", "--next").stdout == "1.3.0\n"
    clone.git("update-index", "--cacheinfo", f"160000,{moved},vendor")
    clone.git("commit", "--quiet", "--message", "fix: newer vendor")
    assert following(clone.folder) == "1.3.1"


def test_a_bare_repository(origin: Repo, tmp_path: Path) -> None:
    bare = Repo.clone(origin, tmp_path / "bare.git", "--bare")
    assert following(bare.folder) == "1.3.0"
    bare.git("symbolic-ref", "HEAD", "refs/heads/master")
    hint = refused(bare.folder, "names a branch without commits")
    obey(bare.folder, hint)
    assert following(bare.folder) == "1.3.0"


def test_a_clone_that_checked_nothing_out(origin: Repo, tmp_path: Path) -> None:
    origin.git("symbolic-ref", "HEAD", "refs/heads/nothing")
    clone = Repo.clone(origin, tmp_path / "clone")
    hint = refused(clone.folder, "names a branch without commits")
    obey(clone.folder, hint)
    assert following(clone.folder) == "1.3.0"


def test_sha256(tmp_path: Path) -> None:
    """A repository of the newer kind, its bare remote, and clones that lack something."""
    bare = tmp_path / "origin.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", "--object-format=sha256", str(bare)], check=True)
    subprocess.run(["git", "init", "--quiet", "-b", "main", "--object-format=sha256", str(tmp_path / "w")], check=True)
    work = Repo.at(tmp_path / "w")
    work.git("remote", "add", "origin", f"file://{bare}")
    work.commit("feat: begin", {"Dockerfile": DOCKERFILE, "x": "1"})
    work.git("tag", "-a", "-m", "first", "v1.2.3")
    assert len(work.commit("feat: more", {"x": "2"})) == 64
    work.git("push", "--quiet", "origin", "main", "v1.2.3")
    assert following(work.folder) == "1.3.0"
    assert following(bare) == "1.3.0"
    clone = Repo.clone(Repo.at(bare), tmp_path / "clone", "--no-tags")
    refused(clone.folder, "lacks 1 release tag that origin has: v1.2.3")
    assert ask(clone.folder, "version", "--next", "--fetch").stdout == "1.3.0\n"
    shallow = Repo.clone(Repo.at(bare), tmp_path / "shallow", "--depth=1")
    refused(shallow.folder, "lacks 1 release tag")
    assert ask(shallow.folder, "version", "--next", "--fetch").stdout == "1.3.0\n"


# ------------------------------------------------------------------------------------------------ ownership


def give_away(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)


@ROOT
@pytest.mark.parametrize("name", ["clone", "a clone's"])
def test_a_clone_of_another_user(origin: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    clone = Repo.clone(origin, tmp_path / name)
    give_away(clone.folder)
    trusted = tmp_path / "gitconfig"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(trusted))
    hint = refused(clone.folder, "Git does not trust", "it belongs to another user")
    assert hint.startswith("git config --global --add safe.directory ")
    assert not trusted.exists(), "dsci trusted it by itself"
    obey(tmp_path, hint)
    assert following(clone.folder) == "1.3.0"


@ROOT
def test_a_remote_of_another_user(origin: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = Repo.clone(origin, tmp_path / "clone")
    give_away(origin.folder)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    looked = ask(clone.folder, "version", "--next")
    assert looked.stdout == "1.3.0\n"
    if "dubious ownership" not in looked.stderr:
        pytest.skip("this Git asks for no trust in remotes")
    fetched = ask(clone.folder, "version", "--next", "--fetch")
    assert fetched.code == HISTORY
    obey(tmp_path, fetched.hint)
    assert ask(clone.folder, "version", "--next", "--fetch").stderr == ""


# ------------------------------------------------------------------------------------------------------ tags


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("there", ["here", "on the remote"])
@pytest.mark.parametrize("name", ["V1.3.0", "v1.3.0/notes"])
def test_a_tag_that_cannot_stand_beside_the_next(
    origin: Repo, clone: Repo, name: str, there: str, packed: bool
) -> None:
    """On a file system without case they are one file; under the name of the other, nothing can stand at all."""
    where = clone if there == "here" else origin
    where.git("tag", name, "v1.2.2^{commit}")
    if packed:
        where.git("pack-refs", "--all")
    hint = refused(clone.folder, "1.3.0 comes next, but the Git tag", name, code=CONFLICT)
    command = hint.partition("(")[2].partition(")")[0]
    assert command == f"git tag -d {name}" and "remote" in hint
    obey(where.folder, command)
    assert following(clone.folder) == "1.3.0"


def test_ignorecase_changes_nothing(clone: Repo) -> None:
    clone.config(core__ignoreCase="true")
    assert following(clone.folder) == "1.3.0"
    clone.git("tag", "V1.2.3", "HEAD")
    assert following(clone.folder) == "1.3.0", "a tag that no release is called is no release"


@pytest.mark.parametrize("what", ["HEAD^{tree}", "HEAD:x"])
def test_a_tag_that_names_no_commit(clone: Repo, what: str) -> None:
    clone.git("tag", "v1.2.9", what)
    assert following(clone.folder) == "1.3.0"
    clone.git("tag", "v1.3.0", what)
    hint = refused(clone.folder, "the Git tag v1.3.0 stands already and names no commit", code=CONFLICT)
    obey(clone.folder, hint.partition("(")[2].partition(")")[0])
    assert following(clone.folder) == "1.3.0"


def test_a_tag_that_names_no_commit_on_the_remote(origin: Repo, tmp_path: Path) -> None:
    """Once it is here it is not missing, though it is no release."""
    origin.git("tag", "v1.2.9", "HEAD^{tree}")
    clone = Repo.clone(origin, tmp_path / "clone")
    assert following(clone.folder) == "1.3.0"
    clone.git("tag", "v1.5.0", "HEAD:x")
    origin.git("tag", "v1.5.0")
    hint = refused(clone.folder, "the tag v1.5.0 is", code=CONFLICT)
    obey(clone.folder, hint.partition(": ")[2])
    assert following(clone.folder) == "1.5.0"
    origin.git("tag", "v1.6.0", "HEAD^{tree}")
    assert ask(clone.folder, "version", "--next", "--fetch").stdout == "1.5.0\n"
    assert following(clone.folder) == "1.5.0"


@pytest.mark.parametrize("name", ["v1.2.3", "of-another-tool", "it's; one"])
def test_a_tag_of_an_object_that_is_missing(clone: Repo, name: str) -> None:
    path = clone.folder / ".git" / "refs" / "tags" / name.replace(" ", "")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("1234567890" * 4 + "\n")
    hint = refused(clone.folder, "missing object")
    obey(clone.folder, hint.partition(", then `")[0])
    obey(clone.folder, hint.split("`")[1])
    assert following(clone.folder) == "1.3.0"


@pytest.mark.parametrize("content", ["", "garbage\n", "1234567\n"])
def test_a_damaged_tag(clone: Repo, tmp_path: Path, content: str) -> None:
    """A machine that lost its power leaves such files. Git passes over them: the version would be another one."""
    clone.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "it's linked"), "HEAD")
    path = clone.folder / ".git" / "refs" / "tags" / "v1.2.3"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    for folder in (clone.folder, tmp_path / "it's linked"):
        hint = refused(folder, "the Git tag v1.2.3 is damaged")
        assert shlex.split(hint.partition(",")[0]) == ["rm", str(path)]
    obey(tmp_path, hint.partition(", then `")[0])
    obey(clone.folder, hint.split("`")[1])
    assert following(clone.folder) == "1.3.0"


def test_a_damaged_branch(clone: Repo) -> None:
    (clone.folder / ".git" / "refs" / "heads" / "main").write_text("")
    hint = refused(clone.folder, "cannot read where HEAD stands", "appears to be broken")
    assert "git fsck" in hint and "clone again" in hint


def test_damaged_packed_refs(clone: Repo) -> None:
    clone.git("pack-refs", "--all")
    with (clone.folder / ".git" / "packed-refs").open("a") as file:
        file.write("zz\n")
    refused(clone.folder, "unexpected line in")


def test_tags_with_names_that_are_no_text(origin: Repo, tmp_path: Path) -> None:
    for name in (b"v1.2.9\xe9", b"v9.9.9-\xff\xfe", b"caf\xe9", "v8.0.0-größe".encode()):
        origin.git("tag", name)
    clone = Repo.clone(origin, tmp_path / "clone", "--no-tags")
    refused(clone.folder, "lacks 2 release tags that origin has: v1.2.3, v1.2.2")
    clone.git("fetch", "--quiet", "--tags")
    assert following(clone.folder) == "1.3.0"


# ----------------------------------------------------------------------------------------- texts and dates


def raw(repo: Repo, content: bytes) -> str:
    """A commit, as it stands here, on top of HEAD and with HEAD's tree changed."""
    tree = repo.git("write-tree").encode()
    parent = repo.git("rev-parse", "HEAD").encode()
    sha = repo.git(
        "hash-object", "-t", "commit", "-w", "--stdin", "--literally",
        stdin=content.replace(b"TREE", tree).replace(b"PARENT", parent),
    )  # fmt: skip
    repo.git("reset", "--quiet", "--soft", sha)
    return sha


@pytest.mark.parametrize("header", [b"", b"encoding ISO-8859-1\n", b"encoding nonsense\n", b"encoding UTF-16\n"])
@pytest.mark.parametrize("setting", ["", "ISO-8859-1", "UTF-8", "nonsense"])
def test_messages_in_other_encodings(clone: Repo, header: bytes, setting: str) -> None:
    clone.write({"x": "5"})
    clone.git("add", "--all")
    who = b"Andr\xe9 <a@example.org> 1700000300 +0000"
    message = b"feat!: caf\xe9 \xff\xfe\x01\n\nBREAKING CHANGE: gr\xf6\xdfer\n"
    raw(clone, b"tree TREE\nparent PARENT\nauthor %s\ncommitter %s\n%s\n%s" % (who, who, header, message))
    if setting:
        clone.config(i18n__commitEncoding=setting, i18n__logOutputEncoding=setting)
    assert following(clone.folder) == "2.0.0"


@pytest.mark.parametrize(
    "date",
    [
        b"1 +0000",
        b"-86400 +0000",
        b"-9999999999999 -1200",
        b"4102444800 +1400",
        b"253402300800 +0000",
        b"9223372036854775807 +0000",
        b"99999999999999999999999999 +0000",
        b"9" * 5000,
        b"never",
        b"",
    ],
    ids=lambda date: date[:24].decode() or "empty",
)
def test_dates(clone: Repo, date: bytes) -> None:
    """Out of order, before 1970, beyond all calendars, or none: versions come from what stands on what."""
    for message in (b"fix: dated\n", b"feat: dated\n"):
        clone.write({"x": message.decode()})
        clone.git("add", "--all")
        who = b"A <a@example.org> " + date
        raw(clone, b"tree TREE\nparent PARENT\nauthor %s\ncommitter %s\n\n%s" % (who, who, message))
    assert following(clone.folder) == "1.3.0"
    clone.git("update-ref", "refs/tags/v1.3.0", "HEAD")
    clone.commit("fix: later", {"x": "later"}, when=5)
    assert following(clone.folder) == "1.3.1"


def test_paths_that_are_no_text(clone: Repo) -> None:
    clone.commit("feat: hidden", {".dockerignore": "odd/**\n"})
    clone.git("tag", "v1.3.0")
    clone.write({b"odd/caf\xe9": "1"})
    clone.commit("feat!: a name")
    assert following(clone.folder) == "1.3.0", "it is no input"
    clone.write({b"caf\xe9": "1"})
    clone.commit("feat!: a name")
    answer = ask(clone.folder, "version")
    assert answer.code == 2 and "is not UTF-8" in answer.message and "rename" in answer.hint
    clone.git("mv", b"caf\xe9", "café")
    clone.commit("fix: the name")
    assert following(clone.folder) == "2.0.0"


# ----------------------------------------------------------------------------------- surroundings and settings


@pytest.mark.parametrize(
    "variables",
    [
        {"GIT_DIR": ".git"},
        {"GIT_DIR": "{other}/.git"},
        {"GIT_DIR": "{other}/.git", "GIT_WORK_TREE": "{other}"},
        {"GIT_WORK_TREE": "/"},
        {"GIT_INDEX_FILE": "{other}/.git/index"},
        {"GIT_OBJECT_DIRECTORY": "{other}/.git/objects"},
        {"GIT_COMMON_DIR": "{other}/.git"},
        {"GIT_NAMESPACE": "elsewhere"},
        {"GIT_PREFIX": "sub/"},
        {"GIT_SHALLOW_FILE": "/nonexistent"},
        {"GIT_GRAFT_FILE": "{other}/grafts"},
        {"GIT_REPLACE_REF_BASE": "refs/tags/"},
        {"GIT_EXTERNAL_DIFF": "/bin/false", "GIT_PAGER": "/bin/false", "GIT_EDITOR": "/bin/false"},
        {"GIT_LITERAL_PATHSPECS": "1"},
        {"GIT_TRACE": "1", "GIT_TRACE_SETUP": "1"},
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.bare", "GIT_CONFIG_VALUE_0": "false"},
    ],
    ids=lambda variables: " ".join(variables),
)
@pytest.mark.parametrize("lacking", [False, True], ids=["whole", "lacking"])
def test_variables_that_speak_of_another_repository(
    origin: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], lacking: bool
) -> None:
    """The folder says which repository is meant. What is fetched goes there too."""
    other = Repo(tmp_path / "other")
    other.commit("feat: other", {"Dockerfile": "FROM other\n"})
    other.git("tag", "v7.0.0")
    (other.folder / "grafts").write_text(origin.git("rev-parse", "HEAD") + "\n")
    clone = Repo.clone(origin, tmp_path / "clone", *(["--depth=1", "--no-tags"] if lacking else []))
    before = other.refs("refs/")
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value.format(other=other.folder))
        if lacking:
            answer = ask(clone.folder, "version", "--next", "--fetch")
            assert answer.stdout == "1.3.0\n", answer
        assert following(clone.folder) == "1.3.0"
    assert other.refs("refs/") == before
    assert set(clone.refs()) == {"v1.2.2", "v1.2.3"}


def test_called_by_a_hook(origin: Repo, clone: Repo, tmp_path: Path) -> None:
    """Git tells its hooks where they are by variables; dsci looks at another repository there."""
    source = Path(__file__).parents[2] / "src"
    script = (
        f'cd / && PYTHONPATH={source} "{sys.executable}" -m dsci -C "{clone.folder}" version --next > "{tmp_path}/told"'
    )
    caller = Repo.clone(origin, tmp_path / "bare.git", "--bare")
    caller.hook("post-receive", script)
    clone.git("push", "--quiet", f"file://{caller.folder}", "HEAD:refs/heads/other")
    assert (tmp_path / "told").read_text() == "1.3.0\n"


def test_the_search_is_stopped(clone: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone.folder / "sub").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(clone.folder))
    hint = refused(clone.folder / "sub", "is not in a Git repository")
    assert "GIT_CEILING_DIRECTORIES" in hint
    monkeypatch.delenv("GIT_CEILING_DIRECTORIES")
    assert following(clone.folder / "sub") == "1.3.0"


def test_a_repository_that_only_a_variable_names(clone: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain").mkdir()
    monkeypatch.setenv("GIT_DIR", str(clone.folder / ".git"))
    assert "GIT_DIR" in refused(tmp_path / "plain", "is not in a Git repository")


SETTINGS = {
    "color.ui": "always",
    "commitGraph.changedPathsVersion": "2",
    "core.abbrev": "4",
    "core.attributesFile": "/nonexistent",
    "core.commentChar": "f",
    "core.excludesFile": "/nonexistent",
    "core.pager": "/bin/false",
    "core.precomposeUnicode": "true",
    "core.quotePath": "true",
    "core.warnAmbiguousRefs": "true",
    "diff.colorMoved": "zebra",
    "diff.external": "/bin/false",
    "diff.ignoreSubmodules": "all",
    "diff.mnemonicPrefix": "true",
    "diff.noprefix": "true",
    "diff.orderFile": "/nonexistent",
    "diff.relative": "true",
    "diff.renames": "copies",
    "diff.submodule": "log",
    "fetch.writeCommitGraph": "true",
    "format.pretty": "oneline",
    "i18n.logOutputEncoding": "ISO-8859-1",
    "log.abbrevCommit": "true",
    "log.date": "human",
    "log.decorate": "full",
    "log.diffMerges": "combined",
    "log.excludeDecoration": "refs/tags/*",
    "log.follow": "true",
    "log.graphColors": "red",
    "log.initialDecorationSet": "all",
    "log.mailmap": "true",
    "log.showRoot": "false",
    "log.showSignature": "true",
    "notes.displayRef": "refs/notes/*",
    "status.relativePaths": "true",
    "tag.sort": "-version:refname",
    "transfer.hideRefs": "refs/tags",
    "versionsort.suffix": "-rc",
}


@pytest.mark.parametrize("setting", [*SETTINGS, "all"])
def test_settings_of_the_user(clone: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    clone.git("checkout", "--quiet", "-b", "side")
    clone.commit("feat!: größer", {"größe": "1"})
    clone.git("checkout", "--quiet", "main")
    clone.commit("fix: d", {"x": "6"})
    clone.git("mv", "x", "z")
    clone.commit("refactor: a move")
    clone.git("merge", "--quiet", "--no-ff", "-m", "Merge branch 'side'", "side")
    clone.git("notes", "add", "-m", "feat!: a note")
    clone.git("-c", "commitGraph.changedPathsVersion=1", "commit-graph", "write", "--reachable", "--changed-paths")
    told = tmp_path / "gitconfig"
    for name, value in SETTINGS.items():
        if setting in ("all", name):
            subprocess.run(["git", "config", "--file", str(told), name, value], check=True)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(told))
    assert following(clone.folder) == "2.0.0"


def test_a_monitor_that_says_nothing_changes(clone: Repo, tmp_path: Path) -> None:
    monitor = tmp_path / "monitor"
    monitor.write_text("#!/bin/sh\nprintf 'token\\0'\n")
    monitor.chmod(0o755)
    clone.config(core__fsmonitor=str(monitor))
    clone.git("update-index", "--fsmonitor")
    assert following(clone.folder) == "1.3.0"
    clone.commit("feat!: e", {"x": "7"})
    assert following(clone.folder) == "2.0.0"


def test_a_mailmap_and_attributes_in_the_repository(clone: Repo) -> None:
    clone.commit(
        "feat!: odd files", {".mailmap": "X <x@x> <ada@example.org>\n", ".gitattributes": "* -diff export-ignore\n"}
    )
    assert following(clone.folder) == "2.0.0"


def test_the_clone_is_removed_meanwhile(origin: Repo, clone: Repo) -> None:
    shutil.rmtree(clone.folder)
    refused(clone.folder, "there is no folder")
