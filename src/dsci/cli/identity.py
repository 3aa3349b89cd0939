"""Who we are to registries: what the command line, the environment and Docker's own settings say of it.

Nothing is asked of a registry here. What is read is hidden from a CI system's log as soon as it is known.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dsci.errors import ConfigError

if TYPE_CHECKING:
    from dsci.drivers.credentials import Credentials
    from dsci.drivers.keychain import Keychain
    from dsci.drivers.tokenvariables import CommandLine

_LIMIT = 64 * 1024


class Identity:
    """The credentials of one call."""

    def __init__(
        self, registries: tuple[str, ...], token_file: str, hide: Callable[[str, str], None], *, stranger: bool
    ) -> None:
        """`token_file` is what --registry-token-file says: a file, or `-` for stdin.

        For a `stranger`, whose code is looked at here for the first time, we are nobody, whatever this machine knows:
        what is pulled with our credentials could be read by what is built on it.
        """
        self._registries = registries
        self._stranger = stranger
        self._token_file = token_file
        self._hide = hide

    @cached_property
    def keychain(self) -> Keychain:
        """The credentials for any registry. Raises ConfigError for a token that cannot be read."""
        from dsci.drivers.keychain import Keychain

        if self._stranger:
            return Keychain.empty()
        return Keychain.from_environment(os.environ, Path.home(), self._said, self._found)

    @property
    def insecure(self) -> tuple[str, ...]:
        """Who is spoken to by plain HTTP, which shows a password to the whole network: not for dsci.yaml to choose."""
        return tuple(os.environ.get("DSCI_INSECURE_REGISTRIES", "").replace(",", " ").split())

    def environment(self, scratch: Callable[[], Path]) -> Mapping[str, str]:
        """The environment for programs that look for credentials as the docker command does. Raises ConfigError."""
        from dsci.drivers import lentlogin

        if self._stranger:
            return lentlogin.bare(os.environ, scratch())
        if self.keychain.beyond_docker:
            return lentlogin.lend(os.environ, self._said, scratch())
        return os.environ

    @cached_property
    def _said(self) -> CommandLine:
        from dsci.drivers.tokenvariables import CommandLine
        from dsci.model.reference import Repository

        hosts = frozenset(Repository.parse(f"{prefix}/x").registry for prefix in self._registries)
        token = _token(self._token_file) if self._token_file else ""
        self._hide(token, "")
        return CommandLine(hosts=hosts, token=token)

    def _found(self, credentials: Credentials) -> None:
        for secret in credentials.secrets:
            self._hide(secret, credentials.username)


def _token(place: str) -> str:
    """The token in a file, or on stdin for `-`, without the end of its line. Raises ConfigError."""
    name = "stdin" if place == "-" else place
    try:
        if place == "-":
            content = sys.stdin.buffer.read(_LIMIT + 1)
        else:
            with open(place, "rb") as file:
                content = file.read(_LIMIT + 1)
        token = content.decode().strip()
    except OSError as error:
        raise ConfigError(
            f"--registry-token-file: cannot read {name}: {error.strerror}", hint="name a file that holds the token"
        ) from None
    except UnicodeDecodeError:
        token = ""
    if not token or len(token.split()) != 1 or len(content) > _LIMIT:
        raise ConfigError(f"--registry-token-file: {name} holds no token", hint="one token, and nothing beside it")
    return token
