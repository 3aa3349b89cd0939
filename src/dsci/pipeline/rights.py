"""What a release may do, found out before any work: read and push each repository, and create tags on the Git remote.

Everything is proven by doing it and taking it back, so nothing is left behind. Who we are there is others' to know.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from dsci.errors import AuthError, DsciError
from dsci.model.reference import Repository
from dsci.ports import Git, Registry

#: How many repositories are asked at once.
_AT_ONCE = 8
#: A tag that is pushed dry: no forge sees its name.
_TAG = "dsci-login-check"


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """What may be done in one repository; `problem` is the first of what may not, with its hint."""

    repository: Repository
    pull: bool
    push: bool
    problem: DsciError | None = None


def prove(registry: Registry, repositories: Iterable[Repository]) -> tuple[Rights, ...]:
    """What may be done in each of these, in their order."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(lambda repository: _prove(registry, repository), repositories))


def _prove(registry: Registry, repository: Repository) -> Rights:
    problem = _pull(registry, repository)
    refused = _push(registry, repository)
    if isinstance(problem, AuthError) and refused is None:
        # Many registries refuse to read what is not there yet; who may push is told so (rule 22).
        problem = _pull(registry, repository)
    return Rights(repository=repository, pull=problem is None, push=refused is None, problem=refused or problem)


def _pull(registry: Registry, repository: Repository) -> DsciError | None:
    try:
        registry.resolve(repository.tag("latest"))
    except DsciError as error:
        return error
    return None


def _push(registry: Registry, repository: Repository) -> DsciError | None:
    try:
        registry.check_push(repository)
    except DsciError as error:
        return error
    return None


def prove_git(git: Git) -> DsciError | None:
    """Why this run may not push tags; None where it may, or where there is no remote to push to."""
    try:
        git.check_push(_TAG)
    except DsciError as error:
        return error
    return None
