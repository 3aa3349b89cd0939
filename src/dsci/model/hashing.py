"""SHA-256 of bytes that are at hand. What hashes a stream holds its own hash object.

OpenSSL is loaded when the first hash is wanted: `dsci version` wants none, and would pay 3 ms at each start for it.
"""

from __future__ import annotations


def sha256(content: bytes) -> str:
    """64 hexadecimal digits."""
    import hashlib

    return hashlib.sha256(content).hexdigest()
