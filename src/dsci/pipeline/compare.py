"""What differs of an image between a Git tag and HEAD: its files, settings and suites, its bases, what it stands on.

The tag's commit is read as today's dsci reads it; what the bases were is what the tag claims. Each changed file is told
with the commit that changed it last. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from dsci.errors import ConfigError
from dsci.model import keys, version
from dsci.model.claims import Released
from dsci.model.commits import Commit
from dsci.model.facts import Facts
from dsci.model.family import TargetId
from dsci.model.oci import Digest, Platform
from dsci.model.text import nearest
from dsci.model.tree import Tree
from dsci.pipeline.past import as_it_was, files_of
from dsci.pipeline.snapshot import Earlier, Snapshot, Source, earlier, snapshot


class ChangedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is not what it was."""

    path: str
    how: str
    """`added`, `changed` or `removed`."""
    commit: Commit | None
    """The last commit that touched it; None for work that is not committed."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What differs of one image."""

    image: str
    present: bool
    """Whether the tag's commit has the image at all, perhaps under an earlier name."""
    files: tuple[ChangedFile, ...] = ()
    suites: tuple[ChangedFile, ...] = ()
    settings: bool = False
    """Whether something differs that no file of its own says: a setting in `dsci.yaml`."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """An image against a Git tag."""

    tag: str
    commit: str
    own: Difference
    above: tuple[Difference, ...]
    """What it stands on, as far as it differs, nearest first."""
    bases: tuple[tuple[str, Platform, Digest | None, Digest | None], ...]
    """External bases that moved: what the tag claims of them, and what they are pinned to now."""

    @property
    def same(self) -> bool:
        """Whether nothing differs that makes the image."""
        own = self.own
        return own.present and not (own.files or own.settings or self.above or self.bases)


def compare(source: Source, now: Snapshot, facts: Facts, image: str, tag: str = "") -> Comparison:
    """Compare an image with a Git tag, by default that of its last release.

    Raises ConfigError where there is no such tag, or none at all.
    """
    git = source.git
    group = now.family.images[image].group
    claims = facts.claims[group]
    commit, name, claim = _start(claims, {each.name: each.commit for each in git.tags()}, image, tag)
    above = {target.image for target in now.family.ancestors(now.family.images[image].targets)} - {image}
    images = [now.family.images[each] for each in (image, *above)]
    then = earlier(source, commit, {name for each in images for name in (each.name, *each.previous_names)})
    log = git.commits([commit])
    nearest_first = [each for each in reversed(now.family.image_order) if each in above]
    differences = [_difference(then, now, each, log) for each in nearest_first]
    return Comparison(
        tag=name,
        commit=commit,
        own=_difference(then, now, image, log),
        above=tuple(each for each in differences if not each.present or each.files or each.settings),
        bases=tuple(_bases(now, facts, claim, image)) if claim is not None and claim.by_dsci else (),
    )


def _start(
    claims: Sequence[Released], tags: Mapping[str, str], image: str, tag: str
) -> tuple[str, str, Released | None]:
    """The commit and the name of the tag, and the claim that it is, if it is one."""
    if not tag:
        claim = version.newest(claims)
        if claim is None:
            raise ConfigError(f"{image} has no release to compare with", hint="name a Git tag: --against TAG")
        return claim.tag.commit, claim.tag.name, claim
    if tag not in tags:
        raise ConfigError(f"there is no Git tag {tag!r}{nearest(tag, sorted(tags))}", hint="see `git tag`")
    return tags[tag], tag, next((each for each in claims if each.tag.name == tag), None)


def _difference(then: Earlier, now: Snapshot, image: str, log: Sequence[Commit]) -> Difference:
    target = now.family.images[image].targets[0]
    before = as_it_was(then, now, target)
    if before is None:
        return Difference(image=image, present=False)
    old, new = files_of(then, before), files_of(now, target)
    paths = {path for path in {**old, **new} if old.get(path) != new.get(path)}
    suites = then.inputs[before].suites | now.inputs[target].suites
    return Difference(
        image=image,
        present=True,
        files=_told(paths, then.tree, now, log),
        suites=_told((path for path in suites if then.tree.get(path) != now.tree.get(path)), then.tree, now, log),
        settings=not paths and then.own[before] != now.sources.own[target],
    )


def _told(paths: Iterable[str], old: Tree, now: Snapshot, log: Sequence[Commit]) -> tuple[ChangedFile, ...]:
    wanted = sorted(paths)
    last = _last(frozenset(wanted), log)
    return tuple(
        ChangedFile(
            path=path,
            how="added" if path not in old else "removed" if path not in now.tree else "changed",
            commit=None if path in now.changed else last.get(path),
        )
        for path in wanted
    )


def _last(paths: Collection[str], log: Sequence[Commit]) -> Mapping[str, Commit]:
    """The newest commit that touched each path."""
    found: dict[str, Commit] = {}
    for commit in log:
        for path in commit.paths:
            if path in paths:
                found.setdefault(path, commit)
    return found


def _bases(
    now: Snapshot, facts: Facts, claim: Released, image: str
) -> Iterable[tuple[str, Platform, Digest | None, Digest | None]]:
    targets: list[TargetId] = list(now.family.images[image].targets)
    pinned = {key: digest for target in targets for key, digest in facts.pins[target].items()}
    for name, platform in sorted(pinned.keys() | claim.bases.keys(), key=lambda key: (key[0], str(key[1]))):
        old, new = claim.bases.get((name, platform)), pinned.get((name, platform))
        if old != new:
            yield name, platform, old, new


def affected(source: Source, now: Snapshot, commit: str) -> frozenset[str]:
    """The images that have other sources or suites than at an earlier commit, or stand on such an image.

    Raises ConfigError where that commit holds nothing that today's dsci can read.
    """
    then = snapshot(source, commit)
    old = {target: (then.sources.full[target], _suites(then, target)) for target in then.family.nodes}
    changed = [
        target for target in now.family.nodes if old.get(target) != (now.sources.full[target], _suites(now, target))
    ]
    return frozenset(target.image for target in changed)


def _suites(of: Snapshot, target: TargetId) -> str:
    return keys.suites_digest(of.family.suites(target), of.tree)
