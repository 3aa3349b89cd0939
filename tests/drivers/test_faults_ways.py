"""Faults F11–F13: headers that are missing or odd, and places that a registry sends us to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from faultlab import LAYER, USUAL, Lab, some
from tests.faults import FOREVER, Rewrite, redirect
from tests.faultyproxy import FaultyProxy

from dsci.drivers.registry import HttpRegistry
from dsci.drivers.routes import Network
from dsci.errors import RegistryError

Change = Callable[[dict[str, str]], None]


@pytest.fixture
def storage(lab: Lab) -> Iterator[FaultyProxy]:
    """Another host with the same bytes, which wants to know nobody."""
    with FaultyProxy("127.0.0.1", lab.direct).serving() as host:
        yield host


def _relative(headers: dict[str, str]) -> None:
    url = urlsplit(headers["Location"])
    headers["Location"] = f"{url.path}?{url.query}"


def _next_to_it(headers: dict[str, str]) -> None:
    url = urlsplit(headers["Location"])
    headers["Location"] = f"{url.path.rpartition('/')[2]}?{url.query}"


def _lower_case(headers: dict[str, str]) -> None:
    headers["location"] = headers.pop("Location")


def _fragment(headers: dict[str, str]) -> None:
    headers["Location"] += "#here"


def _more_query(headers: dict[str, str]) -> None:
    headers["Location"] += "&token=SIGCANARY"


@pytest.mark.parametrize("change", some([_relative, _next_to_it, _lower_case, _fragment, _more_query], 2))
def test_f11_where_an_upload_goes_on(lab: Lab, change: Change) -> None:
    rule = lab.proxy.rule("POST", "/blobs/uploads/", Rewrite(change=change), last=FOREVER)
    result = lab.run()
    assert result.error is None and rule.fired == 2
    puts = lab.proxy.requests("PUT", "/blobs/uploads/")
    assert all("_state=" in seen.path and "digest=sha256" in seen.path for seen in puts)
    if change is _more_query:
        assert all("token=SIGCANARY" in seen.path for seen in puts)
    lab.check(result)


def test_f11_an_upload_that_goes_on_at_another_host(lab: Lab, storage: FaultyProxy) -> None:
    def elsewhere(headers: dict[str, str]) -> None:
        headers["Location"] = headers["Location"].replace(lab.proxy.host, storage.host)

    lab.proxy.rule("POST", "/blobs/uploads/", Rewrite(change=elsewhere), last=FOREVER)
    result = lab.run()
    assert result.error is None
    puts = storage.requests("PUT")
    assert len(puts) == 2 and max(seen.up for seen in puts) == LAYER
    assert [seen for seen in storage.seen if seen.authorization] == []
    lab.check(result)


def test_f11_no_location(lab: Lab) -> None:
    lab.proxy.rule("POST", "/blobs/uploads/", Rewrite({"Location": None}), last=FOREVER)
    result = lab.run()
    assert isinstance(result.error, RegistryError) and "the Location is missing" in result.text
    lab.check(result)


@pytest.mark.parametrize(
    "headers",
    some(
        [
            {"Docker-Content-Digest": None},
            {"Content-Length": None},
            {"Content-Type": None},
            {"Content-Type": "application/vnd.oci.image.manifest.v1+json; charset=utf-8"},
            {"Docker-Content-Digest": "sha256:xyz"},
            {"Etag": None, "Docker-Distribution-Api-Version": None, "Date": None, "Docker-Upload-Uuid": None},
        ],
        3,
    ),
)
def test_f11_headers_that_are_missing(lab: Lab, headers: dict[str, str | None]) -> None:
    lab.proxy.rule("HEAD|PUT|POST", ".*", Rewrite(headers), last=FOREVER)
    result = lab.run()
    assert result.error is None, result.said
    lab.check(result, budget=USUAL + 10)


FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1:{port}/v2/x",
    "http://10.0.0.1/x",
    "http://192.168.1.1/x",
    "http://[::1]:{port}/x",
    "http://0.0.0.0:{port}/x",
    "http://2130706433:{port}/x",
    "http://localhost:{port}/x",
    "http://[::ffff:127.0.0.1]:{port}/x",
    "http://other.example/x",
    "ftp://registry.example/x",
    "file:///etc/passwd",
    "http://user:pw@registry.example/x",
]


@pytest.fixture
def named(lab: Lab) -> Lab:
    """The same registry under a name of the internet's, through an HTTP proxy."""
    lab.network = Network(http_proxy=lab.proxy.host)
    lab.host = "registry.example"
    return lab


def _upload(to: str) -> tuple[str, str, Rewrite]:
    return "POST", "/blobs/uploads/", Rewrite({"Location": to})


@pytest.mark.parametrize("to", some(FORBIDDEN, 3))
def test_f12_an_upload_that_goes_on_where_it_must_not(named: Lab, storage: FaultyProxy, to: str) -> None:
    to = to.format(port=storage.host.rpartition(":")[2])
    method, path, action = _upload(to)
    named.proxy.rule(method, path, action, last=FOREVER)
    result = named.run()
    assert isinstance(result.error, RegistryError) and not result.error.temporary
    assert "the Location" in result.text and "pw@" not in result.said
    assert named.proxy.requests("PUT") == [] and storage.seen == [], "no body is sent anywhere"
    named.check(result)


@pytest.mark.parametrize("status", some([301, 302, 307, 308], 1))
@pytest.mark.parametrize("to", some(FORBIDDEN, 2))
def test_f12_a_redirect_to_where_it_must_not_go(named: Lab, storage: FaultyProxy, to: str, status: int) -> None:
    action = redirect(to.format(port=storage.host.rpartition(":")[2]), status)
    for method, path in (("GET", "/blobs/"), ("PUT", "/blobs/uploads/"), ("HEAD", "/manifests/1.0")):
        named.proxy.calm()
        rule = named.proxy.rule(method, path, action, last=FOREVER)
        blob = named.old.layers[0]
        work = {
            "GET": lambda client: client.blob(named.repository, blob),  # noqa: B023
            "HEAD": lambda client: client.resolve(named.repository.tag("1.0")),
        }.get(method)
        result = named.run(work)
        assert isinstance(result.error, RegistryError) and rule.fired <= 3
        assert storage.seen == []
        if method != "PUT" or status in (307, 308):
            assert "the redirect" in result.text
    named.check(result)


def test_f12_a_private_registry_may_name_itself(lab: Lab) -> None:
    """The rule is about leading from one host to another: a registry on a private address works as it is."""
    result = lab.run()
    assert result.error is None
    assert all(seen.headers["Host"] == lab.proxy.host for seen in lab.proxy.seen)
    lab.check(result)


def test_f12_a_registry_of_the_internet_works_through_a_proxy(named: Lab) -> None:
    result = named.run()
    assert result.error is None
    assert {seen.headers["Host"] for seen in named.proxy.seen} == {"registry.example"}
    named.check(result)


def test_f13_a_blob_comes_from_a_storage_host_without_our_token(lab: Lab, storage: FaultyProxy) -> None:
    lab.past.push_image(lab.new, lab.behind, "dsci-unique")
    blob = lab.new.layers[1]
    lab.proxy.rule(
        "GET",
        f"/blobs/{blob.digest}",
        redirect(f"http://{storage.host}/v2/{lab.path}/blobs/{blob.digest}?X-Sig=SIGCANARY"),
    )

    def read(client: HttpRegistry) -> None:
        with client.open_blob(lab.repository, blob) as pieces:
            assert sum(len(piece) for piece in pieces) == LAYER

    result = lab.run(read)
    assert result.error is None
    assert [(seen.method, seen.authorization) for seen in storage.seen] == [("GET", "")]
    assert "Cookie" not in storage.seen[0].headers
    lab.check(result)


def test_f13_a_failing_storage_host_is_named_without_its_signature(lab: Lab, storage: FaultyProxy) -> None:
    lab.past.push_image(lab.new, lab.behind, "dsci-unique")
    blob = lab.new.layers[0]
    lab.proxy.rule(
        "GET", f"/blobs/{blob.digest}", redirect(f"http://{storage.host}/gone?X-Amz-Signature=SIGCANARY"), last=FOREVER
    )
    result = lab.run(lambda client: client.blob(lab.repository, blob))
    assert isinstance(result.error, RegistryError) and storage.host in result.text
    lab.check(result)
