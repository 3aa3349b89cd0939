"""One HTTP request to a container. Nothing of this machine goes along: no proxy, no credentials, no cookies."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from dsci.model.text import line
from dsci.ports import Answer, Question

if TYPE_CHECKING:
    import requests

_REDIRECTS = 10
_CHUNK = 64 * 1024


def ask(question: Question, address: tuple[str, int], timeout: float, limit: int) -> Answer | str:
    """Ask once, for at most `timeout` seconds, and take `limit` bytes of the body; a text says why nothing came."""
    import requests
    import urllib3

    host, port = address
    base = f"{'https' if question.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    deadline = time.monotonic() + timeout
    with requests.Session() as session:
        session.trust_env = False
        session.verify = False
        if question.tls:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        try:
            return _asked(session, question, base, deadline, limit)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            return f"no answer: {line(str(error), 300)}"


def _asked(session: requests.Session, question: Question, base: str, deadline: float, limit: int) -> Answer | str:
    url, method, body = base + question.path, question.method, question.body or None
    for _ in range(_REDIRECTS):
        with session.request(
            method,
            url,
            data=body,
            headers=dict(question.headers),
            timeout=max(0.1, deadline - time.monotonic()),
            allow_redirects=False,
            stream=True,
        ) as answer:
            if not (question.follow and answer.is_redirect):
                return _answer(answer, deadline, limit)
            url = urljoin(url, answer.headers["Location"])
            # What a container says must lead to the container again.
            if urlsplit(url)[:2] != urlsplit(base)[:2]:
                return f"it leads elsewhere: {line(url, 200)}"
            # Source: https://www.rfc-editor.org/rfc/rfc9110#section-15.4
            if answer.status_code in (301, 302, 303) and method != "HEAD":
                method, body = "GET", None
    return f"it leads on more than {_REDIRECTS} times"


def _answer(answer: requests.Response, deadline: float, limit: int) -> Answer | str:
    content, whole = bytearray(), True
    for chunk in answer.iter_content(_CHUNK):
        content += chunk
        if len(content) > limit:
            whole = False
            break
        if time.monotonic() > deadline:
            return "its body did not come to an end in time"
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Answer(status=answer.status_code, headers=headers, body=bytes(content[:limit]), whole=whole)
