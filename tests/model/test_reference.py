"""Names of images: what Docker means by them, what no registry would take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sampling import examples

from dsci.errors import ConfigError
from dsci.model.oci import Digest
from dsci.model.reference import Reference, Repository, check_tag

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("debian", "docker.io/library/debian"),
        ("debian:12", "docker.io/library/debian:12"),
        ("acme/python", "docker.io/acme/python"),
        ("docker.io/debian", "docker.io/library/debian"),
        ("index.docker.io/acme/x", "docker.io/acme/x"),
        ("registry-1.docker.io/library/x", "docker.io/library/x"),
        ("ghcr.io/acme/python:3.12", "ghcr.io/acme/python:3.12"),
        ("localhost/x", "localhost/x"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("localhost:5000/x:1", "localhost:5000/x:1"),
        ("registry:5000/a/b/c", "registry:5000/a/b/c"),
        ("[::1]:5000/x", "[::1]:5000/x"),
        ("HOST/x", "HOST/x"),
        ("a__b/c--d/e.f", "docker.io/a__b/c--d/e.f"),
        (f"debian@{DIGEST}", f"docker.io/library/debian@{DIGEST}"),
        (f"ghcr.io/a/b:1@{DIGEST}", f"ghcr.io/a/b:1@{DIGEST}"),
    ],
)
def test_short_names_mean_what_docker_means(text: str, full: str) -> None:
    assert str(Reference.parse(text)) == full


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a legal image reference"),
        ("Debian", "not a legal image reference"),
        ("acme//x", "not a legal image reference"),
        ("acme/-x", "not a legal image reference"),
        ("acme/x_", "not a legal image reference"),
        ("a___b", "not a legal image reference"),
        ("x\n", "not a legal image reference"),
        ("a" * 256, "not a legal image reference"),
        ("ghcr.io/", "not a legal image reference"),
        ("ex_ample.com/x", "not a registry host"),
        ("-host.io/x", "not a registry host"),
        ("host:port/x", "not a registry host"),
        ("debian:", "not a legal image tag"),
        ("debian:.1", "not a legal image tag"),
        ("debian:1.2+b", "not a legal image tag"),
        ("debian@", "not a digest"),
        ("debian@sha256:12", "not a digest"),
        (f"debian@{DIGEST}@{DIGEST}", "not a digest"),
    ],
)
def test_no_reference(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Reference.parse(text)


def test_a_name_of_the_longest_kind() -> None:
    path = "a" * (255 - len("ghcr.io/"))
    assert Reference.parse(f"ghcr.io/{path}").repository.path == path
    with pytest.raises(ConfigError):
        Reference.parse(f"ghcr.io/{path}a")


@pytest.mark.parametrize("text", ["debian:12", f"debian@{DIGEST}"])
def test_a_repository_has_neither_tag_nor_digest(text: str) -> None:
    with pytest.raises(ConfigError, match="where a repository is wanted"):
        Repository.parse(text)
    assert Repository.parse("debian") == Repository("docker.io", "library/debian")


def test_values_lead_to_values() -> None:
    repository = Repository.parse("ghcr.io/acme/ml")
    assert str(repository.tag("1.2")) == "ghcr.io/acme/ml:1.2"
    assert str(repository.at(Digest.parse(DIGEST))) == f"ghcr.io/acme/ml@{DIGEST}"
    with pytest.raises(ConfigError):
        repository.tag("1.2+b")


@pytest.mark.parametrize(
    ("text", "familiar"),
    [
        ("debian:12", "debian:12"),
        ("docker.io/library/debian", "debian"),
        ("docker.io/acme/x:1", "acme/x:1"),
        ("docker.io/library/a/b", "library/a/b"),
        ("ghcr.io/library/x", "ghcr.io/library/x"),
        (f"debian@{DIGEST}", f"debian@{DIGEST}"),
    ],
)
def test_names_for_people(text: str, familiar: str) -> None:
    reference = Reference.parse(text)
    assert reference.familiar == familiar
    assert Reference.parse(familiar) == reference


@pytest.mark.parametrize("tag", ["1", "_x", "a" * 128, "1.2.3-rc.1", "A-Z"])
def test_legal_tags(tag: str) -> None:
    assert check_tag(tag) == tag


@pytest.mark.parametrize("tag", ["", "-x", ".x", "a" * 129, "a b", "a/b", "a+b", "a\n", "é"])
def test_illegal_tags(tag: str) -> None:
    with pytest.raises(ConfigError, match="not a legal image tag") as caught:
        check_tag(tag)
    assert "128" in caught.value.hint


_component = st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", fullmatch=True)
_hosts = st.sampled_from(["docker.io", "ghcr.io", "localhost", "r:5000", "[fe80::1]:80", "UPPER", "a.b-c.d:1"])
_references = st.builds(
    lambda host, path, tag, digest: Reference.parse(
        f"{host}/{'/'.join(path)}" + (f":{tag}" if tag else "") + (f"@{DIGEST}" if digest else "")
    ),
    _hosts,
    st.lists(_component, min_size=1, max_size=3),
    st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}", fullmatch=True),
    st.booleans(),
)


@given(_references)
@hypothesis(max_examples=examples(50))
def test_references_come_back(reference: Reference) -> None:
    assert Reference.parse(str(reference)) == reference
    assert Repository.parse(str(reference.repository)) == reference.repository


@given(st.text("aA0./:@_-[]", max_size=20) | st.text(max_size=20))
@hypothesis(max_examples=examples(50))
def test_any_text_is_a_reference_or_a_config_error(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except ConfigError:
        return
    assert Reference.parse(str(reference)) == reference
