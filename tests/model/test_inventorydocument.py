"""The document of an inventory: every field is there, and packages are chosen as people name them."""

from __future__ import annotations

import json

import pytest

from dsci.model import inventorydocument
from dsci.model.inventory import Base, Extension, Inventory, Kernel, Language, LayerSize, Package, System
from dsci.model.inventorydocument import selected

PACKAGES = (
    Package(kind="conda", name="numpy", version="1.26.4", build="py312h", channel="conda-forge", paths=("/c",)),
    Package(kind="deb", name="python3-numpy", version="1:1.24-1", architecture="amd64", paths=("/d",)),
    Package(kind="pypi", name="Typing_Extensions", version="4.12", installer="uv", source="file:///x", paths=("/p",)),
)
FOUND = Inventory(
    packages=PACKAGES,
    system=System(id="debian", version="12", name="Debian 12"),
    unread=("/var/lib/rpm/Packages",),
    languages=(Language(name="python", version="3.12.4", paths=("/v",)),),
    kernels=(Kernel(name="python3", display_name="Python 3", language="python", paths=("/k",)),),
    extensions=(Extension(name="@j/lab", version="5.0", paths=("/e",)),),
    base=Base(name="docker.io/library/debian:12", digest="sha256:b"),
    layers=(LayerSize(digest="sha256:1", compressed=10, unpacked=30, step="RUN x"),),
)


def test_everything_is_told() -> None:
    told = inventorydocument.platform("linux/amd64", "sha256:2", FOUND, PACKAGES)
    value = inventorydocument.document(
        reference="ghcr.io/acme/ml:1.0.0", digest="sha256:3", git_tag="ml-v1.0.0", commit="12ab", platforms=[told]
    )
    assert json.loads(json.dumps(value)) == value and value["schema"] == 1
    assert (value["git_tag"], value["commit"]) == ("ml-v1.0.0", "12ab")
    (platform,) = value["platforms"]
    assert platform["system"] == {"id": "debian", "version": "12", "name": "Debian 12"}
    assert platform["packages"][1] == {
        "kind": "deb",
        "name": "python3-numpy",
        "version": "1:1.24-1",
        "architecture": "amd64",
        "build": "",
        "channel": "",
        "source": "",
        "installer": "",
        "license": "",
        "supplier": "",
        "purl": "pkg:deb/debian/python3-numpy@1:1.24-1?arch=amd64&distro=debian-12",
        "paths": ["/d"],
    }
    assert platform["base"] == {"name": "docker.io/library/debian:12", "digest": "sha256:b"}
    assert platform["languages"] == [{"name": "python", "version": "3.12.4", "paths": ["/v"]}]
    assert platform["kernels"][0]["display_name"] == "Python 3"
    assert platform["extensions"] == [{"name": "@j/lab", "version": "5.0", "paths": ["/e"]}]
    assert platform["size"] == {"compressed": 10, "unpacked": 30}
    assert platform["layers"] == [{"digest": "sha256:1", "compressed": 10, "unpacked": 30, "step": "RUN x"}]
    assert platform["unread"] == ["/var/lib/rpm/Packages"]


def test_what_is_not_known_is_null() -> None:
    value = inventorydocument.document(reference="x", digest="sha256:3", git_tag="", commit="", platforms=[])
    assert value["git_tag"] is None and value["commit"] is None
    told = inventorydocument.platform("linux/amd64", "sha256:2", Inventory(), ())
    assert told["system"] is None and told["base"] is None


@pytest.mark.parametrize(
    ("names", "kinds", "chosen"),
    [
        ((), (), ["numpy", "python3-numpy", "Typing_Extensions"]),
        (("numpy",), (), ["numpy"]),
        (("*numpy",), (), ["numpy", "python3-numpy"]),
        (("typing-extensions",), (), ["Typing_Extensions"]),
        (("TYPING.ext*", "nothing"), (), ["Typing_Extensions"]),
        ((), ("deb", "pypi"), ["python3-numpy", "Typing_Extensions"]),
        (("*numpy",), ("deb",), ["python3-numpy"]),
        (("nothing",), (), []),
    ],
)
def test_packages_are_chosen(names: tuple[str, ...], kinds: tuple[str, ...], chosen: list[str]) -> None:
    assert [each.name for each in selected(FOUND, names, kinds)] == chosen
