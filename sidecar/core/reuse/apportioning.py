"""A total shared out in proportion, so that the shares sum up exactly to it (the largest-remainder method)."""

import re
from collections.abc import Sequence
from typing import Final

# A JSON number (RFC 8259 section 6): of a sane length, and no exponent that could not be that of money.
_NUMBER: Final = re.compile(rb"(-?[0-9]{1,40})(?:\.([0-9]{1,40}))?(?:[eE]([+-]?[0-9]{1,4}))?")
# A fraction is shared out to this many more places than it was written with.
_PLACES: Final = 4


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Return one share of `total` for each weight (positive). What division leaves goes to the largest remainders, the first of equals."""
    whole = sum(weights)
    divided = [divmod(total * weight, whole) for weight in weights]
    shares = [share for share, _ in divided]
    by_remainder = sorted(range(len(weights)), key=lambda place: -divided[place][1])
    for place in by_remainder[: total - sum(shares)]:
        shares[place] += 1
    return shares


def apportion_number(text: bytes, weights: Sequence[int]) -> list[bytes] | None:
    """Return the shares of a JSON number as JSON numbers: of a whole one in whole ones. None where `text` is none of a sane size."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    whole, fraction, exponent = found.groups()
    if fraction is None and exponent is None:
        return [b"%d" % share for share in apportion(int(whole), weights)]
    total = int(whole + (fraction or b""))
    if not total:
        return [text] * len(weights)
    power = int(exponent or b"0") - len(fraction or b"") - _PLACES
    return [b"%de%d" % (share, power) for share in apportion(total * 10**_PLACES, weights)]
