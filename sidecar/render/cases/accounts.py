"""Cases of the alerts on accounts: limits, budgets, calls without a price, the ledger."""

from collections.abc import Mapping, Sequence
from typing import Final

from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Case, Check, Firing
from sidecar.render.cases.judged import Judged, judge
from sidecar.render.cases.series import (
    NEAR,
    Series,
    Subject,
    grow,
    just_enough,
    list_near,
    name_series,
    stand,
    step,
    too_few,
    watch,
)
from sidecar.render.figures import print_number, print_percentage
from sidecar.render.rules.forms import list_limits
from sidecar.thresholds import Terms

_INFO, _WARNING, _CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
_REQUESTS: Final = "llm_sidecar_tenant_requests_total"
_REFUSED: Final = "llm_sidecar_rate_limited_requests_total"
_SOFT: Final = "llm_sidecar_budget_soft_limit_reached"
_SPENT: Final = "llm_sidecar_budget_spent_usd"
_LIMIT: Final = "llm_sidecar_budget_limit_usd"
_STOPPED: Final = "llm_sidecar_spending_stopped"
_UNPRICED: Final = "llm_sidecar_unpriced_requests_total"
_FAILURES: Final = "llm_sidecar_ledger_failures_total"
_STARTED: Final = "process_start_time_seconds"
_PAIR: Final = ("a:9464", "b:9464")


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the cases."""
    limited = Judged(
        "LLMTenantLimited", "Tenants whose calls limits refuse", terms.thresholds.tenant_limited_ratio, terms.traffic.calls,
        print_percentage, {_WARNING: 10}, 5, "tenant", _draw_limited, {},
    )  # fmt: skip
    return (
        *judge(limited),
        _check_limits(terms),
        _check_soft_limit(),
        _check_spent(terms),
        _check_refused(terms),
        _check_stopped(),
        _check_unpriced(terms),
        _check_unpriced_before(terms),
        _check_ledger(),
        _check_damaged(),
    )


def _draw_limited(labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
    return (
        grow(name_series(_REQUESTS, **labels), per_minute, until),
        grow(name_series(_REFUSED, **labels, limit="requests_minute"), value * per_minute / 2, until),
        grow(name_series(_REFUSED, **labels, limit="all_tokens_day"), value * per_minute / 2, until),
    )


def _check_limits(terms: Terms) -> Case:
    """Budgets and stops refuse calls as well, and have alerts of their own."""
    value, per_minute = dict(list_near(terms.thresholds.tenant_limited_ratio))["beyond-warning"], just_enough(terms.traffic.calls) / 5
    series, subjects = list[Series](), list[Subject]()
    for limit in ("tokens_hour", "all_requests_second", "budget_day", "all_budget_month", "stopped"):
        labels = {"tenant": f"by {limit}"}
        told = () if "budget" in limit or limit == "stopped" else (_WARNING,)
        series += [
            grow(name_series(_REQUESTS, **labels), per_minute),
            grow(name_series(_REFUSED, **labels, limit=limit), value * per_minute),
        ]
        subjects.append(Subject({"job": "app", **labels}, told, print_percentage(value)))
    name = "Calls that a budget or a stop refuses are not refused by limits."
    return Case(name, tuple(series), watch("LLMTenantLimited", subjects, {_WARNING: 10}))


def _check_soft_limit() -> Case:
    labels = {"tenant": "acme", "window": "day"}
    series = (
        step(name_series(_SOFT, **labels), (0, 20), (1, 20), (0, 20)),
        step(name_series(_SOFT, **labels, instance="b:9464"), (0, 25), (1, 15), (0, 20)),
        stand(name_series(_SOFT, tenant="acme", window="month"), 0),
        stand(name_series(_SOFT, tenant="*", window="day"), 0),
    )
    subject = Subject({"job": "app", **labels}, (_WARNING,), start=20, end=39)
    name = "A budget is told as soon as one sidecar sees it spent to its soft limit, once of all, until the day or month is over."
    return Case(name, series, watch("LLMBudgetNearlySpent", [subject], {_WARNING: 0}))


def _check_spent(terms: Terms) -> Case:
    """The other budgets of a tenant that is named, and those of others, are far from their end."""
    limit = list_limits(terms.thresholds.budget_spent)[_CRITICAL]
    short = limit * (1 - NEAR)
    series = (
        step(name_series(_SPENT, tenant="spent", window="day"), (short, 20), (limit, 20), (0, 20)),
        stand(name_series(_LIMIT, tenant="spent", window="day"), 1),
        stand(name_series(_SPENT, tenant="spent", window="month"), 1),
        stand(name_series(_LIMIT, tenant="spent", window="month"), 10),
        stand(name_series(_SPENT, tenant="short", window="day"), short),
        stand(name_series(_LIMIT, tenant="short", window="day"), 1),
        # As one of two sidecars knows it: the other has not heard of the last calls yet.
        stand(name_series(_SPENT, tenant="*", window="month", instance="a:9464"), 10 * limit * (1 + NEAR)),
        stand(name_series(_LIMIT, tenant="*", window="month", instance="a:9464"), 10),
        stand(name_series(_SPENT, tenant="*", window="month", instance="b:9464"), 10 * short),
        stand(name_series(_LIMIT, tenant="*", window="month", instance="b:9464"), 10),
        stand(name_series(_SPENT, tenant="nothing allowed", window="day"), 1),
        stand(name_series(_LIMIT, tenant="nothing allowed", window="day"), 0),
    )
    subjects = [
        Subject({"job": "app", "tenant": "spent"}, (_CRITICAL,), start=20, end=39),
        Subject({"job": "app", "tenant": "*"}, (_CRITICAL,), start=0),
    ]
    name = "A budget is told when it is spent, and not before; and no more when the next day or month has begun."
    return Case(name, series, watch("LLMBudgetSpent", subjects, {_CRITICAL: 1}, 10))


def _check_refused(terms: Terms) -> Case:
    least, minutes = terms.traffic.events, 15
    enough = just_enough(least, minutes) / minutes
    series = (
        grow(name_series(_REFUSED, tenant="refused", limit="budget_day"), enough / 4, 30),
        grow(name_series(_REFUSED, tenant="refused", limit="budget_month"), enough / 4, 30),
        grow(name_series(_REFUSED, tenant="refused", limit="all_budget_day"), enough / 4, 30),
        grow(name_series(_REFUSED, tenant="refused", limit="all_budget_day", instance="b:9464"), enough / 4, 30),
        grow(name_series(_REFUSED, tenant="rare", limit="budget_day"), too_few(least) / minutes),
        grow(name_series(_REFUSED, tenant="idle", limit="budget_day"), 0),
        grow(name_series(_REFUSED, tenant="limited", limit="requests_minute"), 2 * least),
        grow(name_series(_REFUSED, tenant="stopped", limit="stopped"), 2 * least),
    )
    subject = Subject({"job": "app", "tenant": "refused"}, (_CRITICAL,), start=minutes, end=30)
    name = "A budget of which so little is left that calls are refused is told, and limits and stops are not."
    return Case(name, series, watch("LLMBudgetSpent", [subject], {_CRITICAL: 1}, 10))


def _check_stopped() -> Case:
    series = (
        step(name_series(_STOPPED, tenant="acme"), (0, 10), (1, 20), (0, 30)),
        step(name_series(_STOPPED, tenant="acme", instance="b:9464"), (0, 15), (1, 15), (0, 30)),
        step(name_series(_STOPPED, tenant="here only"), (0, 10), (1, 20), (0, 30)),
        stand(name_series(_STOPPED, tenant="here only", instance="b:9464"), 0),
        stand(name_series(_STOPPED, tenant="*"), 0),
    )
    subjects = [Subject({"job": "app", "tenant": tenant}, (_WARNING,), start=10, end=29) for tenant in ("acme", "here only")]
    name = "An operator's stop is told while it holds at one sidecar or more."
    return Case(name, series, watch("LLMSpendingStopped", subjects, {_WARNING: 5}))


def _draw_unpriced(per_minute: float, until: int | None = None, minutes: int = 60, **target: str) -> tuple[Series, ...]:
    reasons: Sequence[str] = ("unknown_model", "modality")
    return tuple(grow(name_series(_UNPRICED, **target, reason=reason), per_minute / 2, until, minutes) for reason in reasons)


def _check_unpriced(terms: Terms) -> Case:
    least, minutes, length = terms.traffic.events, 60, 90
    enough = just_enough(least, minutes)
    series = (
        *_draw_unpriced(enough / minutes, minutes=length),
        *_draw_unpriced(too_few(least) / minutes, minutes=length, job="rare"),
        *_draw_unpriced(0, minutes=length, job="idle"),
        *(each for instance in _PAIR for each in _draw_unpriced(enough / minutes / 2, minutes=length, job="pair", instance=instance)),
    )
    told = Subject({"job": "app"}, (_INFO,), print_number(enough), start=minutes)
    name = "Calls without a price are told where there are enough of them, of several sidecars together, and not where there are few."
    return Case(name, series, watch("LLMUnpricedTraffic", [told, told._replace(labels={"job": "pair"})], {_INFO: 5}))


def _check_unpriced_before(terms: Terms) -> Case:
    enough, minutes, end = just_enough(terms.traffic.events, 60), 60, 80
    told = Subject({"job": "app"}, (_INFO,), print_number(enough), start=minutes, end=end)
    name = "Calls without a price are told no more when there are less than enough in an hour."
    return Case(name, _draw_unpriced(enough / minutes, end, 90), watch("LLMUnpricedTraffic", [told], {_INFO: 5}))


def _check_ledger() -> Case:
    """What was counted before is not news."""
    series = (
        step(name_series(_FAILURES, reason="write"), (7, 20), (8, 60)),
        stand(name_series(_FAILURES, reason="write", instance="b:9464"), 2, 80),
        stand(name_series(_FAILURES, reason="write", job="before"), 7, 80),
        stand(name_series(_FAILURES, reason="damaged"), 0, 80),
        stand(name_series(_STARTED), 0, 80),
    )
    alert, firing = "LLMLedgerFailing", (Firing(_CRITICAL, {"job": "app", "reason": "write"}),)
    checks = (Check("19m", alert), Check("20m", alert, firing), Check("33m", alert, firing), Check("36m", alert))
    return Case("A ledger that cannot be written is told at once, and for a quarter of an hour.", series, checks)


def _check_damaged() -> Case:
    """Damage is found at a start: the counter of a new process has it from its first scrape, and grows no more."""
    series = tuple(
        scraped
        for job, reason, failures in (("app", "damaged", 1), ("whole", "damaged", 0), ("written", "write", 1))
        for scraped in (
            (name_series(_FAILURES, reason=reason, job=job), f"_x10 {failures}x80"),
            (name_series(_STARTED, job=job), "_x10 600x80"),
        )
    )
    subject = Subject({"job": "app", "reason": "damaged"}, (_CRITICAL,), start=10, end=69)
    name = "A ledger that was damaged at a start is told for an hour."
    return Case(name, series, watch("LLMLedgerFailing", [subject], {_CRITICAL: 0}))
