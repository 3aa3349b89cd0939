"""History as `git log` writes it, commit by commit, while Git still goes on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from dsci.drivers.gitobjects import Objects, date
from dsci.drivers.gitprogram import Program, checked
from dsci.model.commits import Commit

#: What the user's own settings for `git log` must not change.
_PLAIN = ("--root", "--no-show-signature", "--no-relative", "--ignore-submodules=none", f"-O{os.devnull}")


def log(program: Program, objects: Objects, since: Sequence[str]) -> Iterator[Commit]:
    """History from HEAD, newest first, without what every one of `since` can reach; all of it when empty.

    Git has begun when this returns.
    """
    exclude: list[str] = []
    if len(since) == 1 and objects.commit(since[0]):
        exclude = ["--not", checked(since[0])]
    elif since:
        base = program.run("merge-base", "--octopus", "HEAD", *map(checked, since), check=False)
        exclude = ["--not", base.stdout.decode().split()[0]] if base.returncode == 0 else []
    mark = os.urandom(8).hex()
    arguments = [
        "log",
        "-z",
        f"--format={mark}%H%x00%P%x00%ct%x00%aN%x00%B%x00",
        "--encoding=UTF-8",
        "--name-only",
        "--no-renames",
        "--diff-merges=first-parent",
        *_PLAIN,
        "HEAD",
        *exclude,
        "--",
    ]
    return _commits(program.records(*arguments, mark=mark))


def _commits(records: Iterable[bytes]) -> Iterator[Commit]:
    """Commits as `log` has Git write them."""
    names: dict[str, str] = {}  # A path or a name comes again and again: each is kept once.
    for record in records:
        text = record.decode(errors="surrogateescape")
        sha, parents, when, author, message, rest = text.split("\0", 5)
        if not text.isascii():
            author, message = _readable(author), _readable(message)
        paths = rest.removeprefix("\0").removeprefix("\n").split("\0")
        yield Commit(
            sha=sha,
            parents=tuple(parents.split()),
            when=date(when),
            message=message,
            author=names.setdefault(author, author),
            paths=tuple([names.setdefault(path, path) for path in paths if path]),
        )


def _readable(text: str) -> str:
    """Text with what is no UTF-8 in it shown as such."""
    return text.encode(errors="surrogateescape").decode(errors="replace")
