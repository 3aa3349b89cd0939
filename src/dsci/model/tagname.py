"""Any text becomes a legal tag, and two different refs never the same one.

What a user wrote into a rule is mapped as docker/metadata-action maps it. What a branch, a Git tag or a request brings
is foreign: where its name cannot be kept as it is, or could be taken for another's, a hash of it tells it apart. Which
texts a name is put together from is `tagparts`' to know.

Source of the grammar: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from dsci.model.hashing import sha256

#: Tags that begin so are dsci's own: content keys, receipts, release indexes.
RESERVED = "dsci-"
_LIMIT = 128
_DIGITS = 12
_ILLEGAL = re.compile(r"[^A-Za-z0-9_.-]+")
_HASHED = re.compile(r"-[0-9a-f]{12}\Z")
#: `1.4`, `v2`; three numbers and what follows; two (a calendar version may have no more) and what follows but a point.
VERSION = r"[vV]?[0-9]+(?:(?:\.[0-9]+)*|(?:\.[0-9]+){2,}[^0-9].*|\.[0-9]+[^0-9.].*)"
_VERSION = re.compile(VERSION, re.DOTALL)
_OTHERS = re.compile(r"(?:latest|edge|nightly)|(?:pr-[0-9]|sha-|dsci-).*", re.DOTALL)


class Piece(msgspec.Struct, frozen=True):
    """A stretch of a name to be. `foreign` is what a ref brought, `closing` what ends in a commit's id."""

    text: str
    foreign: bool = False
    closing: bool = False


def legal(text: str) -> str:
    """The text with runs of illegal characters as `-`, and none of what a tag cannot begin with; perhaps nothing."""
    return _ILLEGAL.sub("-", text).lstrip(".-")


def like_a_version(name: str) -> bool:
    """Whether a tag reads as a version or the beginning of one."""
    return _VERSION.fullmatch(name) is not None


def like_another(name: str) -> bool:
    """Whether a tag reads as what no branch is: a version, a request, a commit, a common float, dsci's own."""
    return like_a_version(name) or _OTHERS.fullmatch(name) is not None


def assemble(pieces: Sequence[Piece], taken: Callable[[str], bool]) -> str:
    """The tag that these pieces make; "" where nothing legal is left of them.

    `taken` tells the names that are another's: one that holds a foreign piece keeps clear of them, and of the names
    that any other foreign piece makes in its place.
    """
    name = legal("".join(_ILLEGAL.sub("-", piece.text) for piece in pieces))
    foreign = [piece for piece in pieces if piece.foreign]
    kept = all(piece.text == legal(piece.text) and not _HASHED.search(piece.text) for piece in foreign)
    if foreign and not pieces[-1].closing:
        kept = kept and not _HASHED.search(name)

    def free(name: str) -> bool:
        return not name.startswith(RESERVED) and not (foreign and taken(name))

    if not name and not foreign:
        return ""
    if kept and len(name) <= _LIMIT and free(name):
        return name
    hashed = _told_apart(name, pieces)
    return hashed if free(hashed) else _told_apart(f"ref-{name}", pieces)


def suffixed(name: str, suffix: str) -> str:
    """A tag with the suffix of a variant behind it; what would become too long is cut, and told apart by a hash."""
    room = _LIMIT - len(suffix)
    return f"{name if len(name) <= room else _told_apart(name, [Piece(name)], room)}{suffix}"


def _told_apart(name: str, pieces: Sequence[Piece], limit: int = _LIMIT) -> str:
    """The name, cut where it must be, with a hash of what it was made from. No ref ends so and keeps its name."""
    original = "\0".join(piece.text for piece in pieces)
    digest = sha256(original.encode(errors="surrogatepass"))[:_DIGITS]
    return f"{name[: limit - _DIGITS - 1].rstrip('.-') or 'ref'}-{digest}"
