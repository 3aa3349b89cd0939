"""A base image that no engine has seen, in a registry that lets in only who has the password."""

from __future__ import annotations

import gzip
import json
import os
import platform
from pathlib import Path

from dsci.drivers.keychain import Keychain
from dsci.drivers.registry import HttpRegistry
from dsci.drivers.tokenvariables import CommandLine
from dsci.model.oci import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Digest, Manifest
from dsci.model.reference import Repository
from tests.layers import layer, member


def push_base(address: str, user: str, password: str) -> str:
    """Put one there, as `private/base:1` with a content of its own; gives its path and tag."""
    repository = Repository(address, "private/base")
    said = CommandLine(hosts=frozenset({address}), token=password)
    http = HttpRegistry(keychain=Keychain.from_environment({"DSCI_REGISTRY_USER": user}, Path(os.devnull), said))
    tar = layer(member("opt/", "folder"), member("opt/seed", what=os.urandom(16).hex()))
    config = {
        "architecture": platform.machine().replace("x86_64", "amd64").replace("aarch64", "arm64"),
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(tar))]},
    }
    blob = http.push_blob(repository, gzip.compress(tar), OCI_LAYER_GZIP)
    made = http.push_blob(repository, json.dumps(config).encode(), OCI_CONFIG)
    http.push_manifest(repository, Manifest(config=made, layers=(blob,)).to_bytes(), OCI_MANIFEST, "1")
    http.close()
    return f"{repository.path}:1"
