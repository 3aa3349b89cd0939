"""A suite of dsci's own that starts the image: when it is ready, and what each check of it comes to.

All checks look at one container, in the order of the file: what one of them does to it, the next ones see. That is what
such a suite is for, and why everything else runs apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from dsci.model import quantities
from dsci.model.bundle import Launch
from dsci.model.report import Check, Verdict
from dsci.model.text import clean, line
from dsci.ports import NOTHING_SPECIAL, Answer, Container, Question, Ran, Special
from dsci.suites import bundles, nativecommands, nativeform, shipped
from dsci.suites.commands import OUTPUT_LIMIT
from dsci.suites.finding import Finding, matched
from dsci.suites.nativeform import (
    File,
    Health,
    Http,
    Image,
    Log,
    NativeFile,
    Port,
    Restart,
    Run,
    Shipped,
    Start,
    Stop,
    Until,
    each,
)
from dsci.suites.nativelooks import file, looked, named
from dsci.suites.subject import Subject

#: How a container was made that somebody else made.
_UNKNOWN = Launch()
#: Seconds between two looks.
_PAUSE = 0.1
#: The longest that one request may take, in seconds.
_LONGEST = 30.0
#: Characters of what the image printed that are told with a failure.
_TOLD = 4000


def run(subject: Subject, suite: NativeFile, special: Special) -> Iterator[Check]:
    """Start the image, wait until it is ready, and run every check. What comes first is whether it became ready."""
    start = suite.start or Start()
    exposed = subject.config.get("ExposedPorts") or {}
    ports = nativeform.ports(suite, exposed) if special.network != "none" else ()
    around = {**suite.env, **start.env}
    launch = Launch(
        entrypoint=tuple(start.entrypoint) if start.entrypoint is not None else None,
        command=tuple(start.command) if start.command is not None else None,
        special=bundles.unusual(replace(special, ports=ports)),
        around=around,
    )
    with subject.container(
        entrypoint=start.entrypoint,
        command=start.command,
        environment=around,
        special=replace(special, ports=ports),
    ) as container:
        it = Started(subject, container, nativeform.default_port(suite, exposed), special, launch)
        began = time.monotonic()
        problems = it.ready(start)
        seconds = time.monotonic() - began
        yield it.told(Finding(name="start", problems=tuple(problems), seconds=seconds)).check
        for check in suite.checks:
            if check.skip or problems:
                why = check.skip or "it was not ready"
                yield Check(name=named(check), verdict=Verdict.SKIPPED, detail=why)
            else:
                yield it.checked(check).check


class Started:
    """A container that goes on, and what can be asked of it."""

    def __init__(
        self,
        subject: Subject,
        container: Container,
        port: int | None,
        special: Special = NOTHING_SPECIAL,
        launch: Launch = _UNKNOWN,
    ) -> None:
        """`port` is that of requests which name none; `launch` is how the container was made."""
        self._began = time.monotonic()
        self._launch = launch
        self._subject = subject
        self._special = special
        self._container = container
        self._port = port

    def ready(self, start: Start) -> Sequence[str]:
        """Start it and wait; gives why it is not ready."""
        why = self._container.start()
        if why and self._container.state().exit_code is None:
            return (why,)
        return self._in_time(lambda: self._not_ready(start.until), start.within)

    def _not_ready(self, wanted: Until) -> list[str]:
        problems: list[str] = []
        if wanted.log:
            problems += matched("log", self._log(), each(wanted.log), ())
        if wanted.port is not None:
            problems += self._not_open(wanted.port)
        if wanted.http is not None:
            problems += self._answer(Http(http=wanted.http))
        if wanted.health:
            problems += self._not_healthy(wanted.health)
        if wanted.file and self._container.stat(wanted.file) is None:
            problems.append(f"{wanted.file} is not there")
        return problems

    def checked(self, check: nativeform.Check) -> Finding:
        """Run a check, and again as often as it says while it fails."""
        finding = self._once(check)
        while finding.problems and finding.attempts <= check.retries:
            finding = replace(self._once(check), attempts=finding.attempts + 1)
        return self.told(finding)

    def told(self, finding: Finding) -> Finding:
        """A failure with what the image printed, and all that is known of its container."""
        if not finding.problems or finding.bundle is not None:
            return finding
        log = clean(self._log(), _TOLD)
        stdout, stderr = self._container.logs(OUTPUT_LIMIT)
        seen = self._container.seen()
        code = seen.inspect["State"].get("ExitCode") if not seen.inspect["State"].get("Running") else None
        ran = Ran(exit_code=code, stdout=stdout, stderr=stderr, seconds=finding.seconds, seen=seen)
        return replace(
            finding,
            problems=(*finding.problems, f"it printed:\n{log}" if log else "it printed nothing"),
            bundle=bundles.of(self._launch, ran, alone=False),
        )

    def _once(self, check: nativeform.Check) -> Finding:
        began = time.monotonic()
        if why := self._subject.over:
            return Finding(name=named(check), problems=(why,))
        match check:
            case Run():
                return self._run(check)
            case Image():
                return looked(self._subject, check)
            case File():
                problems: Sequence[str] = list(file(self._container, check))
            case Http():
                problems = self._in_time(lambda: self._answer(check), check.within)
            case Port():
                wanted = self._not_open if check.open else self._not_closed
                problems = self._in_time(lambda: wanted(check.port), check.within)
            case Log():
                problems = self._in_time(
                    lambda: matched("log", self._log(), each(check.log), each(check.lacks)), check.within
                )
            case Health():
                problems = self._in_time(lambda: self._not_healthy(check.health), check.within)
            case Stop():
                problems = self._stopped(check)
            case Restart():
                problems = self._restarted(check)
            case Shipped(check="init"):
                problems = shipped.of_first_process(check, self._container.first_process())
            case Shipped(check="clean-log"):
                problems = shipped.of_log(check, self._log())
            case Shipped():
                return shipped.finding(self._subject, check, self._special)
        return Finding(name=named(check), problems=tuple(problems), seconds=time.monotonic() - began)

    def _run(self, check: Run) -> Finding:
        if ended := self._ended():
            return Finding(name=named(check), problems=ended)
        timeout = nativecommands.within(self._subject, check.timeout).timeout
        argv = nativecommands.argv(check)
        launch = replace(
            self._launch,
            beside=argv,
            environment=check.env,
            user=check.user,
            after=round(time.monotonic() - self._began, 1),
        )
        ran = self._container.execute(argv, check.env, timeout, OUTPUT_LIMIT, user=check.user)
        finding = nativecommands.finding(check, ran)
        if not finding.problems:
            return finding
        return replace(finding, bundle=bundles.of(launch, replace(ran, seen=self._container.seen())))

    def _in_time(self, problems: Callable[[], list[str]], within: str) -> Sequence[str]:
        """Look until nothing is wrong, the time is over, or it runs no more; without a time, once."""
        left = nativecommands.within(self._subject, within).left
        deadline = time.monotonic() + (left.seconds if within else 0.0)
        while found := problems():
            if ended := self._ended():
                return (*ended, *found)
            if time.monotonic() >= deadline:
                late = (
                    left.waited(self._subject.bounds.raising) if left.budget else f"still so after {left.seconds:g} s"
                )
                return (*found, late) if within else found
            time.sleep(_PAUSE)
        return ()

    def _ended(self) -> tuple[str, ...]:
        """That it runs no more, if so."""
        state = self._container.state()
        if state.running:
            return ()
        return (state.killed or f"the container has ended with exit code {state.exit_code}",)

    def _log(self) -> str:
        return clean(b"\n".join(self._container.logs(OUTPUT_LIMIT)).decode(errors="replace"), OUTPUT_LIMIT)

    def _not_open(self, port: int) -> list[str]:
        return [] if self._container.address(port) else [f"nothing can be reached at port {port}"]

    def _not_closed(self, port: int) -> list[str]:
        return [f"port {port} can be reached"] if self._container.address(port) else []

    def _not_healthy(self, wanted: str) -> list[str]:
        state = self._container.state()
        if state.health == wanted:
            return []
        said = clean(state.said[-1], 500).strip() if state.said else ""
        found = state.health or "not checked: the image has no health check"
        return [f"health is {found}, expected {wanted}", *([said] if said else [])]

    def _answer(self, check: Http) -> list[str]:
        port = check.port if check.port is not None else self._port
        if port is None:
            return ["there is no port to ask: the image exposes none, and none is named"]
        question = Question(
            port=port,
            path=check.http,
            method=check.method,
            headers=check.request_headers,
            body=check.send.encode(),
            tls=check.tls,
            follow=check.follow,
        )
        answer = self._container.ask(question, min(self._subject.timeout, _LONGEST), OUTPUT_LIMIT)
        if isinstance(answer, str):
            return [answer]
        return list(_wrong(check, answer))

    def _stopped(self, check: Stop) -> list[str]:
        began, limit = time.monotonic(), quantities.seconds(check.stop)
        self._container.stop(limit)
        took, state = time.monotonic() - began, self._container.state()
        wanted = (check.exit,) if isinstance(check.exit, int) else check.exit
        if state.exit_code in wanted:
            return []
        killed = f": it was still running after {limit:g} s and was killed" if took >= limit else ""
        return [f"exit code {state.exit_code}, expected {' or '.join(map(str, wanted))}{killed}"]

    def _restarted(self, check: Restart) -> list[str]:
        self._container.stop(quantities.seconds(check.restart))
        why = self._container.start()
        return [f"it does not start again: {why}"] if why else []


def _wrong(check: Http, answer: Answer) -> Iterator[str]:
    """What is wrong with an answer."""
    wanted = (check.status,) if isinstance(check.status, int) else check.status
    if answer.status not in wanted:
        yield f"status {answer.status}, expected {' or '.join(map(str, wanted))}"
    for name, pattern in check.headers.items():
        found = answer.headers.get(name.lower())
        if pattern is None:
            if found is not None:
                yield f"header {name} is {line(found, 200)!r}, expected none"
        elif found is None:
            yield f"there is no header {name}"
        else:
            yield from matched(f"header {name}", found, [pattern], ())
    if (check.body or check.body_lacks) and not answer.whole:
        yield f"the body is larger than the {OUTPUT_LIMIT} bytes that are looked at"
    elif check.body or check.body_lacks:
        yield from matched("body", answer.body.decode(errors="replace"), each(check.body), each(check.body_lacks))
