"""Protocol Buffers on the wire, as far as two calls of BuildKit need them: messages as lists of numbered fields.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

Field = tuple[int, int | str | bytes]


def encode(*fields: Field) -> bytes:
    """A message of these fields: integers as varints, text and messages with their length before them."""
    result = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            result += _varint(number << 3) + _varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            result += _varint(number << 3 | 2) + _varint(len(data)) + data
    return bytes(result)


class Message:
    """A message that came in. What was not sent is empty."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._fields: dict[int, list[int | bytes]] = {}
        while self._at < len(data):
            key = self._integer()
            self._fields.setdefault(key >> 3, []).append(self._value(key & 7))

    def all(self, number: int) -> list[bytes]:
        """Every value of a repeated field of text, bytes or messages."""
        return [value for value in self._fields.get(number, ()) if isinstance(value, bytes)]

    def messages(self, number: int) -> list[Message]:
        """Every value of a repeated field of messages."""
        return [Message(value) for value in self.all(number)]

    def message(self, number: int) -> Message:
        """A message in a field."""
        return Message((self.all(number) or [b""])[-1])

    def text(self, number: int) -> str:
        """A field of text."""
        return (self.all(number) or [b""])[-1].decode()

    def integer(self, number: int) -> int:
        """A signed integer; 0 where there is none."""
        value = self._fields.get(number, [0])[-1]
        assert isinstance(value, int)
        return value - (1 << 64) if value >> 63 else value

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def _integer(self) -> int:
        result = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            result |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return result

    def _value(self, kind: int) -> int | bytes:
        if kind == 0:
            return self._integer()
        size = {1: 8, 5: 4}[kind] if kind != 2 else self._integer()
        value = self._data[self._at : self._at + size]
        self._at += size
        return value


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    result.append(value)
    return bytes(result)
