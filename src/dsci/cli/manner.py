"""How work is to be done, as `release`, `build` and `test` are told on the command line."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, get_args

import click
import msgspec

from dsci.cli import measured
from dsci.cli.options import builder, builders_of
from dsci.cli.wiring import Session
from dsci.model.settings import CacheType
from dsci.pipeline.work import How

_jobs = click.option("--jobs", type=click.IntRange(1, 256), help="How many images to build or test at once.")
_fail_fast = click.option("--fail-fast", is_flag=True, help="Begin nothing any more once something has failed.")
_cache = click.option(
    "--cache",
    type=click.Choice(get_args(CacheType)),
    help="Where build steps are kept in this run, instead of what dsci.yaml says.",
)
no_speculate = click.option(
    "--no-speculate", is_flag=True, help="Build nothing on an image whose suites have not passed yet."
)


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """What the options say, those that a command does not have included."""

    jobs: int | None
    fail_fast: bool
    builders: tuple[str, ...]
    cache: CacheType | None
    keep: bool | None = None
    no_speculate: bool = False
    no_cache: bool = False

    def how(self, session: Session, *, keep: bool) -> How:
        """The same for the pipeline, with what this machine knows of its targets. Raises ConfigError."""
        known = measured.read(session.measured)
        return How(
            jobs=self.jobs,
            keep=keep,
            fail_fast=self.fail_fast,
            fresh=self.no_cache,
            speculate=not self.no_speculate,
            seconds=measured.seconds(known),
            took={target: each.took for target, each in known.items() if each.took},
            means=session.means(self.cache),
            builders=builders_of(self.builders),
        )


def manner(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that all three have; the command is handed what they and its own say as one value, `wanted`."""

    @functools.wraps(command)
    def handed(**options: Any) -> Any:
        said = {name: options.pop(name) for name in Manner.__struct_fields__ if name in options}
        return command(wanted=Manner(**said), **options)

    return _jobs(_fail_fast(builder(_cache(handed))))
