"""`dsci test --image REF --config FILE`: container-structure-test's own command, outside any repository.

It takes that program's options, comes to its verdicts, prints its shapes and ends with its exit codes: 0 when every
test passed, 1 when one failed or none ran.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from dsci.cli import runner
from dsci.cli.asking import inert
from dsci.cli.console import harmless
from dsci.cli.wiring import Session
from dsci.errors import BuilderError, ConfigError
from dsci.model import config
from dsci.model.limits import Limits
from dsci.model.location import Location
from dsci.model.oci import Platform
from dsci.model.quantities import seconds
from dsci.model.reference import Reference
from dsci.model.report import Check, Verdict
from dsci.model.settings import FamilySuiteSettings
from dsci.ports import Bounds, Engine, LocalImage
from dsci.suites import native, nativefile, structure, structurefile, structurereport
from dsci.suites.clock import Clock, Total
from dsci.suites.finding import Finding
from dsci.suites.subject import Look, Still, Subject, bounds

#: What is as in dsci.yaml, but for time, of which container-structure-test gives any amount.
_LIMITS = FamilySuiteSettings(check_timeout="10m", timeout="6h")
_NAMES = ("check_timeout", "timeout", "total_timeout", "processes", "memory", "disk")
_RAISING = "for more, say --limit {}=..."
_OPTIONS = (
    click.option("-i", "--image", metavar="REF", help="Test this image, outside any repository."),
    click.option("--image-from-oci-layout", "layout", metavar="DIR", help="Test the image of an OCI layout."),
    click.option("--default-image-tag", metavar="REF", default="",
                 help="What the image is called, if the layout does not say so."),
    click.option("--ignore-ref-annotation", is_flag=True, help="Call it so whatever the layout says."),
    click.option("-c", "--config", "configs", metavar="FILE", multiple=True,
                 help="A file of its tests, YAML or JSON. May be repeated."),
    click.option("-d", "--driver", type=click.Choice(["docker", "tar", "host"]), default="docker",
                 help="docker: through the engine; tar: from the image's layers, and nothing is run."),
    click.option("--platform", metavar="OS/ARCH", default="",
                 help="Which of its platforms; the engine's own by default."),
    click.option("--pull", is_flag=True, help="Have the engine fetch the image first."),
    click.option("-o", "--output", type=click.Choice(["text", "json", "junit"]), default="text",
                 help="The form of the result."),
    click.option("--test-report", metavar="FILE", help="Write the result there, as JSON or JUnit."),
    click.option("--junit-suite-name", metavar="NAME", default="", help="What the JUnit suite is called."),
    click.option("--allow", metavar="WHAT", multiple=True, type=click.Choice(sorted(structure.ALLOWANCES)),
                 help="Let the files' containers reach this machine so. May be repeated."),
    click.option("--limit", "limits", metavar="NAME=VALUE", multiple=True,
                 help=f"A limit as dsci.yaml has it: {', '.join(_NAMES)}. May be repeated."),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing."),
    click.option("--no-color", is_flag=True, help="Print without colors."),
)  # fmt: skip


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the options say."""

    image: str | None
    layout: str | None
    default_image_tag: str
    ignore_ref_annotation: bool
    configs: tuple[str, ...]
    driver: str
    platform: str
    pull: bool
    output: str
    test_report: str | None
    junit_suite_name: str
    allow: tuple[str, ...]
    limits: tuple[str, ...]
    quiet: bool
    no_color: bool

    @property
    def asked(self) -> bool:
        """Whether anything was said that only this command knows."""
        return bool(self.image or self.layout or self.configs)

    @property
    def form(self) -> str:
        """Into a file go no words for people."""
        return "json" if self.test_report and self.output == "text" else self.output


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options; what they say is handed on as one value, `alone`."""

    @functools.wraps(command)
    def called(*args: Any, **given: Any) -> Any:
        alone = Wanted(**{name: given.pop(name) for name in Wanted.__struct_fields__})
        return command(*args, alone=alone, **given)

    for option in reversed(_OPTIONS):
        called = option(called)
    return called


def run(context: click.Context, wanted: Wanted, *, json: bool) -> None:
    """Run the files, print what came of them, and exit. Raises UsageError, ConfigError and BuilderError."""
    if json:
        wanted = msgspec.structs.replace(wanted, output="json")
    _check(wanted)
    settings = _settings(wanted)
    limits, total = Limits.of(settings), Total(seconds(settings.total_timeout))
    findings: list[Finding] = []
    out = _Out(wanted)
    with Session.of(context) as session, ExitStack() as closing:
        subject = _subject(session, wanted, closing, Clock(limits, total), bounds(limits, _RAISING))
        for path in wanted.configs:
            out.begin(path)
            with total.running():
                for finding in _findings(replace(subject, clock=Clock(limits, total)), path):
                    findings.append(finding)
                    out.add(finding)
    out.end(findings)
    if all(finding.skipped for finding in findings) or any(finding.problems for finding in findings):
        sys.exit(1)


def _settings(wanted: Wanted) -> FamilySuiteSettings:
    """The limits that hold. Raises UsageError for what is none."""
    given = dict(pair.partition("=")[::2] for pair in wanted.limits)
    if unknown := sorted(given.keys() - set(_NAMES)):
        raise click.UsageError(f"--limit: there is no {unknown[0]!r}: there are {', '.join(_NAMES)}.")
    try:
        settings = msgspec.convert({**msgspec.structs.asdict(_LIMITS), **given}, FamilySuiteSettings, strict=False)
        config.check_limits(settings, Location("--limit", {}), ())
    except msgspec.ValidationError as error:
        raise click.UsageError(f"--limit: {error}") from None
    except ConfigError as error:
        raise click.UsageError(f"{error.message}: {error.hint}") from None
    return settings


def _subject(session: Session, wanted: Wanted, closing: ExitStack, clock: Clock, bounds: Bounds) -> Subject:
    """What is tested: an image of the engine, or one whose layers are looked at."""
    engine: Engine | None
    image: LocalImage
    look: Look
    if wanted.driver == "tar":
        from dsci.cli import layers

        platform = Platform.parse(wanted.platform or f"linux/{os.uname().machine}")
        engine, image = None, wanted.image or ""
        look = layers.of_layout(wanted.layout) if wanted.layout else layers.of_image(session, str(image), platform)
    else:
        session.engine.sweep()
        engine, image = session.engine, _image(session.engine, wanted)
        platform = Platform.parse(wanted.platform) if wanted.platform else engine.platform()
        look = closing.enter_context(Still(engine, image, platform))
    return Subject(
        engine=engine,
        image=image,
        platform=platform,
        still=look,
        clock=clock,
        bounds=bounds,
        read=lambda path: Path(path).read_bytes(),
        executable=lambda path: os.access(path, os.X_OK),
        allow=frozenset(wanted.allow),
        allowing="allow it where you trust the file: --allow {}",
        host=os.environ,
    )


def _check(wanted: Wanted) -> None:
    if not wanted.configs:
        raise click.UsageError("name at least one file of tests with --config.")
    if not (wanted.image or wanted.layout):
        raise click.UsageError("name the image with --image, or an OCI layout with --image-from-oci-layout.")
    if wanted.image and wanted.layout:
        raise click.UsageError("--image and --image-from-oci-layout exclude each other.")
    if wanted.layout and wanted.pull:
        raise click.UsageError("--image-from-oci-layout and --pull exclude each other.")
    if wanted.driver == "host":
        raise click.UsageError("dsci runs no tests on the machine itself: the drivers are docker and tar.")
    if wanted.driver == "tar" and wanted.pull:
        raise click.UsageError("--pull is for the engine: --driver tar takes what it has not from the registry.")


def _image(engine: Engine, wanted: Wanted) -> LocalImage:
    """The image to test, in the engine. Raises BuilderError where it is not to be had."""
    if wanted.layout:
        from dsci.drivers.handed import layout

        source, named = layout(Path(wanted.layout))
        called = named if named and not wanted.ignore_ref_annotation else wanted.default_image_tag
        if not called:
            raise ConfigError(
                f"{wanted.layout} does not say what its image is called", hint="say it: --default-image-tag"
            )
        name = Reference.parse(called)
        engine.load(source, name)
        return name
    assert wanted.image is not None
    if wanted.pull:
        engine.pull(Reference.parse(wanted.image), Platform.parse(wanted.platform) if wanted.platform else None)
    if engine.image_id(wanted.image) is None:
        raise BuilderError(
            f"the engine has no image {wanted.image}", hint="build it, or let the engine fetch it: --pull"
        )
    return wanted.image


def _findings(subject: Subject, path: str) -> Iterator[Finding]:
    """What came of a file; one that cannot be read is one failure without a name, and the others go on."""
    try:
        text = text_of(path)
        if nativefile.is_native(text):
            yield from map(_as_finding, native.run(subject, nativefile.parse(text, file=path), path=path))
            return
        tests, _ = structurefile.read(text, file=path)
        yield from structure.findings(subject, tests, exact=True)
    except ConfigError as error:
        yield Finding(name="", problems=(f"error parsing config file: {error.message}",))


def _as_finding(check: Check) -> Finding:
    """A check of a suite of dsci's own; container-structure-test's documents know nothing that is skipped."""
    match check.verdict:
        case Verdict.SKIPPED:
            return Finding(name=f"{check.name} (skipped: {check.detail})", skipped=True)
        case Verdict.FAILED:
            return Finding(name=check.name, problems=tuple(check.detail.splitlines()), seconds=check.seconds)
        case _:
            return Finding(name=check.name, seconds=check.seconds)


def text_of(path: str) -> str:
    """A file of tests. Raises ConfigError for one that cannot be read, or is neither YAML nor JSON by its name."""
    if not path.endswith((".yaml", ".yml", ".json")):
        raise ConfigError(f"{path}: neither YAML nor JSON by its name")
    try:
        return Path(path).read_bytes().decode(errors="replace")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


#: The first sign of what the runner would obey in a document of XML: `::` after blanks, or `##[` anywhere.
_COMMAND = re.compile(r"(?:(?<=\n)|\A)(?P<blanks>[^\S\n]*)(?P<sign>:)(?=:)|(?P<hash>#)(?=#\[)")


class _Out:
    """Where the result goes."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._text = wanted.form == "text" and not wanted.quiet
        self._color = self._text and not wanted.no_color and sys.stdout.isatty()
        self._file = None
        if wanted.test_report:
            try:
                self._file = Path(wanted.test_report).open("w", encoding="utf-8")  # noqa: SIM115  (closed by `end`)
            except OSError as error:
                raise ConfigError(
                    f"{wanted.test_report} cannot be written: {error.strerror}", hint="name another file"
                ) from None

    def begin(self, path: str) -> None:
        if self._text:
            self._echo(structurereport.banner(Path(path).name, color=self._color))

    def add(self, finding: Finding) -> None:
        if self._text:
            self._echo(structurereport.to_text(finding, color=self._color))

    def end(self, findings: list[Finding]) -> None:
        match self._wanted.form:
            case "json":
                text = structurereport.to_json(findings)
            case "junit":
                text = structurereport.to_junit(findings, self._wanted.junit_suite_name)
            case _:
                text = structurereport.closing(findings, color=self._color)
        if self._file is not None:
            with self._file as file:
                file.write("" if self._wanted.quiet else text)
        elif not self._wanted.quiet:
            self._echo(text)

    def _echo(self, text: str) -> None:
        """Print; where GitHub's runner reads it, without what it would obey, which in JSON and XML says the same."""
        if runner.listens():
            match self._wanted.form:
                case "json":
                    text = inert(text.encode())
                case "junit":
                    text = _COMMAND.sub(lambda at: "&#35;" if at["hash"] else f"{at['blanks']}&#58;", text)
                case _:
                    text = harmless(text)
        click.echo(text, nl=False)
