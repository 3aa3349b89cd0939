"""How long the next version of every image takes, beside one pass of `git log` and beside other tools for one image.

    python benchmarks/versions.py [--commits N] [--tags N] [--images N] [--peers FOLDER] [--rounds N]

Everything is measured side by side in one run, cold in the sense that every round is a new process and dsci keeps
nothing on disk. Ratios of medians are what counts: machines are noisy.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from history import generate
from measure import peak, rounds

#: All that does not depend on how much history there is.
_START = "dsci version, 1 commit, 1 image (start-up)"
_LOG = ["git", "log", "-z", "--format=%H%x00%P%x00%ct%x00%B%x00", "--name-only", "--no-renames", "HEAD"]


def peers(programs: Path, scratch: Path, image: str) -> dict[str, list[str]]:
    """Commands that ask for the next version of one image."""
    cliff, semantic = scratch / f"{image}-cliff.toml", scratch / f"{image}-semantic.toml"
    cliff.write_text(
        f'[git]\nconventional_commits = true\nfilter_unconventional = true\ntag_pattern = "^{image}-v[0-9]"\n'
        f'[bump]\ninitial_tag = "{image}-v0.1.0"\n'
    )
    semantic.write_text(
        f'[semantic_release]\nallow_zero_version = true\ntag_format = "{image}-v{{version}}"\n'
        'commit_parser = "conventional-monorepo"\n[semantic_release.commit_parser_options]\n'
        f'path_filters = ["images/{image}"]\n[semantic_release.branches.any]\nmatch = ".*"\n'
        '[semantic_release.remote]\ntype = "github"\nurl = "https://example.org/a/b.git"\n'
    )
    scope = ["--include-path", f"images/{image}/**"]
    return {
        "git-cliff, 1 image": [str(programs / "git-cliff"), "--config", str(cliff), "--bumped-version", *scope],
        "python-semantic-release, 1 image": [
            str(programs / "semantic-release"),
            "-c",
            str(semantic),
            "--noop",
            "version",
            "--print",
        ],
    }


def main() -> None:
    """Generate, measure, print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--commits", type=int, default=5000)
    parser.add_argument("--tags", type=int, default=1000)
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds that another tool may take")
    parser.add_argument("--peers", type=Path, help="a folder that holds git-cliff and semantic-release")
    options = parser.parse_args()
    dsci = [sys.executable, "-m", "dsci", "version"]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        tiny = scratch / "tiny"
        generate(tiny, commits=1, tags=0, images=1)
        print(f"{options.commits} commits, {options.tags} tags, {options.images} images; medians of {options.rounds}")
        for what, released in (
            ("one image never released: all of history counts", False),
            ("all released lately", True),
        ):
            folder = scratch / f"released-{released}"
            generate(folder, commits=options.commits, tags=options.tags, images=options.images, released=released)
            image = f"image-{options.images - 1:03}"
            commands = {"git log --name-only, all of history": _LOG, "dsci version, all images": dsci}
            commands["dsci version, 1 image"] = [*dsci, image]
            if options.peers:
                commands |= peers(options.peers.resolve(), scratch, image)
            print(f"\n{what}")
            # What git-cliff keeps on disk is taken away, so that it is cold as well.
            cold = ["sh", "-c", "rm -rf .git/git-cliff-core"]
            series = rounds(
                {title: (argv, folder) for title, argv in {"": cold, **commands}.items()} | {_START: (dsci, tiny)},
                options.rounds,
                limit=options.limit,
                check=False,
            )
            medians = {title: found.median for title, found in series.items() if title}
            for title, seconds in medians.items():
                print(f"  {title:44} {seconds:8.3f} s  {'(once)' if len(series[title].wall) == 1 else ''}")
            log, start = medians["git log --name-only, all of history"], medians[_START]
            ours, one = medians["dsci version, all images"], medians["dsci version, 1 image"]
            memory = peak(["version"], folder)
            print(f"  (dsci - start-up) / git log: {(ours - start) / log:.2f}; peak memory {memory:.0f} MiB")
            for title, seconds in medians.items():
                if "1 image" in title and "dsci" not in title:
                    print(f"  {title}: {seconds / one:.1f} times as long as dsci")


if __name__ == "__main__":
    main()
