"""Scans by trivy or grype, of an image that lies before them as a folder: they need no registry and no password.

The program sees its own settings, its caches, proxies and certificates, and nothing else of this machine's environment;
what it is to ignore it finds in the repository (`.trivyignore`, `.grype.yaml`). That it could not look (no database, a
busy server, a crash) is said, and is no verdict. What its report means is said in `model.scan`.

Sources: `trivy image --help` (--input takes an OCI layout),
https://github.com/anchore/grype#supported-sources (oci-dir)
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from dsci.drivers import outside, process
from dsci.errors import ConfigError, DsciError
from dsci.model import scan
from dsci.model.scan import Scanned
from dsci.model.settings import ScanSettings
from dsci.ports import ImageSource

_TIMEOUT = 1800.0
_SAID = 400


class Scanner:
    """Implements `ports.Scanner`; safe for threads."""

    def __init__(self, settings: ScanSettings, environment: Mapping[str, str], *, root: str, scratch: Path) -> None:
        """`root` is the repository's, `scratch` a folder for images to lie in while they are looked at."""
        self._root, self._scratch = root, scratch
        names: tuple[Literal["trivy", "grype"], ...] = (
            (settings.tool,) if settings.tool != "auto" else ("trivy", "grype")
        )
        self._wanted = " or ".join(names)
        there = (name for name in names if shutil.which(name, path=environment.get("PATH")))
        self._tool: Literal["trivy", "grype"] | None = next(there, None)
        self._environment = environment

    def check(self) -> None:
        """Raises ConfigError where there is no scanner at all."""
        if self._tool is None:
            raise ConfigError(
                f"images are to be scanned, and {self._wanted} is not on PATH",
                hint="install it, or write `scan: {unknown: warn}` in dsci.yaml",
            )

    def scan(self, source: ImageSource) -> Scanned:
        """What is known of an image. Raises RegistryError where the image cannot be read."""
        if self._tool is None:
            return Scanned(tool=self._wanted, problem=f"{self._wanted} is not on PATH")
        with outside.laid_out(source, self._scratch) as layout:
            return self._run(self._tool, layout)

    def _run(self, tool: Literal["trivy", "grype"], layout: Path) -> Scanned:
        argv = {
            "trivy": ["trivy", "image", "--format=json", "--scanners=vuln", "--exit-code=0", f"--input={layout}"],
            "grype": ["grype", f"oci-dir:{layout}", "--output=json"],
        }[tool]
        seen = outside.seen(self._environment, layout)
        try:
            ended = process.run([*argv, "--quiet"], timeout=_TIMEOUT, env=seen, cwd=self._root, kind=DsciError)
        except DsciError as error:
            return Scanned(tool=tool, problem=error.message)
        found = scan.read(tool, ended.stdout)
        if ended.returncode and not found.found:  # with some, it was told elsewhere to fail for them
            lines = ended.stderr.decode(errors="replace").strip().splitlines()
            said = lines[-1][:_SAID] if lines else "it says nothing"
            return Scanned(tool=tool, problem=f"{tool} ended with {ended.returncode}: {said}")
        return found
