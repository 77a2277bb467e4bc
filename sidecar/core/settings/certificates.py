"""From when until when a certificate is valid (RFC 5280, section 4.1). Nothing else of it is read, and nothing is verified."""

from datetime import UTC, datetime
from typing import Final, NamedTuple

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0  # there but for version 1
_UTC_TIME: Final = 0x17  # years of two digits, from 1950 to 2049
_GENERALIZED_TIME: Final = 0x18
_LONG_FORM: Final = 0x80
_BEFORE_VALIDITY: Final = 3  # serial number, signature algorithm, issuer


class Validity(NamedTuple):
    """Seconds since the epoch, both inclusive."""

    begins_s: float
    ends_s: float

    def holds_at(self, now_s: float) -> bool:
        """Whether a certificate is valid at a moment."""
        return self.begins_s <= now_s <= self.ends_s


def read_validity(der: bytes) -> Validity | None:
    """Return what a certificate says; None where it is none that can be read."""
    try:
        at, _ = _enter(der, 0)
        at, _ = _enter(der, at)
        if der[at] == _VERSION:
            at = _measure(der, at)[1]
        for _ in range(_BEFORE_VALIDITY):
            at = _measure(der, at)[1]
        at, end = _enter(der, at)
        begins_s, at = _read_time(der, at)
        ends_s, at = _read_time(der, at)
        return Validity(begins_s, ends_s) if at == end else None
    except (ValueError, IndexError, OverflowError):
        return None


def _enter(der: bytes, at: int) -> tuple[int, int]:
    if der[at] != _SEQUENCE:
        raise ValueError
    return _measure(der, at)


def _measure(der: bytes, at: int) -> tuple[int, int]:
    """Return where the contents of the value at `at` begin and end."""
    length, start = der[at + 1], at + 2
    if length >= _LONG_FORM:
        start += length - _LONG_FORM
        length = int.from_bytes(der[at + 2 : start], "big")
    if start + length > len(der):
        raise ValueError
    return start, start + length


def _read_time(der: bytes, at: int) -> tuple[float, int]:
    start, end = _measure(der, at)
    text = der[start:end].decode("ascii")
    if der[at] == _UTC_TIME:
        text = f"{19 if int(text[:2]) >= 50 else 20}{text}"
    elif der[at] != _GENERALIZED_TIME:
        raise ValueError
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp(), end
