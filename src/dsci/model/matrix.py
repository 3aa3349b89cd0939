"""A plan's work as waves of jobs, for CI systems that spread it over machines.

Each target that is to be built or tested gets a job; a wave is what may run at once after the wave before it. Where a
CI system allows fewer jobs, fewer waves or less text, targets are folded into one job that does them in order: none is
lost, none is done twice, and nothing runs before what it needs. How a CI system wants to read it is `dsci.ci`'s to say.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from dsci.errors import ConfigError
from dsci.model.plan import Plan, PlannedTarget

#: Jobs that a matrix of GitHub's may make.
#: Source: https://docs.github.com/en/actions/reference/limits
MOST_JOBS = 256

#: Characters of all waves together: GitHub takes 1 MB of outputs of a job, counted as UTF-16, and their names count.
#: Source: https://docs.github.com/en/actions/how-tos/write-workflows/choose-what-workflows-do/pass-job-outputs
MOST_CHARACTERS = 490_000

_WORK = ("test", "build")

#: An id that means nothing to a shell, a YAML file or a workflow's expressions.
_ID = re.compile(
    r"\A[a-z0-9][a-z0-9._-]{0,254}(?::[a-z0-9][a-z0-9._-]{0,62})?"
    r"@[a-z0-9][a-z0-9._-]{0,63}(?:/[a-z0-9][a-z0-9._-]{0,63}){1,2}\Z"
)
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9]+")
_NAME_LENGTH = 60

_Unit: TypeAlias = list[PlannedTarget]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One job: what a machine does by itself."""

    id: str
    """Its target; of several the first, and how many more."""
    only: tuple[str, ...]
    """Its targets in the order they are done in, as `--only` takes them."""
    image: str
    """Its image; of several the first, and how many more."""
    platform: str
    """What it is for. Of a lineage that spans several, the platform of most of its targets."""
    os: str
    arch: str
    action: str
    """`build` or `test`, the dearer of its targets'."""
    name: str
    """Unique among all jobs; letters, digits, `-` and `_`."""
    needs: tuple[str, ...]
    """Names of the jobs of earlier waves that do what its targets stand on."""


Waves: TypeAlias = tuple[tuple[Job, ...], ...]


def waves_of(plan: Plan, *, most_waves: int | None = None, most_needs: int | None = None) -> Waves:
    """The plan's work as jobs, at most `most_waves` deep and with at most `most_needs` needs each.

    Raises ConfigError for a plan that no dsci made, and for one that no folding makes small enough.
    """
    levels = _levels(plan)
    depth = max(levels.values(), default=-1) + 1
    for count in range(min(depth, most_waves or depth), 0, -1):
        units = _units(plan, levels, count)
        most = MOST_JOBS
        while most:
            waves = _jobs(units, most)
            if _fits(waves, most_needs):
                return waves
            most //= 2
    if depth:
        raise ConfigError(
            f"{len(levels)} targets have work: that is more than the jobs of a CI pipeline can say",
            hint="plan fewer images at once: dsci plan IMAGE… --json > plan.json",
        )
    return ()


def _levels(plan: Plan) -> Mapping[str, int]:
    """The wave of every target that has work: after those of its needs that have work themselves."""
    work = {item.id for item in plan.targets if item.action in _WORK}
    levels: dict[str, int] = {}
    for item in plan.targets:
        if item.id not in work:
            continue
        needs = [need for need in item.needs if need in work]
        if not _ID.match(item.id) or item.id != f"{item.image}@{item.platform}":
            raise ConfigError(f"the plan has a target {item.id!r}, which no dsci plans", hint=_FOREIGN)
        if item.id in levels or not levels.keys() >= set(needs):
            raise ConfigError(f"the plan has {item.id} twice, or before what it needs", hint=_FOREIGN)
        levels[item.id] = 1 + max((levels[need] for need in needs), default=-1)
    return levels


_FOREIGN = "take the plan as `dsci plan --json` wrote it"


def _units(plan: Plan, levels: Mapping[str, int], count: int) -> list[list[_Unit]]:
    """The waves, `count` of them, as sets of targets that stay together: in the last one, whole lineages."""
    waves: list[list[PlannedTarget]] = [[] for _ in range(count)]
    for item in plan.targets:
        if item.id in levels:
            waves[min(levels[item.id], count - 1)].append(item)
    return [_lineages(wave) for wave in waves]


def _lineages(items: Sequence[PlannedTarget]) -> list[_Unit]:
    """The targets, parted into sets that no need among them connects, each in the order given."""
    parts: dict[str, _Unit] = {}
    for item in items:
        joined = {id(parts[need]): parts[need] for need in item.needs if need in parts}
        largest, *others = sorted(joined.values(), key=len, reverse=True) or [[]]
        moved = [*(each for other in others for each in other), item]
        largest += moved
        parts |= dict.fromkeys((each.id for each in moved), largest)
    place = {item.id: number for number, item in enumerate(items)}
    units = {id(unit): unit for unit in parts.values()}.values()
    ordered = [sorted(unit, key=lambda item: place[item.id]) for unit in units]
    return sorted(ordered, key=lambda unit: place[unit[0].id])


def _platform(unit: _Unit) -> str:
    """The platform of most of its targets; of the first of them where it is a draw."""
    return Counter(item.platform for item in unit).most_common(1)[0][0]


def _jobs(waves: Sequence[Sequence[_Unit]], most: int) -> Waves:
    """A job for each unit, or for several of one platform where a wave would have more jobs than `most`."""
    done: dict[str, str] = {}
    names: set[str] = set()
    found: list[tuple[Job, ...]] = []
    for wave in waves:
        jobs = [_job(platform, chunk, done, names) for platform, chunk in _folded(wave, most)]
        done |= {target: job.name for job in jobs for target in job.only}
        found.append(tuple(jobs))
    return tuple(found)


def _folded(units: Sequence[_Unit], most: int) -> Iterator[tuple[str, _Unit]]:
    """The units, those of a platform folded evenly; one for each platform remains however small `most` is."""
    platforms: dict[str, list[_Unit]] = {}
    for unit in units:
        platforms.setdefault(_platform(unit), []).append(unit)
    size = -(-len(units) // most)
    while size < len(units) and sum(-(-len(mine) // size) for mine in platforms.values()) > most:
        size += 1
    for platform, mine in platforms.items():
        count = -(-len(mine) // size)
        for number in range(count):
            chunk = mine[number * len(mine) // count : (number + 1) * len(mine) // count]
            yield platform, [item for unit in chunk for item in unit]


def _job(platform: str, items: _Unit, done: Mapping[str, str], names: set[str]) -> Job:
    first, more = items[0], len(items) - 1
    images = list(dict.fromkeys(item.image for item in items))
    os, arch = platform.split("/")[:2]
    return Job(
        id=first.id + (f" and {more} more" if more else ""),
        only=tuple(item.id for item in items),
        image=images[0] + (f" and {len(images) - 1} more" if images[1:] else ""),
        platform=platform,
        os=os,
        arch=arch,
        action=max((item.action for item in items), key=_WORK.index),
        name=_name(f"{first.image}-{platform}", more, names),
        needs=tuple(dict.fromkeys(done[need] for item in items for need in item.needs if need in done)),
    )


def _name(text: str, more: int, names: set[str]) -> str:
    """A name for a job that none has yet, from now on its own; the id of a job of GitHub's begins with no digit."""
    stem = _NOT_IN_NAMES.sub("-", text)[:_NAME_LENGTH] + (f"-and-{more}-more" if more else "")
    stem = f"_{stem}" if stem[0].isdigit() else stem
    name, number = stem, 2
    while name in names:
        name, number = f"{stem}-{number}", number + 1
    names.add(name)
    return name


def _fits(waves: Waves, most_needs: int | None) -> bool:
    """Whether every limit is kept."""
    if any(len(wave) > MOST_JOBS for wave in waves) or len(msgspec.json.encode(waves)) > MOST_CHARACTERS:
        return False
    return most_needs is None or all(len(job.needs) <= most_needs for wave in waves for job in wave)
