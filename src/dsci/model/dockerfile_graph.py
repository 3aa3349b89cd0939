"""Which stage of a Dockerfile stands on what, and which stages one of them needs.

The arguments before the first FROM get their values here, every FROM is expanded with them, and names and numbers of
stages find their stages. What happens inside a stage is `dockerfile`'s.

Sources: https://github.com/moby/buildkit/blob/v0.13.1/frontend/dockerfile/dockerfile2llb/convert.go,
https://docs.docker.com/reference/dockerfile/#understand-how-arg-and-from-interact
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

import msgspec

from dsci.errors import ConfigError
from dsci.model.dockerfile_lexer import Place
from dsci.model.dockerfile_parser import Copy, Dockerfile, Mount, OnBuild, Stage, Step
from dsci.model.dockerfile_shell import Budget, Expansion, ShellError, expand
from dsci.model.oci import OciError, Platform
from dsci.model.reference import Reference

SCRATCH = "scratch"

_STAGE_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage stands on: an earlier stage, an external image or, with neither, nothing."""

    stage: int | None
    image: str | None
    platform: Platform | None
    args: frozenset[str]
    """The build arguments that chose it."""
    undeclared: frozenset[str]
    """Variables in its FROM that nothing declares."""


class Graph(msgspec.Struct):
    """The stages of one Dockerfile, for one platform and one set of build arguments."""

    dockerfile: Dockerfile
    given: Mapping[str, str]
    platform: Platform
    build_platform: Platform
    predefined: dict[str, str]
    budget: Budget = msgspec.field(default_factory=Budget)
    globals: dict[str, str] = msgspec.field(default_factory=dict)
    origins: dict[str, frozenset[str]] = msgspec.field(default_factory=dict)
    """For each global argument, the build arguments that decide its value: itself and those in its default."""
    older: dict[str, str] = msgspec.field(default_factory=dict)
    """The global arguments of which older BuildKits (0.13 for one) think otherwise, with the values that they see.

    To them a declaration without a value makes an argument empty, to newer ones it changes nothing."""
    bases: list[Base] = msgspec.field(default_factory=list)
    names: dict[str, int] = msgspec.field(default_factory=dict)
    """The stages by their names; where two share one, the last has it."""

    @classmethod
    def of(
        cls,
        dockerfile: Dockerfile,
        *,
        stage: str | None,
        given: Mapping[str, str],
        platform: Platform,
        build_platform: Platform,
    ) -> Graph:
        """Read the global arguments, every FROM, and from where every stage takes something.

        Raises ConfigError where BuildKit would refuse one of them, also in stages that are not built.
        """
        chosen = stage or dockerfile.stages[-1].name or "default"
        graph = cls(dockerfile, given, platform, build_platform, _predefined(chosen, platform, build_platform))
        graph._read_globals()
        for each in dockerfile.stages:
            graph.bases.append(graph._base(each))
            if each.name:
                graph.names[each.name] = each.index
        graph._check_origins()
        return graph

    def target(self, name: str | None) -> int:
        """The stage to build, by default the last. Raises ConfigError where none has this name.

        Numbers are no names: https://github.com/moby/buildkit/issues/1503.
        """
        if name is None:
            return len(self.dockerfile.stages) - 1
        if name.lower() not in self.names:
            known = ", ".join(sorted(self.names)) or "none; give it one with FROM … AS name"
            raise ConfigError(
                f"{self.dockerfile.path}: there is no stage named {name[:100]!r}", hint=f"stages with a name: {known}"
            )
        return self.names[name.lower()]

    def needed_by(self, target: int) -> list[int]:
        """The stages that are built for this one, itself among them, in order.

        Raises ConfigError where one of them takes from a stage that is not built yet when its turn comes.
        """
        needed: set[int] = set()
        left = [target]
        while left:
            index = left.pop()
            if index in needed:
                continue
            needed.add(index)
            parent = self.bases[index].stage
            if parent is not None:
                left.append(parent)
            for step in self.steps(index):
                other = self.stage_of(step)
                if other is not None:
                    if other >= index:
                        raise self._too_early(step, other)
                    left.append(other)
        return sorted(needed)

    def steps(self, index: int) -> Iterator[Step]:
        """The steps of a stage, after those that the stage it stands on triggers with ONBUILD.

        Raises ConfigError for a trigger that cannot run.
        """
        parent = self.bases[index].stage
        if parent is not None:
            for step in self.dockerfile.stages[parent].steps:
                if isinstance(step, OnBuild):
                    if step.problem is not None:
                        raise step.problem
                    yield from step.steps
        yield from self.dockerfile.stages[index].steps

    def stage_of(self, step: Step) -> int | None:
        """The stage that a step takes from, if it does: by name, and for COPY by number too."""
        if not isinstance(step, Copy | Mount) or step.origin is None:
            return None
        if isinstance(step, Copy) and _STAGE_NUMBER.fullmatch(step.origin):
            number = int(step.origin)
            if not 0 <= number < len(self.dockerfile.stages):
                raise step.place.error(f"there is no stage {number}")
            return number
        return self.names.get(step.origin.lower())

    def image_of(self, step: Copy | Mount) -> str | None:
        """The external image that a step takes from, if it does. Raises ConfigError where its name is not legal."""
        if step.origin is None or step.origin == SCRATCH or self.stage_of(step) is not None:
            return None
        try:
            Reference.parse(step.origin)
        except ConfigError as error:
            raise step.place.error(error.message, hint=error.hint) from None
        return step.origin

    def root(self, index: int) -> Base:
        """What the oldest ancestor of a stage stands on."""
        base = self.bases[index]
        while base.stage is not None:
            base = self.bases[base.stage]
        return base

    def expand(self, word: str, variables: Mapping[str, str], place: Place, *, open_ended: bool = False) -> Expansion:
        """Expand a word. Raises ConfigError for what the shell of Dockerfiles refuses.

        `open_ended`: more variables may be set than are known.
        """
        try:
            return expand(word, variables, escape=self.dockerfile.escape, budget=self.budget, open_ended=open_ended)
        except ShellError as error:
            raise place.error(f"{word[:100]}: {error}") from None

    def _too_early(self, step: Step, other: int) -> ConfigError:
        return step.place.error(
            f"stage {self.dockerfile.stages[other].name or other} is used before it is built",
            hint="move it up; if an image of that name is meant, rename the stage",
        )

    def _check_origins(self) -> None:
        """Raise ConfigError where a stage takes from itself, by whatever way, or from what is no stage and no image.

        BuildKit sees to that in stages that are not built, too, but not to every circle: some of them end an engine of
        version 26 that is asked to build them.
        """
        needs: dict[int, set[int]] = {}
        for stage in self.dockerfile.stages:
            parent = self.bases[stage.index].stage
            needs[stage.index] = set() if parent is None else {parent}
            for step in stage.steps:
                other = self.stage_of(step)
                if other == stage.index:
                    raise self._too_early(step, other)
                if other is not None:
                    needs[stage.index].add(other)
                elif isinstance(step, Copy | Mount):
                    self.image_of(step)
        try:
            TopologicalSorter(needs).prepare()
        except CycleError as error:
            stage = self.dockerfile.stages[max(error.args[1])]
            raise stage.place.error("this stage needs itself: its base or its copies lead back to it") from None

    def _read_globals(self) -> None:
        """Give the arguments before the first FROM their values."""
        overridden = self.predefined.keys() & self.given.keys()
        self.globals.update(self.predefined | {name: self.given[name] for name in overridden})
        self.origins.update({name: frozenset({name}) for name in self.predefined})
        for arg in self.dockerfile.args:
            for name, default in arg.pairs:
                origins = frozenset({name})
                older = ""
                if name in self.given:
                    self.globals[name] = older = self.given[name]
                elif default is not None:
                    value = self.expand(default, self.globals, arg.place)
                    self.globals[name] = value.text
                    older = self._older(default, value, arg.place)
                    origins |= self._deciding(value)
                self.origins[name] = origins
                if older == self.globals.get(name):
                    self.older.pop(name, None)
                else:
                    self.older[name] = older

    def _older(self, word: str, value: Expansion, place: Place) -> str:
        """What older BuildKits make of a word whose value for newer ones is given; an error is an empty value there."""
        if self.older.keys().isdisjoint(value.found | value.missing):
            return value.text
        try:
            return self.expand(word, ChainMap(self.older, self.globals), place).text
        except ConfigError:
            return ""

    def _base(self, stage: Stage) -> Base:
        """What a stage stands on. BuildKit wants that to be legal even where the stage is not built."""
        base = self.expand(stage.base, self.globals, stage.place)
        parent = self.names.get(base.text)
        image = base.text if parent is None and base.text != SCRATCH else None
        if image is not None:
            self._check(stage, base)
        asked = self.expand(stage.platform or "", self.globals, stage.place)
        platform = _platform(asked.text, self.build_platform, stage.place) if stage.platform else None
        self._agree(stage, base, asked)
        return Base(
            stage=parent,
            image=image,
            platform=platform if platform != self.platform else None,
            args=self._deciding(base) | self._deciding(asked),
            undeclared=(base.missing | asked.missing) - self.origins.keys(),
        )

    def _agree(self, stage: Stage, base: Expansion, asked: Expansion) -> None:
        """Raise ConfigError where older BuildKits would build on something else than newer ones: what is to be pinned?

        Where they would refuse the file there is no such danger.
        """
        text = self._older(stage.base, base, stage.place)
        platform = self._older(stage.platform or "", asked, stage.place)
        if (text, platform) == (base.text, asked.text):
            return
        try:
            if text not in self.names:
                Reference.parse(text)
            if stage.platform:
                _platform(platform, self.build_platform, stage.place)
        except ConfigError:
            return
        names = ", ".join(sorted(self.older.keys() & (base.found | base.missing | asked.found | asked.missing)))
        raise stage.place.error(
            f"FROM {stage.base[:200]} is {base.text[:200]!r} or {text[:200]!r}, as the version of BuildKit has it,"
            f" for {names} is declared without a value",
            hint="write ${NAME:-…} or ${NAME:+…} with the colon, declare nothing twice, or give the argument a value",
        )

    def _check(self, stage: Stage, base: Expansion) -> None:
        """Raise ConfigError where a FROM gives no legal reference, and say which variables are to blame."""
        try:
            Reference.parse(base.text)
        except ConfigError as error:
            empty = base.missing | {name for name in base.found if not self.globals[name]}
            if base.text.lower() in self.names:
                hint = f"FROM finds stages by lower-case names only: FROM {base.text.lower()}"
                raise stage.place.error(error.message, hint=hint) from None
            if not empty:
                raise stage.place.error(error.message, hint=error.hint) from None
            names = ", ".join(sorted(empty))
            raise stage.place.error(
                f"FROM {stage.base[:200]} is {base.text[:200]!r}, for {names} has no value",
                hint=f"give {names} a default with ARG before the first FROM, or a value under args in dsci.yaml",
            ) from None

    def _deciding(self, value: Expansion) -> frozenset[str]:
        """The build arguments that decide an expansion."""
        return frozenset().union(*(self.origins.get(name, frozenset()) for name in value.found | value.missing))


def _predefined(target: str, platform: Platform, build_platform: Platform) -> dict[str, str]:
    """The global arguments that are there without being declared; `TARGETSTAGE` in newer frontends only.

    Source: https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope
    """
    values = {"TARGETSTAGE": target}
    for prefix, value in (("BUILD", build_platform), ("TARGET", platform)):
        values[f"{prefix}PLATFORM"] = str(value)
        values[f"{prefix}OS"] = value.os
        values[f"{prefix}ARCH"] = value.architecture
        values[f"{prefix}VARIANT"] = value.variant
    return values


def _platform(text: str, build_platform: Platform, place: Place) -> Platform:
    """The platform in `FROM --platform=`."""
    try:
        return Platform.complete(text, build_platform)
    except OciError as error:
        raise place.error(f"--platform: {error.message}", hint=error.hint) from None
