"""The pytest plugin: fixtures for the image that `--dsci-image` names; without it, nothing at all.

pytest loads it wherever dsci is installed, so it costs two options; fixtures are defined once an image is named, and
never hide those of others before that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

#: What containers may be allowed to reach (`settings.Allowance`, without what dsci itself is asked for).
ALLOWANCES = ("bind-mounts", "capabilities", "privileged")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("dsci", "tests of a container image, with the fixtures image, container, exec and http")
    group.addoption("--dsci-image", metavar="REF", help="Test this image of the Docker Engine.")
    group.addoption(
        "--dsci-allow",
        metavar="WHAT",
        action="append",
        default=[],
        choices=ALLOWANCES,
        help=f"Let containers reach the engine's machine so; may be repeated: {', '.join(ALLOWANCES)}.",
    )
    group.addoption("--dsci-session", metavar="FILE", help="How dsci itself started this session.")


def pytest_configure(config: pytest.Config) -> None:
    """Bring in the fixtures, if there is an image to test."""
    if config.getoption("--dsci-image") or config.getoption("--dsci-session"):
        from dsci import fixtures

        config.pluginmanager.register(fixtures, "dsci.fixtures")
