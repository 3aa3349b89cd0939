"""Service suites: what a compose file describes is brought up, tested, and taken down with its volumes.

The image under test is named `${DSCI_IMAGE}` in it, and has to be one of its services. What would reach this machine is
found before anything is started, and refused unless it is allowed. That all services come up, healthy where they have a
health check, is the first check. YAML files with checks beside it (`nativefile`) look at one service each time, through
the engine; test modules are run on this machine (`host`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from dsci.errors import ConfigError
from dsci.model import composefile, suitefiles
from dsci.model.composefile import IMAGE, Reach, Source
from dsci.model.family import Suite
from dsci.model.report import Check, Verdict
from dsci.model.text import clean
from dsci.ports import REACHES, Composed, HostFile, Services
from dsci.suites import host, nativefile, nativeform
from dsci.suites.nativelooks import named
from dsci.suites.started import Started
from dsci.suites.subject import Subject

_REACHES, _REFUSED = "would reach this machine, and is not allowed", "is not taken in a suite"
#: The check that everything came up.
UP = "services come up"
#: How much of each service's log stands in a report, in characters of each stream.
_SHOWN = 4000


def run(subject: Subject, suite: Suite) -> Iterator[Check]:
    """Bring the services of a suite up and run what tests them. Raises ConfigError for what is not allowed."""
    files = host.files(subject, suite)
    tested = any(map(suitefiles.is_module, files))
    if tested:
        host.permitted(subject, suite.path)
    composed = _composed(subject, suite, files)
    checks = list(_checks(suite, files, composed))
    side = host.side(subject)
    with side.services(
        composed, files, image=subject.image, platform=subject.platform, bounds=subject.bounds
    ) as services:
        began = time.monotonic()
        why = subject.over or services.up(subject.timeout)
        seconds = time.monotonic() - began
        if why:
            yield Check(name=UP, verdict=Verdict.FAILED, seconds=seconds, detail=f"{why}\n{_logs(services)}")
            yield from host.took_too_much("services", services.killed())
            return
        yield Check(name=UP, verdict=Verdict.PASSED, seconds=seconds)
        for asked in checks:
            yield _checked(subject, composed, services, asked)
        if tested:
            yield from host.tests(subject, suite, services, told=lambda: _logs(services))
        yield from host.took_too_much("services", services.killed())


def _composed(subject: Subject, suite: Suite, files: Mapping[str, HostFile]) -> Composed:
    """What Docker Compose makes of the suite's file, once it is sure that nothing is asked that may not be."""
    named = [name for name in files if "/" not in name and suitefiles.is_compose(name)]
    if len(named) != 1:
        raise ConfigError(f"{suite.path}: {', '.join(sorted(named))}: a suite has one compose file", hint="join them")
    place = f"{suite.path}/{named[0]}"
    source = composefile.read(files[named[0]].content.decode(errors="replace"), file=place)
    given = {IMAGE, *composefile.assigned(files[".env"].content.decode(errors="replace") if ".env" in files else "")}
    _check(subject, source, (*source.reaching, *source.wanted(given, REACHES)))
    allowed = "host-environment" in subject.allow
    try:
        composed = host.side(subject).composed(files, named[0], {IMAGE: str(subject.image)}, open=allowed)
    except ConfigError as error:
        error.about(place)
        raise
    _check(subject, source, composefile.reaching(composed.model, composed.folder))
    services = composed.model.get("services") or {}
    if not any((service or {}).get("image") == str(subject.image) for service in services.values()):
        raise ConfigError(
            f"{place}: no service runs the image under test", hint=f"name it in one of them: image: ${{{IMAGE}}}"
        )
    return composed


def _check(subject: Subject, source: Source, found: tuple[Reach, ...]) -> None:
    """Raises ConfigError for what reaches this machine and is not allowed, each with its place."""
    refused = [each for each in found if each.allowance not in subject.allow]
    if not refused:
        return
    lines = [source.told(each, _REACHES if each.allowance else _REFUSED) for each in refused]
    wanted = ", ".join(sorted({each.allowance for each in refused if each.allowance}))
    cures = sorted({each.cure for each in refused if each.cure})
    raise ConfigError(
        "\n".join(dict.fromkeys(lines)),
        hint="; ".join([*cures, *([subject.allowing.format(wanted)] if wanted else [])]),
    )


class _Asked(NamedTuple):
    """A check, and where it stands."""

    check: nativeform.Check
    file: str
    line: int | None


def _checks(suite: Suite, files: Mapping[str, HostFile], composed: Composed) -> Iterator[_Asked]:
    """What the YAML files with checks say. Raises ConfigError."""
    names = composed.model.get("services") or {}
    for name in sorted(files):
        text, path = files[name].content.decode(errors="replace"), f"{suite.path}/{name}"
        if "/" not in name and name.endswith((".yaml", ".yml")) and nativefile.is_native(text):
            found, location = nativefile.located(text, file=path, services=names)
            for number, check in enumerate(found.checks):
                yield _Asked(check, path, location.line("checks", str(number)))


def _checked(subject: Subject, composed: Composed, services: Services, asked: _Asked) -> Check:
    """What a check of a service comes to. What is kept of a failure is not run again without the other services."""
    check = asked.check
    if check.skip:
        found = Check(name=named(check), verdict=Verdict.SKIPPED, detail=check.skip)
    else:
        ports = composed.model["services"][check.service].get("ports") or ()
        port = int(ports[0]["target"]) if ports else None
        found = Started(subject, services.service(check.service), port).checked(check).check
    bundle = replace(found.bundle, launch=None) if found.bundle is not None else None
    return replace(found, file=asked.file, line=asked.line, bundle=bundle)


def look_through(files: Mapping[str, str]) -> dict[str, list[str]]:
    """What is wrong with a suite's compose file and its checks, by their paths, as far as their texts tell.

    `files` are the texts of the YAML files in its folder.
    """
    found: dict[str, list[str]] = {}
    names: tuple[str, ...] = ()
    for path in sorted(files, key=suitefiles.is_compose, reverse=True):
        if not (suitefiles.is_compose(path) or nativefile.is_native(files[path])):
            continue
        found[path] = []
        try:
            if suitefiles.is_compose(path):
                source = composefile.read(files[path], file=path)
                names = source.services
                found[path] += [source.told(each, _REFUSED) for each in source.reaching]
            else:
                nativefile.located(files[path], file=path, services=names)
        except ConfigError as error:
            found[path] += error.message.splitlines()
    return found


def _logs(services: Services) -> str:
    """How each service goes, and the end of what it printed."""
    told = []
    for name in services.names():
        container = services.service(name)
        state = container.state()
        health = f", {state.health}" if state.health else ""
        how = "not started" if state.exit_code is None else f"ended with exit code {state.exit_code}"
        how = "running" if state.running else how
        told.append(f"--- {name}: {how}{health}")
        told += [clean(said, _SHOWN).rstrip() for said in state.said[-1:]]
        told += [clean(log.decode(errors="replace"), _SHOWN).rstrip() for log in container.logs(4 * _SHOWN)]
    return "\n".join(filter(None, told))
