"""Lines about budgets and their ledger."""

import io

import pytest

from sidecar.config import Limits, Log
from sidecar.edge.telemetry.account_announcements import AccountAnnouncements
from sidecar.edge.telemetry.logs import set_up
from sidecar.edge.telemetry.meter import Meter
from tests.edge.telemetry.test_announcements import read
from tests.edge.telemetry.test_reuse import counted


@pytest.fixture
def meter() -> Meter:
    """Return a meter."""
    return Meter(Limits(), [], version="1", python="3")


@pytest.fixture
def stream() -> io.StringIO:
    """Return where lines go."""
    return io.StringIO()


@pytest.fixture
def announcements(meter: Meter, stream: io.StringIO) -> AccountAnnouncements:
    """Return what writes them, as JSON."""
    return AccountAnnouncements(meter.accounts, set_up(Log(), stream))


def test_a_ledger_that_is_read_is_told(announcements: AccountAnnouncements, stream: io.StringIO) -> None:
    """A whole one as news, a damaged one as an error, with the name under which it can be looked at, if there is one."""
    announcements.note_ledger_replayed(1200, 3)
    announcements.note_ledger_damaged(17, "/data/ledger.damaged-1")
    announcements.note_ledger_damaged(17, "")
    assert read(stream) == [
        {"level": "info", "event": "ledger_replayed", "lines": 1200, "reservations": 3},
        {"level": "error", "event": "ledger_damaged", "lines": 17, "kept_as": "/data/ledger.damaged-1"},
        {"level": "error", "event": "ledger_damaged", "lines": 17},
    ]


def test_a_full_disk_is_told_once(meter: Meter, announcements: AccountAnnouncements, stream: io.StringIO) -> None:
    """Each failure is counted; that it fails is a line, and that it is over is one."""
    for _ in range(50):
        announcements.note_ledger_failure("write")
    announcements.note_ledger_unwritable("No space left on device")
    announcements.note_ledger_writable()
    assert counted(meter.families.ledger_failures) == {'reason="write"': 50}
    assert read(stream) == [
        {"level": "error", "event": "ledger_failed", "problem": "No space left on device"},
        {"level": "info", "event": "ledger_written_again"},
    ]


def test_limits_that_are_reached_are_told(announcements: AccountAnnouncements, stream: io.StringIO) -> None:
    """Warned of, then spent; everybody's together is `*`."""
    announcements.note_soft_limit("acme", "day")
    announcements.note_budget_spent("acme", "day")
    announcements.note_soft_limit("", "month")
    assert read(stream) == [
        {"level": "warning", "event": "budget_soft_limit_reached", "tenant": "acme", "window": "day"},
        {"level": "warning", "event": "budget_spent", "tenant": "acme", "window": "day"},
        {"level": "warning", "event": "budget_soft_limit_reached", "tenant": "*", "window": "month"},
    ]


def test_what_an_operator_did_is_told(announcements: AccountAnnouncements, stream: io.StringIO) -> None:
    """Each time: an operator does not flap."""
    for is_stopped in (True, False, True):
        announcements.note_stopped("acme", is_stopped=is_stopped)
    announcements.note_stopped("", is_stopped=True)
    assert [(line["event"], line["level"], line["tenant"]) for line in read(stream)] == [
        ("spending_stopped", "warning", "acme"), ("spending_resumed", "info", "acme"), ("spending_stopped", "warning", "acme"),
        ("spending_stopped", "warning", "*"),
    ]  # fmt: skip
