"""What is spent, while settings change: sums stay, and budgets are switched on and off."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.config import Budget, Budgets, Limits
from sidecar.core.admit.spending_sums import Balance
from sidecar.core.choose.places import read_places
from sidecar.core.identify.router import Router
from sidecar.core.identify.tenants import Tenant
from sidecar.core.reckon.checks import LedgerView
from sidecar.edge.clock import SystemClock
from sidecar.edge.ledger_reading import open_ledger
from sidecar.edge.telemetry.account_announcements import AccountAnnouncements
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.errors import ConfigError, Refused
from sidecar.exchange import Cost
from sidecar.progress import Exchange
from sidecar.spending import Spending
from sidecar.treasury import Treasury
from tests.core.attempt.calls import make_call
from tests.flown import SETTINGS
from tests.path import PRICES, PlayedClient

PLACES = read_places(SETTINGS.upstreams, {})
DOLLAR = Budgets(tenant=Budget(day=1.0), unpriced=0.5)


def make(settings: Budgets = DOLLAR) -> Treasury:
    """Return one that is alone, and not open."""
    meter = Meter(Limits(), (), version="0", python="3")
    return Treasury(settings, SystemClock(), AccountAnnouncements(meter.accounts, EventLog("error")), None, lambda: "drawn")


async def begin(spending: Spending) -> Exchange:
    """Return a call that has reserved half a dollar. Raises Refused."""
    call = make_call()
    exchange = Exchange(PlayedClient(call), call, None)
    exchange.tenant, exchange.match = Tenant("a", "a"), Router(SETTINGS.routes).match("POST", "/one/v1/chat/completions")
    await spending.reserve(exchange)
    return exchange


def spent(treasury: Treasury) -> dict[str, tuple[float, float]]:
    """Return of each account what is spent and reserved today."""
    balances: list[Balance] = [each for each in treasury.make_spending(PLACES, PRICES).describe().balances if each.window == "day"]
    return {each.tenant: (each.spent_usd, each.reserved_usd) for each in balances if each.spent_usd or each.reserved_usd}


async def test_sums_outlive_the_settings() -> None:
    """Calls of before are settled in the same sums, and count against what may be spent now."""
    treasury = make()
    first = treasury.make_spending(PLACES, PRICES)
    early = await begin(first)
    treasury.adopt(replace(DOLLAR, tenant=Budget(day=0.9)), is_on=True)
    second = treasury.make_spending(PLACES, PRICES)
    with pytest.raises(Refused):
        await begin(second)
    first.settle(early, Cost(0.25, "table"), 0.0)
    late = await begin(second)
    second.settle(late, Cost(0.125, "table"), 0.0)
    treasury.adopt(replace(DOLLAR, tenant=Budget(day=9.0)), is_on=True)
    assert spent(treasury) == {"a": (0.375, 0.0), "": (0.375, 0.0)}
    await treasury.close()
    await treasury.close_ledger()


async def test_budgets_are_switched_on_with_their_ledger(tmp_path: Path) -> None:
    """What an earlier process left there counts; until it is adopted nothing is touched, and once it is there it stays."""
    file = tmp_path / "ledger"
    settings = replace(DOLLAR, file=str(file))
    before = make(settings)
    before.open(before.make_spending(PLACES, PRICES))
    before.make_spending(PLACES, PRICES).halt("a", True)
    await before.close_ledger()
    treasury = make()
    await treasury.prepare(settings, is_on=True)
    assert treasury.describe_ledger() is None and treasury.make_spending(PLACES, PRICES).describe().stopped == frozenset()
    treasury.adopt(settings, is_on=True)
    assert treasury.describe_ledger() == LedgerView(None)
    assert treasury.make_spending(PLACES, PRICES).describe().stopped == {"a"}
    await treasury.prepare(settings, is_on=True)
    treasury.adopt(settings, is_on=False)
    await treasury.prepare(settings, is_on=True)
    treasury.adopt(settings, is_on=True)
    treasury.make_spending(PLACES, PRICES).halt("a", False)
    assert [task.get_name() for task in asyncio.all_tasks()].count("ledger") == 1
    await treasury.close()
    await treasury.close_ledger()
    again = make(settings)
    again.open(again.make_spending(PLACES, PRICES))
    assert again.make_spending(PLACES, PRICES).describe().stopped == frozenset()
    await again.close_ledger()


async def test_a_ledger_that_is_prepared_for_nothing_is_let_go_of(tmp_path: Path) -> None:
    """By the next that is prepared, or at the end; and one that cannot be used leaves what is in force."""
    settings = replace(DOLLAR, file=str(tmp_path / "ledger"))
    treasury = make()
    for is_on in (True, True, False):
        await treasury.prepare(settings, is_on=is_on)
    open_ledger(str(tmp_path / "ledger")).release()
    await treasury.prepare(settings, is_on=True)
    with pytest.raises(ConfigError):
        await treasury.prepare(replace(DOLLAR, file="/nowhere/ledger"), is_on=True)
    await treasury.prepare(settings, is_on=True)
    await treasury.close()
    open_ledger(str(tmp_path / "ledger")).release()
