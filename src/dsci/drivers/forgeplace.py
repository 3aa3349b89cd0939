"""Which forge a repository is on, and which token of the environment is meant for it.

Inside a CI job the forge tells both by variables. Elsewhere the remote's URL tells the place: github.com, its data
residency hosts below ghe.com, and gitlab.com are known by name; any other host is only what the user says it is. A
token is given to the host that it was made for and to no other: a job's own token goes to the forge that runs the job,
and a github.com token never to a GitHub Enterprise Server that a remote happens to name. Nothing is asked from here.

Sources: https://docs.github.com/en/actions/reference/workflows-and-actions/variables (GITHUB_…),
https://docs.gitlab.com/ci/variables/predefined_variables/ (CI_…),
https://cli.github.com/manual/gh_help_environment (GH_TOKEN before GITHUB_TOKEN, and those of Enterprise Servers),
https://docs.gitlab.com/api/rest/authentication/ (PRIVATE-TOKEN and JOB-TOKEN),
https://docs.github.com/en/authentication/troubleshooting-ssh/using-ssh-over-the-https-port,
https://git-scm.com/docs/git-clone#_git_urls (the forms of a remote's URL).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from dsci.errors import AuthError, ConfigError

Kind = Literal["github", "gitlab"]

_ALIASES = {"www.github.com": "github.com", "ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}
_SCP = re.compile(r"\A(?:[^@/:\s]+@)?([A-Za-z0-9_.-]{2,255}):(.+)\Z")
"""`user@host:path`; a single letter before the colon is a drive of Windows."""
_HOST = re.compile(r"\A(?:[a-z0-9_.-]{1,255}|[0-9a-f:.]{2,64})\Z")
_SEGMENT = re.compile(r"\A[A-Za-z0-9_.+~-]{1,255}\Z")
_SAFE_TOKEN = re.compile(r"\A[!-~]{1,10000}\Z")
_URL_LIMIT = 2000


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """A project on a forge: the base URL of the REST API, without a slash at its end, and the project's path."""

    kind: Kind
    api: str
    project: str
    """`owner/name`, on GitLab with all its groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a request is signed with; the repr tells the variable it came from, never the secret."""

    header: Literal["Authorization", "PRIVATE-TOKEN", "JOB-TOKEN"]
    secret: str = field(repr=False)
    source: str

    @property
    def value(self) -> str:
        """The header's text."""
        return f"Bearer {self.secret}" if self.header == "Authorization" else self.secret


def where(origin: str | None, environment: Mapping[str, str], configured: str = "auto") -> Where | None:
    """The project's place by the job's variables, else by the remote's URL; None if neither tells it.

    `configured` is `github`, `gitlab` or `auto`: it says what a self-hosted remote is, and rules the other forge out.
    Raises ConfigError for anything else.
    """
    if configured not in ("auto", "github", "gitlab"):
        raise ConfigError(f"there is no forge {configured!r}", hint="it is github, gitlab or auto")
    for found in (_github_job(environment), _gitlab_job(environment), _remote(origin or "", configured)):
        if found is not None and configured in ("auto", found.kind):
            return found
    return None


def token(where: Where, environment: Mapping[str, str]) -> Token | None:
    """The token for this place, or None. Raises AuthError for a variable whose content cannot be a token."""
    if where.kind == "gitlab":
        own = _gitlab_job(environment)
        job = environment.get("CI_JOB_TOKEN", "").strip()
        for name in ("GITLAB_TOKEN", "CI_JOB_TOKEN") if own is not None and own.api == where.api else ("GITLAB_TOKEN",):
            secret = _secret(name, environment)
            if secret:
                # Under any name a job's token is only taken in its own header: GitLab answers 404 to the other one.
                return Token(header="JOB-TOKEN" if secret == job else "PRIVATE-TOKEN", secret=secret, source=name)
        return None
    for name in _github_names(where, environment):
        secret = _secret(name, environment)
        if secret:
            return Token(header="Authorization", secret=secret, source=name)
    return None


def _github_names(where: Where, environment: Mapping[str, str]) -> tuple[str, ...]:
    own = _github_job(environment)
    public = ("GH_TOKEN", "GITHUB_TOKEN")
    if _is_public(urlsplit(where.api).hostname or ""):
        return public
    enterprise = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
    return (*enterprise, *public) if own is not None and own.api == where.api else enterprise


def _secret(name: str, environment: Mapping[str, str]) -> str:
    text = environment.get(name, "").strip()
    if text and not _SAFE_TOKEN.match(text):
        raise AuthError(f"{name} holds characters that no token has", hint=f"set {name} to the token and nothing else")
    return text


# ------------------------------------------------------------------------------------------------------------ CI jobs


def _github_job(environment: Mapping[str, str]) -> Where | None:
    """The repository of a GitHub Actions job. Gitea's and Forgejo's set the same variables, for another API."""
    api = _base(environment.get("GITHUB_API_URL", ""))
    server = _base(environment.get("GITHUB_SERVER_URL", ""))
    if server and not environment.get("GITHUB_API_URL"):
        api = _api("github", server)
    project = _project("github", environment.get("GITHUB_REPOSITORY", ""))
    if not api or not project or urlsplit(api).path not in ("", "/api/v3"):
        return None
    return Where(kind="github", api=api, project=project)


def _gitlab_job(environment: Mapping[str, str]) -> Where | None:
    api = _base(environment.get("CI_API_V4_URL", ""))
    project = _project("gitlab", environment.get("CI_PROJECT_PATH", ""))
    return Where(kind="gitlab", api=api, project=project) if api and project else None


def _base(url: str) -> str:
    """A base URL without the slash at its end; empty where it is none that requests may go to."""
    try:
        parts = urlsplit(url.strip()[:_URL_LIMIT])
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        return ""
    if not usable or parts.username is not None or parts.query or parts.fragment:
        return ""
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


# --------------------------------------------------------------------------------------------------------- the remote


def _remote(origin: str, configured: str) -> Where | None:
    """The place that a remote's URL names: https, ssh or `host:path`."""
    server, path = _server(origin.strip()) if len(origin) <= _URL_LIMIT else ("", "")
    host = urlsplit(server).hostname or ""
    kind: Kind
    if _is_public(host):
        kind = "github"
    elif host == "gitlab.com":
        kind = "gitlab"
    elif host and configured in ("github", "gitlab"):
        kind = "github" if configured == "github" else "gitlab"
    else:
        return None
    project = _project(kind, path)
    return Where(kind=kind, api=_api(kind, server), project=project) if project else None


def _server(origin: str) -> tuple[str, str]:
    """The web server beside a Git remote, and the path on it: a port of SSH says nothing about HTTPS."""
    if "://" not in origin:
        found = _SCP.match(origin)
        return (f"https://{_named(found[1].lower())}", found[2]) if found else ("", "")
    try:
        parts = urlsplit(origin)
        host, port = _named(parts.hostname or ""), parts.port
    except ValueError:
        return "", ""
    if not _HOST.match(parts.hostname or "") or parts.scheme not in ("http", "https", "ssh", "git+ssh", "ssh+git"):
        return "", ""
    if parts.scheme not in ("http", "https") or _is_public(host) or host == "gitlab.com":
        return f"https://{host}", parts.path
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}", parts.path


def _named(host: str) -> str:
    """A host as URLs and we write it."""
    return f"[{host}]" if ":" in host else _ALIASES.get(host, host)


def _is_public(host: str) -> bool:
    """Whether GitHub itself runs this host."""
    return host in ("github.com", "api.github.com") or host.endswith(".ghe.com")


def _api(kind: Kind, server: str) -> str:
    """The REST API of a server. Sources: https://docs.github.com/en/rest, https://docs.gitlab.com/api/rest/."""
    if kind == "gitlab":
        return f"{server}/api/v4"
    host = urlsplit(server).hostname or ""
    return f"https://api.{host}" if _is_public(host) else f"{server}/api/v3"


def _project(kind: Kind, path: str) -> str:
    """A project's path, or nothing where it cannot be one."""
    segments = path.strip("/").removesuffix(".git").split("/")
    legal = all(_SEGMENT.match(name) and name not in (".", "..") for name in segments)
    enough = len(segments) == 2 if kind == "github" else 2 <= len(segments) <= 30
    return "/".join(segments) if legal and enough else ""
