"""A user's own template for a changelog, through Jinja.

The sandbox keeps a template to the document that it is given. There is no loader: a template is one file. Nothing is
escaped by itself, as nobody but the template knows what it writes; the filter `markdown` makes foreign text harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsci.errors import ConfigError
from dsci.model.markdown import escape
from dsci.model.text import line


def render(path: Path, document: Mapping[str, Any]) -> str:
    """The document as the template in this file writes it. Raises ConfigError for a template that does not."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {_reason(error)}", hint="name a readable file of text in UTF-8") from None
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["markdown"] = lambda text: escape(str(text))
    try:
        return environment.from_string(source).render(document)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"{path}:{error.lineno}: {line(error.message or '', 300)}", hint=_HINT) from None
    except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}:{_row(error)}: {line(str(error), 300)}", hint=_HINT) from None


_HINT = "see docs/changelog.md for what a template is given, or print it with `dsci changelog --json`"


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "cannot be read" if isinstance(error, OSError) else "is not UTF-8"


def _row(error: BaseException) -> int:
    """The line of the template at which it failed: Jinja maps tracebacks to it."""
    row, trace = 1, error.__traceback__
    while trace is not None:
        row = trace.tb_lineno if trace.tb_frame.f_code.co_filename == "<template>" else row
        trace = trace.tb_next
    return row
