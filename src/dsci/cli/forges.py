"""Which forge a repository's release pages are on, as dsci.yaml, the Git remote and the environment say."""

from __future__ import annotations

import os
from collections.abc import Callable

from dsci.drivers import forge
from dsci.drivers.routes import Network
from dsci.errors import ConfigError


def connect(
    origin: str | None, kind: str, *, say: Callable[[str], None], trace: Callable[[str], None] | None
) -> forge.GitHub | forge.GitLab | None:
    """The forge for the remote; None where nobody asked for one and there is none, or no token for it.

    Raises ConfigError and AuthError where one is named and cannot be had.
    """
    place = forge.where(origin, os.environ, kind)
    token = forge.token(place, os.environ) if place else None
    if kind == "auto" and token is None:
        say("no release pages: " + ("there is no token for the forge" if place else "no forge is known"))
        return None
    if place is None:
        raise ConfigError(
            f"forge: {kind}: neither the remote's address nor the CI system says where the project is",
            hint="add the remote, or write `forge: none` in dsci.yaml",
        )
    return forge.connect(place, token, network=Network.from_environment(os.environ), trace=trace, waits=say)
