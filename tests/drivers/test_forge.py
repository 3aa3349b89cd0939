"""Release pages on both forges: one page for a tag whatever happens on the way, and a token that nobody else sees."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from email.utils import formatdate
from threading import Barrier
from typing import Any, Protocol

import pytest
from forges import JSON, GitHubServer, GitLabServer, ScriptedForge, dump, said
from msgspec.structs import replace
from scripted import Answer, FastClock, Seen

from dsci.drivers.forge import GitHub, GitLab, Token, Where, connect, token, where
from dsci.drivers.forgeapi import redirected
from dsci.drivers.forgetext import cut
from dsci.drivers.routes import Network
from dsci.errors import AuthError, ConfigError, DsciError, ForgeError
from dsci.ports import ForgeRelease

SECRET = "ghp_TOKENCANARY0123456789"
READONLY = "ghp_READONLYCANARY"
TAG = "ml/v1.2.3@x y"
RELEASE = ForgeRelease(tag=TAG, name="ml 1.2.3", notes="## Fixed\n\n- one thing\n", prerelease=False, latest=True)


class Client(Protocol):
    clock: FastClock
    trace: list[str]

    def publish(self, release: ForgeRelease) -> bool: ...


def client(server: ScriptedForge, secret: str = SECRET, project: str = "", header: Any = "PRIVATE-TOKEN") -> Any:
    place = Where(kind=server.kind, api=server.api, project=project or server.project)  # type: ignore[arg-type]
    clock, trace = FastClock(), []  # type: ignore[var-annotated]
    key = Token(header="Authorization" if server.kind == "github" else header, secret=secret, source="THE_VARIABLE")
    forge = (GitHub if server.kind == "github" else GitLab)(
        place, key, network=Network(), clock=clock, trace=trace.append, waits=trace.append
    )
    forge.clock, forge.trace = clock, trace  # type: ignore[union-attr]
    return forge


def text(seen: Seen) -> str:
    form = json.loads(seen.body)
    return str(form.get("body", form.get("description")))


def notes(page: dict[str, Any]) -> str:
    return str(page.get("body", page.get("description")))


def everything(error: DsciError) -> str:
    return f"{error!r} {error.message} {error.hint} {''.join(traceback.format_exception(error))}"


def failing(forge: Any, release: ForgeRelease = RELEASE) -> DsciError:
    with pytest.raises(DsciError) as caught:
        forge.publish(release)
    shown = everything(caught.value) + repr(forge) + repr(vars(forge)["_where"]) + "".join(forge.trace)
    assert "CANARY" not in shown
    assert caught.value.exit_code == 5
    return caught.value


@pytest.fixture
def start() -> Iterator[Callable[..., ScriptedForge]]:
    with ExitStack() as stack:

        def begin(kind: str = "github", *tags: str) -> ScriptedForge:
            made = (
                GitHubServer("acme/images", *(tags or (TAG,)), secret=SECRET, readonly=READONLY)
                if kind == "github"
                else GitLabServer("acme/data/images", *(tags or (TAG,)), secret=SECRET, readonly=READONLY)
            )
            return stack.enter_context(made)  # type: ignore[return-value]

        yield begin


@pytest.fixture(params=["github", "gitlab"])
def server(request: pytest.FixtureRequest, start: Callable[..., ScriptedForge]) -> ScriptedForge:
    return start(request.param)


@pytest.fixture
def github(start: Callable[..., ScriptedForge]) -> ScriptedForge:
    return start("github")


@pytest.fixture
def gitlab(start: Callable[..., ScriptedForge]) -> ScriptedForge:
    return start("gitlab")


class TestPages:
    def test_absent_is_created_and_a_rerun_writes_nothing(self, server: ScriptedForge) -> None:
        assert client(server).publish(RELEASE) is True
        assert client(server).publish(RELEASE) is False
        [page] = server.pages.values()
        assert (page["tag_name"], page["name"], notes(page)) == (TAG, RELEASE.name, RELEASE.notes)
        assert len(server.written) == 1 and not server.made

    def test_the_tag_is_one_segment_of_the_path(self, server: ScriptedForge) -> None:
        client(server).publish(RELEASE)
        assert server.requests("GET")[0].path.endswith("/ml%2Fv1.2.3%40x%20y")
        if server.kind == "gitlab":
            assert server.seen[0].path.startswith("/api/v4/projects/acme%2Fdata%2Fimages/releases/")

    @pytest.mark.parametrize(
        "change",
        [{"notes": "- another thing"}, {"name": "ml 1.2.3, again"}],
    )
    def test_other_notes_or_another_name_are_corrected_in_place(
        self, server: ScriptedForge, change: dict[str, str]
    ) -> None:
        client(server).publish(RELEASE)
        assert client(server).publish(replace(RELEASE, **change)) is True  # type: ignore[arg-type]
        [page] = server.pages.values()
        assert {"notes": notes(page), "name": page["name"]}.items() >= change.items()
        assert [seen.method for seen in server.written] == ["POST", "PATCH" if server.kind == "github" else "PUT"]

    def test_line_ends_of_a_web_form_are_no_change(self, server: ScriptedForge) -> None:
        client(server).publish(RELEASE)
        for page in server.pages.values():
            page["body" if server.kind == "github" else "description"] = "## Fixed\r\n\r\n- one thing"
        assert client(server).publish(RELEASE) is False

    def test_a_page_without_notes_and_name(self, server: ScriptedForge) -> None:
        client(server).publish(RELEASE)
        for page in server.pages.values():
            page.update({"name": None, "body": None, "description": None})
        assert client(server).publish(RELEASE) is True
        assert client(server).publish(RELEASE) is False

    def test_a_release_without_a_name_is_called_by_its_tag(self, server: ScriptedForge) -> None:
        client(server).publish(replace(RELEASE, name=" \x1b[31m\n"))
        assert [page["name"] for page in server.pages.values()] == [TAG]

    def test_a_tag_that_is_not_pushed_gets_no_page_and_is_not_made(self, server: ScriptedForge) -> None:
        error = failing(client(server), replace(RELEASE, tag="ml-v9"))
        assert isinstance(error, ForgeError) and "ml-v9" in error.message + error.hint
        assert not server.pages and not server.made and server.tags == {TAG}

    def test_a_tag_that_arrives_a_moment_later(self, github: ScriptedForge) -> None:
        forge = client(github)
        github.rule("POST", "/graphql", said(200, {"data": {"repository": {"release": None, "ref": None}}}))
        assert forge.publish(RELEASE) is True
        assert len(forge.clock.slept) == 1 and len(github.written) == 1

    @pytest.mark.parametrize("tag", ["", "a\x1b[0mb", "a\udcffb", "a\x00"])
    def test_a_tag_that_is_none(self, server: ScriptedForge, tag: str) -> None:
        assert isinstance(failing(client(server), replace(RELEASE, tag=tag)), ForgeError)
        assert not server.seen


class TestGitHub:
    def test_enterprise_server_has_graphql_beside_the_rest(self, github: ScriptedForge) -> None:
        github.base = "/api/v3"
        assert client(github).publish(RELEASE) is True
        assert [seen.path for seen in github.seen][1:] == ["/api/graphql", "/api/v3/repos/acme/images/releases"]
        assert {seen.headers["X-GitHub-Api-Version"] for seen in github.seen} == {"2022-11-28"}

    def test_a_draft_of_the_tag_is_published_not_doubled(self, github: ScriptedForge) -> None:
        github.add(tag_name=TAG, name="draft", body="by hand", draft=True, prerelease=False)
        assert client(github).publish(RELEASE) is True
        [page] = github.pages.values()
        assert (page["draft"], page["name"], page["body"]) == (False, RELEASE.name, RELEASE.notes)
        assert github.latest == page["id"]
        assert client(github).publish(RELEASE) is False
        assert [seen.method for seen in github.written] == ["PATCH"]

    def test_a_draft_of_another_tag_is_left_alone(self, github: ScriptedForge) -> None:
        github.add(tag_name="ml-v9", name="draft", body="by hand", draft=True, prerelease=False)
        client(github).publish(RELEASE)
        assert [page["draft"] for page in github.pages.values()] == [True, False]

    @pytest.mark.parametrize(
        ("latest", "prerelease", "asked"),
        [(True, False, "true"), (False, False, "false"), (True, True, "false"), (False, True, "false")],
    )
    def test_who_takes_the_latest_mark(self, github: ScriptedForge, latest: bool, prerelease: bool, asked: str) -> None:
        github.latest = 77
        client(github).publish(replace(RELEASE, latest=latest, prerelease=prerelease))
        assert json.loads(github.written[0].body)["make_latest"] == asked
        assert github.latest == (1 if asked == "true" else 77)

    def test_a_correction_leaves_the_mark_where_it_is(self, github: ScriptedForge) -> None:
        client(github).publish(RELEASE)
        github.latest = 77
        client(github).publish(replace(RELEASE, notes="corrected"))
        client(github).publish(replace(RELEASE, notes="corrected again", latest=False))
        assert [json.loads(seen.body)["make_latest"] for seen in github.written] == ["true", "legacy", "false"]
        assert github.latest == 77

    def test_a_draft_that_is_no_latest_does_not_become_it(self, github: ScriptedForge) -> None:
        github.latest = 77
        github.add(tag_name=TAG, name="draft", body="by hand", draft=True, prerelease=False)
        client(github).publish(replace(RELEASE, latest=False))
        assert github.latest == 77

    def test_a_prerelease_becomes_a_release(self, github: ScriptedForge) -> None:
        client(github).publish(replace(RELEASE, prerelease=True))
        assert client(github).publish(RELEASE) is True
        assert [page["prerelease"] for page in github.pages.values()] == [False]

    @pytest.mark.parametrize(
        ("kind", "error"),
        [("FORBIDDEN", AuthError), ("NOT_FOUND", AuthError), ([], ForgeError), (None, ForgeError)],
    )
    def test_graphql_refuses_with_200(self, github: ScriptedForge, kind: object, error: type[DsciError]) -> None:
        answer = said(200, {"data": None, "errors": [{"type": kind, "message": "no CANARY".replace("CANARY", SECRET)}]})
        github.rule("POST", "/graphql", answer, last=99)
        assert type(failing(client(github))) is error
        assert not github.pages

    @pytest.mark.parametrize("errors", ["broken", [1], {"a": 1}])
    def test_graphql_errors_of_no_form(self, github: ScriptedForge, errors: object) -> None:
        github.rule("POST", "/graphql", said(200, {"errors": errors}), last=99)
        assert isinstance(failing(client(github)), ForgeError)

    def test_graphql_limits_with_200(self, github: ScriptedForge) -> None:
        limited = said(200, {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]})
        github.rule("POST", "/graphql", limited)
        forge = client(github)
        assert forge.publish(RELEASE) is True
        assert forge.clock.slept == [pytest.approx(61, abs=2)]


class TestGitLab:
    @pytest.mark.parametrize("header", ["PRIVATE-TOKEN", "JOB-TOKEN"])
    def test_the_token_has_its_own_header(self, gitlab: ScriptedForge, header: str) -> None:
        client(gitlab, header=header).publish(RELEASE)
        for seen in gitlab.seen:
            shown = {name for name, value in seen.headers.items() if SECRET in value}
            assert shown == {header}

    def test_a_moved_project_is_named(self, gitlab: ScriptedForge) -> None:
        moved = said(405, {"message": "Non GET methods are not allowed for moved projects"})
        gitlab.rule("POST", "", moved)
        error = failing(client(gitlab))
        assert "moved projects" in error.message and "new path" in error.hint
        assert len(gitlab.written) == 1


def lost(method: str) -> Callable[[ScriptedForge], object]:
    return lambda server: server.rule(method, "/releases", "lost")


def dropped(method: str) -> Callable[[ScriptedForge], object]:
    return lambda server: server.rule(method, "/releases", "drop")


def torn(server: ScriptedForge) -> object:
    """The page is made; its answer ends in the middle."""

    def answer(seen: Seen) -> Answer:
        made = server.act(seen)
        return Answer(made.status, {**JSON, "Content-Length": "4000", "Connection": "close"}, made.body[:20])

    return server.rule("POST", "/releases", answer)


def done_and_500(server: ScriptedForge) -> object:
    def answer(seen: Seen) -> Answer:
        server.act(seen)
        return Answer(500, {"Content-Type": "text/html"}, b"<h1>oops</h1>")

    return server.rule("POST", "/releases", answer)


def status(code: int, count: int = 1, method: str = "POST", **headers: str) -> Callable[[ScriptedForge], object]:
    return lambda server: server.rule(method, "/releases", said(code, {"message": "no"}, **headers), last=count)


#: What happens, how many creations are sent, how often it pauses.
SITUATIONS: dict[str, tuple[Callable[[ScriptedForge], object], int, int]] = {
    "nothing": (lambda server: None, 1, 0),
    "the answer to the creation is lost": (lost("POST"), 1, 1),
    "the creation never arrives": (dropped("POST"), 2, 1),
    "the answer to the creation is torn": (torn, 1, 1),
    "the creation is done and answered with 500": (done_and_500, 1, 1),
    "500, then fine": (status(500), 2, 1),
    "502 thrice, then fine": (status(502, 3), 4, 3),
    "503 to the look": (status(503, 2, "GET"), 1, 2),
    "the look is dropped": (dropped("GET"), 1, 1),
    "429": (status(429, Retry_After="3"), 2, 1),
    "429 without a time": (status(429), 2, 1),
    "503 until a date": (
        lambda server: status(503, Retry_After=formatdate(time.time() + 60, usegmt=True))(server),
        2,
        1,
    ),
}


class TestTrouble:
    @pytest.mark.parametrize("name", SITUATIONS)
    def test_ends_with_one_page(self, server: ScriptedForge, name: str) -> None:
        arrange, creations, pauses = SITUATIONS[name]
        arrange(server)
        forge = client(server)
        assert forge.publish(RELEASE) is True
        assert [notes(page) for page in server.pages.values()] == [RELEASE.notes]
        assert len(server.requests("POST", "/releases")) == creations == len(server.written)
        assert len(forge.clock.slept) == pauses
        assert client(server).publish(RELEASE) is False

    def test_no_creation_is_repeated_without_a_look(self, server: ScriptedForge) -> None:
        status(502, 3)(server)
        client(server).publish(RELEASE)
        story = [seen.method for seen in server.seen if "/releases" in seen.path]
        assert story == ["GET", "POST"] * 4

    @pytest.mark.parametrize("arrange", [lost, dropped])
    def test_a_correction_whose_answer_is_lost(
        self, server: ScriptedForge, arrange: Callable[[str], Callable[[ScriptedForge], object]]
    ) -> None:
        client(server).publish(RELEASE)
        arrange("PATCH" if server.kind == "github" else "PUT")(server)
        assert client(server).publish(replace(RELEASE, notes="corrected")) is True
        assert [notes(page) for page in server.pages.values()] == ["corrected"]

    def test_a_forge_that_stays_out_of_order(self, server: ScriptedForge) -> None:
        status(500, 99)(server)
        forge = client(server)
        error = failing(forge)
        assert isinstance(error, ForgeError) and error.temporary and "tried 5 times" in error.message
        assert len(server.written) == 5 and not server.pages

    @pytest.mark.parametrize("code", [400, 410, 422, 501])
    def test_a_refusal_that_is_no_race(self, server: ScriptedForge, code: int) -> None:
        status(code, 99)(server)
        error = failing(client(server))
        assert isinstance(error, ForgeError) and error.temporary == (code == 501)
        assert len(server.written) == (5 if code == 501 else 1)

    def test_a_correction_that_is_refused(self, server: ScriptedForge) -> None:
        client(server).publish(RELEASE)
        status(422, 9, "PATCH" if server.kind == "github" else "PUT")(server)
        assert "422" in failing(client(server), replace(RELEASE, notes="corrected")).message
        assert len(server.written) == 2

    def test_nobody_listens(self, server: ScriptedForge) -> None:
        server.server.server_close()
        error = failing(client(server))
        assert isinstance(error, ForgeError) and error.temporary
        assert "registry" not in error.message + error.hint and server.host in error.hint


def limits() -> dict[str, tuple[int, dict[str, str], str, int]]:
    """Answers that ask to wait, some until a time of day: status, headers, message, and for how many seconds."""
    now = time.time()
    return {
        "Retry-After": (403, {"Retry_After": "7"}, "secondary rate limit", 7),
        "Retry-After as a date": (403, {"Retry_After": formatdate(now + 90, usegmt=True)}, "no", 90),
        "nothing remains": (
            403,
            {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": str(int(now + 80))},
            "API rate limit exceeded",
            80,
        ),
        "only the text tells": (403, {}, "You have exceeded a secondary rate limit. Please wait", 60),
        "429, nothing told": (429, {}, "slow down", 60),
    }


class TestLimits:
    @pytest.mark.parametrize("name", limits())
    def test_waits_as_long_as_it_is_asked_to(self, github: ScriptedForge, name: str) -> None:
        code, headers, message, seconds = limits()[name]
        github.rule("POST", "/releases", said(code, {"message": message}, **headers))
        forge = client(github)
        assert forge.publish(RELEASE) is True
        [slept] = forge.clock.slept
        assert seconds - 25 < slept < seconds + 15 if seconds > 60 else seconds <= slept < seconds * 1.1 + 1.1
        assert len(github.pages) == 1

    @pytest.mark.parametrize(
        "headers",
        [
            {"Retry_After": "3000"},
            {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": str(int(time.time() + 3000))},
        ],
    )
    @pytest.mark.parametrize("code", [403, 429])
    def test_too_long_a_wait_is_given_up_at_once(
        self, github: ScriptedForge, headers: dict[str, str], code: int
    ) -> None:
        github.rule("POST", "/releases", said(code, {"message": "rate limit"}, **headers), last=99)
        forge = client(github)
        error = failing(forge)
        assert isinstance(error, ForgeError) and error.temporary and "left alone for" in error.message
        assert "dsci release" in error.hint
        assert not forge.clock.slept and len(github.written) == 1

    def test_headers_of_no_form_are_no_limit(self, github: ScriptedForge) -> None:
        headers = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "soon", "Retry_After": "never"}
        github.rule("POST", "/releases", said(403, {"message": "no"}, **headers), last=99)
        assert type(failing(client(github))) is AuthError


class TestRaces:
    @pytest.mark.parametrize("racing", [False, True])
    def test_two_publishers_make_one_page(self, server: ScriptedForge, racing: bool) -> None:
        server.meet = Barrier(2)
        server.racing = racing  # type: ignore[attr-defined]
        with ThreadPoolExecutor(2) as pool:
            wrote = sorted(pool.map(lambda forge: forge.publish(RELEASE), [client(server), client(server)]))
        assert wrote == [False, True]
        assert [notes(page) for page in server.pages.values()] == [RELEASE.notes]
        assert [seen.method for seen in server.written] == ["POST", "POST"]

    def test_the_slower_one_corrects_other_notes(self, server: ScriptedForge) -> None:
        server.meet = Barrier(2)
        other = replace(RELEASE, notes="other notes")
        with ThreadPoolExecutor(2) as pool:
            wrote = list(pool.map(lambda item: client(server).publish(item), [RELEASE, other]))
        assert wrote == [True, True]
        assert len(server.pages) == 1 and len(server.written) == 3
        assert [notes(page) for page in server.pages.values()] == [text(server.written[-1])]

    def test_somebody_was_faster_and_cannot_be_seen_yet(self, server: ScriptedForge) -> None:
        """A replica that is behind: refused, absent, and there at the next try."""

        def faster(seen: Seen) -> Answer:
            server.act(seen)
            return server.act(seen)

        server.rule("POST", "/releases", faster)
        hidden = said(404, {"message": "404 Not Found"})
        server.rule("GET", "/releases/", hidden, first=2, last=2)
        if server.kind == "github":
            nothing = {"data": {"repository": {"release": None, "ref": {"name": "x"}}}}
            server.rule("POST", "/graphql", said(200, nothing), first=2, last=2)
        assert client(server).publish(RELEASE) is False
        assert len(server.pages) == 1 and len(server.written) == 1


class TestWho:
    @pytest.mark.parametrize("kind", ["github", "gitlab"])
    def test_no_token(self, kind: Any) -> None:
        place = Where(kind=kind, api="https://forge.example", project="a/b")
        with pytest.raises(AuthError) as caught:
            connect(place, None, network=Network())
        assert caught.value.exit_code == 5
        for word in (
            ("contents: write", "GITHUB_TOKEN") if kind == "github" else ("GITLAB_TOKEN", "api", "CI_JOB_TOKEN")
        ):
            assert word in caught.value.hint

    def test_connect_speaks_to_the_right_forge(self, server: ScriptedForge) -> None:
        place = Where(kind=server.kind, api=server.api, project=server.project)  # type: ignore[arg-type]
        key = Token(
            header="Authorization" if server.kind == "github" else "JOB-TOKEN", secret=SECRET, source="THE_VARIABLE"
        )
        forge = connect(place, key, network=Network())
        assert forge.publish(RELEASE) is True
        forge.close()
        assert "CANARY" not in f"{key!r} {key} {forge!r} {place!r}"

    def test_a_token_that_is_refused(self, server: ScriptedForge) -> None:
        error = failing(client(server, "ghp_WRONGCANARY"))
        assert isinstance(error, AuthError) and "THE_VARIABLE" in error.message and error.hint
        assert len(server.seen) == 1

    def test_a_token_that_may_only_read(self, server: ScriptedForge) -> None:
        error = failing(client(server, READONLY))
        assert isinstance(error, AuthError) and "403" in error.message and "THE_VARIABLE" in error.message
        assert len(server.written) == 1

    def test_a_project_that_is_not_there_or_not_to_be_seen(self, server: ScriptedForge) -> None:
        assert isinstance(failing(client(server, project="acme/other")), AuthError)
        assert not server.pages

    def test_an_echoed_token_is_not_shown(self, server: ScriptedForge) -> None:
        server.rule(
            "POST", "/releases", said(422, {"message": f"bad token {SECRET}\x1b[31m", "errors": [SECRET]}), last=9
        )
        error = failing(client(server))
        assert "***" in error.message and error.message.isprintable()


class TestRedirects:
    @pytest.mark.parametrize("code", [301, 302, 307, 308])
    def test_a_renamed_repository_keeps_method_and_body(self, github: ScriptedForge, code: int) -> None:
        def moved(seen: Seen) -> Answer:
            return Answer(code, {"Location": seen.path.replace("/repos/acme/images/", "/repositories/1/")})

        github.rule("GET", "/repos/.*/releases/", moved)
        github.rule("POST", "/repos/.*/releases", lambda seen: Answer(code, {"Location": "/repositories/1/releases"}))
        assert client(github).publish(RELEASE) is True
        assert [seen.method for seen in github.written] == ["POST", "POST"]
        assert [page["body"] for page in github.pages.values()] == [RELEASE.notes]

    @pytest.mark.parametrize("method", ["GET", "POST"])
    @pytest.mark.parametrize("code", [301, 307])
    def test_no_other_host_is_asked(
        self, server: ScriptedForge, start: Callable[..., ScriptedForge], method: str, code: int
    ) -> None:
        other = start(server.kind)
        server.rule(method, "/releases", Answer(code, {"Location": f"http://{other.host}/elsewhere"}), last=9)
        error = failing(client(server))
        assert isinstance(error, ForgeError) and other.host in error.message and "address" in error.hint
        assert not other.seen and not server.pages
        assert len(server.requests(method, "/releases")) == 1

    def test_round_and_round(self, server: ScriptedForge) -> None:
        server.rule("GET", "/releases", lambda seen: Answer(302, {"Location": seen.path}), last=99)
        assert "redirects" in failing(client(server)).message
        assert len(server.seen) == 6

    @pytest.mark.parametrize(
        "location",
        [
            "http://forge.example/next",
            "https://forge.example:8443/next",
            "https://me@forge.example/next",
            "https://forge.example.evil/next",
            "//evil.example/next",
            "ftp://forge.example/next",
            "http://[evil",
            "",
        ],
    )
    def test_where_it_never_goes(self, location: str) -> None:
        with pytest.raises(DsciError) as caught:
            redirected("GET it", "https://forge.example/here", location)
        assert "GET it" in caught.value.message

    @pytest.mark.parametrize("location", ["/next", "next", "https://forge.example:443/next", "//FORGE.example/next#x"])
    def test_where_it_goes(self, location: str) -> None:
        assert redirected("GET it", "https://forge.example/here", location).lower().endswith("/next")


HOSTILE_ANSWERS: dict[str, bytes] = {
    "a login page": b"<html>sign in</html>",
    "nothing": b"",
    "a list": b"[]",
    "another tag": dump({"id": 1, "tag_name": "other", "name": "", "body": ""}),
    "nested": b'{"message":' * 3000 + b"1" + b"}" * 3000,
    "a huge number": b'{"id": ' + b"9" * 9000 + b"}",
    "no text": b"\xff\xfe\x00",
    "over the limit": b" " * (9 * 1024 * 1024),
}


class TestAnswers:
    @pytest.mark.parametrize("name", HOSTILE_ANSWERS)
    def test_what_is_no_page_is_not_believed(self, server: ScriptedForge, name: str) -> None:
        server.rule("GET", "/releases", Answer(200, dict(JSON), HOSTILE_ANSWERS[name]), last=99)
        error = failing(client(server))
        assert isinstance(error, ForgeError) and not error.temporary
        assert not server.written

    @pytest.mark.parametrize("name", HOSTILE_ANSWERS)
    def test_an_error_of_no_form_is_an_error(self, server: ScriptedForge, name: str) -> None:
        server.rule("POST", "/releases", Answer(418, dict(JSON), HOSTILE_ANSWERS[name]), last=99)
        assert isinstance(failing(client(server)), ForgeError)

    def test_a_creation_that_is_answered_by_something_else(self, server: ScriptedForge) -> None:
        server.rule("POST", "/releases", Answer(200, {"Content-Type": "text/html"}, b"<html>sign in</html>"))
        assert "none of the API's" in failing(client(server)).message

    @pytest.mark.parametrize("value", [None, {"data": []}, {"data": {"repository": []}}])
    def test_graphql_of_no_form(self, github: ScriptedForge, value: object) -> None:
        github.rule("POST", "/graphql", said(200, value))
        assert "none of the API's" in failing(client(github)).message
        assert not github.written

    @pytest.mark.parametrize("number", [None, "1/../../2", 1.5, [1]])
    def test_a_number_that_is_none(self, github: ScriptedForge, number: object) -> None:
        github.rule("GET", "/releases/", said(200, {"id": number, "tag_name": TAG, "name": "x", "body": "y"}))
        assert "none of the API's" in failing(client(github)).message
        assert not github.written

    def test_gitlab_says_what_is_wrong_with_a_field(self, gitlab: ScriptedForge) -> None:
        gitlab.rule("POST", "/releases", said(400, {"message": {"tag_name": ["is invalid"]}}))
        assert '"is invalid"' in failing(client(gitlab)).message


class TestNotes:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("a\x1b[31mred\x1b[0m\x00\x07 line\r\nnext\x9b\x7f", "ared line\nnext"),
            ("hello @everyone and @octocat", "hello @everyone and @octocat"),
            (
                '<script>alert(1)</script> "quoted" \\n {"body": 1}',
                '<script>alert(1)</script> "quoted" \\n {"body": 1}',
            ),
            ("naïve 🐍 \udcff\ud800", "naïve 🐍 "),
            ("", ""),
        ],
    )
    def test_hostile_notes_are_text_and_nothing_else(self, server: ScriptedForge, given: str, kept: str) -> None:
        release = replace(RELEASE, notes=given)
        assert client(server).publish(release) is True
        assert [notes(page) for page in server.pages.values()] == [kept]
        assert set(json.loads(server.written[0].body)) == (
            {"tag_name", "name", "body", "draft", "prerelease", "make_latest"}
            if server.kind == "github"
            else {"tag_name", "name", "description"}
        )
        assert client(server).publish(release) is False

    @pytest.mark.parametrize("letter", ["x", "é", "🐍"])
    def test_long_notes_are_cut_at_a_line_and_say_so(self, server: ScriptedForge, letter: str) -> None:
        line = f"- {letter * 60}\n"
        release = replace(RELEASE, notes=line * (200_000 // 60 if server.kind == "github" else 2_000_000 // 60))
        assert client(server).publish(release) is True
        [page] = server.pages.values()
        body, _, sentence = notes(page).rstrip("\n").rpartition("\n")
        assert sentence.startswith("*These notes are cut here: Git")
        assert set(body.rstrip("\n").splitlines()) == {line.rstrip("\n")}
        kept = len(notes(page).encode("utf-16-le" if server.kind == "github" else "utf-8"))
        assert 0.99 < kept / (250_000 if server.kind == "github" else 1_000_000) <= 1
        assert client(server).publish(release) is False

    def test_what_just_fits_is_not_cut(self, github: ScriptedForge) -> None:
        client(github).publish(replace(RELEASE, notes="x" * 125_000))
        assert [page["body"] for page in github.pages.values()] == ["x" * 125_000]

    @pytest.mark.parametrize(
        ("head", "closed"),
        [
            ("```python\n", "```"),
            ("~~~~\n", "~~~~"),
            ("```\ncode\n```\n", ""),
            ("````\n```\n", "````"),
            ("```inline``` text\n", ""),
            ("    ```\n", ""),
            ("~~~ a\n```\n", "~~~"),
            ("`" * 90 + "\n", ""),
        ],
    )
    def test_an_open_block_of_code_is_closed(self, head: str, closed: str) -> None:
        made = cut(head + "line\n" * 500, limit=1000, codec="utf-8", sentence="*cut*")
        assert made.endswith(f"line\n{closed}\n\n*cut*\n" if closed else "line\n\n*cut*\n")
        assert len(made) <= 1000

    @pytest.mark.parametrize("codec", ["utf-8", "utf-16-le"])
    def test_one_long_line_is_cut_within(self, codec: str) -> None:
        made = cut("# title\n" + "🐍" * 5000, limit=1000, codec=codec, sentence="*cut*")
        assert made.startswith("# title\n🐍🐍") and made.endswith("🐍\n\n*cut*\n")
        assert 800 < len(made.encode(codec)) <= 1000

    def test_fences_without_end_take_no_time(self) -> None:
        began = time.monotonic()
        cut("`" * 3_000_000, limit=2_000_000, codec="utf-8", sentence="*cut*")
        cut("```\n" * 700_000, limit=2_000_000, codec="utf-8", sentence="*cut*")
        assert time.monotonic() - began < 5


ACTIONS = {
    "GITHUB_API_URL": "https://api.github.com",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/images",
}
PIPELINE = {"CI_API_V4_URL": "https://git.acme.example/gitlab/api/v4", "CI_PROJECT_PATH": "acme/data/images"}
GITHUB = Where(kind="github", api="https://api.github.com", project="acme/images")
GITLAB = Where(kind="gitlab", api="https://gitlab.com/api/v4", project="acme/data/images")
SELF = Where(kind="gitlab", api="https://git.acme.example/gitlab/api/v4", project="acme/data/images")
SERVER = Where(kind="github", api="https://git.acme.example/api/v3", project="acme/images")


class TestWhere:
    @pytest.mark.parametrize(
        ("origin", "configured", "expected"),
        [
            ("https://github.com/acme/images", "auto", GITHUB),
            ("https://github.com/acme/images.git/", "auto", GITHUB),
            ("http://www.github.com/acme/images.git", "auto", GITHUB),
            ("https://GitHub.com:443/acme/images.git", "auto", GITHUB),
            ("git@github.com:acme/images.git", "auto", GITHUB),
            ("github.com:/acme/images", "auto", GITHUB),
            ("ssh://git@github.com/acme/images.git", "auto", GITHUB),
            ("ssh://github.com:22/acme/images.git", "auto", GITHUB),
            ("ssh://git@ssh.github.com:443/acme/images.git", "auto", GITHUB),
            ("git+ssh://git@github.com/acme/images.git", "auto", GITHUB),
            ("git@github.com:acme/images.git", "github", GITHUB),
            ("git@github.com:acme/images.git", "gitlab", None),
            ("git@gitlab.com:acme/data/images.git", "auto", GITLAB),
            ("https://gitlab.com/acme/data/images", "auto", GITLAB),
            ("ssh://git@altssh.gitlab.com:443/acme/data/images.git", "auto", GITLAB),
            ("https://gitlab.com/acme/data/images", "github", None),
            ("git@acme.ghe.com:acme/images", "auto", replace(GITHUB, api="https://api.acme.ghe.com")),
            ("git@git.acme.example:acme/images", "auto", None),
            ("git@git.acme.example:acme/images", "github", SERVER),
            ("ssh://git@git.acme.example:2222/acme/images.git", "github", SERVER),
            (
                "https://git.acme.example:8443/acme/data/images.git",
                "gitlab",
                replace(GITLAB, api="https://git.acme.example:8443/api/v4"),
            ),
            ("http://[::1]:80/acme/data/images", "gitlab", replace(GITLAB, api="http://[::1]:80/api/v4")),
            (
                "http://git.lan/acme/images",
                "gitlab",
                Where(kind="gitlab", api="http://git.lan/api/v4", project="acme/images"),
            ),
            ("https://github.com/acme", "auto", None),
            ("https://github.com/acme/images/more", "auto", None),
            ("https://github.com/acme/..", "auto", None),
            ("https://github.com/acme/im%2Fages", "auto", None),
            ("https://github.com.evil.example/acme/images", "auto", None),
            ("https://evil.example/github.com/acme/images", "auto", None),
            ("https://evil.example#@github.com/acme/images", "auto", None),
            ("https://evil.example\\@github.com:1/acme/images", "github", GITHUB),
            ("git://github.com/acme/images", "auto", None),
            ("file:///srv/github.com/acme/images", "auto", None),
            ("/srv/git/images.git", "github", None),
            ("../images", "github", None),
            ("C:/work/images", "github", None),
            ("C:\\work\\images", "github", None),
            ("git@git[.example:acme/images", "github", None),
            ("https://[::1/acme/images", "github", None),
            ("https://git.example:99999/acme/images", "github", None),
            ("https://ex\u2100mple/acme/images", "github", None),
            ("https://ex ample/acme/images", "github", None),
            ("https://github.com/" + "a" * 5000 + "/b", "auto", None),
            ("", "github", None),
            (None, "github", None),
        ],
    )
    def test_from_the_remote(self, origin: str | None, configured: str, expected: Where | None) -> None:
        assert where(origin, {}, configured) == expected

    @pytest.mark.parametrize(
        ("environment", "configured", "expected"),
        [
            (ACTIONS, "auto", GITHUB),
            ({**ACTIONS, "GITHUB_API_URL": "https://api.github.com/"}, "auto", GITHUB),
            ({**ACTIONS, "GITHUB_API_URL": ""}, "auto", GITHUB),
            ({**ACTIONS, "GITHUB_API_URL": "https://git.acme.example/api/v3"}, "auto", SERVER),
            ({**ACTIONS, "GITHUB_API_URL": "", "GITHUB_SERVER_URL": "https://git.acme.example"}, "auto", SERVER),
            (
                {**ACTIONS, "GITHUB_API_URL": "", "GITHUB_SERVER_URL": "https://acme.ghe.com"},
                "auto",
                replace(GITHUB, api="https://api.acme.ghe.com"),
            ),
            (PIPELINE, "auto", SELF),
            (PIPELINE, "gitlab", SELF),
            ({**ACTIONS, **PIPELINE}, "gitlab", SELF),
            ({**ACTIONS, **PIPELINE}, "auto", GITHUB),
            (PIPELINE, "github", None),
            (ACTIONS, "gitlab", GITLAB),
        ],
    )
    def test_from_the_job(self, environment: dict[str, str], configured: str, expected: Where | None) -> None:
        assert where("git@gitlab.com:acme/data/images.git", environment, configured) == expected

    @pytest.mark.parametrize(
        "environment",
        [
            {"GITHUB_REPOSITORY": "acme/images"},
            {"GITHUB_API_URL": "https://api.github.com"},
            {**ACTIONS, "GITHUB_REPOSITORY": "../.."},
            {**ACTIONS, "GITHUB_API_URL": "https://gitea.example/api/v1"},
            {**ACTIONS, "GITHUB_API_URL": "file:///etc/passwd"},
            {**ACTIONS, "GITHUB_API_URL": "https://me:secret@api.github.com"},
            {**ACTIONS, "GITHUB_API_URL": "https://api.github.com?x"},
            {**ACTIONS, "GITHUB_API_URL": "https://api.github.com:x"},
            {**ACTIONS, "GITHUB_API_URL": "https://[api"},
            {**PIPELINE, "CI_PROJECT_PATH": "images"},
            {**PIPELINE, "CI_API_V4_URL": "nonsense"},
        ],
    )
    def test_variables_that_tell_nothing(self, environment: dict[str, str]) -> None:
        assert where(None, environment) is None

    def test_a_forge_that_is_none(self) -> None:
        with pytest.raises(ConfigError, match="bitbucket"):
            where(None, {}, "bitbucket")


class TestToken:
    @pytest.mark.parametrize(
        ("place", "environment", "expected"),
        [
            (GITHUB, {}, None),
            (GITHUB, {"GITHUB_TOKEN": "a"}, "Authorization Bearer a GITHUB_TOKEN"),
            (GITHUB, {"GH_TOKEN": "b\n", "GITHUB_TOKEN": "a"}, "Authorization Bearer b GH_TOKEN"),
            (GITHUB, {"GH_TOKEN": " ", "GITHUB_TOKEN": "a"}, "Authorization Bearer a GITHUB_TOKEN"),
            (GITHUB, {"GH_ENTERPRISE_TOKEN": "c", "GITLAB_TOKEN": "d"}, None),
            (SERVER, {"GH_TOKEN": "b", "GITHUB_TOKEN": "a", **ACTIONS}, None),
            (SERVER, {"GH_ENTERPRISE_TOKEN": "c", "GH_TOKEN": "b"}, "Authorization Bearer c GH_ENTERPRISE_TOKEN"),
            (
                SERVER,
                {**ACTIONS, "GITHUB_API_URL": SERVER.api, "GITHUB_TOKEN": "a"},
                "Authorization Bearer a GITHUB_TOKEN",
            ),
            (GITLAB, {"GITHUB_TOKEN": "a"}, None),
            (GITLAB, {"GITLAB_TOKEN": "d"}, "PRIVATE-TOKEN d GITLAB_TOKEN"),
            (GITLAB, {"CI_JOB_TOKEN": "j"}, None),
            (GITLAB, {**PIPELINE, "CI_JOB_TOKEN": "j"}, None),
            (SELF, {**PIPELINE, "CI_JOB_TOKEN": "j"}, "JOB-TOKEN j CI_JOB_TOKEN"),
            (SELF, {**PIPELINE, "CI_JOB_TOKEN": "j", "GITLAB_TOKEN": "d"}, "PRIVATE-TOKEN d GITLAB_TOKEN"),
            (SELF, {**PIPELINE, "CI_JOB_TOKEN": "j", "GITLAB_TOKEN": "j"}, "JOB-TOKEN j GITLAB_TOKEN"),
        ],
    )
    def test_which(self, place: Where, environment: dict[str, str], expected: str | None) -> None:
        found = token(place, environment)
        assert (f"{found.header} {found.value} {found.source}" if found else None) == expected

    @pytest.mark.parametrize(("place", "name"), [(GITHUB, "GITHUB_TOKEN"), (GITLAB, "GITLAB_TOKEN")])
    @pytest.mark.parametrize("bad", ["CANARY\r\nX-Evil: 1", "CANARY two", "CANARYé", "CANARY" * 5000])
    def test_what_is_no_token(self, place: Where, name: str, bad: str) -> None:
        with pytest.raises(AuthError) as caught:
            token(place, {name: bad})
        assert name in caught.value.message and "CANARY" not in everything(caught.value)
