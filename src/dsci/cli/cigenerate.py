"""`dsci ci generate`: a family as a static graph of jobs, written into the repository and held to it by --check."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from msgspec.structs import replace

from dsci.cisetup import github, gitlab, written
from dsci.cisetup.graph import TargetJob, jobs
from dsci.cli import cifiles
from dsci.cli.options import registry
from dsci.cli.wiring import Session
from dsci.errors import DsciError
from dsci.model.oci import Platform
from dsci.pipeline.snapshot import snapshot

#: Where the file is, from the root of the repository, if nobody says otherwise.
PLACES = {"gitlab": ".gitlab/dsci-jobs.yml", "github": ".github/workflows/dsci-jobs.yml"}

#: What runners are, where dsci.yaml does not say what images are for.
PLATFORM = "linux/amd64"


@click.command(short_help="Write the family as a static graph of CI jobs.")
@click.argument("system", type=click.Choice(sorted(PLACES)))
@click.option(
    "--check", is_flag=True, help="Write nothing; exit 1 and show what differs if the file is not up to date."
)
@click.option("--output", metavar="FILE", help="The file; - is stdout.")
@click.option("--force", is_flag=True, help="Write over a file that was changed, or that dsci did not write.")
@click.option("--job-prefix", metavar="NAME", default="dsci", help="What the names of jobs begin with (gitlab).")
@click.option(
    "--platform",
    metavar="OS/ARCH",
    default=PLATFORM,
    help=f"What images are for that dsci.yaml gives no platforms: that of the runners ({PLATFORM} by default).",
)
@click.option("--uses", metavar="OWNER/REPO@SHA", default="", help="Where dsci's actions are (github).")
@registry
@click.pass_context
def generate(
    context: click.Context,
    /,
    system: str,
    check: bool,
    output: str | None,
    force: bool,
    job_prefix: str,
    platform: str,
    uses: str,
    registries: tuple[str, ...],
) -> None:
    """Write the family as jobs of a CI system: one for each target, with real `needs`.

    The family is read as the work tree has it. Equal families give equal bytes, on any machine; what has to be done is
    for the plan of each run to say. A file that somebody changed is not written over.
    """
    if check and force:
        raise click.UsageError("--check and --force exclude each other.")
    if uses and system != "github":
        raise click.UsageError("--uses is for github: GitLab's file names no address.")
    words = ["dsci", "ci", "generate", system]
    words += ["--job-prefix", job_prefix] if job_prefix != "dsci" else []
    words += ["--platform", platform] if platform != PLATFORM else []
    words += ["--uses", uses] if uses else []
    words += [word for each in registries for word in ("--registry", each)]
    words += ["--output", output] if output not in (None, "-") else []
    command = shlex.join(words)
    with Session.of(context, registries=registries) as session:
        found = _jobs(session, job_prefix, platform)
        path = Path(output) if output else Path(session.git.head().root, PLACES[system])
        name = output or PLACES[system]
        if system == "gitlab":
            body = gitlab.document(found, job_prefix)
        else:
            body = github.document(found, uses, path=PLACES[system] if output in (None, "-") else output)
        text = written.signed(command, body)
        if output == "-":
            click.echo(text, nl=False)
        elif check:
            there = cifiles.read(path)
            if written.state(there, text) is not written.State.CURRENT:
                click.echo(written.difference(name, there, text), nl=False)
                raise DsciError(
                    f"{name} is not what the family makes of it", hint=f"run `{command}` and commit the file"
                )
            click.echo(f"{name} is up to date")
        else:
            click.echo(cifiles.write(path, name, text, force=force))


def _jobs(session: Session, prefix: str, platform: str) -> tuple[TargetJob, ...]:
    source = replace(session.source, platform=Platform.parse(platform))
    now = snapshot(source, session.git.head().commit, overlay=session.git.dirty())
    for warning in now.family.warnings:
        session.console.warn(warning)
    return jobs(now.family, prefix)
