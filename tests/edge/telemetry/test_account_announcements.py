"""Lines about budgets and their ledger."""

import io
from typing import NamedTuple

import pytest

from sidecar.config import Limits, Log
from sidecar.edge.telemetry.account_announcements import AccountAnnouncements
from sidecar.edge.telemetry.logs import set_up
from sidecar.edge.telemetry.meter import Meter
from tests.edge.telemetry.test_announcements import read
from tests.edge.telemetry.test_reuse import counted


class Reached(NamedTuple):
    """A limit was reached."""

    tenant: str
    window: str
    is_spent: bool


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


def test_a_ledger_that_is_read_is_told(meter: Meter, announcements: AccountAnnouncements, stream: io.StringIO) -> None:
    """A whole one as news, a damaged one as an error, with the name under which it can be looked at; only that is a failure."""
    announcements.note_ledger_replayed("/data/ledger", 1200)
    assert counted(meter.families.ledger_failures) == {}
    announcements.note_ledger_damaged("/data/ledger", "/data/ledger.damaged-1", 17)
    assert counted(meter.families.ledger_failures) == {'reason="damaged"': 1}
    assert read(stream) == [
        {"level": "info", "event": "ledger_replayed", "file": "/data/ledger", "events": 1200},
        {"level": "error", "event": "ledger_damaged", "file": "/data/ledger", "kept_as": "/data/ledger.damaged-1", "events": 17},
    ]


def test_a_full_disk_does_not_fill_the_log(meter: Meter, announcements: AccountAnnouncements, stream: io.StringIO) -> None:
    """Each failure is counted, the same within a minute is one line."""
    for _ in range(50):
        announcements.note_ledger_failed("/data/ledger", "write", "No space left on device")
    announcements.note_ledger_failed("/data/ledger", "sync", "Input/output error")
    assert counted(meter.families.ledger_failures) == {'reason="write"': 50, 'reason="sync"': 1}
    assert [(line["level"], line["event"], line["reason"], line["error"]) for line in read(stream)] == [
        ("error", "ledger_failed", "write", "No space left on device"), ("error", "ledger_failed", "sync", "Input/output error"),
    ]  # fmt: skip


def test_limits_that_are_reached_are_told(announcements: AccountAnnouncements, stream: io.StringIO) -> None:
    """Warned of, then spent; everybody's together is `*`."""
    for reached in (Reached("acme", "day", False), Reached("acme", "day", True), Reached("", "month", False)):
        announcements.note_turn(reached)
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
