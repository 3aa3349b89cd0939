"""One Dockerfile, read by dsci and by BuildKit: where the two differ."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

from tests.oracle.buildkit import Question, Refusal, Witness, familiar
from tests.oracle.corpus import Case
from tests.realengine import NATIVE

from dsci.errors import ConfigError
from dsci.model import dockerfile, dockerfile_lexer
from dsci.model.dockerfile import Recipe
from dsci.model.dockerfile_parser import Arg, Copy, Mount

_SYNTAX = re.compile(r"^#\s*syntax\s*=[^\r\n]*", re.IGNORECASE | re.MULTILINE)
_ORIGIN = re.compile(r"(?:\bfrom\s+(?:--\S+\s+)*|\bfrom=)([^\s,'\"]+)", re.IGNORECASE)
#: BuildKit's outline leaves them out, whether they are given or not.
_PREDEFINED = re.compile(r"(?:BUILD|TARGET)(?:PLATFORM|OS|ARCH|VARIANT)|TARGETSTAGE")
#: What dsci refuses and BuildKit 0.13 is never shown. It overlooks some circles and ends the engine as it runs in them;
#: so it does where there is no pattern to look at (tried).
_FATAL = ("needs itself", "no pattern behind")
_STEPS = frozenset({"RUN", "COPY", "ADD"})

Said = TypeVar("Said")


def differences(witness: Witness, case: Case, *, shown: str | None = None) -> Iterator[str]:
    """All that dsci and BuildKit do not agree on, for every stage of the file that can be asked for.

    With `shown` BuildKit is shown another text than dsci.
    """
    # The frontend that a file asks for would have to be pulled: BuildKit reads the file by itself.
    text = _SYNTAX.sub("#", shown or case.text, count=1)
    listed = witness.targets(text)
    parsed = _parsed(case)
    if not listed:
        # Never built: a file with arguments and no FROM ends an engine of version 26 (tried).
        yield from _unlike("the stages", parsed if isinstance(parsed, dockerfile.Dockerfile) else [], listed)
        return
    if isinstance(listed, Refusal) or isinstance(parsed, ConfigError):
        # What is wrong with a file shows at the latest where it is built.
        yield from _differences(witness, case, text, None)
        return
    yield from _unlike("the stages", [(each.name, each.base, each.line) for each in parsed.stages], listed)
    for target in [None, *dict.fromkeys(name for name, _, _ in listed if name)]:
        yield from (f"{target or 'the last stage'}: {each}" for each in _differences(witness, case, text, target))


def read(case: Case, target: str | None = None) -> Recipe | ConfigError:
    """What dsci says of one stage."""
    parsed = _parsed(case)
    if isinstance(parsed, ConfigError):
        return parsed
    try:
        return dockerfile.resolve(parsed, stage=target, args=case.args, platform=case.platform, build_platform=NATIVE)
    except ConfigError as error:
        return error


def _differences(witness: Witness, case: Case, text: str, target: str | None) -> Iterator[str]:
    recipe = read(case, target)
    parsed = _parsed(case)
    stages = {stage.name for stage in parsed.stages} if isinstance(parsed, dockerfile.Dockerfile) else set()
    if isinstance(recipe, Recipe):
        images = {familiar(source.name) for source in recipe.sources}
    else:
        images = set(_guessed(text)) - stages
        if any(word in recipe.message for word in _FATAL):
            return
        if isinstance(parsed, dockerfile.Dockerfile) and _may_need_itself(parsed):
            return  # What dsci names is another thing that is wrong, and BuildKit would come to the circle first.
    if images & stages:
        return  # What is given under the name of a stage takes its place; `edges.assemble` refuses that.
    question = Question(
        text=text,
        target=target,
        args=case.args,
        platform=case.platform,
        images=sorted(images),
        environment=case.environment,
    )
    graph = witness.graph(question)
    while isinstance(recipe, ConfigError) and isinstance(graph, Refusal) and graph.missing:
        # That an image was not guessed is no reason to refuse a file.
        if familiar(graph.missing) in stages:
            return
        question = replace(question, images=(*question.images, familiar(graph.missing)))
        graph = witness.graph(question)
    if isinstance(recipe, ConfigError) or isinstance(graph, Refusal):
        if not (isinstance(recipe, ConfigError) and isinstance(graph, Refusal)):
            yield f"dsci says {recipe}, BuildKit {graph}"
        return
    used = {(familiar(source.name), source.platform or case.platform) for source in recipe.sources}
    yield from _unlike("the images", used, graph.images)
    lineage = (familiar(recipe.lineage), recipe.lineage_platform or case.platform) if recipe.lineage else None
    yield from _unlike("the lineage", lineage, graph.lineage)
    warned = " ".join(warning.message for warning in recipe.warnings)
    if "which secret is mounted" not in warned:
        yield from _unlike("the secrets", set(recipe.secrets), graph.secrets)
    copies = {copy.pattern for copy in recipe.copies}
    if "counts as copied" in warned:
        copies = copies - {"."} | graph.copies
    yield from _unlike("what is copied", copies, graph.copies)
    busy = _busy(case)
    names = {stage.index: stage.name or f"stage-{stage.index}" for stage in recipe.stages}
    built = {name or names[recipe.stages[0].index] for name in graph.stages}
    yield from _unlike("the stages that are built", built - set(names.values()), set())
    yield from _unlike("the stages with steps", {name for index, name in names.items() if index in busy} - built, set())
    # BuildKit 0.13 outlines a file for the builder's platform, whatever is asked for.
    if case.platform == NATIVE and not _circular(case):
        arguments = witness.arguments(question)
        told = _own(arguments) if isinstance(arguments, dict) else arguments
        yield from _unlike("the arguments", _own(recipe.args), told)


def _own(names: Iterable[str]) -> set[str]:
    return {name for name in names if not _PREDEFINED.fullmatch(name)}


def _unlike(what: str, ours: Said, theirs: Said | Refusal) -> Iterator[str]:
    if ours != theirs:
        yield f"{what}: dsci says {ours}, BuildKit {theirs}"


def _parsed(case: Case) -> dockerfile.Dockerfile | ConfigError:
    try:
        return dockerfile.parse(case.text, path="Dockerfile")
    except ConfigError as error:
        return error


def _busy(case: Case) -> set[int]:
    """The stages with steps of their own that show in a graph."""
    busy: set[int] = set()
    index = -1
    for instruction in dockerfile_lexer.read(case.text, path="Dockerfile").instructions:
        index += instruction.keyword == "FROM"
        if instruction.keyword in _STEPS:
            busy.add(index)
    return busy


def _may_need_itself(parsed: dockerfile.Dockerfile) -> bool:
    """Whether stages may need each other in a circle, whatever the variables in their names are."""
    needs: dict[int, set[int]] = {}
    for stage in parsed.stages:
        words = [stage.base, *(step.origin or "" for step in stage.steps if isinstance(step, Copy | Mount))]
        needs[stage.index] = {
            other.index
            for other in parsed.stages
            for number, word in enumerate(words)
            if ("$" in word or word.lower() in (other.name, str(other.index))) and (number or other.index < stage.index)
        }
    try:
        TopologicalSorter(needs).prepare()
    except CycleError:
        return True
    return False


def _guessed(text: str) -> Iterator[str]:
    """The images that a file which dsci refuses may stand on."""
    for word in _ORIGIN.findall(text):
        with contextlib.suppress(ConfigError):
            yield familiar(word)


def _circular(case: Case) -> bool:
    """Whether an argument may stand on itself: to outline that is an endless task for BuildKit, and ends an engine."""
    parsed = dockerfile.parse(case.text, path="Dockerfile")
    heading = [pair for arg in parsed.args for pair in arg.pairs]
    inside = [pair for stage in parsed.stages for step in stage.steps if isinstance(step, Arg) for pair in step.pairs]
    itself = any(name in (default or "") for name, default in heading + inside)
    return itself or len({name for name, _ in heading}) < len(heading)
