"""The histories: one per rule and trap, with the version that each image gets next and the reason that is given.

`expect` is the version of the one image `ml` (None: no release), or of every image of a family that is named. A case
starts from one commit; `v1.2.3` (or `IMAGE-v1.2.3`) stands on it unless `start` says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from player import FAMILY, ONE, Step, branch, commit, empty, merge, revert, switch, tag

from dsci.model.event import Event, Trigger


@dataclass(frozen=True)
class History:
    """A history and what is to come of it."""

    name: str
    steps: Sequence[Step]
    expect: str | Mapping[str, str | None] | None
    says: str = ""
    """What the reason (of the first image named) contains."""
    warns: str = ""
    settings: str = ""
    start: Mapping[str, str] = field(default_factory=lambda: ONE)
    tagged: str | None = "1.2.3"
    tags: str = ""
    """The tags in the registry, where the history is about them; `sha-…` is always among them."""
    event: Event | None = None
    """What sets the run off, where the history is about that."""
    refuses: str = ""
    """What the refusal to name a version says; then nothing else is expected."""


def one(name: str, message: str, expect: str | None, says: str = "", **more: str) -> History:
    """One commit after 1.2.3 that changes the image."""
    return History(name, [commit(message)], expect, says, **more)  # type: ignore[arg-type]


def docs(name: str, message: str, **more: str) -> History:
    """One commit that changes no input: nothing is released, whatever it says."""
    return History(name, [commit(message, "README.md")], None, "unchanged", **more)  # type: ignore[arg-type]


def images(
    name: str,
    steps: Sequence[Step],
    expect: Mapping[str, str | None],
    says: str = "",
    settings: str = "",
    event: Event | None = None,
) -> History:
    """A history of the family base ← ml, and ml-gpu."""
    return History(name, steps, expect, says, settings=settings, start=FAMILY, event=event)


# Conventional Commits 1.0.0 ------------------------------------------------------------------------------------

SPEC = [
    one("fix", "fix: a", "1.2.4"),
    one("perf", "perf: a", "1.2.4"),
    one("feat", "feat: a", "1.3.0", "feat: a", tags="1.3.0 1.3 1 latest"),
    one("feat with a scope", "feat(api): a", "1.3.0"),
    one("feat bang", "feat!: a", "2.0.0"),
    one("chore bang", "chore(x)!: a", "2.0.0"),
    one("footer", "fix: a\n\nBREAKING CHANGE: b", "2.0.0"),
    one("footer with a hyphen", "fix: a\n\nBREAKING-CHANGE: b", "2.0.0"),
    one("footer after sign-off", "fix: a\n\nSigned-off-by: A <a@b.c>\nBREAKING CHANGE: b", "2.0.0"),
    one("footer in CRLF", "fix: a\r\n\r\nBREAKING CHANGE: b\r\n", "2.0.0"),
    one("footer between others", "fix: a\n\nRefs #1\nBREAKING CHANGE: b\nReviewed-by: Z", "2.0.0"),
    one("breaking in lower case", "fix: a\n\nbreaking change: b", "1.2.4", warns="breaking change where none"),
    one("breaking without a colon", "fix: a\n\nBREAKING CHANGE #b", "1.2.4", warns="breaking change where none"),
    one("breaking in prose", "fix: a\n\nthis is no BREAKING CHANGE: really", "1.2.4", warns="where none is counted"),
    one("breaking as a list item", "fix: a\n\n- BREAKING CHANGE: b", "1.2.4", warns="where none is counted"),
    one("type in capitals", "FEAT: a", "1.3.0"),
    one("type with a capital", "Feat: a", "1.3.0"),
    one("no space", "feat:a", "1.2.4", "x changed", warns="a space is missing"),
    one("unknown type", "deps: a", "1.2.4", "x changed"),
    one("alias unknown", "feature: a", "1.2.4"),
    one("alias configured", "feature: a", "1.3.0", settings="versioning: {types: {feature: minor}}"),
    one(
        "type made worth nothing",
        "perf: a",
        None,
        "no commit asks",
        settings="versioning: {types: {perf: none}, floor: none}",
    ),
    one(
        "refactor made a patch",
        "refactor: a",
        "1.2.4",
        "refactor: a",
        settings="versioning: {types: {refactor: patch}, floor: none}",
    ),
    one("docs made major", "Docs: a", "2.0.0", settings="versioning: {types: {DOCS: major}}"),
]

# The content decides -------------------------------------------------------------------------------------------

CONTENT = [
    one("floor: unconventional", "wip", "1.2.4", "x changed"),
    one("floor: docs that touch an input", "docs: a", "1.2.4", "x changed"),
    one("floor: chore", "chore: a", "1.2.4", "x changed"),
    one("no floor: chore", "chore: a", None, "no commit asks", settings="versioning: {floor: none}"),
    one("no floor: fix", "fix: a", "1.2.4", "fix: a", settings="versioning: {floor: none}"),
    docs("a feature outside the inputs", "feat: describe"),
    docs("breaking outside the inputs", "feat!: describe\n\nBREAKING CHANGE: no"),
    History("an empty commit", [empty("feat: everything")], None, "unchanged"),
    History("nothing since", [], None, "unchanged"),
    History(
        "changed and changed back", [commit("feat: a", write={"x": "1"}), commit("wip", write={"x": "begin"})], None
    ),
    History("a file with a space", [commit("feat: a", "a b.txt")], "1.3.0"),
    History("a file with an accent", [commit("feat: a", "données/é.txt")], "1.3.0"),
    History("a file with a quote and a tab", [commit("feat: a", 'a"b\tc')], "1.3.0"),
    History("a file renamed", [commit("fix: a", write={"x": None, "y": "begin"})], "1.2.4"),
    History("a file deleted", [commit("fix: a", "y"), commit("feat: drop", write={"y": None, "x": "2"})], "1.3.0"),
    History(
        "a suite",
        [commit("feat: test it", "suites/test_x.py")],
        None,
        "unchanged",
        start={**ONE, "suites/test_x.py": "begin", "Dockerfile": "FROM scratch\nCOPY x /\n"},
    ),
    History(
        "a suite that counts",
        [commit("feat: test it", "suites/test_x.py")],
        "1.3.0",
        "feat: test it",
        settings="versioning: {suites: true}",
        start={**ONE, "suites/test_x.py": "begin", "Dockerfile": "FROM scratch\nCOPY x /\n"},
    ),
    History(
        "a suite that is new",
        [commit("wip", "suites/test_x.py")],
        "1.2.4",
        "suites/test_x.py changed",
        settings="versioning: {suites: true}",
        start={**ONE, "Dockerfile": "FROM scratch\nCOPY x /\n"},
    ),
    History("the ignore file", [commit("feat: a", write={".dockerignore": "*.md\nREADME*\nnothing\n"})], "1.3.0"),
]

# Direct dependencies -------------------------------------------------------------------------------------------


def moved(name: str, files: Mapping[str, tuple[str, str]], expect: str | None, says: str = "", **more: str) -> History:
    """Files that pin something, as they were released and as a commit with a plain message made them."""
    start = {**ONE, **{path: before for path, (before, _) in files.items()}}
    after = {path: text for path, (_, text) in files.items()}
    return History(name, [commit("update", write=after)], expect, says, start=start, **more)  # type: ignore[arg-type]


def required(name: str, before: str, after: str, expect: str | None, says: str = "", **more: str) -> History:
    """A requirements.txt, before and after."""
    return moved(name, {"requirements.txt": (before, after)}, expect, says, **more)


_APT = "FROM debian:{base}\nRUN apt-get update && apt-get install -y --no-install-recommends git={git}\nCOPY . /\n"

DEPENDENCIES = [
    required("pins: a major move", "pandas==1.5.3\n", "pandas==2.0.0\n", "2.0.0", "pandas 1.5.3 → 2.0.0"),
    required("pins: a minor move", "pandas==2.0.0\n", "pandas==2.1.0\n", "1.3.0", "pandas 2.0.0 → 2.1.0"),
    required("pins: a patch", "pandas==2.0.0\n", "pandas==2.0.3\n", "1.2.4"),
    required("pins: one added", "pandas==2.0.0\n", "pandas==2.0.0\ndask==2024.1.0\n", "1.3.0", "dask"),
    required("pins: one removed", "pandas==2.0.0\ndask==2024.1.0\n", "pandas==2.0.0\n", "2.0.0", "dask"),
    required("pins: dates", "certifi==2024.7.4\n", "certifi==2025.1.31\n", "1.2.4"),
    required(
        "pins: only a comment", "pandas==2.0.0\n", "# pinned\npandas==2.0.0\n", "1.2.4", "requirements.txt changed"
    ),
    required(
        "pins: what came along says nothing",
        "pandas==2.0.0\nnumpy==1.26.0\n    # via pandas\n",
        "pandas==2.0.1\nnumpy==2.0.0\n    # via pandas\n",
        "1.2.4",
    ),
    required(
        "pins: a rule for one package",
        "pandas==1.5.3\n",
        "pandas==2.0.0\n",
        "1.3.0",
        settings="versioning: {content: {packages: {pandas: minor}}}",
    ),
    required(
        "pins: switched off",
        "pandas==1.5.3\n",
        "pandas==2.0.0\n",
        "1.2.4",
        "requirements.txt changed",
        settings="versioning: {content: {dependencies: none}}",
    ),
    moved(
        "pins: Python's minor is a major",
        {"environment.yml": ("dependencies: [python=3.11]\n", "dependencies: [python=3.12]\n")},
        "2.0.0",
        "python 3.11 → 3.12",
    ),
    moved(
        "pins: the base image",
        {"Dockerfile": (_APT.format(base="12", git="1:2.39.5-0"), _APT.format(base="13", git="1:2.39.5-0"))},
        "2.0.0",
        "debian 12 → 13",
    ),
    moved(
        "pins: a package of the distribution",
        {"Dockerfile": (_APT.format(base="12", git="1:2.39.2-1"), _APT.format(base="12", git="1:2.40.1-1"))},
        "1.3.0",
        "git 1:2.39.2-1 → 1:2.40.1-1",
    ),
    moved(
        "pins: a file that cannot be read",
        {"uv.lock": ('version = 1\n[[package]]\nname = "a"\nversion = "1.0"\n', "[[package\n")},
        "1.2.4",
        warns="uv.lock",
    ),
    History(
        "pins: the commit asks for more",
        [commit("feat!: new pandas", write={"requirements.txt": "pandas==2.0.3\n"})],
        "2.0.0",
        "feat!: new pandas",
        start={**ONE, "requirements.txt": "pandas==2.0.0\n"},
    ),
    History(
        "pins: moved and moved back",
        [
            commit("update", write={"requirements.txt": "pandas==3.0.0\n"}),
            commit("not yet", write={"requirements.txt": "pandas==2.0.1\n"}),
        ],
        "1.2.4",
        start={**ONE, "requirements.txt": "pandas==2.0.0\n"},
    ),
]

# Reverts -------------------------------------------------------------------------------------------------------

REVERTS = [
    History("feat and its revert", [commit("feat: a", label="a"), revert("a")], None, "unchanged"),
    History(
        "feat and its revert, and another file",
        [commit("feat: a", label="a"), revert("a"), commit("docs: b", "y")],
        "1.2.4",
        "y changed",
    ),
    History(
        "revert of what is released",
        [commit("feat: a", label="a"), tag("v1.3.0"), revert("a")],
        "1.3.1",
        "x changed",
    ),
    History(
        "revert of what is released, without a floor",
        [commit("feat: a", label="a"), tag("v1.3.0"), revert("a")],
        "1.3.1",
        'Revert "feat: a"',
        settings="versioning: {floor: none}",
    ),
    History(
        "revert of a revert",
        [commit("feat: a", label="a"), revert("a", as_="b"), revert("b")],
        "1.3.0",
        "feat: a",
    ),
    History(
        "reapplied after a released revert",
        [
            commit("feat: a", label="a"),
            revert("a", as_="b"),
            commit("fix: c", "y"),
            tag("v1.2.4"),
            revert("b", 'Reapply "feat: a"\n\nThis reverts commit {b}.'),
        ],
        "1.3.0",
        'Reapply "feat: a"',
    ),
    History(
        "a conventional revert with Refs",
        [commit("feat: a", label="a"), revert("a", "revert: feat: a\n\nRefs: {a7}")],
        None,
    ),
    History(
        "a conventional revert of what is released",
        [commit("feat: a", label="a"), tag("v1.3.0"), revert("a", "revert: feat: a\n\nRefs: {a}")],
        "1.3.1",
    ),
    History(
        "two reverted at once",
        [
            commit("feat: a", label="a"),
            commit("feat!: b", "y", label="b"),
            commit("revert: both\n\nRefs: {a7}, {b7}", write={"x": "begin", "y": None}),
        ],
        None,
    ),
    History(
        "a revert that names no commit",
        [commit("feat: a"), commit('Revert "feat: a"', write={"x": "begin"}), commit("docs: b", "y")],
        "1.3.0",
    ),
    History(
        "breaking, taken back before anybody got it",
        [commit("feat!: a", label="a"), revert("a"), commit("fix: b", "y")],
        "1.2.4",
        "y changed",
    ),
    History(
        "a merge, reverted",
        [
            branch("topic"),
            commit("feat!: a", "y"),
            commit("feat: b", "z"),
            switch("main"),
            merge("topic", label="m"),
            revert("m"),
            commit("fix: c"),
        ],
        "1.2.4",
        "x changed",
    ),
]

# Squashes, merges, fixups, prefixes ----------------------------------------------------------------------------

MERGES = [
    one("squash of feat and fix", "chore: all of it (#12)\n\n* feat: a\n\n* fix: b", "1.3.0"),
    one("squash with a breaking line", "Things (#12)\n\n* fix: a\n* feat!: x", "2.0.0"),
    one("squash with a footer", "Things (#12)\n\n* fix: a\n\nBREAKING CHANGE: b", "2.0.0"),
    one(
        "squash switched off",
        "chore: x (#12)\n\n* feat: a",
        "1.2.4",
        "x changed",
        settings="versioning: {squash: false}",
    ),
    one("prose below docs", "docs: x\n\nfeat: prose", "1.2.4", "x changed"),
    one("a list below docs", "docs: x\n\n- feat: prose", "1.2.4", "x changed"),
    one("pull request merge, flat", "Merge pull request #1 from a/b\n\nfeat: t", "1.3.0"),
    one("GitLab merge, flat", "Merge branch 'b' into 'main'\n\nfeat: t\n\nSee merge request g/p!1", "1.3.0"),
    one("Merge in a subject of one parent", "Merge the two files", "1.2.4", "x changed"),
    one("fixup", "fixup! feat: a", "1.2.4", "x changed"),
    one("squash!", "squash! feat: a", "1.2.4", "x changed"),
    one("ticket prefix", "ABC-123: feat(x): a", "1.2.4", "x changed", warns="behind a prefix"),
    one("ticket in brackets", "[ABC-123] feat: a", "1.2.4", "x changed", warns="behind a prefix"),
    one("gitmoji", "✨ feat: a", "1.2.4", "x changed", warns="behind a prefix"),
    one("gitmoji code", ":sparkles: feat: a", "1.2.4", "x changed", warns="behind a prefix"),
    one(
        "ticket prefix taken off",
        "ABC-123: feat(x): a",
        "1.3.0",
        settings="versioning: {subject_prefix: '[A-Z]+-[0-9]+: '}",
    ),
    one("gitmoji taken off", "✨ feat!: a", "2.0.0", settings="versioning: {subject_prefix: '\\W+ '}"),
    one("no prefix where one is usual", "feat: a", "1.3.0", settings="versioning: {subject_prefix: '[A-Z]+-[0-9]+: '}"),
    History(
        "a merge counts by its commits",
        [branch("topic"), commit("feat: a", "y"), switch("main"), commit("fix: b"), merge("topic")],
        "1.3.0",
        "feat: a",
    ),
    History(
        "a merge with a title, of docs",
        [branch("topic"), commit("docs: a", "y"), switch("main"), merge("topic", "feat: merged (#3)")],
        "1.3.0",
        "feat: merged",
    ),
    History(
        "a pull request merge with a title",
        [
            branch("topic"),
            commit("wip", "y"),
            switch("main"),
            merge("topic", "Merge pull request #1 from a/b\n\nfeat: t"),
        ],
        "1.3.0",
    ),
    History(
        "a merge of nothing that matters",
        [branch("topic"), commit("feat: a", "README.md"), switch("main"), merge("topic")],
        None,
    ),
]

# Which version comes before ------------------------------------------------------------------------------------

TAGS = [
    History("first release", [commit("feat: a")], "0.1.0", "first release", tagged=None),
    History("first release at another number", [], "1.0.0", settings="versioning: {initial: 1.0.0}", tagged=None),
    History("first release of one commit", [], "0.1.0", tagged=None),
    History("0.x breaking", [commit("feat!: a")], "0.3.0", tagged="0.2.3"),
    History(
        "0.x breaking to 1.0.0",
        [commit("feat!: a")],
        "1.0.0",
        tagged="0.2.3",
        settings="versioning: {major_on_zero: true}",
    ),
    History("0.x feat", [commit("feat: a")], "0.3.0", tagged="0.2.3"),
    History("a prerelease is finished", [commit("feat: a")], "1.3.0", tagged="1.3.0-rc.1"),
    History("the highest, not the newest", [tag("v2.0.0"), commit("wip"), tag("v1.9.9"), commit("fix: a")], "2.0.1"),
    History("two on one commit", [tag("v1.10.0", "v1.9.0"), commit("fix: a")], "1.10.1"),
    History(
        "a backport merged later",
        [
            branch("1.x"),
            switch("main"),
            commit("feat!: b", "y"),
            tag("v2.0.0"),
            switch("1.x"),
            commit("fix: old"),
            tag("v1.2.4"),
            switch("main"),
            merge("1.x"),
            commit("fix: new", "y"),
        ],
        "2.0.1",
        tags="2.0.1 2.0 2 latest",
    ),
    History(
        "newer on an unmerged branch",
        [branch("next"), commit("feat!: n", "y"), tag("v2.0.0"), switch("main"), commit("fix: a")],
        "1.2.4",
    ),
    History(
        "tags of other tools",
        [tag("1.9.0", "x-v3.0.0", "v1.2", "v5", "v1.2.3.4", "release-v4.0.0"), commit("fix: a")],
        "1.2.4",
    ),
    History("a tag with leading zeros", [tag("v01.9.0"), commit("fix: a")], "1.2.4"),
    History("build metadata", [tag("v1.2.4+b.1"), commit("fix: a")], "1.2.5", tags="1.2.5 1.2 1 latest"),
    History(
        "a tag format of one's own",
        [tag("release/1.5.0"), commit("fix: a")],
        "1.5.1",
        settings="versioning: {tag: 'release/{version}'}",
    ),
    History(
        "a tag name that is a pattern",
        [tag("a.c-2.0.0", "abc-3.0.0"), commit("fix: a")],
        "2.0.1",
        settings="versioning: {tag: 'a.c-{version}'}",
    ),
]

# What is asked for ---------------------------------------------------------------------------------------------

ASKED = [
    one("Release-As", "chore: x\n\nRelease-As: 5.0.0", "5.0.0", "Release-As: 5.0.0"),
    one("Release-As, in any case", "chore: x\n\nrelease-as: v5.0.0", "5.0.0"),
    one("Release-As a lower version", "fix: x\n\nRelease-As: 1.0.0", "1.2.4", "x changed", warns="versions only grow"),
    one("Release-As the same version", "fix: x\n\nRelease-As: 1.2.3", "1.2.4", warns="versions only grow"),
    one("Release-As no version", "fix: x\n\nRelease-As: soon", "1.2.4", warns="no version such as"),
    History("Release-As by name needs no path", [commit("chore: x\n\nRelease-As: ml@2.0.0", "README.md")], "2.0.0"),
    History("Release-As without a name needs one", [commit("chore: x\n\nRelease-As: 2.0.0", "README.md")], None),
    one("skip release", "feat: a [skip release]", None, "deferred by [skip release]"),
    History("what was skipped counts later", [commit("feat: a [skip release]"), commit("fix: b")], "1.3.0", "feat: a"),
    History("the newest request counts", [commit("a\n\nRelease-As: 5.0.0"), commit("b\n\nRelease-As: 4.0.0")], "4.0.0"),
]

# Families ------------------------------------------------------------------------------------------------------

FAMILIES = [
    images(
        "one commit in two images",
        [commit("fix: both", "images/base/x", "images/ml-gpu/x")],
        {"base": "1.2.4", "ml-gpu": "1.2.4", "ml": "1.2.4"},
    ),
    images("a leaf alone", [commit("feat: a", "images/ml/x")], {"ml": "1.3.0", "base": None, "ml-gpu": None}),
    images(
        "a name that begins like another",
        [commit("feat: a", "images/ml-gpu/x")],
        {"ml-gpu": "1.3.0", "ml": None, "base": None},
    ),
    images(
        "a parent reaches its children as a patch",
        [commit("feat!: a", "images/base/x")],
        {"ml": "1.2.4", "base": "2.0.0", "ml-gpu": None},
        "parent base 2.0.0",
    ),
    images(
        "a parent reaches its children as itself",
        [commit("feat!: a", "images/base/x")],
        {"ml": "2.0.0", "base": "2.0.0"},
        "parent base 2.0.0",
        "versioning: {propagate: same}",
    ),
    images(
        "a parent that stays alone",
        [commit("feat!: a", "images/base/x")],
        {"ml": None, "base": "2.0.0"},
        settings="versioning: {propagate: none}",
    ),
    images(
        "a file that is moved between images",
        [commit("fix: move", write={"images/base/x": None, "images/ml-gpu/y": "begin"})],
        {"ml-gpu": "1.2.4", "base": "1.2.4", "ml": "1.2.4"},
    ),
    images("a file that the image does not take", [commit("feat: a", "images/ml/notes.md")], {"ml": None}),
    images("a file of nobody", [commit("feat: a", "tools/x")], {"ml": None, "base": None, "ml-gpu": None}),
    images("an empty commit in a family", [empty("feat: bump everything")], {"ml": None, "base": None, "ml-gpu": None}),
    images(
        "a merge with a title, of one image",
        [
            branch("t"),
            commit("wip", "images/ml-gpu/x"),
            switch("main"),
            commit("wip", "images/base/x"),
            merge("t", "feat: t"),
        ],
        {"ml-gpu": "1.3.0", "base": "1.2.4"},
        "feat: t",
    ),
    images(
        "a new image",
        [commit("feat: new", write={"images/new/Dockerfile": "FROM base\n"})],
        {"new": "0.1.0", "base": None, "ml": None},
        "first release",
    ),
    images(
        "an image that is gone",
        [commit("feat!: drop", write={"images/ml/Dockerfile": None, "images/ml/x": None})],
        {"base": None, "ml-gpu": None},
    ),
    images(
        "Release-As for one image",
        [commit("x\n\nRelease-As: ml@3.0.0", "images/base/x")],
        {"ml": "3.0.0", "base": "1.2.4"},
    ),
    images(
        "tags of one image",
        [tag("ml-v2.0.0", "ml-gpu-v9.0.0"), commit("fix: a", "images/ml/x")],
        {"ml": "2.0.1", "base": None},
    ),
    images(
        "a revert in one image of two",
        [commit("feat: a", "images/base/x", "images/ml/x", label="a"), revert("a"), commit("fix: b", "images/ml/y")],
        {"ml": "1.2.4", "base": None},
        "images/ml/y changed",
    ),
    images(
        "a name with an at sign",
        [tag("ml@1.5.0"), commit("fix: a", "images/ml/x")],
        {"ml": "1.5.1", "base": "0.1.0"},
        settings="versioning: {tag: '{image}@{version}'}",
    ),
    images(
        "a name with a slash",
        [tag("ml/v1.5.0"), commit("fix: a", "images/ml/x")],
        {"ml": "1.5.1", "base": "0.1.0"},
        settings="versioning: {tag: '{image}/v{version}'}",
    ),
]

# Names that change -----------------------------------------------------------------------------------------------

MOVED = {
    "images/ml/Dockerfile": None,
    "images/ml/x": None,
    "images/ml/.dockerignore": None,
    "images/lab/Dockerfile": "FROM base\nCOPY . /\n",
    "images/lab/x": "begin",
    "images/lab/.dockerignore": "*.md\n",
    "dsci.yaml": "images: {lab: {previous_names: [ml]}}",
}

NAMES = [
    images("a rename", [commit("chore: call ml lab", write=MOVED)], {"lab": "1.2.4", "base": None}, "renamed from ml"),
    images(
        "a rename that is a feature", [commit("feat: call ml lab", write=MOVED)], {"lab": "1.3.0"}, "feat: call ml lab"
    ),
    images(
        "what came before a rename counts",
        [
            commit("feat: a", "images/ml/x"),
            commit("feat!: of another", "images/ml-gpu/x"),
            commit("chore: rename", write=MOVED),
        ],
        {"lab": "1.3.0", "base": None, "ml-gpu": "2.0.0"},
        "feat: a",
    ),
    images(
        "after a rename",
        [commit("chore: rename", write=MOVED), tag("lab-v1.2.4"), commit("fix: a", "images/lab/x")],
        {"lab": "1.2.5", "base": None},
        "images/lab/x changed",
    ),
    images(
        "a rename that nobody declares",
        [commit("chore: rename", write={**MOVED, "dsci.yaml": "images: {}"})],
        {"lab": "0.1.0"},
        "first release",
    ),
    images(
        "a name that is used again",
        [commit("chore: rename", write=MOVED), tag("ml-v7.0.0"), commit("fix: a", "images/lab/x")],
        {"lab": "7.0.1"},
    ),
]

# Channels and lines ----------------------------------------------------------------------------------------------

CHANNELS = "versioning: {prereleases: {next: rc, 'beta*': beta}}"
BREAKING_ON_NEXT = [branch("next"), commit("feat!: n", "y")]


def lines(name: str, steps: Sequence[Step], expect: str | None, says: str = "", **more: str) -> History:
    """A history of the image `ml` with channels configured."""
    return History(name, steps, expect, says, settings=CHANNELS, **more)  # type: ignore[arg-type]


LINES = [
    lines("the first of a channel", BREAKING_ON_NEXT, "2.0.0-rc.1", "feat!: n", tags="2.0.0-rc.1"),
    lines("the next of a channel", [*BREAKING_ON_NEXT, tag("v2.0.0-rc.1"), commit("fix: a")], "2.0.0-rc.2"),
    lines(
        "a channel after docs",
        [*BREAKING_ON_NEXT, tag("v2.0.0-rc.1"), commit("docs: a", "README.md")],
        None,
        "unchanged",
    ),
    lines(
        "a channel that climbs",
        [branch("next"), commit("fix: a"), tag("v1.2.4-rc.1"), commit("feat: b")],
        "1.3.0-rc.1",
        "feat: b",
    ),
    lines(
        "a channel never goes back",
        [branch("next"), commit("feat!: a", label="a"), tag("v2.0.0-rc.1"), revert("a"), commit("fix: b", "y")],
        "2.0.0-rc.2",
    ),
    lines("a channel by a pattern", [branch("beta-3"), commit("feat: a")], "1.3.0-beta.1"),
    lines(
        "numbers that another branch has taken",
        [
            branch("next-2"),
            commit("feat: a"),
            tag("v1.3.0-rc.1", "v1.3.0-rc.9"),
            switch("main"),
            branch("next"),
            commit("feat: b"),
        ],
        "1.3.0-rc.10",
    ),
    lines(
        "graduation",
        [*BREAKING_ON_NEXT, tag("v2.0.0-rc.1"), commit("fix: a"), tag("v2.0.0-rc.2"), switch("main"), merge("next")],
        "2.0.0",
        "feat!: n",
        tags="2.0.0 2.0 2 latest",
    ),
    lines(
        "graduation without a commit of its own",
        [commit("feat: a"), tag("v1.3.0-rc.1")],
        "1.3.0",
    ),
    lines(
        "graduation with more",
        [branch("next"), commit("fix: a"), tag("v1.2.4-rc.1"), switch("main"), merge("next"), commit("feat!: b")],
        "2.0.0",
        "feat!: b",
    ),
    lines(
        "graduation of the first release",
        [commit("feat: a"), tag("v1.0.0-rc.1")],
        "1.0.0",
        "first release",
        tagged=None,
    ),
    lines("a channel before the first release", [branch("next"), commit("feat: a")], "0.1.0-rc.1", tagged=None),
    lines("main beside a channel", [*BREAKING_ON_NEXT, tag("v2.0.0-rc.1"), switch("main"), commit("fix: a")], "1.2.4"),
    lines(
        "a channel behind a release elsewhere",
        [
            branch("next"),
            commit("feat: a", "y"),
            tag("v1.3.0-rc.1"),
            switch("main"),
            commit("feat: b"),
            tag("v1.3.0"),
            switch("next"),
            commit("fix: c", "y"),
        ],
        None,
        refuses="1.3.0-rc.2 comes next on next, but v1.3.0 is released already",
    ),
    lines(
        "Release-As in a channel", [branch("next"), commit("x\n\nRelease-As: 3.0.0")], "3.0.0-rc.1", "Release-As: 3.0.0"
    ),
    lines(
        "Release-As is heard once",
        [branch("next"), commit("x\n\nRelease-As: 3.0.0"), tag("v3.0.0-rc.1"), commit("fix: a")],
        "3.0.0-rc.2",
        "x changed",
    ),
    lines("a prerelease that is asked for", [commit("feat: a\n\nRelease-As: 1.3.0-pre.1")], "1.3.0-pre.1"),
    lines(
        "what is skipped in a channel",
        [*BREAKING_ON_NEXT, tag("v2.0.0-rc.1"), commit("fix: a [skip release]")],
        None,
        "deferred by [skip release]",
    ),
    History(
        "an old line",
        [branch("1.x"), switch("main"), commit("feat!: b", "y"), tag("v2.0.0"), switch("1.x"), commit("feat: a")],
        "1.3.0",
        tags="1.3.0 1.3 1",
    ),
    History(
        "an old line that would climb",
        [branch("1.x"), commit("feat!: a")],
        None,
        refuses="ml 2.0.0 comes next (feat!: a",
    ),
    History(
        "a minor line that would climb",
        [branch("1.2.x"), commit("feat: a")],
        None,
        refuses="the branch 1.2.x releases 1.2.x",
    ),
    History("a minor line", [branch("v1.2.x"), commit("fix: a")], "1.2.4"),
    History(
        "a line that is not begun", [branch("3.x"), commit("fix: a")], None, "releases 3.x, and 1.2.3 is not of it"
    ),
    History("a line of nothing", [branch("3.x"), commit("fix: a")], None, "nothing of it is released yet", tagged=None),
    History(
        "an old line whose number is taken",
        [branch("1.x"), switch("main"), commit("feat: b", "y"), tag("v1.3.0"), switch("1.x"), commit("feat: a")],
        None,
        refuses="already stands on",
    ),
    History(
        "a hotfix of an old version",
        [branch("hotfix"), switch("main"), commit("feat: b", "y"), tag("v1.3.0"), switch("hotfix"), commit("fix: a")],
        "1.2.4",
        tags="1.2.4 1.2",
    ),
    images(
        "a line of one image",
        [branch("ml/1.2.x"), commit("fix: a", "images/ml/x", "images/base/x")],
        {"ml": "1.2.4", "base": None},
    ),
    images(
        "a line of another image",
        [branch("ml/1.x"), commit("fix: a", "images/base/x")],
        {"base": None, "ml": None},
        "the branch ml/1.x is for ml alone",
    ),
    images(
        "a channel of a family",
        [
            branch("next"),
            commit("feat!: a", "images/base/x"),
            tag("base-v2.0.0-rc.1", "ml-v1.2.4-rc.1"),
            commit("fix: b", "images/base/x"),
        ],
        {"ml": "1.2.4-rc.2", "base": "2.0.0-rc.2", "ml-gpu": None},
        "parent base 2.0.0-rc.2",
        CHANNELS,
    ),
]

# Modes -----------------------------------------------------------------------------------------------------------

LOCKSTEP = "versioning: {mode: lockstep}"
#: 2026-03-01T00:30:00 in Paris is still February in UTC.
EVENING = Event(now=1_772_321_400)


def dated(name: str, shape: str, steps: Sequence[Step], expect: str | None, says: str = "", **more: str) -> History:
    """A history of the image `ml` whose versions are dates, on 2026-02-28."""
    settings = f"versioning: {{scheme: calver, calver: {shape}}}"
    return History(name, steps, expect, says, settings=settings, tagged=None, event=EVENING, **more)  # type: ignore[arg-type]


MODES = [
    images(
        "lockstep: one image moves all",
        [tag("v1.2.3"), commit("feat: a", "images/ml/x")],
        {"family": "1.3.0", "ml": None},
        "feat: a",
        LOCKSTEP,
    ),
    images(
        "lockstep: the highest counts",
        [tag("v1.2.3"), commit("fix: a", "images/ml/x"), commit("feat!: b", "images/base/x")],
        {"family": "2.0.0"},
        "feat!: b",
        LOCKSTEP,
    ),
    images("lockstep: nobody moves", [tag("v1.2.3"), commit("feat: a", "tools/x")], {"family": None}, "", LOCKSTEP),
    images("lockstep: the first release", [], {"family": "0.1.0"}, "first release", LOCKSTEP),
    images(
        "lockstep: a new image",
        [tag("v1.2.3"), commit("feat: new", write={"images/new/Dockerfile": "FROM base\n"})],
        {"family": "1.3.0"},
        "feat: new",
        LOCKSTEP,
    ),
    images(
        "lockstep: Release-As by an image's name",
        [tag("v1.2.3"), commit("fix: a\n\nRelease-As: ml@4.0.0", "images/base/x")],
        {"family": "4.0.0"},
        "Release-As: 4.0.0",
        LOCKSTEP,
    ),
    images(
        "lockstep: an image that is not released",
        [tag("v1.2.3"), commit("feat: a", "images/base/x")],
        {"family": "1.3.0"},
        "feat: a",
        LOCKSTEP + "\nimages: {base: {release: false}}",
    ),
    images(
        "lockstep: a tag of one's own",
        [tag("stack-1.4.0"), commit("fix: a", "images/ml/x")],
        {"family": "1.4.1"},
        settings="versioning: {mode: lockstep, tag: 'stack-{version}'}",
    ),
    dated(
        "a date",
        "YYYY.0M.0D",
        [commit("docs: a")],
        "2026.02.28",
        "first release",
        tags="2026.02.28 2026.02 2026 latest",
    ),
    dated("the same date again", "YYYY.0M.0D", [tag("v2026.02.28"), commit("fix: a")], "2026.02.28.1", "x changed"),
    dated("a later date", "YYYY.0M.0D", [tag("v2026.02.27.3"), commit("wip")], "2026.02.28", "x changed"),
    dated("a date and nothing new", "YYYY.0M.0D", [tag("v2026.02.27")], None, "unchanged"),
    dated("a clock that stands behind", "YYYY.0M.0D", [tag("v2026.03.01"), commit("fix: a")], "2026.03.01.1"),
    dated("a month and a count", "YYYY.MM.MICRO", [tag("v2026.2.0", "v2026.2.10"), commit("feat!: a")], "2026.2.11"),
    dated(
        "a new month",
        "YYYY.MM.MICRO",
        [tag("v2026.1.7"), commit("fix: a")],
        "2026.2.0",
        tags="2026.2.0 2026.2 2026 latest",
    ),
    dated("a short year and a week", "YY.0W.MICRO", [tag("v26.08.0"), commit("fix: a")], "26.09.0"),
    dated("semantic tags beside dates", "YYYY.0M.0D", [tag("v1.2.3"), commit("fix: a")], "2026.02.28"),
    dated(
        "a date that is a float as well",
        "YYYY.0M",
        [tag("v2026.02"), commit("fix: a")],
        "2026.02.1",
        tags="2026.02.1 2026 latest",
    ),
    dated(
        "a date that is asked for",
        "YYYY.0M.0D",
        [tag("v2026.02.01"), commit("x\n\nRelease-As: 2026.04.01")],
        "2026.04.01",
    ),
    dated(
        "a date that is none",
        "YYYY.0M.0D",
        [tag("v2026.02.01"), commit("x\n\nRelease-As: 3.0.0")],
        "2026.02.28",
        warns="no version such as YYYY.0M.0D",
    ),
    History(
        "a channel of dates",
        [tag("v2026.1.0"), branch("next"), commit("feat: a"), tag("v2026.2.0-rc.1"), commit("fix: b")],
        "2026.2.0-rc.2",
        tagged=None,
        event=EVENING,
        settings="versioning: {scheme: calver, calver: YYYY.MM.MICRO, prereleases: {next: rc}}",
    ),
]

# What sets a run off ---------------------------------------------------------------------------------------------


def pushed(name: str) -> Event:
    """A Git tag was pushed."""
    return Event(trigger=Trigger.TAG, tag=name)


EVENTS = [
    History(
        "a tag made by hand",
        [commit("fix: a"), tag("v3.0.0")],
        "3.0.0",
        "the Git tag v3.0.0 asks for it",
        event=pushed("v3.0.0"),
        tags="3.0.0 3.0 3 latest",
    ),
    History(
        "a tag made by hand, and a push of its branch",
        [commit("fix: a"), tag("v3.0.0")],
        None,
        "unchanged",
    ),
    History(
        "a tag made by hand on an old line",
        [
            branch("1.x"),
            switch("main"),
            commit("feat!: b", "y"),
            tag("v2.0.0"),
            switch("1.x"),
            commit("fix: a"),
            tag("v1.2.9"),
        ],
        "1.2.9",
        event=pushed("v1.2.9"),
        tags="1.2.9 1.2 1",
    ),
    History(
        "a tag made by hand elsewhere",
        [commit("fix: a"), tag("v3.0.0"), commit("fix: b")],
        None,
        event=pushed("v3.0.0"),
        refuses="the Git tag v3.0.0 stands on",
    ),
    History(
        "a tag of another tool",
        [commit("fix: a"), tag("nightly")],
        None,
        event=pushed("nightly"),
        warns="is no release of an image here",
    ),
    images(
        "a tag of one image of a family",
        [commit("feat: a", "images/ml/x", "images/base/x"), tag("ml-v5.0.0")],
        {"ml": "5.0.0", "base": None},
        event=pushed("ml-v5.0.0"),
    ),
    History(
        "a request",
        [commit("feat: a")],
        None,
        "a request releases nothing (feat: a",
        event=Event(trigger=Trigger.PULL_REQUEST, branch="main", number="7"),
    ),
    History("a schedule", [commit("feat: a")], "1.3.0", event=Event(trigger=Trigger.SCHEDULE, branch="main")),
]

ALL = [*SPEC, *CONTENT, *DEPENDENCIES, *REVERTS, *MERGES, *TAGS, *ASKED, *FAMILIES, *NAMES, *LINES, *MODES, *EVENTS]
