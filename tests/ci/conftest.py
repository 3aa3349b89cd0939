"""What the tests of CI systems share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.realregistry import RealRegistry


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """One registry for the tests of a module; every test has a prefix of its own in it."""
    registry = RealRegistry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.stop()
