"""Lists of packages by syft, which knows more kinds of them than dsci does: rpm, npm, Go, Rust, Java and others.

Source: https://github.com/anchore/syft/wiki/output-formats, `syft scan --help` (1.18)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dsci.drivers import outside, process
from dsci.errors import ConfigError, RegistryError
from dsci.model.sbom import Form
from dsci.ports import ImageSource

_INSTALL = "install syft, or let dsci list packages itself: `sbom_by: dsci`"
_TIMEOUT = 1800.0
_SAID = 400


class Syft:
    """Implements `ports.Lister`; safe for threads."""

    def __init__(self, environment: Mapping[str, str], scratch: Path) -> None:
        """`scratch` is a folder for images to lie in while they are looked at."""
        self._environment, self._scratch = environment, scratch

    def check(self) -> None:
        """Raises ConfigError where there is no syft."""
        seen = outside.seen(self._environment, self._scratch)
        ended = process.run(["syft", "version"], timeout=60, env=seen, kind=ConfigError, hint=_INSTALL)
        if ended.returncode:
            raise ConfigError("`syft version` fails", hint=_INSTALL)

    def packages(self, source: ImageSource, form: Form, name: str) -> bytes:
        """The list of an image's packages as syft writes it, under this name. Raises RegistryError."""
        with outside.laid_out(source, self._scratch) as layout:
            argv = ["syft", "scan", f"oci-dir:{layout}", f"--output={form}-json", "--quiet"]
            argv += [f"--source-name={name}", f"--source-version={source.descriptor.digest}"]
            ended = process.run(
                argv,
                timeout=_TIMEOUT,
                env=outside.seen(self._environment, self._scratch),
                cwd=layout,
                kind=RegistryError,
                hint=_INSTALL,
            )
        if ended.returncode:
            said = ended.stderr.decode(errors="replace").strip().replace(str(layout), "the image")[-_SAID:]
            raise RegistryError(f"syft cannot list the packages of {name}: {said or 'it says nothing'}", hint=_INSTALL)
        return ended.stdout
