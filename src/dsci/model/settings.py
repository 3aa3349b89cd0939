"""What `dsci.yaml` may say, as values: its grammar, its documentation and its defaults.

Every key is optional and every default is written here; a repository without the file has `Settings()`. How the file is
read, and what of it cannot be meant, is `config`'s.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec
import semver

from dsci.model import commits, pins, tags
from dsci.model.numbers import calendar
from dsci.model.retention import RetentionSettings
from dsci.model.tagrule import Flavor
from dsci.model.variants import VariantSettings


class SecretSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A BuildKit secret: an id, and where its value comes from when a build asks for it."""

    id: str
    env: str | None = None
    file: str | None = None


#: What a suite may be allowed: privileged containers, added capabilities, folders of the engine's machine, and
#: variables and files of variables of the machine that dsci runs on; and Python tests that run on that machine.
Allowance = Literal["privileged", "capabilities", "bind-mounts", "host-environment", "host-tests"]


class SuiteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the suites of an image are found, and what they may take; limits that are not said are the family's."""

    paths: tuple[str, ...] | None = None
    """Files or folders from the repository's root; replaces the folders that are found by convention."""
    inherit: bool = True
    """Whether the suites of the parents run in this image too."""
    check_timeout: str | None = None
    """The longest one check may run: a number with s, m or h."""
    timeout: str | None = None
    """The longest one suite may run."""
    processes: int | None = None
    """How many processes and threads may run in one container; `0` sets no limit."""
    memory: str | None = None
    """What memory one container may take: `512MB`, `4GiB`; `0` sets no limit."""
    disk: str | None = None
    """What one container may write beside its image, its volumes included; `0` sets no limit."""
    allow: tuple[Allowance, ...] = ()
    """What of the machine that runs them suites may reach. Nothing, in requests from other repositories."""


class FamilySuiteSettings(SuiteSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The same for all images, with the limits that hold where none is said."""

    check_timeout: str = "5m"
    timeout: str = "10m"
    total_timeout: str = "6h"
    """How long suites may run in one run of dsci, all images together; other work does not count."""
    processes: int = 2048
    memory: str = "0"
    disk: str = "5GB"


class InputSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Generated files that enter a build context without being in Git; their content counts in the key."""

    path: str
    as_: str = msgspec.field(name="as")


class LabelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an image says of itself, as labels of its config and annotations of its index.

    Source: https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys
    """

    title: str | None = None
    description: str | None = None
    url: str | None = None
    source: str | None = None
    """Where the source code is; the remote's address stands in the index where nothing is said."""
    documentation: str | None = None
    licenses: str | None = None
    """An SPDX licence expression."""
    vendor: str | None = None
    authors: str | None = None

    def under(self, own: LabelSettings | None) -> dict[str, str]:
        """The labels by their full names, those of one image laid over these."""
        names = self.__struct_fields__
        given = {name: getattr(own, name, None) or getattr(self, name) for name in names}
        return {f"org.opencontainers.image.{name}": text for name, text in sorted(given.items()) if text}


CacheType = Literal["registry", "gha", "local", "none", "auto"]


class CacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the steps of builds are kept from one machine to the next, at length."""

    type: CacheType = "auto"
    repository: str | None = None
    """With `registry`: the repository that holds the caches; each image's own one by default."""


class ImageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One image, where it differs from what its folder says."""

    context: str | None = None
    """The build context, from the repository's root."""
    dockerfile: str | None = None
    """The Dockerfile, from the repository's root."""
    target: str | None = None
    """The stage to build; the last one by default."""
    platforms: tuple[str, ...] | None = None
    args: dict[str, str] = {}
    secrets: tuple[SecretSettings, ...] = ()
    inputs: tuple[InputSettings, ...] = ()
    """Generated files that are not in Git but belong to the build context."""
    needs: tuple[str, ...] = ()
    """Images that must be built first although no Dockerfile line names them."""
    external: tuple[str, ...] = ()
    """Names that are not siblings although they look like one."""
    repository: str | None = None
    """The image's repository, in full, when it is not `<registry>/<name>`."""
    tags: tuple[str, ...] | str | None = None
    """Its tag rules: a list, or lines as docker/metadata-action takes them."""
    flavor: Flavor | None = None
    """What holds for all of its tags."""
    suites: SuiteSettings | None = None
    cache: CacheType | CacheSettings | None = None
    """Where its build steps are kept, where that differs from the family's; `none` for what is too large to keep."""
    labels: LabelSettings | None = None
    """What it says of itself, where that differs from the family's."""
    previous_names: tuple[str, ...] = ()
    """What it was called before: releases under these names are its own, and so are the commits that led to them."""
    variants: VariantSettings | None = None
    """In which makes it comes (python x cuda, cpu and gpu): one version, told apart by a suffix of the tags."""
    release: bool = True
    """False for an image that is built and tested for others, never released itself."""
    reproducible: bool | None = None
    """Whether it is built to the same bytes each time, where that differs from the family's."""


_Worth = Literal["major", "minor", "patch", "none"]


class ContentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What direct dependencies that move are worth to an image's version."""

    dependencies: Literal["direct", "none"] = "direct"
    """Whether they count at all."""
    added: _Worth = "minor"
    removed: _Worth = "major"
    packages: dict[str, Literal["semver", "strict", "calver", "major", "minor", "patch", "none"]] = {}
    """How versions of single packages are read, by names or patterns (`jupyter*`, `apt:*`); the first one counts."""

    def rules(self) -> pins.Rules:
        """What moves are worth."""
        return pins.Rules(
            packages=self.packages,
            added=commits.Bump[self.added.upper()],
            removed=commits.Bump[self.removed.upper()],
        )


class VersioningSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How commits become versions."""

    mode: Literal["independent", "lockstep"] = "independent"
    """Whether every image has a version of its own, or all of them share one and are released together."""
    scheme: Literal["semver", "calver"] = "semver"
    """Whether versions say how much changed, or when it was released."""
    calver: str = "YYYY.0M.0D"
    """The shape of calendar versions (calver.org), such as `YYYY.MM.MICRO`; dates are read in UTC."""
    initial: str = "0.1.0"
    floor: Literal["patch", "none"] = "patch"
    """What a changed source is worth when no commit message says more."""
    suites: bool = False
    """Whether an image's own suites count for its version as its other files do."""
    content: ContentSettings = ContentSettings()
    """What direct dependencies that move are worth."""
    propagate: Literal["patch", "same", "none"] = "patch"
    """What a parent's release is worth to its children."""
    major_on_zero: bool = False
    """Whether a breaking change before 1.0.0 gives 1.0.0; else it gives a minor version."""
    prereleases: dict[str, str] = {}
    """Branches (names or patterns) whose releases are prereleases, and of which channel: `{next: rc}`."""
    types: dict[str, _Worth] = {}
    """What types of commits are worth beside or instead of feat: minor, fix: patch, perf: patch, revert: patch."""
    subject_prefix: str | None = None
    """A regular expression of what is taken from the start of a subject before it is read: `[A-Z]+-[0-9]+: `."""
    squash: bool = True
    """Whether the `* feat: …` lines of a squashed branch count like the commits that they were."""
    tag: str | None = None
    """The Git tag, with {image} and {version}; `{image}-v{version}`, or `v{version}` where there is one version."""

    def numbers(self) -> type[semver.Version]:
        """The kind of its version numbers."""
        return calendar(self.calver) if self.scheme == "calver" else semver.Version

    def rules(self) -> commits.Rules:
        """How messages are read."""
        given = {name.lower(): commits.Bump[worth.upper()] for name, worth in self.types.items()}
        return commits.Rules(
            types={**commits.TYPES, **given},
            prefix=re.compile(self.subject_prefix) if self.subject_prefix else None,
            squash=self.squash,
        )


class BuilderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How builds are run."""

    jobs: int = 2
    """How many targets are built or tested at once."""
    name: str | dict[str, str] = ""
    """A builder that buildx knows and that builds instead of the engine; or builders by platform:
    `{linux/arm64: NAME}`."""
    network: Literal["default", "none", "host"] = "default"
    speculate: bool = True
    """Whether an image may be built while the suites of what it stands on still run."""
    inactivity: str = "15m"
    """How long a build may say nothing before it is taken for hung and ended: `90s`, `10m`, `1h`."""
    memory: str = "1GB"
    """What memory one build is reckoned to need: no more builds begin at once than fit; `0` counts none."""
    min_free_disk: str = "1GB"
    """What must be free for a build to begin, on the engine's disk and on dsci's own; `0` looks at no disk."""


class ScanSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether images are scanned for known vulnerabilities before they are released, and what holds them back."""

    policy: Literal["off", "warn", "fail"] = "off"
    tool: Literal["auto", "trivy", "grype"] = "auto"
    """What scans; `auto` takes what is on PATH, trivy first."""
    severity: Literal["low", "medium", "high", "critical"] = "high"
    """The least that counts."""
    unfixed: bool = False
    """Whether vulnerabilities count that no version of the package has fixed."""
    unknown: Literal["warn", "fail"] = "warn"
    """What it is under `policy: fail` that nobody could tell: no scanner, no database, nothing it knows."""


class AttestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is attached to a release before anybody sees it; nothing, unless it is asked for."""

    provenance: bool = False
    """Whether a statement says what it was built of, and by whom (SLSA v1)."""

    sbom: tuple[Literal["spdx", "cyclonedx"], ...] = ()
    """In which forms the packages in each platform's image are listed: SPDX 2.3, CycloneDX 1.6, both or none."""

    sbom_by: Literal["dsci", "syft"] = "dsci"
    """Who lists them: syft knows more kinds (rpm, npm, Go …), and has to be on PATH."""
    sign: Literal["none", "key", "keyless", "auto"] = "none"
    """Whether cosign signs the index and all of the above: with a key, or with the CI system's token; `auto` takes the
    key that is named, else the token."""
    key: str | None = None
    """The private key: a file (from the repository's root, not in Git) or a KMS address; `COSIGN_KEY` by default."""
    password_file: str | None = None
    """A file whose first line is the key's password; `COSIGN_PASSWORD` by default."""
    transparency: bool = False
    """Whether signatures with a key are entered in the public log; those without one always are."""

    @property
    def wanted(self) -> bool:
        """Whether anything is attached at all."""
        return self.provenance or bool(self.sbom) or self.sign != "none"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of `dsci.yaml`."""

    registries: tuple[str, ...] = ()
    """Where images are published, as prefixes such as `ghcr.io/acme`; the first one is the primary registry."""
    platforms: tuple[str, ...] = ()
    """The platforms of every image; the engine's own by default."""
    images: dict[str, ImageSettings] = {}
    versioning: VersioningSettings = VersioningSettings()
    tags: tuple[str, ...] | str = tags.DEFAULT_RULES
    """The tag rules of every image: a list, or lines as docker/metadata-action takes them."""
    flavor: Flavor = Flavor()
    """What holds for all tags."""
    suites: FamilySuiteSettings = FamilySuiteSettings()
    labels: LabelSettings = LabelSettings()
    """What every image says of itself: licence, vendor, documentation …"""
    reproducible: bool = False
    """Whether images are built to the same bytes each time, so that `dsci verify` can prove what they are made of."""
    builder: BuilderSettings = BuilderSettings()
    cache: CacheType | CacheSettings = "none"
    """Where build steps are kept from one machine to the next; `auto` takes what there is."""
    scan: ScanSettings = ScanSettings()
    """Whether images are scanned before they are released."""
    attest: AttestSettings = AttestSettings()
    """What is attached to every release: provenance, lists of packages, a signature."""
    gate: Literal["family", "lineage"] = "family"
    """What a failure holds back: every release, or those of the images connected with it."""
    forge: Literal["none", "auto", "github", "gitlab"] = "none"
    """Whether claimed versions get a release page, and on which forge; `auto` asks the CI system and the remote."""
    ledger: Literal["branch", "none"] = "branch"
    """Whether every claim is recorded on the branch `dsci-ledger`; the lock is the Git tag either way."""
    promote: dict[str, tuple[str, ...]] = {}
    """Places that releases are promoted to (`dsci promote --to NAME`), as prefixes: `{production: [ghcr.io/prod]}`."""
    retention: RetentionSettings = RetentionSettings()
    """How long `dsci gc` leaves alone what nobody needs any more."""
