"""The ways dsci can fail, each with an exit code and a next step.

A failing Dockerfile or a failing suite is no exception: it is an `Outcome` in the report (exit 1). What stands here is
everything that stops dsci from doing its work: a wrong setting, a history that cannot be trusted, an engine or a
registry that does not answer, a name that somebody else holds. Every message says what happened and where; every hint
says what to do next. Nothing here prints or exits: the command line does.
"""

from __future__ import annotations


class DsciError(Exception):
    """A failure with a message for people, an exit code for machines and a next step for both."""

    exit_code = 1
    next_step = "look at what would be done with `dsci plan`"
    """What to do about any error of this kind, for those that give no hint of their own."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def about(self, subject: str) -> None:
        """Say what it happened to, unless the message does."""
        if subject not in self.message:
            self.message = f"{subject}: {self.message}"


class ConfigError(DsciError):
    """The repository's settings or Dockerfiles say something dsci cannot act on (exit 2)."""

    exit_code = 2
    next_step = "correct it there; `dsci plan` shows what comes of it"


class HistoryError(DsciError):
    """Git cannot tell the truth here: no repository, no commits, a shallow clone (exit 3)."""

    exit_code = 3
    next_step = "see `git status` and `git fsck`"


class BuilderError(DsciError):
    """The Docker Engine or BuildKit is missing, too old or broken (exit 4). `temporary`: trying again may help."""

    exit_code = 4
    next_step = "see what `docker info` and `docker buildx version` say"

    def __init__(self, message: str, *, hint: str = "", temporary: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.temporary = temporary


class RegistryError(DsciError):
    """A registry did not do what it was asked (exit 5). `temporary` tells whether trying again may help."""

    exit_code = 5
    next_step = "try again; with `dsci --debug` every request is shown"

    def __init__(self, message: str, *, hint: str = "", temporary: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.temporary = temporary


class AuthError(RegistryError):
    """A registry or a forge refused the credentials, or there were none (exit 5)."""


class UnsupportedError(RegistryError):
    """A registry does not do this at all, or not by the distribution API (exit 5)."""


class ForgeError(DsciError):
    """GitHub or GitLab did not do what it was asked (exit 5). `temporary` tells whether trying again may help."""

    exit_code = 5
    next_step = "run `dsci release` again: what is claimed stays claimed, and only what is missing is written"

    def __init__(self, message: str, *, hint: str = "", temporary: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.temporary = temporary


class ConflictError(DsciError):
    """An immutable name already points elsewhere, or a claim was lost to another release (exit 6)."""

    exit_code = 6
    next_step = "run `dsci release` again: it starts from what is claimed now"
