"""What is wrong with a container-structure-test file, and where that program and dsci do not come to the same.

A file is looked at as it is written: nothing is run, and no image is known. So what depends on an image alone (a link
whose target is relative, a pipe) is told in docs/suites.md and not here. What there may be to say is
`structurekinds`'s to know.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

import msgspec
import yaml

from dsci.errors import ConfigError
from dsci.model.location import Location
from dsci.suites import structurefile
from dsci.suites.expansion import variables
from dsci.suites.goyaml import JsonKeys, json_keys
from dsci.suites.structurefile import CommandTest, Fault, MetadataTest, RunOptions, StructureFile

_OLD = "1.0.0"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something of a kind (`structurekinds`), and where it is."""

    place: str
    """`file:line`, or the file alone."""
    kind: str
    says: str


def lint(text: str, *, file: str) -> list[Note]:
    """Everything there is to say about a file, by its lines."""
    try:
        tests, location = structurefile.read(text, file=file)
    except ConfigError as error:
        return [unreadable(line, file=file) for line in error.message.splitlines()]
    found = [(fault.path, _refusal(tests, fault), fault.text) for fault in structurefile.faults(tests)]
    found += [
        *_commands(tests),
        *_paths(tests),
        *_options(tests.container_run_options),
        *_metadata(tests.metadata_test),
    ]
    if _none(tests):
        found.append(((), "no-tests", "there is no test in the file"))
    more = []
    if file.endswith(".json"):
        keys = json_keys(text, structurefile.FORMS[tests.schema_version])
        location = Location(file, keys.lines)
        found += _json(tests, keys)
    elif line := _second(text):
        more.append(Note(place=f"{file}:{line}", kind="more-documents", says="another document begins"))
    told = [Note(place=location.at(*path), kind=kind, says=says) for path, kind, says in found]
    return sorted((*told, *more), key=_where)


def _where(note: Note) -> int:
    return int(note.place.rpartition(":")[2]) if re.search(r":\d+\Z", note.place) else 0


#: A note before its line is known: the path of keys to what it is about, its kind, and what it says.
_Found = tuple[tuple[str, ...], str, str]


# ------------------------------------------------------------------------------------------------- what is refused


#: What keeps dsci alone from reading a file, by what is said then.
_OURS_ALONE = {"unknown key 'driverargs'": "driver", "is a link or a submodule": "link"}


def unreadable(line: str, *, file: str) -> Note:
    """What a line of an error says that kept a file from being read."""
    said = re.fullmatch(rf"({re.escape(file)}(?::\d+)?): (.*)", line)
    place, text = said.groups() if said else (file, line)
    kind = next((kind for sign, kind in _OURS_ALONE.items() if sign in text), "unreadable")
    return Note(place=place, kind=kind, says=text)


def _refusal(tests: StructureFile, fault: Fault) -> str:
    """What a fault is, by what container-structure-test makes of it."""
    if fault.kind != "test":
        return {"word": "executable-by", "pattern": "pattern"}[fault.kind]
    if tests.schema_version != _OLD:
        return "invalid-test"
    kind, number, *_ = fault.path
    named = kind == "fileExistenceTests" and tests.file_existence_tests[int(number)].name
    return "empty-path" if named else "skipped-test"


def _none(tests: StructureFile) -> bool:
    lists = (tests.command_tests, tests.file_existence_tests, tests.file_content_tests, tests.license_tests)
    return not any(lists) and tests.metadata_test in (None, MetadataTest())


# ---------------------------------------------------------------------------------------------- what is different


def _commands(tests: StructureFile) -> Iterator[_Found]:
    for n, test in enumerate(tests.command_tests):
        at: tuple[str, ...] = ("commandTests", str(n))
        yield from _dollars(tests, test, at)
        if test.setup:
            yield (*at, "setup"), "setup", f"setup has {len(test.setup)} step{'s' * (len(test.setup) > 1)}"
        if test.teardown:
            yield (*at, "teardown"), "teardown", "there is a teardown"
        if test.env_vars and tests.container_run_options != RunOptions():
            names = ", ".join(item.key for item in test.env_vars)
            yield (*at, "envVars"), "lost-variables", f"envVars {names} beside containerRunOptions"


def _dollars(tests: StructureFile, test: CommandTest, at: tuple[str, ...]) -> Iterator[_Found]:
    """Variables that are replaced too early. A step before the command lets it see the test's own."""
    late = {item.key for item in test.env_vars} | {*tests.container_run_options.env_vars}
    late = set() if test.setup else late - {item.key for item in tests.global_env_vars}
    for n, word in enumerate((test.command, *test.args)):
        path = _word(tests, n)
        settings = _settings(word) if "$" in word else {}
        for begin, written, name in variables(word):
            if not name:
                yield (*at, *path), "dollar", f"{written} in {'.'.join(path)}"
            elif name in late or settings.get(name, begin) < begin:
                yield (*at, *path), "late-variable", f"{written} in {'.'.join(path)}"


def _word(tests: StructureFile, number: int) -> tuple[str, ...]:
    """Where a word of a command stands in its test."""
    if tests.schema_version == _OLD:
        return ("command", str(number))
    return ("args", str(number - 1)) if number else ("command",)


_SETTING = re.compile(r"(?<![\w$])(?P<one>[A-Za-z_]\w*)=|\bfor\s+(?P<each>\w+)|\bread\s(?P<several>[^;&|\n]*)")


def _settings(script: str) -> dict[str, int]:
    """What variables a shell script gives a value, and the end of the word that does so, as far as words tell."""
    ends = [match.start() for match in re.finditer(r"[\s;&|]", script)]
    found: dict[str, int] = {}
    for match in _SETTING.finditer(script):
        end = bisect_left(ends, match.end())
        for name in re.findall(r"\w+", match["one"] or match["each"] or match["several"]):
            found.setdefault(name, ends[end] if end < len(ends) else len(script))
    return found


def _paths(tests: StructureFile) -> Iterator[_Found]:
    for n, test in enumerate(tests.file_existence_tests):
        at = ("fileExistenceTests", str(n), "path")
        for _, written, name in variables(test.path):
            if tests.schema_version == _OLD:
                yield at, "old-path", f"{written} in path"
            elif not name:
                yield at, "dollar", f"{written} in path"
    as_is: list[tuple[tuple[str, ...], str]] = [
        (("fileContentTests", str(n), "path"), content.path) for n, content in enumerate(tests.file_content_tests)
    ]
    for n, licences in enumerate(tests.license_tests):
        as_is += [(("licenseTests", str(n), "files", str(i)), path) for i, path in enumerate(licences.files)]
    for place, path in as_is:
        for _, written, _ in variables(path):
            yield place, "unexpanded-path", f"{written} in {'.'.join(place[2:])}"


def _options(wanted: RunOptions) -> Iterator[_Found]:
    for key, kind, asked in (
        ("envVars", "host-variables", ", ".join(wanted.env_vars)),
        ("envFile", "env-file", wanted.env_file),
        ("capabilities", "capabilities", ", ".join(wanted.capabilities)),
        ("bindMounts", "bind-mounts", ", ".join(wanted.bind_mounts)),
        ("privileged", "privileged", wanted.privileged and "true"),
        ("allocateTty", "terminal", wanted.allocate_tty and "true"),
    ):
        if asked:
            yield ("containerRunOptions", key), kind, f"containerRunOptions.{key}: {asked}"


def _metadata(wanted: MetadataTest | None) -> Iterator[_Found]:
    if wanted is None:
        return
    for key, ports in (("exposedPorts", wanted.exposed_ports), ("unexposedPorts", wanted.unexposed_ports)):
        for n, port in enumerate(ports):
            if "/" in port:
                yield ("metadataTest", key, str(n)), "protocol", f"{port} in {key}"
    for key, text in (("workdir", wanted.workdir), ("user", wanted.user)):
        if text == "":
            yield ("metadataTest", key), "empty-text", f"{key} is empty"


# ------------------------------------------------------------------------------------------ what the text says more


def _json(tests: StructureFile, keys: JsonKeys) -> Iterator[_Found]:
    yield from ((path, "json-key", f"unknown key {'.'.join(path)}") for path in keys.unknown)
    yield from ((path, "json-repeated", f"{'.'.join(path)} is given again") for path in keys.repeated)
    for n, test in enumerate(tests.file_existence_tests):
        at = ("fileExistenceTests", str(n))
        if at not in keys.lines:
            continue
        missing = [key for key in ("uid", "gid") if (*at, key) not in keys.lines]
        if (*at, "shouldExist") not in keys.lines:
            yield at, "json-absent", f"fileExistenceTests.{n} does not say shouldExist"
        elif test.should_exist and missing and tests.schema_version != _OLD:
            yield at, "json-owner", f"fileExistenceTests.{n} does not say {' and '.join(missing)}"


def _second(text: str) -> int:
    """The line where a second document begins, whatever it says; 0 where there is none."""
    loader = yaml.SafeLoader(text)
    try:
        loader.check_node()
        loader.get_node()
        return loader.peek_event().start_mark.line + 1 if loader.check_node() else 0  # type: ignore[no-untyped-call]
    except yaml.MarkedYAMLError as error:
        return error.problem_mark.line + 1 if error.problem_mark else 1
    finally:
        loader.dispose()
