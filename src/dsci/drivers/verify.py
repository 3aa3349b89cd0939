"""Bytes that prove what they are before the last of them is handed over.

A reader that stops at the end of a stream has already used it; so the last chunk is held back until size and digest are
known to be right. Registries, layouts and archives all pass their blobs through here.

Source: https://github.com/google/go-containerregistry/blob/main/internal/verify/verify.go (the same rule).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from dsci.errors import RegistryError
from dsci.model.oci import Descriptor

#: How much of a blob is in memory at a time.
CHUNK = 64 * 1024


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The rest of a stream, piece by piece."""
    while chunk := stream.read(CHUNK):
        yield chunk


def verified(pieces: Iterable[bytes], blob: Descriptor, where: str, *, remote: bool = False) -> Iterator[bytes]:
    """The same pieces; raises RegistryError instead of giving the last one when they are not this blob.

    Too few bytes from a `remote` place are a temporary failure (a connection was cut), other bytes never are. No piece
    is empty.
    """
    hasher = hashlib.new(blob.digest.algorithm)
    size, held = 0, b""
    try:
        for piece in pieces:
            if not piece:
                continue
            size += len(piece)
            if size > blob.size:
                raise RegistryError(
                    f"{where} has more than the {blob.size} bytes announced for {blob.digest}", hint=_HINT
                )
            hasher.update(piece)
            if held:
                yield held
            held = piece
    except OSError as error:
        raise RegistryError(f"cannot read {where}: {error.strerror or type(error).__name__}") from None
    if size < blob.size:
        raise RegistryError(
            f"{where} ended after {size} of the {blob.size} bytes of {blob.digest}", hint=_HINT, temporary=remote
        )
    if hasher.hexdigest() != blob.digest.hex:
        raise RegistryError(f"{where} holds other bytes than {blob.digest} says", hint=_HINT)
    if held:
        yield held


_HINT = "something on the way alters content, or the store is damaged: do not use it"
