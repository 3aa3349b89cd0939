"""What GitHub's runner makes of what a step prints and of the file of its outputs, by its own rules.

Sources: https://github.com/actions/runner/blob/main/src/Runner.Worker/ActionCommandManager.cs,
https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs,
https://github.com/actions/runner/blob/main/src/Runner.Worker/FileCommandManager.cs
"""

from __future__ import annotations

import re

from dsci.ci.commands import unescaped

KNOWN = frozenset(
    {
        *("internal-set-repo-path", "set-env", "set-output", "save-state", "add-path", "add-mask", "add-matcher"),
        *("remove-matcher", "debug", "warning", "error", "notice", "echo", "group", "endgroup"),
    }
)


def obeyed(log: str, *, known: frozenset[str] = KNOWN) -> list[tuple[str, str]]:
    """The commands that GitHub's runner obeys in a log, and their texts, by the rules of its ActionCommandManager."""
    found: list[tuple[str, str]] = []
    stopped = ""
    for text in log.split("\n"):
        new = re.match(r"\s*::(?P<name>[^\s:]+)(?:\s(?P<rest>.*?))?::(?P<text>.*)\Z", text.rstrip("\r"))
        old = re.search(r"##\[(?P<name>[^\]\s]+)[^\]]*\](?P<text>.*)\Z", text)
        for match in filter(None, (new, old)):
            name = match["name"]
            if stopped:
                stopped = "" if name == stopped else stopped
                break
            if name == "stop-commands":
                stopped = match["text"]
            elif name in known:
                found.append((name, unescaped(match["text"])))
            break
    assert not stopped, "the runner was never given its commands back"
    return found


def without_masks(log: str) -> str:
    """A log without the lines that tell the runner what to hide, which it shows to nobody."""
    return "\n".join(line for line in log.split("\n") if not line.startswith("::add-mask::"))


def outputs(text: str) -> dict[str, str]:
    """Outputs as the runner reads them from the file; AssertionError for what it refuses."""
    found: dict[str, str] = {}
    lines = text.split("\n")
    assert lines.pop() == ""
    while lines:
        line = lines.pop(0)
        if not line:
            continue
        name, mark = re.fullmatch(r"([^=<]+)<<(.+)|(?!)", line).groups()  # type: ignore[union-attr]
        end = lines.index(mark)
        found[name] = "\n".join(lines[:end])
        del lines[: end + 1]
    return found
