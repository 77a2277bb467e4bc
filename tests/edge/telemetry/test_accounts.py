"""What is counted by tenant, and the gauges of budgets."""

from typing import NamedTuple

import pytest

from sidecar import catalogue
from sidecar.config import Budget, Budgets, Features, Limits, Rate, RateLimits, Rates, Settings, Tenants, Warming
from sidecar.core.identify.tenants import list_accounts
from sidecar.edge.telemetry.accounts import Accounts
from sidecar.edge.telemetry.meter import Meter
from sidecar.exchange import Cost, Ending, Usage, UsageSource
from tests.edge.telemetry.records import make_record
from tests.edge.telemetry.test_reuse import HIT, counted, total

SETTINGS = Settings(
    tenants=Tenants(names=("acme",), keys={"0" * 64: "globex"}),
    limits=Limits(
        rates=RateLimits(
            all=Rates(tokens=Rate(per_day=1e6)),
            tenant=Rates(requests=Rate(per_second=5.0, per_minute=60.0)),
            tenants={"initech": Rates(tokens=Rate(per_hour=1000.0))},
        )
    ),
    budgets=Budgets(all=Budget(month=100.0), tenants={"acme": Budget(day=5.0)}),
    features=Features(limits=True, budgets=True),
)
KNOWN = ["default", "acme", "globex", "initech", "other"]


class View(NamedTuple):
    """How far a budget is spent."""

    tenant: str
    window: str
    spent_usd: float
    reserved_usd: float
    limit_usd: float | None
    soft_reached: bool


@pytest.fixture
def meter() -> Meter:
    """Return a meter of a sidecar with limits and budgets."""
    meter = Meter(Limits(), ["openai"], version="1.0", python="3.11")
    meter.accounts.prepare(SETTINGS)
    return meter


def test_who_is_known() -> None:
    """Whoever the settings name, each once, and those who are other together."""
    assert list(list_accounts(SETTINGS)) == KNOWN
    assert list_accounts(Settings()) == ("default", "other")
    warmed = Settings(features=Features(warming=True), warming=Warming(tenant="early"))
    assert list_accounts(warmed) == ("default", "early", "other")


def test_series_are_there_from_the_start(meter: Meter) -> None:
    """For each tenant, and of limits those that can refuse its calls: a counter born at 1 hides its first event."""
    families = meter.families
    assert {child.labels for child in families.tenant_requests.children} == {f'tenant="{name}"' for name in KNOWN}
    assert len(families.tenant_tokens.children) == len(KNOWN) * len(catalogue.TOKEN_TYPES)
    made = {child.labels for child in families.rate_limited_requests.children}
    common = {"all_tokens_day", "all_budget_month", "stopped"}
    for name, own in (
        ("acme", {"requests_second", "requests_minute", "budget_day"}),
        ("other", {"requests_second", "requests_minute"}),
        ("initech", {"tokens_hour"}),
    ):
        limits = {labels.split('limit="')[1].strip('"') for labels in made if labels.startswith(f'tenant="{name}"')}
        assert limits == own | common
        assert limits <= set(catalogue.LIMITS)
    assert {child.labels for child in families.spending_stopped.children} == {f'tenant="{name}"' for name in (*KNOWN, "*")}


def test_without_limits_and_budgets_there_is_nothing_of_them() -> None:
    """A budget that is not there is not unspent, and nobody can be stopped."""
    meter = Meter(Limits(), [], version="1", python="3")
    meter.accounts.prepare(Settings(limits=SETTINGS.limits, budgets=SETTINGS.budgets))
    families = meter.families
    absent = (families.rate_limited_requests, families.spending_stopped, families.budget_spent_usd, families.budget_limit_usd)
    assert [family.children for family in absent] == [[], [], [], []]


def test_calls_are_counted_for_their_tenant(meter: Meter) -> None:
    """Requests, tokens and cost; a hit is a request, and costs nothing."""
    meter.observe(make_record(tenant="acme"))
    meter.observe(make_record(tenant="acme", usage=Usage(5), usage_source=UsageSource.APPORTIONED, cost=None))
    meter.observe(make_record(tenant="acme", **HIT))
    meter.observe(make_record(tenant="other"))
    meter.observe(make_record())
    families = meter.families
    assert counted(families.tenant_requests) == {'tenant="acme"': 3, 'tenant="other"': 1}
    tokens = counted(families.tenant_tokens)
    assert (tokens['tenant="acme",type="input"'], tokens['tenant="acme",type="output"']) == (17, 40)
    assert counted(families.tenant_cost) == {'tenant="acme"': 0.25, 'tenant="other"': 0.25}


def test_an_estimate_is_nobodys_bill(meter: Meter) -> None:
    """Estimated tokens and what they would cost are not added to what was reported."""
    meter.observe(make_record(tenant="acme", usage_source=UsageSource.ESTIMATED, cost=Cost(0.5, "estimated")))
    assert (total(meter.families.tenant_tokens), total(meter.families.tenant_cost)) == (0, 0)
    assert counted(meter.families.tenant_requests) == {'tenant="acme"': 1}


def test_refusals_are_counted_by_limit(meter: Meter) -> None:
    """By whose call it was, also where the limit is everybody's."""
    for limit in ("requests_minute", "all_tokens_day", "all_tokens_day"):
        meter.observe(make_record(
            tenant="acme", limited=limit, upstream="", attempts=(), ending=Ending.REFUSED, status=429, usage=None, cost=None,
            usage_source=UsageSource.ABSENT,
        ))  # fmt: skip
    assert counted(meter.families.rate_limited_requests) == {
        'tenant="acme",limit="requests_minute"': 1, 'tenant="acme",limit="all_tokens_day"': 2,
    }  # fmt: skip


def test_gauges_follow_the_budgets(meter: Meter) -> None:
    """As they are at the scrape; everybody's together is `*`, and without a limit there is none to show."""
    accounts, families = meter.accounts, meter.families
    accounts.show_budgets([View("acme", "day", 4.5, 0.25, 5.0, True), View("", "month", 9.0, 0.5, 100.0, False)])
    accounts.show_budgets([View("globex", "day", 1.0, 0.0, None, False)])
    assert counted(families.budget_spent_usd) == {
        'tenant="acme",window="day"': 4.5, 'tenant="*",window="month"': 9.0, 'tenant="globex",window="day"': 1.0,
    }  # fmt: skip
    assert counted(families.budget_reserved_usd) == {'tenant="acme",window="day"': 0.25, 'tenant="*",window="month"': 0.5}
    assert counted(families.budget_limit_usd) == {'tenant="acme",window="day"': 5.0, 'tenant="*",window="month"': 100.0}
    assert {child.labels: child.value for child in families.budget_soft_reached.children} == {
        'tenant="acme",window="day"': 1, 'tenant="*",window="month"': 0,
    }  # fmt: skip
    accounts.show_budgets([View("acme", "day", 0.0, 0.0, 5.0, False)])
    assert families.budget_soft_reached.child("acme", "day").value == families.budget_spent_usd.child("acme", "day").value == 0


def test_stops_come_and_go(meter: Meter) -> None:
    """Of one tenant, or of all."""
    meter.accounts.show_stopped({"acme", ""})
    assert counted(meter.families.spending_stopped) == {'tenant="acme"': 1, 'tenant="*"': 1}
    meter.accounts.show_stopped(set())
    assert counted(meter.families.spending_stopped) == {}


def test_failures_of_the_ledger_are_counted(meter: Meter) -> None:
    """By what went wrong."""
    meter.accounts.note_ledger_failure("write")
    assert counted(meter.families.ledger_failures) == {'reason="write"': 1}


def test_a_call_without_a_tenant_does_not_come_here(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that no route took, for example."""
    seen: list[object] = []
    monkeypatch.setattr(Accounts, "observe", lambda *told: seen.append(told))
    meter.observe(make_record())
    assert seen == []
    meter.observe(make_record(tenant="acme"))
    assert len(seen) == 1


def test_other_settings_have_other_gauges(meter: Meter) -> None:
    """Those of budgets and tenants that are gone vanish; what was counted stays."""
    accounts, families = meter.accounts, meter.families
    meter.observe(make_record(tenant="acme"))
    accounts.show_budgets([View("acme", "day", 1.0, 0.5, 10.0, True), View("", "month", 2.0, 0.0, None, False)])
    accounts.adopt(Settings(features=Features(budgets=True), budgets=Budgets(tenants={"new": Budget(day=1.0)})))
    gauges = (families.budget_spent_usd, families.budget_reserved_usd, families.budget_limit_usd, families.budget_soft_reached)
    assert [family.children for family in gauges] == [[], [], [], []]
    accounts.show_stopped(["new"])
    assert {child.labels: child.value for child in families.spending_stopped.children} == {
        'tenant="default"': 0, 'tenant="new"': 1, 'tenant="other"': 0, 'tenant="*"': 0,
    }  # fmt: skip
    meter.observe(make_record(tenant="acme"))
    assert counted(families.tenant_requests) == {'tenant="acme"': 2}
    accounts.adopt(Settings())
    accounts.show_stopped(["new"])
    assert families.spending_stopped.children == []
