"""What a session of pytest on this machine is told: the image, and whose its containers are.

`hostside` writes it down for the sessions that it starts; one that was started by a person makes its own.
"""

from __future__ import annotations

import msgspec

#: The label of a session's containers, beside that of its run; its value is no other session's.
LABEL = "dev.dsci.session"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One session."""

    image: str
    """The image under test, as the engine knows it."""
    platform: str = ""
    """Which of its platforms; the engine's own where nothing is said."""
    labels: dict[str, str] = {}
    """What its containers are labelled with."""
    allow: tuple[str, ...] = ()
    """What of the machine its containers may reach (`config.Allowance`)."""
    allowing: str = ""
    """How more is allowed: a sentence in which `{}` stands for it."""
    processes: int = 0
    """How many may run in one container of which nothing else is said; 0 is any number."""
    memory: int = 0
    """Bytes of memory that such a container may take; 0 is all there are."""
    services: str = ""
    """The compose file of the services that are tested, or ""."""
    parent: int = 0
    """The process of the run that it belongs to; 0 where it is a run itself."""
