"""What should not be among an image's files: secrets, and what package managers leave behind. Nothing runs for it.

Only the names say what is looked into, so most of an image is not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from dsci.model.secretname import is_secret
from dsci.ports import FileEntry

#: How much of a suspicious file is looked at, in bytes.
_LIMIT = 64 * 1024
#: Files that hold secrets by their nature, and what makes one of it; None where the name is enough.
#: Sources: the tools' own documentation of where they keep credentials.
_SECRET_FILES: tuple[tuple[re.Pattern[str], re.Pattern[bytes] | None], ...] = (
    (
        re.compile(r"/(id_(rsa|dsa|ecdsa|ed25519)(_sk)?|.+\.(pem|key|p8|ppk))\Z"),
        re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY"),
    ),
    (re.compile(r"/\.?_?netrc\Z"), re.compile(rb"\bpassword\s+\S")),
    (re.compile(r"/\.git-credentials\Z"), re.compile(rb"://[^/\s:]+:[^@\s]+@")),
    (re.compile(r"/\.pypirc\Z"), re.compile(rb"(?m)^\s*password\s*[=:]\s*\S")),
    (re.compile(r"/pip\.conf\Z"), re.compile(rb"://[^/\s:]+:[^@\s]+@")),
    (re.compile(r"/(\.npmrc|\.yarnrc\.yml)\Z"), re.compile(rb"(_authToken|_password|npmAuthToken)\s*[=:]\s*[^\s$]")),
    (re.compile(r"/\.docker/config\.json\Z"), re.compile(rb'"(auth|identitytoken|password)"\s*:\s*"[^"]')),
    (re.compile(r"/\.aws/credentials\Z"), re.compile(rb"aws_secret_access_key\s*=\s*\S")),
    (re.compile(r"/\.config/gcloud/(application_default_credentials\.json|credentials\.db)\Z"), None),
    (re.compile(r"/\.azure/(accessTokens\.json|msal_token_cache\.(json|bin))\Z"), None),
    (re.compile(r"/\.kube/config\Z"), re.compile(rb"(client-key-data|token|password):\s*\S")),
    (re.compile(r"/\.(huggingface|cache/huggingface)/(stored_tokens|token)\Z"), None),
    (re.compile(r"/\.kaggle/kaggle\.json\Z"), None),
    (re.compile(r"/\.Renviron\Z"), re.compile(rb"(?m)^\s*[A-Z_]*(PAT|TOKEN|SECRET|PASSWORD|KEY)\s*=\s*\S")),
    (
        re.compile(r"/(\.env(\.[a-z]+)?|credentials\.json|service[-_]account.*\.json)\Z"),
        re.compile(rb"(?i)-----BEGIN [A-Z ]*PRIVATE KEY|(secret|token|password|api_?key)[A-Z_]*\s*=\s*[^\s$]"),
    ),
)
#: Keys of tests and examples, which the packages that bring them publish themselves.
_PUBLIC = re.compile(r"/(site-packages|dist-packages|node_modules|usr/share|usr/lib|pkgs)/.*")

#: What is left behind, by the folder that it lies in, and how to have none of it.
_CACHES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(/root|/home/[^/]+)/\.cache/pip/"), "pip's cache: pip install --no-cache-dir"),
    (re.compile(r"(/root|/home/[^/]+)/\.cache/uv/"), "uv's cache: uv --no-cache, or a cache mount"),
    (re.compile(r"(/root|/home/[^/]+)/\.cache/pypoetry/"), "Poetry's cache: a cache mount"),
    (re.compile(r"(/root|/home/[^/]+)/\.(npm/_cacache|cache/yarn)/"), "npm's cache: npm cache clean --force"),
    (
        re.compile(r"/var/lib/apt/lists/.+_(Packages|InRelease|Release|Translation-[a-z_A-Z]+)(\.[a-z0-9]+)?\Z"),
        "apt's lists: rm -rf /var/lib/apt/lists/*",
    ),
    (re.compile(r"/var/cache/apt/(archives/.+\.deb|.+\.bin)\Z"), "apt's cache: apt-get clean"),
    (re.compile(r"/var/cache/(apk|dnf|yum)/.+"), "the package manager's cache: clean it in the same step"),
    (re.compile(r"/pkgs/[^/]+\.(conda|tar\.bz2)\Z"), "conda's packages: conda clean --all --yes"),
    (re.compile(r"/tmp/(Rtmp|pip-|tmp|npm-)[^/]*/"), "what was left in /tmp: remove it in the same step"),
    (re.compile(r"/tmp/downloaded_packages/"), "R's downloads: remove /tmp/downloaded_packages in the same step"),
)


def secrets(files: Iterable[tuple[str, FileEntry]], read: Callable[[str, int], bytes | None]) -> Iterator[str]:
    """Files that look like secrets."""
    for path, entry in files:
        if entry.kind != "file" or not entry.size or _PUBLIC.match(path):
            continue
        for named, content in _SECRET_FILES:
            if named.search(path) and (content is None or content.search(read(path, _LIMIT) or b"")):
                yield f"{path} looks like a secret"
                break


def secret_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Variables of the image that look like secrets; their values are told nowhere."""
    for name, value in sorted(environment.items()):
        if is_secret(name, value):
            yield f"the variable {name} looks like a secret, and everybody who has the image can read it"


def caches(files: Iterable[tuple[str, FileEntry]]) -> list[str]:
    """What package managers left, with its size and how to have none of it."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for path, entry in files:
        if entry.kind != "file":
            continue
        for where, cure in _CACHES:
            if match := where.search(path):
                place = match[0] if match[0].endswith("/") else f"{path.rpartition('/')[0]}/"
                count, size = found.get((place, cure), (0, 0))
                found[place, cure] = (count + 1, size + entry.size)
                break
    return [
        f"{place} has {count} file{'s' if count > 1 else ''} of {size / 1e6:.1f} MB ({cure})"
        for (place, cure), (count, size) in sorted(found.items())
    ]
