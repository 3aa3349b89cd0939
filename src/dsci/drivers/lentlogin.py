"""What the docker command is lent where it would not find our credentials by itself.

BuildKit's client looks into config.json, and asks for whole registries; it knows no token of the environment, and no
file of Podman's. So it is given a folder of settings like the user's own, whose config.json names a helper: a script
that asks our own keychain (`credentialhelper`). No secret is written into that folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from dsci.drivers import tokenvariables
from dsci.errors import BuilderError

#: What of config.json the docker command needs beside credentials. Headers, which may hold some, are not among it.
_KEPT = ("cliPluginsExtraDirs", "currentContext", "plugins", "proxies")


def lend(environment: Mapping[str, str], said: tokenvariables.CommandLine, folder: Path) -> dict[str, str]:
    """An environment in which the docker command sees what we see; `folder` is this run's, and goes with it.

    Raises ConfigError for a token of nobody's, BuilderError where the folder cannot be written.
    """
    own, helper = _own(environment), folder / "helper"
    lent = tokenvariables.lent(environment, said)
    with _told(folder):
        helper.mkdir(mode=0o700)
        program = helper / "docker-credential-dsci"
        # -P: what lies in the folder that a build is run in, such as a json.py, is no code of ours.
        program.write_text(
            f"#!/bin/sh\nDOCKER_CONFIG={shlex.quote(str(own))} "
            f'exec {shlex.quote(sys.executable)} -P -m dsci.drivers.credentialhelper "$@"\n'
        )
        program.chmod(0o700)
    path = f"{helper}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return {**lent, **_settings(environment, folder, credsStore="dsci"), "PATH": path}


def bare(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """An environment in which the docker command is nobody to any registry, for what strangers have it build.

    Raises BuilderError where the folder cannot be written.
    """
    known = {name: text for name, text in environment.items() if name != "DOCKER_AUTH_CONFIG"}
    return {**known, **_settings(environment, folder)}


def _settings(environment: Mapping[str, str], folder: Path, **more: str) -> dict[str, str]:
    """A folder of settings like the user's own, but for credentials; the variables that name it."""
    own, settings = _own(environment), folder / "docker"
    with _told(folder):
        settings.mkdir(mode=0o700)
        for path in own.iterdir() if own.is_dir() else ():
            if path.name != "config.json":
                (settings / path.name).symlink_to(path)
        (settings / "config.json").write_text(json.dumps({**_kept(own), **more}))
    buildx = environment.get("BUILDX_CONFIG") or str(own / "buildx")
    return {"DOCKER_CONFIG": str(settings), "BUILDX_CONFIG": buildx}


def _own(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker").absolute()


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """What the operating system refuses is a BuilderError."""
    try:
        yield
    except OSError as error:
        raise BuilderError(
            f"what the docker command needs cannot be kept in {folder}: {error.strerror}",
            hint="make room there, or let XDG_STATE_HOME name another place",
        ) from None


def _kept(own: Path) -> dict[str, object]:
    """The user's settings without what is secret; what is no JSON is the keychain's to tell."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((own / "config.json").read_text())
        if isinstance(found, dict):
            return {name: found[name] for name in _KEPT if name in found}
    return {}
