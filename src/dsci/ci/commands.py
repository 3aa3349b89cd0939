"""Commands to GitHub's runner, which obeys lines that a step prints: annotations, groups, masks, and none of others.

Between `stop` and `resume` the runner takes nothing for a command but the word that it was given. What is printed, and
in which order, is the command line's to see to.

Sources: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands,
https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts (what is escaped, and how),
https://github.com/actions/runner/blob/main/src/Runner.Worker/ActionCommandManager.cs (what is obeyed)
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from dsci.ci.place import place_in
from dsci.model.text import clean, line

#: A shorter text is not masked: the runner would take it out of every line, and a log without `main` says nothing.
SHORTEST = 8
_TITLE = 200


def command(name: str, text: str = "", **properties: str | int | None) -> str:
    """A command, in one line whatever is in its text; properties without a value are left out."""
    said = [f"{key}={_property(str(value))}" for key, value in properties.items() if value not in (None, "")]
    return f"::{name}{' ' if said else ''}{','.join(said)}::{_data(text)}"


def group(title: str, body: str) -> str:
    """Lines that are folded, below a title: the commands around them stand on lines of their own."""
    return f"{begin(title)}\n{body}\n{END}"


def begin(title: str) -> str:
    """What begins a group."""
    return command("group", line(title, _TITLE))


END = "::endgroup::"


def stop(token: str) -> str:
    """From here on nothing is a command, until `resume` says this word, which nobody else may know."""
    return f"::stop-commands::{token}"


def resume(token: str) -> str:
    """What is said after this may be a command again."""
    return f"::{token}::"


def masks(secret: str, *, user: str = "") -> Iterator[str]:
    """Commands that keep a secret out of the log, in every form that dsci or Git or a registry give it.

    These are the text itself, its base64 form, the one that basic authentication sends with the user's name, and the
    one in a URL. Of several lines each is masked: the whole would be masked line by line, down to single brackets.
    """
    forms: list[str] = []
    for part in secret.splitlines():
        forms += [part.strip(), quote(part.strip(), safe="")]
    for text in (secret, *([f"{user}:{secret}"] if user else [])):
        forms.append(base64.b64encode(text.encode(errors="surrogateescape")).decode())
    if len(secret.strip()) >= SHORTEST:
        yield from (command("add-mask", form) for form in dict.fromkeys(forms) if len(form) >= SHORTEST)


def error(message: str, hint: str = "") -> str:
    """Why dsci stopped, as an annotation; at the file that the message begins with, where it does."""
    text = "\n".join(filter(None, (clean(message).strip(), clean(hint).strip())))
    file, number = place_in(text)
    return command("error", text, file=file, line=number, title="dsci")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def unescaped(text: str) -> str:
    """What the runner reads of a command's text."""
    for mark, meant in _ESCAPES.items():
        text = text.replace(mark, meant)
    return text


_ESCAPES: Mapping[str, str] = {"%0D": "\r", "%0A": "\n", "%25": "%"}
