"""A large layer on a line that breaks: the right digest comes of it, and little memory is used."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults import FOREVER, Chance
from tests.faultyproxy import FaultyProxy

from dsci.drivers.registry import HttpRegistry
from dsci.model.oci import Descriptor, Digest
from dsci.model.reference import Repository


def push(host: str, mebibytes: int, seed: int) -> dict[str, object]:
    program = Path(__file__).with_name("push_large.py")
    argv = [sys.executable, str(program), host, f"acme/large{mebibytes}", str(mebibytes), str(seed)]
    told = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=900).stdout
    result: dict[str, object] = json.loads(told)
    return result


@pytest.mark.parametrize(
    ("mebibytes", "seed", "resets"),
    [(64, 5, 3), pytest.param(1024, 2, 3, marks=pytest.mark.slow)],
)
def test_a_large_layer_on_a_line_that_breaks(docker_registry: str, mebibytes: int, seed: int, resets: int) -> None:
    """One request in a hundred is reset, and one more for every layer's worth of bytes, on the average."""
    with FaultyProxy("127.0.0.1", docker_registry).serving() as proxy:
        chance = Chance(share=0.01, per_mib=1 / mebibytes, seed=seed)
        proxy.rule(".*", ".*", chance, last=FOREVER)
        result = push(proxy.host, mebibytes, seed)
    assert result["error"] == "" and chance.resets >= resets, (result, chance.resets)
    assert float(str(result["peak"])) < 150, "MiB: a small part of the layer"
    digest, hasher = Digest.parse(str(result["digest"])), hashlib.sha256()
    layer = Descriptor(media_type="x", digest=digest, size=mebibytes << 20)
    client = HttpRegistry()
    with client.open_blob(Repository(docker_registry, f"acme/large{mebibytes}"), layer) as pieces:
        for piece in pieces:
            hasher.update(piece)
    assert hasher.hexdigest() == digest.hex
    client.close()
