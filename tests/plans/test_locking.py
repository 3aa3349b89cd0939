"""What `dsci lock` pins: what is in use, and what a base is now only where that is asked for (rule 2)."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from msgspec.structs import replace
from stories import AMD64, Story

from dsci.errors import ConfigError, RegistryError
from dsci.model import lock
from dsci.model.oci import ANY, Digest, Platform
from dsci.model.reference import Reference
from dsci.pipeline.locking import Locked, lacking, locked
from dsci.pipeline.snapshot import Snapshot, Source, snapshot
from dsci.pipeline.world import World

DEBIAN, ALPINE = "docker.io/library/debian:12", "docker.io/library/alpine:3"
FILES = {
    "images/base/Dockerfile": "# base\nFROM debian:12\nCOPY x /\n",
    "images/base/x": "1",
    "images/python/Dockerfile": "FROM base\nRUN python\n",
    "images/lone/Dockerfile": "FROM alpine:3\nCOPY x /\n",
    "images/lone/x": "1",
}


@pytest.fixture
def story() -> Story:
    """A family that was released, and whose bases have moved since."""
    told = Story()
    told.git.write("feat: begin", FILES)
    told.release()
    told.moved |= {"debian:12": 1, "alpine:3": 1}
    return told


def look(story: Story) -> tuple[World, Snapshot]:
    source = Source(git=story.git, project="stack", platform=AMD64)  # type: ignore[arg-type]
    world = World(source=source, registry=None, resolve=story.resolve, lenient=False)
    return world, snapshot(source, story.git.head().commit)


def run(story: Story, *names: str, update: bool = False) -> Locked:
    world, now = look(story)
    return locked(world, now, update=update, names=names)


def commit(story: Story, found: Locked) -> None:
    story.git.write("chore: lock", {lock.FILE_NAME: lock.render(found.bases)})


def base(name: str, moves: int, platform: Platform = AMD64) -> Digest:
    return Digest.of(f"{name} {platform} {moves}".encode())


def rows(found: Locked) -> list[tuple[str, Digest | None, Digest | None, tuple[str, ...]]]:
    return [(each.name, each.old, each.new, each.rebuilds) for each in found.moved]


def test_a_first_lock_pins_what_the_last_release_was_built_on(story: Story) -> None:
    """And rebuilds nothing: bases move by `--update` alone."""
    found = run(story)
    assert found.bases == {(DEBIAN, AMD64): base(DEBIAN, 0), (ALPINE, AMD64): base(ALPINE, 0)}
    assert rows(found) == [(ALPINE, None, base(ALPINE, 0), ()), (DEBIAN, None, base(DEBIAN, 0), ())]
    commit(story, found)
    assert {target.action for target in story.plan().targets} == {"reuse"}
    assert run(story).moved == ()


def test_an_update_moves_all_and_says_what_is_built_for_it(story: Story) -> None:
    found = run(story, update=True)
    assert rows(found) == [
        (ALPINE, None, base(ALPINE, 1), ("lone",)),
        (DEBIAN, None, base(DEBIAN, 1), ("base", "python")),
    ]
    commit(story, found)
    assert {target.image: target.action for target in story.plan().targets} == dict.fromkeys(
        ("base", "lone", "python"), "build"
    )
    assert run(story, update=True).moved == ()


@pytest.mark.parametrize("name", ["debian:12", "debian", "docker.io/library/debian:12", "base"])
def test_an_update_of_some_leaves_the_others(story: Story, name: str) -> None:
    commit(story, run(story))
    found = run(story, name, update=True)
    assert rows(found) == [(DEBIAN, base(DEBIAN, 0), base(DEBIAN, 1), ("base", "python"))]
    assert found.bases[ALPINE, AMD64] == base(ALPINE, 0)


def test_an_image_that_names_no_base_of_its_own_moves_none(story: Story) -> None:
    commit(story, run(story))
    assert run(story, "python", update=True).moved == ()


@pytest.mark.parametrize("name", ["debian:11", "nothing", "NOT A NAME"])
def test_a_name_that_is_neither_base_nor_image(story: Story, name: str) -> None:
    with pytest.raises(ConfigError, match="is no image here, and no base of one") as caught:
        run(story, name, update=True)
    assert "alpine:3, debian:12" in caught.value.hint
    with pytest.raises(ConfigError, match=r"did you mean 'debian:12'"):
        run(story, "debian:11", update=True)


def test_a_new_base_is_resolved_and_one_that_is_gone_is_dropped(story: Story) -> None:
    commit(story, run(story))
    story.git.write("feat: another", {"images/lone/Dockerfile": "FROM busybox:1\nCOPY x /\n"})
    busybox = "docker.io/library/busybox:1"
    assert rows(run(story)) == [
        (ALPINE, base(ALPINE, 0), None, ()),
        (busybox, None, base(busybox, 0), ()),
    ]
    assert lacking(look(story)[1]) == (
        f"images/lone/Dockerfile:1: {busybox} linux/amd64 is not pinned",
        f"{ALPINE} linux/amd64 is pinned, and no image names it",
    )
    commit(story, run(story))
    assert lacking(look(story)[1]) == ()


def test_images_that_were_released_on_different_bases_agree_on_what_most_have(story: Story) -> None:
    files = {f"images/{name}/Dockerfile": f"FROM debian:12\nRUN {name}\n" for name in ("one", "two")}
    story.git.write("feat: two more", files)
    story.release()  # On what debian:12 is by now; base stays on what it was.
    found = run(story)
    assert found.bases[DEBIAN, AMD64] == base(DEBIAN, 1)
    assert (DEBIAN, None, base(DEBIAN, 1), ("base", "python")) in rows(found)


def test_an_index_and_its_platforms_are_pinned_together(story: Story) -> None:
    text = "FROM --platform=linux/arm64 debian:13 AS other\nFROM debian:13\nCOPY --from=other /x /x\n"
    story.git.write("feat: two platforms", {"images/both/Dockerfile": text})
    found = run(story)
    name = "docker.io/library/debian:13"
    index = base(name, 0, ANY)
    kept = {key: digest for key, digest in found.bases.items() if key[0] == name}
    assert set(kept) == {(name, ANY), (name, AMD64), (name, Platform("linux", "arm64"))} and kept[name, ANY] == index
    inside = Reference.parse(name).repository.at(index)
    assert kept[name, AMD64] == Digest.of(f"{inside} {AMD64} 0".encode()), "a platform is looked for in the index"
    commit(story, found)
    story.release()
    story.moved["debian:13"] = 1
    assert run(story).moved == ()
    # Without the file: as they were released, all three from one record.
    story.git.write("chore: no lock", {lock.FILE_NAME: None})
    assert {key: run(story).bases[key] for key in kept} == kept
    # A file that lost one of the three: all of them as they were released.
    rest = {key: digest for key, digest in found.bases.items() if key != (name, AMD64)}
    story.git.write("chore: half", {lock.FILE_NAME: lock.render(rest)})
    assert {key: run(story).bases[key] for key in kept} == kept
    assert run(story, "both", update=True).bases[name, ANY] == base(name, 1, ANY)


def _down(reference: Reference, platform: Platform) -> Digest | None:
    raise RegistryError(f"{reference.repository.registry} does not answer", temporary=True)


@pytest.mark.parametrize("names", [(), ("debian:12",)])
def test_a_registry_that_is_down_stops_only_what_has_to_ask_it(story: Story, names: Collection[str]) -> None:
    world, now = look(story)
    down = replace(world, resolve=_down)
    assert locked(down, now, update=False).bases == run(story).bases
    with pytest.raises(RegistryError) as caught:
        locked(down, now, update=True, names=names)
    where, _, said = caught.value.message.partition(": ")
    assert where in ("images/base/Dockerfile:2", "images/lone/Dockerfile:1")
    assert said.startswith("base ") and said.endswith(" is not resolved: docker.io does not answer")


def test_a_base_that_does_not_exist_is_named_with_its_line(story: Story) -> None:
    story.git.write("feat: a slip", {"images/lone/Dockerfile": "# lone\n\nFROM acme/missing:1\n"})
    with pytest.raises(
        ConfigError, match="images/lone/Dockerfile:3: base acme/missing:1 does not exist for linux/amd64"
    ):
        run(story)


def test_a_dockerfile_that_cannot_be_read_loses_no_pin(story: Story) -> None:
    commit(story, run(story))
    story.git.write("feat: a slip", {"images/lone/Dockerfile": "FROM alpine:3\nNONSENSE\n"})
    with pytest.raises(ConfigError, match="images/lone/Dockerfile:2"):
        run(story)
    with pytest.raises(ConfigError, match="images/lone/Dockerfile:2"):
        lacking(look(story)[1])
