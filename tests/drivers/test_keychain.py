"""Credentials from the files and helpers that Docker and Podman use."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsci.drivers import process
from dsci.drivers.keychain import HUB_KEY, Credentials, Keychain
from dsci.errors import AuthError, BuilderError, ConfigError, DsciError
from dsci.model.reference import Repository

APP = Repository.parse("ghcr.io/acme/app")
HUB = Repository.parse("acme/app")


def secret(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Keychain]:
    """Write config.json and give a keychain that reads it; helpers are found in tmp_path/bin only."""

    def write(value: Any, **options: Any) -> Keychain:
        (tmp_path / "config.json").write_text(value if isinstance(value, str) else json.dumps(value))
        (tmp_path / "bin").mkdir(exist_ok=True)
        return Keychain(tmp_path, environment={"PATH": f"{tmp_path}/bin:{os.defpath}"}, **options)

    return write


@pytest.fixture
def helper(tmp_path: Path) -> Callable[[str, str], Path]:
    """Make a credential helper out of a shell script; it notes what it was asked."""

    def make(name: str, script: str) -> Path:
        path = tmp_path / "bin" / f"docker-credential-{name}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\nread -r server\necho "$1 $server" >> {tmp_path}/asked\n{script}\n')
        path.chmod(0o755)
        return tmp_path / "asked"

    return make


def who(keychain: Keychain, repository: Repository = APP) -> tuple[str, str] | None:
    found = keychain.credentials(repository)
    return (found.username, found.password) if found else None


class TestFiles:
    def test_nothing_configured_is_a_stranger(self, tmp_path: Path) -> None:
        assert Keychain(tmp_path / "absent").credentials(APP) is None
        (tmp_path / "config.json").mkdir()
        assert Keychain(tmp_path).credentials(APP) is None

    @pytest.mark.parametrize(
        "key", ["ghcr.io", "https://ghcr.io", "https://ghcr.io/v1/", "http://ghcr.io/v2", "ghcr.io/"]
    )
    def test_a_registry_is_known_under_every_spelling_docker_ever_wrote(
        self, config: Callable[..., Keychain], key: str
    ) -> None:
        keychain = config({"auths": {"other.io": secret("x", "y"), key: secret("me", "pa:ss\0")}})
        assert who(keychain) == ("me", "pa:ss")

    @pytest.mark.parametrize("key", [HUB_KEY, "docker.io", "index.docker.io", "registry-1.docker.io"])
    def test_docker_hub_has_its_own_key(self, config: Callable[..., Keychain], key: str) -> None:
        keychain = config({"auths": {key: secret("me", "hub")}})
        assert who(keychain, HUB) == ("me", "hub")
        assert who(keychain) is None

    def test_the_entry_of_the_longest_path_wins_and_no_other_repository_gets_it(
        self, config: Callable[..., Keychain]
    ) -> None:
        keychain = config(
            {
                "auths": {
                    "ghcr.io": secret("all", "1"),
                    "ghcr.io/acme": secret("acme", "2"),
                    "ghcr.io/acme/v2": secret("deep", "3"),
                }
            }
        )
        assert who(keychain, Repository.parse("ghcr.io/acme/v2")) == ("deep", "3")
        assert who(keychain, Repository.parse("ghcr.io/acme/v2/x")) == ("deep", "3")
        assert who(keychain, APP) == ("acme", "2")
        assert who(keychain, Repository.parse("ghcr.io/acmeother/x")) == ("all", "1")
        only = config({"auths": {"ghcr.io/acme/v2": secret("deep", "3")}})
        assert who(only, APP) is None and who(only, Repository.parse("ghcr.io/x")) is None

    def test_ports_and_hosts_are_not_mixed_up(self, config: Callable[..., Keychain]) -> None:
        keychain = config({"auths": {"localhost:5000": secret("me", "1")}})
        assert who(keychain, Repository.parse("localhost:5000/a")) == ("me", "1")
        assert who(keychain, Repository.parse("localhost:5001/a")) is None
        assert who(keychain, Repository.parse("localhost/a")) is None

    def test_tokens_of_both_kinds(self, config: Callable[..., Keychain]) -> None:
        keychain = config({"auths": {"ghcr.io": {"identitytoken": "I"}, "quay.io": {"registrytoken": "R"}}})
        first, second = keychain.credentials(APP), keychain.credentials(Repository.parse("quay.io/a"))
        assert first is not None and (first.identity_token, first.secrets) == ("I", ("I",))
        assert second is not None and (second.registry_token, second.secrets) == ("R", ("R",))

    def test_docker_comes_before_podman_and_the_environment_before_both(self, tmp_path: Path) -> None:
        home, run = tmp_path / "home", tmp_path / "run"
        places = {
            home / ".docker/config.json": {"ghcr.io": secret("docker", "")},
            home / ".docker2/config.json": {"ghcr.io": secret("docker", "d")},
            tmp_path / "file.json": {"ghcr.io": secret("file", "f"), "a.io": secret("file", "f")},
            run / "containers/auth.json": {"a.io": secret("run", "r"), "b.io": secret("run", "r")},
            home / ".config/containers/auth.json": {"b.io": secret("home", "h"), "c.io": secret("home", "h")},
        }
        for path, auths in places.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"auths": auths}))
        environment = {
            "DOCKER_CONFIG": str(home / ".docker2"),
            "REGISTRY_AUTH_FILE": str(tmp_path / "file.json"),
            "XDG_RUNTIME_DIR": str(run),
        }
        keychain = Keychain.from_environment(environment, home)
        names = [who(keychain, Repository.parse(f"{host}/x")) for host in ("ghcr.io", "a.io", "b.io", "c.io", "d.io")]
        assert [name and name[0] for name in names] == ["docker", "file", "run", "home", None]
        inline = json.dumps({"auths": {"ghcr.io": secret("inline", "i")}})
        assert who(Keychain.from_environment({**environment, "DOCKER_AUTH_CONFIG": inline}, home)) == ("inline", "i")
        assert who(Keychain.from_environment({"REGISTRY_AUTH_FILE": str(tmp_path / "file.json")}, home)) == (
            "file",
            "f",
        )

    @pytest.mark.parametrize(
        "text",
        [
            "{",
            "[]",
            '{"auths": [1]}',
            '{"credHelpers": "x"}',
            '{"auths":{"ghcr.io":"CANARY"}}',
            '{"auths":{"ghcr.io":{"auth":"CANARY"}}}',
        ],
    )
    def test_what_cannot_be_understood_is_named_without_being_shown(
        self, config: Callable[..., Keychain], tmp_path: Path, text: str
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            config(text).credentials(APP)
        assert str(tmp_path / "config.json") in caught.value.message and caught.value.hint
        assert "CANARY" not in caught.value.message + caught.value.hint

    def test_an_empty_file_is_empty(self, config: Callable[..., Keychain]) -> None:
        assert config("").credentials(APP) is None

    def test_the_repr_shows_no_secret(self) -> None:
        found = Credentials(
            username="me", password="CANARY", identity_token="CANARY", registry_token="CANARY", source="x"
        )
        assert "CANARY" not in repr(found) + str(found) and "me" in repr(found)

    def test_a_changed_file_is_seen_when_asked_afresh(self, config: Callable[..., Keychain]) -> None:
        keychain = config({"auths": {"ghcr.io": secret("me", "old")}})
        assert who(keychain) == ("me", "old")
        config({"auths": {"ghcr.io": secret("me", "new")}})
        assert who(keychain) == ("me", "old")
        fresh = keychain.credentials(APP, fresh=True)
        assert fresh is not None and fresh.password == "new"


class TestHelpers:
    def test_a_store_is_asked_on_its_stdin_and_only_once(
        self, config: Callable[..., Keychain], helper: Callable[[str, str], Path]
    ) -> None:
        asked = helper("pass", """echo '{"ServerURL":"x","Username":"me","Secret":"S3CRET"}'""")
        keychain = config({"credsStore": "pass", "auths": {"ghcr.io": {}}})
        assert who(keychain) == who(keychain) == ("me", "S3CRET")
        assert who(keychain, HUB) == ("me", "S3CRET")
        assert asked.read_text().splitlines() == ["get ghcr.io", f"get {HUB_KEY}"]

    def test_a_registrys_own_helper_comes_before_the_store(
        self, config: Callable[..., Keychain], helper: Callable[[str, str], Path]
    ) -> None:
        helper("own", """echo '{"Username":"own","Secret":"1"}'""")
        helper("store", """echo '{"Username":"store","Secret":"2"}'""")
        keychain = config({"credsStore": "store", "credHelpers": {"ghcr.io": "own"}})
        assert who(keychain) == ("own", "1")
        assert who(keychain, Repository.parse("quay.io/a")) == ("store", "2")

    def test_a_repositorys_own_entry_comes_before_any_helper(
        self, config: Callable[..., Keychain], helper: Callable[[str, str], Path]
    ) -> None:
        asked = helper("store", """echo '{"Username":"store","Secret":"2"}'""")
        keychain = config({"credsStore": "store", "auths": {"ghcr.io/acme": secret("mine", "3")}})
        assert who(keychain) == ("mine", "3")
        assert not asked.exists()

    def test_an_identity_token_of_a_helper(
        self, config: Callable[..., Keychain], helper: Callable[[str, str], Path]
    ) -> None:
        helper("x", """echo '{"Username":"<token>","Secret":"IDENTITY"}'""")
        found = config({"credsStore": "x"}).credentials(APP)
        assert found is not None and (found.identity_token, found.password) == ("IDENTITY", "")

    def test_a_helper_that_knows_nothing_leaves_it_to_the_file(
        self, config: Callable[..., Keychain], helper: Callable[[str, str], Path]
    ) -> None:
        helper("x", "echo credentials not found in native keychain; exit 1")
        assert who(config({"credsStore": "x"})) is None
        assert who(config({"credsStore": "x", "auths": {"ghcr.io": secret("me", "1")}})) == ("me", "1")

    def test_a_missing_helper_is_named(self, config: Callable[..., Keychain], tmp_path: Path) -> None:
        with pytest.raises(AuthError, match="docker-credential-desktop is not on PATH") as caught:
            config({"credsStore": "desktop"}).credentials(APP)
        assert str(tmp_path / "config.json") in caught.value.hint

    @pytest.mark.parametrize(
        "script",
        [
            "echo CANARY; echo CANARY >&2; exit 3",
            "echo CANARY",
            "echo '[\"CANARY\"]'",
            """echo '{"Username":7,"Secret":"CANARY"}'""",
            "echo CANARY; echo CANARY >&2; sleep 60",
            "echo CANARY; kill -9 $$",
        ],
    )
    def test_a_helper_that_fails_is_named_and_its_output_is_not_shown(
        self, config: Callable[..., Keychain], helper: Callable[[str, str], Path], script: str
    ) -> None:
        helper("bad", script)
        began = time.monotonic()
        with pytest.raises(AuthError, match="docker-credential-bad") as caught:
            config({"credsStore": "bad"}, deadline=0.3).credentials(APP)
        assert time.monotonic() - began < 5
        error: BaseException | None = caught.value
        while error is not None:
            assert "CANARY" not in str(error) + getattr(error, "hint", "")
            error = None if error.__suppress_context__ else error.__context__

    @pytest.mark.parametrize("name", ["../evil", "a b", "-x", "", 7])
    def test_a_helpers_name_is_no_path(self, config: Callable[..., Keychain], name: object) -> None:
        keychain = config({"credsStore": name})
        if not name:
            assert keychain.credentials(APP) is None
        else:
            with pytest.raises(ConfigError, match="no program name"):
                keychain.credentials(APP)


def appears(path: Path) -> bool:
    """Whether a file comes to be within four seconds."""
    for _ in range(200):
        if path.exists():
            return True
        time.sleep(0.02)
    return False


class TestProcess:
    def test_output_and_exit_code_come_back(self) -> None:
        done = process.run(["sh", "-c", "cat; echo no >&2; exit 3"], stdin=b"in", timeout=10)
        assert (done.returncode, done.stdout, done.stderr) == (3, b"in", b"no\n")
        assert "in" not in repr(done).replace("returncode", "")

    def test_arguments_are_not_split_or_expanded(self) -> None:
        done = process.run(["printf", "%s|", "a b", "$HOME", "*", "; id"], timeout=10)
        assert done.stdout == b"a b|$HOME|*|; id|"

    def test_without_stdin_there_is_nothing_to_read(self) -> None:
        assert process.run(["cat"], timeout=10).stdout == b""

    def test_a_missing_program_is_the_callers_kind_of_error(self, tmp_path: Path) -> None:
        for kind in (BuilderError, AuthError):
            with pytest.raises(kind, match="no-such-program is not on PATH") as caught:
                process.run(["no-such-program"], timeout=1, kind=kind)
            assert isinstance(caught.value, DsciError) and caught.value.hint
        with pytest.raises(BuilderError, match="there is no such folder"):
            process.run(["true"], timeout=1, cwd=tmp_path / "absent")

    def test_a_deadline_ends_children_that_hold_the_pipes_too(self, tmp_path: Path) -> None:
        began = time.monotonic()
        mark = tmp_path / "pid"
        with pytest.raises(BuilderError, match="did not finish within"):
            process.run(["sh", "-c", f"sleep 60 & echo $! > {mark}; wait"], timeout=0.3)
        assert time.monotonic() - began < 5
        for _ in range(50):
            state = Path(f"/proc/{int(mark.read_text())}/stat")
            if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
                return
            time.sleep(0.02)
        pytest.fail("the grandchild lives on")

    def test_the_environment_is_replaced_and_the_folder_obeyed(self, tmp_path: Path) -> None:
        done = process.run(
            ["sh", "-c", "echo $ONE $HOME; pwd"], timeout=10, env={"ONE": "1", "PATH": os.defpath}, cwd=tmp_path
        )
        assert done.stdout.decode().split() == ["1", str(tmp_path)]

    def test_what_was_begun_runs_meanwhile(self, tmp_path: Path) -> None:
        done = tmp_path / "done"
        begun = process.begin(["sh", "-c", f"echo out; touch {done}"])
        assert appears(done) and begun.end(timeout=10).stdout == b"out\n"

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems' pipes have a size of their own")
    def test_a_program_need_not_wait_for_whoever_reads_it_later(self, tmp_path: Path) -> None:
        done = tmp_path / "done"
        begun = process.begin(["sh", "-c", f"head -c 500000 /dev/zero; touch {done}"])
        assert appears(done) and len(begun.end(timeout=10).stdout) == 500_000

    def test_what_was_begun_can_be_stopped(self) -> None:
        began = time.monotonic()
        begun = process.begin(["sleep", "60"])
        begun.stop()
        assert time.monotonic() - began < 5

    def test_records_come_with_their_marks_taken_off(self) -> None:
        script = "printf 'before#one#tw'; sleep 0.1; printf 'o#'; printf '%0100000d' 7 >&2"
        assert list(process.begin(["sh", "-c", script]).records(b"#", timeout=10)) == [b"one", b"two", b""]

    def test_records_of_a_program_that_fails_end_in_what_it_said(self) -> None:
        read = process.begin(["sh", "-c", "printf '#one'; echo no >&2; exit 3"]).records(b"#", timeout=10)
        assert next(read) == b"one"
        with pytest.raises(BuilderError, match="sh failed: no"):
            next(read)

    def test_records_end_at_their_deadline(self) -> None:
        began = time.monotonic()
        with pytest.raises(BuilderError, match="did not finish within"):
            list(process.begin(["sh", "-c", "printf '#one'; sleep 60 & wait"]).records(b"#", timeout=0.3))
        assert time.monotonic() - began < 5

    def test_a_grandchild_that_holds_the_pipe_of_errors_holds_nobody(self) -> None:
        began = time.monotonic()
        assert list(process.begin(["sh", "-c", "sleep 8 >/dev/null & printf '#one'"]).records(b"#", timeout=20)) == [
            b"one"
        ]
        assert time.monotonic() - began < 5

    def test_a_dialogue_goes_on_until_it_ends(self) -> None:
        dialogue = process.Dialogue(["sed", "-u", "s/^/you said /"])
        dialogue.ask(b"one\n")
        assert dialogue.answers.readline() == b"you said one\n"
        dialogue.ask(b"two\nthree\n")
        assert dialogue.answers.readline() == b"you said two\n" and dialogue.answers.readline() == b"you said three\n"
        assert dialogue.goes_on
        dialogue.stop()
        assert not dialogue.goes_on

    def test_a_dialogue_with_a_program_that_has_ended_is_silent(self) -> None:
        dialogue = process.Dialogue(["true"])
        for _ in range(200):
            if not dialogue.goes_on:
                break
            time.sleep(0.02)
        dialogue.ask(b"one\n")
        assert dialogue.answers.read() == b""
