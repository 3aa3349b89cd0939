"""Which build cache a target has, who writes it, and what of it is kept."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from builders import AMD64, look, target
from msgspec.structs import replace

from dsci.errors import ConfigError
from dsci.model import caches, config
from dsci.model.caches import Cache, Choice, Means, choose, slug, told
from dsci.model.dockerfile import UNREADABLE, parse, resolve
from dsci.model.family import TargetId
from dsci.model.settings import Settings

HERE = {"images/ml/Dockerfile": "FROM debian:12\nRUN make\n", "images/r/Dockerfile": "FROM debian:12\n"}
REGISTRY = {"dsci.yaml": "registries: [ghcr.io/acme]\n"}
MEANS = Means(folder="/state/cache/1234")


def chosen(
    yaml: str = "", means: Means = MEANS, *, private: bool = False, fresh: bool = False, image: str = "ml"
) -> Choice:
    shot = look({**HERE, "dsci.yaml": yaml})
    own = target(f"{image}@linux/amd64")
    return choose(shot.settings, shot.family.images[image], shot.family.nodes[own], means, private=private, fresh=fresh)


ACME = "registries: [ghcr.io/acme]\n"
ML = "ghcr.io/acme/ml:dsci-cache-ml-linux-amd64"


def test_nothing_is_kept_unless_it_is_asked_for() -> None:
    assert chosen(ACME) == Choice(cache=None, type="none", why="")


@pytest.mark.parametrize(
    ("yaml", "means", "kind", "place"),
    [
        ("cache: auto", {}, "none", ""),
        (f"{ACME}cache: auto", {}, "registry", ML),
        (f"{ACME}cache: auto", {"exports": False}, "none", ""),
        (f"{ACME}cache: auto", {"actions": True}, "gha", "ml-linux-amd64"),
        ("cache: auto", {"actions": True}, "gha", "ml-linux-amd64"),
        ("cache: gha", {}, "none", ""),
        ("cache: gha", {"actions": True}, "gha", "ml-linux-amd64"),
        ("cache: registry", {}, "none", ""),
        (f"{ACME}cache: registry", {}, "registry", ML),
        (f"{ACME}cache: registry", {"wanted": "none"}, "none", ""),
        (f"{ACME}cache: registry", {"wanted": "local"}, "local", "/state/cache/1234/ml-linux-amd64"),
        (ACME, {"wanted": "registry"}, "registry", ML),
        ("cache: local", {}, "local", "/state/cache/1234/ml-linux-amd64"),
        (f"{ACME}cache: registry\nimages: {{ml: {{cache: none}}}}", {}, "none", ""),
        (f"{ACME}cache: none\nimages: {{ml: {{cache: {{}}}}}}", {}, "registry", ML),
        (
            "cache: {type: registry, repository: quay.io/acme/steps}",
            {},
            "registry",
            "quay.io/acme/steps:dsci-cache-ml-linux-amd64",
        ),
        (
            "cache: {repository: quay.io/acme/steps}",
            {},
            "registry",
            "quay.io/acme/steps:dsci-cache-ml-linux-amd64",
        ),
    ],
)
def test_what_becomes_of_what_is_asked_for(yaml: str, means: dict[str, Any], kind: str, place: str) -> None:
    found = chosen(yaml, replace(MEANS, **means))
    assert (found.type, found.cache.place if found.cache else "") == (kind, place)
    assert found.cache is None or (found.cache.type == kind and found.cache.write and not found.unwritten)


@pytest.mark.parametrize(
    ("means", "private", "why"),
    [({"trusted": False}, False, "request"), ({"exports": False}, False, "classic"), ({}, True, "uncommitted")],
)
def test_who_may_not_write_reads(means: dict[str, Any], private: bool, why: str) -> None:
    found = chosen(f"{ACME}cache: registry", replace(MEANS, **means), private=private)
    assert found.cache == Cache(type="registry", place=ML, read=True, write=False, every=False)
    assert why in found.unwritten


def test_what_runs_every_step_writes_and_does_not_read() -> None:
    found = chosen(f"{ACME}cache: registry", fresh=True)
    assert found.cache == Cache(type="registry", place=ML, read=False, write=True, every=False)
    reproducible = chosen(f"{ACME}cache: registry\nreproducible: true", fresh=True)
    assert reproducible.cache == found.cache
    assert told([found, reproducible]) == (
        "cache: registry: as asked for",
        "cache: written, not read: every step is to be run",
        "cache: written, not read: what is reproducible runs every step",
    )
    useless = chosen(f"{ACME}cache: registry", replace(MEANS, trusted=False), fresh=True)
    assert useless.cache is None
    assert told([useless])[1:] == (
        "cache: neither read (every step is to be run) nor written (what a request brings is kept for nobody)",
    )


def test_every_thing_is_told_once() -> None:
    choices = [chosen(f"{ACME}cache: registry", replace(MEANS, trusted=False), image=name) for name in ("ml", "r")]
    assert told([*choices, chosen()]) == (
        "cache: registry: as asked for",
        "cache: read, not written: what a request brings is kept for nobody",
    )


def test_names_of_targets() -> None:
    assert slug(target("ml@linux/arm/v7")) == "ml-linux-arm-v7"
    assert slug(target("ml:cuda12@linux/amd64")) == "ml..cuda12-linux-amd64" != slug(target("ml-cuda12@linux/amd64"))
    long, other = TargetId("x" * 100, AMD64), TargetId("x" * 100 + "y", AMD64)
    assert slug(long) != slug(other) and len(slug(long)) == len(slug(other)) == 80
    assert len(f"{caches.TAG_PREFIX}{slug(long)}") <= 128


@pytest.mark.parametrize(
    ("dockerfile", "side"),
    [
        ("FROM debian\nRUN x\n", False),
        ("FROM debian AS a\nRUN x\nFROM a\nRUN y\n", False),
        ("FROM debian AS a\nFROM a AS B\nFROM b\n", False),
        ("FROM debian AS a\nRUN x\nFROM debian\nCOPY --from=a /x /x\n", True),
        ("FROM debian AS a\nFROM a AS b\nRUN x\nFROM a\nCOPY --from=b /x /x\n", True),
        ("FROM debian AS unused\nRUN x\nFROM debian\nRUN y\n", False),
        ("FROM a AS a\nRUN x\n", False),
    ],
)
def test_all_steps_are_kept_where_stages_are_copied_from(dockerfile: str, side: bool) -> None:
    recipe = resolve(parse(dockerfile, path="Dockerfile"), stage=None, args={}, platform=AMD64, build_platform=AMD64)
    assert caches.has_side_stages(recipe) is side
    assert not caches.has_side_stages(UNREADABLE)


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("cache: inline\n", "cache"),
        ("cache: {type: registry, repository: 'Not A Name'}\n", "dsci.yaml:1: cache.repository"),
        ("images:\n  ml:\n    cache: {repository: '//'}\n", "dsci.yaml:3: images.ml.cache.repository"),
        ("cache: {kind: local}\n", "kind"),
    ],
)
def test_settings_that_cannot_be_meant(yaml: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.parse(yaml)
    assert said in error.value.message


def test_repositories_of_caches() -> None:
    settings, _ = config.parse(
        "cache: {repository: quay.io/acme/a}\nimages: {x: {cache: {repository: quay.io/acme/b}}, y: {cache: {}}, z: {}}"
    )
    assert sorted(map(str, caches.repositories(settings))) == ["quay.io/acme/a", "quay.io/acme/b"]
    assert caches.repositories(Settings()) == frozenset()


def test_no_cache_is_in_a_key() -> None:
    one, two = look({**HERE, **REGISTRY}), look({**HERE, "dsci.yaml": f"{ACME}cache: auto\n"})
    assert one.keys() == two.keys() and one.sources.full == two.sources.full
    assert msgspec.to_builtins(Settings())["cache"] == "none"
