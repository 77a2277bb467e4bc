"""Where a text may be cut: between characters as people see them, and not within its bytes."""

import unicodedata
from typing import Final

import msgspec

_LOOKED_BACK_MAX: Final = 32  # code points: longer clusters are not writing
_JOINER: Final = "\u200d"

_encode = msgspec.json.Encoder().encode


def join_surrogates(text: str) -> str:
    """Return the text with halves of characters joined, as they come where one was split; a lone half is replaced."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def json_bytes(text: str) -> int:
    """Return how many bytes a text takes as a JSON string, quotes included."""
    return len(_encode(text))


def cut(text: str, bytes_max: int) -> str:
    """Return the longest beginning that takes at most `bytes_max` bytes as a JSON string and ends between characters."""
    if json_bytes(text) <= bytes_max:
        return text
    low, high = 0, min(len(text), max(0, bytes_max))
    while low < high:
        middle = (low + high + 1) // 2
        if json_bytes(text[:middle]) <= bytes_max:
            low = middle
        else:
            high = middle - 1
    return text[: find_boundary(text, low)]


def find_boundary(text: str, place: int) -> int:
    """Return the last place up to `place` that is not within a character of several code points.

    A base and its marks, an emoji and its modifiers, what joiners join, and a flag's two letters
    stay together (a part of Unicode's UAX #29).
    """
    for candidate in range(place, max(0, place - _LOOKED_BACK_MAX), -1):
        if candidate >= len(text) or not _continues(text, candidate):
            return candidate
    return 0 if place <= _LOOKED_BACK_MAX else place


def _continues(text: str, place: int) -> bool:
    """Whether the code point at `place` belongs to the character before it."""
    char = text[place]
    if char == _JOINER or text[place - 1] == _JOINER or unicodedata.category(char) in ("Mn", "Mc", "Me"):
        return True
    if "\U0001f3fb" <= char <= "\U0001f3ff" or (char == "\n" and text[place - 1] == "\r"):
        return True
    if not _is_flag_letter(char):
        return False
    before = place
    while before > 0 and place - before < _LOOKED_BACK_MAX and _is_flag_letter(text[before - 1]):
        before -= 1
    return (place - before) % 2 == 1


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
