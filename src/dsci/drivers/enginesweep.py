"""What runs that died left in the engine, removed: containers, networks, volumes, names of images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dsci.drivers.engineclient import quietly, talking
from dsci.drivers.runs import LABEL, Run

if TYPE_CHECKING:
    import docker

#: How often the list of images is asked for while others remove some.
_LISTINGS = 5
#: The names that a run gives: local ones, and those of the moment in which the engine pushes.
_RUN_TAG = re.compile(r"\A.+:dsci-.*-([0-9a-f]{16})\Z")


def sweep(client: docker.DockerClient, run: Run) -> int:
    """Remove what carries the label or a name of a run on this machine that is dead; gives how many."""
    done: list[int] = []
    with talking():
        containers = client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
        for container in containers:
            if run.is_dead(container.labels.get(LABEL, "")):
                done.append(quietly(lambda container=container: container.remove(force=True, v=True)))
        for network in client.networks.list(filters={"label": LABEL}):
            if run.is_dead((network.attrs.get("Labels") or {}).get(LABEL, "")):
                done.append(quietly(network.remove))
        for volume in client.volumes.list(filters={"label": LABEL}):
            if run.is_dead((volume.attrs.get("Labels") or {}).get(LABEL, "")):
                done.append(quietly(lambda volume=volume: volume.remove(force=True)))
        images = _images(client)
        done += [] if images is not None else [0]
        for image in images or ():
            for tag in image.get("RepoTags") or ():
                match = _RUN_TAG.match(tag)
                if match and run.is_dead_nonce(match[1]):
                    done.append(quietly(lambda tag=tag: client.api.remove_image(tag)))
    if all(done):
        run.forget_dead()
    return sum(done)


def _images(client: docker.DockerClient) -> Sequence[Mapping[str, Any]] | None:
    """Every image; None where there is no list to be had, since others keep removing what is on it.

    The containerd image store measures each image for it, and one that goes meanwhile is an error.
    """
    from docker.errors import APIError

    for _ in range(_LISTINGS):
        try:
            found: Sequence[Mapping[str, Any]] = client.api.images()
            return found
        except APIError as error:
            if "not found" not in str(error.explanation):
                raise
    return None
