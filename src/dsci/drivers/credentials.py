"""Who we are to a registry: the value that `keychain` and `tokenvariables` find, and that others show.

Nothing is looked for here, and nothing is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: The key under which Docker has kept Docker Hub's credentials since before registries had a version 2.
HUB_KEY = "https://index.docker.io/v1/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who we are to a registry; the repr tells the user and the place, never a secret."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """An OAuth2 refresh token: exchanged for access tokens, never sent to the registry itself."""
    registry_token: str = field(default="", repr=False)
    """A bearer token that is used as it is."""
    source: str = ""
    """Where this was found, for messages."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text in here that must never be shown."""
        return tuple(text for text in (self.password, self.identity_token, self.registry_token) if text)
