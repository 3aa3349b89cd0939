"""Links to commits, requests, issues and comparisons on GitHub and GitLab.

The address of a repository's web pages is read from the URL of its remote, in any form that Git takes. What is not
known gives no link: every method answers "" then.

Sources: https://git-scm.com/docs/git-fetch#_git_urls,
https://docs.github.com/en/authentication/troubleshooting-ssh/using-ssh-over-the-https-port,
https://docs.gitlab.com/topics/git/troubleshooting_git/ (altssh)
"""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec

_URL = re.compile(
    r"\A(?P<scheme>https?|ssh|git)://(?:[^@/\s]*@)?(?P<host>[A-Za-z0-9.-]+)(?P<port>:[0-9]{1,5})?/(?P<path>\S+)\Z"
)
#: `git@host:path`; one letter is a drive on Windows.
_SCP = re.compile(r"\A(?:[^@:/\s]+@)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]+):(?P<path>[^\s:]+)\Z")
_SEGMENT = re.compile(r"\A(?!\.+\Z)[A-Za-z0-9._~-]+\Z")
#: Hosts that take SSH on the port of HTTPS.
_SAME = {"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}
FORGES = ("github", "gitlab")


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """The web pages of one repository."""

    base: str = ""
    """Its address, without a slash at the end; empty where it is not known."""
    forge: str = ""
    """`github` or `gitlab`."""

    @classmethod
    def of(cls, remote: str | None, forge: str = "") -> Links:
        """The pages behind a remote's URL; the forge is told by the host's name where it is not given."""
        found = _URL.match(remote or "") or _SCP.match(remote or "")
        if found is None:
            return cls()
        parts = found.groupdict()
        host = _SAME.get(parts["host"].lower(), parts["host"].lower())
        segments = parts["path"].strip("/").removesuffix(".git").split("/")
        forge = forge or next((name for name in FORGES if name in host), "")
        if forge not in FORGES or len(segments) < 2 or not all(map(_SEGMENT.match, segments)):
            return cls()
        web = (parts.get("scheme") or "").startswith("http")
        scheme, port = (parts["scheme"], parts["port"] or "") if web else ("https", "")
        return cls(base=f"{scheme}://{host}{port}/{'/'.join(segments)}", forge=forge)

    @property
    def _dash(self) -> str:
        return f"{self.base}/-" if self.forge == "gitlab" else self.base

    def commit(self, sha: str) -> str:
        """A commit's page."""
        return f"{self._dash}/commit/{sha}" if self.base else ""

    def request(self, text: str) -> str:
        """The page of `#12` or `!12`: a pull request, a merge request; GitLab's `#12` is an issue."""
        match text[:1], self.forge:
            case "#", "github":
                return f"{self.base}/pull/{text[1:]}"
            case "!", "gitlab":
                return f"{self._dash}/merge_requests/{text[1:]}"
            case "#", "gitlab":
                return self.issue(text)
            case _:
                return ""

    def issue(self, text: str) -> str:
        """The page of `#3` or `owner/name#3`; none for another tracker's key."""
        project, sign, number = text.rpartition("#")
        if not sign or not self.base:
            return ""
        if not project:
            return f"{self._dash}/issues/{number}"
        scheme, _, rest = self.base.partition("://")
        dash = "/-" if self.forge == "gitlab" else ""
        return f"{scheme}://{rest.partition('/')[0]}/{project}{dash}/issues/{number}"

    def compare(self, before: str, after: str) -> str:
        """What lies between two tags or branches."""
        return f"{self._dash}/compare/{_name(before)}...{_name(after)}" if self.base else ""

    def tag(self, name: str) -> str:
        """A tag's page."""
        if not self.base:
            return ""
        return (
            f"{self._dash}/tags/{_name(name)}" if self.forge == "gitlab" else f"{self.base}/releases/tag/{_name(name)}"
        )


def _name(name: str) -> str:
    """A ref as part of a URL."""
    return quote(name, safe="/", errors="surrogateescape")
