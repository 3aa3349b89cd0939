"""Links: from the URL of any remote to the pages of GitHub and GitLab."""

from __future__ import annotations

import pytest

from dsci.model.links import Links

GITHUB = Links.of("https://github.com/acme/images.git")
GITLAB = Links.of("git@gitlab.example.org:group/sub/images.git")


@pytest.mark.parametrize(
    ("remote", "base", "forge"),
    [
        ("https://github.com/acme/images.git", "https://github.com/acme/images", "github"),
        ("https://github.com/acme/images/", "https://github.com/acme/images", "github"),
        ("https://user:secret@github.com/acme/images", "https://github.com/acme/images", "github"),
        ("git@github.com:acme/images.git", "https://github.com/acme/images", "github"),
        ("github.com:acme/images", "https://github.com/acme/images", "github"),
        ("ssh://git@github.com/acme/images.git", "https://github.com/acme/images", "github"),
        ("ssh://git@ssh.github.com:443/acme/images.git", "https://github.com/acme/images", "github"),
        ("ssh://git@altssh.gitlab.com:443/a/b.git", "https://gitlab.com/a/b", "gitlab"),
        ("git://GitHub.com/acme/images", "https://github.com/acme/images", "github"),
        ("http://gitlab.local:8080/a/b.git", "http://gitlab.local:8080/a/b", "gitlab"),
        ("ssh://git@gitlab.local:2222/a/b.git", "https://gitlab.local/a/b", "gitlab"),
        ("git@gitlab.com:a/b/c/d.git", "https://gitlab.com/a/b/c/d", "gitlab"),
        ("https://code.example.org/a/b", "", ""),
        ("https://github.com/acme", "", ""),
        ("https://github.com/acme/im)ages", "", ""),
        ("https://github.com/acme/..", "", ""),
        ("https://github.com/acme/a b", "", ""),
        ("https://github.com/acme/x](javascript:alert(1))/y", "", ""),
        ("/srv/git/github/images.git", "", ""),
        ("file:///srv/github/images.git", "", ""),
        ("C:/github/images", "", ""),
        ("../github/images", "", ""),
        ("", "", ""),
        (None, "", ""),
    ],
)
def test_of(remote: str | None, base: str, forge: str) -> None:
    assert Links.of(remote) == Links(base=base, forge=forge)


def test_a_forge_can_be_given() -> None:
    assert Links.of("https://code.example.org/a/b", "gitlab").commit("1") == "https://code.example.org/a/b/-/commit/1"
    assert Links.of("https://code.example.org/a/b", "gitea") == Links()


def test_github() -> None:
    base = "https://github.com/acme/images"
    assert GITHUB.commit("abc") == f"{base}/commit/abc"
    assert GITHUB.request("#12") == f"{base}/pull/12"
    assert GITHUB.request("!12") == ""
    assert GITHUB.issue("#3") == f"{base}/issues/3"
    assert GITHUB.issue("other/x#3") == "https://github.com/other/x/issues/3"
    assert GITHUB.issue("ABC-1") == ""
    assert GITHUB.compare("ml-v1.0.0", "ml-v1.1.0+b@x") == f"{base}/compare/ml-v1.0.0...ml-v1.1.0%2Bb%40x"
    assert GITHUB.tag("a/v1") == f"{base}/releases/tag/a/v1"


def test_gitlab() -> None:
    base = "https://gitlab.example.org/group/sub/images/-"
    assert GITLAB.commit("abc") == f"{base}/commit/abc"
    assert GITLAB.request("!12") == f"{base}/merge_requests/12"
    assert GITLAB.request("#12") == f"{base}/issues/12"
    assert GITLAB.issue("#3") == f"{base}/issues/3"
    assert GITLAB.issue("g/p#3") == "https://gitlab.example.org/g/p/-/issues/3"
    assert GITLAB.compare("v1", "HEAD") == f"{base}/compare/v1...HEAD"
    assert GITLAB.tag("v1") == f"{base}/tags/v1"


def test_what_is_not_known_gives_no_link() -> None:
    none = Links()
    told = [none.commit("a"), none.request("#1"), none.request("!1"), none.issue("#1"), none.issue("a/b#1")]
    assert [*told, none.compare("a", "b"), none.tag("a")] == [""] * 7
