"""Pairs of versions of each kind of package, made from the grammar that its tool reads. Most pairs differ in little."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

_NUMBERS = ("0", "1", "2", "9", "10", "00", "01", "09", "010", "20240101", "1000000")
_PLAIN = ("0", "1", "2", "3", "9", "10", "11", "20240101")


class Draw:
    """Choices that can be made again, all but some of them."""

    def __init__(self, source: random.Random, before: tuple[int, ...] = ()) -> None:
        self.source, self.before = source, before
        self.made: list[int] = []

    def __call__(self, *options: str) -> str:
        place = len(self.made)
        again = place < len(self.before) and self.source.random() > 0.15
        self.made.append(self.before[place] if again else self.source.randrange(1 << 16))
        return options[self.made[-1] % len(options)]

    def some(self, most: int, part: Callable[[], str]) -> str:
        """Up to so many parts."""
        count = int(self(*map(str, range(most + 1))))
        return "".join(part() for _ in range(count))


def _deb(draw: Draw) -> str:
    def part() -> str:
        return draw(".", ".", ".", "~", "+", "~rc", "+dfsg", "a", "b", "Z", "-", "~~", ".+", "") + draw(*_NUMBERS, "")

    revision = draw("", "-") and "-" + draw(*_NUMBERS) + draw.some(2, lambda: part().replace("-", "+"))
    upstream = draw.some(3, part) if revision else draw.some(3, part).replace("-", ".")
    return draw("", "", "", "0:", "1:", "2:", "02:") + draw(*_NUMBERS) + upstream + revision


def _rpm(draw: Draw) -> str:
    def part() -> str:
        return draw(".", ".", "_", "+", "~", "^", "a", "B", "rc", "git", ".^", "..") + draw(*_NUMBERS, "")

    release = draw("", "-", "-") and "-" + draw(*_NUMBERS) + draw.some(2, lambda: draw(".el9", ".fc39", "_1", ".2"))
    return draw("", "", "", "0:", "1:", "2:") + draw(*_NUMBERS, "a") + draw.some(3, part) + release


def _apk(draw: Draw) -> str:
    def suffix() -> str:
        return draw("_alpha", "_beta", "_pre", "_rc", "_cvs", "_svn", "_git", "_hg", "_p") + draw("", *_NUMBERS)

    version = draw(*_NUMBERS) + draw.some(3, lambda: "." + draw(*_NUMBERS)) + draw("", "", "", "a", "b", "z")
    version += draw.some(2, suffix) + draw("", "", "", "", "~abc", "~abd", "~ab", "~012")
    return version + draw("", "-r0", "-r1", "-r2", "-r10", "-r01")


def _pypi(draw: Draw) -> str:
    version = draw("", "", "", "v", "0!", "1!", "2!") + draw(*_NUMBERS) + draw.some(3, lambda: "." + draw(*_NUMBERS))
    pre = draw("", "", "", "a", "b", "rc", ".alpha", "-beta", "_c", "pre", ".Preview.")
    version += pre and pre + draw(*_PLAIN)
    post = draw("", "", "", ".post", "-", "post", ".rev")
    version += post and post + draw(*_PLAIN)
    version += draw("", "", "", ".dev") and ".dev" + draw(*_PLAIN)
    return version + draw("", "", "", "+cu121", "+cu118", "+1.a", "+1.10", "+1.9", "+a_1", "+CU121")


def _conda(draw: Draw) -> str:
    def word() -> str:
        return draw("", "", "", "a", "b", "C", "rc", "dev", "post", "alpha", "post.", "dev.").removesuffix(".")

    def part() -> str:
        text = word() + draw(*_PLAIN, "") + word()
        return draw(".", ".", "_") + (text or "0")

    version = draw("", "", "", "0!", "1!") + draw(*_NUMBERS) + word() + draw.some(3, part) + draw("", "", "", "_")
    return version + draw("", "", "", "+1", "+1.2", "+cu12", "+a_b", "+0")


def _cran(draw: Draw) -> str:
    return draw(*_NUMBERS) + "." + draw(*_NUMBERS) + draw.some(3, lambda: draw(".", "-") + draw(*_NUMBERS))


VERSIONS: dict[str, Callable[[Draw], str]] = {
    "apk": _apk,
    "conda": _conda,
    "cran": _cran,
    "deb": _deb,
    "pypi": _pypi,
    "rpm": _rpm,
}


def pairs(kind: str, count: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """So many pairs of versions of a kind, no two the same."""
    source = random.Random(f"{kind} {seed}")
    seen: set[tuple[str, str]] = set()
    while len(seen) < count:
        first = Draw(source)
        one = VERSIONS[kind](first)
        other = VERSIONS[kind](Draw(source, tuple(first.made)))
        if one != other and (one, other) not in seen:
            seen.add((one, other))
            yield one, other
