"""The file that a step of GitHub's sets its outputs with: lines that say what they should, whatever is in the values.

Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#multiline-strings
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec


def github_output(values: Mapping[str, Any], token: Callable[[], str]) -> str:
    """The lines that set these outputs as JSON, each between two marks that nobody could foresee."""
    return plain_output({name: msgspec.json.encode(value).decode() for name, value in values.items()}, token)


def plain_output(values: Mapping[str, str], token: Callable[[], str]) -> str:
    """The lines that set these outputs as they are, each between two marks that nobody could foresee.

    `token` gives another random word at each call; a mark that stands in a value is not taken.
    """
    lines: list[str] = []
    for name, value in values.items():
        text = value.replace("\r", "")
        while (mark := f"dsci_{token()}") in text:
            pass
        lines += [f"{name}<<{mark}", text, mark]
    return "".join(f"{line}\n" for line in lines)
