"""Removing while others work: on a real registry and on layouts, with a real repository and its remote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.drivers.images import MemoryImage
from tests.drivers.repository import Repo
from tests.pipeline.stocked import DAY, KEY, NOW, WEEK, Meddling, Stock, project, registry, world_of
from tests.realregistry import RealRegistry

from dsci.drivers.git import GitRepository
from dsci.drivers.registry import HttpRegistry
from dsci.errors import HistoryError, RegistryError
from dsci.model import keys, stored, upkeep
from dsci.model.oci import OCI_MANIFEST, Descriptor, Digest, Platform
from dsci.model.receipt import Receipt, to_artifact
from dsci.model.reference import Repository
from dsci.model.upkeep import Owners
from dsci.pipeline import publish
from dsci.pipeline.snapshot import snapshot
from dsci.pipeline.upkeep import Pruned, git_names, owners, prune, read_tips, survey
from dsci.pipeline.world import World

__all__ = ["project", "registry"]  # fixtures

CACHE = "cache: {type: registry, repository: quay.io/acme/steps}\n"


def test_what_nobody_names_goes_and_what_somebody_names_stays(
    registry: tuple[Any, Repository], project: tuple[Repo, World]
) -> None:
    stock = Stock(*registry)
    old, young, owned = (
        stock.push("old"),
        stock.push("young", "12" * 32, age=DAY),
        stock.push("owned", "34" * 32, source_key="ee" * 32),
    )
    before = set(stock.registry.tags(stock.repository))
    done = stock.prune(project[1], Owners(sources={"ee" * 32: "main"}))
    assert done.problem is None and old.descriptor.digest in done.removed and done.restored == ()
    assert [stock.has(image.descriptor.digest) for image in (old, young, owned)] == [False, True, True]
    gone = before - set(stock.registry.tags(stock.repository))
    assert gone and all(tag.startswith(keys.key_tag(KEY)) for tag in gone), "its tags and receipts, no others"
    assert stock.prune(project[1], Owners(sources={"ee" * 32: "main"})).removed == ()


def test_an_index_that_stands_before_the_removal_has_its_image_put_back(
    registry: tuple[Any, Repository], project: tuple[Repo, World]
) -> None:
    """A release names the image after it was judged and before it is removed."""
    stock = Stock(*registry)
    old = stock.push("old")
    index, before = stock.index(old), set(stock.registry.tags(stock.repository))
    through = Meddling(stock.registry, "delete", before=lambda: publish.stand(stock.registry, stock.image, index))
    done = stock.prune(project[1], through=through)  # type: ignore[arg-type]
    assert done.restored[0] == old.descriptor.digest and done.removed == ()
    assert set(stock.registry.tags(stock.repository)) == before | {keys.index_tag(Digest.of(index.to_bytes()))}
    read = stock.registry.manifest(stock.repository.at(old.descriptor.digest))
    assert read is not None and read[1] == old.manifest
    assert stock.registry.blob(stock.repository, old.layers[0]) == old.blobs[old.layers[0].digest]
    assert publish.stand(stock.registry, stock.image, index)


def test_a_release_that_names_what_is_gone_claims_nothing(
    registry: tuple[Any, Repository], project: tuple[Repo, World]
) -> None:
    """The image goes after it was planned with and before its index is written."""
    stock = Stock(*registry)
    old = stock.push("old")
    stock.prune(project[1])
    with pytest.raises(RegistryError):
        publish.stand(stock.registry, stock.image, stock.index(old))


def test_whichever_comes_second_sees_the_other(registry: tuple[Any, Repository], project: tuple[Repo, World]) -> None:
    """The whole of a removal between the writing of the index and the look at its images: it is seen and undone."""
    stock = Stock(*registry)
    old = stock.push("old")
    shelf = survey(stock.registry, stock.repository, NOW)
    found = upkeep.judge(shelf.items, Owners(), now=NOW, ages=WEEK)
    done: list[Pruned] = []
    through = Meddling(
        stock.registry,
        "push_manifest",
        after=lambda: done.append(prune(project[1], stock.registry, stock.repository, found, now=NOW)),
    )
    publish.stand(through, stock.image, stock.index(old))  # type: ignore[arg-type]
    assert done[0].restored[0] == old.descriptor.digest and done[0].removed == ()
    assert stock.has(old.descriptor.digest) and keys.receipt_tag(KEY, "") in stock.registry.tags(stock.repository)


def test_a_removal_that_dies_before_its_second_look_is_seen_by_the_release(
    registry: tuple[Any, Repository], project: tuple[Repo, World]
) -> None:
    stock = Stock(*registry)
    old = stock.push("old")
    through = Meddling(
        stock.registry, "push_manifest", after=lambda: stock.registry.delete(stock.repository, old.descriptor.digest)
    )
    with pytest.raises(RegistryError, match="has lost") as error:
        publish.stand(through, stock.image, stock.index(old))  # type: ignore[arg-type]
    assert error.value.temporary and "dsci release again" in error.value.hint


def test_an_index_that_is_claimed_while_it_is_removed_is_put_back(
    registry: tuple[Any, Repository], project: tuple[Repo, World], tmp_path: Path
) -> None:
    """Its tag comes from another clone, after this one asked the remote."""
    stock, (repo, world) = Stock(*registry), project
    old = stock.push("old")
    digest = publish.stand(stock.registry, stock.image, stock.index(old))
    other = Repo.clone(Repo.at(tmp_path / "remote"), tmp_path / "other")

    def claim() -> None:
        other.git("tag", "-a", "-m", f"ml 1.0.0\n\nDsci-Digest: {digest}", "ml-v1.0.0", "origin/main")
        other.git("push", "--quiet", "origin", "ml-v1.0.0")

    shelf = survey(stock.registry, stock.repository, NOW)
    items = [_aged(item) for item in shelf.items]
    found = upkeep.judge(items, Owners(), now=NOW, ages=WEEK)
    assert not any(each.keep for each in found)
    through = Meddling(stock.registry, "delete", before=claim)
    done = prune(world, through, stock.repository, found, now=NOW)  # type: ignore[arg-type]
    assert {digest, old.descriptor.digest} <= set(done.restored) and done.removed == () and done.problem is None
    assert stock.registry.resolve(stock.repository.tag(keys.index_tag(digest))) is not None
    assert publish.stand(stock.registry, stock.image, stock.index(old)) == digest
    assert "ml-v1.0.0" in repo.git("tag")


def _aged(item: stored.Item) -> stored.Item:
    return replace(item, written=NOW - 30 * DAY)


def test_a_registry_that_cannot_be_read_afterwards_is_an_error(project: tuple[Repo, World], tmp_path: Path) -> None:
    server = RealRegistry(tmp_path / "registry")
    client = HttpRegistry(attempts=1)
    stock = Stock(client, Repository(server.address, "acme/ml"))
    stock.push("old")
    done = stock.prune(project[1], through=Meddling(client, "delete", after=server.stop))  # type: ignore[arg-type]
    assert done.problem is not None and done.problem.exit_code == 5
    assert len(done.removed) == 1 and done.restored == (), "what is gone is told"
    client.close()


def test_what_cannot_be_told_afterwards_is_put_back(
    registry: tuple[Any, Repository], project: tuple[Repo, World], tmp_path: Path
) -> None:
    """The Git remote goes away in the middle: whether an index was claimed meanwhile is not known."""
    stock = Stock(*registry)
    stock.push("old")
    before = stock.registry.tags(stock.repository)
    remote = tmp_path / "remote"
    through = Meddling(stock.registry, "delete", before=lambda: remote.rename(tmp_path / "away"))
    done = stock.prune(project[1], through=through)  # type: ignore[arg-type]
    assert done.problem is not None and done.problem.exit_code == 3
    assert done.removed == () and done.restored and stock.registry.tags(stock.repository) == before


def test_a_repository_is_judged_whole_or_not_at_all(registry: tuple[Any, Repository]) -> None:
    stock = Stock(*registry)
    stock.push("old")

    class Broken(Meddling):
        def manifest(self, reference: Any) -> Any:
            if "." in str(reference.tag):
                raise RegistryError(f"GET {reference}: 500")
            return self._registry.manifest(reference)

    shelf = survey(Broken(stock.registry, ""), stock.repository, NOW)  # type: ignore[arg-type]
    assert shelf.items == () and shelf.problem is not None and "500" in shelf.problem.message


def test_reading_costs_a_request_a_tag(tmp_path: Path) -> None:
    server = RealRegistry(tmp_path)
    told: list[str] = []
    client = HttpRegistry(trace=told.append)
    stock = Stock(client, Repository(server.address, "acme/ml"))
    for number in range(30):
        stock.push(f"image {number}", f"{number:064x}"[::-1])
    told.clear()
    shelf = survey(client, stock.repository, NOW)
    assert len(shelf.items) == 60 and len(told) == 91, "the list, and every tag once"
    client.close()
    server.stop()


# ---------------------------------------------------------------------------------------------------------- who names


def look(world: World, *, fetch: bool = False) -> tuple[Owners, set[str]]:
    ledger = git_names(world, fetch=fetch)
    tips, unread = read_tips(world, ledger.tips)
    return owners(world, ledger, tips, unread, ()), {str(place) for tip in tips for place in tip.repositories}


def test_branches_here_and_on_the_remote_own_their_images(project: tuple[Repo, World], tmp_path: Path) -> None:
    repo, _ = project
    repo.git("checkout", "--quiet", "-b", "local")
    repo.commit("feat: two", {"images/two/Dockerfile": "FROM debian:12\n"})
    other = Repo.clone(Repo.at(tmp_path / "remote"), tmp_path / "other")
    other.git("checkout", "--quiet", "-b", "theirs")
    other.commit("feat: three", {"images/three/Dockerfile": "FROM debian:13\n", "dsci.yaml": CACHE})
    other.git("push", "--quiet", "origin", "theirs")
    world = world_of(GitRepository(repo.folder))
    with pytest.raises(HistoryError, match="lacks commits of 1 of the branches of origin: origin/theirs") as error:
        look(world)
    assert "--fetch" in error.value.hint
    found, places = look(world, fetch=True)
    assert found.images == {"ml", "two", "three"}
    assert places == {*(f"ghcr.io/acme/{name}" for name in ("ml", "three", "two")), "quay.io/acme/steps"}
    assert {owner.partition(" ")[0] for owner in found.sources.values()} == {"local", "origin/theirs"}
    other.git("push", "--quiet", "origin", ":theirs")
    assert look(world)[0].images == {"ml", "two"}, "what this clone remembers of it is no branch any more"


def test_tags_whatever_their_names_and_the_ledger_own_what_they_name(
    project: tuple[Repo, World], tmp_path: Path
) -> None:
    repo, world = project
    remote = Repo.at(tmp_path / "remote")
    other = Repo.clone(remote, tmp_path / "other")
    other.git("tag", "-a", "-m", f"x\n\nDsci-Digest: sha256:{'1' * 64}\nDsci-Key: {'2' * 64} ml", "odd", "origin/main")
    other.git("push", "--quiet", "origin", "odd")
    other.git("checkout", "--quiet", "--orphan", "dsci-ledger")
    other.commit("record", {"releases/old/1.0.0.json": f'{{"digests": {{"old": "sha256:{"3" * 64}"}}}}'})
    other.git("push", "--quiet", "origin", "dsci-ledger")
    with pytest.raises(HistoryError, match="lacks 1 tags") as error:
        look(world)
    assert "git fetch --tags origin" in error.value.hint
    found, _ = look(world, fetch=True)
    assert found.named == {
        "1" * 64: "Git tag odd",
        "2" * 64: "Git tag odd",
        "3" * 64: "ledger releases/old/1.0.0.json",
    }
    repo.git("tag", "-d", "odd")
    with pytest.raises(HistoryError, match="lacks 1 tags"):
        look(world)


def test_a_branch_without_images_is_no_problem_and_one_that_cannot_be_read_is(project: tuple[Repo, World]) -> None:
    repo, _ = project
    repo.git("checkout", "--quiet", "-b", "wip")
    repo.commit("wip", {"dsci.yaml": "nonsense: 1\n"})
    repo.git("checkout", "--quiet", "--orphan", "site")
    repo.git("rm", "-rfq", "--cached", ".")
    repo.git("clean", "-fdxq")
    repo.commit("docs", {"index.html": "<p>"})
    repo.git("checkout", "--quiet", "main")
    found, _ = look(world_of(GitRepository(repo.folder)))
    assert found.unread == ("the branch wip",) and found.images == {"ml"}


def test_images_of_other_machines_have_their_owners(
    project: tuple[Repo, World], registry: tuple[Any, Repository]
) -> None:
    """Without `platforms:` an image has its builder's: an arm64 machine's image of main is main's here too."""
    _, world = project
    there = replace(world.source, platform=Platform("linux", "arm64"))
    (theirs,) = snapshot(there, world.source.git.head().commit).sources.full.values()
    stock = Stock(*registry)
    image = MemoryImage(b"theirs", platform="linux/arm64")
    stock.registry.push_image(image, stock.repository, f"{keys.key_tag(KEY)}-{NOW - 30 * DAY:08x}00000000")
    record = Receipt(target="ml@linux/arm64", key=KEY, source_key=theirs, image=str(image.descriptor.digest))
    artifact = to_artifact(record, Descriptor(media_type=OCI_MANIFEST, digest=image.descriptor.digest, size=1))
    for kind, content in artifact.blobs:
        stock.registry.push_blob(stock.repository, content, kind)
    stock.registry.push_manifest(stock.repository, artifact.manifest, OCI_MANIFEST, keys.receipt_tag(KEY, ""))
    shelf = survey(stock.registry, stock.repository, NOW)
    ledger = git_names(world, fetch=False)
    found = owners(world, ledger, *read_tips(world, ledger.tips), [shelf])
    judged = upkeep.judge(shelf.items, found, now=NOW, ages=WEEK)
    assert all(each.keep for each in judged)
    assert {each.owner for each in judged} == {"main (ml@linux/arm64)"}
