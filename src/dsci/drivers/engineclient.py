"""How the Docker Engine is found and spoken to, through docker-py, and what its failures mean.

The endpoint is the one that the docker command would use (DOCKER_HOST, then DOCKER_CONTEXT, then the current context).
What is asked of the engine is `engine`'s to say.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsci.errors import BuilderError, DsciError

if TYPE_CHECKING:
    import docker

#: The oldest engine whose BuildKit takes named contexts (Docker Engine 23.0, BuildKit 0.10).
OLDEST = (23, 0)
DISK = "see that the engine's disk has room: `docker system df`"
_START = "start Docker, or point DOCKER_HOST or `docker context use` at a running engine"
_CALL_TIMEOUT = 300
#: The version that the first question is asked in; the engine's own is used from then on.
_FIRST_API = "1.42"
_KEYS = ("ca", "cert", "key")
_DEFAULT_SOCKET = "unix:///var/run/docker.sock"


def connect(environment: Mapping[str, str]) -> tuple[docker.DockerClient, Mapping[str, Any]]:
    """A client, and what the engine says of itself. Raises BuilderError where none answers that is new enough."""
    url, tls, where = endpoint(environment)
    with talking(where):
        # The version is negotiated at once, so an engine that does not answer is found out here.
        try:
            spoken = str(_client(url, tls, _FIRST_API).version(api_version=False)["ApiVersion"])
            client = _client(url, tls, spoken)
            info = dict(client.info())
        except (ValueError, LookupError, TypeError):
            raise BuilderError(f"what answers at {where} is no Docker Engine", hint=_START) from None
    server = str(info.get("ServerVersion", ""))
    numbers = tuple(int(part) for part in server.split(".")[:2] if part.isdigit())
    if len(numbers) == 2 and numbers < OLDEST:
        raise BuilderError(
            f"the Docker Engine at {where} is {server}; dsci needs {OLDEST[0]}.{OLDEST[1]} or newer",
            hint="older engines cannot pin the images that a Dockerfile names: update Docker",
        )
    return client, info


def endpoint(environment: Mapping[str, str]) -> tuple[str, Any, str]:
    """URL, TLS settings and a name for messages, in the docker command's own order.

    docker-py's own ContextAPI finds no context where there is no config.json.
    Source: https://docs.docker.com/engine/manage-resources/contexts/#use-a-different-context
    """
    from docker.utils import kwargs_from_env

    if host := environment.get("DOCKER_HOST"):
        with talking(host):
            arguments = kwargs_from_env(environment=dict(environment))
        return host, arguments.get("tls", False), host
    home = Path(environment.get("HOME") or Path.home())
    settings = Path(environment.get("DOCKER_CONFIG") or home / ".docker")
    name = environment.get("DOCKER_CONTEXT") or _current_context(settings)
    if name == "default":
        return _DEFAULT_SOCKET, False, _DEFAULT_SOCKET
    with talking(f"the docker context {name!r}"):
        url, tls = _context(settings / "contexts", name)
    return url, tls, url


def _client(url: str, tls: Any, version: str) -> docker.DockerClient:
    """A client that contacts nobody yet."""
    import docker
    from requests.utils import get_environ_proxies

    client = docker.DockerClient(base_url=url, tls=tls, timeout=_CALL_TIMEOUT, version=version)
    # Or REQUESTS_CA_BUNDLE would replace the engine's own authority (https://github.com/psf/requests/issues/3829), and
    # the environment would be searched for proxies with every call.
    client.api.trust_env = False
    client.api.proxies = get_environ_proxies(client.api.base_url)
    return client


def _current_context(settings: Path) -> str:
    """The context that `docker context use` chose. A file that cannot be read chooses none, as for docker itself."""
    try:
        chosen = json.loads((settings / "config.json").read_bytes())["currentContext"]
    except (OSError, ValueError, LookupError, TypeError):
        return "default"
    return str(chosen or "default")


def _context(folder: Path, name: str) -> tuple[str, Any]:
    """The URL and the TLS settings of a context. Source: https://github.com/docker/cli/tree/master/cli/context/store"""
    from docker.tls import TLSConfig

    place = hashlib.sha256(name.encode()).hexdigest()
    try:
        endpoint = json.loads((folder / "meta" / place / "meta.json").read_bytes())["Endpoints"]["docker"]
        url, verify = str(endpoint["Host"]), not endpoint.get("SkipTLSVerify", False)
    except FileNotFoundError:
        raise BuilderError(
            f"there is no docker context {name!r}", hint="`docker context ls` names those there are"
        ) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise BuilderError(
            f"the docker context {name!r} cannot be read", hint="see `docker context inspect`, or make it anew"
        ) from None
    keys = folder / "tls" / place / "docker"
    if not keys.is_dir():
        return url, False
    ca, cert, key = (str(keys / f"{part}.pem") if (keys / f"{part}.pem").exists() else None for part in _KEYS)
    return url, TLSConfig(client_cert=(cert, key) if cert and key else None, ca_cert=ca, verify=verify)


@contextlib.contextmanager
def talking(where: str = "") -> Iterator[None]:
    """Translate what docker-py and its transport raise into BuilderError."""
    import requests
    from docker.errors import APIError, DockerException
    from urllib3.exceptions import HTTPError as BrokenError  # a stream of docker-py's that is cut raises it bare

    try:
        yield
    except DsciError:
        raise
    except APIError as error:
        from dsci.drivers.routes import redacted

        said = redacted(str(error.explanation or error))
        raise BuilderError(
            f"the Docker Engine answered: {said[:500]}",
            hint=DISK if "no space" in said else "see the engine's log",
            temporary=lost(said),
        ) from None
    except (DockerException, requests.exceptions.RequestException, BrokenError, OSError) as error:
        why = _innermost(error)
        denied = why == os.strerror(errno.EACCES)
        at = f" at {where}" if where else ""
        raise BuilderError(
            f"{'no permission to use' if denied else 'cannot reach'} the Docker Engine{at}: {why}",
            hint="add yourself to the docker group, or use rootless Docker" if denied else _START,
        ) from error


def lost(said: str) -> bool:
    """Whether the engine speaks of an image or a layer that another clean-up took away: it can be brought anew."""
    return ("snapshot" in said and "does not exist" in said) or "no such image" in said.lower()


def _innermost(error: BaseException) -> str:
    """What the operating system said, however deep the clients wrapped it; else what the outermost one said."""
    wrapped: list[BaseException] = [error]
    for item in wrapped:
        if isinstance(item, OSError) and item.strerror:
            return str(item.strerror)
        inner = (*item.args, getattr(item, "reason", None), item.__cause__)
        wrapped += [other for other in inner if isinstance(other, BaseException) and other not in wrapped]
    return str(error)[:300]


def quietly(remove: Any) -> int:
    """Remove something; gives 1 when it is gone and 0 when it is not. Only clean-up is ever quiet."""
    import requests
    from docker.errors import DockerException, NotFound

    try:
        remove()
    except NotFound:
        return 1
    except (DockerException, requests.exceptions.RequestException):
        return 0
    return 1
