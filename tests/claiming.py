"""Releases that are claimed and published as `dsci release` does it, of images that nobody had to build.

For tests of what comes after: Git, its remote, the ledger and the registry are real; the images hold a few bytes.
"""

from __future__ import annotations

from typing import Any

from dsci.drivers.git import GitRepository
from dsci.drivers.registry import HttpRegistry
from dsci.model import ledger
from dsci.model.claims import Released, Tag, TagFormat, claim_trailers, released
from dsci.model.oci import Descriptor, Platform
from dsci.model.plan import PlannedRelease
from dsci.pipeline import publish
from dsci.pipeline.snapshot import Source, snapshot
from dsci.ports import TagObject
from tests.drivers.images import MemoryImage

AMD64 = Platform("linux", "amd64")


class _Silent:
    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def claim(project: Any, *versions: str, cut: bool = False) -> dict[str, str]:
    """Release images at HEAD: `ml 1.4.0` each; gives the digests of their indexes.

    With `cut` it ends after the claim, as a run that was killed there.
    """
    assert project.registry is not None
    git, registry = GitRepository(project.folder), HttpRegistry()
    prefix = f"{project.registry.address}/{project.prefix}"
    source = Source(git=git, project="family", platform=AMD64, registries=(prefix,), branch="main")
    try:
        now = snapshot(source, git.head().commit)
        form = TagFormat.of_images(now.settings.versioning, now.family.images.values())
        made: list[Released] = []
        for each in versions:
            group, version = each.split()
            number = now.settings.versioning.numbers().parse(version)
            digests, keys = {}, {}
            for image in now.family.groups[group]:
                images: dict[Any, Descriptor] = {}
                for target in image.targets:
                    content = MemoryImage(f"{target} {version}".encode())
                    images[target] = registry.push_image(content, image.repository)
                    keys[str(target)] = now.sources.full[target]
                planned = PlannedRelease(
                    image=group, version=version, bump="", git_tag="", tags=(), commit=git.head().commit
                )
                index = publish.release_index(image, planned, images, when=git.head().when, source=None, base={})
                digests[image.name] = publish.stand(registry, image, index)
            name = form.render(group, number)
            message = f"{group} {version}\n\n{claim_trailers(digests, keys, {}, group=group)}"
            oid = git.make_tag(TagObject(name=name, commit=git.head().commit, when=git.head().when, message=message))
            tag = Tag(name=name, oid=oid, commit=git.head().commit, message=message, merged=True)
            made.append(Released(group=group, version=number, tag=tag, digests=digests, keys=keys))
        record = ledger.record(made) if now.settings.ledger == "branch" else {}
        assert git.claim({each.tag.name: each.tag.oid for each in made}, record).won
        if not cut:
            everything = released(git.tags(), form, now.family.groups)
            publish.converge(registry, now.family, made, everything, _Silent())
        return {each: str(one.digests[each.split()[0]]) for each, one in zip(versions, made, strict=True)}
    finally:
        registry.close()
        git.close()
