"""What holds for every test: generated examples are the same in each run, unless all tests are asked for."""

from __future__ import annotations

import os

from hypothesis import settings

# Nothing is judged by the clock: machines are busy.
settings.register_profile("sample", derandomize=True, max_examples=30, deadline=None)
settings.register_profile("search", derandomize=False, print_blob=True, deadline=None)
settings.load_profile("search" if os.environ.get("DSCI_TEST_SEARCH") else "sample")
