"""Registries that images are only copied to: which of them cannot be asked anything, and what a failing one costs."""

from __future__ import annotations

import socket

import pytest
from tests.drivers.scripted import FastClock, ScriptedRegistry, error
from tests.model.builders import released

from dsci.drivers import pools
from dsci.drivers.registry import HttpRegistry
from dsci.errors import RegistryError
from dsci.model.family import Family, Image
from dsci.model.oci import Digest, Platform
from dsci.model.reference import Repository
from dsci.pipeline.destinations import silent
from dsci.pipeline.naming import Name, Way


def family(*places: str) -> Family:
    """An image that is built in the first of these registries and copied to the others."""
    image = Image(
        name="ml",
        group="ml",
        context="images/ml",
        dockerfile="images/ml/Dockerfile",
        platforms=(Platform("linux", "amd64"),),
        repositories=tuple(Repository(place, "acme/ml") for place in places),
        tag_rules=(),
    )
    return Family(images={"ml": image}, nodes={})


def test_one_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "READ_TIMEOUT", 0.2)
    client = HttpRegistry(attempts=2, clock=FastClock())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        found = silent(client, family("registry.invalid", place))
    assert found.keys() == {place} and "no answer in time" in found[place].message
    client.close()


def test_one_that_is_out_of_order_and_one_that_refuses() -> None:
    """A refusal is an answer: whether this run may push there is proven before anything is built."""
    client = HttpRegistry(attempts=2, clock=FastClock())
    with ScriptedRegistry() as broken, ScriptedRegistry() as closed, ScriptedRegistry() as good:
        broken.rule("HEAD", "/manifests/", error(500, "UNKNOWN"), last=99)
        closed.rule("HEAD", "/manifests/", error(403, "DENIED"), last=99)
        found = silent(client, family("registry.invalid", broken.host, closed.host, good.host))
        assert found.keys() == {broken.host}
        assert silent(client, family(broken.host)) == {}, "what is built in it is asked by whoever builds"
    client.close()


def test_what_goes_down_in_the_middle_ends_its_way_and_nothing_more_is_begun() -> None:
    """A hundred names: the registry fails while most of them wait for their turn."""
    claim = released("ml", "1.0.0")
    client = HttpRegistry(attempts=1, clock=FastClock())
    with ScriptedRegistry() as down:
        down.rule("HEAD", "/manifests/", error(500, "UNKNOWN"), last=999)
        home = Repository(down.host, "acme/ml")
        names = [
            Name(claim=claim, reference=home.tag(f"1.{n}"), digest=Digest.of(b"%d" % n), primary=home, moving=False)
            for n in range(100)
        ]
        way = Way(client, names)
        asked = len(down.seen)
    client.close()
    assert isinstance(way.error, RegistryError) and way.publications == []
    assert asked < 50, "each of them was waited for"
