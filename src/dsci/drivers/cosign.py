"""Signatures by cosign: of an index, and of what is said about an image, always by digest.

cosign signs, writes to the registry (with the credentials that docker has) and proves what it wrote; here it is told
what, its failures are translated, and what a busy registry refused is tried again. A signature that is proven is not
made twice. No secret is ever an argument: a key is a file, a KMS address or a variable's name, its password is
in the environment, and without a key the CI system's own token is (keyless).

Sources: `cosign sign --help` (2.5), https://docs.sigstore.dev/cosign/signing/overview/,
https://docs.github.com/en/actions/how-tos/secure-your-work/security-harden-deployments/oidc-in-cloud-providers,
https://docs.gitlab.com/ci/yaml/signing_examples/
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from dsci.drivers import process
from dsci.drivers.pace import Clock
from dsci.errors import ConfigError, DsciError, RegistryError
from dsci.model.oci import Digest
from dsci.model.reference import EMBEDDED, Repository
from dsci.model.settings import AttestSettings

_INSTALL = "install cosign (apt-get install cosign, brew install cosign, sigstore/cosign-installer on GitHub)"
_TOKENS = (
    "give the job `permissions: {id-token: write}` on GitHub, "
    "`id_tokens: {SIGSTORE_ID_TOKEN: {aud: sigstore}}` on GitLab"
)
_TIMEOUT, _TRIES = 300.0, 4
_SAID = 1000
#: What a registry or a log says that may do it another time.
_BUSY = re.compile(
    r"\b(429|50[0234])\b|TOOMANYREQUESTS|too many requests|UNAVAILABLE|timeout|deadline exceeded"
    r"|connection (reset|refused)|\bEOF\b|temporary failure",
    re.IGNORECASE,
)


class Cosign:
    """Signs by digest. Implements `ports.Signer`; safe for threads."""

    def __init__(
        self,
        settings: AttestSettings,
        environment: Mapping[str, str],
        *,
        root: str,
        scratch: Path,
        insecure: Collection[str] = (),
        clock: Clock = time,
        hide: Callable[[str], None] = lambda secret: None,
    ) -> None:
        """`root` is what a key's relative path begins at; `scratch` is a folder for what cosign is to read.

        `insecure` names hosts (or host:port) that are spoken to by plain HTTP. `hide` is told a password from a file.
        """
        self._settings, self._given, self._root, self._scratch = settings, environment, root, scratch
        self._insecure, self._clock, self._hide = frozenset(insecure), clock, hide
        self._lock = threading.Lock()
        self._count = 0
        self._proof: tuple[str, ...] | None = None

    def check(self, repositories: Sequence[Repository]) -> None:
        """Prove that it can sign: there is a cosign, and a key that opens, or a token. Raises ConfigError."""
        for repository in repositories:
            if repository.registry == EMBEDDED:
                raise ConfigError(
                    f"{repository} is on this machine alone, and cosign signs in registries",
                    hint="name a registry (`registries:`), or take `sign:` out of `attest:` in dsci.yaml",
                )
        ended = self._ran(["cosign", "version"], kind=ConfigError)
        if ended.returncode:
            raise ConfigError(f"cosign does not run: {self._said(ended)}", hint=_INSTALL)
        self._proven_by()

    def sign(self, repository: Repository, digest: Digest) -> None:
        """Have an image signed, and the signature proven. Raises RegistryError."""
        where, how = str(repository.at(digest)), self._speaking(repository)
        if self._proves(where, "verify", *how):
            return
        self._run(["cosign", "sign", "--yes", *how, *self._signing, where], f"{where} cannot be signed")
        self._expect(where, "verify", *how)

    def attest(self, repository: Repository, digest: Digest, predicate_type: str, predicate: bytes) -> None:
        """Have a statement about an image signed and attached, and that proven. Raises RegistryError."""
        # By a type's own address cosign takes a predicate as it is; by a name of its own it writes it anew.
        where, wanted = str(repository.at(digest)), json.loads(predicate)
        how = self._speaking(repository)
        proof = ("verify-attestation", *how, "--type", predicate_type)
        if any(each == wanted for each in _predicates(self._proves(where, *proof))):
            return
        file = self._file(predicate)
        try:
            what = ("--type", predicate_type, "--predicate", str(file), where)
            self._run(
                ["cosign", "attest", "--yes", *self._signing, *what], f"a statement about {where} cannot be signed"
            )
        finally:
            file.unlink(missing_ok=True)
        if not any(each == wanted for each in _predicates(self._expect(where, *proof))):
            raise RegistryError(
                f"{where}: the statement that was signed is not the one that the registry has",
                hint="somebody else writes the same attestations: run dsci release again",
                temporary=True,
            )

    # ------------------------------------------------------------------------------------------------- how it signs

    @property
    def _keyless(self) -> bool:
        token = any(self._given.get(name) for name in ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "SIGSTORE_ID_TOKEN"))
        return self._settings.sign == "keyless" or (self._settings.sign == "auto" and token and not self._key_named)

    @property
    def _key_named(self) -> str:
        return self._settings.key or self._given.get("COSIGN_KEY", "")

    @property
    def _key(self) -> str:
        """The key, as cosign takes it. Raises ConfigError where there is none."""
        named = self._key_named
        if not named:
            raise ConfigError(
                "releases are to be signed, and there is no key and no token of a CI system",
                hint=f"set `attest: {{key: FILE}}` or COSIGN_KEY; {_TOKENS}",
            )
        if "-----BEGIN" in named:
            if self._settings.key:
                raise ConfigError("attest.key holds a key, and should name one", hint="name a file, or set COSIGN_KEY")
            return "env://COSIGN_KEY"
        if "://" in named:
            return named
        path = Path(self._root, named)
        if not path.is_file():
            raise ConfigError(f"there is no key {path}", hint="cosign generate-key-pair makes one; keep it out of Git")
        return str(path)

    @property
    def _signing(self) -> tuple[str, ...]:
        if self._keyless:
            return ()
        return ("--key", self._key, f"--tlog-upload={str(self._settings.transparency).lower()}")

    def _speaking(self, repository: Repository) -> tuple[str, ...]:
        host = repository.registry
        return ("--allow-http-registry",) if {host, host.partition(":")[0]} & self._insecure else ()

    def _proven_by(self) -> tuple[str, ...]:
        """What proves a signature of ours. Raises ConfigError where we cannot sign at all."""
        with self._lock:
            if self._proof is None:
                self._proof = self._identity() if self._keyless else self._public()
            return self._proof

    def _public(self) -> tuple[str, ...]:
        """The public key, out of the private one: that it opens is known then."""
        ended = self._ran(["cosign", "public-key", "--key", self._key], kind=ConfigError)
        if ended.returncode:
            raise ConfigError(
                f"the key {self._key} does not open: {self._said(ended)}",
                hint="its password is COSIGN_PASSWORD, or the first line of `attest: {password_file: FILE}`",
            )
        public = self._scratch / "cosign.pub"
        public.write_bytes(ended.stdout)
        return ("--key", str(public), f"--insecure-ignore-tlog={str(not self._settings.transparency).lower()}")

    def _identity(self) -> tuple[str, ...]:
        """Who we are, as the CI system's token says it of this very run."""
        given = self._given
        if given.get("GITHUB_ACTIONS") == "true" and given.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
            return (
                "--certificate-oidc-issuer=https://token.actions.githubusercontent.com",
                "--certificate-identity-regexp=.+",
                f"--certificate-github-workflow-repository={given.get('GITHUB_REPOSITORY', '')}",
                f"--certificate-github-workflow-sha={given.get('GITHUB_SHA', '')}",
            )
        if given.get("GITLAB_CI") == "true" and given.get("SIGSTORE_ID_TOKEN"):
            return (
                f"--certificate-oidc-issuer={given.get('CI_SERVER_URL', '')}",
                f"--certificate-identity=https://{given.get('CI_CONFIG_REF_URI', '')}",
            )
        raise ConfigError(
            "`sign: keyless` needs the token of a CI system, and there is none",
            hint=f"{_TOKENS}; elsewhere sign with a key",
        )

    @property
    def _environment(self) -> Mapping[str, str]:
        if self._settings.password_file is None:
            return self._given
        path = Path(self._root, self._settings.password_file)
        try:
            lines = path.read_text().splitlines()
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f"the password file {path} cannot be read", hint="see `attest.password_file`") from None
        password = lines[0] if lines else ""
        self._hide(password)
        return {**self._given, "COSIGN_PASSWORD": password}

    # ------------------------------------------------------------------------------------------------------ cosign

    def _proves(self, where: str, *command: str) -> bytes | None:
        """What cosign says of a signature that stands and is ours; None where there is none.

        Raises RegistryError where that cannot be known.
        """
        argv = ["cosign", *command, "--output=json", *self._proven_by(), where]
        ended = self._tried(argv)
        if ended.returncode and _BUSY.search(self._said(ended, everything=True)):
            raise RegistryError(f"{where}: {self._said(ended)}", hint="run again later", temporary=True)
        return None if ended.returncode else ended.stdout

    def _expect(self, where: str, *command: str) -> bytes:
        for left in reversed(range(_TRIES)):
            found = self._proves(where, *command)
            if found is not None:
                return found
            if left:
                self._clock.sleep(1)
        raise RegistryError(
            f"{where} was signed, and {' '.join(command)} does not find it",
            hint=f"ask for yourself: cosign {' '.join(command)} … {where}",
            temporary=True,
        )

    def _run(self, argv: Sequence[str], what: str) -> None:
        ended = self._tried(argv)
        if ended.returncode:
            raise RegistryError(
                f"{what}: {self._said(ended)}",
                hint="cosign takes its credentials from docker's: docker login",
                temporary=bool(_BUSY.search(self._said(ended))),
            )

    def _tried(self, argv: Sequence[str]) -> process.Completed:
        for attempt in range(1, _TRIES):
            ended = self._ran(argv)
            if not ended.returncode or not _BUSY.search(self._said(ended, everything=True)):
                return ended
            self._clock.sleep(2.0**attempt)
        return self._ran(argv)

    def _ran(self, argv: Sequence[str], kind: type[DsciError] = RegistryError) -> process.Completed:
        return process.run(argv, timeout=_TIMEOUT, env=self._environment, kind=kind, hint=_INSTALL)

    def _said(self, ended: process.Completed, *, everything: bool = False) -> str:
        """What cosign complained of, without what nobody may see."""
        text = ended.stderr.decode(errors="replace")
        for name in ("COSIGN_PASSWORD", "COSIGN_KEY", "SIGSTORE_ID_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
            if secret := self._environment.get(name):
                text = text.replace(secret, "<hidden>")
        if everything:
            return text
        lines = [line.removeprefix("Error: ") for line in text.strip().splitlines() if not line.startswith("WARNING")]
        return (lines[0] if lines else "it says nothing")[:_SAID]

    def _file(self, content: bytes) -> Path:
        with self._lock:
            self._count += 1
            path = self._scratch / f"predicate-{self._count}.json"
        path.write_bytes(content)
        return path


def _predicates(said: bytes | None) -> list[object]:
    """The predicates of the statements that cosign has proven, one envelope a line."""
    found: list[object] = []
    for line in (said or b"").splitlines():
        try:
            found.append(json.loads(base64.b64decode(json.loads(line)["payload"]))["predicate"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found
