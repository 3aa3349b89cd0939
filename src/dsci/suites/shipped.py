"""Checks that come with dsci: what every image of its kind should be, without anybody writing it down.

Those that ask the image's own interpreters hand them a script as an argument, so nothing is put into the image. What a
script prints is foreign, and judged here. What should not be among its files is `shippedfiles`' to know.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import Any

from dsci.model import foreign
from dsci.model.quantities import size
from dsci.model.text import clean, line
from dsci.ports import Ran, Special
from dsci.suites import commands, nativecommands, shippedfiles
from dsci.suites.commands import Job
from dsci.suites.finding import Finding
from dsci.suites.nativeform import Shipped
from dsci.suites.nativelooks import named
from dsci.suites.subject import Subject

#: Those that run something in the image.
INSIDE = ("imports", "kernels", "libraries", "init", "clean-log")
#: How many of many things are told.
_TOLD = 50
#: What a line of a log says of trouble. Programs write it in many ways; these are those of Python, R, Java and servers.
_TROUBLE = r"(?:\A|[\s\[])(?:ERROR|WARN(?:ING)?|CRITICAL|FATAL|SEVERE|Traceback)\b|\A(?:Error|Warning)\b|panic: "


def finding(subject: Subject, check: Shipped, special: Special) -> Finding:
    """What a check comes to that looks at an image while it does not run, tried as often as it says."""
    began = time.monotonic()
    attempts, problems = 1, _problems(subject, check, special)
    while problems and attempts <= check.retries:
        attempts, problems = attempts + 1, _problems(subject, check, special)
    seconds = time.monotonic() - began
    return Finding(name=named(check), problems=tuple(problems), seconds=seconds, attempts=attempts)


def _problems(subject: Subject, check: Shipped, special: Special) -> list[str]:
    match check.check:
        case "imports":
            return _imports(subject, check, special)
        case "kernels":
            return _kernels(subject, check, special)
        case "libraries":
            return _libraries(subject, check, special)
        case "non-root":
            user = str(subject.config.get("User") or "").partition(":")[0]
            return [f"its user is {user or 'root, as none is set'}"] if user in ("", "root", "0") else []
        case "no-secrets":
            found = shippedfiles.secrets(subject.still.everything(), subject.still.files().read)
            return _left(check, [*shippedfiles.secret_variables(subject.environment), *found])
        case "no-caches":
            return _left(check, shippedfiles.caches(subject.still.everything()))
        case _:
            return _size(subject, check)


def of_log(check: Shipped, log: str) -> list[str]:
    """Lines of a log that speak of trouble; there are no escape sequences in it any more."""
    trouble = foreign.compiled(_TROUBLE)
    return _left(check, (line(each, 300) for each in log.splitlines() if trouble.search(each)))


def of_first_process(check: Shipped, command: str) -> list[str]:
    """Whether what runs first reaps processes and hands signals on."""
    known = check.only or _INITS
    name = command.partition(" ")[0].rpartition("/")[2]
    return [] if name in known else [f"process 1 is {command or 'not there'!r}, expected {' or '.join(known)}"]


_INITS = ("tini", "tini-static", "docker-init", "dumb-init", "catatonit", "s6-svscan", "init", "systemd")


def _left(check: Shipped, found: Iterable[str]) -> list[str]:
    """What nobody has left out, and no more of it than anybody reads."""
    excepted = [foreign.compiled(pattern) for pattern in check.excepting]
    left = [each for each in found if not any(pattern.search(each) for pattern in excepted)]
    return left[:_TOLD] + ([f"and {len(left) - _TOLD} more"] if len(left) > _TOLD else [])


# --------------------------------------------------------------------------------------------- in the image itself


def _script(name: str) -> str:
    return resources.files("dsci.suites").joinpath("scripts", name).read_text("utf-8")


def _run(subject: Subject, check: Shipped, special: Special, argv: Sequence[str]) -> Ran:
    bounded = nativecommands.within(subject, check.timeout)
    job = Job(argv=argv, environment={}, passes=lambda ran: ran.exit_code == 0)
    return commands.run(bounded, [job], special)[0][-1]


def _missing(ran: Ran) -> bool:
    """Whether there is no such program in the image."""
    return ran.exit_code is None and ("not found" in ran.reason or "no such file" in ran.reason)


def _ended(ran: Ran) -> list[str]:
    """That a script did not come to its end."""
    if ran.exit_code == 0:
        return []
    said = clean(ran.stderr.decode(errors="replace"), 1000).strip()
    return [ran.reason or f"exit code {ran.exit_code}", *([said] if said else [])]


def _documents(ran: Ran) -> Iterator[dict[str, Any]]:
    """The lines of JSON that a script printed; what is no such line, something else did."""
    for each in ran.stdout.decode(errors="replace").splitlines():
        try:
            found = json.loads(each)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _python(subject: Subject, check: Shipped, special: Special, script: str, *words: str) -> Ran | None:
    """What a script says in the image's Python; None where it has none."""
    for python in ("python3", "python"):
        ran = _run(subject, check, special, [python, "-c", _script(script), *words])
        if not _missing(ran):
            return ran
    return None


def _imports(subject: Subject, check: Shipped, special: Special) -> list[str]:
    options = {"only": check.only, "except": check.excepting, "names": check.names}
    problems: list[str] = []
    count = 0
    python = _python(subject, check, special, "imports.py", json.dumps(options))
    if python is not None:
        for found in _documents(python):
            count += 1
            if found.get("error"):
                package, module = str(found.get("package")), str(found.get("module"))
                called = package if package == module else f"{package} (as {module})"
                problems.append(line(f"{called}: {found['error']}", 300))
        problems += _ended(python)
    # R has names of its own: what is asked of it by name is not asked of Python as well.
    r = None if check.only else _run(subject, check, special, ["Rscript", "--vanilla", "-e", _script("imports.R")])
    if r is not None and not _missing(r):
        for each in r.stdout.decode(errors="replace").splitlines():
            package, tab, error = each.partition("\t")
            count += bool(tab)
            if error and package not in check.excepting:
                problems.append(line(f"{package}: {error}", 300))
        problems += _ended(r)
    elif python is None:
        return ["the image has neither Python nor R"]
    if not count and not problems:
        problems.append("no package was asked to be installed, by pip, conda or R: name some by `only`")
    return problems


def _kernels(subject: Subject, check: Shipped, special: Special) -> list[str]:
    ran = _python(subject, check, special, "kernels.py")
    if ran is None:
        return ["the image has no Python, so no Jupyter"]
    if problems := _ended(ran):
        return problems
    found = {str(each.get("kernel")): str(each.get("error") or "") for each in _documents(ran)}
    # A kernel's name may end in its version (julia-1.11).
    named = {name: [each for each in found if each == name or each.startswith(f"{name}-")] for name in check.only}
    there = ", ".join(found) or "none"
    problems = [f"there is no kernel {name}: there is {there}" for name, own in named.items() if not own]
    problems += [line(f"kernel {name}: {error}", 300) for name, error in found.items() if error]
    return problems or ([] if found else ["there is no kernel"])


def _libraries(subject: Subject, check: Shipped, special: Special) -> list[str]:
    ran = _run(subject, check, special, ["sh", "-c", _script("libraries.sh")])
    if ran.exit_code == 3 or _missing(ran):
        return ["the image has no sh, find or ldd to ask for its libraries"]
    if problems := _ended(ran):
        return problems
    problems, file = [], ""
    for each in ran.stdout.decode(errors="replace").splitlines():
        if each.startswith("/") and each.endswith(":"):
            file = each[:-1]
        else:
            problems.append(line(f"{file}: {each.strip()}", 300))
    return _left(check, dict.fromkeys(problems)) if file else ["no program was found in the image"]


# ------------------------------------------------------------------------------------------------------------ size


def _size(subject: Subject, check: Shipped) -> list[str]:
    if subject.sizes is None:
        return ["its size is known only where it is built, by `dsci build`, `test` or `release`"]
    now, before = subject.sizes()
    problems = []
    if check.max and now > size(check.max):
        problems.append(f"it has {_mb(now)}, more than {check.max}")
    if before is not None:
        version, then = before
        allowed = then * (100 + int(check.grow.rstrip("%"))) // 100
        if now > allowed:
            grown = f"{(now - then) * 100 / max(then, 1):.0f} % more than the {_mb(then)} of {version}"
            problems.append(f"it has {_mb(now)}, {grown}; {check.grow} is allowed")
    return problems


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
