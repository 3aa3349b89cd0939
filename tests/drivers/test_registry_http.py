"""The remote registry against a scripted one, in memory: who is asked for what, in which order, and what is shown.

What happens when things go wrong before a real registry is in test_faults_*.py.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest
from images import OCI_INDEX, LargeImage, MemoryImage, index_of
from scripted import Answer, FastClock, ScriptedRegistry, Seen, error

from dsci.drivers.keychain import Credentials
from dsci.drivers.pace import retry_after
from dsci.drivers.registry import HttpRegistry
from dsci.drivers.routes import Network, Routes, origin, redact
from dsci.drivers.tokens import Challenge
from dsci.errors import AuthError, ConflictError, DsciError, RegistryError, UnsupportedError
from dsci.model.oci import OCI_EMPTY, OCI_MANIFEST, Descriptor, Digest
from dsci.model.reference import Repository

PASSWORD = "PASSWORD-CANARY"
IMAGE = MemoryImage(b"layer one", b"layer two" * 20_000)


class Keys:
    """A keychain of one entry."""

    def __init__(self, credentials: Credentials | None) -> None:
        self.known = credentials
        self.asked: list[bool] = []

    def credentials(self, repository: Repository, *, fresh: bool = False) -> Credentials | None:
        self.asked.append(fresh)
        return self.known


ME = Credentials(username="me", password=PASSWORD, source="config.json")


@pytest.fixture
def start() -> Iterator[Callable[..., ScriptedRegistry]]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(ScriptedRegistry(**options))


@pytest.fixture
def server(start: Callable[..., ScriptedRegistry]) -> ScriptedRegistry:
    return start()


class Client(HttpRegistry):
    """An HttpRegistry that does not really pause, and remembers what it told."""

    def __init__(self, **options: object) -> None:
        self.clock = FastClock()
        self.told: list[str] = []
        self.waits: list[str] = []
        super().__init__(clock=self.clock, trace=self.told.append, waits=self.waits.append, **options)  # type: ignore[arg-type]

    @property
    def pauses(self) -> list[float]:
        return self.clock.slept


@pytest.fixture
def client() -> Client:
    return Client(keychain=Keys(ME))


def repository(server: ScriptedRegistry, name: str = "acme/app") -> Repository:
    return Repository(server.host, name)


def is_complete(server: ScriptedRegistry, name: str = "acme/app", tag: str = "1") -> bool:
    """Whether the image is in the server, every byte of it."""
    blobs = all(server.blobs.get((name, str(digest))) == content for digest, content in IMAGE.blobs.items())
    return blobs and server.manifests.get((name, tag)) == (OCI_MANIFEST, IMAGE.manifest)


# --------------------------------------------------------------------------------------------------------------- tokens


class TestTokens:
    def test_a_push_asks_for_the_scopes_it_needs_and_no_more(
        self, start: Callable[..., ScriptedRegistry], client: Client
    ) -> None:
        server = start(tokens=True)
        client.resolve(repository(server).tag("1"))
        assert [seen.query["scope"] for seen in server.requests("GET", "^/token")] == [["repository:acme/app:pull"]]
        client.push_image(IMAGE, repository(server), "1")
        assert is_complete(server)
        scopes = [seen.query["scope"] for seen in server.requests("GET", "^/token")]
        assert scopes == [["repository:acme/app:pull"], ["repository:acme/app:pull,push"]]
        assert {seen.query["service"][0] for seen in server.requests("GET", "^/token")} == {"scripted"}

    def test_the_password_goes_to_the_token_service_only(
        self, start: Callable[..., ScriptedRegistry], client: Client
    ) -> None:
        server = start(tokens=True)
        client.push_image(IMAGE, repository(server), "1")
        basic = {seen.path for seen in server.seen if seen.authorization.startswith("Basic")}
        assert basic == {"/token"}

    def test_a_mount_asks_for_both_repositories_push_first(
        self, start: Callable[..., ScriptedRegistry], client: Client
    ) -> None:
        server = start(tokens=True)
        client.push_image(IMAGE, repository(server), "1")
        client.push_image(IMAGE, repository(server, "acme/child"), "1")
        assert is_complete(server, "acme/child")
        asked = [seen.query["scope"] for seen in server.requests("GET", "^/token")]
        assert ["repository:acme/child:pull,push", "repository:acme/app:pull"] in asked
        assert [seen for seen in server.requests("PUT", "child/blobs") if seen.body] == []

    def test_a_mount_without_rights_to_the_source_sends_the_blob(
        self, start: Callable[..., ScriptedRegistry], client: Client
    ) -> None:
        server = start(tokens=True)
        client.push_image(IMAGE, repository(server), "1")
        server.denied = {"repository:acme/app:pull"}
        client.push_image(IMAGE, repository(server, "acme/child"), "1")
        assert is_complete(server, "acme/child")
        assert len(server.requests("PUT", "child/blobs")) == len(IMAGE.blobs)

    def test_a_token_that_runs_out_in_the_middle_is_renewed_and_the_body_sent_again(
        self, start: Callable[..., ScriptedRegistry], client: Client
    ) -> None:
        server = start(tokens=True)

        def expire(seen: Seen) -> None:
            server.valid.clear()

        server.rule("PUT", "/blobs/uploads/", expire)
        server.rule("PUT", "/manifests/", expire)
        client.push_image(IMAGE, repository(server), "1")
        assert is_complete(server)
        assert client.pauses == []

    def test_a_renewal_for_one_repository_asks_nothing_more_of_the_next(
        self, start: Callable[..., ScriptedRegistry], client: Client
    ) -> None:
        server = start(tokens=True)
        client.resolve(repository(server).tag("1"))
        server.valid.clear()
        client.resolve(repository(server).tag("1"))
        client.resolve(repository(server, "acme/other").tag("1"))
        asked = [seen.query["scope"] for seen in server.requests("GET", "^/token")]
        assert asked == [["repository:acme/app:pull"], ["repository:acme/app:pull"], ["repository:acme/other:pull"]]

    def test_a_lasting_401_ends_after_one_renewal(self, start: Callable[..., ScriptedRegistry], client: Client) -> None:
        server = start(tokens=True)
        server.denied = {"repository:acme/app:push"}
        with pytest.raises(AuthError) as caught:
            client.check_push(repository(server))
        assert len(server.requests("POST", "uploads")) == 2
        assert "UNAUTHORIZED" in caught.value.message and "me (credentials from config.json)" in caught.value.message
        assert "docker login" in caught.value.hint
        assert client.pauses == []

    def test_an_identity_token_is_exchanged_by_post_else_by_get(self, start: Callable[..., ScriptedRegistry]) -> None:
        identity = Credentials(identity_token="IDENTITY-CANARY", source="config.json")
        server = start(tokens=True)
        Client(keychain=Keys(identity)).check_push(repository(server))
        (asked,) = server.requests("POST", "^/token")
        assert b"refresh_token=IDENTITY-CANARY" in asked.body and b"grant_type=refresh_token" in asked.body
        old = start(tokens=True)
        old.rule("POST", "^/token", Answer(404), last=9)
        Client(keychain=Keys(identity)).check_push(repository(old))
        assert len(old.requests("GET", "^/token")) == 1

    def test_a_token_exchange_is_no_write(self, start: Callable[..., ScriptedRegistry]) -> None:
        server = start(tokens=True)
        client = Client(keychain=Keys(Credentials(identity_token="x", source="y")))
        client.resolve(repository(server).tag("1"))
        assert client.writes == 0 and server.requests("POST", "^/token")

    def test_basic_is_used_where_it_is_asked_for(self, start: Callable[..., ScriptedRegistry], client: Client) -> None:
        server = start(basic=f"me:{PASSWORD}")
        client.push_image(IMAGE, repository(server), "1")
        assert is_complete(server)
        with pytest.raises(AuthError, match="no credentials were found"):
            Client().resolve(repository(server).tag("1"))

    def test_a_new_password_of_a_helper_is_used_after_401(self, start: Callable[..., ScriptedRegistry]) -> None:
        server = start(basic="me:new")

        class Rotating(Keys):
            def credentials(self, repository: Repository, *, fresh: bool = False) -> Credentials | None:
                if fresh:
                    self.known = replace(ME, password="new")
                return self.known

        Client(keychain=Rotating(replace(ME, password="old"))).push_image(IMAGE, repository(server), "1")
        assert is_complete(server)

    def test_a_registry_token_is_used_as_it_is(self, start: Callable[..., ScriptedRegistry]) -> None:
        server = start(tokens=True)
        server.valid["MINE"] = {"repository:acme/app:pull"}
        client = Client(keychain=Keys(Credentials(registry_token="MINE", source="x")))
        assert client.resolve(repository(server).tag("1")) is None
        assert server.requests("GET", "^/token") == []

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(200, {}, b"{}"),
            Answer(200, {}, b"<html>"),
            Answer(200, {}, b'["token"]'),
            Answer(200, {}, b'{"token": "two\\nlines"}'),
            Answer(200, {}, b'{"token": "' + b"x" * 70_000 + b'"}'),
            Answer(302, {"Location": "/other"}),
        ],
    )
    def test_a_token_service_that_gives_no_token_is_named(
        self, start: Callable[..., ScriptedRegistry], client: Client, answer: Answer
    ) -> None:
        server = start(tokens=True)
        server.rule("GET", "^/token", answer, last=99)
        with pytest.raises(RegistryError, match="/token") as caught:
            client.resolve(repository(server).tag("1"))
        assert not isinstance(caught.value, AuthError)
        assert len(server.requests("GET", "^/token")) == 1
        assert ("over the limit of 65536" in caught.value.message) == (len(answer.body) > 65536)

    @pytest.mark.parametrize(
        "realm", ["http://169.254.169.254/token", "http://example.com/token", "ftp://x/", "http://u:p@127.0.0.1/"]
    )
    def test_a_realm_that_credentials_must_not_go_to_is_refused(
        self, start: Callable[..., ScriptedRegistry], client: Client, realm: str
    ) -> None:
        server = start(tokens=True, realm=realm)
        with pytest.raises(RegistryError, match="token service"):
            client.resolve(repository(server).tag("1"))

    def test_reading_while_forbidden_is_absent_only_after_pushing_was_proven(
        self, start: Callable[..., ScriptedRegistry], client: Client
    ) -> None:
        server = start(tokens=True)
        here = repository(server)
        server.rule("HEAD", "/manifests/", error(403, "DENIED"), last=99)
        server.rule("GET", "/(manifests|tags)/", error(403, "DENIED"), last=99)
        for read in (client.resolve, client.manifest):
            with pytest.raises(AuthError, match="403 "):
                read(here.tag("1"))
        with pytest.raises(AuthError):
            client.tags(here)
        client.check_push(here)
        assert client.resolve(here.tag("1")) is None
        assert client.manifest(here.tag("1")) is None
        assert client.tags(here) == ()
        with pytest.raises(AuthError):
            client.resolve(repository(server, "acme/other").tag("1"))

    def test_challenges_are_read_as_the_rfc_has_them(self) -> None:
        bearer = 'Bearer realm="https://a.b/t?x=1,2",service="s",scope="repository:a/b:pull,push"'
        expected = {"realm": "https://a.b/t?x=1,2", "service": "s", "scope": "repository:a/b:pull,push"}
        for header in (
            bearer,
            f'Basic realm="x", {bearer}',
            f'{bearer}, Basic realm="x"',
            bearer.replace("Bearer", "bearer"),
        ):
            assert Challenge.parse(header) == Challenge("bearer", expected), header
        assert Challenge.parse('Basic realm="x"').scheme == "basic"
        assert Challenge.parse("Basic").scheme == "basic"
        for nothing in ("", "Negotiate", 'Bearer service="s"', "garbage"):
            assert Challenge.parse(nothing).scheme == "none", nothing


# ----------------------------------------------------------------------------------------------------- temporary faults


class TestTemporaryFaults:
    @pytest.mark.parametrize("status", [408, 429, 499, 500, 502, 503, 504, 522])
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v2/$"),
            ("HEAD", "/blobs/"),
            ("POST", "/uploads/"),
            ("PUT", "/uploads/"),
            ("HEAD", "/manifests/"),
            ("PUT", "/manifests/"),
        ],
    )
    def test_one_bad_answer_costs_one_pause(
        self, server: ScriptedRegistry, client: Client, status: int, method: str, path: str
    ) -> None:
        server.rule(method, path, error(status, "UNKNOWN"))
        client.push_image(IMAGE, repository(server), "1")
        assert is_complete(server)
        assert 1 <= len(client.pauses) <= 4 and all(0.5 < pause < 2 for pause in client.pauses)

    @pytest.mark.parametrize("fault", ["drop", "lost"])
    @pytest.mark.parametrize(
        ("method", "path"), [("HEAD", "/blobs/"), ("POST", "/uploads/"), ("PUT", "/uploads/"), ("PUT", "/manifests/")]
    )
    def test_a_cut_connection_is_survived(
        self, server: ScriptedRegistry, client: Client, fault: str, method: str, path: str
    ) -> None:
        server.rule(method, path, fault)
        client.push_image(IMAGE, repository(server), "1")
        assert is_complete(server)

    def test_one_connection_serves_one_request_after_the_other(self, server: ScriptedRegistry, client: Client) -> None:
        """Each new one costs a TLS handshake: answers without a body, and those nobody reads, must not end it."""
        there = repository(server)
        client.push_image(IMAGE, there, "1")
        client.close()
        before = server.connections
        server.rule("GET", "/manifests/absent", error(404, "MANIFEST_UNKNOWN"), last=9)
        for _ in range(3):
            assert client.resolve(there.tag("1")) is not None and client.resolve(there.tag("none")) is None
            assert client.manifest(there.tag("1")) is not None and client.manifest(there.tag("absent")) is None
            assert not client.lacks(there, IMAGE.config)
            client.push_blob(there, b"more", "text/plain")
            client.tags(there)
        assert server.connections == before + 1

    def test_an_answer_that_nobody_wants_is_not_read_to_a_far_end(
        self, server: ScriptedRegistry, client: Client
    ) -> None:
        there = repository(server)
        server.rule("GET", "/manifests/1", Answer(404, body=b"x" * (1 << 20)))
        before = server.connections
        assert client.manifest(there.tag("1")) is None and client.resolve(there.tag("2")) is None
        assert server.connections == before + 2

    def test_a_blob_is_asked_for_once_in_a_run(self, server: ScriptedRegistry, client: Client) -> None:
        images = [MemoryImage(b"common", bytes([number])) for number in range(5)]
        for number, image in enumerate(images):
            client.push_image(image, repository(server), str(number))
        common = images[0].layers[0].digest
        assert len(server.requests("HEAD", f"/blobs/{common}")) == 2  # before the upload, and after it

    def test_it_gives_up_and_says_what_where_and_why(self, server: ScriptedRegistry, client: Client) -> None:
        server.rule("PUT", "/uploads/", error(503, "UNAVAILABLE", "storage is down"), last=999)
        with pytest.raises(RegistryError) as caught:
            client.push_image(IMAGE, repository(server), "1")
        error_ = caught.value
        assert error_.temporary and error_.hint
        for part in ("PUT http://127.0.0.1", "503 UNAVAILABLE", "storage is down", "tried 5 times", "_state=REDACTED"):
            assert part in error_.message
        assert "SECRETSTATE" not in error_.message
        assert len(server.requests("PUT")) <= 5 * len(IMAGE.blobs)
        assert server.requests("PUT", "/manifests/") == []

    @pytest.mark.parametrize("code", ["BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "RANGE_INVALID"])
    def test_an_upload_that_went_wrong_begins_anew(self, server: ScriptedRegistry, client: Client, code: str) -> None:
        server.rule("PUT", "/uploads/", error({"BLOB_UPLOAD_UNKNOWN": 404, "RANGE_INVALID": 416}.get(code, 400), code))
        client.push_image(IMAGE, repository(server), "1")
        assert is_complete(server)
        assert len(server.requests("POST")) == len(IMAGE.blobs) + 1

    def test_other_refusals_are_final(self, server: ScriptedRegistry, client: Client) -> None:
        server.rule("POST", "/uploads/", error(400, "NAME_INVALID"), last=99)
        with pytest.raises(RegistryError, match="400 NAME_INVALID") as caught:
            client.check_push(repository(server))
        assert not caught.value.temporary
        assert (len(server.requests("POST")), client.pauses) == (1, [])

    def test_a_blob_the_registry_lost_is_sent_again(self, server: ScriptedRegistry, client: Client) -> None:
        client.push_image(IMAGE, repository(server), "1")
        server.blobs.clear()
        server.rule("PUT", "/manifests/", error(404, "MANIFEST_BLOB_UNKNOWN"))
        client.push_image(IMAGE, repository(server), "2")
        assert is_complete(server, tag="2")

    @pytest.mark.parametrize("status", [202, 400, 404, 405, 500])
    def test_a_mount_that_fails_becomes_an_upload(self, server: ScriptedRegistry, client: Client, status: int) -> None:
        client.push_image(IMAGE, repository(server), "1")

        def refuse(seen: Seen) -> Answer | None:
            if "mount" not in seen.query:
                return None
            return (
                Answer(202, {"Location": "/v2/acme/child/blobs/uploads/mine"}) if status == 202 else error(status, "NO")
            )

        server.rule("POST", "acme/child/blobs/uploads/", refuse, last=99)
        client.push_image(IMAGE, repository(server, "acme/child"), "1")
        assert is_complete(server, "acme/child")
        assert client.pauses == []
        assert (
            client.mount(repository(server), Descriptor.of(OCI_EMPTY, b"new"), repository(server, "acme/child"))
            is False
        )

    @pytest.mark.parametrize(
        ("text", "low", "high"),
        [
            ("2", 2, 2.3),
            ("0", 0, 0),
            ("99999", 120, 121.1),
            ("0.5", 0.7, 1.5),
            ("35.852us", 0.7, 1.5),
            ("-1", 0.7, 1.5),
            ("", 0.7, 1.5),
        ],
    )
    def test_retry_after_is_obeyed_capped_and_junk_ignored(
        self, server: ScriptedRegistry, client: Client, text: str, low: float, high: float
    ) -> None:
        server.rule("HEAD", "/manifests/", Answer(429, {"Retry-After": text}))
        assert client.resolve(repository(server).tag("1")) is None
        if low == 0:
            assert client.pauses == []
        else:
            assert len(client.pauses) == 1 and low - 0.2 <= client.pauses[0] <= high

    def test_retry_after_as_a_date(self) -> None:
        assert retry_after(formatdate(time.time() + 30, usegmt=True)) == pytest.approx(30, abs=2)
        assert retry_after(formatdate(time.time() + 9999, usegmt=True)) == 120
        assert retry_after(formatdate(time.time() - 9999, usegmt=True)) == 0
        assert retry_after(None) is None

    def test_one_throttled_request_slows_all_that_go_there(self, server: ScriptedRegistry, client: Client) -> None:
        """Eight threads; one is told to wait 50 s; what is sent after that is 50 s later on the client's clock."""
        client.resolve(repository(server).tag("0"))
        sent: list[float] = []

        def note(seen: Seen) -> Answer | None:
            sent.append(client.clock.monotonic())
            time.sleep(0.05 if 8 < len(sent) < 16 else 0)  # so that the client has read what the eighth was told
            return Answer(429, {"Retry-After": "50"}) if len(sent) == 8 else None

        server.rule("HEAD", "/manifests/", note, last=99)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: client.resolve(repository(server, f"acme/r{n}").tag("1")), range(40)))
        told = sent[7]
        late = [at for at in sent[8:] if at - told < 50]
        assert len(sent) == 41 and len(late) <= 7  # those that were on their way already

    def test_a_stream_that_is_cut_is_temporary_and_gives_no_end(self, server: ScriptedRegistry, client: Client) -> None:
        client.push_image(IMAGE, repository(server), "1")
        layer = IMAGE.layers[1]
        whole = IMAGE.blobs[layer.digest]
        server.rule(
            "GET",
            "/blobs/",
            Answer(200, {"Content-Length": str(len(whole)), "Connection": "close"}, whole[:-9]),
            last=9,
        )
        got = b""
        with pytest.raises(RegistryError) as caught, client.open_blob(repository(server), layer) as pieces:
            for piece in pieces:
                got += piece
        assert caught.value.temporary and len(got) < len(whole) - 9

    def test_a_small_blob_that_is_cut_once_is_read_again(self, server: ScriptedRegistry, client: Client) -> None:
        client.push_image(IMAGE, repository(server), "1")
        server.rule("GET", "/blobs/", Answer(200, {"Content-Length": "9", "Connection": "close"}, b"lay"))
        assert client.blob(repository(server), IMAGE.layers[0]) == b"layer one"

    def test_nobody_there_is_said_at_once(self, client: Client) -> None:
        with ScriptedRegistry() as gone:
            here = repository(gone)
        with pytest.raises(RegistryError, match="refuses connections") as caught:
            client.resolve(here.tag("1"))
        assert caught.value.temporary and f"is the registry running at {gone.host}?" in caught.value.hint
        assert client.pauses == []

    def test_a_registry_that_went_away_is_waited_for(self, client: Client) -> None:
        with ScriptedRegistry() as server:
            client.resolve(repository(server).tag("1"))
        with pytest.raises(RegistryError, match="tried 5 times"):
            client.resolve(repository(server).tag("1"))
        assert len(client.pauses) == 4

    def test_a_long_wait_is_told_and_a_hiccup_is_not(self, server: ScriptedRegistry, client: Client) -> None:
        server.rule("HEAD", "/manifests/", Answer(503))
        assert client.resolve(repository(server).tag("1")) is None
        assert client.waits == []
        server.rule("HEAD", "/manifests/", Answer(429, {"Retry-After": "50"}))
        assert client.resolve(repository(server).tag("1")) is None
        (told,) = client.waits
        assert "429" in told and told.endswith(": trying again in 50 s (1 of 5 tries)")
        server.rule("HEAD", "/manifests/", Answer(503), last=3)
        assert client.resolve(repository(server).tag("1")) is None
        assert [text.rpartition(" (")[2] for text in client.waits[1:]] == ["2 of 5 tries)", "3 of 5 tries)"]

    def test_tls_is_neither_retried_nor_skipped(self, server: ScriptedRegistry, client: Client) -> None:
        # A plain HTTP port spoken to with TLS: the handshake fails as it does with any wrong certificate.
        client._transport.routes.base = lambda registry: f"https://{registry}"  # type: ignore[method-assign]
        with pytest.raises(RegistryError, match="TLS with") as caught:
            client.resolve(repository(server).tag("1"))
        assert not caught.value.temporary and client.pauses == []
        assert "REQUESTS_CA_BUNDLE" in caught.value.hint


# -------------------------------------------------------------------------------------------------- redirects and leaks


class TestWhereThingsGo:
    def test_a_blob_is_fetched_from_a_storage_host_without_credentials(
        self, start: Callable[..., ScriptedRegistry], client: Client
    ) -> None:
        server, storage = start(tokens=True), start()
        client.push_image(IMAGE, repository(server), "1")
        storage.blobs["x", str(IMAGE.config.digest)] = IMAGE.blobs[IMAGE.config.digest]
        target = f"http://{storage.host}/v2/x/blobs/{IMAGE.config.digest}?X-Amz-Signature=SIGNED"
        server.rule("GET", "/blobs/", Answer(307, {"Location": target}))
        assert client.blob(repository(server), IMAGE.config) == IMAGE.blobs[IMAGE.config.digest]
        assert [seen.authorization for seen in storage.seen] == [""]
        assert "SIGNED" not in " ".join(client.told)

    def test_an_upload_that_goes_on_elsewhere_takes_the_bytes_but_not_the_token(
        self, start: Callable[..., ScriptedRegistry], client: Client
    ) -> None:
        server, storage = start(tokens=True), start()

        def elsewhere(seen: Seen) -> Answer:
            return Answer(202, {"Location": f"http://{storage.host}/v2/acme/app/blobs/uploads/far?sig=SIGNED"})

        server.rule("POST", "/uploads/", elsewhere, last=99)
        storage.blobs = server.blobs
        client.push_image(IMAGE, repository(server), "1")
        assert is_complete(server)
        assert len(storage.requests("PUT")) == len(IMAGE.blobs)
        assert {seen.authorization for seen in storage.seen} == {""}
        assert all(seen.query["sig"] == ["SIGNED"] for seen in storage.seen)

    def test_a_redirected_put_sends_its_body_again(
        self, start: Callable[..., ScriptedRegistry], client: Client
    ) -> None:
        server, storage = start(tokens=True), start()

        def move(seen: Seen) -> Answer:
            return Answer(307, {"Location": f"http://{storage.host}{seen.path}?digest={seen.query['digest'][0]}"})

        server.rule("PUT", "/uploads/", move, last=99)
        storage.blobs = server.blobs
        client.push_image(IMAGE, repository(server), "1")
        assert is_complete(server)
        assert {seen.authorization for seen in storage.seen} == {""}

    @pytest.mark.parametrize(
        "location",
        [
            "http://169.254.169.254/latest/meta-data/",
            "https://10.0.0.1/",
            "https://[fd00::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://2852039166/",
            "http://0.0.0.0/",
            "http://storage.example.com/plain",
            "https://user:word@example.com/",
            "file:///etc/passwd",
            "https://exa mple:port/",
        ],
    )
    def test_places_we_must_not_be_sent_to_are_refused(
        self, server: ScriptedRegistry, client: Client, location: str
    ) -> None:
        client.push_image(IMAGE, repository(server), "1")
        server.rule("GET", "/blobs/", Answer(307, {"Location": location}), last=99)
        server.rule("POST", "/uploads/", Answer(202, {"Location": location}), last=99)
        with pytest.raises(RegistryError, match="redirect"):
            client.blob(repository(server), IMAGE.config)
        with pytest.raises(RegistryError, match="Location"):
            client.push_blob(repository(server), b"new", OCI_EMPTY)
        assert client.pauses == []

    @pytest.mark.parametrize(
        ("host", "target", "allowed"),
        [
            ("https://registry.example.com/", "https://s3.example.com/x", True),
            ("https://registry.example.com/", "http://registry.example.com/x", False),
            ("https://registry.example.com/", "https://127.0.0.1/x", False),
            ("https://registry.example.com/", "https://localhost/x", False),
            ("https://registry.example.com/", "http://minio.corp:9000/x", True),
            ("https://registry.example.com/", "https://10.1.1.1/x", True),
            ("https://10.0.0.5/", "https://10.0.0.5:8443/x", True),
            ("https://10.0.0.5/", "https://10.0.0.6/x", False),
            ("http://localhost:5000/", "http://127.0.0.1:9000/x", True),
        ],
    )
    def test_where_servers_may_send_us(self, host: str, target: str, allowed: bool) -> None:
        routes = Routes(["minio.corp:9000", "10.1.1.1"])
        if allowed:
            assert routes.follow(host, target, "redirect") == target
        else:
            with pytest.raises(RegistryError):
                routes.follow(host, target, "redirect")

    def test_a_circle_of_redirects_ends(self, server: ScriptedRegistry, client: Client) -> None:
        server.rule("GET", "/blobs/", lambda seen: Answer(302, {"Location": seen.path}), last=99)
        with pytest.raises(RegistryError, match="redirects"):
            client.blob(repository(server), IMAGE.config)
        assert len(server.requests("GET", "/blobs/")) == 6

    def test_a_location_may_be_relative_with_a_query(self, server: ScriptedRegistry, client: Client) -> None:
        server.rule("POST", "/uploads/", Answer(202, {"location": "../uploads/own?a=b%2Fc&d="}))
        client.push_blob(repository(server), b"new", OCI_EMPTY)
        (put,) = server.requests("PUT")
        assert put.path == "/v2/acme/app/blobs/uploads/own"
        assert put.query == {"a": ["b/c"], "d": [""], "digest": [str(Digest.of(b"new"))]}

    def test_no_secret_is_in_any_error_or_trace(self, start: Callable[..., ScriptedRegistry]) -> None:
        """Every request fails in every way; whatever is raised or told is searched for canaries."""

        def echo(seen: Seen) -> Answer:
            return error(500, "UNKNOWN", f"you sent {seen.authorization} and {PASSWORD} \x1b[31m\r\n::add-mask::x")

        told: list[str] = []
        for fault in (echo, "drop", error(403, "DENIED", f"for {PASSWORD}"), Answer(200, {}, b"<html>")):
            for method, path in (
                ("GET", "^/token"),
                ("HEAD", "."),
                ("POST", "."),
                ("PUT", "/uploads/"),
                ("PUT", "/man"),
            ):
                server = start(tokens=True)
                server.rule(method, path, fault, last=999)
                client = Client(keychain=Keys(ME), attempts=2)
                with pytest.raises(DsciError) as caught:
                    client.push_image(IMAGE, repository(server), "1")
                    client.push_manifest(repository(server), index_of(IMAGE), OCI_INDEX, "2")
                    raise RegistryError("pushed in spite of it")
                context = (
                    caught.value.__cause__,
                    caught.value.__context__ if not caught.value.__suppress_context__ else None,
                )
                told += [caught.value.message, caught.value.hint, repr(caught.value), repr(context), *client.told]
        text = "\n".join(told)
        for secret in (PASSWORD, "CANARY", "SECRETSTATE", "\x1b", "\r"):
            assert secret not in text
        assert "_state=REDACTED" in text and "UNKNOWN" in text

    def test_netrc_and_proxy_variables_of_the_process_are_not_read(
        self, start: Callable[..., ScriptedRegistry], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        server = start(tokens=True)
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login evil password NETRC-CANARY\n")
        (tmp_path / "netrc").chmod(0o600)
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.setenv("no_proxy", "")
        client = Client(keychain=Keys(ME))
        client.push_image(IMAGE, repository(server), "1")
        assert is_complete(server)
        assert {seen.authorization.partition(" ")[0] for seen in server.requests("PUT")} == {"Bearer"}

    def test_a_configured_proxy_is_used_except_where_it_must_not_be(self, server: ScriptedRegistry) -> None:
        here = Network.from_environment(
            {
                "HTTPS_PROXY": "http://p:1",
                "http_proxy": "http://q:2",
                "NO_PROXY": "corp.example, .lan,10.0.0.0/8,odd:8443",
            }
        )
        assert here.proxy("https://ghcr.io/v2/") == "http://p:1"
        assert here.proxy("http://ghcr.io/v2/") == "http://q:2"
        for direct in (
            "corp.example",
            "a.corp.example:5000",
            "x.lan",
            "10.1.2.3:5000",
            "odd:8443",
            "localhost:5000",
            "127.0.0.9",
            "[::1]:5000",
        ):
            assert here.proxy(f"https://{direct}/v2/") is None, direct
        for through in ("notcorp.example", "11.1.2.3", "odd:443", "odd"):
            assert here.proxy(f"https://{through}/v2/"), through
        assert Network.from_environment({"HTTP_PROXY": "http://cgi:1"}).http_proxy is None
        assert Network.from_environment({"https_proxy": "http://p", "no_proxy": "*"}).proxy("https://a.b/") is None
        client = Client(network=Network(http_proxy=f"http://{server.host}"), insecure=["registry.test"])
        server.manifests["acme/app", "1"] = (OCI_MANIFEST, IMAGE.manifest)
        server.rule(
            "GET", "^/v2/$", lambda seen: Answer(200) if seen.headers["Host"] == "registry.test" else Answer(500)
        )
        client.resolve(Repository("registry.test", "acme/app").tag("1"))
        assert [seen.headers["Host"] for seen in server.seen] == ["registry.test"] * len(server.seen)

    def test_the_ca_bundle_comes_from_the_environment(self) -> None:
        assert Network.from_environment({"SSL_CERT_FILE": "/a", "REQUESTS_CA_BUNDLE": "/b"}).ca_bundle == "/b"
        assert Network.from_environment({"SSL_CERT_FILE": "/a"}).ca_bundle == "/a"
        assert Network.from_environment({}).ca_bundle is None

    def test_urls_are_shown_without_what_may_be_secret(self) -> None:
        url = "https://u:p@h:1/v2/a/b?digest=sha256:1&sig=S&scope=repository:a:pull&last=x&_state=T#f"
        assert (
            redact(url)
            == "https://h:1/v2/a/b?digest=sha256:1&sig=REDACTED&scope=repository:a:pull&last=x&_state=REDACTED"
        )
        assert origin("HTTPS://Host/x") == origin("https://host:443/y") != origin("http://host:443/")

    @pytest.mark.parametrize(
        ("registry", "base"),
        [
            ("ghcr.io", "https://ghcr.io"),
            ("localhost:5000", "http://localhost:5000"),
            ("127.9.9.9", "http://127.9.9.9"),
            ("[::1]:5000", "http://[::1]:5000"),
            ("10.0.0.1:5000", "https://10.0.0.1:5000"),
            ("old.corp:80", "http://old.corp:80"),
            ("other.corp:80", "https://other.corp:80"),
        ],
    )
    def test_plain_http_only_for_this_machine_and_hosts_named_insecure(self, registry: str, base: str) -> None:
        assert Routes(["old.corp"]).base(registry) == base


# ---------------------------------------------------------------------------------------------------- lies and oddities


class TestLies:
    def test_a_login_page_is_no_manifest(self, server: ScriptedRegistry, client: Client) -> None:
        page = Answer(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>log in</html>")
        server.rule("HEAD", ".", page, last=99)
        server.rule("GET", ".", page, last=99)
        for read in (client.resolve, client.manifest):
            with pytest.raises(RegistryError, match="text/html is no manifest") as caught:
                read(repository(server).tag("1"))
            assert "login page" in caught.value.hint
        with pytest.raises(RegistryError, match="no list of tags"):
            client.tags(repository(server))

    def test_200_is_not_201(self, server: ScriptedRegistry, client: Client) -> None:
        for method in ("POST", "PUT"):
            server.rule(method, "/uploads/", Answer(200, {"Content-Type": "text/html"}, b"<html>"), last=99)
            with pytest.raises(RegistryError, match=f"{method} .*200"):
                client.push_blob(repository(server), b"new", OCI_EMPTY)
            server.rules.clear()

    def test_other_bytes_than_the_digest_are_refused(self, server: ScriptedRegistry, client: Client) -> None:
        lie = Answer(200, {"Content-Type": OCI_MANIFEST}, MemoryImage(b"other").manifest)
        server.rule("GET", "/manifests/", lie, last=99)
        with pytest.raises(RegistryError, match="bytes that are not sha256"):
            client.manifest(repository(server).at(IMAGE.descriptor.digest))
        said = replace(lie, headers={**lie.headers, "Docker-Content-Digest": str(Digest.of(b"else"))})
        server.rules.clear()
        server.rule("GET", "/manifests/", said, last=99)
        with pytest.raises(RegistryError, match="bytes that are not sha256"):
            client.manifest(repository(server).tag("1"))

    def test_a_head_that_names_another_digest_is_not_believed(self, server: ScriptedRegistry, client: Client) -> None:
        client.push_image(IMAGE, repository(server), "1")
        lie = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": str(Digest.of(b"lie")), "Content-Length": "9"}
        server.rule("HEAD", "/manifests/", Answer(200, lie), last=99)
        found = client.resolve(repository(server).at(IMAGE.descriptor.digest))
        assert found is not None and found.digest == IMAGE.descriptor.digest

    @pytest.mark.parametrize("headers", [{}, {"Content-Type": OCI_MANIFEST}, {"Docker-Content-Digest": "sha256:xyz"}])
    @pytest.mark.parametrize("status", [200, 400, 405])
    def test_without_a_useful_head_the_bytes_decide(
        self, server: ScriptedRegistry, client: Client, status: int, headers: dict[str, str]
    ) -> None:
        client.push_image(IMAGE, repository(server), "1")
        server.rule("HEAD", "/manifests/", Answer(status, headers), last=99)
        found = client.resolve(repository(server).tag("1"))
        assert found is not None and found.digest == IMAGE.descriptor.digest

    def test_pushing_works_where_head_does_not(self, server: ScriptedRegistry, client: Client) -> None:
        server.rule("HEAD", "/blobs/", error(405, "UNSUPPORTED"), last=99)
        server.rule("HEAD", "/manifests/", error(405, "UNSUPPORTED"), last=99)
        client.push_image(IMAGE, repository(server), "1")
        assert is_complete(server)

    def test_a_manifest_that_vanishes_is_put_again(self, server: ScriptedRegistry, client: Client) -> None:
        server.rule("PUT", "/manifests/", Answer(201))
        client.push_image(IMAGE, repository(server), "1")
        assert is_complete(server) and len(server.requests("PUT", "/manifests/")) == 2

    def test_a_tag_that_somebody_else_moves_at_the_same_time_is_a_conflict(
        self, server: ScriptedRegistry, client: Client
    ) -> None:
        def race(seen: Seen) -> Answer:
            server.manifests["acme/app", "1"] = (OCI_MANIFEST, MemoryImage(b"theirs").manifest)
            return Answer(201)

        server.rule("PUT", "/manifests/", race)
        with pytest.raises(ConflictError, match="right after we wrote"):
            client.push_image(IMAGE, repository(server), "1")

    @pytest.mark.parametrize("status", [400, 403, 409, 412])
    def test_an_immutable_tag_is_a_conflict_unless_it_is_ours(
        self, server: ScriptedRegistry, client: Client, status: int
    ) -> None:
        client.check_push(repository(server))
        server.manifests["acme/app", "1"] = (OCI_MANIFEST, MemoryImage(b"theirs").manifest)
        server.rule("PUT", "/manifests/1", error(status, "TAG_IMMUTABLE"), last=99)
        with pytest.raises(ConflictError, match=str(IMAGE.descriptor.digest)):
            client.push_image(IMAGE, repository(server), "1")
        server.manifests["acme/app", "1"] = (OCI_MANIFEST, IMAGE.manifest)
        writes = client.writes
        client.push_image(IMAGE, repository(server), "1")
        assert client.writes == writes

    def test_both_a_manifest_and_an_index_is_neither(self, server: ScriptedRegistry, client: Client) -> None:
        both = b'{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}'
        index = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
        for content in (both, index):
            server.manifests["acme/app", "1"] = (OCI_MANIFEST, content)
            with pytest.raises(RegistryError):
                client.manifest(repository(server).tag("1"))

    def test_a_manifest_over_4_mib_is_not_read(self, server: ScriptedRegistry, client: Client) -> None:
        server.manifests["acme/app", "1"] = (OCI_MANIFEST, b" " * (4 * 1024 * 1024 + 1))
        with pytest.raises(RegistryError, match="an answer over the limit"):
            client.manifest(repository(server).tag("1"))

    def test_tags_come_from_every_page_and_only_legal_ones(self, server: ScriptedRegistry, client: Client) -> None:
        names = ["1.0", "1.1", "2.0", "edge", "latest"]
        for tag in [*names, "bad tag", "-x"]:
            server.manifests["acme/app", tag] = (OCI_MANIFEST, b"")
        assert client.tags(repository(server)) == tuple(names)
        assert len(server.requests("GET", "/tags/list")) == 4

    @pytest.mark.parametrize(
        "link",
        [
            '</v2/acme/app/tags/list?n=1000>; rel="next"',
            '<http://127.0.0.1:1/x>; rel="next"',
            "<http://10.0.0.1/x>; rel=next",
        ],
    )
    def test_a_list_of_tags_that_leads_astray_ends(self, server: ScriptedRegistry, client: Client, link: str) -> None:
        server.rule("GET", "/tags/", Answer(200, {"Link": link}, b'{"tags":["a"]}'), last=99)
        with pytest.raises(RegistryError):
            client.tags(repository(server))
        assert len(server.requests("GET", "/tags/")) == 1

    def test_tags_null_is_no_tags(self, server: ScriptedRegistry, client: Client) -> None:
        server.rule("GET", "/tags/", Answer(200, {}, b'{"name":"x","tags":null}'))
        assert client.tags(repository(server)) == ()

    def test_check_push_opens_one_upload_and_takes_it_back(self, server: ScriptedRegistry, client: Client) -> None:
        for _ in range(2):
            client.check_push(repository(server))
        assert [seen.method for seen in server.seen if seen.path != "/v2/"] == ["POST", "DELETE"]
        assert client.writes == 2

    def test_docker_hub_is_asked_where_it_lives(self) -> None:
        client = Client()
        told: list[str] = []

        def base(registry: str) -> str:
            told.append(registry)
            raise RegistryError("stop")

        client._transport.routes.base = base  # type: ignore[method-assign]
        with pytest.raises(RegistryError, match="stop"):
            client.resolve(Repository("docker.io", "library/debian").tag("1"))
        assert told[0] == "registry-1.docker.io"


def test_memory_stays_bounded_while_a_large_blob_goes_through(docker_registry: str) -> None:
    """64 MiB up and down again through the real registry within a few MiB of Python's memory."""
    client = HttpRegistry()
    source = LargeImage(64 * 1024 * 1024)
    here = Repository(docker_registry, "acme/large")
    tracemalloc.start()
    try:
        client.push_image(source, here, "1")
        with client.open_blob(here, source.layers[0]) as pieces:
            assert sum(len(piece) for piece in pieces) == source.layers[0].size
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


class TestRemoving:
    def pushed(self, server: ScriptedRegistry, **options: object) -> tuple[Client, Repository]:
        client, repository = Client(**options), Repository(server.host, "acme/app")
        client.push_image(IMAGE, repository, "1")
        return client, repository

    def test_a_token_that_may_delete_is_asked_for(self, start: Callable[..., ScriptedRegistry]) -> None:
        server = start(tokens=True)
        client, repository = self.pushed(server, keychain=Keys(ME))
        assert client.delete(repository, IMAGE.descriptor.digest) is True
        asked = [" ".join(seen.query.get("scope", [])) for seen in server.requests("GET", "^/token$")]
        assert any("acme/app:delete" in scope for scope in asked)
        assert not any("delete" in scope for scope in asked[:-1]), "and not before it is needed"

    def test_a_refusal_says_who_we_are(self, start: Callable[..., ScriptedRegistry]) -> None:
        server = start(tokens=True)
        server.denied.add("repository:acme/app:delete")
        client, repository = self.pushed(server, keychain=Keys(ME))
        with pytest.raises(AuthError, match="as me"):
            client.delete(repository, IMAGE.descriptor.digest)

    @pytest.mark.parametrize(("status", "code"), [(405, "UNSUPPORTED"), (400, "UNSUPPORTED"), (501, ""), (405, "")])
    def test_what_a_registry_does_not_do(self, server: ScriptedRegistry, status: int, code: str) -> None:
        client, repository = self.pushed(server)
        server.rule("DELETE", "/manifests/", error(status, code) if code else Answer(status), last=99)
        with pytest.raises(UnsupportedError, match="deletes no manifests"):
            client.delete(repository, IMAGE.descriptor.digest)
        assert len(server.requests("DELETE")) == 1, "it is not asked again and again"

    @pytest.mark.parametrize("fault", ["drop", "lost", error(503, "UNAVAILABLE")])
    def test_it_is_tried_again(self, server: ScriptedRegistry, fault: object) -> None:
        client, repository = self.pushed(server)
        server.rule("DELETE", "/manifests/", fault)
        client.delete(repository, IMAGE.descriptor.digest)
        assert client.resolve(repository.tag("1")) is None and len(server.requests("DELETE")) == 2

    @pytest.mark.parametrize(
        ("header", "time"),
        [
            ({"Last-Modified": formatdate(1_700_000_000, usegmt=True)}, 1_700_000_000),
            ({"Last-Modified": "x"}, None),
            ({}, None),
        ],
    )
    def test_when_it_was_written(self, server: ScriptedRegistry, header: dict[str, str], time: int | None) -> None:
        client, repository = self.pushed(server)
        server.rule("HEAD", "/manifests/1$", Answer(200, header))
        assert client.written(repository.tag("1")) == time

    def test_whether_it_is_unknown_or_refused_differs(self, server: ScriptedRegistry) -> None:
        client, repository = self.pushed(server)
        server.rule("HEAD", "/manifests/1$", error(500, "UNKNOWN"), last=99)
        with pytest.raises(RegistryError):
            client.written(repository.tag("1"))
