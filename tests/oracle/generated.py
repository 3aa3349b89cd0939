"""Dockerfiles that nobody wrote: the same ones for the same number, legal as often as not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from tests.oracle.corpus import OTHER, Case
from tests.realengine import NATIVE

_ARGS = ("A", "B", "C", "TAG", "TARGETARCH")
_STAGES = ("one", "two", "Three", "four.5", "base-amd64", "base-arm64")
_IMAGES = ("img", "img:1", "img:2", "reg.example.org/team/tool:v1", "other", "localhost:5000/x", "Bad", "img:-")
_ODD = ("'", '"', "\\", "$", "${", "}", "`", "#", " ", "=", "<<E", "[", "]", "é", "\\$A", "$$", '\\"')


class Writer:
    """Writes one Dockerfile."""

    def __init__(self, number: int) -> None:
        self._random = random.Random(number)
        self._number = number
        self._count = 0
        self._heads: set[str] = set()
        self._escape = self._pick("\\", "\\", "\\", "`")
        self._environment = self._pick({}, dict.fromkeys((*_ARGS, "HOME"), "set.there"))

    def case(self) -> Case:
        """The file with its arguments and its platform."""
        lines = [f"# escape={self._escape}"] if self._escape == "`" or self._chance(0.1) else []
        lines += [self._instruction(f"ARG {self._heading()}") for _ in range(self._random.randrange(4))]
        for _ in range(self._pick(1, 1, 2, 2, 3, 4)):
            lines.append(self._instruction(self._from()))
            lines += [self._step() for _ in range(self._random.randrange(6))]
        text = "\n".join(lines) + self._pick("\n", "", "\n\n")
        if self._chance(0.05):
            text = text.replace("\n", "\r\n")
        if self._chance(0.05):
            text = f"\ufeff{text}"
        args = {name: self._pick("", "1", "v2", "two", "amd64") for name in _ARGS[:-1] if self._chance(0.15)}
        platform = self._pick(NATIVE, NATIVE, OTHER)
        name = f"generated-{self._number}"
        return Case(name=name, text=text, args=args, platform=platform, environment=self._environment)

    def _from(self) -> str:
        platform = self._pick("linux/amd64", "$BUILDPLATFORM", "$TARGETPLATFORM", "arm64", "x/y/z/w", "${A:-386}")
        flag = f"--platform={platform} " if self._chance(0.2) else ""
        name = f" {self._pick('AS', 'as', 'As')} {self._pick(*_STAGES)}" if self._chance(0.7) else ""
        return f"{self._pick('FROM', 'from')} {flag}{self._base()}{name}"

    def _base(self) -> str:
        return self._pick(
            self._pick(*_IMAGES[:3]),
            self._pick(*_IMAGES),
            self._pick(*_STAGES),
            self._pick(*_STAGES).lower(),
            f"img:{self._variable().replace('-', ':-').replace('::', ':')}",
            f"img{self._pick('', ':1')}${{{self._pick(*_ARGS)}:+-x}}",
            "scratch",
            "base-$TARGETARCH",
            f"${self._pick(*_ARGS)}",
        )

    def _step(self) -> str:
        self._count += 1
        step = self._pick(
            lambda: f"ARG {self._declared()}",
            lambda: f"ENV {self._pick(*_ARGS)}={self._word()} {self._pick(*_ARGS)}={self._word()}",
            lambda: f"ENV {self._pick(*_ARGS)} {self._word()} {self._word()}",
            lambda: f"RUN step {self._count} {self._word()}",
            lambda: f"RUN {self._mount()} {self._mount()} step {self._count}",
            lambda: f"COPY {self._word()} {self._word()} /d{self._count}/",
            lambda: f"COPY --from={self._origin()} /a /d{self._count}/",
            lambda: f'COPY ["{self._plain()}", "{self._plain()}", "/d{self._count}/"]',
            lambda: f"ADD {self._pick('https://x.invalid/y', 'git@x.invalid:y', self._word())} /d{self._count}/",
            lambda: f"ONBUILD {self._pick(f'RUN t{self._count}', f'COPY t{self._count} /', 'ENV A=o', 'ARG B=o', 'X')}",
            lambda: f"LABEL l={self._word()}",
            lambda: self._pick("CMD x", 'ENTRYPOINT ["a", "b"]', "EXPOSE 80", "USER u$A", "VOLUME /v", "STOPSIGNAL 9"),
            lambda: self._pick("WORKDIR /w$B", "MAINTAINER m", "HEALTHCHECK NONE", 'SHELL ["sh"]', "CMD", "OOPS x"),
        )()
        if step.startswith(("RUN", "COPY ")) and not step.endswith("]") and self._chance(0.2):
            return self._with_document(step)
        return self._instruction(step)

    def _instruction(self, line: str) -> str:
        """The line, now and then spread over several, with comments between them."""
        if self._chance(0.15) and " " in line:
            at = self._random.choice([index for index, char in enumerate(line) if char == " "])
            between = self._pick("", "\n# a comment", "\n  # another", "\n\n")
            end = f"{self._escape}{self._pick('', ' ', chr(9))}"
            line = f"{line[:at]} {end}{between}\n{self._pick('', '  ')}{line[at:]}"
        return f"{self._pick('', '', '', '', '# FROM nowhere' + chr(10), chr(10), chr(9))}{line}"

    def _with_document(self, step: str) -> str:
        end = self._pick("E", "-E", '"E"', "'E'", "-'E'")
        words = step.split(" ")
        words.insert(self._random.randrange(1, len(words)), f"<<{end}")
        content = self._pick("FROM inside", "", "\tCOPY --from=in / /", "E ", "x", "$A")
        return f"{' '.join(words)}\n{content}\n{self._pick('', chr(9)) if end.startswith('-') else ''}E"

    def _heading(self) -> str:
        """Arguments before the first FROM. BuildKit 0.13 forgets what is wrong with their defaults: nothing is."""
        defaults = ("1", "v1.2", "two", "", "'a b'", '"x"', "${B:-d}", "$A", "${C}.x", "${TARGETARCH}", "${A:+img}")
        pairs: list[str] = []
        for name in self._some(_ARGS):
            # What a second declaration without a value means depends on the version; so does `${A-}` then.
            bare = name not in (*self._heads, "TARGETARCH") and self._chance(0.3)
            pairs.append(name if bare else f"{name}={self._pick(*defaults)}")
            self._heads.add(name)
        return " ".join(pairs)

    def _declared(self) -> str:
        """One argument of a stage. What more of them on one line are to each other depends on the version."""
        name = self._pick(*_ARGS)
        return self._pick(name, f"{name}=", f"{name}={self._plain()}{self._variable()}", f"{name}={self._quoted()}")

    def _mount(self) -> str:
        kind = self._pick("", "type=bind,", "type=cache,", "type=secret,", "type=tmpfs,", "type=ssh,", "type=odd,")
        kind = self._pick("type=bind,", kind)
        origin = f"from={self._origin()}," if self._chance(0.4) and kind in ("", "type=bind,") else ""
        source = f"source={self._plain()}," if self._chance(0.4) and kind in ("", "type=bind,") else ""
        secret = f"id={self._pick('s1', 's2', '$A')}," if kind == "type=secret," and self._chance(0.8) else ""
        return f"--mount={kind}{origin}{source}{secret}target=/m{self._random.randrange(1000)}"

    def _origin(self) -> str:
        return self._pick(
            self._pick(*_STAGES),
            self._pick(*_STAGES),
            self._pick(*_IMAGES),
            self._pick("0", "0", "-1", "99", "$A"),
        )

    def _word(self) -> str:
        pieces = [self._pick(self._plain(), self._variable(), self._quoted()) for _ in range(self._pick(1, 1, 2))]
        return "".join(pieces) + (self._pick(*_ODD) if self._chance(0.1) else "")

    def _quoted(self) -> str:
        inside = self._pick(self._plain(), self._variable(), f"{self._plain()} {self._variable()}")
        return self._pick(f"'{inside}'", f'"{inside}"')

    def _variable(self) -> str:
        name = self._pick(*_ARGS)
        inner = self._pick("d", f"${self._pick(*_ARGS)}", "")
        unset = "?" if self._environment else "-"
        return self._pick(
            f"${name}",
            f"${{{name}}}",
            f"${{{name}:-{inner}}}",
            f"${{{name}:+{inner}}}",
            f"${{{name}#*.}}",
            f"${{{name}%.*}}",
            f"${{{name}//./-}}",
            f"${{{name}-{inner}}}",
            f"${{{name}:{unset}{inner}}}",
        )

    def _plain(self) -> str:
        return self._pick("a", "b.c", "d/e", "f*", "1.2.3", "./g", "/h/", "i?", "[j]", "..", ".")

    def _some(self, things: Sequence[str]) -> list[str]:
        return self._random.sample(things, self._pick(1, 1, 1, 2, 3))

    def _pick(self, *things: Any) -> Any:
        return self._random.choice(things)

    def _chance(self, share: float) -> bool:
        return self._random.random() < share
