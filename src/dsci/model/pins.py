"""Pins: which version of each direct dependency an image's files ask for, and what it is worth that one moved.

Two revisions of the same files give two `Pins`; `compare` tells what came, went and moved between them. How far a
version moved is `pins_worth`'s to say, what the files say is `pinfiles`'s; which version follows is `version`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from posixpath import dirname
from typing import TYPE_CHECKING

import msgspec

from dsci.model.commits import Bump

if TYPE_CHECKING:
    from dsci.model.pins_worth import Rule

Key = tuple[str, str]
"""Ecosystem and normalised name: what is one dependency, whoever names it."""

_SEPARATORS = re.compile(r"[-_.]+")


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """A direct dependency, and the version of it that a file asks for."""

    name: str
    ecosystem: str
    """`python`, `conda`, `r`, `apt`, `apk` or `base`. The languages Python and R are `python` and `r` of their own
    ecosystem, wherever they come from."""
    version: str
    """The version, or the range as it is written; empty where any will do; ` | ` between those of several files."""
    source: str
    """The path of the file that says so."""
    loose: bool = False
    """Whether it is only mentioned, without a version, where not everything is: its coming and going say nothing."""

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.ecosystem, normalised(self.ecosystem, self.name)


class Problem(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A file that says nothing because it cannot be read."""

    path: str
    why: str


class Pins(msgspec.Struct, frozen=True, kw_only=True):
    """The direct dependencies of an image at one revision."""

    pins: Mapping[Key, Pin] = msgspec.field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What moves are worth."""

    packages: Mapping[str, Rule] = msgspec.field(default_factory=dict)
    """How the versions of these packages are read. Keys are names or patterns (`jupyter*`, `apt:*`) in any case; the
    first that matches counts. `major`, `minor` and `patch` are what every move counts as; `none` ignores the package,
    also where it comes or goes."""
    added: Bump = Bump.MINOR
    removed: Bump = Bump.MAJOR


DEFAULT_RULES = Rules()


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A direct dependency that came, went or changed its version."""

    name: str
    ecosystem: str
    old: str | None
    """None where it was added; empty where it was not pinned."""
    new: str | None
    """None where it was removed; empty where it is not pinned any more."""
    bump: Bump
    why: str

    @property
    def rank(self) -> tuple[int, str, str]:
        """What to sort by: the most important first, then by name."""
        return -self.bump, self.name, self.ecosystem


def normalised(ecosystem: str, name: str) -> str:
    """The one spelling of a name. Of Python packages that is
    https://packaging.python.org/en/latest/specifications/name-normalization/; R's names are case-sensitive."""
    if ecosystem == "python":
        return _SEPARATORS.sub("-", name).lower()
    return name if ecosystem == "r" else name.lower()


def compare(old: Pins, new: Pins, rules: Rules = DEFAULT_RULES) -> tuple[Moved, ...]:
    """What moved between two revisions, the most important first, then by name.

    A file that could not be read at one of them says nothing about the other: what it and its neighbours in the same
    folder pin is left out, for a dependency that is not seen is not removed.
    """
    blind = {dirname(problem.path) for problem in (*old.problems, *new.problems)}
    pairs: list[tuple[Pin | None, Pin | None]] = []
    taken: set[Key] = set()
    for key in sorted(old.pins.keys() | new.pins.keys()):
        was, now = old.pins.get(key), new.pins.get(key)
        if now is None and (other := _elsewhere(key, new)) is not None:
            if other.key in old.pins:
                continue
            now = other
            taken.add(other.key)
        pairs.append((was, now))
    moves = [
        move
        for was, now in pairs
        if not (was is None and now is not None and now.key in taken)
        and not any(pin is not None and dirname(pin.source) in blind for pin in (was, now))
        and (move := _moved(was, now, rules)) is not None
    ]
    return tuple(sorted(moves, key=lambda move: move.rank))


def _elsewhere(key: Key, new: Pins) -> Pin | None:
    """The package of this name that pip installs where conda did, or the other way round."""
    ecosystem, name = key
    swapped = {"python": "conda", "conda": "python"}.get(ecosystem)
    if swapped is None:
        return None
    return new.pins.get((swapped, normalised("python", name)))


def _moved(was: Pin | None, now: Pin | None, rules: Rules) -> Moved | None:
    """What became of one dependency; None where nothing did."""
    pin = now or was
    if pin is None or (was is not None and now is not None and was.version == now.version):
        return None
    if (was is None or now is None) and pin.loose:
        return None
    rule = _rule(pin, rules.packages)
    if was is not None and now is not None:
        from dsci.model.pins_worth import worth

        bump, why = worth(was.version, now.version, ecosystem=pin.ecosystem, name=pin.name, rule=rule)
        why = f"{pin.name} {was.version or 'any'} → {now.version or 'any'}: {why}"
    else:
        bump, why = (rules.added, f"{pin.name} added") if was is None else (rules.removed, f"{pin.name} removed")
        if rule == "none":
            bump, why = Bump.NONE, f"{why}: a rule says that it does not count"
    return Moved(
        name=pin.name,
        ecosystem=pin.ecosystem,
        old=was.version if was else None,
        new=now.version if now else None,
        bump=bump,
        why=why,
    )


def _rule(pin: Pin, packages: Mapping[str, Rule]) -> Rule | None:
    """The first rule whose pattern matches; `_`, `-` and `.` are one here, as they are to pip."""
    name = normalised("python", pin.name)
    for pattern, rule in packages.items():
        wanted = normalised("python", pattern)
        if fnmatchcase(name, wanted) or fnmatchcase(f"{pin.ecosystem}:{name}", wanted):
            return rule
    return None
