"""Repositories of any size, shaped like families of images that people keep: made by one `git fast-import`."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import IO

_SUBJECTS = ("Update packages (#{n})", "fix: pin numpy", "feat: add a kernel", "chore: tidy", "docs: say more", "wip")
_BEGAN = 1_400_000_000


def generate(folder: Path, *, commits: int, tags: int, images: int, released: bool = True) -> None:
    """A line of commits over `images` images that stand on each other in threes, `tags` Git tags spread over it.

    With `released`, every image has a tag among the last commits; without, the last image has none at all, so that its
    whole history counts.
    """
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    importer = subprocess.Popen(
        ["git", "-C", str(folder), "fast-import", "--quiet"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert importer.stdin is not None
    with importer.stdin as out:
        _write(out, random.Random(1), commits, tags, images, released)
    if importer.wait():
        raise RuntimeError("git fast-import failed")
    subprocess.run(["git", "-C", str(folder), "reset", "-q", "--hard"], check=True)


def _write(out: IO[bytes], dice: random.Random, commits: int, tags: int, images: int, released: bool) -> None:
    names = [f"image-{n:03}" for n in range(images)]
    taggable = names if released else names[:-1]
    versions = dict.fromkeys(names, 0)
    every = max(1, commits // max(1, tags // 2))
    left = tags
    for n in range(commits):
        message = dice.choice(_SUBJECTS).format(n=n) + ("\n\nWith a body of some length.\n" * dice.randrange(3))
        out.write(b"commit refs/heads/main\nmark :%d\n" % (n + 1))
        out.write(b"committer A <a@example.org> %d +0000\n" % (_BEGAN + 60 * n))
        _data(out, message)
        if n:
            out.write(b"from :%d\n" % n)
        else:
            for k, name in enumerate(names):
                on = names[k // 3] if k else "debian:12"
                _file(out, f"images/{name}/Dockerfile", f"FROM {on}\nCOPY . /opt/{name}/\n")
        for _ in range(dice.choice((1, 1, 1, 2, 5))):
            name = dice.choice(names)
            place = f"images/{name}/files/{dice.randrange(12)}.txt" if dice.random() < 0.8 else f"docs/{name}.md"
            _file(out, place, f"{n} {dice.random()}\n")
        last = commits - n <= len(taggable)
        for name in [taggable[commits - n - 1]] if last else dice.sample(taggable, 2) if n % every == 0 else []:
            if left > 0 or last:
                left -= 1
                out.write(b"reset refs/tags/%s-v1.%d.0\nfrom :%d\n\n" % (name.encode(), versions[name], n + 1))
                versions[name] += 1


def _file(out: IO[bytes], path: str, content: str) -> None:
    out.write(b"M 100644 inline %s\n" % path.encode())
    _data(out, content)


def _data(out: IO[bytes], text: str) -> None:
    content = text.encode()
    out.write(b"data %d\n%s\n" % (len(content), content))
