"""The text of a Dockerfile, taken apart into instructions.

Here are the rules that hold for every instruction: parser directives, comments, continuation lines, here-documents,
flags, words and JSON lists, each as BuildKit's parser has it. What an instruction means is known in `dockerfile`.

Sources: https://github.com/moby/buildkit/tree/v0.13.1/frontend/dockerfile/parser (`parser.go`, `directives.go`,
`split_command.go`, `line_parsers.go`), https://docs.docker.com/reference/dockerfile/#parser-directives
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from dsci.errors import ConfigError
from dsci.model.dockerfile_shell import ShellError, heredocs
from dsci.model.text import whole

#: Larger files are no Dockerfiles.
SIZE_LIMIT = 1024 * 1024
#: The longest line that BuildKit reads, in bytes (Go's `bufio.MaxScanTokenSize`).
LINE_LIMIT = 64 * 1024 - 1

_SPACE = re.compile(r"[\t\v\f\r ]+")


class Place(msgspec.Struct, frozen=True):
    """A line of a Dockerfile."""

    path: str
    line: int

    def error(self, message: object, *, hint: str = "") -> ConfigError:
        """The error to raise for what stands here."""
        return ConfigError(f"{self.path}:{self.line}: {message}", hint=hint)


class Instruction(msgspec.Struct, frozen=True):
    """An instruction: its keyword in capitals, its flags without quotes, and the rest of its line."""

    place: Place
    keyword: str
    flags: tuple[str, ...]
    rest: str

    @classmethod
    def parse(cls, line: str, place: Place) -> Instruction:
        """Split a logical line, as `splitCommand` does."""
        keyword, *rest = _SPACE.split(line.strip(), maxsplit=1)
        flags, arguments = _flags(rest[0] if rest else "")
        return cls(place, keyword.upper(), flags, arguments)

    def flag(self, name: str) -> str | None:
        """The flag's value. Raises ConfigError where it has none or stands here twice."""
        values = self.flag_values(name)
        if len(values) > 1:
            raise self.place.error(f"--{name} stands here twice")
        return values[0] if values else None

    def flag_values(self, name: str) -> tuple[str, ...]:
        """The values of a flag that may be repeated. Raises ConfigError where one is missing."""
        found = [flag.partition("=") for flag in self.flags if flag.partition("=")[0] == f"--{name}"]
        if not all(equals for _, equals, _ in found):
            raise self.place.error(f"--{name} needs a value: --{name}=…")
        return tuple(value for _, _, value in found)

    def json(self) -> tuple[str, ...] | None:
        """The rest as a JSON list of strings, or None where it is no JSON: BuildKit then takes it for shell form.

        Raises ConfigError for a list with anything but strings in it.
        """
        if not self.rest.startswith("["):
            return None
        from json import JSONDecoder

        try:
            value, _ = JSONDecoder(parse_constant=_refuse).raw_decode(self.rest)
        except (ValueError, RecursionError):
            return None
        if not all(isinstance(item, str) for item in value):
            raise self.place.error("a list in JSON form may hold strings only")
        return tuple(whole(item) for item in value)

    def arguments(self) -> tuple[str, ...]:
        """The rest as a JSON list, else as what stands between its spaces."""
        listed = self.json()
        return self.spaced() if listed is None else listed

    def spaced(self) -> tuple[str, ...]:
        """What stands between the spaces of the rest."""
        return tuple(_SPACE.split(self.rest)) if self.rest else ()

    def words(self, escape: str) -> tuple[str, ...]:
        """The rest as words that keep their quotes and escapes, as `parseWords` gives them."""
        words: list[str] = []
        start, at, quote = 0, 0, ""
        while at < len(self.rest):
            char = self.rest[at]
            if char == escape and quote != "'":
                at += 2
                continue
            if char.isspace() and not quote:
                words.append(self.rest[start:at])
                start = at + 1
            elif char in "'\"" and quote in ("", char):
                quote = "" if quote else char
            at += 1
        last = self.rest[start:]
        words.append(last[:-1] if at > len(self.rest) else last)
        return tuple(word for word in words if word)


class Script(msgspec.Struct, frozen=True):
    """A Dockerfile as text: what its directives say, and the instructions in it."""

    path: str
    directives: Mapping[str, str]
    instructions: tuple[Instruction, ...]

    @property
    def syntax(self) -> str | None:
        """The frontend that is asked for."""
        return self.directives["syntax"].split(" ")[0] if "syntax" in self.directives else None

    @property
    def escape(self) -> str:
        """The character that escapes, and that continues lines."""
        return self.directives.get("escape", "\\")


def read(text: str, *, path: str) -> Script:
    """Take a Dockerfile apart. Raises ConfigError with the line for what BuildKit's parser refuses."""
    lines = _lines(text, path)
    directives: dict[str, str] = {}
    instructions: list[Instruction] = []
    heading = True
    for number, line in lines:
        place, line = Place(path, number), line.lstrip()
        heading = heading and _read_directive(line, directives, place)
        if not line or line.startswith("#"):
            continue
        escape = directives.get("escape", "\\")
        line, continues = _continued(line, escape)
        parts = [line]
        while continues and (following := next(lines, None)):
            if (start := following[1].lstrip()) and not start.startswith("#"):
                line, continues = _continued(following[1], escape)
                parts.append(line)
        line = "".join(parts)
        instructions.append(Instruction.parse(line, place))
        _skip_heredocs(line, instructions[-1], lines)
    return Script(path, directives, tuple(instructions))


def _lines(text: str, path: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, without byte order mark and line ends."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ConfigError(f"{path}: this Dockerfile is not UTF-8") from None
    if size > SIZE_LIMIT:
        raise ConfigError(f"{path}: a Dockerfile of {size} bytes; the limit is {SIZE_LIMIT}")
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if len(line.encode()) > LINE_LIMIT:
            raise Place(path, number).error(f"a line of more than {LINE_LIMIT} bytes, which BuildKit does not read")
        yield number, line.rstrip("\r")


def _read_directive(line: str, directives: dict[str, str], place: Place) -> bool:
    """Take a parser directive in; False where the line is none, which ends them. A `#!` line may stand before them."""
    if place.line == 1 and line.startswith("#!"):
        return True
    name, _, value = line[1:].partition("=")
    name, value = name.strip().lower(), value.strip()
    if not line.startswith("#") or name not in ("syntax", "escape", "check") or not value:
        return False
    if name in directives:
        raise place.error(f"only one {name} parser directive can be used")
    if name == "escape" and value not in ("\\", "`"):
        raise place.error(f"the escape directive may name \\ or ` but not {value[:20]!r}")
    directives[name] = value
    return True


def _continued(line: str, escape: str) -> tuple[str, bool]:
    """The line without its continuation character, and whether there was one; a doubled one is none."""
    stripped = line.rstrip(" \t")
    if stripped.endswith(escape) and not stripped.endswith(escape * 2):
        return stripped[:-1], True
    return line, False


def _skip_heredocs(line: str, instruction: Instruction, lines: Iterator[tuple[int, str]]) -> None:
    """Step over the here-documents that an instruction announces."""
    if instruction.keyword == "ONBUILD":
        instruction = Instruction.parse(instruction.rest, instruction.place)
    if instruction.keyword not in ("RUN", "COPY", "ADD") or "<<" not in line or instruction.json() is not None:
        return
    try:
        announced = heredocs(line)
    except ShellError as error:
        raise instruction.place.error(error) from None
    for end, cuts_tabs in announced:
        for _, content in lines:
            if (content.lstrip("\t") if cuts_tabs else content) == end:
                break
        else:
            raise instruction.place.error(
                f"the here-document <<{end[:100]} is not terminated", hint=f"end it with a line that holds {end[:100]}"
            )


def _flags(text: str) -> tuple[tuple[str, ...], str]:
    """The `--flags` at the start of a text, their quotes and escapes taken away, and the text behind them."""
    flags: list[str] = []
    at = 0
    while text.startswith("--", at):
        word, at = _flag(text, at)
        if word == "--":
            break
        flags.append(word)
    return tuple(flags), text[at:].strip()


def _flag(text: str, at: int) -> tuple[str, int]:
    """The flag at this place, and where the text goes on behind it."""
    word: list[str] = []
    quote = ""
    while at < len(text) and (quote or not text[at].isspace()):
        char = text[at]
        if char == "\\":
            at += 1
            word.append(text[at : at + 1])
        elif char in "'\"" and quote in ("", char):
            quote = "" if quote else char
        else:
            word.append(char)
        at += 1
    while text[at : at + 1].isspace():
        at += 1
    return "".join(word), at


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
