"""Names of requests and of branches that are gone, on a real registry and in layouts: what goes, what never does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.drivers.repository import Repo
from tests.drivers.scripted import Answer, FastClock, ScriptedRegistry, Seen
from tests.faultyproxy import FaultyProxy
from tests.pipeline.stocked import DAY, KEY, NOW, Stock, project, registry
from tests.realregistry import RealRegistry

from dsci.drivers.layout import LayoutRegistry
from dsci.drivers.registry import HttpRegistry
from dsci.errors import RegistryError, UnsupportedError
from dsci.model import keys, upkeep
from dsci.model.artifact import artifact
from dsci.model.followed import Names
from dsci.model.oci import OCI_INDEX, Descriptor, Digest
from dsci.model.reference import EMBEDDED, Repository
from dsci.model.retention import Ages, RetentionSettings, Rule
from dsci.model.upkeep import Owners
from dsci.pipeline.upkeep import dated, prune, spare_attached, survey
from dsci.pipeline.world import World

__all__ = ["project", "registry"]  # fixtures

AGES = Ages.of(RetentionSettings())
NAMES = Names(
    live={"main": "the branch main"},
    shapes=((Rule.REQUESTS, "pr-[0-9]+"), (Rule.BRANCHES, "[a-z]+")),
    releases=frozenset({("[0-9.]+|latest", "")}),
)
HOW = {"ages": AGES, "follow": NAMES}
OLD = {"keyed": "12" * 32, "other": "34" * 32}


def family(stock: Stock) -> dict[str, Digest]:
    """A release, a live branch, a request, a branch that is gone, an index that was overtaken: each with an image."""
    images = {name: stock.push(name, f"{number:02x}" * 32) for number, name in enumerate(("a", "b", "c", "d", "e"), 16)}
    found = {
        "1.0.0": stock.followed("1.0.0", "latest", of=[images["a"]], number="1"),
        "main": stock.followed("main", of=[images["b"]], number="2"),
        "pr-12": stock.followed("pr-12", of=[images["c"], images["b"]], number="3"),
        "gone": stock.followed("gone", of=[images["d"]], number="4"),
        "overtaken": stock.followed(of=[images["e"]], age=90 * DAY, number="5"),
    }
    return found | {name: image.descriptor.digest for name, image in images.items()}


def test_old_names_go_with_all_that_only_they_need(
    registry: tuple[Any, Repository], project: tuple[Repo, World]
) -> None:
    stock = Stock(*registry)
    things = family(stock)
    done = stock.prune(project[1], **HOW)
    assert done.problem is None and done.restored == () and done.untagged == ()
    gone = {name for name, digest in things.items() if not stock.has(digest)}
    assert gone == {"pr-12", "gone", "overtaken", "c", "d", "e"}
    left = stock.tags()
    assert {tag for tag in left if not tag.startswith("dsci-")} == {"1.0.0", "latest", "main"}
    for name in ("1.0.0", "main"):
        assert stock.registry.manifest(stock.repository.at(things[name])) is not None
    assert stock.prune(project[1], **HOW).removed == (), "once is enough"


def test_what_is_attached_stays_with_what_it_is_about(
    registry: tuple[Any, Repository], project: tuple[Repo, World]
) -> None:
    """However a registry lists it: of a release, of its image, and of a branch's index that would go without it."""
    stock = Stock(*registry)
    things = family(stock)
    listed: dict[str, Digest] = {}
    for name in ("1.0.0", "a", "gone"):
        about = stock.registry.resolve(stock.repository.at(things[name]))
        assert about is not None
        made = artifact(about, "application/vnd.in-toto+json", name.encode())
        for kind, content in made.blobs:
            stock.registry.push_blob(stock.repository, content, kind)
        stock.registry.attach(stock.repository, made.manifest)
        listed[name] = Digest.of(made.manifest)
    done = stock.prune(project[1], **HOW)
    assert done.problem is None and things["pr-12"] in done.removed
    for name, digest in listed.items():
        assert digest in {item.digest for item in stock.registry.referrers(stock.repository, things[name])}, name
        assert stock.has(digest) and stock.has(things[name])


def test_an_age_that_nobody_knows_keeps(tmp_path: Path, project: tuple[Repo, World]) -> None:
    """docker-registry tells no dates (no Last-Modified), and what stands was written without a dated tag."""
    server = RealRegistry(tmp_path / "registry")
    client = HttpRegistry()
    stock = Stock(client, Repository(server.address, "acme/ml"))
    image = stock.push("one")
    content = stock.index(image).to_bytes()
    for tag in (keys.index_tag(Digest.of(content)), "pr-12"):
        client.push_manifest(stock.repository, content, OCI_INDEX, tag)
    assert client.written(stock.repository.tag("pr-12")) is None
    (found,) = [each for each in stock.judged(**HOW) if each.item.digest == Digest.of(content)]
    assert (found.keep, found.owner, found.reason) == (True, "", "its age is unknown")
    before = stock.tags()
    assert stock.prune(project[1], **HOW).removed == () and stock.tags() == before
    client.close()
    server.stop()


def test_a_copy_in_another_registry_is_as_old_as_what_it_is_a_copy_of(
    tmp_path: Path, project: tuple[Repo, World], registry: tuple[Any, Repository]
) -> None:
    """Only the primary repository has the tag that dates an index: both copies are judged alike."""
    primary = Stock(*registry)
    image = primary.push("one")
    digest = primary.followed("pr-12", of=[image])
    server = RealRegistry(tmp_path / "second")
    client = HttpRegistry()
    second = Stock(client, Repository(server.address, "acme/ml"))
    client.push_image(image, second.repository)
    found = primary.registry.manifest(primary.repository.at(digest))
    assert found is not None
    for tag in (keys.index_tag(digest), "pr-12"):
        client.push_manifest(second.repository, found[1], OCI_INDEX, tag)
    shelves = dated([survey(stock.registry, stock.repository, NOW) for stock in (primary, second)])
    for stock, shelf in zip((primary, second), shelves, strict=True):
        judged = upkeep.judge(shelf.items, Owners(), ages=AGES, now=NOW, names=NAMES)
        done = prune(project[1], stock.registry, stock.repository, judged, now=NOW)
        assert done.problem is None and digest in done.removed and not stock.has(digest)
        assert not stock.has(image.descriptor.digest), "what only the index named there has no tag of its own"
    client.close()
    server.stop()


# ------------------------------------------------------------------------------------ a digest that others need


def shared(stock: Stock) -> tuple[Digest, Owners]:
    """An old branch's name on the very index of a release."""
    digest = stock.followed("gone", "1.0.0", of=[stock.push("one")])
    return digest, Owners(named={digest.hex: "Git tag ml-v1.0.0"})


def test_a_name_that_shares_its_content_goes_alone(tmp_path: Path, project: tuple[Repo, World]) -> None:
    stock = Stock(LayoutRegistry(tmp_path / "layout"), Repository(EMBEDDED, "acme/ml"))
    digest, owners = shared(stock)
    before = stock.tags()
    done = stock.prune(project[1], owners, **HOW)
    assert done.problem is None and done.untagged == ("gone",) and done.removed == ()
    assert stock.tags() == {tag: at for tag, at in before.items() if tag != "gone"} and stock.has(digest)


def test_a_registry_that_deletes_no_tags_loses_nothing(tmp_path: Path, project: tuple[Repo, World]) -> None:
    """docker-registry 2.8 would take the whole manifest away, or refuses: the name stays, and it is said."""
    server = RealRegistry(tmp_path / "registry")
    client = HttpRegistry()
    stock = Stock(client, Repository(server.address, "acme/ml"))
    _, owners = shared(stock)
    old = stock.followed("pr-3", of=[stock.push("two", "12" * 32)], number="2")
    before = stock.tags()
    done = stock.prune(project[1], owners, **HOW)
    assert isinstance(done.problem, UnsupportedError) and done.problem.exit_code == 5
    assert "deletes no tags alone" in done.problem.message and "retention: keep:" in done.problem.hint
    assert done.untagged == () and old in done.removed, "the rest is done"
    assert {tag: at for tag, at in before.items() if at in stock.tags().values()} == stock.tags()
    client.close()
    server.stop()


class TagDeleting(ScriptedRegistry):
    """A registry as of the specification's 1.1.0: a tag may be deleted. `how` makes it do something else."""

    def __init__(self, how: str = "tag") -> None:
        super().__init__()
        self.how = how

    def act_manifests(self, seen: Seen, name: str, rest: str) -> Answer:
        if seen.method == "DELETE" and not rest.startswith("sha256:"):
            if self.how == "whole":
                return super().act_manifests(seen, name, str(Digest.of(self.manifests[name, rest][1])))
            if self.how == "tag":
                del self.manifests[name, rest]
            return Answer(202)
        return super().act_manifests(seen, name, rest)


@pytest.fixture(params=["tag", "whole", "nothing"])
def deleting(request: pytest.FixtureRequest) -> Iterator[tuple[str, Stock]]:
    with TagDeleting(request.param) as server:
        client = HttpRegistry(clock=FastClock())
        yield request.param, Stock(client, Repository(server.host, "acme/ml"))
        client.close()


def test_what_a_registry_made_of_it_is_looked_at(deleting: tuple[str, Stock], project: tuple[Repo, World]) -> None:
    how, stock = deleting
    digest, owners = shared(stock)
    before = stock.tags()
    done = stock.prune(project[1], owners, **HOW)
    rest = {tag: at for tag, at in before.items() if tag != "gone"}
    assert stock.has(digest)
    match how:
        case "tag":
            assert done.problem is None and done.untagged == ("gone",) and stock.tags() == rest
        case "whole":
            assert isinstance(done.problem, UnsupportedError) and "was put back" in done.problem.message
            assert stock.tags() == rest, "every other name is as it was"
        case "nothing":
            assert done.problem is not None and "still there" in done.problem.message
            assert stock.tags() == before and done.untagged == ()


# ------------------------------------------------------------------------------------------------ while others work


@pytest.mark.parametrize("name", ["stable", "main", f"{keys.key_tag(KEY)}-{NOW:08x}11111111"])
def test_what_was_named_since_it_was_judged_stays(
    registry: tuple[Any, Repository], project: tuple[Repo, World], name: str
) -> None:
    """Deleting a manifest would take the new name with it, one that moved here (`main`) as well as a new run's."""
    stock = Stock(*registry)
    things = family(stock)
    judged = stock.judged(**HOW)
    content = stock.registry.manifest(stock.repository.at(things["pr-12"]))
    assert content is not None
    stock.registry.push_manifest(stock.repository, content[1], OCI_INDEX, name)
    done = prune(project[1], stock.registry, stock.repository, judged, now=NOW)
    assert done.problem is None and done.spared == (name,)
    assert {"pr-12", name} <= stock.tags().keys() and stock.has(things["c"])
    assert things["gone"] in done.removed and not stock.has(things["d"])


def whole(stock: Stock) -> None:
    """Everything that has a name can be had, with all that it names."""
    shelf = survey(stock.registry, stock.repository, NOW)
    assert shelf.problem is None
    there = {item.digest for item in shelf.items}
    for item in shelf.items:
        if item.about is None:
            assert item.below <= there, item.tags


def test_a_registry_that_breaks_in_the_middle(tmp_path: Path, project: tuple[Repo, World]) -> None:
    server = RealRegistry(tmp_path / "registry")
    with FaultyProxy("127.0.0.1", server.address).serving() as proxy:
        client = HttpRegistry(attempts=2, clock=FastClock())
        stock = Stock(client, Repository(proxy.host, "acme/ml"))
        things = family(stock)
        proxy.fail("DELETE", str(things["gone"]), 500)
        done = stock.prune(project[1], **HOW)
        assert done.problem is not None and done.problem.exit_code == 5 and "500" in done.problem.message
        assert len(proxy.faults) == 2 and stock.has(things["gone"]) and stock.has(things["d"])
        whole(stock)
        proxy.fail("", "", 500)
        again = stock.prune(project[1], **HOW)
        assert again.problem is None and things["gone"] in again.removed
        assert {name for name, digest in things.items() if stock.has(digest)} == {"1.0.0", "main", "a", "b"}
        client.close()
    server.stop()


class Killed(BaseException):
    """What nothing catches."""


class Dying:
    """A registry whose client is killed before or after its `at`-th change."""

    def __init__(self, registry: Any, at: int, *, after: bool) -> None:
        self._registry, self._left, self._after = registry, at, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._registry, name)
        if name not in ("delete", "untag", "push_manifest"):
            return method

        def change(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Killed
            result = method(*arguments, **named)
            if self._left == 0:
                raise Killed
            return result

        return change


SAMPLE = Random(6).sample(range(1, 12), 2)


@pytest.mark.parametrize("numbers", [SAMPLE, pytest.param(range(1, 40), marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_change_and_run_again(
    registry: tuple[Any, Repository], project: tuple[Repo, World], numbers: Sequence[int], after: bool
) -> None:
    client, place = registry
    for number in numbers:
        stock = Stock(client, Repository(place.registry, f"acme/ml{number}-{after}".lower()))
        things = family(stock)
        try:
            stock.prune(project[1], through=Dying(client, number, after=after), **HOW)  # type: ignore[arg-type]
        except Killed:
            whole(stock)
            assert all(stock.has(things[name]) for name in ("1.0.0", "main", "a", "b"))
            assert stock.prune(project[1], **HOW).problem is None
        else:
            break
        assert {name for name, digest in things.items() if stock.has(digest)} == {"1.0.0", "main", "a", "b"}, number
    assert number >= max(SAMPLE)


def test_a_refusal_to_delete_is_told_once(tmp_path: Path, project: tuple[Repo, World]) -> None:
    server = RealRegistry(tmp_path / "registry", delete=False)
    client = HttpRegistry()
    stock = Stock(client, Repository(server.address, "acme/ml"))
    family(stock)
    before = stock.tags()
    done = stock.prune(project[1], **HOW)
    assert isinstance(done.problem, UnsupportedError) and isinstance(done.problem, RegistryError)
    assert "dsci gc --dry-run --json" in done.problem.hint and stock.tags() == before
    client.close()
    server.stop()


def test_where_it_cannot_be_told_what_is_attached_nothing_is_judged(tmp_path: Path) -> None:
    class Throttled(LayoutRegistry):
        def referrers(self, repository: Repository, subject: Digest) -> tuple[Descriptor, ...]:
            raise RegistryError(f"GET referrers/{subject} of {repository}: 429")

    stock = Stock(Throttled(tmp_path / "layout"), Repository(EMBEDDED, "acme/ml"))
    family(stock)
    shelf = survey(stock.registry, stock.repository, NOW)
    judged = upkeep.judge(shelf.items, Owners(), ages=AGES, now=NOW, names=NAMES)
    assert not all(each.keep for each in judged)
    shelf, judged = spare_attached(stock.registry, shelf, judged)
    assert judged == () and shelf.problem is not None and "429" in shelf.problem.message
