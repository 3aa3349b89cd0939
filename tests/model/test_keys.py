"""Keys: they change with what an image is made of, and with nothing else (rule 1).

`golden_keys.json` holds the keys of fixed families as they are today. Where it fails, every user's images would be
rebuilt by an upgrade: if that is meant, change `SCHEMA` and run with DSCI_UPDATE_GOLDEN=1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from builders import AMD64, ARM64, STACK, Shot, look, oid, target, without
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.model import keys
from dsci.model.family import TargetId
from dsci.model.inputs import ContextFile
from dsci.model.oci import ANY, Digest, Platform
from dsci.model.reference import check_tag
from dsci.model.tree import FILE, SYMLINK, TreeEntry

# --------------------------------------------------------------------------------------------------- source keys


@dataclass
class State:
    """A family that can be changed: files, and settings for dsci.yaml (JSON is YAML)."""

    files: dict[str, str] = field(default_factory=lambda: dict(STACK))
    settings: dict[str, Any] = field(default_factory=lambda: {"images": {}})

    def look(self) -> Shot:
        return look({**self.files, "dsci.yaml": json.dumps(self.settings)})

    def image(self, name: str, **values: Any) -> None:
        self.settings["images"].setdefault(name, {}).update(values)


def write(path: str, text: str) -> Callable[[State], None]:
    return lambda state: state.files.update({path: text})


def append(path: str, text: str) -> Callable[[State], None]:
    return lambda state: state.files.update({path: state.files[path] + text})


def remove(path: str) -> Callable[[State], None]:
    return lambda state: state.files.pop(path) and None  # type: ignore[func-returns-value]


def drop_mode(state: State) -> None:
    state.files["images/base/tools"] = state.files.pop("images/base/tools!")


def configure(name: str, **values: Any) -> Callable[[State], None]:
    return lambda state: state.image(name, **values)


def everywhere(**values: Any) -> Callable[[State], None]:
    return lambda state: state.settings.update(values)


CHANGES: Mapping[str, tuple[Callable[[State], None], str]] = {
    # what is done: how, and to which image's own inputs
    "a mode": (drop_mode, "base"),
    "a Dockerfile": (append("images/python/Dockerfile", "# comment\n"), "python"),
    "a file": (append("images/python/requirements.txt", "x\n"), "python"),
    "a new file": (write("images/r/new", ""), "r"),
    "a file that is gone": (remove("images/ml/requirements.txt"), "ml"),
    "an ignore file": (append("images/ml/.dockerignore", "# comment\n"), "ml"),
    "a declared argument": (configure("python", args={"PY": "3.13", "OTHER": "x"}), "python"),
    "a stage": (configure("ml", target="final"), "ml"),
    "a generated input": (configure("ml", inputs=[{"path": "dist", "as": "dist"}]), "ml"),
    "a secret": (configure("r", secrets=[{"id": "token", "env": "TOKEN"}]), "r"),
    "an ignored file": (append("images/ml/README.md", "x"), ""),
    "a new ignored file": (write("images/ml/x.md", ""), ""),
    "a suite": (append("images/python/suites/test_python.py", "#"), ""),
    "a new suite": (write("images/r/suites/test_r.py", ""), ""),
    "a file beside": (write("README.md", "x"), ""),
    "an undeclared argument": (configure("r", args={"PY": "3.13"}), ""),
    "tags": (everywhere(tags=["latest"]), ""),
    "a registry": (everywhere(registries=["ghcr.io/acme"]), ""),
    "the gate": (everywhere(gate="lineage"), ""),
    "versioning": (everywhere(versioning={"initial": "1.0.0"}), ""),
    "a release switch": (configure("base", release=False), ""),
}
FINAL = {"images/ml/Dockerfile": "FROM python AS final\nCOPY --link . /\n"}


@given(st.lists(st.sampled_from(sorted(CHANGES)), unique=True, max_size=4))
@hypothesis(max_examples=examples(60), deadline=None)
def test_source_keys_change_with_inputs_and_with_nothing_else(chosen: list[str]) -> None:
    before, after = State(), State()
    before.files.update(FINAL)
    after.files.update(FINAL)
    for name in chosen:
        CHANGES[name][0](after)
    one, two = before.look(), after.look()
    touched = {target(name) for change in chosen if (name := CHANGES[change][1])}
    changed = {item for item in one.family.nodes if one.sources.own[item] != two.sources.own[item]}
    assert changed == touched
    changed = {item for item in one.family.nodes if one.sources.full[item] != two.sources.full[item]}
    assert changed == touched | one.family.descendants(touched)


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_alone(name: str) -> None:
    change, image = CHANGES[name]
    before, after = State(), State()
    before.files.update(FINAL)
    after.files.update(FINAL)
    change(after)
    one, two = before.look(), after.look()
    changed = [item.image for item in one.family.nodes if one.sources.own[item] != two.sources.own[item]]
    assert changed == ([image] if image else [])


def test_a_path_is_no_mode_and_no_other_path() -> None:
    """The same bytes under another name are another context."""
    one = look(STACK)
    files = without(STACK, "images/python/requirements.txt") | {"images/python/needs.txt": "pip\n"}
    assert one.sources.own[target("python")] != look(files).sources.own[target("python")]


def test_each_platform_has_its_keys() -> None:
    shot = look({**STACK, "dsci.yaml": "platforms: [linux/amd64, linux/arm64]"})
    for kind in (shot.sources.own, shot.sources.full, shot.keys()):
        assert len(set(kind.values())) == len(shot.family.nodes)
    alone = look(STACK)
    assert {item: shot.sources.full[item] for item in alone.family.nodes} == alone.sources.full


def test_the_folder_of_an_image_is_no_input() -> None:
    """Who moves `images/` about rebuilds nothing."""
    one = look({"images/ml/Dockerfile": "FROM debian\n", "images/ml/a": "x"})
    two = look({"ml/Dockerfile": "FROM debian\n", "ml/a": "x"})
    assert one.sources.full == two.sources.full


def test_a_declared_need_is_chained_though_it_is_no_input() -> None:
    files = {"images/a/Dockerfile": "FROM debian\n", "images/b/Dockerfile": "FROM debian\n"}
    one, two = look(files), look({**files, "dsci.yaml": "images: {b: {needs: [a]}}"})
    assert one.sources.own == two.sources.own
    assert one.sources.full[target("a")] == two.sources.full[target("a")]
    assert one.sources.full[target("b")] != two.sources.full[target("b")]


# ---------------------------------------------------------------------------------------------------------- keys

SYNTAX = {**STACK, "images/r/Dockerfile": "# syntax=docker/dockerfile:1\nFROM base\nCOPY --from=alpine / /\n"}


def changed_keys(shot: Shot, **more: Any) -> set[str]:
    before, after = shot.keys(), shot.keys(**more)
    return {item.image for item in before if before[item] != after[item]}


def repinned(shot: Shot, image: str, reference: str, digest: Digest | None) -> Any:
    pins = {item: dict(own) for item, own in shot.pins.items()}
    key = (reference, AMD64)
    assert key in pins[target(image)]
    if digest is None:
        del pins[target(image)][key]
    else:
        pins[target(image)][key] = digest
    return pins


@pytest.mark.parametrize(
    ("image", "reference", "moved"),
    [
        ("base", "docker.io/library/debian:12", {"base", "python", "ml", "r"}),
        ("r", "docker.io/library/alpine:latest", {"r"}),
        ("r", "docker.io/docker/dockerfile:1", {"r"}),
    ],
)
def test_a_base_moves_what_stands_on_it(image: str, reference: str, moved: set[str]) -> None:
    shot = look(SYNTAX)
    assert None not in shot.keys().values()
    assert changed_keys(shot, pins=repinned(shot, image, reference, Digest.of(b"moved"))) == moved
    unknown = shot.keys(pins=repinned(shot, image, reference, None))
    assert {item.image for item, key in unknown.items() if key is None} == moved
    assert {item: key for item, key in unknown.items() if key} == {
        item: key for item, key in shot.keys().items() if item.image not in moved
    }


def test_without_pins_nothing_that_has_a_base_has_a_key() -> None:
    shot = look({**STACK, "images/empty/Dockerfile": "FROM scratch\n"})
    known = shot.keys(pins={})
    assert {item.image for item, key in known.items() if key is not None} == {"empty"}


def test_the_index_of_a_base_for_two_platforms_is_in_no_key() -> None:
    """It changes with every attestation; what is taken from it does not."""
    two = "FROM --platform=linux/arm64 debian:12 AS other\nFROM debian:12\nCOPY --from=other /a /b\n"
    shot = look({"images/ml/Dockerfile": two})
    own = shot.pins[target("ml")]
    (reference,) = shot.family.nodes[target("ml")].shared
    pinned = [{target("ml"): {**own, (str(reference), ANY): Digest.of(index)}} for index in (b"one", b"another")]
    assert shot.keys(pins=pinned[0]) == shot.keys(pins=pinned[1]) == shot.keys() and None not in shot.keys().values()
    moved = {key: Digest.of(b"moved") if key[1] == ARM64 else digest for key, digest in own.items()}
    assert moved != own and shot.keys(pins={target("ml"): moved}) != shot.keys()


def test_a_refresh_moves_everything() -> None:
    shot = look(STACK)
    assert changed_keys(shot, epoch="2024-01") == {"base", "python", "ml", "r"}
    assert shot.keys(epoch="a") != shot.keys(epoch="b")
    assert shot.keys(epoch="") == shot.keys()


def test_reproducible_images_are_built_anew_and_get_no_version() -> None:
    before, after = look(STACK), look({**STACK, "dsci.yaml": "images: {python: {reproducible: true}}\n"})
    assert before.sources == after.sources
    differ = {item.image for item, key in after.keys().items() if key != before.keys()[item]}
    assert differ == {"python", "ml"}


def test_generated_files_move_their_image() -> None:
    shot = look(STACK)
    made = ContextFile(path="dist/x", source="dist/x", entry=TreeEntry(FILE, oid("x")))
    assert changed_keys(shot, generated={target("python"): [made]}) == {"python", "ml"}
    assert changed_keys(shot, generated={target("python"): []}) == set()


def test_key_and_source_key_are_different_things() -> None:
    shot = look(STACK)
    everything = [*shot.sources.own.values(), *shot.sources.full.values(), *map(str, shot.keys().values())]
    assert len(set(everything)) == len(everything)
    assert all(len(key) == 64 and set(key) <= set("0123456789abcdef") for key in everything)


# -------------------------------------------------------------------------------------------------- suites, tags


@pytest.mark.parametrize(
    ("change", "digests"),
    [
        pytest.param(append("images/base/suites/structure.yaml", "x"), {"base", "python", "ml", "r"}, id="inherited"),
        pytest.param(append("images/python/suites/test_python.py", "x"), {"python", "ml"}, id="content"),
        pytest.param(write("images/python/suites/data.csv", "x"), {"python", "ml"}, id="data beside tests"),
        pytest.param(write("images/ml/suites/test_ml.py", "x"), {"ml"}, id="a new suite"),
        pytest.param(append("images/python/requirements.txt", "x"), set(), id="no suite"),
        pytest.param(configure("ml", suites={"inherit": False}), {"ml"}, id="no inheritance"),
        pytest.param(everywhere(suites={"timeout": "1m"}), set(), id="a timeout"),
    ],
)
def test_the_digest_of_suites(change: Callable[[State], None], digests: set[str]) -> None:
    before, after = State(), State()
    change(after)
    one, two = before.look().suites, after.look().suites
    assert {item.image for item in one if one[item] != two[item]} == digests


def test_no_suites_have_no_digest() -> None:
    shot = look(without(STACK, *(path for path in STACK if "/suites/" in path)))
    assert set(shot.suites.values()) == {keys.NO_SUITES}


def test_tags_of_keys_are_legal_dscis_own_and_different() -> None:
    key, digest = "ab" * 32, Digest.of(b"x")
    tags = [
        keys.key_tag(key),
        keys.receipt_tag(key, ""),
        keys.receipt_tag(key, "x"),
        keys.receipt_tag("cd" * 32, "x"),
        keys.index_tag(digest),
        keys.index_tag(Digest.of(b"y")),
    ]
    assert len(set(tags)) == len(tags)
    assert all(check_tag(tag).startswith("dsci-") for tag in tags)
    assert keys.key_tag(key) == f"dsci-{key[:40]}"


def test_verdicts_of_another_runner_are_not_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys.receipt_tag("ab" * 32, "x")
    monkeypatch.setattr(keys, "RUNNER", "another")
    assert keys.receipt_tag("ab" * 32, "x") != before


def test_labels_are_part_of_an_image() -> None:
    """They stand in its config: another licence is another image; none is what there was before."""
    plain = look(STACK)
    labelled = look({**STACK, "dsci.yaml": "images: {ml: {labels: {licenses: MIT}}}"})
    other = look({**STACK, "dsci.yaml": "images: {ml: {labels: {licenses: BSD-3-Clause}}}"})
    own = [shot.sources.own[target("ml")] for shot in (plain, labelled, other)]
    assert len(set(own)) == 3
    assert labelled.sources.own[target("base")] == plain.sources.own[target("base")]


# -------------------------------------------------------------------------------------------------------- golden

GOLDEN = Path(__file__).with_name("golden_keys.json")

_FILES = {
    "images/base/Dockerfile": "FROM debian:12\nCOPY tools /usr/bin/\n",
    "images/base/tools!": "echo base\n",
    "images/base/suites/structure.yaml": "schemaVersion: 2.0.0\n",
    "images/ml/Dockerfile": "# syntax=docker/dockerfile:1\nARG PY=3.12\nFROM base AS build\nARG PY\nCOPY . /srv\n",
    "images/ml/données.txt": "é\n",
    "images/ml/suites/test_ml.py": "def test(): ...\n",
}
_SETTINGS = """\
platforms: [linux/amd64, linux/arm64]
images:
  base: {secrets: [{id: token, env: TOKEN}, {id: auth, file: auth}]}
  ml:
    target: build
    args: {PY: "3.13", UNUSED: x}
    inputs: [{path: dist, as: srv/dist}, {path: a, as: b}]
    needs: [base]
"""
_MADE = (
    ContextFile(path="srv/dist/x", source="dist/x", entry=TreeEntry(FILE, "1" * 40)),
    ContextFile(path="srv/dist/y", source="dist/y", entry=TreeEntry(SYMLINK, "2" * 40)),
)
CASES: Mapping[str, tuple[Callable[[], Shot], Mapping[str, Any]]] = {
    "one image at the root": (lambda: look({"Dockerfile": "FROM scratch\n"}, project="solo"), {}),
    "a base and its child": (lambda: look(_FILES), {}),
    "every setting": (lambda: look({**_FILES, "dsci.yaml": _SETTINGS}), {}),
    "an epoch": (lambda: look(_FILES), {"epoch": "2024-05"}),
    "generated files": (lambda: look({**_FILES, "dsci.yaml": _SETTINGS}), {"generated": {target("ml"): _MADE}}),
    "reproducible but for one": (
        lambda: look({**_FILES, "dsci.yaml": "reproducible: true\nimages: {ml: {reproducible: false}}\n"}),
        {},
    ),
    "an arm of another kind": (
        lambda: look({"Dockerfile": "FROM debian AS a\nFROM a\n"}, platform=Platform.parse("linux/arm/v6")),
        {},
    ),
}


def _vector(shot: Shot, more: Mapping[str, Any]) -> dict[str, dict[str, str | None]]:
    def shown(values: Mapping[TargetId, str | None]) -> dict[str, str | None]:
        return {str(item): values[item] for item in shot.family.order}

    return {
        "own_key": shown(shot.sources.own),
        "source_key": shown(shot.sources.full),
        "key": shown(shot.keys(**more)),
        "suites_digest": shown(shot.suites),
    }


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    if os.environ.get("DSCI_UPDATE_GOLDEN"):
        values = {name: _vector(build(), more) for name, (build, more) in CASES.items()}
        tags = {"key": keys.key_tag("ab" * 32), "receipt": keys.receipt_tag("ab" * 32, "cd" * 32)}
        value = {"schema": keys.SCHEMA, "runner": keys.RUNNER, "tags": tags, "cases": values}
        GOLDEN.write_text(json.dumps(value, indent=2) + "\n")
    value = json.loads(GOLDEN.read_text())
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("name", CASES)
def test_keys_are_what_they_were(name: str, golden: dict[str, Any]) -> None:
    assert golden["schema"] == keys.SCHEMA
    build, more = CASES[name]
    assert _vector(build(), more) == golden["cases"][name]


def test_tags_are_what_they_were(golden: dict[str, Any]) -> None:
    assert golden["runner"] == keys.RUNNER
    assert golden["tags"] == {"key": keys.key_tag("ab" * 32), "receipt": keys.receipt_tag("ab" * 32, "cd" * 32)}
    assert golden["cases"].keys() == CASES.keys()


def test_the_golden_cases_say_different_things(golden: dict[str, Any]) -> None:
    assert ARM64 in {item.platform for item in CASES["every setting"][0]().family.nodes}
    vectors = [json.dumps(value["key"]) for value in golden["cases"].values()]
    assert len(set(vectors)) == len(vectors)
