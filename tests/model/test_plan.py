"""Facts in, plan out: the verdict of every target with its reason, and every release with its tags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from builders import ARM64, HEAD, STACK, Shot, change, changed_receipt, image_digest, look, released, target
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from msgspec.structs import replace
from sampling import examples

from dsci.errors import ConfigError, ConflictError
from dsci.model.changelog import Entry, Kind
from dsci.model.claims import Released
from dsci.model.event import Event, Trigger
from dsci.model.facts import Found, Pending, Request
from dsci.model.family import TargetId, group_members
from dsci.model.lines import Line
from dsci.model.oci import ANY, Digest
from dsci.model.plan import Plan, PlannedRelease, PlannedTarget
from dsci.model.planning import make
from dsci.model.releases import release_tags
from dsci.model.verdicts import Action

ALL = look(STACK)
TOUCHED = "images/python/requirements.txt changed"


def verdicts(plan: Plan) -> dict[str, str]:
    return {item.image: f"{item.action}: {item.reason}" for item in plan.targets}


def only(plan: Plan, *names: str) -> dict[str, str]:
    found = verdicts(plan)
    return {name: found[name] for name in names}


def releases(plan: Plan) -> dict[str, str]:
    return {item.image: item.version for item in plan.releases}


def release(plan: Plan, name: str) -> PlannedRelease:
    return next(item for item in plan.releases if item.image == name)


def edited(**more: Any) -> dict[str, Any]:
    """Facts after `fix: pip` has changed python's sources: its key and its children's are new."""
    shot = look({**STACK, "images/python/requirements.txt": "pip==2\n"})
    stocked = {item: found for item, found in ALL.stocked().items() if item.image in ("base", "r")}
    return {
        "sources": shot.sources,
        "keys": shot.keys(),
        "found": stocked,
        "own_changes": {target("python"): TOUCHED},
        "touched": {"python": (change("fix: pip"),)},
        **more,
    }


# ------------------------------------------------------------------------------------------------------- nothing


def test_nothing_to_do() -> None:
    plan = ALL.plan()
    assert verdicts(plan) == dict.fromkeys(("base", "python", "r", "ml"), "reuse: unchanged")
    assert plan.releases == ()
    assert plan.unreleased == dict.fromkeys(("base", "python", "r", "ml"), "unchanged")
    assert not plan.has_work


def test_a_target_of_the_plan() -> None:
    plan = ALL.plan()
    assert plan.targets[3] == PlannedTarget(
        id="ml@linux/amd64",
        image="ml",
        platform="linux/amd64",
        key=ALL.keys()[target("ml")],
        source_key=ALL.sources.full[target("ml")],
        action="reuse",
        reason="unchanged",
        parent="python@linux/amd64",
        needs=("python@linux/amd64",),
        wave=2,
        suites=("base/structure", "python/pytest"),
        suites_digest=ALL.suites[target("ml")],
        repository="dsci.local/stack/ml",
        digest=str(image_digest(str(ALL.keys()[target("ml")]))),
    )
    base = plan.target(target("base"))
    assert base.bases == {
        "debian:12": str(ALL.pins[target("base")]["docker.io/library/debian:12", target("base").platform])
    }
    assert (base.parent, base.needs, base.wave) == (None, (), 0)


# ------------------------------------------------------------------------------------------------ carried elsewhere


def test_a_plan_carries_what_it_was_pinned_to() -> None:
    """Also the frontend, and the platforms of a base that is pinned by its index: keys are made of them."""
    files = {
        "dsci.yaml": "platforms: [linux/amd64, linux/arm64]",
        "images/tool/Dockerfile": "# syntax=docker/dockerfile:1\nFROM --platform=linux/amd64 go AS b\nFROM go\n",
    }
    shot = look(files)
    index = {("docker.io/library/go:latest", ANY): Digest.of(b"index")}
    pins = {item: {**own, **(index if item.platform == ARM64 else {})} for item, own in shot.pins.items()}
    plan = shot.plan(pins=pins, found={})
    carried = Plan.read(plan.to_json(), name="plan.json").pins
    assert carried == pins
    assert shot.keys(carried) == shot.keys(pins) and None not in shot.keys(carried).values()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "plan.json is no plan: Input data was truncated"),
        (b"\xff\xfe", "plan.json is no plan: "),
        (b"[" * 100_000, "plan.json is no plan: "),
        (b"[]", "plan.json is no plan: Expected `object`, got `array`"),
        (b"{}", "plan.json is no plan: Object missing required field `schema`"),
        (b'{"schema": 1}', "plan.json is no plan: Object missing required field `commit`"),
        (b'{"schema": 2, "waves": []}', "plan.json is a plan of schema 2, and this dsci reads 1"),
    ],
)
def test_what_is_no_plan(content: bytes, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Plan.read(content, name="plan.json")
    assert refused.value.message.startswith(says)
    assert "dsci plan --json" in refused.value.hint


@pytest.mark.parametrize("pins", [{"debian": str(Digest.of(b""))}, {"debian linux/amd64": "sha256:12"}])
def test_what_is_no_pin(pins: dict[str, str]) -> None:
    plan = ALL.plan()
    changed = msgspec.structs.replace(plan, targets=(msgspec.structs.replace(plan.targets[0], pins=pins),))
    with pytest.raises(ConfigError, match="pins cannot be read"):
        _ = changed.pins


def test_parents_stand_before_their_children() -> None:
    shot = look({**STACK, "dsci.yaml": "platforms: [linux/amd64, linux/arm64]"})
    places = {item.id: number for number, item in enumerate(shot.plan().targets)}
    assert len(places) == 8
    assert all(places[need] < places[item.id] for item in shot.plan().targets for need in item.needs)


# ------------------------------------------------------------------------------------------------------ verdicts


def found(**values: Found) -> dict[TargetId, Found]:
    return {**ALL.stocked(), **{target(name): value for name, value in values.items()}}


BASE = ALL.stocked()[target("base")]
PYTHON = ALL.stocked()[target("python")]
UNKNOWN = Found(unknown="ghcr.io: 503")
BUILT = replace(BASE, built=BASE.tested, tested=None)


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        pytest.param({"found": found(base=Found())}, "build: never built", id="never built"),
        pytest.param({"found": found(base=UNKNOWN)}, "build: unknown: ghcr.io: 503", id="registry unknown"),
        pytest.param({"found": found(base=Found(lost="a blob is gone"))}, "build: a blob is gone", id="image lost"),
        pytest.param(
            {"found": found(base=Found()), "unpinned": {target("base"): "offline"}}, "build: offline", id="no base"
        ),
        pytest.param(
            {"found": found(base=Found()), "own_changes": {target("base"): "tools changed"}},
            "build: tools changed",
            id="changed since the last release",
        ),
        pytest.param({"found": found(base=Found(image=BASE.image))}, "build: built without a receipt", id="no receipt"),
        pytest.param({"found": found(base=BUILT)}, "test: suites changed", id="suites changed"),
        pytest.param({"found": found(base=BUILT), "claims": ALL.claims([])}, "test: not tested", id="never tested"),
        pytest.param({"found": changed_receipt(ALL.stocked(), "base", image="x")},
                     "build: its receipt names another image", id="receipt of another image"),
        pytest.param({"found": changed_receipt(ALL.stocked(), "base", bases=())},
                     "build: base debian:12 moved", id="base not in the receipt"),
        pytest.param(
            {"pins": {**ALL.pins, target("base"): {key: Digest.of(b"new") for key in ALL.pins[target("base")]}},
             "found": ALL.stocked()},
            "build: base debian:12 moved",
            id="base moved",
        ),
        pytest.param({"dirty": {target("base"): "images/base/tools"}}, "build: uncommitted change: images/base/tools",
                     id="dirty"),
        pytest.param({}, "reuse: unchanged", id="all is well"),
    ],
)  # fmt: skip
def test_the_verdict_of_one_target(facts: Mapping[str, Any], verdict: str) -> None:
    plan = ALL.plan(Request(release=False), **facts)
    assert verdicts(plan)["base"] == verdict
    expected = "build: parent base is built" if verdict.startswith("build") else "reuse: unchanged"
    assert only(plan, "python", "r") == {"python": expected, "r": expected}
    assert plan.has_work is not verdict.startswith("reuse")
    assert (plan.target(target("base")).digest is None) is verdict.startswith("build")


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (Request(force=True), "build: forced"),
        (Request(rerun=True), "test: asked for again"),
        (Request(rerun=True, force=True), "build: forced"),
    ],
)
def test_the_caller_may_want_more(given: Request, verdict: str) -> None:
    assert set(verdicts(ALL.plan(given)).values()) == {verdict}


def test_what_must_be_built_need_not_be_asked_to_be_tested() -> None:
    plan = ALL.plan(Request(rerun=True), found=found(python=Found()))
    assert verdicts(plan) == {
        "base": "test: asked for again",
        "python": "build: never built",
        "r": "test: asked for again",
        "ml": "build: parent python is built",
    }


def test_a_parent_that_was_rebuilt_under_the_same_key() -> None:
    """Reuse needs the parent's present image to be the one the child was built on (rule 3)."""
    rebuilt = Found(
        image=Digest.of(b"rebuilt"), tested=msgspec.structs.replace(BASE.tested, image=str(Digest.of(b"rebuilt")))
    )  # type: ignore[type-var]
    plan = ALL.plan(found=found(base=rebuilt))
    assert verdicts(plan) == {
        "base": "reuse: unchanged",
        "python": "build: parent base was rebuilt",
        "r": "build: parent base was rebuilt",
        "ml": "build: parent python is built",
    }


def test_the_own_change_is_told_before_the_parents() -> None:
    shot = look({**STACK, "images/base/tools!": "x", "images/python/requirements.txt": "x"})
    own = {target("base"): "tools changed", target("python"): TOUCHED}
    plan = shot.plan(found={}, own_changes=own)
    assert only(plan, "base", "python", "r") == {
        "base": "build: tools changed",
        "python": f"build: {TOUCHED}",
        "r": "build: parent base is built",
    }


def test_an_edit_builds_its_image_and_what_stands_on_it() -> None:
    plan = ALL.plan(**edited())
    assert verdicts(plan) == {
        "base": "reuse: unchanged",
        "python": f"build: {TOUCHED}",
        "r": "reuse: unchanged",
        "ml": "build: parent python is built",
    }


def test_what_lies_dirty_makes_its_descendants_dirty_and_is_never_released() -> None:
    dirty = {target("python"): "images/python/x", target("ml"): "images/python/x"}
    plan = ALL.plan(dirty=dirty, **edited())
    assert only(plan, "python", "ml") == dict.fromkeys(("python", "ml"), "build: uncommitted change: images/python/x")
    assert [item.image for item in plan.targets if item.dirty] == ["python", "ml"]
    assert plan.releases == ()
    assert plan.unreleased["python"] == plan.unreleased["ml"] == "uncommitted change: images/python/x"
    assert plan.unreleased["base"] == "unchanged"


def test_an_image_whose_dockerfile_cannot_be_read_is_built_to_fail() -> None:
    shot = look({**STACK, "images/python/Dockerfile": "FORM base\n"})
    assert {item.image for item, key in shot.keys().items() if key is None} == {"python", "ml"}
    plan = shot.plan(Request(force=True))
    problem = shot.family.nodes[target("python")].problem
    assert verdicts(plan) == {
        "base": "build: forced",
        "python": f"build: {problem}",
        "r": "build: forced",
        "ml": "build: forced",
    }
    assert verdicts(shot.plan())["ml"] == "build: parent python is built"
    assert plan.warnings == (problem,)


def test_offline_there_are_source_keys_and_no_keys() -> None:
    pins: dict[TargetId, Any] = {item: {} for item in ALL.family.nodes}
    offline = dict.fromkeys(ALL.family.nodes, Found(unknown="offline"))
    plan = ALL.plan(pins=pins, found=offline, unpinned={target("base"): "base debian:12 is not resolved: offline"})
    assert {item.key for item in plan.targets} == {None}
    assert all(item.source_key for item in plan.targets)
    assert only(plan, "base", "ml") == {
        "base": "build: base debian:12 is not resolved: offline",
        "ml": "build: parent python is built",
    }
    assert plan.target(target("base")).bases == {}


# ----------------------------------------------------------------------------------------------------- selection


@pytest.mark.parametrize(
    ("select", "targets"),
    [({"ml"}, ["base", "python", "ml"]), ({"base"}, ["base"]), ({"r", "python"}, ["base", "python", "r"])],
)
def test_what_is_selected_brings_what_it_stands_on(select: set[str], targets: list[str]) -> None:
    plan = ALL.plan(Request(select=frozenset(select)), claims=ALL.claims([]))
    assert [item.image for item in plan.targets] == targets
    assert sorted(releases(plan)) == sorted(targets)
    assert plan.unreleased == {}


# ------------------------------------------------------------------------------------------------------ releases


def test_the_first_release_of_everything() -> None:
    shot = look({**STACK, "dsci.yaml": "registries: [ghcr.io/acme, quay.io/acme]"})
    plan = shot.plan(
        claims=shot.claims([]),
        found={},
        touched={"ml": (change("feat: ml", sha="1" * 40), change("wip", sha="2" * 40))},
    )
    assert release(plan, "ml") == PlannedRelease(
        image="ml",
        version="0.1.0",
        bump="initial",
        git_tag="ml-v0.1.0",
        tags=("0.1.0", "sha-ffffffffffff", "0.1", "0", "latest"),
        moving=("0.1", "0", "latest"),
        previous=None,
        reason="first release",
        claimed=False,
        commit=HEAD,
        members=("ml",),
        destinations=("ghcr.io/acme/ml", "quay.io/acme/ml"),
        parents={"python": "0.1.0"},
        changes=("feat: ml (1111111)", "wip (2222222)"),
        entries=(
            Entry(kind=Kind.FEATURE, type="feat", summary="ml", commits=("1" * 40,)),
            Entry(kind=Kind.OTHER, summary="wip", commits=("2" * 40,)),
        ),
    )
    assert [item.image for item in plan.releases] == ["base", "python", "r", "ml"]
    assert plan.has_work and plan.unreleased == {}


def test_a_fix_moves_its_children_by_a_patch() -> None:
    plan = ALL.plan(**edited())
    assert releases(plan) == {"python": "1.0.1", "ml": "1.0.1"}
    python, ml = release(plan, "python"), release(plan, "ml")
    assert (python.bump, python.previous, python.reason) == ("patch", "1.0.0", TOUCHED)
    assert (ml.bump, ml.reason, ml.parents) == ("patch", "parent python 1.0.1", {"python": "1.0.1"})
    assert plan.unreleased == {"base": "unchanged", "r": "unchanged"}


@pytest.mark.parametrize(
    ("propagate", "versions"),
    [
        ("patch", {"python": "2.0.0", "ml": "1.0.1"}),
        ("same", {"python": "2.0.0", "ml": "2.0.0"}),
        ("none", {"python": "2.0.0"}),
    ],
)
def test_propagation(propagate: str, versions: dict[str, str]) -> None:
    settings = look({**STACK, "dsci.yaml": f"versioning: {{propagate: {propagate}}}"}).settings
    plan = ALL.plan(**edited(settings=settings, touched={"python": (change("feat!: pip"),)}))
    assert releases(plan) == versions
    assert verdicts(plan)["ml"] == "build: parent python is built", "built and tested, released or not"


def test_propagation_goes_on_through_a_child() -> None:
    shot = look({**STACK, "images/base/tools!": "x"})
    settings = look({**STACK, "dsci.yaml": "versioning: {propagate: same}"}).settings
    plan = shot.plan(
        found={},
        settings=settings,
        own_changes={target("base"): "tools changed"},
        touched={"base": (change("feat: tools"),)},
    )
    assert releases(plan) == dict.fromkeys(("base", "python", "r", "ml"), "1.1.0")


def test_two_parents_are_named_in_order() -> None:
    files = {**STACK, "images/both/Dockerfile": "FROM r\nCOPY --from=python / /\nCOPY --from=ml / /\n"}
    shot = look(files)
    own = {target(name): f"{name} changed" for name in ("python", "r")}
    both = release(shot.plan(own_changes=own), "both")
    assert list(both.parents.items()) == [("ml", "1.0.1"), ("python", "1.0.1"), ("r", "1.0.1")]
    assert both.reason == "parent ml 1.0.1"


def test_a_docs_commit_does_nothing() -> None:
    plan = ALL.plan(since={"ml": (change("docs: readme"),)})
    assert not plan.has_work
    assert plan.unreleased["ml"] == "unchanged"


def test_a_release_of_what_is_built_already_moves_tags_alone() -> None:
    """A change that was built and tested before, in a pull request: only its release is left."""
    shot = look({**STACK, "images/ml/requirements.txt": "x"})
    plan = shot.plan(
        own_changes={target("ml"): "requirements.txt changed"}, touched={"ml": (change("feat: x", sha="1" * 40),)}
    )
    assert verdicts(plan)["ml"] == "retag: ml 1.1.0: feat: x (1111111)"
    assert verdicts(plan)["python"] == "reuse: unchanged"
    assert plan.has_work
    assert plan.target(target("ml")).digest is not None


def test_what_is_tested_again_is_not_merely_retagged() -> None:
    plan = ALL.plan(Request(rerun=True), own_changes={target("ml"): "x changed"}, touched={"ml": (change("fix: x"),)})
    assert verdicts(plan)["ml"] == "test: asked for again"
    assert releases(plan) == {"ml": "1.0.1"}


def test_without_release_no_version_is_decided() -> None:
    pending = Pending(claim=released("r", "1.0.0"), missing=("ghcr.io/a/r:1",))
    plan = ALL.plan(Request(release=False), unconverged=(pending,), **edited())
    assert (plan.releases, plan.unreleased, plan.superseded) == ((), {}, ())
    assert verdicts(plan)["python"] == f"build: {TOUCHED}"


def test_an_image_that_is_never_released() -> None:
    shot = look({**STACK, "dsci.yaml": "images: {python: {release: false}}"})
    plan = shot.plan(**edited())
    assert "python" not in releases(plan) and "python" not in plan.unreleased


@pytest.mark.parametrize(
    ("template", "git_tag"),
    [("{image}-v{version}", "ml-v1.0.1"), ("{image}/v{version}", "ml/v1.0.1"), ("{image}@{version}", "ml@1.0.1")],
)
def test_git_tags_as_configured(template: str, git_tag: str) -> None:
    shot = look({**STACK, "dsci.yaml": f"versioning: {{tag: '{template}'}}"})
    plan = shot.plan(own_changes={target("ml"): "x changed"})
    assert [item.git_tag for item in plan.releases] == [git_tag]


def test_a_single_image_has_plain_git_tags() -> None:
    shot = look({"Dockerfile": "FROM debian\n"}, project="solo")
    assert [item.git_tag for item in shot.plan(claims=shot.claims([])).releases] == ["v0.1.0"]


def test_a_backport_leaves_newer_floats_alone() -> None:
    """On the branch 1.x, while 2.0.0 and 1.3.0 stand elsewhere."""
    claims = (
        released("ml", "2.0.0", merged=False),
        released("ml", "1.3.0", merged=False),
        released("ml", "1.2.3"),
    )
    plan = ALL.plan(claims=ALL.claims({"ml": claims}) | {}, own_changes={target("ml"): "x changed"})
    ml = release(plan, "ml")
    assert (ml.version, ml.previous) == ("1.2.4", "1.2.3")
    assert (ml.tags, ml.moving) == (("1.2.4", "sha-ffffffffffff", "1.2"), ("1.2",))


# -------------------------------------------------------------------------------------- taken, superseded, pending


def test_a_version_taken_off_this_branch_is_a_conflict() -> None:
    taken = released("python", "1.0.1", at="9" * 40, merged=False)
    with pytest.raises(ConflictError) as caught:
        ALL.plan(claims=ALL.claims(["1.0.0"]) | {"python": (taken, released("python", "1.0.0"))}, **edited())
    assert caught.value.message == (
        "python 1.0.1 comes next, but the Git tag python-v1.0.1 already stands on 9999999,"
        " which is not part of this history"
    )
    assert "Release-As: python@VERSION" in caught.value.hint
    assert caught.value.exit_code == 6


_OTHERS = {name: ["1.0.0"] for name in ("base", "python", "jupyter", "r")}


def on_branch(branch: str, *claims: Released | str, message: str = "feat: a") -> Plan:
    """The plan for a change of `ml` on a branch of a repository that has a channel."""
    mine = [claim if isinstance(claim, Released) else released("ml", claim) for claim in claims]
    return ALL.plan(
        claims=ALL.claims({"ml": mine, **_OTHERS}),
        lines={"ml": Line.of(branch, {"next": "rc", "early": "beta"}, "ml")},
        touched={"ml": (change(message),)},
        own_changes={target("ml"): "x changed"},
    )


def test_a_line_is_never_left() -> None:
    assert release(on_branch("1.x", "1.2.3"), "ml").version == "1.3.0"
    with pytest.raises(ConflictError) as caught:
        on_branch("1.2.x", "1.2.3")
    assert caught.value.message == (
        f"ml 1.3.0 comes next (feat: a ({change('feat: a').commit.sha[:7]})), but the branch 1.2.x releases 1.2.x"
    )
    assert "take that change off 1.2.x" in caught.value.hint


def test_a_prerelease_never_comes_after_what_it_leads_to() -> None:
    with pytest.raises(
        ConflictError, match=r"ml 1\.3\.0-rc\.1 comes next on next, but ml-v1\.3\.0 is released already"
    ):
        on_branch("next", released("ml", "1.3.0", merged=False), "1.2.3")
    with pytest.raises(
        ConflictError, match=r"1\.3\.0-beta\.1 comes next on early, but 1\.3\.0-rc\.4 is released already"
    ):
        on_branch("early", "1.3.0-rc.4", "1.2.3")


def test_the_bump_of_a_prerelease_is_told_from_the_stable_version() -> None:
    ml = release(on_branch("next", "2.0.0-rc.1", "1.2.3", message="fix: a"), "ml")
    assert (ml.version, ml.previous, ml.bump) == ("2.0.0-rc.2", "2.0.0-rc.1", "major")


def test_a_prerelease_overtakes_prereleases_alone() -> None:
    ahead = released("ml", "1.3.0-rc.1", at="8" * 40, merged=False)
    given = {"descendants": frozenset(["8" * 40]), "own_changes": {target("ml"): "x changed"}}
    claims = ALL.claims({"ml": (ahead, released("ml", "1.2.3")), **_OTHERS})
    assert ALL.plan(claims=claims, **given).superseded == ()
    behind = ALL.plan(claims=claims, lines={"ml": Line.of("next", {"next": "rc"}, "ml")}, **given)
    assert behind.superseded == ("ml",)


def test_a_requested_version_may_be_taken_too() -> None:
    taken = (released("ml", "2.0.0", merged=False), released("ml", "1.0.0"))
    with pytest.raises(ConflictError, match=r"ml 2\.0\.0 comes next"):
        ALL.plan(
            claims=ALL.claims(["1.0.0"]) | {"ml": taken}, since={"ml": (change("chore: x\n\nRelease-As: ml@2.0.0"),)}
        )


def test_a_release_that_a_descendant_has_made_is_superseded() -> None:
    ahead = released("python", "1.0.1", at="9" * 40, merged=False)
    claims = ALL.claims(["1.0.0"]) | {"python": (ahead, released("python", "1.0.0"))}
    plan = ALL.plan(claims=claims, descendants=frozenset({"9" * 40}), **edited())
    assert plan.superseded == ("python",)
    assert releases(plan) == {"ml": "1.0.1"}
    idle = ALL.plan(claims=claims, descendants=frozenset({"9" * 40}))
    assert (idle.superseded, idle.unreleased["python"]) == ((), "unchanged")


def test_a_release_below_the_base_overtakes_nothing() -> None:
    below = released("python", "0.9.9", at="9" * 40, merged=False)
    claims = ALL.claims(["1.0.0"]) | {"python": (released("python", "1.0.0"), below)}
    plan = ALL.plan(claims=claims, descendants=frozenset({"9" * 40}), **edited())
    assert (plan.superseded, releases(plan)["python"]) == ((), "1.0.1")


@pytest.mark.parametrize(
    ("standing", "why"),
    [
        ("PYTHON-v1.0.1", "cannot stand beside python-v1.0.1 on every file system"),
        ("python-v1.0.1/x", "cannot stand beside python-v1.0.1 on every file system"),
        ("python-v1.0.1", "names no commit"),
    ],
)
def test_a_tag_that_bars_the_next_one_is_a_conflict(standing: str, why: str) -> None:
    with pytest.raises(ConflictError) as caught:
        ALL.plan(tag_names=frozenset({"python-v1.0.0", standing, "ml-v9"}), **edited())
    assert caught.value.message == f"python 1.0.1 comes next, but the Git tag {standing} stands already and {why}"
    assert f"(git tag -d {standing})" in caught.value.hint and "Release-As: python@VERSION" in caught.value.hint
    ALL.plan(tag_names=frozenset({standing}))  # Where nothing comes next, nothing is in the way.


def test_what_could_not_be_asked_is_told_first() -> None:
    assert ALL.plan(doubts=("the remote is away",), warnings=("a base",)).warnings[-2:] == (
        "the remote is away",
        "a base",
    )


def pending(name: str, version: str, *missing: str, at: str = "") -> Pending:
    return Pending(claim=released(name, version, at=at), missing=missing)


def test_a_claimed_release_is_finished() -> None:
    cut = pending("ml", "1.0.0", "ghcr.io/a/ml:1.0.0", "b", "c", "d", at="3" * 40)
    plan = ALL.plan(unconverged=(cut,))
    assert plan.releases == (
        PlannedRelease(
            image="ml",
            version="1.0.0",
            bump="none",
            git_tag="ml-v1.0.0",
            tags=("1.0.0", "sha-333333333333", "1.0", "1", "latest"),
            moving=("1.0", "1", "latest"),
            previous="1.0.0",
            reason="claimed, but ghcr.io/a/ml:1.0.0, b, c not in place",
            claimed=True,
            commit="3" * 40,
            members=("ml",),
            destinations=("dsci.local/stack/ml",),
        ),
    )
    assert verdicts(plan)["ml"] == "retag: ml 1.0.0: claimed, but ghcr.io/a/ml:1.0.0, b, c not in place"
    assert plan.has_work
    assert plan.unreleased["ml"] == "unchanged"


def test_claims_are_finished_before_new_releases_begin() -> None:
    cut = pending("python", "1.0.0", "x")
    plan = ALL.plan(Request(select=frozenset({"r"})), unconverged=(cut,), own_changes={target("r"): "x changed"})
    assert [(item.image, item.version, item.claimed) for item in plan.releases] == [
        ("python", "1.0.0", True),
        ("r", "1.0.1", False),
    ]


def test_an_old_release_is_finished_without_touching_newer_floats() -> None:
    claims = (released("ml", "2.0.0"), released("ml", "1.0.0"))
    plan = ALL.plan(
        claims=ALL.claims(["1.0.0"]) | {"ml": claims}, unconverged=(Pending(claim=claims[1], missing=("x",)),)
    )
    assert release(plan, "ml").moving == ("1.0", "1")
    assert [tag.name for tag in release_tags(ALL.family.images["ml"], claims[0], claims) if tag.moving] == [
        "2.0",
        "2",
        "latest",
    ]


def test_a_plan_of_numbers_says_nothing_of_what_releases_bring() -> None:
    history: Any = {"own_changes": {target("ml"): "x changed"}, "touched": {"ml": (change("feat: x"),)}}
    told, numbers = (release(ALL.plan(Request(notes=notes), **history), "ml") for notes in (True, False))
    assert [entry.summary for entry in told.entries] == ["x"] and numbers.entries == ()
    assert replace(told, entries=()) == numbers


# ----------------------------------------------------------------------------------------------- groups of variants


def test_members_of_a_group_are_released_as_one() -> None:
    shot = look(STACK)
    images = {
        **shot.family.images,
        "ml": replace(
            shot.family.images["ml"], group="python", suffix="-ml", platforms=shot.family.images["ml"].platforms
        ),
    }
    grouped = replace(shot, family=replace(shot.family, images=images))
    assert [member.name for member in group_members(images.values())["python"]] == ["python", "ml"]
    plan = grouped.plan(own_changes={target("ml"): "x changed"}, touched={"python": (change("feat: x"),)})
    (one,) = plan.releases
    assert (one.image, one.version, one.members, one.git_tag) == ("python", "1.1.0", ("python", "ml"), "python-v1.1.0")
    assert only(plan, "python", "ml").keys() == {"python", "ml"}
    assert all(verdict.startswith("retag: python 1.1.0: ") for verdict in only(plan, "python", "ml").values())
    shy = replace(
        grouped, family=replace(grouped.family, images={**images, "ml": replace(images["ml"], release=False)})
    )
    assert shy.plan(own_changes={target("ml"): "x changed"}).releases == ()


# ------------------------------------------------------------------------------------------------------ documents


def test_the_gate_is_no_part_of_a_plan() -> None:
    plans = [look({**STACK, "dsci.yaml": f"gate: {gate}"}).plan(found={}).to_json() for gate in ("family", "lineage")]
    assert plans[0] == plans[1]


def test_warnings_come_once_and_all() -> None:
    shot = look({**STACK, "images/r/Dockerfile": "FROM base:12\n"})
    assert shot.plan(warnings=("a", "a", *shot.family.warnings)).warnings == (*shot.family.warnings, "a")


def test_what_commits_cannot_have_is_a_warning_of_the_plan() -> None:
    asked = {"ml": (change("chore: x\n\nRelease-As: ml@0.1.0"),)}
    (warning,) = ALL.plan(since=asked).warnings
    assert warning.startswith("ml: Release-As: 0.1.0 (")


def test_actions_have_an_order_and_names() -> None:
    assert [str(action) for action in sorted(Action)] == ["reuse", "retag", "test", "build"]


def test_a_plan_is_a_document() -> None:
    plan = ALL.plan(**edited())
    content = plan.to_json()
    assert Plan.from_json(content) == plan
    assert content.startswith(b'{\n  "schema": 1,\n  "commit": "ffff')
    assert json.loads(content)["targets"][1]["id"] == "python@linux/amd64"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"schema": "x"}', b"\xff"])
def test_no_plan(content: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        Plan.from_json(content)


BOTH = look({**STACK, "dsci.yaml": "platforms: [linux/amd64, linux/arm64]"})
_targets = st.sets(st.sampled_from(sorted(BOTH.family.nodes)))
_messages = st.sampled_from(
    ["fix: a", "feat: a", "feat!: a", "docs: a", "chore: x [skip release]", "x\n\nRelease-As: 3.0.0"]
)


@st.composite
def _facts(draw: st.DrawFn) -> tuple[Shot, dict[str, Any], Request]:
    stocked = BOTH.stocked()
    gone, untested, dirty, changed = (draw(_targets) for _ in range(4))
    groups = sorted(BOTH.groups)
    claims: dict[str, tuple[Released, ...]] = {}
    for group in groups:
        versions = draw(st.sets(st.sampled_from(["1.0.0", "1.1.0", "2.0.0-rc.1", "0.9.0"])))
        claims[group] = tuple(released(group, version) for version in sorted(versions, reverse=True))
    unfinished = [claim for found in claims.values() for claim in found if draw(st.booleans())]
    touched = {group: tuple(map(change, draw(st.lists(_messages, max_size=2)))) for group in groups}
    facts = {
        "found": {
            item: replace(found, built=found.tested, tested=None) if item in untested else found
            for item, found in stocked.items()
            if item not in gone
        },
        "claims": claims,
        "own_changes": {item: f"{item.image} changed" for item in sorted(changed)},
        "dirty": {item: "x" for item in BOTH.family.order if item in dirty or BOTH.family.ancestors([item]) & dirty},
        "touched": touched,
        "unconverged": tuple(Pending(claim=claim, missing=("x",)) for claim in unfinished),
    }
    names = draw(st.sets(st.sampled_from(groups), max_size=2))
    request = Request(
        release=draw(st.booleans()),
        select=frozenset(names),
        force=draw(st.sampled_from([False, False, True])),
        rerun=draw(st.booleans()),
    )
    return BOTH, facts, request


def _reversed(values: Any) -> Any:
    return dict(reversed(list(values.items()))) if isinstance(values, dict) else values


@given(_facts())
@hypothesis(max_examples=examples(40), deadline=None)
def test_plans_hold_together(given: tuple[Shot, dict[str, Any], Request]) -> None:
    shot, facts, request = given
    plan = shot.plan(request, **facts)
    # Equal facts give equal bytes, in whatever order they were gathered.
    again = make(shot.family, shot.facts(**{name: _reversed(value) for name, value in facts.items()}), request)
    assert plan.to_json() == again.to_json()
    assert Plan.from_json(plan.to_json()) == plan
    # What is built is built on what is built; what is reused has an image.
    actions = {item.id: item.action for item in plan.targets}
    for item in plan.targets:
        assert all(need in actions for need in item.needs)
        if any(actions[need] == "build" for need in item.needs):
            assert item.action == "build"
        assert (item.digest is None) is (item.action == "build")
        assert item.reason
    # A release is either new and newer than all this history holds, or one of its claims; it is named once.
    new = {item.image: item for item in plan.releases if not item.claimed}
    assert len(new) == sum(not item.claimed for item in plan.releases)
    assert not new.keys() & (plan.unreleased.keys() | set(plan.superseded))
    for item in new.values():
        assert all(str(claim.version) != item.version for claim in facts["claims"][item.image])
        assert not any(one.dirty for one in plan.targets if one.image == item.image)
        assert item.tags[0] == item.version
        members = [one for one in plan.targets if one.image in item.members]
        assert members and all(one.action != "reuse" for one in members)
    for item in plan.targets:
        if item.action == "retag":
            assert any(item.image in one.members for one in plan.releases)
    if not request.release:
        assert plan.releases == ()


def test_both_platforms_are_planned_apart() -> None:
    arm = TargetId("python", ARM64)
    plan = BOTH.plan(found={item: found for item, found in BOTH.stocked().items() if item != arm})
    actions = {item.id: item.action for item in plan.targets}
    assert (actions["python@linux/arm64"], actions["ml@linux/arm64"]) == ("build", "build")
    assert (actions["python@linux/amd64"], actions["ml@linux/amd64"]) == ("reuse", "reuse")


def test_a_target_that_the_plan_does_not_have() -> None:
    plan = ALL.plan()
    with pytest.raises(ConfigError, match="the plan has no target ghost@linux/amd64") as caught:
        plan.target(target("ghost"))
    assert "ml@linux/amd64" in caught.value.hint


# ---------------------------------------------------------------------------------------------------- the event


TAG = Request(event=Event(trigger=Trigger.TAG, tag="ml-v2.0.0"))


def test_a_tag_made_by_hand_is_a_request_for_that_version() -> None:
    asked = replace(released("ml", "2.0.0", at=HEAD, by_dsci=False))
    plan = ALL.plan(TAG, asked=asked, touched={"ml": (change("feat: a"),)})
    item = release(plan, "ml")
    assert (item.git_tag, item.claim, item.version) == ("ml-v2.0.0", "ml-v2.0.0.dsci", "2.0.0")
    assert item.bump == "major" and item.previous == "1.0.0" and item.changes[0].startswith("feat: a")
    assert releases(plan) == {"ml": "2.0.0"}
    assert {each.image for each in plan.targets} == {"base", "python", "ml"}, "and what it stands on"
    assert verdicts(plan)["ml"].startswith("retag: ml 2.0.0: the Git tag ml-v2.0.0 asks for it")
    with pytest.raises(ConflictError, match="stands on 9999999, but HEAD is fffffff") as caught:
        ALL.plan(TAG, asked=released("ml", "2.0.0", at="9" * 40, by_dsci=False))
    assert "git switch --detach ml-v2.0.0" in caught.value.hint


def test_a_tag_made_by_dsci_is_only_finished() -> None:
    claims = ALL.claims(["2.0.0", "1.0.0"])
    pending = Pending(claim=claims["ml"][0], missing=("x/ml:2.0.0",))
    plan = ALL.plan(TAG, claims=claims, unconverged=(pending,), own_changes={target("base"): "x changed"})
    assert [(item.image, item.version, item.claimed) for item in plan.releases] == [("ml", "2.0.0", True)]
    assert plan.targets == () and plan.unreleased == {}


def test_a_tag_of_nobody() -> None:
    plan = ALL.plan(Request(event=Event(trigger=Trigger.TAG, tag="nightly")))
    assert not plan.has_work and "the Git tag nightly is no release of an image here" in plan.warnings[-1]


def test_a_request_releases_nothing() -> None:
    plan = ALL.plan(Request(event=Event(trigger=Trigger.PULL_REQUEST, number="7")), **edited())
    assert plan.releases == () and plan.unreleased["python"].startswith("a request releases nothing (")
    assert plan.unreleased["base"] == "unchanged"
    assert verdicts(plan)["python"].startswith("build")


def test_members_with_rules_of_their_own() -> None:
    """In lockstep every image keeps its own rules; the plan shows all their tags once."""
    shot = look(
        {**STACK, "dsci.yaml": "versioning: {mode: lockstep}\nimages: {ml: {tags: ['{version}', 'ml-{major}']}}"}
    )
    plan = shot.plan(claims={"stack": ()})
    (item,) = plan.releases
    assert item.members == ("base", "ml", "python", "r")
    assert item.tags == ("0.1.0", f"sha-{HEAD[:12]}", "0.1", "0", "latest", "ml-0")
    assert len(item.destinations) == 4


def test_a_plan_of_what_is_affected() -> None:
    plan = ALL.plan(**edited())
    narrow = plan.only_affected("9" * 40, frozenset({"ml", "r"}))
    assert {item.image for item in narrow.targets} == {"ml", "r"}
    assert narrow.unaffected == ("base", "python") and narrow.since == "9" * 40
    assert [item.image for item in narrow.releases] == ["ml"] and narrow.refs == ()
    assert Plan.from_json(narrow.to_json()) == narrow
