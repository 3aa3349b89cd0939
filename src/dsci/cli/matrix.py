"""`dsci matrix`: a plan's work as jobs of a CI system. Nothing is changed; the result alone is on stdout."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import click

from dsci.ci import waves as jobs_of
from dsci.ci.outputfile import github_output
from dsci.cli import runner
from dsci.cli.asking import observe, offline, print_json
from dsci.cli.options import event, images, registry
from dsci.cli.share import plan_file, read_plan
from dsci.cli.wiring import Session
from dsci.model.matrix import Waves, waves_of
from dsci.model.plan import Plan
from dsci.model.reference import EMBEDDED


@click.command(short_help="Spread a plan over machines, as jobs of a CI system.")
@images
@plan_file
@click.option(
    "--format", "form", type=click.Choice(("github", "gitlab", "json")), default="json", help="Who is to read it."
)
@click.option(
    "--max-waves",
    metavar="N",
    type=click.IntRange(1, 100),
    help=f"Fold what is deeper into one job per lineage; {jobs_of.GITHUB_WAVES} for github, no limit for the others.",
)
@click.option(
    "--output",
    is_flag=True,
    help="With github: write the outputs to the file that GITHUB_OUTPUT names too, and the plan to the job's summary.",
)
@click.option(
    "--plan-job",
    metavar="NAME",
    envvar="CI_JOB_NAME",
    default="plan",
    help="With gitlab: the job that keeps the plan as an artifact; this job (CI_JOB_NAME) by default.",
)
@registry
@offline
@event
@click.pass_context
def matrix(
    context: click.Context,
    /,
    names: tuple[str, ...],
    plan_file: Path | None,
    form: str,
    max_waves: int | None,
    output: bool,
    plan_job: str,
    registries: tuple[str, ...],
    offline: bool,
    **about: Any,
) -> None:
    """Print what is to be built and tested as waves of jobs, each of which any machine can do.

    Every job is `dsci test --only ID --plan FILE`, which builds what is not built yet. Without --plan the plan is
    made here, as `dsci plan` makes it.
    """
    if plan_file is not None and names:
        raise click.UsageError("IMAGE and --plan exclude each other: the plan says which.")
    if output and form != "github":
        raise click.UsageError("--output is for --format github.")
    with Session.of(context, registries=registries, offline=offline, alone=offline, lenient=True, **about) as session:
        plan = read_plan(plan_file) if plan_file else _plan(session, names)
        most = max_waves or (jobs_of.GITHUB_WAVES if form == "github" else None)
        waves = waves_of(plan, most_waves=most, most_needs=jobs_of.GITLAB_NEEDS if form == "gitlab" else None)
        if alone := _at_home(plan, waves):
            session.console.warn(
                f"{alone} is in no registry (registries: in dsci.yaml, or --registry): other machines cannot see it"
            )
        if form == "gitlab":
            click.echo(
                jobs_of.gitlab(waves, plan=str(plan_file or "plan.json"), job=plan_job, registries=registries), nl=False
            )
            return
        if form == "json":
            print_json(waves)
            return
        outputs = jobs_of.github(waves, most or 0)
        print_json(outputs)
        if output:
            if runner.listens():
                runner.plan(session, plan)
            runner.append("GITHUB_OUTPUT", github_output(outputs, lambda: secrets.token_hex(16)))


def _plan(session: Session, names: tuple[str, ...]) -> Plan:
    _, _, plan = observe(session, names)
    for text in plan.warnings:
        session.console.warn(text)
    return plan


def _at_home(plan: Plan, waves: Waves) -> str:
    """The first image with work that no other machine could take part in; "" where there is none."""
    work = {target for wave in waves for job in wave for target in job.only}
    alone = (item.image for item in plan.targets if item.id in work and item.repository.startswith(f"{EMBEDDED}/"))
    return next(alone, "")
