"""Layers made by hand, and images of them as older engines save them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_KINDS = {
    "file": tarfile.REGTYPE,
    "folder": tarfile.DIRTYPE,
    "link": tarfile.SYMTYPE,
    "hard": tarfile.LNKTYPE,
    "pipe": tarfile.FIFOTYPE,
    "device": tarfile.CHRTYPE,
}
Member = tuple[tarfile.TarInfo, bytes]


def member(
    name: str, kind: str = "file", what: str | bytes = "", *, mode: int | None = None, uid: int = 0, gid: int = 0
) -> Member:
    """One member of a layer; `what` is a file's content, or where a link leads."""
    info = tarfile.TarInfo(name)
    info.type, info.uid, info.gid = _KINDS[kind], uid, gid
    info.mode = {"file": 0o644, "link": 0o777}.get(kind, 0o755) if mode is None else mode
    content = b""
    if kind in ("link", "hard"):
        info.linkname = str(what)
    else:
        content = what.encode() if isinstance(what, str) else what
    info.size = len(content)
    return info, content


def layer(*members: Member) -> bytes:
    """A layer's tar, not compressed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def save(
    path: Path,
    layers: Sequence[bytes],
    config: Mapping[str, Any],
    *,
    name: str = "",
    links: Mapping[str, str] | None = None,
) -> Path:
    """An image as `docker save` wrote it before it knew of OCI layouts; `links` are links to the first layer."""
    unpacked = [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers]
    made = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [*unpacked, *(unpacked[0] for _ in links or ())]},
    }
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    described = [{"Config": "config.json", "RepoTags": [name] if name else [], "Layers": [*names, *(links or ())]}]
    with tarfile.open(path, "w") as tar:
        for info, content in (
            *(member(place, what=content) for place, content in zip(names, layers, strict=True)),
            *(member(place, "link", to) for place, to in (links or {}).items()),
            member("config.json", what=json.dumps(made)),
            member("manifest.json", what=json.dumps(described)),
        ):
            tar.addfile(info, io.BytesIO(content))
    return path
