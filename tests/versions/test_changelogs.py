"""`dsci changelog` on real repositories: what it tells is what was planned, and what people wrote stays."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from histories import ALL, History
from player import AMD64, FAMILY, ONE, Player, Step, branch, commit, empty, merge, plan_of, revert, switch, tag
from test_histories import write

from dsci.cli import cli
from dsci.drivers.git import GitRepository
from dsci.errors import ConfigError, DsciError, HistoryError
from dsci.model import notes
from dsci.model.changelog import Release
from dsci.pipeline import history
from dsci.pipeline.snapshot import Source
from dsci.pipeline.world import World

DIGEST = "sha256:" + "0" * 64


def play(folder: Path, *steps: Step, start: Mapping[str, str] = ONE, remote: str = "") -> Player:
    player = Player(folder)
    player.play(start, steps)
    if remote:
        subprocess.run(["git", "-C", str(folder), "remote", "add", "origin", remote], check=True)
    return player


def read(folder: Path, *, since: str = "", project: str = "ml") -> dict[str, Release]:
    git = GitRepository(folder)
    try:
        source = Source(git=git, project=project, platform=AMD64)
        found = history.read(World(source=source, registry=None, resolve=None, lenient=True), since=since)
    finally:
        git.close()
    return {release.tag: release for release in found.releases}


def told(release: Release) -> list[str]:
    return [entry.summary for entry in release.entries]


def dsci(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["-C", str(folder), "changelog", "--offline", *arguments])


def last(result: Result) -> str:
    """The last line of the story; above it stands that nobody was asked."""
    return result.stderr.split("\n")[-2]


def out(folder: Path, *arguments: str) -> str:
    ended = dsci(folder, *arguments)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def failure(folder: Path, *arguments: str) -> DsciError:
    ended = dsci(folder, *arguments)
    assert isinstance(ended.exception, DsciError), ended.output
    return ended.exception


# ----------------------------------------------------------------------------------------------------- history


@pytest.mark.parametrize(
    "case", [case for case in ALL if not case.refuses], ids=lambda case: case.name.replace(" ", "-")
)
def test_history_tells_of_a_release_what_its_plan_told(case: History, tmp_path: Path) -> None:
    player = write(case, tmp_path)
    project = "ml" if case.start is ONE else "family"
    plan = plan_of(tmp_path, case.event, project)
    for item in plan.releases:
        player._ref(f"tags/{item.git_tag}", item.commit)
    found = read(tmp_path, project=project)
    for expected in notes.planned(plan.releases):
        release = found[expected.tag]
        assert release.entries == expected.entries
        assert (release.image, release.version, release.since) == (expected.image, expected.version, expected.since)
        assert {parent.tag: parent.entries for parent in expected.parents}.items() <= {
            parent.tag: parent.entries for parent in release.parents
        }.items()


def test_every_release_has_its_own_commits(tmp_path: Path) -> None:
    play(
        tmp_path,
        tag("v1.0.0"),
        commit("fix: one"),
        tag("v1.0.1"),
        commit("docs: outside", "README.md"),
        commit("feat: two"),
        commit("fix: three"),
        tag("v1.1.0-rc.1"),
        commit("fix: four"),
        tag("v1.1.0"),
        commit("fix: not yet"),
    )
    found = read(tmp_path)
    assert {name: told(release) for name, release in found.items()} == {
        "v1.1.0": ["four", "three", "two"],
        "v1.1.0-rc.1": ["three", "two"],
        "v1.0.1": ["one"],
        "v1.0.0": ["begin"],
    }
    assert [release.since for release in found.values()] == ["v1.0.1", "v1.0.1", "v1.0.0", ""]
    assert list(read(tmp_path, since="v1.0.1")) == ["v1.1.0", "v1.1.0-rc.1"]
    assert found["v1.0.0"].date == "2023-11-14" and found["v1.0.0"].authors == ("A",)


def test_two_versions_of_one_commit(tmp_path: Path) -> None:
    play(tmp_path, tag("v1.0.0"), commit("fix: one"), tag("v1.0.1", "v1.1.0"))
    found = read(tmp_path)
    assert told(found["v1.0.1"]) == ["one"] and found["v1.1.0"].since == "v1.0.1" and told(found["v1.1.0"]) == []


def test_what_was_taken_back_between_two_releases_is_not_told(tmp_path: Path) -> None:
    play(
        tmp_path,
        tag("v1.0.0"),
        commit("feat: gone", label="gone"),
        revert("gone"),
        commit("fix: stays", label="stays"),
        tag("v1.0.1"),
        revert("stays"),
        tag("v1.0.2"),
    )
    found = read(tmp_path)
    assert told(found["v1.0.1"]) == ["stays"]
    assert [(entry.kind, entry.summary) for entry in found["v1.0.2"].entries] == [("revert", "fix: stays")]


def test_merges_and_branches_that_are_not_merged(tmp_path: Path) -> None:
    play(
        tmp_path,
        tag("v1.0.0"),
        branch("1.0.x"),
        commit("fix: backport", "y"),
        tag("v1.0.1"),
        switch("main"),
        commit("feat: new"),
        tag("v1.1.0"),
        branch("other"),
        commit("feat: elsewhere"),
        tag("v9.0.0"),
        switch("main"),
        merge("1.0.x"),
        tag("v1.1.1"),
    )
    found = read(tmp_path)
    assert "v9.0.0" not in found
    assert told(found["v1.1.0"]) == ["new"] and found["v1.1.0"].since == "v1.0.0"
    assert told(found["v1.1.1"]) == ["backport"] and found["v1.1.1"].since == "v1.1.0"


def test_parents_are_folded(tmp_path: Path) -> None:
    play(
        tmp_path,
        tag("base-v1.0.0", "ml-v1.0.0"),
        commit("fix: base", "images/base/x"),
        tag("base-v1.0.1"),
        commit("feat: base", "images/base/x"),
        tag("base-v1.1.0-rc.1"),
        empty("chore: nothing"),
        tag("base-v1.1.0"),
        commit("fix: ml", "images/ml/x"),
        tag("ml-v1.0.1", "ml-gpu-v0.1.0"),
        start=FAMILY,
    )
    found = read(tmp_path)
    assert list(found)[:3] == ["ml-gpu-v0.1.0", "ml-v1.0.1", "base-v1.1.0"]
    above = {parent.tag: [entry.summary for entry in parent.entries] for parent in found["ml-v1.0.1"].parents}
    assert above == {"base-v1.1.0": ["base"], "base-v1.0.1": ["base"]} and told(found["ml-v1.0.1"]) == ["ml"]
    assert [parent.tag for parent in found["ml-v1.0.0"].parents] == ["base-v1.0.0"]
    assert found["ml-gpu-v0.1.0"].parents == ()


def test_an_image_that_was_renamed_keeps_its_history(tmp_path: Path) -> None:
    play(
        tmp_path,
        commit("fix: as jupyter", "images/jupyter/x"),
        tag("jupyter-v1.0.0", "base-v1.0.0"),
        commit("fix: again", "images/jupyter/x"),
        commit(
            "feat: a new name",
            write={
                "images/jupyter/Dockerfile": None,
                "images/jupyter/x": None,
                "images/lab/Dockerfile": "FROM scratch\nCOPY . /\n",
                "dsci.yaml": "images: {lab: {previous_names: [jupyter]}}\n",
            },
        ),
        tag("lab-v1.1.0"),
        start={"images/jupyter/Dockerfile": "FROM scratch\nCOPY . /\n", "images/base/Dockerfile": "FROM scratch\n"},
    )
    found = read(tmp_path)
    assert told(found["lab-v1.1.0"]) == ["a new name", "again"] and found["lab-v1.1.0"].since == "jupyter-v1.0.0"
    assert told(found["jupyter-v1.0.0"]) == ["as jupyter", "begin"] and found["jupyter-v1.0.0"].image == "lab"


def test_an_earlier_name_that_cannot_be_read_tells_less(tmp_path: Path) -> None:
    start = {
        "images/jupyter/Dockerfile": "FROM scratch\n",
        "images/b/Dockerfile": "FROM scratch\n",
        "dsci.yaml": "no: x",
    }
    play(
        tmp_path,
        tag("jupyter-v1.0.0"),
        commit(
            "feat: a new name",
            write={
                "images/jupyter/Dockerfile": None,
                "images/lab/Dockerfile": "FROM scratch\nCOPY . /\n",
                "dsci.yaml": "images: {lab: {previous_names: [jupyter]}}\n",
            },
        ),
        tag("lab-v1.1.0"),
        start={**start, "dsci.yaml": "no: x"},
    )
    assert told(read(tmp_path)["lab-v1.1.0"]) == ["a new name"] and told(read(tmp_path)["jupyter-v1.0.0"]) == []


def test_images_in_lockstep_are_told_of_together(tmp_path: Path) -> None:
    start = {**FAMILY, "dsci.yaml": "versioning: {mode: lockstep}\n"}
    steps = [tag("v1.0.0"), commit("fix: ml", "images/ml/x"), commit("fix: base", "images/base/x"), tag("v1.0.1")]
    play(tmp_path, *steps, start=start, remote="https://github.com/acme/stack")
    assert told(read(tmp_path, project="stack")["v1.0.1"]) == ["base", "ml"]
    assert out(tmp_path, "ml", "--since", "v1.0.0").startswith("## 1.0.1 (2023-11-14)\n")
    assert "## [1.0.1] - 2023-11-14" in out(tmp_path, "--format", "keepachangelog")


def test_calendar_versions(tmp_path: Path) -> None:
    settings = {"dsci.yaml": "versioning: {scheme: calver, calver: YYYY.0M.0D}\n"}
    play(
        tmp_path, tag("v2023.11.09"), commit("fix: x"), tag("v2023.11.10"), commit("fix: y"), start={**ONE, **settings}
    )
    assert read(tmp_path)["v2023.11.10"].since == "v2023.11.09"
    file = tmp_path / "C.md"
    assert last(dsci(tmp_path, "--write", str(file))) == "C.md: added 2023.11.10, 2023.11.09"
    assert last(dsci(tmp_path, "--write", str(file))) == "C.md is up to date"
    assert out(tmp_path, "--unreleased", "--now", "2024-02-03").startswith("## 2024.02.03 (unreleased)\n")


def test_refusals(tmp_path: Path) -> None:
    play(tmp_path / "a", tag("v1.0.0"), branch("side"), commit("fix: x"), tag("v1.0.1"), switch("main"))
    with pytest.raises(ConfigError, match=r"no Git tag 'v1.0.2'.*v1.0.1"):
        read(tmp_path / "a", since="v1.0.2")
    with pytest.raises(ConfigError, match=r"v1.0.1 is not part of this history"):
        read(tmp_path / "a", since="v1.0.1")
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{tmp_path}/a", str(tmp_path / "b")], check=True)
    with pytest.raises(HistoryError, match="shallow"):
        read(tmp_path / "b")


# ----------------------------------------------------------------------------------------------------- command


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """base and ml, released twice, with something to come."""
    play(
        tmp_path,
        tag("base-v1.0.0", "ml-v1.0.0", "ml-gpu-v1.0.0"),
        commit("fix: base", "images/base/x"),
        commit("feat(api)!: way (#12)\n\nCo-authored-by: Bo <bo@x.example>", "images/ml/x"),
        tag("base-v1.0.1", "ml-v2.0.0"),
        commit("fix: soon", "images/ml/x"),
        start=FAMILY,
        remote="git@github.com:acme/images.git",
    )
    return tmp_path


def test_the_family(stack: Path) -> None:
    text = out(stack)
    headings = [row for row in text.split("\n") if row.startswith("## ")]
    assert headings[:2] == ["## base 1.0.1 (2023-11-14)", "## ml 2.0.0 (2023-11-14)"] and len(headings) == 5
    assert "- **api:** way ([#12](https://github.com/acme/images/pull/12), [" in text
    assert "- base 1.0.1: 1 change\n" in text and "<details>" not in text and "bo@" not in text
    assert "Authors: A, Bo\n" in text


def test_one_image(stack: Path) -> None:
    text = out(stack, "ml", "--since", "ml-v1.0.0")
    assert text.startswith("## 2.0.0 (2023-11-14)\n\n### Breaking changes\n") and text.count("\n## ") == 0
    assert "<details><summary>base 1.0.1: 1 change</summary>" in text


def test_what_comes_next(stack: Path) -> None:
    text = out(stack, "--unreleased")
    assert text.startswith("## ml 2.0.1 (unreleased)\n\n### Fixes\n\n- soon ([") and text.count("## ml") == 1
    assert out(stack, "ml", "--unreleased").startswith("## 2.0.1 (unreleased)\n")
    ended = dsci(stack, "base", "--unreleased")
    assert (ended.stdout, last(ended)) == ("", "nothing comes next")
    found = json.loads(out(stack, "--unreleased", "--json"))
    assert found["releases"] == [] and [release["version"] for release in found["unreleased"]] == ["2.0.1"]


def test_json(stack: Path) -> None:
    found = json.loads(out(stack, "ml", "--json"))
    assert found["repository"] == "https://github.com/acme/images"
    assert [release["version"] for release in found["releases"]] == ["2.0.0", "1.0.0"]
    assert found["releases"][0]["entries"][0]["authors"] == ["A", "Bo"]
    assert found["releases"][0]["parents"][0]["entries"][0]["summary"] == "base"
    assert json.loads(out(stack, "--json", "--since", "ml-v2.0.0"))["releases"] == []


def test_forges(stack: Path) -> None:
    subprocess.run(["git", "-C", str(stack), "remote", "set-url", "origin", "https://code.example/a/b"], check=True)
    assert "](" not in out(stack)
    assert "](https://code.example/a/b/-/commit/" in out(stack, "--forge", "gitlab")


def test_keep_a_changelog(stack: Path) -> None:
    text = out(stack, "ml", "--format", "keepachangelog")
    assert text.startswith("# Changelog\n") and "\n## [Unreleased]\n\n## [2.0.0] - 2023-11-14\n" in text
    assert text.endswith("[1.0.0]: https://github.com/acme/images/releases/tag/ml-v1.0.0\n")


def test_a_template(stack: Path) -> None:
    template = stack / "t.j2"
    template.write_text("{% for r in releases %}\n{{ r.image }} {{ r.entries[0].summary | markdown }}\n{% endfor %}\n")
    assert out(stack, "ml", "--template", str(template)) == "ml way\nml begin\n"
    for text, said in {
        "a\n{{ x.y }}\n": r"t.j2:2: 'x' is undefined",
        "a\n\n{% for %}\n": r"t.j2:3: ",
        "{{ ''.__class__.__mro__ }}": r"t.j2:1: .*__class__.* is unsafe",
        "\n{{ 1 // 0 }}": r"t.j2:2: ",
        "\n{{ releases + 1 }}": r"t.j2:2: ",
        "{% include '/etc/passwd' %}": r"t.j2:1: no loader",
    }.items():
        template.write_text(text)
        error = failure(stack, "--template", str(template))
        assert isinstance(error, ConfigError) and "--json" in error.hint
        with pytest.raises(ConfigError, match=said):
            raise error
    template.write_bytes(b"\xff")
    assert "is not UTF-8" in failure(stack, "--template", str(template)).message
    assert "No such file" in failure(stack, "--template", str(stack / "none")).message


def test_a_file_is_kept(stack: Path) -> None:
    player = Player(stack)
    file = stack / "CHANGELOG.md"
    ended = dsci(stack, "ml", "--write", str(file))
    assert (ended.exit_code, ended.stdout) == (0, "") and last(ended) == "CHANGELOG.md: added 2.0.0, 1.0.0"
    file.write_bytes(file.read_bytes().replace(b"## [Unreleased]\n", b"## [Unreleased]\n\n- by hand\n"))
    file.chmod(0o664)
    before = file.read_bytes()
    ended = dsci(stack, "ml", "--write", str(file))
    assert last(ended) == "CHANGELOG.md is up to date" and file.read_bytes() == before
    assert last(dsci(stack, "ml", "--unreleased", "--write", str(file))) == "CHANGELOG.md: brought up to date"
    assert b"- soon ([" in file.read_bytes() and b"\n- by hand\n" in file.read_bytes()
    head = subprocess.run(["git", "-C", str(stack), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    player._ref("tags/ml-v2.0.1", head.stdout.strip())
    assert last(dsci(stack, "ml", "--write", str(file))) == "CHANGELOG.md: added 2.0.1"
    text = file.read_text()
    assert text.index("## [2.0.1]") < text.index("- by hand") < text.index("- soon (") < text.index("## [2.0.0]")
    assert text.count("- soon (") == text.count("- by hand") == 1 and "<!-- dsci" not in text
    assert file.stat().st_mode & 0o777 == 0o664 and not list(stack.glob(".dsci-*"))


def test_a_link_stays_a_link_and_foreign_bytes_stay(stack: Path) -> None:
    (stack / "docs").mkdir()
    real = stack / "docs" / "changes.md"
    real.write_bytes(b"# \xff\r\n\r\n## [2.0.0]\r\nmine\r\n")
    (stack / "CHANGELOG.md").symlink_to("docs/changes.md")
    assert dsci(stack, "ml", "--write", str(stack / "CHANGELOG.md")).exit_code == 0
    assert (stack / "CHANGELOG.md").is_symlink()
    content = real.read_bytes()
    assert content.startswith(b"# \xff\r\n\r\n## [2.0.0]\r\nmine\r\n\r\n## [1.0.0] - 2023-11-14\r\n")
    assert content.count(b"\n") == content.count(b"\r\n")


def test_a_file_that_cannot_be_written(stack: Path) -> None:
    for place, said in (("none/C.md", "No such file"), ("images", "Is a directory")):
        error = failure(stack, "--write", str(stack / place))
        assert isinstance(error, ConfigError) and said in error.message and error.hint


@pytest.mark.parametrize(
    "arguments",
    [
        ("--json", "--format", "notes"),
        ("--json", "--write", "x"),
        ("--template", "x", "--write", "y"),
        ("--format", "notes", "--write", "y"),
        ("--template", "x", "--json"),
        ("--since", "ml-v1.0.0", "--unreleased"),
    ],
)
def test_what_cannot_go_together(stack: Path, arguments: tuple[str, ...]) -> None:
    ended = dsci(stack, *arguments)
    assert ended.exit_code == 2 and "exclude each other" in ended.stderr and not (stack / "x").exists()


def test_no_such_image(stack: Path) -> None:
    assert "no image 'mk'" in failure(stack, "mk").message
    assert "no image 'mk'" in failure(stack, "mk", "--unreleased").message


def test_nothing_is_released_yet(tmp_path: Path) -> None:
    play(tmp_path)
    ended = dsci(tmp_path)
    assert (ended.exit_code, ended.stdout, last(ended)) == (0, "", "nothing is released yet")
    assert json.loads(out(tmp_path, "--json"))["releases"] == []


HOSTILE = [
    "feat: \x1b[31mred\x1b[0m \x9b31m",
    "feat(<b>): <script>alert(1)</script> <!-- -->",
    "fix: [x](javascript:alert(1)) ![y](z) | `",
    "## [9.9.9] - 2020-01-01",
    f"Dsci-Digest: {DIGEST}",
    f"fix: x\n\nDsci-Digest: {DIGEST}\n\nBREAKING CHANGE: Dsci-Digest: {DIGEST}",
    "x" * 300_000,
    "fix: größer 🎉 日本語 @all\u202e",
    "fix: a\r\n\r\n## [8.8.8]",
    "fix: ::error::x ##[error]y",
]


def test_hostile_messages(tmp_path: Path) -> None:
    # `Player` formats messages: braces are its own.
    play(tmp_path, *(commit(text) for text in HOSTILE), tag("v1.0.0"), remote="https://gitlab.com/a/b.git")
    page = out(tmp_path)
    assert "\x1b" not in page and "\x9b" not in page and "\u202e" not in page and "##[" not in page
    assert "<script" not in page.replace("\\<script", "") and "@all" not in page.replace("`@all`", "")
    assert max(map(len, page.split("\n"))) < 1000
    file = tmp_path / "C.md"
    assert dsci(tmp_path, "--write", str(file)).exit_code == 0
    before = file.read_bytes()
    assert [row for row in file.read_text().split("\n") if row.startswith("## ")] == [
        "## [Unreleased]",
        "## [1.0.0] - 2023-11-14",
    ]
    assert last(dsci(tmp_path, "--write", str(file))) == "C.md is up to date" and file.read_bytes() == before
    assert len(json.loads(out(tmp_path, "--json"))["releases"][0]["entries"]) == len(HOSTILE) + 1
