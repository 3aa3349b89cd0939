"""`dsci shell`: a person in an image as its tests see it, or a check that failed, run again."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from msgspec.structs import replace

from dsci.cli import failures, local
from dsci.cli.local import Local
from dsci.cli.manner import Manner, manner
from dsci.cli.options import registry
from dsci.cli.wiring import Session
from dsci.drivers import engineterminal
from dsci.errors import BuilderError, ConfigError, DsciError
from dsci.model import limits
from dsci.model.family import Suite, TargetId
from dsci.model.members import check_names
from dsci.model.oci import OCI_MANIFEST, Descriptor, Digest, Platform
from dsci.model.report import Status
from dsci.pipeline import test as testing
from dsci.pipeline import work as working
from dsci.ports import NOTHING_SPECIAL, LocalImage
from dsci.suites import replay as replaying
from dsci.suites import run as suite_runner
from dsci.suites.clock import Clock
from dsci.suites.inside import MOUNT, SUITE
from dsci.suites.subject import Look, Still, Subject

if TYPE_CHECKING:
    from dsci.model.bundle import Bundle
    from dsci.pipeline.workshop import Workshop

#: Longer than anybody sits at a failure, in seconds.
_LONG = 30 * 86400.0
_SHELLS = ("/bin/bash", "/bin/sh")
_AGAIN = "run its suites again: dsci test {}"


class _Opened(msgspec.Struct, frozen=True, kw_only=True):
    """An image that is in the engine, and how the family sees it."""

    shop: Workshop
    target: TargetId
    image: LocalImage
    digest: str


@click.command(short_help="Open a shell in an image, or run a check that failed again.")
@click.argument("words", metavar="[IMAGE] [-- COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@registry
@manner
@click.option("--platform", metavar="OS/ARCH", help="Which of its platforms; the engine's own by default.")
@click.option("--suite", "named", metavar="NAME", help="Whose files are in it; those of its own suite by default.")
@click.option(
    "--replay",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Run the check again that failed there: `failures/…` of a report. IMAGE is the one that it failed in.",
)
@click.pass_context
def shell(
    context: click.Context,
    /,
    words: tuple[str, ...],
    registries: tuple[str, ...],
    wanted: Manner,
    platform: str | None,
    named: str | None,
    folder: Path | None,
) -> None:
    """Open a shell in the very IMAGE that stands for this commit, built first if need be, or run COMMAND in it.

    The files of its suite are where tests see them. The entrypoint is left out, as for commands of suites.

    With --replay a check that failed is run again in a container made as its was: the same image, command, user,
    variables and files. With a COMMAND that one runs there in its place.
    """
    if folder is None and not words:
        raise click.UsageError("name an IMAGE, or a check that failed with --replay.")
    if folder is not None and (platform or named):
        raise click.UsageError("--replay knows the platform and the suite.")
    with Session.of(context, registries=registries, lenient=True) as session, ExitStack() as closing:
        session.engine.sweep()
        if folder is not None:
            bundle = failures.read(folder)
            code = _replay(session, closing, wanted, bundle, words)
        else:
            code = _open(session, closing, wanted, words[0], words[1:], platform, named)
    sys.exit(code)


# ---------------------------------------------------------------------------------------------------- what is run


def _open(
    session: Session,
    closing: ExitStack,
    wanted: Manner,
    name: str,
    command: Sequence[str],
    platform: str | None,
    named: str | None,
) -> int:
    """A shell, or a command, in an image with its suite's files."""
    looked = local.look(session, (name,))
    target = _target(session, looked, name, platform)
    opened = _image(session, closing, wanted, looked, target, digest=None)
    still = closing.enter_context(Still(session.engine, opened.image, target.platform))
    suite, volume = _suite(session, opened, still, named)
    if volume is not None:
        session.console.say(f"{SUITE} has the files of {suite}")
    with session.engine.container(
        opened.image,
        platform=target.platform,
        entrypoint=[""],
        command=command or [_shell(still, name)],
        volume=(MOUNT, volume) if volume is not None else None,
        special=replace(NOTHING_SPECIAL, stdin=True, terminal=_at_terminal()),
    ) as container:
        session.voice.unheard()
        return engineterminal.attach(container.id, os.environ, reads=True)


def _replay(session: Session, closing: ExitStack, wanted: Manner, bundle: Bundle, command: Sequence[str]) -> int:
    """A check that failed, or another command in its place."""
    launch = bundle.launch
    if launch is None:
        raise ConfigError(
            "the bundle does not say how its container was made", hint=_AGAIN.format(bundle.target.partition("@")[0])
        )
    target = TargetId.parse(bundle.target)
    looked = local.look(session, (target.image,))
    opened = _image(session, closing, wanted, looked, target, digest=Digest.parse(bundle.image))
    still = closing.enter_context(Still(session.engine, opened.image, target.platform))
    suite = _named(opened, bundle.suite)
    # What a container may take is part of what it is; a person takes their time.
    subject = replace(_subject(opened, suite, still), clock=Clock(replace(limits.DEFAULT, check=_LONG, suite=_LONG)))
    again = replaying.read(launch, subject)
    volume = suite_runner.volume(suite, subject) if launch.volume else None
    terminal = bool(command) and _at_terminal()
    if launch.steps or launch.beside:
        argv = command or launch.beside or launch.command or ()
        with replaying.going_on(again, subject, volume) as there:
            session.voice.unheard()
            return engineterminal.execute(
                there.id,
                argv,
                again.environment,
                os.environ,
                user=launch.user,
                reads=bool(command),
                terminal=terminal,
            )
    special = again.special
    if command:
        launch = replace(launch, entrypoint=("",), command=tuple(command))
        special = replace(special, stdin=True, terminal=terminal)
    with subject.container(
        entrypoint=launch.entrypoint,
        command=launch.command,
        environment={**again.around, **again.environment},
        volume=(MOUNT, volume) if volume is not None else None,
        special=special,
    ) as container:
        session.voice.unheard()
        return engineterminal.attach(container.id, os.environ, reads=special.stdin)


def _at_terminal() -> bool:
    """Whether a person is there: what is typed, and what is shown, is a terminal's."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _shell(still: Still, name: str) -> str:
    found = next((path for path in _SHELLS if still.files().stat(path) is not None), None)
    if found is None:
        raise ConfigError(f"{name} has neither {' nor '.join(_SHELLS)}", hint=f"dsci shell {name} -- COMMAND")
    return found


# -------------------------------------------------------------------------------------------------- where it is run


def _target(session: Session, looked: Local, name: str, platform: str | None) -> TargetId:
    """The one target that an image's name and a platform mean. Raises ConfigError."""
    family = looked.now.family
    chosen = check_names((name,), family)
    # Of several variants the default one has the tags without a suffix.
    image = min(chosen, key=lambda each: (bool(family.images[each].suffix), each))
    own = Platform.parse(platform) if platform else session.engine.platform()
    targets = {target.platform: target for target in family.images[image].targets}
    if own in targets:
        return targets[own]
    if len(targets) == 1 and not platform:
        return next(iter(targets.values()))
    raise ConfigError(f"{name} is not for {own}", hint=f"its platforms are {', '.join(map(str, sorted(targets)))}")


def _image(
    session: Session, closing: ExitStack, wanted: Manner, looked: Local, target: TargetId, *, digest: Digest | None
) -> _Opened:
    """Have a target's image in the engine: the one of this digest, else what stands for the work tree.

    Raises DsciError where it cannot be built.
    """
    if target not in looked.now.family.nodes:
        raise ConfigError(f"there is no {target} here", hint="go to the commit at which it was tested")
    shop = working.workshop(session.world, session.hands, looked.now, looked.facts)
    item = looked.plan.target(target)
    found = digest or (Digest.parse(item.digest) if item.action != "build" and item.digest else None)
    if found is not None and session.engine.image_id(str(found)) == str(found):
        return _Opened(shop=shop, target=target, image=str(found), digest=str(found))
    repository = looked.now.family.images[target.image].repository
    held = session.registry.resolve(repository.at(found)) if found is not None else None
    if held is not None and found is not None:
        media_type = held.media_type or OCI_MANIFEST
        image = Descriptor(media_type=media_type, digest=found, size=held.size, platform=target.platform)
        name = shop.local_name(target)
        closing.callback(session.engine.discard, name)
        testing.ensure_local(shop, target, image)
        return _Opened(shop=shop, target=target, image=name, digest=str(found))
    return _built(session, wanted, local.narrowed(looked, target), shop, target, digest)


def _built(
    session: Session, wanted: Manner, looked: Local, shop: Workshop, target: TargetId, digest: Digest | None
) -> _Opened:
    """Build a target, as `dsci build` does."""
    report, errors = local.work(session, looked, wanted, tests=False)
    bad = next((outcome for outcome in report.outcomes if outcome.status is not Status.OK), None)
    if errors:
        raise errors[0]
    if bad is not None:
        raise BuilderError(f"{bad.subject}: {bad.stage} {bad.status}", hint="mend it, and run the same command again")
    made = next((outcome.digest for outcome in report.outcomes if outcome.subject == str(target)), None) or ""
    if digest is not None and made != str(digest):
        session.console.warn(f"{target} as it was tested ({digest.short}) is gone: this is what stands for it now")
    return _Opened(shop=shop, target=target, image=shop.kept_name(target), digest=made)


def _suite(session: Session, opened: _Opened, still: Look, named: str | None) -> tuple[str, bytes | None]:
    """The suite whose files are to be in the image, and these as a tar: the named one, or the last that has any."""
    suites = opened.shop.now.family.suites(opened.target)
    chosen = [_named(opened, named)] if named else list(reversed(suites))
    for suite in chosen:
        if (volume := suite_runner.volume(suite, _subject(opened, suite, still))) is not None:
            others = sorted(other.name for other in suites if other is not suite)
            if others and not named:
                session.console.say(f"its other suites, for --suite: {', '.join(others)}")
            return suite.name, volume
    if named:
        raise DsciError(f"the tests of {named} see no files in the image", hint="name a suite that runs inside it")
    return "", None


def _named(opened: _Opened, name: str) -> Suite:
    """A suite of the image by its name. Raises ConfigError."""
    suites = opened.shop.now.family.suites(opened.target)
    found = next((suite for suite in suites if suite.name == name), None)
    if found is None:
        known = ", ".join(suite.name for suite in suites) or "none"
        raise ConfigError(f"{opened.target} has no suite {name!r}", hint=f"its suites are {known}")
    return found


def _subject(opened: _Opened, suite: Suite, still: Look) -> Subject:
    return testing.subject_of(opened.shop, suite, opened.target.platform, opened.image, still, digest=opened.digest)
