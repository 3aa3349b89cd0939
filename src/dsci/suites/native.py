"""A suite of dsci's own, run: what each check comes to, in the order of the file.

Where the suite starts the image, its checks look at that one container, one after the other. Otherwise commands run as
if each in a container of its own, and everything else looks at the image as it is while nothing runs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import msgspec

from dsci.errors import ConfigError
from dsci.model.report import Check, Verdict
from dsci.ports import Special
from dsci.suites import nativecommands, shipped, started
from dsci.suites.finding import Finding
from dsci.suites.nativeform import File, Image, NativeFile, Run, Shipped
from dsci.suites.nativelooks import looked, named
from dsci.suites.subject import NOTHING_RUNS, Subject

#: Folders that nearly every program needs to write to.
_WRITABLE = ("/tmp", "/run")  # in the container
#: OpenShift gives every namespace a block of user ids from here on.
#: Source: https://docs.redhat.com/en/documentation/openshift_container_platform/4.17/html/authentication_and_authorization/managing-pod-security-policies
_FIRST_UID, _UIDS = 1_000_000_000, 1_000_000_000


def run(subject: Subject, suite: NativeFile, *, path: str) -> Iterator[Check]:
    """Run every check of a suite. Raises ConfigError where nothing of it can be run here, and says why."""
    if subject.engine is None:
        yield from _still(subject, suite)
        return
    special = _special(suite, path)
    if suite.gpu:
        lacking = _lacks_gpu(subject)
        if lacking and suite.gpu == "required":
            raise ConfigError(
                f"a GPU is required: {lacking}", hint="run it on a machine with one, or say gpu: optional"
            )
        if lacking:
            for check in suite.checks:
                yield Check(name=named(check), verdict=Verdict.SKIPPED, detail=f"no GPU: {lacking}")
            return
        special = msgspec.structs.replace(special, gpus=True)
    if suite.start is not None:
        yield from started.run(subject, suite, special)
        return
    at_rest = [check for check in suite.checks if isinstance(check, Run) and not check.skip]
    ran = dict(zip(map(id, at_rest), nativecommands.run(subject, suite.env, at_rest, special), strict=True))
    for check in suite.checks:
        if check.skip:
            yield Check(name=named(check), verdict=Verdict.SKIPPED, detail=check.skip)
        elif isinstance(check, Run):
            yield ran[id(check)].check
        elif why := subject.over:
            yield Finding(name=named(check), problems=(why,)).check
        elif isinstance(check, Shipped):
            yield shipped.finding(subject, check, special).check
        else:
            yield looked(subject, check).check


def _still(subject: Subject, suite: NativeFile) -> Iterator[Check]:
    """What a suite comes to of an image in which nothing runs: checks that need it to run have failed."""
    for check in suite.checks:
        if check.skip:
            yield Check(name=named(check), verdict=Verdict.SKIPPED, detail=check.skip)
        elif isinstance(check, File | Image):
            yield looked(subject, check).check
        elif isinstance(check, Shipped) and check.check not in shipped.INSIDE:
            yield shipped.finding(subject, check, Special()).check
        else:
            yield Finding(name=named(check), problems=(NOTHING_RUNS,)).check


def executes(suite: NativeFile) -> bool:
    """Whether anything of it runs in the image."""
    return suite.start is not None or any(
        isinstance(check, Run) or (isinstance(check, Shipped) and check.check in shipped.INSIDE)
        for check in suite.checks
    )


def _special(suite: NativeFile, path: str) -> Special:
    """How containers are made for a suite: as it says, and as its presets do."""
    special = Special(
        user=suite.user,
        groups=suite.groups,
        network=suite.network,
        read_only=suite.read_only,
        memory=suite.tmpfs,
    )
    changes: dict[str, object] = {}
    if "openshift" in suite.presets:
        # Any number will do, as long as no image has made a user of it, and it is the same every time.
        uid = _FIRST_UID + int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") % _UIDS
        changes |= {"user": f"{uid}:0", "restricted": True}
    if "read-only" in suite.presets:
        changes |= {"read_only": True, "memory": tuple(dict.fromkeys((*suite.tmpfs, *_WRITABLE)))}
    if "offline" in suite.presets:
        changes["network"] = "none"
    return msgspec.structs.replace(special, **changes)


def _lacks_gpu(subject: Subject) -> str:
    """Why the engine can give no GPU to a container, or ""."""
    with subject.container(entrypoint=[""], command=["/dsci-probe"], special=Special(gpus=True)) as container:
        said = container.start()
    # Devices are looked for first: that there is no such command comes after it.
    # Source: https://github.com/moby/moby/blob/v26.1.5/daemon/devices.go
    return said if re.search("device driver|gpu|cdi", said, re.IGNORECASE) else ""
