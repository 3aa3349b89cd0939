"""What is run of a compose file in a suite: everything is the run's own, and the suite's files come from a volume."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dsci.model import composerun
from dsci.model.composerun import Footing

FOLDER = "/run/suite"
FOOTING = Footing(
    project="p1",
    labels={"run": "r1"},
    image="acme/x:1",
    platform="linux/arm64",
    bound="127.0.0.1",
    folder=FOLDER,
)


def shaped(service: dict[str, Any], **more: Any) -> dict[str, Any]:
    run = composerun.shaped({"name": "x", "services": {"a": service}, **more}, FOOTING)
    return dict(run["services"]["a"])


def test_everything_is_the_runs_own() -> None:
    model = {
        "name": "x",
        "x-note": 1,
        "services": {"a": {"image": "acme/x:1", "labels": {"own": "1"}}, "b": {"image": "postgres:16"}},
        "networks": {"default": {"name": "x_default", "ipam": {}}},
        "volumes": {"data": {"name": "shared", "labels": {"own": "1"}}},
    }
    run = composerun.shaped(model, FOOTING)
    assert run["name"] == "p1" and "x-note" not in run and "configs" not in run
    assert run["networks"] == {"default": {"ipam": {}, "labels": {"run": "r1"}}}
    assert run["volumes"] == {
        "data": {"labels": {"own": "1", "run": "r1"}},
        "dsci-suite": {"external": True, "name": "p1-files"},
    }
    a, b = run["services"]["a"], run["services"]["b"]
    assert a["labels"] == {"own": "1", "run": "r1"} and b["labels"] == {"run": "r1"}
    assert (a["pull_policy"], a["platform"]) == ("never", "linux/arm64")
    assert "pull_policy" not in b and "platform" not in b
    assert a["logging"]["driver"] == "json-file"


def test_ports_are_published_at_any_number_where_only_we_meet_them() -> None:
    run = shaped(
        {"ports": [{"target": 80, "published": "80", "host_ip": "0.0.0.0"}, {"target": 53, "protocol": "udp"}]}
    )
    assert run["ports"] == [
        {"mode": "ingress", "host_ip": "127.0.0.1", "target": 80, "protocol": "tcp"},
        {"mode": "ingress", "host_ip": "127.0.0.1", "target": 53, "protocol": "udp"},
    ]


@pytest.mark.parametrize(
    ("service", "found"),
    [
        ({}, {"pids_limit": 9, "mem_limit": "1000", "memswap_limit": "1000"}),
        ({"pids_limit": 3}, {"pids_limit": 3, "mem_limit": "1000", "memswap_limit": "1000"}),
        ({"mem_limit": "5"}, {"pids_limit": 9, "mem_limit": "5"}),
        ({"deploy": {"resources": {"limits": {"memory": "5", "pids": 3}}}}, {}),
        ({"deploy": {"resources": {"limits": {"cpus": "5"}}}, "pids_limit": 1, "mem_limit": "2"}, None),
    ],
)
def test_what_a_service_may_take(service: dict[str, Any], found: dict[str, Any] | None) -> None:
    footing = msgspec.structs.replace(FOOTING, processes=9, memory=1000)
    run = composerun.shaped({"services": {"a": service}}, footing)["services"]["a"]
    said = {key: run[key] for key in ("pids_limit", "mem_limit", "memswap_limit") if key in run}
    assert said == ({"pids_limit": 1, "mem_limit": "2"} if found is None else found)
    assert "pids_limit" not in shaped({}) and "mem_limit" not in shaped({})


def test_a_containers_name_becomes_one_in_its_networks() -> None:
    run = shaped({"container_name": "db", "networks": {"default": None, "back": {"aliases": ["d"]}}})
    assert "container_name" not in run
    assert run["networks"] == {"default": {"aliases": ["db"]}, "back": {"aliases": ["d", "db"]}}
    assert "networks" not in shaped({"container_name": "db", "network_mode": "none"})


def test_mounts_of_the_suites_files_come_from_its_volume() -> None:
    mounts = [
        {"type": "bind", "source": f"{FOLDER}/conf/x", "target": "/x", "read_only": True, "bind": {"propagation": "a"}},
        {"type": "bind", "source": FOLDER, "target": "/all"},
        {"type": "bind", "source": "/etc", "target": "/e"},
        {"type": "volume", "source": "data", "target": "/d"},
    ]
    run = shaped({"volumes": mounts})
    assert run["volumes"] == [
        {
            "type": "volume",
            "source": "dsci-suite",
            "target": "/x",
            "read_only": True,
            "volume": {"nocopy": True, "subpath": "conf/x"},
        },
        {"type": "volume", "source": "dsci-suite", "target": "/all", "volume": {"nocopy": True}},
        *mounts[2:],
    ]
    model = {"services": {"a": {"volumes": mounts}, "b": None}}
    assert composerun.mounted(model, FOLDER) == {"conf/x"}


def test_configs_and_secrets_of_files_are_mounts_and_others_stay_configs() -> None:
    run = composerun.shaped(
        {
            "services": {
                "a": {
                    "env_file": None,
                    "configs": [{"source": "written"}, {"source": "filed"}, {"source": "filed", "target": "/etc/f"}],
                    "secrets": [{"source": "password"}, {"source": "password", "target": "db"}],
                }
            },
            "configs": {"written": {"name": "x_written", "content": "x"}, "filed": {"file": f"{FOLDER}/f"}},
            "secrets": {"password": {"file": f"{FOLDER}/p"}},
        },
        FOOTING,
    )
    a = run["services"]["a"]
    assert run["configs"] == {"written": {"content": "x"}} and "secrets" not in run
    assert a["configs"] == [{"source": "written"}] and "secrets" not in a and "env_file" not in a
    assert [(each["target"], each["volume"]["subpath"]) for each in a["volumes"]] == [
        *(("/filed", "f"), ("/etc/f", "f"), ("/run/secrets/password", "p"), ("/run/secrets/db", "p")),
    ]
