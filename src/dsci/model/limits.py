"""What the suites of an image may take (time, processes, memory, disk), and what is said of what took more.

What they take, and how it is ended, is not known here.
"""

from __future__ import annotations

import msgspec

from dsci.model.quantities import seconds, size
from dsci.model.room import human
from dsci.model.settings import FamilySuiteSettings, SuiteSettings


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a suite. What may be 0 has none then."""

    check: float
    """Seconds that one check may take."""
    suite: float
    """Seconds that all checks of the suite may take."""
    processes: int
    """How many processes and threads may run in one container."""
    memory: int
    """Bytes of memory that one container may take."""
    disk: int
    """Bytes that one container may write beside its image, volumes included."""

    @classmethod
    def of(cls, family: FamilySuiteSettings, own: SuiteSettings | None = None) -> Limits:
        """The limits that an image's own settings say and, where they say nothing, those of the family."""

        def said(name: str) -> str:
            mine = getattr(own, name, None)
            return str(getattr(family, name) if mine is None else mine)

        return cls(
            check=seconds(said("check_timeout")),
            suite=seconds(said("timeout")),
            processes=int(said("processes")),
            memory=size(said("memory")),
            disk=size(said("disk")),
        )


#: Those of an image of which nothing is said.
DEFAULT = Limits.of(FamilySuiteSettings())


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """The time that is left of a budget."""

    seconds: float
    """0 where it is over."""
    budget: str = ""
    """Whose it is, and how much: `the suite's 10m`; "" for a time that is no setting."""
    setting: str = ""
    """The setting that gives more."""

    def late(self, raising: str) -> str:
        """What is said of what was killed because it was over. `raising` is how a limit is raised, with `{}` for it."""
        return f"still running when {self.budget} were over, so it was killed: {raising.format(self.setting)}"

    def waited(self, raising: str) -> str:
        """What is said of what was waited for in vain until then."""
        return f"still so when {self.budget} were over: {raising.format(self.setting)}"

    def unbegun(self, raising: str) -> str:
        """What is said of what was not even begun for that reason."""
        return f"it did not run, since {self.budget} were over: {raising.format(self.setting)}"


def overdue(timeout: float) -> str:
    """What is said of what was killed after a time of its own, in seconds."""
    return f"still running after {timeout:g} s, so it was killed"


def out_of_memory(allowed: int, raising: str) -> str:
    """What is said where something was killed for want of memory; 0 is all that the machine has."""
    if not allowed:
        return "the machine's memory was not enough, so something in it was killed"
    return f"more than {human(allowed)} of memory was wanted, so something in it was killed: {raising.format('memory')}"


def too_much_disk(allowed: int, raising: str) -> str:
    """What is said of what was killed for what it wrote, in bytes."""
    return f"it wrote more than {human(allowed)} beside its image, so it was killed: {raising.format('disk')}"


def too_many_processes(allowed: int, raising: str) -> str:
    """What is said of what was killed because it could start nothing more."""
    return f"it ran all the {allowed} processes that it may, so it was killed: {raising.format('processes')}"
