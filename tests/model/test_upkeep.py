"""What dsci left in a repository: whose it is, and what may go. What anybody names must stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dsci.model.followed import Names
from dsci.model.keys import dated_index_tag, index_tag
from dsci.model.oci import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Index,
    Manifest,
    OciError,
    canonical_json,
)
from dsci.model.receipt import Receipt, to_artifact
from dsci.model.retention import Ages, RetentionSettings, Rule
from dsci.model.stored import Item, Kind, names_in, needed, read_item
from dsci.model.upkeep import Owners, Verdict, freed, judge, judge_cache, spare

NOW = 1_800_000_000
DAY = 86400
KEY = "ab" * 32


def nonce(age: int) -> str:
    """The nonce of a run that began so many seconds ago."""
    return f"{NOW - age:08x}12345678"


def image(name: str, *tags: str, layers: Iterable[str] = ()) -> Item:
    content = Manifest(
        config=Descriptor.of(OCI_CONFIG, name.encode()),
        layers=tuple(Descriptor.of(OCI_LAYER_GZIP, layer.encode()) for layer in layers),
    ).to_bytes()
    return read(OCI_MANIFEST, content, *tags)


def keyed(name: str, key: str = KEY, age: int = 30 * DAY, layers: Iterable[str] = ()) -> Item:
    return image(name, f"dsci-{key[:40]}", f"dsci-{key[:40]}-{nonce(age)}", layers=layers)


def index(*items: Item, tags: Iterable[str] = (), **facts: str) -> Item:
    below = tuple(Descriptor(media_type=OCI_MANIFEST, digest=item.digest, size=1) for item in items)
    return read(OCI_INDEX, Index(manifests=below, annotations=facts).to_bytes(), *tags)


def receipt(of: Item, source_key: str = "cd" * 32, key: str = KEY) -> Item:
    record = Receipt(target="ml@linux/amd64", key=key, source_key=source_key, image=str(of.digest))
    subject = Descriptor(media_type=OCI_MANIFEST, digest=of.digest, size=1)
    return read(OCI_MANIFEST, to_artifact(record, subject).manifest, f"dsci-{key[:40]}.{'0' * 16}")


def cache(name: str, *dates: str) -> Item:
    layers = tuple(
        Descriptor(
            media_type=OCI_LAYER_GZIP, digest=Digest.of(date.encode()), size=7, annotations={"buildkit/createdat": date}
        )
        for date in dates
    )
    content = Manifest(config=Descriptor.of(OCI_CONFIG, b"cache"), layers=layers).to_bytes()
    return read(OCI_MANIFEST, content, f"dsci-cache-{name}")


def read(media_type: str, content: bytes, *tags: str) -> Item:
    return read_item(Descriptor.of(media_type, content), content, tags, NOW)


def verdicts(
    items: Iterable[Item], owners: Owners | None = None, older_than: int | None = 7 * DAY, **how: Any
) -> Mapping[Digest, Verdict]:
    ages = Ages.of(RetentionSettings(keep=("demo-*",)), older_than)
    found = judge(items, owners or Owners(), **({"ages": ages, "now": NOW} | how))
    return {each.item.digest: each for each in found}


def gone(items: Iterable[Item], owners: Owners | None = None, **how: Any) -> set[Digest]:
    return {digest for digest, each in verdicts(items, owners, **how).items() if not each.keep}


def within(seconds: int) -> Ages:
    return Ages.of(RetentionSettings(), seconds)


def test_what_nobody_names_goes_with_its_receipt() -> None:
    one = keyed("one")
    paper = receipt(one)
    assert gone([one, paper]) == {one.digest, paper.digest}


def test_what_is_young_stays_with_its_receipt() -> None:
    one = keyed("one", age=6 * DAY)
    assert gone([one, receipt(one)]) == set()
    assert verdicts([one])[one.digest].reason == "it is young"
    assert gone([one], older_than=5 * DAY) == {one.digest}


def test_the_youngest_run_that_pushed_it_counts() -> None:
    one = image("one", f"dsci-{KEY[:40]}", f"dsci-{KEY[:40]}-{nonce(90 * DAY)}", f"dsci-{KEY[:40]}-{nonce(DAY)}")
    assert one.written == NOW - DAY and gone([one]) == set()


@pytest.mark.parametrize("other", ["", "-0000000012345678", "-ffffffff12345678", f"-{nonce(-DAY)}"])
def test_an_age_that_cannot_be_known_keeps(other: str) -> None:
    one = image("one", f"dsci-{KEY[:40]}{other}")
    found = verdicts([one])[one.digest]
    assert (found.keep, found.owner, found.reason) == (True, "", "its age is unknown")


@pytest.mark.parametrize(
    "owners",
    [
        Owners(named={KEY: "Git tag ml-v1.0.0"}),
        Owners(sources={"cd" * 32: "main (ml@linux/amd64)"}),
        Owners(named={image("one").digest.hex: "ledger releases/ml/1.0.0.json"}),
    ],
)
def test_what_git_names_stays(owners: Owners) -> None:
    one = keyed("one")
    found = verdicts([one, receipt(one)], owners)
    assert all(each.keep for each in found.values()) and found[one.digest].owner


def test_a_branch_that_cannot_be_read_keeps_what_it_may_have() -> None:
    one, steps = keyed("one"), cache("old-linux-amd64", "2020-01-01T00:00:00.5Z")
    found = verdicts([one, steps], Owners(unread=("the branch wip",)))
    assert [each.reason for each in found.values()] == ["perhaps of the branch wip, which cannot be read"] * 2
    assert judge_cache("old-linux-amd64", 0, Owners(unread=("the branch wip",)), now=NOW, ages=within(0))[0]


def test_a_tag_that_is_not_dscis_keeps_its_manifest_whatever_else_names_it() -> None:
    one = image("one", f"dsci-{KEY[:40]}", f"dsci-{KEY[:40]}-{nonce(30 * DAY)}", "stable")
    assert one.kind is Kind.TAGGED and verdicts([one])[one.digest].owner == "tag stable"


def test_tags_of_a_dsci_to_come_are_let_alone() -> None:
    one = image("one", "dsci-something-new", f"dsci-{KEY[:40]}-{nonce(30 * DAY)}")
    assert gone([one]) == set()


def test_what_a_public_index_names_stays() -> None:
    one, two, three = keyed("one"), keyed("two", "12" * 32), keyed("three", "34" * 32)
    public = index(one, two, tags=["1.0.0"])
    found = verdicts([one, two, three, public])
    assert {digest for digest, each in found.items() if not each.keep} == {three.digest}
    assert found[one.digest].owner == "named by tag 1.0.0"


def test_however_deep() -> None:
    one = keyed("one")
    inner = index(one)
    outer = index(inner, tags=["nested"])
    assert gone([one, inner, outer]) == set()


def test_a_claimed_index_keeps_its_images_before_any_tag_stands() -> None:
    one = keyed("one")
    release = index(one, tags=[f"dsci-release-{'0' * 40}"])
    found = verdicts([one, release], Owners(named={release.digest.hex: "Git tag ml-v1.0.0"}))
    assert all(each.keep for each in found.values())
    assert found[one.digest].owner == "named by Git tag ml-v1.0.0"


def test_an_index_that_nobody_claimed_stays_while_its_age_is_unknown() -> None:
    """A release that was cut off before its claim may still be finished: its index says nothing of when it began."""
    one = keyed("one")
    release = index(one, tags=[f"dsci-release-{'0' * 40}"])
    found = verdicts([one, release], Owners(unread=("the branch wip",)))
    assert found[release.digest].reason == "its age is unknown"
    assert found[one.digest].owner == f"named by {release.tags[0]}"


def test_an_old_index_that_nobody_claimed_goes_with_what_only_it_names() -> None:
    one, two, bare = keyed("one"), keyed("two", "12" * 32, age=0), image("bare")
    release = replace(index(one, two, bare, tags=[f"dsci-release-{'0' * 40}"]), written=NOW - 30 * DAY)
    assert gone([one, two, bare, release]) == {one.digest, bare.digest, release.digest}
    kept = index(bare, tags=["1.0.0"])
    assert gone([one, two, bare, release, kept]) == {one.digest, release.digest}


@pytest.mark.parametrize("tag", ["sha256-{hex}", "sha256-{hex}.sig", "sha256-{hex}.att"])
def test_what_is_signed_stays(tag: str) -> None:
    one = keyed("one")
    signature = image("signature", tag.format(hex=one.digest.hex))
    assert gone([one, signature]) == set()


def test_what_somebody_attached_something_to_stays() -> None:
    one = keyed("one")
    value = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor.of(OCI_CONFIG, b"{}").to_json(),
        "layers": [],
        "subject": {"mediaType": OCI_MANIFEST, "digest": str(one.digest), "size": 1},
    }
    assert gone([one, read(OCI_MANIFEST, canonical_json(value), "sbom")]) == set()


def test_a_receipt_whose_image_is_gone_is_of_no_use_whatever_its_age() -> None:
    paper = receipt(keyed("one", age=0))
    found = verdicts([paper])[paper.digest]
    assert (found.keep, found.reason) == (False, "its image is gone")


def test_something_else_in_a_receipts_place_is_not_ours() -> None:
    other = image("other", f"dsci-{KEY[:40]}.{'0' * 16}")
    assert other.kind is Kind.TAGGED and gone([other]) == set()


@pytest.mark.parametrize(
    ("name", "dates", "reason"),
    [
        ("ml-linux-amd64", ["2020-01-01T00:00:00.123456789Z"], "the image ml"),
        ("ml-linux-arm64", [], "the image ml"),
        ("old-linux-amd64", ["2020-01-01T00:00:00.123456789Z"], ""),
        ("old-linux-amd64", ["2020-01-01T00:00:00Z", "2027-01-15T07:00:00Z"], "it is young"),
        ("old-linux-amd64", ["yesterday", ""], "its age is unknown"),
    ],
)
def test_caches(name: str, dates: list[str], reason: str) -> None:
    steps = cache(name, *dates)
    found = verdicts([steps], Owners(images=frozenset({"ml", "r"})))[steps.digest]
    assert (found.keep, found.reason) == (bool(reason), reason or "caches: older than 7d")


def test_caches_in_folders() -> None:
    owners = Owners(images=frozenset({"ml"}))
    assert judge_cache("ml-linux-amd64", 0, owners, now=NOW, ages=within(0)) == (True, "the image ml", "the image ml")
    assert judge_cache("old-linux-amd64", NOW - 9, owners, now=NOW, ages=within(10)) == (True, "", "it is young")
    assert judge_cache("old-linux-amd64", NOW - 11, owners, now=NOW, ages=within(7200)) == (
        True,
        "",
        "it is young",
    )
    found = judge_cache("old-linux-amd64", NOW - 7201, owners, now=NOW, ages=within(7200))
    assert found == (False, "", "caches: older than 2h")


def test_room_is_what_only_goes() -> None:
    one, two = keyed("one", layers=["shared", "own"]), image("two", "stable", layers=["shared"])
    found = judge([one, two], Owners(), now=NOW, ages=within(DAY))
    assert freed(found) == one.blobs[one.digest] + len("one") + len("own")
    assert one.size == one.blobs[one.digest] + len("one") + len("own") + len("shared")


def test_what_is_needed_by_anything() -> None:
    one = keyed("one")
    assert needed([receipt(one)]) == {one.digest} and needed([one]) == set()


def test_names_in_a_text() -> None:
    text = f"Dsci-Digest: sha256:{'1' * 64}\nDsci-Key: {'2' * 64} ml@linux/amd64\n{'3' * 65} {'4' * 63}"
    assert names_in(text) == {"1" * 64, "2" * 64}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"schemaVersion":2}', b'{"schemaVersion":2,"manifests":3}'])
def test_what_cannot_be_read_is_an_error(content: bytes) -> None:
    for kind in (OCI_INDEX, OCI_MANIFEST):
        with pytest.raises(OciError):
            read(kind, content, "x")


_names = st.sampled_from(["a", "b", "c", "d", "e"])


@given(
    images=st.sets(_names, min_size=1),
    indexes=st.lists(st.tuples(st.sets(_names), st.sampled_from(["public", "release", "none"])), max_size=4),
    owned=st.sets(_names),
    ages=st.integers(0, 20),
)
def test_nothing_that_something_kept_names_ever_goes(
    images: set[str], indexes: list[tuple[set[str], str]], owned: set[str], ages: int
) -> None:
    made = {name: keyed(name, name * 64, age=ages * DAY) for name in sorted(images)}
    items: dict[Digest, Item] = {item.digest: item for item in made.values()}
    for number, (names, how) in enumerate(indexes):
        tags = {"public": [f"v{number}"], "release": [f"dsci-release-{number:040x}"], "none": []}[how]
        one = index(*(made[name] for name in sorted(names & images)), tags=tags, number=str(number))
        items[one.digest] = one
    owners = Owners(named={name * 64: f"Git tag {name}" for name in owned})
    found = verdicts(items.values(), owners)
    for each in found.values():
        if each.keep:
            assert all(found[below].keep for below in each.item.below)
        else:
            assert not any(tag.startswith("v") for tag in each.item.tags) and not each.owner
    assert all(found[made[name].digest].keep for name in owned & images)


# ------------------------------------------------------------------------------------------- names that follow runs

NAMES = Names(
    live={"main": "the branch main"},
    shapes=((Rule.COMMITS, "sha-.+"), (Rule.REQUESTS, "pr-[0-9]+"), (Rule.BRANCHES, ".+")),
    releases=frozenset({("[0-9.]+", ""), ("latest", "")}),
)


def followed(*tags: str, of: Iterable[Item] = (), age: int | None = 60 * DAY, number: str = "") -> Item:
    """An index as a run leaves it, under its unique tag, its dated one, and these."""
    bare = index(*of, number=number)
    own = [index_tag(bare.digest)] + ([dated_index_tag(bare.digest, nonce(age))] if age is not None else [])
    return index(*of, number=number, tags=[*own, *tags])


@pytest.mark.parametrize(
    ("tags", "age", "keep", "reason"),
    [
        (["pr-12"], 60 * DAY, False, "requests: older than 14d"),
        (["pr-12"], 10 * DAY, True, "it is young"),
        (["pr-12"], None, True, "its age is unknown"),
        (["gone"], 60 * DAY, False, "branches: older than 30d"),
        (["gone"], 20 * DAY, True, "it is young"),
        (["main"], 400 * DAY, True, "the branch main"),
        (["main", "pr-12"], 400 * DAY, True, "the branch main"),
        (["latest"], 400 * DAY, True, "tag latest"),
        (["1.4"], 400 * DAY, True, "tag 1.4"),
        (["sha-1"], 400 * DAY, True, "retention.commits is never"),
        (["demo-gone"], 400 * DAY, True, "tag demo-gone"),
        (["pr-12", "gone"], 20 * DAY, True, "it is young"),
        ([], 29 * DAY, True, "it is young"),
        ([], 31 * DAY, False, "indexes: older than 30d"),
    ],
)
def test_names_of_runs_go_by_their_ages(tags: list[str], age: int | None, keep: bool, reason: str) -> None:
    one = followed(*tags, age=age)
    found = verdicts([one], names=NAMES, older_than=None)[one.digest]
    assert (found.keep, found.reason) == (keep, reason)
    assert found.untag == (("pr-12",) if tags == ["main", "pr-12"] else ())


def test_what_only_a_name_of_a_run_has_goes_with_it() -> None:
    one, two = keyed("one"), keyed("two", "12" * 32)
    request, branch = followed("pr-12", of=[one, two]), followed("main", of=[two])
    assert gone([one, two, request, branch], names=NAMES, older_than=None) == {one.digest, request.digest}


def test_a_name_goes_alone_where_git_or_another_name_needs_its_content() -> None:
    one = followed("gone", "pr-3", "sha-1")
    owners = Owners(named={one.digest.hex: "Git tag ml-v1.0.0"})
    found = verdicts([one], owners, names=NAMES, older_than=None)[one.digest]
    assert (found.keep, found.owner, found.untag) == (True, "Git tag ml-v1.0.0", ("gone", "pr-3"))
    young = followed("gone", "pr-3", age=DAY)
    owners = Owners(named={young.digest.hex: "Git tag ml-v1.0.0"})
    assert verdicts([young], owners, names=NAMES, older_than=None)[young.digest].untag == ()


def test_a_name_that_reads_so_on_what_no_run_wrote_is_somebody_elses() -> None:
    plain, pushed = index(tags=["pr-12"]), image("one", "gone")
    half = index(tags=["pr-12", f"dsci-release-{'0' * 40}"])  # under the unique tag of something else
    odd = replace(followed("pr-12"), tags=(*followed("pr-12").tags, "dsci-cache-x"))
    for item in (plain, pushed, half, odd):
        found = verdicts([item], names=NAMES, older_than=0)[item.digest]
        assert found.keep and found.owner.startswith("tag "), item.tags


def test_whose_age_decides() -> None:
    dated = [keyed("one"), followed("pr-12"), followed(), cache("x")]
    others = [receipt(dated[0]), index(tags=["1.0.0"]), image("one", "stable")]
    assert [item.dated for item in (*dated, *others)] == [True] * 4 + [False] * 3


def test_a_branch_that_cannot_be_read_keeps_every_name_that_may_be_its_own() -> None:
    one = followed("gone")
    found = verdicts([one], Owners(unread=("the branch wip",)), names=NAMES, older_than=None)[one.digest]
    assert found.keep and found.reason == "perhaps of the branch wip, which cannot be read"


def test_a_digest_that_was_named_until_lately_is_kept_for_who_pinned_it() -> None:
    """`main` was quiet for months and has just moved on: the age of what it had begins now."""
    before, after = followed(age=90 * DAY, number="1"), followed("main", age=5 * DAY, number="2")
    assert gone([before, after], names=NAMES, older_than=None) == set()
    later = replace(after, written=NOW - 31 * DAY)
    assert gone([before, later], names=NAMES, older_than=None) == {before.digest}


@pytest.mark.parametrize("rule", list(Rule))
def test_never(rule: Rule) -> None:
    ages = Ages.of(RetentionSettings(**{"commits": "1d", str(rule): "never"}), 0)
    items = [
        keyed("one"),
        followed("pr-1"),
        followed("gone", number="1"),
        followed(number="2"),
        followed("sha-1", number="3"),
        cache("x", "2020-01-01"),
    ]
    found = judge(items, Owners(), ages=ages, now=NOW, names=NAMES)
    kept = [each for each in found if each.keep]
    assert [each.reason for each in kept] == [f"retention.{rule} is never"]


def test_what_was_named_after_it_was_judged_stays_with_all_that_it_needs() -> None:
    one, two = keyed("one"), keyed("two", "12" * 32)
    request = followed("pr-12", of=[one])
    items = [one, two, request, receipt(one), receipt(two, key="12" * 32)]
    judged = judge(items, Owners(), ages=Ages.of(RetentionSettings()), now=NOW, names=NAMES)
    assert not any(each.keep for each in judged)
    found = spare(judged, {request.digest: "tag stable"})
    assert {each.item.digest for each in found if not each.keep} == {two.digest, items[4].digest}
    assert {each.owner for each in found if each.keep} == {"tag stable", "named by tag stable"}
