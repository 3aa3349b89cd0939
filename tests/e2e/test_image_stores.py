"""Rule 12: the same family through an engine with the classic image store, and what holds there."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest
from tests.e2e.conftest import DOCKERFILES, Project, outcomes, released
from tests.secondengine import second_engine

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def classic() -> Iterator[str]:
    """An engine with overlay2 and no containerd image store."""
    with second_engine(os.environ["DSCI_TEST_HUB"], containerd_store=False) as endpoint:
        asked = subprocess.run(
            ["docker", "--host", endpoint, "info", "--format", "{{.Driver}} {{json .DriverStatus}}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert asked.stdout.startswith("overlay2") and "io.containerd.snapshotter" not in asked.stdout
        yield endpoint


def test_the_family_is_released_through_the_classic_store(small: Project, classic: str) -> None:
    small.environment["DOCKER_HOST"] = classic
    ended = small.release()
    assert "classic image store" in ended.stderr
    assert released(ended) == dict.fromkeys(DOCKERFILES, "1.0.0")
    assert small.registry is not None
    repository = f"{small.prefix}/jupyter"
    index = small.registry.manifest(repository, "1.0.0")
    manifest = small.registry.manifest(repository, index["manifests"][0]["digest"])
    parent = small.registry.manifest(f"{small.prefix}/python", "1.0.0")
    below = small.registry.manifest(f"{small.prefix}/python", parent["manifests"][0]["digest"])
    # A child has the very layers of its parent, although each was compressed from what the engine saved.
    assert [layer["digest"] for layer in manifest["layers"]][: len(below["layers"])] == [
        layer["digest"] for layer in below["layers"]
    ]
    # What was tested had this config: its digest is the identity between build and test here.
    receipts = [
        small.registry.manifest(repository, tag)
        for tag in small.registry.tags(repository, public=False)
        if tag.startswith("dsci-") and "." in tag
    ]
    assert {receipt["subject"]["digest"] for receipt in receipts} == {index["manifests"][0]["digest"]}
    assert small.release().json["outcomes"] == []


@pytest.mark.slow
def test_another_machine_goes_on_from_what_the_classic_store_published(small: Project, classic: str) -> None:
    """Parents come back from the registry into an engine that never saw them, and are the same images."""
    small.environment["DOCKER_HOST"] = classic
    small.release()
    subprocess.run(
        ["docker", "--host", classic, "system", "prune", "--all", "--force"], check=True, capture_output=True
    )
    small.commit("fix(ml): next", {"images/ml/model.txt": "v2\n"})
    ended = small.release()
    assert released(ended) == {"ml": "1.0.1"} and outcomes(ended) == {"ml build": "ok", "ml test": "ok"}
    del small.environment["DOCKER_HOST"]
    small.commit("fix(ml): on the other store", {"images/ml/model.txt": "v3\n"})
    ended = small.release()
    assert released(ended) == {"ml": "1.0.2"} and "containerd image store" in ended.stderr
    receipt = json.dumps(ended.json)
    assert "blocked" not in receipt
