"""The tests of a container-structure-test file, run against the image itself.

There are two readings of them. Ours mends what container-structure-test gets wrong without meaning to; its own
(`exact`) comes to the same verdict as it does, whatever that is. Regular expressions are Go's (RE2) in both. What a
file asks for that could reach the machine outside is refused by name unless it is allowed.

Source: https://github.com/GoogleContainerTools/container-structure-test, pkg/types/v2 and pkg/drivers/docker_driver.go
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import msgspec

from dsci.errors import ConfigError
from dsci.model import foreign
from dsci.model.report import Check, Verdict
from dsci.model.text import clean
from dsci.ports import FileEntry, Files, Ran, Special
from dsci.suites import commands
from dsci.suites.commands import Job
from dsci.suites.expansion import expand
from dsci.suites.structurefile import (
    EXECUTABLE_BY,
    CommandTest,
    FileContentTest,
    FileExistenceTest,
    LicenseTest,
    MetadataTest,
    RunOptions,
    StructureFile,
    Variable,
    mistakes,
)
from dsci.suites.subject import Subject

#: How much of a file is looked at, in bytes; its own reading takes nearly everything.
_CONTENT_LIMIT, _EXACT_LIMIT = 16 * 1024 * 1024, 1024 * 1024 * 1024
_LINKS = 16
#: What may be allowed, and the keys of a file that ask for it.
ALLOWANCES = {
    "privileged": "privileged",
    "capabilities": "capabilities",
    "bind-mounts": "bindMounts",
    "host-environment": "envVars or envFile",
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one test."""

    name: str
    problems: tuple[str, ...] = ()
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    argv: tuple[str, ...] = ()

    @property
    def check(self) -> Check:
        """The same as a check of a report."""
        lines = list(self.problems)
        if self.problems and self.argv:
            lines += [f"command: {list(self.argv)}", "stdout:", clean(self.stdout, 4000)]
            lines += ["stderr:", clean(self.stderr, 4000)]
        return Check(
            name=self.name,
            verdict=Verdict.FAILED if self.problems else Verdict.PASSED,
            seconds=self.seconds,
            detail="\n".join(lines),
        )


def run(subject: Subject, tests: StructureFile) -> Iterator[Check]:
    """Run every test of a file, one check for each, in container-structure-test's own order."""
    for finding in findings(subject, tests):
        yield finding.check


def findings(subject: Subject, tests: StructureFile, *, exact: bool = False) -> Iterator[Finding]:
    """Run every test of a file; with `exact` as container-structure-test would.

    Raises ConfigError for what is not allowed.
    """
    if exact and tests.schema_version == "1.0.0":
        tests = _told_apart(tests)
    if subject.engine is None:
        tests = _lying(tests)
    special = _special(subject, tests.container_run_options)
    host, broken = _host(subject, tests.container_run_options)
    if broken and not exact:
        raise ConfigError(f"containerRunOptions: {broken}", hint="set it, or take it out of the file")
    # Global variables may build on the image's own (`PATH: /opt/bin:$PATH`); a test's own stay as they are written.
    own = _expanded(tests.global_env_vars, subject.environment)
    around = _Around(
        subject=subject,
        own=own,
        environment={**subject.environment, **own},
        host=host,
        broken=broken if tests.container_run_options.env_vars else "",
        exact=exact,
        layers=subject.engine is None,
        old=tests.schema_version == "1.0.0",
        drops=exact and tests.container_run_options != RunOptions(),
    )
    if tests.command_tests:
        yield from _commands(around, tests.command_tests, special)
    if tests.file_content_tests or tests.file_existence_tests or tests.license_tests:
        files = subject.still.files()
        for content in tests.file_content_tests:
            yield _content(around, files, content)
        for existence in tests.file_existence_tests:
            yield _existing(around, files, existence)
        for licences in tests.license_tests:
            yield _licences(around, files, licences)
    if tests.metadata_test is not None and not _empty(tests.metadata_test, exact=exact):
        wrong = mistakes(tests.metadata_test)
        found = _told(wrong) if wrong else _metadata(tests.metadata_test, subject.config, exact=exact)
        yield Finding(name="Metadata Test", problems=tuple(found))


def _told(wrong: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{key} {text}" for key, text in wrong)


def _told_apart(tests: StructureFile) -> StructureFile:
    """The tests of an older file without those that are none: container-structure-test passes them over in silence."""
    return msgspec.structs.replace(
        tests,
        command_tests=tuple(test for test in tests.command_tests if not mistakes(test)),
        file_existence_tests=tuple(test for test in tests.file_existence_tests if test.name),
        file_content_tests=tuple(test for test in tests.file_content_tests if not mistakes(test)),
    )


def _lying(tests: StructureFile) -> StructureFile:
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
    environment: Mapping[str, str]
    """The image's variables and the global ones."""
    host: Mapping[str, str]
    """What containers are given of the host's variables."""
    broken: str
    """Why no command can be run, if so."""
    exact: bool
    layers: bool
    """Whether the image is looked at through its layers, as by container-structure-test's tar driver."""
    old: bool
    """Whether the schema is the older one, which expands nothing in paths."""
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
    if around.layers:
        for test in tests:
            yield Finding(name=test.name, problems=_told(mistakes(test)) or (_NO_COMMANDS,))
        return
    wrong = {n: found for n, test in enumerate(tests) if (found := mistakes(test))}
    jobs = {n: _job(around, test) for n, test in enumerate(tests) if n not in wrong and not around.broken}
    ran = dict(zip(jobs, commands.run(around.subject, list(jobs.values()), special), strict=True))
    # On a busy machine the engine lets go of what a container printed two seconds after its end. What prints nothing
    # prints nothing again. Source: https://github.com/moby/moby/blob/v26.1.5/daemon/monitor.go
    lost = [n for n, done in ran.items() if _lost(tests[n], done[-1])]
    ran |= dict(zip(lost, commands.run(around.subject, [jobs[n] for n in lost], special), strict=True))
    for n, test in enumerate(tests):
        if n in wrong:
            yield Finding(name=test.name, problems=_told(wrong[n]))
        elif around.broken:
            yield Finding(name=f"Command Test: {test.name}", problems=(around.broken,))
        else:
            yield _finding(around, test, jobs[n].argv, ran[n])


_NO_COMMANDS = "nothing is run in an image that is looked at through its layers: use --driver docker"


def _job(around: _Around, test: CommandTest) -> Job:
    own = {} if around.drops else {variable.key: variable.value for variable in test.env_vars}
    environment = around.environment
    steps: dict[str, str] = {}
    if test.setup:
        own_too = _expanded(test.env_vars, around.environment)
        steps = {**around.own, **own_too, **around.host}
        environment = {**environment, **own_too}
    return Job(
        argv=tuple(expand(word, environment) for word in (test.command, *test.args)),
        environment=own if test.setup else {**around.own, **own, **around.host},
        passes=lambda ran: not _judged(test, ran),
        steps=test.setup,
        around=steps,
    )


def _lost(test: CommandTest, ran: Ran) -> bool:
    """Whether output is expected, and there is none at all."""
    wanted_any = bool(test.expected_output or test.expected_error)
    return wanted_any and ran.exit_code == test.exit_code and not ran.stdout and not ran.stderr


def _ended(ran: Ran) -> str:
    return ran.reason if ran.exit_code is None else f"exit code {ran.exit_code}"


def _judged(test: CommandTest, ran: Ran) -> list[str]:
    """What is wrong with what a command did."""
    problems: list[str] = []
    if ran.exit_code is None:
        problems.append(ran.reason)
    elif ran.exit_code != test.exit_code:
        problems.append(f"exit code {ran.exit_code}, expected {test.exit_code}")
    for name, printed, wanted, unwanted in (
        ("stdout", ran.stdout, test.expected_output, test.excluded_output),
        ("stderr", ran.stderr, test.expected_error, test.excluded_error),
    ):
        problems += _matched(name, printed.decode(errors="replace"), wanted, unwanted)
    if ran.exit_code is not None and ran.reason and (problems or test.excluded_output or test.excluded_error):
        problems.append(ran.reason)
    return problems


def _finding(around: _Around, test: CommandTest, argv: Sequence[str], done: Sequence[Ran]) -> Finding:
    """What came of a test by what its steps and its command did. container-structure-test asks no step for its end."""
    *steps, ran = done
    problems = [f"setup {n + 1}: {_ended(step)}" for n, step in enumerate(steps) if step.exit_code and not around.exact]
    if len(steps) < len(test.setup):
        problems.append(f"setup {len(steps) + 1}: {_ended(ran)}")
    return Finding(
        name=f"Command Test: {test.name}",
        problems=tuple(problems or _judged(test, ran)),
        stdout=ran.stdout.decode(errors="replace"),
        stderr=ran.stderr.decode(errors="replace"),
        seconds=ran.seconds,
        argv=tuple(argv),
    )


def _matched(name: str, text: str, wanted: Sequence[str], unwanted: Sequence[str]) -> list[str]:
    """What a text lacks and what it should not have. A pattern that is none is a problem either way."""
    problems: list[str] = []
    for patterns, expected in ((wanted, True), (unwanted, False)):
        for pattern in patterns:
            try:
                found = matches(pattern, text)
            except foreign.IllegalPattern as error:
                problems.append(f"{pattern!r} is no regular expression: {error}")
                continue
            if found is not expected:
                said = "does not match" if expected else "matches the excluded"
                problems.append(f"{name} {said} {pattern!r}")
    return problems


# ----------------------------------------------------------------------------------------------------------- files


def _content(around: _Around, files: Files, test: FileContentTest) -> Finding:
    if wrong := mistakes(test):
        return Finding(name=test.name, problems=_told(wrong))
    found = _read(around, files, test.path)
    name = f"File Content Test: {test.name}"
    if found is None:
        return Finding(name=name, problems=(f"{test.path} is not there, or is no file",))
    if len(found) > (limit := _limit(exact=around.exact)):
        said = f"{test.path} is larger than the {limit} bytes that are looked at"
        return Finding(name=name, problems=(said,))
    text = found.decode(errors="replace")
    return Finding(name=name, problems=tuple(_matched(test.path, text, test.expected_contents, test.excluded_contents)))


def _read(around: _Around, files: Files, path: str) -> bytes | None:
    """A file's content. container-structure-test's docker driver looks for what a relative link says at the root."""
    for _ in range(_LINKS if around.exact and not around.layers else 0):
        entry = files.stat(path)
        if entry is None or entry.kind != "symlink":
            break
        path = str(PurePosixPath("/", entry.link))
    return files.read(path, _limit(exact=around.exact) + 1)


def _limit(*, exact: bool) -> int:
    return _EXACT_LIMIT if exact else _CONTENT_LIMIT


def _existing(around: _Around, files: Files, test: FileExistenceTest) -> Finding:
    if (wrong := mistakes(test)) and not (around.exact and around.old):
        return Finding(name=test.name, problems=_told(wrong))
    path = test.path if around.exact and around.old else expand(test.path, around.environment)
    entry = files.stat(path)
    if around.exact and entry is not None and entry.kind == "other":
        entry = None  # It sees files, folders and links.
    return Finding(name=f"File Existence Test: {test.name}", problems=tuple(_existence(around, test, entry)))


def _existence(around: _Around, test: FileExistenceTest, entry: FileEntry | None) -> list[str]:
    if entry is None:
        return [f"{test.path} is not there"] if test.should_exist else []
    problems: list[str] = []
    if not test.should_exist:
        problems.append(f"{test.path} is there, and should not be")
    if test.permissions and test.permissions != (mode := go_mode(entry)):
        problems.append(f"{test.path} has permissions {mode}, expected {test.permissions}")
    # The tar driver has unpacked the image as whoever runs it, and knows no owners any more.
    lost = around.exact and around.layers
    if lost and (test.uid, test.gid) != (-1, -1):
        problems.append(f"{test.path}: owners are looked at by the docker driver alone")
    for name, wanted, found in (("user", test.uid, entry.uid), ("group", test.gid, entry.gid)):
        if not lost and wanted not in (-1, found):
            problems.append(f"{test.path} belongs to {name} {found}, expected {wanted}")
    bits = dict(zip(EXECUTABLE_BY, (0o100, 0o010, 0o001, 0o111), strict=True))
    if test.is_executable_by and not entry.mode & bits.get(test.is_executable_by, 0):
        problems.append(f"{test.path} is not executable by {test.is_executable_by}")
    return problems


#: What container-structure-test looks for in licences, where Debian keeps them, and whose it does not look at.
_UNWANTED = ("AGPL", "WTFPL")
_DOCUMENTS, _NOT_ASKED = "/usr/share/doc", ("libgnutls30",)


def _licences(around: _Around, files: Files, test: LicenseTest) -> Finding:
    paths: list[str] = []
    problems: list[str] = []
    if test.debian:
        folders = files.folders(_DOCUMENTS)
        if folders is None:
            problems.append(f"{_DOCUMENTS} is not there")
        paths += [f"{_DOCUMENTS}/{name}/copyright" for name in folders or () if name not in _NOT_ASKED]
    if not problems:
        paths += test.files
    for path in paths:
        text = _read(around, files, path)
        if text is None:
            problems.append(f"{path} is not there, or is no file")
            continue
        problems += [f"{path} speaks of {word}" for word in _UNWANTED if word in text.decode(errors="replace").upper()]
    return Finding(name="License Test", problems=tuple(problems))


# -------------------------------------------------------------------------------------------------------- metadata


def _empty(test: MetadataTest, *, exact: bool) -> bool:
    """Whether nothing is asked; to container-structure-test an empty text is nothing."""
    if exact:
        test = msgspec.structs.replace(test, workdir=test.workdir or None, user=test.user or None)
    return test == MetadataTest()


def _metadata(test: MetadataTest, config: Mapping[str, Any], *, exact: bool) -> list[str]:
    environment = dict(str(item).split("=", 1) for item in config.get("Env") or () if "=" in str(item))
    labels: Mapping[str, str] = config.get("Labels") or {}
    problems: list[str] = []
    for kind, wanted, found in (("variable", test.env_vars, environment), ("label", test.labels, labels)):
        for item in wanted:
            value = found.get(item.key)
            if value is None:
                problems.append(f"{kind} {item.key} is not set")
            elif item.is_regex:
                problems += _matched(f"{kind} {item.key}", value, [item.value], ())
            elif item.value != value:
                problems.append(f"{kind} {item.key} is {value!r}, expected {item.value!r}")
    problems += [f"variable {item.key} is set" for item in test.unbound_env_vars if item.key in environment]
    for field, wanted_list in (("Entrypoint", test.entrypoint), ("Cmd", test.cmd)):
        value_list = tuple(config.get(field) or ())
        if wanted_list is not None and wanted_list != value_list:
            problems.append(f"{field.lower()} is {list(value_list)}, expected {list(wanted_list)}")
    exposed = {str(port) for port in config.get("ExposedPorts") or ()}
    # The protocol is no part of what container-structure-test compares.
    ports = {port.partition("/")[0] for port in exposed} | (set() if exact else exposed)
    volumes = set(config.get("Volumes") or ())
    problems += [f"port {port} is not exposed" for port in test.exposed_ports if port not in ports]
    problems += [f"port {port} is exposed" for port in test.unexposed_ports if port in ports]
    problems += [f"volume {path} is not declared" for path in test.volumes if path not in volumes]
    problems += [f"volume {path} is declared" for path in test.unmounted_volumes if path in volumes]
    for field, wanted_text in (("WorkingDir", test.workdir), ("User", test.user)):
        if wanted_text is None or (exact and not wanted_text):
            continue
        if wanted_text != (config.get(field) or ""):
            problems.append(f"{field.lower()} is {config.get(field) or ''!r}, expected {wanted_text!r}")
    return problems


# ------------------------------------------------------------------------------------------------------------ Go's


def matches(pattern: str, text: str) -> bool:
    """Whether Go's `regexp.MatchString` would say so: RE2, not anchored."""
    return foreign.compiled(pattern).search(text) is not None


def go_mode(entry: FileEntry) -> str:
    """Permissions as Go's FileMode.String writes them. Source: https://pkg.go.dev/io/fs#FileMode.String"""
    kind = {"directory": "d", "symlink": "L"}.get(entry.kind, "")
    special = "".join(letter for bit, letter in ((0o4000, "u"), (0o2000, "g"), (0o1000, "t")) if entry.mode & bit)
    letters = "".join(letter if entry.mode & (1 << (8 - n)) else "-" for n, letter in enumerate("rwxrwxrwx"))
    return (kind + special or "-") + letters
