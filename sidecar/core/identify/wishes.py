"""What a caller may ask of the sidecar by `x-sidecar-*` request headers."""

from collections.abc import Mapping
from math import isfinite

from sidecar.errors import BAD_REQUEST, ClientFault


def read_timeout(own: Mapping[str, str]) -> float | None:
    """Return the seconds after which the caller wants to give up, None where it did not say.

    Raises ClientFault(bad_request) for anything but a positive number of seconds.
    """
    text = own.get("x-sidecar-timeout")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not isfinite(seconds) or seconds <= 0:
        raise ClientFault(BAD_REQUEST, "x-sidecar-timeout: allowed is a positive number of seconds")
    return seconds
