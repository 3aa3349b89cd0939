"""`variants:`: which members an image has, what they are called, and which of them others stand on (rule 7)."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from builders import AMD64, ARM64, Shot, look, released, target
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from msgspec.structs import replace
from sampling import examples

from dsci.errors import ConfigError, ConflictError
from dsci.model import config, members, variants
from dsci.model.claims import Tag, TagFormat, claim_trailers
from dsci.model.claims import released as read_claims
from dsci.model.family import TargetId
from dsci.model.location import Location
from dsci.model.oci import Digest
from dsci.model.reference import Reference
from dsci.model.releases import left_behind, release_tags
from dsci.model.tagname import suffixed
from dsci.model.variants import OverrideSettings, Variant, VariantSettings

AXES: dict[str, tuple[str, ...]] = {"python": ("3.11", "3.12"), "accelerator": ("cpu", "cuda12")}
NOWHERE = Location("dsci.yaml", {})


def expand(**given: Any) -> tuple[Variant, ...]:
    return variants.expand(VariantSettings(**{"axes": AXES, **given}), NOWHERE, ("images", "ml", "variants"))


def suffixes(**given: Any) -> list[str]:
    return [each.suffix for each in expand(**given)]


# ------------------------------------------------------------------------------------------------------- members


def test_every_combination_is_a_variant_the_default_first() -> None:
    found = expand()
    assert [(dict(each.values), each.suffix, each.names) for each in found] == [
        ({"python": "3.11", "accelerator": "cpu"}, "", ("", "-cpu", "-python3.11", "-python3.11-cpu")),
        ({"python": "3.11", "accelerator": "cuda12"}, "-cuda12", ("-cuda12", "-python3.11-cuda12")),
        ({"python": "3.12", "accelerator": "cpu"}, "-python3.12", ("-python3.12", "-python3.12-cpu")),
        ({"python": "3.12", "accelerator": "cuda12"}, "-python3.12-cuda12", ("-python3.12-cuda12",)),
    ]
    assert found[1].args == {"PYTHON": "3.11", "ACCELERATOR": "cuda12"}


def test_the_default_is_the_first_values_or_those_that_are_named() -> None:
    assert suffixes(default={"python": "3.12"}) == ["", "-python3.11", "-python3.11-cuda12", "-cuda12"]
    assert expand(default={"python": "3.12", "accelerator": "cuda12"})[0].values == {
        "python": "3.12",
        "accelerator": "cuda12",
    }


def test_what_is_excluded_is_not_made() -> None:
    assert suffixes(exclude=({"python": "3.12", "accelerator": "cuda12"},)) == ["", "-cuda12", "-python3.12"]
    assert suffixes(exclude=({"python": "3.12"},)) == ["", "-cuda12"]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("-py{python}-{accelerator}", ["", "-cuda12", "-py3.12", "-py3.12-cuda12"]),
        ("{accelerator}.{python}", ["", "-cuda12", "-3.12", "-cuda12.3.12"]),
        ("-{accelerator}-py{python}x", ["", "-cuda12", "-py3.12x", "-cuda12-py3.12x"]),
    ],
)
def test_a_template_says_how_tags_end_and_defaults_leave_no_gap(template: str, expected: list[str]) -> None:
    assert suffixes(suffix=template) == expected


def test_values_become_legal_in_tags_and_stay_as_they_are_in_arguments() -> None:
    (_, other) = expand(axes={"base_image": ("a", "Nvidia/CUDA:12.4")})
    assert other.suffix == "-nvidia-cuda-12.4" and other.args == {"BASE_IMAGE": "Nvidia/CUDA:12.4"}
    assert suffixes(axes={"base_image": ("a", "12")}) == ["", "-base-image12"]


def test_a_name_that_could_be_two_variants_is_no_ones_but_a_suffix_is() -> None:
    found = expand(axes={"a": ("p", "q"), "b": ("q", "p"), "c": ("z",)})
    named = {tuple(each.values.values())[:2]: each.names for each in found}
    assert named["p", "q"] == ("", "-z", "-p-q", "-p-q-z"), "not -p and not -q, which are others' suffixes"
    assert named["p", "p"][0] == "-p" and named["q", "q"][0] == "-q"


def test_arguments_are_made_of_values() -> None:
    found = expand(
        args={"PYTHON_VERSION": "{python}", "LABEL": "{accelerator} on {python}", "JSON": '{"a": {}}'},
        overrides=(
            OverrideSettings(when={"accelerator": "cuda12"}, args={"BASE": "nvidia/{accelerator}", "LABEL": "gpu"}),
        ),
    )
    assert found[0].args == {
        "PYTHON": "3.11",
        "ACCELERATOR": "cpu",
        "PYTHON_VERSION": "3.11",
        "LABEL": "cpu on 3.11",
        "JSON": '{"a": {}}',
    }
    assert (found[1].args["BASE"], found[1].args["LABEL"]) == ("nvidia/cuda12", "gpu")


def test_of_two_overrides_the_later_one_counts() -> None:
    found = expand(
        overrides=(
            OverrideSettings(
                when={"accelerator": "cuda12"},
                dockerfile="gpu.Dockerfile",
                target="gpu",
                platforms=("linux/amd64",),
                suites=("tests/gpu",),
            ),
            OverrideSettings(
                when={"accelerator": "cuda12", "python": "3.12"}, target="new", suites=("tests/new",), suffix="-next"
            ),
        )
    )
    assert (found[0].dockerfile, found[0].stage, found[0].platforms, found[0].suites) == (None, None, None, ())
    assert (found[1].dockerfile, found[1].stage, found[1].platforms) == ("gpu.Dockerfile", "gpu", ("linux/amd64",))
    assert (found[3].dockerfile, found[3].stage, found[3].suffix) == ("gpu.Dockerfile", "new", "-next")
    assert found[3].names == ("-next", "-python3.12-cuda12") and found[3].suites == ("tests/gpu", "tests/new")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"axes": {}}, "names no axes"),
        ({"axes": {"Python": ("3",)}}, "axes.Python: 'Python' cannot name an axis"),
        ({"axes": {"python": ()}}, "python has no values"),
        ({"axes": {"python": ("3", "4", "3")}}, "python has '3' twice"),
        ({"axes": {name: tuple("abcdef") for name in ("a", "b", "c", "d")}}, "these are 1296 variants, and 256"),
        ({"axes": {"os": ("a", "é")}}, "nothing of 'é' is legal"),
        ({"default": {"pyton": "3.11"}}, r"there is no axis 'pyton' \(did you mean 'python'\?\)"),
        ({"default": {"python": "3.10"}}, "default.python: python has no value '3.10': it has 3.11, 3.12"),
        ({"exclude": ({"gpu": "x"},)}, "exclude.0.gpu: there is no axis 'gpu'"),
        ({"exclude": ({},)}, "exclude.0: names no value"),
        ({"exclude": ({"python": "3.11"},)}, "exclude.0: this is the default variant"),
        ({"suffix": "-{python}"}, "must have each of {python}, {accelerator} once"),
        ({"suffix": "-{python}-{accelerator}-{python}"}, "must have each of"),
        ({"suffix": "-{python}-{gpu}"}, "must have each of"),
        ({"suffix": "-PY{python}-{accelerator}"}, "'-PY3.11-cpu' cannot be the suffix of python 3.11, accelerator cpu"),
        ({"suffix": "-{python}-{accelerator}" + "x" * 60}, "cannot be the suffix"),
        ({"axes": {"r": ("x", "20260101")}}, "'-r20260101' cannot be the suffix"),
        ({"axes": {"os": ("a", "B", "b")}}, "os B and os b would both be called '-b'"),
        ({"axes": {"a": ("x", "x-y"), "b": ("y", "z")}}, "would both be called '-x-y'"),
        ({"args": {"A": "{pyton}"}}, r"args.A: there is no axis 'pyton' \(did you mean 'python'\?\)"),
        ({"overrides": (OverrideSettings(),)}, "overrides.0: names no value of an axis"),
        ({"overrides": (OverrideSettings(when={"python": "4"}),)}, "overrides.0.when.python: python has no value '4'"),
        (
            {"overrides": (OverrideSettings(when={"python": "3.11"}, suffix="-old"),)},
            "overrides.0.suffix: the default variant has the tags without a suffix",
        ),
        (
            {"overrides": (OverrideSettings(when={"python": "3.12"}, suffix="-new"),)},
            "python 3.12, accelerator cpu and python 3.12, accelerator cuda12 would both be called '-new'",
        ),
        ({"overrides": (OverrideSettings(when={"python": "3.12"}, args={"A": "{x}"}),)}, "overrides.0.args.A: there"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        expand(**given)
    assert caught.value.message.startswith("dsci.yaml: images.ml.variants")


def test_a_complaint_has_the_line() -> None:
    text = "images:\n  ml:\n    variants:\n      axes: {gpu: [no, yes]}\n      default:\n        gpu: maybe\n"
    with pytest.raises(ConfigError, match=r"^dsci.yaml:6: images.ml.variants.default.gpu: gpu has no value 'maybe'"):
        config.parse(text)
    text = "images:\n  ml:\n    variants:\n      axes: {gpu: [no, yes]}\n      overrides:\n"
    text += "        - when: {gpu: yes}\n          platforms: [amd64]\n"
    with pytest.raises(ConfigError, match=r"^dsci.yaml:7: images.ml.variants.overrides.0.platforms: 'amd64' is not"):
        config.parse(text)


_words = st.text(st.sampled_from("abAB12.-_/é"), min_size=1, max_size=4)
_axes = st.dictionaries(
    st.sampled_from(["a", "b", "os_name"]), st.lists(_words, min_size=1, max_size=3, unique=True).map(tuple), min_size=1
)


@given(_axes, st.data())
@hypothesis(max_examples=examples(200))
def test_names_are_legal_and_nobody_elses(axes: dict[str, tuple[str, ...]], data: st.DataObject) -> None:
    default = {axis: data.draw(st.sampled_from(values)) for axis, values in axes.items()}
    settings = VariantSettings(axes=axes, default=default)
    try:
        found = variants.expand(settings, NOWHERE, ("images", "ml", "variants"))
    except ConfigError:
        return  # Values that read alike in a tag, or that leave nothing legal.
    assert found == variants.expand(settings, NOWHERE, ("images", "ml", "variants"))
    assert found[0].suffix == "" and found[0].values == default
    names = [name for each in found for name in each.names]
    assert len(names) == len(set(names))
    assert {tuple(each.values.values()) for each in found} == set(product(*axes.values()))
    for each in found:
        Reference.parse(f"ghcr.io/acme/ml:1.2.0{each.suffix}")
        assert TargetId.parse(f"ml:{each.suffix[1:]}@linux/amd64").image == f"ml:{each.suffix[1:]}"


@given(st.text(st.sampled_from("ab.-"), min_size=1, max_size=128), st.sampled_from(["", "-cuda12", "-" + "x" * 63]))
def test_a_tag_with_a_suffix_is_never_too_long_and_ends_in_it(name: str, suffix: str) -> None:
    tag = suffixed(name, suffix)
    assert len(tag) <= 128 and tag.endswith(suffix)
    assert (tag == name + suffix) == (len(name) + len(suffix) <= 128)


def test_long_tags_that_begin_alike_stay_different() -> None:
    one, two = (suffixed("a" * 120 + end, "-cuda12-and-more") for end in "xy")
    assert one != two and len(one) == len(two) == 128


# ------------------------------------------------------------------------------------------------------- images

ML = """\
registries: [ghcr.io/acme]
images:
  ml:
    previous_names: [model]
    variants:
      axes: {python: ["3.12", "3.11"], accelerator: [cpu, cuda12]}
      exclude: [{python: "3.11", accelerator: cuda12}]
"""
FILES = {
    "dsci.yaml": ML,
    "images/ml/Dockerfile": "FROM debian:12\nARG PYTHON ACCELERATOR\nRUN install $PYTHON $ACCELERATOR\n",
    "images/ml/suites/structure.yaml": "schemaVersion: 2.0.0\n",
}


def shot(app: str = "", yaml: str = "", **more: str) -> Shot:
    """The family of ml, and an app with this Dockerfile and these settings."""
    files = {f"images/{name}/Dockerfile": text for name, text in more.items()}
    files |= {"images/app/Dockerfile": app} if app else {}
    return look({**FILES, **files, "dsci.yaml": ML + yaml})


def stands_on(built: Shot, name: str) -> list[str]:
    return [str(need) for need in built.family.nodes[target(name)].needs]


def test_variants_are_images_that_share_a_repository_and_a_version() -> None:
    family = shot().family
    assert list(family.images) == ["ml", "ml:cuda12", "ml:python3.11"], "the default first, then as written"
    cuda = family.images["ml:cuda12"]
    assert (cuda.group, cuda.declared, cuda.suffix) == ("ml", "ml", "-cuda12")
    assert str(cuda.repository) == "ghcr.io/acme/ml" and cuda.previous_names == ("model:cuda12",)
    assert [member.name for member in family.groups["ml"]] == ["ml", "ml:cuda12", "ml:python3.11"]
    # The suites are the image's, whichever variant runs them.
    assert {suite.name for image in family.images.values() for suite in image.suites} == {"ml/structure"}
    assert stands_on(shot(), "ml:cuda12") == []


def test_a_name_means_all_variants_or_one() -> None:
    family = shot(app="FROM ml\n").family
    assert family.named("ml") == {"ml", "ml:cuda12", "ml:python3.11"}
    assert family.named("ml:cuda12") == family.named("ml:python3.12-cuda12") == {"ml:cuda12"}
    assert family.named("ml:python3.12-cpu") == {"ml"} and family.named("app") == {"app"}
    assert family.named("ml:") == family.named("ml:x") == family.named("x") == family.named("app:x") == frozenset()


def test_a_variant_may_have_a_dockerfile_a_stage_platforms_and_suites_of_its_own() -> None:
    yaml = """\
images:
  ml:
    platforms: [linux/amd64, linux/arm64]
    args: {EXTRA: all, GPU: mine}
    variants:
      axes: {gpu: ["no", "yes"]}
      overrides:
        - when: {gpu: "yes"}
          dockerfile: images/ml/gpu.Dockerfile
          target: gpu
          platforms: [linux/amd64]
          suites: [tests/gpu]
"""
    files = {
        "dsci.yaml": yaml,
        "images/ml/Dockerfile": "FROM debian:12\n",
        "images/ml/gpu.Dockerfile": "FROM debian:12 AS gpu\nFROM gpu\n",
        "tests/gpu/test_gpu.py": "def test_gpu(): ...\n",
    }
    family = look(files).family
    plain, gpu = family.images["ml"], family.images["ml:yes"]
    assert (plain.dockerfile, plain.stage, plain.platforms) == ("images/ml/Dockerfile", None, (AMD64, ARM64))
    assert (gpu.dockerfile, gpu.stage, gpu.platforms) == ("images/ml/gpu.Dockerfile", "gpu", (AMD64,))
    assert plain.args == {"EXTRA": "all", "GPU": "no"}, "an axis is what its argument says"
    assert [suite.name for suite in gpu.suites] == ["ml/pytest"] and plain.suites == ()
    with pytest.raises(ConfigError, match=r"^dsci.yaml:7: images.ml.variants.overrides: no tests at 'tests/gpu'"):
        look({path: text for path, text in files.items() if not path.startswith("tests")})


def test_two_variants_that_are_one_image_are_refused() -> None:
    built = look({**FILES, "images/ml/Dockerfile": "FROM debian:12\nARG PYTHON\nRUN install $PYTHON\n"})
    with pytest.raises(
        ConfigError, match="ml and ml:cuda12 are built alike: nothing in it depends on ACCELERATOR"
    ) as e:
        members.check_distinct(built.family, built.sources.full)
    assert "declare `ARG ACCELERATOR`" in e.value.hint
    for files in (FILES, {**FILES, "images/ml/Dockerfile": "FROM debian:12\nNONSENSE\n"}):
        fine = look(files)
        members.check_distinct(fine.family, fine.sources.full)


# ------------------------------------------------------------------------------------------------------- edges

BOTH = '  app:\n    variants: {axes: {accelerator: [cuda12, cpu], flavour: [plain, "full"]}}\n'


def test_a_child_stands_on_the_variant_like_it() -> None:
    built = shot("FROM ml\nARG ACCELERATOR FLAVOUR\n", BOTH)
    assert stands_on(built, "app") == stands_on(built, "app:full") == ["ml:cuda12@linux/amd64"]
    assert stands_on(built, "app:cpu") == stands_on(built, "app:cpu-full") == ["ml@linux/amd64"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ml", "ml"),
        ("ml:latest", "ml"),
        ("ml:cuda12", "ml:cuda12"),
        ("ml:latest-cuda12", "ml:cuda12"),
        ("ml:python3.12-cuda12", "ml:cuda12"),
        ("ml:python3.12-cpu", "ml"),
        ("ml:cpu", "ml"),
        ("ml:latest-cpu", "ml"),
        ("ghcr.io/acme/ml", "ml"),
        ("ghcr.io/acme/ml:1.4", "ml"),
        ("ghcr.io/acme/ml:1.4-cuda12", "ml:cuda12"),
        ("ghcr.io/acme/ml:python3.11", "ml:python3.11"),
    ],
)
def test_a_tag_names_a_variant(name: str, expected: str) -> None:
    built = shot(f"FROM {name}\n")
    assert stands_on(built, "app") == [f"{expected}@linux/amd64"]
    assert built.family.nodes[target("app")].siblings == {name: target(expected)}
    assert built.family.warnings == ()


def test_a_tag_that_names_a_variant_counts_more_than_axes() -> None:
    built = shot(
        "ARG ACCELERATOR\nFROM ml:python3.11 AS old\nFROM ml\nARG ACCELERATOR FLAVOUR\nCOPY --from=old / /\n", BOTH
    )
    assert stands_on(built, "app") == ["ml:cuda12@linux/amd64", "ml:python3.11@linux/amd64"]
    built = shot("ARG ACCELERATOR\nFROM ghcr.io/acme/ml:python3.12-$ACCELERATOR\nARG FLAVOUR\n", BOTH)
    assert stands_on(built, "app") == ["ml:cuda12@linux/amd64"] and stands_on(built, "app:cpu") == ["ml@linux/amd64"]


def test_a_tag_that_names_no_variant_is_told_or_external() -> None:
    built = shot("FROM ghcr.io/acme/ml:cuda13\n")
    assert stands_on(built, "app") == ["ml@linux/amd64"]
    assert built.family.warnings == (
        "images/app/Dockerfile:1: the tag cuda13 names no variant of ml:"
        " those are ml:python3.12-cpu, ml:python3.12-cuda12, ml:python3.11-cpu",
    )
    built = shot("FROM ml:cuda13\n")
    assert stands_on(built, "app") == [] and "ml:cuda13 is taken as an external image" in built.family.warnings[0]
    # An image without variants has every tag, as ever.
    assert shot("FROM ghcr.io/acme/tool:any\n", tool="FROM debian:12\n").family.warnings == ()


def test_an_inferred_prefix_knows_variants_too() -> None:
    yaml = ML.replace("registries: [ghcr.io/acme]\n", "")
    built = look({**FILES, "dsci.yaml": yaml, "images/app/Dockerfile": "FROM quay.io/x/ml:1.0-cuda12\n"})
    assert stands_on(built, "app") == ["ml:cuda12@linux/amd64"]


def test_an_image_does_not_stand_on_its_own_variants() -> None:
    built = look({**FILES, "images/ml/Dockerfile": FILES["images/ml/Dockerfile"].replace("debian:12", "ml:cuda12")})
    assert stands_on(built, "ml") == []


def test_a_variant_that_the_parent_lacks_is_refused_at_the_line() -> None:
    yaml = '  app:\n    variants: {axes: {python: ["3.12", "3.13"]}}\n'
    with pytest.raises(
        ConfigError, match=r"^images/app/Dockerfile:2: app:python3.13 has python 3.13, and ml has"
    ) as one:
        shot("# app\nFROM ml\nARG PYTHON\n", yaml)
    assert "ml:python3.11-cpu" in one.value.hint and "python: 3.12, 3.11" in one.value.message
    yaml = '  app:\n    variants: {axes: {python: ["3.12", "3.11"], accelerator: [cpu, cuda12]}}\n'
    with pytest.raises(ConfigError, match=r"needs the variant of ml with python 3.11, accelerator cuda12") as two:
        shot("FROM ml\nARG PYTHON ACCELERATOR\n", yaml)
    assert "exclude it from app too" in two.value.hint


def test_a_declared_need_means_the_variant_like_it_or_the_one_named() -> None:
    built = shot("FROM debian:12\nARG ACCELERATOR FLAVOUR\n", BOTH.rstrip("\n") + "\n    needs: [ml]\n")
    assert stands_on(built, "app") == ["ml:cuda12@linux/amd64"] and stands_on(built, "app:cpu") == ["ml@linux/amd64"]
    built = shot("FROM debian:12\n", "  app: {needs: ['ml:python3.11']}\n")
    assert stands_on(built, "app") == ["ml:python3.11@linux/amd64"]
    with pytest.raises(ConfigError, match=r"^dsci.yaml:8: images.app.needs: there is no image 'ml:cuda13'"):
        shot("FROM debian:12\n", "  app: {needs: ['ml:cuda13']}\n")
    with pytest.raises(ConfigError, match=r"^images.app.needs: ml is not built for linux/arm64"):
        shot("FROM debian:12\n", "  app: {needs: [ml], platforms: [linux/arm64]}\n")


def test_a_platform_that_the_variant_lacks_is_refused() -> None:
    yaml = "      overrides: [{when: {accelerator: cuda12}, platforms: [linux/arm64]}]\n"
    with pytest.raises(
        ConfigError, match="app@linux/amd64 needs ml:cuda12 for linux/amd64, which is built for linux/arm"
    ):
        shot("FROM ml:cuda12\n", yaml)


def test_variants_that_are_released_together_cannot_stand_on_each_other_in_turns() -> None:
    yaml = "  app: {variants: {axes: {accelerator: [cpu, cuda12]}}}\n"
    files = {
        **FILES,
        "dsci.yaml": ML + yaml,
        "images/ml/Dockerfile": "ARG ACCELERATOR\nFROM debian:12 AS cpu\nFROM app AS cuda12\n"
        "FROM $ACCELERATOR\nARG PYTHON\n",
        "images/app/Dockerfile": "FROM ml:python3.12-cpu\nARG ACCELERATOR\n",
    }
    with pytest.raises(ConfigError, match="in a circle: ml → app → ml"):
        look(files)


# ------------------------------------------------------------------------------------------------------- releases


def test_a_failure_of_one_variant_is_connected_with_all() -> None:
    family = shot("FROM ml:cuda12\n", tool="FROM ml\n", other="FROM debian:12\n").family
    assert family.components(["app", "tool", "other"]) == ({"app", "tool"}, {"other"})


def test_a_parent_is_decided_before_whatever_variant_needs_it() -> None:
    yaml = ML.replace(
        "exclude", "overrides: [{when: {accelerator: cuda12}, dockerfile: images/ml/cuda.Dockerfile}]\n      exclude"
    )
    files = {**FILES, "dsci.yaml": yaml, "images/zero/Dockerfile": "FROM debian:12\n"}
    built = look({**files, "images/ml/cuda.Dockerfile": "FROM zero\n"})
    assert built.family.release_order == ("zero", "ml")
    plan = built.plan(own_changes={target("zero"): "x changed"})
    assert [(each.image, each.reason) for each in plan.releases] == [("zero", "x changed"), ("ml", "parent zero 1.0.1")]


def test_a_release_is_news_to_those_whose_variants_moved() -> None:
    built = shot("FROM ml:cuda12\n", tool="FROM ml\n")
    changed = {target("ml:cuda12"): "Dockerfile changed"}
    plan = built.plan(own_changes=changed)
    assert [each.image for each in plan.releases] == ["ml", "app"] and plan.unreleased == {"tool": "unchanged"}
    # What a variant stands on moves it as well; a first release is news to everybody.
    below = look(
        {
            **FILES,
            "images/zero/Dockerfile": "FROM debian:12\n",
            "images/ml/Dockerfile": FILES["images/ml/Dockerfile"].replace("debian:12", "zero"),
            "images/app/Dockerfile": "FROM ml\n",
        }
    )
    assert [each.image for each in below.plan(own_changes={target("zero"): "x"}).releases] == ["zero", "ml", "app"]
    fresh = shot("FROM ml\n")
    assert [each.image for each in fresh.plan(claims=fresh.claims({"app": ["1.0.0"]})).releases] == ["ml", "app"]


def test_every_variant_has_tags_of_its_own() -> None:
    plan = shot().plan(own_changes={target("ml"): "x changed"})
    (release,) = plan.releases
    family = shot().family
    groups = family.groups["ml"]
    assert members.own_tags(release.tags, family.images["ml"], groups) == (
        "1.0.1",
        "sha-ffffffffffff",
        "1.0",
        "1",
        "latest",
    )
    assert members.own_tags(release.tags, family.images["ml:cuda12"], groups) == (
        "1.0.1-cuda12",
        "sha-ffffffffffff-cuda12",
        "1.0-cuda12",
        "1-cuda12",
        "latest-cuda12",
    )
    assert release.members == ("ml", "ml:cuda12", "ml:python3.11")
    assert {each.id: each.action for each in plan.targets} == {
        f"{name}@linux/amd64": "retag" for name in ("ml", "ml:cuda12", "ml:python3.11")
    }


def test_a_tag_that_reads_as_another_variants_is_refused() -> None:
    yaml = ML.replace("    previous_names: [model]\n", '    tags: ["{version}", "{version}-cuda12"]\n')
    with pytest.raises(ConflictError, match=r"ml 1.0.1 would be tagged 1.0.1-cuda12, which is a variant's name") as e:
        look({**FILES, "dsci.yaml": yaml}).plan(own_changes={target("ml"): "x"})
    assert "another suffix" in e.value.hint


def test_floats_move_among_the_releases_that_have_the_variant() -> None:
    built = shot()
    form = TagFormat.of(built.settings.versioning, ["ml"])
    claims = [released("ml", "2.0.0", form=form), released("ml", "1.5.0", form=form)]
    two, one = claims
    digest = Digest.of(b"x")
    one = replace(one, digests={"ml": digest, "ml:cuda12": digest})
    cuda, plain = built.family.images["ml:cuda12"], built.family.images["ml"]
    assert "latest-cuda12" in [tag.name for tag in release_tags(cuda, one, [two, one])]
    assert "latest" not in [tag.name for tag in release_tags(plain, one, [two, one])]


def test_what_is_no_variant_any_more_keeps_its_tags_and_that_is_told() -> None:
    built = shot()
    form = TagFormat.of(built.settings.versioning, ["ml"])
    digest = Digest.of(b"x")
    old = replace(released("ml", "1.0.0", form=form), digests={"ml": digest, "ml:cuda11": digest, "ml:cuda12": digest})
    said = "ml:cuda11: no variant any more; the tags *-cuda11 stay where 1.0.0 has put them"
    assert left_behind(built.family, [old]) == said
    assert said in built.plan(claims={"ml": (old,)}).warnings
    assert left_behind(built.family, []) == ""
    renamed = replace(old, digests={"model": digest, "model:cuda12": digest})
    assert left_behind(built.family, [renamed]) == ""


def test_a_claim_says_what_each_variant_is_and_is_read_back() -> None:
    one, two = Digest.of(b"one"), Digest.of(b"two")
    keys = {"ml@linux/amd64": "1" * 64, "ml:cuda12@linux/amd64": "2" * 64}
    text = claim_trailers({"ml": one, "ml:cuda12": two}, keys, {}, group="ml")
    assert text.splitlines() == [
        f"Dsci-Digest: {one}",
        f"Dsci-Digest: {two} ml:cuda12",
        f"Dsci-Key: {'2' * 64} ml:cuda12@linux/amd64",
        f"Dsci-Key: {'1' * 64} ml@linux/amd64",
    ]
    for name, form in (
        ("ml-v1.0.0", TagFormat("{image}-v{version}", ["ml"])),
        ("v1.0.0", TagFormat("v{version}", ["ml"])),
    ):
        tag = Tag(name=name, oid="0" * 40, commit="1" * 40, message=f"ml 1.0.0\n\n{text}\n", merged=True)
        (claim,) = read_claims([tag], form, ["ml"])["ml"]
        assert claim.digests == {"ml": one, "ml:cuda12": two} and claim.keys == keys
    # A family that had one image: the tag's name does not say which, the claim does.
    form = TagFormat("{image}-v{version}", ["ml", "app"], other="v{version}")
    tag = Tag(name="v1.0.0", oid="0" * 40, commit="1" * 40, message=f"1.0.0\n\n{text}\n", merged=True)
    assert [claim.digests for claim in read_claims([tag], form, ["ml", "app"])["ml"]] == [{"ml": one, "ml:cuda12": two}]
