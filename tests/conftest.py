"""What holds for every test: generated examples are the same in each run, unless all tests are asked for."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("sample", derandomize=True, max_examples=30)
settings.register_profile("search", derandomize=False, print_blob=True)
settings.load_profile("search" if os.environ.get("DSCI_TEST_SEARCH") else "sample")
