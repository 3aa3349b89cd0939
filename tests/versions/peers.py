"""What other release tools make of the histories: git-cliff, python-semantic-release and commitizen.

Each is given the configuration that comes nearest to dsci's rules, and only histories that need no setting of dsci's.
Their answers are kept in `peers.json` and shown, with the reason of every disagreement, in docs/versioning.md.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from histories import ALL, NAMES, History
from player import FAMILY
from test_histories import write

HERE = Path(__file__).parent
KEPT = HERE / "peers.json"
PAGE = HERE.parents[1] / "docs" / "versioning.md"
TOOLS = ("git-cliff", "python-semantic-release", "commitizen")
REFUSED = "refuses"
_BEGIN, _END = "<!-- peers: begin -->\n", "<!-- peers: end -->\n"

#: Why dsci answers as it does where another tool answers otherwise. The first that fits a history's name counts.
REASONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "inputs": (
        "A commit that touches none of an image's inputs cannot change it, whatever it says; these tools see folders at"
        " most, and never what `.dockerignore` hides.",
        (
            "a feature outside the inputs",
            "breaking outside the inputs",
            "a file that the image does not take",
            "a suite",
            "an empty commit",
            "a merge of nothing that matters",
            "Release-As without a name needs one",
        ),
    ),
    "content": (
        "What was changed is released, at least as a patch: a name must not stand for two contents. These tools ask the"
        " message alone.",
        (
            "floor",
            "type made",
            "unknown type",
            "alias unknown",
            "no space",
            "prose",
            "a list below",
            "fixup",
            "squash!",
            "ticket",
            "gitmoji",
            "Merge in a subject",
            "a file renamed",
            "two on",
            "revert of what",
            "a leaf",
        ),
    ),
    "dependencies": (
        "A direct dependency that moved is a change of the image, whatever the message says; these tools read messages"
        " alone.",
        ("pins",),
    ),
    "nothing": (
        "What was changed back before it was released is no change.",
        ("changed and changed back",),
    ),
    "reverts": (
        "A revert takes back a change that nobody has got yet, or releases the fix of one that is out; these tools"
        " count the change all the same, and its revert as nothing.",
        (
            "feat and its revert",
            "revert",
            "a conventional revert",
            "two reverted",
            "breaking, taken back",
            "a merge, reverted",
            "reapplied",
            "a revert in one image",
            "a revert",
        ),
    ),
    "squash": (
        "The lines of a squashed branch are its commits.",
        ("squash",),
    ),
    "merges": (
        "A merge with a conventional title counts for what it merged; one without counts by its commits.",
        ("a merge", "a pull request merge", "pull request merge", "GitLab merge"),
    ),
    "specification": (
        "Conventional Commits 1.0.0: types in any case (item 15), `BREAKING CHANGE:` in capitals (15), with a colon"
        " (12), at the start of a footer (8).",
        ("type ", "breaking", "footer"),
    ),
    "Release-As": (
        "The footer `Release-As` is dsci's (and release-please's); a version that is asked for is given.",
        ("Release-As", "a prerelease that is asked", "the newest request"),
    ),
    "skipping": (
        "`[skip release]` puts a change off, and it counts the next time.",
        ("skip", "what was skipped"),
    ),
    "tags": (
        "A version follows the highest that HEAD can reach, by whole tag names alone, wherever it stands; what another"
        " branch has taken is a conflict with a name.",
        (
            "first release",
            "0.x",
            "the highest",
            "a backport",
            "newer on",
            "tags of other",
            "a tag with",
            "build metadata",
            "two on one commit",
            "an old line",
            "a minor line",
            "a line",
            "a hotfix",
            "an image that is gone",
            "tags of one",
        ),
    ),
    "prereleases": (
        "A prerelease is on the way to its version, and the next stable release is that version.",
        ("a prerelease",),
    ),
    "parents": (
        "A parent's release is a release of its children; these tools do not know what stands on what.",
        (
            "a parent",
            "one commit in two",
            "a file that is moved",
            "a new image",
            "Release-As for one",
        ),
    ),
    "names": (
        "Tags are matched as a whole, paths as Git keeps them.",
        ("a name that", "a file with"),
    ),
}


def compared() -> list[History]:
    """The histories that need no setting of dsci's and no event."""
    return [each for each in ALL if not each.settings and not each.event and each not in NAMES]


def asked(history: History) -> str:
    """The image that the other tools are asked for."""
    return next(iter(history.expect)) if isinstance(history.expect, Mapping) else "ml"


def ours(history: History) -> str:
    """dsci's answer: a version, – for no release, or a refusal."""
    if history.refuses:
        return REFUSED
    expected = history.expect[asked(history)] if isinstance(history.expect, Mapping) else history.expect
    return expected or "–"


def answers(programs: Path, history: History, folder: Path) -> dict[str, str]:
    """What each tool says of a history, written into `folder`."""
    repository = folder / "repository"
    write(history, repository)
    family = history.start is FAMILY
    image = asked(history)
    prefix = f"{image}-v" if family else "v"
    settings = folder / "settings"
    settings.mkdir()
    cliff, semantic, cz = settings / "cliff.toml", settings / "semantic.toml", settings / "cz.toml"
    cliff.write_text(
        "[git]\nconventional_commits = true\nfilter_unconventional = true\n"
        f'tag_pattern = "^{prefix}[0-9]+\\\\.[0-9]+\\\\.[0-9]+"\n'
        f'[bump]\ninitial_tag = "{prefix}0.1.0"\nbreaking_always_bump_major = {_flag(not _zero(history))}\n'
    )
    semantic.write_text(
        "[semantic_release]\nallow_zero_version = true\nmajor_on_zero = false\n"
        f'tag_format = "{prefix}{{version}}"\ncommit_parser = "conventional{"-monorepo" if family else ""}"\n'
        + "[semantic_release.commit_parser_options]\nparse_squash_commits = true\n"
        + (f'path_filters = ["images/{image}"]\n' if family else "")
        + '[semantic_release.branches.any]\nmatch = ".*"\n'
        '[semantic_release.remote]\ntype = "github"\nurl = "https://example.org/a/b.git"\n'
    )
    cz.write_text(
        '[tool.commitizen]\nname = "cz_conventional_commits"\nversion_provider = "scm"\nversion_scheme = "semver2"\n'
        f'tag_format = "{prefix}$version"\nmajor_version_zero = {_flag(_zero(history))}\n'
    )
    scope = ["--include-path", f"images/{image}/**"] if family else []
    said = {
        "git-cliff": _run(repository, programs / "git-cliff", "--config", cliff, "--bumped-version", *scope),
        "python-semantic-release": _run(
            repository, programs / "semantic-release", "-c", semantic, "--noop", "version", "--print"
        ),
    }
    if not family:
        said["commitizen"] = _run(repository, programs / "cz", "--config", cz, "bump", "--get-next", "--yes")
    tags = subprocess.run(
        ["git", "-C", str(repository), "tag", "--merged", "HEAD", "--list", f"{prefix}*"],
        check=True,
        capture_output=True,
        text=True,
    )
    known = {name.removeprefix(prefix) for name in tags.stdout.split()}
    found: dict[str, str] = {}
    for tool, text in said.items():
        numbers = re.findall(rf"^(?:{re.escape(prefix)})?([0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*)$", text, re.MULTILINE)
        number = numbers[-1] if numbers else ""
        # With nothing to release, the tools print the version that is there.
        found[tool] = "–" if number in known else number or ("–" if _nothing(text) else REFUSED)
    return found


def _zero(history: History) -> bool:
    return (history.tagged or "0").startswith("0")


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _nothing(text: str) -> bool:
    return any(each in text for each in ("NO_COMMITS_FOUND", "NO_COMMITS_TO_BUMP", "not eligible to be bumped"))


def _run(folder: Path, *argv: str | Path) -> str:
    """What a tool prints, within a minute; its colours taken off."""
    ended = subprocess.run(
        [str(each) for each in argv],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "TERM": "dumb", "GIT_CONFIG_GLOBAL": os.devnull},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return re.sub(r"\x1b\[[0-9;]*m", "", ended.stdout + "\n" + ended.stderr)


def ask_all(programs: Path, folder: Path) -> dict[str, dict[str, str]]:
    """Every tool's answer to every history."""

    def ask(history: History) -> dict[str, str]:
        place = folder / re.sub(r"\W+", "-", history.name)
        place.mkdir()
        return answers(programs, history, place)

    histories = compared()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {history.name: found for history, found in zip(histories, pool.map(ask, histories), strict=True)}


def kept() -> dict[str, dict[str, str]]:
    """The answers that are kept."""
    found: dict[str, dict[str, str]] = json.loads(KEPT.read_text())
    return found


def reason(name: str) -> str | None:
    """The kind of reason that explains a history's disagreements: the longest beginning of its name counts."""
    fits = [(len(start), kind) for kind, (_, starts) in REASONS.items() for start in starts if name.startswith(start)]
    return max(fits)[1] if fits else None


def table(found: Mapping[str, Mapping[str, str]]) -> str:
    """Every disagreement, by its reason."""
    rows: dict[str, list[str]] = {}
    agreed = 0
    for history in compared():
        said = found[history.name]
        if all(answer == ours(history) for answer in said.values()):
            agreed += 1
            continue
        cells = [said.get(tool, "") for tool in TOOLS]
        shown = [f"**{cell}**" if cell and cell != ours(history) else cell for cell in cells]
        rows.setdefault(reason(history.name) or "", []).append(
            f"| {history.name} | {ours(history)} | {' | '.join(shown)} |"
        )
    lines = [f"On {agreed} of {len(compared())} histories all of them agree with dsci. On the others:", ""]
    for kind, (why, _) in REASONS.items():
        if kind in rows:
            lines += [f"**{kind}.** {why}", "", f"| history | dsci | {' | '.join(TOOLS)} |", "|---|---|---|---|---|"]
            lines += [*rows[kind], ""]
    return "\n".join(lines)


def page(found: Mapping[str, Mapping[str, str]]) -> str:
    """docs/versioning.md with the table in its place."""
    text = PAGE.read_text()
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table(found)}\n{_END}{after}"


def main(arguments: Iterable[str]) -> None:
    """Ask anew and write `peers.json` and the page: `python peers.py FOLDER-OF-PROGRAMS SCRATCH`."""
    programs, scratch = arguments
    found = ask_all(Path(programs), Path(scratch))
    KEPT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(found))


if __name__ == "__main__":
    main(sys.argv[1:])
