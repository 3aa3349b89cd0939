"""`dsci test --driver tar`: where the image is whose layers are looked at.

container-structure-test unpacks it to a folder, and then follows absolute links and `..` to the files of the machine
it runs on. That is matched by nothing here: a test of an image says nothing about that machine. docs/suites.md has all
that differs.
"""

from __future__ import annotations

from pathlib import Path

from dsci.cli.wiring import Session
from dsci.drivers.dockertar import image_in
from dsci.drivers.fetched import Fetched
from dsci.drivers.layerfiles import LayerFiles
from dsci.errors import BuilderError, RegistryError
from dsci.model.oci import Platform
from dsci.model.reference import Reference
from dsci.pipeline.bases import resolve_in
from dsci.pipeline.transfer import RegistrySource
from dsci.ports import ImageSource

#: container-structure-test tells files from names by these, too.
_FILES = (".tar", ".tar.gz", ".tgz")


def of_layout(folder: str) -> LayerFiles:
    """The one image of an OCI layout in a folder. Raises BuilderError."""
    from dsci.drivers.handed import layout

    return LayerFiles(layout(Path(folder))[0])


def of_image(session: Session, name: str, platform: Platform) -> LayerFiles:
    """The image in a tar by its path, or by its name: the engine's, else its registry's.

    Raises BuilderError and RegistryError where it is not to be had.
    """
    if name.endswith(_FILES):
        return LayerFiles(image_in(Path(name), platform))
    try:
        has = session.engine.image_id(name) is not None
        why = f"the engine has no image {name}"
    except BuilderError as error:
        has, why = False, error.message
    return LayerFiles(_saved(session, name, platform) if has else _remote(session, name, platform, why))


def _saved(session: Session, name: str, platform: Platform) -> ImageSource:
    path = session.run.scratch / "saved.tar"
    try:
        with path.open("wb") as file:
            session.engine.save(name, file)
    except OSError as error:
        raise BuilderError(
            f"{name} cannot be kept in {path.parent}: {error.strerror}", hint="make room there"
        ) from None
    return image_in(path, platform)


def _remote(session: Session, name: str, platform: Platform, why: str) -> ImageSource:
    reference = Reference.parse(name)
    try:
        digest = resolve_in(session.http, reference, platform)
    except RegistryError as error:
        error.message = f"{why}; {error.message}"
        raise
    if digest is None:
        raise BuilderError(f"{why}, and its registry has none for {platform}", hint="build it, or correct its name")
    return Fetched(RegistrySource(session.http, reference.repository, digest), session.run.scratch)
