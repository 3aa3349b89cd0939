"""Files for container-structure-test, made from a seed: every field, right and wrong."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

#: What the image under test has, and a little that it has not.
PATHS = (
    *("/t/c/x", "/t/a/deep", "/t/a/chain", "/t/c/rel", "/t/abs", "/t/self", "/t/dangling", "/t/folder-link"),
    *("/t/folder-link/", "/t/pipe", "/t/setuid", "/t/sticky", "/t/owned", "/t/empty", "/t/lines", "/t/latin", "/t"),
    *(
        "/",
        "/etc",
        "/etc/hosts",
        "/etc/hostname",
        "/none",
        "/t/c/x/y",
        "$HOMEDIR/x",
        "/t/$HOMEDIR",
        "t/c/x",
        "/t/./c/x",
    ),
    *("/t/c/../c/x", "//t/c/x", "/dev/null", "/.dockerenv", "/proc/1", "/t/c/d/up"),
)
MODES = (
    "-rw-r--r--",
    "-rwxr-xr-x",
    "urwxr-xr-x",
    "drwxr-xr-x",
    "dtrwxrwxrwx",
    "Lrwxrwxrwx",
    "grwxr-x---",
    "----------",
)
PATTERNS = (
    "hello",
    "^hello$",
    "hello\\n",
    "x",
    "",
    "(",
    "\\pL",
    "[[:alpha:]]+",
    "\\Qa.b\\E",
    "a\\nb",
    "last$",
    "(?i)HELLO",
    "é",
)
COMMANDS: tuple[list[str], ...] = (
    ["echo", "hello"],
    ["echo", "$GREETING", "${NUM}", "$1", "$$", "$UNSET", "$(date)"],
    ["sh", "-c", "echo out; echo err >&2; exit 3"],
    ["sh", "-c", "exit $NUM"],
    ["false"],
    ["nonsense"],
    ["/t/c/x"],
    ["/t"],
    ["cat", "/t/lines"],
    ["cat", "/none"],
    ["env"],
    ["pwd"],
    ["id", "-u"],
    ["sh", "-c", "echo hello > /left"],
    ["sh", "-c", "test ! -e /left && echo clean"],
    ["sh", "-c", "test -e /set && cat /set"],
    ["sh", "-c", "printf 'caf\\351'"],
    ["sh", "-c", "kill -9 $$$$"],
    ["echo ENTRY"],
)
STEPS: tuple[list[list[str]], ...] = (
    [["sh", "-c", "echo hello > /set"]],
    [["false"]],
    [["touch", "/set"], ["sh", "-c", "echo two >> /set"]],
    [["sh", "-c", "echo $A > /set"]],
)
PORTS = ("8080", "8080/tcp", "53", "53/udp", "443", "9")


class Maker:
    """Random choices that come back with the seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._count = 0

    def maybe(self, chance: float, make: Callable[[], Any], into: dict[str, Any], key: str) -> None:
        """Put a field in, or not."""
        if self._random.random() < chance:
            into[key] = make()

    def one(self, of: tuple[Any, ...]) -> Any:
        return self._random.choice(of)

    def some(self, of: tuple[Any, ...]) -> list[Any]:
        return [self._random.choice(of) for _ in range(self._random.choice((1, 1, 2)))]

    def name(self) -> str:
        self._count += 1
        return f"n{self._count}" if self._random.random() < 0.97 else ""

    def variable(self) -> dict[str, Any]:
        key = self.one(("GREETING", "NUM", "EMPTY", "A", "HOMEDIR", "EQ"))
        return {"key": key, "value": self.one(("hello world", "1.10", "$GREETING", "a b", "/t/c", "a=b=c", "x"))}

    def command(self, *, old: bool = False) -> dict[str, Any]:
        argv = self.one(COMMANDS)
        test: dict[str, Any] = {"name": self.name()}
        test |= {"command": argv} if old else {"command": argv[0], "args": argv[1:]}
        self.maybe(0.3, lambda: self.one((0, 1, 3, 127, 137)), test, "exitCode")
        for key in ("expectedOutput", "excludedOutput", "expectedError", "excludedError"):
            self.maybe(0.2, lambda: self.some(PATTERNS), test, key)
        self.maybe(0.2, lambda: [self.variable()], test, "envVars")
        self.maybe(0.15, lambda: self.one(STEPS), test, "setup")
        self.maybe(0.05, lambda: [["true"]], test, "teardown")
        return test

    def existence(self, *, old: bool = False) -> dict[str, Any]:
        test: dict[str, Any] = {"name": self.name(), "path": self.one(PATHS), "shouldExist": True}
        if self._random.random() < 0.3:
            return {"name": test["name"], "path": test["path"], "shouldExist": False}
        self.maybe(0.3, lambda: self.one(MODES), test, "permissions")
        if not old:
            self.maybe(0.2, lambda: self.one((0, 12, -1)), test, "uid")
            self.maybe(0.2, lambda: self.one((0, 34, -1)), test, "gid")
            self.maybe(0.2, lambda: self.one(("owner", "group", "other", "any", "nobody")), test, "isExecutableBy")
        return test

    def content(self) -> dict[str, Any]:
        test: dict[str, Any] = {"name": self.name(), "path": self.one(PATHS)}
        self.maybe(0.6, lambda: self.some(PATTERNS), test, "expectedContents")
        self.maybe(0.3, lambda: self.some(PATTERNS), test, "excludedContents")
        return test

    def metadata(self) -> dict[str, Any]:
        test: dict[str, Any] = {}
        self.maybe(0.3, lambda: [{**self.variable(), "isRegex": self.one((True, False))}], test, "envVars")
        self.maybe(0.2, lambda: [{"key": self.one(("A", "NUM"))}], test, "unboundEnvVars")
        self.maybe(
            0.3,
            lambda: [{"key": self.one(("version", "multi", "z")), "value": self.one(("1.10", "a b"))}],
            test,
            "labels",
        )
        self.maybe(0.2, lambda: self.one(([], ["/entry.sh", "entry"], ["x"])), test, "entrypoint")
        self.maybe(0.2, lambda: self.one(([], ["cmd", "x y"])), test, "cmd")
        self.maybe(0.3, lambda: self.some(PORTS), test, "exposedPorts")
        self.maybe(0.2, lambda: self.some(PORTS), test, "unexposedPorts")
        self.maybe(0.2, lambda: self.some(("/data", "/z")), test, "volumes")
        self.maybe(0.2, lambda: self.some(("/data", "/z")), test, "unmountedVolumes")
        self.maybe(0.2, lambda: self.one(("/t", "/", "")), test, "workdir")
        self.maybe(0.2, lambda: self.one(("0", "root", "")), test, "user")
        return test

    def file(self, commands: int, others: int, *, old: bool = False) -> dict[str, Any]:
        """A whole file."""
        made: dict[str, Any] = {"schemaVersion": "1.0.0" if old else "2.0.0"}
        self.maybe(0.5, lambda: [{"key": "A", "value": "g-$GREETING"}], made, "globalEnvVars")
        made["commandTests"] = [self.command(old=old) for _ in range(commands)]
        made["fileExistenceTests"] = [self.existence(old=old) for _ in range(others)]
        made["fileContentTests"] = [self.content() for _ in range(others)]
        if not old:
            self.maybe(0.9, self.metadata, made, "metadataTest")
        self.maybe(0.2, lambda: [{"files": self.some(PATHS)}], made, "licenseTests")
        return made


def document(file: dict[str, Any]) -> str:
    """JSON is YAML."""
    return json.dumps(file, indent=1)
