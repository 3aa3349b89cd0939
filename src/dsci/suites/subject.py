"""The image under test, as every kind of suite sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import msgspec

from dsci.model.oci import Platform
from dsci.model.reference import Reference
from dsci.ports import Container, Engine


class Subject(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """An image in the engine, the time a run in it may take, and the suite's files from Git."""

    engine: Engine
    image: Reference
    platform: Platform
    timeout: float
    read: Callable[[str], bytes]
    """A suite file's content by its path from the repository's root."""
    executable: Callable[[str], bool]

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The image's config object."""
        return self.engine.config(self.image)

    @cached_property
    def environment(self) -> Mapping[str, str]:
        """The image's own environment."""
        return dict(str(item).split("=", 1) for item in self.config.get("Env") or () if "=" in str(item))

    def container(
        self,
        *,
        entrypoint: Sequence[str] | None = None,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        volume: tuple[str, bytes] | None = None,
    ) -> AbstractContextManager[Container]:
        """A fresh container of the image."""
        return self.engine.container(
            self.image,
            platform=self.platform,
            entrypoint=entrypoint,
            command=command,
            environment=environment,
            volume=volume,
        )
