"""What a container-structure-test file says, schema 1.0.0 and 2.0.0, YAML or JSON.

A file is read strictly (an unknown or duplicate key is an error, scalars stay as they are written), and both schemas
come out as the newer one. It has two readings. container-structure-test's own, which finds out about mistakes in single
tests when it comes to them; and ours, which tells them all beforehand, with their lines. What a test means is
`structure`'s to know.

Source: https://github.com/GoogleContainerTools/container-structure-test#command-tests
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from dsci.errors import ConfigError
from dsci.model import foreign, yamlfile
from dsci.model.location import Location
from dsci.suites.goyaml import GoReader, from_json


class _Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Camel-case keys."""


class Variable(_Struct, frozen=True, kw_only=True):
    """An environment variable or a label: a name and the value wanted."""

    key: str = ""
    value: str = ""
    is_regex: bool = False


class _AnyCommandTest(_Struct, frozen=True, kw_only=True):
    """What a command must print and return, in either schema."""

    name: str = ""
    setup: tuple[tuple[str, ...], ...] = ()
    teardown: tuple[tuple[str, ...], ...] = ()
    env_vars: tuple[Variable, ...] = ()
    exit_code: int = 0
    expected_output: tuple[str, ...] = ()
    excluded_output: tuple[str, ...] = ()
    expected_error: tuple[str, ...] = ()
    excluded_error: tuple[str, ...] = ()


class CommandTest(_AnyCommandTest, frozen=True, kw_only=True):
    """A command, and what it must print and return."""

    command: str = ""
    args: tuple[str, ...] = ()


class FileExistenceTest(_Struct, frozen=True, kw_only=True):
    """A path that must be there, or must not."""

    name: str = ""
    path: str = ""
    should_exist: bool = True
    permissions: str = ""
    uid: int = -1
    gid: int = -1
    is_executable_by: str = ""


class FileContentTest(_Struct, frozen=True, kw_only=True):
    """A file and what must stand in it."""

    name: str = ""
    path: str = ""
    expected_contents: tuple[str, ...] = ()
    excluded_contents: tuple[str, ...] = ()


class LicenseTest(_Struct, frozen=True, kw_only=True):
    """Licences that must not be: of every Debian package, and in these files."""

    debian: bool = False
    files: tuple[str, ...] = ()


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


class RunOptions(_Struct, frozen=True, kw_only=True):
    """How the containers of all commands are run."""

    user: str = ""
    privileged: bool = False
    allocate_tty: bool = False
    env_file: str = ""
    env_vars: tuple[str, ...] = ()
    """Names: the values are the host's own."""
    capabilities: tuple[str, ...] = ()
    bind_mounts: tuple[str, ...] = ()


class StructureFile(_Struct, frozen=True, kw_only=True):
    """The whole file."""

    schema_version: str = ""
    global_env_vars: tuple[Variable, ...] = ()
    command_tests: tuple[CommandTest, ...] = ()
    file_existence_tests: tuple[FileExistenceTest, ...] = ()
    file_content_tests: tuple[FileContentTest, ...] = ()
    license_tests: tuple[LicenseTest, ...] = ()
    metadata_test: MetadataTest | None = None
    container_run_options: RunOptions = RunOptions()


class _OldCommandTest(_AnyCommandTest, frozen=True, kw_only=True):
    """Schema 1.0.0: the command is a list, and there are no arguments beside it."""

    command: tuple[str, ...] = ()


class _OldFileExistenceTest(_Struct, frozen=True, kw_only=True):
    """Schema 1.0.0: nothing is asked about owners."""

    name: str = ""
    path: str = ""
    should_exist: bool = True
    permissions: str = ""


class _OldFile(_Struct, frozen=True, kw_only=True):
    """Schema 1.0.0."""

    schema_version: str = ""
    global_env_vars: tuple[Variable, ...] = ()
    command_tests: tuple[_OldCommandTest, ...] = ()
    file_existence_tests: tuple[_OldFileExistenceTest, ...] = ()
    file_content_tests: tuple[FileContentTest, ...] = ()
    license_tests: tuple[LicenseTest, ...] = ()


class _Version(_Struct, frozen=True, kw_only=True):
    """What has to be known first."""

    schema_version: str = ""


FORMS: Mapping[str, type[StructureFile] | type[_OldFile]] = {"1.0.0": _OldFile, "2.0.0": StructureFile}
_SCHEMA = "the keys are those of container-structure-test"
#: msgspec looks at a type when it is first used, and another thread that uses it meanwhile crashes the interpreter
#: (seen with 0.22): suites are read in threads, so it is looked at here, under the lock of the import.
_SEEN = [msgspec.json.Decoder(form) for form in (*FORMS.values(), _Version)]


def parse(text: str, *, file: str) -> StructureFile:
    """Read a file as ours. Raises ConfigError with every mistake, each at its line."""
    return located(text, file=file)[0]


def located(text: str, *, file: str) -> tuple[StructureFile, Location]:
    """The same, and where all of it stands."""
    tests, location = read(text, file=file)
    if found := faults(tests):
        raise ConfigError("\n".join(f"{location.at(*fault.path)}: {fault.text}" for fault in found), hint=_HINT)
    return tests, location


def read(text: str, *, file: str) -> tuple[StructureFile, Location]:
    """Read a file as container-structure-test does: what a single test asks for is not looked at.

    Raises ConfigError for what it refuses to read.
    """
    if file.endswith(".json"):
        return _read_json(text, file)
    version = yamlfile.load(text, _Version, file=file, hint=_SCHEMA, reader=_Lenient)[0].schema_version
    form = _form(version, file)
    found, location = yamlfile.load(text, form, file=file, hint=_SCHEMA, reader=GoReader)
    return _newer(found), location


class _Lenient(GoReader):
    """For the first look: what it knows nothing of is no mistake."""

    def complain(self, node: Any, path: tuple[str, ...], text: str) -> None:
        """Only the schema's version may be wrong."""
        if path:
            super().complain(node, path, text)


def _form(version: str, file: str) -> type[StructureFile] | type[_OldFile]:
    if version not in FORMS:
        said = f"schemaVersion {version!r} is not known" if version else "schemaVersion is missing"
        raise ConfigError(
            f"{file}: {said}", hint='write schemaVersion: "2.0.0", or `checks:` for a suite of dsci\'s own'
        )
    return FORMS[version]


def _read_json(text: str, file: str) -> tuple[StructureFile, Location]:
    form = _form(str(from_json(text, _Version, file=file).get("schemaVersion", "")), file)
    value = from_json(text, form, file=file)
    try:
        # There are no defaults but the zero of each type.
        for test in value.get("fileExistenceTests", ()):
            zeros = {"shouldExist": False, "uid": 0, "gid": 0} if form is StructureFile else {"shouldExist": False}
            test |= {key: zero for key, zero in zeros.items() if key not in test}
        return _newer(msgspec.convert(value, form)), Location(file, {})
    except (msgspec.ValidationError, TypeError) as error:
        raise ConfigError(f"{file}: {error}", hint=_SCHEMA) from None


def _newer(found: StructureFile | _OldFile) -> StructureFile:
    """A file of the older schema as one of the newer."""
    if isinstance(found, StructureFile):
        return found
    commands = []
    for test in found.command_tests:
        given = {name: getattr(test, name) for name in test.__struct_fields__}
        given |= {"command": "".join(test.command[:1]), "args": test.command[1:]}
        commands.append(CommandTest(**given))
    return StructureFile(
        schema_version=found.schema_version,
        global_env_vars=found.global_env_vars,
        command_tests=tuple(commands),
        file_existence_tests=tuple(
            FileExistenceTest(
                name=test.name, path=test.path, should_exist=test.should_exist, permissions=test.permissions
            )
            for test in found.file_existence_tests
        ),
        file_content_tests=found.file_content_tests,
        license_tests=found.license_tests,
    )


# ---------------------------------------------------------------------------------------------- what may be wrong


def mistakes(test: CommandTest | FileExistenceTest | FileContentTest | MetadataTest) -> list[tuple[str, str]]:
    """What is wrong with a single test before it runs, as container-structure-test sees it: keys, and what of them."""
    empty = "is empty"
    match test:
        case CommandTest():
            found = [(key, empty) for key in ("name", "command") if not getattr(test, key)]
            for key, steps in (("setup", test.setup), ("teardown", test.teardown)):
                found += [(key, "has an empty command") for step in steps if not step]
            nothing = [item for item in test.env_vars if not (item.key and item.value)]
            return found + [("envVars", "has an empty key or value") for _ in nothing]
        case MetadataTest():
            found = [("envVars", "has an empty key") for item in test.env_vars if not item.key]
            found += [("labels", "has an empty key") for item in test.labels if not item.key]
            found += [("exposedPorts", "has an empty one") for port in test.exposed_ports if not port]
            return found + [("volumes", "has an empty one") for path in test.volumes if not path]
        case _:
            return [(key, empty) for key in ("name", "path") if not getattr(test, key)]


EXECUTABLE_BY = ("owner", "group", "other", "any")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Something in a file that can be read, and that no test can go by."""

    path: tuple[str, ...]
    kind: Literal["test", "word", "pattern"]
    """A test that is none, a word that is not known, a pattern that is none."""
    text: str


def faults(tests: StructureFile) -> list[Fault]:
    """Every mistake in the tests, and every pattern that is none."""
    found: list[Fault] = []
    kinds: tuple[tuple[str, Sequence[CommandTest | FileExistenceTest | FileContentTest]], ...] = (
        ("commandTests", tests.command_tests),
        ("fileExistenceTests", tests.file_existence_tests),
        ("fileContentTests", tests.file_content_tests),
    )
    for kind, named in kinds:
        for n, test in enumerate(named):
            found += [
                Fault(path=(kind, str(n), key), kind="test", text=f"{kind}.{n}.{key} {text}")
                for key, text in mistakes(test)
            ]
    for n, item in enumerate(tests.file_existence_tests):
        if item.is_executable_by and item.is_executable_by not in EXECUTABLE_BY:
            path: tuple[str, ...] = ("fileExistenceTests", str(n), "isExecutableBy")
            text = f"{'.'.join(path)}: expected one of {', '.join(EXECUTABLE_BY)}"
            found.append(Fault(path=path, kind="word", text=text))
    if tests.metadata_test is not None:
        found += [
            Fault(path=("metadataTest", key), kind="test", text=f"metadataTest.{key} {text}")
            for key, text in mistakes(tests.metadata_test)
        ]
    for path, pattern in _patterns(tests):
        try:
            foreign.compiled(pattern)
        except foreign.IllegalPattern as error:
            found.append(Fault(path=path, kind="pattern", text=f"{pattern!r} is no regular expression: {error}"))
    return found


_HINT = f"{_SCHEMA}; regular expressions are RE2's: https://github.com/google/re2/wiki/Syntax"


def _patterns(tests: StructureFile) -> Iterator[tuple[tuple[str, ...], str]]:
    """The regular expressions of a file, and where each stands."""
    for n, test in enumerate(tests.command_tests):
        yield from _each(("commandTests", str(n), "expectedOutput"), test.expected_output)
        yield from _each(("commandTests", str(n), "excludedOutput"), test.excluded_output)
        yield from _each(("commandTests", str(n), "expectedError"), test.expected_error)
        yield from _each(("commandTests", str(n), "excludedError"), test.excluded_error)
    for n, content in enumerate(tests.file_content_tests):
        yield from _each(("fileContentTests", str(n), "expectedContents"), content.expected_contents)
        yield from _each(("fileContentTests", str(n), "excludedContents"), content.excluded_contents)
    metadata = tests.metadata_test or MetadataTest()
    for field, variables in (("envVars", metadata.env_vars), ("labels", metadata.labels)):
        for n, item in enumerate(variables):
            if item.is_regex:
                yield ("metadataTest", field, str(n)), item.value


def _each(path: tuple[str, ...], patterns: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    return (((*path, str(n)), pattern) for n, pattern in enumerate(patterns))
