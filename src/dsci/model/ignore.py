"""`.dockerignore`, read exactly as BuildKit reads it.

Patterns are taken down to the letter, oddities included, because dsci filters the context itself: a file that BuildKit
would have left out must not enter a key, and one that it would have sent must. So a comment starts in the first column
only, `\\d` is a digit, `a/**` spares `a` itself, and a directory's verdict reaches the files below it pattern by
pattern. Which file is the right one to read (`<Dockerfile>.dockerignore` comes first) and the walk over the context
are decided elsewhere.

Go's regular expressions are RE2's, so are these: same syntax, and linear time whatever the pattern.

Sources: https://github.com/moby/patternmatcher/blob/v0.6.0/ignorefile/ignorefile.go (lines),
https://github.com/moby/patternmatcher/blob/v0.6.0/patternmatcher.go (`New`, `compile`, `MatchesUsingParentResults`),
https://pkg.go.dev/path/filepath#Match (which patterns are legal),
https://github.com/tonistiigi/fsutil/blob/master/filter.go (`Walk`: verdicts go from directories to what they hold).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from posixpath import normpath

import msgspec

from dsci.errors import ConfigError
from dsci.model import foreign
from dsci.model.text import whole

#: What `filepath.Match` accepts. Every choice is possessive: no text makes this expression backtrack.
_LEGAL = re.compile(
    r"""(?xs) (?: [^\\\[] | \\. | \[ \^?+ (?: (?:\\.|[^\\\]-]) (?:-(?:\\.|[^\\\]-]))?+ )++ \] )*+""",
)
#: What is escaped for RE2. `{`, `|` and `}` were to be in it too, but patternmatcher keeps eight bits for sixteen rows
#: (`escapeBytes`), so that they keep their meaning there, and here.
_ESCAPED = ".+()$"
#: Bytes that are no UTF-8, as Python shows them; Go sees U+FFFD.


class Rule(msgspec.Struct, frozen=True):
    """One pattern: what it matches, and whether it takes files back in."""

    exception: bool
    matches: Callable[[str], bool]


class Ignore:
    """The rules of one `.dockerignore`; without rules nothing is ignored."""

    def __init__(self, rules: tuple[Rule, ...] = ()) -> None:
        self.rules = rules
        self._directories: dict[str, tuple[bool, ...]] = {}

    @classmethod
    def parse(cls, text: str) -> Ignore:
        """Read the file's text. Raises ConfigError that names the line of an illegal pattern."""
        rules: list[Rule] = []
        text = whole(text.removeprefix("\ufeff"))
        for number, line in enumerate(text.split("\n"), start=1):
            pattern = _pattern(line)
            if pattern:
                try:
                    rules.append(_rule(pattern))
                except ValueError as error:
                    raise ConfigError(
                        f".dockerignore:{number}: {line.strip()[:200]!r} is not a legal pattern: {error}",
                        hint="patterns are those of https://docs.docker.com/build/concepts/context/#dockerignore-files",
                    ) from None
        return cls(tuple(rules))

    def ignores(self, path: str) -> bool:
        """Whether the file at this '/'-separated path, relative to the context's root, stays out of the context."""
        verdict = False
        for rule, hit in zip(self.rules, self._hits(path), strict=True):
            if hit:
                verdict = not rule.exception
        return verdict

    def _hits(self, path: str) -> tuple[bool, ...]:
        """Which rules hit this path; BuildKit does not ask a rule whose answer would not change the verdict so far."""
        directory = path.rpartition("/")[0]
        inherited = self._directory(directory) if directory else (False,) * len(self.rules)
        hits: list[bool] = []
        ignored = False
        for rule, hit in zip(self.rules, inherited, strict=True):
            now = hit or (rule.exception == ignored and rule.matches(path))
            if now:
                ignored = not rule.exception
            hits.append(now)
        return tuple(hits)

    def _directory(self, path: str) -> tuple[bool, ...]:
        """The hits of a directory, found once, from the root downwards: no depth is too deep."""
        chain = [path]
        while chain[-1] not in self._directories and "/" in chain[-1]:
            chain.append(chain[-1].rpartition("/")[0])
        for directory in reversed(chain):
            if directory not in self._directories:
                self._directories[directory] = self._hits(directory)
        return self._directories[path]


def _pattern(line: str) -> str:
    """The pattern on a line of the file, cleaned and relative to the root; empty for comments and blank lines."""
    if line.startswith("#"):
        return ""
    pattern = line.strip()
    inverted = pattern.startswith("!")
    if inverted:
        pattern = pattern[1:].strip()
    if pattern:
        pattern = normpath(pattern)
        pattern = pattern.lstrip("/") or "/"
    return f"!{pattern}" if inverted else pattern


def _rule(pattern: str) -> Rule:
    """Compile a pattern. Raises ValueError where BuildKit would refuse it."""
    pattern = normpath(pattern.strip() or ".")
    exception = pattern.startswith("!")
    pattern = pattern.removeprefix("!")
    if not pattern:
        raise ValueError("there is nothing behind the '!'")
    if not _LEGAL.fullmatch(pattern):
        raise ValueError("a '[' without its end, an empty or broken class, or a '\\' with nothing behind it")
    return Rule(exception, _matcher(pattern))


def _matcher(pattern: str) -> Callable[[str], bool]:
    """The test that patternmatcher's `compile` chooses: equality, a prefix, a suffix or a regular expression."""
    source, kind, at = "", "exact", 0
    while at < len(pattern):
        start, char = at, pattern[at]
        at += 1
        if pattern.startswith("**", start):
            at += 2 if pattern.startswith("/", start + 2) else 1
            if at < len(pattern):
                source, kind = source + "(.*/)?", "expression"
            elif kind == "exact":
                kind = "prefix"
            else:
                source, kind = source + ".*", "expression"
            if start == 0:
                kind = "suffix"
        elif char in "*?[]\\":
            kind = "expression"
            if char == "\\":
                at += 1
            source += {"*": "[^/]*", "?": "[^/]"}.get(char, pattern[start:at])
        else:
            source += f"\\{char}" if char in _ESCAPED else char
    match kind:
        case "exact":
            return lambda path: path == pattern
        case "prefix":
            return lambda path: path.startswith(pattern[:-2])
        case "suffix":
            tail = pattern[2:]
            return lambda path: path.endswith(tail) or f"/{path}" == tail
        case _:
            return _expression(source)


def _expression(source: str) -> Callable[[str], bool]:
    """A search for this RE2 expression from end to end. Raises ValueError where it does not compile."""
    try:
        compiled = foreign.compiled(f"^{source}$", captures=False)
    except foreign.IllegalPattern:
        raise ValueError("a range that runs backwards, or an escape that RE2 does not know") from None
    return lambda path: compiled.search(whole(path)) is not None
