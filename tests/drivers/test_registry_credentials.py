"""Credentials stay with whom they are for, whoever asks for them; and what is said where they do not suffice."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from images import MemoryImage
from scripted import Answer, FastClock, ScriptedRegistry, error

from dsci.drivers.credentials import Credentials
from dsci.drivers.registry import HttpRegistry
from dsci.drivers.routes import redacted
from dsci.errors import AuthError, RegistryError
from dsci.model.oci import OCI_EMPTY, OCI_MANIFEST, Descriptor, Digest
from dsci.model.reference import Repository
from dsci.pipeline.transfer import copy_image

PASSWORD = "PASSWORD-CANARY"
IMAGE = MemoryImage(b"layer one")


class Keys:
    """A keychain with something for each registry."""

    def __init__(self, **known: str) -> None:
        self.known = {name.replace("_", "/"): password for name, password in known.items()}

    def credentials(self, repository: Repository, *, fresh: bool = False) -> Credentials | None:
        password = self.known.get(repository.registry, self.known.get(repository.path))
        return Credentials(username="me", password=password, source="config.json") if password else None


class Client(HttpRegistry):
    """An HttpRegistry that does not really pause."""

    def __init__(self, keys: Keys, **options: int) -> None:
        self.clock = FastClock()
        super().__init__(keychain=keys, clock=self.clock, **options)  # type: ignore[arg-type]


@pytest.fixture
def start() -> Iterator[Callable[..., ScriptedRegistry]]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(ScriptedRegistry(**options))


@pytest.fixture
def client() -> Client:
    return Client(Keys(acme_app=PASSWORD))


def app(server: ScriptedRegistry) -> Repository:
    return Repository(server.host, "acme/app")


def shown(server: ScriptedRegistry) -> set[str]:
    """What a server was shown of who we are."""
    return {seen.authorization for seen in server.seen} - {""}


class TestOthers:
    """Whoever else we are sent to learns nothing of us, whatever they ask for."""

    @pytest.mark.parametrize("asks", ["Bearer", "Basic"])
    def test_a_storage_host_that_asks_who_we_are_is_told_nothing(
        self, start: Callable[..., ScriptedRegistry], client: Client, asks: str
    ) -> None:
        server, evil = start(tokens=True), start()
        client.push_image(IMAGE, app(server), "1")
        posed = f'{asks} realm="http://{evil.host}/token",service="registry",scope="repository:acme/app:pull,push"'
        evil.rule("GET", "/blobs/", Answer(401, {"WWW-Authenticate": posed}), last=99)
        evil.rule("PUT", "/blobs/", Answer(401, {"WWW-Authenticate": posed}), last=99)
        server.rule("GET", "/blobs/", Answer(307, {"Location": f"http://{evil.host}/v2/x/blobs/y"}), last=99)
        server.rule("POST", "/uploads/", Answer(202, {"Location": f"http://{evil.host}/v2/x/blobs/uploads/z"}), last=99)
        issued = server.issued
        with pytest.raises(AuthError):
            client.blob(app(server), IMAGE.config)
        with pytest.raises(AuthError):
            client.push_blob(app(server), b"new", OCI_EMPTY)
        assert shown(evil) == set() and evil.requests("GET", "^/token") == []
        assert len(evil.seen) == 2 and server.issued == issued, "one refusal each, and no new token for it"

    def test_each_registry_sees_its_own(self, start: Callable[..., ScriptedRegistry]) -> None:
        """Also where one leads to the token service of the other: what it gets there is for itself."""
        one, two = start(tokens=True), start(basic="me:TWO")
        evil = start(tokens=True, realm=f"http://{one.host}/token")
        client = Client(Keys(**{one.host: "ONE", two.host: "TWO", evil.host: "EVIL"}))
        for server in (one, two):
            client.push_image(IMAGE, app(server), "1")
        with pytest.raises(AuthError):
            client.push_image(IMAGE, app(evil), "1")

        def basic(password: str) -> str:
            return "Basic " + base64.b64encode(f"me:{password}".encode()).decode()

        assert shown(two) == {basic("TWO")}
        asked = {seen.authorization for seen in one.requests("GET", "^/token")}
        assert asked == {basic("ONE"), basic("EVIL")}, "who the other registry is told we are, not who we are here"
        given = {seen.authorization for seen in one.seen if not seen.path.startswith("/token")}
        assert not shown(evil) & given, "a token for one registry is shown to no other"

    def test_a_foreign_layer_is_asked_for_nowhere_else(
        self, start: Callable[..., ScriptedRegistry], client: Client
    ) -> None:
        """`urls` of a descriptor, which asked for credentials once (CVE-2020-15157), are not followed at all."""
        server, evil = start(tokens=True), start(basic="me:x")
        layer = Descriptor.of("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", b"far away")
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": IMAGE.config.media_type, "digest": str(IMAGE.config.digest), "size": 2},
            "layers": [
                {
                    "mediaType": layer.media_type,
                    "digest": str(layer.digest),
                    "size": layer.size,
                    "urls": [f"http://{evil.host}/v2/x/blobs/{layer.digest}"],
                }
            ],
        }
        content = json.dumps(manifest).encode()
        server.manifests["acme/app", "1"] = server.manifests["acme/app", str(Digest.of(content))] = (
            OCI_MANIFEST,
            content,
        )
        with pytest.raises(RegistryError, match="no such blob"):
            copy_image(client, app(server).tag("1"), client, Repository(server.host, "acme/copy"), "1")
        assert evil.seen == [] and ("acme/copy", "1") not in server.manifests


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            'Get "https://s3.example/b?X-Amz-Signature=CANARY&digest=sha256:1": EOF',
            'Get "https://s3.example/b?X-Amz-Signature=REDACTED&digest=sha256:1": EOF',
        ),
        (
            "see https://me:CANARY@h.example/x and https://h.example/y",
            "see https://h.example/x and https://h.example/y",
        ),
        ('{"message":"Get \\"http://a/b?sig=CANARY\\": no"}', '{"message":"Get \\"http://a/b?sig=REDACTED\\": no"}'),
        ("http://[::1?x=CANARY is no URL", "http://… is no URL"),
        ("https://registry.npmjs.org/@scope/name#frag is left", "https://registry.npmjs.org/@scope/name is left"),
        ("docker.io/library/debian:12@sha256:abc and C:\\x", "docker.io/library/debian:12@sha256:abc and C:\\x"),
    ],
)
def test_what_other_programs_say_is_shown_without_signatures(said: str, shown: str) -> None:
    assert redacted(said) == shown


class TestRefusals:
    @pytest.mark.parametrize("credentials", [True, False])
    def test_a_403_is_final_and_says_what_where_and_as_whom(
        self, start: Callable[..., ScriptedRegistry], credentials: bool
    ) -> None:
        server = start(tokens=True)
        client = Client(Keys(acme_app=PASSWORD) if credentials else Keys())
        server.rule("POST", "/uploads/", error(403, "DENIED", "requested access is denied"), last=99)
        with pytest.raises(AuthError) as caught:
            client.check_push(app(server))
        who = "me (credentials from config.json)" if credentials else "nobody: no credentials were found"
        assert f"POST http://{server.host}/v2/acme/app/blobs/uploads/: 403 DENIED" in caught.value.message
        assert caught.value.message.endswith(f"as {who}")
        assert (
            f"docker login {server.host}" in caught.value.hint and "DSCI_REGISTRY_TOKEN_127_0_0_1_" in caught.value.hint
        )
        assert len(server.requests("POST", "/uploads/")) == 1 and client.clock.slept == []
        assert PASSWORD not in caught.value.message + caught.value.hint

    def test_an_identity_token_is_not_sent_on_either(self, start: Callable[..., ScriptedRegistry]) -> None:
        server, evil = start(tokens=True), start()
        server.rule("POST", "^/token", Answer(307, {"Location": f"http://{evil.host}/token"}), last=99)

        class Identity(Keys):
            def credentials(self, repository: Repository, *, fresh: bool = False) -> Credentials | None:
                return replace(Credentials(source="config.json"), identity_token="IDENTITY-CANARY")

        with pytest.raises(RegistryError, match="307") as caught:
            Client(Identity()).check_push(app(server))
        assert evil.seen == [] and "CANARY" not in caught.value.message
