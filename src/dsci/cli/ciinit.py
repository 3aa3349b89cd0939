"""`dsci ci init`: a working setup for a CI system in a user's repository, and what is left for a person to set."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from msgspec.structs import replace

from dsci.cisetup import gitlab, starters, written
from dsci.cisetup.graph import jobs
from dsci.cisetup.starters import Wanted
from dsci.cisetup.written import State
from dsci.cli import cifiles
from dsci.cli.cigenerate import PLACES, PLATFORM
from dsci.cli.options import registry
from dsci.cli.wiring import Session
from dsci.drivers import forge
from dsci.model.oci import Platform
from dsci.pipeline.snapshot import Snapshot, snapshot

_ENTRY = ".gitlab-ci.yml"
_INCLUDED = ".gitlab/dsci.yml"


@click.command(short_help="Write a working CI setup into this repository.")
@click.argument("system", type=click.Choice(("github", "gitlab")))
@click.option(
    "--uses",
    metavar="ADDRESS",
    default="",
    help="Where dsci's workflows are (OWNER/REPO@SHA), or its templates for GitLab (HOST/GROUP/PROJECT@VERSION, "
    "./FOLDER).",
)
@click.option("--image", metavar="IMAGE", default="", help="What jobs run in (gitlab).")
@click.option("--force", is_flag=True, help="Write over files that were changed, or that dsci did not write.")
@registry
@click.pass_context
def init(
    context: click.Context, /, system: str, uses: str, image: str, force: bool, registries: tuple[str, ...]
) -> None:
    """Write files that let a CI system plan, build, test and release this repository's images.

    It says what is left to set, and what it found wrong. Run again it changes nothing; a file that somebody changed is
    not written over, and then none is.
    """
    if len(registries) > 1:
        raise click.UsageError("one --registry: name several in dsci.yaml.")
    if image and system != "gitlab":
        raise click.UsageError("--image is for gitlab: a workflow installs dsci itself.")
    with Session.of(context, registries=registries) as session:
        source = replace(session.source, platform=Platform.parse(PLATFORM))
        now = snapshot(source, session.git.head().commit, overlay=session.git.dirty())
        place = registries[0] if registries else ""
        if not place and not now.settings.registries:
            place = _own_registry(session, system)
        wanted = Wanted(uses=uses, registry=place, branch=session.event.default_branch or "main", image=image)
        if system == "github":
            bodies, things = starters.github(wanted), starters.to_set_on_github(place)
        else:
            bodies, things = starters.gitlab(wanted, PLACES["gitlab"]), starters.to_set_on_gitlab(place)
        said = {"--uses": uses, "--image": image, "--registry": registries[0] if registries else ""}
        words = [word for option, value in said.items() if value for word in (option, value)]
        command = shlex.join(["dsci", "ci", "init", system, *words])
        files = {name: written.signed(command, body) for name, body in bodies.items()}
        if system == "gitlab":
            more = ["--registry", registries[0]] if registries else []
            generate = shlex.join(["dsci", "ci", "generate", "gitlab", *more])
            files[PLACES["gitlab"]] = written.signed(generate, gitlab.document(jobs(now.family, "dsci"), "dsci"))
        _write(session, files, command, force=force, entry=system == "gitlab")
        for warning in _doubts(session, now, system, place):
            session.console.warn(warning)
        click.echo("left to set:\n" + "\n".join(f"  - {thing}" for thing in things))


def _own_registry(session: Session, system: str) -> str:
    """The forge's own registry, where images go that nobody gave another."""
    if system == "gitlab":
        return "$CI_REGISTRY_IMAGE"
    where = forge.where(session.git.head().origin, {}, system)
    # Who is called so on another server is somebody else there.
    ours = where is not None and where.api == "https://api.github.com"
    return f"ghcr.io/{where.project.split('/')[0].lower()}" if where is not None and ours else ""


def _write(session: Session, files: dict[str, str], command: str, *, force: bool, entry: bool) -> None:
    """Write all of them or, where one is somebody else's, none. Raises ConflictError."""
    root = Path(session.git.head().root)
    if entry:
        text = written.signed(command, starters.GITLAB_ENTRY)
        there = cifiles.read(root / _ENTRY)
        if there is None or written.state(there, text) in (State.CURRENT, State.OUTDATED):
            files[_ENTRY] = text
        elif _INCLUDED not in there:
            session.console.warn(f"{_ENTRY} is yours: add `- local: /{_INCLUDED}` to its include:")
    if not force:
        for name, text in files.items():
            written.check(name, written.state(cifiles.read(root / name), text))
    for name, text in files.items():
        click.echo(cifiles.write(root / name, name, text, force=force))


def _doubts(session: Session, now: Snapshot, system: str, place: str) -> list[str]:
    """What can be seen from here that will not work."""
    found: list[str] = []
    origin = session.git.head().origin
    if origin is None:
        found.append("this clone has no remote: releases are claimed by pushing tags to one")
    elif forge.where(origin, {}, system) is None:
        found.append(f"the remote does not look like {system}'s")
    if system == "github" and not session.event.default_branch:
        found.append(
            "which branch is the default one is not known here, so dsci.yml has `main`: "
            "`git remote set-head origin --auto`, and this command again"
        )
    if not place and not now.settings.registries:
        found.append(
            "no registry is known, and machines share images there: give --registry, or registries: in dsci.yaml"
        )
    return found
