"""Which builder is asked for which platform, what buildx tells of one, and what runs where."""

from __future__ import annotations

import pytest

from dsci.errors import ConfigError
from dsci.model.builders import Builder, Builders, Node, listed, missing, parse, read, runs, settled
from dsci.model.dockerfile import Recipe, resolve
from dsci.model.dockerfile import parse as parse_dockerfile
from dsci.model.oci import Platform

AMD64, ARM64, I386 = (Platform.parse(f"linux/{name}") for name in ("amd64", "arm64", "386"))
ARMV6, ARMV7, V3 = (Platform.parse(text) for text in ("linux/arm/v6", "linux/arm/v7", "linux/amd64/v3"))


def test_a_name_for_every_platform_and_names_for_some() -> None:
    assert parse([]) == Builders() and Builders().names == () and Builders().of(AMD64) is None
    chosen = parse(["far", "linux/arm64/v8=arm", "linux/aarch64=arm", "far"])
    assert (chosen.of(AMD64), chosen.of(ARM64), chosen.names) == ("far", "arm", ("arm", "far"))
    assert parse(["linux/arm64=arm"]).of(AMD64) is None
    assert settled("") == Builders() and settled("far") == parse(["far"])
    assert settled({"linux/arm64": "arm"}) == parse(["linux/arm64=arm"])


def test_the_engines_own_builder_has_no_name() -> None:
    chosen = parse(["far", "linux/arm64=default"]).without("default")
    assert (chosen.of(AMD64), chosen.of(ARM64), chosen.names) == ("far", None, ("far",))
    assert parse(["default"]).without("default").names == ()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a", "b"], "two builders are named for every platform: a and b"),
        (["linux/arm64=a", "linux/arm64/v8=b"], "two builders are named for linux/arm64: a and b"),
        (["--push"], "'--push' names no builder"),
        (["linux/arm64="], "names no builder"),
        (["a b"], "names no builder"),
        (["x" * 200], "names no builder"),
        (["arm64=a"], "is not a platform"),
        (["=a"], "is not a platform"),
    ],
)
def test_words_that_choose_nothing(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(words)
    assert said in caught.value.message and "docker buildx ls" in caught.value.hint


def test_what_runs_where() -> None:
    assert runs(AMD64, [AMD64]) and runs(I386, [AMD64]) and not runs(AMD64, [I386]) and not runs(ARM64, [AMD64])
    assert runs(ARMV6, [ARMV7]) and not runs(ARMV7, [ARMV6]) and not runs(ARMV7, [ARM64]) and not runs(V3, [AMD64])
    assert runs(AMD64, [V3]) and not runs(AMD64, [])
    assert missing([ARM64, AMD64, ARM64, ARMV7], {AMD64}) == (ARMV7, ARM64)
    assert listed({V3, AMD64, ARM64}) == "linux/amd64, linux/arm64" and listed([]) == "none"


# ------------------------------------------------------------------------------------------- docker buildx inspect

#: As buildx 0.13 and newer have it (https://docs.docker.com/reference/cli/docker/buildx/inspect/).
CONTAINER = """\
Name:          elated_tesla
Driver:        docker-container
Last Activity: 2022-11-30 12:42:47 +0100 CET

Nodes:
Name:                  elated_tesla0
Endpoint:              unix:///var/run/docker.sock
Driver Options:        env.BUILDKIT_STEP_LOG_MAX_SPEED="10485760" image="moby/buildkit:latest" network="host"
Status:                running
BuildKit daemon flags: --allow-insecure-entitlement security.insecure
BuildKit version:      v0.10.6
Platforms:             linux/amd64*, linux/arm64*, linux/arm/v7, linux/arm/v6, windows, linux/amd64
Labels:
 org.mobyproject.buildkit.worker.executor:         oci
 org.mobyproject.buildkit.worker.hostname:         docker-desktop
Features:
 Cache export:             true
Devices:
 Name:      vendor1.com/device=foo
GC Policy rule#0:
 All:           false
 Filters:       type==source.local
 Keep Duration: 48h0m0s
File#buildkitd.toml:
 > [registry]
Name:     elated_tesla1
Endpoint: ssh://ubuntu@1.2.3.4
Status:   stopped
"""
#: Three pods of one builder; each is a node to buildx.
KUBERNETES = """\
Name:          kube
Driver:        kubernetes
Last Activity: 2024-05-02 08:00:00 +0000 UTC

Nodes:
Name:             kube0-6977cdcb75-48ld2
Endpoint:         kubernetes:///kube?deployment=kube0&kubeconfig=
Driver Options:   replicas="2" namespace="buildkit"
Status:           running
BuildKit version: v0.17.2
Platforms:        linux/amd64, linux/amd64/v2, linux/amd64/v3
Name:             kube0-6977cdcb75-rkc6b
Endpoint:         kubernetes:///kube?deployment=kube0&kubeconfig=
Status:           running
BuildKit version: v0.17.2
Platforms:        linux/amd64, linux/amd64/v2, linux/amd64/v3
Name:             arm1-849dcf4cbf-9ts6c
Endpoint:         kubernetes:///kube?deployment=arm1&kubeconfig=
Status:           running
BuildKit version: v0.16.0
Platforms:        linux/arm64, linux/arm/v7
"""
OLD = """\
Name:   default
Driver: docker

Nodes:
Name:      default
Endpoint:  default
Status:    running
Buildkit:  v0.11.6
Platforms: linux/amd64, linux/386
"""
REFUSED = """\
Name:   far
Driver: remote
Error:  permission denied\x1b[31m while connecting
"""
BROKEN = "Name:   far\nDriver:\n\nNodes:\nName: far0\nError: context deadline exceeded\n"


def test_a_builder_of_two_nodes_one_of_which_sleeps() -> None:
    told = read(CONTAINER, "elated_tesla")
    one, two = told.nodes
    assert (told.driver, one.name, one.running, one.version) == ("docker-container", "elated_tesla0", True, "v0.10.6")
    assert one.platforms == (AMD64, ARM64, ARMV7, ARMV6) and one.problem == ""
    assert (two.name, two.running, two.platforms) == ("elated_tesla1", False, ())
    assert str(told) == "builder elated_tesla (2 nodes, docker-container driver, BuildKit v0.10.6)"


def test_pods_are_nodes_and_each_platform_has_its_own() -> None:
    told = read(KUBERNETES, "kube")
    assert len(told.nodes) == 3 and all(node.running for node in told.nodes)
    assert (told.native(AMD64), told.native(ARM64), told.native(ARMV6)) == (AMD64, ARM64, ARM64)
    assert told.native(Platform.parse("linux/s390x")) == AMD64, "the first node takes what nobody runs"
    assert listed(told.platforms) == "linux/amd64, linux/arm/v7, linux/arm64"
    assert str(told) == "builder kube (3 nodes, kubernetes driver, BuildKit v0.16.0 and v0.17.2)"


def test_older_buildx_and_buildkits_without_a_version() -> None:
    assert read(OLD, "default").nodes[0].version == "v0.11.6"
    assert str(read(OLD.replace("v0.11.6", "v0.0.0+unknown"), "default")) == "builder default (docker driver)"


def test_what_is_in_the_way_is_told_harmlessly() -> None:
    told = read(REFUSED, "far")
    assert told.nodes == (Node(name="far", running=False, problem="permission denied while connecting"),)
    told = read(BROKEN, "far")
    assert (told.driver, told.nodes[0].problem) == ("unknown", "context deadline exceeded")
    assert read("", "far") == Builder(name="far", driver="unknown", nodes=()) and told.native(AMD64) is None
    assert read("\x00Nodes:\nName:\nPlatforms: ,,\n no: field\nnonsense", "x").nodes == (Node(name="", running=False),)


# ------------------------------------------------------------------------------------------------- what a file runs


def recipe(text: str, *, on: Platform = ARM64, by: Platform = AMD64) -> Recipe:
    return resolve(parse_dockerfile(text, path="Dockerfile"), stage=None, args={}, platform=on, build_platform=by)


@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("FROM a\nCOPY x /\nWORKDIR /y\nENV A=1\nCMD run", []),
        ("FROM a\nRUN x", [ARM64]),
        ("FROM a\nRUN --mount=type=cache,target=/c x", [ARM64]),
        ("FROM a AS unused\nRUN x\nFROM b\nCOPY x /", []),
        ("FROM --platform=$BUILDPLATFORM a AS tools\nRUN x\nFROM b\nCOPY --from=tools /x /", [AMD64]),
        (
            "FROM --platform=$BUILDPLATFORM a AS tools\nFROM tools AS more\nRUN x\nFROM b\nCOPY --from=more /x /",
            [AMD64],
        ),
        ("FROM --platform=linux/amd64 a AS tools\nRUN x\nFROM b\nRUN y\nCOPY --from=tools /x /", [AMD64, ARM64]),
        ("FROM a AS parent\nONBUILD RUN x\nFROM parent", [ARM64]),
        ("FROM a\nONBUILD RUN x", []),
    ],
)
def test_where_steps_run(text: str, on: list[Platform]) -> None:
    assert list(recipe(text).runs) == on


@pytest.mark.parametrize(
    ("text", "knows"),
    [
        ("FROM --platform=$BUILDPLATFORM a", True),
        ("ARG WHERE=$BUILDPLATFORM\nFROM --platform=$WHERE a", True),
        ("FROM a\nARG BUILDARCH\nRUN echo $BUILDARCH", True),
        ("FROM --platform=$BUILDPLATFORM a AS unused\nFROM b", False),
        ("FROM --platform=$TARGETPLATFORM a\nARG TARGETARCH", False),
        ("ARG BUILD=1\nFROM a:$BUILD\nARG BUILD_DATE", False),
    ],
)
def test_whether_a_file_asks_who_builds(text: str, knows: bool) -> None:
    made = recipe(text)
    assert made.knows_builder is knows
    assert not {"BUILDPLATFORM", "TARGETPLATFORM"} & set(made.args), "what is there anyway is no argument"
