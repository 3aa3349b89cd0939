"""The form in which Docker Compose runs the services of a suite: the model of their file, made the run's own.

Names, labels and published ports are the run's, and the suite's files are in a volume. What a file may say was looked
at before (`composefile`); what is made here is all that is started.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

import msgspec

from dsci.model.composefile import inner, parts

#: The volume with the suite's own files.
FILES = "dsci-suite"


class Footing(msgspec.Struct, frozen=True, kw_only=True):
    """What a run gives to everything that it starts of a compose file."""

    project: str
    """The name of the project, which no other run has."""
    labels: Mapping[str, str]
    image: str
    """The image under test."""
    platform: str
    bound: str
    """The address of the engine's machine on which ports are published."""
    folder: str
    """Where the suite's files lay when the model was made."""
    processes: int = 0
    """How many may run in one container of a service that says nothing of it; 0 is any number."""
    memory: int = 0
    """Bytes of memory that such a container may take; 0 is all there are."""


#: What of a service is read already, or is the run's to say.
_REPLACED = ("configs", "container_name", "env_file", "label_file", "secrets")


def shaped(model: Mapping[str, Any], footing: Footing) -> dict[str, Any]:
    """The model as it is run: names, labels and published ports are the run's, and the suite's files are in a volume.

    A folder or file of the suite that is mounted comes from that volume (`FILES`), so the engine may be anywhere; what
    is written there never reaches the suite. Ports are published at any free number.
    """
    services = {name: _run_service(model, service, footing) for name, service in parts(model, "services")}
    own: dict[str, Any] = {
        kind: {name: _run_thing(thing, footing) for name, thing in parts(model, kind)}
        for kind in ("networks", "volumes")
    }
    contents = {name: {"content": thing["content"]} for name, thing in parts(model, "configs") if "content" in thing}
    own["volumes"][FILES] = {"external": True, "name": volume(footing)}
    return {"name": footing.project, "services": services, **own, **({"configs": contents} if contents else {})}


def volume(footing: Footing) -> str:
    """The name that the volume with the suite's files has in the engine."""
    return f"{footing.project}-files"


def mounted(model: Mapping[str, Any], folder: str) -> frozenset[str]:
    """The paths of the suite's files and folders that are mounted, whether they are there or not."""
    sources = [
        str(mount.get("source")) for _, service in parts(model, "services") for mount in service.get("volumes") or ()
    ]
    return frozenset(path for source in sources if (path := inner(source, folder)))


def _run_thing(thing: Mapping[str, Any], footing: Footing) -> dict[str, Any]:
    kept = {key: value for key, value in thing.items() if key != "name"}
    return {**kept, "labels": {**(thing.get("labels") or {}), **footing.labels}}


def _run_service(model: Mapping[str, Any], service: Mapping[str, Any], footing: Footing) -> dict[str, Any]:
    run = {key: value for key, value in service.items() if key not in _REPLACED}
    run["labels"] = {**(service.get("labels") or {}), **footing.labels}
    # Whatever it prints, the engine keeps the end of it.
    run["logging"] = {"driver": "json-file", "options": {"max-size": "8m", "max-file": "2"}}
    run = {**_bounds(service, footing), **run}
    run["volumes"] = [_run_mount(mount, footing) for mount in service.get("volumes") or ()]
    run["ports"] = [
        {"mode": "ingress", "host_ip": footing.bound, "target": port["target"], "protocol": port.get("protocol", "tcp")}
        for port in service.get("ports") or ()
    ]
    if service.get("image") == footing.image:
        run |= {"pull_policy": "never", "platform": footing.platform}
    if (called := service.get("container_name")) and service.get("networks"):
        run["networks"] = {name: _also(each or {}, called) for name, each in service["networks"].items()}
    configs = []
    for kind, place in (("configs", "/"), ("secrets", "/run/secrets/")):
        defined = dict(parts(model, kind))
        for use in service.get(kind) or ():
            file = defined[use["source"]].get("file")
            if file is None:
                configs.append(use)
                continue
            target = posixpath.join(place, use.get("target") or use["source"])
            mount = {"type": "bind", "source": file, "target": target, "read_only": True}
            run["volumes"].append(_run_mount(mount, footing))
    return {**run, **({"configs": configs} if configs else {})}


def _bounds(service: Mapping[str, Any], footing: Footing) -> dict[str, Any]:
    """What a service may take, where it says nothing of it. What `deploy` says, nothing else may say again."""
    own = {*service, *((service.get("deploy") or {}).get("resources") or {}).get("limits", {})}
    bounds: dict[str, Any] = {}
    if footing.processes and not own & {"pids_limit", "pids"}:
        bounds["pids_limit"] = footing.processes
    if footing.memory and not own & {"mem_limit", "memswap_limit", "memory"}:
        bounds |= {"mem_limit": str(footing.memory), "memswap_limit": str(footing.memory)}
    return bounds


def _also(network: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {**network, "aliases": [*(network.get("aliases") or ()), name]}


def _run_mount(mount: Mapping[str, Any], footing: Footing) -> dict[str, Any]:
    path = inner(str(mount.get("source")), footing.folder) if mount.get("type") == "bind" else None
    if path is None:
        return dict(mount)
    kept = {key: mount[key] for key in ("target", "read_only") if key in mount}
    within = {"subpath": path} if path else {}
    return {"type": "volume", "source": FILES, **kept, "volume": {"nocopy": True, **within}}
