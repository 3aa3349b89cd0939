"""Marks: which stand, what they pass over, and where the tags that move go then."""

from __future__ import annotations

import itertools

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.model import builders

from dsci.errors import ConfigError, HistoryError
from dsci.model import marks
from dsci.model.claims import Released, Tag
from dsci.model.facts import Pending
from dsci.model.marks import Mark, Marks, Said
from dsci.model.members import check_names
from dsci.model.oci import Digest
from dsci.model.releases import fixed, floats, marked, release_tags

SAID = Said(why="it\neats", by="A", when=1_700_000_000)
FAMILY = builders.look(builders.STACK).family


def claims(*versions: str, group: str = "ml", by_hand: str = "") -> tuple[Released, ...]:
    """Claims of these versions, newest first."""
    found = [
        Released(
            group=group,
            version=semver.Version.parse(version),
            tag=Tag(name=f"{group}-v{version}", oid="1" * 40, commit="2" * 40, message="", merged=True),
            digests={} if version == by_hand else {group: Digest.of(version.encode())},
        )
        for version in versions
    ]
    return tuple(sorted(found, key=lambda claim: claim.version, reverse=True))


def known(*found: Mark | None) -> Marks:
    """The ledger after these."""
    return Marks.read({mark.path: mark.content for mark in found if mark})


def where(found: tuple[Released, ...]) -> dict[str, str]:
    """Which version has each tag that moves."""
    return {tag: str(claim.version) for tag, claim in floats(FAMILY.images["ml"], found).items()}


def test_a_mark_is_a_file_that_says_itself_again() -> None:
    mark = marks.rollback("ml", claims("1.0.0", "1.1.0"), claims("1.0.0")[0], SAID)
    assert mark is not None
    assert mark.path == f"marks/ml/20231114T221320Z-{mark.id}.json"
    assert mark.why == "it eats", "one line"
    assert marks.record([mark]) == {mark.path: mark.content}
    read = Marks.read(marks.record([mark]))
    assert read.known == {mark.id: mark} and mark.content.endswith(b"}\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is no mark"),
        (b"\xff", "is no mark"),
        (b"[" * 100_000, "is no mark"),
        (b'{"kind": "praise", "image": "ml"}', "is no mark"),
        (b'{"kind": "hold", "image": "ml", "schema": 2}', "of schema 2"),
    ],
)
def test_what_cannot_be_read_is_named(content: bytes, said: str) -> None:
    with pytest.raises(HistoryError, match=said) as error:
        Marks.read({"marks/ml/x.json": content})
    assert "marks/ml/x.json" in error.value.message


def test_floats_go_back_and_forth_again() -> None:
    found = claims("1.0.0", "1.0.1", "1.1.0", "2.0.0", "2.1.0-rc.1")
    before = where(found)
    assert before == {"2.0": "2.0.0", "2": "2.0.0", "latest": "2.0.0", "1.1": "1.1.0", "1": "1.1.0", "1.0": "1.0.1"}
    hold = marks.rollback("ml", found, marks.claimed("ml", found, "v1.0.0"), SAID)
    assert hold is not None and hold.passes == ("2.0.0", "1.1.0", "1.0.1")
    back = known(hold).on({"ml": found})["ml"]
    assert where(back) == {"1.0": "1.0.0", "1": "1.0.0", "latest": "1.0.0"}
    assert back[1].held == "held back for 1.0.0: it eats" and not back[-1].held
    assert marks.rollback("ml", back, back[-1], SAID) is None, "nothing stands above it any more"
    assert marked(FAMILY, "ml", back, known(hold).mentioned("ml")) == {"2.0.0", "1.1.0", "1.0.1", "1.0.0"}
    # What is newer than all that is held back takes its tags.
    newer = known(hold).on({"ml": claims("1.0.0", "1.0.1", "1.1.0", "2.0.0", "2.0.1")})["ml"]
    assert where(newer) == {**where(back), "2.0": "2.0.1", "2": "2.0.1", "latest": "2.0.1"}
    lift = marks.unhold("ml", known(hold), SAID)
    assert lift is not None and lift.lifts == (hold.id,)
    after = known(hold, lift)
    assert where(after.on({"ml": back})["ml"]) == before
    assert after.mentioned("ml") == known(hold).mentioned("ml"), "a run that was cut off has them looked at"
    assert marks.unhold("ml", after, SAID) is None


def test_a_yank_outlives_a_hold() -> None:
    found = claims("1.0.0", "1.1.0", "1.2.0")
    yank = marks.yank("ml", found[1], Marks(), SAID)
    hold = marks.rollback("ml", found, found[2], replace(SAID, why=""))
    assert yank is not None and hold is not None
    both = known(yank, hold)
    held = [claim.held for claim in both.on({"ml": found})["ml"]]
    assert held == ["held back for 1.0.0", "yanked: it eats", ""]
    assert marks.yank("ml", found[1], both, SAID) is None
    lifted = known(yank, hold, marks.unhold("ml", both, SAID))
    assert where(lifted.on({"ml": found})["ml"])["1"] == "1.2.0"
    assert where(lifted.on({"ml": found})["ml"]).get("1.1") is None, "nobody else may have it"
    undo = marks.unyank("ml", "1.1.0", lifted, SAID)
    assert undo is not None and undo.lifts == (yank.id,)
    assert not known(yank, hold, marks.unhold("ml", both, SAID), undo).standing
    assert marks.unyank("ml", "1.2.0", lifted, SAID) is None


def test_no_order_makes_a_difference() -> None:
    found = claims("1.0.0", "1.1.0", "1.2.0")
    one = marks.rollback("ml", found, found[2], SAID)
    two = marks.rollback("ml", found, found[1], replace(SAID, by="B"))
    three = marks.unhold("ml", known(one), SAID)
    ways = [known(*way).on({"ml": found})["ml"] for way in itertools.permutations([one, two, three])]
    # The lift takes back what it had seen, and nothing that came meanwhile.
    assert all([claim.held for claim in way] == ["held back for 1.1.0: it eats", "", ""] for way in ways)


def test_what_cannot_be_gone_back_to() -> None:
    found = claims("1.0.0", "1.1.0-rc.1", "1.1.0", "0.9.0", by_hand="0.9.0")
    with pytest.raises(ConfigError, match="prerelease"):
        marks.rollback("ml", found, marks.claimed("ml", found, "1.1.0-rc.1"), SAID)
    held = known(marks.yank("ml", found[-2], Marks(), SAID)).on({"ml": found})["ml"]
    with pytest.raises(ConfigError, match=r"passed over itself \(yanked: it eats\)"):
        marks.rollback("ml", held, held[-2], SAID)
    for version in ("0.9.0", "7.0.0"):
        with pytest.raises(ConfigError, match="is not released by dsci") as error:
            marks.claimed("ml", found, version)
        assert "1.1.0, 1.1.0-rc.1, 1.0.0" in error.value.hint
    with pytest.raises(ConfigError) as error:
        marks.claimed("ml", (), "1.0.0")
    assert "nothing yet" in error.value.hint


def test_an_image_that_has_another_name_now_keeps_its_marks() -> None:
    found = claims("1.0.0", "1.1.0")
    hold = marks.rollback("ml", found, found[1], SAID)
    assert hold is not None
    old = known(replace(hold, image="old"))
    assert not old.on({"ml": found})["ml"][0].held
    assert old.owned({"old": "ml"}.get).on({"ml": found})["ml"][0].held
    assert old.owned({}.get).mentioned("ml") == frozenset()


def test_without_marks_nothing_is_looked_at() -> None:
    found = claims("1.0.0", "1.1.0")
    assert marked(FAMILY, "ml", found, ()) == frozenset()
    assert Marks().on({"ml": found})["ml"] == found


RULES = st.sampled_from(
    [
        ("{version}", "{major}.{minor}", "{major}", "latest", "sha-{sha}"),
        ("{version}", "{major}", "latest"),
        ("type=semver,pattern={{version}}", "type=semver,pattern={{major}}.{{minor}}"),
        ("{major}.{minor}.{patch}", "stable"),
    ]
)
VERSIONS = st.builds(
    lambda numbers, early: ".".join(map(str, numbers)) + early,
    st.tuples(*[st.integers(0, 2)] * 3),
    st.sampled_from(["", "", "-rc.1"]),
)


@given(RULES, st.sets(VERSIONS, min_size=1, max_size=8), st.data())
def test_floats_are_the_tags_of_all_releases_at_once(
    rules: tuple[str, ...], versions: set[str], data: st.DataObject
) -> None:
    from dsci.model.tags import rules as parsed

    image = replace(FAMILY.images["ml"], tag_rules=parsed(rules))
    over = data.draw(st.sets(st.sampled_from(sorted(versions))))
    found = tuple(replace(each, held="x" if str(each.version) in over else "") for each in claims(*versions))
    each = {tag.name: str(claim.version) for claim in found for tag in release_tags(image, claim, found) if tag.moving}
    assert {tag: str(claim.version) for tag, claim in floats(image, found).items()} == each
    bare = tuple(replace(each, held="") for each in found)
    never = {tag.name: claim.version for claim in bare for tag in release_tags(image, claim, bare) if not tag.moving}
    assert {tag: claim.version for tag, claim in fixed(image, found).items()} == never
    assert [tag.name for claim in found for tag in release_tags(image, claim, found) if not tag.moving] == [
        tag.name for claim in bare for tag in release_tags(image, claim, bare) if not tag.moving
    ]


def test_a_plan_says_what_is_held_back_and_finishes_it_without_floats() -> None:
    shot = builders.look(builders.STACK)
    found = shot.claims(["1.1.0", "1.0.0"])
    hold = marks.rollback("ml", found["ml"], found["ml"][1], SAID)
    held = known(hold).on(found)
    pending = Pending(claim=held["ml"][0], missing=("x",))
    plan = shot.plan(claims=held, unconverged=(pending,))
    assert "ml 1.1.0 is held back for 1.0.0: it eats" in plan.warnings
    assert [(each.version, each.moving) for each in plan.releases] == [("1.1.0", ())]
    assert "1.1.0" in plan.releases[0].tags and "latest" not in plan.releases[0].tags


def test_names_on_a_command_line() -> None:
    assert check_names(["ml", "base"], FAMILY) == {"ml", "base"}
    with pytest.raises(ConfigError, match=r"there is no image 'bases' \(did you mean 'base'\?\)") as error:
        check_names(["ml", "bases"], FAMILY)
    assert error.value.hint == "the images here are base, ml, python, r"
