"""`.dockerignore` against BuildKit itself: generated patterns over generated trees, and the files that come through.

Only files and links count. A folder whose files are all ignored, but not itself, stays as an empty folder in an image
that is built from a folder; Git knows no such folders, and dsci sends what Git knows.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.model.builders import look
from tests.model.sampling import SEARCH, numbers
from tests.model.test_ignore import CASES, ILLEGAL

from dsci.errors import ConfigError
from dsci.model.ignore import Ignore

pytestmark = pytest.mark.engine

#: Generated cases are tried in blocks that share a build.
BLOCK = 20
BLOCKS = numbers(40 if SEARCH else 10)

_NAMES = (
    *("a", "b", "ab", "abc", "a.md", "README.md", "b.py", ".git", "src", "x y", "größe"),
    *("[a]", "a*b", "#c", "!d", "a-b"),
)
_PARTS = (
    *_NAMES,
    *("*", "**", "?", "a*", "*b", "*.md", "**.md", "a**", "[ab]", "[ab]*", "[^a]*", "[a-c]?", "[^a-c]", "\\*", "a\\*b"),
    *("\\a", "[\\[]a]", "*.*", ".*", "..", ".", "?*", "***", "gr??e", "größ[a-z]", "a.b", "(a)", "a+", "{a,b}", "a|b"),
)
_BEFORE = ("", "", "", "", "", "/", "./", "../", "!", "!", "!", "! ", "!/", "//", "  ", "!!")
_BEHIND = ("", "", "", "", "", "/", "/.", "/**", "/*", " ", "\t", "/ ", "//")
_OTHER = ("", "   ", "# a", "  # a", "\\#c", "#", "**", "*", "!**", "!*", "!src", "!a/b", "!**/*.md")
_ILLEGAL = ("[", "a[", "[]", "a\\", "!", "[z-a]", "a/[^]", "[a-", "! ", "!/", "[-]")


@dataclass(frozen=True, slots=True)
class Case:
    """A `.dockerignore` and what lies beside it."""

    text: str
    files: tuple[str, ...]
    links: tuple[str, ...] = ()

    @property
    def ignore(self) -> Ignore | None:
        """What dsci reads, or None where it refuses."""
        try:
            return Ignore.parse(self.text)
        except ConfigError:
            return None

    def write(self, folder: Path, ignore_file: str = ".dockerignore") -> Path:
        """The context."""
        for path in (*self.files, *self.links):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
        for path in self.files:
            (folder / path).write_text("x")
        for path in self.links:
            (folder / path).symlink_to("a")
        (folder / ignore_file).write_bytes(self.text.encode())
        return folder

    def kept(self, ignore: Ignore, *more: str) -> set[str]:
        """What dsci lets through."""
        return {path for path in (*self.files, *self.links, *more) if not ignore.ignores(path)}


def generated(number: int) -> Case:
    """The same case for the same number."""
    chance = random.Random(number)
    paths: set[str] = set()
    for _ in range(chance.randrange(6, 18)):
        path = "/".join(chance.choices(_NAMES, k=chance.choice((1, 1, 2, 2, 3, 4))))
        folders = {path.rsplit("/", depth)[0] for depth in range(1, path.count("/") + 1)}
        if not folders & paths and not any(other.startswith(f"{path}/") for other in paths):
            paths.add(path)
    links = set(chance.sample(sorted(paths), min(2, len(paths))))
    lines: list[str] = []
    for _ in range(chance.randrange(1, 8)):
        pattern = "/".join(chance.choices(_PARTS, k=chance.choice((1, 1, 2, 2, 3))))
        if chance.random() < 0.3:
            pattern = chance.choice(sorted(paths)).rsplit("/", chance.randrange(3))[0]
        line = f"{chance.choice(_BEFORE)}{pattern}{chance.choice(_BEHIND)}"
        lines.append(chance.choice(_OTHER) if chance.random() < 0.2 else line)
    if chance.random() < 0.06:
        lines.insert(chance.randrange(len(lines) + 1), chance.choice(_ILLEGAL))
    text = chance.choice(("\n", "\n", "\n", "\r\n")).join(lines) + chance.choice(("", "\n", "\n\n"))
    return Case(chance.choice(("", "", "", "\ufeff")) + text, tuple(sorted(paths - links)), tuple(sorted(links)))


def build(contexts: list[Path], folder: Path, *flags: str) -> dict[int, set[str]] | str:
    """The files of each context that come through, or why it is not built."""
    recipe = folder / "Dockerfile"
    recipe.write_text("FROM scratch\n" + "".join(f"COPY --from=c{n} / /{n}/\n" for n in range(len(contexts))))
    named = [f"--build-context=c{number}={context}" for number, context in enumerate(contexts)]
    (folder / "empty").mkdir(exist_ok=True)
    return _solved(folder / "out", [f"--file={recipe}", *named, *flags, str(folder / "empty")])


def _solved(out: Path, arguments: list[str]) -> dict[int, set[str]] | str:
    """Every folder of the result by its number, as a folder on this machine."""
    ended = subprocess.run(
        ["docker", "buildx", "build", "--quiet", "--provenance=false", f"--output=type=local,dest={out}", *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=120,
    )
    if ended.returncode:
        return ended.stderr[-500:]
    return {int(each.name): set(_files(each)) for each in out.iterdir()}


def _files(folder: Path) -> Iterator[str]:
    """Every file and link below a folder."""
    for path in folder.rglob("*"):
        if path.is_symlink() or path.is_file():
            yield str(path.relative_to(folder))


def _compare(cases: list[Case], folder: Path) -> None:
    """Let one build take all legal ones; where it fails, the guilty one is found. Each illegal one fails alone."""
    legal = [(case, ignore) for case in cases if (ignore := case.ignore) is not None]
    contexts = [case.write(folder / f"context-{number}") for number, (case, _) in enumerate(legal)]
    found = build(contexts, folder)
    if isinstance(found, str):
        refused = {
            case.text: why
            for number, (case, context) in enumerate(zip([case for case, _ in legal], contexts, strict=True))
            if isinstance(why := build([context], _made(folder / f"alone-{number}")), str)
        }
        pytest.fail(f"dsci takes what BuildKit refuses: {refused or found}")
    unlike = {
        number: (case.text, ignore, kept ^ found.get(number, set()))
        for number, (case, ignore) in enumerate(legal)
        if (kept := case.kept(ignore, ".dockerignore")) != found.get(number, set())
    }
    assert not unlike, [f"{text!r}: {sorted(paths)}" for text, _, paths in unlike.values()]
    for number, case in enumerate(case for case in cases if case.ignore is None):
        context = case.write(folder / f"illegal-{number}")
        alone = build([context], _made(folder / f"refused-{number}"))
        assert isinstance(alone, str), f"BuildKit takes what dsci refuses: {case.text!r}"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("block", BLOCKS)
def test_patterns_that_nobody_wrote(block: int, tmp_path: Path) -> None:
    _compare([generated(number) for number in range(block * BLOCK, block * BLOCK + BLOCK)], tmp_path)


def test_the_tables_of_the_model_hold(tmp_path: Path) -> None:
    """What `tests/model` claims is what BuildKit does. Names that are not UTF-8 cannot be sent to it from a folder."""
    cases: list[Case] = []
    for text, ignored, kept in CASES:
        paths = [path.removesuffix("/") for path in (*ignored, *kept)]
        files = {path for path in paths if path.isprintable() and not any(o.startswith(f"{path}/") for o in paths)}
        if text.isprintable() or not any("\udc80" <= char <= "\udcff" for char in text):
            cases.append(Case(text, tuple(sorted(files))))
    assert len(cases) >= 45
    _compare(cases, tmp_path)


@pytest.mark.parametrize("text", [text for text, _ in ILLEGAL])
def test_what_the_model_refuses_is_refused(text: str, tmp_path: Path) -> None:
    _compare([Case(text, ("a",))], tmp_path)


def test_a_difference_would_be_seen(tmp_path: Path) -> None:
    """The judge is no yes-man."""
    context = Case("*.md\n!a.md\n", ("a.md", "b.md", "c")).write(tmp_path / "context")
    found = build([context], tmp_path)
    assert found == {0: {"a.md", "c", ".dockerignore"}}
    assert found != {0: Case("", ("a.md", "b.md", "c")).kept(Ignore.parse("*.md"), ".dockerignore")}


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_the_ignore_file_of_a_dockerfile_comes_first(own: bool, inside: bool, tmp_path: Path) -> None:
    """`<Dockerfile>.dockerignore` lies beside its Dockerfile, wherever that is: dsci and BuildKit find the same one."""
    place = "context/docker" if inside else "elsewhere"
    files = {f"context/{path}": path for path in ("a", "b", "c", "docker/x")}
    files |= {"context/.dockerignore": "b\n", f"{place}/My.Dockerfile": "FROM scratch\nCOPY . /0/\n"}
    if own:
        files[f"{place}/My.Dockerfile.dockerignore"] = "c\ndocker\n"
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    found = _solved(tmp_path / "out", [f"--file={tmp_path / place / 'My.Dockerfile'}", str(tmp_path / "context")])
    assert isinstance(found, dict), found
    shot = look({**files, "dsci.yaml": f"images: {{x: {{context: context, dockerfile: {place}/My.Dockerfile}}}}\n"})
    (sent,) = shot.files.values()
    assert found[0] == {file.path for file in sent}
    assert ("b" in found[0], "c" in found[0]) == ((True, False) if own else (False, True))
