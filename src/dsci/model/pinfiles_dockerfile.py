"""Pins in a Dockerfile: the images that an image stands on, and packages that RUN installs by version.

Images and operating system packages count in the stages that the image descends from, packages of Python, conda and R
in every stage that is built for it, for their environments are copied. Commands are read as words, not run: what a
script, a loop or a variable of the shell installs is not seen. A package without a version is only mentioned: a line
of `apt-get install` is no promise of what stays.

Sources: https://manpages.debian.org/bookworm/apt/apt-get.8.en.html, https://wiki.alpinelinux.org/wiki/Alpine_Package_Keeper,
https://pip.pypa.io/en/stable/cli/pip_install/, https://docs.conda.io/projects/conda/en/stable/commands/install.html
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from posixpath import basename

import msgspec

from dsci.errors import ConfigError
from dsci.model import dockerfile_lexer as lexer
from dsci.model import dockerfile_parser as parser
from dsci.model.dockerfile_graph import Graph
from dsci.model.dockerfile_lexer import Instruction
from dsci.model.dockerfile_parser import Arg, Copy, Env
from dsci.model.dockerfile_shell import Budget, Expansion, ShellError, expand, heredocs
from dsci.model.oci import Platform
from dsci.model.pinfiles_conda import spec
from dsci.model.pinfiles_requirements import requirement
from dsci.model.pinfiles_shelf import Rank, Shelf, bounds
from dsci.model.reference import Reference

_TAG = re.compile(
    r"v?([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]+(?:\.[0-9]+)*(?:-?(?:a|b|rc|alpha|beta)\.?[0-9]*)?)(?![0-9A-Za-z])"
)
#: A comment, what ends a command, where output goes, or a word with its quotes.
_TOKEN = re.compile(
    r"(?P<comment>(?<!\S)#[^\n]*)|(?P<end>[\n;&|()`]+)|(?P<redirect>[<>]+&?\s*)"
    r"""|(?P<word>(?:[^\s;&|()<>`'"\\]++|'[^']*+'|"(?:[^"\\]++|\\[\s\S])*+"|\\[\s\S]|['"\\])++)"""
)
#: Which tool, by what word, installs what follows.
_TOOLS: tuple[tuple[re.Pattern[str], tuple[str, ...], str], ...] = (
    (re.compile(r"apt-get|apt|aptitude"), ("install",), "apt"),
    (re.compile(r"apk"), ("add",), "apk"),
    (re.compile(r"pip[0-9.]*|uv"), ("install", "add"), "python"),
    (re.compile(r"conda|mamba|micromamba"), ("install", "create"), "conda"),
)
_SYSTEM = re.compile(r"([A-Za-z0-9][A-Za-z0-9.+_-]*)(?::[a-z0-9]+)?(?:([=<>~]+)(.*))?")
_BEGINNING = re.compile(r"([A-Za-z0-9][A-Za-z0-9._+-]*)")
_R_VERSION = re.compile(
    r"""install_version\(\s*\\?["']([A-Za-z][A-Za-z0-9.]*)\\?["']\s*,\s*(?:version\s*=\s*)?\\?["']([^"'\\]*)\\?["']"""
)
_DEFAULT_PLATFORM = Platform("linux", "amd64")
#: The option of a shell whose value is what it runs.
_SCRIPT = re.compile(r"-[a-z]*c")
#: How many shells deep `sh -c "sh -c …"` is read.
_SHELLS = 3


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Which image of a Dockerfile is meant."""

    stage: str | None = None
    args: Mapping[str, str] = msgspec.field(default_factory=dict)
    platform: Platform = _DEFAULT_PLATFORM
    siblings: Collection[str] = ()
    """Images that it stands on and that are released beside it, as the Dockerfile names them: they are no pins."""


def read(shelf: Shelf, path: str, target: Target) -> None:
    """Read what the stages of a Dockerfile pin that are built for one image."""
    try:
        _Reader.of(shelf, path, target).read()
    except (ConfigError, ShellError) as error:
        shelf.problem(path, str(error).removeprefix(f"{path}:"))


class _Reader(msgspec.Struct):
    """One walk through the stages that are built, each after the one it stands on."""

    shelf: Shelf
    path: str
    target: Target
    graph: Graph
    runs: dict[int, list[tuple[int, Instruction, str]]]
    """The RUN instructions of each stage: their lines, and the here-documents behind them."""
    variables: dict[int, dict[str, str]] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, shelf: Shelf, path: str, target: Target) -> _Reader:
        """Open a Dockerfile. Raises ConfigError where BuildKit would refuse it."""
        text = shelf.text(path)
        parsed = parser.parse(text, path=path)
        graph = Graph.of(
            parsed, stage=target.stage, given=target.args, platform=target.platform, build_platform=target.platform
        )
        lines = text.split("\n")
        instructions = lexer.read(text, path=path).instructions
        ends = [*(instruction.place.line for instruction in instructions[1:]), len(lines) + 1]
        runs: dict[int, list[tuple[int, Instruction, str]]] = {}
        stage = -1
        for instruction, end in zip(instructions, ends, strict=True):
            stage += instruction.keyword == "FROM"
            if instruction.keyword == "RUN":
                begin = instruction.place.line
                has_document = "<<" in instruction.rest and heredocs(instruction.rest)
                document = "\n".join(lines[begin : end - 1]) if has_document else ""
                runs.setdefault(stage, []).append((begin, instruction, document))
        return cls(shelf, path, target, graph, runs)

    def read(self) -> None:
        """Note everything. Raises ConfigError or ShellError for what BuildKit would refuse."""
        last = self.graph.target(self.target.stage)
        lineage = [last]
        while (parent := self.graph.bases[lineage[-1]].stage) is not None:
            lineage.append(parent)
        root = self.graph.root(last).image
        if root is not None:
            self._base(root)
        for index in self.graph.needed_by(last):
            self._stage(index, index in lineage)

    def _stage(self, index: int, descends: bool) -> None:
        """Go through a stage with the variables that are known where each command stands."""
        parent = self.graph.bases[index].stage
        variables = dict(self.variables[parent]) if parent is not None else {}
        self.graph.budget.spend(len(variables))
        self.variables[index] = variables
        runs = iter(self.runs.get(index, ()))
        run = next(runs, None)
        for step in self.graph.dockerfile.stages[index].steps:
            while run is not None and run[0] < step.place.line:
                self._run(run, variables, descends)
                run = next(runs, None)
            match step:
                case Arg():
                    self._declare(step, variables)
                case Env():
                    values = [
                        (name, self.graph.expand(value, variables, step.place, open_ended=True))
                        for name, value in step.pairs
                    ]
                    for name, value in values:
                        _assign(variables, name, value)
                case Copy() if descends and (image := self.graph.image_of(step)) is not None:
                    self._base(image)
        while run is not None:
            self._run(run, variables, descends)
            run = next(runs, None)

    def _declare(self, arg: Arg, variables: dict[str, str]) -> None:
        """ARG: the value that is given, else its default, else the global argument of that name."""
        for name, default in arg.pairs:
            if name in self.graph.given:
                variables[name] = self.graph.given[name]
            elif default is not None:
                _assign(variables, name, self.graph.expand(default, variables, arg.place, open_ended=True))
            elif name in self.graph.globals:
                variables[name] = self.graph.globals[name]

    def _base(self, image: str) -> None:
        """Note an image from elsewhere by the number that its tag begins with."""
        if image in self.target.siblings:
            return
        reference = Reference.parse(image)
        name = basename(reference.repository.path)
        tag = _TAG.match(reference.tag or "")
        # Every tag of https://github.com/rocker-org/rocker-versioned2 is a version of R.
        is_r = reference.repository.path.startswith("rocker/")
        self.shelf.add(Rank.BASE, "base", "r-ver" if is_r else name, tag[1] if tag else "", self.path, loose=True)

    def _run(self, run: tuple[int, Instruction, str], variables: Mapping[str, str], descends: bool) -> None:
        """Note what a RUN installs."""
        _, instruction, document = run
        words = instruction.json()
        text = instruction.rest if words is None else shlex.join(words)
        budget = Budget()
        for script in (text, document):
            for ecosystem, word, is_known in _installed(script, variables, budget):
                if descends or ecosystem not in ("apt", "apk"):
                    self._package(ecosystem, word, is_known)
            for found in _R_VERSION.finditer(script):
                version = _expanded(found[2], variables, budget)
                known = version.text if version is not None and not version.missing else ""
                self.shelf.add(Rank.WISH, "r", found[1], known, self.path, loose=True)

    def _package(self, ecosystem: str, text: str, is_known: bool) -> None:
        """Note one package that a command installs; what is no package's name is none of ours."""
        if not is_known:
            name = _BEGINNING.match(text)
            found = (name[1], "") if name else None
        elif ecosystem == "python":
            found = requirement(text)
        elif ecosystem == "conda":
            found = spec(text)
        else:
            system = _SYSTEM.fullmatch(text)
            found = (system[1], bounds(f"{system[2].strip('=~')}{system[3]}") if system[2] else "") if system else None
        if found is not None:
            self.shelf.add(Rank.WISH, ecosystem, *found, self.path, loose=True)


def _assign(variables: dict[str, str], name: str, value: Expansion) -> None:
    """Set a variable, or forget it where its value depends on what nobody here knows."""
    if value.missing:
        variables.pop(name, None)
    else:
        variables[name] = value.text


def _installed(
    script: str, variables: Mapping[str, str], budget: Budget, depth: int = 0
) -> Iterator[tuple[str, str, bool]]:
    """The ecosystem and the text of each package that commands install, and whether all of that text is known."""
    tool: tuple[tuple[str, ...], str] | None = None
    installs = is_shell = is_script = is_target = False
    for token in _TOKEN.finditer(script):
        word = token["word"]
        if word is None:
            if token["end"]:
                tool, installs, is_shell, is_script = None, False, False, False
            is_target = token["redirect"] is not None
        elif is_target:
            is_target = False
        elif installs and tool is not None:
            expanded = None if word.startswith("-") else _expanded(word, variables, budget)
            if expanded is not None:
                yield tool[1], expanded.text, not expanded.missing
        elif tool is not None and word in tool[0]:
            installs = True
        elif is_script:
            inner = _expanded(word, variables, budget)
            if inner is not None and depth < _SHELLS:
                yield from _installed(inner.text, variables, budget, depth + 1)
            is_shell = is_script = False
        else:
            program = basename(word)
            is_script = is_shell and _SCRIPT.fullmatch(word) is not None
            is_shell = is_shell or program in ("sh", "bash", "dash", "ash", "zsh")
            tool = next((tool[1:] for tool in _TOOLS if tool[0].fullmatch(program)), tool)


def _expanded(word: str, variables: Mapping[str, str], budget: Budget) -> Expansion | None:
    """A word as the shell would have it; None where that is more than this shell knows."""
    try:
        return expand(word, variables, escape="\\", budget=budget)
    except ShellError:
        return None
