"""What `build` and `test` do with a share of a plan that was made elsewhere (`--only`, `--plan`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from dsci.cli.wiring import Session
from dsci.errors import ConfigError, DsciError
from dsci.model.family import TargetId
from dsci.model.plan import Plan
from dsci.model.report import Report
from dsci.pipeline import observe as observing
from dsci.pipeline import work as working
from dsci.pipeline.share import prove_rights, share
from dsci.pipeline.work import How

#: A plan of ten thousand targets is a fifth of this.
_LIMIT = 64 << 20

plan_file = click.option(
    "--plan",
    "plan_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A plan as `dsci plan --json` printed it at this commit.",
)
_only = click.option(
    "--only",
    metavar="ID",
    multiple=True,
    help="With --plan: this target of it (image@os/arch), and nothing that it stands on. May be repeated.",
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name a share of a plan."""
    return _only(plan_file(command))


def read_plan(path: Path) -> Plan:
    """The plan in a file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT + 1)
    except OSError as error:
        raise ConfigError(
            f"{path} could not be read: {error.strerror}", hint="make it with `dsci plan --json > plan.json`"
        ) from None
    if len(content) > _LIMIT:
        raise ConfigError(f"{path} is no plan: it is larger than {_LIMIT >> 20} MiB", hint="name the plan's own file")
    return Plan.read(content, name=str(path))


def asked(names: Iterable[str], only: Sequence[str], path: Path | None, *, force: bool) -> bool:
    """Whether a share of a plan is asked for. Raises UsageError for options that do not go together."""
    if not only and path is None:
        return False
    if not only or path is None:
        raise click.UsageError("--only and --plan go together: some targets of a plan.")
    if any(names):
        raise click.UsageError("IMAGE and --only exclude each other.")
    if force:
        raise click.UsageError("--force and --plan exclude each other: what is there under its key is used.")
    return True


def work(
    session: Session, only: Sequence[str], path: Path, *, how: How, tests: bool, rerun: bool
) -> tuple[Report, Sequence[DsciError]]:
    """Do these targets of a plan: build them, push them under their keys, and with `tests` run their suites."""
    began = time.monotonic()
    if session.event.foreign:
        raise ConfigError(
            "a share of a plan is handed on by pushing it, and a request from another repository pushes nothing",
            hint="build and test it on one machine: dsci test",
        )
    plan = read_plan(path)
    chosen = [TargetId.parse(word) for text in only for word in text.split()]
    now, facts, left = share(session.world, session.request(rerun=rerun), plan, chosen, tests=tests)
    if touched := observing.uncommitted(session.git, now):
        session.console.warn(f"uncommitted changes in {', '.join(touched)} are not part of this plan")
    if left.has_work:
        session.announce(left)
    shop = working.prepare(session.world, session.hands, now, facts, left, how=how, tests=tests)
    if left.has_work:
        prove_rights(session.registry, left)
    bring = frozenset(target.image for target in chosen) if how.keep else frozenset()
    done = working.work_on(session.world, session.hands, shop, facts, left, how=how, tests=tests, bring=bring)
    report = Report(
        plan=left,
        outcomes=tuple(done.outcomes),
        suites=tuple(done.suites),
        seconds=round(time.monotonic() - began, 3),
    )
    return report, done.errors
