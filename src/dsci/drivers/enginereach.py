"""How a port of a container is reached from here: where the engine publishes it, or the container's own address.

An engine on this machine publishes on loopback, so nobody else on the network meets what is tested. Where dsci runs in
a container itself, beside the engine's socket, that is not its own loopback: the container's address is reached then.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from dsci.drivers.engineclient import endpoint

#: The engine's machine, where it is this one.
HERE = "127.0.0.1"
#: Seconds that a connection may take, and that a proxy may take to find out that nobody listens behind it.
_CONNECT, _HEAR = 1.0, 0.3


def machine(environment: Mapping[str, str]) -> str:
    """The machine on which containers' ports are published, as it is reached from here."""
    url, _, _ = endpoint(environment)
    return urlsplit(url).hostname or HERE


def bound(host: str) -> str:
    """The address of the engine's machine on which it is to publish, by how that machine is reached."""
    return HERE if host == HERE else "0.0.0.0"  # else nobody here could reach it


def address(settings: Mapping[str, Any], port: int, host: str) -> tuple[str, int] | None:
    """Host and port at which a container's TCP port is reached; None where nothing listens.

    `settings` are the `NetworkSettings` of the engine's inspection.
    """
    return next((place for place in _places(settings, port, host) if listens(place)), None)


def _places(settings: Mapping[str, Any], port: int, host: str) -> Iterator[tuple[str, int]]:
    for binding in (settings.get("Ports") or {}).get(f"{port}/tcp") or ():
        yield host, int(binding["HostPort"])
    for network in (settings.get("Networks") or {}).values():
        if network.get("IPAddress"):
            yield str(network["IPAddress"]), port


def listens(place: tuple[str, int]) -> bool:
    """Whether something listens there. The engine's proxy takes every connection, and closes it if nobody does."""
    try:
        connection = socket.create_connection(place, _CONNECT)
    except OSError:
        return False
    with connection:
        connection.settimeout(_HEAR)
        try:
            return connection.recv(1, socket.MSG_PEEK) != b""
        except TimeoutError:
            return True
        except OSError:
            return False
