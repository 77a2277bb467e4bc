"""How an exchange ended, and what its error is called."""

import pytest

from sidecar.core.attempt.endings import end_session, end_with_answer, end_with_fault, is_cut, name_error
from sidecar.errors import ERRORS, FIRST_BYTE_TIMEOUT, IDLE_TIMEOUT, STOPPING, STREAM_CUT, ErrorKind, Origin
from sidecar.exchange import SERVICE_ERRORS, Departure, Ending, Seen

BY_ORIGIN = {
    Origin.CLIENT: {Ending.CLIENT_FAULT},
    Origin.UPSTREAM: {
        Ending.CONNECT_FAILED, Ending.CONNECT_TIMEOUT, Ending.RESET, Ending.MALFORMED, Ending.FIRST_BYTE_TIMEOUT, Ending.IDLE_TIMEOUT,
        Ending.TOTAL_TIMEOUT, Ending.CUT, Ending.UNAVAILABLE,
    },
    Origin.SIDECAR: {Ending.REFUSED, Ending.OVERLOADED, Ending.SIDECAR_FAULT},
    Origin.POLICY: {Ending.REFUSED},
}  # fmt: skip


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.id)
def test_every_fault_has_an_ending_of_its_origin(kind: ErrorKind) -> None:
    """No kind of failure is without an ending, and none is blamed on somebody else."""
    assert end_with_fault(kind) in BY_ORIGIN[kind.origin]


def test_only_the_callers_own_mistakes_and_refusals_are_no_service_errors() -> None:
    """Every fault of an upstream counts as an error of the service, and so does that there was no room for a call."""
    ours = {"internal", "overloaded", "pool_full"}
    assert all((end_with_fault(kind) in SERVICE_ERRORS) == (kind.origin is Origin.UPSTREAM or kind.id in ours) for kind in ERRORS)


@pytest.mark.parametrize(
    ("status", "error_type", "ending"),
    [
        (200, None, Ending.COMPLETED),
        (204, None, Ending.COMPLETED),
        (304, None, Ending.COMPLETED),
        (399, None, Ending.COMPLETED),
        (200, "server_error", Ending.IN_BAND_ERROR),
        (400, "400", Ending.REJECTED),
        (404, None, Ending.REJECTED),
        (428, None, Ending.REJECTED),
        (429, "rate_limit_exceeded", Ending.RATE_LIMITED),
        (430, None, Ending.REJECTED),
        (499, None, Ending.REJECTED),
        (500, None, Ending.UPSTREAM_ERROR),
        (529, "overloaded_error", Ending.UPSTREAM_ERROR),
        (999, None, Ending.UPSTREAM_ERROR),
    ],
)
def test_an_answer_ends_by_its_status(status: int, error_type: str | None, ending: Ending) -> None:
    """The status decides, and under a good one an error inside the answer."""
    assert end_with_answer(status, error_type) is ending


@pytest.mark.parametrize(
    ("ending", "status", "kind", "seen", "name"),
    [
        (Ending.COMPLETED, 200, None, None, None),
        (Ending.COMPLETED, 200, None, "odd", None),
        (Ending.CLIENT_GONE, None, None, None, None),
        (Ending.FIRST_BYTE_TIMEOUT, 504, FIRST_BYTE_TIMEOUT, None, "first_byte_timeout"),
        (Ending.FIRST_BYTE_TIMEOUT, 504, FIRST_BYTE_TIMEOUT, "seen", "first_byte_timeout"),
        (Ending.REJECTED, 401, None, "invalid_api_key", "invalid_api_key"),
        (Ending.REJECTED, 401, None, None, "401"),
        (Ending.IN_BAND_ERROR, 200, None, "server_error", "server_error"),
    ],
)
def test_errors_are_named_by_who_knows_best(
    ending: Ending, status: int | None, kind: ErrorKind | None, seen: str | None, name: str | None
) -> None:
    """Our error id, else the provider's code, else the status; a success and a caller that left have none."""
    assert name_error(ending, status, kind, seen) == name


class Answered:
    """What an observer says of an answer that has ended."""

    def __init__(self, ended_well: bool | None = None, skipped: str | None = None, error_type: str | None = None) -> None:
        self.seen = Seen()
        self.seen.error_type = error_type
        self.ended_well = ended_well
        self.skipped = skipped

    def feed(self, data: bytes, now: float) -> None:
        """Do nothing."""

    def finish(self, now: float) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("observer", "is_understood", "body_bytes", "cut"),
    [
        (Answered(ended_well=False), True, 10, True),
        (Answered(ended_well=True), True, 10, False),
        (Answered(ended_well=None), True, 10, False),
        (Answered(ended_well=None), False, 10, False),
        (Answered(skipped="not_json"), True, 10, True),
        (Answered(skipped="too_large"), True, 10, False),
        (Answered(ended_well=None), True, 0, True),
        (Answered(ended_well=None), False, 0, False),
        (Answered(ended_well=False, error_type="server_error"), True, 10, False),
        (Answered(ended_well=False, error_type="500"), True, 0, False),
    ],
)
def test_an_answer_without_its_end_is_cut(observer: Answered, is_understood: bool, body_bytes: int, cut: bool) -> None:
    """Its form's own end is missing, it is half a JSON text, or nothing at all came; a provider's own error is an end."""
    assert is_cut(observer, is_understood=is_understood, body_bytes=body_bytes) is cut


CLIENT, UPSTREAM = Departure.CLIENT, Departure.UPSTREAM


@pytest.mark.parametrize(
    ("departure", "closed_by_server", "code", "is_answering", "seen", "ending", "kind", "name"),
    [
        # In order, whoever closed the connection then.
        (CLIENT, False, 1000, False, None, Ending.COMPLETED, None, None),
        (UPSTREAM, False, 1005, False, None, Ending.COMPLETED, None, None),
        (UPSTREAM, True, 1000, False, None, Ending.COMPLETED, None, None),
        (CLIENT, True, 1001, False, None, Ending.COMPLETED, None, None),
        # In order, but the last answer had failed.
        (CLIENT, False, 1000, False, "server_error", Ending.IN_BAND_ERROR, None, "server_error"),
        # Within an answer.
        (UPSTREAM, True, 1001, True, None, Ending.CUT, STREAM_CUT, None),
        (CLIENT, False, 1000, True, None, Ending.CLIENT_GONE, None, None),
        # The client closes for a reason of its own.
        (CLIENT, False, 1009, False, "server_error", Ending.CLIENT_GONE, None, None),
        # The server does, because of the client, and because of itself.
        (UPSTREAM, True, 1008, False, None, Ending.REJECTED, None, "websocket_1008"),
        (UPSTREAM, True, 3000, True, None, Ending.REJECTED, None, "websocket_3000"),
        (UPSTREAM, True, 1011, False, "server_error", Ending.IN_BAND_ERROR, None, "websocket_1011"),
        (UPSTREAM, True, 4999, False, None, Ending.IN_BAND_ERROR, None, "websocket_4999"),
        (UPSTREAM, True, 65535, False, None, Ending.IN_BAND_ERROR, None, "websocket_other"),
        # No Close frame.
        (CLIENT, None, None, True, None, Ending.CLIENT_GONE, None, None),
        (UPSTREAM, None, None, False, None, Ending.CUT, STREAM_CUT, None),
        (Departure.IDLE, None, None, False, None, Ending.IDLE_TIMEOUT, IDLE_TIMEOUT, None),
        (Departure.STOPPING, None, None, True, None, Ending.REFUSED, STOPPING, None),
    ],
)
def test_a_session_ends_by_its_first_close_frame_else_by_who_left_first(
    departure: Departure, closed_by_server: bool | None, code: int | None, is_answering: bool, seen: str | None, ending: Ending,
    kind: ErrorKind | None, name: str | None,
) -> None:  # fmt: skip
    """RFC 6455 section 7.1.5; and what is cut within an answer is never complete."""
    assert end_session(departure, closed_by_server=closed_by_server, close_code=code, is_answering=is_answering, error_type=seen) == (
        ending, kind, name,
    )  # fmt: skip
