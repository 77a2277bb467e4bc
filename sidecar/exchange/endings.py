"""How exchanges end."""

from enum import StrEnum
from typing import Final


class Ending(StrEnum):
    """How an exchange ended: a closed list. Each exchange ends with exactly one of these."""

    __hash__ = str.__hash__  # Enum's own is a call into Python, and sinks look endings up for every call

    COMPLETED = "completed"
    CLIENT_GONE = "client_gone"
    CLIENT_FAULT = "client_fault"  # refused by us, the caller's own mistake
    REJECTED = "rejected"  # the provider answered 4xx (other than 429)
    RATE_LIMITED = "rate_limited"  # the provider answered 429
    UPSTREAM_ERROR = "upstream_error"  # the provider answered 5xx
    IN_BAND_ERROR = "in_band_error"  # an error inside an answer that began as a success
    CONNECT_FAILED = "connect_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    RESET = "reset"  # the upstream closed before it answered
    MALFORMED = "malformed"  # the upstream's bytes are not HTTP
    CUT = "cut"  # the answer broke off before its end
    UNAVAILABLE = "unavailable"  # no upstream was asked: all that could be have failed too often
    OVERLOADED = "overloaded"  # no upstream was asked: there was no room
    REFUSED = "refused"  # declined by our policy
    SIDECAR_FAULT = "sidecar_fault"


# What error ratios count: not a client's own mistake, nor one that hung up; a provider's 429 has an alert of its own.
SERVICE_ERRORS: Final = frozenset(Ending) - {
    Ending.COMPLETED, Ending.CLIENT_GONE, Ending.CLIENT_FAULT, Ending.REJECTED, Ending.RATE_LIMITED, Ending.REFUSED,
}  # fmt: skip
