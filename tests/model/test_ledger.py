"""The ledger's entries: made from the tag alone, the same bytes whoever makes them."""

from __future__ import annotations

import json

import pytest
import semver

from dsci.errors import HistoryError
from dsci.model import claims, ledger
from dsci.model.claims import Tag, TagFormat
from dsci.model.oci import Digest, Platform

ONE, TWO = (Digest.parse(f"sha256:{letter * 64}") for letter in "ab")
KEY = "c" * 64
BASES = {
    ("debian:bookworm-slim", Platform.parse("linux/arm64")): TWO,
    ("debian:bookworm-slim", Platform.parse("linux/amd64")): ONE,
    ("alpine", Platform.parse("linux/amd64")): ONE,
}


def claim(message: str, name: str = "ml-v1.2.0") -> claims.Released:
    """A claim as it is read back from a tag."""
    tag = Tag(name=name, oid="1" * 40, commit="2" * 40, message=message, merged=True)
    return claims.released([tag], TagFormat("{image}-v{version}", ["ml", "base"]), ["ml", "base"])["ml"][0]


def trailers(bases: dict = BASES) -> str:  # type: ignore[type-arg]
    return "notes\n\n" + claims.claim_trailers({"ml": ONE}, {"ml@linux/amd64": KEY}, bases, group="ml")


def test_an_entry_says_what_the_tag_says() -> None:
    made = ledger.record([claim(trailers())])
    assert list(made) == ["releases/ml/1.2.0.json"]
    text = made["releases/ml/1.2.0.json"]
    assert text.endswith(b"}\n") and b"\n  " in text, "people read it: one field a line"
    assert json.loads(text) == {
        "schema": 1,
        "image": "ml",
        "version": "1.2.0",
        "tag": "ml-v1.2.0",
        "object": "1" * 40,
        "commit": "2" * 40,
        "digests": {"ml": str(ONE)},
        "keys": {"ml@linux/amd64": KEY},
        "bases": [
            {"name": "alpine", "platform": "linux/amd64", "digest": str(ONE)},
            {"name": "debian:bookworm-slim", "platform": "linux/amd64", "digest": str(ONE)},
            {"name": "debian:bookworm-slim", "platform": "linux/arm64", "digest": str(TWO)},
        ],
    }


def test_the_order_of_what_is_recorded_makes_no_difference() -> None:
    backwards = dict(reversed(BASES.items()))
    assert ledger.record([claim(trailers())]) == ledger.record([claim(trailers(backwards))])


def test_a_tag_that_was_made_by_hand_is_not_recorded() -> None:
    assert ledger.record([claim("by hand")]) == {}


def test_build_metadata_and_prereleases_have_files_of_their_own() -> None:
    names = ("ml-v1.2.0", "ml-v1.2.0-rc.1", "ml-v1.2.0+cuda12")
    assert len(ledger.record(claim(trailers(), name) for name in names)) == len(names)
    assert ledger.path(claim("x", "ml-v1.2.0-rc.1")) == "releases/ml/1.2.0-rc.1.json"
    assert semver.Version.parse("1.2.0-rc.1") == claim("x", "ml-v1.2.0-rc.1").version


def test_an_entry_is_read_back() -> None:
    made = claim(trailers())
    ((path, content),) = ledger.record([made]).items()
    assert ledger.parse(path, content) == ledger.entry(made)


@pytest.mark.parametrize(("content", "said"), [(b"{", "is no record"), (b"[" * 99_999, "is no record")])
def test_what_cannot_be_read_is_named(content: bytes, said: str) -> None:
    with pytest.raises(HistoryError, match=f"releases/ml/1.0.0.json on the branch dsci-ledger {said}"):
        ledger.parse("releases/ml/1.0.0.json", content)


def test_a_record_of_another_schema_is_left_to_the_dsci_that_wrote_it() -> None:
    ((path, content),) = ledger.record([claim(trailers())]).items()
    with pytest.raises(HistoryError, match="of schema 2"):
        ledger.parse(path, content.replace(b'"schema": 1', b'"schema": 2'))
