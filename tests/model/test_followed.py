"""Which tags in a repository follow branches and requests: read back from rules, whatever runs may give."""

from __future__ import annotations

import pytest
from builders import HEAD, STACK, look

from dsci.model.event import Event, Trigger
from dsci.model.followed import Names, names_of
from dsci.model.following import refs_of
from dsci.model.reference import Repository
from dsci.model.retention import Rule

RULES = (
    "tags: ['{version}', '{major}', latest, 'sha-{sha}', '{branch}', 'type=edge', 'type=ref,event=pr', 'nightly',"
    " 'build-{sha}-{branch}', 'day-{date:YYYYMMDD}', 'type=raw,value=main.{{is_default_branch}}',"
    " 'type=schedule,pattern=nightly']"
)
SHOT = look({**STACK, "dsci.yaml": f"{RULES}\nimages: {{r: {{tags: ['{{version}}']}}, base: {{release: false}}}}"})
NOW = 1_800_000_000


def names(*branches: str, image: str = "ml") -> Names:
    found = names_of(SHOT.family, branches, commit=HEAD, default_branch="main", now=NOW)
    return found[SHOT.family.images[image].repository]


@pytest.mark.parametrize(
    ("tag", "rule"),
    [
        ("pr-12", Rule.REQUESTS),
        ("pr-12-0123456789ab", Rule.BRANCHES),
        ("feature-x", Rule.BRANCHES),
        ("feature-x-0123456789ab", Rule.BRANCHES),
        ("ref-1.2.3-0123456789ab", Rule.BRANCHES),
        ("build-0123456789ab-feature", Rule.COMMITS),
        ("day-20260101", Rule.BRANCHES),
        ("main.false", Rule.BRANCHES),
        ("edge", Rule.BRANCHES),
        ("1.2.3", None),
        ("1.2", None),
        ("2", None),
        ("v1.2.3-rc.1", None),
        ("latest", None),
        ("sha-0123456789ab", None),
    ],
)
def test_what_a_tag_reads_like(tag: str, rule: Rule | None) -> None:
    assert names().rule(tag) is rule


def test_an_image_without_such_rules_has_no_such_names() -> None:
    assert names(image="r") == Names(releases=names(image="r").releases)
    assert names(image="r").rule("main") is None


def test_what_live_branches_give() -> None:
    live = names("main", "feature/x").live
    assert live["main"] == "the branch main" and live["edge"]
    assert live["feature-x-" + _digits("feature/x")] == "the branch feature/x"
    assert live[f"build-{HEAD[:12]}-main"] == "the branch main"
    assert live["nightly"] == "the rule type=schedule,pattern=nightly" or live["nightly"].startswith("the ")
    assert "pr-1" not in live


def _digits(branch: str) -> str:
    import hashlib

    return hashlib.sha256(branch.encode()).hexdigest()[:12]


HOSTILE = ["a" * 200, "1.2.3", "v2", "latest", "pr-7", "sha-12", "dsci-x", "ü/ß", "x-0123456789ab", "-.", "$(id)"]


@pytest.mark.parametrize("branch", HOSTILE)
@pytest.mark.parametrize("trigger", [Trigger.BRANCH, Trigger.PULL_REQUEST])
def test_every_name_that_a_run_gives_is_read_back(branch: str, trigger: Trigger) -> None:
    """What was given while the branch lived is told when it is gone, or is somebody else's: never another branch's."""
    event = Event(trigger=trigger, branch=branch, default_branch="main", number="7", now=NOW)
    claims = dict.fromkeys(SHOT.family.groups, ())
    given = [ref for ref in refs_of(SHOT.family, commit=HEAD, when=0, event=event, claims=claims) if ref.image == "ml"]
    assert given
    wanted = {Rule.REQUESTS} if trigger is Trigger.PULL_REQUEST else {Rule.BRANCHES, Rule.COMMITS}
    gone = names("main")
    assert {gone.rule(tag) for ref in given for tag in ref.tags} == wanted
    if trigger is Trigger.BRANCH:
        assert {tag for ref in given for tag in ref.tags} <= names(branch).live.keys()


def test_what_several_commits_say_is_put_together() -> None:
    other = Names(live={"x": "the branch x"}, shapes=((Rule.BRANCHES, "b-.+"), (Rule.REQUESTS, "r-.+")))
    both = names("main") | other
    assert both.live.keys() >= {"x", "main"} and both.rule("r-1") is Rule.REQUESTS
    assert both.shapes[-1][0] is Rule.BRANCHES and both.rule(f"build-{HEAD[:12]}-gone") is Rule.COMMITS


def test_what_may_follow_a_git_tag_is_not_a_branchs() -> None:
    text = "tags: ['type=ref,event=tag', '{branch}', '{pr}']"
    shot = look({**STACK, "dsci.yaml": text})
    image = shot.family.images["ml"]
    found = names_of(shot.family, ["main"], commit=HEAD, default_branch="main", now=NOW)[image.repository]
    assert found.rule("ref-1.2.3-0123456789ab") is None and found.rule("gone") is Rule.BRANCHES
    assert found.rule("7-0123456789ab") is Rule.REQUESTS, "no request is called as a version"


def test_variants_have_their_ends() -> None:
    text = "tags: ['{version}', latest, 'dev-{branch}']\nimages: {ml: {variants: {axes: {device: [cpu, cuda12]}}}}"
    shot = look({**STACK, "dsci.yaml": text})
    repository = next(image.repository for image in shot.family.images.values() if image.name.startswith("ml"))
    assert isinstance(repository, Repository)
    found = names_of(shot.family, ["main"], commit=HEAD, default_branch="main", now=NOW)[repository]
    assert {"dev-main", "dev-main-cuda12"} <= found.live.keys()
    assert found.rule("dev-gone-cuda12") is Rule.BRANCHES and found.rule("latest-cuda12") is None
    assert found.rule("1.2.3-cuda12") is None and found.rule("cuda12") is None
