"""Durations and sizes as text: `250ms`, `3s`, `1h30m`, `64KiB`, `50MiB`."""

import math
import re
from typing import Final

_DURATION_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE_BYTES: Final = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_DURATION: Final = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kKMG]i?B|B)?")
_BARE: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
# No number that means anything is longer; Python itself refuses to convert very long ones.
_TEXT_CHARS_MAX: Final = 40

DURATION_S_MAX: Final = 365 * 86400.0
SIZE_BYTES_MAX: Final = 2**40


def parse_duration(value: str | int | float) -> float | None:
    """Return seconds, from text with units or a bare number of seconds.

    None where it is not a duration, is not above zero, or is longer than a year.
    """
    seconds = _read_duration(value) if isinstance(value, str) else value
    return float(seconds) if 0 < seconds <= DURATION_S_MAX else None


def parse_lifetime(value: str | int | float) -> float | None:
    """Return seconds as `parse_duration` does, and 0 for a duration of nothing."""
    seconds = _read_duration(value) if isinstance(value, str) else value
    return 0.0 if seconds == 0 else parse_duration(value)


def _read_duration(text: str) -> float:
    """Return seconds, or nan where the text is no duration."""
    if len(text) > _TEXT_CHARS_MAX:
        return math.nan
    if _BARE.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        return math.nan
    # Divided, not multiplied by 0.001, which no float is exactly: 1100ms is 1.1 s to the last bit.
    parts = _DURATION_PART.findall(text)
    return math.fsum(float(number) / 1000 if unit == "ms" else float(number) * _DURATION_S[unit] for number, unit in parts)


def parse_size(value: str | int | float) -> int | None:
    """Return bytes, from text with units (KiB = 1024, kB = 1000) or a bare number of bytes.

    None where it is not a whole number of bytes from 1 to 1 TiB.
    """
    count = _read_size(value) if isinstance(value, str) else value
    return int(count) if 1 <= count <= SIZE_BYTES_MAX and count == int(count) else None


def _read_size(text: str) -> float:
    """Return bytes, or nan where the text is no size."""
    matched = _SIZE.fullmatch(text) if len(text) <= _TEXT_CHARS_MAX else None
    return math.nan if matched is None else float(matched[1]) * _SIZE_BYTES[matched[2] or "B"]


def format_duration(seconds: float) -> str:
    """Return the shortest text that `parse_duration`, or for 0 `parse_lifetime`, reads back as `seconds`."""
    if seconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if seconds % _DURATION_S[unit] == 0:
            return f"{seconds / _DURATION_S[unit]:.0f}{unit}"
    milliseconds = round(seconds * 1000, 6)
    return f"{milliseconds:.0f}ms" if milliseconds == int(milliseconds) else f"{milliseconds:f}".rstrip("0") + "ms"


def format_size(size_bytes: int) -> str:
    """Return the shortest text that `parse_size` reads back as `size_bytes`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes % _SIZE_BYTES[unit] == 0:
            return f"{size_bytes // _SIZE_BYTES[unit]}{unit}"
    return f"{size_bytes}B"
