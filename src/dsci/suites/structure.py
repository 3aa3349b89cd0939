"""The tests of a container-structure-test file, run against the image itself.

There are two readings of them. Ours mends what container-structure-test gets wrong without meaning to; its own
(`exact`) comes to the same verdict as it does, whatever that is. Regular expressions are Go's (RE2) in both. What a
file asks for that could reach the machine outside is refused by name unless it is allowed.

Source: https://github.com/GoogleContainerTools/container-structure-test, pkg/types/v2 and pkg/drivers/docker_driver.go
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from dsci.errors import ConfigError
from dsci.model.location import Location
from dsci.model.report import Check
from dsci.ports import Files, Ran, Special
from dsci.suites import bundles, commands, structurelooks
from dsci.suites.commands import Job
from dsci.suites.expansion import expand
from dsci.suites.finding import Finding, Printed, judged
from dsci.suites.structurefile import (
    CommandTest,
    RunOptions,
    StructureFile,
    Variable,
    mistakes,
)
from dsci.suites.structurelooks import Reading, told
from dsci.suites.subject import NOTHING_RUNS, Subject

#: What may be allowed, and the keys of a file that ask for it.
ALLOWANCES = {
    "privileged": "privileged",
    "capabilities": "capabilities",
    "bind-mounts": "bindMounts",
    "host-environment": "envVars or envFile",
}


def run(subject: Subject, tests: StructureFile, location: Location) -> Iterator[Check]:
    """Run every test of a file, one check for each, in container-structure-test's own order."""
    places = _places(tests)
    for finding in findings(subject, tests):
        yield msgspec.structs.replace(finding.check, file=location.file, line=location.line(*next(places, ())))


def _places(tests: StructureFile) -> Iterator[tuple[str, ...]]:
    """Where each test stands in its file, in the order in which they are run."""
    for kind, several in (
        ("commandTests", tests.command_tests),
        ("fileContentTests", tests.file_content_tests),
        ("fileExistenceTests", tests.file_existence_tests),
        ("licenseTests", tests.license_tests),
    ):
        yield from ((kind, str(n)) for n in range(len(several)))
    yield ("metadataTest",)


def findings(subject: Subject, tests: StructureFile, *, exact: bool = False) -> Iterator[Finding]:
    """Run every test of a file; with `exact` as container-structure-test would.

    Raises ConfigError for what is not allowed.
    """
    if exact and tests.schema_version == "1.0.0":
        tests = _told_apart(tests)
    if subject.engine is None:
        tests = _at_rest(tests)
    special = _special(subject, tests.container_run_options)
    host, broken = _host(subject, tests.container_run_options)
    if broken and not exact:
        raise ConfigError(f"containerRunOptions: {broken}", hint="set it, or take it out of the file")
    # Global variables may build on the image's own (`PATH: /opt/bin:$PATH`); a test's own stay as they are written.
    own = _expanded(tests.global_env_vars, subject.environment)
    reading = Reading(
        environment={**subject.environment, **own},
        exact=exact,
        layers=subject.engine is None,
        old=tests.schema_version == "1.0.0",
    )
    around = _Around(
        subject=subject,
        own=own,
        reading=reading,
        host=host,
        secret=[name for name in tests.container_run_options.env_vars if name in host],
        broken=broken if tests.container_run_options.env_vars else "",
        drops=exact and tests.container_run_options != RunOptions(),
    )
    if tests.command_tests:
        yield from _commands(around, tests.command_tests, special)
    if tests.file_content_tests or tests.file_existence_tests or tests.license_tests:
        yield from _looks(subject, reading, tests)
    if tests.metadata_test is not None and not structurelooks.is_empty(tests.metadata_test, exact=exact):
        wrong = mistakes(tests.metadata_test)
        found = told(wrong) if wrong else structurelooks.metadata(tests.metadata_test, subject.config, exact=exact)
        yield Finding(name="Metadata Test", problems=tuple(found))


def _looks(subject: Subject, reading: Reading, tests: StructureFile) -> Iterator[Finding]:
    """The tests of files; those for which there is no time left fail by their names."""
    kinds: Sequence[tuple[str, Callable[[Reading, Files, Any], Finding], Sequence[Any]]] = (
        ("File Content Test", structurelooks.content, tests.file_content_tests),
        ("File Existence Test", structurelooks.existing, tests.file_existence_tests),
        ("License Test", structurelooks.licences, tests.license_tests),
    )
    for kind, look, each in kinds:
        for test in each:
            if why := subject.over:
                name = getattr(test, "name", "")
                yield Finding(name=f"{kind}: {name}" if name else kind, problems=(why,))
            else:
                yield look(reading, subject.still.files(), test)


def _told_apart(tests: StructureFile) -> StructureFile:
    """The tests of an older file without those that are none: container-structure-test passes them over in silence."""
    return msgspec.structs.replace(
        tests,
        command_tests=tuple(test for test in tests.command_tests if not mistakes(test)),
        file_existence_tests=tuple(test for test in tests.file_existence_tests if test.name),
        file_content_tests=tuple(test for test in tests.file_content_tests if not mistakes(test)),
    )


def _at_rest(tests: StructureFile) -> StructureFile:
    """The tests of a file for an image in which nothing runs: how it would is nothing to ask for.

    Commands of the older schema are passed over, as container-structure-test's tar driver does.
    """
    old = tests.schema_version == "1.0.0"
    return msgspec.structs.replace(
        tests, command_tests=() if old else tests.command_tests, container_run_options=RunOptions()
    )


class _Around(msgspec.Struct, frozen=True, kw_only=True):
    """What all tests of a file have in common."""

    subject: Subject
    own: Mapping[str, str]
    """The global variables."""
    reading: Reading
    host: Mapping[str, str]
    """What containers are given of the host's variables."""
    secret: Sequence[str]
    """Those of them that are the environment's own."""
    broken: str
    """Why no command can be run, if so."""
    drops: bool
    """Whether a test's own variables are lost: whoever asks for anything of containers gets that alone."""


def _special(subject: Subject, wanted: RunOptions) -> Special:
    """How containers are to be made. Raises ConfigError."""
    asked = {
        "privileged": wanted.privileged,
        "capabilities": bool(wanted.capabilities),
        "bind-mounts": bool(wanted.bind_mounts),
        "host-environment": bool(wanted.env_vars or wanted.env_file),
    }
    refused = [name for name, asks in asked.items() if asks and name not in subject.allow]
    if refused:
        raise ConfigError(
            f"containerRunOptions: {', '.join(ALLOWANCES[name] for name in refused)} would reach this machine, and is "
            "not allowed",
            hint=subject.allowing.format(", ".join(refused)),
        )
    return Special(
        user=wanted.user,
        terminal=wanted.allocate_tty,
        privileged=wanted.privileged,
        capabilities=wanted.capabilities,
        binds=wanted.bind_mounts,
    )


def _host(subject: Subject, wanted: RunOptions) -> tuple[Mapping[str, str], str]:
    """What containers are given of the host's variables, and what is not there, or ""."""
    missing = [f"the variable {name} is not set here" for name in wanted.env_vars if not subject.host.get(name)]
    found = {name: subject.host[name] for name in wanted.env_vars if name in subject.host}
    if wanted.env_file:
        try:
            found = {**subject.variables(wanted.env_file), **found}
        except (OSError, LookupError):
            missing.append(f"there is no file {wanted.env_file}")
    return found, "; ".join(missing)


def _expanded(variables: Sequence[Variable], environment: Mapping[str, str]) -> dict[str, str]:
    return {variable.key: expand(variable.value, environment) for variable in variables}


# -------------------------------------------------------------------------------------------------------- commands


def _commands(around: _Around, tests: Sequence[CommandTest], special: Special) -> Iterator[Finding]:
    """Run the commands of a file; one that is none is told where it stands."""
    if around.reading.layers:
        for test in tests:
            yield Finding(name=test.name, problems=told(mistakes(test)) or (NOTHING_RUNS,))
        return
    wrong = {n: found for n, test in enumerate(tests) if (found := mistakes(test))}
    jobs = {n: _job(around, test) for n, test in enumerate(tests) if n not in wrong and not around.broken}
    ran = dict(zip(jobs, commands.run(around.subject, list(jobs.values()), special), strict=True))
    # On a busy machine the engine lets go of what a container printed two seconds after its end. What prints nothing
    # prints nothing again. Source: https://github.com/moby/moby/blob/v26.1.5/daemon/monitor.go
    lost = [n for n, done in ran.items() if _lost(tests[n], done[-1]) and not around.subject.over]
    ran |= dict(zip(lost, commands.run(around.subject, [jobs[n] for n in lost], special), strict=True))
    for n, test in enumerate(tests):
        if n in wrong:
            yield Finding(name=test.name, problems=told(wrong[n]))
        elif around.broken:
            yield Finding(name=f"Command Test: {test.name}", problems=(around.broken,))
        else:
            yield _finding(around, test, jobs[n], special, ran[n])


def _job(around: _Around, test: CommandTest) -> Job:
    own = {} if around.drops else {variable.key: variable.value for variable in test.env_vars}
    environment = around.reading.environment
    steps: dict[str, str] = {}
    if test.setup:
        own_too = _expanded(test.env_vars, around.reading.environment)
        steps = {**around.own, **own_too, **around.host}
        environment = {**environment, **own_too}
    return Job(
        argv=tuple(expand(word, environment) for word in (test.command, *test.args)),
        environment=own if test.setup else {**around.own, **own, **around.host},
        passes=lambda ran: not _judged(test, ran),
        steps=test.setup,
        around=steps,
        hidden={name: around.host[name] for name in around.secret},
    )


def _lost(test: CommandTest, ran: Ran) -> bool:
    """Whether output is expected, and there is none at all."""
    wanted_any = bool(test.expected_output or test.expected_error)
    return wanted_any and ran.exit_code == test.exit_code and not ran.stdout and not ran.stderr


def _ended(ran: Ran) -> str:
    return ran.reason if ran.exit_code is None else f"exit code {ran.exit_code}"


def _judged(test: CommandTest, ran: Ran) -> list[str]:
    """What is wrong with what a command did."""
    wanted = Printed(
        stdout=test.expected_output,
        stdout_lacks=test.excluded_output,
        stderr=test.expected_error,
        stderr_lacks=test.excluded_error,
    )
    return judged(ran, test.exit_code, wanted)


def _finding(around: _Around, test: CommandTest, job: Job, special: Special, done: Sequence[Ran]) -> Finding:
    """What came of a test by what its steps and its command did. container-structure-test asks no step for its end."""
    *steps, ran = done
    failed = [(n, step) for n, step in enumerate(steps, 1) if step.exit_code and not around.reading.exact]
    problems = [f"setup {n}: {_ended(step)}" for n, step in failed]
    if len(steps) < len(test.setup):
        problems.append(f"setup {len(steps) + 1}: {_ended(ran)}")
    problems = problems or _judged(test, ran)
    return Finding(
        name=f"Command Test: {test.name}",
        problems=tuple(problems),
        stdout=ran.stdout.decode(errors="replace"),
        stderr=ran.stderr.decode(errors="replace"),
        seconds=ran.seconds,
        bundle=bundles.of_job(job, special, ran) if problems and not around.reading.exact else None,
    )
