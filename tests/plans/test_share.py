"""A share of a plan, done elsewhere: on the plan's pins, on what others pushed, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from stories import AMD64, Story

from dsci.errors import AuthError, ConfigError, DsciError
from dsci.model.facts import Facts, Request
from dsci.model.family import TargetId
from dsci.model.oci import Digest, Platform
from dsci.model.plan import Plan
from dsci.model.reference import Reference, Repository
from dsci.pipeline.share import prove_rights, share
from dsci.pipeline.snapshot import Snapshot, Source
from dsci.pipeline.world import World

FILES = {
    "dsci.yaml": "registries: [ghcr.io/acme]\n",
    "images/base/Dockerfile": "# syntax=docker/dockerfile:1\nFROM debian:12\nCOPY x /x\n",
    "images/base/x": "0",
    "images/base/suites/test_base.py": "0",
    "images/mid/Dockerfile": "FROM base\nCOPY x /x\n",
    "images/mid/x": "0",
    "images/leaf/Dockerfile": "FROM mid\nCOPY x /x\n",
    "images/leaf/x": "0",
    "images/lone/Dockerfile": "FROM alpine:3\n",
}


def story() -> Story:
    told = Story()
    told.git.write("feat: begin", FILES)
    return told


def never(reference: Reference, platform: Platform) -> Digest | None:
    raise AssertionError(f"{reference} was resolved, and the plan pins it")


def carried(told: Story, request: Request | None = None) -> Plan:
    """A plan as another machine reads it."""
    return Plan.read(told.plan(request).to_json(), name="plan.json")


def take(
    told: Story, plan: Plan, *only: str, tests: bool = True, platform: Platform = AMD64, **request: Any
) -> tuple[Snapshot, Facts, Plan]:
    world = World(
        source=Source(git=told.git, project="stack", platform=platform),  # type: ignore[arg-type]
        registry=told.registry,  # type: ignore[arg-type]
        resolve=never,
        lenient=False,
    )
    targets = [TargetId.parse(f"{name}@linux/amd64") for name in only]
    return share(world, Request(**request), plan, targets, tests=tests)


def build(told: Story, plan: Plan, *only: str) -> None:
    """What a job does, without its builder and its suites."""
    now, facts, left = take(told, plan, *only, tests=False)
    images = {item.id: Digest.parse(item.digest) for item in left.targets if item.digest}
    for item in left.targets:
        if item.action == "build":
            images[item.id] = told._build(now, facts, item.id, images)


def actions(left: Plan) -> dict[str, str]:
    return {item.image: item.action for item in left.targets}


def test_jobs_go_on_from_what_others_pushed() -> None:
    told = story()
    plan = carried(told)
    told.moved = {"debian:12": 1, "alpine:3": 1, "docker/dockerfile:1": 1}
    _, _, left = take(told, plan, "base")
    assert actions(left) == {"base": "build"} and left.releases == ()
    for number, name in enumerate(("base", "mid", "leaf")):
        _, facts, left = take(told, plan, name)
        assert left.targets[-1].action == "build" and len(left.targets) == number + 1
        assert facts.keys[TargetId.parse(left.targets[-1].id)] == plan.target(TargetId.parse(left.targets[-1].id)).key
        assert {item.action for item in left.targets[:-1]} <= {"reuse"}
        build(told, plan, name)
    _, _, left = take(told, plan, "leaf")
    assert actions(left) == {"base": "reuse", "mid": "reuse", "leaf": "reuse"}
    assert not left.has_work, "a job that is run again has nothing to do"
    # What was there when the plan was made is what `release` finds, though the bases have moved.
    told.moved = {}
    assert {item.action for item in told.plan().targets if item.image != "lone"} == {"retag"}


def test_several_targets_are_done_in_order() -> None:
    told = story()
    _, _, left = take(told, carried(told), "leaf", "base", "mid")
    assert actions(left) == {"base": "build", "mid": "build", "leaf": "build"}


def test_a_parent_that_is_not_there_is_named_with_its_job() -> None:
    told = story()
    plan = carried(told)
    with pytest.raises(DsciError) as refused:
        take(told, plan, "leaf")
    assert refused.value.message == "base@linux/amd64 is needed and not in ghcr.io/acme/base: never built"
    assert "dsci build --only base@linux/amd64" in refused.value.hint
    build(told, plan, "base")
    with pytest.raises(DsciError, match=r"^mid@linux/amd64 is needed and not in ghcr.io/acme/mid: never built"):
        take(told, plan, "leaf")


def test_a_parent_that_is_gone_since_asks_for_another_plan() -> None:
    told = story()
    told.release()
    told.git.write("fix: leaf", {"images/leaf/x": "1"})
    plan = carried(told)
    assert plan.target(TargetId.parse("mid@linux/amd64")).action == "reuse"
    told.tell({"lose": "mid"})
    with pytest.raises(DsciError, match=r"^mid@linux/amd64 is needed") as refused:
        take(told, plan, "leaf")
    assert refused.value.hint.startswith("it was there when the plan was made; make the plan again")


def test_a_parent_that_has_lost_its_layers_is_as_good_as_gone() -> None:
    told = story()
    told.release()
    told.git.write("fix: leaf", {"images/leaf/x": "1"})
    plan = carried(told)
    told.registry.damaged = {"ghcr.io/acme/mid"}
    with pytest.raises(DsciError, match=r"^mid@linux/amd64 is needed .*: its image \S+ has lost 1 of 1 blobs"):
        take(told, plan, "leaf")


def test_a_parent_s_suites_are_its_own_job_s() -> None:
    told = story()
    told.release()
    told.git.write("test: base", {"images/base/suites/test_base.py": "1"})
    plan = carried(told)
    assert actions(plan) == {"base": "test", "mid": "test", "leaf": "test", "lone": "reuse"}
    _, _, left = take(told, plan, "leaf")
    assert actions(left) == {"base": "reuse", "mid": "reuse", "leaf": "test"}
    _, _, left = take(told, plan, "leaf", "base", tests=False)
    assert actions(left) == {"base": "reuse", "mid": "reuse", "leaf": "reuse"} and not left.has_work
    told.release()
    _, _, left = take(told, carried(told), "leaf", rerun=True)
    assert actions(left) == {"base": "reuse", "mid": "reuse", "leaf": "test"}


def test_only_images_of_the_plan_are_asked_for() -> None:
    """A plan of some images carries the pins of those alone."""
    told = story()
    plan = carried(told, Request(select=frozenset({"lone"})))
    assert actions(take(told, plan, "lone")[2]) == {"lone": "build"}
    with pytest.raises(ConfigError, match="the plan has no target base@linux/amd64"):
        take(told, plan, "base")


# ------------------------------------------------------------------------------------------------------ refused


def test_a_plan_of_another_commit() -> None:
    told = story()
    plan = carried(told)
    told.git.write("docs: say more", {"README.md": "x"})
    with pytest.raises(ConfigError, match=f"the plan was made at '{plan.commit[:12]}', and HEAD is ") as refused:
        take(told, plan, "base")
    assert "dsci plan --json" in refused.value.hint


def changed(plan: Plan, name: str, **values: object) -> Plan:
    items = (msgspec.structs.replace(item, **values) if item.image == name else item for item in plan.targets)
    return msgspec.structs.replace(plan, targets=tuple(items))


OTHER = "sha256:" + "1" * 64
SYNTAX = "docker.io/docker/dockerfile:1 linux/amd64"


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"key": "0" * 64}, "generated"),
        ({"key": None}, "generated"),
        ({"key": "0" * 64, "source_key": "0" * 64}, "$BUILDPLATFORM"),
        ({"pins": {"docker.io/library/debian:12 linux/amd64": OTHER, SYNTAX: OTHER}}, "generated"),
        ({"pins": {}}, "generated"),
    ],
)
def test_a_key_that_is_another_one_here(values: dict[str, object], hint: str) -> None:
    """Also that of a parent: what it stands on would be looked for under the wrong name."""
    told = story()
    plan = carried(told)
    planned = plan.target(TargetId.parse("base@linux/amd64"))
    for only in ("base", "leaf"):
        with pytest.raises(ConfigError) as refused:
            take(told, changed(plan, "base", **values), only)
        message = refused.value.message
        assert message.startswith(f"the plan has base@linux/amd64 under the key {values.get('key', planned.key)}, and")
        assert hint in refused.value.hint


def test_a_machine_of_another_kind_that_would_build_something_else() -> None:
    told = Story()
    dockerfile = "FROM --platform=$BUILDPLATFORM golang AS b\nFROM debian\nCOPY --from=b /x /x\n"
    told.git.write("feat: tool", {"images/tool/Dockerfile": dockerfile, "dsci.yaml": "platforms: [linux/amd64]\n"})
    plan = carried(told)
    take(told, plan, "tool")
    with pytest.raises(ConfigError, match="under the key"):
        take(told, plan, "tool", platform=Platform("linux", "arm64"))


def test_a_registry_that_is_another_one_here() -> None:
    told = story()
    plan = changed(carried(told), "base", repository="quay.io/acme/base")
    with pytest.raises(
        ConfigError, match=r"puts base@linux/amd64 into quay.io/acme/base, and here it is ghcr.io/acme/"
    ):
        take(told, plan, "mid")


def test_a_target_that_is_none_here() -> None:
    """One commit, but another machine: without `platforms:` an image is for the machine's own."""
    told = story()
    with pytest.raises(ConfigError, match="there is no such target here"):
        take(told, carried(told), "base", platform=Platform("linux", "arm64"))


def test_what_the_plan_could_not_pin_fails_by_name_when_it_is_built() -> None:
    told = Story()
    told.git.write("feat: begin", {"images/base/Dockerfile": "ARG X\nFROM acme/missing:1\n"})
    plan = carried(told)
    now, facts, left = take(told, plan, "base")
    (target,) = now.family.order
    assert facts.keys[target] is None and actions(left) == {"base": "build"}
    assert facts.unpinned[target].startswith("images/base/Dockerfile:2: the plan pins no digest of acme/missing:1")


# ------------------------------------------------------------------------------------------------------- rights


@dataclass
class Guard:
    """A registry that gives the right to push to these repositories alone."""

    open: Sequence[str]
    asked: list[str] = field(default_factory=list)

    def check_push(self, repository: Repository) -> None:
        self.asked.append(str(repository))
        if str(repository) not in self.open:
            raise AuthError(f"{repository}: no")


def test_rights_are_proven_before_work() -> None:
    told = story()
    build(told, carried(told), "base")
    _, _, left = take(told, carried(told), "base", "mid", "leaf")
    guard = Guard(["ghcr.io/acme/mid", "ghcr.io/acme/leaf"])
    prove_rights(guard, left)  # type: ignore[arg-type]
    assert guard.asked == ["ghcr.io/acme/leaf", "ghcr.io/acme/mid"]
    with pytest.raises(AuthError):
        prove_rights(Guard(["ghcr.io/acme/mid"]), left)  # type: ignore[arg-type]
