"""Docker's credential helper `docker-credential-dsci`: the same keychain, for the docker command and BuildKit's client.

Run as a program, by a script that `lentlogin` writes for one run. It is asked for one registry on its stdin, reads, and
stores nothing; what it prints goes to whoever asked, through a pipe.

Source: https://github.com/docker/docker-credential-helpers#development (the protocol)
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from dsci.drivers import tokenvariables
from dsci.drivers.credentials import HUB_KEY
from dsci.drivers.keychain import Keychain
from dsci.errors import DsciError
from dsci.model.reference import DOCKER_HUB, Repository

#: What clients of the protocol take for "there is nothing": they go on as strangers.
_NOTHING = "credentials not found in native keychain"


def answer(command: str, asked: str) -> tuple[int, str]:
    """The exit code and the answer to a command (`get`, `list`) about a registry, as its key in config.json is."""
    if command == "list":
        return 0, "{}"
    if command != "get":
        return 1, "dsci keeps no credentials: docker login does"
    host = DOCKER_HUB if asked == HUB_KEY else asked.partition("://")[2] or asked
    registry = Repository(host.rstrip("/"), "")
    environment = tokenvariables.named(os.environ)
    try:
        found = Keychain.from_environment(environment, Path.home()).credentials(registry)
    except DsciError as error:
        return 1, error.message
    if found is None and registry.registry in environment.get(tokenvariables.HOSTS, "").split():
        found = tokenvariables.of_ci(registry, environment, whole=True)
    if found is None or not (found.identity_token or found.password):
        return 1, _NOTHING
    user = "<token>" if found.identity_token else found.username
    secret = found.identity_token or found.password
    return 0, json.dumps({"ServerURL": asked, "Username": user, "Secret": secret})


def main() -> int:
    """Answer one question."""
    code, text = answer(sys.argv[1] if len(sys.argv) > 1 else "", sys.stdin.readline().strip())
    sys.stdout.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
