"""The reader of Dockerfiles against BuildKit itself: what is legal, and which stages, images, arguments are in it.

Nothing is built and nothing is pulled. Where BuildKit 0.13 is known to differ from newer ones, dsci follows the newer
ones; what the engine at hand cannot know yet is skipped and says so.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from tests.model import test_dockerfile as tables
from tests.model.sampling import SEARCH, numbers
from tests.oracle import corpus
from tests.oracle.buildkit import Graph, Question, Refusal, Witness, familiar, witness
from tests.oracle.comparison import differences, read
from tests.oracle.corpus import Case
from tests.oracle.generated import Writer
from tests.secondengine import second_engine

from dsci.errors import ConfigError
from dsci.model import dockerfile
from dsci.model.dockerfile import Recipe

pytestmark = pytest.mark.engine

CASES = list(corpus.cases())
#: Generated files and words are tried in blocks.
BLOCK = 25
BLOCKS = numbers(100 if SEARCH else 10)
#: Rows of the tables with which BuildKit need not agree: dsci refuses them for its own sake.
OURS = (
    "${V:-" * 40,  # deeper than anybody nests
    "FROM a\n" * 257,  # more stages than anybody writes
    "# syntax=a\n# syntax=b\n",  # this line is taken out for BuildKit
)
#: Rows with which BuildKit 0.13 does not agree yet.
YOUNGER = (
    "#check=skip=all\n",
    "--exclude=x",
    "ARG A=${V?}",  # 0.13 takes an error in a default for an empty value
)


@pytest.fixture(scope="module", name="buildkit")
def _buildkit() -> Iterator[Witness]:
    with witness() as found:
        yield found


@pytest.fixture(scope="module", name="apart")
def _apart(buildkit: Witness) -> Iterator[Witness]:
    """Whom to ask what nobody has asked before: an engine of its own, for some texts end an engine."""
    if not SEARCH:
        yield buildkit
        return
    with second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=True) as endpoint, witness(endpoint) as found:
        yield found


@pytest.fixture(name="robust")
def _robust(apart: Witness) -> Witness:
    if apart.gone:
        pytest.skip("an earlier text ended the engine: see its failure")
    return apart


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.told)
def test_a_dockerfile_means_the_same_to_both(case: Case, buildkit: Witness) -> None:
    found = list(differences(buildkit, case))
    too_young = corpus.YOUNG.get(case.name)
    if too_young and found and all(too_young in each for each in found):
        pytest.skip(f"this BuildKit is older than what the file needs: {too_young}")
    assert found == []


def test_the_corpus_is_large_and_mostly_legal() -> None:
    """What both refuse would agree as well."""
    recipes = {case.told: read(case) for case in CASES}
    assert len({case.name for case in CASES}) >= 80
    assert [told for told, recipe in recipes.items() if isinstance(recipe, ConfigError)] == [
        "arg-forms PYTHON=3.13 EMPTY=-alpine",
        "arg-given-only",
        'arg-quotes TAG="3.12"',
        "jupyter-notebook BASE_IMAGE=Mine",
    ]
    sizes = [len(recipe.stages) for recipe in recipes.values() if isinstance(recipe, Recipe)]
    assert max(sizes) >= 8 and sum(size > 1 for size in sizes) >= 60


@pytest.mark.parametrize(
    ("misread", "shown", "told"),
    [
        ("FROM 127.0.0.1:1/a:2", "ARG V=1\nFROM 127.0.0.1:1/a:$V", "resolve source metadata for 127.0.0.1:1/a:1"),
        ("FROM --platform=linux/386 a", "FROM --platform=linux/arm64 a", "the images"),
        ("FROM a\nCOPY --from=b /c /d", "FROM b\nCOPY --from=a /c /d", "the lineage"),
        ("FROM a AS x\nRUN x\nFROM a", "FROM a AS x\nRUN x\nFROM a\nCOPY --from=x /c /d", "the stages that are built"),
        ("FROM a AS x\nRUN x\nFROM a\nCOPY --from=x c d", "FROM a AS x\nRUN x\nFROM a", "the stages with steps"),
        ("FROM a AS x", "FROM a AS y", "the stages"),
        ("FROM a", "FROM a\nARG V", "the arguments"),
        ("FROM a\nCOPY c d", "FROM a\nCOPY e d", "what is copied"),
        ("FROM a\nRUN --mount=type=secret,id=s x", "FROM a\nRUN --mount=type=secret,id=t x", "the secrets"),
        ("FROM a\nRAN x", "FROM a\nRUN x", "unknown instruction 'RAN', BuildKit Graph"),
        ("FROM a\nRUN x", "FROM a\nRAN x", "BuildKit Refusal(message='dockerfile parse error"),
    ],
)
def test_the_witness_can_say_no(misread: str, shown: str, told: str, buildkit: Witness) -> None:
    """A reader that takes one thing for another is caught, whatever it is."""
    case = Case(name="misread", text=misread)
    found = list(differences(buildkit, case, shown=shown))
    assert any(told in each for each in found), found
    assert list(differences(buildkit, replace(case, text=shown))) == []


def _tables() -> Iterator[Case]:
    """The texts of `tests/model`: what is claimed there is what BuildKit does."""
    texts: list[tuple[str, Mapping[str, str]]] = [(text, {}) for text in tables.LINES]
    texts += [(f"FROM a\n{start}\nCOPY f .\n", {}) for start in tables.DOCUMENTS]
    texts += [(f"FROM a\n{line}\nFROM b", {}) for line in tables.NO_DOCUMENTS]
    texts += [(text, {}) for text, *_ in tables.NAMES]
    texts += [(f"FROM --platform={written} a", {}) for written, _ in tables.PLATFORMS]
    texts += [(text, given) for text, given, *_ in tables.ARGUMENTS]
    texts += [(_expanding(word), {}) for word, _ in tables.WORDS]
    texts += [(f"FROM scratch\n{lines}", given) for lines, given, _ in tables.VARIABLES]
    texts += [(text, {}) for text, _ in tables.INHERITED]
    texts += [(f"FROM scratch\n{lines}", {}) for lines, _ in tables.COPIES]
    texts += [(text, {}) for text, *_ in tables.REFUSALS]
    for number, (text, given) in enumerate(texts):
        yield Case(name=f"row-{number}", text=text, args=given)


def _expanding(word: str) -> str:
    return f'FROM scratch\nENV É=e E= V=1.2.3 S="*/x" D=.\nCOPY x{word}.y .'


@pytest.mark.parametrize("case", list(_tables()), ids=lambda case: case.name)
def test_the_tables_of_the_model_hold(case: Case, buildkit: Witness) -> None:
    if any(part in case.text for part in OURS):
        pytest.skip(f"dsci refuses this for its own sake: {case.text[:40]!r}…")
    found = list(differences(buildkit, case))
    if found and any(part in case.text for part in YOUNGER):
        pytest.skip(f"this BuildKit is older than what the row needs: {case.text[:100]!r}")
    assert found == []


@pytest.mark.parametrize(("text", "newer", "older"), tables.DISPUTED)
def test_what_depends_on_the_version_is_built_by_every_one(
    text: str, newer: str | None, older: str, buildkit: Witness
) -> None:
    """This is why dsci refuses it: BuildKit does not, and takes one image or the other."""
    stages = {stage.name for stage in dockerfile.parse(text, path="").stages}
    images = sorted({familiar(name) for name in (newer, older, "b") if name} - stages)
    graph = buildkit.graph(Question(text=text, images=images))
    assert isinstance(graph, Graph) or (newer is None and not graph.missing)
    assert isinstance(graph, Refusal) or {name for name, _ in graph.images} <= set(images)


@pytest.mark.parametrize(("text", "syntax"), tables.SYNTAXES)
def test_the_frontend_is_the_one_that_buildkit_asks_for(text: str, syntax: str | None, buildkit: Witness) -> None:
    """Moved to where there is no registry: it is looked for, and not found."""
    places = {"docker/dockerfile": "frontend.invalid/docker/dockerfile", "a/b": "frontend.invalid/a/b"}
    for old, new in places.items():
        text, syntax = text.replace(old, new), syntax.replace(old, new) if syntax else None
    graph = buildkit.graph(Question(text=text, images=["a"]))
    wanted = graph.missing if isinstance(graph, Refusal) else None
    assert wanted == (f"{syntax}:latest" if syntax and ":" not in syntax else syntax)


@pytest.mark.parametrize("block", BLOCKS)
def test_files_that_nobody_wrote(block: int, robust: Witness) -> None:
    for number in range(BLOCK * block, BLOCK * block + BLOCK):
        case = Writer(number).case()
        print(f"{case.told}:\n{case.text}")  # what ends the engine is seen where it failed
        assert list(differences(robust, case)) == [], f"{case.told} {dict(case.environment)}:\n{case.text}"


@pytest.mark.parametrize("block", BLOCKS)
def test_words_that_nobody_wrote(block: int, robust: Witness) -> None:
    chance = random.Random(block)
    for _ in range(BLOCK):
        word = "".join(chance.choices("abVE${}:-+?#%/*.\\'\" é", k=chance.randrange(1, 14)))
        word = chance.choice((word, f"${{V{word}}}", f"${{E{word}}}", f"${{S/{word}}}"))
        case = Case(name="word", text=_expanding(word))
        assert list(differences(robust, case)) == [], f"block {block}: {word!r}"
