"""One form for all spellings of the same JSON: what two requests are compared by.

The order of members and white space do not count, nor how a character is written (`é` or an escape). Everything else
does: types, the order of lists, how a number is written (`1`, `1.0` and `1e0` are three, for a server may take them so),
the case and the spelling of names.

A body that can be read in two ways has no such form: one with a member that is there twice, which servers resolve
differently (RFC 8259 section 4), or one that is not JSON. Neither has one that takes too long: what is nested too
deeply, what is too large, and what has too many numbers or containers, which cost far more than their bytes.
"""

import re
from typing import Any, Final, NamedTuple

import msgspec

BYTES_MAX: Final = 2 * 1024 * 1024  # about 7 ms
FRACTIONS_MAX: Final = 4096  # numbers with a point or an exponent: 0.3 µs each
CONTAINERS_MAX: Final = 32_768  # objects and lists, about, for brackets within text count too
_SMALL_BYTES: Final = 64 * 1024  # holds no more than that
_QUOTE: Final = b'"'
_QUOTE_BY_NUMBER: Final = b"\\u0022"  # as some libraries write every quote within a string
_IS_BY_NUMBER: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0022")  # and not a backslash that is followed by the word


class Canonical(NamedTuple):
    """What a body says, and its one form. Numbers with a point or an exponent are `msgspec.Raw`: as they are written."""

    tree: Any
    text: bytes


class _Fractions:
    """Keeps numbers as they are written: as floating point, different ones would be the same."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = FRACTIONS_MAX

    def keep(self, text: str) -> msgspec.Raw:
        """Return a number that is written again as it came. Raises ValueError where there are too many."""
        self.left -= 1
        if self.left < 0:
            raise ValueError("too many numbers")
        return msgspec.Raw(text)


_fractions: Final = _Fractions()
_decode: Final = msgspec.json.Decoder(float_hook=_fractions.keep).decode
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def canonicalise(body: bytes) -> Canonical | None:
    """Return the one form of a JSON text; None where it has none. Never raises."""
    if len(body) > BYTES_MAX or (len(body) > _SMALL_BYTES and body.count(b"{") + body.count(b"[") > CONTAINERS_MAX):
        return None
    _fractions.left = FRACTIONS_MAX
    try:
        tree = _decode(body)
        text = _encode(tree)
    except (ValueError, RecursionError):
        return None
    # A string has two quotes around it, and those within it are written one by one again. So there are as many as before,
    # unless the decoder left out a member that was there twice.
    quotes = body.count(_QUOTE)
    if _QUOTE_BY_NUMBER in body:
        quotes += len(_IS_BY_NUMBER.findall(body))
    return Canonical(tree, text) if quotes == text.count(_QUOTE) else None


def write(tree: Any) -> bytes:
    """Return the one form of a tree that `canonicalise` returned, or of a part of it."""
    return _encode(tree)


def is_zero(value: object) -> bool:
    """Tell whether a value of such a tree is a number that is zero."""
    if type(value) is int:
        return value == 0
    return isinstance(value, msgspec.Raw) and float(bytes(value)) == 0.0
