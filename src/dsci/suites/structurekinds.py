"""The kinds of trouble that a container-structure-test file can make: what comes of each, and what to write instead.

What container-structure-test is said to do was seen of version 1.19.1. dsci is its own reading of a file, the one for
suites in a repository. Which file has which is `structurelint`'s to find; docs/suites.md shows this table.
"""

from __future__ import annotations

import msgspec

_SAME = "does the same"
_REFUSES = "refuses the file"
_ALLOWED = "does so where it is allowed, and refuses the file otherwise"


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of trouble: what comes of it, and what to write instead."""

    theirs: str
    """What container-structure-test does."""
    ours: str = _SAME
    cure: str
    wrong: bool = False
    """Whether the file is no use to dsci as it is."""


KINDS = {
    "unreadable": Kind(
        wrong=True,
        theirs="refuses the file, as one failure without a name, and goes on with the other files",
        ours=_REFUSES,
        cure="correct it: docs/suites.md has the form of dsci's own suites, container-structure-test's README its own",
    ),
    "driver": Kind(wrong=True, theirs="takes the key, which no test needs", ours=_REFUSES, cure="take the key out"),
    "link": Kind(
        wrong=True,
        theirs="reads what the link leads to",
        ours="refuses it: a change there would go unnoticed",
        cure="put the file itself there",
    ),
    "no-tests": Kind(
        wrong=True,
        theirs="finds nothing to do, and fails where no other file has a test",
        ours="fails: a suite that tests nothing has not passed",
        cure="write a test, or remove the file",
    ),
    "invalid-test": Kind(
        wrong=True,
        theirs="fails the test when it comes to it, and runs the others",
        ours=_REFUSES,
        cure="give the test what it lacks",
    ),
    "skipped-test": Kind(
        wrong=True,
        theirs="leaves the test out without a failure (schema 1.0.0)",
        ours=_REFUSES,
        cure="give the test what it lacks",
    ),
    "empty-path": Kind(
        wrong=True,
        theirs="finds nothing at an empty path: passes only with shouldExist: false (schema 1.0.0)",
        ours=_REFUSES,
        cure="write the path",
    ),
    "executable-by": Kind(
        wrong=True,
        theirs="fails the test when it comes to it",
        ours=_REFUSES,
        cure="write owner, group, other or any",
    ),
    "pattern": Kind(
        wrong=True,
        theirs="fails the test when it comes to it, whether the pattern is expected or excluded",
        ours=_REFUSES,
        cure="write it in RE2's language, which has no look-around and no back references",
    ),
    "dollar": Kind(
        theirs="replaces it by nothing, before a shell or awk sees it",
        cure="add DOLLAR with the value $ to globalEnvVars and write ${DOLLAR} for the sign; $(1) serves awk as well",
    ),
    "late-variable": Kind(
        theirs="replaces it by what the image and globalEnvVars say, mostly nothing, before the command has it",
        cure="add DOLLAR with the value $ to globalEnvVars and write ${DOLLAR} for the sign",
    ),
    "unexpanded-path": Kind(
        theirs="looks for a file of this very name: variables are replaced in commands and fileExistenceTests only",
        cure="write the path itself",
    ),
    "old-path": Kind(
        theirs="looks for a file of this very name (schema 1.0.0)",
        ours="replaces variables in the path, as schema 2.0.0 has it",
        cure="write the path itself",
    ),
    "setup": Kind(
        theirs="does not look at the exit code of a step",
        ours="fails the test where a step fails",
        cure="where a step may fail, say so in it: sh -c 'step || true'",
    ),
    "teardown": Kind(
        theirs="does not run it: each test has a container of its own",
        cure="take it out",
    ),
    "lost-variables": Kind(
        theirs="drops the test's own envVars, because the file has containerRunOptions",
        ours="sets them",
        cure="move them to globalEnvVars",
    ),
    "host-variables": Kind(
        theirs="runs none of the commands where one of the variables is not set here, or is empty",
        ours="says which one it is and runs nothing of the file; refuses it where host-environment is not allowed",
        cure="write the values down in globalEnvVars, unless they are secret",
    ),
    "env-file": Kind(
        theirs="looks for the file in the working directory, and goes on without one that is not there",
        ours="looks for it from the repository's root, and runs nothing where it is not there; refuses it where "
        "host-environment is not allowed",
        cure="run both at the repository's root, or write the variables down in globalEnvVars",
    ),
    "capabilities": Kind(
        theirs="does not add them",
        ours="adds them where it is allowed, and refuses the file otherwise",
        cure="take them out, or allow them",
    ),
    "privileged": Kind(theirs="makes privileged containers", ours=_ALLOWED, cure="take it out, or allow it"),
    "bind-mounts": Kind(
        theirs="mounts what is named of the engine's machine",
        ours="does so for commands where it is allowed, not for tests of files, and refuses the file otherwise",
        cure="take them out, or allow them",
    ),
    "terminal": Kind(
        theirs="loses what a command prints, or fails the test because of it",
        ours="reads what a terminal shows: both streams as one",
        cure="take it out",
    ),
    "protocol": Kind(
        theirs="never finds a port that is written with its protocol: fails where it must be exposed, passes where it "
        "must not be",
        ours="compares the protocol",
        cure="write the port alone, if any protocol will do",
    ),
    "empty-text": Kind(
        theirs="asks nothing",
        ours="asks that it be empty in the image",
        cure="take the key out if nothing is to be asked",
    ),
    "json-key": Kind(theirs="passes over the key in a JSON file", cure="correct the key, or take it out"),
    "json-repeated": Kind(
        theirs="reads the later value over the earlier in a JSON file: what only the earlier one has stays",
        ours="takes the later value",
        cure="write the key once",
    ),
    "json-absent": Kind(
        theirs="asks in a JSON file that the path be absent", cure='write "shouldExist": true, or write YAML'
    ),
    "json-owner": Kind(
        theirs="asks in a JSON file that user and group be 0, where nothing is said",
        cure='write "uid": -1 and "gid": -1, or write YAML',
    ),
    "more-documents": Kind(theirs="reads the first document only", cure="make a file of each"),
}
