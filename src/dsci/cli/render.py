"""Plans and reports as text for people. What is shown is decided here, what is true is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dsci.cli.console import harmless
from dsci.model.members import ending_of
from dsci.model.plan import Plan, PlannedRelease, PlannedTarget
from dsci.model.reference import EMBEDDED
from dsci.model.text import clean

if TYPE_CHECKING:
    from dsci.model.report import Report
    from dsci.pipeline.compare import ChangedFile, Comparison


def table(rows: Iterable[Sequence[str]], *, indent: str = "  ") -> str:
    """Columns as wide as their widest cell; the last one as it is."""
    rows = [[harmless(clean(cell, 400)).replace("\n", " ") for cell in row] for row in rows]
    if not rows:
        return ""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(indent + line for line in lines)


def plan(value: Plan) -> str:
    """A plan as a review: each target with its verdict and reason, each release with its tags, totals."""
    narrowed = f", what changed since {value.since[:12]}" if value.since else ""
    lines = [f"Plan for {value.commit[:12]}{narrowed}", ""]
    lines.append(table(_targets(value)) or "  no image")
    if value.unaffected:
        lines += ["", f"Unchanged: {', '.join(value.unaffected)}"]
    fresh = [item for item in value.releases if not item.claimed]
    unfinished = [item for item in value.releases if item.claimed]
    if unfinished:
        lines += ["", "To be finished (claimed before, not all tags in place)", ""]
        lines.append(table((item.image, item.version, item.reason) for item in unfinished))
    if fresh:
        lines += ["", "Releases", ""]
        lines.append(table((item.image, _step(item), item.reason) for item in fresh))
        lines += ["", "Tags", ""]
        lines.append(table((*row, f"git {item.git_tag}") for item in fresh for row in _tags(item)))
    if value.refs:
        lines += ["", "Names that follow this run", ""]
        lines.append(table((item.image, " ".join(item.tags)) for item in value.refs))
    for name in value.superseded:
        lines += ["", f"{name}: a later commit has released it already"]
    counts = {action: sum(item.action == action for item in value.targets) for action in _ACTIONS}
    totals = ", ".join(f"{count} to {action}" for action, count in counts.items() if count)
    lines += ["", f"{totals}; {len(fresh)} to release" if value.has_work else "Nothing to do."]
    return "\n".join(lines)


def _tags(item: PlannedRelease) -> Iterator[tuple[str, str]]:
    """The tags of a release, those of each variant in a row of their own."""
    endings = {f"-{name.partition(':')[2]}" for name in item.members if ":" in name}
    for ending in ("", *sorted(endings)):
        tags = [tag for tag in item.tags if ending_of(tag, endings) == ending]
        yield f"{item.image}{ending.replace('-', ':', 1)}", " ".join(tags)


def _targets(value: Plan) -> Iterator[tuple[str, str, str]]:
    """The family as a tree, each image below the one it stands on; platforms that fare alike share a row."""
    by_image: dict[str, list[PlannedTarget]] = {}
    for item in value.targets:
        by_image.setdefault(item.image, []).append(item)
    above = {name: _above(items, by_image) for name, items in by_image.items()}
    below: dict[str, list[str]] = {}
    for name, parent in above.items():
        below.setdefault(parent, []).append(name)

    def walk(name: str, first: str, rest: str) -> Iterator[tuple[str, str, str]]:
        for n, (platforms, action, reason) in enumerate(_alike(by_image[name])):
            mark = first if n == 0 else rest + ("│  " if below.get(name) else "   ")
            yield f"{mark}{name}@{platforms}", action, reason
        children = below.get(name, [])
        for child in children:
            end = child == children[-1]
            yield from walk(child, f"{rest}{'└─ ' if end else '├─ '}", f"{rest}{'   ' if end else '│  '}")

    for root in below.get("", []):
        yield from walk(root, "", "")


def _above(items: Sequence[PlannedTarget], known: Mapping[str, object]) -> str:
    """The image of the plan that these targets are shown below: their parent, else the first that they need."""
    stands_on = (text.partition("@")[0] for item in items for text in (item.parent or "", *item.needs))
    return next((name for name in stands_on if name in known), "")


def _alike(items: Sequence[PlannedTarget]) -> Iterator[tuple[str, str, str]]:
    """Platforms with one verdict and one reason, together."""
    found: dict[tuple[str, str], list[str]] = {}
    for item in items:
        found.setdefault((item.action, item.reason), []).append(item.platform)
    for (action, reason), platforms in found.items():
        yield ",".join(platforms), action, reason


def comparison(value: Comparison) -> str:
    """What differs from a Git tag, a line for each file."""
    lines = [f"Since {value.tag} ({value.commit[:7]})", ""]
    rows = [(_what(file), _by(file)) for file in value.own.files]
    if not value.own.present:
        rows.append((value.own.image, "was not there"))
    if value.own.settings:
        rows.append(("settings", "changed in dsci.yaml"))
    for each in value.above:
        rows.append((f"stands on {each.image}", "was not there" if not each.present else "changed:"))
        rows += [(f"  {_what(file)}", _by(file)) for file in each.files]
        rows += [("  settings", "changed in dsci.yaml")] if each.settings else []
    for name, platform, old, new in value.bases:
        rows.append((f"base {name} {platform}", f"{old.short if old else 'none'} → {new.short if new else 'none'}"))
    rows += [(f"suite {file.path}", f"{file.how} {_by(file)}") for file in value.own.suites]
    lines.append(table(rows) if rows else "  nothing changed")
    return "\n".join(lines)


def _what(file: ChangedFile) -> str:
    return f"{file.path} {file.how}"


def _by(file: ChangedFile) -> str:
    return f"in {file.commit.sha[:7]} {file.commit.subject[:72]}" if file.commit else "not committed"


_ACTIONS = ("build", "test", "retag", "reuse")


def _step(item: PlannedRelease) -> str:
    return f"{item.previous} → {item.version} ({item.bump})" if item.previous else f"{item.version} (first)"


def _how_to_run(value: Report) -> tuple[str, ...]:
    """Nobody can pull from the embedded registry: how to have such an image in an engine."""
    ours = sorted({item.image for item in value.publications if item.reference.startswith(f"{EMBEDDED}/")})
    if not ours:
        return ()
    return (
        "no registry is configured (registries: in dsci.yaml), so these images are kept on this machine; to run one:"
        f" `dsci export {ours[0]} {ours[0]}.tar` and `docker load --input {ours[0]}.tar`",
    )


def report(value: Report) -> str:
    """What a run came to."""
    from dsci.model.report import Status, Verdict

    lines: list[str] = []
    if value.publications:
        lines += ["Released", ""]
        names: dict[tuple[str, str, str], list[str]] = {}
        for item in value.publications:
            repository, _, tag = item.reference.rpartition(":")
            names.setdefault((item.image, repository, item.digest), []).append(tag)
        lines += [
            table(
                (image, repository, " ".join(tags), digest[:19]) for (image, repository, digest), tags in names.items()
            ),
            "",
        ]
    failed = [outcome for outcome in value.outcomes if outcome.status is Status.FAILED]
    blocked = [outcome for outcome in value.outcomes if outcome.status is Status.BLOCKED]
    if failed:
        lines.append(f"Failed: {', '.join(f'{outcome.subject} ({outcome.stage})' for outcome in failed)}")
    if blocked:
        lines.append(f"Held back: {', '.join(outcome.subject for outcome in blocked)}")
    lines += [f"Note: {note}" for note in (*value.notes, *_how_to_run(value))]
    if not value.plan.has_work and not value.publications:
        lines.append("Nothing to do: every image stands as it should.")
    elif not value.failed:
        checks = sum(suite.count(Verdict.PASSED) for suite in value.suites)
        flaky = sum(suite.flaky for suite in value.suites)
        skipped = sum(suite.count(Verdict.SKIPPED) for suite in value.suites)
        built = sum(outcome.stage == "build" and outcome.status is Status.OK for outcome in value.outcomes)
        parts = [f"{built} built", f"{checks} checks passed" if checks else ""]
        parts += [f"{flaky} of them flaky" if flaky else "", f"{skipped} skipped" if skipped else ""]
        parts.append(f"{len(value.released)} released" if value.plan.releases else "")
        lines.append(f"{', '.join(part for part in parts if part)} in {value.seconds:.1f} s")
    return "\n".join(lines)
