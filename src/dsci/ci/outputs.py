"""Outputs of a step of GitHub's: what a report comes to, by name. How they are written is `outputfile`'s to say.

Which outputs there are is a promise to workflows: `failed`, `report` and `digests` of all that work, and `released`,
`versions` and `tags` of a release.
"""

from __future__ import annotations

import msgspec

from dsci.model.plan import PlannedRelease
from dsci.model.report import Report, Status


def of_work(report: Report, folder: str) -> dict[str, str]:
    """The outputs of `build` and `test`; `folder` has the report's documents, "" where they could not be written."""
    return {"failed": _said(report.failed), "report": folder, "digests": _json(digests_of_targets(report))}


def of_release(report: Report, folder: str) -> dict[str, str]:
    """The outputs of `release`."""
    return {
        **of_work(report, folder),
        "digests": _json(digests_of_releases(report)),
        "released": _said(bool(report.released)),
        "versions": _json(versions(report)),
        "tags": "\n".join(tags(report)),
    }


def digests_of_targets(report: Report) -> dict[str, str]:
    """What each target's image is now: as it was built, or as it was found under its key."""
    found = {item.id: item.digest for item in report.plan.targets if item.digest}
    found |= {item.subject: item.digest for item in report.outcomes if item.stage == "build" and item.digest}
    failed = {item.subject for item in report.outcomes if item.stage == "build" and item.status is Status.FAILED}
    return {target: digest for target, digest in sorted(found.items()) if target not in failed}


def versions(report: Report) -> dict[str, str]:
    """The version of each image that this run released, or finished the release of; the last one of several."""
    return {item.image: item.version for item in _released(report)}


def tags(report: Report) -> list[str]:
    """The names that stand for what this run published, in every registry."""
    return list(dict.fromkeys(item.reference for item in report.publications))


def digests_of_releases(report: Report) -> dict[str, str]:
    """The index of each release, by the repository it stands in; those of further variants by a tag of theirs."""
    found: dict[str, str] = {}
    for release in _released(report):
        order = {tag: number for number, tag in enumerate(release.tags)}
        stand: dict[str, dict[str, tuple[int, str]]] = {}
        for item in report.publications:
            repository, _, tag = item.reference.rpartition(":")
            if (item.image, item.version) == (release.image, release.version) and tag in order:
                tags = stand.setdefault(repository, {})
                tags[item.digest] = min(tags.get(item.digest, (order[tag], tag)), (order[tag], tag))
        for repository, tags in stand.items():
            # Of all tags of a release, those of the default variant come first.
            (_, first), *others = sorted((place, digest) for digest, place in tags.items())
            found[repository] = first
            found |= {f"{repository}:{tag}": digest for (_, tag), digest in others}
    return dict(sorted(found.items()))


def _released(report: Report) -> list[PlannedRelease]:
    names = set(report.released)
    return [item for item in report.plan.releases if names & {item.git_tag, item.claim}]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _said(value: bool) -> str:
    return "true" if value else "false"
