"""Credentials from variables, from --registry-token-file and from CI systems: whose they are, and which win."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given as anything
from hypothesis import strategies as st

from dsci.drivers import lentlogin, tokenvariables
from dsci.drivers.credentials import HUB_KEY
from dsci.drivers.keychain import Keychain
from dsci.drivers.tokenvariables import CommandLine, spelled
from dsci.errors import ConfigError
from dsci.model.reference import Repository

APP = Repository.parse("ghcr.io/acme/app")
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_TOKEN": "ghs",
    "GITHUB_ACTOR": "octocat",
    "GITHUB_REPOSITORY_OWNER": "Acme",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_REGISTRY": "registry.gitlab.com",
    "CI_REGISTRY_USER": "gitlab-ci-token",
    "CI_REGISTRY_PASSWORD": "job",
    "CI_JOB_TOKEN": "bare",
}


def found(
    home: Path, environment: dict[str, str], name: str = str(APP), hosts: tuple[str, ...] = (), token: str = ""
) -> tuple[str, str, str] | None:
    """User, password and source for a repository."""
    said = CommandLine(hosts=frozenset(hosts), token=token)
    keychain = Keychain.from_environment({"XDG_RUNTIME_DIR": str(home), **environment}, home, said)
    who = keychain.credentials(Repository.parse(name))
    return (who.username, who.password, who.source) if who else None


class TestWhose:
    def test_a_variable_with_a_registrys_name_is_for_that_one(self, tmp_path: Path) -> None:
        given = {"DSCI_REGISTRY_TOKEN_GHCR_IO": "t\n", "DSCI_REGISTRY_USER_GHCR_IO": "me"}
        assert found(tmp_path, given) == ("me", "t", "$DSCI_REGISTRY_TOKEN_GHCR_IO")
        for other in ("quay.io/acme/app", "ghcr.io.evil.example/acme/app", "acme/app", "ghcr-io.example/a", "ghcr/io"):
            assert found(tmp_path, given, other) is None

    @pytest.mark.parametrize(
        ("registry", "name"),
        [
            ("ghcr.io", "GHCR_IO"),
            ("docker.io", "DOCKER_IO"),
            ("localhost:5000", "LOCALHOST_5000"),
            ("my-registry.example.org", "MY__REGISTRY_EXAMPLE_ORG"),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "123456789012_DKR_ECR_EU__WEST__1_AMAZONAWS_COM"),
        ],
    )
    def test_how_a_registry_is_spelled(self, registry: str, name: str) -> None:
        assert spelled(registry) == name

    @anything(st.lists(st.from_regex(r"\A[a-z](-?[a-z0-9]){0,4}\Z"), min_size=2, max_size=4, unique=True))
    def test_no_two_hosts_are_spelled_alike(self, labels: list[str]) -> None:
        hosts = {".".join(labels), "-".join(labels), ".".join(labels[:-1]) + "-" + labels[-1], "--".join(labels)}
        assert len({spelled(host) for host in hosts}) == len(hosts)

    def test_one_without_a_name_is_for_the_registry_of_the_command_line(self, tmp_path: Path) -> None:
        given = {"DSCI_REGISTRY_TOKEN": "t", "DSCI_REGISTRY_USER": "me"}
        assert found(tmp_path, given, hosts=("ghcr.io",)) == ("me", "t", "$DSCI_REGISTRY_TOKEN")
        assert found(tmp_path, given, "debian", hosts=("ghcr.io",)) is None
        assert found(tmp_path, given, "evil.example/app", hosts=("ghcr.io",)) is None

    @pytest.mark.parametrize(
        ("hosts", "says", "hint"),
        [
            ((), "no registry is named for it", "DSCI_REGISTRY_TOKEN_GHCR_IO"),
            (("ghcr.io", "quay.io"), "which of ghcr.io, quay.io", "DSCI_REGISTRY_TOKEN_GHCR_IO"),
        ],
    )
    @pytest.mark.parametrize("token", ["", "CANARY"])
    def test_one_of_nobodys_is_refused(
        self, tmp_path: Path, hosts: tuple[str, ...], says: str, hint: str, token: str
    ) -> None:
        """dsci.yaml cannot say where a secret goes: whoever wrote a pull request wrote it."""
        given = {} if token else {"DSCI_REGISTRY_TOKEN": "CANARY"}
        with pytest.raises(ConfigError, match=says) as caught:
            found(tmp_path, given, hosts=hosts, token=token)
        assert hint in caught.value.hint and "CANARY" not in caught.value.message + caught.value.hint

    def test_a_password_needs_its_user(self, tmp_path: Path) -> None:
        named = {"DSCI_REGISTRY_PASSWORD_QUAY_IO": "CANARY"}
        with pytest.raises(ConfigError, match="whose is it") as caught:
            found(tmp_path, named, "quay.io/acme/app")
        assert "DSCI_REGISTRY_USER_QUAY_IO" in caught.value.hint
        assert "CANARY" not in caught.value.message + caught.value.hint
        # Another registry's user is not this one's.
        with pytest.raises(ConfigError, match="whose is it"):
            found(tmp_path, {**named, "DSCI_REGISTRY_USER": "me"}, "quay.io/acme/app")
        named["DSCI_REGISTRY_USER_QUAY_IO"] = "acme+ci"
        assert found(tmp_path, named, "quay.io/acme/app") == ("acme+ci", "CANARY", "$DSCI_REGISTRY_PASSWORD_QUAY_IO")

    @pytest.mark.parametrize(
        ("registry", "user"),
        [
            ("ghcr.io", "token"),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "AWS"),
            ("public.ecr.aws", "AWS"),
            ("europe-west1-docker.pkg.dev", "oauth2accesstoken"),
            ("eu.gcr.io", "oauth2accesstoken"),
            ("acme.azurecr.io", "00000000-0000-0000-0000-000000000000"),
        ],
    )
    def test_where_a_token_is_enough(self, tmp_path: Path, registry: str, user: str) -> None:
        who = found(tmp_path, {f"DSCI_REGISTRY_TOKEN_{spelled(registry)}": "t"}, f"{registry}/a/b/c")
        assert who is not None and who[:2] == (user, "t")

    @pytest.mark.parametrize("registry", ["evil-ghcr.io", "x.pkg.dev", "acme.azurecr.io.evil.example", "docker.io"])
    def test_where_it_is_not(self, tmp_path: Path, registry: str) -> None:
        with pytest.raises(ConfigError, match="whose is it"):
            found(tmp_path, {f"DSCI_REGISTRY_TOKEN_{spelled(registry)}": "t"}, f"{registry}/a/b")

    def test_two_that_differ_are_refused_and_empty_ones_are_not_there(self, tmp_path: Path) -> None:
        """GitHub sets a secret that is not there to nothing."""
        given = {"DSCI_REGISTRY_TOKEN_GHCR_IO": "a", "DSCI_REGISTRY_PASSWORD_GHCR_IO": "b"}
        with pytest.raises(ConfigError, match="both set"):
            found(tmp_path, given)
        assert found(tmp_path, {"DSCI_REGISTRY_TOKEN": "", "DSCI_REGISTRY_TOKEN_GHCR_IO": " "}) is None


class TestWhichWins:
    def test_from_the_command_line_to_the_ci_system(self, tmp_path: Path) -> None:
        """Each place comes before all of those below it; they are taken away one after the other."""
        auth = {"auths": {"ghcr.io": {"auth": base64.b64encode(b"u:inline").decode()}}}
        (tmp_path / ".docker").mkdir()
        text = json.dumps({"auths": {"ghcr.io": {"username": "u", "password": "file"}}})
        (tmp_path / ".docker" / "config.json").write_text(text)
        given = {
            **GITHUB,
            "DOCKER_AUTH_CONFIG": json.dumps(auth),
            "DSCI_REGISTRY_TOKEN": "plain",
            "DSCI_REGISTRY_TOKEN_GHCR_IO": "named",
        }
        asked = []
        for gone in ("", "DSCI_REGISTRY_TOKEN_GHCR_IO", "DSCI_REGISTRY_TOKEN", "DOCKER_AUTH_CONFIG"):
            given.pop(gone, None)
            asked.append(found(tmp_path, given, hosts=("ghcr.io",)))
        (tmp_path / ".docker" / "config.json").unlink()
        asked.append(found(tmp_path, given, hosts=("ghcr.io",)))
        first = found(tmp_path, {"DSCI_REGISTRY_TOKEN_GHCR_IO": "named"}, hosts=("ghcr.io",), token="told")
        assert [who and who[1] for who in (first, *asked)] == ["told", "named", "plain", "inline", "file", "ghs"]

    def test_the_users_name_may_be_said_beside_the_token_file(self, tmp_path: Path) -> None:
        for name in ("DSCI_REGISTRY_USER", "DSCI_REGISTRY_USER_QUAY_IO"):
            who = found(tmp_path, {name: "acme+ci"}, "quay.io/acme/app", hosts=("quay.io",), token="t")
            assert who == ("acme+ci", "t", "--registry-token-file")


class TestCi:
    def test_github(self, tmp_path: Path) -> None:
        assert found(tmp_path, GITHUB) == ("octocat", "ghs", "$GITHUB_TOKEN")
        # What others published there is read as a stranger; a token that may not would be refused what is public.
        for other in ("ghcr.io/astral-sh/uv", "ghcr.io/acmeother/x", "quay.io/acme/app", "acme/app"):
            assert found(tmp_path, GITHUB, other) is None
        assert found(tmp_path, {**GITHUB, "GITHUB_ACTIONS": ""}) is None, "a person's token is not for registries"
        assert found(tmp_path, {**GITHUB, "GITHUB_SERVER_URL": "https://github.com"}) == (
            "octocat",
            "ghs",
            "$GITHUB_TOKEN",
        )
        for server in ("https://ghe.example.com", "https://acme.ghe.com", "https://github.com.example.org"):
            assert found(tmp_path, {**GITHUB, "GITHUB_SERVER_URL": server}) is None, "it is that server's alone"

    def test_gitlab(self, tmp_path: Path) -> None:
        name = "registry.gitlab.com/acme/family/ml"
        assert found(tmp_path, GITLAB, name) == ("gitlab-ci-token", "job", "$CI_REGISTRY_PASSWORD")
        bare = {**GITLAB, "CI_REGISTRY_PASSWORD": ""}
        assert found(tmp_path, bare, name) == ("gitlab-ci-token", "bare", "$CI_JOB_TOKEN")
        assert found(tmp_path, GITLAB, "registry.gitlab.example/acme/ml") is None
        assert found(tmp_path, {**GITLAB, "GITLAB_CI": ""}, name) is None


def asks(environment: dict[str, str], server: str, command: str = "get", cwd: Path | None = None) -> tuple[int, str]:
    """Ask the helper that the docker command is lent, as that command does: found on PATH, the name on its stdin."""
    ended = subprocess.run(
        ["sh", "-c", f"docker-credential-dsci {command}"],
        input=f"{server}\n",
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert not ended.stderr, ended.stderr
    return ended.returncode, ended.stdout.strip()


class TestLent:
    """What the docker command and BuildKit's client see: all that we do, and no secret on disk."""

    def lend(self, tmp_path: Path, config: object, said: CommandLine, **more: str) -> dict[str, str]:
        own, folder = tmp_path / "own", tmp_path / "run"
        own.mkdir()
        folder.mkdir()
        (own / "config.json").write_text(json.dumps(config))
        (own / "contexts").mkdir()
        given = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "DOCKER_CONFIG": str(own),
            "HOME": str(tmp_path),
            "XDG_RUNTIME_DIR": str(tmp_path),
            **more,
        }
        return lentlogin.lend(given, said, folder)

    def test_it_answers_for_every_place(self, tmp_path: Path) -> None:
        config = {
            "auths": {"quay.io": {"auth": base64.b64encode(b"me:FILE-CANARY").decode()}},
            "HttpHeaders": {"X-Auth": "HEADER-CANARY"},
            "currentContext": "here",
        }
        said = CommandLine(hosts=frozenset({"reg.example:5000"}), token="TOLD-CANARY")
        hub = {"auths": {HUB_KEY: {"identitytoken": "IDENTITY-CANARY"}}}
        more = {"DSCI_REGISTRY_USER": "ci", "DSCI_REGISTRY_TOKEN_GHCR_IO": "GHCR-CANARY", **GITHUB, **GITLAB}
        lent = self.lend(tmp_path, config, said, DOCKER_AUTH_CONFIG=json.dumps(hub), **more)
        answers = {
            server: json.loads(asks(lent, server)[1])
            for server in ("quay.io", "https://quay.io", "reg.example:5000", "ghcr.io", HUB_KEY, "registry.gitlab.com")
        }
        assert {server: (found["Username"], found["Secret"]) for server, found in answers.items()} == {
            "quay.io": ("me", "FILE-CANARY"),
            "https://quay.io": ("me", "FILE-CANARY"),
            "reg.example:5000": ("ci", "TOLD-CANARY"),
            "ghcr.io": ("token", "GHCR-CANARY"),
            HUB_KEY: ("<token>", "IDENTITY-CANARY"),
            "registry.gitlab.com": ("gitlab-ci-token", "job"),
        }
        assert all(found["ServerURL"] == server for server, found in answers.items())
        assert asks(lent, "other.example") == (1, "credentials not found in native keychain")
        assert asks(lent, "", "list") == (0, "{}")
        assert asks(lent, "", "store")[0] == asks(lent, "", "erase")[0] == 1
        files = [path.read_text() for path in (tmp_path / "run").rglob("*") if path.is_file()]
        assert len(files) == 2 and not any("CANARY" in text for text in files)
        settings = Path(lent["DOCKER_CONFIG"])
        assert json.loads((settings / "config.json").read_text()) == {"currentContext": "here", "credsStore": "dsci"}
        assert (settings / "contexts").resolve() == tmp_path / "own" / "contexts"
        assert lent["BUILDX_CONFIG"] == str(tmp_path / "own" / "buildx")

    def test_a_token_of_nobodys_is_refused_before_anything_is_lent(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no registry is named for it") as caught:
            self.lend(tmp_path, {}, CommandLine(), DSCI_REGISTRY_TOKEN="t")
        assert "set DSCI_REGISTRY_TOKEN_GHCR_IO;" in caught.value.hint
        assert list((tmp_path / "run").iterdir()) == []

    @pytest.mark.parametrize("kept", [False, True])
    def test_githubs_token_is_for_the_registry_only_where_the_job_publishes_there(
        self, tmp_path: Path, kept: bool
    ) -> None:
        """Programs ask for whole registries; and what a person logged in with comes before it."""
        config = {"auths": {"ghcr.io": {"username": "me", "password": "mine"}}} if kept else {}
        lent = self.lend(tmp_path, config, CommandLine(hosts=frozenset({"ghcr.io", "quay.io"})), **GITHUB)
        who = json.loads(asks(lent, "ghcr.io")[1])
        assert (who["Username"], who["Secret"]) == (("me", "mine") if kept else ("octocat", "ghs"))
        assert asks(lent, "quay.io")[0] == 1

    def test_githubs_token_is_for_no_whole_registry_otherwise(self, tmp_path: Path) -> None:
        assert asks(self.lend(tmp_path, {}, CommandLine(hosts=frozenset({"quay.io"})), **GITHUB), "ghcr.io")[0] == 1

    def test_what_is_wrong_is_told_without_being_shown(self, tmp_path: Path) -> None:
        lent = self.lend(tmp_path, {"auths": {"ghcr.io": {"auth": "CANARY"}}}, CommandLine())
        code, said = asks(lent, "ghcr.io")
        assert code == 1 and "not base64" in said and "CANARY" not in said

    def test_what_lies_where_it_runs_is_not_run(self, tmp_path: Path) -> None:
        """Builds run in the repository: a json.py in a pull request must not see the secrets."""
        lent = self.lend(tmp_path, {}, CommandLine(), DSCI_REGISTRY_TOKEN_GHCR_IO="t")
        trap = tmp_path / "repository"
        trap.mkdir()
        (trap / "json.py").write_text("open('trapped', 'w')\n")
        (trap / "dsci").mkdir()
        (trap / "dsci" / "__init__.py").write_text("open('trapped', 'w')\n")
        assert asks({**lent, "PYTHONPATH": str(Path(tokenvariables.__file__).parents[2])}, "ghcr.io", cwd=trap)[0] == 0
        assert not (trap / "trapped").exists()

    def test_whether_it_is_needed(self, tmp_path: Path) -> None:
        def needed(environment: dict[str, str], said: CommandLine = tokenvariables.NOTHING_SAID) -> bool:
            return Keychain.from_environment(
                {"XDG_RUNTIME_DIR": str(tmp_path), **environment}, tmp_path, said
            ).beyond_docker

        assert not needed({}) and not needed(GITHUB)
        assert needed(GITHUB, CommandLine(hosts=frozenset({"ghcr.io"})))
        (tmp_path / ".docker").mkdir()
        (tmp_path / ".docker" / "config.json").write_text("{}")
        assert not needed({}), "the docker command reads that itself"
        assert needed({"DSCI_REGISTRY_TOKEN_GHCR_IO": "t"}) and needed(GITLAB)
        assert needed({"DOCKER_AUTH_CONFIG": "{}"}) and needed({}, CommandLine(token="t"))
        (tmp_path / "containers").mkdir()
        (tmp_path / "containers" / "auth.json").write_text("{}")
        assert needed({})
