"""A plan's work as waves of jobs: everything once, nothing before what it needs, and never more than is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.errors import ConfigError
from dsci.model import matrix
from dsci.model.matrix import MOST_CHARACTERS, MOST_JOBS, Job, Waves, waves_of
from dsci.model.plan import Plan, PlannedTarget


def item(name: str, *needs: str, action: str = "build", platform: str = "linux/amd64") -> PlannedTarget:
    return PlannedTarget(
        id=f"{name}@{platform}",
        image=name,
        platform=platform,
        key=None,
        source_key="",
        action=action,
        reason="",
        parent=None,
        needs=tuple(need if "@" in need else f"{need}@{platform}" for need in needs),
        wave=0,
    )


def plan(*items: PlannedTarget) -> Plan:
    return Plan(commit="", when=0, targets=items, releases=())


def shape(waves: Waves) -> list[list[str]]:
    """Each wave's jobs by the images they do."""
    return [[" ".join(target.partition("@")[0] for target in job.only) for job in wave] for wave in waves]


def jobs(waves: Waves) -> list[Job]:
    return [job for wave in waves for job in wave]


def many(count: int, *needs: str, prefix: str = "i", **more: str) -> Iterable[PlannedTarget]:
    return (item(f"{prefix}{number}", *needs, **more) for number in range(count))


STACK = plan(
    item("base"),
    item("python", "base"),
    item("r", "base"),
    item("ml", "python", "base", action="test"),
    item("docs", action="retag"),
    item("old", action="reuse"),
)


def test_one_job_for_each_target_with_work() -> None:
    waves = waves_of(STACK)
    assert shape(waves) == [["base"], ["python", "r"], ["ml"]]
    assert waves[2][0] == Job(
        id="ml@linux/amd64",
        only=("ml@linux/amd64",),
        image="ml",
        platform="linux/amd64",
        os="linux",
        arch="amd64",
        action="test",
        name="ml-linux-amd64",
        needs=("python-linux-amd64", "base-linux-amd64"),
    )


def test_variants_have_jobs_of_their_own_whose_names_are_no_other_images() -> None:
    waves = waves_of(plan(item("ml"), item("ml:cuda12"), item("ml-cuda12"), item("app", "ml:cuda12")))
    assert shape(waves) == [["ml", "ml:cuda12", "ml-cuda12"], ["app"]]
    assert [job.name for job in waves[0]] == ["ml-linux-amd64", "ml-cuda12-linux-amd64", "ml-cuda12-linux-amd64-2"]
    assert waves[0][1].image == "ml:cuda12" and waves[1][0].needs == ("ml-cuda12-linux-amd64",)


def test_what_stands_on_what_is_there_is_in_the_first_wave() -> None:
    work = plan(item("base", action="reuse"), item("python", "base"), item("ml", "python"), item("r", "elsewhere"))
    assert shape(waves_of(work)) == [["python", "r"], ["ml"]]


def test_no_work_is_no_wave() -> None:
    assert waves_of(plan(item("base", action="reuse"), item("ml", "base", action="retag"))) == waves_of(plan()) == ()


def test_platforms_are_jobs_of_their_own() -> None:
    both = [item("base", platform=platform) for platform in ("linux/amd64", "linux/arm/v7")]
    (wave,) = waves_of(plan(*both))
    assert [(job.name, job.os, job.arch) for job in wave] == [
        ("base-linux-amd64", "linux", "amd64"),
        ("base-linux-arm-v7", "linux", "arm"),
    ]


def test_names_are_unique_and_safe() -> None:
    names = ["a.b", "a-b", "a_b", "3d", "x" * 200, "x" * 201]
    found = [job.name for job in jobs(waves_of(plan(*map(item, names))))]
    assert found[:4] == ["a-b-linux-amd64", "a-b-linux-amd64-2", "a-b-linux-amd64-3", "_3d-linux-amd64"]
    assert len(set(found)) == 6 and all(re.fullmatch("[a-zA-Z_][a-zA-Z0-9_-]{0,99}", name) for name in found)


# ------------------------------------------------------------------------------------------------------ folding


def test_a_wave_has_no_more_jobs_than_a_matrix_may_have() -> None:
    arm = many(100, "base", platform="linux/arm64")
    work = plan(item("base"), item("base", platform="linux/arm64"), *many(300, "base", prefix="j"), *arm)
    first, second = waves_of(work)
    assert len(first) == 2 and len(second) == 200
    assert {len(job.only) for job in second} == {2}, "evenly"
    assert all({target.partition("@")[2] for target in job.only} == {job.platform} for job in second)
    assert (second[0].id, second[0].image, second[0].name) == (
        "j0@linux/amd64 and 1 more",
        "j0 and 1 more",
        "j0-linux-amd64-and-1-more",
    )
    assert {job.needs for job in second} == {("base-linux-amd64",), ("base-linux-arm64",)}


def test_every_platform_keeps_a_job() -> None:
    """600 and 1 do not part evenly: targets of two platforms are never one job."""
    (wave,) = waves_of(plan(*many(600), item("alone", platform="linux/arm64")))
    assert len(wave) <= MOST_JOBS
    assert [job.only for job in wave if job.arch == "arm64"] == [("alone@linux/arm64",)]


def test_the_dearer_action_is_the_job_s() -> None:
    items = (item(f"i{number}", action="build" if number == 1 else "test") for number in range(512))
    (wave,) = waves_of(plan(*items))
    assert [job.action for job in wave[:2]] == ["build", "test"]


def test_deeper_waves_than_allowed_become_lineages() -> None:
    work = plan(item("a"), item("b", "a"), item("c", "b"), item("x", "a"), item("y", "x"), item("d", "c"), item("z"))
    assert shape(waves_of(work, most_waves=4)) == [["a", "z"], ["b", "x"], ["c", "y"], ["d"]]
    assert shape(waves_of(work, most_waves=3)) == [["a", "z"], ["b", "x"], ["c d", "y"]]
    assert shape(waves_of(work, most_waves=2)) == [["a", "z"], ["b c d", "x y"]]
    assert shape(waves_of(work, most_waves=1)) == [["a b c x y d", "z"]]
    two = waves_of(work, most_waves=2)[1][0]
    assert (two.needs, two.action) == (("a-linux-amd64",), "build")


def test_lineages_that_meet_are_one() -> None:
    work = plan(item("a"), item("b"), item("c"), item("d", "c"), item("e", "b", "d", "a"), item("f"))
    assert shape(waves_of(work, most_waves=1)) == [["a b c d e", "f"]]


def test_a_lineage_across_platforms_is_one_job_on_the_platform_of_most() -> None:
    arm = {"platform": "linux/arm64"}
    work = plan(item("tool"), item("base", **arm), item("ml", "tool@linux/amd64", "base", **arm))
    (job,) = jobs(waves_of(work, most_waves=1))
    assert job.platform == "linux/arm64"
    assert job.only == ("tool@linux/amd64", "base@linux/arm64", "ml@linux/arm64")
    assert job.image == "tool and 2 more"


def test_one_image_on_two_platforms_in_one_job_is_one_image() -> None:
    work = plan(item("ml"), item("ml", "ml@linux/amd64", platform="linux/arm64"))
    (job,) = jobs(waves_of(work, most_waves=1))
    assert (job.image, job.id) == ("ml", "ml@linux/amd64 and 1 more")


def test_too_many_needs_are_folded_away() -> None:
    work = plan(*many(80), item("all", *(f"i{number}" for number in range(80))))
    assert len(waves_of(work)[1][0].needs) == 80
    folded = waves_of(work, most_needs=50)
    assert len(folded[1][0].needs) <= 50 and len(folded) == 2


def test_needs_that_no_wave_could_keep_apart_are_one_job() -> None:
    platforms = [f"linux/p{number}" for number in range(60)]
    work = plan(
        *(item("base", platform=platform) for platform in platforms),
        item("all", *(f"base@{platform}" for platform in platforms)),
    )
    assert [len(wave) for wave in waves_of(work, most_needs=50)] == [1]


def test_the_text_of_all_waves_is_bounded() -> None:
    """Jobs are folded until what is said of them is short enough."""
    waves = waves_of(plan(*(item(f"{'long-' * 30}{number}") for number in range(1200))))
    assert len(msgspec.json.encode(waves)) <= MOST_CHARACTERS
    deep = [item("w0")] + [item(f"w{number}", f"w{number - 1}") for number in range(1, 20)]
    wide = [item(f"{'x' * 100}{number}", f"w{number % 20}") for number in range(2500)]
    waves = waves_of(plan(*deep, *wide))
    assert len(msgspec.json.encode(waves)) <= MOST_CHARACTERS
    assert sorted(target for job in jobs(waves) for target in job.only) == sorted(each.id for each in (*deep, *wide))


@pytest.mark.parametrize(
    "items",
    [
        [item(f"{'x' * 240}{number}") for number in range(2500)],
        [item("base", platform=f"linux/p{number}") for number in range(300)],
    ],
)
def test_a_plan_that_no_folding_makes_small_enough(items: Sequence[PlannedTarget]) -> None:
    with pytest.raises(ConfigError, match="targets have work") as refused:
        waves_of(plan(*items))
    assert "dsci plan IMAGE" in refused.value.hint


# ------------------------------------------------------------------------------------------------------ foreign


@pytest.mark.parametrize(
    "items",
    [
        [item("a", "b"), item("b", "a")],
        [item("a", "a")],
        [item("a"), item("a")],
        [item("b", "a"), item("a")],
        [item("a'; rm -rf $HOME; '")],
        [item("${{ secrets.TOKEN }}")],
        [item("a\nb")],
        [item("a", platform="linux")],
        [item("a", platform="linux/amd64\n")],
        [msgspec.structs.replace(item("a"), image="b")],
    ],
)
def test_what_no_dsci_plans_is_refused(items: Sequence[PlannedTarget]) -> None:
    with pytest.raises(ConfigError, match="the plan has"):
        waves_of(plan(*items))


# ------------------------------------------------------------------------------------------------------ any plan


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    platforms = ["linux/amd64", "linux/arm64"]
    items: list[PlannedTarget] = []
    for number in range(draw(st.integers(0, 40))):
        earlier = [each.id for each in items]
        needs = draw(st.lists(st.sampled_from(earlier), max_size=3, unique=True)) if earlier else []
        action = draw(st.sampled_from(["build", "build", "test", "retag", "reuse"]))
        items.append(item(f"i{number}", *needs, action=action, platform=draw(st.sampled_from(platforms))))
    return plan(*items)


@hypothesis(max_examples=examples(400))
@given(
    work=plans(),
    most_waves=st.none() | st.integers(1, 5),
    most_needs=st.none() | st.integers(0, 3),
    most_jobs=st.integers(2, 12),
    most_characters=st.just(MOST_CHARACTERS) | st.integers(6_000, 9_000),
)
def test_nothing_is_lost_or_doubled_or_before_what_it_needs(
    work: Plan, most_waves: int | None, most_needs: int | None, most_jobs: int, most_characters: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix, "MOST_JOBS", most_jobs)
        patch.setattr(matrix, "MOST_CHARACTERS", most_characters)
        waves = waves_of(work, most_waves=most_waves, most_needs=most_needs)
    wanted = {each.id: each for each in work.targets if each.action in ("build", "test")}
    done: list[str] = []
    names: dict[str, set[str]] = {}
    for wave in waves:
        assert 0 < len(wave) <= most_jobs
        here: list[str] = []
        for job in wave:
            behind = {target for name in job.needs for target in names[name]}
            for number, target in enumerate(job.only):
                needs = wanted.keys() & set(wanted[target].needs)
                assert needs <= behind | set(job.only[:number])
                assert needs <= set(done) | set(job.only[:number])
            here += job.only
            assert most_needs is None or len(job.needs) <= most_needs
        names |= {job.name: set(job.only) for job in wave}
        done += here
    assert sorted(done) == sorted(wanted)
    assert len(names) == len(jobs(waves))
    assert most_waves is None or len(waves) <= most_waves
    assert len(msgspec.json.encode(waves)) <= most_characters
    assert all(
        job.action == max((wanted[target].action for target in job.only), key=["test", "build"].index)
        for job in jobs(waves)
    )
