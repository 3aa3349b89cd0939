"""The one table: images from folders and settings, edges from Dockerfiles (rules 4 to 6)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from builders import AMD64, ARM64, STACK, look, target, tree
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from msgspec.structs import replace
from sampling import examples

from dsci.errors import ConfigError, DsciError
from dsci.model import discover
from dsci.model.family import Base, Family, Image, TargetId, group_members, renamed
from dsci.model.location import Location
from dsci.model.oci import Platform
from dsci.model.reference import Reference, Repository
from dsci.model.settings import ImageSettings, Settings

DIGEST = "sha256:" + "ab" * 32


def family(files: Mapping[str, str], yaml: str = "", **more: str) -> Family:
    """The family of these Dockerfiles: `name` stands for images/name/Dockerfile."""
    given = {path if "/" in path or "." in path else f"images/{path}/Dockerfile": text for path, text in files.items()}
    return look({**given, **({"dsci.yaml": yaml} if yaml else {})}, **more).family


def needs(built: Family, name: str) -> list[str]:
    return [str(need) for need in built.nodes[target(name)].needs]


def siblings(built: Family, name: str) -> dict[str, str]:
    return {text: str(sibling) for text, sibling in built.nodes[target(name)].siblings.items()}


def bases(built: Family, name: str) -> list[str]:
    return [str(base.reference) for base in built.nodes[target(name)].bases]


# ------------------------------------------------------------------------------------------------------- targets


def test_targets_are_written_as_image_and_platform() -> None:
    assert TargetId.parse("ml@linux/arm64/v8") == TargetId("ml", ARM64)
    assert str(TargetId("ml", ARM64)) == "ml@linux/arm64"
    with pytest.raises(ConfigError, match="'ml' is no target") as caught:
        TargetId.parse("ml")
    assert caught.value.hint
    with pytest.raises(DsciError, match="not a platform"):
        TargetId.parse("ml@arm64")


# ------------------------------------------------------------------------------------------------------- layouts

FROM = "FROM debian:12\n"


@pytest.mark.parametrize(
    ("paths", "images"),
    [
        (["images/a/Dockerfile", "images/b/Dockerfile"], {"a": "images/a", "b": "images/b"}),
        (["images/a/Dockerfile", "b/Dockerfile", "Dockerfile"], {"a": "images/a"}),
        (["a/Dockerfile", "b/Dockerfile", "Dockerfile"], {"a": "a", "b": "b"}),
        (["Dockerfile", "docs/x.md"], {"stack": ""}),
        (["images/ML/Dockerfile"], {"ml": "images/ML"}),
        (["images/a/b/Dockerfile", "a/Dockerfile"], {"a": "a"}),
        (["images/a/Dockerfile.cuda", "a/dockerfile", "b/Dockerfile"], {"b": "b"}),
        ([".devcontainer/Dockerfile", "a/Dockerfile"], {"a": "a"}),
        (["docker/a/Dockerfile", "b/Dockerfile"], {"b": "b"}),
        (["c/Dockerfile", "a/Dockerfile", "b/Dockerfile"], {"a": "a", "b": "b", "c": "c"}),
    ],
)
def test_layouts(paths: list[str], images: dict[str, str]) -> None:
    found = look(dict.fromkeys(paths, FROM)).family.images
    assert [(name, image.context) for name, image in found.items()] == sorted(images.items())
    assert all(image.dockerfile in paths for image in found.values())
    assert all(image.group == name for name, image in found.items())


@pytest.mark.parametrize(
    ("project", "name"), [("My Stack!", "my-stack"), ("stack", "stack"), ("--", "image"), ("Ünï", "n")]
)
def test_an_image_at_the_root_is_named_like_the_project(project: str, name: str) -> None:
    found = look({"Dockerfile": FROM}, project=project).family.images
    assert list(found) == [name]
    assert found[name].repository == Repository("dsci.local", f"{name}/{name}")


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        pytest.param(["README.md"], "no images found", id="nothing"),
        pytest.param([".a/Dockerfile"], "no images found", id="hidden"),
        pytest.param(["images/a_/Dockerfile"], "images/a_/Dockerfile: 'a_' cannot name an image", id="illegal"),
        pytest.param(["images/.a/Dockerfile"], "'.a' cannot name an image", id="hidden below images"),
        pytest.param(["ü/Dockerfile"], "'ü' cannot name an image", id="letters"),
        pytest.param(
            ["images/ml/Dockerfile", "images/ML/Dockerfile"],
            "two images are named 'ml': images/ML/Dockerfile and images/ml/Dockerfile",
            id="named twice",
        ),
    ],
)
def test_folders_that_are_no_images(paths: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        look(dict.fromkeys(paths, FROM))
    assert says in caught.value.message


# ------------------------------------------------------------------------------------------------------ settings


def image(yaml: str, name: str = "ml", files: Mapping[str, str] = STACK) -> Image:
    return look({**files, "dsci.yaml": yaml}).family.images[name]


def test_an_image_without_settings() -> None:
    ml = look(STACK).family.images["ml"]
    assert (ml.context, ml.dockerfile, ml.stage, ml.platforms) == (
        "images/ml",
        "images/ml/Dockerfile",
        None,
        (AMD64,),
    )
    assert ml.repositories == (Repository("dsci.local", "stack/ml"),)
    assert [rule.source for rule in ml.tag_rules] == [
        "{version}",
        "{major}.{minor}",
        "{major}",
        "latest",
        "sha-{sha}",
    ]
    assert ml.targets == (target("ml"),)
    assert ml.inherit and ml.release


@pytest.mark.parametrize(
    ("yaml", "repositories"),
    [
        ("registries: [ghcr.io/acme, quay.io/acme]", ["ghcr.io/acme/ml", "quay.io/acme/ml"]),
        ("registries: [acme]", ["docker.io/acme/ml"]),
        ("registries: [ghcr.io/acme]\nimages: {ml: {repository: quay.io/x/y}}", ["quay.io/x/y"]),
    ],
)
def test_repositories(yaml: str, repositories: list[str]) -> None:
    ml = image(yaml)
    assert list(map(str, ml.repositories)) == repositories
    assert str(ml.repository) == repositories[0]


@pytest.mark.parametrize(
    "yaml",
    [
        "registries: [ghcr.io/a]\nimages: {ml: {repository: ghcr.io/a/r}}",
        "images: {ml: {repository: x/y}, r: {repository: docker.io/x/y}}",
    ],
)
def test_two_images_cannot_share_a_repository(yaml: str) -> None:
    with pytest.raises(ConfigError, match="ml and r would both be published as"):
        image(yaml)


def test_platforms_of_all_and_of_one() -> None:
    yaml = "platforms: [linux/arm64, linux/amd64, linux/x86_64]\nimages: {ml: {platforms: [linux/arm64]}}"
    assert image(yaml, "base").platforms == (AMD64, ARM64)
    assert image(yaml, "ml").platforms == (ARM64,)
    assert look(STACK, platform=ARM64).family.images["r"].platforms == (ARM64,)


@pytest.mark.parametrize(
    ("given", "context", "path"),
    [
        ("{context: images/base}", "images/base", "images/base/Dockerfile"),
        ("{context: ./images/base/}", "images/base", "images/base/Dockerfile"),
        ("{context: images/base, dockerfile: images/ml/Dockerfile}", "images/base", "images/ml/Dockerfile"),
        ("{dockerfile: ./images/ml/Dockerfile}", "", "images/ml/Dockerfile"),
        ("{context: ., dockerfile: images/ml/Dockerfile}", "", "images/ml/Dockerfile"),
        ("{context: /, dockerfile: images/ml/Dockerfile}", "", "images/ml/Dockerfile"),
    ],
)
def test_images_that_no_folder_names(given: str, context: str, path: str) -> None:
    found = image(f"images: {{new: {given}}}", "new")
    assert (found.context, found.dockerfile) == (context, path)


def test_a_folder_can_lend_its_dockerfile_to_a_wider_context() -> None:
    found = image("images: {ml: {context: .}}")
    assert (found.context, found.dockerfile) == ("", "images/ml/Dockerfile")
    assert [suite.path for suite in image("images: {python: {context: .}}", "python").suites] == [
        "images/python/suites"
    ]


def test_an_image_of_the_root_beside_others() -> None:
    files = {**STACK, "Dockerfile": FROM}
    assert image("images: {all: {}}", "all", files).dockerfile == "Dockerfile"


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        ("images:\n  Ml: {}\n", "dsci.yaml:2: images.Ml: an image name is lower-case"),
        ("images: {new: {}}", "dsci.yaml:1: images.new: there is no Dockerfile in Git"),
        (
            "images:\n  ml:\n    dockerfile: images/ml/Dockerfil\n",
            "dsci.yaml:3: images.ml: there is no images/ml/Dockerfil in Git (did you mean 'images/ml/Dockerfile'?)",
        ),
        (
            "images:\n  ml:\n    context: data\n    dockerfile: images/ml/Dockerfile\n",
            "dsci.yaml:3: images.ml.context: no folder data in Git",
        ),
        (
            "images:\n  ml:\n    suites:\n      paths: [tests]\n",
            "dsci.yaml:4: images.ml.suites.paths: no tests at 'tests'",
        ),
        (
            "images:\n  ml:\n    previous_names: [python]\n",
            "dsci.yaml:3: images.ml.previous_names: python is an image of its own",
        ),
        (
            "images:\n  ml: {previous_names: [x]}\n  r: {previous_names: [y, x]}\n",
            "dsci.yaml:3: images.r.previous_names: x is a previous name of ml already",
        ),
        (
            "images:\n  ml:\n    needs: [pyton]\n",
            "dsci.yaml:3: images.ml.needs: there is no image 'pyton' (did you mean 'python'?)",
        ),
    ],
)
def test_settings_that_no_file_bears_out(yaml: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        image(yaml)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["images/ml/Dockerfile", "Dockerfile"], ["Dockerfile makes no image, because images/ml/Dockerfile does"]),
        (
            ["images/ml/Dockerfile", "docs/Dockerfile", "a/b/c/Dockerfile", ".ci/Dockerfile", "images/Dockerfile"],
            [
                "docs/Dockerfile makes no image, because images/ml/Dockerfile does",
                "images/Dockerfile makes no image, because images/ml/Dockerfile does",
            ],
        ),
        (["ml/Dockerfile", "Dockerfile"], ["Dockerfile makes no image, because ml/Dockerfile does"]),
        (["Dockerfile"], []),
        (["ml/Dockerfile", "r/Dockerfile", "r/Dockerfile.gpu"], []),
    ],
)
def test_dockerfiles_that_are_passed_over_are_told(files: list[str], says: list[str]) -> None:
    given = tree(dict.fromkeys(files, "FROM debian:12\n"))
    images = discover.discover(Settings(), Location("dsci.yaml", {}), given, project="x", platform=AMD64)
    told = discover.passed_over(given, images)
    assert [text.partition(":")[0] for text in told] == says


def test_some_images_alone() -> None:
    """Without a look at the others, one of which is none."""
    given = tree({**STACK, "images/bad/Dockerfile": "FROM debian:12\n"})
    settings = Settings(images={"bad": ImageSettings(context="nowhere")})
    found = discover.discover(
        settings, Location("dsci.yaml", {}), given, project="x", platform=AMD64, only=frozenset(["ml", "gone"])
    )
    assert list(found) == ["ml"] and replace(found["ml"], repositories=()) == replace(image("", "ml"), repositories=())


@pytest.mark.parametrize(
    ("files", "only", "found"),
    [
        (["ml/Dockerfile", "r/Dockerfile"], ["r"], ["r"]),
        (["ml/Dockerfile", "images/readme"], ["ml", "gone"], ["ml"]),
        (["ml/Dockerfile", "images/R/Dockerfile"], ["ml"], []),
        (["ml/Dockerfile", "images/R/Dockerfile"], ["r"], ["r"]),
        (["Dockerfile"], ["x"], ["x"]),
        (["Dockerfile", ".hidden/Dockerfile"], ["hidden"], []),
        (["readme"], ["ml"], []),
    ],
)
def test_some_images_alone_are_found_in_the_layout_that_the_tree_has(
    files: list[str], only: list[str], found: list[str]
) -> None:
    given = tree(dict.fromkeys(files, "FROM debian:12\n"))
    images = discover.discover(
        Settings(), Location("dsci.yaml", {}), given, project="x", platform=AMD64, only=frozenset(only)
    )
    assert list(images) == found


def test_earlier_names() -> None:
    given = look(
        {**STACK, "dsci.yaml": "images: {ml: {previous_names: [learn, deep]}, r: {previous_names: [s]}}"}
    ).family
    assert renamed(given.images.values()) == {"learn": "ml", "deep": "ml", "s": "r"}


def test_what_an_unreleased_image_carries() -> None:
    files = {
        "dsci.yaml": "images: {base: {release: false}, tools: {release: false}, r: {release: false}}",
        **{f"images/{name}/Dockerfile": f"FROM {on}\n" for name, on in _CHAIN.items()},
    }
    given = look(files).family
    above = {str(each.image): [str(found.image) for found in given.unreleased_above(each)] for each in given.nodes}
    assert above == {"base": [], "tools": ["base"], "python": ["base", "tools"], "ml": [], "r": []}


_CHAIN = {"base": "debian:12", "tools": "base", "python": "tools", "ml": "python", "r": "python"}


def test_tag_rules_of_an_image_with_a_flavor() -> None:
    yaml = "tags: [latest, '{version}']\nflavor: {latest: false}\nimages: {ml: {}, r: {flavor: {suffix: -x}}}"
    assert [rule.source for rule in image(yaml, "ml").tag_rules] == ["{version}"]
    assert [rule.source for rule in image(yaml, "r").tag_rules] == ["latest", "{version}"]


def test_tag_rules_of_one_image() -> None:
    yaml = "tags: [latest]\nimages: {ml: {tags: ['{version}']}, r: {tags: []}}"
    assert [rule.source for rule in image(yaml, "ml").tag_rules] == ["{version}"]
    assert [rule.source for rule in image(yaml, "base").tag_rules] == ["latest"]
    assert image(yaml, "r").tag_rules == ()


# -------------------------------------------------------------------------------------------------------- suites


def suites(files: Mapping[str, str], yaml: str = "", name: str = "ml") -> dict[str, tuple[str, str, tuple[str, ...]]]:
    given = {"images/ml/Dockerfile": FROM, "images/r/Dockerfile": FROM, **files}
    found = look({**given, **({"dsci.yaml": yaml} if yaml else {})}).family.images[name].suites
    assert all(suite.owner == name for suite in found)
    return {suite.name: (suite.kind, suite.path, suite.files) for suite in found}


def test_suites_beside_the_image_and_by_its_name() -> None:
    files = {
        "images/ml/suites/structure.yaml": "",
        "images/ml/suites/data/config.yaml": "",
        "images/ml/suites/test_a.py": "",
        "images/ml/suites/sub/b_test.py": "",
        "images/ml/suites/conftest.py": "",
        "suites/ml/more.yml": "",
        "suites/r/test_r.py": "",
        "suites/test_nobodys.py": "",
        "images/ml/tests/test_other.py": "",
    }
    assert suites(files) == {
        "ml/structure": (
            "structure",
            "images/ml/suites/structure.yaml",
            ("images/ml/suites/structure.yaml",),
        ),
        "ml/pytest": (
            "pytest",
            "images/ml/suites",
            (
                "images/ml/suites/conftest.py",
                "images/ml/suites/data/config.yaml",
                "images/ml/suites/sub/b_test.py",
                "images/ml/suites/test_a.py",
            ),
        ),
        "ml/more": ("structure", "suites/ml/more.yml", ("suites/ml/more.yml",)),
    }
    assert suites(files, name="r") == {"r/pytest": ("pytest", "suites/r", ("suites/r/test_r.py",))}


def test_suites_come_in_the_order_of_their_paths() -> None:
    files = {
        "images/ml/Dockerfile": FROM,
        "images/ml/suites/b.yaml": "",
        "suites/ml/a.yaml": "",
        "suites/ml/c.yaml": "",
    }
    found = look(files).family.images["ml"].suites
    assert [suite.path for suite in found] == ["images/ml/suites/b.yaml", "suites/ml/a.yaml", "suites/ml/c.yaml"]


def test_helpers_alone_are_no_suite() -> None:
    assert (
        suites({"images/ml/suites/conftest.py": "", "images/ml/suites/mytest_.py": "", "suites/ml/README.md": ""}) == {}
    )


def test_suites_of_an_image_at_the_root() -> None:
    files = {"Dockerfile": FROM, "suites/test_a.py": "", "suites/more/test_b.py": ""}
    (suite,) = look(files).family.images["stack"].suites
    assert (suite.path, suite.files) == ("suites", ("suites/more/test_b.py", "suites/test_a.py"))


def test_suites_of_images_that_settings_make_of_one_dockerfile() -> None:
    files = {"Dockerfile": FROM, "suites/cpu/test_a.py": "", "dsci.yaml": "images: {cpu: {context: .}, gpu: {}}"}
    images = look(files).family.images
    assert list(images) == ["cpu", "gpu"], "the Dockerfile makes what the settings say, and nothing beside"
    assert [suite.path for suite in images["cpu"].suites] == ["suites/cpu"] and not images["gpu"].suites


def test_suites_of_one_name_in_two_places_are_told_apart() -> None:
    text = "schemaVersion: '2.0.0'"
    files = {"images/ml/Dockerfile": FROM, "images/ml/suites/a.yaml": text, "suites/ml/a.yaml": text}
    assert suites(files).keys() == {"ml/images/ml/suites/a.yaml", "ml/suites/ml/a.yaml"}


def test_declared_suites_replace_those_found() -> None:
    files = {"images/ml/suites/test_a.py": "", "checks/a.yaml": "", "checks/test_b.py": "", "other/test_c.py": ""}
    yaml = "images: {ml: {suites: {paths: [./checks/a.yaml, other/test_c.py], timeout: 90s}}}"
    assert suites(files, yaml) == {
        "ml/a": ("structure", "checks/a.yaml", ("checks/a.yaml",)),
        "ml/pytest": ("pytest", "other", ("other/test_c.py",)),
    }
    assert suites(files, "images: {ml: {suites: {paths: []}}}") == {}
    assert suites(files, "suites: {paths: [checks]}", "r").keys() == {"r/a", "r/pytest"}
    assert suites(files, "suites: {paths: [/checks/]}", "r").keys() == {"r/a", "r/pytest"}
    found = look({"images/ml/Dockerfile": FROM, **files, "dsci.yaml": yaml}).family.images["ml"].suites
    assert {suite.limits.suite for suite in found} == {90}


def test_suites_are_inherited_along_the_lineage() -> None:
    files = {
        **STACK,
        "images/ml/Dockerfile": "FROM r AS tools\nFROM python\nCOPY --from=tools /x /x\n",
        "images/ml/suites/test_ml.py": "",
        "images/r/suites/test_r.py": "",
    }
    built = look(files).family
    assert [suite.name for suite in built.suites(target("ml"))] == ["base/structure", "python/pytest", "ml/pytest"]
    assert list(map(str, built.lineage(target("ml")))) == ["base@linux/amd64", "python@linux/amd64", "ml@linux/amd64"]
    alone = look({**files, "dsci.yaml": "images: {ml: {suites: {inherit: false}}}"}).family
    assert [suite.name for suite in alone.suites(target("ml"))] == ["ml/pytest"]
    nobody = look({**files, "dsci.yaml": "suites: {inherit: false}"}).family
    assert [suite.name for suite in nobody.suites(target("python"))] == ["python/pytest"]


# --------------------------------------------------------------------------------------------------------- edges

REGISTRY = "registries: [ghcr.io/acme]"


@pytest.mark.parametrize(
    ("line", "yaml", "sibling"),
    [
        pytest.param("base", "", True, id="bare name"),
        pytest.param("base:latest", "", True, id="bare name, latest"),
        pytest.param("base:12", "", False, id="a tag on a bare name"),
        pytest.param(f"base@{DIGEST}", "", False, id="a digest on a bare name"),
        pytest.param("library/base", "", False, id="Docker's own name in full"),
        pytest.param("docker.io/library/base", "", False, id="Docker's own name in fuller"),
        pytest.param("ghcr.io/acme/base", REGISTRY, True, id="own repository"),
        pytest.param("ghcr.io/acme/base:1.2", REGISTRY, True, id="own repository, any tag"),
        pytest.param(f"ghcr.io/acme/base@{DIGEST}", REGISTRY, False, id="own repository, digest"),
        pytest.param(f"ghcr.io/acme/base:1@{DIGEST}", REGISTRY, False, id="own repository, tag and digest"),
        pytest.param("ghcr.io/other/base", REGISTRY, False, id="another's repository"),
        pytest.param("base", REGISTRY, True, id="bare name though configured"),
        pytest.param("quay.io/acme/base", "registries: [ghcr.io/acme, quay.io/acme]", True, id="second registry"),
        pytest.param("acme/base:3", "registries: [acme]", True, id="Docker Hub, expanded"),
        pytest.param("index.docker.io/acme/base", "registries: [acme]", True, id="Docker Hub, another name"),
        pytest.param("quay.io/x/y", "images: {base: {repository: quay.io/x/y}}", True, id="own name for one image"),
        pytest.param("dsci.local/stack/base", "", True, id="the embedded registry"),
        pytest.param("quay.io/jupyter/base:2024", "", True, id="inferred prefix"),
        pytest.param("base", "images: {ml: {external: [base]}}", False, id="declared external"),
        pytest.param("base:latest", "images: {ml: {external: [base]}}", False, id="declared external, latest"),
        pytest.param("base:latest", "images: {ml: {external: ['base:latest']}}", False, id="declared with its tag"),
        pytest.param(
            "ghcr.io/acme/base:1", f"{REGISTRY}\nimages: {{ml: {{external: ['ghcr.io/acme/base:1']}}}}", False,
            id="own repository, declared external",
        ),
    ],
)  # fmt: skip
def test_what_a_sibling_is(line: str, yaml: str, sibling: bool) -> None:
    built = family({"base": FROM, "ml": f"FROM {line}\n"}, yaml)
    assert needs(built, "ml") == (["base@linux/amd64"] if sibling else [])
    assert siblings(built, "ml") == ({line: "base@linux/amd64"} if sibling else {})
    node = built.nodes[target("ml")]
    assert node.parent == (target("base") if sibling else None)
    assert [base.name for base in node.bases] == ([] if sibling else [line])
    assert (node.lineage is None) is sibling


def test_an_own_repository_is_stronger_than_a_bare_name() -> None:
    built = family({"a": FROM, "base": FROM, "ml": "FROM base\n"}, "images: {a: {repository: base}}")
    assert needs(built, "ml") == ["a@linux/amd64"]


def test_a_base_without_a_tag_is_the_latest_one() -> None:
    built = family({"ml": f"FROM debian AS a\nFROM debian@{DIGEST}\nCOPY --from=a / /\n"})
    assert bases(built, "ml") == ["docker.io/library/debian:latest", f"docker.io/library/debian@{DIGEST}"]


def test_an_image_never_stands_on_itself() -> None:
    built = family({"python": "FROM python:3.12-slim\n", "ml": "FROM python\n"})
    assert (needs(built, "python"), bases(built, "python")) == ([], ["docker.io/library/python:3.12-slim"])
    built = family({"python": "FROM python\n"})
    assert (needs(built, "python"), bases(built, "python")) == ([], ["docker.io/library/python:latest"])
    built = family({"ml": "FROM ghcr.io/acme/ml:1.0\n"}, REGISTRY)
    assert (needs(built, "ml"), bases(built, "ml")) == ([], ["ghcr.io/acme/ml:1.0"])
    assert built.warnings == ()


def test_edges_from_copies_and_mounts_order_but_do_not_descend() -> None:
    built = family(
        {
            "base": FROM,
            "tools": FROM,
            "data": FROM,
            "ml": "FROM base AS build\nFROM debian:12\nCOPY --from=build /a /a\nCOPY --from=tools /b /b\n"
            "RUN --mount=from=data,target=/d true\nCOPY --from=alpine /c /c\n",
        }
    )
    assert needs(built, "ml") == ["base@linux/amd64", "data@linux/amd64", "tools@linux/amd64"]
    assert built.image_needs("ml") == ("base", "data", "tools")
    assert built.nodes[target("ml")].parent is None
    lineage = built.nodes[target("ml")].lineage
    assert lineage is not None and lineage.name == "debian:12"
    assert bases(built, "ml") == ["docker.io/library/alpine:latest", "docker.io/library/debian:12"]


def test_one_sibling_under_two_names() -> None:
    built = family({"base": FROM, "ml": "FROM base\nCOPY --from=ghcr.io/acme/base:1 /a /a\n"}, REGISTRY)
    assert siblings(built, "ml") == {"base": "base@linux/amd64", "ghcr.io/acme/base:1": "base@linux/amd64"}
    assert needs(built, "ml") == ["base@linux/amd64"]


def test_scratch_is_nobody() -> None:
    built = family({"scratch": FROM, "ml": "FROM scratch\n"})
    assert (needs(built, "ml"), bases(built, "ml")) == ([], [])
    assert built.nodes[target("ml")].lineage is None


def test_build_arguments_choose_the_sibling() -> None:
    files = {"base": FROM, "cuda": FROM, "ml": "ARG FLAVOR=base\nFROM $FLAVOR\n"}
    assert needs(family(files), "ml") == ["base@linux/amd64"]
    assert needs(family(files, "images: {ml: {args: {FLAVOR: cuda}}}"), "ml") == ["cuda@linux/amd64"]


def test_declared_needs() -> None:
    yaml = "platforms: [linux/amd64, linux/arm64]\nimages: {ml: {needs: [tools]}}"
    built = family({"tools": FROM, "ml": FROM}, yaml)
    assert needs(built, "ml@linux/arm64") == ["tools@linux/arm64"]
    node = built.nodes[target("ml")]
    assert (node.parent, dict(node.siblings)) == (None, {})


def test_the_frontend_is_known() -> None:
    built = family({"ml": "# syntax=docker/dockerfile:1\nFROM debian\n", "r": FROM})
    assert str(built.nodes[target("ml")].syntax) == "docker.io/docker/dockerfile:1"
    assert built.nodes[target("r")].syntax is None
    untagged = family({"ml": "# syntax=docker/dockerfile\nFROM debian\n"})
    assert str(untagged.nodes[target("ml")].syntax) == "docker.io/docker/dockerfile:latest"


def test_bases_are_told_by_reference_and_platform() -> None:
    base = Base(name="debian", reference=Reference.parse("debian:latest"), platform=ARM64)
    assert base.key == ("docker.io/library/debian:latest", ARM64)


# -------------------------------------------------------------------------------------------- prefixes, near misses


def test_the_prefix_is_inferred_where_one_is_used() -> None:
    built = family({"base": FROM, "min": "FROM quay.io/jupyter/base:1\n", "lab": "FROM quay.io/jupyter/min\n"})
    assert (needs(built, "min"), needs(built, "lab")) == (["base@linux/amd64"], ["min@linux/amd64"])
    assert built.warnings == ()


def test_several_prefixes_are_all_external() -> None:
    built = family(
        {"base": FROM, "r": FROM, "a": "FROM quay.io/jupyter/base\n", "b": "FROM ghcr.io/x/r\n", "c": "FROM r\n"}
    )
    assert (needs(built, "a"), needs(built, "b"), needs(built, "c")) == ([], [], ["r@linux/amd64"])
    (warning,) = built.warnings
    assert "ghcr.io/x (images/b/Dockerfile:1), quay.io/jupyter (images/a/Dockerfile:1)" in warning
    assert "set registries: in dsci.yaml" in warning


def test_what_is_no_sibling_infers_no_prefix() -> None:
    files = {"base": "FROM up.stream/x/base\n", "a": "FROM quay.io/jupyter/base\nCOPY --from=ghcr.io/x/uv / /\n"}
    built = family(files)
    assert (needs(built, "a"), built.warnings) == (["base@linux/amd64"], ())


def test_configured_registries_stop_inference() -> None:
    built = family({"base": FROM, "ml": "FROM quay.io/jupyter/base\n"}, REGISTRY)
    (warning,) = built.warnings
    assert needs(built, "ml") == [] and "write base to stand on it" in warning


def test_a_namesake_of_oneself_infers_nothing() -> None:
    built = family({"base": "FROM quay.io/jupyter/base\n", "ml": "FROM quay.io/jupyter/other\n"})
    assert (needs(built, "base"), bases(built, "ml")) == ([], ["quay.io/jupyter/other:latest"])


@pytest.mark.parametrize(
    ("line", "yaml", "warning"),
    [
        ("base:12", "", "images/ml/Dockerfile:2: base:12 is taken as an external image although base is an image"),
        (f"base@{DIGEST}", "", "although base is an image of this repository; write base to stand on it"),
        (f"ghcr.io/acme/base@{DIGEST}", REGISTRY, "although base is an image of this repository"),
        ("ghcr.io/acme/bose:1", REGISTRY, "ghcr.io/acme/bose:1 is taken as an external image (did you mean 'base'?)"),
        ("ghcr.io/acme/nginx", REGISTRY, None),
        ("nginx", "", None),
        ("bose", "", None),
        ("ghcr.io/other/bose", REGISTRY, None),
        ("ghcr.io/other/base:1", REGISTRY, "ghcr.io/other/base:1 is taken as an external image although base"),
        ("ghcr.io/other/base:1", f"{REGISTRY}\nimages: {{ml: {{external: [ghcr.io/other/base]}}}}", None),
        ("base:12", "images: {ml: {external: ['base:12']}}", None),
        ("x/ml:1", "images: {base: {repository: x/y}}", None),
    ],
)
def test_near_misses_are_reported(line: str, yaml: str, warning: str | None) -> None:
    built = family({"base": FROM, "ml": f"# a comment\nFROM {line}\n"}, yaml)
    assert needs(built, "ml") == []
    if warning is None:
        assert built.warnings == ()
    else:
        (given,) = built.warnings
        assert warning in given


def test_warnings_of_dockerfiles_come_once() -> None:
    yaml = "platforms: [linux/amd64, linux/arm64]"
    built = family({"base": FROM, "ml": "FROM base:12\nCOPY $X /y\n"}, yaml)
    assert len(built.warnings) == len(set(built.warnings)) == 2
    assert all(warning.startswith("images/ml/Dockerfile:") for warning in built.warnings)


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("files", "yaml", "says"),
    [
        pytest.param(
            {"base": FROM, "ml": "FROM base AS base\n"},
            "",
            "images/ml/Dockerfile:1: a stage is named 'base' like the image it stands on",
            id="a stage named like the sibling",
        ),
        pytest.param(
            {"ml": "FROM debian AS x\nFROM debian AS debian\n"},
            "",
            "a stage is named 'debian' like the image it stands on",
            id="a stage named like the base",
        ),
        pytest.param(
            {"base": FROM, "ml": "FROM base\n"},
            "images: {base: {platforms: [linux/arm64]}}",
            "images/ml/Dockerfile:1: ml@linux/amd64 needs base for linux/amd64, which is built for linux/arm64",
            id="a platform that the sibling lacks",
        ),
        pytest.param(
            {"a": "FROM b\n", "b": "FROM c\n", "c": "FROM a\n"},
            "",
            "in a circle: a@linux/amd64 → b@linux/amd64 → c@linux/amd64 → a@linux/amd64",
            id="a circle",
        ),
        pytest.param({"a": FROM}, "images: {a: {needs: [a]}}", "a@linux/amd64 → a@linux/amd64", id="need of itself"),
        pytest.param(
            {
                "a": "FROM b AS on-amd64\nFROM debian AS on-arm64\nFROM on-$TARGETARCH\n",
                "b": "FROM debian AS on-amd64\nFROM a AS on-arm64\nFROM on-$TARGETARCH\n",
            },
            "platforms: [linux/amd64, linux/arm64]",
            "in a circle: a → b → a",
            id="a circle of images, though none of targets",
        ),
        pytest.param(
            {"a": FROM, "b": FROM},
            "images: {a: {platforms: [linux/arm64]}, b: {needs: [a], platforms: [linux/amd64]}}",
            "images.b.needs: a is not built for linux/amd64",
            id="a declared need without the platform",
        ),
        pytest.param(
            {"base": FROM, "ml": "FROM base AS a\nFROM --platform=linux/arm64 base\nCOPY --from=a / /\n"},
            "images: {base: {platforms: [linux/amd64, linux/arm64]}}",
            "images/ml/Dockerfile:2: base is wanted for two platforms in one image",
            id="a sibling for two platforms",
        ),
    ],
)
def test_families_that_cannot_be(files: dict[str, str], yaml: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        family(files, yaml)
    assert says in caught.value.message


def test_a_base_for_two_platforms_is_shared() -> None:
    """One name is one pin for BuildKit, so the pin must be the index (rule 6)."""
    text = "FROM debian AS a\nFROM --platform=linux/arm64 debian\nCOPY --from=a / /\nCOPY --from=alpine / /\n"
    node = family({"ml": text}).nodes[target("ml")]
    debian = Reference.parse("debian:latest")
    assert node.shared == {debian}
    assert [(str(reference), str(platform)) for reference, platform in node.external] == [
        (str(debian), "any/any"),
        (str(Reference.parse("alpine:latest")), "linux/amd64"),
        (str(debian), "linux/amd64"),
        (str(debian), "linux/arm64"),
    ]
    assert node.lineage is not None and node.lineage.platform == ARM64


def test_what_is_pinned_in_the_dockerfile_or_wanted_once_is_not_shared() -> None:
    twice = f"FROM debian@{DIGEST} AS a\nFROM --platform=linux/arm64 debian@{DIGEST}\nCOPY --from=a / /\n"
    other = "FROM debian:12 AS a\nFROM --platform=linux/arm64 debian:13\nCOPY --from=a / /\nCOPY --from=debian:12 / /\n"
    for text in (twice, other):
        assert family({"ml": text}).nodes[target("ml")].shared == frozenset()


def test_buildplatform_is_the_machine_that_builds() -> None:
    text = "FROM --platform=$BUILDPLATFORM golang AS build\nFROM debian\nCOPY --from=build /app /app\n"
    built = family({"ml": text}, "platforms: [linux/amd64, linux/arm64]")
    for platform in (AMD64, ARM64):
        node = built.nodes[TargetId("ml", platform)]
        assert [(base.name, base.platform) for base in node.bases] == [("debian", platform), ("golang", AMD64)]


@pytest.mark.parametrize(
    ("text", "yaml", "problem"),
    [
        pytest.param("FORM base\n", "", "images/ml/Dockerfile:1: ", id="no Dockerfile"),
        pytest.param(
            "FROM UP\n", "", "images/ml/Dockerfile:1: 'UP' is not a legal image reference (", id="no reference"
        ),
        pytest.param(
            "FROM base\n", "images: {ml: {target: final}}", "there is no stage named 'final' (", id="no stage"
        ),
        pytest.param("FROM ${X:?why}\n", "", "images/ml/Dockerfile:1: ${X:?why}: ", id="no hint"),
    ],
)
def test_a_dockerfile_that_cannot_be_read_is_the_problem_of_its_image_alone(text: str, yaml: str, problem: str) -> None:
    built = family({"base": FROM, "ml": text, "r": "FROM ml\nCOPY --from=base / /\n"}, yaml)
    node = built.nodes[target("ml")]
    assert problem in node.problem
    assert built.warnings == (node.problem,)
    assert (node.needs, node.bases, node.syntax) == ((), (), None)
    assert [one.problem for one in built.nodes.values() if one is not node] == ["", ""]
    assert needs(built, "r") == ["base@linux/amd64", "ml@linux/amd64"]


def test_refusals_say_what_to_do() -> None:
    hints = {
        "rename": ({"b": FROM, "ml": "FROM b AS b\n"}, "another name"),
        "circle": ({"a": "FROM b\n", "b": "FROM a\n"}, "images.NAME.external"),
    }
    for files, hint in hints.values():
        with pytest.raises(ConfigError) as caught:
            family(files)
        assert hint in caught.value.hint


def test_a_tag_keeps_a_stage_and_an_image_apart() -> None:
    built = family({"ml": "FROM python:3.12 AS python\nFROM python\n"})
    assert bases(built, "ml") == ["docker.io/library/python:3.12"]


def test_a_digest_may_serve_two_platforms() -> None:
    text = f"FROM debian@{DIGEST} AS a\nFROM --platform=linux/arm64 debian@{DIGEST}\nCOPY --from=a / /\n"
    node = family({"ml": text}).nodes[target("ml")]
    assert [base.platform for base in node.bases] == [AMD64, ARM64]
    assert node.lineage is not None and node.lineage.platform == ARM64
    text = f"FROM debian@{DIGEST} AS a\nFROM --platform=linux/arm64 debian@{DIGEST} AS b\nFROM a\nCOPY --from=b / /\n"
    node = family({"ml": text}).nodes[target("ml")]
    assert node.lineage is not None and node.lineage.platform == AMD64


# -------------------------------------------------------------------------------------------------- the whole table


def test_order_waves_and_closures() -> None:
    built = look({**STACK, "dsci.yaml": "platforms: [linux/amd64, linux/arm64]"}).family
    assert [str(item).replace("@linux/", "@") for item in built.order] == [
        *("base@amd64", "base@arm64", "python@amd64", "python@arm64", "r@amd64", "r@arm64", "ml@amd64", "ml@arm64")
    ]
    assert {str(item): wave for item, wave in built.waves.items() if item.platform == AMD64} == {
        "base@linux/amd64": 0,
        "python@linux/amd64": 1,
        "r@linux/amd64": 1,
        "ml@linux/amd64": 2,
    }
    assert built.descendants([target("python")]) == {target("ml")}
    assert built.descendants([target("base")]) == {target("python"), target("ml"), target("r")}
    assert built.ancestors([target("ml"), target("r")]) == {target("python"), target("base")}
    assert built.children[target("base")] == {target("python"), target("r")}
    assert built.image_order == ("base", "python", "r", "ml")
    assert built.image_needs("ml") == ("python",)


def test_what_is_chosen_and_what_decides_its_version() -> None:
    built = look(STACK).family
    assert built.chosen([]) == frozenset(built.images)
    assert built.chosen(["python", "unknown"]) == {"base", "python"}
    assert built.chosen_groups([]) == frozenset(built.groups)
    assert built.chosen_groups(["r"]) == {"base", "r"}
    # Another member of its group has a say, and so has what that one stands on.
    images = {name: replace(image, group="r" if name == "ml" else image.group) for name, image in built.images.items()}
    assert replace(built, images=images).chosen_groups(["r"]) == {"base", "python", "r"}


def test_images_are_ordered_though_their_platforms_differ_in_depth() -> None:
    """`a` needs nothing on amd64; on arm64 it stands on `z`, so `z` is decided first."""
    files = {"a": "ARG BASE=$TARGETARCH\nFROM $BASE\n", "z": FROM, "arm64": "FROM z\n"}
    yaml = "platforms: [linux/amd64, linux/arm64]\nimages: {arm64: {platforms: [linux/arm64]}}"
    built = family(files, yaml)
    assert [item.image for item in built.order].index("a") == 0
    assert built.image_order == ("z", "arm64", "a")


def test_components() -> None:
    files = {"a": FROM, "b": "FROM a\n", "c": FROM, "d": "FROM c\n", "e": FROM}
    built = family(files)
    assert built.components("abcde") == (frozenset("ab"), frozenset("cd"), frozenset("e"))
    assert built.components("bd") == (frozenset("b"), frozenset("d"))
    assert built.components([]) == ()


def test_members_of_a_group_the_default_one_first() -> None:
    ml, r = (look(STACK).family.images[name] for name in ("ml", "r"))
    cuda = replace(ml, name="a-cuda", group="ml", suffix="-cuda")
    groups = group_members([r, cuda, ml])
    assert list(groups) == ["ml", "r"]
    assert {name: [member.name for member in members] for name, members in groups.items()} == {
        "ml": ["ml", "a-cuda"],
        "r": ["r"],
    }


_graphs = st.lists(st.sets(st.integers(0, 7), max_size=3), min_size=1, max_size=8)


def dockerfiles(graph: list[set[int]], yaml: str = "") -> Family:
    """Image n copies from the images of its set that come before it, named against the alphabet."""
    files = {}
    for number, edges in enumerate(graph):
        copies = "".join(f"COPY --from=i{9 - edge} /x /x\n" for edge in sorted(edges) if edge < number)
        files[f"i{9 - number}"] = FROM + copies
    return family(files, yaml)


@given(_graphs, st.booleans())
@hypothesis(max_examples=examples(40), deadline=None)
def test_the_order_is_topological(graph: list[set[int]], both: bool) -> None:
    built = dockerfiles(graph, "platforms: [linux/amd64, linux/arm64]" if both else "")
    place = {item: number for number, item in enumerate(built.order)}
    assert sorted(place) == sorted(built.nodes)
    images = {name: number for number, name in enumerate(built.image_order)}
    assert sorted(images) == sorted(built.images)
    for item, node in built.nodes.items():
        assert all(place[need] < place[item] and built.waves[need] < built.waves[item] for need in node.needs)
        assert all(images[need.image] < images[item.image] for need in node.needs)
        assert all(item in built.descendants([need]) and need in built.ancestors([item]) for need in node.needs)
        assert built.waves[item] == 0 or any(built.waves[need] == built.waves[item] - 1 for need in node.needs)
    parts = built.components(built.images)
    assert sorted(name for part in parts for name in part) == sorted(built.images)
    owner = {name: part for part in parts for name in part}
    assert all(owner[item.image] is owner[need.image] for item, node in built.nodes.items() for need in node.needs)


def test_a_platform_of_another_spelling_is_the_same_target() -> None:
    built = family({"base": FROM, "ml": "FROM --platform=linux/x86_64 base\n"}, "platforms: [linux/amd64/v1]")
    assert needs(built, "ml") == ["base@linux/amd64"]
    assert built.nodes[target("ml")].parent == TargetId("base", Platform("linux", "amd64"))


def test_a_frontend_that_is_no_reference_is_its_images_problem() -> None:
    nodes = look({"images/a/Dockerfile": "# syntax=UP\nFROM debian\n", "images/b/Dockerfile": FROM}).family.nodes
    assert {str(target.image): node.problem.partition(":1: ")[2][:4] for target, node in nodes.items()} == {
        "a": "'UP'",
        "b": "",
    }


def test_registries_that_images_are_only_copied_to() -> None:
    """What is built from a registry is never left out; a registry that is primary for one image mirrors none."""
    built = family(STACK, "registries: [ghcr.io/acme, quay.io/acme, docker.io/acme]\n")
    assert built.mirrors.keys() == {"quay.io", "docker.io"}
    assert all(repository.registry == place for place, repository in built.mirrors.items())
    left = built.without({"quay.io", "ghcr.io"})
    assert {each.registry for each in left.images["ml"].repositories} == {"ghcr.io", "docker.io"}
    assert left.images["ml"].repository == built.images["ml"].repository
    assert built.without(()) == built
