"""`dsci.yaml`, read: what a repository says about its images when the layout of its folders does not say it all.

The values are `settings`'; here stand the checks that their types cannot express. How settings and folders become
images is `family`'s to decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import semver

from dsci.errors import ConfigError
from dsci.model import builders, retention, tags, variants
from dsci.model.location import Location
from dsci.model.numbers import calendar
from dsci.model.oci import OciError, Platform
from dsci.model.quantities import seconds, size
from dsci.model.reference import Repository
from dsci.model.retention import Rule
from dsci.model.secretname import is_secret
from dsci.model.settings import (
    CacheSettings,
    CacheType,
    Settings,
    SuiteSettings,
)
from dsci.model.tagrule import Flavor

FILE_NAME = "dsci.yaml"
#: The least that the engine takes for a limit of memory, in bytes.
#: Source: https://docs.docker.com/engine/containers/resource_constraints/
_LEAST_MEMORY = 6 * 2**20


def parse(text: str, *, file: str = FILE_NAME) -> tuple[Settings, Location]:
    """Read `dsci.yaml`. Raises ConfigError with file, line and key path for everything that cannot be meant."""
    # Imported where there is such a file: it brings the whole of PyYAML.
    from dsci.model import yamlfile

    settings, location = yamlfile.load(text, Settings, file=file, hint="`dsci schema` prints every key that is known")
    _check(settings, location)
    return settings, location


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `dsci.yaml`, for editors."""
    value = msgspec.json.schema(Settings)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": FILE_NAME, **value}


def _check(settings: Settings, location: Location) -> None:
    """The checks that types cannot express; the first one that fails is raised."""
    for n, registry in enumerate(settings.registries):
        _at(location, ("registries", str(n)), lambda registry=registry: Repository.parse(f"{registry}/x"))
    for place, prefixes in settings.promote.items():
        for n, prefix in enumerate(prefixes):
            _at(location, ("promote", place, str(n)), lambda prefix=prefix: Repository.parse(f"{prefix}/x"))
    _platforms(settings.platforms, location, ("platforms",))
    _tags(settings.tags, settings.flavor, location)
    check_limits(settings.suites, location, ("suites",))
    try:
        semver.Version.parse(settings.versioning.initial)
    except ValueError:
        where = location.at("versioning", "initial")
        raise ConfigError(
            f"{where}: versioning.initial: {settings.versioning.initial!r} is no semantic version",
            hint="write three numbers, such as 0.1.0",
        ) from None
    _at(location, ("versioning", "calver"), lambda: calendar(settings.versioning.calver))
    fields = re.findall(r"\{([^{}]*)\}|[{}]", settings.versioning.tag or "{version}")
    if fields.count("version") != 1 or not {"image", "version"}.issuperset(fields):
        where = location.at("versioning", "tag")
        raise ConfigError(
            f"{where}: versioning.tag: needs {{version}} once, and no field but {{image}} beside it",
            hint="such as {image}-v{version}",
        )
    for branch, channel in settings.versioning.prereleases.items():
        if not re.fullmatch("[A-Za-z-][0-9A-Za-z-]*", channel):
            where = location.at("versioning", "prereleases", branch)
            raise ConfigError(
                f"{where}: versioning.prereleases.{branch}: {channel!r} cannot name a prerelease",
                hint="use letters, digits and hyphens, a letter first, such as rc",
            )
    try:
        re.compile(settings.versioning.subject_prefix or "")
    except re.error as error:
        where = location.at("versioning", "subject_prefix")
        raise ConfigError(
            f"{where}: versioning.subject_prefix is no regular expression: {error}",
            hint="such as [A-Z]+-[0-9]+:[ ]",
        ) from None
    if not 1 <= settings.builder.jobs <= 256:
        raise ConfigError(f"{location.at('builder', 'jobs')}: builder.jobs: must be 1 to 256")
    _at(location, ("builder", "name"), lambda: builders.settled(settings.builder.name))
    _cache(settings.cache, location, ("cache",))
    _duration(settings.builder.inactivity, location, ("builder", "inactivity"))
    for rule in Rule:
        _age(getattr(settings.retention, rule), location, ("retention", rule))
    for name, text in (("memory", settings.builder.memory), ("min_free_disk", settings.builder.min_free_disk)):
        _size(text, location, ("builder", name))
    for name, image in settings.images.items():
        path = ("images", name)
        _cache(image.cache, location, (*path, "cache"))
        _platforms(image.platforms or (), location, (*path, "platforms"))
        if image.tags is not None or image.flavor is not None:
            given = settings.tags if image.tags is None else image.tags
            _tags(given, image.flavor or settings.flavor, location, *path, inherited=image.tags is None)
        if image.suites is not None:
            check_limits(image.suites, location, (*path, "suites"))
        if image.repository is not None:
            repository = image.repository
            _at(location, (*path, "repository"), lambda repository=repository: Repository.parse(repository))
        if image.variants is not None:
            variants.expand(image.variants, location, (*path, "variants"))
            _arguments(image.variants.args, location, (*path, "variants", "args"))
            for n, override in enumerate(image.variants.overrides):
                _arguments(override.args, location, (*path, "variants", "overrides", str(n), "args"))
                _platforms(override.platforms or (), location, (*path, "variants", "overrides", str(n), "platforms"))
        _arguments(image.args, location, (*path, "args"))
        for n, secret in enumerate(image.secrets):
            if (secret.env is None) == (secret.file is None):
                where = location.at(*path, "secrets", str(n))
                raise ConfigError(f"{where}: images.{name}.secrets.{n}: give one of env and file")


def _arguments(given: Mapping[str, str], location: Location, path: tuple[str, ...]) -> None:
    """Refuse what must not be an argument: BuildKit writes arguments into the image's history.

    Source: https://docs.docker.com/reference/build-checks/secrets-used-in-arg-or-env/
    """
    for name, value in given.items():
        if is_secret(name, value):
            raise ConfigError(
                f"{location.at(*path, name)}: {'.'.join(path)}.{name}: a secret must not be an argument of a build: "
                "everybody who has the image can read those",
                hint=f"secrets: [{{id: {name.lower()}, env: {name}}}], and in the Dockerfile "
                f"RUN --mount=type=secret,id={name.lower()},env={name} …",
            )


def _cache(given: CacheType | CacheSettings | None, location: Location, path: tuple[str, ...]) -> None:
    if isinstance(given, CacheSettings) and (name := given.repository) is not None:
        _at(location, (*path, "repository"), lambda: Repository.parse(name))


def _platforms(values: tuple[str, ...], location: Location, path: tuple[str, ...]) -> None:
    for n, value in enumerate(values):
        try:
            Platform.parse(value)
        except OciError as error:
            where = location.at(*path, str(n))
            raise ConfigError(f"{where}: {'.'.join(path)}: {error.message}", hint=error.hint) from None


def _tags(
    given: tuple[str, ...] | str, flavor: Flavor, location: Location, *path: str, inherited: bool = False
) -> None:
    """Check rules with the flavor that they get; where they are another place's, it is the flavor that is wrong."""
    where = (*path, "flavor" if inherited else "tags")
    for n, line in enumerate(tags.lines(given)):
        place = where if inherited or isinstance(given, str) else (*where, str(n))
        _at(location, place, lambda line=line: tags.parse(line, flavor))
    _at(location, where, lambda: tags.rules(given, flavor))


def check_limits(given: SuiteSettings, location: Location, path: tuple[str, ...]) -> None:
    """See that limits are such. Raises ConfigError, with the place of the one that is not."""
    for name in ("check_timeout", "timeout", "total_timeout"):
        if (text := getattr(given, name, None)) is not None:
            _duration(text, location, (*path, name))
    for name, least in (("memory", _LEAST_MEMORY), ("disk", 0)):
        if (text := getattr(given, name)) is not None:
            _size(text, location, (*path, name), least=least)
    if given.processes is not None and given.processes < 0:
        where = (*path, "processes")
        raise ConfigError(
            f"{location.at(*where)}: {'.'.join(where)}: {given.processes} is no number of processes",
            hint="0 switches it off",
        )


def _duration(text: str, location: Location, path: tuple[str, ...]) -> None:
    try:
        seconds(text)
    except ValueError:
        raise ConfigError(
            f"{location.at(*path)}: {'.'.join(path)}: {text!r} is no duration", hint="such as 90s, 10m or 1h"
        ) from None


def _age(text: str, location: Location, path: tuple[str, ...]) -> None:
    try:
        retention.seconds(text)
    except ValueError:
        raise ConfigError(f"{location.at(*path)}: {'.'.join(path)}: {text!r} is no age", hint=retention.HINT) from None


def _size(text: str, location: Location, path: tuple[str, ...], *, least: int = 0) -> None:
    where = f"{location.at(*path)}: {'.'.join(path)}"
    try:
        found = size(text)
    except ValueError:
        raise ConfigError(
            f"{where}: {text!r} is no size", hint="such as 500MB, 1.5GB or 2GiB; 0 switches it off"
        ) from None
    if 0 < found < least:
        raise ConfigError(f"{where}: {text} is less than the engine takes", hint="give it 6MiB or more, or 0")


def _at(location: Location, path: tuple[str, ...], check: Any) -> None:
    try:
        check()
    except ConfigError as error:
        raise ConfigError(f"{location.at(*path)}: {'.'.join(path)}: {error.message}", hint=error.hint) from None
