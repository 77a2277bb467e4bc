"""How an exchange ended, and what its error is called. One place decides, for every sink alike."""

from typing import Final

from sidecar.core.observe.contract import Observer
from sidecar.errors import (
    BAD_BATCH,
    BAD_REQUEST,
    BAD_TARGET,
    BAD_TENANT,
    BATCH_OVERFLOW,
    BUDGET_SPENT,
    CIRCUIT_OPEN,
    CONNECT_TIMEOUT,
    FIRST_BYTE_TIMEOUT,
    FIRST_TOKEN_TIMEOUT,
    IDLE_TIMEOUT,
    INTERNAL,
    NO_ROUTE,
    NOT_BATCHABLE,
    NOT_CACHED,
    NOT_UPGRADABLE,
    OVERLOADED,
    POOL_FULL,
    RATE_LIMITED,
    SPENDING_STOPPED,
    STOPPING,
    STREAM_CUT,
    TLS_FAILED,
    TOO_LARGE,
    TOTAL_TIMEOUT,
    TUNNEL_REFUSED,
    UNREACHABLE,
    UNRESOLVED,
    UPSTREAM_MALFORMED,
    UPSTREAM_RESET,
    WEBSOCKET_REFUSED,
    WEBSOCKETS_FULL,
    WISH_UNMET,
    ErrorKind,
)  # fmt: skip
from sidecar.exchange import Departure, Ending

_BY_KIND: Final = {
    BAD_REQUEST: Ending.CLIENT_FAULT,
    BAD_TARGET: Ending.CLIENT_FAULT,
    NO_ROUTE: Ending.CLIENT_FAULT,
    NOT_UPGRADABLE: Ending.CLIENT_FAULT,
    BAD_BATCH: Ending.CLIENT_FAULT,
    NOT_BATCHABLE: Ending.CLIENT_FAULT,
    BAD_TENANT: Ending.CLIENT_FAULT,
    TOO_LARGE: Ending.CLIENT_FAULT,
    UNRESOLVED: Ending.CONNECT_FAILED,
    UNREACHABLE: Ending.CONNECT_FAILED,
    TLS_FAILED: Ending.CONNECT_FAILED,
    TUNNEL_REFUSED: Ending.CONNECT_FAILED,
    CONNECT_TIMEOUT: Ending.CONNECT_TIMEOUT,
    UPSTREAM_RESET: Ending.RESET,
    UPSTREAM_MALFORMED: Ending.MALFORMED,
    FIRST_BYTE_TIMEOUT: Ending.FIRST_BYTE_TIMEOUT,
    FIRST_TOKEN_TIMEOUT: Ending.FIRST_BYTE_TIMEOUT,
    IDLE_TIMEOUT: Ending.IDLE_TIMEOUT,
    TOTAL_TIMEOUT: Ending.TOTAL_TIMEOUT,
    STREAM_CUT: Ending.CUT,
    CIRCUIT_OPEN: Ending.UNAVAILABLE,
    OVERLOADED: Ending.OVERLOADED,
    POOL_FULL: Ending.OVERLOADED,
    WISH_UNMET: Ending.REFUSED,
    RATE_LIMITED: Ending.REFUSED,
    BUDGET_SPENT: Ending.REFUSED,
    SPENDING_STOPPED: Ending.REFUSED,
    NOT_CACHED: Ending.REFUSED,
    BATCH_OVERFLOW: Ending.REFUSED,
    WEBSOCKET_REFUSED: Ending.REFUSED,
    WEBSOCKETS_FULL: Ending.REFUSED,
    STOPPING: Ending.REFUSED,
    INTERNAL: Ending.SIDECAR_FAULT,
}


_COMPLETED, _CLIENT_GONE = Ending.COMPLETED, Ending.CLIENT_GONE


def end_with_fault(kind: ErrorKind) -> Ending:
    """Return the ending of an exchange that a fault ended."""
    return _BY_KIND[kind]


def end_with_answer(status: int, error_type: str | None) -> Ending:
    """Return the ending of an exchange whose answer was relayed to its end."""
    if status == 429:
        return Ending.RATE_LIMITED
    if status >= 500:
        return Ending.UPSTREAM_ERROR
    if status >= 400:
        return Ending.REJECTED
    return _COMPLETED if error_type is None else Ending.IN_BAND_ERROR


# RFC 6455 section 7.4.1: done, going away, and a Close frame that says nothing.
_ORDERLY: Final = frozenset({1000, 1001, 1005})
# The server does not take what the client sent or who it is (section 7.4.1, and the registry of section 11.7: 3000
# unauthorized, 3003 forbidden): what an HTTP status of 4xx says.
_REJECTIONS: Final = frozenset({1002, 1003, 1007, 1008, 1009, 1010, 3000, 3003})
_OWN_CLOSES: Final = {Departure.IDLE: IDLE_TIMEOUT, Departure.STOPPING: STOPPING, Departure.UPSTREAM: STREAM_CUT}
_APPLICATION_CODES: Final = range(1000, 5000)


def end_session(
    departure: Departure, *, closed_by_server: bool | None, close_code: int | None, is_answering: bool, error_type: str | None
) -> tuple[Ending, ErrorKind | None, str | None]:
    """Return how a WebSocket session ended, whose telling the failure is, and what its error is called.

    The first Close frame decides, whoever closed the connection then; without one, who left first. A session that
    ends in order, but within an answer, is not complete: a server has cut it, a client has left it. `error_type`: of
    the last answer, if it failed.
    """
    if closed_by_server is None:
        kind = _OWN_CLOSES.get(departure)
        return (_CLIENT_GONE, None, None) if kind is None else (_BY_KIND[kind], kind, None)
    if not closed_by_server:
        if close_code not in _ORDERLY or is_answering:
            return _CLIENT_GONE, None, None
    elif close_code not in _ORDERLY:
        name = f"websocket_{close_code}" if close_code in _APPLICATION_CODES else "websocket_other"
        return Ending.REJECTED if close_code in _REJECTIONS else Ending.IN_BAND_ERROR, None, name
    elif is_answering:
        return Ending.CUT, STREAM_CUT, None
    return (_COMPLETED, None, None) if error_type is None else (Ending.IN_BAND_ERROR, None, error_type)


def name_error(ending: Ending, status: int | None, kind: ErrorKind | None, seen_type: str | None) -> str | None:
    """Return `error.type`: our error id, else the provider's own code, else the status.

    None for a success and for a caller that left: intentional cancellation is not an error
    (OpenTelemetry, recording errors).
    """
    if ending is _COMPLETED or ending is _CLIENT_GONE:
        return None
    if kind is not None:
        return kind.id
    return seen_type or str(status)


def is_cut(observer: Observer, *, is_understood: bool, body_bytes: int) -> bool:
    """Tell whether an answer that ended without a transport error is incomplete all the same.

    Asked of streams of events, which must show their form's own end, and of answers whose end is told by closing the
    connection, because that is also what a crash looks like (RFC 9112 section 6.3). An error of the provider's own,
    by status or within the answer, is an end as well. `is_understood`: in a form that never answers with nothing.
    """
    if observer.seen.error_type is not None:
        return False
    return observer.ended_well is False or observer.skipped == "not_json" or (is_understood and not body_bytes)
