"""Blocks as people write them for docker/metadata-action, and what they give there and here.

The answers follow that action's code as read (version 5), with its own libraries run (csv-parse, Handlebars, semver,
@renovate/pep440, moment-timezone), at the commit and the times below. Where dsci answers otherwise on purpose,
DIFFERENT says what and why.
"""

from __future__ import annotations

from dsci.model.event import Event, Trigger
from dsci.model.tags import Flavor

SHA = "860c1904a1ce19322e91ac35af1ab07466440c37"
COMMITTED = 1_767_297_600
NOW = 1_767_549_600


def _event(trigger: Trigger, branch: str = "", *, tag: str = "", number: str = "") -> Event:
    return Event(trigger=trigger, branch=branch, default_branch="main", tag=tag, number=number, now=NOW)


#: What set the run off, and the version that is released by it.
EVENTS: dict[str, tuple[Event, str]] = {
    "main": (_event(Trigger.BRANCH, "main"), ""),
    "branch": (_event(Trigger.BRANCH, "develop"), ""),
    "release": (_event(Trigger.TAG, tag="v1.2.3"), "1.2.3"),
    "prerelease": (_event(Trigger.TAG, tag="v1.3.0-rc.1"), "1.3.0-rc.1"),
    "request": (_event(Trigger.PULL_REQUEST, "main", number="12"), ""),
    "schedule": (_event(Trigger.SCHEDULE, "main"), ""),
}

BLOCKS: dict[str, tuple[Flavor, str, dict[str, str]]] = {
    "default of the action": (
        Flavor(),
        r"""
        type=schedule
        type=ref,event=branch
        type=ref,event=tag
        type=ref,event=pr
        """,
        {
            "main": "main",
            "branch": "develop",
            "release": "v1.2.3 latest",
            "prerelease": "v1.3.0-rc.1 latest",
            "request": "pr-12",
            "schedule": "nightly main",
        },
    ),
    "manual": (
        Flavor(),
        r"""
        type=schedule
        type=ref,event=branch
        type=ref,event=pr
        type=semver,pattern={{version}}
        type=semver,pattern={{major}}.{{minor}}
        type=semver,pattern={{major}}
        type=sha
        """,
        {
            "main": "main sha-860c190",
            "branch": "develop sha-860c190",
            "release": "1.2.3 1.2 1 sha-860c190 latest",
            "prerelease": "1.3.0-rc.1 sha-860c190",
            "request": "pr-12 sha-860c190",
            "schedule": "nightly main sha-860c190",
        },
    ),
    "versions alone": (
        Flavor(),
        r"""
        type=semver,pattern={{version}}
        type=semver,pattern={{major}}.{{minor}}
        type=semver,pattern={{major}}
        """,
        {
            "main": "",
            "branch": "",
            "release": "1.2.3 1.2 1 latest",
            "prerelease": "1.3.0-rc.1",
            "request": "",
            "schedule": "",
        },
    ),
    "with a v": (
        Flavor(),
        r"""
        type=semver,pattern=v{{version}}
        type=semver,pattern=v{{major}}.{{minor}}
        type=semver,pattern=v{{major}}
        """,
        {
            "main": "",
            "branch": "",
            "release": "v1.2.3 v1.2 v1 latest",
            "prerelease": "1.3.0-rc.1",
            "request": "",
            "schedule": "",
        },
    ),
    "raw tag": (
        Flavor(),
        r"""
        type=semver,pattern={{raw}}
        type=sha,format=long
        """,
        {
            "main": "sha-860c1904a1ce19322e91ac35af1ab07466440c37",
            "branch": "sha-860c1904a1ce19322e91ac35af1ab07466440c37",
            "release": "v1.2.3 sha-860c1904a1ce19322e91ac35af1ab07466440c37 latest",
            "prerelease": "v1.3.0-rc.1 sha-860c1904a1ce19322e91ac35af1ab07466440c37",
            "request": "sha-860c1904a1ce19322e91ac35af1ab07466440c37",
            "schedule": "sha-860c1904a1ce19322e91ac35af1ab07466440c37",
        },
    ),
    "latest from main": (
        Flavor(),
        r"""
        type=ref,event=branch
        type=sha
        type=raw,value=latest,enable={{is_default_branch}}
        """,
        {
            "main": "main latest sha-860c190",
            "branch": "develop sha-860c190",
            "release": "sha-860c190",
            "prerelease": "sha-860c190",
            "request": "sha-860c190",
            "schedule": "main latest sha-860c190",
        },
    ),
    "latest from main, versions": (
        Flavor(latest="false"),
        r"""
        type=semver,pattern={{version}}
        type=raw,value=latest,enable={{is_default_branch}}
        """,
        {
            "main": "latest",
            "branch": "",
            "release": "1.2.3",
            "prerelease": "1.3.0-rc.1",
            "request": "",
            "schedule": "latest",
        },
    ),
    "no latest": (
        Flavor(latest="false"),
        r"""
        type=semver,pattern={{version}}
        type=semver,pattern={{major}}.{{minor}}
        """,
        {
            "main": "",
            "branch": "",
            "release": "1.2.3 1.2",
            "prerelease": "1.3.0-rc.1",
            "request": "",
            "schedule": "",
        },
    ),
    "edge": (
        Flavor(),
        r"""
        type=edge
        type=semver,pattern={{version}}
        type=ref,event=pr
        """,
        {
            "main": "edge",
            "branch": "",
            "release": "1.2.3 latest",
            "prerelease": "1.3.0-rc.1",
            "request": "pr-12",
            "schedule": "edge",
        },
    ),
    "edge of a branch": (
        Flavor(),
        r"""
        type=edge,branch=develop
        type=ref,event=branch
        """,
        {
            "main": "main",
            "branch": "edge develop",
            "release": "",
            "prerelease": "",
            "request": "",
            "schedule": "main",
        },
    ),
    "nightly by date": (
        Flavor(),
        r"""
        type=schedule,pattern={{date 'YYYYMMDD'}}
        type=schedule,pattern=nightly
        type=ref,event=branch
        """,
        {
            "main": "main",
            "branch": "develop",
            "release": "",
            "prerelease": "",
            "request": "",
            "schedule": "20260104 nightly main",
        },
    ),
    "date in a zone": (
        Flavor(),
        r"""
        type=raw,value={{date 'YYYYMMDD-HHmm' tz='Asia/Tokyo'}}
        type=raw,value={{commit_date 'YYYY.MM.DD'}}
        """,
        {
            "main": "20260105-0300 2026.01.01",
            "branch": "20260105-0300 2026.01.01",
            "release": "20260105-0300 2026.01.01",
            "prerelease": "20260105-0300 2026.01.01",
            "request": "20260105-0300 2026.01.01",
            "schedule": "20260105-0300 2026.01.01",
        },
    ),
    "branch and commit": (
        Flavor(),
        r"""
        type=sha,prefix={{branch}}-
        type=ref,event=branch
        """,
        {
            "main": "main main-860c190",
            "branch": "develop develop-860c190",
            "release": "-860c190",
            "prerelease": "-860c190",
            "request": "-860c190",
            "schedule": "main main-860c190",
        },
    ),
    "branch, date, commit": (
        Flavor(),
        r"""
        type=raw,value={{branch}}-{{date 'YYYYMMDD'}}-{{sha}}
        """,
        {
            "main": "main-20260104-860c190",
            "branch": "develop-20260104-860c190",
            "release": "-20260104-860c190",
            "prerelease": "-20260104-860c190",
            "request": "-20260104-860c190",
            "schedule": "main-20260104-860c190",
        },
    ),
    "flavored variant": (
        Flavor(suffix="-alpine", suffix_latest=True),
        r"""
        type=semver,pattern={{version}}
        type=semver,pattern={{major}}.{{minor}}
        type=ref,event=branch
        type=ref,event=pr
        type=sha
        """,
        {
            "main": "main-alpine sha-860c190-alpine",
            "branch": "develop-alpine sha-860c190-alpine",
            "release": "1.2.3-alpine 1.2-alpine sha-860c190-alpine latest-alpine",
            "prerelease": "1.3.0-rc.1-alpine sha-860c190-alpine",
            "request": "pr-12-alpine sha-860c190-alpine",
            "schedule": "main-alpine sha-860c190-alpine",
        },
    ),
    "flavored, latest plain": (
        Flavor(prefix="cuda-"),
        r"""
        type=semver,pattern={{version}}
        type=raw,value=dev
        type=ref,event=branch,prefix=
        """,
        {
            "main": "main cuda-dev",
            "branch": "develop cuda-dev",
            "release": "cuda-1.2.3 cuda-dev latest",
            "prerelease": "cuda-1.3.0-rc.1 cuda-dev",
            "request": "cuda-dev",
            "schedule": "main cuda-dev",
        },
    ),
    "python packages": (
        Flavor(),
        r"""
        type=pep440,pattern={{version}}
        type=pep440,pattern={{major}}.{{minor}}
        """,
        {
            "main": "",
            "branch": "",
            "release": "1.2.3 1.2 latest",
            "prerelease": "1.3.0rc1",
            "request": "",
            "schedule": "",
        },
    ),
    "match": (
        Flavor(),
        r"""
        type=match,pattern=v(\d+)\.(\d+),group=1
        type=match,pattern=\d+\.\d+\.\d+
        """,
        {
            "main": "",
            "branch": "",
            "release": "1 1.2.3 latest",
            "prerelease": "1 1.3.0 latest",
            "request": "",
            "schedule": "",
        },
    ),
    "match, not latest": (
        Flavor(latest="false"),
        r"""
        type=match,pattern=/V(.*)/i,group=1
        """,
        {
            "main": "",
            "branch": "",
            "release": "1.2.3",
            "prerelease": "1.3.0-rc.1",
            "request": "",
            "schedule": "",
        },
    ),
    "monorepo": (
        Flavor(),
        r"""
        type=semver,pattern={{version}},match=^v(.*)$
        type=semver,pattern={{major}},match=^v(.*)$
        """,
        {
            "main": "",
            "branch": "",
            "release": "1.2.3 1 latest",
            "prerelease": "1.3.0-rc.1",
            "request": "",
            "schedule": "",
        },
    ),
    "priorities": (
        Flavor(),
        r"""
        type=sha,priority=2000
        type=semver,pattern={{major}}
        type=semver,pattern={{version}},priority=10
        type=ref,event=branch,priority=3000
        """,
        {
            "main": "main sha-860c190",
            "branch": "develop sha-860c190",
            "release": "sha-860c190 1 1.2.3",
            "prerelease": "sha-860c190 1.3.0-rc.1",
            "request": "sha-860c190",
            "schedule": "main sha-860c190",
        },
    ),
    "switched": (
        Flavor(),
        r"""
        type=sha,enable=false
        type=semver,pattern={{version}},enable=true
        type=raw,value=canary,enable={{is_not_default_branch}}
        """,
        {
            "main": "",
            "branch": "canary",
            "release": "1.2.3 canary latest",
            "prerelease": "1.3.0-rc.1 canary",
            "request": "canary",
            "schedule": "",
        },
    ),
    "quoted": (
        Flavor(),
        r"""
        "type=raw","value=a,b"
        # a comment
        TYPE=sha , prefix = git-
        """,
        {
            "main": "a-b git-860c190",
            "branch": "a-b git-860c190",
            "release": "a-b git-860c190",
            "prerelease": "a-b git-860c190",
            "request": "a-b git-860c190",
            "schedule": "a-b git-860c190",
        },
    ),
    "tag by hand": (
        Flavor(latest="true"),
        r"""
        type=raw,value={{tag}}
        type=ref,event=pr,prefix=mr-
        """,
        {
            "main": "",
            "branch": "",
            "release": "v1.2.3 latest",
            "prerelease": "v1.3.0-rc.1 latest",
            "request": "mr-12 latest",
            "schedule": "",
        },
    ),
}

_REQUEST = "what a request gives must name the request or its commit: else whoever opens one could move the name"
_EMPTY = "a rule that names a branch gives nothing where there is none; the action gives what no registry takes"
_EARLY = "a prerelease moves no float"
#: The block, the event, what dsci gives, and why.
DIFFERENT: dict[tuple[str, str], tuple[str, str]] = {
    ("default of the action", "prerelease"): ("v1.3.0-rc.1", _EARLY),
    ("match", "prerelease"): ("", _EARLY),
    ("tag by hand", "prerelease"): ("v1.3.0-rc.1", _EARLY),
    ("date in a zone", "request"): ("", _REQUEST),
    ("flavored, latest plain", "request"): ("", _REQUEST),
    ("switched", "request"): ("", _REQUEST),
    ("quoted", "request"): ("git-860c190", _REQUEST),
    ("tag by hand", "request"): ("mr-12", "`latest` is of releases alone"),
    ("branch and commit", "release"): ("", _EMPTY),
    ("branch and commit", "prerelease"): ("", _EMPTY),
    ("branch and commit", "request"): ("", _EMPTY),
    ("branch, date, commit", "release"): ("", _EMPTY),
    ("branch, date, commit", "prerelease"): ("", _EMPTY),
    ("branch, date, commit", "request"): ("", _EMPTY),
    ("priorities", "release"): (
        "1.2.3 1 latest sha-860c190",
        "the versions decide about `latest`, whichever rule comes first",
    ),
}
