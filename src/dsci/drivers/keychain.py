"""Credentials where Docker and Podman users expect them to be found.

`docker login` writes `config.json` (in `$DOCKER_CONFIG`, else `~/.docker`): secrets in `auths`, or the name of a helper
program in `credHelpers` and `credsStore`. Podman keeps the same shape in `$REGISTRY_AUTH_FILE` and `auth.json`; CI
systems put it into `$DOCKER_AUTH_CONFIG`. What was given to dsci itself (`tokenvariables`) comes before all of these,
and what a CI system gives every job after them. The first place that knows a registry wins, and in one place the most
specific entry does. Nothing is stored here, and neither a secret nor a helper's output ever reaches a message: what a
registry makes of the credentials is the business of `tokens`.

Sources: https://docs.docker.com/reference/cli/docker/login/#credential-stores,
https://github.com/docker/docker-credential-helpers#development (the helper protocol),
https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md (repository-scoped keys).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsci.drivers import process, tokenvariables
from dsci.drivers.credentials import HUB_KEY, Credentials
from dsci.drivers.tokenvariables import NOTHING_SAID, CommandLine
from dsci.errors import AuthError, ConfigError
from dsci.model.reference import DOCKER_HUB, Repository

#: What is found here, for those who ask.
__all__ = ("HUB_KEY", "Credentials", "Keychain")

_HELPER_NAME = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_OLD_KEY = re.compile(r"\A(?:https?://)?([^/]+)(?:/v[12])?/?\Z")
_TOKEN_USER = "<token>"
_NOT_FOUND = b"credentials not found"


@dataclass(frozen=True, slots=True)
class _Document:
    """One place: its name for people, and what stands in it."""

    name: str
    auths: Mapping[str, Any]
    helpers: Mapping[str, Any]
    store: str


class Keychain:
    """The user's credentials, looked up when they are first wanted. Safe for threads."""

    def __init__(
        self,
        config_dir: Path,
        *,
        auth_files: Sequence[Path] = (),
        inline: str | None = None,
        environment: Mapping[str, str] | None = None,
        deadline: float = 10.0,
        said: CommandLine = NOTHING_SAID,
        tell: Callable[[Credentials], None] = lambda found: None,
    ) -> None:
        """`inline` is the text of $DOCKER_AUTH_CONFIG; `environment` has tokens, and is what helpers see (None: ours).

        `said` is what the command line says of credentials; `deadline` is a helper's, in seconds. `tell` is told what
        was found, before anybody else gets it.
        """
        self._files = (config_dir / "config.json", *auth_files)
        self._inline = inline
        self._environment = environment
        self._deadline = deadline
        self._variables = environment or {}
        self._said = said
        self._tell = tell
        self._documents: tuple[_Document, ...] | None = None
        self._found: dict[Repository, Credentials | None] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str],
        home: Path,
        said: CommandLine = NOTHING_SAID,
        tell: Callable[[Credentials], None] = lambda found: None,
    ) -> Keychain:
        """The keychain of a user with this environment and home folder, and of this command line."""
        config_home = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
        places = [
            Path(environment["REGISTRY_AUTH_FILE"]) if environment.get("REGISTRY_AUTH_FILE") else None,
            Path(environment["XDG_RUNTIME_DIR"], "containers", "auth.json")
            if environment.get("XDG_RUNTIME_DIR")
            else Path("/run/containers", str(os.getuid()), "auth.json"),
            config_home / "containers" / "auth.json",
        ]
        return cls(
            Path(environment.get("DOCKER_CONFIG") or home / ".docker"),
            auth_files=[place for place in places if place is not None],
            inline=environment.get("DOCKER_AUTH_CONFIG") or None,
            environment=environment,
            said=said,
            tell=tell,
        )

    @classmethod
    def empty(cls) -> Keychain:
        """The keychain of nobody: what everybody may read is all that can be had with it."""
        return cls(Path(os.devnull), environment={})

    def credentials(self, repository: Repository, *, fresh: bool = False) -> Credentials | None:
        """What to show this repository's registry, or None for a stranger; the whole registry's where the path is "".

        `fresh` asks files and helpers again: a helper's password (ECR, Google) may have run out meanwhile.
        Raises AuthError when a helper is named but does not answer, ConfigError when a file cannot be understood.
        """
        with self._lock:
            if fresh:
                self._documents = None
                self._found.pop(repository, None)
            if repository not in self._found:
                found = self._look_up(repository)
                if found is not None:
                    self._tell(found)
                self._found[repository] = found
            return self._found[repository]

    @property
    def beyond_docker(self) -> bool:
        """Whether there may be credentials that Docker's own programs do not find by themselves."""
        elsewhere = self._inline is not None or any(path.is_file() for path in self._files[1:])
        return elsewhere or tokenvariables.anything(self._variables, self._said)

    def _look_up(self, repository: Repository) -> Credentials | None:
        found = tokenvariables.given(repository.registry, self._variables, self._said)
        return found or self._kept(repository) or tokenvariables.of_ci(repository, self._variables)

    def _kept(self, repository: Repository) -> Credentials | None:
        """What a file or a helper has."""
        if self._documents is None:
            self._documents = tuple(self._load())
        host = HUB_KEY if repository.registry == DOCKER_HUB else repository.registry
        for document in self._documents:
            scoped, whole = _keys(repository)
            found = (
                _from_auths(document, scoped)
                or self._from_helpers(document, repository.registry, host)
                or _from_auths(document, whole)
            )
            if found is not None:
                return found
        return None

    def _load(self) -> Iterator[_Document]:
        if self._inline is not None:
            yield _document("$DOCKER_AUTH_CONFIG", self._inline)
        for path in self._files:
            try:
                text = path.read_text(encoding="utf-8")
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                continue  # Kubernetes mounts a folder at config.json when the secret is missing
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                raise ConfigError(f"cannot read {path}: {reason}", hint="let this user read it, or remove it") from None
            yield _document(str(path), text)

    def _from_helpers(self, document: _Document, registry: str, host: str) -> Credentials | None:
        name = document.helpers.get(host) or document.helpers.get(registry) or document.store
        if not name:
            return None
        if not isinstance(name, str) or not _HELPER_NAME.match(name):
            raise ConfigError(
                f"{document.name} names a credential helper that is no program name",
                hint="credsStore and credHelpers take the part behind docker-credential-, such as pass or ecr-login",
            )
        program = f"docker-credential-{name}"
        ended = process.run(
            [program, "get"],
            stdin=host.encode(),
            timeout=self._deadline,
            env=self._environment,
            kind=AuthError,
            hint=f"{document.name} names this helper for {registry}: install it, or take its line out and log in again",
        )
        if ended.returncode != 0:
            if _NOT_FOUND in ended.stdout or _NOT_FOUND in ended.stderr:
                return None
            raise AuthError(
                f"{program}, which {document.name} names for {registry}, failed with exit code {ended.returncode}",
                hint=f"run: echo {host} | {program} get",
            )
        try:
            answer = json.loads(ended.stdout)
            user, secret = answer["Username"], answer["Secret"]
        except (ValueError, KeyError, TypeError):
            user = secret = None
        if not isinstance(user, str) or not isinstance(secret, str):
            raise AuthError(
                f"{program}, which {document.name} names for {registry}, did not answer as a credential helper does",
                hint=f"run: echo {host} | {program} get",
            )
        source = f"{program} ({document.name})"
        if user == _TOKEN_USER:
            return Credentials(identity_token=secret, source=source)
        return Credentials(username=user, password=secret, source=source) if secret else None


def _keys(repository: Repository) -> tuple[list[str], list[str]]:
    """The keys that may hold this repository's entry: those of its path, longest first, then the registry's."""
    parts = repository.path.split("/") if repository.path else []
    scoped = [f"{repository.registry}/{'/'.join(parts[:count])}" for count in range(len(parts), 0, -1)]
    if repository.registry == DOCKER_HUB:
        return scoped, [HUB_KEY, "index.docker.io", DOCKER_HUB, "registry-1.docker.io"]
    return scoped, [repository.registry]


def _bare(key: str) -> str:
    """`https://host/v1/`, as people wrote it before version 2, reduced to the host; other keys as they are."""
    match = _OLD_KEY.match(key)
    return match[1] if match else key


def _from_auths(document: _Document, keys: Sequence[str]) -> Credentials | None:
    bare = {_bare(key): key for key in reversed(list(document.auths))}
    for key in keys:
        name = key if key in document.auths else bare.get(_bare(key))
        found = _entry(document, name) if name is not None else None
        if found is not None:
            return found
    return None


def _entry(document: _Document, key: str) -> Credentials | None:
    """An entry of `auths`; None for the empty ones that Docker leaves beside a credential store."""
    entry = document.auths[key]
    if not isinstance(entry, dict):
        raise ConfigError(
            f"in {document.name}: auths has no object for {key}", hint=f"docker logout {key}; docker login {key}"
        )
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            decoded = base64.b64decode(str(entry["auth"]), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            decoded = ""
        username, colon, password = decoded.partition(":")
        password = password.rstrip("\0")
        if not colon:
            raise ConfigError(
                f"in {document.name}: auths has an entry for {key} that is not base64 of user:password",
                hint=f"docker logout {key}; docker login {key}",
            )
    identity, registry = str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or "")
    if not (password or identity or registry):
        return None
    return Credentials(
        username=username, password=password, identity_token=identity, registry_token=registry, source=document.name
    )


def _document(name: str, text: str) -> _Document:
    try:
        value = json.loads(text) if text.strip() else {}
    except ValueError:  # its own message could quote what stands there
        raise ConfigError(f"{name} is not JSON", hint="mend it by hand, or remove it and docker login again") from None
    auths = value.get("auths") or {} if isinstance(value, dict) else None
    helpers = value.get("credHelpers") or {} if isinstance(value, dict) else None
    if not isinstance(auths, dict) or not isinstance(helpers, dict):
        raise ConfigError(f"{name}: auths and credHelpers must be objects", hint="docker login writes them so")
    return _Document(name, auths, helpers, value.get("credsStore") or "")
