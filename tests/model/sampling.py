"""Which generated examples a test tries: a sample, or more and other ones where all tests are asked for."""

from __future__ import annotations

import os
import random

#: Whether all tests are asked for (`scripts/test --all`): then generated examples are new ones each time.
SEARCH = bool(os.environ.get("DSCI_TEST_SEARCH"))


def examples(count: int) -> int:
    """A quarter of this many, 10 at least; all of them in `scripts/test --all`."""
    return count if SEARCH else max(10, count // 4)


def numbers(count: int) -> range:
    """The numbers from which to generate that many examples: always the same ones, or ones that nobody has tried."""
    first = random.SystemRandom().randrange(1_000_000, 1 << 48) if SEARCH else 0
    return range(first, first + count)
