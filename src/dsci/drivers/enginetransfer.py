"""Images from the engine to a registry, without a detour: the engine sends what the registry lacks.

It has the layers, and mounts those that another repository of the registry has. Where it cannot (a network or a
certificate that only this process knows), the reason is given, and whoever asked goes the long way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dsci.drivers.keychain import HUB_KEY, Credentials
from dsci.drivers.routes import redacted
from dsci.model.reference import DOCKER_HUB, Reference

_SHOWN = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One engine that sends."""

    client: Any
    """docker-py's `APIClient`."""
    remove: Callable[[Reference], None]
    """Takes a name out of the engine, if it is there."""
    stopped: threading.Event
    """Set when the run is to end: nothing is waited for any more."""

    def push(self, name: Reference, to: Reference, who: Credentials | None) -> str:
        """Send a local image under this tag. Gives why that failed, or "".

        Source: https://docs.docker.com/reference/api/engine/version/v1.45/#tag/Image/operation/ImagePush
        """
        self.client.tag(str(name), str(to.repository), to.tag)
        try:
            return self._failure(
                self.client.push(str(to.repository), tag=to.tag, stream=True, decode=True, auth_config=login(to, who))
            )
        finally:
            self.remove(to)

    def _failure(self, told: Iterable[Any]) -> str:
        """Listen to the end of the engine's story; what it says went wrong. One without a digest has no end."""
        sent = False
        for event in told:
            if self.stopped.is_set():
                return "this run was stopped"
            if not isinstance(event, dict):
                continue
            if error := event.get("error") or (event.get("errorDetail") or {}).get("message"):
                return shown(str(error))
            sent = (
                sent or bool((event.get("aux") or {}).get("Digest")) or " digest: sha256:" in f" {event.get('status')}"
            )
        return "" if sent else "the engine stopped telling before it named what it had sent"


def shown(text: str) -> str:
    """What an engine says, its URLs without what may be a signature, shortened in the middle: the cause stands last."""
    text = redacted(text)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} … {text[-_SHOWN // 2 :]}"


def login(place: Reference, who: Credentials | None) -> dict[str, str]:
    """What the engine shows the registry; nothing for a stranger, so that it looks for nothing itself.

    Source: https://docs.docker.com/reference/api/engine/version/v1.45/#section/Authentication
    """
    if who is None:
        return {}
    registry = place.repository.registry
    address = {"serveraddress": HUB_KEY if registry == DOCKER_HUB else registry}
    if who.identity_token:
        return address | {"identitytoken": who.identity_token}
    if who.registry_token:
        return address | {"registrytoken": who.registry_token}
    return address | {"username": who.username, "password": who.password}
