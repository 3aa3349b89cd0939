"""How fast a host may be asked. To a server all workers of a run are one client, so they share one pace per host.

A host that says "too many requests" is left alone for as long as it asks for, by everybody. When it says so again,
requests go there one by one with a gap between them, which grows while it goes on complaining and shrinks while it
answers. What is asked, and whether it is asked again, is `transport`'s business.

Sources: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3 (Retry-After),
https://www.rfc-editor.org/rfc/rfc6585#section-4 (429).
"""

from __future__ import annotations

import random
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

#: The longest that a server may make us wait, in seconds: GitHub and Docker Hub ask for a minute, others for a day.
RETRY_AFTER_LIMIT = 120.0
#: Seconds between two requests after the second complaint; the most; below which there is none; shrinking per answer.
_FIRST_GAP, _LONGEST_GAP, _SHORTEST_GAP, _SHRINK = 0.05, 2.0, 0.01, 0.95


class Clock(Protocol):
    """Time that only goes forward, and patience: the `time` module, or a test's."""

    def monotonic(self) -> float:
        """Seconds since some moment."""

    def sleep(self, seconds: float, /) -> None:
        """Let this much time go by."""


@dataclass(slots=True)
class _Host:
    """When the next request may go there, and how much later the one after it."""

    next: float = 0.0
    held: float = 0.0
    gap: float = 0.0


class Pace:
    """One for all hosts. Safe for threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}

    def wait(self, place: str) -> None:
        """Until it is our turn to ask there."""
        host, turn = self._hosts.get(place), 0.0
        while host is not None:
            with self._lock:
                now = self._clock.monotonic()
                if not turn or turn < host.held:  # told to wait meanwhile: queue anew
                    turn = max(now, host.held, host.next)
                    host.next = turn + host.gap
                if turn <= now:
                    return
            self._clock.sleep(turn - now)

    def throttled(self, place: str, seconds: float) -> None:
        """The host wants to be left alone for so long. Complaints of one burst count once."""
        with self._lock:
            host, now = self._hosts.setdefault(place, _Host()), self._clock.monotonic()
            if 0 < host.held <= now:
                host.gap = min(max(host.gap * 2, _FIRST_GAP), _LONGEST_GAP)
            host.held = max(host.held, now + seconds + random.uniform(0, min(1.0, seconds / 10)))
            host.next = max(host.next, host.held)

    def answered(self, place: str) -> None:
        """The host did what it was asked."""
        host = self._hosts.get(place)
        if host is not None and host.gap:
            with self._lock:
                host.gap = host.gap * _SHRINK if host.gap > _SHORTEST_GAP else 0.0


def retry_after(text: str | None, date: str | None = None, limit: float = RETRY_AFTER_LIMIT) -> float | None:
    """Seconds to wait, from whole seconds or an HTTP date, at most `limit`; None for anything else.

    A date is measured from the answer's own `Date`, where it has one: the two clocks need not agree.
    """
    text = (text or "").strip()
    if re.fullmatch(r"[0-9]{1,10}", text):
        return min(float(text), limit)
    when = _moment(text)
    if when is None:
        return None
    now = _moment(date or "")
    return min(max(when - (time.time() if now is None else now), 0.0), limit)


def _moment(text: str) -> float | None:
    """Seconds since 1970 of an HTTP date."""
    try:
        when: datetime = parsedate_to_datetime(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
