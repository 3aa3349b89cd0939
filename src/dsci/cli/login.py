"""`dsci login`: who we are to the registries of a family, and whether that is enough for a release."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

from dsci.cli import render
from dsci.cli.asking import print_json
from dsci.cli.console import complain_of
from dsci.cli.options import as_json, registry
from dsci.cli.wiring import Session
from dsci.errors import ConfigError, DsciError
from dsci.model import caches
from dsci.model.family import Family
from dsci.model.reference import EMBEDDED, Repository
from dsci.model.text import nearest
from dsci.pipeline import rights
from dsci.pipeline.snapshot import Snapshot, snapshot

_KEPT_ELSEWHERE = (
    "dsci keeps no credentials: `docker login` (or `podman login`) does, and dsci reads them; in CI, variables such as "
    "DSCI_REGISTRY_TOKEN_GHCR_IO (docs/registries.md). Nobody was asked anything: --check does that."
)


@click.command(short_help="Show who we are to registries; --check proves what we may do.")
@click.argument("names", metavar="[REGISTRY|IMAGE]...", nargs=-1)
@registry
@as_json
@click.option("--check", is_flag=True, help="Prove that a release may read and push there, and push tags to Git.")
@click.pass_context
def login(
    context: click.Context, /, names: tuple[str, ...], registries: tuple[str, ...], json: bool, check: bool
) -> None:
    """Show where the credentials come from for each repository that images are published to. No secret is shown.

    With --check an upload is begun in each repository and taken back, and a tag is pushed to the Git remote without
    being made. It exits 0 if a release may do all it needs to, and 5 (3 for Git) with the reasons if it may not. IMAGE
    is one of the family, REGISTRY a host, a prefix or a repository.
    """
    with Session.of(context, registries=registries) as session:
        now = snapshot(session.source, session.git.head().commit)
        repositories = _chosen(names, now.family, caches.repositories(now.settings))
        who = {repository: _who(session, repository) for repository in repositories}
        known = [repository for repository in repositories if not isinstance(who[repository][2], DsciError)]
        proven = {each.repository: each for each in rights.prove(session.registry, known)} if check else {}
        rows = [_row(repository, now.family, who[repository], proven.get(repository)) for repository in repositories]
        others = list(_others(session, now)) if check else []
        problems = [row.pop("error") for row in [*rows, *others]]
        if json:
            print_json({"schema": 1, "checked": check, "repositories": rows, "others": others})
        else:
            click.echo(_table(rows, others))
        if not check:
            session.console.say(_KEPT_ELSEWHERE)
        complain_of(error for error in problems if error is not None)


def _chosen(names: Iterable[str], family: Family, more: Iterable[Repository]) -> list[Repository]:
    """The repositories that are meant: all of the family's, or those named. Raises ConfigError."""
    everything = sorted({*more, *(each for image in family.images.values() for each in image.repositories)}, key=str)
    chosen: set[Repository] = set()
    for name in names:
        if images := family.named(name):
            chosen |= {each for image in images for each in family.images[image].repositories}
        elif found := {each for each in everything if f"{each}/".startswith(f"{name.rstrip('/')}/")}:
            chosen |= found
        elif "/" in name:
            chosen.add(Repository.parse(name))
        else:
            known = sorted({*family.images, *(each.registry for each in everything)})
            raise ConfigError(
                f"{name!r} is no image of this family, and nothing is published to a registry of that name"
                f"{nearest(name, known)}",
                hint=f"known here are {', '.join(known)}; --registry says where images are to be published",
            )
    return sorted(chosen, key=str) if names else everything


def _who(session: Session, repository: Repository) -> tuple[str, str, DsciError | None]:
    """Our name there, where it was found, and what went wrong with finding it."""
    if repository.registry == EMBEDDED:
        return "", "this machine", None
    try:
        found = session.keychain.credentials(repository)
    except DsciError as error:
        return "", "", error
    return (found.username, found.source, None) if found else ("", "", None)


def _row(
    repository: Repository, family: Family, who: tuple[str, str, DsciError | None], proven: rights.Rights | None
) -> dict[str, Any]:
    user, source, error = who
    error = error or (proven.problem if proven else None)
    return {
        "repository": str(repository),
        "images": sorted(name for name, image in family.images.items() if repository in image.repositories),
        "user": user or None,
        "source": source or None,
        "pull": proven.pull if proven else None,
        "push": proven.push if proven else None,
        **_problem(error),
    }


def _others(session: Session, now: Snapshot) -> Iterator[dict[str, Any]]:
    """What a release needs beside registries."""
    remote = session.git.remote()
    if remote is not None:
        error = rights.prove_git(session.git)
        yield {"what": f"Git tags to {remote}", "may": error is None, **_problem(error)}
    if now.settings.forge != "none":
        error = _caught(lambda: session.forge(now.settings.forge))
        yield {"what": "release pages", "may": error is None, **_problem(error)}


def _caught(act: Callable[[], object]) -> DsciError | None:
    try:
        act()
    except DsciError as error:
        return error
    return None


def _problem(error: DsciError | None) -> dict[str, Any]:
    """What a row says of what went wrong; `error` itself is taken out again before it is shown."""
    hint = (error.hint or error.next_step) if error else None
    return {"problem": error.message if error else None, "hint": hint, "error": error}


def _table(rows: Iterable[dict[str, Any]], others: Iterable[dict[str, Any]]) -> str:
    shown = [("REPOSITORY", "CREDENTIALS", "PULL", "PUSH")]
    for row in rows:
        who = f"{row['user']} ({row['source']})" if row["user"] else row["source"] or "none"
        shown.append((row["repository"], who, _said(row["pull"]), _said(row["push"])))
    shown += [(row["what"], "", "", _said(row["may"])) for row in others]
    return render.table(shown)


def _said(may: bool | None) -> str:
    return "–" if may is None else "yes" if may else "no"
