"""An image of a registry, whose blobs are brought to disk when they are first wanted: only what is looked at comes."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from dsci.drivers.files import write_whole
from dsci.drivers.verify import chunks
from dsci.errors import BuilderError
from dsci.model.oci import Descriptor
from dsci.ports import ImageSource


class Fetched:
    """The same image, as an `ImageSource` that can be read at any place."""

    def __init__(self, source: ImageSource, folder: Path) -> None:
        """`folder` is where blobs are kept; whoever names it removes it."""
        self._source, self._folder = source, folder
        self.descriptor, self.manifest = source.descriptor, source.manifest

    def open(self, blob: Descriptor) -> BinaryIO:
        """A layer, or the config. Raises what the source raises, and BuilderError where there is no room."""
        path = self._folder / blob.digest.hex
        try:
            if not path.exists():
                with self._source.open(blob) as stream:
                    write_whole(path, chunks(stream), self._folder)
            return path.open("rb")
        except OSError as error:
            raise BuilderError(
                f"{blob.digest} cannot be kept in {self._folder}: {error.strerror}", hint="make room there"
            ) from None
