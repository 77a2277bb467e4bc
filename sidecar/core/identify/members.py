"""Where the values of a JSON object's members stand, byte for byte: so that one can be changed and nothing else.

The fast parser does not tell positions, but it returns the members in their order and each value as it was written. So
the positions follow from the lengths, at the price of skipping once over the text. What it refuses (a member that is
there twice, half an emoji, a byte order mark, NaN) goes a slower way, up to a size.
"""

import json
import re
from typing import Final, NamedTuple

import msgspec

from sidecar.core.observe.salvage import BYTES_MAX, UNREADABLE

_OPENING: Final = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\{[ \t\r\n]*")
_KEY: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_COLON: Final = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_NEXT: Final = re.compile(rb"[ \t\r\n]*([,}])[ \t\r\n]*")
_ITEMS_OPENING: Final = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*")
_NEXT_ITEM: Final = re.compile(rb"[ \t\r\n]*[,\]][ \t\r\n]*")

_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_scan: Final = json.JSONDecoder(strict=False).raw_decode


class Span(NamedTuple):
    """Where a value stands: from its first byte up to the one behind its last."""

    start: int
    end: int


def find_member(data: bytes, name: str) -> list[Span]:
    """Return where the values of an object's own members called `name` (plain ASCII) stand: several where it is there twice.

    None where `data` is no JSON object, or one that only the slower way could read and is too large for it. Never raises.
    """
    try:
        members = _decode_members(data)
        if name not in members:
            return []
        spans = _find_in_order(data, members, name)
    except UNREADABLE:
        spans = None
    return _find_slowly(data, name) if spans is None else spans


def find_items(data: bytes) -> list[Span]:
    """Return where the items of a JSON array stand; none where `data` is no array. Never raises."""
    try:
        items = _decode_items(data)
    except UNREADABLE:
        return []
    opening = _ITEMS_OPENING.match(data)
    at = opening.end() if opening else 0
    spans = []
    for item in items:
        spans.append(Span(at, at + len(bytes(item))))
        separator = _NEXT_ITEM.match(data, spans[-1].end)
        at = separator.end() if separator else len(data)
    return spans


def _find_in_order(data: bytes, members: dict[str, msgspec.Raw], name: str) -> list[Span] | None:
    """None where a member is there twice: a value is then not what stands where it was expected, or members are left over."""
    opening = _OPENING.match(data)
    at = opening.end() if opening else 0
    spans = []
    last = b""
    for found, raw in members.items():
        value = bytes(raw)
        key = _KEY.match(data, at)
        if key is None or not data.startswith(value, key.end()):
            return None
        span = Span(key.end(), key.end() + len(value))
        separator = _NEXT.match(data, span.end)
        if separator is None:
            return None
        if found == name:
            spans.append(span)
        at, last = separator.end(), separator[1]
    return spans if last == b"}" else None


def _find_slowly(data: bytes, name: str) -> list[Span]:
    opening = _OPENING.match(data)
    if opening is None or len(data) > BYTES_MAX:
        return []
    text = data.decode("latin-1")  # a character for each byte; all that JSON itself consists of is ASCII
    at = opening.end()
    spans = []
    try:
        while True:
            found, end = _scan(text, at)
            colon = _COLON.match(data, end)
            if type(found) is not str or colon is None:
                return []
            _, end = _scan(text, colon.end())
            if found == name:
                spans.append(Span(colon.end(), end))
            separator = _NEXT.match(data, end)
            if separator is None:
                return []
            at = separator.end()
            if separator[1] == b"}":
                return spans if at == len(data) else []
    except (ValueError, RecursionError):
        return []
