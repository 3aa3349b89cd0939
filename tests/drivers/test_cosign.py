"""Signatures: the real cosign with a key of its own against the real registry; what it is told, where it cannot run.

Keyless signing needs a CI system's token and the public Sigstore services, which tests have not: there a program in
cosign's place shows what it is told, and what dsci makes of what it answers.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from images import MemoryImage, index_of
from scripted import FastClock

from dsci.drivers.cosign import Cosign
from dsci.drivers.registry import HttpRegistry
from dsci.errors import ConfigError, RegistryError
from dsci.model.artifact import referrers_tag
from dsci.model.oci import OCI_INDEX, OCI_MANIFEST, Digest
from dsci.model.reference import EMBEDDED, Repository
from dsci.model.settings import AttestSettings

SLSA = "https://slsa.dev/provenance/v1"
PASSWORD = "CANARY-password"
DIGEST = Digest.of(b"index")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two key pairs, `mine` and `other`, with one password."""
    if shutil.which("cosign") is None:
        pytest.fail("cosign is not on PATH: run the tests with scripts/test, which installs it")
    folder = tmp_path_factory.mktemp("keys")
    for name in ("mine", "other"):
        subprocess.run(
            ["cosign", "generate-key-pair", "--output-key-prefix", name],
            cwd=folder,
            env={**os.environ, "COSIGN_PASSWORD": PASSWORD},
            check=True,
            capture_output=True,
        )
    return folder


@pytest.fixture
def image(docker_registry: str, request: pytest.FixtureRequest) -> Iterator[tuple[HttpRegistry, Repository, Digest]]:
    registry, child = HttpRegistry(), MemoryImage(request.node.name.encode())
    repository = Repository(docker_registry, f"acme/{os.getpid()}/signed")
    registry.push_image(child, repository)
    yield registry, repository, registry.push_manifest(repository, index_of(child), OCI_INDEX).digest
    registry.close()


def signer(folder: Path, scratch: Path, **settings: object) -> Cosign:
    given = {**os.environ, "COSIGN_PASSWORD": PASSWORD}
    made = AttestSettings(**{"sign": "key", "key": "mine.key", **settings})  # type: ignore[arg-type]
    return Cosign(made, given, root=str(folder), scratch=scratch, clock=FastClock())


def verified(keys: Path, name: str, *command: str) -> int:
    argv = ["cosign", *command[:-1], "--key", str(keys / f"{name}.pub"), "--insecure-ignore-tlog", command[-1]]
    return subprocess.run(argv, capture_output=True, check=False).returncode


def provenance(builder: str) -> bytes:
    definition = {"buildType": "urn:x", "externalParameters": {}}
    return json.dumps({"buildDefinition": definition, "runDetails": {"builder": {"id": builder}}}).encode()


def test_cosign_itself_verifies_a_signature_and_no_longer_after_tampering(
    keys: Path, tmp_path: Path, image: tuple[HttpRegistry, Repository, Digest]
) -> None:
    registry, repository, digest = image
    where = f"{repository}@{digest}"
    mine = signer(keys, tmp_path)
    mine.check([repository])
    assert verified(keys, "mine", "verify", where) != 0
    mine.sign(repository, digest)
    assert verified(keys, "mine", "verify", where) == 0
    assert verified(keys, "other", "verify", where) != 0
    tag = f"{referrers_tag(digest)}.sig"
    first = registry.manifest(repository.tag(tag))
    mine.sign(repository, digest)
    again = registry.manifest(repository.tag(tag))
    assert first is not None and again is not None and first[0].digest == again[0].digest, "signed twice"

    # Another image's signature under this one's tag, and a signature whose text was changed.
    other = registry.push_image(MemoryImage(b"another"), repository)
    registry.push_manifest(repository, first[1], OCI_MANIFEST, f"{referrers_tag(other.digest)}.sig")
    assert verified(keys, "mine", "verify", f"{repository}@{other.digest}") != 0
    value = json.loads(first[1])
    annotations = value["layers"][0]["annotations"]
    signature = bytearray(base64.b64decode(annotations["dev.cosignproject.cosign/signature"]))
    signature[-1] ^= 1
    annotations["dev.cosignproject.cosign/signature"] = base64.b64encode(signature).decode()
    registry.push_manifest(repository, json.dumps(value).encode(), OCI_MANIFEST, tag)
    assert verified(keys, "mine", "verify", where) != 0
    # What is not proven is signed again.
    mine.sign(repository, digest)
    assert verified(keys, "mine", "verify", where) == 0


def test_a_statement_is_signed_once_and_another_one_beside_it(
    keys: Path, tmp_path: Path, image: tuple[HttpRegistry, Repository, Digest]
) -> None:
    registry, repository, digest = image
    mine = signer(keys, tmp_path)
    tag, counts = repository.tag(f"{referrers_tag(digest)}.att"), []
    for builder in ("urn:one", "urn:one", "urn:two"):
        mine.attest(repository, digest, SLSA, provenance(builder))
        found = registry.manifest(tag)
        assert found is not None
        counts.append(len(json.loads(found[1])["layers"]))
    assert counts == [1, 1, 2]
    where = f"{repository}@{digest}"
    assert verified(keys, "mine", "verify-attestation", "--type", "slsaprovenance1", where) == 0
    assert verified(keys, "other", "verify-attestation", "--type", "slsaprovenance1", where) != 0
    assert [path.name for path in tmp_path.iterdir()] == ["cosign.pub"], "a predicate was left behind"


def test_a_key_in_the_environment_and_a_password_in_a_file(
    keys: Path, tmp_path: Path, image: tuple[HttpRegistry, Repository, Digest]
) -> None:
    _, repository, digest = image
    (tmp_path / "password").write_text(f"{PASSWORD}\nmore\n")
    given = {name: text for name, text in os.environ.items() if name != "COSIGN_PASSWORD"}
    given["COSIGN_KEY"] = (keys / "mine.key").read_text()
    settings = AttestSettings(sign="auto", password_file="password")
    hidden: set[str] = set()
    mine = Cosign(settings, given, root=str(tmp_path), scratch=tmp_path, hide=hidden.add)
    mine.check([repository])
    mine.sign(repository, digest)
    assert verified(keys, "mine", "verify", f"{repository}@{digest}") == 0
    assert hidden == {PASSWORD}


def test_what_cannot_sign_says_so_before_any_work(keys: Path, tmp_path: Path) -> None:
    there = Repository.parse("registry.example/x")

    def told(settings: Mapping[str, object], given: Mapping[str, str] = os.environ, where: Repository = there) -> str:
        made = AttestSettings(**settings)  # type: ignore[arg-type]
        with pytest.raises(ConfigError) as raised:
            Cosign(made, given, root=str(keys), scratch=tmp_path).check([where])
        return f"{raised.value.message} ({raised.value.hint})"

    wrong = {**os.environ, "COSIGN_PASSWORD": "CANARY-wrong"}
    mine = {"sign": "key", "key": "mine.key"}
    assert "does not open" in told(mine, wrong) and "CANARY" not in told(mine, wrong)
    assert "no key" in told({"sign": "key", "key": "gone.key"})
    assert "id-token: write" in told({"sign": "auto"})
    assert "id-token: write" in told({"sign": "keyless"})
    assert "should name one" in told({"sign": "key", "key": "-----BEGIN ENCRYPTED"})
    assert "password file" in told({**mine, "password_file": "gone"})
    assert "on this machine alone" in told(mine, where=Repository(EMBEDDED, "x"))
    assert "install cosign" in told(mine, {**os.environ, "PATH": str(tmp_path)})


# ---------------------------------------------------------------------------------------------- a program in its place

SCRIPT = """\
#!/bin/sh
printf '%s\\n' "$*" >> "$LOG"
case "$1" in
  verify*) [ -e "$LOG.signed" ] && { cat "$LOG.signed"; exit 0; }; echo "Error: no signatures found" >&2; exit 10;;
  sign|attest)
    n=$(cat "$LOG.busy" 2>/dev/null || echo 0)
    if [ "$n" -gt 0 ]; then echo $((n - 1)) > "$LOG.busy"
      echo "Error: signing [x]: GET https://r/v2/: TOOMANYREQUESTS: $SIGSTORE_ID_TOKEN slow down" >&2; exit 1; fi
    [ -e "$LOG.deaf" ] || printf '%s' "$ANSWER" > "$LOG.signed";;
esac
"""


class Place:
    """A program in cosign's place, and what it was told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.clock = folder, folder / "log", FastClock()
        program = folder / "bin" / "cosign"
        program.parent.mkdir()
        program.write_text(SCRIPT)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.given = {"PATH": f"{program.parent}:{os.environ['PATH']}", "LOG": str(self.log)}

    def signer(self, sign: str = "keyless", **given: str) -> Cosign:
        settings = AttestSettings(sign=sign)  # type: ignore[arg-type]
        return Cosign(settings, {**self.given, **given}, root=str(self.folder), scratch=self.folder, clock=self.clock)

    @property
    def told(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


GITHUB = {
    "GITHUB_ACTIONS": "true",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "CANARY-token",
    "GITHUB_REPOSITORY": "acme/stack",
    "GITHUB_SHA": "12" * 20,
}
GITLAB = {
    "GITLAB_CI": "true",
    "SIGSTORE_ID_TOKEN": "CANARY-token",
    "CI_SERVER_URL": "https://gitlab.example",
    "CI_CONFIG_REF_URI": "gitlab.example/acme/stack//.gitlab-ci.yml@refs/heads/main",
}
REPOSITORY = Repository.parse("registry.example/acme/ml")
WHERE = f"{REPOSITORY}@{DIGEST}"


@pytest.mark.parametrize("sign", ["keyless", "auto"])
@pytest.mark.parametrize(
    ("given", "identity"),
    [
        (
            GITHUB,
            "--certificate-oidc-issuer=https://token.actions.githubusercontent.com --certificate-identity-regexp=.+ "
            f"--certificate-github-workflow-repository=acme/stack --certificate-github-workflow-sha={'12' * 20}",
        ),
        (
            GITLAB,
            "--certificate-oidc-issuer=https://gitlab.example "
            "--certificate-identity=https://gitlab.example/acme/stack//.gitlab-ci.yml@refs/heads/main",
        ),
    ],
)
def test_keyless_signs_with_the_token_and_proves_who_it_was(
    place: Place, sign: str, given: Mapping[str, str], identity: str
) -> None:
    mine = place.signer(sign, **given)
    mine.check([REPOSITORY])
    mine.sign(REPOSITORY, DIGEST)
    proof = f"verify --output=json {identity} {WHERE}"
    assert place.told == ["version", proof, f"sign --yes {WHERE}", proof]


def test_plain_http_is_spoken_where_this_machine_says_so(place: Place) -> None:
    settings = AttestSettings(sign="keyless")
    given = {**place.given, **GITLAB}
    mine = Cosign(
        settings, given, root=str(place.folder), scratch=place.folder, clock=place.clock, insecure=["registry.example"]
    )
    mine.sign(REPOSITORY, DIGEST)
    assert len(place.told) == 3 and all(" --allow-http-registry " in line for line in place.told)


def test_a_busy_registry_is_asked_again_and_then_it_is_an_error(place: Place) -> None:
    (place.folder / "log.busy").write_text("2")
    place.signer(**GITLAB).sign(REPOSITORY, DIGEST)
    assert sum(line.startswith("sign") for line in place.told) == 3
    assert sum(place.clock.slept) >= 6
    (place.folder / "log.busy").write_text("99")
    (place.folder / "log.signed").unlink()
    with pytest.raises(RegistryError, match="slow down") as raised:
        place.signer(**GITLAB).sign(REPOSITORY, DIGEST)
    assert raised.value.temporary and "CANARY" not in raised.value.message


def test_what_was_signed_and_is_not_found_is_an_error(place: Place) -> None:
    (place.folder / "log.deaf").touch()
    with pytest.raises(RegistryError, match="does not find it"):
        place.signer(**GITLAB).sign(REPOSITORY, DIGEST)


def test_a_statement_that_is_not_the_one_that_was_signed(place: Place) -> None:
    other = base64.b64encode(json.dumps({"predicate": {"other": 1}}).encode()).decode()
    answer = f"junk\n{json.dumps({'payload': other})}\n"
    with pytest.raises(RegistryError, match="is not the one"):
        place.signer(**GITLAB, ANSWER=answer).attest(REPOSITORY, DIGEST, "urn:own-type", b'{"mine": 1}')
    assert "--type urn:own-type --output=json --certificate-oidc-issuer" in place.told[-1]
