"""GitRepository on real repositories: hostile paths, messages and tags; claims that race; remotes that refuse."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.drivers.repository import CLEAN, Repo
from tests.serving import serving

from dsci.drivers import gitprogram
from dsci.drivers.git import GitRepository
from dsci.drivers.gitledger import IDENTITY
from dsci.drivers.gitprogram import Program
from dsci.errors import ConfigError, ConflictError, HistoryError
from dsci.model.ledger import BRANCH
from dsci.model.tree import EXECUTABLE, FILE, SUBMODULE, SYMLINK, TreeEntry
from dsci.ports import TagObject

SECRET = "s3cr@t:value"
MISSING = "1234567890" * 4

#: Paths that Git allows and careless programs do not.
HOSTILE_PATHS = (
    b"plain",
    b"with space",
    b" leading and trailing ",
    b"-n",
    b"--output=x",
    b"new\nline",
    b"\nfirst",
    b"tab\there",
    b'quo"te',
    b"back\\slash",
    "größe/日本語.txt".encode(),
    "e\u0301".encode(),
    b"latin-\xe9",
    b"deep/-r/\xff\xfe",
    b"1 .M N... 100644 100644 100644 0 0 fake",
    b"? fake",
    b"star*",
    b":(glob)magic",
    b"!bang",
    b"#hash",
    b"\xe2\x80\xa8line-separator",
)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CLEAN.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with one commit."""
    repo = Repo(tmp_path / "repo")
    repo.commit("feat: begin", {"Dockerfile": "FROM debian\n", "src/run.sh": "#!/bin/sh\n", "src/data": "1\n"})
    return repo


@pytest.fixture
def opened() -> Iterator[Callable[[Path], GitRepository]]:
    """Opens GitRepositories, and closes them at the end."""
    made: list[GitRepository] = []

    def open_(folder: Path) -> GitRepository:
        made.append(GitRepository(folder))
        return made[-1]

    yield open_
    for repository in made:
        repository.close()


Opened = Callable[[Path], GitRepository]


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def listing(repo: Repo) -> dict[str, str]:
    """Every file below a folder, .git included, with its content's hash: to see that nothing changed."""
    files = (path for path in sorted(repo.folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# --------------------------------------------------------------------------------------------------------- head


def test_head_tells_where_it_stands(repo: Repo, opened: Opened) -> None:
    sha = repo.commit("second", when=1_700_000_000)
    head = opened(repo.folder).head()
    assert (head.commit, head.when, head.branch, head.root) == (sha, 1_700_000_000, "main", str(repo.folder))
    assert head.origin is None


def test_no_folder(tmp_path: Path, opened: Opened) -> None:
    with pytest.raises(HistoryError, match="there is no folder") as caught:
        opened(tmp_path / "nowhere").head()
    assert caught.value.exit_code == 3 and caught.value.hint


def test_no_repository(tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    with pytest.raises(HistoryError, match="not in a Git repository") as caught:
        opened(tmp_path / "plain").head()
    assert "git init" in caught.value.hint


@pytest.mark.parametrize("bare", [False, True])
def test_no_commits(tmp_path: Path, opened: Opened, bare: bool) -> None:
    empty = Repo(tmp_path / "empty", bare=bare)
    with pytest.raises(HistoryError, match="has no commits") as caught:
        opened(empty.folder).head()
    assert "commit" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_dubious_ownership_is_told_with_the_folder_that_must_be_trusted(repo: Repo, opened: Opened) -> None:
    (repo.folder / "sub").mkdir()
    for path in (repo.folder, *repo.folder.rglob("*")):
        os.chown(path, 12345, 12345)
    for folder in (repo.folder, repo.folder / "sub"):
        with pytest.raises(HistoryError, match="does not trust") as caught:
            opened(folder).head()
        # Trusting the sub-folder would not help: Git asks about the repository.
        assert caught.value.hint == f"git config --global --add safe.directory {repo.folder}"


def test_dubious_ownership_told_by_a_relative_folder(
    repo: Repo, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(repo.folder, 12345, 12345)
    os.chown(repo.folder / ".git", 12345, 12345)
    monkeypatch.chdir(repo.folder)
    with pytest.raises(HistoryError) as caught:
        opened(Path()).head()
    assert str(repo.folder) in caught.value.hint


def test_bare_repository(repo: Repo, opened: Opened, tmp_path: Path) -> None:
    bare = Repo.clone(repo, tmp_path / "bare.git", "--bare")
    repository = opened(bare.folder)
    assert repository.head().root == str(bare.folder)
    assert "Dockerfile" in repository.tree(repository.head().commit)
    assert repository.dirty() == {}


def test_detached_head_has_no_branch(repo: Repo, opened: Opened) -> None:
    repo.git("checkout", "--quiet", "--detach")
    assert opened(repo.folder).head().branch is None


@pytest.mark.parametrize("kind", ["tag", "branch"])
def test_something_else_may_be_called_head(repo: Repo, opened: Opened, kind: str) -> None:
    sha = repo.commit("second")
    repo.git("update-ref", f"refs/{'tags' if kind == 'tag' else 'heads'}/HEAD", f"{sha}~1")
    head = opened(repo.folder).head()
    assert (head.commit, head.branch, head.root) == (sha, "main", str(repo.folder))
    repo.git("checkout", "--quiet", "--detach", "refs/heads/main")
    assert opened(repo.folder).head().branch is None


def test_the_name_of_the_folder_may_look_like_an_answer(repo: Repo, opened: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "refs" / "heads\nHEAD\nrefs" / "heads"
    folder.parent.mkdir(parents=True)
    copy = Repo.clone(repo, folder)
    head = opened(copy.folder).head()
    assert (head.branch, head.root) == ("main", str(copy.folder))


@pytest.mark.parametrize("within", ["", "refs/heads"])
def test_the_git_folder_of_a_work_tree_is_no_place(repo: Repo, opened: Opened, within: str) -> None:
    with pytest.raises(HistoryError, match="must be run in a work tree") as caught:
        opened(repo.folder / ".git" / within).head()
    assert caught.value.hint == "go into the work tree, or name it with -C"


def test_sub_folder_and_linked_worktree_see_the_whole_tree(repo: Repo, opened: Opened, tmp_path: Path) -> None:
    repo.git("worktree", "add", "--quiet", "-b", "other", str(tmp_path / "linked"))
    for folder, root, branch in (
        (repo.folder / "src", repo.folder, "main"),
        (tmp_path / "linked", tmp_path / "linked", "other"),
        (tmp_path / "linked" / "src", tmp_path / "linked", "other"),
    ):
        repository = opened(folder)
        assert (repository.head().root, repository.head().branch) == (str(root), branch)
        assert set(repository.tree(repository.head().commit)) == {"Dockerfile", "src/run.sh", "src/data"}
        assert repository.dirty() == {}


def test_a_root_with_odd_characters(tmp_path: Path, opened: Opened) -> None:
    odd = Repo(tmp_path / "ein Größen\nordner")
    odd.commit("x", {"a": "1"})
    (odd.folder / "a").write_text("2")
    repository = opened(odd.folder)
    assert repository.head().root == str(odd.folder)
    assert set(repository.dirty()) == {"a"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://github.com/acme/family.git", "https://github.com/acme/family.git"),
        ("https://ada:s3cret@github.com/acme/family.git", "https://github.com/acme/family.git"),
        ("https://s3cret@github.com/acme/family.git", "https://github.com/acme/family.git"),
        ("https://ada:s3cret@with@more@github.com/acme/family.git", "https://github.com/acme/family.git"),
        ("ssh://git:s3cret@example.org:22/x.git", "ssh://example.org:22/x.git"),
        ("git@github.com:acme/family.git", "git@github.com:acme/family.git"),
        ("https://example.org/@acme/x.git", "https://example.org/@acme/x.git"),
        ("https://example.org/x.git?private_token=s3cret&a=b#c", "https://example.org/x.git"),
    ],
)
def test_origin_is_shown_without_credentials(repo: Repo, opened: Opened, url: str, shown: str) -> None:
    repo.git("remote", "add", "origin", url)
    assert opened(repo.folder).head().origin == shown


def test_a_token_that_settings_put_into_the_address_is_not_shown(repo: Repo, opened: Opened) -> None:
    repo.git("remote", "add", "origin", "https://github.com/acme/family.git")
    repo.git("config", "url.https://oauth2:s3cret@github.com/.insteadOf", "https://github.com/")
    assert opened(repo.folder).head().origin == "https://github.com/acme/family.git"


def test_the_remote_is_the_branchs_own_else_origin_else_the_only_one(repo: Repo, opened: Opened) -> None:
    assert opened(repo.folder).remote() is None
    repo.git("remote", "add", "upstream", "/nowhere")
    assert opened(repo.folder).remote() == "upstream"
    repo.git("remote", "add", "fork", "/nowhere")
    assert opened(repo.folder).remote() is None
    repo.git("remote", "add", "origin", "/nowhere")
    assert opened(repo.folder).remote() == "origin"
    repo.git("config", "branch.main.remote", "fork")
    assert opened(repo.folder).remote() == "fork"
    repo.git("config", "branch.main.remote", "gone")
    assert opened(repo.folder).remote() == "origin"


def test_shallow(repo: Repo, opened: Opened, tmp_path: Path) -> None:
    repo.commit("second")
    assert not opened(repo.folder).is_shallow()
    shallow = Repo.clone(repo, tmp_path / "shallow", "--depth=1")
    assert opened(shallow.folder).is_shallow()
    # Trees are whole in a shallow clone: only versions need the history.
    repository = opened(shallow.folder)
    assert "Dockerfile" in repository.tree(repository.head().commit)


def test_settings_of_the_user_do_not_change_what_is_read(repo: Repo, opened: Opened, tmp_path: Path) -> None:
    """`git log` obeys many settings; each of these once broke a program that read its output."""
    repo.commit("signed", {"src/more": "1"})
    header, _, rest = repo.git("cat-file", "commit", "HEAD").partition("\n\n")
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    signed = repo.git(
        "hash-object", "-t", "commit", "-w", "--stdin", stdin=f"{header}\n{signature}\n\n{rest}\n".encode()
    )
    repo.git("reset", "--quiet", "--soft", signed)
    repo.commit("later", {"Dockerfile": "FROM debian\nRUN x\n"})
    want = (opened(repo.folder).head(), opened(repo.folder).commits(()), opened(repo.folder).tags())
    assert [commit.paths for commit in want[1]] == [
        ("Dockerfile",),
        ("src/more",),
        ("Dockerfile", "src/data", "src/run.sh"),
    ]
    liar = tmp_path / "gpg"
    liar.write_text("#!/bin/sh\necho 'gpg: Good signature from nobody' >&2\necho '[GNUPG:] GOODSIG 1 nobody'\n")
    liar.chmod(0o755)
    repo.config(
        log__showSignature="true",
        gpg__program=str(liar),
        log__showRoot="false",
        diff__relative="true",
        diff__noprefix="true",
        diff__renames="copies",
        diff__external="/bin/false",
        color__ui="always",
        log__decorate="full",
        log__abbrevCommit="true",
        log__date="relative",
        log__follow="true",
        core__quotePath="true",
        status__relativePaths="true",
        status__showStash="true",
        status__branch="true",
        status__short="true",
        status__showUntrackedFiles="no",
        tag__sort="-version:refname",
        i18n__logOutputEncoding="ISO-8859-1",
    )
    repo.git("stash", "list")
    # The settings do bite: what a person sees has the signature in it.
    assert "Good signature" in repo.git("log", "-1", "--format=%H", "HEAD~1")
    for folder in (repo.folder, repo.folder / "src"):
        repository = opened(folder)
        assert (repository.head(), repository.commits(()), repository.tags()) == want
    (repo.folder / "src" / "new").write_text("x")
    assert set(opened(repo.folder / "src").dirty()) == {"src/new"}


def test_replaced_objects_are_not_believed(repo: Repo, opened: Opened) -> None:
    entry = opened(repo.folder).tree(repo.git("rev-parse", "HEAD"))["src/data"]
    other = repo.git("hash-object", "-w", "--stdin", stdin=b"evil\n")
    repo.git("replace", entry.oid, other)
    assert repo.git("cat-file", "blob", entry.oid) == "evil"
    assert opened(repo.folder).blob(entry.oid) == b"1\n"


# --------------------------------------------------------------------------------------------------------- tree


def test_a_tree_says_what_git_lists_however_it_is_asked(repo: Repo, opened: Opened) -> None:
    """Folders are read as they are asked for: each way to ask is tried on a tree that nothing was asked of yet."""
    large = {f"many/{n:03}/{name}": name for n in range(150) for name in ("Dockerfile", "a.txt")}
    odd = {"many/000.x": "", "many/line\nfeed/x": "", "line\nfeed/below/x": "", "é/ü.txt": "", "sp ace/x missing": ""}
    flat = {f"flat/{n:03}": str(n) for n in range(150)}
    head = repo.commit("all", {**large, **odd, **flat, "x": ""})
    repo.commit("later", {"many/007/a.txt": "other"})
    listed = repo.git("ls-tree", "-r", "-z", head).split("\0")[:-1]
    entries = {line.partition("\t")[2]: line.split()[0:3:2] for line in listed}
    folders = {""} | {path[:n] for path in entries for n, letter in enumerate(path) if letter == "/"}
    for path, (mode, oid) in entries.items():
        assert opened(repo.folder).tree(head)[path] == TreeEntry(mode, oid.split("\t")[0])
    read = opened(repo.folder).tree(head)
    assert {path: [entry.mode, entry.oid] for path, entry in read.items()} == entries and len(read) == len(entries)
    for folder in [*sorted(folders)[::9], "", "many", "flat", "line\nfeed", "many/line\nfeed"]:
        asked = opened(repo.folder).tree(head)
        assert folder not in asked and f"{folder}/none" not in asked
        below = [path for path in sorted(entries) if not folder or path.startswith(f"{folder}/")]
        assert asked.under(folder) == below
        start = len(folder) + 1 if folder else 0
        assert asked.folders(folder) == sorted({path[start:].split("/")[0] for path in below if "/" in path[start:]})
    assert read.under("x") == ["x"] and read.under("x/y") == [] and read.folders("x") == []
    with pytest.raises(KeyError):
        read["x/y"]


def test_tree_with_every_mode(repo: Repo, opened: Opened, tmp_path: Path) -> None:
    other = Repo(tmp_path / "other")
    inner = other.commit("inner", {"x": "1"})
    repo.write({"run": "#!/bin/sh\n", "empty": ""})
    repo.path("run").chmod(0o755)
    repo.path("odd-mode").write_text("x")
    repo.path("odd-mode").chmod(0o600)
    repo.path("link").symlink_to("../somewhere/else")
    repo.path("dangling\n").symlink_to("no/such")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{inner},vendor/other")
    sha = repo.commit("modes")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{inner},vendor/other")
    repo.git("commit", "--quiet", "--message", "submodule")
    sha = repo.git("rev-parse", "HEAD")
    tree = opened(repo.folder).tree(sha)
    assert tree["run"] == TreeEntry(EXECUTABLE, blob_id(b"#!/bin/sh\n"))
    assert tree["odd-mode"] == TreeEntry(FILE, blob_id(b"x"))
    assert tree["empty"] == TreeEntry(FILE, blob_id(b""))
    assert tree["link"] == TreeEntry(SYMLINK, blob_id(b"../somewhere/else"))
    assert tree["dangling\n"] == TreeEntry(SYMLINK, blob_id(b"no/such"))
    assert tree["vendor/other"] == TreeEntry(SUBMODULE, inner)
    assert "vendor" not in tree, "folders are not listed"


def test_hostile_paths_come_through_unchanged(repo: Repo, opened: Opened) -> None:
    repo.write({path: b"content of " + path for path in HOSTILE_PATHS})
    sha = repo.commit("odd names")
    repository = opened(repo.folder)
    tree = repository.tree(sha)
    for path in HOSTILE_PATHS:
        name = path.decode(errors="surrogateescape")
        assert tree[name] == TreeEntry(FILE, blob_id(b"content of " + path)), path
        assert repository.blob(tree[name].oid) == b"content of " + path
    assert set(repository.commits(())[0].paths) == {path.decode(errors="surrogateescape") for path in HOSTILE_PATHS}
    # And all of them changed in the work tree.
    repo.write({path: b"new " + path for path in HOSTILE_PATHS})
    dirty = repository.dirty()
    assert dirty == {
        path.decode(errors="surrogateescape"): TreeEntry(FILE, blob_id(b"new " + path)) for path in HOSTILE_PATHS
    }
    for path in HOSTILE_PATHS:
        assert repository.worktree_blob(path.decode(errors="surrogateescape")) == b"new " + path


@pytest.mark.parametrize("text", ["HEAD", "--all", "main", MISSING[:-1], MISSING + "\n", ""])
def test_only_object_ids_become_arguments(repo: Repo, opened: Opened, text: str) -> None:
    repository = opened(repo.folder)
    for ask in (repository.tree, repository.blob, lambda oid: repository.commits([oid])):
        with pytest.raises(HistoryError, match="is not an object id"):
            ask(text)


def test_a_commit_that_is_not_there(repo: Repo, opened: Opened) -> None:
    with pytest.raises(HistoryError, match="does not have the list of files of 1234567"):
        opened(repo.folder).tree(MISSING)


def test_sha256_repository(tmp_path: Path, opened: Opened) -> None:
    folder = tmp_path / "modern"
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet", "--object-format=sha256", str(folder)], check=True)
    modern = Repo.at(folder)
    sha = modern.commit("x", {"a": "1"})
    repository = opened(folder)
    assert len(sha) == 64 and repository.blob(repository.tree(sha)["a"].oid) == b"1"


# --------------------------------------------------------------------------------------------------------- blob


def test_blobs_asked_for_by_several_threads(repo: Repo, opened: Opened) -> None:
    dice = random.Random(1)
    contents = [dice.randbytes(dice.choice([0, 1, 100, 70_000, 300_000])) + b"%d\n" % n for n in range(40)]
    repo.write({f"blobs/{n}": content for n, content in enumerate(contents)})
    sha = repo.commit("many")
    repository = opened(repo.folder)
    tree = repository.tree(sha)
    wanted = [dice.randrange(40) for _ in range(400)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: repository.blob(tree[f"blobs/{n}"].oid), wanted))
    assert answers == [contents[n] for n in wanted]


def test_what_is_no_blob_is_an_error_and_the_next_answer_is_right(repo: Repo, opened: Opened) -> None:
    repository = opened(repo.folder)
    commit = repository.head().commit
    data = repository.tree(commit)["src/data"].oid
    for oid in (MISSING, commit, repo.git("rev-parse", "HEAD^{tree}"), "f" * 64):
        with pytest.raises(HistoryError, match="does not have the content") as caught:
            repository.blob(oid)
        assert "clone" in caught.value.hint
        assert repository.blob(data) == b"1\n"


def test_a_damaged_object_is_never_given_in_part(repo: Repo, opened: Opened) -> None:
    content = random.Random(2).randbytes(200_000)
    oid = repo.git("hash-object", "-w", "--stdin", stdin=content)
    loose = repo.folder / ".git" / "objects" / oid[:2] / oid[2:]
    loose.chmod(0o644)
    # A small threshold lets Git stream it, so that the header comes before the damage is met.
    repo.config(core__bigFileThreshold="1k")
    loose.write_bytes(loose.read_bytes()[:100_000])
    repository = opened(repo.folder)
    with pytest.raises(HistoryError, match="does not have the content"):
        repository.blob(oid)
    assert repository.blob(repository.tree(repository.head().commit)["src/data"].oid) == b"1\n"


def test_a_reader_that_was_killed_is_started_again(repo: Repo, opened: Opened) -> None:
    repository = opened(repo.folder)
    oid = repository.tree(repository.head().commit)["src/data"].oid
    assert repository.blob(oid) == b"1\n"
    reader = repository._program.objects()._process
    reader.send_signal(signal.SIGSTOP)  # It is asked, and killed before it answers.
    threading.Timer(0.3, reader.kill).start()
    with pytest.raises(HistoryError):
        repository.blob(oid)
    reader.wait()
    assert repository.blob(oid) == b"1\n"
    repository.close()
    assert repository.blob(oid) == b"1\n"


# -------------------------------------------------------------------------------------------------------- dirty


def test_a_clean_tree(repo: Repo, opened: Opened) -> None:
    before = listing(repo)
    assert opened(repo.folder).dirty() == {}
    os.utime(repo.path("src/data"), (1, 1))
    assert opened(repo.folder).dirty() == {}, "a new time is no change"
    assert listing(repo) == before, "reading wrote something"


def test_every_kind_of_change(repo: Repo, opened: Opened) -> None:
    files = ("modified", "staged", "both", "reverted", "deleted", "removed", "mode", "to-link", "to-folder", "uncached")
    repo.write({name: f"{name}\n" for name in files} | {"folder/inner": "x\n", "behind/same": "same\n"})
    repo.write({".gitignore": "*.log\n", "kept.log": "tracked though ignored\n", "elsewhere/same": "same\n"})
    repo.path("link").symlink_to("old-target")
    repo.git("add", "--all", "--force")
    repo.commit("all kinds")

    repo.write({"modified": "new\n", "staged": "new\n", "both": "index\n", "reverted": "index\n"})
    repo.git("add", "staged", "both", "reverted")
    repo.write({"both": "work\n", "reverted": "reverted\n", "untracked": "u\n", "new/deep/file": "d\n"})
    repo.write({"ignored.log": "no\n", "kept.log": "changed\n", "added": "a\n", "intended": "i\n"})
    repo.git("add", "added")
    repo.git("add", "--intent-to-add", "intended")
    repo.path("deleted").unlink()
    repo.git("rm", "--quiet", "removed")
    repo.git("rm", "--quiet", "--cached", "uncached")
    repo.path("mode").chmod(0o755)
    repo.path("link").unlink()
    repo.path("link").symlink_to("new-target")
    repo.path("to-link").unlink()
    repo.path("to-link").symlink_to("modified")
    repo.path("to-folder").unlink()
    repo.write({"to-folder/inside": "i\n"})
    repo.path("folder/inner").unlink()
    repo.path("folder").rmdir()
    repo.write({"folder": "now a file\n"})
    # A folder that became a link to one with the very same file: the path itself is gone.
    repo.path("behind/same").unlink()
    repo.path("behind").rmdir()
    repo.path("behind").symlink_to("elsewhere")
    repo.path("dangling").symlink_to("/no/such/place")
    os.mkfifo(repo.path("pipe"))

    objects = sorted((repo.folder / ".git" / "objects").rglob("*"))
    assert opened(repo.folder / "src").dirty() == {
        "modified": TreeEntry(FILE, blob_id(b"new\n")),
        "staged": TreeEntry(FILE, blob_id(b"new\n")),
        "both": TreeEntry(FILE, blob_id(b"work\n")),
        "untracked": TreeEntry(FILE, blob_id(b"u\n")),
        "new/deep/file": TreeEntry(FILE, blob_id(b"d\n")),
        "added": TreeEntry(FILE, blob_id(b"a\n")),
        "intended": TreeEntry(FILE, blob_id(b"i\n")),
        "kept.log": TreeEntry(FILE, blob_id(b"changed\n")),
        "deleted": None,
        "removed": None,
        "mode": TreeEntry(EXECUTABLE, blob_id(b"mode\n")),
        "link": TreeEntry(SYMLINK, blob_id(b"new-target")),
        "to-link": TreeEntry(SYMLINK, blob_id(b"modified")),
        "to-folder": None,
        "to-folder/inside": TreeEntry(FILE, blob_id(b"i\n")),
        "folder/inner": None,
        "folder": TreeEntry(FILE, blob_id(b"now a file\n")),
        "behind": TreeEntry(SYMLINK, blob_id(b"elsewhere")),
        "behind/same": None,
        "dangling": TreeEntry(SYMLINK, blob_id(b"/no/such/place")),
    }
    assert sorted((repo.folder / ".git" / "objects").rglob("*")) == objects, "objects were written"


def test_an_unfinished_merge_is_dirty(repo: Repo, opened: Opened) -> None:
    repo.git("checkout", "--quiet", "-b", "side")
    repo.commit("side", {"src/data": "side\n"})
    repo.git("checkout", "--quiet", "main")
    repo.commit("main", {"src/data": "main\n"})
    subprocess.run(["git", "merge", "side"], cwd=repo.folder, capture_output=True, check=False)
    content = repo.path("src/data").read_bytes()
    assert b"<<<<<<<" in content
    assert opened(repo.folder).dirty() == {"src/data": TreeEntry(FILE, blob_id(content))}


def test_line_ends_are_hashed_as_git_would_commit_them(repo: Repo, opened: Opened) -> None:
    repo.commit("text", {".gitattributes": "*.txt text eol=crlf\n", "a.txt": "1\n2\n"})
    repo.write({"a.txt": "1\r\n2\r\n"})
    assert opened(repo.folder).dirty() == {}
    repo.write({"a.txt": "1\r\n3\r\n"})
    repository = opened(repo.folder)
    assert repository.dirty() == {"a.txt": TreeEntry(FILE, blob_id(b"1\n3\n"))}
    assert repository.worktree_blob("a.txt") == b"1\r\n3\r\n"


def test_an_embedded_repository_and_a_submodule_are_no_change(repo: Repo, opened: Opened, tmp_path: Path) -> None:
    other = Repo(tmp_path / "other")
    other.commit("inner", {"x": "1"})
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.folder), "vendor")
    repo.commit("submodule")
    repo.write({"vendor/x": "changed inside"})
    embedded = Repo(repo.folder / "embedded")
    embedded.commit("own", {"y": "1"})
    assert opened(repo.folder).dirty() == {}


def test_generated_files_whether_git_knows_them_or_not(repo: Repo, opened: Opened) -> None:
    repo.write({".gitignore": "dist/\n", "dist/a.whl": "a", "dist/sub/b": "b", "dist/x\ny": "n"})
    repo.path("dist/sub/b").chmod(0o755)
    repo.path("dist/link").symlink_to("sub")
    repo.path("dist/gone").symlink_to("nowhere")
    repo.commit("ignore")
    assert opened(repo.folder / "src").hash_files("dist") == {
        "dist/a.whl": TreeEntry(FILE, blob_id(b"a")),
        "dist/sub/b": TreeEntry(EXECUTABLE, blob_id(b"b")),
        "dist/x\ny": TreeEntry(FILE, blob_id(b"n")),
        "dist/link": TreeEntry(SYMLINK, blob_id(b"sub")),
        "dist/gone": TreeEntry(SYMLINK, blob_id(b"nowhere")),
    }
    assert opened(repo.folder).hash_files("dist/a.whl") == {"dist/a.whl": TreeEntry(FILE, blob_id(b"a"))}
    assert opened(repo.folder).hash_files("nothing") == {}


@pytest.mark.parametrize("path", ["../outside", "dist/../../outside", "/etc"])
def test_generated_files_lie_in_the_repository(repo: Repo, opened: Opened, path: str) -> None:
    repo.write({"dist/x": "1"})
    with pytest.raises(ConfigError, match="not in the repository"):
        opened(repo.folder).hash_files(path)


def test_no_link_leads_to_files_of_the_machine_and_gits_own_are_nobodys(
    repo: Repo, opened: Opened, tmp_path: Path
) -> None:
    """A request's own dsci.yaml names the paths, and its own Dockerfile sees what they hold: a job's token, for one."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home/credentials").write_text("a token")
    repo.write({"dist/x": "1"})
    repo.path("dist/link").symlink_to(tmp_path / "home")
    repo.commit("a link")
    for path in ("dist/link/credentials", ".git", ".git/config", "./.GIT/config", "dist/../.git"):
        with pytest.raises(ConfigError, match="not in the repository"):
            opened(repo.folder).hash_files(path)
    assert opened(repo.folder).hash_files("dist").keys() == {"dist/x", "dist/link"}
    assert not [path for path in opened(repo.folder).hash_files(".") if path.startswith(".git/")]


def test_thousands_of_files_are_hashed_at_once(repo: Repo, opened: Opened) -> None:
    repo.write({f"dist/{n // 100}/{n}": f"{n}" for n in range(3000)})
    began = time.monotonic()
    assert len(opened(repo.folder).hash_files("dist")) == 3000
    assert len(opened(repo.folder).dirty()) == 3000
    assert time.monotonic() - began < 5, "a process for each file"


# --------------------------------------------------------------------------------------------------------- tags


def test_tags_of_every_kind(repo: Repo, opened: Opened) -> None:
    first = repo.git("rev-parse", "HEAD")
    repo.git("tag", "light")
    annotated = repo.git("hash-object", "-w", "-t", "tag", "--stdin", stdin=_tag(first, "annotated", "notes\n\nmore\n"))
    repo.git("update-ref", "refs/tags/annotated", annotated)
    repo.git("tag", "blob", repo.git("rev-parse", "HEAD:Dockerfile"))
    repo.git("tag", "tree", "HEAD^{tree}")
    repo.git("tag", "-a", "-m", "of a blob", "annotated-blob", "HEAD:Dockerfile")
    repo.git("tag", "-a", "-m", "outer", "nested", "annotated")
    repo.git("tag", "-a", "-m", "outermost", "nested-twice", "nested")
    repo.git("tag", "-a", "-m", "x", "nested-blob", "annotated-blob")
    repo.git("checkout", "--quiet", "-b", "side")
    side = repo.commit("side")
    repo.git("tag", "unmerged")
    repo.git("checkout", "--quiet", "main")

    tags = {tag.name: tag for tag in opened(repo.folder).tags()}
    refs = repo.refs()
    assert set(tags) == {"light", "annotated", "nested", "nested-twice", "unmerged"}
    assert all(tag.oid == refs[name] for name, tag in tags.items())
    assert {name: tag.commit for name, tag in tags.items()} == dict.fromkeys(tags, first) | {"unmerged": side}
    assert {name for name, tag in tags.items() if not tag.merged} == {"unmerged"}
    assert tags["light"].message == ""
    assert tags["annotated"].message == "notes\n\nmore\n"
    assert tags["nested-twice"].message.strip() == "outermost"


def _tag(commit: str, name: str, message: str, kind: str = "commit") -> bytes:
    return f"object {commit}\ntype {kind}\ntag {name}\ntagger A <a@x> 1 +0000\n\n{message}".encode()


@pytest.mark.parametrize("name", ["-d", "--help", "a\u2028b", "größe/v1.0.0", "x%00y", "%(refname)", "v1'\"$(id)"])
@pytest.mark.parametrize(
    "message",
    [
        "",
        "one",
        "two\n\nparagraphs\n\nDsci-Digest: sha256:" + "0" * 64,
        "%00 %x00 %(refname)\n\x00cut",
        "refs/tags/other\n0000\n",
        "\n\n\nleading",
        "tr\u00e4iler \u2028 \u0085 end\r\nline\r\n",
        "-----BEGIN PGP SIGNATURE-----\nx\n",
    ],
)
def test_hostile_tag_names_and_messages(repo: Repo, opened: Opened, name: str, message: str) -> None:
    commit = repo.git("rev-parse", "HEAD")
    repo.git("tag", "zz-last")
    oid = repo.git("hash-object", "-w", "-t", "tag", "--stdin", "--literally", stdin=_tag(commit, name, message))
    repo.git("update-ref", "--", f"refs/tags/{name}", oid)
    tags = opened(repo.folder).tags()
    assert {tag.name: (tag.oid, tag.commit) for tag in tags} == {name: (oid, commit), "zz-last": (commit, commit)}
    (tag,) = [tag for tag in tags if tag.name == name]
    assert tag.message.strip() == message.partition("\0")[0].strip()


# ------------------------------------------------------------------------------------------------------ commits


def test_history_newest_first_with_paths_and_parents(repo: Repo, opened: Opened) -> None:
    first = repo.git("rev-parse", "HEAD")
    empty = repo.commit("chore: nothing", when=1_800_000_000)
    moved = repo.path("src/data")
    moved.rename(repo.path("src/renamed"))
    third = repo.commit("feat: rename", when=1_800_000_001)
    commits = opened(repo.folder).commits(())
    assert [commit.sha for commit in commits] == [third, empty, first]
    assert [commit.parents for commit in commits] == [(empty,), (first,), ()]
    assert commits[0].paths == ("src/data", "src/renamed"), "both names of a rename are touched"
    assert commits[1].paths == ()
    assert commits[2].paths == ("Dockerfile", "src/data", "src/run.sh"), "the root commit touches all it has"
    assert commits[1].when == 1_800_000_000
    assert opened(repo.folder).root_commit() == first


def test_a_merge_brings_what_it_changes_for_its_first_parent(repo: Repo, opened: Opened) -> None:
    repo.git("checkout", "--quiet", "-b", "side")
    repo.commit("side 1", {"side/a": "1"})
    side = repo.commit("side 2", {"side/b": "1"})
    repo.git("checkout", "--quiet", "main")
    main = repo.commit("main", {"main/a": "1"})
    repo.git("merge", "--quiet", "--no-ff", "--no-commit", "side")
    merge = repo.commit("merge", {"evil": "only in the merge"})
    found = {commit.sha: commit for commit in opened(repo.folder).commits(())}
    assert found[merge].parents == (main, side)
    assert found[merge].paths == ("evil", "side/a", "side/b")
    assert found[side].paths == ("side/b",)


def test_an_octopus_merge(repo: Repo, opened: Opened) -> None:
    for name in "abc":
        repo.git("checkout", "--quiet", "-b", name, "main")
        repo.commit(name, {name: "1"})
    repo.git("checkout", "--quiet", "main")
    repo.git("merge", "--quiet", "--no-ff", "-m", "all", "a", "b", "c")
    merge = opened(repo.folder).commits(())[0]
    assert len(merge.parents) == 4 and merge.paths == ("a", "b", "c")


def test_since_leaves_out_what_every_start_can_reach(repo: Repo, opened: Opened) -> None:
    #  0 - 1 - 2 - 3 - 4 (main)        1 - x (a branch, not merged)
    shas = [repo.git("rev-parse", "HEAD"), *(repo.commit(f"c{n}", {"n": str(n)}) for n in range(1, 5))]
    repo.git("checkout", "--quiet", "-b", "other", shas[1])
    unmerged = repo.commit("x")
    repo.git("checkout", "--quiet", "main")
    repository = opened(repo.folder)

    def since(*starts: str) -> list[str]:
        return [commit.sha for commit in repository.commits(starts)]

    newest_first = list(reversed(shas))
    assert since() == newest_first
    assert since(shas[3]) == [shas[4]]
    assert since(shas[4]) == []
    assert since(shas[3], shas[1]) == newest_first[:3], "the older start counts: it wants its own history"
    assert since(shas[3], shas[2], shas[0]) == newest_first[:4]
    assert since(unmerged) == newest_first[:3]
    assert since(MISSING) == newest_first, "a start that is not there cuts nothing off"


def test_since_with_unrelated_histories(repo: Repo, opened: Opened) -> None:
    main = repo.git("rev-parse", "HEAD")
    repo.git("checkout", "--quiet", "--orphan", "island")
    island = repo.commit("island")
    repo.git("checkout", "--quiet", "main")
    assert [commit.sha for commit in opened(repo.folder).commits([island])] == [main]


@pytest.mark.parametrize(
    "message",
    [
        "",
        "\n\n  \n",
        "feat: plain",
        "feat!: x\n\nBREAKING CHANGE: y\n",
        "commit 0123456789012345678901234567890123456789\n\n%x00%H%B\n\x01\x02",
        "tabs\tand\r\nreturns\r",
        "\u2028\u0085 separators \ufeff",
        "emoji \U0001f680 and e\u0301",
        "\x1b[31mred\x1b[0m ::set-output name=x::y",
        "diff --git a/x b/x\n\nsrc/data\n:100644 100644",
        "0" * 40 + " " + "0" * 40,
        "x" * 200_000,
    ],
)
def test_hostile_messages(repo: Repo, opened: Opened, message: str) -> None:
    sha = repo.commit(message, {"touched": message[:10] + "."})
    repo.commit("after")
    commits = opened(repo.folder).commits(())
    assert len(commits) == 3
    assert (commits[1].sha, commits[1].paths) == (sha, ("touched",))
    assert commits[1].message.strip("\n") == message.strip("\n")


def test_authors_are_known_by_the_name_that_mailmap_gives(repo: Repo, opened: Opened) -> None:
    who = "A\x1bnn Größe <ann@example.org>"
    repo.git("commit", "--quiet", "--allow-empty", "--message", "one", f"--author={who}")
    assert opened(repo.folder).commits(())[0].author == "A\x1bnn Größe"
    repo.path(".mailmap").write_text("Ann <ann@example.org>\n")
    assert opened(repo.folder).commits(())[0].author == "Ann"


def _raw_commit(repo: Repo, content: bytes) -> str:
    sha = repo.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=content)
    repo.git("reset", "--quiet", "--soft", sha)
    return sha


def test_commits_that_only_plumbing_makes(repo: Repo, opened: Opened) -> None:
    tree = repo.git("rev-parse", "HEAD^{tree}").encode()
    parent = repo.git("rev-parse", "HEAD").encode()
    who = b"A <a@x> 1700000000 +0000"
    start = b"tree " + tree + b"\nparent " + parent
    nul = _raw_commit(repo, start + b"\nauthor " + who + b"\ncommitter " + who + b"\n\nbefore\0after\0\0src/fake\0")
    repository = opened(repo.folder)
    assert repository.commits(())[0].sha == nul
    assert repository.commits(())[0].message.startswith("before")
    assert repository.commits(())[0].paths == ()

    latin = start + b"\nauthor " + who + b"\ncommitter " + who + b"\nencoding ISO-8859-1\n\nfix: gr\xf6\xdfer\n"
    _raw_commit(repo, latin)
    assert opened(repo.folder).commits(())[0].message.strip() == "fix: größer"

    broken = start + b"\nauthor " + who + b"\ncommitter " + who + b"\n\nfix: gr\xf6\xdfer\n"
    _raw_commit(repo, broken)
    assert opened(repo.folder).commits(())[0].message.strip() == "fix: gr��er"

    _raw_commit(repo, start + b"\nauthor nobody\ncommitter nobody\n\nno date\n")
    repo.commit("after")
    assert opened(repo.folder).commits(())[1].when == 0


def test_ancestors(repo: Repo, opened: Opened) -> None:
    first = repo.git("rev-parse", "HEAD")
    second = repo.commit("second")
    repository = opened(repo.folder)
    assert repository.is_ancestor(first, second) and repository.is_ancestor(first, first)
    assert not repository.is_ancestor(second, first)
    # "Cannot find out" is no "no".
    with pytest.raises(HistoryError, match="cannot tell"):
        repository.is_ancestor(MISSING, second)


# ----------------------------------------------------------------------------------------------------- make_tag


NOTES = "notes\n\nDsci-Digest: sha256:x"


def _object(commit: str, name: str = "ml-v1.0.0", message: str = NOTES, when: int = 1) -> TagObject:
    return TagObject(name=name, commit=commit, when=when, message=message)


def test_the_same_fields_make_the_same_object_everywhere(
    repo: Repo, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = repo.git("rev-parse", "HEAD")
    oid = opened(repo.folder).make_tag(_object(sha))
    other = Repo.clone(repo, tmp_path / "other")
    other.config(user__name="Somebody", user__email="else@example.org", i18n__commitEncoding="ISO-8859-1")
    other.config(tag__gpgSign="true", commit__gpgSign="true", core__autocrlf="true")
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Grace")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "@5 +0200")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert opened(other.folder).make_tag(_object(sha)) == oid
    assert repo.git("cat-file", "tag", oid) == (
        f"object {sha}\ntype commit\ntag ml-v1.0.0\ntagger {IDENTITY} 1 +0000\n\nnotes\n\nDsci-Digest: sha256:x"
    )
    assert repo.refs() == {}, "making is not naming"
    repo.git("fsck", "--strict", "--no-dangling")


@pytest.mark.parametrize(
    ("change"),
    [{"name": "ml-v1.0.1"}, {"message": "other"}, {"when": 2}],
    ids=lambda change: next(iter(change)),
)
def test_another_field_makes_another_object(repo: Repo, opened: Opened, change: dict[str, object]) -> None:
    sha = repo.git("rev-parse", "HEAD")
    repository = opened(repo.folder)
    assert repository.make_tag(_object(sha)) != repository.make_tag(_object(sha, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message", ["a\0b", "a\r\nb", "größe \U0001f680", "lat\udce9in", "", "\n\nx\n\n", "x" * 100_000]
)
def test_messages_of_tags(repo: Repo, opened: Opened, message: str) -> None:
    repository = opened(repo.folder)
    oid = repository.make_tag(_object(repository.head().commit, message=message))
    assert oid == repository.make_tag(_object(repository.head().commit, message=message))
    assert repository.claim({"ml-v1.0.0": oid}).won
    (tag,) = repository.tags()
    assert tag.message.strip() == message.replace("\0", "").replace("\r\n", "\n").strip()


@pytest.mark.parametrize("name", ["two words", "line\nbreak", "a..b", "ends.lock", ""])
def test_names_that_git_refuses(repo: Repo, opened: Opened, name: str) -> None:
    repository = opened(repo.folder)
    with pytest.raises(HistoryError):
        oid = repository.make_tag(_object(repository.head().commit, name=name))
        repository.claim({name: oid})
    assert repo.refs() == {}


def test_a_tag_of_a_commit_that_is_not_there(repo: Repo, opened: Opened) -> None:
    with pytest.raises(HistoryError, match="mktag"):
        opened(repo.folder).make_tag(_object(MISSING))


# -------------------------------------------------------------------------------------------------------- claim


class World:
    """A bare remote and clones of it, each a runner of its own."""

    def __init__(self, tmp_path: Path, repo: Repo, opened: Opened) -> None:
        self._tmp, self._repo, self._opened = tmp_path, repo, opened
        self.remote = Repo.clone(repo, tmp_path / "origin.git", "--bare")
        self._count = 0

    def runner(self, *flags: str) -> tuple[Repo, GitRepository]:
        self._count += 1
        clone = Repo.clone(self.remote, self._tmp / f"runner-{self._count}", *flags)
        return clone, self.again(clone)

    def again(self, clone: Repo) -> GitRepository:
        """A runner's clone, opened by its next run."""
        return self._opened(clone.folder)


@pytest.fixture
def world(tmp_path: Path, repo: Repo, opened: Opened) -> World:
    return World(tmp_path, repo, opened)


def objects(repository: GitRepository, *names: str, message: str = "m") -> dict[str, str]:
    commit = repository.head().commit
    return {name: repository.make_tag(_object(commit, name=name, message=message)) for name in names}


def remote_calls(repository: GitRepository, tags: dict[str, str]) -> list[Callable[[], object]]:
    """Everything that needs the remote."""
    return [
        lambda: repository.claim(tags),
        repository.remote_tags,
        lambda: repository.fetch_tags(["a-v1"]),
        lambda: repository.check_push("a-v1"),
    ]


def test_nothing_to_claim(repo: Repo, opened: Opened) -> None:
    assert opened(repo.folder).claim({}).won


def test_claim_without_a_remote(repo: Repo, opened: Opened) -> None:
    repository = opened(repo.folder)
    tags = objects(repository, "a-v1", "b-v1")
    assert repository.claim(tags).won and repo.refs() == tags
    assert repository.claim(tags).won, "claiming the same again changes nothing"
    other = objects(repository, "b-v1", "c-v1", message="other")
    claimed = repository.claim(other)
    assert not claimed.won and claimed.taken == {"b-v1": tags["b-v1"]}
    assert repo.refs() == tags, "all or nothing"


def test_claim_without_a_remote_where_a_name_is_in_the_way(repo: Repo, opened: Opened) -> None:
    repository = opened(repo.folder)
    repo.git("tag", "ml-v1/x")
    with pytest.raises(HistoryError, match="could not create the release tags"):
        repository.claim(objects(repository, "a-v1", "ml-v1"))
    assert set(repo.refs()) == {"ml-v1/x"}


def test_claim_goes_to_the_remote_and_then_here(world: World) -> None:
    clone, repository = world.runner()
    tags = objects(repository, "a-v1", "b-v1", "c-v1")
    assert repository.claim(tags).won
    assert world.remote.refs() == tags == clone.refs()
    assert repository.remote_tags() == tags
    assert clone.git("status", "--porcelain") == ""


def test_the_user_settings_push_nothing_else(world: World) -> None:
    clone, repository = world.runner()
    clone.config(push__followTags="true", submodule__recurse="true", push__default="matching")
    clone.commit("not pushed")
    clone.git("tag", "-a", "-m", "own", "own-tag")
    clone.git("branch", "own-branch")
    before = world.remote.refs("refs/heads/")
    tags = objects(repository, "a-v1")
    assert repository.claim(tags).won
    assert world.remote.refs() == tags
    assert world.remote.refs("refs/heads/") == before


def test_one_taken_tag_spoils_the_whole_claim(world: World) -> None:
    _, first = world.runner()
    clone, second = world.runner()
    theirs = objects(first, "b-v1", message="theirs")
    assert first.claim(theirs).won
    claimed = second.claim(objects(second, "a-v1", "b-v1", "c-v1", message="mine"))
    assert not claimed.won and claimed.taken == theirs
    assert "b-v1" in claimed.detail
    assert world.remote.refs() == theirs, "atomic: a-v1 and c-v1 do not stand either"
    assert clone.refs() == {}, "and what was not won is not named here"


def test_a_lightweight_tag_of_somebody_is_taken_too(world: World) -> None:
    _, repository = world.runner()
    world.remote.git("tag", "a-v1", "HEAD")
    claimed = repository.claim(objects(repository, "a-v1"))
    assert not claimed.won and claimed.taken == {"a-v1": repository.head().commit}


def test_the_second_racer_with_the_same_content_wins_as_well(world: World) -> None:
    (_, first), (clone, second) = world.runner(), world.runner()
    tags = objects(first, "a-v1", "b-v1")
    assert tags == objects(second, "a-v1", "b-v1")
    assert first.claim(tags).won and second.claim(tags).won
    assert clone.refs() == tags == world.remote.refs()


@pytest.mark.parametrize("same", [True, False])
def test_many_racers_at_once(world: World, same: bool) -> None:
    runners = [world.runner()[1] for _ in range(6)]
    wanted = [objects(runner, "a-v1", "b-v1", message="m" if same else f"{n}") for n, runner in enumerate(runners)]
    gate = threading.Barrier(len(runners))

    def race(n: int) -> bool:
        gate.wait()
        claimed = runners[n].claim(wanted[n])
        if not claimed.won:
            standing = world.remote.refs()
            assert claimed.taken == {name: standing[name] for name in claimed.taken}
        return claimed.won

    with ThreadPoolExecutor(len(runners)) as pool:
        won = list(pool.map(race, range(len(runners))))
    assert sum(won) == (len(runners) if same else 1)
    assert world.remote.refs() == wanted[won.index(True)]


def test_a_push_whose_answer_was_lost_is_won(world: World, tmp_path: Path) -> None:
    """The tags stand, with our objects: whoever said what, the claim is ours."""
    clone, repository = world.runner()
    deaf = tmp_path / "receive-pack"
    deaf.write_text(
        textwrap.dedent(f"""\
        #!{sys.executable}
        import subprocess, sys
        child = subprocess.Popen(["git-receive-pack", *sys.argv[1:]], stdout=subprocess.PIPE)
        while True:
            size = child.stdout.read(4)
            sys.stdout.buffer.write(size)
            if size == b"0000":
                break
            sys.stdout.buffer.write(child.stdout.read(int(size, 16) - 4))
        sys.stdout.flush()
        child.stdout.read()
        sys.exit(1)
        """)
    )
    deaf.chmod(0o755)
    clone.config(remote__origin__receivepack=str(deaf))
    tags = objects(repository, "a-v1", "b-v1")
    probe = objects(repository, "probe")
    assert repository._claims._push("origin", probe, {}), "a push must look failed here, or this test shows nothing"
    assert repository.claim(tags).won
    assert world.remote.refs() == tags | probe and clone.refs() == tags


def test_a_server_without_atomic_pushes(world: World) -> None:
    world.remote.config(receive__advertiseAtomic="false")
    clone, repository = world.runner()
    tags = objects(repository, "a-v1", "b-v1")
    assert repository.claim(tags).won
    assert world.remote.refs() == tags == clone.refs()
    mine = objects(repository, "b-v1", "c-v1", message="mine")
    claimed = repository.claim(mine)
    assert not claimed.won and claimed.taken == {"b-v1": tags["b-v1"]}
    # A partial claim is finished by the rerun (rule 19): nothing was forced, c-v1 stands.
    assert world.remote.refs() == tags | {"c-v1": mine["c-v1"]}


@pytest.mark.parametrize("atomic", ["true", "false"])
def test_a_hook_that_refuses_says_why(world: World, atomic: str) -> None:
    world.remote.config(receive__advertiseAtomic=atomic)
    world.remote.hook("pre-receive", "echo 'tags are frozen until Monday' >&2; exit 1")
    clone, repository = world.runner()
    with pytest.raises(HistoryError, match="tags are frozen until Monday") as caught:
        repository.claim(objects(repository, "a-v1", "b-v1"))
    assert "origin" in caught.value.message and "right" in caught.value.hint
    assert world.remote.refs() == {} == clone.refs()


def test_a_hook_that_refuses_one_tag_refuses_all(world: World) -> None:
    world.remote.hook("update", 'case "$1" in */b-v1) echo "b is protected" >&2; exit 1;; esac')
    _, repository = world.runner()
    with pytest.raises(HistoryError, match="b is protected"):
        repository.claim(objects(repository, "a-v1", "b-v1"))
    assert world.remote.refs() == {}


def test_an_unreachable_remote(world: World) -> None:
    clone, repository = world.runner()
    tags = objects(repository, "a-v1")
    clone.git("remote", "set-url", "origin", "/no/such/place.git")
    for call in remote_calls(repository, tags):
        with pytest.raises(HistoryError, match="no/such/place"):
            call()
    assert clone.refs() == {}


def test_what_stands_here_only_is_pushed_by_a_later_claim(world: World) -> None:
    clone, repository = world.runner()
    tags = objects(repository, "a-v1")
    clone.git("remote", "remove", "origin")
    repository = world.again(clone)
    assert repository.remote() is None and repository.claim(tags).won
    assert world.remote.refs() == {}
    clone.git("remote", "add", "origin", f"file://{world.remote.folder}")
    assert world.again(clone).claim(tags).won and world.remote.refs() == tags


# ------------------------------------------------------------------------------------------------ begun beforehand


def test_what_was_begun_answers_once(repo: Repo) -> None:
    repo.commit("feat: a", {"a": "1"})
    repo.git("tag", "a-v1")
    program = Program(repo.folder)
    program.begin(*gitprogram.VERSIONS)
    repository = GitRepository(repo.folder, program=program)
    assert repository.head().branch == "main"
    time.sleep(0.2)
    repo.git("tag", "a-v2")
    assert list(repository.tag_refs()) == ["a-v1"] == [tag.name for tag in repository.tags()]
    assert list(repository.tag_refs()) == ["a-v1", "a-v2"] == [tag.name for tag in repository.tags()]
    repository.close()


def test_names_of_tags_are_the_same_whether_their_objects_were_begun_with_or_not(repo: Repo) -> None:
    repo.commit("feat: a", {"a": "1"})
    repo.git("tag", "a-v1")
    repo.git("tag", "-m", "b\n\nc", "b/v1")
    repo.git("tag", "tree", "HEAD^{tree}")
    program = Program(repo.folder)
    program.begin(*gitprogram.VERSIONS)
    begun, plain = GitRepository(repo.folder, program=program), GitRepository(repo.folder)
    assert begun.tag_refs() == plain.tag_refs() == repo.refs()
    assert begun.tags() == plain.tags()
    begun.close()


def test_names_of_tags_are_read_although_an_object_is_missing(repo: Repo) -> None:
    repo.commit("feat: a", {"a": "1"})
    repo.git("tag", "a-v1")
    (repo.folder / ".git/refs/tags/gone").write_text("1" * 40 + "\n")
    program = Program(repo.folder)
    program.begin(*gitprogram.VERSIONS)
    repository = GitRepository(repo.folder, program=program)
    assert list(repository.tag_refs()) == ["a-v1", "gone"]
    with pytest.raises(HistoryError, match="missing object"):
        repository.tags()
    repository.close()


def test_what_was_begun_in_vain_is_told_when_it_is_asked(tmp_path: Path) -> None:
    program = Program(tmp_path / "nowhere")
    program.begin(*gitprogram.VERSIONS)
    with pytest.raises(HistoryError, match="there is no folder"):
        GitRepository(tmp_path / "nowhere", program=program).head()


# ---------------------------------------------------------------------------------------------------- the ledger


RECORD = {"releases/a/1.0.0.json": b'{"a": 1}\n', "releases/b/1.0.0.json": b'{"b": 1}\n'}
LEDGER_REF = f"refs/heads/{BRANCH}"


def recorded(repo: Repo, ref: str = LEDGER_REF) -> dict[str, str]:
    """What the ledger holds: path to content."""
    names = repo.git("ls-tree", "-r", "--name-only", ref).split("\n")
    return {name: repo.git("show", f"{ref}:{name}") for name in names if name}


def shown(record: dict[str, bytes]) -> dict[str, str]:
    return {path: content.decode().removesuffix("\n") for path, content in record.items()}


def test_a_claim_is_recorded_on_its_branch_and_nothing_else_moves(world: World) -> None:
    clone, repository = world.runner()
    clone.write({"staged": "1\n", "loose": "1\n"})
    clone.git("add", "staged")
    before = clone.git("status", "--porcelain"), world.remote.refs("refs/heads/main")
    assert repository.claim(objects(repository, "a-v1", "b-v1"), RECORD).won
    assert recorded(world.remote) == shown(RECORD)
    assert world.remote.git("rev-list", "--count", LEDGER_REF) == "1", "a history of its own"
    assert world.remote.git("log", "--format=%an <%ae> %s", LEDGER_REF) == f"{IDENTITY} chore: record a 1.0.0, b 1.0.0"
    assert (clone.git("status", "--porcelain"), world.remote.refs("refs/heads/main")) == before
    assert LEDGER_REF not in clone.git("for-each-ref", "refs/heads"), "no branch of the user's appears"


def test_racers_with_the_same_content_record_the_same_commit(world: World) -> None:
    (_, first), (_, second) = world.runner(), world.runner()
    tags = objects(first, "a-v1")
    assert first.claim(tags, RECORD).won
    ledger = world.remote.git("rev-parse", LEDGER_REF)
    assert objects(second, "a-v1") == tags and second.claim(tags, RECORD).won
    assert world.remote.git("rev-parse", LEDGER_REF) == ledger


@pytest.mark.parametrize("atomic", ["true", "false"])
def test_contention_for_the_ledger_loses_no_claim(world: World, atomic: str) -> None:
    """Six releases of six images at once: all win, all are recorded, none is planned anew (rule 19)."""
    world.remote.config(receive__advertiseAtomic=atomic)
    runners = [world.runner()[1] for _ in range(6)]
    wanted = [objects(runner, f"i{n}-v1") for n, runner in enumerate(runners)]
    records = [{f"releases/i{n}/1.0.0.json": b"%d\n" % n} for n in range(6)]
    gate = threading.Barrier(len(runners))

    def race(n: int) -> bool:
        gate.wait()
        claimed = runners[n].claim(wanted[n], records[n])
        return claimed.won and not claimed.detail

    with ThreadPoolExecutor(len(runners)) as pool:
        assert all(pool.map(race, range(len(runners))))
    assert len(world.remote.refs()) == 6
    assert recorded(world.remote) == {
        path: content.decode().strip() for one in records for path, content in one.items()
    }


def test_a_lost_claim_is_not_recorded(world: World) -> None:
    (_, first), (_, second) = world.runner(), world.runner()
    assert first.claim(objects(first, "a-v1", message="theirs"), {"releases/a/1.0.0.json": b"theirs\n"}).won
    assert not second.claim(objects(second, "a-v1", "b-v1"), RECORD).won
    assert recorded(world.remote) == {"releases/a/1.0.0.json": "theirs"}


def test_what_is_recorded_is_never_rewritten(world: World) -> None:
    (_, first), (_, second) = world.runner(), world.runner()
    assert first.claim({}, RECORD).won
    changed = dict.fromkeys(RECORD, b"changed\n") | {"releases/c/1.0.0.json": b"c\n"}
    assert second.claim({}, changed).won
    assert recorded(world.remote) == shown(RECORD) | {"releases/c/1.0.0.json": "c"}
    before = world.remote.git("rev-parse", LEDGER_REF)
    assert second.claim({}, changed).won and world.remote.git("rev-parse", LEDGER_REF) == before


def test_the_record_of_a_local_claim_goes_to_the_remote_with_it(world: World) -> None:
    clone, repository = world.runner()
    tags = objects(repository, "a-v1")
    clone.git("remote", "remove", "origin")
    repository = world.again(clone)
    assert repository.claim(tags, RECORD).won and recorded(clone) == shown(RECORD)
    assert clone.git("status", "--porcelain") == "" and clone.git("symbolic-ref", "HEAD") == "refs/heads/main"
    taken = repository.claim(objects(repository, "a-v1", message="other"), {"releases/x/1.0.0.json": b"x\n"})
    assert not taken.won and recorded(clone) == shown(RECORD)
    clone.git("remote", "add", "origin", f"file://{world.remote.folder}")
    assert world.again(clone).claim(tags, RECORD).won
    assert world.remote.refs() == tags and recorded(world.remote) == shown(RECORD)


def test_local_racers_record_everything(repo: Repo, opened: Opened) -> None:
    """Processes of one clone without a remote: the transaction holds the tags and the ledger."""
    runners = [opened(repo.folder) for _ in range(4)]
    wanted = [objects(runner, f"i{n}-v1") for n, runner in enumerate(runners)]
    records = [{f"releases/i{n}/1.0.0.json": b"%d\n" % n} for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert all(claimed.won for claimed in pool.map(GitRepository.claim, runners, wanted, records))
    assert len(repo.refs()) == 4 and len(recorded(repo)) == 4


def test_a_protected_ledger_stops_an_atomic_claim_and_says_the_way_out(world: World) -> None:
    world.remote.hook("update", f'case "$1" in */{BRANCH}) echo "branches are frozen" >&2; exit 1;; esac')
    _, repository = world.runner()
    with pytest.raises(HistoryError, match="branches are frozen") as caught:
        repository.claim(objects(repository, "a-v1"), RECORD)
    assert "ledger: none" in caught.value.hint and world.remote.refs() == {}
    assert repository.claim(objects(repository, "a-v1")).won


def test_a_protected_ledger_without_atomic_pushes_is_told_and_the_claim_stands(world: World) -> None:
    world.remote.config(receive__advertiseAtomic="false")
    world.remote.hook("update", f'case "$1" in */{BRANCH}) echo "branches are frozen" >&2; exit 1;; esac')
    _, repository = world.runner()
    claimed = repository.claim(objects(repository, "a-v1"), RECORD)
    assert claimed.won and "was not written" in claimed.detail and "branches are frozen" in claimed.detail
    assert set(world.remote.refs()) == {"a-v1"}


def test_a_shallow_clone_stays_as_shallow_as_it_is(world: World) -> None:
    (_, first), (clone, second) = world.runner(), world.runner("--depth=1")
    assert first.claim(objects(first, "a-v1"), {"releases/a/1.0.0.json": b"a\n"}).won
    before = (clone.folder / ".git" / "shallow").read_text() if second.is_shallow() else ""
    assert second.claim(objects(second, "b-v1"), {"releases/b/1.0.0.json": b"b\n"}).won
    assert ((clone.folder / ".git" / "shallow").read_text() if second.is_shallow() else "") == before
    assert set(recorded(world.remote)) == {"releases/a/1.0.0.json", "releases/b/1.0.0.json"}


# ----------------------------------------------------------------------------------------- remote tags, rights


def test_remote_tags_with_hostile_names(world: World) -> None:
    _, repository = world.runner()
    names = ["-x", "größe", "a\u2028b", "v1\u0085", "x'y\"z", "%s"]
    for name in names:
        world.remote.git("update-ref", "--", f"refs/tags/{name}", world.remote.git("rev-parse", "HEAD"))
    assert repository.remote_tags() == dict.fromkeys(names, repository.head().commit)


def test_branches_here_and_as_the_remote_says_it_has_them(world: World) -> None:
    clone, repository = world.runner()
    names = ["-x", "größe", "a\u2028b", "deep/er", "same"]
    clone.git("update-ref", "--", "refs/tags/same", clone.git("rev-parse", "HEAD"))
    for name in names:
        world.remote.git("update-ref", "--", f"refs/heads/{name}", world.remote.git("rev-parse", "HEAD"))
    clone.git("update-ref", "--", "refs/heads/same", clone.git("rev-parse", "HEAD"))
    clone.git("update-ref", "--", "refs/remotes/origin/gone", clone.git("rev-parse", "HEAD"))
    head, branch = repository.head().commit, repository.head().branch
    expected = [str(branch), "same", f"origin/{branch}", *(f"origin/{name}" for name in names)]
    assert repository.branches() == dict.fromkeys(expected, head)
    other, _ = world.runner()
    other.commit("feat: new", {"x": "1"})
    other.git("push", "--quiet", "origin", "HEAD:refs/heads/-x", "HEAD:refs/heads/deep/er")
    with pytest.raises(HistoryError, match="lacks commits of 2 of the branches of origin: origin/-x, origin/deep/er"):
        repository.branches()
    repository.fetch_branches()
    assert repository.branches()["origin/-x"] == other.git("rev-parse", "HEAD")


def test_branches_without_a_remote(repo: Repo, opened: Callable[[Path], GitRepository]) -> None:
    repository = opened(repo.folder)
    repository.fetch_branches()
    assert repository.branches() == {str(repository.head().branch): repository.head().commit}


def test_fetch_brings_the_tags_that_are_asked_for_and_no_others(world: World) -> None:
    _, first = world.runner()
    clone, second = world.runner()
    tags = objects(first, "a-v1", "b-v1", "c-v1")
    assert first.claim(tags).won
    before = clone.refs("refs/remotes/")
    second.fetch_tags([])
    assert clone.refs() == {}
    second.fetch_tags(["a-v1", "b-v1"])
    assert clone.refs() == {name: tags[name] for name in ("a-v1", "b-v1")}
    second.fetch_tags(["a-v1", "c-v1"])
    assert clone.refs() == tags
    assert clone.refs("refs/remotes/") == before and not (clone.folder / ".git" / "FETCH_HEAD").exists()


def test_fetching_a_tag_of_a_newer_commit(world: World, repo: Repo) -> None:
    _, repository = world.runner()
    newer = repo.commit("newer")
    repo.git("push", "--quiet", str(world.remote.folder), "main")
    world.remote.git("tag", "-a", "-m", "x", "a-v2", newer)
    repository.fetch_tags(["a-v2"])
    (tag,) = repository.tags()
    assert tag.commit == newer and not tag.merged


def test_a_tag_that_differs_here_and_there_is_a_conflict(world: World) -> None:
    _, first = world.runner()
    clone, second = world.runner()
    theirs = objects(first, "a-v1", message="theirs")
    assert first.claim(theirs).won
    clone.git("tag", "a-v1")
    with pytest.raises(ConflictError, match="a-v1") as caught:
        second.fetch_tags(["a-v1"])
    assert caught.value.exit_code == 6 and "git tag -d a-v1" in caught.value.hint
    assert clone.refs() == {"a-v1": second.head().commit}, "what stands here is not overwritten"


def test_a_tag_that_the_remote_does_not_have(world: World) -> None:
    _, repository = world.runner()
    with pytest.raises(HistoryError, match="a-v9"):
        repository.fetch_tags(["a-v9"])


def test_check_push_changes_nothing(world: World) -> None:
    clone, repository = world.runner()
    repository.check_push("a-v1")
    assert world.remote.refs() == {} == clone.refs()
    tags = objects(repository, "a-v1")
    repository.claim(tags)
    repository.check_push("a-v1")
    assert world.remote.refs() == tags


def test_without_a_remote_there_is_nothing_to_check_or_fetch(repo: Repo, opened: Opened) -> None:
    repository = opened(repo.folder)
    repository.check_push("a-v1")
    repository.fetch_tags(["a-v1"])
    assert repository.remote_tags() == {}


class _Forbidding(BaseHTTPRequestHandler):
    """A forge that lets nobody in: 401 without credentials, 403 with them."""

    def do_GET(self) -> None:
        known = self.headers.get("Authorization")
        self.send_response(403 if known else 401)
        if not known:
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def forbidding() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Forbidding)
    with serving(server):
        yield f"127.0.0.1:{server.server_address[1]}"


@pytest.mark.parametrize("user", ["", "ada:", "https-token"])
def test_a_forge_that_refuses_is_told_without_the_credentials(
    repo: Repo, opened: Opened, forbidding: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib.parse import quote

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    part = "" if not user else f"{user}{quote(SECRET)}@" if user.endswith(":") else f"{quote(SECRET)}:x@"
    repo.git("remote", "add", "origin", f"http://{part}{forbidding}/acme/x.git")
    repository = opened(repo.folder)
    tags = objects(repository, "a-v1")
    assert repository.head().origin == f"http://{forbidding}/acme/x.git"
    for call in remote_calls(repository, tags):
        with pytest.raises(HistoryError) as caught:
            call()
        told = f"{caught.value.message} {caught.value.hint} {caught.value!r}"
        assert SECRET not in told and quote(SECRET) not in told and "s3cr" not in told
        assert "403" in told or "could not read Username" in told
    with pytest.raises(HistoryError, match="may not push release tags"):
        repository.check_push("a-v1")


def test_transports_that_run_programs_are_refused(repo: Repo, opened: Opened, tmp_path: Path) -> None:
    repo.git("remote", "add", "origin", f"ext::sh -c touch% {tmp_path}/ran")
    with pytest.raises(HistoryError, match="not allowed"):
        opened(repo.folder).remote_tags()
    assert not (tmp_path / "ran").exists()


def test_git_is_not_installed(repo: Repo, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(HistoryError, match="git is not on PATH") as caught:
        opened(repo.folder).head()
    assert "install Git" in caught.value.hint


def test_reading_leaves_the_repository_alone(repo: Repo, opened: Opened) -> None:
    repo.git("tag", "-a", "-m", "x", "a-v1")
    repo.write({"untracked": "x"})
    os.utime(repo.path("src/data"), (5, 5))
    before, mode = listing(repo), stat.S_IMODE(repo.path("src/data").stat().st_mode)
    repository = opened(repo.folder)
    head = repository.head()
    repository.tree(head.commit)
    repository.commits(())
    repository.tags()
    repository.dirty()
    repository.is_shallow()
    repository.hash_files("src")
    assert listing(repo) == before and stat.S_IMODE(repo.path("src/data").stat().st_mode) == mode
