"""How many generated examples a test tries: a sample, or four times as many where all tests are asked for."""

from __future__ import annotations

import os


def examples(count: int) -> int:
    """A quarter of this many, 10 at least; all of them in `scripts/test --all`."""
    return count if os.environ.get("DSCI_TEST_SEARCH") else max(10, count // 4)
