"""For every test: generated examples are the same in each run, unless all are asked for; how long one may take."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# Nothing is judged by the clock: machines are busy.
settings.register_profile("sample", derandomize=True, max_examples=30, deadline=None)
settings.register_profile("search", derandomize=False, print_blob=True, deadline=None)
settings.load_profile("search" if os.environ.get("DSCI_TEST_SEARCH") else "sample")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is known to take minutes may take an hour; the rest has what pyproject.toml says."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(3600))
