"""Facts: what Git, the registry and the bases say now, gathered in a few passes.

`observe` lays beside the snapshot of HEAD what is claimed, what is found by key and what changed since. Nothing is
decided and nothing is written here. Where a plan only wants to look, an answer that cannot be had becomes "unknown",
with its reason; where work follows, it is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from dsci.errors import AuthError, ConfigError, DsciError, HistoryError, RegistryError
from dsci.model import commits as commits_model
from dsci.model import config, family, inputs, keys, lock, version, weigh
from dsci.model.claims import Released, TagFormat
from dsci.model.commits import Change, Commit
from dsci.model.event import Event, Trigger
from dsci.model.family import Family, TargetId
from dsci.model.inputs import Inputs
from dsci.model.lines import Line
from dsci.model.numbers import precedence
from dsci.model.oci import ANY, INDEX_TYPES, Digest, Index, OciError, Platform
from dsci.model.pins import Moved
from dsci.model.plan import Facts, Found, Pending, Request, release_tags
from dsci.model.receipt import Receipt, from_manifest
from dsci.model.reference import Reference, Repository
from dsci.model.tree import TreeEntry
from dsci.pipeline import remote
from dsci.pipeline.remote import Remote, Told
from dsci.pipeline.snapshot import Earlier, Snapshot, Source, earlier, snapshot
from dsci.ports import Git, Head, Registry

_LOOKUPS = 8
_ANY = Request()

T = TypeVar("T")


# ------------------------------------------------------------------------------------------------------ facts


@dataclass(frozen=True, kw_only=True)
class World:
    """Whom the facts are asked of."""

    source: Source
    registry: Registry | None
    """None: stay offline."""
    resolve: Callable[[Reference, Platform], Digest | None] | None
    """Finds an external base's platform manifest now; None: stay offline."""
    lenient: bool
    """Whether an answer that cannot be had is "unknown" instead of an error."""
    remote: Remote = Remote.ASK
    """What may be asked of the Git remote."""
    say: Callable[[str], None] = lambda text: None
    """Is told what is fetched."""


def observe(
    world: World,
    request: Request = _ANY,
    *,
    overlay: Mapping[str, TreeEntry | None] | None = None,
    history: bool = True,
    theirs: Mapping[str, str] | None = None,
) -> tuple[Snapshot, Facts]:
    """Read HEAD, its claims, its history and what the registry holds.

    `theirs` are the remote's tags where they are known already. Raises HistoryError where the clone lacks something
    that could change a version.
    """
    git = world.source.git
    head = git.head()
    told = Told(tags=theirs or {})
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(remote.ask, git, world.remote) if history and theirs is None else None
        now = snapshot(world.source, head.commit, overlay=overlay)
        told = asking.result() if asking else told
    groups = tuple(sorted(family.group_members(now.family.images.values())))
    claims: Mapping[str, tuple[Released, ...]] = dict.fromkeys(groups, ())
    nothing = claims_of_nothing(groups)
    found_history = _History(since=nothing, touched=nothing, commits={}, fresh={})
    asked: Released | None = None
    moved: Mapping[str, tuple[Moved, ...]] = {}
    problems: Sequence[str] = ()
    own_changes: Mapping[TargetId, str] = {}
    names: frozenset[str] = frozenset()
    lines: Mapping[str, Line] = {}
    if history:
        form = TagFormat.of_images(now.settings.versioning, now.family.images.values())
        here = git.tag_refs()
        names = frozenset(here.keys() | told.tags.keys())
        claims = remote.claims(
            git,
            form,
            groups,
            here,
            told.tags,
            fetch=world.remote is Remote.FETCH,
            say=world.say,
        )
        asked, claims = _asked(request, claims)
        branch = _branch(world.source, head, now.settings.versioning)
        lines = {group: Line.of(branch, now.settings.versioning.prereleases, group) for group in groups}
        past = _Past(world.source, now, claims)
        # Git writes its log while the files of earlier commits are compared.
        with ThreadPoolExecutor(1) as pool:
            log = pool.submit(git.commits, _starts(claims))
            own_changes = _own_changes(
                past, now, {group: version.last(claims[group], lines[group]) for group in groups}
            )
            moved, problems = _moved(past, now, claims)
            found_history = _history(past, now, claims, lines, log.result())
    newest = {group: next((claim for claim in claims[group] if claim.tag.merged), None) for group in groups}
    warnings = list(problems)
    pins, unpinned = _pins(world, now, newest, warnings)
    found_keys = keys.keys(now.family, now.sources, pins, generated=now.generated)
    suites = {target: keys.suites_digest(now.family.suites(target), now.tree) for target in now.family.nodes}
    return now, Facts(
        commit=head.commit,
        when=head.when,
        settings=now.settings,
        sources=now.sources,
        own_changes=own_changes,
        keys=found_keys,
        suites=suites,
        pins=pins,
        unpinned=unpinned,
        found=_found(world, now, found_keys, suites),
        claims=claims,
        since=found_history.since,
        touched=found_history.touched,
        commits=found_history.commits,
        lines=lines,
        fresh=found_history.fresh,
        moved=moved,
        descendants=_descendants(git, head, claims),
        unconverged=_unconverged(world, now.family, claims, warnings, request.event),
        asked=asked,
        dirty=now.dirty,
        tag_names=names,
        doubts=told.warnings,
        warnings=tuple(warnings),
    )


def uncommitted(git: Git, now: Snapshot) -> tuple[str, ...]:
    """The images whose inputs differ in the work tree from the commit that the snapshot was made of."""
    dirty = git.dirty()
    touched = {target.image for target, given in now.inputs.items() if any(given.touches(path) for path in dirty)}
    return tuple(sorted(touched))


def claims_of_nothing(groups: Iterable[str]) -> Mapping[str, tuple[Change, ...]]:
    """No changes for any group."""
    return dict.fromkeys(groups, ())


def _asked(
    request: Request, claims: Mapping[str, tuple[Released, ...]]
) -> tuple[Released | None, Mapping[str, tuple[Released, ...]]]:
    """The version that the event's tag asks for, where it was made by hand, and the other claims (rule 17)."""
    if request.event.trigger is not Trigger.TAG:
        return None, claims
    found = (claim for each in claims.values() for claim in each if claim.tag.name == request.event.tag)
    asked = next((claim for claim in found if not claim.by_dsci), None)
    if asked is None:
        return None, claims
    return asked, {
        group: tuple(claim for claim in each if claim is not asked) if group == asked.group else each
        for group, each in claims.items()
    }


def _branch(source: Source, head: Head, settings: config.VersioningSettings) -> str:
    """The branch that is released. Raises HistoryError where it is not known and decides what a version is."""
    branch = source.branch or head.branch or ""
    if not branch and settings.prereleases:
        raise HistoryError(
            "HEAD is detached, and versioning.prereleases makes the next version depend on the branch",
            hint="say which one it is: --branch NAME",
        )
    return branch


class _Past:
    """Earlier commits as today's dsci reads them: each once, and of each the images that were released there."""

    def __init__(self, source: Source, now: Snapshot, claims: Mapping[str, Sequence[Released]]) -> None:
        self.git = source.git
        self._source = source
        self._known: dict[str, Earlier | None] = {}
        self._images: dict[str, set[str]] = {}
        for group, members in family.group_members(now.family.images.values()).items():
            needed = {target for member in members for target in member.targets}
            needed |= {above for target in needed for above in now.family.unreleased_above(target)}
            images = [now.family.images[target.image] for target in needed]
            names = {name for image in images for name in (image.name, *image.previous_names)}
            for claim in claims[group]:
                self._images.setdefault(claim.tag.commit, set()).update(names)

    def at(self, commit: str) -> Earlier | None:
        """A commit where something was released; None if it cannot be read any more."""
        if commit not in self._known:
            try:
                self._known[commit] = earlier(self._source, commit, self._images[commit])
            except ConfigError:
                self._known[commit] = None
        return self._known[commit]


def _as_it_was(then: Earlier, now: Snapshot, target: TargetId) -> TargetId | None:
    """What a target was then, perhaps under an earlier name; None where it was not there."""
    names = (target.image, *now.family.images[target.image].previous_names)
    found = (TargetId(name, target.platform) for name in names)
    return next((each for each in found if each in then.own), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _History:
    """What happened since each group's last stable release; the fields are those of `Facts`."""

    since: Mapping[str, tuple[Change, ...]]
    touched: Mapping[str, tuple[Change, ...]]
    commits: Mapping[str, Mapping[str, Commit]]
    fresh: Mapping[str, frozenset[str]]


def _starts(claims: Mapping[str, Sequence[Released]]) -> Sequence[str]:
    """The commits of every group's last stable release; none where a group has none, and all of history counts."""
    bases = {_commit_of(version.stable(found)) for found in claims.values()}
    return [] if "" in bases else sorted(bases)


def _history(
    past: _Past,
    now: Snapshot,
    claims: Mapping[str, Sequence[Released]],
    lines: Mapping[str, Line],
    commits: Sequence[Commit],
) -> _History:
    """One pass over history for all groups. A message is read only if it may matter to one of them."""
    groups = tuple(claims)
    bases = {group: _commit_of(version.stable(claims[group])) for group in groups}
    settled = {group: _commit_of(version.last(claims[group], lines[group])) for group in groups}
    starts = tuple(dict.fromkeys([*bases.values(), *settled.values()]))
    bit = {start: 1 << n for n, start in enumerate(starts)}
    held = weigh.held(starts, {commit.sha: commit for commit in commits})
    unreleased: dict[str, dict[str, Commit]] = {start: {} for start in starts}
    for commit in commits:
        free = ~held[commit.sha] & (1 << len(starts)) - 1
        while free:
            lowest = free & -free
            unreleased[starts[lowest.bit_length() - 1]][commit.sha] = commit
            free ^= lowest
    rules, read = now.settings.versioning.rules(), dict[str, Change]()

    def change(commit: Commit) -> Change:
        if commit.sha not in read:
            read[commit.sha] = commits_model.read(commit, rules)
        return read[commit.sha]

    watch = inputs.Watch(_watched(past, now, bases))
    touched: dict[str, list[Change]] = {group: [] for group in groups}
    since: dict[str, list[Change]] = {group: [] for group in groups}
    for commit in commits:
        hit = frozenset(group for path in commit.paths for group in watch.touched(path))
        for group in groups if commits_model.speaks(commit) else hit:
            if commit.sha in unreleased[bases[group]]:
                since[group].append(change(commit))
                if group in hit:
                    touched[group].append(change(commit))
    return _History(
        since={group: tuple(found) for group, found in since.items()},
        touched={group: tuple(found) for group, found in touched.items()},
        commits={group: unreleased[bases[group]] for group in groups},
        fresh={
            group: frozenset(one.commit.sha for one in found if not held[one.commit.sha] & bit[settled[group]])
            for group, found in since.items()
        },
    )


def _commit_of(claim: Released | None) -> str:
    """The commit of a claim; empty where there is none, and all of history counts."""
    return claim.tag.commit if claim else ""


def watched_now(now: Snapshot) -> Iterator[tuple[str, Inputs]]:
    """Every group's input filters: its own, and those of what it stands on and is never released."""
    for group, members in family.group_members(now.family.images.values()).items():
        own = [target for member in members for target in member.targets]
        above = {each for target in own for each in now.family.unreleased_above(target)}
        for target in (*own, *sorted(above)):
            yield group, now.inputs[target]


def _watched(past: _Past, now: Snapshot, bases: Mapping[str, str]) -> Iterator[tuple[str, Inputs]]:
    """Every group's input filters: its own, those of what it stands on and is never released, those it had before."""
    yield from watched_now(now)
    for group, members in family.group_members(now.family.images.values()).items():
        own = [target for member in members for target in member.targets]
        renamed = bases[group] and any(member.previous_names for member in members)
        then = past.at(bases[group]) if renamed else None
        if then is not None:
            # Before it was renamed, its commits touched what were its inputs then.
            for target in own:
                before = _as_it_was(then, now, target)
                if before is not None:
                    yield group, then.inputs[before]


def _own_changes(past: _Past, now: Snapshot, last: Mapping[str, Released | None]) -> Mapping[TargetId, str]:
    """How each target's own source differs from its last release, by running today's dsci on that commit too.

    What it stands on and is never released itself counts as its own.
    """
    head = past.git.head().commit
    found: dict[TargetId, str] = {}
    for target in now.family.order:
        claim = last[now.family.images[target.image].group]
        if claim is None or (claim.tag.commit == head and not now.dirty):
            continue
        then = past.at(claim.tag.commit)
        told = (target, *now.family.unreleased_above(target))
        differences = (_difference(then, now, each, str(claim.version)) for each in told)
        found[target] = next(filter(None, differences), "")
    return found


def _moved(
    past: _Past, now: Snapshot, claims: Mapping[str, Sequence[Released]]
) -> tuple[Mapping[str, tuple[Moved, ...]], Sequence[str]]:
    """Each group's direct dependencies that moved since its last stable release, and what could not be read of them."""
    settings = now.settings.versioning.content
    if settings.dependencies == "none":
        return {}, ()
    from dsci.pipeline.dependencies import Dependencies, Side

    reader = Dependencies(git=past.git, rules=settings.rules())
    found: dict[str, dict[Moved, None]] = {}
    for target in now.family.order:
        image = now.family.images[target.image]
        base = version.stable(claims[image.group])
        then = past.at(base.tag.commit) if base else None
        for each in (target, *now.family.unreleased_above(target)):
            before = _as_it_was(then, now, each) if then else None
            if then is None or before is None or then.own[before] == now.sources.own[each]:
                continue
            siblings = now.family.nodes[each].siblings.keys()
            old = Side(image=then.images[before.image], tree=then.tree, files=then.files[before], siblings=siblings)
            new = Side(
                image=now.family.images[each.image],
                tree=now.tree,
                files=now.files[each],
                siblings=siblings,
                changed=now.changed,
            )
            found.setdefault(image.group, {}).update(dict.fromkeys(reader.moved(old, new, each)))
    moved = {
        group: tuple(sorted(moves, key=lambda move: (-move.bump, move.name, move.ecosystem)))
        for group, moves in found.items()
    }
    # A Dockerfile that cannot be read is told of already.
    broken = {now.family.images[target.image].dockerfile for target, node in now.family.nodes.items() if node.problem}
    told = sorted(problem for problem in reader.problems if problem.path not in broken)
    return moved, [f"{problem.path}: {problem.why}: what it pins is not known" for problem in told]


def _difference(then: Earlier | None, now: Snapshot, target: TargetId, release: str) -> str:
    if then is None:
        return f"the sources of {release} cannot be read any more"
    before = _as_it_was(then, now, target)
    if before is None:
        return f"new since {release}"
    if before != target:
        return f"renamed from {before.image}"
    if then.own[target] == now.sources.own[target]:
        return ""
    old = {file.source: file.entry for file in then.files[target]}
    new = {file.source: file.entry for file in now.files[target]}
    for files, tree, image in (
        (old, then.tree, then.images[target.image]),
        (new, now.tree, now.family.images[target.image]),
    ):
        files[image.dockerfile] = tree[image.dockerfile]
    changed = sorted(path for path in {**old, **new} if old.get(path) != new.get(path))
    if not changed:
        return f"{config.FILE_NAME} changed its settings"
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{changed[0]} changed{more}"


def _pins(
    world: World, now: Snapshot, last: Mapping[str, Released | None], warnings: list[str]
) -> tuple[keys.Pins, Mapping[TargetId, str]]:
    """Every base's digest: as dsci.lock has it, else its last release, else as resolved now, once (rule 2)."""
    resolved: dict[tuple[str, Platform], Digest | None] = {}
    why: dict[tuple[str, Platform], str] = {}
    pins: dict[TargetId, dict[tuple[str, Platform], Digest]] = {}
    unpinned: dict[TargetId, str] = {}
    for target in now.family.order:
        node = now.family.nodes[target]
        claim = last[now.family.images[target.image].group]
        pins[target] = {}
        kept = (now.locked, claim.bases if claim else {})
        for reference, platform in node.external:
            key = (str(reference), platform)
            digest, reason = _kept(node, reference, platform, kept), ""
            if digest is None:
                # The platforms of a shared base are looked for in the index that it is pinned to.
                index = pins[target].get((str(reference), ANY))
                wanted = reference.repository.at(index) if index else reference
                asked = (str(wanted), platform)
                if asked not in resolved:
                    where = _named_at(now, target, reference)
                    resolved[asked], why[asked] = _resolve_now(world, wanted, platform, where)
                digest = resolved[asked]
                reason = why[asked]
            if digest is None:
                unpinned.setdefault(target, reason)
            else:
                pins[target][key] = digest
    warnings += sorted({text for key, text in why.items() if text and resolved[key] is None})
    return pins, unpinned


def _kept(node: family.Node, reference: Reference, platform: Platform, kept: Iterable[lock.Bases]) -> Digest | None:
    """What the first of these records pins a base to. An index and its platforms come from one record or none."""
    platforms = {wanted for other, wanted in node.external if other == reference}
    for bases in kept:
        digest = bases.get((str(reference), platform))
        if digest is not None and (
            reference not in node.shared or all((str(reference), each) in bases for each in platforms)
        ):
            return digest
    return None


def _named_at(now: Snapshot, target: TargetId, reference: Reference) -> str:
    """`file:line` of the first place in a target's Dockerfile that names this base."""
    node = now.family.nodes[target]
    names = {base.name for base in node.bases if base.reference == reference}
    line = next((source.line for source in node.recipe.sources if source.name in names), 1)
    return f"{now.family.images[target.image].dockerfile}:{line}"


def _resolve_now(world: World, reference: Reference, platform: Platform, where: str) -> tuple[Digest | None, str]:
    if world.resolve is None:
        return None, f"base {reference.familiar} is not resolved: offline"
    try:
        digest = world.resolve(reference, platform)
    except RegistryError as error:
        if not world.lenient:
            error.message = f"{where}: base {reference.familiar} is not resolved: {error.message}"
            raise
        return None, f"base {reference.familiar} is not resolved: {error.message}"
    if digest is None:
        text = f"base {reference.familiar} does not exist" + (f" for {platform}" if platform != ANY else "")
        return None, f"{where}: {text} (correct its name, or log in if the image is private)"
    return digest, ""


def resolve_in(registry: Registry, reference: Reference, platform: Platform) -> Digest | None:
    """The platform manifest that a reference names in a registry now; the index itself for ANY."""
    found = registry.manifest(reference)
    if found is None:
        return None
    descriptor, content = found
    if descriptor.media_type not in INDEX_TYPES or platform == ANY:
        return descriptor.digest
    chosen = Index.from_bytes(content).select(platform)
    return chosen.digest if chosen else None


# --------------------------------------------------------------------------------------------------- registry


def _found(
    world: World, now: Snapshot, known: Mapping[TargetId, str | None], suites: Mapping[TargetId, str]
) -> Mapping[TargetId, Found]:
    """What stands under every key, asked side by side."""
    registry = world.registry
    targets = [target for target in now.family.order if known[target] is not None and target not in now.dirty]
    if registry is None:
        return {target: Found(unknown="offline") for target in now.family.order}

    def look(target: TargetId) -> Found:
        key = known[target]
        assert key is not None
        repository = now.family.images[target.image].repository
        try:
            return proven(world, repository, lambda: look_up(registry, repository, key, suites[target]))
        except RegistryError as error:
            if not world.lenient:
                raise
            return Found(unknown=error.message)

    with ThreadPoolExecutor(_LOOKUPS) as pool:
        answers = dict(zip(targets, pool.map(look, targets), strict=True))
    return {target: answers.get(target, Found()) for target in now.family.order}


def proven(world: World, repository: Repository, read: Callable[[], T]) -> T:
    """Read from a repository; where that is refused, prove the right to push to it and read again (rule 22).

    Many registries answer 401 or 403 for a repository that does not exist yet: only who may push knows that it is so.
    """
    try:
        return read()
    except AuthError:
        if world.lenient or world.registry is None:
            raise
        world.registry.check_push(repository)
        return read()


def look_up(registry: Registry, repository: Repository, key: str, suites: str) -> Found:
    """The image of a key and its receipt: two requests when all is well.

    A receipt says which image it is about; the key's own tag counts only where there is none.
    """
    tested = read_receipt(registry, repository, key, suites)
    built = None
    if tested is None and suites != keys.NO_SUITES:
        built = read_receipt(registry, repository, key, keys.NO_SUITES)
    known = tested or built
    name = repository.at(Digest.parse(known.image)) if known else repository.tag(keys.key_tag(key))
    image = registry.resolve(name)
    return Found(image=image.digest, tested=tested, built=built) if image else Found()


def read_receipt(registry: Registry, repository: Repository, key: str, suites: str) -> Receipt | None:
    """The receipt of (key, suites), or None where there is none, or something else stands in its place."""
    found = registry.manifest(repository.tag(keys.receipt_tag(key, suites)))
    if found is None:
        return None
    try:
        receipt = from_manifest(found[1])
    except OciError:
        return None  # Whatever stands under the tag, it is no receipt: the target is built or tested again.
    return receipt if receipt.key == key and receipt.suites == suites else None


def _descendants(git: Git, head: Head, claims: Mapping[str, Sequence[Released]]) -> frozenset[str]:
    """Commits of unmerged claims that stand on HEAD: a newer run has overtaken this one."""
    unmerged = {claim.tag.commit for found in claims.values() for claim in found if not claim.tag.merged}
    return frozenset(commit for commit in unmerged if git.is_ancestor(head.commit, commit))


def _unconverged(
    world: World, assembled: Family, claims: Mapping[str, Sequence[Released]], warnings: list[str], event: Event
) -> tuple[Pending, ...]:
    """Claims that some registry does not show, oldest first; looked for from the newest claim backwards.

    A run that is about a tag looks at that one alone.
    """
    if world.registry is None:
        return ()
    registry = world.registry

    def look(group: str) -> list[Pending]:
        pending: list[Pending] = []
        for claim in claims[group]:
            about = event.trigger is not Trigger.TAG or event.tag in (claim.tag.name, claim.claimed_by.name)
            if not claim.by_dsci or not about:
                continue
            first = family.group_members(assembled.images.values())[group][0].repository
            missing = proven(world, first, partial(missing_tags, registry, assembled, claim, claims[group]))
            if not missing:
                break
            pending.append(Pending(claim=claim, missing=missing))
        return pending

    found: list[Pending] = []
    unknown: dict[str, list[str]] = {}
    with ThreadPoolExecutor(_LOOKUPS) as pool:
        for group, answer in zip(claims, pool.map(_softly(look, world.lenient), claims), strict=True):
            if isinstance(answer, DsciError):
                unknown.setdefault(answer.message, []).append(group)
            else:
                found += answer
    for message, of in unknown.items():
        warnings.append(f"whether the tags of {', '.join(of)} are in place is unknown: {message}")
    return tuple(sorted(found, key=lambda pending: precedence(pending.claim.version)))


def _softly(look: Callable[[str], list[Pending]], lenient: bool) -> Callable[[str], list[Pending] | DsciError]:
    def run(group: str) -> list[Pending] | DsciError:
        try:
            return look(group)
        except RegistryError as error:
            if not lenient:
                raise
            return error

    return run


def missing_tags(registry: Registry, assembled: Family, claim: Released, claims: Sequence[Released]) -> tuple[str, ...]:
    """The references that should name a claimed release's index and do not."""
    missing: list[str] = []
    members = family.group_members(assembled.images.values())[claim.group]
    for member in members:
        digest = claim.digests.get(member.name)
        if digest is None:
            continue
        for repository in member.repositories:
            for tag in release_tags(member, claim, claims):
                reference = repository.tag(f"{tag.name}{member.suffix}")
                present = registry.resolve(reference)
                if present is None or present.digest != digest:
                    missing.append(str(reference))
    return tuple(missing)
