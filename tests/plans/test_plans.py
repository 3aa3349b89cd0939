"""Golden plans: each folder tells a repository's story in `case.yaml` and keeps the plan that it leads to.

The plans are reviewed as diffs. DSCI_UPDATE_GOLDEN=1 writes them anew; a plan that changed is a decision that changed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from stories import Story, told

from dsci.model.claims import TagFormat, released
from dsci.model.facts import Request
from dsci.model.plan import Plan

HERE = Path(__file__).parent
CASES = sorted(folder.name for folder in HERE.iterdir() if (folder / "case.yaml").is_file())


def test_there_are_cases() -> None:
    assert len(CASES) >= 6


@pytest.mark.parametrize("case", CASES)
def test_the_plan_is_the_golden_one(case: str) -> None:
    story, asked = told((HERE / case / "case.yaml").read_text())
    content = story.plan(**asked).to_json() + b"\n"
    assert content == story.plan(**asked).to_json() + b"\n", "two plans of one repository differ"
    assert Plan.from_json(content).to_json() + b"\n" == content
    golden = HERE / case / "plan.json"
    if os.environ.get("DSCI_UPDATE_GOLDEN"):
        golden.write_bytes(content)
    assert content.decode() == golden.read_text()


# ------------------------------------------------------------------------------------------- any story at all

FILES = {
    "images/base/Dockerfile": "FROM debian:12\nCOPY x /x\n",
    "images/base/x": "0",
    "images/mid/Dockerfile": "FROM base\nCOPY x /x\n",
    "images/mid/x": "0",
    "images/mid/suites/test_mid.py": "0",
    "images/leaf/Dockerfile": "FROM mid\nCOPY x /x\n",
    "images/leaf/x": "0",
    "images/lone/Dockerfile": "FROM alpine:3\nCOPY x /x\n",
    "images/lone/x": "0",
}
GROUPS = ("base", "leaf", "lone", "mid")
_images = st.sampled_from(GROUPS)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), _images, st.sampled_from(["fix: a", "feat: a", "feat!: a", "docs: a", "wip"])),
        st.tuples(st.just("edit"), _images, st.sampled_from(["feat: a [skip release]", "fix: a\n\nRelease-As: 7.0.0"])),
        st.tuples(st.just("undo"), _images, st.just("revert: a")),
        st.tuples(st.just("suite"), st.just("mid"), st.just("test: a")),
        st.tuples(st.just("nothing"), st.just(""), st.just("feat!: everything")),
        st.tuples(st.just("move"), st.sampled_from(["debian:12", "alpine:3"]), st.just("")),
        st.tuples(st.sampled_from(["release", "release", "cut"]), st.just(""), st.just("")),
    ),
    max_size=9,
)


def _tell(story: Story, what: str, where: str, message: str, number: int) -> None:
    path = f"images/{where}/x"
    match what:
        case "edit":
            story.git.write(message, {path: str(number)})
        case "undo":
            story.git.write(message, {path: "0"})
        case "suite":
            story.git.write(message, {"images/mid/suites/test_mid.py": str(number)})
        case "nothing":
            story.git.write(message, {"README.md": str(number)})
        case "move":
            story.tell({"move": where})


@given(_steps, st.sampled_from(["patch", "same", "none"]))
@hypothesis(max_examples=40, deadline=None)
def test_every_story_ends_in_peace(steps: list[tuple[str, str, str]], propagate: str) -> None:
    """Versions only grow, nothing immutable is rewritten, and what was released needs no second run."""
    story = Story()
    story.git.write("feat: begin", {**FILES, "dsci.yaml": f"versioning: {{propagate: {propagate}}}"})
    form = TagFormat("{image}-v{version}", GROUPS)
    newest: dict[str, object] = {}
    for number, (what, where, message) in enumerate([*steps, ("release", "", "")], start=1):
        if what not in ("release", "cut"):
            _tell(story, what, where, message, number)
            continue
        plan = story.release(cut=what == "cut")
        for item in plan.releases:
            named = form.read(item.git_tag)
            assert named is not None and named.group == item.image
            if not item.claimed:
                assert item.image not in newest or named.version > newest[item.image]
                newest[item.image] = named.version
        if what == "cut":
            continue
        again = story.plan()
        assert not again.has_work
        assert {item.action for item in again.targets} == {"reuse"}
        for group in GROUPS:
            if group in newest:
                names = {
                    tag: story.registry.names[f"dsci.local/stack/{group}:{tag}"]
                    for tag in ("latest", str(newest[group]))
                }
                assert len({descriptor.digest for descriptor, _ in names.values()}) == 1


def test_a_version_and_a_key_do_not_depend_on_who_asks() -> None:
    """Someone with an empty registry decides the same versions; keys know no commit."""
    story = Story()
    story.git.write("feat: begin", FILES)
    before = {item.id: (item.key, item.source_key) for item in story.release().targets}
    story.git.write("docs: nothing", {"README.md": "x"})
    assert {item.id: (item.key, item.source_key) for item in story.plan().targets} == before
    story.git.write("fix: leaf", {"images/leaf/x": "1"})
    here = story.plan()
    story.registry.names.clear()
    there = story.plan()
    new = {item.image: item.version for item in here.releases}
    assert new == {item.image: item.version for item in there.releases if not item.claimed} == {"leaf": "0.1.1"}
    assert story.plan(Request(), offline=True).releases[0].version == "0.1.1"


# ------------------------------------------------------------------------------------------ any story of variants

VARIED = {
    "images/mid/Dockerfile": "FROM debian:12\nARG A B\nRUN $A $B\nCOPY x /x\n",
    "images/mid/x": "0",
    "images/leaf/Dockerfile": "FROM mid\nARG A\nRUN $A\nCOPY x /x\n",
    "images/leaf/x": "0",
    "images/tool/Dockerfile": "FROM mid\nCOPY x /x\n",
    "images/tool/x": "0",
}
_a = st.permutations(["one", "two", "three"]).flatmap(lambda each: st.integers(1, 3).map(lambda n: each[:n]))
_changes = st.one_of(
    st.tuples(st.just("variants"), _a, st.sampled_from([["x"], ["x", "y"], ["y", "x"]])),
    st.tuples(st.just("edit"), st.sampled_from(["mid", "leaf", "tool"]), st.sampled_from(["fix: a", "feat: a"])),
    st.tuples(st.sampled_from(["release", "cut"]), st.none(), st.none()),
)


def _with_variants(a: list[str], b: list[str]) -> str:
    """leaf comes for each A that mid has: for all of its B, or the default one."""
    mid, leaf = f"axes: {{a: {a}, b: {b}}}".replace("'", ""), f"axes: {{a: {a}}}".replace("'", "")
    return f"images: {{mid: {{variants: {{{mid}}}}}, leaf: {{variants: {{{leaf}}}}}}}"


@given(_a, st.lists(_changes, max_size=8))
@hypothesis(max_examples=40, deadline=None)
def test_every_story_of_variants_ends_in_peace(a: list[str], steps: list[tuple[str, Any, Any]]) -> None:
    """Variants come, go and take turns as the default: every tag is its own variant's, and nothing is done twice."""
    story = Story()
    story.git.write("feat: begin", {**VARIED, "dsci.yaml": _with_variants(a, ["x", "y"])})
    form = TagFormat("{image}-v{version}", ("leaf", "mid", "tool"))
    for number, (what, one, other) in enumerate([*steps, ("release", None, None)], start=1):
        match what:
            case "variants":
                story.git.write("feat: variants", {"dsci.yaml": _with_variants(one, other)})
            case "edit":
                story.git.write(other, {f"images/{one}/x": str(number)})
            case _:
                story.release(cut=what == "cut")
    assert not story.plan().has_work
    now, facts = story.observe()
    for group, claims in released(story.git.tags(), form, form.groups).items():
        for member in now.family.groups[group]:
            found = next(claim for claim in claims if member.name in claim.digests)
            for tag in ("latest", str(found.version)):
                name = member.repository.tag(f"{tag}{member.suffix}")
                assert story.registry.names[str(name)][0].digest == found.digests[member.name]
    assert {target: facts.found[target].image is not None for target in now.family.nodes} == dict.fromkeys(
        now.family.nodes, True
    )
