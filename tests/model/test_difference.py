"""Differences in words: fields of configs, files of layers, causes counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dsci.model import difference
from dsci.model.difference import config_differences, layer_difference, steps
from dsci.model.layer import Comparison, Sample
from dsci.model.layertar import Entry
from dsci.model.oci import OciError
from dsci.model.verification import Verification, Verified

CONFIG: dict[str, Any] = {
    "created": "2026-01-01T00:00:00Z",
    "architecture": "amd64",
    "config": {"Env": ["PATH=/bin", "TOKEN=one"], "Labels": {"a.b": "c"}, "Cmd": ["bash"]},
    "history": [
        {"created_by": "RUN |1 SECRET=hunter2 /bin/bash -o pipefail -c apt-get update # buildkit"},
        {"created_by": "ENV X=1", "empty_layer": True},
        {"created_by": "COPY a /a # buildkit"},
        {"created_by": "RUN |2 A=b C=d /strange thing # buildkit"},
        {"created_by": "RUN make # buildkit"},
        "nonsense",
    ],
    "rootfs": {"type": "layers", "diff_ids": ["sha256:1"]},
}


def changed(**values: Any) -> tuple[str, ...]:
    """The fields that differ from CONFIG with these values."""
    new = json.loads(json.dumps(CONFIG)) | values
    return tuple(item.field for item in config_differences(json.dumps(CONFIG).encode(), json.dumps(new).encode()))


def test_equal_configs_and_other_layers_tell_nothing() -> None:
    assert changed() == ()
    assert changed(rootfs={"type": "layers", "diff_ids": ["sha256:2"]}) == ()


def test_fields_are_named_and_no_value_is_shown() -> None:
    assert changed(config={**CONFIG["config"], "Env": ["PATH=/bin", "TOKEN=two"]}) == ("config.Env.TOKEN",)
    assert changed(config={**CONFIG["config"], "Labels": {}}) == ("config.Labels.a.b",)
    assert changed(config={**CONFIG["config"], "Cmd": ["sh"], "User": "1000"}) == ("config.Cmd", "config.User")
    assert changed(history=[])[0] == "history"
    old, new = dict(CONFIG), {**CONFIG, "config": {"Env": ["TOKEN=two"]}}
    told = config_differences(json.dumps(old).encode(), json.dumps(new).encode())
    assert "one" not in repr(told) and "two" not in repr(told)


def test_times_of_configs_have_their_cause() -> None:
    history = [{"created": "a", "created_by": "x"}]
    one = json.dumps({"created": "a", "history": history}).encode()
    other = json.dumps({"created": "b", "history": [{"created": "b", "created_by": "y"}]}).encode()
    found = {item.field: item.cause for item in config_differences(one, other)}
    assert found == {"created": "time", "history.0.created": "time", "history.0.created_by": "setting"}


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000])
def test_what_is_no_config_is_refused(content: bytes) -> None:
    with pytest.raises(OciError):
        config_differences(content, b"{}")


def test_steps_of_layers_without_the_values_of_arguments() -> None:
    found = steps(json.dumps(CONFIG).encode())
    assert found == ["RUN apt-get update", "COPY a /a", "RUN", "RUN make"]
    assert steps(b"{}") == [] and steps(b'{"history": 3}') == []


def file(content: bytes = b"x", **fields: Any) -> Sample:
    """A file of a layer."""
    return Sample(entry=Entry(kind="file", content=content, **fields), head=content)


def test_files_are_told_with_fields_and_causes() -> None:
    found = layer_difference(
        3,
        "RUN apt-get update",
        Comparison(added=("var/log/apt/new.log",), removed=("srv/gone",), changed=("srv/stamp", "srv/mode", "srv/odd")),
        {
            "srv/gone": file(),
            "srv/stamp": file(b"2026-11-27"),
            "srv/mode": file(),
            "srv/odd": file(b"alpha"),
        },
        {
            "var/log/apt/new.log": file(),
            "srv/stamp": file(b"2026-11-28"),
            "srv/mode": file(mode=0o600),
            "srv/odd": file(b"beta"),
        },
    )
    assert [(item.path, item.how, item.fields, item.cause) for item in found.files] == [
        ("srv/gone", "removed", (), ""),
        ("srv/mode", "changed", ("mode",), "mode"),
        ("srv/odd", "changed", ("content",), ""),
        ("srv/stamp", "changed", ("content",), "time"),
        ("var/log/apt/new.log", "added", (), "apt and dpkg logs"),
    ]
    assert (found.number, found.step, found.total, found.order, found.note) == (3, "RUN apt-get update", 5, False, "")
    assert {cause.name: cause.files for cause in found.causes} == {"mode": 1, "time": 1, "apt and dpkg logs": 1}


def test_a_file_that_became_a_folder_has_no_content_to_judge() -> None:
    folder = Sample(entry=Entry(kind="folder"))
    found = layer_difference(1, "", Comparison(changed=("srv/x",)), {"srv/x": file()}, {"srv/x": folder})
    assert found.files[0].fields == ("kind", "content") and found.files[0].cause == ""


def test_only_so_many_files_are_told() -> None:
    paths = tuple(f"var/log/apt/{n:04}" for n in range(difference.FILES + 5))
    samples = {path: file() for path in paths}
    found = layer_difference(1, "", Comparison(added=paths), {}, samples)
    assert len(found.files) == difference.FILES and found.total == difference.FILES + 5
    assert found.causes[0].files == difference.FILES


def test_order_and_encoding_are_told_where_no_file_is() -> None:
    assert layer_difference(1, "", Comparison(order=True), {}, {}).note == ""
    assert "only how the tar writes them" in layer_difference(1, "", Comparison(), {}, {}).note


def test_hostile_names_are_made_harmless() -> None:
    path = "a\x1b[31m\n::error::b" + "c" * 5000
    found = layer_difference(1, "", Comparison(added=(path,)), {}, {path: file()})
    assert found.files[0].path.isprintable() and len(found.files[0].path) <= 200


def test_a_release_is_proven_when_every_platform_is() -> None:
    def of(*statuses: str) -> Verification:
        targets = tuple(
            Verified(target="a@linux/amd64", status=status, released="x", rebuilt=None, epoch=0)  # type: ignore[arg-type]
            for status in statuses
        )
        return Verification(image="a", version="1", reference="r", digest="d", git_tag="t", commit="c", targets=targets)

    assert of("equal", "equal").equal and not of("equal", "different").equal and not of("failed").equal
