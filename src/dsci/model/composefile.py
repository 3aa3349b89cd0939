"""What a compose file may say in a suite.

There are two looks at it. `read` looks at the text: which variables it wants, and which files Docker Compose would open
on this machine while it reads it. `reaching` looks at the model that Docker Compose made of it, with every short form
written out: what of it would reach the machine. Keys that are not known here are refused, so that what a newer Docker
Compose brings is never started unseen. What is run of it is `composerun`'s to say.

Source: https://github.com/compose-spec/compose-spec/blob/main/spec.md
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec
import yaml

from dsci.errors import ConfigError
from dsci.model import yamlfile
from dsci.model.location import Location

#: The variable that stands for the image under test.
IMAGE = "DSCI_IMAGE"
_DEPTH, _NODES = 40, 200_000
#: `$NAME`, `${NAME}`, `${NAME:-default}`; `$$` is a dollar sign.
#: Source: https://github.com/compose-spec/compose-spec/blob/main/12-interpolation.md
_VARIABLE = re.compile(
    r"\$(?:\$|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?P<rest>:?[-+])?)"
)
_ASSIGNED = re.compile(r"(?m)^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*[=:]")

#: What a service may say that stays inside its containers.
_CONTAINED = """
    annotations attach blkio_config cap_drop command container_name cpu_count cpu_percent cpu_period cpu_quota
    cpu_shares cpus cpuset depends_on deploy dns dns_opt dns_search domainname entrypoint environment env_file expose
    extra_hosts gpus group_add healthcheck hostname image init label_file labels links logging mac_address mem_limit
    mem_reservation mem_swappiness memswap_limit networks pids_limit platform ports profiles pull_policy read_only
    restart scale shm_size stdin_open stop_grace_period stop_signal sysctls tmpfs tty ulimits user working_dir
"""
_INSIDE = frozenset(_CONTAINED.split())
#: What reaches the machine whatever is said, and what has to be allowed for it.
_REACHING = {
    "privileged": "privileged",
    "cap_add": "capabilities",
    "cgroup_parent": "privileged",
    "credential_spec": "privileged",
    "device_cgroup_rules": "privileged",
    "devices": "privileged",
    "oom_kill_disable": "privileged",
    "oom_score_adj": "privileged",
    "runtime": "privileged",
    "use_api_socket": "privileged",
    "external_links": "privileged",
}
#: What may be shared with the machine, with another container of the machine, or with nobody that matters.
_SHARED = ("cgroup", "ipc", "network_mode", "pid", "userns_mode", "uts")
_ALONE = re.compile(r"(?:none|bridge|default|private|shareable|service:.*)?\Z")
_BUILD = "what is tested is the image that ships, and others are taken as they are: name an image"
_ONE_FILE = "write it in this file: a suite has one compose file"


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What a compose file says that would reach beyond its own containers."""

    path: tuple[str, ...]
    """The key path in the file."""
    what: str
    allowance: str = ""
    """What would have to be allowed; "" where it is refused whatever is allowed."""
    cure: str = ""


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """A variable that a compose file asks for."""

    name: str
    path: tuple[str, ...]
    optional: bool
    """Whether the file says what stands in its place where it is not set."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A compose file as it is written."""

    location: Location
    variables: tuple[Variable, ...]
    reaching: tuple[Reach, ...]

    @property
    def services(self) -> tuple[str, ...]:
        """The names of its services."""
        return tuple(sorted(path[1] for path in self.location.lines if len(path) == 2 and path[0] == "services"))

    def told(self, each: Reach, why: str) -> str:
        """A line about what it reaches, with its place."""
        return f"{self.location.at(*each.path)}: {'.'.join(each.path)}: {each.what} {why}"

    def wanted(self, given: Collection[str], base: Collection[str]) -> tuple[Reach, ...]:
        """The variables that only this machine's environment could give.

        `given` are set for the file; `base` are those of this machine's that Docker Compose itself is run with.
        """
        asked = [each for each in self.variables if each.name not in given]
        return tuple(
            Reach(path=each.path, what=f"the variable {each.name} of this machine", allowance="host-environment")
            for each in asked
            if not each.optional or each.name in base
        )


def read(text: str, *, file: str) -> Source:
    """Look at a compose file as it is written. Raises ConfigError for one that is no YAML."""
    root = yamlfile.root(text, file=file)
    lines: dict[tuple[str, ...], int] = {}
    variables: list[Variable] = []
    reaching: list[Reach] = []
    for n, (path, node, depth) in enumerate(_walk(root, (), 0) if root is not None else ()):
        if n > _NODES or depth > _DEPTH:
            raise ConfigError(f"{file}:{node.start_mark.line + 1}: nested too deeply, or too much of it")
        lines.setdefault(path, node.start_mark.line + 1)
        reaching += _opened(path, node)
        variables += _asked(path, node)
    return Source(location=Location(file, lines), variables=tuple(variables), reaching=tuple(reaching))


def assigned(text: str) -> frozenset[str]:
    """The names that a file of `NAME=VALUE` lines sets."""
    return frozenset(_ASSIGNED.findall(text))


def _walk(node: yaml.Node, path: tuple[str, ...], depth: int) -> Iterator[tuple[tuple[str, ...], yaml.Node, int]]:
    """Every node with its key path; what is merged (`<<`) stands where it is merged into."""
    yield path, node, depth
    if isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            name = str(key.value)
            if name != "<<":
                yield from _walk(item, (*path, name), depth + 1)
                continue
            for merged in item.value if isinstance(item, yaml.SequenceNode) else [item]:
                yield from _walk(merged, path, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for n, item in enumerate(node.value):
            yield from _walk(item, (*path, str(n)), depth + 1)


def _opened(path: tuple[str, ...], node: yaml.Node) -> Iterator[Reach]:
    """What Docker Compose would open while it reads the file."""
    match path:
        case ("include",):
            yield Reach(path=path, what="another compose file", cure=_ONE_FILE)
        case ("services", _, "extends", "file"):
            yield Reach(path=path, what="another compose file", cure=_ONE_FILE)
        case ("services", _, "env_file" | "label_file", *rest) if isinstance(node, yaml.ScalarNode):
            if rest[-1:] not in (["required"], ["format"]) and not _own(node.value):
                yield Reach(path=path, what=f"the file {node.value}", cure="put the file beside the compose file")


def _own(path: str) -> bool:
    """Whether a path as it is written can only be one of the suite's own files."""
    plain = posixpath.normpath(path)
    return not (plain.startswith(("/", "~")) or plain.split("/")[0] == ".." or "$" in path)


def _asked(path: tuple[str, ...], node: yaml.Node) -> Iterator[Variable]:
    """The variables that a scalar wants."""
    if not isinstance(node, yaml.ScalarNode):
        return
    for found in _VARIABLE.finditer(node.value):
        if name := found["plain"] or found["braced"]:
            yield Variable(name=name, path=path, optional=found["rest"] is not None)
    match path:
        case ("services", _, "environment", name) if not name.isdigit() and yamlfile.is_null(node):
            yield Variable(name=name, path=path, optional=False)
        case ("services", _, "environment", _) if path[-1].isdigit() and "=" not in node.value:
            yield Variable(name=node.value, path=path, optional=False)


# --------------------------------------------------------------------------------------------------------- the model


def reaching(model: Mapping[str, Any], folder: str) -> tuple[Reach, ...]:
    """What the model that Docker Compose made would reach. `folder` is where the suite's files lay meanwhile."""
    found: list[Reach] = []
    for key in model:
        if key not in ("name", "services", "networks", "volumes", "configs", "secrets") and not key.startswith("x-"):
            found.append(Reach(path=(key,), what="a key that is not known"))
    for name, service in parts(model, "services"):
        found += _service(("services", name), service, folder)
    for kind in ("networks", "volumes", "configs", "secrets"):
        for name, thing in parts(model, kind):
            found += _thing((kind, name), thing, folder)
    return tuple(found)


def parts(model: Mapping[str, Any], kind: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The services, networks, volumes, configs or secrets of a model, by their names."""
    return [(str(name), thing or {}) for name, thing in sorted((model.get(kind) or {}).items())]


def _service(path: tuple[str, ...], service: Mapping[str, Any], folder: str) -> Iterator[Reach]:
    for key, value in service.items():
        here = (*path, key)
        if not value or key in _INSIDE or key.startswith("x-"):
            continue
        if key in _REACHING:
            yield Reach(path=here, what=key, allowance=_REACHING[key])
        elif key in _SHARED:
            if not _ALONE.match(str(value)):
                yield Reach(path=here, what=f"{key}: {value}", allowance="privileged")
        elif key == "build":
            yield Reach(path=here, what="a build", cure=_BUILD)
        elif key == "security_opt":
            loose = [each for each in value if not str(each).startswith("no-new-privileges")]
            yield from (Reach(path=here, what=f"{key}: {each}", allowance="privileged") for each in loose)
        elif key in ("post_start", "pre_stop"):
            if any(hook.get("privileged") for hook in value):
                yield Reach(path=here, what=f"privileged in {key}", allowance="privileged")
        elif key == "volumes_from":
            others = [each for each in value if str(each).startswith("container:")]
            yield from (Reach(path=here, what=f"volumes of {each}") for each in others)
        elif key in ("configs", "secrets"):
            pass  # what they are is said elsewhere
        elif key == "volumes":
            for n, mount in enumerate(value):
                yield from _mount((*here, str(n)), mount, folder)
        else:
            yield Reach(path=here, what="a key that is not known")


def _mount(path: tuple[str, ...], mount: Mapping[str, Any], folder: str) -> Iterator[Reach]:
    kind, source = str(mount.get("type")), str(mount.get("source") or "")
    if kind == "bind" and inner(source, folder) is None:
        yield Reach(path=path, what=f"{source} of the engine's machine", allowance="bind-mounts")
    elif kind not in ("bind", "volume", "tmpfs", "image"):
        yield Reach(path=path, what=f"a mount of type {kind}")


def _thing(path: tuple[str, ...], thing: Mapping[str, Any], folder: str) -> Iterator[Reach]:
    """A network, a volume, a config or a secret."""
    kind = path[0]
    if thing.get("external"):
        yield Reach(path=path, what="something that was there before the suite", cure="take `external` out")
    if thing.get("environment"):
        yield Reach(path=path, what=f"the variable {thing['environment']} of this machine", cure="use a file")
    if (file := thing.get("file")) and inner(str(file), folder) is None:
        yield Reach(path=path, what=f"the file {file}", cure="put the file beside the compose file")
    options, driver = thing.get("driver_opts") or {}, thing.get("driver") or ""
    if kind == "volumes" and (
        driver not in ("", "local") or options.get("type", "tmpfs" if not options else "") != "tmpfs"
    ):
        yield Reach(path=path, what="a volume that lies elsewhere", allowance="bind-mounts")
    if kind == "networks" and driver not in ("", "bridge"):
        yield Reach(path=path, what=f"a network of type {driver}", allowance="privileged")


def inner(path: str, folder: str) -> str | None:
    """A path below the folder of the suite's files, "" for that folder itself; None for any other."""
    plain = posixpath.normpath(path)
    if plain == folder:
        return ""
    return plain.removeprefix(f"{folder}/") if plain.startswith(f"{folder}/") else None
