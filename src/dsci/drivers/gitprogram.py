"""How the `git` program is run: on which repository, in what environment, and what its failures mean.

Arguments are lists, nobody is asked for a password, and history is read as it was committed. A question can be begun
before its answer is wanted: Git works on it while dsci still gets ready. What is asked, and what the answers mean, is
`git`'s to say.
What goes over the network runs through GitPython, but for one look at the remote that must not wait for anybody;
transports that could run programs are refused by Git itself.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypedDict

from dsci.drivers import cures, process
from dsci.errors import DsciError, HistoryError

if TYPE_CHECKING:
    from pathlib import Path

_GIT = ("git", "-c", "core.quotePath=false")
_OID = re.compile(r"\A(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_TIMEOUT = 300.0
_NETWORK_TIMEOUT = 120
#: Up to the last @ of the host part: passwords may hold one too. A query may be a token, and names no repository.
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
_QUERY = re.compile(r"(?<=://)([^\s?#'\"]+)[?#][^\s'\"]*")
#: Whole buffers instead of one write a commit. Source: https://git-scm.com/docs/git#Documentation/git.txt-codeGITFLUSHcode
_BUFFERED = {"GIT_FLUSH": "0"}
#: What Git sets for its hooks and for `git rebase --exec`. It speaks of another repository, another index or other
#: refs than those of the folder that dsci was called for.
_ELSEWHERE = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIR",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)


#: What HEAD names, and the work tree, last: its path may hold anything. The command fails where HEAD names nothing yet,
#: and for the work tree of a bare repository, which has none.
PLACE = (
    "rev-parse",
    "--is-bare-repository",
    "--is-shallow-repository",
    "--symbolic-full-name",
    "HEAD",
    "--show-toplevel",
)
REMOTES = ("remote",)
#: What is asked of every repository.
HEAD = (PLACE, REMOTES)
TAGS = (
    "for-each-ref",
    "refs/tags",
    "--format=%(refname:lstrip=2)%00%(objectname)%00%(objecttype)%00%(*objectname)%00%(*objecttype)%00%(contents)%00",
)
TAG_REFS = ("for-each-ref", "refs/tags", "--format=%(objectname)%09%(refname)")
MERGED_TAGS = ("for-each-ref", "refs/tags", "--merged=HEAD", "--format=%(refname:lstrip=2)")
#: What is asked where versions are wanted, too. What takes long comes last: it would keep the others from starting.
VERSIONS = (*HEAD, TAGS, MERGED_TAGS)
#: Bring what is named behind it, and nothing beside.
FETCH = (
    "fetch",
    "--no-tags",
    "--no-prune",
    "--no-prune-tags",
    "--no-write-fetch-head",
    "--no-recurse-submodules",
    "--quiet",
)


class _How(TypedDict):
    """What `process` asks for beside the arguments."""

    env: Mapping[str, str]
    cwd: str | os.PathLike[str]
    kind: type[DsciError]
    hint: str


class Program:
    """`git`, for one folder."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = folder
        self.unset = tuple(name for name in _ELSEWHERE if name in os.environ)
        """Variables that speak of another repository, and that Git is not told."""
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in _ELSEWHERE},
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            # History as it was committed, and not as this clone was told to see it.
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_GRAFT_FILE": os.devnull,
        }
        self.origin: str | None = None
        """The remote's name, for messages, once it is known."""
        self._begun: dict[tuple[str, ...], process.Begun] = {}
        self._read: list[process.Begun] = []
        """Those whose output is read piece by piece."""
        self._objects: process.Dialogue | None = None

    @property
    def path(self) -> Path:
        """The folder, for whoever looks into it."""
        from pathlib import Path

        return Path(self.folder)

    def begin(self, *questions: tuple[str, ...]) -> None:
        """Let Git begin with these; whoever asks one of them next gets what was begun here.

        One that cannot be begun is asked when its answer is wanted, and fails then.
        """
        for arguments in questions:
            if arguments in self._begun:
                continue
            with contextlib.suppress(HistoryError):
                self._begun[arguments] = process.begin([*_GIT, *arguments], **self._how())

    def peek(self, *arguments: str) -> process.Completed | None:
        """The answer to a question that was begun, without taking it from whoever asks it; None if it was not begun."""
        begun = self._begun.get(arguments)
        return begun.end(timeout=_TIMEOUT) if begun is not None else None

    def begin_objects(self) -> None:
        """Start the reader of objects, for whoever asks it first."""
        with contextlib.suppress(HistoryError):
            self.objects()

    def objects(self) -> process.Dialogue:
        """A reader that is told names of objects, one a line, and answers with what they are. It is started once."""
        if self._objects is None or not self._objects.goes_on:
            self._objects = process.Dialogue(["git", "cat-file", "--batch"], **self._how())
        return self._objects

    def close(self) -> None:
        """End what was begun and is not read to its end."""
        for begun in (*self._begun.values(), *self._read):
            begun.stop()
        self._begun.clear()
        self._read.clear()
        if self._objects is not None:
            self._objects.stop()

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        check: bool = True,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = _TIMEOUT,
    ) -> process.Completed:
        """Run a command to its end. Raises HistoryError where it fails, unless that is not to be checked."""
        begun = self._begun.pop(arguments, None) if stdin is None and cwd is None and env is None else None
        if begun is not None:
            ended = begun.end(timeout=timeout)
        else:
            ended = process.run([*_GIT, *arguments], stdin=stdin, timeout=timeout, **self._how(cwd=cwd, env=env))
        if check and ended.returncode != 0:
            said = without_credentials(ended.stderr.decode(errors="replace")).strip()
            raise HistoryError(
                f"git {arguments[0]} failed: {said[-1000:]}",
                hint=cures.cure(said, self.origin) or "see `git fsck` and `git status`",
            )
        return ended

    def text(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """What a command prints, without the white space around it."""
        return self.run(*arguments, stdin=stdin, cwd=cwd, env=env).stdout.decode(errors="surrogateescape").strip()

    def records(self, *arguments: str, mark: str) -> Iterator[bytes]:
        """What a command prints behind each mark, while it still runs; it runs from now on."""
        begun = process.begin([*_GIT, *arguments], **self._how(env=_BUFFERED))
        self._read.append(begun)
        return begun.records(mark.encode(), timeout=_TIMEOUT)

    def _how(self, *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> _How:
        return {
            "env": {**self.environment, **(env or {})},
            "cwd": cwd or self.folder,
            "kind": HistoryError,
            "hint": "install Git 2.31 or newer",
        }

    # -------------------------------------------------------------------------------------------------- network

    def network(self, *arguments: str, timeout: float = _NETWORK_TIMEOUT) -> str:
        """Run a command that talks to the remote. Raises HistoryError with what the remote said."""
        failed, out = self._remote_call(*arguments, timeout=timeout)
        if failed:
            raise self.refused(arguments[0], failed)
        return out

    def try_network(self, *arguments: str) -> str:
        """The same, giving what was said when it failed, or ""."""
        return self._remote_call(*arguments)[0]

    def refused(self, command: str, said: str) -> HistoryError:
        """What a command that talks to the remote said when it failed."""
        said = without_credentials(said).strip()
        return HistoryError(
            f"git {command} failed: {said[-1500:]}",
            hint=cures.trust(said) or "check the remote's address (`git remote -v`) and your credentials for it",
        )

    def _remote_call(self, *arguments: str, timeout: float = _NETWORK_TIMEOUT) -> tuple[str, str]:
        import git

        runner = git.cmd.Git(self.folder)
        runner.update_environment(**self.environment)
        # GitPython adds to the environment of this process and takes nothing from it.
        dropped = ["env", *(word for name in self.unset for word in ("-u", name))] if self.unset else []
        # GitPython's own deadline is a thread that outlives whoever is interrupted: then dsci would not end either.
        held = runner.execute([*dropped, "git", *arguments], as_process=True, start_new_session=True)
        begun = held.proc  # which ends with what holds it
        assert begun is not None
        try:
            out, err = (text.decode(errors="replace") for text in begun.communicate(timeout=timeout))
        except subprocess.TimeoutExpired:
            return f"git {arguments[0]} has not ended after {timeout:g} s", ""
        finally:
            if begun.poll() is None:
                process.end(begun)
        if begun.returncode == 0:
            return "", out
        said = without_credentials(f"{err}\n{out}").strip()
        return (said or f"exit code {begun.returncode}")[-1500:], out


def without_credentials(text: str) -> str:
    """Text with no user, password or query left in any URL of it."""
    return _QUERY.sub(r"\1", _CREDENTIALS.sub("", text))


def checked(oid: str) -> str:
    """An object id, before it becomes an argument. Raises HistoryError for anything else."""
    if not _OID.match(oid):
        raise HistoryError(f"{oid[:80]!r} is not an object id")
    return oid
