"""container-structure-test files, schema 2.0.0: commands, files, contents, metadata.

A file is read strictly (an unknown or duplicate key is an error, scalars stay as written) and run against the image
itself: every command in a fresh container of its own, files in one that is never started. Regular expressions are
Go's (RE2). What a file asks for that could reach the host, and what is not carried out yet, is refused by name and
line, never passed over.

Source: https://github.com/GoogleContainerTools/container-structure-test#command-tests
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from dsci.errors import ConfigError
from dsci.model import foreign, yamlfile
from dsci.model.location import Location
from dsci.model.report import Check, Verdict
from dsci.model.text import clean
from dsci.ports import FileEntry, Ran
from dsci.suites.subject import Subject

_OUTPUT_LIMIT = 1024 * 1024
_CONTENT_LIMIT = 16 * 1024 * 1024
#: As Go's os.Expand has it: `${}` and a `${` that is never closed are eaten, `$` before anything else stays.
_VARIABLE = re.compile(
    r"\$(?:\{(?P<braced>[^}]+)\}|(?P<bad>\{\}?)|(?P<special>[*#$@!?\-0-9])|(?P<plain>[A-Za-z_][A-Za-z0-9_]*))"
)


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """Camel-case keys, none unknown."""


class Variable(_Struct, frozen=True, kw_only=True):
    """An environment variable or a label: a name and the value wanted."""

    key: str
    value: str = ""
    is_regex: bool = False


class CommandTest(_Struct, frozen=True, kw_only=True):
    """A command, and what it must print and return."""

    name: str
    command: str
    args: tuple[str, ...] = ()
    setup: tuple[tuple[str, ...], ...] = ()
    teardown: tuple[tuple[str, ...], ...] = ()
    env_vars: tuple[Variable, ...] = ()
    exit_code: int = 0
    expected_output: tuple[str, ...] = ()
    excluded_output: tuple[str, ...] = ()
    expected_error: tuple[str, ...] = ()
    excluded_error: tuple[str, ...] = ()


class FileExistenceTest(_Struct, frozen=True, kw_only=True):
    """A path that must be there, or must not."""

    name: str
    path: str
    should_exist: bool = True
    permissions: str = ""
    uid: int = -1
    gid: int = -1
    is_executable_by: Literal["", "owner", "group", "other", "any"] = ""


class FileContentTest(_Struct, frozen=True, kw_only=True):
    """A file and what must stand in it."""

    name: str
    path: str
    expected_contents: tuple[str, ...] = ()
    excluded_contents: tuple[str, ...] = ()


class MetadataTest(_Struct, frozen=True, kw_only=True):
    """The image's configuration."""

    env_vars: tuple[Variable, ...] = ()
    unbound_env_vars: tuple[Variable, ...] = ()
    labels: tuple[Variable, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    exposed_ports: tuple[str, ...] = ()
    unexposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    unmounted_volumes: tuple[str, ...] = ()
    workdir: str | None = None
    user: str | None = None


_SCHEMA = "the keys are those of container-structure-test, schema 2.0.0"


class StructureFile(_Struct, frozen=True, kw_only=True):
    """The whole file."""

    schema_version: str
    global_env_vars: tuple[Variable, ...] = ()
    command_tests: tuple[CommandTest, ...] = ()
    file_existence_tests: tuple[FileExistenceTest, ...] = ()
    file_content_tests: tuple[FileContentTest, ...] = ()
    metadata_test: MetadataTest | None = None


#: msgspec looks at a type when it is first used, and another thread that uses it meanwhile crashes the interpreter
#: (seen with 0.22): suites are read in threads, so it is looked at here, under the lock of the import.
_SEEN = msgspec.json.Decoder(StructureFile)


def parse(text: str, *, file: str) -> StructureFile:
    """Read a file. Raises ConfigError for what is unknown, mistyped, unsafe or not carried out by this version."""
    tests, location = yamlfile.load(text, StructureFile, file=file, hint=_SCHEMA)
    if tests.schema_version != "2.0.0":
        raise ConfigError(
            f"{location.at('schemaVersion')}: schemaVersion {tests.schema_version!r} is not known",
            hint='write schemaVersion: "2.0.0"',
        )
    for kind, named, field in (
        ("commandTests", tests.command_tests, "command"),
        ("fileExistenceTests", tests.file_existence_tests, "path"),
        ("fileContentTests", tests.file_content_tests, "path"),
    ):
        for n, item in enumerate(named):
            for key in ("name", field):
                if not getattr(item, key):
                    raise ConfigError(f"{location.at(kind, str(n), key)}: {kind}.{n}.{key} is empty")
    for n, test in enumerate(tests.command_tests):
        for field, given in (("setup", test.setup), ("teardown", test.teardown)):
            if given:
                raise ConfigError(
                    f"{location.at('commandTests', str(n), field)}: {field} is not carried out by this version",
                    hint="put the steps into the command: sh -c 'first && second'",
                )
        patterns = (test.expected_output, test.excluded_output, test.expected_error, test.excluded_error)
        _check_patterns(patterns, location, "commandTests", str(n))
    for n, content in enumerate(tests.file_content_tests):
        _check_patterns((content.expected_contents, content.excluded_contents), location, "fileContentTests", str(n))
    if tests.metadata_test is not None:
        for field, variables in (("envVars", tests.metadata_test.env_vars), ("labels", tests.metadata_test.labels)):
            for n, variable in enumerate(variables):
                if variable.is_regex:
                    _check_patterns([[variable.value]], location, "metadataTest", field, str(n))
    return tests


def _check_patterns(groups: Sequence[Sequence[str]], location: Location, *path: str) -> None:
    for pattern in (pattern for group in groups for pattern in group):
        try:
            foreign.compiled(pattern)
        except foreign.IllegalPattern as error:
            raise ConfigError(
                f"{location.at(*path)}: {pattern!r} is no regular expression: {error}",
                hint="the syntax is RE2: https://github.com/google/re2/wiki/Syntax",
            ) from None


def run(subject: Subject, tests: StructureFile) -> Iterator[Check]:
    """Run every test of a file, one check for each, in container-structure-test's own order."""
    # Global variables may build on the image's own (`PATH: /opt/bin:$PATH`); a test's own stay as they are written.
    own = {variable.key: expand(variable.value, subject.environment) for variable in tests.global_env_vars}
    environment = {**subject.environment, **own}
    for command in tests.command_tests:
        yield _command(subject, command, own, environment)
    if tests.file_content_tests or tests.file_existence_tests:
        container = subject.still.container()
        for content in tests.file_content_tests:
            found = container.read(content.path, _CONTENT_LIMIT + 1)
            yield _judge(f"File Content Test: {content.name}", _contents(content, found))
        for existence in tests.file_existence_tests:
            entry = container.stat(expand(existence.path, environment))
            yield _judge(f"File Existence Test: {existence.name}", _existence(existence, entry))
    if tests.metadata_test is not None and tests.metadata_test != MetadataTest():
        yield _judge("Metadata Test", _metadata(tests.metadata_test, subject.config))


def _command(subject: Subject, test: CommandTest, own: Mapping[str, str], environment: Mapping[str, str]) -> Check:
    argv = [expand(word, environment) for word in (test.command, *test.args)]
    variables = {**own, **{variable.key: variable.value for variable in test.env_vars}}
    ran = _ran(subject, argv, variables)
    wanted_any = bool(test.expected_output or test.expected_error)
    if wanted_any and ran.exit_code == test.exit_code and not ran.stdout and not ran.stderr:
        # On a busy machine the engine lets go of what a container printed two seconds after its end. What prints
        # nothing prints nothing again. Source: https://github.com/moby/moby/blob/v26.1.5/daemon/monitor.go
        ran = _ran(subject, argv, variables)
    stdout, stderr = ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace")
    problems: list[str] = []
    if ran.exit_code is None:
        problems.append(ran.reason)
    elif ran.exit_code != test.exit_code:
        problems.append(f"exit code {ran.exit_code}, expected {test.exit_code}")
    for name, text, wanted, unwanted in (
        ("stdout", stdout, test.expected_output, test.excluded_output),
        ("stderr", stderr, test.expected_error, test.excluded_error),
    ):
        problems += [f"{name} does not match {pattern!r}" for pattern in wanted if not matches(pattern, text)]
        problems += [f"{name} matches the excluded {pattern!r}" for pattern in unwanted if matches(pattern, text)]
    if ran.exit_code is not None and ran.reason and (problems or test.excluded_output or test.excluded_error):
        problems.append(ran.reason)
    if problems:
        problems += [f"command: {argv}", "stdout:", clean(stdout, 4000), "stderr:", clean(stderr, 4000)]
    return _judge(f"Command Test: {test.name}", problems, ran.seconds)


def _ran(subject: Subject, argv: Sequence[str], environment: Mapping[str, str]) -> Ran:
    with subject.container(entrypoint=[""], command=argv, environment=environment) as container:
        return container.run(subject.timeout, _OUTPUT_LIMIT)


def _contents(test: FileContentTest, content: bytes | None) -> list[str]:
    if content is None:
        return [f"{test.path} is not there, or is no file"]
    if len(content) > _CONTENT_LIMIT:
        return [f"{test.path} is larger than the {_CONTENT_LIMIT} bytes that are looked at"]
    text = content.decode(errors="replace")
    problems = [
        f"{test.path} does not match {pattern!r}" for pattern in test.expected_contents if not matches(pattern, text)
    ]
    problems += [
        f"{test.path} matches the excluded {pattern!r}" for pattern in test.excluded_contents if matches(pattern, text)
    ]
    return problems


def _existence(test: FileExistenceTest, entry: FileEntry | None) -> list[str]:
    if entry is None:
        return [f"{test.path} is not there"] if test.should_exist else []
    if not test.should_exist:
        return [f"{test.path} is there, and should not be"]
    problems: list[str] = []
    if test.permissions and test.permissions != (mode := go_mode(entry)):
        problems.append(f"{test.path} has permissions {mode}, expected {test.permissions}")
    for name, wanted, found in (("user", test.uid, entry.uid), ("group", test.gid, entry.gid)):
        if wanted not in (-1, found):
            problems.append(f"{test.path} belongs to {name} {found}, expected {wanted}")
    bits = {"owner": 0o100, "group": 0o010, "other": 0o001, "any": 0o111}
    if test.is_executable_by and not entry.mode & bits.get(test.is_executable_by, 0):
        problems.append(f"{test.path} is not executable by {test.is_executable_by}")
    return problems


def _metadata(test: MetadataTest, config: Mapping[str, Any]) -> list[str]:
    environment = dict(str(item).split("=", 1) for item in config.get("Env") or () if "=" in str(item))
    labels: Mapping[str, str] = config.get("Labels") or {}
    problems: list[str] = []
    for kind, wanted, found in (("variable", test.env_vars, environment), ("label", test.labels, labels)):
        for item in wanted:
            value = found.get(item.key)
            if value is None:
                problems.append(f"{kind} {item.key} is not set")
            elif not (matches(item.value, value) if item.is_regex else item.value == value):
                problems.append(f"{kind} {item.key} is {value!r}, expected {item.value!r}")
    problems += [f"variable {item.key} is set" for item in test.unbound_env_vars if item.key in environment]
    for field, wanted_list in (("Entrypoint", test.entrypoint), ("Cmd", test.cmd)):
        value_list = tuple(config.get(field) or ())
        if wanted_list is not None and wanted_list != value_list:
            problems.append(f"{field.lower()} is {list(value_list)}, expected {list(wanted_list)}")
    ports = {str(port).partition("/")[0] for port in config.get("ExposedPorts") or ()}
    volumes = set(config.get("Volumes") or ())
    problems += [f"port {port} is not exposed" for port in test.exposed_ports if port not in ports]
    problems += [f"port {port} is exposed" for port in test.unexposed_ports if port in ports]
    problems += [f"volume {path} is not declared" for path in test.volumes if path not in volumes]
    problems += [f"volume {path} is declared" for path in test.unmounted_volumes if path in volumes]
    for field, wanted_text in (("WorkingDir", test.workdir), ("User", test.user)):
        if wanted_text is not None and wanted_text != (config.get(field) or ""):
            problems.append(f"{field.lower()} is {config.get(field) or ''!r}, expected {wanted_text!r}")
    return problems


def _judge(name: str, problems: list[str], seconds: float = 0.0) -> Check:
    return Check(
        name=name,
        verdict=Verdict.FAILED if problems else Verdict.PASSED,
        seconds=seconds,
        detail="\n".join(problems),
    )


def matches(pattern: str, text: str) -> bool:
    """Whether Go's `regexp.MatchString` would say so: RE2, not anchored."""
    return foreign.compiled(pattern).search(text) is not None


def go_mode(entry: FileEntry) -> str:
    """Permissions as Go's FileMode.String writes them. Source: https://pkg.go.dev/io/fs#FileMode.String"""
    kind = {"directory": "d", "symlink": "L"}.get(entry.kind, "")
    special = "".join(letter for bit, letter in ((0o4000, "u"), (0o2000, "g"), (0o1000, "t")) if entry.mode & bit)
    letters = "".join(letter if entry.mode & (1 << (8 - n)) else "-" for n, letter in enumerate("rwxrwxrwx"))
    return (kind + special or "-") + letters


def expand(text: str, environment: Mapping[str, str]) -> str:
    """`$NAME` and `${NAME}` replaced from the image's environment, as Go's os.Expand does; unset is empty."""
    return _VARIABLE.sub(
        lambda match: (
            "" if match["bad"] else environment.get(match["braced"] or match["special"] or match["plain"], "")
        ),
        text,
    )
