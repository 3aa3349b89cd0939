"""GitHub and GitLab in memory, as far as release pages go; misbehaving on request, like the registry they stand on."""

from __future__ import annotations

import json
import re
import threading
from typing import Any
from urllib.parse import unquote

from scripted import Answer, ScriptedRegistry, Seen

JSON = {"Content-Type": "application/json; charset=utf-8"}


def said(status: int, value: object, **headers: str) -> Answer:
    return Answer(status, {**JSON, **{name.replace("_", "-"): text for name, text in headers.items()}}, dump(value))


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


class ScriptedForge(ScriptedRegistry):
    """State: `tags`, `pages` by number, `latest` (GitHub's mark), `made`: tags that a page made."""

    base = ""
    kind = ""
    writes: tuple[tuple[str, str], ...] = ()

    def __init__(self, project: str, *tags: str, secret: str, readonly: str = "") -> None:
        super().__init__()
        self.project, self.secret, self.readonly = project, secret, readonly
        self.tags = {*tags}
        self.made: list[str] = []
        self.pages: dict[int, dict[str, Any]] = {}
        self.latest: int | None = None
        self.meet: threading.Barrier | None = None
        self.looks = 0

    @property
    def api(self) -> str:
        return f"http://{self.host}{self.base}"

    def answer(self, seen: Seen) -> Answer | str:
        answer = super().answer(seen)
        if self.meet is not None and seen.method == "GET":
            with self.lock:
                self.looks += 1
                first = self.looks <= self.meet.parties
            if first:  # both have looked before either writes
                self.meet.wait(10)
        return answer

    @property
    def written(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.method in ("POST", "PUT", "PATCH") and "/graphql" not in seen.path]

    def of(self, tag: str) -> list[dict[str, Any]]:
        return [page for page in self.pages.values() if page["tag_name"] == tag]

    def add(self, **page: Any) -> dict[str, Any]:
        number = len(self.pages) + 1
        self.pages[number] = {"id": number, **page}
        return self.pages[number]


class GitHubServer(ScriptedForge):
    kind = "github"

    def act(self, seen: Seen) -> Answer:
        shown = seen.authorization.removeprefix("Bearer ")
        if shown not in (self.secret, self.readonly) or not shown:
            return said(401, {"message": "Bad credentials"})
        if seen.path == ("/api/graphql" if self.base else "/graphql"):
            return self.graphql(json.loads(seen.body)["variables"])
        path = seen.path.removeprefix(self.base)
        path = path.replace("/repositories/1/", f"/repos/{self.project}/")
        match = re.fullmatch(rf"/repos/{re.escape(self.project)}/releases(?:/(tags/)?([^/]+))?", path)
        if not match:
            return said(404, {"message": "Not Found", "status": "404"})
        tags, rest = match[1], unquote(match[2] or "")
        if seen.method == "GET":
            found = [
                page
                for page in self.pages.values()
                if (page["tag_name"] == rest and not page["draft"] if tags else page["id"] == int(rest))
            ]
            return said(200, found[0]) if found else said(404, {"message": "Not Found"})
        if shown == self.readonly:
            return said(403, {"message": "Resource not accessible by integration"})
        return self.write(seen.method, rest, json.loads(seen.body))

    def write(self, method: str, rest: str, form: dict[str, Any]) -> Answer:
        def invalid(**error: str) -> Answer:
            return said(422, {"message": "Validation Failed", "errors": [{"resource": "Release", **error}]})

        if len(form["body"].encode("utf-16-le")) > 250_000:
            return invalid(code="custom", field="body", message="body is too long (maximum is 125000 characters)")
        if form["prerelease"] and form["make_latest"] == "true":
            return invalid(code="invalid", field="make_latest")
        take = form.pop("make_latest")
        if method == "POST":
            if any(not page["draft"] for page in self.of(form["tag_name"])):
                return invalid(code="already_exists", field="tag_name")
            if form["tag_name"] not in self.tags:
                self.tags.add(form["tag_name"])
                self.made.append(form["tag_name"])
            page = self.add(**form)
        else:
            page = self.pages[int(rest)]
            page.update(form)
        if take == "true":
            self.latest = page["id"]
        elif take == "false" and self.latest == page["id"]:
            self.latest = None
        return said(201 if method == "POST" else 200, page)

    def graphql(self, variables: dict[str, str]) -> Answer:
        if f"{variables['owner']}/{variables['name']}" != self.project:
            error = {"type": "NOT_FOUND", "path": ["repository"], "message": "Could not resolve to a Repository"}
            return said(200, {"data": {"repository": None}, "errors": [error]})
        pages = self.of(variables["tag"])
        ref = {"name": variables["tag"]} if variables["ref"].removeprefix("refs/tags/") in self.tags else None
        release = {"databaseId": pages[0]["id"]} if pages else None
        return said(200, {"data": {"repository": {"release": release, "ref": ref}}})


class GitLabServer(ScriptedForge):
    kind = "gitlab"
    base = "/api/v4"
    racing = False
    """Whether a second creation is refused as when both were checked before either was saved."""

    def act(self, seen: Seen) -> Answer:
        shown = seen.headers.get("PRIVATE-TOKEN") or seen.headers.get("JOB-TOKEN") or ""
        if shown not in (self.secret, self.readonly) or not shown:
            return said(401, {"message": "401 Unauthorized"})
        match = re.fullmatch(r"/api/v4/projects/([^/]+)/releases(?:/([^/]+))?", seen.path)
        if not match or unquote(match[1]) != self.project:
            return said(404, {"message": "404 Project Not Found"})
        tag = unquote(match[2] or "")
        if seen.method == "GET":
            return said(200, self.of(tag)[0]) if self.of(tag) else said(404, {"message": "404 Not Found"})
        if shown == self.readonly:
            return said(403, {"message": "403 Forbidden"})
        form = json.loads(seen.body)
        if len(form["description"]) > 1_000_000:
            return said(400, {"message": {"description": ["is too long (maximum is 1000000 characters)"]}})
        if "\0" in form["description"]:
            return said(400, {"error": "description contains null byte"})
        if seen.method == "PUT":
            self.of(tag)[0].update(form)
            return said(200, self.of(tag)[0])
        if self.of(form["tag_name"]):
            if self.racing:
                return said(400, {"message": "Validation failed: Tag has already been taken"})
            return said(409, {"message": "Release already exists"})
        if form["tag_name"] not in self.tags:
            return said(422, {"message": "Ref is not specified"})
        return said(201, self.add(**form))
