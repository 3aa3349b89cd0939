"""Scans of what is to be released: after the suites, before anything is claimed.

What a scan holds back is like an image whose suite failed, and the gate says what goes with it. That nobody could tell
is told, and is neither clean nor vulnerable: the policy says whether it holds back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from dsci.model import scan
from dsci.model.family import Family, TargetId
from dsci.model.oci import Descriptor
from dsci.model.plan import PlannedRelease
from dsci.model.report import Outcome, Status
from dsci.model.scan import ScanReport, State
from dsci.model.settings import ScanSettings
from dsci.model.text import clean
from dsci.pipeline.run import Work
from dsci.pipeline.transfer import RegistrySource
from dsci.pipeline.world import Hands
from dsci.ports import Scanner

#: How many images are scanned at once: each lies on disk meanwhile.
_AT_ONCE = 2


def check(hands: Hands, settings: ScanSettings) -> None:
    """Find out, before any work, that there is a scanner where nothing may be released without. Raises ConfigError."""
    if settings.policy == "fail" and settings.unknown == "fail":
        hands.scanner(settings).check()


def scans(
    hands: Hands, settings: ScanSettings, family: Family, wanted: Sequence[PlannedRelease], work: Work
) -> tuple[list[Outcome], list[ScanReport]]:
    """Look at every good image that is to be released; gives what came of each, and what was found in it."""
    members = {name for item in wanted for name in item.members}
    targets = [target for target in sorted(work.images) if target.image in members and target not in work.bad]
    if settings.policy == "off" or not targets:
        return [], []
    scanner = hands.scanner(settings)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        looks = pool.map(lambda target: _scan(hands, settings, scanner, family, target, work.images[target]), targets)
        done = list(looks)
    return [outcome for outcome, _ in done], [found for _, found in done]


def _scan(
    hands: Hands, settings: ScanSettings, scanner: Scanner, family: Family, target: TargetId, image: Descriptor
) -> tuple[Outcome, ScanReport]:
    began = time.monotonic()
    hands.console.begin(str(target), "scan")
    repository = family.images[target.image].repository
    scanned = scanner.scan(RegistrySource(hands.registry, repository, image.digest))
    found = scan.judge(scanned, settings)
    status = Status.FAILED if found.holds_back else Status.OK if found.state is State.CLEAN else Status.SKIPPED
    seconds, story = round(time.monotonic() - began, 3), clean(found.story)
    hands.console.end(str(target), "scan", str(status), seconds, story)
    if status is Status.SKIPPED:
        hands.console.warn(f"{target}: {story}")
    outcome = Outcome(subject=str(target), stage="scan", status=status, seconds=seconds, detail=story)
    return outcome, ScanReport(target=str(target), image=str(repository.at(image.digest)), scanned=scanned)
