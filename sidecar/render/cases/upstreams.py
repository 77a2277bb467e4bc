"""Cases of the alerts on upstreams: limits, circuit breakers, health, room and the budget for retries."""

from collections.abc import Mapping, Sequence
from typing import Final

from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Case, Check, Firing
from sidecar.render.cases.judged import Judged, judge
from sidecar.render.cases.series import (
    Series,
    Subject,
    grow,
    just_enough,
    list_near,
    list_passed,
    name_series,
    stand,
    too_few,
    watch,
)
from sidecar.render.figures import print_number, print_percentage, write_number
from sidecar.render.rules.forms import list_limits
from sidecar.thresholds import Terms

_INFO, _WARNING = Severity.INFO, Severity.WARNING
_ATTEMPTS: Final = "llm_sidecar_attempts_total"
_REMAINING: Final = "llm_sidecar_upstream_ratelimit_remaining"
_LIMIT: Final = "llm_sidecar_upstream_ratelimit_limit"
_COUNTED: Final = {
    "LLMCallsShed": "llm_sidecar_shed_requests_total",
    "LLMRetryBudgetExhausted": "llm_sidecar_retry_budget_exhausted_total",
}
_ALLOWED: Final = 1000  # tokens, that a provider allows


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the cases, but for those of circuit breakers and of upstreams that are gone."""
    left = Judged(
        "LLMRateLimitNearlyUsed", "Limits of a provider that are nearly used up", terms.thresholds.ratelimit_remaining,
        terms.traffic.calls, print_percentage, {_INFO: 10, _WARNING: 5}, 10, "upstream", _draw_left, {"kind": "tokens"},
    )  # fmt: skip
    return (
        *judge(left),
        _check_left(terms),
        *_check_swinging(terms),
        *_count(terms, "LLMCallsShed", "Calls for which there is no room", ("queue_full", "too_long")),
        *_count(terms, "LLMRetryBudgetExhausted", "Attempts for which there is no budget", ()),
    )


def _draw_left(labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
    target = {name: label for name, label in labels.items() if name != "kind"}
    return (
        grow(name_series(_ATTEMPTS, **target, outcome="completed"), per_minute, until),
        stand(name_series(_REMAINING, **labels), _ALLOWED * value),
        stand(name_series(_LIMIT, **labels), _ALLOWED),
    )


def _check_left(terms: Terms) -> Case:
    """What a provider does not say is not made up; of several limits each counts, and of several sidecars the lowest."""
    value = dict(list_near(terms.thresholds.ratelimit_remaining))["beyond-info"]
    per_minute = just_enough(terms.traffic.calls) / 5
    series = [
        # No limit was named, only what is left of it.
        grow(name_series(_ATTEMPTS, upstream="unnamed", outcome="completed"), per_minute),
        stand(name_series(_REMAINING, upstream="unnamed", kind="tokens"), 0),
        # Nothing is allowed at all: there is no share of it.
        grow(name_series(_ATTEMPTS, upstream="none", outcome="completed"), per_minute),
        stand(name_series(_REMAINING, upstream="none", kind="tokens"), 0),
        stand(name_series(_LIMIT, upstream="none", kind="tokens"), 0),
        *_draw_left({"upstream": "low", "kind": "tokens"}, value, per_minute / 2),
        *_draw_left({"upstream": "low", "kind": "tokens", "instance": "b:9464"}, 0.9, per_minute / 2),
        stand(name_series(_REMAINING, upstream="low", kind="requests"), _ALLOWED),
        stand(name_series(_LIMIT, upstream="low", kind="requests"), _ALLOWED),
    ]
    low = Subject({"job": "app", "upstream": "low", "kind": "tokens"}, (_INFO,), print_percentage(value))
    name = "Of a provider's limits each counts by itself, as the sidecar with the least left sees it, and none is made up."
    return Case(name, tuple(series), watch("LLMRateLimitNearlyUsed", [low], {_INFO: 10}))


def _check_swinging(terms: Terms) -> tuple[Case, ...]:
    """What is left swings with each window of the provider; only its mean says whether there is enough."""
    threshold = terms.thresholds.ratelimit_remaining
    good = dict(list_near(threshold))["short-of-info"]
    bad = 0.8 * list_limits(threshold)[_INFO]
    alert, series = "LLMRateLimitNearlyUsed", {"upstream": "swings", "kind": "tokens"}
    allowed, calls = name_series(_LIMIT, **series), name_series(_ATTEMPTS, upstream="swings", outcome="completed")
    labels = {"job": "app", **series}
    return (
        Case(
            "A limit that is used up now and then, and on average is not, is not told.",
            (_swing(series, 0, 2 * good), stand(allowed, _ALLOWED), grow(calls, terms.traffic.calls)),
            (Check("29m", alert), Check("50m", alert)),
        ),
        Case(
            "A limit of which little is left on average is told, even if there is much of it now and then.",
            (_swing(series, 0, 0, 0, 4 * bad), stand(allowed, _ALLOWED, 90), grow(calls, terms.traffic.calls, minutes=90)),
            (Check("50m", alert, tuple(Firing(severity, labels, print_percentage(bad)) for severity in list_passed(threshold, bad))),),
            # Whole swings fit into 5 minutes at even minutes, whichever end of the range is open.
            interval="40s",
        ),
    )


def _swing(labels: Mapping[str, str], *shares: float) -> Series:
    return name_series(_REMAINING, **labels), " ".join(write_number(_ALLOWED * share) for share in shares * (90 // len(shares)))


def _count(terms: Terms, alert: str, said: str, reasons: Sequence[str]) -> tuple[Case, ...]:
    """Return the cases of an alert that counts over 5 minutes, held for 2 and kept for 5."""
    least = terms.traffic.events
    enough, holds = just_enough(least), {_WARNING: 2}
    told = Subject({"job": "app"}, (_WARNING,), print_number(enough))
    pair = tuple(
        series
        for instance in ("a:9464", "b:9464")
        for series in _draw_count(alert, reasons, enough / 10, job="pair", instance=instance, namespace="prod")
    )
    return (
        Case(
            f"{said} are told where there are enough of them, of several sidecars together, and not where they are too few or none.",
            (
                *_draw_count(alert, reasons, enough / 5),
                *_draw_count(alert, reasons, too_few(least) / 5, job="rare"),
                *_draw_count(alert, reasons, 0, job="idle"),
                *pair,
            ),
            watch(alert, [told, told._replace(labels={"job": "pair", "namespace": "prod"})], holds, 5),
        ),
        Case(
            f"{said} are told a while longer once they are over, and then no more.",
            _draw_count(alert, reasons, enough / 5, until=20),
            watch(alert, [told._replace(end=20)], holds, 5),
        ),
    )


def _draw_count(alert: str, reasons: Sequence[str], per_minute: float, until: int | None = None, **target: str) -> tuple[Series, ...]:
    metric = _COUNTED[alert]
    if not reasons:
        return (grow(name_series(metric, **target), per_minute, until),)
    return tuple(grow(name_series(metric, **target, reason=reason), per_minute / len(reasons), until) for reason in reasons)
