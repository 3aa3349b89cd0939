"""Claims: letting a release stand, writing its tag, pushing it, and knowing everybody else's (rules 18 and 19).

The push of an annotated tag is the only compare-and-swap there is. What follows from a claim is `publish`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from dsci.errors import ConflictError
from dsci.later import Later
from dsci.model import claims as claiming
from dsci.model import ledger, notes
from dsci.model.claims import Released, Tag, TagFormat
from dsci.model.facts import Facts
from dsci.model.family import Image
from dsci.model.links import Links
from dsci.model.oci import Digest, Platform
from dsci.model.plan import Plan, PlannedRelease
from dsci.pipeline import marks, publish, remote
from dsci.pipeline.attest import Basis, Release, attest
from dsci.pipeline.order import base_of
from dsci.pipeline.run import Work
from dsci.pipeline.snapshot import Snapshot, snapshot
from dsci.pipeline.work import workshop
from dsci.pipeline.workshop import Workshop
from dsci.pipeline.world import Hands, World
from dsci.ports import Claimed, Git, TagObject


def form_of(now: Snapshot) -> TagFormat:
    """The shape of the Git tags of a family."""
    return TagFormat.of_images(now.settings.versioning, now.family.images.values())


def synchronise(world: World, hands: Hands) -> tuple[Snapshot, Mapping[str, str], list[str]]:
    """Know the remote's claims, and give it those that were made here without it (rule 19).

    Gives HEAD as it was read meanwhile, the remote's tags, and what is to be noted.
    """
    git = world.source.git
    with Later(git.remote_tags) if git.remote() is not None else nullcontext() as asking:
        now = snapshot(world.source, git.head().commit)
        here = git.tag_refs()
    if asking is None:
        return now, {}, []
    theirs, noted = asking.result(), list[str]()
    if now.settings.ledger == "branch":
        git.ledger(fetch=True)
    form = form_of(now)
    ours = claiming.released(git.tags(), form, form.groups)
    remote.check_moved(git, form, here, theirs, ours)
    if fetched := _fetch_claims(git, form, theirs, here):
        hands.console.say(f"fetched {fetched} release tags from {git.remote()}")
    unpushed = [
        claim
        for found in ours.values()
        for claim in found
        if claim.by_dsci and not {claim.tag.name, claim.claimed_by.name} <= theirs.keys()
    ]
    if unpushed:
        claimed = push(world, hands, now, unpushed)
        if not claimed.won:
            raise ConflictError(
                f"{', '.join(sorted(claimed.taken))}: claimed here without the remote, and otherwise on the remote",
                hint="the remote's tag is the claim: delete the local one with `git tag -d`, then run dsci again",
            )
        names = ", ".join(sorted(claim.tag.name for claim in unpushed))
        hands.console.say(f"pushed {names} to {git.remote()}")
        noted.append(f"pushed earlier local claims: {names}")
    return now, theirs, noted


def push(world: World, hands: Hands, now: Snapshot, claims: Sequence[Released]) -> Claimed:
    """Claim these versions, and record them in the ledger."""
    record = recorded(now, claims)
    # A version that was tagged by hand is claimed by the tag beside it; its own may not be on the remote yet.
    tags = {tag.name: tag.oid for claim in claims for tag in (claim.tag, claim.claimed_by)}
    claimed = world.source.git.claim(tags, record)
    if claimed.won and claimed.detail:
        hands.console.warn(claimed.detail)
    return claimed


def recorded(now: Snapshot, claims: Sequence[Released]) -> Mapping[str, bytes]:
    """What the ledger is to hold of these claims."""
    return ledger.record(claims) if now.settings.ledger == "branch" else {}


def refreshed(world: World, now: Snapshot) -> Mapping[str, Sequence[Released]]:
    """All claims as they stand after ours: a float must not pass over a newer one made meanwhile, nor reach one that
    was held back or yanked meanwhile.
    """
    git = world.source.git
    form = form_of(now)
    _fetch_claims(git, form, git.remote_tags(), git.tag_refs())
    said, _ = marks.read(git, now.settings, form, fetch=True)
    return said.on(claiming.released(git.tags(), form, now.family.groups))


def _fetch_claims(git: Git, form: TagFormat, theirs: Mapping[str, str], here: Mapping[str, str]) -> int:
    """Bring the remote's release tags that are not here; how many there were."""
    missing = [name for name in theirs if name not in here and form.read(name)]
    if missing:
        git.fetch_tags(missing)
    return len(missing)


def claims_of(
    world: World,
    hands: Hands,
    now: Snapshot,
    facts: Facts,
    plan: Plan,
    ready: Sequence[PlannedRelease],
    work: Work,
) -> list[Released]:
    """Let every release's index stand, and write the tag objects that would claim them."""
    git = world.source.git
    shop = workshop(world, hands, now, facts)
    source = source_of(world)
    releases = [
        Release(
            image=image,
            version=item.version,
            git_tag=item.claim or item.git_tag,
            commit=item.commit,
            index=publish.release_index(
                image, item, work.images, when=facts.when, source=source, base=common_base(shop, image, work)
            ),
        )
        for item in ready
        for image in (now.family.images[name] for name in item.members)
    ]
    standing = publish.stand_all(hands.registry, [(each.image, each.index) for each in releases])
    basis = Basis(at=now, keys=facts.keys, suites=facts.suites, source=source)
    attest(hands, now.settings.attest, basis, releases)
    made: list[Released] = []
    told = {release.tag: notes.message(release) for release in notes.planned(plan.releases)}
    for item in ready:
        members = [now.family.images[name] for name in item.members]
        digests = {image.name: standing[image.name] for image in members}
        keys: dict[str, str] = {}
        bases: dict[tuple[str, Platform], Digest] = {}
        for image in members:
            for target in image.targets:
                key = facts.keys[target]
                assert key is not None
                keys[str(target)] = key
                bases |= facts.pins[target]
        trailers = claiming.claim_trailers(digests, keys, bases, group=item.image, moved=item.dependencies)
        message = f"{told[item.git_tag]}\n\n{trailers}"
        name = item.claim or item.git_tag
        oid = git.make_tag(TagObject(name=name, commit=item.commit, when=facts.when, message=message))
        tag = Tag(name=name, oid=oid, commit=item.commit, message=message, merged=True)
        made.append(
            Released(
                group=item.image,
                version=now.settings.versioning.numbers().parse(item.version),
                tag=facts.asked.tag if item.claim and facts.asked else tag,
                digests=digests,
                keys=keys,
                bases=bases,
                moved=item.dependencies,
                beside=tag if item.claim else None,
            )
        )
    return made


def source_of(world: World) -> str | None:
    """Where the source code is: the remote's page, the same for every way to write its address."""
    origin = world.source.git.head().origin
    return Links.of(origin).base or origin


def common_base(shop: Workshop, image: Image, work: Work) -> Mapping[str, str]:
    """What an image stands on, as far as all its platforms stand on the same."""
    digests = {target: found.digest for target, found in work.images.items()}
    labels = [base_of(shop, target, digests).items() for target in image.targets]
    return dict(sorted(set(labels[0]).intersection(*labels)))
