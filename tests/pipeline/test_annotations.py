"""What an index says of a release, beside the labels and annotations that docker/metadata-action makes of an event.

Source: https://github.com/docker/metadata-action#overwrite-labels-and-annotations
"""

from __future__ import annotations

import pytest

from dsci.model.family import Image
from dsci.model.oci import Descriptor, Digest, Platform
from dsci.model.reference import Repository
from dsci.model.settings import LabelSettings
from dsci.pipeline.publish import index_of, version_annotations

COMMIT = "860c1904a1ce19322e91ac35af1ab07466440c37"
WHEN = 1_767_297_600
SOURCE = "https://github.com/acme/images"

#: The action's names, where it has their values from, and dsci's values. What it asks GitHub's API for is the
#: repository's to say (`labels:`), so that a laptop writes the same bytes; a title is each image's own.
NAMES = {
    "title": ("the repository's name", "ml"),
    "description": ("GitHub's API", "Models"),
    "url": ("GitHub's API", "https://acme.example/images"),
    "source": ("GitHub's API", SOURCE),
    "version": ("the event", "1.2.3"),
    "created": ("the clock", "2026-01-01T20:00:00Z"),
    "revision": ("GITHUB_SHA", COMMIT),
    "licenses": ("GitHub's API", "Apache-2.0"),
}


@pytest.mark.parametrize("name", NAMES)
def test_whatever_the_action_says_is_said(name: str) -> None:
    settings = LabelSettings(description="Models", url="https://acme.example/images", licenses="Apache-2.0")
    image = Image(
        name="ml",
        group="ml",
        context="images/ml",
        dockerfile="images/ml/Dockerfile",
        platforms=(Platform("linux", "amd64"),),
        repositories=(Repository("ghcr.io", "acme/ml"),),
        tag_rules=(),
        labels=settings.under(None),
    )
    built = Descriptor(media_type="application/vnd.oci.image.manifest.v1+json", digest=Digest.of(b""), size=0)
    (target,) = image.targets
    facts = version_annotations(image, "1.2.3")
    index = index_of(image, {target: built}, facts, commit=COMMIT, when=WHEN, source=SOURCE, base={})
    assert index.annotations[f"org.opencontainers.image.{name}"] == NAMES[name][1]
