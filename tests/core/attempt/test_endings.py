"""How an exchange ended, and what its error is called."""

import pytest

from sidecar.core.attempt.endings import end_with_answer, end_with_fault, is_cut, name_error
from sidecar.errors import ERRORS, FIRST_BYTE_TIMEOUT, ErrorKind, Origin
from sidecar.exchange import SERVICE_ERRORS, Ending, Seen

BY_ORIGIN = {
    Origin.CLIENT: {Ending.CLIENT_FAULT},
    Origin.UPSTREAM: {
        Ending.CONNECT_FAILED, Ending.CONNECT_TIMEOUT, Ending.RESET, Ending.MALFORMED, Ending.FIRST_BYTE_TIMEOUT, Ending.IDLE_TIMEOUT,
        Ending.TOTAL_TIMEOUT, Ending.CUT,
    },
    Origin.SIDECAR: {Ending.REFUSED, Ending.SIDECAR_FAULT},
}  # fmt: skip


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.id)
def test_every_fault_has_an_ending_of_its_origin(kind: ErrorKind) -> None:
    """No kind of failure is without an ending, and none is blamed on somebody else."""
    assert end_with_fault(kind) in BY_ORIGIN[kind.origin]


def test_only_the_callers_own_mistakes_and_refusals_are_no_service_errors() -> None:
    """Every fault of an upstream counts as an error of the service."""
    assert all((end_with_fault(kind) in SERVICE_ERRORS) == (kind.origin is Origin.UPSTREAM or kind.id == "internal") for kind in ERRORS)


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
