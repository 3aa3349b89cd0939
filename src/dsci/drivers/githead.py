"""Where HEAD stands, and which remote is its own: the first thing that is asked of a repository.

Where it stands nowhere, the error says why: no folder, no repository, one that Git does not trust, one that is
broken, or one without a commit.
"""

from __future__ import annotations

import os

import msgspec

from dsci.drivers import cures, gitprogram
from dsci.drivers.gitobjects import Objects
from dsci.drivers.gitprogram import Program, without_credentials
from dsci.errors import HistoryError
from dsci.model.ledger import BRANCH
from dsci.ports import Head


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out together."""

    head: Head
    bare: bool
    """Whether the repository has no work tree."""
    shallow: bool
    """Whether history is cut off."""


def read(program: Program, objects: Objects) -> Standing:
    """Where HEAD is; `program` knows its remote from here on.

    Raises HistoryError with the cure when there is no repository or no commit to stand on.
    """
    try:
        found = program.run(*gitprogram.PLACE, check=False)
    except HistoryError:
        if program.path.is_dir():
            raise
        raise HistoryError(
            f"there is no folder {program.folder}", hint="go into a Git repository, or name one with -C"
        ) from None
    said = found.stderr.decode(errors="replace").strip()
    bare, _, rest = found.stdout.partition(b"\n")
    shallow, _, rest = rest.partition(b"\n")
    if not bare:
        raise _elsewhere(program, said)
    if rest.startswith((b"refs/", b"HEAD\n")):
        full, _, rest = rest.partition(b"\n")
    else:
        # Something else is called HEAD, too.
        full = program.run("symbolic-ref", "--quiet", "HEAD", check=False).stdout
    root = rest.decode(errors="surrogateescape").strip() or _root(program, bare=bare == b"true")
    stands = objects.commit("HEAD")
    if stands is None:
        raise _nowhere(program, root, bare=bare == b"true")
    sha, when = stands
    branch = full.decode(errors="replace").strip().removeprefix("refs/heads/") if full != b"HEAD" else ""
    remote = program.origin = _remote(program, branch)
    url = program.run("remote", "get-url", remote, check=False).stdout.decode(errors="replace") if remote else ""
    main = f"refs/remotes/{remote}/HEAD"
    default = program.run("symbolic-ref", "--quiet", main, check=False).stdout if remote else b""
    head = Head(
        commit=sha,
        when=when,
        branch=branch or None,
        default_branch=default.decode(errors="replace").strip().removeprefix(f"refs/remotes/{remote}/") or None,
        root=root,
        origin=without_credentials(url.strip()) or None,
    )
    return Standing(head=head, bare=bare == b"true", shallow=shallow == b"true")


def _root(program: Program, *, bare: bool) -> str:
    """The work tree, or a bare repository itself. Raises HistoryError in the .git of a work tree."""
    if bare:
        return program.text("rev-parse", "--absolute-git-dir")
    found = program.run("rev-parse", "--show-toplevel", check=False)
    if found.returncode != 0:
        said = found.stderr.decode(errors="replace").strip()
        raise HistoryError(f"git rev-parse failed: {said[-1000:]}", hint="go into the work tree, or name it with -C")
    return found.stdout.decode(errors="surrogateescape").strip()


def _elsewhere(program: Program, said: str) -> HistoryError:
    """Why Git finds no repository here."""
    if "dubious ownership" in said:
        return HistoryError(
            f"Git does not trust {program.folder}: it belongs to another user",
            hint=cures.trust(said) or f"git config --global --add safe.directory {program.path.absolute()}",
        )
    told = [name for name in ("GIT_CEILING_DIRECTORIES", *program.unset) if os.environ.get(name)]
    return HistoryError(
        f"{program.folder} is not in a Git repository",
        hint="dsci takes everything from Git: run `git init`, add your Dockerfiles and commit"
        + (f"; it looked with {told[0]} set: unset it, or name the folder with -C" if told else ""),
    )


def _nowhere(program: Program, root: str, *, bare: bool) -> HistoryError:
    """Why HEAD names no commit."""
    said = program.run("log", "-1", check=False).stderr.decode(errors="replace").strip()
    if "does not have any commits yet" not in said:
        return HistoryError(
            f"Git cannot read where HEAD stands in {root}: {said[-500:]}",
            hint=cures.cure(said, None) or "see `git fsck`, and clone again what it calls broken or missing",
        )
    heads = program.text("for-each-ref", "refs/heads", "refs/remotes", "--format=%(refname)").split()
    here = [name.removeprefix("refs/heads/") for name in heads if name.startswith("refs/heads/")]
    there = [name.split("/", 3)[3] for name in heads if name.startswith("refs/remotes/")]
    others = [name for name in (*here, *there) if name not in ("HEAD", BRANCH)]
    if not others:
        return HistoryError(f"the Git repository {root} has no commits", hint="git add your Dockerfiles and commit")
    move = f"git symbolic-ref HEAD refs/heads/{others[0]}" if bare else f"git checkout {others[0]}"
    return HistoryError(f"HEAD of the Git repository {root} names a branch without commits", hint=move)


def _remote(program: Program, branch: str) -> str | None:
    """The remote that claims are pushed to: the branch's own, `origin`, or the only one."""
    names = program.text(*gitprogram.REMOTES).split()
    asked = names and branch
    own = program.run("config", f"branch.{branch}.remote", check=False).stdout.decode().strip() if asked else ""
    if own in names:
        return own
    return "origin" if "origin" in names else names[0] if len(names) == 1 else None
