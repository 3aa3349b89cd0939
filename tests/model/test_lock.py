"""`dsci.lock`: what it pins, and that one base on one platform is one line."""

from __future__ import annotations

import pytest
from builders import AMD64, ARM64
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.errors import ConfigError
from dsci.model import lock
from dsci.model.oci import Digest

DEBIAN, ALPINE = "docker.io/library/debian:12", "docker.io/library/alpine:latest"
ONE, TWO = Digest.of(b"one"), Digest.of(b"two")

TEXT = f"""\
schema: 1
bases:
  - name: debian:12
    platform: linux/x86_64
    digest: {ONE}
  - name: alpine:latest
    platform: linux/arm64
    digest: {TWO}
"""


def test_what_a_lock_pins() -> None:
    assert lock.parse(TEXT) == {(DEBIAN, AMD64): ONE, (ALPINE, ARM64): TWO}
    assert lock.parse("schema: 1\nbases: []\n") == lock.parse("schema: 1") == {}


def test_a_lock_is_sorted_with_one_line_for_each_base_and_platform() -> None:
    text = lock.render({(DEBIAN, AMD64): ONE, (ALPINE, ARM64): TWO, (ALPINE, AMD64): TWO})
    assert text.splitlines() == [
        "schema: 1",
        "bases:",
        f"  - {{name: {ALPINE}, platform: linux/amd64, digest: {TWO}}}",
        f"  - {{name: {ALPINE}, platform: linux/arm64, digest: {TWO}}}",
        f"  - {{name: {DEBIAN}, platform: linux/amd64, digest: {ONE}}}",
    ]
    assert lock.render({}) == "schema: 1\nbases: []\n"


@given(
    st.dictionaries(
        st.tuples(
            st.sampled_from([DEBIAN, ALPINE, "127.0.0.1:5000/a/b:1.0", f"ghcr.io/a/b@{ONE}"]),
            st.sampled_from([AMD64, ARM64]),
        ),
        st.sampled_from([ONE, TWO]),
    )
)
@hypothesis(max_examples=examples(30))
def test_locks_come_back(bases: lock.Bases) -> None:
    assert lock.parse(lock.render(bases)) == bases
    assert lock.render(dict(reversed(list(bases.items())))) == lock.render(bases)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "dsci.lock: Object missing required field `schema`"),
        ("schema: 2", "dsci.lock:1: schema 2 is not known"),
        ("schema: 1\nbase: []", "dsci.lock:2: unknown key 'base' (did you mean 'bases'?)"),
        (TEXT.replace("alpine:latest", "UP"), "dsci.lock:6: 'UP' is not a legal image reference"),
        (TEXT.replace("linux/arm64", "arm64"), "dsci.lock:6: 'arm64' is not a platform"),
        (TEXT.replace(str(TWO), "sha256:12"), "dsci.lock:6: 'sha256:12' is not a digest"),
        (TEXT + "<<<<<<< HEAD\n", "dsci.lock:"),
    ],
)
def test_locks_that_cannot_be_meant(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        lock.parse(text)
    assert caught.value.message.startswith(says)
