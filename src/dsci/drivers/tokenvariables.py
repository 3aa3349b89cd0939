"""Credentials that the environment of a CI job holds, and the one token that the command line points at.

A secret belongs to one host and goes to no other. The variable's name says to which (`DSCI_REGISTRY_TOKEN_GHCR_IO`);
one without a host's name belongs to the registry that the command line names. What `dsci.yaml` names does not count:
it comes with the commit, and so from whoever wrote the pull request. What GitHub and GitLab give their jobs is known
too, for their own registries. Files and helpers are `keychain`'s.

Sources: https://docs.github.com/en/packages/working-with-a-github-packages-registry/working-with-the-container-registry
(GITHUB_TOKEN), https://docs.gitlab.com/user/packages/container_registry/authenticate_with_container_registry/
(CI_REGISTRY_USER, CI_JOB_TOKEN), https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html,
https://cloud.google.com/artifact-registry/docs/docker/authentication#token,
https://learn.microsoft.com/azure/container-registry/container-registry-authentication (user names beside tokens).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dsci.drivers.credentials import Credentials
from dsci.errors import ConfigError
from dsci.model.reference import Repository

_PREFIX = "DSCI_REGISTRY_"
#: Whose workflows have tokens for ghcr.io.
_GITHUB = "https://github.com"
#: Where a program of ours is told which registries the command line names: the job's own token may write there.
HOSTS = "DSCI_LENT_HOSTS"
#: Registries where a token says by itself whose it is, and the name that they want to see beside it.
_USERS = (
    (re.compile(r"ghcr\.io"), "token"),
    (re.compile(r"(?:public\.ecr\.aws|[0-9]+\.dkr\.ecr(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?)"), "AWS"),
    (re.compile(r"(?:(?:[a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev)"), "oauth2accesstoken"),
    (re.compile(r"[a-z0-9-]+\.azurecr\.(?:io|cn|us)"), "00000000-0000-0000-0000-000000000000"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """What the command line says of credentials."""

    hosts: frozenset[str] = frozenset()
    """The hosts of the registries that it names."""
    token: str = field(default="", repr=False)
    """What --registry-token-file gave."""


NOTHING_SAID = CommandLine()


def spelled(registry: str) -> str:
    """A registry's name as the end of a variable's: `GHCR_IO`, `LOCALHOST_5000`, `MY__REGISTRY_EXAMPLE_ORG`.

    A hyphen is two underscores, so that `my-registry.org` and `my.registry.org`, which may be two people's, differ.
    """
    return re.sub(r"[^A-Z0-9]", "_", registry.upper().replace("-", "__"))


def given(registry: str, environment: Mapping[str, str], said: CommandLine) -> Credentials | None:
    """What a person or a pipeline gave dsci for this registry. Raises ConfigError for what belongs to nobody.

    The command line wins over variables, and a variable with the registry's name over one without.
    """
    end = f"_{spelled(registry)}"
    plain = ("--registry-token-file", said.token) if said.token else _secret(environment, "")
    if plain is not None and len(said.hosts) != 1:
        several = ", ".join(sorted(said.hosts))
        example = spelled(min(said.hosts, default=registry or "ghcr.io"))
        raise ConfigError(
            f"{plain[0]}: " + (f"which of {several} is it for?" if several else "no registry is named for it"),
            hint=f"name one with --registry, or set {_PREFIX}TOKEN_{example}; "
            "where a secret goes is not for dsci.yaml to say",
        )
    mine = plain if registry in said.hosts else None
    source, secret = (mine if said.token else None) or _secret(environment, end) or mine or ("", "")
    if not secret:
        return None
    user = _value(environment, f"USER{end}") or (_value(environment, "USER") if not source.endswith(end) else "")
    user = user or next((name for host, name in _USERS if host.fullmatch(registry)), "")
    if not user:
        raise ConfigError(
            f"{source}: whose is it? {registry} does not take a token alone",
            hint=f"set {_PREFIX}USER{end if source.endswith(end) else ''} to the name of its account",
        )
    return Credentials(username=user, password=secret, source=source)


def of_ci(repository: Repository, environment: Mapping[str, str], *, whole: bool = False) -> Credentials | None:
    """What the CI system gives its jobs for its own registry; on GitHub for the owner's packages, or the `whole`."""
    user, password = environment.get("CI_REGISTRY_USER"), environment.get("CI_REGISTRY_PASSWORD")
    if environment.get("GITLAB_CI") == "true" and repository.registry == environment.get("CI_REGISTRY"):
        if user and password:
            return Credentials(username=user, password=password, source="$CI_REGISTRY_PASSWORD")
        if token := environment.get("CI_JOB_TOKEN"):
            return Credentials(username="gitlab-ci-token", password=token, source="$CI_JOB_TOKEN")
    token = environment.get("GITHUB_TOKEN")
    # The token of a GitHub Enterprise Server is for that server alone.
    theirs = (environment.get("GITHUB_SERVER_URL") or _GITHUB).rstrip("/") == _GITHUB
    if environment.get("GITHUB_ACTIONS") == "true" and repository.registry == "ghcr.io" and token and theirs:
        # A package of somebody else that is public is read by a stranger, and may not be by a token without the right.
        owner = environment.get("GITHUB_REPOSITORY_OWNER", "").lower()
        if whole or (owner and repository.path.startswith(f"{owner}/")):
            return Credentials(
                username=environment.get("GITHUB_ACTOR") or "token", password=token, source="$GITHUB_TOKEN"
            )
    return None


def anything(environment: Mapping[str, str], said: CommandLine) -> bool:
    """Whether there may be credentials for a whole registry here, whichever it is."""
    own = any(text and name.startswith(_PREFIX) for name, text in environment.items())
    job = environment.get("GITLAB_CI") == "true" or (
        "ghcr.io" in said.hosts and of_ci(Repository("ghcr.io", ""), environment, whole=True) is not None
    )
    return bool(said.token) or own or job


def lent(environment: Mapping[str, str], said: CommandLine) -> dict[str, str]:
    """The environment for a program of ours that sees no command line. Raises ConfigError as `given` does."""
    registry = next(iter(said.hosts)) if len(said.hosts) == 1 else ""
    found = given(registry, environment, said)
    lent = {**environment, HOSTS: " ".join(sorted(said.hosts))}
    if found is not None:
        own = {"USER": found.username, "TOKEN": found.password, "PASSWORD": ""}
        lent |= {f"{_PREFIX}{kind}_{spelled(registry)}": text for kind, text in own.items()}
    return lent


def named(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what bears no registry's name: what that is for was said elsewhere (`lent`)."""
    plain = {f"{_PREFIX}{kind}" for kind in ("TOKEN", "PASSWORD", "USER")}
    return {name: text for name, text in environment.items() if name not in plain}


def _secret(environment: Mapping[str, str], end: str) -> tuple[str, str] | None:
    """The token or password in variables that end so, behind the name of its variable."""
    token, password = _value(environment, f"TOKEN{end}"), _value(environment, f"PASSWORD{end}")
    if token and password and token != password:
        raise ConfigError(
            f"{_PREFIX}TOKEN{end} and {_PREFIX}PASSWORD{end} are both set, to different values", hint="keep one of them"
        )
    kind = "TOKEN" if token else "PASSWORD"
    return (f"${_PREFIX}{kind}{end}", token or password) if token or password else None


def _value(environment: Mapping[str, str], name: str) -> str:
    """A variable, without the end of line that files leave in it; CI systems set a secret that is not there to ""."""
    return environment.get(f"{_PREFIX}{name}", "").strip()
