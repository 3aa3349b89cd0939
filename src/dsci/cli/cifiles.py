"""Files of a repository that `dsci ci` writes: read, and written where nothing of anybody's is lost."""

from __future__ import annotations

from pathlib import Path

from dsci.cisetup import written
from dsci.cisetup.written import State
from dsci.errors import ConfigError, DsciError

_LIMIT = 4 << 20


def read(path: Path) -> str | None:
    """The text of a file; None where there is none. Raises ConfigError for what is no text, or cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT + 1)
        if len(content) > _LIMIT:
            raise ConfigError(f"{path} is larger than {_LIMIT >> 20} MiB", hint="name another file")
        return content.decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text", hint="name another file") from None
    except OSError as error:
        raise ConfigError(f"{path} could not be read: {error.strerror}", hint="name another file") from None


def write(path: Path, name: str, text: str, *, force: bool = False) -> str:
    """Write a file unless it is as it should be; gives what was done, in words. Raises ConflictError."""
    found = written.state(read(path), text)
    if found is State.CURRENT:
        return f"{name} is up to date"
    if not force:
        written.check(name, found)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise DsciError(f"{name} could not be written: {error.strerror}", hint="name another file") from None
    return f"{name} is written" if found is State.MISSING else f"{name} is written anew"
