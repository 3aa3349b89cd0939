"""What a compose file may say in a suite: tables of what reaches the machine."""

from __future__ import annotations

from typing import Any

import pytest

from dsci.errors import ConfigError
from dsci.model import composefile
from dsci.model.composefile import Reach

FOLDER = "/run/suite"


def told(found: tuple[Reach, ...]) -> list[tuple[str, str]]:
    return [(".".join(each.path), each.allowance) for each in found]


# ----------------------------------------------------------------------------------------------------- as it is written


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", []),
        ("services: {a: {image: x, env_file: a.env}}", []),
        ("services: {a: {env_file: ./conf/../a.env, label_file: [b.env, conf/c.env]}}", []),
        ("services: {a: {env_file: [{path: a.env, required: false, format: raw}]}}", []),
        ("services: {a: {extends: {service: b}}}", []),
        ("include: [other.yaml]", ["include"]),
        ("services: {a: {extends: {file: b.yaml, service: b}}}", ["services.a.extends.file"]),
        ("services: {a: {env_file: ../a.env}}", ["services.a.env_file"]),
        ("services: {a: {env_file: conf/../../a.env}}", ["services.a.env_file"]),
        ("services: {a: {env_file: [a.env, /etc/passwd]}}", ["services.a.env_file.1"]),
        ("services: {a: {env_file: [{path: ~/a.env}]}}", ["services.a.env_file.0.path"]),
        ("services: {a: {env_file: '${HOME}/a.env'}}", ["services.a.env_file"]),
        ("services: {a: {label_file: /etc/x}}", ["services.a.label_file"]),
        ("x-all: &a {env_file: /x}\nservices: {a: {<<: *a}}", ["services.a.env_file"]),
        ("x-all: &a {env_file: /x}\nservices: {a: {<<: [{}, *a]}}", ["services.a.env_file"]),
        ("services: {a: {env_file: a.env, env_file: /x}}", ["services.a.env_file"]),
    ],
)
def test_files_that_would_be_opened_while_the_file_is_read(text: str, places: list[str]) -> None:
    assert told(composefile.read(text, file="compose.yaml").reaching) == [(place, "") for place in places]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("services: {a: {image: '${DSCI_IMAGE}'}}", []),
        ("services: {a: {command: [echo, '$$HOME', 'a$b', '5$', '$1']}}", ["b"]),
        ("services: {a: {command: '${A} ${B:-x} ${C-x} ${D:+x} ${E:?x} ${F?x} $G'}}", ["A", "E", "F", "G"]),
        ("services: {a: {command: '${A:-${B}}'}}", ["B"]),
        ("services: {a: {command: '${HOME:-x}'}}", ["HOME"]),
        ("services: {a: {environment: [A=1, B, 'C=']}}", ["B"]),
        ("services: {a: {environment: {A: 1, B: , C: '', D: ''}}}", ["B"]),
        ("services: {a: {command: $SET}}", []),
    ],
)
def test_variables_that_only_this_machine_has(text: str, names: list[str]) -> None:
    wanted = composefile.read(text, file="c.yaml").wanted({"DSCI_IMAGE", "SET"}, {"HOME", "PATH"})
    assert [each.what for each in wanted] == [f"the variable {name} of this machine" for name in names]
    assert {each.allowance for each in wanted} <= {"host-environment"}


def test_places_are_lines() -> None:
    source = composefile.read("services:\n  a:\n    image: x\n    cap_add:\n      - ALL\n", file="c.yaml")
    assert source.location.at("services", "a", "cap_add", "0") == "c.yaml:5"
    assert source.location.at("services", "a", "volumes", "3") == "c.yaml:3"
    assert source.services == ("a",)
    reach = Reach(path=("services", "a", "cap_add", "0"), what="ALL")
    assert source.told(reach, "is too much") == "c.yaml:5: services.a.cap_add.0: ALL is too much"


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: &a {<<: *a}",
        "a: &a [*a]",
        "[" * 60 + "]" * 60,
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "\n".join(f"{n}: &{n} [{', '.join(['*' + p] * 10)}]" for p, n in zip("abcdef", "bcdefg", strict=True)),
    ],
    ids=["broken", "merges-itself", "holds-itself", "deep", "bomb"],
)
def test_what_is_no_compose_file(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^c\.yaml:1?"):
        composefile.read(text, file="c.yaml")


def test_names_that_a_file_of_variables_sets() -> None:
    assert composefile.assigned("A=1\n# B=2\n export C = x\nD: y\nnothing\n") == {"A", "C", "D"}


# ------------------------------------------------------------------------------------------------- as Compose reads it


@pytest.mark.parametrize(
    ("service", "found"),
    [
        ({"image": "x", "privileged": False, "cap_add": [], "x-note": {"privileged": True}}, []),
        ({"network_mode": "none", "pid": "service:b", "ipc": "shareable", "cgroup": "private", "uts": ""}, []),
        ({"security_opt": ["no-new-privileges:true"], "configs": [{"source": "c"}], "secrets": []}, []),
        ({"deploy": {"replicas": 2, "resources": {"limits": {"cpus": "1"}}}, "volumes_from": ["b:ro"]}, []),
        ({"gpus": "all", "post_start": [{"command": "x"}]}, []),
        ({"privileged": True}, [("privileged", "privileged")]),
        ({"cap_add": ["ALL"]}, [("cap_add", "capabilities")]),
        ({"devices": ["/dev/x"]}, [("devices", "privileged")]),
        ({"use_api_socket": True}, [("use_api_socket", "privileged")]),
        ({"network_mode": "host"}, [("network_mode", "privileged")]),
        ({"pid": "host"}, [("pid", "privileged")]),
        ({"ipc": "container:db"}, [("ipc", "privileged")]),
        ({"userns_mode": "host"}, [("userns_mode", "privileged")]),
        ({"security_opt": ["seccomp:unconfined", "no-new-privileges"]}, [("security_opt", "privileged")]),
        ({"post_start": [{"command": "x", "privileged": True}]}, [("post_start", "privileged")]),
        ({"volumes_from": ["container:db"]}, [("volumes_from", "")]),
        ({"build": {"context": "."}}, [("build", "")]),
        ({"provider": {"type": "x"}}, [("provider", "")]),
        ({"volumes": [{"type": "volume", "source": "d"}, {"type": "tmpfs"}, {"type": "image"}]}, []),
        ({"volumes": [{"type": "bind", "source": FOLDER}, {"type": "bind", "source": f"{FOLDER}/conf"}]}, []),
        ({"volumes": [{"type": "bind", "source": "/run/suite-2"}]}, [("volumes.0", "bind-mounts")]),
        ({"volumes": [{"type": "bind", "source": f"{FOLDER}/../x"}]}, [("volumes.0", "bind-mounts")]),
        ({"volumes": [{"type": "bind", "source": "/var/run/docker.sock"}]}, [("volumes.0", "bind-mounts")]),
        ({"volumes": [{"type": "npipe", "source": "x"}]}, [("volumes.0", "")]),
    ],
)
def test_what_a_service_reaches(service: dict[str, Any], found: list[tuple[str, str]]) -> None:
    given = told(composefile.reaching({"name": "x", "services": {"a": service}}, FOLDER))
    assert given == [(f"services.a.{place}", allowance) for place, allowance in found]


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ({"x-note": 1, "networks": None, "volumes": {"a": None}}, []),
        ({"networks": {"a": {"driver": "bridge", "internal": True}}, "volumes": {"a": {"driver": "local"}}}, []),
        ({"volumes": {"a": {"driver_opts": {"type": "tmpfs", "device": "tmpfs"}}}}, []),
        ({"configs": {"a": {"content": "x"}, "b": {"file": f"{FOLDER}/b"}}}, []),
        ({"models": {}}, [("models", "")]),
        ({"volumes": {"a": {"external": True}}}, [("volumes.a", "")]),
        ({"networks": {"a": {"external": True, "name": "host"}}}, [("networks.a", "")]),
        ({"networks": {"a": {"driver": "macvlan"}}}, [("networks.a", "privileged")]),
        ({"volumes": {"a": {"driver": "nfs"}}}, [("volumes.a", "bind-mounts")]),
        (
            {"volumes": {"a": {"driver_opts": {"type": "none", "o": "bind", "device": "/"}}}},
            [("volumes.a", "bind-mounts")],
        ),
        ({"volumes": {"a": {"driver_opts": {"o": "bind", "device": "/"}}}}, [("volumes.a", "bind-mounts")]),
        ({"secrets": {"a": {"environment": "TOKEN"}}}, [("secrets.a", "")]),
        ({"configs": {"a": {"file": "/etc/shadow"}}}, [("configs.a", "")]),
    ],
)
def test_what_the_rest_reaches(model: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert told(composefile.reaching(model, FOLDER)) == found
