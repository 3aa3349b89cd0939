"""The release pages of GitHub and GitLab, brought to what they should be.

A version is claimed by its Git tag, which is pushed before anything happens here: a page tells of it and decides
nothing, so it is written by looking first and writing what is missing. A creation whose answer was lost is not sent
again before another look, and one that is refused is taken for somebody faster if a page stands there now: there are
never two pages for a tag. No page is made for a tag that the forge does not have, as GitHub would then make the tag.

On GitHub a draft that somebody prepared for the tag is published, not doubled: the lookup by tag does not show drafts,
one GraphQL query does, and tells of the tag as well (the `gh` program looks for them in the same way). GitLab has
neither prereleases nor a mark for the latest release: its newest is the one released last.

Sources: https://docs.github.com/en/rest/releases/releases (create, get by tag, update, make_latest),
https://docs.github.com/en/graphql/reference/objects#repository (release, ref),
https://github.com/ncipollo/release-action/issues/493 (GitHub's limit of 125,000 characters is in no document);
https://docs.gitlab.com/api/releases/ (create, get, update; 409 for a tag that has a release),
https://gitlab.com/gitlab-org/gitlab/-/blob/master/app/services/releases/create_service.rb (400 when two are racing),
https://gitlab.com/gitlab-org/gitlab/-/blob/master/app/models/release.rb (the limit of a description).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote

from dsci.drivers.forgeapi import Api, Said
from dsci.drivers.forgeplace import Token, Where, token, where
from dsci.drivers.forgetext import cut, lines
from dsci.drivers.pace import Clock
from dsci.drivers.routes import Network
from dsci.drivers.transport import HttpError
from dsci.errors import AuthError, ForgeError
from dsci.model.text import plain
from dsci.ports import ForgeRelease

__all__ = ["GitHub", "GitLab", "Token", "Where", "connect", "token", "where"]

#: How forges refuse a second release of a tag: GitLab with 409, or 400 when two are racing; GitHub with 422.
_REFUSED = (400, 409, 422)
_NAME_LIMIT = 255
#: How GraphQL says 404 and 403.
_DENIED = frozenset({"NOT_FOUND", "FORBIDDEN", "INSUFFICIENT_SCOPES"})

Change = tuple[str, str, Mapping[str, object]]
"""Method, path and payload of a write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A page as it stands on the forge."""

    path: str
    name: str
    notes: str
    prerelease: bool | None = None
    """None where the forge knows no prereleases."""
    draft: bool = False

    def shows(self, release: ForgeRelease) -> bool:
        """Whether there is nothing to correct."""
        return (
            not self.draft
            and self.prerelease in (None, release.prerelease)
            and self.name == release.name
            and lines(self.notes).strip() == release.notes.strip()
        )


class _Pages(ABC):
    """What both forges have in common."""

    title: ClassVar[str]
    limit: ClassVar[int]
    """Bytes in `codec` that notes may have."""
    codec: ClassVar[str]
    limit_told: ClassVar[str]
    rights: ClassVar[str]
    headers: ClassVar[Mapping[str, str]]

    def __init__(
        self,
        where: Where,
        token: Token | None,
        *,
        network: Network,
        attempts: int = 5,
        clock: Clock = time,
        trace: Callable[[str], None] | None = None,
        waits: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`trace` is told every request, `waits` every longer pause. Raises AuthError when there is no token."""
        if token is None:
            raise AuthError(f"there is no token to write releases of {where.project} with", hint=self.rights)
        self._where = where
        self._api = Api(
            where.api,
            token,
            rights=self.rights,
            headers=self.headers,
            network=network,
            attempts=attempts,
            clock=clock,
            trace=trace,
            waits=waits,
        )

    def close(self) -> None:
        """Close every idle connection."""
        self._api.close()

    def publish(self, release: ForgeRelease) -> bool:
        """See `ports.Forge`. True also where a write's answer was lost and the page then stood there."""
        wanted = self._fit(release)
        written = False

        def send(change: Change) -> Said:
            nonlocal written
            before, written = written, True
            said = self._api.call(*change)
            if 400 <= said.status < 500:
                written = before
            return said

        def unit() -> bool:
            found = self._find(wanted.tag)
            if found is None:
                said = send(self._creation(wanted))
                if said.status in (200, 201):
                    self._check(said, wanted.tag)
                    return True
                found = self._find(wanted.tag) if said.status in _REFUSED else None
                if found is None:
                    # Told to be there and not to be seen yet: a replica of the forge is behind.
                    behind = said.status == 409 or "already_exists" in said.text
                    hint = f"does {self._where.project} have the tag {wanted.tag}, pushed?"
                    raise self._api.failure(said, hint=hint, temporary=behind)
            if not found.shows(wanted):
                said = send(self._correction(found, wanted))
                if said.status != 200:
                    raise self._api.failure(said)
                self._check(said, wanted.tag)
            return written

        return self._api.trying(unit)

    def _fit(self, release: ForgeRelease) -> ForgeRelease:
        """The release as this forge can show it."""
        if not release.tag or plain(release.tag) != release.tag:
            raise ForgeError(f"no page can be made for a tag named {release.tag!a}")
        sentence = f"*These notes are cut here: {self.title} takes no more than {self.limit_told}.*"
        return ForgeRelease(
            tag=release.tag,
            name=" ".join(plain(release.name).split())[:_NAME_LIMIT] or release.tag,
            notes=cut(plain(lines(release.notes)), limit=self.limit, codec=self.codec, sentence=sentence),
            prerelease=release.prerelease,
            latest=release.latest and not release.prerelease,
        )

    def _check(self, said: Said, tag: str) -> None:
        if said.member("tag_name") != tag:
            raise self._api.malformed(said)

    def _text(self, said: Said, name: str) -> str:
        value = said.member(name)
        return value if isinstance(value, str) else ""

    @abstractmethod
    def _find(self, tag: str) -> _Found | None:
        """The page of a tag, if there is one."""

    @abstractmethod
    def _creation(self, release: ForgeRelease) -> Change:
        """What makes the page."""

    @abstractmethod
    def _correction(self, found: _Found, release: ForgeRelease) -> Change:
        """What makes the page that is there the one that is wanted."""


class GitHub(_Pages):
    """Release pages on GitHub, GitHub Enterprise Cloud and Server. Implements `ports.Forge`."""

    title = "GitHub"
    # Characters as GitHub may count them, a pair of surrogates as two.
    limit, codec, limit_told = 2 * 125_000, "utf-16-le", "125,000 characters"
    rights = (
        "give the job `permissions: contents: write` and GITHUB_TOKEN in its environment; elsewhere GH_TOKEN with that "
        "right (GH_ENTERPRISE_TOKEN for GitHub Enterprise Server)"
    )
    headers: ClassVar = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}

    _QUERY = (
        "query($owner: String!, $name: String!, $tag: String!, $ref: String!) {"
        " repository(owner: $owner, name: $name) {"
        " release(tagName: $tag) { databaseId } ref(qualifiedName: $ref) { name } } }"
    )

    @property
    def _path(self) -> str:
        return f"/repos/{self._where.project}/releases"

    def _find(self, tag: str) -> _Found | None:
        said = self._api.call("GET", f"{self._path}/tags/{quote(tag, safe='')}")
        if said.status == 404:
            number = self._pending(tag)
            if number is None:
                return None
            said = self._api.call("GET", f"{self._path}/{number:d}")
        if said.status != 200:
            raise self._api.failure(said)
        self._check(said, tag)
        found = said.member("id")
        if not isinstance(found, int):
            raise self._api.malformed(said)
        return _Found(
            path=f"{self._path}/{found:d}",
            name=self._text(said, "name"),
            notes=self._text(said, "body"),
            prerelease=said.member("prerelease") is True,
            draft=said.member("draft") is True,
        )

    def _pending(self, tag: str) -> int | None:
        """The number of a draft for this tag, if there is one. Raises HttpError when there is no such tag."""
        owner, _, name = self._where.project.partition("/")
        variables = {"owner": owner, "name": name, "tag": tag, "ref": f"refs/tags/{tag}"}
        url = f"{self._where.api.removesuffix('/v3')}/graphql"
        said = self._api.call("POST", url, {"query": self._QUERY, "variables": variables})
        repository, errors = said.member("data", "repository"), said.member("errors")
        if said.status != 200 or errors:
            listed = errors if isinstance(errors, list) else []
            kinds = {str(item.get("type")) for item in listed if isinstance(item, dict)}
            if said.status == 200 and not _DENIED.isdisjoint(kinds):
                raise AuthError(f"{said.request}: {said.text}", hint=self.rights)
            raise self._api.failure(said, limited="RATE_LIMITED" in kinds, temporary=said.status == 200)
        if not isinstance(repository, dict):
            raise self._api.malformed(said)
        if repository.get("ref") is None:
            raise HttpError(
                f"GitHub knows no tag {tag} in {self._where.project}",
                hint=f"push it: git push origin refs/tags/{tag}",
                status=404,
                temporary=True,  # one that was pushed a moment ago may still be on its way
            )
        number = said.member("data", "repository", "release", "databaseId")
        return number if isinstance(number, int) else None

    def _creation(self, release: ForgeRelease) -> Change:
        payload = self._payload(release, "true" if release.latest else "false")
        return "POST", self._path, {"tag_name": release.tag, "draft": False, **payload}

    def _correction(self, found: _Found, release: ForgeRelease) -> Change:
        if found.draft:
            _, _, payload = self._creation(release)
        else:
            # A page that is corrected later must not take the mark from a newer one: with `legacy` GitHub compares
            # dates and versions.
            payload = self._payload(release, "legacy" if release.latest else "false")
        return "PATCH", found.path, payload

    def _payload(self, release: ForgeRelease, make_latest: str) -> Mapping[str, object]:
        return {
            "name": release.name,
            "body": release.notes,
            "prerelease": release.prerelease,
            "make_latest": make_latest,
        }


class GitLab(_Pages):
    """Release pages on gitlab.com and self-managed GitLab, from 14.5 on. Implements `ports.Forge`."""

    title = "GitLab"
    limit, codec, limit_told = 1_000_000, "utf-8", "1,000,000 bytes"
    rights = (
        "set GITLAB_TOKEN to a token with the scope `api` and the Developer role, or run in a job of this project, "
        "where CI_JOB_TOKEN is enough if its user may create the tag"
    )
    headers: ClassVar = {"Accept": "application/json"}

    @property
    def _path(self) -> str:
        return f"/projects/{quote(self._where.project, safe='')}/releases"

    def _find(self, tag: str) -> _Found | None:
        path = f"{self._path}/{quote(tag, safe='')}"
        said = self._api.call("GET", path)
        if said.status == 404:
            return None
        if said.status != 200:
            raise self._api.failure(said)
        self._check(said, tag)
        return _Found(path=path, name=self._text(said, "name"), notes=self._text(said, "description"))

    def _creation(self, release: ForgeRelease) -> Change:
        # Without a `ref` GitLab makes no tag: it refuses where there is none.
        payload = {"tag_name": release.tag, "name": release.name, "description": release.notes}
        return "POST", self._path, payload

    def _correction(self, found: _Found, release: ForgeRelease) -> Change:
        return "PUT", found.path, {"name": release.name, "description": release.notes}


def connect(
    where: Where,
    token: Token | None,
    *,
    network: Network,
    trace: Callable[[str], None] | None = None,
    waits: Callable[[str], None] = lambda text: None,
) -> GitHub | GitLab:
    """The forge at this place. Raises AuthError when there is no token."""
    forge = GitHub if where.kind == "github" else GitLab
    return forge(where, token, network=network, trace=trace, waits=waits)
