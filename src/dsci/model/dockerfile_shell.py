"""The little shell of Dockerfiles: `$NAME`, `${NAME:-word}`, quotes and escapes, expanded as BuildKit does.

One word goes in with the variables that are known; out come the text, the variables it took and those it missed. What
the variables are is known in `dockerfile`; commands of RUN are for the real shell and never pass here. Expansion can
blow up (`ENV A=$A$A`, thirty times), so whoever expands carries a `Budget` that ends in an error instead.

Source: https://github.com/moby/buildkit/blob/v0.13.1/frontend/dockerfile/shell/lex.go and, for `#`, `%` and `/`,
https://github.com/moby/buildkit/blob/v0.17.0/frontend/dockerfile/shell/lex.go
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from dsci.model import foreign

#: Characters of text and values that one Dockerfile may cost; Dockerfiles themselves end at a quarter of it.
BUDGET = 4 * 1024 * 1024
#: How deep `${A:-${B:-…}}` may go.
DEPTH = 32

_SPECIAL = re.compile(r"""['"$\\`]""")
#: Text that means nothing but itself wherever it stands, also in a substitution.
_PLAIN = re.compile(r"""[^'"$\\`}/]+""")


class ShellError(ValueError):
    """A word that the shell of Dockerfiles refuses."""


class Budget(msgspec.Struct):
    """What is left to spend on expansions."""

    left: int = BUDGET

    def spend(self, characters: int) -> None:
        """Take this many characters. Raises ShellError once there are none left."""
        self.left -= characters
        if self.left < 0:
            raise ShellError(f"its variables expand to more than {BUDGET} characters")


class Expansion(msgspec.Struct, frozen=True):
    """A word after expansion, with the names of the variables it found and of those it did not."""

    text: str
    found: frozenset[str]
    missing: frozenset[str]


def expand(
    word: str, variables: Mapping[str, str], *, escape: str, budget: Budget, open_ended: bool = False
) -> Expansion:
    """Expand variables in a word and take its quotes and escapes away. Raises ShellError as BuildKit would.

    `open_ended`: more variables may be set than are known, so that `${NAME:?}` refuses none of the others.
    """
    if _SPECIAL.search(word) is None:
        budget.spend(len(word))
        return Expansion(word, frozenset(), frozenset())
    lexer = _Lexer(word, variables, escape, budget, open_ended=open_ended)
    text = lexer.read()
    return Expansion(text, frozenset(lexer.found), frozenset(lexer.missing))


def heredocs(line: str) -> tuple[tuple[str, bool], ...]:
    """The here-documents that a line announces: their ends, and whether tabs before those are cut (`<<-`).

    Raises ShellError where the quotes of an end do not close. A line that cannot be lexed announces none.
    """
    try:
        words = _words(line, verbatim=True)
    except ShellError:
        return ()
    return tuple(found for word in words if (found := heredoc(word)) is not None)


def heredoc(word: str) -> tuple[str, bool] | None:
    """The here-document that this word announces, if any. Raises ShellError as `heredocs` does.

    Source: https://github.com/moby/buildkit/blob/v0.13.1/frontend/dockerfile/parser/parser.go (`heredocFromMatch`)
    """
    number, arrows, end = word.partition("<<")
    if not arrows or "<" in end or (number and not (number.isascii() and number.isdecimal())):
        return None
    names = _words(end.removeprefix("-"), verbatim=False)
    return (names[0], end.startswith("-")) if len(names) == 1 else None


def _words(text: str, *, verbatim: bool) -> list[str]:
    """The words of a text whose variables stay as they are; verbatim: its quotes and escapes too."""
    lexer = _Lexer(text, None, "\\", Budget(), verbatim=verbatim)
    lexer.read()
    words = [""]
    for piece, splits in lexer.pieces:
        head, *rest = re.split(r"\s+", piece) if splits else [piece]
        words[-1] += head
        words += rest
    return [word for word in words if word]


class _Lexer(msgspec.Struct):
    """One pass over one text. Without variables, `$NAME` stays what it is; verbatim, quotes and escapes stay too."""

    text: str
    variables: Mapping[str, str] | None
    escape: str
    budget: Budget
    verbatim: bool = False
    open_ended: bool = False
    at: int = 0
    found: set[str] = msgspec.field(default_factory=set)
    missing: set[str] = msgspec.field(default_factory=set)
    pieces: list[tuple[str, bool]] = msgspec.field(default_factory=list)
    """The text's outermost pieces, each with whether whitespace in it separates words."""

    def read(self) -> str:
        """Lex all of it."""
        self.budget.spend(len(self.text))
        return self._until("", self.verbatim, depth=0)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _next(self) -> str:
        char = self._peek()
        self.at += 1
        return char

    def _until(self, stop: str, keep_escapes: bool, depth: int) -> str:
        """Lex up to a character and step over it, or to the end where there is none to stop at."""
        if depth > DEPTH:
            raise ShellError(f"substitutions nested more than {DEPTH} deep")
        result: list[str] = []
        while char := self._peek():
            if char == stop:
                self.at += 1
                return "".join(result)
            splits = False
            if char == "'":
                piece = self._single_quoted()
            elif char == '"':
                piece = self._double_quoted(keep_escapes, depth)
            elif char == "$":
                piece, splits = self._variable(depth), True
            elif char == self.escape:
                piece = self._escaped(keep_escapes)
            else:
                piece, splits = self._plain(), True
            result.append(piece)
            if depth == 0:
                self.pieces.append((piece, splits))
        if stop:
            raise ShellError(f"there is no {stop!r} to end a substitution")
        return "".join(result)

    def _plain(self) -> str:
        """The text up to the next character that might mean something, and at least one character."""
        run = _PLAIN.match(self.text, self.at)
        if run is None:
            return self._next()
        self.at = run.end()
        return run[0]

    def _escaped(self, keep: bool) -> str:
        """An escape and what it escapes; at the very end it is dropped."""
        escape, char = self._next(), self._next()
        return escape + char if keep else char

    def _single_quoted(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise ShellError("a single quote is not closed")
        inside, self.at = self.text[self.at + 1 : end], end + 1
        return f"'{inside}'" if self.verbatim else inside

    def _double_quoted(self, keep_escapes: bool, depth: int) -> str:
        result = [self._next()]
        while char := self._peek():
            if char == '"':
                result.append(self._next())
                return "".join(result if self.verbatim else result[1:-1])
            if char == "$":
                result.append(self._variable(depth))
            elif char == self.escape:
                self.at += 1
                # Where escapes are kept, one that escapes nothing comes out twice: BuildKit's doing.
                result.append(char if keep_escapes else "")
                result.append(self._next() if self._peek() in ('"', "$", self.escape) else char)
            else:
                result.append(self._plain())
        raise ShellError("a double quote is not closed")

    def _variable(self, depth: int) -> str:
        """`$NAME` or `${…}`."""
        start = self.at
        self.at += 1
        if self._peek() != "{":
            name = self._name()
            known = name and self.variables is not None
            return (self._value(name) or "") if known else self.text[start : self.at]
        self.at += 1
        if self._peek() in ("{", "}", ":"):
            raise ShellError("a bad substitution")
        name = self._name()
        result = self._substitution(name, depth)
        return result if self.variables is not None else self.text[start : self.at]

    def _name(self) -> str:
        """A name, the number of a parameter, or the sign of a special one; empty where none of them stands here."""
        start = self.at
        if self._peek() in tuple("@*#?-$!"):
            self.at += 1
            return self.text[start : self.at]
        only_digits = self._peek().isdecimal()
        while (char := self._peek()) and (char.isdecimal() or (not only_digits and (char.isalpha() or char == "_"))):
            self.at += 1
        return self.text[start : self.at]

    def _value(self, name: str) -> str | None:
        """The variable's value, paid for; None where it is not set."""
        value = None if self.variables is None else self.variables.get(name)
        (self.missing if value is None else self.found).add(name)
        self.budget.spend(len(value or ""))
        return value

    def _substitution(self, name: str, depth: int) -> str:
        """What stands behind the name in `${NAME…}`, up to its brace."""
        operator = self._next()
        if operator == "}":
            return self._value(name) or ""
        if operator == "/":
            return self._replacement(name, depth)
        empty_counts = operator != ":"
        if not empty_counts:
            operator = self._next()
        if operator not in tuple("+-?#%"):
            raise ShellError(f"an unsupported modifier {operator!r} in a substitution")
        word = self._until("}", operator in "#%", depth + 1)
        if self.variables is None:
            return ""
        value = self._value(name)
        is_set = value is not None and (empty_counts or value != "")
        match operator:
            case "-":
                return (value or "") if is_set else word
            case "+":
                return word if is_set else ""
            case "?":
                if not is_set and not (value is None and self.open_ended):
                    raise ShellError(f"{name}: {word or 'is not allowed to be unset or empty'}")
                return value or ""
            case _ if not word:
                # BuildKit 0.13 looks at the first character of the pattern, and takes the whole engine along (tried).
                raise ShellError(f"no pattern behind {operator!r} in a substitution")
            case _:
                longest = word.startswith(operator)
                return _trimmed(value or "", word[longest:], longest=longest, end=operator == "%")

    def _replacement(self, name: str, depth: int) -> str:
        """`${NAME/pattern/text}`, or every match with `//`."""
        everywhere = self._peek() == "/"
        self.at += everywhere
        pattern = self._until("/", True, depth + 1)
        text = self._until("}", True, depth + 1)
        if self.variables is None:
            return ""
        value = self._value(name) or ""
        result: list[str] = []
        start = 0
        for match in _compiled(_tokens(pattern), ".*").finditer(value):
            if result and match.end() == start:
                continue
            self.budget.spend(len(text))
            result += value[start : match.start()], text
            start = match.end()
            if not everywhere:
                break
        return "".join((*result, value[start:]))


def _trimmed(value: str, pattern: str, *, longest: bool, end: bool) -> str:
    """The value without the shortest or longest match of a pattern at its start or its end.

    What ends the value is looked for backwards, with value and pattern turned round: a search finds its first match.
    """
    tokens = _tokens(pattern)
    if end:
        value, tokens = value[::-1], tokens[::-1]
    match = _compiled(["^", *tokens], ".*" if longest else ".*?").search(value)
    rest = value[match.end() :] if match else value
    return rest[::-1] if end else rest


def _tokens(pattern: str) -> list[str]:
    """A shell pattern as RE2 expressions, one for each character; the wildcard `*` stays as it is."""
    tokens: list[str] = []
    characters = iter(pattern)
    for char in characters:
        if char == "\\":
            char = next(characters, "")
            if char not in tuple("*?\\}/"):
                raise ShellError(f"an invalid escape \\{char} in a pattern")
            tokens.append(foreign.escaped(char))
        else:
            tokens.append({"*": "*", "?": "."}.get(char) or foreign.escaped(char))
    return tokens


def _compiled(tokens: list[str], star: str) -> Any:
    try:
        return foreign.compiled("".join(star if token == "*" else token for token in tokens))
    except foreign.IllegalPattern:
        raise ShellError("a pattern that is too large") from None
